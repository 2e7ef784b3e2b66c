"""Accounts, tokens and the audit on SQL."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from controller.adapters.records import schema
from controller.adapters.records.engine import Database
from controller.services.values import AuditLine, Role, User

GENESIS = "0" * 64


class SqlAccounts:
    """`AccountStore` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_user(self, user: User) -> bool:
        """Add an account; false if the name is taken."""
        row = {"name": user.name, "role": user.role.value, "password_hash": user.password_hash}
        try:
            with self._database.write() as connection:
                connection.execute(insert(schema.users), row)
        except IntegrityError:
            return False
        return True

    def user(self, name: str) -> User | None:
        """Return one account."""
        with self._database.read() as connection:
            query = select(schema.users).where(schema.users.c.name == name)
            return _user(connection.execute(query).first())

    def add_token(self, token_sha256: bytes, name: str, expires_us: int) -> None:
        """Remember a token's hash."""
        row = {"token_sha256": token_sha256, "name": name, "expires_us": expires_us}
        with self._database.write() as connection:
            connection.execute(insert(schema.tokens), row)

    def token_user(self, token_sha256: bytes, now_us: int) -> User | None:
        """Return whose unexpired token this is."""
        users, tokens = schema.users, schema.tokens
        query = (
            select(users)
            .join(tokens, tokens.c.name == users.c.name)
            .where(tokens.c.token_sha256 == token_sha256, tokens.c.expires_us > now_us)
        )
        with self._database.read() as connection:
            return _user(connection.execute(query).first())

    def drop_tokens(self, *, expired_before_us: int) -> None:
        """Forget expired tokens."""
        query = delete(schema.tokens).where(schema.tokens.c.expires_us <= expired_before_us)
        with self._database.write() as connection:
            connection.execute(query)


class SqlAudit:
    """`AuditStore` on SQL: each line's hash covers the line and the hash before it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, *, at_us: int, actor: str, action: str, subject: str, detail: str) -> None:
        """Add one line after the last."""
        table = schema.audit
        with self._database.write() as connection:
            last = connection.execute(
                select(table.c.seq, table.c.hash).order_by(table.c.seq.desc()).limit(1)
            ).first()
            seq, prev_hash = (1, GENESIS) if last is None else (last.seq + 1, last.hash)
            parts = (str(seq), str(at_us), actor, action, subject, detail, prev_hash)
            connection.execute(
                insert(table),
                {
                    "seq": seq, "at_us": at_us, "actor": actor, "action": action,
                    "subject": subject, "detail": detail, "prev_hash": prev_hash,
                    "hash": chain_hash(parts),
                },
            )  # fmt: skip

    def lines(self, *, after_seq: int = 0, limit: int = 1_000) -> Sequence[AuditLine]:
        """Return lines in order."""
        table = schema.audit
        query = select(table).where(table.c.seq > after_seq).order_by(table.c.seq).limit(limit)
        with self._database.read() as connection:
            return [AuditLine(**row._mapping) for row in connection.execute(query)]

    def count(self) -> int:
        """Return how many lines there are."""
        query = select(func.count()).select_from(schema.audit)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())


def chain_hash(parts: Sequence[str]) -> str:
    """Return the SHA-256 of a line's fields, each preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def _user(row: Row[tuple[object, ...]] | None) -> User | None:
    if row is None:
        return None
    return User(row.name, Role(row.role), row.password_hash)
