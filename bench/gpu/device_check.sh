#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that needs a GPU, in under four minutes: correctness first, then the benches.
#
#     OUT=build/bench/gpu bash bench/gpu/device_check.sh [parts]
#
# Needs a Python with torch, triton, numpy, hypothesis, pytest and pytest-xdist. Each part has its own time limit.
set -u
cd "$(dirname "$0")/../.."
OUT=${OUT:-build/bench/gpu}
mkdir -p "$OUT"
export PYTHONPATH=host PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
PARTS=${*:-bits full gather tables cached train}
part() { # name, seconds, command
    local name=$1 limit=$2 started=$SECONDS
    shift 2
    case " $PARTS " in *" $name "*) ;; *) return ;; esac
    echo "== $name"
    timeout "$limit" "$@" >"$OUT/$name.log" 2>&1
    local rc=$?
    grep -vE '^(\s*$|bringing up|plugins:|rootdir:|configfile:|platform )' "$OUT/$name.log" | tail -n 32 | cut -c1-200
    echo "-- $name: rc $rc, $((SECONDS - started)) s"
}
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
python3 -c 'import torch, triton; print("torch", torch.__version__, "triton", triton.__version__)'
part bits 110 python3 -m pytest -q -s -p no:cacheprovider -W ignore -m gpu -n 12 -rfE --tb=short -k 'not do_not_fit' \
    tests/host/test_gpu_device.py
part full 60 python3 -m pytest -q -s -p no:cacheprovider -W ignore -m gpu -n 0 -rfE --tb=short -k do_not_fit \
    tests/host/test_gpu_device.py
part gather 40 python3 bench/gpu/bench_gather.py --out "$OUT"
part tables 70 python3 bench/gpu/bench_tables.py --out "$OUT"
part cached 70 python3 bench/gpu/bench_cached.py --profile 1 --out "$OUT"
part train 70 python3 bench/gpu/bench_train.py --profile 1 --out "$OUT"
echo "total $SECONDS s"
