"""Accounts for the attack: made through the front door like anybody's, each calling from an address of its own."""

from typing import Any, Final
from uuid import uuid4

from tests.attack.scene import CannotGoOn, Person, Scene
from tests.attack.wire import Answer

PHONE: Final = "+15557654321"
STREET: Final = "17 Forgotten Lane"

ORDER: Final[dict[str, Any]] = {
    "items": [
        {
            "product_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "product_name": "Lamp",
            "quantity": 2,
            "unit_price": 49.99,
        }
    ],
    "shipping_address": {"street": STREET, "city": "Springfield", "state": "IL", "zip_code": "62704", "country": "US"},
}


def details(scene: Scene, name: str) -> dict[str, Any]:
    """The body of a registration that nobody has sent before."""
    made = uuid4().hex[:12]
    return {
        "email": f"{name}.{scene.mark}.{made}@shop.example",
        "password": f"Canary-{made}-Pw9!",
        "first_name": "Case",
        "last_name": "Attack",
        "phone": PHONE,
    }


async def customer(scene: Scene, name: str, **changes: Any) -> Person:
    """A customer who has just registered and signed in.

    Raises:
        CannotGoOn: the target takes no customers.
    """
    body = {**details(scene, name), **changes}
    person = Person(body["email"], body["password"], address=scene.address())
    scene.secrets[f"password of {body['email']}"] = body["password"]
    scene.personal |= {body["email"], body["password"]}
    made = await scene.ask("auth", "POST", "/auth/register", body=body, source=person.address)
    if made.status != 201 or not isinstance(made.json, dict):
        raise CannotGoOn(f"no customer can register: {made.word} {made.text[:200]}")
    person.id = str(made.json["id"])
    scene.people.append(person)
    await signed_in(scene, person)
    return person


async def anybody(scene: Scene) -> Person:
    """A customer whom several attacks share: whoever only needs to be somebody to order-service and notifications.

    Raises:
        CannotGoOn: the target takes no customers.
    """
    async with scene.sharing:
        if not scene.shared:
            scene.shared.append(await customer(scene, "anybody"))
    return scene.shared[0]


async def signed_in(scene: Scene, person: Person) -> Person:
    """The person with a new pair of tokens.

    Raises:
        CannotGoOn: the right password is refused.
    """
    answer = await login(scene, person.email, person.password, source=person.address)
    pair = answer.json
    if answer.status != 200 or not isinstance(pair, dict):
        raise CannotGoOn(f"{person.email} cannot sign in: {answer.word} {answer.text[:200]}")
    remember(scene, person, pair)
    return person


async def login(scene: Scene, email: str, password: str, *, source: str | None = None, patient: bool = True) -> Answer:
    """A try to sign in."""
    body = {"email": email, "password": password}
    return await scene.ask("auth", "POST", "/auth/login", body=body, source=source, patient=patient)


async def refreshed(scene: Scene, token: str, *, source: str | None = None) -> Answer:
    """A try to refresh."""
    answer = await scene.ask("auth", "POST", "/auth/refresh", body={"refresh_token": token}, source=source)
    if answer.status == 200 and isinstance(answer.json, dict):
        keep(scene, answer.json)
    return answer


async def accepted(scene: Scene, token: str) -> Answer:
    """What auth-service says of an access token."""
    return await scene.ask("auth", "POST", "/auth/validate", token=token)


async def ordered(scene: Scene, person: Person, **changes: Any) -> str:
    """The id of a new order of theirs.

    Raises:
        CannotGoOn: no order can be placed.
    """
    body = {**ORDER, **changes}
    answer = await scene.ask("orders", "POST", "/orders", token=person.access, body=body, source=person.address)
    if answer.status != 201 or not isinstance(answer.json, dict):
        raise CannotGoOn(f"no order can be placed: {answer.word} {answer.text[:200]}")
    person.orders.append(str(answer.json["id"]))
    return person.orders[-1]


async def admin(scene: Scene) -> Person:
    """The admin, signed in."""
    known = scene.target.admin
    person = Person(known["email"], known["password"], address=scene.address())
    scene.secrets["password of the admin"] = known["password"]
    await signed_in(scene, person)
    said = await accepted(scene, person.access)
    person.id = str(said.json["user"]["id"])
    return person


def remember(scene: Scene, person: Person, pair: dict[str, Any]) -> None:
    """Gives a person a pair of tokens."""
    person.access, person.refresh = pair["access_token"], pair["refresh_token"]
    keep(scene, pair)


def keep(scene: Scene, pair: dict[str, Any]) -> None:
    """Notes tokens as secrets: nobody may write them down."""
    for kind in ("access_token", "refresh_token"):
        scene.secrets[f"{kind} {len(scene.secrets)}"] = pair[kind]
