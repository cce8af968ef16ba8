"""Passwords that everybody uses: refused where an operator lists them, at registration and at a change (R15)."""

from pathlib import Path

from tests.service.auth.shop import PASSWORD, OpenShop

RULE = {"field": "password", "rule": "must not be a common one"}


async def test_a_listed_password_is_refused_in_any_case_and_others_are_not(open_shop: OpenShop, tmp_path: Path) -> None:
    listed = tmp_path / "common.txt"
    listed.write_text("P@ssw0rd\nshopFlow-2026!\n")
    shop = await open_shop(COMMON_PASSWORDS_FILE=str(listed))
    for password in ("P@ssw0rd", "p@SSw0rd", "ShopFlow-2026!"):
        answer = await shop.register(password=password)
        assert (answer.status, answer.body["errors"]) == (400, [RULE])
    person = await shop.person()
    change = {"current_password": PASSWORD, "new_password": "P@ssw0rd"}
    answer = await shop.ask("POST", "/auth/password", body=change, token=person.token)
    assert (answer.status, answer.body["errors"]) == (400, [{**RULE, "field": "new_password"}])


async def test_none_is_listed_by_default(open_shop: OpenShop) -> None:
    shop = await open_shop()
    assert (await shop.register(password="P@ssw0rd")).status == 201
