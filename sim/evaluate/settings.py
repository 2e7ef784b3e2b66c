"""What is evaluated, and at which operating point."""

from dataclasses import dataclass
from typing import Final

from sim.errors import SimError

MAX_CASES: Final = 200
MAX_DAYS: Final = 31
KEEP_ALL_PERSON_DAYS: Final = 60_000
LOCAL_SHARE: Final = 0.03
LOCAL_SHARE_LARGE: Final = 0.005


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """One evaluation run.

    `photos`: mask states of the reference photos of each case. `candidate_share`: share of
    strangers that pass the search (one in a thousand); `local_share`: the same for a queried
    agent's look into its own store, by default three in a hundred, in a large city one in 200.
    `rounds` of asking; `anchors`: what each person said, at most.
    """

    seed: int = 1
    cameras: int = 200
    people: int = 5_000
    days: int = 3
    cases: int = 10
    mask_rate: float = 0.6
    clock_error_s: float = 2.0
    miss_rate: float = 0.2
    photos: tuple[str, ...] = ("unmasked", "masked")
    candidate_share: float = 1e-3
    local_share: float | None = None
    rounds: int = 2
    anchors: int = 0

    @property
    def large(self) -> bool:
        """Tell whether the city is too large to keep all its sightings at hand."""
        return self.people * self.days > KEEP_ALL_PERSON_DAYS

    @property
    def local(self) -> float:
        """Return the share of strangers that pass a queried agent's look."""
        if self.local_share is not None:
            return self.local_share
        return LOCAL_SHARE_LARGE if self.large else LOCAL_SHARE

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        checks = (
            ("cameras", 2 <= self.cameras <= 100_000, "2 to 100,000"),
            ("people", 2 <= self.people <= 2_000_000, "2 to 2,000,000"),
            ("days", 1 <= self.days <= MAX_DAYS, f"1 to {MAX_DAYS}"),
            ("cases", 1 <= self.cases <= min(MAX_CASES, self.people), f"1 to {MAX_CASES}"),
            ("mask_rate", 0 <= self.mask_rate <= 1, "0 to 1"),
            ("clock_error_s", 0 <= self.clock_error_s <= 7200, "0 to 7,200 seconds"),
            ("miss_rate", 0 <= self.miss_rate < 1, "0 to less than 1"),
            ("photos", bool(self.photos) and {*self.photos} <= {"unmasked", "masked"},
             "one or more of unmasked, masked"),
            ("candidate_share", 0 < self.candidate_share <= 0.1, "more than 0, at most 0.1"),
            ("local_share", 0 < self.local <= 0.5, "more than 0, at most 0.5"),
            ("rounds", 0 <= self.rounds <= 5, "0 to 5"),
        )  # fmt: skip
        for name, good, allowed in checks:
            if not good:
                raise SimError(f"{name}: give {allowed}, not {getattr(self, name)}")
