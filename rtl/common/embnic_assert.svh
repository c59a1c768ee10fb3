// SPDX-License-Identifier: Apache-2.0
// The six assertion macros of embnic. Each takes a name and a sentence.
//
// They expand to boolean immediate asserts with explicit history registers (no |->, |=>, $past), so that the same
// text runs in Verilator and in the open formal flow. `clk` and `rst` must be in scope. Nothing is checked in reset.
`ifndef EMBNIC_ASSERT_SVH
`define EMBNIC_ASSERT_SVH

`ifdef SYNTHESIS
`define EMBNIC_ASSERT(name, expr, sentence)
`define EMBNIC_NEVER(name, expr, sentence)
`define EMBNIC_STABLE(name, valid, ready, payload, sentence)
`define EMBNIC_KNOWN(name, expr, sentence)
`define EMBNIC_COVER(name, expr, sentence)
`define EMBNIC_ASSUME(name, expr, sentence)
`else

// `expr` holds at every clock edge outside reset.
`define EMBNIC_ASSERT(name, expr, sentence) \
    always_ff @(posedge clk) begin : assert_``name \
        if (!rst) begin \
            name: assert (expr) else $error("%m: %s", sentence); \
        end \
    end

// `expr` never holds outside reset.
`define EMBNIC_NEVER(name, expr, sentence) `EMBNIC_ASSERT(name, !(expr), sentence)

// Stream rule: once `valid` rises, it and `payload` hold until `ready`.
`define EMBNIC_STABLE(name, valid, ready, payload, sentence) \
    logic name``_waiting_q; \
    logic [$bits(payload)-1:0] name``_payload_q; \
    always_ff @(posedge clk) begin : stable_``name \
        name``_waiting_q <= !rst && (valid) && !(ready); \
        name``_payload_q <= (payload); \
        if (!rst && name``_waiting_q) begin \
            name: assert ((valid) && (name``_payload_q == (payload))) else $error("%m: %s", sentence); \
        end \
    end

// `expr` has no unknown bit outside reset (two-state simulators pass it trivially).
`define EMBNIC_KNOWN(name, expr, sentence) `EMBNIC_ASSERT(name, (^(expr)) === 1'b0 || (^(expr)) === 1'b1, sentence)

// `expr` is worth reaching; reported by coverage, checked by formal cover.
`define EMBNIC_COVER(name, expr, sentence) \
    always_ff @(posedge clk) begin : cover_``name \
        if (!rst) begin \
            name: cover (expr); \
        end \
    end

// `expr` is the environment's duty: assumed in formal, checked in simulation.
`ifdef FORMAL
`define EMBNIC_ASSUME(name, expr, sentence) \
    always_comb begin : assume_``name \
        if (!rst) begin \
            name: assume (expr); \
        end \
    end
`else
`define EMBNIC_ASSUME(name, expr, sentence) `EMBNIC_ASSERT(name, expr, sentence)
`endif

`endif
`endif
