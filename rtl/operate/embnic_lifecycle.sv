// SPDX-License-Identifier: Apache-2.0
// Says what is still in flight in the core, and resets its data path without losing what the host has set up.
//
// In flight      idle: from a frame's first beat in to its answer's last beat out, nothing is under way.
//                drained: quiesced, and every request admitted to read or write rows is answered, its last beat out
//                (what is refused BUSY may come and go meanwhile); or disabled, and every accepted frame is answered so.
// Soft reset     cfg_soft_reset: the receive side is disabled, memory and MAC are closed at a boundary (embnic_axi_gate
//                for memory, tx_closed for frames); when both are at rest, or after TIMEOUT cycles, dp_rst is high for
//                RESET_CYCLES and on to the next boundary of a frame in, so that no piece of a frame is taken for one.
//                A second pulse meanwhile changes nothing.
// Errors         frames that the reset catches between MAC and verdict count in evt_lost, accepted requests without an
//                answer in evt_abandoned, keys without a hit or miss in evt_keys: all sums still hold. Answers that were
//                formed (evt_tx_frame) but had not left are lost uncounted: to the card they were answered.
// Latency        sts_* are registers, one cycle behind.
`default_nettype none
`include "embnic_assert.svh"
module embnic_lifecycle #(
    parameter int unsigned TIMEOUT      = 65536,  // cycles to wait for memory, MAC and the end of a frame in, >= 2
    parameter int unsigned RESET_CYCLES = 8       // shortest dp_rst, >= 2
) (
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic        cfg_enable,
    input  wire logic        cfg_quiesce,
    input  wire logic        cfg_soft_reset,  // pulse
    input  wire logic        rx_valid,        // a beat goes to embnic_rx_frame
    input  wire logic        rx_last,
    input  wire logic        evt_rx_frame,    // verdict on a frame
    input  wire logic        evt_rx_accept,
    input  wire logic        decode_work,     // embnic_req_decode has a request to execute
    input  wire logic        alloc,           // a request is admitted
    input  wire logic        alloc_work,      // with alloc: it is executed, not just answered
    input  wire logic        lookup_idle,     // nothing in issue, cache, pool, update
    input  wire logic        key_open,        // a key wants a row
    input  wire logic        key_closed,      // a row was found to be a hit or a miss
    input  wire logic        evt_tx_frame,    // a frame was formed
    input  wire logic        reply_done,      // it was the last of its answer
    input  wire logic        tx_valid,        // embnic_tx_frame offers a beat
    input  wire logic        tx_beat,         // it is taken
    input  wire logic        tx_last,
    input  wire logic        memory_rest,     // closed, and nothing outstanding
    output      logic        dp_rst,          // reset of the data path; rst included
    output      logic        rx_enable,       // accept frames
    output      logic        memory_close,    // let no new access begin
    output      logic        tx_closed,       // take no beat from embnic_tx_frame
    output      logic        sts_idle,
    output      logic        sts_drained,
    output      logic        sts_reset_busy,
    output      logic [11:0] evt_lost,        // frames received whose verdict the reset took
    output      logic [11:0] evt_abandoned,   // accepted requests whose answer it took
    output      logic [15:0] evt_keys,        // keys whose row it took
    output      logic        evt_reset,       // pulse: a soft reset is done
    output      logic        evt_timeout      // pulse: it did not wait any longer
);
    localparam int unsigned TIME_W = $clog2(TIMEOUT + 1);

    if (TIMEOUT < 2) begin : gen_bad_timeout
        $fatal(1, "TIMEOUT must be at least 2");
    end
    if (RESET_CYCLES < 2 || RESET_CYCLES > 255) begin : gen_bad_reset_cycles
        $fatal(1, "RESET_CYCLES must be 2 to 255");
    end

    typedef enum logic [1:0] {
        RUN,
        CLOSE,  // until memory and MAC are at rest
        RESET   // until the next boundary of a frame in
    } state_e;

    state_e            state_q, state_d;
    logic [TIME_W-1:0] timer_q, timer_d;   // cycles in CLOSE or RESET
    logic              reset_q;            // the state's copy with the fan-out
    logic              boundary, late, leave;

    // ---------------------------------------------------------------------------------------------
    // What is in flight
    // ---------------------------------------------------------------------------------------------
    logic        mid_q;                  // within a frame in
    logic [11:0] verdicts_q, verdicts_d; // frames received, verdict to come
    logic [11:0] open_q, open_d;         // requests accepted, answer to be formed
    logic [11:0] flight_q;               // of these, admitted
    logic [11:0] frames_q;               // frames formed, last beat to leave
    logic [15:0] keys_q, keys_d;         // keys that want a row, hit or miss to be found
    // Answers leave in the order of admission: work is in flight as long as the last admitted work is. Each of these
    // counts the answers (frames) up to and including that one.
    logic [11:0] work_flight_q, work_flight_d, work_frames_q, work_frames_d;
    logic        left, work;

    assign left = tx_beat && tx_last;

    always_comb begin
        verdicts_d    = verdicts_q + 12'(rx_valid && rx_last) - 12'(evt_rx_frame);
        open_d        = open_q + 12'(evt_rx_accept) - 12'(reply_done);
        keys_d        = keys_q + 16'(key_open) - 16'(key_closed);
        work_flight_d = work_flight_q - 12'(reply_done && work_flight_q != '0);
        work_frames_d = work_frames_q - 12'(left && work_frames_q != '0);
        if (alloc && alloc_work) work_flight_d = flight_q + 12'd1 - 12'(reply_done);
        if (reply_done && work_flight_q != '0) work_frames_d = frames_q + 12'd1 - 12'(left);
    end

    assign work = decode_work || work_flight_q != '0 || work_frames_q != '0 || !lookup_idle;

    always_ff @(posedge clk) begin
        mid_q       <= !rst && (rx_valid ? !rx_last : mid_q);
        sts_idle    <= !rst && state_q == RUN && !mid_q && !rx_valid && verdicts_q == '0 && open_q == '0 &&
                       frames_q == '0 && lookup_idle;
        sts_drained <= !rst && state_q == RUN &&
                       (cfg_quiesce ? !work : !cfg_enable && open_q == '0 && frames_q == '0 && lookup_idle);
        keys_q <= (rst || reset_q) ? '0 : keys_d;
        if (rst) begin
            verdicts_q    <= '0;
            open_q        <= '0;
            flight_q      <= '0;
            frames_q      <= '0;
            work_flight_q <= '0;
            work_frames_q <= '0;
        end else if (reset_q) begin
            verdicts_q    <= 12'(rx_valid && rx_last && !leave);
            open_q        <= '0;
            flight_q      <= '0;
            frames_q      <= '0;
            work_flight_q <= '0;
            work_frames_q <= '0;
        end else begin
            verdicts_q    <= verdicts_d;
            open_q        <= open_d;
            flight_q      <= flight_q + 12'(alloc) - 12'(reply_done);
            frames_q      <= frames_q + 12'(evt_tx_frame) - 12'(left);
            work_flight_q <= work_flight_d;
            work_frames_q <= work_frames_d;
        end
    end

    // ---------------------------------------------------------------------------------------------
    // Soft reset
    // ---------------------------------------------------------------------------------------------
    logic sending_q, tx_closed_q;  // within a frame out; none begins any more

    assign boundary = rx_valid ? rx_last : !mid_q;
    assign late     = timer_q == TIME_W'(TIMEOUT);
    assign leave    = state_q == RESET && timer_q >= TIME_W'(RESET_CYCLES) && (boundary || late);

    always_comb begin
        state_d = state_q;
        timer_d = late ? timer_q : timer_q + TIME_W'(1);
        unique case (state_q)
            RUN: begin
                timer_d = '0;
                if (cfg_soft_reset) state_d = CLOSE;
            end
            CLOSE: if ((memory_rest && tx_closed_q) || late) begin
                state_d = RESET;
                timer_d = '0;
            end
            RESET:   if (leave) state_d = RUN;
            default: state_d = RUN;
        endcase
    end

    always_ff @(posedge clk) begin
        timer_q <= timer_d;
        if (rst) begin
            state_q     <= RUN;
            reset_q     <= 1'b0;
            sending_q   <= 1'b0;
            tx_closed_q <= 1'b0;
        end else begin
            state_q     <= state_d;
            reset_q     <= state_d == RESET;
            sending_q   <= !reset_q && (tx_beat ? !tx_last : sending_q);
            tx_closed_q <= state_d != RUN && (tx_closed_q || (!sending_q && !tx_valid) || left);
        end
    end

    assign dp_rst         = rst || reset_q;
    assign rx_enable      = cfg_enable && state_q == RUN;
    assign memory_close   = state_q != RUN;
    assign tx_closed      = tx_closed_q;
    assign sts_reset_busy = state_q != RUN;
    assign evt_lost       = reset_q ? verdicts_q - 12'(evt_rx_frame) + 12'(leave && rx_valid && rx_last) : '0;
    assign evt_abandoned  = reset_q ? open_d : '0;
    assign evt_keys       = reset_q ? keys_d : '0;
    assign evt_reset      = leave;
    assign evt_timeout    = state_q == CLOSE && late && !(memory_rest && tx_closed_q);

    // Assertions
    `EMBNIC_NEVER(verdict_underflow, !reset_q && evt_rx_frame && verdicts_q == '0, "a verdict is on a frame received")
    `EMBNIC_NEVER(keys_underflow, !reset_q && key_closed && keys_q == '0, "a row belongs to a key")
    `EMBNIC_NEVER(open_underflow, !reset_q && reply_done && open_q == '0, "an answer is to a request accepted")
    `EMBNIC_NEVER(flight_underflow, !reset_q && reply_done && flight_q == '0, "an answer is to a request admitted")
    `EMBNIC_NEVER(frames_underflow, !reset_q && left && frames_q == '0, "a frame that leaves was formed")
    `EMBNIC_NEVER(flight_beyond, !reset_q && flight_q > open_q, "what is admitted was accepted")
    `EMBNIC_NEVER(last_not_formed, reply_done && !evt_tx_frame, "an answer ends with a frame")
    `EMBNIC_KNOWN(reset_known, dp_rst, "the reset is known")
    `EMBNIC_COVER(cover_timeout, evt_timeout, "a soft reset waited in vain")
    `EMBNIC_COVER(cover_mid, state_q == RESET && mid_q, "a soft reset within a frame in")
    `EMBNIC_COVER(cover_busy_beside, sts_drained && open_q != '0, "drained while BUSY answers are on their way")
endmodule
`default_nettype wire
