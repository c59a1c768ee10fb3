// SPDX-License-Identifier: Apache-2.0
// The card of the fast model, cycle by cycle only where something happens; the native side of embnic/model.py, whose
// Python twin (model_card.py) takes the same steps with the same integers. What each parameter means is said in
// embnic/model.py.
#ifndef EMBNIC_MODEL_CARD_HPP
#define EMBNIC_MODEL_CARD_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "model_caches.hpp"

namespace embnic {

template <typename T>
struct Span {
    const T *data;
    std::size_t size;
};

class CardModel {
public:
    using Time = std::int64_t;
    struct Line {
        std::int64_t fetch_beats, beats, beat_base, offset;  // offset of the line in its row, bytes
    };
    struct Placement {
        std::int64_t base, stride, rows, padding;  // padding: a row, or -1
        std::int64_t tree;                         // running sums; 0: no tree
        std::int64_t adds, remote;                 // running sums are added by the adder; rows are another card's
    };
    struct Recorded {
        std::uint64_t key;
        TagCache::Found found;
    };
    struct Counts {
        std::int64_t requests = 0, bags = 0, keys = 0, keys_null = 0, keys_padding = 0, row_hits = 0, row_misses = 0;
        std::int64_t line_hits = 0, line_misses = 0, evictions = 0, fetch_beats = 0, exec_beats = 0, exec_fetch = 0;
        std::int64_t exec_hazard = 0, tx_frames = 0, tx_bytes = 0, replies = 0, partials = 0;
        std::int64_t pinned_hits = 0, joins = 0, fetches = 0, no_free_way = 0, not_admitted = 0;
        std::int64_t prefetches = 0, prefetch_rows = 0, remote_fetches = 0, remote_beats = 0;
    };

    // `whole` gives an integer parameter by its name; `line_rate` is of the line, bytes a cycle.
    CardModel(const std::function<std::int64_t(const char *)> &whole, double line_rate);
    CardModel(const CardModel &) = delete;
    CardModel &operator=(const CardModel &) = delete;

    void define(std::size_t number, Span<Line> lines, const Placement &where, bool long_format, bool mean);

    // Requests `keys[splits[i]:splits[i + 1]]` of results of `vec64[i]` units; flags: 1 weighted, 2 begins with an
    // accumulator, 4 answers with one, 8 is sent when the request before it was answered, 16 holds pairs; from bit 8 on
    // partials to merge.
    void run(Span<std::uint64_t> keys, Span<std::int64_t> splits, Span<std::int64_t> vec64, Span<std::int64_t> flags);

    void invalidate(std::size_t number, Span<std::int64_t> rows);

    // How the host wrote the register CACHE.
    void configure(unsigned cached_ways, bool admission) noexcept { tags_.configure(cached_ways, admission); }

    // Rows are fetched (3), and locked (4) or pinned (5), or released (2): a PREFETCH; with `fill` each is written and
    // dropped before: a FILL. Returns the rows that are as asked for, and those that were there before.
    std::pair<std::int64_t, std::int64_t> prefetch(std::size_t number, Span<std::int64_t> rows, unsigned command, bool fill);

    void flush() noexcept { tags_.clear(); }

    void record(std::size_t most) {
        recorded_.clear();
        record_left_ = most;
    }
    const std::vector<Recorded> &recorded() const noexcept { return recorded_; }
    const Counts &counts() const noexcept { return counts_; }
    Time now() const noexcept { return now_; }

private:
    using Mask = std::uint64_t;
    static constexpr Time kNever = std::int64_t{1} << 62;

    // Slots to be looked at in a later cycle: `heads`, whose oldest operation can be ready then, and `rooms`, which may
    // find places then. Those further ahead than the wheel reaches are looked at too early, and put back.
    class Wheel {
    public:
        static constexpr Time kSpan = 4096;
        struct Bucket {
            Mask heads = 0, rooms = 0;
        };

        Wheel() : buckets_(kSpan) {}
        static bool reaches(Time now, Time when) noexcept { return when < now + kSpan; }

        void put_head(Time now, Time when, unsigned slot) noexcept { bucket_of(now, when).heads |= Mask{1} << slot; }
        void put_room(Time now, Time when, unsigned slot) noexcept { bucket_of(now, when).rooms |= Mask{1} << slot; }
        Bucket take(Time now) noexcept {
            const std::size_t at = static_cast<std::size_t>(now) % kSpan;
            const Bucket found = buckets_[at];
            buckets_[at] = Bucket{};
            words_[at / 64] &= ~(Mask{1} << at % 64);
            return found;
        }
        // The first cycle after `now` that has slots.
        Time next(Time now) const noexcept {
            const std::size_t from = static_cast<std::size_t>(now + 1) % kSpan;
            std::size_t word = from / 64;
            const Mask bits = words_[word] >> from % 64;
            if (bits != 0) return now + 1 + __builtin_ctzll(bits);
            // This word's lower buckets are the furthest ahead.
            for (std::size_t step = 1; step <= kWords; step++) {
                word = (from / 64 + step) % kWords;
                if (words_[word] == 0) continue;
                const std::size_t at = word * 64 + static_cast<std::size_t>(__builtin_ctzll(words_[word]));
                return now + 1 + static_cast<Time>((at + kSpan - from) % kSpan);
            }
            return kNever;
        }
        void clear() noexcept;

    private:
        static constexpr std::size_t kWords = kSpan / 64;

        Bucket &bucket_of(Time now, Time when) noexcept {
            const std::size_t at = static_cast<std::size_t>(std::max(now + 1, std::min(when, now + kSpan - 1))) % kSpan;
            words_[at / 64] |= Mask{1} << at % 64;
            return buckets_[at];
        }

        std::vector<Bucket> buckets_;  // [kSpan]
        Mask words_[kWords] = {};      // a bit a bucket that has slots
    };

    // The lowest set bit above the last one taken, else the lowest: embnic_rr_arbiter.
    class RoundRobin {
    public:
        unsigned take(Mask requests) noexcept {
            const Mask high = requests & above_;
            const unsigned chosen = static_cast<unsigned>(__builtin_ctzll(high != 0 ? high : requests));
            above_ = ~Mask{1} << chosen;
            return chosen;
        }

    private:
        Mask above_ = 0;
    };

    // Divides by a number that is a power of two as a rule.
    class Divisor {
    public:
        Divisor() = default;
        explicit Divisor(std::int64_t by) noexcept
            : by_(static_cast<std::uint64_t>(by)), power_((by_ & (by_ - 1)) == 0),
              shift_(static_cast<unsigned>(__builtin_ctzll(by_))) {}
        std::uint64_t of(std::uint64_t value) const noexcept { return power_ ? value >> shift_ : value / by_; }

    private:
        std::uint64_t by_ = 1;
        bool power_ = true;
        unsigned shift_ = 0;
    };

    struct alignas(64) Table {
        std::vector<Line> lines;
        std::uint64_t base = 0, stride = 0, rows = 0, padding = ~0ull;
        std::int64_t tree = 0;      // running sums; 0: no tree
        std::int64_t beats = 0;     // of all lines
        bool long_format = false, mean = false;
        bool combine_long = false;  // running sums are added by the adder
        bool remote = false;        // its rows are another card's
        std::uint64_t plain_rows = 0;  // those that pick_plain() reads: 0 for a tree, or rows of several lines
        std::uint16_t plain_flags = 0; // of their operations
    };

    enum OperationFlag : std::uint16_t {
        kReads = 1,    // a line that was there, or is under way
        kFills = 2,    // a line
        kMisses = 4,   // one that does not fill has no line
        kWaits = 8,    // for what its bag added before
        kFirst = 16,   // line of a row
        kLast = 32,    // line of a bag
        kLong = 64,    // of a long format
        kKeepsLong = 128,  // what follows in its slot keeps the long distance
        kMean = 256,
    };
    // Of one line of a row, from tag stage to pool. The fills and reads of a line are counted modulo 2**16: no more
    // than kOperations of them are under way.
    struct Operation {
        Time time;  // its line has come, or it has passed the tag stage; once started: it leaves its place
        std::uint32_t line;
        std::int32_t request;
        std::uint16_t fills, reads;
        std::uint16_t beats;
        std::uint16_t spread;  // of a combine, whose beats take two cycles: the vector's beats
        std::uint16_t flags;
    };
    static constexpr std::uint64_t kOperations = 1 << 15;

    struct Stamps {
        std::uint16_t fills = 0, reads = 0, done_fills = 0, done_reads = 0;
        Time filled = 0;  // from when on the last fill can be read
    };

    struct Request {
        Time done;
        std::int64_t bags_left;
        std::int32_t vec64, bags, merges;
        bool walked, weighted, init, partial, after, product;
    };

    enum Why : std::uint8_t { kNothing, kMemory, kAccumulator };

    struct alignas(64) Slot {
        Operation *ring = nullptr;  // [places]
        std::uint64_t issued = 0, started = 0;
        Time free = 0, row_start = 0;
        std::size_t key = 0, end = 0, first = 0;  // its keys' next, end and first
        std::size_t set = 0;       // of the first line of the next key's row
        Time first_at = -1;        // when its first key, or its accumulator, was chosen
        std::int64_t rows = 0;
        std::int64_t tail = 0;     // partials, or running sums, behind its keys
        std::uint32_t lines = 1;   // of a row of its bag
        std::int32_t request = 0;
        std::uint16_t flags = 0;   // that an operation of its bag may have
        Why why = kNothing;        // what its oldest operation waits for
        bool row_long = false, init = false, any = false, product = false;
        bool plain = false;        // neither `init` nor `product`
        bool half = false;         // of a pair: its first row was read
        std::uint8_t pair = 0;     // of a product: 0 first row, 1 second, 2 multiply, 3 add
    };

    struct Pick;

    // Of line `seg` of a key's row; no table's number has more than 8 bits.
    static std::uint64_t name_of(std::uint64_t key, std::size_t seg) noexcept { return key << 8 | seg; }
    static std::uint64_t name_of(std::size_t table, std::uint64_t row, std::size_t seg) noexcept {
        return static_cast<std::uint64_t>(table) << 56 | row << 8 | seg;
    }
    static std::size_t table_number(std::uint64_t key) noexcept { return key >> 48 & 0x7fff; }
    const Table &table_of(std::uint64_t key) const noexcept { return tables_[table_number(key)]; }

    void simulate();
    template <bool kRemote>
    void serve();
    template <bool kRemote>
    void step();

    void walk();
    bool may_send(std::size_t number);
    std::int64_t payload_of(std::size_t number) const;
    void send(std::size_t number);

    void open(unsigned number, std::size_t key, std::size_t end, std::size_t request);
    bool remote_waits() const noexcept;
    Mask tainted() noexcept;
    void accept_remote();
    void accept();
    void find_room(unsigned number);

    void pick(unsigned number);
    Pick choose(Slot &slot, const Table &table, std::uint64_t key);
    Pick choose_of_pair(Slot &slot, const Table &table, std::uint64_t key);
    Pick choose_behind(Slot &slot, const Table &table);
    void pick_plain(unsigned number, Slot &slot, const Table &table, std::uint64_t key);
    void pick_any(unsigned number, Slot &slot);
    void picked(unsigned number, Slot &slot, Time out, bool last);
    void push(unsigned number, Slot &slot);
    void prefetch_key(Slot &slot) noexcept;
    Time issue(unsigned number, const Table &table, std::uint64_t key, const Pick &picked, Time out);
    unsigned look_up(Operation &op, const Table &table, std::uint64_t key, std::size_t seg, std::size_t set,
                     Time out);
    void miss(Operation &op, const Table &table, std::uint64_t row, std::size_t seg, const TagCache::Found &found,
              Time out);
    void keep(std::uint64_t name, const TagCache::Found &found);
    void count_line(const TagCache::Found &found) noexcept;

    Time fetch(const Table &table, Time out, std::uint64_t addr, std::int64_t beats);
    Time fetch_remote(Time out, std::int64_t beats);
    Time deliver(Time asked, std::uint64_t addr, std::int64_t beats);
    static std::uint64_t address_of(const Table &table, std::uint64_t row, std::size_t seg) noexcept;
    static std::int64_t stored_beats(const Table &table, std::size_t seg, std::int64_t bus) noexcept;

    void head(unsigned number);
    void schedule(unsigned number, Time when);
    Mask put_back(Mask heads);
    void execute();
    bool line_is_ready(unsigned number, Slot &slot, const Operation &op);
    void start(unsigned number, Slot &slot, Operation &op);
    void rouse(std::uint32_t line, Time filled);

    void bag_done(const Operation &op);
    void reply(std::size_t number);

    TagCache tags_;
    std::vector<Table> tables_;
    unsigned slots_n_;
    std::uint64_t places_, place_mask_ = 0;
    std::int64_t bus_, words_, fetches_, burst_, contexts_, reply_space_, window_, window_bytes_, reply_units_;
    std::int64_t overhead_, wire_overhead_;
    double rate_;
    Time base_latency_, hit_latency_, miss_latency_, bank_busy_, refresh_period_, refresh_cycles_, jitter_;
    std::int64_t banks_, row_bytes_, memory_bytes_;
    Divisor by_bus_, by_row_bytes_, by_banks_, by_memory_bytes_, by_channels_;
    Time decode_, request_gap_, issue_, known_, copy_, tag_, fetch_, arrival_, alone_, loop_, loop_long_, filled_, credit_, pool_;
    Time pool_long_, divide_, reply_, frame_gap_, host_, update_, prefetch_;
    std::size_t queue_;

    Time now_ = 0;
    std::vector<Request> requests_;
    const std::uint64_t *keys_ = nullptr;
    const std::int64_t *splits_ = nullptr;
    std::size_t asked_for_ = 0, sent_ = 0, walked_ = 0, replied_ = 0, freed_ = 0, bytes_from_ = 0;
    std::int64_t bytes_flying_ = 0, space_used_ = 0;
    double rx_next_ = 0.0, tx_next_ = 0.0;
    Time arrived_cycle_ = -1, tx_free_ = 0, last_reply_ = 0, start_floor_ = 0;
    std::vector<Time> replied_at_, accepted_at_;

    std::size_t walk_key_ = 0, walk_stop_ = 0;
    Time walk_ready_ = kNever, walk_at_ = 0, walk_end_ = 0, accept_before_ = 0;
    bool walk_last_ = false;
    bool walk_due_ = false;  // something changed that walk() depends on

    Mask all_ = 0, busy_ = 0, taken_ = 0, room_ = 0, ready_ = 0, sleeping_ = 0;
    Mask far_ = 0;  // of `ready_` to be: further ahead than the wheel reaches
    // Slots whose last key was chosen. One a cycle, free two cycles later: never more than three wait.
    struct Ending {
        Time free;
        unsigned slot;
    };
    Ending ending_[4] = {};
    unsigned ending_n_ = 0, ended_n_ = 0;
    Slot slots_[64];
    std::vector<Operation> operations_;  // [slots][places]
    unsigned free_slot_ = 0, picked_ = 0;
    bool free_valid_ = false;
    Time picked_at_ = -2, last_out_ = -1, exec_free_ = 0;
    RoundRobin free_order_, pick_order_, exec_order_;
    Wheel wheel_;
    Time due_[64] = {};                   // of the slots of `far_`
    std::uint32_t line_of_sleeper_[64] = {};
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

}  // namespace embnic

#endif
