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
    logic [RSP_AW+1:0]   open_q, open_d;  // bags dispatched and not done; negative while done comes before close
    logic [3:0]          done_q;
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
    assign open_d     = open_q + (mine_close ? (RSP_AW + 2)'(close_bags) : (RSP_AW + 2)'(0)) - (RSP_AW + 2)'(mine_done);

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
            done_q   <= done_q + 4'(mine_done);
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
    `EMBNIC_ASSUME(bags_before_close, !(mine_close && done_q + 4'(mine_done) > 4'(close_bags)), "no bag is done that was not dispatched")
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

    // What makes the proof inductive. The requests in flight lie in the ring of contexts from done_ptr on: first those passed
    // on, then those that wait; `place` counts from done_ptr.
    localparam int unsigned IDX_W   = $clog2(CTXS);
    localparam int unsigned SPACE_W = RSP_AW + 1;
    localparam int unsigned SUM_W   = SPACE_W + IDX_W + 1;
    localparam int unsigned TAG     = RSP_W + 64;   // where the client is in a word of u_kept,
    localparam int unsigned DISP    = RSP_W + 128;  // and `dispatching`

    logic [CTXS-1:0][IDX_W-1:0]   place, dist_send;
    logic [CTXS-1:0][SPACE_W-1:0] space;
    logic [CTXS-1:0][1:0]         beats, kept_names;
    logic [CTXS-1:0][RSP_AW-1:0]  kept_addr;
    logic [CTXS-1:0]              kept_dispatching;
    logic [CTXS-1:0][2:0]         kept_bags;
    logic [SUM_W-1:0]             all_space, its_and_newer;
    logic [CNT_W-1:0]             in_table;
    logic [IDX_W-1:0]             ctx, tracked_ctx, kept_ctx, done_ptr;
    logic                         shown;

    logic [CNT_W-1:0]             used;

    assign used     = CNT_W'(u_dut.used_ctxs_q);
    assign shown    = m_axis_reply_tvalid;
    assign in_table = asked - CNT_W'(shown);
    assign done_ptr = u_dut.done_ptr_q;
    assign ctx      = ctx_q[IDX_W-1:0];

    for (genvar i = 0; i < int'(CTXS); i++) begin : gen_ctx
        assign place[i]             = IDX_W'(i) - done_ptr;
        assign dist_send[i]        = IDX_W'(i) - u_dut.send_ptr_q;
        assign space[i]            = u_dut.u_release.gen_distributed.mem[i][SPACE_W-1:0];
        assign beats[i]            = u_dut.u_release.gen_distributed.mem[i][SPACE_W+:2];
        assign kept_names[i]       = u_dut.u_kept.gen_distributed.mem[i][TAG+:2];
        assign kept_addr[i]        = u_dut.u_kept.gen_distributed.mem[i][RSP_AW-1:0];
        assign kept_dispatching[i] = u_dut.u_kept.gen_distributed.mem[i][DISP];
        assign kept_bags[i]        = u_dut.u_bags.gen_distributed.mem[i][2:0];
        `EMBNIC_FV_HELP(pending, u_dut.pending_q[i] == (CNT_W'(dist_send[i]) < in_table), "those that wait are pending")
        `EMBNIC_FV_HELP(kept_high, u_dut.u_kept.gen_distributed.mem[i][RSP_W-1:RSP_AW] == '0 || CNT_W'(place[i]) >= used,
            "addresses are below the ring's length")
        `EMBNIC_FV_HELP(bags_high, u_dut.u_bags.gen_distributed.mem[i][15:3] == '0 || !u_dut.closed_q[i]
            || !kept_dispatching[i] || !u_dut.pending_q[i], "as many bags as closes say")
    end

    always_comb begin
        all_space     = '0;
        its_and_newer = '0;
        for (int unsigned i = 0; i < CTXS; i++) begin
            if (CNT_W'(place[i]) < used) begin
                all_space = all_space + SUM_W'(space[i]);
                if ((CNT_W + 1)'(place[i]) >= older_q) its_and_newer = its_and_newer + SUM_W'(space[i]);
            end
        end
        tracked_ctx = u_dut.send_ptr_q - IDX_W'(shown) + IDX_W'(ahead);
        kept_ctx    = done_ptr + IDX_W'(kept_ahead) - IDX_W'(ks_free_valid);
    end

    `EMBNIC_FV_HELP(all_used, 8'(used) == 8'(asked) + 8'(passed_q), "every request in flight has a context")
    `EMBNIC_FV_HELP(used_range, 32'(used) <= CTXS, "no more contexts are used than there are")
    `EMBNIC_FV_HELP(ring_used, IDX_W'(u_dut.alloc_ptr_q - done_ptr) == IDX_W'(used), "contexts are a ring")
    `EMBNIC_FV_HELP(ring_waiting, IDX_W'(u_dut.alloc_ptr_q - u_dut.send_ptr_q) == IDX_W'(in_table), "those that wait are its end")
    `EMBNIC_FV_HELP(shown_counts, !shown || asked != '0, "the reply shown is one of those asked for")
    `EMBNIC_FV_HELP(beats_count, 8'(kept) == 8'(used) + 8'(ks_free_valid), "beats come back a cycle after their context")
    `EMBNIC_FV_HELP(space_sum, SUM_W'(u_dut.used_space_q) == all_space, "the space in use is what the requests in flight reserved")
    `EMBNIC_FV_HELP(release_ahead, passed_q == '0 || u_dut.done_release
        == u_dut.u_release.gen_distributed.mem[done_ptr], "what the next reply to leave gives back is known")
    `EMBNIC_FV_HELP(need_known, !u_dut.need_valid_q || (waiting_q && 32'(u_dut.need_q)
        == 32'(offer_q[2] ? {offer_q[4:3], 1'b0} : {1'b0, offer_q[4:3]})), "the need computed is that of the request that waits")
    `EMBNIC_FV_HELP(kept_beats, !kept_tracking || kept_word == ((ks_free_valid && kept_ahead == '0) ? ks_free_beats[1:0]
        : beats[kept_ctx]), "the beats of the tracked request are kept")
    `EMBNIC_FV_HELP(kept_name, !tracking || word == ((shown && ahead == '0) ? reply.reply.client[1:0]
        : kept_names[tracked_ctx]), "the tracked request is kept")

    // Of the followed request.
    `EMBNIC_FV_HELP(f_ctx, !followed_q || (32'(ctx_q) < CTXS && (CNT_W + 1)'(place[ctx]) == older_q
        && older_q < (CNT_W + 1)'(used)), "its context is in use, behind the older ones")
    `EMBNIC_FV_HELP(f_order, !followed_q || (replied_q ? older_q < (CNT_W + 1)'(passed_q)
        : (tracking && older_q == (CNT_W + 1)'(ahead) + (CNT_W + 1)'(passed_q))), "it is where the order says")
    `EMBNIC_FV_HELP(f_need, !followed_q || space[ctx] == need_q, "its space is what it needed")
    `EMBNIC_FV_HELP(f_addr, !followed_q || addr_q == RSP_AW'(u_dut.space_ptr_q - RSP_AW'(its_and_newer)),
        "its space lies before that of the newer ones")
    `EMBNIC_FV_HELP(f_waits, !followed_q || replied_q || (shown && ahead == '0) || (u_dut.closed_q[ctx] == closed_q
        && u_dut.open_q[ctx] == open_q && u_dut.status_q[ctx] == status_q && kept_addr[ctx] == addr_q
        && kept_dispatching[ctx] == dispatching_q
        && (!closed_q || !dispatching_q || kept_bags[ctx] == 3'(close_bags_q))), "what is known of it is kept")
    `EMBNIC_FV_HELP(f_shown, !its_reply || (reply.reply.dispatching == dispatching_q), "and shown")
endmodule
`default_nettype wire
