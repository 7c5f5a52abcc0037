"""The store: nothing finished is lost or done twice, whatever stops a run or damages its files."""

import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import running_models as models
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from running_problems import BATCHED, PRIOR, PROBLEMS, ROWS, TWO
from scipy import stats

from invgan.cli import main
from invgan.errors import InputError, ModelError
from invgan.execution import Execution
from invgan.models import Command, summarised
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.simulation import evaluate, fill_store, simulate
from invgan.simulation.running import longest
from invgan.store import Stored, disk, open_store
from invgan.store.batches import Columns


def assert_same(a, b):
    for name in ("x", "y", "failed"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.failures["kind"].tolist() == b.failures["kind"].tolist()
    assert a.failures["message"].tolist() == b.failures["message"].tolist()
    assert (a.names, a.outputs) == (b.names, b.outputs)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_store_gives_what_memory_gives_also_when_it_grew(name, store):
    problem = PROBLEMS[name]
    whole = simulate(problem, 2300, seed=1)
    first = simulate(problem, 700, seed=1, store=store)
    assert_same(first, simulate(problem, 700, seed=1))
    grown = simulate(problem, 2300, seed=1, store=store)
    assert_same(grown, whole)
    assert_same(open_store(store), whole)
    again = simulate(problem, 2300, seed=1, store=store)
    assert again.info["new_evaluations"] == 0
    assert_same(again, whole)
    part = simulate(problem, 1024, seed=1, store=store)
    assert part.info["new_evaluations"] == 0
    assert_same(part, simulate(problem, 1024, seed=1))


def failing(x):
    if (x[..., 1] < 0.02).any():
        raise ValueError(f"b is {x[..., 1].min():.4f}")
    return np.where(x[..., 1] < 0.04, np.nan, x[..., 0])


@pytest.mark.parametrize("vectorized", [True, False])
def test_failures_are_kept_too(store, vectorized):
    problem = Problem(failing, PRIOR, stats.norm(), vectorized=vectorized)
    whole = simulate(problem, 2000, seed=1)
    kept = simulate(problem, 2000, seed=1, store=store)
    assert len(kept.failed) > 50
    assert_same(kept, whole)
    assert_same(open_store(store), whole)


@pytest.mark.parametrize("name", PROBLEMS)
def test_given_rows_by_way_of_a_folder_are_as_without_it(name, tmp_path):
    problem = PROBLEMS[name]
    x = PRIOR.sample(2500, np.random.default_rng(5))
    wanted = evaluate(problem, x, seed=3, chunk=500)

    def stop(done, total):
        if done >= 1500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(problem, x, seed=3, chunk=500, scratch=tmp_path, progress=stop)
    left = []
    found = evaluate(problem, x, seed=3, chunk=500, scratch=tmp_path,
                     progress=lambda done, total: left.append(done))  # fmt: skip
    assert np.array_equal(found, wanted)
    assert min(left) > 1500
    assert np.array_equal(evaluate(problem, x, seed=3, chunk=500, scratch=tmp_path), wanted)
    other = evaluate(problem, x, seed=4, chunk=500, scratch=tmp_path)
    assert np.array_equal(other, evaluate(problem, x, seed=4, chunk=500))


def test_given_rows_that_fail_are_nan_by_way_of_a_folder(tmp_path):
    problem = Problem(failing, PRIOR, stats.norm())
    x = PRIOR.sample(1000, np.random.default_rng(5))
    for _ in range(2):
        found = evaluate(problem, x, scratch=tmp_path)
        assert np.array_equal(found, evaluate(problem, x), equal_nan=True)
    assert np.isnan(found).sum() == (x[:, 1] < 0.04).sum() > 0


@pytest.mark.slow
def test_rows_that_ran_out_of_time_are_run_again_when_they_may_take_longer(store):
    problem = Problem(models.lingering, PRIOR, TWO, vectorized=False)
    within = {s: problem.on(Execution("process:2", timeout=s)) for s in (0.5, 0.4, 20)}
    with pytest.raises(ModelError, match=r"timed out .*give them longer \(timeout\)"):
        simulate(within[0.5], 20, seed=3, store=store, max_failures=0)
    short = simulate(within[0.5], 20, seed=3, store=store, max_failures=0.5)
    late = len(short.failed)
    assert late == (short.failures["kind"] == "timed out").sum() > 0
    for limit, retry in ((0.5, True), (0.4, True), (20, False)):
        again = simulate(within[limit], 20, seed=3, store=store, max_failures=0.5, retry=retry)
        assert again.info["new_evaluations"] == 0
        assert_same(again, short)
    longer = simulate(within[20], 20, seed=3, store=store)
    assert longer.info["new_evaluations"] == late
    assert_same(longer, simulate(Problem(models.both, PRIOR, TWO, vectorized=False), 20, seed=3))
    assert_same(open_store(store), longer)


def test_a_program_s_own_limit_counts_too():
    program = Command(["sleep", "{a}{b}"], ["a", "b"], timeout=3)
    of_program = replace(ROWS, model=summarised(program, lambda y: y))
    assert longest(ROWS) == math.inf
    assert longest(of_program) == longest(replace(ROWS, model=program)) == 3
    assert longest(of_program.on(Execution(timeout=2))) == 2
    assert longest(of_program.on(Execution(timeout=4))) == 3


def test_a_batch_that_failed_throughout_is_not_run_again(store):
    calls = []

    def model(x):
        calls.append(x)
        return x[0] if len(calls) < 3 else np.nan

    problem = Problem(model, PRIOR, stats.norm(), vectorized=False)
    fill_store(problem, store, 40, max_failures=1)
    for _ in range(2):
        fill_store(problem, store, 40, max_failures=1)
    assert len(calls) == 40


def test_too_many_failures_stop_the_run_and_everything_is_kept(store):
    problem = Problem(failing, PRIOR, stats.norm(), vectorized=False)
    with pytest.raises(ModelError, match=r"simulations failed, \d+ \w[^,]+, \d+ \w[^,]+ \(first"):
        simulate(problem, 2000, seed=1, store=store, max_failures=0.01)
    kept = open_store(store)
    assert 300 < len(kept) < 1500
    assert len(kept.failed) >= 21
    run = simulate(problem, 2000, seed=1, store=store)
    assert run.info["new_evaluations"] == 2000 - len(kept) - len(kept.failed)
    assert_same(run, simulate(problem, 2000, seed=1))
    with pytest.raises(ModelError, match="allow more with max_failures"):
        simulate(problem, 2000, seed=1, store=store, max_failures=0.01)


def test_a_run_that_is_interrupted_keeps_every_row_that_came(store):
    came = []

    def stop(done, total):
        came.append(done)
        if done >= 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_store(ROWS, store, 1000, chunk=100, progress=stop)
    assert len(Stored(store)) == came[-1] < 1000
    assert open_store(store).info["unfinished"] == 1000 - came[-1]
    assert_same(simulate(ROWS, 1000, store=store), simulate(ROWS, 1000))


def test_workers_and_rows_that_fail_there_fill_a_store_as_well(store):
    problem = Problem(models.both, PRIOR, TWO, vectorized=False)
    whole = simulate(problem, 1200, seed=2)
    fill_store(problem.on(Execution("process:2")), store, 500, seed=2)
    there = simulate(problem.on(Execution("process:2")), 1200, seed=2, store=store)
    assert_same(there, whole)


@pytest.mark.parametrize(
    ("other", "options", "said"),
    [
        (Problem(models.slow, PRIOR, TWO), {}, "of another model, or another version of it: name"),
        (Problem(models.both, Prior(a=stats.norm(), b=stats.uniform(0, 2)), TWO), {}, "er prior"),
        (Problem(models.both, PRIOR, TWO, noise={"normal": 1}), {}, "another noise"),
        (ROWS, {}, "other form"),
        (BATCHED, {"seed": 5}, "another seed"),
        (BATCHED, {"design": "sobol"}, "another design"),
    ],
)
def test_a_store_of_something_else_is_refused(tmp_path_factory, other, options, said):
    store = tmp_path_factory.getbasetemp() / "of-batched"
    simulate(BATCHED, 50, store=store)
    with pytest.raises(InputError, match=said):
        simulate(other, 50, store=store, **options)


def test_folders_that_are_no_stores_are_left_alone(store):
    store.mkdir()
    (store / "thesis.txt").write_text("everything")
    with pytest.raises(InputError, match=r"holds other files \(thesis.txt\): name an empty folder"):
        simulate(BATCHED, 50, store=store)
    with pytest.raises(InputError, match="is a file, name another"):
        simulate(BATCHED, 50, store=store / "thesis.txt")
    with pytest.raises(InputError, match="there is no store"):
        open_store(store)
    assert (store / "thesis.txt").read_text() == "everything"


def test_two_processes_never_write_one_store(store):
    from filelock import FileLock

    simulate(BATCHED, 50, store=store)
    with FileLock(store / ".lock"):
        with pytest.raises(InputError, match=r"another process is writing to .*wait until"):
            simulate(BATCHED, 80, store=store)
        assert len(open_store(store)) == 50
    assert len(simulate(BATCHED, 80, store=store)) == 80


class Disk:
    """A disk that takes so many bytes more."""

    def __init__(self, room):
        self.room, self.write = room, disk._write

    def __call__(self, path, content):
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.write(path, content)


@pytest.mark.parametrize("room", [100, 3000, 60_000, 150_000])
def test_a_full_disk_is_a_sentence_and_the_run_goes_on_later(store, monkeypatch, room):
    full = Disk(room)
    with monkeypatch.context() as patch:
        patch.setattr(disk, "_write", full)
        with pytest.raises(InputError, match=r"the disk of .* is full; .*free some space"):
            simulate(BATCHED, 6000, seed=1, store=store, chunk=500)
    if store.exists() and (store / "zarr.json").exists():
        assert len(Stored(store)) % 500 == 0
    assert_same(simulate(BATCHED, 6000, seed=1, store=store), simulate(BATCHED, 6000, seed=1))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs to mount a tmpfs")
def test_a_disk_that_is_really_full(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)],
        check=False, capture_output=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("may not mount a tmpfs")
    try:
        with pytest.raises(InputError, match=r"the disk of .* is full; \d+ simulations are safe"):
            simulate(BATCHED, 20_000, seed=1, store=small / "store", chunk=1000)
        kept = len(Stored(small / "store"))
        shutil.copytree(small / "store", tmp_path / "roomy")
    finally:
        subprocess.run(["umount", str(small)], check=True)
    run = simulate(BATCHED, 20_000, seed=1, store=tmp_path / "roomy")
    assert run.info["new_evaluations"] == 20_000 - kept
    assert_same(run, simulate(BATCHED, 20_000, seed=1))


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from scipy import stats
import running_models as models
from invgan.execution import Execution
from invgan.models import summarised
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.simulation import fill_store, filling

filling._SECONDS = 0.05

if __name__ == "__main__":
    prior = Prior(a=stats.norm(), b=stats.uniform(0, 1))
    two = {{"total": stats.norm(), "product": stats.norm()}}
    problem = Problem(models.both, prior, two, vectorized=False).on(Execution({workers!r}))
    fill_store(problem, {store!r}, 30_000, seed=4, chunk=200,
               progress=lambda *done: print(*done, flush=True))
"""


def killed_at(shares, store, workers):
    """Run a simulation into a store again and again, each time until it is killed.

    Args:
        shares: of all rows, at which that is; a moment later, no longer than writing takes.
        store: where to.
        workers: that run the model.

    Returns:
        How many rows the store held after each.
    """
    kept, rng = [], np.random.default_rng(0)
    for share in shares:
        script = store.parent / "script.py"
        script.write_text(
            SCRIPT.format(tests=str(Path(__file__).parent), store=str(store), workers=workers)
        )
        run = subprocess.Popen(
            [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for line in run.stdout:
            if int(line.split()[0]) >= share * 30_000:
                break
        time.sleep(rng.uniform(0, 0.03))
        run.send_signal(signal.SIGKILL)
        run.communicate()
        kept.append(len(Stored(store)) if (store / "zarr.json").exists() else 0)
    return kept


def test_a_run_that_was_killed_goes_on_to_the_same_result(store):
    kept = killed_at([0.35, 0.75], store, "serial")
    assert kept == sorted(kept)
    problem = Problem(models.both, PRIOR, TWO, vectorized=False)
    run = simulate(problem, 30_000, seed=4, store=store)
    assert run.info["new_evaluations"] == 30_000 - kept[-1]
    assert_same(run, simulate(problem, 30_000, seed=4))


PROGRAM = """\
#!/bin/sh
echo "$1" >> "$2/calls"
[ $(wc -l < "$2/calls") -lt 40 ] || { echo $$ > "$2/waits"; exec sleep 600; }
sleep 0.05
echo "y $1"
"""


@pytest.mark.slow
def test_a_run_that_is_told_to_end_keeps_what_it_has_and_ends_its_program(tmp_path):
    """As batch systems do when the time is up (SIGTERM); half a second of work may be lost."""
    (tmp_path / "flow.sh").write_text(PROGRAM)
    (tmp_path / "flow.sh").chmod(0o755)
    (tmp_path / "config.yml").write_text(
        'problem:\n  model: {command: [./flow.sh, "{a}", "{here}"]}\n'
        "  prior: {a: {uniform: [0, 1]}}\n  observations: {y: {normal: [0.5, 0.1]}}\n"
        "simulate: {n: 100}\n"
    )
    out, waits = tmp_path / "out", tmp_path / "waits"
    solve = [sys.executable, "-m", "invgan", "simulate", tmp_path / "config.yml", "--out", out]
    run = subprocess.Popen(solve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not waits.exists() or not waits.read_text().strip():
        assert run.poll() is None, run.communicate()
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate()
    assert run.returncode == 143, said
    assert said.splitlines()[-1].startswith("invgan: stopped; config.yml, simulations kept in ")
    with pytest.raises(ProcessLookupError):
        os.kill(int(waits.read_text()), 0)
    assert len(Stored(out / "simulations")) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["serial", "process:2"])
def test_thirty_kills_lose_nothing_that_was_finished(store, workers):
    rng = np.random.default_rng(1)
    problem = Problem(models.both, PRIOR, TWO, vectorized=False)
    whole = simulate(problem, 30_000, seed=4)
    between = 0
    for _ in range(30):
        shutil.rmtree(store, ignore_errors=True)
        kept = killed_at(rng.uniform(0, 1, 1), store, workers)
        between += 0 < kept[-1] < 30_000
        run = simulate(problem, 30_000, seed=4, store=store)
        assert run.info["new_evaluations"] == 30_000 - kept[-1]
        assert_same(run, whole)
    assert between > 10


class Five(tuple):
    """Folder, problem and simulations, shown in one word."""

    def __new__(cls, *parts):
        return super().__new__(cls, parts)

    __repr__ = object.__repr__


@pytest.fixture(scope="module")
def five_batches(tmp_path_factory):
    """A store of five batches, some rows of which failed."""
    folder = tmp_path_factory.mktemp("five") / "store"
    problem = Problem(failing, PRIOR, stats.norm())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("invgan.simulation.filling._MOST_ROWS", 100)
        fill_store(problem, folder, 450, seed=1, chunk=100, max_failures=0.1)
    assert Columns(folder).batch == 100
    return Five(folder, problem, simulate(problem, 450, seed=1, max_failures=0.1))


@given(data=st.data())
@settings(deadline=None, max_examples=6)
def test_a_damaged_batch_is_simulated_again(five_batches, tmp_path_factory, data):
    check_damage(five_batches, tmp_path_factory, data)


@pytest.mark.slow
@given(data=st.data())
@settings(deadline=None, max_examples=200)
def test_however_batches_are_damaged_they_are_simulated_again(five_batches, tmp_path_factory, data):
    check_damage(five_batches, tmp_path_factory, data)


def check_damage(five_batches, tmp_path_factory, data):
    folder, problem, whole = five_batches
    copy = tmp_path_factory.mktemp("damaged") / "store"
    shutil.copytree(folder, copy)
    files = sorted(file for file in copy.rglob("c.*"))
    for file in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=4, unique=True)):
        content = bytearray(file.read_bytes())
        how = data.draw(st.sampled_from(["gone", "short", "long", "changed", "empty"]))
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        broken = {"changed": content, "short": content[:place], "long": content + b"x"}
        file.write_bytes(broken.get(how, b""))
        if how == "gone":
            file.unlink()
    before = open_store(copy)
    place = {tuple(row): i for i, row in enumerate(whole.x)}
    kept = [place[tuple(row)] for row in before.x]
    assert np.array_equal(before.y, whole.y[kept])
    assert kept == sorted(kept)
    assert len(before) + len(before.failed) in {450, 400, 350, 300, 250, 200, 150, 100, 50, 0}
    run = simulate(problem, 450, seed=1, store=copy, max_failures=0.1)
    assert_same(run, whole)
    shutil.rmtree(copy)


@pytest.mark.parametrize("key", ["names", "outputs"])
def test_names_that_are_not_those_of_the_columns_are_refused(key, store):
    simulate(Problem(lambda x: x, PRIOR, [[1, 2], [2, 1]], outputs=["u", "v"]), 40, store=store)
    told = json.loads((store / "zarr.json").read_text())
    told["attributes"][key].append("another")
    (store / "zarr.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"is damaged: it names .* and holds 2 and 2 columns"):
        Stored(store)


@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_damaged_metadata_are_refused_or_harmless(five_batches, tmp_path_factory, data):
    folder, _, whole = five_batches
    copy = tmp_path_factory.mktemp("metadata") / "store"
    shutil.copytree(folder, copy)
    file = data.draw(st.sampled_from(sorted(copy.rglob("zarr.json"))))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] = data.draw(st.integers(0, 255))
    else:
        content = content[:place]
    file.write_bytes(content)
    try:
        read = open_store(copy)
    except InputError:
        pass
    else:
        assert set(map(tuple, read.x)) <= set(map(tuple, whole.x))
    shutil.rmtree(copy)


def test_a_strangers_store_cannot_ask_for_the_world(five_batches, tmp_path):
    folder, _, _ = five_batches
    shutil.copytree(folder, tmp_path / "huge")
    for file in (tmp_path / "huge").rglob("zarr.json"):
        content = json.loads(file.read_text())
        if "shape" in content:
            content["shape"][0] = 10**15
            file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="not a store that invgan wrote"):
        open_store(tmp_path / "huge")


@given(data=st.data())
@settings(deadline=None, max_examples=8)
def test_any_rows_can_be_taken_and_batches_hold_them_all(five_batches, data):
    folder, _, whole = five_batches
    stored = Stored(folder)
    assert len(stored) == len(whole)
    rows = data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=50))
    x, y = stored.take(rows)
    assert np.array_equal(x, whole.x[rows])
    assert np.array_equal(y, whole.y[rows])
    size = data.draw(st.integers(20, 500))
    parts = list(stored.batches(size))
    assert all(len(x) == len(y) == size for x, y in parts[:-1])
    assert np.array_equal(np.concatenate([x for x, _ in parts]), whole.x)
    assert np.array_equal(np.concatenate([y for _, y in parts]), whole.y)


@pytest.mark.parametrize("rows", [[-1], [10_000]])
def test_rows_that_are_not_there_are_refused(five_batches, rows):
    with pytest.raises(InputError, match="rows go from 0 to"):
        Stored(five_batches[0]).take(rows)


def test_mapped_arrays_stay_on_the_disk_and_are_the_same(five_batches, tmp_path):
    folder, _, whole = five_batches
    mapped = Stored(folder).mapped(tmp_path / "mapped")
    assert isinstance(mapped.x, np.memmap)
    assert isinstance(mapped.y, np.memmap)
    assert_same(mapped, whole)
    assert isinstance(mapped.training.y, np.memmap)
    assert np.array_equal(np.load(tmp_path / "mapped" / "y.npy"), whole.y)


def test_a_store_is_plain_zarr_that_says_what_it_is(five_batches):
    import zarr

    folder, _, whole = five_batches
    group = zarr.open_group(folder, mode="r")
    assert group.attrs["format"] == "invgan simulations"
    assert group.attrs["identity"]["seed"] == 1
    assert group.attrs["names"] == ["a", "b"]
    assert "numpy" in group.attrs["versions"]
    status = np.asarray(group["status"][:])
    assert np.array_equal(np.asarray(group["x"][:])[status == 1], whole.x)
    assert np.array_equal(np.asarray(group["y"][:])[status == 1], whole.y)


class Counting:
    """A model that counts the rows it is given."""

    def __init__(self, model):
        self.model, self.rows = model, 0
        self.identity = model.__qualname__

    def __call__(self, x, *noise):
        self.rows += len(np.atleast_2d(x))
        return self.model(x, *noise)


def series(x, *noise):
    """A series of five values for a batch or one vector; NaN where the second is below 0.02."""
    start = np.where(x[..., 1:] < 0.02, np.nan, x[..., :1] + x[..., 1:])
    y = start * np.arange(1.0, 6)
    return y + noise[0].normal(size=y.shape) if noise else y


def ends(y):
    return {"product": y[:, 0] * y[:, -1], "total": y.sum(axis=1)}


def middle(y):
    return np.stack([y[:, 2], y.max(axis=1)], axis=1)


RAW = {
    "batched": {},
    "one by one": {"vectorized": False},
    "measured": {"noise": {"normal": 0.1}},
    "noisy": {"vectorized": False, "stochastic": True},
    "noisy, measured": {"stochastic": True, "noise": {"normal": 0.1}},
    "repeated": {"stochastic": True, "question": "posterior", "observed": [[1.0, 2.0]] * 3},
    "repeated, measured": {"noise": {"normal": 0.1}, "question": "posterior",
                           "observed": [[1.0, 2.0]] * 3},
}  # fmt: skip


def summing(model, summary, observed=None, **options):
    """A problem whose outputs are a summary of the model's."""
    seen = TWO if observed is None else observed
    joined = summarised(model, summary, vectorized=options.get("vectorized", True))
    outputs = ["total", "product"] if summary is ends else None
    return Problem(joined, PRIOR, seen, **options, outputs=outputs)


@pytest.mark.parametrize("name", RAW)
def test_another_summary_of_what_is_stored_runs_no_model(name, store):
    model = Counting(series)
    first, second = (summing(model, summary, **RAW[name]) for summary in (ends, middle))
    kept = simulate(first, 700, seed=1, store=store)
    assert len(kept.failed) > 5
    assert_same(kept, simulate(first, 700, seed=1))
    model.rows = 0
    again = simulate(second, 700, seed=1, store=store)
    assert again.info["new_evaluations"] == model.rows == 0
    assert_same(again, simulate(second, 700, seed=1))
    assert again.info["raw_outputs"] == 5
    assert not np.array_equal(again.y, kept.y)
    model.rows = 0
    grown = simulate(second, 1100, seed=1, store=store)
    assert 400 <= model.rows / first.runs_per_row <= 1100
    assert_same(grown, simulate(second, 1100, seed=1))
    raw = open_store(store)
    assert raw.y.shape[1] == 5 * first.runs_per_row
    with pytest.raises(InputError, match="another model, or another version of it"):
        simulate(summing(models.both, middle, **RAW[name]), 700, seed=1, store=store)


def test_another_noise_upon_a_summary_runs_no_model_either(store):
    model = Counting(series)
    quiet, loud = (summing(model, middle, noise={"normal": sd}) for sd in (0.1, 2.0))
    simulate(quiet, 300, store=store)
    model.rows = 0
    assert_same(simulate(loud, 300, store=store), simulate(replace(loud, model=loud.model), 300))
    assert model.rows == 300


def test_a_summary_that_fails_costs_its_rows_and_no_others(store):
    def picky(y):
        if (y[:, 0] > 2).any():
            raise ZeroDivisionError("too much")
        return np.where(y[:, 0] > 1.5, np.nan, y[:, 0])

    def never(y):
        raise ZeroDivisionError("never")

    one = {"observed": stats.norm()}
    problem = summing(series, picky, **one)
    run = simulate(problem, 500, store=store, max_failures=0.5)
    assert {"raised", "not finite"} == set(run.failures["kind"])
    raised = run.failures["kind"] == "raised"
    assert np.array_equal(raised, run.failed.sum(axis=1) > 2)
    assert all("too much" in message for message in run.failures["message"][raised])
    assert (run.x.sum(axis=1) <= 1.5).all()
    direct = simulate(summing(series, picky, **one, vectorized=False), 500, max_failures=0.5)
    for part in ("x", "y", "failed"):
        assert np.array_equal(getattr(run, part), getattr(direct, part))
    assert run.failures["kind"].tolist() == direct.failures["kind"].tolist()
    with pytest.raises(ModelError, match=r"simulations failed, .*\d+ raised"):
        simulate(problem, 500, store=store)
    with pytest.raises(ModelError, match="the summary raised ZeroDivisionError: never"):
        simulate(summing(series, never, **one), 500, store=store)
    with pytest.raises(
        ModelError, match=r"the summary turned \(\d+, 5\) raw outputs into .*expected"
    ):
        simulate(summing(series, middle, **one), 500, store=store)


MODEL = """
import numpy as np


def f(x):
    with open({tally!r}, "a") as file:
        file.write("x" * len(x))
    return {factor} * x.sum(axis=1, keepdims=True) * np.arange(1, 6)


def g(y):
    return {{"peak": y.{summary}(axis=1)}}
"""
SUMMARISED = """
problem:
  model: model.py:f
  summary: model.py:g
  prior: {a: {normal: [0, 1]}, b: {normal: [0, 1]}}
  observations: {peak: {normal: [1, 2]}}
simulate: {n: 200}
"""


def test_a_run_folder_is_summarised_again_without_the_model(tmp_path):
    tally = tmp_path / "tally"

    def simulated(**parts):
        given = {"factor": 1.0, "tally": str(tally), "summary": "max", **parts}
        (tmp_path / "model.py").write_text(MODEL.format(**given))
        (tmp_path / "config.yml").write_text(SUMMARISED)
        command = ["simulate", str(tmp_path / "config.yml"), "--out", str(tmp_path / "out")]
        return CliRunner().invoke(main, [*command, "--quiet"])

    assert simulated().exit_code == 0
    assert len(tally.read_text()) == 207  # one of them to count the raw outputs, six to compare
    assert simulated(summary="mean").exit_code == 0
    assert len(tally.read_text()) == 207
    refused = simulated(factor=2.0)
    assert refused.exit_code == 2
    assert "simulations of another model, or another version of it" in refused.output
    assert len(tally.read_text()) == 207


def test_raw_outputs_that_are_too_many_are_not_kept(store):
    def wide(x):
        return np.repeat(x.sum(axis=1, keepdims=True), 5000, axis=1)

    problem = summing(wide, lambda y: y.mean(axis=1), observed=stats.norm())
    for n in (50, 80):
        assert_same(simulate(problem, n, store=store), simulate(problem, n))
    assert open_store(store).y.shape == (80, 1)


def test_messages_beyond_the_room_for_them_are_left_out(store):
    def model(x):
        raise ValueError(f"{x[1]:.17f} " * 6)

    problem = Problem(model, PRIOR, stats.norm(), vectorized=False)

    def some(x):
        return model(x) if x[1] < 0.4 else x[0]

    problem = Problem(some, PRIOR, stats.norm(), vectorized=False)
    run = simulate(problem, 3000, store=store, max_failures=0.6)
    told = run.failures["message"] != ""
    assert 300 < told.sum() < len(told)
    for x, message in zip(run.failed[told], run.failures["message"][told], strict=True):
        assert f"{x[1]:.17f}" in message
