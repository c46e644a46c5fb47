"""The import measured: a caffemodel to a checked ONNX model, its time and its memory, in fresh processes.

    python -m tools.bench.importing                          # resnet152 and vgg19
    python -m tools.bench.importing lenet googlenet --runs 9

For each network: wall and CPU time of `inferkit.load(prototxt, caffemodel)`, least and median of the runs, libraries
imported before; and the most memory that the process held above what it held before the load, over the size of the
weights. CPU time says more where others use the machine. The zoo's files are made first, into the cache. Exit code 1
where a limit is passed: 2 seconds by the clock (the least of the runs), 2.5 times the weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from inferkit.network import zoo

SECONDS, TIMES = 2.0, 2.5

# Runs in the fresh process; importing libraries is not counted.
_LOAD = """
import json, sys, time
import numpy, onnx, onnx.checker, onnx.shape_inference
import inferkit
from inferkit.measure.machine.host import HighWater
from inferkit.network.caffe import importer
memory = HighWater()
wall, cpu = time.perf_counter(), time.process_time()
network = inferkit.load(sys.argv[1], sys.argv[2])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps([wall, cpu, memory.peak()]))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table. Exit code 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["resnet152", "vgg19"], help="of the zoo (resnet152 vgg19)")
    parser.add_argument("--runs", type=int, default=5, help="processes of each (5)")
    args = parser.parse_args(argv)
    print("| network | weights | wall, least | wall, median | CPU, least | memory over weights |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    passed = True
    for name in args.networks:
        source = zoo.files(name)
        prototxt, caffemodel = source.prototxt, source.caffemodel
        assert caffemodel is not None
        runs = [load(prototxt, caffemodel) for _ in range(args.runs + 1)][1:]  # the first reads the disk
        wall, cpu, memory = zip(*runs, strict=True)
        weights = caffemodel.stat().st_size
        times = max(memory) / weights
        figures = f"{min(wall):.2f} s | {statistics.median(wall):.2f} s | {min(cpu):.2f} s | {times:.2f}"
        print(f"| {name} | {weights / 1e6:.0f} MB | {figures} |", flush=True)
        passed = passed and min(wall) <= SECONDS and times <= TIMES
    return 0 if passed else 1


def load(prototxt: Path, caffemodel: Path) -> tuple[float, float, int]:
    """Wall and CPU seconds, and bytes, of one load."""
    command = [sys.executable, "-c", _LOAD, str(prototxt), str(caffemodel)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{prototxt}: {done.stderr}")
    wall, cpu, memory = json.loads(done.stdout)
    return wall, cpu, memory


if __name__ == "__main__":
    sys.exit(main())
