"""The language of wordings: the part of Jinja2 whose cost is bounded before anything is filled in.

    {{ context_first_name or 'Hello' }}, {{ (order_n or 0)|round|int }} orders so far
    {% if plan == 'plus' %}...{% else %}...{% endif %}
    {% for page in ['help', 'offers'] %}{{ page }}{% if not loop.last %}, {% endif %}{% endfor %}

Everything else of Jinja2 is refused: calls and methods (``'a'.ljust(10**9)``), attributes, macros,
imports, loops over anything but a list that is written out. So each step of a text is computed at
most as often as the text says; `template_filters` bounds what one step may make.
"""

from __future__ import annotations

from collections.abc import Collection

from jinja2 import Environment, nodes
from jinja2.visitor import NodeTransformer

from features.nearest_names import nearest
from serving.catalog.template_bounds import MAX_INTEGER

MAX_TEXT = 5000  # characters of a template
MAX_STEPS = 500  # operations of a template, those of a loop counted for each turn
MAX_DEPTH = 40  # operations and statements within each other
MAX_TURNS = 20  # of a loop
CONCATENATION = "~"  # the name of the filter that stands for this operator
WRITTEN_LIST = "[]"  # and of the one that a list goes through, once its values are known

_ALLOWED = frozenset(
    {
        *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const),
        *(nodes.If, nodes.For, nodes.Assign, nodes.CondExpr, nodes.List, nodes.Tuple),
        *(nodes.Filter, nodes.Test, nodes.Keyword, nodes.Compare, nodes.Operand, nodes.Concat),
        *(nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos),
        *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
    }
)
_IN_WORDS: dict[type[nodes.Node], str] = {
    nodes.Call: "a call or a method, such as plan.upper(): a filter does that, as in plan|upper",
    nodes.Getattr: "a part of a value, such as plan.name",
    nodes.Getitem: "a part of a value in brackets, such as plan[0]",
    nodes.Pow: "a power such as 2 ** 3",
}
_LOOP_PARTS = frozenset({"index", "index0", "revindex", "first", "last", "length"})


def check(tree: nodes.Template, filters: Collection[str], tests: Collection[str]) -> None:
    """Refuse a template that is not in the language, or costs too much.

    Raises
    ------
    ValueError
        Says what is expected instead.
    """
    steps, open_nodes = 0, [(node, 1, 1) for node in tree.iter_child_nodes()]
    while open_nodes:
        node, depth, turns = open_nodes.pop()
        steps += turns
        if depth > MAX_DEPTH:
            raise ValueError(f"at most {MAX_DEPTH} operations within each other; it nests too deep")
        if steps > MAX_STEPS:
            raise ValueError(f"at most {MAX_STEPS} operations, those of a loop for each turn")
        _check_node(node, filters, tests)
        if isinstance(node, nodes.For):
            turns *= _turns(node)
            if turns > MAX_TURNS:
                raise ValueError(f"at most {MAX_TURNS} turns of a loop, inner loops included")
        if not _is_part_of_loop(node):
            open_nodes += ((inner, depth + 1, turns) for inner in node.iter_child_nodes())


def _check_node(node: nodes.Node, filters: Collection[str], tests: Collection[str]) -> None:
    kind = type(node)
    if kind not in _ALLOWED and not _is_part_of_loop(node):
        found = _IN_WORDS.get(kind, f"the statement {kind.__name__.lower()}")
        raise ValueError(
            "texts, names, comparisons, arithmetic, filters, if, set and loops over written lists; "
            f"not {found}"
        )
    if isinstance(node, nodes.Filter | nodes.Test):
        word, known = ("filters", filters) if isinstance(node, nodes.Filter) else ("tests", tests)
        if node.name not in known:
            listed = ", ".join(sorted(name for name in known if name.isidentifier()))
            raise ValueError(f"only the {word} {listed}; not {with_nearest(node.name, known)}")
    number = node.value if isinstance(node, nodes.Const) else 0
    if isinstance(number, int) and abs(number) > MAX_INTEGER:
        raise ValueError(f"whole numbers up to {MAX_INTEGER:,}")


def with_nearest(name: str, known: Collection[str]) -> str:
    """Write an unknown name, and behind it the known one that is nearest, if one is near."""
    close = nearest(name, known)
    return f"{name} (did you mean {close}?)" if close else name


def _turns(loop: nodes.For) -> int:
    if not isinstance(loop.iter, nodes.List | nodes.Tuple) or loop.recursive:
        raise ValueError("a loop over a list that is written out, as in for page in ['a', 'b']")
    return max(len(loop.iter.items), 1)


def _is_part_of_loop(node: nodes.Node) -> bool:
    if not isinstance(node, nodes.Getattr) or node.attr not in _LOOP_PARTS:
        return False
    return isinstance(node.node, nodes.Name) and node.node.name == "loop"


class Bounded(NodeTransformer):
    """Turns ``a ~ b`` and ``[a, b]`` into filters, which bound the result.

    If values are escaped, the author's own texts within an expression (``plan or '<b>none</b>'``)
    are marked as HTML.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        """Replace the operator."""
        parts = nodes.List([self.visit(part) for part in node.nodes])
        return self._filter(parts, CONCATENATION, node.lineno)

    def visit_List(self, node: nodes.List) -> nodes.Filter:
        """Bound the list: ``{% set a = [a, a] %}`` repeated doubles it each time."""
        return self._filter(self.generic_visit(node), WRITTEN_LIST, node.lineno)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        """Bound the list, unless it holds the names that a loop or a set gives values to."""
        written = self.generic_visit(node)
        return self._filter(written, WRITTEN_LIST, node.lineno) if node.ctx == "load" else written

    def visit_Const(self, node: nodes.Const) -> nodes.Expr:
        """Mark a text as HTML."""
        if self._environment.autoescape and isinstance(node.value, str):
            return nodes.MarkSafe(node, lineno=node.lineno, environment=self._environment)
        return node

    def _filter(self, node: nodes.Node, name: str, line: int) -> nodes.Filter:
        made = nodes.Filter(node, name, [], [], None, None)
        made.set_lineno(line)
        made.set_environment(self._environment)
        return made
