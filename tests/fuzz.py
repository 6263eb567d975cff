"""Bytes from outside, at random and guided by coverage: nothing may escape, nothing may change (invariant I15).

Each target takes any bytes whatever and raises if a promise is broken. Three drivers share them: atheris, which follows
the branches that an input takes (`make fuzz`, Linux alone); Hypothesis, which makes inputs that are nearly right; and
`fuzz_corpus.txt`, the inputs that were worth keeping, which every `make test` replays.

    python tests/fuzz.py --target message --runs 1000000 [--corpus FOLDER]     coverage-guided
    python tests/fuzz.py --target message --keep FOLDER      print the files of a folder as lines of fuzz_corpus.txt

Promises that are checked, by target:

    message    a message or PeerError; what was decoded encodes to something that decodes to the same
    frame      a frame or PeerError; a frame can be applied, and leaves the books of the state right
    rows       rows or PeerError, as they stand in checkpoints and snapshots
    engine     messages with a valid checksum: the engine answers or drops, the state stays as its frames say
    requests   any chunking of a stream gives the same requests and the same error
    commands   every request is answered, with an error or not, and the books stay right
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    if "--keep" not in sys.argv:
        import atheris

        atheris.instrument_imports(include=["crdt", "daemon.api"]).__enter__()

from crdt.codec import decode_frame, decode_rows, encode_frame, encode_rows
from crdt.dots import Actor, Runs
from crdt.errors import PeerError
from crdt.frame import Frame
from crdt.joining import Joining, Part
from crdt.replica import messages
from crdt.replica.effects import Lane
from crdt.replica.tuning import Tuning
from crdt.state import State
from daemon.api.dispatch import execute
from daemon.api.limits import Limits
from daemon.api.registry import TABLE
from daemon.api.requests import RequestParser
from tests.crdt.algebra import check_books
from tests.crdt.replica.desk import Desk
from tests.oracle import Ours, read_reply

ROOT: Final = Path(__file__).resolve().parent
CORPUS: Final = ROOT / "fuzz_corpus.txt"
SMALL: Final = Limits(key=40, value=60, request=400)


def message(data: bytes) -> None:
    """Both as it stands, and with the checksum that it should have: else no fuzzer gets past that."""
    try:
        messages.decode(data)
    except PeerError:
        pass
    if data:
        _decoded(messages.envelope(data[0], data[1:]))


def _decoded(data: bytes) -> messages.Message | None:
    try:
        found = messages.decode(data)
    except PeerError:
        return None
    assert messages.decode(messages.encode(found)) == found, "a message that reads differently when written again"
    return found


def frame(data: bytes) -> None:
    """A frame that decodes can be stored, sent on, and applied where all that it names is there."""
    try:
        found = decode_frame(data)
    except PeerError:
        return
    assert decode_frame(encode_frame(found)) == found, "a frame that reads differently when written again"
    _apply(found)


def _apply(found: Frame) -> None:
    state = State(Actor("fuzz", 1))
    if found.actor == state.actor:
        return
    state.begin(1000)
    found.deps.pop(state.actor, None)
    for actor, n in {**dict.fromkeys(found.named, 1), **found.deps, found.actor: found.first - 1}.items():
        if n and not state.applied(actor) and actor != state.actor:
            state.apply(Frame(actor, 1, n))
    if not state.ready(found):
        return
    state.apply(found)
    assert state.apply(found) is None, "a frame that does something twice"
    state.cut()
    assert check_books(state) == []


def rows(data: bytes) -> None:
    """Rows of one actor, as a checkpoint or a snapshot has them."""
    named: dict[Actor, None] = {}
    try:
        found = decode_rows(data, named)
    except PeerError:
        return
    if not found:
        return
    assert decode_rows(encode_rows(found)) == found, "rows that read differently when written again"
    actor, last = Actor("peer", 2), max(group.seqs[-1] for group in found)
    state = State(Actor("fuzz", 1))
    state.begin(1000)
    live = Runs(sorted({seq for group in found for seq in group.seqs}))
    parts: list[Part] = [(group.seqs[0], group.seqs[-1], lambda group=group: [group]) for group in found]  # type: ignore[misc]
    vector = {**dict.fromkeys(named, 1), actor: last}
    joining = Joining(state, vector, {actor: live}, lambda who: parts if who == actor else [])
    joining.begin()
    while joining.step():
        pass
    assert not joining.failed
    joining.finish()
    assert all(key in state.keys for key, event in joining.changes() if event not in ("del", "persist"))
    state.cut()
    assert check_books(state) == []


def engine(data: bytes) -> None:
    """Messages one after the other: [sender, inbox or not, kind, length, body ...]."""
    desk = Desk("fuzz", tuning=Tuning(interval=0.0, max_message=4096, held_bytes=100_000, frame_bytes=0, actors=8))
    at, size = 0, len(data)
    while at + 4 <= size:
        sender, lane, kind, length = data[at : at + 4]
        body = data[at + 4 : at + 4 + length]
        desk.receive(
            "abf"[sender % 3] if sender % 3 < 2 else "fuzz", messages.envelope(kind % 12, body), inbox=bool(lane & 1)
        )
        desk.wait(0.05 * (lane >> 5))
        at += 4 + length
    assert desk.replica.held.bytes <= 100_000 and desk.replica.pieces.bytes <= 200_000, "what waits is bounded"
    desk.wait(1.0)
    if not desk.replica.dirty:
        assert check_books(desk.state) == []


def requests(data: bytes) -> None:
    """The first byte says how the rest is cut up."""
    if not data:
        return
    step, stream = data[0] % 31 + 1, data[1:]
    whole, parts = RequestParser(SMALL), RequestParser(SMALL)
    one = whole.feed(stream)
    many = [request for at in range(0, len(stream), step) for request in parts.feed(stream[at : at + step])]
    assert (one, whole.error) == (many, parts.error), "the chunking of a stream shows"
    assert all(one), "an empty request"


def commands(data: bytes) -> None:
    """A line is a command; each is answered by one whole reply."""
    ours = Ours(1)
    for request in RequestParser(Limits()).feed(data + b"\r\n"):
        if "blocking" in getattr(TABLE.get(request[0].upper()), "flags", ()):
            continue  # there is no server here that could go on meanwhile
        answer = ours.ask(request)
        found = read_reply(answer)
        assert found is not None and found[1] == len(answer), (request, answer)
    ours.commit()
    for state in ours.hub.states[:2]:
        assert check_books(state) == []


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    one.__name__: one for one in (message, frame, rows, engine, requests, commands)
}


def seeds() -> dict[str, list[bytes]]:
    """Honest inputs to begin with: what two replicas say to each other, and a conversation with a client."""
    talk: list[bytes] = []
    a, b = Desk("a", 1), Desk("b", 2)
    for desk, lines in ((a, _LINES[::2]), (b, _LINES[1::2])):
        ours = Ours(1)
        ours.hub.states[0] = ours.hub.databases[0].state = desk.state
        for line in lines:
            ours.session.db = ours.hub.databases[0]
            execute(ours.session, line.split(b" "))
        desk.commit()
    for _ in range(40):
        for source, target in ((a, b), (b, a)):
            for lane, _, said in source.sent:
                talk.append(messages.encode(said, "a"))
                target.receive(source.replica.name, said, inbox=lane is Lane.INBOX)
            source.sent.clear()
            source.wait(0.3)
            if source.replica.dirty:
                source.commit()
    found = [messages.decode(data, "a") for data in talk]
    frames = [data for one in found if isinstance(one, messages.Delta | messages.Repair) for data in one.frames]
    stream = b"".join(
        b"*%d\r\n" % len(w) + b"".join(b"$%d\r\n%b\r\n" % (len(x), x) for x in w) for w in map(bytes.split, _LINES)
    )
    return {
        "message": [data[1:2] + data[messages.HEAD :] for data in talk],
        "frame": frames,
        "rows": [encode_rows(decode_frame(data).groups) for data in frames if decode_frame(data).groups],
        "engine": [_said(data) for data in talk if len(data) < 250],
        "requests": [
            b"\x05" + stream,
            b"\x03PING\r\n*1\r\n$4\r\nPING\r\n",
            *(b"\x02" + line + b"\r\n" for line in _LINES),
        ],
        "commands": [*_LINES, stream],
    }


def _said(data: bytes) -> bytes:
    body = data[messages.HEAD :]
    return bytes((0, 0, data[1], len(body))) + body


_LINES: Final = (
    b"SADD s x y z", b"SET k v", b"INCRBY n 5", b"HSET h f v g 7", b"HINCRBY h g 3", b"SREM s y", b"DEL k", b"INCR n",
    b"FLAG.ENABLE f", b"GCOUNT.INCR c 3", b"GSET.ADD g x", b"SET n 9", b"APPEND k tail", b"HDEL h f",
    b"INCRBYFLOAT n 1.5", b"RPUSH l a b c", b"LPUSH l d", b"LSET l 0 x", b"LPOP l", b"ZADD z 1 x 2 y",
    b"ZINCRBY z 2 x", b"ZREM z y", b"XADD t 5-1 f v",
    b"XDEL t 5-1", b'JSON.SET d $ {"a":[1,{"b":2}]}',
    b"JSON.NUMINCRBY d $.a[0] 3", b"JSON.ARRAPPEND d $.a 7", b"TEXT.INSERT p 0 hello",
    b"TEXT.DELETE p 1 2", b"EXPIRE s 100", b"PERSIST s", b"SETEX q 9 v",
)  # fmt: skip


def corpus() -> list[tuple[str, bytes]]:
    """(target, input) of what was kept: lines of a target, a space, and the bytes in hexadecimal."""
    lines = CORPUS.read_text(encoding="ascii").splitlines()
    pairs = (line.split(" ") for line in lines if line and not line.startswith("#"))
    return [(target, bytes.fromhex(text)) for target, text in pairs]


def main() -> None:
    """Run atheris on one target; its own options follow."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--target", choices=TARGETS, required=True)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--corpus", help="a folder that is read and added to")
    parser.add_argument("--keep", help="print the inputs of this folder as lines of fuzz_corpus.txt")
    options = parser.parse_args()
    if options.keep:
        for path in sorted(Path(options.keep).iterdir()):
            print(options.target, path.read_bytes().hex())
        return
    if options.corpus:
        folder = Path(options.corpus)
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(seeds()[options.target]):
            (folder / f"seed-{number}").write_bytes(data)
    words = [sys.argv[0], f"-runs={options.runs}", "-max_len=1024", "-rss_limit_mb=1500", "-timeout=20"]
    words += ["-print_final_stats=1", "-verbosity=1", *([options.corpus] if options.corpus else [])]
    atheris.Setup(words, TARGETS[options.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
