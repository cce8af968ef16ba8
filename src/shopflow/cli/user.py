"""`shopflow user …`: accounts, where no admin can sign in. What the commands do is in `accounts.py`, imported then."""

from typing import Annotated

from cyclopts import Parameter

Who = Annotated[str, Parameter(help="The account's e-mail address or id.")]
Json = Annotated[bool, Parameter(help="Print the account as JSON.", negative="")]
FromStdin = Annotated[bool, Parameter(help="Read the password from standard input.", negative="")]


def create_admin(
    *,
    email: str,
    first_name: str = "ShopFlow",
    last_name: str = "Admin",
    password_stdin: FromStdin = False,
    json: Json = False,
) -> None:
    """Make an account with the role admin.

    Without --password-stdin a password is made up and printed once. An address that is registered already is left as it
    is. Reads DATABASE_URL (or DATABASE_URL_FILE). Exit status: 0 when the account is there, 1 when it cannot be made,
    2 when something given is wrong.

    Parameters
    ----------
    email
        Its e-mail address.
    first_name
        First name.
    last_name
        Last name.

    """
    from shopflow.cli import accounts

    accounts.make_admin(email, first_name=first_name, last_name=last_name, password_stdin=password_stdin, json=json)


def promote(who: Who, *, json: Json = False) -> None:
    """Make a customer an admin. Exit status: 0, 1 when there is no such account."""
    from shopflow.cli import accounts

    accounts.change_account("promote", who, json=json)


def demote(who: Who, *, json: Json = False) -> None:
    """Make an admin a customer; the last admin stays one. Exit status: 0, 1 when that is refused."""
    from shopflow.cli import accounts

    accounts.change_account("demote", who, json=json)


def deactivate(who: Who, *, json: Json = False) -> None:
    """Deactivate an account; its tokens end at once. The last admin stays active. Exit status: 0, 1 when refused."""
    from shopflow.cli import accounts

    accounts.change_account("deactivate", who, json=json)


def reactivate(who: Who, *, json: Json = False) -> None:
    """Make a deactivated account usable again. Exit status: 0, 1 when there is no such account."""
    from shopflow.cli import accounts

    accounts.change_account("reactivate", who, json=json)


def reset_password(who: Who, *, password_stdin: FromStdin = False) -> None:
    """Give an account a new password and end all its sessions.

    Without --password-stdin a password is made up and printed once. Exit status: 0, 1 when there is no such account,
    2 when the password breaks a rule.
    """
    from shopflow.cli import accounts

    accounts.give_password(who, password_stdin=password_stdin)
