// SPDX-License-Identifier: Apache-2.0
// embnic_cache_sched: every operation leaves once, as it entered, in the order of its slot; a read leaves behind exactly the
// fill it was looked up behind, a fill behind all older reads of its line; the oldest operation waits for memory only.
//
// The model keeps, for every place, the operation and three sets of older operations: fills and reads of its line, and all.
// Weights name operations. Rows have one beat; only the fields that the module looks at are not zero. A miss that is not
// kept has no line: it waits for its beats and for nobody's turn.
`default_nettype none
`include "embnic_fv.svh"
module embnic_cache_sched_fv
    import embnic_pkg::*;
    import embnic_wire_pkg::*;
    import embnic_cache_pkg::*;
#(
    parameter int unsigned LINES = 2,
    parameter int unsigned SLOTS = 2,
    parameter int unsigned DEPTH = 4,
    parameter int unsigned WAIT  = 16,  // cycles within which the oldest operation leaves
    localparam int unsigned ID_W = $clog2(DEPTH),
    localparam int unsigned S_W  = $clog2(SLOTS),
    localparam int unsigned L_W  = $clog2(LINES)
) (
    input wire logic             clk,
    input wire logic             rst,
    input wire logic             enter_valid,
    input wire logic             enter_quiet,
    input wire logic [S_W-1:0]   slot,
    input wire logic [S_W-1:0]   next_slot,
    input wire logic [L_W-1:0]   line,
    input wire logic             miss,
    input wire logic             keep,         // a miss fills its line
    input wire logic             load,         // neither of them reads nor fills a line
    input wire logic             flush,
    input wire logic             wait_slot,
    input wire logic             name,
    input wire logic             line_valid,
    input wire logic [ID_W-1:0]  line_place,
    input wire logic             m_axis_lookup_tready,
    input wire logic             started_valid,
    input wire logic [S_W-1:0]   started_slot,
    input wire logic             filled_valid,
    input wire logic [ID_W-1:0]  filled_place,
    input wire logic [SLOTS-1:0] slot_near,
    input wire logic [SLOTS-1:0] slot_blocked
);
    `EMBNIC_FV_RESET

    localparam int unsigned POS_W = ID_W - S_W;

    typedef logic [DEPTH-1:0] set_t;

    typedef struct packed {
        logic           row;        // has a line: reads it or fills it
        logic           miss;
        logic           fill;
        logic [L_W-1:0] line;
        logic           wait_slot;
        logic           name;
    } op_t;

    lookup_t            entering, leaving;
    logic [ID_W-1:0]    enter_place, place;
    logic               m_axis_lookup_tvalid, sts_clearing, sts_distance, sts_moving, sts_waiting, evt_join, leave;
    op_t                op;
    op_t [DEPTH-1:0]    op_q;
    logic [DEPTH-1:0][STAMP_W-1:0] stamp_q;              // of a fill that left
    set_t               open_q, left_q, come_q, new_q;   // in the module or not filled yet; only that; its beats have come; entered in the last cycle
    set_t [DEPTH-1:0]   older_fills_q, older_reads_q, older_q;
    set_t               enters, leaves, done, same_line, fills, reads;
    logic [SLOTS-1:0][POS_W-1:0] next_q;                 // position that leaves next
    logic [SLOTS-1:0][ID_W:0]    owed_q;                 // operations that left and did not give a beat
    logic [SLOTS-1:0]            begun_q;                // something entered since the reset

    always_comb begin
        op.miss            = miss && !load && !flush;
        op.fill            = op.miss && keep;
        op.row             = !load && !flush && (!op.miss || keep);
        op.line            = line;
        op.wait_slot       = wait_slot;
        op.name            = name;
        entering           = '0;
        entering.slot      = SLOT_W'(slot);
        entering.line      = LINE_W'(line);
        entering.miss      = op.miss;
        entering.fill      = op.fill;
        entering.load      = load;
        entering.flush     = flush;
        entering.wait_slot = wait_slot;
        entering.last_seg  = 1'b1;
        entering.weight    = 32'(name);
    end

    embnic_cache_sched #(.LINES(LINES), .SLOTS(SLOTS), .DEPTH(DEPTH)) u_dut (
        .clk, .rst, .enter_valid,
        .enter_data  (entering),
        .enter_quiet, .next_slot(SLOT_W'(next_slot)), .enter_place, .line_valid, .line_place,
        .m_axis_lookup_tdata(leaving),
        .m_axis_lookup_tvalid, .m_axis_lookup_tready, .started_valid,
        .started_slot(SLOT_W'(started_slot)),
        .filled_valid,
        .filled_line (LINE_W'(op_q[filled_place].line)),
        .filled_fills(stamp_q[filled_place]),
        .slot_near, .slot_blocked, .sts_clearing, .sts_distance, .sts_moving, .sts_waiting, .evt_join
    );

    assign leave = m_axis_lookup_tvalid && m_axis_lookup_tready;
    assign place = leaving.place[ID_W-1:0];

    always_comb begin
        for (int unsigned p = 0; p < DEPTH; p++) begin
            enters[p]    = enter_valid && enter_place == ID_W'(p);
            leaves[p]    = leave && place == ID_W'(p);
            done[p]      = (leaves[p] && !op_q[p].fill) || (filled_valid && filled_place == ID_W'(p));
            same_line[p] = open_q[p] && op_q[p].row && op_q[p].line == line;
            fills[p]     = op_q[p].fill;
            reads[p]     = op_q[p].row && !op_q[p].fill;
        end
    end

    always_ff @(posedge clk) begin
        for (int unsigned p = 0; p < DEPTH; p++) begin
            older_fills_q[p] <= older_fills_q[p] & ~done;
            older_reads_q[p] <= older_reads_q[p] & ~done;
            older_q[p]       <= older_q[p] & ~done;
            if (leaves[p]) stamp_q[p] <= leaving.fills;
            if (enters[p]) begin
                op_q[p]          <= op;
                older_fills_q[p] <= op.row ? same_line & fills & ~done : '0;
                older_reads_q[p] <= op.fill ? same_line & reads & ~done : '0;
                older_q[p]       <= open_q & ~done;
            end
            if (rst) begin
                open_q[p] <= 1'b0;
                left_q[p] <= 1'b0;
                come_q[p] <= 1'b0;
                new_q[p]  <= 1'b0;
            end else begin
                open_q[p] <= (open_q[p] && !done[p]) || enters[p];
                left_q[p] <= (left_q[p] && !done[p]) || (leaves[p] && op_q[p].fill);
                come_q[p] <= (come_q[p] && !enters[p]) || (line_valid && line_place == ID_W'(p));
                new_q[p]  <= enters[p];
            end
        end
        for (int unsigned s = 0; s < SLOTS; s++) begin
            if (rst) begin
                next_q[s]  <= '0;
                owed_q[s]  <= '0;
                begun_q[s] <= 1'b0;
            end else begin
                next_q[s] <= next_q[s] + POS_W'(leave && S_W'(leaving.slot) == S_W'(s));
                owed_q[s] <= owed_q[s] + (ID_W + 1)'(leave && S_W'(leaving.slot) == S_W'(s))
                    - (ID_W + 1)'(started_valid && started_slot == S_W'(s));
                begun_q[s] <= begun_q[s] || (enter_valid && slot == S_W'(s));
            end
        end
    end

    `EMBNIC_ASSUME(place_owned, !(enter_valid && (open_q[enter_place] || sts_clearing)), "whoever sends owns a place of the slot")
    `EMBNIC_ASSUME(first_near, !(enter_valid && wait_slot && !begun_q[slot]), "the first of a slot finds no accumulator in use")
    `EMBNIC_ASSUME(line_of_miss, !line_valid || (open_q[line_place] && op_q[line_place].miss && !come_q[line_place]
        && !new_q[line_place]), "a line comes once for each miss, two cycles after it entered or later")
    `EMBNIC_ASSUME(filled_after, !filled_valid || left_q[filled_place], "what is filled has left")
    `EMBNIC_ASSUME(started_after, !started_valid || owed_q[started_slot] != '0, "what gives a beat has left")

    `EMBNIC_ASSERT(once, !m_axis_lookup_tvalid || (open_q[place] && !left_q[place]), "what leaves is inside: nothing leaves twice")
    `EMBNIC_ASSERT(in_turn, !m_axis_lookup_tvalid || (S_W'(leaving.slot) == place[ID_W-1:POS_W]
        && next_q[S_W'(leaving.slot)] == place[POS_W-1:0]), "in the order of its slot: nothing is lost")
    `EMBNIC_ASSERT(as_entered, !m_axis_lookup_tvalid || op_q[place] == op_t'{
        row: !leaving.load && !leaving.flush && (!leaving.miss || leaving.fill), miss: leaving.miss, fill: leaving.fill,
        line: L_W'(leaving.line), wait_slot: leaving.wait_slot, name: leaving.weight[0]}, "as it entered")
    `EMBNIC_ASSERT(its_fill, !m_axis_lookup_tvalid || older_fills_q[place] == '0,
        "a read leaves when the fill that it was looked up behind is done, and before the next one")
    `EMBNIC_ASSERT(no_overwrite, !m_axis_lookup_tvalid || older_reads_q[place] == '0, "a fill leaves behind all older reads of its line")
    `EMBNIC_ASSERT(line_there, !m_axis_lookup_tvalid || !leaving.miss || come_q[place], "a miss leaves when its beats have come")
    `EMBNIC_ASSERT(distance, !leave || !leaving.wait_slot || owed_q[S_W'(leaving.slot)] == '0,
        "who keeps the distance leaves when the older ones of its slot gave their beats")

    // The oldest operation of all. Cycles in which nothing outside holds it up.
    logic [DEPTH-1:0][5:0] waited_q;

    for (genvar p = 0; p < int'(DEPTH); p++) begin : gen_oldest
        localparam int unsigned OWN = p / (DEPTH / SLOTS);
        logic waits;

        assign waits = open_q[p] && !left_q[p] && !leaves[p] && older_q[p] == '0 && (come_q[p] || !op_q[p].miss)
            && m_axis_lookup_tready && slot_near[OWN] && owed_q[OWN] == '0;

        always_ff @(posedge clk) begin
            if (rst || !waits) waited_q[p] <= '0;
            else waited_q[p] <= waited_q[p] + 1'b1;
        end
        `EMBNIC_NEVER(starves, waited_q[p] > 6'(WAIT), "the oldest operation waits for memory only")
    end

    `EMBNIC_COVER(overtakes, leave && older_q[place] != '0, "an operation overtakes an older one")
    `EMBNIC_COVER(behind_fill, leave && op_q[place].row && !leaving.miss && u_dut.asleep_q != '0, "a read leaves while another sleeps")
    `EMBNIC_COVER(replaced, leave && leaving.miss && stamp_q != '0 && leaving.fills != '0 && leaving.reads != '0,
        "a line is filled again after it was read")
endmodule
`default_nettype wire
