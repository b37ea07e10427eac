"""What OME-XML and ImageJ write into a TIFF file about its channels, planes and scale.

Of OME-XML only the first image's pixels and channels are read, by expat, and a document that declares a type or an
entity is not read at all: so no expansion, and nothing outside the document. Source: OME model 2016-06; ImageJ's
TiffEncoder for its description and tag 50839.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

__all__ = ["StackInfo", "imagej_info", "imagej_labels", "ome_info", "ome_xml"]

_UM: Final = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6}
_IMAGEJ_UNITS: Final = {"micron": 1.0, "microns": 1.0, "um": 1.0, "µm": 1.0, "\\u00b5m": 1.0, "nm": 1e-3, "mm": 1e3}
_MAX_CHANNELS: Final = 64
_MAX_DESCRIPTION: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class StackInfo:
    """Planes and scale as a file's metadata state them. `planes` gives the page of each channel, or is empty for the
    order of the file; `um_x` and `um_y` are None where no scale is stated; `images` counts what the file holds."""

    names: tuple[str, ...] = ()
    slices: int = 1
    frames: int = 1
    images: int = 1
    um_x: float | None = None
    um_y: float | None = None
    planes: tuple[int, ...] = ()


class _OmeReader:
    """Collects from expat's events; stops by raising at a document type."""

    def __init__(self) -> None:
        self.images = 0
        self.pixels: dict[str, str] = {}
        self.channels: list[dict[str, str]] = []
        self.planes: list[dict[str, str]] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rsplit(":", 1)[-1]
        if name == "Image":
            self.images += 1
        if self.images != 1:
            return
        if name == "Pixels":
            self.pixels = attributes
        elif name == "Channel" and len(self.channels) <= _MAX_CHANNELS:
            self.channels.append(attributes)
        elif name == "TiffData" and len(self.planes) <= _MAX_CHANNELS:
            self.planes.append(attributes)

    def doctype(self, *_: Any) -> None:
        raise ValueError("a document type is not read")


def ome_info(description: bytes) -> StackInfo | None:
    """What an OME-XML description states; None if it is none, or cannot be understood."""
    text = description.rstrip(b"\0 \r\n\t")
    if b"<OME" not in text[:2000] and b":OME" not in text[:2000]:
        return None
    reader = _OmeReader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        parser.Parse(text, True)
        pixels = reader.pixels
        return StackInfo(
            names=tuple(c.get("Name") or c.get("Fluor") or "" for c in reader.channels),
            slices=int(pixels.get("SizeZ", "1")),
            frames=int(pixels.get("SizeT", "1")),
            images=reader.images,
            um_x=_micrometres(pixels, "PhysicalSizeX"),
            um_y=_micrometres(pixels, "PhysicalSizeY"),
            planes=_pages_of_channels(reader.planes, int(pixels.get("SizeC", "1"))),
        )
    except (expat.ExpatError, ValueError, OverflowError):
        return None


def ome_xml(names: tuple[str, ...], width: int, height: int, bits: int, um_per_px: float | None, *, rgb: bool) -> bytes:
    """A description that states these channels and this scale and nothing else; ASCII, ends with NUL as TIFF wants."""
    scale = ""
    if um_per_px is not None:
        size = quoteattr(repr(um_per_px))
        scale = f' PhysicalSizeX={size} PhysicalSizeXUnit="&#181;m" PhysicalSizeY={size} PhysicalSizeYUnit="&#181;m"'
    if rgb:
        channels = '<Channel ID="Channel:0:0" SamplesPerPixel="3"/>'
    else:
        channels = "".join(
            f'<Channel ID="Channel:0:{i}" Name={quoteattr(name)} SamplesPerPixel="1"/>' for i, name in enumerate(names)
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint{bits}" SizeX="{width}" SizeY="{height}" '
        f'SizeC="{3 if rgb else len(names)}" SizeZ="1" SizeT="1"{scale}>{channels}<TiffData/></Pixels></Image></OME>\0'
    ).encode("ascii")


def imagej_info(description: bytes) -> StackInfo | None:
    """What ImageJ's description states; None if it is not ImageJ's. The scale is a factor for the resolution tags:
    `um_x` and `um_y` are the micrometres of one unit."""
    text = description[:_MAX_DESCRIPTION].split(b"\0", 1)[0].decode("utf-8", "replace")
    if not text.startswith("ImageJ="):
        return None
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    unit = _IMAGEJ_UNITS.get(fields.get("unit", "").strip().casefold())
    try:
        return StackInfo(
            slices=int(fields.get("slices", "1")), frames=int(fields.get("frames", "1")), um_x=unit, um_y=unit
        )
    except ValueError:
        return None


def imagej_labels(metadata: bytes, counts: tuple[int, ...], order: str) -> tuple[str, ...]:
    """The slice labels in ImageJ's tag 50839; empty if there are none or they cannot be understood."""
    if not counts or counts[0] < 12 or counts[0] > len(metadata) or metadata[:4] not in (b"IJIJ", b"JIJI"):
        return ()
    kinds: list[bytes] = []
    for at in range(4, counts[0] - 7, 8):
        kind, number = struct.unpack_from(f"{order}4sI", metadata, at)
        if number > _MAX_CHANNELS:
            return ()
        kinds += [kind] * number
    labels, at = [], counts[0]
    for kind, size in zip(kinds, counts[1:], strict=False):
        if kind in (b"labl", b"lbal"):
            labels.append(metadata[at : at + size].decode("utf-16-le" if order == "<" else "utf-16-be", "replace"))
        at += size
    return tuple(labels)


def _micrometres(pixels: dict[str, str], name: str) -> float | None:
    """A physical size in µm, which is the unit where none is stated."""
    factor = _UM.get(pixels.get(f"{name}Unit", "µm"))
    return float(pixels[name]) * factor if name in pixels and factor is not None else None


def _pages_of_channels(planes: list[dict[str, str]], channels: int) -> tuple[int, ...]:
    """The page of each channel at the first slice and time, by the TiffData elements; empty for the order of the file.

    Raises ValueError if pages are named for some channels only.
    """
    single = [p for p in planes if p.get("FirstZ", "0") == "0" and p.get("FirstT", "0") == "0" and "IFD" in p]
    if len(single) < 2 or channels > _MAX_CHANNELS:
        return ()
    pages = {int(p.get("FirstC", "0")): int(p["IFD"]) for p in single}
    if sorted(pages) != list(range(channels)):
        raise ValueError("some channels have no page")
    return tuple(pages[c] for c in range(channels))
