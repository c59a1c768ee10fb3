# SPDX-License-Identifier: Apache-2.0
"""The command line, end to end, and what README shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embnic.bags import TableBags
from embnic.capture_file import CapturedTable
from embnic.capture_writer import CaptureWriter

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "host"))
from test_report import CHROMIUM, check_in_chromium  # noqa: E402

GOWALLA = ROOT.parent / "shared" / "traces" / "gowalla_bags.txt"


def embnic(*arguments: str | Path, status: int = 0, cwd: Path = ROOT) -> str:
    command = [sys.executable, "-m", "embnic.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, cwd=cwd)
    assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
    return done.stdout if status == 0 else done.stderr


def counted(report: Path) -> tuple[int, int]:
    """Return what the report's first tile says: bags equal, bags compared."""
    found = re.search(
        r"<b>([\d,]+)</b>of ([\d,]+) bags bit-equal<", report.read_text(encoding="utf-8")
    )
    assert found, "the report does not say that all bags are equal"
    equal, compared = (int(text.replace(",", "")) for text in found.groups())
    return equal, compared


def test_demo_on_a_small_trace_writes_the_report(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    trace.write_text(
        "".join(f"{i} {i % 7} {i % 5 + 10} {i % 3}\n" for i in range(300)) + "300\n",
        encoding="ascii",
    )
    out = tmp_path / "out"
    said = embnic(
        "demo", "--trace", trace, "--config", "tiny", "--dim", 20, "--pooling", "mean", "--out", out
    )
    assert "bit-equal  yes" in said
    assert counted(out / "report.html") == (301, 301)
    page = (out / "report.html").read_text(encoding="utf-8")
    for dtype in ("fp32", "fp16", "bf16", "int8", "int4", "fixed"):
        assert re.search(rf"<td>{dtype}</td>.*?>200 of 200</td>", page), dtype
    assert re.search(r"In <b>\d+\.\d%</b> of the [\d,]+ cycles in which a miss", page)
    events = json.loads((out / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    assert any(e["ph"] == "X" and e["name"] == "pool" for e in events)


def test_the_demo_runs_on_the_hls_cores(tmp_path: Path) -> None:
    said = embnic("demo", "--target", "hls", "--bags", 2_000, "--dim", 40, "--out", tmp_path)
    assert "bit-equal  yes" in said
    assert counted(tmp_path / "report.html") == (2_000, 2_000)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "simulated cycles per bag" not in page


def test_demo_and_convert_read_a_recording(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra capture)")
    with CaptureWriter(tmp_path / "t.parquet") as writer:
        for number in range(30):
            batch = writer.begin_batch()
            for name, rows in (("item", 200), ("user", 50)):
                ids = np.arange(number, number + 20) % rows
                table = CapturedTable(name, rows=rows, dim=8)
                writer.add(batch, table, TableBags(ids, np.array([0, 3, 3, 20])))
            writer.end_batch(batch)
    out = tmp_path / "out"
    said = embnic(
        "demo", "--trace", tmp_path / "t.parquet", "--table", "user", "--config", "tiny", "--dim", 8, "--out", out
    )  # fmt: skip
    assert "table 'user' of 2 recorded, ids salted" in said
    assert counted(out / "report.html") == (90, 90)
    embnic("convert", tmp_path / "t.parquet", tmp_path / "bags.txt", "--table", "item")
    lines = (tmp_path / "bags.txt").read_text(encoding="ascii").splitlines()
    assert [len(line.split()) for line in lines] == [4, 1, 18] * 30


@pytest.mark.skipif(
    not GOWALLA.is_file(), reason="the public traces are not beside the checkout (shared/traces)"
)
def test_demo_on_gowalla_is_bit_equal_for_5000_bags(tmp_path: Path) -> None:
    said = embnic("demo", "--trace", GOWALLA, "--bags", 5000, "--out", tmp_path)
    print(said)
    assert counted(tmp_path / "report.html") == (5000, 5000)
    if CHROMIUM is None:
        pytest.skip(
            "the run is bit-equal; its report was not opened: no Chromium (apt-get install -y chromium)"
        )
    check_in_chromium(tmp_path / "report.html", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--trace", "absent.txt"), "cannot be read"),
        (("--format", "parquet", "--trace", "README.md"), "bags, rows"),
        (("--trace", "Makefile"), "line 1"),
        (("--config", "huge"), "tiny, edge, line100"),
        (("--pooling", "median", "--config", "tiny"), "pooling"),
        (("--config", "tiny", "--dim", "4000", "--bags", "4"), "dim 4000"),
        (("--bags", "0"), "at least one"),
        (("--bags", "0", "--trace", "{trace}"), "at least one"),
        (("--trace", "{trace}", "--dim", "500000000"), "dim"),
        (("--bag-lengths", "zipf:3"), "poisson"),
        (("--mtu", "20", "--config", "tiny", "--bags", "4"), "mtu"),
    ],
)
def test_bad_demo_input_is_one_clear_sentence(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.txt"
    trace.write_text("0 1 2\n", encoding="ascii")
    words = [word.replace("{trace}", str(trace)) for word in arguments]
    said = embnic("demo", *words, "--out", tmp_path, status=2)
    assert message in said
    assert "Traceback" not in said


def test_info_names_every_target_and_what_is_missing() -> None:
    said = embnic("info")
    for name in ("reference", "cpu", "rtl", "gpu", "pynq"):
        assert re.search(rf"^  {name}\b", said, re.MULTILINE)
    assert re.search(r"^  pynq .*\(not here: .+\)$", said, re.MULTILINE)
    assert "auto would choose" in said


@pytest.mark.parametrize("target", ["reference", "cpu", "rtl:tiny"])
def test_selftest_passes_on_every_built_target(target: str) -> None:
    assert "bit-equal to the reference" in embnic("selftest", "--target", target, "--seed", "5")


def test_deploy_simulated_checks_identity_and_tests_itself() -> None:
    said = embnic("deploy", "--simulated")
    assert re.search(r"configuration\s+tiny", said)
    assert "bit-equal to the reference" in said


def test_deploy_without_a_board_says_what_to_do() -> None:
    assert "--simulated" in embnic("deploy", status=2)
    assert "bitstreams" in embnic("deploy", "kr260", status=2)
    assert "one of them" in embnic("deploy", "kr260", "--simulated", status=2)


def test_bitstreams_are_built_listed_and_verified(tmp_path: Path) -> None:
    index = ("--index", str(tmp_path / "index.toml"))
    assert "embnic_tiny.bit" in embnic("bitstreams", "build", "--simulated", "tiny", *index)
    assert "embnic_tiny: simulated, tiny, simulated" in embnic("bitstreams", "list", *index)
    assert "--simulated CONFIG" in embnic("bitstreams", "build", "kr260", *index, status=2)
    assert "'huge'" in embnic("bitstreams", "build", "--simulated", "huge", *index, status=2)
    assert "as the registry says" in embnic("bitstreams", "verify", "embnic_tiny", *index)
    (tmp_path / "embnic_tiny.bit").write_bytes(b"altered")
    assert "SHA-256" in embnic("bitstreams", "verify", *index, status=2)
    assert "SHA-256" in embnic("deploy", "--simulated", *index, status=2)
    assert "no 'other'" in embnic("bitstreams", "verify", "other", *index, status=2)


def test_doctor_says_what_is_here_and_what_to_do() -> None:
    said = embnic("doctor")
    assert re.search(r"^ok +simulator: verilator", said, re.MULTILINE)
    assert re.search(r"^(ok|missing) +PYNQ: ", said, re.MULTILINE)
    for line in said.splitlines():
        assert line.split()[0] in ("ok", "missing", "wrong"), line


def test_deploy_tests_the_card_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EMBNIC_DISABLE", "1")
    assert "selftest: target rtl" in embnic("deploy", "--simulated")


def test_readme_bench_line_runs_and_leaves_a_waveform() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\$ make sim M=(\S+) CFG=(\S+) SEED=(\S+) WAVES=1", text, re.MULTILINE)
    module, config, seed = line
    command = [
        sys.executable,
        "-m",
        "embnic_sim.run",
        f"M={module}",
        f"CFG={config}",
        f"SEED={seed}",
        "WAVES=1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert list((ROOT / "build" / "rtl").glob(f"{module}-*/**/dump.*"))


def test_readme_snippet_runs_as_it_stands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (snippet,) = [code for code in found if "torch" not in code]  # those run in test_torch_docs.py
    done = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=600, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    (promised,) = re.findall(r"# (rtl \(.*\))", snippet)
    assert done.stdout.strip() == promised


def test_readme_shows_both_commands_in_its_first_screen() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:20]
    assert any("make demo" in line for line in first)
    assert any("make test" in line for line in first)
