"""Runs under real Caffe's own Python: forwards nets of one data layer and stores what it puts out.

Arguments: a JSON file {"nets": {name: {"prototxt": text, "forwards": n}}, "transformers": {name: {…}}}, and the .npz to
write. A transformer job is one image file through caffe.io.Transformer: {"file", "shape", "mean", "scale"}.
"""

import json
import os
import sys
import tempfile

import caffe
import numpy as np


def forward(job):
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt", delete=False) as file:
        file.write(job["prototxt"])
    try:
        net = caffe.Net(file.name, caffe.TEST)
    finally:
        os.unlink(file.name)
    images, labels = [], []
    for _ in range(job["forwards"]):
        net.forward()
        images.append(net.blobs["data"].data.copy())
        labels.append(net.blobs["label"].data.copy())
    return np.concatenate(images), np.concatenate(labels)


def transform(job):
    # As caffe.io.load_image: its own call of skimage.io.imread breaks with the scikit-image that Debian 11 has.
    import skimage
    from PIL import Image

    image = skimage.img_as_float(np.asarray(Image.open(job["file"]).convert("RGB"))).astype(np.float32)
    transformer = caffe.io.Transformer({"data": tuple(job["shape"])})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    if job.get("mean"):
        transformer.set_mean("data", np.load(job["mean"]))
    if job.get("scale"):
        transformer.set_input_scale("data", job["scale"])
    return transformer.preprocess("data", image)


def main():
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    results = {}
    for name, job in jobs.get("nets", {}).items():
        results[name + "/data"], results[name + "/label"] = forward(job)
    for name, job in jobs.get("transformers", {}).items():
        results[name] = transform(job)
    np.savez(sys.argv[2], **results)


main()
