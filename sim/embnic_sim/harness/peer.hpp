// SPDX-License-Identifier: Apache-2.0
// The other cards behind the port of remote rows: one memory that answers lines late, out of order, twice or never.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "memory.hpp"

namespace embnic {

// Times are cycles of the card's clock. Mirrored by PeerModel in card_models.py, in this order.
struct PeerConfig {
    uint64_t size;         // bytes of the owners' memory, as the descriptors' bases name them
    uint64_t latency_min;  // from a request to the first beat of its answer, at least
    uint64_t latency_max;  // and at most; answers overtake each other accordingly
    double loss;           // probability that a request or its answer is lost
    double twice;          // probability that an answer comes twice
    double stall;          // probability that a request is not taken, or that a cycle carries no beat
    double broken;         // probability that an answer has a beat too few or too many
    double mixed;          // probability that, behind a beat, another answer that is due goes on
    uint64_t seed;
};

// remote_line_t of embnic_pkg, which is 24 bytes.
struct RemoteLine {
    uint32_t tag;
    uint16_t table;
    uint8_t owner, generation;
    uint64_t row;
    uint8_t seg;
    uint32_t beats;
    uint64_t addr;

    static RemoteLine from(const uint8_t* bytes) {
        uint64_t words[3];
        std::memcpy(words, bytes, sizeof words);
        return {uint32_t(words[0]), uint16_t(words[0] >> 32), uint8_t(words[0] >> 48), uint8_t(words[0] >> 56),
                low_bits(words[1], 48), uint8_t(words[1] >> 48), uint32_t(words[1] >> 56) + 1, low_bits(words[2], 40)};
    }
};

class Peer {
public:
    struct Stats {
        uint64_t requests, answers, lost, most_waiting, waiting_sum;
    };

    explicit Peer(uint64_t size) : memory(size), random_(1) { configure({size, 250, 250, 0.0, 0.0, 0.0, 0.0, 0.0, 1}); }

    void configure(const PeerConfig& config) {
        cfg_ = config;
        random_.seed(config.seed);
    }
    bool idle() const { return waiting_.empty() && left_ == 0; }
    const Stats& stats() const { return stats_; }

    // A request may be taken in this cycle.
    bool ready() { return !chance(cfg_.stall); }

    void ask(uint64_t now, const RemoteLine& line) {
        stats_.requests++;
        if (chance(cfg_.loss) || within(lost, line.addr)) {
            stats_.lost++;
            return;
        }
        put(now, line);
        if (chance(cfg_.twice)) put(now, line);
        if (waiting_.size() > stats_.most_waiting) stats_.most_waiting = waiting_.size();
    }

    // Whether a beat is offered from this cycle on; it stays until it is taken.
    bool offer(uint64_t now, uint8_t* data, unsigned bytes) {
        stats_.waiting_sum += waiting_.size();
        if (offered_) return true;
        if (left_ == 0) {
            if (waiting_.empty() || waiting_.begin()->first > now) return false;
            line_ = waiting_.begin()->second;
            waiting_.erase(waiting_.begin());
            left_ = line_.beats;
        }
        if (chance(cfg_.stall)) return false;
        error_ = within(faults, line_.addr) || !memory.holds(line_.addr, bytes);
        if (error_) std::memset(data, 0, bytes);
        else memory.read(line_.addr, data, bytes);
        offered_ = true;
        return true;
    }
    uint32_t tag() const { return line_.tag; }
    bool last() const { return left_ == 1; }
    bool error() const { return error_; }

    void taken(uint64_t now, unsigned bytes) {
        offered_ = false;
        line_.addr += bytes;
        if (--left_ == 0) stats_.answers++;
        else if (chance(cfg_.mixed)) set_aside(now);
    }

    PagedMemory memory;
    std::vector<std::pair<uint64_t, uint64_t>> faults, lost;  // addresses [first, second) of lines in error, never answered

private:
    static bool within(const std::vector<std::pair<uint64_t, uint64_t>>& ranges, uint64_t addr) {
        for (const auto& range : ranges) {
            if (addr >= range.first && addr < range.second) return true;
        }
        return false;
    }
    bool chance(double probability) {
        return probability > 0.0 && double(random_() >> 11) * 0x1.0p-53 < probability;
    }
    void put(uint64_t now, RemoteLine line) {
        const uint64_t spread = cfg_.latency_max > cfg_.latency_min ? cfg_.latency_max - cfg_.latency_min : 0;
        if (chance(cfg_.broken)) line.beats += line.beats == 1 || random_() % 2 ? 1 : -1;
        waiting_.emplace(now + cfg_.latency_min + (spread > 0 ? random_() % (spread + 1) : 0), line);
    }

    // Lets the rest of an answer wait behind the next that is due. Two answers of one tag do not mix.
    void set_aside(uint64_t now) {
        if (waiting_.empty() || waiting_.begin()->first > now) return;
        for (const auto& entry : waiting_) {
            if (entry.second.tag == line_.tag) return;
        }
        line_.beats = uint32_t(left_);
        waiting_.emplace(waiting_.begin()->first, line_);
        left_ = 0;
    }

    PeerConfig cfg_{};
    std::mt19937_64 random_;
    std::multimap<uint64_t, RemoteLine> waiting_;  // by the cycle in which they are due
    RemoteLine line_{};                            // being answered
    uint64_t left_ = 0;                            // beats of it
    bool offered_ = false, error_ = false;
    Stats stats_{};
};

}  // namespace embnic
