// SPDX-License-Identifier: Apache-2.0
// The core in the 250-MHz box of OpenNIC: embedding requests of one CMAC port are answered, all else passes to its queues.
//
// Ports have the names and meanings of OpenNIC's box_250mhz (one physical function, one QDMA, one CMAC port), so that the
// box's user plugin is one instance (docs/shells/opennic.md). Card memory is not part of that box: m_axi goes to the HBM or
// DDR controller that the integrator adds.
//
// Clocks         axis_aclk, 250 MHz, for everything; axil_aclk for s_axil, which crosses.
// Reset          mod_rstn low begins a reset, 128 cycles of axil_aclk long; mod_rst_done says that it is over. As OpenNIC does.
// Back-pressure  any cycle, all streams; the core never holds up the network.
// tuser          size is the frame's length in bytes, in every beat; src and dst are OpenNIC's one-hot codes: bit 0 the
//                physical function, bit 6 the CMAC port.
`default_nettype none
`include "embnic_configs.svh"
module embnic_opennic
    import embnic_pkg::ADDR_W;
#(
    parameter embnic_configs_pkg::config_t CFG = embnic_configs_pkg::LINE100,
    localparam int unsigned ID_W = $clog2(CFG.fetches) + 1
) (
    input  wire logic         axis_aclk,
    input  wire logic         axil_aclk,
    input  wire logic         mod_rstn,
    output      logic         mod_rst_done,
    // registers
    input  wire logic [31:0]  s_axil_awaddr,
    input  wire logic         s_axil_awvalid,
    output      logic         s_axil_awready,
    input  wire logic [31:0]  s_axil_wdata,
    input  wire logic         s_axil_wvalid,
    output      logic         s_axil_wready,
    output      logic [1:0]   s_axil_bresp,
    output      logic         s_axil_bvalid,
    input  wire logic         s_axil_bready,
    input  wire logic [31:0]  s_axil_araddr,
    input  wire logic         s_axil_arvalid,
    output      logic         s_axil_arready,
    output      logic [31:0]  s_axil_rdata,
    output      logic [1:0]   s_axil_rresp,
    output      logic         s_axil_rvalid,
    input  wire logic         s_axil_rready,
    // host to card
    input  wire logic [511:0] s_axis_qdma_h2c_tdata,
    input  wire logic [63:0]  s_axis_qdma_h2c_tkeep,
    input  wire logic         s_axis_qdma_h2c_tvalid,
    output      logic         s_axis_qdma_h2c_tready,
    input  wire logic         s_axis_qdma_h2c_tlast,
    input  wire logic [15:0]  s_axis_qdma_h2c_tuser_size,
    input  wire logic [15:0]  s_axis_qdma_h2c_tuser_src,
    input  wire logic [15:0]  s_axis_qdma_h2c_tuser_dst,
    // card to host
    output      logic [511:0] m_axis_qdma_c2h_tdata,
    output      logic [63:0]  m_axis_qdma_c2h_tkeep,
    output      logic         m_axis_qdma_c2h_tvalid,
    input  wire logic         m_axis_qdma_c2h_tready,
    output      logic         m_axis_qdma_c2h_tlast,
    output      logic [15:0]  m_axis_qdma_c2h_tuser_size,
    output      logic [15:0]  m_axis_qdma_c2h_tuser_src,
    output      logic [15:0]  m_axis_qdma_c2h_tuser_dst,
    // to the network
    output      logic [511:0] m_axis_adap_tx_250mhz_tdata,
    output      logic [63:0]  m_axis_adap_tx_250mhz_tkeep,
    output      logic         m_axis_adap_tx_250mhz_tvalid,
    input  wire logic         m_axis_adap_tx_250mhz_tready,
    output      logic         m_axis_adap_tx_250mhz_tlast,
    output      logic [15:0]  m_axis_adap_tx_250mhz_tuser_size,
    output      logic [15:0]  m_axis_adap_tx_250mhz_tuser_src,
    output      logic [15:0]  m_axis_adap_tx_250mhz_tuser_dst,
    // from the network
    input  wire logic [511:0] s_axis_adap_rx_250mhz_tdata,
    input  wire logic [63:0]  s_axis_adap_rx_250mhz_tkeep,
    input  wire logic         s_axis_adap_rx_250mhz_tvalid,
    output      logic         s_axis_adap_rx_250mhz_tready,
    input  wire logic         s_axis_adap_rx_250mhz_tlast,
    input  wire logic [15:0]  s_axis_adap_rx_250mhz_tuser_size,
    input  wire logic [15:0]  s_axis_adap_rx_250mhz_tuser_src,
    input  wire logic [15:0]  s_axis_adap_rx_250mhz_tuser_dst,
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
        $fatal(1, "OpenNIC's streams have 512 bits: CFG.data_w must be 512");
    end

    localparam logic [15:0] FUNCTION = 16'h0001;  // OpenNIC's codes of a physical function and of a CMAC port
    localparam logic [15:0] PORT     = 16'h0040;

    // -----------------------------------------------------------------------------------------------------------------
    // Reset, in both clocks
    // -----------------------------------------------------------------------------------------------------------------
    logic [6:0] rst_cnt_q  = '0;    // from configuration on in reset, though mod_rstn comes later
    logic       rst_axil_q = 1'b1;
    logic       rst;

    always_ff @(posedge axil_aclk) begin
        if (!mod_rstn) rst_cnt_q <= '0;
        else if (rst_cnt_q != '1) rst_cnt_q <= rst_cnt_q + 1'b1;
        rst_axil_q   <= rst_cnt_q != '1;
        mod_rst_done <= rst_cnt_q == '1 && !rst_axil_q;
    end

    embnic_sync #(.FROM_ONE(1)) u_rst (.clk_dst(axis_aclk), .src_level(rst_axil_q), .dst_level(rst));

    // -----------------------------------------------------------------------------------------------------------------
    // Registers
    // -----------------------------------------------------------------------------------------------------------------
    logic [11:0] axil_awaddr, axil_araddr;
    logic [31:0] axil_wdata, axil_rdata;
    logic [3:0]  axil_wstrb;
    logic [1:0]  axil_bresp, axil_rresp;
    logic        axil_awvalid, axil_awready, axil_wvalid, axil_wready, axil_bvalid, axil_bready;
    logic        axil_arvalid, axil_arready, axil_rvalid, axil_rready;

    embnic_axil_async #(.ADDR_W(12)) u_axil (
        .clk_s(axil_aclk), .rst_s(rst_axil_q), .clk_m(axis_aclk), .rst_m(rst),
        .s_axil_awaddr(s_axil_awaddr[11:0]), .s_axil_awvalid, .s_axil_awready,
        .s_axil_wdata, .s_axil_wstrb('1), .s_axil_wvalid, .s_axil_wready,
        .s_axil_bresp, .s_axil_bvalid, .s_axil_bready,
        .s_axil_araddr(s_axil_araddr[11:0]), .s_axil_arvalid, .s_axil_arready,
        .s_axil_rdata, .s_axil_rresp, .s_axil_rvalid, .s_axil_rready,
        .m_axil_awaddr(axil_awaddr), .m_axil_awvalid(axil_awvalid), .m_axil_awready(axil_awready),
        .m_axil_wdata(axil_wdata), .m_axil_wstrb(axil_wstrb), .m_axil_wvalid(axil_wvalid), .m_axil_wready(axil_wready),
        .m_axil_bresp(axil_bresp), .m_axil_bvalid(axil_bvalid), .m_axil_bready(axil_bready),
        .m_axil_araddr(axil_araddr), .m_axil_arvalid(axil_arvalid), .m_axil_arready(axil_arready),
        .m_axil_rdata(axil_rdata), .m_axil_rresp(axil_rresp), .m_axil_rvalid(axil_rvalid), .m_axil_rready(axil_rready)
    );

    // -----------------------------------------------------------------------------------------------------------------
    // Frames
    // -----------------------------------------------------------------------------------------------------------------
    logic [511:0] to_core_tdata, of_core_tdata;
    logic [63:0]  to_core_tkeep, of_core_tkeep;
    logic         to_core_tvalid, to_core_tready, to_core_tlast, of_core_tvalid, of_core_tready, of_core_tlast;
    logic [15:0]  to_core_tuser;
    logic         tx_core;

    embnic_steer #(.DATA_W(512), .USER_W(16)) u_steer (
        .clk(axis_aclk), .rst,
        .s_axis_rx_tdata(s_axis_adap_rx_250mhz_tdata), .s_axis_rx_tkeep(s_axis_adap_rx_250mhz_tkeep),
        .s_axis_rx_tvalid(s_axis_adap_rx_250mhz_tvalid), .s_axis_rx_tready(s_axis_adap_rx_250mhz_tready),
        .s_axis_rx_tlast(s_axis_adap_rx_250mhz_tlast), .s_axis_rx_tuser(s_axis_adap_rx_250mhz_tuser_size),
        .m_axis_core_tdata(to_core_tdata), .m_axis_core_tkeep(to_core_tkeep), .m_axis_core_tvalid(to_core_tvalid),
        .m_axis_core_tready(to_core_tready), .m_axis_core_tlast(to_core_tlast), .m_axis_core_tuser(to_core_tuser),
        .m_axis_nic_tdata(m_axis_qdma_c2h_tdata), .m_axis_nic_tkeep(m_axis_qdma_c2h_tkeep),
        .m_axis_nic_tvalid(m_axis_qdma_c2h_tvalid), .m_axis_nic_tready(m_axis_qdma_c2h_tready),
        .m_axis_nic_tlast(m_axis_qdma_c2h_tlast), .m_axis_nic_tuser(m_axis_qdma_c2h_tuser_size),
        .s_axis_core_tdata(of_core_tdata), .s_axis_core_tkeep(of_core_tkeep), .s_axis_core_tvalid(of_core_tvalid),
        .s_axis_core_tready(of_core_tready), .s_axis_core_tlast(of_core_tlast),
        .s_axis_nic_tdata(s_axis_qdma_h2c_tdata), .s_axis_nic_tkeep(s_axis_qdma_h2c_tkeep),
        .s_axis_nic_tvalid(s_axis_qdma_h2c_tvalid), .s_axis_nic_tready(s_axis_qdma_h2c_tready),
        .s_axis_nic_tlast(s_axis_qdma_h2c_tlast),
        .m_axis_tx_tdata(m_axis_adap_tx_250mhz_tdata), .m_axis_tx_tkeep(m_axis_adap_tx_250mhz_tkeep),
        .m_axis_tx_tvalid(m_axis_adap_tx_250mhz_tvalid), .m_axis_tx_tready(m_axis_adap_tx_250mhz_tready),
        .m_axis_tx_tlast(m_axis_adap_tx_250mhz_tlast), .sts_tx_core(tx_core)
    );

    // The core's frames are as long as their IPv4 header says: nothing of it is shorter than 60 bytes.
    logic [15:0] first_size, held_size_q;
    logic        first_q;

    assign first_size = {of_core_tdata[8*16+:8], of_core_tdata[8*17+:8]} + 16'd14;

    always_ff @(posedge axis_aclk) begin
        if (of_core_tvalid && of_core_tready) begin
            first_q     <= of_core_tlast;
            held_size_q <= first_q ? first_size : held_size_q;
        end
        if (rst) first_q <= 1'b1;
    end

    assign m_axis_adap_tx_250mhz_tuser_size = !tx_core ? s_axis_qdma_h2c_tuser_size : first_q ? first_size : held_size_q;
    assign m_axis_adap_tx_250mhz_tuser_src  = FUNCTION;
    assign m_axis_adap_tx_250mhz_tuser_dst  = PORT;
    assign m_axis_qdma_c2h_tuser_src        = PORT;
    assign m_axis_qdma_c2h_tuser_dst        = FUNCTION;

    // -----------------------------------------------------------------------------------------------------------------
    // Core
    // -----------------------------------------------------------------------------------------------------------------
    logic [31:0] sts_probe;
`include "embnic_no_remote.svh"

    embnic_core #(`EMBNIC_PARAMETERS(CFG)) u_core (
        .clk(axis_aclk), .rst,
        .s_axis_rx_tdata(to_core_tdata), .s_axis_rx_tkeep(to_core_tkeep), .s_axis_rx_tvalid(to_core_tvalid),
        .s_axis_rx_tready(to_core_tready), .s_axis_rx_tlast(to_core_tlast), .s_axis_rx_tuser(1'b0),
        .m_axis_tx_tdata(of_core_tdata), .m_axis_tx_tkeep(of_core_tkeep), .m_axis_tx_tvalid(of_core_tvalid),
        .m_axis_tx_tready(of_core_tready), .m_axis_tx_tlast(of_core_tlast),
        .s_axil_awaddr(axil_awaddr), .s_axil_awprot('0), .s_axil_awvalid(axil_awvalid), .s_axil_awready(axil_awready),
        .s_axil_wdata(axil_wdata), .s_axil_wstrb(axil_wstrb), .s_axil_wvalid(axil_wvalid), .s_axil_wready(axil_wready),
        .s_axil_bresp(axil_bresp), .s_axil_bvalid(axil_bvalid), .s_axil_bready(axil_bready),
        .s_axil_araddr(axil_araddr), .s_axil_arprot('0), .s_axil_arvalid(axil_arvalid), .s_axil_arready(axil_arready),
        .s_axil_rdata(axil_rdata), .s_axil_rresp(axil_rresp), .s_axil_rvalid(axil_rvalid), .s_axil_rready(axil_rready),
        .*
    );

    wire unused = &{1'b0, s_axil_awaddr[31:12], s_axil_araddr[31:12], s_axis_qdma_h2c_tuser_src, s_axis_qdma_h2c_tuser_dst,
        s_axis_adap_rx_250mhz_tuser_src, s_axis_adap_rx_250mhz_tuser_dst, to_core_tuser, sts_probe};
endmodule
`default_nettype wire
