"""The language of conditions and formulas in a catalogue, parsed into terms.

The language is the part of rule-engine's that can neither hang nor surprise:

    churn > 0.3 and not (plan == 'gold' or region in ['north', 'south'])
    spend / orders >= 2 * usual_order          + - * / between numbers
    churn != null                              true if churn is known
    acceptance * (worth ?? 10) - cost          10 where worth is not known
    stage == 'use' ? 1.5 : 1                   1.5 in that stage, else 1

A comparison with an unknown value is false; only ``!=``, always the opposite of ``==``, is then
true, and so is ``not`` of anything false. Arithmetic with an unknown value, and a division by
zero, give an unknown value.

While the library parses, it computes expressions that hold no name: ``1 << 99999999999`` or a
catastrophic pattern would stop the process before there is a syntax tree. Other syntax is
therefore refused by a regular expression, before the library reads the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any

from rule_engine import Context, DataType, Rule, ast
from rule_engine.errors import EngineError, RuleSyntaxError, SymbolResolutionError

from features.conditions.names import Names
from features.conditions.terms import (
    NO,
    NULL,
    YES,
    InvalidExpression,
    Kind,
    Term,
    balanced,
    operation,
    too_deep,
)
from features.errors import InvalidCondition
from features.nearest_names import nearest

MAX_LENGTH = 500  # characters: bounds the time to parse a text; `terms` bounds the rest
_LANGUAGE = re.compile(
    r"""(?: [ \t\n]+
    | (?:and|or|not|in)\b
    | (?! (?:for|if|elif|else|while|nan|inf)\b | [bdrst]['"] ) [A-Za-z_]\w*+ (?!\s*\()
    | (?: \d+(?:\.\d*)? | \.\d+ ) (?:[eE][+-]?\d+)? (?!\w)
    | '[^'\\\n]*' | "[^"\\\n]*"
    | [=!<>]= | <(?!<) | >(?!>) | \*(?!\*) | /(?!/) | \?\? | [-+()\[\],?:] )*+""",
    re.VERBOSE | re.ASCII,
)
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_WORD = re.compile(rf"{_QUOTED.pattern}|\w+")
_LIST_IN_LIST = re.compile(r"\[[^\]]*\[")
_KIND_TEXT = {"number": "a number", "text": "a text", "truth": "true or false", "null": "null"}
_REMEDY = {
    "number": "Ask about texts, truths and null with == or !=; (consent ? 1 : 0) is a number.",
    "truth": "Compare it, as in churn > 0.3 or plan in ['gold', 'silver'].",
}
_UNSUPPORTED = {
    ast.FunctionCallExpression: "a function call",
    ast.GetItemExpression: "an item in brackets",
    ast.GetSliceExpression: "a part in brackets",
    ast.ContainsExpression: "'in' without a list behind it",
    ast.ArrayExpression: "a list without 'in' before it",
}
# These operations may give an unknown value; all others give a truth of 0 or 1.
_MAY_BE_UNKNOWN = {"name", "constant", "coalesce", "choose"}


class Reader:
    """Parses texts into terms, with the names of one business."""

    def __init__(self, names: Names) -> None:
        self._kinds, self._expected = names.kinds, names.expected
        # The library knows the names but not their kinds: its own check accepts text == number,
        # and does not say where another mistake is. It reads names in ASCII only: other ones are
        # replaced, by one of the same length if possible, as mistakes are told with their place.
        letters = [name for name in names.kinds if not name.isascii()]
        self._in_ascii = {name: f"_{i:_>{max(len(name) - 1, 1)}}" for i, name in enumerate(letters)}
        self._of_ascii = {short: name for name, short in self._in_ascii.items()}
        readable = [self._in_ascii.get(name, name) for name in names.kinds]
        anything = dict.fromkeys(readable, DataType.UNDEFINED)
        self._context = Context(type_resolver=anything, default_timezone="utc")

    def condition(self, text: str) -> Term:
        """Parse a text that is true or false.

        Raises
        ------
        InvalidCondition
            If the text breaks the language, uses an unknown name, or mixes kinds.
        """
        return self._read(text, "truth")

    def formula(self, text: str) -> Term:
        """Parse a text that is a number; raises like ``condition``."""
        return self._read(text, "number")

    def _read(self, text: str, kind: Kind) -> Term:
        try:
            _refuse_long(text)
            read = _WORD.sub(self._ascii, text)
            _refuse_other_syntax(read)
            return _of_kind(kind, self._term(Rule(read, self._context).statement.expression))
        except InvalidExpression as invalid:
            wrong, expected, remedy = invalid.args
            wrong = _WORD.sub(lambda word: self._of_ascii.get(word[0], word[0]), wrong)
        except SymbolResolutionError as error:
            wrong, expected, remedy = self._unknown(error.symbol_name)
        except RuleSyntaxError as error:
            at = f"character {error.token.lexpos + 1}" if error.token else "its end"
            wrong, expected = f"cannot be read at {at}", "an expression such as churn > 0.3"
            remedy = "Look for a missing operator, quote or bracket there."
        except RecursionError:
            wrong, expected, remedy = too_deep().args
        except (EngineError, ArithmeticError):
            wrong, expected = "cannot be computed", "constants that go together, and no 1 / 0"
            remedy = "Write it in a simpler way."
        shown = text if len(text) <= MAX_LENGTH else f"{text[:60]}..."
        raise InvalidCondition(shown, wrong, expected=expected, remedy=remedy) from None

    def _ascii(self, found: re.Match[str]) -> str:
        word = found[0]
        if word.isascii() or word[0] in "'\"":
            return word
        if word not in self._in_ascii:
            raise InvalidExpression(*self._unknown(word))
        return self._in_ascii[word]

    def _unknown(self, name: str) -> tuple[str, str, str]:
        close = nearest(name, self._kinds)
        remedy = f"Did you mean {close}?" if close else "Check how it is spelled."
        return f"names {name}, which is not known here", self._expected, remedy

    def _term(self, node: Any) -> Term:
        match node:
            case ast.SymbolExpression(name=read):
                name = self._of_ascii.get(read, read)
                return Term("name", self._kinds[name], (), name)
            case ast.NullExpression():
                return NULL
            case ast.BooleanExpression(value=value):
                return YES if value else NO
            case ast.FloatExpression(value=value) if isfinite(value):
                return Term("constant", "number", (), float(value))
            case ast.FloatExpression():
                raise InvalidExpression(
                    "has a number too large", "at most 1e308", "Write a smaller one."
                )
            case ast.StringExpression(value=value):
                return Term("constant", "text", (), value)
            case ast.LogicExpression(type=op):
                return balanced(op, [self._truth(part) for part in _operands(op, node)])
            case ast.UnaryExpression(type="not", right=right):
                return operation("not", "truth", self._truth(right))
            case ast.UnaryExpression(right=right):
                return operation("minus", "number", self._number(right))
            case ast.ContainsExpression(member=member, container=ast.ArrayExpression(value=listed)):
                return _membership(self._term(member), [self._term(item) for item in listed])
            case ast.ArithmeticComparisonExpression(type=op, left=left, right=right):
                return operation(op, "truth", self._number(left), self._number(right))
            case ast.ComparisonExpression(type=op, left=left, right=right):
                return _equality(op, self._term(left), self._term(right))
            case ast.BinaryExpressionBase(type=op, left=left, right=right):
                return operation(op, "number", self._number(left), self._number(right))
            case ast.CoalesceExpression(left=left, right=right):
                return _branch("coalesce", self._term(left), self._term(right))
            case ast.TernaryExpression(condition=asked, case_true=yes, case_false=no):
                return _branch("choose", self._term(yes), self._term(no), self._truth(asked))
        raise InvalidExpression(
            f"has {_UNSUPPORTED.get(type(node), type(node).__name__)}",
            "comparisons, arithmetic and lists of constants after 'in'",
            "Write it with these; the rest of rule-engine's language is left out on purpose.",
        )

    def _truth(self, node: Any) -> Term:
        return _of_kind("truth", self._term(node))

    def _number(self, node: Any) -> Term:
        return _of_kind("number", self._term(node))


def _refuse_long(text: str) -> None:
    if len(text) > MAX_LENGTH:
        remedy = "Split it: all conditions of a list must hold."
        raise InvalidExpression(f"is {len(text)} characters long", f"at most {MAX_LENGTH}", remedy)


def _refuse_other_syntax(text: str) -> None:
    if _LIST_IN_LIST.search(_QUOTED.sub("", text)):  # the library walks it once for each level
        wrong, expected = "has a list within a list", "a list of constants after 'in'"
        raise InvalidExpression(wrong, expected, "Write the constants of both into one list.")
    rest = _LANGUAGE.sub("", text, count=1)
    if rest:
        first = re.findall(r"\w+|.{1,2}", rest, re.DOTALL)[0]
        raise InvalidExpression(
            f"has {first} at character {len(text) - len(rest) + 1}",
            "names, numbers, texts in quotes, and or not in true false null, "
            "== != < <= > >= + - * / ?? ? : ( ) [ ] and commas",
            "Powers, patterns, attributes and functions are left out on purpose.",
        )


def _described(term: Term) -> str:
    kind_text = _KIND_TEXT[term.kind]
    match term:
        case Term("name", value=name):
            return f"{name} ({kind_text})"
        case Term("constant", "number", value=value):
            return f"{value:g} ({kind_text})"
        case Term("constant", "text", value=value):
            return f"'{value}' ({kind_text})"
    return kind_text


def _of_kind(kind: Kind, term: Term) -> Term:
    if term.kind != kind:
        raise InvalidExpression(
            f"has {_described(term)}", f"{_KIND_TEXT[kind]} in its place", _REMEDY[kind]
        )
    if kind == "truth" and term.op in _MAY_BE_UNKNOWN:
        return operation("eq", "truth", term, YES)
    return term


def _check_same_kind(left: Term, right: Term) -> None:
    if left.kind != right.kind or left.kind == "null":
        raise InvalidExpression(
            f"puts {_described(left)} beside {_described(right)}",
            "two values of one kind",
            "Texts stand in quotes, numbers do not.",
        )


def _equality(op: str, left: Term, right: Term) -> Term:
    if NULL in (left, right):
        unknown = operation("unknown", "truth", left if right == NULL else right)
        return unknown if op == "eq" else operation("not", "truth", unknown)
    _check_same_kind(left, right)
    return operation(op, "truth", left, right)


def _membership(member: Term, listed: Sequence[Term]) -> Term:
    if not listed or any(item.op != "constant" or item.kind == "null" for item in listed):
        raise InvalidExpression(
            "has an empty list, or more than constants in it",
            "such as in ['gold', 'silver'] or in [1, 2]",
            "Ask for names and null with == and or.",
        )
    return balanced("or", [_equality("eq", member, item) for item in listed])


def _branch(op: str, one: Term, other: Term, *asked: Term) -> Term:
    _check_same_kind(one, other)
    return operation(op, one.kind, *asked, one, other)


def _operands(op: str, node: Any) -> list[Any]:
    """The operands of ``a and b and c``, which the library nests to the left."""
    if isinstance(node, ast.LogicExpression) and node.type == op:
        return [*_operands(op, node.left), *_operands(op, node.right)]
    return [node]
