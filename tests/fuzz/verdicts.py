"""Whether a token holds: by our reader, and by PyJWT with the rules that we add written down one by one."""

import json
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from time import time
from typing import Any, Final

import jwt
from tests.fuzz.forgery import SECRET, Forger, access_claims, refresh_claims

from shopflow.auth.keys import keys
from shopflow.auth.tokens import CLOCK_SKEW, LONGEST, SERVICES, Tokens, judge
from shopflow.contracts.fields import identifier
from shopflow.kit.problems import Problem

MEMBERS: Final = frozenset({"alg", "typ", "kid"})
PERSON: Final = frozenset({"sub", "email", "role", "iat", "exp"})
SERVICE: Final = frozenset({"sub", "role", "iat", "exp"})
FAMILY: Final = frozenset({"kind", "sub", "family", "sequence", "jti", "iat", "exp"})

LONGEST_HEADER: Final = 512

_UNTIMED: Final[Any] = {"verify_exp": False, "verify_iat": False, "verify_aud": False, "verify_nbf": False}
_EXPIRY: Final[Any] = {"verify_iat": False, "verify_aud": False, "require": ["sub", "iat", "exp"]}
_ISSUE: Final[Any] = {"verify_exp": False, "verify_aud": False}


@dataclass
class Comparison:
    """What came of judging tokens twice."""

    judged: int = 0
    held: int = 0
    stricter: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def add(self, text: str, ours: bool, theirs: tuple[bool, str | None]) -> None:
        """Notes both verdicts about a token: ours, and PyJWT's with the rule of ours that it breaks beyond."""
        accepted, stricter = theirs
        self.judged += 1
        self.held += ours
        if accepted and stricter:
            self.stricter[stricter] += 1
        if ours is not (accepted and stricter is None):
            self.differences.append(f"we {ours}, PyJWT {accepted}, our rule {stricter}: {text[:600]!r}")


def compared(number: int, seed: int) -> Comparison:
    """So many tokens, four of five of them access and service tokens, the others refresh tokens, judged twice."""
    dice = Random(seed)  # noqa: S311 - dice that can be thrown again
    found, ours = Comparison(), Tokens(SECRET)
    now, refresh_key = int(time()), keys(SECRET).refresh.get_op_key("sign")
    access = Forger(dice, now=now, secret=SECRET.encode(), claims=access_claims, typ="JWT")
    refresh = Forger(dice, now=now, secret=refresh_key, claims=refresh_claims, typ="refresh+jwt")
    for index in range(number):
        if index % 5:
            text = access.token()
            found.add(text, _read(ours, text), accepted_access(text))
        else:
            text = refresh.token()
            found.add(text, _read_refresh(ours, text), accepted_refresh(text, refresh_key))
    return found


def _read(tokens: Tokens, text: str) -> bool:
    try:
        judge(tokens.read(text), now=time())
    except Problem:
        return False
    return True


def _read_refresh(tokens: Tokens, text: str) -> bool:
    try:
        tokens.read_refresh(text)
    except Problem:
        return False
    return True


def accepted_access(text: str) -> tuple[bool, str | None]:
    """Whether PyJWT takes it for a token that holds now, and which rule of ours it breaks beyond."""
    try:
        whole = jwt.decode_complete(text, SECRET, algorithms=["HS256"], options=_EXPIRY)
        jwt.decode(text, SECRET, algorithms=["HS256"], options=_ISSUE, leeway=CLOCK_SKEW)
    except (jwt.PyJWTError, *_ACCIDENTS):
        return False, None
    return True, _further(text, whole, "JWT") or _access_rule(whole["payload"])


def accepted_refresh(text: str, secret: bytes) -> tuple[bool, str | None]:
    """The same for refresh tokens, whose times their row decides."""
    try:
        whole = jwt.decode_complete(text, secret, algorithms=["HS256"], options=_UNTIMED)
    except (jwt.PyJWTError, *_ACCIDENTS):
        return False, None
    return True, _further(text, whole, "refresh+jwt") or _refresh_rule(whole["payload"])


_ACCIDENTS: Final = (UnicodeEncodeError,)
"""What PyJWT lets escape for texts that are no token: half a surrogate pair cannot be encoded."""


def _further(text: str, whole: dict[str, Any], typ: str) -> str | None:
    """Our rules for every kind of token, beyond PyJWT's."""
    header, claims, _ = text.split(".")
    if len(text) > LONGEST:
        return "longer than 4096 characters"
    if "=" in text:
        return "padding, which RFC 7515 leaves out"
    if len(header) > LONGEST_HEADER:
        return "a header longer than 512 characters"
    if not whole["header"].keys() <= MEMBERS:
        return "a header member that we do not know"
    if whole["header"].get("typ", "JWT") != typ:
        return "another kind of token"
    if _has_twice(jwt.utils.base64url_decode(claims)):
        return "a claim twice"
    return None


def _access_rule(claims: dict[str, Any]) -> str | None:
    if claims.keys() - PERSON or SERVICE - claims.keys():
        return "other claims than the contract's"
    if not _are_seconds(claims["iat"], claims["exp"]):
        return "times that are no whole seconds"
    if claims["role"] == "service":
        right = claims["sub"] in tuple(SERVICES) and claims.get("email") is None
    else:
        is_person = claims["role"] in ("customer", "admin") and isinstance(claims.get("email"), str)
        right = is_person and identifier(claims["sub"]) is not None
    return None if right else "a subject that does not fit the role"


def _refresh_rule(claims: dict[str, Any]) -> str | None:
    if claims.keys() - FAMILY or FAMILY - {"kind"} - claims.keys() or claims.get("kind", "refresh") != "refresh":
        return "other claims than the contract's"
    if not _are_seconds(claims["iat"], claims["exp"]):
        return "times that are no whole seconds"
    ids = all(isinstance(claims[name], str) and _is_uuid(claims[name]) for name in ("sub", "family", "jti"))
    sequence = claims["sequence"]
    right = ids and type(sequence) is int and 1 <= sequence < 2**31 - 1
    return None if right else "a link that does not exist"


def _are_seconds(*values: object) -> bool:
    return all(type(value) is int and 0 <= value <= 2**53 for value in values)


def _is_uuid(text: str) -> bool:
    """As msgspec reads it: 32 hexadecimal digits, with or without the hyphens; the row it names decides anyway."""
    bare = text.replace("-", "") if identifier(text) else text
    return len(bare) == 32 and all(each in "0123456789abcdefABCDEF" for each in bare)


def _has_twice(raw: bytes) -> bool:
    found = False

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found |= len(dict(pairs)) != len(pairs)
        return dict(pairs)

    json.loads(raw, object_pairs_hook=look)
    return found
