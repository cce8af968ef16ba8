"""The PRD's JSON samples of notifications, as golden files: ours are the same, fields in the same order."""

from pathlib import Path

import msgspec
import pytest

from shopflow.kit.encoding import encoded
from shopflow.kit.pages import page
from shopflow.notifications.bodies import NotificationDetail, NotificationSummary


@pytest.fixture
def samples(root: Path) -> Path:
    return root / "tests" / "agreement" / "samples"


def same(ours: bytes, sample: bytes) -> bool:
    """Equal JSON with the fields in the same order."""
    return msgspec.json.format(ours, indent=2) == msgspec.json.format(sample.strip(), indent=2)


def test_the_sample_notification_is_answered_as_in_the_sample(samples: Path) -> None:
    sample = (samples / "notifications_detail_response.json").read_bytes()
    assert same(encoded(msgspec.json.decode(sample, type=NotificationDetail)), sample)


def test_the_sample_notification_is_listed_as_in_the_sample(samples: Path) -> None:
    detail = msgspec.json.decode((samples / "notifications_detail_response.json").read_bytes())
    summary = msgspec.convert(detail, NotificationSummary)
    listed = page([summary], number=1, limit=20, total_items=1)
    assert same(encoded(listed), (samples / "notifications_list_response.json").read_bytes())
