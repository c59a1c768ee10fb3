// SPDX-License-Identifier: Apache-2.0
// The word that stands at a place of an embnic_fifo, counted from its output; given the FIFO's registers.
`default_nettype none
module embnic_fv_fifo_word #(
    parameter int unsigned DEPTH = 4,
    localparam int unsigned ADDR_W = $clog2(DEPTH)
) (
    input  wire logic [7:0]            place,        // 0: at the output
    input  wire logic [DEPTH-1:0][7:0] mem,
    input  wire logic [ADDR_W:0]       rd_ptr_q,
    input  wire logic                  read_valid_q,
    input  wire logic [7:0]            read_data,
    input  wire logic [1:0]            out_cnt_q,
    input  wire logic [7:0]            out_head_q,
    input  wire logic [7:0]            out_next_q,
    output      logic [7:0]            word
);
    logic [7:0] behind;  // places behind those that left the RAM

    assign behind = place - 8'(out_cnt_q) - 8'(read_valid_q);

    always_comb begin
        word = mem[ADDR_W'(rd_ptr_q + (ADDR_W + 1)'(behind))];
        if (place == 8'(out_cnt_q) && read_valid_q) word = read_data;
        if (place == 8'd1 && out_cnt_q == 2'd2) word = out_next_q;
        if (place == 8'd0 && out_cnt_q != '0) word = out_head_q;
    end
endmodule
`default_nettype wire
