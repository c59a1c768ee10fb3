# SPDX-License-Identifier: Apache-2.0
"""Command line of `make sim`: run one module's bench with a named configuration.

python -m embnic_sim.run M=embnic_pool CFG=tiny SEED=1 WAVES=1
"""

from __future__ import annotations

import importlib.util
import os
import sys

from embnic_sim.paths import checkout_root
from embnic_sim.runner import build_and_test
from embnic_sim.toolchain import config_parameters, module_parameters

__all__ = ["main"]

_USAGE = "usage: python -m embnic_sim.run M=<module> [CFG=tiny] [SEED=<number>] [WAVES=1] [TEST=<part of a name>]"


def _bench_overrides(test_file: str, config: str) -> dict[str, object]:
    """Return what the bench's own `sim_parameters(config)` says, when it has one."""
    spec = importlib.util.spec_from_file_location("embnic_bench_under_run", test_file)
    if spec is None or spec.loader is None:
        return {}
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hook = getattr(module, "sim_parameters", None)
    return dict(hook(config)) if hook else {}


def main(arguments: list[str] | None = None) -> int:
    """Run the bench named by the arguments; return the exit status."""
    given = dict(arg.split("=", 1) for arg in (sys.argv[1:] if arguments is None else arguments) if "=" in arg)
    name = given.get("M", "")
    root = checkout_root()
    if not name or root is None:
        print(_USAGE if root else "make sim needs the checkout: the benches are not installed", file=sys.stderr)
        return 2
    short = name.removeprefix("embnic_")
    test_file = root / "tests" / "rtl" / f"test_{short}.py"
    if not test_file.is_file():
        known = sorted(file.stem.removeprefix("test_") for file in test_file.parent.glob("test_*.py"))
        print(f"no bench {test_file.name}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    config = given.get("CFG") or "tiny"
    wanted = module_parameters(name)
    params: dict[str, object] = {key: value for key, value in config_parameters(config).items() if key in wanted}
    sys.path.insert(0, str(test_file.parent))
    params |= _bench_overrides(str(test_file), config)
    os.environ.setdefault("EMBNIC_VERBOSE", "1")
    try:
        build_and_test(
            name,
            f"test_{short}",
            params=params,
            seed=int(given["SEED"]) if given.get("SEED") else None,
            waves=given.get("WAVES", "0") == "1",
            config=config,
            testcase=given.get("TEST") or None,
        )
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
