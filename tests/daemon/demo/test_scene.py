"""What a scene tells of itself."""

from __future__ import annotations

from tests.daemon.demo.scenes import scene


def test_equal_means_one_hash_of_all() -> None:
    assert scene(equal=True).equal
    assert not scene().equal
    assert not scene(equal=True, down="beta").equal


def test_the_end_is_shown_when_all_know_it() -> None:
    assert scene(equal=True).shows("ab" * 16)
    assert not scene(equal=True).shows("cd" * 16)
    assert not scene(equal=True, down="beta").shows("ab" * 16)
    assert not scene().shows("0" * 32)


def test_ways() -> None:
    parted, whole = scene(), scene(cut=False)
    (far,) = parted.plan.cuts
    assert parted.link(far) == f"cut, {parted.plan.cuts[far].value}"
    assert {parted.link(name) for name in parted.plan.near} == {"open"}
    assert {whole.link(name) for name in whole.plan.replicas} == {"open"}
