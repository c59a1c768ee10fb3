// SPDX-License-Identifier: Apache-2.0
// Computes the CRC32C of a message that passes by on a wide bus, and delays the bus so that message and CRC leave together.
//
// Order       as received; beats of different messages do not mix, a message may have gaps.
// Latency     LATENCY = 4 + log2(DATA_W / 32) cycles from any input to the output of its beat; fixed, cannot stall.
// Throughput  one beat per cycle; a message may begin in the cycle after another's last beat, or be a single beat.
// Errors      a message without a last beat is forgotten when the next one begins.
// Not handled messages of less than 4 bytes, that do not begin at FIRST_BYTE of their first beat, or do not end on a
//             4-byte boundary of the bus.
//
// How: the CRC is linear over GF(2), so a beat's share is an XOR tree without feedback and may be pipelined; the loop is
// one 32 x 32 matrix, state <= ADVANCE(state) ^ share. The bytes before the message are zeroed: from state zero they
// change nothing, so the initial value is XORed into the message's first four bytes instead of being loaded. The bytes
// after it are zeroed as well, and their effect is taken back behind the loop (the matrix can be inverted), in steps of
// 1, 2, 4, ... words.
`default_nettype none
`include "embnic_assert.svh"
module embnic_crc32c
    import embnic_wire_pkg::*;
#(
    parameter int unsigned DATA_W     = 512,  // bits of a beat: 64, 128, 256 or 512
    parameter int unsigned FIRST_BYTE = 42,   // where in its first beat a message begins; even
    parameter int unsigned USER_W     = 1,    // bits that travel with every cycle, valid or not; cleared by rst
    localparam int unsigned WORDS     = DATA_W / 32,
    localparam int unsigned CNT_W     = $clog2(WORDS + 1)
) (
    input  wire logic              clk,
    input  wire logic              rst,
    input  wire logic              in_valid,       // this beat belongs to a message
    input  wire logic              in_first,       // its first beat
    input  wire logic              in_last,        // its last beat; may be the first
    input  wire logic [CNT_W-1:0]  in_words,       // last beat: 32-bit words up to the message's end, 1 .. WORDS
    input  wire logic [DATA_W-1:0] in_data,        // byte 0 in bits 7:0
    input  wire logic [USER_W-1:0] in_user,
    output      logic [DATA_W-1:0] out_data,       // in_data, LATENCY cycles later
    output      logic [USER_W-1:0] out_user,       // in_user, LATENCY cycles later
    output      logic              out_crc_valid,  // this beat was the last of a message
    output      logic [31:0]       out_crc         // its CRC, final XOR included
);
    localparam int unsigned BYTES   = DATA_W / 8;
    localparam int unsigned UNDOS   = $clog2(WORDS);
    localparam int unsigned LATENCY = 4 + UNDOS;
    localparam int unsigned GROUPS  = DATA_W / 64;  // XOR trees that are registered on their own

    if (DATA_W != 64 && DATA_W != 128 && DATA_W != 256 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 64, 128, 256 or 512");
    end
    if (FIRST_BYTE % 2 != 0 || FIRST_BYTE + 4 > BYTES) begin : gen_bad_first_byte
        $fatal(1, "FIRST_BYTE must be even, and four bytes of the message must fit its first beat");
    end
    if (USER_W < 1) begin : gen_bad_user_w
        $fatal(1, "USER_W must be at least 1");
    end

    // -------------------------------------------------------------------------------------------------
    // Matrices; row k holds the input bits whose XOR is output bit k
    // -------------------------------------------------------------------------------------------------

    // One zero bit into the reflected register, and back.
    function automatic logic [31:0] step(input logic [31:0] state);
        return (state >> 1) ^ (state[0] ? CRC_POLY : 32'd0);
    endfunction

    function automatic logic [31:0] unstep(input logic [31:0] state);
        return ((state ^ (state[31] ? CRC_POLY : 32'd0)) << 1) | 32'(state[31]);
    endfunction

    // The share of the beat's 64-bit group `group`.
    function automatic logic [31:0][63:0] group_rows(input int unsigned group);
        logic [31:0][63:0] rows;
        logic [31:0]       column;
        rows   = '0;
        column = 32'd1;
        for (int i = int'(DATA_W) - 1; i >= int'(64 * group); i--) begin
            column = step(column);
            if (i < int'(64 * group + 64)) begin
                for (int unsigned k = 0; k < 32; k++) rows[k][i%64] = column[k];
            end
        end
        return rows;
    endfunction

    // Takes back `bits` zero bits.
    function automatic logic [31:0][31:0] undo_rows(input int unsigned bits);
        logic [31:0][31:0] rows;
        logic [31:0]       column;
        rows = '0;
        for (int unsigned i = 0; i < 32; i++) begin
            column = 32'd1 << i;
            for (int unsigned n = 0; n < bits; n++) column = unstep(column);
            for (int unsigned k = 0; k < 32; k++) rows[k][i] = column[k];
        end
        return rows;
    endfunction

    // The state enters with the first 32 bits of the next beat: the advance over a beat is the share of these.
    localparam logic [31:0][63:0] ADVANCE_ROWS = group_rows(0);
    localparam logic [DATA_W-1:0] FIRST_MASK   = {DATA_W{1'b1}} << (8 * FIRST_BYTE);
    localparam logic [DATA_W-1:0] FIRST_XOR    = DATA_W'(CRC_INIT) << (8 * FIRST_BYTE);

    // -------------------------------------------------------------------------------------------------
    // 1: only the message, with the initial value
    // -------------------------------------------------------------------------------------------------
    logic [DATA_W-1:0] mask_data_q, mask_data_d;
    logic              mask_valid_q, mask_first_q, mask_last_q;
    logic [UNDOS-1:0]  mask_pad_q;  // zeroed words behind the message's end

    always_comb begin
        mask_data_d = in_data;
        if (in_first) mask_data_d = (in_data & FIRST_MASK) ^ FIRST_XOR;
        for (int unsigned w = 0; w < WORDS; w++) begin
            if (in_last && CNT_W'(w) >= in_words) mask_data_d[32*w+:32] = '0;
        end
    end

    // -------------------------------------------------------------------------------------------------
    // 2, 3: the beat's share
    // -------------------------------------------------------------------------------------------------
    logic [GROUPS-1:0][31:0] group_q, group_d;
    logic                    group_valid_q, group_first_q, group_last_q;
    logic [UNDOS-1:0]        group_pad_q;
    logic [31:0]             share_q, share_d;
    logic                    share_valid_q, share_first_q, share_last_q;
    logic [UNDOS-1:0]        share_pad_q;

    for (genvar g = 0; g < int'(GROUPS); g++) begin : gen_group
        localparam logic [31:0][63:0] ROWS = group_rows(g);
        logic [63:0] chunk;
        assign chunk = mask_data_q[64*g+:64];
        always_comb begin
            for (int unsigned k = 0; k < 32; k++) group_d[g][k] = ^(chunk & ROWS[k]);
        end
    end

    always_comb begin
        share_d = '0;
        for (int unsigned g = 0; g < GROUPS; g++) share_d ^= group_q[g];
    end

    // -------------------------------------------------------------------------------------------------
    // 4: the loop
    // -------------------------------------------------------------------------------------------------
    logic [31:0]      state_q, state_d;
    logic             state_last_q;
    logic [UNDOS-1:0] state_pad_q;

    always_comb begin
        state_d = share_q;
        if (!share_first_q) begin
            for (int unsigned k = 0; k < 32; k++) state_d[k] = share_q[k] ^ (^(state_q & ADVANCE_ROWS[k][31:0]));
        end
    end

    always_ff @(posedge clk) begin
        if (in_valid) begin
            mask_data_q  <= mask_data_d;
            mask_first_q <= in_first;
            mask_pad_q   <= UNDOS'(CNT_W'(WORDS) - in_words);  // used with in_last
        end
        if (mask_valid_q) begin
            group_q       <= group_d;
            group_first_q <= mask_first_q;
            group_pad_q   <= mask_pad_q;
        end
        if (group_valid_q) begin
            share_q       <= share_d;
            share_first_q <= group_first_q;
            share_pad_q   <= group_pad_q;
        end
        if (share_valid_q) begin
            state_q     <= state_d;
            state_pad_q <= share_pad_q;
        end
        if (rst) begin
            mask_valid_q  <= 1'b0;
            mask_last_q   <= 1'b0;
            group_valid_q <= 1'b0;
            group_last_q  <= 1'b0;
            share_valid_q <= 1'b0;
            share_last_q  <= 1'b0;
            state_last_q  <= 1'b0;
        end else begin
            mask_valid_q  <= in_valid;
            mask_last_q   <= in_valid && in_last;
            group_valid_q <= mask_valid_q;
            group_last_q  <= mask_last_q;
            share_valid_q <= group_valid_q;
            share_last_q  <= group_last_q;
            state_last_q  <= share_last_q;
        end
    end

    // -------------------------------------------------------------------------------------------------
    // 5 ..: take the zeroed words back
    // -------------------------------------------------------------------------------------------------
    logic [UNDOS:0][31:0]      undo_crc;
    logic [UNDOS:0][UNDOS-1:0] undo_pad;
    logic [UNDOS:0]            undo_last;

    assign undo_crc[0]  = state_q;
    assign undo_pad[0]  = state_pad_q;
    assign undo_last[0] = state_last_q;

    for (genvar n = 0; n < int'(UNDOS); n++) begin : gen_undo
        localparam logic [31:0][31:0] ROWS = undo_rows(32 << n);
        logic [31:0]      crc_q, crc_d;
        logic [UNDOS-1:0] pad_q;
        logic             last_q;

        always_comb begin
            crc_d = undo_crc[n];
            if (undo_pad[n][n]) begin
                for (int unsigned k = 0; k < 32; k++) crc_d[k] = ^(undo_crc[n] & ROWS[k]);
            end
        end

        always_ff @(posedge clk) begin
            crc_q  <= crc_d;
            pad_q  <= undo_pad[n];
            last_q <= !rst && undo_last[n];
        end

        assign undo_crc[n+1]  = crc_q;
        assign undo_pad[n+1]  = pad_q;
        assign undo_last[n+1] = last_q;
    end

    assign out_crc       = undo_crc[UNDOS] ^ CRC_XOROUT;
    assign out_crc_valid = undo_last[UNDOS];

    // The last stage has no more use for it.
    wire unused = &{1'b0, undo_pad[UNDOS]};

    // -------------------------------------------------------------------------------------------------
    // The bus, delayed. A ring in distributed RAM: one write and one read a cycle, however wide the bus.
    // -------------------------------------------------------------------------------------------------
    localparam int unsigned RING = 16;  // > LATENCY
    logic [$clog2(RING)-1:0] ring_ptr_q;

    always_ff @(posedge clk) begin
        if (rst) ring_ptr_q <= '0;
        else ring_ptr_q <= ring_ptr_q + 1'b1;
    end

    embnic_ram_1r1w #(.WIDTH(DATA_W), .DEPTH(RING), .STYLE(1)) u_ring (
        .clk,
        .wr_en  (1'b1),
        .wr_addr(ring_ptr_q),
        .wr_data(in_data),
        .rd_en  (1'b1),
        .rd_addr(ring_ptr_q - ($clog2(RING))'(LATENCY - 1)),
        .rd_data(out_data)
    );

    embnic_delay #(.WIDTH(USER_W), .CYCLES(LATENCY), .RESET(1'b1)) u_user (
        .clk, .rst, .in(in_user), .out(out_user)
    );

    // Assertions
    `EMBNIC_KNOWN(valid_known, in_valid, "in_valid is known after reset")
    `EMBNIC_ASSUME(words_range, !(in_valid && in_last) || (in_words >= 1 && in_words <= CNT_W'(WORDS)),
        "the last beat holds 1 .. WORDS words")
    `EMBNIC_COVER(single_beat, in_valid && in_first && in_last, "a message of one beat")
    `EMBNIC_COVER(full_last, in_valid && in_last && in_words == CNT_W'(WORDS), "nothing to take back")
endmodule
`default_nettype wire
