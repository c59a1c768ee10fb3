// SPDX-License-Identifier: Apache-2.0
// Receives Ethernet frames, writes the payload of ours to the key store, and names each good one once its CRC32C is verified.
//
// Order          frames as received; the key store is a ring, its space is taken and given back in frame order.
// Back-pressure  none towards the MAC: s_axis_rx_tready is constant 1. A frame for which there is no room is dropped.
// Latency        from a frame's last beat to its frame_t 11 cycles (DATA_W = 128) or 13 (512); the payload is there before.
// Throughput     one beat per cycle without gaps, frames back to back.
// Errors         every frame is either accepted or dropped for exactly one reason, the first that holds of: card
//                disabled (OVERLOAD), MAC_ERROR, NOT_OURS, LENGTH, IP_CHECKSUM, VERSION, HEADER, TAG, CRC, OVERLOAD.
//                evt_rx_frame, evt_rx_accept, evt_rx_drop come in one cycle. A frame cut by rst counts from its first
//                beat after it.
// Not handled    VLAN tags, IPv6, IP options, fragments (NOT_OURS); the UDP checksum (the CRC32C covers what counts).
//
// The bus passes embnic_crc32c, which delays it by the time a CRC takes. So at the end of the delay line the verdict on a
// frame is known when its last beat arrives, and no beat of the next frame's payload has been written yet: to roll back
// is to set one pointer.
//
//     s_axis_rx -> in_q -> header, lengths (cycles 1 .. 5) -> reasons ---+
//                   +----> embnic_crc32c (bus and CRC, LATENCY) -> payload to the key store -> verdict -> frame queue
`default_nettype none
`include "embnic_assert.svh"
module embnic_rx_frame
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
#(
    parameter int unsigned DATA_W   = 128,  // bits of a beat: 128 or 512
    parameter int unsigned KS_BEATS = 512,  // beats of the key store; power of two
    parameter int unsigned FRAMES   = 8     // frames that may wait for the decoder; power of two
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    input  wire logic [DATA_W-1:0]         s_axis_rx_tdata,      // byte 0 in bits 7:0
    input  wire logic [DATA_W/8-1:0]       s_axis_rx_tkeep,      // all ones but in the last beat; ones from bit 0 on
    input  wire logic                      s_axis_rx_tvalid,
    output      logic                      s_axis_rx_tready,     // constant 1
    input  wire logic                      s_axis_rx_tlast,
    input  wire logic                      s_axis_rx_tuser,      // with tlast: the MAC found the frame bad
    output      logic [$bits(frame_t)-1:0] m_axis_frame_tdata,   // frame_t
    output      logic                      m_axis_frame_tvalid,
    input  wire logic                      m_axis_frame_tready,
    output      logic                      ks_wr_en,             // key store write port
    output      logic [KS_W-1:0]           ks_wr_addr,
    output      logic [DATA_W-1:0]         ks_wr_data,           // zero behind the frame's end
    input  wire logic                      ks_free_valid,        // the oldest frame's beats may be overwritten
    input  wire logic [KS_W-1:0]           ks_free_beats,        // its frame_t.ks_beats
    input  wire logic                      cfg_enable,           // 0: drop everything
    input  wire logic [15:0]               cfg_udp_port,         // the port that is ours
    output      logic                      evt_rx_frame,         // a frame was received
    output      logic [15:0]               evt_rx_bytes,         // its bytes, at most 65,535; 0 without evt_rx_frame
    output      logic [DROP_N-1:0]         evt_rx_drop,          // it was dropped: one bit, see drop_reason_e
    output      logic                      evt_rx_accept,        // it was accepted
    output      logic [$bits(frame_t)-1:0] evt_rx_info           // with evt_rx_frame: frame_t, as far as its bytes mean anything
);
    localparam int unsigned BYTES      = DATA_W / 8;
    localparam int unsigned BYTES_W    = $clog2(BYTES);
    localparam int unsigned HDR_BEATS  = FIRST_PAYLOAD_BYTE / BYTES;
    localparam int unsigned WORDS      = DATA_W / 32;
    localparam int unsigned WORDS_W    = $clog2(WORDS + 1);
    localparam int unsigned HDR_BYTE   = FIRST_PAYLOAD_BYTE - HEADER_BYTES;  // where our header begins
    localparam int unsigned CRC_BEAT   = HDR_BYTE / BYTES;                   // the beat with it
    localparam int unsigned LATENCY    = 4 + $clog2(WORDS);                  // of embnic_crc32c
    localparam int unsigned UDP_BYTE   = 34;                                 // where UDP begins
    localparam int unsigned CHECKS     = 5;                                  // cycles from the last beat to pre_drop_q
    localparam int unsigned UDP_BEAT   = (UDP_BYTE + 4) / BYTES;             // the beat with the UDP length
    localparam int unsigned BEATS_W    = 17 - BYTES_W;                       // counts the beats of 128 KB
    localparam int unsigned LEFT_W     = 14;                                 // counts the words of 64 KB
    localparam int unsigned KS_AW      = $clog2(KS_BEATS);
    localparam int unsigned MAX_BYTES  = 16384;                              // longest frame
    localparam int unsigned OVERHEAD   = 8 + HEADER_BYTES + CRC_BYTES;       // UDP length without our payload
    localparam logic [31:0] RESIDUE    = 32'h48674BC7;                       // CRC32C of a message with its CRC behind it

    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end
    if (KS_BEATS < 2 || KS_BEATS >= (1 << KS_W) || (KS_BEATS & (KS_BEATS - 1)) != 0) begin : gen_bad_ks_beats
        $fatal(1, "KS_BEATS must be a power of two from 2 to 8,192");
    end
    if (FRAMES < 2 || (FRAMES & (FRAMES - 1)) != 0) begin : gen_bad_frames
        $fatal(1, "FRAMES must be a power of two, at least 2");
    end

    // Fields of the 64 bytes of headers; Ethernet, IP and UDP are big-endian.
    function automatic logic [15:0] be16(input logic [511:0] header, input int unsigned at);
        return {header[8*at+:8], header[8*at+8+:8]};
    endfunction

    // -------------------------------------------------------------------------------------------------
    // Input register; bytes behind the end become zero, so that a short frame never shows old bytes
    // -------------------------------------------------------------------------------------------------
    logic [DATA_W-1:0] in_data_q, in_data_d;
    logic [BYTES-1:0]  in_keep_q;
    logic              in_valid_q, in_last_q, in_error_q;
    logic [15:0]       in_len;       // what the UDP length would be, were it in this beat
    logic [LEFT_W-1:0] in_left_q;    // words of payload and CRC then

    assign s_axis_rx_tready = 1'b1;
    assign in_len = {in_data_d[8*((UDP_BYTE+4)%BYTES)+:8], in_data_d[8*((UDP_BYTE+5)%BYTES)+:8]};

    always_comb begin
        in_data_d = s_axis_rx_tdata;
        for (int unsigned i = 0; i < BYTES; i++) begin
            if (s_axis_rx_tlast && !s_axis_rx_tkeep[i]) in_data_d[8*i+:8] = 8'h00;
        end
    end

    always_ff @(posedge clk) begin
        if (s_axis_rx_tvalid) begin
            in_data_q  <= in_data_d;
            in_keep_q  <= s_axis_rx_tkeep;
            in_last_q  <= s_axis_rx_tlast;
            in_error_q <= s_axis_rx_tuser;
            in_left_q  <= (in_len < 16'(OVERHEAD)) ? '0 : LEFT_W'((in_len - 16'(OVERHEAD - CRC_BYTES)) >> 2);
        end
        in_valid_q <= !rst && s_axis_rx_tvalid;
    end

    // -------------------------------------------------------------------------------------------------
    // Where in the frame this beat is; the first 64 bytes; where the message ends
    // -------------------------------------------------------------------------------------------------
    logic [BEATS_W-1:0] beat_q, beat_d;        // beats before this one, saturating
    logic [511:0]       header_q, header_d;    // valid in the cycle after the last header beat
    logic [LEFT_W-1:0]  left_q, left_d;        // payload and CRC words from this beat on, outside of the headers
    logic               in_header, in_body;
    logic [15:0]        in_udp_len;

    assign in_header  = in_valid_q && beat_q < BEATS_W'(HDR_BEATS);
    assign in_body    = in_valid_q && beat_q >= BEATS_W'(HDR_BEATS);
    assign in_udp_len = be16(header_q, UDP_BYTE + 4);

    always_comb begin
        header_d = header_q;
        for (int unsigned i = 0; i < HDR_BEATS; i++) begin
            if (beat_q == BEATS_W'(i)) header_d[DATA_W*i+:DATA_W] = in_data_q;
            else if (beat_q == '0) header_d[DATA_W*i+:DATA_W] = '0;
        end
    end

    always_comb begin
        beat_d = beat_q;
        left_d = left_q;
        if (in_valid_q) begin
            if (in_last_q) beat_d = '0;
            else if (beat_q != '1) beat_d = beat_q + 1'b1;
        end
        if (in_header && beat_q == BEATS_W'(UDP_BEAT)) left_d = in_left_q;
        if (in_body) left_d = (left_q > LEFT_W'(WORDS)) ? left_q - LEFT_W'(WORDS) : '0;
    end

    always_ff @(posedge clk) begin
        if (in_header) header_q <= header_d;
        left_q <= left_d;
        if (rst) beat_q <= '0;
        else beat_q <= beat_d;
    end

    // -------------------------------------------------------------------------------------------------
    // The delay line and the CRC
    // -------------------------------------------------------------------------------------------------
    typedef struct packed {
        logic last;    // of the frame
        logic header;  // one of the header beats
        logic write;   // holds payload
    } mark_t;

    mark_t             in_mark, out_mark;
    logic              crc_in_valid, crc_in_first, crc_in_last;
    logic [DATA_W-1:0] out_data;
    logic              crc_valid;
    logic [31:0]       crc;

    assign in_mark.last   = in_valid_q && in_last_q;
    assign in_mark.header = in_header;
    assign in_mark.write  = in_body && left_q > LEFT_W'(CRC_BYTES / 4);
    assign crc_in_first   = beat_q == BEATS_W'(CRC_BEAT);
    assign crc_in_last    = in_body && left_q <= LEFT_W'(WORDS);
    assign crc_in_valid   = (in_header && 32'(beat_q) + 1 > CRC_BEAT) || (in_body && left_q != '0);

    embnic_crc32c #(.DATA_W(DATA_W), .FIRST_BYTE(HDR_BYTE % BYTES), .USER_W($bits(mark_t))) u_crc (
        .clk, .rst,
        .in_valid     (crc_in_valid),
        .in_first     (crc_in_first),
        .in_last      (crc_in_last),
        .in_words     (left_q[WORDS_W-1:0]),
        .in_data      (in_data_q),
        .in_user      (in_mark),
        .out_data,
        .out_user     (out_mark),
        .out_crc_valid(crc_valid),
        .out_crc      (crc)
    );

    // -------------------------------------------------------------------------------------------------
    // Checks, five cycles behind the frame's last beat; they wait for the delay line
    // -------------------------------------------------------------------------------------------------
    typedef struct packed {
        logic ours, lengths, version, header, tag, mac;
    } good_t;

    logic               end_error_q;
    logic [BEATS_W-1:0] end_beats_q;
    logic [BYTES_W:0]   end_bytes_q, keep_count;
    good_t              good_q, good_q2, good_q3, good_d;
    logic [18:0]        sum_a_q, sum_a_d, sum_b_q, sum_b_d;
    logic [17:0]        frame_bytes_q, frame_bytes_d, need_bytes_q;
    logic [15:0]        bytes_q2, bytes_q3;  // saturated
    logic [16:0]        fold;
    logic [19:0]        sum_q;
    logic               long_enough_q, long_enough_q2, checksum_good_q;
    logic [DROP_N-1:0]  pre_drop_q, pre_drop_d;
    logic [15:0]        pre_bytes_q;
    logic [15:0]        udp_len, ip_len;
    header_t            hdr;
    logic               has_tag;

    always_comb begin
        // tkeep is ones from bit 0 on: where they end is their number.
        keep_count = '0;
        for (int unsigned i = 0; i < BYTES; i++) begin
            if (in_keep_q[i] && (i == BYTES - 1 || !in_keep_q[(i+1)%BYTES])) keep_count |= (BYTES_W + 1)'(i + 1);
        end
    end

    // 1: the headers and the frame's size are complete
    always_ff @(posedge clk) begin
        if (in_valid_q) begin
            end_error_q <= in_error_q;
            end_beats_q <= beat_q;
            end_bytes_q <= keep_count;
        end
    end

    // 2: every field by itself
    assign udp_len       = in_udp_len;
    assign ip_len        = be16(header_q, 16);
    assign hdr           = header_from_bytes(header_q[8*HDR_BYTE+:8*HEADER_BYTES]);
    assign has_tag       = hdr.flags[FLAG_TAG];
    assign frame_bytes_d = {1'b0, end_beats_q, {BYTES_W{1'b0}}} + 18'(end_bytes_q);

    always_comb begin
        sum_a_d = '0;
        sum_b_d = '0;
        for (int unsigned i = 0; i < 5; i++) begin
            sum_a_d += 19'(be16(header_q, 14 + 2 * i));
            sum_b_d += 19'(be16(header_q, 24 + 2 * i));
        end
        good_d.mac     = !end_error_q;
        good_d.ours    = be16(header_q, 12) == 16'h0800                      // IPv4
                      && header_q[8*14+:8] == 8'h45                          // without options
                      && (be16(header_q, 20) & 16'h3FFF) == '0               // not a fragment
                      && header_q[8*23+:8] == 8'd17                          // UDP
                      && be16(header_q, UDP_BYTE + 2) == cfg_udp_port
                      && hdr.magic == WIRE_MAGIC;
        // An 8-byte tag takes the place of the CRC.
        good_d.lengths = ip_len == udp_len + 16'd20
                      && udp_len >= 16'(OVERHEAD) + (has_tag ? 16'd4 : 16'd0)
                      && udp_len <= 16'(MAX_BYTES - UDP_BYTE)
                      && udp_len[2:0] == (3'(OVERHEAD) ^ {has_tag, 2'b00});
        good_d.version = hdr.version == WIRE_VERSION;
        good_d.tag     = !has_tag;
        unique case (hdr.opcode)
            OPCODE_PING, OPCODE_LOOKUP, OPCODE_ROWS, OPCODE_UPDATE, OPCODE_FILL, OPCODE_INVALIDATE, OPCODE_PREFETCH,
            OPCODE_MERGE, OPCODE_ACCUMULATE, OPCODE_TOPK, OPCODE_INTERACT:
                good_d.header = (hdr.flags & FLAGS_RESERVED) == '0;
            default: good_d.header = 1'b0;
        endcase
    end

    always_ff @(posedge clk) begin
        good_q        <= good_d;
        sum_a_q       <= sum_a_d;
        sum_b_q       <= sum_b_d;
        frame_bytes_q <= frame_bytes_d;
        need_bytes_q  <= 18'(udp_len) + 18'(UDP_BYTE);
    end

    // 3, 4: the frame's size, and the checksum. The ones' complement sum over a good IP header is 0xFFFF; the sum is
    // never 0.
    assign fold = 17'(sum_q[15:0]) + 17'(sum_q[19:16]);

    always_ff @(posedge clk) begin
        sum_q           <= 20'(sum_a_q) + 20'(sum_b_q);
        long_enough_q   <= frame_bytes_q >= need_bytes_q && frame_bytes_q <= 18'(MAX_BYTES);
        bytes_q2        <= (frame_bytes_q > 18'hFFFF) ? 16'hFFFF : frame_bytes_q[15:0];
        good_q2         <= good_q;
        checksum_good_q <= fold == 17'h0FFFF;
        long_enough_q2  <= long_enough_q;
        bytes_q3        <= bytes_q2;
        good_q3         <= good_q2;
    end

    // 5: the first reason that holds
    always_comb begin
        pre_drop_d = '0;
        if (!good_q3.mac) pre_drop_d[DROP_MAC_ERROR] = 1'b1;
        else if (!good_q3.ours) pre_drop_d[DROP_NOT_OURS] = 1'b1;
        else if (!long_enough_q2 || !good_q3.lengths) pre_drop_d[DROP_LENGTH] = 1'b1;
        else if (!checksum_good_q) pre_drop_d[DROP_IP_CHECKSUM] = 1'b1;
        else if (!good_q3.version) pre_drop_d[DROP_VERSION] = 1'b1;
        else if (!good_q3.header) pre_drop_d[DROP_HEADER] = 1'b1;
        else if (!good_q3.tag) pre_drop_d[DROP_TAG] = 1'b1;
    end

    always_ff @(posedge clk) begin
        pre_drop_q  <= pre_drop_d;
        pre_bytes_q <= bytes_q3;
    end

    logic [DROP_N-1:0] out_drop;
    logic [15:0]       out_bytes;

    embnic_delay #(.WIDTH(DROP_N + 16), .CYCLES(LATENCY - CHECKS)) u_reasons (
        .clk, .rst, .in({pre_drop_q, pre_bytes_q}), .out({out_drop, out_bytes})
    );

    // -------------------------------------------------------------------------------------------------
    // Behind the delay line: payload to the key store
    // -------------------------------------------------------------------------------------------------
    logic [KS_AW-1:0] commit_ptr_q, write_ptr_q;  // behind the last accepted frame; behind the last beat written
    logic [KS_AW:0]   free_q, free_d;             // beats not held by accepted frames
    logic [KS_AW:0]   taken_q;                    // of these, written for the current frame
    logic             overflow_q;                 // a beat of the current frame had no room
    logic [511:0]     out_header_q, out_header_d;
    logic             accept;

    assign ks_wr_en   = out_mark.write && !overflow_q && taken_q != free_q;
    assign ks_wr_addr = KS_W'(write_ptr_q);
    assign ks_wr_data = out_data;

    if (HDR_BEATS == 1) begin : gen_header_one
        assign out_header_d = out_data;
    end else begin : gen_header_shift
        assign out_header_d = {out_data, out_header_q[511:DATA_W]};
    end

    // -------------------------------------------------------------------------------------------------
    // Verdict, in the cycle after the last beat left the delay line. The next frame's payload comes later.
    // -------------------------------------------------------------------------------------------------
    logic              verdict_q, crc_good, crc_good_q, end_crc_good_q;
    logic [DROP_N-1:0] verdict_drop_q;
    logic [15:0]       verdict_bytes_q;
    frame_t            frame;
    logic              frame_ready;
    logic [15:0]       out_udp_len;

    // The message may end before the frame does.
    assign crc_good = crc_valid ? crc == RESIDUE : crc_good_q;

    always_ff @(posedge clk) begin
        if (out_mark.header) out_header_q <= out_header_d;
        verdict_drop_q  <= out_drop;
        verdict_bytes_q <= out_bytes;
        end_crc_good_q  <= crc_good;
        if (rst) begin
            verdict_q  <= 1'b0;
            crc_good_q <= 1'b0;
        end else begin
            verdict_q  <= out_mark.last;
            crc_good_q <= crc_good && !out_mark.last;
        end
    end

    assign out_udp_len = be16(out_header_q, UDP_BYTE + 4);

    always_comb begin
        frame.mac_dst     = {be16(out_header_q, 0), be16(out_header_q, 2), be16(out_header_q, 4)};
        frame.mac_src     = {be16(out_header_q, 6), be16(out_header_q, 8), be16(out_header_q, 10)};
        frame.ip_src      = {be16(out_header_q, 26), be16(out_header_q, 28)};
        frame.ip_dst      = {be16(out_header_q, 30), be16(out_header_q, 32)};
        frame.port_src    = be16(out_header_q, UDP_BYTE);
        frame.port_dst    = be16(out_header_q, UDP_BYTE + 2);
        frame.hdr         = header_from_bytes(out_header_q[8*HDR_BYTE+:8*HEADER_BYTES]);
        frame.payload_len = out_udp_len - 16'(OVERHEAD);
        frame.ks_addr     = KS_W'(commit_ptr_q);
        frame.ks_beats    = KS_W'(taken_q);
    end

    always_comb begin
        accept      = 1'b0;
        evt_rx_drop = '0;
        if (verdict_q) begin
            if (!cfg_enable) evt_rx_drop[DROP_OVERLOAD] = 1'b1;
            else if (verdict_drop_q != '0) evt_rx_drop = verdict_drop_q;
            else if (!end_crc_good_q) evt_rx_drop[DROP_CRC] = 1'b1;
            else if (overflow_q || !frame_ready) evt_rx_drop[DROP_OVERLOAD] = 1'b1;
            else accept = 1'b1;
        end
    end

    assign evt_rx_frame  = verdict_q;
    assign evt_rx_accept = accept;
    assign evt_rx_info   = frame;
    assign evt_rx_bytes  = verdict_q ? verdict_bytes_q : '0;

    always_comb begin
        free_d = free_q;
        if (accept) free_d = free_d - taken_q;
        if (ks_free_valid) free_d = free_d + (KS_AW + 1)'(ks_free_beats);
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            commit_ptr_q <= '0;
            write_ptr_q  <= '0;
            free_q       <= (KS_AW + 1)'(KS_BEATS);
            taken_q      <= '0;
            overflow_q   <= 1'b0;
        end else begin
            free_q <= free_d;
            if (verdict_q) begin
                taken_q    <= '0;
                overflow_q <= 1'b0;
                if (accept) commit_ptr_q <= write_ptr_q;
                else write_ptr_q <= commit_ptr_q;
            end else if (ks_wr_en) begin
                write_ptr_q <= write_ptr_q + 1'b1;
                taken_q     <= taken_q + 1'b1;
            end else if (out_mark.write) begin
                overflow_q <= 1'b1;
            end
        end
    end

    logic [$clog2(FRAMES+4)-1:0] frames_waiting;

    embnic_fifo #(.WIDTH($bits(frame_t)), .DEPTH(FRAMES), .STYLE(1)) u_frames (
        .clk, .rst,
        .s_axis_tdata (frame),
        .s_axis_tvalid(accept),
        .s_axis_tready(frame_ready),
        .m_axis_tdata (m_axis_frame_tdata),
        .m_axis_tvalid(m_axis_frame_tvalid),
        .m_axis_tready(m_axis_frame_tready),
        .sts_count    (frames_waiting)
    );

    // Fields that mean nothing here: the decoder reads them from the frame_t, and the queue's level is nobody's business.
    wire unused = &{1'b0, frames_waiting, hdr.dtype, hdr.status, hdr.tenant, hdr.request_id, hdr.first_bag, hdr.bags,
        hdr.keys, hdr.dim, hdr.snapshot};

    // Assertions
    `EMBNIC_STABLE(frame_stable, m_axis_frame_tvalid, m_axis_frame_tready, m_axis_frame_tdata,
        "the frame holds until it is taken")
    `EMBNIC_KNOWN(frame_valid_known, m_axis_frame_tvalid, "tvalid is known after reset")
    `EMBNIC_ASSUME(keep_full, !s_axis_rx_tvalid || s_axis_rx_tlast || s_axis_rx_tkeep == '1,
        "every beat but the last is full")
    `EMBNIC_ASSUME(keep_contiguous, !s_axis_rx_tvalid || (s_axis_rx_tkeep & (s_axis_rx_tkeep + 1'b1)) == '0,
        "tkeep is ones from bit 0 on")
    `EMBNIC_NEVER(verdict_late, verdict_q && out_mark.write, "a verdict is known before the next payload is written")
    `EMBNIC_ASSERT(one_verdict, verdict_q == (accept ^ (evt_rx_drop != '0)), "a frame is either accepted or dropped")
    `EMBNIC_ASSERT(one_reason, (evt_rx_drop & (evt_rx_drop - 1'b1)) == '0, "a frame is dropped for one reason")
    `EMBNIC_ASSERT(beats_match, !accept || 32'(taken_q) == (32'(frame.payload_len) + BYTES - 1) / BYTES,
        "an accepted frame's payload is in the key store as a whole")
    `EMBNIC_NEVER(overdraft, taken_q > free_q, "the current frame takes free beats only")
    `EMBNIC_ASSUME(free_range, !ks_free_valid || 32'(free_q) + 32'(ks_free_beats) <= KS_BEATS,
        "no more beats are given back than were taken")
    `EMBNIC_COVER(cover_wrap, ks_wr_en && write_ptr_q == '1, "the key store wraps")
    `EMBNIC_COVER(cover_full, out_mark.write && taken_q == free_q, "the key store is full")
    `EMBNIC_COVER(cover_rollback, verdict_q && !accept && taken_q != '0, "payload is rolled back")
    `EMBNIC_COVER(cover_queue_full, verdict_q && !frame_ready, "the frame queue is full")
endmodule
`default_nettype wire
