"""What accounts need of the case log, which keeps their rows. The two rooms know only this of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from her2core.records import Role, User

__all__ = ["AccountStore"]


class AccountStore(Protocol):
    """The part of `caselog.CaseLog` that accounts stand on; meanings and errors are described there."""

    now: Callable[[], datetime]

    def users(self, *, active_only: bool = False) -> list[User]: ...

    def user(self, user_id: int) -> User: ...

    def user_by_name(self, username: str) -> User | None: ...

    def user_by_identity(self, issuer: str, subject: str) -> User | None: ...

    def credentials_of(self, user_id: int) -> tuple[str | None, datetime | None, bool]: ...

    def insert_user(
        self,
        username: str,
        full_name: str,
        credentials: str,
        role: Role,
        password_hash: str | None,
        by: User | None,
        *,
        identity: tuple[str, str] | None = None,
        must_change_password: bool = False,
    ) -> User: ...

    def update_user(
        self,
        user_id: int,
        by: User | None,
        *,
        full_name: str | None = None,
        credentials: str | None = None,
        role: Role | None = None,
        active: bool | None = None,
    ) -> User: ...

    def set_identity(self, user_id: int, issuer: str, subject: str, by: User | None) -> User: ...

    def set_password_hash(
        self, user_id: int, password_hash: str, by: User | None, action: str, *, must_change: bool = False
    ) -> None: ...

    def rehash_password(self, user_id: int, password_hash: str) -> None: ...

    def administrators_exist(self) -> bool: ...

    def reserve_attempt(self, waits: Mapping[str, Callable[[int], timedelta]]) -> tuple[timedelta, int]: ...

    def attempt_succeeded(self, key: str, also: tuple[str, ...] = ()) -> None: ...

    def succeeded_within(self, key: str, age: timedelta) -> bool: ...

    def clear_attempts(self, account_key: str) -> None: ...

    def note(
        self, action: str, by: User | None, case_id: int | None = None, detail: Mapping[str, Any] | None = None
    ) -> None: ...
