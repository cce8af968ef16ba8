"""What the edge reads in a request's headers, and which of them are refused."""

import pytest

from shopflow.kit.heads import MAX_HEADERS, read_head, refusal

HOST = (b"host", b"x")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([HOST], None),
        ([HOST, (b"transfer-encoding", b"chunked")], None),
        ([HOST, (b"transfer-encoding", b" Chunked ")], None),
        ([HOST, (b"content-length", b"5")], None),
        ([HOST, (b"transfer-encoding", b"gzip, chunked")], "malformed-request"),
        ([HOST, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], "malformed-request"),
        ([HOST, HOST], "malformed-request"),
        ([], "malformed-request"),
        ([(b"host", b"")], "malformed-request"),
        ([HOST, (b"x", b"a" * MAX_HEADERS)], "headers-too-large"),
        ([HOST, *[(b"x-%d" % each, b"a" * 200) for each in range(90)]], "headers-too-large"),
    ],
)
def test_a_head_that_can_be_read_in_two_ways_or_is_too_large_is_refused(
    headers: list[tuple[bytes, bytes]], code: str | None
) -> None:
    refused = refusal(read_head(headers), version="1.1")
    assert (refused.code if refused else None) == code


def test_a_host_may_be_missing_before_http_1_1() -> None:
    assert refusal(read_head([]), version="1.0") is None
    assert refusal(read_head([]), version="1") is None


def test_the_headers_that_matter_are_read() -> None:
    head = read_head([
        HOST, (b"traceparent", b"p"), (b"tracestate", b"s"), (b"origin", b"https://o"), (b"x-forwarded-for", b"a"),
        (b"x-forwarded-for", b"b"), (b"access-control-request-method", b"GET"), (b"expect", b"100-continue"),
        (b"content-length", b"12"),
    ])  # fmt: skip
    assert (head.traceparent, head.tracestate, head.origin) == ("p", "s", "https://o")
    assert (head.forwarded, head.preflight, head.expects) == ([b"a", b"b"], True, True)
    assert (head.declared, head.has_body) == (12, True)


@pytest.mark.parametrize(
    ("headers", "follows"),
    [([], False), ([(b"content-length", b"0")], False), ([(b"transfer-encoding", b"chunked")], True)],
)
def test_a_body_follows_a_length_or_a_coding(headers: list[tuple[bytes, bytes]], *, follows: bool) -> None:
    assert read_head(headers).has_body is follows
