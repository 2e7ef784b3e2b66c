"""A threshold is a promise: so many strangers a day, whoever the photo resembles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain.candidates import MASK_STATES
from controller.domain.match import Calibration, PairModel
from controller.domain.openset import MIN_SAMPLE, operating_point

PAIR = PairModel(0.0, 0.13, 0.7, 0.15, 1.1)
CALIBRATION = Calibration.from_mapping(
    {
        name: {"impostor_mean": 0.0, "impostor_sd": 0.13, "genuine_mean": 0.7, "genuine_sd": 0.15}
        for name in ("unmasked-unmasked", "masked-unmasked", "masked-masked")
    },
    band={
        "unmasked-unmasked": [
            {"below": 0.3, "genuine_mean": 0.5, "genuine_sd": 0.2},
            {"below": 1.0, "genuine_mean": 0.8, "genuine_sd": 0.13},
        ]
    },
    variant={"int8-full": 0.03},
)
UNMASKED = MASK_STATES.index("unmasked")


def strangers(sd: float, count: int, seed: int = 0) -> np.ndarray:
    """Draw cosines of random directions in 1 / sd^2 dimensions."""
    rng = np.random.default_rng(seed)
    free = 1 / sd**2 - 1
    t = rng.standard_t(free, count)
    return t / np.sqrt(free + t * t)


def test_a_threshold_lets_the_expected_number_of_strangers_through() -> None:
    cosines = strangers(0.13, 2_000_000)
    for wanted in (20, 200, 2_000):
        limit = PairModel(0.0, 0.13, 0.7, 0.15).threshold(
            strangers=len(cosines), false_candidates=wanted
        )
        assert (cosines >= limit).sum() == pytest.approx(wanted, rel=0.5 if wanted < 100 else 0.2)


@given(share=st.floats(1e-9, 0.4), sd=st.floats(0.08, 0.2), tail=st.floats(0.9, 1.2))
def test_share_and_threshold_are_each_others_inverse(share: float, sd: float, tail: float) -> None:
    model = PairModel(0.01, sd, 0.7, 0.15, tail)
    limit = model.threshold(strangers=10**12, false_candidates=share * 10**12)
    assert model.false_share(np.array([limit]))[0] == pytest.approx(share, rel=1e-3)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=50))
def test_evidence_never_falls_as_the_cosine_rises(cosines: list[float]) -> None:
    assert np.all(np.diff(PAIR.llrs(np.sort(cosines))) >= -1e-9)


@given(mean=st.floats(-0.1, 0.2), sd=st.floats(0.09, 0.18), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_a_photo_that_resembles_everybody_is_held_to_its_own_strangers(
    mean: float, sd: float, seed: int
) -> None:
    sample = (mean + strangers(sd, 24_000, seed))[:, None].astype(np.float32)
    point = operating_point(
        CALIBRATION, ["unmasked"], strangers_per_day=500_000, false_per_day=500,
        sample=sample, sample_masks=np.full(len(sample), UNMASKED, np.uint8),
    )  # fmt: skip
    assert point.evidence[0][UNMASKED].self_calibrated
    others = mean + strangers(sd, 500_000, seed + 1)
    # One sample of 24,000 tells one tail to about a factor of two and a half.
    assert 170 < (others >= point.min_similarity[0, UNMASKED]).sum() < 1_500


def test_the_subjects_own_sightings_in_the_sample_do_not_raise_the_bar() -> None:
    sample = strangers(0.13, 6_000)
    with_own = np.concatenate([sample, np.full(40, 0.8)])
    limits = [
        operating_point(
            CALIBRATION, ["unmasked"], strangers_per_day=10_000, false_per_day=20,
            sample=cosines[:, None].astype(np.float32),
            sample_masks=np.full(len(cosines), UNMASKED, np.uint8),
        ).min_similarity[0, UNMASKED]
        for cosines in (sample, with_own)
    ]  # fmt: skip
    assert limits[1] == pytest.approx(limits[0], abs=0.01)


def test_a_small_sample_is_not_believed() -> None:
    point = operating_point(
        CALIBRATION, ["masked"], strangers_per_day=1_000, false_per_day=1,
        sample=np.full((MIN_SAMPLE - 1, 1), 0.9, np.float32),
        sample_masks=np.full(MIN_SAMPLE - 1, UNMASKED, np.uint8),
    )  # fmt: skip
    assert not any(one.self_calibrated for one in point.evidence[0])


def test_several_photos_share_the_allowance() -> None:
    one, three = (
        operating_point(CALIBRATION, ["unmasked"] * n, strangers_per_day=10**6, false_per_day=30)
        for n in (1, 3)
    )
    assert np.all(three.min_similarity[0] > one.min_similarity[0])
    least = float(three.min_similarity[0, 0])
    assert three.expected_false(least, 0, 0) == pytest.approx(10, rel=0.01)


def test_a_poor_sighting_is_weaker_evidence_against_and_a_good_one_stronger_for() -> None:
    point = operating_point(CALIBRATION, ["unmasked"], strangers_per_day=1_000, false_per_day=1)
    cosines = np.array([[0.75], [0.75], [0.35], [0.35]], np.float32)
    quality = np.array([0.1, 0.9, 0.1, 0.9])
    llrs = point.llrs(
        cosines, np.full(4, UNMASKED, np.uint8), quality, ("float",), np.zeros(4, np.uint8)
    )[:, 0]
    assert llrs[1] > llrs[0]
    assert llrs[2] > llrs[3]


def test_a_weaker_variant_expects_less_of_the_same_person() -> None:
    pair = CALIBRATION.pairs["masked-masked"]
    weaker = CALIBRATION.refined(pair, "masked-masked", 0, "int8-full-centerface-fp16-plain")
    assert weaker.genuine_mean == pytest.approx(pair.genuine_mean - 0.03)
    assert CALIBRATION.refined(pair, "masked-masked", 0, "int8-centerface") == pair


def test_a_decision_is_explained_with_photo_calibration_and_threshold() -> None:
    point = operating_point(CALIBRATION, ["unmasked"], strangers_per_day=10**6, false_per_day=20)
    above, below = (point.explain(cosine, 0, UNMASKED) for cosine in (0.8, 0.3))
    assert "photo 1, unmasked-unmasked: cosine 0.800" in above
    assert "it is a candidate" in above
    assert "below the operating point" in below
    assert "the model's table" in below


@pytest.mark.parametrize(
    ("change", "words"),
    [({"missing": True}, "masked-masked"), ({"band": {"other": []}}, "band.'other'")],
)
def test_a_malformed_calibration_names_the_table(change: dict[str, object], words: str) -> None:
    table = {
        name: {"impostor_mean": 0.0, "impostor_sd": 0.1, "genuine_mean": 0.7, "genuine_sd": 0.1}
        for name in ("unmasked-unmasked", "masked-unmasked", "masked-masked")
    }
    if change.pop("missing", False):
        del table["masked-masked"]
    with pytest.raises(ValueError, match=words):
        Calibration.from_mapping(table, **change)  # type: ignore[arg-type]
