"""Amazon SNS as it delivers to us: whether a message is really from our topic, and the confirmation of a subscription.

The only file that knows SNS. It asks one host only, the topic's own: no address in a message decides where we call
(P-16).
"""

import asyncio
import base64
import re
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import urlencode, urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shopflow.kit.decoding import Decoder
from shopflow.kit.discreet import Discreet
from shopflow.kit.metrics import Metrics
from shopflow.kit.peer import Peer
from shopflow.kit.problems import Problem, forbidden, unavailable

LARGEST: Final = 300 * 1024
"""Bytes of the largest body that SNS posts: 256 KiB of message, and its envelope."""

_CERTIFICATE: Final = re.compile(r"/SimpleNotificationService-[A-Za-z0-9_-]{1,100}\.pem")
_MOST_CERTIFICATES: Final = 4
_SIGNED: Final = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "1": hashes.SHA1(),  # noqa: S303 - the version that SNS signs with unless the topic says otherwise
    "2": hashes.SHA256(),
}


class Envelope(Discreet, frozen=True, rename="pascal"):
    """What SNS posts. A notification has a message; the others have a token and where to confirm."""

    type: Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature_version: str
    signature: str
    signing_cert_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = None
    token: str | None = None
    subscribe_url: str | None = msgspec.field(name="SubscribeURL", default=None)

    def signed(self) -> bytes:
        """The text that is signed: names and values by name; of a notification without token and address."""
        values = {
            "Message": self.message,
            "MessageId": self.message_id,
            "Subject": self.subject if self.type == "Notification" else None,
            "SubscribeURL": None if self.type == "Notification" else self.subscribe_url,
            "Timestamp": self.timestamp,
            "Token": None if self.type == "Notification" else self.token,
            "TopicArn": self.topic_arn,
            "Type": self.type,
        }
        return "".join(f"{name}\n{values[name]}\n" for name in _SIGNED if values[name] is not None).encode()


class Topic:
    """The topic to which SES publishes what becomes of our e-mails.

    Args:
        arn: its name.
        endpoint: where its host is; None is at Amazon's for its region.
        metrics: where the time of calls is recorded.
    """

    def __init__(self, arn: str, *, endpoint: str | None, metrics: Metrics) -> None:
        self._arn = arn
        self._host = endpoint or _at_amazon(arn)
        self._peer = Peer("sns", self._host, metrics=metrics)
        self._decoder = Decoder(Envelope)
        self._keys: dict[str, rsa.RSAPublicKey] = {}
        self._fetching = asyncio.Lock()

    async def open(self) -> None:
        """Makes the pool of connections."""
        await self._peer.open()

    async def close(self) -> None:
        """Closes it."""
        await self._peer.close()

    async def verified(self, body: bytes) -> Envelope:
        """Reads what claims to come from the topic.

        Raises:
            Problem: of kind forbidden unless it does; of kind unavailable, when the certificate cannot be had.
        """
        try:
            envelope = self._decoder.decode(body)
        except Problem:
            raise not_verified() from None
        algorithm = _HASHES.get(envelope.signature_version)
        if envelope.topic_arn != self._arn or algorithm is None:
            raise not_verified()
        key = await self._key(self._path(envelope.signing_cert_url))
        try:
            signature = base64.b64decode(envelope.signature, validate=True)
            key.verify(signature, envelope.signed(), padding.PKCS1v15(), algorithm)
        except (InvalidSignature, ValueError):
            raise not_verified() from None
        return envelope

    async def confirm(self, envelope: Envelope) -> None:
        """Confirms the subscription: at the topic's own host and for the topic itself, whatever the message says.

        Raises:
            Problem: of kind forbidden, when the message names another host; of kind unavailable, without an answer.
        """
        if envelope.token is None or _origin_of(envelope.subscribe_url or "") != self._host:
            raise not_verified()
        query = urlencode({"Action": "ConfirmSubscription", "TopicArn": self._arn, "Token": envelope.token})
        answer = await self._peer.ask("GET", f"/?{query}", {})
        if answer.status != 200:
            raise unavailable("sns-unavailable", "SNS does not confirm the subscription; try again.")

    def _path(self, certificate_url: str) -> str:
        path = urlsplit(certificate_url).path if _origin_of(certificate_url) == self._host else ""
        if certificate_url != self._host + path or not _CERTIFICATE.fullmatch(path):
            raise not_verified()
        return path

    async def _key(self, path: str) -> rsa.RSAPublicKey:
        """The key of a certificate, fetched once; one at a time, so that nobody makes us call for every request."""
        if path not in self._keys:
            async with self._fetching:
                if path not in self._keys:
                    key = await self._fetched(path)
                    while len(self._keys) >= _MOST_CERTIFICATES:
                        del self._keys[next(iter(self._keys))]
                    self._keys[path] = key
        return self._keys[path]

    async def _fetched(self, path: str) -> rsa.RSAPublicKey:
        answer = await self._peer.ask("GET", path, {})
        if answer.status >= 500:
            raise unavailable("sns-unavailable", "SNS does not show its certificate; try again.")
        try:
            certificate = x509.load_pem_x509_certificate(answer.body)
            key = certificate.public_key()
        except ValueError:
            raise not_verified() from None
        valid = certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc
        if answer.status != 200 or not valid or not isinstance(key, rsa.RSAPublicKey):
            raise not_verified()
        return key


def _at_amazon(arn: str) -> str:
    _, partition, _, region, *_ = arn.split(":")
    return f"https://sns.{region}.amazonaws.com{'.cn' if partition == 'aws-cn' else ''}"


def not_verified() -> Problem:
    """Whoever posted this did not show to be the provider."""
    return forbidden("This did not come from the provider.", code="callback-not-verified")


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
