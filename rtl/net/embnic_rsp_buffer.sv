// SPDX-License-Identifier: Apache-2.0
// Keeps the requests in flight: reserves room for a reply, notes what is done of it, and passes it on when it is complete.
//
// Order          replies leave in the order of allocation, whatever order they become complete in.
// Back-pressure  alloc_ready is low while no context or not enough reply space is free; replies wait for tready.
//                close, bag_done and err_* are taken in every cycle, also all for one context.
// Latency        2 cycles from alloc_valid to alloc_ready at best; 2 cycles from complete to m_axis_reply_tvalid.
// Throughput     an allocation every 2 cycles, a reply every 2 cycles.
// Errors         the first status other than OK of a request stays; of several in one cycle err_a wins, then err_b, then
//                close. It is for embnic_tx_frame to send such a reply as ERROR without body.
// Not handled    a request whose reply exceeds RSP_BEATS: it would wait for ever, the decoder refuses it.
//
// A request is complete when it is closed and every bag dispatched for it is done; one that was allocated without
// `dispatching` is complete at once. Contexts and reply space are rings, given back when embnic_tx_frame says reply_done;
// the key store beats of the request's frame go back at the same time. The reply RAM itself is not in here.
`default_nettype none
`include "embnic_assert.svh"
module embnic_rsp_buffer
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
#(
    parameter int unsigned DATA_W    = 128,  // bits of a beat of the reply RAM: 128 or 512
    parameter int unsigned RSP_BEATS = 512,  // beats of the reply RAM; power of two
    parameter int unsigned CTXS      = 4     // requests in flight; power of two
) (
    input  wire logic                           clk,
    input  wire logic                           rst,
    input  wire logic                           alloc_valid,   // a request asks for its reply's room
    output      logic                           alloc_ready,
    input  wire logic [$bits(reply_t)-1:0]      alloc_info,    // reply_t; held until alloc_ready
    output      logic [CTX_W-1:0]               alloc_ctx,     // with alloc_ready: its number until the reply left
    output      logic [RSP_W-1:0]               alloc_rsp_addr,// with alloc_ready: first beat of its first vector
    input  wire logic                           close_valid,   // no more bags will be dispatched
    input  wire logic [CTX_W-1:0]               close_ctx,
    input  wire logic [15:0]                    close_bags,    // how many were dispatched
    input  wire status_e                        close_status,
    input  wire logic                           err_a_valid,
    input  wire logic [CTX_W-1:0]               err_a_ctx,
    input  wire status_e                        err_a_status,
    input  wire logic                           err_b_valid,
    input  wire logic [CTX_W-1:0]               err_b_ctx,
    input  wire status_e                        err_b_status,
    input  wire logic                           bag_done_valid,// a vector is in the reply RAM
    input  wire logic [CTX_W-1:0]               bag_done_ctx,
    input  wire logic [CNT_W-1:0]               bag_done_count,// keys in it
    output      logic [$bits(reply_send_t)-1:0] m_axis_reply_tdata,  // reply_send_t
    output      logic                           m_axis_reply_tvalid,
    input  wire logic                           m_axis_reply_tready,
    input  wire logic                           reply_done,    // the oldest reply that was passed on has left
    output      logic                           ks_free_valid, // its frame's beats in the key store are free
    output      logic [KS_W-1:0]                ks_free_beats,
    output      logic                           sts_idle       // no request in flight
);
    localparam int unsigned IDX_W = $clog2(CTXS);
    localparam int unsigned RSP_AW = $clog2(RSP_BEATS);
    localparam int unsigned NEED_W = 16 + BEAT_W;
    localparam int unsigned OPEN_W = RSP_AW + 2;  // bags dispatched and not done, signed: done may come before close

    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end
    if (RSP_BEATS < 2 || RSP_BEATS > (1 << RSP_W) || (RSP_BEATS & (RSP_BEATS - 1)) != 0) begin : gen_bad_rsp_beats
        $fatal(1, "RSP_BEATS must be a power of two from 2 to 16,384");
    end
    if (CTXS < 2 || CTXS > (1 << CTX_W) || (CTXS & (CTXS - 1)) != 0) begin : gen_bad_ctxs
        $fatal(1, "CTXS must be a power of two from 2 to 64");
    end

    // -------------------------------------------------------------------------------------------------
    // Allocation. The space needed is multiplied out in one cycle and compared in the next.
    // -------------------------------------------------------------------------------------------------
    reply_t             alloc;
    logic [IDX_W-1:0]   alloc_ptr_q, send_ptr_q, done_ptr_q, done_ptr_d;
    logic [IDX_W:0]     used_ctxs_q;
    logic [RSP_AW-1:0]  space_ptr_q;
    logic [RSP_AW:0]    room_q, room_d;   // beats of the reply RAM that are not reserved
    logic [RSP_AW:0]    room_plus;        // with those given back in this cycle
    logic [NEED_W-1:0]  need_q;
    logic               need_valid_q;
    logic               take;

    assign alloc          = alloc_info;
    assign alloc_ready    = need_valid_q && used_ctxs_q != (IDX_W + 1)'(CTXS)
                         && need_q[NEED_W-1:RSP_AW+1] == '0 && need_q[RSP_AW:0] <= room_q;
    assign take           = alloc_valid && alloc_ready;
    assign alloc_ctx      = CTX_W'(alloc_ptr_q);
    assign alloc_rsp_addr = RSP_W'(space_ptr_q);

    // -------------------------------------------------------------------------------------------------
    // What changes while a request is in flight
    // -------------------------------------------------------------------------------------------------
    logic    [CTXS-1:0]             pending_q, pending_d;  // allocated and not passed on
    logic    [CTXS-1:0]             closed_q, closed_d;
    logic    [CTXS-1:0][OPEN_W-1:0] open_q, open_d;
    logic    [CTXS-1:0][3:0]        status_q, status_d;
    logic    [CTXS-1:0]             complete;
    logic                           send;

    always_comb begin
        pending_d = pending_q;
        closed_d  = closed_q;
        open_d    = open_q;
        status_d  = status_q;
        for (int unsigned i = 0; i < CTXS; i++) begin
            complete[i] = pending_q[i] && closed_q[i] && open_q[i] == '0;
            if (close_valid && close_ctx == CTX_W'(i)) closed_d[i] = 1'b1;
            // One sum of three terms: one carry chain.
            open_d[i] = open_q[i] + ((close_valid && close_ctx == CTX_W'(i)) ? OPEN_W'(close_bags) : '0)
                                  + ((bag_done_valid && bag_done_ctx == CTX_W'(i)) ? '1 : '0);
            if (status_q[i] == STATUS_OK) begin
                if (err_a_valid && err_a_ctx == CTX_W'(i)) status_d[i] = err_a_status;
                else if (err_b_valid && err_b_ctx == CTX_W'(i)) status_d[i] = err_b_status;
                else if (close_valid && close_ctx == CTX_W'(i)) status_d[i] = close_status;
            end
        end
        if (send) pending_d[send_ptr_q] = 1'b0;
        if (take) begin
            pending_d[alloc_ptr_q] = 1'b1;
            closed_d[alloc_ptr_q]  = !alloc.dispatching;
            open_d[alloc_ptr_q]    = '0;
            status_d[alloc_ptr_q]  = alloc.status;
        end
    end

    // -------------------------------------------------------------------------------------------------
    // What does not change, or is written once
    // -------------------------------------------------------------------------------------------------
    typedef struct packed {
        reply_t           info;
        logic [RSP_W-1:0] rsp_addr;
    } kept_t;

    typedef struct packed {
        logic [KS_W-1:0]   ks_beats;
        logic [RSP_AW:0]   space;
    } release_t;

    kept_t            kept;
    release_t         done_release;
    logic [15:0]      kept_bags;
    logic [CNT_W-1:0] kept_count;

    embnic_ram_1r1w #(.WIDTH($bits(kept_t)), .DEPTH(CTXS), .STYLE(1)) u_kept (
        .clk,
        .wr_en  (take),
        .wr_addr(alloc_ptr_q),
        .wr_data({alloc, RSP_W'(space_ptr_q)}),
        .rd_en  (send),
        .rd_addr(send_ptr_q),
        .rd_data(kept)
    );

    embnic_ram_1r1w #(.WIDTH(16), .DEPTH(CTXS), .STYLE(1)) u_bags (
        .clk,
        .wr_en  (close_valid),
        .wr_addr(close_ctx[IDX_W-1:0]),
        .wr_data(close_bags),
        .rd_en  (send),
        .rd_addr(send_ptr_q),
        .rd_data(kept_bags)
    );

    embnic_ram_1r1w #(.WIDTH(CNT_W), .DEPTH(CTXS), .STYLE(1)) u_count (
        .clk,
        .wr_en  (bag_done_valid),
        .wr_addr(bag_done_ctx[IDX_W-1:0]),
        .wr_data(bag_done_count),
        .rd_en  (send),
        .rd_addr(send_ptr_q),
        .rd_data(kept_count)
    );

    // Read ahead: always shows the oldest reply that has not left.
    embnic_ram_1r1w #(.WIDTH($bits(release_t)), .DEPTH(CTXS), .STYLE(1)) u_release (
        .clk,
        .wr_en  (take),
        .wr_addr(alloc_ptr_q),
        .wr_data({alloc.frame.ks_beats, (RSP_AW + 1)'(need_q)}),
        .rd_en  (1'b1),
        .rd_addr(done_ptr_d),
        .rd_data(done_release)
    );

    // -------------------------------------------------------------------------------------------------
    // Replies out; the RAMs' read registers hold them until they are taken
    // -------------------------------------------------------------------------------------------------
    logic        reply_valid_q;
    status_e     reply_status_q;
    reply_send_t reply;

    assign send = complete[send_ptr_q] && (!reply_valid_q || m_axis_reply_tready);

    always_comb begin
        reply.reply    = kept.info;
        reply.status   = reply_status_q;
        reply.bags     = kept.info.dispatching ? kept_bags : kept.info.bags;
        reply.count    = kept_count;
        reply.rsp_addr = kept.rsp_addr;
    end

    assign m_axis_reply_tdata  = reply;
    assign m_axis_reply_tvalid = reply_valid_q;
    assign done_ptr_d          = done_ptr_q + IDX_W'(reply_done);
    assign sts_idle            = used_ctxs_q == '0;

    // `take` is known late: it chooses between sums that do not wait for it.
    assign room_plus = room_q + (reply_done ? done_release.space : '0);
    assign room_d    = take ? room_plus - (RSP_AW + 1)'(need_q) : room_plus;

    always_ff @(posedge clk) begin
        need_q   <= alloc.bags * NEED_W'(alloc.vec_beats);
        open_q   <= open_d;
        status_q <= status_d;
        if (send) reply_status_q <= status_e'(status_q[send_ptr_q]);
        ks_free_beats <= done_release.ks_beats;
        if (rst) begin
            alloc_ptr_q   <= '0;
            send_ptr_q    <= '0;
            done_ptr_q    <= '0;
            used_ctxs_q   <= '0;
            space_ptr_q   <= '0;
            room_q        <= (RSP_AW + 1)'(RSP_BEATS);
            need_valid_q  <= 1'b0;
            pending_q     <= '0;
            closed_q      <= '0;
            reply_valid_q <= 1'b0;
            ks_free_valid <= 1'b0;
        end else begin
            alloc_ptr_q   <= alloc_ptr_q + IDX_W'(take);
            send_ptr_q    <= send_ptr_q + IDX_W'(send);
            done_ptr_q    <= done_ptr_d;
            used_ctxs_q   <= used_ctxs_q + (IDX_W + 1)'(take) - (IDX_W + 1)'(reply_done);
            space_ptr_q   <= take ? space_ptr_q + RSP_AW'(need_q) : space_ptr_q;
            room_q        <= room_d;
            need_valid_q  <= alloc_valid && !take;
            pending_q     <= pending_d;
            closed_q      <= closed_d;
            reply_valid_q <= send || (reply_valid_q && !m_axis_reply_tready);
            ks_free_valid <= reply_done;
        end
    end

    // Assertions
    `EMBNIC_STABLE(reply_stable, m_axis_reply_tvalid, m_axis_reply_tready, m_axis_reply_tdata,
        "the reply holds until it is taken")
    `EMBNIC_STABLE(alloc_stable, alloc_valid, alloc_ready, alloc_info, "the request holds until it is admitted")
    `EMBNIC_KNOWN(reply_valid_known, m_axis_reply_tvalid, "tvalid is known after reset")
    `EMBNIC_KNOWN(alloc_ready_known, alloc_ready, "alloc_ready is known after reset")
    `EMBNIC_ASSUME(need_fits, !need_valid_q || need_q <= NEED_W'(RSP_BEATS), "a reply never needs more than the buffer")
    `EMBNIC_ASSUME(close_pending, !close_valid || (32'(close_ctx) < CTXS && pending_q[close_ctx[IDX_W-1:0]]
        && !closed_q[close_ctx[IDX_W-1:0]]), "close names a request in flight, once")
    `EMBNIC_ASSUME(close_range, !close_valid || 32'(close_bags) <= RSP_BEATS, "every bag takes a beat")
    `EMBNIC_ASSUME(done_pending, !bag_done_valid || (32'(bag_done_ctx) < CTXS && pending_q[bag_done_ctx[IDX_W-1:0]]
        && !complete[bag_done_ctx[IDX_W-1:0]]), "bag_done names a request that waits for bags")
    `EMBNIC_ASSUME(err_a_pending, !err_a_valid || (32'(err_a_ctx) < CTXS && pending_q[err_a_ctx[IDX_W-1:0]]
        && !complete[err_a_ctx[IDX_W-1:0]]), "an error comes before its bag is done")
    `EMBNIC_ASSUME(err_b_pending, !err_b_valid || (32'(err_b_ctx) < CTXS && pending_q[err_b_ctx[IDX_W-1:0]]
        && !complete[err_b_ctx[IDX_W-1:0]]), "an error comes before its bag is done")
    `EMBNIC_ASSUME(done_passed, !reply_done || used_ctxs_q != '0, "only a reply that was passed on can leave")
    `EMBNIC_NEVER(space_overflow, room_q > (RSP_AW + 1)'(RSP_BEATS), "no more space is reserved than there is")
    `EMBNIC_COVER(cover_no_ctx, alloc_valid && used_ctxs_q == (IDX_W + 1)'(CTXS), "a request waits for a context")
    `EMBNIC_COVER(cover_no_space, need_valid_q && !alloc_ready && used_ctxs_q != (IDX_W + 1)'(CTXS),
        "a request waits for reply space")
    `EMBNIC_COVER(cover_same_ctx, close_valid && bag_done_valid && close_ctx == bag_done_ctx, "close meets a done bag")
endmodule
`default_nettype wire
