# SPDX-License-Identifier: Apache-2.0
# vivado -mode batch -source bitstreams/boards/kr260/build.tcl
# The SFP+ port is on the PL: 10G MAC of xxv_ethernet, 64 bits at 156.25 MHz (a licence for its MAC is needed).
source [file join [file dirname [info script]] .. common.tcl]
embnic::project kr260 xck26-sfvc784-2LV-c {link/embnic_link_switch.sv}
set_property board_part xilinx.com:kr260_som:part0:1.1 [current_project]
create_bd_design embnic_kr260_bd
embnic::zynq 100 128 5 1

embnic::cell xxv_ethernet mac [list CONFIG.CORE {Ethernet MAC+PCS/PMA 64-bit} CONFIG.LINE_RATE 10 \
    CONFIG.BASE_R_KR BASE-R CONFIG.NUM_OF_CORES 1 CONFIG.GT_REF_CLK_FREQ 156.25 CONFIG.INCLUDE_AXI4_INTERFACE 1]
create_bd_intf_port -mode Slave -vlnv xilinx.com:interface:diff_clock_rtl:1.0 sfp_refclk
set_property CONFIG.FREQ_HZ 156250000 [get_bd_intf_ports sfp_refclk]
create_bd_intf_port -mode Master -vlnv xilinx.com:interface:gt_rtl:1.0 sfp
embnic::join_port sfp_refclk mac/gt_ref_clk
embnic::join_port sfp mac/gt_serial_port
embnic::join_buses registers/M02_AXI mac/s_axi_0
embnic::wire ps/pl_clk0 mac/dclk mac/s_axi_aclk_0
embnic::wire reset/peripheral_aresetn mac/s_axi_aresetn_0
embnic::wire reset/peripheral_reset mac/sys_reset
embnic::wire mac/rx_clk_out_0 mac/rx_core_clk_0

# In: widened where the MAC's clock is, then into the core's; no frame is held up, a full FIFO spoils one and its CRC shows.
embnic::stream mac_rx Master 128 1
embnic::cell util_vector_logic rx_up {CONFIG.C_OPERATION not CONFIG.C_SIZE 1}
embnic::cell axis_dwidth_converter rx_width {CONFIG.S_TDATA_NUM_BYTES 8 CONFIG.M_TDATA_NUM_BYTES 16 CONFIG.TUSER_BITS_PER_BYTE 1}
embnic::cell axis_data_fifo rx_fifo {CONFIG.FIFO_DEPTH 1024 CONFIG.IS_ACLK_ASYNC 1}
embnic::wire mac/user_rx_reset_0 rx_up/Op1
embnic::wire mac/rx_clk_out_0 rx_width/aclk rx_fifo/s_axis_aclk
embnic::wire rx_up/Res rx_width/aresetn rx_fifo/s_axis_aresetn
embnic::wire ps/pl_clk0 rx_fifo/m_axis_aclk
embnic::join_buses mac/axis_rx_0 rx_width/S_AXIS
embnic::join_buses rx_width/M_AXIS rx_fifo/S_AXIS
embnic::join_port mac_rx rx_fifo/M_AXIS

# Out: a whole frame is there before its first beat is given to the MAC, which may not wait in the middle of one.
embnic::stream mac_tx Slave 128 0
embnic::cell axis_data_fifo tx_clock {CONFIG.FIFO_DEPTH 32 CONFIG.IS_ACLK_ASYNC 1}
embnic::cell util_vector_logic tx_up {CONFIG.C_OPERATION not CONFIG.C_SIZE 1}
embnic::cell axis_data_fifo tx_frames {CONFIG.FIFO_DEPTH 1024 CONFIG.FIFO_MODE 2}
embnic::cell axis_dwidth_converter tx_width {CONFIG.S_TDATA_NUM_BYTES 16 CONFIG.M_TDATA_NUM_BYTES 8}
embnic::wire mac/user_tx_reset_0 tx_up/Op1
embnic::wire ps/pl_clk0 tx_clock/s_axis_aclk
embnic::wire reset/peripheral_aresetn tx_clock/s_axis_aresetn
embnic::wire mac/tx_clk_out_0 tx_clock/m_axis_aclk tx_frames/s_axis_aclk tx_width/aclk
embnic::wire tx_up/Res tx_frames/s_axis_aresetn tx_width/aresetn
embnic::join_port mac_tx tx_clock/S_AXIS
embnic::join_buses tx_clock/M_AXIS tx_frames/S_AXIS
embnic::join_buses tx_frames/M_AXIS tx_width/S_AXIS
embnic::join_buses tx_width/M_AXIS mac/axis_tx_0

assign_bd_address -offset $embnic::mac_address -range 64K -target_address_space [get_bd_addr_spaces ps/Data] \
    [get_bd_addr_segs mac/s_axi_0/Reg]
embnic::build kr260
