"""One plainly drawn nucleus with signals at known places, not made by the renderer that trained the models."""

import numpy as np

from her2core.records import Channel, Signal

HER2_PLACES = [(-22.0, -12.0), (20.0, -16.0), (-6.0, 22.0), (24.0, 14.0)]
CEP17_PLACES = [(-18.0, 14.0), (4.0, -24.0)]


def drawn_region(
    her2: int, cep17: int, *, neighbour: int = 0
) -> tuple[np.ndarray, tuple[float, float, float, float], list[Signal]]:
    """A region uint8[240, 240, 3] with one oval nucleus 90 x 80 px, its box and its signals.

    `neighbour`: HER2 signals of a second nucleus that touches the first; they belong to that one.
    """
    rng = np.random.default_rng(7)
    ys, xs = np.mgrid[:240, :240].astype(float)
    pixels = rng.normal(6, 1.5, (240, 240, 3))
    centres = [(90.0, 120.0)] + ([(182.0, 120.0)] if neighbour else [])
    for cx, cy in centres:
        depth = np.hypot((xs - cx) / 45, (ys - cy) / 40)
        pixels[..., 2] += 120 / (1 + np.exp((depth - 1) * 40))
    cx, cy = centres[0]
    signals = [Signal(Channel.HER2, cx + dx, cy + dy) for dx, dy in HER2_PLACES[:her2]]
    signals += [Signal(Channel.CEP17, cx + dx, cy + dy) for dx, dy in CEP17_PLACES[:cep17]]
    spots = [(s.x, s.y, 0 if s.channel is Channel.HER2 else 1) for s in signals]
    spots += [(182 - 28 + 10 * (i % 3), 96 + 16 * (i // 3), 0) for i in range(neighbour)]
    for x, y, channel in spots:
        pixels[..., channel] += 150 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 2.0**2))
    return np.clip(pixels, 0, 255).astype(np.uint8), (cx - 45, cy - 40, cx + 45, cy + 40), signals
