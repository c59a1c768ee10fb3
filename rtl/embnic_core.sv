// SPDX-License-Identifier: Apache-2.0
// The embnic card core: embedding requests in as Ethernet frames, pooled vectors out as Ethernet frames.
//
// Order          replies leave in the order of their requests; an update takes effect between two requests.
// Back-pressure  s_axis_rx is never held up: what finds no room is dropped whole and counted. m_axis_tx and m_axi may stall any cycle.
// Throughput     one row beat per cycle through cache and pool when enough bags are open.
// Errors         every frame is either answered (REPLY, PARTIAL, ACK, ERROR) or counted as a drop by reason.
// Remote rows    of tables on other cards are asked for on m_axis_remote, a transfer a line, and come on s_axis_remote; who makes
//                frames of them is not in here. docs/decisions/0010-remote-rows.md says what that side has to keep to.
// Not handled    VLAN tags, IPv6, IP options and fragments (counted as not ours).
//
// docs/architecture.md has the picture; parameters are the columns of spec/configs.toml.
`default_nettype none
`include "embnic_assert.svh"
module embnic_core
    import embnic_pkg::*;
    import embnic_wire_pkg::*;
#(
    parameter int unsigned CONFIG_ID   = 1,      // identity register
    parameter int unsigned GIT_HASH    = 0,      // identity register; 0 when unknown
    parameter int unsigned DATA_W      = 128,    // bus width, bits: 128 or 512
    parameter int unsigned SLOTS       = 4,      // open bags
    parameter int unsigned MAX_VEC64   = 8,      // longest vector in 64-byte units
    parameter int unsigned TREE_K      = 8,      // most running sums of order TREE: 2, 4, 8, 16, or 0: none
    parameter int unsigned PRODUCTS    = 1,      // 1: build what multiplies the rows of two tables
    parameter int unsigned COMPUTE     = 1,      // 1: build the kernels beyond pooling: ACCUMULATE, TOPK, INTERACT
    parameter int unsigned LINE_BYTES  = 64,     // cache line
    parameter int unsigned WAYS        = 2,      // cache ways
    parameter int unsigned SETS        = 8,      // cache sets
    parameter int unsigned FETCHES     = 4,      // lines being fetched
    parameter int unsigned MAX_BURST   = 2,      // beats of a burst of card memory
    parameter int unsigned REMOTE_FETCHES = 16,  // remote lines being fetched; 0: no remote tables
    parameter int unsigned REMOTE_SLOTS = 2,     // open bags that may be of remote tables; 0 with REMOTE_FETCHES = 0
    parameter int unsigned OPQ_DEPTH   = 32,     // operations between tag stage and pool
    parameter int unsigned KS_BEATS    = 512,    // key store, beats
    parameter int unsigned RX_FRAMES   = 8,      // accepted frames waiting for decode
    parameter int unsigned RSP_BEATS   = 512,    // reply buffer, beats
    parameter int unsigned CTXS        = 4,      // requests in flight
    parameter int unsigned TABLES      = 8,      // tables
    parameter int unsigned CLIENTS     = 2,      // updating clients
    parameter int unsigned CACHE_STYLE = 0,      // RAM style of the row data, see embnic_ram_1r1w
    parameter int unsigned BUF_STYLE   = 0,      // RAM style of key store, reply buffer and accumulators
    parameter int unsigned CHANNELS    = 1,      // channels of card memory; power of two, 1 .. 32
    parameter int unsigned GENERATOR   = 1,      // 1: build the frame generator and its checker
    parameter int unsigned ECC         = 1,      // 1: parity of row, tag, key and reply memories
    localparam int unsigned ID_W       = $clog2(FETCHES) + 1
) (
    input  wire logic                clk,
    input  wire logic                rst,
    // Ethernet frames from the MAC, without preamble and frame check sequence
    input  wire logic [DATA_W-1:0]   s_axis_rx_tdata,
    input  wire logic [DATA_W/8-1:0] s_axis_rx_tkeep,
    input  wire logic                s_axis_rx_tvalid,
    output      logic                s_axis_rx_tready,
    input  wire logic                s_axis_rx_tlast,
    input  wire logic                s_axis_rx_tuser,  // at tlast: the MAC found the frame bad
    // Ethernet frames to the MAC
    output      logic [DATA_W-1:0]   m_axis_tx_tdata,
    output      logic [DATA_W/8-1:0] m_axis_tx_tkeep,
    output      logic                m_axis_tx_tvalid,
    input  wire logic                m_axis_tx_tready,
    output      logic                m_axis_tx_tlast,
    // registers
    input  wire logic [11:0]         s_axil_awaddr,
    input  wire logic [2:0]          s_axil_awprot,
    input  wire logic                s_axil_awvalid,
    output      logic                s_axil_awready,
    input  wire logic [31:0]         s_axil_wdata,
    input  wire logic [3:0]          s_axil_wstrb,
    input  wire logic                s_axil_wvalid,
    output      logic                s_axil_wready,
    output      logic [1:0]          s_axil_bresp,
    output      logic                s_axil_bvalid,
    input  wire logic                s_axil_bready,
    input  wire logic [11:0]         s_axil_araddr,
    input  wire logic [2:0]          s_axil_arprot,
    input  wire logic                s_axil_arvalid,
    output      logic                s_axil_arready,
    output      logic [31:0]         s_axil_rdata,
    output      logic [1:0]          s_axil_rresp,
    output      logic                s_axil_rvalid,
    input  wire logic                s_axil_rready,
    // card memory: a channel a part of each port, see embnic_axi_channels
    output      logic [CHANNELS-1:0][ID_W-1:0] m_axi_awid,
    output      logic [CHANNELS-1:0][ADDR_W-1:0] m_axi_awaddr,
    output      logic [CHANNELS-1:0][7:0] m_axi_awlen,
    output      logic [CHANNELS-1:0][2:0] m_axi_awsize,
    output      logic [CHANNELS-1:0][1:0] m_axi_awburst,
    output      logic [CHANNELS-1:0] m_axi_awvalid,
    input  wire logic [CHANNELS-1:0] m_axi_awready,
    output      logic [CHANNELS-1:0][DATA_W-1:0] m_axi_wdata,
    output      logic [CHANNELS-1:0][DATA_W/8-1:0] m_axi_wstrb,
    output      logic [CHANNELS-1:0] m_axi_wlast,
    output      logic [CHANNELS-1:0] m_axi_wvalid,
    input  wire logic [CHANNELS-1:0] m_axi_wready,
    input  wire logic [CHANNELS-1:0][ID_W-1:0] m_axi_bid,
    input  wire logic [CHANNELS-1:0][1:0] m_axi_bresp,
    input  wire logic [CHANNELS-1:0] m_axi_bvalid,
    output      logic [CHANNELS-1:0] m_axi_bready,
    output      logic [CHANNELS-1:0][ID_W-1:0] m_axi_arid,
    output      logic [CHANNELS-1:0][ADDR_W-1:0] m_axi_araddr,
    output      logic [CHANNELS-1:0][7:0] m_axi_arlen,
    output      logic [CHANNELS-1:0][2:0] m_axi_arsize,
    output      logic [CHANNELS-1:0][1:0] m_axi_arburst,
    output      logic [CHANNELS-1:0] m_axi_arvalid,
    input  wire logic [CHANNELS-1:0] m_axi_arready,
    input  wire logic [CHANNELS-1:0][ID_W-1:0] m_axi_rid,
    input  wire logic [CHANNELS-1:0][DATA_W-1:0] m_axi_rdata,
    input  wire logic [CHANNELS-1:0][1:0] m_axi_rresp,
    input  wire logic [CHANNELS-1:0] m_axi_rlast,
    input  wire logic [CHANNELS-1:0] m_axi_rvalid,
    output      logic [CHANNELS-1:0] m_axi_rready,
    // lines of other cards
    output      logic [$bits(remote_line_t)-1:0] m_axis_remote_tdata, // remote_line_t: what is asked for
    output      logic                m_axis_remote_tvalid,
    input  wire logic                m_axis_remote_tready,
    input  wire logic [DATA_W-1:0]   s_axis_remote_tdata,  // as stored, beat by beat
    input  wire logic [REMOTE_TAG_W-1:0] s_axis_remote_tid, // the request's tag
    input  wire logic                s_axis_remote_tuser,  // the owner has no such beat
    input  wire logic                s_axis_remote_tlast,  // of its line
    input  wire logic                s_axis_remote_tvalid,
    output      logic                s_axis_remote_tready,
    // what happened in this cycle, one bit an event: see the assignment at the end
    output      logic [31:0]         sts_probe
);
    localparam int unsigned BPW       = 512 / DATA_W;
    localparam int unsigned KS_AW     = $clog2(KS_BEATS);
    localparam int unsigned RSP_AW    = $clog2(RSP_BEATS);
    localparam int unsigned INIT_UNITS = 2 * MAX_VEC64;       // of a bank of the init RAM: accumulator and partials of a bag
    localparam int unsigned INIT_N    = INIT_BANKS * INIT_UNITS * BPW;
    localparam int unsigned INIT_AW   = $clog2(INIT_N);
    localparam int unsigned TBL_AW    = $clog2(TABLES);
    localparam int unsigned PLACES    = OPQ_DEPTH / SLOTS;    // operations of a slot in the cache
    localparam int unsigned BUCKETS   = 32;                   // of each latency histogram
    localparam int unsigned ERROR_LOG = 64;                   // errors kept
    localparam int unsigned REPLY_MAX = RSP_BEATS / BPW / 2;  // largest reply of a request: two of them fit

    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end
    if (KS_BEATS > (1 << KS_W)) begin : gen_bad_ks_beats
        $fatal(1, "KS_BEATS must not exceed 16,384");
    end
    if (RSP_BEATS > (1 << RSP_W)) begin : gen_bad_rsp_beats
        $fatal(1, "RSP_BEATS must not exceed 16,384");
    end
    if (CTXS > (1 << CTX_W) || SLOTS > (1 << SLOT_W)) begin : gen_bad_slots
        $fatal(1, "SLOTS and CTXS must not exceed 64");
    end
    if (PLACES * LINE_BYTES < MAX_VEC64 * 64) begin : gen_bad_opq_depth
        $fatal(1, "OPQ_DEPTH / SLOTS must not be less than the lines of the longest row");
    end
    if (REMOTE_FETCHES > REMOTE_SLOTS * PLACES || REMOTE_SLOTS >= SLOTS || (REMOTE_FETCHES == 0 && REMOTE_SLOTS != 0))
    begin : gen_bad_remote
        $fatal(1, "REMOTE_SLOTS must be less than SLOTS, and REMOTE_FETCHES not more than their places");
    end
    if (ECC > 1) begin : gen_bad_ecc
        $fatal(1, "ECC must be 0 or 1");
    end
    if (PRODUCTS > 1) begin : gen_bad_products
        $fatal(1, "PRODUCTS must be 0 or 1");
    end
    if (COMPUTE > 1) begin : gen_bad_compute
        $fatal(1, "COMPUTE must be 0 or 1");
    end
    if (GENERATOR > 1) begin : gen_bad_generator
        $fatal(1, "GENERATOR must be 0 or 1");
    end

    // One master inside; embnic_axi_channels makes the channels of it.
    logic [ID_W-1:0]     mem_arid, mem_rid;
    logic [ADDR_W-1:0]   mem_araddr, mem_awaddr;
    logic [7:0]          mem_arlen, mem_awlen;
    logic [2:0]          mem_arsize, mem_awsize;
    logic [1:0]          mem_arburst, mem_awburst, mem_rresp, mem_bresp;
    logic [DATA_W-1:0]   mem_rdata, mem_wdata;
    logic [DATA_W/8-1:0] mem_wstrb;
    logic                mem_arvalid, mem_arready, mem_rvalid, mem_rready, mem_rlast;
    logic                mem_awvalid, mem_awready, mem_wvalid, mem_wready, mem_wlast, mem_bvalid, mem_bready;

    // -----------------------------------------------------------------------------------------------------------------
    // Registers and counters
    // -----------------------------------------------------------------------------------------------------------------
    logic               cfg_enable, cfg_flush, cfg_snapshot;
    logic [15:0]        cfg_udp_port;
    logic [7:0]         cfg_reply_beats64;
    logic               cfg_quiesce, cfg_soft_reset, cfg_generator, cfg_latency_clear, cfg_errors_clear;
    logic               sts_idle, sts_drained, sts_flush_busy, sts_commit_busy, sts_reset_busy, sts_memory_stuck;
    logic               sts_generating;
    logic [14:0]        gen_table;
    logic [31:0]        gen_row_mask, gen_frames;
    logic [15:0]        cfg_memory_kilocycles, cfg_remote_kilocycles;
    logic [$clog2(REMOTE_FETCHES+2)-1:0] sts_remote_waiting;
    logic [ID_W:0]      sts_quarantine;
    logic               sts_memory_owed_write;
    logic [4:0]         channel_sel;
    logic [15:0]        channel_reads;
    logic               inject_arm;
    logic [2:0]         inject_memory, inject_place;
    logic [7:1]         inject;        // one bit a memory, by its number in the register
    logic [7:1]         evt_injected;
    logic [15:0]        gen_dim;
    logic [7:0]         gen_beats, latency_bucket, error_sel;
    logic [3:0]         gen_length_log2, gen_window;
    logic [3:0][31:0]   latency_count;
    logic [31:0]        error_total;
    logic [4:0][31:0]   error_words;
    logic [31:0]        table_sel;
    logic [255:0]       table_words;
    logic               cfg_commit, table_commit;
    logic [3:0]         cfg_cached_ways;
    logic               cfg_admission;
    logic               dp_rst;  // of everything but registers, counters and descriptors: see Operability
    logic [COUNTERS_N-1:0][31:0] counter_inc;
    logic [COUNTERS_N-1:0][63:0] counters;

    embnic_csr_map #(
        .CONFIG_ID(CONFIG_ID),
        .GIT_HASH (GIT_HASH)
    ) u_csr_map (
        .clk, .rst,
        .s_axil_awaddr, .s_axil_awprot, .s_axil_awvalid, .s_axil_awready,
        .s_axil_wdata, .s_axil_wstrb, .s_axil_wvalid, .s_axil_wready,
        .s_axil_bresp, .s_axil_bvalid, .s_axil_bready,
        .s_axil_araddr, .s_axil_arprot, .s_axil_arvalid, .s_axil_arready,
        .s_axil_rdata, .s_axil_rresp, .s_axil_rvalid, .s_axil_rready,
        .cap_data_w     (32'(DATA_W)),
        .cap_slots      (32'(SLOTS)),
        .cap_max_vec64  (32'(MAX_VEC64)),
        .cap_line_bytes (32'(LINE_BYTES)),
        .cap_ways       (32'(WAYS)),
        .cap_sets       (32'(SETS)),
        .cap_fetches    (32'(FETCHES)),
        .cap_remote_fetches(32'(REMOTE_FETCHES)),
        .cap_tables     (32'(TABLES)),
        .cap_ks_bytes   (32'(KS_BEATS * (DATA_W / 8))),
        .cap_reply_vec64(32'(REPLY_MAX)),
        .cap_ctxs       (32'(CTXS)),
        .cap_clients    (32'(CLIENTS)),
        .cap_merge_units(32'(INIT_UNITS)),
        .cap_tree_k     (32'(TREE_K)),
        .cap_features   (32'({COMPUTE == 1, PRODUCTS == 1, ECC == 1, GENERATOR == 1})),
        .cap_buckets    (32'(BUCKETS)),
        .cap_error_log  (32'(ERROR_LOG)),
        .cfg_enable, .cfg_flush, .cfg_snapshot, .cfg_udp_port, .cfg_reply_beats64,
        .cfg_quiesce, .cfg_soft_reset, .cfg_generator, .cfg_latency_clear, .cfg_errors_clear,
        .sts_idle, .sts_drained, .sts_flush_busy, .sts_commit_busy, .sts_reset_busy, .sts_memory_stuck, .sts_generating,
        .gen_table, .gen_row_mask, .gen_dim, .gen_beats, .gen_length_log2, .gen_window, .gen_frames,
        .cap_channels   (32'(CHANNELS)),
        .channel_sel, .channel_reads,
        .inject_memory, .inject_place, .inject_arm,
        .cfg_memory_kilocycles,
        .cfg_remote_kilocycles,
        .sts_remote_waiting(16'(sts_remote_waiting)),
        .sts_memory_owed_reads(16'(sts_quarantine)),
        .sts_memory_owed_write,
        .table_sel, .table_words,
        .table_commit   (cfg_commit),
        .cfg_cached_ways, .cfg_admission,
        .latency_bucket, .latency_count, .error_sel, .error_total, .error_words,
        .counters
    );

    embnic_counters #(.N(COUNTERS_N)) u_counters (
        .clk, .rst,
        .inc     (counter_inc),
        .snapshot(cfg_snapshot),
        .values  (counters)
    );

    // -----------------------------------------------------------------------------------------------------------------
    // Frames in; the key store is written twice because decode and issue read it independently, and a third time for the
    // kernels
    // -----------------------------------------------------------------------------------------------------------------
    frame_t             frame;
    logic               frame_valid, frame_ready;
    logic               ks_wr_en;
    logic [KS_W-1:0]    ks_wr_addr;
    logic [DATA_W-1:0]  ks_wr_data;
    logic               ks_free_valid;
    logic [KS_W-1:0]    ks_free_beats;
    logic               evt_rx_frame, evt_rx_accept;
    logic [15:0]        evt_rx_bytes;
    logic [DROP_N-1:0]  evt_rx_drop;
    frame_t             evt_rx_info;
    logic               rx_enable;
    logic [DATA_W-1:0]   rx_tdata;   // frames of the MAC or of the generator
    logic [DATA_W/8-1:0] rx_tkeep;
    logic                rx_tvalid, rx_tlast, rx_tuser;

    embnic_rx_frame #(.DATA_W(DATA_W), .KS_BEATS(KS_BEATS), .FRAMES(RX_FRAMES)) u_rx_frame (
        .clk, .rst(dp_rst),
        .s_axis_rx_tdata (rx_tdata),
        .s_axis_rx_tkeep (rx_tkeep),
        .s_axis_rx_tvalid(rx_tvalid),
        .s_axis_rx_tready,
        .s_axis_rx_tlast (rx_tlast),
        .s_axis_rx_tuser (rx_tuser),
        .m_axis_frame_tdata (frame),
        .m_axis_frame_tvalid(frame_valid),
        .m_axis_frame_tready(frame_ready),
        .ks_wr_en, .ks_wr_addr, .ks_wr_data, .ks_free_valid, .ks_free_beats,
        .cfg_enable         (rx_enable),
        .cfg_udp_port,
        .evt_rx_frame, .evt_rx_bytes, .evt_rx_drop, .evt_rx_accept, .evt_rx_info
    );

    logic              ksa_rd_en, ksb_rd_en, dec_ks_rd_en, upd_ks_rd_en;
    logic [KS_W-1:0]   ksa_rd_addr, ksb_rd_addr, dec_ks_rd_addr, upd_ks_rd_addr;
    logic [DATA_W-1:0] ksa_rd_data, ksb_rd_data;
    logic              ksa_rd_bad, ksb_rd_bad;
    logic [1:0]        ksa_read_q, ksb_read_q;  // index: cycles ago, less one
    logic [2:0]        evt_parity_key;
    logic              ksc_rd_en, ksc_rd_bad;   // copy C: embnic_compute
    logic [KS_W-1:0]   ksc_rd_addr;
    logic [DATA_W-1:0] ksc_rd_data;
    logic [1:0]        ksc_read_q;

    for (genvar i = 1; i < 8; i++) begin : gen_inject
        assign inject[i] = inject_arm && inject_memory == 3'(i);
    end

    embnic_ram_parity #(.WIDTH(DATA_W), .DEPTH(KS_BEATS), .STYLE(BUF_STYLE), .OUT_REG(1'b1), .ECC(ECC == 1)) u_key_store_a (
        .clk, .rst,
        .wr_en(ks_wr_en), .wr_addr(ks_wr_addr[KS_AW-1:0]), .wr_data(ks_wr_data),
        .rd_en(ksa_rd_en), .rd_addr(ksa_rd_addr[KS_AW-1:0]), .rd_data(ksa_rd_data), .rd_bad(ksa_rd_bad),
        .inject(inject[5]), .inject_place, .evt_injected(evt_injected[5])
    );
    embnic_ram_parity #(.WIDTH(DATA_W), .DEPTH(KS_BEATS), .STYLE(BUF_STYLE), .OUT_REG(1'b1), .ECC(ECC == 1)) u_key_store_b (
        .clk, .rst,
        .wr_en(ks_wr_en), .wr_addr(ks_wr_addr[KS_AW-1:0]), .wr_data(ks_wr_data),
        .rd_en(ksb_rd_en), .rd_addr(ksb_rd_addr[KS_AW-1:0]), .rd_data(ksb_rd_data), .rd_bad(ksb_rd_bad),
        .inject(inject[6]), .inject_place, .evt_injected(evt_injected[6])
    );

    always_ff @(posedge clk) begin
        ksa_read_q     <= {ksa_read_q[0], ksa_rd_en && !dp_rst};
        ksb_read_q     <= {ksb_read_q[0], ksb_rd_en && !dp_rst};
        ksc_read_q     <= {ksc_read_q[0], ksc_rd_en && !dp_rst};
        evt_parity_key <= {ksc_read_q[1] && ksc_rd_bad, ksb_read_q[1] && ksb_rd_bad, ksa_read_q[1] && ksa_rd_bad};
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Decode, bag issue, updates. While an update is active it owns key store A, the table RAM and the operation stream.
    // -----------------------------------------------------------------------------------------------------------------
    logic               alloc_valid, alloc_ready;
    reply_t             alloc_info;
    logic [CTX_W-1:0]   alloc_ctx;
    logic [RSP_W-1:0]   alloc_rsp_addr;
    logic               close_valid;
    logic [CTX_W-1:0]   close_ctx;
    logic [15:0]        close_bags;
    status_e            close_status;
    bag_t               bag;
    logic               bag_valid, bag_ready;
    logic               init_wr_en, init_rd_en, init_release;
    logic [INIT_BANK_W-1:0] init_release_bank;
    logic [BEAT_W-1:0]  init_wr_addr, init_rd_addr;
    logic [DATA_W-1:0]  init_wr_data, init_rd_data;
    frame_t             upd_frame;
    logic               upd_valid, upd_ready;
    update_done_t       upd_done;
    logic               upd_done_valid, upd_done_ready;
    logic               upd_active;
    logic               hold, alloc_work, decode_work;
    logic               evt_request, evt_stall_alloc;
    logic [TABLES-1:0]  tables_remote;  // which tables are another card's
    frame_t             compute_frame;
    plan_t              plan;
    logic               compute_valid, compute_ready, plan_valid, plan_ready;
    logic               dec_close_valid;
    logic [CTX_W-1:0]   dec_close_ctx;
    logic [15:0]        dec_close_bags;
    status_e            dec_close_status;

    embnic_req_decode #(
        .DATA_W(DATA_W), .KS_BEATS(KS_BEATS), .MAX_VEC64(MAX_VEC64), .INIT_UNITS(INIT_UNITS), .RSP_BEATS(RSP_BEATS),
        .TABLES(TABLES), .PRODUCTS(PRODUCTS == 1), .COMPUTE(COMPUTE == 1)
    ) u_req_decode (
        .clk, .rst(dp_rst),
        .s_axis_frame_tdata (frame),
        .s_axis_frame_tvalid(frame_valid),
        .s_axis_frame_tready(frame_ready),
        .ks_rd_en           (dec_ks_rd_en),
        .ks_rd_addr         (dec_ks_rd_addr),
        .ks_rd_data         (ksa_rd_data),
        .ks_rd_bad          (ksa_rd_bad),
        .alloc_valid, .alloc_ready, .alloc_info, .alloc_ctx, .alloc_rsp_addr,
        .close_valid        (dec_close_valid),
        .close_ctx          (dec_close_ctx),
        .close_bags         (dec_close_bags),
        .close_status       (dec_close_status),
        .m_axis_bag_tdata   (bag),
        .m_axis_bag_tvalid  (bag_valid),
        .m_axis_bag_tready  (bag_ready),
        .init_wr_en, .init_wr_addr, .init_wr_data, .init_release, .init_release_bank,
        .m_axis_upd_tdata   (upd_frame),
        .m_axis_upd_tvalid  (upd_valid),
        .m_axis_upd_tready  (upd_ready),
        .s_axis_upd_done_tdata (upd_done),
        .s_axis_upd_done_tvalid(upd_done_valid),
        .s_axis_upd_done_tready(upd_done_ready),
        .m_axis_compute_tdata (compute_frame),
        .m_axis_compute_tvalid(compute_valid),
        .m_axis_compute_tready(compute_ready),
        .s_axis_plan_tdata    (plan),
        .s_axis_plan_tvalid   (plan_valid),
        .s_axis_plan_tready   (plan_ready),
        .tables_remote      (REMOTE_SLOTS == 0 ? '0 : tables_remote),
        .cfg_quiesce,
        .cfg_hold           (hold),
        .alloc_work, .sts_work(decode_work),
        .evt_request, .evt_stall_alloc
    );

    embnic_ram_1r1w #(.WIDTH(DATA_W), .DEPTH(INIT_N), .STYLE(BUF_STYLE), .OUT_REG(1'b1)) u_init_ram (
        .clk,
        .wr_en(init_wr_en), .wr_addr(init_wr_addr[INIT_AW-1:0]), .wr_data(init_wr_data),
        .rd_en(init_rd_en), .rd_addr(init_rd_addr[INIT_AW-1:0]), .rd_data(init_rd_data)
    );

    logic              desc_rd_en, iss_desc_rd_en, upd_desc_rd_en;
    logic [TBL_AW-1:0] desc_rd_addr, iss_desc_rd_addr, upd_desc_rd_addr;
    descriptor_t       desc_rd_data;

    embnic_table_ram #(.TABLES(TABLES)) u_table_ram (
        .clk, .rst,
        .cfg_sel   (table_sel),
        .cfg_words (table_words),
        .cfg_commit(table_commit),
        .rd_en     (desc_rd_en),
        .rd_addr   (desc_rd_addr),
        .rd_data   (desc_rd_data),
        .sts_remote(tables_remote)
    );

    op_t     iss_op, upd_op, op;
    logic    iss_op_valid, iss_op_ready, upd_op_valid, upd_op_ready, op_valid, op_ready;
    logic    op_credit_valid;
    logic [SLOT_W-1:0] op_credit_slot;
    logic    iss_err_valid;
    logic [CTX_W-1:0] iss_err_ctx;
    status_e iss_err_status;
    logic    iss_idle, cache_idle, lookup_idle;
    logic    evt_key, evt_key_null, evt_key_padding, evt_key_refused, evt_bag;

    embnic_bag_issue #(
        .DATA_W(DATA_W), .SLOTS(SLOTS), .TABLES(TABLES), .KS_BEATS(KS_BEATS), .LINE_BYTES(LINE_BYTES),
        .MAX_VEC64(MAX_VEC64), .TREE_K(TREE_K), .PLACES(PLACES), .REMOTE_SLOTS(REMOTE_SLOTS),
        .REMOTE_BAGS(RSP_BEATS / BPW), .PRODUCTS(PRODUCTS == 1), .CTXS(CTXS)
    ) u_bag_issue (
        .clk, .rst(dp_rst),
        .s_axis_bag_tdata (bag),
        .s_axis_bag_tvalid(bag_valid),
        .s_axis_bag_tready(bag_ready),
        .ks_rd_en         (ksb_rd_en),
        .ks_rd_addr       (ksb_rd_addr),
        .ks_rd_data       (ksb_rd_data),
        .ks_rd_bad        (ksb_rd_bad),
        .desc_rd_en       (iss_desc_rd_en),
        .desc_rd_addr     (iss_desc_rd_addr),
        .desc_rd_data,
        .m_axis_op_tdata  (iss_op),
        .m_axis_op_tvalid (iss_op_valid),
        .m_axis_op_tready (iss_op_ready),
        .op_credit_valid  (op_credit_valid && !upd_active),
        .op_credit_slot,
        .err_valid        (iss_err_valid),
        .err_ctx          (iss_err_ctx),
        .err_status       (iss_err_status),
        .sts_idle         (iss_idle),
        .evt_key, .evt_key_null, .evt_key_padding, .evt_key_refused, .evt_bag
    );

    // Everything accepted before the update has been consumed.
    assign lookup_idle = iss_idle && cache_idle && !bag_valid;

    logic [ADDR_W-1:0] upd_awaddr;
    logic upd_row_open;
    logic dp_awvalid, dp_awready, dp_wlast, dp_wvalid, dp_wready, dp_bvalid, dp_bready;  // behind embnic_axi_gate
    logic [DATA_W/8-1:0] dp_wstrb;
    logic evt_update, evt_update_duplicate, evt_update_row, evt_prefetch, evt_prefetch_row;
    logic pf_valid, pf_there, pf_granted, pf_err_valid;
    logic epoch_on, evt_write_timeout, evt_write_late, evt_read_timeout, evt_read_late;
    logic [EPOCH_W-1:0] epoch;

    logic remote_epoch_on;
    logic [EPOCH_W-1:0] remote_epoch;

    embnic_epoch u_epoch (.clk, .rst, .cfg_kilocycles(cfg_memory_kilocycles), .epoch_on, .epoch);
    embnic_epoch u_remote_epoch (
        .clk, .rst, .cfg_kilocycles(cfg_remote_kilocycles), .epoch_on(remote_epoch_on), .epoch(remote_epoch)
    );

    embnic_update #(
        .DATA_W(DATA_W), .CLIENTS(CLIENTS), .TABLES(TABLES), .LINE_BYTES(LINE_BYTES), .KS_BEATS(KS_BEATS), .MAX_VEC64(MAX_VEC64),
        .PLACES(PLACES), .MAX_BURST(MAX_BURST), .REMOTE_EN(REMOTE_FETCHES != 0)
    ) u_update (
        .clk, .rst(dp_rst),
        .keep_clients          (!rst),
        .s_axis_upd_tdata      (upd_frame),
        .s_axis_upd_tvalid     (upd_valid),
        .s_axis_upd_tready     (upd_ready),
        .m_axis_upd_done_tdata (upd_done),
        .m_axis_upd_done_tvalid(upd_done_valid),
        .m_axis_upd_done_tready(upd_done_ready),
        .lookup_idle,
        .ks_rd_en              (upd_ks_rd_en),
        .ks_rd_addr            (upd_ks_rd_addr),
        .ks_rd_data            (ksa_rd_data),
        .ks_rd_bad             (ksa_rd_bad),
        .desc_rd_en            (upd_desc_rd_en),
        .desc_rd_addr          (upd_desc_rd_addr),
        .desc_rd_data,
        .m_axis_op_tdata       (upd_op),
        .m_axis_op_tvalid      (upd_op_valid),
        .m_axis_op_tready      (upd_op_ready),
        .op_credit_valid       (op_credit_valid && upd_active),
        .pf_valid, .pf_there, .pf_granted, .pf_err_valid,
        .m_axi_awaddr          (upd_awaddr),
        .m_axi_awlen(mem_awlen), .m_axi_awsize(mem_awsize), .m_axi_awburst(mem_awburst),
        .m_axi_awvalid         (dp_awvalid),
        .m_axi_awready         (dp_awready),
        .m_axi_wdata(mem_wdata),
        .m_axi_wstrb           (dp_wstrb),
        .m_axi_wlast           (dp_wlast),
        .m_axi_wvalid          (dp_wvalid),
        .m_axi_wready          (dp_wready),
        .m_axi_bresp(mem_bresp),
        .m_axi_bvalid          (dp_bvalid),
        .m_axi_bready          (dp_bready),
        .epoch_on, .epoch,
        .sts_row_open          (upd_row_open),
        .sts_owed              (sts_memory_owed_write),
        .sts_active            (upd_active),
        .evt_update, .evt_update_duplicate, .evt_update_row, .evt_prefetch, .evt_prefetch_row,
        .evt_timeout           (evt_write_timeout),
        .evt_late              (evt_write_late)
    );

    assign mem_awaddr = upd_awaddr;

    assign ksa_rd_en    = upd_active ? upd_ks_rd_en : dec_ks_rd_en;
    assign ksa_rd_addr  = upd_active ? upd_ks_rd_addr : dec_ks_rd_addr;
    assign desc_rd_en   = upd_active ? upd_desc_rd_en : iss_desc_rd_en;
    assign desc_rd_addr = upd_active ? upd_desc_rd_addr : iss_desc_rd_addr;
    assign op           = upd_active ? upd_op : iss_op;
    assign op_valid     = upd_active ? upd_op_valid : iss_op_valid;
    assign iss_op_ready = !upd_active && op_ready;
    assign upd_op_ready = upd_active && op_ready;

    // -----------------------------------------------------------------------------------------------------------------
    // Cache, pool, reply
    // -----------------------------------------------------------------------------------------------------------------
    logic              cache_flush, cache_flush_busy;
    logic              dp_arvalid, dp_arready, dp_rvalid, dp_rready;  // behind embnic_axi_gate
    logic              beat_valid;
    beat_t             beat_info;
    logic [DATA_W-1:0] beat_data;
    logic              cache_err_valid;
    logic [CTX_W-1:0]  cache_err_ctx;
    status_e           cache_err_status;
    logic evt_row_hit, evt_row_miss, evt_line_hit, evt_line_miss, evt_evict, evt_fetch_beat;
    logic evt_line_pinned, evt_join, evt_fetch, evt_no_way, evt_refused;
    logic evt_exec_beat, evt_exec_empty, evt_exec_fetch, evt_exec_hazard;
    logic [1:0] evt_parity_row;
    logic evt_parity_tag;
    logic [5:0] evt_remote;  // see embnic_remote_fetch

    assign evt_injected[4] = 1'b0;  // counted with 3

    embnic_row_cache #(
        .DATA_W(DATA_W), .LINE_BYTES(LINE_BYTES), .WAYS(WAYS), .SETS(SETS), .FETCHES(FETCHES), .MAX_BURST(MAX_BURST),
        .OPQ_DEPTH(OPQ_DEPTH), .SLOTS(SLOTS), .INIT_BEATS(INIT_N), .RAM_STYLE(CACHE_STYLE), .ECC(ECC == 1),
        .REMOTE_FETCHES(REMOTE_FETCHES)
    ) u_row_cache (
        .clk, .rst(dp_rst),
        .port_rst        (rst),
        .s_axis_op_tdata (op),
        .s_axis_op_tvalid(op_valid),
        .s_axis_op_tready(op_ready),
        .op_credit_valid, .op_credit_slot,
        .m_axi_arid(mem_arid), .m_axi_araddr(mem_araddr), .m_axi_arlen(mem_arlen), .m_axi_arsize(mem_arsize), .m_axi_arburst(mem_arburst),
        .m_axi_arvalid   (dp_arvalid),
        .m_axi_arready   (dp_arready),
        .m_axi_rid(mem_rid), .m_axi_rdata(mem_rdata), .m_axi_rresp(mem_rresp), .m_axi_rlast(mem_rlast),
        .m_axi_rvalid    (dp_rvalid),
        .m_axi_rready    (dp_rready),
        .m_axis_remote_tdata, .m_axis_remote_tvalid, .m_axis_remote_tready,
        .s_axis_remote_tdata, .s_axis_remote_tid, .s_axis_remote_tuser, .s_axis_remote_tlast, .s_axis_remote_tvalid,
        .s_axis_remote_tready,
        .init_rd_en, .init_rd_addr, .init_rd_data, .init_release, .init_release_bank,
        .beat_valid, .beat_info, .beat_data,
        .err_valid       (cache_err_valid),
        .err_ctx         (cache_err_ctx),
        .err_status      (cache_err_status),
        .pf_valid, .pf_there, .pf_granted, .pf_err_valid,
        .cfg_cached_ways, .cfg_admission,
        .epoch_on, .epoch, .remote_epoch_on, .remote_epoch,
        .inject          (inject[4:1]),
        .inject_place,
        .cfg_flush       (cache_flush),
        .sts_flush_busy  (cache_flush_busy),
        .sts_idle        (cache_idle),
        .sts_quarantine,
        .evt_row_hit, .evt_row_miss, .evt_line_hit, .evt_line_miss, .evt_line_pinned, .evt_join, .evt_fetch, .evt_no_way,
        .evt_refused, .evt_evict, .evt_fetch_beat,
        .evt_timeout     (evt_read_timeout),
        .evt_late        (evt_read_late),
        .evt_parity_row, .evt_parity_tag,
        .evt_injected    (evt_injected[3:1]),
        .sts_remote_waiting, .evt_remote,
        .evt_exec_beat, .evt_exec_empty, .evt_exec_fetch, .evt_exec_hazard
    );

    logic              vec_valid, unpack_idle;
    beat_t             vec_info;
    logic [DATA_W-1:0] vec_data;
    logic [31:0]       vec_scale, vec_bias;

    embnic_unpack #(.DATA_W(DATA_W), .SLOTS(SLOTS)) u_unpack (
        .clk, .rst(dp_rst),
        .beat_valid, .beat_info, .beat_data,
        .vec_valid, .vec_info, .vec_data, .vec_scale, .vec_bias,
        .sts_idle(unpack_idle)
    );

    logic              pool_wr_en, pool_done_valid;
    logic [RSP_W-1:0]  pool_wr_addr;
    logic [DATA_W-1:0] pool_wr_data;
    logic [CTX_W-1:0]  pool_done_ctx;
    logic              rsp_wr_en, rsp_rd_en;
    logic [RSP_W-1:0]  rsp_wr_addr, rsp_rd_addr;
    logic [DATA_W-1:0] rsp_wr_data, rsp_rd_data;
    logic              rsp_rd_bad, evt_parity_reply;
    logic              bag_done_valid;
    logic [CTX_W-1:0]  bag_done_ctx;
    logic [CNT_W-1:0]  bag_done_count;
    logic              pool_idle;
    logic [5:0]        evt_saturate;  // elements

    embnic_pool #(.DATA_W(DATA_W), .SLOTS(SLOTS), .MAX_VEC64(MAX_VEC64), .TREE_EN(TREE_K != 0),
        .PRODUCT_EN(PRODUCTS == 1)) u_pool (
        .clk, .rst(dp_rst),
        .beat_valid  (vec_valid),
        .beat_info   (vec_info),
        .beat_data   (vec_data),
        .beat_scale  (vec_scale),
        .beat_bias   (vec_bias),
        .rsp_wr_en     (pool_wr_en),
        .rsp_wr_addr   (pool_wr_addr),
        .rsp_wr_data   (pool_wr_data),
        .bag_done_valid(pool_done_valid),
        .bag_done_ctx  (pool_done_ctx),
        .bag_done_count,
        .sts_idle    (pool_idle),
        .evt_saturate
    );

    // -----------------------------------------------------------------------------------------------------------------
    // The kernels beyond pooling: a frame's payload in, vectors out. Pool and decoder go first; as replies leave in order,
    // they cannot do so for ever.
    // -----------------------------------------------------------------------------------------------------------------
    logic              compute_wr_valid, compute_done_valid, compute_close_valid;
    logic [RSP_W-1:0]  compute_wr_addr;
    logic [DATA_W-1:0] compute_wr_data;
    logic [CTX_W-1:0]  compute_done_ctx, compute_close_ctx;
    logic [15:0]       compute_close_bags;
    status_e           compute_close_status;
    logic [2:0]        evt_compute;  // piece taken; job worked out, given up
    logic              evt_compute_beat;

    if (COMPUTE == 1) begin : gen_compute
        logic evt_injected_c;

        embnic_ram_parity #(.WIDTH(DATA_W), .DEPTH(KS_BEATS), .STYLE(BUF_STYLE), .OUT_REG(1'b1), .ECC(ECC == 1)) u_key_store_c (
            .clk, .rst,
            .wr_en(ks_wr_en), .wr_addr(ks_wr_addr[KS_AW-1:0]), .wr_data(ks_wr_data),
            .rd_en(ksc_rd_en), .rd_addr(ksc_rd_addr[KS_AW-1:0]), .rd_data(ksc_rd_data), .rd_bad(ksc_rd_bad),
            .inject(inject[6]), .inject_place, .evt_injected(evt_injected_c)  // as B, and counted with it
        );

        embnic_compute #(
            .DATA_W(DATA_W), .KS_BEATS(KS_BEATS), .RSP_BEATS(RSP_BEATS), .MAX_VEC64(MAX_VEC64), .RAM_STYLE(CACHE_STYLE),
            .UNITS((DATA_W == 512) ? 7 : 1)
        ) u_compute (
            .clk, .rst(dp_rst),
            .s_axis_frame_tdata (compute_frame),
            .s_axis_frame_tvalid(compute_valid),
            .s_axis_frame_tready(compute_ready),
            .m_axis_plan_tdata  (plan),
            .m_axis_plan_tvalid (plan_valid),
            .m_axis_plan_tready (plan_ready),
            .plan_ctx           (alloc_ctx),
            .plan_rsp_addr      (alloc_rsp_addr),
            .ks_rd_en           (ksc_rd_en),
            .ks_rd_addr         (ksc_rd_addr),
            .ks_rd_data         (ksc_rd_data),
            .ks_rd_bad          (ksc_rd_bad),
            .rsp_wr_valid       (compute_wr_valid),
            .rsp_wr_ready       (!pool_wr_en),
            .rsp_wr_addr        (compute_wr_addr),
            .rsp_wr_data        (compute_wr_data),
            .bag_done_valid     (compute_done_valid),
            .bag_done_ready     (!pool_done_valid),
            .bag_done_ctx       (compute_done_ctx),
            .close_valid        (compute_close_valid),
            .close_ready        (!dec_close_valid),
            .close_ctx          (compute_close_ctx),
            .close_bags         (compute_close_bags),
            .close_status       (compute_close_status),
            .evt_frame          (evt_compute[0]),
            .evt_job            (evt_compute[1]),
            .evt_abandoned      (evt_compute[2]),
            .evt_beat           (evt_compute_beat)
        );

        wire unused_compute = &{1'b0, evt_injected_c, ksc_rd_addr};
    end else begin : gen_no_compute
        assign compute_ready        = 1'b0;
        assign plan                 = '0;
        assign plan_valid           = 1'b0;
        assign ksc_rd_en            = 1'b0;
        assign ksc_rd_addr          = '0;
        assign ksc_rd_data          = '0;
        assign ksc_rd_bad           = 1'b0;
        assign compute_wr_valid     = 1'b0;
        assign compute_wr_addr      = '0;
        assign compute_wr_data      = '0;
        assign compute_done_valid   = 1'b0;
        assign compute_done_ctx     = '0;
        assign compute_close_valid  = 1'b0;
        assign compute_close_ctx    = '0;
        assign compute_close_bags   = '0;
        assign compute_close_status = STATUS_OK;
        assign evt_compute          = '0;
        assign evt_compute_beat     = 1'b0;
        wire unused_compute = &{1'b0, compute_frame, compute_valid, plan_ready, ksc_rd_addr, ksc_rd_data};
    end

    assign rsp_wr_en      = pool_wr_en || compute_wr_valid;
    assign rsp_wr_addr    = pool_wr_en ? pool_wr_addr : compute_wr_addr;
    assign rsp_wr_data    = pool_wr_en ? pool_wr_data : compute_wr_data;
    assign bag_done_valid = pool_done_valid || compute_done_valid;
    assign bag_done_ctx   = pool_done_valid ? pool_done_ctx : compute_done_ctx;
    assign close_valid    = dec_close_valid || compute_close_valid;
    assign close_ctx      = dec_close_valid ? dec_close_ctx : compute_close_ctx;
    assign close_bags     = dec_close_valid ? dec_close_bags : compute_close_bags;
    assign close_status   = dec_close_valid ? dec_close_status : compute_close_status;

    embnic_ram_parity #(.WIDTH(DATA_W), .DEPTH(RSP_BEATS), .STYLE(BUF_STYLE), .OUT_REG(1'b1), .ECC(ECC == 1)) u_reply_ram (
        .clk, .rst,
        .wr_en(rsp_wr_en), .wr_addr(rsp_wr_addr[RSP_AW-1:0]), .wr_data(rsp_wr_data),
        .rd_en(rsp_rd_en), .rd_addr(rsp_rd_addr[RSP_AW-1:0]), .rd_data(rsp_rd_data), .rd_bad(rsp_rd_bad),
        .inject(inject[7]), .inject_place, .evt_injected(evt_injected[7])
    );

    reply_send_t reply;
    logic        reply_valid, reply_ready, reply_done, rsp_idle;

    embnic_rsp_buffer #(.DATA_W(DATA_W), .RSP_BEATS(RSP_BEATS), .CTXS(CTXS)) u_rsp_buffer (
        .clk, .rst(dp_rst),
        .alloc_valid, .alloc_ready, .alloc_info, .alloc_ctx, .alloc_rsp_addr,
        .close_valid, .close_ctx, .close_bags, .close_status,
        .err_a_valid (iss_err_valid),
        .err_a_ctx   (iss_err_ctx),
        .err_a_status(iss_err_status),
        .err_b_valid (cache_err_valid),
        .err_b_ctx   (cache_err_ctx),
        .err_b_status(cache_err_status),
        .bag_done_valid, .bag_done_ctx, .bag_done_count,
        .m_axis_reply_tdata (reply),
        .m_axis_reply_tvalid(reply_valid),
        .m_axis_reply_tready(reply_ready),
        .reply_done, .ks_free_valid, .ks_free_beats,
        .sts_idle(rsp_idle)
    );

    logic        tx_valid, tx_ready, tx_closed;
    logic        evt_tx_frame;
    logic [15:0] evt_tx_bytes;
    logic [3:0]  evt_tx_reply;

    embnic_tx_frame #(.DATA_W(DATA_W)) u_tx_frame (
        .clk, .rst(dp_rst),
        .cfg_reply_beats64,
        .s_axis_reply_tdata (reply),
        .s_axis_reply_tvalid(reply_valid),
        .s_axis_reply_tready(reply_ready),
        .rsp_rd_en, .rsp_rd_addr, .rsp_rd_data, .rsp_rd_bad, .reply_done,
        .m_axis_tx_tdata, .m_axis_tx_tkeep,
        .m_axis_tx_tvalid   (tx_valid),
        .m_axis_tx_tready   (tx_ready),
        .m_axis_tx_tlast,
        .evt_tx_frame, .evt_tx_bytes, .evt_tx_reply,
        .evt_parity         (evt_parity_reply)
    );

    // -----------------------------------------------------------------------------------------------------------------
    // Operability: what is in flight, soft reset, changes between two requests, latencies, errors, self-test
    // -----------------------------------------------------------------------------------------------------------------
    // Cycles from a frame's last beat to its verdict: input register, embnic_crc32c, verdict register.
    localparam int unsigned RX_LATENCY = 6 + $clog2(DATA_W / 32);

    logic        alloc, tx_beat, memory_close, memory_rest, work_idle;
    logic [11:0] evt_lost, evt_abandoned;
    logic [15:0] evt_keys;
    logic        evt_reset, evt_timeout;
    logic [3:0]  evt_gen;  // sent; answer, ERROR, wrong CRC seen by the checker

    assign alloc     = alloc_valid && alloc_ready;
    assign work_idle = lookup_idle && unpack_idle && pool_idle && !upd_active;
    assign tx_beat   = tx_valid && tx_ready;

    embnic_lifecycle u_lifecycle (
        .clk, .rst,
        .cfg_enable, .cfg_quiesce, .cfg_soft_reset,
        .rx_valid   (rx_tvalid),
        .rx_last    (rx_tlast),
        .evt_rx_frame, .evt_rx_accept, .decode_work, .alloc, .alloc_work,
        .lookup_idle(work_idle),
        .key_open   (evt_key && !(evt_key_null || evt_key_padding || evt_key_refused)),
        .key_closed (evt_row_hit || evt_row_miss),
        .evt_tx_frame, .reply_done, .tx_valid, .tx_beat,
        .tx_last    (m_axis_tx_tlast),
        .memory_rest, .dp_rst, .rx_enable, .memory_close, .tx_closed,
        .sts_idle, .sts_drained, .sts_reset_busy,
        .evt_lost, .evt_abandoned, .evt_keys, .evt_reset, .evt_timeout
    );

    logic dp_wvoid;

    embnic_axi_gate u_axi_gate (
        .clk, .rst, .dp_rst,
        .cfg_close    (memory_close),
        .sts_rest     (memory_rest),
        .sts_stuck    (sts_memory_stuck),
        .s_axi_arvalid(dp_arvalid),
        .s_axi_arready(dp_arready),
        .s_axi_rvalid (dp_rvalid),
        .s_axi_rready (dp_rready),
        .s_axi_awvalid(dp_awvalid),
        .s_axi_awready(dp_awready),
        .s_axi_awlen  (mem_awlen),
        .s_axi_wvalid (dp_wvalid),
        .s_axi_wready (dp_wready),
        .s_axi_wlast  (dp_wlast),
        .s_axi_bvalid (dp_bvalid),
        .s_axi_bready (dp_bready),
        .m_axi_arvalid(mem_arvalid), .m_axi_arready(mem_arready), .m_axi_rvalid(mem_rvalid), .m_axi_rready(mem_rready), .m_axi_rlast(mem_rlast),
        .m_axi_awvalid(mem_awvalid), .m_axi_awready(mem_awready), .m_axi_wvalid(mem_wvalid), .m_axi_wready(mem_wready), .m_axi_wlast(mem_wlast),
        .s_axi_row_open(upd_row_open),
        .m_axi_wvoid  (dp_wvoid),
        .m_axi_bvalid(mem_bvalid), .m_axi_bready(mem_bready)
    );

    assign mem_wstrb = dp_wvoid ? '0 : dp_wstrb;

    logic [CHANNELS-1:0][15:0] channel_reads_all;

    embnic_axi_channels #(.DATA_W(DATA_W), .CHANNELS(CHANNELS), .ID_W(ID_W), .DEPTH(2 << ID_W)) u_axi_channels (
        .clk, .rst,
        .s_axi_arid   (mem_arid),
        .s_axi_araddr (mem_araddr),
        .s_axi_arlen  (mem_arlen),
        .s_axi_arvalid(mem_arvalid),
        .s_axi_arready(mem_arready),
        .s_axi_rid    (mem_rid),
        .s_axi_rdata  (mem_rdata),
        .s_axi_rresp  (mem_rresp),
        .s_axi_rlast  (mem_rlast),
        .s_axi_rvalid (mem_rvalid),
        .s_axi_rready (mem_rready),
        .s_axi_awaddr (mem_awaddr),
        .s_axi_awlen  (mem_awlen),
        .s_axi_awvalid(mem_awvalid),
        .s_axi_awready(mem_awready),
        .s_axi_wdata  (mem_wdata),
        .s_axi_wstrb  (mem_wstrb),
        .s_axi_wlast  (mem_wlast),
        .s_axi_wvalid (mem_wvalid),
        .s_axi_wready (mem_wready),
        .s_axi_bresp  (mem_bresp),
        .s_axi_bvalid (mem_bvalid),
        .s_axi_bready (mem_bready),
        .m_axi_arid, .m_axi_araddr, .m_axi_arlen, .m_axi_arvalid, .m_axi_arready,
        .m_axi_rid, .m_axi_rdata, .m_axi_rresp, .m_axi_rlast, .m_axi_rvalid, .m_axi_rready,
        .m_axi_awaddr, .m_axi_awlen, .m_axi_awvalid, .m_axi_awready,
        .m_axi_wdata, .m_axi_wstrb, .m_axi_wlast, .m_axi_wvalid, .m_axi_wready,
        .m_axi_bresp, .m_axi_bvalid, .m_axi_bready,
        .sts_reads    (channel_reads_all)
    );

    assign m_axi_awid    = '0;
    assign m_axi_arsize  = {CHANNELS{3'($clog2(DATA_W / 8))}};
    assign m_axi_arburst = {CHANNELS{2'b01}};
    assign m_axi_awsize  = {CHANNELS{3'($clog2(DATA_W / 8))}};
    assign m_axi_awburst = {CHANNELS{2'b01}};

    // The channel that the register shows; it is chosen once in a while.
    logic [15:0] channel_chosen;

    always_comb begin
        channel_chosen = '0;
        for (int unsigned c = 0; c < CHANNELS; c++) begin
            if (channel_sel == 5'(c)) channel_chosen = channel_reads_all[c];
        end
    end

    always_ff @(posedge clk) channel_reads <= channel_chosen;

    embnic_barrier u_barrier (
        .clk, .rst, .dp_rst, .cfg_commit, .cfg_flush, .hold,
        .reached(!decode_work && lookup_idle && !upd_active),
        .table_commit, .cache_flush, .cache_flush_busy, .sts_commit_busy, .sts_flush_busy
    );

    embnic_latency #(
        .RX_FRAMES(RX_FRAMES), .CTXS(CTXS), .IDS(1 << ID_W), .RX_LATENCY(RX_LATENCY), .BUCKETS(BUCKETS)
    ) u_latency (
        .clk, .rst, .dp_rst, .evt_rx_accept,
        .evt_admit   (alloc),
        .reply_valid, .reply_ready, .evt_tx_frame,
        .evt_tx_final(reply_done),
        .evt_tx_left (tx_beat && m_axis_tx_tlast),
        .ar_take     (mem_arvalid && mem_arready),
        .ar_id       (mem_arid),
        .r_end       (mem_rvalid && mem_rready && mem_rlast),
        .r_id        (mem_rid),
        .cfg_clear   (cfg_latency_clear),
        .cfg_snapshot,
        .rd_bucket   (latency_bucket[$clog2(BUCKETS)-1:0]),
        .rd_count    (latency_count)
    );

    embnic_error_log #(.ENTRIES(ERROR_LOG)) u_error_log (
        .clk, .rst,
        .drop      (evt_rx_drop),
        .drop_frame(evt_rx_info),
        .err_valid (reply_valid && reply_ready && reply.status != STATUS_OK),
        .err_status(reply.status),
        .err_frame (reply.reply.frame),
        .cfg_clear (cfg_errors_clear),
        .rd_entry  (error_sel[$clog2(ERROR_LOG)-1:0]),
        .rd_words  (error_words),
        .total     (error_total)
    );

    // Frames out: to the MAC, or to the checker.
    assign m_axis_tx_tvalid = tx_valid && !tx_closed && !sts_generating;
    assign tx_ready         = !tx_closed && (m_axis_tx_tready || sts_generating);

    if (GENERATOR == 1) begin : gen_generator
        embnic_frame_gen #(.DATA_W(DATA_W)) u_frame_gen (
            .clk, .rst,
            .cfg_on          (cfg_generator),
            .cfg_udp_port,
            .cfg_table       (gen_table),
            .cfg_row_mask    (gen_row_mask),
            .cfg_dim         (gen_dim),
            .cfg_beats       (gen_beats),
            .cfg_length_log2 (gen_length_log2),
            .cfg_window      (gen_window),
            .cfg_frames      (gen_frames),
            .core_idle       (sts_idle),
            .sts_generating,
            .s_axis_mac_tdata (s_axis_rx_tdata),
            .s_axis_mac_tkeep (s_axis_rx_tkeep),
            .s_axis_mac_tvalid(s_axis_rx_tvalid),
            .s_axis_mac_tlast (s_axis_rx_tlast),
            .s_axis_mac_tuser (s_axis_rx_tuser),
            .m_axis_rx_tdata (rx_tdata),
            .m_axis_rx_tkeep (rx_tkeep),
            .m_axis_rx_tvalid(rx_tvalid),
            .m_axis_rx_tlast (rx_tlast),
            .m_axis_rx_tuser (rx_tuser),
            .s_axis_tx_tdata (m_axis_tx_tdata),
            .s_axis_tx_tvalid(tx_beat && sts_generating),
            .s_axis_tx_tlast (m_axis_tx_tlast),
            .evt_sent        (evt_gen[0]),
            .evt_reply       (evt_gen[1]),
            .evt_error       (evt_gen[2]),
            .evt_bad         (evt_gen[3])
        );
    end else begin : gen_no_generator
        assign rx_tdata       = s_axis_rx_tdata;
        assign rx_tkeep       = s_axis_rx_tkeep;
        assign rx_tvalid      = s_axis_rx_tvalid;
        assign rx_tlast       = s_axis_rx_tlast;
        assign rx_tuser       = s_axis_rx_tuser;
        assign sts_generating = 1'b0;
        assign evt_gen        = '0;
        wire unused_generator = &{1'b0, cfg_generator, gen_table, gen_row_mask, gen_dim, gen_beats, gen_length_log2,
            gen_window, gen_frames};
    end

    // -----------------------------------------------------------------------------------------------------------------
    // What is counted
    // -----------------------------------------------------------------------------------------------------------------
    always_comb begin
        counter_inc = '0;
        counter_inc[CNT_CYCLES]            = 32'd1;
        counter_inc[CNT_RX_FRAMES]         = 32'(evt_rx_frame) + 32'(evt_lost);
        counter_inc[CNT_RX_BYTES]          = 32'(evt_rx_bytes);
        counter_inc[CNT_RX_ACCEPTED]       = 32'(evt_rx_accept);
        counter_inc[CNT_DROP_NOT_OURS]     = 32'(evt_rx_drop[DROP_NOT_OURS]);
        counter_inc[CNT_DROP_MAC_ERROR]    = 32'(evt_rx_drop[DROP_MAC_ERROR]);
        counter_inc[CNT_DROP_LENGTH]       = 32'(evt_rx_drop[DROP_LENGTH]);
        counter_inc[CNT_DROP_IP_CHECKSUM]  = 32'(evt_rx_drop[DROP_IP_CHECKSUM]);
        counter_inc[CNT_DROP_VERSION]      = 32'(evt_rx_drop[DROP_VERSION]);
        counter_inc[CNT_DROP_HEADER]       = 32'(evt_rx_drop[DROP_HEADER]);
        counter_inc[CNT_DROP_CRC]          = 32'(evt_rx_drop[DROP_CRC]);
        counter_inc[CNT_DROP_OVERLOAD]     = 32'(evt_rx_drop[DROP_OVERLOAD]) + 32'(evt_lost);
        counter_inc[CNT_DROP_TAG]          = 32'(evt_rx_drop[DROP_TAG]);
        counter_inc[CNT_REQUESTS]          = 32'(evt_request);
        counter_inc[CNT_BAGS]              = 32'(evt_bag);
        counter_inc[CNT_KEYS]              = 32'(evt_key);
        counter_inc[CNT_KEYS_NULL]         = 32'(evt_key_null);
        counter_inc[CNT_KEYS_PADDING]      = 32'(evt_key_padding);
        counter_inc[CNT_ROW_HITS]          = 32'(evt_row_hit);
        counter_inc[CNT_ROW_MISSES]        = 32'(evt_row_miss);
        counter_inc[CNT_LINE_HITS]         = 32'(evt_line_hit);
        counter_inc[CNT_LINE_MISSES]       = 32'(evt_line_miss);
        counter_inc[CNT_EVICTIONS]         = 32'(evt_evict);
        counter_inc[CNT_FETCH_BEATS]       = 32'(evt_fetch_beat);
        counter_inc[CNT_EXEC_BEATS]        = 32'(evt_exec_beat);
        counter_inc[CNT_EXEC_EMPTY]        = 32'(evt_exec_empty);
        counter_inc[CNT_EXEC_FETCH]        = 32'(evt_exec_fetch);
        counter_inc[CNT_EXEC_HAZARD]       = 32'(evt_exec_hazard);
        counter_inc[CNT_STALL_REPLY_SPACE] = 32'(evt_stall_alloc);
        counter_inc[CNT_TX_FRAMES]         = 32'(evt_tx_frame);
        counter_inc[CNT_TX_BYTES]          = 32'(evt_tx_bytes);
        counter_inc[CNT_REPLIES]           = 32'(evt_tx_reply[0]);
        counter_inc[CNT_PARTIALS]          = 32'(evt_tx_reply[1]);
        counter_inc[CNT_ERRORS]            = 32'(evt_tx_reply[2]);
        counter_inc[CNT_ACKS]              = 32'(evt_tx_reply[3]);
        counter_inc[CNT_UPDATES]           = 32'(evt_update);
        counter_inc[CNT_UPDATE_ROWS]       = 32'(evt_update_row);
        counter_inc[CNT_UPDATE_DUPLICATES] = 32'(evt_update_duplicate);
        counter_inc[CNT_MEMORY_ERRORS]     = 32'(cache_err_valid);
        counter_inc[CNT_KEYS_REFUSED]      = 32'(evt_key_refused);
        counter_inc[CNT_ERRORS_BUSY]       = 32'(alloc && alloc_info.status == STATUS_BUSY);
        counter_inc[CNT_ABANDONED]         = 32'(evt_abandoned);
        counter_inc[CNT_SOFT_RESETS]       = 32'(evt_reset);
        counter_inc[CNT_RESET_TIMEOUTS]    = 32'(evt_timeout);
        counter_inc[CNT_TABLE_COMMITS]     = 32'(table_commit && table_sel < 32'(TABLES));
        counter_inc[CNT_GEN_SENT]          = 32'(evt_gen[0]);
        counter_inc[CNT_GEN_REPLIES]       = 32'(evt_gen[1]);
        counter_inc[CNT_GEN_ERRORS]        = 32'(evt_gen[2]);
        counter_inc[CNT_GEN_BAD]           = 32'(evt_gen[3]);
        counter_inc[CNT_KEYS_ABANDONED]    = 32'(evt_keys);
        counter_inc[CNT_SATURATIONS]       = 32'(evt_saturate);
        counter_inc[CNT_PINNED_HITS]       = 32'(evt_line_pinned);
        counter_inc[CNT_JOINS]             = 32'(evt_join);
        counter_inc[CNT_FETCHES]           = 32'(evt_fetch);
        counter_inc[CNT_NO_FREE_WAY]       = 32'(evt_no_way);
        counter_inc[CNT_NOT_ADMITTED]      = 32'(evt_refused);
        counter_inc[CNT_PREFETCHES]        = 32'(evt_prefetch);
        counter_inc[CNT_PREFETCH_ROWS]     = 32'(evt_prefetch_row);
        counter_inc[CNT_MEMORY_TIMEOUTS]   = 32'(evt_read_timeout) + 32'(evt_write_timeout);
        counter_inc[CNT_MEMORY_LATE]       = 32'(evt_read_late) + 32'(evt_write_late);
        counter_inc[CNT_PARITY_ROWS]       = 32'(evt_parity_row[0]) + 32'(evt_parity_row[1]);
        counter_inc[CNT_PARITY_TAGS]       = 32'(evt_parity_tag);
        counter_inc[CNT_PARITY_KEYS]       = 32'(evt_parity_key[0]) + 32'(evt_parity_key[1]) + 32'(evt_parity_key[2]);
        counter_inc[CNT_PARITY_REPLIES]    = 32'(evt_parity_reply);
        counter_inc[CNT_INJECTED]          = 32'(evt_injected != '0);
        counter_inc[CNT_REMOTE_FETCHES]    = 32'(evt_remote[0]);
        counter_inc[CNT_REMOTE_ANSWERS]    = 32'(evt_remote[1]);
        counter_inc[CNT_REMOTE_BEATS]      = 32'(evt_remote[2]);
        counter_inc[CNT_REMOTE_TIMEOUTS]   = 32'(evt_remote[3]);
        counter_inc[CNT_REMOTE_BROKEN]     = 32'(evt_remote[4]);
        counter_inc[CNT_REMOTE_STRAYS]     = 32'(evt_remote[5]);
        counter_inc[CNT_COMPUTE_FRAMES]    = 32'(evt_compute[0]);
        counter_inc[CNT_COMPUTE_JOBS]      = 32'(evt_compute[1]);
        counter_inc[CNT_COMPUTE_ABANDONED] = 32'(evt_compute[2]);
    end

    always_ff @(posedge clk) begin
        sts_probe <= {
            8'b0,
            evt_compute_beat,                                                    // 23 beat of payload into a kernel
            s_axis_remote_tvalid && s_axis_remote_tready && s_axis_remote_tlast, // 22 line of another card complete
            m_axis_remote_tvalid && m_axis_remote_tready,                        // 21 line asked of another card
            sts_reset_busy || hold,              // 20 a soft reset or a barrier is under way
            sts_flush_busy,                      // 19 tags are being cleared
            mem_bvalid && mem_bready,        // 18 write response
            mem_awvalid && mem_awready,      // 17 write burst
            upd_active,                          // 16 an update owns the core
            evt_tx_reply != '0,                  // 15 last frame of a reply
            m_axis_tx_tvalid && m_axis_tx_tready,// 14 beat out
            reply_valid && reply_ready,          // 13 reply begins
            bag_done_valid,                      // 12 bag done
            evt_exec_hazard,                     // 11 pool waits for the accumulator
            evt_exec_fetch,                      // 10 pool waits for memory
            evt_exec_empty,                      //  9 pool has nothing to do
            evt_exec_beat,                       //  8 row beat into the pool
            mem_rvalid && mem_rready,        //  7 beat from memory
            mem_arvalid && mem_arready,      //  6 read burst
            evt_line_miss,                       //  5 line miss
            op_valid && op_ready,                //  4 operation into the cache
            bag_valid && bag_ready,              //  3 bag dispatched
            alloc_valid && alloc_ready,          //  2 request admitted
            evt_rx_accept,                       //  1 frame accepted
            s_axis_rx_tvalid                     //  0 beat in
        };
    end

    // Selectors are as wide as the registers. An identifier is needed by AXI only; writes use one.
    wire unused = &{1'b0, latency_bucket, error_sel, m_axi_bid, mem_arsize, mem_arburst, mem_awsize, mem_awburst};

    // Assertions
    `EMBNIC_NEVER(idle_lies, sts_idle && !dp_rst &&
        !(rsp_idle && pool_idle && iss_idle && !frame_valid && !decode_work && !upd_active),
        "idle says that nothing is in flight")
    `EMBNIC_NEVER(commit_in_traffic, table_commit && !(lookup_idle && !decode_work),
        "a descriptor changes between two requests")
endmodule
`default_nettype wire
