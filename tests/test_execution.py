"""Where rows are run changes nothing in them; workers that hang or die lose no more than a row."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import running_models as models
from hypothesis import given, settings
from hypothesis import strategies as st
from running_problems import PRIOR, PROBLEMS, ROWS, TWO
from scipy import stats

from invgan.errors import InputError, ModelError
from invgan.execution import Execution
from invgan.execution.attempt import Outcome, Piece
from invgan.execution.crew import close_crews, crew_of
from invgan.execution.tasks import Tasks
from invgan.models import Command
from invgan.problem import Problem
from invgan.settings import SimulateConfig
from invgan.simulation import evaluate, failure_table, simulate
from invgan.simulation.running import call_size, caller_of

X = PRIOR.sample(300, np.random.default_rng(0))


@pytest.fixture(scope="module", autouse=True)
def _no_workers_left():
    yield
    close_crews()


class Backwards(Executor):
    """Runs the last that was submitted first, when somebody waits; and counts."""

    def __init__(self, workers=4):
        self._max_workers, self._waiting, self.tasks = workers, [], 0

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self._waiting.append((future, fn, args, kwargs))
        self.tasks += 1
        threading.Timer(0.002, self._run).start()
        return future

    def _run(self):
        if self._waiting:
            future, fn, args, kwargs = self._waiting.pop()
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_executor_that_works_in_any_order_changes_no_bit(name):
    problem = PROBLEMS[name]
    serial = simulate(problem, 3000, seed=3)
    elsewhere = simulate(problem.on(Execution(Backwards())), 3000, seed=3)
    assert np.array_equal(serial.x, elsewhere.x)
    assert np.array_equal(serial.y, elsewhere.y)


@given(st.integers(1, 2000), st.integers(1, 5))
@settings(deadline=None, max_examples=8)
def test_chunks_and_workers_change_no_bit(chunk, workers):
    problem = PROBLEMS["one by one, noisy"]
    execution = Execution(ThreadPoolExecutor(workers), chunk=chunk)
    whole = evaluate(problem, X, seed=1)
    assert np.array_equal(evaluate(problem.on(execution), X, seed=1), whole)
    assert np.array_equal(evaluate(problem, X, seed=1, chunk=chunk), whole)


def test_a_row_of_a_model_with_noise_has_its_own_generator():
    problem = PROBLEMS["one by one, noisy"]
    y = evaluate(replace(problem, noise=None), np.zeros((4000, 2)), seed=2)
    assert len(np.unique(y)) == y.size
    assert stats.kstest(y.ravel(), stats.norm.cdf).pvalue > 0.001
    assert abs(np.corrcoef(y[:-1, 0], y[1:, 0])[0, 1]) < 0.06


@pytest.mark.parametrize("name", ["one by one, noisy", "batched"])
def test_processes_change_no_bit(name):
    problem = PROBLEMS[name]
    serial = simulate(problem, 2500, seed=3)
    elsewhere = simulate(problem.on(Execution("process:2")), 2500, seed=3)
    assert np.array_equal(serial.x, elsewhere.x)
    assert np.array_equal(serial.y, elsewhere.y)


def test_processes_are_others_few_threaded_and_kept_for_the_next_run():
    problem = Problem(models.doubling, PRIOR, TWO, vectorized=False).on(Execution("process:2"))
    pid, threads = evaluate(problem, X).T
    assert 1 <= len(set(pid)) <= 2
    assert set(threads) == {1} or threads.max() <= 64
    again = evaluate(problem, X[:20])
    assert set(again[:, 0]) <= set(pid)
    assert os.getpid() not in set(pid)


@pytest.fixture(scope="module")
def troubled():
    """80 rows: one raises, one is not finite, one hangs, one ends its process."""
    x = np.stack([np.linspace(-1, 1, 80), np.linspace(0, 0.13, 80)], axis=1)
    x[[11, 30, 44, 67], 1] = np.array([7.5, 27.5, 17.5, 37.5]) / 50
    return x


@pytest.mark.parametrize(
    "model", ["trouble", pytest.param("batched_trouble", marks=pytest.mark.slow)]
)
def test_only_the_guilty_rows_fail(troubled, model):
    from invgan.simulation.runs import attempted

    problem = Problem(getattr(models, model), PRIOR, TWO, vectorized=model[0] == "b")
    execution = Execution("process:2", timeout=2, retries=1)
    y, failures, _ = attempted(problem.on(execution), troubled)
    bad = [11, 30, 44, 67]
    assert np.array_equal(np.isnan(y).any(axis=(1, 2)).nonzero()[0], bad)
    good = np.delete(np.arange(80), bad)
    assert np.array_equal(y[good, 0], models.both(troubled[good]))
    assert [(f.row, f.kind) for f in failures] == [
        (11, "raised"), (44, "timed out"), (67, "worker died"),
    ]  # fmt: skip
    assert failures[0].message.startswith("ZeroDivisionError: too cold (line ")
    assert failures[1].message == "stopped after 2 s"
    assert failures[2].message == "its process ended with exit code 3"


def test_a_row_that_hangs_in_compiled_code_is_stopped():
    problem = Problem(models.stuck, PRIOR, TWO, vectorized=False)
    x = X[:12].copy()
    x[:, 1] = 0.5
    x[5, 1] = 0.99
    y = evaluate(problem.on(Execution(timeout=2)), x)
    assert np.isnan(y).any(axis=1).nonzero()[0].tolist() == [5]


# Says that it is there, by its number, and sleeps where the second parameter is above 0.9.
SLEEPER = 'echo $$ >> "$3"; awk "BEGIN { exit !($2 > 0.9) }" && sleep 60; echo "$1" "$2"'


def sleeper(noted):
    return Command(
        ["sh", "-c", SLEEPER, "program", "{a}", "{b}", str(noted)], ["a", "b"],
        {"stdout": "numbers"}, timeout=300,
    )  # fmt: skip


def alive(noted):
    """The programs that have not ended, of those that have said that they are there."""
    return [pid for pid in noted.read_text().split() if _state(pid) not in ("gone", "Z")]


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def soon(condition):
    """Wait until something holds, half a minute at most; whether it does."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")


@needs_proc
def test_a_worker_that_is_stopped_takes_its_program_with_it(tmp_path):
    problem = Problem(sleeper(tmp_path / "pids"), PRIOR, TWO, vectorized=False)
    x = X[:4].copy()
    x[:, 1] = [0.1, 0.99, 0.2, 0.3]
    y = evaluate(problem.on(Execution("process:1", timeout=1)), x)
    assert np.isnan(y).any(axis=1).nonzero()[0].tolist() == [1]
    assert not alive(tmp_path / "pids")


ORPHANS = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from test_execution import PRIOR, TWO, Execution, Problem, evaluate, sleeper

if __name__ == "__main__":
    problem = Problem(sleeper({noted!r}), PRIOR, TWO, vectorized=False)
    evaluate(problem.on(Execution("process:2")), np.full((2, 2), 0.99))
"""


@needs_proc
def test_workers_whose_parent_is_killed_take_their_programs_with_them(tmp_path):
    noted, script = tmp_path / "pids", tmp_path / "script.py"
    script.write_text(ORPHANS.format(tests=str(Path(__file__).parent), noted=str(noted)))
    run = subprocess.Popen([sys.executable, str(script)])
    try:
        assert soon(lambda: noted.exists() and len(alive(noted)) == 2)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert soon(lambda: not alive(noted))


def test_what_the_model_says_wrong_in_a_worker_is_said_here():
    problem = Problem(models.noisy_row, PRIOR, TWO, stochastic=True, vectorized=False)
    with pytest.raises(ModelError, match=r"one parameter vector \(2,\) into 1 outputs; expected 2"):
        evaluate(problem.on(Execution("process:1")), X)
    with pytest.raises(ModelError, match="into 1 outputs; expected 2"):
        evaluate(problem.on(Execution(Backwards())), X)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda x: x, r"cannot be handed to worker processes .*put the function in a module"),
        (models.Unloadable(), r"cannot load the model \(RuntimeError: no such machine\): put the"),
    ],
)
def test_models_that_cannot_travel_are_refused_with_a_remedy(model, said):
    problem = Problem(model, PRIOR, TWO, vectorized=False)
    with pytest.raises(ModelError, match=said):
        evaluate(problem.on(Execution("process:1")), X)


def test_a_stopped_run_leaves_workers_that_can_go_on():
    problem = ROWS.on(Execution("process:1"))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(problem, X, progress=stop)
    assert np.array_equal(evaluate(problem, X), models.both(X))


def test_an_executor_that_is_broken_says_so():
    class Broken(Backwards):
        def submit(self, fn, /, *args, **kwargs):
            future = Future()
            future.set_exception(BrokenProcessPool("a child process terminated abruptly"))
            return future

    with pytest.raises(InputError, match=r"takes no more work .*process:N"):
        evaluate(ROWS.on(Execution(Broken())), X)


class Losing(Backwards):
    """Loses every task that holds a certain row, as a cluster does whose worker dies of it."""

    def __init__(self, row, times):
        super().__init__()
        self.row, self.left = row, times

    def submit(self, fn, /, caller, task, *args):
        if self.left and any(piece.start <= self.row < piece.stop for piece in task):
            self.left -= 1
            future = Future()
            future.set_exception(RuntimeError("KilledWorker"))
            return future
        return super().submit(fn, caller, task, *args)


@pytest.mark.parametrize("name", ["one by one", "batched"])
def test_a_lost_task_is_run_again_and_its_row_blamed_in_the_end(name):
    problem = PROBLEMS[name]
    whole = evaluate(problem, X)
    assert np.array_equal(evaluate(problem.on(Execution(Losing(77, 3))), X), whole)
    y = evaluate(problem.on(Execution(Losing(77, 1000), retries=1)), X)
    assert np.isnan(y).any(axis=1).nonzero()[0].tolist() == [77]
    assert np.array_equal(np.delete(y, 77, axis=0), np.delete(whole, 77, axis=0))


def test_on_an_executor_a_time_limit_is_held_by_a_process_of_its_own(troubled):
    problem = Problem(models.trouble, PRIOR, TWO, vectorized=False)
    execution = Execution(ThreadPoolExecutor(1), timeout=2, retries=0)
    y = evaluate(problem.on(execution), troubled[40:50])
    assert np.isnan(y).any(axis=1).nonzero()[0].tolist() == [4]


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    workers=st.integers(1, 5),
    cost=st.floats(0, 1),
    divisible=st.booleans(),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_tasks_hold_every_row_once_whatever_is_given_back(sizes, workers, cost, divisible, data):
    starts = np.cumsum([0, *sizes])
    pieces = [Piece(int(a), np.zeros((m, 1))) for a, m in zip(starts, sizes, strict=False)]
    tasks = Tasks(iter(pieces), sum(sizes), divisible=divisible, workers=workers)
    seen = np.zeros(sum(sizes), int)
    backs = 0
    while task := tasks.take():
        if backs < 10 and data.draw(st.booleans()):
            backs += 1
            tasks.give_back(task)
            continue
        for piece in task:
            seen[piece.start : piece.stop] += 1
            assert divisible or (piece.start, piece.stop) in pairwise(starts)
            y = np.zeros((len(piece), 1, 1))
            tasks.learn(Outcome(piece.start, piece.x, y, (), cost * len(piece)))
    assert np.all(seen == 1)


def test_tasks_take_about_half_a_second_and_get_smaller_at_the_end():
    tasks = Tasks([Piece(0, np.zeros((10_000, 1)))], 10_000, divisible=True, workers=2)
    sizes = []
    while task := tasks.take():
        (piece,) = task
        sizes.append(len(piece))
        y = np.zeros((len(piece), 1, 1))
        tasks.learn(Outcome(piece.start, piece.x, y, (), 0.001 * len(piece)))
    assert sizes[0] == 1
    assert set(sizes[1:10]) == {500}
    assert sizes[-1] < 5


def test_the_size_of_a_call_depends_on_nothing_that_is_measured():
    batched = PROBLEMS["batched"]
    there = batched.on(Execution("process:2"))
    assert call_size(batched, 100_000) == 8192
    assert call_size(there, 100_000) == 3125
    assert call_size(there, 10) == 8
    assert call_size(there, 10**6) == 8192
    assert call_size(batched.on(Execution(chunk=50)), 1000) == 50
    assert call_size(PROBLEMS["batched, noisy"], 10) == 1024


def test_a_crew_is_kept_for_the_same_model_only():
    one, other = caller_of(ROWS), caller_of(PROBLEMS["batched"])
    with crew_of(one, 1) as crew:
        with crew_of(one, 1) as same:
            assert same is crew
        crew.busy = True
        with crew_of(one, 1) as spare:
            assert spare is not crew
        crew.busy = False
    with crew_of(other, 1) as different:
        assert different is not crew


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"workers": "threads"}, "workers must be serial, process:N, dask:local or"),
        ({"workers": "process:0"}, "got 'process:0'"),
        ({"workers": "process:99999"}, "workers must be"),
        ({"workers": "dask:"}, "workers must be"),
        ({"workers": 4}, r"an executor with submit\(\); got int"),
        ({"timeout": 0}, "seconds above 0"),
        ({"timeout": float("nan")}, "seconds above 0"),
        ({"retries": -1}, "retries must be 0 or more"),
        ({"chunk": 0}, "chunk must be 1 or more"),
    ],
)
def test_executions_that_cannot_be_are_refused(asked, said):
    with pytest.raises(InputError, match=said):
        Execution(**asked)


def test_the_execution_of_a_problem_is_its_own_and_travels_with_it():
    there = ROWS.on(Execution("process:2", timeout=1))
    assert ROWS.execution is None
    assert there.execution == Execution("process:2", timeout=1)
    assert replace(there, question="population").execution == there.execution
    assert there.on(None).execution is None
    assert pickle.loads(pickle.dumps(there.execution)) == there.execution


def test_the_settings_make_an_execution():
    assert SimulateConfig().execution is None
    asked = SimulateConfig(workers="process:3", timeout="2.5", retries=1)
    assert asked.execution == Execution("process:3", 2.5, 1)
    with pytest.raises(InputError, match="workers must be serial, process:N"):
        SimulateConfig(workers="fast")


@pytest.mark.slow
def test_a_fifth_of_the_rows_may_fail_in_every_way_and_the_rest_is_as_without_them(tmp_path):
    problem = Problem(models.dirty, PRIOR, TWO, vectorized=False)
    there = problem.on(Execution("process:2", timeout=2))
    run = simulate(there, 300, seed=2, max_failures=0.4, store=tmp_path / "store")
    clean = simulate(Problem(models.both, PRIOR, TWO, vectorized=False), 300, seed=2)
    b = clean.x[:, 1]
    assert np.array_equal(run.x, clean.x[b >= 0.2])
    assert np.array_equal(run.y, clean.y[b >= 0.2])
    assert np.array_equal(run.failed, clean.x[b < 0.2])
    kinds = np.select([run.failed[:, 1] < 0.1, run.failed[:, 1] < 0.15], ["raised", "timed out"],
                      "not finite")  # fmt: skip
    assert run.failures["kind"].tolist() == kinds.tolist()
    assert set(kinds) == {"raised", "timed out", "not finite"}
    table = failure_table(run)
    assert table.telling == "b"
    assert sum(kind.count for kind in table.kinds) == (b < 0.2).sum()


@pytest.mark.slow
def test_dask_gives_the_same_with_a_worker_killed_in_mid_run():
    from invgan.execution.executors import dask_executor

    problem = Problem(models.slow, PRIOR, TWO, vectorized=False)
    serial = simulate(Problem(models.both, PRIOR, TWO, vectorized=False), 400, seed=1)
    killed = []

    def kill(done, total):
        if done > 100 and not killed:
            client = dask_executor("local")._client
            pids = client.run(os.getpid)
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGKILL)

    there = simulate(problem.on(Execution("dask:local")), 400, seed=1, progress=kill)
    assert killed
    assert np.array_equal(there.x, serial.x)
    assert np.array_equal(there.y, serial.y)


@pytest.mark.slow
def test_dask_stops_what_hangs(troubled):
    problem = Problem(models.trouble, PRIOR, TWO, vectorized=False)
    y = evaluate(problem.on(Execution("dask:local", timeout=2, retries=0)), troubled)
    assert np.isnan(y).any(axis=1).nonzero()[0].tolist() == [11, 30, 44, 67]
