"""What of this machine a fault needs: disks that fill up, clocks that are wrong.

Knows: tmpfs (root alone may mount one), libfaketime. Promises: says which faults are possible here; what it mounted is
unmounted by `release`. Must not know: daemons.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

_SIZE = "96m"
_CHUNK = bytes(1 << 16)
_BALLAST = "ballast"
FAKETIME = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
"""The library that shows a program another time (Debian: libfaketime); None where it is not installed."""


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
    """The clock of one daemon, in a file that libfaketime reads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0.0)

    def set(self, skew: float) -> None:
        """Wrong by that many seconds; 0 is right."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{skew:+.0f}\n")
        fresh.replace(self._file)

    def environ(self) -> dict[str, str]:
        """What a program that goes by it needs; the monotonic clock stays the machine's."""
        if FAKETIME is None:
            return {}
        return {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


def _runs(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
