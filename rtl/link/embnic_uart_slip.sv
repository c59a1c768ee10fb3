// SPDX-License-Identifier: Apache-2.0
// A card on a serial line: frames, registers and card memory, as packets in SLIP (RFC 1055) over an embnic_uart.
//
// A packet is a header of 8 bytes, a payload, and a CRC of both, most significant byte first (polynomial 0x1021, initial
// value 0xFFFF, bits not reversed, no final inversion). All else is least significant byte first.
//
//     byte   0      kind: see below
//            1      tag: comes back in the answer
//            2, 3   length: bytes of the payload, of MEMORY_READ those that are wanted
//            4 .. 7 address: of a register or of card memory, in bytes
//
//     kind   1 FRAME            payload is an Ethernet frame for the core; not answered
//            2 REGISTER_READ    answered with the register, 4 bytes
//            3 REGISTER_WRITE   payload is the value, 4 bytes; answered when the core took it
//            4 MEMORY_READ      whole beats; answered with them
//            5 MEMORY_WRITE     whole beats; answered when they are in memory
//            6 INFO             answered with the size of card memory as the address, and as the length the number of
//                               packets that were dropped (it stops at 65,535)
//
// Towards the host a kind has bit 7 set, and bit 6 where the core answered an error; a FRAME has the length 0: its end is
// the packet's. A packet that is broken (CRC, length, a byte lost, longer than a buffer) or finds no free buffer is
// dropped whole and counted, so whoever hears nothing asks again: every request may be repeated.
//
// Order          requests one after the other; frames of the core between answers.
// Back-pressure  m_axis_tx of the core waits while the line is busy. The line itself is never held up: two packets are
//                buffered, one that is executed and one that arrives.
// Throughput     that of the line: 10 * DIVISOR cycles a byte.
// Errors         dropped packets are counted; nothing of a broken packet takes effect.
`default_nettype none
`include "embnic_assert.svh"
module embnic_uart_slip #(
    parameter int unsigned DATA_W    = 128,     // bits of a beat; 64 and more
    parameter int unsigned DIVISOR   = 25,      // cycles of clk a bit
    parameter int unsigned MEM_BYTES = 262144   // card memory, for INFO
) (
    input  wire logic                clk,
    input  wire logic                rst,
    input  wire logic                uart_rx,
    output      logic                uart_tx,
    // frames to the core
    output      logic [DATA_W-1:0]   m_axis_rx_tdata,
    output      logic [DATA_W/8-1:0] m_axis_rx_tkeep,
    output      logic                m_axis_rx_tvalid,
    input  wire logic                m_axis_rx_tready,
    output      logic                m_axis_rx_tlast,
    // frames of the core
    input  wire logic [DATA_W-1:0]   s_axis_tx_tdata,
    input  wire logic [DATA_W/8-1:0] s_axis_tx_tkeep,
    input  wire logic                s_axis_tx_tvalid,
    output      logic                s_axis_tx_tready,
    input  wire logic                s_axis_tx_tlast,
    // registers
    output      logic [11:0]         m_axil_awaddr,
    output      logic                m_axil_awvalid,
    input  wire logic                m_axil_awready,
    output      logic [31:0]         m_axil_wdata,
    output      logic                m_axil_wvalid,
    input  wire logic                m_axil_wready,
    input  wire logic [1:0]          m_axil_bresp,
    input  wire logic                m_axil_bvalid,
    output      logic                m_axil_bready,
    output      logic [11:0]         m_axil_araddr,
    output      logic                m_axil_arvalid,
    input  wire logic                m_axil_arready,
    input  wire logic [31:0]         m_axil_rdata,
    input  wire logic [1:0]          m_axil_rresp,
    input  wire logic                m_axil_rvalid,
    output      logic                m_axil_rready,
    // card memory, the host's port of embnic_axi_ram
    output      logic [31:0]         mem_wr_addr,
    output      logic [DATA_W-1:0]   mem_wr_data,
    output      logic                mem_wr_valid,
    input  wire logic                mem_wr_ready,
    output      logic [31:0]         mem_rd_addr,
    output      logic                mem_rd_valid,
    input  wire logic                mem_rd_ready,
    input  wire logic                mem_data_valid,
    input  wire logic [DATA_W-1:0]   mem_data,
    output      logic [15:0]         sts_dropped   // packets
);
    localparam int unsigned LANES      = DATA_W / 8;
    localparam int unsigned LOW        = $clog2(LANES);
    localparam int unsigned MAX_BYTES  = 2048;               // of a payload: the longest frame and more
    localparam int unsigned BANK_BEATS = MAX_BYTES / LANES;
    localparam int unsigned BEAT_AW    = $clog2(BANK_BEATS);

    if (DATA_W < 64 || (LANES & (LANES - 1)) != 0) begin : gen_bad_data_w
        $fatal(1, "DATA_W must be 64 and more, and 8 times a power of two");
    end

    localparam logic [7:0] SLIP_END     = 8'hC0;
    localparam logic [7:0] SLIP_ESC     = 8'hDB;
    localparam logic [7:0] SLIP_ESC_END = 8'hDC;
    localparam logic [7:0] SLIP_ESC_ESC = 8'hDD;

    localparam logic [7:0] FRAME          = 8'd1;
    localparam logic [7:0] REGISTER_READ  = 8'd2;
    localparam logic [7:0] REGISTER_WRITE = 8'd3;
    localparam logic [7:0] MEMORY_READ    = 8'd4;
    localparam logic [7:0] MEMORY_WRITE   = 8'd5;
    localparam logic [7:0] INFO           = 8'd6;
    localparam logic [7:0] TO_HOST        = 8'h80;
    localparam logic [7:0] REFUSED        = 8'hC0;

    typedef struct packed {
        logic [31:0] address;
        logic [15:0] length;
        logic [7:0]  tag;
        logic [7:0]  kind;     // first on the line
    } header_t;

    localparam int unsigned HEADER_BYTES = $bits(header_t) / 8;

    function automatic logic [15:0] crc16(input logic [15:0] crc, input logic [7:0] data);
        crc16 = crc ^ {data, 8'h00};
        for (int unsigned i = 0; i < 8; i++) crc16 = {crc16[14:0], 1'b0} ^ (crc16[15] ? 16'h1021 : 16'h0000);
    endfunction

    logic       byte_valid, evt_framing_error, tx_byte_valid, tx_byte_ready;
    logic [7:0] byte_data, tx_byte;

    embnic_uart #(.DIVISOR(DIVISOR)) u_uart (
        .clk, .rst, .uart_rx, .uart_tx, .byte_valid, .byte_data, .evt_framing_error,
        .s_axis_tx_tdata (tx_byte),
        .s_axis_tx_tvalid(tx_byte_valid),
        .s_axis_tx_tready(tx_byte_ready)
    );

    // -----------------------------------------------------------------------------------------------------------------
    // Packets in: out of SLIP, header aside, payload as beats into one of two buffers
    // -----------------------------------------------------------------------------------------------------------------
    logic               in_escape_q, in_bad_q, in_bank_q, in_some_q;
    logic [15:0]        in_crc_q, in_at_q;     // bytes so far
    header_t            in_header_q;
    logic [DATA_W-1:0]  in_beat_q;
    logic               in_byte, in_end, in_escape;
    logic [7:0]         in_data;
    logic [15:0]        in_payload;            // which byte of the payload this one is
    logic [15:0]        in_size;               // of the payload, by the header
    logic               in_is_payload, in_good;
    logic               wr_en;
    logic [BEAT_AW:0]   wr_addr, rd_addr;
    logic [DATA_W-1:0]  wr_data, rd_data;
    logic               rd_en;

    assign in_end        = byte_valid && byte_data == SLIP_END;
    assign in_escape     = byte_valid && byte_data == SLIP_ESC;
    assign in_byte       = byte_valid && !in_end && !in_escape;
    assign in_data       = !in_escape_q ? byte_data : (byte_data == SLIP_ESC_END) ? SLIP_END : SLIP_ESC;
    assign in_payload    = in_at_q - 16'(HEADER_BYTES);
    assign in_size       = (in_header_q.kind == MEMORY_READ) ? 16'd0 : in_header_q.length;
    assign in_is_payload = in_byte && in_at_q >= 16'(HEADER_BYTES) && in_payload < in_size;

    // A beat is written when it is full or the payload ends.
    always_comb begin
        wr_data = in_beat_q;
        wr_data[8*in_payload[LOW-1:0]+:8] = in_data;
    end
    assign wr_en   = in_is_payload && (in_payload[LOW-1:0] == '1 || in_payload == in_size - 16'd1);
    assign wr_addr = {in_bank_q, in_payload[LOW+:BEAT_AW]};

    embnic_ram_1r1w #(.WIDTH(DATA_W), .DEPTH(2 * BANK_BEATS), .STYLE(2)) u_packets (
        .clk, .wr_en, .wr_addr, .wr_data, .rd_en, .rd_addr, .rd_data
    );

    // What the header asks for must be possible: whole beats of memory, whole registers, and a payload that fits.
    logic in_kind_good;

    always_comb begin
        unique case (in_header_q.kind)
            FRAME:                     in_kind_good = in_header_q.length != '0;
            REGISTER_READ, INFO:       in_kind_good = in_header_q.length == '0;
            REGISTER_WRITE:            in_kind_good = in_header_q.length == 16'd4;
            MEMORY_READ, MEMORY_WRITE: in_kind_good = in_header_q.length != '0
                && in_header_q.length[LOW-1:0] == '0 && in_header_q.address[LOW-1:0] == '0;
            default:                   in_kind_good = 1'b0;
        endcase
    end
    assign in_good = !in_bad_q && !in_escape_q && in_kind_good && in_header_q.length <= 16'(MAX_BYTES)
        && in_crc_q == '0 && in_at_q == 16'(HEADER_BYTES + 2) + in_size;

    // A good packet goes to the executor, which has one; while it is busy with it, the next one may arrive.
    logic    job_valid_q, job_done;
    logic    job_bank_q;
    header_t job_q;
    logic    drop;

    assign drop = in_end && in_some_q && !(in_good && (!job_valid_q || job_done));

    always_ff @(posedge clk) begin
        if (job_done) job_valid_q <= 1'b0;
        if (evt_framing_error) in_bad_q <= 1'b1;
        if (byte_valid) begin
            in_escape_q <= in_escape;
            in_some_q   <= !in_end;
        end
        if (in_escape_q && byte_valid && byte_data != SLIP_ESC_END && byte_data != SLIP_ESC_ESC) in_bad_q <= 1'b1;
        if (in_byte) begin
            in_crc_q  <= crc16(in_crc_q, in_data);
            in_at_q   <= in_at_q + 16'd1;
            in_beat_q <= wr_data;
            if (in_at_q < 16'(HEADER_BYTES)) in_header_q[8*in_at_q[2:0]+:8] <= in_data;
            if (in_at_q == 16'(HEADER_BYTES + MAX_BYTES + 2)) in_bad_q <= 1'b1;
        end
        if (in_end) begin
            in_bad_q <= 1'b0;
            in_crc_q <= '1;
            in_at_q  <= '0;
            if (in_some_q && !drop) begin
                job_valid_q <= 1'b1;
                job_q       <= in_header_q;
                job_bank_q  <= in_bank_q;
                in_bank_q   <= !in_bank_q;
            end
        end
        if (drop && sts_dropped != '1) sts_dropped <= sts_dropped + 16'd1;
        if (rst) begin
            in_escape_q <= 1'b0;
            in_some_q   <= 1'b0;
            in_bad_q    <= 1'b0;
            in_crc_q    <= '1;
            in_at_q     <= '0;
            in_bank_q   <= 1'b0;
            job_valid_q <= 1'b0;
            sts_dropped <= '0;
        end
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Executor: one request at a time
    // -----------------------------------------------------------------------------------------------------------------
    typedef enum logic [3:0] {
        IDLE,        // look at the request
        FETCH,       // read a beat of the buffer
        FRAME_BEAT,  // give it to the core
        WRITE_BEAT,  // write it to memory
        WRITE_REG,   // address and value of a register
        WRITE_WAIT,
        READ_REG,
        READ_WAIT,
        ANSWER,      // send the header of the answer
        VALUE,       // send the register
        READ_BEAT,   // ask memory for a beat
        BEAT_WAIT,
        SEND_BEAT    // send it
    } state_e;

    state_e            state_q;
    logic [BEAT_AW-1:0] beat_q;        // of the payload
    logic [15:0]       left_q;         // bytes of it from this beat on
    logic [31:0]       value_q;
    logic [DATA_W-1:0] answer_q;
    logic              refused_q, aw_done_q, w_done_q;
    logic              last_beat;

    assign last_beat = left_q <= 16'(LANES);
    assign rd_en     = state_q == FETCH;
    assign rd_addr   = {job_bank_q, beat_q};

    function automatic logic [LANES-1:0] keep(input logic [15:0] bytes);
        for (int unsigned i = 0; i < LANES; i++) keep[i] = 16'(i) < bytes;
    endfunction

    assign m_axis_rx_tdata  = rd_data;
    assign m_axis_rx_tkeep  = keep(left_q);
    assign m_axis_rx_tvalid = state_q == FRAME_BEAT;
    assign m_axis_rx_tlast  = last_beat;

    assign m_axil_awaddr    = job_q.address[11:0];
    assign m_axil_awvalid   = state_q == WRITE_REG && !aw_done_q;
    assign m_axil_wdata     = rd_data[31:0];
    assign m_axil_wvalid    = state_q == WRITE_REG && !w_done_q;
    assign m_axil_bready    = state_q == WRITE_WAIT;
    assign m_axil_araddr    = job_q.address[11:0];
    assign m_axil_arvalid   = state_q == READ_REG;
    assign m_axil_rready    = state_q == READ_WAIT;

    assign mem_wr_addr      = job_q.address + (32'(beat_q) << LOW);
    assign mem_wr_data      = rd_data;
    assign mem_wr_valid     = state_q == WRITE_BEAT;
    assign mem_rd_addr      = mem_wr_addr;
    assign mem_rd_valid     = state_q == READ_BEAT;

    // What the executor sends: a beat, how many of its bytes, whether it is the packet's last.
    typedef struct packed {
        logic              last;
        logic [LANES-1:0]  keep;
        logic [DATA_W-1:0] data;
    } send_t;

    header_t answer_header;
    send_t   answer, core, core_header, send;
    logic    answer_valid, answer_ready, core_ready, send_valid, send_ready;

    always_comb begin
        answer_header      = job_q;
        answer_header.kind = job_q.kind | (refused_q ? REFUSED : TO_HOST);
        if (job_q.kind == INFO) begin
            answer_header.length  = sts_dropped;
            answer_header.address = 32'(MEM_BYTES);
        end
    end

    always_comb begin
        answer_valid = 1'b0;
        answer       = '{last: 1'b1, keep: '1, data: answer_q};
        unique case (state_q)
            ANSWER: begin
                answer_valid = 1'b1;
                answer.data  = DATA_W'(answer_header);
                answer.keep  = keep(16'(HEADER_BYTES));
                answer.last  = job_q.kind != REGISTER_READ && job_q.kind != MEMORY_READ;
            end
            VALUE: begin
                answer_valid = 1'b1;
                answer.data  = DATA_W'(value_q);
                answer.keep  = keep(16'd4);
            end
            SEND_BEAT: begin
                answer_valid = 1'b1;
                answer.last  = last_beat;
            end
            default: answer_valid = 1'b0;
        endcase
    end

    assign job_done = (state_q == FRAME_BEAT && m_axis_rx_tready && last_beat)
        || (answer_valid && answer_ready && answer.last);

    always_ff @(posedge clk) begin
        unique case (state_q)
            IDLE: begin
                beat_q    <= '0;
                left_q    <= job_q.length;
                refused_q <= 1'b0;
                aw_done_q <= 1'b0;
                w_done_q  <= 1'b0;
                if (job_valid_q) begin
                    unique case (job_q.kind)
                        REGISTER_READ:     state_q <= READ_REG;
                        MEMORY_READ, INFO: state_q <= ANSWER;
                        default:           state_q <= FETCH;
                    endcase
                end
            end
            FETCH: begin
                unique case (job_q.kind)
                    FRAME:        state_q <= FRAME_BEAT;
                    MEMORY_WRITE: state_q <= WRITE_BEAT;
                    default:      state_q <= WRITE_REG;
                endcase
            end
            FRAME_BEAT: if (m_axis_rx_tready) state_q <= last_beat ? IDLE : FETCH;
            WRITE_BEAT: if (mem_wr_ready) state_q <= last_beat ? ANSWER : FETCH;
            WRITE_REG: begin
                aw_done_q <= aw_done_q || m_axil_awready;
                w_done_q  <= w_done_q || m_axil_wready;
                if ((aw_done_q || m_axil_awready) && (w_done_q || m_axil_wready)) state_q <= WRITE_WAIT;
            end
            WRITE_WAIT: if (m_axil_bvalid) begin
                refused_q <= m_axil_bresp != '0;
                state_q   <= ANSWER;
            end
            READ_REG: if (m_axil_arready) state_q <= READ_WAIT;
            READ_WAIT: if (m_axil_rvalid) begin
                refused_q <= m_axil_rresp != '0;
                value_q   <= m_axil_rdata;
                state_q   <= ANSWER;
            end
            ANSWER: if (answer_ready) begin
                unique case (job_q.kind)
                    REGISTER_READ: state_q <= VALUE;
                    MEMORY_READ:   state_q <= READ_BEAT;
                    default:       state_q <= IDLE;
                endcase
            end
            VALUE:     if (answer_ready) state_q <= IDLE;
            READ_BEAT: if (mem_rd_ready) state_q <= BEAT_WAIT;
            BEAT_WAIT: if (mem_data_valid) begin
                answer_q <= mem_data;
                state_q  <= SEND_BEAT;
            end
            SEND_BEAT: if (answer_ready) state_q <= last_beat ? IDLE : READ_BEAT;
            default:   state_q <= IDLE;
        endcase
        if ((state_q == FRAME_BEAT && m_axis_rx_tready) || (state_q == WRITE_BEAT && mem_wr_ready)
            || (state_q == SEND_BEAT && answer_ready)) begin
            beat_q <= beat_q + 1'b1;
            left_q <= left_q - 16'(LANES);
        end
        if (rst) state_q <= IDLE;
    end

    // -----------------------------------------------------------------------------------------------------------------
    // Packets out: answers before frames of the core, a packet at a time
    // -----------------------------------------------------------------------------------------------------------------
    typedef enum logic [1:0] {FREE, OF_ANSWER, OF_CORE} owner_e;

    owner_e owner_q;

    header_t frame_header;
    assign frame_header = '{kind: FRAME | TO_HOST, tag: '0, length: '0, address: '0};
    assign core_header  = '{last: 1'b0, keep: keep(16'(HEADER_BYTES)), data: DATA_W'(frame_header)};
    assign core         = '{last: s_axis_tx_tlast, keep: s_axis_tx_tkeep, data: s_axis_tx_tdata};

    always_comb begin
        send       = answer;
        send_valid = answer_valid;
        if (owner_q == OF_CORE) begin
            send       = core;
            send_valid = s_axis_tx_tvalid;
        end else if (owner_q == FREE && !answer_valid) begin
            send       = core_header;
            send_valid = s_axis_tx_tvalid;
        end
    end
    assign answer_ready     = send_ready && owner_q != OF_CORE;
    assign core_ready       = send_ready && owner_q == OF_CORE;
    assign s_axis_tx_tready = core_ready;

    always_ff @(posedge clk) begin
        if (send_valid && send_ready) begin
            if (send.last) owner_q <= FREE;
            else if (owner_q == FREE) owner_q <= answer_valid ? OF_ANSWER : OF_CORE;
        end
        if (rst) owner_q <= FREE;
    end

    // Bytes: a beat is taken in when the one before it has left, byte by byte, into SLIP.
    typedef enum logic [1:0] {BYTES, CRC_HIGH, CRC_LOW, END_BYTE} phase_e;

    phase_e            phase_q;
    send_t             out_q;
    logic              out_valid_q, out_escaped_q;
    logic [15:0]       out_crc_q;
    logic [7:0]        out_byte;
    logic              out_special;

    assign send_ready = phase_q == BYTES && !out_valid_q;

    always_comb begin
        unique case (phase_q)
            CRC_HIGH: out_byte = out_crc_q[15:8];
            CRC_LOW:  out_byte = out_crc_q[7:0];
            END_BYTE: out_byte = SLIP_END;
            default:  out_byte = out_q.data[7:0];
        endcase
    end
    assign out_special   = phase_q != END_BYTE && (out_byte == SLIP_END || out_byte == SLIP_ESC);
    assign tx_byte_valid = out_valid_q || phase_q != BYTES;
    assign tx_byte       = !out_special ? out_byte
        : !out_escaped_q ? SLIP_ESC : (out_byte == SLIP_END) ? SLIP_ESC_END : SLIP_ESC_ESC;

    always_ff @(posedge clk) begin
        if (send_valid && send_ready) begin
            out_q       <= send;
            out_valid_q <= 1'b1;
        end
        if (tx_byte_valid && tx_byte_ready) begin
            out_escaped_q <= out_special && !out_escaped_q;
            if (!out_special || out_escaped_q) begin
                unique case (phase_q)
                    CRC_HIGH: phase_q <= CRC_LOW;
                    CRC_LOW:  phase_q <= END_BYTE;
                    END_BYTE: begin
                        phase_q   <= BYTES;
                        out_crc_q <= '1;
                    end
                    default: begin
                        out_crc_q   <= crc16(out_crc_q, out_byte);
                        out_q.data  <= out_q.data >> 8;
                        out_q.keep  <= out_q.keep >> 1;
                        out_valid_q <= out_q.keep[1];
                        if (!out_q.keep[1] && out_q.last) phase_q <= CRC_HIGH;
                    end
                endcase
            end
        end
        if (rst) begin
            phase_q       <= BYTES;
            out_valid_q   <= 1'b0;
            out_escaped_q <= 1'b0;
            out_crc_q     <= '1;
        end
    end

    // Assertions
    `EMBNIC_STABLE(rx_stable, m_axis_rx_tvalid, m_axis_rx_tready, {m_axis_rx_tdata, m_axis_rx_tkeep, m_axis_rx_tlast},
        "a beat of a frame holds until it is taken")
    `EMBNIC_STABLE(tx_stable, s_axis_tx_tvalid, s_axis_tx_tready, {s_axis_tx_tdata, s_axis_tx_tkeep, s_axis_tx_tlast},
        "a beat of the core holds until it is taken")
    `EMBNIC_NEVER(lost_job, job_done && !job_valid_q, "what is done was there")
    `EMBNIC_COVER(both, job_valid_q && in_some_q, "a packet arrives while another is executed")
    `EMBNIC_COVER(escaped, out_special && out_escaped_q, "a byte is escaped")
endmodule
`default_nettype wire
