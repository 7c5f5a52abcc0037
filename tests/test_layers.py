"""The house rule: rooms import lower floors only, and each heavy package has its doors."""

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "invgan"
FLOORS = [
    {"cli"},
    {"study"},
    {"pipeline"},
    {"stages"},
    {"fingerprints", "folder", "solution"},
    {"config", "report"},
    {"rounds", "intervention"},
    {"answers"},
    {"gan", "mcmc", "correction", "mixing", "checks", "gallery"},
    {"predictability"},
    {"simulation"},
    {"calibration", "matching", "truncation", "store"},
    {"laws", "problem", "density", "scaling", "ratio", "metrics", "plots"},
    {"noise", "own_prior", "structure", "resampling", "models", "health"},
    {"drawn", "fields", "observations", "samples", "settings", "validation", "monotone", "fitting"},
    {"arguments", "balance", "priors", "execution", "tables"},
    {"files", "errors", "frames", "ground"},
    {"mapped"},
]
DOORS = {
    "torch": {"gan", "models"},
    "zuko": {"gan"},
    "safetensors": {"gan"},
    "emcee": {"mcmc"},
    "matplotlib": {"plots"},
    "corner": {"plots"},
    "yaml": {"config"},
    "click": {"cli"},
    "rich": {"cli"},
    "sklearn": {"metrics", "density", "ratio", "fitting"},
    "jinja2": {"report", "models"},
    "zarr": {"store"},
    "distributed": {"execution"},
    "optuna": {"study"},
    "pyarrow": {"models"},
    "torchdiffeq": {"models"},
    "netCDF4": {"models"},
    "pydantic": {"settings", "laws", "config", "study"},
}
FLOOR = {room: i for i, floor in enumerate(FLOORS) for room in floor}
FILES = [
    path.relative_to(HOUSE).as_posix()
    for path in sorted(HOUSE.rglob("*.py"))
    if path.parent.name != "starter" and path not in (HOUSE / "__init__.py", HOUSE / "__main__.py")
]


def room_of(file):
    return Path(file).parts[0].removesuffix(".py")


def imported(source):
    """Dotted names of all that a source text imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{name.name}" for name in node.names)


def faults(room, source):
    for name in imported(source):
        package, *rest = name.split(".")
        if package == "":
            yield f"{room} imports {name} by a relative name"
        elif package != "invgan":
            if room not in DOORS.get(package, {room}):
                yield f"{room} imports {package}, whose doors are {DOORS[package]}"
        elif not rest or rest[0] not in FLOOR:
            yield f"{room} imports {name} from the face"
        elif rest[0] != room and FLOOR[rest[0]] <= FLOOR[room]:
            yield f"{room} imports {rest[0]}, which is not below it"


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down(file):
    assert not list(faults(room_of(file), (HOUSE / file).read_text(encoding="utf-8")))


def test_every_room_has_a_floor_and_a_name_that_says_something():
    assert set(map(room_of, FILES)) == set(FLOOR)
    parts = {part.removesuffix(".py") for file in FILES for part in Path(file).parts}
    assert not parts & {"utils", "core", "base", "common", "helpers"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from invgan.pipeline import solve", "pipeline, which is not below"),
        ("from invgan.scaling import OutputScaling", "scaling, which is not below"),
        ("if TYPE_CHECKING:\n    from invgan.gan import Inverse", "gan, which is not below"),
        ("def f():\n    import invgan.cli.screen", "cli, which is not below"),
        ("from invgan import checks", "checks, which is not below"),
        ("from invgan import Problem", "from the face"),
        ("import invgan", "from the face"),
        ("from .errors import InputError", "relative name"),
        ("import torch.nn as nn", "torch, whose doors"),
        ("from matplotlib import pyplot", "matplotlib, whose doors"),
    ],
)
def test_the_check_finds_what_is_planted(source, said):
    (fault,) = faults("metrics", source)
    assert said in fault


def test_the_check_lets_the_right_imports_pass():
    source = "import numpy\nfrom invgan.errors import InputError\nfrom sklearn import svm"
    assert not list(faults("metrics", source))
    assert not list(faults("gan", "import torch\nfrom invgan.gan.heads import Head"))
