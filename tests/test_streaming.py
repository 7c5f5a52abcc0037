"""Simulations on the disk train what they train in memory, and memory stays bounded."""

import errno
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, add
from scipy import stats

import invgan as ig
from invgan import mapped, samples
from invgan.errors import InputError
from invgan.files import digest
from invgan.gan import judge, pairing, streaming, train
from invgan.gan.stage import Pairs
from invgan.gan.streaming import written
from invgan.mapped import let_go, on_disk, taken
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.settings import EmbeddingConfig, McmcConfig, SampleConfig, SimulateConfig
from invgan.simulation import fill_store, simulate
from invgan.store import Stored, reading

CPU = torch.device("cpu")
PRIOR = Prior(x1=stats.norm(), x2=stats.norm())
SHORT = {"head_steps": 40, "steps": 20, "evaluations": 2, "hidden": 8, "batch_size": 64}


def wide(x):
    """Four outputs (n, 4) of two parameters."""
    return np.stack([x[:, 0], x[:, 1], x.sum(axis=1), x[:, 0] * x[:, 1]], axis=1)


def gappy(x):
    """The same, of which the last is missing where the first is negative."""
    y = wide(x)
    y[y[:, 0] < 0, 3] = np.nan
    return y


OBSERVED = [[0.5, 0.2, 0.7, 0.1]]
POSTERIOR = {"question": "posterior", "noise": {"normal": 0.2}}
CASES = {
    "population": (Problem(add, PRIOR, stats.norm(1, 0.5)), {"head": "linear"}),
    "posterior": (Problem(wide, PRIOR, OBSERVED, **POSTERIOR), {"head": "flow", "members": 2}),
    "embedding, gaps": (
        Problem(gappy, PRIOR, OBSERVED, **POSTERIOR, missing=True),
        {"head": "small", "members": 1, "embedding": EmbeddingConfig(kind="mlp", features=3)},
    ),
}


def config_of(**settings):
    return SMALL.model_copy(update={**SHORT, **settings})


def on_the_disk(simulations, folder):
    """The same simulations, mapped from files."""
    folder.mkdir(exist_ok=True)
    for name in ("x", "y"):
        np.save(folder / f"{name}.npy", getattr(simulations, name))
    x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("x", "y"))
    return replace(simulations, x=x, y=y)


def numbered(n, width=3):
    """Simulations whose every number says which row it is of."""
    x = np.repeat(np.arange(float(n))[:, None], 2, axis=1)
    y = np.repeat(np.arange(float(n))[:, None], width, axis=1)
    return Simulations(x, y, ("a", "b"), tuple("ijklmn"[:width]), x[:0], {"seed": 1})


def assert_same_inverse(a, b):
    ours, theirs = (
        [tensor for member in inverse.members for tensor in member.state_dict().values()]
        for inverse in (a, b)
    )
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))
    assert a.scaling.to_dict() == b.scaling.to_dict()
    assert np.array_equal([a.low, a.high], [b.low, b.high])
    assert json.dumps(a.history) == json.dumps(b.history)
    assert (a.info["pairs"], a.info["judge"]) == (b.info["pairs"], b.info["judge"])


@pytest.fixture(autouse=True)
def quick_classifier(monkeypatch):
    """What decides between generators need not do so well here."""
    monkeypatch.setattr(judge, "_QUICK_STEPS", 20)


@pytest.fixture(autouse=True)
def each_run_seen_once(monkeypatch):
    """Runs in memory are seen under further noise too, and those on the disk are not."""
    monkeypatch.setattr(pairing, "_MOST_COPIES", 1)


@pytest.fixture
def in_many_parts(monkeypatch):
    """Everything is gone through in many parts, as if it were large."""
    monkeypatch.setattr(mapped, "_AT_ONCE", 2**13)
    monkeypatch.setattr(streaming, "_UNTIL_RELEASE", 2**21)


@pytest.mark.parametrize("name", CASES)
def test_simulations_on_the_disk_train_the_same_weights(name, tmp_path, in_many_parts):
    problem, settings = CASES[name]
    simulations, config = simulate(problem, 3000, seed=1), config_of(**settings)
    streamed = train(problem, on_the_disk(simulations, tmp_path), config, seed=2, device="cpu")
    assert_same_inverse(train(problem, simulations, config, seed=2, device="cpu"), streamed)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.npy", "y.npy"]


def test_a_stopped_training_goes_on_from_the_disk(tmp_path):
    problem, config = CASES["population"][0], config_of(head="linear")
    there = on_the_disk(simulate(problem, 3000, seed=1), tmp_path / "there")
    whole = train(problem, there, config, seed=2, device="cpu")

    def stop(history):
        if history[-1].get("phase") == "gan":
            raise KeyboardInterrupt

    stem = tmp_path / "state" / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(problem, there, config, seed=2, device="cpu", checkpoint=stem, watch=stop)
    files = {file.suffix for file in stem.parent.iterdir()}
    assert files == {".safetensors"}
    seen = []
    again = train(problem, there, config, seed=2, device="cpu", checkpoint=stem, watch=seen.append)
    assert_same_inverse(again, whole)
    assert all(history[-1]["phase"] == "gan" for history in seen)


def test_sets_of_repeats_are_thinned_on_the_disk_too(tmp_path, in_many_parts):
    problem = Problem(add, PRIOR, [[0.5], [0.7], [0.2]], question="posterior",
                      noise={"normal": 0.2})  # fmt: skip
    config = config_of(
        head="small", members=1, embedding=EmbeddingConfig(kind="set", shape=(3, 1), features=4)
    )
    there = on_the_disk(simulate(problem, 1000, seed=1), tmp_path)
    seen = pairing.under_noise(problem, there, seed=3)
    found = pairing.material(
        problem, there, seen, config, pairing.ParameterScaling.fit(PRIOR, np.random.default_rng(0)),
        pairing.region(problem, seen, config), seed=3, device=CPU, folder=tmp_path,
    )  # fmt: skip
    sizes = (~found.pairs.y[:].isnan()).sum(dim=1)
    assert set(sizes.tolist()) == {1, 2, 3}


def test_batches_are_those_of_pairs_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_UNTIL_RELEASE", 1)
    rng = torch.Generator().manual_seed(0)
    pairs = Pairs(torch.randn(1000, 2, generator=rng), torch.randn(1000, 5, generator=rng))
    there = written(pairs.chunks(300), tmp_path, CPU)
    assert there.u.shape == (1000, 2)
    for _ in range(3):
        state = rng.get_state()
        mine = pairs.batch(64, rng)
        rng.set_state(state)
        theirs = there.batch(64, rng)
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert torch.equal(torch.cat([y for _, y in there.chunks(128)]), pairs.y)
    assert not list(tmp_path.iterdir())


def test_what_is_held_at_once_is_bounded(tmp_path, monkeypatch):
    pairs = Pairs(torch.zeros(1000, 2), torch.arange(2000.0).reshape(1000, 2))
    there = written(pairs.chunks(), tmp_path, CPU)
    monkeypatch.setattr(streaming, "_AT_ONCE", 100 * 16)
    assert torch.equal(there.some()[1], pairs.y[:100])


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, _):
            raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(streaming, "_nameless", lambda folder: Full())
    with pytest.raises(InputError, match="no room to lay training pairs out"):
        written(Pairs(torch.zeros(9, 1), torch.zeros(9, 1)).chunks(), tmp_path, CPU)


@pytest.mark.parametrize("everything", [True, False])
def test_the_scale_is_that_of_evenly_spaced_rows(tmp_path, monkeypatch, everything, in_many_parts):
    there = on_the_disk(numbered(5000), tmp_path)
    monkeypatch.setattr(pairing, "_SCALE_VALUES", 3 * 300)
    low = np.full(3, 0.0 if everything else 1000.0)
    choice = pairing._Choice(low, np.full(3, 5000.0), 0, everything, np.random.default_rng(0))
    near = there.y[low[0] <= there.y[:, 0]]
    assert np.array_equal(choice.evenly(there.y), near[:: 32 if everything else 16])


def test_the_first_selection_rows_that_are_near_are_used(tmp_path, monkeypatch, in_many_parts):
    part = on_the_disk(numbered(3000), tmp_path)
    monkeypatch.setattr(pairing, "_SELECTION_ROWS", 700)
    choice = pairing._Choice(np.full(3, 100.0), np.full(3, 2e9), 0, False, np.random.default_rng(0))
    x, y = choice.first(part)
    assert np.array_equal(x[:, 0], np.arange(100, 800))
    assert np.array_equal(y, part.y[100:800])


@pytest.mark.parametrize("n", [40, 999, 1000, 1001, 1019, 5000])
def test_few_of_those_on_the_disk_keep_their_parts(tmp_path, monkeypatch, n):
    monkeypatch.setattr(samples, "_MOST_ROWS", 1000)
    there = on_the_disk(numbered(n), tmp_path)
    few = there.few()
    assert not on_disk(few.x)
    assert not on_disk(few.y)
    assert len(few) == (n if n <= 1000 else min(1000, n - 20))
    for part in ("training", "selection", "heldout"):
        ours, theirs = getattr(few, part), getattr(there, part)
        assert np.array_equal(ours.x, theirs.x[: len(ours)])
        assert np.array_equal(ours.y, theirs.y[: len(ours)])
    assert few.info["rows"] == n


def test_few_of_wide_rows_are_fewer(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_MOST_BYTES", 100 * 8 * 8)
    assert len(on_the_disk(numbered(1000, width=6), tmp_path).few()) == 100


def test_simulations_in_memory_are_never_cut(monkeypatch):
    monkeypatch.setattr(samples, "_MOST_ROWS", 10)
    simulations = numbered(100)
    assert simulations.few() is simulations


def test_a_digest_does_not_depend_on_where_numbers_lie(tmp_path, in_many_parts):
    simulations = numbered(5000)
    there = on_the_disk(simulations, tmp_path)
    assert digest("a", there.x, there.y) == digest("a", simulations.x, simulations.y)
    assert digest(there.y[:4999]) != digest(there.y)


def test_letting_go_loses_no_changes(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((10, 2)))
    for mode, kept in (("c", 0.0), ("r+", 1.0)):
        array = np.load(tmp_path / "a.npy", mmap_mode=mode)
        array[3] = 1
        let_go(array, array[2:])
        assert array[3, 0] == 1
        assert np.load(tmp_path / "a.npy")[3, 0] == kept
    assert np.array_equal(taken(array, np.array([3, 0, 3]))[:, 0], [1, 0, 1])


def test_mapped_files_are_made_once_and_anew_for_more_rows(tmp_path):
    problem, store = CASES["population"][0], tmp_path / "store"
    fill_store(problem, store, 500, seed=1, chunk=100)
    first = Stored(store).mapped(tmp_path / "m")
    made = (tmp_path / "m" / "y.npy").stat().st_mtime_ns
    again = ig.open_store(store, mapped=tmp_path / "m")
    assert (tmp_path / "m" / "y.npy").stat().st_mtime_ns == made
    assert np.array_equal(first.y, again.y)
    fill_store(problem, store, 800, seed=1, chunk=100)
    more = Stored(store).mapped(tmp_path / "m")
    assert len(more) == 800
    assert np.array_equal(more.y, simulate(problem, 800, seed=1, chunk=100).y)
    assert np.array_equal(more.y[:500], first.y)
    other = tmp_path / "other"
    fill_store(problem, other, 800, seed=2, chunk=100)
    assert not np.array_equal(Stored(other).mapped(tmp_path / "m").y, more.y)


def test_a_disk_too_small_for_the_mapped_files_is_found_beforehand(tmp_path, monkeypatch):
    store = tmp_path / "store"
    fill_store(CASES["population"][0], store, 500, seed=1)

    def full(file, size):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(reading, "allocate", full)
    with pytest.raises(InputError, match="no room for the simulations"):
        Stored(store).mapped(tmp_path / "m")
    assert not list((tmp_path / "m").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["population", "posterior"])
def test_a_run_that_may_hold_nothing_in_memory_gives_the_same_answer(name, tmp_path):
    problem, answers = CASES[name][0], []
    for place, memory in (("held", 2.0), ("streamed", 0.0)):
        settings = ig.Settings(
            simulate=SimulateConfig(n=2000, memory=memory), train=config_of(head="linear"),
            sample=SampleConfig(n=300), mcmc=McmcConfig(walkers=8, steps=60),
        )  # fmt: skip
        answers.append(ig.solve(problem, tmp_path / place, settings=settings, device="cpu"))
    held, streamed = answers
    assert on_disk(streamed.simulations.y)
    assert not on_disk(held.simulations.y)
    assert np.array_equal(held.samples.x, streamed.samples.x)
    assert np.array_equal(held.baseline.x, streamed.baseline.x)
    figures = [json.dumps(answer.validation.to_dict()["measures"]) for answer in answers]
    assert figures[0] == figures[1]
    results = [
        json.loads((tmp_path / p / "results.json").read_text()) for p in ("held", "streamed")
    ]
    assert results[0]["simulations"]["finite"] == results[1]["simulations"]["finite"] == 2000


STREAM = """
import json, sys
from pathlib import Path
import numpy as np
from scipy import stats
from invgan import mapped, samples
from invgan.checks import validate
from invgan.correction import push_forward
from invgan.gan import pairing, sample, streaming, train
from invgan.predictability import check_predictability
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.settings import TrainConfig

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

folder = Path(sys.argv[1])
mapped._AT_ONCE = 2**22
samples._MOST_BYTES = streaming._AT_ONCE = streaming._UNTIL_RELEASE = 2**23
pairing._SCALE_VALUES = pairing._SELECTION_VALUES = 2**20
x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("x", "y"))
outputs = tuple(f"y{j + 1}" for j in range(y.shape[1]))
there = Simulations(x, y, ("a", "b"), outputs, np.empty((0, 2)))
prior = Prior(a=stats.norm(), b=stats.norm())
problem = Problem(lambda x: np.repeat(x, 256, axis=1), prior, np.zeros((1, 512)),
                  question="posterior")
config = TrainConfig(head="linear", head_steps=60, steps=20, evaluations=1, hidden=8, members=1)
# What libraries take for themselves is none of the simulations' business.
few = Simulations(np.array(x[:400]), np.array(y[:400]), ("a", "b"), outputs, np.empty((0, 2)))
start = None
for simulations in (few, there):
    start = start or (None if simulations is few else most())
    check_predictability(problem, simulations)
    inverse = train(problem, simulations, config, device="cpu")
    drawn = push_forward(problem, sample(inverse, problem.observations, 200))
    validate(problem, drawn, simulations=simulations, inverse=inverse)
print(json.dumps([most() - start, inverse.info["pairs"]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read memory from")
def test_memory_does_not_grow_with_the_simulations(tmp_path):
    n, rng = 120_000, np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    np.save(tmp_path / "x.npy", x)
    y = np.lib.format.open_memmap(tmp_path / "y.npy", mode="w+", shape=(n, 512))
    for start in range(0, n, 1000):
        y[start : start + 1000] = np.repeat(x[start : start + 1000], 256, axis=1)
    size = y.nbytes / 2**20
    del y
    command = [sys.executable, "-c", STREAM, str(tmp_path)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    more, pairs = json.loads(run.stdout)
    assert pairs == int(0.85 * n)
    assert size > 460
    assert more < 350
