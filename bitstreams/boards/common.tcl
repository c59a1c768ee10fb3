# SPDX-License-Identifier: Apache-2.0
# What the Vivado scripts of the boards have in common. Vivado 2022.2 or newer; run by each board's build.tcl.
#
# The block design `embnic_<board>_bd` holds the vendor's IP; the top in SystemVerilog holds it and the core. Its ports:
#
#     clk, rst_n               the core's clock and reset, out
#     core_axil                AXI-Lite to the core's registers, out
#     core_axi                 AXI4 from the core to card memory, in
#     host_rx, host_tx         frames of the AXI DMA: to the core, and from it
#     mac_rx, mac_tx           frames of the MAC: to the core, and from it (boards with a port on the PL)

namespace eval embnic {
    variable root [file normalize [file join [file dirname [info script]] .. ..]]

    # Addresses of embnic.hwh: the driver finds core and DMA there.
    variable core_address 0xA0000000
    variable dma_address  0xA0010000
    variable mac_address  0xA0020000

    # The files of the core, and those that board tops use beside it, packages first.
    proc sources {} {
        variable root
        set files {}
        set list [open [file join $root rtl embnic.f]]
        while {[gets $list line] >= 0} {
            if {[string trim $line] ne ""} { lappend files [file join $root rtl [string trim $line]] }
        }
        close $list
        return $files
    }

    # A project with the core, the board's top and its constraints.
    proc project {board part extra} {
        variable root
        set here [file join $root bitstreams boards $board]
        create_project embnic_$board [file join $root build boards $board] -part $part -force
        lappend extra gen/embnic_configs_pkg.sv
        add_files -norecurse [concat [sources] [lmap name $extra {file join $root rtl $name}]]
        add_files -norecurse [file join $here embnic_$board.sv]
        add_files -fileset constrs_1 -norecurse [file join $here embnic_$board.xdc]
        set_property include_dirs [lmap folder {common gen shells} {file join $root rtl $folder}] [current_fileset]
        set_property verilog_define {SYNTHESIS} [current_fileset]
        set_property top embnic_$board [current_fileset]
    }

    proc cell {type name properties} {
        set made [create_bd_cell -type ip -vlnv xilinx.com:ip:$type $name]
        if {[llength $properties]} { set_property -dict $properties $made }
    }

    proc wire {from args} {
        foreach to $args { connect_bd_net [get_bd_pins $from] [get_bd_pins $to] }
    }

    proc join_buses {from to} {
        connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
    }

    # A bus of the block design that the top sees, in the clock domain of clk.
    proc bus {name mode kind properties} {
        set port [create_bd_intf_port -mode $mode -vlnv xilinx.com:interface:${kind}_rtl:1.0 $name]
        set_property -dict $properties $port
        lappend ::embnic::buses $name
    }

    proc join_port {port pin} {
        connect_bd_intf_net [get_bd_intf_ports $port] [get_bd_intf_pins $pin]
    }

    # Streams of frames, `bits` wide; those from a MAC say in tuser that a frame is bad.
    proc stream {name mode bits user} {
        set properties [list CONFIG.HAS_TKEEP 1 CONFIG.HAS_TLAST 1]
        if {$mode eq "Slave"} {
            lappend properties CONFIG.TDATA_NUM_BYTES [expr {$bits / 8}] CONFIG.TUSER_WIDTH $user CONFIG.HAS_TREADY 1
        }
        bus $name $mode axis $properties
    }

    # Processing system, its buses to the core's registers, the DMA and `more` slaves, and from core and DMA to memory.
    # `id_bits` are those of the core's AXI IDs.
    proc zynq {mhz bits id_bits more} {
        variable core_address
        variable dma_address
        variable buses {}
        cell zynq_ultra_ps_e ps [list CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__M_AXI_GP1 0 \
            CONFIG.PSU__USE__M_AXI_GP2 0 CONFIG.PSU__USE__S_AXI_GP2 1 CONFIG.PSU__FPGA_PL0_ENABLE 1 \
            CONFIG.PSU__CRL_APB__PL0_REF_CTRL__SRCSEL IOPLL CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ $mhz]
        cell proc_sys_reset reset {}
        cell axi_dma dma [list CONFIG.c_include_sg 0 CONFIG.c_sg_include_stscntrl_strm 0 CONFIG.c_sg_length_width 26 \
            CONFIG.c_addr_width 64 CONFIG.c_m_axi_mm2s_data_width $bits CONFIG.c_m_axis_mm2s_tdata_width $bits \
            CONFIG.c_m_axi_s2mm_data_width $bits CONFIG.c_s_axis_s2mm_tdata_width $bits \
            CONFIG.c_mm2s_burst_size 16 CONFIG.c_s2mm_burst_size 16]
        cell smartconnect registers [list CONFIG.NUM_SI 1 CONFIG.NUM_MI [expr {2 + $more}]]
        cell smartconnect memory [list CONFIG.NUM_SI 3 CONFIG.NUM_MI 1]
        bus core_axil Master aximm [list CONFIG.PROTOCOL AXI4LITE CONFIG.ADDR_WIDTH 40 CONFIG.DATA_WIDTH 32]
        bus core_axi Slave aximm [list CONFIG.PROTOCOL AXI4 CONFIG.ADDR_WIDTH 40 CONFIG.DATA_WIDTH $bits \
            CONFIG.ID_WIDTH $id_bits CONFIG.HAS_LOCK 0 CONFIG.HAS_CACHE 0 CONFIG.HAS_PROT 0 CONFIG.HAS_QOS 0 CONFIG.HAS_REGION 0]
        stream host_rx Master $bits 0
        stream host_tx Slave $bits 0

        create_bd_port -dir O -type clk clk
        create_bd_port -dir O -type rst rst_n
        wire ps/pl_resetn0 reset/ext_reset_in
        wire ps/pl_clk0 reset/slowest_sync_clk ps/maxihpm0_fpd_aclk ps/saxihp0_fpd_aclk registers/aclk memory/aclk \
            dma/s_axi_lite_aclk dma/m_axi_mm2s_aclk dma/m_axi_s2mm_aclk
        wire reset/peripheral_aresetn registers/aresetn memory/aresetn dma/axi_resetn
        connect_bd_net [get_bd_pins ps/pl_clk0] [get_bd_ports clk]
        connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_ports rst_n]

        join_buses ps/M_AXI_HPM0_FPD registers/S00_AXI
        join_port core_axil registers/M00_AXI
        join_buses registers/M01_AXI dma/S_AXI_LITE
        join_port core_axi memory/S00_AXI
        join_buses dma/M_AXI_MM2S memory/S01_AXI
        join_buses dma/M_AXI_S2MM memory/S02_AXI
        join_buses memory/M00_AXI ps/S_AXI_HP0_FPD
        join_port host_rx dma/M_AXIS_MM2S
        join_port host_tx dma/S_AXIS_S2MM

        assign_bd_address -offset $core_address -range 4K -target_address_space [get_bd_addr_spaces ps/Data] \
            [get_bd_addr_segs core_axil/Reg]
        assign_bd_address -offset $dma_address -range 64K -target_address_space [get_bd_addr_spaces ps/Data] \
            [get_bd_addr_segs dma/S_AXI_LITE/Reg]
    }

    # Wrap the block design, build it, and refuse a result that misses its timing.
    proc build {board} {
        variable root
        variable buses
        assign_bd_address
        set_property CONFIG.ASSOCIATED_BUSIF [join $buses :] [get_bd_ports clk]
        validate_bd_design
        save_bd_design
        set design [get_files embnic_${board}_bd.bd]
        set_property synth_checkpoint_mode None $design
        generate_target all $design
        update_compile_order -fileset sources_1
        launch_runs impl_1 -to_step write_bitstream -jobs 4
        wait_on_run impl_1
        if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} { error "implementation of $board failed" }
        open_run impl_1
        set out [file join $root build bitstreams $board]
        file mkdir $out
        report_utilization -file [file join $out utilisation.txt]
        report_timing_summary -file [file join $out timing.txt]
        set slack [get_property STATS.WNS [get_runs impl_1]]
        if {$slack < 0} { error "$board misses its timing by [expr {-$slack}] ns" }
        file copy -force [file join $root build boards $board embnic_$board.runs impl_1 embnic_$board.bit] \
            [file join $out embnic_$board.bit]
        puts "embnic_$board.bit: worst slack $slack ns"
    }
}
