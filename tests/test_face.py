"""The face: every name resolves, cheaply, to what its room calls by that name."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType

import pytest

import invgan


def homes_for_type_checkers():
    (block,) = (
        node
        for node in ast.parse(Path(invgan.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    )
    return {
        node.module.removeprefix("invgan."): [name.name for name in node.names]
        for node in block.body
    }


@pytest.mark.parametrize("name", invgan.__all__)
def test_every_name_resolves_to_its_room_s(name):
    room = import_module(f"invgan.{invgan._HOME[name]}")
    assert getattr(invgan, name) is getattr(room, name)
    assert name in room.__all__


def test_the_list_of_homes_is_what_type_checkers_see():
    assert homes_for_type_checkers() == invgan._HOMES
    assert sorted(invgan._HOME) == invgan.__all__ == dir(invgan)


def test_importing_the_face_imports_nothing_heavy():
    code = "import sys, invgan; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    assert "invgan" in loaded
    assert not loaded & {"torch", "matplotlib", "scipy", "numpy", "sklearn", "pydantic", "yaml"}


def test_no_room_hides_a_name_of_the_face():
    """Importing a room sets an attribute of the package, which wins over `__getattr__`."""
    assert callable(invgan.solve)
    assert isinstance(invgan.simulate, FunctionType)
    rooms = {path.stem for path in Path(invgan.__file__).parent.iterdir()}
    assert not rooms & set(invgan.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'simulation_of_everything'"):
        _ = invgan.simulation_of_everything
