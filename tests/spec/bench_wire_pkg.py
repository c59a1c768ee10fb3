# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_wire_pkg on the hand-written vectors; run by test_vectors.py."""

import os
import random
from typing import Any

import cocotb
import golden
from cocotb.triggers import Timer

from embnic.gen.wire import DESCRIPTOR_FIELDS, DType, Flag, Opcode, Status

HEADER = slice(42, 64)
CODES = {"opcode": Opcode, "dtype": DType, "status": Status}


@cocotb.test()
async def headers_of_the_vectors(dut: Any) -> None:
    """Every field is the vector's, and the header is written as it was read."""
    checked = 0
    for vector in golden.load():
        if vector.drop is not None:
            continue
        raw = int.from_bytes(vector.frame[HEADER], "little")
        dut.header_in.value = raw
        await Timer(1, "ns")
        meaning = {name: vector.header[name] for name in golden.NUMBERS}
        meaning |= {name: int(code[vector.header[name]]) for name, code in CODES.items()}
        meaning |= {"magic": 0xEB1C, "version": 1}
        meaning["flags"] = int(sum(Flag[name] for name in vector.header["flags"]))
        found = {name: int(getattr(dut, name).value) for name in meaning}
        assert found == meaning, vector.name
        assert int(dut.header_out.value) == raw, vector.name
        checked += 1
    assert checked > 20


@cocotb.test()
async def keys_of_the_vectors(dut: Any) -> None:
    """Every key of a plain LOOKUP."""
    checked = 0
    for vector in golden.load():
        if vector.header["opcode"] != "LOOKUP" or "block" in vector.payload:
            continue
        step = 16 if "WEIGHTED" in vector.header["flags"] else 8
        for index, (table, row, last, *_) in enumerate(vector.payload["entries"]):
            at = 64 + step * index
            dut.key_in.value = int.from_bytes(vector.frame[at : at + 8], "little")
            await Timer(1, "ns")
            number = (1 << 48) - 1 if row == "null" else row
            found = [
                int(getattr(dut, f"key_{name}").value) for name in ("tbl", "row", "last", "null")
            ]
            assert found == [table, number, int(last), int(row == "null")], vector.name
            checked += 1
    assert checked > 10


@cocotb.test()
async def descriptors(dut: Any) -> None:
    """Random words come back with the reserved bits zero; each field alone comes back whole."""
    rng = random.Random(int(os.environ["EMBNIC_SEED"]))
    fields = [((1 << width) - 1) << low for low, width, _ in DESCRIPTOR_FIELDS.values()]
    known = sum(fields)
    for words in [*fields, *(rng.getrandbits(256) for _ in range(200))]:
        dut.words_in.value = words
        await Timer(1, "ns")
        assert int(dut.words_out.value) == words & known, hex(words)
