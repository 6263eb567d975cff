"""The witness: what tells a restarted daemon that it continues its own history.

Knows: the boot of this machine, and the one small file in the run directory, outside the data directory.
Promises: `claim` names a nonce only if this very file, on this boot, was the last to record it and the store still
holds every own operation that was ever handed to the transport or named to a client. Whatever is missing, torn, foreign
or unwritable ends in None: a new actor, which costs 20 bytes and is always right.
Must not know: frames, peers, how a nonce is drawn.

Why outside: a backup, a copy or a rolled-back disk holds everything inside the data directory, proofs included. A
kill -9 keeps both places, and nothing else does: a reboot changes the boot id, a copy or a restore the inode, and a
file rolled back in place ends below the recorded number. No fsync is needed, because a power cut is a reboot.
"""

from __future__ import annotations

import logging
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from xxhash import xxh3_64_digest, xxh3_128_digest

from crdt.dots import MASK_64
from daemon.store_file import Identity

log: Final = logging.getLogger(__name__)

LINUX_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
MAGIC: Final = b"GWT1"
# magic, boot (128-bit hash of the kernel's text), database id, device, inode, generation, nonce, seq
RECORD: Final = struct.Struct(">4s16s16sQQQQQ")
SIZE: Final = RECORD.size + 8  # and a checksum of 64 bits


class Witness:
    """The file of one store. `claim` once, then `record` before every send, from one thread."""

    def __init__(self, path: Path, identity: Identity, boot: str | None) -> None:
        """`boot`: what `boot_id` says; None makes every claim fail and every record a no-op."""
        self._path = path
        self._head = b"" if boot is None else xxh3_128_digest(boot.encode()) + identity.database_id
        self._place = tuple(number & MASK_64 for number in (identity.device, identity.inode, identity.generation))
        self._fd = -1
        self._recorded = (-1, -1)
        if boot is None:
            log.info("this system names no boot: every start is a new actor")
            return
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            self._give_up(error)

    def claim(self, last: Callable[[int], int]) -> int | None:
        """The nonce to go on with, None for "be a new actor". `last(nonce)`: the last own seq on disk under it.

        The index of the store may answer, before anything is replayed: where the replay then finds less, the caller is
        a new actor and records that, and a crash before it has leaves a record above what is on disk. A record that
        proves nothing is erased: the disk may catch up with it later, by what peers know of the old actor, and must not
        make it true again.
        """
        if self._fd < 0:
            return None
        try:
            record = self._decode(os.pread(self._fd, SIZE + 1, 0))
            if record is not None and record[1] <= last(record[0]):
                self._write(*record)  # a run directory that has become read-only shows here
                return record[0]
            os.ftruncate(self._fd, 0)
        except OSError as error:
            self._give_up(error)
        return None

    def record(self, nonce: int, seq: int) -> None:
        """Own operations up to `seq` are about to leave, or to be named: one small write, none if that is not news."""
        if self._fd < 0 or (nonce == self._recorded[0] and seq <= self._recorded[1]):
            return
        try:
            self._write(nonce, seq)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Keep the file for the next start. Idempotent; afterwards `record` does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, nonce: int, seq: int) -> None:
        record = RECORD.pack(MAGIC, self._head[:16], self._head[16:], *self._place, nonce, seq)
        if os.pwrite(self._fd, record + xxh3_64_digest(record), 0) != SIZE:
            raise OSError("the record was written in part")
        self._recorded = (nonce, seq)

    def _decode(self, data: bytes) -> tuple[int, int] | None:
        """(nonce, seq) of a whole record that was written on this boot for this very store."""
        if len(data) != SIZE or xxh3_64_digest(data[: RECORD.size]) != data[RECORD.size :]:
            return None
        magic, boot, database_id, *place, nonce, seq = RECORD.unpack_from(data)
        if magic != MAGIC or boot + database_id != self._head or tuple(place) != self._place:
            return None
        return nonce, seq

    def _give_up(self, error: OSError) -> None:
        # A record that could not be renewed must not be believed by the next start. If it can be neither emptied nor
        # removed, the run directory has become read-only in the middle of a run, and a claim begins with a write.
        if self._fd >= 0:
            with suppress(OSError):
                os.ftruncate(self._fd, 0)
            self.close()
        with suppress(OSError):
            self._path.unlink()
        log.warning(
            "cannot write %s (%s): the next start will be a new actor; make the run directory writable to avoid it",
            self._path,
            error.strerror or error,
        )


def sweep(run: Path, boot: str | None) -> int:
    """Remove the witnesses of other boots from the run directory: they prove nothing any more. How many went."""
    if boot is None:
        return 0
    mark = MAGIC + xxh3_128_digest(boot.encode())
    gone = 0
    for path in run.glob("*.witness"):
        with suppress(OSError):
            with path.open("rb") as file:
                if file.read(len(mark)) in (mark, b""):  # an empty one may be about to be written
                    continue
            path.unlink()
            gone += 1
    return gone


def boot_id() -> str | None:
    """What the kernel calls this boot; None where it has no name."""
    try:
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            text = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
        else:
            text = LINUX_BOOT_ID.read_text()
    except (OSError, subprocess.SubprocessError):
        return None
    return text.strip() or None
