// SPDX-License-Identifier: Apache-2.0
// Stands for embnic_fp32_fma where no property looks at data: its ports and latency, without arithmetic.
`default_nettype none
module embnic_fp32_fma
    import embnic_pkg::*;
(
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic        valid_in,
    input  wire logic        round_product,
    input  wire logic [31:0] a,
    input  wire logic [31:0] b,
    input  wire logic [31:0] c,
    output      logic        valid_out,
    output      logic [31:0] result
);
    logic [FMA_STAGES:1] valid_q;

    always_ff @(posedge clk) valid_q <= rst ? '0 : {valid_q[FMA_STAGES-1:1], valid_in};

    assign valid_out = valid_q[FMA_STAGES];
    assign result    = '0;
endmodule
`default_nettype wire
