// SPDX-License-Identifier: Apache-2.0
// First-in first-out store between two clocks; with embnic_sync the only crossing of clock domains in embnic.
//
// Order          as received.
// Back-pressure  any cycle, both sides; nothing is lost. No combinational path from one side to the other.
// Latency        from the edge of clk_wr that takes a word to its tvalid: 3 edges of clk_rd, 4 when one falls into the change.
// Throughput     one word per cycle of the slower clock, from DEPTH 16 on for any two clocks.
// Capacity       DEPTH words and one in the output register.
// Reset          either reset empties both sides; the words inside are lost. tready and tvalid stay low until both sides
//                are empty.
// Rules          a reset lasts 10 cycles of the slower clock and comes from a register. At power-on both come together.
//
// Pointers cross in gray code: a pointer moves by one, so one bit changes, and whoever samples it at that moment sees the
// old or the new value, both of which were true. A pointer seen late makes the FIFO look fuller to the writer and emptier
// to the reader than it is, never the other way round. The memory is written long before the pointer that tells of it
// arrives, so its read needs no further synchroniser.
`default_nettype none
`include "embnic_assert.svh"
module embnic_async_fifo #(
    parameter int unsigned WIDTH = 32,  // bits of a word
    parameter int unsigned DEPTH = 16   // words; power of two, >= 4
) (
    input  wire logic             clk_wr,
    input  wire logic             rst_wr,
    input  wire logic             clk_rd,
    input  wire logic             rst_rd,
    input  wire logic [WIDTH-1:0] s_axis_wr_tdata,
    input  wire logic             s_axis_wr_tvalid,
    output      logic             s_axis_wr_tready,
    output      logic [WIDTH-1:0] m_axis_rd_tdata,
    output      logic             m_axis_rd_tvalid,
    input  wire logic             m_axis_rd_tready
);
    if (DEPTH < 4 || (DEPTH & (DEPTH - 1)) != 0) begin : gen_bad_depth
        $fatal(1, "DEPTH must be a power of two, at least 4");
    end
    if (WIDTH < 1) begin : gen_bad_width
        $fatal(1, "WIDTH must be at least 1");
    end

    localparam int unsigned ADDR_W = $clog2(DEPTH);
    localparam int unsigned PTR_W  = ADDR_W + 1;  // one wrap bit more than the address

    function automatic logic [PTR_W-1:0] gray(input logic [PTR_W-1:0] binary);
        gray = binary ^ (binary >> 1);
    endfunction

    // The only memory with two clocks: written by clk_wr, read by clk_rd.
    (* ram_style = "distributed" *) logic [WIDTH-1:0] mem[DEPTH];

    logic [PTR_W-1:0] wr_ptr_q, wr_ptr_d, wr_gray_q, wr_rd_gray;  // wr_rd_gray: the read pointer as clk_wr sees it
    logic [PTR_W-1:0] rd_ptr_q, rd_ptr_d, rd_gray_q, rd_wr_gray;  // rd_wr_gray: the write pointer as clk_rd sees it
    logic             wr_clear_q, wr_sees_reset;                  // clear: this side is held empty
    logic             rd_clear_q, rd_sees_clear;

    // -------------------------------------------------------------------------------------------------
    // Write side. It is held empty by its own reset and by the reader's.
    // -------------------------------------------------------------------------------------------------
    logic wr_full, wr_push;

    embnic_sync #(.WIDTH(PTR_W)) u_wr_rd_gray (.clk_dst(clk_wr), .src_level(rd_gray_q), .dst_level(wr_rd_gray));
    embnic_sync #(.WIDTH(1)) u_wr_reset (.clk_dst(clk_wr), .src_level(rst_rd), .dst_level(wr_sees_reset));

    // Full: DEPTH apart, which in gray code is the two upper bits inverted.
    assign wr_full          = (wr_gray_q ^ wr_rd_gray) == PTR_W'(3 << (ADDR_W - 1));
    assign s_axis_wr_tready = !wr_full && !wr_clear_q;
    assign wr_push          = s_axis_wr_tvalid && s_axis_wr_tready;
    assign wr_ptr_d         = wr_ptr_q + PTR_W'(wr_push);

    always_ff @(posedge clk_wr) begin
        wr_clear_q <= rst_wr || wr_sees_reset;
        if (wr_push) mem[wr_ptr_q[ADDR_W-1:0]] <= s_axis_wr_tdata;
        // Not before wr_clear_q is out: the reader must learn of the reset before the pointer jumps.
        if (wr_clear_q) begin
            wr_ptr_q  <= '0;
            wr_gray_q <= '0;
        end else begin
            wr_ptr_q  <= wr_ptr_d;
            wr_gray_q <= gray(wr_ptr_d);
        end
    end

    // -------------------------------------------------------------------------------------------------
    // Read side. It is held empty by its own reset and as long as the writer is held empty.
    // -------------------------------------------------------------------------------------------------
    logic rd_empty, rd_fetch;

    embnic_sync #(.WIDTH(PTR_W)) u_rd_wr_gray (.clk_dst(clk_rd), .src_level(wr_gray_q), .dst_level(rd_wr_gray));
    embnic_sync #(.WIDTH(1)) u_rd_clear (.clk_dst(clk_rd), .src_level(wr_clear_q), .dst_level(rd_sees_clear));

    assign rd_empty = rd_gray_q == rd_wr_gray;
    assign rd_fetch = !rd_empty && !rd_clear_q && (!m_axis_rd_tvalid || m_axis_rd_tready);
    assign rd_ptr_d = rd_ptr_q + PTR_W'(rd_fetch);

    always_ff @(posedge clk_rd) begin
        rd_clear_q <= rst_rd || rd_sees_clear;
        if (rd_fetch) m_axis_rd_tdata <= mem[rd_ptr_q[ADDR_W-1:0]];
        if (rst_rd || rd_sees_clear) begin
            rd_ptr_q         <= '0;
            rd_gray_q        <= '0;
            m_axis_rd_tvalid <= 1'b0;
        end else begin
            rd_ptr_q         <= rd_ptr_d;
            rd_gray_q        <= gray(rd_ptr_d);
            m_axis_rd_tvalid <= rd_fetch || (m_axis_rd_tvalid && !m_axis_rd_tready);
        end
    end

    // Assertions: each in the domain it speaks of.
    if (1'b1) begin : gen_wr_assertions
        logic             clk, rst;
        logic [PTR_W-1:0] rd_seen, used;

        assign clk = clk_wr;
        assign rst = rst_wr || wr_clear_q || wr_sees_reset;

        always_comb begin
            rd_seen = '0;
            for (int i = int'(PTR_W) - 1; i >= 0; i--) rd_seen[i] = wr_rd_gray[i] ^ (i == int'(PTR_W) - 1 ? 1'b0 : rd_seen[i+1]);
            used = wr_ptr_q - rd_seen;
        end

        `EMBNIC_KNOWN(ready_known, s_axis_wr_tready, "tready is known after reset")
        `EMBNIC_NEVER(overflow, used > PTR_W'(DEPTH), "the writer is never more than DEPTH ahead of the reader it sees")
        `EMBNIC_COVER(full, wr_full, "the FIFO is full")
        `EMBNIC_COVER(wrap, wr_push && wr_ptr_q == '1, "the write pointer wraps")
    end

    if (1'b1) begin : gen_rd_assertions
        logic             clk, rst;
        logic [PTR_W-1:0] wr_seen, used;

        assign clk = clk_rd;
        assign rst = rst_rd || rd_clear_q || rd_sees_clear;

        always_comb begin
            wr_seen = '0;
            for (int i = int'(PTR_W) - 1; i >= 0; i--) wr_seen[i] = rd_wr_gray[i] ^ (i == int'(PTR_W) - 1 ? 1'b0 : wr_seen[i+1]);
            used = wr_seen - rd_ptr_q;
        end

        `EMBNIC_KNOWN(valid_known, m_axis_rd_tvalid, "tvalid is known after reset")
        `EMBNIC_STABLE(out_stable, m_axis_rd_tvalid, m_axis_rd_tready, m_axis_rd_tdata, "the output holds until it is taken")
        `EMBNIC_NEVER(underflow, used > PTR_W'(DEPTH), "the reader never overtakes the writer it sees")
        `EMBNIC_COVER(drained, rd_fetch && used == PTR_W'(1), "the last word leaves the memory")
    end
endmodule
`default_nettype wire
