"""Contact, no contact or undecided, with the reason in one sentence."""

from dataclasses import dataclass
from typing import Literal

from controller.domain.contacts_rules import ContactRule
from controller.domain.types import ContactDecision

Doubt = Literal["heights", "hidden", "links"]


@dataclass(frozen=True, slots=True)
class Tally:
    """A contact's minutes: expected, their 90 % interval, as seen and as possible; P(rule met).

    `doubt` is what makes it undecided, if it is: unknown head heights, faces hidden for long, or
    unsure links between its tracklets.
    """

    minutes: float
    interval: tuple[float, float]
    seen: float
    possible: float
    probability: float
    doubt: Doubt


def decide(probability: float, sure: float) -> ContactDecision:
    """Return the answer that is probable enough, or undecided.

    That is undecided where the central interval of `2 sure - 1` straddles the rule's minutes: with
    0.95 the 90 % interval, with the packaged rules' 0.85 the 70 % interval.
    """
    if probability >= sure:
        return "contact"
    return "no_contact" if probability <= 1 - sure else "undecided"


def reason(decision: ContactDecision, tally: Tally, rule: ContactRule) -> str:
    """Say in one sentence what was found and why the answer follows."""
    verdict = {
        "contact": "meets the rule",
        "no_contact": "does not meet the rule",
        "undecided": "may or may not meet the rule",
    }[decision]
    doubt = {
        "heights": "the unknown heights of the heads leave the distance open",
        "hidden": "a face was hidden for long",
        "links": "it is not sure that all sightings are of one person",
    }[tally.doubt]
    why = f"; {doubt}" if decision == "undecided" else ""
    return (
        f"{tally.minutes:.1f} min within {rule.distance_m:g} m "
        f"(90 %: {tally.interval[0]:.1f}-{tally.interval[1]:.1f}; {tally.seen:.1f} seen, "
        f"{tally.possible:.1f} possible) {verdict} of {rule.minutes:g} min in {rule.window_h:g} h "
        f"(probability {tally.probability:.2f}, rule {rule.name}){why}."
    )
