// SPDX-License-Identifier: Apache-2.0
// Estimates how often a key was looked up lately: the sketch behind the cache's admission filter.
//
// A blocked count-min sketch: the key chooses one of WORDS words, and in it one counter of the first
// four and one of the last four; the estimate is the lesser. Counters saturate. They are halved every
// 8 * WORDS lookups: not at once, but a word when it is touched next, by as many halvings as it missed,
// modulo 4; a word that nobody touched for four periods is rare and looks younger than it is.
//
// Order       as looked up; each lookup sees the counts of all before it, also in the very next cycle.
// Latency     2 cycles from lookup_valid to estimate.
// Throughput  one lookup per cycle.
// Reset       clears all words, one per cycle (sts_clearing); no lookups meanwhile.
`default_nettype none
`include "embnic_assert.svh"
module embnic_cache_sketch
    import embnic_cache_pkg::*;
#(
    parameter int unsigned WORDS = 4096 // power of two, >= 2; one a line of the cache
) (
    input  wire logic              clk,
    input  wire logic              rst,
    input  wire logic              lookup_valid,
    input  wire logic [KEY_W-1:0]  lookup_key,
    input  wire logic              lookup_count,  // count it; else estimate only
    output      logic [FREQ_W-1:0] estimate,      // 2 cycles later, this lookup included when it counts
    output      logic              sts_clearing
);
    if (WORDS < 2 || (WORDS & (WORDS - 1)) != 0) begin : gen_bad_words
        $fatal(1, "WORDS must be a power of two, at least 2");
    end

    localparam int unsigned PERIOD = 8;  // lookups a word between two halvings
    localparam int unsigned IDX_W  = $clog2(WORDS);
    localparam int unsigned TICK_W = $clog2(WORDS * PERIOD);

    typedef struct packed {
        logic [1:0]             epoch;  // of the last touch
        logic [7:0][FREQ_W-1:0] count;
    } word_t;

    // XOR of the key's pieces of a width, its low `bits` bits. The widths for the two counters are not multiples or
    // divisors of the index's, so that keys of one word spread over its counters.
    function automatic logic [IDX_W-1:0] fold_word(input logic [KEY_W-1:0] key);
        fold_word = '0;
        for (int unsigned i = 0; i < KEY_W; i++) fold_word[i % IDX_W] = fold_word[i % IDX_W] ^ key[i];
    endfunction

    function automatic logic [1:0] fold_lane(input logic [KEY_W-1:0] key, input int unsigned width);
        fold_lane = '0;
        for (int unsigned i = 0; i < KEY_W; i++) begin
            if (i % width < 2) fold_lane[i % width] = fold_lane[i % width] ^ key[i];
        end
    endfunction

    // S0: hash and read

    logic [IDX_W-1:0] s0_idx;
    word_t            ram_word;

    assign s0_idx = fold_word(lookup_key);

    // S1: age, count, write. The lookup right behind one of its word takes the word from a register.

    logic             clearing_q;
    logic [IDX_W-1:0] clear_idx_q;
    logic             s1_valid_q, s1_count_q, s1_again_q;
    logic [IDX_W-1:0] s1_idx_q;
    logic [1:0]       s1_low_q, s1_high_q;     // the counters
    logic [TICK_W-1:0] tick_q;
    logic [1:0]       epoch_q, age;
    word_t            word, next, next_q;
    logic [FREQ_W-1:0] low, high, least;
    logic              counts;

    embnic_ram_1r1w #(.WIDTH($bits(word_t)), .DEPTH(WORDS), .STYLE(2)) u_words (
        .clk,
        .wr_en  (clearing_q || counts),
        .wr_addr(clearing_q ? clear_idx_q : s1_idx_q),
        .wr_data(clearing_q ? '0 : next),
        .rd_en  (lookup_valid),
        .rd_addr(s0_idx),
        .rd_data(ram_word)
    );

    assign counts = s1_valid_q && s1_count_q;
    assign word   = s1_again_q ? next_q : ram_word;
    assign age    = epoch_q - word.epoch;
    assign low    = word.count[{1'b0, s1_low_q}];
    assign high   = word.count[{1'b1, s1_high_q}];
    assign least  = (low < high ? low : high) >> age;

    always_comb begin
        next.epoch = epoch_q;
        for (int unsigned i = 0; i < 8; i++) begin
            next.count[i] = word.count[i] >> age;
            if ((i < 4 ? s1_low_q == 2'(i) : s1_high_q == 2'(i)) && next.count[i] != '1) begin
                next.count[i] = next.count[i] + 1'b1;
            end
        end
    end

    always_ff @(posedge clk) begin
        s1_count_q <= lookup_count;
        s1_idx_q   <= s0_idx;
        s1_low_q   <= fold_lane(lookup_key, IDX_W + 1);
        s1_high_q  <= fold_lane(lookup_key, IDX_W + 2);
        s1_again_q <= counts && s1_idx_q == s0_idx;
        next_q     <= next;
        estimate   <= least + FREQ_W'(s1_count_q && least != '1);
        if (rst) begin
            s1_valid_q  <= 1'b0;
            tick_q      <= '0;
            epoch_q     <= '0;
            clearing_q  <= 1'b1;
            clear_idx_q <= '0;
        end else begin
            s1_valid_q <= lookup_valid;
            tick_q     <= tick_q + TICK_W'(counts);
            epoch_q    <= epoch_q + 2'(counts && tick_q == '1);
            if (clearing_q) begin
                clearing_q  <= clear_idx_q != '1;
                clear_idx_q <= clear_idx_q + 1'b1;
            end
        end
    end

    assign sts_clearing = clearing_q;

    // Assertions
    `EMBNIC_ASSUME(no_lookup_in_clear, !(lookup_valid && clearing_q),
        "lookups wait while the words are cleared")
    `EMBNIC_KNOWN(clearing_known, sts_clearing, "sts_clearing is known after reset")
    `EMBNIC_COVER(next_cycle, counts && s1_again_q, "two lookups of one word in consecutive cycles")
    `EMBNIC_COVER(aged, counts && age != '0, "a word is halved when it is touched again")
    `EMBNIC_COVER(saturated, counts && least == '1, "a counter is full")
endmodule
`default_nettype wire
