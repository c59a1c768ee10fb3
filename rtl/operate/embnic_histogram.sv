// SPDX-License-Identifier: Apache-2.0
// Counts samples by the power of two they lie in, in RAM; shows a copy of all counts.
//
// Buckets        bucket 0 counts the value 0, bucket b the values 2**(b-1) .. 2**b - 1, the last one all above.
// Latency        2 cycles from rd_bucket to rd_count; a snapshot is complete BUCKETS + 2 cycles after its pulse.
// Throughput     one sample per cycle, also during a snapshot.
// Snapshot       copies one bucket a cycle: a sample of the BUCKETS + 3 cycles around it may or may not be in it.
// Clear          empties counts and copy in one cycle; samples of the two cycles before it are forgotten too.
// Errors         a full count stays full.
//
// The RAMs are never cleared: a flip-flop a bucket says whether its count means anything.
`default_nettype none
`include "embnic_assert.svh"
module embnic_histogram #(
    parameter int unsigned BUCKETS  = 32,  // power of two, 4 .. 32
    parameter int unsigned SAMPLE_W = 32,  // bits of a sample, 2 .. 32
    parameter int unsigned COUNT_W  = 32,  // bits of a count
    localparam int unsigned IDX_W   = $clog2(BUCKETS)
) (
    input  wire logic                clk,
    input  wire logic                rst,
    input  wire logic                sample_valid,
    input  wire logic [SAMPLE_W-1:0] sample,
    input  wire logic                cfg_clear,     // pulse
    input  wire logic                cfg_snapshot,  // pulse
    input  wire logic [IDX_W-1:0]    rd_bucket,
    output      logic [COUNT_W-1:0]  rd_count       // of the last snapshot; zero before the first
);
    if (BUCKETS < 4 || BUCKETS > 32 || (BUCKETS & (BUCKETS - 1)) != 0) begin : gen_bad_buckets
        $fatal(1, "BUCKETS must be 4, 8, 16 or 32");
    end
    if (SAMPLE_W < 2 || SAMPLE_W > 32) begin : gen_bad_sample_w
        $fatal(1, "SAMPLE_W must be 2 to 32");
    end
    if (COUNT_W < 1) begin : gen_bad_count_w
        $fatal(1, "COUNT_W must be at least 1");
    end

    // ---------------------------------------------------------------------------------------------
    // 1: which bucket. 2: its count is read. 3: one more is written.
    // ---------------------------------------------------------------------------------------------
    logic [IDX_W-1:0]   bucket, bucket_q, bucket_q2;
    logic               valid_q, valid_q2;
    logic               same, same_q;            // the sample before is of the same bucket
    logic [BUCKETS-1:0] known_q;
    logic               bucket_known_q2;
    logic [COUNT_W-1:0] live, count, next, written_count_q;

    always_comb begin
        bucket = '0;
        for (int unsigned i = 0; i < SAMPLE_W; i++) begin
            if (sample[i]) bucket = (i + 1 < BUCKETS) ? IDX_W'(i + 1) : IDX_W'(BUCKETS - 1);
        end
    end

    assign same = valid_q2 && bucket_q == bucket_q2;

    // What was written in the cycle before is not in the RAM's read yet.
    always_comb begin
        count = same_q ? written_count_q : live;
        if (!bucket_known_q2) count = '0;
        next = (count == '1) ? count : count + COUNT_W'(1);
    end

    always_ff @(posedge clk) begin
        bucket_q        <= bucket;
        bucket_q2       <= bucket_q;
        same_q          <= same;
        bucket_known_q2 <= same || known_q[bucket_q];
        written_count_q <= next;
        if (rst || cfg_clear) begin
            valid_q  <= 1'b0;
            valid_q2 <= 1'b0;
            known_q  <= '0;
        end else begin
            valid_q  <= sample_valid;
            valid_q2 <= valid_q;
            if (valid_q2) known_q[bucket_q2] <= 1'b1;
        end
    end

    embnic_ram_1r1w #(.WIDTH(COUNT_W), .DEPTH(BUCKETS), .STYLE(1)) u_live (
        .clk,
        .wr_en  (valid_q2),
        .wr_addr(bucket_q2),
        .wr_data(next),
        .rd_en  (valid_q),
        .rd_addr(bucket_q),
        .rd_data(live)
    );

    // ---------------------------------------------------------------------------------------------
    // Snapshot: a twin of the RAM is read from, so that samples never wait
    // ---------------------------------------------------------------------------------------------
    logic [IDX_W:0]     copy_idx_q;  // next bucket to read; BUCKETS: none
    logic               copying, copied_q, copied_known_q, shown_q;
    logic [IDX_W-1:0]   copied_bucket_q;
    logic [COUNT_W-1:0] twin, shown;

    assign copying = copy_idx_q != (IDX_W + 1)'(BUCKETS);

    embnic_ram_1r1w #(.WIDTH(COUNT_W), .DEPTH(BUCKETS), .STYLE(1)) u_twin (
        .clk,
        .wr_en  (valid_q2),
        .wr_addr(bucket_q2),
        .wr_data(next),
        .rd_en  (copying),
        .rd_addr(copy_idx_q[IDX_W-1:0]),
        .rd_data(twin)
    );

    embnic_ram_1r1w #(.WIDTH(COUNT_W), .DEPTH(BUCKETS), .STYLE(1)) u_shown (
        .clk,
        .wr_en  (copied_q),
        .wr_addr(copied_bucket_q),
        .wr_data(copied_known_q ? twin : '0),
        .rd_en  (1'b1),
        .rd_addr(rd_bucket),
        .rd_data(shown)
    );

    always_ff @(posedge clk) begin
        copied_bucket_q <= copy_idx_q[IDX_W-1:0];
        copied_known_q  <= known_q[copy_idx_q[IDX_W-1:0]];
        rd_count        <= shown_q ? shown : '0;
        if (rst || cfg_clear) begin
            copy_idx_q <= (IDX_W + 1)'(BUCKETS);
            copied_q   <= 1'b0;
            shown_q    <= 1'b0;
        end else begin
            copied_q <= copying;
            if (cfg_snapshot) copy_idx_q <= '0;
            else if (copying) copy_idx_q <= copy_idx_q + 1'b1;
            // The last bucket of a first snapshot is being written: the whole copy means something.
            if (copied_q && copied_bucket_q == '1) shown_q <= 1'b1;
        end
    end

    // Assertions
    `EMBNIC_KNOWN(sample_known, sample_valid, "sample_valid is known after reset")
    `EMBNIC_COVER(cover_forward, valid_q2 && same_q, "two samples of one bucket in a row")
    `EMBNIC_COVER(cover_copy, copying && valid_q2 && bucket_q2 == copy_idx_q[IDX_W-1:0], "a bucket is copied while it grows")
endmodule
`default_nettype wire
