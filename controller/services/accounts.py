"""Who may do what: accounts, log-in, tokens, permissions."""

import hashlib
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from controller.services.refusals import Conflict, Invalid, NotAllowed, TooMany, Unauthenticated
from controller.services.stores import AccountStore, AuditStore
from controller.services.values import Principal, Role, User

TOKEN_LIFE_US: Final = 8 * 3_600 * 1_000_000
MIN_PASSWORD_CHARS: Final = 12
MAX_PASSWORD_CHARS: Final = 256
_MAX_FAILURES: Final = 5
_FAILURE_WINDOW_US: Final = 60 * 1_000_000
_MAX_NAMES_WATCHED: Final = 1_024
_NAME: Final = re.compile(r"^[a-z][a-z0-9._-]{0,62}\Z")

_OF_INVESTIGATOR: Final = frozenset(
    {"case.open", "case.read", "case.investigate", "case.report", "case.close", "fleet.read"}
)
PERMISSIONS: Final = {
    Role.INVESTIGATOR: _OF_INVESTIGATOR,
    Role.APPROVER: _OF_INVESTIGATOR | {"case.approve"},
    Role.TECHNICIAN: frozenset({"fleet.read", "fleet.add", "quarantine.handle", "gallery.read"}),
    Role.AUDITOR: frozenset({"case.read", "fleet.read", "audit.read", "gallery.read"}),
    Role.ADMINISTRATOR: frozenset(
        {
            "fleet.read",
            "fleet.add",
            "quarantine.handle",
            "gallery.read",
            "gallery.handle",
            "backup.handle",
        }
    ),
}


class AccountService:
    """Adds accounts, logs people in, and says what they may do.

    After 5 wrong passwords for one name within a minute the name must wait; the 1,024 latest
    names are watched, older ones are forgotten.
    """

    def __init__(
        self,
        store: AccountStore,
        audit: AuditStore,
        now_us: Callable[[], int],
        hasher: PasswordHasher | None = None,
    ) -> None:
        self._store = store
        self._audit = audit
        self._now_us = now_us
        self._hasher = hasher or PasswordHasher()
        # Checked for unknown names, so that a wrong name takes as long as a wrong password.
        self._decoy = self._hasher.hash(secrets.token_hex(16))
        self._failures: OrderedDict[str, list[int]] = OrderedDict()
        self._lock = threading.Lock()
        # Each check takes 64 MiB: more than two at a time wait.
        self._hashing = threading.BoundedSemaphore(2)

    def add_user(self, name: str, role: str, password: str) -> User:
        """Add an account with an argon2id password hash; raises `Invalid` or `Conflict`."""
        if not _NAME.match(name):
            raise Invalid("name", "use 1-63 of a-z, 0-9, '.', '_', '-', starting with a letter")
        if role not in {one.value for one in Role}:
            raise Invalid("role", f"use one of {', '.join(one.value for one in Role)}")
        if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
            raise Invalid(
                "password", f"use {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters"
            )
        user = User(name, Role(role), self._hasher.hash(password))
        if not self._store.add_user(user):
            raise Conflict("name", f"{name} exists; choose another name")
        self._audit.append(
            at_us=self._now_us(), actor="local", action="user.added", subject=name, detail=role
        )
        return user

    def login(self, name: str, password: str) -> tuple[str, int]:
        """Return a bearer token and when it ends (µs); only the token's hash is kept."""
        now_us = self._now_us()
        self._check_pace(name, now_us)
        user = self._store.user(name)
        if not self._matches(self._decoy if user is None else user.password_hash, password):
            user = None
        if user is None:
            self._note_failure(name, now_us)
            raise Unauthenticated("password", "name or password is wrong; try again")
        token = secrets.token_urlsafe(32)
        self._store.drop_tokens(expired_before_us=now_us)
        self._store.add_token(token_hash(token), user.name, now_us + TOKEN_LIFE_US)
        self._audit.append(
            at_us=now_us, actor=user.name, action="login", subject=user.name, detail=""
        )
        return token, now_us + TOKEN_LIFE_US

    def authenticate(self, token: str) -> Principal:
        """Return who holds this token; raises `Unauthenticated`."""
        user = self._store.token_user(token_hash(token), self._now_us())
        if user is None:
            raise Unauthenticated("token", "is not valid (any more); run `sightline login`")
        return Principal(user.name, user.role)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            with self._hashing:
                return self._hasher.verify(password_hash, password[:MAX_PASSWORD_CHARS])
        except (VerificationError, InvalidHashError):
            return False

    def _check_pace(self, name: str, now_us: int) -> None:
        with self._lock:
            recent = [t for t in self._failures.get(name, []) if now_us - t < _FAILURE_WINDOW_US]
        if len(recent) >= _MAX_FAILURES:
            raise TooMany("password", "too many wrong passwords; wait a minute")

    def _note_failure(self, name: str, now_us: int) -> None:
        with self._lock:
            recent = [t for t in self._failures.pop(name, []) if now_us - t < _FAILURE_WINDOW_US]
            self._failures[name] = [*recent, now_us]
            while len(self._failures) > _MAX_NAMES_WATCHED:
                self._failures.popitem(last=False)


def require(who: Principal, permission: str) -> None:
    """Raise `NotAllowed` unless this person's role holds the permission."""
    if permission not in PERMISSIONS[who.role]:
        holders = [role.value for role, held in PERMISSIONS.items() if permission in held]
        raise NotAllowed(
            "role", f"{who.role.value} may not do {permission}; ask one of: {', '.join(holders)}"
        )


def token_hash(token: str) -> bytes:
    """Return the SHA-256 of a token, the only form that is kept."""
    return hashlib.sha256(token.encode()).digest()
