"""What kind of file some bytes are, by their beginning, and what to say of the kinds that are not read."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from her2core.errors import UnreadableImageError
from her2core.imaging.png import PNG_SIGNATURE

__all__ = ["EXPORT_AS", "extension_note", "kind_of"]

EXPORT_AS: Final = (
    "Export the region from the microscope software as TIFF, PNG or JPEG with HER2 in red, CEP17 in green and DAPI in "
    "blue."
)

_READ: Final = ((b"\xff\xd8\xff", "JPEG"), (PNG_SIGNATURE, "PNG"), (b"II", "TIFF"), (b"MM", "TIFF"))
_TIFF_VERSIONS: Final = (b"*\0", b"\0*", b"+\0", b"\0+")
_NOT_READ: Final = (
    (b"ZISRAWFILE", "a Zeiss CZI file"),
    (b"\xda\xce\xbe\x0a", "a Nikon ND2 file"),
    (b"\x70\x00\x00\x00", "a Leica LIF file"),
    (b"\xd0\xcf\x11\xe0", "an Olympus, Zeiss ZVI or Office file"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\x89HDF", "an HDF5 or Imaris file"),
    (b"8BPS", "a Photoshop file"),
    (b"\x1f\x8b", "a gzip archive"),
)
_EXTENSIONS: Final = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF",
    ".btf": "TIFF", ".tf8": "TIFF", ".tf2": "TIFF",
}  # fmt: skip


def kind_of(data: bytes) -> str:
    """ "JPEG", "PNG" or "TIFF". Raises UnreadableImageError for all else, naming what it is where that is known."""
    if not data:
        raise UnreadableImageError(
            "The file is empty. Copy it again from where it was made, or export the region again from the microscope "
            "software."
        )
    for start, kind in _READ:
        if data.startswith(start) and (kind != "TIFF" or data[2:4] in _TIFF_VERSIONS):
            return kind
    for start, name in _NOT_READ:
        if data.startswith(start):
            raise UnreadableImageError(f"The file is {name}, which is not read here. {EXPORT_AS}")
    name = _named_later(data)
    if name:
        raise UnreadableImageError(f"The file is {name}, which is not read here. {EXPORT_AS}")
    raise UnreadableImageError(f"The file is not an image, or is damaged at its beginning. {EXPORT_AS}")


def extension_note(filename: str, kind: str) -> tuple[str, ...]:
    """A note if the name of the file promises another kind than it is."""
    promised = _EXTENSIONS.get(PurePath(filename).suffix.lower())
    if promised == kind:
        return ()
    if promised is None:
        return (f"The name of the file does not end like that of a {kind} file; it was read as {kind}, which it is.",)
    return (f"The name of the file says {promised}, but it is a {kind} file and was read as one.",)


def _named_later(data: bytes) -> str:
    """Kinds that are marked behind the first bytes, and text."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a WebP image"
    if data[:2] == b"BM" and data[6:10] == bytes(4):
        return "a BMP image"
    if data[4:8] == b"ftyp":
        return "a HEIC photograph or a video"
    if data[128:132] == b"DICM":
        return "a DICOM file"
    head = data[:512]
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        try:
            head.decode("utf-8")
        except UnicodeDecodeError as error:
            return "a text" if error.start > len(head) - 4 else ""
        return "a text"
    return ""
