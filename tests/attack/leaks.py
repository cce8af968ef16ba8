"""Afterwards, from inside: is anything that was secret written down, in a log, a row, a metric or a description?"""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator
from typing import Final
from uuid import uuid4

import asyncpg
from tests.attack.findings import Severity
from tests.attack.people import PHONE, STREET
from tests.attack.scene import Scene
from tests.attack.target import SERVICES

_TABLES: Final = """
SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
 WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
"""
_SHORTEST: Final = 12
_ALLOWED: Final = re.compile(r"^(process|python|shopflow)_|^# ")


def needles(scene: Scene) -> dict[str, str]:
    """Everything secret of this run by name: passwords and tokens whole, and the signatures of tokens."""
    known = {**scene.target.secrets, **scene.secrets}
    parts = {
        f"the signature of {name}": text.rsplit(".", 1)[-1] for name, text in known.items() if text.count(".") == 2
    }
    return {name: text for name, text in {**known, **parts}.items() if len(text) >= _SHORTEST}


def held(haystack: str, wanted: dict[str, str]) -> Iterator[str]:
    """The names of the secrets that a text holds."""
    return (name for name, text in wanted.items() if text in haystack)


async def logs(scene: Scene) -> None:
    """Every log file of the platform, read for passwords, tokens, and what is personal."""
    wanted = needles(scene)
    for path in scene.target.log_files:
        text = path.read_text(encoding="utf-8", errors="replace")
        scene.notes.saw(f"{path.name} read")
        for name in held(text, wanted):
            scene.notes.finds("a log holds a secret", f"{path.name}: {name}", Severity.CRITICAL)
        for each in (*scene.personal, STREET, PHONE):
            scene.unless(each not in text, "a log holds personal data", f"{path.name}: {each}", Severity.HIGH)
        for line in text.splitlines():
            loud = '"level":"error"' in line.replace(" ", "") or line.startswith("Traceback")
            scene.unless(not loud, "the attack made a service log an error", f"{path.name}: {line}", Severity.MEDIUM)


async def rows(scene: Scene) -> None:
    """Every row of every table, read for passwords and tokens; and the passwords' hashes looked at."""
    wanted = needles(scene)
    for service, url in scene.target.postgres.items():
        connection = await asyncpg.connect(url)
        try:
            for [table] in await connection.fetch(_TABLES):
                found = await connection.fetch(f"SELECT t::text FROM {table} AS t")  # noqa: S608 - a name from its catalogue
                text = "\n".join(row[0] for row in found)
                scene.notes.saw(f"{service} {table} read")
                for name in held(text, wanted):
                    scene.notes.finds("a row holds a secret", f"{service} {table}: {name}", Severity.CRITICAL)
            if service == "auth":
                await _hashes(scene, connection)
        finally:
            await connection.close()


async def _hashes(scene: Scene, connection: asyncpg.Connection) -> None:
    weak = "SELECT count(*) FROM users WHERE password_hash !~ '^\\$2b\\$1[2-9]\\$'"
    count = await connection.fetchval(weak)
    scene.unless(count == 0, "passwords are hashed too cheaply", f"{count} accounts below cost 12", Severity.HIGH)
    same = "SELECT count(*) - count(DISTINCT password_hash) FROM users"
    scene.unless(await connection.fetchval(same) == 0, "two passwords share a salt", "equal hashes", Severity.HIGH)


async def history(scene: Scene) -> None:
    """The chains of all orders' histories, verified as an operator does: the attack has not broken one."""
    if "orders" not in scene.target.postgres:
        return
    command = (sys.executable, "-m", "shopflow", "audit", "verify")
    environment = {**os.environ, "DATABASE_URL": scene.target.postgres["orders"]}
    verify = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=STDOUT)
    said, _ = await verify.communicate()
    scene.notes.saw(f"status {verify.returncode}")
    scene.unless(verify.returncode == 0, "the history of orders does not hold", said.decode(), Severity.CRITICAL)


async def metrics(scene: Scene) -> None:
    """Metrics: open to the internal network, so no ids, no addresses, and no room for callers to fill."""
    for service in SERVICES:
        for _ in range(20):
            path = f"/{uuid4().hex}/{scene.mark}"
            await scene.ask(service, "GET", path, source=scene.address())
        await scene.ask(service, f"X{scene.mark}", "/health", source=scene.address())
        answer = await scene.ask(service, "GET", "/metrics")
        told = [each for each in (scene.mark, *(person.id for person in scene.people)) if each and each in answer.text]
        title = "metrics hold what callers sent"
        scene.unless(not told, title, f"{service}: {told}", Severity.MEDIUM)
        for name in held(answer.text, needles(scene)):
            scene.notes.finds("metrics hold a secret", f"{service}: {name}", Severity.CRITICAL)
        odd = [line for line in answer.text.splitlines() if line and not _ALLOWED.match(line)]
        scene.unless(not odd, "metrics hold something else", f"{service}: {odd[:3]}", Severity.LOW)
