// SPDX-License-Identifier: Apache-2.0
// The Python face of the fast model.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>

#include "model_card.hpp"

namespace embnic {
namespace {

namespace nb = nanobind;
using Keys = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ints = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ints2 = nb::ndarray<const std::int64_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
using OutKeys = nb::ndarray<std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutInts = nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void require(bool holds, const char *what) {
    if (!holds) throw std::invalid_argument(what);
}

template <typename Array>
Span<typename std::remove_const_t<typename Array::Scalar>> span(const Array &array) {
    return {array.data(), array.shape(0)};
}

// -1: the key has no line, or none that anybody may read.
std::int64_t line_of(const TagCache::Found &found) noexcept {
    return (found.flags & TagCache::kAllocates) != 0 && found.kept() ? std::int64_t{found.line} : -1;
}

// Looks `keys` up in order; line and flags of each where arrays are given.
nb::tuple feed_tags(TagCache &cache, Keys keys) {
    constexpr std::size_t kAhead = 8;
    std::int64_t hits = 0, evictions = 0;
    const std::uint64_t *at = keys.data();
    const std::size_t count = keys.shape(0);
    for (std::size_t i = 0; i < count; i++) {
        if (i + kAhead < count) cache.prefetch(at[i + kAhead]);
        const TagCache::Found found = cache.look(at[i]);
        hits += found.hit(), evictions += (found.flags & TagCache::kEvict) != 0;
    }
    return nb::make_tuple(hits, evictions);
}

void decide_tags(TagCache &cache, Keys keys, Ints commands, OutInts lines, OutInts flags) {
    const std::size_t count = keys.shape(0);
    require(commands.shape(0) == count && lines.shape(0) == count && flags.shape(0) == count,
            "the arrays differ in length");
    for (std::size_t i = 0; i < count; i++) {
        require(commands.data()[i] >= 0 && commands.data()[i] <= 5, "a command must be 0 to 5");
        const TagCache::Found found = cache.execute(keys.data()[i], static_cast<TagCache::Command>(commands.data()[i]));
        lines.data()[i] = line_of(found);
        flags.data()[i] = found.flags;
    }
}

nb::tuple feed_lru(LruCache &cache, Keys keys) {
    std::int64_t hits = 0, evictions = 0;
    for (std::size_t i = 0; i < keys.shape(0); i++) {
        bool evict = false;
        hits += cache.lookup(keys.data()[i], evict);
        evictions += evict;
    }
    return nb::make_tuple(hits, evictions);
}

nb::tuple call_fbgemm(FbgemmCache &cache, Keys keys) {
    cache.call(keys.data(), keys.shape(0));
    const FbgemmCache::Counters &c = cache.counters;
    return nb::make_tuple(c.calls, c.requested, c.unique, c.unique_misses, c.conflict_unique_misses, c.conflict_misses);
}

void make_card(CardModel *at, const nb::dict &given) {
    const auto whole = [&](const char *name) { return nb::cast<std::int64_t>(given[name]); };
    new (at) CardModel(whole, nb::cast<double>(given["line_bytes_per_cycle"]));
}

void define_table(CardModel &card, std::size_t number, Ints2 lines, Ints where, bool long_format, bool mean) {
    require(where.shape(0) == 7, "a table has base, stride, rows, padding, running sums, how they are added, and remote");
    std::vector<CardModel::Line> cut;
    for (std::size_t i = 0; i < lines.shape(0); i++) {
        const std::int64_t *line = lines.data() + 4 * i;
        cut.push_back({line[0], line[1], line[2], line[3]});
    }
    const std::int64_t *at = where.data();
    card.define(number, {cut.data(), cut.size()}, {at[0], at[1], at[2], at[3], at[4], at[5], at[6]}, long_format, mean);
}

void run_card(CardModel &card, Keys keys, Ints splits, Ints vec64, Ints flags) {
    nb::gil_scoped_release release;
    card.run(span(keys), span(splits), span(vec64), span(flags));
}

void decisions(const CardModel &card, OutKeys keys, OutInts lines, OutInts flags) {
    const std::vector<CardModel::Recorded> &recorded = card.recorded();
    require(keys.shape(0) == recorded.size() && lines.shape(0) == recorded.size() && flags.shape(0) == recorded.size(),
            "the arrays do not have the length of what was recorded");
    for (std::size_t i = 0; i < recorded.size(); i++) {
        keys.data()[i] = recorded[i].key;
        lines.data()[i] = line_of(recorded[i].found);
        flags.data()[i] = recorded[i].found.flags;
    }
}

nb::dict counters(const CardModel &card) {
    nb::dict out;
    const CardModel::Counts &c = card.counts();
    out["cycles"] = card.now();
    out["requests"] = c.requests, out["bags"] = c.bags, out["keys"] = c.keys, out["keys_null"] = c.keys_null;
    out["keys_padding"] = c.keys_padding, out["row_hits"] = c.row_hits, out["row_misses"] = c.row_misses;
    out["line_hits"] = c.line_hits, out["line_misses"] = c.line_misses, out["evictions"] = c.evictions;
    out["pinned_hits"] = c.pinned_hits, out["joins"] = c.joins, out["fetches"] = c.fetches;
    out["no_free_way"] = c.no_free_way, out["not_admitted"] = c.not_admitted;
    out["prefetches"] = c.prefetches, out["prefetch_rows"] = c.prefetch_rows;
    out["fetch_beats"] = c.fetch_beats, out["exec_beats"] = c.exec_beats, out["exec_fetch"] = c.exec_fetch;
    out["exec_hazard"] = c.exec_hazard;
    out["exec_empty"] = card.now() - c.exec_beats - c.exec_fetch - c.exec_hazard;
    out["tx_frames"] = c.tx_frames, out["tx_bytes"] = c.tx_bytes, out["replies"] = c.replies;
    out["partials"] = c.partials;
    out["remote_fetches"] = c.remote_fetches, out["remote_answers"] = c.remote_fetches;
    out["remote_beats"] = c.remote_beats;
    return out;
}

}  // namespace
}  // namespace embnic

void bind_model(nanobind::module_ &m) {
    using namespace nanobind::literals;
    namespace nb = nanobind;
    using namespace embnic;
    nb::class_<TagCache>(m, "TagCache")
        .def(nb::init<unsigned, std::size_t>(), "ways"_a, "sets"_a)
        .def("clear", &TagCache::clear)
        .def("configure", &TagCache::configure, "cached_ways"_a, "admission"_a)
        .def("feed", &feed_tags, "keys"_a)
        .def("decide", &decide_tags, "keys"_a, "commands"_a, "lines"_a.noconvert(), "flags"_a.noconvert());
    nb::class_<LruCache>(m, "LruCache")
        .def(nb::init<std::size_t>(), "lines"_a)
        .def("clear", &LruCache::clear)
        .def("feed", &feed_lru, "keys"_a);
    nb::class_<FbgemmCache>(m, "FbgemmCache")
        .def(nb::init<unsigned, std::size_t>(), "ways"_a, "sets"_a)
        .def("clear", &FbgemmCache::clear)
        .def("call", &call_fbgemm, "keys"_a);
    nb::class_<CardModel>(m, "CardModel")
        .def("__init__", &make_card, "parameters"_a)
        .def("define", &define_table, "number"_a, "lines"_a, "where"_a, "long_format"_a, "mean"_a)
        .def("run", &run_card, "keys"_a, "splits"_a, "vec64"_a, "flags"_a)
        .def("configure", &CardModel::configure, "cached_ways"_a, "admission"_a)
        .def("prefetch", [](CardModel &card, std::size_t number, Ints rows, unsigned command, bool fill) {
            return card.prefetch(number, span(rows), command, fill);
        }, "number"_a, "rows"_a, "command"_a, "fill"_a)
        .def("invalidate", [](CardModel &card, std::size_t number, Ints rows) { card.invalidate(number, span(rows)); },
             "number"_a, "rows"_a)
        .def("flush", &CardModel::flush)
        .def("record", &CardModel::record, "most"_a)
        .def("recorded", [](const CardModel &card) { return card.recorded().size(); })
        .def("decisions", &decisions, "keys"_a.noconvert(), "lines"_a.noconvert(), "flags"_a.noconvert())
        .def("counters", &counters);
}
