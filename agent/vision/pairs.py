"""Point pairs: a pixel of the picture and the measured place on the ground that it shows."""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from agent.vision.ground import F64, CalibrationInvalid

FIELDS: Final = ("px", "py", "x_m", "y_m")
MIN_PAIRS: Final = 4
MAX_PAIRS: Final = 200
MAX_FILE_BYTES: Final = 1_000_000
FARTHEST_M: Final = 150.0
"""Nobody measures farther with a tape; numbers beyond are centimetres."""
SAME_PX: Final = 2.0
SAME_M: Final = 0.05
LINE_SHARE: Final = 0.03
"""Points count as on one line if their width is a smaller share of their length."""
MIN_SPREAD: Final = 0.03
"""The smallest share of the picture that the pairs must span."""


class PairsInvalid(CalibrationInvalid):
    """The point pairs cannot fix a camera."""


@dataclass(frozen=True, slots=True)
class PointPair:
    """A pixel and the point it shows: metres from the pole's foot, x right, y ahead, z up."""

    name: str
    pixel_xy: tuple[float, float]
    ground_m: tuple[float, float, float]


def read_pairs(path: Path) -> list[PointPair]:
    """Read pairs from CSV (header `px,py,x_m,y_m[,z_m][,name]`) or JSON (a list of such objects).

    Raises `PairsInvalid`, which names the row and the field.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PairsInvalid(f"pairs {path}: is larger than 1 MB; give the file of point pairs")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PairsInvalid(f"pairs {path}: {error.strerror}; give a readable file") from None
    except UnicodeDecodeError:
        raise PairsInvalid(f"pairs {path}: is no text; save it as CSV or JSON") from None
    rows = _json_rows(text) if path.suffix.lower() == ".json" else _csv_rows(text)
    pairs = [_pair(row, number) for number, row in enumerate(rows, start=1)]
    if len(pairs) > MAX_PAIRS:
        raise PairsInvalid(f"pairs: {len(pairs)} given; {MAX_PAIRS} are enough")
    return pairs


def check_pairs(pairs: Sequence[PointPair], size_wh: tuple[int, int]) -> None:
    """Refuse pairs that cannot fix a camera, whatever the camera; raises `PairsInvalid`."""
    for pair in pairs:
        _check_numbers(pair, size_wh)
    if len(pairs) < MIN_PAIRS:
        raise PairsInvalid(
            f"pairs: only {len(pairs)} given; at least {MIN_PAIRS} are needed, 6 are better"
        )
    for one, two in combinations(pairs, 2):
        _check_apart(one, two)
    _check_lines(pairs)
    hull = cv2.convexHull(pixels_of(pairs).astype(np.float32))
    share = cv2.contourArea(hull) / (size_wh[0] * size_wh[1])
    if share < MIN_SPREAD:
        raise PairsInvalid(
            f"pairs: all lie in one small part of the picture ({share:.1%} of it); "
            "spread them over the whole ground you see, near and far, left and right"
        )


def pixels_of(pairs: Sequence[PointPair]) -> F64:
    """Return the pairs' pixels, (N, 2)."""
    return np.array([p.pixel_xy for p in pairs], float).reshape(-1, 2)


def ground_of(pairs: Sequence[PointPair]) -> F64:
    """Return the pairs' ground points in metres, (N, 3)."""
    return np.array([p.ground_m for p in pairs], float).reshape(-1, 3)


def _csv_rows(text: str) -> Iterator[dict[str, Any]]:
    first = text.split("\n", 1)[0]
    reader = csv.DictReader(StringIO(text), delimiter=";" if ";" in first else ",")
    header = [name.strip() for name in reader.fieldnames or []]
    if missing := [f for f in FIELDS if f not in header]:
        raise PairsInvalid(
            f"pairs: the first line lacks {missing[0]}; begin the file with px,py,x_m,y_m,z_m,name"
        )
    reader.fieldnames = header
    return (row for row in reader if any(row.values()))


def _json_rows(text: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise PairsInvalid(f"pairs: no JSON ({error}); mend the file or give CSV") from None
    rows = rows.get("pairs") if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PairsInvalid('pairs: give a list like [{"px": 1, "py": 2, "x_m": 3, "y_m": 4}, ...]')
    return rows


def _pair(row: dict[str, Any], number: int) -> PointPair:
    name = str(row.get("name") or number).strip()[:20]
    values = [_number(row.get(field), field, name) for field in FIELDS]
    height = row.get("z_m")
    z_m = 0.0 if height in (None, "") else _number(height, "z_m", name)
    return PointPair(name, (values[0], values[1]), (values[2], values[3], z_m))


def _number(value: object, field: str, name: str) -> float:
    try:
        return float(str(value).strip())
    except ValueError:
        shown = "nothing" if value in (None, "") else repr(value)
        raise PairsInvalid(
            f"pairs {name}: {field} is {shown}; write a number such as 3.5, with a point"
        ) from None


def _check_numbers(pair: PointPair, size_wh: tuple[int, int]) -> None:
    if not all(map(math.isfinite, (*pair.pixel_xy, *pair.ground_m))):
        raise PairsInvalid(f"pairs {pair.name}: not a finite number; measure it again")
    if not all(0 <= p <= size for p, size in zip(pair.pixel_xy, size_wh, strict=True)):
        raise PairsInvalid(
            f"pairs {pair.name}: the pixel ({pair.pixel_xy[0]:.0f}, {pair.pixel_xy[1]:.0f}) is "
            f"outside the picture of {size_wh[0]} x {size_wh[1]}; read it off this very picture"
        )
    if max(map(abs, pair.ground_m)) > FARTHEST_M:
        raise PairsInvalid(
            f"pairs {pair.name}: {max(pair.ground_m, key=abs):g} m from the pole is too far; "
            "give metres, not centimetres"
        )


def _check_apart(one: PointPair, two: PointPair) -> None:
    names = f"pairs {one.name} and {two.name}"
    if math.dist(one.ground_m, two.ground_m) < SAME_M:
        raise PairsInvalid(f"{names}: are the same ground point; remove one")
    if math.dist(one.pixel_xy, two.pixel_xy) < SAME_PX:
        raise PairsInvalid(f"{names}: are the same pixel; click one of them again")


def _check_lines(pairs: Sequence[PointPair]) -> None:
    for points in (pixels_of(pairs), ground_of(pairs)):
        if _on_line(points):
            raise PairsInvalid("pairs: all lie on one line; add pairs well to its left and right")
        for i, pair in enumerate(pairs):
            # Four pairs with three on a line leave the camera free to turn about it.
            if _on_line(np.delete(points, i, axis=0)):
                raise PairsInvalid(
                    f"pairs: all but {pair.name} lie on one line; add a pair off that line"
                )


def _on_line(points: F64) -> bool:
    """Say whether points (N, D) are much longer than wide, measured about their best line."""
    centred = points - points.mean(axis=0)
    axis = np.linalg.svd(centred)[2][0]
    along = centred @ axis
    across = np.linalg.norm(centred - np.outer(along, axis), axis=1)
    return bool(across.max() < LINE_SHARE * np.ptp(along))
