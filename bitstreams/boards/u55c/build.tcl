# SPDX-License-Identifier: Apache-2.0
# vivado -mode batch -source bitstreams/boards/u55c/build.tcl
# Packages the core with CMAC and AXI DMA as a Vitis kernel, build/boards/u55c/embnic.xo; v++ links it (README.md).
source [file join [file dirname [info script]] .. common.tcl]
embnic::project u55c xcu55c-fsvh2892-2L-e {link/embnic_link_switch.sv}
create_bd_design embnic_u55c_bd
set embnic::buses {}

# The kernel's clock and reset come from the platform; its register window has core, DMA and MAC 64 KB apart.
create_bd_port -dir I -type clk -freq_hz 250000000 clk
create_bd_port -dir I -type rst rst_n
create_bd_port -dir I -type clk -freq_hz 100000000 clk_freerun
embnic::bus control Slave aximm {CONFIG.PROTOCOL AXI4LITE CONFIG.ADDR_WIDTH 18 CONFIG.DATA_WIDTH 32 CONFIG.HAS_PROT 0}
embnic::bus core_axil Master aximm {CONFIG.PROTOCOL AXI4LITE CONFIG.ADDR_WIDTH 40 CONFIG.DATA_WIDTH 32}
embnic::bus core_axi Slave aximm {CONFIG.PROTOCOL AXI4 CONFIG.ADDR_WIDTH 40 CONFIG.DATA_WIDTH 512 CONFIG.ID_WIDTH 8 \
    CONFIG.HAS_LOCK 0 CONFIG.HAS_CACHE 0 CONFIG.HAS_PROT 0 CONFIG.HAS_QOS 0 CONFIG.HAS_REGION 0}
# Bursts of 16 beats at most (MAX_BURST of line100): what the AXI3 ports of the HBM take without cutting.
embnic::bus hbm Master aximm {CONFIG.PROTOCOL AXI4 CONFIG.ADDR_WIDTH 64 CONFIG.DATA_WIDTH 512 CONFIG.HAS_LOCK 0 \
    CONFIG.HAS_CACHE 0 CONFIG.HAS_PROT 0 CONFIG.HAS_QOS 0 CONFIG.HAS_REGION 0}
embnic::stream host_rx Master 512 0
embnic::stream host_tx Slave 512 0
embnic::stream mac_rx Master 512 1
embnic::stream mac_tx Slave 512 0

embnic::cell axi_dma dma [list CONFIG.c_include_sg 0 CONFIG.c_sg_include_stscntrl_strm 0 CONFIG.c_sg_length_width 26 \
    CONFIG.c_addr_width 64 CONFIG.c_m_axi_mm2s_data_width 512 CONFIG.c_m_axis_mm2s_tdata_width 512 \
    CONFIG.c_m_axi_s2mm_data_width 512 CONFIG.c_s_axis_s2mm_tdata_width 512 \
    CONFIG.c_mm2s_burst_size 16 CONFIG.c_s2mm_burst_size 16]
embnic::cell smartconnect registers {CONFIG.NUM_SI 1 CONFIG.NUM_MI 3 CONFIG.NUM_CLKS 2}
embnic::cell smartconnect memory {CONFIG.NUM_SI 3 CONFIG.NUM_MI 1}
connect_bd_net [get_bd_ports clk] [get_bd_pins registers/aclk] [get_bd_pins memory/aclk] [get_bd_pins dma/s_axi_lite_aclk] \
    [get_bd_pins dma/m_axi_mm2s_aclk] [get_bd_pins dma/m_axi_s2mm_aclk]
connect_bd_net [get_bd_ports rst_n] [get_bd_pins registers/aresetn] [get_bd_pins memory/aresetn] [get_bd_pins dma/axi_resetn]
embnic::join_port control registers/S00_AXI
embnic::join_port core_axil registers/M00_AXI
embnic::join_buses registers/M01_AXI dma/S_AXI_LITE
embnic::join_port core_axi memory/S00_AXI
embnic::join_buses dma/M_AXI_MM2S memory/S01_AXI
embnic::join_buses dma/M_AXI_S2MM memory/S02_AXI
embnic::join_port hbm memory/M00_AXI
embnic::join_port host_rx dma/M_AXIS_MM2S
embnic::join_port host_tx dma/S_AXIS_S2MM

# QSFP28 cage 0: its reference is 161.13 MHz.
embnic::cell cmac_usplus mac [list CONFIG.CMAC_CAUI4_MODE 1 CONFIG.NUM_LANES 4x25 CONFIG.USER_INTERFACE AXIS \
    CONFIG.GT_REF_CLK_FREQ 161.1328125 CONFIG.CMAC_CORE_SELECT CMACE4_X0Y3 CONFIG.GT_GROUP_SELECT X0Y24~X0Y27 \
    CONFIG.LANE1_GT_LOC X0Y24 CONFIG.LANE2_GT_LOC X0Y25 CONFIG.LANE3_GT_LOC X0Y26 CONFIG.LANE4_GT_LOC X0Y27 \
    CONFIG.GT_DRP_CLK 100 CONFIG.INCLUDE_RS_FEC 1 CONFIG.TX_FLOW_CONTROL 0 CONFIG.RX_FLOW_CONTROL 0 \
    CONFIG.ENABLE_AXI_INTERFACE 1 CONFIG.RX_MAX_PACKET_LEN 9600]
create_bd_intf_port -mode Slave -vlnv xilinx.com:interface:diff_clock_rtl:1.0 qsfp_refclk
set_property CONFIG.FREQ_HZ 161132812 [get_bd_intf_ports qsfp_refclk]
create_bd_intf_port -mode Master -vlnv xilinx.com:interface:gt_rtl:1.0 qsfp
embnic::join_port qsfp_refclk mac/gt_ref_clk
embnic::join_port qsfp mac/gt_serial_port
embnic::join_buses registers/M02_AXI mac/s_axi
embnic::cell proc_sys_reset slow_reset {}
connect_bd_net [get_bd_ports rst_n] [get_bd_pins slow_reset/ext_reset_in]
connect_bd_net [get_bd_ports clk_freerun] [get_bd_pins slow_reset/slowest_sync_clk] [get_bd_pins mac/init_clk] \
    [get_bd_pins mac/s_axi_aclk] [get_bd_pins mac/gt_drpclk] [get_bd_pins registers/aclk1]
embnic::wire slow_reset/peripheral_reset mac/sys_reset mac/s_axi_sreset
embnic::wire mac/gt_txusrclk2 mac/rx_clk

embnic::cell util_vector_logic rx_up {CONFIG.C_OPERATION not CONFIG.C_SIZE 1}
embnic::cell axis_data_fifo rx_fifo {CONFIG.FIFO_DEPTH 512 CONFIG.IS_ACLK_ASYNC 1}
embnic::cell axis_data_fifo tx_clock {CONFIG.FIFO_DEPTH 32 CONFIG.IS_ACLK_ASYNC 1}
embnic::cell util_vector_logic tx_up {CONFIG.C_OPERATION not CONFIG.C_SIZE 1}
embnic::cell axis_data_fifo tx_frames {CONFIG.FIFO_DEPTH 256 CONFIG.FIFO_MODE 2}
embnic::wire mac/usr_rx_reset rx_up/Op1
embnic::wire rx_up/Res rx_fifo/s_axis_aresetn
embnic::wire mac/usr_tx_reset tx_up/Op1
embnic::wire tx_up/Res tx_frames/s_axis_aresetn
embnic::wire mac/gt_txusrclk2 rx_fifo/s_axis_aclk tx_clock/m_axis_aclk tx_frames/s_axis_aclk
connect_bd_net [get_bd_ports clk] [get_bd_pins rx_fifo/m_axis_aclk] [get_bd_pins tx_clock/s_axis_aclk]
connect_bd_net [get_bd_ports rst_n] [get_bd_pins tx_clock/s_axis_aresetn]
embnic::join_buses mac/axis_rx rx_fifo/S_AXIS
embnic::join_port mac_rx rx_fifo/M_AXIS
embnic::join_port mac_tx tx_clock/S_AXIS
embnic::join_buses tx_clock/M_AXIS tx_frames/S_AXIS
embnic::join_buses tx_frames/M_AXIS mac/axis_tx

foreach {offset range segment} {0x00000 4K core_axil/Reg 0x10000 64K dma/S_AXI_LITE/Reg 0x20000 64K mac/s_axi/Reg} {
    assign_bd_address -offset $offset -range $range -target_address_space [get_bd_addr_spaces control] \
        [get_bd_addr_segs $segment]
}
foreach master {core_axi dma/Data_MM2S dma/Data_S2MM} {
    assign_bd_address -offset 0 -range 1T -target_address_space [get_bd_addr_spaces $master] [get_bd_addr_segs hbm/Reg]
}
set_property CONFIG.ASSOCIATED_BUSIF [join $embnic::buses :] [get_bd_ports clk]
validate_bd_design
save_bd_design
generate_target all [get_files embnic_u55c_bd.bd]
update_compile_order -fileset sources_1

# The kernel. XRT never starts it (user_managed); its one argument says which memory it is connected to.
set where [file join $embnic::root build boards u55c ip]
ipx::package_project -root_dir $where -vendor embnic.org -library kernel -taxonomy /KernelIP -import_files -force
set core [ipx::current_core]
set_property name embnic $core
set_property sdx_kernel true $core
set_property sdx_kernel_type rtl $core
ipx::infer_bus_interface {qsfp_grx_p qsfp_grx_n qsfp_gtx_p qsfp_gtx_n} xilinx.com:interface:gt_rtl:1.0 $core
ipx::infer_bus_interface {qsfp_refclk_clk_p qsfp_refclk_clk_n} xilinx.com:interface:diff_clock_rtl:1.0 $core
foreach bus {s_axi_control m_axi_hbm} { ipx::associate_bus_interfaces -busif $bus -clock ap_clk $core }
set map [ipx::add_memory_map s_axi_control $core]
set block [ipx::add_address_block reg0 $map]
set_property range 0x40000 $block
set pointer [ipx::add_register memory $block]
set_property address_offset 0x30000 $pointer
set_property size 64 $pointer
set_property value m_axi_hbm [ipx::add_register_parameter ASSOCIATED_BUSIF $pointer]
set_property slave_memory_map_ref s_axi_control [ipx::get_bus_interfaces s_axi_control -of_objects $core]
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity -kernel $core
ipx::save_core $core
package_xo -xo_path [file join $embnic::root build boards u55c embnic.xo] -kernel_name embnic -ip_directory $where \
    -ctrl_protocol user_managed -force
