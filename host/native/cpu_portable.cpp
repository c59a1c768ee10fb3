// SPDX-License-Identifier: Apache-2.0
// The kernels without instructions of one processor: 4 elements a vector.
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "cpu_isa.hpp"

namespace embnic::cpu {
namespace {
namespace portable {

constexpr std::int64_t LANES = 4;
constexpr int MOST = 4, MOST_SUM = 8;
#include "cpu_plain.inc"

#include "cpu_kernels.inc"

}  // namespace portable
}  // namespace

Kernel find_portable(Kind kind, Step step, std::int64_t dim) { return portable::find(kind, step, dim); }

}  // namespace embnic::cpu
