"""Install real PyCaffe 1.0 into a folder: Debian 11's packages, fetched by debootstrap, unpacked, nothing run as root.

The packages are only unpacked (44 s, 0.7 GB): no chroot, no device files, no mounts, so it works for any user and a
killed run leaves nothing but a folder. `root.py` runs what is inside. Standard library only, any Python from 3.9.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from inferkit.backends.caffe.root import COMPLETE, CaffeRoot, default_root, find_root, probe, recognize
from inferkit.errors import BackendError, BackendUnavailable

SUITE = "bullseye"
PACKAGES = ("python3-caffe", "caffe")
NEEDED_BYTES = 1_300_000_000  # 220 MB of packages and 690 MB unpacked lie side by side for a moment


class InstallError(Exception):
    """The installation failed; the message says at what, and a hint."""


def main(argv: Sequence[str] | None = None) -> int:
    """Install, or check what is installed. Exit codes: 0 installed, 1 not (the last line says why), 2 usage."""
    parser = argparse.ArgumentParser(
        prog="install_pycaffe",
        description="Install real PyCaffe 1.0 (Debian 11's python3-caffe and caffe) into a folder: about a minute and "
        "0.7 GB, no root rights needed where debootstrap and fakeroot are installed.",
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, help="default: $INFERKIT_CAFFE_ROOT, else caffe in inferkit's user cache"
    )
    parser.add_argument("--check", action="store_true", help="install nothing; exit code 0 if import caffe works there")
    parser.add_argument("--mirror", metavar="URL", help="Debian mirror (default: debootstrap's own choice)")
    args = parser.parse_args(argv)
    try:
        folder = target_folder(args.folder)
        if args.check:
            print(f"{folder}: {describe(folder)}")
        else:
            install(folder, mirror=args.mirror)
    except (InstallError, BackendError) as error:
        print(f"install_pycaffe: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("install_pycaffe: interrupted; run it again to start afresh", file=sys.stderr)
        return 1
    return 0


def target_folder(named: Path | None) -> Path:
    """Where to install: `named`, else $INFERKIT_CAFFE_ROOT, else the folder that the caffe backend looks for."""
    chosen = named or (Path(os.environ["INFERKIT_CAFFE_ROOT"]) if os.environ.get("INFERKIT_CAFFE_ROOT") else None)
    folder = (chosen or default_root()).expanduser().absolute()
    if ":" in str(folder):
        raise InstallError(f"{folder}: a folder name with a colon cannot be in a library path; choose another")
    return folder


def describe(folder: Path) -> str:
    """Caffe's version in `folder`, found by importing it there. BackendUnavailable where that fails."""
    root = find_root(folder)
    assert root is not None  # a named root is found or raises
    found = probe(root)
    return f"Caffe {found.version} for Python {found.python}"


def install(folder: Path, *, mirror: str | None = None) -> None:
    """Install into `folder` unless it is complete. InstallError says what failed; nothing half-made gets its name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        if _usable(folder):
            print(f"{folder}: already installed ({describe(folder)})")
            return
        partial = folder.with_name(f"{folder.name}.partial")
        if partial.exists():
            print(f"{partial}: left by a run that was ended; removed")
            shutil.rmtree(partial)
        _require_space(folder.parent)
        wrapper = _require_debootstrap()
        try:
            partial.mkdir()
            packages = _download(partial / "download", wrapper, mirror)
            _unpack(packages, partial)
            shutil.rmtree(partial / "download")
            _import_once(CaffeRoot(partial, "debian"))
            found = probe(CaffeRoot(partial, "debian"))
            (partial / COMPLETE).write_text(f"Caffe {found.version} from Debian {SUITE}\n", encoding="utf-8")
            os.sync()
            if folder.exists():
                folder.rmdir()  # only ever an empty one: _usable refuses any other
            os.rename(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        print(f"{folder}: installed ({describe(folder)})")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: a second installer waits, then finds the work done. The system frees it on a crash."""
    with open(folder.with_name(f"{folder.name}.lock"), "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another installation into {folder} is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _usable(folder: Path) -> bool:
    """Whether Caffe is in `folder`; marks one that was made by hand. InstallError where something else is there."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    root = recognize(folder)
    if root is None:
        raise InstallError(f"{folder} exists and holds no Caffe; remove it or name another folder")
    try:
        probe(root)
    except BackendUnavailable as error:
        raise InstallError(f"{folder} is damaged; remove it and run this again ({error.reason})") from error
    if root.kind == "debian" and not (folder / COMPLETE).exists() and os.access(folder, os.W_OK):
        (folder / COMPLETE).touch()
    return True


def _require_space(parent: Path) -> None:
    free = shutil.disk_usage(parent).free
    if free < NEEDED_BYTES:
        raise InstallError(f"{parent} has {free / 1e9:.1f} GB free; {NEEDED_BYTES / 1e9:.1f} GB are needed")


def _require_debootstrap() -> list[str]:
    """See to it that debootstrap is there, installing it where that is possible; the words to start it with."""
    if not sys.platform.startswith("linux"):
        raise InstallError("Debian's Caffe runs on Linux only")
    is_root = os.geteuid() == 0
    if _which("debootstrap") is None:
        if not (is_root and shutil.which("apt-get")):
            raise InstallError(
                "debootstrap is not installed; ask for it first: `sudo apt-get install debootstrap fakeroot` "
                "(Debian, Ubuntu) or `sudo dnf install debootstrap fakeroot` (Fedora)"
            )
        print("installing debootstrap")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        _run(["apt-get", "update"], "apt-get update", environment)
        _run(["apt-get", "install", "-y", "--no-install-recommends", "debootstrap"], "apt-get install", environment)
    for needed in ("dpkg-deb", "tar"):
        if shutil.which(needed) is None:
            raise InstallError(f"{needed} is not installed; install it first (package dpkg, tar)")
    debootstrap = _which("debootstrap")
    if debootstrap is None:
        raise InstallError("debootstrap is still not found after its installation")
    if is_root:
        return [debootstrap]
    # debootstrap refuses other users even for a mere download, which needs no rights at all.
    if shutil.which("fakeroot"):
        return ["fakeroot", debootstrap]
    if shutil.which("unshare") and _works(["unshare", "--map-root-user", "true"]):
        return ["unshare", "--map-root-user", debootstrap]
    raise InstallError(
        "fakeroot is not installed, and you are not root: `sudo apt-get install fakeroot`, or run as root"
    )


def _download(folder: Path, debootstrap: Sequence[str], mirror: str | None) -> list[Path]:
    """Fetch the packages and all that they depend on, signatures checked by debootstrap; the .deb files."""
    print(f"downloading {', '.join(PACKAGES)} of Debian {SUITE} and what they need (220 MB)", flush=True)
    words = [*debootstrap, "--download-only", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE]
    folder.mkdir()
    with tempfile.TemporaryDirectory(prefix="install_pycaffe-") as plain:
        link = Path(plain, "download")  # debootstrap loses packages where the folder's name has a space in it
        link.symlink_to(folder)
        _run([*words, str(link), *([mirror] if mirror else [])], "debootstrap")
    packages = sorted((folder / "var/cache/apt/archives").glob("*.deb"))
    if not any(package.name.startswith("python3-caffe") for package in packages):
        raise InstallError(f"debootstrap ended well but brought no python3-caffe ({len(packages)} packages)")
    return packages


def _unpack(packages: Sequence[Path], folder: Path) -> None:
    print(f"unpacking {len(packages)} packages", flush=True)
    for name in ("bin", "sbin", "lib", "lib64"):  # Debian's merged /usr, which the packages' own paths rely on
        (folder / "usr" / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(f"usr/{name}")
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as archive:
            tar = ["tar", "-xf", "-", "--keep-directory-symlink", "--no-same-owner", "-C", str(folder)]
            done = subprocess.run(tar, stdin=archive.stdout, capture_output=True, text=True, check=False)
        if done.returncode != 0 or archive.returncode != 0:
            raise InstallError(f"{package.name} cannot be unpacked: {done.stderr.strip() or 'dpkg-deb failed'}")


def _import_once(root: CaffeRoot) -> None:
    """Import caffe with leave to write bytecode, which halves the start of every worker from then on."""
    command, environment = root.command(["python3", "-c", "import caffe"])
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    _run(command, "import caffe", environment)


def _run(words: Sequence[str], what: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise InstallError(f"{what} ended with {done.returncode}:\n{last}")


def _which(program: str) -> str | None:
    """As shutil.which, also where only root's PATH would find it."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def _works(words: Sequence[str]) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
