// SPDX-License-Identifier: Apache-2.0
// Holds looked-up operations until they may go: in order within a slot and within a line, and past
// each other otherwise.
//
// Every slot has a ring of DEPTH / SLOTS places. Its oldest operation is ready when its line has
// come (a miss) or at once (all others). Ready slots take turns; the operation chosen is read and
// checked against its line (embnic_cache_order). It passes, or its slot sleeps until the count it
// lacks is reached. So a slot that waits for memory, or for another slot's line, holds up nobody.
//
// A slot may be chosen again before its registers show the choice or the failed check before it, and
// two of its operations may be under way at once. What should not have been chosen is taken back in
// P0: an operation right behind the one in P1, or one behind a failed check.
//
// Order          within a slot as entered; within a line see embnic_cache_order.
// Back-pressure  none on entering: whoever sends owns a place of the slot for each operation.
// Latency        3 cycles from entering to tvalid for an operation that finds its slot quiet and is
//                no miss (it goes round the ring); 8 cycles through the ring.
// Throughput     one operation per cycle; a slot alone one in 3 cycles, when its operations need
//                not keep the distance on the accumulator.
//
//   elig | pick | P0 read ring | P1 read counts | P2 check | P3 sleep, or to exec
`default_nettype none
`include "embnic_assert.svh"
module embnic_cache_sched
    import embnic_pkg::*;
    import embnic_cache_pkg::*;
#(
    parameter int unsigned LINES = 4096, // of the cache
    parameter int unsigned SLOTS = 32,   // open bags; power of two, 2 .. 64
    parameter int unsigned DEPTH = 512,  // places; power of two, 2 * SLOTS .. 2,048
    localparam int unsigned ID_W = $clog2(DEPTH)
) (
    input  wire logic                       clk,
    input  wire logic                       rst,
    input  wire logic                       enter_valid,
    input  wire logic [$bits(lookup_t)-1:0] enter_data,      // lookup_t; place and stamps are set here
    input  wire logic                       enter_quiet,     // nothing older of its slot is in the cache
    input  wire logic [SLOT_W-1:0]          next_slot,       // of the operation that enters in the next cycle, if one does
    output      logic [ID_W-1:0]            enter_place,     // where it lies
    input  wire logic                       line_valid,      // the line of the operation at line_place has come
    input  wire logic [ID_W-1:0]            line_place,
    output      logic [$bits(lookup_t)-1:0] m_axis_lookup_tdata,
    output      logic                       m_axis_lookup_tvalid,
    input  wire logic                       m_axis_lookup_tready,
    input  wire logic                       started_valid,   // an operation of this slot gave its first beat
    input  wire logic [SLOT_W-1:0]          started_slot,
    input  wire logic                       filled_valid,    // see embnic_cache_order
    input  wire logic [LINE_W-1:0]          filled_line,
    input  wire logic [STAMP_W-1:0]         filled_fills,
    input  wire logic [SLOTS-1:0]           slot_near,       // a row chosen now would not wait for the accumulator
    input  wire logic [SLOTS-1:0]           slot_blocked,    // a row may not yet be given in this slot
    output      logic                       sts_clearing,
    output      logic                       sts_distance,    // registered, for counting: some operation waits for an accumulator
    output      logic                       sts_moving,      // some operation is between its choice and the output
    output      logic                       sts_waiting,     // some operation waits for memory or for its line
    output      logic                       evt_join         // a read entered whose line is not filled yet
);
    if (SLOTS < 2 || SLOTS > (1 << SLOT_W) || (SLOTS & (SLOTS - 1)) != 0) begin : gen_bad_slots
        $fatal(1, "SLOTS must be a power of two, 2 to 64");
    end
    if (DEPTH < 2 * SLOTS || DEPTH > (1 << PLACE_W) || (DEPTH & (DEPTH - 1)) != 0) begin : gen_bad_depth
        $fatal(1, "DEPTH must be a power of two, at least two places a slot, at most 2,048");
    end

    localparam int unsigned IDX_W  = $clog2(SLOTS);
    localparam int unsigned POS_W  = $clog2(DEPTH / SLOTS);
    localparam int unsigned PLACES = DEPTH / SLOTS;
    localparam int unsigned QUEUE  = 16;  // operations that passed and wait for the output
    localparam int unsigned LIMIT  = 10;  // operations from choice to output: covers the way there at one a cycle
    localparam int unsigned MOVE_W  = $clog2(QUEUE + 1);

    // Reads a line of the data RAM or fills one: waits for its turn there.
    function automatic logic has_line(input logic load, input logic flush, input logic miss, input logic fill);
        has_line = !load && !flush && (!miss || fill);
    endfunction

    typedef logic [IDX_W-1:0] slot_t;
    typedef logic [POS_W:0]   pos_t;     // one wrap bit more than a position

    // -----------------------------------------------------------------------------------------------
    // Enter. The place is given at once (the fetch needs it), the stamp comes a cycle later, and then
    // the operation is written.
    // -----------------------------------------------------------------------------------------------
    lookup_t                     enter, e1_q, e1_full;
    slot_t                       enter_slot, e1_slot_q;
    pos_t                        enter_pos_q, e1_pos_q;
    logic                        e1_valid_q, e1_bypass_q, bypass;
    logic [SLOTS-1:0][POS_W:0]   alloc_q;  // next place to be given
    logic [SLOTS-1:0][POS_W:0]   tail_q;   // next place to be written: what lies before it can be chosen
    logic [SLOTS-1:0][POS_W:0]   head_q;   // next place to be chosen
    logic [STAMP_W-1:0]          stamp_fills, stamp_reads;
    logic                        stamp_joins;

    assign enter       = lookup_t'(enter_data);
    assign enter_slot  = slot_t'(enter.slot);
    assign enter_place = {enter_slot, enter_pos_q[POS_W-1:0]};

    always_comb begin
        e1_full       = e1_q;
        e1_full.place = PLACE_W'({e1_slot_q, e1_pos_q[POS_W-1:0]});
        e1_full.fills = stamp_fills;
        e1_full.reads = stamp_reads;
    end

    always_ff @(posedge clk) begin
        e1_q      <= enter;
        e1_slot_q <= enter_slot;
        e1_pos_q  <= enter_pos_q;
        if (rst) begin
            alloc_q     <= '0;
            enter_pos_q <= '0;
            tail_q      <= '0;
            e1_valid_q  <= 1'b0;
            e1_bypass_q <= 1'b0;
            evt_join    <= 1'b0;
        end else begin
            e1_valid_q  <= enter_valid;
            evt_join    <= e1_valid_q && !e1_q.load && !e1_q.flush && !e1_q.miss && !e1_q.silent && stamp_joins;
            e1_bypass_q <= bypass;
            if (enter_valid) alloc_q[enter_slot] <= enter_pos_q + 1'b1;
            enter_pos_q <= (enter_valid && enter_slot == slot_t'(next_slot)) ? enter_pos_q + 1'b1
                                                                             : alloc_q[slot_t'(next_slot)];
            if (e1_valid_q) tail_q[e1_slot_q] <= e1_pos_q + 1'b1;
        end
    end

    // What the choice needs to know of a slot's oldest operation, as of the cycle: the registers of head_d. An
    // operation waits for a line while `asked` and `come` of its place differ: entering sets `asked`, its line `come`.
    // There are two copies of `come`; a reset clears both, so that they agree.
    // They lie in small RAMs, a slot each, which are read at the place that is the oldest in the next cycle; what is
    // written to that place meanwhile goes round them.
    logic [SLOTS-1:0][POS_W:0] head_d;
    logic [SLOTS-1:0]          head_ready;  // no line is waited for
    logic [SLOTS-1:0]          head_wait;   // keeps the distance on the accumulator

    // A row behind one that takes nearly as many beats as the distance keeps it by itself: it is chosen
    // at once, and exec waits for the rest.
    localparam int unsigned NEARLY = 3;
    logic [SLOTS-1:0]  flows_q;             // so long was the last row entered
    logic [BEAT_W-1:0] e1_last_beat, e1_flows;

    assign e1_last_beat   = e1_q.beat_base + e1_q.beats_m1;
    assign e1_flows     = (!e1_q.load && !e1_q.flush && keeps_long(dtype_quantised(e1_q.dtype), e1_q.pooling, e1_q.bank))
        ? BEAT_W'(ACC_LOOP_LONG_CYCLES - 1 - NEARLY) : BEAT_W'(ACC_LOOP_CYCLES - 1 - NEARLY);

    always_ff @(posedge clk) begin
        if (e1_valid_q && e1_q.last_seg) flows_q[e1_slot_q] <= e1_last_beat >= e1_flows;
    end

    logic            come_before;   // of the place that was entered: what to differ from
    logic            line_asked;    // of the line that has come
    logic            e1_asked, e1_wait, line_valid_q, e2_miss_q, e2_wait_q;
    logic [ID_W-1:0] e1_place, line_place_q;
    logic            come_clearing_q, come_wr, come_data;
    logic [ID_W-1:0] come_clear_q, come_place;

    assign e1_place = {e1_slot_q, e1_pos_q[POS_W-1:0]};
    assign e1_asked = come_before ^ e1_q.miss;
    assign e1_wait  = e1_q.wait_slot && !flows_q[e1_slot_q];

    always_ff @(posedge clk) begin
        line_place_q <= line_place;
        e2_miss_q    <= e1_q.miss;
        e2_wait_q    <= e1_wait;
        if (rst) begin
            line_valid_q    <= 1'b0;
            come_clearing_q <= 1'b1;
            come_clear_q    <= '0;
        end else begin
            line_valid_q <= line_valid;
            if (come_clearing_q) begin
                come_clear_q    <= come_clear_q + 1'b1;
                come_clearing_q <= come_clear_q != '1;
            end
        end
    end

    assign come_wr    = come_clearing_q || line_valid_q;
    assign come_place = come_clearing_q ? come_clear_q : line_place_q;
    assign come_data  = !come_clearing_q && line_asked;

    embnic_ram_1r1w #(.WIDTH(1), .DEPTH(DEPTH), .STYLE(1)) u_asked_line (
        .clk,
        .wr_en(e1_valid_q), .wr_addr(e1_place), .wr_data(e1_asked),
        .rd_en(1'b1), .rd_addr(line_place), .rd_data(line_asked)
    );
    embnic_ram_1r1w #(.WIDTH(1), .DEPTH(DEPTH), .STYLE(1)) u_come_enter (
        .clk,
        .wr_en(come_wr), .wr_addr(come_place), .wr_data(come_data),
        .rd_en(1'b1), .rd_addr(enter_place), .rd_data(come_before)
    );

    for (genvar s = 0; s < int'(SLOTS); s++) begin : gen_oldest
        logic asked, come, waits, entered_q, came_q;

        embnic_ram_1r1w #(.WIDTH(2), .DEPTH(PLACES), .STYLE(1)) u_asked (
            .clk,
            .wr_en(e1_valid_q && e1_slot_q == slot_t'(s)), .wr_addr(e1_pos_q[POS_W-1:0]), .wr_data({e1_asked, e1_wait}),
            .rd_en(1'b1), .rd_addr(head_d[s][POS_W-1:0]), .rd_data({asked, waits})
        );
        embnic_ram_1r1w #(.WIDTH(1), .DEPTH(PLACES), .STYLE(1)) u_come (
            .clk,
            .wr_en(come_wr && come_place[ID_W-1:POS_W] == slot_t'(s)), .wr_addr(come_place[POS_W-1:0]), .wr_data(come_data),
            .rd_en(1'b1), .rd_addr(head_d[s][POS_W-1:0]), .rd_data(come)
        );

        always_ff @(posedge clk) begin
            entered_q <= e1_valid_q && e1_place == {slot_t'(s), head_d[s][POS_W-1:0]};
            came_q    <= (line_valid && line_place == {slot_t'(s), head_d[s][POS_W-1:0]})
                || (line_valid_q && line_place_q == {slot_t'(s), head_d[s][POS_W-1:0]});
        end

        assign head_ready[s] = entered_q ? !e2_miss_q : (asked == come) || came_q;
        assign head_wait[s]  = entered_q ? e2_wait_q : waits;
    end

    // -----------------------------------------------------------------------------------------------
    // Pick: slots take turns. A slot that is in P0, or that is just told to sleep in P3, is not
    // runnable in the next cycle: its registers do not show it yet.
    // -----------------------------------------------------------------------------------------------
    logic              p0_valid_q, p0_go;
    slot_t             p0_slot_q;
    logic              p3_fail_q, p4_fail_q;
    slot_t             p3_slot_q, p4_slot_q;
    logic [SLOTS-1:0]  asleep_q, leave_out, present, awake, held, runnable_q;
    logic [SLOTS-1:0][MOVE_W-1:0] infl_q, infl_d;  // operations of the slot chosen that have not given a beat
    logic              pick, pick_any, room;
    slot_t             pick_slot;

    always_comb begin
        for (int unsigned s = 0; s < SLOTS; s++) begin
            leave_out[s] = (p0_valid_q && p0_slot_q == slot_t'(s)) || (p3_fail_q && p3_slot_q == slot_t'(s));
            present[s]   = head_q[s] != tail_q[s];
            awake[s]     = present[s] && head_ready[s] && !asleep_q[s];
            held[s]      = head_wait[s] && !(slot_near[s] && infl_q[s] == '0);
        end
    end

    assign pick = pick_any && room;
    logic unused_mark;

    embnic_rr_arbiter #(.N(SLOTS)) u_pick (
        .clk, .rst,
        .req        (runnable_q),
        .mark       ('0),
        .take       (pick),
        .grant_valid(pick_any),
        .grant_idx  (pick_slot),
        .grant_mark (unused_mark)
    );

    // -----------------------------------------------------------------------------------------------
    // P0, P1: read the ring, then the counts of the line. An operation that goes round the ring joins
    // in P2, when P1 has none.
    // -----------------------------------------------------------------------------------------------
    lookup_t                    p1_op, p2_q, p2_full;
    logic [$bits(lookup_t)-1:0] p1_data;
    logic                       p1_valid_q, p2_valid_q, p2_bypass_q;
    pos_t                       p0_pos, p1_pos_q, p2_pos_q, p3_pos_q;
    slot_t                      p1_slot_q, p2_slot_q;

    assign p0_go  = p0_valid_q && !(p1_valid_q && p1_slot_q == p0_slot_q)
        && !(p3_fail_q && p3_slot_q == p0_slot_q) && !(p4_fail_q && p4_slot_q == p0_slot_q);
    assign p0_pos = head_q[p0_slot_q];
    assign bypass = enter_valid && enter_quiet && !enter.miss && !p1_valid_q && room;

    embnic_ram_1r1w #(.WIDTH($bits(lookup_t)), .DEPTH(DEPTH), .STYLE(2)) u_ring (
        .clk,
        .wr_en  (e1_valid_q),
        .wr_addr({e1_slot_q, e1_pos_q[POS_W-1:0]}),
        .wr_data(e1_full),
        .rd_en  (p0_go),
        .rd_addr({p0_slot_q, p0_pos[POS_W-1:0]}),
        .rd_data(p1_data)
    );

    assign p1_op = lookup_t'(p1_data);

    always_ff @(posedge clk) begin
        p0_slot_q   <= pick_slot;
        p1_slot_q   <= p0_slot_q;
        p1_pos_q    <= p0_pos;
        p2_q        <= p1_valid_q ? p1_op : enter;
        p2_slot_q   <= p1_valid_q ? p1_slot_q : enter_slot;
        p2_pos_q    <= p1_valid_q ? p1_pos_q : enter_pos_q;
        p2_bypass_q <= !p1_valid_q;
        if (rst) begin
            p0_valid_q <= 1'b0;
            p1_valid_q <= 1'b0;
            p2_valid_q <= 1'b0;
        end else begin
            p0_valid_q <= pick;
            p1_valid_q <= p0_go;
            p2_valid_q <= p1_valid_q || bypass;
        end
    end

    // -----------------------------------------------------------------------------------------------
    // P2: check
    // -----------------------------------------------------------------------------------------------
    logic               p2_row, p2_pass, check_pass, lacks_fills;
    logic               wake_read_valid, wake_fill_valid;
    logic [LINE_W-1:0]  wake_read_line, wake_fill_line;
    logic [STAMP_W-1:0] wake_read_count, wake_fill_count;

    assign p2_full = p2_bypass_q ? e1_full : p2_q;
    assign p2_row  = has_line(p2_q.load, p2_q.flush, p2_q.miss, p2_q.fill);
    assign p2_pass = p2_valid_q && (check_pass || !p2_row);

    logic order_clearing;

    assign sts_clearing = order_clearing || come_clearing_q;

    embnic_cache_order #(.LINES(LINES), .PLACES(DEPTH)) u_order (
        .clk, .rst,
        .issue_valid      (enter_valid && has_line(enter.load, enter.flush, enter.miss, enter.fill)),
        .issue_line       (enter.line),
        .issue_fill       (enter.miss),
        .stamp_fills, .stamp_reads, .stamp_joins,
        .check_line       (p1_valid_q ? p1_op.line : enter.line),
        .check_valid      (p2_valid_q && p2_row),
        .check_fill       (p2_q.miss),
        .check_fills      (p2_full.fills),
        .check_reads      (p2_full.reads),
        .check_pass,
        .check_lacks_fills(lacks_fills),
        .filled_valid, .filled_line, .filled_fills,
        .wake_read_valid, .wake_read_line, .wake_read_count,
        .wake_fill_valid, .wake_fill_line, .wake_fill_count,
        .sts_clearing(order_clearing)
    );

    lookup_t p3_q;
    logic    p3_pass_q, queue_ready;

    embnic_cache_queue #(.WIDTH($bits(lookup_t)), .DEPTH(QUEUE), .STYLE(1)) u_passed (
        .clk, .rst,
        .s_axis_tdata (p3_q),
        .s_axis_tvalid(p3_pass_q),
        .s_axis_tready(queue_ready),
        .m_axis_tdata (m_axis_lookup_tdata),
        .m_axis_tvalid(m_axis_lookup_tvalid),
        .m_axis_tready(m_axis_lookup_tready)
    );

    // -----------------------------------------------------------------------------------------------
    // P3: sleep. What a slot lacks is one exact count of one line.
    // -----------------------------------------------------------------------------------------------
    logic [LINE_W-1:0]              p3_line_q;
    logic                           p3_on_fills_q;
    logic [STAMP_W-1:0]             p3_count_q;
    logic [SLOTS-1:0][LINE_W-1:0]   sleep_line_q;
    logic [SLOTS-1:0]               sleep_on_fills_q, woken;
    logic [SLOTS-1:0][STAMP_W-1:0]  sleep_count_q;

    always_comb begin
        for (int unsigned s = 0; s < SLOTS; s++) begin
            woken[s] = sleep_on_fills_q[s]
                ? wake_fill_valid && {wake_fill_line, wake_fill_count} == {sleep_line_q[s], sleep_count_q[s]}
                : wake_read_valid && {wake_read_line, wake_read_count} == {sleep_line_q[s], sleep_count_q[s]};
        end
    end

    always_ff @(posedge clk) begin
        p3_q          <= p2_full;
        p3_slot_q     <= p2_slot_q;
        p4_slot_q     <= p3_slot_q;
        p3_pos_q      <= p2_pos_q;
        p3_line_q     <= p2_q.line;
        p3_on_fills_q <= lacks_fills;
        p3_count_q    <= lacks_fills ? p2_full.fills : p2_full.reads;
        if (p3_fail_q) begin
            sleep_line_q[p3_slot_q]     <= p3_line_q;
            sleep_on_fills_q[p3_slot_q] <= p3_on_fills_q;
            sleep_count_q[p3_slot_q]    <= p3_count_q;
        end
        if (rst) begin
            p3_pass_q <= 1'b0;
            p3_fail_q <= 1'b0;
            p4_fail_q <= 1'b0;
            asleep_q  <= '0;
        end else begin
            p3_pass_q <= p2_pass;
            p3_fail_q <= p2_valid_q && !p2_pass;
            p4_fail_q <= p3_fail_q;
            for (int unsigned s = 0; s < SLOTS; s++) begin
                if (p3_fail_q && p3_slot_q == slot_t'(s)) asleep_q[s] <= 1'b1;
                else if (woken[s]) asleep_q[s] <= 1'b0;
            end
        end
    end

    // -----------------------------------------------------------------------------------------------
    // What a choice moves, and what a failed check moves back
    // -----------------------------------------------------------------------------------------------
    logic [MOVE_W-1:0] cnt_q;  // operations from P0 to output; two cycles of choices are not in it yet
    logic             taken_q;
    logic [SLOTS-1:0] goes, due, due_q, waiting_q;

    assign room  = cnt_q < MOVE_W'(LIMIT);

    always_comb begin
        for (int unsigned s = 0; s < SLOTS; s++) begin
            goes[s]   = (p0_go && p0_slot_q == slot_t'(s)) || (e1_bypass_q && e1_slot_q == slot_t'(s));
            infl_d[s] = infl_q[s] + MOVE_W'(goes[s])
                - MOVE_W'(started_valid && slot_t'(started_slot) == slot_t'(s))
                - MOVE_W'(p3_fail_q && p3_slot_q == slot_t'(s));
            head_d[s] = head_q[s];
            if (p3_fail_q && p3_slot_q == slot_t'(s)) head_d[s] = p3_pos_q;
            else if (goes[s]) head_d[s] = head_q[s] + 1'b1;
            due[s]    = slot_blocked[s] && ((awake[s] && held[s]) || infl_q[s] != '0);
        end
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            head_q       <= '0;
            infl_q       <= '0;
            cnt_q        <= '0;
            taken_q      <= 1'b0;
            runnable_q   <= '0;
            due_q        <= '0;
            waiting_q    <= '0;
            sts_distance <= 1'b0;
            sts_moving   <= 1'b0;
            sts_waiting  <= 1'b0;
        end else begin
            head_q       <= head_d;
            infl_q       <= infl_d;
            taken_q      <= m_axis_lookup_tvalid && m_axis_lookup_tready;
            cnt_q        <= cnt_q + MOVE_W'(p0_go) + MOVE_W'(e1_bypass_q) - MOVE_W'(p3_fail_q) - MOVE_W'(taken_q);
            runnable_q   <= awake & ~held & ~leave_out;
            due_q        <= due;
            waiting_q    <= present & ~awake;
            sts_distance <= due_q != '0;
            sts_moving   <= runnable_q != '0 || p0_valid_q || p1_valid_q || p2_valid_q || p3_pass_q;
            sts_waiting  <= waiting_q != '0;
        end
    end

    // Bits of slots beyond SLOTS.
    wire unused = &{1'b0, started_slot, next_slot, e1_q, p2_q};

    // Assertions
    for (genvar s = 0; s < int'(SLOTS); s++) begin : gen_assert
        `EMBNIC_NEVER(ring_overflow, pos_t'(alloc_q[s] - head_q[s]) > pos_t'(PLACES),
            "whoever sends owns a place for each operation")
        `EMBNIC_NEVER(passed_written, pos_t'(tail_q[s] - head_q[s]) > pos_t'(PLACES),
            "only what was written is chosen")
    end
    `EMBNIC_ASSERT(queue_room, !p3_pass_q || queue_ready, "what passes finds room")
    `EMBNIC_NEVER(count_over, cnt_q > MOVE_W'(LIMIT + 4), "no more operations than LIMIT, and those of two cycles")
    `EMBNIC_ASSUME(told_ahead, !enter_valid || enter_pos_q == alloc_q[enter_slot],
        "the slot of what enters was named a cycle ahead")
    `EMBNIC_ASSUME(quiet_true, !(enter_valid && enter_quiet) ||
        (alloc_q[enter_slot] == head_q[enter_slot] && infl_q[enter_slot] == '0),
        "a quiet slot has nothing in the cache")
    `EMBNIC_KNOWN(valid_known, m_axis_lookup_tvalid, "tvalid is known after reset")
    `EMBNIC_COVER(taken_back, p0_valid_q && !p0_go, "a younger operation of the slot is taken back")
    `EMBNIC_COVER(went_round, bypass, "an operation goes round the ring")
    `EMBNIC_COVER(bypass_fails, p3_fail_q && e1_valid_q, "a check fails while another operation is written")
    `EMBNIC_COVER(full, !room, "the way to the output is full")
endmodule
`default_nettype wire
