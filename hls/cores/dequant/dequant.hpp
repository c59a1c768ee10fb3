// SPDX-License-Identifier: Apache-2.0
// Makes vector beats of 32-bit lanes from bus beats as they are stored, and keeps scale and bias of quantised rows.
//
// Meaning        as rtl/lookup/embnic_unpack.sv: chunk `sub` of the stored beat, widened exactly; integers as binary32. A
//                header's scale and bias go out with this and every later beat of its slot; a bare beat ends here.
// Order          as received.
// Throughput     II = 1.
// Errors         a slot beyond kSlots is refused and counted (evt_refused).
#ifndef EMBNIC_DEQUANT_HPP
#define EMBNIC_DEQUANT_HPP

#include "embnic/beat.hpp"
#include "embnic/fp32.hpp"
#include "embnic/stream.hpp"

namespace embnic {

// binary16 as binary32; NaNs keep their payload.
inline constexpr std::uint32_t widen_half(std::uint32_t half) {
    const std::uint32_t sign = (half & 0x8000u) << 16, exp = half >> 10 & 31, fraction = half & 0x3FFu;
    if (exp == 31) return sign | fp32::kInf | fraction << 13;
    if (exp == 0) return fp32::round_pack(sign, fraction, -24);
    return sign | (exp + 112) << 23 | fraction << 13;
}

template <typename Config>
class Dequant {
  public:
    static constexpr unsigned kLanes = Config::kLanes;

    std::uint64_t evt_refused = 0;

    void run(Stream<StoredBeat<kLanes>>& beat, Stream<VectorBeat<kLanes>>& vec) {
        while (!beat.empty()) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II = 1
#endif
            take(beat.read(), vec);
        }
    }

  private:
    std::uint32_t scale_[Config::kSlots]{};
    std::uint32_t bias_[Config::kSlots]{};

    // Element `index` of `bits` bits, the lowest first.
    static std::uint32_t element(const Lanes<kLanes>& data, unsigned index, unsigned bits) {
        const unsigned first = index * bits;
        return data.lane[first / 32] >> first % 32 & ((1u << bits) - 1);
    }

    static std::uint32_t widened(const Beat& info, const Lanes<kLanes>& data, unsigned expand, unsigned lane) {
        const unsigned index = info.sub % (1u << expand) * kLanes + lane;
        switch (expand) {
        case 1: {
            const std::uint32_t half = element(data, index, 16);
            return info.dtype == DType::FP16 ? widen_half(half) : half << 16;
        }
        case 2: return fp32::from_uint(element(data, index, 8));
        case 3: return fp32::from_uint(element(data, index, 4));
        default: return data.lane[lane];
        }
    }

    void take(const StoredBeat<kLanes>& stored, Stream<VectorBeat<kLanes>>& vec) {
        const Beat& info = stored.info;
        if (info.slot >= Config::kSlots) {
            evt_refused++;
            return;
        }
        if (info.header) {
            scale_[info.slot] = stored.data.lane[0];
            bias_[info.slot] = stored.data.lane[1];
        }
        if (info.bare) return;
        const bool row = !(info.load || info.flush || info.combine || info.fetch);
        const unsigned expand = row ? expand_of(info.dtype) : 0;
        VectorBeat<kLanes> out;
        out.info = info;
        out.scale = scale_[info.slot];
        out.bias = bias_[info.slot];
        for (unsigned lane = 0; lane < kLanes; lane++) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
            out.data.lane[lane] = widened(info, stored.data, expand, lane);
        }
        vec.write(out);
    }
};

}  // namespace embnic

#endif  // EMBNIC_DEQUANT_HPP
