"""The users of a run: written straight into auth-service's database with one shared hash, their tokens signed with the
run's secret, because registering a thousand of them would take longer than the run. And orders from before it."""

import time
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import msgspec

from shopflow.auth import passwords
from shopflow.auth.tokens import Tokens
from shopflow.contracts.identity import Role

PASSWORD: Final = "Bench-passw0rd"  # noqa: S105 - of invented users in a database that lives for one run
COST: Final = 12

_PAST: Final = """
INSERT INTO orders (user_id, status, items, shipping_address, total_amount,
                    confirmed_at, shipped_at, delivered_at, created_at, updated_at)
SELECT user_id, 'delivered',
       '[{"product_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479", "product_name": "Wireless Headphones", "quantity": 2,
          "unit_price": 49.99, "subtotal": 99.98}]',
       '{"street": "742 Evergreen Terrace", "city": "Springfield", "state": "IL", "zip_code": "62704",
         "country": "US"}',
       99.98, at, at, at, at, at
  FROM unnest($1::uuid[]) AS user_id, generate_series(1, $2) AS day,
       LATERAL (SELECT now() - day * interval '1 day') AS t (at)
"""


class Person(msgspec.Struct, frozen=True):
    """One user who can call."""

    id: UUID
    email: str
    phone: str
    role: Role
    token: str


def people(number: int, role: Role, *, tokens: Tokens) -> list[Person]:
    """So many users of a role, with tokens that hold for an hour; not stored yet."""
    issued = int(time.time())
    first = 2_000_000 if role is Role.ADMIN else 1_000_000
    made = []
    for index in range(number):
        user_id, email = uuid4(), f"bench-{role}-{index}@shopflow.example"
        token = tokens.access(user_id, email, role, issued=issued)
        made.append(Person(user_id, email, f"+1555{first + index}", role, token))
    return made


async def store(database_url: str, who: list[Person], *, password_hash: str) -> None:
    """Write users into auth-service's database."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.copy_records_to_table(
            "users",
            columns=("id", "email", "password_hash", "first_name", "last_name", "phone", "role"),
            records=[(each.id, each.email, password_hash, "Bench", "User", each.phone, each.role) for each in who],
        )
        await connection.execute("ANALYZE users")
    finally:
        await connection.close()


async def store_past_orders(database_url: str, who: list[Person], *, each: int) -> None:
    """Give everybody `each` delivered orders, one a day, so that lists have something to page through."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_PAST, [person.id for person in who], each)
        await connection.execute("ANALYZE orders")
    finally:
        await connection.close()


def timed_hash() -> tuple[str, float]:
    """The shared hash, and the seconds that one comparison with it takes on this machine: the best of three."""
    made = passwords.hashed(PASSWORD, COST)
    return made, min(_seconds_to_match(made) for _ in range(3))


def _seconds_to_match(password_hash: str) -> float:
    started = time.perf_counter()
    passwords.matches(PASSWORD, password_hash)
    return time.perf_counter() - started
