"""Everything of a demo that has to be ended again: folder, network, daemons, agents, observers.

Knows: what belongs together. Promises: leaving ends every process and thread and removes the folder, or keeps the
folder if it is told to. Must not know: phases.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType

from daemon.demo.agent import Agent
from daemon.demo.ledger import Ledger
from daemon.demo.network import Network
from daemon.demo.observer import Glimpse, Inspector, Observer
from daemon.demo.plan import Plan
from daemon.demo.process import STOP_WITHIN, Daemon

_LONGEST_SOCKET = 100
"""Bytes; the systems allow 104 and more."""


class Stage:
    """A context manager: entering makes the network and the folder and starts nothing else."""

    def __init__(self, plan: Plan) -> None:
        """Raises EmbeddedBrokerMissing."""
        self.plan = plan
        self.ledger = Ledger()
        self.keep = False
        """Whether the folder stays, for a look at the logs."""
        self.network = Network(plan.replicas)
        self.folder = _folder(max(plan.replicas, key=len))
        self.daemons: dict[str, Daemon] = {}
        self.agents: dict[str, Agent] = {}
        self.inspectors: dict[str, Inspector] = {}
        self._observers: dict[str, Observer] = {}
        self._log: logging.Handler | None = None

    def __enter__(self) -> Stage:
        try:
            self._catch_log()
            self.network.start()
            for name in self.plan.replicas:
                daemon = self.daemons[name] = Daemon(name, self.network.url(name), self.folder)
                self.inspectors[name] = Inspector(name, daemon.socket)
                self._observers[name] = Observer(name, daemon.socket)
            for name, replica in self.plan.agents.items():
                socket = self.daemons[replica].socket
                self.agents[name] = Agent(name, replica, socket, self.ledger, self.plan.seed)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def start_daemons(self) -> None:
        """Starts the processes, and who watches them."""
        for daemon in self.daemons.values():
            daemon.start()
        for observer in self._observers.values():
            observer.start()

    def start_agents(self) -> None:
        """The work begins."""
        for agent in self.agents.values():
            agent.start()

    def stop_agents(self) -> None:
        """The work ends; they finish what they are at, see `working`."""
        for agent in self.agents.values():
            agent.stop()

    def working(self) -> bool:
        """Whether an agent is still at something."""
        return any(agent.is_alive() for agent in self.agents.values())

    def failure(self) -> str | None:
        """What an agent stumbled over, if one did. Raises DaemonFailed if a daemon ended by itself."""
        for daemon in self.daemons.values():
            daemon.check()
        return next((agent.failure for agent in self.agents.values() if agent.failure), None)

    def glimpses(self) -> dict[str, Glimpse]:
        """The latest of each replica."""
        return {name: observer.glimpse for name, observer in self._observers.items()}

    def _catch_log(self) -> None:
        """What the broker's library logs goes to a file, not across the picture."""
        self._log = logging.FileHandler(self.folder / "demo.log", encoding="utf-8")
        self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logging.getLogger().addHandler(self._log)

    def _end(self) -> None:
        self.stop_agents()
        for observer in self._observers.values():
            observer.stop()
        for daemon in self.daemons.values():
            daemon.terminate()
        deadline = time.monotonic() + STOP_WITHIN
        for daemon in self.daemons.values():
            daemon.stop(deadline)
        for inspector in self.inspectors.values():
            inspector.close()
        self.network.stop()
        if self._log is not None:
            logging.getLogger().removeHandler(self._log)
            self._log.close()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def _folder(longest_name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="gossamer-demo-"))
    if len(str(folder / f"{longest_name}.sock").encode()) > _LONGEST_SOCKET:
        # A socket's path is short, and some temporary directories are not.
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="gossamer-demo-", dir="/tmp"))
    return folder
