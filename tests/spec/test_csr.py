# SPDX-License-Identifier: Apache-2.0
"""The register block behaves as the register map says, over AXI-Lite in Verilator."""

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def test_register_block() -> None:
    runner = pytest.importorskip("embnic_sim.runner", reason="cocotb is in the `sim` extra")
    runner.build_and_test(
        "embnic_csr_map",
        "bench_csr_map",
        params={"CONFIG_ID": 7, "GIT_HASH": 0x1234ABCD},
        extra_env={"PYTHONPATH": str(HERE)},
    )
