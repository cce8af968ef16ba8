"""What customers wrote, as it arrives at the provider: one set of headers, addresses in ASCII, nothing that runs."""

import email
from email.message import Message
from email.policy import default

import msgspec
import pytest
from tests.service.notifications.shop import Shop, created

from shopflow.contracts.orders import Order

BREAKS = "Jane\r\nBcc: thief@example.com\r\n\r\nowned"


async def raw(shop: Shop) -> Message:
    """The one e-mail as the message that SES would build."""
    [mail] = await shop.messages("email")
    async with shop.sandbox.get(f"/messages/{mail['id']}/raw") as answer:
        return email.message_from_bytes(await answer.read(), policy=default)


def written(shop: Shop, text: str) -> Order:
    """An order in which every text is this one, past every check of the services before."""
    customer = shop.customer()
    shop.auth.profiles[customer.id] = msgspec.structs.replace(customer, first_name=text, last_name=text)
    order = shop.order(customer)
    line = msgspec.structs.replace(order.items[0], product_name=text)
    told = msgspec.structs.replace(order, items=[line], notes=text)
    shop.orders.orders[order.id] = told
    return told


@pytest.mark.row("M-1", "M-2")
@pytest.mark.parametrize("text", [BREAKS, "Jane\u2028Bcc: x\x85\x0b", "=?utf-8?q?x=0ABcc=3A_thief=40example.com?="])
async def test_a_customers_text_adds_no_header_and_no_recipient(shop: Shop, text: str) -> None:
    order = written(shop, text)
    await shop.publish(created(order))
    await shop.until_verdicts(done=1)
    message = await raw(shop)
    assert message.get_all("To") == ["jane.doe@example.com"]
    assert message.get_all("Subject") == [f"Order Confirmation - #{order.id[:8]}"]
    assert not {name.lower() for name in message} & {"bcc", "cc", "x-owned"}


@pytest.mark.row("M-5")
async def test_the_provider_receives_addresses_in_ascii_only(shop: Shop) -> None:
    customer = shop.customer()
    shop.auth.profiles[customer.id] = msgspec.structs.replace(customer, email="jane@xn--bcher-kva.example")
    await shop.publish(created(shop.order(customer)))
    await shop.until_verdicts(done=1)
    [mail] = await shop.messages("email")
    assert mail["to"] == "jane@xn--bcher-kva.example"
    assert mail["from"].isascii()
