// SPDX-License-Identifier: Apache-2.0
// Synthesis top of grad_accumulate: interfaces, pragmas; one call serves a batch.
#include "cores/grad_accumulate/grad_accumulate.hpp"
#include "embnic/top.hpp"

using namespace embnic;

using GradTop = GradAccumulate<GradConfig<TopNamed>>;

extern "C" void embnic_grad_accumulate_top(Stream<GradBeat<GradTop::kLanes>>& s_axis_grad, Stream<std::uint64_t>& m_axis_fetch,
                                           Stream<std::uint32_t>& s_axis_state, Stream<RowBeat<GradTop::kLanes>>& s_axis_row,
                                           Stream<std::uint32_t>& m_axis_state, Stream<RowBeat<GradTop::kLanes>>& m_axis_row,
                                           Stream<GradDone>& m_axis_done, const GradSetting& cfg) {
#ifdef __SYNTHESIS__
#pragma HLS INTERFACE mode = axis port = s_axis_grad
#pragma HLS INTERFACE mode = axis port = m_axis_fetch
#pragma HLS INTERFACE mode = axis port = s_axis_state
#pragma HLS INTERFACE mode = axis port = s_axis_row
#pragma HLS INTERFACE mode = axis port = m_axis_state
#pragma HLS INTERFACE mode = axis port = m_axis_row
#pragma HLS INTERFACE mode = axis port = m_axis_done
#pragma HLS INTERFACE mode = s_axilite port = cfg
#pragma HLS INTERFACE mode = s_axilite port = return
#endif
    static GradTop core;
    core.cfg = cfg;
    if (!core.setting_is_valid() || !core.accumulate(s_axis_grad)) return;
    core.fetch(m_axis_fetch);
    core.drain(s_axis_state, s_axis_row, m_axis_state, m_axis_row, m_axis_done);
}
