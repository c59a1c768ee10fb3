// SPDX-License-Identifier: Apache-2.0
// Lets a change of a table descriptor, or a flush of the row cache, take effect between two requests.
//
// Order          every request admitted before the change has finished with the old descriptors, every later one
//                sees the new ones and an empty cache: no request sees both.
// Back-pressure  from the pulse on `hold` keeps requests from being executed; reached says that none is left. Frames go
//                on arriving into the request queue, and overflow it if the flush takes too long.
// Latency        reached + 2 cycles to the change, then the flush, one cycle a set.
// Errors         a commit while one is pending is the same commit: the words that hold when it happens are written.
//
// The line key of the cache has no place for a generation, so the lines of the old one are dropped instead.
`default_nettype none
`include "embnic_assert.svh"
module embnic_barrier (
    input  wire logic clk,
    input  wire logic rst,
    input  wire logic dp_rst,         // the data path is in reset: nothing happens meanwhile
    input  wire logic cfg_commit,     // pulse: write the descriptor, then flush
    input  wire logic cfg_flush,      // pulse: flush
    output      logic hold,           // begin no request that reads or writes rows
    input  wire logic reached,        // none is under way
    output      logic table_commit,   // pulse: write the descriptor
    output      logic cache_flush,    // pulse
    input  wire logic cache_flush_busy,
    output      logic sts_commit_busy,
    output      logic sts_flush_busy
);
    typedef enum logic [1:0] {
        OPEN,
        WAIT,   // for the requests under way
        START,  // the flush was given; its busy rises now
        FLUSH   // until it falls
    } state_e;

    state_e state_q, state_d;
    logic   commit_q, commit_d;  // a commit is pending

    always_comb begin
        state_d      = state_q;
        commit_d     = commit_q || cfg_commit;
        table_commit = 1'b0;
        cache_flush  = 1'b0;
        unique case (state_q)
            OPEN: if (cfg_commit || cfg_flush) state_d = WAIT;
            WAIT: if (reached && !dp_rst) begin
                table_commit = commit_q;
                cache_flush  = 1'b1;
                commit_d     = cfg_commit;
                state_d      = START;
            end
            START: state_d = FLUSH;
            FLUSH: if (!cache_flush_busy && !dp_rst) begin
                state_d = (cfg_commit || cfg_flush || commit_q) ? WAIT : OPEN;
            end
            default: state_d = OPEN;
        endcase
        // A pulse in START or FLUSH wants a flush of its own: the one under way may have passed its lines.
        if (state_q == START && (cfg_commit || cfg_flush)) state_d = WAIT;
        if (state_q == FLUSH && (cfg_commit || cfg_flush)) state_d = WAIT;
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            state_q  <= OPEN;
            commit_q <= 1'b0;
        end else begin
            state_q  <= state_d;
            commit_q <= commit_d;
        end
    end

    assign hold            = state_q != OPEN;
    assign sts_commit_busy = commit_q || (state_q != OPEN && state_q != WAIT);
    assign sts_flush_busy  = state_q != OPEN || cache_flush_busy;

    // Assertions
    `EMBNIC_NEVER(commit_unheld, (table_commit || cache_flush) && !(hold && reached),
        "nothing changes while a request is under way")
    `EMBNIC_ASSERT(commit_flushes, !table_commit || cache_flush, "a new descriptor finds an empty cache")
    `EMBNIC_KNOWN(hold_known, hold, "hold is known after reset")
    `EMBNIC_COVER(cover_waits, state_q == WAIT && !reached, "a change waits for a request")
    `EMBNIC_COVER(cover_again, state_q == FLUSH && cfg_commit, "a commit during the flush of another")
endmodule
`default_nettype wire
