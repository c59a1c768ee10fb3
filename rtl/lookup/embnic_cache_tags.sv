// SPDX-License-Identifier: Apache-2.0
// Says for each key where in the cache its line is: a hit, or the way that is allocated to it at
// once, or that it gets none.
//
// Set-associative over SETS sets of WAYS ways; the set is the XOR of the key's index-wide pieces,
// so the lowest piece follows from the set and the rest: the tag is the key without it, and no two
// keys are ever confused. Victim: the lowest unused way, else tree pseudo-LRU over the ways that are
// not held.
//
// Held ways   a pinned line is held until it is released, a locked one until it is looked up. A held
//             way is never a victim. Its data may become void (TAG_DROP): a lock ends then, a pin
//             does not; the next lookup of the key misses and gets the same way. A hold is granted
//             while more than cfg_cached_ways ways of the set are not held. When all are held, a miss
//             gets no way (result_no_way).
// Filter      with cfg_admission a lookup replaces a line only if its key was looked up more often
//             lately (`estimate`) than the line had been at its own last lookup; else it gets no way
//             (result_refused), and the line's number goes down by one.
// Errors      a tag, or the state of a set, that is not as it was written (ECC) is no tag: the way is
//             empty and held no more, or all ways of the set are.
// Order       as looked up; each lookup sees the effect of all before it, also in the very next
//             cycle.
// Latency     3 cycles from lookup_valid to result_valid.
// Throughput  one lookup per cycle, whatever the sets.
// Reset       clears all sets, one per cycle; so does cfg_clear. No lookups meanwhile
//             (sts_clearing).
//
//   S0 hash, read | S1 compare tags | S2 decide: the only loop, over the state of one set | S3
//   write, result
`default_nettype none
`include "embnic_assert.svh"
module embnic_cache_tags
    import embnic_cache_pkg::*;
#(
    parameter int unsigned WAYS = 4,   // 1, 2, 4 or 8
    parameter int unsigned SETS = 1024,// power of two, >= 2
    parameter bit          ECC  = 1'b0 // parity of tags and state
) (
    input  wire logic              clk,
    input  wire logic              rst,
    input  wire logic              lookup_valid,
    input  wire logic [KEY_W-1:0]  lookup_key,
    input  wire tag_cmd_e          lookup_cmd,
    input  wire logic [FREQ_W-1:0] estimate,         // of the lookup 2 cycles ago: how often its key was looked up lately
    output      logic              result_valid,
    output      logic              result_hit,       // the line was there
    output      logic              result_evict,     // a valid line was replaced
    output      logic              result_kept,      // the line was there or has a way now; with TAG_RELEASE: it was held
    output      logic              result_no_way,    // it has none: all ways of the set are held
    output      logic              result_refused,   // it has none: the filter refused it
    output      logic              result_pinned,    // a hit on a pinned line
    output      logic              result_held,      // TAG_LOCK, TAG_PIN: granted
    output      logic [LINE_W-1:0] result_line,      // set * WAYS + way; meaningful when hit or kept
    input  wire logic [1:0]        inject,           // see embnic_ram_parity: tags of way 0; state
    input  wire logic [2:0]        inject_place,
    output      logic              evt_parity,       // a lookup met a wrong tag or state
    output      logic              evt_injected,
    input  wire logic [WAYS_W-1:0] cfg_cached_ways,  // of each set that holds must leave
    input  wire logic              cfg_admission,    // ask the filter
    input  wire logic              cfg_clear,        // pulse, only when sts_idle: drop all lines, pinned ones, too
    output      logic              sts_clearing,
    output      logic              sts_idle          // no lookup is on its way
);
    if (WAYS != 1 && WAYS != 2 && WAYS != 4 && WAYS != 8) begin : gen_bad_ways
        $fatal(1, "WAYS must be 1, 2, 4 or 8");
    end
    if (SETS < 2 || (SETS & (SETS - 1)) != 0) begin : gen_bad_sets
        $fatal(1, "SETS must be a power of two, at least 2");
    end
    if (WAYS * SETS > (1 << LINE_W)) begin : gen_bad_lines
        $fatal(1, "WAYS * SETS must not exceed 65,536 lines");
    end

    localparam int unsigned IDX_W  = $clog2(SETS);
    localparam int unsigned TAG_W  = KEY_W - IDX_W;
    localparam int unsigned DEPTH  = $clog2(WAYS);               // levels of the PLRU tree
    localparam int unsigned WAY_W  = (WAYS == 1) ? 1 : DEPTH;
    localparam int unsigned PLRU_W = (WAYS == 1) ? 1 : WAYS - 1; // one bit a node; node n has children 2n+1 and 2n+2

    // What decides hit and victim besides the tags. A PLRU bit names the half to be replaced next. A locked line is valid.
    typedef struct packed {
        logic [WAYS-1:0]             valid;
        logic [WAYS-1:0]             pinned;
        logic [WAYS-1:0]             locked;
        logic [WAYS-1:0][FREQ_W-1:0] freq;  // estimate at the last lookup
        logic [PLRU_W-1:0]           plru;
    } state_t;

    function automatic logic [IDX_W-1:0] hash(input logic [KEY_W-1:0] key);
        hash = '0;
        for (int unsigned i = 0; i < KEY_W; i++) hash[i % IDX_W] = hash[i % IDX_W] ^ key[i];
    endfunction

    // At every node the half that PLRU names, unless only the other one has ways of `open`. Then down the tree.
    function automatic logic [WAY_W-1:0] plru_victim(input logic [PLRU_W-1:0] plru, input logic [WAYS-1:0] open);
        int unsigned         node;
        logic [2*WAYS-1:1]   some;  // node n + 1, and as leaves the ways: there is one below
        logic [PLRU_W-1:0]   side;
        for (int unsigned w = 0; w < WAYS; w++) some[WAYS+w] = open[w];
        for (int unsigned n = WAYS - 1; n >= 1; n--) some[n] = some[2*n] || some[2*n+1];
        side = '0;
        for (int unsigned n = 0; n + 1 < WAYS; n++) side[n] = some[2*n+3] && (plru[n] || !some[2*n+2]);
        node        = 0;
        plru_victim = '0;
        for (int level = 0; level < int'(DEPTH); level++) begin
            plru_victim = WAY_W'({plru_victim, side[node]});
            node        = 2 * node + 1 + 32'(side[node]);
        end
    endfunction

    // After a use of `way` every node on its path points to the other half.
    function automatic logic [PLRU_W-1:0] plru_touch(input logic [PLRU_W-1:0] plru, input logic [WAY_W-1:0] way);
        int unsigned node;
        logic        side;
        node       = 0;
        plru_touch = plru;
        for (int level = 0; level < int'(DEPTH); level++) begin
            side             = way[int'(DEPTH) - 1 - level];
            plru_touch[node] = !side;
            node             = 2 * node + 1 + 32'(side);
        end
    endfunction

    // S0: hash and read

    logic [IDX_W-1:0]           s0_idx;
    logic [WAYS-1:0][TAG_W-1:0] ram_tag;
    logic [$bits(state_t)-1:0]  ram_state;
    logic [WAYS-1:0]            ram_bad;      // of each tag
    logic                       ram_state_bad;
    logic [WAYS:0]              injected;

    assign s0_idx = hash(lookup_key);

    logic             s1_valid_q;
    tag_cmd_e         s1_cmd_q;
    logic [IDX_W-1:0] s1_idx_q;
    logic [TAG_W-1:0] s1_tag_q;

    // S1: compare. A write of S3 is readable from the cycle after it, so the two lookups that this
    // one's read could not see, and that are decided by now (S3, S4), are taken from the registers.
    // The third is in S2: see there.

    logic             s2_valid_q;
    tag_cmd_e         s2_cmd_q;
    logic [IDX_W-1:0] s2_idx_q;
    logic [TAG_W-1:0] s2_tag_q;
    logic [WAYS-1:0]  s2_same_q;         // way w holds this tag
    logic [WAYS-1:0]  s2_bad_q;          // the tag of way w is wrong
    state_t           s2_state_q;
    logic             s2_after_set_q;    // the lookup one cycle ahead has the same set
    logic             s2_after_tag_q;    // and the same tag

    logic             s3_valid_q, s4_valid_q;
    logic [IDX_W-1:0] s3_idx_q, s4_idx_q;
    logic [TAG_W-1:0] s3_tag_q, s4_tag_q;
    logic [WAYS-1:0]  s3_write_q, s4_write_q; // the tag of way w was replaced
    state_t           s3_state_q, s4_state_q; // of the set, afterwards
    logic             s3_hit_q, s3_evict_q, s3_kept_q, s3_no_way_q, s3_refused_q, s3_pinned_q, s3_held_q;
    logic [WAY_W-1:0] s3_way_q;

    logic             s1_on_s3, s1_on_s4;
    logic [WAYS-1:0]  s1_same, s1_bad;
    state_t           s1_state;

    assign s1_on_s3 = s3_valid_q && s3_idx_q == s1_idx_q;
    assign s1_on_s4 = s4_valid_q && s4_idx_q == s1_idx_q;

    always_comb begin
        for (int unsigned w = 0; w < WAYS; w++) begin
            s1_same[w] = ram_tag[w] == s1_tag_q;
            if (s1_on_s4 && s4_write_q[w]) s1_same[w] = s4_tag_q == s1_tag_q;
            if (s1_on_s3 && s3_write_q[w]) s1_same[w] = s3_tag_q == s1_tag_q;
            s1_bad[w] = ram_bad[w] && !(s1_on_s4 && s4_write_q[w]) && !(s1_on_s3 && s3_write_q[w]);
        end
        s1_state = ram_state_bad ? '0 : state_t'(ram_state);
        if (s1_on_s4) s1_state = s4_state_q;
        if (s1_on_s3) s1_state = s3_state_q;
    end

    // S2: decide

    logic              s2_alloc;                            // TAG_LOOK and what is like it
    logic [WAYS-1:0]   s2_match, s2_used, s2_held;          // one bit a way, as all vectors of ways here
    logic [WAYS-1:0]   s2_above, s2_refuses, s2_choice, s2_take;
    logic              s2_mine, s2_hit, s2_full, s2_room, s2_no_way, s2_refused, s2_keep, s2_grant;
    logic [WAY_W-1:0]  s2_match_way, s2_free_way, s2_victim, s2_way;
    logic [FREQ_W-1:0] s2_estimate;
    logic [WAYS_W-1:0] s2_open;                             // ways that are not held
    state_t            s2_state, s2_after;
    logic [WAYS-1:0]   s2_write;

    assign s2_alloc    = s2_cmd_q != TAG_DROP && s2_cmd_q != TAG_RELEASE;
    assign s2_estimate = cfg_admission ? estimate : '0;

    always_comb begin
        s2_state = s2_after_set_q ? s3_state_q : s2_state_q;
        for (int unsigned w = 0; w < WAYS; w++) begin
            if (s2_bad_q[w] && !(s2_after_set_q && s3_write_q[w])) begin
                s2_state.valid[w]  = 1'b0;
                s2_state.pinned[w] = 1'b0;
                s2_state.locked[w] = 1'b0;
            end
        end
        s2_used  = s2_state.valid | s2_state.pinned;
        s2_held  = s2_state.pinned | s2_state.locked;
        s2_open  = '0;
        for (int unsigned w = 0; w < WAYS; w++) begin
            s2_match[w] = s2_used[w]
                && ((s2_after_set_q && s3_write_q[w]) ? s2_after_tag_q : s2_same_q[w]);
            s2_above[w] = s2_estimate > s2_state.freq[w];
            s2_open     = s2_open + WAYS_W'(!s2_held[w]);
        end
        s2_mine = s2_match != '0;
        s2_hit  = (s2_match & s2_state.valid) != '0;
        s2_full = s2_used == '1;
        s2_room = s2_open > cfg_cached_ways;

        s2_match_way = '0;
        s2_free_way  = '0;
        for (int unsigned w = 0; w < WAYS; w++) begin
            if (s2_match[w]) s2_match_way = s2_match_way | WAY_W'(w);
        end
        for (int w = int'(WAYS) - 1; w >= 0; w--) begin
            if (!s2_used[w]) s2_free_way = WAY_W'(w);
        end
        s2_victim = plru_victim(s2_state.plru, ~s2_held);
        s2_way    = s2_mine ? s2_match_way : s2_full ? s2_victim : s2_free_way;
        s2_no_way = s2_alloc && !s2_mine && s2_held == '1;

        // For each way by itself, so that nothing is decoded late: is it the one, would it be refused, is it taken?
        for (int unsigned w = 0; w < WAYS; w++) begin
            s2_choice[w]  = s2_full ? s2_victim == WAY_W'(w) && !s2_held[w] : s2_free_way == WAY_W'(w);
            s2_refuses[w] = s2_full && s2_cmd_q == TAG_LOOK && cfg_admission && !s2_above[w];
            s2_take[w]    = s2_alloc && (s2_match[w] || (!s2_mine && s2_choice[w] && !s2_refuses[w]));
        end
        s2_refused = !s2_mine && (s2_choice & s2_refuses) != '0;
        s2_keep    = s2_take != '0;
        s2_grant   = s2_keep && ((s2_match & s2_held) != '0 || s2_room);

        s2_after = s2_state;
        s2_write = '0;
        s2_after.valid = s2_state.valid | s2_take;
        if (s2_keep) s2_after.plru = plru_touch(s2_state.plru, s2_way);
        for (int unsigned w = 0; w < WAYS; w++) begin
            s2_write[w] = s2_valid_q && s2_take[w] && !s2_mine;
            if (s2_take[w]) begin
                s2_after.freq[w] = s2_estimate;
            end else if (!s2_mine && s2_choice[w] && s2_refuses[w] && s2_state.freq[w] != '0) begin
                s2_after.freq[w] = s2_state.freq[w] - 1'b1;
            end
        end
        unique case (s2_cmd_q)
            TAG_DROP: begin
                s2_after.valid  = s2_state.valid & ~s2_match;
                s2_after.locked = s2_state.locked & ~s2_match;
            end
            TAG_LOOK: s2_after.locked = s2_state.locked & ~s2_match;
            TAG_RELEASE: begin
                s2_after.pinned = s2_state.pinned & ~s2_match;
                s2_after.locked = s2_state.locked & ~s2_match;
            end
            TAG_LOCK: if (s2_grant) s2_after.locked = s2_state.locked | s2_take;
            TAG_PIN:  if (s2_grant) s2_after.pinned = s2_state.pinned | s2_take;
            default: ;
        endcase
    end

    // S3: write

    logic             clearing_q;
    logic [IDX_W-1:0] clear_idx_q;

    for (genvar w = 0; w < WAYS; w++) begin : gen_way
        embnic_ram_parity #(.WIDTH(TAG_W), .DEPTH(SETS), .STYLE(2), .WORD(TAG_W), .ECC(ECC)) u_tag_ram (
            .clk, .rst,
            .wr_en  (s3_write_q[w]),
            .wr_addr(s3_idx_q),
            .wr_data(s3_tag_q),
            .rd_en  (lookup_valid),
            .rd_addr(s0_idx),
            .rd_data(ram_tag[w]),
            .rd_bad (ram_bad[w]),
            .inject (inject[0] && w == 0),
            .inject_place,
            .evt_injected(injected[w])
        );
    end

    embnic_ram_parity #(.WIDTH($bits(state_t)), .DEPTH(SETS), .STYLE(2), .ECC(ECC)) u_state_ram (
        .clk, .rst,
        .wr_en  (s3_valid_q || clearing_q),
        .wr_addr(clearing_q ? clear_idx_q : s3_idx_q),
        .wr_data(clearing_q ? '0 : s3_state_q),
        .rd_en  (lookup_valid),
        .rd_addr(s0_idx),
        .rd_data(ram_state),
        .rd_bad (ram_state_bad),
        .inject (inject[1]),
        .inject_place,
        .evt_injected(injected[WAYS])
    );

    assign evt_injected = injected != '0;

    always_ff @(posedge clk) begin
        s1_cmd_q <= lookup_cmd;
        s1_idx_q <= s0_idx;
        s1_tag_q <= lookup_key[KEY_W-1:IDX_W];

        s2_cmd_q       <= s1_cmd_q;
        s2_idx_q       <= s1_idx_q;
        s2_tag_q       <= s1_tag_q;
        s2_same_q      <= s1_same;
        s2_bad_q       <= s1_bad;
        s2_state_q     <= s1_state;
        s2_after_set_q <= s2_valid_q && s2_idx_q == s1_idx_q;
        s2_after_tag_q <= s2_tag_q == s1_tag_q;

        s3_idx_q     <= s2_idx_q;
        s3_tag_q     <= s2_tag_q;
        s3_state_q   <= s2_after;
        s3_hit_q     <= s2_hit;
        s3_evict_q   <= s2_keep && !s2_mine && s2_full;
        s3_kept_q    <= s2_keep || (s2_cmd_q == TAG_RELEASE && (s2_match & s2_held) != '0);
        s3_no_way_q  <= s2_no_way;
        s3_refused_q <= s2_refused;
        s3_pinned_q  <= (s2_match & s2_state.valid & s2_state.pinned) != '0;
        s3_held_q    <= s2_grant && (s2_cmd_q == TAG_LOCK || s2_cmd_q == TAG_PIN);
        s3_way_q     <= s2_way;

        s4_idx_q   <= s3_idx_q;
        s4_tag_q   <= s3_tag_q;
        s4_write_q <= s3_write_q;
        s4_state_q <= s3_state_q;

        if (rst) begin
            s1_valid_q  <= 1'b0;
            s2_valid_q  <= 1'b0;
            s3_valid_q  <= 1'b0;
            s4_valid_q  <= 1'b0;
            s3_write_q  <= '0;
            evt_parity  <= 1'b0;
            clearing_q  <= 1'b1;
            clear_idx_q <= '0;
        end else begin
            s1_valid_q <= lookup_valid;
            s2_valid_q <= s1_valid_q;
            s3_valid_q <= s2_valid_q;
            s4_valid_q <= s3_valid_q;
            s3_write_q <= s2_write;
            evt_parity <= s1_valid_q && ((s1_bad & (s1_state.valid | s1_state.pinned)) != '0 || (ram_state_bad && !s1_on_s3 && !s1_on_s4));
            if (cfg_clear) begin
                clearing_q  <= 1'b1;
                clear_idx_q <= '0;
            end else if (clearing_q) begin
                clearing_q  <= clear_idx_q != '1;
                clear_idx_q <= clear_idx_q + 1'b1;
            end
        end
    end

    assign result_valid   = s3_valid_q;
    assign result_hit     = s3_hit_q;
    assign result_evict   = s3_evict_q;
    assign result_kept    = s3_kept_q;
    assign result_no_way  = s3_no_way_q;
    assign result_refused = s3_refused_q;
    assign result_pinned  = s3_pinned_q;
    assign result_held    = s3_held_q;
    assign result_line    = (WAYS == 1) ? LINE_W'(s3_idx_q) : LINE_W'({s3_idx_q, s3_way_q});
    assign sts_clearing   = clearing_q;
    assign sts_idle       = !s1_valid_q && !s2_valid_q && !s3_valid_q;

    // Assertions
    `EMBNIC_NEVER(two_ways, s2_valid_q && (s2_match & (s2_match - 1'b1)) != '0,
        "a key is in one way at most")
    `EMBNIC_NEVER(held_is_replaced, s2_valid_q && (s2_write & s2_held) != '0,
        "a pinned or locked way is never a victim")
    `EMBNIC_NEVER(locked_invalid, s2_valid_q && (s2_state.locked & ~s2_state.valid) != '0,
        "a locked line is valid")
    `EMBNIC_ASSUME(no_lookup_in_clear, !(lookup_valid && (clearing_q || cfg_clear)),
        "lookups wait while the sets are cleared")
    `EMBNIC_ASSUME(clear_when_idle, !cfg_clear || sts_idle,
        "the sets are cleared only between lookups")
    `EMBNIC_KNOWN(result_known, result_valid, "result_valid is known after reset")
    `EMBNIC_COVER(next_cycle, s2_valid_q && s2_after_set_q && !s2_after_tag_q,
        "two lookups of one set in consecutive cycles")
    `EMBNIC_COVER(evict, result_valid && result_evict, "a valid line is replaced")
    `EMBNIC_COVER(no_way, result_valid && result_no_way, "a miss finds all ways held")
    `EMBNIC_COVER(refused, result_valid && result_refused, "the filter refuses a line")
    `EMBNIC_COVER(refilled, s2_valid_q && s2_keep && s2_mine && !s2_hit, "a pinned line whose data is void gets its own way")
endmodule
`default_nettype wire
