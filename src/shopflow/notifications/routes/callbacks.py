"""The paths that the providers call: no token of ours, but their own signature over what they say."""

from typing import Any, Final

from litestar import Request, post
from litestar.handlers import HTTPRouteHandler

from shopflow.kit.answers import problems
from shopflow.kit.problems import Kind
from shopflow.notifications.channels import sns, twilio_callbacks
from shopflow.notifications.hear import Hear

SES_PATH: Final = "/notifications/callbacks/ses"
TWILIO_PATH: Final = "/notifications/callbacks/twilio"

_TAGS: Final = ["Callbacks"]
_PROBLEMS: Final = problems(Kind.FORBIDDEN, Kind.TOO_LARGE, limited=False)


def routes(hear: Hear, *, public_url: str | None) -> list[HTTPRouteHandler]:
    """The handlers.

    Args:
        hear: who takes what they say.
        public_url: where the providers call this service; None is whatever address a request names.
    """

    @post(
        SES_PATH,
        status_code=204,
        tags=_TAGS,
        summary="SES tells what became of an e-mail",
        description="For Amazon SNS alone, signed as it signs: notifications of the topic that is configured, and the "
        "confirmation of its subscription. What is about nothing that we know is taken and forgotten.",
        responses=_PROBLEMS,
        request_max_body_size=sns.LARGEST,
    )
    async def ses_callback(request: Request[Any, Any, Any]) -> None:
        await hear.ses(await request.body())

    @post(
        TWILIO_PATH,
        status_code=204,
        tags=_TAGS,
        summary="Twilio tells what became of an SMS, or that somebody wants none",
        description="For Twilio alone: a form with its `X-Twilio-Signature`. `notification` in the address says which "
        "one it is about; without it, `MessageSid` does.",
        responses=_PROBLEMS,
        request_max_body_size=twilio_callbacks.LARGEST,
    )
    async def twilio_callback(request: Request[Any, Any, Any]) -> None:
        query = request.scope["query_string"].decode("latin-1")
        called = f"{public_url}{TWILIO_PATH}{'?' if query else ''}{query}" if public_url else str(request.url)
        await hear.twilio(
            called,
            await request.body(),
            signature=request.headers.get("X-Twilio-Signature", ""),
            notification=request.query_params.get(twilio_callbacks.NOTIFICATION),
        )

    return [ses_callback, twilio_callback]
