# SPDX-License-Identifier: Apache-2.0
"""Make the backend of a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .backends.base import Backend
from .config import Table
from .errors import BackendUnavailable
from .targets import select_paths

if TYPE_CHECKING:
    from .selector import Path, SelectBackend

__all__ = ["create_backend"]


def create_backend(
    name: str, configuration: str, tables: list[Table], deadline: float | None, mtu: int
) -> Backend:
    """Return the backend `name`, opened; what it needs beside numpy is imported here."""
    if name == "cpu":
        from .backends.cpu import CpuBackend

        return CpuBackend(tables)
    if name == "reference":
        from .backends.reference import ReferenceBackend

        return ReferenceBackend(tables)
    if name == "select":
        return _create_select(select_paths(configuration), tables, deadline, mtu)
    if name == "gpu":
        from .backends.gpu import GpuBackend

        return GpuBackend(tables)
    if name == "rtl":
        from .backends.rtl import open_rtl

        return open_rtl(tables, configuration or "tiny", deadline=deadline, mtu=mtu)
    if name == "hls":
        from .backends.hls import open_hls

        return open_hls(tables, configuration or "tiny", deadline=deadline, mtu=mtu)
    if name == "model":
        from .backends.model import ModelBackend

        return ModelBackend(tables, configuration or "line100", mtu=mtu)
    if name == "pynq":
        from .board import open_board

        return open_board(tables, configuration, deadline=deadline, mtu=mtu)
    if name == "xrt":
        from .backends.xrt import open_xrt

        return open_xrt(tables, configuration, deadline=deadline, mtu=mtu)
    if name == "serial":
        from .backends.serial import open_serial

        return open_serial(tables, configuration, deadline=deadline, mtu=mtu)
    raise BackendUnavailable(name, reason="nothing builds it.", remedy="open target='cpu'.")


def _create_select(
    names: list[str], tables: list[Table], deadline: float | None, mtu: int
) -> SelectBackend:
    """Open every path; one that cannot be opened closes the others and raises."""
    from .selector import Path, SelectBackend

    paths: list[Path] = []
    try:
        for name in names:
            paths.append(Path(name, create_backend(name, "", tables, deadline, mtu)))
        return SelectBackend(tables, paths)
    except BaseException:
        for path in paths:
            path.backend.close()
        raise
