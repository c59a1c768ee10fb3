// SPDX-License-Identifier: Apache-2.0
// embnic_ram_1r1w that notices a wrong bit: one parity bit, even, for every WORD bits.
//
// Block and ultra RAM are 72 bits wide: the bits cost no memory. What a bad word means is the
// reader's business; it never is data.
//
// Order, Throughput  as embnic_ram_1r1w.
// Latency     1 cycle from rd_en to rd_data and rd_bad, 2 with OUT_REG. rd_bad is combinational
//             behind the last register: 4 levels of logic for 512 bits.
// Errors      any odd number of wrong bits within a WORD shows; an even number does not.
// Injection   `inject` arms; the next word written is stored with one bit flipped, one of eight
//             places spread over the word.
// Off         ECC = 0: no parity, rd_bad is 0, nothing is injected.
`default_nettype none
`include "embnic_assert.svh"
module embnic_ram_parity #(
    parameter int unsigned WIDTH   = 64,   // bits of a word
    parameter int unsigned DEPTH   = 512,  // words, >= 2
    parameter int unsigned STYLE   = 0,    // see embnic_ram_1r1w
    parameter bit          OUT_REG = 1'b0, // see embnic_ram_1r1w
    parameter int unsigned WORD    = 32,   // bits that share a parity bit, >= 1
    parameter bit          ECC     = 1'b1, // build it
    localparam int unsigned ADDR_W = $clog2(DEPTH)
) (
    input  wire logic              clk,
    input  wire logic              rst,
    input  wire logic              wr_en,
    input  wire logic [ADDR_W-1:0] wr_addr,
    input  wire logic [WIDTH-1:0]  wr_data,
    input  wire logic              rd_en,
    input  wire logic [ADDR_W-1:0] rd_addr,
    output      logic [WIDTH-1:0]  rd_data,
    output      logic              rd_bad,       // with rd_data: some bit of it is wrong
    input  wire logic              inject,       // pulse: the next word written is to be wrong
    input  wire logic [2:0]        inject_place, // in which bit; holds until it was
    output      logic              evt_injected  // pulse: it was
);
    if (WORD < 1) begin : gen_bad_word
        $fatal(1, "WORD must be at least 1");
    end

    if (ECC) begin : gen_parity
        localparam int unsigned WORDS = (WIDTH + WORD - 1) / WORD;

        function automatic logic [WORDS-1:0] parity(input logic [WIDTH-1:0] data);
            parity = '0;
            for (int unsigned i = 0; i < WIDTH; i++) parity[i / WORD] = parity[i / WORD] ^ data[i];
        endfunction

        logic             armed_q;
        logic [WORDS-1:0] rd_parity;
        logic [WIDTH-1:0] flip;

        always_comb begin
            flip = '0;
            for (int unsigned p = 0; p < 8; p++) begin
                if (armed_q && inject_place == 3'(p)) flip[(p * WIDTH / 8 + 5 * p) % WIDTH] = 1'b1;
            end
        end

        embnic_ram_1r1w #(.WIDTH(WORDS + WIDTH), .DEPTH(DEPTH), .STYLE(STYLE), .OUT_REG(OUT_REG)) u_ram (
            .clk, .wr_en, .wr_addr,
            .wr_data({parity(wr_data), wr_data ^ flip}),
            .rd_en, .rd_addr,
            .rd_data({rd_parity, rd_data})
        );

        assign rd_bad = parity(rd_data) != rd_parity;

        always_ff @(posedge clk) begin
            if (rst) begin
                armed_q      <= 1'b0;
                evt_injected <= 1'b0;
            end else begin
                armed_q      <= inject || (armed_q && !wr_en);
                evt_injected <= armed_q && wr_en;
            end
        end

        `EMBNIC_COVER(injected, evt_injected, "a wrong bit is stored")
    end else begin : gen_plain
        embnic_ram_1r1w #(.WIDTH(WIDTH), .DEPTH(DEPTH), .STYLE(STYLE), .OUT_REG(OUT_REG)) u_ram (
            .clk, .wr_en, .wr_addr, .wr_data, .rd_en, .rd_addr, .rd_data
        );
        assign rd_bad       = 1'b0;
        assign evt_injected = 1'b0;
        wire unused = &{1'b0, rst, inject, inject_place};
    end

    // Assertions
    `EMBNIC_KNOWN(injected_known, evt_injected, "evt_injected is known after reset")
endmodule
`default_nettype wire
