// SPDX-License-Identifier: Apache-2.0
// embnic_rsp_buffer: contexts and reply space are given to one request at a time; every request is answered once, in
// order, with the first error, and not before it is closed and its bags are done; its key store beats come back.
//
// `mark` is free: when it is high with an allocation that request is followed. Any request may be the followed one.
`default_nettype none
`include "embnic_fv.svh"
module embnic_rsp_buffer_fv
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
#(
    parameter int unsigned RSP_BEATS = 4,
    parameter int unsigned CTXS      = 2
) (
    input wire logic       clk,
    input wire logic       rst,
    input wire logic       mark,
    input wire logic       alloc_valid,
    input wire logic [1:0] name,          // distinguishes requests
    input wire logic [1:0] bags,
    input wire logic       two_beats,     // a vector takes two beats, else one
    input wire logic       dispatching,
    input wire logic       failed,        // known to fail at allocation
    input wire logic       close_valid,
    input wire logic [1:0] close_ctx,
    input wire logic [2:0] close_bags,
    input wire logic       close_failed,
    input wire logic       err_a_valid,
    input wire logic [1:0] err_a_ctx,
    input wire logic       err_b_valid,
    input wire logic [1:0] err_b_ctx,
    input wire logic       bag_done_valid,
    input wire logic [1:0] bag_done_ctx,
    input wire logic       m_axis_reply_tready,
    input wire logic       reply_done
);
    `EMBNIC_FV_RESET

    // One status a source, so that the reply tells which one won.
    localparam status_e FROM_ALLOC = STATUS_BAD_REQUEST;
    localparam status_e FROM_CLOSE = STATUS_TOO_LARGE;
    localparam status_e FROM_A     = STATUS_MEMORY_ERROR;
    localparam status_e FROM_B     = STATUS_OUT_OF_RANGE;

    localparam int unsigned RSP_AW = $clog2(RSP_BEATS);

    reply_t           info;
    reply_send_t      reply;
    logic             alloc_ready, m_axis_reply_tvalid, ks_free_valid, sts_idle;
    logic [CTX_W-1:0] alloc_ctx;
    logic [RSP_W-1:0] alloc_rsp_addr;
    logic [KS_W-1:0]  ks_free_beats;
    logic             take, send;

    always_comb begin
        info                = '0;
        info.client         = 64'(name);
        info.bags           = 16'(bags);
        info.vec_beats      = two_beats ? BEAT_W'(2) : BEAT_W'(1);
        info.dispatching    = dispatching;
        info.status         = failed ? FROM_ALLOC : STATUS_OK;
        info.frame.ks_beats = KS_W'(name);
    end

    assign take = alloc_valid && alloc_ready;
    assign send = m_axis_reply_tvalid && m_axis_reply_tready;

    embnic_rsp_buffer #(.DATA_W(128), .RSP_BEATS(RSP_BEATS), .CTXS(CTXS)) u_dut (
        .clk, .rst,
        .alloc_valid, .alloc_ready,
        .alloc_info   (info),
        .alloc_ctx, .alloc_rsp_addr,
        .close_valid,
        .close_ctx    (CTX_W'(close_ctx)),
        .close_bags   (16'(close_bags)),
        .close_status (close_failed ? FROM_CLOSE : STATUS_OK),
        .err_a_valid,
        .err_a_ctx    (CTX_W'(err_a_ctx)),
        .err_a_status (FROM_A),
        .err_b_valid,
        .err_b_ctx    (CTX_W'(err_b_ctx)),
        .err_b_status (FROM_B),
        .bag_done_valid,
        .bag_done_ctx (CTX_W'(bag_done_ctx)),
        .bag_done_count('0),
        .m_axis_reply_tdata(reply),
        .m_axis_reply_tvalid, .m_axis_reply_tready,
        .reply_done, .ks_free_valid, .ks_free_beats, .sts_idle
    );

    // What binds the callers, besides the module's own assumptions.
    logic       waiting_q;
    logic [6:0] offer, offer_q;
    logic [2:0] passed_q;  // replies passed on that have not left

    assign offer = {name, bags, two_beats, dispatching, failed};

    always_ff @(posedge clk) begin
        waiting_q <= !rst && alloc_valid && !alloc_ready;
        offer_q   <= offer;
        passed_q  <= rst ? '0 : passed_q + 3'(send) - 3'(reply_done);
    end

    `EMBNIC_ASSUME(request_holds, !waiting_q || (alloc_valid && offer == offer_q), "a request holds until it is admitted")
    `EMBNIC_ASSUME(leaves_after, !reply_done || passed_q != '0, "only a reply that was passed on leaves")

    // Order, and each once: of the replies, and of the key store beats that come back.
    localparam int unsigned CNT_W = $clog2(CTXS + 2);
    logic [CNT_W-1:0] asked, kept, ahead, kept_ahead;
    logic             tracking, kept_tracking;
    logic [1:0]       word, kept_word;

    embnic_fv_order #(.WIDTH(2), .MOST(CTXS)) u_order (
        .clk, .rst, .mark,
        .push(take), .push_data(name),
        .pop(send), .pop_data(reply.reply.client[1:0]),
        .count_q(asked), .tracking_q(tracking), .ahead_q(ahead), .word_q(word)
    );
    // One more: the beats come back a cycle after the context is free again.
    embnic_fv_order #(.WIDTH(2), .MOST(CTXS + 1)) u_beats (
        .clk, .rst, .mark,
        .push(take), .push_data(name),
        .pop(ks_free_valid), .pop_data(ks_free_beats[1:0]),
        .count_q(kept), .tracking_q(kept_tracking), .ahead_q(kept_ahead), .word_q(kept_word)
    );

    // The followed request from allocation until its reply has left.
    logic                followed_q, replied_q, closed_q;
    logic [CTX_W-1:0]    ctx_q;
    logic [RSP_AW-1:0]   addr_q;
    logic [2:0]          need_q, need;
    logic [3:0]          open_q, open_d;  // bags dispatched and not done; negative while done comes before close
    logic [2:0]          done_q;
    status_e             status_q, status_d;
    logic                dispatching_q;
    logic [2:0]          close_bags_q;
    logic [CNT_W:0]      older_q;         // replies that leave before it
    logic                start, mine_close, mine_done, oldest, its_reply, leaves;

    assign start      = mark && take && !followed_q && !tracking && !kept_tracking;
    assign need       = two_beats ? {bags, 1'b0} : {1'b0, bags};
    assign mine_close = followed_q && close_valid && CTX_W'(close_ctx) == ctx_q;
    assign mine_done  = followed_q && bag_done_valid && CTX_W'(bag_done_ctx) == ctx_q;
    assign oldest     = followed_q && !replied_q && tracking && ahead == '0;
    assign its_reply  = oldest && m_axis_reply_tvalid;
    assign leaves     = followed_q && reply_done && older_q == '0;
    assign open_d     = open_q + (mine_close ? 4'(close_bags) : 4'd0) - 4'(mine_done);

    always_comb begin
        status_d = status_q;
        if (followed_q && status_q == STATUS_OK) begin
            if (err_a_valid && CTX_W'(err_a_ctx) == ctx_q) status_d = FROM_A;
            else if (err_b_valid && CTX_W'(err_b_ctx) == ctx_q) status_d = FROM_B;
            else if (mine_close && close_failed) status_d = FROM_CLOSE;
        end
    end

    always_ff @(posedge clk) begin
        if (start) begin
            ctx_q         <= alloc_ctx;
            addr_q        <= RSP_AW'(alloc_rsp_addr);
            need_q        <= need;
            open_q        <= '0;
            done_q        <= '0;
            status_q      <= info.status;
            dispatching_q <= dispatching;
            closed_q      <= !dispatching;
            older_q       <= (CNT_W + 1)'(asked) + (CNT_W + 1)'(passed_q) - (CNT_W + 1)'(reply_done);
            replied_q     <= 1'b0;
        end else begin
            open_q   <= open_d;
            done_q   <= done_q + 3'(mine_done);
            status_q <= status_d;
            if (mine_close) begin
                closed_q     <= 1'b1;
                close_bags_q <= close_bags;
            end
            if (its_reply && send) replied_q <= 1'b1;
            older_q <= older_q - (CNT_W + 1)'(reply_done && older_q != '0);
        end
        if (rst) followed_q <= 1'b0;
        else followed_q <= start || (followed_q && !leaves);
    end

    `EMBNIC_ASSUME(request_fits, 32'(need) <= RSP_BEATS, "a reply never needs more than the buffer")
    `EMBNIC_ASSUME(bags_before_close, !(mine_close && 3'(done_q) + 3'(mine_done) > close_bags), "no bag is done that was not dispatched")
    `EMBNIC_ASSUME(bags_after_close, !(mine_done && closed_q && open_q == '0), "nor afterwards")
    `EMBNIC_ASSUME(bags_at_all, !(mine_done && !closed_q && 32'(done_q) == RSP_BEATS), "every bag takes a beat")

    `EMBNIC_NEVER(ctx_twice, take && followed_q && !leaves && alloc_ctx == ctx_q, "a context belongs to one request at a time")
    `EMBNIC_NEVER(space_twice, take && followed_q && need != '0 && need_q != '0
        && (3'(RSP_AW'(RSP_AW'(alloc_rsp_addr) - addr_q)) < need_q || 3'(RSP_AW'(addr_q - RSP_AW'(alloc_rsp_addr))) < need),
        "a beat of reply space belongs to one request at a time")
    `EMBNIC_NEVER(too_early, its_reply && !(closed_q && open_q == '0), "no reply before its request is closed and its bags are done")
    `EMBNIC_ASSERT(first_error, !its_reply || reply.status == status_q, "the reply carries the first error")
    `EMBNIC_ASSERT(its_place, !its_reply || reply.rsp_addr == RSP_W'(addr_q), "the reply says where its vectors are")
    `EMBNIC_ASSERT(its_bags, !its_reply || reply.bags == (dispatching_q ? 16'(close_bags_q) : reply.reply.bags),
        "the reply says how many vectors there are")
    `EMBNIC_ASSERT(idle_means_idle, sts_idle == (asked == '0 && passed_q == '0), "idle is when no request is in flight")

    // Nobody waits for nothing.
    logic [1:0] reply_waited_q, alloc_waited_q;

    always_ff @(posedge clk) begin
        reply_waited_q <= (rst || !(oldest && closed_q && open_q == '0) || its_reply)
                          ? '0 : reply_waited_q + 1'b1;
        alloc_waited_q <= (rst || !alloc_valid || alloc_ready || asked != '0 || passed_q != '0) ? '0 : alloc_waited_q + 1'b1;
    end
    `EMBNIC_NEVER(reply_waits, reply_waited_q > 2'd2, "the oldest reply is offered 2 cycles after it is complete")
    `EMBNIC_NEVER(alloc_waits, alloc_waited_q > 2'd1, "an empty buffer admits a request in 2 cycles")

    `EMBNIC_COVER(wrapped, take && followed_q && need_q != '0 && need != '0 && RSP_AW'(alloc_rsp_addr) < addr_q,
        "space is given out behind the end of the ring while older space is held")
    `EMBNIC_COVER(error_a_before_close, its_reply && send && reply.status == FROM_A && dispatching_q && close_bags_q == 3'd2,
        "a request of two bags fails")
endmodule
`default_nettype wire
