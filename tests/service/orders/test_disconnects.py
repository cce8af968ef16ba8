"""Customers who go away while they order: each order is there with everything that belongs to it, or not at all."""

import asyncio
import json

import pytest
from tests.service.orders.shop import Shop, placement

COUNT = 60
WHOLE = """
SELECT count(*) AS orders,
       count(*) FILTER (WHERE (SELECT count(*) FROM order_history h WHERE h.order_id = o.id) = 1) AS with_history,
       (SELECT count(*) FROM order_history) AS history,
       (SELECT count(*) FROM outbox) AS events
FROM orders o
"""


@pytest.mark.row("H-10")
async def test_an_order_is_whole_or_not_there_whenever_its_customer_goes_away(shop: Shop) -> None:
    body = json.dumps(placement()).encode()
    head = (
        f"POST /orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shop.customer}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    port = int(shop.url.rpartition(":")[2])

    async def order_and_go(after: float) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + body)
        await asyncio.sleep(after)  # any moment will do: there is none at which it may go wrong
        writer.transport.abort()

    await asyncio.gather(*(order_and_go(0.1 * each / COUNT) for each in range(COUNT)))
    placed = await shop.place()  # who comes next finds every connection of the pool
    assert placed["status"] == "pending"
    async with asyncio.timeout(30):
        while (await shop.http.get(f"{shop.url}/metrics")).status != 200 or await in_flight(shop) > 1:
            await asyncio.sleep(0.05)
    [row] = await shop.rows(WHOLE)
    assert 1 <= row["orders"] <= COUNT + 1
    assert row["orders"] == row["with_history"] == row["history"] == row["events"]


async def in_flight(shop: Shop) -> float:
    """Requests that are being answered, this one included."""
    async with shop.http.get(f"{shop.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("shopflow_http_requests_in_flight "))
