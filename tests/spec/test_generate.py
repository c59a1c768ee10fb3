# SPDX-License-Identifier: Apache-2.0
"""The committed copies are what the generator writes; it refuses contradictions."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from embnic.gen import configs, registers, wire

SPEC = Path(__file__).resolve().parents[2] / "spec"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    for package in ("jinja2", "systemrdl", "peakrdl_regblock"):
        pytest.importorskip(package, reason="the generator needs the `dev` extra")
    spec = importlib.util.spec_from_file_location("generate", SPEC / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copied(generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that holds a copy of every generated file; the generator works there."""
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main([]) == 0
    return tmp_path


def test_the_committed_files_are_up_to_date(generate: ModuleType) -> None:
    assert generate.main(["--check"]) == 0


def test_a_changed_file_is_found(
    generate: ModuleType, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--check"]) == 0
    target = copied / "host/embnic/gen/wire.py"
    target.write_text(target.read_text().replace("0xEB1C", "0xEB1D"))
    capsys.readouterr()
    assert generate.main(["--check"]) == 1
    text = capsys.readouterr().out
    assert "host/embnic/gen/wire.py: 2 lines differ" in text
    assert "-MAGIC: Final = 0xEB1D" in text
    assert "+MAGIC: Final = 0xEB1C" in text
    assert "python spec/generate.py" in text


def test_a_missing_and_a_foreign_file_are_found(
    generate: ModuleType, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "docs/gen/wire.md").unlink()
    (copied / "rtl/gen/by_hand.sv").write_text("module by_hand; endmodule\n")
    assert generate.main(["--check"]) == 1
    text = capsys.readouterr().out
    assert "docs/gen/wire.md: missing" in text
    assert "rtl/gen/by_hand.sv: not written by the generator" in text


def test_the_hash_covers_both_inputs() -> None:
    text = (SPEC / "registers.rdl").read_bytes() + (SPEC / "wire.toml").read_bytes()
    assert hashlib.sha256(text).hexdigest()[:8] == f"{wire.CONTRACT_HASH:08x}"


def overlap(spec: dict[str, Any]) -> None:
    spec["header"]["fields"][1]["byte"] = 1


def beyond(spec: dict[str, Any]) -> None:
    spec["descriptor"]["fields"][-1]["width"] = 65


def twice(spec: dict[str, Any]) -> None:
    spec["key"]["fields"][0]["name"] = "last"


def same_code(spec: dict[str, Any]) -> None:
    spec["enum"][0]["values"][1]["value"] = 1


def too_wide(spec: dict[str, Any]) -> None:
    spec["enum"][1]["values"][1]["value"] = 16


def no_priority(spec: dict[str, Any]) -> None:
    spec["enum"][-1]["priority"].pop()


def no_payload(spec: dict[str, Any]) -> None:
    spec["payload"].pop()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (overlap, "belongs to magic already"),
        (beyond, "beyond the 256 bits"),
        (twice, "field last appears twice"),
        (same_code, "a value appears twice"),
        (too_wide, "16 does not fit 4 bits"),
        (no_priority, "priority must name every reason once"),
        (no_payload, "every opcode needs one"),
    ],
)
def test_a_contradiction_is_refused(
    generate: ModuleType, damage: Callable[[dict[str, Any]], None], words: str
) -> None:
    spec = generate.load_toml(SPEC / "wire.toml")
    generate.check_wire(copy.deepcopy(spec))
    damage(spec)
    with pytest.raises(generate.SpecError, match=words):
        generate.check_wire(spec)


def test_impossible_configurations_are_refused(generate: ModuleType) -> None:
    good = generate.load_toml(SPEC / "configs.toml")
    for key, value, words in (("SETS", 12, "power of two"), ("id", 2, "ids must differ")):
        bad = copy.deepcopy(good)
        bad["tiny"][key] = value
        with pytest.raises(generate.SpecError, match=words):
            generate.check_configs(bad)
    del good["edge"]["WAYS"]
    with pytest.raises(generate.SpecError, match="must have the keys"):
        generate.check_configs(good)


# --- what others rely on --------------------------------------------------------------------------
def test_the_header_is_22_bytes_in_the_documented_order() -> None:
    assert wire.HEADER_DTYPE.itemsize == wire.HEADER_BYTES == 22
    offsets = {name: wire.HEADER_DTYPE.fields[name][1] for name in wire.HEADER_DTYPE.names}
    assert offsets == {
        "magic": 0, "version": 2, "opcode": 3, "flags": 4, "dtype_status": 5, "tenant": 6,
        "request_id": 8, "first_bag": 12, "bags": 14, "keys": 16, "dim": 18, "snapshot": 20,
    }  # fmt: skip


def test_the_payload_begins_on_byte_64() -> None:
    assert 14 + 20 + 8 + wire.HEADER_BYTES == wire.FIRST_PAYLOAD_BYTE == 64


def test_identity_registers_come_first() -> None:
    names = ("MAGIC", "CONTRACT_HASH", "CONFIG_ID", "VERSION", "GIT_HASH", "SCRATCH")
    assert [registers.REGISTERS[name].offset for name in names] == [0, 4, 8, 12, 16, 20]


def test_counters_lie_side_by_side() -> None:
    offsets = [counter.offset for counter in registers.COUNTERS]
    assert offsets == list(range(0x100, 0x100 + 8 * len(offsets), 8))
    names = [counter.name for counter in registers.COUNTERS]
    drops = [f"drop_{reason.name.lower()}" for reason in wire.DropReason]
    start = names.index(drops[0])
    assert sorted(names[start : start + len(drops)]) == sorted(drops)


def test_registers_do_not_overlap() -> None:
    used = [r.offset + 4 * at for r in registers.REGISTERS.values() for at in range(r.count)]
    used += [counter.offset + at for counter in registers.COUNTERS for at in (0, 4)]
    assert len(set(used)) == len(used)
    assert max(used) < registers.ADDRESS_BYTES


def test_configurations() -> None:
    assert [(c.name, c.config_id) for c in configs.CONFIGS.values()] == [
        ("tiny", 1),
        ("edge", 2),
        ("line100", 3),
        ("mini", 4),
    ]
    assert {name: c.reply_vec64 for name, c in configs.CONFIGS.items()} == {
        "tiny": 64,
        "edge": 128,
        "line100": 1024,
        "mini": 32,
    }
    assert configs.CONFIGS["line100"].parameters()["DATA_W"] == 512
