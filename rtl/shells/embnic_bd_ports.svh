// SPDX-License-Identifier: Apache-2.0
// Connects core_axil and core_axi of a board's block design (bitstreams/boards/common.tcl) with the signals of
// embnic_core_signals.svh; the two register addresses, which are wider there, are left to the top.
        .core_axil_awprot(s_axil_awprot), .core_axil_awvalid(s_axil_awvalid), .core_axil_awready(s_axil_awready),
        .core_axil_wdata(s_axil_wdata), .core_axil_wstrb(s_axil_wstrb), .core_axil_wvalid(s_axil_wvalid),
        .core_axil_wready(s_axil_wready), .core_axil_bresp(s_axil_bresp), .core_axil_bvalid(s_axil_bvalid),
        .core_axil_bready(s_axil_bready), .core_axil_arprot(s_axil_arprot), .core_axil_arvalid(s_axil_arvalid),
        .core_axil_arready(s_axil_arready), .core_axil_rdata(s_axil_rdata), .core_axil_rresp(s_axil_rresp),
        .core_axil_rvalid(s_axil_rvalid), .core_axil_rready(s_axil_rready),
        .core_axi_awid(m_axi_awid), .core_axi_awaddr(m_axi_awaddr), .core_axi_awlen(m_axi_awlen),
        .core_axi_awsize(m_axi_awsize), .core_axi_awburst(m_axi_awburst), .core_axi_awvalid(m_axi_awvalid),
        .core_axi_awready(m_axi_awready), .core_axi_wdata(m_axi_wdata), .core_axi_wstrb(m_axi_wstrb),
        .core_axi_wlast(m_axi_wlast), .core_axi_wvalid(m_axi_wvalid), .core_axi_wready(m_axi_wready),
        .core_axi_bid(m_axi_bid), .core_axi_bresp(m_axi_bresp), .core_axi_bvalid(m_axi_bvalid),
        .core_axi_bready(m_axi_bready), .core_axi_arid(m_axi_arid), .core_axi_araddr(m_axi_araddr),
        .core_axi_arlen(m_axi_arlen), .core_axi_arsize(m_axi_arsize), .core_axi_arburst(m_axi_arburst),
        .core_axi_arvalid(m_axi_arvalid), .core_axi_arready(m_axi_arready), .core_axi_rid(m_axi_rid),
        .core_axi_rdata(m_axi_rdata), .core_axi_rresp(m_axi_rresp), .core_axi_rlast(m_axi_rlast),
        .core_axi_rvalid(m_axi_rvalid), .core_axi_rready(m_axi_rready),
