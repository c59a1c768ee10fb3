// SPDX-License-Identifier: Apache-2.0
// embnic_pool: every beat that is to be emitted is written once: a mean in its turn, any other SUM_LATENCY cycles later at
// its own address; the FIFO of means never overflows and never holds back another beat.
//
// Arithmetic is left out: no property looks at data, so the lanes vanish. Beats do not read accumulators.
`default_nettype none
`include "embnic_fv.svh"
module embnic_pool_fv
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
(
    input wire logic       clk,
    input wire logic       rst,
    input wire logic       beat_valid,
    input wire logic       emit,
    input wire logic       mean,
    input wire logic       done,
    input wire logic       padded,  // the beat lies behind the last element
    input wire logic [1:0] addr
);
    `EMBNIC_FV_RESET

    localparam int unsigned SUM_LATENCY = FMA_STAGES + 2;
    localparam int unsigned MOST        = FMA_STAGES + DIV_STAGES + 4;  // beats in the pool that will be emitted

    beat_t             info;
    logic              rsp_wr_en, bag_done_valid, sts_idle;
    logic [RSP_W-1:0]  rsp_wr_addr;
    logic [31:0]       rsp_wr_data;
    logic [CTX_W-1:0]  bag_done_ctx;
    logic [CNT_W-1:0]  bag_done_count;

    always_comb begin
        info          = '0;
        info.first    = 1'b1;
        info.last     = emit;
        info.done     = emit && done;
        info.dim      = 16'd1;
        info.beat     = BEAT_W'(padded);
        info.pooling  = mean ? POOLING_MEAN : POOLING_SUM;
        info.count    = CNT_W'(1);
        info.rsp_addr = RSP_W'(addr);
    end

    embnic_pool #(.DATA_W(32), .SLOTS(1), .MAX_VEC64(1)) u_dut (
        .clk, .rst, .beat_valid,
        .beat_info(info),
        .beat_data('0),
        .rsp_wr_en, .rsp_wr_addr, .rsp_wr_data, .bag_done_valid, .bag_done_ctx, .bag_done_count, .sts_idle
    );

    // What was given, by age: to be emitted at once, to be emitted as a mean, its address.
    logic [SUM_LATENCY:1]      direct_q, mean_q, done_q;
    logic [SUM_LATENCY:1][1:0] addr_q;
    logic [6:0]                inside_q;  // beats given to be emitted and not written
    logic                      wrote_direct;

    assign wrote_direct = direct_q[SUM_LATENCY];

    always_ff @(posedge clk) begin
        addr_q <= {addr_q[SUM_LATENCY-1:1], addr};
        if (rst) begin
            direct_q <= '0;
            mean_q   <= '0;
            done_q   <= '0;
            inside_q <= '0;
        end else begin
            direct_q <= {direct_q[SUM_LATENCY-1:1], beat_valid && emit && !mean};
            mean_q   <= {mean_q[SUM_LATENCY-1:1], beat_valid && emit && mean};
            done_q   <= {done_q[SUM_LATENCY-1:1], beat_valid && emit && done};
            inside_q <= inside_q + 7'(beat_valid && emit) - 7'(rsp_wr_en);
        end
    end

    `EMBNIC_ASSERT(on_time, !wrote_direct || (rsp_wr_en && rsp_wr_addr == RSP_W'(addr_q[SUM_LATENCY])
        && bag_done_valid == done_q[SUM_LATENCY]), "a beat that is no mean is written in its cycle, at its address")
    `EMBNIC_NEVER(from_nothing, rsp_wr_en && inside_q == '0, "nothing is written that was not given")
    `EMBNIC_ASSERT(idle_is_empty, !sts_idle || inside_q == '0, "an idle pool has written everything")
    `EMBNIC_NEVER(too_many, 32'(inside_q) > MOST + 1, "no more beats are inside than the FIFO of means can hold")
    `EMBNIC_COVER(both, wrote_direct && u_dut.mean_wait_valid, "means wait while others are written")
    `EMBNIC_COVER(mean_done, rsp_wr_en && !wrote_direct && bag_done_valid && rsp_wr_addr[1:0] == 2'd2, "a mean is written")

    // What makes the proof inductive: where all these beats are, and what their stages know.
    logic [6:0] under_way, in_divider;

    always_comb begin
        in_divider = '0;
        for (int unsigned i = 1; i <= DIV_STAGES; i++) in_divider = in_divider + 7'(u_dut.u_divide.valid_q[i]);
        under_way = in_divider + 7'(u_dut.mean_fifo_cnt) + 7'(u_dut.direct_valid_q) + 7'(rsp_wr_en);
        for (int unsigned i = 1; i <= FMA_STAGES; i++) under_way = under_way + 7'(direct_q[i]) + 7'(mean_q[i]);
    end

    `EMBNIC_FV_HELP(all_there, inside_q == under_way, "every beat to be emitted is under way")
    `EMBNIC_FV_HELP(means_there, u_dut.mean_cnt_q == in_divider + 7'(u_dut.mean_fifo_cnt), "means are in the divider or the FIFO")
    `EMBNIC_FV_HELP(direct_there, u_dut.direct_valid_q == direct_q[FMA_STAGES+1], "the others are where their age says")
    `EMBNIC_FV_HELP(fifo_prompt, u_dut.mean_wait_valid || u_dut.mean_fifo_cnt <= 2, "the FIFO offers what it holds at once")
    `EMBNIC_FV_HELP(fifo_room, 3'(u_dut.u_means.out_cnt_q) + 3'(u_dut.u_means.read_valid_q) <= 3'd2, "its output queue has room")
    `EMBNIC_FV_HELP(fifo_full_out, u_dut.u_means.ram_count < 2
        || 3'(u_dut.u_means.out_cnt_q) + 3'(u_dut.u_means.read_valid_q) == 3'd2, "which is full before words collect in the RAM")
    `EMBNIC_FV_HELP(bound, inside_q <= 7'(FMA_STAGES + DIV_STAGES + 4) + 7'(rsp_wr_en),
        "while means wait a beat leaves in every cycle")

    // Words of the pool's delay lines: what a beat asks for, as it lies in its low bits.
    localparam int unsigned DONE_BIT   = RSP_W + CNT_W + CTX_W + 1;
    localparam int unsigned DIVIDE_BIT = DONE_BIT + 1;
    localparam int unsigned EMIT_BIT   = DONE_BIT + 2;
    localparam int unsigned SUM_BIT    = DONE_BIT + 3;
    localparam int unsigned READ       = FMA_C_DELAY - 2;

    for (genvar i = 1; i <= int'(FMA_STAGES); i++) begin : gen_stage
        logic [SUM_BIT:0] meta;

        if (i <= int'(READ)) begin : gen_read
            assign meta = u_dut.u_meta_read.line_q[i-1][SUM_BIT:0];
        end else if (i <= int'(FMA_C_DELAY)) begin : gen_addend
            assign meta = u_dut.u_meta_addend.line_q[i-int'(READ)-1][SUM_BIT:0];
        end else begin : gen_result
            assign meta = u_dut.u_meta_result.line_q[i-int'(FMA_C_DELAY)-1][SUM_BIT:0];
        end
        `EMBNIC_FV_HELP(direct_stage, direct_q[i] == (u_dut.valid_q[i] && meta[EMIT_BIT] && !meta[DIVIDE_BIT]),
            "a beat that is no mean is in its stage")
        `EMBNIC_FV_HELP(mean_stage, mean_q[i] == (u_dut.valid_q[i] && meta[EMIT_BIT] && meta[DIVIDE_BIT]),
            "and so is a mean")
        `EMBNIC_FV_HELP(adder_stage, u_dut.gen_lane[0].u_fma.valid_q[i] == (u_dut.valid_q[i] && meta[SUM_BIT]),
            "the adder works on what it adds")
        `EMBNIC_FV_HELP(word_stage, !direct_q[i] || (meta[RSP_W-1:0] == RSP_W'(addr_q[i]) && meta[DONE_BIT] == done_q[i]),
            "with its address")
    end
    `EMBNIC_FV_HELP(word_direct, !direct_q[FMA_STAGES+1] || (u_dut.direct.rsp_addr == RSP_W'(addr_q[FMA_STAGES+1])
        && u_dut.direct.done == done_q[FMA_STAGES+1]), "and so until it is written")
    `EMBNIC_FV_HELP(written, !direct_q[SUM_LATENCY] || (rsp_wr_en && rsp_wr_addr == RSP_W'(addr_q[SUM_LATENCY])),
        "and written")
endmodule
`default_nettype wire
