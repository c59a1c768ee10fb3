// SPDX-License-Identifier: Apache-2.0
// Card memory and its timing: a sparse byte store and a DRAM model of banks, rows, bus and refresh.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace embnic {

// Bytes of card memory, allocated page by page on first write; a page never written reads as zeros.
class PagedMemory {
public:
    static constexpr uint64_t PAGE = 1 << 16;

    explicit PagedMemory(uint64_t bytes) : size_(bytes), pages_((bytes + PAGE - 1) / PAGE) {}

    uint64_t size() const { return size_; }
    bool holds(uint64_t addr, uint64_t bytes) const { return bytes <= size_ && addr <= size_ - bytes; }

    void read(uint64_t addr, uint8_t* out, uint64_t bytes) const {
        while (bytes > 0) {
            const uint64_t offset = addr % PAGE;
            const uint64_t part = bytes < PAGE - offset ? bytes : PAGE - offset;
            const uint8_t* page = pages_[addr / PAGE].get();
            if (page) std::memcpy(out, page + offset, part);
            else std::memset(out, 0, part);
            addr += part, out += part, bytes -= part;
        }
    }

    void write(uint64_t addr, const uint8_t* data, uint64_t bytes) {
        while (bytes > 0) {
            const uint64_t offset = addr % PAGE;
            const uint64_t part = bytes < PAGE - offset ? bytes : PAGE - offset;
            std::memcpy(page(addr) + offset, data, part);
            addr += part, data += part, bytes -= part;
        }
    }

    // Writes the bytes whose bit in `strobe` is set.
    void write_strobed(uint64_t addr, const uint8_t* data, uint64_t strobe, unsigned bytes) {
        for (unsigned i = 0; i < bytes; i++) {
            if (strobe >> i & 1) page(addr + i)[(addr + i) % PAGE] = data[i];
        }
    }

private:
    uint8_t* page(uint64_t addr) {
        auto& entry = pages_[addr / PAGE];
        if (!entry) entry = std::make_unique<uint8_t[]>(PAGE);  // zero-filled
        return entry.get();
    }

    uint64_t size_;
    std::vector<std::unique_ptr<uint8_t[]>> pages_;
};

// The bank map of embnic_axi_channels: bits 36:0 of an address name a byte of all memory, bits 39:37 the log2 of the
// channels that its region is spread over, page by page. Mirrored by channels.py.
constexpr unsigned LINEAR_BITS = 37, PAGE_BITS = 12;
constexpr uint64_t PAGE = 1ull << PAGE_BITS;

struct Place {
    unsigned channel;
    uint64_t addr;  // byte of the channel
};

inline unsigned log2_of(unsigned channels) {
    unsigned total = 0;
    while ((1u << total) < channels) total++;
    return total;
}
inline uint64_t low_bits(uint64_t value, unsigned bits) { return value & ((1ull << bits) - 1); }

inline Place place_of(uint64_t addr, unsigned channels) {
    const unsigned total = log2_of(channels);
    const unsigned spread = (addr >> LINEAR_BITS) < total ? unsigned(addr >> LINEAR_BITS) : total;
    const uint64_t linear = low_bits(addr, LINEAR_BITS);
    const unsigned fixed = LINEAR_BITS - total + spread;
    const uint64_t page = low_bits(linear, fixed) >> (PAGE_BITS + spread);
    return {unsigned((linear >> fixed) << spread | low_bits(linear >> PAGE_BITS, spread)),
            page << PAGE_BITS | low_bits(addr, PAGE_BITS)};
}

// The address of a place in a region spread over 2**spread channels.
inline uint64_t address_of(Place place, unsigned spread, unsigned channels) {
    const unsigned total = log2_of(channels);
    const uint64_t given = uint64_t(spread) << LINEAR_BITS;
    if (spread > total) spread = total;
    const uint64_t page = place.addr >> PAGE_BITS << spread | low_bits(place.channel, spread);
    return given | uint64_t(place.channel >> spread) << (LINEAR_BITS - total + spread) | page << PAGE_BITS |
           low_bits(place.addr, PAGE_BITS);
}

// All times are cycles of the card's clock. Mirrored by DramModel in card_models.py, in this order.
struct DramConfig {
    uint64_t size;             // bytes
    uint64_t base_latency;     // controller and interconnect, both ways together
    uint64_t hit_latency;      // column access in an open row
    uint64_t miss_latency;     // precharge, activate, column access
    uint64_t write_latency;    // from the last beat of a burst to its response
    uint64_t banks;
    uint64_t row_bytes;        // of one bank; consecutive rows of addresses lie in consecutive banks
    uint64_t bank_busy;        // cycles a bank is taken by an access to a closed row
    uint64_t bytes_per_cycle;  // bandwidth of the data bus
    uint64_t refresh_period;   // 0: no refresh
    uint64_t refresh_cycles;   // all banks are blocked this long in every period
    uint64_t reorder_window;   // how many of the oldest bursts may overtake each other (never within one ID); 1: in order
    uint64_t jitter;           // up to this many random cycles are added to a burst
    uint64_t seed;
};

// Decides when each burst's data is there. It holds no data: the caller reads memory when the burst is delivered.
class Dram {
public:
    struct Burst {
        uint64_t ready;  // first cycle in which it may be delivered
        uint64_t addr;
        uint32_t id;
        uint32_t beats;
    };

    struct Stats {
        uint64_t reads, writes, row_hits, row_misses, refreshes, bytes, most_outstanding;
    };

    explicit Dram(const DramConfig& config)
        : cfg_(config), random_(config.seed), bank_ready_(config.banks, 0), open_row_(config.banks, ~0ull) {}

    void push_read(uint64_t now, uint64_t addr, uint32_t id, uint32_t beats, uint32_t beat_bytes) {
        const uint64_t ready = access(now, addr, uint64_t(beats) * beat_bytes) + cfg_.base_latency;
        reads_.push_back({ready, addr, id, beats});
        stats_.reads++;
        if (reads_.size() > stats_.most_outstanding) stats_.most_outstanding = reads_.size();
    }

    // Takes the burst to deliver next, if one is ready.
    bool pop_read(uint64_t now, Burst& out) {
        if (reads_.empty()) return false;
        const size_t window = cfg_.reorder_window < 1 ? 1 : cfg_.reorder_window;
        const size_t limit = reads_.size() < window ? reads_.size() : window;
        size_t best = limit;
        for (size_t i = 0; i < limit; i++) {
            if (reads_[i].ready > now) continue;
            if (best < limit && reads_[best].ready <= reads_[i].ready) continue;
            bool first_of_id = true;
            for (size_t j = 0; j < i && first_of_id; j++) first_of_id = reads_[j].id != reads_[i].id;
            if (first_of_id) best = i;
        }
        if (best == limit) return false;
        out = reads_[best];
        reads_.erase(reads_.begin() + static_cast<std::ptrdiff_t>(best));
        return true;
    }

    // Returns the cycle of the write response.
    uint64_t write(uint64_t now, uint64_t addr, uint64_t bytes) {
        stats_.writes++;
        return access(now, addr, bytes) + cfg_.write_latency;
    }

    void forget() { reads_.clear(); }  // reads that were asked for are not answered
    bool idle() const { return reads_.empty(); }
    size_t outstanding() const { return reads_.size(); }
    const Stats& stats() const { return stats_; }

private:
    uint64_t access(uint64_t now, uint64_t addr, uint64_t bytes) {
        const uint64_t stripe = addr / cfg_.row_bytes;
        const size_t bank = stripe % cfg_.banks;
        const uint64_t row = stripe / cfg_.banks;
        uint64_t issue = now > bank_ready_[bank] ? now : bank_ready_[bank];
        if (cfg_.refresh_period > 0) {
            const uint64_t phase = issue % cfg_.refresh_period;
            if (phase < cfg_.refresh_cycles) {
                issue += cfg_.refresh_cycles - phase;
                stats_.refreshes++;
            }
        }
        const bool hit = open_row_[bank] == row;
        (hit ? stats_.row_hits : stats_.row_misses)++;
        open_row_[bank] = row;
        bank_ready_[bank] = issue + (hit ? 1 : cfg_.bank_busy);
        const uint64_t found = issue + (hit ? cfg_.hit_latency : cfg_.miss_latency);
        const uint64_t start = found > bus_free_ ? found : bus_free_;
        bus_free_ = start + (bytes + cfg_.bytes_per_cycle - 1) / cfg_.bytes_per_cycle;
        stats_.bytes += bytes;
        const uint64_t extra = cfg_.jitter > 0 ? random_() % (cfg_.jitter + 1) : 0;
        return bus_free_ + extra;
    }

    DramConfig cfg_;
    std::mt19937_64 random_;
    std::vector<uint64_t> bank_ready_, open_row_;
    uint64_t bus_free_ = 0;
    std::deque<Burst> reads_;
    Stats stats_{};
};

}  // namespace embnic
