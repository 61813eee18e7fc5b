"""Types and functions that describe features in plain English, with units.

Every part of the fold describes its own features (`FoldPart.descriptions`). Descriptions are made
when a decision is explained, never while one is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite

AMOUNT, NUMBER = "{amount}", "{number}"  # placeholders for the value with and without its unit
DAYS, SHARE, PLAIN, CATEGORY = "days", "share", "number", "category"
TIMES, WEEKLY = "times", "times a week"

ACRONYMS = {"nps", "csat", "ces"}
# Suffixes of names that are units. The domain's currency is one, too.
SUFFIXES = {
    name: name
    for name in ("minutes", "hours", "days", "weeks", "months", "years", "km", "kg", "percent")
} | {"s": "seconds", "ms": "milliseconds", "gb": "GB", "mb": "MB", "kwh": "kWh", "pct": "percent"}
_UNBRACED = str.maketrans("_{}", " ()")
LENGTH_S = {"days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0}


@dataclass(frozen=True, slots=True)
class FeatureDescription:
    """The description of one feature.

    Attributes
    ----------
    description : str
        The feature, such as "time since the last order".
    unit : str
        The unit of `value`.
    phrase : str
        The feature with its value, as in "{amount} since the last order". The placeholder is
        ``{number}`` if the phrase names the unit itself.
    unknown : str
        The reason for a missing value: "no order yet".
    phrase_if_negative : str
        The phrase for a negative value, which is then shown without its sign.
    values : tuple of str
        The categories for the numbers 0, 1, …
    to_value : function
        Converts the number that models read to the value that people are shown.
    """

    description: str
    unit: str
    phrase: str
    unknown: str = ""
    phrase_if_negative: str = ""
    values: tuple[str, ...] = ()
    to_value: Callable[[float], float] = float

    def value(self, number: float) -> float | str | None:
        """Convert a number to the value in ``unit`` or to the category; None if it is unknown."""
        if not isfinite(number):
            return None
        return self.values[int(number)] if self.values else self.to_value(number)

    def text(self, number: float) -> str:
        """Write the feature and its value, such as "62 days since the last order"."""
        value = self.value(number)
        if value is None:
            if not self.unknown:
                return f"nothing known about {self.description}"
            return f"{self.unknown} ({self.description})"
        if isinstance(value, str):
            return _filled(self.phrase, category_text(value), "")
        if value < 0 and self.phrase_if_negative:
            amount = format_amount(-value, self.unit)
            return _filled(self.phrase_if_negative, amount, format_number(-value))
        return _filled(self.phrase, format_amount(value, self.unit), format_number(value))

    def of_account(self) -> FeatureDescription:
        """Describe the same feature of all members of an account together."""
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
    """Label and unit of a number, as far as its name and its bounds tell them."""

    label: str
    unit: str

    @classmethod
    def named(
        cls, name: str, currency: str, low: float | None = None, high: float | None = None
    ) -> Quantity:
        """Read a name: ``paid_eur`` is in EUR, ``items`` counts items, a score is in points."""
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
        """True if the label is the unit, as for items."""
        return self.label == self.unit

    @property
    def description(self) -> str:
        """Label and unit: two names may differ in their units only."""
        unitless = self.counts_itself or self.unit == PLAIN
        return self.label if unitless else f"{self.label} in {self.unit}"


def humanize(name: str) -> str:
    """Write a name or a category as people do; without braces, as it goes into a phrase."""
    words = name.translate(_UNBRACED).split(" ")
    return " ".join(word.upper() if word in ACRONYMS else word for word in words)


def category_text(value: str) -> str:
    """Write a category value as people do if it looks like a name; any other text as it is."""
    return humanize(value) if re.fullmatch(r"[a-z][a-z0-9_]*", value) else value


def _filled(phrase: str, amount: str, number: str) -> str:
    # Not `str.format`: a category value in the phrase may hold braces of its own.
    filled = {AMOUNT: amount, NUMBER: number}
    return re.sub(f"{AMOUNT}|{NUMBER}", lambda found: filled[found[0]], phrase)


def event_noun(event_type: str) -> str:
    """Write an event type as a noun; a single participle is quoted, as it is not a noun."""
    label = humanize(event_type)
    return f"event '{label}'" if label.endswith("ed") and " " not in label else label


def scale_unit(low: float, high: float) -> str:
    """Write the unit of a scale."""
    return f"points ({low:g} to {high:g})"


def recent_period(half_life_days: float) -> str:
    """Write the period of a decayed number: "over the last 56 days or so"."""
    return f"over the last {duration(half_life_days)} or so"


def duration(days: float) -> str:
    """Write a half-life in the largest unit that it fills."""
    unit = _largest_unit(days * LENGTH_S[DAYS])
    return _singular(f"{days * LENGTH_S[DAYS] / LENGTH_S[unit]:.6g} {unit}").removeprefix("1 ")


def format_amount(value: float, unit: str) -> str:
    """Write a value with its unit: "62 days", "2.5 hours", "38%", "1,235 EUR a week"."""
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
    """Write a number with two significant digits, or as an integer: 0.038, 9.4, 62, 1,235."""
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
    """Make a text singular if it begins with 1: "1 day", "1 time a week"."""
    return re.sub(r"^(1 [^(]*?)s(?= a week| \(|$)", r"\1", text)


def is_plural(name: str) -> bool:
    """Return True for names such as charges and items, False for status and address."""
    return name.endswith("s") and not name.endswith(("ss", "us", "is"))
