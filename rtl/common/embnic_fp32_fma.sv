// SPDX-License-Identifier: Apache-2.0
// Binary32 a * b + c, rounded to nearest even: fused (one rounding), or with the product rounded
// first.
//
// Order       results leave in the order of the operands; nothing stalls.
// Latency     FMA_STAGES cycles from valid_in to valid_out. The addend is late: `c` belongs to the
//             a and b that were given FMA_C_DELAY cycles earlier, so that an accumulator can be
//             read while the product is made, and a loop through `c` is FMA_STAGES - FMA_C_DELAY
//             cycles long.
// Throughput  one operation per cycle. A stage without a valid operation keeps its registers.
// Values      subnormal operands and results are kept; signed zeros as IEEE 754; every NaN result
//             is 0x7fc00000. x + y is fma(1, x, y) in either mode.
//
//   1..5 embnic_fp32_product
//   6 round the product, unpack c | 7 compare | 8 swap, shift by 16s | 9 shift by 1s | 10 add
//   11 count leading zeros | 12 normalise | 13 round, pack
//
// Every number after stage 5 is (exponent >= 1, fraction): normalised, or at exponent 1, the
// binary32 grid of subnormals. So exponent and fraction compare like one integer, and no result
// ever has to be shifted right. A bit shifted out is kept in a jam bit below the fraction, which
// rounds and subtracts like the bits it stands for because it always lies below the rounding
// position.
`default_nettype none
`include "embnic_assert.svh"
module embnic_fp32_fma
    import embnic_pkg::*;
    import embnic_fp32_pkg::*;
(
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic        valid_in,       // a, b and round_product are an operation
    input  wire logic        round_product,  // round a * b to binary32 before the addition
    input  wire logic [31:0] a,
    input  wire logic [31:0] b,
    input  wire logic [31:0] c,              // of the operation given FMA_C_DELAY cycles ago
    output      logic        valid_out,
    output      logic [31:0] result
);
    localparam int unsigned LATENCY = 13;
    localparam int unsigned PRODUCT = 5;  // stages of embnic_fp32_product
    if (LATENCY != FMA_STAGES || FMA_C_DELAY != 5) begin : gen_bad_stages
        $fatal(1, "FMA_STAGES and FMA_C_DELAY must be what this pipeline has");
    end

    logic                     s5_valid;
    logic [LATENCY:PRODUCT+1] valid_q;  // index: the stage whose registers hold an operation

    always_ff @(posedge clk) begin
        if (rst) valid_q <= '0;
        else     valid_q <= {valid_q[LATENCY-1:PRODUCT+1], s5_valid};
    end
    assign valid_out = valid_q[LATENCY];

    // x >> shift; every bit lost is kept in bit 0.
    function automatic logic [49:0] shift_jam(logic [49:0] x, logic [5:0] shift);
        logic [49:0] lost;
        lost = x & ~({50{1'b1}} << shift);
        return (x >> shift) | 50'(lost != '0);
    endfunction

    // Stages 1 to 5: the product.
    fp32_product_t s5_product;
    logic          s5_round;

    embnic_fp32_product u_product (
        .clk, .rst, .valid_in, .a, .b, .valid_out(s5_valid), .result(s5_product)
    );
    embnic_delay #(.WIDTH(1), .CYCLES(PRODUCT)) u_round (
        .clk, .rst, .in(round_product), .out(s5_round)
    );

    // Stage 6: round the product when asked to; unpack the addend.
    typedef struct packed {
        logic [8:0]  exp;
        logic [47:0] prod;
    } product_t;

    function automatic product_t round(logic [8:0] exp, logic [47:0] prod, logic jam);
        logic [24:0] man;
        man = 25'(prod[47:24]) + 25'(prod[23] && (prod[24] || jam || prod[22:0] != '0));
        return {man[24] ? exp + 9'd1 : exp, man[24] || man[23], man[22:0], 24'd0};
    endfunction

    product_t    s6_product_q;
    logic        s6_jam_q;
    logic        s6_sign_q, s6_round_q, s6_inf_q, s6_nan_q;
    logic [23:0] s6_c_man_q;
    logic [7:0]  s6_c_exp_q;
    logic        s6_c_sign_q, s6_c_inf_q, s6_c_nan_q;

    always_ff @(posedge clk) begin
        if (s5_valid) begin
            s6_product_q <= s5_round ? round(s5_product.exp, s5_product.man, s5_product.jam)
                                     : {s5_product.exp, s5_product.man};
            s6_jam_q     <= s5_product.jam && !s5_round;
            s6_sign_q    <= s5_product.sign;
            s6_round_q   <= s5_round;
            s6_inf_q     <= s5_product.inf;
            s6_nan_q     <= s5_product.nan;
            s6_c_man_q   <= {c[30:23] != '0, c[22:0]};
            s6_c_exp_q   <= fp32_grid_exp(c[30:23]);
            s6_c_sign_q  <= c[31];
            s6_c_inf_q   <= c[30:0] == FP32_INF;
            s6_c_nan_q   <= fp32_is_nan(c[30:0]);
        end
    end

    // Stage 7: which is larger, and by how many binary places; infinities and NaNs are settled
    // here.
    logic              s7_inf;                  // the product is infinite, rounded or before
    product_t          s7_product_q;
    logic              s7_jam_q;
    logic [23:0]       s7_c_man_q;
    logic [7:0]        s7_c_exp_q;
    logic              s7_sign_q, s7_c_sign_q;
    logic              s7_swap_q;               // the addend is larger
    logic [8:0]        s7_down_q, s7_c_down_q;  // places the addend, or the product, moves down
    logic              s7_special_q, s7_nan_q, s7_inf_sign_q;

    // Compared in three parts to keep the carry chains short. Below its upper 24 bits only the
    // product has any.
    function automatic logic less(
        logic [8:0] exp, logic [23:0] man, logic [8:0] c_exp, logic [23:0] c_man
    );
        logic exp_less, exp_same, high_less, high_same, low_less;
        exp_less  = exp < c_exp;
        exp_same  = exp == c_exp;
        high_less = man[23:12] < c_man[23:12];
        high_same = man[23:12] == c_man[23:12];
        low_less  = man[11:0] < c_man[11:0];
        return exp_less || (exp_same && (high_less || (high_same && low_less)));
    endfunction

    assign s7_inf = s6_inf_q || (s6_round_q && s6_product_q.exp >= 9'd255);

    always_ff @(posedge clk) begin
        if (valid_q[6]) begin
            s7_product_q  <= s6_product_q;
            s7_jam_q      <= s6_jam_q;
            s7_c_man_q    <= s6_c_man_q;
            s7_c_exp_q    <= s6_c_exp_q;
            s7_sign_q     <= s6_sign_q;
            s7_c_sign_q   <= s6_c_sign_q;
            s7_swap_q     <= less(s6_product_q.exp, s6_product_q.prod[47:24],
                                  9'(s6_c_exp_q), s6_c_man_q);
            s7_down_q     <= s6_product_q.exp - 9'(s6_c_exp_q);
            s7_c_down_q   <= 9'(s6_c_exp_q) - s6_product_q.exp;
            s7_special_q  <= s6_nan_q || s6_c_nan_q || s7_inf || s6_c_inf_q;
            s7_nan_q      <= s6_nan_q || s6_c_nan_q
                             || (s7_inf && s6_c_inf_q && s6_sign_q != s6_c_sign_q);
            s7_inf_sign_q <= s7_inf ? s6_sign_q : s6_c_sign_q;
        end
    end

    // Stage 8: larger and smaller; the smaller moves down by sixteens. Bit 49 weighs one, bit 0
    // jams.
    function automatic logic [49:0] shift_sixteens(logic [49:0] x, logic [4:0] sixteens);
        return (sixteens[4:2] != '0) ? 50'(x != '0) : shift_jam(x, {sixteens[1:0], 4'd0});
    endfunction

    logic [49:0] s8_product, s8_addend;
    logic [8:0]  s8_down;
    logic [49:0] s8_big_q, s8_small_q;
    logic [3:0]  s8_down_q;
    logic [8:0]  s8_exp_q;
    logic        s8_sign_q, s8_subtract_q, s8_special_q, s8_nan_q, s8_inf_sign_q;

    assign s8_product = {s7_product_q.prod, 1'b0, s7_jam_q};
    assign s8_addend  = {s7_c_man_q, 26'd0};
    assign s8_down    = s7_swap_q ? s7_c_down_q : s7_down_q;

    always_ff @(posedge clk) begin
        if (valid_q[7]) begin
            s8_big_q      <= s7_swap_q ? s8_addend : s8_product;
            s8_small_q    <= shift_sixteens(s7_swap_q ? s8_product : s8_addend, s8_down[8:4]);
            s8_down_q     <= s8_down[3:0];
            s8_exp_q      <= s7_swap_q ? 9'(s7_c_exp_q) : s7_product_q.exp;
            s8_sign_q     <= s7_swap_q ? s7_c_sign_q : s7_sign_q;
            s8_subtract_q <= s7_sign_q != s7_c_sign_q;
            s8_special_q  <= s7_special_q;
            s8_nan_q      <= s7_nan_q;
            s8_inf_sign_q <= s7_inf_sign_q;
        end
    end

    // Stage 9: the smaller moves down the rest.
    logic [49:0] s9_big_q, s9_small_q;
    logic [8:0]  s9_exp_q;
    logic        s9_sign_q, s9_subtract_q, s9_special_q, s9_nan_q, s9_inf_sign_q;

    always_ff @(posedge clk) begin
        if (valid_q[8]) begin
            s9_big_q      <= s8_big_q;
            s9_small_q    <= shift_jam(s8_small_q, {2'd0, s8_down_q});
            s9_exp_q      <= s8_exp_q;
            s9_sign_q     <= s8_sign_q;
            s9_subtract_q <= s8_subtract_q;
            s9_special_q  <= s8_special_q;
            s9_nan_q      <= s8_nan_q;
            s9_inf_sign_q <= s8_inf_sign_q;
        end
    end

    // Stage 10: add. The larger comes first, so the sum is never negative. Bit 50 weighs two.
    logic [50:0] s10_sum;
    logic [50:0] s10_sum_q;
    logic [8:0]  s10_exp_q;
    logic [50:0] s10_marker_q;  // a one where the sum's leading bit has exponent 1
    logic        s10_sign_q, s10_subtract_q, s10_special_q, s10_nan_q, s10_inf_sign_q;

    // One carry chain: an extra bit at the bottom brings the one of the two's complement in.
    assign s10_sum = 51'(({1'b0, s9_big_q, 1'b1}
                          + {s9_subtract_q, s9_small_q ^ {50{s9_subtract_q}}, s9_subtract_q}) >> 1);

    always_ff @(posedge clk) begin
        if (valid_q[9]) begin
            s10_sum_q      <= s10_sum;
            s10_exp_q      <= s9_exp_q;
            s10_marker_q   <= {1'b1, 50'd0} >> s9_exp_q;
            s10_sign_q     <= s9_sign_q;
            s10_subtract_q <= s9_subtract_q;
            s10_special_q  <= s9_special_q;
            s10_nan_q      <= s9_nan_q;
            s10_inf_sign_q <= s9_inf_sign_q;
        end
    end

    // Stage 11: count leading zeros, down to the marker at most: the result stays on the grid.
    logic [50:0] s11_sum_q;
    logic [5:0]  s11_lead_q;
    logic [8:0]  s11_exp_q;
    logic        s11_sign_q, s11_special_q, s11_nan_q;

    always_ff @(posedge clk) begin
        if (valid_q[10]) begin
            s11_sum_q     <= s10_sum_q;
            s11_lead_q    <= lzc64({s10_sum_q | s10_marker_q, 12'd0});
            s11_exp_q     <= s10_exp_q + 9'd1;
            // An exact zero is positive unless both terms were negative.
            s11_sign_q    <= s10_special_q ? s10_inf_sign_q
                                           : s10_sign_q && !(s10_subtract_q && s10_sum_q == '0);
            s11_special_q <= s10_special_q;
            s11_nan_q     <= s10_nan_q;
        end
    end

    // Stage 12: normalise.
    typedef struct packed {
        logic [23:0] man;
        logic        guard;
        logic [3:0]  sticky;  // bits below, in four parts
    } sum_t;

    function automatic sum_t normalise_sum(logic [50:0] sum, logic [5:0] lead);
        logic [50:0] shifted;
        shifted = sum << lead;
        return {shifted[50:26], |shifted[25:20], |shifted[19:14], |shifted[13:7], |shifted[6:0]};
    endfunction

    sum_t        s12_sum_q;
    logic [8:0]  s12_exp_q;
    logic        s12_sign_q, s12_special_q, s12_nan_q;

    always_ff @(posedge clk) begin
        if (valid_q[11]) begin
            s12_sum_q     <= normalise_sum(s11_sum_q, s11_lead_q);
            s12_exp_q     <= s11_exp_q - 9'(s11_lead_q);
            s12_sign_q    <= s11_sign_q;
            s12_special_q <= s11_special_q;
            s12_nan_q     <= s11_nan_q;
        end
    end

    // Stage 13: round and pack.
    logic s13_up;
    assign s13_up = s12_sum_q.guard && (s12_sum_q.man[0] || s12_sum_q.sticky != '0);

    always_ff @(posedge clk) begin
        if (valid_q[12]) begin
            if (s12_nan_q)          result <= FP32_NAN;
            else if (s12_special_q) result <= {s12_sign_q, FP32_INF};
            else                    result <= {s12_sign_q,
                                               fp32_pack(s12_exp_q, s12_sum_q.man, s13_up)};
        end
    end

    // Assertions
    `EMBNIC_KNOWN(valid_known, valid_out, "valid_out is known after reset")
    `EMBNIC_NEVER(borrow, valid_q[9] && s9_subtract_q && s10_sum[50], "the larger term is first")
endmodule
`default_nettype wire
