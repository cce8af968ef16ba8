"""The canary bites: what leaks a secret on purpose is found in a log line, in a refusal and in a column (A17)."""

from typing import Any

import aiohttp
import pytest
from litestar import Request, post
from tests.canary import Canary
from tests.conftest import MakeDatabase, Serve

from shopflow.auth.tokens import Tokens
from shopflow.kit import logs
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import FieldError, invalid
from shopflow.kit.service import Application

PASSWORD = "Canary-Passw0rd"
TOKEN = Tokens("a secret of more than thirty-two bytes").service("order-service", issued=1739789400)


def leaky() -> Application:
    """An application that makes every mistake."""

    @post("/answers")
    async def answers(request: Request[Any, Any, Any]) -> None:
        raise invalid(FieldError("password", f"{(await request.json())['password']} is too short"))

    @post("/logs")
    async def logs_it(request: Request[Any, Any, Any]) -> None:
        logs.logger("leaky").info("signed_in", authorization=request.headers["authorization"])

    @post("/breaks")
    async def breaks(request: Request[Any, Any, Any]) -> None:
        raise RuntimeError((await request.json())["password"])

    return Application(
        name="leaky", summary="Leaks.", routes=[answers, logs_it, breaks], resources=[], dependencies=[],
        metrics=Metrics(), max_body=1000,
    )  # fmt: skip


@pytest.mark.row("A-24")
@pytest.mark.parametrize(
    ("path", "where"),
    [("/answers", "400 of /answers"), ("/logs", "log: signed_in"), ("/breaks", "log: unhandled_error")],
)
async def test_a_secret_in_a_log_line_or_in_a_refusal_is_found(
    canary: Canary, serving: Serve, http: aiohttp.ClientSession, path: str, where: str
) -> None:
    url = await serving(leaky())
    headers = {"Authorization": "Bearer the-token-of-this-test"}
    async with http.post(url + path, json={"password": PASSWORD}, headers=headers) as answer:
        await answer.read()
    assert [leak.startswith(where) for leak in canary.leaks()] == [True]
    canary.forget()


async def test_a_token_is_found_wherever_it_came_from(canary: Canary) -> None:
    logs.logger("leaky").warning("unexpected", header=f"Bearer {TOKEN}")
    logs.logger("innocent").warning("unexpected", header="Bearer")
    assert len(canary.leaks()) == 1
    canary.forget()


async def test_a_secret_in_a_column_of_text_or_of_bytes_is_found_and_a_hash_is_none(
    canary: Canary, database_of: MakeDatabase
) -> None:
    url = await database_of("auth")
    database = Database(url, size=1)
    await database.open()
    canary.learn(PASSWORD)
    await database.execute(
        "INSERT INTO users (email, password_hash, first_name, last_name) VALUES ('a@example.com', $1, 'A', 'B')",
        PASSWORD,
    )
    assert await canary.look_into(url) == []
    user = await database.fetchval("UPDATE users SET first_name = $1 RETURNING id", PASSWORD)
    assert [leak.partition(":")[0] for leak in await canary.look_into(url)] == ["users.first_name"]
    await database.execute("UPDATE users SET first_name = 'A'")
    await database.execute("INSERT INTO deactivations (user_id, by, reason) VALUES ($1, 'cli', $2)", user, TOKEN)
    assert [leak.partition(":")[0] for leak in await canary.look_into(url)] == ["deactivations.reason"]
    await database.execute("DELETE FROM deactivations")
    await database.close()


async def test_a_secret_in_bytes_is_found(canary: Canary, database_of: MakeDatabase) -> None:
    url = await database_of("orders")
    database = Database(url, size=1)
    await database.open()
    statement = """
        INSERT INTO outbox (event_id, subject_id, routing_key, body, headers)
        VALUES (gen_random_uuid(), gen_random_uuid(), 'x', $1, $2)
    """
    await database.execute(statement, TOKEN.encode() + b"\xff", b"{}")
    await database.execute(statement, b"\xff\x00", f'{{"authorization": "{TOKEN}"}}'.encode())
    assert {leak.partition(":")[0] for leak in await canary.look_into(url)} == {"outbox.body", "outbox.headers"}
    await database.execute("DELETE FROM outbox")
    await database.close()
