"""Contact rules as versioned files: what counts as a contact, and in which days.

A rule is a TOML file of schema 1. It is checked field by field, so that a rule which somebody
wrote by hand either means exactly what it says or is refused with the field and the mend.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, Literal

from controller.errors import ControllerError

SCHEMA: Final = 1
DEFAULT_RULE: Final = "cdc-2020-10-21"
RULES: Final = Path(__file__).parent / "rules"
NUMBERS: Final[Mapping[str, tuple[float, float]]] = {
    "distance_m": (0.3, 10.0),
    "minutes": (0.5, 1440.0),
    "window_h": (0.25, 336.0),
    "sure": (0.75, 0.999),
}
DAYS: Final[Mapping[str, tuple[int, int]]] = {
    "days_before_onset": (0, 14),
    "days_after_onset": (0, 60),
}
TEXTS: Final = ("name", "source")
OPTIONAL: Final = ("sure", "source", "days_after_onset")
MAX_TEXT_CHARS: Final = 200


class RuleInvalid(ControllerError):
    """A contact rule cannot be used; the message names the file, the field and the mend."""


class RuleUnknown(RuleInvalid, KeyError):
    """No packaged rule has this name."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class ContactRule:
    """A named, versioned definition of a contact.

    At least `minutes` within `distance_m` in any `window_h` hours, while the case was infectious:
    from `days_before_onset` to `days_after_onset` around the symptoms' onset, or around the
    specimen's day for a case without symptoms. `sure` is how probable an answer must be: at 0.85
    the undecided stay below a tenth of those who came near, at 0.95 they do not (docs/contacts.md).
    """

    name: str
    distance_m: float
    minutes: float
    window_h: float
    days_before_onset: int
    days_after_onset: int = 10
    sure: float = 0.85
    source: str = ""


@dataclass(frozen=True, slots=True)
class InfectiousWindow:
    """From when to when (not included) a case counts as infectious, and what that follows from."""

    start_us: int
    end_us: int
    basis: Literal["onset", "specimen"]


def load_rule(name: str = DEFAULT_RULE) -> ContactRule:
    """Load a packaged rule by its name; `RuleUnknown` names those there are."""
    known = {path.stem: path for path in RULES.glob("*.toml")}
    if name not in known:
        raise RuleUnknown(f"rule {name!r}: use one of {', '.join(sorted(known))}")
    rule = parse_rule(known[name].read_text(encoding="utf-8"), origin=known[name].name)
    if rule.name != name:
        raise RuleInvalid(f"{known[name].name}: name: is {rule.name!r}; write {name!r}")
    return rule


def parse_rule(text: str, *, origin: str) -> ContactRule:
    """Read a rule's TOML text; `RuleInvalid` names `origin`, the field and the mend."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleInvalid(f"{origin}: not TOML ({error}); correct that line") from None
    if raw.pop("schema", None) != SCHEMA:
        raise RuleInvalid(f"{origin}: schema: must be {SCHEMA}; write schema = {SCHEMA}")
    _check_names(raw, origin)
    for name in TEXTS:
        _check_text(raw, name, origin)
    for name, bounds in NUMBERS.items():
        _check_number(raw, name, bounds, origin)
    for name, days in DAYS.items():
        _check_days(raw, name, days, origin)
    return ContactRule(**raw)


def infectious_window(
    rule: ContactRule, *, onset: date | None, specimen: date | None, zone: tzinfo
) -> InfectiousWindow | None:
    """Return when the case was infectious, or None if neither day is known.

    Days are those of the city's `zone`, so a day of a clock change has 23 or 25 hours. The onset
    goes before the specimen.
    """
    day = onset or specimen
    if day is None:
        return None
    first = day - timedelta(days=rule.days_before_onset)
    beyond = day + timedelta(days=rule.days_after_onset + 1)
    return InfectiousWindow(
        _midnight_us(first, zone), _midnight_us(beyond, zone), "onset" if onset else "specimen"
    )


def _midnight_us(day: date, zone: tzinfo) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1_000_000


def _check_names(raw: Mapping[str, Any], origin: str) -> None:
    known = [field.name for field in fields(ContactRule)]
    for name in raw:
        if name not in known:
            raise RuleInvalid(f"{origin}: {name}: unknown; use {', '.join(known)}")
    for name in known:
        if name not in raw and name not in OPTIONAL:
            raise RuleInvalid(f"{origin}: {name}: missing; add it")


def _check_text(raw: Mapping[str, Any], name: str, origin: str) -> None:
    value = raw.get(name, "-")
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_CHARS:
        raise RuleInvalid(f"{origin}: {name}: write 1 to {MAX_TEXT_CHARS} characters in quotes")


def _check_number(raw: dict[str, Any], name: str, bounds: tuple[float, float], origin: str) -> None:
    value = raw.get(name, bounds[0])
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not bounds[0] <= value <= bounds[1]:
        raise RuleInvalid(
            f"{origin}: {name}: is {value!r}; write a number from {bounds[0]:g} to {bounds[1]:g}"
        )
    if name in raw:
        raw[name] = float(value)


def _check_days(raw: Mapping[str, Any], name: str, bounds: tuple[int, int], origin: str) -> None:
    value = raw.get(name, bounds[0])
    if not isinstance(value, int) or isinstance(value, bool) or not (
        bounds[0] <= value <= bounds[1]
    ):  # fmt: skip
        raise RuleInvalid(
            f"{origin}: {name}: is {value!r}; write whole days from {bounds[0]} to {bounds[1]}"
        )
