// SPDX-License-Identifier: Apache-2.0
// Divides binary32 numbers, one at a time: a / b, rounded to nearest even.
//
// Order          one at a time.
// Back-pressure  any cycle, both sides; the result holds until it is taken.
// Latency        32 cycles from the operands to the result.
// Throughput     an operation every 33 cycles.
// Values         subnormals are kept, in and out; x / 0 is infinite, 0 / 0 and inf / inf are NaNs; every NaN is
//                0x7fc00000.
//
// Restoring division, a bit a cycle. For many lanes and a whole divisor see embnic_fp32_div_uint.
`default_nettype none
`include "embnic_assert.svh"
module embnic_fp32_div
    import embnic_fp32_pkg::*;
(
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic [31:0] s_axis_a_tdata,
    input  wire logic [31:0] s_axis_b_tdata,       // with s_axis_a_tvalid
    input  wire logic        s_axis_a_tvalid,
    output      logic        s_axis_a_tready,
    output      logic [31:0] m_axis_quotient_tdata,
    output      logic        m_axis_quotient_tvalid,
    input  wire logic        m_axis_quotient_tready
);
    localparam int unsigned BITS = 26;  // of the quotient: 24, one to round, one more when it is below 1

    typedef enum logic [2:0] { IDLE, NORMALISE, DIVIDE, SHIFT, ROUND, HOLD } state_e;

    // A factor as 24 bits with a leading one, and the exponent that goes with them.
    typedef struct packed {
        logic signed [9:0] exp;
        logic [23:0]       man;
    } number_t;

    function automatic number_t normalised(logic [30:0] x);
        logic [4:0] lead;
        lead = lzc32({1'b0, x[22:0], 7'd0});  // of a subnormal: 1 at least
        if (x[30:23] != '0) return '{exp: $signed({2'b00, x[30:23]}), man: {1'b1, x[22:0]}};
        return '{exp: 10'sd1 - $signed({5'd0, lead}), man: {1'b0, x[22:0]} << lead};
    endfunction

    state_e            state_q;
    logic [31:0]       a_q, b_q;
    logic              sign_q, nan_q, inf_q, zero_q;
    number_t           dividend, divisor;
    logic [23:0]       divisor_q;
    logic [24:0]       rest_q;
    logic [23:0]       rest;        // below the divisor
    logic [BITS-1:0]   quotient_q;
    logic signed [9:0] exp_q;
    logic [4:0]        left_q;
    logic              fits;
    logic              jam_q;
    logic [9:0]        below;       // how far under the grid of subnormals
    logic              up;

    assign s_axis_a_tready        = state_q == IDLE;
    assign m_axis_quotient_tvalid = state_q == HOLD;
    assign dividend               = normalised(a_q[30:0]);
    assign divisor                = normalised(b_q[30:0]);
    assign fits                   = rest_q >= {1'b0, divisor_q};
    assign rest                   = fits ? 24'(rest_q - {1'b0, divisor_q}) : rest_q[23:0];
    assign below                  = 10'(10'sd1 - exp_q);
    assign up                     = quotient_q[1] && (quotient_q[0] || jam_q || quotient_q[2]);

    always_ff @(posedge clk) begin
        unique case (state_q)
            IDLE: begin
                a_q <= s_axis_a_tdata;
                b_q <= s_axis_b_tdata;
            end
            NORMALISE: begin
                sign_q     <= a_q[31] ^ b_q[31];
                nan_q      <= fp32_is_nan(a_q[30:0]) || fp32_is_nan(b_q[30:0])
                              || (a_q[30:0] == '0 && b_q[30:0] == '0)
                              || (a_q[30:0] == FP32_INF && b_q[30:0] == FP32_INF);
                inf_q      <= a_q[30:0] == FP32_INF || b_q[30:0] == '0;
                zero_q     <= a_q[30:0] == '0 || b_q[30:0] == FP32_INF;
                rest_q     <= {1'b0, dividend.man};
                divisor_q  <= divisor.man;
                exp_q      <= dividend.exp - divisor.exp + 10'sd127;
                quotient_q <= '0;
                left_q     <= 5'(BITS - 1);
            end
            DIVIDE: begin
                quotient_q <= {quotient_q[BITS-2:0], fits};
                rest_q     <= {rest, 1'b0};
                left_q     <= left_q - 5'd1;
            end
            // To the grid: one place up when the quotient is below 1, down when it is subnormal.
            SHIFT: begin
                jam_q <= rest_q != '0;
                if (!quotient_q[BITS-1]) begin
                    quotient_q <= quotient_q << 1;
                    exp_q      <= exp_q - 10'sd1;
                end
            end
            ROUND: begin
                if (exp_q < 10'sd1) begin
                    quotient_q <= (below > 10'd26) ? '0 : quotient_q >> below[4:0];
                    jam_q      <= jam_q || below > 10'd26
                                  || (quotient_q & ~({BITS{1'b1}} << below[4:0])) != '0;
                    exp_q      <= 10'sd1;
                end else begin
                    if (nan_q)       m_axis_quotient_tdata <= FP32_NAN;
                    else if (inf_q)  m_axis_quotient_tdata <= {sign_q, FP32_INF};
                    else if (zero_q) m_axis_quotient_tdata <= {sign_q, 31'd0};
                    else             m_axis_quotient_tdata <= {sign_q,
                                                               fp32_pack(exp_q[8:0], quotient_q[BITS-1:2], up)};
                end
            end
            default: ;
        endcase
        if (rst) begin
            state_q <= IDLE;
        end else begin
            unique case (state_q)
                IDLE:      if (s_axis_a_tvalid) state_q <= NORMALISE;
                NORMALISE: state_q <= DIVIDE;
                DIVIDE:    if (left_q == '0) state_q <= SHIFT;
                SHIFT:     state_q <= ROUND;
                ROUND:     if (exp_q >= 10'sd1) state_q <= HOLD;
                HOLD:      if (m_axis_quotient_tready) state_q <= IDLE;
                default:   state_q <= IDLE;
            endcase
        end
    end

    // Assertions
    `EMBNIC_STABLE(quotient_stable, m_axis_quotient_tvalid, m_axis_quotient_tready, m_axis_quotient_tdata,
                   "the result holds until it is taken")
    `EMBNIC_KNOWN(valid_known, m_axis_quotient_tvalid, "tvalid is known after reset")
    `EMBNIC_NEVER(one_place, state_q == ROUND && !nan_q && !inf_q && !zero_q && exp_q > 10'sd1
                             && !quotient_q[BITS-1],
                  "a quotient is normalised or subnormal")
endmodule
`default_nettype wire
