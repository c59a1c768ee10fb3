# SPDX-License-Identifier: Apache-2.0
# AMD Kria KR260: the SFP+ cage on GTH quad 224 and its 156.25 MHz reference. Clocks of the PS come with the block design.
set_property BITSTREAM.GENERAL.COMPRESS true [current_design]
set_property PACKAGE_PIN Y6 [get_ports sfp_refclk_p]
set_property PACKAGE_PIN Y5 [get_ports sfp_refclk_n]
set_property PACKAGE_PIN T2 [get_ports sfp_rx_p]
set_property PACKAGE_PIN T1 [get_ports sfp_rx_n]
set_property PACKAGE_PIN R4 [get_ports sfp_tx_p]
set_property PACKAGE_PIN R3 [get_ports sfp_tx_n]
set_property PACKAGE_PIN Y10 [get_ports sfp_tx_disable]
set_property IOSTANDARD LVCMOS33 [get_ports sfp_tx_disable]
create_clock -period 6.400 -name sfp_refclk [get_ports sfp_refclk_p]
set_false_path -to [get_ports sfp_tx_disable]
