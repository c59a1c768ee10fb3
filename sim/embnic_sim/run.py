# SPDX-License-Identifier: Apache-2.0
"""Command line of `make sim`: run one module's bench with a named configuration.

python -m embnic_sim.run --module embnic_pool --config tiny --seed 1 --waves
python -m embnic_sim.run M=embnic_pool CFG=tiny SEED=1 WAVES=1

`make sim` hands PARAMS and TEST of its command line over in the environment. GOLDEN=hls adds the HLS core as a second
scoreboard, IMPL=vitis runs the bench on the RTL that Vitis made of it, where that is. A bench may define
`sim_parameters(config) -> dict` for parameters that a configuration does not name; a bench whose
module is not the toplevel (a wrapper) is run by pytest.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from embnic_sim.paths import checkout_root
from embnic_sim.runner import build_and_test
from embnic_sim.toolchain import config_parameters, module_defaults
from embnic_sim.vitis import missing_vitis, vitis_sources

__all__ = ["main"]


def _bench_overrides(test_file: Path, config: str) -> dict[str, object]:
    """Return what the bench's own `sim_parameters(config)` says, when it has one."""
    spec = importlib.util.spec_from_file_location("embnic_bench_under_run", test_file)
    if spec is None or spec.loader is None:
        return {}
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    hook = getattr(module, "sim_parameters", None)
    return dict(hook(config)) if hook else {}


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m embnic_sim.run", description="Run one RTL module's bench."
    )
    parser.add_argument("--module", required=True, help="the RTL module, with or without embnic_")
    parser.add_argument(
        "--config", default="tiny", help="take the module's parameters from this configuration"
    )
    parser.add_argument(
        "--seed", type=int, default=None, help="of everything random (default: drawn, and printed)"
    )
    parser.add_argument("--waves", action="store_true", help="write dump.vcd")
    parser.add_argument(
        "--test", default=os.environ.get("TEST"), help="only coroutines whose name contains this"
    )
    parser.add_argument(
        "--params",
        default=os.environ.get("PARAMS", ""),
        help="parameters over the configuration's, as in a replay line: 'WIDTH=8 DEPTH=2'",
    )
    parser.add_argument(
        "--golden",
        default=os.environ.get("GOLDEN", ""),
        help="hls: the HLS core is a second scoreboard",
    )
    parser.add_argument(
        "--impl",
        default=os.environ.get("IMPL", "rtl"),
        help="vitis: run the bench on what Vitis made of the HLS core",
    )
    names = {
        "GOLDEN": "--golden",
        "IMPL": "--impl",
        "PARAMS": "--params",
        "M": "--module",
        "CFG": "--config",
        "SEED": "--seed",
        "TEST": "--test",
    }
    words: list[str] = []
    for word in given:
        name, _, value = word.partition("=")
        if name == "WAVES":
            words += ["--waves"] if value == "1" else []
        elif name in names and value:
            words += [names[name], value]
        elif name not in names:
            words.append(word)
    return parser.parse_args(words)


def main(arguments: list[str] | None = None) -> int:
    """Run the bench named by the arguments; return the exit status."""
    given = _arguments(sys.argv[1:] if arguments is None else arguments)
    root = checkout_root()
    if root is None:
        print("make sim needs the checkout: the benches are not installed", file=sys.stderr)
        return 2
    short = given.module.removeprefix("embnic_")
    name = f"embnic_{short}"
    test_file = root / "tests" / "rtl" / f"test_{short}.py"
    if not test_file.is_file():
        known = sorted(
            file.stem.removeprefix("test_") for file in test_file.parent.glob("test_*.py")
        )
        print(f"no bench {test_file.name}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    # The configuration's value, else the module's own default: the bench reads all of them.
    parameters = config_parameters(given.config)
    params: dict[str, object] = {
        key: parameters.get(key, value)
        for key, value in module_defaults(name).items()
        if key in parameters or value is not None
    }
    sys.path.insert(0, str(test_file.parent))
    params |= _bench_overrides(test_file, given.config)
    params |= dict(word.split("=", 1) for word in given.params.split())
    os.environ.setdefault("EMBNIC_VERBOSE", "1")
    if given.golden:
        os.environ["EMBNIC_GOLDEN"] = given.golden
    if given.impl not in ("rtl", "vitis"):
        print(f"IMPL is {given.impl!r}; allowed: rtl, vitis", file=sys.stderr)
        return 2
    if given.impl == "vitis" and (reason := missing_vitis(name)):
        print(f"skipped: {reason}")
        return 0
    try:
        build_and_test(
            name,
            f"test_{short}",
            params=params,
            seed=given.seed,
            waves=given.waves,
            config=given.config,
            testcase=given.test,
            sources=vitis_sources(name) if given.impl == "vitis" else None,
        )
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
