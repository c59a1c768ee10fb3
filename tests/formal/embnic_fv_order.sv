// SPDX-License-Identifier: Apache-2.0
// Watches a queue: what goes in comes out once, unchanged, in order.
//
// `mark` is free. When it is high with a push the word is tracked: its data and the number of words ahead of it. When as
// many have left, the next one that leaves must be it. As any word may be the tracked one, the proof holds for every
// word.
`default_nettype none
`include "embnic_assert.svh"
module embnic_fv_order #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned MOST  = 8,   // words the queue may hold
    localparam int unsigned CNT_W = $clog2(MOST + 2)
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             mark,
    input  wire logic             push,
    input  wire logic [WIDTH-1:0] push_data,
    input  wire logic             pop,
    input  wire logic [WIDTH-1:0] pop_data,
    output      logic [CNT_W-1:0] count_q,    // words inside
    output      logic             tracking_q, // the tracked word is inside,
    output      logic [CNT_W-1:0] ahead_q,    // behind as many others
    output      logic [WIDTH-1:0] word_q      // and is this
);
    logic start;

    assign start = mark && push && !tracking_q;

    always_ff @(posedge clk) begin
        if (start) word_q <= push_data;
        if (start) ahead_q <= count_q - CNT_W'(pop);
        else if (pop) ahead_q <= ahead_q - 1'b1;
        if (rst) begin
            count_q    <= '0;
            tracking_q <= 1'b0;
        end else begin
            count_q    <= count_q + CNT_W'(push) - CNT_W'(pop);
            tracking_q <= start || (tracking_q && !(pop && ahead_q == '0));
        end
    end

    // Assertions
    `EMBNIC_ASSERT(intact, !(tracking_q && pop && ahead_q == '0) || pop_data == word_q,
        "a word leaves in its turn as it came")
    `EMBNIC_NEVER(from_nothing, pop && count_q == '0, "only words that went in come out")
    `EMBNIC_NEVER(too_many, count_q > CNT_W'(MOST), "no more words are inside than there is room for")
    `EMBNIC_ASSERT(still_in, !tracking_q || ahead_q < count_q, "the tracked word is inside")
    `EMBNIC_COVER(tracked_leaves, tracking_q && pop && ahead_q == '0 && word_q == '1, "a tracked word leaves")
endmodule
`default_nettype wire
