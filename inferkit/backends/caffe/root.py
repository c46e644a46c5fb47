"""Where real Caffe lives and how its programs are started: a Debian folder, a source build, or an interpreter.

Debian's packages are of another release than the machine (Python 3.9, glibc 2.31), and unpacked into a folder, not
installed. Their programs run through that folder's own dynamic loader with its library path: no chroot, no container,
no root rights, and nothing of the machine's own libraries.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from inferkit.backends.cores import cpu_flags
from inferkit.errors import BackendError, BackendUnavailable

ENVIRONMENT_VARIABLE = "INFERKIT_CAFFE_ROOT"
INSTALL_COMMAND = "python -m inferkit.backends.caffe.install"
HINT = (
    f"install Debian 11's Caffe with `{INSTALL_COMMAND}` (2 minutes, 1 GB), or name one by --caffe-root or "
    f"{ENVIRONMENT_VARIABLE}: the installed folder, a built Caffe source tree, or a Python that can import caffe"
)
PROBED = "INFERKIT_CAFFE_PROBED"  # what a process that starts others has found, see `handed_over`
COMPLETE = ".inferkit-complete"  # written last by install.py
# Variables of the caller that would make the folder's programs load the caller's libraries or modules.
_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "LD_LIBRARY_PATH", "LD_PRELOAD")


@dataclass(frozen=True)
class CaffeRoot:
    """A place that real Caffe runs from. `kind` is `debian`, `source` or `interpreter`; `path` is what was named."""

    path: Path
    kind: str

    def command(self, argv: Sequence[str | os.PathLike[str]]) -> tuple[list[str], dict[str, str]]:
        """The command line and environment that run `argv` there; argv[0] is `python3`, `caffe`, `convert_imageset`…

        Paths in `argv` are the machine's own. BackendError where the program is not there.
        """
        program, *arguments = [os.fspath(word) for word in argv]
        environment = _clean_environment()
        if self.kind == "debian":
            prefix, extra = _debian_command(self.path, program)
        elif self.kind == "source":
            prefix, extra = _source_command(self.path, program)
        else:
            prefix, extra = _interpreter_command(self.path, program)
        environment.update(extra)
        return [*prefix, *arguments], environment

    def run(
        self, argv: Sequence[str | os.PathLike[str]], *, timeout: float | None = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end. BackendError with the end of what it printed where it fails or takes too long."""
        command, environment = self.command(argv)
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BackendError(f"{argv[0]} of {self.path} did not end within {timeout} s") from error
        except OSError as error:
            raise BackendError(f"{argv[0]} of {self.path} cannot be started: {error}") from error
        if done.returncode != 0:
            last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
            raise BackendError(f"{argv[0]} of {self.path} ended with {done.returncode}:\n{last}")
        return done


@dataclass(frozen=True)
class Probe:
    """What `import caffe` found in a root: Caffe's and Python's versions, and the module's file."""

    version: str
    python: str
    file: str


def default_root() -> Path:
    """The folder that install.py installs to unless told otherwise: $XDG_CACHE_HOME/inferkit/caffe (~/.cache/…)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base).absolute() / "inferkit" / "caffe"


def find_root(explicit: str | os.PathLike[str] | None = None) -> CaffeRoot | None:
    """The Caffe to use: `explicit`, else $INFERKIT_CAFFE_ROOT, else the default folder; None where none is installed.

    BackendUnavailable where one was named (by argument or variable) that holds no Caffe.
    """
    named = explicit or os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        path = Path(named).expanduser().absolute()
        origin = "" if explicit else f" (from {ENVIRONMENT_VARIABLE})"
        root = recognize(path)
        if root is None:
            raise BackendUnavailable(f"{path}{origin} {_why_not(path)}", HINT)
        return root
    path = default_root()
    return recognize(path) if (path / COMPLETE).is_file() else None


def require_root(explicit: str | os.PathLike[str] | None = None) -> CaffeRoot:
    """As `find_root`; BackendUnavailable with the installing command where there is none."""
    root = find_root(explicit)
    if root is None:
        raise BackendUnavailable("real Caffe is not installed", HINT)
    return root


@lru_cache(maxsize=8)
def probe(root: CaffeRoot) -> Probe:
    """Import caffe in `root` once, in a process of its own. BackendUnavailable with its last words where that fails.

    What `handed_over` has put into the environment is believed instead.
    """
    known = _from_parent(root)
    if known is not None:
        return known
    try:
        done = root.run(["python3", Path(__file__).with_name("worker.py"), "--probe"], timeout=120)
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (BackendError, ValueError, IndexError) as error:
        raise BackendUnavailable(f"import caffe fails in {root.path}: {error}", HINT) from error
    if not found.pop("real"):
        raise BackendUnavailable(f"the module caffe at {found['file']} has no Net: it is not Caffe", HINT)
    return Probe(**found)


def handed_over(root: CaffeRoot) -> dict[str, str]:
    """The environment of processes that shall not probe `root` again before their worker imports caffe itself: it would
    take each a quarter of a second. BackendUnavailable as of `probe`."""
    return {PROBED: json.dumps([str(root.path), root.kind, asdict(probe(root))])}


def _from_parent(root: CaffeRoot) -> Probe | None:
    with contextlib.suppress(KeyError, ValueError, TypeError):
        path, kind, found = json.loads(os.environ[PROBED])
        if (path, kind) == (str(root.path), root.kind):
            return Probe(**found)
    return None


def openblas_coretype(flags: Iterable[str] | None = None) -> str | None:
    """The name of the fastest kernels that old OpenBLAS releases know and this CPU (or `flags`) can run, or None.

    OpenBLAS picks kernels by CPU model; Debian 11's (0.3.13) does not know newer models and falls back to slow ones.
    """
    have = set(flags) if flags is not None else cpu_flags()
    if {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"} <= have:
        return "SkylakeX"
    if {"avx2", "fma"} <= have:
        return "Haswell"
    return None


def recognize(path: Path) -> CaffeRoot | None:
    if path.is_file():
        return CaffeRoot(path, "interpreter") if os.access(path, os.X_OK) else None
    if _loader(path) is not None and any(path.glob("usr/lib/python3/dist-packages/caffe/_caffe*.so")):
        return CaffeRoot(path, "debian")
    if any((path / "python" / "caffe").glob("_caffe*.so")):
        return CaffeRoot(path, "source")
    return None


def _why_not(path: Path) -> str:
    if not path.exists():
        return "does not exist"
    if path.is_file():
        return "is not executable: expected a Python interpreter that can import caffe"
    if (path / "python" / "caffe").is_dir():
        return "is a Caffe source tree without python/caffe/_caffe.so: build it first (make pycaffe)"
    return "holds no Caffe: neither Debian's python3-caffe nor a built source tree"


def _clean_environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    coretype = openblas_coretype()
    if coretype is not None:
        environment.setdefault("OPENBLAS_CORETYPE", coretype)
    # glog writes files into /tmp unless told otherwise; matplotlib (caffe.io imports it) must not look for a screen.
    environment.update(GLOG_logtostderr="1", MPLBACKEND="Agg")
    return environment


def _loader(path: Path) -> Path | None:
    found = sorted(path.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*")) or sorted(
        path.glob("lib/*-linux-gnu*/ld-linux*.so.*")
    )
    return found[0] if found else None


def _library_path(path: Path, triplet: str) -> str:
    """The folders that the root's own ld.so.conf names, BLAS first: Debian reaches it by absolute links in /etc."""
    libraries = [path / "usr/lib" / triplet, path / "lib" / triplet, path / "usr/lib", path / "lib"]
    blas = [
        folder
        for pattern in ("openblas-pthread", "openblas-openmp", "openblas-serial", "atlas", "blas", "lapack")
        for folder in (path / "usr/lib" / triplet).glob(pattern)
        if any(folder.glob("lib*.so.*"))
    ]
    return ":".join(str(folder) for folder in (*blas, *libraries) if folder.is_dir())


def _debian_command(path: Path, program: str) -> tuple[list[str], dict[str, str]]:
    loader = _loader(path)
    if loader is None:
        raise BackendError(f"{path} has no dynamic loader: it is not a complete Debian folder")
    triplet = loader.parent.name
    environment = {"GCONV_PATH": str(path / "usr/lib" / triplet / "gconv")}
    is_python = program in ("python", "python3")
    if is_python:
        # /usr/bin/python3 is a link that the loader may follow; the versioned name is the file.
        found = sorted(file for file in (path / "usr/bin").glob("python3.[0-9]*") if file.name[8:].isdigit())
        executable = found[-1] if found else path / "usr/bin/python3"
        environment.update(
            PYTHONHOME=str(path / "usr"), PYTHONNOUSERSITE="1", PYTHONDONTWRITEBYTECODE="1", PYTHONUTF8="1"
        )
    else:
        executable = path / "usr/bin" / program
    if not executable.is_file():
        raise BackendError(f"{path} has no program {program}: {executable} does not exist")
    return [str(loader), "--library-path", _library_path(path, triplet), str(executable)], environment


def _source_command(path: Path, program: str) -> tuple[list[str], dict[str, str]]:
    libraries = [str(folder) for folder in (path / "build/lib", path / "build/install/lib") if folder.is_dir()]
    inherited = os.environ.get("LD_LIBRARY_PATH")
    environment = {"LD_LIBRARY_PATH": ":".join([*libraries, *([inherited] if inherited else [])])}
    if program in ("python", "python3"):
        environment["PYTHONPATH"] = str(path / "python")
        return [_source_interpreter(path, tuple(sorted(environment.items())))], environment
    for candidate in (path / "build/tools" / program, path / "build/tools" / f"{program}.bin"):
        if candidate.is_file():
            return [str(candidate)], environment
    raise BackendError(f"{path} has no program {program} under build/tools")


@lru_cache(maxsize=8)
def _source_interpreter(path: Path, environment: tuple[tuple[str, str], ...]) -> str:
    """The Python that a source tree was built for, which its files do not tell: the first one that can import it."""
    named = os.environ.get("INFERKIT_CAFFE_PYTHON")
    if named:
        return named
    candidates = [sys.executable, shutil.which("python3"), "/usr/bin/python3"]
    settings = {**_clean_environment(), **dict(environment)}
    for candidate in dict.fromkeys(word for word in candidates if word):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            tried = subprocess.run([candidate, "-c", "import caffe"], env=settings, capture_output=True, timeout=60)
            if tried.returncode == 0:
                return candidate
    return sys.executable  # the caller's own import tells what is wrong


def _interpreter_command(path: Path, program: str) -> tuple[list[str], dict[str, str]]:
    environment: Mapping[str, str] = {name: os.environ[name] for name in _FOREIGN if name in os.environ}
    if program in ("python", "python3"):
        return [str(path)], dict(environment)
    beside = path.parent / program
    found = str(beside) if beside.is_file() else shutil.which(program)
    if found is None:
        raise BackendError(f"no program {program} beside {path} or on the PATH")
    return [found], dict(environment)
