"""How to do one thing of the core wrongly: every variant here must be caught by the random histories of test_laws.py.

Knows: the insides of what it spoils, and what has to happen often for that to show. Must not know: how it is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from crdt import codec, frame, places, ranges
from crdt.applying import Applying
from crdt.dots import SEQ_MASK, Actor, Runs
from crdt.entry import GONE, Leaving
from crdt.frame import Frame
from crdt.joining import Joining
from crdt.rows import NO_DOT, ActorRows
from crdt.state import State
from crdt.types import amounts, expiry, jsonnode, jsontree, lists, number, numberwire, sets
from crdt.types.number import Number
from crdt.types.strings import StringEntry
from tests.crdt import acts as do
from tests.crdt import histories, json_model
from tests.crdt.histories import Site, World

Mistake = Callable[[pytest.MonkeyPatch], None]
MISTAKES: dict[str, tuple[Mistake, dict[str, Any]]] = {}


def mistake(wrong: Mistake) -> Mistake:
    """Register a variant that must be caught."""
    MISTAKES[wrong.__name__] = (wrong, {})
    return wrong


def mistake_in(**world: Any) -> Callable[[Mistake], Mistake]:
    """The same, for one that shows only where something rare is frequent."""

    def register(wrong: Mistake) -> Mistake:
        MISTAKES[wrong.__name__] = (wrong, world)
        return wrong

    return register


@mistake
def no_causal_hold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "ready", lambda self, one: one.first - 1 <= self.applied(one.actor))


@mistake
def a_gap_in_an_author_is_skipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "ready", lambda self, one: all(self.applied(a) >= n for a, n in one.deps.items()))


@mistake
def merge_drops_removes(patch: pytest.MonkeyPatch) -> None:
    merge = frame.merge

    def wrong(parts: list[Frame]) -> Frame:
        one = merge(parts)
        own = [seq for seq in one.removes.pop(one.actor, ()) if seq < one.first]
        if own:
            one.removes[one.actor] = Runs(own)
        return one

    patch.setattr(frame, "merge", wrong)


@mistake
def merge_keeps_what_it_removes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(frame, "_survivors", lambda group, gone, ranges: group)


@mistake
def merge_ignores_ranges(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(frame, "_ranged", lambda path, group, i: False)


@mistake_in(acts=[do.add_member, do.remove_member], cut=200, pull=400, deliver=20)
def merge_over_what_was_seen(patch: pytest.MonkeyPatch) -> None:
    def wrong(parts: list[bytes]) -> list[bytes]:
        runs: list[list[Frame]] = []
        for one in map(codec.decode_frame, parts):
            if runs and runs[-1][-1].actor == one.actor and runs[-1][-1].last == one.first - 1:
                runs[-1].append(one)
            else:
                runs.append([one])
        return [codec.encode_frame(frame.merge(run)) for run in runs]

    patch.setattr(histories, "merged", wrong)


@mistake
def a_part_that_is_known_is_added_again(patch: pytest.MonkeyPatch) -> None:
    add = Applying.add
    patch.setattr(Applying, "add", lambda self, owner, groups, above: add(self, owner, groups, 0))


@mistake
def range_takes_counters(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ranges, "ranged", lambda raw: True)
    patch.setattr(frame, "plain", lambda payload: True)


@mistake
def range_takes_what_it_has_not_seen(patch: pytest.MonkeyPatch) -> None:
    found = Applying._in_range

    def wrong(self: Applying, path: tuple[bytes, ...], vector: Mapping[Actor, int]) -> Any:
        return found(self, path, {**vector, **dict.fromkeys(vector, 1 << 40)})

    patch.setattr(Applying, "_in_range", wrong)


@mistake
def what_is_replaced_stays_in_the_hash(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: StringEntry, st: State, name: bytes | None, payload: Any, dot: int, leaving: Leaving) -> bool:
        if self.dot in leaving.places:
            self.value, self.dot = None, -1
        self.insert(st, None, payload, dot)
        return False

    patch.setattr(StringEntry, "swap", wrong)


@mistake
def what_two_remove_at_once_is_taken_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ActorRows, "restore", lambda self, dot, entry, name: None)


@mistake
def set_takes_the_counts_themselves(patch: pytest.MonkeyPatch) -> None:
    assign = Number.assign

    def wrong(self: Number, st: State, entry: Any, name: bytes | None, value: bytes) -> int:
        self._retire(st, entry, name, list(self.counts))
        self.mine = 0
        return assign(self, st, entry, name, value)

    patch.setattr(Number, "assign", wrong)


@mistake
def set_forgets_what_was_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Number, "_observed", lambda self, st: {})


@mistake
def deletion_leaves_no_baseline(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Number, st: State, entry: Any, name: bytes | None) -> None:
        if self._retire(st, entry, name, [*self.sets, *self.counts]):
            st.gap()
        self.mine = 0
        self._shown = number.UNKNOWN

    patch.setattr(Number, "erase", wrong)


@mistake_in(acts=[do.put, do.count, do.delete])
def live_lineage_starts_anew(patch: pytest.MonkeyPatch) -> None:
    increase = Number.increase

    def wrong(self: Number, st: State, entry: Any, name: bytes | None, by: Any, after: Any) -> None:
        mine, base = self.mine, self.known(st)
        count = self.counts.get(mine, (numberwire.COUNT, 0, 0))
        lineage = number._lineage(mine, count)
        if lineage in base:
            left = amounts.minus(count[2], base[lineage][1])
            self._retire(st, entry, name, [mine])
            dot = st.add(entry, name)
            self.counts[dot] = (numberwire.COUNT, dot & SEQ_MASK, amounts.plus(left, by))
            self.mine, self._shown = dot, number.UNKNOWN
        else:
            increase(self, st, entry, name, by, after)

    patch.setattr(Number, "increase", wrong)


@mistake
def baselines_of_live_lineages_are_dropped(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Number, st: State, entry: Any, name: bytes | None) -> None:
        dead = [dot for dot, base in self.bases.items() if base[1] >> 42 == st.me.index]
        if dead:
            self._retire(st, entry, name, dead)
            self._shown = number.UNKNOWN
            st.gap()

    patch.setattr(Number, "prune", wrong)


@mistake_in(acts=[do.put, do.put_over])
def ties_by_local_numbers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Number, "winner", lambda self, st: max(self.sets, key=lambda dot: (st.hlc(dot), dot), default=0))


@mistake
def snapshot_unions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Joining, "_stays", lambda self, group, n, live: group)


@mistake_in(back_up=30, restore=40, prune=200, pull=200)
def snapshot_without_base(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(World, "may_join", lambda self, have, base: True)
    patch.setattr(Joining, "_complete", lambda taken, expected: True)


@mistake
def snapshot_claims_more_than_it_carries(patch: pytest.MonkeyPatch) -> None:
    snapshot = Site.snapshot

    def wrong(self: Site, base: dict[Actor, int]) -> Any:
        vector, live, parts = snapshot(self, base)
        return vector, live, {actor: chunks[:1] for actor, chunks in parts.items()}

    patch.setattr(Site, "snapshot", wrong)
    patch.setattr(Joining, "_complete", lambda taken, expected: True)


@mistake
def log_ignores_snapshot(patch: pytest.MonkeyPatch) -> None:
    join = Site.join_staged

    def wrong(self: Site) -> None:
        floor = dict(self.floor)
        join(self)
        self.floor = floor

    patch.setattr(Site, "join_staged", wrong)


@mistake
def hash_is_not_subtracted(patch: pytest.MonkeyPatch) -> None:
    discount = State.discount

    def wrong(self: State, *args: Any) -> None:
        total = self.hash
        discount(self, *args)
        self._hash = total

    patch.setattr(State, "discount", wrong)


@mistake
def what_was_not_hashed_is_subtracted(patch: pytest.MonkeyPatch) -> None:
    discount = State.discount

    def wrong(self: State, owner: ActorRows, *args: Any) -> None:
        hashed, owner.hashed = owner.hashed, owner.base + SEQ_MASK
        discount(self, owner, *args)
        owner.hashed = hashed

    patch.setattr(State, "asked", lambda self, owner: NO_DOT)
    patch.setattr(State, "discount", wrong)


@mistake
def removal_takes_no_dot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "gap", lambda self: None)


@mistake_in(acts=[do.put, do.put_over])
def named_dots_are_spent_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "name_pending", lambda self: None)


@mistake_in(acts=[do.add_member, do.remove_member], crash=100, checkpoint=200, cut=30)
def checkpoint_ahead_of_the_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(World, "before_checkpoint_ends", lambda self, site: None)


@mistake
def checkpoint_ahead_of_its_vector(patch: pytest.MonkeyPatch) -> None:
    load = State.load
    patch.setattr(State, "load", lambda self, actor, start, groups, limit: load(self, actor, start, groups, 1 << 40))


@mistake
def hidden_types_outlive_a_deletion(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "all_of", lambda self, key: [self.keys[key]] if key in self.keys else [])


@mistake
def concurrent_additions_replace_each_other(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: sets.SetEntry, st: State, name: bytes, payload: Any, dot: int) -> None:
        self.dots[name] = dot

    patch.setattr(sets.SetEntry, "insert", wrong)


@mistake_in(acts=json_model.ACTS)
def a_container_is_gone_with_its_presence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(jsonnode.Node, "is_object", lambda self: b"{}" in self.texts())


@mistake_in(acts=json_model.ACTS)
def a_deletion_takes_what_came_below_later(patch: pytest.MonkeyPatch) -> None:
    discard = jsontree.JsonEntry.discard

    def wrong(self: jsontree.JsonEntry, st: State, name: bytes, dot: int) -> Any:
        node = self.nodes.get(name)
        raw = discard(self, st, name, dot)
        for part in list(node.below()) if node is not None else []:
            if part is not node and part.dot >= 0 and part.field in self.nodes:
                discard(self, st, part.field, part.dot)
        return raw

    patch.setattr(jsontree.JsonEntry, "discard", wrong)


@mistake_in(acts=json_model.ACTS)
def places_in_an_array_are_used_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(jsontree, "seed_bytes", lambda seed: b"same for")


@mistake_in(acts=json_model.ACTS)
def texts_of_documents_outlive_what_they_say(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(jsonnode.Node, "changed", lambda self: None)


@mistake_in(acts=json_model.ACTS)
def members_in_the_order_of_arrival(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(jsonnode.Node, "ordered", lambda self: [child for child in self.members.values() if child.live])


@mistake
def removal_takes_unseen_additions(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: sets.SetEntry, st: State, name: bytes, dot: int) -> Any:
        return GONE if self.dots.pop(name, None) is None else None

    patch.setattr(sets.SetEntry, "discard", wrong)


@mistake
def the_shortest_lifetime_wins(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: expiry.ExpiryEntry, st: State) -> int:
        said = [expiry._unpack(payload.data)[1] for _, _, payload in self.rows()]
        return min((expiry.NEVER if deadline is None else deadline for deadline in said), default=expiry.NEVER)

    patch.setattr(expiry.ExpiryEntry, "ends", wrong)


@mistake
def a_lifetime_reaches_values_that_it_has_not_seen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(expiry, "_values", lambda st, key: [])


@mistake
def lifetimes_of_peers_are_found_out_later(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Applying, "_reassess", lambda self: None)


@mistake
def an_expired_key_is_written_to_as_it_is(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: State, key: bytes) -> None:
        lifetime = self.lifetimes.get(key)
        if lifetime is not None:
            lifetime.erase(self)
            self.place(lifetime)

    patch.setattr(State, "bury", wrong)


@mistake
def values_come_back_to_an_expired_key(patch: pytest.MonkeyPatch) -> None:
    place = State.place

    def wrong(self: State, entry: Any) -> None:
        expired, self.expired = self.expired, {}
        place(self, entry)
        self.expired = expired

    patch.setattr(State, "place", wrong)


@mistake_in(acts=do.ON_LISTS)
def elements_set_at_once_replace_each_other(patch: pytest.MonkeyPatch) -> None:
    insert = lists.ListEntry.insert

    def wrong(self: lists.ListEntry, st: State, name: bytes, payload: Any, dot: int) -> None:
        if self.elements.find(name) is not None:
            self.elements.remove(name)
        insert(self, st, name, payload, dot)

    patch.setattr(lists.ListEntry, "insert", wrong)


@mistake_in(acts=do.ON_LISTS)
def removal_takes_elements_set_meanwhile(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: lists.ListEntry, st: State, name: bytes, dot: int) -> Any:
        found = self.elements.remove(name)
        return GONE if found is None else found[1]

    patch.setattr(lists.ListEntry, "discard", wrong)


@mistake_in(acts=do.ON_LISTS)
def places_are_named_after_what_stands(patch: pytest.MonkeyPatch) -> None:
    """The next offset is one beyond the neighbour: it may have been somebody's who has gone here, but not elsewhere."""

    def wrong(near: bytes, far: bytes | None, seed: bytes, seq: int) -> Any:
        place = places.parse(near)
        bunch = near[: place.head]
        if place.seed != seed or (far.startswith(bunch) if far is not None else place.depth > 1):
            return None
        return places.Bunch(place.head, seed, seq - abs(place.offset) - 1, place.depth)

    patch.setattr(places, "continued", wrong)


@mistake_in(acts=do.ON_LISTS)
def places_are_ordered_by_arrival(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: lists.ListEntry, st: State, start: int, stop: int) -> list[bytes]:
        rows = sorted(self.rows(), key=lambda row: row[1])
        return [value for _, _, value in rows][start:stop]

    patch.setattr(lists.ListEntry, "shown", wrong)
