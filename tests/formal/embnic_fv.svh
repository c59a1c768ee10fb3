// SPDX-License-Identifier: Apache-2.0
// What every formal top begins with. `clk` and `rst` are inputs of the top.
`ifndef EMBNIC_FV_SVH
`define EMBNIC_FV_SVH
`include "embnic_assert.svh"

// Reset in the first cycle; from then on `rst` is free, so resets in the midst of traffic are part of every proof.
`define EMBNIC_FV_RESET \
    logic fv_started_q = 1'b0; \
    always_ff @(posedge clk) fv_started_q <= 1'b1; \
    always_comb begin : assume_reset_first \
        if (!fv_started_q) reset_first: assume (rst); \
    end

// `expr` holds in every state, whichever of several clocks moves.
`define EMBNIC_FV_STATE(name, expr, sentence) \
    always_comb begin : state_``name \
        name: assert (expr); \
    end

// An invariant over the inside of the module, which makes an induction close. Left out when a broken twin is checked: it
// is a claim about the outside that must fail there.
`ifdef FV_CLAIMS_ONLY
`define EMBNIC_FV_HELP(name, expr, sentence)
`define EMBNIC_FV_STATE_HELP(name, expr, sentence)
`else
`define EMBNIC_FV_HELP(name, expr, sentence) `EMBNIC_ASSERT(name, expr, sentence)
`define EMBNIC_FV_STATE_HELP(name, expr, sentence) `EMBNIC_FV_STATE(name, expr, sentence)
`endif

`endif
