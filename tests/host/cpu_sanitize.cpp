// SPDX-License-Identifier: Apache-2.0
// Runs the CPU backend's C++ under sanitizers: every format, pooling and instruction set over arrays of exactly their size,
// right and wrong requests, alone and with helpers. Prints how many requests were answered and how many were refused.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "cpu_form.hpp"
#include "cpu_memory.hpp"
#include "cpu_request.hpp"

using namespace embnic::cpu;

namespace {

std::mt19937_64 random_bits;

std::int64_t below(std::int64_t limit) { return static_cast<std::int64_t>(random_bits() % static_cast<std::uint64_t>(limit)); }

// One table and its bags, each array of its own so that its ends are watched.
struct Case {
    Rows rows;
    std::vector<std::uint8_t> data, out;
    std::vector<std::int64_t> ids, offsets;
    std::vector<float> weights;
    Part part;
};

std::int64_t pitch_of(int dtype, std::int64_t dim) {
    switch (dtype) {
        case 0: case 7: return dim * 4;
        case 1: case 2: return dim * 2;
        case 3: return dim + 8;
        case 4: return dim + 4;
        default: return (dim + 1) / 2 + 4;
    }
}

void fill(Case &made, int dtype, int pooling, std::int64_t dim, Isa isa) {
    const std::int64_t pitch = pitch_of(dtype, dim), count = 1 + below(20), bags = below(12);
    const bool padded = below(2) == 0;
    made.rows = make_rows({dtype, pooling, dim, padded ? below(count) : -1, padded, -8}, pitch, isa);
    made.data.resize(static_cast<std::size_t>(pitch * count));
    for (auto &byte : made.data) byte = static_cast<std::uint8_t>(random_bits());
    made.rows.data = made.data.data();
    made.rows.rows = count;
    made.offsets.push_back(0);
    for (std::int64_t bag = 0; bag < bags; ++bag) made.offsets.push_back(made.offsets.back() + below(6));
    for (std::int64_t at = 0; at < made.offsets.back(); ++at) made.ids.push_back(below(count));
    if (made.rows.unpooled && !made.ids.empty()) made.ids.back() = kNullRow;
    made.part.rows = &made.rows;
    made.part.ids = made.ids.data();
    made.part.count = static_cast<std::int64_t>(made.ids.size());
    made.part.bags = made.rows.unpooled ? made.part.count : bags;
    made.part.offsets = made.rows.unpooled ? nullptr : made.offsets.data();
    if (made.rows.weighable && below(2) == 0) {
        made.weights.assign(made.ids.size(), 0.5f);
        made.part.weights = made.weights.data();
    }
    made.out.resize(static_cast<std::size_t>(made.part.bags * dim * made.rows.result_bytes));
    made.part.out = made.out.data();
}

// Makes a request wrong; false where this one cannot be.
bool spoil(Case &made) {
    constexpr std::int64_t kWrong[] = {-1, std::int64_t{1} << 40, INT64_MIN, INT64_MAX, kNullRow + 1};
    const std::int64_t wrong = kWrong[below(5)];
    if (below(2) == 0 && made.part.offsets != nullptr && made.offsets.size() > 2) {
        made.offsets[static_cast<std::size_t>(1 + below(static_cast<std::int64_t>(made.offsets.size()) - 2))] = wrong;
        return true;
    }
    if (made.ids.empty()) return false;
    made.ids[static_cast<std::size_t>(below(made.part.count))] = wrong;
    return true;
}

}  // namespace

int main(int count, char **arguments) {
    random_bits.seed(count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 1);
    Pool pool(3);
    long answered = 0, refused = 0;
    for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
        if (!has_isa(isa)) continue;
        for (std::int64_t dim = 1; dim <= 150; dim += 1 + below(3)) {
            for (int dtype = 0; dtype < 8; ++dtype) {
                Scratch scratch;
                std::vector<Case> cases(4);
                bool spoilt = false;
                for (int pooling = 0; pooling < 4; ++pooling) {
                    Case &one = cases[static_cast<std::size_t>(pooling)];
                    fill(one, dtype, pooling, dim, isa);
                    scratch.parts.push_back(one.part);
                }
                if (below(4) == 0) spoilt = spoil(cases[static_cast<std::size_t>(below(4))]);
                const bool helped = below(2) == 0;
                const Outcome outcome = answer(scratch, helped ? &pool : nullptr, helped ? 1 << 20 : 0);
                if (outcome.good == spoilt) return std::puts("a wrong request was answered, or a right one refused"), 1;
                ++(outcome.good ? answered : refused);
            }
        }
    }
    // Several callers share the helpers, and memory goes round.
    RowArena arena;
    const auto outputs = std::make_shared<OutputArena>();
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; ++caller) {
        callers.emplace_back([&, caller] {
            for (int turn = 0; turn < 20; ++turn) {
                const Piece piece = arena.take(static_cast<std::size_t>(1 + caller) * 100000);
                piece.data[0] = 1;
                auto block = outputs->take(1 << 20);
                block->data()[0] = 1;
                outputs->give_back(std::move(block));
                std::vector<int> done(64);
                pool.run([](void *job, std::size_t chunk) { ++static_cast<int *>(job)[chunk]; }, done.data(), done.size(), 2);
                for (const int times : done) {
                    if (times != 1) std::abort();
                }
            }
        });
    }
    for (auto &caller : callers) caller.join();
    std::printf("%ld answered, %ld refused\n", answered, refused);
    return answered > 100 && refused > 20 ? 0 : 1;
}
