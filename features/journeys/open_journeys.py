"""Open journeys of a customer: several at once, each with its stage and age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan

from features.business.event_types import STAGES, EventType
from features.business.journey_rules.kinds import JourneyKind
from features.business.journey_rules.promises import DAY_US
from features.journeys.descriptions import AMOUNT, CATEGORY, DAYS, FeatureDescription, humanize
from features.journeys.journey_steps import Step
from features.journeys.state import DAY_S, SECOND_US, State

OPEN_N, OPENED_AT, STAGE, STAGE_AT, LAST_AT = range(5)
WIDTH = 5


@dataclass(frozen=True, slots=True)
class OpenJourney:
    """A kind of journey that is open.

    Attributes
    ----------
    count : int
        Open journeys of the kind, such as two complaints; the times are those of the oldest.
    opened_at_s, stage_at_s : float
        Times when it was opened and when it reached its stage, seconds since 1970 (UTC).
    """

    kind: str
    stage: str
    problem: bool
    count: int
    opened_at_s: float
    stage_at_s: float


class JourneyPart:
    """The part of the fold for one kind of journey.

    The first event opens a journey, and so does each event that ``starts`` one. An event that
    ``ends`` one closes it. A journey that has lapsed counts as closed, and so do all journeys after
    the customer has left. Of several open journeys, the stage is that of the last event that did
    not end one. If the kind has a case or promises, `JourneyMemory` counts them, and this part is
    told.

    Parameters
    ----------
    start : int
        The first place of the slice in a state.
    name, kind
        The kind of journey.
    stages : sequence of str
        In the order of the domain file; a state holds the place of a stage.
    """

    def __init__(
        self, start: int, name: str, kind: JourneyKind, stages: Sequence[str] = STAGES
    ) -> None:
        self._stages = tuple(stages)
        self._stage_index = {stage: float(index) for index, stage in enumerate(stages)}
        self._start = start
        self._lapse_s = inf if kind.lapse_days is None else kind.lapse_days * DAY_S
        self._lapse_us = 0 if kind.lapse_days is None else round(kind.lapse_days * DAY_US)
        self.kind, self.problem = name, kind.problem
        name = f"journey_{name}"
        self.fields = tuple(
            f"{name}_{kept}" for kept in ("open_n", "opened_at", "stage", "stage_at", "last_at")
        )
        self.names = tuple(f"{name}_{read}" for read in ("open", "age_days", "stage", "stage_days"))

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name."""
        name, label = f"journey_{self.kind}", f"{humanize(self.kind)} journey"
        none = f"no open {label}"
        return {
            f"{name}_open": FeatureDescription(
                f"{label}, how many are open",
                "journeys",
                f"{AMOUNT} open of the kind {humanize(self.kind)}",
            ),
            f"{name}_age_days": FeatureDescription(
                f"{label}, since when one is open", DAYS, f"{label} open for {AMOUNT}", none
            ),
            f"{name}_stage": FeatureDescription(
                f"{label}, its stage",
                CATEGORY,
                f"{label} at the stage {AMOUNT}",
                none,
                values=self._stages,
            ),
            f"{name}_stage_days": FeatureDescription(
                f"{label}, since when at its stage",
                DAYS,
                f"{label} at its stage for {AMOUNT}",
                none,
            ),
        }

    def empty(self) -> State:
        """Return the slice without open journeys."""
        return [0.0, nan, nan, nan, nan]

    def advance(self, state: State, at_s: float, event: EventType, step: Step) -> None:
        """Update the slice at an event of this kind of journey, with its effect."""
        start = self._start
        open_n, opened_at, stage, stage_at, last_at = state[start : start + WIDTH]
        if open_n and self._is_over(at_s - last_at):
            open_n = 0.0
        if step == "ends":
            open_n = max(open_n - 1.0, 0.0)
        elif open_n == 0.0:
            open_n, opened_at, stage = 1.0, at_s, nan
        elif step == "starts":
            open_n += 1.0
        if open_n == 0.0:  # the empty slice, which `Fold.pack` leaves out
            state[start : start + WIDTH] = self.empty()
            return
        here = self._stage_index[event.stage]
        if step != "ends" and stage != here:  # also when it was nan
            stage, stage_at = here, at_s
        state[start : start + WIDTH] = [open_n, opened_at, stage, stage_at, at_s]

    def tell(
        self,
        state: State,
        at_s: float,
        event: EventType,
        step: Step,
        now_open: tuple[int, float],
    ) -> None:
        """Update the slice at an event after which it is known what is open.

        Parameters
        ----------
        now_open
            The number of open journeys, and when the oldest was opened, seconds since 1970.
        """
        start = self._start
        open_n, opened_at = now_open
        if open_n == 0:
            self.close_all(state)
            return
        stage, stage_at = state[start + STAGE], state[start + STAGE_AT]
        here = self._stage_index[event.stage]
        if step != "ends" and stage != here:
            stage, stage_at = here, at_s
        state[start : start + WIDTH] = [float(open_n), opened_at, stage, stage_at, at_s]

    def close_all(self, state: State) -> None:
        """Update the slice as no journey of the kind is open any more."""
        state[self._start : self._start + WIDTH] = self.empty()

    def lapsed_us(self, state: State, at_s: float) -> int | None:
        """Return when the open journeys lapsed; None if none was open or none has lapsed.

        Returns
        -------
        int or None
            Microseconds since 1970.
        """
        last_at = state[self._start + LAST_AT]
        if state[self._start] == 0.0 or not self._is_over(at_s - last_at):
            return None
        return round(last_at * SECOND_US) + self._lapse_us

    def read(self, features: list[float], state: State, at_s: float) -> None:
        """Append the features at a moment."""
        if not self.is_open(state, at_s):
            features += [0.0, nan, nan, nan]
            return
        open_n, opened_at, stage, stage_at = state[self._start : self._start + 4]
        age_s, stage_s = max(at_s - opened_at, 0.0), max(at_s - stage_at, 0.0)
        features += [open_n, age_s / DAY_S, stage, stage_s / DAY_S]

    def is_open(self, state: State, at_s: float) -> bool:
        """Return True if a journey of this kind is open at a moment."""
        start = self._start
        return state[start] > 0.0 and not self._is_over(at_s - state[start + LAST_AT])

    def _is_over(self, silence_s: float) -> bool:
        """Return whether journeys have lapsed after a silence, exact to the microsecond."""
        # The difference of two times in seconds is off by a quarter of a microsecond.
        return silence_s > self._lapse_s and round(silence_s * SECOND_US) > self._lapse_us

    def open_journey(self, state: State, at_s: float) -> OpenJourney | None:
        """Return the open journey of this kind; None if there is none."""
        if not self.is_open(state, at_s):
            return None
        open_n, opened_at, stage, stage_at = state[self._start : self._start + 4]
        name = self._stages[int(stage)]
        return OpenJourney(self.kind, name, self.problem, int(open_n), opened_at, stage_at)


class JourneyTotals:
    """The numbers of open journeys and of open problems; this part has no slice of the state."""

    fields: tuple[str, ...] = ()
    names = ("open_journeys", "open_problems", "problem_age_days")

    def __init__(self, parts: tuple[JourneyPart, ...]) -> None:
        self._parts = parts

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name."""
        return {
            "open_journeys": FeatureDescription(
                "open journeys in all", "journeys", f"{AMOUNT} open in all"
            ),
            "open_problems": FeatureDescription("open problems", "problems", f"{AMOUNT} open"),
            "problem_age_days": FeatureDescription(
                "age of the oldest open problem",
                DAYS,
                f"oldest problem open for {AMOUNT}",
                "no open problem",
            ),
        }

    def empty(self) -> State:
        """Return an empty slice."""
        return []

    def read(self, features: list[float], state: State, at_s: float) -> None:
        """Append the totals at a moment; the age is that of the oldest problem."""
        found = [journey for part in self._parts if (journey := part.open_journey(state, at_s))]
        problems = [journey for journey in found if journey.problem]
        oldest = min((journey.opened_at_s for journey in problems), default=nan)
        features += [
            float(sum(journey.count for journey in found)),
            float(sum(journey.count for journey in problems)),
            max((at_s - oldest) / DAY_S, 0.0) if problems else nan,
        ]
