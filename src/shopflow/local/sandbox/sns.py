"""Amazon SES's events about a message, in the signed envelope in which SNS delivers them.

The key is made when the first event is signed and lives as long as the sandbox; its certificate is served.
"""

import base64
import uuid
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from shopflow.local.sandbox.mailbox import Message, now_text

EmailEvent = Literal["delivered", "bounce", "complaint"]

TOPIC = "arn:aws:sns:us-east-1:000000000000:shopflow-ses-events"
CERTIFICATE_PATH = "/SimpleNotificationService-sandbox.pem"


class Signer:
    """SNS's signing key and the certificate that belongs to it."""

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def certificate(self) -> bytes:
        """The self-signed certificate, as PEM."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.sandbox")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, text: str) -> str:
        """Sign as signature version 2 does: SHA-256 with RSA, in base64."""
        return base64.b64encode(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


def notification(event: dict[str, Any], signer: Signer, *, origin: str) -> dict[str, str]:
    """Wrap an event as SNS posts it; `origin` is where the certificate can be fetched."""
    envelope = {
        "Type": "Notification",
        "MessageId": str(uuid.uuid4()),
        "TopicArn": TOPIC,
        "Subject": "Amazon SES Email Event Notification",
        "Message": msgspec.json.encode(event).decode(),
        "Timestamp": now_text(),
        "SignatureVersion": "2",
    }
    signed = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    signature = signer.sign("".join(f"{name}\n{envelope[name]}\n" for name in signed))
    return {
        **envelope,
        "Signature": signature,
        "SigningCertURL": origin + CERTIFICATE_PATH,
        "UnsubscribeURL": f"{origin}/?Action=Unsubscribe&SubscriptionArn={TOPIC}:sandbox",
    }


def ses_event(message: Message, kind: EmailEvent) -> dict[str, Any]:
    """Describe what became of an e-mail as a configuration set's event publishing does."""
    now = now_text()
    mail = {
        "timestamp": message.received_at,
        "source": message.sender,
        "messageId": message.id,
        "destination": [message.to],
        "tags": {name: [value] for name, value in message.tags.items()},
    }
    match kind:
        case "delivered":
            detail: dict[str, Any] = {"timestamp": now, "recipients": [message.to], "smtpResponse": "250 2.0.0 OK"}
            return {"eventType": "Delivery", "mail": mail, "delivery": detail}
        case "bounce":
            recipient = {"emailAddress": message.to, "action": "failed", "status": "5.1.1"}
            detail = {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": [recipient]}
            return {"eventType": "Bounce", "mail": mail, "bounce": {**detail, "timestamp": now, **_feedback()}}
        case "complaint":
            detail = {"complainedRecipients": [{"emailAddress": message.to}], "complaintFeedbackType": "abuse"}
            return {"eventType": "Complaint", "mail": mail, "complaint": {**detail, "timestamp": now, **_feedback()}}


def _feedback() -> dict[str, str]:
    return {"feedbackId": f"0100{uuid.uuid4().hex[:12]}-{uuid.uuid4()}-000000"}
