"""Features in plain English: what a number is, in which unit, and how it is said to people.

Every part of the fold tells the words of its own features (`Part.words`), for it alone knows what
they mean; here is what such words are made of. They are asked for when a decision is explained,
never while one is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite

AMOUNT, NUMBER = "{amount}", "{number}"  # stand in a phrase for the value with, and without, unit
DAYS, SHARE, PLAIN, CATEGORY = "days", "share", "number", "category"
TIMES, WEEKLY = "times", "times a week"

ACRONYMS = {"nps", "csat", "ces"}
# Ends of names that carry a unit; the domain's currency is another.
SUFFIXES = {
    name: name
    for name in ("minutes", "hours", "days", "weeks", "months", "years", "km", "kg", "percent")
} | {"s": "seconds", "ms": "milliseconds", "gb": "GB", "mb": "MB", "kwh": "kWh", "pct": "percent"}
_UNBRACED = str.maketrans("_{}", " ()")
LENGTH_S = {"days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0}


@dataclass(frozen=True, slots=True)
class FeatureDescription:
    """How to speak of one feature.

    Attributes
    ----------
    description : str
        What it is, such as "time since the last order".
    unit : str
        Of its `value`.
    phrase : str
        Says it with its value, for which ``{amount}`` stands ("{amount} since the last order"), or
        ``{number}`` if the phrase names the unit itself.
    unknown : str
        Why it may have no value: "no order yet".
    phrase_if_negative : str
        The phrase for a negative value, which is then told without its sign.
    values : tuple of str
        The categories that the numbers 0, 1, … stand for.
    to_value : function
        Turns the number that models read into the value that people are told.
    """

    description: str
    unit: str
    phrase: str
    unknown: str = ""
    phrase_if_negative: str = ""
    values: tuple[str, ...] = ()
    to_value: Callable[[float], float] = float

    def value(self, number: float) -> float | str | None:
        """The value in ``unit``, or the category; None if it is unknown."""
        if not isfinite(number):
            return None
        return self.values[int(number)] if self.values else self.to_value(number)

    def text(self, number: float) -> str:
        """The feature and its value in a phrase, such as "62 days since the last order"."""
        value = self.value(number)
        if value is None:
            if not self.unknown:
                return f"nothing known about {self.description}"
            return f"{self.unknown} ({self.description})"
        if isinstance(value, str):
            return self.phrase.format(amount=humanize(value))
        if value < 0 and self.phrase_if_negative:
            return self.phrase_if_negative.format(
                amount=format_amount(-value, self.unit), number=format_number(-value)
            )
        return self.phrase.format(
            amount=format_amount(value, self.unit), number=format_number(value)
        )

    def of_account(self) -> FeatureDescription:
        """The same for all members of an account together."""
        return replace(
            self,
            description=f"{self.description}, in the whole account",
            phrase=f"in the whole account, {self.phrase}",
            unknown=self.unknown and f"in the whole account, {self.unknown}",
            phrase_if_negative=self.phrase_if_negative
            and f"in the whole account, {self.phrase_if_negative}",
        )


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a number of an event or of a customer is, as far as its name and its bounds tell."""

    label: str
    unit: str

    @classmethod
    def named(
        cls, name: str, currency: str, low: float | None = None, high: float | None = None
    ) -> Quantity:
        """Read a name: ``paid_eur`` is paid in EUR, ``items`` are items, a score is in points."""
        label, _, suffix = name.rpartition("_")
        unit = currency.upper() if suffix == currency else SUFFIXES.get(suffix)
        if label and unit:
            return cls(humanize(label), unit)
        if is_plural(name):
            return cls(humanize(name), humanize(name))
        if low is not None and high is not None:
            return cls(humanize(name), scale_unit(low, high))
        return cls(humanize(name), PLAIN)

    @property
    def counts_itself(self) -> bool:
        """Whether the label is the unit, as of items."""
        return self.label == self.unit

    @property
    def description(self) -> str:
        """Label and unit, as two names may differ in nothing else."""
        unitless = self.counts_itself or self.unit == PLAIN
        return self.label if unitless else f"{self.label} in {self.unit}"


def humanize(name: str) -> str:
    """A name or a category as people say it; without braces, for it goes into a phrase."""
    words = name.translate(_UNBRACED).split(" ")
    return " ".join(word.upper() if word in ACRONYMS else word for word in words)


def event_noun(event_type: str) -> str:
    """An event type as a noun; a lone participle is none in English, so it is quoted."""
    label = humanize(event_type)
    return f"event '{label}'" if label.endswith("ed") and " " not in label else label


def scale_unit(low: float, high: float) -> str:
    """The unit of a scale."""
    return f"points ({low:g} to {high:g})"


def recent_period(half_life_days: float) -> str:
    """Where a decayed number looks, "over the last 56 days or so"; exact, as names are too."""
    return f"over the last {duration(half_life_days)} or so"


def duration(days: float) -> str:
    """A half-life, in the largest unit that it fills."""
    unit = _largest_unit(days * LENGTH_S[DAYS])
    return _singular(f"{days * LENGTH_S[DAYS] / LENGTH_S[unit]:.6g} {unit}").removeprefix("1 ")


def format_amount(value: float, unit: str) -> str:
    """A value with its unit: "62 days", "2.5 hours", "38%", "1,235 EUR a week"."""
    if unit == SHARE:
        return f"{format_number(100 * value)}%"
    if unit == PLAIN:
        return format_number(value)
    if unit in LENGTH_S:
        seconds = value * LENGTH_S[unit]
        unit = _largest_unit(seconds)
        value = seconds / LENGTH_S[unit]
    return _singular(f"{format_number(value)} {unit}")


def format_number(value: float) -> str:
    """A number with two digits that count, or all before the point: 0.038, 9.4, 62, 1,235."""
    if value == 0:
        return "0"
    if abs(value) < 0.001:
        return "almost 0"
    return f"{value:,.0f}" if abs(value) >= 9.95 else f"{value:.2g}"


def _largest_unit(seconds: float) -> str:
    return next(
        (unit for unit, length_s in LENGTH_S.items() if abs(seconds) >= length_s), "seconds"
    )


def _singular(text: str) -> str:
    """The singular, if it is 1 of something: "1 day", "1 time a week"."""
    return re.sub(r"^(1 [^(]*?)s(?= a week| \(|$)", r"\1", text)


def is_plural(name: str) -> bool:
    """Whether a name looks like several: charges and items do, status and address do not."""
    return name.endswith("s") and not name.endswith(("ss", "us", "is"))
