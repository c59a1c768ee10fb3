// SPDX-License-Identifier: Apache-2.0
// The kernels in AVX-512F: 16 elements a vector.
#include "cpu_isa.hpp"

#ifdef EMBNIC_AVX512
#include <array>
#include <cstring>
#include <utility>

#include <immintrin.h>

// Everything below, and nothing of the headers above, uses these instructions.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx2,fma,f16c")
#endif

namespace embnic::cpu {
namespace {
namespace avx512 {

using Vec = __m512;
using Half = __m256i;
constexpr std::int64_t LANES = 16;
constexpr int MOST = 8, MOST_SUM = 16;

inline __m512i bits(Vec v) { return _mm512_castps_si512(v); }
inline Vec floats(__m512i v) { return _mm512_castsi512_ps(v); }

inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec spread(float w) { return _mm512_set1_ps(w); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec fma(Vec w, Vec x, Vec acc) { return _mm512_fmadd_ps(w, x, acc); }
inline Vec max_later(Vec acc, Vec x) {
    return _mm512_mask_mov_ps(acc, _mm512_cmp_ps_mask(x, acc, _CMP_GT_OQ), x);
}
inline Vec canonical(Vec v) {
    return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), floats(_mm512_set1_epi32(kNanBits)));
}

inline float half_to_float(std::uint16_t half) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half))); }
inline Vec from_f16(Half h) { return _mm512_cvtph_ps(h); }
inline Half to_f16(Vec v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
inline Vec from_bf16(Half h) { return floats(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
inline Half upper_halves(__m512i v) { return _mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16)); }
inline Half to_bf16(Vec v) {
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits(v), 16), _mm512_set1_epi32(1));
    return upper_halves(_mm512_add_epi32(bits(v), _mm512_add_epi32(_mm512_set1_epi32(0x7FFF), odd)));
}
inline Half to_bf16_up(Vec v) { return upper_halves(_mm512_add_epi32(bits(v), _mm512_set1_epi32(0x8000))); }

template <Kind K>
inline Vec load(const std::uint8_t *row, std::int64_t first) {
    if constexpr (K == Kind::f32 || K == Kind::i32) {
        return _mm512_loadu_ps(row + first * 4);
    } else if constexpr (K == Kind::f16) {
        return from_f16(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(row + first * 2)));
    } else if constexpr (K == Kind::bf16) {
        return from_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(row + first * 2)));
    } else if constexpr (K == Kind::q8) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(row + first));
        return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
    } else {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(row + first / 2));
        const __m512i words = _mm512_permutexvar_epi32(
            _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), _mm512_castsi128_si512(bytes));
        const __m512i shifts = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
        return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srlv_epi32(words, shifts), _mm512_set1_epi32(15)));
    }
}
inline void store(std::uint8_t *p, Vec v) { _mm512_storeu_ps(p, v); }
inline void store_half(std::uint8_t *p, Half h) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), h); }

inline Vec i32_to_float(Vec v) { return _mm512_cvtepi32_ps(bits(v)); }
inline Vec max_i32(Vec a, Vec b) { return floats(_mm512_max_epi32(bits(a), bits(b))); }
inline Vec add_saturated(Vec a, Vec b, std::uint32_t &lanes) {
    const __m512i sum = _mm512_add_epi32(bits(a), bits(b));
    const __m512i over = _mm512_and_si512(_mm512_xor_si512(bits(a), sum), _mm512_xor_si512(bits(b), sum));
    const __m512i limit = _mm512_xor_si512(_mm512_srai_epi32(bits(a), 31), _mm512_set1_epi32(0x7FFFFFFF));
    const __mmask16 mask = _mm512_cmplt_epi32_mask(over, _mm512_setzero_si512());
    lanes = mask;
    return floats(_mm512_mask_mov_epi32(sum, mask, limit));
}

#include "cpu_kernels.inc"

}  // namespace avx512
}  // namespace

Kernel find_avx512(Kind kind, Step step, std::int64_t dim) { return avx512::find(kind, step, dim); }

}  // namespace embnic::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif  // EMBNIC_AVX512
