"""How far a whole path moves if the head is not at the height that the camera assumed.

A face is placed where its ray meets the plane of mean head height. A head at height h truly is at
foot + (place - foot) (H - h) / (H - h0), H the camera's height and the pole's foot the origin: the
same factor for a person's whole stay. This is the error that does not average out, so it is drawn
once per person (stature), once per stay (seated or standing) and once per camera (calibration).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.domain.contacts_model import HeadModel
from controller.domain.types import F64, CameraView

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Body:
    """What is drawn once for a person, over all cameras: (draws,) stature and seated drop."""

    stature: F64
    drop: F64


@dataclass(frozen=True, slots=True)
class Scales:
    """Factors (draws,) on a person's places in one stay: while walking, and while staying."""

    walking: F64
    staying: F64


def draw_body(rng: np.random.Generator, model: HeadModel, draws: int) -> Body:
    """Draw a person's stature, in deviations from the mean head, and their drop on a seat."""
    child = rng.random(draws) < model.children
    spread = np.where(child, model.child_spread, model.adult_spread)
    middle = np.where(child, -model.child_below, 0.0) + model.children * model.child_below
    return Body(middle + spread * rng.standard_normal(draws), rng.standard_normal(draws))


def draw_seats(rng: np.random.Generator, model: HeadModel, draws: int) -> Flags:
    """Draw whether a place is one with seats; it is so for all who stay there."""
    return np.asarray(rng.random(draws) < model.seats)


def scales(
    view: CameraView, body: Body, seats: Flags, model: HeadModel, rng: np.random.Generator
) -> Scales:
    """Return a person's factors in one stay of a calibrated view."""
    if view.camera_height_m is None or view.head_height_m is None:
        raise ValueError("view: not calibrated; leave it out")
    standing = view.head_height_m + (view.head_height_sd_m or 0.0) * body.stature
    drop = model.drop_m + model.drop_sd_m * body.drop
    sits = seats & (rng.random(len(seats)) < model.seated)
    heights = [
        np.clip(height, model.least_height_m, view.camera_height_m - model.least_drop_m)
        for height in (standing, np.where(sits, standing - drop, standing))
    ]
    below = max(view.camera_height_m - view.head_height_m, model.least_drop_m)
    return Scales(*((view.camera_height_m - height) / below for height in heights))
