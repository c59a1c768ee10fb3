// SPDX-License-Identifier: Apache-2.0
// Pooled lookups on the host: every bag of one table to one float32 vector, bit-equal to backends/reference.py.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embnic {

// How a row's elements are stored. Codes are those of the wire (spec/wire.toml).
enum class Storage : int { fp32 = 0, fp16 = 1, bf16 = 2 };

// What a key does to the accumulator.
enum class Step : int {
    add,           // acc = acc + x
    fused,         // acc = fma(w, x, acc)
    mul_then_add,  // acc = acc + round(w * x)
    max,           // acc = x if it is the bag's first row or x > acc
};

// Which instructions do it. The bits are the same with all of them.
enum class Isa : int { portable, avx2, avx512 };

// One table and its bags. All arrays are checked by the caller: offsets rise from 0 to ids, every id is below rows.
struct Lookup {
    const void *rows_data;   // [rows, dim] elements, rows without gaps
    std::int64_t dim;
    const std::int64_t *ids;      // [offsets[bags]]
    const std::int64_t *offsets;  // [bags + 1]
    const float *weights;         // per id, or null
    std::int64_t bags;
    std::int64_t padding;  // row that contributes nothing and is not counted; -1 for none
    bool divide;           // divide by the count (only meaningful for sums)
    float *out;            // [bags, dim]
    std::int64_t *counts;  // [bags]: keys that contributed
};

// Best instructions of this machine, and whether it has the given ones.
Isa best_isa();
bool has_isa(Isa isa);

// Fill out and counts.
void pool(const Lookup &lookup, Storage storage, Step step, Isa isa);

}  // namespace embnic
