// SPDX-License-Identifier: Apache-2.0
// Gives the generated register block flat ports with the names of embnic_core.
// Generated from spec/registers.rdl by spec/generate.py. Do not edit.
//
// Latency        a register's value reaches its cfg_ port with the write response at the latest; pulses last one cycle.
// Not handled    awprot and arprot are ignored.
`default_nettype none
module embnic_csr_map
    import embnic_wire_pkg::*;
#(
    parameter int unsigned CONFIG_ID = 1,  // identity register
    parameter int unsigned GIT_HASH  = 0   // identity register; 0 when unknown
) (
    input  wire logic         clk,
    input  wire logic         rst,
    // AXI-Lite
    input  wire logic [11:0]  s_axil_awaddr,
    input  wire logic [2:0]   s_axil_awprot,
    input  wire logic         s_axil_awvalid,
    output      logic         s_axil_awready,
    input  wire logic [31:0]  s_axil_wdata,
    input  wire logic [3:0]   s_axil_wstrb,
    input  wire logic         s_axil_wvalid,
    output      logic         s_axil_wready,
    output      logic [1:0]   s_axil_bresp,
    output      logic         s_axil_bvalid,
    input  wire logic         s_axil_bready,
    input  wire logic [11:0]  s_axil_araddr,
    input  wire logic [2:0]   s_axil_arprot,
    input  wire logic         s_axil_arvalid,
    output      logic         s_axil_arready,
    output      logic [31:0]  s_axil_rdata,
    output      logic [1:0]   s_axil_rresp,
    output      logic         s_axil_rvalid,
    input  wire logic         s_axil_rready,
    // capabilities, constants of the build
    input  wire logic [31:0]  cap_data_w,        // Bus width in bits.
    input  wire logic [31:0]  cap_slots,         // Open bags.
    input  wire logic [31:0]  cap_max_vec64,     // Longest vector or row, in 64-byte units.
    input  wire logic [31:0]  cap_line_bytes,    // Bytes of a cache line.
    input  wire logic [31:0]  cap_ways,          // Cache ways.
    input  wire logic [31:0]  cap_sets,          // Cache sets.
    input  wire logic [31:0]  cap_fetches,       // Row fetches outstanding.
    input  wire logic [31:0]  cap_tables,        // Table descriptors.
    input  wire logic [31:0]  cap_ks_bytes,      // Bytes of the key store: payloads of accepted frames.
    input  wire logic [31:0]  cap_reply_vec64,   // Largest reply of one request, in 64-byte units: bags * vec64.
    input  wire logic [31:0]  cap_ctxs,          // Requests in flight.
    input  wire logic [31:0]  cap_clients,       // Updating clients remembered.
    input  wire logic [31:0]  cap_channels,      // Channels of card memory.
    input  wire logic [31:0]  cap_remote_fetches, // Row fetches outstanding at other cards; 0: no remote tables.
    input  wire logic [31:0]  cap_merge_units,   // 64-byte units of partials, its accumulator included, that one request may carry.
    input  wire logic [31:0]  cap_tree_k,        // Most running sums of a table of order TREE, and at most CAP_MAX_VEC64 / vec64 of them; 0: none.
    input  wire logic [31:0]  cap_features,      // Built: bit 0 frame generator, checker; 1 parity of memories; 2 PRODUCT; 3 ACCUMULATE, TOPK, INTERACT.
    input  wire logic [31:0]  cap_buckets,       // Buckets of each latency histogram.
    input  wire logic [31:0]  cap_error_log,     // Entries that the error log keeps.
    // control
    output      logic         cfg_enable,        // accept frames
    output      logic         cfg_flush,         // pulse: empty the row cache
    output      logic         cfg_snapshot,      // pulse: copy the counters
    output      logic         cfg_quiesce,       // answer BUSY
    output      logic         cfg_soft_reset,    // pulse: reset the data path
    output      logic         cfg_generator,     // the frame generator takes the MAC's place
    output      logic         cfg_latency_clear, // pulse: empty the histograms
    output      logic         cfg_errors_clear,  // pulse: empty the error log
    output      logic [15:0]  cfg_udp_port,      // destination port of requests
    output      logic [7:0]   cfg_reply_beats64, // 64-byte units of payload a reply frame may carry
    input  wire logic         sts_idle,          // nothing in flight
    input  wire logic         sts_flush_busy,    // the cache is being emptied
    input  wire logic         sts_drained,       // quiesced or disabled, all work answered
    input  wire logic         sts_commit_busy,   // a descriptor waits for its moment
    input  wire logic         sts_reset_busy,    // a soft reset is under way
    input  wire logic         sts_memory_stuck,  // memory owes answers from before a soft reset
    input  wire logic         sts_generating,    // the generator has the MAC's place
    // frame generator
    output      logic [14:0]  gen_table,         // its table
    output      logic [31:0]  gen_row_mask,      // bits of its rows
    output      logic [15:0]  gen_dim,           // dim of the table
    output      logic [7:0]   gen_beats,         // bus beats of keys in a frame
    output      logic [3:0]   gen_length_log2,   // log2 of the keys of a bag
    output      logic [3:0]   gen_window,        // frames in flight
    output      logic [31:0]  gen_frames,        // frames to send; 0: without end
    // channels of card memory
    output      logic [4:0]   channel_sel,       // which one is shown
    input  wire logic [15:0]  channel_reads,     // its read bursts outstanding
    // fault injection
    output      logic [2:0]   inject_memory,     // which memory
    output      logic [2:0]   inject_place,      // which bit
    output      logic         inject_arm,        // pulse: the next word written to it is wrong
    // card memory
    output      logic [15:0]  cfg_memory_kilocycles, // how long it may take; 0: no limit
    // remote rows
    output      logic [15:0]  cfg_remote_kilocycles, // how long their owners may take; 0: no limit
    input  wire logic [15:0]  sts_remote_waiting,    // lines asked for and not settled
    // accesses given up
    input  wire logic [15:0]  sts_memory_owed_reads, // reads given up that it still owes
    input  wire logic         sts_memory_owed_write, // a write given up that it still owes
    // descriptors
    output      logic [31:0]  table_sel,         // table that table_commit writes
    output      logic [255:0] table_words,       // its descriptor, word 0 in bits 31:0
    output      logic         table_commit,      // pulse: write it
    // row cache
    output      logic [3:0]   cfg_cached_ways,   // of each set that held rows leave
    output      logic         cfg_admission,     // ask the admission filter
    // latency histograms and error log
    output      logic [7:0]   latency_bucket,    // which bucket latency_count shows
    input  wire logic [3:0][31:0] latency_count, // of the four stages
    output      logic [7:0]   error_sel,         // which entry error_words shows
    input  wire logic [31:0]  error_total,       // errors logged
    input  wire logic [4:0][31:0] error_words,   // the entry
    // counters as last copied
    input  wire logic [COUNTERS_N-1:0][63:0] counters
);
    embnic_csr_pkg::embnic_csr__in_t  hwif_in;
    embnic_csr_pkg::embnic_csr__out_t hwif_out;

    embnic_csr u_csr (
        .clk, .rst,
        .s_axil_awready, .s_axil_awvalid, .s_axil_awaddr, .s_axil_awprot,
        .s_axil_wready, .s_axil_wvalid, .s_axil_wdata, .s_axil_wstrb,
        .s_axil_bready, .s_axil_bvalid, .s_axil_bresp,
        .s_axil_arready, .s_axil_arvalid, .s_axil_araddr, .s_axil_arprot,
        .s_axil_rready, .s_axil_rvalid, .s_axil_rdata, .s_axil_rresp,
        .hwif_in, .hwif_out
    );

    // What the registers show
    assign hwif_in.CONTRACT_HASH.value.next = CONTRACT_HASH;
    assign hwif_in.CONFIG_ID.value.next     = CONFIG_ID;
    assign hwif_in.GIT_HASH.value.next      = GIT_HASH;
    assign hwif_in.CAP_DATA_W.value.next = cap_data_w;
    assign hwif_in.CAP_SLOTS.value.next = cap_slots;
    assign hwif_in.CAP_MAX_VEC64.value.next = cap_max_vec64;
    assign hwif_in.CAP_LINE_BYTES.value.next = cap_line_bytes;
    assign hwif_in.CAP_WAYS.value.next = cap_ways;
    assign hwif_in.CAP_SETS.value.next = cap_sets;
    assign hwif_in.CAP_FETCHES.value.next = cap_fetches;
    assign hwif_in.CAP_TABLES.value.next = cap_tables;
    assign hwif_in.CAP_KS_BYTES.value.next = cap_ks_bytes;
    assign hwif_in.CAP_REPLY_VEC64.value.next = cap_reply_vec64;
    assign hwif_in.CAP_CTXS.value.next = cap_ctxs;
    assign hwif_in.CAP_CLIENTS.value.next = cap_clients;
    assign hwif_in.CAP_CHANNELS.value.next = cap_channels;
    assign hwif_in.CAP_REMOTE_FETCHES.value.next = cap_remote_fetches;
    assign hwif_in.CAP_MERGE_UNITS.value.next = cap_merge_units;
    assign hwif_in.CAP_TREE_K.value.next = cap_tree_k;
    assign hwif_in.CAP_FEATURES.value.next = cap_features;
    assign hwif_in.CAP_BUCKETS.value.next = cap_buckets;
    assign hwif_in.CAP_ERROR_LOG.value.next = cap_error_log;
    assign hwif_in.STATUS.idle.next         = sts_idle;
    assign hwif_in.STATUS.flush_busy.next   = sts_flush_busy;
    assign hwif_in.STATUS.drained.next      = sts_drained;
    assign hwif_in.STATUS.commit_busy.next  = sts_commit_busy;
    assign hwif_in.STATUS.reset_busy.next   = sts_reset_busy;
    assign hwif_in.STATUS.memory_stuck.next = sts_memory_stuck;
    assign hwif_in.STATUS.generating.next   = sts_generating;
    for (genvar i = 0; i < 4; i++) begin : gen_latency_count
        assign hwif_in.LATENCY_COUNT[i].value.next = latency_count[i];
    end
    for (genvar i = 0; i < 5; i++) begin : gen_error_word
        assign hwif_in.ERROR_WORD[i].value.next = error_words[i];
    end
    assign hwif_in.ERROR_TOTAL.value.next = error_total;
    assign hwif_in.CYCLES.LO.value.next = counters[CNT_CYCLES][31:0];
    assign hwif_in.CYCLES.HI.value.next = counters[CNT_CYCLES][63:32];
    assign hwif_in.RX_FRAMES.LO.value.next = counters[CNT_RX_FRAMES][31:0];
    assign hwif_in.RX_FRAMES.HI.value.next = counters[CNT_RX_FRAMES][63:32];
    assign hwif_in.RX_BYTES.LO.value.next = counters[CNT_RX_BYTES][31:0];
    assign hwif_in.RX_BYTES.HI.value.next = counters[CNT_RX_BYTES][63:32];
    assign hwif_in.RX_ACCEPTED.LO.value.next = counters[CNT_RX_ACCEPTED][31:0];
    assign hwif_in.RX_ACCEPTED.HI.value.next = counters[CNT_RX_ACCEPTED][63:32];
    assign hwif_in.DROP_NOT_OURS.LO.value.next = counters[CNT_DROP_NOT_OURS][31:0];
    assign hwif_in.DROP_NOT_OURS.HI.value.next = counters[CNT_DROP_NOT_OURS][63:32];
    assign hwif_in.DROP_MAC_ERROR.LO.value.next = counters[CNT_DROP_MAC_ERROR][31:0];
    assign hwif_in.DROP_MAC_ERROR.HI.value.next = counters[CNT_DROP_MAC_ERROR][63:32];
    assign hwif_in.DROP_LENGTH.LO.value.next = counters[CNT_DROP_LENGTH][31:0];
    assign hwif_in.DROP_LENGTH.HI.value.next = counters[CNT_DROP_LENGTH][63:32];
    assign hwif_in.DROP_IP_CHECKSUM.LO.value.next = counters[CNT_DROP_IP_CHECKSUM][31:0];
    assign hwif_in.DROP_IP_CHECKSUM.HI.value.next = counters[CNT_DROP_IP_CHECKSUM][63:32];
    assign hwif_in.DROP_VERSION.LO.value.next = counters[CNT_DROP_VERSION][31:0];
    assign hwif_in.DROP_VERSION.HI.value.next = counters[CNT_DROP_VERSION][63:32];
    assign hwif_in.DROP_HEADER.LO.value.next = counters[CNT_DROP_HEADER][31:0];
    assign hwif_in.DROP_HEADER.HI.value.next = counters[CNT_DROP_HEADER][63:32];
    assign hwif_in.DROP_CRC.LO.value.next = counters[CNT_DROP_CRC][31:0];
    assign hwif_in.DROP_CRC.HI.value.next = counters[CNT_DROP_CRC][63:32];
    assign hwif_in.DROP_OVERLOAD.LO.value.next = counters[CNT_DROP_OVERLOAD][31:0];
    assign hwif_in.DROP_OVERLOAD.HI.value.next = counters[CNT_DROP_OVERLOAD][63:32];
    assign hwif_in.DROP_TAG.LO.value.next = counters[CNT_DROP_TAG][31:0];
    assign hwif_in.DROP_TAG.HI.value.next = counters[CNT_DROP_TAG][63:32];
    assign hwif_in.REQUESTS.LO.value.next = counters[CNT_REQUESTS][31:0];
    assign hwif_in.REQUESTS.HI.value.next = counters[CNT_REQUESTS][63:32];
    assign hwif_in.BAGS.LO.value.next = counters[CNT_BAGS][31:0];
    assign hwif_in.BAGS.HI.value.next = counters[CNT_BAGS][63:32];
    assign hwif_in.KEYS.LO.value.next = counters[CNT_KEYS][31:0];
    assign hwif_in.KEYS.HI.value.next = counters[CNT_KEYS][63:32];
    assign hwif_in.KEYS_NULL.LO.value.next = counters[CNT_KEYS_NULL][31:0];
    assign hwif_in.KEYS_NULL.HI.value.next = counters[CNT_KEYS_NULL][63:32];
    assign hwif_in.KEYS_PADDING.LO.value.next = counters[CNT_KEYS_PADDING][31:0];
    assign hwif_in.KEYS_PADDING.HI.value.next = counters[CNT_KEYS_PADDING][63:32];
    assign hwif_in.ROW_HITS.LO.value.next = counters[CNT_ROW_HITS][31:0];
    assign hwif_in.ROW_HITS.HI.value.next = counters[CNT_ROW_HITS][63:32];
    assign hwif_in.ROW_MISSES.LO.value.next = counters[CNT_ROW_MISSES][31:0];
    assign hwif_in.ROW_MISSES.HI.value.next = counters[CNT_ROW_MISSES][63:32];
    assign hwif_in.LINE_HITS.LO.value.next = counters[CNT_LINE_HITS][31:0];
    assign hwif_in.LINE_HITS.HI.value.next = counters[CNT_LINE_HITS][63:32];
    assign hwif_in.LINE_MISSES.LO.value.next = counters[CNT_LINE_MISSES][31:0];
    assign hwif_in.LINE_MISSES.HI.value.next = counters[CNT_LINE_MISSES][63:32];
    assign hwif_in.EVICTIONS.LO.value.next = counters[CNT_EVICTIONS][31:0];
    assign hwif_in.EVICTIONS.HI.value.next = counters[CNT_EVICTIONS][63:32];
    assign hwif_in.FETCH_BEATS.LO.value.next = counters[CNT_FETCH_BEATS][31:0];
    assign hwif_in.FETCH_BEATS.HI.value.next = counters[CNT_FETCH_BEATS][63:32];
    assign hwif_in.EXEC_BEATS.LO.value.next = counters[CNT_EXEC_BEATS][31:0];
    assign hwif_in.EXEC_BEATS.HI.value.next = counters[CNT_EXEC_BEATS][63:32];
    assign hwif_in.EXEC_EMPTY.LO.value.next = counters[CNT_EXEC_EMPTY][31:0];
    assign hwif_in.EXEC_EMPTY.HI.value.next = counters[CNT_EXEC_EMPTY][63:32];
    assign hwif_in.EXEC_FETCH.LO.value.next = counters[CNT_EXEC_FETCH][31:0];
    assign hwif_in.EXEC_FETCH.HI.value.next = counters[CNT_EXEC_FETCH][63:32];
    assign hwif_in.EXEC_HAZARD.LO.value.next = counters[CNT_EXEC_HAZARD][31:0];
    assign hwif_in.EXEC_HAZARD.HI.value.next = counters[CNT_EXEC_HAZARD][63:32];
    assign hwif_in.STALL_REPLY_SPACE.LO.value.next = counters[CNT_STALL_REPLY_SPACE][31:0];
    assign hwif_in.STALL_REPLY_SPACE.HI.value.next = counters[CNT_STALL_REPLY_SPACE][63:32];
    assign hwif_in.TX_FRAMES.LO.value.next = counters[CNT_TX_FRAMES][31:0];
    assign hwif_in.TX_FRAMES.HI.value.next = counters[CNT_TX_FRAMES][63:32];
    assign hwif_in.TX_BYTES.LO.value.next = counters[CNT_TX_BYTES][31:0];
    assign hwif_in.TX_BYTES.HI.value.next = counters[CNT_TX_BYTES][63:32];
    assign hwif_in.REPLIES.LO.value.next = counters[CNT_REPLIES][31:0];
    assign hwif_in.REPLIES.HI.value.next = counters[CNT_REPLIES][63:32];
    assign hwif_in.PARTIALS.LO.value.next = counters[CNT_PARTIALS][31:0];
    assign hwif_in.PARTIALS.HI.value.next = counters[CNT_PARTIALS][63:32];
    assign hwif_in.ERRORS.LO.value.next = counters[CNT_ERRORS][31:0];
    assign hwif_in.ERRORS.HI.value.next = counters[CNT_ERRORS][63:32];
    assign hwif_in.ACKS.LO.value.next = counters[CNT_ACKS][31:0];
    assign hwif_in.ACKS.HI.value.next = counters[CNT_ACKS][63:32];
    assign hwif_in.UPDATES.LO.value.next = counters[CNT_UPDATES][31:0];
    assign hwif_in.UPDATES.HI.value.next = counters[CNT_UPDATES][63:32];
    assign hwif_in.UPDATE_ROWS.LO.value.next = counters[CNT_UPDATE_ROWS][31:0];
    assign hwif_in.UPDATE_ROWS.HI.value.next = counters[CNT_UPDATE_ROWS][63:32];
    assign hwif_in.UPDATE_DUPLICATES.LO.value.next = counters[CNT_UPDATE_DUPLICATES][31:0];
    assign hwif_in.UPDATE_DUPLICATES.HI.value.next = counters[CNT_UPDATE_DUPLICATES][63:32];
    assign hwif_in.MEMORY_ERRORS.LO.value.next = counters[CNT_MEMORY_ERRORS][31:0];
    assign hwif_in.MEMORY_ERRORS.HI.value.next = counters[CNT_MEMORY_ERRORS][63:32];
    assign hwif_in.KEYS_REFUSED.LO.value.next = counters[CNT_KEYS_REFUSED][31:0];
    assign hwif_in.KEYS_REFUSED.HI.value.next = counters[CNT_KEYS_REFUSED][63:32];
    assign hwif_in.ERRORS_BUSY.LO.value.next = counters[CNT_ERRORS_BUSY][31:0];
    assign hwif_in.ERRORS_BUSY.HI.value.next = counters[CNT_ERRORS_BUSY][63:32];
    assign hwif_in.ABANDONED.LO.value.next = counters[CNT_ABANDONED][31:0];
    assign hwif_in.ABANDONED.HI.value.next = counters[CNT_ABANDONED][63:32];
    assign hwif_in.SOFT_RESETS.LO.value.next = counters[CNT_SOFT_RESETS][31:0];
    assign hwif_in.SOFT_RESETS.HI.value.next = counters[CNT_SOFT_RESETS][63:32];
    assign hwif_in.RESET_TIMEOUTS.LO.value.next = counters[CNT_RESET_TIMEOUTS][31:0];
    assign hwif_in.RESET_TIMEOUTS.HI.value.next = counters[CNT_RESET_TIMEOUTS][63:32];
    assign hwif_in.TABLE_COMMITS.LO.value.next = counters[CNT_TABLE_COMMITS][31:0];
    assign hwif_in.TABLE_COMMITS.HI.value.next = counters[CNT_TABLE_COMMITS][63:32];
    assign hwif_in.GEN_SENT.LO.value.next = counters[CNT_GEN_SENT][31:0];
    assign hwif_in.GEN_SENT.HI.value.next = counters[CNT_GEN_SENT][63:32];
    assign hwif_in.GEN_REPLIES.LO.value.next = counters[CNT_GEN_REPLIES][31:0];
    assign hwif_in.GEN_REPLIES.HI.value.next = counters[CNT_GEN_REPLIES][63:32];
    assign hwif_in.GEN_ERRORS.LO.value.next = counters[CNT_GEN_ERRORS][31:0];
    assign hwif_in.GEN_ERRORS.HI.value.next = counters[CNT_GEN_ERRORS][63:32];
    assign hwif_in.GEN_BAD.LO.value.next = counters[CNT_GEN_BAD][31:0];
    assign hwif_in.GEN_BAD.HI.value.next = counters[CNT_GEN_BAD][63:32];
    assign hwif_in.KEYS_ABANDONED.LO.value.next = counters[CNT_KEYS_ABANDONED][31:0];
    assign hwif_in.KEYS_ABANDONED.HI.value.next = counters[CNT_KEYS_ABANDONED][63:32];
    assign hwif_in.SATURATIONS.LO.value.next = counters[CNT_SATURATIONS][31:0];
    assign hwif_in.SATURATIONS.HI.value.next = counters[CNT_SATURATIONS][63:32];
    assign hwif_in.PINNED_HITS.LO.value.next = counters[CNT_PINNED_HITS][31:0];
    assign hwif_in.PINNED_HITS.HI.value.next = counters[CNT_PINNED_HITS][63:32];
    assign hwif_in.JOINS.LO.value.next = counters[CNT_JOINS][31:0];
    assign hwif_in.JOINS.HI.value.next = counters[CNT_JOINS][63:32];
    assign hwif_in.FETCHES.LO.value.next = counters[CNT_FETCHES][31:0];
    assign hwif_in.FETCHES.HI.value.next = counters[CNT_FETCHES][63:32];
    assign hwif_in.NO_FREE_WAY.LO.value.next = counters[CNT_NO_FREE_WAY][31:0];
    assign hwif_in.NO_FREE_WAY.HI.value.next = counters[CNT_NO_FREE_WAY][63:32];
    assign hwif_in.NOT_ADMITTED.LO.value.next = counters[CNT_NOT_ADMITTED][31:0];
    assign hwif_in.NOT_ADMITTED.HI.value.next = counters[CNT_NOT_ADMITTED][63:32];
    assign hwif_in.PREFETCHES.LO.value.next = counters[CNT_PREFETCHES][31:0];
    assign hwif_in.PREFETCHES.HI.value.next = counters[CNT_PREFETCHES][63:32];
    assign hwif_in.PREFETCH_ROWS.LO.value.next = counters[CNT_PREFETCH_ROWS][31:0];
    assign hwif_in.PREFETCH_ROWS.HI.value.next = counters[CNT_PREFETCH_ROWS][63:32];
    assign hwif_in.MEMORY_TIMEOUTS.LO.value.next = counters[CNT_MEMORY_TIMEOUTS][31:0];
    assign hwif_in.MEMORY_TIMEOUTS.HI.value.next = counters[CNT_MEMORY_TIMEOUTS][63:32];
    assign hwif_in.MEMORY_LATE.LO.value.next = counters[CNT_MEMORY_LATE][31:0];
    assign hwif_in.MEMORY_LATE.HI.value.next = counters[CNT_MEMORY_LATE][63:32];
    assign hwif_in.PARITY_ROWS.LO.value.next = counters[CNT_PARITY_ROWS][31:0];
    assign hwif_in.PARITY_ROWS.HI.value.next = counters[CNT_PARITY_ROWS][63:32];
    assign hwif_in.PARITY_TAGS.LO.value.next = counters[CNT_PARITY_TAGS][31:0];
    assign hwif_in.PARITY_TAGS.HI.value.next = counters[CNT_PARITY_TAGS][63:32];
    assign hwif_in.PARITY_KEYS.LO.value.next = counters[CNT_PARITY_KEYS][31:0];
    assign hwif_in.PARITY_KEYS.HI.value.next = counters[CNT_PARITY_KEYS][63:32];
    assign hwif_in.PARITY_REPLIES.LO.value.next = counters[CNT_PARITY_REPLIES][31:0];
    assign hwif_in.PARITY_REPLIES.HI.value.next = counters[CNT_PARITY_REPLIES][63:32];
    assign hwif_in.INJECTED.LO.value.next = counters[CNT_INJECTED][31:0];
    assign hwif_in.INJECTED.HI.value.next = counters[CNT_INJECTED][63:32];
    assign hwif_in.REMOTE_FETCHES.LO.value.next = counters[CNT_REMOTE_FETCHES][31:0];
    assign hwif_in.REMOTE_FETCHES.HI.value.next = counters[CNT_REMOTE_FETCHES][63:32];
    assign hwif_in.REMOTE_ANSWERS.LO.value.next = counters[CNT_REMOTE_ANSWERS][31:0];
    assign hwif_in.REMOTE_ANSWERS.HI.value.next = counters[CNT_REMOTE_ANSWERS][63:32];
    assign hwif_in.REMOTE_BEATS.LO.value.next = counters[CNT_REMOTE_BEATS][31:0];
    assign hwif_in.REMOTE_BEATS.HI.value.next = counters[CNT_REMOTE_BEATS][63:32];
    assign hwif_in.REMOTE_TIMEOUTS.LO.value.next = counters[CNT_REMOTE_TIMEOUTS][31:0];
    assign hwif_in.REMOTE_TIMEOUTS.HI.value.next = counters[CNT_REMOTE_TIMEOUTS][63:32];
    assign hwif_in.REMOTE_BROKEN.LO.value.next = counters[CNT_REMOTE_BROKEN][31:0];
    assign hwif_in.REMOTE_BROKEN.HI.value.next = counters[CNT_REMOTE_BROKEN][63:32];
    assign hwif_in.REMOTE_STRAYS.LO.value.next = counters[CNT_REMOTE_STRAYS][31:0];
    assign hwif_in.REMOTE_STRAYS.HI.value.next = counters[CNT_REMOTE_STRAYS][63:32];
    assign hwif_in.COMPUTE_FRAMES.LO.value.next = counters[CNT_COMPUTE_FRAMES][31:0];
    assign hwif_in.COMPUTE_FRAMES.HI.value.next = counters[CNT_COMPUTE_FRAMES][63:32];
    assign hwif_in.COMPUTE_JOBS.LO.value.next = counters[CNT_COMPUTE_JOBS][31:0];
    assign hwif_in.COMPUTE_JOBS.HI.value.next = counters[CNT_COMPUTE_JOBS][63:32];
    assign hwif_in.COMPUTE_ABANDONED.LO.value.next = counters[CNT_COMPUTE_ABANDONED][31:0];
    assign hwif_in.COMPUTE_ABANDONED.HI.value.next = counters[CNT_COMPUTE_ABANDONED][63:32];

    // What the registers set
    assign cfg_enable        = hwif_out.CONTROL.enable.value;
    assign cfg_flush         = hwif_out.CONTROL.flush.value;
    assign cfg_snapshot      = hwif_out.CONTROL.snapshot.value;
    assign cfg_quiesce       = hwif_out.CONTROL.quiesce.value;
    assign cfg_soft_reset    = hwif_out.CONTROL.soft_reset.value;
    assign cfg_generator     = hwif_out.CONTROL.generator.value;
    assign cfg_latency_clear = hwif_out.CONTROL.latency_clear.value;
    assign cfg_errors_clear  = hwif_out.CONTROL.errors_clear.value;
    assign cfg_cached_ways   = hwif_out.CACHE.cached_ways.value;
    assign cfg_admission     = hwif_out.CACHE.admission.value;
    assign gen_table         = hwif_out.GEN_TABLE.table_number.value;
    assign gen_row_mask      = hwif_out.GEN_ROW_MASK.value.value;
    assign gen_dim           = hwif_out.GEN_SHAPE.dim.value;
    assign gen_beats         = hwif_out.GEN_SHAPE.beats.value;
    assign gen_length_log2   = hwif_out.GEN_SHAPE.length_log2.value;
    assign gen_window        = hwif_out.GEN_SHAPE.window.value;
    assign gen_frames        = hwif_out.GEN_FRAMES.value.value;
    assign channel_sel       = hwif_out.CHANNEL_SEL.channel.value;
    assign hwif_in.CHANNEL_READS.bursts.next = channel_reads;
    assign inject_memory     = hwif_out.INJECT.memory.value;
    assign inject_place      = hwif_out.INJECT.place.value;
    assign inject_arm        = hwif_out.INJECT.arm.value;
    assign cfg_memory_kilocycles    = hwif_out.MEMORY_TIMEOUT.kilocycles.value;
    assign cfg_remote_kilocycles    = hwif_out.REMOTE_TIMEOUT.kilocycles.value;
    assign hwif_in.REMOTE_WAITING.lines.next = sts_remote_waiting;
    assign hwif_in.MEMORY_OWED.reads.next = sts_memory_owed_reads;
    assign hwif_in.MEMORY_OWED.write.next = sts_memory_owed_write;
    assign latency_bucket    = hwif_out.LATENCY_BUCKET.bucket.value;
    assign error_sel         = hwif_out.ERROR_SEL.entry.value;
    assign cfg_udp_port      = hwif_out.UDP_PORT.port.value;
    assign cfg_reply_beats64 = hwif_out.REPLY_BEATS64.units.value;
    assign table_sel         = hwif_out.TABLE_SEL.table_number.value;
    assign table_commit      = hwif_out.TABLE_COMMIT.commit.value;
    for (genvar i = 0; i < 8; i++) begin : gen_table_word
        assign table_words[i*32 +: 32] = hwif_out.TABLE_WORD[i].value.value;
    end
endmodule
`default_nettype wire
