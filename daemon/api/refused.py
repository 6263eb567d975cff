"""A request that is answered with an error in its turn, without being run.

Alone in its module because it is a list to all who handle requests, which `make compile` cannot make of it.
"""

from __future__ import annotations


class RefusedRequest(list[bytes]):
    """Stands for a request that was read over because something in it exceeds a limit; `error` is the answer."""

    __slots__ = ("error",)

    def __init__(self, error: str) -> None:
        # No command has this name, so the hot path needs no check of its own.
        super().__init__([b""])
        self.error = error
