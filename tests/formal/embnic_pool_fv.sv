// SPDX-License-Identifier: Apache-2.0
// embnic_pool: every beat that is to be emitted is written once: a mean in its turn, any other SUM_LATENCY cycles later at
// its own address, one of a long row INT_EXTRA_CYCLES after that; the FIFO of means never overflows and never holds back
// another beat.
//
// Arithmetic is left out: no property looks at data, so the lanes vanish. Beats do not read accumulators.
`default_nettype none
`include "embnic_fv.svh"
module embnic_pool_fv
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
    import embnic_fp32_pkg::*;
(
    input wire logic       clk,
    input wire logic       rst,
    input wire logic       beat_valid,
    input wire logic       long,    // of a quantised row
    input wire logic       emit,
    input wire logic       mean,
    input wire logic       fixed,   // an int32 row, if not long: its mean is not divided
    input wire logic       done,
    input wire logic       padded,  // the beat lies behind the last element
    input wire logic [1:0] addr
);
    `EMBNIC_FV_RESET

    localparam int unsigned SUM_LATENCY = FMA_STAGES + 2;
    localparam int unsigned LONG        = INT_EXTRA_CYCLES;
    // Results that wait for the write port: a divider full, what the FIFO does not offer yet, and one more.
    localparam int unsigned MOST        = DIV_STAGES - DIV_A_DELAY + 3;

    beat_t             info;
    logic              rsp_wr_en, bag_done_valid, sts_idle;
    logic [RSP_W-1:0]  rsp_wr_addr;
    logic [31:0]       rsp_wr_data;
    logic [CTX_W-1:0]  bag_done_ctx;
    logic [CNT_W-1:0]  bag_done_count;
    logic [5:0]        evt_saturate;

    always_comb begin
        info          = '0;
        info.first    = 1'b1;
        info.last     = emit;
        info.done     = emit && done;
        info.dim      = 16'd1;
        info.beat     = BEAT_W'(padded);
        info.dtype    = long ? DTYPE_INT8 : fixed ? DTYPE_FIXED : DTYPE_FP32;
        info.weight   = 32'h3F80_0000;
        info.pooling  = mean ? POOLING_MEAN : POOLING_SUM;
        info.count    = CNT_W'(1);
        info.rsp_addr = RSP_W'(addr);
    end

    embnic_pool #(.DATA_W(32), .SLOTS(1), .MAX_VEC64(1), .PRODUCT_EN(1'b0)) u_dut (
        .clk, .rst, .beat_valid,
        .beat_info(info),
        .beat_data('0), .beat_scale('0), .beat_bias('0),
        .rsp_wr_en, .rsp_wr_addr, .rsp_wr_data, .bag_done_valid, .bag_done_ctx, .bag_done_count, .sts_idle, .evt_saturate
    );

    // A beat to be emitted: what it is.
    typedef struct packed {
        logic       direct;  // written as it is,
        logic       mean;    // or divided first
        logic       done;
        logic [1:0] addr;
    } given_t;

    // By age: of long rows until they go the way of the others; from there on all of them.
    given_t                 given, first;
    given_t [LONG:1]        late_q;
    logic   [LONG:1]        is_late_q;
    given_t [SUM_LATENCY:1] given_q;
    given_t                 written;
    logic   [6:0]           inside_q;  // beats given to be emitted and not written

    assign given   = (beat_valid && emit)
                     ? '{direct: !mean || (fixed && !long), mean: mean && !(fixed && !long), done: done, addr: addr} : '0;
    assign first   = is_late_q[LONG] ? late_q[LONG] : long ? '0 : given;
    assign written = given_q[SUM_LATENCY];

    always_ff @(posedge clk) begin
        if (rst) begin
            late_q    <= '0;
            is_late_q <= '0;
            given_q   <= '0;
            inside_q  <= '0;
        end else begin
            late_q    <= {late_q[LONG-1:1], long ? given : given_t'('0)};
            is_late_q <= {is_late_q[LONG-1:1], beat_valid && long};
            given_q   <= {given_q[SUM_LATENCY-1:1], first};
            inside_q  <= inside_q + 7'(beat_valid && emit) - 7'(rsp_wr_en);
        end
    end

    `EMBNIC_ASSUME(no_meeting, !(beat_valid && !long && is_late_q[LONG]),
        "no short beat comes INT_EXTRA_CYCLES after a long one")

    `EMBNIC_ASSERT(on_time, !written.direct || (rsp_wr_en && rsp_wr_addr == RSP_W'(written.addr)
        && bag_done_valid == written.done), "a beat that is no mean is written in its cycle, at its address")
    `EMBNIC_NEVER(from_nothing, rsp_wr_en && inside_q == '0, "nothing is written that was not given")
    `EMBNIC_ASSERT(idle_is_empty, !sts_idle || inside_q == '0, "an idle pool has written everything")
    `EMBNIC_NEVER(too_many, 32'(inside_q) > LONG + FMA_STAGES + MOST + 32'(rsp_wr_en),
        "no more beats are inside than its stages and the FIFO of means can hold")
    `EMBNIC_COVER(both, written.direct && u_dut.mean_wait_valid, "means wait while others are written")
    `EMBNIC_COVER(mean_done, rsp_wr_en && !written.direct && bag_done_valid && rsp_wr_addr[1:0] == 2'd2, "a mean is written")
    `EMBNIC_COVER(long_first, is_late_q[LONG] && late_q[LONG].direct && given_q[1].direct && beat_valid && long && emit,
        "long and short beats follow each other")

    // What makes the proof inductive: where all these beats are, and what their stages know.
    logic [6:0] in_stages, in_divider, waiting;

    always_comb begin
        in_divider = '0;
        for (int unsigned i = DIV_A_DELAY + 1; i <= DIV_STAGES; i++) in_divider = in_divider + 7'(u_dut.u_divide.valid_q[i]);
        in_stages = '0;
        for (int unsigned i = 1; i <= LONG; i++) in_stages = in_stages + 7'(late_q[i].direct || late_q[i].mean);
        for (int unsigned i = 1; i <= FMA_STAGES; i++) in_stages = in_stages + 7'(given_q[i].direct || given_q[i].mean);
    end
    assign waiting = u_dut.mean_cnt_q + 7'(u_dut.direct_valid_q);

    `EMBNIC_FV_HELP(all_there, inside_q == in_stages + waiting + 7'(rsp_wr_en), "every beat to be emitted is under way")
    `EMBNIC_FV_HELP(means_there, u_dut.mean_cnt_q == in_divider + 7'(u_dut.mean_fifo_cnt), "means are in the divider or the FIFO")
    `EMBNIC_FV_HELP(direct_there, u_dut.direct_valid_q == given_q[FMA_STAGES+1].direct, "the others are where their age says")
    `EMBNIC_FV_HELP(either, !(u_dut.direct_valid_q && u_dut.u_divide.valid_q[DIV_A_DELAY+1]), "a result goes one of two ways")
    `EMBNIC_FV_HELP(fifo_prompt, u_dut.mean_wait_valid || u_dut.mean_fifo_cnt <= 2, "the FIFO offers what it holds at once")
    `EMBNIC_FV_HELP(fifo_room, 3'(u_dut.u_means.out_cnt_q) + 3'(u_dut.u_means.read_valid_q) <= 3'd2, "its output queue has room")
    `EMBNIC_FV_HELP(fifo_full_out, u_dut.u_means.ram_count < 2
        || 3'(u_dut.u_means.out_cnt_q) + 3'(u_dut.u_means.read_valid_q) == 3'd2, "which is full before words collect in the RAM")
    `EMBNIC_FV_HELP(bound, 32'(waiting) <= MOST, "while means wait a beat leaves in every cycle")

    // Words of the pool's delay lines: what a beat asks for, as it lies in its low bits, and whether it is long above.
    localparam int unsigned DONE_BIT   = RSP_W + CNT_W + CTX_W + 1;
    localparam int unsigned DIVIDE_BIT = DONE_BIT + 1;
    localparam int unsigned EMIT_BIT   = DIVIDE_BIT + 1;
    localparam int unsigned SUM_BIT    = EMIT_BIT + 2;
    localparam int unsigned LONG_BIT   = 7;                // the highest of how bits are kept
    localparam int unsigned META_W     = SUM_BIT + 1 + $clog2(512 / 32);  // the accumulator's address is above
    localparam int unsigned ADDEND     = FMA_C_DELAY;
    localparam int unsigned KEEP       = ADDEND + 1;

    logic [LONG+ADDEND:1] long_at;  // by age: a long beat

    for (genvar i = 1; i <= int'(LONG); i++) begin : gen_late
        logic [META_W+LONG_BIT:0] word;

        assign word       = u_dut.u_meta_late.line_q[i-1];
        assign long_at[i] = u_dut.long_valid_q[i];
        `EMBNIC_FV_HELP(late_valid, is_late_q[i] == u_dut.long_valid_q[i], "a long beat waits in its stage")
        `EMBNIC_FV_HELP(late_stage, late_q[i].direct == (is_late_q[i] && word[EMIT_BIT] && !word[DIVIDE_BIT])
            && late_q[i].mean == (is_late_q[i] && word[EMIT_BIT] && word[DIVIDE_BIT]), "to be emitted or not")
        `EMBNIC_FV_HELP(late_word, !is_late_q[i] || (word[SUM_BIT] && word[META_W+LONG_BIT]), "for the adder")
        `EMBNIC_FV_HELP(late_addr, !late_q[i].direct || (word[RSP_W-1:0] == RSP_W'(late_q[i].addr)
            && word[DONE_BIT] == late_q[i].done), "with its address")
    end

    for (genvar i = 1; i <= int'(ADDEND); i++) begin : gen_long
        assign long_at[LONG+i] = u_dut.valid_q[i] && u_dut.u_keep_addend.line_q[i-1][LONG_BIT];
    end
    for (genvar i = 1; i <= int'(LONG + ADDEND); i++) begin : gen_long_arithmetic
        if (i <= int'(MUL_STAGES)) begin : gen_mul
            `EMBNIC_FV_HELP(mul_stage, u_dut.u_bias.valid_q[i] == long_at[i], "the products of a long beat keep its pace")
        end else begin : gen_add
            `EMBNIC_FV_HELP(add_stage, u_dut.gen_lane[0].u_add.valid_q[i-int'(MUL_STAGES)] == long_at[i],
                "and so does its sum")
        end
    end

    for (genvar i = 1; i <= int'(FMA_STAGES); i++) begin : gen_stage
        logic [SUM_BIT:0] meta;

        if (i <= int'(KEEP)) begin : gen_keep
            assign meta = u_dut.u_meta_keep.line_q[i-1][SUM_BIT:0];
        end else begin : gen_result
            assign meta = u_dut.u_meta_result.line_q[i-int'(KEEP)-1][SUM_BIT:0];
        end
        `EMBNIC_FV_HELP(direct_stage, given_q[i].direct == (u_dut.valid_q[i] && meta[EMIT_BIT] && !meta[DIVIDE_BIT]),
            "a beat that is no mean is in its stage")
        `EMBNIC_FV_HELP(mean_stage, given_q[i].mean == (u_dut.valid_q[i] && meta[EMIT_BIT] && meta[DIVIDE_BIT]),
            "and so is a mean")
        `EMBNIC_FV_HELP(adder_stage, u_dut.gen_lane[0].u_fma.valid_q[i] == (u_dut.valid_q[i] && meta[SUM_BIT]),
            "the adder works on what it adds")
        `EMBNIC_FV_HELP(count_stage, u_dut.u_divide.valid_q[i] == given_q[i].mean, "the divider has the count of a mean")
        `EMBNIC_FV_HELP(word_stage, !given_q[i].direct || (meta[RSP_W-1:0] == RSP_W'(given_q[i].addr)
            && meta[DONE_BIT] == given_q[i].done), "with its address")
    end
    `EMBNIC_FV_HELP(word_direct, !given_q[FMA_STAGES+1].direct || (u_dut.direct.rsp_addr == RSP_W'(given_q[FMA_STAGES+1].addr)
        && u_dut.direct.done == given_q[FMA_STAGES+1].done), "and so until it is written")
endmodule
`default_nettype wire
