"""The SQLite case log."""
