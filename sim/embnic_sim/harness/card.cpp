// SPDX-License-Identifier: Apache-2.0
// The simulated card: the Verilated core with a MAC, card memory and a register master around it, as a C library.
//
// One call advances many cycles and moves many frames. In every cycle the harness drives the core's inputs, lets its
// combinational outputs settle with the clock low, samples every handshake, and raises the clock. sim/embnic_sim/card.py is
// the only user of the functions at the end of this file and mirrors their types.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "Vembnic_core.h"
#ifndef EMBNIC_MUTANTS
#include "Vembnic_core___024root.h"
#endif
#include "frames.hpp"
#include "memory.hpp"
#include "peer.hpp"
#include "verilated.h"

#if defined(EMBNIC_TRACE_FST)
#include "verilated_fst_c.h"
using TraceFile = VerilatedFstC;
#define EMBNIC_TRACE 1
#elif defined(EMBNIC_TRACE_VCD)
#include "verilated_vcd_c.h"
using TraceFile = VerilatedVcdC;
#define EMBNIC_TRACE 1
#endif

#ifndef EMBNIC_DATA_W
#error "EMBNIC_DATA_W must be the core's DATA_W"
#endif
#ifndef EMBNIC_CHANNELS
#error "EMBNIC_CHANNELS must be the core's CHANNELS"
#endif
#ifndef EMBNIC_ID_W
#error "EMBNIC_ID_W must be the core's ID_W"
#endif
#ifndef EMBNIC_MAX_BURST
#error "EMBNIC_MAX_BURST must be the core's MAX_BURST"
#endif

namespace embnic {

constexpr unsigned BEAT_BYTES = EMBNIC_DATA_W / 8;
// No burst leaves an aligned window of so many bytes.
constexpr uint64_t BURST_WINDOW = EMBNIC_MAX_BURST * BEAT_BYTES < 4096 ? EMBNIC_MAX_BURST * BEAT_BYTES : 4096;
constexpr unsigned CHANNELS = EMBNIC_CHANNELS;
constexpr unsigned REMOTE_LINE_BYTES = 24;  // remote_line_t of embnic_pkg
constexpr uint64_t WIRE_OVERHEAD = 24;  // preamble, frame check sequence and gap of Ethernet, bytes
constexpr unsigned PROBE_BITS = 32;
constexpr unsigned ADDR_W = 40;
// What sts_probe may show while nothing happens: the pool has nothing to do.
constexpr uint32_t PROBE_QUIET = 1u << 9;
constexpr uint64_t QUIET_CYCLES = 4096;  // after so many cycles without any activity the core is taken to be at rest

enum Phase : uint32_t { PHASE_NONE, PHASE_REQUEST, PHASE_MISS, PHASE_FILL, PHASE_REPLY, PHASE_UPDATE };
enum Stopped : uint32_t { RUNNING, STOPPED_BY_PLAN, STOPPED_BY_MODEL };
enum RegisterResult : int32_t { REG_OK = 0, REG_TIMEOUT = 1, REG_ERROR = 2 };

struct CardConfig {
    double rx_bytes_per_cycle;  // line rate into the card; 0: a beat in every cycle
    double tx_bytes_per_cycle;  // line rate out of the card
    double tx_stall;            // probability that the MAC does not take a beat
    double memory_stall;        // probability that a cycle carries no read beat, or that an address is not taken
    uint64_t rx_gap;            // idle cycles between two frames
    uint64_t seed;
};

struct HarnessStats {
    uint64_t cycle, evaluated, skipped;
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
    uint64_t rx_waiting, tx_waiting;
    uint64_t memory_reads, memory_writes, row_hits, row_misses, refreshes, memory_bytes, most_outstanding;
    uint64_t memory_faults;  // bursts answered with an error
    uint64_t stopped;        // Stopped
    // lines asked of other cards; answered; never to be answered; answers to come, at most and summed over cycles
    uint64_t remote_requests, remote_answers, remote_lost, remote_most, remote_sum;
};

// A lookup of the tag stage and what it decided. Mirrored by DECISION in card_library.py.
struct Decision {
    uint64_t cycle;     // of the lookup
    uint64_t key_low;   // {table 15, row 48, seg 8}, bits 63:0
    uint32_t key_high;  // bits 70:64
    uint16_t line;      // set * WAYS + way; 0xFFFF: none
    uint8_t flags;      // as of embnic.model.CacheModel.decide
    uint8_t command;    // tag_cmd_e
};

// Part `channel` of a packed port of `width` bits a channel; Verilator keeps a port's bits in order, low bits first.
template <typename Port>
uint64_t part(const Port& port, unsigned channel, unsigned width) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&port);
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++) {
        const unsigned bit = channel * width + i;
        value |= uint64_t(bytes[bit / 8] >> (bit % 8) & 1) << i;
    }
    return value;
}
template <typename Port>
void set_part(Port& port, unsigned channel, unsigned width, uint64_t value) {
    auto* bytes = reinterpret_cast<uint8_t*>(&port);
    for (unsigned i = 0; i < width; i++) {
        const unsigned bit = channel * width + i;
        const uint8_t mask = uint8_t(1u << (bit % 8));
        bytes[bit / 8] = uint8_t((bytes[bit / 8] & ~mask) | (value >> i & 1 ? mask : 0));
    }
}
// The bytes of a data port that belong to a channel.
template <typename Port>
uint8_t* lanes(Port& port, unsigned channel) {
    return reinterpret_cast<uint8_t*>(&port) + channel * BEAT_BYTES;
}

class Card;
thread_local Card* active = nullptr;  // whose model is being evaluated: Verilator's callbacks carry no context

class Card {
public:
    Card(const CardConfig& config, const DramConfig& dram)
        : cfg_(config), peer_(dram.size), memory_(dram.size), channel_bytes_(dram.size / CHANNELS), random_(config.seed) {
        for (unsigned c = 0; c < CHANNELS; c++) {
            DramConfig one = dram;
            one.seed += c;
            channels_.emplace_back(one);
        }
        context_ = std::make_unique<VerilatedContext>();
        context_->randReset(2);
        context_->randSeed(static_cast<int>(config.seed & 0x7fffffff));
        context_->fatalOnError(false);
#ifdef EMBNIC_TRACE
        context_->traceEverOn(true);
#endif
        top_ = std::make_unique<Vembnic_core>(context_.get(), "card");
        clear_inputs();
    }

    ~Card() {
        trace_close();
        top_->final();
    }

    // Resets the core, and what lies between it and the bytes of memory: neither knows of a transfer from before.
    void reset(uint64_t cycles) {
        rx_.clear(), tx_.clear();
        rx_offset_ = 0;
        for (auto& channel : channels_) channel.forget();
        clear_inputs();
        top_->rst = 1;
        for (uint64_t i = 0; i < cycles; i++) tick();
        top_->rst = 0;
    }

    bool choose_mutant(uint32_t number) {
#ifdef EMBNIC_MUTANTS
        top_->mutant = number;
        return true;
#else
        return number == 0;
#endif
    }

    // ---- running ----------------------------------------------------------------------------------------------------

    void step(uint64_t cycles) {
        const uint64_t end = cycle_ + cycles;
        while (cycle_ < end && stopped_ == RUNNING) tick();
        cycle_ = end;  // a dead card: its clock stands, time does not
    }

    // Runs until `frames` whole frames wait to be pulled, then `linger` cycles more for those close behind, or `limit` cycles.
    void run_until(uint64_t frames, uint64_t limit, uint64_t linger, bool skip_idle) {
        const uint64_t end = cycle_ + limit;
        while (cycle_ < end && tx_.frames() < frames && stopped_ == RUNNING) {
            tick();
            if (skip_idle && quiet_ >= QUIET_CYCLES) {
                skipped_ += end - cycle_;
                cycle_ = end;
                return;
            }
        }
        if (tx_.frames() < frames) {
            cycle_ = end;
            return;
        }
        const uint64_t stop = end - cycle_ < linger ? end : cycle_ + linger;
        while (cycle_ < stop && stopped_ == RUNNING) tick();
    }

    int32_t register_access(bool write, uint32_t offset, uint32_t* value, uint64_t timeout) {
        const uint64_t end = cycle_ + timeout;
        lite_ = {};
        if (stopped_ == RUNNING) {
            lite_.aw = lite_.w = lite_.b = write;
            lite_.ar = lite_.r = !write;
            top_->s_axil_awaddr = top_->s_axil_araddr = offset;
            top_->s_axil_wdata = write ? *value : 0;
        }
        lite_.busy = true;
        while (lite_.busy && cycle_ < end && stopped_ == RUNNING) {
            tick();
            lite_.busy = lite_.b || lite_.r;
        }
        const bool timed_out = lite_.busy;
        if (timed_out) {
            cycle_ = end;
            lite_ = {};
            return REG_TIMEOUT;
        }
        if (!write) *value = lite_.data;
        return lite_.response == 0 ? REG_OK : REG_ERROR;
    }

    // ---- faults -----------------------------------------------------------------------------------------------------

    void stop_after(uint64_t cycles) { stop_cycle_ = cycle_ + cycles; }
    void stop_on(uint32_t phase, uint64_t nth, uint64_t delay) {
        stop_phase_ = static_cast<Phase>(phase);
        stop_nth_ = nth;
        stop_delay_ = delay;
    }
    void fail(std::string message) {
        if (stopped_ == RUNNING) message_ = std::move(message);
        stopped_ = STOPPED_BY_MODEL;
    }

    // ---- parts ------------------------------------------------------------------------------------------------------

    FrameQueue rx_, tx_;
    CardConfig cfg_;
    Peer peer_;
    uint64_t cycle() const { return cycle_; }
    uint64_t digest() const { return digest_; }
    Stopped stopped() const { return stopped_; }
    const std::string& message() const { return message_; }
    std::vector<std::pair<uint64_t, uint64_t>> faults_;  // address ranges [first, second) that answer SLVERR

    // Bursts that begin in [first, end) are not answered any more; an empty range: all that was kept is answered now.
    void mute(uint64_t first, uint64_t end) {
        if (first != end) {
            mutes_.emplace_back(first, end);
            return;
        }
        mutes_.clear();
        for (auto& channel : channels_) {
            for (const auto& read : channel.muted_reads) channel.dram.push_read(cycle_, read.addr, read.id, read.left, BEAT_BYTES);
            for (const auto& response : channel.muted_writes) channel.b.push_back(response);
            channel.muted_reads.clear();
            channel.muted_writes.clear();
        }
    }
    // A read or write of the host: by pages, each of which has one channel.
    template <typename Data, typename Access>
    bool host_access(uint64_t addr, Data* data, uint64_t bytes, Access access) {
        for (int pass = 0; pass < 2; pass++) {
            for (uint64_t done = 0; done < bytes;) {
                const uint64_t room = PAGE - (addr + done) % PAGE;
                const uint64_t size = bytes - done < room ? bytes - done : room;
                const Place place = place_of(addr + done, CHANNELS);
                if (place.addr + size > channel_bytes_) return false;
                if (pass == 1) access(memory_, stored(place.channel, place.addr), data + done, size);
                done += size;
            }
        }
        return true;
    }
    bool deaf_ = false;  // memory takes no address and no beat
    bool digest_on_ = false;
    bool keep_rx_stamps_ = false;
    std::vector<FrameStamp> rx_stamps_;
    uint64_t probe_counts_[PROBE_BITS] = {};
    uint64_t record_from_ = 0, record_cycles_ = 0;
    std::vector<uint32_t> record_;
    uint64_t decisions_left_ = 0;
    std::vector<Decision> decisions_;

    HarnessStats stats() const {
        HarnessStats s{};
        s.cycle = cycle_, s.evaluated = evaluated_, s.skipped = skipped_;
        s.rx_frames = rx_frames_, s.rx_bytes = rx_bytes_, s.tx_frames = tx_frames_, s.tx_bytes = tx_bytes_;
        s.rx_waiting = rx_.frames(), s.tx_waiting = tx_.frames();
        for (const auto& channel : channels_) {
            const auto& d = channel.dram.stats();
            s.memory_reads += d.reads, s.memory_writes += d.writes, s.row_hits += d.row_hits, s.row_misses += d.row_misses;
            s.refreshes += d.refreshes, s.memory_bytes += d.bytes;
        }
        s.most_outstanding = most_outstanding_;
        s.memory_faults = memory_faults_, s.stopped = stopped_;
        const auto& p = peer_.stats();
        s.remote_requests = p.requests, s.remote_answers = p.answers, s.remote_lost = p.lost;
        s.remote_most = p.most_waiting, s.remote_sum = p.waiting_sum;
        return s;
    }
    Dram::Stats channel_stats(unsigned channel) const { return channels_[channel].dram.stats(); }

    bool trace_open(const char* path) {
#ifdef EMBNIC_TRACE
        trace_close();
        trace_ = std::make_unique<TraceFile>();
        top_->trace(trace_.get(), 99);
        trace_->open(path);
        return trace_->isOpen();
#else
        (void)path;
        return false;
#endif
    }
    void trace_close() {
#ifdef EMBNIC_TRACE
        if (trace_) trace_->close();
        trace_.reset();
#endif
    }

private:
    struct Lite {
        bool busy, aw, w, b, ar, r;
        uint32_t data, response;
    };
    struct ReadBurst {
        bool active;
        uint64_t addr;
        uint32_t id, left;
        bool error;
    };
    struct WriteAddress {
        uint64_t addr;
        uint32_t id, beats;
        bool error;
    };
    struct WriteBeat {
        uint8_t data[BEAT_BYTES];
        uint64_t strobe;
    };
    struct WriteResponse {
        uint64_t ready;
        uint32_t id;
        bool error;
    };
    struct Channel {
        explicit Channel(const DramConfig& config) : dram(config) {}
        Dram dram;
        bool ar_ready = false, aw_ready = false, w_ready = false, r_valid = false, b_valid = false;
        ReadBurst read{};
        std::deque<WriteAddress> aw;
        std::deque<WriteBeat> w;
        std::deque<WriteResponse> b;
        std::deque<ReadBurst> muted_reads;
        std::deque<WriteResponse> muted_writes;
        bool busy() const {
            return !dram.idle() || read.active || r_valid || !aw.empty() || !w.empty() || !b.empty() || b_valid ||
                   !muted_reads.empty() || !muted_writes.empty();
        }
        void forget() {
            dram.forget();
            r_valid = b_valid = false;
            read = {};
            aw.clear(), w.clear(), b.clear();
            muted_reads.clear(), muted_writes.clear();
        }
    };

    bool chance(double probability) {
        return probability > 0.0 && double(random_() >> 11) * 0x1.0p-53 < probability;
    }
    using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

    // Whether a byte of a channel lies in one of the ranges; each is of the spread that its address says.
    static bool within(const Ranges& ranges, unsigned channel, uint64_t addr) {
        for (const auto& range : ranges) {
            const uint64_t global = address_of({channel, addr}, unsigned(range.first >> LINEAR_BITS), CHANNELS);
            if (global >= range.first && global < range.second) return true;
        }
        return false;
    }
    uint64_t stored(unsigned channel, uint64_t addr) const { return channel * channel_bytes_ + addr; }
    bool faulty(unsigned channel, uint64_t addr, uint64_t bytes) const {
        return addr + bytes > channel_bytes_ || within(faults_, channel, addr);
    }

    // Bursts of one ID stay in order: behind a muted one the others are muted, too.
    bool muted(unsigned channel, uint64_t addr, uint32_t id) const {
        for (const auto& read : channels_[channel].muted_reads) {
            if (read.id == id) return true;
        }
        return within(mutes_, channel, addr);
    }

    void clear_inputs() {
        top_->clk = 0;
        top_->rst = 1;
        top_->s_axis_rx_tvalid = top_->s_axis_rx_tlast = top_->s_axis_rx_tuser = 0;
        top_->s_axis_rx_tkeep = 0;
        top_->m_axis_tx_tready = 0;
        top_->s_axil_awprot = top_->s_axil_arprot = 0;
        top_->s_axil_awvalid = top_->s_axil_wvalid = top_->s_axil_arvalid = 0;
        top_->s_axil_wstrb = 0xf;
        top_->s_axil_bready = top_->s_axil_rready = 1;
        top_->m_axi_awready = top_->m_axi_wready = top_->m_axi_arready = 0;
        top_->m_axi_bvalid = top_->m_axi_rvalid = 0;
        top_->m_axis_remote_tready = top_->s_axis_remote_tvalid = 0;
        lite_ = {};
    }

    void tick() {
        active = this;
        if (!top_->rst) {
            drive_rx();
            drive_tx();
            drive_registers();
            drive_memory();
            drive_remote();
        }
        top_->clk = 0;
        top_->eval();
        dump(0);
        if (!top_->rst) {
            const bool moved = sample();
            observe(moved);
        }
        top_->clk = 1;
        top_->eval();
        dump(1);
        cycle_++;
        evaluated_++;
        if (cycle_ >= stop_cycle_) stop();
    }

    void dump(unsigned half) {
#ifdef EMBNIC_TRACE
        if (trace_) trace_->dump(cycle_ * 4000 + half * 2000);
#else
        (void)half;
#endif
    }

    void stop() {
        if (stopped_ == RUNNING) stopped_ = STOPPED_BY_PLAN;
        tx_.drop_open();
    }

    void reached(Phase phase) {
        if (phase != stop_phase_ || stop_nth_ == 0 || --stop_nth_ > 0) return;
        stop_phase_ = PHASE_NONE;
        stop_cycle_ = cycle_ + 1 + stop_delay_;
    }

    // ---- frames in --------------------------------------------------------------------------------------------------

    void drive_rx() {
        rx_valid_ = false;
        if (!rx_.empty() && (rx_offset_ > 0 || double(cycle_) >= rx_next_)) {
            const uint64_t left = rx_.front_bytes() - rx_offset_;
            const unsigned bytes = left < BEAT_BYTES ? unsigned(left) : BEAT_BYTES;
            uint8_t beat[BEAT_BYTES] = {};
            std::memcpy(beat, rx_.front() + rx_offset_, bytes);
            std::memcpy(&top_->s_axis_rx_tdata, beat, BEAT_BYTES);
            top_->s_axis_rx_tkeep = bytes == 64 ? ~0ull : (1ull << bytes) - 1;
            rx_last_ = left <= BEAT_BYTES;
            top_->s_axis_rx_tlast = rx_last_;
            top_->s_axis_rx_tuser = rx_last_ && rx_.front_flag() != 0;
            rx_valid_ = true;
        }
        top_->s_axis_rx_tvalid = rx_valid_;
    }

    void sample_rx() {
        if (!rx_valid_ || !top_->s_axis_rx_tready) return;
        if (rx_offset_ == 0) {
            rx_first_cycle_ = cycle_;
            const double bytes = double(rx_.front_bytes() + WIRE_OVERHEAD);
            const double start = rx_next_ > double(cycle_) - 1.0 ? rx_next_ : double(cycle_);
            rx_next_ = cfg_.rx_bytes_per_cycle > 0.0 ? start + bytes / cfg_.rx_bytes_per_cycle : 0.0;
            if (!rx_last_) reached(PHASE_REQUEST);
        }
        rx_offset_ += BEAT_BYTES;
        if (!rx_last_) return;
        rx_frames_++;
        rx_bytes_ += rx_.front_bytes();
        if (keep_rx_stamps_) rx_stamps_.push_back({rx_first_cycle_, cycle_});
        rx_.pop();
        rx_offset_ = 0;
        const double after = double(cycle_ + 1 + cfg_.rx_gap);
        if (cfg_.rx_gap > 0 && rx_next_ < after) rx_next_ = after;
    }

    // ---- frames out -------------------------------------------------------------------------------------------------

    void drive_tx() {
        const bool paced = tx_beats_ == 0 && double(cycle_) < tx_next_;
        tx_ready_ = !paced && !chance(cfg_.tx_stall);
        top_->m_axis_tx_tready = tx_ready_;
    }

    void sample_tx() {
        if (!tx_ready_ || !top_->m_axis_tx_tvalid) return;
        if (tx_beats_++ == 0) {
            tx_first_cycle_ = cycle_;
            tx_length_ = 0;
            if (!top_->m_axis_tx_tlast) reached(PHASE_REPLY);
        }
        const unsigned bytes = unsigned(__builtin_popcountll(uint64_t(top_->m_axis_tx_tkeep)));
        tx_.append(reinterpret_cast<const uint8_t*>(&top_->m_axis_tx_tdata), bytes);
        tx_length_ += bytes;
        if (!top_->m_axis_tx_tlast) return;
        tx_.close(0, {tx_first_cycle_, cycle_});
        tx_frames_++;
        tx_bytes_ += tx_length_;
        tx_beats_ = 0;
        const double start = tx_next_ > double(tx_first_cycle_) - 1.0 ? tx_next_ : double(tx_first_cycle_);
        if (cfg_.tx_bytes_per_cycle > 0.0) tx_next_ = start + double(tx_length_ + WIRE_OVERHEAD) / cfg_.tx_bytes_per_cycle;
    }

    // ---- registers --------------------------------------------------------------------------------------------------

    void drive_registers() {
        top_->s_axil_awvalid = lite_.aw;
        top_->s_axil_wvalid = lite_.w;
        top_->s_axil_arvalid = lite_.ar;
    }

    void sample_registers() {
        if (lite_.aw && top_->s_axil_awready) lite_.aw = false;
        if (lite_.w && top_->s_axil_wready) lite_.w = false;
        if (lite_.ar && top_->s_axil_arready) lite_.ar = false;
        if (lite_.b && top_->s_axil_bvalid) {
            lite_.b = false;
            lite_.response = top_->s_axil_bresp;
        }
        if (lite_.r && top_->s_axil_rvalid) {
            lite_.r = false;
            lite_.data = top_->s_axil_rdata;
            lite_.response = top_->s_axil_rresp;
        }
    }

    // ---- card memory ------------------------------------------------------------------------------------------------

    void drive_memory() {
        for (unsigned c = 0; c < CHANNELS; c++) drive_channel(c);
    }

    void drive_channel(unsigned c) {
        Channel& channel = channels_[c];
        channel.ar_ready = !deaf_ && !chance(cfg_.memory_stall);
        channel.aw_ready = !deaf_ && channel.aw.size() < 16 && !chance(cfg_.memory_stall);
        channel.w_ready = !deaf_ && channel.w.size() < 256 && !chance(cfg_.memory_stall);
        set_part(top_->m_axi_arready, c, 1, channel.ar_ready);
        set_part(top_->m_axi_awready, c, 1, channel.aw_ready);
        set_part(top_->m_axi_wready, c, 1, channel.w_ready);
        if (!channel.r_valid) offer_read_beat(c);
        set_part(top_->m_axi_rvalid, c, 1, channel.r_valid);
        if (!channel.b_valid && !channel.b.empty() && channel.b.front().ready <= cycle_) {
            channel.b_valid = true;
            set_part(top_->m_axi_bid, c, EMBNIC_ID_W, channel.b.front().id);
            set_part(top_->m_axi_bresp, c, 2, channel.b.front().error ? 2 : 0);
            channel.b.pop_front();
        }
        set_part(top_->m_axi_bvalid, c, 1, channel.b_valid);
    }

    void offer_read_beat(unsigned c) {
        Channel& channel = channels_[c];
        ReadBurst& read = channel.read;
        if (!read.active) {
            Dram::Burst burst;
            if (!channel.dram.pop_read(cycle_, burst)) return;
            const bool error = faulty(c, burst.addr, uint64_t(burst.beats) * BEAT_BYTES);
            memory_faults_ += error;
            read = {true, burst.addr, burst.id, burst.beats, error};
        }
        if (chance(cfg_.memory_stall)) return;
        if (read.error) std::memset(lanes(top_->m_axi_rdata, c), 0, BEAT_BYTES);
        else memory_.read(stored(c, read.addr), lanes(top_->m_axi_rdata, c), BEAT_BYTES);
        set_part(top_->m_axi_rid, c, EMBNIC_ID_W, read.id);
        set_part(top_->m_axi_rresp, c, 2, read.error ? 2 : 0);
        set_part(top_->m_axi_rlast, c, 1, read.left == 1);
        channel.r_valid = true;
    }

    bool check_burst(const char* channel, uint64_t addr, unsigned len, unsigned size, unsigned burst) {
        const uint64_t bytes = uint64_t(len + 1) * BEAT_BYTES;
        if ((1u << size) == BEAT_BYTES && (burst == 1 || len == 0) && addr % BEAT_BYTES == 0 &&
            addr / BURST_WINDOW == (addr + bytes - 1) / BURST_WINDOW) {
            return true;
        }
        fail(std::string("AXI rule broken on ") + channel + ": address " + std::to_string(addr) + ", " +
             std::to_string(len + 1) + " beats, size " + std::to_string(size) + ", burst " + std::to_string(burst) +
             "; allowed are aligned full-width INCR bursts within " + std::to_string(BURST_WINDOW) + " bytes");
        return false;
    }

    void sample_memory() {
        size_t outstanding = 0;
        for (unsigned c = 0; c < CHANNELS; c++) {
            sample_channel(c);
            outstanding += channels_[c].dram.outstanding();
        }
        if (outstanding > most_outstanding_) most_outstanding_ = outstanding;
    }

    void sample_channel(unsigned c) {
        Channel& channel = channels_[c];
        const auto get = [c](const auto& port, unsigned width) { return part(port, c, width); };
        if (get(top_->m_axi_arvalid, 1) && channel.ar_ready) {
            const ReadBurst read{true, get(top_->m_axi_araddr, ADDR_W), uint32_t(get(top_->m_axi_arid, EMBNIC_ID_W)),
                                 uint32_t(get(top_->m_axi_arlen, 8) + 1), false};
            if (check_burst("AR", read.addr, read.left - 1, get(top_->m_axi_arsize, 3), get(top_->m_axi_arburst, 2))) {
                if (muted(c, read.addr, read.id)) channel.muted_reads.push_back(read);
                else channel.dram.push_read(cycle_, read.addr, read.id, read.left, BEAT_BYTES);
                reached(PHASE_MISS);
            }
        }
        if (channel.r_valid && get(top_->m_axi_rready, 1)) {
            channel.r_valid = false;
            channel.read.addr += BEAT_BYTES;
            channel.read.active = --channel.read.left > 0;
            reached(PHASE_FILL);
        }
        if (get(top_->m_axi_awvalid, 1) && channel.aw_ready) {
            const uint64_t addr = get(top_->m_axi_awaddr, ADDR_W);
            const uint32_t beats = uint32_t(get(top_->m_axi_awlen, 8) + 1);
            if (check_burst("AW", addr, beats - 1, get(top_->m_axi_awsize, 3), get(top_->m_axi_awburst, 2))) {
                const bool error = faulty(c, addr, uint64_t(beats) * BEAT_BYTES);
                memory_faults_ += error;
                channel.aw.push_back({addr, uint32_t(get(top_->m_axi_awid, EMBNIC_ID_W)), beats, error});
                reached(PHASE_UPDATE);
            }
        }
        if (get(top_->m_axi_wvalid, 1) && channel.w_ready) {
            WriteBeat beat;
            std::memcpy(beat.data, lanes(top_->m_axi_wdata, c), BEAT_BYTES);
            beat.strobe = get(top_->m_axi_wstrb, BEAT_BYTES);
            channel.w.push_back(beat);
        }
        while (!channel.aw.empty() && channel.w.size() >= channel.aw.front().beats) commit_write(c);
        if (channel.b_valid && get(top_->m_axi_bready, 1)) channel.b_valid = false;
    }

    void commit_write(unsigned c) {
        Channel& channel = channels_[c];
        const WriteAddress burst = channel.aw.front();
        channel.aw.pop_front();
        for (uint32_t i = 0; i < burst.beats; i++) {
            const WriteBeat& beat = channel.w.front();
            if (!burst.error) {
                memory_.write_strobed(stored(c, burst.addr + uint64_t(i) * BEAT_BYTES), beat.data, beat.strobe, BEAT_BYTES);
            }
            channel.w.pop_front();
        }
        const uint64_t ready = channel.dram.write(cycle_, burst.addr, uint64_t(burst.beats) * BEAT_BYTES);
        (within(mutes_, c, burst.addr) ? channel.muted_writes : channel.b).push_back({ready, burst.id, burst.error});
    }

    // ---- other cards ------------------------------------------------------------------------------------------------

    void drive_remote() {
        remote_ready_ = peer_.ready();
        top_->m_axis_remote_tready = remote_ready_;
        const bool valid = peer_.offer(cycle_, reinterpret_cast<uint8_t*>(&top_->s_axis_remote_tdata), BEAT_BYTES);
        top_->s_axis_remote_tvalid = valid;
        if (!valid) return;
        top_->s_axis_remote_tid = peer_.tag();
        top_->s_axis_remote_tlast = peer_.last();
        top_->s_axis_remote_tuser = peer_.error();
    }

    void sample_remote() {
        if (remote_ready_ && top_->m_axis_remote_tvalid) {
            peer_.ask(cycle_, RemoteLine::from(reinterpret_cast<const uint8_t*>(&top_->m_axis_remote_tdata)));
        }
        if (top_->s_axis_remote_tvalid && top_->s_axis_remote_tready) peer_.taken(cycle_, BEAT_BYTES);
    }

    // ---- observation ------------------------------------------------------------------------------------------------

    // Returns whether anything moved at the edges of the core.
    bool sample() {
        bool busy = rx_valid_ || top_->m_axis_tx_tvalid || lite_.busy || !rx_.empty() || deaf_ ||
                    top_->m_axi_arvalid != 0 || top_->m_axi_awvalid != 0 || top_->m_axi_wvalid != 0;
        for (const auto& channel : channels_) busy = busy || channel.busy();
        busy = busy || !peer_.idle() || top_->m_axis_remote_tvalid;
        sample_rx();
        sample_tx();
        sample_registers();
        sample_memory();
        sample_remote();
        return busy;
    }

    // Mixes what the core shows in this cycle into the digest of all cycles so far.
    void note(uint64_t word) {
        digest_ = (digest_ ^ word) * 0x9e3779b97f4a7c15ull;
        digest_ ^= digest_ >> 29;
    }
    template <typename Port>
    void note_port(const Port& port, uint64_t bytes) {
        uint64_t words[8] = {};
        std::memcpy(words, &port, bytes);
        for (uint64_t i = 0; i < (bytes + 7) / 8; i++) note(words[i]);
    }
    void note_outputs() {
        const auto bit = [](auto port, unsigned at) { return uint64_t(port) << at; };
        note(top_->sts_probe | bit(top_->m_axis_tx_tvalid, 32) | bit(top_->m_axi_arvalid, 36) |
             bit(top_->m_axi_awvalid, 44) | bit(top_->m_axi_wvalid, 52) | bit(top_->m_axis_remote_tvalid, 60) |
             bit(top_->s_axis_remote_tvalid && top_->s_axis_remote_tready, 61));
        if (top_->m_axis_remote_tvalid) note_port(top_->m_axis_remote_tdata, REMOTE_LINE_BYTES);
        if (top_->m_axis_tx_tvalid) {
            note(bit(top_->m_axis_tx_tkeep, 0));
            note(bit(top_->m_axis_tx_tlast, 0));
            note_port(top_->m_axis_tx_tdata, BEAT_BYTES);
        }
        for (unsigned c = 0; c < CHANNELS; c++) {
            const auto get = [c](const auto& port, unsigned width) { return part(port, c, width); };
            if (get(top_->m_axi_arvalid, 1)) {
                note(get(top_->m_axi_araddr, ADDR_W) | get(top_->m_axi_arlen, 8) << 40 | get(top_->m_axi_arid, EMBNIC_ID_W) << 48);
            }
            if (get(top_->m_axi_awvalid, 1)) note(get(top_->m_axi_awaddr, ADDR_W) | get(top_->m_axi_awlen, 8) << 40);
            if (get(top_->m_axi_wvalid, 1)) {
                note(get(top_->m_axi_wstrb, BEAT_BYTES));
                for (unsigned i = 0; i < BEAT_BYTES; i += 8) {
                    uint64_t word;
                    std::memcpy(&word, lanes(top_->m_axi_wdata, c) + i, 8);
                    note(word);
                }
            }
        }
    }

    void observe(bool moved) {
        if (digest_on_) note_outputs();
        const uint32_t probe = top_->sts_probe;
        for (uint32_t bits = probe; bits != 0; bits &= bits - 1) probe_counts_[__builtin_ctz(bits)]++;
        if (cycle_ >= record_from_ && cycle_ - record_from_ < record_cycles_) record_.push_back(probe);
        if (decisions_left_ > 0) observe_tags();
        quiet_ = moved || (probe & ~PROBE_QUIET) != 0 ? 0 : quiet_ + 1;
    }

    // The result of a lookup comes a fixed number of cycles after it, so results meet lookups in order.
    void observe_tags() {
#ifndef EMBNIC_MUTANTS
#define EMBNIC_TAGS(name) top_->rootp->embnic_core__DOT__u_row_cache__DOT__u_tags__DOT__##name
        if (EMBNIC_TAGS(result_valid) && !asked_.empty()) {
            Decision& done = asked_.front();
            const bool kept = (done.flags & 1) && EMBNIC_TAGS(result_kept);
            done.line = kept ? uint16_t(EMBNIC_TAGS(result_line)) : uint16_t(0xFFFF);
            done.flags |= uint8_t(EMBNIC_TAGS(result_hit) << 1 | EMBNIC_TAGS(result_evict) << 2 |
                EMBNIC_TAGS(result_kept) << 3 | EMBNIC_TAGS(result_no_way) << 4 | EMBNIC_TAGS(result_refused) << 5 |
                EMBNIC_TAGS(result_pinned) << 6 | EMBNIC_TAGS(result_held) << 7);
            decisions_.push_back(done);
            asked_.pop_front();
            decisions_left_--;
        }
        if (EMBNIC_TAGS(lookup_valid)) {
            const auto& key = EMBNIC_TAGS(lookup_key);
            const uint8_t command = EMBNIC_TAGS(lookup_cmd);  // tag_cmd_e: 0 drop, 2 release; the others may allocate
            asked_.push_back({cycle_, key[0] | uint64_t(key[1]) << 32, key[2], 0, uint8_t(command != 0 && command != 2), command});
        }
#undef EMBNIC_TAGS
#endif
    }

    PagedMemory memory_;      // channel after channel
    uint64_t channel_bytes_;  // of each
    std::vector<Channel> channels_;
    std::mt19937_64 random_;
    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vembnic_core> top_;
#ifdef EMBNIC_TRACE
    std::unique_ptr<TraceFile> trace_;
#endif

    uint64_t cycle_ = 0, evaluated_ = 0, skipped_ = 0, quiet_ = 0, digest_ = 0;
    Stopped stopped_ = RUNNING;
    std::string message_;
    uint64_t stop_cycle_ = ~0ull, stop_nth_ = 0, stop_delay_ = 0;
    Phase stop_phase_ = PHASE_NONE;

    bool rx_valid_ = false, rx_last_ = false;
    uint64_t rx_offset_ = 0, rx_first_cycle_ = 0, rx_frames_ = 0, rx_bytes_ = 0;
    double rx_next_ = 0.0;

    bool tx_ready_ = false;
    uint64_t tx_beats_ = 0, tx_first_cycle_ = 0, tx_length_ = 0, tx_frames_ = 0, tx_bytes_ = 0;
    double tx_next_ = 0.0;

    bool remote_ready_ = false;

    Lite lite_{};
    std::deque<Decision> asked_;  // looked up, without a result yet

    Ranges mutes_;
    uint64_t most_outstanding_ = 0;
    uint64_t memory_faults_ = 0;
};

void model_failed(const char* filename, int line, const char* hierarchy, const char* text) {
    const std::string where = std::string(filename && *filename ? filename : "?") + ":" + std::to_string(line);
    std::fflush(stdout);
    if (active) active->fail("the model stopped itself at " + where + " in " + (hierarchy ? hierarchy : "?") + text);
}

}  // namespace embnic

// Verilator's callbacks: by default they end the process, which is Python here.
void vl_finish(const char* filename, int line, const char* hierarchy) {
    embnic::model_failed(filename, line, hierarchy, ": $finish");
}
void vl_stop(const char* filename, int line, const char* hierarchy) {
    embnic::model_failed(filename, line, hierarchy, ": an assertion of the RTL failed (its sentence is on standard output)");
}
void vl_fatal(const char* filename, int line, const char* hierarchy, const char* text) {
    embnic::model_failed(filename, line, hierarchy, (std::string(": ") + (text ? text : "")).c_str());
}

using embnic::Card;
using embnic::FrameStamp;

extern "C" {

uint32_t embnic_card_abi() { return 5; }

// Chooses a mutant of a core that was built with mutants (sim/embnic_sim/mutate.py); 0 is the core as it is.
// Returns whether this build has mutants.
int32_t embnic_card_mutant(void* card, uint32_t number) { return static_cast<Card*>(card)->choose_mutant(number); }

void* embnic_card_create(const embnic::CardConfig* config, const embnic::DramConfig* dram) {
    return new Card(*config, *dram);
}
void embnic_card_destroy(void* card) { delete static_cast<Card*>(card); }
void embnic_card_configure(void* card, const embnic::CardConfig* config) { static_cast<Card*>(card)->cfg_ = *config; }
void embnic_card_reset(void* card, uint64_t cycles) { static_cast<Card*>(card)->reset(cycles); }

void embnic_card_step(void* card, uint64_t cycles) { static_cast<Card*>(card)->step(cycles); }
void embnic_card_run_until(void* card, uint64_t frames, uint64_t limit, uint64_t linger, int32_t skip_idle) {
    static_cast<Card*>(card)->run_until(frames, limit, linger, skip_idle != 0);
}
int32_t embnic_card_register(void* card, int32_t write, uint32_t offset, uint32_t* value, uint64_t timeout) {
    return static_cast<Card*>(card)->register_access(write != 0, offset, value, timeout);
}

// `bad[i]` not 0: the MAC found frame i bad. `bad` may be null.
void embnic_card_push(void* card, const uint8_t* data, const int64_t* offsets, uint64_t frames, const uint8_t* bad) {
    auto& queue = static_cast<Card*>(card)->rx_;
    for (uint64_t i = 0; i < frames; i++) {
        queue.push(data + offsets[i], static_cast<uint64_t>(offsets[i + 1] - offsets[i]), bad ? bad[i] : 0);
    }
}
uint64_t embnic_card_waiting(void* card, uint64_t most, uint64_t* bytes) {
    const auto& queue = static_cast<Card*>(card)->tx_;
    const uint64_t frames = queue.frames() < most ? queue.frames() : most;
    *bytes = queue.bytes(frames);
    return frames;
}
void embnic_card_pull(void* card, uint64_t frames, uint8_t* data, int64_t* offsets, FrameStamp* stamps) {
    auto& queue = static_cast<Card*>(card)->tx_;
    int64_t position = 0;
    offsets[0] = 0;
    for (uint64_t i = 0; i < frames; i++) {
        std::memcpy(data + position, queue.front(), queue.front_bytes());
        position += static_cast<int64_t>(queue.front_bytes());
        offsets[i + 1] = position;
        stamps[i] = queue.front_stamp();
        queue.pop();
    }
}

// Frames whose first and last beat went in since the last call; recorded only while `keep` is on.
void embnic_card_keep_rx_stamps(void* card, int32_t keep) { static_cast<Card*>(card)->keep_rx_stamps_ = keep != 0; }
uint64_t embnic_card_rx_stamps(void* card, FrameStamp* out, uint64_t most) {
    auto& stamps = static_cast<Card*>(card)->rx_stamps_;
    const uint64_t count = stamps.size() < most ? stamps.size() : most;
    if (out && count > 0) {
        std::memcpy(out, stamps.data(), count * sizeof(FrameStamp));
        stamps.erase(stamps.begin(), stamps.begin() + static_cast<std::ptrdiff_t>(count));
    }
    return out ? count : stamps.size();
}

int32_t embnic_card_memory_read(void* card, uint64_t addr, uint8_t* out, uint64_t bytes) {
    const bool good = static_cast<Card*>(card)->host_access(
        addr, out, bytes, [](auto& memory, uint64_t at, uint8_t* data, uint64_t size) { memory.read(at, data, size); });
    return good ? 0 : 1;
}
int32_t embnic_card_memory_write(void* card, uint64_t addr, const uint8_t* data, uint64_t bytes) {
    const bool good = static_cast<Card*>(card)->host_access(
        addr, data, bytes, [](auto& memory, uint64_t at, const uint8_t* from, uint64_t size) { memory.write(at, from, size); });
    return good ? 0 : 1;
}
// Read bursts, write bursts and bytes of a channel.
void embnic_card_channel_stats(void* card, uint32_t channel, uint64_t* out) {
    const auto stats = static_cast<Card*>(card)->channel_stats(channel);
    out[0] = stats.reads, out[1] = stats.writes, out[2] = stats.bytes;
}
void embnic_card_memory_fault(void* card, uint64_t first, uint64_t end) {
    auto& faults = static_cast<Card*>(card)->faults_;
    if (first == end) faults.clear();
    else faults.emplace_back(first, end);
}

void embnic_card_remote_configure(void* card, const embnic::PeerConfig* config) {
    static_cast<Card*>(card)->peer_.configure(*config);
}
int32_t embnic_card_remote_read(void* card, uint64_t addr, uint8_t* out, uint64_t bytes) {
    const auto& memory = static_cast<Card*>(card)->peer_.memory;
    if (!memory.holds(addr, bytes)) return 1;
    memory.read(addr, out, bytes);
    return 0;
}
int32_t embnic_card_remote_write(void* card, uint64_t addr, const uint8_t* data, uint64_t bytes) {
    auto& memory = static_cast<Card*>(card)->peer_.memory;
    if (!memory.holds(addr, bytes)) return 1;
    memory.write(addr, data, bytes);
    return 0;
}
// Lines that begin in [first, end) are answered with an error, or not at all; an empty range: all are answered again.
void embnic_card_remote_fault(void* card, int32_t lost, uint64_t first, uint64_t end) {
    auto& peer = static_cast<Card*>(card)->peer_;
    auto& ranges = lost ? peer.lost : peer.faults;
    if (first == end) ranges.clear();
    else ranges.emplace_back(first, end);
}

void embnic_card_memory_mute(void* card, uint64_t first, uint64_t end) { static_cast<Card*>(card)->mute(first, end); }
void embnic_card_memory_deaf(void* card, int32_t deaf) { static_cast<Card*>(card)->deaf_ = deaf != 0; }

void embnic_card_stop_after(void* card, uint64_t cycles) { static_cast<Card*>(card)->stop_after(cycles); }
void embnic_card_stop_on(void* card, uint32_t phase, uint64_t nth, uint64_t delay) {
    static_cast<Card*>(card)->stop_on(phase, nth, delay);
}
uint32_t embnic_card_stopped(void* card) { return static_cast<Card*>(card)->stopped(); }
const char* embnic_card_message(void* card) { return static_cast<Card*>(card)->message().c_str(); }

void embnic_card_stats(void* card, embnic::HarnessStats* out) { *out = static_cast<Card*>(card)->stats(); }
uint64_t embnic_card_cycle(void* card) { return static_cast<Card*>(card)->cycle(); }

// Two cards driven alike have the same digest as long as all their outputs to MAC, memory and other cards and sts_probe were
// the same in every cycle since both were told to keep one.
void embnic_card_keep_digest(void* card, int32_t keep) { static_cast<Card*>(card)->digest_on_ = keep != 0; }
uint64_t embnic_card_digest(void* card) { return static_cast<Card*>(card)->digest(); }

void embnic_card_probe_counts(void* card, uint64_t* out) {
    std::memcpy(out, static_cast<Card*>(card)->probe_counts_, embnic::PROBE_BITS * sizeof(uint64_t));
}
// Keeps sts_probe of `cycles` cycles, beginning `skip` cycles from now.
void embnic_card_probe_record(void* card, uint64_t cycles, uint64_t skip) {
    auto& self = *static_cast<Card*>(card);
    self.record_.clear();
    self.record_.reserve(cycles);
    self.record_from_ = self.cycle() + skip;
    self.record_cycles_ = cycles;
}
uint64_t embnic_card_probe_window(void* card, uint32_t* out, uint64_t* from) {
    const auto& self = *static_cast<Card*>(card);
    *from = self.record_from_;
    if (out) std::memcpy(out, self.record_.data(), self.record_.size() * sizeof(uint32_t));
    return self.record_.size();
}

// Keeps what the tag stage decides of the next `lookups` lookups, forgetting what was kept. Call it when no lookup is under way.
void embnic_card_decisions_record(void* card, uint64_t lookups) {
    auto& self = *static_cast<Card*>(card);
    self.decisions_.clear();
    self.decisions_left_ = lookups;
}
uint64_t embnic_card_decisions(void* card, embnic::Decision* out) {
    const auto& kept = static_cast<Card*>(card)->decisions_;
    if (out && !kept.empty()) std::memcpy(out, kept.data(), kept.size() * sizeof(embnic::Decision));
    return kept.size();
}

int32_t embnic_card_trace(void* card, const char* path) {
    auto& self = *static_cast<Card*>(card);
    if (!path) {
        self.trace_close();
        return 1;
    }
    return self.trace_open(path) ? 1 : 0;
}

}  // extern "C"
