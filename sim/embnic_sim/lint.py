# SPDX-License-Identifier: Apache-2.0
"""Lints the whole core in every named configuration, and what only board tops use: `python -m embnic_sim.lint`."""

from __future__ import annotations

import sys

from embnic.gen.configs import CONFIGS
from embnic_sim.runner import lint
from embnic_sim.toolchain import config_parameters, module_parameters

__all__ = ["main"]

# Modules that no part of the core contains.
BOARD_MODULES = (
    "embnic_async_fifo",
    "embnic_uart",
    "embnic_axi_ram",
    "embnic_uart_slip",
    "embnic_link_switch",
    "embnic_steer",
    "embnic_axil_async",
    "embnic_opennic",
    "embnic_corundum",
    "embnic_coyote",
    "embnic_compute",
)


def main() -> int:
    """Lint `embnic_core` with `-Wall`; print one line a configuration; return 0 when all are clean."""
    dirty = 0
    for config in CONFIGS:
        known = set(module_parameters("embnic_core"))
        parameters = {
            name: value for name, value in config_parameters(config).items() if name in known
        }
        status, text = lint("embnic_core", parameters)
        if status:
            dirty += 1
            print(text, file=sys.stderr)
        print(
            f"verilator --lint-only -Wall embnic_core {config}: {'NOT clean' if status else 'clean'}"
        )
    for module in BOARD_MODULES:
        status, text = lint(module)
        if status:
            dirty += 1
            print(text, file=sys.stderr)
        print(f"verilator --lint-only -Wall {module}: {'NOT clean' if status else 'clean'}")
    return 1 if dirty else 0


if __name__ == "__main__":
    sys.exit(main())
