// SPDX-License-Identifier: Apache-2.0
// embnic_async_fifo: whatever the two clocks do, every word comes out once, unchanged, in order, and no side waits for
// nothing. Begins in the state after reset, without resets.
`default_nettype none
`include "embnic_fv.svh"
module embnic_async_fifo_fv #(
    parameter int unsigned DEPTH = 4
) (
    input wire logic       clk_wr,  // both clocks rise and fall as they like
    input wire logic       clk_rd,
    input wire logic       mark,    // follow the word that goes in
    input wire logic [3:0] s_axis_wr_tdata,
    input wire logic       s_axis_wr_tvalid,
    input wire logic       m_axis_rd_tready
);
    localparam int unsigned PTR_W = $clog2(DEPTH) + 1;
    localparam int unsigned SEQ_W = PTR_W + 1;  // words are numbered modulo 4 * DEPTH

    logic             s_axis_wr_tready, m_axis_rd_tvalid;
    logic [3:0]       m_axis_rd_tdata;
    logic             rst_wr, rst_rd, push, pop;
    logic [SEQ_W-1:0] pushed_q, popped_q, held;
    logic             marked_q, left_q;  // a word is followed; it has left
    logic [SEQ_W-1:0] marked_seq_q;
    logic [3:0]       marked_word_q;
    logic [2:0]       wr_waited_q, rd_waited_q;
    logic             its_turn;

    assign rst_wr   = 1'b0;
    assign rst_rd   = 1'b0;
    assign push     = s_axis_wr_tvalid && s_axis_wr_tready;
    assign pop      = m_axis_rd_tvalid && m_axis_rd_tready;
    assign held     = pushed_q - popped_q;
    assign its_turn = marked_q && !left_q && popped_q == marked_seq_q;

    embnic_async_fifo #(.WIDTH(4), .DEPTH(DEPTH)) u_dut (.*);

    // The runner lets every register begin at zero.
    always_ff @(posedge clk_wr) begin
        if (push && mark && !marked_q) begin
            marked_q      <= 1'b1;
            marked_seq_q  <= pushed_q;
            marked_word_q <= s_axis_wr_tdata;
        end
        pushed_q    <= pushed_q + SEQ_W'(push);
        wr_waited_q <= (s_axis_wr_tready || 32'(held) >= DEPTH) ? '0 : wr_waited_q + 1'b1;
    end

    always_ff @(posedge clk_rd) begin
        popped_q    <= popped_q + SEQ_W'(pop);
        left_q      <= left_q || (pop && its_turn);
        rd_waited_q <= (m_axis_rd_tvalid || held == '0) ? '0 : rd_waited_q + 1'b1;
    end

    `EMBNIC_FV_STATE(intact, !(m_axis_rd_tvalid && its_turn) || m_axis_rd_tdata == marked_word_q,
        "a word leaves in its turn as it came")
    `EMBNIC_FV_STATE(from_nothing, !m_axis_rd_tvalid || held != '0, "only words that went in come out")
    `EMBNIC_FV_STATE(capacity, 32'(held) <= DEPTH + 1, "no more words are inside than there is room for")
    `EMBNIC_FV_STATE(reader_waits, rd_waited_q <= 3'd3, "a word inside is at the output within 3 edges of clk_rd")
    `EMBNIC_FV_STATE(writer_waits, wr_waited_q <= 3'd2, "a free place is known to the writer within 2 edges of clk_wr")
    always_comb begin : covers
        full:     cover (32'(held) == DEPTH + 1);
        followed: cover (left_q && marked_word_q == 4'd9 && 32'(marked_seq_q) == DEPTH);
    end

    // What makes the proof inductive. Going back in time from the write pointer: as clk_rd is about to see it, as it sees it,
    // the read pointer, as clk_wr is about to see that, and as it sees it; together they span DEPTH words at most.
    function automatic logic [PTR_W-1:0] binary(input logic [PTR_W-1:0] gray);
        binary = '0;
        for (int i = int'(PTR_W) - 1; i >= 0; i--) binary[i] = ^(gray >> i);
    endfunction

    logic [PTR_W-1:0] wr_ptr, wr_meta, wr_seen, rd_ptr, rd_meta, rd_seen;
    logic [SEQ_W-1:0] place;

    assign wr_ptr  = u_dut.wr_ptr_q;
    assign wr_meta = binary(u_dut.u_rd_wr_gray.dst_meta_q);
    assign wr_seen = binary(u_dut.rd_wr_gray);
    assign rd_ptr  = u_dut.rd_ptr_q;
    assign rd_meta = binary(u_dut.u_wr_rd_gray.dst_meta_q);
    assign rd_seen = binary(u_dut.wr_rd_gray);
    assign place   = marked_seq_q - popped_q;

    `EMBNIC_FV_STATE_HELP(no_reset, !u_dut.wr_clear_q && !u_dut.rd_clear_q && !u_dut.wr_sees_reset && !u_dut.rd_sees_clear
        && !u_dut.u_wr_reset.dst_meta_q && !u_dut.u_rd_clear.dst_meta_q, "nobody is in reset")
    `EMBNIC_FV_STATE_HELP(gray_agrees, binary(u_dut.wr_gray_q) == wr_ptr && binary(u_dut.rd_gray_q) == rd_ptr,
        "gray and binary pointers agree")
    `EMBNIC_FV_STATE_HELP(in_order, 32'(PTR_W'(wr_ptr - wr_meta)) + 32'(PTR_W'(wr_meta - wr_seen))
        + 32'(PTR_W'(wr_seen - rd_ptr)) + 32'(PTR_W'(rd_ptr - rd_meta)) + 32'(PTR_W'(rd_meta - rd_seen)) <= DEPTH,
        "pointers seen are late, never early")
    `EMBNIC_FV_STATE_HELP(all_held, 32'(held) == 32'(PTR_W'(wr_ptr - rd_ptr)) + 32'(m_axis_rd_tvalid),
        "every word is in the memory or at the output")
    `EMBNIC_FV_STATE_HELP(still_in, !marked_q || left_q || place < held, "the followed word is inside")
    `EMBNIC_FV_STATE_HELP(unmarked, marked_q || !left_q, "nothing was followed yet, nothing left")
    `EMBNIC_FV_STATE_HELP(stored, !marked_q || left_q || (place == '0 && m_axis_rd_tvalid)
        || u_dut.mem[(PTR_W-1)'(rd_ptr + PTR_W'(place) - PTR_W'(m_axis_rd_tvalid))] == marked_word_q,
        "the followed word is where its number says")
    `EMBNIC_FV_STATE_HELP(reader_nears, rd_waited_q == '0 || m_axis_rd_tvalid
        || (rd_waited_q == 3'd1 && wr_meta != rd_ptr) || (rd_waited_q == 3'd2 && wr_seen != rd_ptr),
        "a waiting reader sees the word come nearer")
    `EMBNIC_FV_STATE_HELP(writer_nears, wr_waited_q == '0 || s_axis_wr_tready
        || (wr_waited_q == 3'd1 && PTR_W'(wr_ptr - rd_meta) != PTR_W'(DEPTH)), "a waiting writer sees the place come nearer")
    `EMBNIC_FV_STATE_HELP(history, !u_dut.gen_rd_assertions.out_stable_waiting_q || (m_axis_rd_tvalid
        && u_dut.gen_rd_assertions.out_stable_payload_q == m_axis_rd_tdata), "a word that waited is still offered")
endmodule
`default_nettype wire
