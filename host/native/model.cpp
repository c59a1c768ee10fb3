// SPDX-License-Identifier: Apache-2.0
// The card, cycle by cycle only where something happens; the native side of embnic/model.py, whose Python twin
// (model_twin.py) takes the same steps with the same integers. What each parameter means is said in embnic/model.py.
#include "model.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

namespace embnic {

Sketch::Sketch(std::size_t words) : index_bits_(0), words_(words) {
    while (std::size_t{1} << index_bits_ < words) index_bits_++;
}

TagCache::TagCache(unsigned ways, std::size_t sets) : ways_(ways), index_bits_(0), sketch_(ways * sets) {
    if (ways != 1 && ways != 2 && ways != 4 && ways != 8) throw std::invalid_argument("ways must be 1, 2, 4 or 8");
    if (sets < 2 || (sets & (sets - 1)) != 0) throw std::invalid_argument("sets must be a power of two from 2 on");
    while (std::size_t{1} << index_bits_ < sets) index_bits_++;
    keys_.resize(ways * sets);
    states_.resize(sets);
}

void TagCache::clear() noexcept {
    std::fill(states_.begin(), states_.end(), State{});
}

LruCache::LruCache(std::size_t lines) : lines_(lines) {
    if (lines < 1 || lines >= 0xFFFFFFFFu) throw std::invalid_argument("lines must be 1 or more, below 2**32 - 1");
    clear();
}

void LruCache::clear() {
    where_.clear();
    where_.reserve(lines_);
    nodes_.assign(1, Node{0, 0, 0});
}

void LruCache::unlink(std::uint32_t at) noexcept {
    nodes_[nodes_[at].older].newer = nodes_[at].newer;
    nodes_[nodes_[at].newer].older = nodes_[at].older;
}

void LruCache::push(std::uint32_t at) noexcept {
    const std::uint32_t newest = nodes_[0].older;
    nodes_[at].older = newest;
    nodes_[at].newer = 0;
    nodes_[newest].newer = at;
    nodes_[0].older = at;
}

bool LruCache::lookup(std::uint64_t key, bool &evict) {
    evict = false;
    const auto found = where_.find(key);
    if (found != where_.end()) {
        unlink(found->second);
        push(found->second);
        return true;
    }
    std::uint32_t at = static_cast<std::uint32_t>(nodes_.size());
    if (nodes_.size() <= lines_) {
        nodes_.push_back(Node{key, 0, 0});
    } else {
        evict = true;
        at = nodes_[0].newer;
        unlink(at);
        where_.erase(nodes_[at].key);
        nodes_[at].key = key;
    }
    push(at);
    where_.emplace(key, at);
    return false;
}

FbgemmCache::FbgemmCache(unsigned ways, std::size_t sets) : ways_(ways), sets_(sets) {
    if (ways < 1 || ways > 64 || sets < 1) throw std::invalid_argument("ways must be 1 to 64, sets 1 or more");
    keys_.resize(ways * sets);
    times_.assign(ways * sets, 0);
}

void FbgemmCache::clear() {
    std::fill(times_.begin(), times_.end(), 0);
    counters = {};
}

namespace {

std::uint64_t murmur3_finaliser(std::uint64_t h) noexcept {
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ull;
    return h ^ h >> 33;
}

}  // namespace

// Lines that this call uses are not replaced by it, so a set that the call overfills keeps its first `ways` rows and the
// rest are conflict misses. Misses of a set come in the order of their keys.
void FbgemmCache::call(const std::uint64_t *keys, std::size_t count) {
    const std::int64_t now = ++counters.calls;
    counters.requested += static_cast<std::int64_t>(count);
    std::vector<std::uint64_t> unique(keys, keys + count);
    std::sort(unique.begin(), unique.end());
    unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
    counters.unique += static_cast<std::int64_t>(unique.size());
    const auto way_of = [&](std::uint64_t key, std::size_t base) {
        unsigned way = 0;
        while (way < ways_ && !(times_[base + way] > 0 && keys_[base + way] == key)) way++;
        return way;
    };
    const auto base_of = [&](std::uint64_t key) { return murmur3_finaliser(key) % sets_ * ways_; };
    std::vector<std::uint64_t> misses;
    for (const std::uint64_t key : unique) {
        const std::size_t base = base_of(key);
        const unsigned way = way_of(key, base);
        if (way == ways_) misses.push_back(key);
        else times_[base + way] = now;
    }
    counters.unique_misses += static_cast<std::int64_t>(misses.size());
    for (const std::uint64_t key : misses) {
        const std::size_t base = base_of(key);
        const auto first = times_.begin() + static_cast<std::ptrdiff_t>(base);
        const auto oldest = std::min_element(first, first + ways_);
        if (*oldest == now) {
            counters.conflict_unique_misses++;
            continue;
        }
        keys_[base + static_cast<std::size_t>(oldest - first)] = key;
        *oldest = now;
    }
    for (std::size_t i = 0; i < count; i++) {
        counters.conflict_misses += way_of(keys[i], base_of(keys[i])) == ways_;
    }
}

namespace {

namespace nb = nanobind;
using Time = std::int64_t;
using Mask = std::uint64_t;
using Keys = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ints = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ints2 = nb::ndarray<const std::int64_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
using OutKeys = nb::ndarray<std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutInts = nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr Time kNever = std::int64_t{1} << 62;
constexpr std::uint64_t kLinear = (std::uint64_t{1} << 37) - 1;  // of an address: the byte of card memory
constexpr std::uint64_t kPage = 4096;                            // a page has one channel

void require(bool holds, const char *what) {
    if (!holds) throw std::invalid_argument(what);
}

// Slots to be looked at in a later cycle. Those further ahead than the wheel reaches are looked at too early, and put back.
class Wheel {
public:
    static constexpr Time kSpan = 4096;

    void put(Time now, Time when, unsigned slot) noexcept {
        const Time at = std::max(now + 1, std::min(when, now + kSpan - 1));
        const std::size_t bucket = static_cast<std::size_t>(at) % kSpan;
        masks_[bucket] |= Mask{1} << slot;
        words_[bucket / 64] |= Mask{1} << bucket % 64;
        summary_ |= Mask{1} << bucket / 64;
    }
    Mask take(Time now) noexcept {
        const std::size_t bucket = static_cast<std::size_t>(now) % kSpan;
        const Mask found = masks_[bucket];
        if (found != 0) {
            masks_[bucket] = 0;
            words_[bucket / 64] &= ~(Mask{1} << bucket % 64);
            if (words_[bucket / 64] == 0) summary_ &= ~(Mask{1} << bucket / 64);
        }
        return found;
    }
    // The first cycle after `now` that has slots.
    Time next(Time now) const noexcept {
        if (summary_ == 0) return kNever;
        const std::size_t from = static_cast<std::size_t>(now + 1) % kSpan;
        std::size_t word = from / 64;
        Mask bits = words_[word] >> from % 64;
        if (bits != 0) return now + 1 + __builtin_ctzll(bits);
        // The words behind this one first; this word's lower buckets are the furthest ahead.
        const Mask above = word == 63 ? 0 : summary_ >> (word + 1) << (word + 1);
        word = static_cast<std::size_t>(__builtin_ctzll(above != 0 ? above : summary_));
        const std::size_t bucket = word * 64 + static_cast<std::size_t>(__builtin_ctzll(words_[word]));
        return now + 1 + static_cast<Time>((bucket + kSpan - from) % kSpan);
    }

private:
    Mask masks_[kSpan] = {}, words_[64] = {}, summary_ = 0;
};

// The lowest set bit above the last one taken, else the lowest: embnic_rr_arbiter.
class RoundRobin {
public:
    unsigned take(Mask requests) noexcept {
        const Mask high = requests & above_;
        const unsigned chosen = static_cast<unsigned>(__builtin_ctzll(high != 0 ? high : requests));
        above_ = chosen == 63 ? 0 : ~Mask{0} << (chosen + 1);
        return chosen;
    }

private:
    Mask above_ = 0;
};

// -1: the key has no line, or none that anybody may read.
std::int64_t line_of(const TagCache::Found &found) noexcept {
    return (found.flags & TagCache::kAllocates) != 0 && found.kept() ? std::int64_t{found.line} : -1;
}

struct Line {
    std::int32_t fetch_beats, beats, beat_base, offset;  // offset of the line in its row, bytes
};

struct Table {
    std::vector<Line> lines;
    std::uint64_t base = 0, stride = 0, rows = 0, padding = ~0ull;
    bool long_format = false, mean = false;
    std::int32_t tree = 0;      // running sums; 0: no tree
    bool combine_long = false;  // they are added by the adder
    bool remote = false;        // its rows are another card's
};

// Of one line of a row, from tag stage to pool.
struct Operation {
    Time ready;  // its line has come, or it has passed the tag stage
    std::uint32_t line, fills, reads;
    std::int32_t beats, request;
    std::int32_t spread;  // of a combine, whose beats take two cycles: the vector's beats
    bool row, miss, fill, waits, long_format, first_line, last, mean;  // a miss that does not fill has no line
    bool keeps_long;  // what follows in its slot keeps the long distance
};

struct Stamps {
    std::uint32_t fills = 0, reads = 0, done_fills = 0, done_reads = 0;
    Time filled = 0;  // from when on the last fill can be read
};

struct Request {
    Time done;
    std::int64_t bags_left;
    std::int32_t vec64, bags, merges;
    bool walked, weighted, init, partial, after, product;
};

struct Slot {
    std::vector<Operation> ring;  // [places]
    std::vector<Time> ended;      // [places]: when each operation left its place
    std::uint64_t issued = 0, started = 0;
    Time free = 0, row_start = 0;
    bool row_long = false, asleep = false;
    std::size_t key = 0, end = 0;
    std::int32_t request = 0;
    bool init = false, any = false;
    std::size_t first = 0;        // its first key
    Time first_at = -1;           // when that, or its accumulator, was chosen
    std::int64_t tail = 0;        // partials, or running sums, behind its keys
    std::int64_t rows = 0;
    bool half = false;            // of a pair: its first row was read
    unsigned pair = 0;            // of a product: 0 first row, 1 second, 2 multiply, 3 add
};

class CardModel {
public:
    explicit CardModel(const nb::dict &given)
        : tags_(static_cast<unsigned>(get(given, "ways")), static_cast<std::size_t>(get(given, "sets"))) {
        const auto whole = [&](const char *name) { return get(given, name); };
        slots_n_ = static_cast<unsigned>(whole("slots"));
        places_ = static_cast<std::uint64_t>(whole("places"));
        bus_ = whole("bus_bytes"), words_ = bus_ / 8;
        fetches_ = whole("fetches"), burst_ = whole("max_burst");
        contexts_ = whole("contexts"), reply_space_ = whole("reply_units_space");
        window_ = whole("window"), window_bytes_ = whole("window_bytes"), reply_units_ = whole("reply_units");
        overhead_ = whole("frame_overhead"), wire_overhead_ = whole("wire_overhead");
        rate_ = nb::cast<double>(given["line_bytes_per_cycle"]);
        base_latency_ = whole("base_latency"), hit_latency_ = whole("hit_latency");
        miss_latency_ = whole("miss_latency"), banks_ = whole("banks"), row_bytes_ = whole("row_bytes");
        bank_busy_ = whole("bank_busy"), memory_bytes_ = whole("bytes_per_cycle");
        refresh_period_ = whole("refresh_period"), refresh_cycles_ = whole("refresh_cycles");
        jitter_ = whole("jitter_mean");
        decode_ = whole("decode"), request_gap_ = whole("request_gap"), issue_ = whole("issue"), known_ = whole("known"), copy_ = whole("copy");
        queue_ = static_cast<std::size_t>(whole("key_queue")), tag_ = whole("tag"), fetch_ = whole("fetch");
        arrival_ = whole("arrival"), alone_ = whole("alone"), loop_ = whole("loop"), loop_long_ = whole("loop_long");
        filled_ = whole("filled"), credit_ = whole("credit"), pool_ = whole("pool"), pool_long_ = whole("pool_long");
        divide_ = whole("divide"), reply_ = whole("reply"), frame_gap_ = whole("frame_gap"), host_ = whole("host");
        update_ = whole("update"), prefetch_ = whole("prefetch");
        remote_latency_ = whole("remote"), remote_queue_ = whole("remote_queue"), remote_quiet_ = whole("remote_quiet");
        for_remote_ = (Mask{1} << whole("remote_slots")) - 1;
        remote_fetched_.assign(static_cast<std::size_t>(whole("remote_fetches")), -1);
        require(slots_n_ >= 2 && slots_n_ <= 64, "slots must be 2 to 64");
        require(places_ >= 1 && (places_ & (places_ - 1)) == 0, "places must be a power of two");
        require(window_ >= 1 && window_ <= contexts_ && fetches_ >= 1 && queue_ >= 1,
                "window must be 1 to contexts, fetches and key_queue 1 or more");
        all_ = slots_n_ == 64 ? ~Mask{0} : (Mask{1} << slots_n_) - 1;
        slots_.resize(slots_n_);
        for (Slot &slot : slots_) slot.ring.resize(places_), slot.ended.assign(places_, kNever);
        lines_.resize(tags_.lines());
        popped_.assign(queue_, -1);
        fetched_.assign(static_cast<std::size_t>(fetches_), -1);
        channels_ = static_cast<std::size_t>(whole("channels"));
        bank_ready_.assign(static_cast<std::size_t>(banks_) * channels_, 0);
        open_row_.assign(static_cast<std::size_t>(banks_) * channels_, -1);
        bus_free_.assign(channels_, 0);
    }

    void define(std::size_t number, const Ints2 &lines, Ints where, bool long_format, bool mean) {
        require(number < 256, "a table's number must be below 256");
        require(where.shape(0) == 7, "a table has base, stride, rows, padding, running sums, how they are added, and remote");
        require(where.data()[6] == 0 || !remote_fetched_.empty(), "the card has no remote tables");
        require(lines.shape(0) >= 1 && lines.shape(0) <= std::min<std::size_t>(places_, 256),
                "a row must not have more lines than a slot has places");
        if (tables_.size() <= number) tables_.resize(number + 1);
        Table &table = tables_[number];
        table = Table{};
        for (std::size_t i = 0; i < lines.shape(0); i++) {
            const std::int64_t *line = lines.data() + 4 * i;
            table.lines.push_back({static_cast<std::int32_t>(line[0]), static_cast<std::int32_t>(line[1]),
                                   static_cast<std::int32_t>(line[2]), static_cast<std::int32_t>(line[3])});
        }
        table.base = static_cast<std::uint64_t>(where.data()[0]);
        table.stride = static_cast<std::uint64_t>(where.data()[1]);
        table.rows = static_cast<std::uint64_t>(where.data()[2]);
        table.padding = static_cast<std::uint64_t>(where.data()[3]);
        table.long_format = long_format, table.mean = mean;
        table.tree = static_cast<std::int32_t>(where.data()[4]), table.combine_long = where.data()[5] != 0;
        table.remote = where.data()[6] != 0;
    }

    // Requests `keys[splits[i]:splits[i + 1]]` of results of `vec64[i]` units; flags: 1 weighted, 2 begins with an
    // accumulator, 4 answers with one, 8 is sent when the request before it was answered, 16 holds pairs; from bit 8 on
    // partials to merge.
    void run(Keys keys, Ints splits, Ints vec64, Ints flags) {
        const std::size_t count = vec64.shape(0);
        require(splits.shape(0) == count + 1 && flags.shape(0) == count, "splits, vec64 and flags differ in length");
        require(splits.data()[0] == 0 && splits.data()[count] == static_cast<std::int64_t>(keys.shape(0)),
                "splits do not cut the keys");
        requests_.assign(count, Request{});
        for (std::size_t i = 0; i < count; i++) {
            const std::int64_t first = splits.data()[i], end = splits.data()[i + 1], bits = flags.data()[i];
            require(first < end && keys.data()[end - 1] >> 63 == 1, "a request ends with the end of a bag");
            Request &request = requests_[i];
            request.vec64 = static_cast<std::int32_t>(vec64.data()[i]);
            request.weighted = bits & 1, request.init = bits & 2, request.partial = bits & 4, request.after = bits & 8;
            request.product = bits & 16;
            request.merges = static_cast<std::int32_t>(bits >> 8);
            std::int64_t bags = 0;
            for (std::int64_t at = first; at < end; at++) {
                bags += static_cast<std::int64_t>(keys.data()[at] >> 63);
                require((keys.data()[at] >> 48 & 0x7fff) < tables_.size() &&
                        !tables_[keys.data()[at] >> 48 & 0x7fff].lines.empty(), "a key names an unknown table");
            }
            require(request.vec64 >= 1 && bags * request.vec64 <= reply_space_, "a reply is empty or too long");
            request.bags_left = bags, request.bags = static_cast<std::int32_t>(bags);
        }
        keys_ = keys.data(), splits_ = splits.data();
        nb::gil_scoped_release release;
        simulate();
        counts_.requests += static_cast<std::int64_t>(count);
    }

    void invalidate(std::size_t number, Ints rows) {
        require(number < tables_.size() && !tables_[number].lines.empty(), "unknown table");
        for (std::size_t i = 0; i < rows.shape(0); i++) {
            for (std::size_t seg = 0; seg < tables_[number].lines.size(); seg++) {
                tags_.execute(name_of(number, static_cast<std::uint64_t>(rows.data()[i]), seg), TagCache::Command::kDrop);
            }
        }
        now_ += update_ * static_cast<Time>(rows.shape(0));
    }

    // How the host wrote the register CACHE.
    void configure(unsigned cached_ways, bool admission) noexcept { tags_.configure(cached_ways, admission); }

    // Rows are fetched (3), and locked (4) or pinned (5), or released (2): a PREFETCH; with `fill` each is written and
    // dropped before: a FILL. Returns the rows that are as asked for, and those that were there before.
    nb::tuple prefetch(std::size_t number, Ints rows, unsigned command, bool fill) {
        require(number < tables_.size() && !tables_[number].lines.empty(), "unknown table");
        require(command >= 2 && command <= 5, "command must be 2 to 5");
        const Table &table = tables_[number];
        const auto asked = static_cast<TagCache::Command>(command);
        const bool release = asked == TagCache::Command::kRelease;
        const unsigned wanted = asked == TagCache::Command::kFetch || release ? TagCache::kKept : TagCache::kHeld;
        std::int64_t granted = 0, there = 0;
        Time end = now_;
        for (std::size_t i = 0; i < rows.shape(0); i++) {
            const auto row = static_cast<std::uint64_t>(rows.data()[i]);
            bool all_granted = true, all_there = true;
            now_ += prefetch_ + (fill ? update_ : 0);
            for (std::size_t seg = 0; fill && seg < table.lines.size(); seg++) {
                tags_.execute(name_of(number, row, seg), TagCache::Command::kDrop);
            }
            for (std::size_t seg = 0; seg < table.lines.size(); seg++) {
                const std::uint64_t name = name_of(number, row, seg);
                const TagCache::Found found = tags_.execute(name, asked);
                keep(name, found);
                all_granted &= (found.flags & wanted) != 0, all_there &= found.hit();
                if (release) continue;
                count_line(found);
                const std::int64_t beats = found.hit() ? 1 : stored_beats(table, seg);
                counts_.exec_beats += beats;
                if (found.hit()) continue;
                const Time come = fetch(table, now_, table.base + row * table.stride + static_cast<std::uint64_t>(table.lines[seg].offset),
                                        beats);
                end = std::max(end, come + beats);
                if (found.kept()) take_fill(lines_[found.line], come + beats);
            }
            granted += all_granted, there += all_there;
        }
        now_ = std::max(now_, end);
        counts_.prefetches += !fill, counts_.prefetch_rows += granted;
        return nb::make_tuple(granted, there);
    }

    void flush() noexcept { tags_.clear(); }

    void record(std::size_t most) {
        recorded_.clear();
        record_left_ = most;
    }
    std::size_t recorded() const noexcept { return recorded_.size(); }
    void decisions(OutKeys keys, OutInts lines, OutInts flags) const {
        require(keys.shape(0) == recorded_.size() && lines.shape(0) == recorded_.size() &&
                flags.shape(0) == recorded_.size(), "the arrays do not have the length of what was recorded");
        for (std::size_t i = 0; i < recorded_.size(); i++) {
            keys.data()[i] = recorded_[i].key;
            lines.data()[i] = line_of(recorded_[i].found);
            flags.data()[i] = recorded_[i].found.flags;
        }
    }

    nb::dict counters() const {
        nb::dict out;
        const Counts &c = counts_;
        out["cycles"] = now_;
        out["requests"] = c.requests, out["bags"] = c.bags, out["keys"] = c.keys, out["keys_null"] = c.keys_null;
        out["keys_padding"] = c.keys_padding, out["row_hits"] = c.row_hits, out["row_misses"] = c.row_misses;
        out["line_hits"] = c.line_hits, out["line_misses"] = c.line_misses, out["evictions"] = c.evictions;
        out["pinned_hits"] = c.pinned_hits, out["joins"] = c.joins, out["fetches"] = c.fetches;
        out["no_free_way"] = c.no_free_way, out["not_admitted"] = c.not_admitted;
        out["prefetches"] = c.prefetches, out["prefetch_rows"] = c.prefetch_rows;
        out["fetch_beats"] = c.fetch_beats, out["exec_beats"] = c.exec_beats, out["exec_fetch"] = c.exec_fetch;
        out["exec_hazard"] = c.exec_hazard;
        out["exec_empty"] = now_ - c.exec_beats - c.exec_fetch - c.exec_hazard;
        out["tx_frames"] = c.tx_frames, out["tx_bytes"] = c.tx_bytes, out["replies"] = c.replies;
        out["partials"] = c.partials;
        out["remote_fetches"] = c.remote_fetches, out["remote_answers"] = c.remote_fetches;
        out["remote_beats"] = c.remote_beats;
        return out;
    }

private:
    struct Counts {
        std::int64_t requests = 0, bags = 0, keys = 0, keys_null = 0, keys_padding = 0, row_hits = 0, row_misses = 0;
        std::int64_t line_hits = 0, line_misses = 0, evictions = 0, fetch_beats = 0, exec_beats = 0, exec_fetch = 0;
        std::int64_t exec_hazard = 0, tx_frames = 0, tx_bytes = 0, replies = 0, partials = 0;
        std::int64_t pinned_hits = 0, joins = 0, fetches = 0, no_free_way = 0, not_admitted = 0;
        std::int64_t prefetches = 0, prefetch_rows = 0, remote_fetches = 0, remote_beats = 0;
    };
    struct Recorded {
        std::uint64_t key;
        TagCache::Found found;
    };

    static std::int64_t get(const nb::dict &given, const char *name) { return nb::cast<std::int64_t>(given[name]); }
    static std::uint64_t name_of(std::size_t table, std::uint64_t row, std::size_t seg) noexcept {
        return static_cast<std::uint64_t>(table) << 56 | row << 8 | seg;
    }

    // ---- the loop ---------------------------------------------------------------------------------------------------

    void simulate() {
        rx_next_ = std::max(rx_next_, static_cast<double>(now_));
        sent_ = walked_ = replied_ = freed_ = 0;
        space_used_ = 0, start_floor_ = 0;
        bytes_from_ = 0, bytes_flying_ = 0;
        replied_at_.assign(requests_.size(), kNever);
        accepted_at_.assign(requests_.size(), 0);
        walk_key_ = 0, walk_ready_ = kNever;
        remote_free_valid_ = kept_ = false;
        while (replied_ < requests_.size()) step();
        now_ = std::max(now_, last_reply_);
        wheel_ = Wheel{}, room_wheel_ = Wheel{};
    }

    void step() {
        for (Mask due = wheel_.take(now_); due != 0; due &= due - 1) wake(static_cast<unsigned>(__builtin_ctzll(due)));
        for (Mask due = room_wheel_.take(now_); due != 0; due &= due - 1) {
            find_room(static_cast<unsigned>(__builtin_ctzll(due)));
        }
        Time next = kNever;
        if (ready_ != 0 && now_ >= exec_free_) execute();
        if (ready_ != 0) next = std::max(now_ + 1, exec_free_);
        for (; ended_n_ != ending_n_ && ending_[ended_n_ % 4].free <= now_; ended_n_++) {
            taken_ &= ~(Mask{1} << ending_[ended_n_ % 4].slot);
        }
        const Mask taken = taken_;  // as the registers show it in this cycle
        const Mask rest = picked_at_ == now_ - 1 ? Mask{1} << picked_ : 0;
        if (const Mask wanted = busy_ & room_ & ~rest; wanted != 0) {
            if (popped_[queue_at_] < now_) pick(pick_order_.take(wanted));
        }
        walk();
        const bool had = free_valid_, had_remote = remote_free_valid_, waits = remote_waits();
        const bool remote = had_remote && waits && !kept_;
        kept_ = remote && free_valid_ && walk_ready_ <= now_ && !walk_remote_;
        if (remote) accept_remote();
        if (walk_ready_ <= now_ && (walk_remote_ || (free_valid_ && !remote))) accept(), walk();
        const bool choose = waits && (remote || !had_remote);
        const unsigned before = remote_slot_;
        if (choose) {
            Mask free = ~taken & for_remote_;
            if (had) free &= ~(Mask{1} << free_slot_);
            if (had_remote) free &= ~(Mask{1} << before);
            remote_free_valid_ = free != 0;
            if (free != 0) remote_slot_ = remote_order_.take(free);
        } else {
            remote_free_valid_ = had_remote && waits;
        }
        if (!free_valid_) {
            Mask free = ~taken & all_ & ~tainted();
            if (had) free &= ~(Mask{1} << free_slot_);
            if (had_remote) free &= ~(Mask{1} << before);
            if (choose) free &= ~for_remote_;
            if (free != 0) free_slot_ = free_order_.take(free), free_valid_ = true;
        }
        if (remote_first_ < remote_bags_.size()) {
            const Time due = remote_bags_[remote_first_].ready;
            if (due > now_ || remote_free_valid_) next = std::min(next, std::max(now_ + 1, due));
        }
        if (walk_remote_ && walk_ready_ != kNever) next = std::min(next, std::max(now_ + 1, walk_ready_));
        if (free_valid_ && walk_ready_ != kNever) next = std::min(next, std::max(now_ + 1, walk_ready_));
        if ((busy_ & room_) != 0) next = std::min(next, std::max(now_ + 1, popped_[queue_at_] + 1));
        if (ended_n_ != ending_n_) next = std::min(next, ending_[ended_n_ % 4].free);
        next = std::min({next, wheel_.next(now_), room_wheel_.next(now_)});
        if (replied_ == requests_.size()) return;
        if (next == kNever) throw std::logic_error("the model waits for nothing");
        now_ = next;
    }

    // ---- requests in ------------------------------------------------------------------------------------------------

    // Sends what the window allows, and finds the bag to be dispatched next and the cycle in which it can be.
    void walk() {
        while (sent_ < requests_.size() && may_send(sent_)) send(sent_);
        if (walk_ready_ != kNever || walked_ >= sent_) return;
        Request &request = requests_[walked_];
        const std::size_t first = static_cast<std::size_t>(splits_[walked_]);
        if (walk_key_ == first && !request.walked) {
            Time start = std::max(accepted_at_[walked_] + decode_, walk_end_ + request_gap_);
            // A context, and room for the vectors of all bags.
            const std::int64_t space = std::int64_t{request.bags} * request.vec64;
            while (space_used_ + space > reply_space_) {
                if (freed_ >= replied_) return;
                space_used_ -= std::int64_t{requests_[freed_].bags} * requests_[freed_].vec64;
                start_floor_ = std::max(start_floor_, replied_at_[freed_++]);
            }
            if (walked_ >= static_cast<std::size_t>(contexts_)) {
                const std::size_t before = walked_ - static_cast<std::size_t>(contexts_);
                if (before >= replied_) return;
                start = std::max(start, replied_at_[before]);
            }
            space_used_ += space;
            walk_at_ = std::max(start, start_floor_) - 1;
            request.walked = true;
            const std::int64_t held = request.merges + (request.init ? 1 : 0);
            walk_at_ += held * request.vec64 * 64 / bus_ + held + (held > 0 ? copy_ : 0);
        }
        const std::size_t end = static_cast<std::size_t>(splits_[walked_ + 1]);
        std::size_t stop = walk_key_;
        while (keys_[stop] >> 63 == 0) stop++;
        stop++;
        const std::int64_t width = request.weighted ? 2 : 1;
        const std::int64_t from = static_cast<std::int64_t>(walk_key_ - first) * width;
        const std::int64_t to = static_cast<std::int64_t>(stop - first) * width;
        walk_at_ = std::max(walk_at_ + (to - 1) / words_ - from / words_ + 1, accept_before_);
        walk_ready_ = walk_at_;
        walk_remote_ = table_of(keys_[stop - 1]).remote;
        walk_stop_ = stop;
        walk_last_ = stop == end;
    }

    bool may_send(std::size_t number) {
        if (number >= static_cast<std::size_t>(window_) && number - static_cast<std::size_t>(window_) >= replied_) {
            return false;
        }
        if (requests_[number].after && number > 0 && number - 1 >= replied_) return false;
        while (bytes_flying_ > 0 && bytes_flying_ + payload_of(number) > window_bytes_) {
            if (bytes_from_ >= replied_) return false;
            bytes_flying_ -= payload_of(bytes_from_++);
        }
        return true;
    }

    std::int64_t payload_of(std::size_t number) const {
        const Request &request = requests_[number];
        return (splits_[number + 1] - splits_[number]) * (request.weighted ? 16 : 8) +
               (request.vec64 + 1) * 64 * (request.merges + (request.init ? 1 : 0));
    }

    void send(std::size_t number) {
        const std::int64_t bytes = payload_of(number) + overhead_;
        double start = std::max(rx_next_, static_cast<double>(arrived_cycle_ + 1));
        if (number >= static_cast<std::size_t>(window_)) {
            start = std::max(start, static_cast<double>(replied_at_[number - static_cast<std::size_t>(window_)] + host_));
        }
        if (requests_[number].after && number > 0) {
            start = std::max(start, static_cast<double>(replied_at_[number - 1] + host_));
        }
        if (bytes_from_ > 0) start = std::max(start, static_cast<double>(replied_at_[bytes_from_ - 1] + host_));
        const Time first = static_cast<Time>(start);
        arrived_cycle_ = first + (bytes + bus_ - 1) / bus_ - 1;
        rx_next_ = start + static_cast<double>(bytes + wire_overhead_) / rate_;
        accepted_at_[number] = arrived_cycle_;
        bytes_flying_ += payload_of(number);
        sent_++;
    }

    // ---- bags, keys -------------------------------------------------------------------------------------------------

    void open(unsigned number, std::size_t key, std::size_t end, std::size_t request) {
        Slot &slot = slots_[number];
        slot.key = key, slot.end = end, slot.request = static_cast<std::int32_t>(request);
        slot.init = requests_[request].init, slot.any = false;
        slot.first = slot.key, slot.first_at = -1, slot.rows = 0, slot.tail = requests_[request].merges;
        slot.half = false, slot.pair = 0;
        slot.free = std::max(slot.free, now_);
        busy_ |= Mask{1} << number;
        taken_ |= Mask{1} << number;
        find_room(number);
    }

    // Whether a bag of a remote table waits for a slot.
    bool remote_waits() const noexcept {
        return remote_first_ < remote_bags_.size() && remote_bags_[remote_first_].ready <= now_;
    }

    // Slots that are kept for bags of remote tables, because they hold one.
    Mask tainted() noexcept {
        for (Mask left = remote_; left != 0; left &= left - 1) {
            const unsigned number = static_cast<unsigned>(__builtin_ctzll(left));
            const Slot &slot = slots_[number];
            const bool busy = (taken_ >> number & 1) != 0;
            if (!busy && slot.started == slot.issued && slot.ended[(slot.issued - 1) & (places_ - 1)] + remote_quiet_ <= now_) {
                remote_ &= ~(Mask{1} << number);
            }
        }
        return remote_;
    }

    void accept_remote() {
        const RemoteBag &bag = remote_bags_[remote_first_++];
        remote_ |= Mask{1} << remote_slot_;
        open(remote_slot_, bag.key, bag.end, bag.request);
        if (remote_first_ == remote_bags_.size()) remote_bags_.clear(), remote_first_ = 0;
    }

    // The bag at the end of the walk goes to its slot, or to the queue of remote ones.
    void accept() {
        if (walk_remote_) {
            remote_bags_.push_back({now_ + remote_queue_, walk_key_, walk_stop_, walked_});
        } else {
            free_valid_ = false;
            open(free_slot_, walk_key_, walk_stop_, walked_);
        }
        accept_before_ = now_ + 1;
        walk_ready_ = kNever;
        walk_key_ = walk_stop_;
        if (walk_last_) walked_++, walk_end_ = now_;
    }

    const Table &table_of(std::uint64_t key) const noexcept { return tables_[key >> 48 & 0x7fff]; }

    // Notes whether the slot's next key finds places in the cache, or from when on it does.
    void find_room(unsigned number) {
        Slot &slot = slots_[number];
        const Mask bit = Mask{1} << number;
        room_ &= ~bit;
        if ((busy_ & bit) == 0) return;
        const bool product = requests_[static_cast<std::size_t>(slot.request)].product;
        if (slot.first_at >= 0 && slot.end - slot.key <= 1 && now_ < slot.first_at + known_ && !product) {
            room_wheel_.put(now_, slot.first_at + known_, number);
            return;
        }
        const std::uint64_t lines = table_of(keys_[slot.end - 1]).lines.size();
        if (slot.issued + lines <= places_) {
            room_ |= bit;
            return;
        }
        const std::uint64_t needed = slot.issued + lines - places_ - 1;  // this operation must have left its place
        if (needed >= slot.started) return;  // execute() comes back here
        const Time when = slot.ended[needed & (places_ - 1)] + credit_;
        if (when <= now_) room_ |= bit;
        else room_wheel_.put(now_, when, number);
    }

    void pick(unsigned number) {
        Slot &slot = slots_[number];
        const std::uint64_t key = keys_[std::min(slot.key, slot.end - 1)];
        const bool init = slot.init;
        bool last = false, makes = true, row = false, combine = false, partial = false, waits = slot.any;
        bool times = false, unpooled = false;  // a row that is multiplied; one that is kept
        const Table &table = table_of(key);
        const Request &asked = requests_[static_cast<std::size_t>(slot.request)];
        if (slot.first_at < 0) slot.first_at = now_;
        const std::uint64_t number_of_row = key & 0xffffffffffffull;
        if (init) {
            slot.init = false;
        } else if (asked.product) {
            const unsigned pair = slot.pair;
            const bool brief = !asked.weighted && !table.long_format, ends = pair == (brief ? 1u : 3u);
            const bool null = number_of_row == 0xffffffffffffull, padding = !null && number_of_row == table.padding;
            const bool there = !null && !padding && number_of_row < table.rows && (pair == 0 || slot.half);
            slot.half = there;
            slot.pair = ends ? 0 : pair + 1;
            if (pair == 0 || ends) slot.key++;
            last = slot.key == slot.end && ends;
            if (pair < 2) {
                counts_.keys++;
                counts_.keys_null += null || (pair == 1 && !padding && !there), counts_.keys_padding += padding;
            }
            row = there && pair < 2, times = row && ends, unpooled = row && !ends;
            combine = there && pair >= 2;
            makes = there || last;
            waits = pair >= 2 || ends;
            slot.any = slot.any || (there && ends);
        } else if (slot.key < slot.end) {
            if (++slot.key == slot.end && table.tree > 0 && slot.end - slot.first > 1) slot.tail = table.tree - 1;
            last = slot.key == slot.end && slot.tail == 0;
            counts_.keys++;
            const bool null = number_of_row == 0xffffffffffffull, padding = !null && number_of_row == table.padding;
            counts_.keys_null += null, counts_.keys_padding += padding;
            row = !null && !padding && number_of_row < table.rows;
            makes = row || last;
            if (row && table.tree > 0) waits = slot.rows >= table.tree && slot.rows % table.tree == 0;
            slot.rows += row;
        } else {
            const std::int64_t source = slot.tail--, held = std::min<std::int64_t>(slot.rows, table.tree);
            last = slot.tail == 0;
            partial = table.tree == 0;
            combine = !partial && source < held;
            if (combine) waits = (source & (source + 1)) == 0 || source == held - 1;
            makes = partial || combine || last;
        }
        Time out = std::max(now_ + issue_, last_out_);
        if (makes) {
            bool all_hit = true;
            for (std::size_t seg = 0; seg < table.lines.size(); seg++) {
                const Line &line = table.lines[seg];
                Operation op{};
                out = std::max(out, last_out_ + 1), last_out_ = out;
                op.ready = out + tag_;
                op.beats = combine || times ? 2 * line.beats : line.beats, op.request = slot.request;
                if (combine || times) for (const Line &each : table.lines) op.spread += each.beats;
                op.row = row, op.long_format = combine ? table.combine_long : row && table.long_format;
                op.long_format = op.long_format || times;
                op.keeps_long = op.long_format || unpooled;
                op.first_line = seg == 0, op.waits = waits;
                op.last = last && seg + 1 == table.lines.size();
                op.mean = table.mean && !asked.partial;
                if (row) look_up(op, table, key >> 48 & 0x7fff, number_of_row, seg, out, all_hit);
                push(number, op);
            }
            if (row) (all_hit ? counts_.row_hits : counts_.row_misses)++;
        }
        slot.any = slot.any || init || (row && !asked.product) || partial;
        popped_[queue_at_] = makes ? out : now_ + issue_;
        queue_at_ = queue_at_ + 1 == queue_ ? 0 : queue_at_ + 1;
        picked_ = number, picked_at_ = now_;
        if (last) {
            counts_.bags++;
            ending_[ending_n_++ % 4] = {now_ + 2, number};
            busy_ &= ~(Mask{1} << number);
            room_ &= ~(Mask{1} << number);
        } else {
            if (keys_ + slot.key + 1 < keys_ + slot.end) ahead(keys_[slot.key + 1]);
            find_room(number);
        }
    }

    void ahead(std::uint64_t key) const noexcept { tags_.prefetch(name_of(key >> 48 & 0x7fff, key & 0xffffffffffffull, 0)); }

    void look_up(Operation &op, const Table &table, std::size_t number, std::uint64_t row, std::size_t seg, Time out,
                 bool &all_hit) {
        const std::uint64_t name = name_of(number, row, seg);
        const TagCache::Found found = tags_.look(name);
        keep(name, found);
        Stamps &stamps = lines_[found.line];
        op.line = found.line, op.miss = !found.hit(), op.fill = op.miss && found.kept();
        op.fills = stamps.fills, op.reads = stamps.reads;
        count_line(found);
        if (found.hit()) {
            counts_.line_hits++;
            counts_.pinned_hits += (found.flags & TagCache::kPinned) != 0;
            counts_.joins += stamps.done_fills != stamps.fills || stamps.filled > out;
            stamps.reads++;
            return;
        }
        counts_.line_misses++;
        all_hit = false;
        if (op.fill) stamps.fills++, stamps.reads = 0;
        const Line &line = table.lines[seg];
        op.ready = fetch(table, out, table.base + row * table.stride + static_cast<std::uint64_t>(line.offset), line.fetch_beats);
    }

    void keep(std::uint64_t name, const TagCache::Found &found) {
        if (record_left_ > 0) recorded_.push_back({name, found}), record_left_--;
    }

    void count_line(const TagCache::Found &found) noexcept {
        counts_.evictions += (found.flags & TagCache::kEvict) != 0;
        counts_.no_free_way += (found.flags & TagCache::kNoWay) != 0;
        counts_.not_admitted += (found.flags & TagCache::kRefused) != 0;
    }

    // A prefetched line comes while nothing else is under way.
    static void take_fill(Stamps &stamps, Time filled) noexcept {
        stamps.fills++, stamps.done_fills = stamps.fills;
        stamps.reads = stamps.done_reads = 0;
        stamps.filled = filled;
    }

    // A prefetch fetches whole lines, padding included.
    std::int64_t stored_beats(const Table &table, std::size_t seg) const noexcept {
        const auto rest = static_cast<std::int64_t>(table.stride) - table.lines[seg].offset;
        const std::int64_t next = seg + 1 < table.lines.size() ? table.lines[seg + 1].offset - table.lines[seg].offset : rest;
        return next / bus_;
    }

    void push(unsigned number, const Operation &op) {
        Slot &slot = slots_[number];
        slot.ring[slot.issued & (places_ - 1)] = op;
        slot.issued++;
        if (slot.issued == slot.started + 1) head(number);
    }

    // ---- memory -----------------------------------------------------------------------------------------------------

    Time fetch(const Table &table, Time out, std::uint64_t addr, std::int64_t beats) {
        counts_.fetches++;
        if (table.remote) return fetch_remote(out, beats);
        counts_.fetch_beats += beats;
        Time asked = std::max({out + fetch_, asked_ + 1, fetched_[fetch_at_] + 1});
        Time last = 0;
        while (beats > 0) {
            const std::int64_t page = (4096 - static_cast<std::int64_t>(addr % 4096)) / bus_;
            const std::int64_t part = std::min({beats, burst_, page});
            last = deliver(asked, addr, part);
            asked_ = asked++;
            addr += static_cast<std::uint64_t>(part * bus_);
            beats -= part;
        }
        fetched_[fetch_at_] = last;
        fetch_at_ = fetch_at_ + 1 == fetched_.size() ? 0 : fetch_at_ + 1;
        return last + arrival_;
    }

    // Each line is answered when its time has come, one beat a cycle.
    Time fetch_remote(Time out, std::int64_t beats) {
        counts_.remote_fetches++, counts_.remote_beats += beats;
        remote_asked_ = std::max({out + fetch_, remote_asked_ + 1, remote_fetched_[remote_at_] + 1});
        remote_delivered_ = std::max(remote_asked_ + remote_latency_, remote_delivered_ + 1) + beats - 1;
        remote_fetched_[remote_at_] = remote_delivered_;
        remote_at_ = remote_at_ + 1 == remote_fetched_.size() ? 0 : remote_at_ + 1;
        return remote_delivered_ + arrival_;
    }

    // memory.hpp's Dram::access in the channel that a page lies in, tables being spread over all channels; the answers of
    // all channels come one after the other.
    Time deliver(Time asked, std::uint64_t addr, std::int64_t beats) {
        const std::uint64_t page = (addr & kLinear) / kPage;
        const std::size_t channel = page % channels_;
        const std::uint64_t local = page / channels_ * kPage + addr % kPage;
        const std::uint64_t stripe = local / static_cast<std::uint64_t>(row_bytes_);
        const std::int64_t row = static_cast<std::int64_t>(stripe / static_cast<std::uint64_t>(banks_));
        const std::size_t bank = static_cast<std::size_t>(stripe - static_cast<std::uint64_t>(row * banks_)) +
                                 channel * static_cast<std::size_t>(banks_);
        Time issue = std::max(asked, bank_ready_[bank]);
        if (refresh_period_ > 0) {
            const Time phase = issue % refresh_period_;
            if (phase < refresh_cycles_) issue += refresh_cycles_ - phase;
        }
        const bool hit = open_row_[bank] == row;
        open_row_[bank] = row;
        bank_ready_[bank] = issue + (hit ? 1 : bank_busy_);
        Time &bus_free = bus_free_[channel];
        const Time start = std::max(issue + (hit ? hit_latency_ : miss_latency_), bus_free);
        bus_free = start + (beats * bus_ + memory_bytes_ - 1) / memory_bytes_;
        const Time first = std::max(bus_free + jitter_ + base_latency_, delivered_ + 1);
        delivered_ = first + beats - 1;
        return delivered_;
    }

    // ---- the pool's turn --------------------------------------------------------------------------------------------

    // The operation that is now the oldest of its slot is looked at when it can be ready.
    void head(unsigned number) {
        Slot &slot = slots_[number];
        const Operation &op = slot.ring[slot.started & (places_ - 1)];
        Time when = std::max(op.ready, slot.free);
        why_[number] = op.miss ? kMemory : kNothing;
        if (op.waits && op.first_line) {
            const Time near = slot.row_start + (slot.row_long ? loop_long_ : loop_);
            if (near > when) when = near, why_[number] = kAccumulator;
        }
        schedule(number, when);
    }

    void schedule(unsigned number, Time when) {
        due_[number] = when;
        if (when <= now_) ready_ |= Mask{1} << number;
        else wheel_.put(now_, when, number);
    }

    void wake(unsigned number) {
        if (due_[number] <= now_) ready_ |= Mask{1} << number;
        else wheel_.put(now_, due_[number], number);
    }

    void execute() {
        while (ready_ != 0) {
            const unsigned number = exec_order_.take(ready_);
            ready_ &= ~(Mask{1} << number);
            Slot &slot = slots_[number];
            const Operation &op = slot.ring[slot.started & (places_ - 1)];
            if (op.row && has_line(op) && !line_is_ready(number, op)) continue;
            start(number, slot, op);
            return;
        }
    }

    static bool has_line(const Operation &op) noexcept { return !op.miss || op.fill; }

    bool line_is_ready(unsigned number, const Operation &op) {
        const Stamps &stamps = lines_[op.line];
        if (stamps.done_fills != op.fills || (op.fill && stamps.done_reads != op.reads)) {
            why_[number] = kMemory;
            sleeping_ |= Mask{1} << number;
            return false;
        }
        if (stamps.filled > now_) {
            why_[number] = kMemory;
            schedule(number, stamps.filled);
            return false;
        }
        return true;
    }

    void start(unsigned number, Slot &slot, const Operation &op) {
        const Time gap = now_ - exec_free_;
        if (gap > 0 && why_[number] == kMemory) counts_.exec_fetch += gap;
        if (gap > 0 && why_[number] == kAccumulator) counts_.exec_hazard += gap;
        counts_.exec_beats += op.beats;
        exec_free_ = now_ + op.beats;
        slot.ended[slot.started & (places_ - 1)] = exec_free_;
        slot.started++;
        slot.free = std::max(exec_free_, now_ + alone_);
        if (op.first_line) slot.row_start = now_ + op.spread, slot.row_long = op.keeps_long;
        if (op.row && has_line(op)) {
            Stamps &stamps = lines_[op.line];
            if (op.fill) stamps.done_fills++, stamps.done_reads = 0, stamps.filled = exec_free_ + filled_;
            else stamps.done_reads++;
            for (Mask left = sleeping_; left != 0; left &= left - 1) {
                const unsigned other = static_cast<unsigned>(__builtin_ctzll(left));
                if (slots_[other].ring[slots_[other].started & (places_ - 1)].line != op.line) continue;
                sleeping_ &= ~(Mask{1} << other);
                schedule(other, std::max(now_ + 1, stamps.filled));
            }
        }
        if (op.last) bag_done(op);
        if ((remote_ >> number & 1) != 0 && slot.started == slot.issued) room_wheel_.put(now_, exec_free_ + remote_quiet_, number);
        if (slot.started < slot.issued) head(number);
        if ((room_ >> number & 1) == 0) find_room(number);
    }

    // ---- replies ----------------------------------------------------------------------------------------------------

    void bag_done(const Operation &op) {
        Request &request = requests_[static_cast<std::size_t>(op.request)];
        const Time done = exec_free_ + pool_ + (op.long_format ? pool_long_ : 0) + (op.mean ? divide_ : 0);
        request.done = std::max(request.done, done);
        if (--request.bags_left > 0) return;
        while (replied_ < requests_.size() && requests_[replied_].bags_left == 0) reply(replied_++);
    }

    void reply(std::size_t number) {
        const Request &request = requests_[number];
        Time begin = std::max(request.done + reply_, tx_free_);
        const auto frame = [&](std::int64_t units) {
            const std::int64_t bytes = overhead_ + units * 64;
            const double start = std::max(tx_next_, static_cast<double>(begin));
            begin = static_cast<Time>(start) + (bytes + bus_ - 1) / bus_ + frame_gap_;
            tx_next_ = start + static_cast<double>(bytes + wire_overhead_) / rate_;
            counts_.tx_frames++, counts_.tx_bytes += bytes;
        };
        const std::int64_t each = reply_units_ / request.vec64;  // whole vectors in a frame
        const std::int64_t total = std::int64_t{request.bags} * request.vec64 + (request.partial ? 1 : 0);
        if (request.partial || each == 0) {
            for (std::int64_t bag = 0; bag < request.bags; bag++) {
                std::int64_t left = total / request.bags;
                for (; left > 0; left -= reply_units_) frame(std::min(left, reply_units_));
            }
        } else {
            for (std::int64_t left = request.bags; left > 0; left -= each) frame(std::min(left, each) * request.vec64);
        }
        (request.partial ? counts_.partials : counts_.replies)++;
        tx_free_ = begin;
        replied_at_[number] = last_reply_ = begin - frame_gap_;
    }

    enum Why : std::uint8_t { kNothing, kMemory, kAccumulator };

    TagCache tags_;
    std::vector<Table> tables_;
    unsigned slots_n_ = 0;
    std::uint64_t places_ = 0;
    std::int64_t bus_, words_, fetches_, burst_, contexts_, reply_space_, window_, window_bytes_, reply_units_;
    std::int64_t overhead_, wire_overhead_;
    double rate_;
    Time base_latency_, hit_latency_, miss_latency_, bank_busy_, refresh_period_, refresh_cycles_, jitter_;
    std::int64_t banks_, row_bytes_, memory_bytes_;
    Time decode_, request_gap_, issue_, known_, copy_, tag_, fetch_, arrival_, alone_, loop_, loop_long_, filled_, credit_, pool_;
    Time pool_long_, divide_, reply_, frame_gap_, host_, update_, prefetch_;
    std::size_t queue_ = 1;

    Time now_ = 0;
    std::vector<Request> requests_;
    const std::uint64_t *keys_ = nullptr;
    const std::int64_t *splits_ = nullptr;
    std::size_t sent_ = 0, walked_ = 0, replied_ = 0, freed_ = 0, bytes_from_ = 0;
    std::int64_t bytes_flying_ = 0, space_used_ = 0;
    double rx_next_ = 0.0, tx_next_ = 0.0;
    Time arrived_cycle_ = -1, tx_free_ = 0, last_reply_ = 0, start_floor_ = 0;
    std::vector<Time> replied_at_, accepted_at_;

    std::size_t walk_key_ = 0, walk_stop_ = 0;
    Time walk_ready_ = kNever, walk_at_ = 0, walk_end_ = 0, accept_before_ = 0;
    bool walk_last_ = false;

    Mask all_ = 0, busy_ = 0, taken_ = 0, room_ = 0, ready_ = 0, sleeping_ = 0;
    // Slots whose last key was chosen. One a cycle, free two cycles later: never more than three wait.
    struct Ending {
        Time free;
        unsigned slot;
    };
    Ending ending_[4] = {};
    unsigned ending_n_ = 0, ended_n_ = 0;
    std::vector<Slot> slots_;
    unsigned free_slot_ = 0, picked_ = 0;
    bool free_valid_ = false;
    Time picked_at_ = -2, last_out_ = -1, exec_free_ = 0;
    RoundRobin free_order_, pick_order_, exec_order_;
    Wheel wheel_, room_wheel_;
    Time due_[64] = {};
    Why why_[64] = {};
    std::vector<Time> popped_;  // [key_queue]: when the last keys left the queue
    std::size_t queue_at_ = 0;

    // Bags of remote tables.
    struct RemoteBag {
        Time ready;  // it has passed the queue
        std::size_t key, end, request;
    };
    std::vector<RemoteBag> remote_bags_;
    std::size_t remote_first_ = 0;
    Mask for_remote_ = 0, remote_ = 0;  // slots that they may take; that hold one
    unsigned remote_slot_ = 0;
    bool remote_free_valid_ = false, kept_ = false, walk_remote_ = false;
    RoundRobin remote_order_;
    Time remote_latency_ = 0, remote_queue_ = 0, remote_quiet_ = 0, remote_asked_ = -1, remote_delivered_ = -1;
    std::vector<Time> remote_fetched_;  // [remote_fetches]
    std::size_t remote_at_ = 0;

    std::vector<Stamps> lines_;
    std::vector<Time> fetched_;  // [fetches]: when the last lines had come
    std::size_t fetch_at_ = 0;
    std::vector<Time> bank_ready_, bus_free_;
    std::size_t channels_ = 1;
    std::vector<std::int64_t> open_row_;
    Time asked_ = -1, delivered_ = -1;

    std::vector<Recorded> recorded_;
    std::size_t record_left_ = 0;
    Counts counts_;
};

// Looks `keys` up in order; line and flags of each where arrays are given.
nb::tuple feed_tags(TagCache &cache, Keys keys) {
    constexpr std::size_t kAhead = 8;
    std::int64_t hits = 0, evictions = 0;
    const std::uint64_t *at = keys.data();
    const std::size_t count = keys.shape(0);
    for (std::size_t i = 0; i < count; i++) {
        if (i + kAhead < count) cache.prefetch(at[i + kAhead]);
        const TagCache::Found found = cache.look(at[i]);
        hits += found.hit(), evictions += (found.flags & TagCache::kEvict) != 0;
    }
    return nb::make_tuple(hits, evictions);
}

void decide_tags(TagCache &cache, Keys keys, Ints commands, OutInts lines, OutInts flags) {
    const std::size_t count = keys.shape(0);
    require(commands.shape(0) == count && lines.shape(0) == count && flags.shape(0) == count,
            "the arrays differ in length");
    for (std::size_t i = 0; i < count; i++) {
        require(commands.data()[i] >= 0 && commands.data()[i] <= 5, "a command must be 0 to 5");
        const TagCache::Found found = cache.execute(keys.data()[i], static_cast<TagCache::Command>(commands.data()[i]));
        lines.data()[i] = line_of(found);
        flags.data()[i] = found.flags;
    }
}

nb::tuple feed_lru(LruCache &cache, Keys keys) {
    std::int64_t hits = 0, evictions = 0;
    for (std::size_t i = 0; i < keys.shape(0); i++) {
        bool evict = false;
        hits += cache.lookup(keys.data()[i], evict);
        evictions += evict;
    }
    return nb::make_tuple(hits, evictions);
}

nb::tuple call_fbgemm(FbgemmCache &cache, Keys keys) {
    cache.call(keys.data(), keys.shape(0));
    const FbgemmCache::Counters &c = cache.counters;
    return nb::make_tuple(c.calls, c.requested, c.unique, c.unique_misses, c.conflict_unique_misses, c.conflict_misses);
}

}  // namespace
}  // namespace embnic

void bind_model(nanobind::module_ &m) {
    using namespace nanobind::literals;
    namespace nb = nanobind;
    using namespace embnic;
    nb::class_<TagCache>(m, "TagCache")
        .def(nb::init<unsigned, std::size_t>(), "ways"_a, "sets"_a)
        .def("clear", &TagCache::clear)
        .def("configure", &TagCache::configure, "cached_ways"_a, "admission"_a)
        .def("feed", &feed_tags, "keys"_a)
        .def("decide", &decide_tags, "keys"_a, "commands"_a, "lines"_a.noconvert(), "flags"_a.noconvert());
    nb::class_<LruCache>(m, "LruCache")
        .def(nb::init<std::size_t>(), "lines"_a)
        .def("clear", &LruCache::clear)
        .def("feed", &feed_lru, "keys"_a);
    nb::class_<FbgemmCache>(m, "FbgemmCache")
        .def(nb::init<unsigned, std::size_t>(), "ways"_a, "sets"_a)
        .def("clear", &FbgemmCache::clear)
        .def("call", &call_fbgemm, "keys"_a);
    nb::class_<CardModel>(m, "CardModel")
        .def(nb::init<const nb::dict &>(), "parameters"_a)
        .def("define", &CardModel::define, "number"_a, "lines"_a, "where"_a, "long_format"_a, "mean"_a)
        .def("run", &CardModel::run, "keys"_a, "splits"_a, "vec64"_a, "flags"_a)
        .def("configure", &CardModel::configure, "cached_ways"_a, "admission"_a)
        .def("prefetch", &CardModel::prefetch, "number"_a, "rows"_a, "command"_a, "fill"_a)
        .def("invalidate", &CardModel::invalidate, "number"_a, "rows"_a)
        .def("flush", &CardModel::flush)
        .def("record", &CardModel::record, "most"_a)
        .def("recorded", &CardModel::recorded)
        .def("decisions", &CardModel::decisions, "keys"_a.noconvert(), "lines"_a.noconvert(), "flags"_a.noconvert())
        .def("counters", &CardModel::counters);
}
