"""What a technician is told about a calibration, and the file that the box reads."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from agent.vision.calibrate import Fit
from agent.vision.fit_checks import place_errors_m
from agent.vision.pairs import PointPair

FEW_PAIRS: Final = 6
FAR_FROM_FOOT_M: Final = 2.0
HIGH_M: Final = 10.0
MUCH_SHORTER: Final = 0.8


@dataclass(frozen=True, slots=True)
class Report:
    """A fit with its errors in words and numbers; `pairs` are those that were clicked."""

    name: str
    method: str
    fit: Fit
    pairs: Sequence[PointPair]
    height_measured: bool

    @property
    def usable_m(self) -> tuple[float, float]:
        """Return the usable range; the fit was refused if it had none."""
        return self.fit.usable_range_m() or (0.0, 0.0)

    def as_json(self) -> dict[str, Any]:
        """Return the calibration file: what `parse_calibration` reads, and its `quality`."""
        camera = self.fit.camera
        fields: dict[str, Any] = {
            "image_size_wh": list(camera.image_size_wh),
            "camera_matrix": camera.camera_matrix.tolist(),
            "distortion": camera.distortion.tolist(),
            "rotation": camera.rotation.tolist(),
            "translation": camera.translation.tolist(),
        }
        # A new fit is a new id, so that sightings say which calibration placed them.
        digest = hashlib.sha256(repr(fields).encode()).hexdigest()[:8]
        return {"id": f"{self.name[:48]}-{digest}", **fields, "quality": self._quality()}

    def lines(self) -> list[str]:
        """Return the report as lines of at most 80 columns."""
        camera, (near, far) = self.fit.camera, self.usable_m
        x_m, y_m, height_m = camera.centre_m
        bent = "as the board shows" if camera.distortion.any() else "taken as straight"
        return [
            f"height   {height_m:.2f} m (+/- {self.fit.height_sd_m:.2f}), "
            f"{math.hypot(x_m, y_m):.2f} m from the pole's foot",
            f"tilt     {self._tilt_deg():.1f} degrees down",
            f"lens     {camera.camera_matrix[0, 0]:.0f} px (+/- {self._focal_sd_px():.0f}), {bent}",
            f"usable   {near:.1f} to {far:.1f} m: there a head is placed to 1.5 m or better",
            *self._table(),
        ]

    def warnings(self) -> list[str]:
        """Return what makes the calibration worse than it could be, each with its mend."""
        camera, found = self.fit.camera, []
        off_m = float(np.hypot(*camera.centre_m[:2]))
        if self.method == "points" and len(self.pairs) < FEW_PAIRS:
            found.append(f"{len(self.pairs)} pairs hardly show a wrong one; give {FEW_PAIRS}")
        if off_m > FAR_FROM_FOOT_M:
            found.append(f"the camera is {off_m:.1f} m from the pole's foot; is it the origin?")
        if camera.height_m > HIGH_M and not self.height_measured:
            found.append(f"{camera.height_m:.0f} m is high; metres, not feet? Give --height")
        best = camera.usable_range_m()
        if best and self.usable_m[1] < MUCH_SHORTER * best[1]:
            found.append(f"with better or farther pairs it would be usable to {best[1]:.0f} m")
        return found

    def errors(self) -> list[dict[str, Any]]:
        """Return each clicked pair's error in pixels and, where it meets the ground, in cm."""
        places = place_errors_m(self.pairs, self.fit.camera)
        pixels = np.linalg.norm(self.fit.errors_px[: len(self.pairs)], axis=1)
        return [
            {
                "name": pair.name,
                "error_px": round(float(px), 2),
                "error_cm": None if m is None else round(float(np.hypot(*m)) * 100, 1),
            }
            for pair, px, m in zip(self.pairs, pixels, places, strict=True)
        ]

    def _table(self) -> list[str]:
        if not self.pairs:
            return [f"corners  {self._rms_px():.2f} px off (root mean square)"]
        rows = [f"{'pair':<22}{'off px':>8}{'off cm':>10}"]
        for row in self.errors():
            centimetres = "-" if row["error_cm"] is None else f"{row['error_cm']:.1f}"
            rows.append(f"{row['name']:<22}{row['error_px']:>8.1f}{centimetres:>10}")
        return rows

    def _quality(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "height_m": round(self.fit.camera.height_m, 3),
            "height_sd_m": round(self.fit.height_sd_m, 3),
            "focal_sd_px": round(self._focal_sd_px(), 1),
            "tilt_deg": round(self._tilt_deg(), 2),
            "rms_px": round(self._rms_px(), 3),
            "misfit": round(self.fit.misfit, 2),
            "usable_range_m": [round(m, 2) for m in self.usable_m],
            "pairs": self.errors(),
            "warnings": self.warnings(),
        }

    def _rms_px(self) -> float:
        return float(np.sqrt(np.mean(np.sum(self.fit.errors_px**2, axis=1))))

    def _tilt_deg(self) -> float:
        return -math.degrees(math.asin(float(np.clip(self.fit.camera.rotation[2, 2], -1, 1))))

    def _focal_sd_px(self) -> float:
        relative = math.sqrt(float(self.fit.covariance[0, 0]))
        return float(self.fit.camera.camera_matrix[0, 0]) * relative
