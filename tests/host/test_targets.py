# SPDX-License-Identifier: Apache-2.0
"""The precedence table of embnic.targets."""

import itertools
import sys
from dataclasses import replace

import pytest

import embnic
from embnic import Table
from embnic.errors import BackendUnavailable, ConfigError
from embnic.targets import AUTO_ORDER, TARGETS, choose

TARGET_NAMES = {"reference", "cpu", "rtl", "hls", "model", "gpu", "select", "pynq", "serial", "xrt"}


def test_the_registry_names_every_target():
    assert set(TARGETS) == TARGET_NAMES
    assert set(AUTO_ORDER) <= set(TARGETS)


def test_disable_wins_over_every_argument_and_variable():
    arguments = ["auto", "cpu", "rtl", "reference", "rtl:line100", "gpu", "pynq"]
    for argument, variable in itertools.product(
        arguments, ["", "rtl", "reference", "gpu", "nonsense"]
    ):
        choice = choose(argument, {"EMBNIC_DISABLE": "1", "EMBNIC_TARGET": variable})
        assert (choice.name, choice.why) == ("cpu", "EMBNIC_DISABLE=1")


@pytest.mark.parametrize("value", ["", "0"])
def test_disable_may_be_off(value):
    assert choose("rtl", {"EMBNIC_DISABLE": value}).name == "rtl"


def test_a_mistyped_disable_is_refused():
    with pytest.raises(ConfigError, match=r"EMBNIC_DISABLE is 'yes'.*1, 0 or empty"):
        choose("auto", {"EMBNIC_DISABLE": "yes"})


def test_a_named_argument_wins_over_the_variable():
    for name in TARGET_NAMES:
        assert choose(name, {"EMBNIC_TARGET": "pynq"}).name == name


def test_the_variable_wins_over_auto():
    assert choose("auto", {"EMBNIC_TARGET": "reference"}).name == "reference"
    assert choose("auto", {"EMBNIC_TARGET": "rtl:edge"}).configuration == "edge"
    assert choose("auto", {"EMBNIC_TARGET": "auto"}).why == "auto"


def test_auto_takes_the_cpu_and_says_why_not_the_others(monkeypatch):
    monkeypatch.setitem(TARGETS, "gpu", replace(TARGETS["gpu"], unusable=lambda: "no CUDA driver"))
    monkeypatch.setitem(TARGETS, "pynq", replace(TARGETS["pynq"], unusable=lambda: "no board"))
    line = str(choose("auto", {}))
    assert line == (
        "target cpu (auto); not pynq: no board; not rtl: only when asked for by name; not gpu: no CUDA driver"
    )
    assert line.startswith("target cpu (auto)")
    assert [
        part in line
        for part in (
            "not pynq: no board",
            "not rtl: only when asked",
            "not gpu: no CUDA driver",
        )
    ] == [True] * 3
    assert "\n" not in line


def test_auto_takes_a_gpu_that_is_there(monkeypatch):
    monkeypatch.setitem(TARGETS, "gpu", replace(TARGETS["gpu"], unusable=lambda: ""))
    assert choose("auto", {}).name == "gpu"


@pytest.mark.parametrize("name", ["pynq", "pynq:edge"])
def test_a_named_target_that_is_not_here_never_falls_back(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynq", None)
    monkeypatch.setenv("BOARD", "")
    for argument, environ in ((name, {}), ("auto", {"EMBNIC_TARGET": name})):
        assert choose(argument, environ).name == "pynq"
    with pytest.raises(BackendUnavailable, match="BOARD"):
        embnic.open([Table("t", rows=4, dim=4, pooling="sum")], name)


@pytest.mark.parametrize("name", ["fpga", "", "RTL", "cpu:tiny", "rtl:", None, 3])
def test_an_unknown_target_names_the_known_ones(name):
    with pytest.raises(ConfigError, match="Allowed:"):
        choose(name, {})


def test_an_unknown_variable_says_where_it_came_from():
    with pytest.raises(ConfigError, match="EMBNIC_TARGET is 'fpga'"):
        choose("auto", {"EMBNIC_TARGET": "fpga"})
