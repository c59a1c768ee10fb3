// SPDX-License-Identifier: Apache-2.0
#include "model_card.hpp"

#include <algorithm>
#include <stdexcept>

// The turns of a plain row are one stretch of code; what happens to few rows stays out of it.
#if defined(__GNUC__)
#define EMBNIC_HOT __attribute__((always_inline)) inline
#define EMBNIC_COLD __attribute__((noinline))
#else
#define EMBNIC_HOT inline
#define EMBNIC_COLD
#endif

namespace embnic {
namespace {

constexpr std::uint64_t kLinear = (std::uint64_t{1} << 37) - 1;  // of an address: the byte of card memory
constexpr std::uint64_t kPage = 4096;                            // a page has one channel
constexpr std::uint64_t kRowMask = 0xffffffffffffull;            // of a key: its row
constexpr std::uint64_t kNullRow = kRowMask;

void require(bool holds, const char *what) {
    if (!holds) throw std::invalid_argument(what);
}

}  // namespace

void CardModel::Wheel::clear() noexcept {
    std::fill(buckets_.begin(), buckets_.end(), Bucket{});
    std::fill(std::begin(words_), std::end(words_), Mask{0});
}

CardModel::CardModel(const std::function<std::int64_t(const char *)> &whole, double line_rate)
    : tags_(static_cast<unsigned>(whole("ways")), static_cast<std::size_t>(whole("sets"))),
      slots_n_(static_cast<unsigned>(whole("slots"))),
      places_(static_cast<std::uint64_t>(whole("places"))),
      bus_(whole("bus_bytes")),
      words_(bus_ / 8),
      rate_(line_rate),
      queue_(static_cast<std::size_t>(whole("key_queue"))) {
    fetches_ = whole("fetches"), burst_ = whole("max_burst");
    contexts_ = whole("contexts"), reply_space_ = whole("reply_units_space");
    window_ = whole("window"), window_bytes_ = whole("window_bytes"), reply_units_ = whole("reply_units");
    overhead_ = whole("frame_overhead"), wire_overhead_ = whole("wire_overhead");
    base_latency_ = whole("base_latency"), hit_latency_ = whole("hit_latency");
    miss_latency_ = whole("miss_latency"), banks_ = whole("banks"), row_bytes_ = whole("row_bytes");
    bank_busy_ = whole("bank_busy"), memory_bytes_ = whole("bytes_per_cycle");
    refresh_period_ = whole("refresh_period"), refresh_cycles_ = whole("refresh_cycles");
    jitter_ = whole("jitter_mean");
    decode_ = whole("decode"), request_gap_ = whole("request_gap"), issue_ = whole("issue"), known_ = whole("known");
    copy_ = whole("copy"), tag_ = whole("tag"), fetch_ = whole("fetch");
    arrival_ = whole("arrival"), alone_ = whole("alone"), loop_ = whole("loop"), loop_long_ = whole("loop_long");
    filled_ = whole("filled"), credit_ = whole("credit"), pool_ = whole("pool"), pool_long_ = whole("pool_long");
    divide_ = whole("divide"), reply_ = whole("reply"), frame_gap_ = whole("frame_gap"), host_ = whole("host");
    update_ = whole("update"), prefetch_ = whole("prefetch");
    remote_latency_ = whole("remote"), remote_queue_ = whole("remote_queue"), remote_quiet_ = whole("remote_quiet");
    for_remote_ = (Mask{1} << whole("remote_slots")) - 1;
    remote_fetched_.assign(static_cast<std::size_t>(whole("remote_fetches")), -1);
    require(slots_n_ >= 2 && slots_n_ <= 64, "slots must be 2 to 64");
    require(places_ >= 1 && (places_ & place_mask_) == 0, "places must be a power of two");
    require(places_ * slots_n_ <= kOperations, "slots must not have more than 32,768 places");
    require(window_ >= 1 && window_ <= contexts_ && fetches_ >= 1 && queue_ >= 1,
            "window must be 1 to contexts, fetches and key_queue 1 or more");
    all_ = slots_n_ == 64 ? ~Mask{0} : (Mask{1} << slots_n_) - 1;
    place_mask_ = places_ - 1;
    require(bus_ >= 1 && row_bytes_ >= 1 && banks_ >= 1 && memory_bytes_ >= 1,
            "bus_bytes, row_bytes, banks and bytes_per_cycle must be 1 or more");
    by_bus_ = Divisor(bus_), by_row_bytes_ = Divisor(row_bytes_), by_banks_ = Divisor(banks_);
    by_memory_bytes_ = Divisor(memory_bytes_);
    operations_.resize(slots_n_ * places_);
    for (unsigned number = 0; number < slots_n_; number++) slots_[number].ring = &operations_[number * places_];
    lines_.resize(tags_.lines());
    popped_.assign(queue_, -1);
    fetched_.assign(static_cast<std::size_t>(fetches_), -1);
    channels_ = static_cast<std::size_t>(whole("channels"));
    require(channels_ >= 1, "channels must be 1 or more");
    by_channels_ = Divisor(whole("channels"));
    bank_ready_.assign(static_cast<std::size_t>(banks_) * channels_, 0);
    open_row_.assign(static_cast<std::size_t>(banks_) * channels_, -1);
    bus_free_.assign(channels_, 0);
}

void CardModel::define(std::size_t number, Span<Line> lines, const Placement &where, bool long_format, bool mean) {
    require(number < 256, "a table's number must be below 256");
    require(where.remote == 0 || !remote_fetched_.empty(), "the card has no remote tables");
    require(lines.size >= 1 && lines.size <= std::min<std::size_t>(places_, 256),
            "a row must not have more lines than a slot has places");
    Table table;
    table.lines.assign(lines.data, lines.data + lines.size);
    for (const Line &line : table.lines) {
        require(line.beats >= 0 && line.beats < 1 << 15, "a line must have fewer than 32,768 beats");
        table.beats += line.beats;
    }
    require(table.beats < 1 << 15, "a row must have fewer than 32,768 beats");
    table.base = static_cast<std::uint64_t>(where.base), table.stride = static_cast<std::uint64_t>(where.stride);
    table.rows = static_cast<std::uint64_t>(where.rows), table.padding = static_cast<std::uint64_t>(where.padding);
    table.long_format = long_format, table.mean = mean;
    table.tree = where.tree, table.combine_long = where.adds != 0;
    table.remote = where.remote != 0;
    if (table.tree == 0 && table.lines.size() == 1) table.plain_rows = std::min(table.rows, kNullRow);
    table.plain_flags = static_cast<std::uint16_t>(kFirst | (long_format ? kLong | kKeepsLong : 0) | (mean ? kMean : 0));
    if (tables_.size() <= number) tables_.resize(number + 1);
    tables_[number] = std::move(table);
}

void CardModel::run(Span<std::uint64_t> keys, Span<std::int64_t> splits, Span<std::int64_t> vec64, Span<std::int64_t> flags) {
    const std::size_t count = vec64.size;
    require(splits.size == count + 1 && flags.size == count, "splits, vec64 and flags differ in length");
    require(splits.data[0] == 0 && splits.data[count] == static_cast<std::int64_t>(keys.size), "splits do not cut the keys");
    requests_.assign(count, Request{});
    std::size_t known = tables_.size();  // the table of the last key
    for (std::size_t i = 0; i < count; i++) {
        const std::int64_t first = splits.data[i], end = splits.data[i + 1], bits = flags.data[i];
        require(first < end && keys.data[end - 1] >> 63 == 1, "a request ends with the end of a bag");
        Request &request = requests_[i];
        request.vec64 = static_cast<std::int32_t>(vec64.data[i]);
        request.weighted = bits & 1, request.init = bits & 2, request.partial = bits & 4, request.after = bits & 8;
        request.product = bits & 16;
        request.merges = static_cast<std::int32_t>(bits >> 8);
        std::int64_t bags = 0;
        for (std::int64_t at = first; at < end; at++) {
            const std::size_t table = table_number(keys.data[at]);
            bags += static_cast<std::int64_t>(keys.data[at] >> 63);
            if (table == known) continue;
            require(table < tables_.size() && !tables_[table].lines.empty(), "a key names an unknown table");
            known = table;
        }
        require(request.vec64 >= 1 && bags * request.vec64 <= reply_space_, "a reply is empty or too long");
        request.bags_left = bags, request.bags = static_cast<std::int32_t>(bags);
    }
    keys_ = keys.data, splits_ = splits.data;
    simulate();
    counts_.requests += static_cast<std::int64_t>(count);
}

void CardModel::invalidate(std::size_t number, Span<std::int64_t> rows) {
    require(number < tables_.size() && !tables_[number].lines.empty(), "unknown table");
    for (std::size_t i = 0; i < rows.size; i++) {
        for (std::size_t seg = 0; seg < tables_[number].lines.size(); seg++) {
            tags_.execute(name_of(number, static_cast<std::uint64_t>(rows.data[i]), seg), TagCache::Command::kDrop);
        }
    }
    now_ += update_ * static_cast<Time>(rows.size);
}

std::pair<std::int64_t, std::int64_t> CardModel::prefetch(std::size_t number, Span<std::int64_t> rows, unsigned command,
                                                          bool fill) {
    require(number < tables_.size() && !tables_[number].lines.empty(), "unknown table");
    require(command >= 2 && command <= 5, "command must be 2 to 5");
    const Table &table = tables_[number];
    const auto asked = static_cast<TagCache::Command>(command);
    const bool release = asked == TagCache::Command::kRelease;
    const unsigned wanted = asked == TagCache::Command::kFetch || release ? TagCache::kKept : TagCache::kHeld;
    std::int64_t granted = 0, there = 0;
    Time end = now_;
    for (std::size_t i = 0; i < rows.size; i++) {
        const auto row = static_cast<std::uint64_t>(rows.data[i]);
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
            const std::int64_t beats = found.hit() ? 1 : stored_beats(table, seg, bus_);
            counts_.exec_beats += beats;
            if (found.hit()) continue;
            const Time come = fetch(table, now_, address_of(table, row, seg), beats);
            end = std::max(end, come + beats);
            if (found.kept()) {  // it comes while nothing else is under way
                Stamps &stamps = lines_[found.line];
                stamps.fills++, stamps.done_fills = stamps.fills;
                stamps.reads = stamps.done_reads = 0;
                stamps.filled = come + beats;
            }
        }
        granted += all_granted, there += all_there;
    }
    now_ = std::max(now_, end);
    counts_.prefetches += !fill, counts_.prefetch_rows += granted;
    return {granted, there};
}

std::uint64_t CardModel::address_of(const Table &table, std::uint64_t row, std::size_t seg) noexcept {
    return table.base + row * table.stride + static_cast<std::uint64_t>(table.lines[seg].offset);
}

// A prefetch fetches whole lines, padding included.
std::int64_t CardModel::stored_beats(const Table &table, std::size_t seg, std::int64_t bus) noexcept {
    const auto rest = static_cast<std::int64_t>(table.stride) - table.lines[seg].offset;
    const std::int64_t next = seg + 1 < table.lines.size() ? table.lines[seg + 1].offset - table.lines[seg].offset : rest;
    return next / bus;
}

// ---- memory ---------------------------------------------------------------------------------------------------------

CardModel::Time CardModel::fetch(const Table &table, Time out, std::uint64_t addr, std::int64_t beats) {
    counts_.fetches++;
    if (table.remote) return fetch_remote(out, beats);
    counts_.fetch_beats += beats;
    Time asked = std::max({out + fetch_, asked_ + 1, fetched_[fetch_at_] + 1});
    Time last = 0;
    while (beats > 0) {
        const std::int64_t page = static_cast<std::int64_t>(by_bus_.of(kPage - addr % kPage));
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
CardModel::Time CardModel::fetch_remote(Time out, std::int64_t beats) {
    counts_.remote_fetches++, counts_.remote_beats += beats;
    remote_asked_ = std::max({out + fetch_, remote_asked_ + 1, remote_fetched_[remote_at_] + 1});
    remote_delivered_ = std::max(remote_asked_ + remote_latency_, remote_delivered_ + 1) + beats - 1;
    remote_fetched_[remote_at_] = remote_delivered_;
    remote_at_ = remote_at_ + 1 == remote_fetched_.size() ? 0 : remote_at_ + 1;
    return remote_delivered_ + arrival_;
}

// memory.hpp's Dram::access in the channel that a page lies in, tables being spread over all channels; the answers of
// all channels come one after the other.
CardModel::Time CardModel::deliver(Time asked, std::uint64_t addr, std::int64_t beats) {
    const std::uint64_t page = (addr & kLinear) / kPage;
    const std::uint64_t turn = by_channels_.of(page);
    const std::size_t channel = page - turn * channels_;
    const std::uint64_t local = turn * kPage + addr % kPage;
    const std::uint64_t stripe = by_row_bytes_.of(local);
    const std::int64_t row = static_cast<std::int64_t>(by_banks_.of(stripe));
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
    bus_free = start + static_cast<Time>(by_memory_bytes_.of(static_cast<std::uint64_t>(beats * bus_ + memory_bytes_ - 1)));
    const Time first = std::max(bus_free + jitter_ + base_latency_, delivered_ + 1);
    delivered_ = first + beats - 1;
    return delivered_;
}

// ---- requests in ----------------------------------------------------------------------------------------------------

// Sends what the window allows, and finds the bag to be dispatched next and the cycle in which it can be. What it finds
// changes only when a bag is accepted or a request replied to.
EMBNIC_COLD void CardModel::walk() {
    walk_due_ = false;
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

bool CardModel::may_send(std::size_t number) {
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

std::int64_t CardModel::payload_of(std::size_t number) const {
    const Request &request = requests_[number];
    return (splits_[number + 1] - splits_[number]) * (request.weighted ? 16 : 8) +
           (request.vec64 + 1) * 64 * (request.merges + (request.init ? 1 : 0));
}

void CardModel::send(std::size_t number) {
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

// ---- replies --------------------------------------------------------------------------------------------------------

EMBNIC_COLD void CardModel::bag_done(const Operation &op) {
    Request &request = requests_[static_cast<std::size_t>(op.request)];
    const Time done = exec_free_ + pool_ + ((op.flags & kLong) != 0 ? pool_long_ : 0) + ((op.flags & kMean) != 0 ? divide_ : 0);
    request.done = std::max(request.done, done);
    if (--request.bags_left > 0) return;
    while (replied_ < requests_.size() && requests_[replied_].bags_left == 0) reply(replied_++);
    walk_due_ = true;
}

void CardModel::reply(std::size_t number) {
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

// ---- the pool's turn ------------------------------------------------------------------------------------------------

// The operation that is now the oldest of its slot is looked at when it can be ready.
EMBNIC_HOT void CardModel::head(unsigned number) {
    Slot &slot = slots_[number];
    const Operation &op = slot.ring[slot.started & place_mask_];
    Time when = std::max(op.time, slot.free);
    slot.why = (op.flags & kMisses) != 0 ? kMemory : kNothing;
    if ((op.flags & (kWaits | kFirst)) == (kWaits | kFirst)) {
        const Time near = slot.row_start + (slot.row_long ? loop_long_ : loop_);
        if (near > when) when = near, slot.why = kAccumulator;
    }
    schedule(number, when);
}

EMBNIC_HOT void CardModel::schedule(unsigned number, Time when) {
    if (when <= now_) {
        ready_ |= Mask{1} << number;
        return;
    }
    wheel_.put_head(now_, when, number);
    if (!Wheel::reaches(now_, when)) far_ |= Mask{1} << number, due_[number] = when;
}

// Slots that were looked at too early are put back.
EMBNIC_COLD CardModel::Mask CardModel::put_back(Mask heads) {
    for (Mask left = heads & far_; left != 0; left &= left - 1) {
        const unsigned number = static_cast<unsigned>(__builtin_ctzll(left));
        far_ &= ~(Mask{1} << number);
        if (due_[number] <= now_) continue;
        heads &= ~(Mask{1} << number);
        schedule(number, due_[number]);
    }
    return heads;
}

EMBNIC_HOT void CardModel::execute() {
    while (ready_ != 0) {
        const unsigned number = exec_order_.take(ready_);
        ready_ &= ~(Mask{1} << number);
        Slot &slot = slots_[number];
        Operation &op = slot.ring[slot.started & place_mask_];
        if ((op.flags & (kReads | kFills)) != 0 && !line_is_ready(number, slot, op)) continue;
        start(number, slot, op);
        return;
    }
}

EMBNIC_HOT bool CardModel::line_is_ready(unsigned number, Slot &slot, const Operation &op) {
    const Stamps &stamps = lines_[op.line];
    if (stamps.done_fills != op.fills || ((op.flags & kFills) != 0 && stamps.done_reads != op.reads)) {
        slot.why = kMemory;
        sleeping_ |= Mask{1} << number;
        line_of_sleeper_[number] = op.line;
        return false;
    }
    if (stamps.filled > now_) {
        slot.why = kMemory;
        schedule(number, stamps.filled);
        return false;
    }
    return true;
}

EMBNIC_HOT void CardModel::start(unsigned number, Slot &slot, Operation &op) {
    const Time gap = now_ - exec_free_;
    if (gap > 0) {
        if (slot.why == kMemory) counts_.exec_fetch += gap;
        if (slot.why == kAccumulator) counts_.exec_hazard += gap;
    }
    counts_.exec_beats += op.beats;
    exec_free_ = now_ + op.beats;
    op.time = exec_free_;
    slot.started++;
    slot.free = std::max(exec_free_, now_ + alone_);
    if ((op.flags & kFirst) != 0) slot.row_start = now_ + op.spread, slot.row_long = (op.flags & kKeepsLong) != 0;
    if ((op.flags & (kReads | kFills)) != 0) {
        Stamps &stamps = lines_[op.line];
        if ((op.flags & kFills) != 0) stamps.done_fills++, stamps.done_reads = 0, stamps.filled = exec_free_ + filled_;
        else stamps.done_reads++;
        if (sleeping_ != 0) rouse(op.line, stamps.filled);
    }
    if ((op.flags & kLast) != 0) bag_done(op);
    if ((remote_ >> number & 1) != 0 && slot.started == slot.issued) wheel_.put_room(now_, exec_free_ + remote_quiet_, number);
    if (slot.started < slot.issued) head(number);
    if (((busy_ & ~room_) >> number & 1) != 0) find_room(number);
}

// Slots that sleep on a line look at it again.
EMBNIC_COLD void CardModel::rouse(std::uint32_t line, Time filled) {
    for (Mask left = sleeping_; left != 0; left &= left - 1) {
        const unsigned number = static_cast<unsigned>(__builtin_ctzll(left));
        if (line_of_sleeper_[number] != line) continue;
        sleeping_ &= ~(Mask{1} << number);
        schedule(number, std::max(now_ + 1, filled));
    }
}

// ---- bags, keys -----------------------------------------------------------------------------------------------------

EMBNIC_COLD void CardModel::open(unsigned number, std::size_t key, std::size_t end, std::size_t request) {
    Slot &slot = slots_[number];
    const Request &asked = requests_[request];
    slot.key = slot.first = key, slot.end = end, slot.request = static_cast<std::int32_t>(request);
    slot.lines = static_cast<std::uint32_t>(table_of(keys_[end - 1]).lines.size());
    slot.init = asked.init, slot.product = asked.product, slot.plain = !asked.init && !asked.product;
    slot.any = false;
    slot.flags = static_cast<std::uint16_t>(asked.partial ? ~kMean : ~0);
    slot.first_at = -1, slot.rows = 0, slot.tail = asked.merges;
    slot.half = false, slot.pair = 0;
    slot.free = std::max(slot.free, now_);
    busy_ |= Mask{1} << number;
    taken_ |= Mask{1} << number;
    prefetch_key(slot);
    find_room(number);
}

// Whether a bag of a remote table waits for a slot.
inline bool CardModel::remote_waits() const noexcept {
    return remote_first_ < remote_bags_.size() && remote_bags_[remote_first_].ready <= now_;
}

// Slots that are kept for bags of remote tables, because they hold one.
CardModel::Mask CardModel::tainted() noexcept {
    for (Mask left = remote_; left != 0; left &= left - 1) {
        const unsigned number = static_cast<unsigned>(__builtin_ctzll(left));
        const Slot &slot = slots_[number];
        const bool busy = (taken_ >> number & 1) != 0;
        if (!busy && slot.started == slot.issued && slot.ring[(slot.issued - 1) & place_mask_].time + remote_quiet_ <= now_) {
            remote_ &= ~(Mask{1} << number);
        }
    }
    return remote_;
}

void CardModel::accept_remote() {
    const RemoteBag &bag = remote_bags_[remote_first_++];
    remote_ |= Mask{1} << remote_slot_;
    open(remote_slot_, bag.key, bag.end, bag.request);
    if (remote_first_ == remote_bags_.size()) remote_bags_.clear(), remote_first_ = 0;
}

// The bag at the end of the walk goes to its slot, or to the queue of remote ones.
EMBNIC_COLD void CardModel::accept() {
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

// Notes whether the slot's next key finds places in the cache, or from when on it does.
inline void CardModel::find_room(unsigned number) {
    const Slot &slot = slots_[number];
    const Mask bit = Mask{1} << number;
    room_ &= ~bit;
    if ((busy_ & bit) == 0) return;
    if (slot.end - slot.key <= 1 && slot.first_at >= 0 && now_ < slot.first_at + known_ && !slot.product) {
        wheel_.put_room(now_, slot.first_at + known_, number);
        return;
    }
    if (slot.issued + slot.lines > places_) {
        const std::uint64_t needed = slot.issued + slot.lines - places_ - 1;  // this operation must have left its place
        if (needed >= slot.started) return;  // start() comes back here
        const Time when = slot.ring[needed & place_mask_].time + credit_;
        if (when > now_) {
            wheel_.put_room(now_, when, number);
            return;
        }
    }
    room_ |= bit;
}

// What a turn of a slot asks of the cache and the pool.
struct CardModel::Pick {
    bool last, makes, row, waits;
    bool combine = false;   // of running sums, or of a pair
    bool partial = false;   // of another owner, merged
    bool times = false;     // the row is multiplied
    bool unpooled = false;  // the row is kept
};

inline CardModel::Pick CardModel::choose(Slot &slot, const Table &table, std::uint64_t key) {
    if (__builtin_expect(slot.init, false)) {
        slot.init = false, slot.plain = !slot.product;
        return {false, true, false, slot.any};
    }
    if (__builtin_expect(slot.product, false)) return choose_of_pair(slot, table, key);
    if (__builtin_expect(slot.key == slot.end, false)) return choose_behind(slot, table);
    const std::uint64_t row = key & kRowMask;
    if (++slot.key == slot.end && table.tree > 0 && slot.end - slot.first > 1) slot.tail = table.tree - 1;
    const bool last = slot.key == slot.end && slot.tail == 0;
    bool there = row < table.rows, waits = slot.any;
    counts_.keys++;
    if (__builtin_expect(row == kNullRow, false)) counts_.keys_null++, there = false;
    else if (__builtin_expect(row == table.padding, false)) counts_.keys_padding++, there = false;
    if (there && table.tree > 0) waits = slot.rows >= table.tree && slot.rows % table.tree == 0;
    slot.rows += there;
    return {last, there || last, there, waits};
}

// A product: the two rows of a pair, and where they are not multiplied on the way, a multiply and an add.
EMBNIC_COLD CardModel::Pick CardModel::choose_of_pair(Slot &slot, const Table &table, std::uint64_t key) {
    const std::uint64_t row = key & kRowMask;
    const unsigned pair = slot.pair;
    const bool brief = !requests_[static_cast<std::size_t>(slot.request)].weighted && !table.long_format;
    const bool ends = pair == (brief ? 1u : 3u);
    const bool null = row == kNullRow, padding = !null && row == table.padding;
    const bool there = !null && !padding && row < table.rows && (pair == 0 || slot.half);
    slot.half = there;
    slot.pair = static_cast<std::uint8_t>(ends ? 0 : pair + 1);
    if (pair == 0 || ends) slot.key++;
    if (pair < 2) {
        counts_.keys++;
        counts_.keys_null += null || (pair == 1 && !padding && !there), counts_.keys_padding += padding;
    }
    Pick picked{slot.key == slot.end && ends, false, there && pair < 2, pair >= 2 || ends};
    picked.makes = there || picked.last;
    picked.times = picked.row && ends, picked.unpooled = picked.row && !ends;
    picked.combine = there && pair >= 2;
    slot.any = slot.any || (there && ends);
    return picked;
}

// Partials of other owners, or running sums, behind a bag's keys.
EMBNIC_COLD CardModel::Pick CardModel::choose_behind(Slot &slot, const Table &table) {
    const std::int64_t source = slot.tail--, held = std::min(slot.rows, table.tree);
    Pick picked{slot.tail == 0, false, false, slot.any};
    picked.partial = table.tree == 0;
    picked.combine = !picked.partial && source < held;
    if (picked.combine) picked.waits = (source & (source + 1)) == 0 || source == held - 1;
    picked.makes = picked.partial || picked.combine || picked.last;
    return picked;
}

// A turn of a slot. Most are plain: the next row of a sum, of one line.
EMBNIC_HOT void CardModel::pick(unsigned number) {
    Slot &slot = slots_[number];
    if (slot.first_at < 0) slot.first_at = now_;
    if (slot.plain && slot.key < slot.end) {
        const std::uint64_t key = keys_[slot.key], row = key & kRowMask;
        const Table &table = table_of(key);
        if (row < table.plain_rows && row != table.padding) {
            pick_plain(number, slot, table, key);
            return;
        }
    }
    pick_any(number, slot);
}

// What pick_any() does for a row of one line that is there, of a bag that is neither a tree nor a product.
EMBNIC_HOT void CardModel::pick_plain(unsigned number, Slot &slot, const Table &table, std::uint64_t key) {
    const bool last = ++slot.key == slot.end && slot.tail == 0;
    counts_.keys++;
    slot.rows++;
    const Time out = std::max(now_ + issue_, last_out_ + 1);
    last_out_ = out;
    Operation &op = slot.ring[slot.issued & place_mask_];
    op.time = out + tag_;
    op.request = slot.request;
    op.beats = static_cast<std::uint16_t>(table.beats);
    op.spread = 0;
    const unsigned looked = look_up(op, table, key, 0, slot.set, out);
    const unsigned flags = (table.plain_flags & slot.flags) | (slot.any ? kWaits : 0) | (last ? kLast : 0);
    op.flags = static_cast<std::uint16_t>(flags | looked);
    (looked == kReads ? counts_.row_hits : counts_.row_misses)++;
    push(number, slot);
    slot.any = true;
    picked(number, slot, out, last);
}

EMBNIC_COLD void CardModel::pick_any(unsigned number, Slot &slot) {
    const std::uint64_t key = keys_[std::min(slot.key, slot.end - 1)];
    const Table &table = table_of(key);
    const bool init = slot.init;
    const Pick chosen = choose(slot, table, key);
    Time out = now_ + issue_;
    if (chosen.makes) out = issue(number, table, key, chosen, std::max(out, last_out_));
    slot.any = slot.any || init || (chosen.row && !slot.product) || chosen.partial;
    picked(number, slot, out, chosen.last);
}

// After a slot's turn, whose last operation reaches the cache in the cycle `out`.
EMBNIC_HOT void CardModel::picked(unsigned number, Slot &slot, Time out, bool last) {
    popped_[queue_at_] = out;
    queue_at_ = queue_at_ + 1 == queue_ ? 0 : queue_at_ + 1;
    picked_ = number, picked_at_ = now_;
    if (last) {
        counts_.bags++;
        ending_[ending_n_++ % 4] = {now_ + 2, number};
        busy_ &= ~(Mask{1} << number);
        room_ &= ~(Mask{1} << number);
        return;
    }
    if (slot.key < slot.end) prefetch_key(slot);
    __builtin_prefetch(&slot.ring[(slot.issued + 1) & place_mask_], 1);
    find_room(number);
}

// What the slot's next turn reads is fetched into the processor's cache.
EMBNIC_HOT void CardModel::prefetch_key(Slot &slot) noexcept {
    const std::uint64_t key = keys_[slot.key];
    slot.set = tags_.prefetch(name_of(key, 0));
    __builtin_prefetch(&lines_[tags_.first_line(slot.set)], 1);
}

// The operations of all lines of a row, one a cycle from `out` on; returns the cycle of the last.
EMBNIC_COLD CardModel::Time CardModel::issue(unsigned number, const Table &table, std::uint64_t key,
                                              const Pick &picked, Time out) {
    Slot &slot = slots_[number];
    const bool twice = picked.combine || picked.times;
    const bool is_long = picked.times || (picked.combine ? table.combine_long : picked.row && table.long_format);
    unsigned flags = (picked.waits ? kWaits : 0) | (is_long ? kLong : 0) | (is_long || picked.unpooled ? kKeepsLong : 0) |
                     (table.mean ? kMean & slot.flags : 0) | kFirst;
    const std::size_t lines = table.lines.size();
    bool all_hit = true;
    for (std::size_t seg = 0; seg < lines; seg++) {
        const std::int64_t beats = table.lines[seg].beats;
        out = std::max(out, last_out_ + 1), last_out_ = out;
        Operation &op = slot.ring[slot.issued & place_mask_];
        op.time = out + tag_;
        op.request = slot.request;
        op.beats = static_cast<std::uint16_t>(twice ? 2 * beats : beats);
        op.spread = static_cast<std::uint16_t>(twice ? table.beats : 0);
        unsigned of_line = flags | (picked.last && seg + 1 == lines ? kLast : 0);
        if (picked.row) {
            const std::size_t set = tags_.set_of(name_of(key, seg));
            const unsigned looked = look_up(op, table, key, seg, set, out);
            all_hit &= looked == kReads;
            of_line |= looked;
        }
        op.flags = static_cast<std::uint16_t>(of_line);
        flags &= ~unsigned{kFirst};
        push(number, slot);
    }
    if (picked.row) (all_hit ? counts_.row_hits : counts_.row_misses)++;
    return out;
}

EMBNIC_HOT void CardModel::push(unsigned number, Slot &slot) {
    if (slot.issued++ == slot.started) head(number);
}

// Returns the flags of an operation that say whether its line was there.
EMBNIC_HOT unsigned CardModel::look_up(Operation &op, const Table &table, std::uint64_t key, std::size_t seg, std::size_t set,
                                   Time out) {
    const std::uint64_t name = name_of(key, seg);
    const TagCache::Found found = tags_.look(name, set);
    keep(name, found);
    Stamps &stamps = lines_[found.line];
    op.line = found.line;
    op.fills = stamps.fills, op.reads = stamps.reads;
    if (!found.hit()) {
        miss(op, table, key & kRowMask, seg, found, out);
        return found.kept() ? unsigned{kMisses} | kFills : unsigned{kMisses};
    }
    counts_.line_hits++;
    counts_.pinned_hits += (found.flags & TagCache::kPinned) != 0;
    counts_.joins += stamps.done_fills != stamps.fills || stamps.filled > out;
    stamps.reads++;
    return kReads;
}

EMBNIC_COLD void CardModel::miss(Operation &op, const Table &table, std::uint64_t row, std::size_t seg,
                                 const TagCache::Found &found, Time out) {
    Stamps &stamps = lines_[found.line];
    count_line(found);
    counts_.line_misses++;
    if (found.kept()) stamps.fills++, stamps.reads = 0;
    op.time = fetch(table, out, address_of(table, row, seg), table.lines[seg].fetch_beats);
}

inline void CardModel::keep(std::uint64_t name, const TagCache::Found &found) {
    if (__builtin_expect(record_left_ > 0, false)) recorded_.push_back({name, found}), record_left_--;
}

inline void CardModel::count_line(const TagCache::Found &found) noexcept {
    counts_.evictions += (found.flags & TagCache::kEvict) != 0;
    counts_.no_free_way += (found.flags & TagCache::kNoWay) != 0;
    counts_.not_admitted += (found.flags & TagCache::kRefused) != 0;
}

// ---- the loop -------------------------------------------------------------------------------------------------------

void CardModel::simulate() {
    rx_next_ = std::max(rx_next_, static_cast<double>(now_));
    sent_ = walked_ = replied_ = freed_ = 0, asked_for_ = requests_.size();
    space_used_ = 0, start_floor_ = 0;
    bytes_from_ = 0, bytes_flying_ = 0;
    replied_at_.assign(requests_.size(), kNever);
    accepted_at_.assign(requests_.size(), 0);
    walk_key_ = 0, walk_ready_ = kNever, walk_due_ = true;
    remote_free_valid_ = kept_ = false;
    const bool remote = remote_ != 0 || std::any_of(tables_.begin(), tables_.end(), [](const Table &t) { return t.remote; });
    if (remote) serve<true>();
    else serve<false>();
    now_ = std::max(now_, last_reply_);
    wheel_.clear();
}

template <bool kRemote>
void CardModel::serve() {
    while (replied_ < asked_for_) step<kRemote>();
}

// `kRemote`: there are tables of other cards.
template <bool kRemote>
EMBNIC_HOT void CardModel::step() {
    const Wheel::Bucket due = wheel_.take(now_);
    ready_ |= (due.heads & far_) == 0 ? due.heads : put_back(due.heads);
    for (Mask left = due.rooms; left != 0; left &= left - 1) find_room(static_cast<unsigned>(__builtin_ctzll(left)));
    Time next = kNever;
    if (ready_ != 0) {
        if (now_ >= exec_free_) execute();
        if (ready_ != 0) next = std::max(now_ + 1, exec_free_);
    }
    for (; ended_n_ != ending_n_ && ending_[ended_n_ % 4].free <= now_; ended_n_++) {
        taken_ &= ~(Mask{1} << ending_[ended_n_ % 4].slot);
    }
    const Mask taken = taken_;  // as the registers show it in this cycle
    const Mask rest = picked_at_ == now_ - 1 ? Mask{1} << picked_ : 0;
    if (const Mask wanted = busy_ & room_ & ~rest; wanted != 0 && popped_[queue_at_] < now_) pick(pick_order_.take(wanted));
    if (walk_due_) walk();
    const bool had = free_valid_, had_remote = kRemote && remote_free_valid_, waits = kRemote && remote_waits();
    const bool remote = had_remote && waits && !kept_;
    if (kRemote) kept_ = remote && free_valid_ && walk_ready_ <= now_ && !walk_remote_;
    if (remote) accept_remote();
    if (walk_ready_ <= now_ && ((kRemote && walk_remote_) || (free_valid_ && !remote))) accept(), walk();
    const bool choose = waits && (remote || !had_remote);
    const unsigned before = remote_slot_;
    if (choose) {
        Mask free = ~taken & for_remote_;
        if (had) free &= ~(Mask{1} << free_slot_);
        if (had_remote) free &= ~(Mask{1} << before);
        remote_free_valid_ = free != 0;
        if (free != 0) remote_slot_ = remote_order_.take(free);
    } else if (kRemote) {
        remote_free_valid_ = had_remote && waits;
    }
    if (!free_valid_) {
        Mask free = ~taken & all_;
        if (kRemote) free &= ~tainted();
        if (had) free &= ~(Mask{1} << free_slot_);
        if (had_remote) free &= ~(Mask{1} << before);
        if (choose) free &= ~for_remote_;
        if (free != 0) free_slot_ = free_order_.take(free), free_valid_ = true;
    }
    if (kRemote && remote_first_ < remote_bags_.size()) {
        const Time ready = remote_bags_[remote_first_].ready;
        if (ready > now_ || remote_free_valid_) next = std::min(next, std::max(now_ + 1, ready));
    }
    if ((free_valid_ || (kRemote && walk_remote_)) && walk_ready_ != kNever) {
        next = std::min(next, std::max(now_ + 1, walk_ready_));
    }
    if ((busy_ & room_) != 0) next = std::min(next, std::max(now_ + 1, popped_[queue_at_] + 1));
    if (ended_n_ != ending_n_) next = std::min(next, ending_[ended_n_ % 4].free);
    if (next > now_ + 1) next = std::min(next, wheel_.next(now_));
    if (replied_ == asked_for_) return;
    if (next == kNever) throw std::logic_error("the model waits for nothing");
    now_ = next;
}

}  // namespace embnic
