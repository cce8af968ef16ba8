"""Says that nobody will deal with a parked message. Its row stays, and says who said so and why."""

from uuid import UUID, uuid4

from shopflow.kit import logs
from shopflow.kit.postgres import Database
from shopflow.kit.problems import conflict, not_found
from shopflow.notifications import dead_letters
from shopflow.notifications.parking import State


async def discard(database: Database, dead_letter_id: UUID, *, by: str, reason: str | None) -> None:
    """Discards a message that is open; discarding it again changes nothing.

    Args:
        database: where it is kept.
        dead_letter_id: which.
        by: who wants it: a user's id, or `cli:` and a name.
        reason: why, where that is said.

    Raises:
        Problem: of kind not found; of kind conflict, `dead-letter-replayed`, when it went back to its queue.
    """
    if await dead_letters.discard(database, dead_letter_id, action_id=uuid4(), by=by, reason=reason):
        logs.logger("desk").info("dead_letter_discarded", dead_letter_id=str(dead_letter_id), by=by)
        return
    state = await dead_letters.state(database, dead_letter_id)
    if state is None:
        raise not_found("dead-letter")
    if state == State.REPLAYED:
        raise conflict("dead-letter-replayed", "This message went back to its queue; nothing is left of it.")
