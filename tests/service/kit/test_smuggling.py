"""One request is one request: what can be read as two is refused, and nothing behind it is served (H-7)."""

import pytest
from tests.service.kit.stand import JSON, Heard, Serve, application, told

SECOND = b"GET /things/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b'{"name":"x"}'
TWELVE = b"Content-Length: 12\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
IN_CHUNKS = b"c\r\n" + BODY + b"\r\n0\r\n\r\n"


def posted(framing: bytes, body: bytes) -> bytes:
    """A POST with this framing and body, and a second request behind it."""
    return b"POST /things HTTP/1.1\r\nHost: x\r\n" + JSON + framing + b"\r\n" + body + SECOND


@pytest.fixture
async def url(serving: Serve) -> str:
    return await serving(application())


def assert_one_answer(heard: Heard, *statuses: int) -> None:
    """One answer with one of these statuses, then the end of the connection."""
    assert len(heard.statuses) == 1, heard.raw
    assert heard.statuses[0] in statuses
    assert heard.ended
    assert b"smuggled" not in heard.raw


@pytest.mark.row("H-7")
@pytest.mark.parametrize(
    "framing",
    [TWELVE + CHUNKED, CHUNKED + TWELVE, CHUNKED + b"Content-Length: 0\r\n", b"Content-Length: 4\r\n" + CHUNKED],
    ids=["length first", "chunked first", "no length", "short length"],
)
async def test_a_length_beside_chunks_is_one_request_by_its_chunks_and_the_last(url: str, framing: bytes) -> None:
    heard = await told(url, posted(framing, IN_CHUNKS))
    assert_one_answer(heard, 201)
    assert BODY in heard.raw


@pytest.mark.row("H-7")
async def test_chunks_alone_are_one_request_and_the_last(url: str) -> None:
    assert_one_answer(await told(url, posted(CHUNKED, IN_CHUNKS)), 201)


@pytest.mark.row("H-7")
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (TWELVE + b"Content-Length: 0\r\n", BODY),
        (b"Content-Length: 0\r\n" + TWELVE, BODY),
        (b"Content-Length: 12, 0\r\n", BODY),
        (b"Content-Length: 12, 12\r\n", BODY),
        (b"Content-Length: +12\r\n", BODY),
        (b"Content-Length: -12\r\n", BODY),
        (b"Content-Length: 1 2\r\n", BODY),
        (b"Content-Length: 0x0c\r\n", BODY),
        (b"Content-Length: 12.0\r\n", BODY),
        (b"Content-Length:\r\n", BODY),
        (b"Content-Length : 12\r\n", BODY),
        (b"Content-Length: 18446744073709551628\r\n", BODY),
        (b"Transfer-Encoding : chunked\r\n" + TWELVE, BODY),
        (b"Transfer-Encoding: xchunked\r\n" + TWELVE, BODY),
        (b"Transfer-Encoding: \x0bchunked\r\n" + TWELVE, BODY),
        (b"Transfer-Encoding: identity\r\n" + TWELVE, BODY),
        (b"Transfer-Encoding: gzip\r\n", IN_CHUNKS),
        (b"Transfer-Encoding: gzip, chunked\r\n", IN_CHUNKS),
        (b"Transfer-Encoding: chunked, identity\r\n", IN_CHUNKS),
        (b"Transfer-Encoding: chunked, chunked\r\n", IN_CHUNKS),
        (CHUNKED + CHUNKED, IN_CHUNKS),
        (CHUNKED + b"Transfer-Encoding: identity\r\n", IN_CHUNKS),
        (b"Content-Length:\r\n 12\r\n", BODY),
        (b"X-Folded: a\r\n " + TWELVE, BODY),
        (b"X-Return: a\rContent-Length: 12\r\n", BODY),
        (CHUNKED, b"c\n" + BODY + b"\r\n0\r\n\r\n"),
        (CHUNKED, b"c;a=\n" + BODY + b"\r\n0\r\n\r\n"),
        (CHUNKED, b"c\r\n" + BODY + b"0\r\n\r\n"),
        (CHUNKED, b"0xc\r\n" + BODY + b"\r\n0\r\n\r\n"),
        (CHUNKED, b"-c\r\n" + BODY + b"\r\n0\r\n\r\n"),
        (CHUNKED, b"1000000000000000c\r\n" + BODY + b"\r\n0\r\n\r\n"),
    ],
)
async def test_framing_that_can_be_read_in_two_ways_is_a_400_and_the_end(url: str, framing: bytes, body: bytes) -> None:
    assert_one_answer(await told(url, posted(framing, body)), 400)


@pytest.mark.row("H-7")
async def test_chunks_in_http_1_0_are_a_400_and_the_end(url: str) -> None:
    raw = posted(CHUNKED + b"Connection: keep-alive\r\n", IN_CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    assert_one_answer(await told(url, raw), 400)


@pytest.mark.row("H-7")
async def test_a_line_feed_alone_ends_a_line_and_makes_one_request(url: str) -> None:
    raw = b"POST /things HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 12\n\n" + BODY
    heard = await told(url, raw)
    assert heard.statuses == [201]
    assert BODY in heard.raw


@pytest.mark.row("H-7")
async def test_a_length_that_is_said_twice_alike_is_one_length(url: str) -> None:
    heard = await told(url, posted(TWELVE + TWELVE, BODY), quiet=1)
    assert heard.statuses == [201, 200]  # the second is a request of its own, whoever reads


@pytest.mark.row("H-7")
@pytest.mark.parametrize(
    ("path", "framing", "body", "status"),
    [
        (b"/things", b"Content-Length: 5000\r\n", b"x" * 5000, 413),
        (b"/things", CHUNKED, b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n", 413),
        (b"/things", CHUNKED + b"X-Long: " + b"x" * 40_000 + b"\r\n", IN_CHUNKS, 431),
    ],
)
async def test_nothing_behind_a_request_that_is_refused_is_served(
    url: str, path: bytes, framing: bytes, body: bytes, status: int
) -> None:
    assert_one_answer(await told(url, posted(framing, body).replace(b"/things", path, 1)), status)


@pytest.mark.row("H-7")
async def test_a_request_inside_a_body_that_nobody_reads_is_not_served(url: str) -> None:
    raw = b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SECOND) + SECOND
    heard = await told(url, raw)
    assert heard.statuses == [401]


@pytest.mark.row("H-7")
async def test_two_hosts_or_none_are_a_400(url: str) -> None:
    for hosts in (b"Host: x\r\nHost: y\r\n", b"Host: x\r\nHost: x\r\n", b"", b"Host: \r\n", b"Host: a b\r\n"):
        heard = await told(url, b"GET /health HTTP/1.1\r\n" + hosts + b"\r\n")
        assert heard.statuses == [400], hosts


async def test_requests_sent_ahead_are_answered_in_their_order(url: str) -> None:
    heard = await told(url, b"".join(SECOND.replace(b"smuggled", b"n%d" % each) for each in range(20)), quiet=1)
    assert heard.statuses == [200] * 20
    assert [heard.raw.index(b'"n%d"' % each) for each in range(20)] == sorted(
        heard.raw.index(b'"n%d"' % each) for each in range(20)
    )
