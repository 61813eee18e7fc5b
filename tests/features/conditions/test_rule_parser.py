"""rule-engine's parser: its kept tables are those of its grammar, and are read, not computed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from rule_engine._vendor.ply import yacc

from features.conditions.rule_parser import TABLES, Rule, as_module, computed_tables
from tests.commands import ROOT

READ = """
import features.conditions.expressions
from rule_engine._vendor.ply import yacc
print(type(yacc.parse.__self__.productions[1]).__name__)
"""


def kept():
    return json.loads(TABLES.read_text(encoding="utf-8"))


def test_the_kept_tables_are_those_of_the_rule_engine_that_is_installed():
    found = kept() == computed_tables()  # without pytest's comparison of 40 kB
    assert found, "run 'python -m features.conditions.rule_parser'"


@pytest.mark.process
def test_the_tables_are_read_where_conditions_are_imported_first():
    command = [sys.executable, "-c", READ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "MiniProduction"  # of PLY, for tables that were read


def kind_of_productions(tables):
    module = as_module(tables)
    made = yacc.yacc(module=Rule.parser, debug=False, write_tables=False, tabmodule=module)
    return type(made.productions[1]).__name__


def test_the_tables_of_another_grammar_are_computed_anew():
    assert kind_of_productions(kept()) == "MiniProduction"
    assert kind_of_productions(kept() | {"_lr_signature": "another"}) == "Production"
