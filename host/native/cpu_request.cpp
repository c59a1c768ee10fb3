// SPDX-License-Identifier: Apache-2.0
#include "cpu_request.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "cpu_form.hpp"

namespace embnic::cpu {
namespace {

constexpr std::int64_t kBytesPerHelper = 256 << 10;  // work that pays for waking a helper
constexpr std::int64_t kChunkBytes = 128 << 10;

// The processor's default rounding with subnormals kept, whatever the calling thread has set.
class Arithmetic {
#if defined(__x86_64__)
public:
    Arithmetic() : before_(_mm_getcsr()) {
        if ((before_ & kMode) != kDefault) _mm_setcsr((before_ & ~kMode) | kDefault);
    }
    ~Arithmetic() {
        if ((before_ & kMode) != kDefault) _mm_setcsr(before_);
    }

private:
    static constexpr unsigned kMode = 0xFFC0, kDefault = 0x1F80;  // flush, rounding, masks; denormals are zeros
    unsigned before_;
#endif
};

Kernel kernel_of(const Part &p) { return p.weights == nullptr ? p.rows->plain : p.rows->weighted; }

// Bags of a part in steps of about `ids` ids.
std::int64_t bags_a_step(const Part &p, std::int64_t ids) {
    return p.count <= ids ? p.bags : std::max<std::int64_t>(1, p.bags * ids / p.count);
}

Outcome answer_alone(const std::vector<Part> &parts) {
    const Arithmetic arithmetic;
    std::int64_t total = 0;
    Ahead ahead;
    ahead.end = parts.data() + parts.size();
    for (const Part &part : parts) {
        ahead.arrive(part);
        const std::int64_t saturated = kernel_of(part)(part, Span{0, part.bags, part.count}, ahead);
        if (saturated < 0) return {false, total};
        total += saturated;
    }
    return {true, total};
}

struct Job {
    const Scratch *scratch;
    std::atomic<bool> good{true};
    std::atomic<std::int64_t> saturated{0};
};

void do_chunk(void *opaque, std::size_t number) {
    Job &job = *static_cast<Job *>(opaque);
    if (!job.good.load(std::memory_order_relaxed)) return;
    const Arithmetic arithmetic;
    const Chunk &chunk = job.scratch->chunks[number];
    const Part &part = job.scratch->parts[chunk.part];
    Ahead none;
    // Where the chunk's ids begin and end is not checked yet.
    const std::int64_t begin = part.begin(chunk.first);
    const std::int64_t stop = std::clamp<std::int64_t>(part.begin(chunk.last), 0, part.count);
    const std::int64_t until = std::min(stop, begin + part.rows->distance);
    for (std::int64_t at = std::max<std::int64_t>(begin, 0); at < until; ++at) {
        ask_for(address(*part.rows, part.ids[at]), part.rows->pitch);
    }
    const std::int64_t saturated = kernel_of(part)(part, Span{chunk.first, chunk.last, stop}, none);
    if (saturated < 0) job.good.store(false, std::memory_order_relaxed);
    else job.saturated.fetch_add(saturated, std::memory_order_relaxed);
}

void cut(Scratch &scratch) {
    scratch.chunks.clear();
    for (std::uint32_t index = 0; index < scratch.parts.size(); ++index) {
        const Part &part = scratch.parts[index];
        const std::int64_t step = bags_a_step(part, std::max<std::int64_t>(1, kChunkBytes / part.rows->pitch));
        for (std::int64_t bag = 0; bag < part.bags; bag += step) {
            scratch.chunks.push_back({index, bag, std::min(bag + step, part.bags)});
        }
    }
}

// Offsets of a part begin and end where they have to; what lies between is checked with the bags.
bool ends_fit(const Part &p) {
    if (p.offsets == nullptr) return p.bags == p.count;
    return p.offsets[0] == 0 && p.offsets[p.bags] == p.count;
}

double seconds_of(const Part &part) {
    const auto start = std::chrono::steady_clock::now();
    Ahead none;
    none.end = &part + 1;
    none.arrive(part);
    kernel_of(part)(part, Span{0, part.bags, part.count}, none);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

std::int64_t bytes_of(const std::vector<Part> &parts) {
    std::int64_t bytes = 0;
    for (const Part &p : parts) bytes += p.count * p.rows->pitch + p.bags * p.rows->dim * p.rows->result_bytes;
    return bytes;
}

Outcome answer(Scratch &scratch, Pool *pool, std::int64_t bytes) {
    for (const Part &part : scratch.parts) {
        if (!ends_fit(part)) return {false, 0};
    }
    const auto helpers = static_cast<unsigned>(std::min<std::int64_t>(bytes / kBytesPerHelper, 1 << 10));
    if (pool == nullptr || pool->threads() < 2 || helpers == 0) return answer_alone(scratch.parts);
    cut(scratch);
    Job job;
    job.scratch = &scratch;
    pool->run(do_chunk, &job, scratch.chunks.size(), helpers);
    return {job.good.load(), job.saturated.load()};
}

void tune(Rows &rows) {
    constexpr std::int64_t kBags = 256, kLength = 20, kRounds = 3;
    constexpr double kBetter = 0.96;  // of the default's time: less is noise
    std::vector<std::int64_t> offsets(kBags + 1);
    for (std::int64_t bag = 0; bag <= kBags; ++bag) offsets[static_cast<std::size_t>(bag)] = bag * kLength;
    std::vector<std::int64_t> ids(static_cast<std::size_t>(kBags * kLength));
    std::vector<std::uint8_t> out(static_cast<std::size_t>(rows.dim * rows.result_bytes * kBags * kLength));
    const std::int64_t usual = default_distance(rows.pitch);
    const std::int64_t tried[] = {usual, std::clamp<std::int64_t>(usual / 2, 8, 64), 16, usual * 2};
    double best[4] = {1e9, 1e9, 1e9, 1e9};
    std::uint64_t state = 88172645463325252u;
    for (std::int64_t round = 0; round < kRounds; ++round) {
        for (std::size_t which = 0; which < 4; ++which) {
            for (auto &id : ids) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                id = static_cast<std::int64_t>((state >> 11) % static_cast<std::uint64_t>(rows.rows));
            }
            Rows trial = rows;
            trial.distance = tried[which];
            Part part{&trial, ids.data(), rows.unpooled ? nullptr : offsets.data(), nullptr, out.data(),
                      rows.unpooled ? kBags * kLength : kBags, kBags * kLength};
            best[which] = std::min(best[which], seconds_of(part));
        }
    }
    std::size_t chosen = 0;
    for (std::size_t which = 1; which < 4; ++which) {
        if (best[which] < kBetter * best[0] && best[which] < best[chosen]) chosen = which;
    }
    rows.distance = tried[chosen];
}

}  // namespace embnic::cpu
