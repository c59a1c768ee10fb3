// SPDX-License-Identifier: Apache-2.0
// Checks the header of an ACCUMULATE, TOPK or INTERACT frame, and says how much room its answer takes.
//
// Order          frames as received: a plan each. A frame that was not refused becomes a task when its plan is taken.
// Back-pressure  any cycle, all sides; nothing is lost. m_axis_task_tvalid follows m_axis_plan_tready: no plan is offered
//                while there is no room for a task.
// Latency        5 cycles from a frame to its plan.
// Errors         what the header contradicts (counts, lengths, flags, dim) is in the plan's status, in the order
//                UNSUPPORTED, BAD_REQUEST of dim and counts, TOO_LARGE, BAD_REQUEST of the payload's length.
`default_nettype none
`include "embnic_assert.svh"
module embnic_compute_plan
    import embnic_pkg::*;
    import embnic_wire_pkg::*;
    import embnic_compute_pkg::*;
#(
    parameter int unsigned DATA_W    = 128,  // bus width, bits: 128 or 512
    parameter int unsigned VEC64     = 8,    // longest vector taken, 64-byte units
    parameter int unsigned ROWS      = 64,   // most rows of an ACCUMULATE
    parameter int unsigned REPLY_MAX = 64    // largest reply, 64-byte units
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    input  wire logic [$bits(frame_t)-1:0] s_axis_frame_tdata,   // frame_t
    input  wire logic                      s_axis_frame_tvalid,
    output      logic                      s_axis_frame_tready,
    output      logic [$bits(plan_t)-1:0]  m_axis_plan_tdata,    // plan_t
    output      logic                      m_axis_plan_tvalid,
    input  wire logic                      m_axis_plan_tready,
    input  wire logic [CTX_W-1:0]          plan_ctx,             // with m_axis_plan_tready: the reply's context
    input  wire logic [RSP_W-1:0]          plan_rsp_addr,        // and its first beat in the reply buffer
    output      logic [$bits(task_t)-1:0]  m_axis_task_tdata,    // task_t
    output      logic                      m_axis_task_tvalid,
    input  wire logic                      m_axis_task_tready
);
    localparam int unsigned BPW_LOG2 = $clog2(512 / DATA_W);
    localparam int unsigned LEN_W    = 27;  // bytes of the longest payload that keys and vectors can mean

    typedef enum logic [2:0] {
        PLAN_IDLE,
        PLAN_SIZES,   // units of a vector, pairs of a sample
        PLAN_TOTALS,  // lengths; units of a vector of the reply
        PLAN_REPLY,   // units of the reply
        PLAN_RULES,   // everything compared
        PLAN_OFFER
    } state_e;

    state_e            state_q;
    frame_t            frame;
    header_t           hdr_q;
    logic [KS_W-1:0]   ks_addr_q, ks_beats_q;
    logic [15:0]       payload_len_q;
    kernel_e           kernel;
    logic              last, flags_bad, dim_bad, counts_bad, vec_large_q;
    logic [12:0]       vec64_q;           // 64-byte units of a vector of the request
    logic [9:0]        pairs_q;
    logic [6:0]        units_q, units_d;  // 64-byte units of a vector of the reply
    logic [LEN_W-1:0]  vectors_len_q, entries_len_q;
    logic [22:0]       reply_units_q;
    logic [21:0]       samples_keys_q;    // keys of so many whole samples
    status_e           status_d;
    plan_t             plan_q;
    task_t             made;

    assign frame = frame_t'(s_axis_frame_tdata);
    assign last  = !hdr_q.flags[FLAG_CONTINUES];

    always_comb begin
        unique case (hdr_q.opcode)
            OPCODE_TOPK:     kernel = KERNEL_TOPK;
            OPCODE_INTERACT: kernel = KERNEL_INTERACT;
            default:         kernel = KERNEL_ACCUMULATE;
        endcase
    end

    assign flags_bad = (hdr_q.flags & ~(8'd1 << FLAG_CONTINUES)) != '0 || hdr_q.dtype != DTYPE_FP32;

    always_comb begin
        unique case (kernel)
            KERNEL_TOPK:     dim_bad = hdr_q.dim[0] || hdr_q.dim == '0 || hdr_q.dim > 16'(2 * COMPUTE_K);
            KERNEL_INTERACT: dim_bad = hdr_q.dim == '0 || hdr_q.first_bag < 16'd2 || hdr_q.first_bag > 16'(COMPUTE_VECTORS);
            default:         dim_bad = hdr_q.dim == '0;
        endcase
        counts_bad = hdr_q.keys == '0 || last != (hdr_q.bags != '0) || (kernel == KERNEL_TOPK && hdr_q.bags > 16'd1) ||
                     (kernel == KERNEL_TOPK && !last && hdr_q.keys[0]);
    end

    always_comb begin
        unique case (kernel)
            KERNEL_TOPK:     units_d = 7'((hdr_q.dim[5:0] + 6'd15) >> 4);
            KERNEL_INTERACT: units_d = 7'((pairs_q + 10'd15) >> 4);
            default:         units_d = 7'(vec64_q[3:0]);
        endcase
    end

    always_comb begin
        status_d = STATUS_OK;
        if (flags_bad) begin
            status_d = STATUS_UNSUPPORTED;
        end else if (dim_bad || counts_bad) begin
            status_d = STATUS_BAD_REQUEST;
        end else if (vec_large_q || reply_units_q > 23'(REPLY_MAX) ||
                     (kernel == KERNEL_ACCUMULATE && (hdr_q.bags > 16'(ROWS) || hdr_q.keys > 16'(COMPUTE_KEYS)))) begin
            status_d = STATUS_TOO_LARGE;
        end else if (LEN_W'(payload_len_q) != vectors_len_q + entries_len_q + LEN_W'(BLOCK_BYTES) ||
                     (kernel == KERNEL_INTERACT && hdr_q.bags > 16'd1 && samples_keys_q != 22'(hdr_q.keys))) begin
            status_d = STATUS_BAD_REQUEST;
        end
    end

    always_ff @(posedge clk) begin
        if (s_axis_frame_tvalid && s_axis_frame_tready) begin
            hdr_q         <= frame.hdr;
            ks_addr_q     <= frame.ks_addr;
            ks_beats_q    <= frame.ks_beats;
            payload_len_q <= frame.payload_len;
        end
        vec64_q     <= 13'((17'(hdr_q.dim) + 17'd15) >> 4);
        pairs_q     <= 10'((12'(hdr_q.first_bag[5:0]) * 12'(hdr_q.first_bag[5:0] - 6'd1)) >> 1);
        vec_large_q <= kernel != KERNEL_TOPK && vec64_q > 13'(VEC64);
        units_q     <= units_d;
        vectors_len_q  <= (kernel == KERNEL_TOPK) ? '0 : {1'b0, 20'(hdr_q.keys) * 20'(vec64_q[3:0]), 6'd0};
        samples_keys_q <= 22'(hdr_q.bags) * 22'(hdr_q.first_bag[5:0]);
        unique case (kernel)
            KERNEL_TOPK:     entries_len_q <= {9'd0, (17'(hdr_q.keys) + 17'd1) >> 1, 1'd0} << 2;
            KERNEL_INTERACT: entries_len_q <= '0;
            default:         entries_len_q <= {8'd0, 13'((16'(hdr_q.keys) + 16'd7) >> 3), 6'd0};
        endcase
        reply_units_q <= 23'(hdr_q.bags) * 23'(units_q);
        if (state_q == PLAN_RULES) begin
            plan_q <= '{status: status_d, vec_beats: BEAT_W'(units_q) << BPW_LOG2, bags: hdr_q.bags};
        end
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            state_q <= PLAN_IDLE;
        end else begin
            unique case (state_q)
                PLAN_IDLE:   if (s_axis_frame_tvalid) state_q <= PLAN_SIZES;
                PLAN_SIZES:  state_q <= PLAN_TOTALS;
                PLAN_TOTALS: state_q <= PLAN_REPLY;
                PLAN_REPLY:  state_q <= PLAN_RULES;
                PLAN_RULES:  state_q <= PLAN_OFFER;
                default:     if (m_axis_plan_tvalid && m_axis_plan_tready) state_q <= PLAN_IDLE;
            endcase
        end
    end

    assign s_axis_frame_tready = state_q == PLAN_IDLE;
    assign m_axis_plan_tdata   = plan_q;
    assign m_axis_plan_tvalid  = state_q == PLAN_OFFER && m_axis_task_tready;

    assign made = '{
        kernel:    kernel,
        last:      last,
        ctx:       plan_ctx,
        rsp_addr:  plan_rsp_addr,
        ks_addr:   ks_addr_q,
        ks_beats:  ks_beats_q,
        keys:      hdr_q.keys,
        bags:      hdr_q.bags,
        dim:       hdr_q.dim,
        vectors:   hdr_q.first_bag[5:0],
        beats:     BEAT_W'(vec64_q[3:0]) << BPW_LOG2,
        vec_beats: plan_q.vec_beats
    };
    assign m_axis_task_tdata  = made;
    assign m_axis_task_tvalid = m_axis_plan_tvalid && m_axis_plan_tready && plan_q.status == STATUS_OK;

    wire unused = &{1'b0, frame, hdr_q, vec64_q};

    // Assertions
    `EMBNIC_STABLE(plan_stable, m_axis_plan_tvalid, m_axis_plan_tready, m_axis_plan_tdata,
        "a plan offered holds until it is taken")
    `EMBNIC_KNOWN(ready_known, s_axis_frame_tready, "tready is known after reset")
    `EMBNIC_ASSERT(is_compute, state_q == PLAN_IDLE || hdr_q.opcode == OPCODE_ACCUMULATE || hdr_q.opcode == OPCODE_TOPK ||
        hdr_q.opcode == OPCODE_INTERACT, "only frames of these opcodes come here")
    `EMBNIC_COVER(too_large, state_q == PLAN_RULES && status_d == STATUS_TOO_LARGE, "an answer that is too large")
endmodule
`default_nettype wire
