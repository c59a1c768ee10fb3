# SPDX-License-Identifier: Apache-2.0
# vivado -mode batch -source bitstreams/boards/kv260/build.tcl
source [file join [file dirname [info script]] .. common.tcl]
embnic::project kv260 xck26-sfvc784-2LV-c {}
set_property board_part xilinx.com:kv260_som:part0:1.4 [current_project]
create_bd_design embnic_kv260_bd
embnic::zynq 100 128 5 0
embnic::build kv260
