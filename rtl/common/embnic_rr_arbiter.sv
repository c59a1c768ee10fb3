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

    // Requests above the last taken index come first.
    logic [N-1:0] above_q;
    logic [N-1:0] high, low_or_high;

    assign high        = req & above_q;
    assign low_or_high = (high != '0) ? high : req;
    assign grant_valid = req != '0;

    always_comb begin
        grant_idx = '0;
        for (int i = int'(N) - 1; i >= 0; i--) begin
            if (low_or_high[i]) grant_idx = IDX_W'(i);
        end
    end

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
