// SPDX-License-Identifier: Apache-2.0
// The kernels beyond pooling on whole arrays: what ctypes calls.
#ifndef EMBNIC_KERNELS_HPP
#define EMBNIC_KERNELS_HPP

#include <cstdint>
#include <memory>

#include "cores/grad_accumulate/grad_accumulate.hpp"
#include "cores/interact/interact.hpp"
#include "cores/topk/topk.hpp"
#include "embnic/config.hpp"

namespace embnic::bridge {

template <unsigned kLanes>
Lanes<kLanes> lanes_of(const std::uint32_t* from) {
    Lanes<kLanes> data;
    for (unsigned lane = 0; lane < kLanes; lane++) data.lane[lane] = from[lane];
    return data;
}

// Arrays of a batch; elements are fp32 bits, vectors `beats` beats long and filled with zeros.
struct GradBatch {
    const std::uint64_t* keys;       // [gradients]
    const std::uint32_t* gradients;  // [gradients, beats * lanes]
    std::uint64_t count;
    std::uint64_t* rows;             // out: keys of the rows in their order [gradients]
    std::uint32_t* vectors;          // in: the rows' vectors as asked for; out: sums or new vectors [rows, beats * lanes]
    std::uint32_t* states;           // in and out, of ADAGRAD [rows]
};

// Hands rows and states over when they are asked for: two calls, so that the caller can read them in between.
template <typename Config>
class GradBridge {
  public:
    static constexpr unsigned kLanes = Config::kLanes;

    // Take the batch; return how many rows it has, or ~0 for an impossible setting.
    std::uint64_t take(const GradSetting& cfg, const GradBatch& batch) {
        core_.cfg = cfg;
        if (!core_.setting_is_valid() || batch.count == 0) return ~std::uint64_t{0};
        Stream<GradBeat<kLanes>> s_axis_grad;
        Stream<std::uint64_t> m_axis_fetch;
        for (std::uint64_t at = 0; at < batch.count; at++) {
            for (unsigned beat = 0; beat < cfg.beats; beat++) {
                const bool last = at + 1 == batch.count && beat + 1 == cfg.beats;
                s_axis_grad.write({batch.keys[at], lanes_of<kLanes>(batch.gradients + (at * cfg.beats + beat) * kLanes), last});
            }
            core_.accumulate(s_axis_grad);
        }
        core_.fetch(m_axis_fetch);
        std::uint64_t rows = 0;
        while (!m_axis_fetch.empty()) batch.rows[rows++] = m_axis_fetch.read();
        return rows;
    }

    // Give the rows; return what was refused.
    std::uint32_t give(const GradBatch& batch, std::uint64_t rows) {
        Stream<std::uint32_t> s_axis_state, m_axis_state;
        Stream<RowBeat<kLanes>> s_axis_row, m_axis_row;
        Stream<GradDone> m_axis_done;
        const unsigned beats = core_.cfg.beats;
        for (std::uint64_t row = 0; row < rows; row++) {
            if (core_.cfg.rule == GradRule::ADAGRAD) s_axis_state.write(batch.states[row]);
            for (unsigned beat = 0; beat < beats && core_.cfg.rule != GradRule::SUM; beat++) {
                s_axis_row.write({batch.rows[row], lanes_of<kLanes>(batch.vectors + (row * beats + beat) * kLanes), false});
            }
        }
        core_.drain(s_axis_state, s_axis_row, m_axis_state, m_axis_row, m_axis_done);
        for (std::uint64_t beat = 0; !m_axis_row.empty(); beat++) {
            const RowBeat<kLanes> out = m_axis_row.read();
            for (unsigned lane = 0; lane < kLanes; lane++) batch.vectors[beat * kLanes + lane] = out.data.lane[lane];
        }
        for (std::uint64_t row = 0; !m_axis_state.empty(); row++) batch.states[row] = m_axis_state.read();
        return m_axis_done.read().refused;
    }

  private:
    GradAccumulate<Config> core_;
};

template <typename Config>
void topk(const std::uint32_t* scores, std::uint64_t count, unsigned k, std::uint64_t* ids, std::uint32_t* best) {
    const auto core = std::make_unique<TopK<Config>>();
    core->cfg_k = k;
    Stream<ScoreBeat> s_axis_score, m_axis_best;
    for (std::uint64_t at = 0; at < count; at++) s_axis_score.write({scores[at], at, at + 1 == count});
    core->run(s_axis_score, m_axis_best);
    for (unsigned at = 0; !m_axis_best.empty(); at++) {
        const ScoreBeat beat = m_axis_best.read();
        ids[at] = beat.id;
        best[at] = beat.score;
    }
}

// Vectors [samples, vectors, beats * lanes]; out [samples, vectors * (vectors - 1) / 2]. False: an impossible setting.
template <typename Config>
bool interact(const std::uint32_t* from, std::uint64_t samples, unsigned vectors, unsigned beats, std::uint32_t* out) {
    const auto core = std::make_unique<Interact<Config>>();
    core->cfg_vectors = vectors;
    core->cfg_beats = beats;
    if (!core->setting_is_valid()) return false;
    Stream<SampleBeat<Config::kLanes>> s_axis_vec;
    Stream<PairBeat> m_axis_pair;
    for (std::uint64_t sample = 0; sample < samples; sample++) {
        for (unsigned beat = 0; beat < vectors * beats; beat++, from += Config::kLanes) {
            s_axis_vec.write({lanes_of<Config::kLanes>(from), beat + 1 == vectors * beats});
        }
        core->run(s_axis_vec, m_axis_pair);
        while (!m_axis_pair.empty()) *out++ = m_axis_pair.read().dot;
    }
    return true;
}

}  // namespace embnic::bridge

#endif  // EMBNIC_KERNELS_HPP
