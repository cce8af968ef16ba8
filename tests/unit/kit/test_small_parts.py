"""Traces, pages, credentials, addresses and limits: small parts with one promise each."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.kit import traces
from shopflow.kit.credentials import Credential
from shopflow.kit.pages import offset, page
from shopflow.kit.peer import KEEP_ALIVE
from shopflow.kit.problems import Problem
from shopflow.kit.senders import client_address
from shopflow.kit.server import IDLE_WITHIN

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_callers_trace_goes_on_with_a_span_of_our_own() -> None:
    trace = traces.joined(PARENT, "vendor=1")
    assert (trace.trace_id, trace.sampled, trace.state) == ("0af7651916cd43dd8448eb211c80319c", True, "vendor=1")
    assert trace.span_id != "b7ad6b7169203331"
    assert trace.headers() == {"traceparent": trace.traceparent, "tracestate": "vendor=1"}


@pytest.mark.parametrize(
    "parent",
    [None, "", "x", PARENT.upper(), "ff" + PARENT[2:], PARENT[:-3], "00-" + "0" * 32 + "-b7ad6b7169203331-01",
     "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", PARENT + "\n", PARENT + "x" * 1000],
)  # fmt: skip
def test_a_malformed_trace_begins_a_new_one(parent: str | None) -> None:
    trace = traces.joined(parent)
    assert trace.trace_id != "0af7651916cd43dd8448eb211c80319c"
    assert traces.joined(trace.traceparent).trace_id == trace.trace_id


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate"]), st.text() | st.integers() | st.binary()))
def test_no_message_header_breaks_a_trace(carrier: dict[str, object]) -> None:
    assert len(traces.joined_from(carrier).trace_id) == 32


def test_a_page_says_where_it_stands() -> None:
    assert page([1], number=2, limit=20, total_items=21).pagination.total_pages == 2
    assert page([], number=1, limit=20, total_items=0).pagination.total_pages == 0


def test_a_page_past_every_table_does_not_overflow() -> None:
    assert offset(10**18, 100) == 2**63 - 1
    assert offset(3, 20) == 40


def test_a_token_file_is_read_again_when_it_changes_and_kept_when_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    credential = Credential("first", file)
    assert credential.token() == "first"
    file.write_text("second\n")
    assert credential.token() == "second"
    renewed = tmp_path / "renewed"
    renewed.write_text("third")
    renewed.replace(file)
    assert credential.token() == "third"
    for nonsense in (b"\xff\xfe", b"two\nlines", b" \n"):
        file.write_bytes(nonsense)
        assert credential.token() == "third"
    file.unlink()
    assert credential.bearer() == "Bearer third"


def test_without_a_token_none_is_shown(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="service-token-missing"):
        Credential(None, tmp_path / "not-mounted").bearer()


@pytest.mark.parametrize(
    ("peer", "key"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::ffff:192.0.2.1", "192.0.2.1")],
)
def test_addresses_count_as_themselves_and_ipv6_by_its_network(peer: str, key: str) -> None:
    assert client_address({"client": (peer, 1)}) == key


def test_our_client_lets_go_of_idle_connections_before_our_server_does() -> None:
    assert KEEP_ALIVE < IDLE_WITHIN
