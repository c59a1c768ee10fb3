// SPDX-License-Identifier: Apache-2.0
// Binary32 on bit patterns, in integer arithmetic alone.
//
// Meaning  IEEE 754 to nearest even; subnormals are kept, in and out; every NaN that arithmetic makes is kNan. These are the
//          bits of rtl/common/embnic_fp32_*.sv. A vendor's floating-point operators flush subnormals, and a compiler may fuse
//          or reorder `float`: integers do neither, so one text is simulated and synthesised.
#ifndef EMBNIC_FP32_HPP
#define EMBNIC_FP32_HPP

#include <cstdint>

namespace embnic::fp32 {

using Bits = std::uint32_t;

inline constexpr Bits kNan = 0x7FC00000u;
inline constexpr Bits kInf = 0x7F800000u;
inline constexpr Bits kSign = 0x80000000u;
inline constexpr Bits kOne = 0x3F800000u;

// What a sum is rounded to before it is divided.
enum class Storage { FP32, FP16, BF16, BF16_AWAY };

inline constexpr Bits magnitude(Bits x) { return x & ~kSign; }
inline constexpr bool is_nan(Bits x) { return magnitude(x) > kInf; }
inline constexpr bool is_inf(Bits x) { return magnitude(x) == kInf; }
inline constexpr bool is_zero(Bits x) { return magnitude(x) == 0; }

// Leading zeros of a word that is not 0.
inline constexpr int leading_zeros(std::uint64_t x) {
#ifdef __SYNTHESIS__
    int count = 0;
    for (int bit = 63; bit >= 0 && !(x >> bit & 1); bit--) count++;
    return count;
#else
    return __builtin_clzll(x);
#endif
}

// x >> shift; whatever is lost is kept in bit 0.
inline constexpr std::uint64_t shift_jam(std::uint64_t x, int shift) {
    if (shift <= 0) return x;
    if (shift > 63) return x != 0;
    return x >> shift | ((x << (64 - shift)) != 0);
}

// A finite number is man * 2**exp, whatever its sign.
struct Parts {
    std::uint32_t man;
    int exp;
};

inline constexpr Parts parts(Bits x) {
    const int exp = static_cast<int>(x >> 23 & 255);
    return exp ? Parts{(x & 0x7FFFFFu) | 0x800000u, exp - 150} : Parts{x & 0x7FFFFFu, -149};
}

// Round man * 2**exp to nearest even; bit 0 of man may stand for what lies below it.
inline constexpr Bits round_pack(Bits sign, std::uint64_t man, int exp) {
    if (man == 0) return sign;
    const int top = 63 - leading_zeros(man) + exp;
    const int unit = top - 23 < -149 ? -149 : top - 23;
    if (top > 127) return sign | kInf;
    std::uint64_t kept = man;
    if (unit > exp) {
        const int drop = unit - exp;
        if (drop > 63) return sign;  // no caller has more than 63 bits: less than half a unit
        const bool half = (man >> (drop - 1) & 1) != 0;
        const bool lower = drop > 1 && (man << (65 - drop)) != 0;
        kept = man >> drop;
        if (half && (lower || (kept & 1))) kept++;
    } else {
        kept = man << (exp - unit);
    }
    const std::uint32_t biased = static_cast<std::uint32_t>(unit + 149);
    // A normal number's leading one counts the exponent up; a carry out of the fraction does, too.
    const std::uint32_t bits = static_cast<std::uint32_t>(kept) + (biased << 23);
    return sign | (bits >= kInf ? kInf : bits);
}

// a * b + c, rounded once.
inline constexpr Bits fma(Bits a, Bits b, Bits c) {
    const Bits sign = (a ^ b) & kSign;
    if (is_nan(a) || is_nan(b) || is_nan(c)) return kNan;
    if (is_inf(a) || is_inf(b)) {
        if (is_zero(a) || is_zero(b) || (is_inf(c) && (c & kSign) != sign)) return kNan;
        return sign | kInf;
    }
    if (is_inf(c)) return c;
    if (is_zero(a) || is_zero(b)) return is_zero(c) ? sign & c : c;
    Parts x = parts(a), y = parts(b);
    const std::uint64_t exact = static_cast<std::uint64_t>(x.man) * y.man;
    const int lead = leading_zeros(exact) - 2;  // its leading one goes to bit 61
    const std::uint64_t product = exact << lead;
    const int product_exp = x.exp + y.exp - lead;
    if (is_zero(c)) return round_pack(sign, product, product_exp);
    const Parts z = parts(c);
    const int room = leading_zeros(z.man) - 2;
    const std::uint64_t addend = static_cast<std::uint64_t>(z.man) << room;
    const int addend_exp = z.exp - room;
    const Bits addend_sign = c & kSign;
    const int exp = product_exp > addend_exp ? product_exp : addend_exp;
    // What is shifted out lies far below the rounding position, unless nothing is lost.
    const std::uint64_t p = shift_jam(product, exp - product_exp);
    const std::uint64_t q = shift_jam(addend, exp - addend_exp);
    if (sign == addend_sign) return round_pack(sign, p + q, exp);
    if (p == q) return 0;
    return p > q ? round_pack(sign, p - q, exp) : round_pack(addend_sign, q - p, exp);
}

// a * b, rounded once. Normal factors and products need no more than a multiplication.
inline constexpr Bits mul(Bits a, Bits b) {
    const Bits sign = (a ^ b) & kSign;
    const int x_exp = static_cast<int>(a >> 23 & 255), y_exp = static_cast<int>(b >> 23 & 255);
    if (x_exp == 0 || x_exp == 255 || y_exp == 0 || y_exp == 255) return fma(a, b, sign);
    const std::uint64_t product = static_cast<std::uint64_t>((a & 0x7FFFFFu) | 0x800000u) * ((b & 0x7FFFFFu) | 0x800000u);
    const int top = static_cast<int>(product >> 47);
    const int exp = x_exp + y_exp - 127 + top;
    if (exp < 1) return fma(a, b, sign);
    if (exp > 254) return sign | kInf;
    const std::uint32_t man = static_cast<std::uint32_t>(product >> (23 + top));
    const std::uint64_t rest = product & ((std::uint64_t{1} << (23 + top)) - 1), half = std::uint64_t{1} << (22 + top);
    const std::uint32_t up = rest + (man & 1) > half;
    return sign | ((static_cast<std::uint32_t>(exp - 1) << 23) + man + up);
}

// a + b, rounded once. Normal terms need no more than a shift and an addition.
inline constexpr Bits add(Bits a, Bits b) {
    const Bits big = magnitude(a) < magnitude(b) ? b : a, small = magnitude(a) < magnitude(b) ? a : b;
    const int big_exp = static_cast<int>(big >> 23 & 255), small_exp = static_cast<int>(small >> 23 & 255);
    if (big_exp == 255 || small_exp == 0) return fma(kOne, a, b);
    const int apart = big_exp - small_exp;
    if (apart > 26) return big;  // below a quarter of the unit, also of the one below a power of two
    const std::uint64_t x = static_cast<std::uint64_t>((big & 0x7FFFFFu) | 0x800000u) << 26;
    const std::uint64_t y = static_cast<std::uint64_t>((small & 0x7FFFFFu) | 0x800000u) << (26 - apart);
    const std::uint64_t mask = std::uint64_t{0} - ((a ^ b) >> 31);  // all ones: subtract
    const std::uint64_t sum = x + ((y ^ mask) - mask);
    if (sum == 0) return 0;
    const int top = 63 - leading_zeros(sum), exp = big_exp + top - 49, drop = top - 23;
    if (exp < 1 || exp > 254 || drop < 1) return round_pack(big & kSign, sum, big_exp - 176);
    const std::uint32_t man = static_cast<std::uint32_t>(sum >> drop);
    const std::uint64_t rest = sum & ((std::uint64_t{1} << drop) - 1), half = std::uint64_t{1} << (drop - 1);
    const std::uint32_t up = rest + (man & 1) > half;
    return (big & kSign) | ((static_cast<std::uint32_t>(exp - 1) << 23) + man + up);
}

// a > b, ordered: false when either is a NaN; +0 and -0 are equal.
inline constexpr bool greater(Bits a, Bits b) {
    if (is_nan(a) || is_nan(b) || (is_zero(a) && is_zero(b))) return false;
    if ((a ^ b) & kSign) return (b & kSign) != 0;
    return (a & kSign) ? a < b : a > b;
}

inline constexpr Bits from_uint(std::uint32_t n) { return round_pack(0, n, 0); }

// The nearest number of a storage type, as binary32.
inline constexpr Bits narrow(Bits a, Storage storage) {
    if (storage == Storage::FP32 || is_nan(a) || is_inf(a) || is_zero(a)) return a;
    if (storage != Storage::FP16) {
        const std::uint32_t up = storage == Storage::BF16_AWAY ? 0x8000u : 0x7FFFu + (a >> 16 & 1);
        return (a + up) & 0xFFFF0000u;
    }
    const Parts x = parts(a);
    const int top = 63 - leading_zeros(x.man) + x.exp;
    const int drop = (top - 10 < -24 ? -24 : top - 10) - x.exp;
    if (drop <= 0) return a;
    std::uint32_t kept = 0;
    if (drop <= 24) {
        kept = x.man >> drop;
        const std::uint32_t rest = x.man & ((1u << drop) - 1), half = 1u << (drop - 1);
        if (rest > half || (rest == half && (kept & 1))) kept++;
    }
    const Bits rounded = round_pack(a & kSign, kept, x.exp + drop);
    return magnitude(rounded) >= 0x47800000u ? (a & kSign) | kInf : rounded;  // 2**16
}

// a / b, rounded once.
inline constexpr Bits div(Bits a, Bits b) {
    const Bits sign = (a ^ b) & kSign;
    if (is_nan(a) || is_nan(b) || (is_inf(a) && is_inf(b)) || (is_zero(a) && is_zero(b))) return kNan;
    if (is_inf(a) || is_zero(b)) return sign | kInf;
    if (is_zero(a) || is_inf(b)) return sign;
    const Parts x = parts(a), y = parts(b);
    const int lead = leading_zeros(x.man), room = leading_zeros(y.man) - 40;  // y's leading one goes to bit 23
    const std::uint64_t dividend = static_cast<std::uint64_t>(x.man) << lead;
    const std::uint64_t divisor = static_cast<std::uint64_t>(y.man) << room;
    const std::uint64_t quotient = dividend / divisor, rest = dividend % divisor;
    return round_pack(sign, quotient << 1 | (rest != 0), x.exp - lead - (y.exp - room) - 1);
}

// The mean of a sum: both rounded to the storage type first, the quotient fp32.
inline constexpr Bits mean(Bits sum, std::uint32_t count, Storage storage) {
    if (is_nan(sum)) return kNan;
    const Storage divisor = storage == Storage::BF16_AWAY ? Storage::BF16 : storage;
    return div(narrow(sum, storage), narrow(from_uint(count), divisor));
}

// Square root, rounded once: of a negative number kNan, of -0 -0.
inline constexpr Bits sqrt(Bits a) {
    if (is_nan(a)) return kNan;
    if (is_zero(a)) return a;
    if (a & kSign) return kNan;
    if (is_inf(a)) return a;
    const Parts x = parts(a);
    int lead = leading_zeros(x.man) - 2;
    if ((x.exp - lead) & 1) lead--;
    const std::uint64_t square = static_cast<std::uint64_t>(x.man) << lead;  // in [2**60, 2**62)
    std::uint64_t root = 0, left = square;
    for (int bit = 30; bit >= 0; bit--) {
        const std::uint64_t trial = (root << 1 | std::uint64_t{1} << bit) << bit;
        if (trial <= left) {
            left -= trial;
            root |= std::uint64_t{1} << bit;
        }
    }
    return round_pack(0, root << 1 | (left != 0), (x.exp - lead) / 2 - 1);
}

}  // namespace embnic::fp32

#endif  // EMBNIC_FP32_HPP
