// SPDX-License-Identifier: Apache-2.0
// The cores as second scoreboards of the RTL's benches: words in, words out.
//
// A bench builds this for one core with the parameters of its RTL module. Every beat is a list of 64-bit words: the fields of
// the beat in the order of its struct, then what is said with each adapter; of data two lanes a word, the lower lane first.
#ifndef EMBNIC_GOLDEN_HPP
#define EMBNIC_GOLDEN_HPP

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>

#include "cores/dequant/dequant.hpp"
#include "cores/grad_accumulate/grad_accumulate.hpp"
#include "cores/interact/interact.hpp"
#include "cores/pool/pool.hpp"
#include "cores/row_cache/row_cache.hpp"
#include "cores/topk/topk.hpp"

namespace embnic::bridge {

using Words = std::deque<std::uint64_t>;

// Takes words one after the other.
class Reader {
  public:
    explicit Reader(const std::uint64_t* at) : at_(at) {}

    template <typename T>
    void operator()(T& field) {
        field = static_cast<T>(*at_++);
    }

    template <unsigned kLanes>
    Lanes<kLanes> lanes() {
        Lanes<kLanes> data{};
        for (unsigned lane = 0; lane < kLanes; lane++) data.lane[lane] = static_cast<std::uint32_t>(at_[lane / 2] >> lane % 2 * 32);
        at_ += (kLanes + 1) / 2;
        return data;
    }

    std::uint64_t word() { return *at_++; }

  private:
    const std::uint64_t* at_;
};

template <unsigned kLanes>
void write_lanes(Words& words, const Lanes<kLanes>& data) {
    for (unsigned lane = 0; lane < kLanes; lane += 2) {
        words.push_back(data.lane[lane] | (lane + 1 < kLanes ? static_cast<std::uint64_t>(data.lane[lane + 1]) << 32 : 0));
    }
}

// Calls `visit` with every field, under the names and in the order of beat_t and op_t.
template <typename B, typename Visit>
void beat_fields(B& b, Visit&& visit) {
    visit(b.dtype), visit(b.sub), visit(b.header), visit(b.bare), visit(b.slot), visit(b.ctx), visit(b.beat), visit(b.bank);
    visit(b.combine), visit(b.product), visit(b.fetch), visit(b.first), visit(b.load), visit(b.flush), visit(b.last), visit(b.done), visit(b.dim);
    visit(b.pooling), visit(b.partial), visit(b.mul_then_add), visit(b.weight), visit(b.count), visit(b.rsp_addr);
}

inline constexpr const char* kBeatFields =
    "dtype sub header bare slot ctx beat bank combine product fetch first load flush last done dim pooling partial mul_then_add weight "
    "count rsp_addr";

template <typename O, typename Visit>
void op_fields(O& o, Visit&& visit) {
    visit(o.kind), visit(o.slot), visit(o.ctx), visit(o.tbl), visit(o.row), visit(o.seg), visit(o.addr), visit(o.remote);
    visit(o.owner), visit(o.generation), visit(o.dtype), visit(o.fetch_beats), visit(o.header), visit(o.chunk);
    visit(o.beats), visit(o.beat_base), visit(o.bank), visit(o.combine), visit(o.product);
    visit(o.first), visit(o.spaced), visit(o.last), visit(o.first_seg), visit(o.last_seg), visit(o.dim), visit(o.pooling);
    visit(o.partial), visit(o.mul_then_add), visit(o.weight), visit(o.count), visit(o.rsp_addr);
}

inline constexpr const char* kOpFields =
    "kind slot ctx tbl row seg addr remote owner generation dtype fetch_beats header chunk beats beat_base bank combine product "
    "first spaced last first_seg last_seg dim pooling partial mul_then_add weight count rsp_addr";

// Commands of Golden::command, by core.
enum class Command : std::uint32_t { RESET, SETTING, TAKE, MEMORY, FLUSH, DROP };

// pool. TAKE: a beat_t, data, scale, bias -> writes {addr, data, done, ctx, count}. Saturations: events()[0].
template <typename Config>
class GoldenPool {
  public:
    static constexpr const char* kFields = kBeatFields;

    void command(Command what, const std::uint64_t* words) {
        if (what == Command::RESET) core_ = {};
        if (what != Command::TAKE) return;
        Reader read(words);
        VectorBeat<Config::kLanes> beat;
        beat_fields(beat.info, read);
        beat.data = read.template lanes<Config::kLanes>();
        read(beat.scale), read(beat.bias);
        Stream<VectorBeat<Config::kLanes>> vec;
        Stream<ResponseBeat<Config::kLanes>> rsp_wr;
        vec.write(beat);
        core_.run(vec, rsp_wr);
        while (!rsp_wr.empty()) {
            const auto out = rsp_wr.read();
            this->out.push_back(out.addr);
            write_lanes(this->out, out.data);
            for (std::uint64_t word : {std::uint64_t{out.done}, std::uint64_t{out.ctx}, std::uint64_t{out.count}}) {
                this->out.push_back(word);
            }
        }
    }
    std::uint64_t event(unsigned) const { return core_.evt_saturate; }

    Words out;

  private:
    Pool<Config> core_;
};

// dequant. TAKE: a beat_t, data -> {beat_t, data, scale, bias}.
template <typename Config>
class GoldenDequant {
  public:
    static constexpr const char* kFields = kBeatFields;

    void command(Command what, const std::uint64_t* words) {
        if (what == Command::RESET) core_ = {};
        if (what != Command::TAKE) return;
        Reader read(words);
        StoredBeat<Config::kLanes> beat;
        beat_fields(beat.info, read);
        beat.data = read.template lanes<Config::kLanes>();
        Stream<StoredBeat<Config::kLanes>> stored;
        Stream<VectorBeat<Config::kLanes>> vec;
        stored.write(beat);
        core_.run(stored, vec);
        while (!vec.empty()) {
            VectorBeat<Config::kLanes> next = vec.read();
            beat_fields(next.info, [this](auto field) { out.push_back(static_cast<std::uint64_t>(field)); });
            write_lanes(out, next.data);
            out.push_back(next.scale);
            out.push_back(next.bias);
        }
    }
    std::uint64_t event(unsigned) const { return core_.evt_refused; }

    Words out;

  private:
    Dequant<Config> core_;
};

// row_cache. SETTING: cached ways, admission. TAKE: an op_t -> a word: reads asked of memory. MEMORY: data, error: a beat of the
// answer; when the line is there, and after a TAKE that asked for nothing, beats follow: {beat_t, data, bad}. DROP: key low, high.
// INIT beats read zeros: their data are the bench's.
template <typename Config>
class GoldenRowCache {
  public:
    static constexpr const char* kFields = kOpFields;

    void command(Command what, const std::uint64_t* words) {
        Reader read(words);
        switch (what) {
        case Command::RESET: core_ = std::make_unique<RowCache<Config>>(); break;
        case Command::FLUSH: core_->flush(); break;
        case Command::DROP: core_->drop({words[0], static_cast<std::uint16_t>(words[1])}); break;
        case Command::SETTING:
            core_->tags.cached_ways = static_cast<unsigned>(words[0]);
            core_->tags.admission = words[1] != 0;
            break;
        case Command::TAKE: {
            Op op;
            op_fields(op, read);
            ops_.write(op);
            core_->issue(ops_, m_axi_ar_);
            std::uint64_t asked = 0;
            for (; !m_axi_ar_.empty(); asked++) m_axi_ar_.read();
            out.push_back(asked);
            if (!asked) give();
            break;
        }
        case Command::MEMORY: {
            ReadBeat<Config::kLanes> beat;
            beat.data = read.template lanes<Config::kLanes>();
            read(beat.error);
            m_axi_r_.write(beat);
            give();
            break;
        }
        }
    }

    std::uint64_t event(unsigned number) const {
        const CacheEvents& e = core_->evt;
        const std::uint64_t all[] = {e.row_hit, e.row_miss, e.line_hit, e.line_miss, e.evict, e.fetch, e.fetch_beat,
                                     e.line_pinned, e.no_way, e.refused};
        return number < 10 ? all[number] : 0;
    }

    Words out;

  private:
    std::unique_ptr<RowCache<Config>> core_ = std::make_unique<RowCache<Config>>();
    Lanes<Config::kLanes> init_[Config::kInitBeats]{};
    Stream<Op> ops_;
    Stream<ReadRequest> m_axi_ar_;
    Stream<ReadBeat<Config::kLanes>> m_axi_r_;

    void give() {
        Stream<CacheBeat<Config::kLanes>> beats;
        core_->execute(m_axi_r_, init_, beats);
        while (!beats.empty()) {
            CacheBeat<Config::kLanes> next = beats.read();
            beat_fields(next.stored.info, [this](auto field) { out.push_back(static_cast<std::uint64_t>(field)); });
            write_lanes(out, next.stored.data);
            out.push_back(next.bad);
        }
    }
};

// grad_accumulate. SETTING: rule, beats, dim, rate, epsilon. TAKE: key, last, data; at the end of a batch -> rows asked for {count,
// keys}. MEMORY: {states, data ...} of all rows, a state a row when the rule is ADAGRAD, data when it is not SUM -> states, then
// {key, last, data} of each beat, then {rows, refused}.
template <typename Config>
class GoldenGradAccumulate {
  public:
    static constexpr const char* kFields = "key last data";

    void command(Command what, const std::uint64_t* words) {
        Reader read(words);
        if (what == Command::RESET) core_ = std::make_unique<GradAccumulate<Config>>();
        if (what == Command::SETTING) {
            read(core_->cfg.rule), read(core_->cfg.beats), read(core_->cfg.dim), read(core_->cfg.rate), read(core_->cfg.epsilon);
        }
        if (what == Command::TAKE) {
            GradBeat<Config::kLanes> beat;
            read(beat.key), read(beat.last);
            beat.data = read.template lanes<Config::kLanes>();
            grads_.write(beat);
            if (!core_->accumulate(grads_)) return;
            Stream<std::uint64_t> fetch;
            core_->fetch(fetch);
            rows_ = fetch.level();
            out.push_back(rows_);
            while (!fetch.empty()) out.push_back(fetch.read());
        }
        if (what == Command::MEMORY) drain(read);
    }
    std::uint64_t event(unsigned) const { return 0; }

    Words out;

  private:
    std::unique_ptr<GradAccumulate<Config>> core_ = std::make_unique<GradAccumulate<Config>>();
    Stream<GradBeat<Config::kLanes>> grads_;
    std::uint64_t rows_ = 0;

    void drain(Reader& read) {
        Stream<std::uint32_t> s_axis_state, m_axis_state;
        Stream<RowBeat<Config::kLanes>> s_axis_row, m_axis_row;
        Stream<GradDone> m_axis_done;
        for (std::uint64_t row = 0; row < rows_ && core_->cfg.rule == GradRule::ADAGRAD; row++) {
            s_axis_state.write(static_cast<std::uint32_t>(read.word()));
        }
        for (std::uint64_t beat = 0; beat < rows_ * core_->cfg.beats && core_->cfg.rule != GradRule::SUM; beat++) {
            s_axis_row.write({0, read.template lanes<Config::kLanes>(), false});
        }
        core_->drain(s_axis_state, s_axis_row, m_axis_state, m_axis_row, m_axis_done);
        while (!m_axis_state.empty()) out.push_back(m_axis_state.read());
        while (!m_axis_row.empty()) {
            const auto next = m_axis_row.read();
            out.push_back(next.key);
            out.push_back(next.last);
            write_lanes(out, next.data);
        }
        const GradDone done = m_axis_done.read();
        out.push_back(done.rows);
        out.push_back(done.refused);
    }
};

// topk. SETTING: k. TAKE: score, id, last -> {score, id, last}. NaNs: event(0).
template <typename Config>
class GoldenTopK {
  public:
    static constexpr const char* kFields = "score id last";

    void command(Command what, const std::uint64_t* words) {
        if (what == Command::RESET) core_ = {};
        if (what == Command::SETTING) core_.cfg_k = static_cast<unsigned>(words[0]);
        if (what != Command::TAKE) return;
        Stream<ScoreBeat> scores, best;
        scores.write({static_cast<std::uint32_t>(words[0]), words[1], words[2] != 0});
        core_.run(scores, best);
        while (!best.empty()) {
            const ScoreBeat next = best.read();
            out.push_back(next.score);
            out.push_back(next.id);
            out.push_back(next.last);
        }
    }
    std::uint64_t event(unsigned) const { return core_.evt_refused; }

    Words out;

  private:
    TopK<Config> core_;
};

// interact. SETTING: vectors, beats. TAKE: last, data -> {dot, last, bad}.
template <typename Config>
class GoldenInteract {
  public:
    static constexpr const char* kFields = "last data";

    void command(Command what, const std::uint64_t* words) {
        Reader read(words);
        if (what == Command::RESET) core_ = {};
        if (what == Command::SETTING) read(core_.cfg_vectors), read(core_.cfg_beats);
        if (what != Command::TAKE) return;
        SampleBeat<Config::kLanes> beat;
        read(beat.last);
        beat.data = read.template lanes<Config::kLanes>();
        Stream<SampleBeat<Config::kLanes>> vec;
        Stream<PairBeat> pairs;
        vec.write(beat);
        core_.run(vec, pairs);
        while (!pairs.empty()) {
            const PairBeat next = pairs.read();
            out.push_back(next.dot);
            out.push_back(next.last);
            out.push_back(next.bad);
        }
    }
    std::uint64_t event(unsigned) const { return core_.evt_refused; }

    Words out;

  private:
    Interact<Config> core_;
};

}  // namespace embnic::bridge

#endif  // EMBNIC_GOLDEN_HPP
