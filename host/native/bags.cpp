// SPDX-License-Identifier: Apache-2.0
// Check the arrays that bags are made of in one pass each. The Python twin in bag_arrays.py says what is wrong when a
// check fails here.
#include <cstdint>
#include <cstring>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace {

namespace nb = nanobind;
using Ids = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutIds = nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// The largest value, read as unsigned: a negative one is larger than every row number. 0 without values.
std::uint64_t largest_of(const std::int64_t *values, std::size_t count) {
    std::uint64_t largest = 0;
    for (std::size_t at = 0; at < count; ++at) {
        const std::uint64_t value = static_cast<std::uint64_t>(values[at]);
        largest = value > largest ? value : largest;
    }
    return largest;
}

bool no_negative(const Ids &values) { return largest_of(values.data(), values.shape(0)) >> 63 == 0; }

// Whether the starts begin with 0, never fall and stay within `last`.
bool rising(const Ids &starts, std::int64_t last) {
    std::int64_t before = 0;
    bool right = starts.shape(0) > 0 && starts.data()[0] == 0;
    for (std::size_t at = 0; at < starts.shape(0); ++at) {
        right &= starts.data()[at] >= before;
        before = starts.data()[at];
    }
    return right && before <= last;
}

std::uint64_t largest(const Ids &values) { return largest_of(values.data(), values.shape(0)); }

bool bags_fit(const Ids &values, const Ids &offsets) {
    const std::int64_t ids = static_cast<std::int64_t>(values.shape(0));
    return rising(offsets, ids) && offsets.data()[offsets.shape(0) - 1] == ids && no_negative(values);
}

bool close_bags(const Ids &values, const Ids &starts, const OutIds &offsets) {
    const std::size_t bags = starts.shape(0);
    if (offsets.shape(0) != bags + 1) throw nb::value_error("offsets is not one longer than starts");
    const std::int64_t ids = static_cast<std::int64_t>(values.shape(0));
    if (!rising(starts, ids) || !no_negative(values)) return false;
    std::memcpy(offsets.data(), starts.data(), bags * sizeof(std::int64_t));
    offsets.data()[bags] = ids;
    return true;
}

}  // namespace

void bind_bags(nb::module_ &m) {
    using namespace nanobind::literals;
    m.def("largest", &largest, "values"_a.noconvert(), "The largest of `values` [L] read as unsigned; 0 without any.");
    m.def("bags_fit", &bags_fit, "values"_a.noconvert(), "offsets"_a.noconvert(),
          "Tell whether `offsets` [B + 1] cut `values` [L] into bags, and no value is negative.");
    m.def("close_bags", &close_bags, "values"_a.noconvert(), "starts"_a.noconvert(), "offsets"_a.noconvert(),
          "Do the same for `starts` [B], and fill `offsets` [B + 1] with them and the number of values.");
}
