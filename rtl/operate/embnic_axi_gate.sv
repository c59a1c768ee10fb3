// SPDX-License-Identifier: Apache-2.0
// Stands between the core and card memory: closes at a boundary, and keeps answers that belong to nobody away.
//
// Order          as given; only valid and ready pass through here, all payload goes around.
// Closing        while cfg_close is high no new address leaves (an address on offer is first taken, as AXI demands, and
//                a row that is half written is first finished); what is outstanding is answered to the core as ever.
//                sts_rest: closed, and nothing outstanding.
// Reset          dp_rst resets the core but not memory. What is outstanding then is stale: its answers are taken and
//                thrown away, the beats still owed to a write burst are sent with empty strobes, and no address leaves
//                until all of it came (sts_stuck), so that an old answer never meets a new request. Memory that never
//                answers again keeps the gate shut for ever: what waits for memory waits, and what is behind it.
// Latency        none: valid and ready pass combinationally, both ways.
// Binds caller   one write burst at a time; write beats follow their address. An address on offer when dp_rst rises
//                (after a timeout only) is withdrawn, the data of a write beat change, and a row may stay half written.
`default_nettype none
`include "embnic_assert.svh"
module embnic_axi_gate #(
    parameter int unsigned READS = 4096  // most reads outstanding; power of two
) (
    input  wire logic       clk,
    input  wire logic       rst,
    input  wire logic       dp_rst,        // reset of the core; rst included
    input  wire logic       cfg_close,
    output      logic       sts_rest,
    output      logic       sts_stuck,
    // core
    input  wire logic       s_axi_arvalid,
    output      logic       s_axi_arready,
    output      logic       s_axi_rvalid,
    input  wire logic       s_axi_rready,
    input  wire logic       s_axi_awvalid,
    output      logic       s_axi_awready,
    input  wire logic [7:0] s_axi_awlen,
    input  wire logic       s_axi_wvalid,
    output      logic       s_axi_wready,
    input  wire logic       s_axi_wlast,
    output      logic       s_axi_bvalid,
    input  wire logic       s_axi_bready,
    input  wire logic       s_axi_row_open,  // a row is half written: further bursts of it follow
    // memory
    output      logic       m_axi_arvalid,
    input  wire logic       m_axi_arready,
    input  wire logic       m_axi_rvalid,
    output      logic       m_axi_rready,
    input  wire logic       m_axi_rlast,
    output      logic       m_axi_awvalid,
    input  wire logic       m_axi_awready,
    output      logic       m_axi_wvalid,
    input  wire logic       m_axi_wready,
    output      logic       m_axi_wlast,
    output      logic       m_axi_wvoid,   // strobes are to be zero
    input  wire logic       m_axi_bvalid,
    output      logic       m_axi_bready
);
    localparam int unsigned READS_W = $clog2(READS + 1);

    if (READS < 2 || (READS & (READS - 1)) != 0) begin : gen_bad_reads
        $fatal(1, "READS must be a power of two, at least 2");
    end

    // ---------------------------------------------------------------------------------------------
    // What is outstanding
    // ---------------------------------------------------------------------------------------------
    logic [READS_W-1:0] reads_q, reads_d;
    logic               write_q, write_d;  // a write burst waits for its response
    logic [8:0]         owed_q, owed_d;    // beats of it still to be sent
    logic               ar_take, r_end, aw_take, w_take, b_take;

    assign ar_take = m_axi_arvalid && m_axi_arready;
    assign r_end   = m_axi_rvalid && m_axi_rready && m_axi_rlast;
    assign aw_take = m_axi_awvalid && m_axi_awready;
    assign w_take  = m_axi_wvalid && m_axi_wready;
    assign b_take  = m_axi_bvalid && m_axi_bready;

    always_comb begin
        reads_d = reads_q + READS_W'(ar_take) - READS_W'(r_end);
        write_d = (write_q || aw_take) && !b_take;
        owed_d  = owed_q - 9'(w_take);
        if (aw_take) owed_d = owed_q + 9'(s_axi_awlen) + 9'd1 - 9'(w_take);
    end

    // ---------------------------------------------------------------------------------------------
    // Gate
    // ---------------------------------------------------------------------------------------------
    logic ar_closed_q, aw_closed_q, stale_q, void_all;

    assign void_all = dp_rst || stale_q;  // nothing that comes is the core's

    always_ff @(posedge clk) begin
        if (rst) begin
            reads_q     <= '0;
            write_q     <= 1'b0;
            owed_q      <= '0;
            stale_q     <= 1'b0;
            ar_closed_q <= 1'b0;
            aw_closed_q <= 1'b0;
        end else begin
            reads_q     <= reads_d;
            write_q     <= write_d;
            owed_q      <= owed_d;
            stale_q     <= void_all && (reads_q != '0 || write_q);  // no address leaves then, so these only fall
            ar_closed_q <= void_all || (cfg_close && (ar_closed_q || !s_axi_arvalid || ar_take));
            aw_closed_q <= void_all ||
                (cfg_close && !s_axi_row_open && (aw_closed_q || !s_axi_awvalid || aw_take));
        end
    end

    assign sts_rest  = ar_closed_q && aw_closed_q && reads_q == '0 && !write_q;
    assign sts_stuck = stale_q;

    assign m_axi_arvalid = s_axi_arvalid && !ar_closed_q && !dp_rst;
    assign s_axi_arready = m_axi_arready && !ar_closed_q;
    assign m_axi_awvalid = s_axi_awvalid && !aw_closed_q && !dp_rst;
    assign s_axi_awready = m_axi_awready && !aw_closed_q;

    assign s_axi_rvalid  = m_axi_rvalid && !void_all;
    assign m_axi_rready  = s_axi_rready || void_all;
    assign s_axi_bvalid  = m_axi_bvalid && !void_all;
    assign m_axi_bready  = s_axi_bready || void_all;
    assign m_axi_wvoid   = void_all;
    assign m_axi_wvalid  = void_all ? owed_q != '0 && !rst : s_axi_wvalid;
    assign m_axi_wlast   = void_all ? owed_q == 9'd1 : s_axi_wlast;
    assign s_axi_wready  = m_axi_wready && !void_all;

    // Assertions
    `EMBNIC_NEVER(read_underflow, r_end && reads_q == '0, "memory answers what was asked")
    `EMBNIC_NEVER(reads_over, reads_q > READS_W'(READS), "no more reads outstanding than READS")
    `EMBNIC_ASSUME(one_write, !(aw_take && write_q), "one write burst at a time")
    `EMBNIC_ASSUME(write_order, !(w_take && owed_q == '0), "write beats follow their address")
    `EMBNIC_NEVER(leak, void_all && (s_axi_rvalid || s_axi_bvalid), "a stale answer never reaches the core")
    `EMBNIC_COVER(cover_stale, stale_q && reads_q != '0, "reads were outstanding at a reset")
    `EMBNIC_COVER(cover_owed, stale_q && owed_q != '0, "a write burst was cut by a reset")
endmodule
`default_nettype wire
