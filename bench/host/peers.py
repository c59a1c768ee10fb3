# SPDX-License-Identifier: Apache-2.0
"""The same requests on embnic, torch and FBGEMM, over the same rows, and the limit of reading those rows.

A maker returns a function of the request's number. torch and FBGEMM get tensors that were made before, as embnic gets
its bags.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from traffic import names

from embnic import Bags, Table
from embnic.backends.cpu import CpuBackend

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "bench"

Call = Callable[[int], object]
Request = dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]  # ids and offsets by table


def backend_of(
    tables: int, rows: NDArray[Any], *, dim: int, dtype: str = "fp32", threads: int = 1
) -> CpuBackend:
    """Return the native backend with every table holding a copy of `rows` [rows, columns]."""
    described = [
        Table(name, rows=len(rows), dim=dim, dtype=dtype, pooling="sum") for name in names(tables)
    ]
    backend = CpuBackend(described, engine="native", threads=threads)
    for table in described:
        backend.load(table.name, rows)
    return backend


def embnic_call(backend: CpuBackend, requests: list[Request]) -> Call:
    """Pool with embnic into arrays that are given."""
    bags = [Bags.from_torch(request, include_last_offset=True) for request in requests]
    out = backend.lookup(bags[0])
    return lambda number: backend.lookup(bags[number], out)


def torch_call(weights: dict[str, Any], requests: list[Request]) -> Call:
    """Pool with one EmbeddingBag a table."""
    import torch
    from torch.nn.functional import embedding_bag

    given = [
        [
            (torch.from_numpy(ids), torch.from_numpy(offsets), weights[name])
            for name, (ids, offsets) in request.items()
        ]
        for request in requests
    ]

    def call(number: int) -> object:
        with torch.inference_mode():
            return [
                embedding_bag(ids, rows, offsets, mode="sum", include_last_offset=True)
                for ids, offsets, rows in given[number]
            ]

    return call


def shared_weights(backend: CpuBackend) -> dict[str, Any]:
    """Return embnic's rows as tensors: the same pages."""
    import torch

    return {name: torch.from_numpy(backend.rows(name)) for name in backend._host.tables}


def small_page_weights(backend: CpuBackend) -> dict[str, Any]:
    """Return copies where torch itself allocates: pages of 4 KB, unless the system is set up otherwise."""
    import torch

    copies = {}
    for name in backend._host.tables:
        rows = torch.from_numpy(backend.rows(name))
        copies[name] = torch.empty(rows.shape, dtype=rows.dtype).copy_(rows)
    return copies


def fused_request(requests: list[Request]) -> list[tuple[Any, Any]]:
    """Return ids and offsets of all tables in one tensor each, as FBGEMM takes them."""
    import torch

    fused = []
    for request in requests:
        parts = list(request.values())
        starts = np.cumsum([0] + [len(ids) for ids, _ in parts])
        offsets = [offsets[:-1] + start for (_, offsets), start in zip(parts, starts, strict=False)]
        fused.append(
            (
                torch.from_numpy(np.concatenate([ids for ids, _ in parts])),
                torch.from_numpy(np.concatenate([*offsets, starts[-1:]])),
            )
        )
    return fused


def split_call(backend: CpuBackend, requests: list[Request]) -> Call:
    """Pool with FBGEMM's SplitTableBatchedEmbeddingBagsCodegen over embnic's rows: a tensor that spans all tables."""
    import torch
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
        ComputeDevice,
        SplitTableBatchedEmbeddingBagsCodegen,
    )

    rows = [backend.rows(name) for name in backend._host.tables]
    module = SplitTableBatchedEmbeddingBagsCodegen(
        [(*rows[0].shape, EmbeddingLocation.HOST, ComputeDevice.CPU)] * len(rows),
        pooling_mode=PoolingMode.SUM,
        learning_rate=0.0,
    )
    addresses = [array.ctypes.data for array in rows]
    base = min(addresses)
    span = (max(addresses) - base) // 4 + rows[0].size
    flat = np.ctypeslib.as_array((ctypes.c_float * span).from_address(base))
    module.weights_host = torch.nn.Parameter(torch.from_numpy(flat), requires_grad=False)
    module.weights_offsets = torch.tensor([(each - base) // 4 for each in addresses])
    given = fused_request(requests)

    def call(number: int) -> object:
        with torch.no_grad():
            return module(*given[number])

    return call


def nbit_call(
    kind: str, tables: int, stored: NDArray[np.uint8], dim: int, requests: list[Request]
) -> Call:
    """Pool with FBGEMM's inference tables of `INT8`, `FP16` or `FP32` rows; `stored` is uint8 [rows, bytes]."""
    import torch
    from fbgemm_gpu.split_embedding_configs import SparseType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
    from fbgemm_gpu.split_table_batched_embeddings_ops_inference import (
        IntNBitTableBatchedEmbeddingBagsCodegen,
    )

    sparse = SparseType[kind]
    module = IntNBitTableBatchedEmbeddingBagsCodegen(
        [(name, len(stored), dim, sparse, EmbeddingLocation.HOST) for name in names(tables)],
        pooling_mode=PoolingMode.SUM,
        device="cpu",
        output_dtype=SparseType.FP32,
        indices_dtype=torch.int64,
    )
    module.fill_random_weights()
    for rows, _ in module.split_embedding_weights(split_scale_shifts=False):
        rows[:, : stored.shape[1]] = torch.from_numpy(stored)
    given = fused_request(requests)

    def call(number: int) -> object:
        with torch.inference_mode():
            return module(*given[number])

    return call


def limit_calls(backend: CpuBackend, requests: list[Request]) -> list[Call]:
    """Return reads of the same rows in the same order, one for each of a few prefetch distances; the fastest counts."""
    BUILD.mkdir(parents=True, exist_ok=True)
    library = BUILD / "gather_limit.so"
    source = HERE / "gather_limit.cpp"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        command = ["g++", "-std=c++17", "-O3", "-fPIC", "-shared", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
    gather = ctypes.CDLL(str(library)).gather
    gather.restype = ctypes.c_int64
    rows = [backend.rows(name) for name in backend._host.tables]
    count = len(rows)
    row_pointers = (ctypes.c_void_p * count)(*(array.ctypes.data for array in rows))
    prepared = [
        (
            (ctypes.c_void_p * count)(*(ids.ctypes.data for ids, _ in request.values())),
            (ctypes.c_int64 * count)(*(len(ids) for ids, _ in request.values())),
        )
        for request in requests
    ]
    pitch = ctypes.c_int64(rows[0].shape[1] * 4)

    def reader(distance: int) -> Call:
        def call(number: int) -> object:
            ids, counts = prepared[number]
            return gather(
                ctypes.c_int64(count), row_pointers, pitch, ids, counts, ctypes.c_int64(distance)
            )

        return call

    return [reader(distance) for distance in (16, 32, 64, 128)]
