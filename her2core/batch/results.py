"""The folder of results: Parquet parts of images and of nuclei, each image once, whatever was killed when.

    OUT/batch.json               models and settings that all results in the folder share
    OUT/images/part-00001.parquet   a row an image
    OUT/nuclei/part-00001.parquet   a row a nucleus
    OUT/files.parquet            every file that was found, and the SHA-256 that leads to its image

One process at a time writes. A part is on disk whole or not at all, and the part of images is written last: what lies
beside it is a part that nobody vouched for, and is taken away.

An error may have passed by the next run (memory, a network disk, a limit of the settings), and its words do not tell
surely, so each run tries such images again. The row of the error is taken out before the new row is written: an image
never has two.
"""

from __future__ import annotations

import fcntl
import io
import json
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from her2core.batch.inventory import Found
from her2core.batch.work import Item
from her2core.errors import ExchangeError, WeightsMismatchError
from her2core.exchange.analysis import ImageResult, tally_dict
from her2core.records import ModelUsed, Nucleus, RegionAnalysis, models_dict
from her2core.scoring.tally import tally

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FILES", "IMAGES", "NUCLEI", "ResultFolder", "read_results"]

IMAGES: Final = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        ("error", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("found", pa.int32()),
        ("n", pa.int32()),
        ("her2", pa.int32()),
        ("cep17", pa.int32()),
        ("her2_per_nucleus", pa.float64()),
        ("cep17_per_nucleus", pa.float64()),
        ("ratio", pa.float64()),
        ("group", pa.int8()),
        ("quality", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("detector", pa.string()),
        ("detector_sha256", pa.string()),
        ("counter", pa.string()),
        ("counter_sha256", pa.string()),
        ("device", pa.string()),
        ("seconds", pa.float64()),
    ]
)
"""`found`: all nuclei; `n` those scored; `quality`: the suitability measures as JSON; `group`: per image, no result of
a case."""

NUCLEI: Final = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        ("id", pa.int32()),
        ("x0", pa.float64()),
        ("y0", pa.float64()),
        ("x1", pa.float64()),
        ("y1", pa.float64()),
        ("score", pa.float64()),
        ("her2", pa.int32()),
        ("cep17", pa.int32()),
        ("her2_regressed", pa.float64()),
        ("cep17_regressed", pa.float64()),
        ("clustered", pa.bool_()),
        ("scored", pa.bool_()),
        ("reason", pa.string()),
        ("uncertain", pa.bool_()),
        ("uncertainty", pa.float64()),
        ("focus", pa.float64()),
        ("signals", pa.list_(pa.struct([("channel", pa.string()), ("x", pa.float64()), ("y", pa.float64())]))),
    ]
)
"""As `nuclei` of `analyze --json`; boxes and positions are pixels of the image."""

FILES: Final = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.string()),
        ("error", pa.string()),
    ]
)

_SCHEMA: Final = "her2core.batch/1"
_PART: Final = 256  # images: at 20 nuclei each about a megabyte
_TABLES: Final = ("images", "nuclei")


class ResultFolder:
    """The results in `folder`, opened for writing; use it in a `with`. `done` holds the SHA-256 of what was analysed,
    whenever that was, and of what failed in this run.

    Raises ExchangeError where another batch writes into it, or it holds results of other models or settings, or tables
    of a release that made them otherwise.
    """

    def __init__(self, folder: Path, identity: dict[str, object], part: int = _PART) -> None:
        self.folder = folder
        self._identity = {"schema": _SCHEMA, **identity}
        self._part = part
        self._rows: list[tuple[Item, ImageResult]] = []
        self.done: set[str] = set()
        self._failed: dict[str, tuple[Path, str]] = {}  # in a run before: the part with the row, and the error
        self._next = 1
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> ResultFolder:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / ".lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._open()
        except BlockingIOError:
            self._lock.close()
            raise ExchangeError(
                f"Another batch writes into {self.folder} now. Wait for it, or choose another folder."
            ) from None
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Writes what is not yet on disk, also where an error leads out: it is finished work."""
        try:
            self.flush()
        finally:
            if self._lock is not None:
                self._lock.close()

    def _open(self) -> None:
        about = self.folder / "batch.json"
        if about.exists():
            found = _json(about)
            if self._is_of_another_release(found):
                raise ExchangeError(
                    f"{self.folder} was begun by another release of her2core, whose tables are made otherwise, so this "
                    "one cannot go on with it. Finish it with that release, or choose another folder and analyse the "
                    "images anew; the tables that are there stay readable."
                )
            if found != json.loads(json.dumps(self._identity)):
                raise ExchangeError(
                    f"{self.folder} holds results of other models or settings ({_difference(found, self._identity)}). "
                    "Results of both would not be comparable: choose another folder."
                )
        elif any((self.folder / table).exists() for table in _TABLES):
            raise ExchangeError(f"{self.folder} holds tables of something else. Choose another folder.")
        else:
            _write(about, (json.dumps(self._identity, indent=1) + "\n").encode())
        for table in _TABLES:
            (self.folder / table).mkdir(exist_ok=True)
        images = sorted((self.folder / "images").glob("part-*.parquet"))
        vouched = {path.name for path in images}
        for path in (p for table in _TABLES for p in (self.folder / table).iterdir()):
            if path.name.endswith(".tmp") or path.name not in vouched:
                path.unlink()
        for path in images:
            table = pq.read_table(path, columns=["sha256", "error"])
            for sha256, error in zip(*(column.to_pylist() for column in table.columns), strict=True):
                if error is None:
                    self.done.add(sha256)
                else:
                    self._failed[sha256] = path, error
            self._next = max(self._next, int(path.stem.removeprefix("part-")) + 1)

    def _is_of_another_release(self, found: dict[str, Any]) -> bool:
        """Whether what `batch.json` says, or a table beside it, has not the form of this release."""
        models = found.get("models")
        if found.get("schema") != _SCHEMA or not isinstance(models, dict):
            return True
        if any(not isinstance(model, dict) for model in models.values()):
            return True
        for table, schema in (("images", IMAGES), ("nuclei", NUCLEI)):
            part = next(iter(sorted((self.folder / table).glob("part-*.parquet"))), None)
            if part is not None and pq.read_schema(part).names != schema.names:
                return True
        return False

    def known(self) -> dict[str, Found]:
        """The files of the run before, by name."""
        path = self.folder / "files.parquet"
        if not path.exists():
            return {}
        rows = pq.read_table(path).to_pylist()
        return {r["image"]: Found(r["image"], r["size"], r["mtime_ns"], r["sha256"], r["error"]) for r in rows}

    def write_files(self, files: Iterable[Found]) -> None:
        """Which files were found; replaces the list of the run before."""
        rows = [
            {"image": f.name, "size": f.size, "mtime_ns": f.mtime_ns, "sha256": f.sha256, "error": f.error}
            for f in files
        ]
        _write(self.folder / "files.parquet", _parquet(rows, FILES))

    def add(self, item: Item, result: ImageResult) -> bool:
        """Take a result; False where the image has one already. Each `part` images are written together.

        The error of a run before gives way to it; where it is the same error, the row stays as it is.

        Raises WeightsMismatchError where other models made it, as on a machine of a cluster with another release.
        """
        if item.sha256 in self.done:
            return False
        if result.analysis is not None and models_dict(result.analysis.models) != self._identity["models"]:
            found = ", ".join(map(str, result.analysis.models))
            raise WeightsMismatchError(
                f"A worker has other models than this machine: {found}. Install the same release everywhere."
            )
        self.done.add(item.sha256)
        before = self._failed.get(item.sha256)
        if before is not None and before[1] == result.error:
            return True
        self._rows.append((item, result))
        if len(self._rows) >= self._part:
            self.flush()
        return True

    def flush(self) -> None:
        """Write what was added since the last part."""
        if not self._rows:
            return
        self._take_out({item.sha256 for item, _ in self._rows} & self._failed.keys())
        name = f"part-{self._next:05d}.parquet"
        _write(self.folder / "nuclei" / name, _parquet(_nuclei_rows(self._rows), NUCLEI))
        _write(self.folder / "images" / name, _parquet([_image_row(*row) for row in self._rows], IMAGES))
        self._rows.clear()
        self._next += 1

    def _take_out(self, images: Set[str]) -> None:
        """Take the errors of runs before out of their parts; there are no nuclei of them. A run that is killed right
        after it leaves the images without a row, to wait as those that nobody has tried."""
        for path in sorted({self._failed[sha256][0] for sha256 in images}):
            rows = [row for row in pq.read_table(path).to_pylist() if row["sha256"] not in images]
            _write(path, _parquet(rows, IMAGES))
        for sha256 in images:
            del self._failed[sha256]


def _write(path: Path, data: bytes) -> None:
    from her2core.models import write_atomically  # brings torch along, which not everyone who is here needs

    write_atomically(path, data)


def read_results(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Images and nuclei of a folder of results, as pandas tables joined by `sha256`."""
    import pandas as pd

    return pd.read_parquet(folder / "images"), pd.read_parquet(folder / "nuclei")


def _image_row(item: Item, result: ImageResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "sha256": item.sha256, "image": item.name, "error": result.error, "notes": list(result.notes)
    }  # fmt: skip
    analysis = result.analysis
    if analysis is None:
        return row
    return row | tally_dict(tally(analysis.nuclei)) | _measures(analysis)


def _model_columns(model: ModelUsed) -> dict[str, str]:
    return {model.stage: str(model), f"{model.stage}_sha256": model.sha256}


def _measures(analysis: RegionAnalysis) -> dict[str, Any]:
    return {
        "width": analysis.width_px,
        "height": analysis.height_px,
        "found": len(analysis.nuclei),
        "quality": json.dumps(analysis.quality, allow_nan=True),
        **{name: value for model in analysis.models for name, value in _model_columns(model).items()},
        "device": analysis.device,
        "seconds": analysis.seconds,
    }


def _nuclei_rows(rows: Sequence[tuple[Item, ImageResult]]) -> list[dict[str, Any]]:
    return [
        _nucleus_row(item.sha256, nucleus)
        for item, result in rows
        if result.analysis is not None
        for nucleus in result.analysis.nuclei
    ]


def _nucleus_row(sha256: str, nucleus: Nucleus) -> dict[str, Any]:
    row = nucleus.to_dict()
    x0, y0, x1, y1 = row.pop("box")
    return {"sha256": sha256, "x0": x0, "y0": y0, "x1": x1, "y1": y1, **row}


def _parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ExchangeError(f"{path} cannot be read. Choose another folder.")
    return found


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    return "; ".join(
        f"{key}: {_words(found.get(key))}, now {_words(wanted.get(key))}"
        for key in sorted(found.keys() | wanted.keys())
        if found.get(key) != wanted.get(key)
    )


def _words(value: Any) -> str:
    try:
        return ", ".join(map(str, ModelUsed.all_of(value)))
    except (AttributeError, KeyError, TypeError, ValueError):
        return repr(value)
