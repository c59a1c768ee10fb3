// SPDX-License-Identifier: Apache-2.0
// Adds the gradients of each row of a batch on chip, and changes every row once: sums out, SGD, or row-wise Adagrad.
//
// Meaning        the j-th gradient of a row goes to running sum j mod kBanks, from +0; then the sums that hold one are added
//                pairwise as in the order TREE. SUM: that is the row's gradient g. SGD: w = fma(-rate, g, w). ADAGRAD:
//                h = h + m / dim, w = fma(-(rate / (sqrt(h) + epsilon)), g, w); m is the sum of squares: those of a beat
//                pairwise over the lanes (i + i + kLanes / 2 first), beats in order from +0.
// Order          rows leave in the order of their first gradient. m_axis_fetch asks for them in that order, before their
//                states and rows are read.
// Throughput     II = 1 for gradients: two of one row meet only kBanks gradients apart, kBanks * beats >= the adder's loop.
// Errors         a gradient for which the set has no way left refuses its whole batch, so does a batch that ends within a
//                gradient: nothing of it leaves, and m_axis_done says how many gradients were refused.
#ifndef EMBNIC_GRAD_ACCUMULATE_HPP
#define EMBNIC_GRAD_ACCUMULATE_HPP

#include "embnic/beat.hpp"
#include "embnic/fp32.hpp"
#include "embnic/stream.hpp"

namespace embnic {

enum class GradRule : std::uint8_t { SUM, SGD, ADAGRAD };

struct GradSetting {
    GradRule rule = GradRule::SUM;
    unsigned beats = 1;          // of a gradient and of a row
    unsigned dim = 1;            // elements; lanes beyond are zeros
    std::uint32_t rate = 0;      // fp32
    std::uint32_t epsilon = 0;   // fp32, above 0
};

template <unsigned kLanes>
struct GradBeat {
    std::uint64_t key{};  // {table 15, row 48}
    Lanes<kLanes> data{};
    bool last{};          // of the batch
};

template <unsigned kLanes>
struct RowBeat {
    std::uint64_t key{};
    Lanes<kLanes> data{};
    bool last{};          // of its row
};

struct GradDone {
    std::uint32_t rows;     // that left
    std::uint32_t refused;  // gradients; then no row left
};

// A configuration has kLanes, kBeats, kSets, kWays and kBanks.
template <typename Config>
class GradAccumulate {
  public:
    static constexpr unsigned kLanes = Config::kLanes;
    static constexpr unsigned kRows = Config::kSets * Config::kWays;
    using Data = Lanes<kLanes>;

    GradSetting cfg;

    bool setting_is_valid() const { return cfg.beats >= 1 && cfg.beats <= Config::kBeats && cfg.dim >= 1; }

    // Take gradients up to the end of a batch; true when it came.
    bool accumulate(Stream<GradBeat<kLanes>>& s_axis_grad) {
        while (!s_axis_grad.empty()) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II = 1
#pragma HLS DEPENDENCE variable = sums_ type = inter dependent = false
#endif
            const GradBeat<kLanes> grad = s_axis_grad.read();
            if (beat_ == 0) line_ = find(grad.key);
            if (line_ < kRows) add(grad.data);
            if (grad.last && beat_ + 1 != cfg.beats) refused_++;
            beat_ = beat_ + 1 == cfg.beats || grad.last ? 0 : beat_ + 1;
            if (grad.last) return true;
        }
        return false;
    }

    // Name the rows of the batch.
    void fetch(Stream<std::uint64_t>& m_axis_fetch) const {
        for (unsigned row = 0; refused_ == 0 && row < rows_; row++) m_axis_fetch.write(keys_[order_[row]]);
    }

    // Give the rows of the batch and forget them. Without a rule nothing is read.
    void drain(Stream<std::uint32_t>& s_axis_state, Stream<RowBeat<kLanes>>& s_axis_row,
               Stream<std::uint32_t>& m_axis_state, Stream<RowBeat<kLanes>>& m_axis_row, Stream<GradDone>& m_axis_done) {
        for (unsigned row = 0; refused_ == 0 && row < rows_; row++) {
            const unsigned line = order_[row];
            combine(line);
            std::uint32_t step = cfg.rate;
            if (cfg.rule == GradRule::ADAGRAD) {
                const std::uint32_t state =
                    fp32::add(s_axis_state.read(), fp32::div(squares(line), fp32::from_uint(cfg.dim)));
                m_axis_state.write(state);
                step = fp32::div(cfg.rate, fp32::add(fp32::sqrt(state), cfg.epsilon));
            }
            for (unsigned beat = 0; beat < cfg.beats; beat++) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II = 1
#endif
                RowBeat<kLanes> out{keys_[line], sums_[0][line * Config::kBeats + beat], beat + 1 == cfg.beats};
                if (cfg.rule != GradRule::SUM) {
                    const Data weights = s_axis_row.read().data;
                    for (unsigned lane = 0; lane < kLanes; lane++) {
                        out.data.lane[lane] = fp32::fma(step ^ fp32::kSign, out.data.lane[lane], weights.lane[lane]);
                    }
                }
                for (unsigned lane = 0; lane < kLanes; lane++) {
                    if (beat * kLanes + lane >= cfg.dim) out.data.lane[lane] = 0;  // padding, whatever the step
                }
                m_axis_row.write(out);
            }
        }
        m_axis_done.write(GradDone{refused_ ? 0 : rows_, refused_});
        for (unsigned line = 0; line < kRows; line++) used_[line] = false;
        rows_ = refused_ = beat_ = 0;
    }

  private:
    Data sums_[Config::kBanks][kRows * Config::kBeats]{};
    std::uint64_t keys_[kRows]{};
    bool used_[kRows]{};
    std::uint32_t count_[kRows]{};
    unsigned order_[kRows]{};  // lines in the order of their first gradient
    unsigned rows_ = 0;
    std::uint32_t refused_ = 0;
    unsigned beat_ = 0, line_ = 0;

    static constexpr unsigned index_bits() {
        unsigned bits = 0;
        while ((1u << bits) < Config::kSets) bits++;
        return bits;
    }

    // XOR of the key's index-wide pieces.
    static unsigned set_of(std::uint64_t key) {
        unsigned set = 0;
        if (index_bits() == 0) return 0;
        for (unsigned shift = 0; shift < 63; shift += index_bits()) set ^= key >> shift & (Config::kSets - 1);
        return set;
    }

    // The line of a row, and which of its gradients this is; kRows without one.
    unsigned find(std::uint64_t key) {
        const unsigned first = set_of(key) * Config::kWays;
        unsigned line = kRows, unused = kRows;
        for (unsigned way = Config::kWays; way-- > 0;) {
            if (!used_[first + way]) unused = first + way;
            if (used_[first + way] && keys_[first + way] == key) line = first + way;
        }
        if (line == kRows && unused < kRows) {
            line = unused;
            used_[line] = true;
            keys_[line] = key;
            count_[line] = 0;
            order_[rows_++] = line;
        }
        if (line == kRows) {
            refused_++;
        } else {
            count_[line]++;
        }
        return line;
    }

    void add(const Data& data) {
        const unsigned number = count_[line_] - 1, place = line_ * Config::kBeats + beat_;
        Data& sum = sums_[number % Config::kBanks][place];
        for (unsigned lane = 0; lane < kLanes; lane++) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
            sum.lane[lane] = fp32::add(number < Config::kBanks ? 0 : sum.lane[lane], data.lane[lane]);
        }
    }

    void combine(unsigned line) {
        const unsigned held = count_[line] < Config::kBanks ? count_[line] : Config::kBanks;
        for (unsigned apart = Config::kBanks / 2; apart; apart /= 2) {
            for (unsigned bank = 0; bank < apart && bank + apart < held; bank++) {
                for (unsigned beat = 0; beat < cfg.beats; beat++) {
                    Data& sum = sums_[bank][line * Config::kBeats + beat];
                    const Data& other = sums_[bank + apart][line * Config::kBeats + beat];
                    for (unsigned lane = 0; lane < kLanes; lane++) {
                        sum.lane[lane] = fp32::add(sum.lane[lane], other.lane[lane]);
                    }
                }
            }
        }
    }

    std::uint32_t squares(unsigned line) const {
        std::uint32_t sum = 0;
        for (unsigned beat = 0; beat < cfg.beats; beat++) {
            Data products = sums_[0][line * Config::kBeats + beat];
            for (unsigned lane = 0; lane < kLanes; lane++) {
                products.lane[lane] = fp32::mul(products.lane[lane], products.lane[lane]);
            }
            for (unsigned apart = kLanes / 2; apart; apart /= 2) {
                for (unsigned lane = 0; lane < apart; lane++) {
                    products.lane[lane] = fp32::add(products.lane[lane], products.lane[lane + apart]);
                }
            }
            sum = fp32::add(sum, products.lane[0]);
        }
        return sum;
    }
};

}  // namespace embnic

#endif  // EMBNIC_GRAD_ACCUMULATE_HPP
