"""The pictures of docs/statistics.md, drawn from the gate's own code and from recorded H100 latencies.

    python -m tools.build.explain_statistics              # writes docs/figures/*.svg (a minute; needs matplotlib)
    python -m tools.build.explain_statistics --suites 10 -o /tmp/figures

Random numbers have fixed seeds: the same code gives the same pictures.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.moderated import ANALYSES
from inferkit.gate.stats.analyses import SINGLE_ANALYSIS, AnalysisPlan
from inferkit.gate.stats.effect import Evidence
from inferkit.gate.stats.judge import judge
from inferkit.gate.stats.sharing import share
from inferkit.gate.stats.variance import VariancePrior
from tools import ROOT
from tools.gate.read import read_recordings
from tools.gate.rules import judged
from tools.gate.simulate import Noise, against_baseline

FIGURES = ROOT / "docs" / "figures"
RECORDED = "h100-vgg16-fp16-aa: vgg16 batch 8, enqueue"
# Okabe and Ito's palette, told apart by most colour-blind readers.
BLUE, ORANGE, GREEN, GREY, RED = "#0072B2", "#E69F00", "#009E73", "#7f7f7f", "#D55E00"
_COLOURS = {Verdict.PASS: GREEN, Verdict.REGRESSED: RED, Verdict.INCONCLUSIVE: ORANGE, Verdict.IMPROVED: BLUE}


def replicates(axes: Any) -> None:
    """Identical engines in fresh processes: each is sure of its own median, and they disagree."""
    processes = read_recordings()[RECORDED]
    random = np.random.default_rng(1)
    logs = np.array([np.log(np.median(process)) for process in processes])
    for index, process in enumerate(processes):
        axes.plot(index + random.uniform(-0.3, 0.3, len(process)), process, ".", color=GREY, ms=2, alpha=0.5)
        axes.plot([index - 0.35, index + 0.35], [np.median(process)] * 2, color=BLUE, lw=3)
    pooled = np.concatenate(processes)
    resampled = np.median(random.choice(pooled, (400, len(pooled))), axis=1)
    half = 1.96 * logs.std(ddof=1) / math.sqrt(len(logs)) * 2.571 / 1.96  # Student's t with 5 degrees of freedom
    for place, low, high, colour in (
        (len(processes) + 0.3, *np.percentile(resampled, [2.5, 97.5]), RED),
        (len(processes) + 1.3, math.exp(logs.mean() - half), math.exp(logs.mean() + half), BLUE),
    ):
        axes.errorbar(place, (low + high) / 2, yerr=(high - low) / 2, color=colour, capsize=6, lw=2.5)
    axes.set_xticks([*range(len(processes)), len(processes) + 0.3, len(processes) + 1.3])
    axes.set_xticklabels([*(f"{n + 1}" for n in range(len(processes))), "all iterations\npooled", "six\nmedians"])
    axes.set_ylim(*np.percentile(pooled, [0.2, 97]))
    axes.set_xlabel("process (blue: its median)")
    axes.set_ylabel("latency, ms")
    axes.set_title("One engine, six processes, and two 95 % intervals of its latency")


def moderation(axes: Any, cases: int = 60) -> None:
    """Standard deviations from three replicates, before and after the cases share theirs, against the true ones."""
    random = np.random.default_rng(2)
    true = 0.01 * np.exp(random.normal(0, 0.4, cases))
    own = np.array([np.var(sd * random.standard_normal(3), ddof=1) for sd in true])
    moderated, _ = share(own, np.full(cases, 2.0)).posterior(own, np.full(cases, 2.0))
    order = np.argsort(true)
    for place, index in enumerate(order):
        axes.plot([place, place], [100 * math.sqrt(own[index]), 100 * math.sqrt(moderated[index])], color=GREY, lw=0.8)
    axes.plot(100 * np.sqrt(own[order]), "o", color=ORANGE, ms=4, label="its own three replicates")
    axes.plot(100 * np.sqrt(moderated[order]), "s", color=BLUE, ms=4, label="moderated by the other cases")
    axes.plot(100 * true[order], color="black", lw=1.5, label="true")
    axes.set_yscale("log")
    axes.set_yticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
    axes.set_yticks([], minor=True)
    axes.set_xlabel("60 cases of a simulated suite, by their true noise")
    axes.set_ylabel("standard deviation between processes, %")
    axes.set_title("Three replicates say little about one case, those of a suite say much")
    axes.legend(frameon=False)


def spending(axes: Any) -> None:
    """How much of the error each interim analysis may spend, and all of them up to it."""
    plan = AnalysisPlan(ANALYSES)
    each = [100 * float(plan.allowance(analysis, 0.025)) for analysis in range(len(ANALYSES))]
    axes.bar(range(len(ANALYSES)), np.cumsum(each), color="#d0d0d0", label="spent up to here")
    axes.bar(range(len(ANALYSES)), each, bottom=np.cumsum(each) - each, color=BLUE, label="at this analysis")
    for analysis, value in enumerate(each):
        axes.text(analysis, float(np.cumsum(each)[analysis]) + 0.04, f"{value:.2f}", ha="center")
    axes.axhline(2.5, color=RED, ls="--", lw=1)
    axes.set_ylim(0, 2.9)
    axes.set_xticks(range(len(ANALYSES)), [str(count) for count in ANALYSES])
    axes.set_xlabel("replicates at the interim analysis")
    axes.set_ylabel("error, % (of a suite, for REGRESSED)")
    axes.set_title("Four interim analyses spend no more error than one analysis")
    axes.legend(frameon=False, loc="upper left")


def regions(axes: Any, margin: float = 0.05, grid: int = 160) -> None:
    """The verdict at the last analysis over the estimated change and its standard error."""
    effects, errors = np.linspace(-0.09, 0.14, grid), np.linspace(0.0005, 0.035, grid)
    colours = np.ones((grid, grid, 3))
    prior = VariancePrior(20.0, 1.0, 60.0)
    for row, error in enumerate(errors):
        evidence = [Evidence(effect, error**2, 20.0, 1.0, effect) for effect in effects]
        known = VariancePrior(prior.dof, error**2, prior.pooled_dof)
        # One at a time: this is about a single case, and Holm's rule would have them pay for each other.
        for column, item in enumerate(evidence):
            found = judge([item], [math.log1p(margin)], plan=SINGLE_ANALYSIS, prior=known)[0]
            colours[row, column] = _rgb(_COLOURS[found.verdict or Verdict.INCONCLUSIVE])
    extent = (100 * effects[0], 100 * effects[-1], 100 * errors[0], 100 * errors[-1])
    axes.imshow(0.45 * colours + 0.55, origin="lower", aspect="auto", extent=extent)
    axes.axvline(100 * math.log1p(margin), color="black", ls="--", lw=1)
    axes.text(100 * math.log1p(margin) + 0.2, 3.25, "margin")
    for text, place in (
        ("PASS", (-1, 0.7)), ("REGRESSED", (9, 0.9)), ("INCONCLUSIVE", (1.2, 2.9)), ("IMPROVED", (-8.8, 0.25)),
    ):  # fmt: skip
        axes.text(*place, text, weight="bold")
    axes.set_xlabel("estimated change, % (right: slower)")
    axes.set_ylabel("standard error of the change, %")
    axes.set_title("The verdict, by the estimated change and its standard error (margin 5 %)")


def power(axes: Any, suites: int, cases: int = 12) -> None:
    """How often a slowdown of one case is found against a baseline of eight, by the noise between processes."""
    effects = np.array([0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10]) / 100
    for noise, colour, marker in ((0.003, BLUE, "o"), (0.01, GREEN, "s"), (0.02, ORANGE, "^"), (0.03, RED, "D")):
        shares = [found(noise, float(effect), suites, cases) for effect in effects]
        axes.plot(100 * effects, shares, color=colour, marker=marker, ms=4, label=f"noise {100 * noise:g} %")
    axes.axvline(2, color="black", ls="--", lw=1)
    axes.text(1.9, 94, "margin", ha="right")
    axes.set_xlabel("true slowdown, %")
    axes.set_ylabel("suites that find it, %")
    axes.set_ylim(-2, 102)
    axes.set_title("Slowdowns found with a margin of 2 %, by the noise between processes")
    axes.legend(frameon=False, loc="lower right")


def found(noise: float, effect: float, suites: int, cases: int) -> float:
    """Percent of simulated suites whose first case, slowed down by `effect` (a log ratio), is REGRESSED."""
    random = np.random.default_rng(round(1e6 * (noise + effect)))
    slowed = [effect] + [0.0] * (cases - 1)
    model = [Noise(process=noise, iteration=0.006)] * cases
    hits = 0
    for _ in range(suites):
        hits += against_baseline(model, slowed, random, 8).verdicts[0] is Verdict.REGRESSED
    return 100 * hits / suites


def worked_example() -> list[str]:
    """A suite of three cases through the rule itself: the lines that the page shows."""
    random = np.random.default_rng(5)
    base, head = ({name: -7 + 0.004 * random.standard_normal(3) for name in ("same", "slower", "noisy")} for _ in "ab")
    head["slower"] = head["slower"] + 0.08
    head["noisy"] = np.array([-7.02, -6.93, -6.98])
    return [outcome.line for outcome in judged(base, head, dict.fromkeys(base, 0.05), measuring=False)]


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))


def draw_all(folder: Path, suites: int, grid: int = 160) -> list[Path]:
    """Write every picture as SVG; returns the files."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    # Without these two the same picture is another file every time.
    pyplot.rcParams.update({"svg.hashsalt": "inferkit", "font.size": 10, "axes.spines.top": False})
    pyplot.rcParams["axes.spines.right"] = False
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw, options in (
        ("replicates", replicates, {}),
        ("moderation", moderation, {}),
        ("spending", spending, {}),
        ("regions", regions, {"grid": grid}),
        ("power", power, {"suites": suites}),
    ):
        figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
        draw(axes, **options)  # type: ignore[operator]
        written.append(folder / f"{name}.svg")
        figure.savefig(written[-1], metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return written


def main(argv: Sequence[str] | None = None) -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description="The pictures of docs/statistics.md.")
    parser.add_argument("-o", "--output", type=Path, default=FIGURES, metavar="FOLDER")
    parser.add_argument("--suites", type=int, default=100, metavar="N", help="of the power curve, per point (100)")
    args = parser.parse_args(argv)
    for path in draw_all(args.output, args.suites):
        print(path)
    print("\n".join(worked_example()))


if __name__ == "__main__":
    main()
