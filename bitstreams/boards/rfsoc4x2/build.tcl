# SPDX-License-Identifier: Apache-2.0
# vivado -mode batch -source bitstreams/boards/rfsoc4x2/build.tcl
# The QSFP28 port is on the PL: the CMAC hard block, 512 bits at 322.27 MHz (a licence for it is needed, free of charge).
source [file join [file dirname [info script]] .. common.tcl]
embnic::project rfsoc4x2 xczu48dr-ffvg1517-2-e {link/embnic_link_switch.sv}
set_property board_part realdigital.org:rfsoc4x2:part0:1.0 [current_project]
create_bd_design embnic_rfsoc4x2_bd
embnic::zynq 250 512 8 1

# Reference 156.25 MHz and the four lanes are of bank 128.
embnic::cell cmac_usplus mac [list CONFIG.CMAC_CAUI4_MODE 1 CONFIG.NUM_LANES 4x25 CONFIG.USER_INTERFACE AXIS \
    CONFIG.GT_REF_CLK_FREQ 156.25 CONFIG.CMAC_CORE_SELECT CMACE4_X0Y0 CONFIG.GT_GROUP_SELECT X0Y4~X0Y7 \
    CONFIG.LANE1_GT_LOC X0Y4 CONFIG.LANE2_GT_LOC X0Y5 CONFIG.LANE3_GT_LOC X0Y6 CONFIG.LANE4_GT_LOC X0Y7 \
    CONFIG.GT_DRP_CLK 100 CONFIG.INCLUDE_RS_FEC 1 CONFIG.TX_FLOW_CONTROL 0 CONFIG.RX_FLOW_CONTROL 0 \
    CONFIG.ENABLE_AXI_INTERFACE 1 CONFIG.RX_MAX_PACKET_LEN 9600]
create_bd_intf_port -mode Slave -vlnv xilinx.com:interface:diff_clock_rtl:1.0 qsfp_refclk
set_property CONFIG.FREQ_HZ 156250000 [get_bd_intf_ports qsfp_refclk]
create_bd_intf_port -mode Master -vlnv xilinx.com:interface:gt_rtl:1.0 qsfp
embnic::join_port qsfp_refclk mac/gt_ref_clk
embnic::join_port qsfp mac/gt_serial_port
set_property -dict {CONFIG.PSU__FPGA_PL1_ENABLE 1 CONFIG.PSU__CRL_APB__PL1_REF_CTRL__FREQMHZ 100} [get_bd_cells ps]
embnic::cell proc_sys_reset slow_reset {}
embnic::wire ps/pl_resetn0 slow_reset/ext_reset_in
embnic::wire ps/pl_clk1 slow_reset/slowest_sync_clk mac/init_clk mac/s_axi_aclk mac/gt_drpclk registers/aclk1
set_property CONFIG.NUM_CLKS 2 [get_bd_cells registers]
embnic::join_buses registers/M02_AXI mac/s_axi
embnic::wire slow_reset/peripheral_reset mac/sys_reset mac/s_axi_sreset
embnic::wire mac/gt_txusrclk2 mac/rx_clk

# In: no frame is held up; a full FIFO spoils one, and its CRC shows.
embnic::stream mac_rx Master 512 1
embnic::cell util_vector_logic rx_up {CONFIG.C_OPERATION not CONFIG.C_SIZE 1}
embnic::cell axis_data_fifo rx_fifo {CONFIG.FIFO_DEPTH 512 CONFIG.IS_ACLK_ASYNC 1}
embnic::wire mac/usr_rx_reset rx_up/Op1
embnic::wire mac/gt_txusrclk2 rx_fifo/s_axis_aclk
embnic::wire rx_up/Res rx_fifo/s_axis_aresetn
embnic::wire ps/pl_clk0 rx_fifo/m_axis_aclk
embnic::join_buses mac/axis_rx rx_fifo/S_AXIS
embnic::join_port mac_rx rx_fifo/M_AXIS

# Out: a whole frame is there before its first beat is given to the MAC, which may not wait in the middle of one.
embnic::stream mac_tx Slave 512 0
embnic::cell axis_data_fifo tx_clock {CONFIG.FIFO_DEPTH 32 CONFIG.IS_ACLK_ASYNC 1}
embnic::cell util_vector_logic tx_up {CONFIG.C_OPERATION not CONFIG.C_SIZE 1}
embnic::cell axis_data_fifo tx_frames {CONFIG.FIFO_DEPTH 256 CONFIG.FIFO_MODE 2}
embnic::wire mac/usr_tx_reset tx_up/Op1
embnic::wire ps/pl_clk0 tx_clock/s_axis_aclk
embnic::wire reset/peripheral_aresetn tx_clock/s_axis_aresetn
embnic::wire mac/gt_txusrclk2 tx_clock/m_axis_aclk tx_frames/s_axis_aclk
embnic::wire tx_up/Res tx_frames/s_axis_aresetn
embnic::join_port mac_tx tx_clock/S_AXIS
embnic::join_buses tx_clock/M_AXIS tx_frames/S_AXIS
embnic::join_buses tx_frames/M_AXIS mac/axis_tx

assign_bd_address -offset $embnic::mac_address -range 64K -target_address_space [get_bd_addr_spaces ps/Data] \
    [get_bd_addr_segs mac/s_axi/Reg]
embnic::build rfsoc4x2
