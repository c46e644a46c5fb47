"""A network made ready once and measured many times: its graph at one precision and the images it is timed on.

Importing a Caffe model and calibrating INT8 take longer than the measurement. They are done once, in a process of
their own, and leave a folder that every replicate of every case loads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import MeasurementError, UsageError
from inferkit.files import write_atomically
from inferkit.measure import images as timing_images
from inferkit.network.load import load
from inferkit.network.network import unit_of
from inferkit.precision import at_precision

if TYPE_CHECKING:
    from inferkit.backends.uint8_input import Uint8Input
    from inferkit.network.network import CaffeSource, Network

# protobuf refuses messages of 2 GiB; weights beyond this go to a file beside the model.
_EXTERNAL_ABOVE = 1_800_000_000


@dataclass(frozen=True)
class Recipe:
    """How a network is made: JSON-able, and equal recipes make equal networks.

    `model` is a zoo name or a path, `dataset` a name or a path (None: embedded images brought to the input's shape),
    `images` how many are kept for timing. `shape` and `batch_axis` state what the model leaves open: `input_shape` and
    `batch_axis` of `load`. `uint8_input`: the network takes pixels, and has the mean and scale of `preprocessing`
    itself; without any it takes the pixels' values.
    """

    name: str
    model: str
    precision: str
    weights: str | None = None
    dataset: str | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    calibration_images: int = 500
    images: int = 1
    shape: Any = None
    batch_axis: Any = None
    uint8_input: bool = False


def prepare(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Make the network and its timing images in `folder`; returns what is known of the network (name, digest, …).

    Raises NetworkError, DataError and PrecisionError of the parts.
    """
    # These need onnx, which who only starts processes does not.
    from inferkit.backends.uint8_input import with_uint8_input
    from inferkit.precision.input_range import calibrated_inputs

    network = load(recipe.model, recipe.weights, input_shape=recipe.shape, batch_axis=recipe.batch_axis)
    uint8_input = _uint8_input(network, recipe) if recipe.uint8_input else None
    source = timing_images.ImageSource(network, recipe.dataset, recipe.preprocessing, uint8_input)
    if recipe.precision != network.precision:
        network = _at_precision(network, recipe, source)
    if uint8_input is not None:
        network = with_uint8_input(network, uint8_input)
    arrays = source.first(recipe.images)
    folder.mkdir(parents=True, exist_ok=True)
    _save_model(network, folder)
    np.savez(folder / "images.npz", **arrays)  # type: ignore[arg-type]
    facts = {
        "name": recipe.name,
        "precision": network.precision,
        "calibration": network.calibration,
        "notes": list(network.notes),
        "digest": network.digest,
        "images_from": source.description,
        "unit": unit_of(network.inputs),
        "calibrated": calibrated_inputs(network),
        "coverage": _coverage(network),
        "batch_axes": {info.name: info.batch_axis for info in network.inputs},
        "source": network.source and _source_as_json(network.source),
    }
    write_atomically(folder / "network.json", json.dumps(facts, indent=1).encode())
    return facts


def _uint8_input(network: Network, recipe: Recipe) -> Uint8Input:
    """What the network is to do to pixels. UsageError where it has several inputs."""
    from inferkit.backends.uint8_input import normalization_of
    from inferkit.data.opening import preprocessing_from

    if len(network.inputs) != 1:
        names = ", ".join(info.name for info in network.inputs) or "none"
        raise UsageError(f"uint8_input needs a network with one input, of images; {network.name} has {names}")
    return normalization_of(preprocessing_from(recipe.preprocessing), network.inputs[0])


def _coverage(network: Network) -> dict[str, Any] | None:
    """Which share of the work is at the precision, and the sentence on it; None where it is all that matters."""
    from inferkit.precision.work.coverage import coverage_of  # needs onnx, as above

    coverage = coverage_of(network)
    if coverage is None or not coverage.sentence:
        return None
    return {"share": coverage.share if coverage.changed else 0.0, "sentence": coverage.sentence}


def prepared_facts(folder: Path) -> dict[str, Any]:
    """What `prepare` returned of the network in a folder that it made. Raises OSError and ValueError."""
    facts: dict[str, Any] = json.loads((folder / "network.json").read_text())
    return facts


def _at_precision(network: Network, recipe: Recipe, source: timing_images.ImageSource) -> Network:
    if recipe.precision not in ("int8", "fp8"):
        return at_precision(network, recipe.precision)
    batches = source.calibration(recipe.calibration_images)
    return at_precision(network, recipe.precision, calibration=batches, images=recipe.calibration_images)


def _save_model(network: Network, folder: Path) -> None:
    import onnx

    path = folder / "network.onnx"
    if network.model.ByteSize() <= _EXTERNAL_ABOVE:
        path.write_bytes(network.model.SerializeToString())
        return
    copy = onnx.ModelProto()
    copy.CopyFrom(network.model)  # a Network's model is never changed, and saving with external data changes it
    onnx.save_model(copy, str(path), save_as_external_data=True, location="network.onnx.data")


def load_prepared(folder: Path) -> Network:
    """The network in a folder made by `prepare`. MeasurementError where the folder is not whole."""
    import onnx

    from inferkit.network.network import Network

    try:
        facts = prepared_facts(folder)
        model = onnx.load(str(folder / "network.onnx"))
    except (OSError, ValueError) as error:
        raise MeasurementError(f"{folder}: the prepared network cannot be read: {error}") from error
    source = facts["source"] and _source_from_json(facts["source"])
    network = Network.from_model(model, facts["name"], precision=facts["precision"], source=source)
    return replace(network, calibration=facts["calibration"], notes=tuple(facts["notes"]))


def _source_as_json(source: CaffeSource) -> dict[str, Any]:
    values = asdict(source)
    return values | {"prototxt": str(source.prototxt), "caffemodel": source.caffemodel and str(source.caffemodel)}


def _source_from_json(values: dict[str, Any]) -> CaffeSource:
    from inferkit.network.network import CaffeSource

    caffemodel = values["caffemodel"] and Path(values["caffemodel"])
    return CaffeSource(Path(values["prototxt"]), caffemodel, values["phase"], values["level"], tuple(values["stages"]))


def timing_batch(folder: Path, batch_size: int) -> dict[str, NDArray[Any]]:
    """`batch_size` prepared images by input name, repeated where fewer were kept; an input without a batch as it is.

    UsageError where none has a batch and there are to be several.
    """
    with np.load(folder / "images.npz", allow_pickle=False) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    if not kept:
        raise UsageError(f"{folder}: the network takes no input")
    axes = prepared_facts(folder)["batch_axes"]
    timing_images.require_batch(axes, batch_size)
    batch = {}
    for name, array in kept.items():
        axis = axes[name]
        batch[name] = array if axis is None else array.take(np.arange(batch_size) % array.shape[axis], axis)
    return batch
