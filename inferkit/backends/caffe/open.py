"""Which Caffe to use, and a network opened in it: in this process, or in a worker of the root that is found."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from inferkit.backends.caffe.net import CaffeNet, LocalNet, WorkerNet
from inferkit.backends.caffe.process import CPU_ONLY_HINT, CPU_ONLY_REASON, CPU_ONLY_WORDS, last_words
from inferkit.backends.caffe.root import ENVIRONMENT_VARIABLE, HINT, CaffeRoot, probe, require_root
from inferkit.errors import BackendError, BackendUnavailable, NetworkError

InputShapes = Mapping[str, Sequence[int]] | Sequence[int]


@dataclass(frozen=True)
class NetState:
    """Which of a prototxt's layers are meant: Caffe's phase, level and stages."""

    phase: str = "TEST"
    level: int = 0
    stages: tuple[str, ...] = ()


TEST = NetState()


@dataclass(frozen=True)
class CaffePlace:
    """Where Caffe runs: `root` is None for this process. `version` is Caffe's own."""

    root: CaffeRoot | None
    version: str


def choose(caffe_root: str | os.PathLike[str] | None = None, in_process: bool | None = None) -> CaffePlace:
    """The Caffe that was named (argument, then variable), else this Python's own, else the installed folder's.

    `in_process` True insists on this process, False on a worker, which a failed CHECK of Caffe ends instead of this
    process. BackendUnavailable with the reason and a hint.
    """
    named = bool(caffe_root or os.environ.get(ENVIRONMENT_VARIABLE))
    if in_process or (in_process is None and not named):
        found = local_caffe()
        if isinstance(found, CaffePlace):
            return found
        if in_process:
            raise BackendUnavailable(found, HINT)
    if in_process is False and not named and find_spec("caffe") is not None:
        own = CaffeRoot(Path(sys.executable), "interpreter")
        with contextlib.suppress(BackendUnavailable):
            return CaffePlace(own, probe(own).version)
    root = require_root(caffe_root)
    return CaffePlace(root, probe(root).version)


@lru_cache(maxsize=1)
def local_caffe() -> CaffePlace | str:
    """This process's own Caffe, or why `import caffe` gives none."""
    if find_spec("caffe") is None:
        return "there is no module caffe in this Python"
    os.environ.setdefault("GLOG_minloglevel", "1")  # else Caffe prints every layer on stderr; warnings stay
    try:
        import caffe
    except Exception as error:  # a broken installation fails in any way it likes
        return f"import caffe fails in this Python: {error}"
    if not hasattr(caffe, "Net"):
        return "the module caffe of this Python has no Net: PyPI's caffe is a placeholder, not Caffe; uninstall it"
    return CaffePlace(None, getattr(caffe, "__version__", "unknown"))


def require_gpu(root: CaffeRoot) -> None:
    """BackendUnavailable where this Caffe has no GPU to use; asking for one aborts the process that asks."""
    try:
        root.run(["python3", "-c", "import caffe; caffe.set_device(0); caffe.set_mode_gpu()"], timeout=120)
    except BackendError as error:
        if CPU_ONLY_WORDS in str(error):
            raise BackendUnavailable(CPU_ONLY_REASON, CPU_ONLY_HINT) from None
        raise BackendUnavailable(f"Caffe cannot use a GPU: {last_words(str(error))}", "leave --gpu out") from None


def open_net(
    prototxt: str | os.PathLike[str],
    caffemodel: str | os.PathLike[str] | None,
    *,
    caffe_root: str | os.PathLike[str] | None = None,
    gpu: bool = False,
    in_process: bool | None = None,
    threads: int | None = None,
    timeout: float = 600.0,
    state: NetState = TEST,
    input_shapes: InputShapes | None = None,
) -> CaffeNet:
    """Load a network into Caffe. `threads`: OpenBLAS's (None: the cores that are ours), in a worker only.

    Caffe reads the prototxt itself, unless it has data layers or losses, asks for a `state` other than TEST, or has
    inputs without a shape: then it is given the inference part that the import takes. `input_shapes`, batch first, has
    the shapes that the prototxt lacks, by name, or that of the only input.

    BackendUnavailable where there is no Caffe (or no GPU in it), BackendError with Caffe's own words where it refuses
    the files, NetworkError where a training network's inference part cannot be told.
    """
    place = choose(caffe_root, in_process)
    model, weights = Path(prototxt), None if caffemodel is None else Path(caffemodel)
    for file in (model, weights):
        if file is not None and not file.is_file():
            raise BackendError(f"{file} does not exist")
    with tempfile.TemporaryDirectory(prefix="inferkit-caffe-") as folder:
        deploy = model
        text = deploy_text(model, weights, state, input_shapes)
        if text is not None:
            deploy = Path(folder, model.name)
            deploy.write_text(text, encoding="utf-8")
        try:
            if place.root is None:
                if gpu:
                    require_gpu(CaffeRoot(Path(sys.executable), "interpreter"))
                return LocalNet(deploy, weights, gpu=gpu)
            return WorkerNet(place.root, deploy, weights, gpu=gpu, threads=threads, timeout=timeout)
        except BackendUnavailable:
            raise
        except BackendError as error:
            raise BackendError(str(error).replace(str(deploy), str(model))) from None


def deploy_text(
    prototxt: Path, caffemodel: Path | None, state: NetState, input_shapes: InputShapes | None
) -> str | None:
    """The prototxt to give to Caffe instead of the file, None where the file itself will do.

    A file that the import cannot read is Caffe's to judge. NetworkError where a training network's inference part
    cannot be told.
    """
    from google.protobuf import text_format

    from inferkit.network.caffe.files import schema
    from inferkit.network.caffe.files.read import read_prototxt
    from inferkit.network.caffe.prototxt.definition import define
    from inferkit.network.caffe.prototxt.deploy import is_training_net
    from inferkit.network.caffe.prototxt.filter import filter_net
    from inferkit.network.caffe.prototxt.upgrade import upgrade

    try:
        written = read_prototxt(prototxt)
        unshaped = bool(written.input) and not written.input_shape and not written.input_dim
        if state == TEST and not unshaped:
            upgrade(written, prototxt)
            if not is_training_net(filter_net(written, prototxt)):
                return None
    except NetworkError:
        return None
    definition = define(
        prototxt,
        caffemodel,
        phase=getattr(schema, state.phase),
        level=state.level,
        stages=state.stages,
        input_shapes=input_shapes,
    )
    return str(text_format.MessageToString(definition.net))  # type: ignore[arg-type]
