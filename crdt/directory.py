"""Which entry stands under a key: the one that readers see, and those of other types behind it.

Two types written concurrently under one key both live on; the shown one is the first in a fixed order of types (RANK).
Promises: after `settle`, `keys` holds a key if it is visible, with the entry to show, and `hidden` what else has rows.
Must not know: dots, frames, vectors. A base of State, not a part of it, because every command looks into `keys`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.entry import LIFETIME, Entry, Opaque
from crdt.shards import Large, roomy

if TYPE_CHECKING:
    from crdt.types.expiry import ExpiryEntry


class Directory:
    """See the module."""

    __slots__ = ("contested", "contested_limit", "expired", "hidden", "keys", "kinds", "lifetimes", "starting")

    def __init__(self) -> None:
        self.keys: Large[Entry] = {}  # the shown entry of every visible key
        self.hidden: dict[bytes, list[Entry]] = {}  # entries of other types under a key, and entries of baselines alone
        self.lifetimes: dict[bytes, ExpiryEntry] = {}  # the expire rows of keys
        self.expired: dict[bytes, int] = {}  # keys that readers do not see because their lifetime is over -> its end
        self.contested: dict[tuple[int, bytes | None], tuple[Entry, bytes | None]] = {}  # cells seen with siblings
        self.contested_limit = 100
        self.starting = False  # nobody is served yet: the table of keys is filled as one dictionary, which is quicker
        from crdt.types import catalog  # which imports this module

        self.kinds = catalog.CATALOG

    def find(self, key: bytes, cls: type[Entry]) -> Entry | None:
        """The entry of this type under the key, shown or not."""
        entry = self.keys.get(key)
        if type(entry) is cls:
            return entry
        if self.hidden:
            for other in self.hidden.get(key, ()):
                if type(other) is cls:
                    return other
        return None

    def create(self, cls: type[Entry], key: bytes) -> Entry:
        """An entry for a key that is not visible; the caller puts a visible row into it."""
        if self.lifetimes and key in self.lifetimes:
            self.bury(key)
        entry = self.find(key, cls) if self.hidden else None
        if entry is None:
            entry = cls(key)
        else:
            self._unhide(entry)
        self._show(entry)
        return entry

    def _show(self, entry: Entry) -> None:
        self.keys[entry.key] = entry
        if not self.starting:
            self.keys = roomy(self.keys)

    def started(self) -> None:
        """From now on readers are served: in one step, what was filled as one dictionary becomes what it should be."""
        self.starting = False
        self.keys = roomy(self.keys)

    def bury(self, key: bytes) -> None:
        """Remove what is seen of a key that is not visible but has expire rows."""
        raise NotImplementedError

    def forget_lifetime(self, key: bytes) -> None:
        """The last expire row of the key is gone."""
        raise NotImplementedError

    def settle(self, entry: Entry) -> None:
        """Local: rows left the entry, or came. With its last row a key loses its lifetime."""
        self.place(entry)
        key = entry.key
        if self.lifetimes and key in self.lifetimes and key not in self.keys and key not in self.expired:
            self.bury(key)

    def place(self, entry: Entry) -> None:
        """Rows left the entry, or came: put it where readers, or only peers, will find it."""
        key = entry.key
        if entry.CODE == LIFETIME:
            self._place_lifetime(entry)
            return
        shown = self.keys.get(key)
        if entry.visible() and key not in self.expired:
            if shown is not None and not shown.visible():
                self.place(shown)  # a peer's frame has emptied it
                shown = self.keys.get(key)
            if shown is entry:
                return
            self._unhide(entry)
            if shown is not None and shown.RANK < entry.RANK:
                self.hidden.setdefault(key, []).append(entry)
                return
            if shown is not None:
                self.hidden.setdefault(key, []).append(shown)
            self._show(entry)
            return
        if shown is entry:
            del self.keys[key]
            best = min((e for e in self.hidden.get(key, ()) if e.visible()), key=lambda e: e.RANK, default=None)
            if best is not None and key not in self.expired:
                self._unhide(best)
                self._show(best)
        else:
            self._unhide(entry)
        if not entry.empty():
            self.hidden.setdefault(key, []).append(entry)

    def _place_lifetime(self, entry: Entry) -> None:
        if not entry.empty():
            self.lifetimes[entry.key] = entry  # type: ignore[assignment]
        elif self.lifetimes.get(entry.key) is entry:
            self.forget_lifetime(entry.key)

    def _unhide(self, entry: Entry) -> None:
        others = self.hidden.get(entry.key)
        if others and entry in others:
            others.remove(entry)
            if not others:
                del self.hidden[entry.key]

    def all_of(self, key: bytes) -> list[Entry]:
        """Every entry under the key, the shown one first, that of its lifetime last."""
        shown = self.keys.get(key)
        others = self.hidden.get(key, ()) if self.hidden else ()
        lifetime = self.lifetimes.get(key)
        return [*([shown] if shown is not None else ()), *others, *([lifetime] if lifetime is not None else ())]

    def entry(self, code: int, key: bytes) -> Entry:
        """The entry of this type under the key, made where there is none. Nobody sees it before `settle`."""
        entry = self.lifetimes.get(key) if code == LIFETIME else self.keys.get(key)
        if entry is not None and entry.CODE == code:
            return entry
        for other in self.hidden.get(key, ()) if self.hidden else ():
            if other.CODE == code:
                return other
        cls = self.kinds.get(code)
        return Opaque(key, code) if cls is None else cls(key)

    def contest(self, entry: Entry, field: bytes | None) -> None:
        """A cell has siblings. What has been settled since is forgotten whenever the list has doubled."""
        self.contested[id(entry), field] = (entry, field)
        if len(self.contested) > self.contested_limit:
            self.settle_contested()

    def settle_contested(self) -> None:
        """Forget the cells that have no siblings any more; those of a type that is not shown now may be shown later."""
        cells = self.contested.items()
        self.contested = {
            name: (e, field) for name, (e, field) in cells if e.contested(field) and e in self.all_of(e.key)
        }
        self.contested_limit = 2 * len(self.contested) + 100
