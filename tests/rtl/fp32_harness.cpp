// SPDX-License-Identifier: Apache-2.0
// Runs the binary32 units against two references: the processor's own arithmetic and exact integers.
//
// Built four times by test_fp32.py: with HARNESS_FMA, HARNESS_ADD, HARNESS_MUL around embnic_fp32_fma, _add, _mul, and with
// HARNESS_DIV around embnic_fp32_div_uint. Sums and products take the operands of the fused strata: the sum that of a rounded
// product and an addend, the product its factors.
//   fp32_harness --count N [--seed S] [--break K]
// First every combination of the special values below, then N operations drawn from the strata in turn. The numbers of
// operations per stratum are printed. --break K falsifies the K-th expectation: the run must then fail. Exit: 0 all equal, 1 not.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "verilated.h"
#if defined(HARNESS_FMA)
#include "Vembnic_fp32_fma.h"
using Model = Vembnic_fp32_fma;
#elif defined(HARNESS_ADD)
#include "Vembnic_fp32_add.h"
using Model = Vembnic_fp32_add;
#elif defined(HARNESS_MUL)
#include "Vembnic_fp32_mul.h"
using Model = Vembnic_fp32_mul;
#else
#include "Vembnic_fp32_div_uint.h"
using Model = Vembnic_fp32_div_uint;
#endif

namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;
using u128 = unsigned __int128;

constexpr u32 kNan = 0x7fc00000;

float as_float(u32 bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

u32 as_bits(float value) {
    u32 bits;
    std::memcpy(&bits, &value, 4);
    return std::isnan(value) ? kNan : bits;
}

// Random numbers: splitmix64, so that a seed means the same everywhere.
class Random {
public:
    explicit Random(u64 seed) : state_(seed) {}
    u64 next() {
        u64 z = (state_ += 0x9e3779b97f4a7c15ull);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
    }
    int range(int low, int high) { return low + static_cast<int>(next() % static_cast<u64>(high - low + 1)); }
    u32 bits(int n) { return static_cast<u32>(next() >> (64 - n)); }
    bool coin() { return (next() >> 63) != 0; }

private:
    u64 state_;
};

u32 make(bool sign, int exp, u32 frac) {
    return (static_cast<u32>(sign) << 31) | (static_cast<u32>(exp) << 23) | (frac & 0x7fffff);
}

int clamp_exp(int exp) { return exp < 0 ? 0 : exp > 254 ? 254 : exp; }

// A finite number is man * 2^exp.
struct Parts {
    bool sign;
    u64 man;
    int exp;
};

Parts unpack(u32 x) {
    const int exp = static_cast<int>(x >> 23 & 255);
    const u64 frac = x & 0x7fffff;
    return {(x >> 31) != 0, exp == 0 ? frac : frac | 0x800000, (exp == 0 ? 1 : exp) - 150};
}

bool is_nan(u32 x) { return (x & 0x7fffffff) > 0x7f800000; }
bool is_inf(u32 x) { return (x & 0x7fffffff) == 0x7f800000; }
bool is_zero(u32 x) { return (x & 0x7fffffff) == 0; }

// Round (man + (sticky ? something below its lowest bit : 0)) * 2^exp to nearest even; man is not 0 or sticky is set.
u32 round_pack(bool sign, u128 man, int exp, bool sticky) {
    int top = -1;
    for (u128 rest = man; rest != 0; rest >>= 1) top++;
    const int lowest = top + exp - 23 > -149 ? top + exp - 23 : -149;  // weight of the result's lowest bit
    const int drop = lowest - exp;
    u64 kept;
    bool guard = false;
    if (drop <= 0) {
        kept = static_cast<u64>(man) << -drop;
    } else if (drop > 127) {
        kept = 0;
        sticky = sticky || man != 0;
    } else {
        kept = static_cast<u64>(man >> drop);
        guard = (man >> (drop - 1) & 1) != 0;
        sticky = sticky || (man & ((static_cast<u128>(1) << (drop - 1)) - 1)) != 0;
    }
    if (guard && (sticky || (kept & 1))) kept++;
    // kept < 2^24 is a subnormal or normal fraction at `lowest`; the encoding is linear in it.
    u64 encoded = kept;
    if (lowest > -149) encoded += static_cast<u64>(lowest + 149) << 23;
    if (encoded >= 0x7f800000) encoded = 0x7f800000;
    return (static_cast<u32>(sign) << 31) | static_cast<u32>(encoded);
}

#ifndef HARNESS_DIV

// Whole numbers of 640 bits: every a * b + c is one, in units of 2^-298.
class Wide {
public:
    static constexpr int kWords = 10;
    Wide(u64 man, int shift) {
        const int word = shift / 64, bit = shift % 64;
        words_[word] = man << bit;
        if (bit != 0 && word + 1 < kWords) words_[word + 1] = man >> (64 - bit);
    }
    bool less(const Wide& other) const {
        for (int i = kWords - 1; i >= 0; i--)
            if (words_[i] != other.words_[i]) return words_[i] < other.words_[i];
        return false;
    }
    void add(const Wide& other) {
        u128 carry = 0;
        for (int i = 0; i < kWords; i++) {
            carry += static_cast<u128>(words_[i]) + other.words_[i];
            words_[i] = static_cast<u64>(carry);
            carry >>= 64;
        }
    }
    void subtract(const Wide& other) {
        u64 borrow = 0;
        for (int i = 0; i < kWords; i++) {
            const u128 difference = static_cast<u128>(words_[i]) - other.words_[i] - borrow;
            words_[i] = static_cast<u64>(difference);
            borrow = static_cast<u64>(difference >> 64) & 1;
        }
    }
    bool zero() const {
        for (u64 word : words_)
            if (word != 0) return false;
        return true;
    }
    u32 round(bool sign) const {
        int top = kWords - 1;
        while (top > 0 && words_[top] == 0) top--;
        const u128 man = static_cast<u128>(words_[top]) << 64 | (top > 0 ? words_[top - 1] : 0);
        bool sticky = false;
        for (int i = 0; i < top - 1; i++) sticky = sticky || words_[i] != 0;
        return round_pack(sign, man, 64 * (top - 1) - 298, sticky);
    }

private:
    u64 words_[kWords] = {};
};

u32 exact_fma(u32 a, u32 b, u32 c) {
    if (is_nan(a) || is_nan(b) || is_nan(c)) return kNan;
    const bool sign = ((a ^ b) >> 31) != 0;
    if (is_inf(a) || is_inf(b)) {
        if (is_zero(a) || is_zero(b)) return kNan;
        if (is_inf(c) && (c >> 31 != 0) != sign) return kNan;
        return make(sign, 255, 0);
    }
    if (is_inf(c)) return c;
    const Parts x = unpack(a), y = unpack(b), z = unpack(c);
    Wide product(x.man * y.man, x.exp + y.exp + 298), addend(z.man, z.exp + 298);
    if (sign == z.sign) {
        product.add(addend);
        return product.zero() ? make(sign, 0, 0) : product.round(sign);
    }
    if (product.less(addend)) {
        addend.subtract(product);
        return addend.round(z.sign);
    }
    product.subtract(addend);
    return product.zero() ? 0 : product.round(sign);
}

constexpr u32 kOne = 0x3f800000;

struct Operation {
    bool round_product;
    u32 a, b, c;
};

// The product alone; adding a zero of its own sign keeps the sign of a zero product.
u32 exact_product(u32 a, u32 b) { return exact_fma(a, b, (a ^ b) & 0x80000000); }

float hardware_product(u32 a, u32 b) {
    const volatile float product = as_float(a) * as_float(b);
    return product;
}

#if defined(HARNESS_FMA)
u32 exact(const Operation& op) {
    if (!op.round_product) return exact_fma(op.a, op.b, op.c);
    return exact_fma(kOne, exact_product(op.a, op.b), op.c);
}

u32 hardware(const Operation& op) {
    if (!op.round_product) return as_bits(std::fma(as_float(op.a), as_float(op.b), as_float(op.c)));
    return as_bits(hardware_product(op.a, op.b) + as_float(op.c));
}
#elif defined(HARNESS_ADD)
u32 exact(const Operation& op) { return exact_fma(kOne, op.a, op.b); }
u32 hardware(const Operation& op) { return as_bits(as_float(op.a) + as_float(op.b)); }
#else
u32 exact(const Operation& op) { return exact_product(op.a, op.b); }
u32 hardware(const Operation& op) { return as_bits(hardware_product(op.a, op.b)); }
#endif

u32 any_normal(Random& random, int low = 1, int high = 254) {
    return make(random.coin(), random.range(low, high), random.bits(23));
}

// Fractions with few edges: runs of ones and zeros find carry and sticky mistakes.
u32 sparse_fraction(Random& random) {
    const int high = random.range(0, 23), low = random.range(0, high);
    u32 run = (high == 0) ? 0 : ((1u << (high - low)) - 1) << low;
    if (random.coin()) run ^= 0x7fffff;
    if (random.coin()) run ^= 1u << random.range(0, 22);
    return run & 0x7fffff;
}

int product_exp(u32 a, u32 b) {  // biased exponent of the (normal) product, within one
    return static_cast<int>(a >> 23 & 255) + static_cast<int>(b >> 23 & 255) - 127;
}

using Draw = Operation (*)(Random&);
struct Stratum {
    const char* name;
    Draw draw;
};

const std::vector<Stratum> kStrata = {
    {"uniform bits", [](Random& r) -> Operation { return {r.coin(), r.bits(32), r.bits(32), r.bits(32)}; }},
    {"exponent gap -60..60", [](Random& r) -> Operation {
         const u32 a = any_normal(r, 64, 190), b = any_normal(r, 64, 190);
         return {r.coin(), a, b, make(r.coin(), clamp_exp(product_exp(a, b) + r.range(-60, 60)), r.bits(23))};
     }},
    {"massive cancellation", [](Random& r) -> Operation {
         const u32 a = any_normal(r, 40, 200), b = any_normal(r, 40, 190);
         const u32 product = as_bits(as_float(a) * as_float(b));
         return {r.coin(), a, b, (product ^ 0x80000000) + static_cast<u32>(r.range(-3, 3))};
     }},
    {"cancellation of a few bits", [](Random& r) -> Operation {
         const u32 a = any_normal(r, 64, 190), b = any_normal(r, 64, 190);
         const bool sign = ((a ^ b) >> 31) == 0;
         return {r.coin(), a, b, make(sign, clamp_exp(product_exp(a, b) + r.range(-2, 3)), r.bits(23))};
     }},
    {"sub-ulp addend", [](Random& r) -> Operation {
         const u32 a = make(r.coin(), r.range(80, 170), r.coin() ? 0 : sparse_fraction(r));
         const u32 b = make(r.coin(), r.range(80, 170), r.coin() ? 0 : sparse_fraction(r));
         return {r.coin(), a, b, make(r.coin(), clamp_exp(product_exp(a, b) - r.range(22, 52)), sparse_fraction(r))};
     }},
    {"sub-ulp product", [](Random& r) -> Operation {
         const u32 a = any_normal(r, 80, 150), b = any_normal(r, 80, 150);
         return {r.coin(), a, b, make(r.coin(), clamp_exp(product_exp(a, b) + r.range(22, 80)), r.coin() ? 0 : sparse_fraction(r))};
     }},
    {"subnormal factor", [](Random& r) -> Operation {
         const u32 a = make(r.coin(), 0, r.bits(23) >> r.range(0, 22)), b = any_normal(r, 60, 254);
         const int exp = static_cast<int>(b >> 23 & 255) - 127 - r.range(-3, 26);
         const Operation op{r.coin(), a, b, make(r.coin(), clamp_exp(exp), r.bits(23))};
         return r.coin() ? op : Operation{op.round_product, b, a, op.c};
     }},
    {"subnormal factor, cancellation", [](Random& r) -> Operation {
         const u32 a = make(r.coin(), 0, r.bits(23) >> r.range(0, 22)), b = any_normal(r, 100, 254);
         const u32 product = as_bits(as_float(a) * as_float(b));
         return {r.coin(), a, b, (product ^ 0x80000000) + static_cast<u32>(r.range(-2, 2))};
     }},
    {"two subnormal factors", [](Random& r) -> Operation {
         return {r.coin(), make(r.coin(), 0, r.bits(23)), make(r.coin(), 0, r.bits(23)),
                 make(r.coin(), r.range(0, 2), r.bits(23) >> r.range(0, 23))};
     }},
    {"zero product or addend", [](Random& r) -> Operation {
         Operation op{r.coin(), any_normal(r), any_normal(r), any_normal(r)};
         const int which = r.range(1, 7);
         if (which & 1) op.a &= 0x80000000;
         if (which & 2) op.b = r.coin() ? op.b & 0x807fffff : op.b & 0x80000000;
         if (which & 4) op.c = r.coin() ? op.c & 0x807fffff : op.c & 0x80000000;
         return op;
     }},
    {"ties of the sum", [](Random& r) -> Operation {
         // An odd number of half units of the addend's last place, sometimes with a little more or less.
         const u32 c = any_normal(r, 60, 200);
         const int odd = 2 * r.range(0, 2047) + 1;
         const int scale = static_cast<int>(c >> 23 & 255) - 127 - 24;
         const int left = r.range(-20, 20);
         u32 a = as_bits(std::ldexp(static_cast<float>(r.coin() ? odd : -odd), left));
         const u32 b = as_bits(std::ldexp(1.0f, scale - left));
         if (r.range(0, 3) == 0) a += static_cast<u32>(r.range(-1, 1));
         return {r.coin(), a, b, c};
     }},
    {"ties of the product", [](Random& r) -> Operation {
         // 13 bits times 12 bits, both odd: often 25 bits, the last one a half.
         const u32 a = make(r.coin(), r.range(90, 160), (r.bits(12) | 1) << 11);
         const u32 b = make(r.coin(), r.range(90, 160), (r.bits(11) | 1) << 12);
         // However small the addend, it decides a tie.
         const int gap = r.coin() ? r.range(-30, 30) : r.range(-200, -30);
         return {r.coin(), a, b, make(r.coin(), clamp_exp(product_exp(a, b) + gap), r.bits(23))};
     }},
    {"a tie but for one far bit", [](Random& r) -> Operation {
         // (2^23 - 2^12 + 1)(2^23 + 2^12 + 1) = 2^46 + 1: only the product's last bit breaks the tie, also after a carry out.
         const u32 a = make(r.coin(), r.range(100, 150), 0x7fe002), b = make(r.coin(), r.range(100, 150), 0x001001);
         const u32 c = make(r.coin(), product_exp(a, b) + r.range(-3, 50), r.coin() ? r.bits(23) : 0x7fffffu - r.bits(r.range(1, 22)));
         return r.coin() ? Operation{r.coin(), a, b, c} : Operation{r.coin(), b, a, c};
     }},
    {"overflow edge", [](Random& r) -> Operation {
         const u32 a = make(r.coin(), r.range(120, 254), r.coin() ? r.bits(23) : sparse_fraction(r));
         const int exp = 254 + 127 - static_cast<int>(a >> 23 & 255) + r.range(-2, 2);
         const u32 b = make(r.coin(), clamp_exp(exp), r.coin() ? r.bits(23) : sparse_fraction(r));
         return {r.coin(), a, b, make(r.coin(), r.range(226, 254), r.coin() ? r.bits(23) : 0x7fffffu - r.bits(2))};
     }},
    {"underflow edge", [](Random& r) -> Operation {
         const u32 a = any_normal(r, 1, 150);
         const int exp = 127 - static_cast<int>(a >> 23 & 255) - r.range(-3, 28);
         const u32 b = make(r.coin(), clamp_exp(exp), r.coin() ? r.bits(23) : sparse_fraction(r));
         const u32 c = r.range(0, 3) == 0 ? make(r.coin(), 0, 0) : make(r.coin(), r.range(0, 3), r.bits(23) >> r.range(0, 23));
         return {r.coin(), a, b, c};
     }},
    {"ties on the subnormal grid", [](Random& r) -> Operation {
         // An odd number of half (or quarter) units of 2^-149: 2^x times odd * 2^y with x + y = -150 or -151.
         const int odd = 2 * r.range(0, 4095) + 1;
         const int split = r.range(-126, -30);
         const u32 a = as_bits(std::ldexp(r.coin() ? 1.0f : -1.0f, split));
         const u32 b = as_bits(std::ldexp(static_cast<float>(odd), r.range(-151, -150) - split));
         return {r.coin(), a, b, make(r.coin(), r.range(0, 1), r.bits(23) >> r.range(0, 23))};
     }},
    {"runs of ones", [](Random& r) -> Operation {
         const u32 a = make(r.coin(), r.range(90, 160), sparse_fraction(r));
         const u32 b = make(r.coin(), r.range(90, 160), sparse_fraction(r));
         return {r.coin(), a, b, make(r.coin(), clamp_exp(product_exp(a, b) + r.range(-50, 50)), sparse_fraction(r))};
     }},
    {"plain sums", [](Random& r) -> Operation {
         const u32 b = any_normal(r, 100, 150);
         return {r.coin(), kOne, b, make(r.coin(), static_cast<int>(b >> 23 & 255) + r.range(-28, 28), r.bits(23))};
     }},
    {"infinities and NaNs", [](Random& r) -> Operation {
         u32 x[3];
         for (u32& value : x) {
             const int kind = r.range(0, 3);
             value = kind == 0 ? make(r.coin(), 255, 0) : kind == 1 ? make(r.coin(), 255, r.bits(23))
                   : kind == 2 ? make(r.coin(), 0, r.coin() ? 0 : r.bits(23)) : any_normal(r);
         }
         return {r.coin(), x[0], x[1], x[2]};
     }},
};

#else  // division

// fp32_round_e. kAny: one of the four, drawn for every operation.
enum Storage { kFp32, kFp16, kBf16, kBf16Away, kAny };

struct Operation {
    u32 a, count;
    Storage storage = kAny;
};

// Precision and exponent of the smallest number of the narrow types.
constexpr int kPrecision[] = {24, 11, 8, 8}, kLowest[] = {-149, -24, -133, -133};

// Round to a narrow type with the processor's doubles.
float hardware_narrow(float x, Storage storage) {
    if (storage == kFp32 || !std::isfinite(x) || x == 0) return x;
    int exp;
    std::frexp(std::fabs(x), &exp);
    const int unit = std::max(exp - kPrecision[storage], kLowest[storage]);
    const double units = std::ldexp(static_cast<double>(std::fabs(x)), -unit);
    double rounded = std::ldexp(storage == kBf16Away ? std::floor(units + 0.5) : std::nearbyint(units), unit);
    if (storage == kFp16 && rounded > 65504) rounded = HUGE_VAL;
    return std::copysign(static_cast<float>(rounded), x);
}

// The same with integers.
u32 exact_narrow(u32 x, Storage storage) {
    if (storage == kFp32 || is_nan(x) || is_inf(x) || is_zero(x)) return x;
    const Parts parts = unpack(x);
    const int top = 63 - __builtin_clzll(parts.man) + parts.exp;
    const int drop = std::max(top - kPrecision[storage] + 1, kLowest[storage]) - parts.exp;
    if (drop <= 0) return x;
    if (drop > 30) return x & 0x80000000;
    const u64 rest = parts.man & ((1ull << drop) - 1), half = 1ull << (drop - 1);
    u64 kept = parts.man >> drop;
    if (rest > half || (rest == half && (storage == kBf16Away || (kept & 1)))) kept++;
    if (kept == 0) return x & 0x80000000;
    const u32 rounded = round_pack(parts.sign, kept, parts.exp + drop, false);
    return storage == kFp16 && (rounded & 0x7fffffff) >= 0x47800000 ? make(parts.sign, 255, 0) : rounded;
}

Storage of_count(Storage storage) { return storage == kBf16Away ? kBf16 : storage; }

u32 hardware(u32 a, const Operation& op) {
    return as_bits(hardware_narrow(as_float(a), op.storage)
                   / hardware_narrow(static_cast<float>(op.count), of_count(op.storage)));
}

u32 exact(u32 a, const Operation& op) {
    if (is_nan(a)) return kNan;
    const u32 dividend = exact_narrow(a, op.storage);
    // The count as binary32: its upper 24 bits, nearest even; and then as the narrow type.
    const u32 divisor = exact_narrow(round_pack(false, op.count, 0, false), of_count(op.storage));
    if (is_inf(divisor)) return is_inf(dividend) ? kNan : dividend & 0x80000000;
    if (is_inf(dividend) || is_zero(dividend)) return dividend;
    const Parts x = unpack(dividend), y = unpack(divisor);
    const u128 numerator = static_cast<u128>(x.man) << 90;
    return round_pack(x.sign, numerator / y.man, x.exp - 90 - y.exp, numerator % y.man != 0);
}

u32 any_count(Random& random) {
    const int bits = random.range(1, 24);
    return (1u << (bits - 1)) + (bits > 1 ? random.bits(bits - 1) : 0);
}

u32 any_finite(Random& random) { return make(random.coin(), random.range(0, 254), random.bits(23)); }

using Draw = Operation (*)(Random&);
struct Stratum {
    const char* name;
    Draw draw;
};

const std::vector<Stratum> kStrata = {
    {"uniform bits", [](Random& r) -> Operation { return {r.bits(32), any_count(r)}; }},
    {"small counts", [](Random& r) -> Operation { return {make(r.coin(), r.range(1, 254), r.bits(23)), static_cast<u32>(r.range(1, 64))}; }},
    {"powers of two", [](Random& r) -> Operation { return {make(r.coin(), r.range(0, 40), r.bits(23)), 1u << r.range(0, 24)}; }},
    {"counts near 2^24", [](Random& r) -> Operation { return {make(r.coin(), r.range(0, 254), r.bits(23)), (1u << 24) - r.bits(6)}; }},
    {"counts beyond 2^24", [](Random& r) -> Operation {
         const u32 count = r.bits(32) >> r.range(0, 7);
         return {make(r.coin(), r.range(0, 254), r.bits(23)), count == 0 ? 0xffffffffu : count};
     }},
    {"subnormal dividends", [](Random& r) -> Operation { return {make(r.coin(), 0, r.bits(23) >> r.range(0, 22)), any_count(r)}; }},
    {"quotients on the subnormal edge", [](Random& r) -> Operation {
         const u32 count = any_count(r);
         const int log2 = 31 - __builtin_clz(count);
         return {make(r.coin(), clamp_exp(log2 + 1 - r.range(-2, 26)), r.bits(23)), count};
     }},
    {"exact quotients", [](Random& r) -> Operation {
         const u32 count = static_cast<u32>(r.range(1, 4095));
         const float product = static_cast<float>(r.range(1, 4095) * static_cast<int>(count));
         return {as_bits(std::ldexp(r.coin() ? product : -product, r.range(-140, 90))), count};
     }},
    {"next to exact quotients", [](Random& r) -> Operation {
         const u32 count = static_cast<u32>(r.range(1, 1 << 24));
         const float product = as_float(make(r.coin(), r.range(30, 220), r.bits(23))) * static_cast<float>(count);
         return {as_bits(product) + static_cast<u32>(r.range(-1, 1)), count};
     }},
    {"ties on the subnormal grid", [](Random& r) -> Operation {
         const u32 count = 2u * static_cast<u32>(r.range(1, 2047));
         const u32 units = (2u * static_cast<u32>(r.range(0, 2047)) + 1) * (count / 2);
         return {make(r.coin(), 0, units), count};
     }},
    {"specials", [](Random& r) -> Operation {
         const int kind = r.range(0, 2);
         return {kind == 0 ? make(r.coin(), 255, 0) : kind == 1 ? make(r.coin(), 255, r.bits(23)) : make(r.coin(), 0, 0), any_count(r)};
     }},
    {"binary16 ties", [](Random& r) -> Operation {
         const u32 a = make(r.coin(), r.range(113, 143), (r.bits(11) << 12) + static_cast<u32>(r.range(-1, 1)));
         return {a, any_count(r), kFp16};
     }},
    {"ties on the subnormal grid of binary16", [](Random& r) -> Operation {
         // An odd number of halves of 2^-24, sometimes with a little more or less.
         const float halves = static_cast<float>(2 * r.range(0, 1023) + 1);
         u32 a = as_bits(std::ldexp(r.coin() ? halves : -halves, -25));
         if (r.coin()) a += static_cast<u32>(r.range(-1, 1));
         return {a, static_cast<u32>(r.range(1, 300)), kFp16};
     }},
    {"binary16 edges", [](Random& r) -> Operation {
         const int edge = r.range(0, 2);
         const u32 a = edge == 0 ? make(r.coin(), 142, 0x7fe000 + (r.bits(14) >> r.range(0, 13)))
                     : edge == 1 ? make(r.coin(), r.range(100, 104), r.bits(23) >> r.range(0, 22))
                                 : make(r.coin(), 112, 0x7fffff - (r.bits(14) >> r.range(0, 13)));
         return {a, static_cast<u32>(r.range(1, 70)), kFp16};
     }},
    {"bfloat16 ties", [](Random& r) -> Operation {
         const u32 a = make(r.coin(), r.range(0, 254), (r.bits(8) << 15) + static_cast<u32>(r.range(-1, 1)));
         return {a, any_count(r), r.coin() ? kBf16 : kBf16Away};
     }},
    {"bfloat16 subnormals that carry", [](Random& r) -> Operation {
         const u32 a = make(r.coin(), 0, (0x7fffff >> r.range(0, 8)) - (r.bits(16) >> r.range(0, 15)));
         return {a, static_cast<u32>(r.range(1, 300)), r.coin() ? kBf16 : kBf16Away};
     }},
    {"bfloat16 overflow edge", [](Random& r) -> Operation {
         return {make(r.coin(), 254, 0x7f8000 + static_cast<u32>(r.range(-3, 3))), static_cast<u32>(r.range(1, 9)),
                 r.coin() ? kBf16 : kBf16Away};
     }},
    {"counts that narrow types round", [](Random& r) -> Operation {
         const u32 a = any_finite(r);
         if (r.coin()) return {a, r.coin() ? static_cast<u32>(r.range(2040, 65600)) : 65520u + static_cast<u32>(r.range(-40, 40)), kFp16};
         return {a, static_cast<u32>(r.range(250, 70000)), r.coin() ? kBf16 : kBf16Away};
     }},
    {"counts that bfloat16 rounds twice", [](Random& r) -> Operation {
         // Nearly a tie of 8 bits, decided in the bits that binary32 has not.
         const int bits = r.range(25, 32);
         const u32 top = (0x80u | r.bits(7)) << (bits - 8), half = 1u << (bits - 9);
         const u32 count = top + half + static_cast<u32>(r.range(-200, 200));
         return {any_finite(r), count, r.coin() ? kBf16 : kBf16Away};
     }},
};

#endif

std::vector<u32> special_values() {
    const u32 magnitudes[] = {
        0x00000000,                                      // zero
        0x00000001, 0x00000002, 0x00400000, 0x007fffff,  // subnormal: smallest, its double, one bit, largest
        0x00800000, 0x00800001, 0x00ffffff, 0x01000000,  // smallest normal numbers
        0x33800000, 0x34000000, 0x3f000000, 0x3f7fffff,  // 2^-24, 2^-23, 0.5, 1 - ulp/2
        0x3f800000, 0x3f800001, 0x3fffffff, 0x40000000,  // 1, 1 + ulp, 2 - ulp, 2
        0x4b800000, 0x7f000000, 0x7f7fffff, 0x7f800000,  // 2^24, 2^127, largest, infinity
        0x7f800001, 0x7fc00000, 0x7fffffff,              // NaN: signalling, quiet, all ones
    };
    std::vector<u32> values;
    for (u32 magnitude : magnitudes) {
        values.push_back(magnitude);
        values.push_back(magnitude | 0x80000000);
    }
    return values;
}

// Feeds operations, with an idle cycle now and then, and compares what comes out.
class Bench {
public:
    Bench(Random& random, u64 falsify) : random_(random), falsify_(falsify), context_(new VerilatedContext), model_(new Model(context_.get())) {
        model_->rst = 1;
        for (int i = 0; i < 4; i++) cycle(nullptr);
        model_->rst = 0;
        for (int i = 0; i < 50; i++) cycle(nullptr);
    }

    bool operate(const Operation& op) {
        while (random_.range(0, 15) == 0) cycle(nullptr);
        cycle(&op);
        return failures_ < 10;
    }

    bool finish() {
        for (int i = 0; i < 64; i++) cycle(nullptr);
        if (!expected_.empty()) {
            std::printf("%zu results never came\n", expected_.size());
            failures_++;
        }
        return failures_ == 0 && compared_ > 0;
    }

    u64 compared() const { return compared_; }

private:
    struct Expected {
        Operation op;
        u32 result[2];
    };

#ifndef HARNESS_DIV
    static constexpr int kLanes = 1;
    void drive(const Operation* op) {
        model_->valid_in = op != nullptr;
        model_->a = op ? op->a : static_cast<u32>(random_.next());
        model_->b = op ? op->b : static_cast<u32>(random_.next());
#ifdef HARNESS_FMA
        // The addend comes FMA_C_DELAY cycles after the factors; in other cycles it is noise.
        static constexpr std::size_t kDelay = 5;
        model_->round_product = op ? op->round_product : random_.coin();
        addends_.push_back(op ? op->c : static_cast<u32>(random_.next()));
        model_->c = addends_.size() > kDelay ? addends_.front() : 0;
        if (addends_.size() > kDelay) addends_.pop_front();
#endif
    }
    void expect(const Operation& op) {
        const u32 one = hardware(op), two = exact(op);
        if (one != two) {
            std::printf("the references differ: mode %d a %08x b %08x c %08x: processor %08x, integers %08x\n", op.round_product,
                        op.a, op.b, op.c, one, two);
            failures_++;
        }
        expected_.push_back({op, {two, 0}});
    }
    u32 seen(int) { return model_->result; }
    static void describe(const Operation& op) { std::printf("mode %d a %08x b %08x c %08x", op.round_product, op.a, op.b, op.c); }
    std::deque<u32> addends_;
#else
    static constexpr int kLanes = 2;  // the second lane divides the negated, shifted bits of the first
    static u32 other(u32 a) { return ~(a << 3 | a >> 29); }
    void drive(const Operation* op) {
        // The dividends come DIV_A_DELAY cycles after the count; in other cycles they are noise.
        static constexpr std::size_t kDelay = 13;
        model_->valid_in = op != nullptr;
        dividends_.push_back(op ? op->a : static_cast<u32>(random_.next()));
        const u32 a = dividends_.size() > kDelay ? dividends_.front() : 0;
        if (dividends_.size() > kDelay) dividends_.pop_front();
        model_->a = static_cast<u64>(other(a)) << 32 | a;
        model_->count = op ? op->count : static_cast<u32>(random_.next());
        model_->storage = op ? op->storage : static_cast<u32>(random_.range(0, 3));
    }
    void expect(const Operation& op) {
        Expected entry{op, {}};
        for (int lane = 0; lane < kLanes; lane++) {
            const u32 a = lane ? other(op.a) : op.a;
            const u32 one = hardware(a, op), two = exact(a, op);
            if (one != two) {
                std::printf("the references differ: a %08x count %u storage %d: processor %08x, integers %08x\n", a, op.count,
                            op.storage, one, two);
                failures_++;
            }
            entry.result[lane] = two;
        }
        expected_.push_back(entry);
    }
    u32 seen(int lane) { return static_cast<u32>(model_->result >> (32 * lane)); }
    static void describe(const Operation& op) {
        std::printf("a %08x (second lane %08x) count %u storage %d", op.a, other(op.a), op.count, op.storage);
    }
    std::deque<u32> dividends_;
#endif

    void cycle(const Operation* op) {
        drive(op);
        if (op) expect(*op);
        model_->clk = 1;
        model_->eval();
        model_->clk = 0;
        model_->eval();
        if (!model_->valid_out) return;
        if (expected_.empty()) {
            if (model_->rst) return;
            std::printf("a result came that was not asked for\n");
            failures_++;
            return;
        }
        Expected entry = expected_.front();
        expected_.pop_front();
        if (++compared_ == falsify_) entry.result[0] ^= 1;
        for (int lane = 0; lane < kLanes; lane++) {
            if (seen(lane) == entry.result[lane]) continue;
            describe(entry.op);
            std::printf(" lane %d: result %08x, expected %08x\n", lane, seen(lane), entry.result[lane]);
            failures_++;
        }
    }

    Random& random_;
    u64 falsify_;
    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Model> model_;
    std::deque<Expected> expected_;
    u64 compared_ = 0;
    int failures_ = 0;
};

// What the unit under test is given of a drawn operation.
#if defined(HARNESS_FMA)
Operation given(const Operation& op, Random&) { return op; }
#elif defined(HARNESS_ADD)
Operation given(const Operation& op, Random&) { return {false, exact_product(op.a, op.b), op.c, 0}; }
#elif defined(HARNESS_MUL)
Operation given(const Operation& op, Random&) { return {false, op.a, op.b, 0}; }
#else
Operation given(const Operation& op, Random& r) {
    return {op.a, op.count, op.storage == kAny ? static_cast<Storage>(r.range(0, 3)) : op.storage};
}
#endif

// Every combination of the special values; returns how many.
u64 directed(Bench& bench) {
    u64 count = 0;
    std::vector<u32> values = special_values();
#if defined(HARNESS_FMA)
    for (u32 a : values)
        for (u32 b : values)
            for (u32 c : values)
                for (bool round_product : {false, true}) {
                    count++;
                    if (!bench.operate({round_product, a, b, c})) return count;
                }
#elif !defined(HARNESS_DIV)
    for (u32 a : values)
        for (u32 b : values) {
            count++;
            if (!bench.operate({false, a, b, 0})) return count;
        }
#else
    const u32 narrow[] = {
        0x33000000, 0x33000001, 0x33c00000, 0x387fdfff, 0x387ff000,  // binary16: half its smallest, subnormals
        0x477fefff, 0x477ff000, 0x477fffff,                          // around its largest
        0x00007fff, 0x00008000, 0x00018000, 0x007f7fff, 0x007f8000,  // bfloat16: subnormals, their largest
        0x7f7f7fff, 0x7f7f8000,                                      // around its largest
    };
    for (u32 magnitude : narrow) {
        values.push_back(magnitude);
        values.push_back(magnitude | 0x80000000);
    }
    std::vector<u32> counts;
    for (u32 n = 1; n <= 64; n++) counts.push_back(n);
    for (int bit = 7; bit < 32; bit++)
        for (int step = -1; step <= 1; step++) counts.push_back((1u << bit) + static_cast<u32>(step));
    for (u32 n : {65519u, 65520u, 0xffffffffu}) counts.push_back(n);
    for (u32 a : values)
        for (u32 n : counts)
            for (Storage storage : {kFp32, kFp16, kBf16, kBf16Away}) {
                count++;
                if (!bench.operate({a, n, storage})) return count;
            }
#endif
    return count;
}

}  // namespace

int main(int argc, char** argv) {
    u64 total = 100000, seed = 1, falsify = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        const u64 value = std::strtoull(argv[i + 1], nullptr, 0);
        if (name == "--count") total = value;
        else if (name == "--seed") seed = value;
        else if (name == "--break") falsify = value;
        else {
            std::fprintf(stderr, "unknown option %s; --count, --seed, --break\n", argv[i]);
            return 2;
        }
    }
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    Random random(seed);
    Bench bench(random, falsify);
    const u64 combinations = directed(bench);
    std::printf("%12llu special values, all combinations\n", static_cast<unsigned long long>(combinations));
    std::vector<u64> counts(kStrata.size());
    for (u64 i = 0; i < total; i++) {
        const std::size_t stratum = i % kStrata.size();
        counts[stratum]++;
        if (!bench.operate(given(kStrata[stratum].draw(random), random))) break;
    }
    const bool good = bench.finish();
    for (std::size_t i = 0; i < counts.size(); i++)
        std::printf("%12llu %s\n", static_cast<unsigned long long>(counts[i]), kStrata[i].name);
    std::printf("%12llu compared: %s\n", static_cast<unsigned long long>(bench.compared()), good ? "all equal" : "FAILED");
    return good ? 0 : 1;
}
