// SPDX-License-Identifier: Apache-2.0
// 30 MHz of the board's 100 MHz: 100 / 10 * 3 * 20 = 600 MHz inside, / 20 at the output.
//
// In Verilog, because yosys' own reader keeps the text of a primitive's parameters, which nextpnr needs.
`default_nettype none
module embnic_ecpix5_pll (
    input  wire clk100,
    output wire clk,
    output wire locked   // of no clock
);
    (* FREQUENCY_PIN_CLKI = "100", FREQUENCY_PIN_CLKOP = "30", ICP_CURRENT = "12", LPF_RESISTOR = "8",
       MFG_ENABLE_FILTEROPAMP = "1", MFG_GMCREF_SEL = "2" *)
    EHXPLLL #(
        .PLLRST_ENA("DISABLED"), .INTFB_WAKE("DISABLED"), .STDBY_ENABLE("DISABLED"), .DPHASE_SOURCE("DISABLED"),
        .OUTDIVIDER_MUXA("DIVA"), .OUTDIVIDER_MUXB("DIVB"), .OUTDIVIDER_MUXC("DIVC"), .OUTDIVIDER_MUXD("DIVD"),
        .CLKI_DIV(10), .CLKFB_DIV(3), .CLKOP_ENABLE("ENABLED"), .CLKOP_DIV(20), .CLKOP_CPHASE(9), .CLKOP_FPHASE(0),
        .FEEDBK_PATH("CLKOP")
    ) u_pll (
        .CLKI(clk100), .CLKFB(clk), .CLKOP(clk), .LOCK(locked),
        .RST(1'b0), .STDBY(1'b0), .ENCLKOP(1'b0), .PLLWAKESYNC(1'b0),
        .PHASESEL0(1'b0), .PHASESEL1(1'b0), .PHASEDIR(1'b1), .PHASESTEP(1'b1), .PHASELOADREG(1'b1)
    );
endmodule
`default_nettype wire
