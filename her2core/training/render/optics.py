"""From a scene to the RGB image that a camera on a fluorescence microscope would save."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, shift, zoom

from her2core.training.render.scene import FAINT, Conditions, Kind, Scene, SceneNucleus

__all__ = ["Background", "Look", "encode", "paint", "prepare", "sample_look"]

Float = NDArray[np.float32]
_TILE = 384
_BRIGHTEST_BACKGROUND = 130.0  # grey levels of red and green in nuclei
_LEAST_CONTRAST = 15.0  # grey levels of a signal's peak that a reader still sees on black
_LEAST_CONTRAST_TO_NOISE = 12.0  # peak of a signal over texture and noise at its own scale
_BRIGHTEST_FLOOR = 110.0  # grey levels; texture that asks for more drowns every signal and is softened
_LEAST_BLUR = 0.25
_FULL_COLOUR_ABOVE = 90  # JPEG qualities that keep the full colour resolution
_CHROMA_BLUR_PX = 0.7  # what a JPEG with halved colour resolution adds to the width of a signal


@dataclass(frozen=True, slots=True)
class Look:
    """Staining, optics and camera of one region. Brightness in grey levels of 0-255."""

    dapi: float  # brightness of a typical nucleus in the blue channel
    dapi_spread: float
    dapi_colour: tuple[float, float, float]
    her2_colour: tuple[float, float, float]
    cep17_colour: tuple[float, float, float]
    nuclear_haze: tuple[float, float]  # HER2 and CEP17 background inside nuclei, share of DAPI
    background: tuple[float, float, float]
    rim: float
    texture: float
    grain: float  # fine bright grains in the DAPI stain
    edge: float  # softness of outlines, share of the nucleus width
    haze: float
    glow: float  # out-of-focus light around nuclei
    glow_reach: float  # its reach, share of the nucleus width
    blend: float  # 1: light of overlapping nuclei adds up; larger: the brighter one hides the other
    debris: int
    specks: int
    noise: float
    blur: float
    shift_px: tuple[float, float]
    vignette: float
    gamma: float
    haze_texture: tuple[float, float]  # how much of the DAPI texture the nuclear haze shows, HER2 and CEP17
    jpeg_quality: int | None  # None: PNG
    first_jpeg_quality: int | None  # saved once before

    @property
    def spread_px(self) -> float:
        """What camera and compression add to the width of a signal, standard deviation."""
        subsampled = self.first_jpeg_quality is not None or (self.jpeg_quality or 100) <= _FULL_COLOUR_ABOVE
        return float(np.hypot(self.blur if self.blur > _LEAST_BLUR else 0.0, _CHROMA_BLUR_PX if subsampled else 0.0))


def sample_look(rng: np.random.Generator) -> Look:
    """Draw a look; wide enough that real fields lie inside its range."""
    dark = rng.random() < 0.35  # black background
    clean = dark and rng.random() < 0.55  # … and merged by computer: no stray light, no crosstalk
    purple = rng.uniform(0, 0.5) if rng.random() < 0.6 and not clean else 0.0
    level = rng.uniform(0, 6) if dark else rng.uniform(3, 34)
    tint = rng.uniform(0.6, 1.4, 3)
    bleed = rng.uniform(0, 0.3) if clean else 1.0  # how much of the light of one stain shows in another
    return Look(
        dapi=float(np.exp(rng.uniform(np.log(38), np.log(230)))),
        dapi_spread=rng.uniform(0.05, 0.4),
        dapi_colour=(purple, bleed * (float(rng.uniform(0, 0.38)) if rng.random() < 0.5 else 0.03), 1.0),
        her2_colour=(1.0, bleed * rng.uniform(0, 0.35), bleed * rng.uniform(0, 0.3)),
        cep17_colour=(bleed * rng.uniform(0, 0.3), 1.0, bleed * rng.uniform(0, 0.5)),
        nuclear_haze=(
            bleed * float(rng.choice([0.0, rng.uniform(0.05, 0.75)], p=[0.35, 0.65])),
            bleed * float(rng.choice([0.0, rng.uniform(0.05, 0.55)], p=[0.4, 0.6])),
        ),
        background=(float(level * tint[0]), float(level * tint[1]), float(level * tint[2])),
        rim=float(rng.choice([0.0, rng.uniform(0.1, 0.9)], p=[0.45, 0.55])),
        texture=rng.uniform(0.03, 0.28),
        grain=float(rng.choice([0.0, rng.uniform(0.1, 0.6)], p=[0.6, 0.4])),
        edge=rng.uniform(0.008, 0.05),
        haze=float(rng.choice([0.0, rng.uniform(0.05, 0.5)], p=[0.4, 0.6])),
        glow=bleed * float(rng.choice([0.0, rng.uniform(0.05, 0.6)], p=[0.3, 0.7])),
        glow_reach=rng.uniform(0.4, 1.3),
        blend=float(rng.choice([1.0, rng.uniform(1.5, 8.0)], p=[0.4, 0.6])),
        debris=int(rng.poisson(rng.choice([0, 1, 5]))),
        specks=int(rng.poisson(rng.choice([0, 3, 20]))),
        noise=bleed * float(rng.choice([rng.uniform(0.3, 2.0), rng.uniform(2.0, 8.0)], p=[0.65, 0.35])),
        blur=bleed * rng.uniform(0.0, 1.1),
        shift_px=(float(rng.normal(0, 0.6)), float(rng.normal(0, 0.6))),
        vignette=float(rng.choice([0.0, rng.uniform(0.05, 0.4)])),
        gamma=rng.uniform(0.75, 1.3),
        haze_texture=(float(rng.uniform(0.15, 1.0)), float(rng.uniform(0.15, 1.0))),
        jpeg_quality=None if rng.random() < 0.25 else int(rng.integers(60, 98)),
        first_jpeg_quality=int(rng.integers(50, 90)) if rng.random() < 0.2 else None,
    )


def _noise_tile(sigma_px: float, rng: np.random.Generator) -> Float:
    """Periodic smooth noise float32[_TILE, _TILE] of unit deviation."""
    tile = gaussian_filter(rng.standard_normal((_TILE, _TILE)).astype(np.float32), sigma_px, mode="wrap")
    return np.asarray(tile / (tile.std() + 1e-9), np.float32)


def _crop(tile: Float, shape: tuple[int, ...], rng: np.random.Generator) -> Float:
    height, width = shape
    rows = (np.arange(height) + rng.integers(_TILE)) % _TILE
    columns = (np.arange(width) + rng.integers(_TILE)) % _TILE
    return np.asarray(tile[np.ix_(rows, columns)], np.float32)


class _Painter:
    """Three planes of light (HER2, CEP17, DAPI), float32[H, W] each, and what all nuclei of a region share."""

    def __init__(self, conditions: Conditions, look: Look, rng: np.random.Generator) -> None:
        self.c, self.look, self.rng = conditions, look, rng
        self.planes = np.zeros((3, conditions.height_px, conditions.width_px), np.float32)
        d = conditions.nucleus_px
        self.fine, self.medium, self.coarse = (_noise_tile(max(0.8, f * d), rng) for f in (0.012, 0.04, 0.13))

    def patch(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice, Float, Float] | None:
        """Rows, columns and pixel coordinates of a box, cut to the image; None where nothing is left."""
        left, top = max(int(x0), 0), max(int(y0), 0)
        right, bottom = min(int(x1) + 2, self.c.width_px), min(int(y1) + 2, self.c.height_px)
        if left >= right or top >= bottom:
            return None
        xs = np.arange(left, right, dtype=np.float32)[None, :]
        ys = np.arange(top, bottom, dtype=np.float32)[:, None]
        return slice(top, bottom), slice(left, right), xs, ys

    def nucleus(self, n: SceneNucleus, level: float) -> None:
        """Paint a nucleus' stain, `level` grey levels bright, and its background in the probe channels."""
        o, look, rng = n.outline, self.look, self.rng
        ghost = n.kind is Kind.GHOST
        edge_px = max(0.7, look.edge * self.c.nucleus_px) * (
            rng.uniform(4, 7) if ghost else n.softness * rng.uniform(0.7, 1.4)
        )
        pad = 3 * edge_px
        place = self.patch(
            o.x - o.reach_px - pad, o.y - o.reach_px - pad, o.x + o.reach_px + pad, o.y + o.reach_px + pad
        )
        if place is None:
            return
        rows, columns, xs, ys = place
        inward_px = (1 - o.depth(xs, ys)) * o.axes_px[1]
        body = (1 / (1 + np.exp(np.clip(-inward_px / (edge_px * 0.5), -30, 30)))).astype(np.float32)
        shape = body.shape
        pattern = np.ones(shape, np.float32)
        if not ghost:
            strength = look.texture * rng.uniform(0.5, 1.5)
            pattern += strength * (
                0.5 * _crop(self.coarse, shape, rng)
                + 0.6 * _crop(self.medium, shape, rng)
                + 0.3 * _crop(self.fine, shape, rng)
            )
            if look.grain:
                grains = np.maximum(_crop(self.medium, shape, rng) - 1.0, 0)
                pattern += look.grain * grains
            if look.rim:
                width_px = 0.06 * self.c.nucleus_px * rng.uniform(0.7, 1.5)
                pattern += look.rim * rng.uniform(0.5, 1.3) * (np.exp(-((inward_px / width_px - 0.8) ** 2)) - 0.25)
            for _ in range(rng.poisson(0.7)):  # nucleoli
                (hx, hy), r = (
                    o.points(np.array([rng.uniform(0, 6.28)]), rng.uniform(0, 0.6))[0],
                    o.radius_px * rng.uniform(0.1, 0.25),
                )
                pattern -= rng.uniform(0.1, 0.5) * np.exp(-((xs - hx) ** 2 + (ys - hy) ** 2) / (2 * (r * 0.6) ** 2))
            pattern = np.clip(pattern, 0.15, 3)
        if n.softness > 1:  # out of the focal plane not only the outline is soft
            pattern = gaussian_filter(pattern, 0.7 * edge_px)
        stain = (level * body * pattern).astype(np.float32)
        self.planes[2, rows, columns] += stain**look.blend
        soft = level * body * (1 + 0.08 * _crop(self.coarse, shape, rng))
        for plane, (share, texture) in enumerate(zip(look.nuclear_haze, look.haze_texture, strict=True)):
            haze = share * rng.uniform(0.6, 1.3) * ((1 - texture) * soft + texture * stain)
            self.planes[plane, rows, columns] += np.maximum(haze, 0) ** look.blend

    def spot(self, x: float, y: float, fwhm_px: float, peak: float, plane: int) -> None:
        """Add one round, slightly irregular signal of `peak` grey levels."""
        sigma = fwhm_px / 2.355
        place = self.patch(x - 4 * sigma, y - 4 * sigma, x + 4 * sigma, y + 4 * sigma)
        if place is None:
            return
        rows, columns, xs, ys = place
        stretch = self.rng.uniform(0.85, 1.18)
        distance = ((xs - x) / stretch) ** 2 + ((ys - y) * stretch) ** 2
        self.planes[plane, rows, columns] += peak * np.exp(-distance / (2 * sigma**2))

    def over_nucleus(self, x: float, y: float, reach_px: float) -> bool:
        """Whether a spot at (x, y) that reaches so far lies over stain."""
        place = self.patch(x - reach_px, y - reach_px, x + reach_px, y + reach_px)
        return place is not None and float(self.planes[2][place[:2]].max()) > 0.2 * self.look.dapi

    def debris(self) -> None:
        """Specks of dye and shreds of DNA, round or ragged; over nuclei never of a signal's colour, for what looks like
        a signal or a cluster there would be one to a reader."""
        d, rng = self.c.nucleus_px, self.rng
        for _ in range(self.look.specks):
            x, y = rng.uniform(0, self.c.width_px), rng.uniform(0, self.c.height_px)
            size, peak = d * rng.uniform(0.03, 0.12), rng.uniform(8, 90)
            tone = rng.dirichlet([0.6, 0.6, 0.6])
            if self.over_nucleus(x, y, size):
                tone = np.full(3, 0.8)
            for plane in range(3):
                self.spot(x, y, max(size, 1.5), float(peak * tone[plane]), plane)
        for _ in range(self.look.debris):
            x, y, size = rng.uniform(0, self.c.width_px), rng.uniform(0, self.c.height_px), d * rng.uniform(0.1, 0.3)
            tone = rng.dirichlet([0.4, 0.4, 1.0]) * self.look.dapi * rng.uniform(0.5, 1.6)
            points = rng.normal((x, y), size / 2, (int(rng.integers(4, 14)), 2))
            if any(self.over_nucleus(px, py, size) for px, py in points):
                tone = np.full(3, tone.mean())
            for px, py in points:
                for plane in range(3):
                    self.spot(px, py, max(size * rng.uniform(0.3, 0.8), 2.0), float(tone[plane] * 0.5), plane)


def _low_field(height: int, width: int, rng: np.random.Generator) -> Float:
    """Smooth field float32[height, width] of unit deviation, a few waves across."""
    small = rng.standard_normal((int(rng.integers(3, 7)), int(rng.integers(3, 7)))).astype(np.float32)
    field = zoom(small, (height / small.shape[0], width / small.shape[1]), order=3, grid_mode=True, mode="nearest")
    return np.asarray(field[:height, :width], np.float32)


def _glow(plane: Float, sigma_px: float) -> Float:
    """Wide blur of a plane, computed on a coarse grid."""
    step = max(1, int(sigma_px / 3))
    coarse = gaussian_filter(plane[::step, ::step], sigma_px / step)
    height, width = plane.shape
    wide = zoom(coarse, (height / coarse.shape[0], width / coarse.shape[1]), order=1, grid_mode=True, mode="nearest")
    return np.asarray(wide, np.float32)


def _light(scene: Scene, look: Look, rng: np.random.Generator) -> Float:
    """The three planes of light float32[3, H, W] before camera and colour."""
    c = scene.conditions
    painter = _Painter(c, look, rng)
    for nucleus in scene.nuclei:
        level = look.dapi * float(np.clip(rng.lognormal(0, look.dapi_spread), 0.35, 2.0))
        if nucleus.kind is Kind.LYMPHOCYTE:
            level *= rng.uniform(1.0, 1.7)
        elif nucleus.kind is Kind.GHOST:
            level *= rng.uniform(0.15, 0.5)
        elif nucleus.kind is Kind.FRAGMENT:
            level *= rng.uniform(0.4, 1.3)
        level *= nucleus.softness**-0.4
        painter.nucleus(nucleus, level)
    painter.planes = painter.planes ** np.float32(1 / look.blend)
    painter.debris()
    light = painter.planes
    for i in range(3):
        if look.glow:
            light[i] += look.glow * _glow(light[i], look.glow_reach * c.nucleus_px)
    return light


def _mix(light: Float, look: Look) -> Float:
    """Light of the three stains, float32[3, H, W], as camera RGB float32[3, H, W]."""
    colours = np.array([look.her2_colour, look.cep17_colour, look.dapi_colour], np.float32)
    return np.tensordot(colours.T, light, axes=(1, 0)).astype(np.float32)


def _expose(rgb: Float, look: Look, rng: np.random.Generator) -> Float:
    """Add the camera's background; keep red and green out of saturation, where signals would drown."""
    height, width = rgb.shape[1:]
    for i in range(3):
        base: float | Float = look.background[i]
        if look.haze:
            base = np.maximum(base * (1 + look.haze * _low_field(height, width, rng)), 0)
        rgb[i] += base
    for i in range(2):
        bright = float(np.quantile(rgb[i, ::4, ::4], 0.99))
        rgb[i] *= min(1.0, _BRIGHTEST_BACKGROUND / max(bright, 1.0))
    return rgb


def _texture(plane: Float, sigma_px: float, reach_px: float) -> tuple[Float, Float]:
    """What of a plane looks like signals of width `sigma_px`, and its local root mean square within `reach_px`."""
    band = gaussian_filter(plane, sigma_px) - gaussian_filter(plane, 3 * sigma_px)
    return band, np.sqrt(np.maximum(_glow(band**2, reach_px), 0))


def _floors(scene: Scene, look: Look, background_rgb: Float) -> Float:
    """The least peak of a signal that a reader sees, float32[2, H, W] grey levels; softens texture that drowns signals.

    Findings.md: what is labelled must be visible. A Gaussian signal of peak A answers the filter at its own scale with
    about A / 2; camera and compression lower A by widening it.
    """
    c = scene.conditions
    floors = np.empty_like(background_rgb[:2])
    for i, fwhm in enumerate((c.her2_fwhm, c.cep17_fwhm)):
        sigma = max(fwhm * c.nucleus_px, 1.9) / 2.355
        seen = float(np.hypot(sigma, look.spread_px))
        plane = background_rgb[i]
        band, rms = _texture(plane, seen, 0.12 * c.nucleus_px)
        drowned = _LEAST_CONTRAST_TO_NOISE * rms
        keep = np.minimum(1, _BRIGHTEST_FLOOR / np.maximum(drowned, 1e-3))
        plane -= (1 - keep) * band
        noise = look.noise / (2 * np.sqrt(np.pi) * seen)  # after the filter; camera blur comes on top
        noticed = _LEAST_CONTRAST * (1.4 if (look.first_jpeg_quality or look.jpeg_quality or 100) < 75 else 1.0)
        least = np.maximum(np.minimum(drowned, _BRIGHTEST_FLOOR), _LEAST_CONTRAST_TO_NOISE * noise)
        floors[i] = np.maximum(np.maximum(least, 0.3 * plane), noticed) * (seen / sigma) ** 2
    return floors


def _signal_light(scene: Scene, look: Look, floors: Float, rng: np.random.Generator) -> Float:
    """Light of all signals float32[3, H, W]. Counted ones stand out from what lies around them; the others do not."""
    c = scene.conditions
    painter = _Painter(c, look, rng)
    contrast = c.her2_contrast, c.cep17_contrast
    for nucleus in scene.nuclei:
        for x, y, fwhm_px, relative, kind, _ in nucleus.spots:
            grain, channel = divmod(int(kind), 2)
            row, column = (int(np.clip(v, 0, n - 1)) for v, n in zip((y, x), floors.shape[1:], strict=True))
            floor = float(floors[channel, row, column])
            signal = max(contrast[channel], floor)
            peak = relative * (signal if grain or relative >= FAINT else floor)
            painter.spot(float(x), float(y), float(fwhm_px), float(peak), channel)
    return painter.planes


@dataclass(frozen=True, slots=True)
class Background:
    """A region without its signals, float32[3, H, W] as the camera sees it, and the least peak of a visible signal,
    float32[2, H, W]."""

    rgb: Float
    floors: Float


def prepare(scene: Scene, look: Look, rng: np.random.Generator) -> Background:
    """What of a region does not depend on its signals."""
    rgb = _expose(_mix(_light(scene, look, rng), look), look, rng)
    floors = _floors(scene, look, rgb)
    return Background(rgb, floors)


def paint(scene: Scene, look: Look, background: Background, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The region as RGB, uint8[H, W, 3], before any file compression."""
    signals = _signal_light(scene, look, background.floors, rng)
    for i in range(2):  # chromatic shift of the probe channels against DAPI
        if abs(look.shift_px[i]) > 0.2:
            signals[i] = shift(signals[i], (look.shift_px[i] * 0.5, look.shift_px[1 - i]), order=1, mode="nearest")
    rgb = np.ascontiguousarray(np.moveaxis(background.rgb + _mix(signals, look), 0, 2))
    height, width = rgb.shape[:2]
    if look.vignette:
        ys, xs = (
            np.linspace(-1, 1, height, dtype=np.float32)[:, None],
            np.linspace(-1, 1, width, dtype=np.float32)[None, :],
        )
        x0, y0 = rng.uniform(-0.4, 0.4, 2)
        rgb *= (1 - look.vignette * np.clip((xs - x0) ** 2 + (ys - y0) ** 2, 0, 2) / 2)[..., None]
    rgb = 255 * (np.clip(rgb, 0, None) / 255) ** look.gamma
    noise = (
        rng.standard_normal(rgb.shape).astype(np.float32)
        * look.noise
        * (0.6 + 0.4 * np.sqrt(np.clip(rgb, 0, 255) / 60))
    )
    rgb += noise
    if look.blur > _LEAST_BLUR:
        rgb = gaussian_filter(rgb, (look.blur, look.blur, 0))
    return np.asarray(np.clip(rgb, 0, 255) + 0.5, np.uint8)


def encode(pixels_rgb: NDArray[np.uint8], look: Look) -> tuple[bytes, str]:
    """The region as the microscope's software saved it: bytes and suffix of a file."""
    image = Image.fromarray(pixels_rgb)
    if look.first_jpeg_quality is not None:
        image = Image.open(io.BytesIO(_jpeg(image, look.first_jpeg_quality)))
    if look.jpeg_quality is not None:
        return _jpeg(image, look.jpeg_quality), ".jpg"
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), ".png"


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0 if quality > _FULL_COLOUR_ABOVE else 2)
    return buffer.getvalue()
