// SPDX-License-Identifier: Apache-2.0
// Divides binary32 lanes by one unsigned count, each rounded to nearest even: a / float(count) as
// IEEE 754 has it. With `storage` both are rounded to a narrower type first; the quotient is
// binary32 all the same.
//
// Order       results leave in the order of the operands; nothing stalls.
// Latency     DIV_STAGES cycles from valid_in to valid_out.
// Throughput  one operation per cycle for all lanes. A stage without a valid operation keeps its
//             registers.
// Values      subnormal dividends and quotients are kept; signs as IEEE 754; a NaN gives
//             0x7fc00000. A count is rounded to binary32 (nearest even), and then to the storage
//             type (nearest even): one of 65,520 or more is infinite in binary16.
// Not handled count 0: the quotient is meaningless.
//
//   1 where to round | 2 round, count leading zeros | 3 normalise; and beside it
//   1 count leading zeros of the count | 2 normalise it | 3 round it
//   4..29 one quotient bit each, nonrestoring | 30 settle the remainder's sign, normalise
//   31 denormalise | 32 round, pack
//
// The divisor and its delay line exist once, for all lanes.
`default_nettype none
`include "embnic_assert.svh"
module embnic_fp32_div_uint
    import embnic_pkg::*;
    import embnic_fp32_pkg::*;
#(
    parameter int unsigned LANES = 4  // dividends
) (
    input  wire logic                clk,
    input  wire logic                rst,
    input  wire logic                valid_in,
    input  wire logic [LANES*32-1:0] a,
    input  wire logic [31:0]         count,      // >= 1
    input  wire fp32_round_e         storage,    // round the dividends and the count to this type
    output      logic                valid_out,
    output      logic [LANES*32-1:0] result
);
    localparam int unsigned LATENCY = 32;
    localparam int unsigned BITS    = 26;  // of a quotient: 24, one if it is below 1, one to round
    localparam int unsigned FIRST   = 4;   // stage of the first quotient bit
    localparam int unsigned SETTLE  = FIRST + BITS;
    if (LATENCY != DIV_STAGES || SETTLE + 2 != LATENCY) begin : gen_bad_stages
        $fatal(1, "DIV_STAGES must be what this pipeline has");
    end
    if (LANES < 1) begin : gen_bad_lanes
        $fatal(1, "LANES must be at least 1");
    end

    logic [LATENCY:1] valid_q;  // index: the stage whose registers hold an operation
    logic             busy;     // something is under way: the plain delay lines move

    always_ff @(posedge clk) begin
        if (rst) valid_q <= '0;
        else     valid_q <= {valid_q[LATENCY-1:1], valid_in};
    end
    assign valid_out = valid_q[LATENCY];
    assign busy      = valid_in || valid_q != '0;

    // The divisor: count as the storage type has it, 24 bits with the upper one set, and its
    // exponent.
    logic [31:0] s1_count_q, s2_count_q;
    logic [4:0]  s1_zeros_q, s2_zeros_q;
    fp32_round_e s1_storage_q, s2_storage_q;
    logic        s2_infinite_q;  // the count is infinite in binary16
    logic [24:0] s3_rounded;
    logic [5:0]  s3_exp_q;
    logic [23:0] s3_divisor_q;

    // A normalised count: its upper bits, and one unit more when what is below rounds up.
    function automatic logic [24:0] round_count(logic [31:0] x, fp32_round_e kind);
        logic up;
        up = x[7] && (x[8] || x[6:0] != '0);  // to binary32
        unique case (kind)
            ROUND_FP16:
                // Of 16 bits at most.
                return {1'b0, x[31:21], 13'd0}
                       + {11'd0, x[20] && (x[21] || x[19:0] != '0), 13'd0};
            ROUND_BF16, ROUND_BF16_AWAY:
                // Twice: the first rounding can make a tie, or carry into it.
                return {1'b0, x[31:24], 16'd0}
                       + {8'd0, x[23] ? (x[24] || x[22:8] != '0 || up)
                                      : (x[24] && x[22:8] == '1 && up), 16'd0};
            default:
                return 25'(x[31:8]) + 25'(up);
        endcase
    endfunction

    assign s3_rounded = round_count(s2_count_q, s2_storage_q);

    always_ff @(posedge clk) begin
        if (valid_in) begin
            s1_count_q   <= count;
            s1_zeros_q   <= lzc32(count[31:1]);
            s1_storage_q <= storage;
        end
        if (valid_q[1]) begin
            s2_count_q    <= s1_count_q << s1_zeros_q;
            s2_zeros_q    <= s1_zeros_q;
            s2_storage_q  <= s1_storage_q;
            s2_infinite_q <= s1_storage_q == ROUND_FP16 && s1_count_q >= 32'd65520;
        end
        if (valid_q[2]) begin
            s3_divisor_q <= {s3_rounded[24] || s3_rounded[23], s3_rounded[22:0]};
            s3_exp_q     <= 6'd31 - 6'(s2_zeros_q) + 6'(s3_rounded[24]);
        end
    end

    // One register per stage, not an array: a simulator then updates only the stages in use.
    for (genvar stage = FIRST; stage < int'(SETTLE); stage++) begin : gen_divisor
        logic [23:0] divisor_q;

        if (stage == FIRST) begin : gen_first
            always_ff @(posedge clk) if (valid_q[stage-1]) divisor_q <= s3_divisor_q;
        end else begin : gen_later
            always_ff @(posedge clk) begin
                if (valid_q[stage-1]) divisor_q <= gen_divisor[stage-1].divisor_q;
            end
        end
    end

    // What of a lane only travels.
    typedef struct packed {
        logic              sign;
        logic              nan;
        logic              inf;
        logic              zero;
        logic signed [9:0] exp;  // biased exponent of a quotient in [1, 2): -54 .. 254
    } side_t;

    for (genvar lane = 0; lane < int'(LANES); lane++) begin : gen_lane
        logic [31:0] x;
        assign x = a[lane*32+:32];

        // Stage 1: the bits that rounding to the storage type cuts off, a run from bit 0.
        function automatic logic [22:0] bits_to_cut(logic [7:0] exp, fp32_round_e kind);
            logic [22:0] cut;
            for (int unsigned i = 0; i < 23; i++) begin
                unique case (kind)
                    ROUND_FP32: cut[i] = 1'b0;
                    // Binary16 has 10 bits of fraction, fewer below 2^-14.
                    ROUND_FP16: cut[i] = i < 13 || exp <= 8'(125 - i);
                    default:    cut[i] = i < 16;
                endcase
            end
            return cut;
        endfunction

        logic [31:0] s1_x_q;
        logic [22:0] s1_cut_q;
        logic        s1_tiny_q;   // below the smallest binary16 number
        logic        s1_large_q;  // rounds to infinity, or is not finite

        always_ff @(posedge clk) begin
            if (valid_in) begin
                s1_x_q    <= x;
                s1_cut_q  <= bits_to_cut(x[30:23], storage);
                s1_tiny_q <= storage == ROUND_FP16 && x[30:23] < 8'd103;
                unique case (storage)
                    ROUND_FP32: s1_large_q <= x[30:23] == '1;
                    ROUND_FP16: s1_large_q <= x[30:12] >= 19'h477ff;
                    default:    s1_large_q <= x[30:15] >= 16'hfeff;
                endcase
            end
        end

        // Stage 2: round. A carry out of the fraction counts the exponent up. Leading zeros are
        // counted before it, so there may be one fewer.
        logic [30:0] s2_rounded, s2_rounded_q;
        logic        s2_up;       // at a tie
        logic        s2_sub_q;
        logic [4:0]  s2_lead_q;   // leading zeros of a subnormal dividend's 24 bits
        logic        s2_sign_q, s2_nan_q, s2_inf_q;

        always_comb begin
            unique case (s1_storage_q)
                ROUND_FP32:      s2_up = 1'b0;
                ROUND_BF16_AWAY: s2_up = 1'b1;
                default:         s2_up = (s1_x_q[23:0] & ({s1_cut_q, 1'b1} ^ {1'b0, s1_cut_q})) != '0;
            endcase
            s2_rounded = (s1_x_q[30:0] + 31'(s1_cut_q >> 1) + 31'(s2_up)) & ~31'(s1_cut_q);
            if (s1_tiny_q) begin
                s2_rounded = (s1_x_q[30:23] == 8'd102 && s1_x_q[22:0] != '0) ? {8'd103, 23'd0} : '0;
            end
        end

        always_ff @(posedge clk) begin
            if (valid_q[1]) begin
                s2_rounded_q <= s2_rounded;
                s2_sub_q     <= s1_x_q[30:23] == '0;
                s2_lead_q    <= lzc32({1'b0, s1_x_q[22:0], 7'd0});
                s2_sign_q    <= s1_x_q[31];
                s2_nan_q     <= fp32_is_nan(s1_x_q[30:0]);
                s2_inf_q     <= s1_large_q;
            end
        end

        // Stage 3: the dividend as 24 bits with the upper one set.
        logic [24:0] s3_shifted;
        logic [23:0] s3_man_q;
        side_t       s3_side_q;

        assign s3_shifted = {1'b0, s2_rounded_q[23:0]} << s2_lead_q;

        always_ff @(posedge clk) begin
            if (valid_q[2]) begin
                s3_man_q       <= s2_sub_q ? {s3_shifted[24] || s3_shifted[23], s3_shifted[22:0]}
                                           : {1'b1, s2_rounded_q[22:0]};
                s3_side_q.sign <= s2_sign_q;
                s3_side_q.nan  <= s2_nan_q || (s2_inf_q && s2_infinite_q);
                s3_side_q.inf  <= s2_inf_q;
                s3_side_q.zero <= s2_rounded_q == '0 || s2_infinite_q;
                s3_side_q.exp  <= s2_sub_q ? 10'sd1 - $signed({5'd0, s2_lead_q})
                                             + $signed({9'd0, s3_shifted[24]})
                                           : $signed({2'd0, s2_rounded_q[30:23]});
            end
        end

        // Quotient bits. The remainder stays in [-divisor, divisor); its sign is the quotient bit,
        // and chooses whether the next stage adds or subtracts. An extra bit at the bottom brings
        // the one of the two's complement in.
        function automatic logic [24:0] step(logic [24:0] doubled, logic add, logic [23:0] divisor);
            return 25'(({doubled, 1'b1} + {add ? {1'b0, divisor} : ~{1'b0, divisor}, !add}) >> 1);
        endfunction

        for (genvar stage = FIRST; stage < int'(SETTLE); stage++) begin : gen_bit
            localparam int unsigned KNOWN = (stage == FIRST) ? 1 : stage - FIRST;

            logic [24:0]      remainder_q;
            logic [KNOWN-1:0] quotient_q;  // bits of the remainders before; none in the first stage
            side_t            side_q;

            if (stage == FIRST) begin : gen_first
                always_ff @(posedge clk) begin
                    if (valid_q[stage-1]) begin
                        remainder_q <= step({1'b0, s3_man_q}, 1'b0, s3_divisor_q);
                        quotient_q  <= '0;
                    end
                    if (busy) begin
                        side_q     <= s3_side_q;
                        side_q.exp <= s3_side_q.exp - $signed({4'd0, s3_exp_q});
                    end
                end
            end else begin : gen_later
                always_ff @(posedge clk) begin
                    if (valid_q[stage-1]) begin
                        remainder_q <= step({gen_bit[stage-1].remainder_q[23:0], 1'b0},
                                            gen_bit[stage-1].remainder_q[24],
                                            gen_divisor[stage-1].divisor_q);
                        quotient_q  <= KNOWN'({gen_bit[stage-1].quotient_q,
                                               !gen_bit[stage-1].remainder_q[24]});
                    end
                    if (busy) side_q <= gen_bit[stage-1].side_q;
                end
            end
        end

        // Settle: a negative remainder gets the divisor back, so that zero means exact; the
        // quotient is normalised.
        logic [24:0]       remainder;
        side_t             side;
        logic [25:0]       quotient;
        logic signed [9:0] exp, below;
        logic [26:0]       settle_man_q;    // 24 bits, one to round, two that jam
        logic [4:0]        settle_right_q;  // places to the grid of subnormals; 31 leaves the jam
        logic [7:0]        settle_exp_q;
        logic [3:0]        settle_flags_q;  // sign, nan, inf, zero

        assign remainder = gen_bit[SETTLE-1].remainder_q;
        assign side      = gen_bit[SETTLE-1].side_q;
        assign quotient  = {gen_bit[SETTLE-1].quotient_q, !remainder[24]};
        assign exp       = side.exp - 10'(!quotient[25]);
        assign below     = 10'sd1 - exp;

        function automatic logic inexact(logic [24:0] rest, logic [23:0] divisor);
            return 25'(rest + (rest[24] ? {1'b0, divisor} : 25'd0)) != '0;
        endfunction

        always_ff @(posedge clk) begin
            if (valid_q[SETTLE-1]) begin
                settle_man_q   <= {quotient[25] ? quotient : quotient << 1,
                                   inexact(remainder, gen_divisor[SETTLE-1].divisor_q)};
                settle_right_q <= (exp >= 10'sd1) ? '0 : (below[9:5] != '0) ? 5'd31 : below[4:0];
                settle_exp_q   <= (exp >= 10'sd1) ? exp[7:0] : '0;
                settle_flags_q <= {side.sign, side.nan, side.inf, side.zero};
            end
        end

        // Denormalise.
        logic [24:0] grid_man_q;  // 23 bits (the upper one is known), one to round, one that jams
        logic [7:0]  grid_exp_q;
        logic [3:0]  grid_flags_q;

        function automatic logic [24:0] shift_jam(logic [26:0] man, logic [4:0] shift);
            logic [26:0] lost;
            lost = man & ~({27{1'b1}} << shift << 1);
            return 25'(man >> shift >> 1) | 25'(lost != '0);
        endfunction

        always_ff @(posedge clk) begin
            if (valid_q[SETTLE]) begin
                grid_man_q   <= shift_jam(settle_man_q, settle_right_q);
                grid_exp_q   <= settle_exp_q;
                grid_flags_q <= settle_flags_q;
            end
        end

        // Round and pack; a carry out of a subnormal counts the exponent up.
        logic [30:0] rounded;
        logic [31:0] result_q;

        assign rounded = {grid_exp_q, grid_man_q[24:2]}
                         + 31'(grid_man_q[1] && (grid_man_q[2] || grid_man_q[0]));

        always_ff @(posedge clk) begin
            if (valid_q[SETTLE+1]) begin
                if (grid_flags_q[2])      result_q <= FP32_NAN;
                else if (grid_flags_q[1]) result_q <= {grid_flags_q[3], FP32_INF};
                else if (grid_flags_q[0]) result_q <= {grid_flags_q[3], 31'd0};
                else                      result_q <= {grid_flags_q[3], rounded};
            end
        end
        assign result[lane*32+:32] = result_q;
    end

    // Assertions
    `EMBNIC_KNOWN(valid_known, valid_out, "valid_out is known after reset")
    `EMBNIC_NEVER(count_zero, valid_in && count == '0, "a count is at least 1")
endmodule
`default_nettype wire
