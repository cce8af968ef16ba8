"""`shopflow dead-letters …`: what could not be handled, and what to do about it. The doing is in `desk.py`."""

from typing import Annotated, Literal

from cyclopts import Parameter

Json = Annotated[bool, Parameter(help="Print JSON.", negative="")]
EventType = Annotated[str | None, Parameter(help="Only of this type, such as OrderCreated.")]
OrderId = Annotated[str | None, Parameter(help="Only about this order.")]
ParkedFrom = Annotated[str | None, Parameter(help="Only parked at this instant or later (RFC 3339).")]
ParkedTo = Annotated[str | None, Parameter(help="Only parked before this instant (RFC 3339).")]
Ids = Annotated[list[str] | None, Parameter(help="Ids, as `list` shows them.", negative="")]


def list_(
    *,
    state: Annotated[
        Literal["open", "replayed", "discarded", "all"], Parameter(help="Only those that stand like this.")
    ] = "open",
    reason: Annotated[str | None, Parameter(help="Only those parked for exactly this reason.")] = None,
    event_type: EventType = None,
    order_id: OrderId = None,
    parked_from: ParkedFrom = None,
    parked_to: ParkedTo = None,
    limit: Annotated[int, Parameter(help="How many at most.")] = 100,
    json: Json = False,
) -> None:
    """List the messages that were put aside, those parked last first.

    Reads DATABASE_URL (or DATABASE_URL_FILE) of notification-service. Exit status: 0, 1 when the database cannot be
    read, 2 when something given is wrong.
    """
    from shopflow.cli import desk

    asked = desk.Asked(reason, event_type, order_id, parked_from, parked_to)
    desk.show_list(asked, state=None if state == "all" else state, limit=limit, json=json)


def show(dead_letter_id: Annotated[str, Parameter(help="Its id.")], /, *, json: Json = False) -> None:
    """Show one message: why it was parked, its headers, its body, what was done about it.

    Reads DATABASE_URL of notification-service. Exit status: 0, 1 when there is no such message, 2 when the id is none.
    """
    from shopflow.cli import desk

    desk.show_one(dead_letter_id, json=json)


def replay(
    ids: Ids = None,
    /,
    *,
    all: Annotated[bool, Parameter(help="Every open message.", negative="")] = False,  # noqa: A002 - the option's name
    parked_reason: Annotated[str | None, Parameter(help="Open ones parked for exactly this reason.")] = None,
    event_type: EventType = None,
    order_id: OrderId = None,
    parked_from: ParkedFrom = None,
    parked_to: ParkedTo = None,
    reason: Annotated[str | None, Parameter(help="Why, for the row that each replay leaves.")] = None,
    dry_run: Annotated[bool, Parameter(help="Only tell what would be sent.", negative="")] = False,
    json: Json = False,
) -> None:
    """Put messages back into the queues they came from: those named, those that the filters let through, or all.

    Only what was not sent is sent, so that repeating it is safe. Reads DATABASE_URL of notification-service, and, but
    for --dry-run, RABBITMQ_URL. Exit status: 0 when all of them went back, 1 when one did not, 2 when something given
    is wrong.
    """
    from shopflow.cli import desk

    asked = desk.Asked(parked_reason, event_type, order_id, parked_from, parked_to)
    desk.replay(ids or [], asked, everything=all, reason=reason, dry_run=dry_run, json=json)


def discard(
    ids: Annotated[list[str], Parameter(help="Ids, as `list` shows them.", negative="")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why, for the row that this leaves.")],
    json: Json = False,
) -> None:
    """Say that nobody will deal with these messages; they stay in the list, as discarded.

    Reads DATABASE_URL of notification-service. Exit status: 0, 1 when one is not there or was replayed, 2 when
    something given is wrong.
    """
    from shopflow.cli import desk

    desk.discard(ids, reason=reason, json=json)
