// SPDX-License-Identifier: Apache-2.0
// embnic_cache_tags: hit, way and victim are those of a cache that does one lookup after the other; the pipeline cannot
// be seen. The model below is that cache, written down without a pipeline.
//
// Keys are KEY_BITS wide here, the rest of the port is zero.
`default_nettype none
`include "embnic_fv.svh"
module embnic_cache_tags_fv
    import embnic_cache_pkg::KEY_W;
    import embnic_cache_pkg::LINE_W;
#(
    parameter int unsigned WAYS     = 2,
    parameter int unsigned SETS     = 2,
    parameter int unsigned KEY_BITS = 4
) (
    input wire logic                clk,
    input wire logic                rst,
    input wire logic                lookup_valid,
    input wire logic [KEY_BITS-1:0] key,
    input wire logic                lookup_alloc,
    input wire logic                cfg_clear
);
    `EMBNIC_FV_RESET

    localparam int unsigned IDX_W = $clog2(SETS);
    localparam int unsigned WAY_W = $clog2(WAYS);

    logic              result_valid, result_hit, result_evict, sts_clearing, sts_idle;
    logic [LINE_W-1:0] result_line;

    embnic_cache_tags #(.WAYS(WAYS), .SETS(SETS)) u_dut (
        .clk, .rst, .lookup_valid,
        .lookup_key(KEY_W'(key)),
        .lookup_alloc, .result_valid, .result_hit, .result_evict, .result_line, .cfg_clear, .sts_clearing, .sts_idle,
        .inject('0), .inject_place('0), .evt_parity(), .evt_injected()
    );

    // The lookup that the result of this cycle belongs to.
    logic [2:0]               valid_q;
    logic [2:0][KEY_BITS-1:0] key_q;
    logic [2:0]               alloc_q;

    always_ff @(posedge clk) begin
        valid_q <= rst ? '0 : {valid_q[1:0], lookup_valid};
        key_q   <= {key_q[1:0], key};
        alloc_q <= {alloc_q[1:0], lookup_alloc};
    end

    // The cache without a pipeline.
    logic [SETS-1:0][WAYS-1:0]               held_q;
    logic [SETS-1:0][WAYS-1:0][KEY_BITS-1:0] held_key_q;
    logic [SETS-1:0][WAYS-2:0]               plru_q;

    logic [KEY_BITS-1:0] now;
    logic [IDX_W-1:0]    set;
    logic                hit, full;
    logic [WAY_W-1:0]    hit_way, free_way, lru_way, way;
    logic [WAYS-2:0]     touched;

    function automatic logic [IDX_W-1:0] set_of(input logic [KEY_BITS-1:0] k);
        set_of = '0;
        for (int unsigned i = 0; i < KEY_BITS; i++) set_of[i % IDX_W] = set_of[i % IDX_W] ^ k[i];
    endfunction

    assign now = key_q[2];

    always_comb begin
        set      = set_of(now);
        hit      = 1'b0;
        full     = 1'b1;
        hit_way  = '0;
        free_way = '0;
        for (int w = int'(WAYS) - 1; w >= 0; w--) begin
            if (held_q[set][w] && held_key_q[set][w] == now) begin
                hit     = 1'b1;
                hit_way = WAY_W'(w);
            end
            if (!held_q[set][w]) begin
                full     = 1'b0;
                free_way = WAY_W'(w);
            end
        end
    end

    // Tree pseudo-LRU, node n above nodes 2n+1 and 2n+2; a node's bit names the half to be replaced next.
    if (WAYS == 2) begin : gen_two
        assign lru_way = plru_q[set][0];
        assign touched = !way;
    end else begin : gen_four
        assign lru_way = {plru_q[set][0], plru_q[set][0] ? plru_q[set][2] : plru_q[set][1]};
        assign touched = {way[1] ? !way[0] : plru_q[set][2], way[1] ? plru_q[set][1] : !way[0], !way[1]};
    end

    assign way = hit ? hit_way : full ? lru_way : free_way;

    always_ff @(posedge clk) begin
        if (valid_q[2] && alloc_q[2]) begin
            held_key_q[set][way] <= now;
            plru_q[set]          <= touched;
            held_q[set][way]     <= 1'b1;
        end
        if (valid_q[2] && !alloc_q[2] && hit) held_q[set][hit_way] <= 1'b0;
        if (rst || cfg_clear) begin
            held_q <= '0;
            plru_q <= '0;
        end
    end

    `EMBNIC_ASSERT(in_step, result_valid == valid_q[2], "a result comes 3 cycles after its lookup")
    `EMBNIC_ASSERT(right_hit, !valid_q[2] || result_hit == hit, "a hit is a key that was allocated and not dropped or replaced since")
    `EMBNIC_ASSERT(right_line, !(valid_q[2] && (hit || alloc_q[2])) || result_line == LINE_W'({set, way}),
        "its line is the one it was allocated to; a new one goes to the lowest invalid way, else to the pseudo-LRU one")
    `EMBNIC_ASSERT(right_evict, !valid_q[2] || result_evict == (alloc_q[2] && !hit && full), "an eviction is reported when it happens")
    `EMBNIC_COVER(evicts, valid_q == '1 && result_evict && now != key_q[1] && now != key_q[0], "an eviction with lookups right behind it")
    `EMBNIC_COVER(drops, valid_q[2] && !alloc_q[2] && hit && full, "a line is dropped from a full set")

    // What makes the proof inductive: the RAMs hold what the model holds. The pipeline is short enough to be unrolled.
    for (genvar s = 0; s < int'(SETS); s++) begin : gen_set
        logic                 cleared;
        logic [WAYS+WAYS-2:0] state;

        assign cleared = !sts_clearing || IDX_W'(s) < u_dut.clear_idx_q;
        assign state   = u_dut.u_state_ram.gen_block.mem[s];
        `EMBNIC_FV_HELP(same_state, !cleared || state == {held_q[s], plru_q[s]}, "valid and PLRU bits agree")
        `EMBNIC_FV_HELP(empty, !sts_clearing || {held_q[s], plru_q[s]} == '0, "nothing is held while the sets are cleared")
        for (genvar w = 0; w < int'(WAYS); w++) begin : gen_way
            `EMBNIC_FV_HELP(same_tag, !held_q[s][w] || u_dut.gen_way[w].u_tag_ram.gen_block.mem[s]
                == (KEY_W - IDX_W)'(held_key_q[s][w][KEY_BITS-1:IDX_W]), "tags agree")
            `EMBNIC_FV_HELP(home, !held_q[s][w] || set_of(held_key_q[s][w]) == IDX_W'(s), "every key is in its set")
            for (genvar v = 0; v < w; v++) begin : gen_pair
                `EMBNIC_FV_HELP(once, !(held_q[s][w] && held_q[s][v]) || held_key_q[s][w] != held_key_q[s][v],
                    "a key is in one way at most")
            end
        end
    end
    `EMBNIC_FV_HELP(quiet, !sts_clearing || valid_q == '0, "no lookup is under way while the sets are cleared")
endmodule
`default_nettype wire
