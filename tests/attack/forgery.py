"""Tokens made by hand with the standard library: honest ones, and every kind of false one that has worked somewhere."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

_HASHES: Final = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
GUESSES: Final = (b"", b"secret", b"changeme", b"shopflow", b"jwt_secret", b"development", b"\x00" * 32, b"a" * 32)
HEADER: Final = {"alg": "HS256", "typ": "JWT"}


def part(value: Any) -> str:
    """One part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unpacked(text: str) -> Any:
    """What a part of a token holds."""
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def signed(header: dict[str, Any], claims: Any, key: bytes, *, by: str = "HS256") -> str:
    """A token with a signature by this key, whatever its header says."""
    message = f"{part(header)}.{part(claims)}"
    return f"{message}.{part(hmac.new(key, message.encode(), _HASHES[by]).digest())}"


def unsigned(token: str) -> Iterator[tuple[str, str]]:
    """The token without a signature that means anything, in every spelling of `none`; each with what it is."""
    _, claims, signature = token.split(".")
    for alg in ("none", "None", "NONE", "nOnE", "", None, "HS256 ", 256):
        head = part({"alg": alg, "typ": "JWT"})
        yield f"alg {alg!r}, no signature", f"{head}.{claims}."
        yield f"alg {alg!r}, the old signature", f"{head}.{claims}.{signature}"
    yield "no header at all", f".{claims}.{signature}"
    yield "a header without alg", f"{part({'typ': 'JWT'})}.{claims}.{signature}"


def mangled(token: str) -> Iterator[tuple[str, str]]:
    """The token with its shape broken, and with its claims changed under the old signature."""
    head, claims, signature = token.split(".")
    said = unpacked(claims)
    for name, value in (("role", "admin"), ("role", "service"), ("exp", said["exp"] + 10**6), ("sub", str(uuid4()))):
        yield f"{name} edited", f"{head}.{part({**said, name: value})}.{signature}"
    yield "no signature part", f"{head}.{claims}"
    yield "an empty signature", f"{head}.{claims}."
    yield "half a signature", f"{head}.{claims}.{signature[:20]}"
    yield "a signature of zeros", f"{head}.{claims}.{part(bytes(32))}"
    yield "a part too many", f"{token}.{signature}"
    yield "five parts", f"{head}..{claims}.{signature}.{signature}"
    yield "padding", f"{token}="
    yield "a blank inside", f"{head}.{claims} .{signature}"
    yield "claims twice", f"{head}.{claims}.{claims}.{signature}"
    yield "claims that are an array", f"{head}.{part([said])}.{signature}"
    yield "claims that are no JSON", f"{head}.{part(b'not json')}.{signature}"
    yield "5 000 characters", f"{head}.{claims}.{signature}{'A' * 5000}"


def guessed(claims: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Tokens that are signed well, with secrets and algorithms that an attacker may guess or bring along."""
    for key in GUESSES:
        yield f"secret {key[:12]!r}", signed(HEADER, claims, key)
    for by in ("HS384", "HS512"):
        yield f"{by}, no secret", signed({"alg": by, "typ": "JWT"}, claims, b"", by=by)
    yield "kid /dev/null", signed({**HEADER, "kid": "../../../../dev/null"}, claims, b"")
    yield "kid by SQL", signed({**HEADER, "kid": "x' UNION SELECT 'known"}, claims, b"known")
    yield "kid very long", signed({**HEADER, "kid": "k" * 2000}, claims, b"known")
    own = {"kty": "oct", "k": part(b"brought along")}
    yield "a key in the header", signed({**HEADER, "jwk": own}, claims, b"brought along")
    yield "a key elsewhere", signed({**HEADER, "jku": "http://127.0.0.1:1/keys"}, claims, b"brought along")
    yield "a certificate elsewhere", signed({**HEADER, "x5u": "http://127.0.0.1:1/cert"}, claims, b"brought along")
    yield "RS256", signed({"alg": "RS256", "typ": "JWT"}, claims, b"-----BEGIN PUBLIC KEY-----")
    yield "a critical extension", signed({**HEADER, "crit": ["exp"], "exp": 1}, claims, b"known")


def with_the_secret(secret: bytes, claims: dict[str, Any], *, now: int) -> Iterator[tuple[str, str]]:
    """What somebody who stole the signing secret may try; each of these must fail all the same."""
    yield "expired", signed(HEADER, {**claims, "iat": now - 7200, "exp": now - 1}, secret)
    yield "from the future", signed(HEADER, {**claims, "iat": now + 600, "exp": now + 3600}, secret)
    yield "nobody's account", signed(HEADER, {**claims, "sub": str(uuid4()), "role": "admin"}, secret)
    yield "a service's role, a user's id", signed(HEADER, {**claims, "role": "service"}, secret)
    yield "an unknown service", signed(HEADER, {**_service(claims), "sub": "billing-service"}, secret)
    yield "a customer with a service's name", signed(HEADER, {**claims, "sub": "order-service"}, secret)
    yield "the role superadmin", signed(HEADER, {**claims, "role": "superadmin"}, secret)
    for exp in (None, "9999999999", 9999999999.5, -1, 2**63, 1e308, True, [now + 60]):
        yield f"exp {exp!r}", signed(HEADER, {**claims, "exp": exp}, secret)
    yield "without exp", signed(HEADER, {key: value for key, value in claims.items() if key != "exp"}, secret)
    yield "without iat", signed(HEADER, {key: value for key, value in claims.items() if key != "iat"}, secret)
    for by in ("HS384", "HS512"):
        yield f"{by} with the secret", signed({"alg": by, "typ": "JWT"}, claims, secret, by=by)
    yield "typ refresh+jwt", signed({**HEADER, "typ": "refresh+jwt"}, claims, secret)
    yield "crit unknown", signed({**HEADER, "crit": ["x"], "x": 1}, claims, secret)
    head, payload, signature = signed(HEADER, claims, secret).split(".")
    yield "bent signature", f"{head}.{payload}.{signature[:-2]}{'AA' if signature[-2:] != 'AA' else 'BB'}"


def _service(claims: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in claims.items() if key != "email"} | {"role": "service"}
