// SPDX-License-Identifier: Apache-2.0
// Synthesis top of row_cache: interfaces, pragmas, two processes.
#include "cores/row_cache/row_cache.hpp"
#include "embnic/top.hpp"

using namespace embnic;

extern "C" void embnic_row_cache_top(Stream<Op>& s_axis_op, Stream<ReadRequest>& m_axi_ar, Stream<ReadBeat<TopConfig::kLanes>>& m_axi_r,
                                     const Lanes<TopConfig::kLanes>* init_rd, Stream<CacheBeat<TopConfig::kLanes>>& beat) {
#ifdef __SYNTHESIS__
#pragma HLS INTERFACE mode = axis port = s_axis_op
#pragma HLS INTERFACE mode = axis port = m_axi_ar
#pragma HLS INTERFACE mode = axis port = m_axi_r
#pragma HLS INTERFACE mode = bram port = init_rd
#pragma HLS INTERFACE mode = axis port = beat
#pragma HLS INTERFACE mode = ap_ctrl_none port = return
#endif
    static RowCache<TopConfig> cache;
    cache.issue(s_axis_op, m_axi_ar);
    cache.execute(m_axi_r, init_rd, beat);
}
