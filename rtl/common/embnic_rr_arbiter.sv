// SPDX-License-Identifier: Apache-2.0
// Round-robin choice: grants one of the requests, the next one after the last taken.
//
// Mark        a bit of each requester; that of the granted one comes with the grant.
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
    input  wire logic [N-1:0]     mark,
    input  wire logic             take,       // the grant was used
    output      logic             grant_valid,
    output      logic [IDX_W-1:0] grant_idx,
    output      logic             grant_mark
);
    if (N < 2) begin : gen_bad_n
        $fatal(1, "N must be at least 2");
    end

    // Requests above the last taken index come first. Groups of eight are looked at side by side: which of a group is
    // its lowest, then which group is the lowest that asks, among the requests above and among all. The choice between
    // these comes last, so that neither waits for it.
    localparam int unsigned RADIX   = 8;
    localparam int unsigned GROUPS  = (N + RADIX - 1) / RADIX;
    localparam int unsigned PADDED  = GROUPS * RADIX;
    localparam int unsigned LOW_W   = $clog2(RADIX);
    localparam int unsigned GROUP_W = (GROUPS > 1) ? $clog2(GROUPS) : 1;

    logic [N-1:0]                  above_q;
    logic [PADDED-1:0]             all, high, marks;
    logic [GROUPS-1:0]             any_all, any_high;
    logic [GROUPS-1:0][LOW_W-1:0]  low_all, low_high;
    logic [GROUPS-1:0]             mark_all, mark_high;
    logic [GROUP_W-1:0]            group_all, group_high;
    logic [GROUP_W+LOW_W-1:0]      chosen;

    always_comb begin
        all        = PADDED'(req);
        high       = PADDED'(req & above_q);
        marks      = PADDED'(mark);
        mark_all   = '0;
        mark_high  = '0;
        low_all    = '0;
        low_high   = '0;
        group_all  = '0;
        group_high = '0;
        for (int unsigned g = 0; g < GROUPS; g++) begin
            any_all[g]  = all[g*RADIX+:RADIX] != '0;
            any_high[g] = high[g*RADIX+:RADIX] != '0;
            for (int unsigned i = RADIX; i > 0; i--) begin
                if (all[g*RADIX+i-1])  {mark_all[g], low_all[g]}   = {marks[g*RADIX+i-1], LOW_W'(i - 1)};
                if (high[g*RADIX+i-1]) {mark_high[g], low_high[g]} = {marks[g*RADIX+i-1], LOW_W'(i - 1)};
            end
        end
        for (int unsigned g = GROUPS; g > 0; g--) begin
            if (any_all[g-1])  group_all  = GROUP_W'(g - 1);
            if (any_high[g-1]) group_high = GROUP_W'(g - 1);
        end
        if (any_high != '0) begin
            chosen     = {group_high, low_high[group_high]};
            grant_mark = mark_high[group_high];
        end else begin
            chosen     = {group_all, low_all[group_all]};
            grant_mark = mark_all[group_all];
        end
    end

    assign grant_valid = any_all != '0;
    assign grant_idx   = IDX_W'(chosen);

    wire unused = &{1'b0, chosen};  // its highest bits, of few requesters

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
