// SPDX-License-Identifier: Apache-2.0
// Counts epochs of a settable length: what was stamped two epochs ago is too old.
//
// A stamp of three bits tells ages of 0 to 7. Whoever looks for old stamps must find each within five
// epochs after it became old; an epoch is 1,024 cycles at least for that.
//
// Latency        a new length counts at once: an epoch that is longer already ends with its unit.
// Off            cfg_kilocycles = 0: the epoch stands, and nothing grows old.
`default_nettype none
`include "embnic_assert.svh"
module embnic_epoch
    import embnic_pkg::EPOCH_W;
(
    input  wire logic               clk,
    input  wire logic               rst,
    input  wire logic [15:0]        cfg_kilocycles,  // length of an epoch in units of 1,024 cycles; 0: off
    output      logic               epoch_on,
    output      logic [EPOCH_W-1:0] epoch
);
    logic [9:0]  cycle_q;
    logic [15:0] kilo_q;   // units of this epoch that are over
    logic        whole_q;  // a unit is over
    logic        last;     // it is the epoch's last

    assign last = 17'(kilo_q) + 17'd1 >= 17'(cfg_kilocycles);

    always_ff @(posedge clk) begin
        if (rst) begin
            cycle_q  <= '0;
            kilo_q   <= '0;
            whole_q  <= 1'b0;
            epoch    <= '0;
            epoch_on <= 1'b0;
        end else begin
            cycle_q  <= cycle_q + 1'b1;
            whole_q  <= cycle_q == '1;
            epoch_on <= cfg_kilocycles != '0;
            if (whole_q) begin
                kilo_q <= last ? '0 : kilo_q + 16'd1;
                if (last && epoch_on) epoch <= epoch + 1'b1;
            end
        end
    end

    // Assertions
    `EMBNIC_KNOWN(epoch_known, {epoch_on, epoch}, "the epoch is known after reset")
    `EMBNIC_COVER(turned, epoch == '1 && whole_q && last, "the epoch goes round")
endmodule
`default_nettype wire
