// SPDX-License-Identifier: Apache-2.0
// Card memory in on-chip RAM: an AXI4 slave for the core, and a port for the host.
//
// Order          bursts one after the other, reads and writes by themselves; the host's accesses go between their beats.
// Back-pressure  any cycle, all channels; nothing is lost.
// Latency        a read address to its first beat: 5 cycles. The host: 2 cycles from mem_rd_ready to mem_data_valid.
// Throughput     one beat read and one written per cycle; one cycle between bursts.
// Errors         beats outside of BYTES answer DECERR and change nothing; the host reads zeros there.
// Not handled    other bursts than INCR of whole beats, exclusive access.
`default_nettype none
`include "embnic_assert.svh"
module embnic_axi_ram
    import embnic_pkg::ADDR_W;
#(
    parameter int unsigned DATA_W = 128,     // bits of a beat; multiple of 8
    parameter int unsigned BYTES  = 262144,  // power of two, at least two beats
    parameter int unsigned ID_W   = 3,       // bits of an ID
    parameter int unsigned STYLE  = 2        // RAM style, see embnic_ram_1r1w
) (
    input  wire logic                clk,
    input  wire logic                rst,
    // core
    input  wire logic [ID_W-1:0]     s_axi_awid,
    input  wire logic [ADDR_W-1:0]   s_axi_awaddr,
    input  wire logic [7:0]          s_axi_awlen,
    input  wire logic                s_axi_awvalid,
    output      logic                s_axi_awready,
    input  wire logic [DATA_W-1:0]   s_axi_wdata,
    input  wire logic [DATA_W/8-1:0] s_axi_wstrb,
    input  wire logic                s_axi_wlast,
    input  wire logic                s_axi_wvalid,
    output      logic                s_axi_wready,
    output      logic [ID_W-1:0]     s_axi_bid,
    output      logic [1:0]          s_axi_bresp,
    output      logic                s_axi_bvalid,
    input  wire logic                s_axi_bready,
    input  wire logic [ID_W-1:0]     s_axi_arid,
    input  wire logic [ADDR_W-1:0]   s_axi_araddr,
    input  wire logic [7:0]          s_axi_arlen,
    input  wire logic                s_axi_arvalid,
    output      logic                s_axi_arready,
    output      logic [ID_W-1:0]     s_axi_rid,
    output      logic [DATA_W-1:0]   s_axi_rdata,
    output      logic [1:0]          s_axi_rresp,
    output      logic                s_axi_rlast,
    output      logic                s_axi_rvalid,
    input  wire logic                s_axi_rready,
    // host: whole beats; addresses in bytes, low bits ignored
    input  wire logic [31:0]         mem_wr_addr,
    input  wire logic [DATA_W-1:0]   mem_wr_data,
    input  wire logic                mem_wr_valid,
    output      logic                mem_wr_ready,
    input  wire logic [31:0]         mem_rd_addr,
    input  wire logic                mem_rd_valid,
    output      logic                mem_rd_ready,
    output      logic                mem_data_valid,
    output      logic [DATA_W-1:0]   mem_data
);
    localparam int unsigned LANES  = DATA_W / 8;
    localparam int unsigned BEATS  = BYTES / LANES;
    localparam int unsigned LOW    = $clog2(LANES);
    localparam int unsigned AW     = $clog2(BEATS);

    if (DATA_W % 8 != 0 || (LANES & (LANES - 1)) != 0) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 8 times a power of two");
    end
    if ((BYTES & (BYTES - 1)) != 0 || BEATS < 2) begin : gen_bad_bytes
        $fatal(1, "BYTES must be a power of two, at least two beats");
    end

    localparam logic [1:0] OKAY   = 2'b00;
    localparam logic [1:0] DECERR = 2'b11;

    // -----------------------------------------------------------------------------------------------------------------
    // The RAM: a lane a byte, because bytes are written by themselves
    // -----------------------------------------------------------------------------------------------------------------
    logic              wr_en, rd_en;
    logic [LANES-1:0]  wr_strb;
    logic [AW-1:0]     wr_beat, rd_beat;
    logic [DATA_W-1:0] wr_data, rd_data;

    for (genvar i = 0; i < LANES; i++) begin : gen_lane
        embnic_ram_1r1w #(.WIDTH(8), .DEPTH(BEATS), .STYLE(STYLE), .OUT_REG(1'b1)) u_ram (
            .clk,
            .wr_en(wr_en && wr_strb[i]), .wr_addr(wr_beat), .wr_data(wr_data[8*i+:8]),
            .rd_en,                      .rd_addr(rd_beat), .rd_data(rd_data[8*i+:8])
        );
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Reads. A beat is read only when it will find a place in the FIFO even if the core stalls from now on.
    // -----------------------------------------------------------------------------------------------------------------
    typedef struct packed {
        logic            of_core;
        logic [ID_W-1:0] id;
        logic            last;
        logic            outside;
    } read_t;

    localparam int unsigned FIFO_DEPTH = 8;
    localparam int unsigned FIFO_W     = DATA_W + ID_W + 3;

    logic              ar_open_q;
    logic [ID_W-1:0]   ar_id_q;
    logic [ADDR_W-LOW-1:0] ar_beat_q;   // next beat of the burst
    logic [7:0]        ar_left_q;       // beats behind it
    read_t             read_d, read_q, read_q2;
    logic              read_valid_q, read_valid_q2;
    logic              core_read;
    logic [3:0]        fifo_count;
    logic              fifo_ready;
    logic [1:0]        fifo_resp;

    assign s_axi_arready = !ar_open_q;
    assign core_read     = ar_open_q
        && fifo_count + 4'(read_valid_q && read_q.of_core) + 4'(read_valid_q2 && read_q2.of_core) < 4'(FIFO_DEPTH);
    assign mem_rd_ready  = !core_read;
    assign rd_en         = core_read || mem_rd_valid;
    assign rd_beat       = core_read ? ar_beat_q[AW-1:0] : mem_rd_addr[LOW+:AW];

    always_comb begin
        read_d.of_core = core_read;
        read_d.id      = ar_id_q;
        read_d.last    = ar_left_q == '0;
        read_d.outside = core_read ? ar_beat_q[ADDR_W-LOW-1:AW] != '0 : (mem_rd_addr >> (LOW + AW)) != '0;
    end

    always_ff @(posedge clk) begin
        read_q        <= read_d;
        read_q2       <= read_q;
        read_valid_q  <= rd_en;
        read_valid_q2 <= read_valid_q;
        if (s_axi_arvalid && s_axi_arready) begin
            ar_open_q <= 1'b1;
            ar_id_q   <= s_axi_arid;
            ar_beat_q <= s_axi_araddr[ADDR_W-1:LOW];
            ar_left_q <= s_axi_arlen;
        end else if (core_read) begin
            ar_open_q <= ar_left_q != '0;
            ar_beat_q <= ar_beat_q + 1'b1;
            ar_left_q <= ar_left_q - 1'b1;
        end
        if (rst) begin
            ar_open_q     <= 1'b0;
            read_valid_q  <= 1'b0;
            read_valid_q2 <= 1'b0;
        end
    end

    assign mem_data_valid = read_valid_q2 && !read_q2.of_core;
    assign mem_data       = read_q2.outside ? '0 : rd_data;
    assign fifo_resp      = read_q2.outside ? DECERR : OKAY;

    embnic_fifo #(.WIDTH(FIFO_W), .DEPTH(FIFO_DEPTH), .STYLE(1)) u_beats (
        .clk, .rst,
        .s_axis_tdata ({rd_data, read_q2.id, fifo_resp, read_q2.last}),
        .s_axis_tvalid(read_valid_q2 && read_q2.of_core),
        .s_axis_tready(fifo_ready),
        .m_axis_tdata ({s_axi_rdata, s_axi_rid, s_axi_rresp, s_axi_rlast}),
        .m_axis_tvalid(s_axi_rvalid),
        .m_axis_tready(s_axi_rready),
        .sts_count    (fifo_count)
    );

    // -----------------------------------------------------------------------------------------------------------------
    // Writes
    // -----------------------------------------------------------------------------------------------------------------
    logic                  aw_open_q;
    logic [ADDR_W-LOW-1:0] aw_beat_q;
    logic                  core_write, aw_outside, host_outside;

    assign s_axi_awready = !aw_open_q && (!s_axi_bvalid || s_axi_bready);
    assign s_axi_wready  = aw_open_q;
    assign core_write    = s_axi_wvalid && s_axi_wready;
    assign mem_wr_ready  = !core_write;
    assign aw_outside    = aw_beat_q[ADDR_W-LOW-1:AW] != '0;
    assign host_outside  = (mem_wr_addr >> (LOW + AW)) != '0;
    assign wr_en         = core_write ? !aw_outside : mem_wr_valid && !host_outside;
    assign wr_strb       = core_write ? s_axi_wstrb : '1;
    assign wr_beat       = core_write ? aw_beat_q[AW-1:0] : mem_wr_addr[LOW+:AW];
    assign wr_data       = core_write ? s_axi_wdata : mem_wr_data;

    always_ff @(posedge clk) begin
        if (s_axi_bready) s_axi_bvalid <= 1'b0;
        if (s_axi_awvalid && s_axi_awready) begin
            aw_open_q   <= 1'b1;
            aw_beat_q   <= s_axi_awaddr[ADDR_W-1:LOW];
            s_axi_bid   <= s_axi_awid;
            s_axi_bresp <= OKAY;
        end else if (core_write) begin
            aw_open_q <= !s_axi_wlast;
            aw_beat_q <= aw_beat_q + 1'b1;
            if (aw_outside) s_axi_bresp <= DECERR;
            if (s_axi_wlast) s_axi_bvalid <= 1'b1;
        end
        if (rst) begin
            aw_open_q    <= 1'b0;
            s_axi_bvalid <= 1'b0;
        end
    end

    // Beats within a byte address, and the length that s_axi_wlast tells.
    wire unused = &{1'b0, s_axi_awaddr[LOW-1:0], s_axi_araddr[LOW-1:0], s_axi_awlen, mem_wr_addr[LOW-1:0],
        mem_rd_addr[LOW-1:0]};

    // Assertions
    `EMBNIC_STABLE(r_stable, s_axi_rvalid, s_axi_rready, {s_axi_rdata, s_axi_rid, s_axi_rresp, s_axi_rlast},
        "a beat holds until it is taken")
    `EMBNIC_STABLE(b_stable, s_axi_bvalid, s_axi_bready, {s_axi_bid, s_axi_bresp}, "an answer holds until it is taken")
    `EMBNIC_NEVER(lost, read_valid_q2 && read_q2.of_core && !fifo_ready, "a beat that was read finds its place")
    `EMBNIC_COVER(host_waits, mem_rd_valid && !mem_rd_ready, "the host waits for the core")
endmodule
`default_nettype wire
