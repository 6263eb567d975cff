"""`python -m bench.pinger SOCKET`: PING every millisecond until stdin closes; prints the longest wait and the 99th
percentile in ms. A process of its own, so that whoever makes the load does not hold it up.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType


class Pinger:
    """Runs this module as a child while entered; `worst` and `p99` (ms) are known afterwards."""

    def __init__(self, path: Path) -> None:
        self.worst = self.p99 = 0.0
        self._command = [sys.executable, "-m", "bench.pinger", str(path)]

    def __enter__(self) -> Pinger:
        self._child = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        self._child.stdout.readline()  # it has had its first answer
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        out, _ = self._child.communicate(timeout=30)
        if error is None:
            self.worst, self.p99 = map(float, out.split())


def main(path: str) -> None:
    """See the module."""
    waits = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.settimeout(60)
        while True:
            began = time.perf_counter()
            sock.sendall(b"*1\r\n$4\r\nPING\r\n")
            if sock.recv(64) != b"+PONG\r\n":
                raise RuntimeError("no answer to PING")
            waits.append((time.perf_counter() - began) * 1000)
            if len(waits) == 1:
                print("ready", flush=True)
            if select.select([sys.stdin], [], [], 0.001)[0]:
                break
    waits.sort()
    print(waits[-1], waits[int(len(waits) * 0.99)])


if __name__ == "__main__":
    main(sys.argv[1])
