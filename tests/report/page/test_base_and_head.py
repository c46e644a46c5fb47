"""What the page shows of base and head: pictures of both, layers, margins, units, and how much a figure rests on."""

import re

import pytest

from inferkit.gate.outcome import Outcome, Verdict
from tests.report.page.test_html_report import Page, report
from tests.report.report_files import drawn, run_json


def test_base_is_drawn_beside_head_wherever_its_traces_are(tmp_path):
    text = report(tmp_path, run_json(batches=(1,)), run_json(batches=(1,)))
    strip = drawn(text, "Replicates of lenet-fp32-b1-onnxruntime")
    assert strip.count('class="box s0"') == 3
    assert strip.count('class="box s1"') == 3
    over_time = drawn(text, "lenet-fp32-b1-onnxruntime over time")
    assert over_time.count('class="thin s0"') == over_time.count('class="thin s1 d2"') == 3 + 3 * 3 + 1
    split = drawn(text, "Where the time of a batch goes")
    assert re.findall(r">(head|base)</text>", split) == ["head", "base"]
    assert split.count(">execution</text>") == 2
    alone = report(tmp_path, run_json(batches=(1,)))
    assert "s1 d2" not in drawn(alone, "lenet-fp32-b1-onnxruntime over time")
    assert drawn(alone, "Where the time of a batch goes").count(">execution</text>") == 1


@pytest.mark.parametrize("units, head", [(("images", "images"), "images/s"), (("items", "queries"), "throughput")])
def test_throughput_is_of_what_each_network_is_fed(tmp_path, units, head):
    content = run_json(batches=(1, 8))
    for name, case in content["inferkit"]["cases"].items():
        case["unit"] = units["int8" in name]
    text = report(tmp_path, content)
    assert f'data-kind="number">{head}</button>' in text
    cells = re.findall(r'data-value="[\d.]+">[\d,]+( \w+/s)?</td>\s*</tr>', text)
    assert sorted(cells) == (["", "", "", ""] if head == "images/s" else [" items/s"] * 2 + [" queries/s"] * 2)
    assert f">{units[0]} per second</text>" in drawn(text, "lenet: throughput over batch size")
    assert "J per image" in text if "images" in units else "J per item" in text


def test_files_that_state_no_unit_are_of_images(tmp_path):
    assert 'data-kind="number">images/s</button>' in report(tmp_path, run_json())


def test_charts_of_one_dot_are_not_drawn(tmp_path):
    text = report(tmp_path, run_json(batches=(1,)))
    assert "over batch size" not in text
    assert "latency and throughput" not in text
    assert "top-1 and top-5 by precision" in text
    content = run_json(batches=(1, 8))
    for kind in ("cases", "accuracy"):
        content["inferkit"][kind] = {name: each for name, each in content["inferkit"][kind].items() if "fp32" in name}
    text = report(tmp_path, content)
    assert "latency over batch size" in text
    assert "by precision" not in text


def slower(**why):
    """A run whose slower case has the layers that explain it."""
    content = run_json(batches=(8,))
    name = "lenet-int8-b8-onnxruntime"
    layers = {"conv1": (100.0, 150.0), "fc": (40.0, 85.0), "pool": (10.0, 9.0), "relu": (5.0, 5.5)}
    groups = [
        {"layers": [layer], "base_us": base, "head_us": head, "delta_us": head - base, "what": ""}
        for layer, (base, head) in layers.items()
    ]
    groups[0] |= {"what": "int8 -> fp32"}
    content["inferkit"]["cases"][name] |= {"why": {"delta_us": 94.5, "groups": 4, "changes": groups, **why}}
    (outcome,) = [each for each in content["inferkit"]["outcomes"] if each["verdict"] == "REGRESSED"]
    outcome["reason"] = "layers: conv1 +50 µs (+50%, int8 -> fp32), fc +45 µs (+112%); all layers together +94.5 µs"
    return content, outcome


def test_under_the_headline_of_what_got_worse_stand_the_layers_that_did_it(tmp_path):
    content, outcome = slower()
    text = report(tmp_path, content)
    layers = '<li>conv1 <b>+50 µs (+50%)</b> <span class="muted">int8 -&gt; fp32</span></li>'
    layers += "<li>fc <b>+45 µs (+112%)</b></li>"
    # In the table of all cases and in the case's section, and nowhere else.
    assert text.count(f'<ul class="culprits">{layers}</ul>') == text.count('<ul class="culprits">') == 2
    line = re.search(r'<p class="line">(.*REGRESSED.*)</p>\n<ul class="culprits">', text)[1]
    assert line.endswith("; all layers together +94.5 µs")
    assert "conv1" not in line
    outcome["reason"] = "the layers' own times do not show it (+94.5 µs of +500 µs; the same kernels in base and head)"
    assert "culprits" not in re.sub("<style>.*</style>", "", report(tmp_path, content), flags=re.DOTALL)


def test_a_case_has_one_table_of_layers(tmp_path):
    content, _ = slower()
    cases = content["inferkit"]["cases"]
    cases["lenet-int8-b8-onnxruntime"]["details"]["layer_seconds"] = {"conv1": 150e-6, "fc": 85e-6}
    cases["lenet-fp32-b8-onnxruntime"]["details"]["layer_seconds"] = {"fc": 25e-6, "conv1": 75e-6}
    text = report(tmp_path, content)
    assert text.count("layers</caption>") + text.count("changed most</caption>") == 2
    changed, slowest = (table(text, title) for title in ("Layers that changed most", "Slowest layers"))
    assert changed.startswith("layer base head change of head what conv1 100 µs 150 µs +50 µs (+50%) 60.1% int8")
    assert slowest == "layer head of head conv1 75 µs 75.0% fc 25 µs 25.0%"


def table(text, caption):
    """The words of the table with this caption."""
    return Page(f"<table>{text.partition(f'<caption>{caption}</caption>')[2].partition('</table>')[0]}</table>").text


def test_the_margin_stands_with_every_change(tmp_path):
    content = run_json(batches=(1,))
    name = "lenet-fp32-b1-onnxruntime"
    more = [Outcome(name, "p99", Verdict.PASS, 1e-3, 1.01e-3, 0.01, margin=0.1)]
    more += [Outcome("lenet-int8-onnxruntime", "top-1", Verdict.PASS, 90.0, 89.9, 0.1, upper=0.2, margin=0.5)]
    content["inferkit"]["outcomes"] += [outcome.as_dict() for outcome in more]
    text = report(tmp_path, content)
    for change, margin in (("+20.0%", "5 %"), ("+1.0%", "10 %"), ("-0.10", "0.5 points")):
        assert f'{change}<span class="margin muted"> / {margin}</span></td>' in text
    assert "latency, +20.0%, margin 5 %" in Page(text).text


def test_percentiles_say_how_many_samples_they_rest_on(tmp_path):
    content = run_json(batches=(1,))
    name = "lenet-fp32-b1-onnxruntime"
    content["inferkit"]["cases"][name]["samples"] = 4321
    content["inferkit"]["outcomes"].append(Outcome(name, "p99", Verdict.PASS, 1e-3, 1e-3, 0.0, margin=0.1).as_dict())
    page = Page(report(tmp_path, content))
    assert "Percentiles over all iterations (4,321 samples)" in page.text
    assert "p99 of 4,321 samples 1 ms 1 ms" in page.text


def test_the_bounds_that_are_drawn_are_those_of_the_verdict(tmp_path):
    """p99 is undecided, and stands first; what the case passes by is its latency."""
    content = run_json(batches=(1,))
    name = "lenet-fp32-b1-onnxruntime"
    undecided = Outcome(name, "p99", Verdict.INCONCLUSIVE, 1e-3, 2e-3, 1.0, -0.5, 2.0, margin=0.1)
    content["inferkit"]["outcomes"].insert(0, undecided.as_dict())
    assert ">margin 5 %</text>" in drawn(report(tmp_path, content), f"Change of {name}")
