// SPDX-License-Identifier: Apache-2.0
// embnic_skid: every word comes out once, unchanged, in order, from the cycle after it went in; two words find room.
`default_nettype none
`include "embnic_fv.svh"
module embnic_skid_fv (
    input wire logic       clk,
    input wire logic       rst,
    input wire logic       mark,
    input wire logic [7:0] s_axis_tdata,
    input wire logic       s_axis_tvalid,
    input wire logic       m_axis_tready
);
    `EMBNIC_FV_RESET

    logic       s_axis_tready, m_axis_tvalid, tracking;
    logic [7:0] m_axis_tdata, word;
    logic [1:0] count, ahead;

    embnic_skid #(.WIDTH(8)) u_dut (.*);

    embnic_fv_order #(.WIDTH(8), .MOST(2)) u_order (
        .clk, .rst, .mark,
        .push      (s_axis_tvalid && s_axis_tready),
        .push_data (s_axis_tdata),
        .pop       (m_axis_tvalid && m_axis_tready),
        .pop_data  (m_axis_tdata),
        .count_q   (count),
        .tracking_q(tracking),
        .ahead_q   (ahead),
        .word_q    (word)
    );

    `EMBNIC_ASSERT(shown, m_axis_tvalid == (count != '0), "a word is at the output from the cycle after it went in")
    `EMBNIC_ASSERT(has_room, s_axis_tready == (count < 2'd2), "two words find room")
    `EMBNIC_FV_HELP(held, !tracking || word == (ahead == '0 ? m_axis_tdata : u_dut.spare_q),
        "the tracked word is where its position says")
endmodule
`default_nettype wire
