// SPDX-License-Identifier: Apache-2.0
// Top of the AMD Alveo U55C: a Vitis kernel with the core as configuration line100, frames from QSFP28 cage 0 and the host.
//
// The CMAC hard block of the block design brings the network's frames, 100 Gb/s; requests of the host come over the AXI DMA,
// whose registers lie behind the core's in s_axi_control. embnic_link_switch sends every answer back to who asked. Card
// memory is the HBM: bursts of 16 beats at most, as its AXI3 ports take them.
//
// Clocks         ap_clk, constrained to 250 MHz; clk_freerun, 100 MHz, for the CMAC's registers; the CMAC's own.
// Reset          ap_rst_n, inverted here.
`default_nettype none
`include "embnic_configs.svh"
module embnic_u55c
    import embnic_pkg::ADDR_W;
(
    input  wire logic         ap_clk,
    input  wire logic         ap_rst_n,
    input  wire logic         clk_freerun,
    input  wire logic         qsfp_refclk_clk_p,
    input  wire logic         qsfp_refclk_clk_n,
    input  wire logic [3:0]   qsfp_grx_p,
    input  wire logic [3:0]   qsfp_grx_n,
    output      logic [3:0]   qsfp_gtx_p,
    output      logic [3:0]   qsfp_gtx_n,
    // registers: core from 0, AXI DMA from 0x1_0000, CMAC from 0x2_0000
    input  wire logic [17:0]  s_axi_control_awaddr,
    input  wire logic         s_axi_control_awvalid,
    output      logic         s_axi_control_awready,
    input  wire logic [31:0]  s_axi_control_wdata,
    input  wire logic [3:0]   s_axi_control_wstrb,
    input  wire logic         s_axi_control_wvalid,
    output      logic         s_axi_control_wready,
    output      logic [1:0]   s_axi_control_bresp,
    output      logic         s_axi_control_bvalid,
    input  wire logic         s_axi_control_bready,
    input  wire logic [17:0]  s_axi_control_araddr,
    input  wire logic         s_axi_control_arvalid,
    output      logic         s_axi_control_arready,
    output      logic [31:0]  s_axi_control_rdata,
    output      logic [1:0]   s_axi_control_rresp,
    output      logic         s_axi_control_rvalid,
    input  wire logic         s_axi_control_rready,
    // card memory
    output      logic [63:0]  m_axi_hbm_awaddr,
    output      logic [7:0]   m_axi_hbm_awlen,
    output      logic [2:0]   m_axi_hbm_awsize,
    output      logic [1:0]   m_axi_hbm_awburst,
    output      logic         m_axi_hbm_awvalid,
    input  wire logic         m_axi_hbm_awready,
    output      logic [511:0] m_axi_hbm_wdata,
    output      logic [63:0]  m_axi_hbm_wstrb,
    output      logic         m_axi_hbm_wlast,
    output      logic         m_axi_hbm_wvalid,
    input  wire logic         m_axi_hbm_wready,
    input  wire logic [1:0]   m_axi_hbm_bresp,
    input  wire logic         m_axi_hbm_bvalid,
    output      logic         m_axi_hbm_bready,
    output      logic [63:0]  m_axi_hbm_araddr,
    output      logic [7:0]   m_axi_hbm_arlen,
    output      logic [2:0]   m_axi_hbm_arsize,
    output      logic [1:0]   m_axi_hbm_arburst,
    output      logic         m_axi_hbm_arvalid,
    input  wire logic         m_axi_hbm_arready,
    input  wire logic [511:0] m_axi_hbm_rdata,
    input  wire logic [1:0]   m_axi_hbm_rresp,
    input  wire logic         m_axi_hbm_rlast,
    input  wire logic         m_axi_hbm_rvalid,
    output      logic         m_axi_hbm_rready
);
    localparam embnic_configs_pkg::config_t CFG = embnic_configs_pkg::LINE100;
    localparam int unsigned DATA_W = CFG.data_w;
    localparam int unsigned ID_W   = $clog2(CFG.fetches) + 1;

`include "embnic_core_signals.svh"

    logic                clk, rst;
    logic [DATA_W-1:0]   s_axis_host_tdata, m_axis_host_tdata, s_axis_mac_tdata, m_axis_mac_tdata;
    logic [DATA_W/8-1:0] s_axis_host_tkeep, m_axis_host_tkeep, s_axis_mac_tkeep, m_axis_mac_tkeep;
    logic                s_axis_host_tvalid, s_axis_host_tready, s_axis_host_tlast;
    logic                m_axis_host_tvalid, m_axis_host_tready, m_axis_host_tlast;
    logic                s_axis_mac_tvalid, s_axis_mac_tready, s_axis_mac_tlast, s_axis_mac_tuser;
    logic                m_axis_mac_tvalid, m_axis_mac_tready, m_axis_mac_tlast;

    assign clk = ap_clk;
    assign rst = !ap_rst_n;

    embnic_core #(`EMBNIC_PARAMETERS(CFG)) u_core (.*);

    // The switch has the core's side of the two streams.
    embnic_link_switch #(.DATA_W(DATA_W)) u_links (
        .m_axis_rx_tdata(s_axis_rx_tdata), .m_axis_rx_tkeep(s_axis_rx_tkeep), .m_axis_rx_tvalid(s_axis_rx_tvalid),
        .m_axis_rx_tready(s_axis_rx_tready), .m_axis_rx_tlast(s_axis_rx_tlast), .m_axis_rx_tuser(s_axis_rx_tuser),
        .s_axis_tx_tdata(m_axis_tx_tdata), .s_axis_tx_tkeep(m_axis_tx_tkeep), .s_axis_tx_tvalid(m_axis_tx_tvalid),
        .s_axis_tx_tready(m_axis_tx_tready), .s_axis_tx_tlast(m_axis_tx_tlast),
        .*
    );

    logic [39:0] awaddr, araddr;
    assign s_axil_awaddr = awaddr[11:0];
    assign s_axil_araddr = araddr[11:0];

    embnic_u55c_bd u_bd (
        .clk, .rst_n(ap_rst_n), .clk_freerun,
`include "embnic_bd_ports.svh"
        .core_axil_awaddr(awaddr), .core_axil_araddr(araddr),
        .host_rx_tdata(s_axis_host_tdata), .host_rx_tkeep(s_axis_host_tkeep), .host_rx_tvalid(s_axis_host_tvalid),
        .host_rx_tready(s_axis_host_tready), .host_rx_tlast(s_axis_host_tlast),
        .host_tx_tdata(m_axis_host_tdata), .host_tx_tkeep(m_axis_host_tkeep), .host_tx_tvalid(m_axis_host_tvalid),
        .host_tx_tready(m_axis_host_tready), .host_tx_tlast(m_axis_host_tlast),
        .mac_rx_tdata(s_axis_mac_tdata), .mac_rx_tkeep(s_axis_mac_tkeep), .mac_rx_tvalid(s_axis_mac_tvalid),
        .mac_rx_tready(s_axis_mac_tready), .mac_rx_tlast(s_axis_mac_tlast), .mac_rx_tuser(s_axis_mac_tuser),
        .mac_tx_tdata(m_axis_mac_tdata), .mac_tx_tkeep(m_axis_mac_tkeep), .mac_tx_tvalid(m_axis_mac_tvalid),
        .mac_tx_tready(m_axis_mac_tready), .mac_tx_tlast(m_axis_mac_tlast),
        .control_awaddr(s_axi_control_awaddr), .control_awvalid(s_axi_control_awvalid),
        .control_awready(s_axi_control_awready), .control_wdata(s_axi_control_wdata),
        .control_wstrb(s_axi_control_wstrb), .control_wvalid(s_axi_control_wvalid),
        .control_wready(s_axi_control_wready), .control_bresp(s_axi_control_bresp),
        .control_bvalid(s_axi_control_bvalid), .control_bready(s_axi_control_bready),
        .control_araddr(s_axi_control_araddr), .control_arvalid(s_axi_control_arvalid),
        .control_arready(s_axi_control_arready), .control_rdata(s_axi_control_rdata),
        .control_rresp(s_axi_control_rresp), .control_rvalid(s_axi_control_rvalid),
        .control_rready(s_axi_control_rready),
        .hbm_awaddr(m_axi_hbm_awaddr), .hbm_awlen(m_axi_hbm_awlen), .hbm_awsize(m_axi_hbm_awsize),
        .hbm_awburst(m_axi_hbm_awburst), .hbm_awvalid(m_axi_hbm_awvalid), .hbm_awready(m_axi_hbm_awready),
        .hbm_wdata(m_axi_hbm_wdata), .hbm_wstrb(m_axi_hbm_wstrb), .hbm_wlast(m_axi_hbm_wlast),
        .hbm_wvalid(m_axi_hbm_wvalid), .hbm_wready(m_axi_hbm_wready), .hbm_bresp(m_axi_hbm_bresp),
        .hbm_bvalid(m_axi_hbm_bvalid), .hbm_bready(m_axi_hbm_bready), .hbm_araddr(m_axi_hbm_araddr),
        .hbm_arlen(m_axi_hbm_arlen), .hbm_arsize(m_axi_hbm_arsize), .hbm_arburst(m_axi_hbm_arburst),
        .hbm_arvalid(m_axi_hbm_arvalid), .hbm_arready(m_axi_hbm_arready), .hbm_rdata(m_axi_hbm_rdata),
        .hbm_rresp(m_axi_hbm_rresp), .hbm_rlast(m_axi_hbm_rlast), .hbm_rvalid(m_axi_hbm_rvalid),
        .hbm_rready(m_axi_hbm_rready),
        .qsfp_refclk_clk_p, .qsfp_refclk_clk_n, .qsfp_grx_p, .qsfp_grx_n, .qsfp_gtx_p, .qsfp_gtx_n
    );

    wire unused = &{1'b0, awaddr[39:12], araddr[39:12], sts_probe};
endmodule
`default_nettype wire
