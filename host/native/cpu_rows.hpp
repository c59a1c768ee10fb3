// SPDX-License-Identifier: Apache-2.0
// What the pooling kernels work on: rows of a table, bags of a request, and the stream of rows asked for ahead.
// Bit-equal to backends/reference.py, which is the meaning.
#ifndef EMBNIC_CPU_ROWS_HPP
#define EMBNIC_CPU_ROWS_HPP

#include <cstddef>
#include <cstdint>

namespace embnic::cpu {

// How the elements of a row are stored.
enum class Kind : int { f32, f16, bf16, q8, q4, i32 };

// What a key does to the accumulator.
enum class Step : int {
    add,           // acc = acc + x; quantised: fma(scale, q, acc + bias), with or without weights; i32: saturating
    fused,         // acc = fma(w, x, acc)
    mul_then_add,  // acc = acc + round(w * x)
    max,           // acc = x if it is the bag's first key or x > acc
    copy,          // no bag: the row's bytes
};

// The loops of a kernel are one function; the compiler would rather call their parts.
#define EMBNIC_INLINE __attribute__((always_inline)) inline

constexpr std::int64_t kNullRow = (std::int64_t{1} << 48) - 1;  // contributes nothing
constexpr std::uint32_t kNanBits = 0x7FC00000u;                 // every NaN that arithmetic makes
constexpr std::int64_t kLine = 64;                              // bytes of a cache line

constexpr std::int64_t kRefused = -1;

struct Part;
struct Ahead;

// Bags [first, last) of a part; rows are asked for up to the id `stop`, and then in the parts that follow.
struct Span {
    std::int64_t first, last, stop;
};

// Pools a span; returns how many additions saturated, or kRefused when it meets an offset or id that is wrong. Nothing
// outside the part's arrays and the table's rows is read or written.
using Kernel = std::int64_t (*)(const Part &, const Span &, Ahead &);

// One loaded table. The rows lie without gaps, `pitch` bytes each, at any alignment.
struct Rows {
    const std::uint8_t *data = nullptr;
    std::int64_t rows = 0, dim = 0, pitch = 0;
    std::int64_t padding = -1;   // this row contributes nothing and is not counted; -1: none
    std::int64_t distance = 16;  // rows that are asked for ahead
    std::int64_t elements_at = 0, affine_at = 0;  // quantised: first byte of the elements, of scale and bias
    bool half_affine = false;                     // these two are fp16, else fp32
    bool mean = false;
    bool ties_up = false;  // bf16 sums: ties go away from zero
    bool unpooled = false;
    bool weighable = false;
    bool half_float = false;  // results are fp16
    float unit = 1.0f;                // i32: what one unit stands for
    std::int64_t result_bytes = 4;    // of an element of a result
    Kernel plain = nullptr, weighted = nullptr;
};

// The bags of one table. Bag b has the ids [offsets[b], offsets[b + 1]); without offsets, id b.
struct Part {
    const Rows *rows = nullptr;
    const std::int64_t *ids = nullptr, *offsets = nullptr;
    const float *weights = nullptr;
    std::uint8_t *out = nullptr;
    std::int64_t bags = 0, count = 0;  // count of ids

    std::int64_t begin(std::int64_t bag) const { return offsets ? offsets[bag] : bag; }
};

// Where a row would lie, for an id that may be anything: an address, not an access.
inline const std::uint8_t *address(const Rows &t, std::int64_t id) {
    return reinterpret_cast<const std::uint8_t *>(reinterpret_cast<std::uintptr_t>(t.data) +
                                                  static_cast<std::uintptr_t>(id) * static_cast<std::uintptr_t>(t.pitch));
}

inline void ask_for(const std::uint8_t *row, std::int64_t bytes) {
    for (std::int64_t byte = 0; byte < bytes; byte += kLine) __builtin_prefetch(row + byte);
    __builtin_prefetch(row + bytes - 1);
}

// Asks for rows of the parts behind the one at work, so that a table's first rows are there when its turn comes.
struct Ahead {
    const Part *next = nullptr, *end = nullptr;  // the part whose rows are asked for, and the last part's end
    std::int64_t at = 0;                         // its first id that was not asked for

    // Asks for so many rows more, behind the part at work.
    __attribute__((noinline)) void step(std::int64_t rows) {
        while (next != end) {
            for (; at < next->count; ++at) {
                if (rows-- == 0) return;
                ask_for(address(*next->rows, next->ids[at]), next->rows->pitch);
            }
            ++next;
            at = 0;
        }
    }

    // Begins with a part: asks for those of its first rows that were not asked for.
    void arrive(const Part &part) {
        std::int64_t from = part.count;
        if (next == &part) from = at;
        if (next == nullptr || next < &part) from = 0;
        const std::int64_t until = part.rows->distance < part.count ? part.rows->distance : part.count;
        for (; from < until; ++from) ask_for(address(*part.rows, part.ids[from]), part.rows->pitch);
        if (next == nullptr || next <= &part) {
            next = &part + 1;
            at = 0;
        }
    }
};

}  // namespace embnic::cpu

#endif  // EMBNIC_CPU_ROWS_HPP
