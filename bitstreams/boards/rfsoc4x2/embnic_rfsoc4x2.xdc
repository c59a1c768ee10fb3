# SPDX-License-Identifier: Apache-2.0
# RealDigital RFSoC 4x2: the QSFP28 cage on bank 128. The lanes' pins follow from the CMAC's transceivers (X0Y4 to X0Y7).
set_property BITSTREAM.GENERAL.COMPRESS true [current_design]
set_property PACKAGE_PIN AA33 [get_ports qsfp_refclk_p]
set_property PACKAGE_PIN AA34 [get_ports qsfp_refclk_n]
set_property PACKAGE_PIN AL21 [get_ports qsfp_reset_n]
set_property PACKAGE_PIN AN22 [get_ports qsfp_low_power]
set_property PACKAGE_PIN AK22 [get_ports qsfp_select_n]
set_property IOSTANDARD LVCMOS18 [get_ports {qsfp_reset_n qsfp_low_power qsfp_select_n}]
create_clock -period 6.400 -name qsfp_refclk [get_ports qsfp_refclk_p]
set_false_path -to [get_ports {qsfp_reset_n qsfp_low_power qsfp_select_n}]
