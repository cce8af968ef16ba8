"""The Authorization header in all the forms that it comes in: one of them lets in, the others are a 401 (A-20)."""

import asyncio

import pytest
from tests.service.auth.shop import Person, Shop
from tests.service.kit.stand import Heard, told


def asked(method: bytes, path: bytes, headers: bytes) -> bytes:
    """A request with these headers, the last on its connection."""
    return method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"


async def everywhere(shop: Shop, person: Person, headers: bytes) -> list[Heard]:
    """What validation and a profile answer to these headers."""
    profile = f"/auth/users/{person.id}".encode()
    raw = [asked(b"POST", b"/auth/validate", headers), asked(b"GET", profile, headers)]
    return await asyncio.gather(*(told(shop.url, each) for each in raw))


@pytest.mark.row("A-20")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_may_be_written_in_any_case(shop: Shop, scheme: str) -> None:
    person = await shop.person()
    for heard in await everywhere(shop, person, f"Authorization: {scheme} {person.token}\r\n".encode()):
        assert heard.statuses == [200]


@pytest.mark.row("A-20")
@pytest.mark.parametrize(
    "form",
    [
        "", "Authorization:\r\n", "Authorization: \r\n", "Authorization: Bearer\r\n", "Authorization: Bearer \r\n",
        "Authorization: bearer x\r\n", "Authorization: Bearer  {token}\r\n", "Authorization: Bearer\t{token}\r\n",
        "Authorization: Bearer {token} x\r\n", "Authorization: Bearer {token},\r\n",
        "Authorization: Bearer, {token}\r\n",
        'Authorization: Bearer "{token}"\r\n', "Authorization: Bearer={token}\r\n", "Authorization: {token}\r\n",
        "Authorization: Basic {token}\r\n", "Authorization: Basic dXNlcjpwYXNz\r\n", "Authorization: Token {token}\r\n",
        "Authorization: Digest username=x\r\n", "Authorization: Bearer {token}{token}\r\n",
        "Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n",
        "Authorization: Bearer x\r\nAuthorization: Bearer {token}\r\n",
        "Authorization: Bearer {token}\r\nAuthorization: Basic dXNlcjpwYXNz\r\n",
        "Authorization: Bearer {token}\xff\r\n", "Authorization: Bearer \xff\xfe\xfd\r\n",
        "Authorization: B\xe9arer {token}\r\n",
        "Authorization: Bearer {token}.\r\n", "Authorization: Bearer .\r\n", "Authorization: Bearer ..\r\n",
        "Proxy-Authorization: Bearer {token}\r\n", "X-Authorization: Bearer {token}\r\n",
        "Cookie: access_token={token}\r\n",
        "Authorization: Bearer " + "x" * 10_000 + "\r\n",
    ],
)  # fmt: skip
async def test_every_other_form_is_a_401(shop: Shop, form: str) -> None:
    person = await shop.person()
    for heard in await everywhere(shop, person, form.replace("{token}", person.token).encode("latin-1")):
        assert heard.statuses == [401], heard.raw
        assert b"www-authenticate: bearer" in heard.head
        assert b"content-type: application/problem+json" in heard.head
        assert person.token.encode() not in heard.raw


@pytest.mark.row("A-20")
async def test_a_hundred_kilobytes_are_refused_for_their_size(shop: Shop) -> None:
    person = await shop.person()
    for heard in await everywhere(shop, person, b"Authorization: Bearer " + b"x" * 100_000 + b"\r\n"):
        assert heard.statuses in ([431], [400])


@pytest.mark.row("A-20")
async def test_a_token_in_the_address_or_in_a_body_is_no_token(shop: Shop) -> None:
    person = await shop.person()
    for name in ("access_token", "token", "authorization", "Authorization"):
        for method, path in (("POST", "/auth/validate"), ("GET", f"/auth/users/{person.id}")):
            answer = await shop.ask(method, f"{path}?{name}={person.token}")
            assert (answer.status, answer.code) == (401, "token-missing")
    answer = await shop.ask("POST", "/auth/validate", body={"access_token": person.token, "token": person.token})
    assert answer.status == 401
