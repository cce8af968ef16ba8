"""What auth-service reads and answers: that nothing with a secret in it shows the secret (A17)."""

from importlib import import_module
from pkgutil import walk_packages

import msgspec
import pytest

import shopflow
from shopflow.auth.bodies import ChangePassword, Logout, SignIn, TokenPair
from shopflow.kit.discreet import Discreet

SECRET = "S3cur3P@ssw0rd!"


def structs() -> list[type[msgspec.Struct]]:
    """Every Struct of the program."""
    for module in walk_packages(shopflow.__path__, "shopflow."):
        if "__main__" not in module.name and not module.name.startswith("shopflow.cli"):
            import_module(module.name)
    found, left = set(), [msgspec.Struct]
    while left:
        below = left.pop().__subclasses__()
        found |= {*below}
        left += below
    return [each for each in found if each.__module__.startswith("shopflow.")]


@pytest.mark.parametrize(
    "value",
    [
        SignIn("jane@example.com", SECRET),
        ChangePassword(SECRET, SECRET, SECRET),
        Logout(SECRET),
        TokenPair(SECRET, SECRET),
    ],
)
def test_what_holds_a_secret_shows_the_names_of_its_fields_only(value: Discreet) -> None:
    shown = f"{value!r} {value} {[value]}"
    assert SECRET not in shown
    assert "jane" not in shown
    assert type(value).__struct_fields__[0] in shown


def test_every_struct_with_a_secret_is_discreet() -> None:
    open_hearted = [
        each.__qualname__
        for each in structs()
        if not issubclass(each, Discreet)
        and any("password" in field or "token" in field for field in each.__struct_fields__)
    ]
    assert open_hearted == []
