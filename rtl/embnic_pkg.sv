// SPDX-License-Identifier: Apache-2.0
// Types and constants shared by the modules of the core. Everything that also exists on the wire or in a register comes from
// embnic_wire_pkg (generated); this package holds what only the RTL knows.
//
// Index fields are wide enough for every configuration; a configuration leaves the high bits constant zero and synthesis
// trims them.
`default_nettype none
package embnic_pkg;
    import embnic_wire_pkg::*;

    localparam int unsigned SLOT_W  = 6;   // open bags: up to 64
    localparam int unsigned CTX_W   = 6;   // requests in flight: up to 64
    localparam int unsigned KS_W    = 14;  // beat address in the key store: up to 16,384 beats
    localparam int unsigned WORD_W  = 17;  // address of an 8-byte word in the key store (KS_W + 3)
    localparam int unsigned RSP_W   = 14;  // beat address in the reply buffer
    localparam int unsigned BEAT_W  = 9;   // bus beat within a vector, or a number of them: up to 511
    localparam int unsigned CNT_W   = 32;  // keys that contributed to a bag
    localparam int unsigned ROW_W   = 48;  // row number within a table
    localparam int unsigned TABLE_W = 15;  // table number
    localparam int unsigned SEG_W   = 8;   // line within a row
    localparam int unsigned ADDR_W  = 40;  // byte address in card memory: 1 TiB
    localparam int unsigned CHUNK_W = 4;   // chunk of a line at which its elements begin: 0 .. 8
    localparam int unsigned EPOCH_W = 3;   // stamp of a memory access, see embnic_epoch
    localparam int unsigned SUB_W   = 3;   // chunk within a stored bus beat: 0 .. 7
    localparam int unsigned MERGE_W = 8;   // partials of a bag: up to 128
    localparam int unsigned BANK_W  = 4;   // running sum of a TREE: up to 16; of a pair: see below

    // Banks of the init RAM: accumulators and partials of so many bags are on their way at a time.
    localparam int unsigned INIT_BANKS  = 4;
    localparam int unsigned INIT_BANK_W = 2;

    // Cycles from the issue of a row beat to the first cycle in which the next row's same beat may be issued.
    // embnic_pool guarantees it; embnic_row_cache keeps it.
    localparam int unsigned ACC_LOOP_CYCLES = 12;

    // A beat of a quantised row (int8, int4) takes INT_EXTRA_CYCLES more through the pool. A beat of another kind, OP_INIT and
    // OP_FLUSH included, is never issued exactly that long after one: they would meet at the adder. The next row's same beat,
    // or the OP_FLUSH, follows ACC_LOOP_LONG_CYCLES after it at the earliest.
    localparam int unsigned INT_EXTRA_CYCLES     = 7;
    localparam int unsigned ACC_LOOP_LONG_CYCLES = ACC_LOOP_CYCLES + INT_EXTRA_CYCLES;

    // A TREE's running sum b of a vector lies in its slot's accumulators, b's bits reversed from the top of the vector's
    // beat address down: so for k sums a vector may take 1/k of the longest, whatever k. Of a bag of pairs bank 0 is the sum,
    // and these hold what a pair is made of; a vector takes a quarter of the longest at most.
    localparam logic [BANK_W-1:0] PAIR_FIRST_BANK  = 1;  // the first row's elements, or the products
    localparam logic [BANK_W-1:0] PAIR_SECOND_BANK = 2;  // the second row's

    // Latency of the binary32 units, from valid_in to valid_out.
    localparam int unsigned FMA_STAGES = 13;
    localparam int unsigned MUL_STAGES = 6;
    localparam int unsigned ADD_STAGES = 6;
    localparam int unsigned DIV_STAGES = 35;
    // The addend of embnic_fp32_fma is taken this many cycles after its factors: the accumulator is read meanwhile.
    localparam int unsigned FMA_C_DELAY = 5;
    // The dividend of embnic_fp32_div_uint is taken this many cycles after its count.
    localparam int unsigned DIV_A_DELAY = 13;

    // A frame of ours that passed every check of embnic_rx_frame. Addresses are as received.
    typedef struct packed {
        logic [47:0]     mac_dst;
        logic [47:0]     mac_src;
        logic [31:0]     ip_src;
        logic [31:0]     ip_dst;
        logic [15:0]     port_src;
        logic [15:0]     port_dst;
        header_t         hdr;          // embnic_wire_pkg: our 22 bytes
        logic [15:0]     payload_len;  // bytes between our header and the CRC
        logic [KS_W-1:0] ks_addr;      // first payload beat in the key store
        logic [KS_W-1:0] ks_beats;     // beats the payload takes there (0 for an empty payload)
    } frame_t;

    // What the reply buffer keeps of a request until its reply has left.
    typedef struct packed {
        frame_t              frame;
        opcode_e             opcode;    // of the reply: REPLY, PARTIAL, ACK or ERROR
        status_e             status;    // known at allocation; the first later error replaces OK
        logic [BEAT_W-1:0]   vec_beats; // bus beats of one vector
        logic [15:0]         bags;      // vectors to reserve space for
        logic                dispatching; // more bags may come: complete only after close
        logic [63:0]         client;    // ACK
        logic [63:0]         seq;  // ACK
    } reply_t;

    // A finished UPDATE, FILL, INVALIDATE or PREFETCH; of the last, client and seq are what its ACK counts.
    typedef struct packed {
        status_e             status;
        logic [63:0]         client;
        logic [63:0]         seq;
    } update_done_t;

    // What embnic_compute says of a frame's header: refused, or how much room its reply takes.
    typedef struct packed {
        status_e             status;
        logic [BEAT_W-1:0]   vec_beats; // bus beats of one vector
        logic [15:0]         bags;      // vectors at most
    } plan_t;

    // A complete reply, ready to be sent.
    typedef struct packed {
        reply_t              reply;
        status_e             status;    // final
        logic [15:0]         bags;      // vectors to send
        logic [CNT_W-1:0]    count;     // PARTIAL: keys in the only bag
        logic [RSP_W-1:0]    rsp_addr;  // reply buffer address of the first vector
    } reply_send_t;

    // A bag whose keys lie in the key store.
    typedef struct packed {
        logic [CTX_W-1:0]    ctx;
        logic                first;      // first bag of its request
        logic                remote;     // its rows live on another card, as far as its last key says
        logic [WORD_W-1:0]   word;       // first key: 8-byte word address in the key store
        logic [15:0]         keys;       // entries, null keys included; >= 1
        logic                weighted;   // entries are 16 bytes: key, weight, zero
        logic                partial;    // no mean division, reply with count
        logic                piece;      // of a bag that is cut over frames: not of a table of order TREE
        logic                merge;      // of a MERGE: of a table of order SPLIT only
        logic                product;    // its keys are pairs of two tables
        logic                init;       // an accumulator waits in the init RAM, at init_addr
        logic [MERGE_W-1:0]  merges;     // partials behind it there, of which each holds a key
        logic [BEAT_W-1:0]   init_addr;
        logic [CNT_W-1:0]    init_count; // keys that all of them hold
        logic [RSP_W-1:0]    rsp_addr;   // reply buffer address of the vector's first beat
        logic [BEAT_W-1:0]   vec_beats;
        logic [BEAT_W-1:0]   row_beats;  // bus beats of a row as stored
        logic [15:0]         dim;
        dtype_e              dtype;
    } bag_t;

    // A stored row is wider or narrower than its vector of 32-bit lanes. A bus beat as stored holds 2**expand chunks, each of
    // which becomes one vector beat: 1 (fp32, fixed), 2 (fp16, bf16), 4 (int8) or 8 (int4). A quantised row begins with a header
    // of 16 bytes, {fp32 scale, fp32 bias, 8 zero bytes}, which takes 16 / (DATA_W / 8 >> expand) chunks.
    function automatic logic [1:0] dtype_expand(input dtype_e dtype);
        unique case (dtype)
            DTYPE_FP16, DTYPE_BF16:       dtype_expand = 2'd1;
            DTYPE_INT8, DTYPE_INT8_FRONT: dtype_expand = 2'd2;
            DTYPE_INT4, DTYPE_INT4_END:   dtype_expand = 2'd3;
            default:                      dtype_expand = 2'd0;
        endcase
    endfunction

    function automatic logic dtype_known(input dtype_e dtype);
        dtype_known = dtype <= DTYPE_FIXED;
    endfunction

    // 64-byte units of a row of `dim` elements as stored.
    function automatic logic [12:0] row_units(input dtype_e dtype, input logic [15:0] dim);
        logic [18:0] bytes;
        unique case (dtype)
            DTYPE_FP16, DTYPE_BF16:       bytes = {2'b00, dim, 1'b0};
            DTYPE_INT8, DTYPE_INT8_FRONT: bytes = 19'(dim) + 19'd16;
            DTYPE_INT4, DTYPE_INT4_END:   bytes = ((19'(dim) + 19'd1) >> 1) + 19'd16;
            default:                      bytes = {1'b0, dim, 2'b00};
        endcase
        row_units = 13'((bytes + 19'd63) >> 6);
    endfunction

    function automatic logic dtype_quantised(input dtype_e dtype);
        dtype_quantised = dtype_expand(dtype) >= 2'd2;
    endfunction

    // Running sums of floats are combined by the adder: the one that is added takes the place of a quantised row's integers,
    // and so the long way. Everything else takes the place of a row.
    function automatic logic combine_is_long(input pooling_e pooling, input dtype_e dtype);
        combine_is_long = (pooling == POOLING_SUM || pooling == POOLING_MEAN) && dtype != DTYPE_FIXED;
    endfunction

    // The next operation of the slot keeps ACC_LOOP_LONG_CYCLES from this one's beats: they take the long way, or are a row of
    // a pair, behind which the long way of the pair before may not have ended.
    function automatic logic keeps_long(input logic is_long, input pooling_e pooling, input logic [BANK_W-1:0] bank);
        keeps_long = is_long || (pooling == POOLING_NONE && bank != '0);
    endfunction

    typedef enum logic [2:0] {
        OP_ROW        = 3'd0,  // add one line of a row
        OP_FLUSH      = 3'd1,  // emit the accumulator (zeros when first): the bag's last key contributed nothing; or
                               // combine two running sums of a TREE
        OP_INIT       = 3'd2,  // take a vector of the init RAM: as the accumulator when first, else merge it
        OP_INVALIDATE = 3'd3,  // drop the line's data from the cache
        OP_RELEASE    = 3'd4,  // the line is neither pinned nor locked any more
        OP_PREFETCH   = 3'd5,  // bring the line into the cache; gives no beats
        OP_LOCK       = 3'd6,  // and hold it until it is looked up
        OP_PIN        = 3'd7   // and hold it until it is released
    } op_kind_e;

    function automatic logic op_is_prefetch(input op_kind_e kind);
        op_is_prefetch = kind == OP_PREFETCH || kind == OP_LOCK || kind == OP_PIN;
    endfunction

    // Only in the tag stage: it takes no place in the cache.
    function automatic logic op_is_short(input op_kind_e kind);
        op_is_short = kind == OP_INVALIDATE || kind == OP_RELEASE;
    endfunction

    // In the place of a row's number: which vector OP_INIT takes.
    typedef struct packed {
        logic [ROW_W-BEAT_W-2:0] unused;   // zero
        logic                    release_bank; // nobody needs its bank afterwards
        logic [BEAT_W-1:0]       addr;     // of its first beat in the init RAM
    } init_t;

    // One line of one row of one bag. The lines of a row follow each other without other operations between.
    typedef struct packed {
        op_kind_e            kind;
        logic [SLOT_W-1:0]   slot;
        logic [CTX_W-1:0]    ctx;
        logic [TABLE_W-1:0]  tbl;
        logic [ROW_W-1:0]    row;        // OP_INIT: init_t; combine: the running sum that is added
        logic [SEG_W-1:0]    seg;
        logic [ADDR_W-1:0]   addr;       // byte address of the line in card memory, a multiple of 64
        logic                remote;     // in the memory of another card: the owner,
        logic [7:0]          owner;      // which the table's descriptor names,
        logic [7:0]          generation; // for this generation of the table
        dtype_e              dtype;      // how the row is stored
        logic [BEAT_W-1:0]   fetch_beats; // bus beats of the line as stored, padding left out: 1 .. LINE_BEATS
        logic                header;     // the line begins with the 16-byte header of a quantised row
        logic [CHUNK_W-1:0]  chunk;      // where in the line its first vector beat lies, in chunks
        logic [BEAT_W-1:0]   beats;      // vector beats that the line gives: 1 .. LINE_BEATS << expand(dtype)
        logic [BEAT_W-1:0]   beat_base;  // the first of them within the vector
        logic [BANK_W-1:0]   bank;       // running sum of a TREE that it goes to; else 0
        logic                combine;    // of OP_FLUSH: add another running sum
        logic                product;    // of OP_ROW: times the first row of its pair; of a combine: multiply instead
        logic                first;      // nothing has been accumulated there in this bag
        logic                spaced;     // keeps the distance from the row before it in its slot
        logic                last;       // emit after this row
        logic                first_seg;  // first line of the row
        logic                last_seg;   // last line of the row
        logic [15:0]         dim;        // elements of the vector; the rest of its beats is padding
        pooling_e            pooling;
        logic                partial;
        logic                mul_then_add; // round the weighted product before adding
        logic [31:0]         weight;     // fp32; 1.0 when unweighted
        logic [CNT_W-1:0]    count;      // keys that contributed, this one included; for the division
        logic [RSP_W-1:0]    rsp_addr;   // reply buffer address of the vector's first beat
    } op_t;

    // A line that is asked of another card, and the only way in which its answer is named. 24 bytes on m_axis_remote.
    localparam int unsigned REMOTE_TAG_W = 32;

    typedef struct packed {
        logic [23:0]         unused;     // zero
        logic [ADDR_W-1:0]   addr;       // byte address of the line by the descriptor's base
        logic [7:0]          beats_m1;   // bus beats of the line as stored, less one
        logic [SEG_W-1:0]    seg;        // line within the row
        logic [ROW_W-1:0]    row;
        logic [7:0]          generation; // of the table
        logic [7:0]          owner;
        logic [15:0]         tbl;
        logic [REMOTE_TAG_W-1:0] tag;    // comes back with every beat of the answer
    } remote_line_t;

    // A row beat on its way from the cache through the pool: fixed latency, never stalled. Its data is a bus beat as stored;
    // `sub` says which chunk of it is meant.
    typedef struct packed {
        dtype_e              dtype;      // of the stored row
        logic [SUB_W-1:0]    sub;        // chunk of the stored bus beat
        logic                header;     // bits 63:0 of the stored bus beat are the row's scale and bias
        logic                bare;       // nothing but the header: no element of the vector (128-bit bus only)
        logic [SLOT_W-1:0]   slot;
        logic [CTX_W-1:0]    ctx;
        logic [BEAT_W-1:0]   beat;       // within the vector
        logic [BANK_W-1:0]   bank;       // running sum of a TREE; else 0
        logic                combine;    // no data: add to it the running sum that the next beat names
        logic                product;    // a row: acc += row * what the next beat names; combine: acc *= it
        logic                fetch;      // that beat
        logic                first;      // ignore the accumulator
        logic                load;       // OP_INIT: the data is a partial; first: taken as it is
        logic                flush;      // data is to be ignored: emit the accumulator (zeros when first)
        logic                last;       // emit
        logic                done;       // last beat of the bag's vector
        logic [15:0]         dim;        // elements of the vector; lanes beyond it come out as zeros
        pooling_e            pooling;
        logic                partial;
        logic                mul_then_add;
        logic [31:0]         weight;
        logic [CNT_W-1:0]    count;
        logic [RSP_W-1:0]    rsp_addr;   // reply buffer address of this beat
    } beat_t;

    // A table as the card sees it; decoded from the descriptor words of embnic_wire_pkg.
    // (descriptor_t itself is generated: see embnic_wire_pkg::descriptor_t.)
endpackage
`default_nettype wire
