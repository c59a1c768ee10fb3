// SPDX-License-Identifier: Apache-2.0
// The integer arithmetic of hls/include/embnic/fp32.hpp against the processor's: `fp32_check SEED OPERATIONS`.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "embnic/fp32.hpp"

namespace {

using namespace embnic;

float number(std::uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

std::uint32_t bits(float x) {
    std::uint32_t b;
    std::memcpy(&b, &x, 4);
    return fp32::is_nan(b) ? fp32::kNan : b;
}

std::mt19937_64 random_;

// Special values, extreme exponents, moderate numbers that cancel, anything.
std::uint32_t operand() {
    static const std::uint32_t kSpecial[] = {0,          1u << 31,   1,          0x80000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800000,
                                             0x3F800001, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x33000000, 0x00FFFFFF};
    const std::uint64_t x = random_();
    const auto low = static_cast<std::uint32_t>(x >> 32);
    switch (x % 4) {
    case 0: return kSpecial[(x >> 8) % 16];
    case 1: return low & 0x80FFFFFFu;
    case 2: return (low & 0x807FFFFFu) | static_cast<std::uint32_t>(110 + (x >> 8) % 30) << 23;
    default: return low;
    }
}

int failures = 0;

void check(const char* what, std::uint32_t got, std::uint32_t wanted, std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    if (got == wanted || failures++ > 9) return;
    std::fprintf(stderr, "FAILED %s of %08x %08x %08x: %08x, not %08x\n", what, a, b, c, got, wanted);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    random_.seed(std::strtoull(argv[1], nullptr, 10));
    const unsigned long operations = std::strtoul(argv[2], nullptr, 10);
    for (unsigned long at = 0; at < operations; at++) {
        const std::uint32_t a = operand(), b = operand();
        const float x = number(a), y = number(b);
        const std::uint32_t c = at % 5 ? operand() : bits(-(x * y)) ^ (at % 8 == 0);
        check("fma", fp32::fma(a, b, c), bits(std::fma(x, y, number(c))), a, b, c);
        check("add", fp32::add(a, b), bits(x + y), a, b, 0);
        check("mul", fp32::mul(a, b), bits(x * y), a, b, 0);
        check("greater", fp32::greater(a, b), x > y, a, b, 0);
        check("sqrt", fp32::sqrt(a), bits(std::sqrt(x)), a, 0, 0);
        check("div", fp32::div(a, b), bits(x / y), a, b, 0);
        const auto count = static_cast<std::uint32_t>(random_() >> (32 + at % 32));
        if (count) check("mean", fp32::mean(a, count, fp32::Storage::FP32), bits(x / static_cast<float>(count)), a, count, 0);
    }
    std::printf("%lu operations of each kind compared\n", operations);
    return failures ? 1 : 0;
}
