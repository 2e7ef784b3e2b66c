"""`sightline-agent calibrate`: where a camera hangs and looks, from points or a board."""

import json
import textwrap
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from agent.errors import AgentError
from agent.vision.calibrate import Lens
from agent.vision.calibration_report import Report
from agent.vision.chain import decode_picture, encode_jpeg
from agent.vision.charuco import (
    BoardSpec,
    calibrate_lens,
    calibrate_on_board,
    find_board,
    ground_pairs,
)
from agent.vision.fit_checks import calibrate_from_points
from agent.vision.ground import CalibrationInvalid
from agent.vision.pairs import read_pairs
from agent.vision.preview import draw_preview
from agent.vision.types import U8

app = typer.Typer(no_args_is_help=True, help="Find where the camera hangs and looks.")

BAD_INPUT_EXIT = 2
COLUMNS = 80
MAX_PICTURE_BYTES = 50_000_000

Out = Annotated[Path, typer.Option(help="the calibration file to write")]
Preview = Annotated[Path | None, typer.Option(help="grid picture, else beside --out")]
Name = Annotated[str, typer.Option("--id", help="the camera's name; a hash is added")]
Height = Annotated[float | None, typer.Option(help="measured height of the lens, metres")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command()
def points(
    picture: Annotated[Path, typer.Argument(help="a picture from this camera")],
    pairs: Annotated[Path, typer.Argument(help="CSV or JSON: px,py,x_m,y_m[,z_m][,name]")],
    out: Out,
    preview: Preview = None,
    name: Name = "camera",
    height: Height = None,
    as_json: AsJson = False,
) -> None:
    """Calibrate from 4 or more pairs: a pixel and the ground point it shows.

    Metres from the pole's foot: x to the right, y away from the camera, z up.
    """
    try:
        image, given = _picture(picture), read_pairs(pairs)
        fit = calibrate_from_points(given, size_wh=_size(image), height_m=height)
        report = Report(name, "points", fit, given, height is not None)
        _finish(report, image, out, preview, as_json=as_json)
    except AgentError as error:
        _fail(error, as_json=as_json)


@app.command()
def board(
    pictures: Annotated[list[Path], typer.Argument(help="4 or more pictures of the board")],
    out: Out,
    ground: Annotated[Path, typer.Option(help="a picture from the camera where it hangs")],
    columns: Annotated[int, typer.Option(help="squares across")],
    rows: Annotated[int, typer.Option(help="squares down")],
    square_mm: Annotated[float, typer.Option(help="a square's side")],
    marker_mm: Annotated[float, typer.Option(help="a marker's side")],
    dictionary: Annotated[str, typer.Option(help="the markers' family")] = "DICT_5X5_100",
    at: Annotated[
        tuple[float, float] | None,
        typer.Option(help="where the board's lower left corner lies: x y, metres"),
    ] = None,
    turn: Annotated[float, typer.Option(help="degrees the board is turned left")] = 0.0,
    pairs: Annotated[Path | None, typer.Option(help="point pairs in --ground, not a board")] = None,
    preview: Preview = None,
    name: Name = "camera",
    height: Height = None,
    as_json: AsJson = False,
) -> None:
    """Calibrate the lens with a ChArUco board; the place with the board or pairs.

    Give --at if the board lies on the ground in the picture --ground, else --pairs.
    """
    try:
        spec = BoardSpec(columns, rows, square_mm / 1000, marker_mm / 1000, dictionary)
        image = _picture(ground)
        found = calibrate_lens([find_board(spec, _picture(p), p.name) for p in pictures])
        _check_same_size(ground, image, found.lens)
        if pairs is not None:
            report = _by_pairs(name, found.lens, pairs, height)
        else:
            report = _by_board(name, found.lens, spec, image, at, turn, height)
        _finish(report, image, out, preview, as_json=as_json)
    except AgentError as error:
        _fail(error, as_json=as_json)


def _by_pairs(name: str, lens: Lens, pairs: Path, height: float | None) -> Report:
    given = read_pairs(pairs)
    fit = calibrate_from_points(given, lens, size_wh=lens.size_wh, height_m=height)
    return Report(name, "board and points", fit, given, height is not None)


def _by_board(
    name: str, lens: Lens, spec: BoardSpec, image: U8,
    at: tuple[float, float] | None, turn: float, height: float | None,
) -> Report:  # fmt: skip
    if at is None:
        raise CalibrationInvalid("at: is missing; give --at x y for a lying board, or --pairs")
    corners = ground_pairs(find_board(spec, image, "--ground"), at, turn)
    fit = calibrate_on_board(corners, lens, height_m=height)
    return Report(name, "board", fit, [], height is not None)


def _check_same_size(path: Path, image: U8, lens: Lens) -> None:
    if _size(image) != lens.size_wh:
        raise CalibrationInvalid(
            f"ground {path}: is {_size(image)[0]} x {_size(image)[1]}, the board's pictures "
            f"{lens.size_wh[0]} x {lens.size_wh[1]}; take all with the same settings"
        )


def _finish(report: Report, image: U8, out: Path, asked: Path | None, *, as_json: bool) -> None:
    record, preview = report.as_json(), asked or out.with_name(f"{out.stem}.preview.jpg")
    drawn = draw_preview(image, report.fit.camera, report.pairs, report.usable_m)
    _write(preview, encode_jpeg(drawn))
    # Last, so that a calibration is only there if everything else went well.
    _write(out, (json.dumps(record, indent=2) + "\n").encode())
    if as_json:
        typer.echo(json.dumps({**record, "out": str(out), "preview": str(preview)}))
        return
    typer.echo(f"camera   {record['id']}")
    for line in report.lines():
        typer.echo(line)
    for warning in report.warnings():
        typer.echo(_wrapped(f"WARN     {warning}"))
    typer.echo(f"written  {out}")
    typer.echo(f"look at  {preview}: does the grid lie on the ground?")


def _picture(path: Path) -> U8:
    try:
        large = path.stat().st_size > MAX_PICTURE_BYTES
        image = None if large else decode_picture(path.read_bytes())
    except OSError as error:
        raise AgentError(f"picture {path}: {error.strerror}; give a readable file") from None
    if image is None:
        raise AgentError(f"picture {path}: is no picture; give a JPEG or PNG file up to 50 MB")
    return image


def _size(image: U8) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise AgentError(f"out {path}: {error.strerror}; name a file that can be written") from None


def _wrapped(text: str) -> str:
    return textwrap.fill(text, COLUMNS, subsequent_indent=" " * 9, break_long_words=False)


def _fail(error: AgentError, *, as_json: bool) -> NoReturn:
    field, _, rest = str(error).partition(":")
    if as_json:
        typer.echo(json.dumps({"error": {"field": field.split()[0], "message": rest.strip()}}))
    else:
        typer.echo(_wrapped(f"sightline-agent: {error}"), err=True)
    raise typer.Exit(BAD_INPUT_EXIT)
