# SPDX-License-Identifier: Apache-2.0
"""Say whether this machine has a GPU that the GPU path can use, without importing torch."""

from __future__ import annotations

import ctypes
import importlib.util

__all__ = ["MIN_CAPABILITY", "check_capability", "gpu_missing"]

MIN_CAPABILITY = (8, 0)  # the oldest architecture that the kernels are compiled for in the tests
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


def gpu_missing() -> str:
    """Return why target `gpu` cannot run here, or an empty string when it can."""
    for package in ("torch", "triton"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no CUDA driver"
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or count.value < 1:
        return "no CUDA device"
    found = [ctypes.c_int(0), ctypes.c_int(0)]
    for value, attribute in zip(found, (_MAJOR, _MINOR), strict=True):
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, 0):
            return "the CUDA driver does not say the compute capability"
    return check_capability((found[0].value, found[1].value))


def check_capability(capability: tuple[int, int]) -> str:
    """Return why a GPU of this compute capability is not used, or an empty string."""
    if capability >= MIN_CAPABILITY:
        return ""
    needed = ".".join(map(str, MIN_CAPABILITY))
    return f"its compute capability is {capability[0]}.{capability[1]}, {needed} or newer is needed"
