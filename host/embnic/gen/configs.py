# SPDX-License-Identifier: Apache-2.0
"""The named configurations. Generated from spec/configs.toml by spec/generate.py; do not edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["CONFIGS", "CoreConfig"]


@dataclass(frozen=True)
class CoreConfig:
    """One build of the core: `parameters()` are those of embnic_core."""

    name: str
    config_id: int
    clock_mhz: float  # informational
    data_w: int
    slots: int
    max_vec64: int
    tree_k: int
    products: int
    compute: int
    line_bytes: int
    ways: int
    sets: int
    fetches: int
    max_burst: int
    remote_fetches: int
    remote_slots: int
    opq_depth: int
    ks_beats: int
    rx_frames: int
    rsp_beats: int
    ctxs: int
    tables: int
    clients: int
    cache_style: int
    buf_style: int
    channels: int
    generator: int
    ecc: int

    def parameters(self) -> dict[str, int]:
        """Return the parameters of embnic_core, by their names there."""
        return {
            "CONFIG_ID": self.config_id,
            "DATA_W": self.data_w,
            "SLOTS": self.slots,
            "MAX_VEC64": self.max_vec64,
            "TREE_K": self.tree_k,
            "PRODUCTS": self.products,
            "COMPUTE": self.compute,
            "LINE_BYTES": self.line_bytes,
            "WAYS": self.ways,
            "SETS": self.sets,
            "FETCHES": self.fetches,
            "MAX_BURST": self.max_burst,
            "REMOTE_FETCHES": self.remote_fetches,
            "REMOTE_SLOTS": self.remote_slots,
            "OPQ_DEPTH": self.opq_depth,
            "KS_BEATS": self.ks_beats,
            "RX_FRAMES": self.rx_frames,
            "RSP_BEATS": self.rsp_beats,
            "CTXS": self.ctxs,
            "TABLES": self.tables,
            "CLIENTS": self.clients,
            "CACHE_STYLE": self.cache_style,
            "BUF_STYLE": self.buf_style,
            "CHANNELS": self.channels,
            "GENERATOR": self.generator,
            "ECC": self.ecc,
        }

    @property
    def reply_vec64(self) -> int:
        """Return the largest reply of one request in 64-byte units: two fit the buffer."""
        return self.rsp_beats * self.data_w // 512 // 2


CONFIGS: Final[dict[str, CoreConfig]] = {
    # small enough to reach every corner in tests
    "tiny": CoreConfig(
        name="tiny",
        config_id=1,
        clock_mhz=250.0,
        data_w=128,
        slots=4,
        max_vec64=8,
        tree_k=8,
        products=1,
        compute=1,
        line_bytes=64,
        ways=2,
        sets=8,
        fetches=4,
        max_burst=2,
        remote_fetches=16,
        remote_slots=2,
        opq_depth=32,
        ks_beats=512,
        rx_frames=8,
        rsp_beats=512,
        ctxs=4,
        tables=8,
        clients=2,
        cache_style=0,
        buf_style=0,
        channels=2,
        generator=1,
        ecc=1,
    ),
    # 10 Gb/s at 78 MHz: four fp32 lanes, block RAM cache
    "edge": CoreConfig(
        name="edge",
        config_id=2,
        clock_mhz=78.125,
        data_w=128,
        slots=16,
        max_vec64=16,
        tree_k=0,
        products=0,
        compute=0,
        line_bytes=256,
        ways=4,
        sets=128,
        fetches=16,
        max_burst=256,
        remote_fetches=0,
        remote_slots=0,
        opq_depth=128,
        ks_beats=1024,
        rx_frames=16,
        rsp_beats=1024,
        ctxs=16,
        tables=64,
        clients=4,
        cache_style=2,
        buf_style=2,
        channels=1,
        generator=0,
        ecc=0,
    ),
    # 100 Gb/s at 250 MHz: sixteen fp32 lanes, ultra RAM cache
    "line100": CoreConfig(
        name="line100",
        config_id=3,
        clock_mhz=250.0,
        data_w=512,
        slots=32,
        max_vec64=64,
        tree_k=16,
        products=1,
        compute=0,
        line_bytes=256,
        ways=4,
        sets=1024,
        fetches=128,
        max_burst=16,
        remote_fetches=1280,
        remote_slots=20,
        opq_depth=2048,
        ks_beats=1024,
        rx_frames=32,
        rsp_beats=2048,
        ctxs=32,
        tables=256,
        clients=8,
        cache_style=3,
        buf_style=2,
        channels=1,
        generator=1,
        ecc=1,
    ),
    # the smallest: fits an ECP5-85F beside 256 KB of its own block RAM as card memory
    "mini": CoreConfig(
        name="mini",
        config_id=4,
        clock_mhz=30.0,
        data_w=128,
        slots=4,
        max_vec64=4,
        tree_k=0,
        products=0,
        compute=0,
        line_bytes=64,
        ways=2,
        sets=64,
        fetches=4,
        max_burst=4,
        remote_fetches=0,
        remote_slots=0,
        opq_depth=16,
        ks_beats=512,
        rx_frames=4,
        rsp_beats=256,
        ctxs=4,
        tables=8,
        clients=2,
        cache_style=2,
        buf_style=2,
        channels=1,
        generator=0,
        ecc=0,
    ),
}
