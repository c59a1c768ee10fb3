// SPDX-License-Identifier: Apache-2.0
// Adds the gradients of each row of a batch on chip, and changes every row once.
//
// Meaning        the j-th gradient of a row is added to its running sum j mod BANKS, from +0. At the end of the
//                batch the sums that hold one are added pairwise, a distance of BANKS / 2 first, then half of it,
//                down to 1: the row's gradient g. cfg_rule GRAD_SUM: the row leaves as g. GRAD_SGD: as
//                fma(-cfg_rate, g, w), w being what s_axis_row brings. GRAD_ADAGRAD:
//                h = h + m / cfg_dim, fma(-(cfg_rate / (sqrt(h) + cfg_epsilon)), g, w); m is the sum of squares
//                of g: those of a beat pairwise (lane l and l + LANES / 2 first), beats in order from +0.
//                Lanes from element cfg_dim on leave as zeros.
// Order          rows leave in the order of their first gradients; so do m_axis_fetch (their names), which asks for
//                s_axis_state (h) and s_axis_row, and m_axis_state (the new h). One m_axis_done a batch, last.
// Back-pressure  any cycle, all sides; nothing is lost. s_axis_row_tready follows s_axis_row_tvalid.
// Latency        from a batch's last beat to its first row: BANKS * rows cycles and about 30; see Throughput.
// Throughput     one gradient beat per cycle, whatever the rows, when BANKS * cfg_beats >= LOOP (9): two
//                gradients of one row meet the same sum only BANKS gradients apart. Else a beat waits where it
//                must (evt_wait). Then log2(BANKS) passes of a cycle a row, and cfg_beats more for each pair of
//                sums; for GRAD_ADAGRAD a pass of max(rows, LOOP) cycles a beat and about 41 cycles a row; and one beat
//                of a row per cycle.
// Errors         a gradient for which no place is left (all WAYS of its set hold other rows) refuses the whole
//                batch: no row leaves, m_axis_done counts the gradients refused. So does a batch that ends
//                within a gradient.
// Not handled    cfg_beats outside 1 .. MAX_BEATS, cfg_dim 0; configuration that changes within a batch.
//
//   0 tags read | 1 compare | 2 sums read | 4 operands | 10 sum | 11 it can be read again
`default_nettype none
`include "embnic_assert.svh"
module embnic_grad_accumulate
    import embnic_pkg::FMA_STAGES, embnic_pkg::ADD_STAGES, embnic_pkg::FMA_C_DELAY;
#(
    parameter int unsigned DATA_W     = 512,  // bits of a beat: a power of two, 64 to 512
    parameter int unsigned MAX_BEATS  = 8,    // of a row; power of two, 2 to 64
    parameter int unsigned SETS       = 128,  // of the row names; power of two, 2 to 1024
    parameter int unsigned WAYS       = 8,    // of a set, 2 to 16; SETS * WAYS rows a batch at most
    parameter int unsigned BANKS      = 4,    // running sums of a row: 2, 4, 8 or 16
    parameter int unsigned RAM_STYLE  = 0,    // of the sums, see embnic_ram_1r1w
    localparam int unsigned KEY_W     = 63,   // name of a row: table 15, row 48
    localparam int unsigned NBEAT_W   = $clog2(MAX_BEATS + 1)
) (
    input  wire logic               clk,
    input  wire logic               rst,
    input  wire logic [DATA_W-1:0]  s_axis_grad_tdata,   // fp32 lanes, zeros behind the row's end
    input  wire logic [KEY_W-1:0]   s_axis_grad_tuser,   // the row
    input  wire logic               s_axis_grad_tvalid,
    output      logic               s_axis_grad_tready,
    input  wire logic               s_axis_grad_tlast,   // of the batch
    output      logic [KEY_W-1:0]   m_axis_fetch_tdata,  // a row of the batch
    output      logic               m_axis_fetch_tvalid,
    input  wire logic               m_axis_fetch_tready,
    input  wire logic [31:0]        s_axis_state_tdata,  // its state; GRAD_ADAGRAD
    input  wire logic               s_axis_state_tvalid,
    output      logic               s_axis_state_tready,
    input  wire logic [DATA_W-1:0]  s_axis_row_tdata,    // its beats; GRAD_SGD, GRAD_ADAGRAD
    input  wire logic               s_axis_row_tvalid,
    output      logic               s_axis_row_tready,
    output      logic [31:0]        m_axis_state_tdata,
    output      logic               m_axis_state_tvalid,
    input  wire logic               m_axis_state_tready,
    output      logic [DATA_W-1:0]  m_axis_row_tdata,
    output      logic [KEY_W-1:0]   m_axis_row_tuser,    // the row
    output      logic               m_axis_row_tvalid,
    input  wire logic               m_axis_row_tready,
    output      logic               m_axis_row_tlast,    // of the row
    output      logic [63:0]        m_axis_done_tdata,   // gradients refused 63:32, rows that left 31:0
    output      logic               m_axis_done_tvalid,
    input  wire logic               m_axis_done_tready,
    input  wire logic [1:0]         cfg_rule,            // 0 GRAD_SUM, 1 GRAD_SGD, 2 GRAD_ADAGRAD
    input  wire logic [NBEAT_W-1:0] cfg_beats,           // of a row
    input  wire logic [15:0]        cfg_dim,             // elements of a row
    input  wire logic [31:0]        cfg_rate,            // fp32
    input  wire logic [31:0]        cfg_epsilon,         // fp32
    output      logic               sts_idle,            // nothing is under way
    output      logic               evt_wait,            // a beat waits for a sum that is on its way
    output      logic               evt_refused          // a gradient found no place
);
    localparam int unsigned LANES   = DATA_W / 32;
    localparam int unsigned ROWS    = SETS * WAYS;
    localparam int unsigned ROW_W   = $clog2(ROWS);
    localparam int unsigned ROWS_W  = $clog2(ROWS + 1);
    localparam int unsigned SET_W   = $clog2(SETS);
    localparam int unsigned BEAT_W  = $clog2(MAX_BEATS);
    localparam int unsigned BANK_W  = $clog2(BANKS);
    localparam int unsigned HELD_W  = BANK_W + 1;
    localparam int unsigned PLACE_W = ROW_W + BEAT_W;
    localparam int unsigned OPERAND = 2;                    // cycles from the read of a sum to its use
    localparam int unsigned LOOP    = OPERAND + ADD_STAGES + 1;
    localparam int unsigned LEVELS  = $clog2(LANES);
    localparam int unsigned OUT     = 32;                   // beats between the last read and the output

    localparam logic [1:0]  GRAD_SUM     = 2'd0;
    localparam logic [1:0]  GRAD_ADAGRAD = 2'd2;
    localparam logic [31:0] FP32_ONE     = 32'h3F80_0000;
    localparam logic [31:0] MINUS_ZERO   = 32'h8000_0000;

    if (DATA_W < 64 || DATA_W > 512 || (DATA_W & (DATA_W - 1)) != 0) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be a power of two, 64 to 512");
    end
    if (MAX_BEATS < 2 || MAX_BEATS > 64 || (MAX_BEATS & (MAX_BEATS - 1)) != 0) begin : gen_bad_beats
        $fatal(1, "MAX_BEATS must be a power of two, 2 to 64");
    end
    if (SETS < 2 || SETS > 1024 || (SETS & (SETS - 1)) != 0) begin : gen_bad_sets
        $fatal(1, "SETS must be a power of two, 2 to 1024");
    end
    if (WAYS < 2 || WAYS > 16) begin : gen_bad_ways
        $fatal(1, "WAYS must be 2 to 16");
    end
    if (SETS * WAYS < 16) begin : gen_bad_rows
        $fatal(1, "SETS * WAYS must be 16 at least");
    end
    if (BANKS < 2 || BANKS > 16 || (BANKS & (BANKS - 1)) != 0) begin : gen_bad_banks
        $fatal(1, "BANKS must be 2, 4, 8 or 16");
    end

    // ---------------------------------------------------------------------------------------------
    // What happens to a batch
    // ---------------------------------------------------------------------------------------------
    typedef enum logic [2:0] {
        CLEAR,    // forget the names, a set a cycle
        TAKE,     // gradients come
        SETTLE,   // the last ones reach their sums' RAM and the counts of their rows
        COMBINE,  // pairs of running sums are added
        SQUARES,  // of the sums
        GIVE,     // rows leave
        DONE
    } state_e;

    state_e            state_q;
    logic [SET_W-1:0]  clear_q;
    logic [ROWS_W-1:0] rows_q;       // of the batch
    logic [31:0]       refused_q;
    logic [2:0]        settle_q;
    logic              adagrad;
    logic              walk_done;    // the walk over the sums has begun its last step

    assign adagrad = cfg_rule == GRAD_ADAGRAD;

    // ---------------------------------------------------------------------------------------------
    // 0: a beat comes; of the first beat of a gradient the names of its set are read
    // ---------------------------------------------------------------------------------------------
    typedef struct packed {
        logic              valid;
        logic              full;     // every running sum holds a gradient
        logic [BANK_W-1:0] next;     // running sum of the next gradient
        logic [ROW_W-1:0]  row;      // in the order of first gradients
        logic [KEY_W-1:0]  key;
    } name_t;

    function automatic logic [SET_W-1:0] set_of(logic [KEY_W-1:0] key);
        set_of = '0;
        for (int unsigned i = 0; i < KEY_W; i++) set_of[i % SET_W] ^= key[i];
    endfunction

    logic               advance, take;
    logic [BEAT_W-1:0]  in_beat_q;
    logic [SET_W-1:0]   in_set;
    logic               s1_valid_q, s1_head_q;  // head: first beat of a gradient
    logic               s1_cut_q;               // the batch ends within it
    logic [BEAT_W-1:0]  s1_beat_q;
    logic [KEY_W-1:0]   s1_key_q;
    logic [SET_W-1:0]   s1_set_q;
    logic [DATA_W-1:0]  s1_data_q;

    assign s_axis_grad_tready = state_q == TAKE && advance;
    assign take               = s_axis_grad_tvalid && s_axis_grad_tready;
    assign in_set             = set_of(s_axis_grad_tuser);

    always_ff @(posedge clk) begin
        if (advance) begin
            s1_head_q <= in_beat_q == '0;
            s1_cut_q  <= s_axis_grad_tlast && NBEAT_W'(in_beat_q) + NBEAT_W'(1) != cfg_beats;
            s1_beat_q <= in_beat_q;
            s1_key_q  <= s_axis_grad_tuser;
            s1_set_q  <= in_set;
            s1_data_q <= s_axis_grad_tdata;
        end
        if (rst) begin
            in_beat_q  <= '0;
            s1_valid_q <= 1'b0;
        end else begin
            if (advance) s1_valid_q <= take;
            if (take) begin
                in_beat_q <= in_beat_q + BEAT_W'(1);
                if (NBEAT_W'(in_beat_q) + NBEAT_W'(1) == cfg_beats || s_axis_grad_tlast) in_beat_q <= '0;
            end
        end
    end

    // ---------------------------------------------------------------------------------------------
    // 1: compare; the only loop of the names: a set read one cycle after another beat changed it
    // ---------------------------------------------------------------------------------------------
    name_t [WAYS-1:0]            names, names_ram, names_next, last_names_q;
    logic [WAYS*$bits(name_t)-1:0] names_data;
    logic [SET_W-1:0]            last_set_q;
    logic                        last_valid_q;
    logic [WAYS-1:0]             same, unused, chosen;
    logic                        hit, fits, s1_fire;
    name_t                       mine;
    logic                        s2_valid_q, s2_known_q, s2_full_q;
    logic [BANK_W-1:0]           s2_bank_q;
    logic [ROW_W-1:0]            s2_row_q;
    logic [BEAT_W-1:0]           s2_beat_q;
    logic                        s2_head_q;
    logic [DATA_W-1:0]           s2_data_q;

    embnic_ram_1r1w #(.WIDTH(WAYS * $bits(name_t)), .DEPTH(SETS)) u_names (
        .clk,
        .wr_en  (state_q == CLEAR || (s1_fire && s1_head_q && fits)),
        .wr_addr((state_q == CLEAR) ? clear_q : s1_set_q),
        .wr_data((state_q == CLEAR) ? '0 : names_next),
        .rd_en  (take && in_beat_q == '0),
        .rd_addr(in_set),
        .rd_data(names_data)
    );

    assign names_ram = names_data;
    assign names     = (last_valid_q && last_set_q == s1_set_q) ? last_names_q : names_ram;
    assign s1_fire   = s1_valid_q && advance;
    assign hit       = same != '0;
    assign fits      = hit || unused != '0;
    assign chosen    = hit ? same : unused & (~unused + WAYS'(1));  // the lowest unused way

    always_comb begin
        for (int unsigned way = 0; way < WAYS; way++) begin
            same[way]   = names[way].valid && names[way].key == s1_key_q;
            unused[way] = !names[way].valid;
        end
    end

    always_comb begin
        mine = '{valid: 1'b1, full: 1'b0, next: '0, row: rows_q[ROW_W-1:0], key: s1_key_q};
        for (int unsigned way = 0; way < WAYS; way++) if (same[way]) mine = names[way];
        names_next = names;
        for (int unsigned way = 0; way < WAYS; way++) begin
            if (chosen[way]) begin
                names_next[way]      = mine;
                names_next[way].next = mine.next + BANK_W'(1);
                names_next[way].full = mine.full || mine.next == '1;
            end
        end
    end

    always_ff @(posedge clk) begin
        if (s1_fire && s1_head_q && fits) begin
            last_names_q <= names_next;
            last_set_q   <= s1_set_q;
        end
        if (advance) begin
            s2_head_q <= s1_head_q;
            s2_beat_q <= s1_beat_q;
            s2_data_q <= s1_data_q;
            if (s1_head_q) begin  // later beats keep what the first one found
                s2_known_q <= fits;
                s2_full_q  <= mine.full;
                s2_bank_q  <= mine.next;
                s2_row_q   <= mine.row;
            end
        end
        if (rst || state_q == CLEAR) begin
            last_valid_q <= 1'b0;
            rows_q       <= '0;
            refused_q    <= '0;
            s2_valid_q   <= 1'b0;
            evt_refused  <= 1'b0;
        end else begin
            evt_refused <= s1_fire && ((s1_head_q && !fits) || s1_cut_q);
            if (s1_fire) refused_q <= refused_q + 32'((s1_head_q && !fits) || s1_cut_q);
            if (advance) s2_valid_q <= s1_valid_q;
            if (s1_fire && s1_head_q) begin
                if (fits) last_valid_q <= 1'b1;
                if (fits && !hit) rows_q <= rows_q + ROWS_W'(1);
            end
        end
    end

    // Names and counts of the rows, in their order.
    logic [HELD_W-1:0] held_in, held_ram;
    logic              held_rd_en, fetch_rd_en;
    logic [ROW_W-1:0]  held_rd_addr, fetch_rd_addr;
    logic [KEY_W-1:0]  fetch_key, give_key;
    logic              give_rd_en;
    logic [ROW_W-1:0]  give_rd_addr;

    assign held_in = s2_full_q ? HELD_W'(BANKS) : HELD_W'(s2_bank_q) + HELD_W'(1);

    embnic_ram_1r1w #(.WIDTH(HELD_W), .DEPTH(ROWS)) u_held (
        .clk,
        .wr_en  (s2_valid_q && s2_head_q && s2_known_q && advance),
        .wr_addr(s2_row_q),
        .wr_data(held_in),
        .rd_en  (held_rd_en),
        .rd_addr(held_rd_addr),
        .rd_data(held_ram)
    );
    embnic_ram_1r1w #(.WIDTH(KEY_W), .DEPTH(ROWS)) u_fetch_keys (
        .clk,
        .wr_en  (s1_fire && s1_head_q && fits && !hit),
        .wr_addr(rows_q[ROW_W-1:0]),
        .wr_data(s1_key_q),
        .rd_en  (fetch_rd_en),
        .rd_addr(fetch_rd_addr),
        .rd_data(fetch_key)
    );
    embnic_ram_1r1w #(.WIDTH(KEY_W), .DEPTH(ROWS)) u_give_keys (
        .clk,
        .wr_en  (s1_fire && s1_head_q && fits && !hit),
        .wr_addr(rows_q[ROW_W-1:0]),
        .wr_data(s1_key_q),
        .rd_en  (give_rd_en),
        .rd_addr(give_rd_addr),
        .rd_data(give_key)
    );

    // ---------------------------------------------------------------------------------------------
    // The walk over the sums at the end of a batch
    // ---------------------------------------------------------------------------------------------
    logic [HELD_W-1:0]  apart_q;         // COMBINE: distance of the pairs
    logic [ROWS_W-1:0]  walk_row_q;
    logic [BEAT_W-1:0]  walk_beat_q;
    logic [BANK_W-1:0]  walk_bank_q;
    logic [HELD_W-1:0]  walk_held_q;     // sums of the row that hold a gradient
    logic [1:0]         walk_setup_q;    // the first counts are being read
    logic               walk_pair, walk_skip, walk_step, walk_last_row, walk_last_beat, walk_fire, give_go;
    logic               walk_real;       // SQUARES: a row, not a pause
    logic [ROWS_W-1:0]  squares_last;

    assign walk_last_beat = NBEAT_W'(walk_beat_q) + NBEAT_W'(1) == cfg_beats;
    assign squares_last   = (32'(rows_q) > LOOP) ? rows_q - ROWS_W'(1) : ROWS_W'(LOOP);
    assign walk_last_row  = walk_row_q == ((state_q == SQUARES) ? squares_last : rows_q - ROWS_W'(1));
    assign walk_real      = walk_row_q < rows_q;
    // A row's pairs: bank b and b + apart, as long as that holds a gradient.
    assign walk_pair      = HELD_W'(walk_bank_q) + apart_q < walk_held_q;
    assign walk_skip      = walk_held_q <= apart_q;

    always_comb begin
        walk_fire = 1'b0;
        unique case (state_q)
            COMBINE: walk_fire = walk_setup_q == '0 && (walk_skip || walk_step);
            SQUARES: walk_fire = !walk_real || walk_step;
            GIVE:    walk_fire = give_go && walk_step;
            default: walk_fire = 1'b0;
        endcase
    end

    logic combine_row_done, combine_next_bank;
    assign combine_next_bank = HELD_W'(walk_bank_q) + HELD_W'(1) < apart_q
                               && HELD_W'(walk_bank_q) + HELD_W'(1) + apart_q < walk_held_q;
    assign combine_row_done  = walk_skip || (walk_last_beat && !combine_next_bank);

    always_comb begin
        walk_done = 1'b0;
        unique case (state_q)
            COMBINE: walk_done = walk_fire && combine_row_done && walk_last_row && apart_q == HELD_W'(1);
            SQUARES: walk_done = walk_fire && walk_last_row && walk_last_beat;
            GIVE:    walk_done = walk_fire && walk_last_row && walk_last_beat;
            default: walk_done = 1'b0;
        endcase
    end

    // Counts are read one row ahead.
    assign held_rd_en   = (state_q == COMBINE) && (walk_setup_q != '0 || (walk_fire && combine_row_done));
    assign held_rd_addr = (walk_setup_q == 2'd2) ? '0 : ROW_W'(walk_row_q) + ((walk_setup_q != '0) ? ROW_W'(1)
                                                                                                   : ROW_W'(2));

    always_ff @(posedge clk) begin
        if (state_q == SETTLE || state_q == DONE || walk_done) begin
            walk_row_q   <= '0;
            walk_beat_q  <= '0;
            walk_bank_q  <= '0;
            walk_setup_q <= 2'd2;
            if (state_q != COMBINE) apart_q <= HELD_W'(BANKS / 2);
        end else if (state_q == COMBINE) begin
            if (walk_setup_q != '0) begin
                walk_setup_q <= walk_setup_q - 2'd1;
                walk_held_q  <= held_ram;
            end else if (walk_fire) begin
                walk_beat_q <= walk_last_beat ? '0 : walk_beat_q + BEAT_W'(1);
                if (walk_skip) walk_beat_q <= '0;
                if (walk_last_beat) walk_bank_q <= walk_bank_q + BANK_W'(1);
                if (combine_row_done) begin
                    walk_bank_q <= '0;
                    walk_held_q <= held_ram;
                    walk_row_q  <= walk_row_q + ROWS_W'(1);
                    if (walk_last_row) begin
                        walk_row_q   <= '0;
                        walk_setup_q <= 2'd2;
                        apart_q      <= apart_q >> 1;
                    end
                end
            end
        end else if (state_q == SQUARES && walk_fire) begin  // beats outside, rows inside
            walk_row_q <= walk_last_row ? '0 : walk_row_q + ROWS_W'(1);
            if (walk_last_row) walk_beat_q <= walk_beat_q + BEAT_W'(1);
        end else if (state_q == GIVE && walk_fire) begin     // rows outside, beats inside
            walk_beat_q <= walk_last_beat ? '0 : walk_beat_q + BEAT_W'(1);
            if (walk_last_beat) walk_row_q <= walk_row_q + ROWS_W'(1);
        end
    end

    // ---------------------------------------------------------------------------------------------
    // 2: sums are read: of a gradient's beat, or of a step of the walk
    // ---------------------------------------------------------------------------------------------
    typedef enum logic [1:0] { USE_ADD, USE_SQUARE, USE_GIVE } use_e;

    typedef struct packed {
        use_e               use_as;
        logic               first;   // the sum is +0
        logic               pair;    // add another running sum, not a gradient
        logic [BANK_W-1:0]  bank;
        logic [BANK_W-1:0]  other;
        logic [PLACE_W-1:0] place;
        logic               head;    // SQUARES: first beat
        logic               last;    // GIVE: of the row
    } op_t;

    op_t  op, s4_op;
    logic op_valid, op_fire, conflict, walking;
    logic [OPERAND:1] op_valid_q;
    logic [DATA_W-1:0] s4_data;
    // What is on its way to its sum: index: cycles since it was read.
    logic [LOOP-1:1]               busy_valid_q;
    logic [LOOP-1:1][BANK_W-1:0]   busy_bank_q;
    logic [LOOP-1:1][PLACE_W-1:0]  busy_place_q;

    assign walking = state_q == COMBINE || state_q == SQUARES || state_q == GIVE;

    always_comb begin
        op          = '0;
        op.use_as   = USE_ADD;
        op.first    = !s2_full_q;
        op.bank     = s2_bank_q;
        op.place    = {s2_row_q, s2_beat_q};
        op_valid    = s2_valid_q && s2_known_q;
        if (walking) begin
            op.use_as = (state_q == COMBINE) ? USE_ADD : (state_q == SQUARES) ? USE_SQUARE : USE_GIVE;
            op.first  = 1'b0;
            op.pair   = state_q == COMBINE;
            op.bank   = (state_q == COMBINE) ? walk_bank_q : '0;
            op.other  = walk_bank_q + BANK_W'(apart_q);
            op.place  = {walk_row_q[ROW_W-1:0], walk_beat_q};
            op.head   = walk_beat_q == '0;
            op.last   = walk_last_beat;
            op_valid  = (state_q == COMBINE) ? walk_setup_q == '0 && !walk_skip && walk_pair
                      : (state_q == SQUARES) ? walk_real : give_go;
        end
        conflict = 1'b0;
        for (int unsigned ago = 1; ago < LOOP; ago++) begin
            if (busy_valid_q[ago] && busy_place_q[ago] == op.place
                && ((busy_bank_q[ago] == op.bank && !op.first) || (op.pair && busy_bank_q[ago] == op.other))) begin
                conflict = 1'b1;
            end
        end
    end

    assign op_fire   = op_valid && !conflict;
    assign walk_step = !conflict;
    assign advance   = !(s2_valid_q && s2_known_q && conflict);
    assign evt_wait  = op_valid && conflict && !walking;

    always_ff @(posedge clk) begin
        if (rst) begin
            op_valid_q   <= '0;
            busy_valid_q <= '0;
        end else begin
            op_valid_q   <= {op_valid_q[OPERAND-1:1], op_fire};
            busy_valid_q <= {busy_valid_q[LOOP-2:1], op_fire && op.use_as == USE_ADD};
        end
        busy_bank_q  <= {busy_bank_q[LOOP-2:1], op.bank};
        busy_place_q <= {busy_place_q[LOOP-2:1], op.place};
    end
    embnic_delay #(.WIDTH($bits(op_t)), .CYCLES(OPERAND)) u_op (.clk, .rst, .in(op), .out({s4_op}));
    embnic_delay #(.WIDTH(DATA_W), .CYCLES(OPERAND)) u_data (.clk, .rst, .in(s2_data_q), .out(s4_data));

    logic [BANK_W-1:0]  sum_bank;    // where a sum goes
    logic [PLACE_W-1:0] sum_place;
    embnic_delay #(.WIDTH(BANK_W + PLACE_W), .CYCLES(ADD_STAGES)) u_sum_place (
        .clk, .rst, .in({s4_op.bank, s4_op.place}), .out({sum_bank, sum_place})
    );

    logic [BANKS-1:0][DATA_W-1:0] sums;
    logic [DATA_W-1:0]            sum_now, sum_other, sum_next;
    logic [LANES-1:0]             sum_valid;

    for (genvar b = 0; b < int'(BANKS); b++) begin : gen_bank
        embnic_ram_1r1w #(.WIDTH(DATA_W), .DEPTH(ROWS * MAX_BEATS), .STYLE(RAM_STYLE), .OUT_REG(1'b1)) u_sums (
            .clk,
            .wr_en  (sum_valid[0] && sum_bank == BANK_W'(b)),
            .wr_addr(sum_place),
            .wr_data(sum_next),
            .rd_en  (op_fire),
            .rd_addr(op.place),
            .rd_data(sums[b])
        );
    end

    // ---------------------------------------------------------------------------------------------
    // 4: the adders, and the multipliers for squares and rows
    // ---------------------------------------------------------------------------------------------
    logic              mul_valid;
    logic [LANES-1:0]  mul_out_valid;
    logic [DATA_W-1:0] mul_out, row_late;
    logic [31:0]       step_s4;      // minus the step of the row

    assign sum_now   = s4_op.first ? '0 : sums[s4_op.bank];
    assign sum_other = s4_op.pair ? sums[s4_op.other] : s4_data;
    assign mul_valid = op_valid_q[OPERAND] && s4_op.use_as != USE_ADD;

    // The row comes when its sum is read, and is needed when the product is made.
    embnic_delay #(.WIDTH(DATA_W), .CYCLES(OPERAND + FMA_C_DELAY)) u_row (
        .clk, .rst, .in(s_axis_row_tdata), .out(row_late)
    );
    logic sum_rule, squares_late;
    assign sum_rule = cfg_rule == GRAD_SUM;
    embnic_delay #(.WIDTH(1), .CYCLES(FMA_C_DELAY)) u_squares (
        .clk, .rst, .in(s4_op.use_as == USE_SQUARE), .out(squares_late)
    );

    for (genvar l = 0; l < int'(LANES); l++) begin : gen_lane
        logic [31:0] gradient;

        embnic_fp32_add u_add (
            .clk, .rst,
            .valid_in (op_valid_q[OPERAND] && s4_op.use_as == USE_ADD),
            .a        (sum_now[l*32+:32]),
            .b        (sum_other[l*32+:32]),
            .valid_out(sum_valid[l]),
            .result   (sum_next[l*32+:32])
        );
        // 1 * g + -0 is g, whatever it is.
        assign gradient = sums[0][l*32+:32];
        embnic_fp32_fma u_fma (
            .clk, .rst,
            .valid_in     (mul_valid),
            .round_product(1'b0),
            .a            ((s4_op.use_as == USE_SQUARE) ? gradient : sum_rule ? FP32_ONE : step_s4),
            .b            (gradient),
            .c            (squares_late ? '0 : sum_rule ? MINUS_ZERO : row_late[l*32+:32]),
            .valid_out    (mul_out_valid[l]),
            .result       (mul_out[l*32+:32])
        );
    end

    logic             out_square, out_head, out_last;  // what the product was made for
    logic [ROW_W-1:0]  out_row;
    logic [BEAT_W-1:0] out_beat;
    logic [DATA_W-1:0] out_data;     // lanes from element cfg_dim on are padding: zeros, whatever the step
    embnic_delay #(.WIDTH(PLACE_W + 3), .CYCLES(FMA_STAGES)) u_op_out (
        .clk, .rst,
        .in ({s4_op.use_as == USE_SQUARE, s4_op.head, s4_op.last, s4_op.place}),
        .out({out_square, out_head, out_last, out_row, out_beat})
    );
    for (genvar l = 0; l < int'(LANES); l++) begin : gen_padding
        assign out_data[l*32+:32] = (16'(out_beat) * 16'(LANES) + 16'(l) < cfg_dim) ? mul_out[l*32+:32] : '0;
    end

    // ---------------------------------------------------------------------------------------------
    // Out: rows, as many as find room
    // ---------------------------------------------------------------------------------------------
    typedef struct packed {
        logic              last;
        logic [KEY_W-1:0]  key;
        logic [DATA_W-1:0] data;
    } row_t;

    localparam int unsigned OUT_W = $clog2(OUT + 1);

    logic [OUT_W-1:0] out_cnt_q;     // rows' beats between read and output
    logic [KEY_W-1:0] key_out;
    row_t             out;
    logic             out_ready, step_ready;
    logic [$clog2(OUT+4)-1:0] out_held;

    assign give_go           = state_q == GIVE && 32'(out_cnt_q) < OUT && (sum_rule || s_axis_row_tvalid) && step_ready;
    assign s_axis_row_tready = give_go && !sum_rule && walk_step;
    assign give_rd_en        = 1'b1;
    assign give_rd_addr      = walk_row_q[ROW_W-1:0];

    embnic_delay #(.WIDTH(KEY_W), .CYCLES(OPERAND + FMA_STAGES - 1)) u_key (
        .clk, .rst, .in(give_key), .out(key_out)
    );

    embnic_fifo #(.WIDTH($bits(row_t)), .DEPTH(OUT), .STYLE(1)) u_out (
        .clk, .rst,
        .s_axis_tdata ({out_last, key_out, out_data}),
        .s_axis_tvalid(mul_out_valid[0] && !out_square),
        .s_axis_tready(out_ready),
        .m_axis_tdata ({out}),
        .m_axis_tvalid(m_axis_row_tvalid),
        .m_axis_tready(m_axis_row_tready),
        .sts_count    (out_held)
    );
    assign m_axis_row_tdata = out.data;
    assign m_axis_row_tuser = out.key;
    assign m_axis_row_tlast = out.last;

    always_ff @(posedge clk) begin
        if (rst) out_cnt_q <= '0;
        else     out_cnt_q <= out_cnt_q + OUT_W'(op_fire && op.use_as == USE_GIVE)
                              - OUT_W'(m_axis_row_tvalid && m_axis_row_tready);
    end

    // Names of the rows, to whoever brings them.
    logic [ROWS_W-1:0] fetch_q;      // the next one
    logic              fetch_on_q, fetch_ready, fetch_read_q;

    assign fetch_rd_en   = fetch_on_q && fetch_ready;
    assign fetch_rd_addr = fetch_q[ROW_W-1:0];

    logic [1:0] fetch_room_q;        // places in the register behind the RAM
    assign fetch_ready = fetch_room_q != '0;

    always_ff @(posedge clk) begin
        if (rst) begin
            fetch_on_q   <= 1'b0;
            fetch_read_q <= 1'b0;
            fetch_room_q <= 2'd2;
        end else begin
            fetch_read_q <= fetch_rd_en;
            fetch_room_q <= fetch_room_q - 2'(fetch_rd_en) + 2'(m_axis_fetch_tvalid && m_axis_fetch_tready);
            if (state_q == SETTLE && settle_q == '0 && refused_q == '0 && rows_q != '0) fetch_on_q <= 1'b1;
            else if (fetch_rd_en && fetch_q + ROWS_W'(1) == rows_q) fetch_on_q <= 1'b0;
        end
        if (state_q == SETTLE)  fetch_q <= '0;
        else if (fetch_rd_en)   fetch_q <= fetch_q + ROWS_W'(1);
    end

    logic fetch_skid_ready;
    embnic_skid #(.WIDTH(KEY_W)) u_fetch (
        .clk, .rst,
        .s_axis_tdata (fetch_key),
        .s_axis_tvalid(fetch_read_q),
        .s_axis_tready(fetch_skid_ready),
        .m_axis_tdata (m_axis_fetch_tdata),
        .m_axis_tvalid(m_axis_fetch_tvalid),
        .m_axis_tready(m_axis_fetch_tready)
    );

    // ---------------------------------------------------------------------------------------------
    // Row-wise Adagrad: sums of squares, and a step for each row
    // ---------------------------------------------------------------------------------------------
    logic squares_settled, steps_idle;

    logic [31:0] step, step_now;
    logic        step_valid, step_take, steps_begun_q;

    // Squares, added level by level.
    localparam int unsigned TREE = LEVELS * ADD_STAGES;
    logic [2*LANES-1:1][31:0] node;       // a heap: node n is the sum of 2n and 2n + 1
    logic [2*LANES-1:1]       node_valid;

    for (genvar l = 0; l < int'(LANES); l++) begin : gen_leaf
        localparam int unsigned LEAF = LANES + reversed(l);
        assign node[LEAF]       = mul_out[l*32+:32];
        assign node_valid[LEAF] = mul_out_valid[l] && out_square;
    end
    for (genvar n = 1; n < int'(LANES); n++) begin : gen_node
        embnic_fp32_add u_add (
            .clk, .rst,
            .valid_in (node_valid[2*n]),
            .a        (node[2*n]),
            .b        (node[2*n+1]),
            .valid_out(node_valid[n]),
            .result   (node[n])
        );
        `EMBNIC_ASSERT(pair_agrees, node_valid[2*n] == node_valid[2*n+1], "two that are added come together")
    end

    logic [ROW_W-1:0] tree_row, tree_row_q, total_row;
    logic             tree_head, tree_head_q, total_valid, tree_next;
    logic [31:0]      total_now, total, steps_total;
    logic             steps_rd_en;
    logic [ROW_W-1:0] steps_rd_addr;

    embnic_delay #(.WIDTH(ROW_W + 1), .CYCLES(TREE - 1)) u_tree (
        .clk, .rst, .in({out_row, out_head}), .out({tree_row, tree_head})
    );
    embnic_delay #(.WIDTH(1), .CYCLES(TREE - 1), .RESET(1'b1)) u_tree_next (
        .clk, .rst, .in(node_valid[LANES]), .out(tree_next)
    );
    always_ff @(posedge clk) begin
        tree_row_q  <= tree_row;
        tree_head_q <= tree_head;
    end
    embnic_delay #(.WIDTH(ROW_W), .CYCLES(ADD_STAGES)) u_total_row (
        .clk, .rst, .in(tree_row_q), .out(total_row)
    );

    // The read port serves the sums, then the steps.
    embnic_ram_1r1w #(.WIDTH(32), .DEPTH(ROWS)) u_totals (
        .clk,
        .wr_en  (total_valid),
        .wr_addr(total_row),
        .wr_data(total),
        .rd_en  (tree_next || steps_rd_en),
        .rd_addr(tree_next ? tree_row : steps_rd_addr),
        .rd_data(total_now)
    );
    assign steps_total = total_now;
    embnic_fp32_add u_total (
        .clk, .rst,
        .valid_in (node_valid[1]),
        .a        (tree_head_q ? '0 : total_now),
        .b        (node[1]),
        .valid_out(total_valid),
        .result   (total)
    );

    // The steps begin when every total is there.
    localparam int unsigned SETTLE_CYCLES = OPERAND + FMA_STAGES + TREE + ADD_STAGES + 2;
    logic [$clog2(SETTLE_CYCLES+1)-1:0] wait_q;
    always_ff @(posedge clk) begin
        if (state_q == SQUARES)  wait_q <= ($clog2(SETTLE_CYCLES + 1))'(SETTLE_CYCLES);
        else if (wait_q != '0)   wait_q <= wait_q - 1'b1;
        if (rst) wait_q <= '0;
    end
    assign squares_settled = wait_q == '0;

    embnic_grad_step #(.ROWS(ROWS)) u_step (
        .clk, .rst,
        .start      (state_q == GIVE && adagrad && squares_settled && !steps_begun_q),
        .rows       (rows_q),
        .total_rd_en  (steps_rd_en),
        .total_rd_addr(steps_rd_addr),
        .total_rd_data(steps_total),
        .s_axis_state_tdata, .s_axis_state_tvalid, .s_axis_state_tready,
        .m_axis_state_tdata, .m_axis_state_tvalid, .m_axis_state_tready,
        .m_axis_step_tdata (step),
        .m_axis_step_tvalid(step_valid),
        .m_axis_step_tready(step_take),
        .cfg_dim, .cfg_rate, .cfg_epsilon,
        .sts_idle   (steps_idle)
    );
    always_ff @(posedge clk) begin
        if (rst || state_q != GIVE)                 steps_begun_q <= 1'b0;
        else if (adagrad && squares_settled)        steps_begun_q <= 1'b1;
    end

    function automatic int unsigned reversed(int unsigned lane);
        reversed = 0;
        for (int unsigned i = 0; i < LEVELS; i++) if (lane[i]) reversed |= 1 << (LEVELS - 1 - i);
    endfunction

    assign step_ready = !adagrad || step_valid;
    assign step_take  = adagrad && walk_fire && state_q == GIVE && walk_last_beat;
    assign step_now   = (adagrad ? step : cfg_rate) ^ MINUS_ZERO;
    embnic_delay #(.WIDTH(32), .CYCLES(OPERAND)) u_step_s4 (.clk, .rst, .in(step_now), .out(step_s4));

    // ---------------------------------------------------------------------------------------------
    // States
    // ---------------------------------------------------------------------------------------------
    logic            done_valid_q;
    logic [31:0]     done_rows_q, done_refused_q;

    assign m_axis_done_tvalid = done_valid_q;
    assign m_axis_done_tdata  = {done_refused_q, done_rows_q};

    always_ff @(posedge clk) begin
        if (state_q == TAKE || s1_valid_q || s2_valid_q) settle_q <= 3'd4;
        else if (settle_q != '0)                         settle_q <= settle_q - 3'd1;
        clear_q <= (state_q == CLEAR) ? clear_q + SET_W'(1) : '0;
        if (state_q == DONE && !done_valid_q) begin
            done_rows_q    <= (refused_q == '0) ? 32'(rows_q) : '0;
            done_refused_q <= refused_q;
        end
        if (rst) begin
            state_q      <= CLEAR;
            done_valid_q <= 1'b0;
        end else begin
            unique case (state_q)
                CLEAR:   if (clear_q == '1) state_q <= TAKE;
                TAKE:    if (take && s_axis_grad_tlast) state_q <= SETTLE;
                SETTLE:  if (settle_q == '0) state_q <= (refused_q == '0 && rows_q != '0) ? COMBINE : DONE;
                COMBINE: if (walk_done) state_q <= adagrad ? SQUARES : GIVE;
                SQUARES: if (walk_done) state_q <= GIVE;
                GIVE:    if (walk_done) state_q <= DONE;
                DONE: begin
                    if (!done_valid_q) done_valid_q <= out_cnt_q == '0 && !fetch_on_q && !m_axis_fetch_tvalid
                                                       && !fetch_read_q && steps_idle;
                    else if (m_axis_done_tready) begin
                        done_valid_q <= 1'b0;
                        state_q      <= CLEAR;
                    end
                end
                default: state_q <= CLEAR;
            endcase
        end
    end

    assign sts_idle = (state_q == TAKE || state_q == CLEAR) && in_beat_q == '0 && rows_q == '0 && refused_q == '0
                      && !s1_valid_q && !s2_valid_q;

    // Assertions
    `EMBNIC_STABLE(row_stable, m_axis_row_tvalid, m_axis_row_tready,
                   {m_axis_row_tdata, m_axis_row_tuser, m_axis_row_tlast}, "the output holds until it is taken")
    `EMBNIC_STABLE(fetch_stable, m_axis_fetch_tvalid, m_axis_fetch_tready, m_axis_fetch_tdata,
                   "the output holds until it is taken")
    `EMBNIC_STABLE(state_stable, m_axis_state_tvalid, m_axis_state_tready, m_axis_state_tdata,
                   "the output holds until it is taken")
    `EMBNIC_STABLE(done_stable, m_axis_done_tvalid, m_axis_done_tready, m_axis_done_tdata,
                   "the output holds until it is taken")
    `EMBNIC_KNOWN(ready_known, s_axis_grad_tready, "tready is known after reset")
    `EMBNIC_NEVER(row_lost, mul_out_valid[0] && !out_square && !out_ready, "a row always finds a place")
    `EMBNIC_ASSERT(count_agrees, 32'(out_held) <= 32'(out_cnt_q), "the FIFO holds no more than what is under way")
    `EMBNIC_NEVER(fetch_lost, fetch_read_q && !fetch_skid_ready, "a name always finds a place")
    `EMBNIC_ASSERT(lanes_agree, sum_valid == '0 || sum_valid == '1, "the adders' results come together")
    `EMBNIC_ASSERT(products_agree, mul_out_valid == '0 || mul_out_valid == '1, "the products come together")
    `EMBNIC_NEVER(hit_twice, s1_valid_q && s1_head_q && (same & (same - 1'b1)) != '0, "a row has one name")
    `EMBNIC_NEVER(settled_late, state_q == COMBINE && (s1_valid_q || s2_valid_q), "no gradient is left behind the batch")
    `EMBNIC_NEVER(bad_beats_cfg, s_axis_grad_tvalid && (cfg_beats == '0 || 32'(cfg_beats) > MAX_BEATS),
                  "cfg_beats is 1 to MAX_BEATS")
    `EMBNIC_NEVER(bad_rule, s_axis_grad_tvalid && cfg_rule == 2'd3, "cfg_rule is a rule")
    `EMBNIC_COVER(waits, evt_wait, "a beat waits for its sum")
    `EMBNIC_COVER(same_set, s1_fire && last_valid_q && last_set_q == s1_set_q, "a set is read while it changes")
endmodule
`default_nettype wire
