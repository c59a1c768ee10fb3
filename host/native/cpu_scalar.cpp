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
constexpr int MOST = 4;
#include "cpu_plain.inc"

#include "cpu_kernels.inc"

}  // namespace scalar
}  // namespace

const Kernels kScalar{scalar::find, scalar::in_range};

}  // namespace embnic::cpu
