// SPDX-License-Identifier: Apache-2.0
// Everything of embnic that is on the wire or in a table descriptor. Struct fields hold values, never swapped bytes.
// Generated from spec/wire.toml and spec/registers.rdl by spec/generate.py. Do not edit.
`default_nettype none
package embnic_wire_pkg;
    localparam logic [31:0] CONTRACT_HASH = 32'h0C68E535;

    localparam logic [15:0] WIRE_MAGIC         = 16'hEB1C;
    localparam logic [7:0]  WIRE_VERSION       = 8'd1;
    localparam logic [15:0] DEFAULT_UDP_PORT   = 16'h454E;
    localparam int unsigned HEADER_BYTES       = 22;
    localparam int unsigned FIRST_PAYLOAD_BYTE = 64;  // of a whole frame
    localparam int unsigned KEY_BYTES          = 8;
    localparam int unsigned WEIGHTED_BYTES     = 16;  // key, fp32 weight, zero
    localparam int unsigned UNIT_BYTES         = 64;
    localparam int unsigned BLOCK_BYTES        = 64;
    localparam int unsigned SEQUENCE_BYTES     = 16;
    localparam int unsigned SEQUENCE_WINDOW    = 64;
    localparam int unsigned FRAME_OVERHEAD     = 68;
    localparam int unsigned MAX_FRAME_BYTES    = 16384;
    localparam int unsigned COMPUTE_VEC64      = 8;
    localparam int unsigned COMPUTE_VECTORS    = 32;
    localparam int unsigned COMPUTE_K          = 16;
    localparam int unsigned COMPUTE_KEYS       = 256;

    // CRC32C: Castagnoli, reflected, over our header and payload; 4 bytes little-endian directly after the payload.
    localparam int unsigned CRC_BYTES  = 4;
    localparam logic [31:0] CRC_POLY   = 32'h82F63B78;  // reflected
    localparam logic [31:0] CRC_INIT   = 32'hFFFFFFFF;
    localparam logic [31:0] CRC_XOROUT = 32'hFFFFFFFF;
    localparam logic [31:0] CRC_CHECK  = 32'hE3069283;  // of "123456789"

    // What a frame asks for or answers.
    typedef enum logic [7:0] {
        OPCODE_PING       = 8'd1,   // request: are you there; answered by REPLY without vectors
        OPCODE_LOOKUP     = 8'd2,   // request: bags of keys; answered by REPLY, PARTIAL or ERROR
        OPCODE_REPLY      = 8'd3,   // reply: pooled, normalised vectors
        OPCODE_PARTIAL    = 8'd4,   // reply: an unnormalised fp32 (FIXED: int32) accumulator and its count
        OPCODE_ROWS       = 8'd5,   // request and reply: rows without pooling (reserved)
        OPCODE_UPDATE     = 8'd6,   // request: write rows; answered by ACK or ERROR
        OPCODE_ACK        = 8'd7,   // reply: an UPDATE, FILL, INVALIDATE or PREFETCH took effect
        OPCODE_FILL       = 8'd8,   // request: write rows and bring them into the cache; answered by ACK or ERROR
        OPCODE_INVALIDATE = 8'd9,   // request: drop rows from the cache; answered by ACK or ERROR
        OPCODE_PREFETCH   = 8'd10,  // request: bring rows into the cache, hold or release them; answered by ACK
        OPCODE_MERGE      = 8'd11,  // request: a bag's keys and partials to be merged with them; answered by REPLY, PARTIAL or ERROR
        OPCODE_ACCUMULATE = 8'd12,  // request: gradients, summed by row; answered by REPLY or ERROR
        OPCODE_TOPK       = 8'd13,  // request: scores, the best are kept; answered by REPLY or ERROR
        OPCODE_INTERACT   = 8'd14,  // request: dot products of samples' vectors; answered by REPLY or ERROR
        OPCODE_ERROR      = 8'd15   // reply: the request was refused; see the status
    } opcode_e;

    // How a row is given; card memory holds all quantised layouts alike (see the payloads).
    typedef enum logic [3:0] {
        DTYPE_FP32       = 4'd0,   // IEEE 754 binary32
        DTYPE_FP16       = 4'd1,   // IEEE 754 binary16
        DTYPE_BF16       = 4'd2,   // bfloat16
        DTYPE_INT8       = 4'd3,   // uint8 elements q, then fp32 scale and bias; an element is scale * q + bias
        DTYPE_INT8_FRONT = 4'd4,   // fp16 scale and bias, then uint8 elements
        DTYPE_INT4       = 4'd5,   // fp16 scale and bias, then 4-bit elements, the first of a byte in its low half
        DTYPE_INT4_END   = 4'd6,   // 4-bit elements as INT4, then fp16 scale and bias
        DTYPE_FIXED      = 4'd7    // int32 elements in units of 2**fixed_scale_exp of the table; the card answers unscaled int32
    } dtype_e;

    // Why a request was refused.
    typedef enum logic [3:0] {
        STATUS_OK              = 4'd0,   // not refused
        STATUS_BAD_REQUEST     = 4'd1,   // the frame contradicts itself: counts, lengths, flags
        STATUS_UNKNOWN_TABLE   = 4'd2,   // no such table
        STATUS_TABLE_MISMATCH  = 4'd3,   // the table's dim, dtype or pooling is not the frame's
        STATUS_OUT_OF_RANGE    = 4'd4,   // a row number is not below the table's rows
        STATUS_TOO_LARGE       = 4'd5,   // the reply or a vector exceeds what the card can hold
        STATUS_UNSUPPORTED     = 4'd6,   // this card does not execute that
        STATUS_MEMORY_ERROR    = 4'd7,   // card memory answered with an error, or not in time
        STATUS_SNAPSHOT_GONE   = 4'd8,   // the snapshot named was retired
        STATUS_CLIENTS_FULL    = 4'd9,   // no room to remember another updating client
        STATUS_SEQUENCE_WINDOW = 4'd10,  // the sequence number is too far ahead
        STATUS_BUSY            = 4'd11,  // try again later: the card is quiesced
        STATUS_REMOTE_ERROR    = 4'd12,  // the card that holds a row answered with an error, or not in time
        STATUS_JOB_GONE        = 4'd13   // the card does not have the job that this piece belongs to: begin it again
    } status_e;

    // How the rows of a bag become one vector.
    typedef enum logic [1:0] {
        POOLING_SUM  = 2'd0,   // sum, weighted when the frame says so
        POOLING_MEAN = 2'd1,   // sum divided by the keys that contributed; by the host for FIXED
        POOLING_MAX  = 2'd2,   // elementwise maximum
        POOLING_NONE = 2'd3    // no pooling: the row of every key, zeros for a null key and the padding row
    } pooling_e;

    // The order of the additions; a partial or a mean is divided and rounded once, after the last of them.
    typedef enum logic [1:0] {
        ORDER_SEQUENTIAL = 2'd0,   // key order: acc = acc + row, from +0
        ORDER_TREE       = 2'd1,   // the j-th key that counts goes to sum j mod k, k = 2**tree_k_log2; sums are then added pairwise
        ORDER_SPLIT      = 2'd2,   // local rows in key order, then the owners' partials by ascending owner number
        ORDER_MEMO       = 2'd3    // as the plan's memo rows say
    } order_e;

    // What becomes of the lines of a PREFETCH or FILL; it stands in the header's first_bag.
    typedef enum logic [1:0] {
        HOLD_NONE    = 2'd0,   // brought into the cache, replaced like any other
        HOLD_LOCK    = 2'd1,   // kept until they are looked up, updated or released
        HOLD_PIN     = 2'd2,   // kept until they are released, through updates, too
        HOLD_RELEASE = 2'd3    // PREFETCH only: nothing is fetched; neither locked nor pinned any more
    } hold_e;

    // Why a received frame was dropped, one reason a frame; the value is the bit in evt_rx_drop.
    typedef enum logic [3:0] {
        DROP_NOT_OURS    = 4'd0,   // not untagged IPv4 UDP to our port with our magic
        DROP_MAC_ERROR   = 4'd1,   // the MAC marked the frame bad
        DROP_LENGTH      = 4'd2,   // truncated, lengths disagree, or payload not a multiple of 8
        DROP_IP_CHECKSUM = 4'd3,   // the IPv4 header checksum is wrong
        DROP_VERSION     = 4'd4,   // another version of our header
        DROP_HEADER      = 4'd5,   // reserved flags set, or an opcode this side does not take
        DROP_CRC         = 4'd6,   // CRC32C over header and payload is wrong
        DROP_OVERLOAD    = 4'd7,   // no room
        DROP_TAG         = 4'd8    // tag trailer, but the tenant has no key
    } drop_reason_e;
    localparam int unsigned DROP_N = 9;

    // Bits of header_t.flags; the others are zero.
    localparam int unsigned FLAG_WEIGHTED        = 0;  // entries are 16 bytes: key, fp32 weight, zero
    localparam int unsigned FLAG_TAG             = 1;  // an 8-byte SipHash-2-4 tag replaces the CRC
    localparam int unsigned FLAG_ACCUMULATOR     = 2;  // the payload begins with the running accumulator of a continued bag
    localparam int unsigned FLAG_CONTINUES       = 3;  // the last bag continues in another frame
    localparam int unsigned FLAG_FINAL           = 4;  // last frame of the reply
    localparam int unsigned FLAG_PARTIAL_WANTED  = 5;  // answer with PARTIAL
    localparam int unsigned FLAG_PRODUCT         = 6;  // the keys of a bag are pairs of two tables, whose rows are multiplied
    localparam logic [7:0]  FLAGS_RESERVED = 8'h80;

    // Our header, 22 bytes directly after UDP.
    typedef struct packed {
        logic [15:0]  magic;       // magic number
        logic [7:0]   version;     // version of the wire format
        opcode_e      opcode;      // what the frame is
        logic [7:0]   flags;       // see the flags; bit 7 is zero
        dtype_e       dtype;       // storage type of the tables; in a reply FP32, or FIXED when the tables are
        status_e      status;      // zero in a request
        logic [15:0]  tenant;      // tenant
        logic [31:0]  request_id;  // chosen by the requester, copied to the reply
        logic [15:0]  first_bag;   // number of the frame's first bag within its request; in PREFETCH and FILL a Hold; in INTERACT the vectors of a sample
        logic [15:0]  bags;        // bags, or vectors of a reply, in this frame; in MERGE partials
        logic [15:0]  keys;        // entries; in REPLY and PARTIAL first_beat: the 64-byte unit at which a cut vector's piece starts
        logic [15:0]  dim;         // elements of a vector
        logic [15:0]  snapshot;    // snapshot asked for or answered from; 0 in this version
    } header_t;

    // Reads the header; `b[7:0]` is its first byte.
    function automatic header_t header_from_bytes(input logic [175:0] b);
        header_t h;
        h.magic      = b[15:0];
        h.version    = b[23:16];
        h.opcode     = opcode_e'(b[31:24]);
        h.flags      = b[39:32];
        h.dtype      = dtype_e'(b[43:40]);
        h.status     = status_e'(b[47:44]);
        h.tenant     = b[63:48];
        h.request_id = b[95:64];
        h.first_bag  = b[111:96];
        h.bags       = b[127:112];
        h.keys       = b[143:128];
        h.dim        = b[159:144];
        h.snapshot   = b[175:160];
        return h;
    endfunction

    // Writes the header; bits [7:0] of the result are its first byte.
    function automatic logic [175:0] header_to_bytes(input header_t h);
        logic [175:0] b;
        b[15:0]    = h.magic;
        b[23:16]   = h.version;
        b[31:24]   = h.opcode;
        b[39:32]   = h.flags;
        b[43:40]   = h.dtype;
        b[47:44]   = h.status;
        b[63:48]   = h.tenant;
        b[95:64]   = h.request_id;
        b[111:96]  = h.first_bag;
        b[127:112] = h.bags;
        b[143:128] = h.keys;
        b[159:144] = h.dim;
        b[175:160] = h.snapshot;
        return b;
    endfunction

    // A key, 8 bytes little-endian: key_t'(bits) of the 64-bit word.
    typedef struct packed {
        logic        last; // last key of its bag in this frame
        logic [14:0] tbl;  // table
        logic [47:0] row;  // row within the table; all ones: a null key, contributes nothing
    } key_t;
    localparam logic [47:0] NULL_ROW = 48'hFFFFFFFFFFFF;

    // A null key contributes nothing and is not counted.
    function automatic logic row_is_null(input logic [47:0] row);
        return row == NULL_ROW;
    endfunction

    // A table descriptor; word 0 of the registers is in bits 31:0 of `words`.
    typedef struct packed {
        logic              valid;            // the table exists
        dtype_e            dtype;            // storage type
        pooling_e          pooling;          // pooling
        logic              has_padding;      // padding_row is skipped and not counted
        logic              mul_then_add;     // round weighted products, BF16 sums to even
        logic [15:0]       dim;              // elements of a row
        order_e            order;            // order of the additions
        logic [3:0]        tree_k_log2;      // log2 of a TREE's sums, 1 to 4; else 0
        logic signed [7:0] fixed_scale_exp;  // log2 of the unit of FIXED; else 0
        logic              remote;           // the rows live on another card, at base there
        logic              memo;             // rows are stored partial sums
        logic [7:0]        owner;            // which owner holds the rows
        logic [7:0]        generation;       // changes whenever the table is replaced
        logic [63:0]       base;             // row 0, a multiple of 64; bits 39:37: log2 of its channels
        logic [63:0]       rows;             // rows, at most 2**48 - 1
        logic [63:0]       padding_row;      // the row that is skipped when has_padding
    } descriptor_t;

    // Reads a descriptor; reserved bits are ignored.
    function automatic descriptor_t descriptor_from_words(input logic [255:0] words);
        descriptor_t d;
        logic        unused_reserved;
        unused_reserved = ^{words[15:9]};
        d.valid           = words[0];
        d.dtype           = dtype_e'(words[4:1]);
        d.pooling         = pooling_e'(words[6:5]);
        d.has_padding     = words[7];
        d.mul_then_add    = words[8];
        d.dim             = words[31:16];
        d.order           = order_e'(words[33:32]);
        d.tree_k_log2     = words[37:34];
        d.fixed_scale_exp = words[45:38];
        d.remote          = words[46];
        d.memo            = words[47];
        d.owner           = words[55:48];
        d.generation      = words[63:56];
        d.base            = words[127:64];
        d.rows            = words[191:128];
        d.padding_row     = words[255:192];
        return d;
    endfunction

    // Writes a descriptor; reserved bits are zero.
    function automatic logic [255:0] descriptor_to_words(input descriptor_t d);
        logic [255:0] words;
        words = '0;
        words[0]       = d.valid;
        words[4:1]     = d.dtype;
        words[6:5]     = d.pooling;
        words[7]       = d.has_padding;
        words[8]       = d.mul_then_add;
        words[31:16]   = d.dim;
        words[33:32]   = d.order;
        words[37:34]   = d.tree_k_log2;
        words[45:38]   = d.fixed_scale_exp;
        words[46]      = d.remote;
        words[47]      = d.memo;
        words[55:48]   = d.owner;
        words[63:56]   = d.generation;
        words[127:64]  = d.base;
        words[191:128] = d.rows;
        words[255:192] = d.padding_row;
        return words;
    endfunction

    // The 64-bit counters, in register order: the index into the counter vectors of embnic_core.
    localparam int unsigned COUNTERS_N = 74;
    typedef enum int unsigned {
        CNT_CYCLES            = 0,  // clock cycles since reset
        CNT_RX_FRAMES         = 1,  // frames received
        CNT_RX_BYTES          = 2,  // bytes received, without preamble and frame check sequence
        CNT_RX_ACCEPTED       = 3,  // requests accepted
        CNT_DROP_NOT_OURS     = 4,  // dropped: not untagged IPv4 UDP to our port with our magic
        CNT_DROP_MAC_ERROR    = 5,  // dropped: marked bad by the MAC
        CNT_DROP_LENGTH       = 6,  // dropped: truncated or lengths disagree
        CNT_DROP_IP_CHECKSUM  = 7,  // dropped: IPv4 header checksum
        CNT_DROP_VERSION      = 8,  // dropped: another wire version
        CNT_DROP_HEADER       = 9,  // dropped: reserved flags, or not a request
        CNT_DROP_CRC          = 10, // dropped: CRC32C
        CNT_DROP_OVERLOAD     = 11, // dropped: no room, card disabled, or under a soft reset
        CNT_DROP_TAG          = 12, // dropped: tag trailer without a tenant key
        CNT_REQUESTS          = 13, // LOOKUP requests
        CNT_BAGS              = 14, // bags
        CNT_KEYS              = 15, // keys, null keys included
        CNT_KEYS_NULL         = 16, // null keys
        CNT_KEYS_PADDING      = 17, // keys that named the padding row
        CNT_ROW_HITS          = 18, // rows of which every line was in the cache
        CNT_ROW_MISSES        = 19, // rows of which a line was not in the cache
        CNT_LINE_HITS         = 20, // lines found in the cache
        CNT_LINE_MISSES       = 21, // lines not found in the cache
        CNT_EVICTIONS         = 22, // valid lines replaced
        CNT_FETCH_BEATS       = 23, // bus beats read from card memory
        CNT_EXEC_BEATS        = 24, // cycles in which the cache gave a beat of a row, headers of quantised rows and prefetched lines included
        CNT_EXEC_EMPTY        = 25, // cycles without an operation to give, those on their way through the cache included
        CNT_EXEC_FETCH        = 26, // cycles in which all there is waits for card memory or an older operation of its line
        CNT_EXEC_HAZARD       = 27, // cycles waiting for an accumulator, or for an adder that a quantised row takes
        CNT_STALL_REPLY_SPACE = 28, // cycles a request waited for room for its reply
        CNT_TX_FRAMES         = 29, // frames sent
        CNT_TX_BYTES          = 30, // bytes sent, without preamble and frame check sequence
        CNT_REPLIES           = 31, // requests answered by REPLY
        CNT_PARTIALS          = 32, // requests answered by PARTIAL
        CNT_ERRORS            = 33, // requests answered by ERROR
        CNT_ACKS              = 34, // requests answered by ACK
        CNT_UPDATES           = 35, // UPDATE, FILL and INVALIDATE requests applied
        CNT_UPDATE_ROWS       = 36, // rows written or invalidated
        CNT_UPDATE_DUPLICATES = 37, // UPDATE, FILL and INVALIDATE requests acknowledged without being applied again
        CNT_MEMORY_ERRORS     = 38, // beats given to the pool that memory had answered with an error or not in time; failed writes are not in it
        CNT_KEYS_REFUSED      = 39, // keys that failed a check: no such table, row beyond it, not the frame's dim, dtype or pooling
        CNT_ERRORS_BUSY       = 40, // of ERRORS: requests refused with BUSY
        CNT_ABANDONED         = 41, // accepted requests that a soft reset threw away
        CNT_SOFT_RESETS       = 42, // soft resets
        CNT_RESET_TIMEOUTS    = 43, // of SOFT_RESETS: memory or MAC did not come to rest in time
        CNT_TABLE_COMMITS     = 44, // descriptors written
        CNT_GEN_SENT          = 45, // frames made by the generator
        CNT_GEN_REPLIES       = 46, // answers other than ERROR with a good CRC that its checker took
        CNT_GEN_ERRORS        = 47, // ERROR answers with a good CRC that its checker took
        CNT_GEN_BAD           = 48, // frames with a wrong CRC that its checker took
        CNT_KEYS_ABANDONED    = 49, // keys whose row a soft reset threw away before it was a hit or a miss
        CNT_SATURATIONS       = 50, // elements of FIXED sums that were clipped to the range of int32
        CNT_PINNED_HITS       = 51, // of LINE_HITS: lines that are pinned
        CNT_JOINS             = 52, // of LINE_HITS: lines still on their way from card memory
        CNT_FETCHES           = 53, // lines asked of card memory: LINE_MISSES, and those of PREFETCH and FILL
        CNT_NO_FREE_WAY       = 54, // of FETCHES: not kept, because every way of the set is pinned or locked
        CNT_NOT_ADMITTED      = 55, // of LINE_MISSES: not kept, because the admission filter refused it
        CNT_PREFETCHES        = 56, // PREFETCH requests executed
        CNT_PREFETCH_ROWS     = 57, // rows that PREFETCH and FILL brought, held or released as asked
        CNT_MEMORY_TIMEOUTS   = 58, // line reads and write bursts that card memory did not answer in time
        CNT_MEMORY_LATE       = 59, // of MEMORY_TIMEOUTS: those whose answer came later, and was thrown away
        CNT_PARITY_ROWS       = 60, // beats of rows that row cache or fetch buffer gave with a wrong bit: MEMORY_ERROR, and the line is dropped
        CNT_PARITY_TAGS       = 61, // lookups that met a wrong tag or state: what it named is dropped
        CNT_PARITY_KEYS       = 62, // beats of the key store with a wrong bit: MEMORY_ERROR
        CNT_PARITY_REPLIES    = 63, // beats of the reply buffer with a wrong bit: their frame leaves with a wrong CRC
        CNT_INJECTED          = 64, // wrong bits that INJECT stored
        CNT_REMOTE_FETCHES    = 65, // of FETCHES: lines asked of other cards, those that were given up before they left included
        CNT_REMOTE_ANSWERS    = 66, // of REMOTE_FETCHES: answered whole, with or without an error of the owner
        CNT_REMOTE_BEATS      = 67, // bus beats of lines of other cards
        CNT_REMOTE_TIMEOUTS   = 68, // of REMOTE_FETCHES: not answered in time, REMOTE_ERROR
        CNT_REMOTE_BROKEN     = 69, // of REMOTE_FETCHES: answered with too few or too many beats, REMOTE_ERROR
        CNT_REMOTE_STRAYS     = 70, // answers that nobody waited for, late, twice or from before a reset: thrown away
        CNT_COMPUTE_FRAMES    = 71, // pieces of ACCUMULATE, TOPK and INTERACT jobs that were taken, once each
        CNT_COMPUTE_JOBS      = 72, // jobs whose last piece was worked out, refused ones included
        CNT_COMPUTE_ABANDONED = 73  // jobs that ended before their last piece was worked out, those of a soft reset left out
    } counter_e;
endpackage
`default_nettype wire
