"""A trace as people read it: visits, each with one sentence that says why."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.candidates import MASK_STATES, CandidateTable
from controller.domain.trace_states import ACCEPTED, REVIEW, TableTrace
from controller.domain.types import Decision, Trace, Visit

I64 = NDArray[np.int64]
MAX_REVIEW: Final = 2_000
"""Doubtful sightings shown; beyond it the least likely are counted as rejected."""


def as_trace(found: TableTrace, table: CandidateTable, merge_gap_s: float) -> Trace:
    """Return accepted and doubtful sightings as visits; the rest is counted."""
    doubtful = found.review
    if len(doubtful) > MAX_REVIEW:
        best = np.argsort(-found.posterior[doubtful], kind="stable")[:MAX_REVIEW]
        doubtful = np.sort(doubtful[best])
    accepted = found.accepted
    return Trace(
        visits=_visits(found, table, accepted, "accepted", merge_gap_s),
        review=_visits(found, table, doubtful, "review", merge_gap_s),
        considered=len(table),
        rejected=len(table) - len(accepted) - len(doubtful),
    )


def explained(found: TableTrace, table: CandidateTable, row: int) -> str:
    """Return in one sentence why a candidate was accepted, left for review or rejected."""
    return _sentence(found, table, np.array([row]), row)


def _visits(
    found: TableTrace, table: CandidateTable, rows: I64, decision: Decision, merge_gap_s: float
) -> tuple[Visit, ...]:
    order = np.lexsort((table.end_us[rows], table.start_us[rows]))
    groups: list[list[int]] = []
    for row in rows[order]:
        last = groups[-1][-1] if groups else -1
        near = last >= 0 and table.camera[last] == table.camera[row] and (
            table.start_us[row] - table.end_us[last] <= merge_gap_s * 1e6
        )  # fmt: skip
        if near:
            groups[-1].append(int(row))
        else:
            groups.append([int(row)])
    return tuple(_visit(found, table, np.array(group), decision) for group in groups)


def _visit(found: TableTrace, table: CandidateTable, rows: I64, decision: Decision) -> Visit:
    best = int(rows[np.argmax(table.llr[rows])])
    members = [table.candidate(int(row)) for row in rows]
    return Visit(
        camera_id=members[0].camera_id,
        start_us=min(c.start_us for c in members),
        end_us=max(c.end_us for c in members),
        sighting_ids=tuple(c.sighting_id for c in members),
        posterior=float(found.posterior[rows].max()),
        similarity=float(table.similarity[best]),
        llr=float(table.llr[best]),
        decision=decision,
        explanation=_sentence(found, table, rows, best),
    )


def _sentence(found: TableTrace, table: CandidateTable, rows: I64, best: int) -> str:
    count = "one sighting" if len(rows) == 1 else f"{len(rows)} sightings"
    face = (
        f"similarity {table.similarity[best]:.2f} ({MASK_STATES[table.mask[best]]}) makes this "
        f"person e^{table.llr[best]:.1f} times likelier than a stranger, against prior odds of "
        f"e^{found.entry_cost:.1f}"
    )
    return f"{count}: {face}; {_why(found, best)}; posterior {found.posterior[best]:.3f}."


def _why(found: TableTrace, row: int) -> str:
    if row in found.confirmed:
        return "a reviewer confirmed it"
    odds = found.run_odds[row]
    if found.state[row] == ACCEPTED:
        return (
            "reachable in time from the other accepted places, and one look-alike is e^"
            f"{min(odds, 50.0):.1f} times less likely to have made this stretch"
        )
    if odds < 0:
        return (
            "a look-alike who walked past explains this stretch "
            f"e^{-odds:.1f} times better than the subject"
        )
    if found.state[row] == REVIEW:
        return "not certain enough to accept without a look"
    return "nothing near it in space and time supports it"
