// SPDX-License-Identifier: Apache-2.0
// Keeps the last ENTRIES errors: frames that were dropped, and requests that were answered ERROR.
//
// Order          as they happen; an ERROR answer goes before a drop of the same cycle.
// Latency        an error is in the log 2 cycles after it happened; 2 cycles from rd_entry to rd_words.
// Throughput     one error a cycle. Of more, two drops wait; a further one is not logged (the counters have it).
// Not handled    frames that are not ours (DROP_NOT_OURS): on a shared line they are no errors and would push these out.
//
//     word 0  cycle[31:0]
//     word 1  opcode[31:24] kind[23:16] cycle[47:32]      kind: drop reason, or 16 + status
//     word 2  request_id
//     word 3  source ip[15:0] source port[15:0]
//     word 4  payload bytes[15:0] tenant[15:0]
`default_nettype none
`include "embnic_assert.svh"
module embnic_error_log
    import embnic_pkg::*;
    import embnic_wire_pkg::*;
#(
    parameter int unsigned ENTRIES = 64  // power of two, 2 .. 256
) (
    input  wire logic                       clk,
    input  wire logic                       rst,
    input  wire logic [DROP_N-1:0]          drop,        // one-hot: this frame was dropped
    input  wire logic [$bits(frame_t)-1:0]  drop_frame,  // frame_t, as far as its bytes mean anything
    input  wire logic                       err_valid,   // this request is answered ERROR
    input  wire status_e                    err_status,
    input  wire logic [$bits(frame_t)-1:0]  err_frame,   // frame_t
    input  wire logic                       cfg_clear,   // pulse: forget all
    input  wire logic [$clog2(ENTRIES)-1:0] rd_entry,
    output      logic [4:0][31:0]           rd_words,
    output      logic [31:0]                total        // errors logged since reset or clear
);
    localparam int unsigned IDX_W = $clog2(ENTRIES);

    if (ENTRIES < 2 || ENTRIES > 256 || (ENTRIES & (ENTRIES - 1)) != 0) begin : gen_bad_entries
        $fatal(1, "ENTRIES must be a power of two from 2 to 256");
    end

    typedef struct packed {
        logic [15:0] payload;
        logic [15:0] tenant;
        logic [15:0] ip;
        logic [15:0] port;
        logic [31:0] request_id;
        logic [7:0]  opcode;
        logic [7:0]  kind;
        logic [47:0] cycle;
    } entry_t;

    frame_t            dropped, refused;
    logic [DROP_N-1:0] drop_q;
    logic              err_valid_q;
    status_e           err_status_q;
    logic [47:0]       now_q;
    logic [DROP_N-1:0] drop_logged;
    logic [7:0]        reason;
    entry_t            drop_entry, err_entry, write_entry;
    logic [$bits(entry_t)-1:0] held;
    logic              drop_valid, drop_ready, held_valid, held_ready, write;

    // A register first: who tells of errors is busy in that cycle.
    always_ff @(posedge clk) begin
        dropped      <= frame_t'(drop_frame);
        refused      <= frame_t'(err_frame);
        err_status_q <= err_status;
        if (rst) begin
            drop_q      <= '0;
            err_valid_q <= 1'b0;
        end else begin
            drop_q      <= drop;
            err_valid_q <= err_valid;
        end
    end

    always_comb begin
        drop_logged                = drop_q;
        drop_logged[DROP_NOT_OURS] = 1'b0;
        reason                     = '0;
        for (int unsigned i = 0; i < DROP_N; i++) begin
            if (drop_q[i]) reason = 8'(i);
        end
    end

    assign drop_valid = drop_logged != '0;
    assign drop_entry = {dropped.payload_len, dropped.hdr.tenant, dropped.ip_src[15:0], dropped.port_src,
                         dropped.hdr.request_id, dropped.hdr.opcode, reason, now_q};
    assign err_entry  = {refused.payload_len, refused.hdr.tenant, refused.ip_src[15:0], refused.port_src,
                         refused.hdr.request_id, refused.hdr.opcode, 8'd16 + 8'(err_status_q), now_q};

    embnic_skid #(.WIDTH($bits(entry_t))) u_drops (
        .clk, .rst,
        .s_axis_tdata (drop_entry),
        .s_axis_tvalid(drop_valid),
        .s_axis_tready(drop_ready),
        .m_axis_tdata (held),
        .m_axis_tvalid(held_valid),
        .m_axis_tready(held_ready)
    );

    assign held_ready  = !err_valid_q;
    assign write       = err_valid_q || held_valid;
    assign write_entry = err_valid_q ? err_entry : entry_t'(held);

    embnic_ram_1r1w #(.WIDTH($bits(entry_t)), .DEPTH(ENTRIES), .OUT_REG(1'b1)) u_entries (
        .clk,
        .wr_en  (write),
        .wr_addr(total[IDX_W-1:0]),
        .wr_data(write_entry),
        .rd_en  (1'b1),
        .rd_addr(rd_entry),
        .rd_data(rd_words)
    );

    always_ff @(posedge clk) begin
        // The cycle of what the registers hold.
        if (rst) now_q <= '1;
        else now_q <= now_q + 48'd1;
        if (rst || cfg_clear) total <= '0;
        else total <= total + 32'(write);
    end

    // Of a frame only some fields are kept.
    wire unused = &{1'b0, dropped, refused, drop_ready};

    // Assertions
    `EMBNIC_ASSUME(one_reason, (drop & (drop - 1'b1)) == '0, "a frame is dropped for one reason")
    `EMBNIC_ASSUME(status_not_ok, !err_valid || err_status != STATUS_OK, "an ERROR has a status")
    `EMBNIC_COVER(cover_both, err_valid && drop_valid, "a drop and an ERROR in one cycle")
    `EMBNIC_COVER(cover_full, drop_valid && !drop_ready, "a drop is not logged")
endmodule
`default_nettype wire
