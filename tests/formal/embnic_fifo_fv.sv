// SPDX-License-Identifier: Apache-2.0
// embnic_fifo: every word comes out once, unchanged, in order; the count is right; no word waits inside for nothing.
`default_nettype none
`include "embnic_fv.svh"
module embnic_fifo_fv #(
    parameter int unsigned DEPTH = 4,
    parameter int unsigned STYLE = 0   // 0 or 1
) (
    input wire logic       clk,
    input wire logic       rst,
    input wire logic       mark,
    input wire logic [7:0] s_axis_tdata,
    input wire logic       s_axis_tvalid,
    input wire logic       m_axis_tready
);
    `EMBNIC_FV_RESET

    localparam int unsigned MOST  = DEPTH + 2;
    localparam int unsigned CNT_W = $clog2(MOST + 2);

    logic                       s_axis_tready, m_axis_tvalid, push, pop, tracking;
    logic [7:0]                 m_axis_tdata, word;
    logic [$clog2(DEPTH+4)-1:0] sts_count;
    logic [CNT_W-1:0]           count, ahead;
    logic [1:0]                 waited_q;

    assign push = s_axis_tvalid && s_axis_tready;
    assign pop  = m_axis_tvalid && m_axis_tready;

    embnic_fifo #(.WIDTH(8), .DEPTH(DEPTH), .STYLE(STYLE)) u_dut (.*);

    embnic_fv_order #(.WIDTH(8), .MOST(MOST)) u_order (
        .clk, .rst, .mark,
        .push, .push_data(s_axis_tdata),
        .pop, .pop_data(m_axis_tdata),
        .count_q(count), .tracking_q(tracking), .ahead_q(ahead), .word_q(word)
    );

    always_ff @(posedge clk) waited_q <= (rst || count == '0 || m_axis_tvalid) ? '0 : waited_q + 1'b1;

    `EMBNIC_ASSERT(counted, 32'(sts_count) == 32'(count), "sts_count is the number of words inside")
    `EMBNIC_ASSERT(has_room, s_axis_tready || 32'(count) >= DEPTH, "DEPTH words find room")
    `EMBNIC_NEVER(waits, waited_q > 2'd2, "a word is at the output 3 cycles after it went in")
    `EMBNIC_COVER(full, 32'(count) == MOST, "every place is taken")

    // Where the tracked word is.
    logic [DEPTH-1:0][7:0] mem;
    logic [7:0]            held;

    for (genvar i = 0; i < int'(DEPTH); i++) begin : gen_mem
        if (STYLE == 1) begin : gen_distributed
            assign mem[i] = u_dut.u_ram.gen_distributed.mem[i];
        end else begin : gen_auto
            assign mem[i] = u_dut.u_ram.gen_auto.mem[i];
        end
    end

    embnic_fv_fifo_word #(.DEPTH(DEPTH)) u_word (
        .place       (8'(ahead)),
        .mem,
        .rd_ptr_q    (u_dut.rd_ptr_q),
        .read_valid_q(u_dut.read_valid_q),
        .read_data   (u_dut.read_data),
        .out_cnt_q   (u_dut.out_cnt_q),
        .out_head_q  (u_dut.out_head_q),
        .out_next_q  (u_dut.out_next_q),
        .word        (held)
    );

    `EMBNIC_FV_HELP(held_intact, !tracking || held == word, "the tracked word is where its position says")
    `EMBNIC_FV_HELP(out_room, 3'(u_dut.out_cnt_q) + 3'(u_dut.read_valid_q) <= 3'd2, "at most two words are on their way out")
endmodule
`default_nettype wire
