// SPDX-License-Identifier: Apache-2.0
// The core as a vFPGA of Coyote: frames from and to the host's streams, registers in axi_ctrl, rows in card memory.
//
// Ports are the signals of the vFPGA's interfaces (axi_ctrl, axis_host_recv[0], axis_host_send[0], axis_card_recv[0],
// axis_card_send[0], sq_rd, sq_wr, cq_wr), so that vfpga_top.svh connects them one by one (docs/shells/coyote.md). A transfer
// of the host is a frame. axi_ctrl has 64-bit words: register n of the core, at byte 4n, is word n, at byte 8n; its upper
// half is zero.
//
// Clock          aclk; no other.
// Reset          aresetn, inverted here.
// Back-pressure  any cycle, all streams.
`default_nettype none
`include "embnic_configs.svh"
module embnic_coyote
    import embnic_pkg::ADDR_W;
#(
    parameter embnic_configs_pkg::config_t CFG = embnic_configs_pkg::LINE100,
    parameter int unsigned VADDR_W = 48,
    parameter int unsigned LEN_W   = 28
) (
    input  wire logic               aclk,
    input  wire logic               aresetn,
    // registers
    input  wire logic [63:0]        axi_ctrl_awaddr,
    input  wire logic [2:0]         axi_ctrl_awprot,
    input  wire logic               axi_ctrl_awvalid,
    output      logic               axi_ctrl_awready,
    input  wire logic [63:0]        axi_ctrl_wdata,
    input  wire logic [7:0]         axi_ctrl_wstrb,
    input  wire logic               axi_ctrl_wvalid,
    output      logic               axi_ctrl_wready,
    output      logic [1:0]         axi_ctrl_bresp,
    output      logic               axi_ctrl_bvalid,
    input  wire logic               axi_ctrl_bready,
    input  wire logic [63:0]        axi_ctrl_araddr,
    input  wire logic [2:0]         axi_ctrl_arprot,
    input  wire logic               axi_ctrl_arvalid,
    output      logic               axi_ctrl_arready,
    output      logic [63:0]        axi_ctrl_rdata,
    output      logic [1:0]         axi_ctrl_rresp,
    output      logic               axi_ctrl_rvalid,
    input  wire logic               axi_ctrl_rready,
    // frames of the host
    input  wire logic [511:0]       axis_host_recv_tdata,
    input  wire logic [63:0]        axis_host_recv_tkeep,
    input  wire logic               axis_host_recv_tvalid,
    output      logic               axis_host_recv_tready,
    input  wire logic               axis_host_recv_tlast,
    // frames of the core
    output      logic [511:0]       axis_host_send_tdata,
    output      logic [63:0]        axis_host_send_tkeep,
    output      logic               axis_host_send_tvalid,
    input  wire logic               axis_host_send_tready,
    output      logic               axis_host_send_tlast,
    // card memory
    output      logic [VADDR_W-1:0] sq_rd_vaddr,
    output      logic [LEN_W-1:0]   sq_rd_len,
    output      logic               sq_rd_valid,
    input  wire logic               sq_rd_ready,
    output      logic [VADDR_W-1:0] sq_wr_vaddr,
    output      logic [LEN_W-1:0]   sq_wr_len,
    output      logic               sq_wr_valid,
    input  wire logic               sq_wr_ready,
    input  wire logic               cq_wr_valid,
    output      logic               cq_wr_ready,
    input  wire logic [511:0]       axis_card_recv_tdata,
    input  wire logic               axis_card_recv_tvalid,
    output      logic               axis_card_recv_tready,
    output      logic [511:0]       axis_card_send_tdata,
    output      logic [63:0]        axis_card_send_tkeep,
    output      logic               axis_card_send_tvalid,
    input  wire logic               axis_card_send_tready,
    output      logic               axis_card_send_tlast
);
    if (CFG.data_w != 512) begin : gen_bad_data_w
        $fatal(1, "the streams have 512 bits: CFG.data_w must be 512");
    end

    localparam int unsigned DATA_W = 512;
    localparam int unsigned ID_W   = $clog2(CFG.fetches) + 1;

`include "embnic_core_signals.svh"

    logic clk, rst;
    assign clk = aclk;
    assign rst = !aresetn;

    embnic_core #(`EMBNIC_PARAMETERS(CFG)) u_core (.*);

    assign s_axis_rx_tdata       = axis_host_recv_tdata;
    assign s_axis_rx_tkeep       = axis_host_recv_tkeep;
    assign s_axis_rx_tvalid      = axis_host_recv_tvalid;
    assign s_axis_rx_tlast       = axis_host_recv_tlast;
    assign s_axis_rx_tuser       = 1'b0;
    assign axis_host_recv_tready = s_axis_rx_tready;
    assign axis_host_send_tdata  = m_axis_tx_tdata;
    assign axis_host_send_tkeep  = m_axis_tx_tkeep;
    assign axis_host_send_tvalid = m_axis_tx_tvalid;
    assign axis_host_send_tlast  = m_axis_tx_tlast;
    assign m_axis_tx_tready      = axis_host_send_tready;

    assign s_axil_awaddr         = axi_ctrl_awaddr[12:1];
    assign s_axil_awprot         = axi_ctrl_awprot;
    assign s_axil_awvalid        = axi_ctrl_awvalid;
    assign axi_ctrl_awready      = s_axil_awready;
    assign s_axil_wdata          = axi_ctrl_wdata[31:0];
    assign s_axil_wstrb          = axi_ctrl_wstrb[3:0];
    assign s_axil_wvalid         = axi_ctrl_wvalid;
    assign axi_ctrl_wready       = s_axil_wready;
    assign axi_ctrl_bresp        = s_axil_bresp;
    assign axi_ctrl_bvalid       = s_axil_bvalid;
    assign s_axil_bready         = axi_ctrl_bready;
    assign s_axil_araddr         = axi_ctrl_araddr[12:1];
    assign s_axil_arprot         = axi_ctrl_arprot;
    assign s_axil_arvalid        = axi_ctrl_arvalid;
    assign axi_ctrl_arready      = s_axil_arready;
    assign axi_ctrl_rdata        = {32'h0, s_axil_rdata};
    assign axi_ctrl_rresp        = s_axil_rresp;
    assign axi_ctrl_rvalid       = s_axil_rvalid;
    assign s_axil_rready         = axi_ctrl_rready;

    embnic_coyote_memory #(.DATA_W(DATA_W), .ID_W(ID_W), .DEPTH(2 << ID_W), .VADDR_W(VADDR_W), .LEN_W(LEN_W)) u_memory (
        .clk, .rst,
        .s_axi_arid(m_axi_arid), .s_axi_araddr(m_axi_araddr), .s_axi_arlen(m_axi_arlen), .s_axi_arvalid(m_axi_arvalid),
        .s_axi_arready(m_axi_arready), .s_axi_rid(m_axi_rid), .s_axi_rdata(m_axi_rdata), .s_axi_rresp(m_axi_rresp),
        .s_axi_rlast(m_axi_rlast), .s_axi_rvalid(m_axi_rvalid), .s_axi_rready(m_axi_rready),
        .s_axi_awaddr(m_axi_awaddr), .s_axi_awlen(m_axi_awlen), .s_axi_awvalid(m_axi_awvalid), .s_axi_awready(m_axi_awready),
        .s_axi_wdata(m_axi_wdata), .s_axi_wlast(m_axi_wlast), .s_axi_wvalid(m_axi_wvalid), .s_axi_wready(m_axi_wready),
        .s_axi_bresp(m_axi_bresp), .s_axi_bvalid(m_axi_bvalid), .s_axi_bready(m_axi_bready),
        .*
    );
    assign m_axi_bid = '0;

    wire unused = &{1'b0, axi_ctrl_awaddr[63:13], axi_ctrl_awaddr[0], axi_ctrl_araddr[63:13], axi_ctrl_araddr[0],
        axi_ctrl_wdata[63:32], axi_ctrl_wstrb[7:4], m_axi_awid, m_axi_wstrb, m_axi_arsize, m_axi_arburst, m_axi_awsize,
        m_axi_awburst, sts_probe};
endmodule
`default_nettype wire
