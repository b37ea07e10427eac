"""Formats for other systems."""
