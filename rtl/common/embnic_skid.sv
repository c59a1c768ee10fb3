// SPDX-License-Identifier: Apache-2.0
// Stream register: cuts every combinational path between its two sides; the only ready/valid register of embnic.
//
// Order          as received.
// Back-pressure  any cycle, both sides; nothing is lost. s_axis_tready is a register.
// Latency        1 cycle.
// Throughput     one word per cycle.
`default_nettype none
`include "embnic_assert.svh"
module embnic_skid #(
    parameter int unsigned WIDTH = 32  // bits of a word
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output      logic             s_axis_tready,
    output      logic [WIDTH-1:0] m_axis_tdata,
    output      logic             m_axis_tvalid,
    input  wire logic             m_axis_tready
);
    if (WIDTH < 1) begin : gen_bad_width
        $fatal(1, "WIDTH must be at least 1");
    end

    // The second register holds the word that arrives in the cycle in which the output stalls.
    logic [WIDTH-1:0] spare_q;
    logic             spare_valid_q;

    assign s_axis_tready = !spare_valid_q;

    always_ff @(posedge clk) begin
        if (!m_axis_tvalid || m_axis_tready) begin
            m_axis_tdata <= spare_valid_q ? spare_q : s_axis_tdata;
        end
        if (s_axis_tready) spare_q <= s_axis_tdata;
        if (rst) begin
            m_axis_tvalid <= 1'b0;
            spare_valid_q <= 1'b0;
        end else if (!m_axis_tvalid || m_axis_tready) begin
            m_axis_tvalid <= spare_valid_q || s_axis_tvalid;
            spare_valid_q <= 1'b0;
        end else if (s_axis_tvalid && s_axis_tready) begin
            spare_valid_q <= 1'b1;
        end
    end

    // Assertions
    `EMBNIC_STABLE(out_stable, m_axis_tvalid, m_axis_tready, m_axis_tdata, "the output holds until it is taken")
    `EMBNIC_KNOWN(valid_known, m_axis_tvalid, "tvalid is known after reset")
    `EMBNIC_NEVER(lost, spare_valid_q && !m_axis_tvalid, "the spare register is used only behind a full output")
    `EMBNIC_COVER(both_full, spare_valid_q && m_axis_tvalid, "both registers hold a word")
endmodule
`default_nettype wire
