// SPDX-License-Identifier: Apache-2.0
// Types that only the modules of the row cache share: an operation between its tag lookup and its
// consumption.
`default_nettype none
package embnic_cache_pkg;
    import embnic_wire_pkg::*;
    import embnic_pkg::*;

    localparam int unsigned KEY_W   = TABLE_W + ROW_W + SEG_W; // {table, row, seg}: the name of a line
    localparam int unsigned LINE_W  = 16;                      // line of the data RAM: up to 65,536
    localparam int unsigned PLACE_W = 11;                      // place of an operation: {slot, position}, up to 2,048
    localparam int unsigned STAMP_W = PLACE_W;                 // what is counted of a line, modulo the number of places

    localparam int unsigned FREQ_W  = 4;                       // how often a line was looked up lately, saturated
    localparam int unsigned WAYS_W  = 4;                       // a number of ways, up to 8

    // What the tag stage is to do with a key. TAG_DROP and TAG_RELEASE leave the pseudo-LRU order alone.
    typedef enum logic [2:0] {
        TAG_DROP    = 3'd0,  // the data is void: of a pinned line the way stays its own
        TAG_LOOK    = 3'd1,  // look it up, allocate it when absent; a lock ends with it
        TAG_RELEASE = 3'd2,  // neither pinned nor locked any more
        TAG_FETCH   = 3'd3,  // as TAG_LOOK, without asking the filter, without ending a lock
        TAG_LOCK    = 3'd4,  // as TAG_FETCH, and hold it until it is looked up
        TAG_PIN     = 3'd5   // as TAG_FETCH, and hold it until it is released
    } tag_cmd_e;

    // Cycles from the choice of a slot by embnic_cache_sched to its operation at embnic_cache_exec.
    localparam int unsigned PICK_CYCLES = 6;

    // Index fields are wide enough for every configuration; synthesis trims the bits that stay
    // zero.
    typedef struct packed {
        logic [KEY_W-1:0]    key;
        logic [LINE_W-1:0]   line;       // set * WAYS + way
        logic [PLACE_W-1:0]  place;      // in its slot's ring, and of its beats in the fetch buffer
        logic [STAMP_W-1:0]  fills;      // fills of the line issued before it; a hit needs them done
        logic [STAMP_W-1:0]  reads;      // reads of the line issued before it; a fill needs them done
        logic                miss;       // the line comes from card memory
        logic                remote;     // or another card's
        logic                fill;       // and fills its place in the data RAM; else it is given and forgotten
        logic                silent;     // nobody waits for its beats: a prefetch
        logic                load;       // OP_INIT
        logic                flush;      // OP_FLUSH
        logic [BANK_W-1:0]   bank;
        logic                combine;    // of OP_FLUSH; the other running sum is in the place of its key's row
        logic                product;    // of a row, or of a combine: see op_t
        logic                header;     // stored beat 0 begins with the header of a quantised row
        logic [CHUNK_W-1:0]  chunk;      // of the line, at which its first vector beat lies
        logic [BEAT_W-1:0]   beats_m1;   // vector beats of this line, less one
        logic [BEAT_W-1:0]   beat_base;  // first vector beat of this line
        logic                wait_slot;  // reads what an earlier row left in the slot's accumulator: keep the distance
        logic                last_seg;
        logic [SLOT_W-1:0]   slot;
        logic [CTX_W-1:0]    ctx;
        logic                first;
        logic                last;
        logic [15:0]         dim;
        dtype_e              dtype;
        pooling_e            pooling;
        logic                partial;
        logic                mul_then_add;
        logic [31:0]         weight;
        logic [CNT_W-1:0]    count;
        logic [RSP_W-1:0]    rsp_addr;   // of the line's first beat
    } lookup_t;
endpackage
`default_nettype wire
