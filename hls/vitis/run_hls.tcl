# SPDX-License-Identifier: Apache-2.0
# Synthesises the HLS cores and exports them as Vitis kernels: vitis_hls -f hls/vitis/run_hls.tcl [-tclargs BOARD [CORE ...]]
#
# BOARD is u55c or kv260 (hls/vitis/<board>.cfg has the kernels' connections); without CORE all of them. The Verilog of a core is copied
# to hls/vitis/out/embnic_<core>, where `make sim M=embnic_<core> IMPL=vitis` looks for it.
# NOT RUN WITH VITIS HERE: checked in tclsh against stubs of its commands (tests/hls/test_vitis.py).

set here [file dirname [file normalize [info script]]]
set root [file dirname $here]
set boards [dict create u55c {part xcu55c-fsvh2892-2L-e period 4.0} kv260 {part xck26-sfvc784-2LV-c period 8.0}]
# A core, and the module whose twin it is.
set cores [dict create pool embnic_pool dequant embnic_unpack row_cache embnic_row_cache grad_accumulate embnic_grad_accumulate topk embnic_topk interact embnic_interact]

set arguments [expr {[info exists argv] ? $argv : {}}]
set at [lsearch -exact $arguments "-tclargs"]
if {$at >= 0} { set arguments [lrange $arguments [expr {$at + 1}] end] }
set board [expr {[llength $arguments] ? [lindex $arguments 0] : "u55c"}]
set wanted [expr {[llength $arguments] > 1 ? [lrange $arguments 1 end] : [dict keys $cores]}]
if {![dict exists $boards $board]} { error "board is $board; allowed: [dict keys $boards]" }

foreach core $wanted {
    if {![dict exists $cores $core]} { error "core is $core; allowed: [dict keys $cores]" }
    set flags "-std=c++17 -I$root -I$root/include -I$root/gen"
    open_project -reset $root/vitis/project_${core}_$board
    set_top embnic_${core}_top
    add_files $root/cores/$core/$core.cpp -cflags $flags
    open_solution -reset solution -flow_target vitis
    set_part [dict get $boards $board part]
    create_clock -period [dict get $boards $board period] -name default
    config_interface -m_axi_addr64
    config_compile -pipeline_style flp
    csynth_design
    export_design -format xo -output $root/vitis/out/$board/embnic_$core.xo
    set out $root/vitis/out/[dict get $cores $core]
    file mkdir $out
    foreach file [glob -nocomplain $root/vitis/project_${core}_$board/solution/syn/verilog/*.v] { file copy -force $file $out }
    close_project
}
