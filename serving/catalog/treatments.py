"""Treatments: JSON payloads of an action on a channel, whose texts may hold `{{ names }}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Template, TemplateSyntaxError, meta

from features.business.yaml_mistakes import Mistakes, Where
from features.conditions.names import Names
from serving.catalog import template_language
from serving.catalog.template_bounds import MAX_FILLED, CostRefused
from serving.catalog.template_filters import BoundedEnvironment
from serving.catalog.template_language import CONCATENATION, MAX_TEXT, WRITTEN_LIST, with_nearest

_TRUTHS = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0"})
_ENVIRONMENTS = {html: BoundedEnvironment(html) for html in (False, True)}


class Treatment:
    """A payload with compiled templates.

    ``{"title": "{{ context_first_name or 'Hello' }}, {{ (order_n or 0)|int }} orders so far"}``.
    An unknown value is None in a template. Where the payload, or a mapping within it, says
    ``html: true``, the values that are filled in are escaped, but not the author's own HTML.

    Raises
    ------
    Mistakes
        With the key of each text that is no template, uses an unknown name, or costs too much.

    Attributes
    ----------
    names : tuple of str
        Names whose values the texts need.
    templates_n : int
        Number of texts with names.
    """

    def __init__(self, content: Mapping[str, Any], known: Names) -> None:
        self._known = known
        self.templates_n = 0
        self._mistakes, self._used = Mistakes(), dict[str, None]()
        self._content = self._compiled(content, (), html=False)
        self._mistakes.refuse()
        self.names = tuple(self._used)

    def fill(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The payload with its texts filled in.

        A text of more than `MAX_FILLED` characters counts as unknown. If the values cause an error,
        such as a division by zero, all names do: that was tried when the catalogue was read.
        """
        short = {name: None if _is_long(value) else value for name, value in values.items()}
        try:
            filled: dict[str, Any] = _filled(self._content, short)
        except Exception:  # a filter may raise anything about a value
            filled = _filled(self._content, dict.fromkeys(self.names))
        return filled

    def _compiled(self, value: Any, where: Where, html: bool) -> Any:
        """The content with a `Template` in the place of each text that has one."""
        if isinstance(value, Mapping):
            html = self._says_html(value, where, html)
            return {
                name: self._compiled(inner, (*where, name), html) for name, inner in value.items()
            }
        if isinstance(value, list):
            return [
                self._compiled(inner, (*where, index), html) for index, inner in enumerate(value)
            ]
        if not isinstance(value, str) or "{" not in value:
            return value
        try:
            template, names = self._template(value, html)
        except ValueError as error:
            self._mistakes.add(where, str(error))
            return value
        self._used.update(dict.fromkeys(names))
        self.templates_n += 1
        return template

    def _says_html(self, content: Mapping[str, Any], where: Where, html: bool) -> bool:
        said = content.get("html")
        if isinstance(said, bool):
            return said
        if isinstance(said, int) or (isinstance(said, str) and said.strip().lower() in _TRUTHS):
            self._mistakes.add((*where, "html"), "true or false, without quotes")
        return html

    def _template(self, text: str, html: bool) -> tuple[Template, list[str]]:
        if len(text) > MAX_TEXT:
            raise ValueError(f"at most {MAX_TEXT:,} characters")
        environment = _ENVIRONMENTS[html]
        try:
            tree = environment.parse(text)
        except RecursionError:
            raise ValueError("a text that does not nest so deep") from None
        except Exception as error:  # a number of 5,000 digits is a ValueError
            line = f" (its line {error.lineno})" if isinstance(error, TemplateSyntaxError) else ""
            raise ValueError(
                f"a text with names in double braces, such as {{{{ plan }}}}, and each brace and "
                f"quote closed; it cannot be read{line}"
            ) from error
        filters = environment.filters.keys() - {CONCATENATION, WRITTEN_LIST}
        template_language.check(tree, filters, environment.tests)
        names = sorted(meta.find_undeclared_variables(tree))
        for name in names:
            if name not in (known := self._known.kinds):
                raise ValueError(f"names that a condition may use; not {with_nearest(name, known)}")
        code = environment.compile(template_language.Bounded(environment).visit(tree))
        template = Template.from_code(environment, code, {})
        _check_unknown(template, names)
        return template, names


def _check_unknown(template: Template, names: list[str]) -> None:
    try:
        _text(template, dict.fromkeys(names))
    except CostRefused:
        raise
    except Exception as error:
        raise ValueError(
            f"a text that can also be filled in while its names are unknown (None), "
            f"such as {{{{ {names[0] if names else 'name'} or 'there' }}}}"
        ) from error


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > MAX_FILLED


def _filled(content: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(content, dict):
        return {name: _filled(inner, values) for name, inner in content.items()}
    if isinstance(content, list):
        return [_filled(inner, values) for inner in content]
    return _text(content, values) if isinstance(content, Template) else content


def _text(template: Template, values: Mapping[str, Any]) -> str:
    """Fill a text in, and stop as soon as it is too long."""
    parts, length = [], 0
    for part in template.generate(values):
        length += len(part)
        if length > MAX_FILLED:
            raise CostRefused(f"at most {MAX_FILLED:,} characters, filled in")
        parts.append(part)
    return "".join(parts)
