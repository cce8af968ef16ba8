"""JSON log lines on stdout (PRD 10.4): one event name and fields a line, with the trace id.

Fields are ids, counts and codes; never addresses, bodies, tokens or passwords (A17).
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import msgspec
import structlog

from shopflow.kit import traces

LEVELS: Final = ("debug", "info", "warning", "error", "critical")

Logger = structlog.typing.FilteringBoundLogger


def configure(*, service: str, level: str, to: TextIO | None = None) -> None:
    """Sends structlog and the standard library's loggers to one stream as JSON lines. Called once, by a process's edge.

    Args:
        service: named in every line.
        level: the least level that is written, one of `LEVELS`.
        to: stdout by default; commands, whose stdout is their answer, name stderr.
    """
    stream = to or sys.stdout
    number = logging.getLevelNamesMapping()[level.upper()]
    encode = msgspec.json.Encoder(enc_hook=str).encode
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace,
        _named(service),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=lambda line, **_: encode(line))],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(stream.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=lambda line, **_: encode(line).decode()),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def logger(component: str) -> Logger:
    """A logger whose lines carry the component's name."""
    bound: Logger = structlog.get_logger(component=component)
    return bound


def _trace(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if trace_id := traces.trace_id():
        line["trace_id"] = trace_id
    return line


def _named(service: str) -> structlog.typing.Processor:
    def name(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["service"] = service
        return line

    return name
