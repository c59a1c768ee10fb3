// SPDX-License-Identifier: Apache-2.0
// Gives the best cfg_k of the scored rows of a query, the best first.
//
// Meaning        a score is better when it is greater as an ordered compare; of equal ones (+0 and -0
//                are) the first that came. A NaN is refused and counted. A query of fewer scores is
//                filled up with minus infinity and an id of all ones.
// Order          queries as received; cfg_k words each, tlast on the last.
// Back-pressure  any cycle, both sides; nothing is lost. No combinational path from one side to the
//                other.
// Latency        3 cycles from a query's last score to its best.
// Throughput     one score per cycle, queries back to back: a query of fewer than cfg_k scores waits
//                until the one before it has left.
// Not handled    cfg_k outside 1 .. K.
//
// A row of K places, best first. Every place compares the new score with its own at once: it keeps its
// own, takes the new one, or takes what the place before it had. Scores are kept as integers that
// compare like the numbers.
`default_nettype none
`include "embnic_assert.svh"
module embnic_topk #(
    parameter int unsigned K    = 16,  // places, at least 2
    parameter int unsigned ID_W = 64,  // bits of what names a row
    localparam int unsigned K_W = $clog2(K + 1)
) (
    input  wire logic            clk,
    input  wire logic            rst,
    input  wire logic [31:0]     s_axis_score_tdata,   // fp32
    input  wire logic [ID_W-1:0] s_axis_score_tuser,   // names the row
    input  wire logic            s_axis_score_tvalid,
    output      logic            s_axis_score_tready,
    input  wire logic            s_axis_score_tlast,   // of the query
    output      logic [31:0]     m_axis_best_tdata,    // fp32
    output      logic [ID_W-1:0] m_axis_best_tuser,
    output      logic            m_axis_best_tvalid,
    input  wire logic            m_axis_best_tready,
    output      logic            m_axis_best_tlast,    // of the query's best
    input  wire logic [K_W-1:0]  cfg_k,                // quasi-static
    output      logic            sts_idle,             // nothing is under way
    output      logic            evt_refused           // a NaN
);
    localparam logic [31:0] FP32_INF = 32'h7F80_0000;

    if (K < 2) begin : gen_bad_k
        $fatal(1, "K must be at least 2");
    end
    if (ID_W < 1) begin : gen_bad_id_w
        $fatal(1, "ID_W must be at least 1");
    end

    // A score as an integer that compares like it; `minus` tells -0 from +0.
    typedef struct packed {
        logic [31:0]     rank;
        logic            minus;
        logic [ID_W-1:0] id;
    } place_t;

    localparam logic [31:0] RANK_ZERO = 32'h8000_0000;
    localparam place_t      ABSENT    = '{rank: 32'h007F_FFFF, minus: 1'b0, id: '1};  // minus infinity

    function automatic logic [31:0] rank_of(logic [31:0] score);
        if (score[30:0] == '0) return RANK_ZERO;
        return score[31] ? ~score : {1'b1, score[30:0]};
    endfunction

    function automatic logic [31:0] score_of(logic [31:0] rank, logic minus);
        if (rank == RANK_ZERO) return {minus, 31'd0};
        return rank[31] ? {1'b0, rank[30:0]} : ~rank;
    endfunction

    // Stage 1: the score as an integer.
    place_t s1_q;
    logic   s1_valid_q, s1_last_q, s1_nan_q;
    logic   stall, hand_q;          // the places hold a whole query, to be handed over
    logic [K_W-1:0] left_q;         // words still to leave

    assign stall               = hand_q && left_q != '0;
    assign s_axis_score_tready = !stall;

    always_ff @(posedge clk) begin
        if (!stall) begin
            s1_q      <= '{rank: rank_of(s_axis_score_tdata), minus: s_axis_score_tdata[31],
                           id: s_axis_score_tuser};
            s1_nan_q  <= {1'b0, s_axis_score_tdata[30:0]} > FP32_INF;
            s1_last_q <= s_axis_score_tlast;
        end
        if (rst)         s1_valid_q <= 1'b0;
        else if (!stall) s1_valid_q <= s_axis_score_tvalid;
    end

    // Stage 2: the places. While a query is handed over, the next one finds them empty.
    place_t [K-1:0] best_q;
    logic   [K-1:0] held_q, held_now, stays;
    logic           insert;

    assign insert   = s1_valid_q && !s1_nan_q && !stall;
    assign held_now = hand_q ? '0 : held_q;

    for (genvar p = 0; p < int'(K); p++) begin : gen_place
        assign stays[p] = held_now[p] && s1_q.rank <= best_q[p].rank;
        always_ff @(posedge clk) begin
            if (insert && !stays[p]) begin
                if (p == 0 || stays[(p == 0) ? 0 : p - 1]) best_q[p] <= s1_q;
                else                                       best_q[p] <= best_q[(p == 0) ? 0 : p - 1];
            end
        end
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            held_q      <= '0;
            hand_q      <= 1'b0;
            evt_refused <= 1'b0;
        end else begin
            evt_refused <= s1_valid_q && s1_nan_q && !stall;
            if (!stall) begin
                held_q <= insert ? {held_now[K-2:0], 1'b1} : held_now;
                hand_q <= s1_valid_q && s1_last_q;
            end
        end
    end

    // Out: the places move up as their words leave.
    place_t [K-1:0] out_q;

    assign m_axis_best_tdata  = score_of(out_q[0].rank, out_q[0].minus);
    assign m_axis_best_tuser  = out_q[0].id;
    assign m_axis_best_tvalid = left_q != '0;
    assign m_axis_best_tlast  = left_q == K_W'(1);

    always_ff @(posedge clk) begin
        if (hand_q && !stall) begin
            for (int unsigned p = 0; p < K; p++) out_q[p] <= held_q[p] ? best_q[p] : ABSENT;
        end else if (m_axis_best_tvalid && m_axis_best_tready) begin
            for (int unsigned p = 0; p + 1 < K; p++) out_q[p] <= out_q[p+1];
        end
        if (rst)                                           left_q <= '0;
        else if (hand_q && !stall)                         left_q <= cfg_k;
        else if (m_axis_best_tvalid && m_axis_best_tready) left_q <= left_q - K_W'(1);
    end

    // A query that has begun is under way, too.
    logic open_q;
    always_ff @(posedge clk) begin
        if (rst) open_q <= 1'b0;
        else if (s_axis_score_tvalid && s_axis_score_tready) open_q <= !s_axis_score_tlast;
    end
    assign sts_idle = !open_q && !s1_valid_q && !hand_q && left_q == '0;

    // Assertions
    logic [K-1:0] gap;  // a place that is held behind one that is not
    assign gap = held_q & ~{held_q[K-2:0], 1'b1};

    `EMBNIC_STABLE(best_stable, m_axis_best_tvalid, m_axis_best_tready,
                   {m_axis_best_tdata, m_axis_best_tuser, m_axis_best_tlast}, "the output holds until it is taken")
    `EMBNIC_KNOWN(ready_known, s_axis_score_tready, "tready is known after reset")
    `EMBNIC_KNOWN(valid_known, m_axis_best_tvalid, "tvalid is known after reset")
    `EMBNIC_NEVER(holes, gap != '0, "the places are held from the first on")
    `EMBNIC_NEVER(bad_k, s_axis_score_tvalid && (cfg_k == '0 || cfg_k > K_W'(K)), "cfg_k is 1 to K")
    `EMBNIC_NEVER(bad_places, insert && (stays & (stays + 1'b1)) != '0,
                  "those that stay are the first ones")
    `EMBNIC_COVER(waits, stall, "a query waits for the one before it")
endmodule
`default_nettype wire
