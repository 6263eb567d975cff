"""What the machine says: who runs us, the host's name, and where sockets, data and the configuration file belong.

Knows: API rules for RUN and STATE, and the XDG variables. Promises: looks, and creates nothing but in `make_run_dir`.
Must not know: settings.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts defaults depend on. Tests make their own; everybody else calls `here`."""

    uid: int
    host: str
    terminal: bool
    """Whether standard error, where the log goes, is a terminal."""
    root: Path = Path("/")
    """Where /run, /var and /etc are."""

    @classmethod
    def here(cls) -> Machine:
        """This process on this machine."""
        return cls(os.getuid(), socket.gethostname(), sys.stderr.isatty())

    def run_dir(self, environ: Mapping[str, str]) -> Path:
        """RUN: where sockets are."""
        system = self.root / "run" / "gossamer"
        if self._ours(system):
            return system
        runtime = _directory(environ, "XDG_RUNTIME_DIR")
        return runtime / "gossamer" if runtime else self._temporary(environ)

    def _temporary(self, environ: Mapping[str, str]) -> Path:
        return Path(environ.get("TMPDIR") or "/tmp") / f"gossamer-{self.uid}"

    def state_dir(self, environ: Mapping[str, str]) -> Path:
        """STATE: where data is kept, a directory per replica."""
        system = self.root / "var" / "lib" / "gossamer"
        if self._ours(system):
            return system
        return (_directory(environ, "XDG_STATE_HOME") or _home(environ) / ".local" / "state") / "gossamer"

    def config_file(self, environ: Mapping[str, str]) -> Path:
        """The file read if nobody names another; it need not exist."""
        if self.uid == 0:
            return self.root / "etc" / "gossamer" / "gossamer.toml"
        return (_directory(environ, "XDG_CONFIG_HOME") or _home(environ) / ".config") / "gossamer" / "gossamer.toml"

    def _ours(self, system: Path) -> bool:
        # Root makes the directory below /run or /var/lib; where there is no such parent (macOS has no /run), root is
        # a user like others.
        return (self.uid == 0 and system.parent.is_dir()) or (system.is_dir() and os.access(system, os.W_OK | os.X_OK))


def _directory(environ: Mapping[str, str], variable: str) -> Path | None:
    """XDG says that relative paths in its variables are to be ignored."""
    value = Path(environ.get(variable, ""))
    return value if value.is_absolute() else None


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def make_run_dir(path: Path, uid: int) -> None:
    """Makes RUN with mode 0700, or 0755 as root, whose sockets a group may use. Raises ConfigError if it cannot, or as
    `check_run_dir` does.
    """
    system = uid == 0 and path.name == "gossamer"
    try:
        path.mkdir(mode=0o755 if system else 0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}; name another place with --socket") from None
    check_run_dir(path, uid)


def check_run_dir(path: Path, uid: int) -> None:
    """Raises ConfigError if `path` is a directory in a shared place that another user could have put there to catch our
    connections.

    Only the fall-back below the temporary directory is such a place; its name tells.
    """
    if path.name != f"gossamer-{uid}":
        return
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise ConfigError(
            f"{path} is not a directory of ours with mode 0700, so somebody else could listen there: "
            "remove it, or name another place with --socket"
        )
