// SPDX-License-Identifier: Apache-2.0
// embnic_fifo with a short way round it: an empty queue passes a word on in one cycle instead of
// three.
//
// Order          as received.
// Back-pressure  any cycle, both sides; nothing is lost. No combinational path from one side to the
// other.
// Latency        1 cycle when empty.
// Throughput     one word per cycle in and out.
// Capacity       at least DEPTH words.
`default_nettype none
`include "embnic_assert.svh"
module embnic_cache_queue #(
    parameter int unsigned WIDTH = 32,  // bits of a word
    parameter int unsigned DEPTH = 16,  // words; power of two, >= 2
    parameter int unsigned STYLE = 0    // RAM style, see embnic_ram_1r1w
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output      logic             s_axis_tready,
    output      logic [WIDTH-1:0] m_axis_tdata,
    output      logic             m_axis_tvalid,
    input  wire logic             m_axis_tready
);
    localparam int unsigned CNT_W = $clog2(DEPTH + 4);

    // Words inside the FIFO, wherever in it. While there are none a word may go round it: nothing
    // can be overtaken.
    logic [CNT_W-1:0] held_q;
    logic [CNT_W-1:0] fifo_count;
    logic             round;
    logic             fifo_s_valid, fifo_s_ready, fifo_m_valid, fifo_m_ready;
    logic [WIDTH-1:0] fifo_data;
    logic             out_valid, out_ready;
    logic [WIDTH-1:0] out_data;

    assign round         = held_q == '0;
    assign out_valid     = round ? s_axis_tvalid : fifo_m_valid;
    assign out_data      = round ? s_axis_tdata : fifo_data;
    assign fifo_m_ready  = out_ready && !round;
    assign fifo_s_valid  = s_axis_tvalid && !(round && out_ready);
    assign s_axis_tready = fifo_s_ready;  // an empty FIFO is always ready

    embnic_fifo #(.WIDTH(WIDTH), .DEPTH(DEPTH), .STYLE(STYLE)) u_fifo (
        .clk, .rst,
        .s_axis_tdata,
        .s_axis_tvalid(fifo_s_valid),
        .s_axis_tready(fifo_s_ready),
        .m_axis_tdata (fifo_data),
        .m_axis_tvalid(fifo_m_valid),
        .m_axis_tready(fifo_m_ready),
        .sts_count    (fifo_count)
    );

    embnic_skid #(.WIDTH(WIDTH)) u_out (
        .clk, .rst,
        .s_axis_tdata (out_data),
        .s_axis_tvalid(out_valid),
        .s_axis_tready(out_ready),
        .m_axis_tdata, .m_axis_tvalid, .m_axis_tready
    );

    always_ff @(posedge clk) begin
        if (rst) held_q <= '0;
        else held_q <= held_q + CNT_W'(fifo_s_valid && fifo_s_ready) - CNT_W'(fifo_m_valid && fifo_m_ready);
    end

    // Assertions
    `EMBNIC_STABLE(in_stable, s_axis_tvalid, s_axis_tready, s_axis_tdata,
        "a word offered holds until it is taken")
    `EMBNIC_ASSERT(counted, held_q == fifo_count, "the count kept here is the FIFO's own")
    `EMBNIC_COVER(went_round, s_axis_tvalid && round && out_ready, "a word takes the short way")
    `EMBNIC_COVER(full, !s_axis_tready, "the queue is full")
endmodule
`default_nettype wire
