"""What the daemon says about itself, on standard error.

Knows: structlog, the two formats, and which libraries talk too much. Promises: one line an event, UTC, no secrets:
what is logged under a name that sounds like one is masked. Must not know: what is worth saying.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

if "rich" in sys.modules:
    import structlog
else:
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:  # structlog imports it, which is a fifth of a start, to draw tracebacks; ours are plain
        import structlog
    finally:
        del sys.modules["rich"]

Event = MutableMapping[str, Any]

_SECRET = re.compile(r"password|secret|credential|private", re.IGNORECASE)
_NOISY = ("amqtt", "transitions", "aiomqtt", "paho", "asyncio", "aiohttp")


def get_logger(name: str) -> Any:
    """The logger of a part of the daemon: `log.info(event, what=..., **more)`, and so on."""
    return structlog.get_logger(name)


def configure(level: str, format: str, stream: TextIO | None = None) -> None:
    """Sends every log record, ours and the libraries', to `stream` (standard error) from `level` ("debug" ... "error")
    on.

    `format` is "console" or "json". May be called again (SIGHUP): loggers that exist follow.
    """
    stream = stream or sys.stderr
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.UnicodeDecoder(errors="backslashreplace"),
        masked,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # The processors above hold no level of their own, so cached loggers follow a later call too.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(format, stream)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    number = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(number)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _rendering(format: str, stream: TextIO) -> list[Any]:
    if format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)]


def masked(_logger: object, _method: str, event: Event) -> Event:
    """A structlog processor: masks what is named like a secret, but for the paths of files."""
    for key, value in event.items():
        if _SECRET.search(key) and not key.endswith("_file") and value:
            event[key] = "********"
    return event
