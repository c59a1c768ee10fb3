// SPDX-License-Identifier: Apache-2.0
// embnic_cache_tags: hit, way and victim are those of a cache that does one lookup after the other; the pipeline cannot
// be seen. The model below is that cache, written down without a pipeline.
//
// Keys are KEY_BITS wide here, the rest of the port is zero.
`default_nettype none
`include "embnic_fv.svh"
module embnic_cache_tags_fv
    import embnic_cache_pkg::*;
#(
    parameter int unsigned WAYS     = 2,
    parameter int unsigned SETS     = 2,
    parameter int unsigned KEY_BITS = 4
) (
    input wire logic                clk,
    input wire logic                rst,
    input wire logic                lookup_valid,
    input wire logic [KEY_BITS-1:0] key,
    input wire logic [2:0]          cmd,
    input wire logic [FREQ_W-1:0]   estimate,
    input wire logic [WAYS_W-1:0]   cfg_cached_ways,
    input wire logic                cfg_admission,
    input wire logic                cfg_clear
);
    `EMBNIC_FV_RESET

    localparam int unsigned IDX_W = $clog2(SETS);
    localparam int unsigned WAY_W = $clog2(WAYS);

    logic              result_valid, result_hit, result_evict, result_kept, result_no_way, result_refused, result_pinned;
    logic              result_held, sts_clearing, sts_idle;
    logic [LINE_W-1:0] result_line;
    tag_cmd_e          lookup_cmd;

    assign lookup_cmd = cmd > TAG_PIN ? TAG_LOOK : tag_cmd_e'(cmd);

    embnic_cache_tags #(.WAYS(WAYS), .SETS(SETS)) u_dut (
        .clk, .rst, .lookup_valid,
        .lookup_key(KEY_W'(key)),
        .lookup_cmd, .estimate, .result_valid, .result_hit, .result_evict, .result_kept, .result_no_way, .result_refused,
        .result_pinned, .result_held, .result_line, .cfg_cached_ways, .cfg_admission, .cfg_clear, .sts_clearing, .sts_idle,
        .inject('0), .inject_place('0), .evt_parity(), .evt_injected()
    );

    // The lookup that the result of this cycle belongs to, and what was at the inputs when it was decided.
    logic [2:0]               valid_q;
    logic [2:0][KEY_BITS-1:0] key_q;
    tag_cmd_e                 cmd0_q, cmd1_q, command;
    logic [FREQ_W-1:0]        estimate_q;
    logic [WAYS_W-1:0]        cached_ways_q;
    logic                     admission_q;

    always_ff @(posedge clk) begin
        valid_q       <= rst ? '0 : {valid_q[1:0], lookup_valid};
        key_q         <= {key_q[1:0], key};
        cmd0_q        <= lookup_cmd;
        cmd1_q        <= cmd0_q;
        command       <= cmd1_q;
        estimate_q    <= cfg_admission ? estimate : '0;
        cached_ways_q <= cfg_cached_ways;
        admission_q   <= cfg_admission;
    end

    // The cache without a pipeline.
    logic [SETS-1:0][WAYS-1:0]               there_q, pinned_q, locked_q;
    logic [SETS-1:0][WAYS-1:0][FREQ_W-1:0]   freq_q;
    logic [SETS-1:0][WAYS-1:0][KEY_BITS-1:0] held_key_q;
    logic [SETS-1:0][WAYS-2:0]               plru_q;

    logic [KEY_BITS-1:0] now;
    logic [IDX_W-1:0]    set;
    logic [WAYS-1:0]     used, held;
    logic                mine, hit, full, alloc, no_way, refused, kept, granted;
    logic [WAY_W-1:0]    own_way, free_way, lru_way, way;
    logic [WAYS-2:0]     touched;
    int unsigned         open;

    function automatic logic [IDX_W-1:0] set_of(input logic [KEY_BITS-1:0] k);
        set_of = '0;
        for (int unsigned i = 0; i < KEY_BITS; i++) set_of[i % IDX_W] = set_of[i % IDX_W] ^ k[i];
    endfunction

    assign now  = key_q[2];
    assign set  = set_of(now);
    assign used = there_q[set] | pinned_q[set];
    assign held = pinned_q[set] | locked_q[set];

    always_comb begin
        mine     = 1'b0;
        own_way  = '0;
        free_way = '0;
        open     = 0;
        for (int w = int'(WAYS) - 1; w >= 0; w--) begin
            if (used[w] && held_key_q[set][w] == now) begin
                mine    = 1'b1;
                own_way = WAY_W'(w);
            end
            if (!used[w]) free_way = WAY_W'(w);
            if (!held[w]) open = open + 1;
        end
        hit  = mine && there_q[set][own_way];
        full = used == '1;
    end

    // Tree pseudo-LRU, node n above nodes 2n+1 and 2n+2; a node's bit names the half to be replaced next. Where all ways of
    // a half are held, the other.
    if (WAYS == 2) begin : gen_two
        assign lru_way = held[plru_q[set][0]] ? !plru_q[set][0] : plru_q[set][0];
        assign touched = !way;
    end else begin : gen_four
        logic half, low;
        assign half    = (plru_q[set][0] ? held[3:2] : held[1:0]) == 2'b11 ? !plru_q[set][0] : plru_q[set][0];
        assign low     = half ? plru_q[set][2] : plru_q[set][1];
        assign lru_way = {half, held[{half, low}] ? !low : low};
        assign touched = {way[1] ? !way[0] : plru_q[set][2], way[1] ? plru_q[set][1] : !way[0], !way[1]};
    end

    assign alloc   = command != TAG_DROP && command != TAG_RELEASE;
    assign no_way  = alloc && !mine && held == '1;
    assign refused = command == TAG_LOOK && admission_q && !mine && full && !no_way && estimate_q <= freq_q[set][lru_way];
    assign kept    = alloc && !no_way && !refused;
    assign way     = mine ? own_way : full ? lru_way : free_way;
    assign granted = kept && (command == TAG_LOCK || command == TAG_PIN)
        && ((mine && held[own_way]) || open > 32'(cached_ways_q));

    always_ff @(posedge clk) begin
        if (valid_q[2]) begin
            if (kept) begin
                held_key_q[set][way] <= now;
                plru_q[set]          <= touched;
                there_q[set][way]    <= 1'b1;
                freq_q[set][way]     <= estimate_q;
            end
            if (refused && freq_q[set][lru_way] != '0) freq_q[set][lru_way] <= freq_q[set][lru_way] - 1'b1;
            if (granted && command == TAG_PIN) pinned_q[set][way] <= 1'b1;
            if (granted && command == TAG_LOCK) locked_q[set][way] <= 1'b1;
            if (mine && command == TAG_DROP) there_q[set][own_way] <= 1'b0;
            if (mine && command == TAG_RELEASE) pinned_q[set][own_way] <= 1'b0;
            if (mine && (command == TAG_DROP || command == TAG_RELEASE || command == TAG_LOOK)) locked_q[set][own_way] <= 1'b0;
        end
        if (rst || cfg_clear) begin
            there_q  <= '0;
            pinned_q <= '0;
            locked_q <= '0;
            freq_q   <= '0;
            plru_q   <= '0;
        end
    end

    `EMBNIC_ASSERT(in_step, result_valid == valid_q[2], "a result comes 3 cycles after its lookup")
    `EMBNIC_ASSERT(right_hit, !valid_q[2] || result_hit == hit, "a hit is a key that was allocated and not dropped or replaced since")
    `EMBNIC_ASSERT(right_line, !(valid_q[2] && (hit || kept)) || result_line == LINE_W'({set, way}),
        "its line is the one it was allocated to; a new one goes to the lowest unused way, else to the pseudo-LRU one of those not held")
    `EMBNIC_ASSERT(right_evict, !valid_q[2] || result_evict == (kept && !mine && full), "an eviction is reported when it happens")
    `EMBNIC_ASSERT(right_kept, !valid_q[2] || result_kept == (kept || (command == TAG_RELEASE && mine && held[own_way])),
        "it says whether the key has a way, or was held when it is released")
    `EMBNIC_ASSERT(right_refusal, !valid_q[2] || (result_no_way == no_way && result_refused == refused),
        "a miss gets no way when all are held, or when the filter refuses it")
    `EMBNIC_ASSERT(right_hold, !valid_q[2] || (result_held == granted && result_pinned == (hit && pinned_q[set][own_way])),
        "a hold is granted when the key is held already or enough ways are not; a hit on a pinned line says so")
    `EMBNIC_NEVER(pinned_victim, valid_q[2] && kept && !mine && held[way], "a held way is never a victim")
    `EMBNIC_NEVER(pinned_lost, valid_q[2] && alloc && mine && pinned_q[set][own_way] && result_line != LINE_W'({set, own_way}),
        "a pinned key keeps its way until it is released")
    `EMBNIC_COVER(evicts, valid_q == '1 && result_evict && now != key_q[1] && now != key_q[0], "an eviction with lookups right behind it")
    `EMBNIC_COVER(drops, valid_q[2] && command == TAG_DROP && hit && full, "a line is dropped from a full set")
    `EMBNIC_COVER(all_held, valid_q[2] && no_way, "a miss finds all ways held")
    `EMBNIC_COVER(turned, valid_q[2] && result_evict && held != '0, "a victim beside a held way")
    `EMBNIC_COVER(back, valid_q[2] && mine && !hit && kept, "a pinned key whose data was dropped gets its way again")
    `EMBNIC_COVER(turned_away, valid_q[2] && refused, "the filter refuses a key")

    // What makes the proof inductive: the RAMs hold what the model holds. The pipeline is short enough to be unrolled.
    for (genvar s = 0; s < int'(SETS); s++) begin : gen_set
        logic                 cleared;
        logic [3*WAYS+WAYS*FREQ_W+WAYS-2:0] state;

        logic [WAYS-1:0]      used_by_key;

        assign used_by_key = there_q[s] | pinned_q[s];
        assign cleared = !sts_clearing || IDX_W'(s) < u_dut.clear_idx_q;
        assign state   = u_dut.u_state_ram.gen_plain.u_ram.gen_block.mem[s];
        `EMBNIC_FV_HELP(same_state, !cleared || state == {there_q[s], pinned_q[s], locked_q[s], freq_q[s], plru_q[s]},
            "the states agree")
        `EMBNIC_FV_HELP(locked_there, (locked_q[s] & ~there_q[s]) == '0, "a locked line is there")
        `EMBNIC_FV_HELP(empty, !sts_clearing || {there_q[s], pinned_q[s], locked_q[s], freq_q[s], plru_q[s]} == '0, "nothing is held while the sets are cleared")
        for (genvar w = 0; w < int'(WAYS); w++) begin : gen_way
            `EMBNIC_FV_HELP(same_tag, !used_by_key[w] || u_dut.gen_way[w].u_tag_ram.gen_plain.u_ram.gen_block.mem[s]
                == (KEY_W - IDX_W)'(held_key_q[s][w][KEY_BITS-1:IDX_W]), "tags agree")
            `EMBNIC_FV_HELP(home, !used_by_key[w] || set_of(held_key_q[s][w]) == IDX_W'(s), "every key is in its set")
            for (genvar v = 0; v < w; v++) begin : gen_pair
                `EMBNIC_FV_HELP(once, !(used_by_key[w] && used_by_key[v]) || held_key_q[s][w] != held_key_q[s][v],
                    "a key is in one way at most")
            end
        end
    end
    `EMBNIC_FV_HELP(quiet, !sts_clearing || valid_q == '0, "no lookup is under way while the sets are cleared")
endmodule
`default_nettype wire
