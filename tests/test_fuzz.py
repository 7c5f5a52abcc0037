"""Whatever a file holds, it is read or refused with one sentence: no crash, no hang, no other.

Each reader of a file that a stranger may have made gets inputs of three kinds: valid ones that were
damaged in a few places, pieces of its language put together anyhow, and bytes. Some hundreds by
default; the slow run takes 100,000.
"""

from __future__ import annotations

import functools
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from invgan.config import load_config, to_yaml
from invgan.errors import InputError
from invgan.models import load_table
from invgan.models.outputs import check_reading, read_outputs
from invgan.models.template import check_template, render
from invgan.observations import as_observations
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import simulate
from invgan.store import Stored

FEW, MANY = 40, 100_000

CONFIG = """\
seed: 3
device: cpu
problem:
  model: model.py:rosenbrock
  prior:
    x1: {uniform: [-2, 2]}
    x2: {truncnorm: {mean: 0, sd: 1, low: -2, high: .inf}}
    x3: {scipy: {name: gennorm, beta: 1.5, loc: 1e-7}}
  observations: {truncnorm: {mean: 350, sd: 50, low: 200, high: 500}}
  noise: {student_t: {df: 4, sd: {y: 2}}}
simulate: {n: 1e5}
train: {steps: 6000, head: flow}
sample: {n: 20000, correct: true}
mcmc: {walkers: 64, steps: 5000}
"""
COMMAND = """\
problem:
  model:
    command: [./flow, '--k={k}', "{{text}}", '{here}/in']
    template: {in.txt: in.j2}
    read: {stdout: {peak: 'peak (.*)'}}
    timeout: 30
    environment: {A: '1'}
    keep: true
  prior: {k: {uniform: [0, 1]}}
  observations: [[1, 2], [3, 4]]
"""
ODE = """\
problem:
  model: {ode: 'm.py:f', initial: [1, 0], times: [1, 2], states: [u, v], observe: [u, 1]}
  prior: {multivariate_normal: {mean: [0, 0], cov: [[1, 0], [0, 1]], names: [a, b]}}
  observations: seen.csv
  question: posterior
"""
YAML = ["{", "}", "[", "]", ":", ": ", "- ", ", ", "\n", "\n  ", "'", '"', "&a ", "*a", "!!", "|",
        "? ", "# ", "%", "---\n", "!!float ", "<<: "]  # fmt: skip
WORDS = ["1e5", "true", "null", "~", ".nan", "-.inf", "0", "-1", "1e999", "[1]", "{}", "[[1], 2]",
         "problem", "prior", "observations", "uniform", "scipy", "dirichlet", "names", "train",
         "n", "model", "command", "ode", "read", "template", "../x", "/etc", "{k}"]  # fmt: skip
TABLE = "a,b,s\n" + "".join(f"0.{i},{i - 9},{i * 1.5}\n" for i in range(10, 40))
TEMPLATE = "{% for i in range(3) %}{{ a * i }} {% endfor %}{% if a > 1 %}{{ '%5.2e'|format(a) }}"
TEMPLATE += "{% else %}{{ parameters['a']|round(2) }}{% endif %}\n"
LANGUAGE = ["{{", "}}", "{%", "%}", " for i in ", " range(", ")", "|format(", "a", "i", "'", "~",
            "**", "*", "9", ".", "__class__", "[", "]", "if", "else", "endfor"]  # fmt: skip


STORE = (
    b"null",
    b"-1",
    b"99999999999",
    b"1e999",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"gzip",
    b"float16",
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, pieces: tuple[bytes, ...] = ()) -> bytes:
    """A valid file that was cut, patched or shuffled in a few places."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        to = min(len(data), at + draw(st.integers(0, 8)))
        new = draw(st.binary(max_size=4) | st.sampled_from([b"", *pieces]))
        data[at:to] = new if draw(st.booleans()) else data[at:to] * draw(st.integers(0, 3))
    return bytes(data)


def texts(*wholes: str, pieces: list[str]) -> st.SearchStrategy[bytes]:
    bits = tuple(piece.encode() for piece in pieces)
    anyhow = st.lists(st.sampled_from(bits) | st.text(max_size=3).map(encoded), max_size=25)
    broken = [damaged(whole.encode(), bits) for whole in wholes]
    return st.one_of(*broken, *broken, anyhow.map(b"".join), st.binary(max_size=60))


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def npy(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


NPY = npy(np.arange(6.0).reshape(3, 2))
HEADER = (
    b"'descr'",
    b"'|O'",
    b"'<U9'",
    b"'<f8'",
    b"(3, 2)",
    b"(99999999999,)",
    b"-1",
    b"True",
    b"()",
)


@st.composite
def archives(draw: st.DrawFn, **arrays: Any) -> bytes:
    """An .npz file, damaged as a whole or in one of its arrays."""
    members = {key: npy(np.asarray(values)) for key, values in arrays.items()}
    if inner := draw(st.booleans()):
        key = draw(st.sampled_from([*members]))
        members[key] = draw(damaged(members[key], HEADER) | st.just(NPY) | st.just(b""))
        if draw(st.booleans()):
            del members[draw(st.sampled_from([*members]))]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", draw(st.sampled_from([0, zipfile.ZIP_DEFLATED]))) as archive:
        for key, content in members.items():
            archive.writestr(f"{key}.npy", content)
    return file.getvalue() if inner else draw(damaged(file.getvalue(), HEADER))


SIMULATIONS = archives(
    x=np.ones((4, 2)), y=np.ones((4, 1)), failed=np.ones((1, 2)), names=["a", "b"], outputs=["y"],
    info='{"seed": 0}',
)  # fmt: skip
SAMPLES = archives(
    x=np.ones((4, 2)), y=np.ones((4, 1)), weights=np.ones(4), names=["a", "b"], outputs=["y"],
    info='{"seed": 0}',
)  # fmt: skip
X = np.random.default_rng(0).uniform(size=(30, 2))
COLUMNS = {"a": X[:, 0], "b": X[:, 1], "s": X.sum(axis=1)}
SIMULATED = "\n".join([",".join(COLUMNS), *(f"{a!r},{b!r},{a + b!r}" for a, b in X.tolist())])
PROBLEM = Problem(
    lambda x: x.sum(axis=1),
    Prior(a=stats.uniform(), b=stats.uniform()),
    {"s": stats.norm()},
)


def parquet() -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    file = pyarrow.BufferOutputStream()
    files.write_table(pyarrow.table(COLUMNS), file)
    return bytes(file.getvalue())


def read_config(path: Path) -> None:
    config = load_config(path)
    path.write_text(to_yaml(config), encoding="utf-8")
    assert load_config(path) == config


def read_simulations(path: Path) -> None:
    found = Simulations.load(path)
    assert found.x.shape == (len(found), len(found.names))
    assert len(found.y) == len(found)
    found.save(path)


def read_samples(path: Path) -> None:
    found = Samples.load(path)
    assert found.weights.shape == (len(found),)
    found.save(path)


def read_observations(path: Path) -> None:
    for missing in (False, True):
        seen = as_observations(path, missing=missing)
        assert seen.sample(3, np.random.default_rng(0)).shape == (3, seen.width)


def outputs_of(form: str, where: Any) -> Callable[[Path], None]:
    reading = check_reading({form: where})

    def read(path: Path) -> None:
        content = path.read_bytes()
        found = read_outputs(reading, path.parent, content, 1 << 20)
        assert found
        assert all(isinstance(value, float) for value in found.values())

    return read


def read_table(path: Path) -> None:
    found = load_table(path, PROBLEM)
    assert found.x.shape == (len(found), 2)
    assert np.isfinite(found.y).all()


def read_template(path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    check_template(text, "in.j2")
    render(text, "in.j2", {"a": 2.0, "parameters": {"a": 2.0}})


@functools.cache
def store() -> dict[str, bytes]:
    """The files of a small store of simulations."""
    with tempfile.TemporaryDirectory() as name:
        simulate(PROBLEM, 40, seed=1, store=Path(name) / "store")
        files = [file for file in Path(name).rglob("*") if file.is_file()]
        return {str(file.relative_to(name)): file.read_bytes() for file in files}


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """One file of the store, damaged at its beginning: its name, a line's end, its content."""
    name = draw(st.sampled_from(sorted(store())))
    head, rest = store()[name][:1000], store()[name][1000:]
    content = draw(damaged(head, STORE)) + (rest if draw(st.booleans()) else b"")
    return name.encode() + b"\n" + content


def read_store(path: Path) -> None:
    name, _, content = path.read_bytes().partition(b"\n")
    for file, whole in {**store(), name.decode(): content}.items():
        target = path.parent / file
        if not target.exists() or target.read_bytes() != whole:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(whole)
    found = Stored(path.parent / "store").load()
    assert found.x.shape == (len(found), len(found.names))


@dataclass(frozen=True)
class Reader:
    """A file's name, what to put into it, and who reads it."""

    name: str
    inputs: Callable[[], st.SearchStrategy[bytes]]
    read: Callable[[Path], None]


JSON = json.dumps({"peak": 1.5, "cases": [1, 2, {"x": None}], "text": "x"})
SAID = "peak = 1.5\nday 12\n"
READERS = [
    Reader("config.yml", lambda: texts(CONFIG, COMMAND, ODE, pieces=YAML + WORDS), read_config),
    Reader("seen.csv", lambda: texts(TABLE, pieces=[",", "\n", '"', "nan", "1e999", "é", " "]),
           read_observations),
    Reader("seen.npy", lambda: damaged(NPY, HEADER) | st.binary(max_size=90), read_observations),
    Reader("simulations.npz", lambda: SIMULATIONS, read_simulations),
    Reader("samples.npz", lambda: SAMPLES, read_samples),
    Reader("table.npz", lambda: archives(x=X, y=X[:, 0]) | archives(**COLUMNS), read_table),
    Reader("table.csv", lambda: texts(SIMULATED, pieces=[",", "\n", '"', "inf"]), read_table),
    Reader("table.parquet", lambda: damaged(parquet()), read_table),
    Reader("out.json", lambda: texts(JSON, pieces=["{", "[", ":", ",", "1e999", "9" * 5000, "NaN"]),
           outputs_of("json", "out.json")),
    Reader("out.csv", lambda: texts(TABLE, pieces=[",", "\n"]), outputs_of("csv", "out.csv")),
    Reader("said", lambda: texts(SAID, pieces=["=", "\n", "1e999", "1D400", "-"]),
           outputs_of("stdout", "names")),
    Reader("of-store", damaged_files, read_store),
    Reader("in.j2", lambda: texts(TEMPLATE, pieces=LANGUAGE), read_template),
]  # fmt: skip


def attack(reader: Reader, folder: Path, n: int, deadline: timedelta | None) -> dict[str, int]:
    """Give a reader n inputs; returns how many it read and how many it refused."""
    count = {"read": 0, "refused": 0}
    path = folder / reader.name

    @settings(
        max_examples=n, deadline=deadline, database=None, suppress_health_check=[*HealthCheck]
    )
    @given(content=reader.inputs())
    def one(content: bytes) -> None:
        path.write_bytes(content)
        try:
            reader.read(path)
        except InputError as error:
            said = str(error).strip()
            assert said
            assert len(said) < 2000
            assert not re.search(r"validation error|Traceback", said)
            count["refused"] += 1
        else:
            count["read"] += 1

    one()
    return count


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_what_comes_is_read_or_refused(reader: Reader, tmp_path: Path) -> None:
    count = attack(reader, tmp_path, FEW, None)
    assert count["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_hundred_thousand_inputs_are_read_or_refused(reader: Reader, tmp_path: Path) -> None:
    share = -(-MANY // len(READERS))
    count = attack(reader, tmp_path, share, timedelta(minutes=1))
    assert sum(count.values()) >= share
    assert min(count.values()) > 0


def test_an_error_of_another_kind_is_noticed(tmp_path: Path) -> None:
    def careless(path: Path) -> None:
        if b"3" in path.read_bytes():
            raise KeyError

    with pytest.raises(KeyError):
        attack(Reader("x", lambda: damaged(b"1" * 40, (b"3",)), careless), tmp_path, 200, None)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 20_000,
        "- " * 100_000,
        "? " * 100_000,
        "a: " + "&x " * 50_000,
        "!!" * 100_000,
        "a:\n" * 20_000,
        "\n" * 1_000_000,
        "'" + "''" * 300_000,
        '"' + "\\x" * 300_000,
        "# x\n" * 200_000,
        "a: |\n" + "  x\n" * 200_000,
        "a" * 1_000_000,
        "1" * 1_000_000,
        "a: " + "1e" * 400_000,
        "%YAML " * 100_000,
        "--- " * 100_000,
        "x" * 2_000_000,
    ],
    ids=lambda text: repr(text[:6]),
)
def test_a_config_of_a_megabyte_is_refused_like_a_short_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_config(tmp_path / "config.yml")
    assert len(str(caught.value)) < 2000
