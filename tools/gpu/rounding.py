"""Part `rounding`: what FP16 costs the scores where sums are kept in FP32: no engine can be expected to do better.

Needs no GPU: FP32 arithmetic on the CPU rounds every weight and every result (inferkit.precision.emulation).
"""

from __future__ import annotations

from tools.gpu.common import NETWORKS, Results, folder, reference, relative_error, say, scores_blob
from tools.gpu.prepare import make_reference

BATCH = 8


def run(results: Results) -> None:
    """The relative error of each network's scores for the suite's images."""
    found: dict[str, float] = {}
    for name in NETWORKS:
        if not (folder("references") / f"{name}.npz").exists():
            make_reference(name, threads=0)
        found[name] = _error(name)
        say(f"{name}: rounding to FP16 alone costs {found[name]:.2e} of the scores")
    results.put("rounding", found)


def _error(name: str) -> float:
    import numpy as np
    import onnxruntime

    import inferkit
    from inferkit.cli.study_engine import with_output
    from inferkit.precision.emulation import emulated

    images, scores = reference(name)
    network = inferkit.load(name)
    half = emulated(inferkit.at_precision(with_output(network, scores_blob(network)), "fp16"))
    session = onnxruntime.InferenceSession(half.model.SerializeToString(), providers=["CPUExecutionProvider"])
    parts = [
        session.run(None, {half.inputs[0].name: images[start : start + BATCH]})[0]
        for start in range(0, len(images), BATCH)
    ]
    return relative_error(np.concatenate(parts).reshape(scores.shape), scores)
