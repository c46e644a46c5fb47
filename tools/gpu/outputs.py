"""Parts `outputs` and `agreement`: do engines compute what ONNX Runtime computes, and do they choose the same class."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tools.gpu.common import (
    BATCHES,
    LARGEST,
    NETWORKS,
    PRECISIONS,
    TOLERANCE,
    Results,
    by_onnxruntime,
    fail,
    folder,
    keep_to,
    plan_path,
    reference,
    relative_error,
    say,
    side_by_side,
    softmax,
)

AGREEMENT = 0.998
AGREEMENT_BATCH = 100  # of 10,000 images: no smaller batch at the end, which an engine of one batch size refuses


def compare(name: str, precision: str, batches: tuple[int, ...]) -> dict[str, Any]:
    """Relative errors of one engine by batch, and how long its first run took (kernels are compiled then)."""
    keep_to(precision)
    from inferkit.backends.tensorrt import load_engine

    images, scores = reference(name)
    figures: dict[str, Any] = {}
    for batch in batches:
        with load_engine(plan_path(name, precision, batch)).session() as session:
            start = time.perf_counter()
            session.load(images[:batch])
            ready = time.perf_counter() - start
            session.execute()
            want = scores[:batch]
            got = next(iter(session.fetch().values())).reshape(want.shape)
            figures[str(batch)] = {
                "error": relative_error(got, want),
                "largest_probability_error": float(np.abs(softmax(got) - softmax(want)).max()),
                "top1_agreement": float(np.mean(got.argmax(1) == want.argmax(1))),
                "ready_seconds": ready,
                "launch": session.launch,
                "replay_difference": session.replay_difference,
                "probability_error": relative_error(softmax(got), softmax(want)),
            }
    return figures


def run_outputs(results: Results) -> None:
    """Every network × precision × batch. Engines run side by side: nothing here is timed for its speed."""
    jobs = [(name, precision, (batch,)) for name in NETWORKS for precision in PRECISIONS for batch in BATCHES]
    start = time.perf_counter()
    answers = side_by_side(compare, jobs, 12)
    figures: dict[str, Any] = {}
    for (name, precision, (batch,)), answer in zip(jobs, answers, strict=True):
        case = f"{name}-{precision}-b{batch}"
        figures[case] = answer
        if isinstance(answer, str):
            fail(f"outputs {case}: {answer}")
        elif not answer[str(batch)]["error"] <= TOLERANCE[precision]:
            fail(f"outputs {case}: relative error {answer[str(batch)]['error']:.2e} over {TOLERANCE[precision]}")
    say(f"scores against ONNX Runtime FP32, relative error at batch {BATCHES} ({time.perf_counter() - start:.1f} s)")
    for name in NETWORKS:
        cells = []
        for precision in PRECISIONS:
            of_batches = [(str(batch), figures[f"{name}-{precision}-b{batch}"]) for batch in BATCHES]
            errors = [
                f"{each[batch]['error']:.1e}" if isinstance(each, dict) else "failed" for batch, each in of_batches
            ]
            cells.append(f"{precision} {' '.join(errors)}")
        say(f"  {name:10} {'  '.join(cells)}")
    results.put("outputs", figures)


def cpu_classes(name: str) -> str:
    """ONNX Runtime's class for each of the 10,000 embedded images; stored for the engines to be compared with."""
    import inferkit
    from inferkit.data import open_dataset

    dataset = open_dataset("fashion_mnist")
    batches = (batch.images for batch in dataset.batches(LARGEST, preprocessing=preprocessing(name)))
    classes = by_onnxruntime(inferkit.load(name), batches).argmax(1)
    np.savez(folder("references") / f"{name}-classes.npz", classes=classes, labels=dataset.labels)
    return name


def preprocessing(name: str) -> Any:
    """What the trained networks of the zoo were trained with, as their cards say."""
    from inferkit.data import Preprocessing
    from inferkit.network import zoo

    return Preprocessing(**dict(zoo.card(name)["preprocessing"]))


def engine_classes(name: str, precision: str) -> dict[str, Any]:
    """The engine's classes for the embedded images, streamed through throughput mode, against the CPU's."""
    keep_to(precision)
    import inferkit
    from inferkit.backends.tensorrt import BACKEND
    from inferkit.data import open_dataset

    engine = BACKEND.build(inferkit.at_precision(inferkit.load(name), precision), AGREEMENT_BATCH, static=True)
    with np.load(folder("references") / f"{name}-classes.npz") as stored:
        expected, labels = stored["classes"], stored["labels"]
    classes = []
    with engine.session(mode="throughput") as session:
        dataset = open_dataset("fashion_mnist")
        batches = (each.images for each in dataset.batches(AGREEMENT_BATCH, preprocessing=preprocessing(name)))
        for outputs in session.stream(batches):
            first = next(iter(outputs.values()))
            classes.append(first.reshape(len(first), -1).argmax(1))
    got = np.concatenate(classes)
    return {
        "images": len(got),
        "agreement": float(np.mean(got == expected)),
        "top1": float(np.mean(got == labels)),
        "top1_cpu": float(np.mean(expected == labels)),
    }


def run_agreement(results: Results) -> None:
    """Top-1 agreement on the embedded images, for the networks that were trained on them."""
    from inferkit.network import zoo

    trained = [name for name in zoo.names() if zoo.is_trained(name)]
    start = time.perf_counter()
    ready = [name for name in side_by_side(cpu_classes, [(name,) for name in trained], 4) if name in trained]
    for name in set(trained) - set(ready):
        fail(f"agreement {name}: the reference could not be computed")
    jobs = [(name, precision) for name in ready for precision in PRECISIONS]
    figures: dict[str, Any] = {}
    say("top-1 agreement with ONNX Runtime FP32 on the embedded images")
    for (name, precision), answer in zip(jobs, side_by_side(engine_classes, jobs, 12), strict=True):
        figures[f"{name}-{precision}"] = answer
        if isinstance(answer, str):
            fail(f"agreement {name}-{precision}: {answer}")
            continue
        say(
            f"  {name:15} {precision}  agreement {100 * answer['agreement']:.2f} %  top-1 {100 * answer['top1']:.2f} % "
            f"(CPU {100 * answer['top1_cpu']:.2f} %)"
        )
        if not answer["agreement"] >= AGREEMENT:
            fail(f"agreement {name}-{precision}: {answer['agreement']:.4f} under {AGREEMENT}")
    say(f"  ({time.perf_counter() - start:.1f} s)")
    results.put("agreement", figures)
