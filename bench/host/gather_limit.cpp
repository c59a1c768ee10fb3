// SPDX-License-Identifier: Apache-2.0
// The limit of any lookup: reads the same rows in the same order, with every byte used and nothing else done.
#include <cstdint>

#include <immintrin.h>

namespace {

template <int LINES>
__attribute__((target("avx2"))) std::int64_t read_rows(const std::uint8_t *rows, std::int64_t pitch, const std::int64_t *ids,
                                                      std::int64_t count, std::int64_t distance) {
    __m256i all = _mm256_setzero_si256();
    for (std::int64_t at = 0; at < count; ++at) {
        if (at + distance < count) {
            const std::uint8_t *ahead = rows + ids[at + distance] * pitch;
            for (int line = 0; line < LINES; ++line) __builtin_prefetch(ahead + 64 * line);
        }
        const std::uint8_t *row = rows + ids[at] * pitch;
        for (int line = 0; line < LINES; ++line) {
            const auto *half = reinterpret_cast<const __m256i *>(row + 64 * line);
            all = _mm256_or_si256(all, _mm256_or_si256(_mm256_loadu_si256(half), _mm256_loadu_si256(half + 1)));
        }
    }
    return _mm256_extract_epi64(all, 0) ^ _mm256_extract_epi64(all, 3);
}

}  // namespace

// `tables` tables of rows of 64, 128, 256 or 512 bytes; `ids[t]` has `counts[t]` row numbers. Returns something that
// depends on all bytes, or -1 for another row length.
extern "C" std::int64_t gather(std::int64_t tables, const std::uint8_t *const *rows, std::int64_t pitch,
                               const std::int64_t *const *ids, const std::int64_t *counts, std::int64_t distance) {
    std::int64_t all = 0;
    for (std::int64_t t = 0; t < tables; ++t) {
        switch (pitch) {
            case 64: all |= read_rows<1>(rows[t], pitch, ids[t], counts[t], distance); break;
            case 128: all |= read_rows<2>(rows[t], pitch, ids[t], counts[t], distance); break;
            case 256: all |= read_rows<4>(rows[t], pitch, ids[t], counts[t], distance); break;
            case 512: all |= read_rows<8>(rows[t], pitch, ids[t], counts[t], distance); break;
            default: return -1;
        }
    }
    return all;
}
