// SPDX-License-Identifier: Apache-2.0
// First-in first-out store with stream ports, for any depth; the only FIFO of embnic.
//
// Order          as received.
// Back-pressure  any cycle, both sides; nothing is lost. No combinational path from one side to the other.
// Latency        3 cycles from an empty FIFO's input to its output.
// Throughput     one word per cycle in and out.
// Capacity       DEPTH words in the RAM and up to 2 more on their way out.
`default_nettype none
`include "embnic_assert.svh"
module embnic_fifo #(
    parameter int unsigned WIDTH = 32,   // bits of a word
    parameter int unsigned DEPTH = 16,   // words in the RAM; power of two, >= 2
    parameter int unsigned STYLE = 0,    // RAM style, see embnic_ram_1r1w
    localparam int unsigned CNT_W = $clog2(DEPTH + 4)
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output      logic             s_axis_tready,
    output      logic [WIDTH-1:0] m_axis_tdata,
    output      logic             m_axis_tvalid,
    input  wire logic             m_axis_tready,
    output      logic [CNT_W-1:0] sts_count       // words held, the output register included
);
    if (DEPTH < 2 || (DEPTH & (DEPTH - 1)) != 0) begin : gen_bad_depth
        $fatal(1, "DEPTH must be a power of two, at least 2");
    end

    localparam int unsigned ADDR_W = $clog2(DEPTH);

    // Pointers carry one wrap bit more than the address.
    logic [ADDR_W:0] wr_ptr_q, rd_ptr_q;
    logic            push, fetch, pop;
    logic            ram_empty, ram_full;

    assign ram_empty     = wr_ptr_q == rd_ptr_q;
    assign ram_full      = (wr_ptr_q ^ rd_ptr_q) == (ADDR_W + 1)'(DEPTH);
    assign s_axis_tready = !ram_full;
    assign push          = s_axis_tvalid && s_axis_tready;
    assign pop           = m_axis_tvalid && m_axis_tready;

    // Words on their way out: at most one in the RAM's read register plus two in the output queue.
    logic [WIDTH-1:0] read_data;
    logic             read_valid_q;
    logic [WIDTH-1:0] out_head_q, out_next_q;  // the word at the output, the one behind it
    logic [1:0]       out_cnt_q;

    // A read is issued only if its word will find a place even when the output stalls from now on.
    assign fetch = !ram_empty && (out_cnt_q + 2'(read_valid_q) < 2'd2 || (pop && out_cnt_q + 2'(read_valid_q) == 2'd2));

    embnic_ram_1r1w #(.WIDTH(WIDTH), .DEPTH(DEPTH), .STYLE(STYLE)) u_ram (
        .clk,
        .wr_en  (push),
        .wr_addr(wr_ptr_q[ADDR_W-1:0]),
        .wr_data(s_axis_tdata),
        .rd_en  (fetch),
        .rd_addr(rd_ptr_q[ADDR_W-1:0]),
        .rd_data(read_data)
    );

    assign m_axis_tdata  = out_head_q;
    assign m_axis_tvalid = out_cnt_q != 2'd0;

    logic [1:0] out_cnt_after_pop;
    assign out_cnt_after_pop = out_cnt_q - 2'(pop);

    always_ff @(posedge clk) begin
        if (read_valid_q && !out_cnt_after_pop[0]) out_head_q <= read_data;
        else if (pop) out_head_q <= out_next_q;
        if (read_valid_q && out_cnt_after_pop[0]) out_next_q <= read_data;
        if (rst) begin
            wr_ptr_q     <= '0;
            rd_ptr_q     <= '0;
            read_valid_q <= 1'b0;
            out_cnt_q    <= '0;
        end else begin
            wr_ptr_q     <= wr_ptr_q + (ADDR_W + 1)'(push);
            rd_ptr_q     <= rd_ptr_q + (ADDR_W + 1)'(fetch);
            read_valid_q <= fetch;
            out_cnt_q    <= out_cnt_after_pop + 2'(read_valid_q);
        end
    end

    logic [ADDR_W:0] ram_count;
    assign ram_count = wr_ptr_q - rd_ptr_q;
    assign sts_count = CNT_W'(ram_count) + CNT_W'(read_valid_q) + CNT_W'(out_cnt_q);

    // Assertions
    `EMBNIC_STABLE(out_stable, m_axis_tvalid, m_axis_tready, m_axis_tdata, "the output holds until it is taken")
    `EMBNIC_KNOWN(valid_known, m_axis_tvalid, "tvalid is known after reset")
    `EMBNIC_KNOWN(ready_known, s_axis_tready, "tready is known after reset")
    `EMBNIC_NEVER(overflow, ram_count > (ADDR_W + 1)'(DEPTH), "the RAM never holds more than DEPTH words")
    `EMBNIC_NEVER(out_overflow, read_valid_q && out_cnt_after_pop == 2'd2, "a word read always finds a place")
    `EMBNIC_COVER(full, ram_full, "the RAM is full")
    `EMBNIC_COVER(wrap, push && wr_ptr_q[ADDR_W-1:0] == '1, "the write pointer wraps")
endmodule
`default_nettype wire
