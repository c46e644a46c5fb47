"""Is every TensorRT name that the backend uses there, in versions that cannot be installed here?

    python3 -m tools.gpu.building.check_tensorrt_api tensorrt==10.0.1 tensorrt==11.4.0.106 tensorrt_rtx==1.4.0.76 …
    python3 -m tools.gpu.building.check_tensorrt_api tensorrt        # the one that this Python imports

PyPI carries the Python bindings of TensorRT on their own, while its libraries, of gigabytes, come from elsewhere.
The bindings are loaded here against empty libraries (made with gcc, good for nothing but loading), in a process of
their own, and asked for every class and member in flavour.USED, and whether their functions take as many arguments as
the backend gives them. An installed TensorRT is loaded as it is, with its libraries. Nothing is built or run, and no
type stubs come with the bindings: that names and numbers of arguments fit is all that this says. Needs pip, gcc, and
for a flavour's own bindings a Python that they are made for.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from inferkit.backends.tensorrt.flavour import USED, USED_OF_RTX

# How many arguments the backend gives to what it calls.
CALLS = {
    "Builder": {"create_network": 1, "build_serialized_network": 2},
    "IBuilderConfig": {
        "set_memory_pool_limit": 2,
        "set_flag": 1,
        "clear_flag": 1,
        "add_optimization_profile": 1,
        "create_timing_cache": 1,
        "set_timing_cache": 2,
        "set_compute_capability": 2,
    },
    "IOptimizationProfile": {"set_shape": 4},
    "OnnxParser": {"parse": 1, "get_error": 1},
    "Runtime": {"deserialize_cuda_engine": 1, "get_engine_validity": 1},
    "ICudaEngine": {
        "get_tensor_name": 1,
        "get_tensor_mode": 1,
        "get_tensor_dtype": 1,
        "get_tensor_shape": 1,
        "get_tensor_profile_shape": 2,
        "create_execution_context": 0,
        "create_engine_inspector": 0,
        "create_runtime_config": 0,
    },
    "IExecutionContext": {
        "set_input_shape": 2,
        "set_tensor_address": 2,
        "get_tensor_shape": 1,
        "execute_async_v3": 1,
    },
    "EngineInspector": {"get_engine_information": 1},
    "ITimingCache": {"combine": 2, "serialize": 0},
    "IRuntimeConfig": {"create_runtime_cache": 0, "set_runtime_cache": 1},
    "IRuntimeCache": {"serialize": 0, "deserialize": 1},
}

_LOOK = """
import importlib, json, sys
if sys.argv[1]:
    sys.path.insert(0, sys.argv[1])
module = importlib.import_module(sys.argv[2])
wanted = json.loads(sys.argv[3])
print(json.dumps({"version": getattr(module, "__version__", None), "texts": {
    f"{name}.{member}": getattr(getattr(module, name, None), member).__doc__ or ""
    if hasattr(getattr(module, name, None), member) else None
    for name, members in wanted.items() for member in members
}}))
"""


def check(flavour: str, version: str, folder: Path) -> tuple[str, list[str]]:
    """The version, and the names that it lacks; without a `version` those of what this Python imports.

    RuntimeError where it cannot be fetched or loaded.
    """
    place, libraries = _fetched(flavour, version, folder) if version else ("", None)
    wanted = {name: list(members) for name, members in USED.items()}
    if flavour == "tensorrt":
        wanted["ICudaEngine"] += ["device_memory_size", "device_memory_size_v2"]
    else:
        for name, members in USED_OF_RTX.items():
            wanted[name] = [*wanted.get(name, []), *members]
        for name in ("create_timing_cache", "set_timing_cache", "get_timing_cache"):
            wanted["IBuilderConfig"].remove(name)  # never called there
    looked = subprocess.run(
        [sys.executable, "-c", _LOOK, place, flavour, json.dumps(wanted)],
        capture_output=True,
        text=True,
        env={**os.environ, **({} if libraries is None else {"LD_LIBRARY_PATH": str(libraries)})},
        check=False,
    )
    if looked.returncode != 0:
        raise RuntimeError(f"{f'{flavour} {version}'.strip()} does not load: {looked.stderr.strip()[-300:]}")
    found = json.loads(looked.stdout)
    texts: dict[str, str | None] = found["texts"]
    loaded = str(found["version"] or version)  # bindings by themselves do not say it
    if flavour == "tensorrt":  # one of the two is used, by the version
        old = tuple(map(int, loaded.split(".")[:2])) < (10, 1)
        texts.pop(f"ICudaEngine.device_memory_size{'_v2' if old else ''}")
    missing = [name for name, documentation in texts.items() if documentation is None]
    return loaded, missing + [
        f"{name} with {given} arguments"
        for name, documentation in texts.items()
        if documentation is not None
        and (given := CALLS.get(name.split(".")[0], {}).get(name.split(".")[1])) is not None
        and not accepts(documentation, name.split(".")[1], given)
    ]


def _fetched(flavour: str, version: str, folder: Path) -> tuple[str, Path]:
    """The folder of this version's bindings, and that of the empty libraries that they load."""
    for cuda in ("cu13", "cu12"):
        package = f"{flavour.replace('_', '-')}-{cuda}-bindings"
        target = folder / f"{package}-{version}"
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target)]
        if subprocess.run([*command, f"{package}=={version}"], capture_output=True, check=False).returncode == 0:
            break
    else:
        raise RuntimeError(f"no bindings of {flavour} {version} for this Python")
    extension = next(target.glob(f"{flavour}_bindings/{flavour}*.so"))
    libraries = folder / f"empty-{flavour}-{version}"
    make_empty_libraries(extension, libraries)
    return str(extension.parent), libraries


def accepts(documentation: str, function: str, given: int) -> bool:
    """Whether a signature in pybind11's documentation (several where it is overloaded) takes so many arguments."""
    for match in re.finditer(rf"\b{function}\((.*?)\) ->", documentation):
        parameters = _split(match[1])[1:]  # less self
        if "*" in parameters:  # what follows is given by name
            parameters = parameters[: parameters.index("*")]
        required = sum("=" not in parameter for parameter in parameters)
        if required <= given <= len(parameters):
            return True
    return False


def _split(text: str) -> list[str]:
    """Parameters between commas, those inside of brackets left alone."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def make_empty_libraries(extension: Path, folder: Path) -> None:
    """Libraries that have the symbols that `extension` wants, all of them empty functions."""
    folder.mkdir(parents=True)
    dynamic = subprocess.run(["readelf", "-d", str(extension)], capture_output=True, text=True, check=True).stdout
    needed = [name for name in re.findall(r"NEEDED.*\[(.+?)\]", dynamic) if name.startswith(("libnv", "libtensorrt"))]
    symbols = subprocess.run(["nm", "-D", "-u", str(extension)], capture_output=True, text=True, check=True).stdout
    wanted = re.findall(r" U ((?:create|get|init)[A-Z]\w*)", symbols)
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in wanted))
    for name in needed:
        command = ["gcc", "-shared", "-fPIC", "-w", "-o", str(folder / name), str(source), f"-Wl,-soname,{name}"]
        subprocess.run(command, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", metavar="FLAVOUR[==VERSION]", nargs="+")
    failures = 0
    with tempfile.TemporaryDirectory(prefix="tensorrt-api-") as folder:
        for wanted in parser.parse_args().versions:
            flavour, _, version = wanted.partition("==")
            try:
                loaded, missing = check(flavour, version, Path(folder))
            except (RuntimeError, subprocess.CalledProcessError, StopIteration) as error:
                print(f"{wanted}: not checked: {error}")
                failures += 1
                continue
            name = wanted if version else f"{flavour} {loaded}, as it is installed"
            print(
                f"{name}: {'missing ' + ', '.join(missing) if missing else 'every name is there, with its arguments'}"
            )
            failures += bool(missing)
    return failures


if __name__ == "__main__":
    sys.exit(main())
