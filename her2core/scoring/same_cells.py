"""The same cells in two regions: crops of one field, a field saved twice, or fields that overlap on the slide.

Nothing in such files is equal, but their nuclei lie in the same pattern. One way to lay one region upon the other that
brings nuclei on nuclei of the same size, nearly wherever both show tissue, does not come about by chance. It is sought
as the files are, and then for a slide that lay another way, another objective and a mirrored file: shifted, turned by
any angle, in another scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from her2core.records import Box

__all__ = ["Field", "same_cells"]

Float = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Indices = npt.NDArray[np.intp]

_NONE: Indices = np.empty((0, 2), dtype=np.intp)

# How far two boxes of one nucleus may lie apart, in nucleus widths, how much their sizes may differ, how many nuclei
# have to be found in both regions, and which share of those where both show the same ground. Of 30 rendered fields all
# were found again in a brighter copy, one turned by half, a quarter, 17 or 2 degrees, one of 0.6 times the size and a
# mirrored one, 28 in their upper half at 1.5 times the size, 26 in a half turned round, and 4 where two parts, one of
# them turned round, share a fifth of the field. None of 9,769 pairs of different fields was taken for the same. With
# some thousand nuclei and more turned copies drown among chance; those that lie as they are do not.
_NEAR = 0.12
_ALIKE = 0.2
_FEWEST = 6
_FEWEST_TURNED = 10  # where angle and scale are sought, too, fewer can agree by chance
_LEAST_SHARE = 0.6
_MOST_VOTES = 300_000  # pairs, of nuclei or of the ways between neighbours: of more, some of the first region speak
_NEIGHBOURS = 4  # of a nucleus, whose directions and distances tell angle and scale
_VOTE_CELL = 0.06  # of the logarithm of a scale, and of an angle in radians
_MOST_SCALED = 4.0
_LEAST_PX = 1e-3  # of a box' side, so that its size has a logarithm
_STRAIGHT = 0.1  # radians; up to here the sides of boxes can be compared, beyond it only their areas


@dataclass(frozen=True, slots=True)
class Field:
    """The boxes of a region's nuclei, xyxy in its pixels, and its size."""

    boxes_xyxy: tuple[Box, ...]
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class _Nuclei:
    """Of a field's nuclei: centres x + iy (n,) and sides (n, 2) in pixels."""

    centres: Complex
    sides: Float
    field: Field

    @property
    def sizes(self) -> Float:
        """The side of a square of each box's area (n,)."""
        sizes: Float = np.sqrt(self.sides.prod(axis=1))
        return sizes

    def inside(self, points: Complex, margin_px: float) -> int:
        """How many points lie in the field, `margin_px` from its edge or farther."""
        x, y = points.real, points.imag
        within = (np.minimum(x, y) >= margin_px) & (x <= self.field.width_px - margin_px)
        return int((within & (y <= self.field.height_px - margin_px)).sum())


@dataclass(frozen=True, slots=True)
class _Laid:
    """How the second field is laid upon the first: where need be mirrored, turned and scaled by `factor`, shifted."""

    factor: complex = 1.0
    mirrored: bool = False
    shift: complex = 0.0

    @property
    def as_it_is(self) -> bool:
        """Whether it is neither mirrored nor turned nor scaled."""
        return self.factor == 1 and not self.mirrored

    @property
    def straight(self) -> bool:
        """Whether the sides of a box are those of one nucleus in both fields; otherwise only its area is."""
        return bool(not self.mirrored and abs(np.angle(self.factor)) < _STRAIGHT)

    def upon(self, points: Complex) -> Complex:
        """Where points of the second field come to lie in the first."""
        return self.factor * (points.conj() if self.mirrored else points) + self.shift

    def under(self, points: Complex) -> Complex:
        """Where points of the first field lie in the second."""
        back = (points - self.shift) / self.factor
        return back.conj() if self.mirrored else back

    def fitted(self, first: Complex, second: Complex) -> _Laid:
        """The same, as points of both fields that are one agree best; as it is only the shift is fitted."""
        if self.as_it_is:
            apart = first - second
            return replace(self, shift=complex(np.median(apart.real), np.median(apart.imag)))
        seen = second.conj() if self.mirrored else second
        away, spread = first - first.mean(), seen - seen.mean()
        factor = complex(np.vdot(spread, away) / np.vdot(spread, spread).real)
        return _Laid(factor, self.mirrored, complex(first.mean() - factor * seen.mean()))


@lru_cache(maxsize=1024)  # a page is drawn many times between two corrections; 70 kB each at 200 nuclei
def same_cells(first: Field, second: Field) -> tuple[tuple[int, int], ...]:
    """Pairs of indices (in `first`, in `second`) of nuclei that are one cell; empty where the fields differ."""
    if min(len(first.boxes_xyxy), len(second.boxes_xyxy)) < _FEWEST:
        return ()
    mine, others = _nuclei(first), _nuclei(second)
    for laid in _ways(mine, others):
        pairs = _one_cell(mine, others, laid)
        if len(pairs) >= (_FEWEST if laid.as_it_is else _FEWEST_TURNED):
            return tuple((int(i), int(j)) for i, j in pairs)
    return ()


def _nuclei(field: Field) -> _Nuclei:
    boxes = np.asarray(field.boxes_xyxy, dtype=np.float64)  # (n, 4)
    x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    return _Nuclei(x + 1j * y, np.maximum(boxes[:, 2:] - boxes[:, :2], _LEAST_PX), field)


def _ways(mine: _Nuclei, others: _Nuclei) -> Iterator[_Laid]:
    """Ways to lay the second field upon the first, without their shift: as it is, then as neighbours agree best."""
    yield _Laid()
    for mirrored in (False, True):
        factor = _commonest_factor(mine, others, mirrored)
        if factor is not None:
            yield _Laid(factor, mirrored)


def _one_cell(mine: _Nuclei, others: _Nuclei, laid: _Laid) -> Indices:
    """Pairs of indices (k, 2) of nuclei that are one cell where the fields lie so; none where they are not the same."""
    width_px = float(np.median(mine.sizes))
    near_px = _NEAR * width_px
    shift = _commonest_shift(mine, others, laid, 2 * near_px)
    if shift is None:
        return _NONE
    laid = replace(laid, shift=shift)
    # Angle and scale are roughly known at first: nuclei far from where most agree find each other as these get better.
    for near in (1, 1) if laid.as_it_is else (2, 2, 1, 1):
        pairs = _pairs(mine, others, laid, near * near_px)
        if len(pairs) < _FEWEST:
            return _NONE
        laid = laid.fitted(mine.centres[pairs[:, 0]], others.centres[pairs[:, 1]])
    margin_px = width_px / 2
    shown = min(
        others.inside(laid.under(mine.centres), margin_px / abs(laid.factor)),
        mine.inside(laid.upon(others.centres), margin_px),
    )
    return pairs if len(pairs) >= _LEAST_SHARE * shown else _NONE


def _commonest_shift(mine: _Nuclei, others: _Nuclei, laid: _Laid, cell_px: float) -> complex | None:
    """The shift of the second field on which most pairs of nuclei of like size agree; None where none do."""
    i, j = np.indices((len(mine.centres), len(others.centres)), sparse=True)
    i = i[:: _step(len(mine.centres), len(others.centres))]
    shifts = (mine.centres[i] - laid.upon(others.centres)[j])[_alike(mine, others, laid, i, j)]
    found = _densest(np.stack([shifts.real, shifts.imag], axis=1), cell_px)
    return None if found is None else complex(*found)


def _commonest_factor(mine: _Nuclei, others: _Nuclei, mirrored: bool) -> complex | None:
    """Scale and angle at which most nuclei of the second field have neighbours as ones of like size in the first have
    them; None where no two agree."""
    their_from, theirs = _neighbours(others)
    my_from, my = _neighbours(mine)
    step = _step(len(my), len(theirs))
    my_from, my = my_from[::step], my[::step]
    factors = my[:, None] / (theirs.conj() if mirrored else theirs)  # (edges, edges)
    scales = np.log(np.abs(factors))
    told = np.log(mine.sizes[my_from][:, None] / others.sizes[their_from])
    held = (np.abs(scales - told) <= _ALIKE) & (np.abs(scales) <= np.log(_MOST_SCALED))
    scales, angles = scales[held], np.angle(factors[held])
    again = angles < 2 * _VOTE_CELL - np.pi  # half a turn is one place, not two
    votes = np.stack([np.append(scales, scales[again]), np.append(angles, angles[again] + 2 * np.pi)], axis=1)
    found = _densest(votes, _VOTE_CELL)
    return None if found is None else complex(np.exp(found[0] + 1j * found[1]))


def _neighbours(nuclei: _Nuclei) -> tuple[npt.NDArray[np.intp], Complex]:
    """From each nucleus to those nearest to it: the nucleus' index and the way x + iy in pixels, both (edges,)."""
    k = min(_NEIGHBOURS, len(nuclei.centres) - 1)
    _, near = cKDTree(_rows(nuclei.centres)).query(_rows(nuclei.centres), k + 1)
    start = np.repeat(np.arange(len(near)), k)
    ways = nuclei.centres[near[:, 1:].ravel()] - nuclei.centres[start]
    apart = ways != 0  # two boxes of one nucleus
    return start[apart], ways[apart]


def _step(mine: int, others: int) -> int:
    """One of how many of `mine` is compared with all `others`."""
    return max(1, -(-mine * others // _MOST_VOTES))


def _densest(votes: Float, cell: float) -> Float | None:
    """The median (2,) of the votes (n, 2) in the square of side `cell` that holds most; None where none holds two."""
    best, found = 1, None
    for offset in product((0.0, 0.5), repeat=2) if len(votes) > 1 else ():  # nothing lies on the border of all cells
        column, row = (np.floor(place / cell + moved) for place, moved in zip(votes.T, offset, strict=True))
        codes = column * (np.ptp(row) + 1) + row
        squares, held = np.unique(codes, return_counts=True)  # a table of all squares may be beyond any memory
        if held.max() > best:
            best = int(held.max())
            found = np.median(votes[codes == squares[held.argmax()]], axis=0)
    return found


def _alike(mine: _Nuclei, others: _Nuclei, laid: _Laid, i: Indices, j: Indices) -> npt.NDArray[np.bool_]:
    """Whether nuclei i of the first field and j of the second may be one by their size."""
    if laid.straight:
        one, other = mine.sides[i], others.sides[j] * abs(laid.factor)
    else:
        one, other = mine.sizes[i][..., None], others.sizes[j][..., None] * abs(laid.factor)
    alike: npt.NDArray[np.bool_] = np.all(np.abs(one - other) <= _ALIKE * np.maximum(one, other), axis=-1)
    return alike


def _pairs(mine: _Nuclei, others: _Nuclei, laid: _Laid, near_px: float) -> Indices:
    """Pairs of indices (k, 2) of nuclei of like size that are nearest to each other and within `near_px`."""
    first, second = _rows(mine.centres), _rows(laid.upon(others.centres))
    away, to_second = cKDTree(second).query(first)
    _, to_first = cKDTree(first).query(second)
    i = np.arange(len(first))
    one = (to_first[to_second] == i) & (away <= near_px) & _alike(mine, others, laid, i, to_second)
    return np.stack([i[one], to_second[one]], axis=1)


def _rows(points: Complex) -> Float:
    return np.stack([points.real, points.imag], axis=1)
