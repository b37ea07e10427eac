"""The one thing of EXIF that changes what is seen: the orientation."""

from __future__ import annotations

import struct

__all__ = ["minimal_exif", "orientation_of"]

_ORIENTATION = 0x0112
_SHORT = 3


def orientation_of(exif: bytes) -> int:
    """The orientation, 1 to 8, in an EXIF block (without its "Exif" prefix); 1 where it states none that is valid."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 14:
        return 1
    at = struct.unpack_from(f"{order}I", exif, 4)[0]
    if at + 2 > len(exif):
        return 1
    for entry in range(struct.unpack_from(f"{order}H", exif, at)[0]):
        start = at + 2 + 12 * entry
        if start + 12 > len(exif):
            return 1
        tag, kind, count, value = struct.unpack_from(f"{order}HHIH", exif, start)
        if tag == _ORIENTATION:
            return value if (kind, count) == (_SHORT, 1) and 1 <= value <= 8 else 1
    return 1


def minimal_exif(orientation: int) -> bytes:
    """An EXIF block that says the orientation and nothing else."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, _ORIENTATION, _SHORT, 1, orientation, 0, 0)
