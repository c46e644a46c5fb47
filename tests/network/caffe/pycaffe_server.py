"""Runs inside real Caffe's Python (3.9, numpy 1.19): answers requests to build, fill and run nets, one a line.

Each request is served by a fork, so a net that makes Caffe abort costs that child only. Requests and answers are one
line of JSON each; arrays travel in .npz files that the request names.
"""

import json
import os
import sys

import caffe
import numpy as np


def fill(net, seed, factor):
    """Random parameters of a sensible size: what a layer computes depends on each of them."""
    random = np.random.RandomState(seed)
    types = {name: layer.type for name, layer in net.layer_dict.items()}
    for name, blobs in net.params.items():
        for position, blob in enumerate(blobs):
            shape = blob.data.shape
            if types[name] == "BatchNorm":
                values = (
                    random.normal(0, 1, shape),
                    random.uniform(0.5, 2, shape),
                    np.full(shape, factor if factor is not None else random.choice([1.0, 999.98, 0.25])),
                )[position]
                if position < 2:
                    values = values * (factor or 1)
            elif types[name] == "PReLU":
                values = random.uniform(-0.5, 1, shape)
            elif types[name] in ("Scale", "Bias"):
                values = random.normal(0.5, 1, shape)
            else:
                fan_in = max(1, int(np.prod(shape[1:])))
                values = random.normal(0, 1.0 / np.sqrt(fan_in), shape)
            blob.data[...] = values


def serve(request):
    stages = request.get("stages", [])
    phase = caffe.TRAIN if request.get("phase") == "TRAIN" else caffe.TEST
    arguments = {"level": request.get("level", 0), "stages": stages}
    if request.get("weights"):
        arguments["weights"] = request["weights"]
    net = caffe.Net(request["prototxt"], phase, **arguments)
    if request.get("seed") is not None:
        fill(net, request["seed"], request.get("factor"))
    if request.get("save"):
        net.save(request["save"])
    results = {}
    for number, path in enumerate(request.get("feeds", [])):
        feeds = np.load(path)
        for name in feeds.files:
            net.blobs[name].reshape(*feeds[name].shape)
        net.reshape()
        for name in feeds.files:
            net.blobs[name].data[...] = feeds[name]
        net.forward()
        for name in request.get("blobs") or net.outputs:
            results[f"{number}:{name}"] = net.blobs[name].data.copy()
    if request.get("results"):
        np.savez(request["results"], **{f"array_{i}": value for i, value in enumerate(results.values())})
    return {"inputs": list(net.inputs), "outputs": list(net.outputs), "keys": list(results), "layers": len(net.layers)}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 2)
            try:
                answer = json.dumps(serve(request))
            except Exception as error:
                answer = json.dumps({"error": repr(error)})
            os.write(writer, answer.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        answers.write((answer.decode() or "aborted") + "\n")
        answers.flush()


main()
