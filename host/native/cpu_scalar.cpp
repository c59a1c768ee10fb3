// SPDX-License-Identifier: Apache-2.0
// The kernels for rows too short for vectors, and for int4 rows of odd length: one element at a time.
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "cpu_isa.hpp"

namespace embnic::cpu {
namespace {
namespace scalar {

constexpr std::int64_t LANES = 1;
constexpr int MOST = 2, MOST_SUM = 2;
#include "cpu_plain.inc"

#include "cpu_kernels.inc"

}  // namespace scalar
}  // namespace

Kernel find_scalar(Kind kind, Step step, std::int64_t dim) { return scalar::find(kind, step, dim); }

}  // namespace embnic::cpu
