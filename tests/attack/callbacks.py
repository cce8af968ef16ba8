"""The providers' callbacks, where they exist: forged, unsigned, and with addresses that we should then call."""

import json
from typing import Final

from tests.attack.findings import Severity
from tests.attack.roles import operations
from tests.attack.scene import Scene

_FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
_SUBSCRIBE: Final = {
    "Type": "SubscriptionConfirmation",
    "TopicArn": "arn:aws:sns:us-east-1:1:x",
    "SubscribeURL": "http://127.0.0.1:1/",
    "SigningCertURL": "http://127.0.0.1:1/certificate.pem",
    "Signature": "AAAA",
    "SignatureVersion": "1",
    "Message": "x",
    "MessageId": "x",
    "Timestamp": "2026-01-01T00:00:00.000Z",
}


async def forged(scene: Scene) -> None:
    """Nobody but the provider may say what became of a message."""
    described = {each.path for each in await operations(scene) if "/callbacks/" in each.path}
    for path in sorted(described):
        for what, sent, raw in (
            ("nothing", [], b""),
            ("no signature", [_FORM], b"MessageSid=SM1&MessageStatus=delivered"),
            ("a false one", [_FORM, ("X-Twilio-Signature", "AAAA")], b"MessageSid=SM1&MessageStatus=failed"),
            (
                "a subscription",
                [("x-amz-sns-message-type", "SubscriptionConfirmation")],
                json.dumps(_SUBSCRIBE).encode(),
            ),
        ):
            answer = await scene.ask("notifications", "POST", path, headers=sent, raw=raw, source=scene.address())
            said = f"{path}, {what}: {answer.word}"
            refused = answer.status in {400, 401, 403, 415}
            scene.unless(refused, "a callback is taken from anybody", said, Severity.HIGH)
