// SPDX-License-Identifier: Apache-2.0
// Frames and table descriptors made at random, given to the HLS card under sanitizers: `fuzz SEED FRAMES`.
//
// Most frames are whole and nearly right, so that they get past the first check; some are cut, spoilt or noise. After each one
// the counters must add up, and whatever was sent must be a frame of ours with a right CRC.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "bridge/card.hpp"
#include "bridge/kernels.hpp"

namespace {

using namespace embnic;
using bridge::Bytes;
using bridge::put;

class Fuzz {
  public:
    explicit Fuzz(std::uint64_t seed) : random_(seed) {}

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    bool chance(unsigned percent) { return below(100) < percent; }
    std::uint64_t bits() { return random_(); }

    // A descriptor: mostly of a small table in memory.
    void descriptor(bridge::Card& card, unsigned number) {
        std::uint64_t words[wire::kDescriptorWords] = {bits(), bits(), bits(), bits()};
        const auto set = [&words](wire::DescriptorField field, std::uint64_t value) {
            const std::uint64_t mask = (field.bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << field.bits) - 1);
            words[field.word] = (words[field.word] & ~(mask << field.shift)) | (value & mask) << field.shift;
        };
        if (chance(90)) {
            set(wire::kDescriptorValid, !chance(5));
            set(wire::kDescriptorDtype, chance(95) ? number % 8 : below(16));
            set(wire::kDescriptorPooling, number / 8 % 4);
            set(wire::kDescriptorDim, dim_of(number));
            set(wire::kDescriptorOrder, chance(70) ? 0 : below(4));
            set(wire::kDescriptorTreeKLog2, chance(80) ? below(5) : below(16));
            set(wire::kDescriptorRemote, chance(3));
            set(wire::kDescriptorMemo, chance(3));
            set(wire::kDescriptorBase, chance(90) ? below(64) * 64 : bits());
            set(wire::kDescriptorRows, chance(90) ? 40 : chance(50) ? below(40) : bits());
            set(wire::kDescriptorPaddingRow, below(8));
        }
        card.table(number, words);
    }

    static std::uint16_t dim_of(unsigned number) { return static_cast<std::uint16_t>(1 + number * 13 % 70); }

    Bytes frame(unsigned tables) {
        if (chance(2)) {
            Bytes noise(below(200));
            for (auto& byte : noise) byte = static_cast<std::uint8_t>(bits());
            return noise;
        }
        const unsigned table = static_cast<unsigned>(below(tables));
        const auto opcode = static_cast<std::uint8_t>(chance(60) ? 2 : chance(60) ? 1 + below(11) : below(256));
        const bool merge = opcode == 11, change = opcode == 6 || opcode == 8 || opcode == 9 || opcode == 10;
        std::uint8_t flags = chance(50) ? 0 : static_cast<std::uint8_t>(bits() & 0x2D);
        if (chance(3)) flags = static_cast<std::uint8_t>(bits());
        const auto dim = chance(97) ? dim_of(table) : static_cast<std::uint16_t>(bits());
        const auto dtype = static_cast<std::uint8_t>(chance(97) ? table % 8 : below(16));
        const std::uint16_t keys = static_cast<std::uint16_t>(chance(97) ? 1 + below(12) : bits());
        std::uint16_t bags = static_cast<std::uint16_t>(change ? 0 : 1 + below(keys < 4 ? keys : 4));
        if (chance(3)) bags = static_cast<std::uint16_t>(bits());
        Bytes payload = body(opcode, flags, {dtype, table}, dim, keys, bags, merge, change);
        if (chance(3)) payload.resize(below(payload.size() + 64) / 8 * 8);
        return whole(opcode, flags, dtype, payload, keys, bags, dim);
    }

    void spoil(Bytes& frame) {
        if (frame.empty() || !chance(10)) return;
        if (chance(50)) {
            frame[below(frame.size())] ^= static_cast<std::uint8_t>(1u << below(8));
        } else {
            frame.resize(below(frame.size() + 1));
        }
    }

  private:
    struct Of {
        std::uint8_t dtype;
        unsigned table;
    };

    std::mt19937_64 random_;

    Bytes body(std::uint8_t opcode, std::uint8_t flags, Of of, unsigned dim, unsigned keys, unsigned bags, bool merge, bool change) {
        const std::size_t vec = (dim * 4u + 63) / 64 * 64;
        Bytes out;
        const auto words = [&](std::size_t bytes) {
            for (std::size_t at = 0; at < bytes && out.size() < 15000; at += 8) word(out, chance(50) ? 0x3F8000003F800000u : bits());
        };
        const auto block = [&] {
            word(out, chance(20) ? 0 : below(100));
            for (unsigned at = 1; at < 8; at++) word(out, 0);
            words(vec);
        };
        if (change && opcode != 10) {
            word(out, below(3));        // client
            word(out, chance(90) ? 1 + below(70) : bits());
        }
        if (!change && (flags & wire::kFlagAccumulator)) block();
        for (unsigned at = 0; merge && at < bags && out.size() < 12000; at++) block();
        for (unsigned at = 0; at < keys && out.size() < 14000; at++) {
            const bool last = at + 1 == keys || (!merge && at + 1 < bags);
            const std::uint64_t row = chance(93) ? below(40) : chance(90) ? wire::kNullRow : bits() & wire::kNullRow;
            const std::uint64_t tbl = chance(99) ? of.table : below(40);
            word(out, row | tbl << wire::kKeyTableShift | static_cast<std::uint64_t>(last != (below(500) == 0)) << wire::kKeyLastShift);
            if (!change && (flags & wire::kFlagWeighted)) word(out, bits() & 0xFFFFFFFFu);
        }
        if (change && opcode != 10) {
            while (out.size() % 64) word(out, 0);
            if (opcode != 9 && of.dtype <= 7) {
                words(keys * static_cast<std::size_t>(bridge::row_units(static_cast<DType>(of.dtype), dim)) * 64);
            }
        }
        return out;
    }

    static void word(Bytes& out, std::uint64_t value) {
        out.resize(out.size() + 8);
        put(out.data() + out.size() - 8, value, 8);
    }

    Bytes whole(std::uint8_t opcode, std::uint8_t flags, std::uint8_t dtype, const Bytes& payload, unsigned keys, unsigned bags,
                unsigned dim) {
        bridge::Request none{};
        Bytes blank(wire::kFirstPayloadByte);
        blank[bridge::kUdp] = wire::kDefaultUdpPort >> 8;  // reply_frame turns the ports round
        blank[bridge::kUdp + 1] = wire::kDefaultUdpPort & 0xFF;
        none.frame = blank.data();
        none.dim = static_cast<std::uint16_t>(dim);
        Bytes frame = bridge::reply_frame(none, {static_cast<wire::Opcode>(opcode), wire::Status::OK, false, 0, 0, 0}, payload);
        std::uint8_t* ours = frame.data() + bridge::kOurs;
        ours[wire::kFlagsOffset] = flags;
        ours[wire::kDtypeStatusOffset] = dtype & 15;
        put(ours + wire::kFirstBagOffset, chance(80) ? below(5) : bits(), 2);
        put(ours + wire::kBagsOffset, bags, 2);
        put(ours + wire::kKeysOffset, keys, 2);
        const std::size_t size = wire::kHeaderBytes + payload.size();
        put(ours + size, bridge::crc32c(ours, size) ^ (chance(2) ? 1 : 0), 4);
        return frame;
    }
};

int fail(const char* what, std::uint64_t at) {
    std::fprintf(stderr, "FAILED at frame %llu: %s\n", static_cast<unsigned long long>(at), what);
    return 1;
}

// Check what the card says of itself and what it sent.
const char* wrong(const bridge::Card& card) {
    const bridge::Counters& c = card.count;
    std::uint64_t drops = 0;
    for (std::uint64_t drop : c.drops) drops += drop;
    if (c.rx_frames != c.rx_accepted + drops) return "rx_frames";
    if (c.rx_accepted != c.replies + c.partials + c.errors + c.acks) return "rx_accepted";
    if (c.keys != c.keys_null + c.keys_padding + c.keys_refused + c.row_hits + c.row_misses) return "keys";
    for (const Bytes& frame : card.sent) {
        const std::uint8_t* ours = frame.data() + bridge::kOurs;
        const std::size_t body = frame.size() - bridge::kOurs - wire::kCrcBytes;
        if (bridge::crc32c(ours, body) != bridge::little(ours + body, 4)) return "CRC of a reply";
        if (bridge::ip_sum(frame.data() + bridge::kIp) != 0xFFFF) return "IP checksum of a reply";
    }
    return nullptr;
}

template <typename Config>
int run(Fuzz& fuzz, std::uint64_t frames) {
    auto card = std::make_unique<bridge::CardOf<Config>>();
    card->enable = true;
    card->memory.resize(16384);
    for (auto& byte : card->memory) byte = static_cast<std::uint8_t>(fuzz.bits());
    const unsigned tables = Config::kTables < 32 ? Config::kTables : 32;
    for (unsigned table = 0; table < tables; table++) fuzz.descriptor(*card, table);
    for (std::uint64_t at = 0; at < frames; at++) {
        if (fuzz.chance(2)) fuzz.descriptor(*card, static_cast<unsigned>(fuzz.below(tables)));
        if (fuzz.below(1000) == 0) card->reply_units = static_cast<unsigned>(2 + fuzz.below(200));
        if (fuzz.below(500) == 0) card->quiesce = !card->quiesce;
        if (fuzz.below(500) == 0) card->cache(static_cast<unsigned>(fuzz.below(9)), fuzz.chance(50));
        Bytes frame = fuzz.frame(tables);
        fuzz.spoil(frame);
        card->receive(frame.data(), frame.size());
        if (const char* what = wrong(*card)) return fail(what, at);
        card->sent.clear();
    }
    const bridge::Counters& c = card->count;
    std::printf("%llu frames: %llu accepted, %llu replies, %llu partials, %llu errors, %llu acks, %llu keys added\n",
                static_cast<unsigned long long>(frames), static_cast<unsigned long long>(c.rx_accepted),
                static_cast<unsigned long long>(c.replies), static_cast<unsigned long long>(c.partials),
                static_cast<unsigned long long>(c.errors), static_cast<unsigned long long>(c.acks),
                static_cast<unsigned long long>(c.row_hits + c.row_misses));
    return c.replies > frames / 100 && c.partials && c.errors && c.acks && c.row_hits ? 0 : fail("too little was reached", frames);
}

// Settings and arrays of the kernels at random.
int kernels(Fuzz& fuzz, unsigned rounds) {
    using Config = GradConfig<configs::Tiny>;
    for (unsigned round = 0; round < rounds; round++) {
        auto core = std::make_unique<bridge::GradBridge<Config>>();
        const unsigned beats = static_cast<unsigned>(fuzz.below(10)), count = static_cast<unsigned>(fuzz.below(80));
        std::vector<std::uint64_t> keys(count + 1), rows(count + 1);
        std::vector<std::uint32_t> grads((count + 1) * (beats + 1) * 4), vectors(grads.size()), states(count + 1);
        for (auto& key : keys) key = fuzz.chance(70) ? fuzz.below(20) : fuzz.bits() >> 1;
        for (auto& grad : grads) grad = static_cast<std::uint32_t>(fuzz.bits());
        const bridge::GradBatch batch{keys.data(), grads.data(), count, rows.data(), vectors.data(), states.data()};
        GradSetting cfg;
        cfg.rule = static_cast<GradRule>(fuzz.below(3));
        cfg.beats = beats;
        cfg.dim = static_cast<unsigned>(fuzz.below(40));
        cfg.rate = static_cast<std::uint32_t>(fuzz.bits());
        cfg.epsilon = 0x3F800000u;
        const std::uint64_t found = core->take(cfg, batch);
        if (found != ~std::uint64_t{0}) core->give(batch, found);
        std::vector<std::uint64_t> ids(64);
        std::vector<std::uint32_t> best(64);
        bridge::topk<TopKConfig>(grads.data(), grads.size(), static_cast<unsigned>(1 + fuzz.below(64)), ids.data(), best.data());
        const unsigned vecs = static_cast<unsigned>(fuzz.below(36)), wide = static_cast<unsigned>(fuzz.below(35));
        std::vector<std::uint32_t> sample(vecs * wide * 4 + 1), dots(vecs * vecs + 1);
        for (auto& lane : sample) lane = static_cast<std::uint32_t>(fuzz.bits());
        bridge::interact<InteractConfig<configs::Tiny>>(sample.data(), 1, vecs, wide, dots.data());
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    Fuzz fuzz(std::strtoull(argv[1], nullptr, 10));
    const std::uint64_t frames = std::strtoull(argv[2], nullptr, 10);
    if (const int status = run<CoreConfig<configs::Tiny>>(fuzz, frames / 2)) return status;
    if (const int status = run<CoreConfig<configs::Line100>>(fuzz, frames - frames / 2)) return status;
    return kernels(fuzz, 50);
}
