"""The client's address, from the socket or from a proxy that is trusted; nothing that a client writes changes it."""

from ipaddress import ip_network

import aiohttp
import pytest
from tests.service.kit.stand import Serve, application, metric

LOOPBACK = [ip_network("127.0.0.0/8")]


async def address(http: aiohttp.ClientSession, url: str, **headers: str) -> str:
    """Whom the service takes the caller for."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.get(f"{url}/who", headers=named) as response:
        body: dict[str, str] = await response.json()
    return body["address"]


async def test_without_trusted_proxies_the_socket_is_the_client(serving: Serve, http: aiohttp.ClientSession) -> None:
    url = await serving(served := application())
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP"):
        async with http.get(f"{url}/who", headers={header: "198.51.100.1"}) as response:
            assert await response.json() == {"address": "127.0.0.1"}
    assert metric(served, "shopflow_forwarded_headers_ignored_total") == 0


async def test_a_trusted_proxy_names_the_client(serving: Serve, http: aiohttp.ClientSession) -> None:
    url = await serving(application(proxies=LOOPBACK))
    assert await address(http, url) == "127.0.0.1"
    assert await address(http, url, X_Forwarded_For="198.51.100.1") == "198.51.100.1"
    assert await address(http, url, X_Forwarded_For="1.1.1.1, 198.51.100.1, 127.0.0.5") == "198.51.100.1"
    assert await address(http, url, X_Forwarded_For="[2001:db8::9]:443") == "2001:db8::/64"
    assert await address(http, url, Forwarded="for=198.51.100.1") == "127.0.0.1"


async def test_another_address_is_no_trusted_proxy(serving: Serve, http: aiohttp.ClientSession) -> None:
    url = await serving(application(proxies=[ip_network("10.0.0.0/8")]))
    assert await address(http, url, X_Forwarded_For="198.51.100.1") == "127.0.0.1"


async def test_what_a_client_writes_in_front_opens_no_other_place(serving: Serve, http: aiohttp.ClientSession) -> None:
    url = await serving(application(proxies=LOOPBACK))
    for spoofed in ("1.2.3.4", "127.0.0.1", "garbage", "", "1.1.1.1, 2.2.2.2", "x" * 5000, "::1", "10.0.0.1,"):
        assert await address(http, url, X_Forwarded_For=f"{spoofed}, 198.51.100.1") == "198.51.100.1"


@pytest.mark.parametrize("forwarded", ["garbage", "198.51.100.1, ", "unknown", "127.0.0.1, " * 30])
async def test_a_malformed_or_overlong_header_is_ignored_and_counted(
    serving: Serve, http: aiohttp.ClientSession, forwarded: str
) -> None:
    url = await serving(served := application(proxies=LOOPBACK))
    assert await address(http, url, X_Forwarded_For=forwarded) == "127.0.0.1"
    assert metric(served, "shopflow_forwarded_headers_ignored_total") == 1
