// SPDX-License-Identifier: Apache-2.0
// Bytes from and to an asynchronous serial line: 8 data bits, no parity, 1 stop bit (8N1).
//
// Order          as received; least significant bit first on the line.
// Back-pressure  none towards the line: a byte is there for one cycle. s_axis_tx waits while a byte is sent.
// Latency        a byte is there in the middle of its stop bit, and 4 cycles later: synchroniser, state, output.
// Throughput     a byte every 10 * DIVISOR cycles, both ways at once.
// Errors         a stop bit that is 0 gives evt_framing_error instead of a byte; the line must be 1 before the next.
// Not handled    breaks (each is one framing error), flow control.
`default_nettype none
`include "embnic_assert.svh"
module embnic_uart #(
    parameter int unsigned DIVISOR = 25  // cycles of clk a bit; 4 and more
) (
    input  wire logic       clk,
    input  wire logic       rst,
    input  wire logic       uart_rx,           // of any clock; 1 when idle
    output      logic       uart_tx,           // 1 when idle
    output      logic       byte_valid,
    output      logic [7:0] byte_data,
    output      logic       evt_framing_error,
    input  wire logic [7:0] s_axis_tx_tdata,
    input  wire logic       s_axis_tx_tvalid,
    output      logic       s_axis_tx_tready
);
    if (DIVISOR < 4 || DIVISOR > 65535) begin : gen_bad_divisor
        $fatal(1, "DIVISOR must be 4 to 65,535");
    end

    localparam int unsigned CNT_W = $clog2(DIVISOR);
    localparam logic [CNT_W-1:0] WHOLE = CNT_W'(DIVISOR - 1);
    localparam logic [CNT_W-1:0] HALF  = CNT_W'(DIVISOR / 2 - 1);

    // -----------------------------------------------------------------------------------------------------------------
    // Receive: the start bit's edge sets the phase, every bit is looked at in its middle
    // -----------------------------------------------------------------------------------------------------------------
    typedef enum logic [1:0] {RX_IDLE, RX_START, RX_BITS, RX_RECOVER} rx_state_e;

    rx_state_e        rx_state_q;
    logic             rx_line;
    logic [CNT_W-1:0] rx_cnt_q;
    logic [3:0]       rx_bit_q;    // data bits taken; 8: the stop bit is next
    logic [7:0]       rx_shift_q;

    embnic_sync u_sync (.clk_dst(clk), .src_level(uart_rx), .dst_level(rx_line));

    always_ff @(posedge clk) begin
        byte_valid        <= 1'b0;
        evt_framing_error <= 1'b0;
        rx_cnt_q          <= (rx_cnt_q == '0) ? WHOLE : rx_cnt_q - 1'b1;
        unique case (rx_state_q)
            RX_IDLE: begin
                rx_cnt_q <= HALF;
                rx_bit_q <= '0;
                if (!rx_line) rx_state_q <= RX_START;
            end
            RX_START: if (rx_cnt_q == '0) rx_state_q <= rx_line ? RX_IDLE : RX_BITS;  // else a glitch
            RX_BITS: if (rx_cnt_q == '0) begin
                rx_bit_q <= rx_bit_q + 1'b1;
                if (!rx_bit_q[3]) rx_shift_q <= {rx_line, rx_shift_q[7:1]};
                else begin
                    byte_valid        <= rx_line;
                    byte_data         <= rx_shift_q;
                    evt_framing_error <= !rx_line;
                    rx_state_q        <= rx_line ? RX_IDLE : RX_RECOVER;
                end
            end
            default: if (rx_line) rx_state_q <= RX_IDLE;
        endcase
        if (rst) begin
            rx_state_q        <= RX_RECOVER;  // a line that is 0 at power-on is no start bit
            byte_valid        <= 1'b0;
            evt_framing_error <= 1'b0;
        end
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Send
    // -----------------------------------------------------------------------------------------------------------------
    logic [8:0]       tx_shift_q;  // stop bit, data
    logic [3:0]       tx_left_q;   // bits that are still to come, the one on the line included
    logic [CNT_W-1:0] tx_cnt_q;

    assign s_axis_tx_tready = tx_left_q == '0;

    always_ff @(posedge clk) begin
        if (s_axis_tx_tvalid && s_axis_tx_tready) begin
            uart_tx    <= 1'b0;
            tx_shift_q <= {1'b1, s_axis_tx_tdata};
            tx_left_q  <= 4'd10;
            tx_cnt_q   <= WHOLE;
        end else if (tx_left_q != '0) begin
            tx_cnt_q <= (tx_cnt_q == '0) ? WHOLE : tx_cnt_q - 1'b1;
            if (tx_cnt_q == '0) begin
                uart_tx    <= tx_shift_q[0];
                tx_shift_q <= {1'b1, tx_shift_q[8:1]};
                tx_left_q  <= tx_left_q - 1'b1;
            end
        end
        if (rst) begin
            uart_tx   <= 1'b1;
            tx_left_q <= '0;
        end
    end

    // Assertions
    `EMBNIC_STABLE(tx_stable, s_axis_tx_tvalid, s_axis_tx_tready, s_axis_tx_tdata, "a byte holds until it is taken")
    `EMBNIC_NEVER(both, byte_valid && evt_framing_error, "a byte is good or not")
    `EMBNIC_NEVER(busy_line, tx_left_q == '0 && !uart_tx, "the line is 1 when nothing is sent")
    `EMBNIC_COVER(duplex, byte_valid && tx_left_q != '0, "bytes go both ways at once")
endmodule
`default_nettype wire
