"""Which commands there are. Names and one line each: what a command does is imported when it is called."""

from collections.abc import Sequence
from typing import Final

from cyclopts import App

from shopflow import __version__

_COMMANDS: Final = {
    "up": ("platform:up", "Bring the whole platform up on this machine."),
    "down": ("platform:down", "Stop the platform."),
    "status": ("platform:status", "Show what runs and whether it is ready."),
    "logs": ("platform:logs", "Show what the processes have logged."),
    "demo": ("demo:demo", "Play an order's story against the running platform."),
    "migrate": ("migrate:migrate", "Bring a service's database to its newest schema."),
    "reconcile": ("reconcile:reconcile", "Find orders whose customer was not told."),
    "settings": ("settings:settings", "List every environment variable."),
}

_GROUPS: Final = {
    "auth": ("Run auth-service.", {"serve": ("serve:auth", "Serve until SIGTERM.")}),
    "orders": ("Run order-service.", {"serve": ("serve:orders", "Serve until SIGTERM.")}),
    "notifications": ("Run notification-service.", {"serve": ("serve:notifications", "Serve until SIGTERM.")}),
    "audit": ("The histories of orders.", {"verify": ("audit:verify", "Recompute every hash chain.")}),
    "dead-letters": (
        "Messages that could not be handled.",
        {
            "list": ("dead_letters:list_", "List them, those parked last first."),
            "show": ("dead_letters:show", "Show one with headers and body."),
            "replay": ("dead_letters:replay", "Put them back into their queues."),
            "discard": ("dead_letters:discard", "Say that nobody will deal with them."),
        },
    ),
    "sandbox": ("The stand-in for SES and Twilio.", {"serve": ("sandbox:serve", "Serve until SIGTERM.")}),
    "token": (
        "Tokens for services.",
        {
            "issue": ("token:issue", "Print a service token that lives 24 hours."),
            "revoke": ("token:revoke", "Refuse a service's tokens from now on."),
        },
    ),
    "user": (
        "Accounts, where no admin can sign in.",
        {
            "create-admin": ("user:create_admin", "Make an account with the role admin."),
            "promote": ("user:promote", "Make a customer an admin."),
            "demote": ("user:demote", "Make an admin a customer."),
            "deactivate": ("user:deactivate", "Deactivate an account; its tokens end at once."),
            "reactivate": ("user:reactivate", "Make a deactivated account usable again."),
            "reset-password": ("user:reset_password", "Give an account a new password."),
        },
    ),
}


def app(arguments: Sequence[str]) -> App:
    """The application that answers these arguments.

    A list of commands shows the lines above, so that it imports none of them; the help of one command is its own.
    """
    words = [word for word in arguments if not word.startswith("-")]
    listing = not words or (words[0] in _GROUPS and len(words) == 1)
    root = App(
        name="shopflow",
        help="ShopFlow: accounts, orders with an auditable life cycle, e-mail and SMS to the customer.",
        version=__version__,
    )
    _register(root, _COMMANDS, listing=listing)
    for name, (meaning, commands) in _GROUPS.items():
        group = App(name=name, help=meaning)
        _register(group, commands, listing=listing)
        root.command(group)
    return root


def _register(parent: App, commands: dict[str, tuple[str, str]], *, listing: bool) -> None:
    for name, (where, meaning) in commands.items():
        parent.command(f"shopflow.cli.{where}", name=name, help=meaning if listing else None)
