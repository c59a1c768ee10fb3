// SPDX-License-Identifier: Apache-2.0
// Generated from spec/registers.rdl by spec/generate.py, PeakRDL-regblock. Do not edit

module embnic_csr (
        input wire clk,
        input wire rst,

        output logic s_axil_awready,
        input wire s_axil_awvalid,
        input wire [11:0] s_axil_awaddr,
        input wire [2:0] s_axil_awprot,
        output logic s_axil_wready,
        input wire s_axil_wvalid,
        input wire [31:0] s_axil_wdata,
        input wire [3:0]s_axil_wstrb,
        input wire s_axil_bready,
        output logic s_axil_bvalid,
        output logic [1:0] s_axil_bresp,
        output logic s_axil_arready,
        input wire s_axil_arvalid,
        input wire [11:0] s_axil_araddr,
        input wire [2:0] s_axil_arprot,
        input wire s_axil_rready,
        output logic s_axil_rvalid,
        output logic [31:0] s_axil_rdata,
        output logic [1:0] s_axil_rresp,

        input embnic_csr_pkg::embnic_csr__in_t hwif_in,
        output embnic_csr_pkg::embnic_csr__out_t hwif_out
    );

    //--------------------------------------------------------------------------
    // CPU Bus interface logic
    //--------------------------------------------------------------------------
    logic cpuif_req;
    logic cpuif_req_is_wr;
    logic [11:0] cpuif_addr;
    logic [31:0] cpuif_wr_data;
    logic [31:0] cpuif_wr_biten;
    logic cpuif_req_stall_wr;
    logic cpuif_req_stall_rd;

    logic cpuif_rd_ack;
    logic cpuif_rd_err;
    logic [31:0] cpuif_rd_data;

    logic cpuif_wr_ack;
    logic cpuif_wr_err;

    // Max Outstanding Transactions: 3
    logic [1:0] axil_n_in_flight;
    logic axil_prev_was_rd;
    logic axil_arvalid;
    logic [11:0] axil_araddr;
    logic axil_ar_accept;
    logic axil_awvalid;
    logic [11:0] axil_awaddr;
    logic axil_wvalid;
    logic [31:0] axil_wdata;
    logic [3:0] axil_wstrb;
    logic axil_aw_accept;
    logic axil_resp_acked;

    // Transaction request acceptance
    always_ff @(posedge clk) begin
        if(rst) begin
            axil_prev_was_rd <= '0;
            axil_arvalid <= '0;
            axil_araddr <= '0;
            axil_awvalid <= '0;
            axil_awaddr <= '0;
            axil_wvalid <= '0;
            axil_wdata <= '0;
            axil_wstrb <= '0;
            axil_n_in_flight <= '0;
        end else begin
            // AR* acceptance register
            if(axil_ar_accept) begin
                axil_prev_was_rd <= '1;
                axil_arvalid <= '0;
            end
            if(s_axil_arvalid && s_axil_arready) begin
                axil_arvalid <= '1;
                axil_araddr <= s_axil_araddr;
            end

            // AW* & W* acceptance registers
            if(axil_aw_accept) begin
                axil_prev_was_rd <= '0;
                axil_awvalid <= '0;
                axil_wvalid <= '0;
            end
            if(s_axil_awvalid && s_axil_awready) begin
                axil_awvalid <= '1;
                axil_awaddr <= s_axil_awaddr;
            end
            if(s_axil_wvalid && s_axil_wready) begin
                axil_wvalid <= '1;
                axil_wdata <= s_axil_wdata;
                axil_wstrb <= s_axil_wstrb;
            end

            // Keep track of in-flight transactions
            if((axil_ar_accept || axil_aw_accept) && !axil_resp_acked) begin
                axil_n_in_flight <= axil_n_in_flight + 1'b1;
            end else if(!(axil_ar_accept || axil_aw_accept) && axil_resp_acked) begin
                axil_n_in_flight <= axil_n_in_flight - 1'b1;
            end
        end
    end

    always_comb begin
        s_axil_arready = (!axil_arvalid || axil_ar_accept);
        s_axil_awready = (!axil_awvalid || axil_aw_accept);
        s_axil_wready = (!axil_wvalid || axil_aw_accept);
    end

    // Request dispatch
    always_comb begin
        cpuif_wr_data = axil_wdata;
        for(int i=0; i<4; i++) begin
            cpuif_wr_biten[i*8 +: 8] = {8{axil_wstrb[i]}};
        end
        cpuif_req = '0;
        cpuif_req_is_wr = '0;
        cpuif_addr = '0;
        axil_ar_accept = '0;
        axil_aw_accept = '0;

        if(axil_n_in_flight < 2'd3) begin
            // Can safely issue more transactions without overwhelming response buffer
            if(axil_arvalid && !axil_prev_was_rd) begin
                cpuif_req = '1;
                cpuif_req_is_wr = '0;
                cpuif_addr = {axil_araddr[11:2], 2'b0};
                if(!cpuif_req_stall_rd) axil_ar_accept = '1;
            end else if(axil_awvalid && axil_wvalid) begin
                cpuif_req = '1;
                cpuif_req_is_wr = '1;
                cpuif_addr = {axil_awaddr[11:2], 2'b0};
                if(!cpuif_req_stall_wr) axil_aw_accept = '1;
            end else if(axil_arvalid) begin
                cpuif_req = '1;
                cpuif_req_is_wr = '0;
                cpuif_addr = {axil_araddr[11:2], 2'b0};
                if(!cpuif_req_stall_rd) axil_ar_accept = '1;
            end
        end
    end


    // AXI4-Lite Response Logic
    logic axil_resp_buffer_is_wr[4];
    logic axil_resp_buffer_err[4];
    logic [31:0] axil_resp_buffer_rdata[4];
    // axil_resp_buffer is intentionally padded to the next power of two despite
    // only requiring 3 entries.
    // This is to avoid quirks in some tools that cannot handle indexing into a non-power-of-2 array.
    // Unused entries are expected to be optimized away


    logic [2:0] axil_resp_wptr;
    logic [2:0] axil_resp_rptr;

    always_ff @(posedge clk) begin
        if(rst) begin
            for(int i=0; i<3; i++) begin
                axil_resp_buffer_is_wr[i] <= '0;
                axil_resp_buffer_err[i] <= '0;
                axil_resp_buffer_rdata[i] <= '0;
            end
            axil_resp_wptr <= '0;
            axil_resp_rptr <= '0;
        end else begin
            // Store responses in buffer until AXI response channel accepts them
            if(cpuif_rd_ack || cpuif_wr_ack) begin
                if(cpuif_rd_ack) begin
                    axil_resp_buffer_is_wr[axil_resp_wptr[1:0]] <= '0;
                    axil_resp_buffer_err[axil_resp_wptr[1:0]] <= cpuif_rd_err;
                    axil_resp_buffer_rdata[axil_resp_wptr[1:0]] <= cpuif_rd_data;

                end else if(cpuif_wr_ack) begin
                    axil_resp_buffer_is_wr[axil_resp_wptr[1:0]] <= '1;
                    axil_resp_buffer_err[axil_resp_wptr[1:0]] <= cpuif_wr_err;
                end
                if(axil_resp_wptr[1:0] == 2) begin
                    axil_resp_wptr[1:0] <= '0;
                    axil_resp_wptr[2] <= ~axil_resp_wptr[2];
                end else begin
                    axil_resp_wptr[1:0] <= axil_resp_wptr[1:0] + 1'b1;
                end
            end

            // Advance read pointer when acknowledged
            if(axil_resp_acked) begin
                if(axil_resp_rptr[1:0] == 2) begin
                    axil_resp_rptr[1:0] <= '0;
                    axil_resp_rptr[2] <= ~axil_resp_rptr[2];
                end else begin
                    axil_resp_rptr[1:0] <= axil_resp_rptr[1:0] + 1'b1;
                end
            end
        end
    end

    always_comb begin
        axil_resp_acked = '0;
        s_axil_bvalid = '0;
        s_axil_rvalid = '0;
        if(axil_resp_rptr != axil_resp_wptr) begin
            if(axil_resp_buffer_is_wr[axil_resp_rptr[1:0]]) begin
                s_axil_bvalid = '1;
                if(s_axil_bready) axil_resp_acked = '1;
            end else begin
                s_axil_rvalid = '1;
                if(s_axil_rready) axil_resp_acked = '1;
            end
        end

        s_axil_rdata = axil_resp_buffer_rdata[axil_resp_rptr[1:0]];
        if(axil_resp_buffer_err[axil_resp_rptr[1:0]]) begin
            s_axil_bresp = 2'b10;
            s_axil_rresp = 2'b10;
        end else begin
            s_axil_bresp = 2'b00;
            s_axil_rresp = 2'b00;
        end
    end

    logic cpuif_req_masked;

    // Read latency > write latency. May need to delay next write that follows a read
    logic [0:0] cpuif_req_stall_sr;
    always_ff @(posedge clk) begin
        if(rst) begin
            cpuif_req_stall_sr <= '0;
        end else if(cpuif_req && !cpuif_req_is_wr) begin
            cpuif_req_stall_sr <= '1;
        end else begin
            cpuif_req_stall_sr <= (cpuif_req_stall_sr >> 'd1);
        end
    end
    assign cpuif_req_stall_rd = '0;
    assign cpuif_req_stall_wr = cpuif_req_stall_sr[0];
    assign cpuif_req_masked = cpuif_req
                            & !(!cpuif_req_is_wr & cpuif_req_stall_rd)
                            & !(cpuif_req_is_wr & cpuif_req_stall_wr);

    //--------------------------------------------------------------------------
    // Address Decode
    //--------------------------------------------------------------------------
    typedef struct {
        logic MAGIC;
        logic CONTRACT_HASH;
        logic CONFIG_ID;
        logic VERSION;
        logic GIT_HASH;
        logic SCRATCH;
        logic REMOTE_WAITING;
        logic REMOTE_TIMEOUT;
        logic CAP_DATA_W;
        logic CAP_SLOTS;
        logic CAP_MAX_VEC64;
        logic CAP_LINE_BYTES;
        logic CAP_WAYS;
        logic CAP_SETS;
        logic CAP_FETCHES;
        logic CAP_TABLES;
        logic CAP_KS_BYTES;
        logic CAP_REPLY_VEC64;
        logic CAP_CTXS;
        logic CAP_CLIENTS;
        logic INJECT;
        logic CHANNEL_SEL;
        logic CHANNEL_READS;
        logic CACHE;
        logic CAP_CHANNELS;
        logic CAP_REMOTE_FETCHES;
        logic CAP_MERGE_UNITS;
        logic CAP_TREE_K;
        logic CAP_FEATURES;
        logic CAP_BUCKETS;
        logic CAP_ERROR_LOG;
        logic CONTROL;
        logic STATUS;
        logic UDP_PORT;
        logic REPLY_BEATS64;
        logic GEN_TABLE;
        logic GEN_ROW_MASK;
        logic GEN_SHAPE;
        logic GEN_FRAMES;
        logic TABLE_SEL;
        logic TABLE_WORD[8];
        logic TABLE_COMMIT;
        logic MEMORY_TIMEOUT;
        logic MEMORY_OWED;
        logic LATENCY_BUCKET;
        logic LATENCY_COUNT[4];
        logic ERROR_SEL;
        logic ERROR_TOTAL;
        logic ERROR_WORD[5];
        struct {
            logic LO;
            logic HI;
        } CYCLES;
        struct {
            logic LO;
            logic HI;
        } RX_FRAMES;
        struct {
            logic LO;
            logic HI;
        } RX_BYTES;
        struct {
            logic LO;
            logic HI;
        } RX_ACCEPTED;
        struct {
            logic LO;
            logic HI;
        } DROP_NOT_OURS;
        struct {
            logic LO;
            logic HI;
        } DROP_MAC_ERROR;
        struct {
            logic LO;
            logic HI;
        } DROP_LENGTH;
        struct {
            logic LO;
            logic HI;
        } DROP_IP_CHECKSUM;
        struct {
            logic LO;
            logic HI;
        } DROP_VERSION;
        struct {
            logic LO;
            logic HI;
        } DROP_HEADER;
        struct {
            logic LO;
            logic HI;
        } DROP_CRC;
        struct {
            logic LO;
            logic HI;
        } DROP_OVERLOAD;
        struct {
            logic LO;
            logic HI;
        } DROP_TAG;
        struct {
            logic LO;
            logic HI;
        } REQUESTS;
        struct {
            logic LO;
            logic HI;
        } BAGS;
        struct {
            logic LO;
            logic HI;
        } KEYS;
        struct {
            logic LO;
            logic HI;
        } KEYS_NULL;
        struct {
            logic LO;
            logic HI;
        } KEYS_PADDING;
        struct {
            logic LO;
            logic HI;
        } ROW_HITS;
        struct {
            logic LO;
            logic HI;
        } ROW_MISSES;
        struct {
            logic LO;
            logic HI;
        } LINE_HITS;
        struct {
            logic LO;
            logic HI;
        } LINE_MISSES;
        struct {
            logic LO;
            logic HI;
        } EVICTIONS;
        struct {
            logic LO;
            logic HI;
        } FETCH_BEATS;
        struct {
            logic LO;
            logic HI;
        } EXEC_BEATS;
        struct {
            logic LO;
            logic HI;
        } EXEC_EMPTY;
        struct {
            logic LO;
            logic HI;
        } EXEC_FETCH;
        struct {
            logic LO;
            logic HI;
        } EXEC_HAZARD;
        struct {
            logic LO;
            logic HI;
        } STALL_REPLY_SPACE;
        struct {
            logic LO;
            logic HI;
        } TX_FRAMES;
        struct {
            logic LO;
            logic HI;
        } TX_BYTES;
        struct {
            logic LO;
            logic HI;
        } REPLIES;
        struct {
            logic LO;
            logic HI;
        } PARTIALS;
        struct {
            logic LO;
            logic HI;
        } ERRORS;
        struct {
            logic LO;
            logic HI;
        } ACKS;
        struct {
            logic LO;
            logic HI;
        } UPDATES;
        struct {
            logic LO;
            logic HI;
        } UPDATE_ROWS;
        struct {
            logic LO;
            logic HI;
        } UPDATE_DUPLICATES;
        struct {
            logic LO;
            logic HI;
        } MEMORY_ERRORS;
        struct {
            logic LO;
            logic HI;
        } KEYS_REFUSED;
        struct {
            logic LO;
            logic HI;
        } ERRORS_BUSY;
        struct {
            logic LO;
            logic HI;
        } ABANDONED;
        struct {
            logic LO;
            logic HI;
        } SOFT_RESETS;
        struct {
            logic LO;
            logic HI;
        } RESET_TIMEOUTS;
        struct {
            logic LO;
            logic HI;
        } TABLE_COMMITS;
        struct {
            logic LO;
            logic HI;
        } GEN_SENT;
        struct {
            logic LO;
            logic HI;
        } GEN_REPLIES;
        struct {
            logic LO;
            logic HI;
        } GEN_ERRORS;
        struct {
            logic LO;
            logic HI;
        } GEN_BAD;
        struct {
            logic LO;
            logic HI;
        } KEYS_ABANDONED;
        struct {
            logic LO;
            logic HI;
        } SATURATIONS;
        struct {
            logic LO;
            logic HI;
        } PINNED_HITS;
        struct {
            logic LO;
            logic HI;
        } JOINS;
        struct {
            logic LO;
            logic HI;
        } FETCHES;
        struct {
            logic LO;
            logic HI;
        } NO_FREE_WAY;
        struct {
            logic LO;
            logic HI;
        } NOT_ADMITTED;
        struct {
            logic LO;
            logic HI;
        } PREFETCHES;
        struct {
            logic LO;
            logic HI;
        } PREFETCH_ROWS;
        struct {
            logic LO;
            logic HI;
        } MEMORY_TIMEOUTS;
        struct {
            logic LO;
            logic HI;
        } MEMORY_LATE;
        struct {
            logic LO;
            logic HI;
        } PARITY_ROWS;
        struct {
            logic LO;
            logic HI;
        } PARITY_TAGS;
        struct {
            logic LO;
            logic HI;
        } PARITY_KEYS;
        struct {
            logic LO;
            logic HI;
        } PARITY_REPLIES;
        struct {
            logic LO;
            logic HI;
        } INJECTED;
        struct {
            logic LO;
            logic HI;
        } REMOTE_FETCHES;
        struct {
            logic LO;
            logic HI;
        } REMOTE_ANSWERS;
        struct {
            logic LO;
            logic HI;
        } REMOTE_BEATS;
        struct {
            logic LO;
            logic HI;
        } REMOTE_TIMEOUTS;
        struct {
            logic LO;
            logic HI;
        } REMOTE_BROKEN;
        struct {
            logic LO;
            logic HI;
        } REMOTE_STRAYS;
        struct {
            logic LO;
            logic HI;
        } COMPUTE_FRAMES;
        struct {
            logic LO;
            logic HI;
        } COMPUTE_JOBS;
        struct {
            logic LO;
            logic HI;
        } COMPUTE_ABANDONED;
    } decoded_reg_strb_t;
    decoded_reg_strb_t decoded_reg_strb;
    logic decoded_err;
    logic [11:0] decoded_addr;
    logic decoded_req;
    logic decoded_req_is_wr;
    logic [31:0] decoded_wr_data;
    logic [31:0] decoded_wr_biten;

    always_comb begin
        automatic logic is_valid_addr;
        automatic logic is_valid_rw;
        is_valid_addr = '0;
        is_valid_rw = '1; // No valid RW check
        decoded_reg_strb.MAGIC = cpuif_req_masked & (cpuif_addr == 12'h0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h0);
        decoded_reg_strb.CONTRACT_HASH = cpuif_req_masked & (cpuif_addr == 12'h4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h4);
        decoded_reg_strb.CONFIG_ID = cpuif_req_masked & (cpuif_addr == 12'h8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h8);
        decoded_reg_strb.VERSION = cpuif_req_masked & (cpuif_addr == 12'hc) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'hc);
        decoded_reg_strb.GIT_HASH = cpuif_req_masked & (cpuif_addr == 12'h10) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h10);
        decoded_reg_strb.SCRATCH = cpuif_req_masked & (cpuif_addr == 12'h14);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h14);
        decoded_reg_strb.REMOTE_WAITING = cpuif_req_masked & (cpuif_addr == 12'h18) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h18);
        decoded_reg_strb.REMOTE_TIMEOUT = cpuif_req_masked & (cpuif_addr == 12'h1c);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1c);
        decoded_reg_strb.CAP_DATA_W = cpuif_req_masked & (cpuif_addr == 12'h20) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h20);
        decoded_reg_strb.CAP_SLOTS = cpuif_req_masked & (cpuif_addr == 12'h24) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h24);
        decoded_reg_strb.CAP_MAX_VEC64 = cpuif_req_masked & (cpuif_addr == 12'h28) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h28);
        decoded_reg_strb.CAP_LINE_BYTES = cpuif_req_masked & (cpuif_addr == 12'h2c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2c);
        decoded_reg_strb.CAP_WAYS = cpuif_req_masked & (cpuif_addr == 12'h30) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h30);
        decoded_reg_strb.CAP_SETS = cpuif_req_masked & (cpuif_addr == 12'h34) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h34);
        decoded_reg_strb.CAP_FETCHES = cpuif_req_masked & (cpuif_addr == 12'h38) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h38);
        decoded_reg_strb.CAP_TABLES = cpuif_req_masked & (cpuif_addr == 12'h3c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h3c);
        decoded_reg_strb.CAP_KS_BYTES = cpuif_req_masked & (cpuif_addr == 12'h40) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h40);
        decoded_reg_strb.CAP_REPLY_VEC64 = cpuif_req_masked & (cpuif_addr == 12'h44) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h44);
        decoded_reg_strb.CAP_CTXS = cpuif_req_masked & (cpuif_addr == 12'h48) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h48);
        decoded_reg_strb.CAP_CLIENTS = cpuif_req_masked & (cpuif_addr == 12'h4c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h4c);
        decoded_reg_strb.INJECT = cpuif_req_masked & (cpuif_addr == 12'h50);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h50);
        decoded_reg_strb.CHANNEL_SEL = cpuif_req_masked & (cpuif_addr == 12'h54);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h54);
        decoded_reg_strb.CHANNEL_READS = cpuif_req_masked & (cpuif_addr == 12'h58) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h58);
        decoded_reg_strb.CACHE = cpuif_req_masked & (cpuif_addr == 12'h5c);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h5c);
        decoded_reg_strb.CAP_CHANNELS = cpuif_req_masked & (cpuif_addr == 12'h60) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h60);
        decoded_reg_strb.CAP_REMOTE_FETCHES = cpuif_req_masked & (cpuif_addr == 12'h64) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h64);
        decoded_reg_strb.CAP_MERGE_UNITS = cpuif_req_masked & (cpuif_addr == 12'h68) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h68);
        decoded_reg_strb.CAP_TREE_K = cpuif_req_masked & (cpuif_addr == 12'h6c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h6c);
        decoded_reg_strb.CAP_FEATURES = cpuif_req_masked & (cpuif_addr == 12'h70) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h70);
        decoded_reg_strb.CAP_BUCKETS = cpuif_req_masked & (cpuif_addr == 12'h74) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h74);
        decoded_reg_strb.CAP_ERROR_LOG = cpuif_req_masked & (cpuif_addr == 12'h78) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h78);
        decoded_reg_strb.CONTROL = cpuif_req_masked & (cpuif_addr == 12'h80);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h80);
        decoded_reg_strb.STATUS = cpuif_req_masked & (cpuif_addr == 12'h84) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h84);
        decoded_reg_strb.UDP_PORT = cpuif_req_masked & (cpuif_addr == 12'h88);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h88);
        decoded_reg_strb.REPLY_BEATS64 = cpuif_req_masked & (cpuif_addr == 12'h8c);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h8c);
        decoded_reg_strb.GEN_TABLE = cpuif_req_masked & (cpuif_addr == 12'h90);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h90);
        decoded_reg_strb.GEN_ROW_MASK = cpuif_req_masked & (cpuif_addr == 12'h94);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h94);
        decoded_reg_strb.GEN_SHAPE = cpuif_req_masked & (cpuif_addr == 12'h98);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h98);
        decoded_reg_strb.GEN_FRAMES = cpuif_req_masked & (cpuif_addr == 12'h9c);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h9c);
        decoded_reg_strb.TABLE_SEL = cpuif_req_masked & (cpuif_addr == 12'ha0);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'ha0);
        for(int i0=0; i0<8; i0++) begin
            decoded_reg_strb.TABLE_WORD[i0] = cpuif_req_masked & (cpuif_addr == 12'ha4 + (12)'(i0) * 12'h4);
            is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'ha4 + (12)'(i0) * 12'h4);
        end
        decoded_reg_strb.TABLE_COMMIT = cpuif_req_masked & (cpuif_addr == 12'hc4);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'hc4);
        decoded_reg_strb.MEMORY_TIMEOUT = cpuif_req_masked & (cpuif_addr == 12'hc8);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'hc8);
        decoded_reg_strb.MEMORY_OWED = cpuif_req_masked & (cpuif_addr == 12'hcc) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'hcc);
        decoded_reg_strb.LATENCY_BUCKET = cpuif_req_masked & (cpuif_addr == 12'hd0);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'hd0);
        for(int i0=0; i0<4; i0++) begin
            decoded_reg_strb.LATENCY_COUNT[i0] = cpuif_req_masked & (cpuif_addr == 12'hd4 + (12)'(i0) * 12'h4) & !cpuif_req_is_wr;
            is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'hd4 + (12)'(i0) * 12'h4);
        end
        decoded_reg_strb.ERROR_SEL = cpuif_req_masked & (cpuif_addr == 12'he4);
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'he4);
        decoded_reg_strb.ERROR_TOTAL = cpuif_req_masked & (cpuif_addr == 12'he8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'he8);
        for(int i0=0; i0<5; i0++) begin
            decoded_reg_strb.ERROR_WORD[i0] = cpuif_req_masked & (cpuif_addr == 12'hec + (12)'(i0) * 12'h4) & !cpuif_req_is_wr;
            is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'hec + (12)'(i0) * 12'h4);
        end
        decoded_reg_strb.CYCLES.LO = cpuif_req_masked & (cpuif_addr == 12'h100) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h100);
        decoded_reg_strb.CYCLES.HI = cpuif_req_masked & (cpuif_addr == 12'h104) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h104);
        decoded_reg_strb.RX_FRAMES.LO = cpuif_req_masked & (cpuif_addr == 12'h108) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h108);
        decoded_reg_strb.RX_FRAMES.HI = cpuif_req_masked & (cpuif_addr == 12'h10c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h10c);
        decoded_reg_strb.RX_BYTES.LO = cpuif_req_masked & (cpuif_addr == 12'h110) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h110);
        decoded_reg_strb.RX_BYTES.HI = cpuif_req_masked & (cpuif_addr == 12'h114) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h114);
        decoded_reg_strb.RX_ACCEPTED.LO = cpuif_req_masked & (cpuif_addr == 12'h118) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h118);
        decoded_reg_strb.RX_ACCEPTED.HI = cpuif_req_masked & (cpuif_addr == 12'h11c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h11c);
        decoded_reg_strb.DROP_NOT_OURS.LO = cpuif_req_masked & (cpuif_addr == 12'h120) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h120);
        decoded_reg_strb.DROP_NOT_OURS.HI = cpuif_req_masked & (cpuif_addr == 12'h124) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h124);
        decoded_reg_strb.DROP_MAC_ERROR.LO = cpuif_req_masked & (cpuif_addr == 12'h128) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h128);
        decoded_reg_strb.DROP_MAC_ERROR.HI = cpuif_req_masked & (cpuif_addr == 12'h12c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h12c);
        decoded_reg_strb.DROP_LENGTH.LO = cpuif_req_masked & (cpuif_addr == 12'h130) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h130);
        decoded_reg_strb.DROP_LENGTH.HI = cpuif_req_masked & (cpuif_addr == 12'h134) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h134);
        decoded_reg_strb.DROP_IP_CHECKSUM.LO = cpuif_req_masked & (cpuif_addr == 12'h138) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h138);
        decoded_reg_strb.DROP_IP_CHECKSUM.HI = cpuif_req_masked & (cpuif_addr == 12'h13c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h13c);
        decoded_reg_strb.DROP_VERSION.LO = cpuif_req_masked & (cpuif_addr == 12'h140) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h140);
        decoded_reg_strb.DROP_VERSION.HI = cpuif_req_masked & (cpuif_addr == 12'h144) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h144);
        decoded_reg_strb.DROP_HEADER.LO = cpuif_req_masked & (cpuif_addr == 12'h148) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h148);
        decoded_reg_strb.DROP_HEADER.HI = cpuif_req_masked & (cpuif_addr == 12'h14c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h14c);
        decoded_reg_strb.DROP_CRC.LO = cpuif_req_masked & (cpuif_addr == 12'h150) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h150);
        decoded_reg_strb.DROP_CRC.HI = cpuif_req_masked & (cpuif_addr == 12'h154) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h154);
        decoded_reg_strb.DROP_OVERLOAD.LO = cpuif_req_masked & (cpuif_addr == 12'h158) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h158);
        decoded_reg_strb.DROP_OVERLOAD.HI = cpuif_req_masked & (cpuif_addr == 12'h15c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h15c);
        decoded_reg_strb.DROP_TAG.LO = cpuif_req_masked & (cpuif_addr == 12'h160) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h160);
        decoded_reg_strb.DROP_TAG.HI = cpuif_req_masked & (cpuif_addr == 12'h164) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h164);
        decoded_reg_strb.REQUESTS.LO = cpuif_req_masked & (cpuif_addr == 12'h168) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h168);
        decoded_reg_strb.REQUESTS.HI = cpuif_req_masked & (cpuif_addr == 12'h16c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h16c);
        decoded_reg_strb.BAGS.LO = cpuif_req_masked & (cpuif_addr == 12'h170) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h170);
        decoded_reg_strb.BAGS.HI = cpuif_req_masked & (cpuif_addr == 12'h174) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h174);
        decoded_reg_strb.KEYS.LO = cpuif_req_masked & (cpuif_addr == 12'h178) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h178);
        decoded_reg_strb.KEYS.HI = cpuif_req_masked & (cpuif_addr == 12'h17c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h17c);
        decoded_reg_strb.KEYS_NULL.LO = cpuif_req_masked & (cpuif_addr == 12'h180) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h180);
        decoded_reg_strb.KEYS_NULL.HI = cpuif_req_masked & (cpuif_addr == 12'h184) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h184);
        decoded_reg_strb.KEYS_PADDING.LO = cpuif_req_masked & (cpuif_addr == 12'h188) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h188);
        decoded_reg_strb.KEYS_PADDING.HI = cpuif_req_masked & (cpuif_addr == 12'h18c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h18c);
        decoded_reg_strb.ROW_HITS.LO = cpuif_req_masked & (cpuif_addr == 12'h190) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h190);
        decoded_reg_strb.ROW_HITS.HI = cpuif_req_masked & (cpuif_addr == 12'h194) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h194);
        decoded_reg_strb.ROW_MISSES.LO = cpuif_req_masked & (cpuif_addr == 12'h198) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h198);
        decoded_reg_strb.ROW_MISSES.HI = cpuif_req_masked & (cpuif_addr == 12'h19c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h19c);
        decoded_reg_strb.LINE_HITS.LO = cpuif_req_masked & (cpuif_addr == 12'h1a0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1a0);
        decoded_reg_strb.LINE_HITS.HI = cpuif_req_masked & (cpuif_addr == 12'h1a4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1a4);
        decoded_reg_strb.LINE_MISSES.LO = cpuif_req_masked & (cpuif_addr == 12'h1a8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1a8);
        decoded_reg_strb.LINE_MISSES.HI = cpuif_req_masked & (cpuif_addr == 12'h1ac) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1ac);
        decoded_reg_strb.EVICTIONS.LO = cpuif_req_masked & (cpuif_addr == 12'h1b0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1b0);
        decoded_reg_strb.EVICTIONS.HI = cpuif_req_masked & (cpuif_addr == 12'h1b4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1b4);
        decoded_reg_strb.FETCH_BEATS.LO = cpuif_req_masked & (cpuif_addr == 12'h1b8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1b8);
        decoded_reg_strb.FETCH_BEATS.HI = cpuif_req_masked & (cpuif_addr == 12'h1bc) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1bc);
        decoded_reg_strb.EXEC_BEATS.LO = cpuif_req_masked & (cpuif_addr == 12'h1c0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1c0);
        decoded_reg_strb.EXEC_BEATS.HI = cpuif_req_masked & (cpuif_addr == 12'h1c4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1c4);
        decoded_reg_strb.EXEC_EMPTY.LO = cpuif_req_masked & (cpuif_addr == 12'h1c8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1c8);
        decoded_reg_strb.EXEC_EMPTY.HI = cpuif_req_masked & (cpuif_addr == 12'h1cc) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1cc);
        decoded_reg_strb.EXEC_FETCH.LO = cpuif_req_masked & (cpuif_addr == 12'h1d0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1d0);
        decoded_reg_strb.EXEC_FETCH.HI = cpuif_req_masked & (cpuif_addr == 12'h1d4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1d4);
        decoded_reg_strb.EXEC_HAZARD.LO = cpuif_req_masked & (cpuif_addr == 12'h1d8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1d8);
        decoded_reg_strb.EXEC_HAZARD.HI = cpuif_req_masked & (cpuif_addr == 12'h1dc) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1dc);
        decoded_reg_strb.STALL_REPLY_SPACE.LO = cpuif_req_masked & (cpuif_addr == 12'h1e0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1e0);
        decoded_reg_strb.STALL_REPLY_SPACE.HI = cpuif_req_masked & (cpuif_addr == 12'h1e4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1e4);
        decoded_reg_strb.TX_FRAMES.LO = cpuif_req_masked & (cpuif_addr == 12'h1e8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1e8);
        decoded_reg_strb.TX_FRAMES.HI = cpuif_req_masked & (cpuif_addr == 12'h1ec) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1ec);
        decoded_reg_strb.TX_BYTES.LO = cpuif_req_masked & (cpuif_addr == 12'h1f0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1f0);
        decoded_reg_strb.TX_BYTES.HI = cpuif_req_masked & (cpuif_addr == 12'h1f4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1f4);
        decoded_reg_strb.REPLIES.LO = cpuif_req_masked & (cpuif_addr == 12'h1f8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1f8);
        decoded_reg_strb.REPLIES.HI = cpuif_req_masked & (cpuif_addr == 12'h1fc) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h1fc);
        decoded_reg_strb.PARTIALS.LO = cpuif_req_masked & (cpuif_addr == 12'h200) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h200);
        decoded_reg_strb.PARTIALS.HI = cpuif_req_masked & (cpuif_addr == 12'h204) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h204);
        decoded_reg_strb.ERRORS.LO = cpuif_req_masked & (cpuif_addr == 12'h208) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h208);
        decoded_reg_strb.ERRORS.HI = cpuif_req_masked & (cpuif_addr == 12'h20c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h20c);
        decoded_reg_strb.ACKS.LO = cpuif_req_masked & (cpuif_addr == 12'h210) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h210);
        decoded_reg_strb.ACKS.HI = cpuif_req_masked & (cpuif_addr == 12'h214) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h214);
        decoded_reg_strb.UPDATES.LO = cpuif_req_masked & (cpuif_addr == 12'h218) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h218);
        decoded_reg_strb.UPDATES.HI = cpuif_req_masked & (cpuif_addr == 12'h21c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h21c);
        decoded_reg_strb.UPDATE_ROWS.LO = cpuif_req_masked & (cpuif_addr == 12'h220) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h220);
        decoded_reg_strb.UPDATE_ROWS.HI = cpuif_req_masked & (cpuif_addr == 12'h224) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h224);
        decoded_reg_strb.UPDATE_DUPLICATES.LO = cpuif_req_masked & (cpuif_addr == 12'h228) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h228);
        decoded_reg_strb.UPDATE_DUPLICATES.HI = cpuif_req_masked & (cpuif_addr == 12'h22c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h22c);
        decoded_reg_strb.MEMORY_ERRORS.LO = cpuif_req_masked & (cpuif_addr == 12'h230) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h230);
        decoded_reg_strb.MEMORY_ERRORS.HI = cpuif_req_masked & (cpuif_addr == 12'h234) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h234);
        decoded_reg_strb.KEYS_REFUSED.LO = cpuif_req_masked & (cpuif_addr == 12'h238) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h238);
        decoded_reg_strb.KEYS_REFUSED.HI = cpuif_req_masked & (cpuif_addr == 12'h23c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h23c);
        decoded_reg_strb.ERRORS_BUSY.LO = cpuif_req_masked & (cpuif_addr == 12'h240) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h240);
        decoded_reg_strb.ERRORS_BUSY.HI = cpuif_req_masked & (cpuif_addr == 12'h244) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h244);
        decoded_reg_strb.ABANDONED.LO = cpuif_req_masked & (cpuif_addr == 12'h248) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h248);
        decoded_reg_strb.ABANDONED.HI = cpuif_req_masked & (cpuif_addr == 12'h24c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h24c);
        decoded_reg_strb.SOFT_RESETS.LO = cpuif_req_masked & (cpuif_addr == 12'h250) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h250);
        decoded_reg_strb.SOFT_RESETS.HI = cpuif_req_masked & (cpuif_addr == 12'h254) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h254);
        decoded_reg_strb.RESET_TIMEOUTS.LO = cpuif_req_masked & (cpuif_addr == 12'h258) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h258);
        decoded_reg_strb.RESET_TIMEOUTS.HI = cpuif_req_masked & (cpuif_addr == 12'h25c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h25c);
        decoded_reg_strb.TABLE_COMMITS.LO = cpuif_req_masked & (cpuif_addr == 12'h260) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h260);
        decoded_reg_strb.TABLE_COMMITS.HI = cpuif_req_masked & (cpuif_addr == 12'h264) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h264);
        decoded_reg_strb.GEN_SENT.LO = cpuif_req_masked & (cpuif_addr == 12'h268) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h268);
        decoded_reg_strb.GEN_SENT.HI = cpuif_req_masked & (cpuif_addr == 12'h26c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h26c);
        decoded_reg_strb.GEN_REPLIES.LO = cpuif_req_masked & (cpuif_addr == 12'h270) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h270);
        decoded_reg_strb.GEN_REPLIES.HI = cpuif_req_masked & (cpuif_addr == 12'h274) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h274);
        decoded_reg_strb.GEN_ERRORS.LO = cpuif_req_masked & (cpuif_addr == 12'h278) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h278);
        decoded_reg_strb.GEN_ERRORS.HI = cpuif_req_masked & (cpuif_addr == 12'h27c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h27c);
        decoded_reg_strb.GEN_BAD.LO = cpuif_req_masked & (cpuif_addr == 12'h280) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h280);
        decoded_reg_strb.GEN_BAD.HI = cpuif_req_masked & (cpuif_addr == 12'h284) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h284);
        decoded_reg_strb.KEYS_ABANDONED.LO = cpuif_req_masked & (cpuif_addr == 12'h288) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h288);
        decoded_reg_strb.KEYS_ABANDONED.HI = cpuif_req_masked & (cpuif_addr == 12'h28c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h28c);
        decoded_reg_strb.SATURATIONS.LO = cpuif_req_masked & (cpuif_addr == 12'h290) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h290);
        decoded_reg_strb.SATURATIONS.HI = cpuif_req_masked & (cpuif_addr == 12'h294) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h294);
        decoded_reg_strb.PINNED_HITS.LO = cpuif_req_masked & (cpuif_addr == 12'h298) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h298);
        decoded_reg_strb.PINNED_HITS.HI = cpuif_req_masked & (cpuif_addr == 12'h29c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h29c);
        decoded_reg_strb.JOINS.LO = cpuif_req_masked & (cpuif_addr == 12'h2a0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2a0);
        decoded_reg_strb.JOINS.HI = cpuif_req_masked & (cpuif_addr == 12'h2a4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2a4);
        decoded_reg_strb.FETCHES.LO = cpuif_req_masked & (cpuif_addr == 12'h2a8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2a8);
        decoded_reg_strb.FETCHES.HI = cpuif_req_masked & (cpuif_addr == 12'h2ac) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2ac);
        decoded_reg_strb.NO_FREE_WAY.LO = cpuif_req_masked & (cpuif_addr == 12'h2b0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2b0);
        decoded_reg_strb.NO_FREE_WAY.HI = cpuif_req_masked & (cpuif_addr == 12'h2b4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2b4);
        decoded_reg_strb.NOT_ADMITTED.LO = cpuif_req_masked & (cpuif_addr == 12'h2b8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2b8);
        decoded_reg_strb.NOT_ADMITTED.HI = cpuif_req_masked & (cpuif_addr == 12'h2bc) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2bc);
        decoded_reg_strb.PREFETCHES.LO = cpuif_req_masked & (cpuif_addr == 12'h2c0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2c0);
        decoded_reg_strb.PREFETCHES.HI = cpuif_req_masked & (cpuif_addr == 12'h2c4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2c4);
        decoded_reg_strb.PREFETCH_ROWS.LO = cpuif_req_masked & (cpuif_addr == 12'h2c8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2c8);
        decoded_reg_strb.PREFETCH_ROWS.HI = cpuif_req_masked & (cpuif_addr == 12'h2cc) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2cc);
        decoded_reg_strb.MEMORY_TIMEOUTS.LO = cpuif_req_masked & (cpuif_addr == 12'h2d0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2d0);
        decoded_reg_strb.MEMORY_TIMEOUTS.HI = cpuif_req_masked & (cpuif_addr == 12'h2d4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2d4);
        decoded_reg_strb.MEMORY_LATE.LO = cpuif_req_masked & (cpuif_addr == 12'h2d8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2d8);
        decoded_reg_strb.MEMORY_LATE.HI = cpuif_req_masked & (cpuif_addr == 12'h2dc) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2dc);
        decoded_reg_strb.PARITY_ROWS.LO = cpuif_req_masked & (cpuif_addr == 12'h2e0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2e0);
        decoded_reg_strb.PARITY_ROWS.HI = cpuif_req_masked & (cpuif_addr == 12'h2e4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2e4);
        decoded_reg_strb.PARITY_TAGS.LO = cpuif_req_masked & (cpuif_addr == 12'h2e8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2e8);
        decoded_reg_strb.PARITY_TAGS.HI = cpuif_req_masked & (cpuif_addr == 12'h2ec) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2ec);
        decoded_reg_strb.PARITY_KEYS.LO = cpuif_req_masked & (cpuif_addr == 12'h2f0) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2f0);
        decoded_reg_strb.PARITY_KEYS.HI = cpuif_req_masked & (cpuif_addr == 12'h2f4) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2f4);
        decoded_reg_strb.PARITY_REPLIES.LO = cpuif_req_masked & (cpuif_addr == 12'h2f8) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2f8);
        decoded_reg_strb.PARITY_REPLIES.HI = cpuif_req_masked & (cpuif_addr == 12'h2fc) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h2fc);
        decoded_reg_strb.INJECTED.LO = cpuif_req_masked & (cpuif_addr == 12'h300) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h300);
        decoded_reg_strb.INJECTED.HI = cpuif_req_masked & (cpuif_addr == 12'h304) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h304);
        decoded_reg_strb.REMOTE_FETCHES.LO = cpuif_req_masked & (cpuif_addr == 12'h308) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h308);
        decoded_reg_strb.REMOTE_FETCHES.HI = cpuif_req_masked & (cpuif_addr == 12'h30c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h30c);
        decoded_reg_strb.REMOTE_ANSWERS.LO = cpuif_req_masked & (cpuif_addr == 12'h310) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h310);
        decoded_reg_strb.REMOTE_ANSWERS.HI = cpuif_req_masked & (cpuif_addr == 12'h314) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h314);
        decoded_reg_strb.REMOTE_BEATS.LO = cpuif_req_masked & (cpuif_addr == 12'h318) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h318);
        decoded_reg_strb.REMOTE_BEATS.HI = cpuif_req_masked & (cpuif_addr == 12'h31c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h31c);
        decoded_reg_strb.REMOTE_TIMEOUTS.LO = cpuif_req_masked & (cpuif_addr == 12'h320) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h320);
        decoded_reg_strb.REMOTE_TIMEOUTS.HI = cpuif_req_masked & (cpuif_addr == 12'h324) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h324);
        decoded_reg_strb.REMOTE_BROKEN.LO = cpuif_req_masked & (cpuif_addr == 12'h328) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h328);
        decoded_reg_strb.REMOTE_BROKEN.HI = cpuif_req_masked & (cpuif_addr == 12'h32c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h32c);
        decoded_reg_strb.REMOTE_STRAYS.LO = cpuif_req_masked & (cpuif_addr == 12'h330) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h330);
        decoded_reg_strb.REMOTE_STRAYS.HI = cpuif_req_masked & (cpuif_addr == 12'h334) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h334);
        decoded_reg_strb.COMPUTE_FRAMES.LO = cpuif_req_masked & (cpuif_addr == 12'h338) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h338);
        decoded_reg_strb.COMPUTE_FRAMES.HI = cpuif_req_masked & (cpuif_addr == 12'h33c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h33c);
        decoded_reg_strb.COMPUTE_JOBS.LO = cpuif_req_masked & (cpuif_addr == 12'h340) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h340);
        decoded_reg_strb.COMPUTE_JOBS.HI = cpuif_req_masked & (cpuif_addr == 12'h344) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h344);
        decoded_reg_strb.COMPUTE_ABANDONED.LO = cpuif_req_masked & (cpuif_addr == 12'h348) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h348);
        decoded_reg_strb.COMPUTE_ABANDONED.HI = cpuif_req_masked & (cpuif_addr == 12'h34c) & !cpuif_req_is_wr;
        is_valid_addr |= cpuif_req_masked & (cpuif_addr == 12'h34c);
        decoded_err = ~is_valid_addr & decoded_req;
    end

    // Pass down signals to next stage
    assign decoded_addr = cpuif_addr;
    assign decoded_req = cpuif_req_masked;
    assign decoded_req_is_wr = cpuif_req_is_wr;
    assign decoded_wr_data = cpuif_wr_data;
    assign decoded_wr_biten = cpuif_wr_biten;

    //--------------------------------------------------------------------------
    // Field logic
    //--------------------------------------------------------------------------
    typedef struct {
        struct {
            struct {
                logic [31:0] next;
                logic load_next;
            } value;
        } SCRATCH;
        struct {
            struct {
                logic [15:0] next;
                logic load_next;
            } kilocycles;
        } REMOTE_TIMEOUT;
        struct {
            struct {
                logic [2:0] next;
                logic load_next;
            } memory;
            struct {
                logic [2:0] next;
                logic load_next;
            } place;
            struct {
                logic next;
                logic load_next;
            } arm;
        } INJECT;
        struct {
            struct {
                logic [4:0] next;
                logic load_next;
            } channel;
        } CHANNEL_SEL;
        struct {
            struct {
                logic [3:0] next;
                logic load_next;
            } cached_ways;
            struct {
                logic next;
                logic load_next;
            } admission;
        } CACHE;
        struct {
            struct {
                logic next;
                logic load_next;
            } enable;
            struct {
                logic next;
                logic load_next;
            } flush;
            struct {
                logic next;
                logic load_next;
            } snapshot;
            struct {
                logic next;
                logic load_next;
            } quiesce;
            struct {
                logic next;
                logic load_next;
            } soft_reset;
            struct {
                logic next;
                logic load_next;
            } generator;
            struct {
                logic next;
                logic load_next;
            } latency_clear;
            struct {
                logic next;
                logic load_next;
            } errors_clear;
        } CONTROL;
        struct {
            struct {
                logic [15:0] next;
                logic load_next;
            } port;
        } UDP_PORT;
        struct {
            struct {
                logic [7:0] next;
                logic load_next;
            } units;
        } REPLY_BEATS64;
        struct {
            struct {
                logic [14:0] next;
                logic load_next;
            } table_number;
        } GEN_TABLE;
        struct {
            struct {
                logic [31:0] next;
                logic load_next;
            } value;
        } GEN_ROW_MASK;
        struct {
            struct {
                logic [15:0] next;
                logic load_next;
            } dim;
            struct {
                logic [7:0] next;
                logic load_next;
            } beats;
            struct {
                logic [3:0] next;
                logic load_next;
            } length_log2;
            struct {
                logic [3:0] next;
                logic load_next;
            } window;
        } GEN_SHAPE;
        struct {
            struct {
                logic [31:0] next;
                logic load_next;
            } value;
        } GEN_FRAMES;
        struct {
            struct {
                logic [31:0] next;
                logic load_next;
            } table_number;
        } TABLE_SEL;
        struct {
            struct {
                logic [31:0] next;
                logic load_next;
            } value;
        } TABLE_WORD[8];
        struct {
            struct {
                logic next;
                logic load_next;
            } commit;
        } TABLE_COMMIT;
        struct {
            struct {
                logic [15:0] next;
                logic load_next;
            } kilocycles;
        } MEMORY_TIMEOUT;
        struct {
            struct {
                logic [7:0] next;
                logic load_next;
            } bucket;
        } LATENCY_BUCKET;
        struct {
            struct {
                logic [7:0] next;
                logic load_next;
            } entry;
        } ERROR_SEL;
    } field_combo_t;
    field_combo_t field_combo;

    typedef struct {
        struct {
            struct {
                logic [31:0] value;
            } value;
        } SCRATCH;
        struct {
            struct {
                logic [15:0] value;
            } kilocycles;
        } REMOTE_TIMEOUT;
        struct {
            struct {
                logic [2:0] value;
            } memory;
            struct {
                logic [2:0] value;
            } place;
            struct {
                logic value;
            } arm;
        } INJECT;
        struct {
            struct {
                logic [4:0] value;
            } channel;
        } CHANNEL_SEL;
        struct {
            struct {
                logic [3:0] value;
            } cached_ways;
            struct {
                logic value;
            } admission;
        } CACHE;
        struct {
            struct {
                logic value;
            } enable;
            struct {
                logic value;
            } flush;
            struct {
                logic value;
            } snapshot;
            struct {
                logic value;
            } quiesce;
            struct {
                logic value;
            } soft_reset;
            struct {
                logic value;
            } generator;
            struct {
                logic value;
            } latency_clear;
            struct {
                logic value;
            } errors_clear;
        } CONTROL;
        struct {
            struct {
                logic [15:0] value;
            } port;
        } UDP_PORT;
        struct {
            struct {
                logic [7:0] value;
            } units;
        } REPLY_BEATS64;
        struct {
            struct {
                logic [14:0] value;
            } table_number;
        } GEN_TABLE;
        struct {
            struct {
                logic [31:0] value;
            } value;
        } GEN_ROW_MASK;
        struct {
            struct {
                logic [15:0] value;
            } dim;
            struct {
                logic [7:0] value;
            } beats;
            struct {
                logic [3:0] value;
            } length_log2;
            struct {
                logic [3:0] value;
            } window;
        } GEN_SHAPE;
        struct {
            struct {
                logic [31:0] value;
            } value;
        } GEN_FRAMES;
        struct {
            struct {
                logic [31:0] value;
            } table_number;
        } TABLE_SEL;
        struct {
            struct {
                logic [31:0] value;
            } value;
        } TABLE_WORD[8];
        struct {
            struct {
                logic value;
            } commit;
        } TABLE_COMMIT;
        struct {
            struct {
                logic [15:0] value;
            } kilocycles;
        } MEMORY_TIMEOUT;
        struct {
            struct {
                logic [7:0] value;
            } bucket;
        } LATENCY_BUCKET;
        struct {
            struct {
                logic [7:0] value;
            } entry;
        } ERROR_SEL;
    } field_storage_t;
    field_storage_t field_storage;

    // Field: embnic_csr.SCRATCH.value
    always_comb begin
        automatic logic [31:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.SCRATCH.value.value;
        load_next_c = '0;
        if(decoded_reg_strb.SCRATCH && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.SCRATCH.value.value & ~decoded_wr_biten[31:0]) | (decoded_wr_data[31:0] & decoded_wr_biten[31:0]);
            load_next_c = '1;
        end
        field_combo.SCRATCH.value.next = next_c;
        field_combo.SCRATCH.value.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.SCRATCH.value.value <= 32'h0;
        end else begin
            if(field_combo.SCRATCH.value.load_next) begin
                field_storage.SCRATCH.value.value <= field_combo.SCRATCH.value.next;
            end
        end
    end
    // Field: embnic_csr.REMOTE_TIMEOUT.kilocycles
    always_comb begin
        automatic logic [15:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.REMOTE_TIMEOUT.kilocycles.value;
        load_next_c = '0;
        if(decoded_reg_strb.REMOTE_TIMEOUT && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.REMOTE_TIMEOUT.kilocycles.value & ~decoded_wr_biten[15:0]) | (decoded_wr_data[15:0] & decoded_wr_biten[15:0]);
            load_next_c = '1;
        end
        field_combo.REMOTE_TIMEOUT.kilocycles.next = next_c;
        field_combo.REMOTE_TIMEOUT.kilocycles.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.REMOTE_TIMEOUT.kilocycles.value <= 16'h40;
        end else begin
            if(field_combo.REMOTE_TIMEOUT.kilocycles.load_next) begin
                field_storage.REMOTE_TIMEOUT.kilocycles.value <= field_combo.REMOTE_TIMEOUT.kilocycles.next;
            end
        end
    end
    assign hwif_out.REMOTE_TIMEOUT.kilocycles.value = field_storage.REMOTE_TIMEOUT.kilocycles.value;
    // Field: embnic_csr.INJECT.memory
    always_comb begin
        automatic logic [2:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.INJECT.memory.value;
        load_next_c = '0;
        if(decoded_reg_strb.INJECT && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.INJECT.memory.value & ~decoded_wr_biten[2:0]) | (decoded_wr_data[2:0] & decoded_wr_biten[2:0]);
            load_next_c = '1;
        end
        field_combo.INJECT.memory.next = next_c;
        field_combo.INJECT.memory.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.INJECT.memory.value <= 3'h0;
        end else begin
            if(field_combo.INJECT.memory.load_next) begin
                field_storage.INJECT.memory.value <= field_combo.INJECT.memory.next;
            end
        end
    end
    assign hwif_out.INJECT.memory.value = field_storage.INJECT.memory.value;
    // Field: embnic_csr.INJECT.place
    always_comb begin
        automatic logic [2:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.INJECT.place.value;
        load_next_c = '0;
        if(decoded_reg_strb.INJECT && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.INJECT.place.value & ~decoded_wr_biten[6:4]) | (decoded_wr_data[6:4] & decoded_wr_biten[6:4]);
            load_next_c = '1;
        end
        field_combo.INJECT.place.next = next_c;
        field_combo.INJECT.place.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.INJECT.place.value <= 3'h0;
        end else begin
            if(field_combo.INJECT.place.load_next) begin
                field_storage.INJECT.place.value <= field_combo.INJECT.place.next;
            end
        end
    end
    assign hwif_out.INJECT.place.value = field_storage.INJECT.place.value;
    // Field: embnic_csr.INJECT.arm
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.INJECT.arm.value;
        load_next_c = '0;
        if(decoded_reg_strb.INJECT && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.INJECT.arm.value & ~decoded_wr_biten[8:8]) | (decoded_wr_data[8:8] & decoded_wr_biten[8:8]);
            load_next_c = '1;
        end else begin // singlepulse clears back to 0
            next_c = '0;
            load_next_c = '1;
        end
        field_combo.INJECT.arm.next = next_c;
        field_combo.INJECT.arm.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.INJECT.arm.value <= 1'h0;
        end else begin
            if(field_combo.INJECT.arm.load_next) begin
                field_storage.INJECT.arm.value <= field_combo.INJECT.arm.next;
            end
        end
    end
    assign hwif_out.INJECT.arm.value = field_storage.INJECT.arm.value;
    // Field: embnic_csr.CHANNEL_SEL.channel
    always_comb begin
        automatic logic [4:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CHANNEL_SEL.channel.value;
        load_next_c = '0;
        if(decoded_reg_strb.CHANNEL_SEL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CHANNEL_SEL.channel.value & ~decoded_wr_biten[4:0]) | (decoded_wr_data[4:0] & decoded_wr_biten[4:0]);
            load_next_c = '1;
        end
        field_combo.CHANNEL_SEL.channel.next = next_c;
        field_combo.CHANNEL_SEL.channel.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CHANNEL_SEL.channel.value <= 5'h0;
        end else begin
            if(field_combo.CHANNEL_SEL.channel.load_next) begin
                field_storage.CHANNEL_SEL.channel.value <= field_combo.CHANNEL_SEL.channel.next;
            end
        end
    end
    assign hwif_out.CHANNEL_SEL.channel.value = field_storage.CHANNEL_SEL.channel.value;
    // Field: embnic_csr.CACHE.cached_ways
    always_comb begin
        automatic logic [3:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CACHE.cached_ways.value;
        load_next_c = '0;
        if(decoded_reg_strb.CACHE && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CACHE.cached_ways.value & ~decoded_wr_biten[3:0]) | (decoded_wr_data[3:0] & decoded_wr_biten[3:0]);
            load_next_c = '1;
        end
        field_combo.CACHE.cached_ways.next = next_c;
        field_combo.CACHE.cached_ways.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CACHE.cached_ways.value <= 4'h1;
        end else begin
            if(field_combo.CACHE.cached_ways.load_next) begin
                field_storage.CACHE.cached_ways.value <= field_combo.CACHE.cached_ways.next;
            end
        end
    end
    assign hwif_out.CACHE.cached_ways.value = field_storage.CACHE.cached_ways.value;
    // Field: embnic_csr.CACHE.admission
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CACHE.admission.value;
        load_next_c = '0;
        if(decoded_reg_strb.CACHE && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CACHE.admission.value & ~decoded_wr_biten[4:4]) | (decoded_wr_data[4:4] & decoded_wr_biten[4:4]);
            load_next_c = '1;
        end
        field_combo.CACHE.admission.next = next_c;
        field_combo.CACHE.admission.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CACHE.admission.value <= 1'h0;
        end else begin
            if(field_combo.CACHE.admission.load_next) begin
                field_storage.CACHE.admission.value <= field_combo.CACHE.admission.next;
            end
        end
    end
    assign hwif_out.CACHE.admission.value = field_storage.CACHE.admission.value;
    // Field: embnic_csr.CONTROL.enable
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CONTROL.enable.value;
        load_next_c = '0;
        if(decoded_reg_strb.CONTROL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CONTROL.enable.value & ~decoded_wr_biten[0:0]) | (decoded_wr_data[0:0] & decoded_wr_biten[0:0]);
            load_next_c = '1;
        end
        field_combo.CONTROL.enable.next = next_c;
        field_combo.CONTROL.enable.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CONTROL.enable.value <= 1'h0;
        end else begin
            if(field_combo.CONTROL.enable.load_next) begin
                field_storage.CONTROL.enable.value <= field_combo.CONTROL.enable.next;
            end
        end
    end
    assign hwif_out.CONTROL.enable.value = field_storage.CONTROL.enable.value;
    // Field: embnic_csr.CONTROL.flush
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CONTROL.flush.value;
        load_next_c = '0;
        if(decoded_reg_strb.CONTROL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CONTROL.flush.value & ~decoded_wr_biten[1:1]) | (decoded_wr_data[1:1] & decoded_wr_biten[1:1]);
            load_next_c = '1;
        end else begin // singlepulse clears back to 0
            next_c = '0;
            load_next_c = '1;
        end
        field_combo.CONTROL.flush.next = next_c;
        field_combo.CONTROL.flush.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CONTROL.flush.value <= 1'h0;
        end else begin
            if(field_combo.CONTROL.flush.load_next) begin
                field_storage.CONTROL.flush.value <= field_combo.CONTROL.flush.next;
            end
        end
    end
    assign hwif_out.CONTROL.flush.value = field_storage.CONTROL.flush.value;
    // Field: embnic_csr.CONTROL.snapshot
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CONTROL.snapshot.value;
        load_next_c = '0;
        if(decoded_reg_strb.CONTROL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CONTROL.snapshot.value & ~decoded_wr_biten[2:2]) | (decoded_wr_data[2:2] & decoded_wr_biten[2:2]);
            load_next_c = '1;
        end else begin // singlepulse clears back to 0
            next_c = '0;
            load_next_c = '1;
        end
        field_combo.CONTROL.snapshot.next = next_c;
        field_combo.CONTROL.snapshot.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CONTROL.snapshot.value <= 1'h0;
        end else begin
            if(field_combo.CONTROL.snapshot.load_next) begin
                field_storage.CONTROL.snapshot.value <= field_combo.CONTROL.snapshot.next;
            end
        end
    end
    assign hwif_out.CONTROL.snapshot.value = field_storage.CONTROL.snapshot.value;
    // Field: embnic_csr.CONTROL.quiesce
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CONTROL.quiesce.value;
        load_next_c = '0;
        if(decoded_reg_strb.CONTROL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CONTROL.quiesce.value & ~decoded_wr_biten[3:3]) | (decoded_wr_data[3:3] & decoded_wr_biten[3:3]);
            load_next_c = '1;
        end
        field_combo.CONTROL.quiesce.next = next_c;
        field_combo.CONTROL.quiesce.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CONTROL.quiesce.value <= 1'h0;
        end else begin
            if(field_combo.CONTROL.quiesce.load_next) begin
                field_storage.CONTROL.quiesce.value <= field_combo.CONTROL.quiesce.next;
            end
        end
    end
    assign hwif_out.CONTROL.quiesce.value = field_storage.CONTROL.quiesce.value;
    // Field: embnic_csr.CONTROL.soft_reset
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CONTROL.soft_reset.value;
        load_next_c = '0;
        if(decoded_reg_strb.CONTROL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CONTROL.soft_reset.value & ~decoded_wr_biten[4:4]) | (decoded_wr_data[4:4] & decoded_wr_biten[4:4]);
            load_next_c = '1;
        end else begin // singlepulse clears back to 0
            next_c = '0;
            load_next_c = '1;
        end
        field_combo.CONTROL.soft_reset.next = next_c;
        field_combo.CONTROL.soft_reset.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CONTROL.soft_reset.value <= 1'h0;
        end else begin
            if(field_combo.CONTROL.soft_reset.load_next) begin
                field_storage.CONTROL.soft_reset.value <= field_combo.CONTROL.soft_reset.next;
            end
        end
    end
    assign hwif_out.CONTROL.soft_reset.value = field_storage.CONTROL.soft_reset.value;
    // Field: embnic_csr.CONTROL.generator
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CONTROL.generator.value;
        load_next_c = '0;
        if(decoded_reg_strb.CONTROL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CONTROL.generator.value & ~decoded_wr_biten[5:5]) | (decoded_wr_data[5:5] & decoded_wr_biten[5:5]);
            load_next_c = '1;
        end
        field_combo.CONTROL.generator.next = next_c;
        field_combo.CONTROL.generator.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CONTROL.generator.value <= 1'h0;
        end else begin
            if(field_combo.CONTROL.generator.load_next) begin
                field_storage.CONTROL.generator.value <= field_combo.CONTROL.generator.next;
            end
        end
    end
    assign hwif_out.CONTROL.generator.value = field_storage.CONTROL.generator.value;
    // Field: embnic_csr.CONTROL.latency_clear
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CONTROL.latency_clear.value;
        load_next_c = '0;
        if(decoded_reg_strb.CONTROL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CONTROL.latency_clear.value & ~decoded_wr_biten[6:6]) | (decoded_wr_data[6:6] & decoded_wr_biten[6:6]);
            load_next_c = '1;
        end else begin // singlepulse clears back to 0
            next_c = '0;
            load_next_c = '1;
        end
        field_combo.CONTROL.latency_clear.next = next_c;
        field_combo.CONTROL.latency_clear.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CONTROL.latency_clear.value <= 1'h0;
        end else begin
            if(field_combo.CONTROL.latency_clear.load_next) begin
                field_storage.CONTROL.latency_clear.value <= field_combo.CONTROL.latency_clear.next;
            end
        end
    end
    assign hwif_out.CONTROL.latency_clear.value = field_storage.CONTROL.latency_clear.value;
    // Field: embnic_csr.CONTROL.errors_clear
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.CONTROL.errors_clear.value;
        load_next_c = '0;
        if(decoded_reg_strb.CONTROL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.CONTROL.errors_clear.value & ~decoded_wr_biten[7:7]) | (decoded_wr_data[7:7] & decoded_wr_biten[7:7]);
            load_next_c = '1;
        end else begin // singlepulse clears back to 0
            next_c = '0;
            load_next_c = '1;
        end
        field_combo.CONTROL.errors_clear.next = next_c;
        field_combo.CONTROL.errors_clear.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.CONTROL.errors_clear.value <= 1'h0;
        end else begin
            if(field_combo.CONTROL.errors_clear.load_next) begin
                field_storage.CONTROL.errors_clear.value <= field_combo.CONTROL.errors_clear.next;
            end
        end
    end
    assign hwif_out.CONTROL.errors_clear.value = field_storage.CONTROL.errors_clear.value;
    // Field: embnic_csr.UDP_PORT.port
    always_comb begin
        automatic logic [15:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.UDP_PORT.port.value;
        load_next_c = '0;
        if(decoded_reg_strb.UDP_PORT && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.UDP_PORT.port.value & ~decoded_wr_biten[15:0]) | (decoded_wr_data[15:0] & decoded_wr_biten[15:0]);
            load_next_c = '1;
        end
        field_combo.UDP_PORT.port.next = next_c;
        field_combo.UDP_PORT.port.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.UDP_PORT.port.value <= 16'h454e;
        end else begin
            if(field_combo.UDP_PORT.port.load_next) begin
                field_storage.UDP_PORT.port.value <= field_combo.UDP_PORT.port.next;
            end
        end
    end
    assign hwif_out.UDP_PORT.port.value = field_storage.UDP_PORT.port.value;
    // Field: embnic_csr.REPLY_BEATS64.units
    always_comb begin
        automatic logic [7:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.REPLY_BEATS64.units.value;
        load_next_c = '0;
        if(decoded_reg_strb.REPLY_BEATS64 && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.REPLY_BEATS64.units.value & ~decoded_wr_biten[7:0]) | (decoded_wr_data[7:0] & decoded_wr_biten[7:0]);
            load_next_c = '1;
        end
        field_combo.REPLY_BEATS64.units.next = next_c;
        field_combo.REPLY_BEATS64.units.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.REPLY_BEATS64.units.value <= 8'h16;
        end else begin
            if(field_combo.REPLY_BEATS64.units.load_next) begin
                field_storage.REPLY_BEATS64.units.value <= field_combo.REPLY_BEATS64.units.next;
            end
        end
    end
    assign hwif_out.REPLY_BEATS64.units.value = field_storage.REPLY_BEATS64.units.value;
    // Field: embnic_csr.GEN_TABLE.table_number
    always_comb begin
        automatic logic [14:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.GEN_TABLE.table_number.value;
        load_next_c = '0;
        if(decoded_reg_strb.GEN_TABLE && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.GEN_TABLE.table_number.value & ~decoded_wr_biten[14:0]) | (decoded_wr_data[14:0] & decoded_wr_biten[14:0]);
            load_next_c = '1;
        end
        field_combo.GEN_TABLE.table_number.next = next_c;
        field_combo.GEN_TABLE.table_number.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.GEN_TABLE.table_number.value <= 15'h0;
        end else begin
            if(field_combo.GEN_TABLE.table_number.load_next) begin
                field_storage.GEN_TABLE.table_number.value <= field_combo.GEN_TABLE.table_number.next;
            end
        end
    end
    assign hwif_out.GEN_TABLE.table_number.value = field_storage.GEN_TABLE.table_number.value;
    // Field: embnic_csr.GEN_ROW_MASK.value
    always_comb begin
        automatic logic [31:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.GEN_ROW_MASK.value.value;
        load_next_c = '0;
        if(decoded_reg_strb.GEN_ROW_MASK && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.GEN_ROW_MASK.value.value & ~decoded_wr_biten[31:0]) | (decoded_wr_data[31:0] & decoded_wr_biten[31:0]);
            load_next_c = '1;
        end
        field_combo.GEN_ROW_MASK.value.next = next_c;
        field_combo.GEN_ROW_MASK.value.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.GEN_ROW_MASK.value.value <= 32'h0;
        end else begin
            if(field_combo.GEN_ROW_MASK.value.load_next) begin
                field_storage.GEN_ROW_MASK.value.value <= field_combo.GEN_ROW_MASK.value.next;
            end
        end
    end
    assign hwif_out.GEN_ROW_MASK.value.value = field_storage.GEN_ROW_MASK.value.value;
    // Field: embnic_csr.GEN_SHAPE.dim
    always_comb begin
        automatic logic [15:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.GEN_SHAPE.dim.value;
        load_next_c = '0;
        if(decoded_reg_strb.GEN_SHAPE && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.GEN_SHAPE.dim.value & ~decoded_wr_biten[15:0]) | (decoded_wr_data[15:0] & decoded_wr_biten[15:0]);
            load_next_c = '1;
        end
        field_combo.GEN_SHAPE.dim.next = next_c;
        field_combo.GEN_SHAPE.dim.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.GEN_SHAPE.dim.value <= 16'h0;
        end else begin
            if(field_combo.GEN_SHAPE.dim.load_next) begin
                field_storage.GEN_SHAPE.dim.value <= field_combo.GEN_SHAPE.dim.next;
            end
        end
    end
    assign hwif_out.GEN_SHAPE.dim.value = field_storage.GEN_SHAPE.dim.value;
    // Field: embnic_csr.GEN_SHAPE.beats
    always_comb begin
        automatic logic [7:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.GEN_SHAPE.beats.value;
        load_next_c = '0;
        if(decoded_reg_strb.GEN_SHAPE && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.GEN_SHAPE.beats.value & ~decoded_wr_biten[23:16]) | (decoded_wr_data[23:16] & decoded_wr_biten[23:16]);
            load_next_c = '1;
        end
        field_combo.GEN_SHAPE.beats.next = next_c;
        field_combo.GEN_SHAPE.beats.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.GEN_SHAPE.beats.value <= 8'h1;
        end else begin
            if(field_combo.GEN_SHAPE.beats.load_next) begin
                field_storage.GEN_SHAPE.beats.value <= field_combo.GEN_SHAPE.beats.next;
            end
        end
    end
    assign hwif_out.GEN_SHAPE.beats.value = field_storage.GEN_SHAPE.beats.value;
    // Field: embnic_csr.GEN_SHAPE.length_log2
    always_comb begin
        automatic logic [3:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.GEN_SHAPE.length_log2.value;
        load_next_c = '0;
        if(decoded_reg_strb.GEN_SHAPE && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.GEN_SHAPE.length_log2.value & ~decoded_wr_biten[27:24]) | (decoded_wr_data[27:24] & decoded_wr_biten[27:24]);
            load_next_c = '1;
        end
        field_combo.GEN_SHAPE.length_log2.next = next_c;
        field_combo.GEN_SHAPE.length_log2.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.GEN_SHAPE.length_log2.value <= 4'h0;
        end else begin
            if(field_combo.GEN_SHAPE.length_log2.load_next) begin
                field_storage.GEN_SHAPE.length_log2.value <= field_combo.GEN_SHAPE.length_log2.next;
            end
        end
    end
    assign hwif_out.GEN_SHAPE.length_log2.value = field_storage.GEN_SHAPE.length_log2.value;
    // Field: embnic_csr.GEN_SHAPE.window
    always_comb begin
        automatic logic [3:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.GEN_SHAPE.window.value;
        load_next_c = '0;
        if(decoded_reg_strb.GEN_SHAPE && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.GEN_SHAPE.window.value & ~decoded_wr_biten[31:28]) | (decoded_wr_data[31:28] & decoded_wr_biten[31:28]);
            load_next_c = '1;
        end
        field_combo.GEN_SHAPE.window.next = next_c;
        field_combo.GEN_SHAPE.window.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.GEN_SHAPE.window.value <= 4'h1;
        end else begin
            if(field_combo.GEN_SHAPE.window.load_next) begin
                field_storage.GEN_SHAPE.window.value <= field_combo.GEN_SHAPE.window.next;
            end
        end
    end
    assign hwif_out.GEN_SHAPE.window.value = field_storage.GEN_SHAPE.window.value;
    // Field: embnic_csr.GEN_FRAMES.value
    always_comb begin
        automatic logic [31:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.GEN_FRAMES.value.value;
        load_next_c = '0;
        if(decoded_reg_strb.GEN_FRAMES && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.GEN_FRAMES.value.value & ~decoded_wr_biten[31:0]) | (decoded_wr_data[31:0] & decoded_wr_biten[31:0]);
            load_next_c = '1;
        end
        field_combo.GEN_FRAMES.value.next = next_c;
        field_combo.GEN_FRAMES.value.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.GEN_FRAMES.value.value <= 32'h0;
        end else begin
            if(field_combo.GEN_FRAMES.value.load_next) begin
                field_storage.GEN_FRAMES.value.value <= field_combo.GEN_FRAMES.value.next;
            end
        end
    end
    assign hwif_out.GEN_FRAMES.value.value = field_storage.GEN_FRAMES.value.value;
    // Field: embnic_csr.TABLE_SEL.table_number
    always_comb begin
        automatic logic [31:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.TABLE_SEL.table_number.value;
        load_next_c = '0;
        if(decoded_reg_strb.TABLE_SEL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.TABLE_SEL.table_number.value & ~decoded_wr_biten[31:0]) | (decoded_wr_data[31:0] & decoded_wr_biten[31:0]);
            load_next_c = '1;
        end
        field_combo.TABLE_SEL.table_number.next = next_c;
        field_combo.TABLE_SEL.table_number.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.TABLE_SEL.table_number.value <= 32'h0;
        end else begin
            if(field_combo.TABLE_SEL.table_number.load_next) begin
                field_storage.TABLE_SEL.table_number.value <= field_combo.TABLE_SEL.table_number.next;
            end
        end
    end
    assign hwif_out.TABLE_SEL.table_number.value = field_storage.TABLE_SEL.table_number.value;
    for(genvar i0=0; i0<8; i0++) begin : gen_array_0
        // Field: embnic_csr.TABLE_WORD[].value
        always_comb begin
            automatic logic [31:0] next_c;
            automatic logic load_next_c;
            next_c = field_storage.TABLE_WORD[i0].value.value;
            load_next_c = '0;
            if(decoded_reg_strb.TABLE_WORD[i0] && decoded_req_is_wr) begin // SW write
                next_c = (field_storage.TABLE_WORD[i0].value.value & ~decoded_wr_biten[31:0]) | (decoded_wr_data[31:0] & decoded_wr_biten[31:0]);
                load_next_c = '1;
            end
            field_combo.TABLE_WORD[i0].value.next = next_c;
            field_combo.TABLE_WORD[i0].value.load_next = load_next_c;
        end
        always_ff @(posedge clk) begin
            if(rst) begin
                field_storage.TABLE_WORD[i0].value.value <= 32'h0;
            end else begin
                if(field_combo.TABLE_WORD[i0].value.load_next) begin
                    field_storage.TABLE_WORD[i0].value.value <= field_combo.TABLE_WORD[i0].value.next;
                end
            end
        end
        assign hwif_out.TABLE_WORD[i0].value.value = field_storage.TABLE_WORD[i0].value.value;
    end
    // Field: embnic_csr.TABLE_COMMIT.commit
    always_comb begin
        automatic logic [0:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.TABLE_COMMIT.commit.value;
        load_next_c = '0;
        if(decoded_reg_strb.TABLE_COMMIT && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.TABLE_COMMIT.commit.value & ~decoded_wr_biten[0:0]) | (decoded_wr_data[0:0] & decoded_wr_biten[0:0]);
            load_next_c = '1;
        end else begin // singlepulse clears back to 0
            next_c = '0;
            load_next_c = '1;
        end
        field_combo.TABLE_COMMIT.commit.next = next_c;
        field_combo.TABLE_COMMIT.commit.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.TABLE_COMMIT.commit.value <= 1'h0;
        end else begin
            if(field_combo.TABLE_COMMIT.commit.load_next) begin
                field_storage.TABLE_COMMIT.commit.value <= field_combo.TABLE_COMMIT.commit.next;
            end
        end
    end
    assign hwif_out.TABLE_COMMIT.commit.value = field_storage.TABLE_COMMIT.commit.value;
    // Field: embnic_csr.MEMORY_TIMEOUT.kilocycles
    always_comb begin
        automatic logic [15:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.MEMORY_TIMEOUT.kilocycles.value;
        load_next_c = '0;
        if(decoded_reg_strb.MEMORY_TIMEOUT && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.MEMORY_TIMEOUT.kilocycles.value & ~decoded_wr_biten[15:0]) | (decoded_wr_data[15:0] & decoded_wr_biten[15:0]);
            load_next_c = '1;
        end
        field_combo.MEMORY_TIMEOUT.kilocycles.next = next_c;
        field_combo.MEMORY_TIMEOUT.kilocycles.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.MEMORY_TIMEOUT.kilocycles.value <= 16'h10;
        end else begin
            if(field_combo.MEMORY_TIMEOUT.kilocycles.load_next) begin
                field_storage.MEMORY_TIMEOUT.kilocycles.value <= field_combo.MEMORY_TIMEOUT.kilocycles.next;
            end
        end
    end
    assign hwif_out.MEMORY_TIMEOUT.kilocycles.value = field_storage.MEMORY_TIMEOUT.kilocycles.value;
    // Field: embnic_csr.LATENCY_BUCKET.bucket
    always_comb begin
        automatic logic [7:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.LATENCY_BUCKET.bucket.value;
        load_next_c = '0;
        if(decoded_reg_strb.LATENCY_BUCKET && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.LATENCY_BUCKET.bucket.value & ~decoded_wr_biten[7:0]) | (decoded_wr_data[7:0] & decoded_wr_biten[7:0]);
            load_next_c = '1;
        end
        field_combo.LATENCY_BUCKET.bucket.next = next_c;
        field_combo.LATENCY_BUCKET.bucket.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.LATENCY_BUCKET.bucket.value <= 8'h0;
        end else begin
            if(field_combo.LATENCY_BUCKET.bucket.load_next) begin
                field_storage.LATENCY_BUCKET.bucket.value <= field_combo.LATENCY_BUCKET.bucket.next;
            end
        end
    end
    assign hwif_out.LATENCY_BUCKET.bucket.value = field_storage.LATENCY_BUCKET.bucket.value;
    // Field: embnic_csr.ERROR_SEL.entry
    always_comb begin
        automatic logic [7:0] next_c;
        automatic logic load_next_c;
        next_c = field_storage.ERROR_SEL.entry.value;
        load_next_c = '0;
        if(decoded_reg_strb.ERROR_SEL && decoded_req_is_wr) begin // SW write
            next_c = (field_storage.ERROR_SEL.entry.value & ~decoded_wr_biten[7:0]) | (decoded_wr_data[7:0] & decoded_wr_biten[7:0]);
            load_next_c = '1;
        end
        field_combo.ERROR_SEL.entry.next = next_c;
        field_combo.ERROR_SEL.entry.load_next = load_next_c;
    end
    always_ff @(posedge clk) begin
        if(rst) begin
            field_storage.ERROR_SEL.entry.value <= 8'h0;
        end else begin
            if(field_combo.ERROR_SEL.entry.load_next) begin
                field_storage.ERROR_SEL.entry.value <= field_combo.ERROR_SEL.entry.next;
            end
        end
    end
    assign hwif_out.ERROR_SEL.entry.value = field_storage.ERROR_SEL.entry.value;

    //--------------------------------------------------------------------------
    // Write response
    //--------------------------------------------------------------------------
    assign cpuif_wr_ack = decoded_req & decoded_req_is_wr;
    // Writes are always granted with no error response
    assign cpuif_wr_err = decoded_err;

    //--------------------------------------------------------------------------
    // Readback
    //--------------------------------------------------------------------------

    logic [11:0] rd_mux_addr;
    assign rd_mux_addr = decoded_addr;

    logic readback_err;
    logic readback_done;
    logic [31:0] readback_data;
    function automatic bit [6:0] ad_low(bit [11:0] addr);
        return addr[6:0];
    endfunction
    function automatic bit [4:0] ad_hi(bit [11:0] addr);
        return addr[11:7];
    endfunction

    // readback stage 1
    logic [31:0] readback_data_rt_c[32];
    always_comb begin
        automatic logic [31:0] readback_data_var[32];
        for(int i=0; i<32; i++) readback_data_var[i] = '0;
        if(ad_low(rd_mux_addr) == ad_low(12'h0)) begin
            readback_data_var[ad_hi(12'h0)][31:0] = 32'h454d424e;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h4)) begin
            readback_data_var[ad_hi(12'h4)][31:0] = hwif_in.CONTRACT_HASH.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h8)) begin
            readback_data_var[ad_hi(12'h8)][31:0] = hwif_in.CONFIG_ID.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'hc)) begin
            readback_data_var[ad_hi(12'hc)][7:0] = 8'h0;
            readback_data_var[ad_hi(12'hc)][15:8] = 8'h1;
            readback_data_var[ad_hi(12'hc)][23:16] = 8'h0;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h10)) begin
            readback_data_var[ad_hi(12'h10)][31:0] = hwif_in.GIT_HASH.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h14)) begin
            readback_data_var[ad_hi(12'h14)][31:0] = field_storage.SCRATCH.value.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h18)) begin
            readback_data_var[ad_hi(12'h18)][15:0] = hwif_in.REMOTE_WAITING.lines.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1c)) begin
            readback_data_var[ad_hi(12'h1c)][15:0] = field_storage.REMOTE_TIMEOUT.kilocycles.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h20)) begin
            readback_data_var[ad_hi(12'h20)][31:0] = hwif_in.CAP_DATA_W.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h24)) begin
            readback_data_var[ad_hi(12'h24)][31:0] = hwif_in.CAP_SLOTS.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h28)) begin
            readback_data_var[ad_hi(12'h28)][31:0] = hwif_in.CAP_MAX_VEC64.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2c)) begin
            readback_data_var[ad_hi(12'h2c)][31:0] = hwif_in.CAP_LINE_BYTES.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h30)) begin
            readback_data_var[ad_hi(12'h30)][31:0] = hwif_in.CAP_WAYS.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h34)) begin
            readback_data_var[ad_hi(12'h34)][31:0] = hwif_in.CAP_SETS.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h38)) begin
            readback_data_var[ad_hi(12'h38)][31:0] = hwif_in.CAP_FETCHES.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h3c)) begin
            readback_data_var[ad_hi(12'h3c)][31:0] = hwif_in.CAP_TABLES.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h40)) begin
            readback_data_var[ad_hi(12'h40)][31:0] = hwif_in.CAP_KS_BYTES.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h44)) begin
            readback_data_var[ad_hi(12'h44)][31:0] = hwif_in.CAP_REPLY_VEC64.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h48)) begin
            readback_data_var[ad_hi(12'h48)][31:0] = hwif_in.CAP_CTXS.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h4c)) begin
            readback_data_var[ad_hi(12'h4c)][31:0] = hwif_in.CAP_CLIENTS.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h50)) begin
            readback_data_var[ad_hi(12'h50)][2:0] = field_storage.INJECT.memory.value;
            readback_data_var[ad_hi(12'h50)][6:4] = field_storage.INJECT.place.value;
            readback_data_var[ad_hi(12'h50)][8] = field_storage.INJECT.arm.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h54)) begin
            readback_data_var[ad_hi(12'h54)][4:0] = field_storage.CHANNEL_SEL.channel.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h58)) begin
            readback_data_var[ad_hi(12'h58)][15:0] = hwif_in.CHANNEL_READS.bursts.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h5c)) begin
            readback_data_var[ad_hi(12'h5c)][3:0] = field_storage.CACHE.cached_ways.value;
            readback_data_var[ad_hi(12'h5c)][4] = field_storage.CACHE.admission.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h60)) begin
            readback_data_var[ad_hi(12'h60)][31:0] = hwif_in.CAP_CHANNELS.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h64)) begin
            readback_data_var[ad_hi(12'h64)][31:0] = hwif_in.CAP_REMOTE_FETCHES.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h68)) begin
            readback_data_var[ad_hi(12'h68)][31:0] = hwif_in.CAP_MERGE_UNITS.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h6c)) begin
            readback_data_var[ad_hi(12'h6c)][31:0] = hwif_in.CAP_TREE_K.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h70)) begin
            readback_data_var[ad_hi(12'h70)][31:0] = hwif_in.CAP_FEATURES.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h74)) begin
            readback_data_var[ad_hi(12'h74)][31:0] = hwif_in.CAP_BUCKETS.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h78)) begin
            readback_data_var[ad_hi(12'h78)][31:0] = hwif_in.CAP_ERROR_LOG.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h80)) begin
            readback_data_var[ad_hi(12'h80)][0] = field_storage.CONTROL.enable.value;
            readback_data_var[ad_hi(12'h80)][1] = field_storage.CONTROL.flush.value;
            readback_data_var[ad_hi(12'h80)][2] = field_storage.CONTROL.snapshot.value;
            readback_data_var[ad_hi(12'h80)][3] = field_storage.CONTROL.quiesce.value;
            readback_data_var[ad_hi(12'h80)][4] = field_storage.CONTROL.soft_reset.value;
            readback_data_var[ad_hi(12'h80)][5] = field_storage.CONTROL.generator.value;
            readback_data_var[ad_hi(12'h80)][6] = field_storage.CONTROL.latency_clear.value;
            readback_data_var[ad_hi(12'h80)][7] = field_storage.CONTROL.errors_clear.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h84)) begin
            readback_data_var[ad_hi(12'h84)][0] = hwif_in.STATUS.idle.next;
            readback_data_var[ad_hi(12'h84)][1] = hwif_in.STATUS.flush_busy.next;
            readback_data_var[ad_hi(12'h84)][2] = hwif_in.STATUS.drained.next;
            readback_data_var[ad_hi(12'h84)][3] = hwif_in.STATUS.commit_busy.next;
            readback_data_var[ad_hi(12'h84)][4] = hwif_in.STATUS.reset_busy.next;
            readback_data_var[ad_hi(12'h84)][5] = hwif_in.STATUS.memory_stuck.next;
            readback_data_var[ad_hi(12'h84)][6] = hwif_in.STATUS.generating.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h88)) begin
            readback_data_var[ad_hi(12'h88)][15:0] = field_storage.UDP_PORT.port.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h8c)) begin
            readback_data_var[ad_hi(12'h8c)][7:0] = field_storage.REPLY_BEATS64.units.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h90)) begin
            readback_data_var[ad_hi(12'h90)][14:0] = field_storage.GEN_TABLE.table_number.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h94)) begin
            readback_data_var[ad_hi(12'h94)][31:0] = field_storage.GEN_ROW_MASK.value.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h98)) begin
            readback_data_var[ad_hi(12'h98)][15:0] = field_storage.GEN_SHAPE.dim.value;
            readback_data_var[ad_hi(12'h98)][23:16] = field_storage.GEN_SHAPE.beats.value;
            readback_data_var[ad_hi(12'h98)][27:24] = field_storage.GEN_SHAPE.length_log2.value;
            readback_data_var[ad_hi(12'h98)][31:28] = field_storage.GEN_SHAPE.window.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h9c)) begin
            readback_data_var[ad_hi(12'h9c)][31:0] = field_storage.GEN_FRAMES.value.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'ha0)) begin
            readback_data_var[ad_hi(12'ha0)][31:0] = field_storage.TABLE_SEL.table_number.value;
        end
        for(int i0=0; i0<8; i0++) begin
            if(ad_low(rd_mux_addr) == ad_low(12'ha4 + (12)'(i0) * 12'h4)) begin
                readback_data_var[ad_hi(12'ha4 + (12)'(i0) * 12'h4)][31:0] = field_storage.TABLE_WORD[i0].value.value;
            end
        end
        if(ad_low(rd_mux_addr) == ad_low(12'hc4)) begin
            readback_data_var[ad_hi(12'hc4)][0] = field_storage.TABLE_COMMIT.commit.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'hc8)) begin
            readback_data_var[ad_hi(12'hc8)][15:0] = field_storage.MEMORY_TIMEOUT.kilocycles.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'hcc)) begin
            readback_data_var[ad_hi(12'hcc)][15:0] = hwif_in.MEMORY_OWED.reads.next;
            readback_data_var[ad_hi(12'hcc)][16] = hwif_in.MEMORY_OWED.write.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'hd0)) begin
            readback_data_var[ad_hi(12'hd0)][7:0] = field_storage.LATENCY_BUCKET.bucket.value;
        end
        for(int i0=0; i0<4; i0++) begin
            if(ad_low(rd_mux_addr) == ad_low(12'hd4 + (12)'(i0) * 12'h4)) begin
                readback_data_var[ad_hi(12'hd4 + (12)'(i0) * 12'h4)][31:0] = hwif_in.LATENCY_COUNT[i0].value.next;
            end
        end
        if(ad_low(rd_mux_addr) == ad_low(12'he4)) begin
            readback_data_var[ad_hi(12'he4)][7:0] = field_storage.ERROR_SEL.entry.value;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'he8)) begin
            readback_data_var[ad_hi(12'he8)][31:0] = hwif_in.ERROR_TOTAL.value.next;
        end
        for(int i0=0; i0<5; i0++) begin
            if(ad_low(rd_mux_addr) == ad_low(12'hec + (12)'(i0) * 12'h4)) begin
                readback_data_var[ad_hi(12'hec + (12)'(i0) * 12'h4)][31:0] = hwif_in.ERROR_WORD[i0].value.next;
            end
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h100)) begin
            readback_data_var[ad_hi(12'h100)][31:0] = hwif_in.CYCLES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h104)) begin
            readback_data_var[ad_hi(12'h104)][31:0] = hwif_in.CYCLES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h108)) begin
            readback_data_var[ad_hi(12'h108)][31:0] = hwif_in.RX_FRAMES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h10c)) begin
            readback_data_var[ad_hi(12'h10c)][31:0] = hwif_in.RX_FRAMES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h110)) begin
            readback_data_var[ad_hi(12'h110)][31:0] = hwif_in.RX_BYTES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h114)) begin
            readback_data_var[ad_hi(12'h114)][31:0] = hwif_in.RX_BYTES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h118)) begin
            readback_data_var[ad_hi(12'h118)][31:0] = hwif_in.RX_ACCEPTED.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h11c)) begin
            readback_data_var[ad_hi(12'h11c)][31:0] = hwif_in.RX_ACCEPTED.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h120)) begin
            readback_data_var[ad_hi(12'h120)][31:0] = hwif_in.DROP_NOT_OURS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h124)) begin
            readback_data_var[ad_hi(12'h124)][31:0] = hwif_in.DROP_NOT_OURS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h128)) begin
            readback_data_var[ad_hi(12'h128)][31:0] = hwif_in.DROP_MAC_ERROR.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h12c)) begin
            readback_data_var[ad_hi(12'h12c)][31:0] = hwif_in.DROP_MAC_ERROR.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h130)) begin
            readback_data_var[ad_hi(12'h130)][31:0] = hwif_in.DROP_LENGTH.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h134)) begin
            readback_data_var[ad_hi(12'h134)][31:0] = hwif_in.DROP_LENGTH.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h138)) begin
            readback_data_var[ad_hi(12'h138)][31:0] = hwif_in.DROP_IP_CHECKSUM.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h13c)) begin
            readback_data_var[ad_hi(12'h13c)][31:0] = hwif_in.DROP_IP_CHECKSUM.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h140)) begin
            readback_data_var[ad_hi(12'h140)][31:0] = hwif_in.DROP_VERSION.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h144)) begin
            readback_data_var[ad_hi(12'h144)][31:0] = hwif_in.DROP_VERSION.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h148)) begin
            readback_data_var[ad_hi(12'h148)][31:0] = hwif_in.DROP_HEADER.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h14c)) begin
            readback_data_var[ad_hi(12'h14c)][31:0] = hwif_in.DROP_HEADER.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h150)) begin
            readback_data_var[ad_hi(12'h150)][31:0] = hwif_in.DROP_CRC.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h154)) begin
            readback_data_var[ad_hi(12'h154)][31:0] = hwif_in.DROP_CRC.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h158)) begin
            readback_data_var[ad_hi(12'h158)][31:0] = hwif_in.DROP_OVERLOAD.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h15c)) begin
            readback_data_var[ad_hi(12'h15c)][31:0] = hwif_in.DROP_OVERLOAD.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h160)) begin
            readback_data_var[ad_hi(12'h160)][31:0] = hwif_in.DROP_TAG.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h164)) begin
            readback_data_var[ad_hi(12'h164)][31:0] = hwif_in.DROP_TAG.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h168)) begin
            readback_data_var[ad_hi(12'h168)][31:0] = hwif_in.REQUESTS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h16c)) begin
            readback_data_var[ad_hi(12'h16c)][31:0] = hwif_in.REQUESTS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h170)) begin
            readback_data_var[ad_hi(12'h170)][31:0] = hwif_in.BAGS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h174)) begin
            readback_data_var[ad_hi(12'h174)][31:0] = hwif_in.BAGS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h178)) begin
            readback_data_var[ad_hi(12'h178)][31:0] = hwif_in.KEYS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h17c)) begin
            readback_data_var[ad_hi(12'h17c)][31:0] = hwif_in.KEYS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h180)) begin
            readback_data_var[ad_hi(12'h180)][31:0] = hwif_in.KEYS_NULL.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h184)) begin
            readback_data_var[ad_hi(12'h184)][31:0] = hwif_in.KEYS_NULL.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h188)) begin
            readback_data_var[ad_hi(12'h188)][31:0] = hwif_in.KEYS_PADDING.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h18c)) begin
            readback_data_var[ad_hi(12'h18c)][31:0] = hwif_in.KEYS_PADDING.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h190)) begin
            readback_data_var[ad_hi(12'h190)][31:0] = hwif_in.ROW_HITS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h194)) begin
            readback_data_var[ad_hi(12'h194)][31:0] = hwif_in.ROW_HITS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h198)) begin
            readback_data_var[ad_hi(12'h198)][31:0] = hwif_in.ROW_MISSES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h19c)) begin
            readback_data_var[ad_hi(12'h19c)][31:0] = hwif_in.ROW_MISSES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1a0)) begin
            readback_data_var[ad_hi(12'h1a0)][31:0] = hwif_in.LINE_HITS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1a4)) begin
            readback_data_var[ad_hi(12'h1a4)][31:0] = hwif_in.LINE_HITS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1a8)) begin
            readback_data_var[ad_hi(12'h1a8)][31:0] = hwif_in.LINE_MISSES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1ac)) begin
            readback_data_var[ad_hi(12'h1ac)][31:0] = hwif_in.LINE_MISSES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1b0)) begin
            readback_data_var[ad_hi(12'h1b0)][31:0] = hwif_in.EVICTIONS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1b4)) begin
            readback_data_var[ad_hi(12'h1b4)][31:0] = hwif_in.EVICTIONS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1b8)) begin
            readback_data_var[ad_hi(12'h1b8)][31:0] = hwif_in.FETCH_BEATS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1bc)) begin
            readback_data_var[ad_hi(12'h1bc)][31:0] = hwif_in.FETCH_BEATS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1c0)) begin
            readback_data_var[ad_hi(12'h1c0)][31:0] = hwif_in.EXEC_BEATS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1c4)) begin
            readback_data_var[ad_hi(12'h1c4)][31:0] = hwif_in.EXEC_BEATS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1c8)) begin
            readback_data_var[ad_hi(12'h1c8)][31:0] = hwif_in.EXEC_EMPTY.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1cc)) begin
            readback_data_var[ad_hi(12'h1cc)][31:0] = hwif_in.EXEC_EMPTY.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1d0)) begin
            readback_data_var[ad_hi(12'h1d0)][31:0] = hwif_in.EXEC_FETCH.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1d4)) begin
            readback_data_var[ad_hi(12'h1d4)][31:0] = hwif_in.EXEC_FETCH.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1d8)) begin
            readback_data_var[ad_hi(12'h1d8)][31:0] = hwif_in.EXEC_HAZARD.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1dc)) begin
            readback_data_var[ad_hi(12'h1dc)][31:0] = hwif_in.EXEC_HAZARD.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1e0)) begin
            readback_data_var[ad_hi(12'h1e0)][31:0] = hwif_in.STALL_REPLY_SPACE.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1e4)) begin
            readback_data_var[ad_hi(12'h1e4)][31:0] = hwif_in.STALL_REPLY_SPACE.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1e8)) begin
            readback_data_var[ad_hi(12'h1e8)][31:0] = hwif_in.TX_FRAMES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1ec)) begin
            readback_data_var[ad_hi(12'h1ec)][31:0] = hwif_in.TX_FRAMES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1f0)) begin
            readback_data_var[ad_hi(12'h1f0)][31:0] = hwif_in.TX_BYTES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1f4)) begin
            readback_data_var[ad_hi(12'h1f4)][31:0] = hwif_in.TX_BYTES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1f8)) begin
            readback_data_var[ad_hi(12'h1f8)][31:0] = hwif_in.REPLIES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h1fc)) begin
            readback_data_var[ad_hi(12'h1fc)][31:0] = hwif_in.REPLIES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h200)) begin
            readback_data_var[ad_hi(12'h200)][31:0] = hwif_in.PARTIALS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h204)) begin
            readback_data_var[ad_hi(12'h204)][31:0] = hwif_in.PARTIALS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h208)) begin
            readback_data_var[ad_hi(12'h208)][31:0] = hwif_in.ERRORS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h20c)) begin
            readback_data_var[ad_hi(12'h20c)][31:0] = hwif_in.ERRORS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h210)) begin
            readback_data_var[ad_hi(12'h210)][31:0] = hwif_in.ACKS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h214)) begin
            readback_data_var[ad_hi(12'h214)][31:0] = hwif_in.ACKS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h218)) begin
            readback_data_var[ad_hi(12'h218)][31:0] = hwif_in.UPDATES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h21c)) begin
            readback_data_var[ad_hi(12'h21c)][31:0] = hwif_in.UPDATES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h220)) begin
            readback_data_var[ad_hi(12'h220)][31:0] = hwif_in.UPDATE_ROWS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h224)) begin
            readback_data_var[ad_hi(12'h224)][31:0] = hwif_in.UPDATE_ROWS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h228)) begin
            readback_data_var[ad_hi(12'h228)][31:0] = hwif_in.UPDATE_DUPLICATES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h22c)) begin
            readback_data_var[ad_hi(12'h22c)][31:0] = hwif_in.UPDATE_DUPLICATES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h230)) begin
            readback_data_var[ad_hi(12'h230)][31:0] = hwif_in.MEMORY_ERRORS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h234)) begin
            readback_data_var[ad_hi(12'h234)][31:0] = hwif_in.MEMORY_ERRORS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h238)) begin
            readback_data_var[ad_hi(12'h238)][31:0] = hwif_in.KEYS_REFUSED.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h23c)) begin
            readback_data_var[ad_hi(12'h23c)][31:0] = hwif_in.KEYS_REFUSED.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h240)) begin
            readback_data_var[ad_hi(12'h240)][31:0] = hwif_in.ERRORS_BUSY.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h244)) begin
            readback_data_var[ad_hi(12'h244)][31:0] = hwif_in.ERRORS_BUSY.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h248)) begin
            readback_data_var[ad_hi(12'h248)][31:0] = hwif_in.ABANDONED.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h24c)) begin
            readback_data_var[ad_hi(12'h24c)][31:0] = hwif_in.ABANDONED.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h250)) begin
            readback_data_var[ad_hi(12'h250)][31:0] = hwif_in.SOFT_RESETS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h254)) begin
            readback_data_var[ad_hi(12'h254)][31:0] = hwif_in.SOFT_RESETS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h258)) begin
            readback_data_var[ad_hi(12'h258)][31:0] = hwif_in.RESET_TIMEOUTS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h25c)) begin
            readback_data_var[ad_hi(12'h25c)][31:0] = hwif_in.RESET_TIMEOUTS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h260)) begin
            readback_data_var[ad_hi(12'h260)][31:0] = hwif_in.TABLE_COMMITS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h264)) begin
            readback_data_var[ad_hi(12'h264)][31:0] = hwif_in.TABLE_COMMITS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h268)) begin
            readback_data_var[ad_hi(12'h268)][31:0] = hwif_in.GEN_SENT.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h26c)) begin
            readback_data_var[ad_hi(12'h26c)][31:0] = hwif_in.GEN_SENT.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h270)) begin
            readback_data_var[ad_hi(12'h270)][31:0] = hwif_in.GEN_REPLIES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h274)) begin
            readback_data_var[ad_hi(12'h274)][31:0] = hwif_in.GEN_REPLIES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h278)) begin
            readback_data_var[ad_hi(12'h278)][31:0] = hwif_in.GEN_ERRORS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h27c)) begin
            readback_data_var[ad_hi(12'h27c)][31:0] = hwif_in.GEN_ERRORS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h280)) begin
            readback_data_var[ad_hi(12'h280)][31:0] = hwif_in.GEN_BAD.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h284)) begin
            readback_data_var[ad_hi(12'h284)][31:0] = hwif_in.GEN_BAD.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h288)) begin
            readback_data_var[ad_hi(12'h288)][31:0] = hwif_in.KEYS_ABANDONED.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h28c)) begin
            readback_data_var[ad_hi(12'h28c)][31:0] = hwif_in.KEYS_ABANDONED.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h290)) begin
            readback_data_var[ad_hi(12'h290)][31:0] = hwif_in.SATURATIONS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h294)) begin
            readback_data_var[ad_hi(12'h294)][31:0] = hwif_in.SATURATIONS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h298)) begin
            readback_data_var[ad_hi(12'h298)][31:0] = hwif_in.PINNED_HITS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h29c)) begin
            readback_data_var[ad_hi(12'h29c)][31:0] = hwif_in.PINNED_HITS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2a0)) begin
            readback_data_var[ad_hi(12'h2a0)][31:0] = hwif_in.JOINS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2a4)) begin
            readback_data_var[ad_hi(12'h2a4)][31:0] = hwif_in.JOINS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2a8)) begin
            readback_data_var[ad_hi(12'h2a8)][31:0] = hwif_in.FETCHES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2ac)) begin
            readback_data_var[ad_hi(12'h2ac)][31:0] = hwif_in.FETCHES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2b0)) begin
            readback_data_var[ad_hi(12'h2b0)][31:0] = hwif_in.NO_FREE_WAY.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2b4)) begin
            readback_data_var[ad_hi(12'h2b4)][31:0] = hwif_in.NO_FREE_WAY.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2b8)) begin
            readback_data_var[ad_hi(12'h2b8)][31:0] = hwif_in.NOT_ADMITTED.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2bc)) begin
            readback_data_var[ad_hi(12'h2bc)][31:0] = hwif_in.NOT_ADMITTED.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2c0)) begin
            readback_data_var[ad_hi(12'h2c0)][31:0] = hwif_in.PREFETCHES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2c4)) begin
            readback_data_var[ad_hi(12'h2c4)][31:0] = hwif_in.PREFETCHES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2c8)) begin
            readback_data_var[ad_hi(12'h2c8)][31:0] = hwif_in.PREFETCH_ROWS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2cc)) begin
            readback_data_var[ad_hi(12'h2cc)][31:0] = hwif_in.PREFETCH_ROWS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2d0)) begin
            readback_data_var[ad_hi(12'h2d0)][31:0] = hwif_in.MEMORY_TIMEOUTS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2d4)) begin
            readback_data_var[ad_hi(12'h2d4)][31:0] = hwif_in.MEMORY_TIMEOUTS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2d8)) begin
            readback_data_var[ad_hi(12'h2d8)][31:0] = hwif_in.MEMORY_LATE.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2dc)) begin
            readback_data_var[ad_hi(12'h2dc)][31:0] = hwif_in.MEMORY_LATE.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2e0)) begin
            readback_data_var[ad_hi(12'h2e0)][31:0] = hwif_in.PARITY_ROWS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2e4)) begin
            readback_data_var[ad_hi(12'h2e4)][31:0] = hwif_in.PARITY_ROWS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2e8)) begin
            readback_data_var[ad_hi(12'h2e8)][31:0] = hwif_in.PARITY_TAGS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2ec)) begin
            readback_data_var[ad_hi(12'h2ec)][31:0] = hwif_in.PARITY_TAGS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2f0)) begin
            readback_data_var[ad_hi(12'h2f0)][31:0] = hwif_in.PARITY_KEYS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2f4)) begin
            readback_data_var[ad_hi(12'h2f4)][31:0] = hwif_in.PARITY_KEYS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2f8)) begin
            readback_data_var[ad_hi(12'h2f8)][31:0] = hwif_in.PARITY_REPLIES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h2fc)) begin
            readback_data_var[ad_hi(12'h2fc)][31:0] = hwif_in.PARITY_REPLIES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h300)) begin
            readback_data_var[ad_hi(12'h300)][31:0] = hwif_in.INJECTED.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h304)) begin
            readback_data_var[ad_hi(12'h304)][31:0] = hwif_in.INJECTED.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h308)) begin
            readback_data_var[ad_hi(12'h308)][31:0] = hwif_in.REMOTE_FETCHES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h30c)) begin
            readback_data_var[ad_hi(12'h30c)][31:0] = hwif_in.REMOTE_FETCHES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h310)) begin
            readback_data_var[ad_hi(12'h310)][31:0] = hwif_in.REMOTE_ANSWERS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h314)) begin
            readback_data_var[ad_hi(12'h314)][31:0] = hwif_in.REMOTE_ANSWERS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h318)) begin
            readback_data_var[ad_hi(12'h318)][31:0] = hwif_in.REMOTE_BEATS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h31c)) begin
            readback_data_var[ad_hi(12'h31c)][31:0] = hwif_in.REMOTE_BEATS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h320)) begin
            readback_data_var[ad_hi(12'h320)][31:0] = hwif_in.REMOTE_TIMEOUTS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h324)) begin
            readback_data_var[ad_hi(12'h324)][31:0] = hwif_in.REMOTE_TIMEOUTS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h328)) begin
            readback_data_var[ad_hi(12'h328)][31:0] = hwif_in.REMOTE_BROKEN.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h32c)) begin
            readback_data_var[ad_hi(12'h32c)][31:0] = hwif_in.REMOTE_BROKEN.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h330)) begin
            readback_data_var[ad_hi(12'h330)][31:0] = hwif_in.REMOTE_STRAYS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h334)) begin
            readback_data_var[ad_hi(12'h334)][31:0] = hwif_in.REMOTE_STRAYS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h338)) begin
            readback_data_var[ad_hi(12'h338)][31:0] = hwif_in.COMPUTE_FRAMES.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h33c)) begin
            readback_data_var[ad_hi(12'h33c)][31:0] = hwif_in.COMPUTE_FRAMES.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h340)) begin
            readback_data_var[ad_hi(12'h340)][31:0] = hwif_in.COMPUTE_JOBS.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h344)) begin
            readback_data_var[ad_hi(12'h344)][31:0] = hwif_in.COMPUTE_JOBS.HI.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h348)) begin
            readback_data_var[ad_hi(12'h348)][31:0] = hwif_in.COMPUTE_ABANDONED.LO.value.next;
        end
        if(ad_low(rd_mux_addr) == ad_low(12'h34c)) begin
            readback_data_var[ad_hi(12'h34c)][31:0] = hwif_in.COMPUTE_ABANDONED.HI.value.next;
        end
        readback_data_rt_c = readback_data_var;
    end

    logic [31:0] readback_data_rt[32];
    logic readback_done_rt;
    logic readback_err_rt;
    logic [11:0] readback_addr_rt;
    always_ff @(posedge clk) begin
        if(rst) begin
            for(int i=0; i<32; i++) readback_data_rt[i] <= '0;
            readback_done_rt <= '0;
            readback_err_rt <= '0;
            readback_addr_rt <= '0;
        end else begin
            readback_data_rt <= readback_data_rt_c;
            readback_err_rt <= decoded_err;
            readback_done_rt <= decoded_req & ~decoded_req_is_wr;
            readback_addr_rt <= rd_mux_addr;
        end
    end



    // readback stage 2
    always_comb begin
        readback_data = readback_data_rt[readback_addr_rt[11:7]];
        readback_done = readback_done_rt;
        readback_err = readback_err_rt;
    end

    assign cpuif_rd_ack = readback_done;
    assign cpuif_rd_data = readback_data;
    assign cpuif_rd_err = readback_err;
endmodule
