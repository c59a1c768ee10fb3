// SPDX-License-Identifier: Apache-2.0
// Knows the job of several frames that is under way, and says of a piece what is to become of it.
//
// Meaning        TAKE: it is the next one, or begins a job. ABORT: the same, and the job before is given up. AGAIN: it was
//                taken before. REFUSE: with the status. BREAK: with the status, and the job that it names is given up.
// Latency        verdict, status: 2 cycles from piece_* and the job's state; `judge` must be that late.
// Not handled    more than one job at a time: another client's first piece is refused BUSY, until the job has waited for
//                its next piece for 2**STALE_LOG2 cycles.
`default_nettype none
`include "embnic_assert.svh"
module embnic_compute_jobs
    import embnic_wire_pkg::*;
    import embnic_compute_pkg::*;
#(
    parameter int unsigned STALE_LOG2 = 18  // cycles after which a job may be taken for dead
) (
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic [63:0] piece_client,   // of the frame: held from its block to judge
    input  wire logic [63:0] piece_job,
    input  wire logic [31:0] piece_number,
    input  wire logic [5:0]  piece_vectors,
    input  wire logic [15:0] piece_dim,
    input  wire kernel_e     piece_kernel,
    input  wire logic        piece_last,
    input  wire logic        piece_whole,    // may only be the only piece of its job
    input  wire logic        judge,          // pulse: the verdict is acted on
    input  wire logic        give_up,        // pulse: the job is given up
    input  wire logic        finish,         // pulse: its last piece was worked out
    output      verdict_e    verdict,
    output      status_e     status,         // of REFUSE and BREAK
    output      logic        evt_abandoned   // a job is given up
);
    localparam int unsigned STALE_W = STALE_LOG2 + 1;

    logic               open_q;
    logic               known_q;         // a job was taken since reset: client_q, job_q
    logic [63:0]        client_q, job_q;
    logic [31:0]        next_q;          // piece that comes next
    logic [5:0]         vectors_q;
    logic [15:0]        dim_q;
    kernel_e            kernel_q;
    logic [STALE_W-1:0] waited_q;

    // What the verdict asks, a cycle ahead.
    logic same_client_q, same_job_q, older_q, same_kind_q, first_q, next_is_q, before_q, takes;

    always_ff @(posedge clk) begin
        same_client_q <= piece_client == client_q;
        same_job_q    <= piece_job == job_q;
        older_q       <= piece_job < job_q;
        same_kind_q   <= piece_vectors == vectors_q && piece_dim == dim_q && piece_kernel == kernel_q;
        first_q       <= piece_number == '0;
        next_is_q     <= piece_number == next_q;
        before_q      <= piece_number < next_q;
    end

    always_comb begin
        verdict = VERDICT_REFUSE;
        status  = STATUS_JOB_GONE;
        if (piece_whole && !first_q) begin
            status = STATUS_BAD_REQUEST;
        end else if (open_q && same_client_q && same_job_q) begin
            if (!same_kind_q || (before_q && piece_last)) begin
                verdict = VERDICT_BREAK;
                status  = STATUS_BAD_REQUEST;
            end else if (before_q) begin
                verdict = VERDICT_AGAIN;
            end else if (next_is_q) begin
                verdict = VERDICT_TAKE;
            end else begin
                status = STATUS_SEQUENCE_WINDOW;
            end
        end else if (first_q) begin
            if (!open_q) begin
                // Of several frames, and from before: its frame was late.
                if (!(known_q && same_client_q && !piece_last && (same_job_q || older_q))) verdict = VERDICT_TAKE;
            end else if (same_client_q ? !older_q : waited_q[STALE_W-1]) begin
                verdict = VERDICT_ABORT;
            end else if (!same_client_q) begin
                status = STATUS_BUSY;
            end
        end
    end

    assign takes         = judge && (verdict == VERDICT_TAKE || verdict == VERDICT_ABORT);
    assign evt_abandoned = open_q && (give_up || (judge && (verdict == VERDICT_ABORT || verdict == VERDICT_BREAK)));

    always_ff @(posedge clk) begin
        if (takes) begin
            client_q  <= piece_client;
            job_q     <= piece_job;
            vectors_q <= piece_vectors;
            dim_q     <= piece_dim;
            kernel_q  <= piece_kernel;
            next_q    <= piece_number + 32'd1;
        end
        if (takes) waited_q <= '0;
        else if (!waited_q[STALE_W-1]) waited_q <= waited_q + STALE_W'(1);
        if (rst) known_q <= 1'b0;
        else if (takes) known_q <= 1'b1;
        if (rst) open_q <= 1'b0;
        else if (takes) open_q <= 1'b1;
        else if (give_up || finish || (judge && verdict == VERDICT_BREAK)) open_q <= 1'b0;
    end

    // Assertions
    `EMBNIC_NEVER(both, 32'(judge) + 32'(give_up) + 32'(finish) > 32'd1, "a piece is judged, then its job ends")
    `EMBNIC_NEVER(nobody, (give_up || finish) && !open_q, "what ends was under way")
    `EMBNIC_KNOWN(open_known, open_q, "whether there is a job is known after reset")
    `EMBNIC_COVER(taken_over, judge && verdict == VERDICT_ABORT, "a job is given up for another one")
    `EMBNIC_COVER(late, judge && !open_q && first_q && verdict == VERDICT_REFUSE, "the first piece of a job that has ended")
    `EMBNIC_COVER(early, judge && status == STATUS_SEQUENCE_WINDOW && verdict == VERDICT_REFUSE, "a piece comes too early")
endmodule
`default_nettype wire
