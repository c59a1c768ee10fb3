# SPDX-License-Identifier: Apache-2.0
# Types of the compiled extension (host/native/*.cpp); use it through wire.py and backends/cpu.py.
from typing import Any

import numpy as np
from numpy.typing import NDArray

def largest(values: NDArray[np.int64]) -> int: ...
def bags_fit(values: NDArray[np.int64], offsets: NDArray[np.int64]) -> bool: ...
def close_bags(
    values: NDArray[np.int64], starts: NDArray[np.int64], offsets: NDArray[np.int64]
) -> bool: ...
def isas() -> list[str]: ...
def pool(
    table: NDArray[Any],
    storage: int,
    ids: NDArray[np.int64],
    offsets: NDArray[np.int64],
    weights: NDArray[np.float32] | None,
    *,
    padding: int,
    max: bool,
    mul_then_add: bool,
    divide: bool,
    out: NDArray[np.float32],
    counts: NDArray[np.int64],
    isa: str = "auto",
) -> None: ...
def crc32c_batch(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    out: NDArray[np.uint32],
) -> None: ...
def crc32c_generic(data: NDArray[np.uint8]) -> int: ...
def encode_frames(
    prefix: NDArray[np.uint8],
    headers: NDArray[np.uint8],
    payload: NDArray[np.uint8],
    payload_offsets: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None: ...
def decode_frames(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    port: int,
    opcodes: NDArray[np.uint8],
    headers: NDArray[np.uint8],
    payloads: NDArray[np.int64],
    reasons: NDArray[np.int8],
) -> None: ...
