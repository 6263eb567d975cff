"""A node in this process; its broker is not there unless one is named. What it changes in the process is undone."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config.load import load
from config.settings import Settings
from daemon.node import Node
from tests.daemon.processes import free_port
from tests.daemon.spaces import until


def settings(folder: Path, **flags: object) -> Settings:
    """As `gossamer run` would have them with these flags."""
    nobody = f"mqtt://127.0.0.1:{free_port()}"
    given: dict[str, object] = {
        "config": os.devnull, "name": "a", "broker": (nobody,), "socket": str(folder / "a.sock"),
        "data_dir": str(folder / "data"), "interval": "10ms", "heartbeat": "100ms",
    }  # fmt: skip
    return load(given | flags, {}).settings


@asynccontextmanager
async def a_folder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A short path, which is RUN too."""
    folder = Path(tempfile.mkdtemp(prefix="gs", dir="/tmp"))
    monkeypatch.setattr("config.machine.Machine.run_dir", lambda self, environ: folder / "run")
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def running(given: Settings, ready: bool = True) -> AsyncIterator[Node]:
    """A node that serves, and is stopped in order at the end."""
    node = Node(given)
    task = asyncio.create_task(node.run())
    try:
        if ready:
            await until(lambda: node.loading is None or task.done(), "it to be ready")
            if task.done():
                task.result()
        yield node
    finally:
        node.stop()
        await asyncio.wait((task,), timeout=10)
        gc.enable()
        gc.unfreeze()


async def ask(path: Path, *words: str) -> bytes:
    """One inline command on a new connection; the first line of the reply."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(" ".join(words).encode() + b"\r\n")
        return await asyncio.wait_for(reader.readline(), 10)
    finally:
        writer.close()


async def get(port: int, path: str) -> tuple[int, str, Any]:
    """Status, body and headers of an HTTP request."""
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text(), answer.headers
