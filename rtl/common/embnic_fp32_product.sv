// SPDX-License-Identifier: Apache-2.0
// The exact product of two binary32 numbers on the grid that binary32 sums and roundings use:
// (exponent >= 1, 48 bits of fraction, a jam bit), see fp32_product_t.
//
// Order       results leave in the order of the operands; nothing stalls.
// Latency     5 cycles from valid_in to valid_out.
// Throughput  one operation per cycle. A stage without a valid operation keeps its registers.
//
//   1 unpack | 2 partial products | 3 product | 4 normalise | 5 denormalise
//
// The product is normalised, or at exponent 1, the binary32 grid of subnormals. A bit shifted out
// is kept in the jam bit, which rounds and subtracts like the bits it stands for because it always
// lies below the rounding position.
`default_nettype none
`include "embnic_assert.svh"
module embnic_fp32_product
    import embnic_fp32_pkg::*;
(
    input  wire logic          clk,
    input  wire logic          rst,
    input  wire logic          valid_in,
    input  wire logic [31:0]   a,
    input  wire logic [31:0]   b,
    output      logic          valid_out,
    output      fp32_product_t result
);
    localparam int unsigned LATENCY = 5;

    logic [LATENCY:1] valid_q;  // index: the stage whose registers hold an operation

    always_ff @(posedge clk) begin
        if (rst) valid_q <= '0;
        else     valid_q <= {valid_q[LATENCY-1:1], valid_in};
    end
    assign valid_out = valid_q[LATENCY];

    // Stage 1: unpack the factors.
    logic [23:0] s1_man_a_q, s1_man_b_q;
    logic [22:0] s1_sub_frac_q;  // fraction of the subnormal factor; with two the product only jams
    logic        s1_sub_q;       // a factor is subnormal or zero
    logic [8:0]  s1_exp_q;       // sum of the biased exponents
    logic        s1_sign_q, s1_zero_q, s1_inf_q, s1_nan_q;

    always_ff @(posedge clk) begin
        if (valid_in) begin
            s1_man_a_q    <= {a[30:23] != '0, a[22:0]};
            s1_man_b_q    <= {b[30:23] != '0, b[22:0]};
            s1_sub_frac_q <= (a[30:23] == '0) ? a[22:0] : b[22:0];
            s1_sub_q      <= a[30:23] == '0 || b[30:23] == '0;
            s1_exp_q      <= 9'(fp32_grid_exp(a[30:23])) + 9'(fp32_grid_exp(b[30:23]));
            s1_sign_q     <= a[31] ^ b[31];
            s1_zero_q     <= a[30:0] == '0 || b[30:0] == '0;
            s1_inf_q      <= a[30:0] == FP32_INF || b[30:0] == FP32_INF;
            s1_nan_q      <= fp32_is_nan(a[30:0]) || fp32_is_nan(b[30:0])
                             || (a[30:0] == FP32_INF && b[30:0] == '0)
                             || (a[30:0] == '0 && b[30:0] == FP32_INF);
        end
    end

    // Stage 2: partial products of one DSP48E2 each (24 x 17, 24 x 7), leading zeros of the
    // subnormal factor.
    logic [40:0]       s2_low_q;
    logic [30:0]       s2_high_q;
    logic [4:0]        s2_lead_q;  // leading zeros of the product that come from a subnormal factor
    logic signed [9:0] s2_exp_q;   // biased exponent of a product in [1, 4): -125 .. 381
    logic              s2_sign_q, s2_zero_q, s2_inf_q, s2_nan_q;

    always_ff @(posedge clk) begin
        if (valid_q[1]) begin
            s2_low_q  <= 41'(s1_man_a_q) * 41'(s1_man_b_q[16:0]);
            s2_high_q <= 31'(s1_man_a_q) * 31'(s1_man_b_q[23:17]);
            s2_lead_q <= s1_sub_q ? lzc32({1'b0, s1_sub_frac_q, 7'd0}) : '0;
            s2_exp_q  <= $signed({1'b0, s1_exp_q}) - 10'sd127;
            s2_sign_q <= s1_sign_q;
            s2_zero_q <= s1_zero_q;
            s2_inf_q  <= s1_inf_q;
            s2_nan_q  <= s1_nan_q;
        end
    end

    // Stage 3: the product, and how far it moves: left at most to exponent 1, or right to it.
    typedef struct packed {
        logic       deep;  // the product lies below exponent 1: shift it right
        logic [4:0] left;
        logic [4:0] right; // beyond `deep`'s own one; 31 leaves only bits below the rounding
        logic [8:0] exp;
    } move_t;

    function automatic move_t plan_move(logic signed [9:0] exp, logic [4:0] lead, logic zero);
        move_t             move;
        logic signed [9:0] room;
        logic [8:0]        negated;  // fits where it is used
        logic              limited;
        room       = exp - 10'sd1;
        negated    = -exp[8:0];
        limited    = room < $signed({5'd0, lead});
        move.deep  = room[9];
        move.left  = room[9] ? '0 : limited ? room[4:0] : lead;
        move.right = !room[9] ? '0 : (negated[8:5] != '0) ? 5'd31 : negated[4:0];
        move.exp   = (limited || zero) ? 9'd1 : exp[8:0] - 9'(lead);
        return move;
    endfunction

    logic [47:0] s3_prod_q;  // bit 46 weighs one
    move_t       s3_move_q;
    logic        s3_sign_q, s3_inf_q, s3_nan_q;

    always_ff @(posedge clk) begin
        if (valid_q[2]) begin
            s3_prod_q <= {s2_high_q, 17'd0} + 48'(s2_low_q);
            s3_move_q <= plan_move(s2_exp_q, s2_lead_q, s2_zero_q);
            s3_sign_q <= s2_sign_q;
            s3_inf_q  <= s2_inf_q;
            s3_nan_q  <= s2_nan_q;
        end
    end

    // Stage 4: normalise; from here bit 47 weighs one.
    typedef struct packed {
        logic [8:0]  exp;
        logic [47:0] man;
    } number_t;

    function automatic number_t normalise(
        logic [47:0] prod, logic [4:0] left, logic deep, logic [8:0] exp
    );
        logic [47:0] shifted;
        logic        top;
        shifted = prod << left;
        top     = shifted[47];
        return {(top && !deep) ? exp + 9'd1 : exp, (top || deep) ? shifted : shifted << 1};
    endfunction

    number_t    s4_number_q;
    logic [4:0] s4_right_q;
    logic       s4_sign_q, s4_inf_q, s4_nan_q;

    always_ff @(posedge clk) begin
        if (valid_q[3]) begin
            s4_number_q <= normalise(s3_prod_q, s3_move_q.left, s3_move_q.deep, s3_move_q.exp);
            s4_right_q  <= s3_move_q.right;
            s4_sign_q   <= s3_sign_q;
            s4_inf_q    <= s3_inf_q;
            s4_nan_q    <= s3_nan_q;
        end
    end

    // Stage 5: denormalise.
    always_ff @(posedge clk) begin
        if (valid_q[4]) begin
            result.exp  <= s4_number_q.exp;
            result.man  <= s4_number_q.man >> s4_right_q;
            result.jam  <= (s4_number_q.man[30:0] & ~({31{1'b1}} << s4_right_q)) != '0;
            result.sign <= s4_sign_q;
            result.inf  <= s4_inf_q;
            result.nan  <= s4_nan_q;
        end
    end

    // Assertions
    `EMBNIC_KNOWN(valid_known, valid_out, "valid_out is known after reset")
    `EMBNIC_NEVER(below_grid, valid_out && result.exp == '0,
                  "no product is below the grid of subnormals")
    `EMBNIC_NEVER(unnormalised, valid_out && !result.man[47] && result.exp != 9'd1,
                  "a product is normalised or at exponent 1")
endmodule
`default_nettype wire
