"""What is logged when somebody signs in, fails to, or is refused: a line each, without address, e-mail or password."""

import pytest
from tests.service.auth.shop import PASSWORD, Shop

from shopflow.local.postgres import PostgreSQL


async def test_every_sign_in_leaves_a_line_good_or_bad(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    person = await shop.person()
    capfd.readouterr()
    await shop.login(person.email)
    assert "signed_in" in capfd.readouterr().out
    for email, password in ((person.email, "Wr0ng-pass!"), ("nobody@example.com", PASSWORD)):
        await shop.login(email, password)
        logged = capfd.readouterr().out
        [line] = [each for each in logged.splitlines() if "/auth/login" in each]
        assert "invalid-credentials" in line
        assert "401" in line
        assert email not in logged
        assert password not in logged


async def test_every_refusal_of_a_right_leaves_a_line(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    person, other = await shop.person(), await shop.person()
    capfd.readouterr()
    assert (await shop.ask("GET", f"/auth/users/{other.id}", token=person.token)).status == 403
    [line] = [each for each in capfd.readouterr().out.splitlines() if "/auth/users" in each]
    assert "forbidden" in line
    assert "403" in line
    assert person.id in line


async def test_the_databases_own_log_hears_of_no_address(shop: Shop, postgres: PostgreSQL) -> None:
    made = (await shop.register()).body
    before = postgres.log.stat().st_size
    assert (await shop.register(email=made["email"])).status == 409
    written = postgres.log.read_text()[before:]
    assert "duplicate key" not in written
    assert made["email"] not in written
