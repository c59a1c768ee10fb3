// SPDX-License-Identifier: Apache-2.0
// embnic_row_fetch: the bursts of a request cover its line once, in order; every line is told once, when all its beats are
// in the buffer, and is what memory answered; requests go to memory in order and never more than FETCHES at a time.
//
// Memory answers any beat that it owes, so answers of both places interleave in every way. Of each beat two bits and the
// error count. `probe_place` and `probe_beat` are free: any beat may be the one that is followed.
`default_nettype none
`include "embnic_fv.svh"
module embnic_row_fetch_fv
    import embnic_pkg::ADDR_W;
    import embnic_pkg::BEAT_W;
#(
    parameter int unsigned LINE_BYTES = 64,
    parameter int unsigned MAX_BURST  = 2,
    parameter int unsigned FETCHES    = 1,
    parameter int unsigned PLACES     = 2,
    localparam int unsigned ID_W  = $clog2(PLACES),
    localparam int unsigned BEATS = LINE_BYTES / 16,
    localparam int unsigned LB_W  = $clog2(BEATS),
    localparam int unsigned CNT_W = $clog2(BEATS + 1)
) (
    input wire logic             clk,
    input wire logic             rst,
    input wire logic             mark,
    input wire logic             req_valid,
    input wire logic [ID_W-1:0]  req_place,
    input wire logic [1:0]       req_unit,        // address in units of 64 bytes
    input wire logic [LB_W-1:0]  req_beats_m1,
    input wire logic             m_axi_arready,
    input wire logic             m_axi_rvalid,
    input wire logic [ID_W-1:0]  m_axi_rid,
    input wire logic [1:0]       data,
    input wire logic             slverr,
    input wire logic             m_axi_rlast,
    input wire logic             rd_en,
    input wire logic [ID_W-1:0]  probe_place,
    input wire logic [LB_W-1:0]  probe_beat
);
    `EMBNIC_FV_RESET

    logic [ID_W-1:0]   m_axi_arid, line_place;
    logic [ADDR_W-1:0] m_axi_araddr;
    logic [7:0]        m_axi_arlen;
    logic [2:0]        m_axi_arsize;
    logic [1:0]        m_axi_arburst;
    logic              m_axi_arvalid, m_axi_rready, line_valid, sts_clearing, evt_fetch_beat;
    logic [128:0]      rd_data;

    embnic_row_fetch #(
        .DATA_W(128), .LINE_BYTES(LINE_BYTES), .FETCHES(FETCHES), .PLACES(PLACES), .MAX_BURST(MAX_BURST)
    ) u_dut (
        .clk, .rst, .req_valid, .req_place,
        .req_addr    (ADDR_W'({req_unit, 6'd0})),
        .req_beats_m1(BEAT_W'(req_beats_m1)),
        .m_axi_arid, .m_axi_araddr, .m_axi_arlen, .m_axi_arsize, .m_axi_arburst, .m_axi_arvalid, .m_axi_arready,
        .m_axi_rid,
        .m_axi_rdata (128'(data)),
        .m_axi_rresp ({slverr, 1'b0}),
        .m_axi_rlast, .m_axi_rvalid, .m_axi_rready, .line_valid, .line_place, .rd_en,
        .rd_place    (probe_place),
        .rd_beat     (probe_beat),
        .rd_data, .sts_clearing, .evt_fetch_beat
    );

    // Each place: its request, the beats asked of memory, the beats that came, told or not.
    logic [PLACES-1:0]            open_q, told_q;
    logic [PLACES-1:0][1:0]       unit_q;
    logic [PLACES-1:0][CNT_W-1:0] beats_q, asked_q, came_q;
    logic [PLACES-1:0][2:0]       late_q;       // cycles since its last beat came
    logic [CNT_W-1:0]             burst;
    logic                         ar_take, asks_last;
    logic [ID_W:0]                outstanding;
    logic [2:0]                   idle_q;       // cycles in which a burst could be asked for and is not
    logic [PLACES-1:0]            wants;
    logic                         begun;

    assign ar_take   = m_axi_arvalid && m_axi_arready;
    assign burst     = CNT_W'(m_axi_arlen) + 1'b1;
    assign asks_last = ar_take && asked_q[m_axi_arid] + burst == beats_q[m_axi_arid];

    always_comb begin
        outstanding = '0;
        begun       = 1'b0;
        for (int unsigned p = 0; p < PLACES; p++) begin
            outstanding = outstanding + (ID_W + 1)'(open_q[p] && asked_q[p] != '0);
            wants[p]    = open_q[p] && asked_q[p] != beats_q[p];
            begun       = begun || (wants[p] && asked_q[p] != '0);
        end
    end

    always_ff @(posedge clk) begin
        for (int unsigned p = 0; p < PLACES; p++) begin
            if (ar_take && m_axi_arid == ID_W'(p)) asked_q[p] <= asked_q[p] + burst;
            if (m_axi_rvalid && m_axi_rid == ID_W'(p)) came_q[p] <= came_q[p] + 1'b1;
            late_q[p] <= (open_q[p] && came_q[p] == beats_q[p]) ? late_q[p] + 1'b1 : '0;
            if (req_valid && req_place == ID_W'(p)) begin
                unit_q[p]  <= req_unit;
                beats_q[p] <= CNT_W'(req_beats_m1) + 1'b1;
                asked_q[p] <= '0;
                came_q[p]  <= '0;
                told_q[p]  <= 1'b0;
            end
            if (line_valid && line_place == ID_W'(p)) told_q[p] <= 1'b1;
            if (rst) begin
                open_q[p] <= 1'b0;
                told_q[p] <= 1'b0;
                late_q[p] <= '0;
            end else if (req_valid && req_place == ID_W'(p)) open_q[p] <= 1'b1;
            else if (line_valid && line_place == ID_W'(p)) open_q[p] <= 1'b0;
        end
        idle_q <= (rst || m_axi_arvalid || wants == '0 || (!begun && 32'(outstanding) == FETCHES)) ? '0 : idle_q + 1'b1;
    end

    `EMBNIC_ASSUME(free_place, !(req_valid && (open_q[req_place] || sts_clearing)), "a place is asked for again when its line was told")
    `EMBNIC_ASSUME(owed, !m_axi_rvalid || (open_q[m_axi_rid] && came_q[m_axi_rid] != asked_q[m_axi_rid]),
        "memory answers what it was asked, not more")

    `EMBNIC_ASSERT(asks_open, !m_axi_arvalid || (open_q[m_axi_arid] && asked_q[m_axi_arid] + burst <= beats_q[m_axi_arid]
        && 32'(m_axi_arlen) < MAX_BURST), "no beat is asked for twice or in vain")
    `EMBNIC_ASSERT(right_address, !m_axi_arvalid || m_axi_araddr == ADDR_W'({unit_q[m_axi_arid], 6'd0}) + ADDR_W'({asked_q[m_axi_arid], 4'd0}),
        "bursts follow each other")
    `EMBNIC_ASSERT(told_once, !line_valid || (open_q[line_place] && came_q[line_place] == beats_q[line_place]),
        "a line is told once, when all its beats came")
    `EMBNIC_ASSERT(few_enough, 32'(outstanding) <= FETCHES, "at most FETCHES lines are outstanding")
    `EMBNIC_NEVER(stalls, idle_q > 3'd2, "a request that may go is at the channel within 3 cycles")
    for (genvar p = 0; p < int'(PLACES); p++) begin : gen_late
        `EMBNIC_NEVER(told_late, late_q[p] > 3'd3, "a line is told 3 cycles after its last beat came")
    end

    embnic_fv_order #(.WIDTH(ID_W), .MOST(PLACES)) u_order (
        .clk, .rst, .mark,
        .push(req_valid), .push_data(req_place),
        .pop(asks_last), .pop_data(m_axi_arid),
        .count_q(), .tracking_q(), .ahead_q(), .word_q()
    );

    // The followed beat: what memory answered, and what the buffer gives once the line was told.
    logic             mine;
    logic [2:0]       beat_q;
    logic [ID_W-1:0]  place_q;
    logic [LB_W-1:0]  index_q;
    logic [1:0]       read_q;

    assign mine = m_axi_rvalid && m_axi_rid == probe_place && came_q[probe_place] == CNT_W'(probe_beat);

    always_ff @(posedge clk) begin
        place_q <= probe_place;
        index_q <= probe_beat;
        if (mine) beat_q <= {slverr, data};
        read_q <= {read_q[0] && !rst, rd_en && !rst && told_q[probe_place] && CNT_W'(probe_beat) < beats_q[probe_place]};
    end

    `EMBNIC_ASSUME(one_probe, !fv_started_q || (probe_place == place_q && probe_beat == index_q), "one beat is followed")
    `EMBNIC_ASSERT(right_data, !read_q[1] || {rd_data[128], rd_data[1:0]} == beat_q, "the buffer gives what memory answered")

    `EMBNIC_COVER(both_answer, line_valid && open_q == '1, "a line is told while another is waited for")
    `EMBNIC_COVER(error_read, read_q[1] && rd_data[128] && index_q == '1, "the last beat of a line is read with its error")
endmodule
`default_nettype wire
