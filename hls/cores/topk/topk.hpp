// SPDX-License-Identifier: Apache-2.0
// Gives the best k of the scored rows of a query, the best first.
//
// Meaning        a score is better when it is greater as an ordered compare; of equal ones (+0 and -0 are) the first that came.
//                A NaN is refused and counted. A query of fewer scores than k is filled up with kAbsent.
// Order          queries as received; k beats each.
// Throughput     II = 1: a score an iteration, every place compares at once.
// Errors         k outside 1 .. kMaxK is taken as the nearest of these.
#ifndef EMBNIC_TOPK_HPP
#define EMBNIC_TOPK_HPP

#include "embnic/beat.hpp"
#include "embnic/fp32.hpp"
#include "embnic/stream.hpp"

namespace embnic {

struct ScoreBeat {
    std::uint32_t score{};  // fp32
    std::uint64_t id{};     // whatever names the row
    bool last{};            // of the query, or of its k best
};

// A configuration has kMaxK.
template <typename Config>
class TopK {
  public:
    static constexpr ScoreBeat kAbsent{0xFF800000u, ~std::uint64_t{0}, false};  // minus infinity, no row

    unsigned cfg_k = 1;
    std::uint64_t evt_refused = 0;  // NaNs

    void run(Stream<ScoreBeat>& s_axis_score, Stream<ScoreBeat>& m_axis_best) {
        while (!s_axis_score.empty()) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II = 1
#endif
            const ScoreBeat beat = s_axis_score.read();
            if (fp32::is_nan(beat.score)) {
                evt_refused++;
            } else {
                insert(beat);
            }
            if (beat.last) give(m_axis_best);
        }
    }

  private:
    ScoreBeat best_[Config::kMaxK]{};
    bool held_[Config::kMaxK]{};

    // Every place keeps its beat, takes the one before it, or the new one.
    void insert(const ScoreBeat& beat) {
        bool before = true;  // the new one goes behind all places so far
        ScoreBeat moved = beat;
        bool moved_held = true;
        for (unsigned place = 0; place < Config::kMaxK; place++) {
            const bool stays = before && held_[place] && !fp32::greater(beat.score, best_[place].score);
            before = stays;
            if (stays) continue;
            const ScoreBeat old = best_[place];
            const bool old_held = held_[place];
            best_[place] = moved;
            held_[place] = moved_held;
            moved = old;
            moved_held = old_held;
        }
    }

    void give(Stream<ScoreBeat>& m_axis_best) {
        const unsigned k = cfg_k < 1 ? 1 : cfg_k > Config::kMaxK ? Config::kMaxK : cfg_k;
        for (unsigned place = 0; place < Config::kMaxK; place++) {
            ScoreBeat out = held_[place] ? best_[place] : kAbsent;
            out.last = place + 1 == k;
            if (place < k) m_axis_best.write(out);
            held_[place] = false;
        }
    }
};

}  // namespace embnic

#endif  // EMBNIC_TOPK_HPP
