"""Log lines: one JSON object each, with who, when and what, and nothing that a caller sent can forge one."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from shopflow.kit import logs


class Stream(io.TextIOWrapper):
    """A stdout to read again."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    @property
    def lines(self) -> list[dict[str, str]]:
        """What was written, line by line."""
        self.flush()
        written = self.buffer.getvalue() if isinstance(self.buffer, io.BytesIO) else b""
        return [json.loads(line) for line in written.decode().split("\n") if line]


@pytest.fixture
def stream() -> Iterator[Stream]:
    made = Stream()
    before = structlog.get_config()
    logs.configure(service="order-service", level="info", to=made)
    yield made
    structlog.configure(**before)


def test_a_line_says_when_in_utc_who_and_what(stream: Stream) -> None:
    logs.logger("http").info("request", status=200)
    [line] = stream.lines
    assert (line["service"], line["component"], line["event"], line["level"]) == (
        "order-service", "http", "request", "info",
    )  # fmt: skip
    told = datetime.fromisoformat(line["timestamp"])
    assert told.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "text",
    ['x\n{"event": "forged"}', "x\r\nforged", '", "level": "critical', "\x1b[2J\x00", "\u2028\u2029\x85", "%s %n {0}"],
)
def test_no_text_makes_a_second_line_or_a_field_of_its_own(stream: Stream, text: str) -> None:
    logs.logger("http").warning("request", route=text)
    [line] = stream.lines
    assert (line["event"], line["level"], line["route"]) == ("request", "warning", text)
