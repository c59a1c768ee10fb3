# SPDX-License-Identifier: Apache-2.0
# AMD Kria KV260: nothing of the design reaches a pin of the PL; clock and reset come from the processing system, whose
# block design constrains them. The board's Ethernet is on the processing system, so it carries no frames of the core.
set_property BITSTREAM.GENERAL.COMPRESS true [current_design]
