"""Makes tokens as an attacker would: good ones, and good ones with one thing changed. All dice come from outside."""

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final
from uuid import UUID

SECRET: Final = "a secret of more than thirty-two bytes"
OTHER: Final = "another secret of more than thirty-two bytes"

_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 1.0, 1.5, 1e308, -0.0, 2**31, 2**53, 2**53 + 1, 2**63, 10**400, "", "0", "1", "abc",
    "\x00", "\ud800", "é", [], [1], {}, {"a": 1}, [[[]]], float("nan"), float("inf"), "JWT", "HS256", "none",
)  # fmt: skip
_PEOPLE: Final = ("customer", "admin")
_NAMES: Final = ("order-service", "notification-service")


@dataclass
class Draft:
    """A token before it is put together; each part can be spoiled by itself."""

    header: Any
    claims: Any
    secret: bytes
    digest: str = "sha256"
    header_text: bytes | None = None
    claims_text: bytes | None = None
    signature: bytes | None = None
    parts: Callable[[list[str]], list[str]] = field(default=lambda parts: parts)

    def text(self) -> str:
        """The token."""
        header = self.header_text if self.header_text is not None else _json(self.header)
        claims = self.claims_text if self.claims_text is not None else _json(self.claims)
        signed = f"{_base64(header)}.{_base64(claims)}"
        signature = self.signature
        if signature is None:
            signature = hmac.digest(self.secret, signed.encode(), self.digest)
        return ".".join(self.parts([*signed.split("."), _base64(signature)]))


class Forger:
    """Makes one token after the other.

    Args:
        dice: where all chance comes from.
        now: the instant that times lie around, in seconds since 1970.
        secret: what good tokens are signed with.
        claims: makes the claims of a good token.
        typ: the `typ` of a good token's header.
    """

    def __init__(
        self, dice: Random, *, now: int, secret: bytes, claims: Callable[[Random, int], dict[str, Any]], typ: str
    ) -> None:
        self._dice = dice
        self._now = now
        self._secret = secret
        self._claims = claims
        self._typ = typ
        self._spoil = (
            self._header_member, self._header_text, self._algorithm, self._claim, self._claim, self._times, self._times,
            self._claims_text, self._signature, self._encoding, self._parts, self._character, self._size, self._key,
        )  # fmt: skip

    def token(self) -> str:
        """A token: one in five is good, most others have one thing wrong, some have several."""
        good = Draft({"alg": "HS256", "typ": self._typ, "kid": "0123456789ab"}, self._claims(self._dice, self._now),
                     self._secret)  # fmt: skip
        draft: Draft | str = good
        for _ in range(self._dice.choice((0, 1, 1, 1, 2))):
            draft = self._dice.choice(self._spoil)(draft if isinstance(draft, Draft) else good)
        return draft if isinstance(draft, str) else draft.text()

    def _header_member(self, draft: Draft) -> Draft:
        if not isinstance(draft.header, dict):
            return draft
        dice = self._dice
        name = dice.choice(("alg", "typ", "kid", "cty", "crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "ALG"))
        usual = {
            "alg": ("none", "None", "nOnE", "HS256", "hs256", "HS384", "RS256", "ES256", "EdDSA"),
            "typ": ("JWT", "jwt", "at+jwt", "refresh+jwt", "JOSE", "application/jwt"),
            "kid": ("../../etc/passwd", "' OR 1=1 --", "k" * 1000, "0"),
            "crit": ([], ["exp"], ["b64"], ["alg"], "b64"),
            "b64": (True, False),
        }.get(name, ("https://attacker.example/keys", {"kty": "oct", "k": "AA"}))
        header = dict(draft.header)
        if dice.random() < 0.2:
            header.pop(name, None)
        else:
            header[name] = dice.choice((*usual, dice.choice(_ODD)))
        return replace(draft, header=header)

    def _header_text(self, draft: Draft) -> Draft:
        return replace(draft, header_text=self._spoilt_text(_json(draft.header)))

    def _claims_text(self, draft: Draft) -> Draft:
        return replace(draft, claims_text=self._spoilt_text(_json(draft.claims)))

    def _spoilt_text(self, text: bytes) -> bytes:
        dice = self._dice
        twice = dice.choice((b'{"alg":"HS256",', b'{"role":"admin",', b'{"sub":"x",', b'{"exp":9999999999,'))
        return dice.choice(
            (
                b"", b"null", b"[]", b"1", b'"text"', b"{}", b"[" * 2000, b'{"a":' * 500, b"\xef\xbb\xbf" + text,
                text + b" ", b" \n" + text, text + text, text[:-1], text.replace(b'"', b"'"), text[:20] + b"\xff" +
                text[20:], twice + text[1:], twice + text[1:], text.decode().encode("utf-16"),
                text.replace(b":", b" : "), text.replace(b"a", b"\\u0061"), text.replace(b"}", b",}"),
            )
        )  # fmt: skip

    def _algorithm(self, draft: Draft) -> Draft:
        name = self._dice.choice(("HS384", "HS512", "none"))
        header = {**draft.header, "alg": name} if isinstance(draft.header, dict) else draft.header
        if name == "none":
            return replace(draft, header=header, signature=self._dice.choice((b"", None)))
        return replace(draft, header=self._dice.choice((header, draft.header)), digest=_DIGESTS[name])

    def _claim(self, draft: Draft) -> Draft:
        if not isinstance(draft.claims, dict):
            return replace(draft, claims=self._dice.choice(_ODD))
        dice, claims = self._dice, dict(draft.claims)
        name = dice.choice((*claims, "nbf", "aud", "iss", "jti", "kind", "scope", "is_active"))
        words = ("customer", "admin", "service", "root", *_NAMES, str(_uuid(dice)), _uuid(dice).hex, "jane@example.com")
        chance = dice.random()
        if chance < 0.25:
            claims.pop(name, None)
        elif chance < 0.6:
            claims[name] = dice.choice(words)
        else:
            claims[name] = dice.choice(_ODD)
        return replace(draft, claims=claims)

    def _times(self, draft: Draft) -> Draft:
        if not isinstance(draft.claims, dict):
            return draft
        name = self._dice.choice(("iat", "exp", "nbf"))
        # No nearer to an edge than a machine may stand still: the edges have tests with a clock of their own.
        offset = self._dice.choice(
            (-(10**9), -86400, -3600, -40, -20, 0, 5, 20, 45, 3600, 86400, 10**9, 10**12, 10**15)
        )
        value = self._now + offset + (60 if name == "exp" and offset >= 0 else 0)
        shaped = self._dice.choice((value, value, value, value, float(value), value + 0.5, str(value), [value]))
        return replace(draft, claims={**draft.claims, name: shaped})

    def _signature(self, draft: Draft) -> Draft:
        right = base64.urlsafe_b64decode(replace(draft, parts=lambda parts: parts).text().split(".")[-1] + "==")
        flipped = bytearray(right or b"\0")
        flipped[self._dice.randrange(len(flipped))] ^= 1 << self._dice.randrange(8)
        wrong = (
            b"",
            right[:-1],
            right + b"\0",
            right * 2,
            bytes(flipped),
            b"\0" * 32,
            self._dice.randbytes(32),
            right[::-1],
        )
        return replace(draft, signature=self._dice.choice(wrong))

    def _key(self, draft: Draft) -> Draft:
        return replace(draft, secret=self._dice.choice((OTHER.encode(), b"", SECRET.upper().encode(), SECRET.encode())))

    def _encoding(self, draft: Draft) -> Draft:
        """Base64 as no strict reader takes it: padding, the other alphabet, stray characters, unused bits."""
        dice, at = self._dice, self._dice.randrange(3)

        def spoilt(parts: list[str]) -> list[str]:
            part = parts[at]
            where = dice.randint(0, len(part))
            stray = dice.choice(("=", "==", "\n", " ", "\t", "\r\n", "+", "/", ".", "%", "\u00e9", "\0", "-", "_", "~"))
            last = part[:-1] + chr(ord(part[-1]) + 1) if part and part[-1] in "AEIMQUYcgkosw048" else part
            parts[at] = dice.choice(
                (part + "=", part + "==", part + "=" * (-len(part) % 4), part[:where] + stray + part[where:],
                 part.replace("-", "+").replace("_", "/"), last, part + "A", part[:-1])
            )  # fmt: skip
            return parts

        return replace(draft, parts=spoilt)

    def _parts(self, draft: Draft) -> Draft:
        choice = self._dice.randrange(9)

        def cut(parts: list[str]) -> list[str]:
            header, claims, signature = parts
            return [
                [header, claims], [header], [""], [*parts, signature], [*parts, "", ""], ["", *parts],
                [header, "", signature], ["", claims, signature], [claims, header, signature],
            ][choice]  # fmt: skip

        return replace(draft, parts=cut)

    def _character(self, draft: Draft) -> str:
        text, dice = draft.text(), self._dice
        where = dice.randint(0, len(text))
        character = dice.choice("AZaz09-_.=+/ \n\0é\U0001f600")
        return dice.choice(
            (text[:where] + character + text[where:], text[:where] + character + text[where + 1 :],
             text[:where] + text[where + 1 :], text.swapcase(), text + character, character + text)
        )  # fmt: skip

    def _size(self, draft: Draft) -> Draft:
        if not isinstance(draft.claims, dict):
            return draft
        longest = self._dice.choice((10, 1000, 2700, 2800, 2850, 2900, 3000, 4000, 50_000))
        if self._dice.random() < 0.02:
            longest = 1_000_000
        name = self._dice.choice(("email", "email", "sub", "more"))
        return replace(draft, claims={**draft.claims, name: "x" * longest})


def access_claims(dice: Random, now: int) -> dict[str, Any]:
    """The claims of a good access token, or of a good service token."""
    issued = now - dice.randint(0, 3000)
    if dice.random() < 0.3:
        return {"sub": dice.choice(_NAMES), "role": "service", "iat": issued, "exp": issued + 86400}
    person = {"sub": str(_uuid(dice)), "email": "jane.doe@example.com", "role": dice.choice(_PEOPLE)}
    return person | {"iat": issued, "exp": issued + 3600}


def refresh_claims(dice: Random, now: int) -> dict[str, Any]:
    """The claims of a good refresh token."""
    ids = {name: str(_uuid(dice)) for name in ("sub", "family", "jti")}
    return {"kind": "refresh", **ids, "sequence": dice.randint(1, 100), "iat": now, "exp": now + 2592000}


def _uuid(dice: Random) -> UUID:
    return UUID(bytes=dice.randbytes(16))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
