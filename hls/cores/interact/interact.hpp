// SPDX-License-Identifier: Apache-2.0
// Multiplies the vectors of a sample with each other: the dot products of DLRM's interaction.
//
// Meaning        out(i, j) is the dot product of vectors i and j, j < i. Of each beat the products are rounded and added
//                pairwise (lane l and l + kLanes / 2 first); the sums of the beats are added in order from +0.
// Order          samples as received; of a sample (1, 0), (2, 0), (2, 1), (3, 0) ..., a beat each, the last one marked.
// Throughput     a sample takes ceil(ceil((vectors - 1) / 2) / kUnits) * vectors * beats iterations: kUnits dot units, each
//                with a pair of its own in every iteration. A pair's beats are `vectors` iterations apart, so no addition
//                waits for the one before it.
// Errors         a sample that is longer or shorter than vectors * beats is refused: one beat, marked bad.
#ifndef EMBNIC_INTERACT_HPP
#define EMBNIC_INTERACT_HPP

#include "embnic/beat.hpp"
#include "embnic/fp32.hpp"
#include "embnic/stream.hpp"

namespace embnic {

template <unsigned kLanes>
struct SampleBeat {
    Lanes<kLanes> data{};
    bool last{};  // of the sample
};

struct PairBeat {
    std::uint32_t dot{};
    bool last{};
    bool bad{};
};

// A configuration has kLanes, kMaxVectors and kBeats.
template <typename Config>
class Interact {
  public:
    static constexpr unsigned kLanes = Config::kLanes;
    static constexpr unsigned kDepth = Config::kMaxVectors * Config::kBeats;

    unsigned cfg_vectors = 2;
    unsigned cfg_beats = 1;
    std::uint64_t evt_refused = 0;  // samples

    bool setting_is_valid() const {
        return cfg_vectors >= 2 && cfg_vectors <= Config::kMaxVectors && cfg_beats >= 1 && cfg_beats <= Config::kBeats;
    }

    void run(Stream<SampleBeat<kLanes>>& s_axis_vec, Stream<PairBeat>& m_axis_pair) {
        while (!s_axis_vec.empty()) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II = 1
#endif
            const SampleBeat<kLanes> beat = s_axis_vec.read();
            if (taken_ < kDepth) sample_[taken_] = beat.data;
            if (taken_ <= kDepth) taken_++;
            if (!beat.last) continue;
            if (taken_ == cfg_vectors * cfg_beats) {
                multiply(m_axis_pair);
            } else {
                evt_refused++;
                m_axis_pair.write(PairBeat{0, true, true});
            }
            taken_ = 0;
        }
    }

  private:
    Lanes<kLanes> sample_[kDepth]{};
    unsigned taken_ = 0;

    static std::uint32_t dot(const Lanes<kLanes>& a, const Lanes<kLanes>& b) {
        std::uint32_t products[kLanes];
        for (unsigned lane = 0; lane < kLanes; lane++) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
            products[lane] = fp32::mul(a.lane[lane], b.lane[lane]);
        }
        for (unsigned apart = kLanes / 2; apart; apart /= 2) {
            for (unsigned lane = 0; lane < apart; lane++) products[lane] = fp32::add(products[lane], products[lane + apart]);
        }
        return products[0];
    }

    void multiply(Stream<PairBeat>& m_axis_pair) {
        for (unsigned i = 1; i < cfg_vectors; i++) {
            for (unsigned j = 0; j < i; j++) {
                std::uint32_t sum = 0;
                for (unsigned beat = 0; beat < cfg_beats; beat++) {
                    sum = fp32::add(sum, dot(sample_[i * cfg_beats + beat], sample_[j * cfg_beats + beat]));
                }
                m_axis_pair.write(PairBeat{sum, i + 1 == cfg_vectors && j + 1 == i, false});
            }
        }
    }
};

}  // namespace embnic

#endif  // EMBNIC_INTERACT_HPP
