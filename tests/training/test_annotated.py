"""COCO boxes and a table of counts become truth.json entries, or are refused with the line that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from her2core.errors import TrainingError
from her2core.training.annotated import ensure_truth, from_coco
from her2core.training.readings import read_regions

COCO: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
    "annotations": [
        {"id": 1, "image_id": 7, "bbox": [10, 20, 30, 40]},
        {"id": 2, "image_id": 8, "bbox": [0, 0, 5, 5]},
    ],
}
COUNTS = "image,annotation,her2,cep17,cluster,case\na.png,1,12,2,yes,K1\nb.png,2,0,2,,K1\n"


def test_boxes_and_counts_become_entries() -> None:
    assert from_coco(COCO, COUNTS) == [
        {"image": "a.png", "patient": "a.png", "case": "K1",
         "nuclei": [{"box": [10, 20, 40, 60], "her2": 12, "cep17": 2, "cluster": True}]},
        {"image": "b.png", "patient": "b.png", "case": "K1",
         "nuclei": [{"box": [0, 0, 5, 5], "her2": 0, "cep17": 2, "cluster": False}]},
    ]  # fmt: skip


def test_a_spreadsheet_of_another_country_is_read_too() -> None:
    text = "\ufeff" + COUNTS.replace(",", ";")
    assert from_coco(COCO, text) == from_coco(COCO, COUNTS)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("image,annotation,her2\na.png,1,2\n", "missing: cep17"),
        ("image,annotation,her2,cep17\na.png,1,2,2\n", "no counts for 1 boxes, such as annotation 2"),
        ("image,annotation,her2,cep17\na.png,9,2,2\n", "line 2: there is no annotation '9'"),
        ("image,annotation,her2,cep17\na.png,1,2,2\na.png,1,2,2\n", "line 3: there is no annotation '1'"),
        ("image,annotation,her2,cep17\nb.png,1,2,2\n", "annotation 1 is of a.png"),
        ("image,annotation,her2,cep17\na.png,1,-2,2\n", "her2 must be a whole number"),
        ("image,annotation,her2,cep17\na.png,1,2,2.5\n", "cep17 must be a whole number"),
        ("image,annotation,her2,cep17\na.png,1,99999,2\n", "her2 must be a whole number"),
        ("image,annotation,her2,cep17,cluster\na.png,1,2,2,perhaps\n", "cluster must be yes or no"),
        ("image,annotation,her2,cep17\na.png,1\n", "too few columns"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_line(counts: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        from_coco(COCO, counts)


@pytest.mark.parametrize(
    "coco",
    [
        [],
        {"images": []},
        {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"id": 1, "image_id": 2, "bbox": [0, 0, 1, 1]}]},
        {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"id": 1, "image_id": 1, "bbox": [0, 0, 0, 1]}]},
        {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"id": 1, "image_id": 1, "bbox": [0, 0]}]},
    ],
)
def test_what_is_no_coco_file_of_boxes_is_refused(coco: object) -> None:
    with pytest.raises(TrainingError, match="no COCO file of boxes"):
        from_coco(coco, COUNTS)


def test_a_folder_of_coco_and_counts_is_read_as_regions(tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "annotations.json").write_text(json.dumps(COCO), encoding="utf-8")
    (folder / "counts.csv").write_text(COUNTS, encoding="utf-8")
    (folder / "a.png").write_bytes(b"pixels")
    work = ensure_truth(folder, tmp_path / "work")
    regions = read_regions(work)
    assert [(r.image, r.case, len(r.nuclei)) for r in regions] == [("a.png", "K1", 1), ("b.png", "K1", 1)]
    assert (work / "a.png").read_bytes() == b"pixels"
    assert ensure_truth(work, tmp_path / "elsewhere") == work


def test_an_image_outside_the_folder_is_refused(tmp_path: Path) -> None:
    coco = {**COCO, "images": [{"id": 7, "file_name": "../secret.png"}, {"id": 8, "file_name": "b.png"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(coco), encoding="utf-8")
    (tmp_path / "counts.csv").write_text(COUNTS.replace("a.png", "../secret.png"), encoding="utf-8")
    with pytest.raises(TrainingError, match="outside its folder"):
        ensure_truth(tmp_path, tmp_path / "work")


def test_a_folder_with_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="neither"):
        ensure_truth(tmp_path, tmp_path / "work")
    (tmp_path / "annotations.json").write_text(json.dumps(COCO), encoding="utf-8")
    with pytest.raises(TrainingError, match=r"counts.csv is missing"):
        ensure_truth(tmp_path, tmp_path / "work")
