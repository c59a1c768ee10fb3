// SPDX-License-Identifier: Apache-2.0
// Executes ACCUMULATE, TOPK and INTERACT frames: their payloads go from the key store to the kernels, what these give to
// the reply buffer.
//
// Order          frames as received; each is closed before the next one's payload is taken. What a job of several frames
//                has given so far stays in its kernel.
// Back-pressure  any cycle, all sides; nothing is lost. rsp_wr, bag_done and close wait until whoever goes first (pool and
//                decoder) leaves them a cycle.
// Latency        10 cycles from a plan taken to the payload's first beat in a kernel, and those of the kernel.
// Throughput     one beat of gradients or vectors, or one score, per cycle while the frames of a job are back to back:
//                between the payloads of two frames, 5 cycles. After the last frame of a job the next one waits until the
//                kernel has given everything.
// Errors         each in its answer, and in evt_*: a frame's header by embnic_compute_plan, its place in a job by
//                embnic_compute_jobs; rows that a kernel has no place for TOO_LARGE; more rows than said, or a sample with
//                another number of vectors, BAD_REQUEST; a wrong beat of the key store MEMORY_ERROR, and the job is gone.
// Not handled    rows of tables: the host takes the sums of the gradients and sends an UPDATE.
//
//   plan -> tasks -> reader -> key store -> beats -> [ block | keys | DATA -> kernel -> packer ] -> reply buffer
`default_nettype none
`include "embnic_assert.svh"
module embnic_compute
    import embnic_pkg::*;
    import embnic_wire_pkg::*;
    import embnic_compute_pkg::*;
#(
    parameter int unsigned DATA_W     = 128,  // bus width, bits: 128 or 512
    parameter int unsigned KS_BEATS   = 512,  // key store, beats; power of two
    parameter int unsigned RSP_BEATS  = 512,  // reply buffer, beats; power of two; half for a reply
    parameter int unsigned MAX_VEC64  = 8,    // longest vector of the card in 64-byte units
    parameter int unsigned RAM_STYLE  = 0,    // of the sums of gradients, see embnic_ram_1r1w
    parameter int unsigned UNITS      = 1,    // distances that embnic_interact does at a time
    parameter int unsigned STALE_LOG2 = 18    // see embnic_compute_jobs
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    input  wire logic [$bits(frame_t)-1:0] s_axis_frame_tdata,  // frame_t
    input  wire logic                      s_axis_frame_tvalid,
    output      logic                      s_axis_frame_tready,
    output      logic [$bits(plan_t)-1:0]  m_axis_plan_tdata,   // plan_t: to allocate the reply
    output      logic                      m_axis_plan_tvalid,
    input  wire logic                      m_axis_plan_tready,  // it is allocated, unless refused:
    input  wire logic [CTX_W-1:0]          plan_ctx,
    input  wire logic [RSP_W-1:0]          plan_rsp_addr,
    output      logic                      ks_rd_en,            // key store, latency 2
    output      logic [KS_W-1:0]           ks_rd_addr,
    input  wire logic [DATA_W-1:0]         ks_rd_data,
    input  wire logic                      ks_rd_bad,           // the beat is not as it was written
    output      logic                      rsp_wr_valid,        // reply buffer
    input  wire logic                      rsp_wr_ready,
    output      logic [RSP_W-1:0]          rsp_wr_addr,
    output      logic [DATA_W-1:0]         rsp_wr_data,
    output      logic                      bag_done_valid,      // a vector is there
    input  wire logic                      bag_done_ready,
    output      logic [CTX_W-1:0]          bag_done_ctx,
    output      logic                      close_valid,         // the frame is done
    input  wire logic                      close_ready,
    output      logic [CTX_W-1:0]          close_ctx,
    output      logic [15:0]               close_bags,
    output      status_e                   close_status,
    output      logic                      evt_frame,           // a piece was taken
    output      logic                      evt_job,             // a job's last piece was worked out
    output      logic                      evt_abandoned,       // a job ended before that
    output      logic                      evt_beat             // a beat of payload goes to a kernel
);
    localparam int unsigned BPW       = 512 / DATA_W;
    localparam int unsigned LANES     = DATA_W / 32;
    localparam int unsigned WORDS     = DATA_W / 64;
    localparam int unsigned KS_AW     = $clog2(KS_BEATS);
    localparam int unsigned REPLY_MAX = RSP_BEATS / BPW / 2;
    localparam int unsigned VEC64     = (MAX_VEC64 < COMPUTE_VEC64) ? MAX_VEC64 : COMPUTE_VEC64;
    localparam int unsigned WAYS      = 8;
    localparam int unsigned SETS      = (REPLY_MAX < 2 * WAYS) ? 2 : REPLY_MAX / WAYS;
    localparam int unsigned AHEAD     = 8;                       // beats read ahead
    localparam int unsigned CREDIT_W  = $clog2(AHEAD + 1);
    localparam int unsigned KEY_BEATS = COMPUTE_KEYS / WORDS;
    localparam int unsigned KEY_AW    = $clog2(KEY_BEATS);
    localparam int unsigned KWORD_W    = $clog2(WORDS);
    localparam int unsigned LANE_W    = $clog2(LANES);
    localparam int unsigned GRAD_BEATS = VEC64 * BPW;
    localparam int unsigned GBEAT_W   = $clog2(GRAD_BEATS + 1);
    localparam int unsigned K_W       = $clog2(COMPUTE_K + 1);
    localparam int unsigned V_W       = $clog2(COMPUTE_VECTORS + 1);
    localparam int unsigned IBEAT_W   = $clog2(COMPUTE_VEC64 + 1);

    if (DATA_W != 128 && DATA_W != 512) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 128 or 512");
    end
    if (MAX_VEC64 < 2 || (VEC64 & (VEC64 - 1)) != 0) begin : gen_bad_max_vec64
        $fatal(1, "MAX_VEC64 must be 2, 4, or 8 and more");
    end
    if (REPLY_MAX < 32) begin : gen_bad_rsp_beats
        $fatal(1, "RSP_BEATS must give a reply of 32 units, for the pairs of a sample");
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Tasks
    // -----------------------------------------------------------------------------------------------------------------
    task_t planned, task_head, next_task, task_q;
    logic  planned_valid, planned_ready, head_valid, head_ready, next_valid, next_ready, skid_ready;

    embnic_compute_plan #(.DATA_W(DATA_W), .VEC64(VEC64), .ROWS(SETS * WAYS), .REPLY_MAX(REPLY_MAX)) u_plan (
        .clk, .rst,
        .s_axis_frame_tdata, .s_axis_frame_tvalid, .s_axis_frame_tready,
        .m_axis_plan_tdata, .m_axis_plan_tvalid, .m_axis_plan_tready,
        .plan_ctx, .plan_rsp_addr,
        .m_axis_task_tdata ({planned}),
        .m_axis_task_tvalid(planned_valid),
        .m_axis_task_tready(planned_ready)
    );

    logic [2:0] tasks_held;
    embnic_fifo #(.WIDTH($bits(task_t)), .DEPTH(2), .STYLE(1)) u_tasks (
        .clk, .rst,
        .s_axis_tdata (planned),
        .s_axis_tvalid(planned_valid),
        .s_axis_tready(planned_ready),
        .m_axis_tdata ({task_head}),
        .m_axis_tvalid(head_valid),
        .m_axis_tready(head_ready),
        .sts_count    (tasks_held)
    );

    // -----------------------------------------------------------------------------------------------------------------
    // Reader: the beats of the tasks' payloads, as far ahead as there is room
    // -----------------------------------------------------------------------------------------------------------------
    typedef struct packed {
        logic              bad;
        logic              last;   // of the payload
        logic [DATA_W-1:0] data;
    } beat_in_t;

    logic [KS_W-1:0]     read_left_q;
    logic [KS_AW-1:0]    read_addr_q;
    logic [CREDIT_W-1:0] credit_q;
    logic [1:0]          read_valid_q, read_last_q;  // index: cycles ago, less one
    logic                read_last, beat_valid, beat_pop, beats_ready;
    beat_in_t            beat;
    logic [3:0]          beats_held;

    assign head_ready = (read_left_q == '0 || (ks_rd_en && read_last)) && skid_ready;
    assign ks_rd_en   = read_left_q != '0 && credit_q != '0;
    assign ks_rd_addr = KS_W'(read_addr_q);
    assign read_last  = read_left_q == KS_W'(1);

    always_ff @(posedge clk) begin
        read_last_q <= {read_last_q[0], read_last};
        if (head_valid && head_ready) read_addr_q <= task_head.ks_addr[KS_AW-1:0];
        else if (ks_rd_en)            read_addr_q <= read_addr_q + KS_AW'(1);
        if (rst) begin
            read_left_q  <= '0;
            credit_q     <= CREDIT_W'(AHEAD);
            read_valid_q <= '0;
        end else begin
            if (head_valid && head_ready) read_left_q <= task_head.ks_beats;
            else if (ks_rd_en)            read_left_q <= read_left_q - KS_W'(1);
            credit_q     <= credit_q - CREDIT_W'(ks_rd_en) + CREDIT_W'(beat_pop);
            read_valid_q <= {read_valid_q[0], ks_rd_en};
        end
    end

    embnic_fifo #(.WIDTH($bits(beat_in_t)), .DEPTH(AHEAD), .STYLE(1)) u_beats (
        .clk, .rst,
        .s_axis_tdata ({ks_rd_bad, read_last_q[1], ks_rd_data}),
        .s_axis_tvalid(read_valid_q[1]),
        .s_axis_tready(beats_ready),
        .m_axis_tdata ({beat}),
        .m_axis_tvalid(beat_valid),
        .m_axis_tready(beat_pop),
        .sts_count    (beats_held)
    );

    embnic_skid #(.WIDTH($bits(task_t))) u_next (
        .clk, .rst,
        .s_axis_tdata (task_head),
        .s_axis_tvalid(head_valid && (read_left_q == '0 || (ks_rd_en && read_last))),
        .s_axis_tready(skid_ready),
        .m_axis_tdata ({next_task}),
        .m_axis_tvalid(next_valid),
        .m_axis_tready(next_ready)
    );

    // -----------------------------------------------------------------------------------------------------------------
    // What happens to a task
    // -----------------------------------------------------------------------------------------------------------------
    typedef enum logic [3:0] {
        IDLE,
        BLOCK,    // client, job, piece
        COMPARE,  // with the job under way
        JUDGE,
        ABORT,    // the kernels forget
        KEYS,     // of the gradients
        SETTLE,   // the last of them can be read
        DATA,     // to the kernel
        SKIP,     // the rest is thrown away
        DRAIN,    // the kernel gives what the job comes to
        CLOSE
    } state_e;

    state_e            state_q, state_d, begin_d;
    logic [1:0]        block_beat_q;
    logic [63:0]       client_q, job_q;
    logic [31:0]       piece_q;
    status_e           status_q;
    logic              then_data_q;   // behind ABORT: DATA, not CLOSE
    logic              bad_q;         // a beat of the task was wrong
    logic              abort_q;       // behind SKIP: ABORT
    logic [1:0]        abort_beat_q;
    logic              took_q;        // the piece is in its kernel, or goes there
    logic              sink_ready, data_fire, data_over, judge, takes, give_up, drained, close_free;
    verdict_e          verdict;
    status_e           verdict_status, drain_status;
    logic              job_abandoned;
    logic [15:0]       vectors_q;     // written to the reply buffer
    logic              pieces_whole;

    assign pieces_whole = task_q.kernel == KERNEL_INTERACT && task_q.bags > 16'd1;

    embnic_compute_jobs #(.STALE_LOG2(STALE_LOG2)) u_jobs (
        .clk, .rst,
        .piece_client (client_q),
        .piece_job    (job_q),
        .piece_number (piece_q),
        .piece_vectors(task_q.vectors),
        .piece_dim    (task_q.dim),
        .piece_kernel (task_q.kernel),
        .piece_last   (task_q.last),
        .piece_whole  (pieces_whole),
        .judge, .give_up,
        .finish       (state_q == DRAIN && drained),
        .verdict,
        .status       (verdict_status),
        .evt_abandoned(job_abandoned)
    );

    assign next_ready = state_q == IDLE;
    assign judge      = state_q == JUDGE && !bad_q;
    assign takes      = judge && (verdict == VERDICT_TAKE || verdict == VERDICT_ABORT);
    assign begin_d    = (task_q.kernel == KERNEL_ACCUMULATE) ? KEYS : DATA;
    assign data_over  = data_fire && beat.last && beat_pop;
    assign give_up    = state_q == CLOSE && close_free && bad_q && took_q;

    logic [KEY_AW:0] key_beats, key_beat_q;
    logic            keys_over;
    assign key_beats = (KEY_AW + 1)'((KEY_AW + 4)'((10'(task_q.keys) + 10'd7) >> 3) << $clog2(BPW));
    assign keys_over = beat_valid && key_beat_q + (KEY_AW + 1)'(1) == key_beats;

    always_comb begin
        state_d = state_q;
        unique case (state_q)
            IDLE:    if (next_valid) state_d = BLOCK;
            BLOCK:   if (beat_valid && block_beat_q == 2'(BPW - 1)) state_d = COMPARE;
            COMPARE: state_d = JUDGE;
            JUDGE: begin
                state_d = SKIP;
                if (takes) state_d = (verdict == VERDICT_ABORT) ? ABORT : begin_d;
            end
            ABORT:   if (abort_beat_q == '1) state_d = then_data_q ? begin_d : CLOSE;
            KEYS:    if (keys_over) state_d = SETTLE;
            SETTLE:  state_d = DATA;
            DATA:    if (data_over) state_d = (bad_q || beat.bad) ? ABORT : task_q.last ? DRAIN : CLOSE;
            SKIP:    if (beat_valid && beat.last) state_d = abort_q ? ABORT : CLOSE;
            DRAIN:   if (drained) state_d = CLOSE;
            CLOSE:   if (close_free) state_d = IDLE;
            default: state_d = IDLE;
        endcase
    end

    always_comb begin
        unique case (state_q)
            BLOCK, KEYS, SKIP: beat_pop = beat_valid;
            DATA:              beat_pop = data_fire && sink_ready;
            default:           beat_pop = 1'b0;
        endcase
    end

    if (DATA_W == 128) begin : gen_block
        always_ff @(posedge clk) begin
            if (state_q == BLOCK && beat_valid) begin
                if (block_beat_q == 2'd0) {job_q, client_q} <= beat.data;
                if (block_beat_q == 2'd1) piece_q <= beat.data[31:0];
            end
        end
    end else begin : gen_wide_block
        always_ff @(posedge clk) begin
            if (state_q == BLOCK && beat_valid) {piece_q, job_q, client_q} <= beat.data[159:0];
        end
    end

    always_ff @(posedge clk) begin
        if (state_q == IDLE && next_valid) begin
            task_q       <= next_task;
            block_beat_q <= '0;
            key_beat_q   <= '0;
            bad_q        <= 1'b0;
            status_q     <= STATUS_OK;
            abort_q      <= 1'b0;
            then_data_q  <= 1'b0;
            took_q       <= 1'b0;
        end
        if (state_q == BLOCK && beat_valid) block_beat_q <= block_beat_q + 2'd1;
        if (state_q == KEYS && beat_valid) key_beat_q <= key_beat_q + (KEY_AW + 1)'(1);
        if (beat_pop && beat.bad) bad_q <= 1'b1;
        if (judge) begin
            took_q      <= takes;
            then_data_q <= verdict == VERDICT_ABORT;
            abort_q     <= verdict == VERDICT_BREAK;
            if (verdict == VERDICT_REFUSE || verdict == VERDICT_BREAK) status_q <= verdict_status;
        end
        if (state_q == DATA) then_data_q <= 1'b0;
        if (state_q == DRAIN && drained) status_q <= drain_status;
        abort_beat_q <= (state_q == ABORT) ? abort_beat_q + 2'd1 : '0;
        if (rst) state_q <= IDLE;
        else     state_q <= state_d;
    end

    // The kernels are reset for two cycles, and out of it before anything goes to them: nothing of the job is left.
    logic kernel_rst, kernel_clear_q;
    assign kernel_rst = rst || kernel_clear_q;
    always_ff @(posedge clk) kernel_clear_q <= !rst && state_q == ABORT && !abort_beat_q[1];

    // -----------------------------------------------------------------------------------------------------------------
    // ACCUMULATE: keys wait in a RAM until their gradients come
    // -----------------------------------------------------------------------------------------------------------------
    logic [KEY_AW+KWORD_W-1:0] key_q, key_d;     // gradient that comes, by number
    logic [GBEAT_W-1:0]       grad_beat_q;
    logic                     grad_end, grad_valid, grad_ready;
    logic [DATA_W-1:0]        key_words;
    logic [62:0]              grad_key;
    logic                     unit_last;        // this beat is the job's last one

    assign unit_last  = beat.last && task_q.last;
    assign grad_valid = state_q == DATA && beat_valid && task_q.kernel == KERNEL_ACCUMULATE;
    assign grad_end   = GBEAT_W'(grad_beat_q) + GBEAT_W'(1) == GBEAT_W'(task_q.beats);
    assign key_d      = key_q + (KEY_AW + KWORD_W)'(grad_valid && grad_ready && grad_end);
    assign grad_key   = key_words[64*32'(key_q[KWORD_W-1:0])+:63];

    embnic_ram_1r1w #(.WIDTH(DATA_W), .DEPTH(KEY_BEATS), .STYLE(1)) u_keys (
        .clk,
        .wr_en  (state_q == KEYS && beat_valid),
        .wr_addr(key_beat_q[KEY_AW-1:0]),
        .wr_data(beat.data),
        .rd_en  (1'b1),
        .rd_addr(key_d[KEY_AW+KWORD_W-1:KWORD_W]),
        .rd_data(key_words)
    );

    always_ff @(posedge clk) begin
        if (state_q != DATA) begin
            key_q       <= '0;
            grad_beat_q <= '0;
        end else begin
            key_q <= key_d;
            if (grad_valid && grad_ready) grad_beat_q <= grad_end ? '0 : grad_beat_q + GBEAT_W'(1);
        end
    end

    logic [DATA_W-1:0] row_data;
    logic [62:0]       row_key, fetch_key;
    logic [63:0]       grads_done;
    logic [31:0]       new_state;
    logic              row_valid, row_ready, row_last, grads_done_valid, grads_done_ready, state_valid, state_ready;
    logic              fetch_valid, table_row_ready, grad_idle, evt_wait, evt_grad_refused;

    embnic_grad_accumulate #(
        .DATA_W(DATA_W), .MAX_BEATS(GRAD_BEATS), .SETS(SETS), .WAYS(WAYS), .RAM_STYLE(RAM_STYLE)
    ) u_accumulate (
        .clk,
        .rst                (kernel_rst),
        .s_axis_grad_tdata  (beat.data),
        .s_axis_grad_tuser  (grad_key),
        .s_axis_grad_tvalid (grad_valid),
        .s_axis_grad_tready (grad_ready),
        .s_axis_grad_tlast  (unit_last),
        .m_axis_fetch_tdata (fetch_key),
        .m_axis_fetch_tvalid(fetch_valid),
        .m_axis_fetch_tready(1'b1),
        .s_axis_state_tdata ('0),
        .s_axis_state_tvalid(1'b0),
        .s_axis_state_tready(state_ready),
        .s_axis_row_tdata   ('0),
        .s_axis_row_tvalid  (1'b0),
        .s_axis_row_tready  (table_row_ready),
        .m_axis_state_tdata (new_state),
        .m_axis_state_tvalid(state_valid),
        .m_axis_state_tready(1'b1),
        .m_axis_row_tdata   (row_data),
        .m_axis_row_tuser   (row_key),
        .m_axis_row_tvalid  (row_valid),
        .m_axis_row_tready  (row_ready),
        .m_axis_row_tlast   (row_last),
        .m_axis_done_tdata  (grads_done),
        .m_axis_done_tvalid (grads_done_valid),
        .m_axis_done_tready (grads_done_ready),
        .cfg_rule           (2'd0),
        .cfg_beats          (GBEAT_W'(task_q.beats)),
        .cfg_dim            (task_q.dim),
        .cfg_rate           ('0),
        .cfg_epsilon        ('0),
        .sts_idle           (grad_idle),
        .evt_wait,
        .evt_refused        (evt_grad_refused)
    );

    // -----------------------------------------------------------------------------------------------------------------
    // TOPK: a beat's scores one after the other
    // -----------------------------------------------------------------------------------------------------------------
    logic [LANE_W-1:0] score_lane_q;
    logic [15:0]       scores_left_q;
    logic [31:0]       place_q;          // of the score within its job
    logic              score_valid, score_ready, scores_end, best_valid, best_ready, best_last, topk_idle, evt_nan;
    logic [31:0]       best_score, best_place;

    assign score_valid = state_q == DATA && beat_valid && task_q.kernel == KERNEL_TOPK;
    assign scores_end  = score_lane_q == '1 || scores_left_q == 16'd1;

    always_ff @(posedge clk) begin
        if (state_q != DATA) begin
            score_lane_q  <= '0;
            scores_left_q <= task_q.keys;
        end else if (score_valid && score_ready) begin
            score_lane_q  <= scores_end ? '0 : score_lane_q + LANE_W'(1);
            scores_left_q <= scores_left_q - 16'd1;
        end
        if (takes && piece_q == '0)          place_q <= '0;
        else if (score_valid && score_ready) place_q <= place_q + 32'd1;
    end

    embnic_topk #(.K(COMPUTE_K), .ID_W(32)) u_topk (
        .clk,
        .rst                (kernel_rst),
        .s_axis_score_tdata (beat.data[32*32'(score_lane_q)+:32]),
        .s_axis_score_tuser (place_q),
        .s_axis_score_tvalid(score_valid),
        .s_axis_score_tready(score_ready),
        .s_axis_score_tlast (task_q.last && scores_left_q == 16'd1),
        .m_axis_best_tdata  (best_score),
        .m_axis_best_tuser  (best_place),
        .m_axis_best_tvalid (best_valid),
        .m_axis_best_tready (best_ready),
        .m_axis_best_tlast  (best_last),
        .cfg_k              (K_W'(task_q.dim >> 1)),
        .sts_idle           (topk_idle),
        .evt_refused        (evt_nan)
    );

    // -----------------------------------------------------------------------------------------------------------------
    // INTERACT: beats of 64 bytes, whatever the bus, as the order of the sums is that of 16 lanes
    // -----------------------------------------------------------------------------------------------------------------
    logic         vec_in_valid, vec_in_ready, vec_skid_ready, vec_valid, vec_ready, vec_last, vec_in_last;
    logic [511:0] vec_in, vec_data;
    logic [15:0]  sample_beats_q, sample_beats;  // of 64 bytes, left of the sample
    logic [31:0]  pair_dot;
    logic         pair_valid, pair_ready, pair_last, pair_bad, interact_idle, evt_sample_refused, evt_work;

    // Of a frame with several samples each ends after its vectors; else the job is one sample.
    assign sample_beats = 16'(task_q.vectors) * 16'(task_q.beats >> $clog2(BPW));
    assign vec_in_last  = pieces_whole ? sample_beats_q == 16'd1 : unit_last;

    if (BPW == 1) begin : gen_whole
        assign vec_in       = beat.data;
        assign vec_in_valid = state_q == DATA && beat_valid && task_q.kernel == KERNEL_INTERACT;
        assign vec_in_ready = vec_skid_ready;
    end else begin : gen_gather
        localparam int unsigned PART_W = $clog2(BPW);
        logic [(BPW-1)*DATA_W-1:0] parts_q;  // of this beat so far, the first lowest
        logic [PART_W-1:0]         part_q;
        logic                      vec_here;

        assign vec_here     = state_q == DATA && beat_valid && task_q.kernel == KERNEL_INTERACT;
        assign vec_in       = {beat.data, parts_q};
        assign vec_in_valid = vec_here && part_q == '1;
        assign vec_in_ready = part_q != '1 || vec_skid_ready;

        always_ff @(posedge clk) begin
            if (vec_here && part_q != '1) parts_q <= {beat.data, parts_q[(BPW-1)*DATA_W-1:DATA_W]};
            if (state_q != DATA) part_q <= '0;
            else if (vec_here && vec_in_ready) part_q <= part_q + PART_W'(1);
        end
    end

    always_ff @(posedge clk) begin
        if (state_q != DATA) sample_beats_q <= sample_beats;
        else if (vec_in_valid && vec_skid_ready) sample_beats_q <= vec_in_last ? sample_beats : sample_beats_q - 16'd1;
    end

    embnic_skid #(.WIDTH(513)) u_vectors (
        .clk,
        .rst          (kernel_rst),
        .s_axis_tdata ({vec_in_last, vec_in}),
        .s_axis_tvalid(vec_in_valid),
        .s_axis_tready(vec_skid_ready),
        .m_axis_tdata ({vec_last, vec_data}),
        .m_axis_tvalid(vec_valid),
        .m_axis_tready(vec_ready)
    );

    embnic_interact #(
        .DATA_W(512), .MAX_VECTORS(COMPUTE_VECTORS), .MAX_BEATS(COMPUTE_VEC64), .UNITS(UNITS)
    ) u_interact (
        .clk,
        .rst               (kernel_rst),
        .s_axis_vec_tdata  (vec_data),
        .s_axis_vec_tvalid (vec_valid),
        .s_axis_vec_tready (vec_ready),
        .s_axis_vec_tlast  (vec_last),
        .m_axis_pair_tdata (pair_dot),
        .m_axis_pair_tuser (pair_bad),
        .m_axis_pair_tvalid(pair_valid),
        .m_axis_pair_tready(pair_ready),
        .m_axis_pair_tlast (pair_last),
        .cfg_vectors       (V_W'(task_q.vectors)),
        .cfg_beats         (IBEAT_W'(task_q.beats >> $clog2(BPW))),
        .sts_idle          (interact_idle),
        .evt_refused       (evt_sample_refused),
        .evt_work
    );

    assign data_fire = state_q == DATA && beat_valid;

    always_comb begin
        unique case (task_q.kernel)
            KERNEL_TOPK:     sink_ready = score_ready && scores_end;
            KERNEL_INTERACT: sink_ready = vec_in_ready;
            default:         sink_ready = grad_ready;
        endcase
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Packer: words of 32 bits to beats; rows of gradients are beats already
    // -----------------------------------------------------------------------------------------------------------------
    logic                word_valid, word_ready, word_last, best_half_q;  // of a best one: place, score
    logic [31:0]         word;
    logic [DATA_W-1:0]   pack_q, pack_d;
    logic [LANE_W-1:0]   pack_lane_q;
    logic [BEAT_W-1:0]   pack_beat_q;   // beats of the vector before this one
    logic                pack_pad_q;    // the rest of the vector is zeros
    logic                pack_end, pack_last;
    logic                out_valid_q, out_last_q, out_free, refused_q;
    logic [DATA_W-1:0]   out_data_q;

    assign word_valid = (task_q.kernel == KERNEL_TOPK) ? best_valid : pair_valid && !pair_bad;
    assign word       = (task_q.kernel == KERNEL_TOPK) ? (best_half_q ? best_score : best_place) : pair_dot;
    assign word_last  = (task_q.kernel == KERNEL_TOPK) ? best_last && best_half_q : pair_last;
    assign word_ready = !pack_pad_q && out_free;
    assign best_ready = task_q.kernel == KERNEL_TOPK && word_ready && best_half_q;
    assign pair_ready = pair_bad || (task_q.kernel == KERNEL_INTERACT && word_ready);
    assign row_ready  = out_free;
    assign pack_end   = pack_lane_q == '1 || word_last;
    assign pack_last  = pack_beat_q + BEAT_W'(1) == task_q.vec_beats;

    always_comb begin
        pack_d = pack_q;
        for (int unsigned lane = 0; lane < LANES; lane++) begin
            if (pack_lane_q == LANE_W'(lane)) pack_d[32*lane+:32] = word;
        end
    end

    always_ff @(posedge clk) begin
        if (out_free) begin
            out_data_q <= row_valid ? row_data : pack_pad_q ? '0 : pack_d;
            out_last_q <= row_valid ? row_last : pack_last;
        end
        if (rst) out_valid_q <= 1'b0;
        else if (out_free) out_valid_q <= !kernel_rst && (row_valid || pack_pad_q || (word_valid && pack_end));
        if (kernel_rst) begin
            best_half_q <= 1'b0;
            pack_q      <= '0;
            pack_lane_q <= '0;
            pack_beat_q <= '0;
            pack_pad_q  <= 1'b0;
        end else if (out_free) begin
            if (pack_pad_q) begin
                pack_pad_q  <= !pack_last;
                pack_beat_q <= pack_last ? '0 : pack_beat_q + BEAT_W'(1);
            end else if (word_valid) begin
                best_half_q <= (task_q.kernel == KERNEL_TOPK) && !best_half_q;
                pack_q      <= pack_end ? '0 : pack_d;
                pack_lane_q <= pack_end ? '0 : pack_lane_q + LANE_W'(1);
                if (pack_end) pack_beat_q <= pack_last ? '0 : pack_beat_q + BEAT_W'(1);
                pack_pad_q  <= word_last && !pack_last;
            end
        end
    end

    // -----------------------------------------------------------------------------------------------------------------
    // To the reply buffer; vectors that the reply has no room for are thrown away
    // -----------------------------------------------------------------------------------------------------------------
    logic [RSP_W-1:0] wr_addr_q;
    logic [15:0]      pending_q;        // vectors written, bag_done to come
    logic             out_more, vector_done, too_many_q;

    assign out_more      = vectors_q == task_q.bags;
    assign rsp_wr_valid  = out_valid_q && !out_more;
    assign rsp_wr_addr   = wr_addr_q;
    assign rsp_wr_data   = out_data_q;
    assign out_free      = !out_valid_q || out_more || rsp_wr_ready;
    assign vector_done   = rsp_wr_valid && rsp_wr_ready && out_last_q;
    assign bag_done_valid = pending_q != '0;
    assign bag_done_ctx  = task_q.ctx;

    always_ff @(posedge clk) begin
        if (state_q == BLOCK) begin
            wr_addr_q  <= task_q.rsp_addr;
            vectors_q  <= '0;
            too_many_q <= 1'b0;
            refused_q  <= 1'b0;
        end else begin
            if (rsp_wr_valid && rsp_wr_ready) wr_addr_q <= wr_addr_q + RSP_W'(1);
            if (vector_done) vectors_q <= vectors_q + 16'd1;
            if (out_valid_q && out_more) too_many_q <= 1'b1;
            if (pair_valid && pair_bad) refused_q <= 1'b1;
        end
        if (rst) pending_q <= '0;
        else     pending_q <= pending_q + 16'(vector_done) - 16'(bag_done_valid && bag_done_ready);
    end

    assign grads_done_ready = state_q == DRAIN && drained;

    always_comb begin
        drained      = !out_valid_q && pending_q == '0;
        drain_status = STATUS_OK;
        if (task_q.kernel == KERNEL_ACCUMULATE) begin
            drained = drained && grads_done_valid;
            if (grads_done[63:32] != '0) drain_status = STATUS_TOO_LARGE;
            else if (too_many_q)         drain_status = STATUS_BAD_REQUEST;
        end else begin
            drained = drained && (vectors_q == task_q.bags || refused_q);
            if (refused_q) drain_status = STATUS_BAD_REQUEST;
        end
    end

    // -----------------------------------------------------------------------------------------------------------------
    // The end of a frame
    // -----------------------------------------------------------------------------------------------------------------
    // What was written belongs to the frame that is closed.
    assign close_free = (!close_valid || close_ready) && !out_valid_q && pending_q == '0;

    always_ff @(posedge clk) begin
        if (state_q == CLOSE && close_free) begin
            close_ctx    <= task_q.ctx;
            close_bags   <= vectors_q;
            close_status <= bad_q ? STATUS_MEMORY_ERROR : status_q;
        end
        if (rst) close_valid <= 1'b0;
        else     close_valid <= (state_q == CLOSE && close_free) || (close_valid && !close_ready);
        evt_frame     <= !rst && takes;
        evt_job       <= !rst && state_q == DRAIN && drained;
        evt_abandoned <= !rst && job_abandoned;
    end

    assign evt_beat = beat_pop && state_q == DATA;

    // ACCUMULATE asks for no rows; of the kernels' events those that no counter has.
    wire unused = &{1'b0, task_q, tasks_held, beats_held, row_key, fetch_key, fetch_valid, grads_done[31:0], new_state, state_valid,
        state_ready, table_row_ready, grad_idle, topk_idle, interact_idle, evt_wait, evt_grad_refused, evt_nan,
        evt_sample_refused, evt_work};

    // Assertions
    `EMBNIC_STABLE(frame_stable, s_axis_frame_tvalid, s_axis_frame_tready, s_axis_frame_tdata,
        "a frame offered holds until it is taken")
    `EMBNIC_STABLE(wr_stable, rsp_wr_valid, rsp_wr_ready, {rsp_wr_addr, rsp_wr_data}, "a beat of the reply holds until it is written")
    `EMBNIC_STABLE(close_stable, close_valid, close_ready, {close_ctx, close_bags, close_status}, "a close holds until it is taken")
    `EMBNIC_NEVER(beat_lost, read_valid_q[1] && !beats_ready, "a credit is a place for a beat")
    `EMBNIC_NEVER(credit_overflow, credit_q > CREDIT_W'(AHEAD), "no more credits than places")
    `EMBNIC_NEVER(keys_overflow, state_q == KEYS && key_beats > (KEY_AW + 1)'(KEY_BEATS), "the keys of a frame find places")
    `EMBNIC_NEVER(two_kernels, row_valid && (best_valid || pair_valid), "one kernel gives at a time")
    `EMBNIC_NEVER(idle_output, (row_valid || best_valid || pair_valid) && state_q != DATA && state_q != DRAIN && state_q != ABORT,
        "a kernel gives something only of the job that is worked out")
    `EMBNIC_ASSERT(ends_whole, !data_over || task_q.kernel != KERNEL_ACCUMULATE || grad_end, "a payload ends with a gradient")
    `EMBNIC_COVER(aborted, state_q == ABORT && then_data_q, "a job is given up for another one")
    `EMBNIC_COVER(write_waits, rsp_wr_valid && !rsp_wr_ready, "the pool goes first")
    `EMBNIC_COVER(broken, state_q == CLOSE && bad_q, "a beat of a payload is wrong")
endmodule
`default_nettype wire
