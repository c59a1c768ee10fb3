// SPDX-License-Identifier: Apache-2.0
// embnic_cache_queue: every word comes out once, unchanged, in order; an empty queue passes it on in one cycle.
`default_nettype none
`include "embnic_fv.svh"
module embnic_cache_queue_fv #(
    parameter int unsigned DEPTH = 2
) (
    input wire logic       clk,
    input wire logic       rst,
    input wire logic       mark,
    input wire logic [7:0] s_axis_tdata,
    input wire logic       s_axis_tvalid,
    input wire logic       m_axis_tready
);
    `EMBNIC_FV_RESET

    localparam int unsigned MOST  = DEPTH + 4;  // two more words in the FIFO's output queue, two in the skid register
    localparam int unsigned CNT_W = $clog2(MOST + 2);

    logic             s_axis_tready, m_axis_tvalid, tracking;
    logic [7:0]       m_axis_tdata, word;
    logic [CNT_W-1:0] count, ahead;
    logic [1:0]       waited_q;
    logic             offered_q;
    logic [7:0]       offer_q;

    embnic_cache_queue #(.WIDTH(8), .DEPTH(DEPTH)) u_dut (.*);

    embnic_fv_order #(.WIDTH(8), .MOST(MOST)) u_order (
        .clk, .rst, .mark,
        .push      (s_axis_tvalid && s_axis_tready),
        .push_data (s_axis_tdata),
        .pop       (m_axis_tvalid && m_axis_tready),
        .pop_data  (m_axis_tdata),
        .count_q   (count),
        .tracking_q(tracking),
        .ahead_q   (ahead),
        .word_q    (word)
    );

    always_ff @(posedge clk) begin
        waited_q  <= (rst || count == '0 || m_axis_tvalid) ? '0 : waited_q + 1'b1;
        offered_q <= !rst && s_axis_tvalid && !s_axis_tready;
        offer_q   <= s_axis_tdata;
    end

    `EMBNIC_ASSUME(source, !offered_q || (s_axis_tvalid && s_axis_tdata == offer_q), "a word offered holds until it is taken")
    `EMBNIC_ASSERT(has_room, s_axis_tready || 32'(count) >= DEPTH, "DEPTH words find room")
    `EMBNIC_ASSERT(short_way, !(count == CNT_W'(1) && u_dut.held_q == '0) || m_axis_tvalid,
        "the only word is at the output in the next cycle")
    `EMBNIC_NEVER(waits, waited_q > 2'd2, "no word waits for nothing")
    `EMBNIC_COVER(crowded, 32'(count) == MOST, "every place is taken")

    // Where the tracked word is: in the skid register, or in the FIFO behind it.
    logic [DEPTH-1:0][7:0] mem;
    logic [7:0]            held, in_fifo, in_skid;

    for (genvar i = 0; i < int'(DEPTH); i++) begin : gen_mem
        assign mem[i] = u_dut.u_fifo.u_ram.gen_auto.mem[i];
    end

    assign in_skid = 8'(m_axis_tvalid) + 8'(u_dut.u_out.spare_valid_q);

    embnic_fv_fifo_word #(.DEPTH(DEPTH)) u_word (
        .place       (8'(ahead) - in_skid),
        .mem,
        .rd_ptr_q    (u_dut.u_fifo.rd_ptr_q),
        .read_valid_q(u_dut.u_fifo.read_valid_q),
        .read_data   (u_dut.u_fifo.read_data),
        .out_cnt_q   (u_dut.u_fifo.out_cnt_q),
        .out_head_q  (u_dut.u_fifo.out_head_q),
        .out_next_q  (u_dut.u_fifo.out_next_q),
        .word        (in_fifo)
    );

    always_comb begin
        held = in_fifo;
        if (ahead == '0 && m_axis_tvalid) held = m_axis_tdata;
        if (ahead == CNT_W'(1) && u_dut.u_out.spare_valid_q) held = u_dut.u_out.spare_q;
    end

    `EMBNIC_FV_HELP(held_intact, !tracking || held == word, "the tracked word is where its position says")
    `EMBNIC_FV_HELP(all_counted, 8'(count) == in_skid + 8'(u_dut.fifo_count), "every word is in the FIFO or behind it")
    `EMBNIC_FV_HELP(out_room, 3'(u_dut.u_fifo.out_cnt_q) + 3'(u_dut.u_fifo.read_valid_q) <= 3'd2,
        "at most two words are on their way out of the FIFO")
    `EMBNIC_FV_HELP(ahead_of_need, m_axis_tvalid || u_dut.fifo_count == '0 || u_dut.u_fifo.read_valid_q
        || u_dut.u_fifo.out_cnt_q != '0, "a word goes into the FIFO only while others are in front of it")
endmodule
`default_nettype wire
