"""The filters and operators of wordings; the result of each is bounded.

Those of Jinja2 are taken if they cost no more than their input is long. ``center`` and its like are
left out: ``'a'|center(10**9)`` would make a gigabyte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, pass_eval_context
from jinja2.filters import FILTERS, do_default, do_format, do_replace, do_round, do_title
from jinja2.nodes import EvalContext
from jinja2.runtime import markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serving.catalog.template_bounds import MAX_FILLED, CostRefused, bounded, bounded_list
from serving.catalog.template_language import CONCATENATION, WRITTEN_LIST

MAX_TITLE = 1000  # characters, as that filter takes 500 times as long as upper
MAX_DIGITS = 12  # behind the point
_OF_JINJA = (
    *("abs", "capitalize", "count", "e", "escape", "first", "float", "int"),
    *("last", "length", "lower", "string", "trim", "truncate", "upper", "urlencode"),
)
_OF_LISTS = ("join", "max", "min", "sum")  # each takes the context before the list
_FORMATS = re.compile(
    r"(?:[^%]|%%|%(?:\([a-z_]{1,30}\))?[-+ 0#]{0,3}[0-9]{0,2}(?:\.[0-9]{1,2})?[sdifFeEgG])*"
)


def operated(operator: str, left: Any, right: Any, compute: Callable[[], Any]) -> Any:
    """Compute an operator, if the result cannot be large."""
    if operator == "%" and isinstance(left, str):
        _check_format(left)
    elif None in (left, right):
        raise TypeError("an unknown value")
    elif (operator, isinstance(left, str), isinstance(right, str)) != ("+", True, True) and not all(
        isinstance(bounded(side), int | float) for side in (left, right)
    ):
        raise CostRefused(f"{operator} between numbers only; ~ joins texts")
    return bounded(compute())


def _limited(compute: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(compute)
    def limited(*args: Any, **kwargs: Any) -> Any:
        return bounded(compute(*args, **kwargs))

    return limited


def _check_format(text: str) -> None:
    if not _FORMATS.fullmatch(text):
        raise CostRefused("formats such as %.2f, %5d or %s, with at most 2 digits for each length")


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """Unlike that of Jinja2, take the default for an unknown value (None), too."""
    return default_value if value is None else do_default(value, default_value, boolean)


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    _check_format(str(value))
    return do_format(value, *args, **kwargs)


def _title(text: object) -> str:
    if len(str(text)) > MAX_TITLE:
        raise CostRefused(f"at most {MAX_TITLE:,} characters for title")
    return do_title(text)  # type: ignore[arg-type]


def _of_list(name: str) -> Callable[..., Any]:
    """The filter of Jinja2, but not over the characters of a text."""

    @wraps(FILTERS[name])
    def of_list(context: Any, values: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(values, str):
            raise CostRefused(f"a list for {name}, such as [order_n or 0, 3]")
        return FILTERS[name](context, values, *args, **kwargs)

    return of_list


@pass_eval_context
def _replace(context: EvalContext, text: str, old: str, new: str, count: int | None = None) -> str:
    if str(text).count(str(old)) * len(new) > MAX_FILLED:
        raise CostRefused(f"at most {MAX_FILLED:,} characters, filled in")
    return do_replace(context, text, old, new, count)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    if abs(precision) > MAX_DIGITS:
        raise CostRefused(f"at most {MAX_DIGITS} digits behind the point")
    return do_round(value, precision, method)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Compiles and fills templates of `template_language`.

    Parameters
    ----------
    html : bool
        Whether to escape the values that are filled in (by markupsafe).
    """

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def __init__(self, html: bool) -> None:
        # Names are checked when the catalogue is read; `StrictUndefined` is a second check.
        super().__init__(undefined=StrictUndefined, autoescape=html)
        self.globals = {}
        joined = markup_join if html else str_join
        own = {
            "default": _default,
            "d": _default,
            "format": _format,
            "replace": _replace,
            "round": _round,
            CONCATENATION: joined,
            WRITTEN_LIST: bounded_list,
        }
        taken = {name: FILTERS[name] for name in _OF_JINJA}
        taken |= {name: _of_list(name) for name in _OF_LISTS} | {"title": _title}
        self.filters = {name: _limited(each) for name, each in (taken | own).items()}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute an operator within the bounds."""
        compute = super().call_binop
        return operated(operator, left, right, lambda: compute(context, operator, left, right))
