// SPDX-License-Identifier: Apache-2.0
// The card's tag stage and two caches to compare it with; the native side of embnic/model.py. A key is
// {table 8, row 48, seg 8}: the RTL's key for the up to 256 tables that a card has.
#ifndef EMBNIC_MODEL_HPP
#define EMBNIC_MODEL_HPP

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace embnic {

// What embnic_cache_tags decides: set by XOR of the key's pieces, lowest invalid way, else tree PLRU; allocated at once.
class TagCache {
public:
    struct Found {
        std::uint32_t line;  // set * ways + way
        bool hit, evict;
    };

    // `ways` is 1, 2, 4 or 8, `sets` a power of two from 2 on.
    TagCache(unsigned ways, std::size_t sets);

    std::size_t lines() const noexcept { return keys_.size(); }
    void clear() noexcept;

    Found lookup(std::uint64_t key) noexcept {
        switch (ways_) {
            case 1: return lookup_of<1>(key);
            case 2: return lookup_of<2>(key);
            case 4: return lookup_of<4>(key);
            default: return lookup_of<8>(key);
        }
    }

    // Drops the line if it is there; its place in the PLRU order stays.
    bool drop(std::uint64_t key) noexcept {
        const std::size_t set = set_of(key);
        const std::uint64_t *keys = &keys_[set * ways_];
        for (unsigned way = 0; way < ways_; way++) {
            if ((states_[set].valid >> way & 1) == 0 || keys[way] != key) continue;
            states_[set].valid = static_cast<std::uint8_t>(states_[set].valid & ~(1u << way));
            return true;
        }
        return false;
    }

    void prefetch(std::uint64_t key) const noexcept {
        const std::size_t set = set_of(key);
        __builtin_prefetch(&keys_[set * ways_], 1);
        __builtin_prefetch(&states_[set], 1);
    }

private:
    // A PLRU bit names the half to be replaced next; node n has the children 2n+1 and 2n+2.
    struct State {
        std::uint8_t valid, plru;
    };

    std::size_t set_of(std::uint64_t key) const noexcept {
        std::uint64_t set = key;
        for (unsigned shift = index_bits_; shift < 64; shift += index_bits_) set ^= key >> shift;
        return static_cast<std::size_t>(set & (states_.size() - 1));
    }

    template <unsigned kWays>
    Found lookup_of(std::uint64_t key) noexcept {
        const std::size_t set = set_of(key);
        std::uint64_t *keys = &keys_[set * kWays];
        State &state = states_[set];
        unsigned match = 0;
        for (unsigned way = 0; way < kWays; way++) match |= static_cast<unsigned>(keys[way] == key) << way;
        match &= state.valid;
        constexpr unsigned kAll = (1u << kWays) - 1;
        const bool hit = match != 0, full = state.valid == kAll;
        unsigned way = 0;
        if (hit) {
            way = static_cast<unsigned>(__builtin_ctz(match));
        } else {
            if (!full) way = static_cast<unsigned>(__builtin_ctz(~static_cast<unsigned>(state.valid)));
            else for (unsigned node = 0, half = kWays / 2; half > 0; half /= 2) {
                const unsigned right = state.plru >> node & 1u;
                way += half * right;
                node = 2 * node + 1 + right;
            }
            keys[way] = key;
            state.valid = static_cast<std::uint8_t>(state.valid | 1u << way);
        }
        for (unsigned node = 0, half = kWays / 2; half > 0; half /= 2) {
            const unsigned right = (way & half) != 0;
            state.plru = static_cast<std::uint8_t>((state.plru & ~(1u << node)) | (1u - right) << node);
            node = 2 * node + 1 + right;
        }
        return {static_cast<std::uint32_t>(set * kWays + way), hit, !hit && full};
    }

    unsigned ways_, index_bits_;
    std::vector<std::uint64_t> keys_;  // [sets][ways]
    std::vector<State> states_;        // [sets]
};

// Fully associative, least recently used: the bound that the others are compared with.
class LruCache {
public:
    explicit LruCache(std::size_t lines);
    bool lookup(std::uint64_t key, bool &evict);  // returns whether it was there; it is the newest then
    void clear();

private:
    struct Node {
        std::uint64_t key;
        std::uint32_t older, newer;
    };
    void unlink(std::uint32_t at) noexcept;
    void push(std::uint32_t at) noexcept;

    std::size_t lines_;
    std::unordered_map<std::uint64_t, std::uint32_t> where_;
    std::vector<Node> nodes_;  // [0] ends the ring: its `newer` is the oldest, its `older` the newest
};

// FBGEMM's UVM cache: sets of `ways`, set by MurmurHash3's 64-bit finaliser modulo the sets, LRU by call.
class FbgemmCache {
public:
    // In the order of FBGEMM's uvm_cache_stats.
    struct Counters {
        std::int64_t calls, requested, unique, unique_misses, conflict_unique_misses, conflict_misses;
    };

    FbgemmCache(unsigned ways, std::size_t sets);
    void call(const std::uint64_t *keys, std::size_t count);  // one prefetch or forward
    void clear();
    Counters counters{};

private:
    unsigned ways_;
    std::size_t sets_;
    std::vector<std::uint64_t> keys_;
    std::vector<std::int64_t> times_;  // call of the last use; 0: empty
};

}  // namespace embnic

#endif
