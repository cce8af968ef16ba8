"""A channel that rests (R55, D8, D9): its provider is not asked, nothing is counted, everything is sent later."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.service.notifications.shop import CREATED, SHIPPED, Shop, created, shipped, until

from shopflow.contracts.topology import PAUSE_DELAY, RETRY_DELAYS
from shopflow.kit.consumer import ATTEMPT
from shopflow.kit.service import Application
from shopflow.notifications.app import build
from shopflow.notifications.settings import Settings

Opened = Callable[..., Awaitable[Shop]]

BOTH = {"order_created.email": "sent", "order_created.sms": "sent"}
CODES = {"email": "ServiceUnavailable", "sms": 20503}
UNUSABLE: list[Any] = [
    pytest.param("email", {"status": 400, "code": "SendingPausedException"}, marks=pytest.mark.row("P-4")),
    pytest.param("email", {"status": 403, "code": "InvalidClientTokenId"}, marks=pytest.mark.row("P-4")),
    pytest.param("email", {"status": 400, "code": "MailFromDomainNotVerifiedException"}, marks=pytest.mark.row("P-4")),
    pytest.param("sms", {"status": 401, "code": 20003}, marks=pytest.mark.row("P-9")),
]


@pytest.fixture
async def opened(
    settings: Settings, around: Shop, serving: Callable[[Application], Awaitable[str]]
) -> Callable[..., Awaitable[Shop]]:
    """Starts a service whose settings differ."""

    async def open_(**changes: Any) -> Shop:
        shop = replace(around, url=await serving(build(replace(settings, **changes))))
        await shop.until_consuming()
        return shop

    return open_


async def ready(shop: Shop) -> dict[str, Any]:
    async with shop.http.get(f"{shop.url}/ready") as answer:
        said: dict[str, Any] = await answer.json()
        return said


async def measured(shop: Shop, line: str) -> bool:
    """Whether `/metrics` says so."""
    async with shop.http.get(f"{shop.url}/metrics") as answer:
        return line in (await answer.text()).splitlines()


async def fail_both(shop: Shop) -> None:
    """Both providers answer 503."""
    for channel, code in CODES.items():
        await shop.fail(channel, "error", status=503, code=code)


@pytest.mark.parametrize(("channel", "fault"), UNUSABLE)
async def test_a_misconfigured_channel_rests_says_so_and_is_not_asked_for_every_message(
    opened: Opened, channel: str, fault: dict[str, Any]
) -> None:
    shop = await opened(channel_pause=600.0)
    other = "sms" if channel == "email" else "email"
    await shop.fail(channel, "error", **fault, count=1)
    orders = [shop.order() for _ in range(5)]
    await shop.publish(created(orders[0]))
    await shop.until_verdicts(wait=1)
    for order in orders[1:]:
        await shop.publish(created(order))
    await shop.until_verdicts(wait=5)
    assert (await shop.requests(channel), await shop.requests(other)) == (1, 5)
    assert await shop.outcomes(channel) == ["misconfigured"]
    for order in orders:
        assert await shop.states(order) == {f"order_created.{channel}": "queued", f"order_created.{other}": "sent"}
    assert [each.headers[ATTEMPT] for each in await shop.taken(CREATED.wait_queue(PAUSE_DELAY), 5)] == [0] * 5
    said = await ready(shop)
    assert (said["status"], said["checks"][f"{channel}-channel"]) == ("degraded", "unavailable")
    assert await measured(shop, f'shopflow_channel_paused{{cause="misconfigured",channel="{channel}"}} 1.0')
    assert await measured(shop, f'shopflow_deliveries_held_total{{channel="{channel}"}} 4.0')


@pytest.mark.parametrize(("channel", "fault"), UNUSABLE[2:])
async def test_once_it_is_put_right_everything_goes_out_by_itself(
    opened: Opened, channel: str, fault: dict[str, Any]
) -> None:
    shop = await opened(channel_pause=0.2)
    await shop.fail(channel, "error", **fault)
    orders = [shop.order() for _ in range(12)]
    for order in orders:
        await shop.publish(created(order))

    async def waits() -> bool:
        return (await shop.verdicts()).get("wait", 0) >= 12

    await until(waits)
    await shop.heal()
    await shop.until_all_are_sent()
    assert [await shop.states(order) for order in orders] == [BOTH] * 12
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (12, 12)
    assert "park" not in await shop.verdicts()
    assert (await ready(shop))["status"] == "ok"


@pytest.mark.row("P-2")
async def test_a_throttled_backlog_drains_without_one_dead_letter(opened: Opened) -> None:
    """The two minutes at peak are `make soak`'s; here the provider throttles for longer than the whole ladder takes."""
    shop = await opened(channel_pause=0.3)
    await shop.fail("email", "throttle")
    orders = [shop.order() for _ in range(60)]
    for order in orders:
        await shop.publish(created(order))

    async def held() -> bool:
        return (await shop.verdicts()).get("wait", 0) >= 120

    async def hastened() -> bool:
        await shop.hasten(number=await shop.waiting(CREATED.wait_queue(PAUSE_DELAY)))
        return await held()

    await until(hastened)
    assert set(await shop.verdicts()) == {"wait"}
    assert await shop.requests("email") < 40
    await shop.heal()
    await shop.until_all_are_sent()
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (60, 60)
    assert "park" not in await shop.verdicts()


async def test_the_provider_is_left_alone_for_as_long_as_it_says(opened: Opened) -> None:
    shop = await opened(channel_pause=0.01)
    await shop.fail("sms", "throttle", retry_after=3600, count=1)
    await shop.publish(created(shop.order()))
    await shop.until_verdicts(wait=1)
    for number in range(2, 6):
        await shop.hasten()
        await shop.until_verdicts(wait=number)
    assert await shop.requests("sms") == 1
    assert await shop.outcomes("sms") == ["failed"]


@pytest.mark.row("P-17", "D-9")
async def test_an_outage_of_both_providers_uses_up_nobodys_retries(opened: Opened) -> None:
    """In small: a channel that fails twenty times in a row rests and is probed; later everything arrives."""
    shop = await opened(channel_pause=0.4, retry_delays=RETRY_DELAYS)
    await fail_both(shop)
    orders = [shop.order() for _ in range(30)]
    for order in orders:
        await shop.publish(created(order))
        await shop.publish(shipped(order), key=SHIPPED.routing_key)

    async def resting() -> bool:
        checks = (await ready(shop))["checks"]
        return [checks["email-channel"], checks["sms-channel"]] == ["unavailable"] * 2

    await until(resting)

    async def probed_for_longer_than_the_ladder() -> bool:
        for each in (CREATED, SHIPPED):
            if paused := await shop.waiting(each.wait_queue(PAUSE_DELAY)):
                await shop.hasten(each.queue, paused)
        return await shop.requests("email") > 45 and await shop.requests("sms") > 45

    await until(probed_for_longer_than_the_ladder)
    assert await resting()
    await shop.heal()
    await shop.until_all_are_sent()
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (60, 60)
    for queue in (CREATED.queue, SHIPPED.queue):
        assert "park" not in await shop.verdicts(queue)


async def test_a_dead_channel_does_not_hold_up_the_other_one(opened: Opened) -> None:
    shop = await opened(channel_pause=600.0)
    await shop.fail("email", "throttle")
    orders = [shop.order() for _ in range(25)]
    for order in orders:
        await shop.publish(created(order))

    async def texted() -> bool:
        return len(await shop.messages("sms")) == 25

    await until(texted)
    assert await shop.requests("email") <= 10, "what was under way when the first answer came"


async def test_what_is_beyond_the_pace_is_sent_later_and_uncounted(opened: Opened) -> None:
    shop = await opened(ses_pace=2.0)
    for _ in range(12):
        await shop.publish(created(shop.order()))

    async def handled() -> bool:
        return sum((await shop.verdicts()).values()) == 12

    await until(handled)
    assert 2 <= await shop.requests("email") < 12
    assert await shop.requests("sms") == 12
    assert set(await shop.verdicts()) == {"done", "wait"}
    await shop.until_all_are_sent()
    assert len(await shop.messages("email")) == 12
