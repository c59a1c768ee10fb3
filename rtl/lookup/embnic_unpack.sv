// SPDX-License-Identifier: Apache-2.0
// Makes vector beats of 32-bit lanes from bus beats as they are stored, and keeps the scale and
// bias of quantised rows.
//
// Meaning        a bus beat holds 2**dtype_expand(dtype) chunks; `sub` says which one is meant.
//                fp32, fixed: as it is. fp16, bf16: widened, exactly; NaNs keep their payload.
//                int8, int4: 0 .. 255 or 0 .. 15 as fp32; the lower half of a byte is the first
//                element. What is no row: as it is, whatever dtype.
//                header: bits 31:0 are the row's scale and bits 63:32 its bias, fp32. They go out
//                with this and every later beat of the slot. A bare beat has nothing else and ends
//                here.
// Order          as received.
// Back-pressure  none.
// Latency        2 cycles.
// Throughput     one beat per cycle. The lines of rows of different slots may alternate.
// Not handled    scale and bias of rows that are not quantised mean nothing.
//
//   1 choose the chunk | 2 widen
`default_nettype none
`include "embnic_assert.svh"
module embnic_unpack
    import embnic_wire_pkg::*;
    import embnic_pkg::*;
    import embnic_fp32_pkg::*;
#(
    parameter int unsigned DATA_W = 512,  // bits of a beat: a power of two, 64 to 512
    parameter int unsigned SLOTS  = 32    // open bags, 1 to 64
) (
    input  wire logic                     clk,
    input  wire logic                     rst,
    input  wire logic                     beat_valid,
    input  wire logic [$bits(beat_t)-1:0] beat_info,  // beat_t
    input  wire logic [DATA_W-1:0]        beat_data,  // as stored
    output      logic                     vec_valid,
    output      logic [$bits(beat_t)-1:0] vec_info,   // beat_t, as it came
    output      logic [DATA_W-1:0]        vec_data,   // fp32 lanes; int32 of a fixed row
    output      logic [31:0]              vec_scale,  // of a quantised row
    output      logic [31:0]              vec_bias,
    output      logic                     sts_idle    // nothing is under way
);
    localparam int unsigned LANES  = DATA_W / 32;
    localparam int unsigned DEPTH  = (SLOTS < 2) ? 2 : SLOTS;
    localparam int unsigned IDX_W  = $clog2(DEPTH);

    if (DATA_W < 64 || DATA_W > 512 || (DATA_W & (DATA_W - 1)) != 0) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be a power of two, 64 to 512");
    end
    if (SLOTS < 1 || SLOTS > (1 << SLOT_W)) begin : gen_bad_slots
        $fatal(1, "SLOTS must be 1 to 64");
    end

    beat_t      info, s1_info_q;
    logic       s1_valid_q, is_row;
    logic [1:0] expand;          // of this beat's data
    logic       s1_half_q;       // binary16
    logic       s1_int_q;

    assign info   = beat_t'(beat_info);
    assign is_row = !(info.load || info.flush || info.combine || info.fetch);
    assign expand = is_row ? dtype_expand(info.dtype) : 2'd0;

    always_ff @(posedge clk) begin
        s1_info_q <= info;
        s1_half_q <= expand == 2'd1 && info.dtype == DTYPE_FP16;
        s1_int_q  <= expand >= 2'd2;
        vec_info  <= s1_info_q;
        if (rst) begin
            s1_valid_q <= 1'b0;
            vec_valid  <= 1'b0;
        end else begin
            s1_valid_q <= beat_valid && !info.bare;
            vec_valid  <= s1_valid_q;
        end
    end

    assign sts_idle = !beat_valid && !s1_valid_q && !vec_valid;

    // Scale and bias. The header's own beat does not wait for the RAM.
    logic [63:0] kept, s1_header_q;

    embnic_ram_1r1w #(.WIDTH(64), .DEPTH(DEPTH), .STYLE(1)) u_headers (
        .clk,
        .wr_en  (beat_valid && info.header),
        .wr_addr(info.slot[IDX_W-1:0]),
        .wr_data(beat_data[63:0]),
        .rd_en  (beat_valid),
        .rd_addr(info.slot[IDX_W-1:0]),
        .rd_data(kept)
    );

    always_ff @(posedge clk) begin
        if (beat_valid && info.header) s1_header_q <= beat_data[63:0];
        {vec_bias, vec_scale} <= s1_info_q.header ? s1_header_q : kept;
    end

    for (genvar lane = 0; lane < int'(LANES); lane++) begin : gen_lane
        // Stage 1. A narrow float takes the upper half of the word: so bf16 is done. An integer
        // takes the place of the fraction of a binary16.
        logic [31:0] word, s1_word_q;
        logic [15:0] half;
        logic [7:0]  quarter;
        logic [3:0]  eighth;

        assign half    = beat_data[(32'(info.sub[0]) * LANES + 32'(lane)) * 16 +: 16];
        assign quarter = beat_data[(32'(info.sub[1:0]) * LANES + 32'(lane)) * 8 +: 8];
        assign eighth  = beat_data[(32'(info.sub) * LANES + 32'(lane)) * 4 +: 4];

        always_comb begin
            unique case (expand)
                2'd1:    word = {half, 16'd0};
                2'd2:    word = {8'd0, quarter, 16'd0};
                2'd3:    word = {12'd0, eighth, 16'd0};
                default: word = beat_data[lane*32+:32];
            endcase
        end

        // Stage 2. A binary16 subnormal and an integer are both 10 bits of fixed point.
        logic [4:0]  exp;
        logic [9:0]  fraction;
        logic [8:0]  normal;       // without its leading one
        logic [3:0]  lead;         // leading zeros of the fraction
        logic        fixed_point;
        logic [7:0]  wide_exp;

        assign exp         = s1_word_q[30:26];
        assign fraction    = s1_word_q[25:16];
        assign lead        = lzc16({fraction, 5'd0});
        assign fixed_point = s1_int_q || exp == '0;
        assign normal      = 9'(fraction << lead);

        always_comb begin
            if (!fixed_point)        wide_exp = (exp == '1) ? 8'd255 : 8'(exp) + 8'd112;
            else if (fraction == '0) wide_exp = '0;
            else                     wide_exp = (s1_int_q ? 8'd136 : 8'd112) - 8'(lead);
        end

        always_ff @(posedge clk) begin
            if (beat_valid) s1_word_q <= word;
            if (s1_valid_q) begin
                vec_data[lane*32+:32] <= s1_word_q;
                if (s1_half_q || s1_int_q) begin
                    vec_data[lane*32+:32] <= {s1_word_q[31], wide_exp,
                                              fixed_point ? {normal, 1'b0} : fraction, 13'd0};
                end
            end
        end
    end

    // Assertions
    `EMBNIC_KNOWN(valid_known, vec_valid, "vec_valid is known after reset")
    `EMBNIC_NEVER(slot_range, beat_valid && 32'(info.slot) >= SLOTS, "slot is below SLOTS")
    `EMBNIC_NEVER(header_of_floats, beat_valid && (info.header || info.bare)
                  && !(dtype_quantised(info.dtype) && is_row),
                  "only quantised rows have a header")
    `EMBNIC_NEVER(bare_without_header, beat_valid && info.bare && !info.header,
                  "a bare beat is a header")
    `EMBNIC_NEVER(no_such_chunk, beat_valid && (info.sub >> expand) != '0,
                  "sub is below the chunks of a bus beat")
    `EMBNIC_COVER(header_again, beat_valid && info.header && s1_valid_q && s1_info_q.header,
                  "two headers follow each other")
endmodule
`default_nettype wire
