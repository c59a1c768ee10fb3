// SPDX-License-Identifier: Apache-2.0
// Two links to one core: frames of the host's DMA and of the network's MAC in, answers to the one that asked.
//
// An answer goes to the host when its destination is HOST_MAC, the source address that the host's driver writes into its
// requests, and to the network otherwise. Nobody on the network has it: it is a locally administered address.
//
// Order          frames as they begin, the host's first; frames of one link keep their order.
// Back-pressure  any cycle, all sides; nothing is lost. tready and tvalid cross the module combinationally.
// Latency        none.
// Throughput     one beat per cycle.
// Not handled    a frame of a link that stops in its middle holds the other one up.
`default_nettype none
`include "embnic_assert.svh"
module embnic_link_switch #(
    parameter int unsigned DATA_W   = 128,                // bits of a beat; 64 and more
    parameter bit [47:0]   HOST_MAC = 48'h02_00_00_00_00_01
) (
    input  wire logic                clk,
    input  wire logic                rst,
    // from the host
    input  wire logic [DATA_W-1:0]   s_axis_host_tdata,
    input  wire logic [DATA_W/8-1:0] s_axis_host_tkeep,
    input  wire logic                s_axis_host_tvalid,
    output      logic                s_axis_host_tready,
    input  wire logic                s_axis_host_tlast,
    // from the network
    input  wire logic [DATA_W-1:0]   s_axis_mac_tdata,
    input  wire logic [DATA_W/8-1:0] s_axis_mac_tkeep,
    input  wire logic                s_axis_mac_tvalid,
    output      logic                s_axis_mac_tready,
    input  wire logic                s_axis_mac_tlast,
    input  wire logic                s_axis_mac_tuser,    // at tlast: the MAC found the frame bad
    // to the core
    output      logic [DATA_W-1:0]   m_axis_rx_tdata,
    output      logic [DATA_W/8-1:0] m_axis_rx_tkeep,
    output      logic                m_axis_rx_tvalid,
    input  wire logic                m_axis_rx_tready,
    output      logic                m_axis_rx_tlast,
    output      logic                m_axis_rx_tuser,
    // from the core
    input  wire logic [DATA_W-1:0]   s_axis_tx_tdata,
    input  wire logic [DATA_W/8-1:0] s_axis_tx_tkeep,
    input  wire logic                s_axis_tx_tvalid,
    output      logic                s_axis_tx_tready,
    input  wire logic                s_axis_tx_tlast,
    // to the host
    output      logic [DATA_W-1:0]   m_axis_host_tdata,
    output      logic [DATA_W/8-1:0] m_axis_host_tkeep,
    output      logic                m_axis_host_tvalid,
    input  wire logic                m_axis_host_tready,
    output      logic                m_axis_host_tlast,
    // to the network
    output      logic [DATA_W-1:0]   m_axis_mac_tdata,
    output      logic [DATA_W/8-1:0] m_axis_mac_tkeep,
    output      logic                m_axis_mac_tvalid,
    input  wire logic                m_axis_mac_tready,
    output      logic                m_axis_mac_tlast
);
    if (DATA_W < 64) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 64 and more");
    end

    // -----------------------------------------------------------------------------------------------------------------
    // In: a frame at a time
    // -----------------------------------------------------------------------------------------------------------------
    logic rx_open_q, rx_host_q, rx_host;

    // The choice may change only before a frame's first beat is offered, so it is kept once tvalid was seen.
    assign rx_host            = rx_open_q ? rx_host_q : s_axis_host_tvalid;
    assign m_axis_rx_tdata    = rx_host ? s_axis_host_tdata : s_axis_mac_tdata;
    assign m_axis_rx_tkeep    = rx_host ? s_axis_host_tkeep : s_axis_mac_tkeep;
    assign m_axis_rx_tvalid   = rx_host ? s_axis_host_tvalid : s_axis_mac_tvalid;
    assign m_axis_rx_tlast    = rx_host ? s_axis_host_tlast : s_axis_mac_tlast;
    assign m_axis_rx_tuser    = !rx_host && s_axis_mac_tuser;
    assign s_axis_host_tready = rx_host && m_axis_rx_tready;
    assign s_axis_mac_tready  = !rx_host && m_axis_rx_tready;

    always_ff @(posedge clk) begin
        if (m_axis_rx_tvalid) begin
            rx_open_q <= !(m_axis_rx_tready && m_axis_rx_tlast);
            rx_host_q <= rx_host;
        end
        if (rst) rx_open_q <= 1'b0;
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Out: where the first beat says
    // -----------------------------------------------------------------------------------------------------------------
    logic        tx_open_q, tx_host_q, tx_host;
    logic [47:0] destination;

    for (genvar i = 0; i < 6; i++) begin : gen_destination
        assign destination[8*(5-i)+:8] = s_axis_tx_tdata[8*i+:8];
    end

    assign tx_host            = tx_open_q ? tx_host_q : destination == HOST_MAC;
    assign m_axis_host_tdata  = s_axis_tx_tdata;
    assign m_axis_host_tkeep  = s_axis_tx_tkeep;
    assign m_axis_host_tvalid = s_axis_tx_tvalid && tx_host;
    assign m_axis_host_tlast  = s_axis_tx_tlast;
    assign m_axis_mac_tdata   = s_axis_tx_tdata;
    assign m_axis_mac_tkeep   = s_axis_tx_tkeep;
    assign m_axis_mac_tvalid  = s_axis_tx_tvalid && !tx_host;
    assign m_axis_mac_tlast   = s_axis_tx_tlast;
    assign s_axis_tx_tready   = tx_host ? m_axis_host_tready : m_axis_mac_tready;

    always_ff @(posedge clk) begin
        if (s_axis_tx_tvalid && s_axis_tx_tready) begin
            tx_open_q <= !s_axis_tx_tlast;
            tx_host_q <= tx_host;
        end
        if (rst) tx_open_q <= 1'b0;
    end

    // Assertions
    `EMBNIC_STABLE(rx_stable, m_axis_rx_tvalid, m_axis_rx_tready, {m_axis_rx_tdata, m_axis_rx_tkeep, m_axis_rx_tlast},
        "a beat holds until it is taken")
    `EMBNIC_STABLE(host_stable, m_axis_host_tvalid, m_axis_host_tready, m_axis_host_tdata, "a beat holds until it is taken")
    `EMBNIC_STABLE(mac_stable, m_axis_mac_tvalid, m_axis_mac_tready, m_axis_mac_tdata, "a beat holds until it is taken")
    `EMBNIC_COVER(both_wait, s_axis_host_tvalid && s_axis_mac_tvalid, "both links have a frame")
endmodule
`default_nettype wire
