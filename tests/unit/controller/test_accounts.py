"""Accounts: passwords, tokens, permissions."""

import pytest
from argon2 import PasswordHasher

from controller.services.accounts import (
    PERMISSIONS,
    TOKEN_LIFE_US,
    AccountService,
    require,
    token_hash,
)
from controller.services.refusals import Conflict, Invalid, NotAllowed, TooMany, Unauthenticated
from controller.services.values import AuditLine, Principal, Role, User

PASSWORD = "a long enough password"


class Accounts:
    """Accounts in memory."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.tokens: dict[bytes, tuple[str, int]] = {}

    def add_user(self, user: User) -> bool:
        return self.users.setdefault(user.name, user) is user

    def user(self, name: str) -> User | None:
        return self.users.get(name)

    def add_token(self, token_sha256: bytes, name: str, expires_us: int) -> None:
        self.tokens[token_sha256] = (name, expires_us)

    def token_user(self, token_sha256: bytes, now_us: int) -> User | None:
        name, expires_us = self.tokens.get(token_sha256, ("", 0))
        return self.users.get(name) if now_us < expires_us else None

    def drop_tokens(self, *, expired_before_us: int) -> None:
        self.tokens = {k: v for k, v in self.tokens.items() if v[1] > expired_before_us}


class Audit:
    """Audit lines in memory."""

    def __init__(self) -> None:
        self.actions: list[str] = []

    def append(self, *, at_us: int, actor: str, action: str, subject: str, detail: str) -> None:
        self.actions.append(action)

    def lines(self, *, after_seq: int = 0, limit: int = 1_000) -> list[AuditLine]:
        return []


class Bench:
    """The service on fakes, with a cheap hash and a clock that is set by hand."""

    def __init__(self) -> None:
        self.store, self.audit, self.now_us = Accounts(), Audit(), 1_000
        hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        self.service = AccountService(self.store, self.audit, lambda: self.now_us, hasher)


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.service.add_user("ivy", "investigator", PASSWORD)
    return made


def test_passwords_and_tokens_are_kept_as_hashes_only(bench: Bench) -> None:
    token, expires_us = bench.service.login("ivy", PASSWORD)
    assert bench.store.users["ivy"].password_hash.startswith("$argon2id$")
    assert list(bench.store.tokens) == [token_hash(token)]
    assert expires_us == bench.now_us + TOKEN_LIFE_US
    assert bench.service.authenticate(token) == Principal("ivy", Role.INVESTIGATOR)
    assert bench.audit.actions == ["user.added", "login"]


def test_a_token_ends(bench: Bench) -> None:
    token, expires_us = bench.service.login("ivy", PASSWORD)
    bench.now_us = expires_us
    with pytest.raises(Unauthenticated):
        bench.service.authenticate(token)


@pytest.mark.parametrize("name", ["ivy", "nobody"])
def test_a_wrong_name_and_a_wrong_password_sound_the_same(bench: Bench, name: str) -> None:
    with pytest.raises(Unauthenticated, match="name or password is wrong"):
        bench.service.login(name, "wrong password")


def test_guessing_is_slowed_even_with_the_right_password(bench: Bench) -> None:
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            bench.service.login("ivy", "wrong password")
    with pytest.raises(TooMany):
        bench.service.login("ivy", PASSWORD)
    bench.now_us += 61_000_000
    assert bench.service.login("ivy", PASSWORD)


@pytest.mark.parametrize(
    ("name", "role", "password", "error"),
    [
        ("Ivy!", "approver", PASSWORD, Invalid),
        ("ida", "king", PASSWORD, Invalid),
        ("ida", "approver", "short", Invalid),
        ("ida", "approver", "x" * 257, Invalid),
        ("ivy", "approver", PASSWORD, Conflict),
    ],
)
def test_a_bad_account_is_refused(
    bench: Bench, name: str, role: str, password: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        bench.service.add_user(name, role, password)
    assert list(bench.store.users) == ["ivy"]


def test_only_approvers_approve_and_only_auditors_audit() -> None:
    assert [r for r, held in PERMISSIONS.items() if "case.approve" in held] == [Role.APPROVER]
    assert [r for r, held in PERMISSIONS.items() if "audit.read" in held] == [Role.AUDITOR]
    with pytest.raises(NotAllowed, match="ask one of: approver"):
        require(Principal("ivy", Role.INVESTIGATOR), "case.approve")


def test_whoever_keeps_the_machine_sees_no_case() -> None:
    for role in (Role.TECHNICIAN, Role.ADMINISTRATOR):
        assert not any(held.startswith("case.") for held in PERMISSIONS[role])
