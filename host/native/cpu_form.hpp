// SPDX-License-Identifier: Apache-2.0
// From a table's description to the layout and the kernels of its rows.
#ifndef EMBNIC_CPU_FORM_HPP
#define EMBNIC_CPU_FORM_HPP

#include "cpu_isa.hpp"
#include "cpu_rows.hpp"

namespace embnic::cpu {

// How a table is stored and pooled; codes are those of the wire.
struct Form {
    int dtype, pooling;
    std::int64_t dim, padding;  // padding: -1 for none
    bool mul_then_add;
    int scale_exp;  // of `fixed` tables
};

// Rows that are asked for ahead where nothing better was measured: as many as touch about 12 KB of cache lines.
std::int64_t default_distance(std::int64_t pitch);

// Rows of `pitch` bytes in the form's layout, still without data; throws std::invalid_argument.
Rows make_rows(const Form &form, std::int64_t pitch, Isa isa);

}  // namespace embnic::cpu

#endif  // EMBNIC_CPU_FORM_HPP
