"""Ways to bring a model: equations, torch, files, tables and summaries."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from invgan.errors import InputError, ModelError
from invgan.models import (
    FileFunction,
    apply_summary,
    held_against,
    identity,
    load_table,
    ode_model,
    summarised,
    torch_model,
)
from invgan.models.identity import while_working
from invgan.priors import Dirichlet, Prior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.simulation import simulate

TIMES = [0.5, 1.0, 2.0]


def oscillator(t: float, u: Any, x: Any) -> Any:
    return np.array([u[1], -(x[0] ** 2) * u[0]])


def displaced(x: Any) -> Any:
    return np.array([x[1], 0.0])


def highest(times: Any, u: Any) -> dict[str, Any]:
    return {"highest": u[:, :, 0].max(axis=1), "last": u[:, -1, 0]}


def batched_oscillator(t: Any, u: Any, x: Any) -> Any:
    import torch

    return torch.stack([u[:, 1], -(x[:, 0] ** 2) * u[:, 0]], dim=1)


def batched_displaced(x: Any) -> Any:
    import torch

    return torch.stack([x[:, 1], torch.zeros_like(x[:, 1])], dim=1)


METHODS = ["LSODA", "RK45", "DOP853", "Radau", "torch"]


def make(method: str, **more: Any) -> Any:
    functions = (
        (batched_oscillator, batched_displaced) if method == "torch" else (oscillator, displaced)
    )
    if method == "torch":
        pytest.importorskip("torchdiffeq")
        more["device"] = "cpu"
    return ode_model(*functions, TIMES, states=["u", "v"], method=method, **more)


# Equations --------------------------------------------------------------------------------------


def test_observations_without_names_get_those_of_the_states() -> None:
    def problem(rows: Any, observe: list[str] | None = None, **more: Any) -> Problem:
        return Problem(make("LSODA", observe=observe or ["v"], **more), Prior(w=stats.norm()), rows)

    width = len(TIMES)
    v = tuple(make("LSODA", observe=["v"])([1.0, 0.5]))
    numbered = tuple(f"y{j + 1}" for j in range(width))
    assert problem(np.ones((30, width))).outputs == v
    assert problem(np.ones((30, width)), ["u", "v"]).outputs == numbered
    assert problem({name: np.ones(30) for name in numbered}).outputs == numbered
    summed = problem(np.ones((30, width)), summary=lambda t, u: u[:, :, 0])
    assert summed.outputs == numbered


@pytest.mark.parametrize("method", METHODS)
def test_the_oscillator_is_solved(method: str) -> None:
    x = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.1]])
    found = make(method, rtol=1e-9, atol=1e-11)(x)
    assert list(found) == ["u_0.5", "u_1", "u_2", "v_0.5", "v_1", "v_2"]
    for t in TIMES:
        exact = x[:, 1] * np.cos(x[:, 0] * t)
        np.testing.assert_allclose(found[f"u_{t:g}"], exact, atol=1e-6)
        np.testing.assert_allclose(
            found[f"v_{t:g}"], -x[:, 0] * x[:, 1] * np.sin(x[:, 0] * t), atol=1e-6
        )


@pytest.mark.parametrize("method", ["RK45", "torch"])
def test_the_error_falls_with_the_tolerance(method: str) -> None:
    x = np.array([[4.0, 1.0]])
    errors = [
        abs(make(method, rtol=tol, atol=tol)(x)["u_2"][0] - np.cos(8.0))
        for tol in (1e-3, 1e-6, 1e-9)
    ]
    assert errors[0] > 30 * errors[1] > 900 * errors[2]


def test_one_vector_and_a_batch_agree() -> None:
    model = make("LSODA", observe=["v"])
    x = np.array([[1.0, 2.0], [3.0, -1.0]])
    batch = model(x)
    for i, row in enumerate(x):
        assert model(row) == {name: column[i] for name, column in batch.items()}


@pytest.mark.parametrize("method", ["LSODA", "torch"])
def test_summaries_take_the_place_of_the_states(method: str) -> None:
    x = np.array([[1.0, 2.0], [3.0, -1.0]])
    raw = make(method, observe=["u"])(x)
    found = make(method, observe=["u"], summary=highest)(x)
    np.testing.assert_array_equal(found["highest"], np.max([*raw.values()], axis=0))
    np.testing.assert_array_equal(found["last"], raw["u_2"])
    arrays = make(method, summary=lambda t, u: u.reshape(len(u), -1))(x)
    assert arrays.shape == (2, 6)


def explode(t: float, u: Any, x: Any) -> Any:
    """du/dt = x u^2 from 1: infinite at t = 1 / x."""
    return x[0] * u**2


def batched_explode(t: Any, u: Any, x: Any) -> Any:
    return x[:, :1] * u**2


@pytest.mark.parametrize("method", ["LSODA", "RK45", "torch"])
def test_a_row_that_cannot_be_integrated_is_nan_and_the_others_are_not(method: str) -> None:
    if method == "torch":
        pytest.importorskip("torchdiffeq")
    rhs = batched_explode if method == "torch" else explode
    model = ode_model(rhs, [1.0], [1.0], method=method, device="cpu", summary=None, most=5000)
    found = model(np.array([[0.5], [2.0], [-1.0], [5.0]]))["u1_1"]
    np.testing.assert_allclose(found, [2, np.nan, 0.5, np.nan], rtol=1e-4)
    summed = ode_model(
        rhs, [1.0], [1.0], method=method, device="cpu", most=5000, summary=lambda t, u: u[:, 0]
    )
    np.testing.assert_array_equal(np.isnan(summed([2.0])), [True])


def test_an_integration_that_never_ends_is_ended() -> None:
    calls = []

    def stiff(t: float, u: Any, x: Any) -> Any:
        calls.append(t)
        return -1e7 * (u - np.cos(t))

    model = ode_model(stiff, [0.0], [100.0], method="RK45", most=500)
    assert np.isnan(model([1.0])["u1_100"])
    assert len(calls) <= 500
    assert np.isfinite(ode_model(stiff, [0.0], [100.0], method="LSODA")([1.0])["u1_100"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rhs": 3}, r"rhs must be a function f\(t, u, x\)"),
        ({"times": [2, 1]}, "times must increase, none before start=0"),
        ({"times": [-1, 1]}, "times must increase, none before start=0"),
        ({"times": []}, "times must increase"),
        ({"times": [0.0]}, "times must increase"),
        ({"times": [1, np.nan]}, "times must increase"),
        ({"initial": [1.0, np.nan]}, "initial must be 2 finite numbers"),
        ({"initial": [1.0]}, "initial must be 2 finite numbers"),
        ({"initial": "no"}, "initial must be 2 finite numbers"),
        ({"states": ["u", "u"]}, "states must name each state once"),
        ({"observe": ["w"]}, r"observe must name states \(u, v\); got 'w'"),
        ({"observe": [2]}, "observe must name states"),
        ({"observe": ["u", 0]}, "observe must name each state once"),
        ({"observe": []}, "observe must name each state once"),
        ({"method": "euler"}, "method must be one of LSODA"),
        ({"rtol": 0}, "rtol, atol and most must be above 0"),
    ],
)
def test_what_is_wrong_with_equations_is_one_sentence(change: Any, said: str) -> None:
    given = {"rhs": oscillator, "initial": [1.0, 0.0], "times": TIMES, "states": ["u", "v"]}
    given |= change
    with pytest.raises(InputError, match=said):
        ode_model(given.pop("rhs"), given.pop("initial"), given.pop("times"), **given)


def test_shapes_that_do_not_fit_are_errors_of_the_model() -> None:
    with pytest.raises(ModelError, match=r"right-hand side has shape \(1,\); expected \(2,\)"):
        ode_model(lambda t, u, x: u[:1], [1.0, 0.0], TIMES)([1.0])
    with pytest.raises(ModelError, match=r"initial state has shape \(3,\); expected \(2,\)"):
        ode_model(oscillator, lambda x: np.ones(3), TIMES, states=["u", "v"])([1.0])
    with pytest.raises(ModelError, match="observe names state 5 of 2"):
        ode_model(oscillator, [1.0, 0.0], TIMES, observe=[5])([1.0])
    with pytest.raises(ModelError, match=r"the summary turned outputs \(1, 3, 2\) into shape"):
        make("LSODA", summary=lambda t, u: 3.0)([1.0, 1.0])
    with pytest.raises(ModelError, match="summary raised ZeroDivisionError"):
        make("LSODA", summary=lambda t, u: 1 / 0)([1.0, 1.0])


def test_equations_may_write_into_what_they_are_given() -> None:
    def clipped(t: float, u: Any, x: Any) -> Any:
        u[u < 0.5] = 0.5
        x *= 2
        return -x * u

    def plain(t: float, u: Any, x: Any) -> Any:
        return -2 * x * np.maximum(u, 0.5)

    x = np.array([[0.5]])
    for method in ("RK45", "LSODA"):
        one, other = (ode_model(f, [1.0], [1.0, 3.0], method=method)(x) for f in (clipped, plain))
        assert {k: v.tolist() for k, v in one.items()} == {k: v.tolist() for k, v in other.items()}
    assert x == 0.5
    with pytest.raises(ModelError, match="rhs gave complex numbers"):
        ode_model(lambda t, u, x: u * 1j, [1.0], [1.0], method="RK45")([1.0])


def test_equations_are_pickled_and_known_again() -> None:
    model = make("LSODA", summary=highest)
    again = pickle.loads(pickle.dumps(model))
    x = np.array([[1.0, 2.0]])
    assert {k: v.tolist() for k, v in again(x).items()} == {
        k: v.tolist() for k, v in model(x).items()
    }
    assert identity(again) == identity(model)
    for one in (0, np.int64(0), "u"):
        assert set(make("LSODA", observe=one)(x)) == set(make("LSODA", observe=[0])(x))
    others = [make("RK45", summary=highest), make("LSODA"), make("LSODA", rtol=1e-5)]
    assert len({identity(one) for one in [model, *others]}) == 4


def test_equations_are_simulated_as_a_problem() -> None:
    prior = Prior(w=stats.uniform(1, 2), a=stats.norm())
    laws = {name: stats.norm() for name in ("u_1", "u_2")}
    for vectorized in (True, False):
        problem = Problem(make("LSODA"), prior, laws, vectorized=vectorized)
        found = simulate(problem, 20, seed=2)
        w, a = found.x.T
        np.testing.assert_allclose(found.y[:, 1], a * np.cos(2 * w), atol=1e-4)


# Torch ------------------------------------------------------------------------------------------


def squares(x: Any) -> Any:
    return x**2


def noisy(x: Any, generator: Any) -> Any:
    import torch

    return {"y": x[:, 0] + torch.randn(len(x), generator=generator, device=x.device).to(x)}


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_a_torch_function_gets_batches_and_gives_doubles(batch: int) -> None:
    x = np.random.default_rng(0).normal(size=(10, 2)) * 1e-9
    found = torch_model(squares, "cpu", batch=batch)(x)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, x**2)


def test_the_noise_of_a_torch_function_is_the_seed_s() -> None:
    model, x = torch_model(noisy, "cpu", batch=4), np.zeros((10, 1))
    draws = [model(x, np.random.default_rng(seed))["y"] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert len(np.unique(draws[0])) == 10


def test_what_is_wrong_with_a_torch_function() -> None:
    with pytest.raises(InputError, match="must be a function"):
        torch_model(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batch must be 1 or more"):
        torch_model(squares, batch=0)
    with pytest.raises(InputError, match="device 'cuda:99' is not there"):
        torch_model(squares, "cuda:99")(np.ones((1, 1)))
    with pytest.raises(ModelError, match="a torch model returns tensors; got ndarray"):
        torch_model(lambda x: x.numpy(), "cpu")(np.ones((1, 1)))
    assert pickle.loads(pickle.dumps(torch_model(squares))) == torch_model(squares)
    assert identity(torch_model(squares)) == identity(torch_model(squares, "cpu", batch=2))


@pytest.mark.gpu
def test_a_torch_function_runs_on_the_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    seen = []

    def where(x: Any) -> Any:
        seen.append(x.device.type)
        return x.sum(dim=1)

    x = np.arange(20.0).reshape(10, 2)
    np.testing.assert_array_equal(torch_model(where)(x), x.sum(axis=1))
    assert seen == ["cuda"]


# Files ------------------------------------------------------------------------------------------

FILE = """\
import numpy as np
from neighbour import SHIFT

SCALE = 2.0
TABLE = {"a": 1.0}

def scaled(x):
    return _helped(x) * SCALE + SHIFT

def _helped(x):
    return x.sum(axis=1) * TABLE["a"]

def unrelated(x):
    return x

class Kept:
    def __call__(self, x):
        return _helped(x)

kept = Kept()
"""


def model_file(folder: Path, text: str = FILE) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "neighbour.py").write_text("SHIFT = 1\n")
    (folder / "model.py").write_text(text)
    return folder / "model.py"


def test_a_function_of_a_file_works_in_another_process(tmp_path: Path) -> None:
    function = FileFunction(model_file(tmp_path), "scaled")
    (tmp_path / "pickled").write_bytes(pickle.dumps(function))
    code = (
        "import pickle, sys, numpy; f = pickle.load(open(sys.argv[1], 'rb')); "
        "assert f is pickle.load(open(sys.argv[1], 'rb')); print(f(numpy.ones((2, 3))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "pickled")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "[7. 7.]", done.stderr
    assert not [entry for entry in sys.path if entry == str(tmp_path)]


def test_a_file_that_changed_in_between_is_refused(tmp_path: Path) -> None:
    path = model_file(tmp_path)
    pickled = pickle.dumps(FileFunction(path, "scaled"))
    path.write_text(FILE + "# more\n")
    with pytest.raises(ModelError, match=r"model\.py was changed while a run was using it"):
        pickle.loads(pickled)


def test_it_looks_like_the_function_that_it_stands_for(tmp_path: Path) -> None:
    function = FileFunction(model_file(tmp_path), "scaled")
    assert (function.__name__, function.__qualname__) == ("scaled", "scaled")  # type: ignore[attr-defined]
    assert function.__code__.co_firstlineno == 7
    assert FileFunction(tmp_path / "model.py", "kept")(np.ones((1, 3))) == 3


SAME = [
    FILE + "\n# a remark\n",
    FILE.replace("def unrelated(x):\n    return x", "def unrelated(x):\n    return 3 * x"),
]
OTHER = [
    FILE.replace("SCALE = 2.0", "SCALE = 2.5"),
    FILE.replace('"a": 1.0', '"a": 1.5'),
    FILE.replace("x.sum(axis=1) *", "x.mean(axis=1) *"),
    FILE.replace("+ SHIFT", "- SHIFT"),
]


@pytest.mark.parametrize("name", ["scaled", "kept"])
def test_what_a_function_uses_of_its_file_is_part_of_what_it_is(tmp_path: Path, name: str) -> None:
    first = identity(FileFunction(model_file(tmp_path), name))
    for text in SAME:
        assert identity(FileFunction(model_file(tmp_path, text), name)) == first
    for text in OTHER[: 4 if name == "scaled" else 0] or OTHER[1:3]:
        assert identity(FileFunction(model_file(tmp_path, text), name)) != first, text


USING = """\
import functools
from fractions import Fraction
from types import SimpleNamespace
import numpy as np

LEVEL = 1.0
NAMES = {{"a", "b"}}
OPTIONS = SimpleNamespace(power=1.0)

def logged(f):
    @functools.wraps(f)
    def inner(x):
        return f(x)
    return inner

class Base:
    def gain(self):
        return 1.0

class Law(Base):
    rate = 1.0
    @staticmethod
    def twice(x):
        return 2.0 * x
    @property
    def level(self):
        return 1.0
    def __init__(self, k=1.0):
        self.k = k
    def __call__(self, x):
        return self.k * self.rate * self.gain() * self.level * self.twice(x)

law = Law()
table = np.vectorize(lambda x: x + 1.0)
def lower(x):
    return x - 1.0
TABLE = {{"a": lower}}
HALF = Fraction(1, 2)
class Frame:
    __slots__ = ("columns", "values")
    def __init__(self, columns, values):
        self.columns, self.values = columns, values
    def to_numpy(self):
        return np.array(self.values, object)
FRAME = Frame(["k"], [3.0])

{}
"""
USES = [
    ('def f(x, scale=1.0):\n    return scale * x', "1.0", "0.5"),
    ('def f(x, *, scale=1.0):\n    return scale * x', "1.0", "0.5"),
    ('def f(x):\n    return x if x.mode == "plus" else -x', "plus", "minus"),
    ('def f(x):\n    return [x for s in ("u",) if s]', '"u"', '"v"'),
    ("@logged\ndef f(x):\n    return x + LEVEL", "LEVEL = 1.0", "LEVEL = 2.0"),
    ("@logged\ndef f(x):\n    return 3.0 * x", "3.0", "4.0"),
    ("@functools.lru_cache\ndef f(x):\n    return 3.0 * x", "3.0", "4.0"),
    ("def f(x):\n    return OPTIONS.power * x", "power=1.0", "power=2.0"),
    ("def f(x):\n    return x if 'a' in NAMES else -x", '"a", "b"', '"b"'),
    ("def g():\n    def f(n):\n        return 5.0 * f(n)\n    return f\nf = g()", "5.0", "6.0"),
    ("def f(x):\n    return table(x)", "x + 1.0", "x + 2.0"),
    ("def f(x):\n    return TABLE['a'](x)", "x - 1.0", "x - 2.0"),
    ("def f(x):\n    return float(HALF) * x", "Fraction(1, 2)", "Fraction(1, 3)"),
    ("def f(x):\n    return x @ FRAME", "[3.0]", "[4.0]"),
    ("def f(x):\n    return x @ FRAME", '["k"]', '["l"]'),
    *[
        ("def f(x):\n    return law(x)", old, new)
        for old, new in (
            ("rate = 1.0", "rate = 2.0"), ("2.0 * x", "3.0 * x"), ("k=1.0", "k=2.0"),
            ("level(self):\n        return 1.0", "level(self):\n        return 2.0"),
            ("gain(self):\n        return 1.0", "gain(self):\n        return 2.0"),
        )
    ],
]  # fmt: skip


@pytest.mark.parametrize(("uses", "old", "new"), USES)
def test_no_part_of_what_a_function_does_may_change(
    tmp_path: Path, uses: str, old: str, new: str
) -> None:
    """What was simulated by the one would be taken for the outputs of the other."""
    text = USING.format(uses)
    assert text != text.replace(old, new)
    first, again, other = (
        identity(FileFunction(model_file(tmp_path, t), "f"))
        for t in (text, text + "# a remark\n", text.replace(old, new))
    )
    assert first == again != other


NEIGHBOUR = """\
import logging
import neighbour_of_neighbour as far
SHIFT = 1.0
CALLS = 0
logger = logging.getLogger("far")
class Law:
    def rate(self):
        return far.RATE
def flow(x):
    global CALLS
    CALLS += 1
    logger.debug("called")
    return SHIFT * x * Law().rate()
"""
FROM_ELSEWHERE = [
    "from neighbour import flow\ndef f(x):\n    return flow(x)\n",
    "import neighbour\ndef f(x):\n    return neighbour.flow(x)\n",
    "import neighbour\ndef f(x):\n    from neighbour import flow\n    return flow(x)\n",
    "import neighbour\nclass F:\n  def __call__(s, x):\n    return neighbour.flow(x)\nf = F()\n",
    "from neighbour import flow as f\n",
]


@pytest.mark.parametrize("text", FROM_ELSEWHERE)
def test_what_a_model_imports_from_the_user_s_files_is_part_of_it(
    tmp_path: Path, text: str
) -> None:
    def told(near: str, rate: float) -> str:
        path = model_file(tmp_path, text)
        (tmp_path / "neighbour.py").write_text(near)
        (tmp_path / "neighbour_of_neighbour.py").write_text(f"RATE = {rate}\nOTHER = 1\n")
        for name in ("neighbour", "neighbour_of_neighbour"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return FileFunction(path, "f").identity

    first = told(NEIGHBOUR, 1.0)
    assert told(NEIGHBOUR.replace("CALLS = 0", "CALLS = 7"), 1.0) == first
    logging.getLogger(f"far.{tmp_path.name}")
    assert told(NEIGHBOUR + "# a remark\n", 1.0) == first
    assert told(NEIGHBOUR, 2.0) != first
    assert told(NEIGHBOUR.replace("SHIFT = 1.0", "SHIFT = 2.0"), 1.0) != first


GAIN = 2.0


def amplified(x: np.ndarray) -> np.ndarray:
    return gained(x[:, 0])


def gained(x: np.ndarray) -> np.ndarray:
    return GAIN * x


def rates(t: float, u: Any, x: Any) -> Any:
    return -gained(u)


def test_a_function_of_python_is_followed_through_its_file(monkeypatch: Any) -> None:
    models = [amplified, partial(amplified), ode_model(rates, [1.0], [1.0]), torch_model(amplified)]
    before = [identity(model) for model in models]
    assert [identity(model) for model in models] == before
    monkeypatch.setattr(sys.modules[__name__], "GAIN", 3.0)
    assert all(identity(model) != told for model, told in zip(models, before, strict=True))
    monkeypatch.setattr(sys.modules[__name__], "GAIN", 2.0)
    assert [identity(model) for model in models] == before


def test_what_a_model_changes_of_itself_at_work_is_no_other_model() -> None:
    counting = Counting(2.0)
    first = identity(counting)

    @while_working
    def inner(problem: Problem) -> None:
        assert identity(counting) == first

    @while_working
    def work(problem: Problem) -> None:
        counting(np.ones((1, 1)))
        inner(problem)

    work(Problem(counting, Prior(a=stats.norm()), stats.norm()))
    assert counting.calls == 1
    assert identity(counting) == first
    counting.k = 3.0
    assert identity(counting) != first


def test_a_function_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Sets have another order in each."""
    sets = 'NAMES = {"a", "b", "c"}\ndef f(x):\n    return x in {"u", "v", "w"} or x in NAMES\n'
    path = model_file(tmp_path, sets)
    code = f"from invgan.models import FileFunction as F; print(F({str(path)!r}, 'f').identity)"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in (1, 2)
    }  # fmt: skip
    assert len(told) == 1


def test_a_remark_for_the_reader_is_no_part_of_a_function(tmp_path: Path) -> None:
    plain = 'def f(x):\n    """One."""\n    return "a", x\n'
    first, again = (
        identity(FileFunction(model_file(tmp_path, text), "f"))
        for text in (plain, plain.replace("One", "Two"))
    )
    assert first == again


class Counting:
    """A model with a parameter, that counts its calls."""

    def __init__(self, k: float) -> None:
        self.k, self.calls = k, 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.calls += 1
        return self.k * x[:, 0]

    def run(self, x: np.ndarray) -> np.ndarray:
        return self(x)


def made(k: float) -> Any:
    return lambda x: k * x[:, 0]


def by_default(k: float) -> Any:
    return lambda x, k=k: k * x[:, 0]


@pytest.mark.parametrize("make", [made, by_default, Counting, lambda k: Counting(k).run])
def test_a_store_refuses_a_model_with_another_number_in_it(make: Any, tmp_path: Path) -> None:
    two, three = (Problem(make(k), Prior(a=stats.norm()), np.zeros((30, 1))) for k in (2.0, 3.0))
    simulate(two, 2048, seed=1, store=tmp_path / "s")
    assert simulate(two, 2048, seed=1, store=tmp_path / "s").info["new_evaluations"] == 0
    with pytest.raises(InputError, match="another"):
        simulate(three, 2048, seed=1, store=tmp_path / "s")


def test_functions_of_python_are_known_by_their_instructions() -> None:
    def one(factor: float) -> Any:
        return [lambda x: 2 * x, lambda x: 2 * x, lambda x: 3 * x][int(factor)]

    assert identity(one(0)) == identity(one(1)) != identity(one(2))
    assert identity(partial(oscillator, 1.0)) != identity(partial(oscillator, 2.0))
    assert identity(np.linalg.norm) == identity(np.linalg.norm)


# Tables -----------------------------------------------------------------------------------------

PRIOR = Prior(a=stats.uniform(0, 2), b=stats.norm())


def table_problem() -> Problem:
    laws = {"s": stats.norm(), "p": stats.norm()}
    return Problem(lambda x: {"s": x.sum(axis=1), "p": x.prod(axis=1)}, PRIOR, laws)


def rows(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = PRIOR.sample(n, np.random.default_rng(seed))
    return x, np.stack([x.sum(axis=1), x.prod(axis=1)], axis=1)


def written(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    columns = {"p": y[:, 1], "b": x[:, 1], "extra": y[:, 0] + 1, "a": x[:, 0], "s": y[:, 0]}
    if path.suffix == ".csv":
        table = np.stack([*columns.values()], axis=1).tolist()
        lines = (",".join(repr(v) if np.isfinite(v) else "" for v in row) for row in table)
        text = "\n".join([",".join(columns), *lines])
        path.write_text(text)
    elif path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(columns | {"text": ["x"] * len(x)}), path)
    elif path.stem == "columns":
        np.savez(path, **columns)
    else:
        np.savez_compressed(path, x=x, y=y)
    return path


def sorted_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    both = np.concatenate([x, y], axis=1)
    return both[np.lexsort(both.T)]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "columns.npz", "xy.npz"])
def test_a_table_becomes_simulations(tmp_path: Path, name: str) -> None:
    x, y = rows()
    y[3, 1] = np.nan
    found = load_table(written(tmp_path / name, x, y), table_problem())
    assert (found.names, found.outputs) == (("a", "b"), ("s", "p"))
    good = np.delete(np.arange(200), 3)
    np.testing.assert_array_equal(sorted_rows(found.x, found.y), sorted_rows(x[good], y[good]))
    np.testing.assert_array_equal(found.failed, x[3:4])
    assert not np.array_equal(found.x, x[good])
    assert found.info["model_evaluations"] == 0
    again = load_table(tmp_path / name, table_problem())
    np.testing.assert_array_equal(again.x, found.x)


def change(path: Path, how: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = rows()
    if how == "nan":
        x[7, 0] = np.nan
    elif how == "outside":
        x[7, 0] = 2.5
    elif how == "law":
        x[:, 1] += 1.0
    elif how == "twice":
        x, y = np.tile(x, (2, 1)), np.tile(y, (2, 1))
    elif how == "few":
        x, y = x[:10], y[:10]
    elif how == "failed":
        y[:190] = np.inf
    return x, y


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nan", r"row 8: the parameter 'a' is not finite"),
        ("outside", r"1 of 200 rows lie outside the prior \(first: \{'a': 2.5"),
        ("law", r"'b' was not drawn from its prior"),
        ("twice", r"200 of 400 rows are there twice"),
        ("few", r"has 10 rows; 20 or more"),
        ("failed", r"10 of 200 rows have finite outputs"),
    ],
)
def test_a_table_that_the_prior_did_not_draw_is_refused(
    tmp_path: Path, how: str, said: str
) -> None:
    path = written(tmp_path / "t.csv", *change(tmp_path, how))
    with pytest.raises(InputError, match=said):
        load_table(path, table_problem())


def test_a_true_table_is_hardly_ever_refused(tmp_path: Path) -> None:
    for seed in range(20):
        load_table(written(tmp_path / "xy.npz", *rows(500, seed)), table_problem())


def test_a_table_of_another_model_is_found_out(tmp_path: Path) -> None:
    x, y = rows()
    problem = table_problem()
    path = tmp_path / "t.csv"
    path.write_text(
        "a,b,s,p\n" + "".join(f"{a:.9g},{b:.9g},{a + b:.9g},{a * b:.9g}\n" for a, b in x)
    )
    asked = []

    def model(x: Any) -> Any:
        asked.append(len(x))
        return np.stack([*problem.model(x).values()], axis=1)

    held_against(load_table(path, problem), model)
    assert asked == [20]
    other = load_table(written(tmp_path / "xy.npz", x, y * [1, 1.001]), problem)
    with pytest.raises(
        InputError, match=r"20 of 20 rows .* the model gives p = .* another model's"
    ):
        held_against(other, model)
    with pytest.raises(InputError, match="1 of 5 rows"):
        held_against(other, lambda x: np.where(x == x[2:3], -9, other.y[:5]), rows=5)


def test_tables_that_are_none(tmp_path: Path) -> None:
    problem = table_problem()
    for name in ("t.csv", "t.npz", "t.parquet"):
        with pytest.raises(InputError, match=rf"there is no file '.*{name}'"):
            load_table(tmp_path / name, problem)
        (tmp_path / name).write_bytes(b"nothing\n")
        with pytest.raises(InputError, match=name):
            load_table(tmp_path / name, problem)
    with pytest.raises(InputError, match=r"a table is a \.csv, \.parquet or \.npz file"):
        load_table(tmp_path / "t.xls", problem)
    (tmp_path / "t.csv").write_text("a,b,s\n" + "1,2,3\n" * 30)
    with pytest.raises(InputError, match="has no column 'p'"):
        load_table(tmp_path / "t.csv", problem)
    np.savez(tmp_path / "t.npz", x=np.ones((30, 3)), y=np.ones((30, 2)))
    with pytest.raises(InputError, match=r"has x of shape \(30, 3\)"):
        load_table(tmp_path / "t.npz", problem)


def test_proportions_from_a_table(tmp_path: Path) -> None:
    prior = Dirichlet([1, 1, 1], ["sand", "silt", "clay"])
    problem = Problem(lambda x: x[:, 0], prior, stats.uniform())
    x = prior.sample(100, np.random.default_rng(0))
    np.savez(tmp_path / "t.npz", x=x, y=x[:, 0])
    assert len(load_table(tmp_path / "t.npz", problem)) == 100


# Summaries --------------------------------------------------------------------------------------


def waves(x: Any) -> Any:
    return x[:, :1] * np.sin(np.linspace(0, 3, 7) + x[:, 1:2])


def moments(y: Any) -> dict[str, Any]:
    return {"mean": y.mean(axis=1), "sd": y.std(axis=1)}


def test_a_summary_of_a_model_is_a_model(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 2))
    model = summarised(waves, moments)
    np.testing.assert_array_equal(model(x)["sd"], waves(x).std(axis=1))
    single = summarised(lambda row: waves(row[None])[0], moments, vectorized=False)
    assert single(x[2]) == {name: column[2] for name, column in model(x).items()}
    named = summarised(lambda x: {"u": x[:, 0], "v": x[:, 1]}, lambda y: y[:, 1] - y[:, 0])
    np.testing.assert_array_equal(named(x), x[:, 1] - x[:, 0])
    assert identity(pickle.loads(pickle.dumps(model))) == identity(model)
    assert identity(model) != identity(summarised(waves, lambda y: y.max(axis=1)))
    with pytest.raises(InputError, match="the summary must be a function"):
        summarised(waves, None)  # type: ignore[arg-type]


def test_a_summary_never_sees_a_failed_row() -> None:
    def careful(y: Any) -> Any:
        assert np.isfinite(y).all()
        return y.mean(axis=1)

    def fails(x: Any) -> Any:
        return np.where(x[:, :1] > 0, waves(x), np.nan)

    x = np.array([[1.0, 0], [-1, 0], [2, 0]])
    found = summarised(fails, careful)(x)
    np.testing.assert_array_equal(np.isnan(found), [False, True, False])
    assert np.isnan(summarised(fails, careful)(x[1:2])).all()


def raw_simulations(n: int = 50) -> Simulations:
    problem = Problem(
        waves, Prior(a=stats.norm(), b=stats.uniform()), [stats.norm()] * 7,
        outputs=[f"t{i}" for i in range(7)],
    )  # fmt: skip
    return simulate(problem, n, seed=3)


def test_raw_simulations_are_summarised_again_without_the_model() -> None:
    raw = raw_simulations()
    raw.info["fingerprint"] = "abc"
    found = apply_summary(raw, moments)
    direct = Problem(
        summarised(waves, moments), Prior(a=stats.norm(), b=stats.uniform()),
        {"mean": stats.norm(), "sd": stats.norm()},
    )  # fmt: skip
    np.testing.assert_array_equal(found.y, simulate(direct, 50, seed=3).y)
    np.testing.assert_array_equal(found.x, raw.x)
    assert found.outputs == ("mean", "sd")
    assert "fingerprint" not in found.info
    assert (found.info["raw_fingerprint"], found.info["summary"]) == ("abc", "moments")
    chosen = apply_summary(raw, moments, ["sd"])
    np.testing.assert_array_equal(chosen.y, found.y[:, 1:])
    assert apply_summary(raw, lambda y: y[:, :2]).outputs == ("y1", "y2")


def test_rows_without_a_summary_join_the_failed_ones() -> None:
    raw = raw_simulations()
    found = apply_summary(raw, lambda y: np.where(y[:, 0] > 0, y[:, 0], np.inf))
    assert len(found) + len(found.failed) == 50
    assert found.info["not_finite"] == len(found.failed) > 5
    assert (found.y > 0).all()


def test_what_is_wrong_with_a_summary_is_one_sentence() -> None:
    raw = raw_simulations()
    with pytest.raises(InputError, match=r"the summary has no output 'peak'; it has \['mean'"):
        apply_summary(raw, moments, ["peak"])
    with pytest.raises(InputError, match="outputs names 1 outputs; the summary has 7 columns"):
        apply_summary(raw, lambda y: y, ["y"])
    with pytest.raises(ModelError, match=r"the summary turned outputs \(50, 7\) into shape \(7,\)"):
        apply_summary(raw, lambda y: y.mean(axis=0))
    repeats = Simulations(raw.x, np.tile(raw.y, 2), raw.names, raw.outputs, raw.failed)
    with pytest.raises(InputError, match="the simulations hold repeats"):
        apply_summary(repeats, moments)


def test_a_table_may_lack_outputs_that_may_be_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = np.cumsum(np.repeat(x, 2, axis=1), axis=1)
    y[rng.random(400) < 0.6, 3] = np.nan
    np.savez(tmp_path / "t.npz", x=x, y=y)
    prior = Prior(a=stats.norm(), b=stats.norm())
    problem = Problem(lambda x: x, prior, y[:1], question="posterior", noise={"normal": 0.1},
                      missing=True)  # fmt: skip
    found = load_table(tmp_path / "t.npz", problem)
    assert len(found) == 400
    assert not len(found.failed)
    by_row = {tuple(row): outputs for row, outputs in zip(x, y, strict=True)}
    held_against(found, lambda x: np.array([by_row[tuple(row)] for row in x]))


def test_a_table_may_be_rounded_and_call_its_parameter_x(tmp_path: Path) -> None:
    x = Dirichlet([2.0, 3.0, 4.0]).sample(300, np.random.default_rng(1))
    problem = Problem(lambda x: x[:, :1], Dirichlet([2.0, 3.0, 4.0]), stats.norm())
    for kept in (x.astype(np.float32), x.round(6)):
        np.savez(tmp_path / "t.npz", x=kept, y=kept[:, :1])
        assert len(load_table(tmp_path / "t.npz", problem)) == 300
    one = Problem(lambda x: x, Prior(x=stats.norm()), stats.norm())
    rows = np.random.default_rng(1).normal(size=(300, 1))
    np.savez(tmp_path / "t.npz", x=rows, y=2 * rows)
    found = load_table(tmp_path / "t.npz", one)
    np.testing.assert_array_equal(found.y, 2 * found.x)
