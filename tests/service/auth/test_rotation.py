"""Changing the signing secret: nobody is signed out while both hold, and the metric says when the old one can go (A14).

The service is started again on the same database with other secrets, as an operator does.
"""

from collections.abc import Awaitable, Callable

import pytest
from tests.service.auth.shop import SECRET, OpenShop, Person, Shop

from shopflow.auth.tokens import Tokens

NEW = "the new secret, also of more than thirty-two bytes"

Restart = Callable[..., Awaitable[Shop]]


@pytest.fixture
def restarted(shop: Shop, open_shop: OpenShop) -> Restart:
    """The same shop with other secrets."""

    async def again(**secrets: str) -> Shop:
        return await open_shop(DATABASE_URL=shop.database_url, **secrets)

    return again


@pytest.fixture
async def jane(shop: Shop) -> Person:
    return await shop.person()


async def verifications(shop: Shop) -> dict[str, float]:
    """What the metric says of each kind and secret, zeros left out."""
    async with shop.http.get(f"{shop.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    name = "shopflow_token_verifications_total{"
    found = {line.split()[0].removeprefix(name): float(line.split()[1]) for line in lines if line.startswith(name)}
    return {labels: value for labels, value in found.items() if value}


@pytest.mark.row("A-4")
async def test_a_change_of_secrets_signs_nobody_out(shop: Shop, jane: Person, restarted: Restart) -> None:
    both = await restarted(JWT_SECRET=NEW, JWT_SECRET_PREVIOUS=SECRET)
    for token in (jane.token, shop.service()):
        assert (await both.validate(token)).status == 200
    answer = await both.refresh(jane.refresh_token)
    assert answer.status == 200
    again = await both.refresh(jane.refresh_token)
    assert again.body["refresh_token"] == answer.body["refresh_token"]
    after = await restarted(JWT_SECRET=NEW)
    assert (await after.validate(answer.body["access_token"])).status == 200
    assert (await after.refresh(answer.body["refresh_token"])).status == 200


@pytest.mark.row("A-4")
async def test_when_the_previous_secret_is_gone_its_tokens_are_refused(
    shop: Shop, jane: Person, restarted: Restart
) -> None:
    after = await restarted(JWT_SECRET=NEW)
    for token in (jane.token, shop.service()):
        answer = await after.validate(token)
        assert (answer.status, answer.code) == (401, "token-invalid")
    assert (await after.refresh(jane.refresh_token)).status == 401
    assert (await after.login(jane.email)).status == 200


async def test_instances_that_learn_of_the_new_secret_first_take_each_others_tokens(
    jane: Person, restarted: Restart
) -> None:
    informed = await restarted(JWT_SECRET=SECRET, JWT_SECRET_PREVIOUS=NEW)
    switched = await restarted(JWT_SECRET=NEW, JWT_SECRET_PREVIOUS=SECRET)
    for one, other in ((informed, switched), (switched, informed)):
        pair = (await one.login(jane.email)).body
        assert (await other.validate(pair["access_token"])).status == 200
        assert (await other.refresh(pair["refresh_token"])).status == 200


async def test_the_metric_tells_which_secret_is_in_use(shop: Shop, jane: Person, restarted: Restart) -> None:
    both = await restarted(JWT_SECRET=NEW, JWT_SECRET_PREVIOUS=SECRET)
    for _ in range(2):
        await both.validate(jane.token)
    await both.validate(Tokens(NEW).service("order-service", issued=shop.now()))
    await both.validate("junk")
    await both.refresh(jane.refresh_token)
    assert await verifications(both) == {
        'kind="access",secret="previous"}': 2,
        'kind="service",secret="current"}': 1,
        'kind="refresh",secret="previous"}': 1,
    }
