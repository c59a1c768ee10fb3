// SPDX-License-Identifier: Apache-2.0
// Top of the AMD Kria KR260: the core as configuration edge, frames from the SFP+ port and from this host.
//
// The SFP+ cage is on the PL: a 10G MAC of the block design brings its frames. The four RJ45 ports are not used.
// Requests of Linux on the board come over the AXI DMA; embnic_link_switch sends every answer back to who asked. Card
// memory is the DDR of the processing system (pynq.allocate).
//
// Clocks         pl_clk0 of the processing system, constrained to 100 MHz; the MAC's own behind FIFOs of two clocks.
// Reset          pl_resetn0, inverted here.
`default_nettype none
`include "embnic_configs.svh"
module embnic_kr260
    import embnic_pkg::ADDR_W;
(
    input  wire logic sfp_refclk_p,    // 156.25 MHz
    input  wire logic sfp_refclk_n,
    input  wire logic sfp_rx_p,
    input  wire logic sfp_rx_n,
    output      logic sfp_tx_p,
    output      logic sfp_tx_n,
    output      logic sfp_tx_disable
);
    localparam embnic_configs_pkg::config_t CFG = embnic_configs_pkg::EDGE;
    localparam int unsigned DATA_W = CFG.data_w;
    localparam int unsigned ID_W   = $clog2(CFG.fetches) + 1;

`include "embnic_core_signals.svh"

    logic                clk, rst, rst_n;
    logic [DATA_W-1:0]   s_axis_host_tdata, m_axis_host_tdata, s_axis_mac_tdata, m_axis_mac_tdata;
    logic [DATA_W/8-1:0] s_axis_host_tkeep, m_axis_host_tkeep, s_axis_mac_tkeep, m_axis_mac_tkeep;
    logic                s_axis_host_tvalid, s_axis_host_tready, s_axis_host_tlast;
    logic                m_axis_host_tvalid, m_axis_host_tready, m_axis_host_tlast;
    logic                s_axis_mac_tvalid, s_axis_mac_tready, s_axis_mac_tlast, s_axis_mac_tuser;
    logic                m_axis_mac_tvalid, m_axis_mac_tready, m_axis_mac_tlast;

    assign rst = !rst_n;

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

    embnic_kr260_bd u_bd (
        .clk, .rst_n,
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
        .sfp_refclk_clk_p(sfp_refclk_p), .sfp_refclk_clk_n(sfp_refclk_n),
        .sfp_grx_p(sfp_rx_p), .sfp_grx_n(sfp_rx_n), .sfp_gtx_p(sfp_tx_p), .sfp_gtx_n(sfp_tx_n)
    );

    assign sfp_tx_disable = 1'b0;

    wire unused = &{1'b0, awaddr[39:12], araddr[39:12], sts_probe};
endmodule
`default_nettype wire
