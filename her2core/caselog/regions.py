"""Region images of cases: the file first, then the row that names it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from her2core.caselog._change import Store
from her2core.caselog._codec import clean_text, sha256, stamp
from her2core.caselog._database import utc_now
from her2core.caselog._files import ContentStore
from her2core.caselog._rows import Row, flag_columns, one, region_of, rows
from her2core.errors import CaseLogError, DuplicateError, IntegrityError, NotFoundError, WrongStateError
from her2core.permissions import Action
from her2core.records import CaseState, Region, RegionFlags, User

__all__ = ["Regions"]


class Regions(Store):
    """The regions of cases and their images."""

    def __init__(self, data_dir: Path, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(data_dir, now)
        self.images = ContentStore(data_dir / "images", "", "image")

    def add_region(
        self,
        case_id: int,
        data: bytes,
        filename: str,
        width_px: int,
        height_px: int,
        um_per_px: float | None,
        sha256_hex: str,
        by: User,
    ) -> Region:
        """Keeps an image as a region of a case. `sha256_hex` is that of the bytes that were examined.

        Raises DuplicateError (the image is in this case already), IntegrityError (`data` are other bytes),
        WrongStateError (signed), CaseLogError (the disk refuses; nothing is recorded then).
        """
        if not data or sha256(data) != sha256_hex:
            raise IntegrityError("The image changed between examination and storage. Upload it again.")
        values = _image_columns(width_px, height_px, um_per_px)
        name = clean_text(filename.replace("\\", "/").rpartition("/")[2], "file name", longest=255)
        with self.changing(by, Action.ADD_REGION, "region added") as change:
            case = change.case(case_id)
            sql = "SELECT 1 FROM regions WHERE case_id = ? AND image_sha256 = ? AND removed_at IS NULL"
            if list(rows(change.db, sql, [case_id, sha256_hex])):
                raise DuplicateError("This image is a region of the case already; one nucleus must not count twice.")
            self.images.put(data)
            region_id = change.insert(
                "regions",
                {
                    "case_id": case_id,
                    "filename": name if name.strip(".") else "image",
                    "image_sha256": sha256_hex,
                    "image_bytes": len(data),
                    **values,
                    "added_by": change.user.id,
                    "added_at": stamp(change.at),
                },
            )
            change.touch_case(case)
            change.detail = {"region_id": region_id, "image_sha256": sha256_hex}
            return region_of(one(change.db, "regions", region_id, "region"))

    def remove_region(self, region_id: int, by: User, reason: str = "") -> None:
        """Takes a region out of a case that is still a draft; row and image are kept as removed.

        Raises WrongStateError later on: then the region is flagged as not suitable instead.
        """
        why = clean_text(reason, "reason for the removal", longest=500)
        with self.changing(by, Action.ADD_REGION, "region removed") as change:
            region = _present(one(change.db, "regions", region_id, "region"))
            case = change.case(region["case_id"])
            if case["state"] != CaseState.DRAFT:
                raise WrongStateError(
                    "Regions can be removed from a draft only. Flag this one as not suitable instead."
                )
            change.update(
                "regions",
                region_id,
                {"removed_by": change.user.id, "removed_at": stamp(change.at), "removed_reason": why},
            )
            change.touch_case(case)
            change.detail = {"region_id": region_id}

    def set_flags(self, region_id: int, flags: RegionFlags, by: User) -> Region:
        """Records the pathologist's judgement of a region; the audit keeps the old one.

        Raises CaseLogError for a population that the case does not have.
        """
        with self.changing(by, Action.EDIT_CASE, "region flags set") as change:
            region = _present(one(change.db, "regions", region_id, "region"))
            case = change.case(region["case_id"])
            columns = flag_columns(flags)
            sql = "SELECT 1 FROM json_each(?) WHERE json_extract(value, '$.label') = ?"
            if change.db.execute(sql, [case["populations"], flags.population]).fetchone() is None:
                raise CaseLogError("The case has no population of this name. Add it to the case first.")
            changed = {name: [region[name], value] for name, value in columns.items() if region[name] != value}
            if not changed:
                change.nothing()
                return region_of(region)
            change.update("regions", region_id, columns)
            change.touch_case(case)
            change.detail = {"region_id": region_id, "changed": changed}
            return region_of(one(change.db, "regions", region_id, "region"))

    def set_scale(self, region_id: int, um_per_px: float | None, by: User) -> Region:
        """Records the size of a pixel in micrometres, typed where the file did not tell."""
        with self.changing(by, Action.EDIT_CASE, "region scale set") as change:
            region = _present(one(change.db, "regions", region_id, "region"))
            case = change.case(region["case_id"])
            columns = _image_columns(region["width_px"], region["height_px"], um_per_px)
            change.update("regions", region_id, {"um_per_px": columns["um_per_px"]})
            change.touch_case(case)
            change.detail = {
                "region_id": region_id,
                "changed": {"um_per_px": [region["um_per_px"], columns["um_per_px"]]},
            }
            return region_of(one(change.db, "regions", region_id, "region"))

    def regions(self, case_id: int) -> list[Region]:
        """The regions of a case in the order in which they were added, without removed ones."""
        sql = "SELECT * FROM regions WHERE case_id = ? AND removed_at IS NULL ORDER BY id"
        with self.reading() as db:
            one(db, "cases", case_id, "case")
            return [region_of(row) for row in rows(db, sql, [case_id])]

    def region(self, region_id: int) -> Region:
        """The region with this id, also a removed one. Raises NotFoundError."""
        with self.reading() as db:
            return region_of(one(db, "regions", region_id, "region"))

    def image_bytes(self, region: Region) -> bytes:
        """The image as it was uploaded. Raises IntegrityError where the file is not that any more."""
        return self.images.get(region.image_sha256)

    def cases_with_image(self, sha256_hex: str) -> list[int]:
        """Ids of the cases that hold this image: more than one hints at a mix-up of patients."""
        sql = "SELECT DISTINCT case_id FROM regions WHERE image_sha256 = ? AND removed_at IS NULL ORDER BY case_id"
        with self.reading() as db:
            return [row["case_id"] for row in rows(db, sql, [sha256_hex])]


def _present(region: Row) -> Row:
    if region["removed_at"] is not None:
        raise NotFoundError("This region was removed from the case.")
    return region


def _image_columns(width_px: int, height_px: int, um_per_px: float | None) -> dict[str, Any]:
    if width_px < 1 or height_px < 1:
        raise CaseLogError("An image has at least one pixel.")
    if um_per_px is not None and not (math.isfinite(um_per_px) and um_per_px > 0):
        raise CaseLogError("The scale is a number of micrometres per pixel above zero.")
    return {
        "width_px": width_px,
        "height_px": height_px,
        "um_per_px": None if um_per_px is None else float(um_per_px),
    }
