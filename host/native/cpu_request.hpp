// SPDX-License-Identifier: Apache-2.0
// Answers all tables of a request in one go, alone or with the pool's helpers.
#ifndef EMBNIC_CPU_REQUEST_HPP
#define EMBNIC_CPU_REQUEST_HPP

#include <cstdint>
#include <vector>

#include "cpu_pool.hpp"
#include "cpu_rows.hpp"

namespace embnic::cpu {

// Whether a request is right, and how many additions saturated.
struct Outcome {
    bool good = true;
    std::int64_t saturated = 0;
};

struct Chunk {
    std::uint32_t part;
    std::int64_t first, last;  // bags
};

// Memory that is kept from one request to the next.
struct Scratch {
    std::vector<Part> parts;
    std::vector<Chunk> chunks;
};

// Bytes that a request moves.
std::int64_t bytes_of(const std::vector<Part> &parts);

// Fills the results of all parts of `scratch`. Where an offset or id is wrong, the outcome is not good and results may have
// been written; nothing outside the given arrays is read or written. `pool` may be null.
Outcome answer(Scratch &scratch, Pool *pool, std::int64_t bytes);

// Times some distances on random rows of a loaded table, and keeps the best. Takes about 10 ms.
void tune(Rows &rows);

}  // namespace embnic::cpu

#endif  // EMBNIC_CPU_REQUEST_HPP
