// SPDX-License-Identifier: Apache-2.0
// Turns operations on cache lines into beats as stored: rows from the cache or from card memory, with many reads outstanding.
//
// Meaning        as rtl/lookup/embnic_row_cache.sv: flat over all tables, set-associative, the set is the XOR of the key's
//                index-wide pieces; victim: the lowest unused way, else tree pseudo-LRU over the ways that are not held. Hits,
//                victims, held ways and what the admission filter refuses are those of the RTL for the same order of operations.
// Order          beats leave in the order of the operations: a hit waits behind the misses before it (the RTL's hits overtake
//                those of other bags).
// Back-pressure  all streams. issue() runs ahead of execute() by up to kFetches reads of card memory: misses in flight.
// Throughput     II = 1: an operation a cycle in issue(), a beat a cycle in execute().
// Errors         a beat that memory answers with an error leaves with `bad` set, and its line is dropped from the cache by
//                whoever sees it (drop). An operation that names no slot, or beats beyond its line, is refused and counted.
#ifndef EMBNIC_ROW_CACHE_HPP
#define EMBNIC_ROW_CACHE_HPP

#include "embnic/beat.hpp"
#include "embnic/stream.hpp"

namespace embnic {

// The name of a line: {table 15, row 48, seg 8}.
struct LineKey {
    std::uint64_t low;   // row and seg
    std::uint16_t high;  // table

    bool operator==(const LineKey& other) const { return low == other.low && high == other.high; }
};

// XOR of the key's pieces of `width` bits.
inline std::uint32_t fold(const LineKey& key, unsigned width) {
    if (width == 0) return 0;
    const std::uint64_t low = key.low | static_cast<std::uint64_t>(key.high & 0xFFu) << 56, high = key.high >> 8;
    const std::uint32_t mask = (1u << width) - 1;
    std::uint32_t folded = 0;
    for (unsigned shift = 0; shift < 71; shift += width) {
        const std::uint64_t piece =
            shift == 0 ? low : shift < 64 ? low >> shift | high << (64 - shift) : high >> (shift - 64);
        folded ^= static_cast<std::uint32_t>(piece) & mask;
    }
    return folded;
}

// How often keys were looked up lately: as rtl/lookup/embnic_cache_sketch.sv.
template <unsigned kWords>
class Sketch {
  public:
    // The estimate of a key; with `count` this lookup is counted first.
    unsigned look(const LineKey& key, bool count) {
        const unsigned word = fold(key, kWidth);
        const unsigned lanes[2] = {fold(key, kWidth + 1) % 4, 4 + fold(key, kWidth + 2) % 4};
        const unsigned halvings = static_cast<unsigned>(lookups_ / (8u * kWords));
        const unsigned age = (halvings - halved_[word]) % 4;
        std::uint8_t counts[8];
        for (unsigned lane = 0; lane < 8; lane++) counts[lane] = static_cast<std::uint8_t>(counts_[word][lane] >> age);
        if (count) {
            lookups_++;
            for (unsigned lane : lanes) counts[lane] = counts[lane] < 15 ? static_cast<std::uint8_t>(counts[lane] + 1) : 15;
            for (unsigned lane = 0; lane < 8; lane++) counts_[word][lane] = counts[lane];
            halved_[word] = halvings;
        }
        return counts[lanes[0]] < counts[lanes[1]] ? counts[lanes[0]] : counts[lanes[1]];
    }

  private:
    static constexpr unsigned width() {
        unsigned bits = 0;
        while ((1u << bits) < kWords) bits++;
        return bits;
    }
    static constexpr unsigned kWidth = width();
    std::uint8_t counts_[kWords][8]{};
    unsigned halved_[kWords]{};
    std::uint64_t lookups_ = 0;
};

enum class TagCommand : std::uint8_t { DROP, LOOK, RELEASE, FETCH, LOCK, PIN };  // tag_cmd_e of embnic_cache_pkg

// What a lookup of the tags finds; `line` means something when hit or kept.
struct Found {
    bool hit, evicted, kept, no_way, refused, pinned, held;
    unsigned line;
};

template <unsigned kWays, unsigned kSets>
class Tags {
  public:
    unsigned cached_ways = 1;  // of each set that holds must leave
    bool admission = false;

    Found execute(const LineKey& key, TagCommand command, unsigned estimate) {
        const unsigned set = fold(key, kIndexBits);
        Way* ways = ways_[set];
        unsigned mine = kWays;
        for (unsigned way = kWays; way-- > 0;) {
            if (ways[way].used() && ways[way].key == key) mine = way;
        }
        Found found{};
        found.hit = mine < kWays && ways[mine].valid;
        found.pinned = found.hit && ways[mine].pinned;
        if (command == TagCommand::DROP || command == TagCommand::RELEASE) {
            if (mine < kWays) drop(ways[mine], command, found);
            return found;
        }
        if (!admission) estimate = 0;
        if (mine == kWays && !allocate(set, command, estimate, found, mine)) return found;
        hold(ways, mine, command, found);
        ways[mine].key = key;
        ways[mine].valid = true;
        ways[mine].frequency = static_cast<std::uint8_t>(estimate);
        found.kept = true;
        found.line = set * kWays + mine;
        touch(set, mine);
        return found;
    }

  private:
    struct Way {
        LineKey key{};
        bool valid{}, pinned{}, locked{};
        std::uint8_t frequency{};

        bool used() const { return valid || pinned; }
        bool held() const { return pinned || locked; }
    };
    static constexpr unsigned index_bits() {
        unsigned bits = 0;
        while ((1u << bits) < kSets) bits++;
        return bits;
    }
    static constexpr unsigned kIndexBits = index_bits();
    Way ways_[kSets][kWays]{};
    bool trees_[kSets][kWays]{};  // nodes of the pseudo-LRU tree, the root first

    static void drop(Way& way, TagCommand command, Found& found) {
        const bool release = command == TagCommand::RELEASE;
        found.kept = release && way.held();
        way.locked = false;
        way.valid = way.valid && release;
        way.pinned = way.pinned && !release;
    }

    bool allocate(unsigned set, TagCommand command, unsigned estimate, Found& found, unsigned& mine) {
        Way* ways = ways_[set];
        unsigned unused = kWays, free = 0;
        for (unsigned way = kWays; way-- > 0;) {
            if (!ways[way].used()) unused = way;
            if (!ways[way].held()) free++;
        }
        if (free == 0) {
            found.no_way = true;
            return false;
        }
        mine = unused < kWays ? unused : victim(set);
        if (unused == kWays && admission && command == TagCommand::LOOK && estimate <= ways[mine].frequency) {
            if (ways[mine].frequency) ways[mine].frequency--;
            found.refused = true;
            return false;
        }
        found.evicted = unused == kWays;
        return true;
    }

    void hold(Way* ways, unsigned mine, TagCommand command, Found& found) {
        if (command == TagCommand::LOOK) ways[mine].locked = false;
        if (command != TagCommand::LOCK && command != TagCommand::PIN) return;
        unsigned free = 0;
        for (unsigned way = 0; way < kWays; way++) free += !ways[way].held();
        found.held = ways[mine].held() || free > cached_ways;
        if (found.held) (command == TagCommand::LOCK ? ways[mine].locked : ways[mine].pinned) = true;
    }

    // Follow the tree, and turn round where all ways of the half are held.
    unsigned victim(unsigned set) const {
        unsigned node = 0, way = 0;
        for (unsigned half = kWays / 2; half; half /= 2) {
            bool right = trees_[set][node], all_held = true;
            for (unsigned at = 0; at < half; at++) all_held = all_held && ways_[set][way + half * right + at].held();
            right = right != all_held;
            way += half * right;
            node = 2 * node + 1 + right;
        }
        return way;
    }

    void touch(unsigned set, unsigned way) {
        unsigned node = 0;
        for (unsigned half = kWays / 2; half; half /= 2) {
            const bool right = (way & half) != 0;
            trees_[set][node] = !right;
            node = 2 * node + 1 + right;
        }
    }
};

// A line that is asked of card memory.
struct ReadRequest {
    std::uint64_t addr;
    std::uint16_t beats;
};

// A beat of its answer.
template <unsigned kLanes>
struct ReadBeat {
    Lanes<kLanes> data;
    bool error;
};

// A beat as stored, or an error in its place.
template <unsigned kLanes>
struct CacheBeat {
    StoredBeat<kLanes> stored;
    bool bad;
};

// What became of a row that was prefetched or released.
struct Prefetched {
    bool there;    // all its lines were in the cache
    bool granted;  // all are, held as asked, or were held and are released
};

struct CacheEvents {
    std::uint64_t row_hit, row_miss, line_hit, line_miss, line_pinned, evict, fetch, fetch_beat, no_way, refused, prefetch_error,
        bad_op;
};

// A configuration has kLanes, kSlots, kLineBeats, kWays, kSets, kFetches and kInitBeats.
template <typename Config>
class RowCache {
  public:
    static constexpr unsigned kLanes = Config::kLanes;
    static constexpr unsigned kBusBytes = kLanes * 4;
    using Data = Lanes<kLanes>;

    Tags<Config::kWays, Config::kSets> tags;
    CacheEvents evt{};

    // Look operations up and ask memory for what is missing, as far as reads may be outstanding.
    void issue(Stream<Op>& s_axis_op, Stream<ReadRequest>& m_axi_ar) {
        while (!s_axis_op.empty() && outstanding_ < Config::kFetches) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II = 1
#endif
            const Op op = s_axis_op.read();
            if (!valid(op)) {
                evt.bad_op++;
                continue;
            }
            const LineKey key{(op.row & wire::kNullRow) << 8 | op.seg, static_cast<std::uint16_t>(op.tbl & 0x7FFF)};
            Pending pending{op, {}, key};
            if (op.kind == OpKind::INVALIDATE) {
                look(key, TagCommand::DROP);
                continue;
            }
            if (op.kind != OpKind::FLUSH && op.kind != OpKind::INIT) {
                pending.found = look(key, command(op.kind));
                if (op.kind == OpKind::ROW) count_row(op, pending.found);
                if (op.kind >= OpKind::RELEASE) count_prefetch(op, pending.found);
                if (op.kind != OpKind::RELEASE && !pending.found.hit) {
                    evt.fetch++;
                    evt.fetch_beat += op.fetch_beats;
                    outstanding_++;
                    m_axi_ar.write(ReadRequest{op.addr, op.fetch_beats});
                }
                if (op.kind == OpKind::RELEASE) continue;
            }
            pending_.write(pending);
        }
    }

    // Give the beats of every operation whose line has come.
    void execute(Stream<ReadBeat<kLanes>>& m_axi_r, const Data* init_ram, Stream<CacheBeat<kLanes>>& beat) {
        while (!pending_.empty()) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II = 1
#endif
            if (!held_) next_ = pending_.read();
            const bool line = next_.op.kind == OpKind::ROW || next_.op.kind >= OpKind::PREFETCH;
            held_ = line && !next_.found.hit && m_axi_r.level() < next_.op.fetch_beats;
            if (held_) return;
            if (line && !next_.found.hit) fill(m_axi_r);
            emit(init_ram, beat);
        }
        if (held_ && m_axi_r.level() >= next_.op.fetch_beats) {
            held_ = false;
            fill(m_axi_r);
            emit(init_ram, beat);
        }
    }

    // The line is wrong: forget it.
    void drop(const LineKey& key) { tags.execute(key, TagCommand::DROP, 0); }

    // Forget every line, the held ones too.
    void flush() {
        const unsigned ways = tags.cached_ways;
        const bool admission = tags.admission;
        tags = {};
        tags.cached_ways = ways;
        tags.admission = admission;
    }

    bool idle() const { return !held_ && pending_.empty() && outstanding_ == 0; }

    Stream<Prefetched> pf;  // of every row, with its last line

  private:
    struct Pending {
        Op op;
        Found found;
        LineKey key;
    };
    struct Line {
        Data data[Config::kLineBeats];
        bool bad[Config::kLineBeats];
    };
    Sketch<Config::kWays * Config::kSets> sketch_;
    Line lines_[Config::kWays * Config::kSets]{};
    Line fetched_{};  // where a line that gets no way is consumed from
    Stream<Pending> pending_;
    Pending next_{};
    bool held_ = false;
    unsigned outstanding_ = 0;
    bool row_hit_ = true;
    Prefetched row_{true, true};

    static bool valid(const Op& op) {
        const bool row = op.kind == OpKind::ROW, line = row || op.kind >= OpKind::PREFETCH;
        if (op.slot >= Config::kSlots || op.dtype > DType::FIXED || op.kind > OpKind::PIN) return false;
        if (line && (op.fetch_beats == 0 || op.fetch_beats > Config::kLineBeats)) return false;
        const unsigned expand = row ? expand_of(op.dtype) : 0;
        return !row || op.beats == 0 || (op.chunk + op.beats - 1u) >> expand < op.fetch_beats;
    }

    static TagCommand command(OpKind kind) {
        switch (kind) {
        case OpKind::RELEASE: return TagCommand::RELEASE;
        case OpKind::PREFETCH: return TagCommand::FETCH;
        case OpKind::LOCK: return TagCommand::LOCK;
        case OpKind::PIN: return TagCommand::PIN;
        default: return TagCommand::LOOK;
        }
    }

    Found look(const LineKey& key, TagCommand command) {
        const bool counted = tags.admission && command != TagCommand::DROP && command != TagCommand::RELEASE;
        const unsigned estimate = counted ? sketch_.look(key, command == TagCommand::LOOK) : 0;
        const Found found = tags.execute(key, command, estimate);
        if (command == TagCommand::DROP) return found;
        evt.evict += found.evicted;
        evt.no_way += found.no_way;
        evt.refused += found.refused;
        return found;
    }

    void count_row(const Op& op, const Found& found) {
        (found.hit ? evt.line_hit : evt.line_miss)++;
        evt.line_pinned += found.pinned;
        row_hit_ = found.hit && (row_hit_ || op.first_seg);
        if (op.last_seg) (row_hit_ ? evt.row_hit : evt.row_miss)++;
    }

    void count_prefetch(const Op& op, const Found& found) {
        const bool holds = op.kind == OpKind::LOCK || op.kind == OpKind::PIN;
        const Prefetched before = op.first_seg ? Prefetched{true, true} : row_;
        row_ = Prefetched{before.there && found.hit, before.granted && (holds ? found.held : found.kept)};
        if (op.last_seg) pf.write(row_);
    }

    void fill(Stream<ReadBeat<kLanes>>& m_axi_r) {
        Line& line = next_.found.kept ? lines_[next_.found.line] : fetched_;
        for (unsigned at = 0; at < next_.op.fetch_beats; at++) {
            const ReadBeat<kLanes> beat = m_axi_r.read();
            line.data[at] = beat.data;
            line.bad[at] = beat.error;
        }
        outstanding_--;
    }

    void emit(const Data* init_ram, Stream<CacheBeat<kLanes>>& out) {
        const Op& op = next_.op;
        const Line& line = next_.found.kept ? lines_[next_.found.line] : fetched_;
        if (op.kind >= OpKind::PREFETCH) {
            if (next_.found.hit) evt.prefetch_error += line.bad[0];
            for (unsigned at = 0; !next_.found.hit && at < op.fetch_beats; at++) evt.prefetch_error += line.bad[at];
            return;
        }
        Beat info = shared(op);
        const bool row = op.kind == OpKind::ROW;
        if (row && op.header && kBusBytes == 16) {
            Beat header = info;
            header.header = header.bare = true;
            header.beat = op.beat_base;
            header.rsp_addr = (op.rsp_addr + op.beat_base) & 0x3FFF;
            out.write({{header, line.data[0]}, line.bad[0]});
        }
        const unsigned expand = row ? expand_of(op.dtype) : 0;
        for (unsigned number = 0; number < op.beats; number++) {
            const unsigned chunk = op.chunk + number, place = chunk >> expand;
            info.beat = static_cast<std::uint16_t>(op.beat_base + number);
            info.rsp_addr = (op.rsp_addr + info.beat) & 0x3FFF;
            info.header = row && op.header && kBusBytes != 16 && number == 0;
            info.sub = static_cast<std::uint8_t>(chunk & ((1u << expand) - 1));
            info.done = op.last && op.last_seg && number + 1 == op.beats;
            Data data{};
            if (row) data = line.data[place];
            if (op.kind == OpKind::INIT) data = init_ram[(op.row + info.beat) % Config::kInitBeats];
            out.write({{info, data}, row && line.bad[place]});
            if (!op.combine && !op.product) continue;
            Beat other = info;
            other.combine = other.product = other.first = other.last = other.done = other.header = false;
            other.sub = 0;
            other.fetch = true;
            other.bank = row ? kPairFirstBank : static_cast<std::uint8_t>(op.row & 15);
            out.write({{other, Data{}}, false});
        }
    }

    static Beat shared(const Op& op) {
        Beat info{};
        info.dtype = op.dtype;
        info.slot = op.slot;
        info.ctx = op.ctx;
        info.bank = op.bank;
        info.combine = op.kind == OpKind::FLUSH && op.combine;
        info.product = op.product;
        info.first = op.first;
        info.load = op.kind == OpKind::INIT;
        info.flush = op.kind == OpKind::FLUSH && !op.combine;
        info.last = op.last;
        info.dim = op.dim;
        info.pooling = op.pooling;
        info.partial = op.partial;
        info.mul_then_add = op.mul_then_add;
        info.weight = op.weight;
        info.count = op.count;
        return info;
    }
};

}  // namespace embnic

#endif  // EMBNIC_ROW_CACHE_HPP
