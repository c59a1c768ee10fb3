# SPDX-License-Identifier: Apache-2.0
"""The registry of bitstreams, the metadata beside them, and what deploying refuses."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

import pytest

from embnic.bitstreams import (
    Bitstream,
    build_simulated,
    fetch,
    find_bitstream,
    read_index,
    verify,
    write_index,
)
from embnic.board import check_board
from embnic.deploy import deploy, simulated_bitstream
from embnic.errors import ConfigError, ContractMismatch
from embnic.gen.configs import CONFIGS
from embnic.gen.registers import COUNTERS, REGISTERS
from embnic.gen.wire import CONTRACT_HASH
from embnic.hwh import hwh


def test_a_simulated_bitstream_is_made_listed_and_verified(tmp_path: Path) -> None:
    for configuration in ("tiny", "edge", "tiny"):
        build_simulated(configuration, tmp_path, tool="a tool")
    entries = read_index(tmp_path / "index.toml")
    assert [entry.name for entry in entries] == ["embnic_edge", "embnic_tiny"]
    for entry in entries:
        assert (entry.board, entry.status, entry.tool) == ("simulated", "simulated", "a tool")
        assert entry.contract == CONTRACT_HASH
        verify(entry)
    assert (
        find_bitstream(tmp_path / "index.toml", board="simulated", configuration="edge")
        == entries[0]
    )


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    made = Bitstream(
        name='embnic_"odd"', board="ecpix5", configuration="edge", contract=0x12345678, status="open place-and-route",
        files={"embnic_odd.bit": "00"}, folder=tmp_path, part="LFE5UM5G-85F", commit="abc", tool="nextpnr",
        origin="https://example.org/x", worst_slack_ns=-0.25, utilisation={"lut": 3},
    )  # fmt: skip
    write_index(tmp_path / "index.toml", [made])
    assert read_index(tmp_path / "index.toml") == (made,)


def broken(folder: Path, what: str) -> Path:
    """Return the registry of a bitstream that something is wrong with."""
    build_simulated("tiny", folder)
    bit, index = folder / "embnic_tiny.bit", folder / "index.toml"
    if what == "flipped bit":
        content = bytearray(bit.read_bytes())
        content[-5] ^= 1
        bit.write_bytes(content)
    elif what == "missing hwh":
        bit.with_suffix(".hwh").unlink()
    elif what == "missing bit":
        bit.unlink()
    elif what == "stale contract":
        text = index.read_text(encoding="utf-8")
        index.write_text(text.replace(f"{CONTRACT_HASH:#010x}", "0x00000001"), encoding="utf-8")
    return index


@pytest.mark.parametrize(
    ("what", "error", "says", "remedy"),
    [
        ("flipped bit", ConfigError, "SHA-256", "build or fetch"),
        ("missing hwh", ConfigError, "embnic_tiny.hwh does not exist", "beside the .bit"),
        ("missing bit", ConfigError, "embnic_tiny.bit does not exist", "Build or fetch"),
        ("stale contract", ContractMismatch, "0x00000001", "built from this version"),
    ],
)
def test_deploying_refuses_what_is_not_right(
    tmp_path: Path, what: str, error: type[Exception], says: str, remedy: str
) -> None:
    index = broken(tmp_path, what)
    with pytest.raises(error, match=re.escape(says)) as caught:
        deploy("simulated", index, say=lambda text: None)
    assert remedy in str(caught.value)
    if what == "stale contract":
        assert f"{CONTRACT_HASH:#010x}" in str(caught.value)


def test_a_bitstream_of_another_board_is_refused(tmp_path: Path) -> None:
    index = broken(tmp_path, "nothing")
    with pytest.raises(ConfigError, match="no bitstreams for board 'kr260'") as caught:
        deploy("kr260", index, say=lambda text: None)
    assert "embnic_tiny for simulated, tiny" in str(caught.value)
    entry = Bitstream("x", "kr260", "edge", CONTRACT_HASH, "vendor build", {"x.bit": ""}, tmp_path)
    check_board(entry, "")
    check_board(entry, "KR260")
    with pytest.raises(ConfigError, match="for the board 'kr260', this is 'RFSoC4x2'"):
        check_board(entry, "RFSoC4x2")


def test_deploying_leaves_an_altered_file_alone(tmp_path: Path) -> None:
    index = simulated_bitstream("tiny", tmp_path)
    bit = tmp_path / "embnic_tiny.bit"
    bit.write_bytes(b"something else")
    assert simulated_bitstream("tiny", tmp_path) == index
    assert bit.read_bytes() == b"something else"


def test_a_simulated_bitstream_of_another_contract_is_made_anew(tmp_path: Path) -> None:
    index = broken(tmp_path, "stale contract")
    (entry_before,) = read_index(index)
    assert entry_before.contract == 1
    simulated_bitstream("tiny", tmp_path)
    (entry_after,) = read_index(index)
    verify(entry_after)


class Server:
    """Serves a folder on this machine."""

    def __init__(self, folder: Path) -> None:
        handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_files_are_fetched_and_only_right_ones_are_kept(tmp_path: Path) -> None:
    origin, here = tmp_path / "origin", tmp_path / "here"
    made = build_simulated("tiny", origin)
    server = Server(origin)
    try:
        here.mkdir()
        write_index(here / "index.toml", [replace(made, origin=server.address)])
        (wanted,) = read_index(here / "index.toml")
        fetch(wanted)
        assert wanted.bitfile.read_bytes() == made.bitfile.read_bytes()
        wanted.bitfile.unlink()
        made.bitfile.write_bytes(b"not it")
        with pytest.raises(ConfigError, match="Do not use that origin"):
            fetch(wanted)
        assert sorted(file.name for file in here.iterdir()) == ["embnic_tiny.hwh", "index.toml"]
        made.bitfile.unlink()
        with pytest.raises(ConfigError, match="cannot be fetched"):
            fetch(wanted)
    finally:
        server.close()
    with pytest.raises(ConfigError, match="no origin"):
        fetch(replace(wanted, origin=""))


GOOD = {
    "name": '"x"', "board": '"b"', "configuration": '"tiny"', "contract": '"0x1"', "status": '"simulated"',
    "files": '{ "x.bit" = "0" }',
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"board": None}, "board"),
        ({"board": "3"}, "board"),
        ({"files": None}, "files"),
        ({"configuration": '"huge"'}, "'huge'"),
        ({"status": '"works"'}, "'works'"),
        ({"contract": '"zz"'}, "'zz'"),
        ({"colour": '"red"'}, "colour"),
        ({"name": "= ="}, "no TOML"),
    ],
)
def test_a_wrong_registry_is_refused(
    tmp_path: Path, change: dict[str, str | None], says: str
) -> None:
    index = tmp_path / "index.toml"
    index.write_text(entry(GOOD), encoding="utf-8")
    assert len(read_index(index)) == 1
    index.write_text(entry({**GOOD, **change}), encoding="utf-8")
    with pytest.raises(ConfigError, match=says) as caught:
        read_index(index)
    assert str(index) in str(caught.value)
    index.write_text(entry(GOOD) * 2, encoding="utf-8")
    with pytest.raises(ConfigError, match="2 times"):
        read_index(index)


def entry(values: dict[str, str | None] | dict[str, str]) -> str:
    return "[[bitstream]]\n" + "".join(f"{k} = {v}\n" for k, v in values.items() if v is not None)


def test_a_registry_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="build --simulated"):
        read_index(tmp_path / "index.toml")


@pytest.mark.parametrize("configuration", CONFIGS)
def test_the_metadata_names_every_register(configuration: str) -> None:
    system = ElementTree.fromstring(hwh(configuration))
    found = {
        register.attrib["NAME"]: int(
            register.find("PROPERTY[@NAME='ADDRESS_OFFSET']").attrib["VALUE"]
        )  # type: ignore[union-attr]
        for register in system.iter("REGISTER")
    }
    assert found["MAGIC"] == REGISTERS["MAGIC"].offset
    assert len(found) == sum(r.count for r in REGISTERS.values()) + 2 * len(COUNTERS)
    assert len(set(found.values())) == len(found)
    width = system.find(".//PARAMETER[@NAME='c_m_axi_mm2s_data_width']")
    assert width is not None and int(width.attrib["VALUE"]) == CONFIGS[configuration].data_w


def test_metadata_of_an_unknown_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match="'huge'"):
        hwh("huge")


@pytest.mark.parametrize(("configuration", "divisor"), [("edge", 19), ("line100", 6), ("mini", 50)])
def test_the_metadata_set_a_clock_that_is_fast_enough(configuration: str, divisor: int) -> None:
    """PYNQ divides the PLL as the .hwh says, whatever the bitstream was built for."""
    parameters = {
        item.attrib["NAME"]: item.attrib["VALUE"]
        for item in ElementTree.fromstring(hwh(configuration)).iter("PARAMETER")
    }
    assert parameters["PSU__CRL_APB__PL0_REF_CTRL__DIVISOR0"] == str(divisor)
    megahertz = float(parameters["PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ"])
    assert CONFIGS[configuration].clock_mhz <= megahertz < 1.05 * CONFIGS[configuration].clock_mhz
