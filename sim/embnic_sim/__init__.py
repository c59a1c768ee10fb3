# SPDX-License-Identifier: Apache-2.0
"""Simulation side of embnic: benches for the RTL modules and the simulated card.

`runner` builds and runs a cocotb bench, `bench` is what benches are made of (with `streams`,
`scoreboard` and `memories`), `card` is the Verilated core behind the host's Bus, Memory and Link.
Importing this package imports none of them: each needs its own tools.
"""
