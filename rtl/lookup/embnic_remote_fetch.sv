// SPDX-License-Identifier: Apache-2.0
// Asks other cards for lines, many at a time, and says of every beat that comes which line it is of.
//
// It keeps no data. Each request names the place of the fetch buffer (embnic_row_fetch) that its line goes to,
// and leaves with a tag {use, place}: how often the place was used for a line that is settled, and the place.
// A beat is of a line only if its tag is the very tag that the place waits for. So what comes late, twice or
// unasked writes nothing, and no tag has to be kept back for it.
//
// Order          requests leave as given; answers of different tags in any order and interleaved beat by
//                beat, the beats of a tag ascending. A line is told as its last beat is.
// Back-pressure  none on requests: a place is asked for again only after its line was used. Answers are taken
//                only in cycles in which `slot` is set.
// Latency        3 cycles from req_valid to m_axis_remote_tvalid, 2 cycles from a beat taken to wr_valid.
// Throughput     one request per cycle, one beat per cycle. At most REMOTE_FETCHES lines are waited for.
// Errors         an answer that ends too early or too late: its line is told failed, with `evt_broken`.
// Timeout        a line that left two epochs ago (embnic_epoch) and is not complete is told failed. When nothing
//                is taken at the port for two epochs, what waits is told failed without being asked for, one by one,
//                until something is taken again.
// Reset          `rst` forgets all requests; their answers are strays from then on (sts_clearing, PLACES + 1
//                cycles). A request on offer stays there until it is taken: `port_rst` alone takes it back.
`default_nettype none
`include "embnic_assert.svh"
module embnic_remote_fetch
    import embnic_pkg::*;
#(
    parameter int unsigned LINE_BEATS = 4,    // beats of the longest line; power of two, 1 .. 256
    parameter int unsigned REMOTE_FETCHES    = 1280, // lines waited for, >= 1
    parameter int unsigned PLACES     = 2048, // lines of the buffer; power of two, 2 .. 65,536
    localparam int unsigned PLACE_W   = $clog2(PLACES),
    localparam int unsigned LB_W      = (LINE_BEATS == 1) ? 1 : $clog2(LINE_BEATS),
    localparam int unsigned OUT_W     = $clog2(REMOTE_FETCHES + 2)
) (
    input  wire logic                            clk,
    input  wire logic                            rst,
    input  wire logic                            port_rst,
    input  wire logic                            req_valid,
    input  wire logic [PLACE_W-1:0]              req_place,
    input  wire logic [$bits(remote_line_t)-1:0] req_line,          // remote_line_t; its tag is set here
    output      logic [$bits(remote_line_t)-1:0] m_axis_remote_tdata, // remote_line_t
    output      logic                            m_axis_remote_tvalid,
    input  wire logic                            m_axis_remote_tready,
    input  wire logic [REMOTE_TAG_W-1:0]         s_axis_remote_tid, // of a beat; its data go their own way
    input  wire logic                            s_axis_remote_tlast,
    input  wire logic                            s_axis_remote_tvalid,
    output      logic                            s_axis_remote_tready, // depends on `slot` and on what else is to be done
    input  wire logic                            slot,              // this cycle is free for an answer
    output      logic                            want,              // there is something to do in such a cycle
    output      logic                            sts_busy,          // something taken two cycles ago: it may write or tell
    output      logic                            wr_valid,          // the beat taken two cycles ago belongs here
    output      logic [PLACE_W-1:0]              wr_place,
    output      logic [LB_W-1:0]                 wr_beat,
    output      logic                            tell_valid,        // the line is settled
    output      logic [PLACE_W-1:0]              tell_place,
    output      logic                            tell_failed,       // nothing of it may be used
    input  wire logic                            epoch_on,          // see embnic_epoch
    input  wire logic [EPOCH_W-1:0]              epoch,
    output      logic                            sts_clearing,
    output      logic [OUT_W-1:0]                sts_waiting,       // lines asked for and not settled
    output      logic                            evt_asked,         // a line is asked for
    output      logic                            evt_answer,        // a line is complete
    output      logic                            evt_beat,          // a beat of an answer was taken up
    output      logic                            evt_timeout,       // a line was given up
    output      logic                            evt_broken,        // a line's answer had too few or too many beats
    output      logic                            evt_stray          // the last beat of something that nobody waits for
);
    localparam int unsigned USE_W = REMOTE_TAG_W - PLACE_W;

    if (LINE_BEATS < 1 || LINE_BEATS > 256 || (LINE_BEATS & (LINE_BEATS - 1)) != 0) begin : gen_bad_line_beats
        $fatal(1, "LINE_BEATS must be a power of two, 1 to 256");
    end
    if (PLACES < 2 || PLACES > 65536 || (PLACES & (PLACES - 1)) != 0) begin : gen_bad_places
        $fatal(1, "PLACES must be a power of two, 2 to 65,536");
    end
    if (REMOTE_FETCHES < 1 || REMOTE_FETCHES > PLACES) begin : gen_bad_remotes
        $fatal(1, "REMOTE_FETCHES must be 1 to PLACES");
    end

    // Two epochs are too long.
    function automatic logic old(input logic [EPOCH_W-1:0] stamp, input logic [EPOCH_W-1:0] now);
        old = EPOCH_W'(now - stamp) >= EPOCH_W'(2);
    endfunction

    // ---------------------------------------------------------------------------------------------
    // Uses. The use of a place moves on when its line is settled, and for all places in a reset. What was asked with
    // an earlier use is settled. Three copies: for requests, for answers, for the search of old lines.
    // ---------------------------------------------------------------------------------------------
    logic               use_wr;
    logic [PLACE_W-1:0] use_wr_place;
    logic [USE_W-1:0]   use_wr_data;
    logic [USE_W-1:0]   e1_use, r1_use, scan_use;
    logic [PLACE_W-1:0] r0_place;
    logic               scan_stay;
    logic [PLACE_W-1:0] scan_q, scan_place_q;

    embnic_ram_1r1w #(.WIDTH(USE_W), .DEPTH(PLACES), .STYLE(2)) u_use_asking (
        .clk, .wr_en(use_wr), .wr_addr(use_wr_place), .wr_data(use_wr_data),
        .rd_en(req_valid), .rd_addr(req_place), .rd_data(e1_use)
    );
    embnic_ram_1r1w #(.WIDTH(USE_W), .DEPTH(PLACES), .STYLE(2)) u_use_answer (
        .clk, .wr_en(use_wr), .wr_addr(use_wr_place), .wr_data(use_wr_data),
        .rd_en(1'b1), .rd_addr(r0_place), .rd_data(r1_use)
    );
    embnic_ram_1r1w #(.WIDTH(USE_W), .DEPTH(PLACES), .STYLE(2)) u_use_scan (
        .clk, .wr_en(use_wr), .wr_addr(use_wr_place), .wr_data(use_wr_data),
        .rd_en(!scan_stay), .rd_addr(scan_q), .rd_data(scan_use)
    );

    // ---------------------------------------------------------------------------------------------
    // Requests: get their tag, wait for their turn, leave
    // ---------------------------------------------------------------------------------------------
    logic                       e1_valid_q;
    remote_line_t               e1_line_q, e1_line, head;
    logic [$bits(remote_line_t)-1:0] head_data;
    logic                       queue_ready, head_valid, head_ready, port_ready, send, expire, expire_take;
    logic                       room_q, stuck_q;
    logic [OUT_W-1:0]           waiting_d;
    logic [EPOCH_W-1:0]         progress_stamp_q;
    logic                       settled;      // a line that left is settled

    always_comb begin
        e1_line     = e1_line_q;
        e1_line.tag = {e1_use, e1_line_q.tag[PLACE_W-1:0]};
    end

    always_ff @(posedge clk) begin
        e1_line_q                  <= remote_line_t'(req_line);
        e1_line_q.tag[PLACE_W-1:0] <= req_place;
        e1_valid_q                 <= req_valid && !rst;
    end

    embnic_cache_queue #(.WIDTH($bits(remote_line_t)), .DEPTH(PLACES), .STYLE(2)) u_requests (
        .clk, .rst,
        .s_axis_tdata (e1_line),
        .s_axis_tvalid(e1_valid_q),
        .s_axis_tready(queue_ready),
        .m_axis_tdata (head_data),
        .m_axis_tvalid(head_valid),
        .m_axis_tready(head_ready)
    );

    // What is on offer was asked for: it cannot be taken back. What is behind it can.
    embnic_skid #(.WIDTH($bits(remote_line_t))) u_port (
        .clk,
        .rst          (port_rst),
        .s_axis_tdata (head_data),
        .s_axis_tvalid(send && !rst),
        .s_axis_tready(port_ready),
        .m_axis_tdata (m_axis_remote_tdata),
        .m_axis_tvalid(m_axis_remote_tvalid),
        .m_axis_tready(m_axis_remote_tready)
    );

    assign head       = remote_line_t'(head_data);
    assign expire     = head_valid && stuck_q;
    assign send       = head_valid && room_q && port_ready && !stuck_q && !sts_clearing;
    assign head_ready = send || expire_take;
    assign waiting_d  = sts_waiting + OUT_W'(send) - OUT_W'(settled);

    always_ff @(posedge clk) begin
        if (port_ready || sts_clearing) progress_stamp_q <= epoch;
        if (rst) begin
            room_q      <= 1'b1;
            stuck_q     <= 1'b0;
            sts_waiting <= '0;
            evt_asked   <= 1'b0;
        end else begin
            room_q      <= waiting_d < OUT_W'(REMOTE_FETCHES);
            stuck_q     <= epoch_on && !port_ready && (stuck_q || old(progress_stamp_q, epoch));
            sts_waiting <= waiting_d;
            evt_asked   <= req_valid;
        end
    end

    // ---------------------------------------------------------------------------------------------
    // Lines that left: with which use, of how many beats, when
    // ---------------------------------------------------------------------------------------------
    logic               left_wr;
    logic [PLACE_W-1:0] left_wr_place;
    logic [USE_W-1:0]   left_wr_use, r1_left_use, scan_left_use;
    logic [LB_W-1:0]    r1_beats_m1;
    logic [EPOCH_W-1:0] scan_stamp;
    logic               clearing_q, clear_read_q;

    assign left_wr       = send || clear_read_q;
    assign left_wr_place = clear_read_q ? scan_place_q : head.tag[PLACE_W-1:0];
    assign left_wr_use   = clear_read_q ? scan_use : head.tag[REMOTE_TAG_W-1:PLACE_W];

    embnic_ram_1r1w #(.WIDTH(USE_W + LB_W), .DEPTH(PLACES), .STYLE(2)) u_left_answer (
        .clk, .wr_en(left_wr), .wr_addr(left_wr_place), .wr_data({left_wr_use, LB_W'(head.beats_m1)}),
        .rd_en(1'b1), .rd_addr(r0_place), .rd_data({r1_left_use, r1_beats_m1})
    );
    embnic_ram_1r1w #(.WIDTH(USE_W + EPOCH_W), .DEPTH(PLACES), .STYLE(2)) u_left_scan (
        .clk, .wr_en(left_wr), .wr_addr(left_wr_place), .wr_data({left_wr_use, epoch}),
        .rd_en(!scan_stay), .rd_addr(scan_q), .rd_data({scan_left_use, scan_stamp})
    );

    // ---------------------------------------------------------------------------------------------
    // The search: one place a cycle. In the clearing it moves all uses on, and what left stays behind.
    // ---------------------------------------------------------------------------------------------
    logic scan_valid_q;  // a place was read
    logic scan_old, kill_take;

    assign scan_old  = scan_valid_q && !clearing_q && epoch_on && scan_left_use == scan_use && old(scan_stamp, epoch);
    assign scan_stay = scan_old && !kill_take;

    always_ff @(posedge clk) begin
        if (!scan_stay) scan_place_q <= scan_q;
        if (rst) begin
            scan_q       <= '0;
            scan_valid_q <= 1'b0;
            clearing_q   <= 1'b1;
            clear_read_q <= 1'b0;
            sts_clearing <= 1'b1;
        end else begin
            if (!scan_stay) scan_q <= scan_q + 1'b1;
            scan_valid_q <= !clearing_q;
            clear_read_q <= clearing_q;
            clearing_q   <= clearing_q && scan_q != '1;
            sts_clearing <= clearing_q;
        end
    end

    // ---------------------------------------------------------------------------------------------
    // R0, R1: what a request to be given up, an old line or a beat means. They take turns in one pipeline, so
    // that each sees what became of the one before it.
    // ---------------------------------------------------------------------------------------------
    typedef struct packed {
        logic                    unsent;  // a request that did not leave is given up
        logic                    beat;    // a beat came; else a line that is too old
        logic                    last;
        logic [REMOTE_TAG_W-1:0] tag;
    } item_t;

    item_t              item, r0_q, r1_q;
    logic               r0_valid_q, r1_valid_q;
    logic               beat_take;
    logic               r1_known, r1_end, r1_whole, r1_kill, r1_broken;
    logic [LB_W-1:0]    r1_ram_count, r1_count, r1_next, r2_next_q;
    logic               r1_again_q;           // the item one cycle ahead was of the same place
    logic               told_q;               // and settled it

    assign want                 = expire || scan_old || s_axis_remote_tvalid;
    assign expire_take          = expire && slot && !sts_clearing;
    assign kill_take            = scan_old && slot && !expire;
    assign beat_take            = s_axis_remote_tvalid && slot && !expire && !scan_old && !sts_clearing;
    assign s_axis_remote_tready = slot && !expire && !scan_old && !sts_clearing;

    always_comb begin
        item = '{unsent: 1'b0, beat: 1'b1, last: s_axis_remote_tlast, tag: s_axis_remote_tid};
        if (scan_old) item = '{unsent: 1'b0, beat: 1'b0, last: 1'b0, tag: {scan_use, scan_place_q}};
        if (expire) item = '{unsent: 1'b1, beat: 1'b0, last: 1'b0, tag: head.tag};
    end

    assign r0_place = r0_q.tag[PLACE_W-1:0];

    logic               count_wr;
    logic [PLACE_W-1:0] r1_place;

    embnic_ram_1r1w #(.WIDTH(LB_W), .DEPTH(PLACES), .STYLE(2)) u_counts (
        .clk,
        .wr_en  (count_wr || clear_read_q),
        .wr_addr(clear_read_q ? scan_place_q : r1_place),
        .wr_data(clear_read_q ? '0 : r1_next),
        .rd_en  (1'b1),
        .rd_addr(r0_place),
        .rd_data(r1_ram_count)
    );

    assign r1_place  = r1_q.tag[PLACE_W-1:0];
    assign r1_known  = r1_valid_q && !r1_q.unsent && r1_use == r1_q.tag[REMOTE_TAG_W-1:PLACE_W] && r1_left_use == r1_use
        && !(r1_again_q && told_q);
    assign r1_count  = r1_again_q ? r2_next_q : r1_ram_count;
    assign r1_end    = r1_count == r1_beats_m1;
    assign r1_whole  = r1_known && r1_q.beat && r1_end && r1_q.last;
    assign r1_broken = r1_known && r1_q.beat && r1_end != r1_q.last;
    assign r1_kill   = r1_known && !r1_q.beat;
    assign r1_next   = (r1_q.beat && !r1_end && !r1_q.last) ? r1_count + 1'b1 : '0;
    assign count_wr  = r1_known;

    assign sts_busy    = r1_valid_q;
    assign wr_valid    = r1_known && r1_q.beat;
    assign wr_place    = r1_place;
    assign wr_beat     = r1_count;
    assign settled     = r1_whole || r1_broken || r1_kill;
    assign tell_failed = !r1_whole;
    assign tell_valid  = settled || (r1_valid_q && r1_q.unsent);
    assign tell_place  = r1_place;

    assign use_wr       = tell_valid || clear_read_q;
    assign use_wr_place = clear_read_q ? scan_place_q : r1_place;
    assign use_wr_data  = (clear_read_q ? scan_use : r1_q.tag[REMOTE_TAG_W-1:PLACE_W]) + 1'b1;

    always_ff @(posedge clk) begin
        r0_q       <= item;
        r1_q       <= r0_q;
        r1_again_q <= r1_valid_q && r1_place == r0_place;
        r2_next_q  <= r1_known ? r1_next : r1_count;
        if (rst) begin
            r0_valid_q  <= 1'b0;
            r1_valid_q  <= 1'b0;
            told_q      <= 1'b0;
            evt_answer  <= 1'b0;
            evt_beat    <= 1'b0;
            evt_timeout <= 1'b0;
            evt_broken  <= 1'b0;
            evt_stray   <= 1'b0;
        end else begin
            r0_valid_q  <= expire_take || kill_take || beat_take;
            r1_valid_q  <= r0_valid_q;
            told_q      <= tell_valid;
            evt_answer  <= r1_whole;
            evt_beat    <= wr_valid;
            evt_timeout <= r1_kill || (r1_valid_q && r1_q.unsent);
            evt_broken  <= r1_broken;
            evt_stray   <= r1_valid_q && r1_q.beat && !r1_known && r1_q.last;
        end
    end

    // Assertions
    logic [PLACES-1:0] asked_q;  // a line is asked for and not told

    always_ff @(posedge clk) begin
        if (rst) asked_q <= '0;
        else begin
            if (tell_valid) asked_q[tell_place] <= 1'b0;
            if (req_valid) asked_q[req_place] <= 1'b1;
        end
    end

    // Wide enough for every configuration.
    wire unused = &{1'b0, head, e1_line_q};

    `EMBNIC_ASSUME(place_free, !(req_valid && asked_q[req_place]),
        "a place is asked for again only when its line is settled")
    `EMBNIC_ASSUME(no_request_in_clear, !(req_valid && sts_clearing), "requests wait while the uses are moved on")
    `EMBNIC_ASSERT(queue_room, !e1_valid_q || queue_ready, "the queue is as deep as there are places")
    `EMBNIC_ASSERT(told_asked, !tell_valid || asked_q[tell_place], "a line is told once, and only when it was asked for")
    `EMBNIC_NEVER(too_many, sts_waiting > OUT_W'(REMOTE_FETCHES), "at most REMOTE_FETCHES lines are waited for")
    `EMBNIC_NEVER(below_none, settled && sts_waiting == '0, "what is settled was waited for")
    `EMBNIC_STABLE(port_stable, m_axis_remote_tvalid, m_axis_remote_tready || port_rst, m_axis_remote_tdata,
        "a request on offer holds until it is taken")
    `EMBNIC_KNOWN(port_known, m_axis_remote_tvalid, "tvalid is known after reset")
    `EMBNIC_COVER(all_out, !room_q && head_valid, "a request waits for a line to be settled")
    `EMBNIC_COVER(given_up, r1_kill, "no answer came in time")
    `EMBNIC_COVER(given_up_unsent, r1_valid_q && r1_q.unsent, "a request was given up before it left")
    `EMBNIC_COVER(killed_after_all, r1_valid_q && !r1_q.beat && !r1_q.unsent && !r1_known, "its last beat came just before")
    `EMBNIC_COVER(stray, evt_stray, "an answer that nobody waits for")
endmodule
`default_nettype wire
