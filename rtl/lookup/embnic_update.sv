// SPDX-License-Identifier: Apache-2.0
// Applies an UPDATE (rows written to card memory and dropped from the cache), a FILL (and then brought
// into the cache) or an INVALIDATE (dropped only), exactly once; executes a PREFETCH (rows brought into
// the cache, held there or released).
//
// Order          one frame at a time, after every lookup before it is consumed and before any after
//                it begins.
// Back-pressure  any cycle, all sides; nothing is lost. s_axis_upd_tready rises when the frame is
//                finished, its result follows.
// Latency        about 10 cycles a key for the checks, 25 and its beats a key for the writing; card
//                memory comes on top. A PREFETCH takes about 25 cycles a key; its fetches overlap, and
//                it is finished when the last of them has come.
// Throughput     one beat per cycle within a write burst; one burst at a time. No burst leaves an
//                aligned window of min(MAX_BURST beats, 4 KB).
// Errors         all keys are checked before the first row is written. A write that fails:
//                MEMORY_ERROR after that row; the sequence is not recorded, so the same frame can
//                be sent again.
//                A fetch that fails: MEMORY_ERROR after all rows; of a FILL the sequence is not
//                recorded.
// Parity         a wrong beat of the key store: MEMORY_ERROR; of a row it goes out with empty strobes.
// Timeout        a write burst that is two epochs old (embnic_epoch) without its response: MEMORY_ERROR as
//                for one that failed. What memory is still owed of it goes out beside everything else,
//                beats with empty strobes; until its response came UPDATEs are answered MEMORY_ERROR
//                and write nothing.
// Not handled    unknown dtypes: UNSUPPORTED.
//
// Soft reset     rst with keep_clients forgets the frame at work, whose sequence is not recorded, and keeps the clients: an old
//                update that comes again must still be known.
//
// Sequences: per client the highest contiguous sequence `high` and a window of 64 above it. Known
// ones are acknowledged without being applied again.
//
// Wide numbers are compared and added in parts, a part a cycle: an update is bound by card memory, so
// the cycles cost little, and no carry is longer than 34 bits.
`default_nettype none
`include "embnic_assert.svh"
module embnic_update
    import embnic_pkg::*;
    import embnic_wire_pkg::*;
#(
    parameter int unsigned DATA_W     = 128,  // bus width, bits: 128 or 512
    parameter int unsigned CLIENTS    = 2,    // updating clients remembered, 2 .. 256
    parameter int unsigned TABLES     = 8,    // table descriptors; power of two
    parameter int unsigned LINE_BYTES = 64,   // cache line; power of two, 64 or more
    parameter int unsigned KS_BEATS   = 512,  // key store, beats; power of two
    parameter int unsigned MAX_VEC64  = 8,    // longest row in 64-byte units
    parameter int unsigned PLACES     = 8,    // operations of slot 0 in the cache, all of which are free when a frame begins
    parameter int unsigned MAX_BURST  = 256,  // beats of a burst; power of two, 1 .. 256 (AXI3: 16)
    parameter bit          REMOTE_EN  = 1'b0, // rows of other cards can be fetched and dropped; writing them is their owner's
    localparam int unsigned TBL_AW    = $clog2(TABLES)
) (
    input  wire logic                            clk,
    input  wire logic                            rst,
    input  wire logic                            keep_clients,           // with rst: remember the clients
    input  wire logic [$bits(frame_t)-1:0]       s_axis_upd_tdata,       // frame_t
    input  wire logic                            s_axis_upd_tvalid,
    output      logic                            s_axis_upd_tready,
    output      logic [$bits(update_done_t)-1:0] m_axis_upd_done_tdata,  // update_done_t
    output      logic                            m_axis_upd_done_tvalid,
    input  wire logic                            m_axis_upd_done_tready,
    input  wire logic                            lookup_idle,            // no lookup is on its way
    output      logic                            ks_rd_en,               // key store, latency 2
    output      logic [KS_W-1:0]                 ks_rd_addr,
    input  wire logic [DATA_W-1:0]               ks_rd_data,
    input  wire logic                            ks_rd_bad,              // the beat is not as it was written
    output      logic                            desc_rd_en,             // table RAM, latency 2
    output      logic [TBL_AW-1:0]               desc_rd_addr,
    input  wire logic [$bits(descriptor_t)-1:0]  desc_rd_data,           // descriptor_t
    output      logic [$bits(op_t)-1:0]          m_axis_op_tdata,        // op_t: none that gives beats
    output      logic                            m_axis_op_tvalid,
    input  wire logic                            m_axis_op_tready,
    input  wire logic                            op_credit_valid,        // pulse: an operation from here left its place
    input  wire logic                            pf_valid,               // what became of a row, see embnic_row_cache
    input  wire logic                            pf_there,
    input  wire logic                            pf_granted,
    input  wire logic                            pf_err_valid,
    output      logic [ADDR_W-1:0]               m_axi_awaddr,           // card memory
    output      logic [7:0]                      m_axi_awlen,
    output      logic [2:0]                      m_axi_awsize,
    output      logic [1:0]                      m_axi_awburst,
    output      logic                            m_axi_awvalid,
    input  wire logic                            m_axi_awready,
    output      logic [DATA_W-1:0]               m_axi_wdata,
    output      logic [DATA_W/8-1:0]             m_axi_wstrb,
    output      logic                            m_axi_wlast,
    output      logic                            m_axi_wvalid,
    input  wire logic                            m_axi_wready,
    input  wire logic [1:0]                      m_axi_bresp,
    input  wire logic                            m_axi_bvalid,
    output      logic                            m_axi_bready,
    input  wire logic                            epoch_on,               // see embnic_epoch
    input  wire logic [EPOCH_W-1:0]              epoch,
    output      logic                            sts_row_open,           // a row is half written
    output      logic                            sts_owed,               // a write that was given up is not answered yet
    output      logic                            sts_active,             // ports above are in use
    output      logic                            evt_update,             // a frame was applied
    output      logic                            evt_update_duplicate,   // acknowledged only
    output      logic                            evt_update_row,         // a row was dropped
    output      logic                            evt_prefetch,           // a PREFETCH was executed
    output      logic                            evt_prefetch_row,       // a row is in the cache as asked for
    output      logic                            evt_timeout,            // a write was given up
    output      logic                            evt_late                // its response came
);
    localparam int unsigned BPW         = 512 / DATA_W;
    localparam int unsigned BEAT_BYTES  = DATA_W / 8;
    localparam int unsigned BYTE_AW     = $clog2(BEAT_BYTES);
    localparam int unsigned WORDS       = DATA_W / 64;
    localparam int unsigned WORD_AW     = $clog2(WORDS);
    localparam int unsigned KS_AW       = $clog2(KS_BEATS);
    localparam int unsigned LINE_BEATS  = LINE_BYTES / BEAT_BYTES;
    localparam int unsigned CLIENT_AW   = $clog2(CLIENTS);
    localparam int unsigned VEC_W       = $clog2(MAX_VEC64 + 1);
    localparam int unsigned DIM_W       = 13;  // 64-byte units of the longest vector a header can name
    localparam int unsigned UNIT_W      = ADDR_W - 6;          // card memory in units of 64 bytes
    // bytes of the longest payload with a legal dim
    localparam int unsigned LEN_W       = 16 + VEC_W + 7;
    localparam int unsigned BURST       = (MAX_BURST * BEAT_BYTES < 4096) ? MAX_BURST : 4096 / BEAT_BYTES;
    localparam int unsigned BEAT_ADDR_W = ADDR_W - BYTE_AW;    // card memory in beats
    localparam int unsigned PLACE_W     = (BURST == 1) ? 1 : $clog2(BURST);  // beat within a burst's window
    localparam int unsigned AHEAD       = 8;                   // row beats read ahead
    localparam int unsigned CREDIT_W    = $clog2(AHEAD + 1);

    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end
    if (CLIENTS < 2 || CLIENTS > 256) begin : gen_bad_clients
        $fatal(1, "CLIENTS must be 2 to 256");
    end
    if (TABLES < 2 || TABLES > (1 << TABLE_W) ||
            (TABLES & (TABLES - 1)) != 0) begin : gen_bad_tables
        $fatal(1, "TABLES must be a power of two, at least 2");
    end
    if (LINE_BYTES < 64 || LINE_BYTES > 4096 ||
            (LINE_BYTES & (LINE_BYTES - 1)) != 0) begin : gen_bad_line_bytes
        $fatal(1, "LINE_BYTES must be a power of two from 64 to 4096");
    end
    if (KS_BEATS < 2 || KS_BEATS > (1 << KS_W) ||
            (KS_BEATS & (KS_BEATS - 1)) != 0) begin : gen_bad_ks_beats
        $fatal(1, "KS_BEATS must be a power of two up to 16,384");
    end
    if (MAX_VEC64 < 1 || MAX_VEC64 > 64) begin : gen_bad_max_vec64
        $fatal(1, "MAX_VEC64 must be 1 to 64");
    end
    if (MAX_BURST < 1 || MAX_BURST > 256 || (MAX_BURST & (MAX_BURST - 1)) != 0) begin : gen_bad_max_burst
        $fatal(1, "MAX_BURST must be a power of two, 1 to 256");
    end

    typedef enum logic [4:0] {
        WAIT,      // for a frame, then for the lookups before it
        SIZES,     // units of a row
        TOTALS,    // units of all rows, bytes before them
        RULES,     // header compared
        HEAD,      // read client and sequence
        KEY,       // read a key
        DESC,      // read and check its table
        CLIENT,    // search the client
        SEQUENCE,  // is the sequence new?
        STRIDE,    // where the row is
        LINES,     // drop its lines from the cache
        FETCH,     // bring them into it, or release them
        ADDR,      // address of a write burst
        DATA,      // its beats
        RESP,      // its response
        ROW_DONE,
        DRAIN,     // until what was fetched has come
        SLIDE,     // record the sequence
        STORE,
        RELEASE,   // the frame is finished
        DONE       // result
    } state_e;

    // What is remembered of a client.
    typedef struct packed {
        logic [63:0]                client;
        logic [63:0]                high;    // highest sequence below which all are applied
        logic [SEQUENCE_WINDOW-1:0] window;  // bit i: high + 1 + i is applied
    } client_t;

    // What is known of a key and its table, one cycle after the descriptor was read.
    typedef struct packed {
        logic unknown, remote, mismatch;
        logic rows_huge;  // more rows than a key can name
        logic high_above, high_equal, low_reached;  // row against rows, upper and lower 24 bits
    } desc_check_t;

    // ---------------------------------------------------------------------------------------------
    // The frame stays at the input until it is finished
    // ---------------------------------------------------------------------------------------------
    frame_t  frame;
    header_t hdr;
    logic    writes;      // UPDATE, FILL
    logic    fetches;     // FILL, PREFETCH
    logic    only_fetches;
    hold_e   hold;

    assign frame        = frame_t'(s_axis_upd_tdata);
    assign hdr          = frame.hdr;
    assign writes       = hdr.opcode == OPCODE_UPDATE || hdr.opcode == OPCODE_FILL;
    assign only_fetches = hdr.opcode == OPCODE_PREFETCH;
    assign fetches      = hdr.opcode == OPCODE_FILL || only_fetches;
    assign hold         = hold_e'(hdr.first_bag[1:0]);

    state_e             state_q, state_d;
    logic               beat_bad_q;           // the beat that was read last is not as it was written
    // state_q decoded: they choose what enters the cache. Found beside the next state, not from it.
    logic               active_q, lines_q, fetch_q, active_d, lines_d, fetch_d;
    logic [1:0]         wait_q, wait_d;       // cycles in a state that waits for a RAM
    status_e            status_q, status_d;
    logic               apply_q, apply_d;     // second pass: rows are written
    logic [15:0]        row_idx_q, row_idx_d;
    logic [DIM_W-1:0]   vec64_q;              // 64-byte units of a vector
    logic [VEC_W-1:0]   row64_q;              // and of a row as stored, which takes no more
    logic [LEN_W-1:0]   key_bytes_q, row_bytes_q, payload_bytes_q;
    logic [63:0]        client_q, sequence_q;
    key_t               key_q;
    descriptor_t        desc;
    logic               remote_q;             // the row's table is another card's:
    logic [7:0]         owner_q, generation_q;
    desc_check_t        desc_check_q, desc_check_d;
    status_e            desc_status, rules_d, rules_q;
    logic [15:0]        last_idx_q;
    logic               last_row;
    logic [BEAT_W-1:0]  row_beats;

    assign desc      = descriptor_t'(desc_rd_data);
    assign last_row  = row_idx_q == last_idx_q;
    assign row_beats = BEAT_W'(row64_q) << $clog2(BPW);

    always_comb begin
        desc_check_d.unknown     = key_q.tbl >= TABLE_W'(TABLES) || !desc.valid;
        desc_check_d.remote      = desc.remote && (writes || !REMOTE_EN);
        desc_check_d.mismatch    = desc.dim != hdr.dim || desc.dtype != hdr.dtype;
        desc_check_d.rows_huge   = desc.rows[63:48] != '0;
        desc_check_d.high_above  = key_q.row[47:24] > desc.rows[47:24];
        desc_check_d.high_equal  = key_q.row[47:24] == desc.rows[47:24];
        desc_check_d.low_reached = key_q.row[23:0] >= desc.rows[23:0];
    end

    always_comb begin
        desc_status = STATUS_OK;
        if (desc_check_q.unknown) begin
            desc_status = STATUS_UNKNOWN_TABLE;
        end else if (desc_check_q.remote) begin
            desc_status = STATUS_UNSUPPORTED;
        end else if (desc_check_q.mismatch) begin
            desc_status = STATUS_TABLE_MISMATCH;
        end else if (!desc_check_q.rows_huge && (desc_check_q.high_above ||
                     (desc_check_q.high_equal && desc_check_q.low_reached))) begin
            desc_status = STATUS_OUT_OF_RANGE;
        end
    end

    always_comb begin
        rules_d = STATUS_OK;
        if (!dtype_known(hdr.dtype)) begin
            rules_d = STATUS_UNSUPPORTED;
        end else if (hdr.dim == '0 || hdr.keys == '0 || hdr.bags != '0 ||
                hdr.flags[FLAG_WEIGHTED] ||
                     hdr.flags[FLAG_ACCUMULATOR] || hdr.flags[FLAG_CONTINUES] ||
                     hdr.flags[FLAG_PARTIAL_WANTED] || hdr.flags[FLAG_PRODUCT] ||
                     (fetches && hdr.first_bag[15:2] != '0) ||
                     (fetches && writes && hold == HOLD_RELEASE)) begin
            rules_d = STATUS_BAD_REQUEST;
        end else if (vec64_q > DIM_W'(MAX_VEC64)) begin
            rules_d = STATUS_TOO_LARGE;
        end else if (LEN_W'(frame.payload_len) != payload_bytes_q) begin
            rules_d = STATUS_BAD_REQUEST;
        end
    end

    // ---------------------------------------------------------------------------------------------
    // Clients
    // ---------------------------------------------------------------------------------------------
    client_t               entry_ram, entry_q, entry_d;
    logic [$bits(client_t)-1:0] entry_data;
    logic [CLIENT_AW:0]    clients_q, clients_d;   // entries in use; a client is never forgotten
    logic [CLIENT_AW:0]    client_idx_q, client_idx_d;
    logic                  client_rd_en, client_wr_en;
    logic                  client_same_q;          // the entry that was read is the client's
    logic [63:0]           gap_q;                  // of a sequence above the contiguous ones
    logic [33:0]           gap_high;
    logic                  gap_borrow_q;           // of its parts: the sequence is below them
    logic                  gap_known_q, gap_far_q; // at or below them; beyond the window
    logic [5:0]            gap_bit_q;              // its place in the window: a cycle earlier
    logic                  gap_seen_q;             // which is taken
    logic [6:0]            slid_q, slid_d;         // sequences that became contiguous
    logic                  slid_carry_q;

    embnic_ram_1r1w #(.WIDTH($bits(client_t)), .DEPTH(CLIENTS), .STYLE(1)) u_clients (
        .clk,
        .wr_en  (client_wr_en),
        .wr_addr(client_idx_q[CLIENT_AW-1:0]),
        .wr_data(entry_q),
        .rd_en  (client_rd_en),
        .rd_addr(client_idx_q[CLIENT_AW-1:0]),
        .rd_data(entry_data)
    );

    assign entry_ram = client_t'(entry_data);
    // The borrow enters below the lowest bit, so that one carry chain serves.
    assign gap_high  = {1'b0, sequence_q[63:32], 1'b0} - {1'b0, entry_q.high[63:32], gap_borrow_q};

    always_ff @(posedge clk) begin
        client_same_q <= entry_ram.client == client_q;
        if (wait_q == 2'd0) begin
            {gap_borrow_q, gap_q[31:0]} <= 33'(sequence_q[31:0]) - 33'(entry_q.high[31:0]);
        end
        if (wait_q == 2'd1) begin
            {gap_borrow_q, gap_q[63:32]} <= gap_high[33:1];
        end
        gap_known_q  <= gap_borrow_q || gap_q == '0;
        gap_far_q    <= gap_q > 64'(SEQUENCE_WINDOW);
        gap_bit_q    <= 6'(gap_q[5:0] - 6'd1);
        gap_seen_q   <= entry_q.window[gap_bit_q];
        slid_carry_q <= 33'(entry_q.high[31:0]) + 33'(slid_q) > 33'hFFFF_FFFF;
    end

    // ---------------------------------------------------------------------------------------------
    // Where the row is: base + row * units, shift and add
    // ---------------------------------------------------------------------------------------------
    logic [UNIT_W-1:0] unit_q, unit_d;             // of the row, then of the burst
    logic [UNIT_W-1:0] line_unit_q, line_unit_d;   // of the line to drop or to fetch
    logic [UNIT_W-1:0] row_unit_q, row_unit_d;     // of the row
    logic [UNIT_W-1:0] addend_q, addend_d;
    logic [VEC_W-1:0]  factor_q, factor_d;
    logic [SEG_W-1:0]  seg_q, seg_d;
    logic [BEAT_W-1:0] beat_base_q, beat_base_d, beats_left;
    logic              last_seg;
    op_t               op;

    assign beats_left = row_beats - beat_base_q;
    assign last_seg   = beats_left <= BEAT_W'(LINE_BEATS);

    // Operations from here that are in the cache take places of slot 0.
    localparam int unsigned PLACES_W = $clog2(PLACES + 1);
    logic [PLACES_W-1:0] room_q;
    logic                take_place, fetch_failed_q;
    op_kind_e            fetch_kind;

    always_comb begin
        unique case (hold)
            HOLD_LOCK:    fetch_kind = OP_LOCK;
            HOLD_PIN:     fetch_kind = OP_PIN;
            HOLD_RELEASE: fetch_kind = OP_RELEASE;
            default:      fetch_kind = OP_PREFETCH;
        endcase
    end

    assign take_place = fetch_q && m_axis_op_tvalid && m_axis_op_tready && hold != HOLD_RELEASE;

    // A line is brought as it is stored, whatever its elements are.
    assign op = '{
        kind:         fetch_q ? fetch_kind : OP_INVALIDATE,
        slot:         '0,
        ctx:          '0,
        tbl:          key_q.tbl,
        row:          key_q.row,
        seg:          seg_q,
        addr:         {line_unit_q, 6'd0},
        remote:       remote_q,
        owner:        owner_q,
        generation:   generation_q,
        dtype:        DTYPE_FP32,
        fetch_beats:  last_seg ? beats_left : BEAT_W'(LINE_BEATS),
        header:       1'b0,
        chunk:        '0,
        beats:        last_seg ? beats_left : BEAT_W'(LINE_BEATS),
        beat_base:    beat_base_q,
        first:        1'b1,
        spaced:       1'b0,
        bank:         '0,
        combine:      1'b0,
        product:      1'b0,
        last:         1'b0,
        first_seg:    seg_q == '0,
        last_seg:     last_seg,
        dim:          hdr.dim,
        pooling:      POOLING_NONE,
        partial:      1'b0,
        mul_then_add: 1'b0,
        weight:       '0,
        count:        '0,
        rsp_addr:     '0
    };

    assign m_axis_op_tdata  = op;
    assign m_axis_op_tvalid = lines_q || (fetch_q && room_q != '0);

    // ---------------------------------------------------------------------------------------------
    // Row beats: read ahead of the write bursts
    // ---------------------------------------------------------------------------------------------
    logic [KS_AW-1:0]    data_addr_q, data_addr_d;    // next row beat in the key store
    logic [BEAT_W-1:0]   read_left_q, read_left_d;    // beats of the row still to be read
    logic [BEAT_W-1:0]   write_left_q, write_left_d;  // beats of the row still to be addressed
    logic [BEAT_W-1:0]   burst_q, burst_d;            // beats of the burst still to be sent
    logic [BEAT_ADDR_W-1:0] burst_addr_q, burst_addr_d;  // of the burst, in beats
    logic [PLACE_W-1:0]  burst_place;                 // where it begins in its window
    logic [BEAT_W-1:0]   to_window_end_q;             // beats
    logic [BEAT_W-1:0]   size_q;                      // beats of the burst that is addressed
    logic [CREDIT_W-1:0] credit_q;
    logic                data_bad;
    logic                data_rd, data_rd_q, data_rd_q2, data_valid, data_ready, data_room;
    logic [$clog2(AHEAD+4)-1:0] data_count;
    logic                flush;                       // what was read ahead is not needed
    logic                key_rd;
    logic [KS_AW-1:0]    read_addr, key_addr_q;
    logic [16:0]         word_idx;                    // of a key, behind client and sequence
    logic [WORD_AW-1:0]  word_lane;

    assign burst_place = (BURST == 1) ? '0 : burst_addr_q[PLACE_W-1:0];

    always_ff @(posedge clk) begin
        to_window_end_q <= BEAT_W'(BURST) - BEAT_W'(burst_place);
        size_q          <= (write_left_q < to_window_end_q) ? write_left_q : to_window_end_q;
        key_addr_q      <= frame.ks_addr[KS_AW-1:0] + KS_AW'(word_idx >> WORD_AW);
    end

    embnic_fifo #(.WIDTH(DATA_W + 1), .DEPTH(AHEAD), .STYLE(1)) u_data (
        .clk,
        .rst          (rst || flush),
        .s_axis_tdata ({ks_rd_bad, ks_rd_data}),
        .s_axis_tvalid(data_rd_q2 && !flush),
        .s_axis_tready(data_room),
        .m_axis_tdata ({data_bad, m_axi_wdata}),
        .m_axis_tvalid(data_valid),
        .m_axis_tready(data_ready),
        .sts_count    (data_count)
    );

    assign m_axi_awaddr  = {burst_addr_q, BYTE_AW'(0)};
    assign m_axi_awlen   = 8'(size_q - BEAT_W'(1));
    assign m_axi_awsize  = 3'(BYTE_AW);
    assign m_axi_awburst = 2'b01;
    // A burst that was given up: what is owed of it. The address and the beat on offer hold, as AXI
    // demands; no UPDATE gets far enough to change the registers that they come from.
    logic                owe_q, owe_aw_q, owe_w_q, owe_held_q;  // anything; address, beats, the beat on offer
    logic [1:0]          owe_age_q;                   // reads of the key store on their way are over at 3
    logic [EPOCH_W-1:0]  burst_stamp_q;
    logic                burst_old, give_up, owe_end;

    assign flush         = owe_q && !owe_held_q;
    assign burst_old     = epoch_on && EPOCH_W'(epoch - burst_stamp_q) >= EPOCH_W'(2);
    assign m_axi_awvalid = (state_q == ADDR && wait_q == 2'd2) || owe_aw_q;
    assign m_axi_wstrb   = ((owe_w_q && !owe_held_q) || data_bad) ? '0 : '1;
    assign m_axi_wlast   = burst_q == BEAT_W'(1);
    assign m_axi_wvalid  = (state_q == DATA && data_valid) || (owe_w_q && !owe_aw_q);
    assign data_ready    = state_q == DATA && m_axi_wready;
    assign owe_end       = owe_q && !owe_w_q && owe_age_q == 2'd3 && m_axi_bvalid;
    assign m_axi_bready  = state_q == RESP || (owe_q && !owe_w_q && owe_age_q == 2'd3);
    assign sts_owed      = owe_q;

    always_ff @(posedge clk) begin
        if (state_q == ADDR && wait_q != 2'd2) burst_stamp_q <= epoch;
        if (rst) begin
            {owe_q, owe_aw_q, owe_w_q, owe_held_q} <= '0;
            evt_timeout <= 1'b0;
            evt_late    <= 1'b0;
        end else begin
            evt_timeout <= give_up;
            evt_late    <= owe_end;
            if (owe_age_q != 2'd3) owe_age_q <= owe_age_q + 2'd1;
            if (m_axi_awready) owe_aw_q <= 1'b0;
            if (m_axi_wready && m_axi_wvalid) begin
                owe_held_q <= 1'b0;
                if (m_axi_wlast) owe_w_q <= 1'b0;
            end
            if (owe_end) owe_q <= 1'b0;
            if (give_up) begin
                owe_q      <= 1'b1;
                owe_age_q  <= '0;
                owe_aw_q   <= state_q == ADDR;
                owe_w_q    <= state_q != RESP;
                owe_held_q <= state_q == DATA && data_valid;
            end
        end
    end
    assign sts_row_open  = state_q == DATA || state_q == RESP ||
        (state_q == ADDR && write_left_q != row_beats);

    assign data_rd   = read_left_q != '0 && credit_q != '0;
    assign word_idx  = 17'(row_idx_q) + (only_fetches ? 17'd0 : 17'(SEQUENCE_BYTES / 8));
    assign word_lane = word_idx[WORD_AW-1:0];
    assign key_rd    = state_q == KEY && wait_q == 2'd1;
    assign ks_rd_en  = data_rd || key_rd || (state_q == HEAD && wait_q == 2'd0);

    always_comb begin
        read_addr = frame.ks_addr[KS_AW-1:0];
        if (key_rd) read_addr = key_addr_q;
        if (data_rd) read_addr = data_addr_q;
    end

    assign ks_rd_addr = KS_W'(read_addr);

    assign desc_rd_en   = state_q == DESC && wait_q == 2'd0;
    assign desc_rd_addr = key_q.tbl[TBL_AW-1:0];

    // ---------------------------------------------------------------------------------------------
    // One state after the other
    // ---------------------------------------------------------------------------------------------
    always_comb begin
        state_d              = state_q;
        wait_d               = 2'd0;
        status_d             = status_q;
        apply_d              = apply_q;
        row_idx_d            = row_idx_q;
        entry_d              = entry_q;
        clients_d            = clients_q;
        client_idx_d         = client_idx_q;
        client_rd_en         = 1'b0;
        client_wr_en         = 1'b0;
        unit_d               = unit_q;
        line_unit_d          = line_unit_q;
        row_unit_d           = row_unit_q;
        slid_d               = slid_q;
        addend_d             = addend_q;
        factor_d             = factor_q;
        seg_d                = seg_q;
        beat_base_d          = beat_base_q;
        data_addr_d          = data_addr_q + KS_AW'(data_rd);
        read_left_d          = read_left_q - BEAT_W'(data_rd);
        write_left_d         = write_left_q;
        burst_d              = burst_q;
        burst_addr_d         = burst_addr_q;
        give_up              = 1'b0;
        evt_update           = 1'b0;
        evt_update_duplicate = 1'b0;
        evt_update_row       = 1'b0;
        evt_prefetch         = 1'b0;
        unique case (state_q)
            WAIT: begin
                status_d     = STATUS_OK;
                apply_d      = 1'b0;
                row_idx_d    = '0;
                client_idx_d = '0;
                if (s_axis_upd_tvalid && lookup_idle) state_d = SIZES;
            end
            SIZES:  state_d = TOTALS;
            TOTALS: state_d = RULES;
            // The bytes of all rows, of the payload, what the rules say.
            RULES: begin
                wait_d = wait_q + 2'd1;
                if (wait_q == 2'd2) begin
                    wait_d   = 2'd0;
                    status_d = rules_q;
                    state_d  = rules_q != STATUS_OK ? RELEASE : only_fetches ? KEY : HEAD;
                end
            end
            HEAD: begin
                wait_d      = wait_q + 2'd1;
                data_addr_d = frame.ks_addr[KS_AW-1:0] + KS_AW'(key_bytes_q >> BYTE_AW);
                if (wait_q == 2'd2) begin
                    state_d = KEY;
                    wait_d  = 2'd0;
                end
            end
            KEY: begin
                wait_d = wait_q + 2'd1;
                if (wait_q == 2'd3) state_d = DESC;
            end
            DESC: begin
                wait_d   = wait_q + 2'd1;
                unit_d   = desc.base[ADDR_W-1:6];
                addend_d = key_q.row[UNIT_W-1:0];
                factor_d = row64_q;
                if (wait_q == 2'd3) begin
                    if (apply_q) begin
                        state_d = STRIDE;
                    end else if (desc_status != STATUS_OK) begin
                        status_d = desc_status;
                        state_d  = RELEASE;
                    end else begin
                        row_idx_d = last_row ? '0 : row_idx_q + 16'd1;
                        state_d   = (last_row && !only_fetches) ? CLIENT : KEY;
                        apply_d   = last_row && only_fetches;
                    end
                end
            end
            // The entries in use one after the other; a new client takes the next.
            CLIENT: begin
                if (client_idx_q == clients_q) begin
                    entry_d = '{client: client_q, high: '0, window: '0};
                    if (clients_q == (CLIENT_AW + 1)'(CLIENTS)) begin
                        status_d = STATUS_CLIENTS_FULL;
                        state_d  = RELEASE;
                    end else begin
                        state_d = SEQUENCE;
                    end
                end else if (wait_q == 2'd0) begin
                    client_rd_en = 1'b1;
                    wait_d       = 2'd1;
                end else if (wait_q == 2'd1) begin
                    wait_d = 2'd2;
                end else if (client_same_q) begin
                    entry_d = entry_ram;
                    state_d = SEQUENCE;
                end else begin
                    client_idx_d = client_idx_q + (CLIENT_AW + 1)'(1);
                end
            end
            SEQUENCE: begin
                wait_d = wait_q + 2'd1;
                slid_d = '0;
                if (wait_q == 2'd3) begin
                    if (gap_known_q || (!gap_far_q && gap_seen_q)) begin
                        evt_update_duplicate = 1'b1;
                        state_d              = RELEASE;
                    end else if (gap_far_q) begin
                        status_d = STATUS_SEQUENCE_WINDOW;
                        state_d  = RELEASE;
                    end else if (writes && owe_q) begin
                        status_d = STATUS_MEMORY_ERROR;
                        state_d  = RELEASE;
                    end else begin
                        entry_d.window[gap_bit_q] = 1'b1;
                        apply_d                   = 1'b1;
                        state_d                   = KEY;
                    end
                end
            end
            STRIDE: begin
                if (factor_q[0]) unit_d = unit_q + addend_q;
                addend_d    = addend_q << 1;
                factor_d    = factor_q >> 1;
                line_unit_d = unit_q;
                row_unit_d  = unit_q;
                seg_d       = '0;
                beat_base_d = '0;
                if (factor_q == '0) state_d = only_fetches ? FETCH : LINES;
            end
            LINES: if (m_axis_op_tready) begin
                seg_d        = seg_q + SEG_W'(1);
                line_unit_d  = line_unit_q + UNIT_W'(LINE_BYTES / 64);
                beat_base_d  = beat_base_q + BEAT_W'(LINE_BEATS);
                if (writes) begin
                    write_left_d = row_beats;
                    burst_addr_d = BEAT_ADDR_W'(unit_q) << $clog2(BPW);
                end
                if (last_seg) begin
                    state_d = writes ? ADDR : ROW_DONE;
                    if (writes) read_left_d = row_beats;
                end
            end
            FETCH: if (m_axis_op_tvalid && m_axis_op_tready) begin
                seg_d       = seg_q + SEG_W'(1);
                line_unit_d = line_unit_q + UNIT_W'(LINE_BYTES / 64);
                beat_base_d = beat_base_q + BEAT_W'(LINE_BEATS);
                if (last_seg) state_d = ROW_DONE;
            end
            // To the end of the window, then to the end of the row, then the address is offered.
            ADDR: if (wait_q != 2'd2) begin
                wait_d = wait_q + 2'd1;
            end else begin
                wait_d  = 2'd2;
                burst_d = size_q;
                if (m_axi_awready) begin
                    write_left_d = write_left_q - size_q;
                    burst_addr_d = burst_addr_q + BEAT_ADDR_W'(size_q);
                    state_d      = DATA;
                    wait_d       = 2'd0;
                end else if (burst_old) begin
                    give_up = 1'b1;
                    state_d = ROW_DONE;
                end
            end
            DATA: if (m_axi_wvalid && m_axi_wready) begin
                burst_d = burst_q - BEAT_W'(1);
                if (data_bad) status_d = STATUS_MEMORY_ERROR;
                if (m_axi_wlast) state_d = RESP;
            end else if (burst_old) begin
                give_up = 1'b1;
                state_d = ROW_DONE;
            end
            RESP: if (m_axi_bvalid) begin
                if (m_axi_bresp[1]) status_d = STATUS_MEMORY_ERROR;
                seg_d       = '0;
                line_unit_d = row_unit_q;
                beat_base_d = '0;
                state_d     = write_left_q != '0 ? ADDR : (fetches && status_d == STATUS_OK) ? FETCH : ROW_DONE;
            end else if (burst_old) begin
                give_up = 1'b1;
                state_d = ROW_DONE;
            end
            ROW_DONE: begin
                row_idx_d = row_idx_q + 16'd1;
                if (status_q != STATUS_OK) begin
                    state_d = fetches ? DRAIN : RELEASE;
                end else begin
                    evt_update_row = !only_fetches;
                    state_d        = !last_row ? KEY : fetches ? DRAIN : SLIDE;
                end
            end
            // Idle for some cycles: until then a result or an error may come.
            DRAIN: if (lookup_idle) begin
                wait_d = wait_q + 2'd1;
                if (wait_q == 2'd3) begin
                    evt_prefetch = only_fetches && !fetch_failed_q;
                    if (fetch_failed_q) status_d = STATUS_MEMORY_ERROR;
                    state_d = (only_fetches || status_d != STATUS_OK) ? RELEASE : SLIDE;
                end
            end
            SLIDE: begin
                if (entry_q.window[0]) begin
                    slid_d         = slid_q + 7'd1;
                    entry_d.window = entry_q.window >> 1;
                end else begin
                    state_d = STORE;
                end
            end
            // The carry between the halves, the sum; then it is written.
            STORE: begin
                wait_d = wait_q + 2'd1;
                if (wait_q == 2'd1) begin
                    entry_d.high[31:0]  = entry_q.high[31:0] + 32'(slid_q);
                    entry_d.high[63:32] = entry_q.high[63:32] + 32'(slid_carry_q);
                end
                if (wait_q == 2'd2) begin
                    wait_d       = 2'd0;
                    client_wr_en = 1'b1;
                    evt_update   = 1'b1;
                    state_d      = RELEASE;
                    if (client_idx_q == clients_q) clients_d = clients_q + (CLIENT_AW + 1)'(1);
                end
            end
            RELEASE: state_d = DONE;
            DONE: if (m_axis_upd_done_tready) state_d = WAIT;
            default: state_d = WAIT;
        endcase
        // What was read in the cycle before was wrong: the parity of a beat is too deep for the same one.
        if (beat_bad_q) begin
            status_d = STATUS_MEMORY_ERROR;
            state_d  = RELEASE;
            wait_d   = 2'd0;
        end
        if (give_up) begin
            status_d    = STATUS_MEMORY_ERROR;
            read_left_d = '0;
            wait_d      = 2'd0;
        end
        if (owe_w_q && m_axi_wvalid && m_axi_wready) burst_d = burst_q - BEAT_W'(1);
    end

    always_comb begin
        active_d = state_q == WAIT ? s_axis_upd_tvalid && lookup_idle
                                   : !(state_q == DONE && m_axis_upd_done_tready);
        lines_d  = (state_q == STRIDE && factor_q == '0 && !only_fetches)
                   || (state_q == LINES && !(m_axis_op_tready && last_seg));
        fetch_d  = (state_q == STRIDE && factor_q == '0 && only_fetches)
                   || (state_q == RESP && m_axi_bvalid && !m_axi_bresp[1] && write_left_q == '0 && fetches
                       && status_q == STATUS_OK)
                   || (state_q == FETCH && !(m_axis_op_tvalid && m_axis_op_tready && last_seg));
    end

    always_ff @(posedge clk) begin
        wait_q       <= wait_d;
        status_q     <= status_d;
        apply_q      <= apply_d;
        row_idx_q    <= row_idx_d;
        entry_q      <= entry_d;
        client_idx_q <= client_idx_d;
        unit_q       <= unit_d;
        line_unit_q  <= line_unit_d;
        row_unit_q   <= row_unit_d;
        slid_q       <= slid_d;
        desc_check_q <= desc_check_d;
        if (state_q == DESC) {remote_q, owner_q, generation_q} <= desc.remote ? {1'b1, desc.owner, desc.generation} : '0;
        addend_q     <= addend_d;
        factor_q     <= factor_d;
        seg_q        <= seg_d;
        beat_base_q  <= beat_base_d;
        data_addr_q  <= data_addr_d;
        write_left_q <= write_left_d;
        burst_q      <= burst_d;
        burst_addr_q <= burst_addr_d;
        if (state_q == SIZES) begin
            vec64_q     <= DIM_W'((17'(hdr.dim) + 17'd15) >> 4);
            row64_q     <= VEC_W'(row_units(hdr.dtype, hdr.dim));
            key_bytes_q <= only_fetches ? LEN_W'({hdr.keys, 3'd0})
                : (LEN_W'({hdr.keys, 3'd0}) + LEN_W'(SEQUENCE_BYTES + UNIT_BYTES - 1)) & ~LEN_W'(UNIT_BYTES - 1);
            last_idx_q  <= hdr.keys - 16'd1;
        end
        payload_bytes_q <= key_bytes_q + (writes ? row_bytes_q : '0);
        rules_q         <= rules_d;
        if (state_q == TOTALS) row_bytes_q <= (LEN_W'(hdr.keys) * LEN_W'(row64_q)) << 6;
        if (state_q == WAIT) begin
            client_q   <= '0;
            sequence_q <= '0;
        end else if (state_q == HEAD && wait_q == 2'd2) begin
            client_q   <= ks_rd_data[63:0];
            sequence_q <= ks_rd_data[127:64];
        end else if (only_fetches && pf_valid) begin  // what the ACK of a PREFETCH counts instead
            client_q[15:0]   <= client_q[15:0] + 16'(pf_granted);
            sequence_q[15:0] <= sequence_q[15:0] + 16'(pf_there);
        end
        fetch_failed_q <= state_q != WAIT && (fetch_failed_q || pf_err_valid);
        if (state_q == KEY && wait_q == 2'd3) key_q <= key_t'(ks_rd_data[{word_lane, 6'd0}+:64]);
        if (rst && !keep_clients) clients_q <= '0;
        else clients_q <= clients_d;
        if (rst) begin
            state_q     <= WAIT;
            beat_bad_q  <= 1'b0;
            active_q    <= 1'b0;
            lines_q     <= 1'b0;
            fetch_q     <= 1'b0;
            room_q      <= PLACES_W'(PLACES);
            evt_prefetch_row <= 1'b0;
            read_left_q <= '0;
            credit_q    <= CREDIT_W'(AHEAD);
            data_rd_q   <= 1'b0;
            data_rd_q2  <= 1'b0;
        end else begin
            state_q     <= state_d;
            beat_bad_q  <= ks_rd_bad && ((state_q == HEAD && wait_q == 2'd2) || (state_q == KEY && wait_q == 2'd3));
            active_q    <= active_d;
            lines_q     <= lines_d;
            fetch_q     <= fetch_d;
            room_q      <= room_q - PLACES_W'(take_place) + PLACES_W'(op_credit_valid);
            evt_prefetch_row <= pf_valid && pf_granted;
            read_left_q <= read_left_d;
            credit_q    <= flush ? CREDIT_W'(AHEAD)
                : credit_q - CREDIT_W'(data_rd) + CREDIT_W'(data_valid && data_ready);
            data_rd_q   <= data_rd;
            data_rd_q2  <= data_rd_q;
        end
    end

    assign s_axis_upd_tready      = state_q == RELEASE;
    assign m_axis_upd_done_tdata  = {status_q, client_q, sequence_q};
    assign m_axis_upd_done_tvalid = state_q == DONE;
    assign sts_active             = active_q;

    // Fields of the frame and of descriptors that an update does not need.
    wire unused = &{1'b0, frame, hdr, desc, key_q.last, m_axi_bresp[0], gap_high[0]};

    // Assertions
    `EMBNIC_STABLE(upd_stable, s_axis_upd_tvalid, s_axis_upd_tready, s_axis_upd_tdata,
        "a frame offered holds until it is finished")
    `EMBNIC_STABLE(done_stable, m_axis_upd_done_tvalid, m_axis_upd_done_tready,
        m_axis_upd_done_tdata,
        "a result offered holds until it is taken")
    `EMBNIC_STABLE(op_stable, m_axis_op_tvalid, m_axis_op_tready, m_axis_op_tdata,
        "an operation offered holds until it is taken")
    `EMBNIC_STABLE(aw_stable, m_axi_awvalid, m_axi_awready, {m_axi_awaddr, m_axi_awlen},
        "an address offered holds until it is taken")
    `EMBNIC_STABLE(w_stable, m_axi_wvalid, m_axi_wready, {m_axi_wdata, m_axi_wlast},
        "a beat offered holds until it is taken")
    `EMBNIC_KNOWN(valid_known, {m_axi_awvalid, m_axi_wvalid, m_axis_op_tvalid,
        m_axis_upd_done_tvalid},
        "valids are known after reset")
    `EMBNIC_NEVER(places_over, op_credit_valid && room_q == PLACES_W'(PLACES), "a place is given back once")
    `EMBNIC_ASSERT(places_back, state_q != WAIT || room_q == PLACES_W'(PLACES), "a frame ends when all its operations have")
    `EMBNIC_NEVER(data_overflow, data_rd_q2 && !flush && !data_room, "a credit is a place for a beat")
    `EMBNIC_NEVER(write_while_owed, owe_q && (state_q == ADDR || state_q == DATA || state_q == RESP),
        "one write burst at a time, given up or not")
    `EMBNIC_COVER(gave_up_address, give_up && state_q == ADDR, "memory does not take an address")
    `EMBNIC_COVER(gave_up_beat, give_up && state_q == DATA, "memory does not take a beat")
    `EMBNIC_COVER(gave_up_response, give_up && state_q == RESP, "memory does not answer a write")
    `EMBNIC_NEVER(data_lost, 32'(data_count) + 32'(credit_q) > AHEAD,
        "a beat read ahead holds a credit")
    `EMBNIC_NEVER(read_twice, data_rd && (key_rd || state_q == HEAD),
        "one reader of the key store at a time")
    `EMBNIC_NEVER(window_crossed, m_axi_awvalid && 32'(burst_place) + 32'(size_q) > BURST,
        "no burst leaves its window")
    `EMBNIC_ASSERT(decoded, active_q == (state_q != WAIT) && lines_q == (state_q == LINES) && fetch_q == (state_q == FETCH),
        "what is decoded beside the next state is what it is")
    `EMBNIC_NEVER(not_idle, sts_active && state_q != DONE && state_q != RELEASE &&
        !s_axis_upd_tvalid,
        "the frame stays while it is applied")
    `EMBNIC_COVER(full_table, state_q == CLIENT && clients_q == (CLIENT_AW + 1)'(CLIENTS),
        "every client entry is in use")
    `EMBNIC_COVER(split_row, state_q == RESP && write_left_q != '0, "a row takes two bursts")
endmodule
`default_nettype wire
