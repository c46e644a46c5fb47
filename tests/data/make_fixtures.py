"""Makes the files in fixtures/ with real Caffe: databases by convert_imageset, and what a Data layer reads from them.

Run: python -m tests.data.make_fixtures, where real Caffe is installed. The LMDBs' data files alone are kept.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from inferkit.backends.caffe.root import require_root
from tests.data.caffe_files import convert, data_net, read_by_caffe, write_pictures

FIXTURES = Path(__file__).parent / "fixtures"
SIZES = [(40, 31), (33, 48), (36, 36), (64, 50)]
# Name of the LMDB, flags of convert_imageset, and the transform_param whose output is kept.
DATABASES = {
    "raw": (("--resize_height=32", "--resize_width=29"), "crop_size: 21 mean_file: 'MEAN' scale: 0.0078125"),
    "gray": (("--resize_height=24", "--resize_width=25", "--gray"), "mean_value: 101.5 scale: 0.5"),
    "jpg": (
        ("--encoded", "--encode_type=jpg"),
        "crop_size: 30 mean_value: 104 mean_value: 117.25 mean_value: 123",
    ),
    "png": (("--encoded", "--encode_type=png", "--resize_height=20", "--resize_width=22"), "force_gray: true"),
}


def main() -> None:
    root = require_root()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listing = write_pictures(folder / "pictures", SIZES, (".png",))
        nets = {}
        for database, (flags, transform) in DATABASES.items():
            convert(root, listing, folder / database, *flags)
            shutil.copyfile(folder / database / "data.mdb", FIXTURES / f"{database}.mdb")
            if "MEAN" in transform:
                mean = FIXTURES / f"{database}_mean.binaryproto"
                root.run(["compute_image_mean", folder / database, mean])
                transform = transform.replace("'MEAN'", f'"{mean}"')
            nets[database] = data_net(folder / database, len(SIZES), transform)
        read = read_by_caffe(root, folder, nets)
        np.savez_compressed(FIXTURES / "read_by_caffe.npz", **{key.replace("/", "_"): read[key] for key in read})


if __name__ == "__main__":
    main()
