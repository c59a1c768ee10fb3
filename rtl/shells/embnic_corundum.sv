// SPDX-License-Identifier: Apache-2.0
// The core in the application block of Corundum (mqnic_app_block): embedding requests of one port are answered, all else
// passes to and from the NIC.
//
// It sits in the synchronous streams (AXIS_SYNC, the core clock) of one port; s_axil_app_ctrl has the core's registers. Ports
// have the names of the application block for PORT_COUNT = 1, so that its application section is one instance
// (docs/shells/corundum.md). m_axi goes to the block's m_axi_hbm or m_axi_ddr, through a width converter where they differ.
//
// Clock          clk, the core clock; no other.
// Back-pressure  any cycle where AXIS_RX_USE_READY is 1. Corundum's default has no ready from the MAC: s_axis_sync_rx is then
//                never held up by the core, and by the NIC only where its own path holds it up.
// tuser          of rx passed along, bit 0: the MAC found the frame bad. Of tx {tag, bad}: frames of the core have TAG, and
//                their completions end here.
`default_nettype none
`include "embnic_configs.svh"
module embnic_corundum
    import embnic_pkg::ADDR_W;
#(
    parameter embnic_configs_pkg::config_t CFG = embnic_configs_pkg::LINE100,
    parameter int unsigned RX_USER_W = 97,        // AXIS_SYNC_RX_USER_WIDTH: a time stamp and the bad bit
    parameter int unsigned TX_TAG_W  = 16,        // TX_TAG_WIDTH
    parameter int unsigned PTP_TS_W  = 96,        // PTP_TS_WIDTH
    parameter logic [TX_TAG_W-1:0] TAG = '1,      // of the core's frames: the NIC's own tags are small numbers
    localparam int unsigned ID_W = $clog2(CFG.fetches) + 1
) (
    input  wire logic                 clk,
    input  wire logic                 rst,
    // registers
    input  wire logic [15:0]          s_axil_app_ctrl_awaddr,
    input  wire logic [2:0]           s_axil_app_ctrl_awprot,
    input  wire logic                 s_axil_app_ctrl_awvalid,
    output      logic                 s_axil_app_ctrl_awready,
    input  wire logic [31:0]          s_axil_app_ctrl_wdata,
    input  wire logic [3:0]           s_axil_app_ctrl_wstrb,
    input  wire logic                 s_axil_app_ctrl_wvalid,
    output      logic                 s_axil_app_ctrl_wready,
    output      logic [1:0]           s_axil_app_ctrl_bresp,
    output      logic                 s_axil_app_ctrl_bvalid,
    input  wire logic                 s_axil_app_ctrl_bready,
    input  wire logic [15:0]          s_axil_app_ctrl_araddr,
    input  wire logic [2:0]           s_axil_app_ctrl_arprot,
    input  wire logic                 s_axil_app_ctrl_arvalid,
    output      logic                 s_axil_app_ctrl_arready,
    output      logic [31:0]          s_axil_app_ctrl_rdata,
    output      logic [1:0]           s_axil_app_ctrl_rresp,
    output      logic                 s_axil_app_ctrl_rvalid,
    input  wire logic                 s_axil_app_ctrl_rready,
    // from the NIC's transmit queues
    input  wire logic [511:0]         s_axis_sync_tx_tdata,
    input  wire logic [63:0]          s_axis_sync_tx_tkeep,
    input  wire logic                 s_axis_sync_tx_tvalid,
    output      logic                 s_axis_sync_tx_tready,
    input  wire logic                 s_axis_sync_tx_tlast,
    input  wire logic [TX_TAG_W:0]    s_axis_sync_tx_tuser,
    // to the MAC
    output      logic [511:0]         m_axis_sync_tx_tdata,
    output      logic [63:0]          m_axis_sync_tx_tkeep,
    output      logic                 m_axis_sync_tx_tvalid,
    input  wire logic                 m_axis_sync_tx_tready,
    output      logic                 m_axis_sync_tx_tlast,
    output      logic [TX_TAG_W:0]    m_axis_sync_tx_tuser,
    // completions of the MAC, and to the NIC
    input  wire logic [PTP_TS_W-1:0]  s_axis_sync_tx_cpl_ts,
    input  wire logic [TX_TAG_W-1:0]  s_axis_sync_tx_cpl_tag,
    input  wire logic                 s_axis_sync_tx_cpl_valid,
    output      logic                 s_axis_sync_tx_cpl_ready,
    output      logic [PTP_TS_W-1:0]  m_axis_sync_tx_cpl_ts,
    output      logic [TX_TAG_W-1:0]  m_axis_sync_tx_cpl_tag,
    output      logic                 m_axis_sync_tx_cpl_valid,
    input  wire logic                 m_axis_sync_tx_cpl_ready,
    // from the MAC
    input  wire logic [511:0]         s_axis_sync_rx_tdata,
    input  wire logic [63:0]          s_axis_sync_rx_tkeep,
    input  wire logic                 s_axis_sync_rx_tvalid,
    output      logic                 s_axis_sync_rx_tready,
    input  wire logic                 s_axis_sync_rx_tlast,
    input  wire logic [RX_USER_W-1:0] s_axis_sync_rx_tuser,
    // to the NIC's receive queues
    output      logic [511:0]         m_axis_sync_rx_tdata,
    output      logic [63:0]          m_axis_sync_rx_tkeep,
    output      logic                 m_axis_sync_rx_tvalid,
    input  wire logic                 m_axis_sync_rx_tready,
    output      logic                 m_axis_sync_rx_tlast,
    output      logic [RX_USER_W-1:0] m_axis_sync_rx_tuser,
    // card memory
    output      logic [ID_W-1:0]   m_axi_awid,
    output      logic [ADDR_W-1:0] m_axi_awaddr,
    output      logic [7:0]        m_axi_awlen,
    output      logic [2:0]        m_axi_awsize,
    output      logic [1:0]        m_axi_awburst,
    output      logic              m_axi_awvalid,
    input  wire logic              m_axi_awready,
    output      logic [511:0]      m_axi_wdata,
    output      logic [63:0]       m_axi_wstrb,
    output      logic              m_axi_wlast,
    output      logic              m_axi_wvalid,
    input  wire logic              m_axi_wready,
    input  wire logic [ID_W-1:0]   m_axi_bid,
    input  wire logic [1:0]        m_axi_bresp,
    input  wire logic              m_axi_bvalid,
    output      logic              m_axi_bready,
    output      logic [ID_W-1:0]   m_axi_arid,
    output      logic [ADDR_W-1:0] m_axi_araddr,
    output      logic [7:0]        m_axi_arlen,
    output      logic [2:0]        m_axi_arsize,
    output      logic [1:0]        m_axi_arburst,
    output      logic              m_axi_arvalid,
    input  wire logic              m_axi_arready,
    input  wire logic [ID_W-1:0]   m_axi_rid,
    input  wire logic [511:0]      m_axi_rdata,
    input  wire logic [1:0]        m_axi_rresp,
    input  wire logic              m_axi_rlast,
    input  wire logic              m_axi_rvalid,
    output      logic              m_axi_rready
);
    if (CFG.data_w != 512) begin : gen_bad_data_w
        $fatal(1, "the streams have 512 bits: CFG.data_w must be 512");
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Frames
    // -----------------------------------------------------------------------------------------------------------------
    logic [511:0] to_core_tdata, of_core_tdata;
    logic [63:0]  to_core_tkeep, of_core_tkeep;
    logic         to_core_tvalid, to_core_tready, to_core_tlast, of_core_tvalid, of_core_tready, of_core_tlast;
    logic [RX_USER_W-1:0] to_core_tuser;
    logic         tx_core;

    embnic_steer #(.DATA_W(512), .USER_W(RX_USER_W)) u_steer (
        .clk, .rst,
        .s_axis_rx_tdata(s_axis_sync_rx_tdata), .s_axis_rx_tkeep(s_axis_sync_rx_tkeep),
        .s_axis_rx_tvalid(s_axis_sync_rx_tvalid), .s_axis_rx_tready(s_axis_sync_rx_tready),
        .s_axis_rx_tlast(s_axis_sync_rx_tlast), .s_axis_rx_tuser(s_axis_sync_rx_tuser),
        .m_axis_core_tdata(to_core_tdata), .m_axis_core_tkeep(to_core_tkeep), .m_axis_core_tvalid(to_core_tvalid),
        .m_axis_core_tready(to_core_tready), .m_axis_core_tlast(to_core_tlast), .m_axis_core_tuser(to_core_tuser),
        .m_axis_nic_tdata(m_axis_sync_rx_tdata), .m_axis_nic_tkeep(m_axis_sync_rx_tkeep),
        .m_axis_nic_tvalid(m_axis_sync_rx_tvalid), .m_axis_nic_tready(m_axis_sync_rx_tready),
        .m_axis_nic_tlast(m_axis_sync_rx_tlast), .m_axis_nic_tuser(m_axis_sync_rx_tuser),
        .s_axis_core_tdata(of_core_tdata), .s_axis_core_tkeep(of_core_tkeep), .s_axis_core_tvalid(of_core_tvalid),
        .s_axis_core_tready(of_core_tready), .s_axis_core_tlast(of_core_tlast),
        .s_axis_nic_tdata(s_axis_sync_tx_tdata), .s_axis_nic_tkeep(s_axis_sync_tx_tkeep),
        .s_axis_nic_tvalid(s_axis_sync_tx_tvalid), .s_axis_nic_tready(s_axis_sync_tx_tready),
        .s_axis_nic_tlast(s_axis_sync_tx_tlast),
        .m_axis_tx_tdata(m_axis_sync_tx_tdata), .m_axis_tx_tkeep(m_axis_sync_tx_tkeep),
        .m_axis_tx_tvalid(m_axis_sync_tx_tvalid), .m_axis_tx_tready(m_axis_sync_tx_tready),
        .m_axis_tx_tlast(m_axis_sync_tx_tlast), .sts_tx_core(tx_core)
    );

    assign m_axis_sync_tx_tuser = tx_core ? {TAG, 1'b0} : s_axis_sync_tx_tuser;

    // -----------------------------------------------------------------------------------------------------------------
    // Completions: the NIC waits for those of its own frames only
    // -----------------------------------------------------------------------------------------------------------------
    logic cpl_core;

    assign cpl_core                 = s_axis_sync_tx_cpl_tag == TAG;
    assign m_axis_sync_tx_cpl_ts    = s_axis_sync_tx_cpl_ts;
    assign m_axis_sync_tx_cpl_tag   = s_axis_sync_tx_cpl_tag;
    assign m_axis_sync_tx_cpl_valid = s_axis_sync_tx_cpl_valid && !cpl_core;
    assign s_axis_sync_tx_cpl_ready = cpl_core || m_axis_sync_tx_cpl_ready;

    // -----------------------------------------------------------------------------------------------------------------
    // Core
    // -----------------------------------------------------------------------------------------------------------------
    logic [31:0] sts_probe;
`include "embnic_no_remote.svh"

    embnic_core #(`EMBNIC_PARAMETERS(CFG)) u_core (
        .clk, .rst,
        .s_axis_rx_tdata(to_core_tdata), .s_axis_rx_tkeep(to_core_tkeep), .s_axis_rx_tvalid(to_core_tvalid),
        .s_axis_rx_tready(to_core_tready), .s_axis_rx_tlast(to_core_tlast), .s_axis_rx_tuser(to_core_tuser[0]),
        .m_axis_tx_tdata(of_core_tdata), .m_axis_tx_tkeep(of_core_tkeep), .m_axis_tx_tvalid(of_core_tvalid),
        .m_axis_tx_tready(of_core_tready), .m_axis_tx_tlast(of_core_tlast),
        .s_axil_awaddr(s_axil_app_ctrl_awaddr[11:0]), .s_axil_awprot(s_axil_app_ctrl_awprot),
        .s_axil_awvalid(s_axil_app_ctrl_awvalid), .s_axil_awready(s_axil_app_ctrl_awready),
        .s_axil_wdata(s_axil_app_ctrl_wdata), .s_axil_wstrb(s_axil_app_ctrl_wstrb),
        .s_axil_wvalid(s_axil_app_ctrl_wvalid), .s_axil_wready(s_axil_app_ctrl_wready),
        .s_axil_bresp(s_axil_app_ctrl_bresp), .s_axil_bvalid(s_axil_app_ctrl_bvalid),
        .s_axil_bready(s_axil_app_ctrl_bready), .s_axil_araddr(s_axil_app_ctrl_araddr[11:0]),
        .s_axil_arprot(s_axil_app_ctrl_arprot), .s_axil_arvalid(s_axil_app_ctrl_arvalid),
        .s_axil_arready(s_axil_app_ctrl_arready), .s_axil_rdata(s_axil_app_ctrl_rdata),
        .s_axil_rresp(s_axil_app_ctrl_rresp), .s_axil_rvalid(s_axil_app_ctrl_rvalid),
        .s_axil_rready(s_axil_app_ctrl_rready),
        .*
    );

    wire unused = &{1'b0, s_axil_app_ctrl_awaddr[15:12], s_axil_app_ctrl_araddr[15:12], to_core_tuser[RX_USER_W-1:1], sts_probe};
endmodule
`default_nettype wire
