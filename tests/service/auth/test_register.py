"""POST /auth/register: what is taken, what is refused, and that nothing is half-stored (PRD 4.1)."""

import asyncio
from collections import Counter

import pytest
from tests.service.auth.shop import PASSWORD, Shop

from shopflow.auth import passwords

BODY = {"email": "jane.doe@example.com", "password": PASSWORD, "first_name": "Jane", "last_name": "Doe"}

BROKEN: list[tuple[dict[str, object], set[str]]] = [
    ({"email": None}, {"email"}),
    ({"email": "jane"}, {"email"}),
    ({"email": 7}, {"email"}),
    ({"email": ""}, {"email"}),
    ({"email": " jane@example.com"}, {"email"}),
    ({"email": "j" * 70 + "@example.com"}, {"email"}),
    ({"password": None}, {"password"}),
    ({"password": "Aa1!Aa1"}, {"password"}),
    ({"password": "Aa1!" + "x" * 69}, {"password"}),
    ({"password": "aaaaaa1!"}, {"password"}),
    ({"password": "AAAAAA1!"}, {"password"}),
    ({"password": "Aaaaaaa!"}, {"password"}),
    ({"password": "Aaaaaaa1"}, {"password"}),
    ({"password": True}, {"password"}),
    ({"first_name": None}, {"first_name"}),
    ({"first_name": ""}, {"first_name"}),
    ({"first_name": " \u3000"}, {"first_name"}),
    ({"first_name": "x" * 101}, {"first_name"}),
    ({"first_name": "Jane\r\nBcc: x@example.com", "last_name": "\nDoe"}, {"first_name", "last_name"}),
    ({"last_name": "Doe\r"}, {"last_name"}),
    ({"last_name": "\n"}, {"last_name"}),
    ({"last_name": ["Doe"]}, {"last_name"}),
    ({"phone": "5551234567"}, {"phone"}),
    ({"phone": "+05551234567"}, {"phone"}),
    ({"phone": "+1 555 123 4567"}, {"phone"}),
    ({"phone": "+1234567890123456"}, {"phone"}),
    ({"phone": "+"}, {"phone"}),
    ({"phone": ""}, {"phone"}),
    ({"phone": "+1555\u0663\u0663\u0663\u0663"}, {"phone"}),
    ({"email": 7, "password": None, "first_name": "", "phone": "1"}, {"email", "password", "first_name", "phone"}),
    ({"email": "jane", "password": "x", "last_name": " "}, {"email", "password", "last_name"}),
]

NAMES = ["x", "x" * 100, "😀" * 100, "O'Brien-Søren \u202e", "Zoë\t", "Jane\u2028Doe"]

MALFORMED = [
    (b"", 400, "invalid-request"),
    (b"{", 400, "malformed-json"),
    (b"null", 400, "invalid-request"),
    (b"[]", 400, "invalid-request"),
    (b'{"email": "a\\u0000@example.com"}', 400, "malformed-json"),
    (b'{"password": "S3cur3P@ss\\u0000"}', 400, "malformed-json"),
    (b'{"password": "S3cur3P@ss\\ud800"}', 400, "malformed-json"),
    (b'{"password": "S3cur3P@ss\x00"}', 400, "malformed-json"),
    (b'{"first_name": "Ja\\u0000ne"}', 400, "malformed-json"),
    (b'{"email": "\\ud800@example.com"}', 400, "malformed-json"),
    (b'{"email": "\xff"}', 400, "malformed-json"),
    (b"[" * 10_000, 400, "malformed-json"),
    (b'{"email": 1e999}', 400, "invalid-request"),
    (b'{"email": "' + b"x" * 17_000 + b'"}', 413, "body-too-large"),
]


async def users(shop: Shop) -> int:
    return int(await shop.database.fetchval("SELECT count(*) FROM users"))


async def test_a_new_account_is_answered_with_exactly_the_fields_of_the_contract(shop: Shop) -> None:
    answer = await shop.register(email="Jane.Doe@Example.com")
    assert answer.status == 201
    assert list(answer.body) == ["id", "email", "first_name", "last_name", "phone", "role", "created_at"]
    assert answer.body["email"] == "jane.doe@example.com"
    assert answer.body["role"] == "customer"


async def test_the_password_is_stored_as_a_bcrypt_hash_of_the_cost_in_force(shop: Shop) -> None:
    await shop.register()
    assert str(await shop.database.fetchval("SELECT password_hash FROM users")).startswith("$2b$04$")


@pytest.mark.parametrize("sent", [{"phone": None}, {"phone": None, "extra": 1}])
async def test_a_phone_is_optional(shop: Shop, sent: dict[str, object]) -> None:
    assert (await shop.register(**sent)).body["phone"] is None
    answer = await shop.ask("POST", "/auth/register", body=BODY | {"phone": None})
    assert (answer.status, answer.body["phone"]) == (201, None)


@pytest.mark.row("A-19")
async def test_what_only_the_service_decides_is_ignored(shop: Shop) -> None:
    sent = {"role": "admin", "is_active": False, "id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "created_at": "x"}
    answer = await shop.register(**sent)
    assert answer.status == 201
    assert answer.body["role"] == "customer"
    assert answer.body["id"] != sent["id"]
    assert await shop.database.fetchval("SELECT is_active FROM users")


async def test_every_broken_rule_is_named_and_nothing_is_stored(shop: Shop) -> None:
    for fields, named in BROKEN:
        body = {name: value for name, value in (BODY | fields).items() if value is not None}
        answer = await shop.ask("POST", "/auth/register", body=body)
        assert (answer.status, answer.code) == (400, "invalid-request"), fields
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert {each["field"] for each in answer.body["errors"]} == named, fields
        assert await users(shop) == 0


@pytest.mark.row("M-1")
async def test_a_name_with_a_line_break_is_refused_for_what_it_is(shop: Shop) -> None:
    for line_break in ("\r", "\n", "\r\n"):
        answer = await shop.register(first_name=f"Jane{line_break}Bcc: x@example.com")
        assert (answer.status, answer.body["errors"]) == (
            400,
            [{"field": "first_name", "rule": "must not have line breaks"}],
        )
    for raw in (b'{"first_name": "Ja\\u0000ne"}', b'{"last_name": "\x00"}'):
        assert (await shop.ask("POST", "/auth/register", raw=raw)).status == 400
    assert await users(shop) == 0


async def test_a_name_has_one_to_a_hundred_characters_of_any_kind(shop: Shop) -> None:
    for name in NAMES:
        answer = await shop.register(first_name=name)
        assert (answer.status, answer.body["first_name"]) == (201, name)


async def test_a_body_that_is_not_ours_is_refused_without_a_trace(shop: Shop) -> None:
    for raw, status, code in MALFORMED:
        answer = await shop.ask("POST", "/auth/register", raw=raw)
        assert (answer.status, answer.code) == (status, code), raw[:40]
        assert await users(shop) == 0


async def test_another_content_type_is_refused(shop: Shop) -> None:
    sent = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await shop.ask("POST", "/auth/register", raw=b"email=a", headers=sent)
    assert (answer.status, answer.code) == (415, "unsupported-media-type")


async def test_no_problem_repeats_what_was_sent(shop: Shop) -> None:
    marker = "c4n4ry"
    sent = {"email": f"{marker}@", "password": marker, "first_name": marker * 40, "phone": marker}
    for body in (sent, BODY | {"password": marker, "email": f"{marker}@"}, BODY | {"phone": marker}):
        answer = await shop.ask("POST", "/auth/register", body=body)
        assert answer.status == 400
        assert marker not in str(answer.body)


async def test_an_address_has_one_account_however_it_is_written(shop: Shop) -> None:
    assert (await shop.register(email="Jane@BÜCHER.example")).status == 201
    for email in ("jane@bücher.example", "JANE@xn--bcher-kva.EXAMPLE"):
        answer = await shop.register(email=email)
        assert (answer.status, answer.code) == (409, "email-already-registered")


@pytest.mark.row("A-18")
async def test_fifty_registrations_of_one_address_at_once_make_one_account(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.register(email=f"{'J' if n % 2 else 'j'}ane@example.com") for n in range(50)))
    assert Counter(answer.status for answer in answers) == {201: 1, 409: 49}
    assert await users(shop) == 1


async def test_a_taken_address_costs_a_hash_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the time would tell what the 409 tells, and to more who ask less often (R17)."""
    made: list[int] = []
    real = passwords.hashed

    def counting(password: str, cost: int) -> str:
        made.append(cost)
        return real(password, cost)

    monkeypatch.setattr(passwords, "hashed", counting)
    for status in (201, 409):
        made.clear()
        assert (await shop.register(email="jane@example.com")).status == status
        assert made == [4]
