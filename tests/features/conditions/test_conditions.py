"""Conditions computed all at once hold exactly when the library says so of each alone."""

from __future__ import annotations

import doctest
import pickle
from concurrent.futures import ThreadPoolExecutor
from math import inf, nan

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rule_engine import Context, DataType, Rule, ast, errors

from features.conditions import conditions
from features.conditions.conditions import Conditions, Formula
from features.conditions.names import Names
from features.errors import InvalidCondition
from tests.bench import eligibility

KINDS = {"a": "number", "s": "text", "b": "number", "yes": "truth", "t": "text", "c": "number"}
NAMES = Names(KINDS := KINDS | {"sure": "truth"})
ALONE = Context()
TYPES = {"number": DataType.FLOAT, "text": DataType.STRING, "truth": DataType.BOOLEAN}


def row(names, known):
    """The row of numbers and the texts of a customer of whom ``known`` is known."""
    numbers = np.full(len(names.position), nan)
    for name, at in names.position.items():
        if known.get(name) is not None:
            numbers[at] = known[name]
    return numbers, {name: known.get(name) for name in names.kinds if name not in names.position}


def holds(text, **known):
    (held,) = Conditions(NAMES, [text]).holds(*row(NAMES, known))
    return bool(held)


@pytest.mark.parametrize(
    ("text", "known", "held"),
    [
        ("a > 3", {"a": 4}, True),
        ("a > 3", {"a": 3}, False),
        ("a >= 3 and b <= 2", {"a": 3, "b": 2}, True),
        ("a < 3 or b < 2", {"a": 3, "b": 2}, False),
        ("a == 0.1", {"a": 0.1}, True),
        ("a > 1e3", {"a": inf}, True),
        ("a > -1 and not b > 0", {"a": 0, "b": 0}, True),
        ("a > 0 or b > 0 and c > 0", {"a": 1, "b": 0, "c": 0}, True),
        ("(a > 0 or b > 0) and c > 0", {"a": 1, "b": 0, "c": 0}, False),
        ("s == 'gold'", {"s": "gold"}, True),
        ('s != "it\'s"', {"s": "it's"}, False),
        ("s == 'Città'", {"s": "Città"}, True),
        ("s in ['gold', 'silver']", {"s": "silver"}, True),
        ("s not in ['gold', 'silver']", {"s": "bronze"}, True),
        ("a in [1, -2.5]", {"a": -2.5}, True),
        ("s == t", {"s": "x", "t": "x"}, True),
        ("s == t", {"s": "x", "t": "y"}, False),
        ("s == t or t == 'x'", {"s": "x", "t": "x"}, True),
        ("yes", {"yes": True}, True),
        ("not yes", {"yes": False}, True),
        ("yes == sure", {"yes": False, "sure": False}, True),
        ("yes == (a > 3)", {"yes": True, "a": 4}, True),
        ("true", {}, True),
        ("1 > 2", {}, False),
        ("a + b * 2 - -c / 4 == 6", {"a": 1, "b": 2, "c": 4}, True),
        ("a / b > 0.3", {"a": 1, "b": 3}, True),
        ("(a > 3 ? b : c) == 7", {"a": 4, "b": 7, "c": 0}, True),
        ("(a > 3 ? s : t) == 'x'", {"a": 3, "s": "x", "t": "y"}, False),
    ],
)
def test_what_is_known_is_compared(text, known, held):
    assert holds(text, **known) is held


@pytest.mark.parametrize(
    ("text", "known", "held"),
    [
        ("a > 3", {}, False),
        ("a <= 3", {}, False),
        ("a == 3", {}, False),
        ("a != 3", {}, True),
        ("not a > 3", {}, True),
        ("not a == 3", {}, True),
        ("a == b", {}, False),
        ("a != b", {}, True),
        ("a >= b", {}, False),
        ("s == 'gold'", {}, False),
        ("s != 'gold'", {}, True),
        ("s == t", {}, False),
        ("s in ['gold']", {}, False),
        ("s not in ['gold']", {}, True),
        ("yes", {}, False),
        ("not yes", {}, True),
        ("yes == false", {}, False),
        ("yes ?? true", {}, True),
        ("not (yes ?? sure)", {}, True),
        ("not (a > 3 ? yes : sure)", {}, True),
        ("a == null", {}, True),
        ("a == null", {"a": 0}, False),
        ("a != null and not a > 3", {}, False),
        ("null != s", {"s": ""}, True),
        ("s == null", {}, True),
        ("yes == null", {"yes": False}, False),
        ("a + 1 > 0", {}, False),
        ("a + 1 == null", {}, True),
        ("(a ?? 5) > 4", {}, True),
        ("(a ?? 5) > 4", {"a": 0}, False),
        ("(s ?? 'gold') == 'gold'", {}, True),
        ("(a > 3 ? 1 : 2) == 2", {}, True),
        ("(yes ? sure : yes)", {"yes": True}, False),
        ("a / b > 0", {"a": 1, "b": 0}, False),
        ("a / b < 0", {"a": 1, "b": 0}, False),
        ("a / b != 0", {"a": 1, "b": 0}, True),
        ("a / b == null", {"a": 0, "b": 0}, True),
        ("b != 0 and a / b > 1 or a > 0", {"a": 1, "b": 0}, True),
    ],
)
def test_the_unknown_has_one_rule(text, known, held):
    assert holds(text, **known) is held


def test_a_text_that_is_missing_is_unknown():
    assert Conditions(NAMES, ["s == null"]).holds(np.zeros(5), {}).tolist() == [True]


# All values are small multiples of a power of two, so that the library's decimals and our floats
# are both exact.
values = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0])
words = st.sampled_from(["x", "y", "z", ""])
some = {"number": values, "text": words, "truth": st.booleans()}
everything = st.fixed_dictionaries({name: some[kind] for name, kind in KINDS.items()})
something = st.fixed_dictionaries({name: some[kind] | st.none() for name, kind in KINDS.items()})


def quoted(word):
    return f"'{word}'"


def named(kind):
    return st.sampled_from([name for name, its in KINDS.items() if its == kind])


def built(form, *parts):
    return st.tuples(*parts).map(lambda drawn: form.format(*drawn))


plain = named("number") | values.map("{:g}".format)
order = st.sampled_from([">", ">=", "<", "<="])
equality = st.sampled_from(["==", "!="])
numbers = st.deferred(
    lambda: (
        plain
        | built("({} {} {})", numbers, st.sampled_from("+-*"), numbers)
        | built("({} / {})", numbers, plain)
        | built("(-{})", named("number"))
        | built("({} ?? {})", numbers, plain)
        | built("({} ? {} : {})", truths, numbers, plain)
    )
)
texts = named("text") | words.map(quoted)
listed = st.lists(words.map(quoted), min_size=1, max_size=3).map(", ".join)
truths = st.deferred(
    lambda: (
        named("truth")
        | built("{} {} {}", numbers, order | equality, numbers)
        | built("{} {} {}", texts, equality, texts)
        | built("{} {} null", named("number") | named("text") | named("truth"), equality)
        | built("{} {} [{}]", named("text"), st.sampled_from(["in", "not in"]), listed)
        | built("{} {} {}", named("truth"), equality, named("truth") | st.just("true"))
        | built("({} ?? {})", named("truth"), named("truth"))
        | built("({} ? {} : {})", truths, named("truth"), named("truth"))
        | built("not ({})", truths)
        | built("({} {} {})", truths, st.sampled_from(["and", "or"]), truths)
    )
)


def readable(kind, *written):
    """Compile; skip examples with a constant division by zero or a text that is too long."""
    try:
        return kind(NAMES, *written)
    except InvalidCondition:
        assume(False)


@settings(deadline=None, max_examples=300)
@given(truths, everything)
def test_where_everything_is_known_the_library_agrees(text, known):
    plan = readable(Conditions, [text])
    types = {name: TYPES[kind] for name, kind in KINDS.items()}
    try:
        expected = Rule(text, Context(type_resolver=types)).matches(known)
    except errors.ArithmeticError:  # a division by zero
        assume(False)
    assert plan.holds(*row(NAMES, known)).tolist() == [expected]


@settings(deadline=None, max_examples=500)
@given(truths, something)
def test_where_something_is_unknown_the_library_agrees_step_by_step(text, known):
    plan = readable(Conditions, [text])
    expected = by_library(Rule(text, ALONE).statement.expression, known) is True
    assert plan.holds(*row(NAMES, known)).tolist() == [expected]


def by_library(node, known):
    """One operation after the other by the library; ours is only the rule for the unknown."""
    match node:
        case ast.SymbolExpression(name=name):
            return known[name]
        case ast.LogicExpression(type="and", left=left, right=right):
            return by_library(left, known) is True and by_library(right, known) is True
        case ast.LogicExpression(left=left, right=right):
            return by_library(left, known) is True or by_library(right, known) is True
        case ast.UnaryExpression(type="not", right=right):
            return by_library(right, known) is not True
        case ast.CoalesceExpression(left=left, right=right):
            value = by_library(left, known)
            return by_library(right, known) if value is None else value
        case ast.TernaryExpression(condition=condition, case_true=yes, case_false=no):
            return by_library(yes if by_library(condition, known) is True else no, known)
        case ast.ContainsExpression(member=member, container=container):
            value = by_library(member, known)
            return value is not None and alone(ast.ContainsExpression, container, value)
        case ast.ComparisonExpression(type=op, left=left, right=right):
            pair = by_library(left, known), by_library(right, known)
            if ast.NullExpression in (type(left), type(right)):
                return (pair == (None, None)) is (op == "eq")
            return op == "ne" if None in pair else alone(type(node), op, *pair)
        case ast.UnaryExpression(type=op, right=right):
            value = by_library(right, known)
            return None if value is None else alone(ast.UnaryExpression, op, value)
        case ast.BinaryExpressionBase(type=op, left=left, right=right):
            pair = by_library(left, known), by_library(right, known)
            return None if None in pair else alone(type(node), op, *pair)
    return node.evaluate(None)


def alone(operation, op, *of):
    """The library's answer to one operation on values; unknown if it has none."""
    literals = (ast.LiteralExpressionBase.from_value(ALONE, value) for value in of)
    try:
        return operation(ALONE, op, *literals).evaluate(None)
    except errors.EvaluationError:
        return None


@pytest.fixture(scope="module")
def policy():
    """3,000 conditions as the benchmark draws them."""
    return Conditions(eligibility.NAMES, eligibility.policy(np.random.default_rng(5)))


def test_3000_conditions_together_hold_as_each_one_alone(policy):
    rng = np.random.default_rng(6)
    trees = [Rule(text, ALONE).statement.expression for text in policy.texts]
    for _ in range(2):
        numbers, texts = eligibility.customer(rng)
        known = dict(texts)
        for name, at in eligibility.NAMES.position.items():
            value = None if np.isnan(numbers[at]) else float(numbers[at])
            truth = eligibility.NAMES.kinds[name] == "truth" and value is not None
            known[name] = bool(value) if truth else value
        expected = [by_library(tree, known) is True for tree in trees]
        assert policy.holds(numbers, texts).tolist() == expected
        assert 0.2 < np.mean(expected) < 0.8


def test_threads_and_copies_give_one_answer(policy):
    rng = np.random.default_rng(7)
    customers = [eligibility.customer(rng) for _ in range(100)]
    answers = [policy.holds(*customer) for customer in customers]
    with ThreadPoolExecutor(4) as pool:
        assert np.array_equal(list(pool.map(lambda each: policy.holds(*each), customers)), answers)
    copy = pickle.loads(pickle.dumps(policy))
    assert np.array_equal([copy.holds(*customer) for customer in customers], answers)


def test_names_stand_in_the_order_of_the_text():
    plan = Conditions(NAMES, ["(c > 1 ? b : a) > a and s in ['t', 'u']", "not yes", "true"])
    assert [plan.names_in(index) for index in range(3)] == [("c", "b", "a", "s"), ("yes",), ()]


def test_no_condition_is_no_answer():
    assert Conditions(NAMES, []).holds(np.zeros(5), {}).shape == (0,)


def test_the_first_broken_condition_is_named():
    with pytest.raises(InvalidCondition, match="^`d > 3` names d"):
        Conditions(NAMES, ["a > 3", "d > 3", "e > 3"])


def test_the_example_in_the_docstring_is_true():
    assert doctest.testmod(conditions) == doctest.TestResults(failed=0, attempted=3)


USUAL = "acceptance * weight * value * lever - cost - 0.5 * a"
OF_EACH = ("acceptance", "weight", "value", "lever", "cost")


def test_a_formula_gives_each_candidate_its_number():
    rng = np.random.default_rng(8)
    own = {name: rng.random(1000) for name in OF_EACH}
    acceptance, weight, value, lever, cost = own.values()
    formula = Formula(NAMES, USUAL, OF_EACH)
    expected = acceptance * weight * value * lever - cost - 0.5 * 3
    assert np.array_equal(formula.values(own, *row(NAMES, {"a": 3})), expected)
    assert formula.names == (*OF_EACH, "a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("own", [1.0, 0.0, nan]),
        ("a", [4.0, 4.0, 4.0]),
        ("own + b", [nan, nan, nan]),
        ("own + (b ?? 1)", [2.0, 1.0, nan]),
        ("a / own", [4.0, nan, nan]),
        ("1e308 * (a + own)", [nan, nan, nan]),
        ("1e308 * a - 1e308 * a", [nan, nan, nan]),
        ("s == 'x' ? own : 0", [1.0, 0.0, nan]),
        ("own > 0.5 ? 0.5 : own", [0.5, 0.0, nan]),
        ("yes ? 1 : t == s ? 2 : 3", [3.0, 3.0, 3.0]),
    ],
)
def test_what_a_formula_cannot_compute_is_nan(text, expected):
    values = Formula(NAMES, text, ["own"]).values(
        {"own": np.array([1.0, 0.0, nan])}, *row(NAMES, {"a": 4, "s": "x"})
    )
    assert np.array_equal(values, expected, equal_nan=True)


def test_a_formula_for_nobody_is_empty():
    assert Formula(NAMES, "own", ["own"]).values({"own": np.zeros(0)}, np.zeros(5), {}).size == 0


@settings(deadline=None, max_examples=200)
@given(numbers, something, st.lists(values | st.none(), min_size=1, max_size=4))
def test_a_formula_is_the_same_for_many_as_for_each(text, known, own):
    vector = np.array([nan if value is None else value for value in own])
    formula = readable(Formula, text, ["a"])
    tree = Rule(text, ALONE).statement.expression
    expected = [by_library(tree, known | {"a": value}) for value in own]
    expected = [nan if value is None else float(value) for value in expected]
    answer = formula.values({"a": vector}, *row(NAMES, known))
    assert np.array_equal(answer, expected, equal_nan=True)
