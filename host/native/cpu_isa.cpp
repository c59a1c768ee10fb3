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

const Kernels &kernels_of(Isa isa) {
#ifdef EMBNIC_AVX512
    if (isa == Isa::avx512) return kAvx512;
#endif
#ifdef EMBNIC_AVX2
    if (isa == Isa::avx2) return kAvx2;
#endif
    (void)isa;
    return kPortable;
}

Kernel find_kernel(Isa isa, Kind kind, Step step, std::int64_t dim) {
    for (int level = static_cast<int>(isa); level >= 0; --level) {
        const Kernel found = kernels_of(static_cast<Isa>(level)).find(kind, step, dim);
        if (found != nullptr) return found;
    }
    return kScalar.find(kind, step, dim);
}

}  // namespace embnic::cpu
