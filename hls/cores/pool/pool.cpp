// SPDX-License-Identifier: Apache-2.0
// Synthesis top of pool: interfaces, pragmas, one call.
#include "cores/pool/pool.hpp"
#include "embnic/top.hpp"

using namespace embnic;

extern "C" void embnic_pool_top(Stream<VectorBeat<TopConfig::kLanes>>& vec, Stream<ResponseBeat<TopConfig::kLanes>>& rsp_wr) {
#ifdef __SYNTHESIS__
#pragma HLS INTERFACE mode = axis port = vec
#pragma HLS INTERFACE mode = axis port = rsp_wr
#pragma HLS INTERFACE mode = ap_ctrl_none port = return
#endif
    static Pool<TopConfig> pool;
    pool.run(vec, rsp_wr);
}
