"""The PRD's JSON samples of auth-service (4.1, 8.2), as golden files: ours are the same, fields in the same order."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from shopflow.auth import bodies
from shopflow.auth.bodies import Refresh, Register, SignIn, TokenPair
from shopflow.auth.tokens import Tokens, service_token
from shopflow.auth.user import NewUser, User
from shopflow.contracts.identity import Caller, Profile, Role, Validation
from shopflow.kit.decoding import Decoder
from shopflow.kit.encoding import encoded

SECRET = "a secret of more than thirty-two bytes"
REGISTERED_AT = datetime(2026, 2, 17, 10, 30, 0, 999, tzinfo=UTC)
ISSUED_AT = datetime.fromtimestamp(1739789400, UTC)
JANE = User(
    id=UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890"),
    email="jane.doe@example.com",
    first_name="Jane",
    last_name="Doe",
    phone="+15551234567",
    role=Role.CUSTOMER,
    is_active=True,
    created_at=REGISTERED_AT,
    updated_at=REGISTERED_AT,
)


@pytest.fixture
def samples(root: Path) -> Path:
    return root / "tests" / "agreement" / "samples"


def same(ours: bytes, sample: Path) -> bool:
    """Equal JSON with the fields in the same order."""
    return msgspec.json.format(ours, indent=2) == msgspec.json.format(sample.read_bytes().strip(), indent=2)


def claims(token: str) -> bytes:
    """What a token says, as the JSON that was signed."""
    body = token.split(".")[1]
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))


def test_register_request(samples: Path) -> None:
    body = Decoder(Register).decode((samples / "auth_register_request.json").read_bytes())
    assert bodies.new_user(body) == NewUser(
        email="jane.doe@example.com",
        password="S3cur3P@ssw0rd!",
        first_name="Jane",
        last_name="Doe",
        phone="+15551234567",
    )


def test_register_response(samples: Path) -> None:
    assert same(encoded(bodies.registered(JANE)), samples / "auth_register_response.json")


def test_login_request(samples: Path) -> None:
    body = Decoder(SignIn).decode((samples / "auth_login_request.json").read_bytes())
    assert body == SignIn(email="jane.doe@example.com", password="S3cur3P@ssw0rd!")


@pytest.mark.parametrize("name", ["auth_login_response.json", "auth_refresh_response.json"])
def test_token_pair(samples: Path, name: str) -> None:
    pair = TokenPair(access_token="eyJhbGciOiJIUzI1NiIs...", refresh_token="eyJhbGciOiJIUzI1NiIs...")
    assert same(encoded(pair), samples / name)


def test_access_token_payload(samples: Path) -> None:
    token = Tokens(SECRET).access(JANE.id, JANE.email, JANE.role, issued=int(ISSUED_AT.timestamp()))
    assert token.startswith("eyJhbGciOiJIUzI1NiIs")
    assert same(claims(token), samples / "auth_access_claims.json")


def test_service_token_payload(samples: Path) -> None:
    token = service_token(SECRET, "notification-service", ISSUED_AT)
    assert same(claims(token), samples / "auth_service_claims.json")


def test_refresh_request(samples: Path) -> None:
    body = Decoder(Refresh).decode((samples / "auth_refresh_request.json").read_bytes())
    assert body == Refresh(refresh_token="eyJhbGciOiJIUzI1NiIs...")


def test_validate_response(samples: Path) -> None:
    ours = Validation(valid=True, user=Caller(id=str(JANE.id), email=JANE.email, role=JANE.role))
    assert same(encoded(ours), samples / "auth_validate_response.json")
    assert Decoder(Validation).decode((samples / "auth_validate_response.json").read_bytes()) == ours


def test_profile_response(samples: Path) -> None:
    assert same(encoded(bodies.profile(JANE)), samples / "auth_profile_response.json")
    read = Decoder(Profile).decode((samples / "auth_profile_response.json").read_bytes())
    assert read == bodies.profile(JANE)
