// SPDX-License-Identifier: Apache-2.0
// Connects the remote port of embnic_core where nobody asks other cards, for tops that use `.*`: requests are taken and
// never answered, so a row of a remote table is REMOTE_ERROR when its time is over. CFG is in scope.
    logic [$bits(embnic_pkg::remote_line_t)-1:0] m_axis_remote_tdata;
    logic                                        m_axis_remote_tvalid, m_axis_remote_tready;
    logic [CFG.data_w-1:0]                       s_axis_remote_tdata;
    logic [embnic_pkg::REMOTE_TAG_W-1:0]         s_axis_remote_tid;
    logic                                        s_axis_remote_tuser, s_axis_remote_tlast;
    logic                                        s_axis_remote_tvalid, s_axis_remote_tready;
    assign m_axis_remote_tready = 1'b1;
    assign s_axis_remote_tdata  = '0;
    assign s_axis_remote_tid    = '0;
    assign s_axis_remote_tuser  = 1'b0;
    assign s_axis_remote_tlast  = 1'b0;
    assign s_axis_remote_tvalid = 1'b0;
    wire unused_remote = &{1'b0, m_axis_remote_tdata, m_axis_remote_tvalid, s_axis_remote_tready};
