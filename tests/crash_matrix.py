"""Every crash there can be in short workloads: at each write and fsync, with the last write cut, with power loss.

A workload of up to three operations runs on a real space (engine, store, SQLite, witness) under strace, which records
every byte that reaches a file, in order. From the record the disk is rebuilt as it was after each single call:

    kill     SIGKILL: everything written so far is there
    torn     the same, with the last write cut short (at several bytes of it)
    power    what was not synced is gone, or there in part; and it is another boot

Each of these disks is opened again, and must hold a prefix of what was acknowledged, all of it if it was acknowledged
as durable (invariant I14), and must not spend a dot that has left the machine (I6). In three modes:

    always    every turn is stored and synced before it is acknowledged
    interval  acknowledged at once, stored and synced by the worker
    soon      interval, with `gossip.interval = 0`: every turn is stored and published, and synced later by the worker

    python tests/crash_matrix.py [--length 3] [--mode always]            every workload; needs strace
    python tests/crash_matrix.py --sample 60 --seed 1                    so many of them, drawn at random
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from xxhash import xxh3_64_digest

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from crdt.codec import decode_frame, encode_frame
from crdt.dots import Actor
from crdt.replica import messages
from crdt.state import State
from crdt.types import counters, keyspace, sets, strings
from daemon import store_file
from daemon.store import Durability, Store
from daemon.witness import RECORD, SIZE, Witness
from tests.crdt.algebra import check_books
from tests.daemon.spaces import Between, Member

ROOT: Final = Path(__file__).resolve().parent.parent
MODES: Final[dict[str, tuple[Durability, float]]] = {
    "always": ("always", 0.0),
    "interval": ("interval", 0.002),
    "soon": ("interval", 0.0),
}
"""`store.durability` and `gossip.interval`"""
OPERATIONS: Final = "aidrc"
"""add to a set, increment, delete the set, receive a peer's frame, checkpoint and prune"""
BOOT: Final = "this boot"
MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # rebuilt disks need not survive anything
_CALLS: Final = "openat,pwrite64,write,ftruncate,unlink,fsync,fdatasync"
_call = re.compile(r"(\d+) +(\w+)\((?:AT_FDCWD\S*, )?(.*)\) += (-?\d+)(?:<(.*)>)?$")
_unfinished = re.compile(r"(\d+) +(.*) <unfinished \.\.\.>$")
_resumed = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)$")
_target = re.compile(r"\d+<([^>]*)>")
_text = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


# -- the workload, in a process of its own ----------------------------------------------------------------------------


async def work(workload: str, home: Path, mode: str) -> None:
    """Do it, and note in `notes` what was acknowledged, what is durable, and what has left."""
    store_file.FOLD_FROM = 0  # however little: a crash may come in the middle of folding too
    notes = os.open(home / "notes", os.O_WRONLY | os.O_CREAT, 0o600)
    between = Between()
    durability, interval = MODES[mode]
    member = Member(between, "a", home, durability)
    member.boot = BOOT
    member.tuning["interval"] = interval
    publish = between.publish

    def noting(sender: str, lane: str, to: str | None, data: bytes) -> bool:
        said = messages.decode(data, sender)
        for frame in said.frames if isinstance(said, messages.Delta) else ():
            one = decode_frame(frame)
            os.write(notes, b"sent %d %d\n" % (one.actor.nonce, one.last))
        return publish(sender, lane, to, data)

    between.publish = noting  # type: ignore[method-assign]
    await member.start()
    peer = State(Actor("b", 2))
    for step, operation in enumerate(workload):
        os.write(notes, b"issued %d\n" % step)
        await _operate(member, peer, operation, step)
        os.write(notes, b"acked %d\n" % step)
        if mode == "interval":
            await asyncio.sleep(0.004 if step % 2 else 0)
        elif mode == "soon" and step % 2:  # the commit interval is over
            member.space.commits.sync()
            await member.space.commits.synced()
            os.write(notes, b"synced %d\n" % step)
    os._exit(0)


async def _operate(member: Member, peer: State, operation: str, step: int) -> None:
    space = member.space
    space.begin()
    if operation == "a":
        sets.add(space.state, b"s", [b"%d" % step, b"x%d" % step])
    elif operation == "i":
        counters.incr(space.state, b"n", 1)
    elif operation == "d":
        keyspace.delete(space.state, b"s")
    elif operation == "r":
        peer.begin(1_000 + step)
        sets.add(peer, b"p", [b"%d" % step])
        frame = peer.cut()
        assert frame is not None
        space.receive("b", False, messages.encode(messages.Delta([encode_frame(frame)])))
    else:
        housekeeping = space.housekeeping
        housekeeping.log_budget = 0
        await housekeeping._checkpoint()
        housekeeping._tidy()
    space.settle()


def expected(workload: str, done: int) -> tuple[set[bytes], bytes | None]:
    """Members of the set, and the counter, after so many operations."""
    members: set[bytes] = set()
    count = 0
    for step, operation in enumerate(workload[:done]):
        if operation == "a":
            members |= {b"%d" % step, b"x%d" % step}
        elif operation == "d":
            members = set()
        count += operation == "i"
    return members, b"%d" % count if count else None


# -- the record -------------------------------------------------------------------------------------------------------


@dataclass
class Disk:
    """What the files hold after some calls. `synced`: what of each is sure to survive a loss of power."""

    files: dict[str, bytearray] = field(default_factory=dict)
    synced: dict[str, bytes] = field(default_factory=dict)
    syncing: dict[int, bytes] = field(default_factory=dict)  # by thread: what the file held when it began to
    issued: int = 0
    acked: int = 0
    durable: int = 0  # operations that were acknowledged, and later synced, where that is not the same
    sent: tuple[int, int] = (0, 0)  # nonce, highest own seq that has left
    last: tuple[str, int, int] | None = None  # path, offset and length of the last write, if that was the last call


def record(workload: str, mode: str, home: Path) -> list[tuple[str, str, list[bytes | int]]]:
    """The calls of a workload, in order: (call, path, arguments)."""
    trace = home / "trace"
    command = [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-s",
        "4000000",
        "-e",
        f"trace={_CALLS}",
        "-e",
        "signal=none",
        "-o",
        str(trace),
    ]
    command += [sys.executable, str(Path(__file__).resolve()), "--child", workload, str(home), mode]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    if ended.returncode:
        raise RuntimeError(f"{workload}: {ended.stderr.decode()[-600:]}")
    return calls_of(trace.read_text(encoding="ascii", errors="replace"), home)


def calls_of(text: str, home: Path) -> list[tuple[str, str, list[bytes | int]]]:
    """What a trace tells of the files in `home`."""
    calls = []
    for thread, name, rest, code, opened in _lines(text):
        found = _target.match(rest)
        target = opened if name == "openat" else _plain(found[1]) if found else _first_path(rest)
        if code < 0 or not target or not target.startswith(f"{home}/") or target.endswith(("-shm", "/trace")):
            continue
        if name == "openat" and "O_CREAT" not in rest:
            continue
        arguments: list[bytes | int] = [thread] if "sync" in name else _arguments(name, rest)
        calls.append((name, target[len(str(home)) + 1 :], arguments))
    return calls


def _lines(text: str) -> Iterator[tuple[int, str, str, int, str | None]]:
    """Whole calls in the order in which they ended; calls of two threads may have been cut in two.

    The first half of a sync comes as a call `syncing`: it promises nothing of what was written later.
    """
    begun: dict[str, str] = {}
    for line in text.splitlines():
        if cut := _unfinished.match(line):
            begun[cut[1]] = f"{cut[1]} {cut[2]}"
            if "sync(" in cut[2]:
                yield int(cut[1]), "syncing", cut[2].partition("(")[2], 0, None
            continue
        if rest := _resumed.match(line):
            line = begun.pop(rest[1]) + rest[2]
        if whole := _call.match(line):
            yield int(whole[1]), whole[2], whole[3], int(whole[4]), _plain(whole[5])


def _plain(path: str | None) -> str | None:
    return None if path is None else bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


def _first_path(rest: str) -> str | None:
    found = _text.match(rest)
    return bytes.fromhex(found[1].replace("\\x", "")).decode() if found else None


def _arguments(name: str, rest: str) -> list[bytes | int]:
    if name in ("pwrite64", "write"):
        found = _text.search(rest)
        assert found is not None, rest[:200]
        data = bytes.fromhex(found[1].replace("\\x", ""))
        return [data, int(rest.rsplit(", ", 1)[1]) if name == "pwrite64" else -1]
    if name == "ftruncate":
        return [int(rest.rsplit(", ", 1)[1])]
    return [int("O_TRUNC" in rest)] if name == "openat" else []


def replay(calls: list[tuple[str, str, list[Any]]]) -> Iterator[Disk]:
    """The disk after each call that changes or syncs something. One object, changed in place."""
    disk = Disk()
    for name, path, arguments in calls:
        disk.last = None
        if path == "notes":
            if name == "write":
                _note(disk, arguments[0])
            continue
        if name == "openat":
            if path not in disk.files or arguments[0]:
                disk.files[path] = bytearray()
            continue
        if name == "syncing":
            disk.syncing[arguments[0]] = bytes(disk.files.get(path, b""))
            continue
        if name in ("fsync", "fdatasync"):
            held = disk.syncing.pop(arguments[0], None)
            if path in disk.files:
                disk.synced[path] = bytes(disk.files[path]) if held is None else held
        elif name == "unlink":
            disk.files.pop(path, None)
            disk.synced.pop(path, None)
        elif name == "ftruncate":
            held = disk.files[path]
            held[arguments[0] :] = bytes(max(0, arguments[0] - len(held)))
        else:
            data, offset = arguments
            held = disk.files[path]
            offset = len(held) if offset < 0 else offset
            held.extend(bytes(max(0, offset - len(held))))
            held[offset : offset + len(data)] = data
            disk.last = path, offset, len(data)
        yield disk


def _note(disk: Disk, line: bytes) -> None:
    word, *numbers = line.split()
    if word == b"issued":
        disk.issued = int(numbers[0]) + 1
    elif word == b"acked":
        disk.acked = int(numbers[0]) + 1
    elif word == b"synced":
        disk.durable = int(numbers[0]) + 1
    else:
        disk.sent = int(numbers[0]), int(numbers[1])


# -- the crashes ------------------------------------------------------------------------------------------------------


def crashes(disk: Disk) -> Iterator[tuple[str, dict[str, bytes], bool]]:
    """(name, files, whether it is the same boot) of what may be found after a crash at this moment."""
    whole = {path: bytes(held) for path, held in disk.files.items()}
    yield "kill", whole, True
    if disk.last is not None:
        path, offset, length = disk.last
        for keep in sorted({0, 1, 24, 100, length // 2, length - 1}):
            if keep < length and offset + length == len(whole[path]):
                yield f"torn at {keep}", {**whole, path: whole[path][: offset + keep]}, True
    lost = {path: disk.synced[path] for path in whole if path in disk.synced}
    yield "power", lost, False
    for path in whole:
        if whole[path] != lost.get(path):
            yield f"power, {path} kept", {**lost, path: whole[path]}, False


def examine(workload: str, mode: str, disk: Disk, files: dict[str, bytes], same_boot: bool) -> list[str]:
    """What is wrong with a replica that starts on these files."""
    with tempfile.TemporaryDirectory(prefix="gs-crash-", dir=MEMORY) as folder:
        home = Path(folder)
        (home / "data").mkdir()
        (home / "run").mkdir()
        for path, data in files.items():
            if same_boot or not path.startswith("run/"):
                (home / path).write_bytes(data)
        if same_boot and "run/a.witness" in files:
            _transplant(home)
        return asyncio.run(_started(workload, mode, disk, home, same_boot))


def _transplant(home: Path) -> None:
    """A rebuilt database has another inode: a whole witness of the old one is made one of the new one."""
    path = home / "run" / "a.witness"
    data = path.read_bytes()
    if len(data) != SIZE or xxh3_64_digest(data[: RECORD.size]) != data[RECORD.size :]:
        return
    _, _, database_id, *_, nonce, seq = RECORD.unpack_from(data)
    store = Store.open(home / "data", "default")
    if database_id == store.identity.database_id:
        witness = Witness(path, store.identity, BOOT)
        witness.record(nonce, seq)
        witness.close()
    store.close()


def _least(mode: str, disk: Disk, same_boot: bool) -> int:
    """How many operations have to be there."""
    if mode == "interval":
        return 0
    return disk.acked if mode == "always" or same_boot else disk.durable


async def _started(workload: str, mode: str, disk: Disk, home: Path, same_boot: bool) -> list[str]:
    member = Member(Between(), "a", home, MODES[mode][0])
    member.boot = BOOT if same_boot else "another boot"
    space = await member.start()
    try:
        state = space.state
        faults = list(check_books(state))
        found = set(sets.members(state, b"s")), strings.get(state, b"n")
        least = _least(mode, disk, same_boot)
        if not any(found == expected(workload, done) for done in range(least, disk.issued + 1)):
            faults.append(f"found {found} after {disk.acked} of {disk.issued} were acknowledged, {least} for sure")
        nonce, seq = disk.sent
        member.add(b"new", b"write")
        if state.actor.nonce == nonce and state.seq <= seq:
            faults.append(f"own operation {state.seq} was spent again: {seq} have left")
        return faults
    finally:
        member.kill()


@dataclass
class Tally:
    """What was tried."""

    workloads: int = 0
    disks: int = 0
    faults: list[str] = field(default_factory=list)


def run(workload: str, mode: str, tally: Tally, every: int = 1, birth: bool = True) -> None:
    """One workload, all its crashes (or each `every`-th of them). `birth`: those while the files are made as well."""
    with tempfile.TemporaryDirectory(prefix="gs-record-") as folder:
        calls = record(workload, mode, Path(folder))
    tally.workloads += 1
    number = 0
    for at, disk in enumerate(replay(calls)):
        if not disk.issued and not birth:
            continue
        for name, files, same_boot in crashes(disk):
            number += 1
            if number % every or "data/default.db" not in files:
                continue
            tally.disks += 1
            for fault in examine(workload, mode, disk, files, same_boot):
                tally.faults.append(f"{workload} {mode}, call {at}, {name}: {fault}")


def workloads(length: int) -> Iterator[str]:
    """Every workload of one to `length` operations."""
    for count in range(1, length + 1):
        yield from map("".join, itertools.product(OPERATIONS, repeat=count))


def missing() -> str | None:
    """Why the matrix cannot be made here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return "strace may not trace here" if probe.returncode else None


def main() -> int:
    """All of it; 1 and the faults if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--length", type=int, default=3)
    parser.add_argument("--mode", choices=tuple(MODES), action="append")
    parser.add_argument("--sample", type=int, help="so many workloads drawn at random, instead of all")
    parser.add_argument("--seed", type=int, default=0, help="of --sample (default 0)")
    parser.add_argument("--share", default="1/1", help="I/N: the I-th of N parts, to use several cores")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        asyncio.run(work(options.child[0], Path(options.child[1]), options.child[2]))
        return 1
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1
    part, parts = map(int, options.share.split("/"))
    todo = list(itertools.product(options.mode or MODES, workloads(options.length)))
    if options.sample is not None:
        todo = Random(options.seed).sample(todo, min(options.sample, len(todo)))
    todo = todo[part - 1 :: parts]
    tally = Tally()
    for number, (mode, workload) in enumerate(todo):
        run(workload, mode, tally, birth=number == 0)
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {len(todo)} workloads, {tally.disks} crashes", end="", file=sys.stderr)
        if tally.faults:
            break
    for fault in tally.faults:
        print(fault, file=sys.stderr)
    print(f"{tally.workloads} workloads, {tally.disks} crashes, {len(tally.faults)} faults")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
