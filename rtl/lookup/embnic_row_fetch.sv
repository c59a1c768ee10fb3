// SPDX-License-Identifier: Apache-2.0
// Reads lines from card memory, and asks other cards for theirs, many at a time, into a buffer of one line a place.
//
// Each request names the place that its line goes to. It is one AXI4 burst or more with an ID of
// its own: none leaves an aligned window of min(MAX_BURST beats, 4 KB). Answers of different IDs may
// come in any order and interleaved beat by beat. At most FETCHES lines are waited for; further
// requests wait in a queue as deep as there are places.
//
// A request with req_remote goes to the port of remote lines (embnic_remote_fetch) instead, beside those of memory:
// neither takes the other's turn. Beats of both are written by the same port of the buffer. Those of memory go first;
// a remote one that has waited STEAL cycles takes the next.
//
// Order          requests go to memory as given; lines are told complete as they are.
// Back-pressure  none on requests: a place is asked for again only after its line was used.
// Latency        1 cycle from req_valid to arvalid, 3 cycles from a line's last rvalid to
//                line_valid, 2 cycles from rd_en to rd_data.
// Throughput     one beat per cycle, one request per cycle.
//                Of remote lines as embnic_remote_fetch, and one more each way.
// Errors         RRESP other than OKAY, or tuser of a remote beat: the beat is kept with its error bit set (its data mean
//                nothing). So is a beat that is not as it was written (ECC).
// Timeout        a line asked for two epochs ago (embnic_epoch) and not complete is told complete, and
//                all its beats read as errors. Its ID is in quarantine: beats that still come are
//                counted and thrown away, and the ID is used again only after the last of them. There
//                are twice as many IDs as FETCHES. When all of them are in quarantine, or memory takes
//                no address, for two epochs, what waits is given up without being asked for, and
//                so is what comes, until there is an ID or an address is taken.
// Reset          clears the counts of beats, IDS cycles (sts_clearing); a reset while reads are
//                outstanding needs a reset of the memory, too, or a gate before it.
`default_nettype none
`include "embnic_assert.svh"
module embnic_row_fetch
    import embnic_pkg::ADDR_W;
    import embnic_pkg::BEAT_W;
    import embnic_pkg::EPOCH_W;
    import embnic_pkg::REMOTE_TAG_W;
    import embnic_pkg::remote_line_t;
#(
    parameter int unsigned DATA_W     = 512, // bits of a beat: 128 or 512
    parameter int unsigned LINE_BYTES = 256, // longest request; power of two, 64 .. 4096
    parameter int unsigned FETCHES    = 128, // lines waited for at memory, >= 1
    parameter int unsigned PLACES     = 512, // lines of the buffer; power of two, >= 2
    parameter int unsigned MAX_BURST  = 256, // beats of a burst; power of two, 1 .. 256 (AXI3: 16)
    parameter bit          ECC        = 1'b0, // parity of the buffer
    parameter int unsigned STYLE      = 2,   // of the buffer, see embnic_ram_1r1w
    parameter int unsigned REMOTE_FETCHES    = 0,   // remote lines waited for, at most PLACES; 0: none is asked for
    localparam int unsigned PLACE_W    = $clog2(PLACES),
    localparam int unsigned ID_W       = $clog2(FETCHES) + 1,
    localparam int unsigned LINE_BEATS = LINE_BYTES / (DATA_W / 8),
    localparam int unsigned LB_W       = (LINE_BEATS == 1) ? 1 : $clog2(LINE_BEATS), // beat within a line
    localparam int unsigned REMOTE_W   = $clog2(REMOTE_FETCHES + 2)
) (
    input  wire logic              clk,
    input  wire logic              rst,
    input  wire logic              port_rst,            // of what is on offer at m_axis_remote
    input  wire logic              req_valid,
    input  wire logic [PLACE_W-1:0] req_place,
    input  wire logic [ADDR_W-1:0] req_addr,            // a multiple of 64
    input  wire logic [BEAT_W-1:0] req_beats_m1,        // beats less one: 0 .. LINE_BEATS - 1
    input  wire logic              req_remote,          // ask another card, for this:
    input  wire logic [$bits(remote_line_t)-1:0] req_line, // remote_line_t without a tag
    output      logic [ID_W-1:0]   m_axi_arid,
    output      logic [ADDR_W-1:0] m_axi_araddr,
    output      logic [7:0]        m_axi_arlen,
    output      logic [2:0]        m_axi_arsize,
    output      logic [1:0]        m_axi_arburst,
    output      logic              m_axi_arvalid,
    input  wire logic              m_axi_arready,
    input  wire logic [ID_W-1:0]   m_axi_rid,
    input  wire logic [DATA_W-1:0] m_axi_rdata,
    input  wire logic [1:0]        m_axi_rresp,
    input  wire logic              m_axi_rlast,         // only checked: the number of beats is known
    input  wire logic              m_axi_rvalid,
    output      logic              m_axi_rready,        // every beat asked for has its place: 0 only to let a remote one in
    output      logic [$bits(remote_line_t)-1:0] m_axis_remote_tdata, // remote_line_t
    output      logic              m_axis_remote_tvalid,
    input  wire logic              m_axis_remote_tready,
    input  wire logic [DATA_W-1:0] s_axis_remote_tdata,
    input  wire logic [REMOTE_TAG_W-1:0] s_axis_remote_tid, // the tag of the request
    input  wire logic              s_axis_remote_tuser, // the beat means nothing: the owner has an error
    input  wire logic              s_axis_remote_tlast, // of its line
    input  wire logic              s_axis_remote_tvalid,
    output      logic              s_axis_remote_tready,
    output      logic              line_valid,          // pulse: all beats of a request are in the buffer
    output      logic [PLACE_W-1:0] line_place,
    input  wire logic              rd_en,               // read a beat of the buffer
    input  wire logic [PLACE_W-1:0] rd_place,
    input  wire logic [LB_W-1:0]   rd_beat,
    output      logic [DATA_W:0]   rd_data,             // {error, data}
    input  wire logic              epoch_on,            // see embnic_epoch
    input  wire logic [EPOCH_W-1:0] epoch,
    input  wire logic              remote_epoch_on,     // of remote lines
    input  wire logic [EPOCH_W-1:0] remote_epoch,
    input  wire logic              inject,              // see embnic_ram_parity
    input  wire logic [2:0]        inject_place,
    output      logic              sts_clearing,
    output      logic [ID_W:0]     sts_quarantine,      // IDs that memory owes beats beyond their time
    output      logic              evt_fetch_beat,      // a beat arrived
    output      logic              evt_timeout,         // a line was given up
    output      logic              evt_late,            // the last beat of a line that was given up came
    output      logic              evt_parity,          // a beat read was wrong
    output      logic              evt_injected,
    output      logic [REMOTE_W-1:0] sts_remote_waiting, // remote lines asked for and not settled
    output      logic [5:0]        evt_remote           // see embnic_remote_fetch: asked, answer, beat, timeout, broken, stray
);
    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end
    if (LINE_BYTES < 64 || LINE_BYTES > 4096 || (LINE_BYTES & (LINE_BYTES - 1)) != 0) begin : gen_bad_line_bytes
        $fatal(1, "LINE_BYTES must be a power of two, 64 to 4096");
    end
    if (PLACES < 2 || (PLACES & (PLACES - 1)) != 0) begin : gen_bad_places
        $fatal(1, "PLACES must be a power of two, at least 2");
    end
    if (FETCHES < 1 || FETCHES > PLACES) begin : gen_bad_fetches
        $fatal(1, "FETCHES must be 1 to PLACES");
    end
    if (MAX_BURST < 1 || MAX_BURST > 256 || (MAX_BURST & (MAX_BURST - 1)) != 0) begin : gen_bad_max_burst
        $fatal(1, "MAX_BURST must be a power of two, 1 to 256");
    end

    if (REMOTE_FETCHES > PLACES) begin : gen_bad_remotes
        $fatal(1, "REMOTE_FETCHES must be 0 to PLACES");
    end

    localparam int unsigned STEAL   = 8;  // cycles in a row in which beats of memory keep a remote one waiting
    localparam int unsigned BYTES   = DATA_W / 8;
    localparam int unsigned SIZE    = $clog2(BYTES);
    localparam int unsigned WINDOW  = (MAX_BURST * BYTES < 4096) ? MAX_BURST * BYTES : 4096;
    localparam int unsigned WIN_W   = $clog2(WINDOW);
    localparam int unsigned BURST   = WINDOW / BYTES;                  // longest burst, beats
    localparam int unsigned LEFT_W  = $clog2(LINE_BEATS + 1);          // beats of a line: 0 .. LINE_BEATS
    localparam int unsigned OUT_W   = $clog2(FETCHES + 2);           // lines waited for, and one more for the assertion
    localparam int unsigned IDS     = 1 << ID_W;

    // Two epochs are too long.
    function automatic logic old(input logic [EPOCH_W-1:0] stamp, input logic [EPOCH_W-1:0] now);
        old = EPOCH_W'(now - stamp) >= EPOCH_W'(2);
    endfunction

    // Requests to bursts. The first burst is decided on the way into the queue, the others when the
    // one before is taken. A burst on offer that is not taken moves to a register of its own, so that
    // what waits behind it can be given up.

    typedef struct packed {
        logic [ADDR_W-1:0] addr;
        logic [7:0]        len;        // arlen
        logic [LEFT_W-1:0] left;       // beats behind this burst
    } burst_t;

    typedef struct packed {
        logic [PLACE_W-1:0] place;
        logic [LB_W-1:0]    beats_m1;
        burst_t             burst;     // its first
    } request_t;

    // Cuts `beats` that begin at beat `at` of a window. Both are small: one adder deep.
    function automatic burst_t cut(input logic [ADDR_W-1:0] addr, input logic [8:0] at, input logic [8:0] beats);
        logic [9:0] room;
        room      = 10'(BURST) - 10'(at);
        cut.addr  = addr;
        cut.len   = (10'(beats) > room) ? 8'(room - 10'd1) : 8'(beats - 9'd1);
        cut.left  = (10'(beats) > room) ? LEFT_W'(10'(beats) - room) : '0;
    endfunction

    request_t            req, head;
    burst_t              burst, next, hold_q;
    logic                hold_valid_q;   // hold_q is the burst on offer
    logic [ID_W-1:0]     id, hold_id_q, free_id;
    logic                req_ready, head_valid, head_ready, free_valid;
    logic [8:0]          req_at;
    logic                take;           // the head of the queue goes to memory: it gets an ID
    logic                ar_take;
    logic                clearing_q;
    logic                progress;       // memory took an address, or can be offered one
    logic [EPOCH_W-1:0]  progress_stamp_q;
    logic                stuck_q;        // not for two epochs
    logic                head_old, head_expire;
    logic [OUT_W-1:0]    out_q, out_d;   // lines with an ID that are not told complete
    logic                room_q;
    logic                r1_valid_q, r1_alive_q, r1_complete;  // a beat arrived; its line is waited for; it is its last
    logic                scan_old, scan_kill;                  // a line with an ID is too old; it is given up
    logic                pending_q;      // something is to be given up: no new line, so that its turn comes
    logic                remote_busy;    // a remote line may be told

    assign req_at = (BURST == 1) ? 9'd0 : 9'(req_addr[WIN_W-1:0] >> SIZE);
    assign req    = '{
        place:    req_place,
        beats_m1: LB_W'(req_beats_m1),
        burst:    cut(req_addr, req_at, 9'(req_beats_m1) + 9'd1)
    };

    embnic_cache_queue #(.WIDTH($bits(request_t)), .DEPTH(PLACES), .STYLE(0)) u_requests (
        .clk, .rst,
        .s_axis_tdata (req),
        .s_axis_tvalid(req_valid && !req_remote),
        .s_axis_tready(req_ready),
        .m_axis_tdata (head),
        .m_axis_tvalid(head_valid),
        .m_axis_tready(head_ready)
    );

    assign progress      = ar_take || (!hold_valid_q && free_valid) || clearing_q;
    assign head_old      = head_valid && stuck_q;
    assign head_expire   = head_old && !(r1_valid_q && r1_complete) && !scan_old && !remote_busy;
    assign take          = head_valid && !hold_valid_q && room_q && free_valid && !pending_q && !head_old;
    assign head_ready    = take || head_expire;
    assign burst         = hold_valid_q ? hold_q : head.burst;
    assign id            = hold_valid_q ? hold_id_q : free_id;
    assign next          = cut({burst.addr[ADDR_W-1:WIN_W] + 1'b1, WIN_W'(0)}, 9'd0, 9'(burst.left));
    assign ar_take       = m_axi_arvalid && m_axi_arready;
    assign m_axi_arid    = id;
    assign m_axi_araddr  = burst.addr;
    assign m_axi_arlen   = burst.len;
    assign m_axi_arsize  = 3'(SIZE);
    assign m_axi_arburst = 2'b01;
    assign m_axi_arvalid = hold_valid_q || take;
    assign out_d         = out_q + OUT_W'(take) - OUT_W'((r1_valid_q && r1_complete && r1_alive_q) || scan_kill);

    always_ff @(posedge clk) begin
        hold_q    <= ar_take ? next : burst;
        hold_id_q <= id;
        if (progress) progress_stamp_q <= epoch;
        if (rst) begin
            stuck_q      <= 1'b0;
            hold_valid_q <= 1'b0;
            out_q        <= '0;
            room_q       <= 1'b1;
            pending_q    <= 1'b0;
        end else begin
            stuck_q      <= epoch_on && !progress && (stuck_q || old(progress_stamp_q, epoch));
            hold_valid_q <= m_axi_arvalid && !(m_axi_arready && burst.left == '0);
            out_q        <= out_d;
            room_q       <= out_d < OUT_W'(FETCHES);
            pending_q    <= head_old || scan_old;
        end
    end

    // IDs. Free ones lie in a queue, which a reset fills; an ID that is taken is alive until its line
    // is told complete. One that is neither free nor alive is in quarantine.

    logic [ID_W-1:0]  clear_id_q;
    logic [IDS-1:0]   alive_q;
    logic [ID_W-1:0]  r0_id_q, r1_id_q;
    logic             free_ready;
    logic [$clog2(IDS+4)-1:0] free_count;

    embnic_fifo #(.WIDTH(ID_W), .DEPTH(IDS), .STYLE(1)) u_free (
        .clk, .rst,
        .s_axis_tdata (clearing_q ? clear_id_q : r1_id_q),
        .s_axis_tvalid(clearing_q || (r1_valid_q && r1_complete)),
        .s_axis_tready(free_ready),
        .m_axis_tdata (free_id),
        .m_axis_tvalid(free_valid),
        .m_axis_tready(take),
        .sts_count    (free_count)
    );

    // The IDs are looked at one after the other for one that is too old.
    logic [ID_W-1:0]    scan_q, scan_id_q;
    logic [EPOCH_W-1:0] scan_stamp;
    logic [PLACE_W-1:0] scan_place;
    logic               scan_stay;

    embnic_ram_1r1w #(.WIDTH(EPOCH_W + PLACE_W), .DEPTH(IDS), .STYLE(1)) u_stamps (
        .clk,
        .wr_en  (take),
        .wr_addr(free_id),
        .wr_data({epoch, head.place}),
        .rd_en  (!scan_stay),
        .rd_addr(scan_q),
        .rd_data({scan_stamp, scan_place})
    );

    // The stamp lies a cycle behind: an ID taken just now shows its old stamp, but is not yet alive. One
    // that was alive is so until its line is complete.
    logic scan_alive_q;

    assign scan_old  = epoch_on && scan_alive_q && old(scan_stamp, epoch);
    assign scan_kill = scan_old && !(r1_valid_q && r1_complete) && !remote_busy;
    assign scan_stay = scan_old && !scan_kill;

    always_ff @(posedge clk) begin
        if (!scan_stay) scan_id_q <= scan_q;
        if (rst) begin
            alive_q      <= '0;
            scan_q       <= '0;
            scan_alive_q <= 1'b0;
        end else begin
            if (scan_stay) begin
                scan_alive_q <= !(r1_valid_q && r1_complete && r1_id_q == scan_id_q);
            end else begin
                scan_alive_q <= alive_q[scan_q] && !(r1_valid_q && r1_complete && r1_id_q == scan_q)
                    && !(scan_kill && scan_id_q == scan_q);
            end
            if (!scan_stay) scan_q <= scan_q + 1'b1;
            if (take) alive_q[free_id] <= 1'b1;
            if (r1_valid_q && r1_complete) alive_q[r1_id_q] <= 1'b0;
            if (scan_kill) alive_q[scan_id_q] <= 1'b0;
        end
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            sts_quarantine <= '0;
            evt_timeout    <= 1'b0;
            evt_late       <= 1'b0;
        end else begin
            sts_quarantine <= sts_quarantine + (ID_W + 1)'(scan_kill)
                - (ID_W + 1)'(r1_valid_q && r1_complete && !r1_alive_q);
            evt_timeout    <= scan_kill || head_expire;
            evt_late       <= r1_valid_q && r1_complete && !r1_alive_q;
        end
    end

    // Remote lines: what comes is known two cycles later, as what memory answers is, so that beats of both never meet.
    logic               mem_beat, remote_slot, remote_beat;   // a beat is taken: of memory; one could be, is, of a remote line
    logic               remote_wr, remote_tell, remote_failed;
    logic [PLACE_W-1:0] remote_wr_place, remote_tell_place;
    logic [LB_W-1:0]    remote_wr_beat;
    logic [DATA_W-1:0]  remote_data;
    logic               remote_error, remote_clearing;

    assign mem_beat = m_axi_rvalid && m_axi_rready;

    if (REMOTE_FETCHES == 0) begin : gen_no_remote
        assign m_axis_remote_tdata  = '0;
        assign m_axis_remote_tvalid = 1'b0;
        assign s_axis_remote_tready = 1'b0;
        assign m_axi_rready         = 1'b1;
        assign remote_slot          = 1'b0;
        assign remote_beat          = 1'b0;
        assign remote_busy          = 1'b0;
        assign remote_wr            = 1'b0;
        assign remote_wr_place      = '0;
        assign remote_wr_beat       = '0;
        assign remote_tell          = 1'b0;
        assign remote_tell_place    = '0;
        assign remote_failed        = 1'b0;
        assign remote_data          = '0;
        assign remote_error         = 1'b0;
        assign remote_clearing      = 1'b0;
        assign sts_remote_waiting   = '0;
        assign evt_remote           = '0;
        wire unused_remote = &{1'b0, port_rst, req_line, m_axis_remote_tready, s_axis_remote_tdata, s_axis_remote_tid,
            s_axis_remote_tuser, s_axis_remote_tlast, s_axis_remote_tvalid, remote_epoch_on, remote_epoch, remote_slot};
    end else begin : gen_remote
        logic                    want, steal_q, beat_valid, beat_ready, beat_last;
        logic [REMOTE_TAG_W-1:0] beat_tag;
        logic [$clog2(STEAL)-1:0] waited_q;

        embnic_skid #(.WIDTH(DATA_W + 2 + REMOTE_TAG_W)) u_answer (
            .clk, .rst,
            .s_axis_tdata ({s_axis_remote_tuser, s_axis_remote_tlast, s_axis_remote_tid, s_axis_remote_tdata}),
            .s_axis_tvalid(s_axis_remote_tvalid),
            .s_axis_tready(s_axis_remote_tready),
            .m_axis_tdata ({remote_error, beat_last, beat_tag, remote_data}),
            .m_axis_tvalid(beat_valid),
            .m_axis_tready(beat_ready)
        );

        embnic_remote_fetch #(.LINE_BEATS(LINE_BEATS), .REMOTE_FETCHES(REMOTE_FETCHES), .PLACES(PLACES)) u_remote (
            .clk, .rst, .port_rst,
            .req_valid(req_valid && req_remote),
            .req_place, .req_line,
            .m_axis_remote_tdata, .m_axis_remote_tvalid, .m_axis_remote_tready,
            .s_axis_remote_tid   (beat_tag),
            .s_axis_remote_tlast (beat_last),
            .s_axis_remote_tvalid(beat_valid),
            .s_axis_remote_tready(beat_ready),
            .slot        (remote_slot),
            .want,
            .sts_busy    (remote_busy),
            .wr_valid    (remote_wr),
            .wr_place    (remote_wr_place),
            .wr_beat     (remote_wr_beat),
            .tell_valid  (remote_tell),
            .tell_place  (remote_tell_place),
            .tell_failed (remote_failed),
            .epoch_on    (remote_epoch_on),
            .epoch       (remote_epoch),
            .sts_clearing(remote_clearing),
            .sts_waiting (sts_remote_waiting),
            .evt_asked   (evt_remote[0]),
            .evt_answer  (evt_remote[1]),
            .evt_beat    (evt_remote[2]),
            .evt_timeout (evt_remote[3]),
            .evt_broken  (evt_remote[4]),
            .evt_stray   (evt_remote[5])
        );

        // Something of memory that is to be given up waits for a cycle in which nothing is told.
        assign remote_slot  = !mem_beat && !pending_q;
        assign remote_beat  = beat_valid && beat_ready;
        assign m_axi_rready = !steal_q;

        always_ff @(posedge clk) begin
            if (rst) begin
                waited_q <= '0;
                steal_q  <= 1'b0;
            end else begin
                waited_q <= (want && mem_beat) ? waited_q + 1'b1 : '0;
                steal_q  <= want && mem_beat && waited_q == '1;
            end
        end

        `EMBNIC_STABLE(answer_stable, s_axis_remote_tvalid, s_axis_remote_tready,
            {s_axis_remote_tid, s_axis_remote_tlast, s_axis_remote_tuser, s_axis_remote_tdata}, "an answer holds until it is taken")
        `EMBNIC_COVER(stolen, steal_q && remote_beat, "a remote beat takes the turn of one of memory")
    end

    // Beats in: R0 the register behind the channel, R1 the count of beats that came for this ID and
    // its place, R2 told. The counts go round to zero with a line's last beat; a reset clears them.

    logic               r0_valid_q, r0_last_q, r0_error_q, r1_last_q, r1_error_q;
    logic               r0_remote_q;      // a remote beat
    logic [PLACE_W-1:0] r1_place;
    logic [DATA_W-1:0]  r0_data_q, r1_data_q;
    logic [LB_W-1:0]    r1_ram_count, r1_count, r1_asked_m1, r1_next, r2_next_q;
    logic               r1_again_q;       // the beat one cycle ahead is of the same ID

    embnic_ram_1r1w #(.WIDTH(LB_W + PLACE_W), .DEPTH(IDS), .STYLE(1)) u_asked (
        .clk,
        .wr_en  (take),
        .wr_addr(free_id),
        .wr_data({head.beats_m1, head.place}),
        .rd_en  (1'b1),
        .rd_addr(r0_id_q),
        .rd_data({r1_asked_m1, r1_place})
    );

    embnic_ram_1r1w #(.WIDTH(LB_W), .DEPTH(IDS), .STYLE(1)) u_counts (
        .clk,
        .wr_en  (clearing_q || r1_valid_q),
        .wr_addr(clearing_q ? clear_id_q : r1_id_q),
        .wr_data(clearing_q ? '0 : r1_next),
        .rd_en  (1'b1),
        .rd_addr(r0_id_q),
        .rd_data(r1_ram_count)
    );

    assign r1_count    = r1_again_q ? r2_next_q : r1_ram_count;
    assign r1_complete = r1_count == r1_asked_m1;
    assign r1_next     = r1_complete ? '0 : r1_count + 1'b1;

    logic [DATA_W:0] buffer_data;
    logic            buffer_bad, rd_q, rd_q2;

    embnic_ram_parity #(
        .WIDTH(DATA_W + 1), .DEPTH(PLACES * (1 << LB_W)), .STYLE(STYLE), .OUT_REG(1'b1), .ECC(ECC)
    ) u_buffer_ram (
        .clk, .rst,
        .wr_en  ((r1_valid_q && r1_alive_q) || remote_wr),
        .wr_addr(remote_busy ? {remote_wr_place, remote_wr_beat} : {r1_place, r1_count}),
        .wr_data({r1_error_q, r1_data_q}),
        .rd_en,
        .rd_addr({rd_place, rd_beat}),
        .rd_data(buffer_data),
        .rd_bad (buffer_bad),
        .inject, .inject_place, .evt_injected
    );

    // One line is told complete in a cycle, and with it whether it was given up.
    logic               tell, tell_failed, rd_failed;
    logic [PLACE_W-1:0] tell_place;

    assign tell_failed = scan_kill || head_expire || (remote_tell && remote_failed);
    assign tell        = (r1_valid_q && r1_complete && r1_alive_q) || scan_kill || head_expire || remote_tell;
    assign tell_place  = scan_kill ? scan_place : head_expire ? head.place : remote_busy ? remote_tell_place : r1_place;

    embnic_ram_1r1w #(.WIDTH(1), .DEPTH(PLACES), .STYLE(1), .OUT_REG(1'b1)) u_failed (
        .clk,
        .wr_en  (tell),
        .wr_addr(tell_place),
        .wr_data(tell_failed),
        .rd_en,
        .rd_addr(rd_place),
        .rd_data(rd_failed)
    );

    assign rd_data        = {buffer_data[DATA_W] || buffer_bad || rd_failed, buffer_data[DATA_W-1:0]};
    assign evt_fetch_beat = r0_valid_q;
    assign sts_clearing   = clearing_q || remote_clearing;

    always_ff @(posedge clk) begin
        if (mem_beat) begin
            r0_id_q   <= m_axi_rid;
            r0_last_q <= m_axi_rlast;
        end
        if (mem_beat || remote_beat) begin
            r0_data_q  <= remote_beat ? remote_data : m_axi_rdata;
            r0_error_q <= remote_beat ? remote_error : m_axi_rresp != 2'b00;
        end
        r0_remote_q <= remote_beat && !rst;
        if (r0_valid_q) begin
            r1_id_q   <= r0_id_q;
            r1_last_q <= r0_last_q;
        end
        if (r0_valid_q || r0_remote_q) begin
            r1_data_q  <= r0_data_q;
            r1_error_q <= r0_error_q;
        end
        r1_alive_q <= alive_q[r0_id_q] && !(scan_kill && scan_id_q == r0_id_q);
        r1_again_q <= r1_valid_q && r1_id_q == r0_id_q;
        r2_next_q  <= r1_next;
        line_place <= tell_place;

        if (rst) begin
            r0_valid_q <= 1'b0;
            r1_valid_q <= 1'b0;
            line_valid <= 1'b0;
            rd_q       <= 1'b0;
            rd_q2      <= 1'b0;
            evt_parity <= 1'b0;
            clearing_q <= 1'b1;
            clear_id_q <= '0;
        end else begin
            r0_valid_q <= mem_beat;
            r1_valid_q <= r0_valid_q;
            line_valid <= tell;
            rd_q       <= rd_en;
            rd_q2      <= rd_q;
            evt_parity <= rd_q2 && buffer_bad && !rd_failed;
            if (clearing_q) begin
                clearing_q <= clear_id_q != '1;
                clear_id_q <= clear_id_q + 1'b1;
            end
        end
    end

    // Assertions
    logic [PLACES-1:0] asked_q;  // a line is asked for and not told complete
    logic [IDS-1:0]    taken_q;  // memory owes beats

    always_ff @(posedge clk) begin
        if (rst) begin
            asked_q <= '0;
            taken_q <= '0;
        end else begin
            if (line_valid) asked_q[line_place] <= 1'b0;
            if (req_valid) asked_q[req_place] <= 1'b1;
            if (r1_valid_q && r1_complete) taken_q[r1_id_q] <= 1'b0;
            if (take) taken_q[free_id] <= 1'b1;
        end
    end

    `EMBNIC_ASSUME(place_free, !(req_valid && asked_q[req_place]),
        "a place is asked for again only when its line is complete")
    `EMBNIC_ASSUME(beats_legal, !req_valid || req_beats_m1 < BEAT_W'(LINE_BEATS),
        "a request is 1 .. LINE_BEATS beats")
    `EMBNIC_ASSUME(remote_built, !(req_valid && req_remote) || REMOTE_FETCHES != 0, "remote lines are asked for where there is a pool for them")
    `EMBNIC_NEVER(two_beats, remote_busy && r1_valid_q, "beats of memory and of remote lines do not meet")
    `EMBNIC_ASSUME(aligned, !req_valid || req_addr[5:0] == '0,
        "a request begins at a multiple of 64 bytes")
    `EMBNIC_ASSUME(no_request_in_clear, !(req_valid && clearing_q),
        "requests wait while the counts are cleared")
    `EMBNIC_ASSERT(queue_room, !req_valid || req_ready,
        "the queue is as deep as there are places")
    `EMBNIC_ASSERT(free_room, free_ready || !(clearing_q || (r1_valid_q && r1_complete)),
        "the queue of IDs holds them all")
    `EMBNIC_NEVER(too_many_free, 32'(free_count) > IDS, "an ID is free once")
    `EMBNIC_ASSERT(line_asked, !line_valid || asked_q[line_place], "a line is told complete once")
    `EMBNIC_NEVER(id_twice, take && taken_q[free_id], "an ID that memory owes beats is not used")
    `EMBNIC_ASSUME(asked_for, !r0_valid_q || taken_q[r0_id_q],
        "memory answers what was asked, not more")
    `EMBNIC_ASSUME(last_said, !(r1_valid_q && r1_complete) || r1_last_q,
        "the last beat of a request says so")
    `EMBNIC_STABLE(ar_stable, m_axi_arvalid, m_axi_arready, {m_axi_arid, m_axi_araddr, m_axi_arlen},
        "AR holds until it is taken")
    `EMBNIC_KNOWN(arvalid_known, m_axi_arvalid, "arvalid is known after reset")
    `EMBNIC_NEVER(window_crossed, m_axi_arvalid && 13'(m_axi_araddr[WIN_W-1:0]) + (13'(m_axi_arlen) +
        13'd1) * 13'(BYTES) > 13'(WINDOW),
        "no burst leaves its window")
    `EMBNIC_NEVER(too_many, out_q > OUT_W'(FETCHES), "at most FETCHES lines are waited for")
    `EMBNIC_COVER(all_out, out_q == OUT_W'(FETCHES) && head_valid, "a request waits for a line to arrive")
    `EMBNIC_COVER(split, ar_take && burst.left != '0, "a line takes two bursts")
    `EMBNIC_COVER(given_up, scan_kill, "memory did not answer in time")
    `EMBNIC_COVER(given_up_unasked, head_expire, "a request was given up before it was asked for")
    `EMBNIC_NEVER(kill_dead, scan_kill && !alive_q[scan_id_q], "a line is given up once, and not when it is complete")
    `EMBNIC_COVER(kill_beside_beat, scan_kill && r1_valid_q && r1_id_q == scan_id_q, "a line is given up as a beat of it comes")
endmodule
`default_nettype wire
