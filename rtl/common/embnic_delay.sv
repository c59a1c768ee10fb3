// SPDX-License-Identifier: Apache-2.0
// Delays a word by a fixed number of cycles; written so that data without reset maps to shift-register LUTs.
//
// Latency     CYCLES.
// Throughput  one word per cycle, no back-pressure.
`default_nettype none
module embnic_delay #(
    parameter int unsigned WIDTH  = 32,  // bits of a word
    parameter int unsigned CYCLES = 4,   // cycles of delay, >= 1
    parameter bit          RESET  = 1'b0 // clear on rst (for valid bits); forbids shift-register LUTs
) (
    input  wire logic             clk,
    input  wire logic             rst,   // used only with RESET
    input  wire logic [WIDTH-1:0] in,
    output      logic [WIDTH-1:0] out
);
    if (CYCLES < 1) begin : gen_bad_cycles
        $fatal(1, "CYCLES must be at least 1");
    end

    logic [CYCLES-1:0][WIDTH-1:0] line_q;

    always_ff @(posedge clk) begin
        line_q[0] <= in;
        for (int unsigned i = 1; i < CYCLES; i++) line_q[i] <= line_q[i-1];
        if (RESET && rst) line_q <= '0;
    end

    assign out = line_q[CYCLES-1];
endmodule
`default_nettype wire
