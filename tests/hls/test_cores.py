# SPDX-License-Identifier: Apache-2.0
"""The HLS cores without a simulator: arithmetic, layouts, 100,000 cases of each kernel, sanitizers on random frames."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from embnic.compute import ReferenceKernels, RowwiseAdagrad, Sgd
from embnic.errors import BackendUnavailable
from embnic_sim import hls_build
from embnic_sim.golden import Golden
from embnic_sim.hls_build import compile_hls
from embnic_sim.hls_kernels import MOST_K, HlsKernels
from embnic_sim.paths import build_root, hls_root
from embnic_sim.structs import load_structs

HERE = Path(__file__).resolve().parent
SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
SPECIALS = np.array(
    [0, 1 << 31, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC12345],
    np.uint32,
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no g++: the cores cannot be compiled"
)


def seed() -> int:
    """Return EMBNIC_SEED or a drawn seed, printed."""
    number = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"replay with EMBNIC_SEED={number}")
    return number


def program(name: str, flags: tuple[str, ...]) -> Path:
    """Compile a program of this folder."""
    folder = build_root() / "hls"
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"{name}-{os.getpid()}"
    compile_hls(HERE / f"{name}.cpp", output, flags=flags, shared=False)
    return output


def run(output: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a program and remove it."""
    try:
        done = subprocess.run(
            [output, *map(str, words)], capture_output=True, text=True, check=False, timeout=3000
        )
    finally:
        output.unlink()
    print(done.stdout, done.stderr)
    return done


def numbers(rng: np.random.Generator, shape: tuple[int, ...], special: float = 0.02) -> np.ndarray:
    """Return float32 numbers that cancel, sometimes special ones."""
    values = rng.standard_normal(shape, np.float32)
    odd = rng.random(shape) < special
    values.view(np.uint32)[odd] = rng.choice(SPECIALS, int(odd.sum()))
    return values


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Compare float32 arrays as bits."""
    return a.shape == b.shape and bool((a.view(np.uint32) == b.view(np.uint32)).all())


def test_the_arithmetic_is_the_processors() -> None:
    """Integer fma, add, mul, div, sqrt and compare against the FPU: a million operations of each."""
    done = run(program("fp32_check", ("-O2",)), seed(), 1_000_000)
    assert done.returncode == 0
    assert "1000000 operations" in done.stdout


@pytest.mark.parametrize(
    ("module", "struct", "constants"),
    [
        ("embnic_pool", "beat_t", {"kLanes": 4, "kSlots": 64, "kVecBeats": 256}),
        (
            "embnic_row_cache",
            "op_t",
            {
                "kLanes": 4,
                "kSlots": 4,
                "kLineBeats": 4,
                "kWays": 2,
                "kSets": 8,
                "kFetches": 4,
                "kInitBeats": 512,
            },
        ),
    ],
)
def test_operations_and_beats_have_the_fields_of_the_rtl(
    module: str, struct: str, constants: dict[str, int]
) -> None:
    """In their order, so that a field that is added to the package is missed here."""
    names = [name for name, _, _ in load_structs()[struct].fields]
    assert Golden(module, constants).fields == names


def test_generated_headers_are_those_of_the_contract() -> None:
    """The wire layouts are the host's, the configurations those of spec/configs.toml."""
    from embnic.gen.configs import CONFIGS

    native = HERE.parents[1] / "host" / "native" / "gen" / "embnic_wire.hpp"
    assert (hls_root() / "gen" / "embnic_wire.hpp").read_text() == native.read_text()
    text = (hls_root() / "gen" / "embnic_configs.hpp").read_text()
    for name, config in CONFIGS.items():
        part = text.partition(f"struct {name.title()} ")[2].partition("};")[0]
        for key, value in config.parameters().items():
            shown = "kId" if key == "CONFIG_ID" else key
            assert f"{shown} = {value};" in part, (name, key)


@pytest.mark.parametrize(
    "core", ["pool", "dequant", "row_cache", "grad_accumulate", "topk", "interact"]
)
def test_every_synthesis_top_compiles_without_a_warning(core: str, tmp_path: Path) -> None:
    """With plain g++, -Wall -Wextra -Werror."""
    compile_hls(hls_root() / "cores" / core / f"{core}.cpp", tmp_path / "top.so", flags=("-O0",))


def test_no_compiler_is_said_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A target that cannot be built says why and what to do."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BackendUnavailable, match=r"no C\+\+ compiler.*apt install"):
        compile_hls(hls_root() / "bridge" / "bridge.cpp", tmp_path / "x.so")


def test_100_000_gradients_have_the_bits_of_the_reference() -> None:
    """Sums, SGD and row-wise Adagrad over random batches, special numbers among them."""
    rng, cores, twin = np.random.default_rng(seed()), HlsKernels(), ReferenceKernels()
    compared = 0
    while compared < 100_000:
        count, dim = int(rng.integers(1, 2000)), int(rng.integers(1, 33))
        ids = rng.zipf(1.3, count) % int(rng.integers(1, 120))
        grads = numbers(rng, (count, dim))
        mine, theirs = cores.accumulate(ids, grads), twin.accumulate(ids, grads)
        assert mine is not None
        assert (mine.rows == theirs.rows).all() and same(mine.sums, theirs.sums)
        rows, state = (
            numbers(rng, theirs.sums.shape),
            np.abs(numbers(rng, (len(theirs.rows),), 0.0)),
        )
        for optimizer in (Sgd(0.1), RowwiseAdagrad(0.01), RowwiseAdagrad(1e30, 1e-30)):
            got, want = (
                cores.apply(theirs, rows, state, optimizer),
                twin.apply(theirs, rows, state, optimizer),
            )
            assert got is not None
            assert same(got[0], want[0]) and same(got[1], want[1]), optimizer
        compared += count


def test_100_000_dot_products_have_the_bits_of_the_reference() -> None:
    """Samples of all shapes, DLRM's among them."""
    rng, cores, twin = np.random.default_rng(seed()), HlsKernels(), ReferenceKernels()
    compared = 0
    while compared < 100_000:
        shape = (
            (8, 27, 128)
            if compared < 10_000
            else (8, int(rng.integers(2, 33)), int(rng.integers(1, 129)))
        )
        vectors = numbers(rng, shape, 0.001)
        mine, theirs = cores.interact(vectors), twin.interact(vectors)
        assert mine is not None and same(mine, theirs)
        compared += theirs.size


def test_100_000_queries_have_the_best_of_the_reference() -> None:
    """Scores that are often equal, NaNs and infinities among them."""
    rng, cores, twin = np.random.default_rng(seed()), HlsKernels(), ReferenceKernels()
    pool = np.concatenate([np.arange(-6, 7, dtype=np.float32), SPECIALS.view(np.float32)])
    lengths = rng.integers(1, 30, 100_000)
    scores = rng.choice(pool, int(lengths.sum()))
    at = 0
    for length in lengths.tolist():
        part, k = scores[at : at + length], 1 + at % MOST_K
        mine, theirs = cores.topk(part, k), twin.topk(part, k)
        assert mine is not None
        assert (mine.ids == theirs.ids).all() and same(mine.scores, theirs.scores)
        at += length


def test_what_does_not_fit_a_core_is_left_to_the_twin() -> None:
    """Too long, too many, too large; and more rows of one set than it has ways."""
    cores = HlsKernels()
    assert cores.topk(np.ones(100, np.float32), MOST_K + 1) is None
    assert cores.interact(np.ones((1, 33, 4), np.float32)) is None
    assert cores.interact(np.ones((1, 2, 129), np.float32)) is None
    assert cores.accumulate(np.zeros(1, np.int64), np.ones((1, 129), np.float32)) is None
    ids = np.arange(20, dtype=np.int64) * 129  # 129 is 1 and 1: all of set 0
    assert cores.accumulate(ids, np.ones((20, 4), np.float32)) is None


def test_frames_and_descriptors_under_sanitizers() -> None:
    """Made at random, nearly right: no undefined behaviour, no byte out of bounds, counters that add up."""
    done = run(program("fuzz", SANITIZERS), seed(), 20_000)
    assert done.returncode == 0
    assert done.stdout.count(" accepted") == 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_frames_under_sanitizers() -> None:
    """The long run."""
    assert run(program("fuzz", SANITIZERS), seed(), 1_000_000).returncode == 0


def test_a_read_out_of_bounds_would_be_seen(tmp_path: Path) -> None:
    """The sanitizers are on: a core that is broken on purpose ends the program."""
    text = (HERE / "fuzz.cpp").read_text(encoding="utf-8")
    broken = text.replace("frame.resize(below(frame.size() + 1));", "frame.resize(1);").replace(
        "card->receive(frame.data(), frame.size());",
        "card->receive(frame.data(), frame.size() + 64);",
    )
    assert broken != text
    source = tmp_path / "fuzz.cpp"
    source.write_text(broken, encoding="utf-8")
    output = tmp_path / "fuzz"
    compile_hls(source, output, flags=SANITIZERS, shared=False)
    done = subprocess.run(
        [output, "1", "2000"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode != 0
    assert "AddressSanitizer" in done.stderr


def test_every_source_is_found() -> None:
    """The key of a build covers the sources."""
    names = {path.name for path in hls_build.sources()}
    assert {"pool.hpp", "bridge.cpp", "fp32.hpp", "embnic_wire.hpp", "golden.hpp"} <= names
