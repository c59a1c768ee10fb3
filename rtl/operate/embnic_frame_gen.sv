// SPDX-License-Identifier: Apache-2.0
// Takes the place of the MAC: makes LOOKUP frames, checks and swallows the answers. For a self-test without a link.
//
// Order          frames carry request_id 0, 1, 2, ...; keys come from a 32-bit LFSR, one step a beat.
// Switching      cfg_on closes the MAC at a frame boundary, waits until core_idle, and generates; when it falls, the
//                core finishes what it has, and the MAC is let in again at a frame boundary. Frames of the MAC that begin
//                meanwhile are ignored and counted nowhere.
// Back-pressure  none from the core's receive side; cfg_window frames at most are in flight. Answers are always taken.
// Throughput     one beat per cycle within a frame; a frame's gap is 1 cycle.
// Errors         frames out of the core count as evt_reply (last frame of an answer), evt_error (ERROR), evt_bad (CRC).
//                A generated frame that the core drops stays in flight: the generator then stops at its window.
// Not handled    weighted, continued and partial requests; keys * 8 bytes must be whole beats and whole bags.
//
//     frame: 64 bytes of headers | cfg_beats beats of keys | CRC
//     key of lane w: last << 63 | table << 48 | ((lfsr ^ w * GOLDEN) & cfg_row_mask)
`default_nettype none
`include "embnic_assert.svh"
module embnic_frame_gen
    import embnic_wire_pkg::*;
#(
    parameter int unsigned DATA_W = 128  // bits of a beat: 128 or 512
) (
    input  wire logic                clk,
    input  wire logic                rst,
    input  wire logic                cfg_on,
    input  wire logic [15:0]         cfg_udp_port,
    input  wire logic [14:0]         cfg_table,
    input  wire logic [31:0]         cfg_row_mask,
    input  wire logic [15:0]         cfg_dim,
    input  wire logic [7:0]          cfg_beats,           // beats of keys in a frame, 1 or more
    input  wire logic [3:0]          cfg_length_log2,     // log2 of the keys of a bag
    input  wire logic [3:0]          cfg_window,          // frames in flight, 1 or more
    input  wire logic [31:0]         cfg_frames,          // frames to send; 0: without end
    input  wire logic                core_idle,           // nothing is in flight in the core
    output      logic                sts_generating,
    input  wire logic [DATA_W-1:0]   s_axis_mac_tdata,    // frames from the MAC, always taken
    input  wire logic [DATA_W/8-1:0] s_axis_mac_tkeep,
    input  wire logic                s_axis_mac_tvalid,
    input  wire logic                s_axis_mac_tlast,
    input  wire logic                s_axis_mac_tuser,
    output      logic [DATA_W-1:0]   m_axis_rx_tdata,     // frames to the core, always taken
    output      logic [DATA_W/8-1:0] m_axis_rx_tkeep,
    output      logic                m_axis_rx_tvalid,
    output      logic                m_axis_rx_tlast,
    output      logic                m_axis_rx_tuser,
    input  wire logic [DATA_W-1:0]   s_axis_tx_tdata,     // frames out of the core: valid and ready both high while
    input  wire logic                s_axis_tx_tvalid,    // generating
    input  wire logic                s_axis_tx_tlast,
    output      logic                evt_sent,            // a frame was made
    output      logic                evt_reply,           // the last frame of an answer, CRC good
    output      logic                evt_error,           // an ERROR, CRC good
    output      logic                evt_bad              // a frame whose CRC is wrong
);
    localparam int unsigned BYTES     = DATA_W / 8;
    localparam int unsigned WORDS     = DATA_W / 64;                         // keys of a beat
    localparam int unsigned WORD_AW   = $clog2(WORDS);
    localparam int unsigned HDR_BEATS = FIRST_PAYLOAD_BYTE / BYTES;
    localparam int unsigned HDR_AW    = (HDR_BEATS > 1) ? $clog2(HDR_BEATS) : 1;
    localparam int unsigned HDR_BYTE  = FIRST_PAYLOAD_BYTE - HEADER_BYTES;   // where our header begins
    localparam int unsigned CRC_BEAT  = HDR_BYTE / BYTES;                    // the beat with it
    localparam int unsigned CNT_W     = $clog2(DATA_W / 32 + 1);
    localparam int unsigned OVERHEAD  = 20 + 8 + HEADER_BYTES + CRC_BYTES;   // IP length without payload
    localparam logic [31:0] RESIDUE   = 32'h48674BC7;                        // CRC32C of a message with its CRC behind it
    localparam logic [31:0] TAPS      = 32'h80200003;                        // x^32 + x^22 + x^2 + x + 1
    localparam logic [31:0] GOLDEN    = 32'h9E3779B9;
    localparam logic [47:0] MAC_HERE  = 48'h02454E000001;
    localparam logic [47:0] MAC_CORE  = 48'h02454E000002;
    localparam logic [31:0] IP_HERE   = 32'h0AFF0001;
    localparam logic [31:0] IP_CORE   = 32'h0AFF0002;
    localparam logic [15:0] PORT_HERE = 16'h4547;
    // IP header without length and checksum
    localparam logic [19:0] IP_SUM    = 20'h4500 + 20'h4000 + 20'h4011 + 20'(IP_HERE[31:16]) + 20'(IP_HERE[15:0]) +
                                        20'(IP_CORE[31:16]) + 20'(IP_CORE[15:0]);

    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end

    // ---------------------------------------------------------------------------------------------
    // Who has the core
    // ---------------------------------------------------------------------------------------------
    typedef enum logic [1:0] {
        MAC,       // the MAC
        CLOSING,   // nobody any more; the core comes to rest
        GENERATE,
        FINISH     // no new frame; the core comes to rest
    } state_e;

    state_e     state_q, state_d;
    logic [2:0] settle_q;        // cycles before core_idle is looked at
    logic       mac_mid_q, mac_pass_q, mac_boundary;
    logic       frame_done, sending_q, pipe_empty;

    assign mac_boundary = s_axis_mac_tvalid ? s_axis_mac_tlast : !mac_mid_q;

    always_comb begin
        state_d = state_q;
        unique case (state_q)
            MAC:      if (cfg_on && !mac_pass_q) state_d = CLOSING;
            CLOSING:  if (settle_q == '1 && core_idle) state_d = GENERATE;
            GENERATE: if (!cfg_on) state_d = FINISH;
            FINISH:   if (!sending_q && pipe_empty && settle_q == '1 && core_idle) state_d = MAC;
            default:  state_d = MAC;
        endcase
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            state_q    <= MAC;
            settle_q   <= '0;
            mac_mid_q  <= 1'b0;
            mac_pass_q <= 1'b1;
        end else begin
            state_q   <= state_d;
            settle_q  <= (state_d != state_q || sending_q) ? '0 : settle_q + 3'(settle_q != '1);
            mac_mid_q <= s_axis_mac_tvalid ? !s_axis_mac_tlast : mac_mid_q;
            if (mac_boundary) mac_pass_q <= state_q == MAC && !cfg_on;
        end
    end

    assign sts_generating = state_q == GENERATE || state_q == FINISH;

    // ---------------------------------------------------------------------------------------------
    // Frames
    // ---------------------------------------------------------------------------------------------
    typedef enum logic [1:0] { SLOT_HEADER, SLOT_KEYS, SLOT_CRC } slot_e;

    slot_e             slot_q, slot_d;
    logic [HDR_AW-1:0] hdr_beat_q;
    logic [7:0]        body_q;        // beats of keys made
    logic [31:0]       sent_q, lfsr_q;
    logic [4:0]        flight_q;
    logic              start, more, answered;
    logic [15:0]       keys;
    logic [16:0]       fold;
    header_t           hdr;
    logic [511:0]      headers;
    logic [DATA_W-1:0] header_beat, key_beat;

    // What the registers say of every frame; they rest while frames are made.
    logic [15:0] bags_q, ip_len_q, ip_check_q, cfg_mask_q;
    logic [7:0]  body_last_q;
    logic [19:0] sum_q;

    assign more       = cfg_frames == '0 || sent_q != cfg_frames;
    assign start      = state_q == GENERATE && cfg_on && !sending_q && more && flight_q < {1'b0, cfg_window};
    assign frame_done = sending_q && slot_q == SLOT_CRC;
    assign evt_sent   = frame_done;

    always_comb begin
        slot_d = slot_q;
        unique case (slot_q)
            SLOT_HEADER: if (hdr_beat_q == HDR_AW'(HDR_BEATS - 1)) slot_d = SLOT_KEYS;
            SLOT_KEYS:   if (body_q == body_last_q) slot_d = SLOT_CRC;
            default:     slot_d = SLOT_HEADER;
        endcase
    end

    always_ff @(posedge clk) begin
        if (rst || state_q == CLOSING) begin
            sending_q  <= 1'b0;
            slot_q     <= SLOT_HEADER;
            hdr_beat_q <= '0;
            body_q     <= '0;
            sent_q     <= '0;
            lfsr_q     <= 32'd1;
            flight_q   <= '0;
        end else begin
            sending_q <= start || (sending_q && !frame_done);
            flight_q  <= flight_q + 5'(start) - 5'(answered && flight_q != '0);
            sent_q    <= sent_q + 32'(frame_done);
            if (sending_q) begin
                slot_q     <= slot_d;
                hdr_beat_q <= (slot_q == SLOT_HEADER && slot_d == SLOT_HEADER) ? hdr_beat_q + 1'b1 : '0;
                body_q     <= (slot_q == SLOT_KEYS) ? body_q + 8'd1 : '0;
                if (slot_q == SLOT_KEYS) lfsr_q <= (lfsr_q >> 1) ^ (lfsr_q[0] ? TAPS : 32'd0);
            end
        end
    end

    function automatic logic [15:0] swap16(input logic [15:0] value);
        return {value[7:0], value[15:8]};
    endfunction

    function automatic logic [31:0] swap32(input logic [31:0] value);
        return {swap16(value[15:0]), swap16(value[31:16])};
    endfunction

    function automatic logic [47:0] swap48(input logic [47:0] value);
        return {swap16(value[15:0]), swap16(value[31:16]), swap16(value[47:32])};
    endfunction

    assign keys   = 16'(cfg_beats) << WORD_AW;
    assign fold   = 17'(sum_q[15:0]) + 17'(sum_q[19:16]);

    always_ff @(posedge clk) begin
        body_last_q <= cfg_beats - 8'd1;
        cfg_mask_q  <= (16'd1 << cfg_length_log2) - 16'd1;
        bags_q      <= keys >> cfg_length_log2;
        ip_len_q    <= (keys << 3) + 16'(OVERHEAD);
        sum_q       <= IP_SUM + 20'(ip_len_q);
        ip_check_q  <= ~(fold[15:0] + 16'(fold[16]));
    end

    always_comb begin
        hdr            = '0;
        hdr.magic      = WIRE_MAGIC;
        hdr.version    = WIRE_VERSION;
        hdr.opcode     = OPCODE_LOOKUP;
        hdr.dtype      = DTYPE_FP32;
        hdr.status     = STATUS_OK;
        hdr.request_id = sent_q;
        hdr.bags       = bags_q;
        hdr.keys       = keys;
        hdr.dim        = cfg_dim;
        headers            = '0;
        headers[8*0+:48]   = swap48(MAC_CORE);
        headers[8*6+:48]   = swap48(MAC_HERE);
        headers[8*12+:16]  = swap16(16'h0800);
        headers[8*14+:16]  = swap16(16'h4500);
        headers[8*16+:16]  = swap16(ip_len_q);
        headers[8*20+:16]  = swap16(16'h4000);
        headers[8*22+:16]  = swap16(16'h4011);
        headers[8*24+:16]  = swap16(ip_check_q);
        headers[8*26+:32]  = swap32(IP_HERE);
        headers[8*30+:32]  = swap32(IP_CORE);
        headers[8*34+:16]  = swap16(PORT_HERE);
        headers[8*36+:16]  = swap16(cfg_udp_port);
        headers[8*38+:16]  = swap16(ip_len_q - 16'd20);
        headers[8*HDR_BYTE+:8*HEADER_BYTES] = header_to_bytes(hdr);
    end

    if (HDR_BEATS == 1) begin : gen_header_one
        assign header_beat = headers;
    end else begin : gen_header_select
        assign header_beat = headers[DATA_W*32'(hdr_beat_q)+:DATA_W];
    end

    for (genvar w = 0; w < int'(WORDS); w++) begin : gen_key
        logic [15:0] idx;
        assign idx  = (16'(body_q) << WORD_AW) + 16'(w);
        assign key_beat[64*w+:64] = {(idx & cfg_mask_q) == cfg_mask_q, cfg_table, 16'd0,
                                     (lfsr_q ^ (GOLDEN * 32'(w))) & cfg_row_mask};
    end

    // ---------------------------------------------------------------------------------------------
    // CRC behind the keys
    // ---------------------------------------------------------------------------------------------
    typedef struct packed {
        logic valid;
        logic crc;    // the place of the CRC
    } mark_t;

    mark_t             in_mark, out_mark;
    logic [DATA_W-1:0] in_data, out_data;
    logic              crc_valid;
    logic [31:0]       crc, crc_q;
    logic [4:0]        pipe_q;        // cycles since something entered

    always_comb begin
        in_mark.valid = sending_q;
        in_mark.crc   = slot_q == SLOT_CRC;
        in_data       = (slot_q == SLOT_HEADER) ? header_beat : key_beat;
    end

    embnic_crc32c #(.DATA_W(DATA_W), .FIRST_BYTE(HDR_BYTE % BYTES), .USER_W($bits(mark_t))) u_crc (
        .clk, .rst,
        .in_valid     (sending_q && slot_q != SLOT_CRC && (slot_q != SLOT_HEADER || 32'(hdr_beat_q) + 1 > CRC_BEAT)),
        .in_first     (slot_q == SLOT_HEADER && 32'(hdr_beat_q) == CRC_BEAT),
        .in_last      (slot_d == SLOT_CRC),
        .in_words     (CNT_W'(DATA_W / 32)),
        .in_data,
        .in_user      (in_mark),
        .out_data,
        .out_user     (out_mark),
        .out_crc_valid(crc_valid),
        .out_crc      (crc)
    );

    always_ff @(posedge clk) begin
        if (crc_valid) crc_q <= crc;
        if (rst) pipe_q <= '1;
        else pipe_q <= sending_q ? '0 : pipe_q + 5'(pipe_q != '1);
    end

    assign pipe_empty = pipe_q == '1;

    always_comb begin
        m_axis_rx_tdata  = s_axis_mac_tdata;
        m_axis_rx_tkeep  = s_axis_mac_tkeep;
        m_axis_rx_tvalid = s_axis_mac_tvalid && mac_pass_q;
        m_axis_rx_tlast  = s_axis_mac_tlast;
        m_axis_rx_tuser  = s_axis_mac_tuser;
        if (sts_generating) begin
            m_axis_rx_tdata  = out_mark.crc ? DATA_W'(crc_q) : out_data;
            m_axis_rx_tkeep  = out_mark.crc ? BYTES'(4'hF) : '1;
            m_axis_rx_tvalid = out_mark.valid;
            m_axis_rx_tlast  = out_mark.crc;
            m_axis_rx_tuser  = 1'b0;
        end
    end

    // ---------------------------------------------------------------------------------------------
    // Checker
    // ---------------------------------------------------------------------------------------------
    typedef struct packed {
        logic last;
        logic final_frame;  // of its answer
        logic error;
    } check_t;

    logic [HDR_AW-1:0] chk_beat_q, chk_beat;     // beat of a frame, saturating behind the headers
    logic              chk_past_q, chk_beat_crc, chk_message;
    logic [7:0]        chk_opcode, chk_flags;
    logic              chk_final, chk_error, chk_final_q, chk_error_q;
    check_t            chk_in, chk_out;
    logic [DATA_W-1:0] chk_data;
    logic              chk_crc_valid, chk_good;
    logic [31:0]       chk_crc;

    assign chk_beat     = chk_beat_q;
    assign chk_beat_crc = !chk_past_q && 32'(chk_beat) == CRC_BEAT;
    assign chk_message  = chk_past_q || 32'(chk_beat) + 1 > CRC_BEAT;
    assign chk_opcode   = s_axis_tx_tdata[8*(HDR_BYTE%BYTES+3)+:8];
    assign chk_flags    = s_axis_tx_tdata[8*(HDR_BYTE%BYTES+4)+:8];
    assign chk_final    = chk_beat_crc ? chk_flags[FLAG_FINAL] : chk_final_q;
    assign chk_error    = chk_beat_crc ? chk_opcode == OPCODE_ERROR : chk_error_q;

    always_comb begin
        chk_in.last        = s_axis_tx_tvalid && s_axis_tx_tlast;
        chk_in.final_frame = chk_final;
        chk_in.error       = chk_error;
    end

    always_ff @(posedge clk) begin
        if (s_axis_tx_tvalid) begin
            chk_final_q <= chk_final;
            chk_error_q <= chk_error;
        end
        if (rst) begin
            chk_beat_q <= '0;
            chk_past_q <= 1'b0;
        end else if (s_axis_tx_tvalid) begin
            if (s_axis_tx_tlast) begin
                chk_beat_q <= '0;
                chk_past_q <= 1'b0;
            end else begin
                if (chk_beat_q == HDR_AW'(HDR_BEATS - 1)) chk_past_q <= 1'b1;
                else chk_beat_q <= chk_beat_q + 1'b1;
            end
        end
    end

    embnic_crc32c #(.DATA_W(DATA_W), .FIRST_BYTE(HDR_BYTE % BYTES), .USER_W($bits(check_t))) u_check (
        .clk, .rst,
        .in_valid     (s_axis_tx_tvalid && chk_message),
        .in_first     (chk_beat_crc),
        .in_last      (s_axis_tx_tlast),
        .in_words     (CNT_W'(1)),
        .in_data      (s_axis_tx_tdata),
        .in_user      (chk_in),
        .out_data     (chk_data),
        .out_user     (chk_out),
        .out_crc_valid(chk_crc_valid),
        .out_crc      (chk_crc)
    );

    assign chk_good  = chk_crc_valid && chk_crc == RESIDUE;
    assign evt_bad   = chk_out.last && !chk_good;
    assign evt_error = chk_out.last && chk_good && chk_out.error;
    assign evt_reply = chk_out.last && chk_good && !chk_out.error && chk_out.final_frame;
    assign answered  = chk_out.last && chk_out.final_frame;

    // The checker needs the CRC only.
    wire unused = &{1'b0, chk_data};

    // Assertions
    `EMBNIC_NEVER(window_over, flight_q > {1'b0, cfg_window} && cfg_on && state_q == GENERATE && start,
        "no more frames in flight than the window")
    `EMBNIC_NEVER(both, sts_generating && mac_pass_q, "MAC and generator never both have the core")
    `EMBNIC_NEVER(cut, m_axis_rx_tvalid && sts_generating && out_mark.crc && !m_axis_rx_tlast, "a frame ends with its CRC")
    `EMBNIC_KNOWN(valid_known, m_axis_rx_tvalid, "tvalid is known after reset")
    `EMBNIC_COVER(cover_window, state_q == GENERATE && flight_q == {1'b0, cfg_window}, "the window is full")
    `EMBNIC_COVER(cover_ignored, s_axis_mac_tvalid && !mac_pass_q, "a frame of the MAC is ignored")
endmodule
`default_nettype wire
