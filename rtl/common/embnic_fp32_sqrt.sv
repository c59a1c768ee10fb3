// SPDX-License-Identifier: Apache-2.0
// Square root of binary32 numbers, one at a time, rounded to nearest even.
//
// Order          one at a time.
// Back-pressure  any cycle, both sides; the result holds until it is taken.
// Latency        28 cycles from the operand to the result.
// Throughput     an operation every 29 cycles.
// Values         subnormal operands are kept; a zero stays as it is; of a negative number and of a NaN 0x7fc00000.
//
// Digit by digit, a bit a cycle; 24 bits and one to round. A root is never exactly between two numbers.
`default_nettype none
`include "embnic_assert.svh"
module embnic_fp32_sqrt
    import embnic_fp32_pkg::*;
(
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic [31:0] s_axis_a_tdata,
    input  wire logic        s_axis_a_tvalid,
    output      logic        s_axis_a_tready,
    output      logic [31:0] m_axis_root_tdata,
    output      logic        m_axis_root_tvalid,
    input  wire logic        m_axis_root_tready
);
    localparam int unsigned BITS = 25;  // of the root

    typedef enum logic [2:0] { IDLE, NORMALISE, DIGITS, ROUND, HOLD } state_e;

    state_e            state_q;
    logic [31:0]       a_q;
    logic              nan_q, keep_q;   // the result is no root: a NaN, or the operand as it is
    logic [4:0]        lead;
    logic signed [9:0] exp;             // biased, of the operand when normalised
    logic [23:0]       man;
    logic [49:0]       square_q;        // what is left of the operand, two bits a digit
    logic [BITS+1:0]   rest_q, rest, trial;
    logic [BITS-1:0]   root_q;
    logic [8:0]        half_q;          // biased exponent of the root
    logic [4:0]        left_q;
    logic              fits, odd;

    assign s_axis_a_tready    = state_q == IDLE;
    assign m_axis_root_tvalid = state_q == HOLD;
    assign lead               = lzc32({1'b0, a_q[22:0], 7'd0});
    assign exp                = (a_q[30:23] != '0) ? $signed({2'b00, a_q[30:23]}) : 10'sd1 - $signed({5'd0, lead});
    assign man                = (a_q[30:23] != '0) ? {1'b1, a_q[22:0]} : {1'b0, a_q[22:0]} << lead;
    assign odd                = !exp[0];  // exp - 127 is odd
    assign rest               = {rest_q[BITS-1:0], square_q[49:48]};
    assign trial              = {root_q, 2'b01};
    assign fits               = rest >= trial;

    always_ff @(posedge clk) begin
        unique case (state_q)
            IDLE: a_q <= s_axis_a_tdata;
            NORMALISE: begin
                keep_q   <= a_q[30:0] == '0 || a_q == {1'b0, FP32_INF};
                nan_q    <= fp32_is_nan(a_q[30:0]) || (a_q[31] && a_q[30:0] != '0);
                square_q <= odd ? {man, 26'd0} : {1'b0, man, 25'd0};
                half_q   <= 9'((exp + 10'sd127 - $signed({9'd0, odd})) >>> 1);
                rest_q   <= '0;
                root_q   <= '0;
                left_q   <= 5'(BITS - 1);
            end
            DIGITS: begin
                root_q   <= {root_q[BITS-2:0], fits};
                rest_q   <= fits ? rest - trial : rest;
                square_q <= square_q << 2;
                left_q   <= left_q - 5'd1;
            end
            ROUND: begin
                if (nan_q)       m_axis_root_tdata <= FP32_NAN;
                else if (keep_q) m_axis_root_tdata <= a_q;
                else             m_axis_root_tdata <= {1'b0, fp32_pack(half_q, root_q[BITS-1:1],
                                                                       root_q[0] && (root_q[1] || rest_q != '0))};
            end
            default: ;
        endcase
        if (rst) begin
            state_q <= IDLE;
        end else begin
            unique case (state_q)
                IDLE:      if (s_axis_a_tvalid) state_q <= NORMALISE;
                NORMALISE: state_q <= DIGITS;
                DIGITS:    if (left_q == '0) state_q <= ROUND;
                ROUND:     state_q <= HOLD;
                HOLD:      if (m_axis_root_tready) state_q <= IDLE;
                default:   state_q <= IDLE;
            endcase
        end
    end

    // Assertions
    `EMBNIC_STABLE(root_stable, m_axis_root_tvalid, m_axis_root_tready, m_axis_root_tdata,
                   "the result holds until it is taken")
    `EMBNIC_KNOWN(valid_known, m_axis_root_tvalid, "tvalid is known after reset")
    `EMBNIC_NEVER(no_lead, state_q == ROUND && !nan_q && !keep_q && !root_q[BITS-1], "a root has its leading one")
endmodule
`default_nettype wire
