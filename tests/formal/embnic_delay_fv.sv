// SPDX-License-Identifier: Apache-2.0
// embnic_delay: a word comes out CYCLES after it went in; with RESET nothing but zeros comes out for as long after a reset.
`default_nettype none
`include "embnic_fv.svh"
module embnic_delay_fv #(
    parameter int unsigned CYCLES = 3,
    parameter bit          RESET  = 1'b0
) (
    input wire logic       clk,
    input wire logic       rst,
    input wire logic       mark,  // the word of this cycle is followed
    input wire logic [7:0] in
);
    `EMBNIC_FV_RESET

    localparam int unsigned AGE_W = $clog2(CYCLES + 1);

    logic [7:0]       out, word_q;
    logic [AGE_W-1:0] age_q;    // cycles since the followed word went in; 0: none is followed
    logic [AGE_W-1:0] quiet_q;  // cycles since reset, up to CYCLES

    embnic_delay #(.WIDTH(8), .CYCLES(CYCLES), .RESET(RESET)) u_dut (.*);

    always_ff @(posedge clk) begin
        if (mark && age_q == '0) word_q <= in;
        if (RESET && rst) age_q <= '0;
        else if (!fv_started_q || age_q == AGE_W'(CYCLES)) age_q <= '0;
        else if (mark || age_q != '0) age_q <= age_q + 1'b1;
        if (rst) quiet_q <= '0;
        else if (quiet_q != AGE_W'(CYCLES)) quiet_q <= quiet_q + 1'b1;
    end

    `EMBNIC_ASSERT(on_time, age_q != AGE_W'(CYCLES) || out == word_q, "the followed word comes out CYCLES later")
    if (RESET) begin : gen_reset
        `EMBNIC_ASSERT(cleared, quiet_q == AGE_W'(CYCLES) || out == '0, "what was under way is cleared by a reset")
    end
    `EMBNIC_COVER(arrives, age_q == AGE_W'(CYCLES) && out == 8'ha5, "a followed word arrives")
endmodule
`default_nettype wire
