"""How this service asks a neighbour in its own name, with its service token (PRD 8.2, R8)."""

from typing import Final

from shopflow.kit.credentials import Credential
from shopflow.kit.peer import Answer, Peer

_UNAUTHORIZED: Final = 401


async def read(peer: Peer, path: str, credential: Credential) -> Answer:
    """What a neighbour answers to our token. Refused, it is asked again if the file holds another token by now.

    Raises:
        Problem: unauthenticated, when we have no token; unavailable, when there is no answer.
    """
    answer = await peer.ask("GET", path, {"Authorization": credential.bearer()})
    if answer.status == _UNAUTHORIZED and credential.renewed():
        answer = await peer.ask("GET", path, {"Authorization": credential.bearer()})
    return answer
