"""Small files that unfold into gigabytes, and keys that take hours to open: given up early, with little memory."""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from her2core.errors import SigningError
from her2core.imaging.tiff_tags import Tag, Values, write_tiff
from her2core.reporting.pkcs12_guard import open_external_pkcs12
from tests.imaging.synthetic import fish, png_chunk, with_pillow
from tests.imaging.test_refusing import jpeg_declaring, png_header
from tests.proof import Proof, Record, times
from tests.reporting.test_keys import external_pkcs12

MOST_MB, MOST_SECONDS = 400, 20  # of memory beyond what the program itself takes; of processor time

_CHILD = """
import json, resource, sys
from pathlib import Path
from her2core.errors import ImageError
from her2core.imaging import read_region, strip_metadata
told = {}
for name in sys.argv[1:]:
    data = Path(name).read_bytes()
    for step in (read_region, strip_metadata):
        used = resource.getrusage(resource.RUSAGE_SELF)
        try:
            step(data, "x.png") if step is read_region else step(data)
            what = "read"
        except ImageError as error:
            what = str(error)
        now = resource.getrusage(resource.RUSAGE_SELF)
        told[f"{Path(name).name} {step.__name__}"] = [what, (now.ru_maxrss - used.ru_maxrss) / 1000,
                                                      now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime]
json.dump(told, sys.stdout)
"""


def bombs() -> dict[str, bytes]:
    """Files of at most some megabytes that stand for gigabytes."""
    zeros = zlib.compress(bytes(200_000_000), 9)
    end = png_chunk(b"IEND", b"")
    picture = with_pillow(fish(width=200, height=200), "JPEG", progressive=True)
    scan = picture.index(b"\xff\xda", picture.index(b"\xff\xda") + 2)
    strip: dict[int, Values] = {Tag.WIDTH: (50_000,), Tag.HEIGHT: (50_000,), Tag.BITS: (8, 8, 8), Tag.SAMPLES: (3,)}
    strip |= {Tag.COMPRESSION: (8,), Tag.PHOTOMETRIC: (2,), Tag.ROWS_PER_STRIP: (50_000,)}
    small = {**strip, Tag.WIDTH: (500,), Tag.HEIGHT: (500,), Tag.ROWS_PER_STRIP: (500,)}
    plain = with_pillow(fish(width=200, height=200), "TIFF")
    at = struct.unpack_from("<I", plain, 4)[0]
    count = struct.unpack_from("<H", plain, at)[0]
    loop = bytearray(plain)
    struct.pack_into("<I", loop, at + 2 + 12 * count, at)  # the next page is this page
    text = png_chunk(b"zTXt", b"k\0\0" + zeros)
    profile = png_chunk(b"iCCP", b"p\0\0" + zeros)
    pixels = png_chunk(b"IDAT", zlib.compress(bytes((1 + 3 * 200) * 200)))
    gif = io.BytesIO()
    Image.fromarray(np.zeros((2000, 2000), np.uint8)).save(gif, "GIF")
    return {
        "png-declares-50000": png_header(50_000, 50_000) + png_chunk(b"IDAT", zeros) + end,
        "png-inflates-beyond": png_header(200, 200) + png_chunk(b"IDAT", zeros) + end,
        "png-text": png_header(200, 200) + text + pixels + end,
        "png-profile": png_header(200, 200) + profile + pixels + end,
        "png-many-chunks": png_header(200, 200) + png_chunk(b"tEXt", b"k\0v") * 200_000 + pixels + end,
        "jpeg-declares-65000": jpeg_declaring(with_pillow(fish(width=200, height=200), "JPEG"), 65_000, 65_000),
        "jpeg-many-scans": picture[:scan] + picture[scan:-2] * 2_400 + picture[-2:],
        "tiff-declares-50000": write_tiff("<", [(strip, [zeros])]),
        "tiff-inflates-beyond": write_tiff("<", [(small, [zeros])]),
        "tiff-loop": bytes(loop),
        "gif-named-png": gif.getvalue(),
    }


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_no_image_unfolds_in_memory(record_property: Record, tmp_path: Path) -> None:
    proof = Proof(record_property, "Attacks", "Decompression bombs as PNG, TIFF and JPEG, each up to 8 MB")
    files = bombs()
    for name, data in files.items():
        assert len(data) < 8_000_000, name
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", _CHILD, *(str(tmp_path / name) for name in files)]
    child = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    told: dict[str, tuple[str, float, float]] = json.loads(child.stdout)
    for name, (_, grown_mb, seconds) in told.items():
        assert grown_mb < MOST_MB, (name, grown_mb)
        assert seconds < MOST_SECONDS, (name, seconds)
        proof.tries += 1
    for name in ("png-declares-50000", "png-inflates-beyond", "jpeg-declares-65000", "tiff-declares-50000"):
        assert told[f"{name} read_region"][0] != "read", name
    most_mb = max(grown_mb for _, grown_mb, _ in told.values())
    most_s = max(seconds for _, _, seconds in told.values())
    proof.holds(f"refused or read without unfolding; at most {most_mb:.0f} MB and {most_s:.1f} s of processor time")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_no_pkcs12_file_breaks_or_holds_up_the_import(record_property: Record) -> None:
    proof = Proof(record_property, "Attacks", "Malicious PKCS#12: bytes changed, cut, numbers of rounds raised")
    chance = random.Random(12)
    good = external_pkcs12()
    open_external_pkcs12(good, "from outside")
    files = [good[: chance.randrange(len(good))] for _ in range(times(1, 20))]
    files += [good.replace(b"\x02\x02\x08\x00", rounds) for rounds in (b"\x02\x02\x7f\xff", b"\x02\x02\xff\xff")]
    for _ in range(times(2, 100)):
        changed = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        files.append(bytes(changed))
    files += [b"", b"\x30\x80", b"\x30" * 100_000, b"\x30\x84\xff\xff\xff\xff" + bytes(1000)]
    opened = 0
    for data in files:
        try:
            open_external_pkcs12(data, "from outside")
            opened += 1  # a change where it does not matter, such as in a name
        except SigningError as error:
            assert str(error).endswith((".", ")."))
        proof.tries += 1
    proof.holds(
        f"{len(files) - opened} refused in words, {opened} opened as the key they hold; each in a process of its own"
    )
