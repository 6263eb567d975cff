"""Who am I? Every way to come back, and whether it is still me."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crdt.dots import Actor
from crdt.replica.effects import LogFrame
from daemon.store import Store
from daemon.store_file import Identity
from daemon.witness import SIZE, Witness, boot_id, sweep
from tests.daemon.stores import successor

BOOT = "5d4c0f0a-8d3b-4d0e-9a59-0d0f5f4f8c11"
STORE = Identity(b"0123456789abcdef", 64, 4711, 5)
NONCE = (1 << 64) - 5


def on_disk(*seqs: tuple[int, int]) -> Callable[[int], int]:
    """What the store holds: pairs of nonce and last sequence number."""
    return lambda nonce: dict(seqs).get(nonce, 0)


def run(path: Path, *seqs: int, boot: str | None = BOOT, identity: Identity = STORE) -> None:
    """One life as NONCE, which hands these to the transport and is killed."""
    witness = Witness(path, identity, boot)
    for seq in seqs:
        witness.record(NONCE, seq)
    witness.close()


def claim(path: Path, last: int = 10, boot: str | None = BOOT, identity: Identity = STORE) -> int | None:
    witness = Witness(path, identity, boot)
    try:
        return witness.claim(on_disk((NONCE, last)))
    finally:
        witness.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "default.witness"


def test_a_restart_goes_on_as_the_same_actor(path: Path) -> None:
    run(path, 0, 3, 10)
    assert claim(path) == NONCE
    assert claim(path) == NONCE  # a start that writes nothing changes nothing
    run(path, 12)
    assert claim(path, last=12) == NONCE


def test_an_actor_that_has_sent_nothing_yet_is_kept(path: Path) -> None:
    run(path, 0)
    assert claim(path, last=0) == NONCE


def test_the_first_start_is_a_new_actor(path: Path) -> None:
    assert claim(path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"boot": "another boot"},
        {"boot": None},
        {"identity": Identity(b"x" * 16, 64, 4711, 5)},  # another database under this name
        {"identity": Identity(STORE.database_id, 65, 4711, 5)},  # copied to another disk
        {"identity": Identity(STORE.database_id, 64, 4712, 5)},  # copied, or restored from a backup
        {"identity": Identity(STORE.database_id, 64, 4711, 6)},  # the same, and the inode number was free again
        {"last": 9},  # rolled back below what was sent
        {"last": 0},  # holds nothing of that actor
    ],
    ids=str,
)
def test_whoever_cannot_prove_it_is_a_new_actor(path: Path, change: dict[str, object]) -> None:
    run(path, 10)
    assert claim(path, **change) is None  # type: ignore[arg-type]


def test_a_refused_claim_does_not_become_true_later(path: Path) -> None:
    """Peers give a rolled-back store its old actor's records back; it must not take them for its own history."""
    run(path, 10)
    assert claim(path, last=9) is None
    assert claim(path, last=10) is None


def test_a_damaged_store_answers_minus_one(path: Path) -> None:
    run(path, 0)
    assert claim(path, last=-1) is None
    assert claim(path, last=0) is None


def test_a_later_record_never_sinks(path: Path) -> None:
    run(path, 10, 4)
    assert claim(path, last=9) is None


def test_a_new_actor_replaces_the_old_one(path: Path) -> None:
    run(path, 10)
    witness = Witness(path, STORE, BOOT)
    assert witness.claim(on_disk((NONCE, 10))) == NONCE
    witness.record(7, 1)
    witness.close()
    witness = Witness(path, STORE, BOOT)
    assert witness.claim(on_disk((NONCE, 10), (7, 1))) == 7
    witness.close()


@pytest.mark.parametrize("length", range(SIZE))
def test_a_torn_record_proves_nothing(path: Path, length: int) -> None:
    run(path, 10)
    path.write_bytes(path.read_bytes()[:length])
    assert claim(path) is None


def test_a_record_torn_over_the_one_before_proves_nothing(path: Path) -> None:
    run(path, 10)
    before = path.read_bytes()
    run(path, 1 << 40)
    after = path.read_bytes()
    changed = [place for place in range(SIZE) if before[place] != after[place]]
    for length in range(changed[0] + 1, changed[-1]):
        path.write_bytes(after[:length] + before[length:])
        if path.read_bytes() not in (before, after):
            assert claim(path, last=1 << 41) is None


@pytest.mark.parametrize("place", range(0, SIZE, 3))
def test_a_changed_byte_proves_nothing(path: Path, place: int) -> None:
    run(path, 10)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert claim(path) is None


def test_a_longer_file_proves_nothing(path: Path) -> None:
    run(path, 10)
    path.write_bytes(path.read_bytes() + b"x")
    assert claim(path) is None


def test_an_unwritable_run_directory_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        witness = Witness(tmp_path / "nowhere" / "witness", STORE, BOOT)
        assert witness.claim(on_disk((NONCE, 10))) is None
        witness.record(NONCE, 11)
        witness.record(NONCE, 12)
        witness.close()
    assert len(caplog.records) == 1
    assert "make the run directory writable" in caplog.text


def test_a_record_that_cannot_be_renewed_is_taken_back(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    witness = Witness(path, STORE, BOOT)
    witness.record(NONCE, 10)
    # The same descriptor, suddenly read-only: as if the file system had been remounted.
    read_only = os.open(path, os.O_RDONLY)
    os.dup2(read_only, witness._fd)
    os.close(read_only)
    with caplog.at_level(logging.WARNING):
        witness.record(NONCE, 11)
        witness.record(NONCE, 12)
    assert len(caplog.records) == 1
    assert not path.exists()
    assert claim(path) is None


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    run(path, 10)
    assert victim.read_text() == "precious"


def test_a_removed_file_makes_a_new_actor(path: Path) -> None:
    witness = Witness(path, STORE, BOOT)
    witness.record(NONCE, 10)
    path.unlink()
    witness.record(NONCE, 11)
    witness.close()
    assert claim(path, last=11) is None


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="other systems have no name for a boot")
def test_this_system_names_its_boot() -> None:
    first = boot_id()
    assert first is not None
    assert len(first) >= 32
    assert boot_id() == first


def test_a_system_that_names_no_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("daemon.witness.LINUX_BOOT_ID", tmp_path / "absent")
    assert boot_id() is None
    (tmp_path / "absent").write_text("\n")
    assert boot_id() is None


# -- with a real store -------------------------------------------------------------------------------------------


class Daemon:
    """One life: opens the store, finds out who it is, writes and sends."""

    def __init__(self, data: Path, run: Path, fresh: int) -> None:
        self.store = Store.open(data, "default")
        loaded = self.store.load()
        vv = dict(loaded.checkpoint_vv)
        for frame in loaded.log:
            vv[frame.actor] = frame.last
        self.witness = Witness(run / "default.witness", self.store.identity, BOOT)
        nonce = self.witness.claim(lambda nonce: vv.get(Actor("ada", nonce), 0))
        self.continued = nonce is not None
        self.me = Actor("ada", fresh if nonce is None else nonce)
        self.seq = vv.get(self.me, 0)

    def write(self, count: int, send: bool = True) -> None:
        for _ in range(count):
            self.seq += 1
            self.store.commit([LogFrame(self.me, self.seq, self.seq, b"%d" % self.seq)])
        if send:
            self.witness.record(self.me.nonce, self.seq)

    def kill(self) -> None:
        self.witness.close()
        self.store.close()


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "run").mkdir()
    first = Daemon(tmp_path / "data", tmp_path / "run", fresh=1)
    assert not first.continued
    first.write(5)
    first.kill()
    return tmp_path / "data", tmp_path / "run"


def continues(data: Path, run: Path) -> bool:
    daemon = Daemon(data, run, fresh=2)
    daemon.kill()
    return daemon.continued


def test_a_restarted_daemon_is_itself(places: tuple[Path, Path]) -> None:
    data, run = places
    for _ in range(2):
        daemon = Daemon(data, run, fresh=2)
        assert (daemon.continued, daemon.me.nonce) == (True, 1)
        daemon.write(3)
        daemon.write(2, send=False)
        daemon.kill()
    assert continues(data, run)


def test_a_copied_directory_is_not(places: tuple[Path, Path]) -> None:
    data, run = places
    shutil.copytree(data, data.parent / "copy")
    assert not continues(data.parent / "copy", run)
    # It took the witness away from the original, which is then a new actor too: 20 bytes, and never wrong.
    assert not continues(data, run)


def test_a_restored_backup_is_not(places: tuple[Path, Path]) -> None:
    data, run = places
    shutil.copytree(data, data.parent / "backup")
    shutil.rmtree(data)
    shutil.copytree(data.parent / "backup", data)
    assert not continues(data, run)


def test_a_file_rolled_back_in_place_is_not(places: tuple[Path, Path]) -> None:
    data, run = places
    earlier = (data / "default.db").read_bytes()
    daemon = Daemon(data, run, fresh=2)
    daemon.write(1)
    daemon.kill()
    with (data / "default.db").open("r+b") as file:  # the same inode
        file.truncate(0)
        file.write(earlier)
    assert not continues(data, run)


def test_a_lost_wal_is_not(places: tuple[Path, Path]) -> None:
    data, run = places
    daemon = Daemon(data, run, fresh=2)
    daemon.write(1)
    database = (data / "default.db").read_bytes()  # before anything is folded into it
    daemon.kill()
    with (data / "default.db").open("r+b") as file:
        file.truncate(0)
        file.write(database)
    assert not continues(data, run)


def test_a_store_aside_and_a_new_one_is_not(places: tuple[Path, Path]) -> None:
    data, run = places
    Store.set_aside(data, "default", successor(data))
    assert not continues(data, run)


def test_witnesses_of_other_boots_are_swept(tmp_path: Path) -> None:
    identity = Identity(b"d" * 16, 1, 2, 3)
    for name, boot in (("before", "boot 1"), ("now", "boot 2")):
        witness = Witness(tmp_path / f"{name}.witness", identity, boot)
        witness.record(7, 1)
        witness.close()
    (tmp_path / "torn.witness").write_bytes(b"GW")
    (tmp_path / "empty.witness").touch()
    (tmp_path / "a.sock").touch()
    assert sweep(tmp_path, None) == 0
    assert sweep(tmp_path, "boot 2") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.sock", "empty.witness", "now.witness"]
