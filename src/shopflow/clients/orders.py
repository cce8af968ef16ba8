"""order-service as its neighbours see it: one order by its id (PRD 7.2)."""

from typing import Final
from uuid import UUID

from shopflow.clients import as_service
from shopflow.contracts.orders import Order
from shopflow.kit.credentials import Credential
from shopflow.kit.decoding import Decoder
from shopflow.kit.peer import Peer
from shopflow.kit.problems import Problem, unauthenticated, unavailable

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404


class OrdersClient:
    """Typed calls to order-service, with a service token."""

    def __init__(self, peer: Peer, *, service_token: Credential) -> None:
        self._peer = peer
        self._service_token = service_token
        self._order = Decoder(Order, strict=False)

    async def order(self, order_id: UUID) -> Order | None:
        """An order in full; None when there is no such order.

        Raises:
            Problem: unauthenticated when our own service token does not hold (a 401 that order-service made from
                auth-service's trouble is unavailable, R11); unavailable for everything else.
        """
        answer = await as_service.read(self._peer, f"/orders/{order_id}", self._service_token)
        if answer.status == _OK:
            try:
                return self._order.decode(answer.body)
            except Problem as problem:
                raise unavailable(
                    "order-service-unavailable", "order-service answered something unreadable."
                ) from problem
        if answer.status == _NOT_FOUND:
            return None
        if answer.status == _UNAUTHORIZED and b"authentication-unavailable" not in answer.body:
            raise unauthenticated("service-token-refused", "order-service refuses our service token.")
        raise unavailable("order-service-unavailable", f"order-service answered {answer.status}.")
