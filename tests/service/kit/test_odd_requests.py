"""Requests that no ordinary client sends: a clear refusal in our own form, never a 500, never HTML."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import aiohttp
import pytest
import structlog
from tests.service.kit.stand import JSON, Heard, Serve, application, metric, told

BODY = b'{"name":"x"}'


@pytest.fixture
async def url(serving: Serve) -> str:
    return await serving(application())


def get(target: bytes = b"/things/x", headers: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"


def post(body: bytes, headers: bytes = JSON) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST /things HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + length + b"\r\n" + body


def assert_ours(heard: Heard, *statuses: int) -> None:
    """One answer with one of these statuses, as a problem where the answer is ours, and never as a page."""
    assert len(heard.statuses) == 1, heard.raw
    assert heard.statuses[0] in statuses, heard.raw
    assert b"text/html" not in heard.head
    refused_below = heard.ended and b"content-length: 0" in heard.head
    assert heard.statuses[0] < 400 or refused_below or b"content-type: application/problem+json" in heard.head


@pytest.mark.row("H-4")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"", 201),
        (b"Content-Type: application/json\r\n", 201),
        (b"content-type: Application/JSON; Charset=UTF-8\r\n", 201),
        (b'Content-Type: application/json; charset="utf-8"\r\n', 201),
        (b"Content-Type: application/merge-patch+json\r\n", 201),
        (b"Content-Type: text/plain\r\n", 415),
        (b"Content-Type: application/x-www-form-urlencoded\r\n", 415),
        (b"Content-Type: multipart/form-data; boundary=x\r\n", 415),
        (b"Content-Type: application/xml\r\n", 415),
        (b"Content-Type: application/json; charset=utf-16\r\n", 415),
        (b"Content-Type: application/json; charset=iso-8859-1\r\n", 415),
        (b"Content-Type: \r\n", 415),
        (b"Content-Type: application/json, text/plain\r\n", 415),
        (b"Content-Type: text/plain\r\nContent-Type: application/json\r\n", 415),
        (b"Content-Type: application/json\r\nContent-Type: text/plain\r\n", 415),
        (b"Content-Type: \xff\xfe\r\n", 415),
    ],
)
async def test_a_body_is_json_in_utf_8_or_says_nothing_of_its_type(url: str, headers: bytes, status: int) -> None:
    assert_ours(await told(url, post(BODY, headers)), status)


@pytest.mark.row("H-5")
@pytest.mark.parametrize(
    "body",
    [
        b"{", b"{}}", b'{"name":}', b"{'name':'x'}", b'{"name":"x",}', b'{"name":"x"} x', b"nonsense", b"\x00",
        b"\xff\xfe", b'{"name":"\xff"}', b'{"name":"\xc0\xaf"}', b'{"name":"\xed\xa0\x80"}', b"\xef\xbb\xbf" + BODY,
        BODY.decode().encode("utf-16"), BODY.decode().encode("utf-16-le"), BODY.decode().encode("utf-32"),
        b'{"name":"\\ud800"}', b'{"name":"\\u0000"}', b'{"name":"a\nb"}', b'{"name":"x","name":"y"}', b'"x"',
        b"[]", b"1",
    ],
)  # fmt: skip
async def test_what_is_no_json_or_no_utf_8_is_a_400(url: str, body: bytes) -> None:
    assert_ours(await told(url, post(body)), 400)


@pytest.mark.row("H-6")
@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"name":' * 20_000, b'{"name":' + b"[" * 50_000 + b"]" * 50_000 + b"}"]
)
async def test_a_hundred_thousand_brackets_break_nothing(serving: Serve, body: bytes) -> None:
    url = await serving(application(max_body=1_000_000))
    assert_ours(await told(url, post(body)), 400)
    assert_ours(await told(url, get()), 200)


@pytest.mark.row("H-8")
@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (get(headers=b"".join(b"X-%d: y\r\n" % each for each in range(200))), (431,)),
        (get(headers=b"".join(b"X-%d: y\r\n" % each for each in range(90))), (200,)),
        (get(headers=b"X-Long: " + b"y" * 100_000 + b"\r\n"), (431,)),
        (get(headers=b"X-Long: " + b"y" * 15_000 + b"\r\n"), (200,)),
        (get(headers=b"y" * 20_000 + b": z\r\n"), (400, 431)),
        (get(headers=b"X: a\x00b\r\n"), (400,)),
        (get(headers=b"X\x00: a\r\n"), (400,)),
        (get(headers=b"X Y: a\r\n"), (400,)),
        (get(headers=b": a\r\n"), (400,)),
        (get(headers=b"nonsense\r\n"), (400,)),
        (get(headers=b"X: \xff\xfe\r\n"), (200,)),
        (get(b"http://elsewhere.example/things/x"), (200,)),
        (get(b"http://user:password@elsewhere.example/nowhere"), (404,)),
        (get(b"https://elsewhere.example:99999/things/x"), (200, 400)),
        (get(b"/things/%00"), (404,)),
        (get(b"/%00"), (404,)),
        (get(b"/things\x00"), (400,)),
        (get(b"/%2e%2e/%2e%2e/etc/passwd"), (404,)),
        (get(b"/docs/%2e%2e/page.html"), (404,)),
        (get(b"/docs/..%2fpage.html"), (404,)),
        (get(b"/docs/..%5cpage.html"), (404,)),
        (get(b"/docs/page.html"), (404,)),
        (get(b"/docs/../health"), (404,)),
        (get(b"/%c0%af%c0%ae%c0%ae"), (404,)),
        (get(b"/things/%c0%ae"), (404,)),
        (get(b"/things/%ff"), (404,)),
        (get(b"/things/%ed%a0%80"), (404,)),
        (get(b"/\xc0\xaf"), (400, 404)),
        (get(b"/%zz%"), (404,)),
        (get(b"/things/" + b"y" * 248), (200,)),
        (get(b"/things/" + b"y" * 249), (404,)),
        (get(b"/things/" + b"y" * 14_000), (404,)),
        (get(b"/things/" + b"y" * 70_000), (414, 431)),
        (get(b"/things/x?" + b"a=b&" * 31), (200,)),
        (get(b"/things/x?" + b"a=b&" * 32), (400,)),
        (get(b"/things/x?" + b"a" * 2048), (200,)),
        (get(b"/things/x?" + b"a" * 2049), (400,)),
        (get(b"/things/x?%00=%00&%ff"), (200,)),
        (get(b"*"), (404,)),
        (get(b"things/x"), (400, 404)),
        (get(b""), (400,)),
        (b"GET /things/x\r\n\r\n", (400,)),
        (b"GET /things/x HTTP/1.2\r\nHost: x\r\n\r\n", (400,)),
        (b"GET /things/x HTTP/3\r\nHost: x\r\n\r\n", (400,)),
        (b"G\x00T /things/x HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 300, (400,)),
        (get(headers=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), (200,)),
        (get(headers=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"), (200,)),
        (get(headers=b"Range: bytes=0-1\r\n"), (200,)),
        (get(headers=b"Cookie: " + b"a=b;" * 2000 + b"\r\n"), (200,)),
    ],
)
async def test_odd_targets_and_headers_are_refused_or_read_and_never_break_anything(
    url: str, raw: bytes, statuses: tuple[int, ...]
) -> None:
    assert_ours(await told(url, raw), *statuses)


@pytest.mark.row("H-9")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "FOO", "get", "PROPFIND", "QUERY"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/things", "POST, OPTIONS"), ("/health", "GET, HEAD, OPTIONS"), ("/things/", "POST, OPTIONS")],
)
async def test_a_wrong_method_is_a_405_that_names_the_right_ones(
    url: str, method: str, path: str, allowed: str
) -> None:
    heard = await told(url, get(path.encode(), b"X-Secret: token\r\n").replace(b"GET", method.encode(), 1))
    assert_ours(heard, 405)
    assert f"\r\nallow: {allowed.lower()}\r\n".encode() in heard.head
    assert b"token" not in heard.raw  # TRACE would show it


@pytest.mark.row("H-9")
async def test_head_is_get_without_its_body(url: str, http: aiohttp.ClientSession) -> None:
    for path, status in (("/things/x", 200), ("/nowhere", 404), ("/large", 200), ("/things", 405), ("/metrics", 200)):
        async with http.get(url + path) as got, http.head(url + path) as headed:
            assert (headed.status, await headed.read()) == (status, b"")
            wanted = {"Content-Type", *({"Content-Length"} if path != "/metrics" else set()), "Cache-Control"}
            assert {name: headed.headers[name] for name in wanted} == {name: got.headers[name] for name in wanted}
    heard = await told(url, b"HEAD /things/x HTTP/1.1\r\nHost: x\r\n\r\n" + get(), quiet=5)
    assert heard.statuses == [200, 200]


@pytest.mark.row("H-9")
@pytest.mark.parametrize(
    ("path", "status", "allowed"),
    [
        ("/things", 204, "POST, OPTIONS"),
        ("/things/x", 204, "GET, PATCH, HEAD, OPTIONS"),
        ("/health", 204, "GET, HEAD, OPTIONS"),
        ("/between", 204, "POST, OPTIONS"),
        ("/nowhere", 404, None),
    ],
)
async def test_options_names_what_a_path_knows(
    url: str, http: aiohttp.ClientSession, path: str, status: int, allowed: str | None
) -> None:
    async with http.options(url + path) as response:
        assert (response.status, response.headers.get("Allow")) == (status, allowed)
        assert not [name for name in response.headers if name.startswith("Access-Control-")]
    assert_ours(await told(url, b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\n\r\n"), 400, 404, 405)


@pytest.mark.row("H-12")
@pytest.mark.parametrize(
    "headers",
    [
        b"traceparent: nonsense\r\n",
        b"traceparent: 00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01\r\n",
        b"traceparent: 00-" + b"a" * 32 + b"-" + b"0" * 16 + b"-01\r\n",
        b"traceparent: ff-" + b"a" * 32 + b"-" + b"1" * 16 + b"-01\r\n",
        b"traceparent: 00-" + b"A" * 32 + b"-" + b"1" * 16 + b"-01\r\n",
        b"traceparent: 00-" + b"a" * 5000 + b"-" + b"1" * 16 + b"-01\r\n",
        b"traceparent: \xff\xfe\r\n",
        b"traceparent:\r\n",
        b"tracestate: " + b"a=b," * 2000 + b"\r\n",
        b"baggage: " + b"a=b," * 3000 + b"\r\n",
        b"baggage: \xff\xfe;;;===\r\n" * 50,
    ],
)
async def test_a_malformed_trace_or_a_huge_baggage_is_a_new_trace_and_no_error(url: str, headers: bytes) -> None:
    heard = await told(url, get(b"/nowhere", headers))
    assert_ours(heard, 404)
    trace = json.loads(heard.raw.partition(b"\r\n\r\n")[2])["trace_id"]
    assert len(trace) == 32
    assert trace.encode() not in headers
    assert_ours(await told(url, get(headers=headers)), 200)


@pytest.mark.row("H-13")
@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"GZIP", b"gzip, identity", b"x"])
async def test_a_compressed_body_is_a_415_and_is_never_unpacked(url: str, coding: bytes) -> None:
    bomb = gzip.compress(b"0" * 600_000) if coding.lower() == b"gzip" else zlib.compress(b"0" * 600_000)
    assert len(bomb) < 1000
    assert_ours(await told(url, post(bomb, JSON + b"Content-Encoding: " + coding + b"\r\n")), 415)
    assert_ours(await told(url, post(BODY, JSON + b"Content-Encoding: identity\r\n")), 201)


@pytest.mark.row("H-14")
async def test_a_defect_is_a_500_with_an_id_alone_and_the_process_lives(
    serving: Serve, http: aiohttp.ClientSession
) -> None:
    url = await serving(served := application())
    with structlog.testing.capture_logs() as lines:
        async with http.get(f"{url}/defect") as response:
            body: dict[str, Any] = await response.json(content_type=None)
    assert response.status == 500
    assert response.headers["Content-Type"] == "application/problem+json"
    assert sorted(body) == ["detail", "status", "title", "trace_id", "type"]
    assert "secret" not in str(body)
    [logged] = [line for line in lines if line["event"] == "unhandled_error"]
    assert isinstance(logged["exc_info"], ZeroDivisionError)
    async with http.get(f"{url}/health") as response:
        assert response.status == 200
    assert metric(served, 'shopflow_http_request_seconds_count{method="GET",route="/defect",status="500"}') == 1


@pytest.mark.row("O-17")
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("page=0", 400), ("page=-1", 400), ("page=x", 400), ("page=1.5", 400), ("page=", 400), ("page=%31", 200),
        ("page=1000000000000000000", 200), ("page=1&page=2", 400), ("text=a&text=b", 400), ("text=%00", 400),
        ("text=%ff", 400), ("text=%c0%af", 400), ("text=%ed%a0%80", 400), ("unknown=%00", 200),
        ("unknown=1&unknown=2", 200),
        ("text=%27%3B%20DROP%20TABLE%20orders%3B--", 200), ("text=%E2%82%AC", 200), ("te%78t=a&text=b", 400),
        ("&&&===&;", 200), ("text=%", 200), ("text=%zz", 200),
    ],
)  # fmt: skip
async def test_a_query_is_read_strictly_and_what_nobody_asks_for_is_ignored(url: str, query: str, status: int) -> None:
    assert_ours(await told(url, get(f"/asked?{query}".encode())), status)


async def test_no_answer_shows_what_was_sent(url: str) -> None:
    secret = b"hunter2hunter2"
    for raw in (
        get(b"/" + secret), get(b"/things/%ff" + secret), get(b"/asked?page=" + secret),
        post(b'{"name":["' + secret + b'"]}'), post(b'{"' + secret), get(headers=b"Host: " + secret + b"\r\n"),
        post(BODY, b"Content-Type: " + secret + b"\r\n"),
    ):  # fmt: skip
        heard = await told(url, raw)
        assert heard.statuses[0] >= 400
        assert secret not in heard.raw


async def test_many_odd_requests_at_once_leave_the_service_well(url: str) -> None:
    odd = [get(b"/%00"), post(b"{"), b"\x00\r\n\r\n", get(headers=b"X: \x00\r\n"), b"", get(b"/defect")]
    await asyncio.gather(*(told(url, odd[each % len(odd)], first=1.0) for each in range(200)))
    assert (await told(url, get())).statuses == [200]
