// SPDX-License-Identifier: Apache-2.0
// N event counters of 64 bits, shown as a snapshot that was taken of all of them in one cycle.
//
// Order       an increment of cycle t is part of every snapshot taken in cycle t + 2 or later.
// Latency     1 cycle from `snapshot` to `values`.
// Throughput  every counter takes an increment in every cycle.
// Not handled overflow: at one 65,535 a cycle and 250 MHz a counter wraps after 13 days, at one a cycle after 2,300 years.
`default_nettype none
`include "embnic_assert.svh"
module embnic_counters #(
    parameter int unsigned N = 39  // counters, >= 1
) (
    input  wire logic               clk,
    input  wire logic               rst,
    input  wire logic [N-1:0][31:0] inc,       // what each counter grows by in this cycle; constant zero bits cost nothing
    input  wire logic               snapshot,  // pulse: copy all counters to `values`; does not clear them
    output      logic [N-1:0][63:0] values     // the copies of the last snapshot; zero after reset
);
    if (N < 1) begin : gen_bad_n
        $fatal(1, "N must be at least 1");
    end

    // Increments come from all over the core: one register keeps the way to the carry chains short. A counter is two
    // halves; the upper one takes the lower's carry a cycle later, so that no chain is longer than 33 bits. high_d
    // goes with low_q.
    logic [N-1:0][31:0] inc_q, low_q, low_d, high_q, high_d;
    logic [N-1:0]       carry_q, carry_d;

    always_comb begin
        for (int unsigned i = 0; i < N; i++) begin
            {carry_d[i], low_d[i]} = 33'(low_q[i]) + 33'(inc_q[i]);
            high_d[i]              = high_q[i] + 32'(carry_q[i]);
        end
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            inc_q   <= '0;
            low_q   <= '0;
            high_q  <= '0;
            carry_q <= '0;
            values  <= '0;
        end else begin
            inc_q   <= inc;
            low_q   <= low_d;
            high_q  <= high_d;
            carry_q <= carry_d;
            if (snapshot) begin
                for (int unsigned i = 0; i < N; i++) values[i] <= {high_d[i], low_q[i]};
            end
        end
    end

    // Assertions
    `EMBNIC_KNOWN(snapshot_known, snapshot, "snapshot is known after reset")
    `EMBNIC_COVER(snapshot_busy, snapshot && inc_q != '0, "a snapshot while counting")
endmodule
`default_nettype wire
