"""What `up` shows once everything answers: addresses, the admin, and three lines that place a first order. Pure text;
the lines must work as printed in any POSIX shell with curl and python3."""

import json
from collections.abc import Mapping

CUSTOMER = {"email": "first.customer@shopflow.example", "password": "First-0rder"}
PROFILE = {"first_name": "First", "last_name": "Customer", "phone": "+15551234567"}
ORDER = {
    "items": [
        {
            "product_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "product_name": "Wireless Headphones",
            "quantity": 2,
            "unit_price": 49.99,
        }
    ],
    "shipping_address": {
        "street": "742 Evergreen Terrace",
        "city": "Springfield",
        "state": "IL",
        "zip_code": "62704",
        "country": "US",
    },
}
SIGNED_IN = """python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'"""


def welcome(urls: Mapping[str, str], *, email: str, password: str, real: Mapping[str, bool]) -> str:
    """The text. `urls` names every part that has a page; `real` says of mail and SMS whether they leave the machine."""
    places = "\n".join(f"  {name:<14} {url}" for name, url in urls.items())
    return "\n".join(
        [
            "",
            "ShopFlow is up. Ctrl-C or `shopflow down` stops it.",
            "",
            places,
            f"  {'admin':<14} {email}   {password}",
            "",
            *(_delivery(kind, leaves) for kind, leaves in real.items()),
            "",
            "A first order:",
            "",
            *first_order(urls["auth"], urls["orders"]),
            "",
            f"What the customer received: {urls['mailbox']}/",
        ]
    )


def first_order(auth: str, orders: str) -> list[str]:
    """Three command lines: register, sign in, order. Repeated, the first one says that the account exists."""
    return [
        _post(f"{auth}/auth/register", CUSTOMER | PROFILE),
        f"TOKEN=$({_post(f'{auth}/auth/login', CUSTOMER)} | {SIGNED_IN})",
        _post(f"{orders}/orders", ORDER, header="Authorization: Bearer $TOKEN"),
    ]


def _post(url: str, body: Mapping[str, object], *, header: str = "") -> str:
    more = f' -H "{header}"' if header else ""
    return f"curl -sS {url} -H 'Content-Type: application/json'{more} -d '{json.dumps(body)}'"


def _delivery(kind: str, leaves: bool) -> str:
    if leaves:
        return f"  {kind} is REAL: what the services send leaves this machine and reaches people."
    return f"  {kind} stays here: the sandbox answers as the provider does and keeps what was sent."
