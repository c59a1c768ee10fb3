// SPDX-License-Identifier: Apache-2.0
// Types of the kernels beyond pooling: what their modules hand to each other.
`default_nettype none
package embnic_compute_pkg;
    import embnic_pkg::*;

    typedef enum logic [1:0] {
        KERNEL_ACCUMULATE = 2'd0,
        KERNEL_TOPK       = 2'd1,
        KERNEL_INTERACT   = 2'd2
    } kernel_e;

    // What becomes of a piece of a job, see embnic_compute_jobs.
    typedef enum logic [2:0] {
        VERDICT_TAKE   = 3'd0,
        VERDICT_ABORT  = 3'd1,
        VERDICT_AGAIN  = 3'd2,
        VERDICT_REFUSE = 3'd3,
        VERDICT_BREAK  = 3'd4
    } verdict_e;

    // A frame whose header is right and whose reply has room.
    typedef struct packed {
        kernel_e           kernel;
        logic              last;       // piece of its job
        logic [CTX_W-1:0]  ctx;
        logic [RSP_W-1:0]  rsp_addr;   // reply buffer address of the first vector's first beat
        logic [KS_W-1:0]   ks_addr;    // first beat of the payload
        logic [KS_W-1:0]   ks_beats;
        logic [15:0]       keys;       // gradients, scores or vectors
        logic [15:0]       bags;       // vectors of the reply, at most
        logic [15:0]       dim;
        logic [5:0]        vectors;    // INTERACT: of a sample
        logic [BEAT_W-1:0] beats;      // bus beats of a vector of the request
        logic [BEAT_W-1:0] vec_beats;  // and of the reply
    } task_t;
endpackage
`default_nettype wire
