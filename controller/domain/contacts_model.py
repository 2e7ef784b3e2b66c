"""What is assumed about people in front of a camera, in one place, with where it comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeadModel:
    """How high heads are: adults and children stand, or sit where there are seats.

    Standing heads are as the camera's agent says (1.55 m +/- 0.12 m), which is two populations: a
    share `children` is `child_below` of those deviations below the adults, who spread by
    `adult_spread` of it, and children by `child_spread` (Size Korea, 8th survey, 2020-23: adults
    of both sexes 1.66 m +/- 0.09 m, children of 6 to 12 years 1.36 m +/- 0.12 m; the face's middle
    is 0.09 m lower in shoes). A seated head is `drop_m` lower: sitting eye height above a 0.43 m
    seat is 1.2 m for a person of that stature (Pheasant and Haslegrave, Bodyspace, 2006). A share
    `seats` of the places where people stay has seats, and a share `seated` of those who stay there
    sits: who stays together is mostly in one posture. `scale_sd` is what a good calibration leaves
    unknown of a camera's own height and tilt, common to all that it sees; `turn_sd_m` is how far a
    turned face is from its head. Heads below `least_height_m`, or less than `least_drop_m` under
    the camera, are taken as there.
    """

    children: float = 0.08
    child_below: float = 2.4
    child_spread: float = 0.92
    adult_spread: float = 0.71
    drop_m: float = 0.36
    drop_sd_m: float = 0.05
    seats: float = 0.4
    seated: float = 0.9
    scale_sd: float = 0.015
    turn_sd_m: float = 0.06
    least_height_m: float = 0.9
    least_drop_m: float = 0.2


@dataclass(frozen=True, slots=True)
class SpacingModel:
    """How far apart two people who stay at one place are, before anything was measured.

    A share `companions` of such pairs keeps company, at a lognormal distance of median `median_m`
    and log spread `spread`: 0.8 m in walking groups (Moussaid et al., PLoS ONE 2010), 0.8 to 1.1 m
    for acquaintances (Sorokowska et al., J. Cross-Cult. Psychol. 2017). The others are anywhere
    within `around_m`, evenly over the ground. Companions also come within `sync_s` of each other,
    and go so, each in a share `both_ends`; what that says counts for at most `most_evidence` (log
    odds) either way.
    """

    companions: float = 0.35
    median_m: float = 0.9
    spread: float = 0.5
    around_m: float = 7.0
    sync_s: float = 4.0
    most_evidence: float = 1.0
    both_ends: float = 0.85


@dataclass(frozen=True, slots=True)
class PresenceModel:
    """Where somebody is while no face is seen: still there, or gone for a while.

    Hidden spells (a turned head, a passer-by in between) last as a mixture of two exponentials,
    absences (`away_mean_s`) as a third; `away_per_gap` is how many absences there are for each
    hidden spell, nearly all of them of the share `leavers` of people. Somebody hidden wanders like
    a Brownian bridge of `wander_m2_s`, no further than `wander_max_m`.

    Before a stay's own gaps are known, a share `usual_hidden` of it is taken as hidden, with the
    weight of `usual_weight_s` of having been watched. Who is first or last seen standing still was
    there unseen before or after (nobody comes from nowhere), unless much less than the share
    `sudden` of the stay is hidden: then it began or ended in sight, as at a door. Who walks in or
    out may have been in the picture, unseen, for about `walk_in_s`. A gap above `max_gap_s` is
    never bridged; at either end of a stay no more than `max_edge_s` is added.
    """

    short_mean_s: float = 20.0
    long_mean_s: float = 90.0
    long_share: float = 0.2
    away_mean_s: float = 240.0
    away_per_gap: float = 0.02
    leavers: float = 0.15
    wander_m2_s: float = 0.01
    wander_max_m: float = 0.15
    usual_hidden: float = 0.4
    usual_weight_s: float = 10.0
    sudden: float = 0.05
    walk_in_s: float = 2.5
    max_gap_s: float = 900.0
    max_edge_s: float = 120.0


@dataclass(frozen=True, slots=True)
class ContactModel:
    """All assumptions of a contact assessment; `draws` is the number of Monte Carlo draws."""

    heads: HeadModel = HeadModel()
    presence: PresenceModel = PresenceModel()
    spacing: SpacingModel = SpacingModel()
    draws: int = 1000
