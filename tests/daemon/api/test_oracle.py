"""Every data command against a real Redis 7.0.15, with random sequences of commands (see tests/oracle.py)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest

from daemon.api.registry import TABLE, Command, commands, subcommands
from tests import oracle
from tests.compiled import as_python
from tests.random_commands import COMMANDS

REASON = oracle.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
OUR_OWN = "native"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with oracle.redis_server() as path:
        yield path


def offered() -> list[Command]:
    """The commands of the data modules, subcommands included; containers and our own commands left out."""
    modules = {module.__name__ for module in oracle.OFFERED}
    every = chain.from_iterable([entry, *subcommands(entry)] for entry in commands())
    return [entry for entry in every if entry.handler.__module__ in modules and entry.group != OUR_OWN]


@pytest.mark.parametrize("seed", range(1, 7))
def test_replies_are_equal(server: str, seed: int) -> None:
    oracle.Trial(oracle.Redis(server), seed, 2 + seed % 2).run(1000)


@pytest.mark.parametrize("seed", [101, 102])
def test_events_are_equal(server: str, seed: int) -> None:
    oracle.Trial(oracle.Redis(server), seed, 2, oracle.Events(server)).run(700)


def test_every_command_is_asked() -> None:
    asked = {name.lower() for name in COMMANDS}
    assert {entry.name for entry in offered()} == asked


@as_python
def test_a_difference_is_found(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = oracle.Trial(oracle.Redis(server), 5)
    monkeypatch.setattr(TABLE[b"GET"], "handler", lambda session, args: session.resp.bulk(b"wrong"))
    with pytest.raises(oracle.Difference, match="seed 5"):
        trial.run(300)


@pytest.mark.parametrize("entry", offered(), ids=lambda entry: entry.name)
def test_command_info_is_equal(server: str, entry: Command) -> None:
    raw = oracle.Redis(server).ask([b"COMMAND", b"INFO", entry.name.encode()])
    info = oracle.reply(raw)[1][0][1]
    flags = {flag[1].decode() for flag in info[2][1]}
    keys = tuple(int(info[at][1]) for at in (3, 4, 5))
    assert (int(info[1][1]), flags, keys) == (entry.arity, entry.flags, entry.keys)


@pytest.mark.parametrize("value", [b"12", b"x" * 44, b"x" * 45, b"012", b"9" * 20, b""])
def test_encoding_of_a_new_string(server: str, value: bytes) -> None:
    _encodings_agree(server, [b"SET", b"k", value])


@pytest.mark.parametrize("count", [1, 512, 513])
@pytest.mark.parametrize("element", [b"%d", b"m%d"])
def test_encoding_of_a_new_collection(server: str, count: int, element: bytes) -> None:
    elements = [element % i for i in range(count)]
    _encodings_agree(server, [b"SADD", b"k", *elements])
    _encodings_agree(server, [b"HSET", b"k", *(part for name in elements for part in (name, b"v"))])


def test_encoding_of_a_hash_with_a_long_value(server: str) -> None:
    _encodings_agree(server, [b"HSET", b"k", b"f", b"v" * 64])
    _encodings_agree(server, [b"HSET", b"k", b"f", b"v" * 65])


def _encodings_agree(server: str, write: list[bytes]) -> None:
    trial = oracle.Trial(oracle.Redis(server), 1)
    answers = []
    for side in (trial.redis, trial.ours):
        side.ask(write)
        answers.append(side.ask([b"OBJECT", b"ENCODING", b"k"]))
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"$")
