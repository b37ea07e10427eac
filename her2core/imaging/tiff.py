"""TIFF, BigTIFF, OME-TIFF and ImageJ's TIFF: one RGB image, or one image for each of DAPI, HER2 and CEP17."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import TiffImagePlugin

from her2core.errors import NotFluorescenceError, UnreadableImageError
from her2core.imaging.channels import DYE_NOTE, canonical_name, map_by_name
from her2core.imaging.jpeg import without_metadata
from her2core.imaging.ome import StackInfo, imagej_info, imagej_labels, ome_info, ome_xml
from her2core.imaging.picture import (
    RED_GREEN_BLUE,
    ChannelMap,
    Picture,
    Samples,
    decode_with,
    take_channels,
    truncated,
    trusted_um_per_px,
)
from her2core.imaging.tiff_tags import Data, Tag, TiffStructure, Values, read_structure, write_tiff

__all__ = ["TiffFile", "TiffPage", "page_of", "parse_tiff"]

_NAME: Final = "TIFF"
_NO_COMPRESSION, _LZW, _JPEG, _PACKBITS = 1, 5, 7, 32773
_COMPRESSIONS: Final = frozenset({_NO_COMPRESSION, _LZW, _JPEG, 8, 32946, _PACKBITS})
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_MAX_EXPANSION: Final = 4096
_MAX_TILE_BYTES: Final = 1 << 27
_UM_PER_UNIT: Final = {2: 25_400.0, 3: 10_000.0}
_THREE_PAGES: Final = (
    "Export the region as one RGB image with HER2 in red, CEP17 in green and DAPI in blue, or as an OME-TIFF whose "
    "channels are named DAPI, HER2 and CEP17."
)


@dataclass(frozen=True, slots=True)
class TiffPage:
    """One image of the file: how its samples are stored and where."""

    tags: Mapping[int, Values]
    width: int
    height: int
    bits: int
    samples: int
    compression: int
    photometric: int
    separate: bool
    predictor: int
    extra: int
    tile: tuple[int, int] | None
    rows_per_strip: int
    segments: tuple[tuple[int, int], ...]

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel within a segment."""
        return self.bits // 8 * (1 if self.separate else self.samples)

    @property
    def planes(self) -> int:
        """How many times the image's area is stored: once, or once for each sample."""
        return self.samples if self.separate else 1


@dataclass(frozen=True, slots=True, eq=False)
class TiffFile:
    """A TIFF file whose structure is whole. `pages` are in the order of `channel_names`, which are canonical, or
    "channel 1", … where the file's say nothing that is known."""

    data: Data
    order: str
    pages: tuple[TiffPage, ...]
    channel_names: tuple[str, ...]
    is_ome: bool
    orientation: int
    um_per_px: float | None

    @property
    def format_name(self) -> str:
        """The name of the format."""
        return "OME-TIFF" if self.is_ome else _NAME

    @property
    def width_px(self) -> int:
        """The width."""
        return self.pages[0].width

    @property
    def height_px(self) -> int:
        """The height."""
        return self.pages[0].height

    @property
    def is_rgb(self) -> bool:
        """Whether the file is one colour image rather than a stack of channels."""
        return len(self.pages) == 1 and self.pages[0].photometric in (_RGB, _YCBCR)

    def stripped(self) -> bytes:
        """The file without metadata: same coded pixels, tags written anew, scale and probe names in a fresh OME-XML."""
        pages = []
        for number, page in enumerate(self.pages):
            tags = _needed_tags(page)
            if number == 0:
                tags[Tag.ORIENTATION] = (self.orientation,)
                if self.um_per_px is not None or not self.is_rgb:
                    tags[Tag.DESCRIPTION] = ome_xml(
                        self.channel_names, page.width, page.height, page.bits, self.um_per_px, rgb=self.is_rgb
                    )
            pages.append((tags, self._segments(page)))
        return write_tiff(self.order, pages)

    def decode(self, channels: ChannelMap | None = None) -> Picture:
        """The pixels. Raises NotFluorescenceError where the channels are not there or not known."""
        chosen, notes = self.chosen_channels(channels)
        alpha: Samples | None = None
        if len(self.pages) == 1:
            planes = self.decode_page(self.pages[0])
            if self.is_rgb and self.pages[0].extra:
                alpha = planes[:, :, 3]
            samples = take_channels(planes, chosen)
        else:
            samples = np.stack([self.decode_page(self.pages[channel])[:, :, 0] for channel in chosen.rgb], axis=2)
        unused = len(self.channel_names) - 3
        if unused > 0:
            notes += (f"The file has {unused} further channel{'s' * (unused > 1)} that were not used.",)
        return Picture(samples, alpha, self.orientation, self.um_per_px, notes)

    def chosen_channels(self, channels: ChannelMap | None = None) -> tuple[ChannelMap, tuple[str, ...]]:
        """Which channel shows which probe, by `channels` or by the file, with notes on how that was told. Raises
        NotFluorescenceError where the channels are not there or not known."""
        notes: tuple[str, ...] = ()
        if self.is_rgb:
            chosen = channels or RED_GREEN_BLUE
        elif channels is not None:
            chosen = channels
        else:
            chosen, notes = self._channels_by_name()
        if max(chosen.rgb) >= len(self.channel_names):
            raise NotFluorescenceError(f"The file has only {len(self.channel_names)} channels. {_THREE_PAGES}")
        return chosen, notes

    def _channels_by_name(self) -> tuple[ChannelMap, tuple[str, ...]]:
        if len(self.channel_names) == 1:
            raise NotFluorescenceError(
                "The image is greyscale: it has one channel, so HER2 and CEP17 cannot be told apart. " + _THREE_PAGES
            )
        chosen, by_dye = map_by_name(self.channel_names)
        if chosen is None:
            raise NotFluorescenceError(
                f"The file has {len(self.channel_names)} channels or images, and their names do not say which are "
                f"DAPI, HER2 and CEP17. {_THREE_PAGES}"
            )
        return chosen, (DYE_NOTE,) if by_dye else ()

    def _segments(self, page: TiffPage) -> list[bytes]:
        """The coded strips or tiles of a page; JPEG ones without their comments and application segments."""
        segments = [self.data[offset : offset + count] for offset, count in page.segments]
        return [without_metadata(segment) for segment in segments] if page.compression == _JPEG else segments

    def decode_page(self, page: TiffPage) -> Samples:
        """(H, W, samples) of a page."""
        segments = self._segments(page)
        if page.compression == _JPEG:
            file = write_tiff(self.order, [(_needed_tags(page), segments)])
            pixels = decode_with(TiffImagePlugin.TiffImageFile, file, _NAME)
            if pixels.shape[:2] != (page.height, page.width):
                raise truncated(_NAME)
            return pixels.reshape(page.height, page.width, -1)
        each = len(segments) // page.planes
        planes = [
            self._decode_plane(page, segments[number * each : (number + 1) * each]) for number in range(page.planes)
        ]
        return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)

    def _decode_plane(self, page: TiffPage, segments: Sequence[bytes]) -> Samples:
        """(H, W, samples of the plane). Pillow sees bytes as grey pixels: its decoders do the same for all depths."""
        row_bytes = page.width * page.bytes_per_pixel
        if page.compression == _NO_COMPRESSION and page.tile is None:
            lines = np.frombuffer(b"".join(segments), np.uint8)
        else:
            lines = decode_with(TiffImagePlugin.TiffImageFile, _as_grey_bytes(self.order, page, segments), _NAME)
        if lines.size != page.height * row_bytes:
            raise truncated(_NAME)
        stored = np.dtype(np.uint8 if page.bits == 8 else f"{self.order}u2")
        plane = lines.reshape(page.height, row_bytes).view(stored).reshape(page.height, page.width, -1)
        native: Samples = plane.astype(stored.newbyteorder("="), copy=page.predictor == 2)
        if page.predictor == 2:
            step = page.width if page.tile is None else page.tile[0]
            for left in range(0, page.width, step):
                block = native[:, left : left + step]
                np.add.accumulate(block, axis=1, out=block)
        return native


def parse_tiff(data: Data, structure: TiffStructure | None = None) -> TiffFile:
    """The structure of a TIFF file; nothing is decoded. `structure` spares reading it where it is known.

    Raises UnreadableImageError for what is cut, damaged or stored in a way that is not read, NotFluorescenceError
    where the file cannot hold the three channels of one region.
    """
    structure = structure or read_structure(data)
    main = [tags for tags in structure.pages if not _int(tags, Tag.SUBFILE_TYPE, 0) & 5]  # no previews, no masks
    if not main:
        raise truncated(_NAME)
    pages = [page_of(tags, len(data)) for tags in main]
    if sum(count for page in pages for _, count in page.segments) > len(data):
        raise truncated(_NAME)  # images that share their data: nobody writes that, and copying it could fill the memory
    ome, imagej = _metadata(main[0])
    info = ome or imagej or StackInfo()
    _refuse_other_stacks(pages, info)
    names = info.names or _labels(main, structure)
    if len(pages) > 1 and info.planes:
        if sorted(info.planes) != list(range(len(pages))):
            raise truncated(_NAME)
        pages = [pages[page] for page in info.planes]
    return TiffFile(
        data=data,
        order=structure.order,
        pages=tuple(pages),
        channel_names=_channel_names(pages, names),
        is_ome=ome is not None,
        orientation=_orientation(main[0]),
        um_per_px=_um_per_px(main[0], ome, imagej),
    )


def page_of(tags: Mapping[int, Values], size: int) -> TiffPage:
    """A page whose parts fit together and lie within the file, in a coding that is read here."""
    width, height, samples = _int(tags, Tag.WIDTH, 0), _int(tags, Tag.HEIGHT, 0), _int(tags, Tag.SAMPLES, 1)
    compression = _int(tags, Tag.COMPRESSION, _NO_COMPRESSION)
    photometric = _int(tags, Tag.PHOTOMETRIC, _BLACK_IS_ZERO)
    predictor = _int(tags, Tag.PREDICTOR, 1)
    if not (0 < width < 1 << 24 and 0 < height < 1 << 24 and 0 < samples <= 16):
        raise truncated(_NAME)
    bits = _bits(tags)
    _refuse_colours(photometric, samples)
    if compression not in _COMPRESSIONS or predictor not in (1, 2) or _int(tags, Tag.FILL_ORDER, 1) != 1:
        raise UnreadableImageError(
            "The TIFF file is compressed in a way that is not read here. Export it without compression, or with LZW or "
            "Deflate (ZIP)."
        )
    jpeg = compression == _JPEG
    if (jpeg and (bits != 8 or samples not in (1, 3))) or (photometric == _YCBCR and not jpeg):
        raise UnreadableImageError(
            "The TIFF file stores its colours in a way that is not read here. Export it as RGB without compression."
        )
    separate = samples > 1 and _int(tags, Tag.PLANAR, 1) == 2
    page = TiffPage(
        tags=tags,
        width=width,
        height=height,
        bits=bits,
        samples=samples,
        compression=compression,
        photometric=photometric,
        separate=separate,
        predictor=1 if jpeg else predictor,
        extra=_int(tags, Tag.EXTRA_SAMPLES, 0) if _int(tags, Tag.EXTRA_SAMPLES, 0) in (1, 2) else 0,
        tile=(_int(tags, Tag.TILE_WIDTH, 0), _int(tags, Tag.TILE_HEIGHT, 0)) if Tag.TILE_WIDTH in tags else None,
        rows_per_strip=max(1, min(height, _int(tags, Tag.ROWS_PER_STRIP, height))),
        segments=_located(tags, size),
    )
    _check_segments(page)
    return page


def _located(tags: Mapping[int, Values], size: int) -> tuple[tuple[int, int], ...]:
    """(offset, byte count) of each strip or tile, all within a file of `size` bytes."""
    tiled = Tag.TILE_WIDTH in tags
    offsets = tags.get(Tag.TILE_OFFSETS if tiled else Tag.STRIP_OFFSETS, ())
    counts = tags.get(Tag.TILE_COUNTS if tiled else Tag.STRIP_COUNTS, ())
    if not offsets or len(offsets) != len(counts):
        raise truncated(_NAME)
    pairs = tuple(zip(offsets, counts, strict=True))
    if any(offset <= 0 or count <= 0 or offset + count > size for offset, count in pairs):
        raise truncated(_NAME)
    return pairs


def _check_segments(page: TiffPage) -> None:
    """Refuse a page whose strips or tiles are not as many, or cannot hold as much, as it declares."""
    if page.tile is None:
        each = math.ceil(page.height / page.rows_per_strip)
        largest = page.rows_per_strip * page.width * page.bytes_per_pixel
    else:
        tile_width, tile_height = page.tile
        if tile_width <= 0 or tile_height <= 0 or tile_width % 16 or tile_height % 16:
            raise truncated(_NAME)
        each = math.ceil(page.width / tile_width) * math.ceil(page.height / tile_height)
        largest = tile_width * tile_height * page.bytes_per_pixel
        if largest > _MAX_TILE_BYTES:
            raise truncated(_NAME)
    coded = sum(count for _, count in page.segments)
    whole = page.width * page.height * page.bytes_per_pixel * page.planes
    if len(page.segments) != each * page.planes or whole > coded * _MAX_EXPANSION:
        raise truncated(_NAME)
    if page.compression == _NO_COMPRESSION and (coded < whole or any(c > largest for _, c in page.segments)):
        raise truncated(_NAME)


def _needed_tags(page: TiffPage) -> dict[int, Values]:
    """The tags that say how the samples of a page are stored, made anew."""
    tags: dict[int, Values] = {
        Tag.WIDTH: (page.width,),
        Tag.HEIGHT: (page.height,),
        Tag.BITS: (page.bits,) * page.samples,
        Tag.COMPRESSION: (page.compression,),
        Tag.PHOTOMETRIC: (page.photometric,),
        Tag.SAMPLES: (page.samples,),
        Tag.PLANAR: (2 if page.separate else 1,),
        Tag.PREDICTOR: (page.predictor,),
        **_layout_tags(page, 1),
    }
    colours = 1 if page.photometric == _BLACK_IS_ZERO else 3
    if page.samples > colours:
        tags[Tag.EXTRA_SAMPLES] = (page.extra,) + (0,) * (page.samples - colours - 1)
    if page.compression == _JPEG:
        tables, subsampling = page.tags.get(Tag.JPEG_TABLES), page.tags.get(Tag.YCBCR_SUBSAMPLING, ())
        if isinstance(tables, bytes):
            tags[Tag.JPEG_TABLES] = without_metadata(tables)
        if page.photometric == _YCBCR and len(subsampling) == 2 and set(subsampling) <= {1, 2, 4}:
            tags[Tag.YCBCR_SUBSAMPLING] = subsampling
    return tags


def _layout_tags(page: TiffPage, bytes_per_pixel: int) -> dict[int, Values]:
    """The tags of strips or tiles, their width in pixels of `bytes_per_pixel`."""
    if page.tile is None:
        return {Tag.ROWS_PER_STRIP: (page.rows_per_strip,)}
    return {Tag.TILE_WIDTH: (page.tile[0] * bytes_per_pixel,), Tag.TILE_HEIGHT: (page.tile[1],)}


def _as_grey_bytes(order: str, page: TiffPage, segments: Sequence[bytes]) -> bytes:
    """A TIFF file of one plane of the page in which each byte is a grey pixel, coded by the same segments."""
    tags: dict[int, Values] = {
        Tag.WIDTH: (page.width * page.bytes_per_pixel,),
        Tag.HEIGHT: (page.height,),
        Tag.BITS: (8,),
        Tag.COMPRESSION: (page.compression,),
        Tag.PHOTOMETRIC: (_BLACK_IS_ZERO,),
        Tag.SAMPLES: (1,),
        **_layout_tags(page, page.bytes_per_pixel),
    }
    return write_tiff(order, [(tags, segments)])


def _bits(tags: Mapping[int, Values]) -> int:
    """8 or 16 bits a sample, the same for all. Raises UnreadableImageError otherwise."""
    depths, formats = set(tags.get(Tag.BITS, (1,))), set(tags.get(Tag.SAMPLE_FORMAT, (1,)))
    if len(depths) != 1 or not depths <= {8, 16} or formats != {1}:
        raise UnreadableImageError(
            "The TIFF file stores its values in a way that is not read here. Export it with 8 or 16 bits for each "
            "channel (unsigned whole numbers)."
        )
    return depths.pop()


def _refuse_colours(photometric: int, samples: int) -> None:
    """Raise NotFluorescenceError for ways of coding colour in which the channels are not separate."""
    if photometric == _CMYK:
        raise NotFluorescenceError(
            "The image is stored in CMYK, the colours of printing, in which the fluorescence channels are mixed. "
            + _THREE_PAGES
        )
    if photometric == _PALETTE:
        raise NotFluorescenceError(
            "The image has been reduced to a palette of colours, in which weak signals are lost. " + _THREE_PAGES
        )
    if photometric not in (_BLACK_IS_ZERO, _RGB, _YCBCR) or (photometric in (_RGB, _YCBCR) and samples < 3):
        raise NotFluorescenceError("The TIFF file has no separate colour channels. " + _THREE_PAGES)


def _refuse_other_stacks(pages: Sequence[TiffPage], info: StackInfo) -> None:
    """Raise NotFluorescenceError for several regions, focus stacks and time series."""
    if info.slices > 1 or info.frames > 1:
        raise NotFluorescenceError(
            "The file is a stack of focus levels or times. Export one focused plane, or a maximum projection, in which "
            "each of the channels DAPI, HER2 and CEP17 is one image."
        )
    first = pages[0]
    alike = all((p.width, p.height, p.bits, p.samples) == (first.width, first.height, first.bits, 1) for p in pages)
    if info.images > 1 or (len(pages) > 1 and not alike):
        raise NotFluorescenceError(
            "The file holds several images that are not the channels of one region. Export each region as a file "
            "of its own."
        )


def _metadata(tags: Mapping[int, Values]) -> tuple[StackInfo | None, StackInfo | None]:
    """What OME and ImageJ state in the first page's description."""
    description = tags.get(Tag.DESCRIPTION, b"")
    if not isinstance(description, bytes):
        return None, None
    return ome_info(description), imagej_info(description)


def _labels(main: Sequence[Mapping[int, Values]], structure: TiffStructure) -> tuple[str, ...]:
    """Channel names where OME gives none: ImageJ's slice labels, or the name of each page."""
    metadata, counts = main[0].get(Tag.IMAGEJ_METADATA), main[0].get(Tag.IMAGEJ_COUNTS)
    if isinstance(metadata, tuple):  # ImageJ writes bytes as type BYTE
        metadata = bytes(v & 255 for v in metadata)
    if isinstance(metadata, bytes) and isinstance(counts, tuple):
        return imagej_labels(metadata, counts, structure.order)
    page_names = [tags.get(Tag.PAGE_NAME, b"") for tags in main]
    return tuple(name[:200].decode("utf-8", "replace") if isinstance(name, bytes) else "" for name in page_names)


def _channel_names(pages: Sequence[TiffPage], names: Sequence[str]) -> tuple[str, ...]:
    """Canonical names of all channels; "channel 1", … where a name says nothing that is known."""
    count = len(pages) if len(pages) > 1 else pages[0].samples
    if len(pages) == 1 and pages[0].photometric in (_RGB, _YCBCR):
        return ("red", "green", "blue")
    if len(names) != count:
        names = ("",) * count
    return tuple(canonical_name(name) or f"channel {number + 1}" for number, name in enumerate(names))


def _um_per_px(tags: Mapping[int, Values], ome: StackInfo | None, imagej: StackInfo | None) -> float | None:
    """The scale by OME, else by the resolution tags with ImageJ's unit or their own."""
    if ome is not None and ome.um_x is not None:
        return trusted_um_per_px(ome.um_x, ome.um_x if ome.um_y is None else ome.um_y)
    unit = _UM_PER_UNIT.get(_int(tags, Tag.RESOLUTION_UNIT, 2))
    if imagej is not None and imagej.um_x is not None:
        unit = imagej.um_x
    x, y = tags.get(Tag.X_RESOLUTION, ()), tags.get(Tag.Y_RESOLUTION, ())
    if unit is None or len(x) != 2 or len(y) != 2 or 0 in (*x, *y):
        return None
    return trusted_um_per_px(unit * x[1] / x[0], unit * y[1] / y[0])


def _orientation(tags: Mapping[int, Values]) -> int:
    value = _int(tags, Tag.ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def _int(tags: Mapping[int, Values], tag: int, default: int) -> int:
    """The first value of a tag."""
    values = tags.get(tag, ())
    return values[0] if len(values) else default
