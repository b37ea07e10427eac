"""Users, passwords, sign-in."""
