"""With the committed models a batch counts what `analyze` counts, nucleus by nucleus."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from PIL import Image

from her2core import pipeline
from her2core.batch import ModelRecipe, read_results, run
from her2core.imaging import read_region

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"


def test_a_batch_counts_as_analyze_does(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "field.png"
    with Image.open(ROOT / "docs" / "images" / "rendered-first.jpg") as picture:
        picture.convert("RGB").crop((0, 0, 420, 360)).save(path)
    models = pipeline.load_models(MODELS, "cpu")
    alone = pipeline.analyse(read_region(path.read_bytes(), path.name).pixels_rgb, models)
    summary = run(path.parent, tmp_path / "out", ModelRecipe(MODELS, "cpu", threads=1), engine="processes")
    assert (summary.done, summary.failed) == (1, ())
    _, nuclei = read_results(tmp_path / "out")
    assert len(alone.nuclei) > 0
    found = nuclei.sort_values("id").to_dict("records")
    reasons = [None if pd.isna(n["reason"]) else n["reason"] for n in found]
    assert [(n["her2"], n["cep17"], n["scored"], reason) for n, reason in zip(found, reasons, strict=True)] == [
        (n.her2, n.cep17, n.scored, None if n.reason is None else n.reason.value) for n in alone.nuclei
    ]
    assert [len(n["signals"]) for n in found] == [len(n.signals) for n in alone.nuclei]
