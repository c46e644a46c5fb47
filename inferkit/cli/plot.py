"""`inferkit plot`: every chart of a run as one SVG file each."""

from __future__ import annotations

import argparse
from pathlib import Path

from inferkit.cli.output import add_json, print_json, write_output
from inferkit.exit_codes import ExitCode


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "run",
        metavar="RUN.json",
        help="file that `pytest --benchmark-json`, `serve-bench --delays ... --json` or `sweep --json` wrote",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--png", action="store_true", help="also write each chart as PNG (needs matplotlib)")
    parser.add_argument("--cases", action="store_true", help="also write the charts of every case, as SVG")
    add_json(parser, "print the names of the files as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the charts; returns the exit code."""
    from inferkit.gate.files.checked_json import kind_of
    from inferkit.gate.files.run_file import read_run
    from inferkit.report.charts import load_curves, sweep
    from inferkit.report.charts.study import charts_of
    from inferkit.report.charts.svg import draw

    kind = kind_of(args.run)
    if kind == load_curves.KIND:
        charts = load_curves.load_charts([load_curves.read_load(args.run)])
    elif kind == sweep.KIND:
        charts = sweep.sweep_charts(sweep.read_sweep(args.run))
    else:
        charts = charts_of(read_run(args.run))
    files: dict[Path, bytes] = {}
    for chart in charts:
        name = chart.key
        while Path(args.output, f"{name}.svg") in files:  # two networks whose names differ in signs only
            name += "-"
        files[Path(args.output, f"{name}.svg")] = draw(chart, standalone=True).encode()
        if args.png:
            from inferkit.report.charts.png import draw_png

            files[Path(args.output, f"{name}.png")] = draw_png(chart)
    if args.cases and kind is None:
        files |= {Path(args.output, "cases", name): content for name, content in _cases(args.run).items()}
    for path, content in files.items():
        write_output(path, content)
    if args.json:
        print_json([str(path) for path in files])
    else:
        print(
            "\n".join(map(str, files))
            or f"{args.run}: has nothing to plot: a chart needs two batch sizes, precisions or offered loads"
        )
    return ExitCode.OK if files else ExitCode.NOTHING


def _cases(run: str) -> dict[str, bytes]:
    """The pictures of every case by file name, as the HTML report shows them."""
    from inferkit.gate.files.run_file import read_run
    from inferkit.report.charts.svg import alone
    from inferkit.report.page.case import case_pages
    from inferkit.report.write import view_of_files

    view = view_of_files(read_run(run), [], Path(run), Path("baselines"))
    charts = {}
    for page in case_pages(view.cases):
        pictures = {"replicates": page["strip"], "over-time": page["over_time"], "split": page["split"]}
        pictures |= {"change": page["bounds"], "layers": page["layer_bars"]}
        for name, picture in pictures.items():
            if picture:
                charts[f"{page['id'].removeprefix('case-')}-{name}.svg"] = alone(str(picture)).encode()
    return charts
