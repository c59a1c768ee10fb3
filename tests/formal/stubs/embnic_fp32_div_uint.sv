// SPDX-License-Identifier: Apache-2.0
// Stands for embnic_fp32_div_uint where no property looks at data: its ports and latency, without arithmetic.
`default_nettype none
module embnic_fp32_div_uint
    import embnic_pkg::*;
#(
    parameter int unsigned LANES = 4
) (
    input  wire logic                clk,
    input  wire logic                rst,
    input  wire logic                valid_in,
    input  wire logic [LANES*32-1:0] a,
    input  wire logic [31:0]         count,
    output      logic                valid_out,
    output      logic [LANES*32-1:0] result
);
    logic [DIV_STAGES:1] valid_q;

    always_ff @(posedge clk) valid_q <= rst ? '0 : {valid_q[DIV_STAGES-1:1], valid_in};

    assign valid_out = valid_q[DIV_STAGES];
    assign result    = '0;
endmodule
`default_nettype wire
