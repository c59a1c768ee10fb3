// SPDX-License-Identifier: Apache-2.0
// Top of the LambdaConcept ECPIX-5 (85F): the core as configuration mini, 256 KB of block RAM as its card memory, and
// the board's USB serial port as the only way in: frames, registers and memory (embnic_uart_slip).
//
// Clocks         clk100, the board's oscillator; a PLL makes 30 MHz of it for everything.
// Reset          the PLL's lock and 16 cycles; there is no button.
// Throughput     that of the line, 2 Mbaud: 200 KB/s each way.
// Not handled    the board's DDR3 and Gigabit Ethernet, which need a PHY each.
`default_nettype none
`include "embnic_configs.svh"
module embnic_ecpix5
    import embnic_pkg::ADDR_W;
#(
    parameter int unsigned DIVISOR   = 15,     // cycles of 30 MHz a bit: 2 Mbaud
    parameter int unsigned MEM_BYTES = 262144  // card memory
) (
    input  wire logic clk100,
    input  wire logic uart_rx,
    output      logic uart_tx
);
    localparam embnic_configs_pkg::config_t CFG = embnic_configs_pkg::MINI;
    localparam int unsigned DATA_W = CFG.data_w;
    localparam int unsigned ID_W   = $clog2(CFG.fetches) + 1;

    // -----------------------------------------------------------------------------------------------------------------
    // Clock and reset
    // -----------------------------------------------------------------------------------------------------------------
    logic        clk, locked, locked_sync, rst;
    logic [15:0] rst_q;

    embnic_ecpix5_pll u_pll (.clk100, .clk, .locked);

    embnic_sync u_locked (.clk_dst(clk), .src_level(locked), .dst_level(locked_sync));

    always_ff @(posedge clk) begin
        rst_q <= {rst_q[14:0], !locked_sync};
        rst   <= rst_q != '0;
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Serial line, core, memory
    // -----------------------------------------------------------------------------------------------------------------
    logic [DATA_W-1:0]   rx_tdata, tx_tdata;
    logic [DATA_W/8-1:0] rx_tkeep, tx_tkeep;
    logic                rx_tvalid, rx_tready, rx_tlast, tx_tvalid, tx_tready, tx_tlast;

    logic [11:0]         axil_awaddr, axil_araddr;
    logic [31:0]         axil_wdata, axil_rdata;
    logic [1:0]          axil_bresp, axil_rresp;
    logic                axil_awvalid, axil_awready, axil_wvalid, axil_wready, axil_bvalid, axil_bready;
    logic                axil_arvalid, axil_arready, axil_rvalid, axil_rready;

    logic [31:0]         mem_wr_addr, mem_rd_addr;
    logic [DATA_W-1:0]   mem_wr_data, mem_data;
    logic                mem_wr_valid, mem_wr_ready, mem_rd_valid, mem_rd_ready, mem_data_valid;
    logic [15:0]         dropped;

    embnic_uart_slip #(.DATA_W(DATA_W), .DIVISOR(DIVISOR), .MEM_BYTES(MEM_BYTES)) u_serial (
        .clk, .rst, .uart_rx, .uart_tx,
        .m_axis_rx_tdata(rx_tdata), .m_axis_rx_tkeep(rx_tkeep), .m_axis_rx_tvalid(rx_tvalid),
        .m_axis_rx_tready(rx_tready), .m_axis_rx_tlast(rx_tlast),
        .s_axis_tx_tdata(tx_tdata), .s_axis_tx_tkeep(tx_tkeep), .s_axis_tx_tvalid(tx_tvalid),
        .s_axis_tx_tready(tx_tready), .s_axis_tx_tlast(tx_tlast),
        .m_axil_awaddr(axil_awaddr), .m_axil_awvalid(axil_awvalid), .m_axil_awready(axil_awready),
        .m_axil_wdata(axil_wdata), .m_axil_wvalid(axil_wvalid), .m_axil_wready(axil_wready),
        .m_axil_bresp(axil_bresp), .m_axil_bvalid(axil_bvalid), .m_axil_bready(axil_bready),
        .m_axil_araddr(axil_araddr), .m_axil_arvalid(axil_arvalid), .m_axil_arready(axil_arready),
        .m_axil_rdata(axil_rdata), .m_axil_rresp(axil_rresp), .m_axil_rvalid(axil_rvalid), .m_axil_rready(axil_rready),
        .mem_wr_addr, .mem_wr_data, .mem_wr_valid, .mem_wr_ready,
        .mem_rd_addr, .mem_rd_valid, .mem_rd_ready, .mem_data_valid, .mem_data,
        .sts_dropped(dropped)
    );

    logic [ID_W-1:0]     awid, bid, arid, rid;
    logic [ADDR_W-1:0]   awaddr, araddr;
    logic [7:0]          awlen, arlen;
    logic [2:0]          awsize, arsize;
    logic [1:0]          awburst, arburst, bresp, rresp;
    logic [DATA_W-1:0]   wdata, rdata;
    logic [DATA_W/8-1:0] wstrb;
    logic                awvalid, awready, wlast, wvalid, wready, bvalid, bready;
    logic                arvalid, arready, rlast, rvalid, rready;
    logic [31:0]         probe;
`include "embnic_no_remote.svh"

    embnic_core #(`EMBNIC_PARAMETERS(CFG)) u_core (
        .clk, .rst,
        .s_axis_rx_tdata(rx_tdata), .s_axis_rx_tkeep(rx_tkeep), .s_axis_rx_tvalid(rx_tvalid),
        .s_axis_rx_tready(rx_tready), .s_axis_rx_tlast(rx_tlast), .s_axis_rx_tuser(1'b0),
        .m_axis_tx_tdata(tx_tdata), .m_axis_tx_tkeep(tx_tkeep), .m_axis_tx_tvalid(tx_tvalid),
        .m_axis_tx_tready(tx_tready), .m_axis_tx_tlast(tx_tlast),
        .s_axil_awaddr(axil_awaddr), .s_axil_awprot('0), .s_axil_awvalid(axil_awvalid), .s_axil_awready(axil_awready),
        .s_axil_wdata(axil_wdata), .s_axil_wstrb('1), .s_axil_wvalid(axil_wvalid), .s_axil_wready(axil_wready),
        .s_axil_bresp(axil_bresp), .s_axil_bvalid(axil_bvalid), .s_axil_bready(axil_bready),
        .s_axil_araddr(axil_araddr), .s_axil_arprot('0), .s_axil_arvalid(axil_arvalid), .s_axil_arready(axil_arready),
        .s_axil_rdata(axil_rdata), .s_axil_rresp(axil_rresp), .s_axil_rvalid(axil_rvalid), .s_axil_rready(axil_rready),
        .m_axi_awid(awid), .m_axi_awaddr(awaddr), .m_axi_awlen(awlen), .m_axi_awsize(awsize), .m_axi_awburst(awburst),
        .m_axi_awvalid(awvalid), .m_axi_awready(awready),
        .m_axi_wdata(wdata), .m_axi_wstrb(wstrb), .m_axi_wlast(wlast), .m_axi_wvalid(wvalid), .m_axi_wready(wready),
        .m_axi_bid(bid), .m_axi_bresp(bresp), .m_axi_bvalid(bvalid), .m_axi_bready(bready),
        .m_axi_arid(arid), .m_axi_araddr(araddr), .m_axi_arlen(arlen), .m_axi_arsize(arsize), .m_axi_arburst(arburst),
        .m_axi_arvalid(arvalid), .m_axi_arready(arready),
        .m_axi_rid(rid), .m_axi_rdata(rdata), .m_axi_rresp(rresp), .m_axi_rlast(rlast), .m_axi_rvalid(rvalid),
        .m_axi_rready(rready),
        .sts_probe(probe),
        .*
    );

    embnic_axi_ram #(.DATA_W(DATA_W), .BYTES(MEM_BYTES), .ID_W(ID_W)) u_memory (
        .clk, .rst,
        .s_axi_awid(awid), .s_axi_awaddr(awaddr), .s_axi_awlen(awlen), .s_axi_awvalid(awvalid), .s_axi_awready(awready),
        .s_axi_wdata(wdata), .s_axi_wstrb(wstrb), .s_axi_wlast(wlast), .s_axi_wvalid(wvalid), .s_axi_wready(wready),
        .s_axi_bid(bid), .s_axi_bresp(bresp), .s_axi_bvalid(bvalid), .s_axi_bready(bready),
        .s_axi_arid(arid), .s_axi_araddr(araddr), .s_axi_arlen(arlen), .s_axi_arvalid(arvalid), .s_axi_arready(arready),
        .s_axi_rid(rid), .s_axi_rdata(rdata), .s_axi_rresp(rresp), .s_axi_rlast(rlast), .s_axi_rvalid(rvalid),
        .s_axi_rready(rready),
        .mem_wr_addr, .mem_wr_data, .mem_wr_valid, .mem_wr_ready,
        .mem_rd_addr, .mem_rd_valid, .mem_rd_ready, .mem_data_valid, .mem_data
    );

    // Bursts are INCR of whole beats; INFO tells the host what was dropped.
    wire unused = &{1'b0, awsize, awburst, arsize, arburst, probe, dropped};
endmodule
`default_nettype wire
