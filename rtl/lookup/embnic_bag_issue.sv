// SPDX-License-Identifier: Apache-2.0
// Turns bags of keys into operations on cache lines: one operation for each line of each row that
// contributes.
//
// Order          the keys of a bag in order; open bags take turns key by key. The lines of a row
//                follow each other directly.
// Back-pressure  any cycle, both sides; nothing is lost. No combinational path from one side to the
//                other.
// Latency        14 cycles from a bag to its first operation.
// Throughput     one key per cycle into the pipeline and one operation per cycle out, as long as
//                two bags are open.
// Errors         a key that fails a check is reported once on err_* and then treated as null: its
//                row is never read. A key in a key store beat that is wrong is such a key: MEMORY_ERROR.
// Remote         a bag of a table on another card waits in a queue of its own and takes one of the slots below
//                REMOTE_SLOTS, which is no other bag's until its last row is consumed. So bags that wait for other
//                cards hold up none that does not. Without REMOTE_SLOTS such a table is UNSUPPORTED.
// Not handled    tables in the order MEMO or of memo rows, TREE with more running
//                sums than TREE_K or than fit a slot beside each other, and bags of a TREE that are
//                cut over frames: UNSUPPORTED. Pairs of tables that are not summed in the order SEQUENTIAL or are on another card, too.
//
// A key that contributes nothing (null, padding row, refused) makes no operation, unless it is its
// bag's last: then OP_FLUSH tells the pool to emit. A bag with an initial accumulator begins with
// OP_INIT; one with partials (order SPLIT only) ends with an OP_INIT for each of them, in the order in
// which they lie in the init RAM. Whichever of accumulator, rows and partials comes first is first.
//
// In the order TREE the j-th row that contributes goes to running sum j mod k. Behind a bag's last key
// its running sums are combined: k-1 items c = k-1 .. 1 add sum c to the one without c's highest bit,
// so pairs of a distance k/2 come first, then k/4, down to 1. Those of which sum c holds no row are
// dropped; where that is the last, OP_FLUSH emits sum 0. A row of sum 0, and the first pair of each
// distance, keeps the distance from what came before; all others then do, too. So that the tail is
// known when the last key is chosen, that key waits until the first has met its table.
//
// A bag of pairs (PRODUCTS): first keys name one table, second keys another. The first row of a pair goes to a bank
// of its own, without pooling. Unweighted rows that are not quantised take the short way: the second is multiplied by
// the first and added. All others: the second row goes to another bank, and two more items follow it, a combine that
// multiplies the banks and one that adds the product with its weight. Each of them chooses and checks the second key
// again. A pair contributes when both keys do; the first row is read by then and stays where it is. A last key without
// partner is refused, BAD_REQUEST.
//
// Nothing in the pipeline ever stalls: a key starts only with a credit for a place in the queue at
// its end, and with a place in the cache for each of its operations: PLACES a slot, given back by
// op_credit_*. So operations find room wherever they go, and a slot that waits holds up no other.
// A slot is never chosen in two successive cycles; so what a key changes (keys left,
// table, count) is in its RAM before the next key of the slot reads it, without forwarding.
//
//     pick | s1 slot state | s2 s3 key store | s4 select | s5 s6 descriptor, row * stride |
//     s7 compare | s8 decide | queue | expand
`default_nettype none
`include "embnic_assert.svh"
module embnic_bag_issue
    import embnic_pkg::*;
    import embnic_wire_pkg::*;
#(
    parameter int unsigned DATA_W     = 128,  // bus width, bits: 128 or 512
    parameter int unsigned SLOTS      = 4,    // open bags, 2 .. 64
    parameter int unsigned TABLES     = 8,    // table descriptors; power of two
    parameter int unsigned KS_BEATS   = 512,  // key store, beats; power of two
    parameter int unsigned LINE_BYTES = 64,   // cache line; power of two, 64 or more
    parameter int unsigned MAX_VEC64  = 8,    // longest vector in 64-byte units; power of two
    parameter int unsigned TREE_K     = 8,    // most running sums of a TREE: 2, 4, 8, 16, or 0: none
    parameter int unsigned PLACES     = 8,    // operations of a slot that the cache holds; not less than a row has lines
    parameter int unsigned REMOTE_SLOTS = 0,  // slots that bags of remote tables may take, less than SLOTS; 0: there are none
    parameter int unsigned REMOTE_BAGS = 128, // all bags of remote tables that can be admitted at a time; power of two
    parameter bit          PRODUCTS   = 1'b1, // build what issues pairs
    parameter int unsigned CTXS       = 64,   // requests in flight; power of two, 2 .. 64
    localparam int unsigned TBL_AW    = $clog2(TABLES)
) (
    input  wire logic                           clk,
    input  wire logic                           rst,
    input  wire logic [$bits(bag_t)-1:0]        s_axis_bag_tdata,   // bag_t
    input  wire logic                           s_axis_bag_tvalid,
    output      logic                           s_axis_bag_tready,
    output      logic                           ks_rd_en,           // key store, latency 2
    output      logic [KS_W-1:0]                ks_rd_addr,
    input  wire logic [DATA_W-1:0]              ks_rd_data,
    input  wire logic                           ks_rd_bad,          // the beat is not as it was written
    output      logic                           desc_rd_en,         // table RAM, latency 2
    output      logic [TBL_AW-1:0]              desc_rd_addr,
    input  wire logic [$bits(descriptor_t)-1:0] desc_rd_data,       // descriptor_t
    output      logic [$bits(op_t)-1:0]         m_axis_op_tdata,    // op_t
    output      logic                           m_axis_op_tvalid,
    input  wire logic                           m_axis_op_tready,
    input  wire logic                           op_credit_valid,    // pulse: an operation of this slot left its place
    input  wire logic [SLOT_W-1:0]              op_credit_slot,
    output      logic                           err_valid,          // pulse: a key was refused
    output      logic [CTX_W-1:0]               err_ctx,
    output      status_e                        err_status,
    output      logic                           sts_idle,           // no bag, no operation is left
    output      logic                           evt_key,            // a key was checked
    output      logic                           evt_key_null,       // it was null, or of a pair whose first key gave no row
    output      logic                           evt_key_padding,    // it named the padding row
    output      logic                           evt_key_refused,    // it failed a check, and was not null
    output      logic                           evt_bag             // it was the last of its bag
);
    localparam int unsigned WORDS      = DATA_W / 64;              // 8-byte words of a beat
    localparam int unsigned WORD_AW    = $clog2(WORDS);
    localparam int unsigned KS_AW      = $clog2(KS_BEATS);
    localparam int unsigned BPW        = 512 / DATA_W;             // beats of 64 bytes
    localparam int unsigned LINE_BEATS = LINE_BYTES / (DATA_W / 8);
    localparam int unsigned IDX_W      = $clog2(SLOTS);
    // keys on their way; the loop of a credit takes 14 cycles
    localparam int unsigned QUEUE      = 32;
    localparam int unsigned CREDIT_W   = $clog2(QUEUE + 1);
    localparam int unsigned UNIT_W     = ADDR_W - 6;  // card memory in units of 64 bytes
    localparam int unsigned HALF_W     = UNIT_W / 2;

    localparam logic [31:0] ONE = 32'h3F80_0000;                   // 1.0
    // Slots that bags of remote tables may take.
    localparam logic [SLOTS-1:0] FOR_REMOTE = SLOTS'((65'd1 << REMOTE_SLOTS) - 65'd1);

    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end
    if (SLOTS < 2 || SLOTS > (1 << SLOT_W)) begin : gen_bad_slots
        $fatal(1, "SLOTS must be 2 to 64");
    end
    if (TABLES < 2 || TABLES > (1 << TABLE_W) ||
            (TABLES & (TABLES - 1)) != 0) begin : gen_bad_tables
        $fatal(1, "TABLES must be a power of two, at least 2");
    end
    if (KS_BEATS < 2 || KS_BEATS > (1 << KS_W) ||
            (KS_BEATS & (KS_BEATS - 1)) != 0) begin : gen_bad_ks_beats
        $fatal(1, "KS_BEATS must be a power of two up to 16,384");
    end
    if (LINE_BYTES < 64 || LINE_BYTES > 4096 ||
            (LINE_BYTES & (LINE_BYTES - 1)) != 0) begin : gen_bad_line_bytes
        $fatal(1, "LINE_BYTES must be a power of two from 64 to 4096");
    end

    if (TREE_K != 0 && TREE_K != 2 && TREE_K != 4 && TREE_K != 8 && TREE_K != 16) begin : gen_bad_tree_k
        $fatal(1, "TREE_K must be 0, 2, 4, 8 or 16");
    end
    if (MAX_VEC64 < 1 || (MAX_VEC64 & (MAX_VEC64 - 1)) != 0 || MAX_VEC64 * BPW >= (1 << BEAT_W)) begin : gen_bad_max_vec64
        $fatal(1, "MAX_VEC64 must be a power of two, 1 to 64");
    end
    if (REMOTE_SLOTS >= SLOTS) begin : gen_bad_remote_slots
        $fatal(1, "REMOTE_SLOTS must be less than SLOTS");
    end
    if (CTXS < 2 || CTXS > (1 << CTX_W) || (CTXS & (CTXS - 1)) != 0) begin : gen_bad_ctxs
        $fatal(1, "CTXS must be a power of two, 2 to 64");
    end
    if (PLACES < 1 || PLACES > 512) begin : gen_bad_places
        $fatal(1, "PLACES must be 1 to 512");
    end

    localparam int unsigned PLACES_W = $clog2(PLACES + 1);
    localparam int unsigned TREE_W   = 3;                // log2 of a TREE's running sums; 0: no TREE
    localparam int unsigned VEC_BEATS = MAX_VEC64 * BPW;

    // Running sum c is added to the one without c's highest bit.
    function automatic logic [BANK_W-1:0] combined_with(input logic [BANK_W-1:0] c);
        combined_with = c;
        for (int b = 0; b < int'(BANK_W); b++) begin
            if (c[b]) combined_with = c & BANK_W'((1 << b) - 1);
        end
    endfunction

    // Operations that a key is cut into: as many as its row has lines, whatever becomes of it.
    function automatic logic [PLACES_W-1:0] lines_of(input logic [BEAT_W-1:0] row_beats);
        lines_of = PLACES_W'((32'(row_beats) + LINE_BEATS - 1) / LINE_BEATS);
    endfunction

    // Chunks of a row's header: of int8, twice that for int4; of a line: at most LINE_BEATS << 3.
    localparam logic [CHUNK_W-1:0] HEADER_CHUNKS = (DATA_W == 512) ? 1 : 4;
    localparam int unsigned        LINE_CHUNKS_W = $clog2(LINE_BEATS) + 4;

    // Chunks of the header of a row.
    function automatic logic [CHUNK_W-1:0] header_of(input dtype_e dtype);
        header_of = dtype_quantised(dtype) ? HEADER_CHUNKS << 1'(dtype_expand(dtype)) : '0;
    endfunction

    // Where a bag of pairs stands. PAIR_SECOND is the last of a short pair, PAIR_ADD of the others.
    typedef enum logic [1:0] { PAIR_FIRST, PAIR_SECOND, PAIR_MULTIPLY, PAIR_ADD } pair_e;

    // A key, or the loading of the initial accumulator, on its way through the pipeline.
    typedef struct packed {
        logic [IDX_W-1:0]    slot;
        logic [CTX_W-1:0]    ctx;
        logic                init;       // no key: a vector of the init RAM,
        logic                combine;    // or a running sum of a TREE
        init_t               where;      // which one
        logic                piece;
        logic                start;      // first item of its bag
        logic                last;       // last item of its bag
        logic                merge;
        logic                product;
        pair_e               pair;       // of a product; else PAIR_FIRST
        logic                pair_short;
        logic                weighted;
        logic                partial;
        logic [CNT_W-1:0]    init_count;
        logic [RSP_W-1:0]    rsp_addr;
        logic [BEAT_W-1:0]   vec_beats;
        logic [BEAT_W-1:0]   row_beats;
        logic [15:0]         dim;
        dtype_e              dtype;
    } item_t;

    // What the queue holds of a key that makes operations.
    typedef struct packed {
        op_kind_e            kind;
        logic [IDX_W-1:0]    slot;
        logic [CTX_W-1:0]    ctx;
        logic [TABLE_W-1:0]  tbl;
        logic [ROW_W-1:0]    row;
        logic [UNIT_W-1:0]   unit;       // where the row begins, in units of 64 bytes
        logic                remote;
        logic [7:0]          owner;
        logic [7:0]          generation;
        logic [BEAT_W-1:0]   vec_beats;
        logic [BEAT_W-1:0]   row_beats;
        logic                one_line;   // row_beats are at most those of a line
        logic [BEAT_W-1:0]   fetch_beats;  // of its first line
        logic [BANK_W-1:0]   bank;
        logic                combine;
        logic                product;
        logic                first;
        logic                spaced;
        logic                last;
        logic [15:0]         dim;
        dtype_e              dtype;
        pooling_e            pooling;
        logic                partial;
        logic                mul_then_add;
        logic [31:0]         weight;
        logic [CNT_W-1:0]    count;
        logic [RSP_W-1:0]    rsp_addr;
    } record_t;

    // ---------------------------------------------------------------------------------------------
    // Slots: a bag goes to the next free one, so that one-key bags use all accumulators in turn
    // ---------------------------------------------------------------------------------------------
    bag_t              bag;
    logic [SLOTS-1:0]  busy_q, fresh_q;      // keys are left; none was chosen yet
    logic [SLOTS-1:0]  busy_d, fresh_d;
    logic              accept, accept_local, free_valid_q, next_free_valid, next_free;
    logic [IDX_W-1:0]  accept_idx, free_idx_q, next_free_idx;
    logic [SLOTS-1:0]  chosen_q, remote_chosen_q;  // the slots that are chosen, decoded
    logic [SLOTS-1:0]  quiet_q;    // all places of the slot are free, and no key is left
    logic [SLOTS-1:0]  free_req;
    // A bag of a remote table.
    bag_t              bag_in, remote_bag;
    logic              enter_remote, remote_valid, accept_remote, remote_any;
    logic              remote_may_q;                  // one waits: its slots are not for others meanwhile
    logic              remote_free_q, remote_choose;  // a slot is chosen for it; is being chosen
    logic [IDX_W-1:0]  remote_idx_q;
    logic [SLOTS-1:0]  remote_q;                      // slots with such a bag

    assign bag_in            = bag_t'(s_axis_bag_tdata);
    assign enter_remote      = REMOTE_SLOTS != 0 && bag_in.remote;
    assign s_axis_bag_tready = enter_remote || (free_valid_q && !accept_remote);
    assign accept_local      = s_axis_bag_tvalid && !enter_remote && free_valid_q && !accept_remote;
    assign accept            = accept_local || accept_remote;
    assign accept_idx        = accept_remote ? remote_idx_q : free_idx_q;
    assign bag               = accept_remote ? remote_bag : bag_in;

    // The slot for the next bag is chosen a cycle ahead, among those that are not chosen yet.
    always_comb begin
        free_req = ~busy_q & ~remote_q & ~chosen_q & ~remote_chosen_q;
        if (remote_may_q) free_req &= ~FOR_REMOTE;
    end

    assign next_free = accept_local || !free_valid_q;
    logic unused_free_mark;

    if (REMOTE_SLOTS == 0) begin : gen_no_remote
        assign remote_bag    = bag_in;
        assign remote_valid  = 1'b0;
        assign accept_remote = 1'b0;
        assign remote_any    = 1'b0;
        assign remote_free_q = 1'b0;
        assign remote_choose = 1'b0;
        assign remote_may_q  = 1'b0;
        assign remote_idx_q  = '0;
        assign remote_q      = '0;
        assign remote_chosen_q = '0;
        wire unused_remote = &{1'b0, remote_valid, remote_free_q, remote_choose, quiet_q};
    end else begin : gen_remote
        logic [SLOTS-1:0]                 req;
        logic [IDX_W-1:0]                 idx;
        logic                             unused_mark;
        logic                             found, queue_ready, kept_q;  // a local bag was kept waiting
        logic [$clog2(REMOTE_BAGS+4)-1:0] queue_count;
        logic [$bits(bag_t)-1:0]          remote_data;

        embnic_fifo #(.WIDTH($bits(bag_t)), .DEPTH(REMOTE_BAGS), .STYLE(2)) u_bags (
            .clk, .rst,
            .s_axis_tdata (s_axis_bag_tdata),
            .s_axis_tvalid(s_axis_bag_tvalid && enter_remote),
            .s_axis_tready(queue_ready),
            .m_axis_tdata (remote_data),
            .m_axis_tvalid(remote_valid),
            .m_axis_tready(accept_remote),
            .sts_count    (queue_count)
        );

        assign remote_bag    = bag_t'(remote_data);
        assign remote_any    = queue_count != '0;
        assign accept_remote = remote_valid && remote_free_q && !kept_q;
        assign remote_choose = remote_may_q && remote_valid && (accept_remote || !remote_free_q);

        assign req = ~busy_q & FOR_REMOTE & ~chosen_q & ~remote_chosen_q;

        localparam int unsigned CHOICES = (REMOTE_SLOTS > 1) ? REMOTE_SLOTS : 2;
        embnic_rr_arbiter #(.N(CHOICES)) u_free (
            .clk, .rst,
            .req        (req[CHOICES-1:0]),
            .mark       ('0),
            .take       (remote_choose && found),
            .grant_valid(found),
            .grant_idx  (idx[$clog2(CHOICES)-1:0]),
            .grant_mark (unused_mark)
        );
        if ($clog2(CHOICES) < IDX_W) begin : gen_above
            assign idx[IDX_W-1:$clog2(CHOICES)] = '0;
        end
        wire unused = &{1'b0, unused_mark, req};

        always_ff @(posedge clk) begin
            if (remote_choose) remote_idx_q <= idx;
            if (rst) begin
                remote_may_q    <= 1'b0;
                remote_free_q   <= 1'b0;
                remote_chosen_q <= '0;
                kept_q          <= 1'b0;
                remote_q        <= '0;
            end else begin
                remote_may_q    <= remote_valid;
                // A slot that nobody waits for goes back.
                remote_free_q   <= remote_choose ? found : remote_free_q && remote_valid;
                for (int unsigned i = 0; i < SLOTS; i++) begin
                    remote_chosen_q[i] <= remote_choose ? found && idx == IDX_W'(i) : remote_chosen_q[i] && remote_valid;
                end
                kept_q        <= accept_remote && s_axis_bag_tvalid && !enter_remote && free_valid_q;
                remote_q      <= remote_q & ~quiet_q;
                if (accept_remote) remote_q[remote_idx_q] <= 1'b1;
            end
        end

        `EMBNIC_ASSERT(remote_room, queue_ready || !(s_axis_bag_tvalid && enter_remote), "the queue holds all bags that are admitted")
        `EMBNIC_ASSERT(remote_decoded, remote_chosen_q == SLOTS'(remote_free_q) << remote_idx_q, "both forms of the chosen slot agree")
        `EMBNIC_NEVER(same_slot, free_valid_q && remote_free_q && free_idx_q == remote_idx_q, "a slot is chosen once")
        `EMBNIC_COVER(remote_waits, remote_valid && !remote_free_q && req == '0, "a bag of a remote table waits for a slot")
        `EMBNIC_COVER(remote_beside, accept_remote && s_axis_bag_tvalid && !enter_remote, "bags of both kinds wait")
    end

    embnic_rr_arbiter #(.N(SLOTS)) u_free (
        .clk, .rst,
        .req        (free_req),
        .mark       ('0),
        .take       (next_free && next_free_valid),
        .grant_valid(next_free_valid),
        .grant_idx  (next_free_idx),
        .grant_mark (unused_free_mark)
    );

    always_ff @(posedge clk) begin
        if (next_free) free_idx_q <= next_free_idx;
        if (rst) begin
            free_valid_q <= 1'b0;
            chosen_q     <= '0;
        end else if (next_free) begin
            free_valid_q <= next_free_valid;
            for (int unsigned i = 0; i < SLOTS; i++) chosen_q[i] <= next_free_valid && next_free_idx == IDX_W'(i);
        end
    end

    // ---------------------------------------------------------------------------------------------
    // pick: the next slot with keys left, not the one of the cycle before
    // ---------------------------------------------------------------------------------------------
    logic [CREDIT_W-1:0] credit_q;  // free places in the queue, keys on their way counted as there
    logic                credit_back_pop;
    logic                pick, pick_valid, pick_fresh;
    logic [IDX_W-1:0]    pick_idx;
    logic [SLOTS-1:0]    pick_req, resting_q;      // resting: the slot of the cycle before
    logic                s1_valid_q, s1_fresh_q, s1_last;
    logic [IDX_W-1:0]    s1_slot_q;

    // Places in the cache. What a key takes is subtracted in s1, so the cycle in which its slot rests
    // must do with twice as many.
    logic [SLOTS-1:0][PLACES_W-1:0] places_q, places_d, lines_q;
    logic [SLOTS-1:0]               room_q, room_d;
    logic                           back_valid_q;   // a key that made no operation gives its places and credit back
    logic [IDX_W-1:0]               back_slot_q;
    logic [PLACES_W-1:0]            back_lines_q;

    always_comb begin
        for (int unsigned s = 0; s < SLOTS; s++) begin
            places_d[s] = places_q[s] + PLACES_W'(op_credit_valid && op_credit_slot == SLOT_W'(s));
            room_d[s]   = places_q[s] >= lines_q[s];
            if (resting_q[s]) begin
                places_d[s] = places_d[s] - lines_q[s];
                room_d[s]   = (PLACES_W + 1)'(places_q[s]) >= {lines_q[s], 1'b0};
            end
            if (back_valid_q && back_slot_q == IDX_W'(s)) places_d[s] = places_d[s] + back_lines_q;
            if (accept && accept_idx == IDX_W'(s)) room_d[s] = places_q[s] >= lines_of(bag.row_beats);
        end
    end

    always_ff @(posedge clk) begin
        for (int unsigned s = 0; s < SLOTS; s++) begin
            quiet_q[s] <= !busy_q[s] && places_d[s] == PLACES_W'(PLACES) && !(accept && accept_idx == IDX_W'(s));
        end
    end

    // The last of several keys, and what follows it, waits until it is known whether the table is a TREE.
    logic [SLOTS-1:0]             last_due_q, known_q;
    logic [SLOTS-1:0][TREE_W-1:0] tree_q;         // valid when known
    logic                         s7_tells;
    logic [TREE_W-1:0]            s7_tree;

    always_comb begin
        pick_req = busy_q & room_q & ~(last_due_q & ~known_q) & ~resting_q;
    end

    assign pick = pick_valid && credit_q != '0;

    embnic_rr_arbiter #(.N(SLOTS)) u_pick (
        .clk, .rst,
        .req        (pick_req),
        .mark       (fresh_q),
        .take       (pick),
        .grant_valid(pick_valid),
        .grant_idx  (pick_idx),
        .grant_mark (pick_fresh)
    );

    always_comb begin
        busy_d  = s1_last ? busy_q & ~resting_q : busy_q;
        fresh_d = fresh_q & ~resting_q;
        if (accept) begin
            busy_d[accept_idx]  = 1'b1;
            fresh_d[accept_idx] = 1'b1;
        end
    end

    always_ff @(posedge clk) begin
        s1_slot_q  <= pick_idx;
        s1_fresh_q <= pick_fresh;
        fresh_q    <= fresh_d;
        room_q     <= room_d;
        if (accept) lines_q[accept_idx] <= lines_of(bag.row_beats);
        if (rst) begin
            busy_q     <= '0;
            places_q   <= {SLOTS{PLACES_W'(PLACES)}};
            s1_valid_q <= 1'b0;
            resting_q  <= '0;
            credit_q   <= CREDIT_W'(QUEUE);
        end else begin
            busy_q     <= busy_d;
            places_q   <= places_d;
            s1_valid_q <= pick;
            for (int unsigned i = 0; i < SLOTS; i++) resting_q[i] <= pick && pick_idx == IDX_W'(i);
            credit_q   <= credit_q - CREDIT_W'(pick) + CREDIT_W'(back_valid_q) + CREDIT_W'(credit_back_pop);
        end
    end

    // ---------------------------------------------------------------------------------------------
    // s1: the bag as it came, and where it stands now
    // ---------------------------------------------------------------------------------------------
    bag_t              s1_bag;
    logic [$bits(bag_t)-1:0] s1_bag_data;
    logic              s1_bag_one, here_zero, here_one;       // keys, compared when they were written
    logic              s1_zero, s1_one, s1_two, next_zero, next_one;
    logic [WORD_W-1:0] s1_word, next_word, here_word;
    logic [15:0]       s1_keys, next_keys, here_keys;
    logic [MERGE_W-1:0] s1_merges, next_merges, here_merges;  // partials left
    logic [BEAT_W-1:0] s1_vector, next_vector, here_vector;   // the next vector of the init RAM
    logic              s1_load, s1_init;                      // the accumulator; no key
    logic              s1_combine, s1_tail;                   // a running sum; the key before the first of them
    logic [TREE_W-1:0] s1_tree;
    init_t             s1_where;
    logic              s1_product, s1_pair_short, s1_stay;    // pairs; the next item has the same key
    pair_e             s1_pair, next_pair;
    logic [1:0]        here_pair;

    embnic_ram_1r1w #(.WIDTH(1 + $bits(bag_t)), .DEPTH(SLOTS), .STYLE(1)) u_bags (
        .clk,
        .wr_en  (accept),
        .wr_addr(accept_idx),
        .wr_data({bag.keys == 16'd1, bag}),
        .rd_en  (pick),
        .rd_addr(pick_idx),
        .rd_data({s1_bag_one, s1_bag_data})
    );

    embnic_ram_1r1w #(.WIDTH(4 + WORD_W + 16 + MERGE_W + BEAT_W), .DEPTH(SLOTS), .STYLE(1)) u_progress (
        .clk,
        .wr_en  (s1_valid_q),
        .wr_addr(s1_slot_q),
        .wr_data({next_zero, next_one, next_pair, next_word, next_keys, next_merges, next_vector}),
        .rd_en  (pick),
        .rd_addr(pick_idx),
        .rd_data({here_zero, here_one, here_pair, here_word, here_keys, here_merges, here_vector})
    );

    assign s1_bag  = bag_t'(s1_bag_data);
    assign s1_word = s1_fresh_q ? s1_bag.word : here_word;
    assign s1_keys = s1_fresh_q ? s1_bag.keys : here_keys;
    assign s1_zero = !s1_fresh_q && here_zero;
    assign s1_one  = s1_fresh_q ? s1_bag_one : here_one;
    assign s1_two  = s1_keys == 16'd2;
    assign s1_merges = s1_fresh_q ? s1_bag.merges : here_merges;
    assign s1_vector = s1_fresh_q ? s1_bag.init_addr : here_vector;
    assign s1_load   = s1_fresh_q && s1_bag.init;
    assign s1_tree    = (s1_fresh_q || s1_product) ? '0 : tree_q[s1_slot_q];
    assign s1_init    = s1_load || s1_zero;  // behind the last key only partials or running sums are left
    assign s1_combine = s1_zero && s1_tree != '0;
    assign s1_tail    = !s1_load && s1_one && s1_tree != '0;
    assign s1_product    = PRODUCTS && s1_bag.product;
    assign s1_pair       = (s1_fresh_q || !s1_product) ? PAIR_FIRST : pair_e'(here_pair);
    assign s1_pair_short = !s1_bag.weighted && !dtype_quantised(s1_bag.dtype);
    assign s1_stay       = (s1_pair == PAIR_SECOND && !s1_pair_short) || s1_pair == PAIR_MULTIPLY;
    assign s1_last    = !s1_load && !s1_tail && !s1_stay &&
                        ((s1_zero && s1_merges == MERGE_W'(1)) || (s1_one && s1_merges == '0));

    always_comb begin
        s1_where = '{unused: '0, release_bank: s1_load ? s1_merges == '0 : s1_last, addr: s1_vector};
        if (s1_combine) s1_where = '{unused: '0, release_bank: 1'b0, addr: BEAT_W'(s1_merges)};
    end

    always_comb begin
        next_word   = s1_word;
        next_keys   = s1_keys;
        next_zero   = s1_zero;
        next_one    = s1_one;
        next_merges = s1_merges;
        next_vector = s1_vector;
        next_pair   = PAIR_FIRST;
        if (s1_product && !s1_init) begin
            unique case (s1_pair)
                PAIR_FIRST:    next_pair = PAIR_SECOND;
                PAIR_SECOND:   next_pair = s1_pair_short ? PAIR_FIRST : PAIR_MULTIPLY;
                PAIR_MULTIPLY: next_pair = PAIR_ADD;
                default:       next_pair = PAIR_FIRST;
            endcase
        end
        if (s1_init) begin
            next_vector = s1_vector + s1_bag.vec_beats;
            if (!s1_load) next_merges = s1_merges - MERGE_W'(1);
        end else if (!s1_stay) begin
            next_word = s1_word + (s1_bag.weighted ? WORD_W'(2) : WORD_W'(1));
            next_keys = s1_keys - 16'd1;
            next_zero = s1_one;
            next_one  = s1_two;
            if (s1_tail) next_merges = ~(~MERGE_W'(0) << s1_tree);
        end
    end

    // ---------------------------------------------------------------------------------------------
    // s2 .. s4: read the key store, select key and weight
    // ---------------------------------------------------------------------------------------------
    item_t              s1_item;
    item_t              s2_q, s3_q, s4_q, s5_q, s6_q, s7_q, s8_q;
    logic               s2_valid_q, s3_valid_q, s4_valid_q, s5_valid_q;
    logic               s6_valid_q, s7_valid_q, s8_valid_q;
    logic [WORD_W-1:0]  s2_word_q;
    logic [WORD_AW-1:0] s3_lane_q, s4_lane_q;

    assign s1_item = '{
        slot:       s1_slot_q,
        ctx:        s1_bag.ctx,
        init:       s1_init,
        combine:    s1_combine,
        piece:      s1_bag.piece,
        where:      s1_where,
        start:      s1_fresh_q,
        last:       s1_last,
        merge:      s1_bag.merge,
        product:    s1_product,
        pair:       s1_pair,
        pair_short: s1_pair_short,
        weighted:   s1_bag.weighted && !s1_init,
        partial:    s1_bag.partial,
        init_count: s1_bag.init_count,
        rsp_addr:   s1_bag.rsp_addr,
        vec_beats:  s1_bag.vec_beats,
        row_beats:  s1_bag.row_beats,
        dim:        s1_bag.dim,
        dtype:      s1_bag.dtype
    };

    always_ff @(posedge clk) begin
        s2_q      <= s1_item;
        s2_word_q <= s1_word;
        s3_q      <= s2_q;
        s3_lane_q <= s2_word_q[WORD_AW-1:0];
        s4_q      <= s3_q;
        s4_lane_q <= s3_lane_q;
        s5_q      <= s4_q;
        s6_q      <= s5_q;
        s7_q      <= s6_q;
        s8_q      <= s7_q;
        if (rst) begin
            {s2_valid_q, s3_valid_q, s4_valid_q, s5_valid_q} <= '0;
            {s6_valid_q, s7_valid_q, s8_valid_q}             <= '0;
        end else begin
            {s2_valid_q, s3_valid_q, s4_valid_q} <= {s1_valid_q, s2_valid_q, s3_valid_q};
            {s5_valid_q, s6_valid_q, s7_valid_q} <= {s4_valid_q, s5_valid_q, s6_valid_q};
            s8_valid_q                           <= s7_valid_q;
        end
    end

    assign ks_rd_en   = s2_valid_q && !s2_q.init;
    assign ks_rd_addr = KS_W'(s2_word_q[WORD_AW+:KS_AW]);

    // The weight of an entry is the low half of the word after its key, always in the same beat.
    key_t        s5_key_q, s6_key_q, s7_key_q, s8_key_q;
    logic        s5_bad_q, s6_bad_q, s7_bad_q;
    logic [31:0] s4_weight, s5_weight_q, s6_weight_q, s7_weight_q, s8_weight_q;

    assign s4_weight = ks_rd_data[{s4_lane_q | WORD_AW'(1), 6'd0}+:32];

    always_ff @(posedge clk) begin
        s5_key_q    <= key_t'(ks_rd_data[{s4_lane_q, 6'd0}+:64]);
        s5_weight_q <= s4_q.weighted ? s4_weight : ONE;
        s5_bad_q    <= ks_rd_bad;
        s6_bad_q    <= s5_bad_q;
        s7_bad_q    <= s6_bad_q;
        s6_key_q    <= s5_key_q;
        s6_weight_q <= s5_weight_q;
        s7_key_q    <= s6_key_q;
        s7_weight_q <= s6_weight_q;
        s8_key_q    <= s7_key_q;
        s8_weight_q <= s7_weight_q;
    end

    // ---------------------------------------------------------------------------------------------
    // s5, s6: read the descriptor; row * stride modulo the card memory, in two halves
    // ---------------------------------------------------------------------------------------------
    localparam int unsigned ROW64_W = BEAT_W - $clog2(BPW);
    logic [ROW64_W-1:0]         s5_row64;
    logic [HALF_W+ROW64_W-1:0]  s6_low_q, s6_high_q;
    logic [UNIT_W-1:0]          s7_offset_q;
    logic                       s6_exists_q, s7_exists_q, s6_null_q, s7_null_q;

    assign desc_rd_en   = s5_valid_q && !s5_q.init;
    assign desc_rd_addr = s5_key_q.tbl[TBL_AW-1:0];
    assign s5_row64     = s5_q.row_beats[BEAT_W-1:$clog2(BPW)];

    always_ff @(posedge clk) begin
        s6_low_q    <= s5_key_q.row[HALF_W-1:0] * s5_row64;
        s6_high_q   <= s5_key_q.row[UNIT_W-1:HALF_W] * s5_row64;
        s7_offset_q <= UNIT_W'(s6_low_q) + {s6_high_q[HALF_W-1:0], HALF_W'(0)};
        s6_exists_q <= s5_key_q.tbl < TABLE_W'(TABLES);
        s7_exists_q <= s6_exists_q;
        s6_null_q   <= row_is_null(s5_key_q.row);
        s7_null_q   <= s6_null_q;
    end

    // ---------------------------------------------------------------------------------------------
    // s7: what can be said of the key alone
    // ---------------------------------------------------------------------------------------------
    descriptor_t       s7_desc;
    status_e           s7_status, s8_status_q;   // OK: not refused by the table
    logic              s8_known_q;               // the table exists
    logic              s8_out_q;                 // init, null, or refused by the table or because it differs
    // Row numbers are compared in two halves, put together in s8.
    localparam int unsigned CUT = ROW_W / 2;
    logic              s8_high_over_q, s8_high_same_q, s8_low_over_q;
    logic              s8_high_padding_q, s8_low_padding_q;
    logic              s8_null_q, s8_padding, s8_out_of_range, s8_mul_then_add_q;
    logic              s8_is_tree_q;
    logic [BANK_W-1:0] s8_mask_q;                // TREE: running sums, less one
    pooling_e          s8_pooling_q;
    logic              s8_remote_q;              // the rows live on another card: this one
    logic [7:0]        s8_owner_q, s8_generation_q;
    logic [UNIT_W-1:0] s8_unit_q;

    assign s7_desc = descriptor_t'(desc_rd_data);

    // Running sums that this card has, of vectors that leave room for them.
    logic s7_tree_fits;
    always_comb begin
        s7_tree_fits = 1'b0;
        for (int unsigned k = 1; k <= 4; k++) begin
            if ((1 << k) <= TREE_K && s7_desc.tree_k_log2 == 4'(k)) begin
                s7_tree_fits = !s7_q.piece && 32'(s7_q.vec_beats) <= VEC_BEATS >> k;
            end
        end
    end

    // The tables of the keys before: a bag has one, that of pairs two.
    typedef struct packed {
        logic               seen;
        logic [TABLE_W-1:0] tbl;
        logic               second_seen;   // of pairs: the second keys' table
        logic [TABLE_W-1:0] second_tbl;
        logic               mul_then_add;  // of the first of them
    } tables_t;

    tables_t                    s7_tables, s7_tables_next;
    logic [$bits(tables_t)-1:0] s7_tables_data;
    logic                       s7_second, s7_differs, s8_differs_q;

    embnic_ram_1r1w #(.WIDTH($bits(tables_t)), .DEPTH(SLOTS), .STYLE(1)) u_tables (
        .clk,
        .wr_en  (s7_valid_q),
        .wr_addr(s7_q.slot),
        .wr_data(s7_tables_next),
        .rd_en  (s6_valid_q),
        .rd_addr(s6_q.slot),
        .rd_data(s7_tables_data)
    );

    assign s7_tables = s7_q.start ? '0 : tables_t'(s7_tables_data);
    assign s7_second  = s7_q.pair != PAIR_FIRST;
    assign s7_differs = s7_second ? s7_tables.second_seen && s7_tables.second_tbl != s7_key_q.tbl
                                  : s7_tables.seen && s7_tables.tbl != s7_key_q.tbl;

    always_comb begin
        s7_tables_next = s7_tables;
        if (!s7_q.init) begin
            s7_tables_next.seen = 1'b1;
            if (!s7_tables.seen) begin
                s7_tables_next.tbl          = s7_key_q.tbl;
                s7_tables_next.mul_then_add = s7_desc.mul_then_add;
            end
            if (s7_second) begin
                s7_tables_next.second_seen = 1'b1;
                if (!s7_tables.second_seen) s7_tables_next.second_tbl = s7_key_q.tbl;
            end
        end
    end

    // The first item of a bag of several tells its slot. It does so once: the bag ends after that.
    assign s7_tells = s7_valid_q && s7_q.start && !s7_q.last;
    assign s7_tree  = (!s7_q.init && !s7_q.merge && !s7_q.product && s7_exists_q && s7_desc.valid && s7_desc.order == ORDER_TREE && s7_tree_fits)
                      ? s7_desc.tree_k_log2[TREE_W-1:0] : '0;

    always_ff @(posedge clk) begin
        if (s7_tells) tree_q[s7_q.slot] <= s7_tree;
        if (rst) begin
            last_due_q <= '0;
            known_q    <= '0;
        end else begin
            if ((next_zero || next_one) && !s1_product) last_due_q <= last_due_q | resting_q;
            if (s7_tells) known_q[s7_q.slot] <= 1'b1;
            if (accept) begin
                last_due_q[accept_idx] <= 1'b0;
                known_q[accept_idx]    <= 1'b0;
            end
        end
    end

    always_comb begin
        s7_status = STATUS_OK;
        if (s7_bad_q) begin
            s7_status = STATUS_MEMORY_ERROR;
        end else if (!s7_exists_q || !s7_desc.valid) begin
            s7_status = STATUS_UNKNOWN_TABLE;
        end else if ((s7_desc.order == ORDER_TREE && !s7_tree_fits) || s7_desc.order == ORDER_MEMO ||
                (s7_q.merge && s7_desc.order != ORDER_SPLIT) || (s7_desc.remote && REMOTE_SLOTS == 0) || s7_desc.memo ||
                (s7_q.product && (s7_desc.order != ORDER_SEQUENTIAL || s7_desc.pooling != POOLING_SUM || s7_desc.remote))) begin
            s7_status = STATUS_UNSUPPORTED;
        end else if (s7_desc.dim != s7_q.dim || s7_desc.dtype != s7_q.dtype ||
                     (s7_q.weighted && s7_desc.pooling != POOLING_SUM)) begin
            s7_status = STATUS_TABLE_MISMATCH;
        end else if (s7_desc.pooling == POOLING_NONE && !(s7_q.start && s7_q.last)) begin
            s7_status = STATUS_BAD_REQUEST;  // rows that are not pooled come in bags of one key
        end else if (s7_q.product && s7_q.pair == PAIR_FIRST && s7_q.last) begin
            s7_status = STATUS_BAD_REQUEST;  // half of a pair
        end
    end

    always_ff @(posedge clk) begin
        s8_status_q       <= s7_status;
        s8_out_q          <= s7_q.init || s7_null_q || s7_status != STATUS_OK || s7_differs;
        s8_is_tree_q      <= s7_desc.order == ORDER_TREE && TREE_K != 0;
        s8_mask_q         <= BANK_W'(~(~32'd0 << s7_desc.tree_k_log2));
        s8_known_q        <= s7_exists_q && s7_desc.valid && !s7_bad_q;
        s8_null_q         <= s7_null_q;
        s8_high_over_q    <= (64 - CUT)'(s7_key_q.row[ROW_W-1:CUT]) > s7_desc.rows[63:CUT];
        s8_high_same_q    <= (64 - CUT)'(s7_key_q.row[ROW_W-1:CUT]) == s7_desc.rows[63:CUT];
        s8_low_over_q     <= s7_key_q.row[CUT-1:0] >= s7_desc.rows[CUT-1:0];
        s8_high_padding_q <= s7_desc.has_padding &&
            (64 - CUT)'(s7_key_q.row[ROW_W-1:CUT]) == s7_desc.padding_row[63:CUT];
        s8_low_padding_q  <= s7_key_q.row[CUT-1:0] == s7_desc.padding_row[CUT-1:0];
        s8_mul_then_add_q <= s7_q.init ? s7_tables.mul_then_add : s7_desc.mul_then_add;
        s8_differs_q      <= s7_differs;
        s8_pooling_q      <= s7_desc.pooling;
        s8_remote_q       <= s7_desc.remote;
        s8_owner_q        <= s7_desc.owner;
        s8_generation_q   <= s7_desc.generation;
        s8_unit_q         <= s7_desc.base[ADDR_W-1:6] + s7_offset_q;
    end

    // ---------------------------------------------------------------------------------------------
    // s8: what depends on the keys before it: of its bag (table, count) and of its request
    // (pooling)
    // ---------------------------------------------------------------------------------------------
    typedef struct packed {
        logic               half;        // the first row of the pair was read
        logic               any;         // something was accumulated
        logic [BANK_W-1:0]  next;        // TREE: running sum of the next row
        logic               full;        // every running sum holds a row
        logic [CNT_W-1:0]   count;
    } state_t;

    state_t                       s8_ram, s8_state, s8_state_next;
    logic [$bits(state_t)-1:0]    s8_ram_data;
    localparam int unsigned CTX_AW = $clog2(CTXS);
    logic [CTXS-1:0]              pooling_seen_q, pooling_seen_d;
    logic [CTXS-1:0][1:0]         pooling_q, pooling_d;
    logic                         s8_ctx_seen_q;      // the request's pooling is known: this one
    pooling_e                     s8_ctx_pooling_q;
    logic [CNT_W-1:0]             s8_count_up;
    status_e                      s8_status;
    logic                         s8_one_line;
    logic [LINE_CHUNKS_W-1:0]     s8_chunks_up;       // of a row of one line, and what rounds to beats
    logic                         s8_pooling_differs; // from that of the request's tables before
    logic                         s8_contributes, s8_push;
    logic                         s8_load;            // a vector of the init RAM
    logic                         s8_combine;         // a running sum that holds a row is added
    logic [BANK_W-1:0]            s8_sum, s8_bank;
    logic                         s8_first, s8_spaced;
    logic                         s8_second, s8_again, s8_orphan;  // second key of a pair; not for the first time
    logic                         s8_ends_pair, s8_unpooled, s8_there;
    logic                         s8_adds;            // a row, or a product, is added
    record_t                      s8_record, s9_record_q;
    logic                         s9_valid_q;

    embnic_ram_1r1w #(.WIDTH($bits(state_t)), .DEPTH(SLOTS), .STYLE(1)) u_state (
        .clk,
        .wr_en  (s8_valid_q),
        .wr_addr(s8_q.slot),
        .wr_data(s8_state_next),
        .rd_en  (s7_valid_q),
        .rd_addr(s7_q.slot),
        .rd_data(s8_ram_data)
    );

    assign s8_ram         = state_t'(s8_ram_data);
    // What accumulator and partials hold is counted at the start: only the last count matters.
    always_comb begin
        s8_state = s8_ram;
        if (s8_q.start) begin
            s8_state       = '0;
            s8_state.count = s8_q.init_count;
        end
    end
    assign s8_count_up    = s8_state.count + CNT_W'(1);
    assign s8_second      = s8_q.pair != PAIR_FIRST;
    assign s8_again       = s8_q.pair == PAIR_MULTIPLY || s8_q.pair == PAIR_ADD;
    assign s8_ends_pair   = s8_q.pair == PAIR_ADD || (s8_q.pair == PAIR_SECOND && s8_q.pair_short);
    assign s8_one_line     = s8_q.row_beats <= BEAT_W'(LINE_BEATS);
    assign s8_chunks_up    = LINE_CHUNKS_W'(s8_q.vec_beats) +
                             (LINE_CHUNKS_W'(header_of(s8_q.dtype)) + ~(~LINE_CHUNKS_W'(0) << dtype_expand(s8_q.dtype)));
    assign s8_pooling_differs = s8_ctx_seen_q && s8_ctx_pooling_q != s8_pooling_q;
    assign s8_padding      = s8_high_padding_q && s8_low_padding_q && !s8_null_q;
    assign s8_out_of_range = (s8_high_over_q || (s8_high_same_q && s8_low_over_q)) && !s8_null_q;

    always_comb begin
        s8_status = s8_status_q;
        if (s8_status_q == STATUS_OK) begin
            if (s8_out_of_range) begin
                s8_status = STATUS_OUT_OF_RANGE;
            end else if (s8_differs_q || s8_pooling_differs) begin
                s8_status = STATUS_TABLE_MISMATCH;
            end
        end
        if (s8_q.init) s8_status = STATUS_OK;

        // The same as !init, OK, neither null nor the padding row, without waiting for the status.
        s8_there       = !s8_out_q && !(s8_high_over_q || (s8_high_same_q && s8_low_over_q)) && !s8_pooling_differs &&
                         !(s8_high_padding_q && s8_low_padding_q);
        s8_orphan      = s8_there && s8_second && !s8_again && !s8_state.half;
        s8_contributes = s8_there && (!s8_second || s8_state.half);
        s8_adds        = s8_contributes && (!s8_q.product || s8_ends_pair);
        s8_unpooled    = s8_contributes && s8_q.product && !s8_again && !s8_ends_pair;
        s8_load        = s8_q.init && !s8_q.combine;
        // What is counted of a TREE are its rows: sum c holds one when there are more than c.
        s8_sum         = BANK_W'(s8_q.where.addr);
        s8_combine     = s8_q.combine && (s8_state.full || s8_state.next > s8_sum);
        s8_push        = s8_load || s8_combine || s8_contributes || s8_q.last;
        s8_bank        = s8_combine ? combined_with(s8_sum)
                       : (s8_contributes && s8_is_tree_q) ? s8_state.next : '0;
        if (s8_q.product && s8_contributes && !s8_ends_pair) begin
            s8_bank = (s8_q.pair == PAIR_SECOND) ? PAIR_SECOND_BANK : PAIR_FIRST_BANK;
        end

        s8_first  = !s8_state.any;
        s8_spaced = s8_state.any;
        if (s8_contributes && s8_is_tree_q) begin
            s8_first  = !s8_state.full;
            s8_spaced = s8_state.full && s8_state.next == '0;
        end
        if (s8_combine) begin
            s8_spaced = (s8_sum & (s8_sum + BANK_W'(1))) == '0
                        || (!s8_state.full && s8_state.next == s8_sum + BANK_W'(1));
        end

        // Rows of a pair read nothing. What ends a bag comes behind them even if it does not read them: a slot is
        // given away with all its writes done.
        if (s8_q.product && !s8_q.init) begin
            if (s8_contributes && !s8_ends_pair) s8_first = s8_q.pair != PAIR_MULTIPLY;
            s8_spaced = s8_ends_pair || s8_q.pair == PAIR_MULTIPLY || s8_q.last;
        end

        s8_state_next = s8_state;
        s8_state_next.any = s8_state.any || s8_load || s8_adds;
        if (s8_contributes && s8_is_tree_q) begin
            s8_state_next.next = (s8_state.next + BANK_W'(1)) & s8_mask_q;
            s8_state_next.full = s8_state.full || s8_state.next == s8_mask_q;
        end
        if (!s8_q.init) begin
            s8_state_next.count = s8_adds ? s8_count_up : s8_state.count;
            s8_state_next.half  = s8_contributes;
        end

        s8_record = '{
            kind:         s8_load ? OP_INIT : (s8_contributes && !s8_again) ? OP_ROW : OP_FLUSH,
            slot:         s8_q.slot,
            ctx:          s8_q.ctx,
            tbl:          s8_key_q.tbl,
            row:          s8_q.init ? ROW_W'(s8_q.where)
                          : s8_again ? ROW_W'(s8_q.pair == PAIR_MULTIPLY ? PAIR_SECOND_BANK : PAIR_FIRST_BANK)
                          : s8_key_q.row,
            unit:         s8_unit_q,
            remote:       s8_contributes && s8_remote_q,
            owner:        (s8_contributes && s8_remote_q) ? s8_owner_q : '0,
            generation:   (s8_contributes && s8_remote_q) ? s8_generation_q : '0,
            vec_beats:    s8_q.vec_beats,
            row_beats:    s8_q.row_beats,
            one_line:     s8_one_line,
            fetch_beats:  s8_one_line ? BEAT_W'(s8_chunks_up >> dtype_expand(s8_q.dtype)) : BEAT_W'(LINE_BEATS),
            bank:         s8_bank,
            combine:      s8_combine || (s8_again && s8_contributes),
            product:      s8_q.product && s8_contributes && (s8_q.pair_short ? s8_second : s8_q.pair == PAIR_MULTIPLY),
            first:        s8_first,
            spaced:       s8_spaced,
            last:         s8_q.last,
            dim:          s8_q.dim,
            dtype:        s8_q.dtype,
            pooling:      s8_q.init ? s8_ctx_pooling_q : s8_unpooled ? POOLING_NONE : s8_pooling_q,
            partial:      s8_q.partial,
            mul_then_add: s8_mul_then_add_q,
            weight:       (s8_q.product && s8_q.pair != PAIR_ADD) ? ONE : s8_weight_q,
            count:        s8_state_next.count,
            rsp_addr:     s8_q.rsp_addr
        };
    end

    // The first table seen sets a request's pooling. A context is used again only after its request is complete, so
    // no key of an earlier request is in the pipeline when the first bag of the next one clears it, a cycle after it came.
    logic              clear_q;
    logic [CTX_AW-1:0] clear_ctx_q;
    logic              s8_tells, s7_same_ctx;

    assign s8_tells    = s8_valid_q && !s8_q.init && s8_known_q;
    assign s7_same_ctx = s8_tells && s8_q.ctx[CTX_AW-1:0] == s7_q.ctx[CTX_AW-1:0];

    always_comb begin
        pooling_seen_d = pooling_seen_q;
        pooling_d      = pooling_q;
        if (s8_tells) begin
            pooling_seen_d[s8_q.ctx[CTX_AW-1:0]] = 1'b1;
            if (!s8_ctx_seen_q) pooling_d[s8_q.ctx[CTX_AW-1:0]] = s8_pooling_q;
        end
        if (clear_q) pooling_seen_d[clear_ctx_q] = 1'b0;
    end

    always_ff @(posedge clk) begin
        clear_q          <= s_axis_bag_tvalid && s_axis_bag_tready && bag_in.first;
        clear_ctx_q      <= bag_in.ctx[CTX_AW-1:0];
        s8_ctx_seen_q    <= pooling_seen_q[s7_q.ctx[CTX_AW-1:0]] || s7_same_ctx;
        s8_ctx_pooling_q <= (s7_same_ctx && !s8_ctx_seen_q) ? s8_pooling_q
                                                            : pooling_e'(pooling_q[s7_q.ctx[CTX_AW-1:0]]);
        pooling_q   <= pooling_d;
        s9_record_q <= s8_record;
        err_ctx     <= s8_q.ctx;
        err_status  <= s8_status;
        if (rst) begin
            pooling_seen_q  <= '0;
            s9_valid_q      <= 1'b0;
            err_valid       <= 1'b0;
            evt_key         <= 1'b0;
            evt_key_null    <= 1'b0;
            evt_key_padding <= 1'b0;
            evt_key_refused <= 1'b0;
            evt_bag         <= 1'b0;
        end else begin
            pooling_seen_q  <= pooling_seen_d;
            s9_valid_q      <= s8_valid_q && s8_push;
            err_valid       <= s8_valid_q && s8_status != STATUS_OK && (!s8_again || s8_status == STATUS_MEMORY_ERROR);
            evt_key         <= s8_valid_q && !s8_q.init && !s8_again;
            evt_key_null    <= s8_valid_q && !s8_q.init && !s8_again && (s8_null_q || s8_orphan);
            evt_key_padding <= s8_valid_q && !s8_q.init && !s8_again && s8_padding && s8_status == STATUS_OK;
            evt_key_refused <= s8_valid_q && s8_status != STATUS_OK && !s8_null_q && !s8_again;
            evt_bag         <= s8_valid_q && s8_q.last;
        end
    end

    always_ff @(posedge clk) begin
        back_slot_q  <= s8_q.slot;
        back_lines_q <= lines_of(s8_q.row_beats);
        back_valid_q <= !rst && s8_valid_q && !s8_push;
    end

    // ---------------------------------------------------------------------------------------------
    // Queue, then one operation for each line
    // ---------------------------------------------------------------------------------------------
    record_t                    record;
    logic [$bits(record_t)-1:0] record_data;
    logic                       record_valid, record_ready, queue_ready;
    logic [$clog2(QUEUE+4)-1:0] queue_count;

    embnic_fifo #(.WIDTH($bits(record_t)), .DEPTH(QUEUE), .STYLE(1)) u_queue (
        .clk, .rst,
        .s_axis_tdata (s9_record_q),
        .s_axis_tvalid(s9_valid_q),
        .s_axis_tready(queue_ready),
        .m_axis_tdata (record_data),
        .m_axis_tvalid(record_valid),
        .m_axis_tready(record_ready),
        .sts_count    (queue_count)
    );

    // A row as stored is cut into lines; each gives the vector beats whose chunks lie in it. What
    // holds no row (FLUSH, INIT) is cut the same way.

    logic [SEG_W-1:0]         seg_q;
    logic [BEAT_W-1:0]        beat_base_q, stored_left_q, stored_left, vec_left_q, vec_left, beats;
    logic [1:0]               expand;
    logic                     first_seg, last_seg, last_seg_q, op_ready;
    logic [CHUNK_W-1:0]       chunk;
    logic [LINE_CHUNKS_W-1:0] line_chunks, chunks_up;   // up: of the last line, and what rounds to beats
    logic [BEAT_W-1:0]        fetch_beats;   // up to the last chunk: what lies behind it is padding
    op_t                      op;

    assign record          = record_t'(record_data);
    assign expand          = dtype_expand(record.dtype);
    assign first_seg       = seg_q == '0;
    assign stored_left     = first_seg ? record.row_beats : stored_left_q;
    assign vec_left        = first_seg ? record.vec_beats : vec_left_q;
    assign last_seg        = first_seg ? record.one_line : last_seg_q;
    assign chunk           = first_seg ? header_of(record.dtype) : '0;
    assign line_chunks     = (LINE_CHUNKS_W'(LINE_BEATS) << expand) - LINE_CHUNKS_W'(chunk);
    assign beats           = last_seg ? vec_left : BEAT_W'(line_chunks);
    assign chunks_up       = LINE_CHUNKS_W'(vec_left_q) + ~(~LINE_CHUNKS_W'(0) << expand);
    assign fetch_beats     = first_seg ? record.fetch_beats
                           : last_seg_q ? BEAT_W'(chunks_up >> expand) : BEAT_W'(LINE_BEATS);
    assign record_ready    = op_ready && last_seg;
    assign credit_back_pop = record_valid && record_ready;

    assign op = '{
        kind:         record.kind,
        slot:         SLOT_W'(record.slot),
        ctx:          record.ctx,
        tbl:          record.tbl,
        row:          record.row,
        seg:          seg_q,
        addr:         {record.unit, 6'd0} + ADDR_W'(seg_q) * ADDR_W'(LINE_BYTES),
        remote:       record.remote,
        owner:        record.owner,
        generation:   record.generation,
        dtype:        record.dtype,
        fetch_beats:  fetch_beats,
        header:       record.kind == OP_ROW && chunk != '0,
        chunk:        chunk,
        beats:        beats,
        beat_base:    beat_base_q,
        bank:         record.bank,
        combine:      record.combine,
        product:      record.product,
        first:        record.first,
        spaced:       record.spaced,
        last:         record.last,
        first_seg:    first_seg,
        last_seg:     last_seg,
        dim:          record.dim,
        pooling:      record.pooling,
        partial:      record.partial,
        mul_then_add: record.mul_then_add,
        weight:       record.weight,
        count:        record.count,
        rsp_addr:     record.rsp_addr
    };

    always_ff @(posedge clk) begin
        if (record_valid && op_ready) begin
            stored_left_q <= stored_left - BEAT_W'(LINE_BEATS);
            last_seg_q    <= stored_left <= BEAT_W'(2 * LINE_BEATS);
            vec_left_q    <= vec_left - BEAT_W'(line_chunks);
        end
        if (rst) begin
            seg_q       <= '0;
            beat_base_q <= '0;
        end else if (record_valid && op_ready) begin
            seg_q       <= last_seg ? '0 : seg_q + SEG_W'(1);
            beat_base_q <= last_seg ? '0 : beat_base_q + BEAT_W'(line_chunks);
        end
    end

    embnic_skid #(.WIDTH($bits(op_t))) u_op (
        .clk, .rst,
        .s_axis_tdata (op),
        .s_axis_tvalid(record_valid),
        .s_axis_tready(op_ready),
        .m_axis_tdata (m_axis_op_tdata),
        .m_axis_tvalid(m_axis_op_tvalid),
        .m_axis_tready(m_axis_op_tready)
    );

    // Registered: late to say so, and never at rest with a bag taken.
    always_ff @(posedge clk) begin
        sts_idle <= busy_q == '0 && !remote_any && credit_q == CREDIT_W'(QUEUE) && !m_axis_op_tvalid &&
                    !s_axis_bag_tvalid;
    end

    // Fields that only some stages need, word addresses beyond the key store, descriptor fields of
    // later versions.
    wire unused = &{1'b0, bag, bag_in, s1_bag.first, s1_bag.remote, s8_q, s2_word_q, s8_key_q.last, s6_high_q, s7_desc};

    // Assertions
    `EMBNIC_STABLE(bag_stable, s_axis_bag_tvalid, s_axis_bag_tready, s_axis_bag_tdata,
        "a bag offered holds until it is taken")
    `EMBNIC_STABLE(op_stable, m_axis_op_tvalid, m_axis_op_tready, m_axis_op_tdata,
        "an operation offered holds until it is taken")
    `EMBNIC_KNOWN(bag_ready_known, s_axis_bag_tready, "tready is known after reset")
    `EMBNIC_KNOWN(op_valid_known, m_axis_op_tvalid, "tvalid is known after reset")
    `EMBNIC_ASSERT(there, !s8_valid_q || s8_there == (!s8_q.init && s8_status == STATUS_OK && !s8_null_q && !s8_padding),
        "both ways of looking at a key agree")
    `EMBNIC_NEVER(queue_overflow, s9_valid_q && !queue_ready, "a credit is a place in the queue")
    `EMBNIC_NEVER(credit_overflow, credit_q > CREDIT_W'(QUEUE), "no more credits than places")
    `EMBNIC_NEVER(credit_lost, 32'(queue_count) + 32'(credit_q) > QUEUE,
        "a key in the queue holds a credit")
    for (genvar s = 0; s < int'(SLOTS); s++) begin : gen_assert
        `EMBNIC_NEVER(places_over, places_q[s] > PLACES_W'(PLACES), "no more places than the cache has")
    end
    `EMBNIC_NEVER(row_too_long, accept && 32'(bag.row_beats) > PLACES * LINE_BEATS,
        "a row has no more lines than its slot places")
    `EMBNIC_NEVER(slot_twice, s1_valid_q && s2_valid_q && s1_slot_q == s2_q.slot,
        "a slot rests a cycle between two keys")
    `EMBNIC_ASSERT(chosen_decoded, chosen_q == SLOTS'(free_valid_q) << free_idx_q, "both forms of the chosen slot agree")
    `EMBNIC_ASSERT(keys_compared, !s1_valid_q || {s1_zero, s1_one} == {s1_keys == '0, s1_keys == 16'd1}, "a count and what is kept of it agree")
    `EMBNIC_ASSERT(rests, resting_q == SLOTS'(s1_valid_q) << s1_slot_q, "the slot in s1 rests")
    `EMBNIC_NEVER(picked_empty, s1_valid_q && s1_keys == '0 && s1_merges == '0,
        "a slot is chosen only while it has keys, partials or running sums")
    `EMBNIC_NEVER(ctx_range, s_axis_bag_tvalid && 32'(bag_in.ctx) >= CTXS, "a bag is of a request in flight")
    `EMBNIC_NEVER(bag_empty, s_axis_bag_tvalid && bag.keys == '0, "a bag has at least one entry")
    `EMBNIC_NEVER(bag_no_beats, s_axis_bag_tvalid && bag.vec_beats == '0,
        "a vector has at least one beat")
    `EMBNIC_COVER(starved, pick_valid && credit_q == '0, "no credit is left")
    `EMBNIC_COVER(no_place, (busy_q & ~room_q) != '0, "a slot waits for places in the cache")
    `EMBNIC_COVER(all_busy, busy_q == '1, "every slot holds a bag")
    `EMBNIC_NEVER(two_tails, s1_valid_q && s1_tail && s1_merges != '0, "a bag has partials or running sums, not both")
    `EMBNIC_NEVER(merge_without_frame, accept && bag.merges != '0 && !bag.merge, "partials come with a MERGE")
    `EMBNIC_NEVER(no_products, accept && bag.product && !PRODUCTS, "pairs need PRODUCTS")
    `EMBNIC_NEVER(pair_merged, accept && bag.product && (bag.merge || bag.dtype == DTYPE_FIXED),
        "pairs come with a LOOKUP of floats or quantised rows")
    `EMBNIC_NEVER(pair_too_long, accept && bag.product && 32'(bag.vec_beats) > VEC_BEATS / 4,
        "a vector leaves room for what its pairs are made of")
    `EMBNIC_COVER(orphan, s8_valid_q && s8_orphan, "a second key whose pair contributes nothing")
    `EMBNIC_COVER(mixed_pooling, s8_valid_q && s8_status != s8_status_q,
        "tables of a bag or request disagree")
endmodule
`default_nettype wire
