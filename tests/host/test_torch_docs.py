# SPDX-License-Identifier: Apache-2.0
"""Run the torch snippets of README.md, docs/torch.md and docs/intercept.md, and the doctests of `embnic.torch`."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from torch_cases import torch

from embnic.torch import intercept, mirror, modules, offloading, quantised, testing

pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[2]
SNIPPETS = [
    pytest.param(code, id=f"{path.name}-{number}")
    for path in (ROOT / "README.md", ROOT / "docs" / "torch.md", ROOT / "docs" / "intercept.md")
    for number, code in enumerate(
        re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    )
    if "torch" in code
]


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    exec(compile(code, "snippet", "exec"), {})
    assert capsys.readouterr().out


def test_both_documents_have_one() -> None:
    assert len(SNIPPETS) >= 3


@pytest.mark.parametrize(
    "module", [intercept, mirror, modules, offloading, quantised, testing], ids=lambda m: m.__name__
)
def test_the_examples_of_docstrings_are_right(module: object) -> None:
    failed, tried = doctest.testmod(module)
    assert failed == 0 and tried > 0
