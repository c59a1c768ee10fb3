# SPDX-License-Identifier: Apache-2.0
"""Where the RTL, the harness and the build folders are, in a checkout and in an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["build_root", "cache_root", "checkout_root", "harness_root", "hls_root", "rtl_root"]

_HERE = Path(__file__).resolve().parent


def checkout_root() -> Path | None:
    """Return the root of the checkout this package lies in, or None in an installed wheel."""
    root = _HERE.parents[1]
    return root if (root / "rtl" / "embnic_pkg.sv").is_file() else None


def rtl_root() -> Path:
    """Return the folder of the RTL: the checkout's `rtl/` first, else the package's own copy.

    EMBNIC_RTL names another folder: the test plan breaks a copy of the RTL to see the tests fail.
    """
    given = os.environ.get("EMBNIC_RTL")
    if given:
        return Path(given).resolve()
    root = checkout_root()
    return root / "rtl" if root else _HERE / "_data" / "rtl"


def hls_root() -> Path:
    """Return the folder of the HLS cores: the checkout's `hls/` first, else the package's own copy."""
    root = checkout_root()
    return root / "hls" if root else _HERE / "_data" / "hls"


def harness_root() -> Path:
    """Return the folder of the C++ harness sources."""
    local = _HERE / "harness"
    return local if local.is_dir() else _HERE / "_data" / "harness"


def build_root() -> Path:
    """Return the folder for builds of benches: `build/` of the checkout, else below the cache."""
    root = checkout_root()
    return root / "build" if root else cache_root()


def cache_root() -> Path:
    """Return the folder for builds of the simulated card.

    EMBNIC_CACHE, else `build/` of the checkout, else `~/.cache/embnic`.
    """
    given = os.environ.get("EMBNIC_CACHE")
    if given:
        return Path(given).expanduser().resolve()
    root = checkout_root()
    if root is not None:
        return root / "build"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "embnic"
