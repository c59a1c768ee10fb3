// SPDX-License-Identifier: Apache-2.0
// The core beside a NIC: embedding requests of the network go to the core, all else to the NIC; both answer on one wire.
//
// A frame is the core's when its first beat says IPv4 without options, UDP, destination port UDP_PORT; whether it is a good
// request is for the core to say. So a host keeps its NIC, and the core sees its own frames only.
//
// Order          frames of the network in their order to each side; towards the network a frame at a time, by turns.
// Back-pressure  any cycle, all sides, nothing is lost; the core never holds up the network, the NIC may. tready and tvalid
//                cross the module combinationally.
// Latency        none.
// Throughput     one beat per cycle.
// Not handled    VLAN tags (as the core: such frames go to the NIC), IP fragments of requests.
`default_nettype none
`include "embnic_assert.svh"
module embnic_steer
    import embnic_wire_pkg::*;
#(
    parameter int unsigned   DATA_W   = 512,               // bits of a beat: all headers lie in one
    parameter int unsigned   USER_W   = 1,                 // bits of tuser, passed along
    parameter logic [15:0]   UDP_PORT = DEFAULT_UDP_PORT
) (
    input  wire logic                clk,
    input  wire logic                rst,
    // from the network
    input  wire logic [DATA_W-1:0]   s_axis_rx_tdata,
    input  wire logic [DATA_W/8-1:0] s_axis_rx_tkeep,
    input  wire logic                s_axis_rx_tvalid,
    output      logic                s_axis_rx_tready,
    input  wire logic                s_axis_rx_tlast,
    input  wire logic [USER_W-1:0]   s_axis_rx_tuser,
    // to the core
    output      logic [DATA_W-1:0]   m_axis_core_tdata,
    output      logic [DATA_W/8-1:0] m_axis_core_tkeep,
    output      logic                m_axis_core_tvalid,
    input  wire logic                m_axis_core_tready,
    output      logic                m_axis_core_tlast,
    output      logic [USER_W-1:0]   m_axis_core_tuser,
    // to the NIC
    output      logic [DATA_W-1:0]   m_axis_nic_tdata,
    output      logic [DATA_W/8-1:0] m_axis_nic_tkeep,
    output      logic                m_axis_nic_tvalid,
    input  wire logic                m_axis_nic_tready,
    output      logic                m_axis_nic_tlast,
    output      logic [USER_W-1:0]   m_axis_nic_tuser,
    // from the core
    input  wire logic [DATA_W-1:0]   s_axis_core_tdata,
    input  wire logic [DATA_W/8-1:0] s_axis_core_tkeep,
    input  wire logic                s_axis_core_tvalid,
    output      logic                s_axis_core_tready,
    input  wire logic                s_axis_core_tlast,
    // from the NIC
    input  wire logic [DATA_W-1:0]   s_axis_nic_tdata,
    input  wire logic [DATA_W/8-1:0] s_axis_nic_tkeep,
    input  wire logic                s_axis_nic_tvalid,
    output      logic                s_axis_nic_tready,
    input  wire logic                s_axis_nic_tlast,
    // to the network; whose frame it is holds through it
    output      logic [DATA_W-1:0]   m_axis_tx_tdata,
    output      logic [DATA_W/8-1:0] m_axis_tx_tkeep,
    output      logic                m_axis_tx_tvalid,
    input  wire logic                m_axis_tx_tready,
    output      logic                m_axis_tx_tlast,
    output      logic                sts_tx_core        // the beat at m_axis_tx is the core's
);
    if (DATA_W < 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 512 and more: the headers lie in the first beat");
    end

    function automatic logic [7:0] octet(input logic [DATA_W-1:0] beat, input int unsigned at);
        return beat[8*at+:8];
    endfunction

    // -----------------------------------------------------------------------------------------------------------------
    // From the network
    // -----------------------------------------------------------------------------------------------------------------
    logic rx_open_q, rx_core_q, rx_core, ours;

    assign ours = octet(s_axis_rx_tdata, 12) == 8'h08 && octet(s_axis_rx_tdata, 13) == 8'h00  // EtherType
        && octet(s_axis_rx_tdata, 14) == 8'h45                                                // IPv4, 20 bytes
        && octet(s_axis_rx_tdata, 23) == 8'd17                                                // UDP
        && {octet(s_axis_rx_tdata, 36), octet(s_axis_rx_tdata, 37)} == UDP_PORT && s_axis_rx_tkeep[41];

    assign rx_core            = rx_open_q ? rx_core_q : ours;
    assign m_axis_core_tdata  = s_axis_rx_tdata;
    assign m_axis_core_tkeep  = s_axis_rx_tkeep;
    assign m_axis_core_tvalid = s_axis_rx_tvalid && rx_core;
    assign m_axis_core_tlast  = s_axis_rx_tlast;
    assign m_axis_core_tuser  = s_axis_rx_tuser;
    assign m_axis_nic_tdata   = s_axis_rx_tdata;
    assign m_axis_nic_tkeep   = s_axis_rx_tkeep;
    assign m_axis_nic_tvalid  = s_axis_rx_tvalid && !rx_core;
    assign m_axis_nic_tlast   = s_axis_rx_tlast;
    assign m_axis_nic_tuser   = s_axis_rx_tuser;
    assign s_axis_rx_tready   = rx_core ? m_axis_core_tready : m_axis_nic_tready;

    always_ff @(posedge clk) begin
        if (s_axis_rx_tvalid && s_axis_rx_tready) begin
            rx_open_q <= !s_axis_rx_tlast;
            rx_core_q <= rx_core;
        end
        if (rst) rx_open_q <= 1'b0;
    end

    // -----------------------------------------------------------------------------------------------------------------
    // To the network: by turns, so that neither starves the other
    // -----------------------------------------------------------------------------------------------------------------
    logic tx_open_q, tx_core_q, tx_core;

    assign tx_core            = tx_open_q ? tx_core_q : s_axis_core_tvalid && !(tx_core_q && s_axis_nic_tvalid);
    assign m_axis_tx_tdata    = tx_core ? s_axis_core_tdata : s_axis_nic_tdata;
    assign m_axis_tx_tkeep    = tx_core ? s_axis_core_tkeep : s_axis_nic_tkeep;
    assign m_axis_tx_tvalid   = tx_core ? s_axis_core_tvalid : s_axis_nic_tvalid;
    assign m_axis_tx_tlast    = tx_core ? s_axis_core_tlast : s_axis_nic_tlast;
    assign s_axis_core_tready = tx_core && m_axis_tx_tready;
    assign s_axis_nic_tready  = !tx_core && m_axis_tx_tready;
    assign sts_tx_core        = tx_core;

    always_ff @(posedge clk) begin
        if (m_axis_tx_tvalid) begin
            tx_open_q <= !(m_axis_tx_tready && m_axis_tx_tlast);
            tx_core_q <= tx_core;
        end
        if (rst) begin
            tx_open_q <= 1'b0;
            tx_core_q <= 1'b0;
        end
    end

    // Assertions
    `EMBNIC_STABLE(core_stable, m_axis_core_tvalid, m_axis_core_tready, {m_axis_core_tdata, m_axis_core_tlast},
        "a beat holds until it is taken")
    `EMBNIC_STABLE(nic_stable, m_axis_nic_tvalid, m_axis_nic_tready, {m_axis_nic_tdata, m_axis_nic_tlast},
        "a beat holds until it is taken")
    `EMBNIC_STABLE(tx_stable, m_axis_tx_tvalid, m_axis_tx_tready, {m_axis_tx_tdata, m_axis_tx_tkeep, m_axis_tx_tlast},
        "a beat holds until it is taken")
    `EMBNIC_COVER(both_send, s_axis_core_tvalid && s_axis_nic_tvalid, "core and NIC have a frame")
endmodule
`default_nettype wire
