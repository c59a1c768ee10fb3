// SPDX-License-Identifier: Apache-2.0
// Consumes looked-up operations in order: turns each into beats for the pool, filling the cache on
// the way.
//
// A hit reads the data RAM; a miss takes its beats from the fetch stream, passes them on and writes
// them to the data RAM in the same pass. Both touch the RAM in the same stage (E1), one beat per
// cycle, so a hit right behind the fill of its line reads what was written, and a read never meets
// a write of the same cycle. Every beat in the RAM keeps the error bit that it arrived with:
// whoever uses it later reports it again.
//
// Order          as received; the beats of an operation ascending.
// Back-pressure  on operations and fills; the output cannot be stalled.
// Latency        4 cycles from an operation at the input to its first beat, when nothing is to be
//                waited for.
// Throughput     one beat per cycle, also over operations of one beat.
// Distance       beat b of a row follows beat b of the row before it in its slot by at least
//                ACC_LOOP_CYCLES, unless the row does not read the accumulator (wait_slot = 0).
// Errors         a beat with an error leaves with zeros; err_valid in its cycle. drop_valid names
//                the line, when it was filled so, to be looked up and dropped: one a cycle, no
//                waiting.
//
//   E0 choose, take fill | E1 RAM, init RAM address | E2 | E3 data | E4 output
`default_nettype none
`include "embnic_assert.svh"
module embnic_cache_exec
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
    import embnic_cache_pkg::*;
#(
    parameter int unsigned DATA_W     = 512, // bits of a beat
    parameter int unsigned LINE_BEATS = 4,   // beats of a line; power of two
    parameter int unsigned LINES      = 4096,// lines of the data RAM
    parameter int unsigned SLOTS      = 32,  // open bags, <= 64
    parameter int unsigned RAM_STYLE  = 3    // of the data RAM, see embnic_ram_1r1w
) (
    input  wire logic                       clk,
    input  wire logic                       rst,
    input  wire logic [$bits(lookup_t)-1:0] s_axis_lookup_tdata,
    input  wire logic                       s_axis_lookup_tvalid,
    output      logic                       s_axis_lookup_tready,
    input  wire logic [DATA_W:0]            s_axis_fill_tdata,   // {error, data}
    input  wire logic                       s_axis_fill_tlast,   // last beat of its line
    input  wire logic                       s_axis_fill_tvalid,
    output      logic                       s_axis_fill_tready,  // depends on both tvalid
    output      logic                       init_rd_en,
    output      logic [BEAT_W-1:0]          init_rd_addr,
    input  wire logic [DATA_W-1:0]          init_rd_data,        // 2 cycles after init_rd_en
    output      logic                       init_release,        // pulse: the init RAM has been read
    output      logic                       beat_valid,
    output      logic [$bits(beat_t)-1:0]   beat_info,           // beat_t
    output      logic [DATA_W-1:0]          beat_data,
    output      logic                       err_valid,
    output      logic [CTX_W-1:0]           err_ctx,
    output      status_e                    err_status,          // MEMORY_ERROR
    output      logic                       drop_valid,          // pulse: this line was filled with an error
    output      logic [KEY_W-1:0]           drop_key,
    output      logic                       sts_idle,            // no beat is on its way (says nothing of the input)
    output      logic                       evt_exec_beat,       // of these four exactly one per cycle: a beat was issued,
    output      logic                       evt_exec_empty,      // there was no operation,
    output      logic                       evt_exec_fetch,      // its fill has not arrived,
    output      logic                       evt_exec_hazard      // its slot's accumulator is not ready
);
    if (SLOTS < 1 || SLOTS > (1 << SLOT_W)) begin : gen_bad_slots
        $fatal(1, "SLOTS must be 1 to 64");
    end

    localparam int unsigned LB_W    = (LINE_BEATS == 1) ? 1 : $clog2(LINE_BEATS);
    localparam int unsigned DEPTH   = LINES * LINE_BEATS;
    localparam int unsigned RADDR_W = $clog2(DEPTH);
    localparam int unsigned WAIT_W  = $clog2(ACC_LOOP_LONG_CYCLES);

    // E0: choose

    lookup_t           head;
    localparam int unsigned CHUNKS_W = LB_W + 3;  // chunks of a line: LINE_BEATS << 3 at most
    localparam bit          BARE     = DATA_W == 128;  // a header fills a bus beat

    logic [BEAT_W-1:0]   number_q;    // vector beats given of this operation
    logic                bare_q;      // its header was given
    logic [CHUNKS_W-1:0] chunk_q;     // of the next vector beat, valid when number_q != 0
    logic [BEAT_W-1:0]   vec_beat_q;  // beat of the vector, valid when number_q != 0
    logic [BEAT_W-1:0]   vec_beat;
    logic [1:0]          expand;
    logic [CHUNKS_W-1:0] chunk;
    logic [LB_W-1:0]     stored;      // bus beat of the line
    logic [SUB_W-1:0]    sub;
    logic                is_bare, stored_end, is_long, collide;
    logic              is_miss, is_hit, op_start, op_end, must_wait, no_fill, fire;

    logic [INT_EXTRA_CYCLES:1] long_q;  // index: cycles ago; a beat of a long format was issued

    // Cycles in which the next row of a slot must not start. Loaded with every beat: when beat v
    // was issued in cycle t the next row may issue its beat 0 in cycle t + ACC_LOOP_CYCLES - v at
    // the earliest. The last beat of a row says the latest of these cycles, because beats of a row
    // are never closer than one cycle.
    logic [SLOTS-1:0]             blocked_q, blocked_d; // wait_q[s] != 0
    logic [SLOTS-1:0][WAIT_W-1:0] wait_q, wait_d;
    logic [WAIT_W-1:0]            wait_load;
    logic [BEAT_W-1:0]            wait_last;
    logic                         wait_any;

    assign head      = lookup_t'(s_axis_lookup_tdata);
    assign is_miss   = head.miss;
    assign is_hit    = !head.miss && !head.load && !head.flush;
    assign op_start  = number_q == '0 && !bare_q;
    assign is_bare   = BARE && head.header && op_start;
    assign op_end    = number_q == head.beats_m1 && !is_bare;
    assign expand    = dtype_expand(head.dtype);
    assign chunk     = number_q == '0 ? CHUNKS_W'(head.chunk) : chunk_q;
    assign stored    = is_bare ? '0 : LB_W'(chunk >> expand);
    assign sub       = SUB_W'(chunk) & ~(SUB_W'('1) << expand);
    assign stored_end = is_bare || op_end || sub == ~(SUB_W'('1) << expand);
    assign vec_beat  = number_q == '0 ? head.beat_base : vec_beat_q;
    assign must_wait = op_start && head.wait_slot && blocked_q[head.slot[$clog2(SLOTS > 1 ? SLOTS : 2)-1:0]];
    assign no_fill   = is_miss && !s_axis_fill_tvalid;
    assign fire      = s_axis_lookup_tvalid && !must_wait && !no_fill && !collide;

    assign s_axis_lookup_tready = fire && op_end;
    assign s_axis_fill_tready   = fire && is_miss && stored_end;

    assign wait_last = BEAT_W'((is_long ? ACC_LOOP_LONG_CYCLES : ACC_LOOP_CYCLES) - 1);
    assign wait_load = wait_any ? WAIT_W'(wait_last - vec_beat) : '0;
    assign wait_any  = vec_beat < wait_last;
    assign is_long   = !head.load && !head.flush && dtype_quantised(head.dtype);
    assign collide   = !is_long && long_q[INT_EXTRA_CYCLES];

    // `fire` is late: everything it chooses from is ready before it.
    always_comb begin
        for (int unsigned s = 0; s < SLOTS; s++) begin
            wait_d[s]    = wait_q[s] - WAIT_W'(blocked_q[s]);
            blocked_d[s] = wait_q[s] > WAIT_W'(1);
            if (fire && head.slot == SLOT_W'(s)) begin
                wait_d[s]    = wait_load;
                blocked_d[s] = wait_any;
            end
        end
    end

    // What the pool is told; its order of fields is beat_t's.
    beat_t info;

    always_comb begin
        info.dtype        = head.dtype;
        info.sub          = sub;
        info.header       = head.header && op_start;
        info.bare         = is_bare;
        info.slot         = head.slot;
        info.ctx          = head.ctx;
        info.beat         = vec_beat;
        info.first        = head.first;
        info.load         = head.load;
        info.flush        = head.flush;
        info.last         = head.last;
        info.done         = head.last && head.last_seg && op_end;
        info.dim          = head.dim;
        info.pooling      = head.pooling;
        info.partial      = head.partial;
        info.mul_then_add = head.mul_then_add;
        info.weight       = head.weight;
        info.count        = head.count;
        info.rsp_addr     = head.rsp_addr + RSP_W'(number_q);
    end

    // E1: RAM

    logic               e1_valid_q, e1_miss_q, e1_hit_q, e1_load_q;
    beat_t              e1_info_q;
    logic [RADDR_W-1:0] e1_addr_q;
    logic [DATA_W:0]    e1_fill_q;
    logic               e1_release_q, e1_drop_q;
    logic [KEY_W-1:0]   e1_key_q;
    logic [DATA_W:0]    e3_ram;

    embnic_ram_1r1w #(.WIDTH(DATA_W + 1), .DEPTH(DEPTH), .STYLE(RAM_STYLE), .OUT_REG(1'b1)) u_data_ram (
        .clk,
        .wr_en  (e1_miss_q),
        .wr_addr(e1_addr_q),
        .wr_data(e1_fill_q),
        .rd_en  (e1_hit_q),
        .rd_addr(e1_addr_q),
        .rd_data(e3_ram)
    );

    assign init_rd_en   = e1_load_q;
    assign init_rd_addr = e1_info_q.beat;
    assign init_release = e1_release_q;
    assign drop_valid   = e1_drop_q;
    assign drop_key     = e1_key_q;

    // E3: data

    logic            e3_valid, e3_miss, e3_hit, e3_load;
    beat_t           e3_info;
    logic [DATA_W:0] e3_fill, e3_word;

    embnic_delay #(.WIDTH(4), .CYCLES(2), .RESET(1'b1)) u_control (
        .clk, .rst,
        .in ({e1_valid_q, e1_miss_q, e1_hit_q, e1_load_q}),
        .out({e3_valid, e3_miss, e3_hit, e3_load})
    );
    embnic_delay #(.WIDTH($bits(beat_t)), .CYCLES(2)) u_info (.clk, .rst, .in(e1_info_q), .out(e3_info));
    embnic_delay #(.WIDTH(DATA_W + 1), .CYCLES(2)) u_fill (.clk, .rst, .in(e1_fill_q), .out(e3_fill));

    // e3_valid of the stage in between, for sts_idle only.
    logic e2_valid_q;

    always_comb begin
        e3_word = '0;                                  // a flush has no data
        if (e3_miss) e3_word = e3_fill;
        if (e3_hit) e3_word = e3_ram;
        if (e3_load) e3_word = {1'b0, init_rd_data};
    end

    // E4: output. Registers of lanes move only with a beat.

    logic              beat_valid_q, err_valid_q;
    beat_t             beat_info_q;
    logic [DATA_W-1:0] beat_data_q;

    assign beat_valid = beat_valid_q;
    assign beat_info  = beat_info_q;
    assign beat_data  = beat_data_q;
    assign err_valid  = err_valid_q;
    assign err_ctx    = beat_info_q.ctx;
    assign err_status = STATUS_MEMORY_ERROR;
    assign sts_idle   = !e1_valid_q && !e2_valid_q && !e3_valid && !beat_valid_q;

    always_ff @(posedge clk) begin
        if (fire) begin
            e1_info_q  <= info;
            e1_addr_q  <= RADDR_W'(32'(head.line) * LINE_BEATS) | RADDR_W'(stored);
            e1_key_q   <= head.key;
            vec_beat_q <= vec_beat + BEAT_W'(!is_bare);
            chunk_q    <= chunk + CHUNKS_W'(!is_bare);
        end
        if (fire && is_miss) e1_fill_q <= s_axis_fill_tdata;
        if (e3_valid) begin
            beat_info_q <= e3_info;
            beat_data_q <= e3_word[DATA_W] ? '0 : e3_word[DATA_W-1:0];
        end

        if (rst) begin
            number_q        <= '0;
            bare_q          <= 1'b0;
            wait_q          <= '0;
            blocked_q       <= '0;
            e1_valid_q      <= 1'b0;
            e1_miss_q       <= 1'b0;
            e1_hit_q        <= 1'b0;
            e1_load_q       <= 1'b0;
            e1_release_q    <= 1'b0;
            e1_drop_q       <= 1'b0;
            e2_valid_q      <= 1'b0;
            beat_valid_q    <= 1'b0;
            err_valid_q     <= 1'b0;
            evt_exec_beat   <= 1'b0;
            evt_exec_empty  <= 1'b0;
            evt_exec_fetch  <= 1'b0;
            evt_exec_hazard <= 1'b0;
            long_q          <= '0;
        end else begin
            if (fire) number_q <= op_end ? '0 : number_q + BEAT_W'(!is_bare);
            if (fire) bare_q <= !op_end && (bare_q || is_bare);
            wait_q          <= wait_d;
            blocked_q       <= blocked_d;
            e1_valid_q      <= fire;
            e1_miss_q       <= fire && is_miss;
            e1_hit_q        <= fire && is_hit;
            e1_load_q       <= fire && head.load;
            e1_release_q    <= fire && head.load && head.last_seg && op_end;
            e1_drop_q       <= fire && is_miss && s_axis_fill_tdata[DATA_W];
            e2_valid_q      <= e1_valid_q;
            beat_valid_q    <= e3_valid;
            err_valid_q     <= e3_valid && e3_word[DATA_W];
            evt_exec_beat   <= fire;
            evt_exec_empty  <= !s_axis_lookup_tvalid;
            evt_exec_fetch  <= s_axis_lookup_tvalid && no_fill;
            evt_exec_hazard <= s_axis_lookup_tvalid && !no_fill && (must_wait || collide);
            long_q          <= {long_q[INT_EXTRA_CYCLES-1:1], fire && is_long};
        end
    end

    // Assertions
    `EMBNIC_STABLE(lookup_stable, s_axis_lookup_tvalid, s_axis_lookup_tready, s_axis_lookup_tdata,
        "an operation holds until it is consumed")
    `EMBNIC_ASSUME(beats_legal, !s_axis_lookup_tvalid || 32'(head.chunk) + 32'(head.beats_m1) <
        (LINE_BEATS << expand),
        "an operation's chunks lie in its line")
    `EMBNIC_ASSUME(slot_legal, !s_axis_lookup_tvalid || 32'(head.slot) < SLOTS,
        "a slot is below SLOTS")
    `EMBNIC_ASSERT(fill_matches, !(s_axis_fill_tready && s_axis_fill_tvalid) || s_axis_fill_tlast
        == op_end,
        "fills and misses are of equal length, in step")
    `EMBNIC_NEVER(collision, e1_miss_q && e1_hit_q,
        "the data RAM is read or written in one cycle, never both")
    `EMBNIC_KNOWN(beat_known, beat_valid, "beat_valid is known after reset")
    `EMBNIC_COVER(waited, s_axis_lookup_tvalid && must_wait, "a row waits for its slot")
    `EMBNIC_COVER(error, err_valid, "a beat with an error leaves")
endmodule
`default_nettype wire
