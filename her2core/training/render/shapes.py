"""Outlines of nuclei: a circle whose radius varies with the angle, stretched and turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Outline", "spindle", "tumour_outline"]

Float = NDArray[np.float32]
_ORDERS = np.arange(2, 7)


@dataclass(frozen=True, slots=True)
class Outline:
    """Outline around (x, y): radius_px * (1 + sum a_k cos(k t + phase_k)), stretched by `aspect`, turned by `angle`."""

    x: float
    y: float
    radius_px: float
    aspect: float
    angle: float
    amplitudes: tuple[float, ...] = (0.0,) * len(_ORDERS)
    phases: tuple[float, ...] = (0.0,) * len(_ORDERS)

    @property
    def axes_px(self) -> tuple[float, float]:
        """Long and short half axis; their product stays radius_px squared."""
        root = self.aspect**0.5
        return self.radius_px * root, self.radius_px / root

    @property
    def reach_px(self) -> float:
        """No point of the outline is farther from the centre."""
        return self.axes_px[0] * (1 + sum(abs(a) for a in self.amplitudes))

    def _unit_radius(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        radius = np.ones_like(theta)
        for order, amplitude, phase in zip(_ORDERS, self.amplitudes, self.phases, strict=True):
            if amplitude:
                radius = radius + amplitude * np.cos(order * theta + phase)
        return radius

    def depth(self, xs: Float, ys: Float) -> Float:
        """Relative distance from the centre, float32 of the broadcast shape: below 1 inside, 1 on the outline."""
        dx, dy = xs - self.x, ys - self.y
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        long_px, short_px = self.axes_px
        u, v = (dx * cos + dy * sin) / long_px, (dy * cos - dx * sin) / short_px
        return np.asarray(np.hypot(u, v) / self._unit_radius(np.arctan2(v, u)), np.float32)

    def points(self, theta: NDArray[np.floating], depth: NDArray[np.floating] | float) -> NDArray[np.floating]:
        """Points float[N, 2] (x, y) at angles `theta` and relative `depth`."""
        radius = self._unit_radius(theta) * depth
        long_px, short_px = self.axes_px
        u, v = radius * np.cos(theta) * long_px, radius * np.sin(theta) * short_px
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.stack([self.x + u * cos - v * sin, self.y + u * sin + v * cos], axis=-1)

    def box(self) -> tuple[float, float, float, float]:
        """Bounding box xyxy in pixels, not clipped to the image."""
        edge = self.points(np.linspace(0, 2 * np.pi, 96, endpoint=False), 1.0)
        (x0, y0), (x1, y1) = edge.min(axis=0), edge.max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)


def tumour_outline(x: float, y: float, width_px: float, irregular: float, rng: np.random.Generator) -> Outline:
    """An oval to irregular nucleus about `width_px` wide; `irregular` 0 is a clean oval."""
    amplitudes = rng.normal(0, irregular, len(_ORDERS)) / (_ORDERS - 0.5)
    return Outline(
        x,
        y,
        width_px / 2,
        float(np.clip(1 + abs(rng.normal(0.12, 0.18)), 1, 2.0)),
        float(rng.uniform(0, np.pi)),
        tuple(float(a) for a in np.clip(amplitudes, -0.18, 0.18)),
        tuple(float(p) for p in rng.uniform(0, 2 * np.pi, len(_ORDERS))),
    )


def spindle(x: float, y: float, width_px: float, rng: np.random.Generator) -> Outline:
    """A stroma nucleus: two and a half to five times as long as wide."""
    outline = tumour_outline(x, y, width_px, 0.04, rng)
    return Outline(x, y, outline.radius_px, rng.uniform(2.5, 5.0), outline.angle, outline.amplitudes, outline.phases)
