# SPDX-License-Identifier: Apache-2.0
"""The PYNQ backend on a pynq Device whose fabric is the Verilated core; nothing here is known to the code under test.

Runs in an environment with pynq (`make test-pynq`), which needs numpy < 2.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynq", reason="pynq is not installed here: make test-pynq")

from lost_cards import Tally

import embnic
from embnic.backends import axi_dma
from embnic.backends.pynq import PynqPorts, import_pynq, open_pynq
from embnic.backends.reference import ReferenceBackend
from embnic.bitstreams import build_simulated, verify, write_index
from embnic.deploy import deploy
from embnic.engine import Engine
from embnic.errors import ConfigError, ContractMismatch, DeviceError, LinkError
from embnic.hwh import CORE_VLNV, hwh
from embnic.ports import Bus, Link, Memory
from embnic.selftest import run_selftest, selftest_tables

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("EMBNIC_SEED", "0")) or int(time.time())


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"EMBNIC_SEED={SEED}")
    monkeypatch.setenv("EMBNIC_PYNQ_DEVICE", "embnic_sim.pynq_device")
    monkeypatch.setenv("EMBNIC_PATIENCE", "120")  # of a busy machine


@pytest.fixture
def bitfile(tmp_path: Path) -> Path:
    return build_simulated("tiny", tmp_path).bitfile


@pytest.fixture
def device() -> Iterator[Any]:
    import_pynq()
    from embnic_sim.pynq_device import active

    yield active()
    active().plug()


def test_selftest_through_pynq(bitfile: Path) -> None:
    tables = selftest_tables()
    backend = open_pynq(tables, bitfile, config="tiny")
    assert all(isinstance(backend.ports, port) for port in (Bus, Memory, Link))
    with Engine(tables, backend, fallback=False) as engine:
        assert "bit-equal to the reference" in run_selftest(engine, seed=SEED)
    assert backend.ports.moved_bytes > 10_000


def test_deploying_goes_through_pynq(tmp_path: Path) -> None:
    build_simulated("tiny", tmp_path)
    said: list[str] = []
    outcome = deploy("simulated", tmp_path / "index.toml", seed=SEED, say=said.append)
    assert "target pynq" in outcome and any("loaded through pynq" in line for line in said)


def test_another_card_than_the_bitstream_names_is_refused(tmp_path: Path) -> None:
    made = build_simulated("edge", tmp_path)
    tiny = build_simulated("tiny", tmp_path)
    made.bitfile.write_bytes(tiny.bitfile.read_bytes())
    with pytest.raises(ConfigError, match="SHA-256"):
        verify(made)
    # With the hash of the wrong file in the registry, the card's own registers still say no.
    files = {**made.files, "embnic_edge.bit": tiny.files["embnic_tiny.bit"]}
    write_index(tmp_path / "index.toml", [replace(made, files=files)])
    with pytest.raises(ContractMismatch, match="configuration id"):
        deploy("simulated", tmp_path / "index.toml", say=lambda text: None)


def test_both_parsers_of_pynq_read_the_metadata_alike(tmp_path: Path) -> None:
    from pynq.pl_server.hwh_parser import _HWHUltrascale
    from pynqmetadata.frontends import Metadata  # with the next one, what boards use
    from pynqmetadata.views.runtime.runtime_metadata_parser import RuntimeMetadataParser

    file = tmp_path / "embnic_edge.hwh"
    file.write_text(hwh("edge"), encoding="utf-8")
    plain = _HWHUltrascale(hwh_name=str(file)).ip_dict
    runtime = RuntimeMetadataParser(Metadata(input=str(file))).ip_dict
    for name in ("embnic_0", "axi_dma_0"):
        for key in ("phys_addr", "addr_range", "type"):
            assert plain[name][key] == runtime[name][key], (name, key)
        assert set(plain[name]["registers"]) == set(runtime[name]["registers"])
    assert plain["embnic_0"]["type"] == CORE_VLNV


def tables() -> list[embnic.Table]:
    return [embnic.Table("t", rows=200, dim=24, pooling="sum")]


def loaded(bitfile: Path) -> tuple[Engine, ReferenceBackend, Any]:
    """Return an engine on the board with the CPU behind it, a reference, and the board's backend."""
    rows = np.random.default_rng(SEED).standard_normal((200, 24), dtype=np.float32)
    backend = open_pynq(tables(), bitfile, config="tiny")
    engine = Engine(tables(), backend)
    reference = ReferenceBackend(tables())
    for target in (engine, reference):
        target.load("t", rows)
    return engine, reference, backend


FAULTS = {
    "unplug": "all ones|contract|magic|No answer|drained",
    "hang": "DMA",
    "fail_dma": "decode error",
    "cut_sent": "DMA",
    "cut_received": "No answer|without",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_board_costs_no_answer(
    fault: str, bitfile: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBNIC_PATIENCE", "5")
    rng = np.random.default_rng(SEED)
    engine, reference, _ = loaded(bitfile)
    with engine:
        wrong = served = 0
        for batch in range(12):
            if batch == 4:
                getattr(device, fault)()
            if batch == 8:
                device.plug()
                engine.reattach()
            bags = embnic.Bags.from_lists(
                {"t": [rng.integers(0, 200, n).tolist() for n in rng.integers(0, 9, 20)]}
            )
            found, expected = engine.lookup(bags)["t"], reference.lookup(bags)["t"]
            wrong += int((found.view(np.uint32) != expected.view(np.uint32)).any(axis=1).sum())
            served += 20
        stats = engine.stats()
        assert (wrong, served) == (0, 240)
        assert stats.bags_by_card + stats.bags_by_cpu == served
        assert stats.bags_by_card >= 140 and stats.bags_by_cpu >= 60
    device.plug()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_wait_ends_and_says_why(
    fault: str, bitfile: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBNIC_PATIENCE", "5")
    backend = open_pynq(tables(), bitfile, config="tiny")
    backend.load("t", np.zeros((200, 24), np.float32))
    getattr(device, fault)()
    started = time.monotonic()
    with pytest.raises((DeviceError, LinkError), match=FAULTS[fault]) as caught:
        backend.lookup(embnic.Bags.from_lists({"t": [[1, 2]]}))
    assert time.monotonic() - started < 20
    assert "Do:" in str(caught.value)
    backend.close()


# Seconds of this process in the trials, so that a busy machine changes nothing.
DEADLINE = 0.5  # of a call
CHANNEL = 0.1  # that the DMA has to move
SLACK = 1.0  # of the CPU that answers in the card's place


@dataclass
class Trials(Tally):
    """What happened over all trials, and the longest call in seconds of this process."""

    longest: float = 0.0

    def lookup(self, rng: np.random.Generator, engine: Engine, reference: ReferenceBackend) -> None:
        """Look twelve bags up and compare them."""
        lists = {"t": [rng.integers(0, 200, n).tolist() for n in rng.integers(0, 9, 12)]}
        started = time.process_time()
        self.compare(engine, reference, embnic.Bags.from_lists(lists))
        self.longest = max(self.longest, time.process_time() - started)


def trial(tally: Trials, seed: int, fault: str, bitfile: Path, device: Any) -> None:
    """Lose the board at a random access to a register, with lookups and updates going on; then get it back."""
    rng = np.random.default_rng(seed)
    backend = open_pynq(tables(), bitfile, config="tiny", deadline=DEADLINE)
    reference = ReferenceBackend(tables())
    before = tally.bags
    with Engine(tables(), backend) as engine:
        rows = rng.standard_normal((200, 24), dtype=np.float32)
        for target in (engine, reference):
            target.load("t", rows)
        first = device.accesses
        tally.lookup(rng, engine, reference)
        device.strike(getattr(device, fault), int(rng.integers(1, 4 * (device.accesses - first))))
        for _ in range(3):
            tally.lookup(rng, engine, reference)
            ids = rng.choice(200, 5, replace=False)
            rows = rng.standard_normal((5, 24), dtype=np.float32)
            for target in (engine, reference):
                target.update("t", ids, rows)
        lost = engine.state == "fallback"
        # After half a frame a reset of the DMA is enough; a fault that has not come is taken back.
        if not (lost and fault.startswith("cut")):
            device.plug()
        engine.reattach()
        answered = engine.stats().bags_by_card
        tally.lookup(rng, engine, reference)
        assert engine.stats().bags_by_card == answered + 12, "a card that is back serves again"
        tally.end(engine, fault if lost else "not reached", before)
    device.plug()


def run_trials(trials: int, bitfile: Path, device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(axi_dma, "ANSWER_SECONDS", CHANNEL)
    monkeypatch.setattr(PynqPorts, "clock", lambda self: time.process_time())
    logging.getLogger("embnic").setLevel(logging.ERROR)  # the losses are meant
    tally = Trials()
    for number in range(trials):
        trial(tally, SEED + number, list(FAULTS)[number % len(FAULTS)], bitfile, device)
        assert (tally.wrong, tally.lost) == (0, 0), (
            f"EMBNIC_SEED={SEED + number}, alone: {list(FAULTS)[number % len(FAULTS)]}: {tally}"
        )
    print(f"EMBNIC_SEED={SEED}: {tally}")
    assert tally.bags == tally.by_card + tally.by_cpu == 60 * trials
    assert tally.longest < DEADLINE + 3 * CHANNEL + SLACK
    assert tally.died["not reached"] < 0.4 * trials
    assert all(tally.died[fault] >= 0.3 * trials / len(FAULTS) for fault in FAULTS), tally.died
    assert sum(tally.reasons.values()) == trials - tally.died["not reached"]


def test_boards_lost_at_random_moments_cost_no_answer(
    bitfile: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_trials(50, bitfile, device, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_1000_boards_lost_at_random_moments_cost_no_answer(
    bitfile: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_trials(1000, bitfile, device, monkeypatch)


def test_the_demo_s_scene_loses_the_card_through_pynq(device: Any) -> None:
    from embnic.card_loss import lose_card

    loss = lose_card("tiny", seed=SEED)
    assert loss.through == "PYNQ"
    assert (loss.wrong, loss.lost) == (0, 0)
    # The batch in which the card went is shared; all before are the card's, and all from its return on.
    assert sum(loss.cpu[: loss.lost_at]) == sum(loss.cpu[loss.back_at :]) == 0
    assert sum(loss.card[loss.lost_at : loss.back_at]) == 0


def test_memory_outside_what_was_allocated_is_refused(bitfile: Path) -> None:
    ports = PynqPorts(bitfile)
    base = ports.alloc(4096)
    data = np.arange(4096, dtype=np.uint8)
    ports.write(base, data)
    assert np.array_equal(ports.read(base + 100, 50), data[100:150])
    for addr, size in ((base - 1, 1), (base, 4097), (base + 4000, 200)):
        with pytest.raises(ConfigError, match="not all inside"):
            ports.read(addr, size)
    with pytest.raises(ConfigError, match="contiguous memory"):
        ports.alloc(1 << 50)
    ports.close()
    ports.close()


@pytest.mark.parametrize("suffix", [".bit", ".hwh"])
def test_a_missing_file_says_which(suffix: str, bitfile: Path) -> None:
    bitfile.with_suffix(suffix).unlink()
    with pytest.raises(ConfigError, match=re.escape(f"embnic_tiny{suffix}")):
        PynqPorts(bitfile)


@pytest.mark.timeout(1800)  # it may build the simulated card
def test_the_example_runs_on_the_simulated_board(tmp_path: Path) -> None:
    """10,240 bags; the example has no line about simulation."""
    example = ROOT / "examples" / "05_on_a_board.py"
    assert "simul" not in example.read_text(encoding="utf-8").lower()
    build_simulated("edge", tmp_path)
    env = {
        **os.environ,
        "EMBNIC_BITSTREAMS": str(tmp_path),
        "PYTHONPATH": f"{ROOT / 'host'}:{ROOT / 'sim'}",
    }
    env.pop("EMBNIC_TARGET", None)
    done = subprocess.run(
        [sys.executable, example],
        capture_output=True,
        text=True,
        timeout=1500,
        cwd=tmp_path,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert "10,240 of 10,240 bags bit-equal" in done.stdout
    assert "10,240 bags by the card, 0 by the CPU" in done.stdout


@pytest.mark.timeout(1800)  # it may build the simulated card
def test_another_bitstream_loaded_meanwhile_is_noticed(
    tmp_path: Path, bitfile: Path, device: Any
) -> None:
    """Somebody programs the board anew: the CPU serves, reattach refuses, and the right bitstream serves again."""
    tally, rng = Trials(), np.random.default_rng(SEED)
    engine, reference, _ = loaded(bitfile)
    other = build_simulated("mini", tmp_path).bitfile
    with engine:
        tally.lookup(rng, engine, reference)
        PynqPorts(other).close()
        tally.lookup(rng, engine, reference)
        with pytest.raises(ContractMismatch, match="configuration id"):
            engine.reattach()
        tally.lookup(rng, engine, reference)
        assert engine.stats().bags_by_card == 12
        PynqPorts(bitfile).close()
        engine.reattach()
        tally.lookup(rng, engine, reference)
        assert engine.stats().bags_by_card == 24
    assert (tally.wrong, tally.lost, tally.bags) == (0, 0, 48)
