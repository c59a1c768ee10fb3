# SPDX-License-Identifier: Apache-2.0
# AMD Alveo U55C: pins and their clocks belong to the platform that the kernel is linked into (embnic_u55c.cfg). Here only
# what the kernel needs when it is built by itself.
create_clock -period 4.000 -name ap_clk [get_ports ap_clk]
create_clock -period 6.206 -name qsfp_refclk [get_ports qsfp_refclk_clk_p]
create_clock -period 10.000 -name clk_freerun [get_ports clk_freerun]
