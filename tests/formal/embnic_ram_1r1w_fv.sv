// SPDX-License-Identifier: Apache-2.0
// embnic_ram_1r1w: a read returns the last word written before its cycle, and keeps it until the next read.
`default_nettype none
`include "embnic_fv.svh"
module embnic_ram_1r1w_fv #(
    parameter int unsigned STYLE   = 0,
    parameter bit          OUT_REG = 1'b0
) (
    input wire logic       clk,
    input wire logic       rst,
    input wire logic       wr_en,
    input wire logic [1:0] wr_addr,
    input wire logic [7:0] wr_data,
    input wire logic       rd_en,
    input wire logic [1:0] rd_addr,
    input wire logic [1:0] watch  // one address; which one is free
);
    `EMBNIC_FV_RESET

    logic [7:0] rd_data;
    logic [1:0] watch_q;
    logic       written_q;                 // the watched address was written since reset,
    logic [7:0] word_q;                    // last with this
    logic       expect_q, expect_out_q;    // the RAM's register, the output holds a word of it,
    logic [7:0] expected_q, expected_out_q;// namely this
    logic [7:0] stored;

    embnic_ram_1r1w #(.WIDTH(8), .DEPTH(4), .STYLE(STYLE), .OUT_REG(OUT_REG)) u_dut (.*);

    always_ff @(posedge clk) begin
        watch_q <= watch;
        if (wr_en && wr_addr == watch) word_q <= wr_data;
        if (rd_en) expected_q <= word_q;
        expected_out_q <= expected_q;
        if (rst) begin
            written_q    <= 1'b0;
            expect_q     <= 1'b0;
            expect_out_q <= 1'b0;
        end else begin
            if (wr_en && wr_addr == watch) written_q <= 1'b1;
            if (rd_en) expect_q <= rd_addr == watch && written_q;
            expect_out_q <= expect_q;
        end
    end

    if (STYLE == 0) begin : gen_auto
        assign stored = u_dut.gen_auto.mem[watch];
    end else if (STYLE == 1) begin : gen_distributed
        assign stored = u_dut.gen_distributed.mem[watch];
    end else if (STYLE == 2) begin : gen_block
        assign stored = u_dut.gen_block.mem[watch];
    end else begin : gen_ultra
        assign stored = u_dut.gen_ultra.mem[watch];
    end

    `EMBNIC_ASSUME(watch_fixed, watch == watch_q, "the watched address stays the same")
    `EMBNIC_FV_HELP(stored_right, !written_q || stored == word_q, "the memory holds the last word written")
    `EMBNIC_FV_HELP(read_right, !expect_q || u_dut.read_q == expected_q, "a read takes the word from before its cycle")
    if (OUT_REG) begin : gen_out_reg
        `EMBNIC_ASSERT(out_right, !expect_out_q || rd_data == expected_out_q, "and shows it 2 cycles later")
    end else begin : gen_no_out_reg
        `EMBNIC_ASSERT(out_right, !expect_q || rd_data == expected_q, "and shows it in the next cycle")
    end
    `EMBNIC_COVER(collision, rd_en && wr_en && rd_addr == watch && wr_addr == watch && written_q && word_q != wr_data,
        "the watched word is read and replaced in one cycle")
    `EMBNIC_COVER(kept, expect_q && !rd_en && stored != expected_q, "a word read is kept though its place changed")
endmodule
`default_nettype wire
