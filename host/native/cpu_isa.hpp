// SPDX-License-Identifier: Apache-2.0
// The pooling kernels, once per instruction set, and which of them this processor runs.
#ifndef EMBNIC_CPU_ISA_HPP
#define EMBNIC_CPU_ISA_HPP

#include "cpu_rows.hpp"

namespace embnic::cpu {

// Which instructions do the work. The bits are the same with all of them.
enum class Isa : int { portable, avx2, avx512 };

// The kernel for rows of `dim` elements, or null where these are too few for the vectors.
using Find = Kernel(Kind kind, Step step, std::int64_t dim);

Find find_scalar, find_portable;
#if defined(__x86_64__) && defined(__GNUC__)
#define EMBNIC_AVX2 1
Find find_avx2;
#if __has_include(<avx512fintrin.h>)
#define EMBNIC_AVX512 1
Find find_avx512;
#endif
#endif

bool has_isa(Isa isa);
Isa best_isa();

// The kernel with the widest vectors of `isa` that the dim fills.
Kernel find_kernel(Isa isa, Kind kind, Step step, std::int64_t dim);

}  // namespace embnic::cpu

#endif  // EMBNIC_CPU_ISA_HPP
