"""Treatments: JSON payloads of an action on a channel, whose texts may hold `{{ names }}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serving.catalog.expressions import Names

MAX_TEXT = 5000


class _Sandbox(ImmutableSandboxedEnvironment):
    """Renders templates whose authors may not run code, nor fill the memory: ``'a' * 10**9``."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Multiply numbers only."""
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(f"{operator} is for numbers only, and ** for none")
        return super().call_binop(context, operator, left, right)


# Names are checked when the catalogue is read; `StrictUndefined` is a second check.
_ENVIRONMENT = _Sandbox(undefined=StrictUndefined, autoescape=False)


class Treatment:
    """A payload with compiled templates.

    ``{"title": "{{ context_first_name or 'Hello' }}, {{ (order_n or 0)|int }} orders so far"}``.
    An unknown value is None in a template.

    Raises
    ------
    ValueError
        If a text is no template, or uses an unknown name; the message begins with the key.

    Attributes
    ----------
    names : tuple of str
        Names whose values the texts need.
    """

    def __init__(self, content: Mapping[str, Any], known: Names) -> None:
        self._content = content
        self._known = known
        self._templates: dict[str, Any] = {}
        used: dict[str, None] = {}
        for key, value in content.items():
            self._read(value, key, used)
        self.names = tuple(used)

    def fill(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The payload with its texts filled in.

        If the values cause an error (a division by zero), all names count as unknown: rendering
        with unknown values was checked when the catalogue was read.
        """
        if not self._templates:
            return dict(self._content)
        try:
            filled: dict[str, Any] = self._fill(self._content, values)
        except Exception:  # a filter may raise anything about a value
            filled = self._fill(self._content, dict.fromkeys(self.names))
        return filled

    def _read(self, value: Any, key: str, used: dict[str, None]) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                self._read(inner, f"{key}.{name}", used)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                self._read(inner, f"{key}.{index}", used)
        elif isinstance(value, str) and "{" in value:
            self._compile(value, key, used)

    def _compile(self, text: str, key: str, used: dict[str, None]) -> None:
        if len(text) > MAX_TEXT:
            raise ValueError(f"{key}: at most {MAX_TEXT:,} characters")
        try:
            named = sorted(meta.find_undeclared_variables(_ENVIRONMENT.parse(text)))
            self._templates[text] = _ENVIRONMENT.from_string(text)
        except TemplateSyntaxError as error:
            raise ValueError(f"{key}: a text with names in double braces; {error}") from error
        for name in named:
            if name not in self._known.kinds:
                raise ValueError(f"{key}: names that a condition may use; not {name}")
        try:
            self._templates[text].render(dict.fromkeys(named))
        except Exception as error:
            raise ValueError(
                f"{key}: a text that can also be filled in while its names are unknown (None), "
                f"such as {{{{ {named[0] if named else 'name'} or 'there' }}}}; {error}"
            ) from error
        used.update(dict.fromkeys(named))

    def _fill(self, value: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(value, Mapping):
            return {name: self._fill(inner, values) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._fill(inner, values) for inner in value]
        template = self._templates.get(value) if isinstance(value, str) else None
        return value if template is None else template.render(values)
