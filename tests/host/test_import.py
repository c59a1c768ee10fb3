# SPDX-License-Identifier: Apache-2.0
"""`import embnic` loads numpy and little else; what it loads later is loaded when it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HOST = Path(__file__).resolve().parents[2] / "host"
LATER = (
    "asyncio",
    "concurrent.futures",
    "multiprocessing",
    "secrets",
    "hashlib",
    "subprocess",
    "json",
    "embnic.aio",
    "embnic.backends.card",
    "embnic.backends.cpu",
    "embnic.backends.gpu",
    "embnic.backends.gpu_tables",
    "embnic.backends.model",
    "embnic.backends.reference",
    "embnic.capacity",
    "embnic.cli",
    "embnic.driver",
    "embnic.exchange",
    "embnic.failover",
    "embnic.gen.registers",
    "embnic.model",
    "embnic.report",
    "embnic.selector",
    "embnic.wire",
)
OTHERS = (
    "import sys, numpy; before = set(sys.modules); import embnic; "
    "print(*sorted({n.split('.')[0] for n in set(sys.modules) - before}))"
)


def run(code: str) -> list[str]:
    """Return the words that a fresh interpreter prints."""
    environment = {**os.environ, "PYTHONPATH": str(HOST)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_loads_no_heavy_module():
    """Modules that numpy or Python itself had loaded before do not count."""
    loaded = run(
        f"import sys, numpy; before = set(sys.modules); import embnic; "
        f"print(*[n for n in {LATER!r} if n in sys.modules and n not in before])"
    )
    assert loaded == []


def test_importing_loads_no_package_but_numpy():
    tops = set(run(OTHERS))
    assert "embnic" in tops
    assert tops <= {"embnic", "numpy"} | set(sys.stdlib_module_names)


def test_serving_on_the_cpu_drives_no_card():
    loaded = run(
        "import sys, embnic, numpy as np\n"
        "with embnic.open([embnic.Table('t', rows=2, dim=1, pooling='sum')], 'cpu') as engine:\n"
        "    engine.load('t', np.ones((2, 1), np.float32))\n"
        "    engine.lookup(embnic.Bags.from_lists({'t': [[1]]}))\n"
        "print(*[n for n in ('asyncio', 'embnic.driver', 'embnic.exchange') if n in sys.modules])"
    )
    assert loaded == []


def test_what_is_loaded_later_is_there_by_its_public_name():
    names = run(
        "import embnic; print(embnic.AsyncEngine.__module__, embnic.estimate.__module__, embnic.Estimate.__name__)"
    )
    assert names == ["embnic.aio", "embnic.capacity", "Estimate"]
    words = run("import embnic\ntry: embnic.nothing\nexcept AttributeError as e: print(e)")
    assert words[-1] == "'nothing'"
