// SPDX-License-Identifier: Apache-2.0
// Reduces the rows of a bag to one vector, beat by beat: sum, mean or max per lane, for kSlots bags at a time.
//
// Meaning        as rtl/lookup/embnic_pool.sv, bit for bit.
// Order          results leave in the order of their beats, means too (the RTL's come later than others).
// Back-pressure  both streams.
// Throughput     II = 1. An accumulator is used again kAccLoopCycles beats after it was written at the earliest (a beat of a
//                quantised row: kIntExtraCycles more); a beat that comes sooner waits, and the iterations in which nothing is
//                done are counted (evt_bubble). So no addition waits for the one before it: bags of different slots and the
//                beats of a row fill the loop.
// Errors         a slot or beat beyond the accumulators is refused and counted (evt_refused), never stored.
#ifndef EMBNIC_POOL_HPP
#define EMBNIC_POOL_HPP

#include "embnic/beat.hpp"
#include "embnic/fp32.hpp"
#include "embnic/stream.hpp"

namespace embnic {

// A configuration has kLanes, kSlots and kVecBeats (bus beats of the longest vector, a power of two).
template <typename Config>
class Pool {
  public:
    static constexpr unsigned kLanes = Config::kLanes;
    static constexpr unsigned kDepth = Config::kSlots * Config::kVecBeats;
    static constexpr unsigned kLoop = kAccLoopCycles + kIntExtraCycles;
    using Data = Lanes<kLanes>;

    std::uint64_t evt_saturate = 0;  // elements of FIXED sums that were clipped
    std::uint64_t evt_bubble = 0;    // iterations that waited for an accumulator
    std::uint64_t evt_refused = 0;   // beats that name no accumulator

    // Take every beat there is.
    void run(Stream<VectorBeat<kLanes>>& vec, Stream<ResponseBeat<kLanes>>& rsp_wr) {
        bool held = false;
        VectorBeat<kLanes> next{};
        while (held || !vec.empty()) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II = 1
#pragma HLS DEPENDENCE variable = acc_ type = inter dependent = false
#endif
            if (!held) next = vec.read();
            held = waits(next.info);
            if (held) {
                evt_bubble++;
                age(kDepth, false);
            } else {
                take(next, rsp_wr);
            }
        }
    }

  private:
    Data acc_[kDepth]{};
    unsigned recent_[kLoop] = {};     // what was written, the latest first; kDepth: nothing
    bool recent_long_[kLoop] = {};
    bool started_ = false;
    Beat combine_{};                  // waits for the fetch behind it: a combine, or a row of a product
    Data combine_data_{};
    unsigned combine_addr_ = 0;

    static constexpr unsigned log2_beats() {
        unsigned bits = 0;
        while ((1u << bits) < Config::kVecBeats) bits++;
        return bits;
    }

    // A running sum of a TREE lies at its number's bits, reversed from the top of the beat address down.
    static unsigned address(const Beat& info) {
        unsigned offset = 0;
        for (unsigned bit = 0; bit < 4 && bit < log2_beats(); bit++) {
            if (info.bank >> bit & 1) offset |= 1u << (log2_beats() - 1 - bit);
        }
        return info.slot * Config::kVecBeats + (info.beat | offset);
    }

    static bool in_range(const Beat& info) {
        return info.slot < Config::kSlots && info.beat < Config::kVecBeats && info.dtype <= DType::FIXED;
    }

    static bool is_sum(const Beat& info) {
        return info.pooling == Pooling::SUM || info.pooling == Pooling::MEAN;
    }

    static bool is_row(const Beat& info) { return !info.load && !info.flush && !info.combine && !info.fetch; }

    void age(unsigned addr, bool is_long) {
        if (!started_) {
            for (unsigned ago = 0; ago < kLoop; ago++) recent_[ago] = kDepth;
            started_ = true;
        }
        for (unsigned ago = kLoop - 1; ago > 0; ago--) {
            recent_[ago] = recent_[ago - 1];
            recent_long_[ago] = recent_long_[ago - 1];
        }
        recent_[0] = addr;
        recent_long_[0] = is_long;
    }

    bool waits(const Beat& info) {
        if (!started_) age(kDepth, false);
        if (!in_range(info) || (info.first && !info.fetch)) return false;
        const unsigned addr = address(info);
        bool waiting = false;
        for (unsigned ago = 0; ago + 1 < kLoop; ago++) {
            if (recent_[ago] == addr && (ago + 1 < kAccLoopCycles || recent_long_[ago])) waiting = true;
        }
        return waiting;
    }

    std::uint32_t saturated(std::uint32_t a, std::uint32_t b, bool counts) {
        const std::int64_t sum = static_cast<std::int64_t>(static_cast<std::int32_t>(a)) + static_cast<std::int32_t>(b);
        if (sum > INT32_MAX || sum < INT32_MIN) {
            evt_saturate += counts;
            return sum < 0 ? 0x80000000u : 0x7FFFFFFFu;
        }
        return static_cast<std::uint32_t>(sum);
    }

    static bool larger(std::uint32_t a, std::uint32_t b, bool fixed) {
        return fixed ? static_cast<std::int32_t>(a) > static_cast<std::int32_t>(b) : fp32::greater(a, b);
    }

    // The accumulator with one element of a row added.
    std::uint32_t row(const Beat& info, std::uint32_t x, std::uint32_t acc, std::uint32_t scale, std::uint32_t bias,
                      bool counts) {
        const bool fixed = info.dtype == DType::FIXED;
        if (is_quantised(info.dtype)) {
            const std::uint32_t addend = is_sum(info) ? fp32::add(acc, bias) : bias;
            x = fp32::fma(scale, x, addend);
            if (is_sum(info)) return x;
        }
        if (info.pooling == Pooling::NONE || (info.pooling == Pooling::MAX && info.first)) return x;
        if (info.pooling == Pooling::MAX) return larger(x, acc, fixed) ? x : acc;
        if (fixed) return saturated(acc, x, counts);
        if (info.mul_then_add) return fp32::add(fp32::mul(info.weight, x), acc);
        return fp32::fma(info.weight, x, acc);
    }

    // Two accumulators of a bag as one.
    std::uint32_t merged(const Beat& info, std::uint32_t acc, std::uint32_t other, bool counts) {
        const bool fixed = info.dtype == DType::FIXED;
        if (info.pooling == Pooling::MAX) return larger(other, acc, fixed) ? other : acc;
        if (info.pooling == Pooling::NONE) return acc;
        return fixed ? saturated(acc, other, counts) : fp32::add(other, acc);
    }

    // What becomes of an accumulator with the one that the beat behind it names: a product of the two, of a row and that one
    // added to it, or their sum, in which the weight is that of a pair.
    std::uint32_t fetched(const Beat& info, std::uint32_t x, std::uint32_t acc, std::uint32_t other) {
        if (info.product) return info.combine ? fp32::mul(acc, other) : fp32::add(fp32::mul(x, other), acc);
        if (is_sum(info) && info.dtype != DType::FIXED) return fp32::fma(info.weight, other, acc);
        return merged(info, acc, other, true);
    }

    static fp32::Storage storage(const Beat& info) {
        if (info.dtype == DType::FP16) return fp32::Storage::FP16;
        if (info.dtype != DType::BF16) return fp32::Storage::FP32;
        return info.mul_then_add ? fp32::Storage::BF16 : fp32::Storage::BF16_AWAY;
    }

    void take(const VectorBeat<kLanes>& next, Stream<ResponseBeat<kLanes>>& rsp_wr) {
        const Beat& given = next.info;
        if (!in_range(given) || ((given.combine || given.product) && given.fetch)) {
            evt_refused++;
            age(kDepth, false);
            return;
        }
        const unsigned source = address(given);
        if (given.combine || given.product) {
            combine_ = given;
            combine_data_ = next.data;
            combine_addr_ = source;
            age(kDepth, false);
            return;
        }
        const Beat& info = given.fetch ? combine_ : given;
        const unsigned addr = given.fetch ? combine_addr_ : source;
        const Data& before = acc_[addr];
        const bool reads = !info.first && !(is_row(given) && info.pooling == Pooling::NONE);
        const bool emit = info.last || info.flush;
        const bool divide = info.pooling == Pooling::MEAN && !info.partial && info.dtype != DType::FIXED && info.count != 0;
        const bool quantised = is_row(given) && is_quantised(info.dtype);
        const std::uint32_t scale = quantised ? fp32::mul(next.scale, info.weight) : 0;
        const std::uint32_t bias = quantised ? fp32::mul(next.bias, info.weight) : 0;
        Data value{};
        for (unsigned lane = 0; lane < kLanes; lane++) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
            if (info.beat * kLanes + lane >= info.dim) continue;
            const std::uint32_t acc = reads ? before.lane[lane] : 0, x = next.data.lane[lane];
            std::uint32_t result = acc;
            if (given.fetch) {
                result = fetched(info, combine_data_.lane[lane], acc, acc_[source].lane[lane]);
            } else if (info.load) {
                result = info.first ? x : merged(info, acc, x, true);
            } else if (!info.flush) {
                result = row(info, x, acc, scale, bias, true);
            }
            value.lane[lane] = emit && divide ? fp32::mean(result, info.count, storage(info)) : result;
        }
        if (emit) {
            ResponseBeat<kLanes> beat;
            beat.addr = info.rsp_addr;
            beat.data = value;
            beat.done = info.done;
            beat.ctx = info.ctx;
            beat.count = info.count;
            rsp_wr.write(beat);
            age(kDepth, false);
        } else {
            acc_[addr] = value;
            age(addr, quantised || given.fetch || (info.pooling == Pooling::NONE && info.bank != 0));
        }
    }
};

}  // namespace embnic

#endif  // EMBNIC_POOL_HPP
