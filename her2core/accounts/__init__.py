"""Users, roles, passwords, sign-in throttling."""

from her2core.accounts.accounts import Accounts
from her2core.accounts.passwords import check_password

__all__ = ["Accounts", "check_password"]
