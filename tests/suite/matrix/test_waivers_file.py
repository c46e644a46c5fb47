"""waivers.toml is read whole: what does not fit is told at once, with file, line, table and key."""

from datetime import date

import pytest

from inferkit.errors import UsageError
from inferkit.suite.matrix.waivers import read_waivers, unmatched

GOOD = """\
[[waivers]]
case = "resnet50-fp16-*"
metric = "latency"
reason = "a decoder"
owner = "ana"
expires = 2026-12-31
"""


def read(folder, text):
    path = folder / "waivers.toml"
    path.write_text(text)
    return read_waivers(path)


def test_a_waiver_is_five_lines(tmp_path):
    (waiver,) = read(tmp_path, GOOD)
    assert (waiver.case, waiver.owner, waiver.expires) == ("resnet50-fp16-*", "ana", date(2026, 12, 31))
    assert waiver.covers("resnet50-fp16-b8-tensorrt", "latency")
    assert not waiver.covers("resnet50-fp16-b8-tensorrt", "p99")
    assert read(tmp_path, "") == ()


def test_a_waiver_may_be_of_one_machine(tmp_path):
    (waiver,) = read(tmp_path, GOOD)
    assert waiver.holds_on("nvidia-h200-16cpu-tensorrt")
    (waiver,) = read(tmp_path, GOOD + 'machine = "nvidia-h100-*"\n')
    assert waiver.holds_on("nvidia-h100-32cpu-tensorrt")
    assert not waiver.holds_on("nvidia-h200-16cpu-tensorrt")


@pytest.mark.parametrize(
    "change, said",
    [
        (('owner = "ana"\n', ""), "1: [waivers] owner: every waiver needs one"),
        (('"a decoder"', '"  "'), "4: [waivers] reason: every waiver needs one"),
        (("expires = 2026-12-31\n", ""), "1: [waivers] expires: every waiver needs the last day it holds"),
        (("2026-12-31", '"soon"'), "6: [waivers] expires: must be a date such as 2026-12-31, not 'soon'"),
        (("2026-12-31", "2026-12-31T10:00:00"), "6: [waivers] expires: must be a date"),
        (
            ('"latency"', '"latancy"'),
            "3: [waivers] metric: 'latancy' is no metric that is judged; did you mean",
        ),
        (('"latency"', "3"), "3: [waivers] metric: must be a string, not 3"),
        (("expires", 'machine = " "\nexpires'), "6: [waivers] machine: every waiver needs one"),
        (("owner", "ower"), "5: [waivers] ower: is not known here; did you mean 'owner'?"),
        (("[[waivers]]", "[waivers]"), "1: waivers: must be written as [[waivers]] tables"),
        (("[[waivers]]", "[[waiver]]"), "1: waiver: is not known here; did you mean 'waivers'?"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, change, said):
    with pytest.raises(UsageError) as refused:
        read(tmp_path, GOOD.replace(*change))
    assert f"waivers.toml:{said}" in str(refused.value)


def test_all_mistakes_are_told_at_once(tmp_path):
    with pytest.raises(UsageError) as refused:
        read(tmp_path, GOOD.replace("ana", "") + GOOD.replace('"latency"', '"speed"').replace("2026-12-31", "3"))
    assert len(str(refused.value).splitlines()) == 3


def test_a_waiver_that_is_about_no_case_is_named_with_the_nearest_one(tmp_path):
    waivers = read(tmp_path, GOOD)
    assert unmatched(waivers, ["resnet50-fp16-b1-tensorrt"]) == []
    (line,) = unmatched(waivers, ["resnet50-fp32-b1"])
    assert "waivers.toml:1: [waivers]" in line
    assert "'resnet50-fp16-*' matches no case: remove the waiver of ana" in line
