# SPDX-License-Identifier: Apache-2.0
"""SystemVerilog from DSLX: `python -m embnic_sim.xls_gen` prints what XLS makes of hls/dslx/fp32_mul.x.

XLS (the pip wheel `xls-python`) schedules the function into the stages that embnic_fp32_mul has; a wrapper
gives it that module's name and ports, so that the same harness runs on both.
"""

from __future__ import annotations

import sys
from pathlib import Path

from embnic_sim.paths import hls_root

__all__ = ["STAGES", "generate", "interpret", "write_module"]

STAGES = 6  # MUL_STAGES of embnic_pkg
_NAME = "fp32_mul"
_WRAPPER = """// SPDX-License-Identifier: Apache-2.0
// Written by embnic_sim.xls_gen: the function of hls/dslx/fp32_mul.x in the place of the module of rtl/common.
`default_nettype none
module embnic_fp32_mul (
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic        valid_in,
    input  wire logic [31:0] a,
    input  wire logic [31:0] b,
    output      logic        valid_out,
    output      logic [31:0] result
);
    embnic_fp32_mul_xls u_xls (.clk, .rst, .valid_in, .a, .b, .valid_out, .out(result));
endmodule
`default_nettype wire
"""


def _optimised() -> str:
    """Return the function's optimised IR; raises ImportError without the wheel."""
    import xls

    source = hls_root() / "dslx" / f"{_NAME}.x"
    ir = xls.convert_dslx_to_ir(source.read_text(encoding="utf-8"), source.name, _NAME)
    return str(xls.optimize_ir(ir, xls.mangle_dslx_name(_NAME, _NAME)))


def interpret(a: int, b: int) -> int:
    """Return what the interpreter of XLS makes of the function: fp32 bits."""
    import xls

    package = xls.parse_ir_package(_optimised())
    function = package.get_function(xls.mangle_dslx_name(_NAME, _NAME))
    words = [xls.parse_typed_value(f"bits[32]:{word}") for word in (a, b)]
    text = str(function.interpret(words))  # <Value bits[32]:7>
    return int(text.rpartition(":")[2].rstrip(">"))


def generate() -> str:
    """Return the module embnic_fp32_mul_xls as SystemVerilog."""
    import xls

    result = xls.parse_ir_package(_optimised()).schedule_and_codegen(
        with_delay_model=True,
        scheduling_options_textproto=f'delay_model: "unit" pipeline_stages: {STAGES}',
        generator="pipeline",
        module_name="embnic_fp32_mul_xls",
        input_valid_signal="valid_in",
        output_valid_signal="valid_out",
        flop_inputs=False,
        flop_outputs=True,
        use_system_verilog=True,
        reset="rst",
    )
    return str(result.get_verilog_text())


def write_module(folder: Path) -> list[Path]:
    """Write generated module, wrapper and lint waiver to a folder; return the sources."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {
        "embnic_fp32_mul_xls.sv": generate(),
        "embnic_fp32_mul.sv": _WRAPPER,
        "xls.vlt": '`verilator_config\nlint_off -file "*/embnic_fp32_mul_xls.sv"\n',
    }
    for name, text in sources.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return [folder / name for name in sources]


if __name__ == "__main__":
    sys.stdout.write(generate())
