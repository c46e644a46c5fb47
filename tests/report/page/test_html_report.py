"""The HTML report as a file: complete, escaped, closed to the network, and small."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from inferkit.cli.main import main
from inferkit.gate.outcome import Outcome, Verdict
from tests.gate.run_files import foreign, ours, write
from tests.report.report_files import HARM, confusion, drawn, run_json, write_run

VOID = {"meta", "input", "img", "br", "link"}


class Page(HTMLParser):
    """Tags with their attributes, the text, and whether every tag was closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def report(tmp_path, content, *base, traces=True):
    run = write_run(tmp_path / "run.json", content, traces=traces)
    out = tmp_path / "out.html"
    bases = [str(write_run(tmp_path / f"base{n}.json", each)) for n, each in enumerate(base)]
    assert main(["report", str(run), *bases, "-o", str(out)]) == 0
    return out.read_text(encoding="utf-8")


def test_it_tells_the_verdict_the_hardware_and_every_case(tmp_path):
    page = Page(report(tmp_path, run_json()))
    for word in (
        "1 case regressed",
        "AMD EPYC 7B13",
        "0123abc, 2026-11-22 10:00",
        "lenet-fp32-b8-onnxruntime",
        "no GPU; get one",
        "not supported: needs 130 samples, there are 100",
        "copy in",
        "(70.0%)",
        "power_cap",
        "software thermal",
        "1 REGRESSED",
        "25.0% (bound by bytes)",
    ):
        assert word in page.text


def test_it_has_the_studys_charts_with_their_figures_in_words(tmp_path):
    page = report(tmp_path, run_json())
    for title in (
        "latency over batch size",
        "throughput over batch size",
        "latency and throughput",
        "top-1 and top-5 by precision",
    ):
        assert f"<figcaption>lenet: {title}</figcaption>" in page
    assert "limit fp32 onnxruntime: 1: 3200, 8: 1.067e+04" in page
    assert "top-1 onnxruntime: fp32: 90, int8: 90" in page


def test_names_from_outside_are_text_and_never_markup(tmp_path):
    content = run_json(models=(HARM,))
    content["commit_info"]["id"] = HARM
    for case in content["inferkit"]["cases"].values():
        case["details"] = {"layer_seconds": {HARM: 1e-3}, "limit": {"share": 0.5, "bound_by": HARM}}
        case["replicates"][0]["gpu"]["reasons"] = [HARM]
        case["why"] = {"groups": 1, "changes": [{"layers": [HARM], "delta_us": 41.0, "what": HARM}]}
    for told in content["inferkit"]["accuracy"].values():
        for picture in told.get("confusion", {"images": []})["images"]:
            picture["key"] = HARM
        told["confusion"] = {**told.get("confusion", {}), "classes": {"0": HARM, "6": f'"{HARM}'}}
    content["inferkit"]["unsupported"] = {HARM: {"reason": HARM, "hint": HARM}}
    content["inferkit"]["environment"]["governor"] = HARM
    text = report(tmp_path, content)
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert {a["src"].partition(",")[0] for tag, a in page.tags if tag == "img"} == {"data:image/png;base64"}
    assert HARM in page.text


def test_the_policy_allows_the_one_style_and_the_one_script_and_nothing_else(tmp_path):
    text = report(tmp_path, run_json())
    page = Page(text)
    (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "unsafe-inline" not in policy
    for tag, name in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert rules[name] == f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
    for tag, attributes in page.tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert tag == "img" or "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_with_a_base_the_verdicts_are_of_the_comparison(tmp_path):
    content = run_json()
    base = run_json()
    for case in base["inferkit"]["cases"].values():
        case["log_medians"] = [datum - 1 for datum in case["log_medians"]]
    page = Page(report(tmp_path, content, base))
    assert "6 cases regressed" in page.text
    assert "Against base0.json" in page.text
    assert "base 3" in page.text


def test_without_traces_and_without_facts_it_still_tells_what_is_known(tmp_path):
    content = run_json()
    for case in content["inferkit"]["cases"].values():
        for key in ("model", "samples", "replicates", "details", "centre", "p90"):
            del case[key]
    page = Page(report(tmp_path, content, traces=False))
    assert "lenet-fp32-b1-onnxruntime" in page.text
    assert "Where the time of a batch goes" not in page.text


@pytest.mark.parametrize("value", [None, "x", [], {}, True, float("1e400"), -1, [[]]])
def test_facts_of_a_wrong_kind_are_left_out_and_break_nothing(tmp_path, value):
    content = run_json()
    value = "x" if value == float("inf") else value
    for case in content["inferkit"]["cases"].values():
        for key in ("model", "precision", "batch_size", "centre", "samples", "p50", "replicates", "details"):
            case[key] = value
    for found in content["inferkit"]["accuracy"].values():
        found |= {"model": value, "precision": value, "backend": value, "lost": value}
    content["inferkit"] |= {"unsupported": value, "failures": value, "environment": value}
    Page(report(tmp_path, content))


def test_damaged_traces_are_as_none(tmp_path):
    run = write_run(tmp_path / "run.json", run_json())
    traces = tmp_path / "run.traces.npz"
    whole = traces.read_bytes()
    for damaged in (b"", b"PK", whole[: len(whole) // 2], whole[:200] + b"\0" * 400 + whole[600:]):
        traces.write_bytes(damaged)
        assert main(["report", str(run), "-o", str(tmp_path / "out.html")]) == 0


def test_what_cannot_be_read_or_written_is_said(tmp_path, capsys):
    run = str(write_run(tmp_path / "run.json", run_json()))
    (tmp_path / "file").write_text("")
    assert main(["report", run, "-o", str(tmp_path / "file" / "out.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "none.json"), "-o", str(tmp_path / "out.html")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out.html").exists()


@pytest.mark.parametrize("key, value", [("change", "fast"), ("case", 7), ("head", [1]), ("lower", True)])
def test_a_damaged_outcome_is_refused_with_its_place(tmp_path, capsys, key, value):
    content = run_json()
    content["inferkit"]["outcomes"][0][key] = value
    run = str(write_run(tmp_path / "run.json", content, traces=False))
    assert main(["report", run, "-o", str(tmp_path / "out.html")]) == 2
    assert f"inferkit/outcomes/{key}: must be" in capsys.readouterr().err


def test_pictures_of_images_that_changed_are_shown_within_the_room_there_is(tmp_path):
    content = run_json(tuple(f"net{n}" for n in range(40)), (1,))
    for told in content["inferkit"]["accuracy"].values():
        told["confusion"] = confusion(24)
    text = report(tmp_path, content)
    shown = text.count("<img ")
    assert 80 <= shown < 80 * 24
    assert sum(map(len, re.findall(r"data:image/png[^\"]*", text))) < 1.6e6
    assert "12 of 1,000 images changed their class" in text


@pytest.mark.parametrize(
    "png", ["https://x.y/z.png", "data:text/html;base64,aaaa", 'data:image/png;base64,a" onload="x']
)
def test_a_picture_that_is_none_is_left_out(tmp_path, png):
    content = run_json()
    content["inferkit"]["accuracy"]["lenet-int8-onnxruntime"]["confusion"]["images"][0]["png"] = png
    text = report(tmp_path, content)
    assert text.count("<img ") == 2
    assert "onload" not in text


def test_anchors_are_made_of_names_and_so_stay_the_same(tmp_path):
    names = {"a-b": [1e-3], "a b": [1e-3], "ä": [1e-3], HARM: [1e-3]}
    page = Page(report(tmp_path, ours(names)))
    ids = [a["id"] for t, a in page.tags if t == "details" and "case" in a.get("class", "")]
    assert sorted(ids) == sorted(["case-a-b", "case-a-b-2", "case-case", ids[-1]])
    assert {a["href"][1:] for t, a in page.tags if t == "a"} == set(ids)
    assert re.fullmatch(r"[A-Za-z0-9.-]+", ids[-1])


def test_a_case_has_one_row_whatever_was_judged_of_it(tmp_path):
    content = run_json(batches=(1,))
    name = "lenet-fp32-b1-onnxruntime"
    more = [
        Outcome(name, "p99", Verdict.PASS, 1e-3, 1e-3, 0.0, margin=0.1),
        Outcome(name, "host memory", Verdict.REGRESSED, 1e8, 2e8, 1.0, margin=0.1, reason="of memory"),
    ]
    content["inferkit"]["outcomes"] += [outcome.as_dict() for outcome in more]
    text = report(tmp_path, content)
    assert text.count(f'data-case="case-{name}"') == 1
    row = text[text.index(f'data-case="case-{name}"') :].partition("</tr>")[0]
    assert ">REGRESSED<" in row
    assert ">host memory<" in row
    assert "200 MB" in row
    assert "Everything that was judged" in text


def test_a_service_case_says_what_is_compared_and_mlperfs_judgement(tmp_path):
    content = run_json(batches=(1,))
    told = {"datum": "p90 latency", "valid": False, "is_short": True, "seconds": 1.0, "bound": 0.015, "top1": 91.67}
    content["inferkit"]["cases"]["lenet-fp32-b1-onnxruntime"]["service"] = told
    page = Page(report(tmp_path, content))
    for word in ("p90 latency", "INVALID, short runs of 1 s", "15 ms", "91.67 %", "the latency of a query"):
        assert word in page.text


def test_files_of_any_project_are_shown_as_what_they_are(tmp_path):
    fast, slow = ({f"test_speed.py::test_{name}": time for name in ("parse", HARM)} for time in (1e-3, 9e-3))
    run, base = write(tmp_path / "run.json", foreign(slow)), write(tmp_path / "base.json", foreign(fast))
    out = tmp_path / "out.html"
    assert main(["report", str(run), str(base), "-o", str(out), "--no-history"]) == 0
    page = Page(out.read_text(encoding="utf-8"))
    assert "2 cases regressed" in page.text
    assert "Medians of the files" in page.text
    assert "fresh process</figcaption>" not in page.text
    assert f"test_speed.py::test_{HARM}" in page.text
    assert not [attributes for tag, attributes in page.tags if attributes.get("data-key") == "rate"]


@pytest.mark.parametrize("count", [3, 60])
def test_the_base_of_an_interleaved_run_is_shown_and_many_replicates_share_a_band(tmp_path, count):
    content = run_json(batches=(1,))
    case = content["inferkit"]["cases"]["lenet-fp32-b1-onnxruntime"]
    case["log_medians"] = [case["log_medians"][0] + 1e-3 * number for number in range(count)]
    case["against"] = {"ref": "main~3", "log_medians": [datum - 0.1 for datum in case["log_medians"]]}
    case["replicates"] = [case["replicates"][0]] * count
    text = report(tmp_path, content)
    assert "main~3, measured in turns with this run" in Page(text).text
    strip = drawn(text, "Replicates of lenet-fp32-b1-onnxruntime")
    assert strip.count('class="dot f0"') == strip.count('class="dot f1"') == count
    height = float(re.search(r'viewBox="0 0 520 (\d+)" role="img"><title>Replicates of lenet-fp32-b1-', text)[1])
    assert height < 250
    over_time = drawn(text, "lenet-fp32-b1-onnxruntime over time")
    places = [float(x) for x in re.findall(r'class="thin s0" d="M([\d.-]+) ', over_time)]
    assert places == sorted(places[: len(places) // 4]) * 4
    assert 90 < min(places) < max(places) < 505


@pytest.mark.parametrize(
    "value", [None, "x", {"ref": 7, "log_medians": "x"}, {"ref": HARM, "log_medians": [1e300, None]}]
)
def test_a_base_of_a_wrong_kind_is_none(tmp_path, value):
    content = run_json(batches=(1,))
    for case in content["inferkit"]["cases"].values():
        case["against"] = value
    Page(report(tmp_path, content))


def test_replicates_of_several_builds_say_of_which_they_are(tmp_path):
    content = run_json(batches=(1,))
    case = content["inferkit"]["cases"]["lenet-fp32-b1-onnxruntime"]
    case |= {"builds": [1, 2, 2], "build_spread": {"builds": 2, "replicates": 3, "between": 0.02, "within": 0.003}}
    page = Page(report(tmp_path, content))
    for word in ("head 1, b1", "head 3, b2", "2 builds: ±2.0% between builds, ±0.3% between processes of one"):
        assert word in page.text
    case |= {"builds": [], "build_spread": {"builds": HARM}}
    assert "head 1, b1" not in Page(report(tmp_path, content)).text
