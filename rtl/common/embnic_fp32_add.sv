// SPDX-License-Identifier: Apache-2.0
// Binary32 a + b, rounded to nearest even.
//
// Order       results leave in the order of the operands; nothing stalls.
// Latency     ADD_STAGES cycles from valid_in to valid_out.
// Throughput  one operation per cycle. A stage without a valid operation keeps its registers.
// Values      subnormal operands and results are kept; signed zeros as IEEE 754 (so -0 + b is b);
//             every NaN result is 0x7fc00000.
//
//   1 compare | 2 swap, shift | 3 add | 4 count leading zeros | 5 normalise | 6 round, pack
//
// As in embnic_fp32_fma every number is (exponent >= 1, fraction), normalised or on the grid of
// subnormals. Of the smaller term three bits below the grid of the larger are enough: two, and one
// that jams what lies lower. When more than one leading bit cancels, the terms were at most one
// place apart and nothing lies there.
`default_nettype none
`include "embnic_assert.svh"
module embnic_fp32_add
    import embnic_pkg::*;
    import embnic_fp32_pkg::*;
(
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic        valid_in,
    input  wire logic [31:0] a,
    input  wire logic [31:0] b,
    output      logic        valid_out,
    output      logic [31:0] result
);
    localparam int unsigned LATENCY = 6;
    if (LATENCY != ADD_STAGES) begin : gen_bad_stages
        $fatal(1, "ADD_STAGES must be what this pipeline has");
    end

    logic [LATENCY:1] valid_q;  // index: the stage whose registers hold an operation

    always_ff @(posedge clk) begin
        if (rst) valid_q <= '0;
        else     valid_q <= {valid_q[LATENCY-1:1], valid_in};
    end
    assign valid_out = valid_q[LATENCY];

    // What of a sum only travels.
    typedef struct packed {
        logic sign;
        logic subtract;
        logic inf;
        logic nan;
    } side_t;

    // Stage 1: which is larger, and by how many binary places; infinities and NaNs are settled
    // here. The encodings of magnitudes compare like the numbers.
    logic [23:0] s1_man_a_q, s1_man_b_q;
    logic [7:0]  s1_exp_a_q, s1_exp_b_q;
    logic [7:0]  s1_down_a_q, s1_down_b_q;  // places that a, or b, moves down if it is smaller
    logic        s1_swap_q;                 // b is larger
    side_t       s1_side_q;                 // sign: of a, or of the infinity
    logic        s1_sign_b_q;

    always_ff @(posedge clk) begin
        if (valid_in) begin
            s1_man_a_q         <= {a[30:23] != '0, a[22:0]};
            s1_man_b_q         <= {b[30:23] != '0, b[22:0]};
            s1_exp_a_q         <= fp32_grid_exp(a[30:23]);
            s1_exp_b_q         <= fp32_grid_exp(b[30:23]);
            s1_down_a_q        <= fp32_grid_exp(b[30:23]) - fp32_grid_exp(a[30:23]);
            s1_down_b_q        <= fp32_grid_exp(a[30:23]) - fp32_grid_exp(b[30:23]);
            s1_swap_q          <= b[30:0] > a[30:0];
            s1_sign_b_q        <= b[31];
            s1_side_q.sign     <= a[31];
            s1_side_q.subtract <= a[31] ^ b[31];
            s1_side_q.inf      <= a[30:0] == FP32_INF || b[30:0] == FP32_INF;
            s1_side_q.nan      <= fp32_is_nan(a[30:0]) || fp32_is_nan(b[30:0])
                                  || (a[30:0] == FP32_INF && b[30:0] == FP32_INF
                                      && a[31] != b[31]);
        end
    end

    // Stage 2: larger and smaller; the smaller moves down. Bit 26 weighs one, bit 0 jams.
    function automatic logic [26:0] shift_jam(logic [23:0] man, logic [7:0] shift);
        logic [26:0] x, lost;
        logic [4:0]  places;
        x      = {man, 3'd0};
        places = (shift[7:5] != '0) ? 5'd31 : shift[4:0];
        lost   = x & ~({27{1'b1}} << places);
        return (x >> places) | 27'(lost != '0);
    endfunction

    logic [23:0] s2_big_q;
    logic [26:0] s2_small_q;
    logic [7:0]  s2_exp_q;
    side_t       s2_side_q;

    always_ff @(posedge clk) begin
        if (valid_q[1]) begin
            s2_big_q   <= s1_swap_q ? s1_man_b_q : s1_man_a_q;
            s2_small_q <= s1_swap_q ? shift_jam(s1_man_a_q, s1_down_a_q)
                                    : shift_jam(s1_man_b_q, s1_down_b_q);
            s2_exp_q   <= s1_swap_q ? s1_exp_b_q : s1_exp_a_q;
            s2_side_q  <= s1_side_q;
            // The larger gives the sign; an infinity is the larger, or there are two of one sign.
            if (s1_swap_q) s2_side_q.sign <= s1_sign_b_q;
        end
    end

    // Stage 3: add. The larger comes first, so the sum is never negative. Bit 27 weighs two.
    logic [27:0] s3_sum, s3_sum_q;
    logic [27:0] s3_marker_q;  // a one where the sum's leading bit has exponent 1
    logic [7:0]  s3_exp_q;
    side_t       s3_side_q;

    // One carry chain: an extra bit at the bottom brings the one of the two's complement in.
    assign s3_sum = 28'(({1'b0, s2_big_q, 4'b0001}
                         + {s2_side_q.subtract, s2_small_q ^ {27{s2_side_q.subtract}},
                            s2_side_q.subtract}) >> 1);

    always_ff @(posedge clk) begin
        if (valid_q[2]) begin
            s3_sum_q    <= s3_sum;
            s3_marker_q <= {1'b1, 27'd0} >> s2_exp_q;
            s3_exp_q    <= s2_exp_q;
            s3_side_q   <= s2_side_q;
        end
    end

    // Stage 4: count leading zeros, down to the marker at most: the result stays on the grid.
    logic [27:0] s4_sum_q;
    logic [4:0]  s4_lead_q;
    logic [8:0]  s4_exp_q;
    logic        s4_sign_q, s4_inf_q, s4_nan_q;

    always_ff @(posedge clk) begin
        if (valid_q[3]) begin
            s4_sum_q  <= s3_sum_q;
            s4_lead_q <= lzc32({s3_sum_q | s3_marker_q, 3'd0});
            s4_exp_q  <= 9'(s3_exp_q) + 9'd1;
            // An exact zero is positive unless both terms were negative.
            s4_sign_q <= s3_side_q.sign && (s3_side_q.inf || !s3_side_q.subtract || s3_sum_q != '0);
            s4_inf_q  <= s3_side_q.inf;
            s4_nan_q  <= s3_side_q.nan;
        end
    end

    // Stage 5: normalise.
    logic [27:0] s5_sum_q;
    logic [8:0]  s5_exp_q;
    logic        s5_sign_q, s5_inf_q, s5_nan_q;

    always_ff @(posedge clk) begin
        if (valid_q[4]) begin
            s5_sum_q  <= s4_sum_q << s4_lead_q;
            s5_exp_q  <= s4_exp_q - 9'(s4_lead_q);
            s5_sign_q <= s4_sign_q;
            s5_inf_q  <= s4_inf_q;
            s5_nan_q  <= s4_nan_q;
        end
    end

    // Stage 6: round and pack.
    logic s6_up;
    assign s6_up = s5_sum_q[3] && (s5_sum_q[4] || s5_sum_q[2:0] != '0);

    always_ff @(posedge clk) begin
        if (valid_q[5]) begin
            if (s5_nan_q)      result <= FP32_NAN;
            else if (s5_inf_q) result <= {s5_sign_q, FP32_INF};
            else               result <= {s5_sign_q, fp32_pack(s5_exp_q, s5_sum_q[27:4], s6_up)};
        end
    end

    // Assertions
    `EMBNIC_KNOWN(valid_known, valid_out, "valid_out is known after reset")
    `EMBNIC_NEVER(borrow, valid_q[2] && s2_side_q.subtract && s3_sum[27],
                  "the larger term is first")
endmodule
`default_nettype wire
