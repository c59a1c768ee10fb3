// SPDX-License-Identifier: Apache-2.0
#include "pooled.hpp"

#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#if defined(__x86_64__)
#define EMBNIC_X86 1
#include <immintrin.h>
#else
#define EMBNIC_X86 0
#endif

namespace embnic {
namespace {

constexpr std::uint32_t NAN_BITS = 0x7FC00000u;  // every NaN that arithmetic makes

template <Storage S>
struct Stored {
    using type = std::uint16_t;
};
template <>
struct Stored<Storage::fp32> {
    using type = float;
};

float from_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// One element at a time, with nothing beyond ISO C++. std::fma is correctly rounded in glibc with or without hardware.
namespace portable {
#define EMBNIC_TARGET
using Vec = float;
constexpr std::int64_t LANES = 1;

float half_to_float(std::uint16_t half) {
    const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
    const std::uint32_t magnitude = half & 0x7FFFu;
    if (magnitude >= 0x7C00u) return from_bits(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
    if (magnitude >= 0x0400u) return from_bits(sign | ((magnitude << 13) + 0x38000000u));
    const float subnormal = static_cast<float>(magnitude) * 0x1p-24f;
    return sign ? -subnormal : subnormal;
}

template <Storage S>
Vec load(const typename Stored<S>::type *p) {
    if constexpr (S == Storage::fp32) return *p;
    if constexpr (S == Storage::fp16) return half_to_float(*p);
    if constexpr (S == Storage::bf16) return from_bits(static_cast<std::uint32_t>(*p) << 16);
}
template <Storage S>
Vec load_part(const typename Stored<S>::type *p, std::int64_t) {
    return load<S>(p);
}
void store(float *p, Vec v) { *p = v; }
void store_part(float *p, Vec v, std::int64_t) { *p = v; }
Vec zero() { return 0.0f; }
Vec spread(float w) { return w; }
Vec add(Vec a, Vec b) { return a + b; }
Vec mul(Vec a, Vec b) { return a * b; }
Vec div(Vec a, Vec b) { return a / b; }
Vec fma(Vec w, Vec x, Vec acc) { return std::fma(w, x, acc); }
Vec max_later(Vec acc, Vec x) { return x > acc ? x : acc; }
Vec canonical(Vec v) { return v != v ? from_bits(NAN_BITS) : v; }

#include "pooled_kernel.inc"
#undef EMBNIC_TARGET
}  // namespace portable

#if EMBNIC_X86
namespace avx2 {
#define EMBNIC_TARGET __attribute__((target("avx2,fma,f16c")))
using Vec = __m256;
constexpr std::int64_t LANES = 8;

template <Storage S>
EMBNIC_TARGET inline Vec load(const typename Stored<S>::type *p) {
    if constexpr (S == Storage::fp32) {
        return _mm256_loadu_ps(p);
    } else {
        const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p));
        if constexpr (S == Storage::fp16) return _mm256_cvtph_ps(raw);
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(raw), 16));
    }
}
template <Storage S>
EMBNIC_TARGET inline Vec load_part(const typename Stored<S>::type *p, std::int64_t n) {
    typename Stored<S>::type buffer[LANES] = {};
    std::memcpy(buffer, p, static_cast<std::size_t>(n) * sizeof *p);
    return load<S>(buffer);
}
EMBNIC_TARGET inline void store(float *p, Vec v) { _mm256_storeu_ps(p, v); }
EMBNIC_TARGET inline void store_part(float *p, Vec v, std::int64_t n) {
    float buffer[LANES];
    _mm256_storeu_ps(buffer, v);
    std::memcpy(p, buffer, static_cast<std::size_t>(n) * sizeof *p);
}
EMBNIC_TARGET inline Vec zero() { return _mm256_setzero_ps(); }
EMBNIC_TARGET inline Vec spread(float w) { return _mm256_set1_ps(w); }
EMBNIC_TARGET inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
EMBNIC_TARGET inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
EMBNIC_TARGET inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
EMBNIC_TARGET inline Vec fma(Vec w, Vec x, Vec acc) { return _mm256_fmadd_ps(w, x, acc); }
EMBNIC_TARGET inline Vec max_later(Vec acc, Vec x) {
    return _mm256_blendv_ps(acc, x, _mm256_cmp_ps(x, acc, _CMP_GT_OQ));
}
EMBNIC_TARGET inline Vec canonical(Vec v) {
    return _mm256_blendv_ps(v, _mm256_set1_ps(from_bits(NAN_BITS)), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

#include "pooled_kernel.inc"
#undef EMBNIC_TARGET
}  // namespace avx2

namespace avx512 {
#define EMBNIC_TARGET __attribute__((target("avx512f")))
using Vec = __m512;
constexpr std::int64_t LANES = 16;

template <Storage S>
EMBNIC_TARGET inline Vec load(const typename Stored<S>::type *p) {
    if constexpr (S == Storage::fp32) {
        return _mm512_loadu_ps(p);
    } else {
        const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
        if constexpr (S == Storage::fp16) return _mm512_cvtph_ps(raw);
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
    }
}
EMBNIC_TARGET inline __mmask16 first(std::int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
template <Storage S>
EMBNIC_TARGET inline Vec load_part(const typename Stored<S>::type *p, std::int64_t n) {
    if constexpr (S == Storage::fp32) {
        return _mm512_maskz_loadu_ps(first(n), p);
    } else {
        std::uint16_t buffer[LANES] = {};
        std::memcpy(buffer, p, static_cast<std::size_t>(n) * sizeof *p);
        return load<S>(buffer);
    }
}
EMBNIC_TARGET inline void store(float *p, Vec v) { _mm512_storeu_ps(p, v); }
EMBNIC_TARGET inline void store_part(float *p, Vec v, std::int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
EMBNIC_TARGET inline Vec zero() { return _mm512_setzero_ps(); }
EMBNIC_TARGET inline Vec spread(float w) { return _mm512_set1_ps(w); }
EMBNIC_TARGET inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
EMBNIC_TARGET inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
EMBNIC_TARGET inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
EMBNIC_TARGET inline Vec fma(Vec w, Vec x, Vec acc) { return _mm512_fmadd_ps(w, x, acc); }
EMBNIC_TARGET inline Vec max_later(Vec acc, Vec x) {
    return _mm512_mask_mov_ps(acc, _mm512_cmp_ps_mask(x, acc, _CMP_GT_OQ), x);
}
EMBNIC_TARGET inline Vec canonical(Vec v) {
    return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), _mm512_set1_ps(from_bits(NAN_BITS)));
}

#include "pooled_kernel.inc"
#undef EMBNIC_TARGET
}  // namespace avx512
#endif

}  // namespace

bool has_isa(Isa isa) {
    if (isa == Isa::portable) return true;
#if EMBNIC_X86
    __builtin_cpu_init();
    if (isa == Isa::avx2) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    }
    if (isa == Isa::avx512) return __builtin_cpu_supports("avx512f");
#endif
    return false;
}

Isa best_isa() {
    if (has_isa(Isa::avx512)) return Isa::avx512;
    return has_isa(Isa::avx2) ? Isa::avx2 : Isa::portable;
}

void pool(const Lookup &lookup, Storage storage, Step step, Isa isa) {
#if EMBNIC_X86
    if (isa == Isa::avx512) return avx512::pool_all(lookup, storage, step);
    if (isa == Isa::avx2) return avx2::pool_all(lookup, storage, step);
#endif
    (void)isa;
    portable::pool_all(lookup, storage, step);
}

namespace {

namespace nb = nanobind;
template <typename T, int N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

Isa isa_named(const std::string &name) {
    if (name == "auto") return best_isa();
    for (const auto &[known, isa] : {std::pair{"portable", Isa::portable}, {"avx2", Isa::avx2}, {"avx512", Isa::avx512}}) {
        if (name == known && has_isa(isa)) return isa;
    }
    throw nb::value_error(("instruction set not available: " + name).c_str());
}

// Everything the kernels rely on. Runs over offsets and ids once, which costs far less than the rows do.
void check(const Array<const std::int64_t, 1> &ids, const Array<const std::int64_t, 1> &offsets, std::int64_t rows) {
    const std::int64_t bags = static_cast<std::int64_t>(offsets.shape(0)) - 1;
    if (bags < 0 || offsets.data()[0] != 0) throw nb::value_error("offsets do not start at 0");
    for (std::int64_t bag = 0; bag < bags; ++bag) {
        if (offsets.data()[bag + 1] < offsets.data()[bag]) throw nb::value_error("offsets decrease");
    }
    if (offsets.data()[bags] != static_cast<std::int64_t>(ids.shape(0))) {
        throw nb::value_error("offsets do not end at the number of ids");
    }
    std::uint64_t largest = 0;  // a negative id is huge as unsigned
    for (std::size_t at = 0; at < ids.shape(0); ++at) {
        const std::uint64_t id = static_cast<std::uint64_t>(ids.data()[at]);
        largest = id > largest ? id : largest;
    }
    if (ids.shape(0) > 0 && largest >= static_cast<std::uint64_t>(rows)) throw nb::index_error("an id is out of range");
}

void pool_arrays(nb::ndarray<nb::ndim<2>, nb::c_contig, nb::device::cpu, nb::ro> table, int storage_code,
                 Array<const std::int64_t, 1> ids, Array<const std::int64_t, 1> offsets,
                 std::optional<Array<const float, 1>> weights, std::int64_t padding, bool max, bool mul_then_add,
                 bool divide, Array<float, 2> out, Array<std::int64_t, 1> counts, const std::string &isa_name) {
    if (storage_code < 0 || storage_code > 2) throw nb::value_error("storage code is not 0, 1 or 2");
    const Storage storage = static_cast<Storage>(storage_code);
    const std::size_t element = storage == Storage::fp32 ? 4 : 2;
    if (table.itemsize() != element) throw nb::value_error("the table's elements have the wrong size");
    if (out.shape(0) + 1 != offsets.shape(0) || out.shape(1) != table.shape(1)) {
        throw nb::value_error("out is not [bags, dim]");
    }
    if (counts.shape(0) != out.shape(0)) throw nb::value_error("counts is not [bags]");
    if (weights && weights->shape(0) != ids.shape(0)) throw nb::value_error("weights is not one per id");
    if (weights && max) throw nb::value_error("max takes no weights");
    const Isa isa = isa_named(isa_name);
    check(ids, offsets, static_cast<std::int64_t>(table.shape(0)));

    Step step = Step::add;
    if (max) step = Step::max;
    if (weights) step = mul_then_add ? Step::mul_then_add : Step::fused;
    const Lookup lookup{table.data(), static_cast<std::int64_t>(table.shape(1)), ids.data(), offsets.data(),
                        weights ? weights->data() : nullptr, static_cast<std::int64_t>(out.shape(0)), padding,
                        divide && !max, out.data(), counts.data()};
    nb::gil_scoped_release unlocked;
    pool(lookup, storage, step, isa);
}

std::vector<std::string> isas() {
    std::vector<std::string> names;
    if (has_isa(Isa::avx512)) names.emplace_back("avx512");
    if (has_isa(Isa::avx2)) names.emplace_back("avx2");
    names.emplace_back("portable");
    return names;
}

}  // namespace
}  // namespace embnic

void bind_pooled(nanobind::module_ &m) {
    namespace nb = nanobind;
    m.def("pool", &embnic::pool_arrays, nb::arg("table").noconvert(), nb::arg("storage"), nb::arg("ids").noconvert(), nb::arg("offsets").noconvert(),
          nb::arg("weights").noconvert().none(), nb::kw_only(), nb::arg("padding"), nb::arg("max"), nb::arg("mul_then_add"),
          nb::arg("divide"), nb::arg("out").noconvert(), nb::arg("counts").noconvert(), nb::arg("isa") = "auto",
          "Pool every bag of one table into `out` [bags, dim] float32 and `counts` [bags]; bits as the reference.");
    m.def("isas", &embnic::isas, "Name the instruction sets that `pool` can use here, best first.");
}
