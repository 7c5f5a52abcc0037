"""The page of the family of GANs: its tests exist, its YAML loads, its Python asks the same."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

import invgan as ig
from invgan.config import Config, load_config
from invgan.settings import TrainConfig

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "family.md").read_text(encoding="utf-8")
SYSTEMS = PAGE.partition("\n## References\n")[0]
SECTIONS = {part.partition("\n")[0]: part for part in SYSTEMS.split("\n## ")[1:]}
PROBLEM = "problem: {model: gallery:rosenbrock}\n"


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@cache
def functions_of(file: str) -> dict[str, ast.FunctionDef]:
    """The functions of a file by name."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def loaded(block: str, folder: Path) -> Config:
    """A block of YAML as a configuration, of some problem where it has none."""
    path = folder / "config.yml"
    path.write_text(block if "problem:" in block else PROBLEM + block, encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_system_is_shown_by_tests_that_exist(section: str) -> None:
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", SECTIONS[section])
    assert named
    for file, name in named:
        assert name.startswith("test_")
        assert name in functions_of(file), f"{file} has no {name}"
        decorators = " ".join(ast.unparse(d) for d in functions_of(file)[name].decorator_list)
        assert "xfail" not in decorators
        assert ("skipif" in decorators) == (f"{name}` (on a GPU)" in SECTIONS[section])


@pytest.mark.parametrize("section", SECTIONS)
def test_yaml_and_python_ask_the_same(section: str, tmp_path: Path) -> None:
    asked = [loaded(block, tmp_path).train for block in fenced(SECTIONS[section], "yaml")]
    python = fenced(SECTIONS[section], "python")
    assert python
    for block in python:
        tree = ast.parse(block)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            check_call(call)
        if re.search(r"^config = ", block, re.MULTILINE):
            names: dict[str, Any] = {"ig": ig}
            exec(compile(block, "docs/family.md", "exec"), names)
            assert names["config"] in asked
            assert asked[0] != TrainConfig() or "restarts=2" in block


def check_call(call: ast.AST) -> None:
    """A function of the face takes the keywords that it is called with."""
    assert isinstance(call, ast.Call)
    of = call.func
    if isinstance(of, ast.Attribute) and isinstance(of.value, ast.Name) and of.value.id == "ig":
        takes = inspect.signature(getattr(ig, of.attr)).parameters
        free = any(p.kind is p.VAR_KEYWORD for p in takes.values())
        assert free or {k.arg for k in call.keywords} <= set(takes), ast.unparse(call)


@pytest.mark.parametrize("setting", ["loss", "optimiser"])
def test_no_choice_is_left_out(setting: str, tmp_path: Path) -> None:
    blocks = [b for b in fenced(PAGE, "yaml") if f"  {setting}:" in b]
    shown = {getattr(loaded(block, tmp_path).train, setting) for block in blocks}
    assert shown == set(get_args(TrainConfig.model_fields[setting].annotation))


def test_a_mistake_on_the_page_would_be_found(tmp_path: Path) -> None:
    assert "test_nothing_of_the_kind" not in functions_of("tests/test_family.py")
    with pytest.raises(ig.InputError, match="losss"):
        loaded("train: {losss: hinge}\n", tmp_path)
    with pytest.raises(AssertionError, match="nothing"):
        check_call(ast.parse("ig.train(problem, nothing=1)", mode="eval").body)
