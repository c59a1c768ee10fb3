# SPDX-License-Identifier: Apache-2.0
"""Compile the GPU kernels for real architectures, without a GPU; print what the tests check as JSON, a line a kernel.

    python tests/host/gpu_compile.py 80 90        architectures: 8.0 and 9.0

Runs in a process of its own: kernels are either compiled or interpreted in one process.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "host"))

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from embnic.backends import gpu_cache_kernels, gpu_kernels, gpu_train_kernels

POINTERS = {
    "memory": "*u8", "out": "*u8", "dirty": "*u8", "weights": "*fp32", "grads": "*fp32", "parts": "*fp32",
    "state": "*fp32", "stamps": "*i32", "where": "*i32", "vectors": "*i32",
}  # fmt: skip
SCALARS = {
    "total": "i32", "now": "i32", "oldest": "i32", "recent": "i32", "shift": "i32", "rate": "fp32", "epsilon": "fp32",
}  # fmt: skip


def variant(fmt: int, pool: int, *, weighted: int = 0, leaves: int = 0, block: int = 128) -> int:
    """Return the code of a variant with vector stores; `leaves` and `block` are powers of two."""
    code = fmt | pool << 3 | weighted << 5 | 1 << 6
    return code | (max(leaves, 1).bit_length() - 1) << 7 | (block.bit_length() - 1) << 10


def compiled(
    kernel: Any, constants: dict[str, Any], capability: int, *, warps: int, fusion: bool
) -> Any:
    """Compile a kernel whose pointers start on 16 bytes."""
    names = kernel.arg_names
    signature = {}
    for name in names:
        kind = SCALARS.get(name) or POINTERS.get(name, "*i64")
        if name == "counts":  # of a mean's keys, or of the lists of the cache
            kind = "*fp32" if "grads" in names else "*i32"
        if name == "keys" and kernel is gpu_kernels.pool_kernel:
            kind = "i64"
        if name == "keys" and "rate" in names:
            kind = "*i32"
        signature[name] = "constexpr" if name in constants else kind
    aligned = {
        (at,): [["tt.divisibility", 16]]
        for at, name in enumerate(names)
        if signature[name].startswith("*")
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    options = {"num_warps": warps, "num_stages": 1, "enable_fp_fusion": fusion}
    return compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def report(name: str, kernel: Any, capability: int) -> None:
    """Print what a compiled kernel holds."""
    ptx = kernel.asm["ptx"]
    counts = {
        "wide_loads": len(re.findall(r"ld\.global\S*\.v4", ptx)),
        "flushes": len(re.findall(r"\.ftz", ptx)),
        "fused": len(re.findall(r"fma\.rn\.f32", ptx)),
        "divisions": len(re.findall(r"div\.rn\.f32", ptx)),
        "other_divisions": len(re.findall(r"div\.(full|approx)", ptx)),
        "spills": int("local_depot" in ptx.lower()),
    }
    print(json.dumps({"kernel": name, "capability": capability, **counts}))


def pools() -> dict[str, list[int]]:
    """Return launches of the pooling kernel by name: the variants of each."""
    found = {}
    for fmt, name in enumerate(("fp32", "fp16", "bf16", "int8", "int4", "fixed")):
        for pool, kind in enumerate(("sum", "max", "none")):
            found[f"{name}-{kind}"] = [variant(fmt, pool)]
        if name != "fixed":
            found[f"{name}-weighted"] = [variant(fmt, 0, weighted=1)]
        found[f"{name}-tree"] = [variant(fmt, 0, leaves=8, block=64)]
    found["mixed"] = [
        variant(0, 0),
        variant(0, 0, block=32),
        variant(1, 1),
        variant(2, 0),
        variant(3, 0),
    ]
    return found


def others() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return the other kernels with their constants."""
    cache = {"tables": 8, "STEPS": 3}
    train = {
        "RESOLVED": True,
        "INTERPRET": False,
        "FP32": True,
        "HALF": True,
        "BD": 128,
        "WIDTH": 128,
        **cache,
    }
    sums = {"WEIGHTED": True, "MEAN": True, "VEC": True, "U": 4}
    return {
        "probe": (gpu_cache_kernels.probe_kernel, {**cache, "REGIONS": 4, "BLOCK": 128}),
        "choose": (gpu_cache_kernels.choose_kernel, {"WAYS": 32, "PROGRAMS": 4096}),
        "insert": (gpu_cache_kernels.insert_kernel, {**cache, "BLOCK": 128, "PROGRAMS": 4096}),
        "fill": (gpu_cache_kernels.fill_kernel, {**cache, "BLOCK": 128, "CHANGE": True}),
        "move": (gpu_cache_kernels.move_kernel, {**cache, "BLOCK": 128, "BACK": True}),
        "keys": (gpu_train_kernels.keys_kernel, {**cache, "BLOCK": 256}),
        "run-adagrad": (
            gpu_train_kernels.run_kernel,
            {**train, **sums, "ONE": True, "ADAGRAD": True},
        ),
        "run-sgd": (
            gpu_train_kernels.run_kernel,
            {**train, **sums, "ONE": False, "ADAGRAD": False},
        ),
        "join": (gpu_train_kernels.join_kernel, {**train, "ADAGRAD": True}),
    }


def main(capabilities: list[int]) -> None:
    """Compile everything for every architecture."""
    for capability in capabilities:
        for name, codes in pools().items():
            constants = {
                "VARIANTS": sum(code << (14 * at) for at, code in enumerate(codes)),
                "VARIANT_COUNT": len(codes), "TILE_BYTES": 512, "U": 8, "RESOLVED": False, "INTERPRET": False,
            }  # fmt: skip
            report(
                name,
                compiled(gpu_kernels.pool_kernel, constants, capability, warps=1, fusion=False),
                capability,
            )
        for name, (kernel, constants) in others().items():
            report(name, compiled(kernel, constants, capability, warps=1, fusion=True), capability)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]])
