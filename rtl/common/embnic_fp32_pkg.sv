// SPDX-License-Identifier: Apache-2.0
// What the binary32 units share: leading-zero counts, the ordered compare, rounding and packing.
`default_nettype none
package embnic_fp32_pkg;
    localparam logic [31:0] FP32_NAN = 32'h7fc0_0000;  // the only NaN that arithmetic makes
    localparam logic [30:0] FP32_INF = 31'h7f80_0000;  // magnitude of infinity

    // A type that a binary32 number is rounded to, and how ties go.
    typedef enum logic [1:0] {
        ROUND_FP32      = 2'd0,  // it stays as it is
        ROUND_FP16      = 2'd1,  // binary16, to even
        ROUND_BF16      = 2'd2,  // bfloat16, to even
        ROUND_BF16_AWAY = 2'd3   // bfloat16, away from zero
    } fp32_round_e;

    // A product before rounding: normalised (bit 47 of the fraction is one), or at exponent 1.
    typedef struct packed {
        logic        sign;
        logic        nan;
        logic        inf;  // a factor is infinite
        logic [8:0]  exp;  // biased, 1 .. 382; of bit 47
        logic [47:0] man;
        logic        jam;  // something lies below
    } fp32_product_t;

    // Leading zeros of four bits, 3 when all are zero; so the lowest bit does not matter.
    function automatic logic [1:0] lzc4(logic [3:1] x);
        return {!(x[3] || x[2]), !(x[3] || (!x[2] && x[1]))};
    endfunction

    // Leading zeros of 16 bits, 15 when all are zero. A tree: three LUT levels.
    function automatic logic [3:0] lzc16(logic [15:1] x);
        logic [1:0] nibble, position;
        nibble = lzc4({|x[15:12], |x[11:8], |x[7:4]});
        unique case (nibble)
            2'd0:    position = lzc4(x[15:13]);
            2'd1:    position = lzc4(x[11:9]);
            2'd2:    position = lzc4(x[7:5]);
            default: position = lzc4(x[3:1]);
        endcase
        return {nibble, position};
    endfunction

    // Leading zeros of 32 bits, 31 when all are zero.
    function automatic logic [4:0] lzc32(logic [31:1] x);
        return (x[31:16] != '0) ? {1'b0, lzc16(x[31:17])} : {1'b1, lzc16(x[15:1])};
    endfunction

    // Leading zeros of 64 bits, 63 when all are zero.
    function automatic logic [5:0] lzc64(logic [63:1] x);
        logic [1:0] group;
        logic [3:0] position;
        group = lzc4({|x[63:48], |x[47:32], |x[31:16]});
        unique case (group)
            2'd0:    position = lzc16(x[63:49]);
            2'd1:    position = lzc16(x[47:33]);
            2'd2:    position = lzc16(x[31:17]);
            default: position = lzc16(x[15:1]);
        endcase
        return {group, position};
    endfunction

    // Of a number without its sign. No compare: a carry chain would take four times the LUTs.
    function automatic logic fp32_is_nan(logic [30:0] x);
        return x[30:23] == '1 && x[22:0] != '0;
    endfunction

    // Exponent of the grid: subnormals share the one of the smallest normal numbers.
    function automatic logic [7:0] fp32_grid_exp(logic [7:0] exp);
        return {exp[7:1], exp[0] || exp == '0};
    endfunction

    // Round and pack a fraction that is normalised, or at exponent 1. A carry out of the fraction
    // counts the exponent up, out of a subnormal too.
    function automatic logic [30:0] fp32_pack(logic [8:0] exp, logic [23:0] man, logic up);
        if (man[23] && exp >= 9'd255) return FP32_INF;
        return {man[23] ? exp[7:0] : 8'd0, man[22:0]} + 31'(up);
    endfunction

    // x > y of int32, or as an ordered compare of binary32: false when either is a NaN; +0 and -0 are
    // equal. One carry chain serves both.
    function automatic logic fp32_or_int_greater(logic [31:0] x, logic [31:0] y, logic integers);
        logic above, same, zeros, nans, greater;
        above = x[30:0] > y[30:0];
        same  = x[30:0] == y[30:0];
        zeros = (x[30:0] | y[30:0]) == '0;
        nans  = fp32_is_nan(x[30:0]) || fp32_is_nan(y[30:0]);
        if (x[31] != y[31]) greater = y[31] && (integers || !zeros);
        else                greater = (x[31] && !integers) ? !above && !same : above;
        return greater && (integers || !nans);
    endfunction

    function automatic logic fp32_greater(logic [31:0] x, logic [31:0] y);
        return fp32_or_int_greater(x, y, 1'b0);
    endfunction
endpackage
`default_nettype wire
