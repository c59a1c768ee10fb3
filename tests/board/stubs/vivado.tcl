# SPDX-License-Identifier: Apache-2.0
# Stands in for Vivado when a board's script is checked: tclsh vivado.tcl RECORD SCRIPT
#
# Every command that a script may use is here; any other is an error, as is a pin, interface or property that the vendor's
# IP does not have, a cell or port that was not created, a pin driven twice. What was called is written to RECORD, a call
# a line: words separated by tabs.

lassign $argv record_file script
set ::record [open $record_file w]
array set ::cells {}
array set ::ports {}
array set ::driven {}

proc note {args} { puts $::record [join [lmap word $args {string map {\t " " \n " "} $word}] \t] }
proc fail {text} { return -code error -level 2 "stand-in: $text" }

# Pins and interfaces of the vendor's IP, as its product guides name them.
array set ::ip_pins {
    zynq_ultra_ps_e {pl_clk0 pl_clk1 pl_resetn0 maxihpm0_fpd_aclk saxihp0_fpd_aclk}
    proc_sys_reset {slowest_sync_clk ext_reset_in peripheral_aresetn peripheral_reset}
    smartconnect {aclk aclk1 aresetn}
    axi_dma {s_axi_lite_aclk m_axi_mm2s_aclk m_axi_s2mm_aclk axi_resetn}
    axis_data_fifo {s_axis_aclk s_axis_aresetn m_axis_aclk}
    axis_dwidth_converter {aclk aresetn}
    util_vector_logic {Op1 Res}
    xxv_ethernet {dclk s_axi_aclk_0 s_axi_aresetn_0 sys_reset rx_core_clk_0 rx_clk_out_0 tx_clk_out_0 user_rx_reset_0
        user_tx_reset_0}
    cmac_usplus {gt_txusrclk2 rx_clk init_clk gt_drpclk s_axi_aclk s_axi_sreset sys_reset usr_rx_reset usr_tx_reset}
}
array set ::ip_buses {
    zynq_ultra_ps_e {M_AXI_HPM0_FPD S_AXI_HP0_FPD}
    proc_sys_reset {}
    smartconnect {S00_AXI S01_AXI S02_AXI M00_AXI M01_AXI M02_AXI}
    axi_dma {S_AXI_LITE M_AXI_MM2S M_AXI_S2MM M_AXIS_MM2S S_AXIS_S2MM}
    axis_data_fifo {S_AXIS M_AXIS}
    axis_dwidth_converter {S_AXIS M_AXIS}
    util_vector_logic {}
    xxv_ethernet {gt_ref_clk gt_serial_port s_axi_0 axis_rx_0 axis_tx_0}
    cmac_usplus {gt_ref_clk gt_serial_port s_axi axis_rx axis_tx}
}
array set ::ip_properties {
    zynq_ultra_ps_e {PSU__USE__M_AXI_GP0 PSU__USE__M_AXI_GP1 PSU__USE__M_AXI_GP2 PSU__USE__S_AXI_GP2 PSU__FPGA_PL0_ENABLE
        PSU__FPGA_PL1_ENABLE PSU__CRL_APB__PL0_REF_CTRL__SRCSEL PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ
        PSU__CRL_APB__PL1_REF_CTRL__FREQMHZ}
    proc_sys_reset {}
    smartconnect {NUM_SI NUM_MI NUM_CLKS}
    axi_dma {c_include_sg c_sg_include_stscntrl_strm c_sg_length_width c_addr_width c_m_axi_mm2s_data_width
        c_m_axis_mm2s_tdata_width c_m_axi_s2mm_data_width c_s_axis_s2mm_tdata_width c_mm2s_burst_size c_s2mm_burst_size}
    axis_data_fifo {FIFO_DEPTH FIFO_MODE IS_ACLK_ASYNC}
    axis_dwidth_converter {S_TDATA_NUM_BYTES M_TDATA_NUM_BYTES TUSER_BITS_PER_BYTE}
    util_vector_logic {C_OPERATION C_SIZE}
    xxv_ethernet {CORE LINE_RATE BASE_R_KR NUM_OF_CORES GT_REF_CLK_FREQ INCLUDE_AXI4_INTERFACE}
    cmac_usplus {CMAC_CAUI4_MODE NUM_LANES USER_INTERFACE GT_REF_CLK_FREQ CMAC_CORE_SELECT GT_GROUP_SELECT LANE1_GT_LOC
        LANE2_GT_LOC LANE3_GT_LOC LANE4_GT_LOC GT_DRP_CLK INCLUDE_RS_FEC TX_FLOW_CONTROL RX_FLOW_CONTROL
        ENABLE_AXI_INTERFACE RX_MAX_PACKET_LEN}
}
set ::port_properties {PROTOCOL ADDR_WIDTH DATA_WIDTH ID_WIDTH HAS_LOCK HAS_CACHE HAS_PROT HAS_QOS HAS_REGION HAS_TKEEP
    HAS_TLAST HAS_TREADY TDATA_NUM_BYTES TUSER_WIDTH FREQ_HZ ASSOCIATED_BUSIF}

# Options of a command: those with a value, flags, and what is left.
proc options {call valued flags words} {
    set left {}
    for {set i 0} {$i < [llength $words]} {incr i} {
        set word [lindex $words $i]
        if {$word in $valued} { incr i; dict set found $word [lindex $words $i]
        } elseif {$word in $flags} { dict set found $word 1
        } elseif {[string match -* $word] && ![string is double $word]} { fail "$call has no option $word"
        } else { lappend left $word }
    }
    dict set found left $left
    return $found
}

proc existing {files} {
    foreach file $files { if {![file isfile $file]} { fail "the file $file does not exist" } }
}

proc create_project {args} {
    set o [options create_project {-part} {-force} $args]
    note create_project {*}[dict get $o left] [dict get $o -part]
}
proc add_files {args} {
    set o [options add_files {-fileset} {-norecurse} $args]
    foreach files [dict get $o left] {
        existing $files
        foreach file $files { note add_files $file }
    }
}
proc current_project {} { return project }
proc current_fileset {} { return fileset }
proc get_files {name} {
    if {![info exists ::design] || $name ne "$::design.bd"} { fail "no file $name" }
    return design:$name
}
proc get_runs {name} { if {$name ne "impl_1"} { fail "no run $name" }; return run:$name }

proc set_property {args} {
    if {[lindex $args 0] eq "-dict"} {
        lassign $args _ pairs object
        if {[llength $args] != 3 || [llength $pairs] % 2} { fail "set_property -dict $args" }
    } else {
        if {[llength $args] != 3} { fail "set_property $args" }
        lassign $args name value object
        set pairs [list $name $value]
    }
    foreach {name value} $pairs {
        switch -glob -- $object {
            cell:* { config $name $::ip_properties($::cells([string range $object 5 end])) $object }
            port:* { config $name $::port_properties $object }
            fileset {
                if {$name ni {include_dirs verilog_define top}} { fail "$name of a fileset" }
                if {$name eq "include_dirs"} { foreach folder $value { if {![file isdirectory $folder]} { fail "no folder $folder" } } }
            }
            project { if {$name ne "board_part"} { fail "$name of a project" } }
            design:* { if {$name ne "synth_checkpoint_mode"} { fail "$name of a design" } }
            ipx:* {}
            default { fail "set_property of $object" }
        }
        note set_property $object $name $value
    }
}
proc config {name known object} {
    if {![string match CONFIG.* $name] || [string range $name 7 end] ni $known} { fail "$object has no property $name" }
}
proc get_property {name object} {
    switch $name {
        PROGRESS { return 100% }
        STATS.WNS { return [expr {[info exists ::env(EMBNIC_STUB_WNS)] ? $::env(EMBNIC_STUB_WNS) : 0.1}] }
        default { fail "get_property $name" }
    }
}

proc create_bd_design {name} { set ::design $name; note create_bd_design $name }
proc create_bd_cell {args} {
    set o [options create_bd_cell {-type -vlnv} {} $args]
    if {[dict get $o -type] ne "ip"} { fail "create_bd_cell $args" }
    set type [lindex [split [dict get $o -vlnv] :] 2]
    if {![info exists ::ip_pins($type)]} { fail "no IP [dict get $o -vlnv]" }
    set name [dict get $o left]
    if {[info exists ::cells($name)]} { fail "the cell $name is there twice" }
    set ::cells($name) $type
    note create_bd_cell $type $name
    return cell:$name
}
proc get_bd_cells {name} { if {![info exists ::cells($name)]} { fail "no cell $name" }; return cell:$name }
proc create_bd_port {args} {
    set o [options create_bd_port {-dir -type -freq_hz} {} $args]
    set name [dict get $o left]
    set ::ports($name) [dict get $o -dir]
    note create_bd_port $name [dict get $o -dir]
    return port:$name
}
proc create_bd_intf_port {args} {
    set o [options create_bd_intf_port {-mode -vlnv} {} $args]
    set name [dict get $o left]
    set kind [lindex [split [dict get $o -vlnv] :] 2]
    if {$kind ni {aximm_rtl axis_rtl diff_clock_rtl gt_rtl}} { fail "no interface $kind" }
    set ::ports($name) bus
    note create_bd_intf_port $name [dict get $o -mode] $kind
    return port:$name
}
proc get_bd_ports {name} { if {![info exists ::ports($name)] || $::ports($name) eq "bus"} { fail "no port $name" }; return port:$name }
proc get_bd_intf_ports {name} { if {![info exists ::ports($name)] || $::ports($name) ne "bus"} { fail "no bus $name" }; return port:$name }
proc pin {path table} {
    lassign [split $path /] cell pin
    if {![info exists ::cells($cell)]} { fail "no cell $cell" }
    upvar #0 $table known
    if {$pin ni $known($::cells($cell))} { fail "$::cells($cell) has no $pin" }
    return pin:$path
}
proc get_bd_pins {path} { return [pin $path ::ip_pins] }
proc get_bd_intf_pins {path} { return [pin $path ::ip_buses] }
set ::outputs {pl_clk0 pl_clk1 pl_resetn0 peripheral_aresetn peripheral_reset Res rx_clk_out_0 tx_clk_out_0 user_rx_reset_0
    user_tx_reset_0 gt_txusrclk2 usr_rx_reset usr_tx_reset}
proc drives {end} {
    if {[string match port:* $end]} { return [expr {$::ports([string range $end 5 end]) eq "I"}] }
    return [expr {[lindex [split $end /] 1] in $::outputs}]
}
proc connect_bd_net {args} {
    set sources [lmap end $args {expr {[drives $end] ? $end : [continue]}}]
    if {[llength $sources] != 1 || [llength $args] < 2} { fail "a net with the drivers {$sources}: $args" }
    foreach end $args {
        if {$end in $sources} continue
        if {[info exists ::driven($end)]} { fail "$end is driven twice" }
        set ::driven($end) $sources
        note net $sources $end
    }
}
proc connect_bd_intf_net {one other} {
    foreach end [list $one $other] {
        if {[info exists ::driven($end)]} { fail "$end is connected twice" }
        set ::driven($end) bus
    }
    note bus $one $other
}
proc get_bd_addr_spaces {path} { return space:$path }
proc get_bd_addr_segs {path} {
    lassign [split $path /] owner
    if {![info exists ::cells($owner)] && ![info exists ::ports($owner)]} { fail "no segment $path" }
    return segment:$path
}
proc assign_bd_address {args} {
    set o [options assign_bd_address {-offset -range -target_address_space} {} $args]
    if {[llength $args]} { note address [dict get $o left] [dict get $o -offset] [dict get $o -range] }
}
proc validate_bd_design {} {
    # What must be connected: every pin and bus that was named for a cell's type, but those that a design may leave.
    set spare {pl_clk1 aclk1 S01_AXI S02_AXI M01_AXI M02_AXI peripheral_reset peripheral_aresetn pl_resetn0}
    foreach {cell type} [array get ::cells] {
        foreach name [concat $::ip_pins($type) $::ip_buses($type)] {
            if {$name in $spare || $name in $::outputs} continue
            if {$name eq "m_axis_aclk" && ![info exists ::driven(pin:$cell/$name)] && $cell eq "tx_frames"} continue
            if {![info exists ::driven(pin:$cell/$name)]} { fail "$cell/$name is not connected" }
        }
    }
    foreach {port kind} [array get ::ports] {
        if {$kind in {bus O} && ![info exists ::driven(port:$port)]} { fail "the port $port is not connected" }
    }
    note validate_bd_design
}
proc save_bd_design {} {}
proc generate_target {what design} { note generate_target $design }
proc update_compile_order {args} { options update_compile_order {-fileset} {} $args }
proc launch_runs {args} { note launch_runs {*}[dict get [options launch_runs {-to_step -jobs} {} $args] left] }
proc wait_on_run {run} {}
proc open_run {run} { note open_run $run }
proc report_utilization {args} { note report [dict get [options report_utilization {-file} {} $args] -file] }
proc report_timing_summary {args} { note report [dict get [options report_timing_summary {-file} {} $args] -file] }

namespace eval ipx {
    proc package_project {args} { ::note ipx::package_project {*}$args; return ipx:core }
    proc current_core {} { return ipx:core }
    proc infer_bus_interface {ports kind core} { ::note ipx::ports {*}$ports }
    proc associate_bus_interfaces {args} {
        ::note ipx::bus [dict get [::options associate {-busif -clock} {} $args] -busif]
    }
    foreach name {add_memory_map add_address_block add_register add_register_parameter} {
        proc $name {what object} { return ipx:$what }
    }
    proc get_bus_interfaces {name args} { return ipx:$name }
    foreach name {create_xgui_files update_checksums save_core} { proc $name {core} {} }
    proc check_integrity {args} { ::note ipx::check_integrity }
}
proc package_xo {args} {
    set o [options package_xo {-xo_path -kernel_name -ip_directory -ctrl_protocol} {-force} $args]
    note package_xo [dict get $o -kernel_name] [dict get $o -ctrl_protocol]
}

# No file of the tree is changed by a script.
rename file tcl_file
proc file {what args} {
    if {$what in {mkdir copy delete rename}} { note file $what {*}$args; return }
    tailcall tcl_file $what {*}$args
}

set ::argv {}
source $script
close $::record
