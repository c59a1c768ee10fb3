// SPDX-License-Identifier: Apache-2.0
// embnic_counters: a snapshot is the sum, over 64 bits, of every increment of two cycles before it and earlier.
`default_nettype none
`include "embnic_fv.svh"
module embnic_counters_fv (
    input wire logic             clk,
    input wire logic             rst,
    input wire logic [1:0][31:0] inc,
    input wire logic             snapshot
);
    `EMBNIC_FV_RESET

    logic [1:0][63:0] values;
    logic [1:0][64:0] sum_q, before_q;  // of all increments of the cycles before this one, before the last one
    logic [1:0][63:0] wanted_q;

    embnic_counters #(.N(2)) u_dut (.*);

    always_ff @(posedge clk) begin
        for (int i = 0; i < 2; i++) begin
            if (rst) begin
                sum_q[i]    <= '0;
                before_q[i] <= '0;
                wanted_q[i] <= '0;
            end else begin
                sum_q[i]    <= sum_q[i] + 65'(inc[i]);
                before_q[i] <= sum_q[i];
                if (snapshot) wanted_q[i] <= before_q[i][63:0];
            end
        end
    end

    for (genvar i = 0; i < 2; i++) begin : gen_counter
        `EMBNIC_ASSERT(complete, values[i] == wanted_q[i], "a snapshot holds every increment until two cycles before it")
        // What makes the proof inductive.
        `EMBNIC_FV_HELP(counted, u_dut.count_q[i] == before_q[i][63:0], "the counter holds all but the newest increment")
        `EMBNIC_FV_HELP(newest, u_dut.count_q[i] + 64'(u_dut.inc_q[i]) == sum_q[i][63:0], "which waits in a register")
    end
    `EMBNIC_COVER(upper_half, values[0] > 64'h1_0000_0000 && values[1] == 64'd1, "a count beyond 32 bits beside a small one")
endmodule
`default_nettype wire
