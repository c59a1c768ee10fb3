// SPDX-License-Identifier: Apache-2.0
// A card made of the HLS cores, in C simulation: frames in, frames out.
//
// The cores row_cache, dequant and pool do the work; around them stands what the RTL's net and decode modules do: checks of
// frames and requests, bags cut into operations, replies, sequenced updates. A frame is served whole before the next one.
#ifndef EMBNIC_CARD_HPP
#define EMBNIC_CARD_HPP

#include <cstring>
#include <deque>
#include <optional>
#include <vector>

#include "bridge/counters.hpp"
#include "bridge/frames.hpp"
#include "cores/dequant/dequant.hpp"
#include "cores/pool/pool.hpp"
#include "cores/row_cache/row_cache.hpp"
#include "embnic/config.hpp"

namespace embnic::bridge {

// A table as the card sees it.
struct Descriptor {
    bool valid, has_padding, mul_then_add, remote, memo;
    DType dtype;
    Pooling pooling;
    wire::Order order;
    std::uint16_t dim;
    unsigned tree_k;
    std::uint64_t base, rows, padding_row;
};

inline Descriptor descriptor(const std::uint64_t* words) {
    const auto get = [words](wire::DescriptorField field) {
        const std::uint64_t word = words[field.word] >> field.shift;
        return field.bits == 64 ? word : word & ((std::uint64_t{1} << field.bits) - 1);
    };
    Descriptor made{};
    made.valid = get(wire::kDescriptorValid);
    made.has_padding = get(wire::kDescriptorHasPadding);
    made.mul_then_add = get(wire::kDescriptorMulThenAdd);
    made.remote = get(wire::kDescriptorRemote);
    made.memo = get(wire::kDescriptorMemo);
    made.dtype = static_cast<DType>(get(wire::kDescriptorDtype));
    made.pooling = static_cast<Pooling>(get(wire::kDescriptorPooling));
    made.order = static_cast<wire::Order>(get(wire::kDescriptorOrder));
    made.dim = static_cast<std::uint16_t>(get(wire::kDescriptorDim));
    made.tree_k = 1u << get(wire::kDescriptorTreeKLog2);
    made.base = get(wire::kDescriptorBase) & ((std::uint64_t{1} << 40) - 1) & ~std::uint64_t{63};
    made.rows = get(wire::kDescriptorRows);
    made.padding_row = get(wire::kDescriptorPaddingRow);
    return made;
}

// 64-byte units of a row of `dim` elements as stored.
inline std::uint32_t row_units(DType dtype, std::uint32_t dim) {
    switch (expand_of(dtype)) {
    case 1: return (2 * dim + 63) / 64;
    case 2: return (dim + 16 + 63) / 64;
    case 3: return ((dim + 1) / 2 + 16 + 63) / 64;
    default: return (4 * dim + 63) / 64;
    }
}

// What the host may set and ask, whatever the configuration.
class Card {
  public:
    virtual ~Card() = default;
    virtual void table(unsigned number, const std::uint64_t* words) = 0;
    virtual void flush() = 0;
    virtual void cache(unsigned cached_ways, bool admission) = 0;
    virtual void receive(const std::uint8_t* frame, std::size_t size) = 0;

    bool enable = false, quiesce = false;
    std::uint16_t port = wire::kDefaultUdpPort;
    unsigned reply_units = 22;
    Counters count{};
    std::deque<Bytes> sent;
    Bytes memory;
};

template <typename Config>
class CardOf final : public Card {
  public:
    void table(unsigned number, const std::uint64_t* words) override {
        if (number < Config::kTables) tables_[number] = descriptor(words);
        flush();
    }

    void flush() override { cache_.flush(); }

    void cache(unsigned cached_ways, bool admission) override {
        cache_.tags.cached_ways = cached_ways;
        cache_.tags.admission = admission;
    }

    void receive(const std::uint8_t* frame, std::size_t size) override {
        count.rx_frames++;
        count.rx_bytes += size;
        if (const auto reason = refusal(frame, size, enable, port)) {
            count.drops[static_cast<unsigned>(*reason)]++;
            return;
        }
        count.rx_accepted++;
        serve(parse(frame));
        copy_events();
    }

  private:
    static constexpr unsigned kLanes = Config::kLanes, kBus = Config::kBusBytes;
    static constexpr std::uint64_t kAddressMask = (std::uint64_t{1} << 40) - 1;  // ADDR_W of embnic_pkg
    using Data = Lanes<kLanes>;
    using Status = wire::Status;
    using Opcode = wire::Opcode;

    // A bag on its way: what is left of it, and what its keys so far said.
    struct Open {
        std::size_t next, end;     // entries
        std::uint16_t rsp_addr;
        unsigned merge;            // partials given
        bool initial;              // the accumulator is still to be given
        bool table_seen, any, start, mul_then_add;
        std::uint16_t tbl;
        std::uint32_t count;
        unsigned tree, rows, combine;  // TREE: running sums; rows added; the next one that is added to another, 0: none
    };

    // A vector of the init RAM.
    struct Vector {
        std::uint16_t addr;
        std::uint32_t held;
    };

    struct Client {
        std::uint64_t id, high, window;
    };

    Descriptor tables_[Config::kTables]{};
    RowCache<Config> cache_;
    Dequant<Config> dequant_;
    Pool<Config> pool_;
    Stream<Op> ops_;
    std::vector<Client> clients_;
    std::vector<Data> init_ = std::vector<Data>(Config::kInitBeats);
    std::vector<std::uint8_t> rsp_;   // vectors of the request
    std::uint32_t done_count_ = 0;    // of the last bag
    Status status_ = Status::OK;
    bool pooling_seen_ = false;
    Pooling pooling_{};

    // -- requests ---------------------------------------------------------------------------------

    void serve(const Request& request) {
        switch (static_cast<Opcode>(request.opcode)) {
        case Opcode::PING: {
            if (request.payload_bytes) return error(request, Status::BAD_REQUEST);
            count.replies++;
            return send(request, {Opcode::REPLY, Status::OK, true, 0, 0, 0}, {});
        }
        case Opcode::LOOKUP:
        case Opcode::MERGE: return lookup(request);
        case Opcode::UPDATE:
        case Opcode::FILL:
        case Opcode::INVALIDATE:
        case Opcode::PREFETCH:
            if (quiesce) return busy(request);
            return change(request);
        default: return error(request, Status::UNSUPPORTED);
        }
    }

    void send(const Request& request, const ReplyHeader& header, const Bytes& body) {
        sent.push_back(reply_frame(request, header, body));
        count.tx_frames++;
        count.tx_bytes += sent.back().size();
    }

    void error(const Request& request, Status status) {
        count.errors++;
        send(request, {Opcode::ERROR, status, true, request.first_bag, request.bags, 0}, {});
    }

    void busy(const Request& request) {
        count.errors_busy++;
        error(request, Status::BUSY);
    }

    static constexpr std::uint32_t vec64_of(std::uint32_t dim) { return (dim * 4 + 63) / 64; }

    // What the header alone shows.
    static Status check(const Request& request, bool merge) {
        const std::uint32_t vec64 = vec64_of(request.dim), bags = merge ? 1 : request.bags;
        const bool accumulator = request.flags & wire::kFlagAccumulator, weighted = request.flags & wire::kFlagWeighted;
        const bool partial = request.flags & (wire::kFlagContinues | wire::kFlagPartialWanted);
        const std::uint64_t units = std::uint64_t{request.bags} * vec64;
        const std::uint64_t held = units + (merge && accumulator ? vec64 : 0);
        if (request.dtype > static_cast<std::uint8_t>(DType::FIXED) ||
            (weighted && request.dtype == static_cast<std::uint8_t>(DType::FIXED)) || (request.flags & wire::kFlagProduct)) {
            return Status::UNSUPPORTED;
        }
        if (request.dim == 0) return Status::BAD_REQUEST;
        if (vec64 > Config::kMaxVec64 || held > (merge ? Config::kInitUnits : Config::kReplyVec64)) return Status::TOO_LARGE;
        std::uint64_t bytes = std::uint64_t{request.keys} * (weighted ? wire::kWeightedBytes : wire::kKeyBytes);
        if (accumulator) bytes += wire::kBlockBytes + vec64 * wire::kUnitBytes;
        if (merge) bytes += (units + request.bags) * wire::kUnitBytes;
        const bool alone = accumulator || partial;
        if (request.bags == 0 || request.keys < bags || bytes != request.payload_bytes || (alone && bags != 1)) {
            return Status::BAD_REQUEST;
        }
        return Status::OK;
    }

    void lookup(const Request& request) {
        const bool merge = static_cast<Opcode>(request.opcode) == Opcode::MERGE;
        const Status header = check(request, merge);
        count.requests++;
        if (header != Status::OK) return error(request, header);
        if (quiesce) return busy(request);
        const std::uint8_t* entries = request.payload;
        std::vector<Vector> vectors;  // the accumulator first, if there is one
        std::uint32_t held = 0;
        const bool accumulator = take_vectors(request, merge, entries, vectors, held);
        const std::size_t bags = merge ? 1 : request.bags;
        rsp_.assign(bags * vec64_of(request.dim) * wire::kUnitBytes, 0);
        status_ = Status::OK;
        pooling_seen_ = false;
        walk(request, entries, bags, vectors, accumulator, held);
        if (status_ != Status::OK) return error(request, status_);
        reply(request, bags);
    }

    // Copy accumulator and partials that hold a key to the init RAM; return whether the first is an accumulator.
    bool take_vectors(const Request& request, bool merge, const std::uint8_t*& at, std::vector<Vector>& vectors,
                      std::uint32_t& held) {
        const bool accumulator = request.flags & wire::kFlagAccumulator;
        const std::size_t beats = vec64_of(request.dim) * Config::kBpw;
        const unsigned blocks = (accumulator ? 1 : 0) + (merge ? request.bags : 0);
        bool first = false;
        for (unsigned block = 0; block < blocks; block++) {
            const std::uint32_t keys = little(at, 4);
            at += wire::kBlockBytes;
            if (keys) {
                const std::size_t addr = vectors.size() * beats;
                for (std::size_t beat = 0; beat < beats; beat++) init_[addr + beat] = load(at + beat * kBus);
                vectors.push_back({static_cast<std::uint16_t>(addr), keys});
                first = first || (accumulator && block == 0);
                held += keys;
            }
            at += beats * kBus;
        }
        return first;
    }

    static Data load(const std::uint8_t* bytes) {
        Data data;
        for (unsigned lane = 0; lane < kLanes; lane++) data.lane[lane] = little(bytes + 4 * lane, 4);
        return data;
    }

    // Cut the entries into bags; open bags take turns.
    void walk(const Request& request, const std::uint8_t* entries, std::size_t bags, const std::vector<Vector>& vectors,
              bool accumulator, std::uint32_t held) {
        const std::size_t entry = request.flags & wire::kFlagWeighted ? wire::kWeightedBytes : wire::kKeyBytes;
        std::vector<std::size_t> ends;
        for (std::size_t key = 0; key < request.keys; key++) {
            if (little64(entries + key * entry) >> wire::kKeyLastShift) ends.push_back(key + 1);
        }
        if (ends.size() != bags || ends.back() != request.keys) status_ = Status::BAD_REQUEST;
        const std::size_t whole = ends.size() < bags ? ends.size() : bags;
        count.bags += whole;
        const auto vec_beats = static_cast<std::uint16_t>(vec64_of(request.dim) * Config::kBpw);
        std::optional<Open> slots[Config::kSlots];
        std::size_t opened = 0, closed = 0;
        while (closed < whole) {
            for (unsigned slot = 0; slot < Config::kSlots; slot++) {
                if (!slots[slot] && opened < whole) {
                    Open bag{};
                    bag.next = opened ? ends[opened - 1] : 0;
                    bag.end = ends[opened];
                    bag.rsp_addr = static_cast<std::uint16_t>(opened * vec_beats);
                    bag.initial = accumulator;
                    bag.merge = accumulator ? 1 : 0;
                    bag.start = true;
                    bag.count = held;
                    slots[slot] = bag;
                    opened++;
                }
                if (!slots[slot]) continue;
                if (step(request, entries, entry, *slots[slot], static_cast<std::uint8_t>(slot), vectors)) {
                    slots[slot].reset();
                    closed++;
                }
            }
            run();
        }
    }

    // Do the bag's next item; return whether it was the last.
    bool step(const Request& request, const std::uint8_t* entries, std::size_t entry, Open& bag, std::uint8_t slot,
              const std::vector<Vector>& vectors) {
        const auto beats = static_cast<std::uint16_t>(vec64_of(request.dim) * Config::kBpw);
        Op op{};
        op.slot = slot;
        op.dim = request.dim;
        op.dtype = static_cast<DType>(request.dtype);
        op.rsp_addr = bag.rsp_addr;
        op.weight = fp32::kOne;
        op.partial = request.flags & (wire::kFlagContinues | wire::kFlagPartialWanted);
        op.fetch_beats = 1;
        op.beats = beats;
        op.first_seg = op.last_seg = true;
        op.first = !bag.any;
        op.pooling = pooling_;
        op.mul_then_add = bag.mul_then_add;
        const bool key = !bag.initial && bag.next < bag.end;
        if (!key && !bag.initial && bag.merge == vectors.size()) return combine(op, bag);
        bool last = false, contributes = false;
        if (key) {
            const std::uint8_t* at = entries + bag.next * entry;
            if (entry == wire::kWeightedBytes) op.weight = little(at + wire::kKeyBytes, 4);
            last = bag.next + 1 == bag.end && bag.merge == vectors.size();
            contributes = name(request, little64(at), bag, bag.start && last, op);
            bag.next++;
            if (contributes && bag.tree) {
                op.bank = static_cast<std::uint8_t>(bag.rows % bag.tree);
                op.first = bag.rows < bag.tree;
            }
            bag.rows += contributes;
            if (last && bag.tree && bag.rows > 1) {  // its running sums are still to be combined
                bag.combine = bag.rows < bag.tree ? bag.rows - 1 : bag.tree - 1;
                last = false;
            }
        } else {
            op.kind = OpKind::INIT;
            op.row = vectors[bag.initial ? 0 : bag.merge].addr;
            last = !bag.initial && bag.merge + 1 == vectors.size();
            if (!bag.initial) bag.merge++;
            bag.initial = false;
        }
        bag.start = false;
        op.last = last;
        op.count = bag.count;
        if (!key) {
            ops_.write(op);
        } else if (contributes) {
            lines(op);
        } else if (last) {
            op.kind = OpKind::FLUSH;
            ops_.write(op);
        }
        bag.any = bag.any || !key || contributes;
        return last;
    }

    // Add one running sum of a TREE to the one without its number's highest bit.
    bool combine(Op& op, Open& bag) {
        unsigned top = 1;
        while (top * 2 <= bag.combine) top *= 2;
        op.kind = OpKind::FLUSH;
        op.combine = true;
        op.first = false;
        op.row = bag.combine;
        op.bank = static_cast<std::uint8_t>(bag.combine - top);
        op.last = bag.combine == 1;
        op.count = bag.count;
        ops_.write(op);
        bag.combine--;
        return op.last;
    }

    // Check a key; return whether its row is to be added, and what the operation needs to know of it.
    bool name(const Request& request, std::uint64_t word, Open& bag, bool alone, Op& op) {
        const std::uint64_t row = word & wire::kNullRow;
        const auto tbl = static_cast<std::uint16_t>(word >> wire::kKeyTableShift & 0x7FFF);
        const bool null = row == wire::kNullRow, known = tbl < Config::kTables && tables_[tbl].valid;
        const Descriptor none{};
        const Descriptor& desc = known ? tables_[tbl] : none;
        count.keys++;
        count.keys_null += null;
        if (known && !pooling_seen_) {
            pooling_seen_ = true;
            pooling_ = desc.pooling;
        }
        const Status status = judge(request, desc, known, row, null, tbl, bag, alone);
        if (status != Status::OK) {
            if (status_ == Status::OK) status_ = status;
            count.keys_refused += !null;
        }
        op.pooling = desc.pooling;
        op.mul_then_add = desc.mul_then_add;
        if (!bag.table_seen) {
            bag.table_seen = true;
            bag.tbl = tbl;
            bag.mul_then_add = desc.mul_then_add;
            bag.tree = status == Status::OK && desc.order == wire::Order::TREE ? desc.tree_k : 0;
        }
        const bool padding = desc.has_padding && row == desc.padding_row && !null;
        count.keys_padding += padding && status == Status::OK;
        if (status != Status::OK || null || padding) return false;
        bag.count++;
        op.kind = OpKind::ROW;
        op.tbl = tbl;
        op.row = row;
        op.addr = desc.base + row * row_units(desc.dtype, desc.dim) * wire::kUnitBytes;
        return true;
    }

    Status judge(const Request& request, const Descriptor& desc, bool known, std::uint64_t row, bool null, std::uint16_t tbl,
                 const Open& bag, bool alone) const {
        const bool merge = static_cast<Opcode>(request.opcode) == Opcode::MERGE;
        const bool weighted = request.flags & wire::kFlagWeighted;
        if (!known) return Status::UNKNOWN_TABLE;
        const bool piece = request.flags & (wire::kFlagAccumulator | wire::kFlagContinues);
        const bool fits = desc.tree_k >= 2 && desc.tree_k <= Config::kTreeK && desc.tree_k * vec64_of(desc.dim) <= Config::kMaxVec64 && !piece;
        if ((desc.order == wire::Order::TREE && !fits) || desc.order == wire::Order::MEMO || desc.remote || desc.memo ||
            (merge && desc.order != wire::Order::SPLIT)) {
            return Status::UNSUPPORTED;
        }
        if (desc.dim != request.dim || static_cast<std::uint8_t>(desc.dtype) != request.dtype ||
            (weighted && desc.pooling != Pooling::SUM)) {
            return Status::TABLE_MISMATCH;
        }
        if (desc.pooling == Pooling::NONE && !alone) return Status::BAD_REQUEST;
        if (!null && row >= desc.rows) return Status::OUT_OF_RANGE;
        if ((bag.table_seen && bag.tbl != tbl) || pooling_ != desc.pooling) return Status::TABLE_MISMATCH;
        return Status::OK;
    }

    // One operation for each line of a row.
    void lines(Op op) {
        const bool none = op.kind != OpKind::ROW;
        const unsigned expand = expand_of(op.dtype), chunk_bytes = kBus >> expand;
        const unsigned header = is_quantised(op.dtype) ? 16 / chunk_bytes : 0;
        const unsigned vector = vec64_of(op.dim) * Config::kBpw, stored = row_units(op.dtype, op.dim) * Config::kBpw;
        const std::uint64_t first = op.addr;
        for (unsigned start = 0; start < stored; start += Config::kLineBeats) {
            const unsigned fetch = stored - start < Config::kLineBeats ? stored - start : Config::kLineBeats;
            const unsigned begin = (start << expand) < header ? 0 : (start << expand) - header;
            unsigned end = ((start + fetch) << expand) - header;
            if (end > vector) end = vector;
            op.seg = static_cast<std::uint8_t>(start / Config::kLineBeats);
            op.addr = (first + std::uint64_t{start} * kBus) & kAddressMask;
            op.header = start == 0 && header;
            op.chunk = static_cast<std::uint8_t>(start == 0 ? header : 0);
            op.beat_base = static_cast<std::uint16_t>(begin);
            op.beats = static_cast<std::uint16_t>(end - begin);
            op.fetch_beats = static_cast<std::uint16_t>(none ? fetch : ((header + end - 1) >> expand) + 1 - start);
            op.first_seg = start == 0;
            op.last_seg = start + fetch == stored;
            ops_.write(op);
        }
    }

    // -- the data path ----------------------------------------------------------------------------

    void run() {
        Stream<ReadRequest> m_axi_ar;
        Stream<ReadBeat<kLanes>> m_axi_r;
        Stream<CacheBeat<kLanes>> found;
        Stream<StoredBeat<kLanes>> beat;
        Stream<VectorBeat<kLanes>> vec;
        Stream<ResponseBeat<kLanes>> rsp_wr;
        while (!ops_.empty()) {
            cache_.issue(ops_, m_axi_ar);
            while (!m_axi_ar.empty()) answer(m_axi_ar.read(), m_axi_r);
            cache_.execute(m_axi_r, init_.data(), found);
        }
        bool wrong = false;
        while (!found.empty()) {
            const CacheBeat<kLanes> next = found.read();
            count.exec_beats++;
            if (next.bad) {
                count.memory_errors++;
                wrong = true;
                if (status_ == Status::OK) status_ = Status::MEMORY_ERROR;
            }
            beat.write(next.stored);
        }
        if (wrong) cache_.flush();  // what memory could not give is asked for again
        dequant_.run(beat, vec);
        pool_.run(vec, rsp_wr);
        while (!rsp_wr.empty()) {
            const ResponseBeat<kLanes> write = rsp_wr.read();
            const std::size_t at = std::size_t{write.addr} * kBus;
            for (unsigned lane = 0; lane < kLanes && at + kBus <= rsp_.size(); lane++) {
                put(rsp_.data() + at + 4 * lane, write.data.lane[lane], 4);
            }
            if (write.done) done_count_ = write.count;
        }
    }

    // Card memory: reads beyond its end are errors.
    void answer(const ReadRequest& request, Stream<ReadBeat<kLanes>>& m_axi_r) const {
        for (unsigned beat = 0; beat < request.beats; beat++) {
            const std::uint64_t at = request.addr + std::uint64_t{beat} * kBus;
            const bool there = at + kBus <= memory.size();
            m_axi_r.write({there ? load(memory.data() + at) : Data{}, !there});
        }
    }

    void reply(const Request& request, std::size_t bags) {
        const bool partial = request.flags & (wire::kFlagContinues | wire::kFlagPartialWanted);
        (partial ? count.partials : count.replies)++;
        const std::size_t vec64 = vec64_of(request.dim);
        const std::size_t room = partial ? reply_units - 1 : reply_units;
        const std::size_t step = partial || vec64 > room ? 1 : room / vec64;  // vectors of a frame
        for (std::size_t bag = 0; bag < bags; bag += step) {
            const std::size_t vectors = bags - bag < step ? bags - bag : step;
            const std::size_t units = vectors * vec64;
            for (std::size_t unit = 0; unit < units; unit += room) {
                const std::size_t piece = units - unit < room ? units - unit : room;
                Bytes body(partial ? wire::kBlockBytes : 0);
                if (partial) put(body.data(), done_count_, 4);
                const std::uint8_t* from = rsp_.data() + (bag * vec64 + unit) * wire::kUnitBytes;
                body.insert(body.end(), from, from + piece * wire::kUnitBytes);
                const bool final = bag + step >= bags && unit + room >= units;
                send(request,
                     {partial ? Opcode::PARTIAL : Opcode::REPLY, Status::OK, final,
                      static_cast<std::uint16_t>(request.first_bag + bag), static_cast<std::uint16_t>(vectors),
                      static_cast<std::uint16_t>(unit)},
                     body);
            }
        }
    }

    // -- UPDATE, FILL, INVALIDATE, PREFETCH -------------------------------------------------------

    void change(const Request& request) {
        const auto opcode = static_cast<Opcode>(request.opcode);
        const bool prefetch = opcode == Opcode::PREFETCH, fill = opcode == Opcode::FILL;
        const bool writes = fill || opcode == Opcode::UPDATE;
        const Status header = check_change(request, prefetch, fill, writes);
        if (header != Status::OK) return error(request, header);
        const std::uint8_t* keys = request.payload + (prefetch ? 0 : wire::kSequenceBytes);
        for (std::size_t key = 0; key < request.keys; key++) {
            const Status status = check_row(request, little64(keys + key * wire::kKeyBytes));
            if (status != Status::OK) return error(request, status);
        }
        if (!prefetch) {
            const std::uint64_t id = little64(request.payload), sequence = little64(request.payload + 8);
            bool known = false;
            const Status status = record(id, sequence, known);
            if (status != Status::OK) return error(request, status);
            if (known) {
                count.update_duplicates++;
                return acknowledge(request, id, sequence);
            }
            count.updates++;
        }
        std::uint64_t there = 0, granted = 0;
        const std::size_t stride = row_units(static_cast<DType>(request.dtype), request.dim) * wire::kUnitBytes;
        const std::uint8_t* rows = request.payload + head(request);
        for (std::size_t key = 0; key < request.keys; key++) {
            const std::uint64_t word = little64(keys + key * wire::kKeyBytes);
            if (writes) write(word, rows + key * stride, stride);
            if (!prefetch) touch(request, word, OpKind::INVALIDATE);
            if (!prefetch) count.update_rows++;
            if (prefetch || fill) {
                static constexpr OpKind kHolds[] = {OpKind::PREFETCH, OpKind::LOCK, OpKind::PIN, OpKind::RELEASE};
                const Prefetched found = touch(request, word, kHolds[request.first_bag & 3]);
                there += found.there;
                granted += found.granted;
            }
        }
        if (!prefetch) return acknowledge(request, little64(request.payload), little64(request.payload + 8));
        count.prefetches++;
        count.prefetch_rows += granted;
        acknowledge(request, granted, there);
    }

    static std::size_t head(const Request& request) {
        return (wire::kSequenceBytes + std::size_t{request.keys} * wire::kKeyBytes + wire::kUnitBytes - 1) / wire::kUnitBytes *
               wire::kUnitBytes;
    }

    static Status check_change(const Request& request, bool prefetch, bool fill, bool writes) {
        if (request.dtype > static_cast<std::uint8_t>(DType::FIXED)) return Status::UNSUPPORTED;
        const unsigned forbidden =
            wire::kFlagWeighted | wire::kFlagAccumulator | wire::kFlagContinues | wire::kFlagPartialWanted | wire::kFlagProduct;
        const bool holds = prefetch || fill;
        if (request.dim == 0 || request.keys == 0 || request.bags != 0 || (request.flags & forbidden) ||
            (holds && request.first_bag > 3) ||
            (fill && request.first_bag == static_cast<std::uint16_t>(wire::Hold::RELEASE))) {
            return Status::BAD_REQUEST;
        }
        if (vec64_of(request.dim) > Config::kMaxVec64) return Status::TOO_LARGE;
        const std::size_t rows =
            writes ? std::size_t{request.keys} * row_units(static_cast<DType>(request.dtype), request.dim) * wire::kUnitBytes : 0;
        const std::size_t bytes = prefetch ? std::size_t{request.keys} * wire::kKeyBytes : head(request) + rows;
        return bytes == request.payload_bytes ? Status::OK : Status::BAD_REQUEST;
    }

    Status check_row(const Request& request, std::uint64_t word) const {
        const std::uint64_t tbl = word >> wire::kKeyTableShift & 0x7FFF, row = word & wire::kNullRow;
        if (tbl >= Config::kTables || !tables_[tbl].valid) return Status::UNKNOWN_TABLE;
        const Descriptor& desc = tables_[tbl];
        if (desc.remote) return Status::UNSUPPORTED;
        if (desc.dim != request.dim || static_cast<std::uint8_t>(desc.dtype) != request.dtype) return Status::TABLE_MISMATCH;
        return row < desc.rows ? Status::OK : Status::OUT_OF_RANGE;
    }

    // Note a client's sequence; `known`: it was noted before.
    Status record(std::uint64_t id, std::uint64_t sequence, bool& known) {
        Client* client = nullptr;
        for (Client& other : clients_) {
            if (other.id == id) client = &other;
        }
        if (!client) {
            if (clients_.size() >= Config::kClients) return Status::CLIENTS_FULL;
            if (sequence == 0) {
                known = true;
                return Status::OK;
            }
            if (sequence > 64) return Status::SEQUENCE_WINDOW;
            clients_.push_back({id, 0, 0});
            client = &clients_.back();
        }
        known = sequence <= client->high;
        if (known) return Status::OK;
        const std::uint64_t gap = sequence - client->high - 1;
        if (gap > 63) return Status::SEQUENCE_WINDOW;
        known = client->window >> gap & 1;
        client->window |= std::uint64_t{1} << gap;
        while (client->window & 1) {
            client->window >>= 1;
            client->high++;
        }
        return Status::OK;
    }

    void write(std::uint64_t word, const std::uint8_t* bytes, std::size_t stride) {
        const Descriptor& desc = tables_[word >> wire::kKeyTableShift & 0x7FFF];
        const std::uint64_t at = (desc.base + (word & wire::kNullRow) * stride) & kAddressMask;
        if (at + stride > memory.size()) {
            count.memory_errors++;
            return;
        }
        std::memcpy(memory.data() + at, bytes, stride);
    }

    Prefetched touch(const Request& request, std::uint64_t word, OpKind kind) {
        const auto tbl = static_cast<std::uint16_t>(word >> wire::kKeyTableShift & 0x7FFF);
        Op op{};
        op.kind = kind;
        op.tbl = tbl;
        op.row = word & wire::kNullRow;
        op.dim = request.dim;
        op.dtype = static_cast<DType>(request.dtype);
        op.addr = tables_[tbl].base + op.row * row_units(op.dtype, op.dim) * wire::kUnitBytes;
        lines(op);
        run();
        return cache_.pf.empty() ? Prefetched{false, false} : cache_.pf.read();
    }

    void acknowledge(const Request& request, std::uint64_t first, std::uint64_t second) {
        Bytes body(wire::kUnitBytes);
        put(body.data(), first, 8);
        put(body.data() + 8, second, 8);
        count.acks++;
        send(request, {Opcode::ACK, Status::OK, true, 0, 0, 0}, body);
    }

    void copy_events() {
        count.row_hits = cache_.evt.row_hit;
        count.row_misses = cache_.evt.row_miss;
        count.line_hits = cache_.evt.line_hit;
        count.line_misses = cache_.evt.line_miss;
        count.pinned_hits = cache_.evt.line_pinned;
        count.evictions = cache_.evt.evict;
        count.fetches = cache_.evt.fetch;
        count.fetch_beats = cache_.evt.fetch_beat;
        count.no_free_way = cache_.evt.no_way;
        count.not_admitted = cache_.evt.refused;
        count.saturations = pool_.evt_saturate;
    }
};

}  // namespace embnic::bridge

#endif  // EMBNIC_CARD_HPP
