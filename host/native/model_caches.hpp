// SPDX-License-Identifier: Apache-2.0
// The card's tag stage and two caches to compare it with; the native side of embnic/model.py. A key is
// {table 8, row 48, seg 8}: the RTL's key for the up to 256 tables that a card has.
#ifndef EMBNIC_MODEL_CACHES_HPP
#define EMBNIC_MODEL_CACHES_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace embnic {

// What embnic_cache_sketch estimates: how often a key was looked up lately.
class Sketch {
public:
    explicit Sketch(std::size_t words);  // a power of two from 2 on

    // Estimates, after counting the lookup where `count`.
    unsigned look(std::uint64_t key, bool count) noexcept {
        Word &word = words_[fold(key, index_bits_) & (words_.size() - 1)];
        const unsigned low = fold(key, index_bits_ + 1) & 3, high = 4 + (fold(key, index_bits_ + 2) & 3);
        const unsigned age = (epoch_ - word.epoch) & 3;
        if (!count) return std::min(word.count[low], word.count[high]) >> age;
        for (std::uint8_t &counter : word.count) counter = static_cast<std::uint8_t>(counter >> age);
        word.epoch = epoch_;
        word.count[low] = static_cast<std::uint8_t>(word.count[low] + (word.count[low] < kMost));
        word.count[high] = static_cast<std::uint8_t>(word.count[high] + (word.count[high] < kMost));
        if (++ticks_ == 8 * words_.size()) ticks_ = 0, epoch_ = static_cast<std::uint8_t>((epoch_ + 1) & 3);
        return std::min(word.count[low], word.count[high]);
    }

    // The XOR of all pieces of `width` bits, in the low ones: each turn doubles how many a piece was joined with.
    static std::uint64_t fold(std::uint64_t key, unsigned width) noexcept {
        for (unsigned shift = width; shift < 64; shift *= 2) key ^= key >> shift;
        return key;
    }

private:
    static constexpr unsigned kMost = 15;
    struct Word {
        std::uint8_t count[8], epoch;
    };

    unsigned index_bits_;
    std::uint8_t epoch_ = 0;
    std::size_t ticks_ = 0;
    std::vector<Word> words_;
};

// What embnic_cache_tags decides: set by XOR of the key's pieces; lowest unused way, else tree PLRU over the ways that are
// not held; allocated at once, unless all ways are held or the filter refuses.
class TagCache {
public:
    enum class Command : std::uint8_t { kDrop, kLook, kRelease, kFetch, kLock, kPin };
    // kKept: with kRelease, it was held. kNoWay, kRefused: a miss that gets no way.
    enum Flag : std::uint8_t { kAllocates = 1, kHit = 2, kEvict = 4, kKept = 8, kNoWay = 16, kRefused = 32, kPinned = 64, kHeld = 128 };
    struct Found {
        std::uint32_t line;  // set * ways + way; means something when hit or kept
        std::uint8_t flags;

        bool hit() const noexcept { return (flags & kHit) != 0; }
        bool kept() const noexcept { return (flags & kKept) != 0; }
    };

    // `ways` is 1, 2, 4 or 8, `sets` a power of two from 2 on.
    TagCache(unsigned ways, std::size_t sets);

    // How many ways of each set holds must leave, and whether the filter is asked.
    void configure(unsigned cached_ways, bool admission) noexcept { cached_ways_ = cached_ways, admission_ = admission; }

    std::size_t lines() const noexcept { return keys_.size(); }
    void clear() noexcept;  // drops everything; what was counted stays

    std::size_t set_of(std::uint64_t key) const noexcept {
        return static_cast<std::size_t>(Sketch::fold(key, index_bits_) & set_mask_);
    }

    Found look(std::uint64_t key) noexcept { return look(key, set_of(key)); }
    Found look(std::uint64_t key, std::size_t set) noexcept { return execute(key, set, Command::kLook); }
    Found execute(std::uint64_t key, Command command) noexcept { return execute(key, set_of(key), command); }

    // Fetches what look() reads into the processor's cache. Returns the key's set.
    std::size_t prefetch(std::uint64_t key) const noexcept {
        const std::size_t set = set_of(key);
        __builtin_prefetch(&keys_[set * ways_], 1);
        __builtin_prefetch(&states_[set], 1);
        return set;
    }
    std::size_t first_line(std::size_t set) const noexcept { return set * ways_; }

private:
    // A PLRU bit names the half to be replaced next; node n has the children 2n+1 and 2n+2.
    struct State {
        std::uint8_t valid, pinned, locked, plru;
        std::uint8_t frequency[8];  // estimate at the last lookup
    };

    static void clear_bits(std::uint8_t &mask, unsigned bits) noexcept { mask = static_cast<std::uint8_t>(mask & ~bits); }
    static void set_bits(std::uint8_t &mask, unsigned bits) noexcept { mask = static_cast<std::uint8_t>(mask | bits); }

    // The victim among the ways of `open`, of which there is one.
    template <unsigned kWays>
    static unsigned victim_of(unsigned plru, unsigned open) noexcept {
        unsigned way = 0;
        for (unsigned node = 0, half = kWays / 2; half > 0; half /= 2) {
            const unsigned ways = (1u << half) - 1, left = open >> way & ways, right = open >> (way + half) & ways;
            const unsigned side = right != 0 && ((plru >> node & 1u) != 0 || left == 0);
            way += half * side;
            node = 2 * node + 1 + side;
        }
        return way;
    }

    // Of the path to a way: which PLRU bits it has, and which of them say that the other half is replaced next.
    struct Path {
        std::uint8_t nodes, other;
    };
    template <unsigned kWays>
    static constexpr std::array<Path, kWays> paths() noexcept {
        std::array<Path, kWays> found{};
        for (unsigned way = 0; way < kWays; way++) {
            unsigned nodes = 0, other = 0;
            for (unsigned node = 0, half = kWays / 2; half > 0; half /= 2) {
                const unsigned right = (way & half) != 0;
                nodes |= 1u << node, other |= (1u - right) << node;
                node = 2 * node + 1 + right;
            }
            found[way] = {static_cast<std::uint8_t>(nodes), static_cast<std::uint8_t>(other)};
        }
        return found;
    }

    Found execute(std::uint64_t key, std::size_t set, Command command) noexcept {
        switch (ways_) {
            case 1: return execute_of<1>(key, set, command);
            case 2: return execute_of<2>(key, set, command);
            case 4: return execute_of<4>(key, set, command);
            default: return execute_of<8>(key, set, command);
        }
    }

    template <unsigned kWays>
    Found execute_of(std::uint64_t key, std::size_t set, Command command) noexcept {
        constexpr unsigned kAll = (1u << kWays) - 1;
        static constexpr std::array<Path, kWays> kPaths = paths<kWays>();
        std::uint64_t *keys = &keys_[set * kWays];
        State &state = states_[set];
        const unsigned used = state.valid | state.pinned, held = state.pinned | state.locked;
        unsigned match = 0;
        for (unsigned way = 0; way < kWays; way++) match |= static_cast<unsigned>(keys[way] == key) << way;
        match &= used;
        const bool mine = match != 0, hit = (match & state.valid) != 0;
        Found found{0, static_cast<std::uint8_t>((hit ? kHit : 0) | ((match & state.valid & state.pinned) != 0 ? kPinned : 0))};
        if (command == Command::kDrop || command == Command::kRelease) {
            if (command == Command::kDrop) clear_bits(state.valid, match);
            else clear_bits(state.pinned, match), found.flags |= (match & held) != 0 ? kKept : 0;
            clear_bits(state.locked, match);
            return found;
        }
        found.flags |= kAllocates;
        const unsigned estimate = admission_ ? sketch_.look(key, command == Command::kLook) : 0;
        unsigned way = 0;
        if (mine) {
            way = static_cast<unsigned>(__builtin_ctz(match));
        } else {
            if (held == kAll) {
                found.flags |= kNoWay;
                return found;
            }
            if (used != kAll) {
                way = static_cast<unsigned>(__builtin_ctz(~used));
            } else {
                way = victim_of<kWays>(state.plru, ~held & kAll);
                if (admission_ && command == Command::kLook && estimate <= state.frequency[way]) {
                    if (state.frequency[way] > 0) state.frequency[way]--;
                    found.flags |= kRefused;
                    return found;
                }
                found.flags |= kEvict;
            }
            keys[way] = key;
        }
        found.line = static_cast<std::uint32_t>(set * kWays + way);
        found.flags |= kKept;
        set_bits(state.valid, 1u << way);
        state.frequency[way] = static_cast<std::uint8_t>(estimate);
        state.plru = static_cast<std::uint8_t>((state.plru & ~kPaths[way].nodes) | kPaths[way].other);
        if (command == Command::kLook) {
            clear_bits(state.locked, 1u << way);
        } else if (command != Command::kFetch) {
            const bool room = static_cast<unsigned>(__builtin_popcount(~held & kAll)) > cached_ways_;
            if ((match & held) != 0 || room) {
                set_bits(command == Command::kPin ? state.pinned : state.locked, 1u << way);
                found.flags |= kHeld;
            }
        }
        return found;
    }

    unsigned ways_, index_bits_, cached_ways_ = 1;
    std::size_t set_mask_;
    bool admission_ = false;
    Sketch sketch_;
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
