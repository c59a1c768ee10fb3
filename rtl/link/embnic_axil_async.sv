// SPDX-License-Identifier: Apache-2.0
// An AXI4-Lite bus from one clock into another.
//
// Order          reads and writes each as given.
// Back-pressure  any cycle, all channels; nothing is lost.
// Latency        three to four edges of each clock a direction (embnic_async_fifo).
// Reset          either resets both sides; what was under way is lost. See embnic_async_fifo for its length.
`default_nettype none
module embnic_axil_async #(
    parameter int unsigned ADDR_W = 12  // bits of an address
) (
    input  wire logic              clk_s,
    input  wire logic              rst_s,
    input  wire logic              clk_m,
    input  wire logic              rst_m,
    input  wire logic [ADDR_W-1:0] s_axil_awaddr,
    input  wire logic              s_axil_awvalid,
    output      logic              s_axil_awready,
    input  wire logic [31:0]       s_axil_wdata,
    input  wire logic [3:0]        s_axil_wstrb,
    input  wire logic              s_axil_wvalid,
    output      logic              s_axil_wready,
    output      logic [1:0]        s_axil_bresp,
    output      logic              s_axil_bvalid,
    input  wire logic              s_axil_bready,
    input  wire logic [ADDR_W-1:0] s_axil_araddr,
    input  wire logic              s_axil_arvalid,
    output      logic              s_axil_arready,
    output      logic [31:0]       s_axil_rdata,
    output      logic [1:0]        s_axil_rresp,
    output      logic              s_axil_rvalid,
    input  wire logic              s_axil_rready,
    output      logic [ADDR_W-1:0] m_axil_awaddr,
    output      logic              m_axil_awvalid,
    input  wire logic              m_axil_awready,
    output      logic [31:0]       m_axil_wdata,
    output      logic [3:0]        m_axil_wstrb,
    output      logic              m_axil_wvalid,
    input  wire logic              m_axil_wready,
    input  wire logic [1:0]        m_axil_bresp,
    input  wire logic              m_axil_bvalid,
    output      logic              m_axil_bready,
    output      logic [ADDR_W-1:0] m_axil_araddr,
    output      logic              m_axil_arvalid,
    input  wire logic              m_axil_arready,
    input  wire logic [31:0]       m_axil_rdata,
    input  wire logic [1:0]        m_axil_rresp,
    input  wire logic              m_axil_rvalid,
    output      logic              m_axil_rready
);
    localparam int unsigned DEPTH = 4;

    embnic_async_fifo #(.WIDTH(ADDR_W), .DEPTH(DEPTH)) u_aw (
        .clk_wr(clk_s), .rst_wr(rst_s), .clk_rd(clk_m), .rst_rd(rst_m),
        .s_axis_wr_tdata(s_axil_awaddr), .s_axis_wr_tvalid(s_axil_awvalid), .s_axis_wr_tready(s_axil_awready),
        .m_axis_rd_tdata(m_axil_awaddr), .m_axis_rd_tvalid(m_axil_awvalid), .m_axis_rd_tready(m_axil_awready)
    );
    embnic_async_fifo #(.WIDTH(36), .DEPTH(DEPTH)) u_w (
        .clk_wr(clk_s), .rst_wr(rst_s), .clk_rd(clk_m), .rst_rd(rst_m),
        .s_axis_wr_tdata({s_axil_wdata, s_axil_wstrb}), .s_axis_wr_tvalid(s_axil_wvalid), .s_axis_wr_tready(s_axil_wready),
        .m_axis_rd_tdata({m_axil_wdata, m_axil_wstrb}), .m_axis_rd_tvalid(m_axil_wvalid), .m_axis_rd_tready(m_axil_wready)
    );
    embnic_async_fifo #(.WIDTH(2), .DEPTH(DEPTH)) u_b (
        .clk_wr(clk_m), .rst_wr(rst_m), .clk_rd(clk_s), .rst_rd(rst_s),
        .s_axis_wr_tdata(m_axil_bresp), .s_axis_wr_tvalid(m_axil_bvalid), .s_axis_wr_tready(m_axil_bready),
        .m_axis_rd_tdata(s_axil_bresp), .m_axis_rd_tvalid(s_axil_bvalid), .m_axis_rd_tready(s_axil_bready)
    );
    embnic_async_fifo #(.WIDTH(ADDR_W), .DEPTH(DEPTH)) u_ar (
        .clk_wr(clk_s), .rst_wr(rst_s), .clk_rd(clk_m), .rst_rd(rst_m),
        .s_axis_wr_tdata(s_axil_araddr), .s_axis_wr_tvalid(s_axil_arvalid), .s_axis_wr_tready(s_axil_arready),
        .m_axis_rd_tdata(m_axil_araddr), .m_axis_rd_tvalid(m_axil_arvalid), .m_axis_rd_tready(m_axil_arready)
    );
    embnic_async_fifo #(.WIDTH(34), .DEPTH(DEPTH)) u_r (
        .clk_wr(clk_m), .rst_wr(rst_m), .clk_rd(clk_s), .rst_rd(rst_s),
        .s_axis_wr_tdata({m_axil_rdata, m_axil_rresp}), .s_axis_wr_tvalid(m_axil_rvalid), .s_axis_wr_tready(m_axil_rready),
        .m_axis_rd_tdata({s_axil_rdata, s_axil_rresp}), .m_axis_rd_tvalid(s_axil_rvalid), .m_axis_rd_tready(s_axil_rready)
    );
endmodule
`default_nettype wire
