// SPDX-License-Identifier: Apache-2.0
// embnic_row_fetch: the bursts of a request cover its line once, in order; every line is told once, when all its beats are
// in the buffer or when it is given up; a line not given up is what memory answered, a line given up reads as errors, and
// what comes for it later meets no other line. Requests go to memory in order, never more than FETCHES at a time.
//
// Memory answers any beat that it owes, so answers of all IDs interleave in every way. Of each beat two bits and the error
// count. `probe_place` and `probe_beat` are free: any beat may be the one that is followed. The model keeps each place (its
// request) and each ID (what memory was asked with it and owes).
`default_nettype none
`include "embnic_fv.svh"
module embnic_row_fetch_fv
    import embnic_pkg::ADDR_W;
    import embnic_pkg::BEAT_W;
    import embnic_pkg::EPOCH_W;
#(
    parameter int unsigned LINE_BYTES = 64,
    parameter int unsigned MAX_BURST  = 2,
    parameter int unsigned FETCHES    = 1,
    parameter bit          TIMEOUT    = 1'b0, // epochs turn; else nothing is given up
    localparam int unsigned PLACES = 2,
    localparam int unsigned ID_W   = $clog2(FETCHES) + 1,
    localparam int unsigned IDS    = 1 << ID_W,
    localparam int unsigned BEATS  = LINE_BYTES / 16,
    localparam int unsigned LB_W   = $clog2(BEATS),
    localparam int unsigned CNT_W  = $clog2(BEATS + 1)
) (
    input wire logic             clk,
    input wire logic             rst,
    input wire logic             req_valid,
    input wire logic             req_place,
    input wire logic [1:0]       req_unit,        // address in units of 64 bytes
    input wire logic [LB_W-1:0]  req_beats_m1,
    input wire logic             m_axi_arready,
    input wire logic             m_axi_rvalid,
    input wire logic [ID_W-1:0]  m_axi_rid,
    input wire logic [1:0]       data,
    input wire logic             slverr,
    input wire logic             m_axi_rlast,
    input wire logic             rd_en,
    input wire logic             probe_place,
    input wire logic [LB_W-1:0]  probe_beat,
    input wire logic             turn             // the epoch ends
);
    `EMBNIC_FV_RESET

    localparam int unsigned EPOCH_CYCLES = IDS;   // an epoch lasts as long as all IDs are looked at, or longer

    logic [ID_W-1:0]    m_axi_arid;
    logic [ADDR_W-1:0]  m_axi_araddr;
    logic [7:0]         m_axi_arlen;
    logic [2:0]         m_axi_arsize;
    logic [1:0]         m_axi_arburst;
    logic               m_axi_arvalid, m_axi_rready, line_valid, line_place, sts_clearing;
    logic               evt_fetch_beat, evt_timeout, evt_late, evt_parity, evt_injected;
    logic [ID_W:0]      sts_quarantine;
    logic [128:0]       rd_data;
    logic [EPOCH_W-1:0] epoch_q;
    logic [3:0]         epoch_age_q;

    always_ff @(posedge clk) begin
        if (rst) begin
            epoch_q     <= '0;
            epoch_age_q <= '0;
        end else if (TIMEOUT && turn && 32'(epoch_age_q) >= EPOCH_CYCLES - 1) begin
            epoch_q     <= epoch_q + 1'b1;
            epoch_age_q <= '0;
        end else if (epoch_age_q != '1) epoch_age_q <= epoch_age_q + 1'b1;
    end

    embnic_row_fetch #(
        .DATA_W(128), .LINE_BYTES(LINE_BYTES), .FETCHES(FETCHES), .PLACES(PLACES), .MAX_BURST(MAX_BURST)
    ) u_dut (
        .clk, .rst,
        .port_rst    (rst),
        .req_valid, .req_place,
        .req_addr    (ADDR_W'({req_unit, 6'd0})),
        .req_beats_m1(BEAT_W'(req_beats_m1)),
        .req_remote  (1'b0),
        .req_line    ('0),
        .m_axi_arid, .m_axi_araddr, .m_axi_arlen, .m_axi_arsize, .m_axi_arburst, .m_axi_arvalid, .m_axi_arready,
        .m_axi_rid,
        .m_axi_rdata (128'(data)),
        .m_axi_rresp ({slverr, 1'b0}),
        .m_axi_rlast, .m_axi_rvalid, .m_axi_rready,
        .m_axis_remote_tdata (),
        .m_axis_remote_tvalid(),
        .m_axis_remote_tready(1'b0),
        .s_axis_remote_tdata ('0),
        .s_axis_remote_tid   ('0),
        .s_axis_remote_tuser (1'b0),
        .s_axis_remote_tlast (1'b0),
        .s_axis_remote_tvalid(1'b0),
        .s_axis_remote_tready(),
        .line_valid, .line_place, .rd_en,
        .rd_place    (probe_place),
        .rd_beat     (probe_beat),
        .rd_data,
        .epoch_on    (TIMEOUT),
        .epoch       (epoch_q),
        .remote_epoch_on(1'b0),
        .remote_epoch   ('0),
        .inject      (1'b0),
        .inject_place('0),
        .sts_clearing, .sts_quarantine, .evt_fetch_beat, .evt_timeout, .evt_late, .evt_parity, .evt_injected,
        .sts_remote_waiting(), .evt_remote()
    );

    // Of each place its request; told, and given up. `first_q` is the place whose request is the older one.
    logic [PLACES-1:0]              open_q, told_q, asked_q, lost_q;
    logic [PLACES-1:0][1:0]         unit_q;
    logic [PLACES-1:0][CNT_W-1:0]   beats_q;
    logic                           first_q, head;
    logic [PLACES-1:0]              wants;
    // Of each ID the line that memory was asked for with it: owed until its last beat came, waited for until it was told.
    logic [IDS-1:0]                 owed_q, alive_q, place_q;
    logic [IDS-1:0][1:0]            of_unit_q;
    logic [IDS-1:0][CNT_W-1:0]      of_beats_q, of_asked_q, of_came_q;
    logic [IDS-1:0]                 came_all, tells;
    // The burst on offer.
    logic                           fresh, ar_take;
    logic [1:0]                     ar_unit;
    logic [CNT_W-1:0]               ar_beats, ar_asked, ar_len;
    logic [ID_W:0]                  waited;       // IDs waited for
    logic [2:0]                     idle_q;       // cycles in which a burst could be asked for and is not
    logic [PLACES-1:0][2:0]         late_q;       // cycles since its last beat came
    logic                           lost;

    assign head     = (open_q[first_q] && !asked_q[first_q] && !(line_valid && line_place == first_q)) ? first_q : !first_q;
    assign fresh    = m_axi_arvalid && !owed_q[m_axi_arid];
    assign ar_take  = m_axi_arvalid && m_axi_arready;
    assign ar_unit  = fresh ? unit_q[head] : of_unit_q[m_axi_arid];
    assign ar_beats = fresh ? beats_q[head] : of_beats_q[m_axi_arid];
    assign ar_asked = fresh ? '0 : of_asked_q[m_axi_arid];
    assign ar_len   = CNT_W'(m_axi_arlen) + 1'b1;
    assign lost     = line_valid && (tells & came_all) == '0;

    always_comb begin
        waited = '0;
        for (int unsigned i = 0; i < IDS; i++) begin
            came_all[i] = of_came_q[i] == of_beats_q[i];
            tells[i]    = line_valid && alive_q[i] && place_q[i] == line_place;
            waited      = waited + (ID_W + 1)'(alive_q[i]);
        end
        for (int unsigned p = 0; p < PLACES; p++) wants[p] = open_q[p] && !asked_q[p];
    end

    always_ff @(posedge clk) begin
        for (int unsigned i = 0; i < IDS; i++) begin
            if (fresh && m_axi_arid == ID_W'(i)) begin
                place_q[i]    <= head;
                of_unit_q[i]  <= unit_q[head];
                of_beats_q[i] <= beats_q[head];
                of_came_q[i]  <= '0;
                of_asked_q[i] <= m_axi_arready ? ar_len : '0;
            end else begin
                if (ar_take && m_axi_arid == ID_W'(i)) of_asked_q[i] <= of_asked_q[i] + ar_len;
                if (m_axi_rvalid && m_axi_rid == ID_W'(i)) of_came_q[i] <= of_came_q[i] + 1'b1;
            end
            if (rst) begin
                owed_q[i]  <= 1'b0;
                alive_q[i] <= 1'b0;
            end else begin
                if (fresh && m_axi_arid == ID_W'(i)) owed_q[i] <= 1'b1;
                else if (m_axi_rvalid && m_axi_rid == ID_W'(i) && of_came_q[i] + 1'b1 == of_beats_q[i]) owed_q[i] <= 1'b0;
                if (fresh && m_axi_arid == ID_W'(i)) alive_q[i] <= 1'b1;
                else if (tells[i]) alive_q[i] <= 1'b0;
            end
        end
        for (int unsigned p = 0; p < PLACES; p++) begin
            if (req_valid && 32'(req_place) == p) begin
                unit_q[p]  <= req_unit;
                beats_q[p] <= CNT_W'(req_beats_m1) + 1'b1;
                first_q    <= (open_q[!req_place] && !(line_valid && line_place == !req_place)) ? !req_place : req_place;
            end
            if (line_valid && 32'(line_place) == p) lost_q[p] <= lost;
            if (rst) begin
                open_q[p]  <= 1'b0;
                told_q[p]  <= 1'b0;
                asked_q[p] <= 1'b0;
            end else begin
                if (req_valid && 32'(req_place) == p) begin
                    open_q[p]  <= 1'b1;
                    told_q[p]  <= 1'b0;
                    asked_q[p] <= 1'b0;
                end else begin
                    if (line_valid && 32'(line_place) == p) begin
                        open_q[p] <= 1'b0;
                        told_q[p] <= 1'b1;
                    end
                    if (fresh && 32'(head) == p) asked_q[p] <= 1'b1;
                end
            end
        end
        idle_q <= (rst || m_axi_arvalid || wants == '0 || 32'(waited) == FETCHES) ? '0 : idle_q + 1'b1;
    end

    `EMBNIC_ASSUME(free_place, !(req_valid && (open_q[req_place] || sts_clearing)), "a place is asked for again when its line was told")
    `EMBNIC_ASSUME(owed, !m_axi_rvalid || (owed_q[m_axi_rid] && of_came_q[m_axi_rid] != of_asked_q[m_axi_rid]),
        "memory answers what it was asked, not more")
    `EMBNIC_ASSUME(last_said, !m_axi_rvalid || m_axi_rlast == (of_came_q[m_axi_rid] + 1'b1 == of_beats_q[m_axi_rid]
        || (of_came_q[m_axi_rid] + 1'b1) % CNT_W'(MAX_BURST) == '0), "the last beat of a burst says so")

    `EMBNIC_ASSERT(asks_open, !fresh || (open_q[head] && !asked_q[head]), "what is asked for is the oldest request not asked for")
    `EMBNIC_ASSERT(asks_once, !m_axi_arvalid || (ar_asked + ar_len <= ar_beats && 32'(m_axi_arlen) < MAX_BURST),
        "no beat is asked for twice or in vain")
    `EMBNIC_ASSERT(right_address, !m_axi_arvalid || m_axi_araddr == ADDR_W'({ar_unit, 6'd0}) + ADDR_W'({ar_asked, 4'd0}),
        "bursts follow each other")
    `EMBNIC_ASSERT(told_once, !line_valid || open_q[line_place], "a line is told once")
    if (!TIMEOUT) begin : gen_patient
        `EMBNIC_NEVER(given_up, lost || sts_quarantine != '0 || evt_timeout || evt_late, "a line is told when all its beats came")
        `EMBNIC_NEVER(stalls, idle_q > 3'd2, "a request that may go is at the channel within 3 cycles")
    end else begin : gen_timeout
        // Epochs that turned since a place was asked for.
        logic [PLACES-1:0][2:0] age_q;
        logic                   turned;

        assign turned = turn && 32'(epoch_age_q) >= EPOCH_CYCLES - 1;

        for (genvar p = 0; p < int'(PLACES); p++) begin : gen_age
            always_ff @(posedge clk) begin
                if (rst || (req_valid && 32'(req_place) == p)) age_q[p] <= '0;
                else if (turned && age_q[p] != '1) age_q[p] <= age_q[p] + 1'b1;
            end
        end
        `EMBNIC_NEVER(impatient, lost && asked_q[line_place] && age_q[line_place] < 3'd2, "a line is waited for until two epochs ended")
        `EMBNIC_COVER(late_comes, evt_late && told_q != '0, "the last beat of a line given up comes")
        `EMBNIC_COVER(unasked, lost && !asked_q[line_place], "a line is given up that memory was not asked for")
    end
    `EMBNIC_ASSERT(few_enough, 32'(waited) <= FETCHES, "at most FETCHES lines are waited for")

    for (genvar p = 0; p < int'(PLACES); p++) begin : gen_late
        logic complete;

        always_comb begin
            complete = 1'b0;
            for (int unsigned i = 0; i < IDS; i++) begin
                if (alive_q[i] && 32'(place_q[i]) == p && came_all[i]) complete = 1'b1;
            end
        end

        always_ff @(posedge clk) late_q[p] <= (complete && !rst) ? late_q[p] + 1'b1 : '0;
        `EMBNIC_NEVER(told_late, late_q[p] > 3'd3, "a line is told 3 cycles after its last beat came")
    end

    // The followed beat: what memory answered, and what the buffer gives once the line was told.
    logic            mine;
    logic [2:0]      beat_q;
    logic            watched_q;
    logic [LB_W-1:0] index_q;
    logic [1:0]      read_q, failed_q;

    assign mine = m_axi_rvalid && alive_q[m_axi_rid] && place_q[m_axi_rid] == probe_place && of_came_q[m_axi_rid] == CNT_W'(probe_beat);

    always_ff @(posedge clk) begin
        watched_q <= probe_place;
        index_q   <= probe_beat;
        if (mine) beat_q <= {slverr, data};
        read_q   <= {read_q[0] && !rst, rd_en && !rst && told_q[probe_place] && CNT_W'(probe_beat) < beats_q[probe_place]};
        failed_q <= {failed_q[0], lost_q[probe_place]};
    end

    `EMBNIC_ASSUME(one_probe, !fv_started_q || (probe_place == watched_q && probe_beat == index_q), "one beat is followed")
    `EMBNIC_ASSERT(right_data, !read_q[1] || failed_q[1] || {rd_data[128], rd_data[1:0]} == beat_q, "the buffer gives what memory answered")
    `EMBNIC_ASSERT(error_shown, !(read_q[1] && failed_q[1]) || rd_data[128], "a line given up reads as errors")

    `EMBNIC_COVER(told_beside, line_valid && open_q == '1, "a line is told while another is waited for")
    `EMBNIC_COVER(error_read, read_q[1] && rd_data[128] && index_q == '1, "the last beat of a line is read with its error")
endmodule
`default_nettype wire
