// SPDX-License-Identifier: Apache-2.0
// Reads lines from card memory, many at a time, and gives their beats back in the order they were
// asked for.
//
// A ring of FETCHES buffers, one a request, in one RAM. A request is one AXI4 read with ID = its
// buffer, or two with that ID when the line crosses a 4 KB boundary. Answers of different IDs may
// come in any order and interleaved beat by beat.
//
// Order          fills leave in the order of the requests; a beat may leave as soon as it and all
//                before it are there.
// Back-pressure  on fills any cycle. Requests cannot wait: at most FETCHES of them between
// req_valid and slot_free.
// Latency        1 cycle from req_valid to arvalid, 3 cycles from rvalid to the fill's tvalid.
// Throughput     one beat per cycle, one request per cycle.
// Errors         RRESP other than OKAY: the beat leaves with its error bit set (its data mean
//                nothing).
// Not handled    a reset while reads are outstanding needs a reset of the memory, too.
`default_nettype none
`include "embnic_assert.svh"
module embnic_row_fetch
    import embnic_pkg::ADDR_W;
    import embnic_pkg::BEAT_W;
#(
    parameter int unsigned DATA_W     = 512, // bits of a beat: 128 or 512
    parameter int unsigned LINE_BYTES = 256, // longest request; power of two, 64 .. 4096
    parameter int unsigned FETCHES    = 64,  // requests in flight; power of two, >= 2
    localparam int unsigned ID_W = $clog2(FETCHES)
) (
    input  wire logic              clk,
    input  wire logic              rst,
    input  wire logic              req_valid,
    input  wire logic [ADDR_W-1:0] req_addr,            // a multiple of 64
    input  wire logic [BEAT_W-1:0] req_beats_m1,        // beats less one: 0 .. LINE_BYTES / (DATA_W / 8) - 1
    output      logic              slot_free,           // pulse: one more request may come
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
    output      logic [DATA_W:0]   m_axis_fill_tdata,   // {error, data}
    output      logic              m_axis_fill_tlast,   // last beat of its request
    output      logic              m_axis_fill_tvalid,
    input  wire logic              m_axis_fill_tready,
    output      logic              evt_fetch_beat       // a beat arrived
);
    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end
    if (LINE_BYTES < 64 || LINE_BYTES > 4096 || (LINE_BYTES & (LINE_BYTES - 1)) != 0) begin : gen_bad_line_bytes
        $fatal(1, "LINE_BYTES must be a power of two, 64 to 4096");
    end
    if (FETCHES < 2 || (FETCHES & (FETCHES - 1)) != 0) begin : gen_bad_fetches
        $fatal(1, "FETCHES must be a power of two, at least 2");
    end

    localparam int unsigned BYTES      = DATA_W / 8;
    localparam int unsigned SIZE       = $clog2(BYTES);
    localparam int unsigned LINE_BEATS = LINE_BYTES / BYTES;
    localparam int unsigned LB_W       = (LINE_BEATS == 1) ? 1 : $clog2(LINE_BEATS); // beat within a line
    localparam int unsigned ARR_W      = $clog2(LINE_BEATS + 1);                     // beats arrived: 0 .. LINE_BEATS
    localparam int unsigned PAGE_W     = 12 - SIZE;                                  // beat within a 4 KB page
    localparam int unsigned RAM_DEPTH  = FETCHES * (1 << LB_W);

    // Requests to bursts. The split is decided on the way into the queue, so that the AR channel
    // leaves from registers.

    typedef struct packed {
        logic [ADDR_W-1:0] addr;
        logic [7:0]        len;        // arlen of the first burst
        logic              two;        // a second burst follows at the next page
        logic [7:0]        second_len;
    } request_t;

    request_t            req, head;
    logic                req_ready, head_valid, head_ready;
    logic [PAGE_W-1:0]   page_beat;    // beat of the page at which the line begins
    logic [PAGE_W-1:0]   page_left;    // beats of the page behind that one
    logic [PAGE_W:0]     line_end;     // and at which it ends, counted from the first page on
    logic                second_q;     // the second burst of `head` is on the channel
    logic [ID_W-1:0]     ar_slot_q;
    logic                ar_take;

    assign page_beat = req_addr[11:SIZE];
    assign page_left = ~page_beat;
    assign line_end  = (PAGE_W + 1)'(page_beat) + (PAGE_W + 1)'(req_beats_m1);

    always_comb begin
        req.addr       = req_addr;
        req.two        = line_end[PAGE_W];
        req.len        = req.two ? 8'(page_left) : 8'(req_beats_m1);
        req.second_len = 8'(line_end[PAGE_W-1:0]);
    end

    embnic_cache_queue #(.WIDTH($bits(request_t)), .DEPTH(FETCHES), .STYLE(0)) u_requests (
        .clk, .rst,
        .s_axis_tdata (req),
        .s_axis_tvalid(req_valid),
        .s_axis_tready(req_ready),
        .m_axis_tdata (head),
        .m_axis_tvalid(head_valid),
        .m_axis_tready(head_ready)
    );

    assign ar_take       = m_axi_arvalid && m_axi_arready;
    assign head_ready    = ar_take && (second_q || !head.two);
    assign m_axi_arid    = ar_slot_q;
    assign m_axi_araddr  = second_q ? {head.addr[ADDR_W-1:12] + 1'b1, 12'd0} : head.addr;
    assign m_axi_arlen   = second_q ? head.second_len : head.len;
    assign m_axi_arsize  = 3'(SIZE);
    assign m_axi_arburst = 2'b01;
    assign m_axi_arvalid = head_valid;

    // Beats in. One register, then the RAM: the beat number of an ID is a count of what has arrived
    // for it.

    logic                          r_valid_q, r_last_q, r_error_q;
    logic [ID_W-1:0]               r_slot_q;
    logic [DATA_W-1:0]             r_data_q;
    logic [FETCHES-1:0][ARR_W-1:0] arrived_q;   // beats that came for each buffer since its request
    logic [FETCHES-1:0][LB_W-1:0]  last_beat_q; // beats asked for, less one
    logic [ID_W:0]                 alloc_ptr_q; // next buffer to be given out; one wrap bit more than a buffer's number

    assign m_axi_rready   = 1'b1;
    assign evt_fetch_beat = r_valid_q;

    // Beats out: the RAM's own read register is the output, so a read waits for the beat before it
    // to be taken. What the oldest buffer holds is kept in registers (head_*), chosen one cycle
    // ahead from its own and the next buffer's entry: the choice among all buffers is not in the
    // path of a read.

    logic [ID_W:0]    rd_ptr_q, rd_next_ptr;
    logic [LB_W-1:0]  rd_beat_q;
    logic [ARR_W-1:0] head_arrived_q, head_arrived_d;
    logic [LB_W-1:0]  head_last_q, head_last_d;
    logic             rd_en, rd_last;
    logic             fill_valid_q, fill_last_q;

    // Beats of a buffer that can be read in the next cycle; none while it is not given out.
    function automatic logic [ARR_W-1:0] readable(input logic [ID_W:0] ptr);
        readable = arrived_q[ptr[ID_W-1:0]];
        if (r_valid_q && r_slot_q == ptr[ID_W-1:0]) readable = readable + 1'b1;
        if (ptr == alloc_ptr_q) readable = '0;
    endfunction

    assign rd_next_ptr = rd_ptr_q + 1'b1;
    assign rd_en       = head_arrived_q > ARR_W'(rd_beat_q) && (!fill_valid_q || m_axis_fill_tready);
    assign rd_last     = rd_beat_q == head_last_q;

    always_comb begin
        head_arrived_d = readable(rd_ptr_q);
        head_last_d    = last_beat_q[rd_ptr_q[ID_W-1:0]];
        if (rd_en && rd_last) begin
            head_arrived_d = readable(rd_next_ptr);
            head_last_d    = last_beat_q[rd_next_ptr[ID_W-1:0]];
        end
    end

    embnic_ram_1r1w #(.WIDTH(DATA_W + 1), .DEPTH(RAM_DEPTH), .STYLE(2)) u_buffer_ram (
        .clk,
        .wr_en  (r_valid_q),
        .wr_addr({r_slot_q, arrived_q[r_slot_q][LB_W-1:0]}),
        .wr_data({r_error_q, r_data_q}),
        .rd_en,
        .rd_addr({rd_ptr_q[ID_W-1:0], rd_beat_q}),
        .rd_data(m_axis_fill_tdata)
    );

    assign m_axis_fill_tvalid = fill_valid_q;
    assign m_axis_fill_tlast  = fill_last_q;

    always_ff @(posedge clk) begin
        if (m_axi_rvalid) begin
            r_slot_q  <= m_axi_rid;
            r_data_q  <= m_axi_rdata;
            r_error_q <= m_axi_rresp != 2'b00;
            r_last_q  <= m_axi_rlast;
        end
        if (req_valid) begin
            last_beat_q[alloc_ptr_q[ID_W-1:0]] <= LB_W'(req_beats_m1);
            arrived_q[alloc_ptr_q[ID_W-1:0]]   <= '0;
        end
        if (r_valid_q) arrived_q[r_slot_q] <= arrived_q[r_slot_q] + 1'b1;
        head_last_q <= head_last_d;
        if (rd_en) fill_last_q <= rd_last;

        if (rst) begin
            second_q       <= 1'b0;
            ar_slot_q      <= '0;
            r_valid_q      <= 1'b0;
            alloc_ptr_q    <= '0;
            rd_ptr_q       <= '0;
            rd_beat_q      <= '0;
            head_arrived_q <= '0;
            fill_valid_q   <= 1'b0;
            slot_free      <= 1'b0;
        end else begin
            if (ar_take) second_q <= head.two && !second_q;
            ar_slot_q   <= ar_slot_q + ID_W'(head_ready);
            alloc_ptr_q <= alloc_ptr_q + (ID_W + 1)'(req_valid);
            r_valid_q   <= m_axi_rvalid;
            if (rd_en) rd_beat_q <= rd_last ? '0 : rd_beat_q + 1'b1;
            if (rd_en && rd_last) rd_ptr_q <= rd_next_ptr;
            head_arrived_q <= head_arrived_d;
            fill_valid_q   <= rd_en || (fill_valid_q && !m_axis_fill_tready);
            slot_free      <= rd_en && rd_last;
        end
    end

    // Assertions
    logic [ID_W:0] used_q;

    always_ff @(posedge clk) begin
        if (rst) used_q <= '0;
        else used_q <= used_q + (ID_W + 1)'(req_valid) - (ID_W + 1)'(slot_free);
    end

    `EMBNIC_ASSUME(room, !(req_valid && used_q == (ID_W + 1)'(FETCHES)),
        "no request without a free buffer")
    `EMBNIC_ASSUME(beats_legal, !req_valid || req_beats_m1 < BEAT_W'(LINE_BEATS),
        "a request is 1 .. LINE_BEATS beats")
    `EMBNIC_ASSUME(aligned, !req_valid || req_addr[5:0] == '0,
        "a request begins at a multiple of 64 bytes")
    `EMBNIC_ASSERT(queue_room, !req_valid || req_ready,
        "the queue of bursts is as deep as the ring")
    `EMBNIC_ASSUME(asked_for, !r_valid_q || arrived_q[r_slot_q] <= ARR_W'(last_beat_q[r_slot_q]),
        "memory answers what was asked, not more")
    `EMBNIC_ASSUME(last_said, !r_valid_q || r_last_q || arrived_q[r_slot_q] !=
        ARR_W'(last_beat_q[r_slot_q]),
        "the last beat of a request says so")
    `EMBNIC_STABLE(ar_stable, m_axi_arvalid, m_axi_arready, {m_axi_arid, m_axi_araddr, m_axi_arlen},
        "AR holds until it is taken")
    `EMBNIC_STABLE(fill_stable, m_axis_fill_tvalid, m_axis_fill_tready, {m_axis_fill_tlast,
        m_axis_fill_tdata},
        "a fill beat holds until it is taken")
    `EMBNIC_KNOWN(arvalid_known, m_axi_arvalid, "arvalid is known after reset")
    `EMBNIC_NEVER(page_crossed, m_axi_arvalid && 13'(m_axi_araddr[11:0]) + (13'(m_axi_arlen) +
        13'd1) * 13'(BYTES) > 13'd4096,
        "no burst crosses 4 KB")
    `EMBNIC_COVER(ring_full, used_q == (ID_W + 1)'(FETCHES), "all buffers are in use")
    `EMBNIC_COVER(split, ar_take && second_q, "a line crosses a page")
endmodule
`default_nettype wire
