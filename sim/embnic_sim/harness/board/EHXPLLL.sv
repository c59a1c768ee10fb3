// SPDX-License-Identifier: Apache-2.0
// The ECP5's PLL as the lint and the simulation of the ecpix5 top see it: the output follows the input, and it locks.
`default_nettype none
module EHXPLLL #(
    parameter PLLRST_ENA = "DISABLED", parameter INTFB_WAKE = "DISABLED", parameter STDBY_ENABLE = "DISABLED",
    parameter DPHASE_SOURCE = "DISABLED", parameter OUTDIVIDER_MUXA = "DIVA", parameter OUTDIVIDER_MUXB = "DIVB",
    parameter OUTDIVIDER_MUXC = "DIVC", parameter OUTDIVIDER_MUXD = "DIVD", parameter CLKOP_ENABLE = "ENABLED",
    parameter FEEDBK_PATH = "CLKOP", parameter int CLKI_DIV = 1, parameter int CLKFB_DIV = 1,
    parameter int CLKOP_DIV = 8, parameter int CLKOP_CPHASE = 0, parameter int CLKOP_FPHASE = 0
) (
    input  wire logic CLKI, CLKFB, RST, STDBY, ENCLKOP, PLLWAKESYNC,
    input  wire logic PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG,
    output      logic CLKOP, LOCK
);
    assign CLKOP = CLKI;
    assign LOCK  = 1'b1;
endmodule
`default_nettype wire
