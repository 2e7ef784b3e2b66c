"""How a load box answers queries: checked like a real box's, and truly: it keeps no tracklets."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sim.light.agent import Outgoing
from sim.light.identity import LightIdentity
from sim.light.queries import QueryDesk
from sim.light.spool import Spool, SpoolFull
from wire import messages as m
from wire.errors import DecodeError, LimitExceeded
from wire.ids import uuid7
from wire.signing import sign
from wire.topics import reply_topic


class Replies:
    """The queries and replies of one box; made when the first query comes."""

    __slots__ = ("_desk", "_identity", "spool")

    def __init__(
        self, identity: LightIdentity, controller_key: Ed25519PublicKey, now_us: int
    ) -> None:
        self.spool: Final = Spool(uuid7(unix_ms=now_us // 1_000))
        self._identity = identity
        self._desk = QueryDesk(identity, controller_key)

    def answer(self, payload: bytes, now_us: int) -> None:
        """Spool the reply to one query.

        Raises `DecodeError` if it cannot be read, `LimitExceeded` if too many replies wait.
        """
        answer = self._desk.answer(payload, (), now_us)
        if answer is None:
            raise DecodeError("Query: cannot be read")
        reply = m.Reply(
            query_id=answer.query_id,
            agent_id=self._identity.agent_id,
            spool_id=self.spool.spool_id,
            seq=self.spool.next_seq,
            status=answer.status,
            reason=answer.reason,
            body=answer.body,
        )
        topic = reply_topic(self._identity.agent_id, answer.query_id.hex)
        try:
            self.spool.append(topic, sign(reply, self._identity.signing))
        except SpoolFull as error:
            raise LimitExceeded(str(error)) from None

    def due(self, now_s: float) -> list[Outgoing]:
        """Return the replies to publish now."""
        return [Outgoing(topic, payload) for topic, payload in self.spool.take_due(now_s)]
