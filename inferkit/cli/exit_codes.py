"""The exit codes of each command, as its `--help` and the documentation show them."""

from __future__ import annotations

from collections.abc import Mapping

from inferkit.exit_codes import ExitCode

_OK, _REGRESSED, _ERROR, _DIFFERENT = ExitCode.OK, ExitCode.REGRESSED, ExitCode.ERROR, ExitCode.DIFFERENT
_INVALID, _UNDECIDED, _NOTHING = ExitCode.INVALID, ExitCode.UNDECIDED, ExitCode.NOTHING

_COMMON = dict.fromkeys((_ERROR, ExitCode.INTERRUPTED), "")
_COMPARED = dict.fromkeys((_OK, _REGRESSED, _INVALID, _UNDECIDED, _NOTHING), "")

# What each command can end with beside _COMMON, with what a code means there where that is not its general meaning.
_CODES: Mapping[str, Mapping[ExitCode, str]] = {
    "ab": _COMPARED,
    "accuracy": {
        _OK: "no more accuracy lost than the tolerance, or no labels to judge by",
        _REGRESSED: "more accuracy lost than the tolerance",
    },
    "baseline": {
        _OK: "written or shown",
        _REGRESSED: "not written: a regression has no reason",
        _INVALID: "not written: an INVALID figure has no reason",
        _NOTHING: "no baseline to show",
    },
    "bisect": {
        _OK: "BAD is not worse than GOOD",
        _REGRESSED: "regression: the commit is found, or the few that it is among",
        _INVALID: "invalid measurement, or GOOD or BAD cannot be measured; go on with --resume",
        _UNDECIDED: "undecided whether BAD is worse than GOOD",
        _NOTHING: "BAD does not have the case",
    },
    "build": {_OK: "built"},
    "calibrate": {_OK: "written"},
    "completion": {_OK: "printed"},
    "compare": _COMPARED,
    "diff": {
        _OK: "the same; of two runs: no regression",
        _REGRESSED: "regression, of two runs",
        _DIFFERENT: "different",
        _INVALID: "invalid measurement, FAILED case or another fingerprint, of two runs",
        _NOTHING: "nothing to compare, of two runs",
    },
    "doctor": {_OK: "the default suite can run", _INVALID: "this machine cannot run the default suite"},
    "evaluate": {_OK: "evaluated"},
    "gate": {_OK: "no false alarm", _INVALID: "false alarm: an unchanged suite failed on this machine"},
    "history": {
        _OK: "shown or added",
        _REGRESSED: "gradual regression, under --ratchet",
        _NOTHING: "no runs to show",
    },
    "import": {_OK: "written"},
    "inspect": {_OK: "shown"},
    "plot": {_OK: "written", _NOTHING: "the run has no figures to plot"},
    "repro": {_OK: "written"},
    "report": {_OK: "written, whatever the verdict"},
    "scale": {
        _OK: "measured",
        _REGRESSED: "all devices together reach less than --least",
        _INVALID: "the machine was not in a state to measure",
    },
    "serve": {_OK: "served until SIGINT or SIGTERM"},
    "serve-bench": {
        _OK: "VALID, or measured (--accuracy, --delays)",
        _REGRESSED: "the latency bound was not met",
        _INVALID: "INVALID for another reason",
    },
    "sweep": {_OK: "every point ran, or cannot run here", _ERROR: "usage, a point failed, or none can run here"},
    "top": {_OK: "shown"},
    "zoo": {_OK: "listed or written"},
    "infer_caffe": {_OK: "done", _ERROR: "usage, an error, or no such Caffe or GPU here"},
    "infer_caffe_trt": {_OK: "done", _ERROR: "usage, an error, or no GPU or TensorRT here for this data type"},
}


def codes_of(command: str) -> dict[ExitCode, str]:
    """Meaning by exit code, in their order: what this command can end with."""
    stated = {**_COMMON, **_CODES[command]}
    return {code: stated[code] or code.meaning for code in sorted(stated)}


def exit_code_lines(command: str) -> str:
    """The end of the command's `--help`: one line for each exit code."""
    return "\n".join(["exit codes:", *(f"  {code:<5}{meaning}" for code, meaning in codes_of(command).items())])


def table() -> dict[str, dict[ExitCode, str]]:
    """Meaning by exit code, by command."""
    return {command: codes_of(command) for command in _CODES}
