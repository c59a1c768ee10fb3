# SPDX-License-Identifier: Apache-2.0
"""The runner and the bench classes find what they are there to find: a bench that must fail fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from embnic.errors import BackendUnavailable
from embnic_sim.paths import rtl_root
from embnic_sim.runner import BuildError, build_and_test, expect_build_failure
from embnic_sim.structs import load_structs
from embnic_sim.toolchain import find_sources, module_parameters, tool_environment

BENCH = """
import cocotb
from embnic_sim.bench import Bench

@cocotb.test()
async def coroutine(dut):
    bench = Bench(dut)
    source = bench.stream_source("s_axis")
    board = bench.scoreboard("words")
    bench.stream_sink("m_axis", board.check)
    await bench.reset()
    {body}
    await bench.drain(timeout=200)
"""

BODIES = {
    "wrong word": ("source.send(1); board.expect(2)", "word 0 differs"),
    "lost word": ("source.send(1); board.expect(1, 2)", "drain did not come true"),
    "stray word": ("source.send(1, 2); board.expect(1)", "nothing was expected"),
    "nothing compared": ("pass", "nothing was compared"),
    "unknown signal": ("bench.read('no_such_port')", "no_such_port"),
}


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, name: str) -> None:
    """Run a bench made of `body` on embnic_skid."""
    (tmp_path / f"{name}.py").write_text(BENCH.replace("{body}", body), encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delenv("EMBNIC_TESTCASE", raising=False)
    build_and_test("embnic_skid", name, params={"WIDTH": 32}, seed=5)


@pytest.mark.parametrize("kind", BODIES)
def test_a_wrong_bench_fails(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body, message = BODIES[kind]
    with pytest.raises(AssertionError) as failure:
        run(tmp_path, monkeypatch, body, "test_skid")
    text = str(failure.value)
    assert message in text
    assert "1 of 1 failed: coroutine" in text
    assert 'make sim M=embnic_skid CFG=tiny SEED=5 WAVES=1 PARAMS="WIDTH=32"' in text
    assert "test_runner.py::test_a_wrong_bench_fails" in text


def test_a_right_bench_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, monkeypatch, "source.send(7, 8); board.expect(7, 8)", "test_skid")


def test_an_assertion_of_the_rtl_fails_the_bench(tmp_path: Path) -> None:
    top = tmp_path / "embnic_always_wrong.sv"
    text = (rtl_root() / "common" / "embnic_skid.sv").read_text(encoding="utf-8")
    text = text.replace("module embnic_skid", "module embnic_always_wrong")
    text = text.replace("// Assertions", '`EMBNIC_NEVER(wrong, m_axis_tvalid, "it is wrong")')
    top.write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError, match="it is wrong"):
        build_and_test("embnic_always_wrong", "test_skid", params={"WIDTH": 32}, sources=[top])


def test_refusal_must_be_our_own(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="builds, but it must be refused"):
        expect_build_failure("embnic_skid", {"WIDTH": 8}, "WIDTH must be at least 1")
    with pytest.raises(AssertionError, match="but not with"):
        expect_build_failure("embnic_skid", {"NO_SUCH": 8}, "WIDTH must be at least 1")


def test_text_that_is_no_verilog_does_not_build(tmp_path: Path) -> None:
    top = tmp_path / "embnic_nonsense.sv"
    top.write_text("module embnic_nonsense; this is nothing endmodule\n", encoding="utf-8")
    with pytest.raises(BuildError, match="embnic_nonsense"):
        build_and_test("embnic_nonsense", "test_skid", sources=[top])


def test_file_list_is_what_the_core_needs() -> None:
    listed = (rtl_root() / "embnic.f").read_text(encoding="utf-8").split()
    # Beside the core: the kernels beyond pooling, which no opcode reaches yet.
    tops = ("embnic_core", "embnic_grad_accumulate", "embnic_topk", "embnic_interact")
    needed = {str(file.relative_to(rtl_root())) for top in tops for file in find_sources(top)}
    assert sorted(listed) == sorted(needed)
    packages = [place for place, file in enumerate(listed) if file.endswith("_pkg.sv")]
    assert packages == list(range(len(packages))), "packages come first"
    for place, file in enumerate(listed):
        for earlier in find_sources(Path(file).stem)[:-1]:
            name = str(earlier.relative_to(rtl_root()))
            assert listed.index(name) < place or not name.endswith("_pkg.sv")


def test_parameters_are_read_from_the_header() -> None:
    assert module_parameters("embnic_fifo") == ["WIDTH", "DEPTH", "STYLE"]


def test_structs_pack_and_unpack() -> None:
    structs = load_structs()
    op_t = structs["op_t"]
    assert op_t.width == sum(width for _, width, _ in op_t.fields)
    word = op_t.pack(row=5, kind=structs.consts["OP_INIT"], rsp_addr=7)
    assert word & 0x3FFF == 7, "the last field has the lowest bits"
    assert op_t.unpack(word) == {
        **dict.fromkeys(op_t.unpack(0), 0),
        "row": 5,
        "kind": 2,
        "rsp_addr": 7,
    }
    frame = structs["frame_t"].pack(hdr={"magic": 0xEB1C}, ks_beats=1)
    assert structs["frame_t"].unpack(frame)["hdr"]["magic"] == 0xEB1C
    assert structs.enums["opcode_e"]["OPCODE_ERROR"] == 15
    with pytest.raises(KeyError, match="no field"):
        op_t.pack(no_such_field=1)
    with pytest.raises(ValueError, match="does not fit"):
        op_t.pack(kind=8)


def test_missing_tool_names_its_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embnic_sim.card_build import build_card
    from embnic_sim.toolchain import MissingTool

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EMBNIC_CACHE", str(tmp_path))
    with pytest.raises(MissingTool, match="apt-get install -y"), tool_environment():
        pass
    with pytest.raises(BackendUnavailable, match="apt-get install -y"):
        build_card("tiny")


def test_runtime_objects_are_compiled_once(tmp_path: Path) -> None:
    from embnic_sim.objcache import main as launch

    include = tmp_path / "include"
    include.mkdir()
    (include / "verilated.h").touch()
    source = include / "verilated_x.cpp"
    source.write_text("int answer() { return 42; }\n", encoding="utf-8")
    model = tmp_path / "model.cpp"
    model.write_text("int other() { return 1; }\n", encoding="utf-8")
    cache = tmp_path / "objects"

    def compile_(file: Path, output: str, *flags: str) -> int:
        return launch([str(cache), "g++", *flags, "-c", "-o", str(tmp_path / output), str(file)])

    assert compile_(source, "a.o") == 0
    kept = list(cache.iterdir())
    assert len(kept) == 1
    kept[0].write_bytes(b"from the cache")
    assert compile_(source, "b.o") == 0
    assert (tmp_path / "b.o").read_bytes() == b"from the cache"
    assert compile_(source, "c.o", "-O3") == 0, "other flags are another object"
    assert len(list(cache.iterdir())) == 2
    source.write_text("int answer() { return 4242; }\n", encoding="utf-8")
    assert compile_(source, "d.o") == 0
    assert len(list(cache.iterdir())) == 3, "another text is another object"
    assert compile_(model, "e.o") == 0
    assert len(list(cache.iterdir())) == 3, "a model's own file is never kept"
    model.write_text("this is no C++\n", encoding="utf-8")
    assert compile_(model, "f.o") != 0
