"""Fingerprints: equal where latencies are comparable, with a file name that a reader understands."""

import platform
import re
import socket

from hypothesis import given
from hypothesis import strategies as st

from inferkit.gate.fingerprint import Fingerprint, fingerprint

buckets = st.dictionaries(st.text("abcdef_", min_size=1, max_size=8), st.text(max_size=30), min_size=1, max_size=6)


def test_this_machine_is_the_same_machine_twice_and_never_named():
    here = fingerprint("onnxruntime", "1.31.1")
    assert here == fingerprint("onnxruntime", "1.31.1")
    assert socket.gethostname() not in " ".join(here.as_dict().values())
    assert here.as_dict()["python"] == ".".join(platform.python_version_tuple()[:2])


def test_another_version_thread_count_or_card_is_another_fingerprint():
    here = fingerprint("tensorrt", "1.4.0", device={"gpu": "NVIDIA H100", "power_limit_w": 700})
    for other in (
        fingerprint("tensorrt", "1.5.0", device={"gpu": "NVIDIA H100", "power_limit_w": 700}),
        fingerprint("tensorrt", "1.4.0", device={"gpu": "NVIDIA H100", "power_limit_w": 350}),
        fingerprint("tensorrt", "1.4.0", threads=1, device={"gpu": "NVIDIA H100", "power_limit_w": 700}),
    ):
        assert here.slug != other.slug
        assert len(here.differences(other)) == 1


def test_the_slug_tells_the_hardware_and_the_backend():
    device = {"gpu": "NVIDIA H100 80GB HBM3", "memory_gib": 80}
    slug = fingerprint("tensorrt", "1.4.0", flavour="tensorrt_rtx", device=device).slug
    assert slug.startswith("nvidia-h100-80gb-hbm3-")
    assert "tensorrt-rtx-1.4.0" in slug


@given(buckets)
def test_a_slug_is_a_safe_file_name(fields):
    slug = Fingerprint.of(fields).slug
    assert re.fullmatch(r"[a-z0-9.-]*-[0-9a-f]{8}", slug)
    assert not slug.startswith(".")
    assert len(slug) < 100


@given(buckets)
def test_the_order_of_the_buckets_does_not_matter(fields):
    there = Fingerprint.of(dict(reversed(fields.items())))
    assert Fingerprint.of(fields).slug == there.slug
    assert Fingerprint.of(fields).differences(there) == []


@given(buckets, buckets)
def test_differences_are_empty_only_where_the_slugs_agree(one, other):
    a, b = Fingerprint.of(one), Fingerprint.of(other)
    assert (a.differences(b) == []) == (a.slug == b.slug)
    assert len(a.differences(b)) == len(b.differences(a))
