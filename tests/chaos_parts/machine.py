"""What of this machine a fault needs: disks that fill up, clocks that are wrong.

Knows: tmpfs (root alone may mount one), how a daemon is started. Promises: says whether disks can fill up here; what it
mounted is unmounted by `release`. Must not know: when, whose.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
from pathlib import Path

from tests.daemon.processes import GOSSAMER

_SIZE = "96m"
_CHUNK = bytes(1 << 16)
_BALLAST = "ballast"
_SKEWED = """
import mmap, os, struct, time
clock = mmap.mmap(os.open({file!r}, os.O_RDONLY), 8, prot=mmap.PROT_READ)
right, off = time.time_ns, struct.Struct("q").unpack_from
time.time_ns = lambda: right() + off(clock)[0]
time.time = lambda: time.time_ns() / 1e9
"""


class Disks:
    """A small disk for each name below `folder`; plain folders where none can be mounted, and `real` says so."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._paths = {name: folder / "disks" / name for name in names}
        self._mounted: list[Path] = []
        for path in self._paths.values():
            path.mkdir(parents=True)
            if os.geteuid() == 0 and _runs("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(path)):
                self._mounted.append(path)
        self.real = len(self._mounted) == len(names)

    def path(self, name: str) -> Path:
        """Where it is."""
        return self._paths[name]

    def fill(self, name: str) -> None:
        """Until not a byte more fits."""
        with (self._paths[name] / _BALLAST).open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(_CHUNK)

    def empty(self, name: str) -> None:
        """There is room again."""
        (self._paths[name] / _BALLAST).unlink(missing_ok=True)

    def release(self) -> None:
        """Unmount; what was on them is gone."""
        for path in self._mounted:
            _runs("umount", "-l", str(path))


class Clock:
    """The clock of one daemon: by how much it is off is in a file that the daemon has mapped.

    libfaketime would leave the program alone, but with it a daemon stands still for seconds now and then, even
    while the time it shows is right.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0.0)

    def set(self, skew: float) -> None:
        """Wrong by that many seconds; 0 is right."""
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("q", round(skew * 1e9)))

    def program(self) -> tuple[str, ...]:
        """A daemon whose wall clock is this one; the monotonic clock stays the machine's."""
        return (sys.executable, "-P", "-c", _SKEWED.format(file=str(self._file)) + GOSSAMER[-1])


def _runs(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
