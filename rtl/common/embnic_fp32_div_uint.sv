// SPDX-License-Identifier: Apache-2.0
// Divides binary32 lanes by one unsigned count, each rounded to nearest even: a / float(count) as
// IEEE 754 has it. With `storage` both are rounded to a narrower type first; the quotient is
// binary32 all the same.
//
// Order       results leave in the order of the operands; nothing stalls.
// Latency     DIV_STAGES cycles from valid_in to valid_out. The dividends are late: `a` belongs to
//             the count that was given DIV_A_DELAY cycles earlier, so that its reciprocal is made
//             while an adder makes them.
// Throughput  one operation per cycle for all lanes. A stage without a valid operation keeps its
//             registers.
// Values      subnormal dividends and quotients are kept; signs as IEEE 754; a NaN gives
//             0x7fc00000. A count is rounded to binary32 (nearest even), and then to the storage
//             type (nearest even): one of 65,520 or more is infinite in binary16.
// Not handled count 0: the quotient is meaningless.
//
//   count: 1 leading zeros | 2 normalise | 3 round | 4 its triple
//          5..29 two bits of the reciprocal each
//   lane, from its dividend on: 1 where to round | 2 which way, leading zeros | 3 round | 4 normalise
//          .. it waits for the reciprocal | 17 three partial products | 18, 19 their sum
//          20 normalise | 21 denormalise | 22 round, pack
//
// Why the product is exact enough: let d be the 24 bits of the count and R = floor(2^73 / d) + 1,
// so that R * d = 2^73 + e with 0 < e <= d. For 24 bits a of a dividend, a * R / 2^48 is
// a * 2^25 / d + a * e / (d * 2^48), and the last term is below 2^-24 <= 1 / d. So its whole part is
// that of a * 2^25 / d; and the 24 upper bits of its fraction are zero if and only if d divides
// a * 2^25, because else the fraction of that is 1 / d at least. (Granlund, Montgomery: Division by
// Invariant Integers using Multiplication, 1994.) 2^73 + d divided by d gives R without an addition.
//
// The reciprocal is made once, for all lanes: restoring division of radix 4.
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
    localparam int unsigned LATENCY = 22;            // of a lane, from its dividends
    localparam int unsigned FIRST   = 5;             // stage of the first two bits of the reciprocal
    localparam int unsigned DIGITS  = 25;            // digits of two bits, the upper one left out
    localparam int unsigned READY   = FIRST + DIGITS - 1;  // stage that holds the reciprocal
    localparam int unsigned RECIP_W = 2 * DIGITS + 1;      // its bits
    localparam int unsigned NORMAL  = 4;             // stage of a lane that holds the dividend
    localparam int unsigned PARTIAL = READY + 1 - DIV_A_DELAY;  // and the partial products
    localparam int unsigned CHUNK   = RECIP_W / 3;   // bits of the reciprocal a DSP takes
    localparam int unsigned SETTLE  = PARTIAL + 3;
    if (DIV_A_DELAY + LATENCY != DIV_STAGES || SETTLE + 2 != LATENCY || PARTIAL <= NORMAL
        || CHUNK != 17) begin : gen_bad_stages
        $fatal(1, "DIV_STAGES and DIV_A_DELAY must be what this pipeline has");
    end
    if (LANES < 1) begin : gen_bad_lanes
        $fatal(1, "LANES must be at least 1");
    end

    logic [READY:1]   count_valid_q;  // index: the stage whose registers hold an operation
    logic [LATENCY:1] valid_q;        // the same of the lanes
    logic             a_valid;        // dividends come

    always_ff @(posedge clk) begin
        if (rst) begin
            count_valid_q <= '0;
            valid_q       <= '0;
        end else begin
            count_valid_q <= {count_valid_q[READY-1:1], valid_in};
            valid_q       <= {valid_q[LATENCY-1:1], a_valid};
        end
    end
    assign a_valid   = count_valid_q[DIV_A_DELAY];
    assign valid_out = valid_q[LATENCY];

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
        if (count_valid_q[1]) begin
            s2_count_q    <= s1_count_q << s1_zeros_q;
            s2_zeros_q    <= s1_zeros_q;
            s2_storage_q  <= s1_storage_q;
            s2_infinite_q <= s1_storage_q == ROUND_FP16 && s1_count_q >= 32'd65520;
        end
        if (count_valid_q[2]) begin
            s3_divisor_q <= {s3_rounded[24] || s3_rounded[23], s3_rounded[22:0]};
            s3_exp_q     <= 6'd31 - 6'(s2_zeros_q) + 6'(s3_rounded[24]);
        end
    end

    // The reciprocal: (2^73 + divisor) / divisor, from the top. The upper digit is 1 for a power of
    // two, else 0; below its 24 ones the dividend's bits are those of the divisor.
    // One register per stage, not an array: a simulator then updates only the stages in use.
    for (genvar stage = FIRST - 1; stage <= int'(READY); stage++) begin : gen_digit
        localparam int unsigned DONE = 2 * (stage - FIRST + 1);  // bits below the upper one

        logic [23:0]   divisor_q;
        logic [25:0]   triple_q;
        logic [23:0]   remainder_q;  // below the divisor
        logic [DONE:0] quotient_q;

        if (stage == FIRST - 1) begin : gen_first
            always_ff @(posedge clk) begin
                if (count_valid_q[stage-1]) begin
                    divisor_q   <= s3_divisor_q;
                    triple_q    <= 26'(s3_divisor_q) + {1'b0, s3_divisor_q, 1'b0};
                    remainder_q <= {s3_divisor_q[22:0] != '0, 23'd0};
                    quotient_q  <= s3_divisor_q[22:0] == '0;
                end
            end
        end else begin : gen_later
            localparam int BELOW = 2 * (int'(READY) - stage);  // dividend bits below this digit's

            logic [23:0] divisor;
            logic [25:0] triple, doubled;  // the remainder, times four
            logic [26:0] less_1, less_2, less_3;

            assign divisor = gen_digit[stage-1].divisor_q;
            assign triple  = gen_digit[stage-1].triple_q;
            if (BELOW < 24) begin : gen_low
                assign doubled = {gen_digit[stage-1].remainder_q, divisor[BELOW+:2]};
            end else begin : gen_high
                assign doubled = {gen_digit[stage-1].remainder_q, 2'd0};
            end
            assign less_1 = {1'b0, doubled} - 27'(divisor);
            assign less_2 = {1'b0, doubled} - {2'd0, divisor, 1'b0};
            assign less_3 = {1'b0, doubled} - 27'(triple);

            always_ff @(posedge clk) begin
                if (count_valid_q[stage-1]) begin
                    divisor_q  <= divisor;
                    triple_q   <= triple;
                    quotient_q <= {gen_digit[stage-1].quotient_q, !less_2[26],
                                   less_2[26] ? !less_1[26] : !less_3[26]};
                    unique case ({less_2[26], less_2[26] ? less_1[26] : less_3[26]})
                        2'b11:   remainder_q <= doubled[23:0];
                        2'b10:   remainder_q <= less_1[23:0];
                        2'b01:   remainder_q <= less_2[23:0];
                        default: remainder_q <= less_3[23:0];
                    endcase
                end
            end

            // A difference that is taken is below the divisor.
            wire unused = &{1'b0, less_1[25:24], less_2[25:24], less_3[25:24]};
        end
    end

    logic [RECIP_W-1:0] reciprocal;
    assign reciprocal = gen_digit[READY].quotient_q;

    // Its last divisor and remainder have no more use.
    wire unused = &{1'b0, gen_digit[READY].divisor_q, gen_digit[READY].triple_q,
                    gen_digit[READY].remainder_q};

    // What the lanes need of the count, when their dividends come.
    fp32_round_e a_storage;
    logic        a3_infinite;
    logic [5:0]  a4_exp;

    embnic_delay #(.WIDTH(2), .CYCLES(DIV_A_DELAY)) u_storage (
        .clk, .rst, .in(storage), .out({a_storage})
    );
    embnic_delay #(.WIDTH(1), .CYCLES(DIV_A_DELAY + 1)) u_infinite (
        .clk, .rst, .in(s2_infinite_q), .out(a3_infinite)
    );
    embnic_delay #(.WIDTH(6), .CYCLES(DIV_A_DELAY + 1)) u_exp (
        .clk, .rst, .in(s3_exp_q), .out(a4_exp)
    );

    fp32_round_e s1_a_storage_q;
    logic        busy;  // something is under way: the plain delay lines move

    assign busy = count_valid_q != '0 || valid_q != '0;
    always_ff @(posedge clk) if (a_valid) s1_a_storage_q <= a_storage;

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
            if (a_valid) begin
                s1_x_q    <= x;
                s1_cut_q  <= bits_to_cut(x[30:23], a_storage);
                s1_tiny_q <= a_storage == ROUND_FP16 && x[30:23] < 8'd103;
                unique case (a_storage)
                    ROUND_FP32: s1_large_q <= x[30:23] == '1;
                    ROUND_FP16: s1_large_q <= x[30:12] >= 19'h477ff;
                    default:    s1_large_q <= x[30:15] >= 16'hfeff;
                endcase
            end
        end

        // Stage 2: where a tie goes; leading zeros, counted before the rounding, so there may be one
        // fewer.
        logic [31:0] s2_x_q;
        logic [22:0] s2_cut_q;
        logic        s2_up_q;      // at a tie
        logic        s2_tiny_q, s2_least_q;  // rounds to the smallest binary16 number if not to zero
        logic [4:0]  s2_lead_q;    // leading zeros of a subnormal dividend's 24 bits
        logic        s2_nan_q, s2_inf_q;

        always_ff @(posedge clk) begin
            if (valid_q[1]) begin
                s2_x_q     <= s1_x_q;
                s2_cut_q   <= s1_cut_q;
                s2_tiny_q  <= s1_tiny_q;
                s2_least_q <= s1_x_q[30:23] == 8'd102 && s1_x_q[22:0] != '0;
                s2_lead_q  <= lzc32({1'b0, s1_x_q[22:0], 7'd0});
                s2_nan_q   <= fp32_is_nan(s1_x_q[30:0]);
                s2_inf_q   <= s1_large_q;
                unique case (s1_a_storage_q)
                    ROUND_FP32:      s2_up_q <= 1'b0;
                    ROUND_BF16_AWAY: s2_up_q <= 1'b1;
                    default:
                        s2_up_q <= (s1_x_q[23:0] & ({s1_cut_q, 1'b1} ^ {1'b0, s1_cut_q})) != '0;
                endcase
            end
        end

        // Stage 3: round. A carry out of the fraction counts the exponent up.
        logic [30:0] s3_rounded_q;
        logic [4:0]  s3_lead_q;
        logic        s3_sub_q, s3_sign_q, s3_nan_q, s3_inf_q;

        always_ff @(posedge clk) begin
            if (valid_q[2]) begin
                s3_rounded_q <= (s2_x_q[30:0] + 31'(s2_cut_q >> 1) + 31'(s2_up_q)) & ~31'(s2_cut_q);
                if (s2_tiny_q) s3_rounded_q <= s2_least_q ? {8'd103, 23'd0} : '0;
                s3_lead_q <= s2_lead_q;
                s3_sub_q  <= s2_x_q[30:23] == '0;
                s3_sign_q <= s2_x_q[31];
                s3_nan_q  <= s2_nan_q;
                s3_inf_q  <= s2_inf_q;
            end
        end

        // Stage 4: the dividend as 24 bits with the upper one set.
        logic [24:0] s4_shifted;
        logic [23:0] s4_man_q;
        logic        s4_carry_q;
        side_t       s4_side_q;

        assign s4_shifted = {1'b0, s3_rounded_q[23:0]} << s3_lead_q;

        always_ff @(posedge clk) begin
            if (valid_q[3]) begin
                s4_man_q       <= s3_sub_q ? {s4_shifted[24] || s4_shifted[23], s4_shifted[22:0]}
                                           : {1'b1, s3_rounded_q[22:0]};
                s4_side_q.sign <= s3_sign_q;
                s4_side_q.nan  <= s3_nan_q || (s3_inf_q && a3_infinite);
                s4_side_q.inf  <= s3_inf_q;
                s4_side_q.zero <= s3_rounded_q == '0 || a3_infinite;
                s4_side_q.exp  <= s3_sub_q ? 10'sd1 - $signed({5'd0, s3_lead_q})
                                           : $signed({2'd0, s3_rounded_q[30:23]});
                s4_carry_q     <= s3_sub_q && s4_shifted[24];
            end
        end

        // It waits for the reciprocal, and what only travels for the quotient.
        logic [PARTIAL-1:NORMAL+1][23:0] wait_man_q;
        side_t [SETTLE-1:NORMAL+1]       wait_side_q;

        always_ff @(posedge clk) begin
            if (busy) begin
                wait_man_q  <= {wait_man_q[PARTIAL-2:NORMAL+1], s4_man_q};
                wait_side_q <= {wait_side_q[SETTLE-2:NORMAL+1], s4_side_q};
                wait_side_q[NORMAL+1].exp <= s4_side_q.exp - $signed({4'd0, a4_exp})
                                             + $signed({9'd0, s4_carry_q});
            end
        end

        // The product of dividend and reciprocal, but for what cannot matter: its bits below 24.
        logic [23:0]           dividend;
        logic [CHUNK+23:CHUNK] low_q;
        logic [CHUNK+23:0]     middle_q, high_q, wait_high_q;
        logic [2*CHUNK+24:24]  upper_q;
        logic [73:2*CHUNK]     product_q;
        logic [2*CHUNK-1:24]   below_q;

        assign dividend = wait_man_q[PARTIAL-1];

        always_ff @(posedge clk) begin
            if (valid_q[PARTIAL-1]) begin
                low_q    <= 24'(((CHUNK+24)'(dividend) * (CHUNK+24)'(reciprocal[CHUNK-1:0])) >> CHUNK);
                middle_q <= (CHUNK+24)'(dividend) * (CHUNK+24)'(reciprocal[2*CHUNK-1:CHUNK]);
                high_q   <= (CHUNK+24)'(dividend) * (CHUNK+24)'(reciprocal[3*CHUNK-1:2*CHUNK]);
            end
            if (valid_q[PARTIAL]) begin
                upper_q     <= 35'(((CHUNK+25)'(middle_q) + (CHUNK+25)'(low_q)) >> (24 - CHUNK));
                wait_high_q <= high_q;
            end
            if (valid_q[PARTIAL+1]) begin
                product_q <= 40'(wait_high_q + (CHUNK+24)'(upper_q[2*CHUNK+24:2*CHUNK]));
                below_q   <= upper_q[2*CHUNK-1:24];
            end
        end

        // Settle: the quotient is normalised.
        side_t             side;
        logic [25:0]       quotient;
        logic              inexact;
        logic signed [9:0] exp, below;
        logic [26:0]       settle_man_q;    // 24 bits, one to round, two that jam
        logic [4:0]        settle_right_q;  // places to the grid of subnormals; 31 leaves the jam
        logic [7:0]        settle_exp_q;
        logic [3:0]        settle_flags_q;  // sign, nan, inf, zero

        assign side      = wait_side_q[SETTLE-1];
        assign quotient  = product_q[73:48];
        assign inexact   = product_q[47:2*CHUNK] != '0 || below_q != '0;
        assign exp       = side.exp - 10'(!quotient[25]);
        assign below     = 10'sd1 - exp;

        always_ff @(posedge clk) begin
            if (valid_q[SETTLE-1]) begin
                settle_man_q   <= {quotient[25] ? quotient : quotient << 1, inexact};
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
