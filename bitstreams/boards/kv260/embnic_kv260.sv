// SPDX-License-Identifier: Apache-2.0
// Top of the AMD Kria KV260: the core as configuration edge, frames from and to this host only (direct model).
//
// The board's Ethernet belongs to the processing system, so no frame of the network reaches the PL: requests come over the
// AXI DMA from Linux on the board. Card memory is the DDR of the processing system (pynq.allocate).
//
// Clocks         pl_clk0 of the processing system, constrained to 100 MHz.
// Reset          its pl_resetn0, inverted here.
`default_nettype none
`include "embnic_configs.svh"
module embnic_kv260
    import embnic_pkg::ADDR_W;
();
    localparam embnic_configs_pkg::config_t CFG = embnic_configs_pkg::EDGE;
    localparam int unsigned DATA_W = CFG.data_w;
    localparam int unsigned ID_W   = $clog2(CFG.fetches) + 1;

`include "embnic_core_signals.svh"

    logic clk, rst, rst_n;
    assign rst = !rst_n;

    embnic_core #(`EMBNIC_PARAMETERS(CFG)) u_core (.*);

    logic [39:0] awaddr, araddr;
    assign s_axil_awaddr   = awaddr[11:0];
    assign s_axil_araddr   = araddr[11:0];
    assign s_axis_rx_tuser = 1'b0;

    embnic_kv260_bd u_bd (
        .clk, .rst_n,
`include "embnic_bd_ports.svh"
        .core_axil_awaddr(awaddr), .core_axil_araddr(araddr),
        .host_rx_tdata(s_axis_rx_tdata), .host_rx_tkeep(s_axis_rx_tkeep), .host_rx_tvalid(s_axis_rx_tvalid),
        .host_rx_tready(s_axis_rx_tready), .host_rx_tlast(s_axis_rx_tlast),
        .host_tx_tdata(m_axis_tx_tdata), .host_tx_tkeep(m_axis_tx_tkeep), .host_tx_tvalid(m_axis_tx_tvalid),
        .host_tx_tready(m_axis_tx_tready), .host_tx_tlast(m_axis_tx_tlast)
    );

    wire unused = &{1'b0, awaddr[39:12], araddr[39:12], sts_probe};
endmodule
`default_nettype wire
