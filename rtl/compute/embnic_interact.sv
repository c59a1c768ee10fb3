// SPDX-License-Identifier: Apache-2.0
// Multiplies the vectors of a sample with each other: the dot products of DLRM's interaction.
//
// Meaning        pair (i, j), j < i, is the dot product of vectors i and j. Of each beat the products are
//                rounded and added pairwise: lane l and l + LANES / 2 first, then a quarter, down to one;
//                the sums of the beats are added in order, from +0. A NaN is 0x7fc00000.
// Order          samples as received; of a sample (1, 0), (2, 0), (2, 1), (3, 0) ..., tlast on the last.
// Back-pressure  any cycle, both sides; nothing is lost. No combinational path from one side to the other.
// Latency        from a sample's last beat to its first pair: the work, and about 50 cycles (16 lanes).
// Throughput     a sample takes max(cfg_vectors, LOOP) * cfg_beats cycles for each UNITS of its
//                ceil((cfg_vectors - 1) / 2) distances; the next one is received, and the one before
//                sent, meanwhile. 27 vectors of 128 with 16 lanes and 7 units: 432 cycles, twice the time
//                of its beats.
// Area           UNITS * LANES products of two DSPs each, and one DSP more: 225 for 7 units of 16 lanes.
// Errors         a sample with another number of beats than cfg_vectors * cfg_beats is refused: one word
//                with tuser and tlast, and evt_refused.
// Not handled    cfg_vectors outside 2 .. MAX_VECTORS, cfg_beats outside 1 .. MAX_BEATS.
//
// All pairs are (i, i + d mod vectors) for the distances d = 1 .. (vectors - 1) / 2; of an even number of
// vectors the last distance meets every pair twice, and the second is thrown away. Unit u does distance
// u + 1, then u + 1 + UNITS ...: in every cycle all units take the same i, so one read port gives i and one a
// unit its partner. Beats go outside, i inside: a pair's next beat comes max(vectors, LOOP) cycles after
// the one before, when that has long been added.
//
//   0 addresses | 2 operands | 8 products | 8 + 6 * levels sums of beats | 6 more the accumulator
`default_nettype none
`include "embnic_assert.svh"
module embnic_interact
    import embnic_pkg::*;
#(
    parameter int unsigned DATA_W      = 512,  // bits of a beat: a power of two, 64 to 512
    parameter int unsigned MAX_VECTORS = 32,   // of a sample; power of two, 4 to 64
    parameter int unsigned MAX_BEATS   = 8,    // of a vector; power of two, 2 to 64
    parameter int unsigned UNITS       = 7,    // distances at a time, 1 to 32
    localparam int unsigned VEC_W      = $clog2(MAX_VECTORS + 1),
    localparam int unsigned NBEAT_W    = $clog2(MAX_BEATS + 1)
) (
    input  wire logic               clk,
    input  wire logic               rst,
    input  wire logic [DATA_W-1:0]  s_axis_vec_tdata,   // fp32 lanes, zeros behind the vector's end
    input  wire logic               s_axis_vec_tvalid,
    output      logic               s_axis_vec_tready,
    input  wire logic               s_axis_vec_tlast,   // of the sample
    output      logic [31:0]        m_axis_pair_tdata,  // fp32
    output      logic               m_axis_pair_tuser,  // the sample was refused
    output      logic               m_axis_pair_tvalid,
    input  wire logic               m_axis_pair_tready,
    output      logic               m_axis_pair_tlast,  // of the sample
    input  wire logic [VEC_W-1:0]   cfg_vectors,        // quasi-static
    input  wire logic [NBEAT_W-1:0] cfg_beats,          // of a vector, quasi-static
    output      logic               sts_idle,           // nothing is under way
    output      logic               evt_refused,        // a sample was refused
    output      logic               evt_work            // pairs are multiplied in this cycle
);
    localparam int unsigned LANES  = DATA_W / 32;
    localparam int unsigned LEVELS = $clog2(LANES);
    localparam int unsigned LOOP   = ADD_STAGES + 3;  // from a pair's beat to the next
    localparam int unsigned DEPTH  = MAX_VECTORS * MAX_BEATS;
    localparam int unsigned MEM_W = $clog2(DEPTH);
    localparam int unsigned IDX_W  = $clog2(MAX_VECTORS);
    localparam int unsigned BT_W   = $clog2(MAX_BEATS);
    localparam int unsigned PASSES = (MAX_VECTORS / 2 + UNITS - 1) / UNITS;
    localparam int unsigned PASS_W = (PASSES > 1) ? $clog2(PASSES) : 1;
    localparam int unsigned RES_W  = PASS_W + IDX_W;  // of a result within its unit's RAM
    localparam int unsigned DIST_W = IDX_W + 1;
    localparam int unsigned UNIT_W = (UNITS > 1) ? $clog2(UNITS) : 1;

    if (DATA_W < 64 || DATA_W > 512 || (DATA_W & (DATA_W - 1)) != 0) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be a power of two, 64 to 512");
    end
    if (MAX_VECTORS < 4 || MAX_VECTORS > 64 || (MAX_VECTORS & (MAX_VECTORS - 1)) != 0) begin : gen_bad_vectors
        $fatal(1, "MAX_VECTORS must be a power of two, 4 to 64");
    end
    if (MAX_BEATS < 2 || MAX_BEATS > 64 || (MAX_BEATS & (MAX_BEATS - 1)) != 0) begin : gen_bad_beats
        $fatal(1, "MAX_BEATS must be a power of two, 2 to 64");
    end
    if (UNITS < 1 || UNITS > 32) begin : gen_bad_units
        $fatal(1, "UNITS must be 1 to 32");
    end

    // ---------------------------------------------------------------------------------------------
    // In: beats go to one of two banks; a whole sample is handed to the work
    // ---------------------------------------------------------------------------------------------
    localparam int unsigned TAKEN_W = MEM_W + 1;

    logic [TAKEN_W-1:0] taken_q, beats_all_q;   // beats of this sample so far; beats of a sample
    logic [IDX_W-1:0]   in_vec_q;               // where the next one goes
    logic [BT_W-1:0]    in_beat_q;
    logic               in_bank_q;              // the bank that is being filled
    logic [1:0]         full_q, bad_q;          // a bank holds a sample; it is refused
    logic               take, in_wrong, work_free;
    logic               work_bank_q;            // the bank that is worked on, or next

    assign s_axis_vec_tready = !full_q[in_bank_q];
    assign take              = s_axis_vec_tvalid && s_axis_vec_tready;
    assign in_wrong          = taken_q + TAKEN_W'(1) != beats_all_q;

    always_ff @(posedge clk) begin
        beats_all_q <= TAKEN_W'(cfg_vectors) * TAKEN_W'(cfg_beats);
        if (rst) begin
            taken_q   <= '0;
            in_vec_q  <= '0;
            in_beat_q <= '0;
            in_bank_q <= 1'b0;
            full_q    <= '0;
        end else begin
            if (work_free) full_q[work_bank_q] <= 1'b0;
            if (take) begin
                if (!taken_q[MEM_W]) taken_q <= taken_q + TAKEN_W'(1);
                in_beat_q <= in_beat_q + BT_W'(1);
                if (NBEAT_W'(in_beat_q) + NBEAT_W'(1) == cfg_beats) begin
                    in_beat_q <= '0;
                    in_vec_q  <= in_vec_q + IDX_W'(1);
                end
                if (s_axis_vec_tlast) begin
                    taken_q           <= '0;
                    in_vec_q          <= '0;
                    in_beat_q         <= '0;
                    in_bank_q         <= !in_bank_q;
                    full_q[in_bank_q] <= 1'b1;
                end
            end
        end
        if (take && s_axis_vec_tlast) bad_q[in_bank_q] <= in_wrong;
    end

    // ---------------------------------------------------------------------------------------------
    // Work: passes over the distances, beats, vectors
    // ---------------------------------------------------------------------------------------------
    typedef struct packed {
        logic                last_beat;  // the sums are complete
        logic [IDX_W-1:0]    i;
        logic [PASS_W-1:0]   pass;
        logic                bank;       // of the results
    } step_t;

    logic               work_q;                  // a sample is worked on
    logic [IDX_W:0]     i_q, i_last;             // up to i_last: max(vectors, LOOP) - 1
    logic [BT_W-1:0]    beat_q;
    logic [PASS_W-1:0]  pass_q, pass_last_q;
    logic [DIST_W-1:0]  distances;
    logic               last_i, last_beat, last_pass, last_step;
    logic               next_bank, next_result;  // banks of the sample that would begin
    logic               start, start_bad;
    logic               result_bank_q;           // the bank of results that is written
    logic [1:0]         busy_q, done_q, done_bad_q;  // a bank of results is taken; complete; of a refused sample
    logic               drain_free;              // the bank being sent is empty again
    logic               send_bank_q;
    step_t              step;

    assign distances   = DIST_W'(cfg_vectors >> 1);  // (vectors - 1) / 2, and one more when it is even
    assign i_last      = (32'(cfg_vectors) > LOOP) ? (IDX_W+1)'(cfg_vectors - VEC_W'(1)) : (IDX_W+1)'(LOOP - 1);
    assign last_i      = i_q == i_last;
    assign last_beat   = NBEAT_W'(beat_q) + NBEAT_W'(1) == cfg_beats;
    assign last_pass   = pass_q == pass_last_q;
    assign last_step   = work_q && last_i && last_beat && last_pass;
    assign next_bank   = work_bank_q ^ last_step;
    assign next_result = result_bank_q ^ last_step;
    assign start       = full_q[next_bank] && !busy_q[next_result] && (!work_q || last_step);
    assign start_bad   = start && bad_q[next_bank];
    assign evt_work    = work_q;

    // The end of a sample, or its refusal, travels along with its steps: so samples stay in order.
    localparam int unsigned OPERAND = 2;                                 // cycle of the operands
    localparam int unsigned PRODUCT = OPERAND + MUL_STAGES;
    localparam int unsigned BEAT    = PRODUCT + LEVELS * ADD_STAGES;     // of a beat's sum
    localparam int unsigned RESULT  = BEAT + ADD_STAGES + 1;             // results are in their RAM

    typedef struct packed {
        logic valid;
        logic bad;
        logic bank;
    } end_t;

    end_t end_in, end_out;
    logic bad_q2;  // the sample begun in the last cycle is refused: it has no steps
    assign end_in = '{valid: last_step || bad_q2, bad: bad_q2, bank: result_bank_q};

    embnic_delay #(.WIDTH($bits(end_t)), .CYCLES(RESULT), .RESET(1'b1)) u_end (
        .clk, .rst, .in(end_in), .out({end_out})
    );

    assign work_free = last_step || bad_q2;

    always_ff @(posedge clk) begin
        pass_last_q <= PASS_W'((32'(distances) + UNITS - 1) / UNITS - 1);
        if (rst) begin
            work_q        <= 1'b0;
            bad_q2        <= 1'b0;
            work_bank_q   <= 1'b0;
            result_bank_q <= 1'b0;
            busy_q        <= '0;
            done_q        <= '0;
            evt_refused   <= 1'b0;
        end else begin
            evt_refused <= bad_q2;
            bad_q2      <= start_bad && !bad_q2;
            if (work_free) begin
                work_q        <= 1'b0;
                work_bank_q   <= !work_bank_q;
                result_bank_q <= !result_bank_q;
            end
            if (start && !bad_q2) begin
                work_q              <= !start_bad;
                busy_q[next_result] <= 1'b1;
            end
            if (drain_free) begin
                busy_q[send_bank_q] <= 1'b0;
                done_q[send_bank_q] <= 1'b0;
            end
            if (end_out.valid) done_q[end_out.bank] <= 1'b1;
        end
        if (end_out.valid) done_bad_q[end_out.bank] <= end_out.bad;
        if (!work_q || last_step) begin
            i_q    <= '0;
            beat_q <= '0;
            pass_q <= '0;
        end else begin
            i_q <= last_i ? '0 : i_q + (IDX_W+1)'(1);
            if (last_i) begin
                beat_q <= last_beat ? '0 : beat_q + BT_W'(1);
                if (last_beat) pass_q <= pass_q + PASS_W'(1);
            end
        end
    end

    assign step.last_beat = last_beat;
    assign step.i         = i_q[IDX_W-1:0];
    assign step.pass      = pass_q;
    assign step.bank      = result_bank_q;

    logic [BEAT:1] step_valid_q;
    step_t         step_next, step_beat_q, step_result;
    logic          first_beat;      // of a vector: the sum that comes begins one

    always_ff @(posedge clk) begin
        if (rst) step_valid_q <= '0;
        else     step_valid_q <= {step_valid_q[BEAT-1:1], work_q && i_q < (IDX_W+1)'(cfg_vectors)};
    end
    // The accumulators are read for the step whose beat's sum comes in the next cycle.
    embnic_delay #(.WIDTH($bits(step_t)), .CYCLES(BEAT - 1)) u_step_next (
        .clk, .rst, .in(step), .out({step_next})
    );
    always_ff @(posedge clk) step_beat_q <= step_next;
    embnic_delay #(.WIDTH(1), .CYCLES(BEAT)) u_first_beat (
        .clk, .rst, .in(beat_q == '0), .out(first_beat)
    );
    embnic_delay #(.WIDTH($bits(step_t)), .CYCLES(ADD_STAGES)) u_step_result (
        .clk, .rst, .in(step_beat_q), .out({step_result})
    );

    // The common operand.
    logic [MEM_W:0]   addr_i;
    logic [MEM_W:0]   in_addr;
    logic [DATA_W-1:0] operand_i;

    assign in_addr = {in_bank_q, in_vec_q, in_beat_q};
    assign addr_i  = {work_bank_q, i_q[IDX_W-1:0], beat_q};

    embnic_ram_1r1w #(.WIDTH(DATA_W), .DEPTH(2 * DEPTH), .OUT_REG(1'b1)) u_vectors (
        .clk,
        .wr_en  (take && !taken_q[MEM_W]),
        .wr_addr(in_addr),
        .wr_data(s_axis_vec_tdata),
        .rd_en  (work_q),
        .rd_addr(addr_i),
        .rd_data(operand_i)
    );

    // Results: a RAM a unit, read one pair at a time.
    logic                    send_rd_en;
    logic [RES_W:0]          send_rd_addr;
    logic [UNITS-1:0][31:0]  send_rd_data;

    for (genvar u = 0; u < int'(UNITS); u++) begin : gen_unit
        logic [DIST_W-1:0]   partner_q;  // i + distance, modulo the vectors
        logic [PASS_W-1:0]   pass_next;  // of the vector behind the last one
        logic [MEM_W:0]     addr_j;
        logic [DATA_W-1:0]   operand_j;

        // The partner counts along with i; it begins at the distance of the pass. Distances beyond the last one are
        // of nobody: what they give is never read.
        assign pass_next = last_beat ? pass_q + PASS_W'(1) : pass_q;
        assign addr_j    = {work_bank_q, partner_q[IDX_W-1:0], beat_q};

        always_ff @(posedge clk) begin
            if (!work_q || last_step) begin
                partner_q <= DIST_W'(u + 1);
            end else if (last_i) begin
                partner_q <= DIST_W'(u + 1) + DIST_W'(pass_next) * DIST_W'(UNITS);
            end else begin
                partner_q <= partner_q + DIST_W'(1);
                if (partner_q + DIST_W'(1) == DIST_W'(cfg_vectors)) partner_q <= '0;
            end
        end

        embnic_ram_1r1w #(.WIDTH(DATA_W), .DEPTH(2 * DEPTH), .OUT_REG(1'b1)) u_vectors (
            .clk,
            .wr_en  (take && !taken_q[MEM_W]),
            .wr_addr(in_addr),
            .wr_data(s_axis_vec_tdata),
            .rd_en  (work_q),
            .rd_addr(addr_j),
            .rd_data(operand_j)
        );

        // Products, and their sums level by level.
        logic [2*LANES-1:1][31:0] sum;        // a heap: node n is the sum of 2n and 2n + 1
        logic [2*LANES-1:1]       sum_valid;

        for (genvar l = 0; l < int'(LANES); l++) begin : gen_lane
            // Leaves that are LANES / 2 apart share a parent: the bits of the lane's number, reversed.
            localparam int unsigned LEAF = LANES + reversed(l);
            embnic_fp32_mul u_mul (
                .clk, .rst,
                .valid_in (step_valid_q[OPERAND]),
                .a        (operand_i[l*32+:32]),
                .b        (operand_j[l*32+:32]),
                .valid_out(sum_valid[LEAF]),
                .result   (sum[LEAF])
            );
        end
        for (genvar n = 1; n < int'(LANES); n++) begin : gen_node
            embnic_fp32_add u_add (
                .clk, .rst,
                .valid_in (sum_valid[2*n]),
                .a        (sum[2*n]),
                .b        (sum[2*n+1]),
                .valid_out(sum_valid[n]),
                .result   (sum[n])
            );
            `EMBNIC_ASSERT(pair_agrees, sum_valid[2*n] == sum_valid[2*n+1], "two that are added come together")
        end

        // The accumulators of all i; read a cycle before the beat's sum, written when it was added.
        logic        result_valid;
        logic [31:0] acc, result;

        embnic_ram_1r1w #(.WIDTH(32), .DEPTH(MAX_VECTORS), .STYLE(1)) u_acc (
            .clk,
            .wr_en  (result_valid),
            .wr_addr(step_result.i),
            .wr_data(result),
            .rd_en  (step_valid_q[BEAT-1]),
            .rd_addr(step_next.i),
            .rd_data(acc)
        );
        embnic_fp32_add u_accumulate (
            .clk, .rst,
            .valid_in (sum_valid[1]),
            .a        (first_beat ? '0 : acc),
            .b        (sum[1]),
            .valid_out(result_valid),
            .result   (result)
        );
        embnic_ram_1r1w #(.WIDTH(32), .DEPTH(2 << RES_W)) u_results (
            .clk,
            .wr_en  (result_valid && step_result.last_beat),
            .wr_addr({step_result.bank, step_result.pass, step_result.i}),
            .wr_data(result),
            .rd_en  (send_rd_en),
            .rd_addr(send_rd_addr),
            .rd_data(send_rd_data[u])
        );
    end

    function automatic int unsigned reversed(int unsigned lane);
        reversed = 0;
        for (int unsigned bit_ = 0; bit_ < LEVELS; bit_++) begin
            if (lane[bit_]) reversed |= 1 << (LEVELS - 1 - bit_);
        end
    endfunction

    // ---------------------------------------------------------------------------------------------
    // Out: pairs in order; each is looked up where its distance put it
    // ---------------------------------------------------------------------------------------------
    typedef struct packed {
        logic [31:0] dot;
        logic        last;
        logic        bad;
    } pair_t;

    localparam int unsigned FIFO_DEPTH = 16;

    logic [IDX_W-1:0]  hi_q, lo_q;        // the pair that is read next
    logic              sending_q;         // pairs of the bank are left to read
    logic [DIST_W-1:0] gap, distance;
    logic              go, last_pair;     // a pair begins; it is its sample's last
    logic              s1_valid_q, s2_valid_q, s1_last_q, s2_last_q, s1_bad_q, s2_bad_q, s1_bank_q;
    logic [DIST_W-1:0] s1_order_q;        // of the distance, from 0
    logic [IDX_W-1:0]  s1_i_q;            // which of the two is i
    logic [UNIT_W-1:0] s2_unit_q;
    pair_t             pair_in, pair_out;
    logic              fifo_ready;
    logic [$clog2(FIFO_DEPTH+4)-1:0] fifo_cnt;

    assign gap        = DIST_W'(hi_q) - DIST_W'(lo_q);
    assign distance   = (gap <= distances) ? gap : DIST_W'(cfg_vectors) - gap;
    assign last_pair  = done_bad_q[send_bank_q]
                        || (VEC_W'(hi_q) + VEC_W'(1) == cfg_vectors && lo_q + IDX_W'(1) == hi_q);
    assign go         = sending_q && 32'(fifo_cnt) < FIFO_DEPTH - 3;
    assign drain_free = go && last_pair;

    assign send_rd_en   = s1_valid_q;
    assign send_rd_addr = {s1_bank_q, PASS_W'(32'(s1_order_q) / UNITS), s1_i_q};

    always_ff @(posedge clk) begin
        s1_order_q <= distance - DIST_W'(1);
        s1_i_q     <= (gap <= distances) ? lo_q : hi_q;
        s1_last_q  <= last_pair;
        s1_bad_q   <= done_bad_q[send_bank_q];
        s1_bank_q  <= send_bank_q;
        s2_unit_q  <= UNIT_W'(32'(s1_order_q) % UNITS);
        s2_last_q  <= s1_last_q;
        s2_bad_q   <= s1_bad_q;
        if (!sending_q) begin
            hi_q <= IDX_W'(1);
            lo_q <= '0;
        end else if (go) begin
            lo_q <= lo_q + IDX_W'(1);
            if (lo_q + IDX_W'(1) == hi_q) begin
                lo_q <= '0;
                hi_q <= hi_q + IDX_W'(1);
            end
        end
        if (rst) begin
            sending_q   <= 1'b0;
            send_bank_q <= 1'b0;
            s1_valid_q  <= 1'b0;
            s2_valid_q  <= 1'b0;
        end else begin
            s1_valid_q <= go;
            s2_valid_q <= s1_valid_q;
            if (drain_free) begin
                sending_q   <= 1'b0;
                send_bank_q <= !send_bank_q;
            end else if (done_q[send_bank_q]) begin
                sending_q <= 1'b1;
            end
        end
    end

    assign pair_in = '{dot: s2_bad_q ? '0 : send_rd_data[s2_unit_q], last: s2_last_q, bad: s2_bad_q};

    embnic_fifo #(.WIDTH($bits(pair_t)), .DEPTH(FIFO_DEPTH), .STYLE(1)) u_pairs (
        .clk, .rst,
        .s_axis_tdata (pair_in),
        .s_axis_tvalid(s2_valid_q),
        .s_axis_tready(fifo_ready),
        .m_axis_tdata ({pair_out}),
        .m_axis_tvalid(m_axis_pair_tvalid),
        .m_axis_tready(m_axis_pair_tready),
        .sts_count    (fifo_cnt)
    );

    assign m_axis_pair_tdata = pair_out.dot;
    assign m_axis_pair_tlast = pair_out.last;
    assign m_axis_pair_tuser = pair_out.bad;

    assign sts_idle = taken_q == '0 && full_q == '0 && !work_q && busy_q == '0 && !s1_valid_q && !s2_valid_q
                      && fifo_cnt == '0;

    // Assertions
    `EMBNIC_STABLE(pair_stable, m_axis_pair_tvalid, m_axis_pair_tready,
                   {m_axis_pair_tdata, m_axis_pair_tuser, m_axis_pair_tlast}, "the output holds until it is taken")
    `EMBNIC_KNOWN(ready_known, s_axis_vec_tready, "tready is known after reset")
    `EMBNIC_KNOWN(valid_known, m_axis_pair_tvalid, "tvalid is known after reset")
    `EMBNIC_NEVER(pair_lost, s2_valid_q && !fifo_ready, "a pair always finds a place")
    `EMBNIC_NEVER(bad_vectors, s_axis_vec_tvalid && (cfg_vectors < VEC_W'(2) || 32'(cfg_vectors) > MAX_VECTORS),
                  "cfg_vectors is 2 to MAX_VECTORS")
    `EMBNIC_NEVER(bad_beats, s_axis_vec_tvalid && (cfg_beats == '0 || 32'(cfg_beats) > MAX_BEATS),
                  "cfg_beats is 1 to MAX_BEATS")
    `EMBNIC_NEVER(done_twice, end_out.valid && done_q[end_out.bank], "a bank of results is complete once")
    `EMBNIC_NEVER(done_free, (done_q & ~busy_q) != '0, "what is complete is taken")
    `EMBNIC_COVER(both_banks, busy_q == 2'b11, "a sample is worked on while another is sent")
    `EMBNIC_COVER(no_gap, last_step && start, "a sample begins in the cycle behind another")
endmodule
`default_nettype wire
