// SPDX-License-Identifier: Apache-2.0
// The kernels in AVX2, FMA and F16C: 8 elements a vector.
#include "cpu_isa.hpp"

#ifdef EMBNIC_AVX2
#include <array>
#include <cstring>
#include <utility>

#include <immintrin.h>

// Everything below, and nothing of the headers above, uses these instructions.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace embnic::cpu {
namespace {
namespace avx2 {

using Vec = __m256;
using Half = __m128i;
constexpr std::int64_t LANES = 8;
constexpr int MOST = 8, MOST_SUM = 16;

inline __m256i bits(Vec v) { return _mm256_castps_si256(v); }
inline Vec floats(__m256i v) { return _mm256_castsi256_ps(v); }

inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec spread(float w) { return _mm256_set1_ps(w); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec fma(Vec w, Vec x, Vec acc) { return _mm256_fmadd_ps(w, x, acc); }
inline Vec max_later(Vec acc, Vec x) { return _mm256_blendv_ps(acc, x, _mm256_cmp_ps(x, acc, _CMP_GT_OQ)); }
inline Vec canonical(Vec v) {
    return _mm256_blendv_ps(v, floats(_mm256_set1_epi32(kNanBits)), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

inline float half_to_float(std::uint16_t half) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half))); }
inline Vec from_f16(Half h) { return _mm256_cvtph_ps(h); }
inline Half to_f16(Vec v) { return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
inline Vec from_bf16(Half h) { return floats(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
inline Half upper_halves(__m256i v) {
    const __m256i high = _mm256_srli_epi32(v, 16);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08));
}
inline Half to_bf16(Vec v) {
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits(v), 16), _mm256_set1_epi32(1));
    return upper_halves(_mm256_add_epi32(bits(v), _mm256_add_epi32(_mm256_set1_epi32(0x7FFF), odd)));
}
inline Half to_bf16_up(Vec v) { return upper_halves(_mm256_add_epi32(bits(v), _mm256_set1_epi32(0x8000))); }

template <Kind K>
inline Vec load(const std::uint8_t *row, std::int64_t first) {
    if constexpr (K == Kind::f32 || K == Kind::i32) {
        return _mm256_loadu_ps(reinterpret_cast<const float *>(row + first * 4));
    } else if constexpr (K == Kind::f16) {
        return from_f16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(row + first * 2)));
    } else if constexpr (K == Kind::bf16) {
        return from_bf16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(row + first * 2)));
    } else if constexpr (K == Kind::q8) {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(row + first));
        return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    } else {
        std::uint32_t eight;
        std::memcpy(&eight, row + first / 2, sizeof eight);
        const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
        const __m256i moved = _mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(eight)), shifts);
        return _mm256_cvtepi32_ps(_mm256_and_si256(moved, _mm256_set1_epi32(15)));
    }
}
inline void store(std::uint8_t *p, Vec v) { _mm256_storeu_ps(reinterpret_cast<float *>(p), v); }
inline void store_half(std::uint8_t *p, Half h) { _mm_storeu_si128(reinterpret_cast<__m128i *>(p), h); }

inline Vec i32_to_float(Vec v) { return _mm256_cvtepi32_ps(bits(v)); }
inline Vec max_i32(Vec a, Vec b) { return floats(_mm256_max_epi32(bits(a), bits(b))); }
inline Vec add_saturated(Vec a, Vec b, std::uint32_t &lanes) {
    const __m256i sum = _mm256_add_epi32(bits(a), bits(b));
    const __m256i over = _mm256_and_si256(_mm256_xor_si256(bits(a), sum), _mm256_xor_si256(bits(b), sum));
    const __m256i limit = _mm256_xor_si256(_mm256_srai_epi32(bits(a), 31), _mm256_set1_epi32(0x7FFFFFFF));
    lanes = static_cast<std::uint32_t>(_mm256_movemask_ps(floats(over)));
    return _mm256_blendv_ps(floats(sum), floats(limit), floats(over));
}

#include "cpu_kernels.inc"

}  // namespace avx2
}  // namespace

Kernel find_avx2(Kind kind, Step step, std::int64_t dim) { return avx2::find(kind, step, dim); }

}  // namespace embnic::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif  // EMBNIC_AVX2
