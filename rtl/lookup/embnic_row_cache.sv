// SPDX-License-Identifier: Apache-2.0
// Turns operations into row beats: from the cache when the line is there, from card memory through
// it when not.
//
// Lookups are in order and so is consumption. A miss allocates its line and starts its fetch at the
// lookup; the line is filled when the operation is consumed. So a line that hits in the lookup is
// there when its operation is consumed, a second miss of a row is simply a hit, and the queue
// between the two hides the memory's latency (Igehy et al., "Prefetching in a texture cache
// architecture", 1998). See docs/architecture.md.
//
// Order          beats leave in the order of the operations.
// Back-pressure  on operations any cycle; the output cannot be stalled.
// Latency        8 cycles from a hit's operation to its first beat; 4 cycles from a miss's
//                operation to its AR.
// Throughput     one operation per cycle and one beat per cycle, also over operations of one beat
//                (FETCHES >= 4 and OPQ_DEPTH >= 8). Up to FETCHES misses in flight.
// Distance       see embnic_cache_exec: rows of one slot keep ACC_LOOP_CYCLES on the accumulator.
// Errors         a read that memory answers with an error gives zeros and MEMORY_ERROR for its
//                request, and so does every hit on that line until it is dropped, at once after its
//                consumption; the next lookup then fetches again.
// Flush          after reset and on cfg_flush the sets are cleared one per cycle, on cfg_flush
//                first all operations in flight are finished; operations wait meanwhile.
// Binds caller   the lines of a row follow each other; a key always comes with the same beats
//                between two flushes; after a write to memory its keys are invalidated while the
//                cache is idle.
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
    parameter int unsigned FETCHES    = 64,   // misses in flight; power of two, >= 2
    parameter int unsigned OPQ_DEPTH  = 128,  // operations between lookup and consumption; power of two, >= 2
    parameter int unsigned SLOTS      = 32,   // open bags, <= 64
    parameter int unsigned RAM_STYLE  = 3,    // of the data RAM, see embnic_ram_1r1w
    localparam int unsigned ID_W = $clog2(FETCHES)
) (
    input  wire logic                     clk,
    input  wire logic                     rst,
    input  wire logic [$bits(op_t)-1:0]   s_axis_op_tdata,   // op_t
    input  wire logic                     s_axis_op_tvalid,
    output      logic                     s_axis_op_tready,
    output      logic [ID_W-1:0]          m_axi_arid,        // fetch buffer
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
    output      logic                     m_axi_rready,      // constant 1
    output      logic                     init_rd_en,
    output      logic [BEAT_W-1:0]        init_rd_addr,      // beat of the vector
    input  wire logic [DATA_W-1:0]        init_rd_data,      // 2 cycles after init_rd_en
    output      logic                     init_release,      // pulse: the init RAM may be written again
    output      logic                     beat_valid,        // never stalled
    output      logic [$bits(beat_t)-1:0] beat_info,         // beat_t
    output      logic [DATA_W-1:0]        beat_data,
    output      logic                     err_valid,         // pulse
    output      logic [CTX_W-1:0]         err_ctx,
    output      status_e                  err_status,        // MEMORY_ERROR
    input  wire logic                     cfg_flush,         // pulse: drop all lines
    output      logic                     sts_flush_busy,
    output      logic                     sts_idle,          // no operation inside; holds until one is accepted
    output      logic                     evt_row_hit,       // a row, at its last line: all lines were there
    output      logic                     evt_row_miss,      // a row, at its last line: one or more were not
    output      logic                     evt_line_hit,
    output      logic                     evt_line_miss,
    output      logic                     evt_evict,         // a valid line was replaced
    output      logic                     evt_fetch_beat,    // a beat arrived from memory
    output      logic                     evt_exec_beat,     // exactly one of these four per cycle outside reset: the
    output      logic                     evt_exec_empty,    // consuming stage issued a beat, had no operation,
    output      logic                     evt_exec_fetch,    // waited for memory,
    output      logic                     evt_exec_hazard    // waited for the accumulator
);
    if (OPQ_DEPTH < 2 || (OPQ_DEPTH & (OPQ_DEPTH - 1)) != 0) begin : gen_bad_opq_depth
        $fatal(1, "OPQ_DEPTH must be a power of two, at least 2");
    end

    localparam int unsigned LINE_BEATS = LINE_BYTES / (DATA_W / 8);
    localparam int unsigned OCR_W      = $clog2(OPQ_DEPTH + 1);
    localparam int unsigned FCR_W      = $clog2(FETCHES + 1);

    // Accept. An operation is let in when it will find a place in the queue and, should it miss, a
    // fetch buffer; from then on nothing on its way to the queue can stall.

    logic [OCR_W-1:0] op_credit_q;     // places left, operations on their way counted as in the queue
    logic [FCR_W-1:0] fetch_credit_q;  // buffers left, operations on their way counted as misses
    logic             flush_q;         // cfg_flush waits for the end of what is in flight
    logic             clearing, clear;
    logic             accept;
    op_t              op_in;
    logic             drop_valid;      // a line that was filled with an error is to be dropped: goes first
    logic [KEY_W-1:0] drop_key;

    assign op_in            = op_t'(s_axis_op_tdata);
    assign s_axis_op_tready = op_credit_q != '0 && fetch_credit_q != '0 && !flush_q && !clearing && !drop_valid;
    assign accept           = s_axis_op_tvalid && s_axis_op_tready;

    // Look up

    logic              lookup_valid, lookup_alloc;
    logic [KEY_W-1:0]  lookup_key;
    logic              result_valid, result_hit, result_evict;
    logic [LINE_W-1:0] result_line;
    logic              tags_idle;

    assign lookup_valid = drop_valid || (accept && (op_in.kind == OP_ROW || op_in.kind == OP_INVALIDATE));
    assign lookup_alloc = !drop_valid && op_in.kind == OP_ROW;
    assign lookup_key   = drop_valid ? drop_key : {op_in.tbl, op_in.row, op_in.seg};

    embnic_cache_tags #(.WAYS(WAYS), .SETS(SETS)) u_tags (
        .clk, .rst,
        .lookup_valid, .lookup_key, .lookup_alloc,
        .result_valid, .result_hit, .result_evict, .result_line,
        .cfg_clear   (clear),
        .sts_clearing(clearing),
        .sts_idle    (tags_idle)
    );

    // The operation beside its lookup. Its beats are less one from here on: what every later
    // comparison needs.
    logic op_valid;
    op_t  op_entering, op;

    always_comb begin
        op_entering             = op_in;
        op_entering.beats       = op_in.beats - 1'b1;
        op_entering.fetch_beats = op_in.fetch_beats - 1'b1;
    end

    embnic_delay #(.WIDTH(1), .CYCLES(3), .RESET(1'b1)) u_op_valid (.clk, .rst, .in(accept), .out(op_valid));
    embnic_delay #(.WIDTH($bits(op_t)), .CYCLES(3)) u_op (.clk, .rst, .in(op_entering), .out(op));

    // Into the queue, and to the fetch

    logic    row_valid, line_hit, line_miss, queue_valid, queue_ready;
    lookup_t looked_up, head;
    logic    head_valid, head_ready;
    logic    slot_free;

    assign row_valid   = op_valid && op.kind == OP_ROW;
    assign line_hit    = row_valid && result_hit;
    assign line_miss   = row_valid && !result_hit;
    assign queue_valid = op_valid && op.kind != OP_INVALIDATE;

    always_comb begin
        looked_up.key          = {op.tbl, op.row, op.seg};
        looked_up.line         = result_line;
        looked_up.miss         = line_miss;
        looked_up.load         = op.kind == OP_INIT;
        looked_up.flush        = op.kind == OP_FLUSH;
        looked_up.header       = op.header;
        looked_up.chunk        = op.chunk;
        looked_up.beats_m1     = op.beats;
        looked_up.beat_base    = op.beat_base;
        looked_up.wait_slot    = op.first_seg && !op.first && op.kind != OP_INIT;
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

    embnic_cache_queue #(.WIDTH($bits(lookup_t)), .DEPTH(OPQ_DEPTH), .STYLE(0)) u_queue (
        .clk, .rst,
        .s_axis_tdata (looked_up),
        .s_axis_tvalid(queue_valid),
        .s_axis_tready(queue_ready),
        .m_axis_tdata (head),
        .m_axis_tvalid(head_valid),
        .m_axis_tready(head_ready)
    );

    logic [DATA_W:0] fill_tdata;
    logic            fill_tlast, fill_tvalid, fill_tready;

    embnic_row_fetch #(.DATA_W(DATA_W), .LINE_BYTES(LINE_BYTES), .FETCHES(FETCHES)) u_fetch (
        .clk, .rst,
        .req_valid   (line_miss),
        .req_addr    (op.addr),
        .req_beats_m1(op.fetch_beats),
        .slot_free,
        .m_axi_arid, .m_axi_araddr, .m_axi_arlen, .m_axi_arsize, .m_axi_arburst, .m_axi_arvalid, .m_axi_arready,
        .m_axi_rid, .m_axi_rdata, .m_axi_rresp, .m_axi_rlast, .m_axi_rvalid, .m_axi_rready,
        .m_axis_fill_tdata (fill_tdata),
        .m_axis_fill_tlast (fill_tlast),
        .m_axis_fill_tvalid(fill_tvalid),
        .m_axis_fill_tready(fill_tready),
        .evt_fetch_beat
    );

    // Consume

    logic exec_idle, exec_empty;

    embnic_cache_exec #(
        .DATA_W(DATA_W), .LINE_BEATS(LINE_BEATS), .LINES(WAYS * SETS), .SLOTS(SLOTS), .RAM_STYLE(RAM_STYLE)
    ) u_exec (
        .clk, .rst,
        .s_axis_lookup_tdata (head),
        .s_axis_lookup_tvalid(head_valid),
        .s_axis_lookup_tready(head_ready),
        .s_axis_fill_tdata   (fill_tdata),
        .s_axis_fill_tlast   (fill_tlast),
        .s_axis_fill_tvalid  (fill_tvalid),
        .s_axis_fill_tready  (fill_tready),
        .init_rd_en, .init_rd_addr, .init_rd_data, .init_release,
        .beat_valid, .beat_info, .beat_data,
        .err_valid, .err_ctx, .err_status,
        .drop_valid, .drop_key,
        .sts_idle            (exec_idle),
        .evt_exec_beat,
        .evt_exec_empty      (exec_empty),
        .evt_exec_fetch, .evt_exec_hazard
    );

    // Credits, flush, events

    logic in_flight, row_all_hit_q, row_all_hit, clearing_q;
    logic op_back, fetch_back;

    assign op_back        = op_valid && op.kind == OP_INVALIDATE;  // takes no place in the queue
    assign fetch_back     = op_valid && !line_miss;
    assign in_flight      = op_credit_q != OCR_W'(OPQ_DEPTH) || !tags_idle || !exec_idle;
    assign sts_idle       = !in_flight && !sts_flush_busy;
    assign sts_flush_busy = flush_q || clearing;
    assign clear          = flush_q && !in_flight && !clearing;
    assign row_all_hit    = result_hit && (op.first_seg || row_all_hit_q);
    assign evt_exec_empty = exec_empty && !clearing_q;  // clearing the sets is not idleness

    always_ff @(posedge clk) begin
        if (row_valid) row_all_hit_q <= row_all_hit;
        if (rst) begin
            op_credit_q    <= OCR_W'(OPQ_DEPTH);
            fetch_credit_q <= FCR_W'(FETCHES);
            flush_q        <= 1'b0;
            clearing_q     <= 1'b1;
            evt_row_hit    <= 1'b0;
            evt_row_miss   <= 1'b0;
            evt_line_hit   <= 1'b0;
            evt_line_miss  <= 1'b0;
            evt_evict      <= 1'b0;
        end else begin
            op_credit_q    <= op_credit_q - OCR_W'(accept) + OCR_W'(op_back) + OCR_W'(head_valid && head_ready);
            fetch_credit_q <= fetch_credit_q - FCR_W'(accept) + FCR_W'(fetch_back) + FCR_W'(slot_free);
            flush_q        <= cfg_flush || (flush_q && !clear);
            clearing_q     <= clearing;
            evt_row_hit    <= row_valid && op.last_seg && row_all_hit;
            evt_row_miss   <= row_valid && op.last_seg && !row_all_hit;
            evt_line_hit   <= line_hit;
            evt_line_miss  <= line_miss;
            evt_evict      <= row_valid && result_evict;
        end
    end

    // Assertions
    `EMBNIC_STABLE(op_stable, s_axis_op_tvalid, s_axis_op_tready, s_axis_op_tdata,
        "an operation offered holds until it is taken")
    `EMBNIC_KNOWN(ready_known, s_axis_op_tready, "tready is known after reset")
    `EMBNIC_ASSERT(queue_room, !queue_valid || queue_ready,
        "the queue has room for every operation let in")
    `EMBNIC_ASSERT(in_step, !op_valid || (op.kind == OP_ROW || op.kind == OP_INVALIDATE) ==
        result_valid,
        "an operation meets its own result")
    `EMBNIC_NEVER(op_credit_over, op_credit_q > OCR_W'(OPQ_DEPTH),
        "no more places than the queue has")
    `EMBNIC_NEVER(fetch_credit_over, fetch_credit_q > FCR_W'(FETCHES),
        "no more buffers than there are")
    `EMBNIC_ASSERT(idle_has_credits, !sts_idle || fetch_credit_q == FCR_W'(FETCHES),
        "an idle cache has all its fetch buffers")
    `EMBNIC_COVER(fetches_full, fetch_credit_q == '0, "all fetch buffers are taken")
    `EMBNIC_COVER(queue_full, op_credit_q == '0, "the queue is full")
    `EMBNIC_COVER(drop_against_op, drop_valid && s_axis_op_tvalid,
        "a poisoned line is dropped while an operation waits")
endmodule
`default_nettype wire
