"""The data path measured: LMDB to batches, against caffe.io.Transformer and against a bare decode-and-resize loop.

    python -m tools.bench.data                       # about two minutes
    python -m tools.bench.data --threads 1 2 4 8

Two databases are made in a temporary folder: raw 256 × 256 × 3 Datums, as ImageNet's is, and JPEGs of 500 × 375 and
80 KB. Raw images are cropped to 224 × 224 and the mean image is subtracted (uint8: the crop alone), at batch 64, into
memory that was used before, as a session's page-locked memory is. JPEGs are decoded, resized to 256 × 256, cropped, and
the mean image is subtracted; the bare loop they are compared with only decodes and resizes as many files from memory,
one after another. caffe.io.Transformer runs in real Caffe's own Python, where that is installed, on the same Datums; it
is given them in memory, as that Python has no LMDB, so that its reading is free. It has two rows: as it is, resizing
256 × 256 to 224 × 224 since it cannot crop, and cropped by hand before it.

All take turns, round by round, so that what disturbs the machine disturbs all; a figure is the median of the rounds.
`per CPU second` counts the time that all threads of the process worked: on a machine that others use as well it says
more than the clock does. Ratios are medians of the rounds' ratios, with quartiles.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inferkit.backends.caffe.root import CaffeRoot, find_root
from inferkit.data import LmdbDataset, Preprocessing, open_dataset, write_lmdb
from inferkit.data.lmdb.datum import serialize_datum
from inferkit.errors import InferkitError

BATCH = 64
RAW_SIZE, JPEG_SIZE, CROP = (256, 256), (375, 500), 224

# Runs under Caffe's own Python. Each line it is sent is `rows images`; it answers with the
# seconds that they took by the clock, and of the CPU.
_CAFFE = """
import struct, sys, time
import caffe, numpy as np
from caffe.proto import caffe_pb2
import warnings
warnings.simplefilter("ignore")
content = open(sys.argv[1], "rb").read()
values = []
while content:
    (size,) = struct.unpack_from("<I", content)
    values.append(content[4 : 4 + size])
    content = content[4 + size :]
mean, crop = np.load(sys.argv[2]), int(sys.argv[3])
edge = (mean.shape[1] - crop) // 2
window = slice(edge, edge + crop)
def transformer(mean):
    made = caffe.io.Transformer({"data": (1, 3, crop, crop)})
    made.set_transpose("data", (2, 0, 1))
    made.set_mean("data", mean)
    return made
resizing, fitting = transformer(mean), transformer(mean[:, window, window])
def image(value):
    datum = caffe_pb2.Datum()
    datum.ParseFromString(value)
    return caffe.io.datum_to_array(datum).transpose(1, 2, 0)
ways = {
    "resized": lambda value: resizing.preprocess("data", image(value)),
    "cropped": lambda value: fitting.preprocess("data", image(value)[window, window]),
}
batch = np.empty((64, 3, crop, crop), np.float32)
print("ready", flush=True)
for line in sys.stdin:
    way, count = line.split()
    clock, cpu = time.perf_counter(), time.process_time()
    for index in range(int(count)):
        batch[index % 64] = ways[way](values[index % len(values)])
    print(time.perf_counter() - clock, time.process_time() - cpu, flush=True)
"""


class Bench:
    """Images per second of each job and way, by the clock and per CPU second: a pair for each round.

    `floats` and `bytes` are what batches are written to, three of each kind, all of it touched before.
    """

    def __init__(self) -> None:
        shape = (BATCH, 3, CROP, CROP)
        self.floats: list[NDArray[Any]] = [np.ones(shape, np.float32) for _ in range(3)]
        self.bytes: list[NDArray[Any]] = [np.ones(shape, np.uint8) for _ in range(3)]
        self.rows: dict[tuple[str, str], list[tuple[float, float]]] = {}

    def add(self, job: str, way: str, images: int, clock: float, cpu: float) -> None:
        self.rows.setdefault((job, way), []).append((images / clock, images / cpu))

    def time(self, job: str, way: str, run: Callable[[], int]) -> None:
        clock, cpu = time.perf_counter(), time.process_time()
        images = run()
        self.add(job, way, images, time.perf_counter() - clock, time.process_time() - cpu)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table. Exit code 1 where something cannot be read or run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024, help="images in each database (1024: 200 MB raw)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each way (7)")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], metavar="N", help="threads to scale over (1 2)"
    )
    parser.add_argument(
        "--caffe-root", help="the Caffe to use (default: as inferkit finds it; without it, no ratio to it)"
    )
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)  # the bare loop and we alike: scaling is ours to show
    bench = Bench()
    try:
        with tempfile.TemporaryDirectory(prefix="inferkit-bench-") as name, ExitStack() as stack:
            folder = Path(name)
            raw, jpegs, mean = make(folder, args.images)
            caffe = find_root(args.caffe_root)
            ask = stack.enter_context(in_caffe(caffe, folder, raw, mean)) if caffe else None
            for number in range(args.rounds + 1):
                print(f"round {number} of {args.rounds}{' (warm-up)' * (not number)}", file=sys.stderr)
                one_round(bench, folder, jpegs, mean, args.threads, ask)
                if number == 0:
                    bench.rows.clear()
    except InferkitError as error:
        print(f"tools.bench.data: {error}", file=sys.stderr)
        return 1
    print(report(bench, args.threads))
    return 0


def make(folder: Path, count: int) -> tuple[list[NDArray[np.uint8]], list[bytes], NDArray[np.float32]]:
    """Write the databases `raw` and `jpeg`; some of the raw images, all JPEG files, and a mean image."""
    random = np.random.default_rng(0)
    pictures = [photograph(random) for _ in range(16)]
    raw = [np.ascontiguousarray(cv2.resize(image, RAW_SIZE[::-1]).transpose(2, 0, 1)) for image in pictures]
    files = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for image in pictures]
    write_lmdb(folder / "raw", (raw[index % len(raw)] for index in range(count)), range(count))
    write_lmdb(folder / "jpeg", (files[index % len(files)] for index in range(count)), range(count))
    mean = random.uniform(90, 130, (3, *RAW_SIZE)).astype(np.float32)
    # Copies, so that the bare loop finds its files as far away in memory as ours are.
    return raw, [bytes(bytearray(files[index % len(files)])) for index in range(count)], mean


def photograph(random: np.random.Generator) -> NDArray[np.uint8]:
    """A colour image with structure at every scale; as a JPEG of quality 90 about as large as one of ImageNet."""
    height, width = JPEG_SIZE
    image = np.zeros((height, width, 3), np.float32)
    for scale, strength in ((64, 60), (16, 30), (6, 20), (2, 18)):
        coarse = random.standard_normal((height // scale + 2, width // scale + 2, 3)).astype(np.float32)
        image += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + 120, 0, 255).astype(np.uint8)


def one_round(
    bench: Bench,
    folder: Path,
    jpegs: list[bytes],
    mean: NDArray[np.float32],
    threads: Sequence[int],
    ask: Callable[[str, int], tuple[float, float]] | None,
) -> None:
    """Each way once. Every run opens its dataset anew; the files are in the system's memory."""
    subtract = Preprocessing(crop=CROP, mean=mean)
    crop = Preprocessing(crop=CROP)
    resize = Preprocessing(resize=RAW_SIZE, crop=CROP, mean=mean)
    for count in threads:
        way = f"inferkit, {count} thread{'s' * (count > 1)}"
        bench.time("raw, float32", way, partial(read, folder / "raw", subtract, count, bench.floats))
        bench.time("raw, uint8", way, partial(read, folder / "raw", crop, count, bench.bytes))
        bench.time("JPEG, float32", way, partial(read, folder / "jpeg", resize, count, bench.floats, limit=512))
    bench.time("raw, float32", "inferkit, 1 thread, memory of its own", partial(read, folder / "raw", subtract, 1))
    bench.time("JPEG, float32", "bare decode and resize", partial(decode_and_resize, jpegs[:512]))
    if ask is not None:
        for way, images in (("cropped", 4 * BATCH), ("resized", BATCH // 4)):
            bench.add("raw, float32", f"caffe.io.Transformer, {way}", images, *ask(way, images))
    with open_dataset("fashion_mnist") as dataset:
        bench.time("embedded", "inferkit, 1 thread", lambda: sum(batch.count for batch in dataset.batches(BATCH)))


def read(
    path: Path,
    preprocessing: Preprocessing,
    threads: int,
    out: list[NDArray[Any]] | None = None,
    limit: int | None = None,
) -> int:
    """Read a database through once; how many images that were."""
    with LmdbDataset(path) as dataset:
        batches = dataset.batches(BATCH, preprocessing=preprocessing, threads=threads, out=out, limit=limit)
        return sum(batch.count for batch in batches)


def decode_and_resize(files: list[bytes]) -> int:
    """The loop that nothing which decodes can be faster than."""
    for file in files:
        image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
        cv2.resize(image, RAW_SIZE[::-1])
    return len(files)


@contextmanager
def in_caffe(
    root: CaffeRoot, folder: Path, images: list[NDArray[np.uint8]], mean: NDArray[np.float32]
) -> Iterator[Callable[[str, int], tuple[float, float]]]:
    """A process of Caffe's own Python; the function sends it a job and gives the seconds that it took (clock, CPU)."""
    datums = [serialize_datum(image, index) for index, image in enumerate(images)]
    (folder / "datums").write_bytes(b"".join(len(datum).to_bytes(4, "little") + datum for datum in datums))
    np.save(folder / "mean.npy", mean)
    command, environment = root.command(["python3", "-c", _CAFFE, folder / "datums", folder / "mean.npy", str(CROP)])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]

        def ask(way: str, count: int) -> tuple[float, float]:
            process.stdin.write(f"{way} {count}\n")
            process.stdin.flush()
            clock, cpu = answer().split()
            return float(clock), float(cpu)

        def answer() -> str:
            line: str = process.stdout.readline()
            if not line:
                raise InferkitError(f"Caffe's Python ended: {process.stderr.read()[-500:]}")
            return line

        answer()
        try:
            yield ask
        finally:
            process.stdin.close()


def report(bench: Bench, threads: Sequence[int]) -> str:
    """The figures and the ratios as Markdown tables."""
    lines = ["| job | way | images/s | per CPU second |", "| --- | --- | ---: | ---: |"]
    for (job, way), rates in bench.rows.items():
        clock, cpu = np.median(rates, axis=0)
        lines.append(f"| {job} | {way} | {clock:,.0f} | {cpu:,.0f} |")
    first, *more = (f"inferkit, {count} thread{'s' * (count > 1)}" for count in threads)
    pairs = [
        ("raw, float32", first, "caffe.io.Transformer, resized"),
        ("raw, float32", first, "caffe.io.Transformer, cropped"),
        ("JPEG, float32", first, "bare decode and resize"),
        *((job, way, first) for job in ("raw, float32", "raw, uint8", "JPEG, float32") for way in more),
    ]
    lines += ["", "| job | ratio of | to | by the clock | per CPU second |", "| --- | --- | --- | ---: | ---: |"]
    for job, way, peer in pairs:
        if (job, way) in bench.rows and (job, peer) in bench.rows:
            ratios = np.divide(bench.rows[job, way], bench.rows[job, peer])
            quartiles = np.quantile(ratios, (0.25, 0.5, 0.75), axis=0).T
            cells = [f"{middle:.2f} ({low:.2f} to {high:.2f})" for low, middle, high in quartiles]
            lines.append(f"| {job} | {way} | {peer} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
