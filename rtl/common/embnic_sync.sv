// SPDX-License-Identifier: Apache-2.0
// Takes levels into another clock domain through two flip-flops a bit.
//
// Order          a level that lasts longer than one period of clk_dst is seen; a shorter one may be missed.
// Latency        2 edges of clk_dst, one more when the first edge falls into the change.
// Rules          src_level comes straight from registers of one clock: combinational logic would let glitches through.
//                Of several bits at most one changes at a time (gray code), or each is meant alone.
// Not handled    words whose bits belong together: see embnic_async_fifo.
`default_nettype none
module embnic_sync #(
    parameter int unsigned WIDTH    = 1,  // bits
    parameter bit          FROM_ONE = 0   // all ones from configuration to the first edge: for a level that is a reset
) (
    input  wire logic             clk_dst,
    input  wire logic [WIDTH-1:0] src_level,  // of any clock
    output      logic [WIDTH-1:0] dst_level   // the same, in the domain of clk_dst; no reset: it follows the source
);
    if (WIDTH < 1) begin : gen_bad_width
        $fatal(1, "WIDTH must be at least 1");
    end

    // The first register may go metastable and has a period to settle; tools keep both close together and out of SRLs.
    (* ASYNC_REG = "TRUE", shreg_extract = "no" *) logic [WIDTH-1:0] dst_meta_q = FROM_ONE ? '1 : 'x;
    (* ASYNC_REG = "TRUE", shreg_extract = "no" *) logic [WIDTH-1:0] dst_level_q = FROM_ONE ? '1 : 'x;

    always_ff @(posedge clk_dst) begin
        dst_meta_q  <= src_level;
        dst_level_q <= dst_meta_q;
    end

    assign dst_level = dst_level_q;
endmodule
`default_nettype wire
