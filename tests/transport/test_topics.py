"""Topics: the layout, both ways, and which names may stand in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.interface import EVERYWHERE
from transport.topics import Address, Topics, check_name, matches

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}", fullmatch=True)


@pytest.mark.parametrize("name", ["a", "A9", "host-1.example_x", "0", "x" * 64])
def test_good_names(name: str) -> None:
    assert check_name(name, "replica") == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a b", "a/b", "a+", "a#", "ä", "x" * 65, "a\n"])
def test_bad_names_say_which_and_what_is_allowed(name: str) -> None:
    with pytest.raises(ValueError, match=r"space name .* is not allowed: 1 to 64"):
        check_name(name, "space")


def test_the_layout() -> None:
    topics = Topics("gs", "me", ("s", "t"))
    assert topics.build("s", "d", None) == "gs/v1/s/b/me/d"
    assert topics.build("t", "h", None) == "gs/v1/t/b/me/h"
    assert topics.build("s", "p", None) == "gs/v1/s/b/me/p"
    assert topics.build("s", "i", "you") == "gs/v1/s/i/you/me"
    assert topics.probe() == "gs/v1/s/i/me/me"
    assert topics.broadcast_filters() == ["gs/v1/s/b/+/+", "gs/v1/t/b/+/+"]
    assert topics.daemon_filter() == "gs/v1/_/b/+/p"
    assert topics.build(EVERYWHERE, "p", None) == "gs/v1/_/b/me/p"
    assert topics.inbox_filters() == ["gs/v1/s/i/me/+", "gs/v1/t/i/me/+"]


@pytest.mark.parametrize(
    ("space", "lane", "to"),
    [
        ("u", "d", None),
        ("s", "x", None),
        ("s", "i", None),
        ("s", "d", "you"),
        ("u", "i", "you"),
        ("s", "i", "y/u"),
        ("_", "d", None),
        ("_", "i", "you"),
    ],
)
def test_what_cannot_be_built(space: str, lane: str, to: str | None) -> None:
    with pytest.raises(ValueError):
        Topics("gs", "me", ("s",)).build(space, lane, to)


def test_no_space_no_topics() -> None:
    with pytest.raises(ValueError, match="at least one space"):
        Topics("gs", "me", ())


@given(NAMES, NAMES, NAMES, NAMES, st.sampled_from(["d", "h", "p"]))
def test_what_one_builds_the_other_parses(prefix: str, space: str, me: str, you: str, lane: str) -> None:
    mine, yours = Topics(prefix, me, (space,)), Topics(prefix, you, (space,))
    assert yours.parse(mine.build(space, lane, None)) == Address(space, lane, me)
    assert yours.parse(mine.build(space, "i", you)) == Address(space, "i", me)
    assert any(matches(pattern, mine.build(space, lane, None)) for pattern in yours.broadcast_filters())
    assert any(matches(pattern, mine.build(space, "i", you)) for pattern in yours.inbox_filters())


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "gs",
        "gs/v1/s/b/you",
        "gs/v1/s/b/you/d/more",
        "gs/v1/s/b/you/i",
        "gs/v1/s/b/you/x",
        "gs/v1/s/b/not a name/d",
        "gs/v1/s/b//d",
        "gs/v1/other/b/you/d",
        "gs/v2/s/b/you/d",
        "other/v1/s/b/you/d",
        "gs/v1/s/i/you/me",
        "gs/v1/s/x/me/you",
        "$SYS/broker/uptime",
    ],
)
def test_everything_else_is_foreign(topic: str) -> None:
    assert Topics("gs", "me", ("s",)).parse(topic) is None


@pytest.mark.parametrize("topic", ["gs/v1/_/b/you/d", "gs/v1/_/b/you/h", "gs/v1/_/i/me/you", "gs/v1/_/i/me/p"])
def test_of_all_spaces_there_is_only_presence(topic: str) -> None:
    topics = Topics("gs", "me", ("s",))
    assert topics.parse("gs/v1/_/b/you/p") == Address(EVERYWHERE, "p", "you")
    assert topics.parse(topic) is None


def test_made_up_topics_do_not_fill_the_memory() -> None:
    topics = Topics("gs", "me", ("s",))
    for number in range(10_000):
        topics.parse(f"gs/v1/s/b/r{number}/d")
    assert len(topics._parsed) <= 4096


@pytest.mark.parametrize(
    ("pattern", "topic", "covered"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/+", "a", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/b/#", "a", False),
        ("#", "a/b", True),
        ("+/b", "a/c", False),
    ],
)
def test_filters(pattern: str, topic: str, covered: bool) -> None:
    assert matches(pattern, topic) is covered
