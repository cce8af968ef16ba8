"""What the sandbox lets a browser do with what customers were sent: look at it, here, and nothing else."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from shopflow.local.sandbox.server import opened

MAIL = {
    "FromEmailAddress": "noreply@shopflow.example",
    "Destination": {"ToAddresses": ["jane@example.com"]},
    "Content": {
        "Simple": {
            "Subject": {"Data": "Hello"},
            "Body": {"Html": {"Data": "<p>Hi</p><script>alert(1)</script>"}, "Text": {"Data": "Hi"}},
        }
    },
}
CREDENTIAL = "AWS4-HMAC-SHA256 Credential=sandbox/20260101/us-east-1/ses/aws4_request"
SIGNED = {"Authorization": f"{CREDENTIAL}, SignedHeaders=host, Signature={'0' * 64}", "X-Amz-Date": "20260101T000000Z"}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with opened() as base:
        yield base


async def test_every_answer_is_for_here_alone_and_names_no_version(http: aiohttp.ClientSession, url: str) -> None:
    for path in ("/", "/mailbox.js", "/messages", "/overview", "/health", "/nowhere", "/messages/x/raw"):
        async with http.get(url + path) as response:
            headers = response.headers
        assert headers["Server"] == "sandbox"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "frame-ancestors" in headers["Content-Security-Policy"]
        assert "unsafe-inline" not in headers["Content-Security-Policy"]


async def test_a_mail_is_shown_in_a_sandbox_where_nothing_runs(http: aiohttp.ClientSession, url: str) -> None:
    async with http.post(f"{url}/v2/email/outbound-emails", data=json.dumps(MAIL), headers=SIGNED) as response:
        assert response.status == 200, await response.text()
        mail = (await response.json(content_type=None))["MessageId"]
    async with http.get(f"{url}/messages/{mail}/html") as response:
        policy = [each.strip() for each in response.headers["Content-Security-Policy"].split(";")]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'self'"} <= set(policy)
    assert not [each for each in policy if "script" in each]
    async with http.get(f"{url}/") as response:
        page = await response.text()
    assert '<iframe id="frame" sandbox=""' in page
