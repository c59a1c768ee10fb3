// SPDX-License-Identifier: Apache-2.0
// embnic_rr_arbiter: grants a requester whenever there is one; whoever keeps asking is served within N takes.
`default_nettype none
`include "embnic_fv.svh"
module embnic_rr_arbiter_fv #(
    parameter int unsigned N = 4,
    localparam int unsigned IDX_W = $clog2(N)
) (
    input wire logic             clk,
    input wire logic             rst,
    input wire logic [N-1:0]     req,
    input wire logic [N-1:0]     mark,
    input wire logic             take,
    input wire logic [IDX_W-1:0] watch  // one requester; which one is free
);
    `EMBNIC_FV_RESET

    localparam int unsigned CNT_W = $clog2(2 * N);

    logic             grant_valid, grant_mark;
    logic [IDX_W-1:0] grant_idx;
    logic [IDX_W-1:0] watch_q;
    logic [CNT_W-1:0] passed_q;  // takes by others since the watched requester began to ask
    logic             served;

    embnic_rr_arbiter #(.N(N)) u_dut (.*);

    assign served = take && grant_valid && grant_idx == watch;

    always_ff @(posedge clk) begin
        watch_q <= watch;
        if (rst || !req[watch] || served) passed_q <= '0;
        else passed_q <= passed_q + CNT_W'(take && grant_valid);
    end

    // Who is before the watched requester: those from behind the last taken one on. This makes the proof inductive.
    logic [CNT_W-1:0] first, rank;  // index with the highest priority, places between it and the watched one

    always_comb begin
        first = '0;
        for (int i = int'(N) - 1; i >= 0; i--) if (u_dut.above_q[i]) first = CNT_W'(i);
        rank = (CNT_W'(watch) >= first) ? CNT_W'(watch) - first : CNT_W'(watch) + CNT_W'(N) - first;
    end

    `EMBNIC_ASSUME(watch_legal, 32'(watch) < N, "the watched requester exists")
    `EMBNIC_ASSUME(watch_fixed, watch == watch_q, "and stays the same")
    `EMBNIC_ASSERT(grants, grant_valid == (req != '0), "a grant is given whenever somebody asks")
    `EMBNIC_ASSERT(marked, !grant_valid || grant_mark == mark[grant_idx], "the mark is that of the granted one")
    `EMBNIC_ASSERT(legal, 32'(grant_idx) < N, "the granted index exists")
    `EMBNIC_ASSERT(prompt, 32'(passed_q) < N, "who keeps asking is served within N takes")
    `EMBNIC_FV_HELP(closer, 32'(passed_q) + 32'(rank) < N, "every take brings the watched requester closer")
    for (genvar i = 1; i < int'(N); i++) begin : gen_mask
        `EMBNIC_FV_HELP(mask, !u_dut.above_q[i-1] || u_dut.above_q[i], "everybody behind the last taken one is preferred")
    end
    `EMBNIC_COVER(longest, served && 32'(passed_q) == N - 1, "the longest wait")
endmodule
`default_nettype wire
