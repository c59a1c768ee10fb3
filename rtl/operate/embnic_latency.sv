// SPDX-License-Identifier: Apache-2.0
// Measures four latencies of the core and counts them in histograms.
//
// Stage 0        last beat of a frame in, to its request's admission (or its answer without one).
// Stage 1        admission to the answer complete and first in line: every bag of it and of all before it is done.
// Stage 2        that to the last beat of the answer's last frame out.
// Stage 3        memory: read address taken to last beat of its burst, one read at a time: the first burst of a line that
//                comes when none is measured. One of READ_LIMIT cycles counts as that, and is given up.
// Order          frames, answers and the bursts of one ID keep their order; so stamps wait in FIFOs. While an ID has
//                bursts outstanding it asks again only directly after itself.
// Throughput     whatever the core does; nothing here ever stalls it.
// Snapshot       see embnic_histogram.
// Not handled    latencies of 2**32 cycles and more.
`default_nettype none
`include "embnic_assert.svh"
module embnic_latency #(
    parameter int unsigned RX_FRAMES  = 8,   // depth of the queue of accepted frames; power of two
    parameter int unsigned CTXS       = 4,   // requests in flight; power of two, >= 2
    parameter int unsigned IDS        = 4,   // IDs of memory reads; power of two, >= 2
    parameter int unsigned RX_LATENCY = 8,   // cycles from a frame's last beat to evt_rx_accept
    parameter int unsigned BUCKETS    = 32,  // see embnic_histogram
    parameter int unsigned READ_LIMIT = 65536,  // longest read that is waited for, >= 1
    localparam int unsigned ID_W      = $clog2(IDS)
) (
    input  wire logic                       clk,
    input  wire logic                       rst,
    input  wire logic                       dp_rst,        // reset of the data path, rst included: stamps are forgotten, counts stay
    input  wire logic                       evt_rx_accept, // a frame enters the queue
    input  wire logic                       evt_admit,     // it leaves it
    input  wire logic                       reply_valid,   // an answer is complete and first in line
    input  wire logic                       reply_ready,
    input  wire logic                       evt_tx_frame,  // a frame was formed
    input  wire logic                       evt_tx_final,  // it is the last of its answer
    input  wire logic                       evt_tx_left,   // the last beat of a frame is out
    input  wire logic                       ar_take,       // a read address is taken
    input  wire logic [ID_W-1:0]            ar_id,
    input  wire logic                       r_end,         // the last beat of a burst comes
    input  wire logic [ID_W-1:0]            r_id,
    input  wire logic                       cfg_clear,     // pulse
    input  wire logic                       cfg_snapshot,  // pulse
    input  wire logic [$clog2(BUCKETS)-1:0] rd_bucket,
    output      logic [3:0][31:0]           rd_count
);
    localparam int unsigned TX_FRAMES = 32;  // more than embnic_tx_frame holds

    if (RX_FRAMES < 2 || (RX_FRAMES & (RX_FRAMES - 1)) != 0) begin : gen_bad_rx_frames
        $fatal(1, "RX_FRAMES must be a power of two, at least 2");
    end
    if (CTXS < 2 || (CTXS & (CTXS - 1)) != 0) begin : gen_bad_ctxs
        $fatal(1, "CTXS must be a power of two, at least 2");
    end
    if (READ_LIMIT < 1) begin : gen_bad_read_limit
        $fatal(1, "READ_LIMIT must be at least 1");
    end
    if (IDS < 2 || (IDS & (IDS - 1)) != 0) begin : gen_bad_ids
        $fatal(1, "IDS must be a power of two, at least 2");
    end

    logic [31:0]      now_q;
    logic [3:0]       sample_valid;
    logic [3:0][31:0] sample;

    always_ff @(posedge clk) begin
        if (rst) now_q <= '0;
        else now_q <= now_q + 32'd1;
    end

    // ---------------------------------------------------------------------------------------------
    // Stamps of frames and answers
    // ---------------------------------------------------------------------------------------------
    logic [31:0] accept_stamp, admit_stamp, complete_stamp, complete_q, complete;
    logic        accept_ready, admit_ready, complete_ready, final_ready;
    logic        accept_valid, admit_valid, complete_valid, final_valid;
    logic        waiting_q, pass, final_flag, left_final;
    logic [$clog2(RX_FRAMES+4)-1:0] accept_count;
    logic [$clog2(CTXS+4)-1:0]      admit_count;
    logic [$clog2(TX_FRAMES+4)-1:0] complete_count, final_count;

    assign pass       = reply_valid && reply_ready;
    assign complete   = waiting_q ? complete_q : now_q;
    assign left_final = evt_tx_left && final_flag;

    always_ff @(posedge clk) begin
        complete_q <= complete;
        waiting_q  <= !dp_rst && reply_valid && !reply_ready;
    end

    embnic_fifo #(.WIDTH(32), .DEPTH(RX_FRAMES), .STYLE(1)) u_accept (
        .clk, .rst(dp_rst),
        .s_axis_tdata(now_q), .s_axis_tvalid(evt_rx_accept), .s_axis_tready(accept_ready),
        .m_axis_tdata(accept_stamp), .m_axis_tvalid(accept_valid), .m_axis_tready(evt_admit),
        .sts_count(accept_count)
    );
    embnic_fifo #(.WIDTH(32), .DEPTH(CTXS), .STYLE(1)) u_admit (
        .clk, .rst(dp_rst),
        .s_axis_tdata(now_q), .s_axis_tvalid(evt_admit), .s_axis_tready(admit_ready),
        .m_axis_tdata(admit_stamp), .m_axis_tvalid(admit_valid), .m_axis_tready(pass),
        .sts_count(admit_count)
    );
    embnic_fifo #(.WIDTH(32), .DEPTH(TX_FRAMES), .STYLE(1)) u_complete (
        .clk, .rst(dp_rst),
        .s_axis_tdata(complete), .s_axis_tvalid(pass), .s_axis_tready(complete_ready),
        .m_axis_tdata(complete_stamp), .m_axis_tvalid(complete_valid), .m_axis_tready(left_final),
        .sts_count(complete_count)
    );
    // Which of the frames that leave are the last of their answer.
    embnic_fifo #(.WIDTH(1), .DEPTH(TX_FRAMES), .STYLE(1)) u_final (
        .clk, .rst(dp_rst),
        .s_axis_tdata(evt_tx_final), .s_axis_tvalid(evt_tx_frame), .s_axis_tready(final_ready),
        .m_axis_tdata(final_flag), .m_axis_tvalid(final_valid), .m_axis_tready(evt_tx_left),
        .sts_count(final_count)
    );

    // ---------------------------------------------------------------------------------------------
    // Memory reads. An ID that asks directly after itself may have a burst outstanding: it is not measured.
    // ---------------------------------------------------------------------------------------------
    logic            reading_q;               // a read is measured
    logic [ID_W-1:0] read_id_q, last_id_q;    // its ID; ID of the last read address
    logic [31:0]     read_stamp_q, read_age;
    logic            last_valid_q, read_start, read_end;

    assign read_start = ar_take && !reading_q && !(last_valid_q && ar_id == last_id_q);
    assign read_age   = now_q - read_stamp_q;
    assign read_end   = reading_q && ((r_end && r_id == read_id_q) || read_age == READ_LIMIT);

    always_ff @(posedge clk) begin
        if (ar_take) last_id_q <= ar_id;
        if (read_start) begin
            read_id_q    <= ar_id;
            read_stamp_q <= now_q;
        end
        // The gate answers for what a reset of the data path left behind: it is not forgotten.
        if (rst) begin
            reading_q    <= 1'b0;
            last_valid_q <= 1'b0;
        end else begin
            reading_q    <= read_start || (reading_q && !read_end);
            last_valid_q <= last_valid_q || ar_take;
        end
    end

    // ---------------------------------------------------------------------------------------------
    // Samples
    // ---------------------------------------------------------------------------------------------
    assign sample_valid[0] = evt_admit && !dp_rst;
    assign sample_valid[1] = pass && !dp_rst;
    assign sample_valid[2] = left_final && !dp_rst;
    assign sample_valid[3] = read_end;
    assign sample[0]       = now_q - accept_stamp + 32'(RX_LATENCY);
    assign sample[1]       = complete - admit_stamp;
    assign sample[2]       = now_q - complete_stamp;
    assign sample[3]       = read_age;

    for (genvar i = 0; i < 4; i++) begin : gen_stage
        logic        valid_q;
        logic [31:0] sample_q;

        always_ff @(posedge clk) begin
            valid_q  <= !rst && sample_valid[i];
            sample_q <= sample[i];
        end

        embnic_histogram #(.BUCKETS(BUCKETS)) u_histogram (
            .clk, .rst,
            .sample_valid(valid_q),
            .sample      (sample_q),
            .cfg_clear, .cfg_snapshot,
            .rd_bucket,
            .rd_count    (rd_count[i])
        );
    end

    // The FIFOs are as deep as what they shadow; their levels are nobody's business.
    wire unused = &{1'b0, accept_ready, admit_ready, complete_ready, final_ready, accept_valid, admit_valid,
        complete_valid, final_valid, accept_count, admit_count, complete_count, final_count};

    // Assertions
    `EMBNIC_NEVER(accept_lost, !dp_rst && ((evt_rx_accept && !accept_ready) || (evt_admit && !accept_valid)),
        "the stamps keep step with the frames")
    `EMBNIC_NEVER(admit_lost, !dp_rst && ((evt_admit && !admit_ready) || (pass && !admit_valid)),
        "the stamps keep step with the requests")
    `EMBNIC_NEVER(complete_lost, !dp_rst && ((pass && !complete_ready) || (left_final && !complete_valid)),
        "the stamps keep step with the answers")
    `EMBNIC_NEVER(final_lost, !dp_rst && ((evt_tx_frame && !final_ready) || (evt_tx_left && !final_valid)),
        "the marks keep step with the frames out")
    `EMBNIC_COVER(cover_second, ar_take && last_valid_q && ar_id == last_id_q, "an ID asks again directly after itself")
    `EMBNIC_COVER(cover_given_up, read_end && !(r_end && r_id == read_id_q), "a read takes too long")
endmodule
`default_nettype wire
