// SPDX-License-Identifier: Apache-2.0
// Card memory as Coyote gives it to a vFPGA: requests in queues, data in streams, instead of an AXI4 port.
//
// Order          bursts of reads and of writes each as given; Coyote answers the requests of a stream in order.
// Back-pressure  any cycle, all channels; nothing is lost. sq_*_valid and the ready of an address cross combinationally.
// Latency        none.
// Throughput     one beat per cycle and direction.
// Not handled    strobes: a beat that the core voids (a soft reset within an update) is written as it stands, so the rows of
//                an update that was interrupted are to be updated again. Errors: Coyote reports none, so RESP is OKAY.
`default_nettype none
`include "embnic_assert.svh"
module embnic_coyote_memory
    import embnic_pkg::ADDR_W;
#(
    parameter int unsigned DATA_W  = 512,
    parameter int unsigned ID_W    = 8,
    parameter int unsigned DEPTH   = 256,  // bursts outstanding; power of two
    parameter int unsigned VADDR_W = 48,   // bits of a virtual address
    parameter int unsigned LEN_W   = 28    // bits of a length in bytes
) (
    input  wire logic                clk,
    input  wire logic                rst,
    // core
    input  wire logic [ID_W-1:0]     s_axi_arid,
    input  wire logic [ADDR_W-1:0]   s_axi_araddr,
    input  wire logic [7:0]          s_axi_arlen,
    input  wire logic                s_axi_arvalid,
    output      logic                s_axi_arready,
    output      logic [ID_W-1:0]     s_axi_rid,
    output      logic [DATA_W-1:0]   s_axi_rdata,
    output      logic [1:0]          s_axi_rresp,
    output      logic                s_axi_rlast,
    output      logic                s_axi_rvalid,
    input  wire logic                s_axi_rready,
    input  wire logic [ADDR_W-1:0]   s_axi_awaddr,
    input  wire logic [7:0]          s_axi_awlen,
    input  wire logic                s_axi_awvalid,
    output      logic                s_axi_awready,
    input  wire logic [DATA_W-1:0]   s_axi_wdata,
    input  wire logic                s_axi_wlast,
    input  wire logic                s_axi_wvalid,
    output      logic                s_axi_wready,
    output      logic [1:0]          s_axi_bresp,
    output      logic                s_axi_bvalid,
    input  wire logic                s_axi_bready,
    // Coyote: requests, completions of writes, data
    output      logic [VADDR_W-1:0]  sq_rd_vaddr,
    output      logic [LEN_W-1:0]    sq_rd_len,
    output      logic                sq_rd_valid,
    input  wire logic                sq_rd_ready,
    output      logic [VADDR_W-1:0]  sq_wr_vaddr,
    output      logic [LEN_W-1:0]    sq_wr_len,
    output      logic                sq_wr_valid,
    input  wire logic                sq_wr_ready,
    input  wire logic                cq_wr_valid,
    output      logic                cq_wr_ready,
    input  wire logic [DATA_W-1:0]   axis_card_recv_tdata,
    input  wire logic                axis_card_recv_tvalid,
    output      logic                axis_card_recv_tready,
    output      logic [DATA_W-1:0]   axis_card_send_tdata,
    output      logic [DATA_W/8-1:0] axis_card_send_tkeep,
    output      logic                axis_card_send_tvalid,
    input  wire logic                axis_card_send_tready,
    output      logic                axis_card_send_tlast
);
    localparam int unsigned LINEAR_W = 37;  // bits of a byte's address: those above spread over channels
    localparam int unsigned LOW      = $clog2(DATA_W / 8);

    function automatic logic [LEN_W-1:0] bytes(input logic [7:0] len);
        return (LEN_W'(len) + 1'b1) << LOW;
    endfunction

    // -----------------------------------------------------------------------------------------------------------------
    // Reads: whose burst comes next, and how long it is
    // -----------------------------------------------------------------------------------------------------------------
    logic                    owed_in_valid, owed_ready, owed_valid, owed_take;
    logic [ID_W-1:0]         owed_id;
    logic [7:0]              owed_len, at_q;
    logic [$clog2(DEPTH+4)-1:0] owed_count;

    assign sq_rd_vaddr   = VADDR_W'(s_axi_araddr[LINEAR_W-1:0]);
    assign sq_rd_len     = bytes(s_axi_arlen);
    assign sq_rd_valid   = s_axi_arvalid && owed_ready;
    assign s_axi_arready = sq_rd_ready && owed_ready;
    assign owed_in_valid = s_axi_arvalid && sq_rd_ready;

    embnic_fifo #(.WIDTH(ID_W + 8), .DEPTH(DEPTH), .STYLE(1)) u_owed (
        .clk, .rst,
        .s_axis_tdata ({s_axi_arid, s_axi_arlen}),
        .s_axis_tvalid(owed_in_valid),
        .s_axis_tready(owed_ready),
        .m_axis_tdata ({owed_id, owed_len}),
        .m_axis_tvalid(owed_valid),
        .m_axis_tready(owed_take),
        .sts_count    (owed_count)
    );

    assign s_axi_rid             = owed_id;
    assign s_axi_rdata           = axis_card_recv_tdata;
    assign s_axi_rresp           = 2'b00;
    assign s_axi_rlast           = at_q == owed_len;
    assign s_axi_rvalid          = axis_card_recv_tvalid && owed_valid;
    assign axis_card_recv_tready = s_axi_rready && owed_valid;
    assign owed_take             = s_axi_rvalid && s_axi_rready && s_axi_rlast;

    always_ff @(posedge clk) begin
        if (s_axi_rvalid && s_axi_rready) at_q <= s_axi_rlast ? '0 : at_q + 1'b1;
        if (rst) at_q <= '0;
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Writes: the core has one burst at a time under way
    // -----------------------------------------------------------------------------------------------------------------
    assign sq_wr_vaddr           = VADDR_W'(s_axi_awaddr[LINEAR_W-1:0]);
    assign sq_wr_len             = bytes(s_axi_awlen);
    assign sq_wr_valid           = s_axi_awvalid;
    assign s_axi_awready         = sq_wr_ready;
    assign axis_card_send_tdata  = s_axi_wdata;
    assign axis_card_send_tkeep  = '1;
    assign axis_card_send_tvalid = s_axi_wvalid;
    assign axis_card_send_tlast  = s_axi_wlast;
    assign s_axi_wready          = axis_card_send_tready;
    assign s_axi_bresp           = 2'b00;
    assign s_axi_bvalid          = cq_wr_valid;
    assign cq_wr_ready           = s_axi_bready;

    wire unused = &{1'b0, s_axi_araddr[ADDR_W-1:LINEAR_W], s_axi_awaddr[ADDR_W-1:LINEAR_W], owed_count};

    // Assertions
    `EMBNIC_ASSUME(answer_asked, !axis_card_recv_tvalid || owed_count != '0 || owed_valid,
        "Coyote gives what was asked for")
    `EMBNIC_STABLE(r_stable, s_axi_rvalid, s_axi_rready, {s_axi_rdata, s_axi_rid, s_axi_rlast},
        "a beat holds until it is taken")
    `EMBNIC_COVER(full, !owed_ready, "as many bursts outstanding as there may be")
endmodule
`default_nettype wire
