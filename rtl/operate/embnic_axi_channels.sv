// SPDX-License-Identifier: Apache-2.0
// Spreads one AXI4 master over CHANNELS channels of card memory, each with an address space of its own.
//
// The address says the channel. Bits 36:0 name a byte of all memory; bits 39:37 say how many channels
// a region is spread over, 2**n of them, page by page of 4 KB. No burst leaves a page, so every burst
// has one channel; and a table's descriptor maps its banks by its base alone:
//
//     n = 0    | channel            | byte of the channel                    |   fixed
//     n = 1    | channel, high bits | page, high bits | channel, low bit | byte of the page |
//     n = C    |                      page, high bits | channel          | byte of the page |
//
// C = log2(CHANNELS); a larger n counts as C.
//
// Order          bursts of a channel as given; answers of different channels in turns, beat by beat.
// Back-pressure  an address waits only for its channel: each holds DEPTH of them. rready and bready follow
//                the valids of all channels combinationally, as does s_axi_rvalid.
// Latency        1 cycle for a read address, none elsewhere; none at all with one channel.
// Throughput     one beat per cycle in each direction, all channels together.
// Binds caller   s_axi_rready is 1; one write burst at a time, beats behind their address.
`default_nettype none
`include "embnic_assert.svh"
module embnic_axi_channels
    import embnic_pkg::ADDR_W;
#(
    parameter int unsigned DATA_W   = 512, // bits of a beat
    parameter int unsigned CHANNELS = 4,   // power of two, 1 .. 32
    parameter int unsigned ID_W     = 8,   // bits of an ID
    parameter int unsigned DEPTH    = 256, // read addresses that wait for a channel; power of two, >= 2
    localparam int unsigned C_W     = (CHANNELS == 1) ? 1 : $clog2(CHANNELS),
    localparam int unsigned COUNT_W = 16
) (
    input  wire logic                            clk,
    input  wire logic                            rst,
    // core
    input  wire logic [ID_W-1:0]                 s_axi_arid,
    input  wire logic [ADDR_W-1:0]               s_axi_araddr,
    input  wire logic [7:0]                      s_axi_arlen,
    input  wire logic                            s_axi_arvalid,
    output      logic                            s_axi_arready,
    output      logic [ID_W-1:0]                 s_axi_rid,
    output      logic [DATA_W-1:0]               s_axi_rdata,
    output      logic [1:0]                      s_axi_rresp,
    output      logic                            s_axi_rlast,
    output      logic                            s_axi_rvalid,
    input  wire logic                            s_axi_rready,
    input  wire logic [ADDR_W-1:0]               s_axi_awaddr,
    input  wire logic [7:0]                      s_axi_awlen,
    input  wire logic                            s_axi_awvalid,
    output      logic                            s_axi_awready,
    input  wire logic [DATA_W-1:0]               s_axi_wdata,
    input  wire logic [DATA_W/8-1:0]             s_axi_wstrb,
    input  wire logic                            s_axi_wlast,
    input  wire logic                            s_axi_wvalid,
    output      logic                            s_axi_wready,
    output      logic [1:0]                      s_axi_bresp,
    output      logic                            s_axi_bvalid,
    input  wire logic                            s_axi_bready,
    // channels
    output      logic [CHANNELS-1:0][ID_W-1:0]   m_axi_arid,
    output      logic [CHANNELS-1:0][ADDR_W-1:0] m_axi_araddr,   // byte of the channel
    output      logic [CHANNELS-1:0][7:0]        m_axi_arlen,
    output      logic [CHANNELS-1:0]             m_axi_arvalid,
    input  wire logic [CHANNELS-1:0]             m_axi_arready,
    input  wire logic [CHANNELS-1:0][ID_W-1:0]   m_axi_rid,
    input  wire logic [CHANNELS-1:0][DATA_W-1:0] m_axi_rdata,
    input  wire logic [CHANNELS-1:0][1:0]        m_axi_rresp,
    input  wire logic [CHANNELS-1:0]             m_axi_rlast,
    input  wire logic [CHANNELS-1:0]             m_axi_rvalid,
    output      logic [CHANNELS-1:0]             m_axi_rready,
    output      logic [CHANNELS-1:0][ADDR_W-1:0] m_axi_awaddr,
    output      logic [CHANNELS-1:0][7:0]        m_axi_awlen,
    output      logic [CHANNELS-1:0]             m_axi_awvalid,
    input  wire logic [CHANNELS-1:0]             m_axi_awready,
    output      logic [CHANNELS-1:0][DATA_W-1:0] m_axi_wdata,
    output      logic [CHANNELS-1:0][DATA_W/8-1:0] m_axi_wstrb,
    output      logic [CHANNELS-1:0]             m_axi_wlast,
    output      logic [CHANNELS-1:0]             m_axi_wvalid,
    input  wire logic [CHANNELS-1:0]             m_axi_wready,
    input  wire logic [CHANNELS-1:0][1:0]        m_axi_bresp,
    input  wire logic [CHANNELS-1:0]             m_axi_bvalid,
    output      logic [CHANNELS-1:0]             m_axi_bready,
    output      logic [CHANNELS-1:0][COUNT_W-1:0] sts_reads      // bursts taken and not answered, of each channel
);
    if (CHANNELS < 1 || CHANNELS > 32 || (CHANNELS & (CHANNELS - 1)) != 0) begin : gen_bad_channels
        $fatal(1, "CHANNELS must be a power of two, 1 to 32");
    end
    if (DEPTH < 2 || (DEPTH & (DEPTH - 1)) != 0) begin : gen_bad_depth
        $fatal(1, "DEPTH must be a power of two, at least 2");
    end

    localparam int unsigned C        = $clog2(CHANNELS);
    localparam int unsigned LINEAR_W = 37;
    localparam int unsigned PAGE_W   = 12;

    typedef struct packed {
        logic [C_W-1:0]    channel;
        logic [ADDR_W-1:0] addr;     // byte of the channel
    } place_t;

    function automatic place_t place(input logic [ADDR_W-1:0] addr);
        logic [LINEAR_W-1:0] linear, page;
        linear        = addr[LINEAR_W-1:0];
        place.channel = '0;
        page          = '0;
        for (int unsigned n = 0; n <= C; n++) begin
            if (32'(addr[ADDR_W-1:LINEAR_W]) == n || (n == C && 32'(addr[ADDR_W-1:LINEAR_W]) > C)) begin
                page          = (linear & LINEAR_W'((40'd1 << (LINEAR_W - C + n)) - 40'd1)) >> (PAGE_W + n);
                place.channel = (CHANNELS == 1) ? '0 : C_W'((linear >> (LINEAR_W - C + n)) << n)
                    | (C_W'(linear >> PAGE_W) & C_W'((1 << n) - 1));
            end
        end
        place.addr = ADDR_W'({page, addr[PAGE_W-1:0]});
    endfunction

    // -----------------------------------------------------------------------------------------------
    // Read addresses
    // -----------------------------------------------------------------------------------------------
    typedef struct packed {
        logic [ID_W-1:0]   id;
        logic [ADDR_W-1:0] addr;
        logic [7:0]        len;
    } read_t;

    place_t                      ar_place;
    read_t                       ar;
    logic [CHANNELS-1:0]         ar_valid, ar_ready;
    read_t [CHANNELS-1:0]        ar_out;

    assign ar_place      = place(s_axi_araddr);
    assign ar            = '{id: s_axi_arid, addr: ar_place.addr, len: s_axi_arlen};
    assign s_axi_arready = ar_ready[ar_place.channel];

    for (genvar c = 0; c < CHANNELS; c++) begin : gen_channel
        assign ar_valid[c] = s_axi_arvalid && ar_place.channel == C_W'(c);

        if (CHANNELS == 1) begin : gen_through
            assign ar_out[c]        = ar;
            assign m_axi_arvalid[c] = ar_valid[c];
            assign ar_ready[c]      = m_axi_arready[c];
        end else begin : gen_queue
            embnic_cache_queue #(.WIDTH($bits(read_t)), .DEPTH(DEPTH), .STYLE(1)) u_reads (
                .clk, .rst,
                .s_axis_tdata (ar),
                .s_axis_tvalid(ar_valid[c]),
                .s_axis_tready(ar_ready[c]),
                .m_axis_tdata (ar_out[c]),
                .m_axis_tvalid(m_axi_arvalid[c]),
                .m_axis_tready(m_axi_arready[c])
            );
        end

        assign m_axi_arid[c]   = ar_out[c].id;
        assign m_axi_araddr[c] = ar_out[c].addr;
        assign m_axi_arlen[c]  = ar_out[c].len;

        always_ff @(posedge clk) begin
            if (rst) sts_reads[c] <= '0;
            else begin
                sts_reads[c] <= sts_reads[c] + COUNT_W'(m_axi_arvalid[c] && m_axi_arready[c])
                    - COUNT_W'(m_axi_rvalid[c] && m_axi_rready[c] && m_axi_rlast[c]);
            end
        end
    end

    // -----------------------------------------------------------------------------------------------
    // Answers: channels take turns
    // -----------------------------------------------------------------------------------------------
    logic [C_W-1:0] r_channel;

    if (CHANNELS == 1) begin : gen_one
        assign r_channel    = '0;
        assign s_axi_rvalid = m_axi_rvalid[0];
    end else begin : gen_turns
        logic unused_mark;
        embnic_rr_arbiter #(.N(CHANNELS)) u_turn (
            .clk, .rst,
            .req        (m_axi_rvalid),
            .mark       ('0),
            .take       (s_axi_rvalid && s_axi_rready),
            .grant_valid(s_axi_rvalid),
            .grant_idx  (r_channel),
            .grant_mark (unused_mark)
        );
    end

    assign s_axi_rid   = m_axi_rid[r_channel];
    assign s_axi_rdata = m_axi_rdata[r_channel];
    assign s_axi_rresp = m_axi_rresp[r_channel];
    assign s_axi_rlast = m_axi_rlast[r_channel];

    always_comb begin
        for (int unsigned c = 0; c < CHANNELS; c++) m_axi_rready[c] = s_axi_rready && r_channel == C_W'(c);
    end

    // -----------------------------------------------------------------------------------------------
    // Writes: one burst at a time
    // -----------------------------------------------------------------------------------------------
    place_t         aw_place;
    logic [C_W-1:0] w_channel_q;

    assign aw_place      = place(s_axi_awaddr);
    assign s_axi_awready = m_axi_awready[aw_place.channel];
    assign s_axi_wready  = m_axi_wready[w_channel_q];
    assign s_axi_bvalid  = m_axi_bvalid[w_channel_q];
    assign s_axi_bresp   = m_axi_bresp[w_channel_q];

    always_comb begin
        for (int unsigned c = 0; c < CHANNELS; c++) begin
            m_axi_awaddr[c]  = aw_place.addr;
            m_axi_awlen[c]   = s_axi_awlen;
            m_axi_awvalid[c] = s_axi_awvalid && aw_place.channel == C_W'(c);
            m_axi_wdata[c]   = s_axi_wdata;
            m_axi_wstrb[c]   = s_axi_wstrb;
            m_axi_wlast[c]   = s_axi_wlast;
            m_axi_wvalid[c]  = s_axi_wvalid && w_channel_q == C_W'(c);
            m_axi_bready[c]  = s_axi_bready && w_channel_q == C_W'(c);
        end
    end

    always_ff @(posedge clk) begin
        if (rst) w_channel_q <= '0;
        else if (s_axi_awvalid && s_axi_awready) w_channel_q <= aw_place.channel;
    end

    // Assertions
    `EMBNIC_STABLE(ar_stable, s_axi_arvalid, s_axi_arready, {s_axi_arid, s_axi_araddr, s_axi_arlen},
        "an address offered holds until it is taken")
    for (genvar c = 0; c < CHANNELS; c++) begin : gen_assert
        `EMBNIC_NEVER(answer_unasked, m_axi_rvalid[c] && sts_reads[c] == '0, "a channel answers what it was asked")
        `EMBNIC_COVER(turn_lost, m_axi_rvalid[c] && !m_axi_rready[c], "a beat waits for another channel's")
    end
endmodule
`default_nettype wire
