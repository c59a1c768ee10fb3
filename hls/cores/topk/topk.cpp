// SPDX-License-Identifier: Apache-2.0
// Synthesis top of topk: interfaces, pragmas, one call.
#include "cores/topk/topk.hpp"
#include "embnic/top.hpp"

using namespace embnic;

extern "C" void embnic_topk_top(Stream<ScoreBeat>& s_axis_score, Stream<ScoreBeat>& m_axis_best, unsigned cfg_k) {
#ifdef __SYNTHESIS__
#pragma HLS INTERFACE mode = axis port = s_axis_score
#pragma HLS INTERFACE mode = axis port = m_axis_best
#pragma HLS INTERFACE mode = ap_none port = cfg_k
#pragma HLS INTERFACE mode = ap_ctrl_none port = return
#endif
    static TopK<TopKConfig> core;
    core.cfg_k = cfg_k;
    core.run(s_axis_score, m_axis_best);
}
