# SPDX-License-Identifier: Apache-2.0
"""A DLRM as it is, then with its tables offloaded: the same logits, bit for bit, on every target.

Usage: `04_dlrm_inference.py [TARGET ...]`. Inputs are a file of Criteo's format and multi-hot bags of MLPerf's shape.
"""

import sys
import tempfile
from pathlib import Path

import torch
from criteo import part, read_clicks, write_clicks
from dlrm import DLRM, multi_hot, scaled_rows

from embnic.torch import offload

torch.manual_seed(0)
torch.set_num_threads(1)  # the layers are small: threads would wait for each other
for target in sys.argv[1:] or ["cpu", "model", "rtl:tiny"]:
    small = target.startswith("rtl")  # the simulated card `tiny` holds 8 tables
    rows = scaled_rows(tables=8 if small else 26, most=500 if small else 20_000)
    model = DLRM(rows).eval()
    samples = 32 if small else 512
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "day_0"
        write_clicks(file, samples, seed=2)
        criteo = part(read_clicks(file, rows), 0, samples)
    inputs = {"Criteo": criteo, "MLPerf v2": multi_hot(rows, samples, seed=3)}
    with torch.inference_mode():
        expected = {name: model(batch) for name, batch in inputs.items()}
        with offload(model, target=target) as handle:
            for name, batch in inputs.items():
                assert torch.equal(handle.model(batch), expected[name])
                ids = sum(len(values) for values in batch.ids)
                print(
                    f"{target}: {samples} samples of {name}, {len(rows)} tables, {ids} ids: equal"
                )
