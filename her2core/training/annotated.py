"""Annotated regions of a laboratory: truth.json, or boxes as COCO with the counts in a table beside them.

    FOLDER/truth.json                      as `render` writes it
    FOLDER/annotations.json, counts.csv    COCO object detection: images, annotations with bbox (x, y, width, height);
                                           columns image, annotation, her2, cep17, and if wished cluster, scorable,
                                           case, patient

The table has a line for each annotation, by its COCO id. What is not given: not clustered; scorable where both
probes have a signal; every image is a case and a patient of its own.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from her2core.errors import TrainingError

__all__ = ["COCO_FILE", "COUNTS_FILE", "TRUTH_FILE", "ensure_truth", "from_coco"]

TRUTH_FILE, COCO_FILE, COUNTS_FILE = "truth.json", "annotations.json", "counts.csv"
_YES, _NO = frozenset({"1", "true", "yes", "y"}), frozenset({"0", "false", "no", "n"})
_NEEDED = ("image", "annotation", "her2", "cep17")
_MOST_COUNTED = 10_000


def ensure_truth(folder: Path, work: Path) -> Path:
    """A folder with a truth.json: `folder` itself, or `work`, into which COCO boxes and counts are turned.

    Images stay where they are; the truth in `work` names them by links. Raises TrainingError where there is neither.
    """
    if (folder / TRUTH_FILE).exists():
        return folder
    if not (folder / COCO_FILE).exists():
        raise TrainingError(f"{folder} holds neither {TRUTH_FILE} nor {COCO_FILE} with {COUNTS_FILE}.")
    entries = from_coco(_json(folder / COCO_FILE), _text(folder / COUNTS_FILE))
    work.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        name = Path(entry["image"])
        source = (folder / name).resolve()
        if name.is_absolute() or not source.is_relative_to(folder.resolve()):
            raise TrainingError(f"{COCO_FILE} names an image outside its folder: {entry['image']}.")
        link = work / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(source)
    (work / TRUTH_FILE).write_text(json.dumps(entries), encoding="utf-8")
    return work


def from_coco(coco: object, counts_csv: str) -> list[dict[str, Any]]:
    """The entries of truth.json that COCO boxes and the table of counts make.

    Raises TrainingError, naming the annotation, where a box has no counts, counts no box, or a number is none.
    """
    try:
        files = {image["id"]: str(image["file_name"]) for image in coco["images"]}  # type: ignore[index]
        boxes = {str(a["id"]): (files[a["image_id"]], _corners(a["bbox"])) for a in coco["annotations"]}  # type: ignore[index]
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{COCO_FILE} is no COCO file of boxes: it needs images (id, file_name) and annotations (id, image_id, "
            "bbox of x, y, width and height above 0)."
        ) from error
    entries = {name: _entry(name) for name in files.values()}
    for number, row in _rows(counts_csv):
        key = row["annotation"].strip()
        if key not in boxes:
            raise TrainingError(
                f"{COUNTS_FILE}, line {number}: there is no annotation {key!r}, or it is counted twice."
            )
        image, box = boxes.pop(key)
        if row["image"].strip() != image:
            raise TrainingError(f"{COUNTS_FILE}, line {number}: annotation {key} is of {image}, not {row['image']!r}.")
        nucleus = {"box": box, "her2": _count(row, "her2", number), "cep17": _count(row, "cep17", number)}
        for name, default in (("cluster", False), ("scorable", None)):
            value = _switch(row, name, number, default)
            if value is not None:
                nucleus[name] = value
        entry = entries[image]
        entry["nuclei"].append(nucleus)
        for name in ("case", "patient"):
            if (row.get(name) or "").strip():
                entry[name] = str(row[name]).strip()
    if boxes:
        raise TrainingError(
            f"{COUNTS_FILE} has no counts for {len(boxes)} boxes, such as annotation {next(iter(boxes))}."
        )
    return list(entries.values())


def _entry(image: str) -> dict[str, Any]:
    return {"image": image, "patient": image, "nuclei": []}


def _corners(box: Any) -> list[float]:
    x, y, width, height = (float(side) for side in box)
    if not (width > 0 and height > 0):
        raise ValueError("a box without area")
    return [x, y, x + width, y + height]


def _rows(text: str) -> list[tuple[int, dict[str, str]]]:
    """Lines of the table with their numbers; commas or semicolons part the columns."""
    text = text.removeprefix("\ufeff")
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if head.count(";") > head.count(",") else ",")
    missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise TrainingError(f"{COUNTS_FILE} needs the columns {', '.join(_NEEDED)}; missing: {', '.join(missing)}.")
    rows = []
    for row in reader:
        if any(row[name] is None for name in _NEEDED):
            raise TrainingError(f"{COUNTS_FILE}, line {reader.line_num}: the line has too few columns.")
        rows.append((reader.line_num, row))
    return rows


def _count(row: Mapping[str, str], name: str, number: int) -> int:
    text = row[name].strip()
    if not (text.isascii() and text.isdigit() and int(text) <= _MOST_COUNTED):
        raise TrainingError(f"{COUNTS_FILE}, line {number}: {name} must be a whole number from 0 up, not {text!r}.")
    return int(text)


def _switch(row: Mapping[str, str], name: str, number: int, default: bool | None) -> bool | None:
    text = (row.get(name) or "").strip().lower()
    if not text:
        return default
    if text not in _YES | _NO:
        raise TrainingError(f"{COUNTS_FILE}, line {number}: {name} must be yes or no, not {text!r}.")
    return text in _YES


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TrainingError(f"{path.name} is missing beside {COCO_FILE}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path.name} cannot be read. It must be a UTF-8 text file.") from error


def _json(path: Path) -> object:
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise TrainingError(f"{path.name} cannot be read as JSON.") from error
