"""Which entry is shown under a key, as its rows come and go."""

from __future__ import annotations

from crdt.directory import Directory
from crdt.dots import Actor
from crdt.entry import Opaque
from crdt.state import State
from crdt.types.sets import SetEntry
from crdt.types.strings import StringEntry


def a_string(state: State, key: bytes) -> StringEntry:
    """An entry with a row, which stands nowhere yet."""
    entry = StringEntry(key)
    entry.insert(state, None, b"v", state.add(entry, None))
    return entry


def a_set(state: State, key: bytes) -> SetEntry:
    entry = SetEntry(key)
    entry.insert(state, b"m", None, state.add(entry, b"m"))
    return entry


def state() -> State:
    return State(Actor("a", 1))


def test_the_first_type_in_the_fixed_order_is_shown_whichever_came_first() -> None:
    for turn in (1, -1):
        space = state()
        text, many = a_string(space, b"k"), a_set(space, b"k")
        for entry in (text, many)[::turn]:
            space.settle(entry)
        assert space.keys == {b"k": many}
        assert space.all_of(b"k") == [many, text]
        assert space.find(b"k", StringEntry) is text
        assert space.entry(StringEntry.CODE, b"k") is text


def test_what_stood_behind_is_shown_when_the_first_is_emptied() -> None:
    space = state()
    text, many = a_string(space, b"k"), a_set(space, b"k")
    space.settle(text)
    space.settle(many)
    many.erase(space)
    space.settle(many)
    assert (space.keys, space.hidden) == ({b"k": text}, {})
    text.erase(space)
    space.settle(text)
    assert (space.keys, space.hidden, space.all_of(b"k")) == ({}, {}, [])


def test_a_type_nobody_knows_is_kept_behind() -> None:
    space = Directory()
    entry = space.entry(250, b"k")
    assert type(entry) is Opaque
    assert (space.keys, space.hidden) == ({}, {})


def test_an_entry_is_made_for_a_key_that_shows_none() -> None:
    space = state()
    made = space.create(StringEntry, b"k")
    assert space.keys[b"k"] is made
    assert space.find(b"k", SetEntry) is None


def test_cells_without_siblings_are_forgotten() -> None:
    space = state()
    text = a_string(space, b"k")
    space.settle(text)
    for i in range(space.contested_limit):
        space.contest(text, b"%d" % i)
    assert len(space.contested) == space.contested_limit
    space.contest(text, None)
    assert not space.contested
