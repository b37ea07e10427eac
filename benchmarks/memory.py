"""The peak of this process' memory."""

from __future__ import annotations

from pathlib import Path

__all__ = ["forget_peak", "peak_kib"]


def peak_kib() -> int:
    """The highest resident memory of this process so far, KiB (Linux).

    Not `ru_maxrss`: that begins with what the process that started this one had.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.split("VmHWM:")[1].split()[0])


def forget_peak() -> None:
    """From now on `peak_kib` is of what comes next."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
