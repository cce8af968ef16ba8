"""Tokens: what is signed, what is refused, and when one holds. PyJWT judges the signatures independently."""

import base64
import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from shopflow.auth.tokens import (
    SERVICES,
    RefreshClaims,
    ServiceToken,
    Signer,
    TokenKind,
    Tokens,
    UserToken,
    issue_time,
    judge,
    service_token,
)
from shopflow.contracts.identity import Role
from shopflow.kit.problems import Problem

SECRET = "a secret of more than thirty-two bytes"
OTHER = "another secret of more than thirty-two bytes"
OURS = {"alg": "HS256", "typ": "JWT"}
USER = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
EMAIL = "jane.doe@example.com"
CLAIMS: dict[str, Any] = {"sub": str(USER), "email": EMAIL, "role": "customer", "iat": 1739789400, "exp": 1739793000}
SERVICE: dict[str, Any] = {"sub": "notification-service", "role": "service", "iat": 1739789400, "exp": 1739875800}
FAMILY = RefreshClaims(sub=USER, family=UUID(int=1), sequence=1, jti=UUID(int=2), iat=1739789400, exp=1742381400)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(SECRET)


def signed(claims: object, *, secret: str = SECRET, header: object = OURS) -> str:
    """Any claims under any header, signed with HS256 whatever the header says."""
    parts = [_segment(header), _segment(claims)]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        ".".join(parts).encode(), secret.encode()
    )
    return ".".join([*parts, _base64(signature)])


def _segment(value: object) -> str:
    return _base64(value if isinstance(value, bytes) else json.dumps(value).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refused(tokens: Tokens, text: str) -> bool:
    with pytest.raises(Problem) as caught:
        tokens.read(text)
    return caught.value.code == "token-invalid"


def test_an_access_token_holds_exactly_the_five_claims_of_the_contract(tokens: Tokens) -> None:
    text = tokens.access(USER, EMAIL, Role.CUSTOMER, issued=1739789400)
    assert jwt.decode(text, SECRET, algorithms=["HS256"], options={"verify_exp": False}) == CLAIMS
    header = jwt.get_unverified_header(text)
    assert (header.pop("kid"), header) == (tokens.key_id, {"alg": "HS256", "typ": "JWT"})


def test_a_service_token_holds_exactly_the_four_claims_of_the_contract() -> None:
    text = service_token(SECRET, "notification-service", datetime.fromtimestamp(1739789400, UTC))
    assert jwt.decode(text, SECRET, algorithms=["HS256"], options={"verify_exp": False}) == SERVICE


def test_only_known_services_get_a_token(tokens: Tokens) -> None:
    for name in SERVICES:
        assert tokens.read(tokens.service(name, issued=5)) == ServiceToken(name, 5, 5 + 86400)
    with pytest.raises(ValueError, match="notification-service, order-service"):
        tokens.service("another-service", issued=5)


def test_a_token_that_others_signed_with_the_secret_is_read(tokens: Tokens) -> None:
    for claims in (CLAIMS, dict(reversed(CLAIMS.items()))):
        assert tokens.read(jwt.encode(claims, SECRET)) == UserToken(USER, 1739789400, 1739793000)
    assert tokens.read(jwt.encode(SERVICE, SECRET)) == ServiceToken("notification-service", 1739789400, 1739875800)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "nOnE", "typ": "JWT"},
        {"alg": "HS384", "typ": "JWT"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": "hs256"},
        {"alg": ["HS256"]},
        {"alg": None},
        {"typ": "JWT"},
        {"alg": "HS256", "typ": "refresh+jwt"},
        {"alg": "HS256", "typ": "at+jwt"},
        {"alg": "HS256", "typ": 1},
        {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "crit": ["b64"], "b64": False},
        {"alg": "HS256", "jku": "https://example.com/keys"},
        {"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}},
        {"alg": "HS256", "x5u": "https://example.com/cert"},
        {"alg": "HS256", "unknown": 1},
        [],
        "alg",
        7,
        None,
        b"not json",
        b"\xff",
        b"[" * 3000,
    ],
)
@pytest.mark.row("A-1")
def test_a_header_that_is_not_ours_is_refused(tokens: Tokens, header: object) -> None:
    assert refused(tokens, signed(CLAIMS, header=header))


@pytest.mark.row("A-22")
@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1", "k" * 300, "", Tokens(OTHER).key_id])
def test_a_key_id_selects_nothing(tokens: Tokens, kid: str) -> None:
    good = signed(CLAIMS, header={"alg": "HS256", "kid": kid})
    assert tokens.read(good) == UserToken(USER, 1739789400, 1739793000)
    assert refused(tokens, signed(CLAIMS, header={"alg": "HS256", "kid": kid}, secret=OTHER))


@pytest.mark.row("A-22")
@pytest.mark.parametrize("kid", [7, None, ["x"], {"x": 1}])
def test_a_key_id_that_is_no_text_is_refused(tokens: Tokens, kid: object) -> None:
    assert refused(tokens, signed(CLAIMS, header={"alg": "HS256", "kid": kid}))


def everything(tokens: Tokens) -> list[str]:
    """A token of each kind that is shown as a bearer."""
    return [tokens.access(USER, EMAIL, Role.CUSTOMER, issued=1), tokens.service("order-service", issued=1)]


@pytest.mark.row("A-4")
def test_while_secrets_are_changed_the_tokens_of_both_hold_and_new_ones_are_of_the_new() -> None:
    old, both, new = Tokens(OTHER), Tokens(SECRET, previous=OTHER), Tokens(SECRET)
    for text in everything(old):
        assert both.read(text).signer is Signer.PREVIOUS
        assert refused(new, text)
    for text in everything(both):
        assert both.read(text).signer is Signer.CURRENT
        assert new.read(text) == both.read(text)
        assert refused(old, text)
    assert both.read_refresh(old.refresh(FAMILY)) == both.read_refresh(new.refresh(FAMILY)) == FAMILY
    assert both.refresh(FAMILY) == new.refresh(FAMILY) != old.refresh(FAMILY)
    with pytest.raises(Problem):
        new.read_refresh(old.refresh(FAMILY))


def test_a_token_without_a_key_id_is_tried_with_both_secrets() -> None:
    both = Tokens(SECRET, previous=OTHER)
    for secret in (SECRET, OTHER):
        assert both.read(signed(CLAIMS, secret=secret)).expires == 1739793000
    assert refused(both, signed(CLAIMS, secret="a third secret of more than thirty-two bytes"))


def test_whoever_changes_secrets_hears_which_are_in_use_of_remembered_tokens_too() -> None:
    heard: list[tuple[TokenKind, Signer]] = []
    both = Tokens(SECRET, previous=OTHER, verified=lambda kind, signer: heard.append((kind, signer)))
    access, service = everything(Tokens(OTHER))
    for text in (access, access, service):
        both.read(text)
    both.read_refresh(both.refresh(FAMILY))
    assert refused(both, access[:-2] + "AA")
    assert heard == [
        (TokenKind.ACCESS, Signer.PREVIOUS),
        (TokenKind.ACCESS, Signer.PREVIOUS),
        (TokenKind.SERVICE, Signer.PREVIOUS),
        (TokenKind.REFRESH, Signer.CURRENT),
    ]


def test_a_key_id_is_short_follows_from_the_secret_and_is_no_plain_digest_of_it() -> None:
    assert Tokens(SECRET).key_id == Tokens(SECRET, previous=OTHER).key_id != Tokens(OTHER).key_id
    assert len(Tokens(SECRET).key_id) == 12
    for digest in (hashlib.sha256, hashlib.sha1, hashlib.md5, hashlib.sha512):
        assert Tokens(SECRET).key_id not in digest(SECRET.encode()).hexdigest()


@pytest.mark.parametrize(
    "claims",
    [
        *[{name: value for name, value in CLAIMS.items() if name != left} for left in CLAIMS],
        CLAIMS | {"sub": "not-a-uuid"},
        CLAIMS | {"sub": f"{{{USER}}}"},
        CLAIMS | {"sub": "notification-service"},
        CLAIMS | {"sub": 7},
        CLAIMS | {"role": "root"},
        CLAIMS | {"role": "service"},
        CLAIMS | {"email": None},
        CLAIMS | {"exp": "1739793000"},
        CLAIMS | {"exp": 1739793000.0},
        CLAIMS | {"exp": 1739793000.5},
        CLAIMS | {"exp": 1e308},
        CLAIMS | {"exp": 2**63},
        CLAIMS | {"exp": math.nan},
        CLAIMS | {"exp": math.inf},
        CLAIMS | {"iat": 1739789400.0},
        CLAIMS | {"exp": True},
        CLAIMS | {"exp": None},
        CLAIMS | {"exp": -1},
        CLAIMS | {"exp": 10**400},
        CLAIMS | {"iat": None},
        CLAIMS | {"nbf": 99999999999},
        CLAIMS | {"aud": "somebody else"},
        SERVICE | {"sub": str(USER)},
        SERVICE | {"sub": "another-service"},
        SERVICE | {"role": "customer"},
        SERVICE | {"role": "admin"},
        SERVICE | {"email": EMAIL},
        [CLAIMS],
        None,
        b"not json",
        b"\xff\xfe",
        b"[" * 2500,
        json.dumps(CLAIMS).replace("{", '{"role": "admin", ', 1).encode(),
    ],
)
@pytest.mark.row("A-5", "A-21", "T-6")
def test_claims_that_are_not_ours_are_refused_although_well_signed(tokens: Tokens, claims: object) -> None:
    assert refused(tokens, signed(claims))


@pytest.mark.row("A-1", "A-21")
def test_a_token_has_three_canonical_parts(tokens: Tokens) -> None:
    good = tokens.access(USER, EMAIL, Role.CUSTOMER, issued=1)
    head, body, signature = good.split(".")
    last = "AEIMQUYcgkosw048".find(signature[-1])
    twin = signature[:-1] + chr(ord(signature[-1]) + 1)  # the same bytes for a careless decoder
    assert last >= 0
    for text in (
        "",
        ".",
        "..",
        f"{head}.{body}",
        f"{head}.{body}.",
        f"{good}.",
        f"{good}.{signature}",
        f"{good}.{body}.{signature}",
        "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4.x",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{twin}",
        f"{head}=.{body}.{signature}",
        f" {good}",
        f"{good}\n",
        f"{head}.{body}.{signature[:-4]}",
        f"{head}..{signature}",
        "ü.ü.ü",
    ):
        assert refused(tokens, text), text


@pytest.mark.row("A-21")
def test_a_token_longer_than_four_kilobytes_is_refused(tokens: Tokens) -> None:
    for size in (4000, 1_000_000):
        assert refused(tokens, signed(CLAIMS | {"email": "x" * size}))


def test_another_secret_signs_nothing_that_holds(tokens: Tokens) -> None:
    assert refused(tokens, Tokens(OTHER).access(USER, EMAIL, Role.ADMIN, issued=1))
    assert refused(tokens, Tokens(OTHER).service("order-service", issued=1))


def test_one_kind_of_token_is_never_taken_for_another(tokens: Tokens) -> None:
    assert refused(tokens, tokens.refresh(FAMILY))
    assert refused(tokens, signed(json.loads(msgspec.json.encode(FAMILY))))
    edited = signed(CLAIMS, header={"alg": "HS256", "typ": "refresh+jwt"})
    for text in (
        tokens.access(USER, EMAIL, Role.CUSTOMER, issued=1),
        tokens.service("order-service", issued=1),
        edited,
        signed(json.loads(msgspec.json.encode(FAMILY)), header={"alg": "HS256", "typ": "refresh+jwt"}),
    ):
        with pytest.raises(Problem) as caught:
            tokens.read_refresh(text)
        assert caught.value.code == "token-invalid"


def test_the_same_row_always_signs_to_the_same_refresh_token(tokens: Tokens) -> None:
    text = tokens.refresh(FAMILY)
    assert text == Tokens(SECRET).refresh(FAMILY)
    assert tokens.read_refresh(text) == FAMILY


@pytest.mark.row("T-2", "T-3")
@pytest.mark.parametrize(("issued", "expires"), [(970, 1001), (1029, 2000), (1030, 2000), (0, 1001)])
def test_a_token_holds_until_it_expires_and_thirty_seconds_early(issued: int, expires: int) -> None:
    judge(UserToken(USER, issued, expires), now=1000)
    judge(ServiceToken("order-service", issued, expires), now=1000)


@pytest.mark.parametrize(
    ("issued", "expires", "ended_until", "code"),
    [
        (900, 1000, None, "token-expired"),
        (900, 999, None, "token-expired"),
        (1031, 2000, None, "token-invalid"),
        (950, 2000, 950, "token-invalid"),
        (950, 2000, 951, "token-invalid"),
    ],
)
@pytest.mark.row("T-2", "T-3")
def test_a_token_outside_its_times_is_refused(issued: int, expires: int, ended_until: int | None, code: str) -> None:
    with pytest.raises(Problem) as caught:
        judge(UserToken(USER, issued, expires), now=1000.0, ended_until=ended_until)
    assert caught.value.code == code


def test_a_token_issued_after_all_others_were_ended_holds_at_once() -> None:
    now = datetime.fromtimestamp(1000.7, UTC)
    assert issue_time(now, None) == 1000
    assert issue_time(now, 900) == 1000
    assert issue_time(now, 1000) == 1001
    judge(UserToken(USER, issue_time(now, 1000), 5000), now=1000.7, ended_until=1000)


@given(some.text(max_size=200) | some.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_whatever_is_shown_instead_of_a_token_is_refused(text: str) -> None:
    assert refused(Tokens(SECRET), text)


@given(some.data())
def test_a_token_changed_anywhere_is_refused(data: some.DataObject) -> None:
    tokens = Tokens(SECRET)
    good = tokens.access(USER, EMAIL, Role.CUSTOMER, issued=1739789400)
    at = data.draw(some.integers(0, len(good) - 1))
    changed = good[:at] + data.draw(some.characters(codec="latin-1")) + good[at + 1 :]
    if changed != good:
        assert refused(tokens, changed)
        with pytest.raises(jwt.InvalidTokenError):
            jwt.decode(changed, SECRET, algorithms=["HS256"])


def test_only_what_was_verified_is_remembered() -> None:
    tokens = Tokens(SECRET, remembered=2)
    good = tokens.access(USER, EMAIL, Role.CUSTOMER, issued=1)
    assert tokens.remembered == 0
    assert tokens.read(good) == tokens.read(good)
    assert tokens.remembered == 1
    for _ in range(2):
        assert refused(tokens, good[:-2] + "AA")
    assert tokens.remembered == 1


@pytest.mark.parametrize("previous", [None, OTHER])
def test_what_is_remembered_says_the_same_as_what_was_read(previous: str | None) -> None:
    tokens = Tokens(SECRET, previous=previous)
    signers = [Tokens(secret) for secret in (SECRET, previous) if secret]
    for text in [signer.access(USER, EMAIL, Role.CUSTOMER, issued=1) for signer in signers]:
        assert (first := tokens.read(text)) == tokens.read(text) == Tokens(SECRET, previous=previous).read(text)
        assert isinstance(first, UserToken)
    for text in [signer.service("order-service", issued=1) for signer in signers]:
        assert isinstance(tokens.read(text), ServiceToken)
        assert tokens.read(text) == Tokens(SECRET, previous=previous).read(text)


def test_a_pseudonym_tells_equal_addresses_and_nothing_else(tokens: Tokens) -> None:
    assert tokens.pseudonym("192.0.2.1") == Tokens(SECRET).pseudonym("192.0.2.1")
    assert tokens.pseudonym("192.0.2.1") != Tokens(OTHER).pseudonym("192.0.2.1")
    assert "192" not in tokens.pseudonym("192.0.2.1")
