// SPDX-License-Identifier: Apache-2.0
// Synthesis top of interact: interfaces, pragmas, one call.
#include "cores/interact/interact.hpp"
#include "embnic/top.hpp"

using namespace embnic;

using InteractTop = Interact<InteractConfig<TopNamed>>;

extern "C" void embnic_interact_top(Stream<SampleBeat<InteractTop::kLanes>>& s_axis_vec, Stream<PairBeat>& m_axis_pair,
                                    unsigned cfg_vectors, unsigned cfg_beats) {
#ifdef __SYNTHESIS__
#pragma HLS INTERFACE mode = axis port = s_axis_vec
#pragma HLS INTERFACE mode = axis port = m_axis_pair
#pragma HLS INTERFACE mode = ap_none port = cfg_vectors
#pragma HLS INTERFACE mode = ap_none port = cfg_beats
#pragma HLS INTERFACE mode = ap_ctrl_none port = return
#endif
    static InteractTop core;
    core.cfg_vectors = cfg_vectors;
    core.cfg_beats = cfg_beats;
    if (core.setting_is_valid()) core.run(s_axis_vec, m_axis_pair);
}
