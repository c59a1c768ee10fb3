// SPDX-License-Identifier: Apache-2.0
// Types that only the modules of the row cache share: an operation between its tag lookup and its
// consumption.
`default_nettype none
package embnic_cache_pkg;
    import embnic_wire_pkg::*;
    import embnic_pkg::*;

    localparam int unsigned KEY_W  = TABLE_W + ROW_W + SEG_W; // {table, row, seg}: the name of a line
    localparam int unsigned LINE_W = 16;                      // line of the data RAM: up to 65,536

    // Index fields are wide enough for every configuration; synthesis trims the bits that stay
    // zero.
    typedef struct packed {
        logic [KEY_W-1:0]    key;
        logic [LINE_W-1:0]   line;       // set * WAYS + way
        logic                miss;       // the line comes from card memory, through the next fetch buffer
        logic                load;       // OP_INIT
        logic                flush;      // OP_FLUSH
        logic                header;     // the line begins with the row's header
        logic [CHUNK_W-1:0]  chunk;      // of the line's first vector beat
        logic [BEAT_W-1:0]   beats_m1;   // vector beats of this line, less one
        logic [BEAT_W-1:0]   beat_base;  // the first of them within the vector
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
