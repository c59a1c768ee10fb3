// SPDX-License-Identifier: Apache-2.0
// Row-wise Adagrad: from the sum of squares of each row's gradient and its state h the new state and the step.
//
// Meaning        h = h + total / cfg_dim; step = cfg_rate / (sqrt(h) + cfg_epsilon); every operation is rounded.
// Order          rows 0 .. rows - 1, once for each start.
// Back-pressure  any cycle, all sides; nothing is lost.
// Latency        about 110 cycles from start to the first step.
// Throughput     a row every 41 cycles or so: mean, root and step of three rows are made at a time.
// Not handled    a start while rows are under way.
`default_nettype none
`include "embnic_assert.svh"
module embnic_grad_step #(
    parameter int unsigned ROWS = 1024,  // most rows
    localparam int unsigned ROW_W  = $clog2(ROWS),
    localparam int unsigned ROWS_W = $clog2(ROWS + 1)
) (
    input  wire logic              clk,
    input  wire logic              rst,
    input  wire logic              start,               // pulse
    input  wire logic [ROWS_W-1:0] rows,                // at least 1
    output      logic              total_rd_en,         // sums of squares, latency 1
    output      logic [ROW_W-1:0]  total_rd_addr,
    input  wire logic [31:0]       total_rd_data,
    input  wire logic [31:0]       s_axis_state_tdata,
    input  wire logic              s_axis_state_tvalid,
    output      logic              s_axis_state_tready,
    output      logic [31:0]       m_axis_state_tdata,
    output      logic              m_axis_state_tvalid,
    input  wire logic              m_axis_state_tready,
    output      logic [31:0]       m_axis_step_tdata,
    output      logic              m_axis_step_tvalid,
    input  wire logic              m_axis_step_tready,
    input  wire logic [15:0]       cfg_dim,             // at least 1
    input  wire logic [31:0]       cfg_rate,            // fp32
    input  wire logic [31:0]       cfg_epsilon,         // fp32
    output      logic              sts_idle
);
    import embnic_fp32_pkg::*;

    // The number of elements as binary32: exact.
    logic [3:0]  lead;
    logic [14:0] dim_fraction;  // without its leading one
    logic [31:0] dim;
    assign lead         = lzc16(cfg_dim[15:1]);
    assign dim_fraction = 15'(cfg_dim << lead);
    assign dim          = {1'b0, 8'd142 - 8'(lead), dim_fraction, 8'd0};

    // Mean: a row's sum is read, divided, and added to its state.
    typedef enum logic [2:0] { MEAN_IDLE, MEAN_READ, MEAN_DIVIDE, MEAN_ADD, MEAN_GIVE } mean_e;
    mean_e             mean_q;
    logic [ROWS_W-1:0] row_q;
    logic [31:0]       quotient, sum;
    logic              divide_ready, quotient_valid, sum_valid, adding_q, give_root, root_ready, state_sent_q, root_sent_q;
    logic [31:0]       state_q;

    assign total_rd_en         = mean_q == MEAN_READ;
    assign total_rd_addr       = row_q[ROW_W-1:0];
    assign s_axis_state_tready = mean_q == MEAN_ADD && quotient_valid && !adding_q;
    assign m_axis_state_tdata  = state_q;
    assign m_axis_state_tvalid = mean_q == MEAN_GIVE && !state_sent_q;
    assign give_root           = mean_q == MEAN_GIVE && !root_sent_q;

    embnic_fp32_div u_mean (
        .clk, .rst,
        .s_axis_a_tdata        (total_rd_data),
        .s_axis_b_tdata        (dim),
        .s_axis_a_tvalid       (mean_q == MEAN_DIVIDE),
        .s_axis_a_tready       (divide_ready),
        .m_axis_quotient_tdata (quotient),
        .m_axis_quotient_tvalid(quotient_valid),
        .m_axis_quotient_tready(s_axis_state_tready && s_axis_state_tvalid)
    );
    embnic_fp32_add u_state (
        .clk, .rst,
        .valid_in (s_axis_state_tready && s_axis_state_tvalid),
        .a        (s_axis_state_tdata),
        .b        (quotient),
        .valid_out(sum_valid),
        .result   (sum)
    );

    always_ff @(posedge clk) begin
        if (sum_valid) state_q <= sum;
        if (rst) begin
            mean_q       <= MEAN_IDLE;
            adding_q     <= 1'b0;
            state_sent_q <= 1'b0;
            root_sent_q  <= 1'b0;
            row_q        <= '0;
        end else begin
            if (s_axis_state_tready && s_axis_state_tvalid) adding_q <= 1'b1;
            else if (sum_valid) adding_q <= 1'b0;
            unique case (mean_q)
                MEAN_IDLE: begin
                    row_q <= '0;
                    if (start) mean_q <= MEAN_READ;
                end
                MEAN_READ:   mean_q <= MEAN_DIVIDE;
                MEAN_DIVIDE: if (divide_ready) mean_q <= MEAN_ADD;
                MEAN_ADD:    if (sum_valid) mean_q <= MEAN_GIVE;
                MEAN_GIVE: begin
                    if (m_axis_state_tready) state_sent_q <= 1'b1;
                    if (root_ready) root_sent_q <= 1'b1;
                    if ((state_sent_q || m_axis_state_tready) && (root_sent_q || root_ready)) begin
                        state_sent_q <= 1'b0;
                        root_sent_q  <= 1'b0;
                        row_q        <= row_q + ROWS_W'(1);
                        mean_q       <= (row_q + ROWS_W'(1) == rows) ? MEAN_IDLE : MEAN_READ;
                    end
                end
                default: mean_q <= MEAN_IDLE;
            endcase
        end
    end

    // Root, and epsilon on top of it.
    logic [31:0] root, divisor, divisor_q;
    logic        root_valid, divisor_valid, divisor_held_q, root_take, topping_q, step_ready;

    assign root_take = root_valid && !topping_q && !divisor_held_q;

    embnic_fp32_sqrt u_root (
        .clk, .rst,
        .s_axis_a_tdata    (state_q),
        .s_axis_a_tvalid   (give_root),
        .s_axis_a_tready   (root_ready),
        .m_axis_root_tdata (root),
        .m_axis_root_tvalid(root_valid),
        .m_axis_root_tready(root_take)
    );
    embnic_fp32_add u_epsilon (
        .clk, .rst,
        .valid_in (root_take),
        .a        (root),
        .b        (cfg_epsilon),
        .valid_out(divisor_valid),
        .result   (divisor)
    );

    always_ff @(posedge clk) begin
        if (divisor_valid) divisor_q <= divisor;
        if (rst) begin
            topping_q      <= 1'b0;
            divisor_held_q <= 1'b0;
        end else begin
            if (root_take)          topping_q <= 1'b1;
            else if (divisor_valid) topping_q <= 1'b0;
            if (divisor_valid)   divisor_held_q <= 1'b1;
            else if (step_ready) divisor_held_q <= 1'b0;
        end
    end

    // Step.
    embnic_fp32_div u_step (
        .clk, .rst,
        .s_axis_a_tdata        (cfg_rate),
        .s_axis_b_tdata        (divisor_q),
        .s_axis_a_tvalid       (divisor_held_q),
        .s_axis_a_tready       (step_ready),
        .m_axis_quotient_tdata (m_axis_step_tdata),
        .m_axis_quotient_tvalid(m_axis_step_tvalid),
        .m_axis_quotient_tready(m_axis_step_tready)
    );

    assign sts_idle = mean_q == MEAN_IDLE && root_ready && !root_valid && !topping_q && !divisor_held_q && step_ready
                      && !m_axis_step_tvalid;

    // Assertions
    `EMBNIC_STABLE(state_stable, m_axis_state_tvalid, m_axis_state_tready, m_axis_state_tdata,
                   "the output holds until it is taken")
    `EMBNIC_STABLE(step_stable, m_axis_step_tvalid, m_axis_step_tready, m_axis_step_tdata,
                   "the output holds until it is taken")
    `EMBNIC_NEVER(begun, start && mean_q != MEAN_IDLE, "a start finds nothing under way")
endmodule
`default_nettype wire
