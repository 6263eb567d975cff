"""A request that was read and is not to run. Apart from its readers: what inherits from a list cannot be compiled."""

from __future__ import annotations


class RefusedRequest(list[bytes]):
    """A request that was read over because a value in it exceeds `limits.value`; `error` is the answer."""

    __slots__ = ("error",)

    def __init__(self, error: str) -> None:
        # No command has this name, so the hot path needs no check of its own.
        super().__init__([b""])
        self.error = error
