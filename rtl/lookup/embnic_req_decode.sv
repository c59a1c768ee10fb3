// SPDX-License-Identifier: Apache-2.0
// Answers each accepted frame: a LOOKUP or MERGE is checked, admitted and cut into bags; everything
// else is answered or handed on.
//
// Order          frames as received; the bags of a frame in order, all before those of the next
//                frame.
// Back-pressure  any cycle, all sides; nothing is lost. s_axis_frame_tready and
//                s_axis_upd_done_tready follow alloc_ready combinationally; the frame stays at the
//                input until its reply is allocated.
// Latency        10 cycles from a frame at the input to its first bag.
// Throughput     one bag, or one key store beat without the end of a bag, per cycle; one cycle
//                between two frames, as the next frame's header is checked and its keys are read
//                during the walk over the current one. Partials are copied at a beat per cycle.
// Errors         a frame that contradicts itself is answered ERROR: at once when the header shows
//                it, else with close_status after the bags before the contradiction were
//                dispatched. So with MEMORY_ERROR a frame of which a key store beat is wrong.
// Quiesce        with cfg_quiesce a request that would be executed is answered BUSY instead; PING
//                and requests with a fault in the header are answered as ever. cfg_hold lets no
//                request begin that would be executed, and with it every frame behind such a one
//                waits.
// Compute        ACCUMULATE, TOPK and INTERACT go to embnic_compute, which plans their reply; without COMPUTE they are
//                answered UNSUPPORTED.
// Not handled    unknown dtypes, weights for FIXED rows, ROWS: ERROR UNSUPPORTED. PRODUCT with FIXED rows, in
//                a MERGE, or without PRODUCTS, too.
//
// Two engines share the key store port's data: the reader runs ahead and keeps only the last bits
// of the keys; the walker cuts bags from them. The reader also copies what lies before the keys,
// the accumulator of a continued bag and the partials of a MERGE, to a bank of the init RAM; those
// that hold no key are left out. A bank is claimed until init_release, or until the walk ends
// without a bag that needs it.
`default_nettype none
`include "embnic_assert.svh"
module embnic_req_decode
    import embnic_pkg::*;
    import embnic_wire_pkg::*;
#(
    parameter int unsigned DATA_W    = 128,  // bus width, bits: 128 or 512
    parameter int unsigned KS_BEATS  = 512,  // key store, beats; power of two
    parameter int unsigned MAX_VEC64 = 8,    // longest vector in 64-byte units
    parameter int unsigned INIT_UNITS = 2 * MAX_VEC64,  // a bank of the init RAM, 64-byte units; power of two
    parameter int unsigned RSP_BEATS = 512,  // reply buffer, beats; power of two; half for a reply
    parameter int unsigned TABLES    = 8,    // table descriptors; power of two
    parameter bit          PRODUCTS  = 1'b1, // take frames whose keys are pairs
    parameter bit          COMPUTE   = 1'b1, // hand on ACCUMULATE, TOPK and INTERACT
    localparam int unsigned TBL_AW   = $clog2(TABLES)
) (
    input  wire logic                            clk,
    input  wire logic                            rst,
    input  wire logic [$bits(frame_t)-1:0]       s_axis_frame_tdata,  // frame_t
    input  wire logic                            s_axis_frame_tvalid,
    output      logic                            s_axis_frame_tready,
    output      logic                            ks_rd_en,            // key store, latency 2
    output      logic [KS_W-1:0]                 ks_rd_addr,
    input  wire logic [DATA_W-1:0]               ks_rd_data,
    input  wire logic                            ks_rd_bad,           // the beat is not as it was written
    output      logic                            alloc_valid,         // a reply is to be allocated
    input  wire logic                            alloc_ready,         // there is room for it
    output      logic [$bits(reply_t)-1:0]       alloc_info,          // reply_t
    input  wire logic [CTX_W-1:0]                alloc_ctx,           // valid with alloc_ready
    input  wire logic [RSP_W-1:0]                alloc_rsp_addr,      // valid with alloc_ready
    output      logic                            close_valid,         // pulse: the walk has ended
    output      logic [CTX_W-1:0]                close_ctx,
    output      logic [15:0]                     close_bags,          // bags dispatched
    output      status_e                         close_status,
    output      logic [$bits(bag_t)-1:0]         m_axis_bag_tdata,    // bag_t
    output      logic                            m_axis_bag_tvalid,
    input  wire logic                            m_axis_bag_tready,
    output      logic                            init_wr_en,          // init RAM
    output      logic [BEAT_W-1:0]               init_wr_addr,
    output      logic [DATA_W-1:0]               init_wr_data,
    input  wire logic                            init_release,        // pulse: a bank was read
    input  wire logic [INIT_BANK_W-1:0]          init_release_bank,
    output      logic [$bits(frame_t)-1:0]       m_axis_upd_tdata,    // frame_t
    output      logic                            m_axis_upd_tvalid,
    input  wire logic                            m_axis_upd_tready,
    input  wire logic [$bits(update_done_t)-1:0] s_axis_upd_done_tdata,  // update_done_t
    input  wire logic                            s_axis_upd_done_tvalid,
    output      logic                            s_axis_upd_done_tready,
    output      logic [$bits(frame_t)-1:0]       m_axis_compute_tdata,   // frame_t: to embnic_compute
    output      logic                            m_axis_compute_tvalid,
    input  wire logic                            m_axis_compute_tready,
    input  wire logic [$bits(plan_t)-1:0]        s_axis_plan_tdata,      // plan_t: what it says of the frame
    input  wire logic                            s_axis_plan_tvalid,
    output      logic                            s_axis_plan_tready,     // its reply is allocated
    input  wire logic [TABLES-1:0]               tables_remote,       // tables whose rows live on another card
    input  wire logic                            cfg_quiesce,         // answer BUSY
    input  wire logic                            cfg_hold,            // begin nothing
    output      logic                            alloc_work,          // with alloc_valid: it is executed
    output      logic                            sts_work,            // a request to execute is in here
    output      logic                            evt_request,         // a LOOKUP or MERGE was answered
    output      logic                            evt_stall_alloc      // a reply waits for room
);
    localparam int unsigned BPW       = 512 / DATA_W;     // beats of 64 bytes
    localparam int unsigned WORDS     = DATA_W / 64;      // 8-byte words of a beat
    localparam int unsigned WORD_AW   = $clog2(WORDS);
    localparam int unsigned POS_W     = WORD_AW + 1;      // a number of words of a beat
    localparam int unsigned KS_AW     = $clog2(KS_BEATS);
    localparam int unsigned RSP_AW    = $clog2(RSP_BEATS);
    localparam int unsigned HERE_W    = KS_AW + WORD_AW;  // word address in the key store
    localparam int unsigned REPLY_MAX = RSP_BEATS / BPW / 2;
    // 64-byte units of the longest vector a header can name
    localparam int unsigned DIM_W     = 13;
    localparam int unsigned VEC_W     = $clog2(MAX_VEC64 + 1);
    localparam int unsigned UNITS_W   = 16 + VEC_W;       // 64-byte units of all vectors
    localparam int unsigned LEN_W     = 21;  // bytes of the longest payload a header can name
    localparam int unsigned PRE_W     = VEC_W + 17;       // 64-byte units before the keys
    localparam int unsigned BANK_BEATS = INIT_UNITS * BPW;
    localparam int unsigned LEFT_W    = 17;               // words of all entries a header can name
    localparam int unsigned READ_W    = KS_W + 1;         // beats to read
    localparam int unsigned AHEAD     = 8;  // beats read ahead; the loop of a credit takes 7 cycles
    localparam int unsigned CREDIT_W  = $clog2(AHEAD + 1);

    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end
    if (KS_BEATS < 2 || KS_BEATS > (1 << KS_W) ||
            (KS_BEATS & (KS_BEATS - 1)) != 0) begin : gen_bad_ks_beats
        $fatal(1, "KS_BEATS must be a power of two up to 16,384");
    end
    if (MAX_VEC64 < 1 || MAX_VEC64 > 64 ||
            MAX_VEC64 * BPW >= (1 << BEAT_W)) begin : gen_bad_max_vec64
        $fatal(1, "MAX_VEC64 must be 1 to 64");
    end
    if (INIT_UNITS < MAX_VEC64 || (INIT_UNITS & (INIT_UNITS - 1)) != 0 || INIT_UNITS >= (1 << MERGE_W) ||
            INIT_BANKS * BANK_BEATS > (1 << BEAT_W)) begin : gen_bad_init_units
        $fatal(1, "INIT_UNITS must be a power of two, for the longest vector, and its banks fit BEAT_W");
    end
    if (RSP_BEATS > (1 << RSP_W) || (RSP_BEATS & (RSP_BEATS - 1)) != 0 ||
            REPLY_MAX < MAX_VEC64) begin : gen_bad_rsp_beats
        $fatal(1, "RSP_BEATS must be a power of two up to 16,384, for two of the longest vectors");
    end

    // ---------------------------------------------------------------------------------------------
    // Header check: the frame waits at the input while its numbers are worked out in three steps, of
    // a MERGE in four
    // ---------------------------------------------------------------------------------------------
    typedef enum logic [2:0] {
        CHECK_SIZES,    // units of a vector, bytes of all entries
        CHECK_TOTALS,   // units of all vectors, bytes of the payload
        CHECK_PARTIALS, // of a MERGE: the same with its partials
        CHECK_RULES,    // everything compared
        CHECKED,        // reply allocated, or handed to embnic_update
        UPDATING,       // with embnic_update
        PLANNING        // with embnic_compute, until its reply is allocated
    } check_e;

    typedef enum logic [1:0] {
        KIND_WALK   = 2'd0,  // a LOOKUP or MERGE without a fault in its header
        KIND_ANSWER = 2'd1,  // answered without a walk
        KIND_UPDATE = 2'd2,  // UPDATE, FILL, INVALIDATE, PREFETCH
        KIND_COMPUTE = 2'd3  // ACCUMULATE, TOPK, INTERACT
    } kind_e;

    frame_t             frame;
    header_t            hdr;
    logic               flag_weighted, flag_accumulator, flag_partial, flag_product, is_merge;
    logic               has_vectors;          // an accumulator or partials lie before the keys
    check_e             check_q, check_d;
    kind_e              kind_q, kind_d;
    status_e            status_q, status_d;
    logic [DIM_W-1:0]   vec64_q;              // 64-byte units of a vector
    logic [VEC_W-1:0]   row64_q;              // and of a row as stored, which takes no more
    logic [LEN_W-1:0]   entry_bytes_q, payload_bytes_q;
    logic [READ_W-1:0]  key_beats_q;          // of the entries: known a cycle after their bytes
    logic               one_beat_q;           // one beat holds them
    logic [UNITS_W-1:0] units_q;              // of all vectors; of a MERGE those before the keys
    logic [PRE_W-1:0]   preamble_q;           // 64-byte units before the keys
    logic [15:0]        vectors, bags;        // vectors before the keys; bags of the frame
    // What the rules say of the header and of the numbers of the first step: a cycle ahead of them.
    logic               unsupported_q, no_dim_q, vec_large_q, counts_bad_q;
    logic               too_large, lengths_bad;
    logic [BEAT_W-1:0]  vec_beats, row_beats;
    logic               alloc_done;

    assign frame            = frame_t'(s_axis_frame_tdata);
    assign hdr              = frame.hdr;
    assign flag_weighted    = hdr.flags[FLAG_WEIGHTED];
    assign flag_accumulator = hdr.flags[FLAG_ACCUMULATOR];
    assign flag_product     = hdr.flags[FLAG_PRODUCT];
    assign flag_partial     = hdr.flags[FLAG_CONTINUES] || hdr.flags[FLAG_PARTIAL_WANTED];
    assign vec_beats        = BEAT_W'(vec64_q[VEC_W-1:0]) << $clog2(BPW);
    assign row_beats        = BEAT_W'(row64_q) << $clog2(BPW);
    assign alloc_done       = alloc_valid && alloc_ready;
    assign is_merge         = hdr.opcode == OPCODE_MERGE;
    assign has_vectors      = flag_accumulator || is_merge;
    assign vectors          = 16'(flag_accumulator) + (is_merge ? hdr.bags : '0);
    assign bags             = is_merge ? 16'd1 : hdr.bags;

    assign too_large   = vec_large_q || units_q > UNITS_W'(is_merge ? INIT_UNITS : REPLY_MAX);
    assign lengths_bad = LEN_W'(frame.payload_len) != payload_bytes_q;

    // The kind asks for any fault at once; which one it is comes beside it.
    always_comb begin
        kind_d   = KIND_ANSWER;
        status_d = STATUS_OK;
        unique case (hdr.opcode)
            OPCODE_LOOKUP, OPCODE_MERGE: begin
                if (!(unsupported_q || no_dim_q || too_large || counts_bad_q || lengths_bad)) kind_d = KIND_WALK;
                if (unsupported_q) begin
                    status_d = STATUS_UNSUPPORTED;
                end else if (no_dim_q) begin
                    status_d = STATUS_BAD_REQUEST;
                end else if (too_large) begin
                    status_d = STATUS_TOO_LARGE;
                end else if (counts_bad_q || lengths_bad) begin
                    status_d = STATUS_BAD_REQUEST;
                end
            end
            OPCODE_PING: begin
                if (frame.payload_len != '0) status_d = STATUS_BAD_REQUEST;
            end
            OPCODE_UPDATE, OPCODE_FILL, OPCODE_INVALIDATE, OPCODE_PREFETCH: kind_d = KIND_UPDATE;
            OPCODE_ACCUMULATE, OPCODE_TOPK, OPCODE_INTERACT: begin
                if (COMPUTE) kind_d = KIND_COMPUTE;
                else         status_d = STATUS_UNSUPPORTED;
            end
            default: status_d = STATUS_UNSUPPORTED;
        endcase
        if (cfg_quiesce && kind_d != KIND_ANSWER) begin
            kind_d   = KIND_ANSWER;
            status_d = STATUS_BUSY;
        end
    end

    always_comb begin
        check_d = check_q;
        unique case (check_q)
            CHECK_SIZES:  if (s_axis_frame_tvalid) check_d = CHECK_TOTALS;
            CHECK_TOTALS: check_d = is_merge ? CHECK_PARTIALS : CHECK_RULES;
            CHECK_PARTIALS: check_d = CHECK_RULES;
            CHECK_RULES:  if (!cfg_hold || kind_d == KIND_ANSWER) check_d = CHECKED;
            CHECKED: begin
                if (alloc_done) check_d = CHECK_SIZES;
                if (m_axis_upd_tvalid && m_axis_upd_tready) check_d = UPDATING;
                if (m_axis_compute_tvalid && m_axis_compute_tready) check_d = PLANNING;
            end
            UPDATING, PLANNING: if (alloc_done) check_d = CHECK_SIZES;
            default:  check_d = CHECK_SIZES;
        endcase
    end

    always_ff @(posedge clk) begin
        unsupported_q <= !dtype_known(hdr.dtype) || ((flag_weighted || flag_product) && hdr.dtype == DTYPE_FIXED) ||
                         (flag_product && (!PRODUCTS || is_merge));
        no_dim_q      <= hdr.dim == '0;
        vec_large_q   <= vec64_q > DIM_W'(MAX_VEC64) || (flag_product && vec64_q > DIM_W'(MAX_VEC64 / 4));
        counts_bad_q  <= hdr.bags == '0 || hdr.keys < bags ||
                         ((flag_accumulator || flag_partial) && bags != 16'd1);
        key_beats_q   <= READ_W'((entry_bytes_q + LEN_W'(DATA_W / 8 - 1)) >> $clog2(DATA_W / 8));
        one_beat_q    <= entry_bytes_q <= LEN_W'(DATA_W / 8);
        if (check_q == CHECK_SIZES) begin
            vec64_q       <= DIM_W'((17'(hdr.dim) + 17'd15) >> 4);
            row64_q       <= VEC_W'(row_units(hdr.dtype, hdr.dim));
            entry_bytes_q <= flag_weighted ? {1'b0, hdr.keys, 4'd0} : {2'b0, hdr.keys, 3'd0};
        end
        if (check_q == CHECK_TOTALS) begin
            units_q         <= hdr.bags * vec64_q[VEC_W-1:0];
            payload_bytes_q <= entry_bytes_q;
            preamble_q      <= '0;
            if (flag_accumulator) begin
                payload_bytes_q <= entry_bytes_q + {2'b0, vec64_q, 6'd0} + LEN_W'(BLOCK_BYTES);
                preamble_q      <= PRE_W'(vec64_q) + PRE_W'(1);
            end
        end
        // Numbers that do not fit are of more units than a bank holds.
        if (check_q == CHECK_PARTIALS) begin
            payload_bytes_q <= payload_bytes_q + {(LEN_W-6)'(units_q) + (LEN_W-6)'(hdr.bags), 6'd0};
            preamble_q      <= preamble_q + PRE_W'(units_q) + PRE_W'(hdr.bags);
            if (flag_accumulator) units_q <= units_q + UNITS_W'(vec64_q);
        end
        if (check_q == CHECK_RULES) begin
            kind_q   <= kind_d;
            status_q <= status_d;
        end
        if (rst) check_q <= CHECK_SIZES;
        else check_q <= check_d;
    end

    // ---------------------------------------------------------------------------------------------
    // Reader: accumulator and partials if there are any, each behind its count block, then the beats
    // of the keys
    // ---------------------------------------------------------------------------------------------
    typedef enum logic [2:0] {
        READ_IDLE,
        READ_CLAIM,    // wait for a bank of the init RAM
        READ_COUNT,    // read a count block
        READ_COPY,     // and its vector, to the init RAM
        READ_KEYS
    } read_e;

    // What a key store word is read for, along with it for its 2 cycles.
    typedef enum logic [1:0] { TAG_NONE, TAG_COUNT, TAG_COPY, TAG_KEYS } tag_e;

    read_e              read_q, read_d;
    tag_e               tag, tag_q, tag_q2;
    logic               taken_q, take;                 // the reader has this frame
    logic [KS_AW-1:0]   read_addr_q, read_addr_d;
    logic [READ_W-1:0]  read_left_q, read_left_d;
    logic [READ_W-1:0]  read_key_beats_q;
    logic [BEAT_W-1:0]  read_vec_beats_q;
    logic [15:0]        read_vectors_q, read_vectors_d;  // to be copied, this one included
    logic               read_accumulator_q;            // the next block is the accumulator's
    logic               held_q;                        // the vector being copied holds a key
    logic               init_q;                        // of this frame: its accumulator holds one,
    logic [MERGE_W-1:0] merges_q;                      // and so many partials do,
    logic [CNT_W-1:0]   init_count_q;                  // and all of them hold so many
    logic [INIT_BANKS-1:0]  init_busy_q, init_busy_d;
    logic [INIT_BANK_W-1:0] bank_q, bank_next;         // of this frame; the next to be claimed
    logic               init_claim;
    logic               init_unused;  // the walk ended: nobody will read this frame's bank
    logic [BEAT_W-1:0]  init_wr_addr_q;
    logic [CNT_W-1:0]   block_count;
    logic               block_held;
    logic [CREDIT_W-1:0] credit_q;
    logic               lasts_pop;
    logic               walk_active_q, walk_vectors_q;

    // What is counted belongs to the bag of one frame: the next frame waits until that bag is
    // dispatched.
    assign take = check_q == CHECKED && kind_q == KIND_WALK && !taken_q && read_q == READ_IDLE &&
                  !(walk_active_q && walk_vectors_q);
    assign bank_next   = bank_q + INIT_BANK_W'(1);
    assign block_count = ks_rd_data[CNT_W-1:0];
    assign block_held  = block_count != '0;

    always_comb begin
        read_d      = read_q;
        read_addr_d = read_addr_q;
        read_left_d = read_left_q;
        read_vectors_d = read_vectors_q;
        tag         = TAG_NONE;
        init_claim  = 1'b0;
        unique case (read_q)
            READ_IDLE: if (take) begin
                read_d         = has_vectors ? READ_CLAIM : READ_KEYS;
                read_addr_d    = frame.ks_addr[KS_AW-1:0];
                read_left_d    = key_beats_q;
                read_vectors_d = vectors;
            end
            READ_CLAIM: if (!init_busy_q[bank_next]) begin
                init_claim = 1'b1;
                read_d     = READ_COUNT;
            end
            READ_COUNT: begin
                tag         = TAG_COUNT;
                read_d      = READ_COPY;
                read_addr_d = read_addr_q + KS_AW'(BPW);
                read_left_d = READ_W'(read_vec_beats_q);
            end
            READ_COPY: begin
                tag         = TAG_COPY;
                read_addr_d = read_addr_q + KS_AW'(1);
                read_left_d = read_left_q - READ_W'(1);
                if (read_left_q == READ_W'(1)) begin
                    read_vectors_d = read_vectors_q - 16'd1;
                    read_d         = (read_vectors_q == 16'd1) ? READ_KEYS : READ_COUNT;
                    read_left_d    = read_key_beats_q;
                end
            end
            READ_KEYS: if (credit_q != '0) begin
                tag         = TAG_KEYS;
                read_addr_d = read_addr_q + KS_AW'(1);
                read_left_d = read_left_q - READ_W'(1);
                if (read_left_q == READ_W'(1)) read_d = READ_IDLE;
            end
            default: read_d = READ_IDLE;
        endcase
    end

    assign ks_rd_en   = tag != TAG_NONE;
    assign ks_rd_addr = KS_W'(read_addr_q);

    always_comb begin
        init_busy_d = init_busy_q;
        if (init_release) init_busy_d[init_release_bank] = 1'b0;
        if (init_unused) init_busy_d[bank_q] = 1'b0;
        if (init_claim) init_busy_d[bank_next] = 1'b1;
    end

    always_ff @(posedge clk) begin
        read_addr_q <= read_addr_d;
        read_left_q <= read_left_d;
        if (take) begin
            read_key_beats_q <= key_beats_q;
            read_vec_beats_q <= vec_beats;
        end
        read_vectors_q <= read_vectors_d;
        if (take) read_accumulator_q <= flag_accumulator;
        else if (tag_q2 == TAG_COUNT) read_accumulator_q <= 1'b0;
        if (take) begin
            init_q       <= 1'b0;
            merges_q     <= '0;
            init_count_q <= '0;
        end else if (tag_q2 == TAG_COUNT) begin
            held_q       <= block_held;
            init_count_q <= init_count_q + block_count;
            if (read_accumulator_q) init_q <= block_held;
            else merges_q <= merges_q + MERGE_W'(block_held);
        end
        if (init_claim) init_wr_addr_q <= BEAT_W'(32'(bank_next) * BANK_BEATS);
        else if (init_wr_en) init_wr_addr_q <= init_wr_addr_q + BEAT_W'(1);
        if (rst) begin
            read_q      <= READ_IDLE;
            tag_q       <= TAG_NONE;
            tag_q2      <= TAG_NONE;
            taken_q     <= 1'b0;
            init_busy_q <= '0;
            bank_q      <= '0;
            credit_q    <= CREDIT_W'(AHEAD);
        end else begin
            read_q      <= read_d;
            tag_q       <= tag;
            tag_q2      <= tag_q;
            taken_q     <= (taken_q || take) && !alloc_done;
            init_busy_q <= init_busy_d;
            if (init_claim) bank_q <= bank_next;
            credit_q    <= credit_q - CREDIT_W'(tag == TAG_KEYS) + CREDIT_W'(lasts_pop);
        end
    end

    assign init_wr_en   = tag_q2 == TAG_COPY && held_q;
    assign init_wr_addr = init_wr_addr_q;
    assign init_wr_data = ks_rd_data;

    // Of a beat of keys the walker needs the last bits only.
    // With them goes whether the beat, or one of the frame read before its keys, was wrong.
    // And of which entries the table is another card's.
    logic [WORDS-1:0] read_lasts, lasts, read_remotes, remotes;
    logic             read_bad_q, take_q, take_q2, lasts_bad;
    logic             lasts_ready, lasts_valid;
    logic [$clog2(AHEAD+4)-1:0] lasts_count;

    always_comb begin
        for (int unsigned i = 0; i < WORDS; i++) begin
            read_lasts[i]   = ks_rd_data[64*i+63];
            read_remotes[i] = tables_remote[ks_rd_data[64*i+ROW_W+:TBL_AW]];
        end
    end

    always_ff @(posedge clk) begin
        take_q     <= take;
        take_q2    <= take_q;  // the last beat of the frame before came
        read_bad_q <= (read_bad_q && !take_q2) || ((tag_q2 == TAG_COUNT || tag_q2 == TAG_COPY) && ks_rd_bad);
    end

    embnic_fifo #(.WIDTH(2 * WORDS + 1), .DEPTH(AHEAD), .STYLE(1)) u_lasts (
        .clk, .rst,
        .s_axis_tdata ({ks_rd_bad || read_bad_q, read_remotes, read_lasts}),
        .s_axis_tvalid(tag_q2 == TAG_KEYS),
        .s_axis_tready(lasts_ready),
        .m_axis_tdata ({lasts_bad, remotes, lasts}),
        .m_axis_tvalid(lasts_valid),
        .m_axis_tready(lasts_pop),
        .sts_count    (lasts_count)
    );

    // ---------------------------------------------------------------------------------------------
    // Allocation of the reply; a LOOKUP or MERGE goes to the walker with it
    // ---------------------------------------------------------------------------------------------
    update_done_t upd_done;
    plan_t        plan;
    reply_t       reply;
    logic         walk_start;

    assign upd_done          = update_done_t'(s_axis_upd_done_tdata);
    assign plan              = plan_t'(s_axis_plan_tdata);
    assign m_axis_upd_tdata  = s_axis_frame_tdata;
    assign m_axis_upd_tvalid = check_q == CHECKED && kind_q == KIND_UPDATE && !walk_active_q &&
        !m_axis_bag_tvalid;
    assign m_axis_compute_tdata  = s_axis_frame_tdata;
    assign m_axis_compute_tvalid = check_q == CHECKED && kind_q == KIND_COMPUTE;

    always_comb begin
        alloc_valid = 1'b0;
        if (check_q == CHECKED && kind_q == KIND_WALK) begin
            alloc_valid = (taken_q || take) && !walk_active_q;
        end
        if (check_q == CHECKED && kind_q == KIND_ANSWER) alloc_valid = 1'b1;
        if (check_q == UPDATING) alloc_valid = s_axis_upd_done_tvalid;
        if (check_q == PLANNING) alloc_valid = s_axis_plan_tvalid;
    end

    assign s_axis_frame_tready    = alloc_done;
    assign s_axis_upd_done_tready = check_q == UPDATING && alloc_ready;
    assign s_axis_plan_tready     = check_q == PLANNING && alloc_ready;
    assign walk_start             = alloc_done && check_q == CHECKED && kind_q == KIND_WALK;

    always_comb begin
        reply = '{
            frame:       frame,
            opcode:      OPCODE_REPLY,
            status:      status_q,
            vec_beats:   '0,
            bags:        '0,
            dispatching: 1'b0,
            client:      '0,
            seq:         '0
        };
        if (kind_q == KIND_UPDATE) begin
            reply.status = upd_done.status;
            reply.client = upd_done.client;
            reply.seq    = upd_done.seq;
            reply.opcode = upd_done.status == STATUS_OK ? OPCODE_ACK : OPCODE_ERROR;
        end else if (kind_q == KIND_COMPUTE) begin
            reply.status      = plan.status;
            reply.opcode      = plan.status == STATUS_OK ? OPCODE_REPLY : OPCODE_ERROR;
            reply.vec_beats   = plan.vec_beats;
            reply.bags        = plan.status == STATUS_OK ? plan.bags : '0;
            reply.dispatching = plan.status == STATUS_OK;
        end else if (kind_q == KIND_WALK) begin
            reply.opcode      = flag_partial ? OPCODE_PARTIAL : OPCODE_REPLY;
            reply.vec_beats   = vec_beats;
            reply.bags        = bags;
            reply.dispatching = 1'b1;
        end else if (status_q != STATUS_OK) begin
            reply.opcode = OPCODE_ERROR;
        end
    end

    assign alloc_info      = reply;
    assign alloc_work      = kind_q != KIND_ANSWER;
    assign sts_work        = (check_q == CHECKED && kind_q != KIND_ANSWER) || check_q == UPDATING || check_q == PLANNING ||
        walk_active_q ||
        m_axis_bag_tvalid;
    assign evt_request     = alloc_done && (hdr.opcode == OPCODE_LOOKUP || is_merge);
    assign evt_stall_alloc = alloc_valid && !alloc_ready;

    // ---------------------------------------------------------------------------------------------
    // Walker: each cycle takes the words up to the next last bit of the beat, or the rest of the
    // beat
    // ---------------------------------------------------------------------------------------------
    logic [CTX_W-1:0]   walk_ctx_q;
    logic [RSP_AW-1:0]  walk_rsp_q;          // of the next bag
    logic [BEAT_W-1:0]  walk_vec_beats_q, walk_row_beats_q;
    logic [15:0]        walk_dim_q;
    dtype_e             walk_dtype_q;
    logic               walk_weighted_q, walk_partial_q, walk_piece_q, walk_merge_q, walk_product_q;
    logic [15:0]        walk_bags_q;         // bags the header promised and not dispatched yet
    logic               walk_full_q, walk_one_q;      // none of them; one
    logic               walk_first_q;        // no bag was dispatched yet
    logic [15:0]        walk_count_q, walk_count_next_q;  // bags dispatched; one more
    logic [READ_W-1:0]  walk_beats_q;        // beats of the frame's entries from this one on
    logic [KS_AW-1:0]   walk_beat_q, walk_beat_next_q;    // address of this beat, of the next
    logic [WORDS-1:0]   walk_from_q;         // words of this beat not taken yet: from one on, all
    logic [WORDS-1:0]   walk_lim_q;          // words of this beat that are of the frame
    logic [WORDS-1:0]   walk_last_lim_q;     // the same of the last beat
    logic [LEFT_W-1:0]  walk_base_q;         // words of the bag before this beat; negative: it begins in it
    logic [HERE_W-1:0]  walk_start_q;        // word address of the current bag
    logic               walk_bad_q;          // a bag too many was found: the rest is skipped
    logic               walk_wrong_q;        // a beat of the frame was wrong

    // Nothing here counts words: within a beat a mask moves, so that a beat with the end of a bag is recognised and
    // taken from the queue within few levels of logic.
    logic [WORDS-1:0]   ends;                // last entries of bags, from here on
    logic [WORDS-1:0]   behind, more;        // words behind the first end; ends with words behind them
    logic               found, walk_over, walk_emit, walk_step, walk_end, beat_done;
    logic [POS_W-1:0]   end_pos;             // behind the bag's last entry
    logic               end_remote;          // which is of a table of another card
    logic [LEFT_W-1:0]  bag_words;
    logic               words_carry;
    logic [POS_W-1:0]   words_low;
    logic [15:0]        walk_count_after;
    logic [HERE_W-1:0]  start_after;
    logic [KS_AW-1:0]   preamble, keys_addr; // beats before the keys, first beat of the keys
    logic [WORDS-1:0]   last_lim;
    bag_t               bag;
    logic               bag_ready;

    always_comb begin
        for (int unsigned i = 0; i < WORDS; i++) begin
            ends[i]     = lasts[i] && walk_from_q[i] && walk_lim_q[i] && !(walk_weighted_q && i[0]);
            last_lim[i] = entry_bytes_q[3+:WORD_AW] == '0 || WORD_AW'(i) < entry_bytes_q[3+:WORD_AW];
        end
        found   = ends != '0;
        end_pos = '0;
        end_remote = 1'b0;
        for (int i = int'(WORDS) - 1; i >= 0; i--) begin
            if (ends[i]) begin
                end_pos    = walk_weighted_q ? POS_W'(i + 2) : POS_W'(i + 1);
                end_remote = remotes[i];
            end
        end
        behind = '0;
        more   = '0;
        for (int unsigned i = 1; i < WORDS; i++) begin
            behind[i] = behind[i-1] || ends[i-1];
            more[i-1] = ends[i-1] && walk_lim_q[i];
        end
        if (walk_weighted_q) begin
            behind = behind << 1;
            for (int unsigned i = 0; i < WORDS; i++) more[i] = i + 2 < WORDS && ends[i] && walk_lim_q[(i+2)%WORDS];
        end
    end

    // The words of the last beat are added to the low bits; the carry chooses between upper bits that did not wait.
    assign {words_carry, words_low} = (POS_W + 1)'(walk_base_q[POS_W-1:0]) + (POS_W + 1)'(end_pos);
    assign bag_words   = {words_carry ? walk_base_q[LEFT_W-1:POS_W] + (LEFT_W - POS_W)'(1) : walk_base_q[LEFT_W-1:POS_W],
                          words_low};
    assign start_after = end_pos[WORD_AW] ? {walk_beat_next_q, WORD_AW'(0)} : {walk_beat_q, end_pos[WORD_AW-1:0]};
    assign walk_over   = found && walk_full_q;
    assign walk_emit   = walk_active_q && lasts_valid && found && !walk_full_q && !walk_bad_q;
    assign walk_step   = walk_active_q && lasts_valid && (!walk_emit || bag_ready);
    assign beat_done   = more == '0;  // the first end has words behind it, or there is none
    assign walk_end    = walk_step && beat_done && walk_beats_q == READ_W'(1);
    assign lasts_pop   = walk_step && beat_done;
    assign preamble    = KS_AW'(preamble_q) << $clog2(BPW);
    assign keys_addr   = frame.ks_addr[KS_AW-1:0] + preamble;

    assign walk_count_after = walk_emit ? walk_count_next_q : walk_count_q;
    assign init_unused      = walk_end && walk_vectors_q &&
        ((walk_first_q && !walk_emit) || !(init_q || merges_q != '0));

    assign bag = '{
        ctx:        walk_ctx_q,
        first:      walk_first_q,
        remote:     end_remote,
        word:       WORD_W'(walk_start_q),
        keys:       walk_weighted_q ? bag_words[16:1] : bag_words[15:0],
        weighted:   walk_weighted_q,
        partial:    walk_partial_q,
        piece:      walk_piece_q,
        merge:      walk_merge_q,
        product:    walk_product_q,
        init:       walk_vectors_q && init_q,
        merges:     walk_vectors_q ? merges_q : '0,
        init_addr:  walk_vectors_q ? BEAT_W'(32'(bank_q) * BANK_BEATS) : '0,
        init_count: walk_vectors_q ? init_count_q : '0,
        rsp_addr:   RSP_W'(walk_rsp_q),
        vec_beats:  walk_vec_beats_q,
        row_beats:  walk_row_beats_q,
        dim:        walk_dim_q,
        dtype:      walk_dtype_q
    };

    embnic_skid #(.WIDTH($bits(bag_t))) u_bag (
        .clk, .rst,
        .s_axis_tdata (bag),
        .s_axis_tvalid(walk_emit),
        .s_axis_tready(bag_ready),
        .m_axis_tdata (m_axis_bag_tdata),
        .m_axis_tvalid(m_axis_bag_tvalid),
        .m_axis_tready(m_axis_bag_tready)
    );

    always_ff @(posedge clk) begin
        if (walk_start) begin
            walk_ctx_q         <= alloc_ctx;
            walk_rsp_q         <= alloc_rsp_addr[RSP_AW-1:0];
            walk_vec_beats_q   <= vec_beats;
            walk_row_beats_q   <= row_beats;
            walk_dim_q         <= hdr.dim;
            walk_dtype_q       <= hdr.dtype;
            walk_weighted_q    <= flag_weighted;
            walk_partial_q     <= flag_partial;
            walk_vectors_q     <= has_vectors;
            walk_piece_q       <= flag_accumulator || hdr.flags[FLAG_CONTINUES];
            walk_merge_q       <= is_merge;
            walk_product_q     <= flag_product;
            walk_bags_q        <= bags;
            walk_full_q        <= bags == '0;
            walk_one_q         <= bags == 16'd1;
            walk_first_q       <= 1'b1;
            walk_count_q       <= '0;
            walk_count_next_q  <= 16'd1;
            walk_beats_q       <= key_beats_q;
            walk_beat_q        <= keys_addr;
            walk_beat_next_q   <= keys_addr + KS_AW'(1);
            walk_from_q        <= '1;
            walk_lim_q         <= one_beat_q ? last_lim : '1;
            walk_last_lim_q    <= last_lim;
            walk_base_q        <= '0;
            walk_start_q       <= {keys_addr, WORD_AW'(0)};
            walk_bad_q         <= 1'b0;
            walk_wrong_q       <= 1'b0;
        end else if (walk_step) begin
            if (found) walk_start_q <= start_after;
            if (lasts_pop) begin
                walk_beats_q     <= walk_beats_q - READ_W'(1);
                walk_beat_q      <= walk_beat_next_q;
                walk_beat_next_q <= walk_beat_next_q + KS_AW'(1);
                walk_from_q      <= '1;
                walk_lim_q       <= (walk_beats_q == READ_W'(2)) ? walk_last_lim_q : '1;
                walk_base_q      <= found ? '0 : walk_base_q + LEFT_W'(WORDS);
            end else begin
                walk_from_q      <= behind;
                walk_base_q      <= -LEFT_W'(end_pos);
            end
            if (walk_emit) begin
                walk_bags_q       <= walk_bags_q - 16'd1;
                walk_full_q       <= walk_one_q;
                walk_one_q        <= walk_bags_q == 16'd2;
                walk_first_q      <= 1'b0;
                walk_count_q      <= walk_count_next_q;
                walk_count_next_q <= walk_count_next_q + 16'd1;
            end
            if (walk_emit) walk_rsp_q <= walk_rsp_q + RSP_AW'(walk_vec_beats_q);
            if (walk_over) walk_bad_q <= 1'b1;
            if (lasts_bad) walk_wrong_q <= 1'b1;
        end
        close_ctx    <= walk_ctx_q;
        close_bags   <= walk_count_after;
        close_status <= STATUS_OK;
        if (walk_bad_q || walk_over || !found || !(walk_emit ? walk_one_q : walk_full_q)) begin
            close_status <= STATUS_BAD_REQUEST;
        end
        if (walk_wrong_q || lasts_bad) close_status <= STATUS_MEMORY_ERROR;
        if (rst) begin
            walk_active_q <= 1'b0;
            close_valid   <= 1'b0;
        end else begin
            walk_active_q <= (walk_active_q && !walk_end) || walk_start;
            close_valid   <= walk_end;
        end
    end

    // Addresses beyond the key store and the reply buffer; numbers too large for this card were
    // refused before.
    wire unused = &{1'b0, frame, hdr, alloc_rsp_addr, entry_bytes_q[2:0]};

    // Assertions
    `EMBNIC_STABLE(frame_stable, s_axis_frame_tvalid, s_axis_frame_tready, s_axis_frame_tdata,
        "a frame offered holds until it is taken")
    `EMBNIC_STABLE(done_stable, s_axis_upd_done_tvalid, s_axis_upd_done_tready,
        s_axis_upd_done_tdata,
        "a result offered holds until it is taken")
    `EMBNIC_STABLE(alloc_stable, alloc_valid, alloc_ready, alloc_info,
        "an allocation holds until there is room")
    `EMBNIC_STABLE(bag_stable, m_axis_bag_tvalid, m_axis_bag_tready, m_axis_bag_tdata,
        "a bag offered holds until it is taken")
    `EMBNIC_STABLE(upd_stable, m_axis_upd_tvalid, m_axis_upd_tready, m_axis_upd_tdata,
        "an update offered holds until it is taken")
    `EMBNIC_STABLE(compute_stable, m_axis_compute_tvalid, m_axis_compute_tready, m_axis_compute_tdata,
        "a frame handed on holds until it is taken")
    `EMBNIC_STABLE(plan_stable, s_axis_plan_tvalid, s_axis_plan_tready, s_axis_plan_tdata,
        "a plan offered holds until it is taken")
    `EMBNIC_KNOWN(frame_ready_known, s_axis_frame_tready, "tready is known after reset")
    `EMBNIC_KNOWN(bag_valid_known, m_axis_bag_tvalid, "tvalid is known after reset")
    `EMBNIC_NEVER(ahead_overflow, tag_q2 == TAG_KEYS && !lasts_ready,
        "a credit is a place for a beat's last bits")
    `EMBNIC_NEVER(ahead_lost, 32'(lasts_count) + 32'(credit_q) > AHEAD,
        "a beat read ahead holds a credit")
    `EMBNIC_NEVER(credit_overflow, credit_q > CREDIT_W'(AHEAD), "no more credits than places")
    `EMBNIC_NEVER(release_unclaimed, init_release && !init_busy_q[init_release_bank],
        "only a claimed bank is released")
    `EMBNIC_NEVER(bank_overrun, init_wr_en && 32'(init_wr_addr_q) / BANK_BEATS != 32'(bank_q),
        "what a frame copies stays in its bank")
    `EMBNIC_NEVER(update_reading, check_q == UPDATING && (ks_rd_en || walk_active_q),
        "an update has the key store to itself")
    `EMBNIC_COVER(product, walk_start && flag_product, "a frame of pairs")
    `EMBNIC_COVER(too_many_bags, walk_step && walk_over, "a frame holds more bags than it says")
    `EMBNIC_COVER(init_wait, read_q == READ_CLAIM && init_busy_q[bank_next], "every bank is in use")
    `EMBNIC_COVER(partial_empty, tag_q2 == TAG_COUNT && !read_accumulator_q && !block_held, "a partial without a key")
    `EMBNIC_COVER(init_dropped, init_unused, "a bank that nobody needs")
    `EMBNIC_COVER(alloc_stall, evt_stall_alloc, "no room for a reply")
    `EMBNIC_COVER(held, check_q == CHECK_RULES && cfg_hold && kind_d != KIND_ANSWER, "a request is held")
    `EMBNIC_COVER(busy, alloc_done && status_q == STATUS_BUSY, "a request is answered BUSY")
endmodule
`default_nettype wire
