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

constexpr std::int64_t kNullRow = (std::int64_t{1} << 48) - 1;  // contributes nothing
constexpr std::uint32_t kNanBits = 0x7FC00000u;                 // every NaN that arithmetic makes
constexpr std::int64_t kLine = 64;                              // bytes of a cache line

struct Part;
struct Ahead;

// Bags [first, last) of a part; rows are asked for up to the id `stop`, and then in the parts that follow.
struct Span {
    std::int64_t first, last, stop;
};

// Pools a span whose offsets and ids were checked; returns how many additions saturated.
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
    const std::uint8_t *row(std::int64_t at) const {  // of an id that may be anything: an address, not an access
        return reinterpret_cast<const std::uint8_t *>(reinterpret_cast<std::uintptr_t>(rows->data) +
                                                      static_cast<std::uintptr_t>(ids[at]) *
                                                          static_cast<std::uintptr_t>(rows->pitch));
    }
};

inline void ask_for(const std::uint8_t *row, std::int64_t bytes) {
    for (std::int64_t byte = 0; byte < bytes; byte += kLine) __builtin_prefetch(row + byte);
    __builtin_prefetch(row + bytes - 1);
}

// Asks for rows of the parts behind the one at work, so that a table's first rows are there when its turn comes.
struct Ahead {
    const Part *next = nullptr, *end = nullptr;  // the part whose rows are asked for, and the last part's end
    std::int64_t at = 0;                         // its first id that was not asked for

    // Asks for one more row behind the part at work.
    void step() {
        while (next != end && at >= next->count) {
            ++next;
            at = 0;
        }
        if (next == end) return;
        ask_for(next->row(at), next->rows->pitch);
        ++at;
    }

    // Begins with a part: asks for those of its first rows that were not asked for.
    void arrive(const Part &part) {
        std::int64_t from = part.count;
        if (next == &part) from = at;
        if (next == nullptr || next < &part) from = 0;
        const std::int64_t until = part.rows->distance < part.count ? part.rows->distance : part.count;
        for (; from < until; ++from) ask_for(part.row(from), part.rows->pitch);
        if (next == nullptr || next <= &part) {
            next = &part + 1;
            at = 0;
        }
    }
};

}  // namespace embnic::cpu

#endif  // EMBNIC_CPU_ROWS_HPP
