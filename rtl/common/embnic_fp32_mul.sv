// SPDX-License-Identifier: Apache-2.0
// Binary32 a * b, rounded to nearest even.
//
// Order       results leave in the order of the operands; nothing stalls.
// Latency     MUL_STAGES cycles from valid_in to valid_out.
// Throughput  one operation per cycle. A stage without a valid operation keeps its registers.
// Values      subnormal operands and results are kept; signed zeros as IEEE 754; every NaN result
//             is 0x7fc00000.
//
//   1..5 embnic_fp32_product | 6 round, pack
`default_nettype none
`include "embnic_assert.svh"
module embnic_fp32_mul
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
    if (LATENCY != MUL_STAGES) begin : gen_bad_stages
        $fatal(1, "MUL_STAGES must be what this pipeline has");
    end

    fp32_product_t product;
    logic          product_valid, up;

    embnic_fp32_product u_product (
        .clk, .rst, .valid_in, .a, .b, .valid_out(product_valid), .result(product)
    );

    assign up = product.man[23] && (product.man[24] || product.jam || product.man[22:0] != '0);

    always_ff @(posedge clk) begin
        if (rst) valid_out <= 1'b0;
        else     valid_out <= product_valid;
        if (product_valid) begin
            if (product.nan)      result <= FP32_NAN;
            else if (product.inf) result <= {product.sign, FP32_INF};
            else                  result <= {product.sign,
                                             fp32_pack(product.exp, product.man[47:24], up)};
        end
    end

    // Assertions
    `EMBNIC_KNOWN(valid_known, valid_out, "valid_out is known after reset")
endmodule
`default_nettype wire
