"""The result of each filter and operator is bounded, before it is made where it could be large."""

from __future__ import annotations

import pytest

from serving.catalog.template_bounds import MAX_FILLED, CostRefused
from serving.catalog.template_filters import BoundedEnvironment

PLAIN, HTML = BoundedEnvironment(html=False), BoundedEnvironment(html=True)


def filled(text, **values):
    return PLAIN.from_string(text).render(values)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{ '%.2f' % n }}", "3.14"),
        ("{{ '%5d|%-5s|%%'|format(n, 'a') }}", "    3|a    |%"),
        ("{{ '%(a)s'|format(a=n) }}", "3.14159"),
        ("{{ n|round(2) }}", "3.14"),
        ("{{ n|round(0, 'ceil')|int }}", "4"),
        ("{{ 7 // 2 + 7 % 4 - 1 * 2 / 4 }}", "5.5"),
        ("{{ 'a' + 'b' }}", "ab"),
        ("{{ 'a_b_c'|replace('_', ' ')|title }}", "A B C"),
        ("{{ 'a_b_c'|replace('_', ' ', 1) }}", "a b_c"),
        ("{{ none|default('x') }}{{ ''|d('y', true) }}{{ 'abc'|first }}{{ [3, 1]|min }}", "xya1"),
        ("{{ 'z'|default('x') }}{{ 0|default('x') }}", "z0"),
        ("{{ [3, 1]|max }}{{ [3, 1]|sum }}{{ ['a', 'b']|join('-') }}", "34a-b"),
        ("{{ 'a b&c'|urlencode }}", "a%20b%26c"),
    ],
)
def test_what_people_write_is_computed(text, result):
    assert filled(text, n=3.14159) == result


@pytest.mark.parametrize(
    "text",
    [
        "{{ '%300000000d' % 1 }}",
        "{{ '%.300000000f'|format(1) }}",
        "{{ '%*d'|format(300000000, 1) }}",
        "{{ '%s%' % 1 }}",
        "{{ ('%' ~ width ~ 'd') % 1 }}",
        "{{ 'a' * width }}",
        "{{ width * 'a' }}",
        "{{ [1] * width }}",
        "{{ 10000000 * width * width }}",
        "{{ huge + 1 }}",
        "{{ long + 'a' }}",
        "{{ long|replace('x', long) }}",
        "{{ long|replace('', 'ab') }}",
        "{{ [long, long]|join }}",
        "{{ long|urlencode|urlencode ~ '%'|urlencode ~ (long ~ '')|replace('x', '%')|urlencode }}",
        "{{ long|title }}",
        "{{ long|max }}",
        "{{ long|join(', ') }}",
        "{{ 5|round(999999999, 'ceil') }}",
        "{{ 5|round(-999999999, 'floor') }}",
        "{{ huge|float|int }}",
        "{{ ('9' ~ '9' * 0)|int if false else '9999999999999999999'|int }}",
    ],
)
def test_what_would_be_large_is_refused(text):
    with pytest.raises(CostRefused):
        filled(text, width=300_000_000, huge=10**200, long="x" * MAX_FILLED)


@pytest.mark.parametrize("environment", [PLAIN, HTML])
def test_no_global_and_no_costly_filter_is_there(environment):
    assert not environment.globals
    assert not {
        "center",
        "indent",
        "wordwrap",
        "batch",
        "slice",
        "safe",
        "tojson",
        "xmlattr",
    } & set(environment.filters)
