"""Each attack finds what it looks for: in a shop that is wrong on purpose, and in servers that are wrong in one way."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from tests.attack import (
    bodies,
    browsers,
    callbacks,
    doors,
    enumeration,
    injection,
    leaks,
    limits,
    machine,
    races,
    roles,
    sessions,
    tokens,
    transport,
)
from tests.attack.campaign import Attack, run
from tests.attack.findings import Notes
from tests.attack.scene import Scene
from tests.attack.target import Target, found
from tests.service.attack.weak import WeakShop

SECRET = "a-secret-that-stands-nowhere"


def target(home: Path | None = None, **known: str) -> Target:
    """A platform that is only some addresses."""
    return Target(known, {"email": "admin@shop.example", "password": SECRET}, {}, "", {}, home)


@pytest.fixture
async def weak(tmp_path: Path) -> AsyncIterator[Scene]:
    """The weak shop as the scene of an attack, with a short time."""
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True)
    shop = WeakShop(home / "logs" / "auth.log")
    shop.users["admin@shop.example"] = {
        "id": "1", "email": "admin@shop.example", "password": SECRET, "role": "admin"
    }  # fmt: skip
    runner = web.AppRunner(shop.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield Scene(target(home, auth=base, orders=base, notifications=base, mailbox=base), seconds=30)
    finally:
        await runner.cleanup()


async def titles(scene: Scene, attack: Attack) -> set[str]:
    """What one attack finds."""
    scene.notes = Notes()
    await attack(scene)
    return set(scene.notes.found)


@pytest.mark.parametrize(
    ("attack", "finds"),
    [
        (tokens.forged, "a false token is taken for a good one"),
        (tokens.wrong_kind, "a false token is taken for a good one"),
        (tokens.headers, "a false token is taken for a good one"),
        (roles.everybody, "an operation is open to everybody"),
        (roles.everybody, "a stranger gets at it"),
        (roles.everybody, "nobody has said who may call this"),
        (roles.reaching_further, "a customer sees somebody else's things"),
        (roles.mass_assignment, "whoever asks is registered as an admin"),
        (roles.mass_assignment, "an order believes what it is told"),
        (doors.methods, "a method that nobody described is answered"),
        (doors.spellings, "a guard is walked around"),
        (doors.spellings, "HEAD walks around a guard"),
        (doors.hosts, "an answer repeats a false host"),
        (doors.cursors, "a cursor shows somebody else's rows"),
        (doors.lookalikes, "an address has a double"),
        (doors.lookalikes, "a closed account's address can be taken"),
        (races.endings, "a session slips through its end"),
        (races.endings, "an access token slips through its end"),
        (sessions.reuse, "a refresh token can be used again"),
        (sessions.branches, "one refresh token makes several sessions"),
        (sessions.logout, "a session outlives its logout"),
        (sessions.password_change, "a password changes without the old one"),
        (sessions.deactivated, "a deactivated account's access token holds"),
        (enumeration.by_text, "sign-in tells who has an account"),
        (enumeration.by_time, "the time that sign-in takes tells who has an account"),
        (enumeration.by_reading, "a profile's refusal tells whether it exists"),
        (injection.names, "a name with a line break is taken"),
        (injection.orders, "a customer adds a recipient"),
        (injection.orders, "a customer's text is live in an e-mail"),
        (injection.orders, "a customer's text is run as a template"),
        (injection.orders, "a subject has a line break"),
        (injection.parameters, "a parameter takes anything"),
        (bodies.everywhere, "a body that is no clear JSON is taken"),
        (bodies.everywhere, "a request makes the service fail"),
        (bodies.everywhere, "an answer shows the inside"),
        (bodies.types, "sign-in takes a value of another type"),
        (bodies.amounts, "an order takes an odd number"),
        (bodies.kinds, "another type is read as JSON"),
        (races.keys, "one key makes several orders"),
        (races.transitions, "one step is taken several times"),
        (races.accounts, "one address has several accounts"),
        (browsers.origins, "a service opens itself to another origin"),
        (browsers.pages, "a page does without frame-ancestors 'none'"),
        (browsers.caches, "a cache may keep what is personal"),
        (browsers.unasked, "a link does what a button should"),
        (browsers.unasked, "an answer sets a cookie"),
        (callbacks.forged, "a callback is taken from anybody"),
        (transport.paths, "a path leads to files of the machine"),
        (limits.spoofed, "a rate limit can be evaded"),
        (limits.lockout, "a password can be guessed from many addresses without growing slower"),
        (leaks.metrics, "metrics hold what callers sent"),
    ],
)
async def test_an_attack_finds_what_it_looks_for(
    weak: Scene, attack: Attack, finds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_GRACE", 0)
    assert finds in await titles(weak, attack)


async def test_a_text_that_the_database_runs_is_found_by_its_time(weak: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(injection, "_SLOW", 0.2)
    assert "a text is run by the database, or keeps it busy" in await titles(weak, injection.orders)


async def test_secrets_and_personal_data_in_a_log_are_found(weak: Scene) -> None:
    await roles.mass_assignment(weak)
    found_titles = await titles(weak, leaks.logs)
    assert {"a log holds a secret", "a log holds personal data"} <= found_titles


async def test_two_answers_to_one_request_are_found(unused_port: Callable[..., Awaitable[str]]) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer * 2)
        await writer.drain()
        writer.close()

    base = await unused_port(twice)
    scene = Scene(target(auth=base, orders=base, notifications=base), seconds=30)
    assert "two requests are read out of one" in await titles(scene, transport.desync)


async def test_a_broker_that_lets_anybody_in_is_found(unused_port: Callable[..., Awaitable[str]]) -> None:
    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\xce")
        await reader.read(1000)
        writer.write(b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x1e\xce")
        await writer.drain()
        writer.close()

    base = await unused_port(broker)
    scene = Scene(Target({}, {}, {}, base.replace("http", "amqp"), {}), seconds=30)
    assert "the broker takes a guess" in await titles(scene, machine.broker)


@pytest.fixture
async def unused_port() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Serves connections as told on a free loopback port; answers the base URL."""
    servers: list[asyncio.Server] = []

    async def serve(
        handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    ) -> str:
        servers.append(await asyncio.start_server(handle, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}"

    yield serve
    for server in servers:
        server.close()


async def test_a_socket_that_is_open_to_the_network_is_found() -> None:
    scene = Scene(Target({}, {}, {}, "", {"here": os.getpid()}), seconds=30)
    with socket.create_server(("0.0.0.0", 0)):
        assert "something listens beyond this machine" in await titles(scene, machine.listeners)


async def test_a_secret_that_others_can_read_is_found(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "secrets").mkdir(parents=True)
    for folder in (home, home / "secrets"):
        folder.chmod(0o755)
    (home / "secrets" / "platform.json").write_text("{}")
    (home / "secrets" / "platform.json").chmod(0o644)
    scene = Scene(target(home), seconds=30)
    assert {"others can read the state folder", "a secret's file is open"} <= await titles(scene, machine.files)


async def test_a_secret_in_a_command_line_or_in_the_wrong_environment_is_found() -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", SECRET]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "JWT_SECRET": SECRET})  # noqa: ASYNC220
    try:
        known = Target({}, {"password": SECRET}, {}, "", {"orders": child.pid})
        found_titles = await titles(Scene(known, seconds=30), machine.processes)
    finally:
        child.communicate()
    assert found_titles == {"a command line holds a secret", "a service knows too much"}


async def test_what_a_database_gives_away_is_found(
    database_of: Callable[[str], Awaitable[str]],
) -> None:
    url = await database_of("auth")
    connection = await asyncpg.connect(url)
    cheap = "$2b$04$" + "x" * 53
    insert = (
        "INSERT INTO users (email, password_hash, first_name, last_name, role) VALUES ($1, $2, $3, 'Doe', 'customer')"
    )
    for name in ("one", "two"):
        await connection.execute(insert, f"{name}@shop.example", cheap, SECRET)
    await connection.close()
    scene = Scene(Target({}, {"password": SECRET}, {"auth": url}, "", {}), seconds=30)
    assert await titles(scene, leaks.rows) == {
        "a row holds a secret", "passwords are hashed too cheaply", "two passwords share a salt",
    }  # fmt: skip


async def test_an_account_that_may_do_everything_is_found(postgres: object) -> None:
    mighty = str(postgres.superuser_url)  # type: ignore[attr-defined]
    scene = Scene(Target({}, {}, {"postgres": mighty}, "", {}), seconds=30)
    found_titles = await titles(scene, machine.databases)
    assert {"a service's account may do anything", "a service gets into another database"} <= found_titles


async def test_a_history_that_can_be_rewritten_is_found(
    database_of: Callable[[str], Awaitable[str]],
) -> None:
    url = await database_of("orders")
    scene = Scene(Target({}, {}, {"orders": url}, "", {}), seconds=30)
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER TABLE order_history DISABLE TRIGGER ALL")
    await connection.close()
    assert "the history of orders can be rewritten" in await titles(scene, machine.history)


async def test_a_history_that_was_rewritten_is_found(database_of: Callable[[str], Awaitable[str]]) -> None:
    url = await database_of("orders")
    scene = Scene(Target({}, {}, {"orders": url}, "", {}), seconds=30)
    assert await titles(scene, leaks.history) == set()
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO orders (user_id, items, shipping_address, total_amount, currency)"
        " VALUES (gen_random_uuid(), '[]', '{}', 1, 'USD')"
    )  # an order without any history
    await connection.close()
    assert await titles(scene, leaks.history) == {"the history of orders does not hold"}


async def test_an_attack_that_breaks_off_is_told_and_counts_as_no_success(weak: Scene) -> None:
    weak.target.bases["auth"] = "http://127.0.0.1:9"
    [told] = await run(weak, (roles.mass_assignment,), tell=lambda _: None)
    assert "no customer can register" in told.broken
    assert [each.title for each in told.findings] == ["an attack could not be carried out"]


def test_without_a_platform_the_attack_says_so_with_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.attack", "--home", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 2
    assert "make up" in said.stderr


def test_a_target_is_read_from_its_home(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "platform.json").write_text('{"jwt_secret": "0123456789abcdef"}')
    (tmp_path / "secrets" / "order-service.token").write_text("header.claims.signature")
    (tmp_path / "up.json").write_text(
        '{"auth": "http://127.0.0.1:1", "admin": {"email": "a", "password": "of-twelve-or-more"},'
        ' "postgres": {}, "rabbitmq": "", "pids": {}}'
    )
    known = found(tmp_path)
    assert known.signing_secret == b"0123456789abcdef"
    assert known.service_token("order") == "header.claims.signature"
    assert known.secrets["admin password"] == "of-twelve-or-more"
