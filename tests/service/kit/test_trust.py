"""TLS towards others: a certificate that nobody trusts gets no request, and no token."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shopflow.kit.metrics import Metrics
from shopflow.kit.peer import Peer
from shopflow.kit.problems import Kind, Problem
from shopflow.notifications.channels import Accepted, Outgoing, twilio


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS with a certificate for localhost that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file: Path = tmp_path_factory.mktemp("tls") / "stranger.pem"
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.fixture
async def eavesdropper(stranger: ssl.SSLContext) -> AsyncIterator[tuple[str, list[bytes]]]:
    """The address of a server behind that certificate, and what it was told."""
    told: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=stranger)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}", told


async def test_a_neighbour_with_a_certificate_that_nobody_trusts_gets_no_request(
    eavesdropper: tuple[str, list[bytes]],
) -> None:
    address, told = eavesdropper
    peer = Peer("neighbour", address, metrics=Metrics())
    await peer.open()
    try:
        with pytest.raises(Problem) as refused:
            await peer.ask("GET", "/", {"Authorization": "Bearer secret"})
    finally:
        await peer.close()
    assert refused.value.kind is Kind.UNAVAILABLE
    assert told == []


async def test_a_provider_with_a_certificate_that_nobody_trusts_gets_no_message(
    eavesdropper: tuple[str, list[bytes]],
) -> None:
    address, told = eavesdropper
    message = Outgoing(notification_id=uuid4(), to="+15551234567", text="Your order has been placed.")
    async with twilio.opened(
        account_sid="AC" + "0" * 32, auth_token="secret", from_number="+15550001234", base_url=address
    ) as channel:
        outcome = await channel.send(message)
    assert not isinstance(outcome, Accepted)
    assert told == []
