"""Imports rule-engine, with the tables of its parser read from a file.

All modules import rule-engine from here. It would compute the tables anew in each worker of the
server, the learner and each command, which takes 0.25 s of CPU time. PLY, which makes its parser,
first looks for a module with tables that were made before, and this module gives it one. PLY then
compares the grammar. It computes the tables if another version of rule-engine has another grammar.

`python -m features.conditions.rule_parser` writes the file for the rule-engine that is installed.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

TABLES = Path(__file__).with_suffix(".json")
_LOOKED_FOR = "rule_engine.parser.parsetab"  # where PLY looks for the tables
_NAMES = ("_tabversion", "_lr_method", "_lr_signature", "_lr_action", "_lr_goto", "_lr_productions")


def as_module(tables: dict[str, Any]) -> ModuleType:
    """Make the module that PLY looks for of tables that were read from JSON."""
    by_state = {
        name: {int(state): row for state, row in tables[name].items()}  # the keys of JSON are texts
        for name in ("_lr_action", "_lr_goto")
    }
    module = ModuleType(_LOOKED_FOR)
    vars(module).update(tables | by_state | {"__file__": str(TABLES)})
    return module


def _import_with_tables() -> None:
    offered = TABLES.exists() and "rule_engine" not in sys.modules
    if offered:
        sys.modules[_LOOKED_FOR] = as_module(json.loads(TABLES.read_text(encoding="utf-8")))
    try:
        import rule_engine  # noqa: F401
    finally:
        if offered:
            del sys.modules[_LOOKED_FOR]


_import_with_tables()

from rule_engine import Context, DataType, Rule, ast  # noqa: E402
from rule_engine.errors import EngineError, RuleSyntaxError, SymbolResolutionError  # noqa: E402

__all__ = [
    "TABLES",
    "Context",
    "DataType",
    "EngineError",
    "Rule",
    "RuleSyntaxError",
    "SymbolResolutionError",
    "as_module",
    "ast",
    "computed_tables",
]


def computed_tables() -> dict[str, Any]:
    """Compute the tables for the rule-engine that is installed, as JSON holds them."""
    from rule_engine._vendor.ply import yacc

    with TemporaryDirectory() as folder:
        yacc.yacc(module=Rule.parser, debug=False, tabmodule="made", outputdir=folder)
        made = runpy.run_path(str(Path(folder) / "made.py"))
    tables: dict[str, Any] = json.loads(json.dumps({name: made[name] for name in _NAMES}))
    return tables


if __name__ == "__main__":
    TABLES.write_text(json.dumps(computed_tables(), sort_keys=True) + "\n", encoding="utf-8")
