// SPDX-License-Identifier: Apache-2.0
// One write port, one synchronous read port; the only way embnic infers block, ultra or distributed RAM with a registered read.
//
// Order       a read and a write of one address in the same cycle return the OLD word.
// Latency     1 cycle from rd_en to rd_data, 2 with OUT_REG.
// Throughput  one read and one write per cycle.
// Not handled initial contents (a reader must not use a word that was never written), byte enables.
`default_nettype none
module embnic_ram_1r1w #(
    parameter int unsigned WIDTH   = 64,   // bits of a word
    parameter int unsigned DEPTH   = 512,  // words, >= 2
    parameter int unsigned STYLE   = 0,    // 0 the tool chooses, 1 distributed, 2 block, 3 ultra
    parameter bit          OUT_REG = 1'b0, // add an output register (timing of block and ultra RAM)
    localparam int unsigned ADDR_W = $clog2(DEPTH)
) (
    input  wire logic              clk,
    input  wire logic              wr_en,    // write wr_data to wr_addr
    input  wire logic [ADDR_W-1:0] wr_addr,
    input  wire logic [WIDTH-1:0]  wr_data,
    input  wire logic              rd_en,    // read rd_addr; without it rd_data of the first stage holds
    input  wire logic [ADDR_W-1:0] rd_addr,
    output      logic [WIDTH-1:0]  rd_data
);
    if (DEPTH < 2) begin : gen_bad_depth
        $fatal(1, "DEPTH must be at least 2");
    end
    if (STYLE > 3) begin : gen_bad_style
        $fatal(1, "STYLE must be 0 (auto), 1 (distributed), 2 (block) or 3 (ultra)");
    end

    logic [WIDTH-1:0] read_q;

    if (STYLE == 1) begin : gen_distributed
        (* ram_style = "distributed" *) logic [WIDTH-1:0] mem[DEPTH];
        always_ff @(posedge clk) begin
            if (wr_en) mem[wr_addr] <= wr_data;
            if (rd_en) read_q <= mem[rd_addr];
        end
    end else if (STYLE == 2) begin : gen_block
        (* ram_style = "block" *) logic [WIDTH-1:0] mem[DEPTH];
        always_ff @(posedge clk) begin
            if (wr_en) mem[wr_addr] <= wr_data;
            if (rd_en) read_q <= mem[rd_addr];
        end
    end else if (STYLE == 3) begin : gen_ultra
        (* ram_style = "ultra" *) logic [WIDTH-1:0] mem[DEPTH];
        always_ff @(posedge clk) begin
            if (wr_en) mem[wr_addr] <= wr_data;
            if (rd_en) read_q <= mem[rd_addr];
        end
    end else begin : gen_auto
        logic [WIDTH-1:0] mem[DEPTH];
        always_ff @(posedge clk) begin
            if (wr_en) mem[wr_addr] <= wr_data;
            if (rd_en) read_q <= mem[rd_addr];
        end
    end

    if (OUT_REG) begin : gen_out_reg
        always_ff @(posedge clk) rd_data <= read_q;
    end else begin : gen_no_out_reg
        assign rd_data = read_q;
    end
endmodule
`default_nettype wire
