// SPDX-License-Identifier: Apache-2.0
#include "cpu_isa.hpp"

namespace embnic::cpu {

bool has_isa(Isa isa) {
    if (isa == Isa::portable) return true;
#ifdef EMBNIC_AVX2
    __builtin_cpu_init();
    const bool avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (isa == Isa::avx2) return avx2;
#ifdef EMBNIC_AVX512
    if (isa == Isa::avx512) return avx2 && __builtin_cpu_supports("avx512f");
#endif
#endif
    return false;
}

Isa best_isa() {
    if (has_isa(Isa::avx512)) return Isa::avx512;
    return has_isa(Isa::avx2) ? Isa::avx2 : Isa::portable;
}

Kernel find_kernel(Isa isa, Kind kind, Step step, std::int64_t dim) {
    Kernel found = nullptr;
#ifdef EMBNIC_AVX512
    if (isa == Isa::avx512) found = find_avx512(kind, step, dim);
#endif
#ifdef EMBNIC_AVX2
    if (found == nullptr && isa != Isa::portable) found = find_avx2(kind, step, dim);
#endif
    (void)isa;
    if (found == nullptr) found = find_portable(kind, step, dim);
    return found == nullptr ? find_scalar(kind, step, dim) : found;
}

}  // namespace embnic::cpu
