// SPDX-License-Identifier: Apache-2.0
// Reduces the rows of a bag to one vector, beat by beat: sum, mean or max per fp32 lane, for SLOTS
// bags at a time.
//
// Meaning        sum, mean: acc = fma(weight, x, first ? +0 : acc); mul_then_add rounds weight * x
//                first.
//                max: the first row as it is; later an element replaces iff new > old (ordered).
//                none, load: acc = x. flush: acc as it is, zeros when first.
//                last (and flush) emits the result to the reply buffer; a mean that is not partial
//                is divided by float(count), unless count is 0.
//                Lanes from element dim on are padding: zeros, whatever the weight. A NaN that
//                arithmetic makes is 0x7fc00000; max, none, load and flush keep bits.
// Order          the beats of a bag leave in the order in which they came; means come later than
//                others.
// Back-pressure  none: one beat in every cycle is taken, and every result written.
// Latency        SUM_LATENCY cycles from beat_valid to rsp_wr_en; a mean MEAN_LATENCY, more while
//                others take the port.
// Throughput     one beat per cycle, bags of one key included.
// Rules          beat v of a slot may be read (not first, not load) ACC_LOOP_CYCLES after it was
//                last given, at the earliest. All emitted beats of a bag carry the same pooling,
//                partial and count.
// Not handled    two writers of one slot: a bag keeps its slot to itself until it is emitted.
//
//   cycle 0 beat | 3 accumulator address | 5 accumulator | 6..12 max waits for the adder
//   13 result | 14 accumulator write
`default_nettype none
`include "embnic_assert.svh"
module embnic_pool
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
    import embnic_fp32_pkg::*;
#(
    parameter int unsigned DATA_W    = 512,  // bits of a beat: a power of two, 32 to 512
    parameter int unsigned SLOTS     = 32,   // open bags, 1 to 64
    parameter int unsigned MAX_VEC64 = 64    // longest vector, 64-byte wire beats; a power of two
) (
    input  wire logic                     clk,
    input  wire logic                     rst,
    input  wire logic                     beat_valid,
    input  wire logic [$bits(beat_t)-1:0] beat_info,       // beat_t
    input  wire logic [DATA_W-1:0]        beat_data,
    output      logic                     rsp_wr_en,       // to the reply buffer
    output      logic [RSP_W-1:0]         rsp_wr_addr,
    output      logic [DATA_W-1:0]        rsp_wr_data,
    output      logic                     bag_done_valid,  // with the bag's last write
    output      logic [CTX_W-1:0]         bag_done_ctx,
    output      logic [CNT_W-1:0]         bag_done_count,
    output      logic                     sts_idle         // nothing is under way
);
    localparam int unsigned LANES        = DATA_W / 32;
    localparam int unsigned VEC_BEATS    = MAX_VEC64 * 512 / DATA_W;
    localparam int unsigned VEC_W        = $clog2(VEC_BEATS);
    localparam int unsigned DEPTH        = SLOTS * VEC_BEATS;
    localparam int unsigned ACC_W        = $clog2(DEPTH);
    localparam int unsigned LANE_CNT_W   = $clog2(LANES + 1);
    // Cycles after the beat: the adder's result, the accumulator, its address, its write.
    localparam int unsigned RESULT       = FMA_STAGES;
    localparam int unsigned ADDEND       = FMA_C_DELAY;
    localparam int unsigned READ         = ADDEND - 2;
    localparam int unsigned WRITE        = RESULT + 1;
    localparam int unsigned SUM_LATENCY  = WRITE + 1;
    localparam int unsigned FIFO_LATENCY = 3;
    localparam int unsigned MEAN_LATENCY = RESULT + DIV_STAGES + FIFO_LATENCY + 1;

    if (DATA_W < 32 || DATA_W > 512 || (DATA_W & (DATA_W - 1)) != 0) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be a power of two, 32 to 512");
    end
    if (SLOTS < 1 || SLOTS > (1 << SLOT_W)) begin : gen_bad_slots
        $fatal(1, "SLOTS must be 1 to 64");
    end
    if (MAX_VEC64 < 1 || (MAX_VEC64 & (MAX_VEC64 - 1)) != 0 || VEC_BEATS < 2
        || VEC_BEATS >= (1 << BEAT_W)) begin : gen_bad_vec
        $fatal(1, "MAX_VEC64 must be a power of two, its bus beats 2 to 256");
    end
    if (ACC_LOOP_CYCLES < WRITE + 1 - READ || SUM_LATENCY > 18
        || MEAN_LATENCY > 50) begin : gen_bad_loop
        $fatal(1, "ACC_LOOP_CYCLES must cover the loop through the accumulator");
    end

    // Cycle 0: what a beat asks for.
    typedef struct packed {
        logic [ACC_W-1:0]      addr;    // in the accumulator RAM
        logic                  sum;     // through the adder; else bits are kept
        logic                  emit;    // to the reply buffer, else to the accumulator
        logic                  divide;
        logic                  done;
        logic [LANE_CNT_W-1:0] lanes;   // lanes that are elements
        logic [CTX_W-1:0]      ctx;
        logic [CNT_W-1:0]      count;
        logic [RSP_W-1:0]      rsp_addr;
    } meta_t;

    typedef struct packed {
        logic max;
        logic row;   // the accumulator becomes the row
        logic read;  // the accumulator counts
    } keep_t;

    beat_t       info;
    meta_t       meta, meta_read, meta_addend, meta_result;
    keep_t       keep_how, keep_how_read, keep_how_addend;
    logic [15:0] elements_before, elements_left;

    assign info            = beat_t'(beat_info);
    assign elements_before = 16'(info.beat) * 16'(LANES);
    assign elements_left   = (info.dim > elements_before) ? info.dim - elements_before : '0;

    always_comb begin
        meta.addr     = ACC_W'({info.slot, info.beat[VEC_W-1:0]});
        meta.sum      = !info.load && !info.flush
                        && (info.pooling == POOLING_SUM || info.pooling == POOLING_MEAN);
        keep_how.max  = !info.load && !info.flush && info.pooling == POOLING_MAX;
        keep_how.row  = !info.flush && (info.load || info.pooling == POOLING_NONE
                                        || (info.pooling == POOLING_MAX && info.first));
        keep_how.read = !info.first && !keep_how.row;
        meta.emit     = info.last || info.flush;
        meta.divide   = info.pooling == POOLING_MEAN && !info.partial && info.count != '0;
        meta.done     = info.done;
        meta.lanes    = (elements_left >= 16'(LANES)) ? LANE_CNT_W'(LANES)
                                                      : LANE_CNT_W'(elements_left);
        meta.ctx      = info.ctx;
        meta.count    = info.count;
        meta.rsp_addr = info.rsp_addr;
    end

    logic [WRITE:1] valid_q;  // index: the cycle after beat_valid

    always_ff @(posedge clk) begin
        if (rst) valid_q <= '0;
        else     valid_q <= {valid_q[WRITE-1:1], beat_valid};
    end

    embnic_delay #(.WIDTH($bits(keep_t) + $bits(meta_t)), .CYCLES(READ)) u_meta_read (
        .clk, .rst, .in({keep_how, meta}), .out({keep_how_read, meta_read})
    );
    embnic_delay #(.WIDTH($bits(keep_t) + $bits(meta_t)), .CYCLES(ADDEND - READ)) u_meta_addend (
        .clk, .rst, .in({keep_how_read, meta_read}), .out({keep_how_addend, meta_addend})
    );
    embnic_delay #(.WIDTH($bits(meta_t)), .CYCLES(RESULT - ADDEND)) u_meta_result (
        .clk, .rst, .in(meta_addend), .out(meta_result)
    );

    // The accumulators.
    logic              acc_wr_q;
    logic [ACC_W-1:0]  acc_addr_q;
    logic [DATA_W-1:0] acc, value_q;

    embnic_ram_1r1w #(.WIDTH(DATA_W), .DEPTH(DEPTH), .OUT_REG(1'b1)) u_accumulators (
        .clk,
        .wr_en  (acc_wr_q),
        .wr_addr(acc_addr_q),
        .wr_data(value_q),
        .rd_en  (valid_q[READ] && keep_how_read.read),
        .rd_addr(meta_read.addr),
        .rd_data(acc)
    );

    // Adders, and beside them what keeps bits.
    logic [DATA_W-1:0] row, sum, keep_q, keep, value;
    logic [LANES-1:0]  sum_valid;

    embnic_delay #(.WIDTH(DATA_W), .CYCLES(ADDEND)) u_row (.clk, .rst, .in(beat_data), .out(row));
    embnic_delay #(.WIDTH(DATA_W), .CYCLES(RESULT - ADDEND - 1)) u_keep (
        .clk, .rst, .in(keep_q), .out(keep)
    );

    for (genvar lane = 0; lane < int'(LANES); lane++) begin : gen_lane
        logic [31:0] acc_lane, row_lane;

        assign acc_lane = keep_how_addend.read ? acc[lane*32+:32] : '0;
        assign row_lane = row[lane*32+:32];

        embnic_fp32_fma u_fma (
            .clk, .rst,
            .valid_in     (beat_valid && meta.sum),
            .round_product(info.mul_then_add),
            .a            (info.weight),
            .b            (beat_data[lane*32+:32]),
            .c            (acc_lane),
            .valid_out    (sum_valid[lane]),
            .result       (sum[lane*32+:32])
        );

        always_ff @(posedge clk) begin
            if (valid_q[ADDEND] && !meta_addend.sum) begin
                keep_q[lane*32+:32] <= (keep_how_addend.row
                                        || (keep_how_addend.max
                                            && fp32_greater(row_lane, acc_lane)))
                                       ? row_lane : acc_lane;
            end
        end

        assign value[lane*32+:32] = (LANE_CNT_W'(lane) >= meta_result.lanes) ? '0
                                  : meta_result.sum ? sum[lane*32+:32] : keep[lane*32+:32];
    end

    // Means go through the dividers and then wait for a free cycle of the write port.
    //
    // The FIFO cannot overflow: while it offers a word, a beat leaves the pool in every cycle and
    // at most one enters. In the cycle in which it begins to offer one, every beat in the pool has
    // entered within the last MEAN_LATENCY cycles. So never more than MEAN_LATENCY <= 50 beats are
    // in the pool that have not been written, and the FIFO holds 64.
    localparam int unsigned MEAN_DEPTH = 64;

    typedef struct packed {
        logic              done;
        logic [CTX_W-1:0]  ctx;
        logic [CNT_W-1:0]  count;
        logic [RSP_W-1:0]  rsp_addr;
        logic [DATA_W-1:0] data;
    } write_t;

    localparam int unsigned SIDE_W = $bits(write_t) - DATA_W;

    logic [SIDE_W-1:0] side;
    assign side = {meta_result.done, meta_result.ctx, meta_result.count, meta_result.rsp_addr};

    logic              divide, mean_valid, mean_ready, mean_wait_valid, mean_wait_ready;
    logic [DATA_W-1:0] mean;
    logic [SIDE_W-1:0] mean_side;
    write_t            mean_wait, direct, chosen;
    logic              direct_valid_q;
    logic [SIDE_W-1:0] direct_side_q;
    logic [6:0]        mean_cnt_q;  // means between the divider's input and the write port
    logic [$clog2(MEAN_DEPTH+4)-1:0] mean_fifo_cnt;

    assign divide = valid_q[RESULT] && meta_result.emit && meta_result.divide;

    embnic_fp32_div_uint #(.LANES(LANES)) u_divide (
        .clk, .rst,
        .valid_in (divide),
        .a        (value),
        .count    (meta_result.count),
        .storage  (ROUND_FP32),
        .valid_out(mean_valid),
        .result   (mean)
    );

    embnic_delay #(.WIDTH(SIDE_W), .CYCLES(DIV_STAGES)) u_mean_side (
        .clk, .rst,
        .in (side),
        .out(mean_side)
    );

    embnic_fifo #(.WIDTH($bits(write_t)), .DEPTH(MEAN_DEPTH), .STYLE(1)) u_means (
        .clk, .rst,
        .s_axis_tdata ({mean_side, mean}),
        .s_axis_tvalid(mean_valid),
        .s_axis_tready(mean_ready),
        .m_axis_tdata (mean_wait),
        .m_axis_tvalid(mean_wait_valid),
        .m_axis_tready(mean_wait_ready),
        .sts_count    (mean_fifo_cnt)
    );

    // The write port: others first, so that they never wait.
    assign direct          = {direct_side_q, value_q};
    assign mean_wait_ready = !direct_valid_q;
    assign chosen          = direct_valid_q ? direct : mean_wait;

    always_ff @(posedge clk) begin
        if (valid_q[RESULT]) begin
            value_q       <= value;
            acc_addr_q    <= meta_result.addr;
            direct_side_q <= side;
        end
        if (direct_valid_q || mean_wait_valid) begin
            rsp_wr_addr    <= chosen.rsp_addr;
            rsp_wr_data    <= chosen.data;
            bag_done_ctx   <= chosen.ctx;
            bag_done_count <= chosen.count;
        end
        if (rst) begin
            acc_wr_q       <= 1'b0;
            direct_valid_q <= 1'b0;
            rsp_wr_en      <= 1'b0;
            bag_done_valid <= 1'b0;
            mean_cnt_q     <= '0;
        end else begin
            acc_wr_q       <= valid_q[RESULT] && !meta_result.emit;
            direct_valid_q <= valid_q[RESULT] && meta_result.emit && !meta_result.divide;
            rsp_wr_en      <= direct_valid_q || mean_wait_valid;
            bag_done_valid <= (direct_valid_q || mean_wait_valid) && chosen.done;
            mean_cnt_q     <= mean_cnt_q + 7'(divide) - 7'(mean_wait_valid && mean_wait_ready);
        end
    end

    assign sts_idle = !beat_valid && valid_q == '0 && mean_cnt_q == '0 && !rsp_wr_en;

    // Assertions
    logic [ACC_LOOP_CYCLES-1:1]            history_write_q;  // index: cycles ago; it accumulates
    logic [ACC_LOOP_CYCLES-1:1][ACC_W-1:0] history_addr_q;
    logic                                  too_early;

    always_ff @(posedge clk) begin
        history_write_q <= rst ? '0 : {history_write_q[ACC_LOOP_CYCLES-2:1],
                                       beat_valid && !meta.emit};
        history_addr_q  <= {history_addr_q[ACC_LOOP_CYCLES-2:1], meta.addr};
    end
    always_comb begin
        too_early = 1'b0;
        for (int unsigned ago = 1; ago < ACC_LOOP_CYCLES; ago++) begin
            if (history_write_q[ago] && history_addr_q[ago] == meta.addr) too_early = 1'b1;
        end
    end

    `EMBNIC_KNOWN(write_known, rsp_wr_en, "rsp_wr_en is known after reset")
    `EMBNIC_KNOWN(done_known, bag_done_valid, "bag_done_valid is known after reset")
    `EMBNIC_NEVER(hazard, beat_valid && keep_how.read && too_early,
                  "an accumulator is read ACC_LOOP_CYCLES after its last row or later")
    `EMBNIC_NEVER(slot_range, beat_valid && 32'(info.slot) >= SLOTS, "slot is below SLOTS")
    `EMBNIC_NEVER(beat_range, beat_valid && 32'(info.beat) >= VEC_BEATS,
                  "beat is below the longest vector")
    `EMBNIC_NEVER(done_without_last, beat_valid && info.done && !meta.emit,
                  "done comes with the emitted beat only")
    `EMBNIC_NEVER(mean_lost, mean_valid && !mean_ready, "a mean always finds a place")
    `EMBNIC_NEVER(mean_bound, mean_cnt_q > 7'(MEAN_LATENCY),
                  "no more means wait than entered within MEAN_LATENCY cycles")
    `EMBNIC_ASSERT(count_agrees, 7'(mean_fifo_cnt) <= mean_cnt_q,
                   "the FIFO holds no more than what is under way")
    `EMBNIC_ASSERT(lanes_agree, sum_valid == {LANES{valid_q[RESULT] && meta_result.sum}},
                   "the adders' results come with their beat")
    `EMBNIC_COVER(port_taken, direct_valid_q && mean_wait_valid, "a mean waits for the write port")
    `EMBNIC_COVER(padding, valid_q[RESULT] && meta_result.lanes != LANE_CNT_W'(LANES),
                  "a beat holds padding")
endmodule
`default_nettype wire
