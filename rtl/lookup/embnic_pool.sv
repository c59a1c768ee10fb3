// SPDX-License-Identifier: Apache-2.0
// Reduces the rows of a bag to one vector, beat by beat: sum, mean or max per 32-bit lane, for SLOTS
// bags at a time.
//
// Meaning        sum, mean: acc = fma(weight, x, first ? +0 : acc); mul_then_add rounds weight * x
//                first. x is the element widened to fp32.
//                max: the first row as it is; later an element replaces iff new > old (ordered).
//                none: acc = x. flush: acc as it is, zeros when first.
//                load (a partial): first: acc = x. Later it is merged: sum, mean: acc = acc + x, of
//                any format; max: as above.
//                int8, int4 (q with scale and bias): sum, mean:
//                acc = fma(scale * weight, q, (first ? +0 : acc) + bias * weight), each product
//                and sum rounded; max, none: x = fma(scale, q, bias), then as above.
//                fixed: int32; sums saturate, max is signed.
//                combine: acc = acc + the running sum that the fetch behind it names, or the larger;
//                of any format. bank says which running sum of the slot a beat means: see embnic_pkg.
//                Of floats the sum that is added may have a weight: acc = fma(weight, it, acc).
//                product, of a row: acc = acc + round(x * the bank that the fetch behind it names);
//                with combine: acc = acc * that bank.
//                last (and flush) emits the result to the reply buffer; a mean that is neither
//                partial nor fixed is divided by float(count), unless count is 0. That of an fp16
//                or bf16 table is rounded to the storage type before it, the count too; ties of
//                bf16 go to even with mul_then_add, else away from zero. The quotient is fp32.
//                Lanes from element dim on are padding: zeros, whatever the weight. A NaN that
//                arithmetic makes is 0x7fc00000; max, none, a first load and flush keep bits.
// Order          the beats of a bag leave in the order in which they came; means come later than
//                others.
// Back-pressure  none: one beat in every cycle is taken, and every result written.
// Latency        SUM_LATENCY cycles from beat_valid to rsp_wr_en; a mean MEAN_LATENCY, more while
//                others take the port. A row beat of int8 or int4 (long) INT_EXTRA_CYCLES more.
// Throughput     one beat per cycle, bags of one key included.
// Rules          beat v of a slot may be read (not first) ACC_LOOP_CYCLES after it was
//                last given, at the earliest; ACC_LOOP_LONG_CYCLES when that was a long beat. No
//                short beat comes exactly INT_EXTRA_CYCLES after a long one: they would meet at the
//                adder. A combine has its fetch in the cycle behind it. All emitted beats of a bag carry the same pooling, dtype, mul_then_add,
//                partial and count.
// Not handled    two writers of one slot: a bag keeps its slot to itself until it is emitted.
//
//   cycle 0 beat | 3 accumulator address | 5 accumulator | 6..12 what keeps bits waits
//   13 result | 14 accumulator write
//   long: 0..5 scale and bias times weight | 6..11 accumulator plus bias | 7 as cycle 0 of others,
//   but for the accumulator, which is read in cycle 3, too: one read port serves both
//   combine: as long, with the scale 1 and the bias -0; its fetch is read a cycle later and stands
//   for the integers in 7. One that keeps bits goes the short way: in 6 its fetch stands for the row
//   product: as combine, but for the factor: in 7 each lane has its own, the row's element that waited,
//   or the accumulator of the cycle before the fetch
`default_nettype none
`include "embnic_assert.svh"
module embnic_pool
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
    import embnic_fp32_pkg::*;
#(
    parameter int unsigned DATA_W    = 512,  // bits of a beat: a power of two, 32 to 512
    parameter int unsigned SLOTS     = 32,   // open bags, 1 to 64
    parameter int unsigned MAX_VEC64 = 64,   // longest vector, 64-byte wire beats; a power of two
    parameter bit          TREE_EN   = 1'b1, // build what combines running sums
    parameter bit          PRODUCT_EN = 1'b1 // build what multiplies two rows
) (
    input  wire logic                     clk,
    input  wire logic                     rst,
    input  wire logic                     beat_valid,
    input  wire logic [$bits(beat_t)-1:0] beat_info,       // beat_t
    input  wire logic [DATA_W-1:0]        beat_data,       // fp32 lanes, or int32
    input  wire logic [31:0]              beat_scale,      // of a quantised row
    input  wire logic [31:0]              beat_bias,
    output      logic                     rsp_wr_en,       // to the reply buffer
    output      logic [RSP_W-1:0]         rsp_wr_addr,
    output      logic [DATA_W-1:0]        rsp_wr_data,
    output      logic                     bag_done_valid,  // with the bag's last write
    output      logic [CTX_W-1:0]         bag_done_ctx,
    output      logic [CNT_W-1:0]         bag_done_count,
    output      logic                     sts_idle,        // nothing is under way
    output      logic [5:0]               evt_saturate     // elements of a fixed row that were clipped
);
    localparam int unsigned LANES        = DATA_W / 32;
    localparam logic [31:0] FP32_ONE     = 32'h3F80_0000;  // 1.0
    localparam logic [31:0] MINUS_ZERO   = 32'h8000_0000;
    localparam int unsigned VEC_BEATS    = MAX_VEC64 * 512 / DATA_W;
    localparam int unsigned VEC_W        = $clog2(VEC_BEATS);
    localparam int unsigned DEPTH        = SLOTS * VEC_BEATS;
    localparam int unsigned ACC_W        = $clog2(DEPTH);
    localparam int unsigned LANE_CNT_W   = $clog2(LANES + 1);
    // Cycles after the beat (of a long one INT_EXTRA_CYCLES more, but for READ): the accumulator's
    // address, the accumulator, what keeps bits chooses, the adder's result, its write.
    localparam int unsigned ADDEND       = FMA_C_DELAY;
    localparam int unsigned READ         = ADDEND - 2;
    localparam int unsigned KEEP         = ADDEND + 1;
    localparam int unsigned RESULT       = FMA_STAGES;
    localparam int unsigned WRITE        = RESULT + 1;
    localparam int unsigned LONG         = INT_EXTRA_CYCLES;
    localparam int unsigned SUM_LATENCY  = WRITE + 1;
    localparam int unsigned FIFO_LATENCY = 3;
    localparam int unsigned DIVIDE       = DIV_STAGES - DIV_A_DELAY;          // from the result on
    localparam int unsigned MEAN_WAIT    = DIVIDE + FIFO_LATENCY + 1;
    localparam bit          BANKS_EN     = TREE_EN || PRODUCT_EN;

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
    if (ACC_LOOP_CYCLES < WRITE + 1 - READ
        || ACC_LOOP_LONG_CYCLES < LONG + WRITE + 1 - READ || SUM_LATENCY > 18) begin : gen_bad_loop
        $fatal(1, "ACC_LOOP_CYCLES must cover the loop through the accumulator");
    end
    if (DIV_A_DELAY != RESULT) begin : gen_bad_delay
        $fatal(1, "DIV_A_DELAY must be what the adder takes");
    end
    if (MUL_STAGES < KEEP || LONG + ADDEND != MUL_STAGES + ADD_STAGES) begin : gen_bad_extra
        $fatal(1, "INT_EXTRA_CYCLES must be what the product and the sum before the adder take");
    end

    // Cycle 0: what a beat asks for.
    typedef struct packed {
        logic [ACC_W-1:0]      addr;     // in the accumulator RAM
        logic                  sum;      // through the adder; else bits are kept
        logic                  late_max; // then the larger of the sum and the accumulator
        logic                  emit;     // to the reply buffer, else to the accumulator
        logic                  divide;
        logic                  done;
        logic [LANE_CNT_W-1:0] lanes;    // lanes that are elements
        logic [CTX_W-1:0]      ctx;
        logic [CNT_W-1:0]      count;
        logic [RSP_W-1:0]      rsp_addr;
    } meta_t;

    // How bits are kept.
    typedef struct packed {
        logic late;   // the accumulator comes late: of a long beat
        logic combine;
        logic times_row; // product of a row and the bank that is fetched
        logic times_acc; // product of the accumulator and that bank
        logic max;
        logic fixed;  // int32
        logic add;    // saturating
        logic row;    // the accumulator becomes the row
    } keep_t;

    // What to do with the accumulator.
    typedef struct packed {
        logic read;   // it counts
        logic none;   // the bias alone is the addend
    } use_t;

    beat_t       info;
    meta_t       meta, meta_late, meta_first, meta_keep, meta_result;
    keep_t       keep_how, keep_how_late, keep_how_first, keep_how_addend, keep_how_keep;
    use_t        acc_use, acc_use_read, acc_use_addend;
    fp32_round_e storage, storage_late;  // what a mean is rounded to before it is divided
    logic        is_row, is_long, is_fixed, is_sum;
    logic        is_merge;  // a partial that is added, or compared
    logic        adds, combine, fetch;
    logic        times_row, times_acc;
    logic [VEC_W-1:0] bank_offset;
    logic [15:0] elements_before, elements_left;

    assign info            = beat_t'(beat_info);
    assign combine         = BANKS_EN && info.combine;
    assign fetch           = BANKS_EN && info.fetch;
    assign times_row       = PRODUCT_EN && info.product && is_row;
    assign times_acc       = PRODUCT_EN && info.product && combine;
    assign is_row          = !info.load && !info.flush && !combine && !fetch;
    assign is_merge        = info.load && !info.first;
    assign adds            = (is_row || is_merge || combine) && is_sum;
    assign is_long         = (is_row && (dtype_quantised(info.dtype) || times_row))
                             || (combine && combine_is_long(info.pooling, info.dtype));
    assign is_fixed        = info.dtype == DTYPE_FIXED;
    assign is_sum          = info.pooling == POOLING_SUM || info.pooling == POOLING_MEAN;
    assign elements_before = 16'(info.beat) * 16'(LANES);
    assign elements_left   = (info.dim > elements_before) ? info.dim - elements_before : '0;

    always_comb begin
        bank_offset = '0;
        for (int b = 0; b < int'(BANK_W); b++) begin
            if (BANKS_EN && b < int'(VEC_W)) bank_offset[VEC_W-1-b] = info.bank[b];
        end
    end

    always_comb begin
        meta.addr     = ACC_W'({info.slot, info.beat[VEC_W-1:0] | bank_offset});
        meta.sum      = is_long || (adds && !is_fixed);
        meta.late_max = is_long && info.pooling == POOLING_MAX && !info.first;
        meta.emit     = info.last || info.flush;
        meta.divide   = info.pooling == POOLING_MEAN && !info.partial && !is_fixed
                        && info.count != '0;
        meta.done     = info.done;
        meta.lanes    = (elements_left >= 16'(LANES)) ? LANE_CNT_W'(LANES)
                                                      : LANE_CNT_W'(elements_left);
        meta.ctx      = info.ctx;
        meta.count    = info.count;
        meta.rsp_addr = info.rsp_addr;
        unique case (info.dtype)
            DTYPE_FP16: storage = ROUND_FP16;
            DTYPE_BF16: storage = info.mul_then_add ? ROUND_BF16 : ROUND_BF16_AWAY;
            default:    storage = ROUND_FP32;
        endcase

        keep_how.late  = is_long;
        keep_how.combine = combine;
        keep_how.times_row = times_row;
        keep_how.times_acc = times_acc;
        keep_how.max   = (is_row || is_merge || combine) && !is_long && info.pooling == POOLING_MAX;
        keep_how.fixed = is_fixed;
        keep_how.add   = adds && is_fixed;
        keep_how.row   = (info.load && info.first) || (is_row && !is_long
                                       && (info.pooling == POOLING_NONE
                                           || (info.pooling == POOLING_MAX && info.first)));

        acc_use.read   = !info.first && !(is_row && info.pooling == POOLING_NONE);
        acc_use.none   = is_long && !is_sum;
    end

    // To the accumulator: all beats alike.
    logic [KEEP:1] all_valid_q;  // index: the cycle after beat_valid

    always_ff @(posedge clk) begin
        if (rst) all_valid_q <= '0;
        else     all_valid_q <= {all_valid_q[KEEP-1:1], beat_valid};
    end

    logic [ACC_W-1:0] addr_read;

    embnic_delay #(.WIDTH(ACC_W + $bits(use_t)), .CYCLES(READ)) u_use_read (
        .clk, .rst, .in({meta.addr, acc_use}), .out({addr_read, acc_use_read})
    );
    embnic_delay #(.WIDTH($bits(use_t)), .CYCLES(ADDEND - READ)) u_use_addend (
        .clk, .rst, .in(acc_use_read), .out(acc_use_addend)
    );

    // To the adder: long beats wait, then go the way of the others.
    logic [LONG:1]  long_valid_q;
    logic [WRITE:1] valid_q;
    logic           first_valid, late;  // cycle 0 of the common way; a long beat takes it

    assign late        = long_valid_q[LONG];
    assign first_valid = late || (beat_valid && !is_long && !fetch);

    always_ff @(posedge clk) begin
        if (rst) begin
            long_valid_q <= '0;
            valid_q      <= '0;
        end else begin
            long_valid_q <= {long_valid_q[LONG-1:1], beat_valid && is_long};
            valid_q      <= {valid_q[WRITE-1:1], first_valid};
        end
    end

    embnic_delay #(.WIDTH($bits(keep_t) + $bits(meta_t)), .CYCLES(LONG)) u_meta_late (
        .clk, .rst, .in({keep_how, meta}), .out({keep_how_late, meta_late})
    );
    embnic_delay #(.WIDTH($bits(fp32_round_e)), .CYCLES(LONG)) u_storage_late (
        .clk, .rst, .in(storage), .out({storage_late})
    );
    assign {keep_how_first, meta_first} = late ? {keep_how_late, meta_late} : {keep_how, meta};

    embnic_delay #(.WIDTH($bits(keep_t)), .CYCLES(ADDEND)) u_keep_addend (
        .clk, .rst, .in(keep_how_first), .out(keep_how_addend)
    );
    embnic_delay #(.WIDTH($bits(keep_t)), .CYCLES(KEEP - ADDEND)) u_keep_keep (
        .clk, .rst, .in(keep_how_addend), .out(keep_how_keep)
    );
    embnic_delay #(.WIDTH($bits(meta_t)), .CYCLES(KEEP)) u_meta_keep (
        .clk, .rst, .in(meta_first), .out(meta_keep)
    );
    embnic_delay #(.WIDTH($bits(meta_t)), .CYCLES(RESULT - KEEP)) u_meta_result (
        .clk, .rst, .in(meta_keep), .out(meta_result)
    );

    // The accumulators.
    logic              acc_wr_q;
    logic [ACC_W-1:0]  acc_addr_q;
    logic [DATA_W-1:0] acc, acc_late, value_q;

    embnic_ram_1r1w #(.WIDTH(DATA_W), .DEPTH(DEPTH), .OUT_REG(1'b1)) u_accumulators (
        .clk,
        .wr_en  (acc_wr_q),
        .wr_addr(acc_addr_q),
        .wr_data(value_q),
        .rd_en  (all_valid_q[READ] && acc_use_read.read),
        .rd_addr(addr_read),
        .rd_data(acc)
    );

    // A long row's scale and bias, times its weight. What has no bias takes -0, whatever the weight.
    logic        scale_valid, bias_valid, no_bias;
    logic [31:0] scale, bias, factor_late_q, factor;

    assign no_bias = combine || times_row;

    embnic_fp32_mul u_scale (
        .clk, .rst,
        .valid_in (beat_valid && is_long),
        .a        (combine ? FP32_ONE : beat_scale),
        .b        (info.weight),
        .valid_out(scale_valid),
        .result   (scale)
    );
    embnic_fp32_mul u_bias (
        .clk, .rst,
        .valid_in (beat_valid && is_long),
        .a        (no_bias ? MINUS_ZERO : beat_bias),
        .b        (no_bias ? FP32_ONE : info.weight),
        .valid_out(bias_valid),
        .result   (bias)
    );

    always_ff @(posedge clk) if (scale_valid) factor_late_q <= scale;
    assign factor = late ? factor_late_q : info.weight;

    // Adders, and beside them what keeps bits.
    logic [DATA_W-1:0] row, sum, keep_q, keep, value, dividend;
    logic [LANES-1:0]  sum_valid, addend_valid, clipped_q, not_small;

    embnic_delay #(.WIDTH(DATA_W), .CYCLES(KEEP)) u_row (.clk, .rst, .in(beat_data), .out(row));
    embnic_delay #(.WIDTH(DATA_W), .CYCLES(KEEP + LONG - ADDEND)) u_acc_late (
        .clk, .rst, .in(acc), .out(acc_late)
    );
    embnic_delay #(.WIDTH(DATA_W), .CYCLES(RESULT - KEEP - 1)) u_keep (
        .clk, .rst, .in(keep_q), .out(keep)
    );

    for (genvar lane = 0; lane < int'(LANES); lane++) begin : gen_lane
        // A quantised element: an integer below 256 has only these bits.
        localparam int unsigned INT_LSB = 16;
        localparam int unsigned INT_W   = 31 - INT_LSB;

        logic [31:0]      x, acc_now, addend_late, addend, b_late, factor_lane;
        logic [INT_W-1:0] x_late;

        assign x               = beat_data[lane*32+:32];
        assign not_small[lane] = x[31] || x[INT_LSB-1:0] != '0;

        assign acc_now = acc_use_addend.read ? acc[lane*32+:32] : '0;

        // -0 leaves any bias as it is.
        logic [31:0] acc_now_q;
        always_ff @(posedge clk) begin
            if (all_valid_q[ADDEND]) acc_now_q <= acc_use_addend.none ? MINUS_ZERO : acc_now;
        end

        // A product needs the whole element late, and the accumulator before the one that is fetched.
        if (PRODUCT_EN) begin : gen_product
            logic [31:0] element_late, acc_before_q;

            embnic_delay #(.WIDTH(32), .CYCLES(LONG)) u_late (
                .clk, .rst, .in(x), .out(element_late)
            );
            always_ff @(posedge clk) if (all_valid_q[KEEP]) acc_before_q <= acc_now_q;

            assign x_late      = element_late[30:INT_LSB];
            assign factor_lane = (late && keep_how_late.times_row) ? element_late
                               : (late && keep_how_late.times_acc) ? acc_before_q : factor;
        end else begin : gen_no_product
            embnic_delay #(.WIDTH(INT_W), .CYCLES(LONG)) u_late (
                .clk, .rst, .in(x[30:INT_LSB]), .out(x_late)
            );
            assign factor_lane = factor;
        end

        embnic_fp32_add u_add (
            .clk, .rst,
            .valid_in (bias_valid),
            .a        (acc_now_q),
            .b        (bias),
            .valid_out(addend_valid[lane]),
            .result   (addend_late)
        );

        assign addend = (PRODUCT_EN && keep_how_addend.times_acc) ? MINUS_ZERO
                      : keep_how_addend.late ? addend_late : acc_now;

        assign b_late = (BANKS_EN && (keep_how_late.combine || keep_how_late.times_row))
                        ? acc_now_q : {1'b0, x_late, {INT_LSB{1'b0}}};

        embnic_fp32_fma u_fma (
            .clk, .rst,
            .valid_in     (first_valid && meta_first.sum),
            .round_product(late ? keep_how_late.times_row : info.mul_then_add),
            .a            (factor_lane),
            .b            (late ? b_late : x),
            .c            (addend),
            .valid_out    (sum_valid[lane]),
            .result       (sum[lane*32+:32])
        );

        // What keeps bits.
        logic [31:0] acc_lane, row_lane, clip_lane, keep_d;
        logic [32:0] fixed_sum;
        logic        overflow, greater;

        assign acc_lane  = keep_how_keep.late ? acc_late[lane*32+:32] : acc_now_q;
        assign row_lane  = (BANKS_EN && keep_how_keep.combine) ? acc_now : row[lane*32+:32];
        assign fixed_sum = {acc_lane[31], acc_lane} + {row_lane[31], row_lane};
        assign overflow  = fixed_sum[32] != fixed_sum[31];
        assign clip_lane = overflow ? {fixed_sum[32], {31{!fixed_sum[32]}}} : fixed_sum[31:0];
        assign greater   = fp32_or_int_greater(row_lane, acc_lane, keep_how_keep.fixed);

        always_comb begin
            keep_d = acc_lane;
            if (keep_how_keep.add) keep_d = clip_lane;
            else if (keep_how_keep.row || (keep_how_keep.max && greater)) keep_d = row_lane;
        end

        always_ff @(posedge clk) begin
            if (valid_q[KEEP]) keep_q[lane*32+:32] <= keep_d;
        end

        always_ff @(posedge clk) begin
            clipped_q[lane] <= valid_q[KEEP] && keep_how_keep.add && overflow
                               && LANE_CNT_W'(lane) < meta_keep.lanes;
        end

        // The result. A dividend never waits for the late compare.
        logic        padding;
        logic [31:0] sum_lane, keep_lane;

        assign padding   = LANE_CNT_W'(lane) >= meta_result.lanes;
        assign sum_lane  = sum[lane*32+:32];
        assign keep_lane = keep[lane*32+:32];

        assign dividend[lane*32+:32] = padding ? '0 : meta_result.sum ? sum_lane : keep_lane;
        assign value[lane*32+:32]
            = padding ? '0
            : (meta_result.sum && !(meta_result.late_max && !fp32_greater(sum_lane, keep_lane)))
              ? sum_lane : keep_lane;
    end

    // Means go through the dividers and then wait for a free cycle of the write port. The count goes
    // to the divider with the beat, its sum when the adder has it.
    //
    // The FIFO cannot overflow: while it offers a word, a beat is written in every cycle and at most
    // one result comes. In the cycle in which it begins to offer one, every result that has not
    // been written came within the last MEAN_WAIT cycles. So never more than MEAN_WAIT of them
    // wait, and the FIFO holds 64.
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
        .valid_in (first_valid && meta_first.emit && meta_first.divide),
        .a        (dividend),
        .count    (meta_first.count),
        .storage  (late ? storage_late : storage),
        .valid_out(mean_valid),
        .result   (mean)
    );

    embnic_delay #(.WIDTH(SIDE_W), .CYCLES(DIVIDE)) u_mean_side (
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
            evt_saturate   <= '0;
        end else begin
            evt_saturate   <= 6'($countones(clipped_q));
            acc_wr_q       <= valid_q[RESULT] && !meta_result.emit;
            direct_valid_q <= valid_q[RESULT] && meta_result.emit && !meta_result.divide;
            rsp_wr_en      <= direct_valid_q || mean_wait_valid;
            bag_done_valid <= (direct_valid_q || mean_wait_valid) && chosen.done;
            mean_cnt_q     <= mean_cnt_q + 7'(divide) - 7'(mean_wait_valid && mean_wait_ready);
        end
    end

    assign sts_idle = !beat_valid && long_valid_q == '0 && valid_q == '0 && mean_cnt_q == '0
                      && !rsp_wr_en;

    // How to multiply is known before bits are kept.
    wire unused = &{1'b0, keep_how_keep};

    // Assertions
    localparam int unsigned HISTORY = ACC_LOOP_LONG_CYCLES - 1;

    logic [HISTORY:1]            history_write_q;  // index: cycles ago; it accumulates
    logic [HISTORY:1]            history_long_q;
    logic [HISTORY:1][ACC_W-1:0] history_addr_q;
    logic                        too_early, pair_q;

    always_ff @(posedge clk) begin
        history_write_q <= rst ? '0 : {history_write_q[HISTORY-1:1], beat_valid && !meta.emit && !fetch};
        pair_q          <= !rst && beat_valid && (combine || times_row);
        history_long_q  <= {history_long_q[HISTORY-1:1], is_long};
        history_addr_q  <= {history_addr_q[HISTORY-1:1], meta.addr};
    end
    always_comb begin
        too_early = 1'b0;
        for (int unsigned ago = 1; ago <= HISTORY; ago++) begin
            if (history_write_q[ago] && history_addr_q[ago] == meta.addr
                && (ago < ACC_LOOP_CYCLES || history_long_q[ago])) too_early = 1'b1;
        end
    end

    `EMBNIC_KNOWN(write_known, rsp_wr_en, "rsp_wr_en is known after reset")
    `EMBNIC_KNOWN(done_known, bag_done_valid, "bag_done_valid is known after reset")
    `EMBNIC_NEVER(hazard, beat_valid && acc_use.read && too_early,
                  "an accumulator is read ACC_LOOP_CYCLES after its last row or later")
    `EMBNIC_ASSERT(pair, pair_q == (beat_valid && fetch), "a combine or product has its fetch behind it")
    `EMBNIC_NEVER(bank_range, beat_valid && (info.beat[VEC_W-1:0] & bank_offset) != '0,
                  "a vector ends below its running sums")
    `EMBNIC_NEVER(no_banks, beat_valid && !BANKS_EN && (info.combine || info.fetch || info.bank != '0),
                  "running sums need TREE_EN or PRODUCT_EN")
    `EMBNIC_NEVER(no_product, beat_valid && !PRODUCT_EN && info.product, "products need PRODUCT_EN")
    `EMBNIC_NEVER(product_kind, beat_valid && info.product && (!is_sum || is_fixed || (is_row && dtype_quantised(info.dtype))),
                  "what is multiplied are sums of floats, of rows those that are not quantised")
    `EMBNIC_NEVER(meet, beat_valid && !is_long && !fetch && late,
                  "no short beat comes INT_EXTRA_CYCLES after a long one")
    `EMBNIC_NEVER(bare, beat_valid && info.bare, "a header alone does not come here")
    `EMBNIC_NEVER(not_integers, beat_valid && is_row && is_long && !times_row && not_small != '0,
                  "quantised elements are integers below 256")
    `EMBNIC_NEVER(fixed_weighted, beat_valid && is_row && is_fixed && info.weight != FP32_ONE,
                  "fixed rows have no weights")
    `EMBNIC_NEVER(merge_weighted, beat_valid && (is_merge || (combine && !(PRODUCT_EN && is_long)))
                  && info.weight != FP32_ONE,
                  "partials have no weights, running sums only where a product may have one")
    `EMBNIC_NEVER(slot_range, beat_valid && 32'(info.slot) >= SLOTS, "slot is below SLOTS")
    `EMBNIC_NEVER(beat_range, beat_valid && 32'(info.beat) >= VEC_BEATS,
                  "beat is below the longest vector")
    `EMBNIC_NEVER(done_without_last, beat_valid && info.done && !meta.emit,
                  "done comes with the emitted beat only")
    `EMBNIC_NEVER(mean_lost, mean_valid && !mean_ready, "a mean always finds a place")
    `EMBNIC_NEVER(mean_bound, mean_cnt_q > 7'(MEAN_WAIT),
                  "no more means wait than came within MEAN_WAIT cycles")
    `EMBNIC_ASSERT(count_agrees, 7'(mean_fifo_cnt) <= mean_cnt_q,
                   "the FIFO holds no more than what is under way")
    `EMBNIC_ASSERT(lanes_agree, sum_valid == {LANES{valid_q[RESULT] && meta_result.sum}},
                   "the adders' results come with their beat")
    `EMBNIC_ASSERT(addends_agree,
                   addend_valid == {LANES{valid_q[ADDEND] && keep_how_addend.late}},
                   "a long beat's addend comes with its accumulator's turn")
    `EMBNIC_COVER(port_taken, direct_valid_q && mean_wait_valid, "a mean waits for the write port")
    `EMBNIC_COVER(padding, valid_q[RESULT] && meta_result.lanes != LANE_CNT_W'(LANES),
                  "a beat holds padding")
endmodule
`default_nettype wire
