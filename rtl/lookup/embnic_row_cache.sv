// SPDX-License-Identifier: Apache-2.0
// Turns operations into row beats: from the cache when the line is there, from card memory through
// it when not.
//
// Lookups are ordered once, in the tag stage: what hits, misses and is replaced depends on the order
// of operations and on nothing else. Consumption keeps that order within a slot and within a line
// (embnic_cache_order) and nowhere else: a hit passes the misses of other slots. A miss allocates its
// line and starts its fetch at the lookup; the line is filled when the operation is consumed, and a
// second miss of a row is simply a hit that waits for that fill. A miss that gets no line (all ways of
// its set are held, or the admission filter refuses it) is given from the fetch buffer and forgotten.
// See docs/architecture.md.
//
// Prefetch       OP_PREFETCH, OP_LOCK and OP_PIN bring a line as a row would, without beats for the
//                pool; OP_RELEASE ends a hold. pf_* says of each such row, at its last line, what
//                became of it, 4 cycles after that operation.
// Order          the beats of a slot leave in the order of its operations; slots in any order.
// Back-pressure  on operations only while sets are cleared, a flush waits or a line in error is
//                dropped. Whoever sends owns a place for each operation but OP_INVALIDATE and OP_RELEASE: every slot
//                has OPQ_DEPTH / SLOTS of them, op_credit_* gives one back. The output cannot be
//                stalled.
// Latency        10 cycles from a hit's operation to its first beat when its slot is quiet, 15 when
//                not; 5 cycles from a miss's operation to its AR; 14 cycles from its last beat of
//                memory to its first beat.
// Throughput     one operation per cycle and one beat per cycle, also over operations of one beat.
//                Up to FETCHES lines outstanding; further misses wait before AR and hold up no hit.
// Distance       see embnic_cache_exec: rows of one slot keep ACC_LOOP_CYCLES on the accumulator.
// Remote         an operation with `remote` is no different, but that a miss is asked of its owner (embnic_remote_fetch), for up
//                to REMOTE_FETCHES lines beside those of memory.
// Errors         a read that memory answers with an error, or not in time, gives zeros and MEMORY_ERROR for its
//                request (REMOTE_ERROR when an owner does), and so does every hit on that line until it is dropped, at once after its
//                consumption; the next lookup then fetches again.
// Flush          on cfg_flush the sets are cleared one per cycle, after reset also the counts and the
//                sketch of lines, one per cycle; on cfg_flush first all operations in flight are finished; operations wait meanwhile.
// Binds caller   the lines of a row follow each other; the rows of a key always come with the same
//                beats between two flushes, its prefetches with as many or more; after a write to
//                memory its keys are invalidated before they are looked up again. An operation accepted before that may still see the old row.
`default_nettype none
`include "embnic_assert.svh"
module embnic_row_cache
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
    import embnic_cache_pkg::*;
#(
    parameter int unsigned DATA_W     = 512,  // bits of a beat: 128 or 512
    parameter int unsigned LINE_BYTES = 256,  // of a line: power of two, 64 .. 4096
    parameter int unsigned WAYS       = 4,    // 1, 2, 4 or 8
    parameter int unsigned SETS       = 1024, // power of two, >= 2
    parameter int unsigned FETCHES    = 128,  // lines outstanding at memory, 1 .. OPQ_DEPTH
    parameter int unsigned MAX_BURST  = 256,  // beats of a read burst; power of two, 1 .. 256
    parameter int unsigned OPQ_DEPTH  = 512,  // operations between lookup and consumption; power of two
    parameter int unsigned SLOTS      = 32,   // open bags; power of two, 2 .. 64
    parameter int unsigned INIT_BEATS = 512,  // of the init RAM, a power of two
    parameter int unsigned RAM_STYLE  = 3,    // of the data RAM, see embnic_ram_1r1w
    parameter bit          ECC        = 1'b0, // parity of data RAM, fetch buffer, tags and their state
    parameter int unsigned REMOTE_FETCHES    = 0,    // remote lines outstanding, up to OPQ_DEPTH; 0: there are none
    localparam int unsigned REMOTE_W = $clog2(REMOTE_FETCHES + 2),
    localparam int unsigned PL_W = $clog2(OPQ_DEPTH),
    localparam int unsigned ID_W = $clog2(FETCHES) + 1
) (
    input  wire logic                     clk,
    input  wire logic                     rst,
    input  wire logic                     port_rst,          // of what is on offer at m_axis_remote
    input  wire logic [$bits(op_t)-1:0]   s_axis_op_tdata,   // op_t
    input  wire logic                     s_axis_op_tvalid,
    output      logic                     s_axis_op_tready,
    output      logic                     op_credit_valid,   // pulse: an operation of this slot left its place
    output      logic [SLOT_W-1:0]        op_credit_slot,
    output      logic [ID_W-1:0]          m_axi_arid,        // see embnic_row_fetch
    output      logic [ADDR_W-1:0]        m_axi_araddr,
    output      logic [7:0]               m_axi_arlen,
    output      logic [2:0]               m_axi_arsize,
    output      logic [1:0]               m_axi_arburst,
    output      logic                     m_axi_arvalid,
    input  wire logic                     m_axi_arready,
    input  wire logic [ID_W-1:0]          m_axi_rid,
    input  wire logic [DATA_W-1:0]        m_axi_rdata,
    input  wire logic [1:0]               m_axi_rresp,
    input  wire logic                     m_axi_rlast,
    input  wire logic                     m_axi_rvalid,
    output      logic                     m_axi_rready,      // see embnic_row_fetch
    output      logic [$bits(remote_line_t)-1:0] m_axis_remote_tdata, // remote_line_t
    output      logic                     m_axis_remote_tvalid,
    input  wire logic                     m_axis_remote_tready,
    input  wire logic [DATA_W-1:0]        s_axis_remote_tdata,
    input  wire logic [REMOTE_TAG_W-1:0]  s_axis_remote_tid,
    input  wire logic                     s_axis_remote_tuser,
    input  wire logic                     s_axis_remote_tlast,
    input  wire logic                     s_axis_remote_tvalid,
    output      logic                     s_axis_remote_tready,
    output      logic                     init_rd_en,
    output      logic [BEAT_W-1:0]        init_rd_addr,
    input  wire logic [DATA_W-1:0]        init_rd_data,      // 2 cycles after init_rd_en
    output      logic [INIT_BANK_W-1:0]   init_release_bank,
    output      logic                     init_release,      // pulse: the init RAM may be written again
    output      logic                     beat_valid,        // never stalled
    output      logic [$bits(beat_t)-1:0] beat_info,         // beat_t
    output      logic [DATA_W-1:0]        beat_data,
    output      logic                     err_valid,         // pulse
    output      logic [CTX_W-1:0]         err_ctx,
    output      status_e                  err_status,        // MEMORY_ERROR or REMOTE_ERROR
    output      logic                     pf_valid,          // pulse: the last line of a row to prefetch or to release was looked up
    output      logic                     pf_there,          // all its lines were in the cache
    output      logic                     pf_granted,        // all are in the cache, held as asked, or were held and are released
    output      logic                     pf_err_valid,      // pulse: a beat of a prefetch has an error
    input  wire logic [WAYS_W-1:0]        cfg_cached_ways,   // of each set that held rows leave, at least; quasi-static
    input  wire logic                     cfg_admission,     // ask the admission filter; quasi-static
    input  wire logic                     epoch_on,          // see embnic_epoch
    input  wire logic [EPOCH_W-1:0]       epoch,
    input  wire logic                     remote_epoch_on,   // of remote lines
    input  wire logic [EPOCH_W-1:0]       remote_epoch,
    input  wire logic                     cfg_flush,         // pulse: drop all lines, held ones, too
    output      logic                     sts_flush_busy,
    output      logic                     sts_idle,          // no operation inside; holds until one is accepted
    output      logic                     evt_row_hit,       // a row, at its last line: all lines were there
    output      logic                     evt_row_miss,      // a row, at its last line: one or more were not
    output      logic                     evt_line_hit,
    output      logic                     evt_line_miss,
    output      logic                     evt_line_pinned,   // of the hits: on a pinned line
    output      logic                     evt_join,          // of the hits: on a line that is not filled yet
    output      logic                     evt_fetch,         // a line is asked of memory
    output      logic                     evt_no_way,        // and not kept: all ways are held
    output      logic                     evt_refused,       // and not kept: the filter refused it
    output      logic                     evt_evict,         // a valid line was replaced
    input  wire logic [3:0]               inject,            // see embnic_ram_parity: data RAM, fetch buffer, tags, state
    input  wire logic [2:0]               inject_place,
    output      logic [ID_W:0]            sts_quarantine,    // IDs of reads that memory owes beats beyond their time
    output      logic                     evt_fetch_beat,    // a beat arrived from memory
    output      logic                     evt_timeout,       // a line was given up: memory did not answer in time
    output      logic                     evt_late,          // the answer to one of these came
    output      logic [1:0]               evt_parity_row,    // wrong beats: of the data RAM, of the fetch buffer
    output      logic                     evt_parity_tag,    // a wrong tag or state
    output      logic [2:0]               evt_injected,      // what was injected is stored
    output      logic [REMOTE_W-1:0]      sts_remote_waiting,// remote lines asked for and not settled
    output      logic [5:0]               evt_remote,        // asked, answer, beat, timeout, broken, stray
    output      logic                     evt_exec_beat,     // exactly one of these four per cycle outside reset: a beat was
    output      logic                     evt_exec_empty,    // issued; there was none to issue (or it was on its way);
    output      logic                     evt_exec_fetch,    // all there were wait for memory or an older one of their line;
    output      logic                     evt_exec_hazard    // one at least waited only for an accumulator or an adder
);
    localparam int unsigned LINE_BEATS = LINE_BYTES / (DATA_W / 8);
    localparam int unsigned LB_W       = (LINE_BEATS == 1) ? 1 : $clog2(LINE_BEATS);
    localparam int unsigned IDX_W      = $clog2(SLOTS);
    localparam int unsigned HELD_W     = $clog2(OPQ_DEPTH / SLOTS + 1);
    localparam int unsigned ALL_W      = $clog2(OPQ_DEPTH + 1);

    function automatic logic has_key(input op_kind_e kind);
        has_key = kind != OP_FLUSH && kind != OP_INIT;
    endfunction

    function automatic tag_cmd_e tag_cmd(input op_kind_e kind);
        unique case (kind)
            OP_ROW:      tag_cmd = TAG_LOOK;
            OP_RELEASE:  tag_cmd = TAG_RELEASE;
            OP_PREFETCH: tag_cmd = TAG_FETCH;
            OP_LOCK:     tag_cmd = TAG_LOCK;
            OP_PIN:      tag_cmd = TAG_PIN;
            default:     tag_cmd = TAG_DROP;
        endcase
    endfunction

    // Accept. Whoever sends has a place for it, so nothing behind can stall.

    logic             open_q;          // no flush, nothing is being cleared
    logic             flush_q;         // cfg_flush waits for the end of what is in flight
    logic             tags_clearing, sketch_clearing, order_clearing, fetch_clearing, clearing, clear;
    logic             accept, take_place;
    op_t              op_in;
    logic             drop_valid;      // a line that was filled with an error is to be dropped: goes first
    logic [KEY_W-1:0] drop_key;

    assign op_in            = op_t'(s_axis_op_tdata);
    assign clearing         = tags_clearing || sketch_clearing || order_clearing || fetch_clearing;
    assign s_axis_op_tready = open_q && !drop_valid;
    assign accept           = s_axis_op_tvalid && s_axis_op_tready;
    assign take_place       = accept && !op_is_short(op_in.kind);

    // Operations held: of each slot, and all. A slot is quiet when it holds none and its accumulator
    // is ready for what is accepted now.

    logic [SLOTS-1:0][HELD_W-1:0] held_q, held_d;
    logic [ALL_W-1:0]             all_q;
    logic [SLOTS-1:0]             quiet_q, slot_near, slot_blocked;
    logic                         ended_valid, started_valid;
    logic [SLOT_W-1:0]            event_slot;

    always_comb begin
        for (int unsigned s = 0; s < SLOTS; s++) begin
            held_d[s] = held_q[s] + HELD_W'(take_place && op_in.slot[IDX_W-1:0] == IDX_W'(s))
                - HELD_W'(ended_valid && event_slot[IDX_W-1:0] == IDX_W'(s));
        end
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            held_q  <= '0;
            all_q   <= '0;
            quiet_q <= '0;
        end else begin
            held_q <= held_d;
            all_q  <= all_q + ALL_W'(take_place) - ALL_W'(ended_valid);
            for (int unsigned s = 0; s < SLOTS; s++) quiet_q[s] <= held_d[s] == '0 && slot_near[s];
        end
    end

    assign op_credit_valid = ended_valid;
    assign op_credit_slot  = event_slot;

    // Look up

    logic              lookup_valid;
    tag_cmd_e          lookup_cmd;
    logic [KEY_W-1:0]  lookup_key;
    logic [FREQ_W-1:0] estimate;
    logic              result_valid, result_hit, result_evict, result_kept, result_no_way, result_refused, result_pinned;
    logic              result_held;
    logic [LINE_W-1:0] result_line;
    logic              tags_idle;

    assign lookup_valid = drop_valid || (accept && has_key(op_in.kind));
    assign lookup_cmd   = drop_valid ? TAG_DROP : tag_cmd(op_in.kind);
    assign lookup_key   = drop_valid ? drop_key : {op_in.tbl, op_in.row, op_in.seg};

    embnic_cache_tags #(.WAYS(WAYS), .SETS(SETS), .ECC(ECC)) u_tags (
        .clk, .rst,
        .lookup_valid, .lookup_key, .lookup_cmd, .estimate,
        .result_valid, .result_hit, .result_evict, .result_kept, .result_no_way, .result_refused, .result_pinned,
        .result_held, .result_line,
        .cfg_cached_ways, .cfg_admission,
        .inject      (inject[3:2]),
        .inject_place,
        .evt_parity  (evt_parity_tag),
        .evt_injected(evt_injected[2]),
        .cfg_clear   (clear),
        .sts_clearing(tags_clearing),
        .sts_idle    (tags_idle)
    );

    // Only with the filter on. What it has counted stays while it is off, and when lines are dropped.
    embnic_cache_sketch #(.WORDS(WAYS * SETS)) u_sketch (
        .clk, .rst,
        .lookup_valid(cfg_admission && accept && (op_in.kind == OP_ROW || op_is_prefetch(op_in.kind))),
        .lookup_key  ({op_in.tbl, op_in.row, op_in.seg}),
        .lookup_count(op_in.kind == OP_ROW),
        .estimate,
        .sts_clearing(sketch_clearing)
    );

    // The operation beside its lookup. Its numbers of beats are less one from here on: what every
    // later comparison needs.
    logic              op_valid, op_quiet;
    op_t               op_entering, op;
    logic [SLOT_W-1:0] slot_early;       // of op, a cycle before

    always_comb begin
        op_entering             = op_in;
        op_entering.beats       = op_in.beats - 1'b1;
        op_entering.fetch_beats = op_in.fetch_beats - 1'b1;
    end

    embnic_delay #(.WIDTH(1), .CYCLES(3), .RESET(1'b1)) u_op_valid (.clk, .rst, .in(accept), .out(op_valid));
    embnic_delay #(.WIDTH($bits(op_t) + 1), .CYCLES(3)) u_op (
        .clk, .rst,
        .in ({quiet_q[op_in.slot[IDX_W-1:0]], op_entering}),
        .out({op_quiet, op})
    );
    embnic_delay #(.WIDTH(SLOT_W), .CYCLES(2)) u_slot_early (.clk, .rst, .in(op_in.slot), .out(slot_early));

    // Into its slot's ring, and to the fetch

    logic            row_valid, pf_line_valid, line_hit, line_miss, line_fetch;
    lookup_t         looked_up, passed;
    logic [PL_W-1:0] place, line_place, fetch_rd_place;
    logic            line_valid, fetch_rd_en;
    logic [LB_W-1:0] fetch_rd_beat;
    logic [DATA_W:0] fetch_rd_data;
    logic            passed_valid, passed_ready;
    logic            filled_valid;
    logic [LINE_W-1:0]  filled_line;
    logic [STAMP_W-1:0] filled_fills;
    logic            waits_distance, moving, waiting;

    assign row_valid     = op_valid && op.kind == OP_ROW;
    assign pf_line_valid = op_valid && op_is_prefetch(op.kind);
    assign line_hit      = row_valid && result_hit;
    assign line_miss     = row_valid && !result_hit;
    assign line_fetch    = (row_valid || pf_line_valid) && !result_hit;

    always_comb begin
        looked_up.key          = {op.tbl, op.row, op.seg};
        looked_up.line         = result_line;
        looked_up.place        = '0;
        looked_up.fills        = '0;
        looked_up.reads        = '0;
        looked_up.miss         = line_fetch;
        looked_up.remote       = op.remote && REMOTE_FETCHES != 0;
        looked_up.fill         = line_fetch && result_kept;
        looked_up.silent       = op_is_prefetch(op.kind);
        looked_up.load         = op.kind == OP_INIT;
        looked_up.flush        = op.kind == OP_FLUSH;
        looked_up.bank         = op.bank;
        looked_up.combine      = op.combine;
        looked_up.product      = op.product;
        looked_up.header       = op.header && op.kind == OP_ROW;
        looked_up.chunk        = op.chunk;
        looked_up.beats_m1     = (op_is_prefetch(op.kind) && result_hit) ? '0 : op.beats;
        looked_up.beat_base    = op.beat_base;
        looked_up.wait_slot    = op.first_seg && op.spaced;
        looked_up.last_seg     = op.last_seg;
        looked_up.slot         = op.slot;
        looked_up.ctx          = op.ctx;
        looked_up.first        = op.first;
        looked_up.last         = op.last;
        looked_up.dim          = op.dim;
        looked_up.dtype        = op.dtype;
        looked_up.pooling      = op.pooling;
        looked_up.partial      = op.partial;
        looked_up.mul_then_add = op.mul_then_add;
        looked_up.weight       = op.weight;
        looked_up.count        = op.count;
        looked_up.rsp_addr     = op.rsp_addr + RSP_W'(op.beat_base);
    end

    embnic_cache_sched #(.LINES(WAYS * SETS), .SLOTS(SLOTS), .DEPTH(OPQ_DEPTH)) u_sched (
        .clk, .rst,
        .enter_valid         (op_valid && !op_is_short(op.kind)),
        .enter_data          (looked_up),
        .enter_quiet         (op_quiet),
        .next_slot           (slot_early),
        .enter_place         (place),
        .line_valid, .line_place,
        .m_axis_lookup_tdata (passed),
        .m_axis_lookup_tvalid(passed_valid),
        .m_axis_lookup_tready(passed_ready),
        .started_valid,
        .started_slot        (event_slot),
        .filled_valid, .filled_line, .filled_fills,
        .slot_near, .slot_blocked,
        .sts_clearing        (order_clearing),
        .sts_distance        (waits_distance),
        .sts_moving          (moving),
        .sts_waiting         (waiting),
        .evt_join
    );

    logic              fetch_valid_q;
    logic [PL_W-1:0]   fetch_place_q;
    logic [ADDR_W-1:0] fetch_addr_q;
    logic [BEAT_W-1:0] fetch_beats_q;
    logic              fetch_remote_q;
    remote_line_t      fetch_line_q;

    always_ff @(posedge clk) begin
        fetch_remote_q <= op.remote && REMOTE_FETCHES != 0;
        fetch_line_q   <= '{
            unused: '0, addr: op.addr, beats_m1: 8'(op.fetch_beats), seg: op.seg, row: op.row,
            generation: op.generation, owner: op.owner, tbl: 16'(op.tbl), tag: '0
        };
        fetch_valid_q <= line_fetch && !rst;
        fetch_place_q <= place;
        fetch_addr_q  <= op.addr;
        fetch_beats_q <= op.fetch_beats;
    end

    embnic_row_fetch #(
        .DATA_W(DATA_W), .LINE_BYTES(LINE_BYTES), .FETCHES(FETCHES), .PLACES(OPQ_DEPTH), .MAX_BURST(MAX_BURST), .ECC(ECC),
        .STYLE(OPQ_DEPTH * LINE_BEATS < 4096 ? 2 : RAM_STYLE), .REMOTE_FETCHES(REMOTE_FETCHES)
    ) u_fetch (
        .clk, .rst, .port_rst,
        .req_valid   (fetch_valid_q),
        .req_place   (fetch_place_q),
        .req_addr    (fetch_addr_q),
        .req_beats_m1(fetch_beats_q),
        .req_remote  (fetch_remote_q),
        .req_line    (fetch_line_q),
        .m_axi_arid, .m_axi_araddr, .m_axi_arlen, .m_axi_arsize, .m_axi_arburst, .m_axi_arvalid, .m_axi_arready,
        .m_axi_rid, .m_axi_rdata, .m_axi_rresp, .m_axi_rlast, .m_axi_rvalid, .m_axi_rready,
        .m_axis_remote_tdata, .m_axis_remote_tvalid, .m_axis_remote_tready,
        .s_axis_remote_tdata, .s_axis_remote_tid, .s_axis_remote_tuser, .s_axis_remote_tlast, .s_axis_remote_tvalid,
        .s_axis_remote_tready,
        .line_valid, .line_place,
        .rd_en       (fetch_rd_en),
        .rd_place    (fetch_rd_place),
        .rd_beat     (fetch_rd_beat),
        .rd_data     (fetch_rd_data),
        .epoch_on, .epoch, .remote_epoch_on, .remote_epoch,
        .inject      (inject[1]),
        .inject_place,
        .sts_clearing(fetch_clearing),
        .sts_quarantine, .evt_fetch_beat, .evt_timeout, .evt_late,
        .evt_parity  (evt_parity_row[1]),
        .evt_injected(evt_injected[1]),
        .sts_remote_waiting, .evt_remote
    );

    // Consume

    logic exec_idle, exec_beat, exec_hold;

    embnic_cache_exec #(
        .DATA_W(DATA_W), .LINE_BEATS(LINE_BEATS), .LINES(WAYS * SETS), .SLOTS(SLOTS), .PLACES(OPQ_DEPTH),
        .INIT_BEATS(INIT_BEATS), .RAM_STYLE(RAM_STYLE), .ECC(ECC)
    ) u_exec (
        .clk, .rst,
        .s_axis_lookup_tdata (passed),
        .s_axis_lookup_tvalid(passed_valid),
        .s_axis_lookup_tready(passed_ready),
        .fetch_rd_en, .fetch_rd_place, .fetch_rd_beat, .fetch_rd_data,
        .init_rd_en, .init_rd_addr, .init_rd_data, .init_release, .init_release_bank,
        .started_valid, .ended_valid, .event_slot,
        .filled_valid, .filled_line, .filled_fills,
        .beat_valid, .beat_info, .beat_data,
        .err_valid, .err_ctx, .err_status,
        .silent_err_valid    (pf_err_valid),
        .drop_valid, .drop_key,
        .inject              (inject[0]),
        .inject_place,
        .evt_parity          (evt_parity_row[0]),
        .evt_injected        (evt_injected[0]),
        .sts_near            (slot_near),
        .sts_blocked         (slot_blocked),
        .sts_idle            (exec_idle),
        .evt_exec_beat       (exec_beat),
        .evt_exec_hold       (exec_hold)
    );

    // Flush, events. The pipeline from the choice of a slot to the consuming stage is empty time when
    // there was nothing to choose, and the accumulator's when the choice waited for it.

    logic in_flight, row_all_hit_q, row_all_hit, clearing_q;
    logic pf_line, pf_line_granted, pf_all_granted_q, pf_all_granted;

    assign in_flight       = all_q != '0 || !tags_idle || !exec_idle || drop_valid;
    assign sts_idle        = !in_flight && !sts_flush_busy;
    assign sts_flush_busy  = flush_q || clearing;
    assign clear           = flush_q && !in_flight && !clearing;
    assign row_all_hit     = result_hit && (op.first_seg || row_all_hit_q);
    assign pf_line         = pf_line_valid || (op_valid && op.kind == OP_RELEASE);
    assign pf_line_granted = (op.kind == OP_LOCK || op.kind == OP_PIN) ? result_held : result_kept;
    assign pf_all_granted  = pf_line_granted && (op.first_seg || pf_all_granted_q);
    assign evt_exec_beat   = exec_beat;
    assign evt_exec_hazard = !exec_beat && (exec_hold || waits_distance);
    assign evt_exec_fetch  = !exec_beat && !exec_hold && !waits_distance && !moving && waiting;
    assign evt_exec_empty  = !clearing_q && !exec_beat && !exec_hold && !waits_distance && (moving || !waiting);

    always_ff @(posedge clk) begin
        if (row_valid || pf_line) row_all_hit_q <= row_all_hit;
        if (pf_line) pf_all_granted_q <= pf_all_granted;
        pf_there   <= row_all_hit;
        pf_granted <= pf_all_granted;
        if (rst) begin
            open_q        <= 1'b0;
            flush_q       <= 1'b0;
            clearing_q    <= 1'b1;
            evt_row_hit   <= 1'b0;
            evt_row_miss  <= 1'b0;
            evt_line_hit  <= 1'b0;
            evt_line_miss <= 1'b0;
            evt_evict     <= 1'b0;
            evt_line_pinned <= 1'b0;
            evt_fetch     <= 1'b0;
            evt_no_way    <= 1'b0;
            evt_refused   <= 1'b0;
            pf_valid      <= 1'b0;
        end else begin
            open_q        <= !cfg_flush && !flush_q && !clearing;
            flush_q       <= cfg_flush || (flush_q && !clear);
            clearing_q    <= clearing;
            evt_row_hit   <= row_valid && op.last_seg && row_all_hit;
            evt_row_miss  <= row_valid && op.last_seg && !row_all_hit;
            evt_line_hit  <= line_hit;
            evt_line_miss <= line_miss;
            evt_evict     <= (row_valid || pf_line_valid) && result_evict;
            evt_line_pinned <= line_hit && result_pinned;
            evt_fetch     <= line_fetch;
            evt_no_way    <= line_fetch && result_no_way;
            evt_refused   <= line_fetch && result_refused;
            pf_valid      <= pf_line && op.last_seg;
        end
    end

    // Assertions
    `EMBNIC_STABLE(op_stable, s_axis_op_tvalid, s_axis_op_tready, s_axis_op_tdata,
        "an operation offered holds until it is taken")
    `EMBNIC_KNOWN(ready_known, s_axis_op_tready, "tready is known after reset")
    `EMBNIC_ASSUME(place_owned, !take_place || 32'(held_q[op_in.slot[IDX_W-1:0]]) < OPQ_DEPTH / SLOTS,
        "whoever sends owns a place of the slot")
    `EMBNIC_ASSERT(in_step, !op_valid || has_key(op.kind) == result_valid,
        "an operation meets its own result")
    `EMBNIC_NEVER(counts_below, ended_valid && held_q[event_slot[IDX_W-1:0]] == '0,
        "an operation ends once")
    `EMBNIC_COVER(all_places, all_q == ALL_W'(OPQ_DEPTH), "every place is taken")
    `EMBNIC_COVER(drop_against_op, drop_valid && s_axis_op_tvalid,
        "a poisoned line is dropped while an operation waits")
endmodule
`default_nettype wire
