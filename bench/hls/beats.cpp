// SPDX-License-Identifier: Apache-2.0
// Beats a second of processor time of every HLS core in C simulation, in the configuration line100: `beats SECONDS`.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>

#include "cores/dequant/dequant.hpp"
#include "cores/grad_accumulate/grad_accumulate.hpp"
#include "cores/interact/interact.hpp"
#include "cores/pool/pool.hpp"
#include "cores/row_cache/row_cache.hpp"
#include "cores/topk/topk.hpp"
#include "embnic/config.hpp"

namespace {

using namespace embnic;
using Config = CoreConfig<configs::Line100>;
constexpr unsigned kLanes = Config::kLanes, kBatch = 4096;
using Data = Lanes<kLanes>;

std::mt19937 random_(1);
double seconds = 1.0;
std::uint64_t guard = 0;  // what the results add up to, so that they are needed

double processor_time() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

Data numbers() {
    Data data;
    for (auto& lane : data.lane) lane = (random_() & 0x807FFFFFu) | (120u + random_() % 12) << 23;
    return data;
}

// Call `batch` (which takes `beats` beats) for a while; setting up its input is not counted.
template <typename Prepare, typename Batch>
void measure(const char* name, unsigned beats, Prepare prepare, Batch batch) {
    double spent = 0;
    std::uint64_t done = 0;
    while (spent < seconds) {
        prepare();
        const double start = processor_time();
        batch();
        spent += processor_time() - start;
        done += beats;
    }
    std::printf("%s %.0f\n", name, static_cast<double>(done) / spent);
}

Beat beat_of(unsigned at, DType dtype, Pooling pooling) {
    Beat info;  // bags of eight rows of four beats, in all slots by turns
    info.slot = static_cast<std::uint8_t>(at / 4 % Config::kSlots);
    info.beat = static_cast<std::uint16_t>(at % 4);
    const unsigned row = at / 4 / Config::kSlots % 8;
    info.first = row == 0;
    info.last = row == 7;
    info.done = info.last && info.beat == 3;
    info.dtype = dtype;
    info.pooling = pooling;
    info.dim = 64;
    info.weight = fp32::kOne;
    info.count = 8;
    return info;
}

void pool(const char* name, DType dtype, Pooling pooling) {
    auto core = std::make_unique<Pool<Config>>();
    Stream<VectorBeat<kLanes>> vec;
    Stream<ResponseBeat<kLanes>> rsp_wr;
    measure(
        name, kBatch,
        [&] {
            for (unsigned at = 0; at < kBatch; at++) {
                Data data = numbers();
                if (is_quantised(dtype)) {
                    for (auto& lane : data.lane) lane = fp32::from_uint(lane & 255);
                }
                vec.write({beat_of(at, dtype, pooling), data, 0x3C000000u, 0x3F000000u});
            }
        },
        [&] {
            core->run(vec, rsp_wr);
            while (!rsp_wr.empty()) guard += rsp_wr.read().data.lane[0];
        });
}

void dequant() {
    auto core = std::make_unique<Dequant<Config>>();
    Stream<StoredBeat<kLanes>> beat;
    Stream<VectorBeat<kLanes>> vec;
    measure(
        "dequant", kBatch,
        [&] {
            for (unsigned at = 0; at < kBatch; at++) {
                Beat info = beat_of(at, at % 2 ? DType::INT8 : DType::FP16, Pooling::SUM);
                info.sub = static_cast<std::uint8_t>(at % 2);
                beat.write({info, numbers()});
            }
        },
        [&] {
            core->run(beat, vec);
            while (!vec.empty()) guard += vec.read().data.lane[0];
        });
}

void row_cache() {
    auto core = std::make_unique<RowCache<Config>>();
    auto init = std::make_unique<Data[]>(Config::kInitBeats);
    Stream<Op> ops;
    Stream<ReadRequest> m_axi_ar;
    Stream<ReadBeat<kLanes>> m_axi_r;
    Stream<CacheBeat<kLanes>> beat;
    const ReadBeat<kLanes> answer{numbers(), false};
    measure(
        "row_cache", kBatch,
        [&] {
            for (unsigned at = 0; at < kBatch / 4; at++) {
                Op op;
                op.slot = static_cast<std::uint8_t>(at % Config::kSlots);
                op.row = random_() % 8192;  // twice the lines of the cache
                op.fetch_beats = op.beats = 4;
                op.first_seg = op.last_seg = true;
                op.dim = 64;
                ops.write(op);
            }
        },
        [&] {
            while (!ops.empty()) {
                core->issue(ops, m_axi_ar);
                while (!m_axi_ar.empty()) {
                    const ReadRequest request = m_axi_ar.read();
                    for (unsigned at = 0; at < request.beats; at++) m_axi_r.write(answer);
                }
                core->execute(m_axi_r, init.get(), beat);
                while (!beat.empty()) guard += beat.read().stored.data.lane[0];
            }
        });
}

void gradients() {
    auto core = std::make_unique<GradAccumulate<GradConfig<configs::Line100>>>();
    core->cfg.rule = GradRule::SGD;
    core->cfg.beats = 4;
    core->cfg.dim = 64;
    core->cfg.rate = 0x3C23D70Au;
    Stream<GradBeat<kLanes>> s_axis_grad;
    Stream<std::uint64_t> m_axis_fetch;
    Stream<std::uint32_t> s_axis_state, m_axis_state;
    Stream<RowBeat<kLanes>> s_axis_row, m_axis_row;
    Stream<GradDone> m_axis_done;
    measure(
        "grad_accumulate", kBatch,
        [&] {
            for (unsigned at = 0; at < kBatch; at++) {
                static std::uint64_t key = 0;
                if (at % 4 == 0) key = random_() % (1 + random_() % 256);
                s_axis_grad.write({key, numbers(), at + 1 == kBatch});
            }
            for (unsigned at = 0; at < 4 * 256; at++) s_axis_row.write({0, numbers(), false});
        },
        [&] {
            core->accumulate(s_axis_grad);
            core->fetch(m_axis_fetch);
            core->drain(s_axis_state, s_axis_row, m_axis_state, m_axis_row, m_axis_done);
            while (!m_axis_row.empty()) guard += m_axis_row.read().data.lane[0];
            while (!m_axis_fetch.empty()) m_axis_fetch.read();
            while (!s_axis_row.empty()) s_axis_row.read();
            guard += m_axis_done.read().rows;
        });
}

void topk() {
    auto core = std::make_unique<TopK<TopKConfig>>();
    core->cfg_k = 16;
    Stream<ScoreBeat> s_axis_score, m_axis_best;
    measure(
        "topk", kBatch,
        [&] {
            for (unsigned at = 0; at < kBatch; at++) s_axis_score.write({numbers().lane[0], at, at % 512 == 511});
        },
        [&] {
            core->run(s_axis_score, m_axis_best);
            while (!m_axis_best.empty()) guard += m_axis_best.read().id;
        });
}

void interact() {
    auto core = std::make_unique<Interact<InteractConfig<configs::Line100>>>();
    core->cfg_vectors = 27;
    core->cfg_beats = 8;
    Stream<SampleBeat<kLanes>> s_axis_vec;
    Stream<PairBeat> m_axis_pair;
    constexpr unsigned kBeats = 27 * 8;
    measure(
        "interact", 16 * kBeats,
        [&] {
            for (unsigned at = 0; at < 16 * kBeats; at++) s_axis_vec.write({numbers(), at % kBeats == kBeats - 1});
        },
        [&] {
            core->run(s_axis_vec, m_axis_pair);
            while (!m_axis_pair.empty()) guard += m_axis_pair.read().dot;
        });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) seconds = std::strtod(argv[1], nullptr);
    pool("pool_fp32_sum", DType::FP32, Pooling::SUM);
    pool("pool_int8_mean", DType::INT8, Pooling::MEAN);
    pool("pool_fp32_max", DType::FP32, Pooling::MAX);
    dequant();
    row_cache();
    gradients();
    topk();
    interact();
    return guard == 42 ? 1 : 0;
}
