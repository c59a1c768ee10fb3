// SPDX-License-Identifier: Apache-2.0
// Declares a signal for every port of embnic_core but clk and rst, for tops that connect it with `.*`.
// DATA_W, ID_W and ADDR_W are in scope; one channel of card memory.
    logic [DATA_W-1:0]   s_axis_rx_tdata, m_axis_tx_tdata;
    logic [DATA_W/8-1:0] s_axis_rx_tkeep, m_axis_tx_tkeep;
    logic                s_axis_rx_tvalid, s_axis_rx_tready, s_axis_rx_tlast, s_axis_rx_tuser;
    logic                m_axis_tx_tvalid, m_axis_tx_tready, m_axis_tx_tlast;
    logic [11:0]         s_axil_awaddr, s_axil_araddr;
    logic [2:0]          s_axil_awprot, s_axil_arprot;
    logic [31:0]         s_axil_wdata, s_axil_rdata;
    logic [3:0]          s_axil_wstrb;
    logic [1:0]          s_axil_bresp, s_axil_rresp;
    logic                s_axil_awvalid, s_axil_awready, s_axil_wvalid, s_axil_wready, s_axil_bvalid, s_axil_bready;
    logic                s_axil_arvalid, s_axil_arready, s_axil_rvalid, s_axil_rready;
    logic [ID_W-1:0]     m_axi_awid, m_axi_bid, m_axi_arid, m_axi_rid;
    logic [ADDR_W-1:0]   m_axi_awaddr, m_axi_araddr;
    logic [7:0]          m_axi_awlen, m_axi_arlen;
    logic [2:0]          m_axi_awsize, m_axi_arsize;
    logic [1:0]          m_axi_awburst, m_axi_arburst, m_axi_bresp, m_axi_rresp;
    logic [DATA_W-1:0]   m_axi_wdata, m_axi_rdata;
    logic [DATA_W/8-1:0] m_axi_wstrb;
    logic                m_axi_awvalid, m_axi_awready, m_axi_wlast, m_axi_wvalid, m_axi_wready, m_axi_bvalid, m_axi_bready;
    logic                m_axi_arvalid, m_axi_arready, m_axi_rlast, m_axi_rvalid, m_axi_rready;
    logic [31:0]         sts_probe;
`include "embnic_no_remote.svh"
