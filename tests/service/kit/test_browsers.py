"""What browsers are told: which pages may call, and what they may do with an answer."""

import aiohttp
import pytest
from tests.service.kit.stand import Serve, application, told

from shopflow.kit.admission import Bounds

SHOP = "https://shop.example"
PREFLIGHT = {"Origin": SHOP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
BETWEEN_SERVICES = ("/between", "/health", "/ready", "/metrics", "/between/", "//health")


@pytest.fixture
async def url(serving: Serve) -> str:
    return await serving(application(origins=(SHOP, "http://localhost:8080")))


def cors_of(response: aiohttp.ClientResponse) -> dict[str, str]:
    """The headers that say what a page of another origin may do."""
    return {name: value for name, value in response.headers.items() if name.startswith("Access-Control-")}


async def test_a_page_that_may_call_is_told_so_beforehand(http: aiohttp.ClientSession, url: str) -> None:
    async with http.options(f"{url}/things", headers=PREFLIGHT) as response:
        assert (response.status, await response.read()) == (204, b"")
        told_beforehand = {name.lower(): value for name, value in response.headers.items()}
    assert told_beforehand["access-control-allow-origin"] == SHOP
    assert "POST" in told_beforehand["access-control-allow-methods"]
    for header in ("Authorization", "Content-Type", "Idempotency-Key", "If-Match"):
        assert header in told_beforehand["access-control-allow-headers"]
    assert told_beforehand["access-control-max-age"] == "600"
    assert told_beforehand["vary"] == "Origin"
    assert "access-control-allow-credentials" not in told_beforehand


@pytest.mark.parametrize(
    "path", ["/things/x", "/nowhere", "/defect", "/things"], ids=["an answer", "no path", "a defect", "a wrong method"]
)
async def test_its_program_may_read_every_answer_and_the_headers_that_matter(
    http: aiohttp.ClientSession, url: str, path: str
) -> None:
    async with http.get(url + path, headers={"Origin": SHOP}) as response:
        exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
        assert response.headers["Access-Control-Allow-Origin"] == SHOP
        assert response.headers["Vary"] == "Origin"
    assert {"ETag", "Retry-After", "RateLimit", "RateLimit-Policy", "Idempotency-Replayed"} <= set(exposed)


async def test_refusals_at_the_edge_can_be_read_too(serving: Serve, http: aiohttp.ClientSession) -> None:
    url = await serving(application(origins=(SHOP,), bounds=Bounds(in_flight=0)))
    async with http.get(f"{url}/things/x", headers={"Origin": SHOP}) as response:
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (503, SHOP)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "null", "https://shop.example.evil.example", "https://evilshop.example",
        "http://shop.example", "https://shop.example:444", "https://shop.example/",
        "HTTPS://SHOP.EXAMPLE", "https://sub.shop.example", "*", "",
    ],
)  # fmt: skip
async def test_no_other_page_is_told_anything(http: aiohttp.ClientSession, url: str, origin: str) -> None:
    async with http.get(f"{url}/things/x", headers={"Origin": origin}) as response:
        assert (response.status, cors_of(response)) == (200, {})
        assert response.headers["Vary"] == "Origin"
    async with http.options(f"{url}/things", headers={**PREFLIGHT, "Origin": origin}) as response:
        assert cors_of(response) == {}


@pytest.mark.parametrize("path", BETWEEN_SERVICES)
async def test_paths_between_services_answer_no_page_at_all(http: aiohttp.ClientSession, url: str, path: str) -> None:
    async with http.get(url + path, headers={"Origin": SHOP}) as response:
        assert cors_of(response) == {}
    async with http.options(url + path, headers=PREFLIGHT) as response:
        assert cors_of(response) == {}


async def test_without_origins_no_page_may_call(serving: Serve, http: aiohttp.ClientSession) -> None:
    url = await serving(application())
    async with http.get(f"{url}/things/x", headers={"Origin": SHOP}) as response:
        assert (cors_of(response), response.headers.get("Vary")) == ({}, None)


@pytest.mark.parametrize("path", ["/things/x", "/nowhere", "/defect", "/health", "/metrics", "/openapi.json", "/docs"])
async def test_every_answer_says_what_may_be_done_with_it(http: aiohttp.ClientSession, url: str, path: str) -> None:
    async with http.get(url + path) as response:
        headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers.getall("Content-Type") == [headers["Content-Type"]]
    assert headers["Server"] == "shopflow"


async def test_answers_below_handlers_say_it_too(url: str) -> None:
    for raw in (
        b"GET /things/x HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n",
        b"OPTIONS /things HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n",
    ):
        head = (await told(url, raw)).head
        for name in (b"nosniff", b"no-store", b"frame-ancestors", b"server: shopflow"):
            assert name in head


async def test_the_page_runs_scripts_from_its_own_files_only(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(f"{url}/docs") as response:
        policy = dict(
            each.strip().partition(" ")[::2] for each in response.headers["Content-Security-Policy"].split(";")
        )
        page = await response.text()
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in response.headers["Permissions-Policy"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert "<script>" not in page
    assert "onload=" not in page
    assert "style=" not in page
    for part in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
        async with http.get(f"{url}/docs/{part}") as response:
            assert response.headers["Cache-Control"] == "max-age=86400"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
