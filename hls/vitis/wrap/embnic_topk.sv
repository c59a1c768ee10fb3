// SPDX-License-Identifier: Apache-2.0
// Gives what Vitis HLS makes of hls/cores/topk the ports of embnic_topk, for its bench (IMPL=vitis).
//
// A beat of the emitted streams is the C++ struct with its members from bit 0 on, each at its own alignment: score 31:0, id 127:64,
// last 128. Written from Vitis' rules, not seen with its output: Vitis has not run here.
`default_nettype none
module embnic_topk #(
    parameter int unsigned K    = 64,
    parameter int unsigned ID_W = 64,
    localparam int unsigned K_W = $clog2(K + 1)
) (
    input  wire logic            clk,
    input  wire logic            rst,
    input  wire logic [31:0]     s_axis_score_tdata,
    input  wire logic [ID_W-1:0] s_axis_score_tuser,
    input  wire logic            s_axis_score_tvalid,
    output      logic            s_axis_score_tready,
    input  wire logic            s_axis_score_tlast,
    output      logic [31:0]     m_axis_best_tdata,
    output      logic [ID_W-1:0] m_axis_best_tuser,
    output      logic            m_axis_best_tvalid,
    input  wire logic            m_axis_best_tready,
    output      logic            m_axis_best_tlast,
    input  wire logic [K_W-1:0]  cfg_k,
    output      logic            sts_idle,
    output      logic            evt_refused
);
    logic [191:0] best;

    embnic_topk_top u_core (
        .ap_clk             (clk),
        .ap_rst_n           (!rst),
        .s_axis_score_TDATA ({63'd0, s_axis_score_tlast, 64'(s_axis_score_tuser), 32'd0, s_axis_score_tdata}),
        .s_axis_score_TVALID(s_axis_score_tvalid),
        .s_axis_score_TREADY(s_axis_score_tready),
        .m_axis_best_TDATA  (best),
        .m_axis_best_TVALID (m_axis_best_tvalid),
        .m_axis_best_TREADY (m_axis_best_tready),
        .cfg_k              (32'(cfg_k))
    );
    assign m_axis_best_tdata = best[31:0];
    assign m_axis_best_tuser = best[64+:ID_W];
    assign m_axis_best_tlast = best[128];
    assign sts_idle          = !m_axis_best_tvalid;
    assign evt_refused       = 1'b0;  // a counter of the core that its ports do not show
endmodule
`default_nettype wire
