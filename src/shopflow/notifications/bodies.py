"""What notification-service answers (PRD 4.3)."""

import msgspec

from shopflow.contracts.fields import Timestamp


class NotificationSummary(msgspec.Struct, frozen=True):
    """One entry of `GET /notifications`."""

    id: str
    user_id: str
    order_id: str | None
    channel: str
    type: str
    recipient: str
    subject: str | None
    status: str
    sent_at: Timestamp | None
    created_at: Timestamp


class NotificationDetail(msgspec.Struct, frozen=True):
    """The answer of `GET /notifications/:id`."""

    id: str
    user_id: str
    order_id: str | None
    channel: str
    type: str
    recipient: str
    subject: str | None
    body: str
    status: str
    provider_ref: str | None
    error_message: str | None
    sent_at: Timestamp | None
    created_at: Timestamp
