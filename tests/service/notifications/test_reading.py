"""GET /notifications and GET /notifications/:id: who sees what, in which order, and what is refused (R61)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.service.notifications.shop import Service

from shopflow.contracts.identity import Role
from shopflow.kit.pages import Position
from shopflow.kit.pages import cursor as cursor_of
from shopflow.notifications.store import Filter

INSERT = """
INSERT INTO notifications (user_id, order_id, channel, type, recipient, subject, body, status, provider_ref, sent_at,
                           created_at)
SELECT $1, $2, $3::text, $4, 'jane.doe@example.com', CASE WHEN $3 = 'email' THEN 'Hello' END, 'body', $5::text,
       CASE WHEN $5 = 'sent' THEN 'ref' END, CASE WHEN $5 = 'sent' THEN now() END,
       '2026-02-17T11:00:00Z'::timestamptz + make_interval(secs => $6)
RETURNING id::text
"""


class Shelf:
    """Notifications put straight into the database, and a caller of each kind."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.jane, self.john = str(uuid4()), str(uuid4())
        self.janes = service.auth.token(Role.CUSTOMER, self.jane)
        self.admins = service.auth.token(Role.ADMIN)

    async def put(
        self,
        user_id: str,
        *,
        order_id: str | None = None,
        channel: str = "email",
        type_: str = "order_created",
        status: str = "sent",
        second: float = 0,
    ) -> str:
        """One notification; answers its id."""
        [row] = await self.service.rows(INSERT, user_id, order_id, channel, type_, status, second)
        return str(row["id"])

    async def ids(self, token: str, **query: str) -> list[str]:
        """The ids of a listed page."""
        answer = await self.service.ask("/notifications", token, params=query)
        return [each["id"] for each in answer["data"]]


@pytest.fixture
def shelf(service: Service) -> Shelf:
    return Shelf(service)


async def test_a_customer_sees_the_own_notifications_newest_first(shelf: Shelf) -> None:
    old, new = await shelf.put(shelf.jane, second=1), await shelf.put(shelf.jane, second=2)
    await shelf.put(shelf.john, second=3)
    assert await shelf.ids(shelf.janes) == [new, old]


async def test_of_the_same_instant_the_higher_id_comes_first(shelf: Shelf) -> None:
    ids = [await shelf.put(shelf.jane) for _ in range(5)]
    assert await shelf.ids(shelf.janes) == sorted(ids, reverse=True)


async def test_the_list_comes_in_pages(shelf: Shelf) -> None:
    ids = [await shelf.put(shelf.jane, second=-number) for number in range(5)]
    pages = [
        await shelf.service.ask("/notifications", shelf.janes, params={"page": page, "limit": 2})
        for page in (1, 2, 3, 4)
    ]
    assert [[each["id"] for each in page["data"]] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
    assert pages[0]["pagination"] == {"page": 1, "limit": 2, "total_items": 5, "total_pages": 3}
    assert pages[3]["pagination"] == {"page": 4, "limit": 2, "total_items": 5, "total_pages": 3}


async def test_an_empty_list_has_no_pages(shelf: Shelf) -> None:
    answer = await shelf.service.ask("/notifications", shelf.janes)
    assert answer == {"data": [], "pagination": {"page": 1, "limit": 20, "total_items": 0, "total_pages": 0}}


async def test_a_page_beyond_every_table_is_empty(shelf: Shelf) -> None:
    await shelf.put(shelf.jane)
    assert await shelf.ids(shelf.janes, page=str(10**18)) == []


async def test_the_list_can_be_limited_to_a_channel_or_an_order(shelf: Shelf) -> None:
    order = str(uuid4())
    email = await shelf.put(shelf.jane, order_id=order, second=1)
    sms = await shelf.put(shelf.jane, order_id=order, channel="sms", second=2)
    other = await shelf.put(shelf.jane, order_id=str(uuid4()), second=3)
    assert await shelf.ids(shelf.janes, channel="sms") == [sms]
    assert await shelf.ids(shelf.janes, channel="email") == [other, email]
    assert await shelf.ids(shelf.janes, order_id=order) == [sms, email]
    assert await shelf.ids(shelf.janes, order_id=order.upper(), channel="email") == [email]


async def test_an_admin_sees_the_own_a_users_or_everybodys(shelf: Shelf) -> None:
    janes, johns = await shelf.put(shelf.jane, second=1), await shelf.put(shelf.john, second=2)
    assert await shelf.ids(shelf.admins) == []
    assert await shelf.ids(shelf.admins, user_id=shelf.jane) == [janes]
    assert await shelf.ids(shelf.admins, scope="all") == [johns, janes]
    assert await shelf.ids(shelf.admins, scope="all", user_id=shelf.john) == [johns]


async def test_an_admin_can_look_for_a_status_or_a_type(shelf: Shelf) -> None:
    failed = await shelf.put(shelf.jane, status="failed", second=1)
    shipped = await shelf.put(shelf.jane, type_="order_shipped", second=2)
    assert await shelf.ids(shelf.admins, scope="all", status="failed") == [failed]
    assert await shelf.ids(shelf.admins, scope="all", type="order_shipped") == [shipped]


async def test_what_reaches_beyond_the_own_is_an_admins(shelf: Shelf) -> None:
    for query in ({"user_id": shelf.john}, {"scope": "all"}, {"status": "failed"}, {"type": "order_created"}):
        await shelf.service.ask("/notifications", shelf.janes, expect=403, params=query)


BAD: Sequence[tuple[str, str]] = [
    *[("page", value) for value in ("0", "-1", "x", "1.5", "")],
    *[("limit", value) for value in ("0", "101", "x", "-5")],
    *[("channel", value) for value in ("fax", "EMAIL", "")],
    *[("order_id", value) for value in ("1", "", "../x", "{b2c3d4e5-f6a7-8901-bcde-f12345678901}", "a\x00b")],
    *[("user_id", value) for value in ("me", "b2c3d4e5f6a78901bcdef12345678901")],
    *[("scope", value) for value in ("mine", "")],
    *[("status", value) for value in ("lost", "SENT")],
    *[("type", value) for value in ("order_eaten", "a\x00b")],
]


async def test_values_that_break_a_rule_are_named_without_being_repeated(shelf: Shelf) -> None:
    for name, value in BAD:
        answer: dict[str, Any] = await shelf.service.ask(
            "/notifications", shelf.admins, expect=400, params={name: value}
        )
        assert [each["field"] for each in answer["errors"]] == [name], (name, value)
        assert len(value) < 4 or value not in str(answer)


async def test_unknown_parameters_are_ignored(shelf: Shelf) -> None:
    await shelf.put(shelf.jane)
    assert len(await shelf.ids(shelf.janes, colour="blue")) == 1


async def test_a_service_may_read_nothing(shelf: Shelf) -> None:
    service = shelf.service.auth.token(Role.SERVICE, "notification-service")
    one = await shelf.put(shelf.jane)
    await shelf.service.ask("/notifications", service, expect=403)
    await shelf.service.ask(f"/notifications/{one}", service, expect=403)


async def test_nobody_reads_without_a_token_that_holds(shelf: Shelf) -> None:
    for path in ("/notifications", f"/notifications/{await shelf.put(shelf.jane)}"):
        for token in (None, "forged"):
            assert (await shelf.service.ask(path, token, expect=401))["status"] == 401


async def test_a_notification_is_read_by_its_owner_and_by_admins(shelf: Shelf) -> None:
    one = await shelf.put(shelf.jane, channel="sms", status="queued")
    detail = await shelf.service.ask(f"/notifications/{one}", shelf.janes)
    assert detail == await shelf.service.ask(f"/notifications/{one.upper()}", shelf.admins)
    assert (detail["id"], detail["body"], detail["status"], detail["sent_at"]) == (one, "body", "queued", None)


async def test_anothers_notification_is_answered_as_if_it_were_not_there(shelf: Shelf) -> None:
    another, nothing = await shelf.put(shelf.john), str(uuid4())
    answers = [
        await shelf.service.ask(f"/notifications/{each}", shelf.janes, expect=404) for each in (another, nothing)
    ]
    assert [(each["type"], each["detail"]) for each in answers] == [(answers[0]["type"], answers[0]["detail"])] * 2


async def test_an_id_that_is_none_is_refused(shelf: Shelf) -> None:
    headers = {"Authorization": f"Bearer {shelf.janes}"}
    for wrong in ("1", "x" * 200, "b2c3d4e5f6a78901bcdef12345678901", "%F0%9F%98%80"):
        async with shelf.service.http.get(f"{shelf.service.url}/notifications/{wrong}", headers=headers) as answer:
            assert answer.status == 400, wrong
            assert answer.headers["Content-Type"].startswith("application/problem+json")


async def test_notifications_are_only_read(shelf: Shelf) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        async with shelf.service.http.request(method, f"{shelf.service.url}/notifications") as answer:
            assert (answer.status, answer.headers["Allow"].split(", ")[0]) == (405, "GET")


async def test_a_walk_shows_every_notification_once_whatever_comes_meanwhile(shelf: Shelf) -> None:
    ids = [await shelf.put(shelf.jane, second=-(number // 2)) for number in range(6)]
    whole = await shelf.ids(shelf.janes)
    assert sorted(whole) == sorted(ids)
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await shelf.service.ask("/notifications", shelf.janes, params={"limit": 2, "cursor": cursor})
        assert set(answer) == {"data", "next_cursor"}
        found += [each["id"] for each in answer["data"]]
        cursor = answer["next_cursor"]
        await shelf.put(shelf.jane, second=1)
    assert found == whole


async def test_a_cursor_holds_for_its_own_list_only(shelf: Shelf) -> None:
    for number in range(3):
        await shelf.put(shelf.jane, second=number)
        await shelf.put(shelf.john, second=number)
    first = await shelf.service.ask("/notifications", shelf.janes, params={"limit": 1, "cursor": ""})
    cursor = first["next_cursor"]
    johns = shelf.service.auth.token(Role.CUSTOMER, shelf.john)
    for token, query in (
        (johns, {"cursor": cursor}),
        (shelf.janes, {"cursor": cursor, "channel": "email"}),
        (shelf.janes, {"cursor": cursor[:-1]}),
        (shelf.janes, {"cursor": "A" * 600}),
        (shelf.janes, {"cursor": cursor, "page": "1"}),
    ):
        answer = await shelf.service.ask("/notifications", token, expect=400, params=query)
        assert answer["errors"][0]["field"] in {"cursor", "page"}


async def test_a_made_up_instant_in_a_cursor_is_refused(shelf: Shelf) -> None:
    way = f"notifications {Filter(UUID(shelf.jane))}"
    for value in ("now", "", "2026-02-17", "\0"):
        made_up = cursor_of(way, Position(value, uuid4()))
        await shelf.service.ask("/notifications", shelf.janes, expect=400, params={"cursor": made_up})
