// SPDX-License-Identifier: Apache-2.0
// The Python face of the CPU backend's native half.
#include <algorithm>
#include <string>
#include <utility>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "cpu_tables.hpp"

namespace nb = nanobind;

namespace embnic::cpu {
namespace {

constexpr std::pair<const char *, Isa> kIsas[] = {
    {"avx512", Isa::avx512}, {"avx2", Isa::avx2}, {"portable", Isa::portable}};

Isa isa_named(const std::string &name) {
    if (name == "auto") return best_isa();
    for (const auto &[known, isa] : kIsas) {
        if (name == known && has_isa(isa)) return isa;
    }
    throw nb::value_error(("instruction set not available: " + name).c_str());
}

const char *name_of(Isa wanted) {
    for (const auto &[name, isa] : kIsas) {
        if (isa == wanted) return name;
    }
    return "";
}

std::vector<std::string> isas() {
    std::vector<std::string> found;
    for (const auto &[name, isa] : kIsas) {
        if (has_isa(isa)) found.emplace_back(name);
    }
    return found;
}

using Bytes = nb::ndarray<nb::numpy, std::uint8_t, nb::ndim<1>>;

Bytes take_rows(RowArena &arena, std::size_t bytes) {
    auto *const piece = new Piece(arena.take(bytes));
    const nb::capsule owner(piece, [](void *p) noexcept { delete static_cast<Piece *>(p); });
    return Bytes(piece->data, {bytes}, owner);
}

}  // namespace
}  // namespace embnic::cpu

void bind_cpu(nb::module_ &m) {
    using namespace embnic::cpu;
    using namespace nb::literals;
    m.def("isas", &isas, "Name the instruction sets that lookups can use here, best first.");
    nb::class_<RowArena>(m, "RowArena")
        .def(nb::init<>())
        .def("take", &take_rows, "bytes"_a, "Return uint8 [bytes] of zeros in huge pages, where there are any.");
    nb::class_<Tables>(m, "Tables")
        .def(
            "__init__",
            [](Tables *self, const std::string &isa, unsigned threads) { new (self) Tables(isa_named(isa), threads); },
            "isa"_a = "auto", "threads"_a = 1)
        .def(
            "set",
            [](Tables &self, nb::str name, nb::object rows, int dtype, int pooling, std::int64_t dim,
               std::int64_t padding, bool mul_then_add, int scale_exp, bool tuned) {
                self.set(std::move(name), std::move(rows), {dtype, pooling, dim, padding, mul_then_add, scale_exp},
                         tuned);
            },
            "name"_a, "rows"_a, nb::kw_only(), "dtype"_a, "pooling"_a, "dim"_a, "padding"_a, "mul_then_add"_a,
            "scale_exp"_a, "tuned"_a, "Keep rows, uint8 [rows, bytes], without a copy.")
        .def("drop", &Tables::drop, "name"_a)
        .def("lookup", &Tables::lookup, "bags"_a, "out"_a.none(),
             "Pool bags {name: TableBags} into {name: array}; None where something is wrong with them.")
        .def("lookup_at", &Tables::lookup_at, "parts"_a,
             "Pool bags at addresses, tuples (name, ids, count, offsets, bags, closed, weights, out); False where "
             "something is wrong with them.")
        .def("counters", &Tables::counters, "Return lookups, bags, keys, saturations.")
        .def("distance", &Tables::distance, "name"_a, "Return how many rows are asked for ahead.")
        .def_prop_ro("isa", [](const Tables &self) { return name_of(self.isa()); })
        .def_prop_ro("threads", &Tables::threads);
}
