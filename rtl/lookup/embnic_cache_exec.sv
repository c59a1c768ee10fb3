// SPDX-License-Identifier: Apache-2.0
// Turns operations that may go into beats for the pool, filling the cache on the way.
//
// A hit reads the data RAM; a miss reads its beats from the fetch buffer, passes them on and, when it
// has a line to fill, writes them to the data RAM in the same pass. A silent operation does the same
// without passing beats on: a prefetch. Nothing here waits for memory: an operation comes when all
// its beats are there and everything before it in its line is done (embnic_cache_order). Every beat
// in the RAM keeps the error bit that it arrived with: whoever uses it later reports it again.
//
// A stored bus beat of a row narrower than its vector holds several chunks, each of which is one
// vector beat: it is read for each of them, and written once. A header that fills a stored beat of
// its own (DATA_W = 128) leaves as one `bare` beat before the row's first.
//
// A beat of a `combine` leaves as two, one right behind the other: the running sum that is added to,
// and a `fetch` of the one that is added. So does a beat of a row with `product`: its data, and a fetch
// of the first row of its pair.
//
// Order          as received; the beats of an operation ascending.
// Back-pressure  on operations; the output cannot be stalled.
// Latency        4 cycles from an operation at the input to its first beat, when nothing is to be
//                waited for.
// Throughput     one beat per cycle, also over operations of one beat.
// Distance       beat b of a row follows beat b of the row before it in its slot by at least
//                ACC_LOOP_CYCLES (ACC_LOOP_LONG_CYCLES when that is of a quantised row), unless the
//                row does not read the accumulator (wait_slot = 0). A beat of another kind is never
//                given INT_EXTRA_CYCLES after one of a quantised row.
// Errors         a beat with an error leaves with zeros; err_valid in its cycle. So does a beat that
//                the data RAM does not give as it was written (ECC). drop_valid names the line, when
//                it was filled so or is wrong, to be looked up and dropped: one a cycle, no waiting.
//
//   E0 choose | E1 read data RAM, fetch buffer, init RAM | E2 | E3 data, write data RAM | E4 output
`default_nettype none
`include "embnic_assert.svh"
module embnic_cache_exec
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
    import embnic_cache_pkg::*;
#(
    parameter int unsigned DATA_W     = 512, // bits of a beat: 128 or 512
    parameter int unsigned LINE_BEATS = 4,   // stored beats of a line; power of two
    parameter int unsigned LINES      = 4096,// lines of the data RAM
    parameter int unsigned SLOTS      = 32,  // open bags, <= 64
    parameter int unsigned PLACES     = 512, // lines of the fetch buffer
    parameter int unsigned INIT_BEATS = 512, // of the init RAM, a power of two: INIT_BANKS banks
    parameter int unsigned RAM_STYLE  = 3,   // of the data RAM, see embnic_ram_1r1w
    parameter bit          ECC        = 1'b0,// parity of the data RAM
    localparam int unsigned ID_W = $clog2(PLACES),
    localparam int unsigned LB_W = (LINE_BEATS == 1) ? 1 : $clog2(LINE_BEATS)
) (
    input  wire logic                       clk,
    input  wire logic                       rst,
    input  wire logic [$bits(lookup_t)-1:0] s_axis_lookup_tdata,
    input  wire logic                       s_axis_lookup_tvalid,
    output      logic                       s_axis_lookup_tready, // depends on tvalid
    output      logic                       fetch_rd_en,
    output      logic [ID_W-1:0]            fetch_rd_place,
    output      logic [LB_W-1:0]            fetch_rd_beat,
    input  wire logic [DATA_W:0]            fetch_rd_data,       // {error, data}, 2 cycles after fetch_rd_en
    output      logic                       init_rd_en,
    output      logic [BEAT_W-1:0]          init_rd_addr,
    input  wire logic [DATA_W-1:0]          init_rd_data,        // 2 cycles after init_rd_en
    output      logic                       init_release,        // pulse: a bank of the init RAM has been read
    output      logic [INIT_BANK_W-1:0]     init_release_bank,
    output      logic                       started_valid,       // pulse: an operation gave its first beat
    output      logic                       ended_valid,         // pulse: an operation gave its last beat: its place is free
    output      logic [SLOT_W-1:0]          event_slot,          // of both
    output      logic                       filled_valid,        // pulse: the line is filled for whoever comes now
    output      logic [LINE_W-1:0]          filled_line,
    output      logic [STAMP_W-1:0]         filled_fills,        // the operation's stamp
    output      logic                       beat_valid,
    output      logic [$bits(beat_t)-1:0]   beat_info,           // beat_t
    output      logic [DATA_W-1:0]          beat_data,
    output      logic                       err_valid,
    output      logic [CTX_W-1:0]           err_ctx,
    output      status_e                    err_status,          // MEMORY_ERROR; REMOTE_ERROR of a line of another card
    output      logic                       silent_err_valid,    // pulse: a beat that nobody waits for has an error
    output      logic                       drop_valid,          // pulse: this line was filled with an error, or is wrong
    output      logic [KEY_W-1:0]           drop_key,
    output      logic [SLOTS-1:0]           sts_near,            // a row chosen now would not wait for its slot's accumulator
    output      logic [SLOTS-1:0]           sts_blocked,         // a row may not yet be given in this slot
    output      logic                       sts_idle,            // no beat is on its way (says nothing of the input)
    input  wire logic                       inject,              // see embnic_ram_parity
    input  wire logic [2:0]                 inject_place,
    output      logic                       evt_parity,          // a beat of the data RAM was wrong
    output      logic                       evt_injected,
    output      logic                       evt_exec_beat,       // a beat was issued
    output      logic                       evt_exec_hold        // an operation was there but had to wait
);
    if (SLOTS < 1 || SLOTS > (1 << SLOT_W)) begin : gen_bad_slots
        $fatal(1, "SLOTS must be 1 to 64");
    end
    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end

    localparam int unsigned DEPTH   = LINES * LINE_BEATS;
    localparam int unsigned RADDR_W = $clog2(DEPTH);
    localparam int unsigned WAIT_W  = $clog2(ACC_LOOP_LONG_CYCLES);
    localparam int unsigned INIT_W  = $clog2(INIT_BEATS);
    localparam bit          BARE    = DATA_W == 128;  // a row's header is a stored beat of its own

    // E0: choose

    lookup_t           head;
    init_t             where;         // of OP_INIT, in its key
    logic [1:0]        expand;
    logic [BEAT_W-1:0] number_q;      // vector beat of the operation
    logic [BEAT_W-1:0] vec_beat_q;    // of the vector, valid when number_q != 0
    logic [BEAT_W-1:0] chunk_q;       // of the line, valid when number_q != 0
    logic [BEAT_W-1:0] vec_beat, chunk, stored;
    logic [SUB_W-1:0]  sub;
    logic              header_gone_q; // the bare beat of this operation was given
    logic              fetch_q;       // the second beat of a combine or product is due
    logic              is_row, is_long, is_bare, op_start, op_end, must_wait, collides, fire, writes;
    logic              first_half, moves, vec_end;

    // Cycles in which the next row of a slot must not start. Loaded with every beat: when beat v
    // was issued in cycle t the next row may issue its beat 0 in cycle t + distance - v at the
    // earliest. The last beat of a row says the latest of these cycles, because beats of a row are
    // never closer than one cycle.
    logic [SLOTS-1:0]             blocked_q, blocked_d; // wait_q[s] != 0
    logic [SLOTS-1:0]             near_q, near_d;       // wait_q[s] <= PICK_CYCLES
    logic [SLOTS-1:0][WAIT_W-1:0] wait_q, wait_d;
    logic [WAIT_W-1:0]            wait_load;
    logic [BEAT_W-1:0]            wait_last;            // cycles less one
    logic                         wait_any;
    logic [INT_EXTRA_CYCLES:1]    long_q;               // index: cycles ago; a beat of a quantised row was issued

    assign head      = lookup_t'(s_axis_lookup_tdata);
    assign where     = init_t'(head.key[SEG_W+:ROW_W]);
    assign is_row    = !head.load && !head.flush;
    assign expand    = is_row ? dtype_expand(head.dtype) : 2'd0;
    assign is_long   = (is_row && (dtype_quantised(head.dtype) || head.product))
        || (head.combine && combine_is_long(head.pooling, head.dtype));
    assign first_half = (head.combine || head.product) && !fetch_q;
    assign moves     = fire && !is_bare && !first_half;
    assign op_start  = number_q == '0;
    assign is_bare   = BARE && head.header && op_start && !header_gone_q;
    assign vec_end   = number_q == head.beats_m1 && !is_bare;
    assign op_end    = vec_end && !first_half;
    assign vec_beat  = op_start ? head.beat_base : vec_beat_q;
    assign chunk     = op_start ? BEAT_W'(head.chunk) : chunk_q;
    assign stored    = is_bare ? '0 : chunk >> expand;
    assign writes    = head.fill && !fetch_q && (op_start || sub == '0);
    assign must_wait = op_start && !is_bare && !fetch_q && head.wait_slot
        && blocked_q[head.slot[$clog2(SLOTS > 1 ? SLOTS : 2)-1:0]];
    assign collides  = !is_long && !fetch_q && long_q[INT_EXTRA_CYCLES];
    assign fire      = s_axis_lookup_tvalid && !must_wait && !collides;

    always_comb begin
        unique case (expand)
            2'd0:    sub = '0;
            2'd1:    sub = SUB_W'(chunk[0]);
            2'd2:    sub = SUB_W'(chunk[1:0]);
            default: sub = SUB_W'(chunk[2:0]);
        endcase
    end

    assign s_axis_lookup_tready = fire && op_end;

    assign wait_last = keeps_long(is_long, head.pooling, head.bank) ? BEAT_W'(ACC_LOOP_LONG_CYCLES - 1)
                                                                    : BEAT_W'(ACC_LOOP_CYCLES - 1);
    assign wait_any  = vec_beat < wait_last;
    assign wait_load = wait_any ? WAIT_W'(wait_last - vec_beat) : '0;

    // `fire` is late: everything it chooses from is ready before it.
    always_comb begin
        for (int unsigned s = 0; s < SLOTS; s++) begin
            wait_d[s]    = wait_q[s] - WAIT_W'(blocked_q[s]);
            blocked_d[s] = wait_q[s] > WAIT_W'(1);
            near_d[s]    = wait_q[s] <= WAIT_W'(PICK_CYCLES + 1);
            if (fire && !is_bare && head.slot == SLOT_W'(s)) begin
                wait_d[s]    = wait_load;
                blocked_d[s] = wait_any;
                near_d[s]    = wait_load <= WAIT_W'(PICK_CYCLES);
            end
        end
    end

    assign sts_near    = near_q;
    assign sts_blocked = blocked_q;

    // What the pool is told.
    beat_t info;

    always_comb begin
        info.dtype        = head.dtype;
        info.sub          = (is_bare || fetch_q) ? '0 : sub;
        info.header       = head.header && op_start && (is_bare || !BARE);
        info.bare         = is_bare;
        info.slot         = head.slot;
        info.ctx          = head.ctx;
        info.beat         = vec_beat;
        info.bank         = !fetch_q ? head.bank : is_row ? PAIR_FIRST_BANK : head.key[SEG_W+:BANK_W];
        info.combine      = head.combine && !fetch_q;
        info.product      = head.product && !fetch_q;
        info.fetch        = fetch_q;
        info.first        = head.first && !fetch_q;
        info.load         = head.load;
        info.flush        = head.flush && !head.combine;
        info.last         = head.last && !fetch_q;
        info.done         = head.last && !fetch_q && head.last_seg && vec_end;
        info.dim          = head.dim;
        info.pooling      = head.pooling;
        info.partial      = head.partial;
        info.mul_then_add = head.mul_then_add;
        info.weight       = head.weight;
        info.count        = head.count;
        info.rsp_addr     = head.rsp_addr + RSP_W'(number_q);
    end

    // E1: read

    logic               e1_valid_q, e1_miss_q, e1_hit_q, e1_load_q, e1_write_q, e1_silent_q, e1_remote_q;
    beat_t              e1_info_q;
    logic [RADDR_W-1:0] e1_addr_q;
    logic [ID_W-1:0]    e1_place_q;
    logic [LB_W-1:0]    e1_stored_q;
    logic               e1_release_q;
    logic [KEY_W-1:0]   e1_key_q;
    logic [BEAT_W-1:0]  e1_init_q;     // the vector's first beat in the init RAM
    logic [DATA_W:0]    e3_ram;
    logic               e3_ram_bad;
    logic               e3_write;
    logic [RADDR_W-1:0] e3_addr;

    // The write of a fill lies two stages behind the read of a hit. An older read of the line is
    // past before; a later one is let go only after filled_valid, and then three cycles behind.
    embnic_ram_parity #(
        .WIDTH(DATA_W + 1), .DEPTH(DEPTH), .STYLE(RAM_STYLE), .OUT_REG(1'b1), .ECC(ECC)
    ) u_data_ram (
        .clk, .rst,
        .wr_en  (e3_write),
        .wr_addr(e3_addr),
        .wr_data(fetch_rd_data),
        .rd_en  (e1_hit_q),
        .rd_addr(e1_addr_q),
        .rd_data(e3_ram),
        .rd_bad (e3_ram_bad),
        .inject, .inject_place, .evt_injected
    );

    assign fetch_rd_en    = e1_miss_q;
    assign fetch_rd_place = e1_place_q;
    assign fetch_rd_beat  = e1_stored_q;
    assign init_rd_en     = e1_load_q;
    assign init_rd_addr   = e1_init_q + e1_info_q.beat;
    assign init_release   = e1_release_q;
    assign init_release_bank = e1_init_q[INIT_W-1-:INIT_BANK_W];

    // E3: data

    logic             e2_valid_q;       // for sts_idle only
    logic             e3_valid, e3_miss, e3_hit, e3_load, e3_silent, e3_remote;
    beat_t            e3_info;
    logic [KEY_W-1:0] e3_key;
    logic [DATA_W:0]  e3_word;

    embnic_delay #(.WIDTH(7), .CYCLES(2), .RESET(1'b1)) u_control (
        .clk, .rst,
        .in ({e1_valid_q, e1_miss_q, e1_hit_q, e1_load_q, e1_write_q, e1_silent_q, e1_remote_q}),
        .out({e3_valid, e3_miss, e3_hit, e3_load, e3_write, e3_silent, e3_remote})
    );
    embnic_delay #(.WIDTH($bits(beat_t)), .CYCLES(2)) u_info (.clk, .rst, .in(e1_info_q), .out(e3_info));
    embnic_delay #(.WIDTH(RADDR_W + KEY_W), .CYCLES(2)) u_fill (
        .clk, .rst, .in({e1_addr_q, e1_key_q}), .out({e3_addr, e3_key})
    );

    always_comb begin
        e3_word = '0;                                  // a flush has no data
        if (e3_miss) e3_word = fetch_rd_data;
        if (e3_hit) e3_word = {e3_ram[DATA_W] || e3_ram_bad, e3_ram[DATA_W-1:0]};
        if (e3_load) e3_word = {1'b0, init_rd_data};
    end

    // E4: output. Registers of lanes move only with a beat.

    logic              beat_valid_q, err_valid_q, err_remote_q, drop_valid_q;
    beat_t             beat_info_q;
    logic [DATA_W-1:0] beat_data_q;
    logic [KEY_W-1:0]  drop_key_q;

    assign beat_valid = beat_valid_q;
    assign beat_info  = beat_info_q;
    assign beat_data  = beat_data_q;
    assign err_valid  = err_valid_q;
    assign err_ctx    = beat_info_q.ctx;
    assign err_status = err_remote_q ? STATUS_REMOTE_ERROR : STATUS_MEMORY_ERROR;
    assign drop_valid = drop_valid_q;
    assign drop_key   = drop_key_q;
    assign sts_idle   = !e1_valid_q && !e2_valid_q && !e3_valid && !beat_valid_q;

    always_ff @(posedge clk) begin
        if (fire) begin
            e1_info_q   <= info;
            e1_addr_q   <= RADDR_W'(32'(head.line) * LINE_BEATS) | RADDR_W'(stored);
            e1_place_q  <= ID_W'(head.place);
            e1_stored_q <= LB_W'(stored);
            e1_key_q    <= head.key;
            e1_init_q   <= where.addr;
        end
        if (moves) begin
            vec_beat_q <= vec_beat + 1'b1;
            chunk_q    <= chunk + 1'b1;
        end
        if (e3_valid) begin
            beat_info_q <= e3_info;
            beat_data_q <= e3_word[DATA_W] ? '0 : e3_word[DATA_W-1:0];
            drop_key_q  <= e3_key;
            err_remote_q <= e3_remote && !(e3_hit && e3_ram_bad);
        end
        e1_silent_q  <= head.silent;
        e1_remote_q  <= head.remote;
        event_slot   <= head.slot;
        filled_line  <= head.line;
        filled_fills <= head.fills;

        if (rst) begin
            number_q      <= '0;
            header_gone_q <= 1'b0;
            fetch_q       <= 1'b0;
            wait_q        <= '0;
            blocked_q     <= '0;
            near_q        <= '1;
            long_q        <= '0;
            e1_valid_q    <= 1'b0;
            e1_miss_q     <= 1'b0;
            e1_hit_q      <= 1'b0;
            e1_load_q     <= 1'b0;
            e1_write_q    <= 1'b0;
            e1_release_q  <= 1'b0;
            e2_valid_q    <= 1'b0;
            beat_valid_q  <= 1'b0;
            silent_err_valid <= 1'b0;
            err_valid_q   <= 1'b0;
            drop_valid_q  <= 1'b0;
            evt_parity    <= 1'b0;
            started_valid <= 1'b0;
            ended_valid   <= 1'b0;
            filled_valid  <= 1'b0;
            evt_exec_beat <= 1'b0;
            evt_exec_hold <= 1'b0;
        end else begin
            if (fire) header_gone_q <= is_bare;
            if (fire) fetch_q <= first_half;
            if (moves) number_q <= op_end ? '0 : number_q + 1'b1;
            wait_q        <= wait_d;
            blocked_q     <= blocked_d;
            near_q        <= near_d;
            long_q        <= {long_q[INT_EXTRA_CYCLES-1:1], fire && is_long && !is_bare && !fetch_q};
            e1_valid_q    <= fire;
            e1_miss_q     <= fire && head.miss && !fetch_q;
            e1_hit_q      <= fire && is_row && !head.miss && !fetch_q;
            e1_load_q     <= fire && head.load;
            e1_write_q    <= fire && writes;
            e1_release_q  <= fire && head.load && where.release_bank && head.last_seg && op_end;
            e2_valid_q    <= e1_valid_q;
            beat_valid_q  <= e3_valid && !e3_silent;
            err_valid_q   <= e3_valid && e3_word[DATA_W] && !e3_silent;
            silent_err_valid <= e3_valid && e3_word[DATA_W] && e3_silent;
            drop_valid_q  <= (e3_write && fetch_rd_data[DATA_W]) || (e3_hit && e3_ram_bad);
            evt_parity    <= e3_hit && e3_ram_bad;
            started_valid <= fire && op_start && !is_bare && !fetch_q;
            ended_valid   <= fire && op_end;
            filled_valid  <= fire && op_end && head.fill;
            evt_exec_beat <= fire;
            evt_exec_hold <= s_axis_lookup_tvalid && !fire;
        end
    end

    // The count of reads is the scheduler's.
    wire unused = &{1'b0, head, where};

    // Assertions
    `EMBNIC_STABLE(lookup_stable, s_axis_lookup_tvalid, s_axis_lookup_tready, s_axis_lookup_tdata,
        "an operation holds until it is consumed")
    `EMBNIC_ASSUME(beats_legal, !(s_axis_lookup_tvalid && is_row) || stored < BEAT_W'(LINE_BEATS),
        "a row's beats lie within its line")
    `EMBNIC_ASSUME(slot_legal, !s_axis_lookup_tvalid || 32'(head.slot) < SLOTS,
        "a slot is below SLOTS")
    `EMBNIC_ASSUME(kind_legal, !s_axis_lookup_tvalid || 2'(head.miss) + 2'(head.load) + 2'(head.flush) <= 2'd1,
        "an operation is of one kind")
    `EMBNIC_ASSUME(fill_legal, !(s_axis_lookup_tvalid && head.fill) || head.miss,
        "what is filled came from memory")
    `EMBNIC_NEVER(pair_parted, fetch_q && !fire, "the two beats of a combine or product follow each other")
    `EMBNIC_ASSUME(product_legal, !(s_axis_lookup_tvalid && head.product && is_row) || !dtype_quantised(head.dtype),
        "quantised rows are multiplied as running sums")
    `EMBNIC_NEVER(read_before_write, e3_write && e1_hit_q && e1_addr_q == e3_addr,
        "a read of a line comes after its fill was written")
    `EMBNIC_KNOWN(beat_known, beat_valid, "beat_valid is known after reset")
    `EMBNIC_COVER(waited, s_axis_lookup_tvalid && must_wait, "a row waits for its slot")
    `EMBNIC_COVER(collided, s_axis_lookup_tvalid && collides, "a beat gives way to one of a quantised row")
    `EMBNIC_COVER(error, err_valid, "a beat with an error leaves")
    `EMBNIC_COVER(product_filled, fire && head.product && head.fill && op_end, "a row of a product fills its line")
endmodule
`default_nettype wire
