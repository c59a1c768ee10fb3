// SPDX-License-Identifier: Apache-2.0
// Round-robin choice: grants one of the requests, the next one after the last taken.
//
// Order       combinational grant; `take` moves the priority past the granted index.
// Throughput  one grant per cycle; every requester that keeps asking is served within N takes.
`default_nettype none
`include "embnic_assert.svh"
module embnic_rr_arbiter #(
    parameter int unsigned N = 4,  // requesters, >= 2
    localparam int unsigned IDX_W = $clog2(N)
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic [N-1:0]     req,
    input  wire logic             take,       // the grant was used
    output      logic             grant_valid,
    output      logic [IDX_W-1:0] grant_idx
);
    if (N < 2) begin : gen_bad_n
        $fatal(1, "N must be at least 2");
    end

    // Requests above the last taken index come first. Two trees look for the lowest, among these and among all; the
    // choice between them comes last, so that neither waits for it.
    localparam int unsigned LEAVES = 1 << IDX_W;
    logic [N-1:0]                     above_q;
    logic [2*LEAVES-1:0]              any_high, any;  // node 1 is the root, node i has 2 i and 2 i + 1 below it
    logic [2*LEAVES-1:0][IDX_W-1:0]   idx_high, idx;

    always_comb begin
        any_high = '0;
        any      = '0;
        idx_high = '0;
        idx      = '0;
        for (int unsigned i = 0; i < N; i++) begin
            any_high[LEAVES+i] = req[i] && above_q[i];
            any[LEAVES+i]      = req[i];
            idx_high[LEAVES+i] = IDX_W'(i);
            idx[LEAVES+i]      = IDX_W'(i);
        end
        for (int unsigned i = LEAVES - 1; i >= 1; i--) begin
            any_high[i] = any_high[2*i] || any_high[2*i+1];
            any[i]      = any[2*i] || any[2*i+1];
            idx_high[i] = any_high[2*i] ? idx_high[2*i] : idx_high[2*i+1];
            idx[i]      = any[2*i] ? idx[2*i] : idx[2*i+1];
        end
    end

    assign grant_valid = any[1];
    assign grant_idx   = any_high[1] ? idx_high[1] : idx[1];

    always_ff @(posedge clk) begin
        if (rst) above_q <= '0;
        else if (take && grant_valid) begin
            for (int unsigned i = 0; i < N; i++) above_q[i] <= IDX_W'(i) > grant_idx;
        end
    end

    // Assertions
    `EMBNIC_ASSERT(granted_asked, !grant_valid || req[grant_idx], "only a requester is granted")
endmodule
`default_nettype wire
