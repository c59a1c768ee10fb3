// SPDX-License-Identifier: Apache-2.0
// Turns a complete reply into the Ethernet frames that carry it, each with headers, whole vectors or a piece of one, and CRC32C.
//
// Order          replies as received; within one, vectors in order and the pieces of a vector in order.
// Back-pressure  any cycle; reads of the reply RAM are counted against the room in the output FIFO.
// Latency        about 20 cycles from s_axis_reply_tvalid to the first beat.
// Throughput     one beat per cycle while tready is high. No idle cycle between frames of 3 beats or more; 1 otherwise,
//                and up to 8 before a reply that is split over frames of less than 8 payload units.
// Frames         tvalid does not fall within a frame (a MAC may begin to send with the first beat).
// Errors         a frame with a beat of the reply RAM that is wrong leaves with a wrong CRC: whoever gets it drops it and
//                asks again.
// Not handled    ARP and routing: a reply goes to the addresses that the request came from.
//
// Frame: 64 bytes of headers, for PARTIAL and ACK a 64-byte block, vectors, CRC. Everything before the CRC is a multiple
// of 64 bytes, so the CRC is a beat of its own with 4 valid bytes.
//
//     s_axis_reply -> plan (vectors per frame) -> frame (lengths, checksum) -> slots, one a cycle -> reply RAM, 2 cycles
//                 -> embnic_crc32c (bus and CRC) -> FIFO -> m_axis_tx
`default_nettype none
`include "embnic_assert.svh"
module embnic_tx_frame
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
#(
    parameter int unsigned DATA_W = 128  // bits of a beat: 128 or 512
) (
    input  wire logic                           clk,
    input  wire logic                           rst,
    input  wire logic [7:0]                     cfg_reply_beats64,   // 64-byte units of payload a frame may carry, block
                                                                     // included; PARTIAL needs 2, less is taken as that
    input  wire logic [$bits(reply_send_t)-1:0] s_axis_reply_tdata,  // reply_send_t
    input  wire logic                           s_axis_reply_tvalid,
    output      logic                           s_axis_reply_tready,
    output      logic                           rsp_rd_en,           // reply RAM; data 2 cycles later
    output      logic [RSP_W-1:0]               rsp_rd_addr,
    input  wire logic [DATA_W-1:0]              rsp_rd_data,
    input  wire logic                           rsp_rd_bad,          // the beat is not as it was written
    output      logic                           reply_done,          // the oldest reply was read completely
    output      logic [DATA_W-1:0]              m_axis_tx_tdata,     // byte 0 in bits 7:0
    output      logic [DATA_W/8-1:0]            m_axis_tx_tkeep,
    output      logic                           m_axis_tx_tvalid,
    input  wire logic                           m_axis_tx_tready,
    output      logic                           m_axis_tx_tlast,
    output      logic                           evt_tx_frame,        // a frame was formed
    output      logic [15:0]                    evt_tx_bytes,        // its bytes; 0 without evt_tx_frame
    output      logic [3:0]                     evt_tx_reply,        // it ended a REPLY, PARTIAL, ERROR, ACK (bits 0 .. 3)
    output      logic                           evt_parity           // a beat of the reply RAM was wrong
);
    localparam int unsigned BYTES     = DATA_W / 8;
    localparam int unsigned BPW       = UNIT_BYTES / BYTES;  // bus beats of a 64-byte unit
    localparam int unsigned BPW_W     = $clog2(BPW);
    localparam int unsigned IP_OVERHEAD = 20 + 8 + HEADER_BYTES + CRC_BYTES;  // IP length without payload
    localparam int unsigned HDR_BYTE  = FIRST_PAYLOAD_BYTE - HEADER_BYTES;
    localparam int unsigned CRC_BEAT  = HDR_BYTE / BYTES;    // bus beat in which our header begins
    localparam int unsigned WORDS     = DATA_W / 32;
    localparam int unsigned IDX_W     = (BPW == 1) ? 1 : BPW_W;
    localparam int unsigned UNITS_W   = BEAT_W;              // 64-byte units of a vector, or of a frame
    localparam int unsigned TOTAL_W   = 16 + UNITS_W;
    localparam int unsigned BODY_W    = 8 + BPW_W;           // bus beats of a frame's vectors
    // More than the way from a slot to the FIFO's output and back (15 cycles with the longest CRC): the FIFO, once
    // behind, never runs dry within a frame.
    localparam int unsigned FIFO_DEPTH = 32;
    localparam int unsigned CREDIT_W   = $clog2(FIFO_DEPTH + 1);

    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end

    // -------------------------------------------------------------------------------------------------
    // Plan: how a reply is divided. Works on the reply while it waits at the input.
    // -------------------------------------------------------------------------------------------------
    typedef enum logic [1:0] {
        PLAN_MULTIPLY = 2'd0,  // and everything else that needs one cycle
        PLAN_COMPARE  = 2'd1,
        PLAN_DIVIDE   = 2'd2,
        PLAN_READY    = 2'd3
    } plan_e;

    // What embnic_rsp_buffer passes on, and what follows from it.
    reply_send_t        offer;
    opcode_e            offer_opcode;
    logic               offer_block;   // frames begin with a 64-byte block
    logic [UNITS_W-1:0] offer_units;   // 64-byte units of a vector
    logic [7:0]         offer_limit;   // units of vectors a frame may carry
    logic [19:0]        offer_sum;     // of the IP header's words, the length of the payload excepted

    plan_e              plan_q;
    logic [TOTAL_W-1:0] total_q;       // units of all vectors
    logic [7:0]         limit_q;
    logic [19:0]        base_q;
    logic [15:0]        fit_q;         // whole vectors per frame; 0: a vector does not fit and is cut
    logic [7:0]         rest_q;        // division: what is left
    logic [2:0]         bit_q;
    logic               rest_enough;
    logic [UNITS_W+6:0] rest_need_q;   // units << bit
    logic               accept;

    assign offer = s_axis_reply_tdata;

    always_comb begin
        offer_opcode = (offer.status == STATUS_OK) ? offer.reply.opcode : OPCODE_ERROR;
        offer_block  = offer_opcode == OPCODE_PARTIAL || offer_opcode == OPCODE_ACK;
        offer_units  = UNITS_W'(offer.reply.vec_beats >> BPW_W);
        offer_limit  = (cfg_reply_beats64 > 8'(offer_block)) ? cfg_reply_beats64 - 8'(offer_block) : 8'd1;
        offer_sum    = 20'h4500 + 20'h4000 + 20'h4011 // version and header length; do not fragment; TTL 64 and UDP
                     + 20'(IP_OVERHEAD)               // of the length, what every frame has
                     + 20'(offer.reply.frame.ip_src[31:16]) + 20'(offer.reply.frame.ip_src[15:0])
                     + 20'(offer.reply.frame.ip_dst[31:16]) + 20'(offer.reply.frame.ip_dst[15:0]);
    end

    // One bit of floor(limit / units) a cycle, highest first.
    assign rest_enough = (UNITS_W + 7)'(rest_q) >= rest_need_q;

    assign s_axis_reply_tready = plan_q == PLAN_READY && accept;

    always_ff @(posedge clk) begin
        unique case (plan_q)
            PLAN_MULTIPLY: begin
                total_q <= offer.bags * TOTAL_W'(offer_units);
                limit_q <= offer_limit;
                base_q  <= offer_sum;
            end
            PLAN_COMPARE: begin
                fit_q  <= (total_q <= TOTAL_W'(limit_q)) ? offer.bags : 16'd0;
                rest_q <= limit_q;
                bit_q  <= 3'd7;
                rest_need_q <= {offer_units, 7'd0};
            end
            PLAN_DIVIDE: begin
                if (rest_enough) begin
                    rest_q       <= rest_q - rest_need_q[7:0];
                    fit_q[{1'b0, bit_q}] <= 1'b1;
                end
                bit_q       <= bit_q - 1'b1;
                rest_need_q <= rest_need_q >> 1;
            end
            default: ;
        endcase
        if (rst) plan_q <= PLAN_MULTIPLY;
        else begin
            unique case (plan_q)
                PLAN_MULTIPLY: if (s_axis_reply_tvalid) plan_q <= PLAN_COMPARE;
                PLAN_COMPARE:  plan_q <= (total_q <= TOTAL_W'(limit_q)) ? PLAN_READY : PLAN_DIVIDE;
                PLAN_DIVIDE:   if (bit_q == '0) plan_q <= PLAN_READY;
                default:       if (accept) plan_q <= PLAN_MULTIPLY;
            endcase
        end
    end

    // -------------------------------------------------------------------------------------------------
    // Frames of a reply: one every three cycles, ahead of the one that is being sent
    // -------------------------------------------------------------------------------------------------
    typedef enum logic [1:0] {
        FRAME_NONE = 2'd0,
        FRAME_SIZE = 2'd1,  // what this frame carries
        FRAME_SUM  = 2'd2,  // its lengths and checksum
        FRAME_PUSH = 2'd3   // waits for the slots
    } frame_e;

    frame_e             frame_q;
    reply_send_t        reply_q;
    opcode_e            opcode_q;
    logic               block_q, body_q;
    logic [UNITS_W-1:0] units_q;
    logic [7:0]         frame_limit_q;
    logic [19:0]        frame_base_q;
    logic [15:0]        frame_fit_q;
    logic [7:0]         frame_full_q;   // units of so many vectors
    logic [7:0]         rest_units_q;   // units of all vectors from this frame on, modulo 256
    logic [15:0]        vectors_q;      // sent in earlier frames
    logic [UNITS_W-1:0] piece_q;        // units of the current vector sent in earlier frames
    logic [RSP_W-1:0]   addr_q;         // next bus beat of the reply RAM
    logic               load;           // the frame goes to the slots

    // This frame
    logic [15:0]        left_q, count_q, count_d, first_q;   // vectors of this and later frames
    logic [UNITS_W-1:0] piece_left_q, first_unit_q;          // units of the current vector in these
    logic               piece_cut;                           // it does not end in this frame
    logic [7:0]         carry_q, carry_d;  // units of vectors
    logic [8:0]         carry_units;       // and of the block
    logic               final_q, final_d;
    logic [15:0]        ip_len_q, udp_len_q;
    logic [19:0]        sum_q;

    assign piece_cut = piece_left_q > UNITS_W'(frame_limit_q);

    always_comb begin
        if (!body_q) begin
            count_d = '0;
            carry_d = '0;
            final_d = 1'b1;
        end else if (frame_fit_q == '0) begin
            count_d = 16'd1;
            carry_d = piece_cut ? frame_limit_q : piece_left_q[7:0];
            final_d = left_q == 16'd1 && !piece_cut;
        end else begin
            count_d = (left_q > frame_fit_q) ? frame_fit_q : left_q;
            carry_d = (left_q > frame_fit_q) ? frame_full_q : rest_units_q;  // at most the limit
            final_d = left_q <= frame_fit_q;
        end
    end

    assign carry_units = 9'(carry_q) + 9'(block_q);
    assign accept = frame_q == FRAME_NONE || (frame_q == FRAME_PUSH && load && final_q);

    always_ff @(posedge clk) begin
        if (s_axis_reply_tvalid && s_axis_reply_tready) begin
            reply_q       <= offer;
            opcode_q      <= offer_opcode;
            block_q       <= offer_block;
            body_q        <= (offer_opcode == OPCODE_REPLY || offer_opcode == OPCODE_PARTIAL) && offer.bags != '0;
            units_q       <= offer_units;
            frame_limit_q <= limit_q;
            frame_base_q  <= base_q;
            frame_fit_q   <= fit_q;
            frame_full_q  <= limit_q - rest_q;  // used when the reply does not fit one frame
            rest_units_q  <= total_q[7:0];
            left_q        <= offer.bags;
            piece_left_q  <= offer_units;
            vectors_q     <= '0;
            piece_q       <= '0;
            addr_q        <= offer.rsp_addr;
        end else if (frame_q == FRAME_PUSH && load) begin
            addr_q <= addr_q + (RSP_W'(carry_q) << BPW_W);
            rest_units_q <= rest_units_q - carry_q;
            if (frame_fit_q == '0 && piece_cut) begin
                piece_q      <= piece_q + UNITS_W'(frame_limit_q);
                piece_left_q <= piece_left_q - UNITS_W'(frame_limit_q);
            end else begin
                piece_q      <= '0;
                piece_left_q <= units_q;
                vectors_q    <= vectors_q + count_q;
                left_q       <= left_q - count_q;
            end
        end
        count_q      <= count_d;
        carry_q      <= carry_d;
        final_q      <= final_d;
        first_q      <= reply_q.reply.frame.hdr.first_bag + vectors_q;
        first_unit_q <= piece_q;
        sum_q        <= frame_base_q + 20'({carry_units, 6'd0});
        ip_len_q     <= 16'({carry_units, 6'd0}) + 16'(IP_OVERHEAD);
        udp_len_q    <= 16'({carry_units, 6'd0}) + 16'(IP_OVERHEAD - 20);
        if (rst) frame_q <= FRAME_NONE;
        else begin
            unique case (frame_q)
                FRAME_NONE: if (s_axis_reply_tvalid && s_axis_reply_tready) frame_q <= FRAME_SIZE;
                FRAME_SIZE:  frame_q <= FRAME_SUM;
                FRAME_SUM:  frame_q <= FRAME_PUSH;
                default: begin
                    if (load && !final_q) frame_q <= FRAME_SIZE;
                    else if (load) frame_q <= (s_axis_reply_tvalid && s_axis_reply_tready) ? FRAME_SIZE : FRAME_NONE;
                end
            endcase
        end
    end

    // -------------------------------------------------------------------------------------------------
    // The 64 bytes of headers
    // -------------------------------------------------------------------------------------------------
    function automatic logic [15:0] swap16(input logic [15:0] value);
        return {value[7:0], value[15:8]};
    endfunction

    function automatic logic [31:0] swap32(input logic [31:0] value);
        return {swap16(value[15:0]), swap16(value[31:16])};
    endfunction

    function automatic logic [47:0] swap48(input logic [47:0] value);
        return {swap16(value[15:0]), swap16(value[31:16]), swap16(value[47:32])};
    endfunction

    frame_t       request;
    header_t      hdr;
    logic [16:0]  fold;
    logic [15:0]  fold_next, checksum;
    logic [511:0] headers;

    assign request  = reply_q.reply.frame;
    assign fold     = 17'(sum_q[15:0]) + 17'(sum_q[19:16]);
    // The carry comes back in at the bottom: both sums are made, it chooses.
    assign fold_next = sum_q[15:0] + 16'(sum_q[19:16]) + 16'd1;
    assign checksum  = ~(fold[16] ? fold_next : fold[15:0]);

    always_comb begin
        hdr                   = '0;
        hdr.magic             = WIRE_MAGIC;
        hdr.version           = WIRE_VERSION;
        hdr.opcode            = opcode_q;
        hdr.flags[FLAG_FINAL] = final_q;
        hdr.dtype             = DTYPE_FP32;
        if ((opcode_q == OPCODE_REPLY || opcode_q == OPCODE_PARTIAL) && request.hdr.dtype == DTYPE_FIXED) begin
            hdr.dtype = DTYPE_FIXED;  // the integers as they are
        end
        hdr.status            = reply_q.status;
        hdr.tenant            = request.hdr.tenant;
        hdr.request_id        = request.hdr.request_id;
        hdr.first_bag         = first_q;
        hdr.bags              = (opcode_q == OPCODE_ERROR) ? request.hdr.bags : count_q;
        hdr.keys              = 16'(first_unit_q);
        hdr.dim               = request.hdr.dim;
        hdr.snapshot          = request.hdr.snapshot;
    end

    always_comb begin
        headers = '0;
        headers[8*0+:48]   = swap48(request.mac_src);   // back to where it came from
        headers[8*6+:48]   = swap48(request.mac_dst);
        headers[8*12+:16]  = swap16(16'h0800);
        headers[8*14+:16]  = swap16(16'h4500);
        headers[8*16+:16]  = swap16(ip_len_q);
        headers[8*18+:16]  = '0;                        // identification: never fragmented
        headers[8*20+:16]  = swap16(16'h4000);
        headers[8*22+:16]  = swap16(16'h4011);
        headers[8*24+:16]  = swap16(checksum);
        headers[8*26+:32]  = swap32(request.ip_dst);
        headers[8*30+:32]  = swap32(request.ip_src);
        headers[8*34+:16]  = swap16(request.port_dst);
        headers[8*36+:16]  = swap16(request.port_src);
        headers[8*38+:16]  = swap16(udp_len_q);
        headers[8*40+:16]  = '0;                        // no UDP checksum
        headers[8*HDR_BYTE+:8*HEADER_BYTES] = header_to_bytes(hdr);
    end

    // -------------------------------------------------------------------------------------------------
    // Slots: what is read or made up in this cycle
    // -------------------------------------------------------------------------------------------------
    typedef enum logic [1:0] {
        SLOT_HEADER = 2'd0,
        SLOT_BLOCK  = 2'd1,
        SLOT_BODY   = 2'd2,
        SLOT_CRC    = 2'd3
    } slot_e;

    slot_e               slot_q, slot_d;
    logic                slot_valid_q;
    logic [IDX_W-1:0]    slot_idx_q;     // bus beat of the headers or the block
    logic [511:0]        slot_headers_q; // what is left of them, shifted
    logic [127:0]        slot_info_q;    // what the block begins with
    logic                slot_block_q, slot_final_q;
    logic [BODY_W-1:0]   slot_left_q;    // bus beats of the vectors
    logic [RSP_W-1:0]    slot_addr_q;
    logic [15:0]         slot_bytes_q;
    logic [3:0]          slot_class_q;
    logic [CREDIT_W-1:0] credit_q;       // free words of the FIFO that no slot will fill
    logic                go, pop, idx_last;

    assign go       = slot_valid_q && credit_q != '0;
    assign idx_last = slot_idx_q == IDX_W'(BPW - 1);
    assign load     = frame_q == FRAME_PUSH && (!slot_valid_q || (go && slot_q == SLOT_CRC));

    always_comb begin
        slot_d = slot_q;
        unique case (slot_q)
            SLOT_HEADER: if (idx_last) slot_d = slot_block_q ? SLOT_BLOCK : (slot_left_q != '0) ? SLOT_BODY : SLOT_CRC;
            SLOT_BLOCK:  if (idx_last) slot_d = (slot_left_q != '0) ? SLOT_BODY : SLOT_CRC;
            SLOT_BODY:   if (slot_left_q == BODY_W'(1)) slot_d = SLOT_CRC;
            default:     slot_d = SLOT_HEADER;
        endcase
    end

    assign rsp_rd_en    = go && slot_q == SLOT_BODY;
    assign rsp_rd_addr  = slot_addr_q;
    assign evt_tx_frame = go && slot_q == SLOT_CRC;
    assign evt_tx_bytes = evt_tx_frame ? slot_bytes_q : '0;
    assign reply_done   = evt_tx_frame && slot_final_q;
    assign evt_tx_reply = reply_done ? slot_class_q : '0;

    always_ff @(posedge clk) begin
        if (load) begin
            slot_headers_q <= headers;
            slot_info_q    <= (opcode_q == OPCODE_ACK) ? {reply_q.reply.seq, reply_q.reply.client}
                                                       : {96'd0, reply_q.count};
            slot_block_q   <= block_q;
            slot_final_q   <= final_q;
            slot_left_q    <= BODY_W'(carry_q) << BPW_W;
            slot_addr_q    <= addr_q;
            slot_bytes_q   <= ip_len_q + 16'd14;
            slot_class_q   <= {opcode_q == OPCODE_ACK, opcode_q == OPCODE_ERROR, opcode_q == OPCODE_PARTIAL,
                               opcode_q == OPCODE_REPLY};
        end else if (go) begin
            if (slot_q == SLOT_HEADER) slot_headers_q <= slot_headers_q >> DATA_W;
            if (slot_q == SLOT_BLOCK) slot_info_q <= '0;  // only the first bus beat is not zero
            if (slot_q == SLOT_BODY) begin
                slot_left_q <= slot_left_q - 1'b1;
                slot_addr_q <= slot_addr_q + 1'b1;
            end
        end
        if (rst) begin
            slot_valid_q <= 1'b0;
            slot_q       <= SLOT_HEADER;
            slot_idx_q   <= '0;
            credit_q     <= CREDIT_W'(FIFO_DEPTH);
        end else begin
            slot_valid_q <= load || (slot_valid_q && !(go && slot_q == SLOT_CRC));
            credit_q     <= credit_q - CREDIT_W'(go) + CREDIT_W'(pop);
            if (go) begin
                slot_q     <= slot_d;
                slot_idx_q <= (slot_d != slot_q) ? '0 : slot_idx_q + 1'b1;
            end
        end
    end

    // -------------------------------------------------------------------------------------------------
    // The reply RAM's two cycles, for what does not come from it as well
    // -------------------------------------------------------------------------------------------------
    typedef struct packed {
        logic valid;
        logic crc;    // the place of the CRC
        logic bad;    // not as it was written to the reply RAM
    } mark_t;

    typedef struct packed {
        mark_t mark;
        logic  body;
        logic  message;  // covered by the CRC
        logic  first;
        logic  last;
    } way_t;

    way_t              way, way_q, way_q2;
    logic [DATA_W-1:0] made, made_q, made_q2;
    mark_t             in_mark, out_mark;
    logic              wrong_q;  // a beat of this frame was
    logic [DATA_W-1:0] out_data;
    logic              crc_valid;
    logic [31:0]       crc, crc_q;

    always_comb begin
        way.mark.valid = go;
        way.mark.crc   = slot_q == SLOT_CRC;
        way.mark.bad   = 1'b0;
        way.body       = slot_q == SLOT_BODY;
        way.message    = go && slot_q != SLOT_CRC && (slot_q != SLOT_HEADER || 32'(slot_idx_q) + 1 > CRC_BEAT);
        way.first      = slot_q == SLOT_HEADER && 32'(slot_idx_q) == CRC_BEAT;
        way.last       = slot_d == SLOT_CRC;
        made           = (slot_q == SLOT_HEADER) ? slot_headers_q[DATA_W-1:0] : DATA_W'(slot_info_q);
    end

    always_ff @(posedge clk) begin
        made_q  <= made;
        made_q2 <= made_q;
        way_q   <= way;
        way_q2  <= way_q;
        if (rst) begin
            way_q  <= '0;
            way_q2 <= '0;
        end
        if (crc_valid) crc_q <= crc;
        if (rst) wrong_q <= 1'b0;
        else if (out_mark.valid) wrong_q <= !out_mark.crc && (wrong_q || out_mark.bad);
        evt_parity <= in_mark.bad && !rst;
    end

    always_comb begin
        in_mark     = way_q2.mark;
        in_mark.bad = way_q2.mark.valid && way_q2.body && rsp_rd_bad;
    end

    embnic_crc32c #(.DATA_W(DATA_W), .FIRST_BYTE(HDR_BYTE % BYTES), .USER_W($bits(mark_t))) u_crc (
        .clk, .rst,
        .in_valid     (way_q2.message),
        .in_first     (way_q2.first),
        .in_last      (way_q2.last),
        .in_words     (($clog2(WORDS + 1))'(WORDS)),
        .in_data      (way_q2.body ? rsp_rd_data : made_q2),
        .in_user      (in_mark),
        .out_data,
        .out_user     (out_mark),
        .out_crc_valid(crc_valid),
        .out_crc      (crc)
    );

    // -------------------------------------------------------------------------------------------------
    // Output
    // -------------------------------------------------------------------------------------------------
    logic                            fifo_ready;
    logic [$clog2(FIFO_DEPTH+4)-1:0] fifo_count;

    embnic_fifo #(.WIDTH(DATA_W + 1), .DEPTH(FIFO_DEPTH), .STYLE(1)) u_fifo (
        .clk, .rst,
        .s_axis_tdata ({out_mark.crc, out_mark.crc ? DATA_W'(crc_q ^ 32'(wrong_q)) : out_data}),
        .s_axis_tvalid(out_mark.valid),
        .s_axis_tready(fifo_ready),
        .m_axis_tdata ({m_axis_tx_tlast, m_axis_tx_tdata}),
        .m_axis_tvalid(m_axis_tx_tvalid),
        .m_axis_tready(m_axis_tx_tready),
        .sts_count    (fifo_count)
    );

    assign pop             = m_axis_tx_tvalid && m_axis_tx_tready;
    assign m_axis_tx_tkeep = m_axis_tx_tlast ? BYTES'(4'hF) : '1;

    // Of the request a reply repeats only some fields, and credits make the FIFO's level uninteresting.
    wire unused = &{1'b0, fifo_count, fifo_ready, reply_q.rsp_addr, reply_q.reply.opcode, reply_q.reply.status,
        reply_q.reply.vec_beats, reply_q.reply.bags, reply_q.reply.dispatching, reply_q.bags, request};

    // Assertions
    logic in_frame_q;
    always_ff @(posedge clk) begin
        if (rst) in_frame_q <= 1'b0;
        else if (pop) in_frame_q <= !m_axis_tx_tlast;
    end

    `EMBNIC_STABLE(tx_stable, m_axis_tx_tvalid, m_axis_tx_tready, {m_axis_tx_tdata, m_axis_tx_tkeep, m_axis_tx_tlast},
        "a beat holds until it is taken")
    `EMBNIC_STABLE(reply_stable, s_axis_reply_tvalid, s_axis_reply_tready, s_axis_reply_tdata,
        "the reply holds until it is taken")
    `EMBNIC_KNOWN(valid_known, m_axis_tx_tvalid, "tvalid is known after reset")
    `EMBNIC_KNOWN(ready_known, s_axis_reply_tready, "tready is known after reset")
    `EMBNIC_NEVER(gap, in_frame_q && !m_axis_tx_tvalid, "a frame has no gaps")
    `EMBNIC_NEVER(overflow, out_mark.valid && !fifo_ready, "a slot finds its word of the FIFO free")
    `EMBNIC_NEVER(credit_range, credit_q > CREDIT_W'(FIFO_DEPTH), "no more credits than words")
    `EMBNIC_COVER(cover_no_credit, slot_valid_q && credit_q == '0, "slots wait for the output")
    `EMBNIC_COVER(cover_cut, frame_q == FRAME_PUSH && load && first_unit_q != '0, "a later piece of a vector")
    `EMBNIC_COVER(cover_split, frame_q == FRAME_PUSH && load && vectors_q != '0, "later vectors of a reply")
endmodule
`default_nettype wire
