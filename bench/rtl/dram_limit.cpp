// SPDX-License-Identifier: Apache-2.0
// The most that the DRAM model delivers: read addresses offered one a cycle while a limit of lines is
// outstanding, every beat taken at once. No core is involved; the model is the simulated card's own.
//
//     dram_limit BEATS OUTSTANDING BEAT_BYTES <14 fields of DramConfig> < addresses (uint64, binary)
//
// Prints the beats and the cycles from the first to the last of them, without the first and last 5 %.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "memory.hpp"

int main(int argc, char** argv) {
    if (argc != 18) return 2;
    const auto number = [&](int at) { return std::strtoull(argv[at], nullptr, 10); };
    const uint64_t beats = number(1), limit = number(2), beat_bytes = number(3);
    embnic::DramConfig config{number(4),  number(5),  number(6),  number(7),  number(8),  number(9),  number(10),
                              number(11), number(12), number(13), number(14), number(15), number(16), number(17)};
    embnic::Dram dram(config);

    std::vector<uint64_t> addresses;
    for (uint64_t addr; std::fread(&addr, sizeof addr, 1, stdin) == 1;) addresses.push_back(addr);

    std::vector<uint64_t> delivered;  // cycle of each beat
    uint64_t outstanding = 0, left = 0;
    size_t next = 0;
    for (uint64_t cycle = 0; delivered.size() < addresses.size() * beats; cycle++) {
        embnic::Dram::Burst burst;
        if (left == 0 && dram.pop_read(cycle, burst)) left = burst.beats;
        if (left > 0) {
            delivered.push_back(cycle);
            if (--left == 0) outstanding--;
        }
        if (next < addresses.size() && outstanding < limit) {
            // IDs are distinct, as those of the core's outstanding reads are.
            dram.push_read(cycle, addresses[next], static_cast<uint32_t>(next), static_cast<uint32_t>(beats),
                           static_cast<uint32_t>(beat_bytes));
            next++;
            outstanding++;
        }
    }
    const size_t first = delivered.size() / 20, last = delivered.size() - 1 - first;
    std::printf("%zu %llu\n", last - first, static_cast<unsigned long long>(delivered[last] - delivered[first]));
}
