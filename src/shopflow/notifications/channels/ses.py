"""E-mail through Amazon SES: one SendEmail call, and what its answer means.

The only file that knows the cloud SDK's sending side. Message structure is SES's work: no MIME is built here (D10).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import get_session
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoAuthTokenError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from shopflow.notifications.channels import (
    ATTEMPT_SECONDS,
    BAD_REQUESTS,
    CONNECT_SECONDS,
    CONNECTIONS,
    NOT_ALLOWED,
    READ_SECONDS,
    TOO_MANY,
    Accepted,
    Failed,
    InDoubt,
    Misconfigured,
    Outcome,
    Outgoing,
    Rejected,
    Rejection,
    Sighting,
    pause,
    reason,
)

TAG = "notification_id"

THROTTLING = frozenset(
    {"TooManyRequestsException", "LimitExceededException", "Throttling", "ThrottlingException", "RequestLimitExceeded"}
)
CONFIGURATION = frozenset(
    {
        "AccountSuspendedException",
        "SendingPausedException",
        "MailFromDomainNotVerifiedException",
        "NotFoundException",
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
PASSING = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "InternalServiceError",
        "InternalServiceErrorException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)
REFUSED = frozenset({"MessageRejected", "BadRequestException", "ValidationException", "InvalidParameterValue"})
WITHOUT_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    NoAuthTokenError,
    TokenRetrievalError,
)
NEVER_CONNECTED = (ConnectTimeoutError, ProxyConnectionError, SSLError)
# How SES words a refusal that is about the address, not about the content.
ABOUT_ADDRESSES = ("address", "domain", "recipient")


class StraightSession(AIOHTTPSession):  # type: ignore[misc]  # the SDK comes without types
    """The SDK's HTTP session, but following no redirect: that would hand the mail to whomever a proxy names (N-10)."""

    async def _get_session(self, proxy_url: str | None) -> SimpleNamespace:
        session = await super()._get_session(proxy_url)
        return SimpleNamespace(request=partial(session.request, allow_redirects=False))


class SesChannel:
    """E-mail from one sender through one open client."""

    def __init__(self, client: Any, *, from_email: str) -> None:
        self._client = client
        self._from = from_email

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Hand one e-mail to SES, tagged with the notification's id."""
        request = _request(outgoing, self._from)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                answer = await self._client.send_email(**request)
        except ClientError as refusal:
            return _refusal(refusal)
        except WITHOUT_CREDENTIALS as problem:
            return Misconfigured(code=type(problem).__name__, reason=reason(str(problem)))
        except ParamValidationError as problem:
            return Rejected(kind=Rejection.CONTENT, code="ParamValidationError", reason=reason(str(problem)))
        except (BotoCoreError, ResponseParserError, TimeoutError) as problem:
            return _interrupted(problem)
        except AttributeError:  # the SDK's parser meets JSON that is no object
            return InDoubt(reason="SES answered what the SDK cannot read")
        return _acceptance(answer)

    async def find(self, outgoing: Outgoing, *, since: datetime) -> Sighting:  # noqa: ARG002 - there is no list to ask
        """Find nothing: SES lists no messages, and of two e-mails or none, two are the lesser harm (D4)."""
        return None


@asynccontextmanager
async def opened(*, region: str, from_email: str, endpoint_url: str | None = None) -> AsyncIterator[SesChannel]:
    """Open the channel for as long as the context lasts; without `endpoint_url` it is Amazon's for the region.

    Credentials come from the SDK's own chain (R67).
    """
    config = AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        parameter_validation=False,  # the request is built here and from nothing else
        max_pool_connections=CONNECTIONS,
        http_session_cls=StraightSession,
    )
    client = get_session().create_client("sesv2", region_name=region, endpoint_url=endpoint_url, config=config)
    async with client as ses:
        yield SesChannel(ses, from_email=from_email)


def _request(outgoing: Outgoing, sender: str) -> dict[str, Any]:
    body = {"Text": _part(outgoing.text)}
    if outgoing.html is not None:
        body["Html"] = _part(outgoing.html)
    return {
        "FromEmailAddress": sender,
        "Destination": {"ToAddresses": [outgoing.to]},
        "Content": {"Simple": {"Subject": _part(outgoing.subject or ""), "Body": body}},
        "EmailTags": [{"Name": TAG, "Value": str(outgoing.notification_id)}],
    }


def _part(text: str) -> dict[str, str]:
    return {"Data": text, "Charset": "UTF-8"}


def _acceptance(answer: dict[str, Any]) -> Outcome:
    message_id = answer.get("MessageId")
    if isinstance(message_id, str) and message_id:
        return Accepted(provider_ref=message_id)
    return InDoubt(reason="SES answered without a message id")


def _refusal(refusal: ClientError) -> Outcome:
    error = refusal.response.get("Error", {})
    status = refusal.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code, words = str(error.get("Code") or ""), str(error.get("Message") or "")
    said = reason(f"{status} {code}: {words}")
    if status == TOO_MANY or code in THROTTLING:
        return Failed(code=code, reason=said, throttled=True, retry_after=_asked_pause(refusal))
    if status in NOT_ALLOWED or code in CONFIGURATION or _is_about_our_identity(code, words):
        return Misconfigured(code=code, reason=said)
    if code in PASSING:
        return Failed(code=code, reason=said, retry_after=_asked_pause(refusal))
    if status not in BAD_REQUESTS:
        return InDoubt(reason=said)
    if _is_providers(code):
        return Rejected(kind=_rejection(words), code=code, reason=said)
    return Failed(code=code, reason=said)


def _is_about_our_identity(code: str, words: str) -> bool:
    return code == "MessageRejected" and "not verified" in words


def _is_providers(code: str) -> bool:
    """Tell an error that SES worded from one that the SDK made of a page by something in between."""
    return code in REFUSED or (code.isidentifier() and not code.isdecimal())


def _rejection(words: str) -> Rejection:
    about_address = any(word in words.lower() for word in ABOUT_ADDRESSES)
    return Rejection.RECIPIENT if about_address else Rejection.CONTENT


def _asked_pause(refusal: ClientError) -> float | None:
    headers = refusal.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return pause(headers.get("retry-after"), now=datetime.now(UTC))


def _interrupted(problem: Exception) -> Outcome:
    said = reason(f"{type(problem).__name__}: {problem}")
    if isinstance(problem, NEVER_CONNECTED) or _could_not_connect(problem):
        return Failed(code=type(problem).__name__, reason=said)
    if isinstance(problem, BotoCoreError) and not isinstance(problem, HTTPClientError | EndpointConnectionError):
        return Misconfigured(code=type(problem).__name__, reason=said)
    return InDoubt(reason=said)


def _could_not_connect(problem: Exception) -> bool:
    """Tell a connection that was never made from one that broke: the SDK uses one exception for both.

    Only the HTTP client's errors of connecting carry the system's error beside them.
    """
    return isinstance(problem, EndpointConnectionError) and hasattr(problem.kwargs.get("error"), "os_error")
