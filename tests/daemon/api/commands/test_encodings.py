"""Encodings and sizes without a session; test_oracle.py compares the encodings with Redis's."""

from __future__ import annotations

from crdt.dots import Actor
from crdt.state import State
from crdt.types import hashes, sets, strings
from daemon.api.commands.encodings import compact_hash, compact_set, encoding, usage


def test_compact_collections() -> None:
    state = State(Actor("a", 1))
    sets.add(state, b"s", [b"%d" % i for i in range(512)])
    hashes.put(state, b"h", [(b"f", b"v" * 64)])
    assert compact_set(state, b"s") and compact_hash(state, b"h")
    sets.add(state, b"s", [b"x"])
    hashes.put(state, b"h", [(b"f", b"v" * 65)])
    assert not compact_set(state, b"s") and not compact_hash(state, b"h")


def test_names_and_sizes() -> None:
    state = State(Actor("a", 1))
    assert encoding(state, b"k") is None
    assert usage(state, b"k", 5) is None
    strings.put(state, b"k", b"x" * 1000)
    assert encoding(state, b"k") == b"raw"
    assert 1000 < (usage(state, b"k", 5) or 0) < 2000
