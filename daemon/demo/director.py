"""Runs a plan on a stage: together, parted, killed, healed, and the account at the end.

Knows: what happens when, and what to wait for. Promises: waits on conditions, each with a deadline; the picture moves
on while it waits. Must not know: how anything is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from daemon.demo.plan import Phase
from daemon.demo.scene import Scene, View
from daemon.demo.stage import Stage
from daemon.demo.verdict import Verdict, judge

START_WITHIN = 60.0
"""Seconds for all daemons to serve; Python on a busy machine takes a while to begin."""
FINISH_WITHIN = 40.0
"""Seconds for the agents to finish what they are at: longer than one of them waits for its daemon."""
SETTLE_WITHIN = 60.0
"""Seconds for all replicas to become equal once nobody writes; a daemon may wait 30 s before it tries the broker."""
LOOK_WITHIN = 3.0
"""Seconds for a new glimpse of each replica, after it has heard from every peer."""
_TICK = 0.05


class DemoFailed(Exception):
    """It could not be carried through; the text says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    verdict: Verdict
    heal_seconds: float | None
    """From the heal until everything acknowledged before it was everywhere, while the agents wrote on; None: never."""
    settle_seconds: float
    """From the last write until all replicas were equal, or until that was given up."""
    writes: int
    """Acknowledged commands and transactions."""
    unsure: int
    """Those whose reply was lost."""


class Director:
    """One run. `run` does it all."""

    def __init__(self, stage: Stage, view: View) -> None:
        self._stage = stage
        self._plan = stage.plan
        self._view = view
        self._began = time.monotonic()
        self._phase = Phase.START
        self._phase_began = self._began
        self._cut = False
        self._healed_at = 0.0
        self._owed: list[tuple[str, bytes]] = []
        self._heal_seconds: float | None = None

    def run(self) -> Outcome:
        """Raises DemoFailed and DaemonFailed."""
        self._start()
        self._together()
        self._part()
        self._kill()
        self._heal()
        settle_seconds = self._settle()
        disputed = self._resolve(SETTLE_WITHIN if self._all_equal() else 0.0)
        readings = [inspector.read(disputed[name]) for name, inspector in self._stage.inspectors.items()]
        verdict = judge(self._stage.ledger, readings, self._plan.verdict)
        ledger = self._stage.ledger
        return Outcome(verdict, self._heal_seconds, settle_seconds, ledger.writes, ledger.unsure)

    # The phases.

    def _start(self) -> None:
        stage, plan = self._stage, self._plan
        self._say(f"starting a broker and {len(plan.replicas)} daemons, each with a socket and a disk of its own")
        stage.start_daemons()
        for daemon in stage.daemons.values():
            self._must(daemon.ready, START_WITHIN, f"{daemon.name} does not serve after {START_WITHIN:.0f} s")
        self._must(self._all_see_all, START_WITHIN, "the daemons do not find each other through the broker")
        self._say("all daemons serve and see each other")

    def _together(self) -> None:
        plan = self._plan
        self._begin(Phase.TOGETHER)
        self._say(f"{len(plan.agents)} agents add tasks, claim them, do them and count them")
        self._stage.start_agents()
        self._until_phase_ends()

    def _part(self) -> None:
        plan = self._plan
        self._begin(Phase.PARTED)
        for name, how in plan.cuts.items():
            self._stage.network.cut(name, how)
        self._cut = True
        far = " and ".join(f"{name} ({how.value})" for name, how in plan.cuts.items())
        self._say(f"the network is cut: {far} from {', '.join(plan.near)}; everybody writes on")
        near_agent, far_agent = plan.agent_of(plan.near[0]), plan.agent_of(plan.victim)
        for agent, mood in ((near_agent, plan.moods[0]), (far_agent, plan.moods[1])):
            self._stage.agents[agent].decide(mood)
        ledger = self._stage.ledger
        self._must(lambda: len(ledger.settings) == 2, START_WITHIN, "the disputed setting could not be written")
        moods = f"{near_agent} beside {plan.near[0]} sets the mood to {plan.moods[0]!r}, "
        self._say(f"{moods}{far_agent} beside {plan.victim} to {plan.moods[1]!r}")
        self._until_phase_ends()

    def _kill(self) -> None:
        daemon = self._stage.daemons[self._plan.victim]
        self._begin(Phase.KILLED)
        pid = daemon.kill()
        self._say(f"kill -9 of {daemon.name} (pid {pid}), with writes that are on its disk alone")
        at = time.monotonic()
        daemon.start()
        self._must(daemon.ready, START_WITHIN, f"{daemon.name} does not serve {START_WITHIN:.0f} s after its kill")
        self._say(f"{daemon.name} serves again after {time.monotonic() - at:.1f} s, still cut off")
        self._until_phase_ends()

    def _heal(self) -> None:
        self._begin(Phase.HEALED)
        tokens = {name: inspector.token() for name, inspector in self._stage.inspectors.items()}
        self._owed = [(name, token) for token in tokens.values() for name in tokens if token != tokens[name]]
        self._stage.network.heal()
        self._cut = False
        self._healed_at = time.monotonic()
        self._say("the network is whole again; everybody writes on")
        self._until_phase_ends()

    def _settle(self) -> float:
        """Seconds from the last write until all are equal."""
        self._begin(Phase.SETTLE)
        self._stage.stop_agents()
        self._must(lambda: not self._stage.working(), FINISH_WITHIN, "an agent does not finish")
        self._say(f"the agents have stopped: {self._stage.ledger.writes} writes were acknowledged")
        at = time.monotonic()
        equal = self._until(self._all_equal, SETTLE_WITHIN)
        seconds = time.monotonic() - at
        self._until(lambda: self._heal_seconds is not None, 0.0 if not equal else SETTLE_WITHIN)
        self._say(f"all replicas are equal after {seconds:.1f} s" if equal else f"not equal after {seconds:.0f} s")
        return seconds

    def _resolve(self, within: float) -> dict[str, frozenset[str]]:
        """Settles the dispute on one replica, and gives the others some seconds; what each said of it before."""
        plan, inspectors = self._plan, self._stage.inspectors
        self._begin(Phase.RESOLVE)
        disputes = {name: inspector.dispute() for name, inspector in inspectors.items()}
        judge_name = plan.near[0]
        context, values = disputes[judge_name]
        self._say(f"MV.GET on {judge_name} shows both moods: {', '.join(values)}; MV.SET settles it: {plan.verdict}")
        inspectors[judge_name].settle(plan.verdict, context)
        if self._until(self._all_equal, within):
            # The last picture stays on the screen: let it show what is true.
            final = inspectors[judge_name].hash()
            self._until(lambda: self._scene().shows(final), LOOK_WITHIN)
        return {name: frozenset(values) for name, (_, values) in disputes.items()}

    # Conditions.

    def _all_see_all(self) -> bool:
        glimpses = self._stage.glimpses().values()
        return all(
            sum(peer.state == "online" for peer in glimpse.peers) == len(self._plan.replicas) - 1
            for glimpse in glimpses
        )

    def _all_equal(self) -> bool:
        return len({inspector.hash() for inspector in self._stage.inspectors.values()}) == 1

    def _collect(self) -> None:
        """Crosses off who has got, since the heal, what the others had acknowledged before it."""
        if self._owed:
            self._owed = [(name, token) for name, token in self._owed if not self._stage.inspectors[name].has(token)]
        if not self._owed and self._heal_seconds is None:
            self._heal_seconds = time.monotonic() - self._healed_at
            self._say(f"everything written before the heal is everywhere, {self._heal_seconds:.1f} s after it")

    # Time.

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _begin(self, phase: Phase) -> None:
        self._phase, self._phase_began = phase, time.monotonic()
        self._show()

    def _budget(self) -> float:
        return self._phase.share * self._plan.seconds

    def _until_phase_ends(self) -> None:
        self._until(lambda: False, self._phase_began + self._budget() - time.monotonic())

    def _must(self, condition: Callable[[], bool], within: float, otherwise: str) -> None:
        if not self._until(condition, within):
            raise DemoFailed(otherwise)

    def _until(self, condition: Callable[[], bool], within: float) -> bool:
        """Waits for a condition, at most `within` seconds; the show goes on meanwhile."""
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_TICK)
            if self._healed_at:
                self._collect()
            failure = self._stage.failure()
            if failure:
                raise DemoFailed(failure)
            self._show()
        return True

    def _say(self, text: str) -> None:
        self._view.say(self._elapsed(), text)
        self._show()

    def _show(self) -> None:
        self._view.show(self._scene())

    def _scene(self) -> Scene:
        budget = self._budget()
        ledger = self._stage.ledger
        return Scene(
            plan=self._plan,
            phase=self._phase,
            elapsed=self._elapsed(),
            progress=min(1.0, (time.monotonic() - self._phase_began) / budget) if budget else 0.0,
            glimpses=self._stage.glimpses(),
            cut=self._cut,
            writes=ledger.writes,
            unsure=ledger.unsure,
        )
