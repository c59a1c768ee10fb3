// SPDX-License-Identifier: Apache-2.0
// Holds the table descriptors: written from the registers, read by the lookup path and by updates.
//
// Order          a read in the cycle of a commit returns the old descriptor.
// Latency        2 cycles from rd_en to rd_data.
// Throughput     one read and one commit per cycle.
// Errors         a commit to a table number >= TABLES changes nothing.
// Not handled    a commit while requests on that table are in flight: they may see either
//                descriptor.
//
// After reset no table is valid: the valid bits are flip-flops, so that no request can meet a
// descriptor that was never written, not even in the first cycle.
`default_nettype none
`include "embnic_assert.svh"
module embnic_table_ram
    import embnic_wire_pkg::*;
#(
    parameter int unsigned TABLES = 8,  // descriptors; power of two, 2 .. 1024
    localparam int unsigned IDX_W = $clog2(TABLES)
) (
    input  wire logic                             clk,
    input  wire logic                             rst,
    input  wire logic                             rd_en,
    input  wire logic [IDX_W-1:0]                 rd_addr,
    output      logic [$bits(descriptor_t)-1:0]   rd_data,     // descriptor_t, 2 cycles after rd_en
    input  wire logic [31:0]                      cfg_sel,     // table that cfg_commit writes
    input  wire logic [255:0]                     cfg_words,   // register words 0 .. 7
    input  wire logic                             cfg_commit,  // pulse: write cfg_words
    output      logic [TABLES-1:0]                sts_remote   // tables whose rows live on another card
);
    if (TABLES < 2 || TABLES > 1024 || (TABLES & (TABLES - 1)) != 0) begin : gen_bad_tables
        $fatal(1, "TABLES must be a power of two from 2 to 1024");
    end

    // ---------------------------------------------------------------------------------------------
    // Descriptors
    // ---------------------------------------------------------------------------------------------
    logic              wr_en;
    logic [IDX_W-1:0]  wr_addr;
    descriptor_t       wr_descriptor, ram_descriptor;

    assign wr_en         = cfg_commit && cfg_sel < TABLES;
    assign wr_addr       = cfg_sel[IDX_W-1:0];
    assign wr_descriptor = descriptor_from_words(cfg_words);

    logic [$bits(descriptor_t)-1:0] ram_data;

    embnic_ram_1r1w #(.WIDTH($bits(descriptor_t)), .DEPTH(TABLES), .OUT_REG(1'b1)) u_ram (
        .clk,
        .wr_en,
        .wr_addr,
        .wr_data(wr_descriptor),
        .rd_en,
        .rd_addr,
        .rd_data(ram_data)
    );

    // ---------------------------------------------------------------------------------------------
    // Valid bits, read with the latency of the RAM
    // ---------------------------------------------------------------------------------------------
    logic [TABLES-1:0] valid_q;
    logic              read_valid_q, read_valid_q2;

    always_ff @(posedge clk) begin
        if (rst) begin
            valid_q    <= '0;
            sts_remote <= '0;
        end else if (wr_en) begin
            valid_q[wr_addr]    <= wr_descriptor.valid;
            sts_remote[wr_addr] <= wr_descriptor.valid && wr_descriptor.remote;
        end
        if (rd_en) read_valid_q <= valid_q[rd_addr];
        read_valid_q2 <= read_valid_q;
    end

    always_comb begin
        ram_descriptor       = descriptor_t'(ram_data);
        ram_descriptor.valid = read_valid_q2;
    end

    assign rd_data = ram_descriptor;

    // Register bits above the table numbers matter in the comparison only, reserved words nowhere.
    wire unused = &{1'b0, cfg_words[15:9]};

    // Assertions
    `EMBNIC_KNOWN(valid_known, valid_q, "the valid bits are known after reset")
    `EMBNIC_COVER(collision, rd_en && wr_en && rd_addr == wr_addr,
        "a descriptor is read while it is written")
    `EMBNIC_COVER(refused, cfg_commit && !wr_en, "a commit names a table that does not exist")
endmodule
`default_nettype wire
