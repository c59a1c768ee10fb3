// SPDX-License-Identifier: Apache-2.0
// Reads lines from card memory, many at a time, into a buffer of one line a place.
//
// Each request names the place that its line goes to; the place is the AXI ID. A request is one
// AXI4 burst or more with that ID: none leaves an aligned window of min(MAX_BURST beats, 4 KB).
// Answers of different IDs may come in any order and interleaved beat by beat. At most FETCHES
// lines are outstanding; further requests wait in a queue as deep as there are places.
//
// Order          requests go to memory as given; lines are told complete as they are.
// Back-pressure  none on requests: a place is asked for again only after its line was used.
// Latency        1 cycle from req_valid to arvalid, 3 cycles from a line's last rvalid to
//                line_valid, 2 cycles from rd_en to rd_data.
// Throughput     one beat per cycle, one request per cycle.
// Errors         RRESP other than OKAY: the beat is kept with its error bit set (its data mean
//                nothing).
// Reset          clears the counts of beats, PLACES cycles (sts_clearing); a reset while reads are
//                outstanding needs a reset of the memory, too.
`default_nettype none
`include "embnic_assert.svh"
module embnic_row_fetch
    import embnic_pkg::ADDR_W;
    import embnic_pkg::BEAT_W;
#(
    parameter int unsigned DATA_W     = 512, // bits of a beat: 128 or 512
    parameter int unsigned LINE_BYTES = 256, // longest request; power of two, 64 .. 4096
    parameter int unsigned FETCHES    = 128, // lines outstanding, >= 1
    parameter int unsigned PLACES     = 512, // lines of the buffer; power of two, >= 2
    parameter int unsigned MAX_BURST  = 256, // beats of a burst; power of two, 1 .. 256 (AXI3: 16)
    localparam int unsigned ID_W       = $clog2(PLACES),
    localparam int unsigned LINE_BEATS = LINE_BYTES / (DATA_W / 8),
    localparam int unsigned LB_W       = (LINE_BEATS == 1) ? 1 : $clog2(LINE_BEATS)  // beat within a line
) (
    input  wire logic              clk,
    input  wire logic              rst,
    input  wire logic              req_valid,
    input  wire logic [ID_W-1:0]   req_place,
    input  wire logic [ADDR_W-1:0] req_addr,            // a multiple of 64
    input  wire logic [BEAT_W-1:0] req_beats_m1,        // beats less one: 0 .. LINE_BEATS - 1
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
    output      logic              m_axi_rready,        // constant 1: every beat asked for has its place
    output      logic              line_valid,          // pulse: all beats of a request are in the buffer
    output      logic [ID_W-1:0]   line_place,
    input  wire logic              rd_en,               // read a beat of the buffer
    input  wire logic [ID_W-1:0]   rd_place,
    input  wire logic [LB_W-1:0]   rd_beat,
    output      logic [DATA_W:0]   rd_data,             // {error, data}
    output      logic              sts_clearing,
    output      logic              evt_fetch_beat       // a beat arrived
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

    localparam int unsigned BYTES   = DATA_W / 8;
    localparam int unsigned SIZE    = $clog2(BYTES);
    localparam int unsigned WINDOW  = (MAX_BURST * BYTES < 4096) ? MAX_BURST * BYTES : 4096;
    localparam int unsigned WIN_W   = $clog2(WINDOW);
    localparam int unsigned BURST   = WINDOW / BYTES;                  // longest burst, beats
    localparam int unsigned LEFT_W  = $clog2(LINE_BEATS + 1);          // beats of a line: 0 .. LINE_BEATS
    localparam int unsigned OUT_W   = $clog2(FETCHES + 2);           // lines outstanding, and one more for the assertion

    // Requests to bursts. The first burst is decided on the way into the queue, the others when the
    // one before is taken: the AR channel leaves from registers.

    typedef struct packed {
        logic [ID_W-1:0]   place;
        logic [ADDR_W-1:0] addr;
        logic [7:0]        len;        // arlen
        logic [LEFT_W-1:0] left;       // beats behind this burst
    } burst_t;

    // Cuts `beats` that begin at beat `at` of a window. Both are small: one adder deep.
    function automatic burst_t cut(
        input logic [ID_W-1:0] place, input logic [ADDR_W-1:0] addr, input logic [8:0] at, input logic [8:0] beats
    );
        logic [9:0] room;
        room      = 10'(BURST) - 10'(at);
        cut.place = place;
        cut.addr  = addr;
        cut.len   = (10'(beats) > room) ? 8'(room - 10'd1) : 8'(beats - 9'd1);
        cut.left  = (10'(beats) > room) ? LEFT_W'(10'(beats) - room) : '0;
    endfunction

    burst_t              req, head, burst, next, later_q;
    logic                later_valid_q;  // later_q is the burst to go: the head of the queue is under way
    logic                req_ready, head_valid, head_ready;
    logic [8:0]          req_at;
    logic                ar_take;
    logic [OUT_W-1:0]    out_q, out_d;   // lines on the AR channel or not yet complete
    logic                room_q;
    logic                r1_valid_q, r1_complete;  // a beat arrived; it is its line's last

    assign req_at = (BURST == 1) ? 9'd0 : 9'(req_addr[WIN_W-1:0] >> SIZE);
    assign req    = cut(req_place, req_addr, req_at, 9'(req_beats_m1) + 9'd1);

    embnic_cache_queue #(.WIDTH($bits(burst_t)), .DEPTH(PLACES), .STYLE(0)) u_requests (
        .clk, .rst,
        .s_axis_tdata (req),
        .s_axis_tvalid(req_valid),
        .s_axis_tready(req_ready),
        .m_axis_tdata (head),
        .m_axis_tvalid(head_valid),
        .m_axis_tready(head_ready)
    );

    assign burst         = later_valid_q ? later_q : head;
    assign next          = cut(burst.place, {burst.addr[ADDR_W-1:WIN_W] + 1'b1, WIN_W'(0)}, 9'd0, 9'(burst.left));
    assign ar_take       = m_axi_arvalid && m_axi_arready;
    assign head_ready    = ar_take && burst.left == '0;
    assign m_axi_arid    = burst.place;
    assign m_axi_araddr  = burst.addr;
    assign m_axi_arlen   = burst.len;
    assign m_axi_arsize  = 3'(SIZE);
    assign m_axi_arburst = 2'b01;
    assign m_axi_arvalid = head_valid && (later_valid_q || room_q);
    assign out_d         = out_q + OUT_W'(ar_take && !later_valid_q) - OUT_W'(r1_valid_q && r1_complete);

    always_ff @(posedge clk) begin
        if (ar_take) later_q <= next;
        if (rst) begin
            later_valid_q <= 1'b0;
            out_q         <= '0;
            room_q        <= 1'b1;
        end else begin
            if (ar_take) later_valid_q <= burst.left != '0;
            out_q  <= out_d;
            room_q <= out_d < OUT_W'(FETCHES);
        end
    end

    // Beats in: R0 the register behind the channel, R1 the count of beats that came for this place,
    // R2 told. The counts go round to zero with a line's last beat; a reset clears them.

    logic              clearing_q;
    logic [ID_W-1:0]   clear_place_q;
    logic              r0_valid_q, r0_last_q, r0_error_q, r1_last_q, r1_error_q;
    logic [ID_W-1:0]   r0_place_q, r1_place_q;
    logic [DATA_W-1:0] r0_data_q, r1_data_q;
    logic [LB_W-1:0]   r1_ram_count, r1_count, r1_asked_m1, r1_next, r2_next_q;
    logic              r1_again_q;       // the beat one cycle ahead is of the same place

    embnic_ram_1r1w #(.WIDTH(LB_W), .DEPTH(PLACES), .STYLE(1)) u_asked (
        .clk,
        .wr_en  (req_valid),
        .wr_addr(req_place),
        .wr_data(LB_W'(req_beats_m1)),
        .rd_en  (1'b1),
        .rd_addr(r0_place_q),
        .rd_data(r1_asked_m1)
    );

    embnic_ram_1r1w #(.WIDTH(LB_W), .DEPTH(PLACES), .STYLE(1)) u_counts (
        .clk,
        .wr_en  (clearing_q || r1_valid_q),
        .wr_addr(clearing_q ? clear_place_q : r1_place_q),
        .wr_data(clearing_q ? '0 : r1_next),
        .rd_en  (1'b1),
        .rd_addr(r0_place_q),
        .rd_data(r1_ram_count)
    );

    assign r1_count    = r1_again_q ? r2_next_q : r1_ram_count;
    assign r1_complete = r1_count == r1_asked_m1;
    assign r1_next     = r1_complete ? '0 : r1_count + 1'b1;

    embnic_ram_1r1w #(.WIDTH(DATA_W + 1), .DEPTH(PLACES * (1 << LB_W)), .STYLE(2), .OUT_REG(1'b1)) u_buffer_ram (
        .clk,
        .wr_en  (r1_valid_q),
        .wr_addr({r1_place_q, r1_count}),
        .wr_data({r1_error_q, r1_data_q}),
        .rd_en,
        .rd_addr({rd_place, rd_beat}),
        .rd_data
    );

    assign m_axi_rready   = 1'b1;
    assign evt_fetch_beat = r0_valid_q;
    assign sts_clearing   = clearing_q;

    always_ff @(posedge clk) begin
        if (m_axi_rvalid) begin
            r0_place_q <= m_axi_rid;
            r0_data_q  <= m_axi_rdata;
            r0_error_q <= m_axi_rresp != 2'b00;
            r0_last_q  <= m_axi_rlast;
        end
        if (r0_valid_q) begin
            r1_place_q <= r0_place_q;
            r1_data_q  <= r0_data_q;
            r1_error_q <= r0_error_q;
            r1_last_q  <= r0_last_q;
        end
        r1_again_q <= r1_valid_q && r1_place_q == r0_place_q;
        r2_next_q  <= r1_next;
        line_place <= r1_place_q;

        if (rst) begin
            r0_valid_q    <= 1'b0;
            r1_valid_q    <= 1'b0;
            line_valid    <= 1'b0;
            clearing_q    <= 1'b1;
            clear_place_q <= '0;
        end else begin
            r0_valid_q <= m_axi_rvalid;
            r1_valid_q <= r0_valid_q;
            line_valid <= r1_valid_q && r1_complete;
            if (clearing_q) begin
                clearing_q    <= clear_place_q != '1;
                clear_place_q <= clear_place_q + 1'b1;
            end
        end
    end

    // Assertions
    logic [PLACES-1:0] asked_q;  // a line is asked for and not complete

    always_ff @(posedge clk) begin
        if (rst) asked_q <= '0;
        else begin
            if (line_valid) asked_q[line_place] <= 1'b0;
            if (req_valid) asked_q[req_place] <= 1'b1;
        end
    end

    `EMBNIC_ASSUME(place_free, !(req_valid && asked_q[req_place]),
        "a place is asked for again only when its line is complete")
    `EMBNIC_ASSUME(beats_legal, !req_valid || req_beats_m1 < BEAT_W'(LINE_BEATS),
        "a request is 1 .. LINE_BEATS beats")
    `EMBNIC_ASSUME(aligned, !req_valid || req_addr[5:0] == '0,
        "a request begins at a multiple of 64 bytes")
    `EMBNIC_ASSUME(no_request_in_clear, !(req_valid && clearing_q),
        "requests wait while the counts are cleared")
    `EMBNIC_ASSERT(queue_room, !req_valid || req_ready,
        "the queue is as deep as there are places")
    `EMBNIC_ASSUME(asked_for, !r0_valid_q || asked_q[r0_place_q],
        "memory answers what was asked, not more")
    `EMBNIC_ASSUME(last_said, !(r1_valid_q && r1_complete) || r1_last_q,
        "the last beat of a request says so")
    `EMBNIC_STABLE(ar_stable, m_axi_arvalid, m_axi_arready, {m_axi_arid, m_axi_araddr, m_axi_arlen},
        "AR holds until it is taken")
    `EMBNIC_KNOWN(arvalid_known, m_axi_arvalid, "arvalid is known after reset")
    `EMBNIC_NEVER(window_crossed, m_axi_arvalid && 13'(m_axi_araddr[WIN_W-1:0]) + (13'(m_axi_arlen) +
        13'd1) * 13'(BYTES) > 13'(WINDOW),
        "no burst leaves its window")
    `EMBNIC_NEVER(too_many, out_q > OUT_W'(FETCHES), "at most FETCHES lines are outstanding")
    `EMBNIC_COVER(all_out, out_q == OUT_W'(FETCHES) && head_valid, "a request waits for a line to arrive")
    `EMBNIC_COVER(split, ar_take && later_valid_q, "a line takes two bursts")
endmodule
`default_nettype wire
