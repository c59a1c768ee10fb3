// SPDX-License-Identifier: Apache-2.0
// Synthesis top of dequant: interfaces, pragmas, one call.
#include "cores/dequant/dequant.hpp"
#include "embnic/top.hpp"

using namespace embnic;

extern "C" void embnic_dequant_top(Stream<StoredBeat<TopConfig::kLanes>>& beat, Stream<VectorBeat<TopConfig::kLanes>>& vec) {
#ifdef __SYNTHESIS__
#pragma HLS INTERFACE mode = axis port = beat
#pragma HLS INTERFACE mode = axis port = vec
#pragma HLS INTERFACE mode = ap_ctrl_none port = return
#endif
    static Dequant<TopConfig> dequant;
    dequant.run(beat, vec);
}
