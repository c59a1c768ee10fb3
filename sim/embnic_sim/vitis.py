# SPDX-License-Identifier: Apache-2.0
"""Finds the RTL that Vitis HLS made of a core, for benches run with IMPL=vitis.

`hls/vitis/run_hls.tcl` copies the Verilog of a core to `hls/vitis/out/<module>/`; `hls/vitis/wrap/<module>.sv` gives
it the ports of the RTL module.
"""

from __future__ import annotations

from pathlib import Path

from embnic_sim.paths import hls_root

__all__ = ["missing_vitis", "vitis_sources"]


def vitis_sources(module: str) -> list[Path]:
    """Return the emitted files and the wrapper that makes them an RTL module."""
    vitis = hls_root() / "vitis"
    emitted = sorted(
        path for suffix in ("*.v", "*.sv") for path in (vitis / "out" / module).glob(suffix)
    )
    return [*emitted, vitis / "wrap" / f"{module}.sv"]


def missing_vitis(module: str) -> str:
    """Return why a bench cannot run on emitted RTL, or an empty string."""
    *emitted, wrapper = vitis_sources(module)
    if not wrapper.is_file():
        return f"{module} has no wrapper hls/vitis/wrap/{wrapper.name}"
    if not emitted:
        return (
            f"there is no Verilog in hls/vitis/out/{module}: Vitis HLS has not run here "
            "(vitis_hls -f hls/vitis/run_hls.tcl)"
        )
    return ""
