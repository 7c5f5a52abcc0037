"""External programs as models: what they get, what is read, and what is left when they fail."""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from invgan.errors import InputError, ModelError
from invgan.models import Command, CommandError, identity
from invgan.models.outputs import check_reading, read_outputs
from invgan.models.template import check_template, render
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.simulation import simulate

SHELL = shutil.which("sh")
pytestmark = pytest.mark.skipif(SHELL is None, reason="needs a POSIX shell to stand for a program")

PYTHON = [sys.executable, "-S", "-E", "-c"]
NUMBERS = {"stdout": "numbers"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for temporary directories, so that what is left can be seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def shell(script: str, *rest: str, **more: Any) -> Command:
    """A script that runs with its parameters at hand, whether it looks at them or not."""
    given = ": {a} {b}\n" + script
    return Command(["sh", "-c", given, "program", *rest], ["a", "b"], **more)


# What a program gets ----------------------------------------------------------------------------


def test_numbers_arrive_to_the_last_bit() -> None:
    echo = shell('printf "%s %s" "$1" "$2"', "{a}", "{b}", read=NUMBERS)
    values = [0.1 + 0.2, -1.2345678901234567e-300]
    assert echo(values).tolist() == values
    assert echo([1e22, math.pi]).tolist() == [1e22, math.pi]


def test_arguments_never_meet_a_shell(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    nasty = (
        f"$(touch {witness}); touch {witness} | `touch {witness}` * ~ \" ' {{{{a}}}} {{print $1}}"
    )
    argument = [nasty, "--a={a}"]
    echo = Command([*PYTHON, "import sys, json; print(json.dumps(len(sys.argv[1]))); "
                    "assert sys.argv[1].endswith('{{a}} {print $1}'), sys.argv[1]", *argument],
                   ["a"], NUMBERS)  # fmt: skip
    assert echo([1.0]).tolist() == [len(nasty) - 2]
    assert not witness.exists()


def test_a_template_becomes_an_input_file(tmp_path: Path) -> None:
    (tmp_path / "in.j2").write_text(
        "{% for i in range(2) %}{{ a }} {% endfor %}\n{{ '%.2e'|format(parameters['b'] * 2) }}\n"
    )
    cat = shell("cat deep/input.txt", template={"deep/input.txt": "in.j2"}, here=tmp_path,
                read=NUMBERS)  # fmt: skip
    assert cat([0.1, 3.0]).tolist() == [0.1, 0.1, 6.0]


def test_a_program_beside_the_configuration(tmp_path: Path) -> None:
    program = tmp_path / "sub dir" / "double.sh"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nawk "BEGIN { print 2 * $1 }"\n')
    with pytest.raises(InputError, match=r"no program './single.sh' to run"):
        Command(["./single.sh", "{a}"], ["a"], NUMBERS, here=program.parent)
    with pytest.raises(InputError, match=r"'./double.sh' is there .*\(chmod \+x .*\[sh, ./double"):
        Command(["./double.sh", "{a}"], ["a"], NUMBERS, here=program.parent)
    program.chmod(0o755)
    if shutil.which("awk"):
        double = Command(["./double.sh", "{a}"], ["a"], NUMBERS, here=program.parent)
        assert double([1.5]).tolist() == [3.0]
    ls = ["sh", "-c", ': {a}; ls "$0"', "{here}"]
    listed = Command(ls, ["a"], {"stdout": {"y": "double(.)"}}, here=program.parent)
    with pytest.raises(CommandError, match="'\\.' for 'y', no number"):
        listed([1.0])


def test_the_environment_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "7")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    seen = shell("env", environment={"LEVEL": "3"}, read={"stdout": {"y": "LEVEL=(.*)"}})
    assert seen([0, 0]) == {"y": 3}
    hidden = shell("env", read={"stdout": {"y": "SECRET_TOKEN=(.*)"}})
    with pytest.raises(CommandError, match="nothing like"):
        hidden([0, 0])
    threads = shell("env", read={"stdout": {"y": "OMP_NUM_THREADS=(.*)"}})
    assert threads([0, 0]) == {"y": 1}
    assert shell("env | grep -c LC_ALL; true", read=NUMBERS)([0, 0]).tolist() == [0]


def test_every_run_has_a_directory_of_its_own_that_is_removed(here: Path) -> None:
    count = shell("ls | wc -l; touch left; mkdir sub", read=NUMBERS)
    assert [count([0, 0]).tolist() for _ in range(3)] == [[0], [0], [0]]
    with pytest.raises(CommandError):
        shell("touch left; exit 4")([0, 0])
    assert not list(here.iterdir())


# What is read -----------------------------------------------------------------------------------

FORMS = [
    ({"stdout": "names"}, 'echo "peak = 3.5"; echo text here; echo day 1e2', None),
    ({"stdout": {"peak": r"peak was ([\d.]+)", "day": r"day (\S+)"}},
     "echo the peak was 3.5 on day 1D+2", None),
    ({"json": "out.json"}, """echo '{"peak": 3.5, "day": 100, "who": "x"}' > out.json""", None),
    ({"json": "-"}, """echo '{"peak": [3.5], "day": 100}'""", None),
    ({"csv": "sub/out.csv"}, r'mkdir sub; printf "peak,day\n3.5,100\n" > sub/out.csv', None),
    ({"csv": "-"}, r'printf "peak,day\n3.5,100\n"', None),
]  # fmt: skip


@pytest.mark.parametrize(("read", "script", "_"), FORMS)
def test_outputs_are_read_by_name(read: Any, script: str, _: None) -> None:
    assert shell(script, read=read)([0, 0]) == {"peak": 3.5, "day": 100}


def test_lists_and_nested_names_are_spelt_out(tmp_path: Path) -> None:
    content = {"a": {"b": [1, [2, 3]], "c": None}, "d": True, "e": "text", "f": []}
    (tmp_path / "o.json").write_text(json.dumps(content))
    found = read_outputs(check_reading({"json": "o.json"}), tmp_path, b"", 1000)
    assert list(found) == ["a.b_1", "a.b_2_1", "a.b_2_2", "a.c", "d"]
    assert [*found.values()][:3] == [1, 2, 3]
    assert math.isnan(found["a.c"])
    (tmp_path / "o.csv").write_text("t,i\n1,10\n2,\n")
    found = read_outputs(check_reading({"csv": "o.csv"}), tmp_path, b"", 1000)
    assert list(found) == ["t_1", "t_2", "i_1", "i_2"]
    assert math.isnan(found["i_2"])


def test_netcdf(tmp_path: Path) -> None:
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(tmp_path / "o.nc", "w") as data:
        data.createDimension("t", 3)
        data.createVariable("peak", "f8", ())[...] = 2.5
        data.createVariable("cases", "i4", ("t",))[:] = [1, 2, 3]
        data.createVariable("gaps", "f4", ("t",))[:] = np.ma.masked_equal([1, 0, 3], 0)
        data.createVariable("name", str, ("t",))[0] = "x"
    found = read_outputs(check_reading({"netcdf": "o.nc"}), tmp_path, b"", 10**6)
    assert [found[name] for name in ("peak", "cases_1", "cases_3", "gaps_3")] == [2.5, 1, 3, 3]
    assert math.isnan(found["gaps_2"])
    assert "name" not in found
    (tmp_path / "o.nc").write_bytes(b"nothing at all")
    with pytest.raises(InputError, match=r"o.nc is not NetCDF"):
        read_outputs(check_reading({"netcdf": "o.nc"}), tmp_path, b"", 10**6)


def test_the_first_numbers_of_a_text() -> None:
    text = b"x1=3.5, -2e3;info 7D-1 v1.2.3 .5 nan 1,2"
    found = read_outputs(check_reading(NUMBERS), Path(), text, 100)
    np.testing.assert_equal([*found.values()], [3.5, -2000, 0.7, 0.5, math.nan, 1, 2])


def test_a_long_text_takes_no_long_search() -> None:
    for text in (b"1" * 200_000 + b"x", b"a" + b" " * 200_000 + b"b", b"=" * 200_000):
        for read in (NUMBERS, {"stdout": "names"}):
            with pytest.raises(InputError, match="holds no outputs"):
                read_outputs(check_reading(read), Path(), text, 10**6)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        ({}, "read must be one of stdout, json, csv, netcdf"),
        ({"json": "a", "csv": "b"}, "read must be one of"),
        ({"xml": "a"}, "read must be one of"),
        ({"stdout": "lines"}, "read.stdout must be numbers, names, or a regular"),
        ({"stdout": {"y": "("}}, "read.stdout.y is no regular expression"),
        ({"stdout": {"y": "([[:digit:]]+)"}}, "does not mean what it seems to .possible nested"),
        ({"json": ""}, "read.json must name the file"),
        ({"netcdf": "-"}, "read.netcdf must name the file"),
        ({"json": "/etc/passwd"}, "must be a file in the program's own working directory"),
        ({"csv": "../out.csv"}, "must be a file in the program's own working directory"),
    ],
)
def test_what_is_wrong_with_the_reading_is_one_sentence(read: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        shell("true", read=read)


# What fails -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "read", "kind", "said"),
    [
        ("echo first >&2; echo no convergence >&2; exit 3", NUMBERS, "exit",
         "the program sh ended with return code 3; it said: no convergence"),
        ("kill -11 $$", NUMBERS, "exit", "ended with signal 11"),
        ("true", {"json": "out.json"}, "output", "wrote no file 'out.json'"),
        ("ln -s /etc/passwd out.csv", {"csv": "out.csv"}, "output", "wrote no file 'out.csv'"),
        ("echo '{' > out.json", {"json": "out.json"}, "output",
         "the program sh gave no outputs: out.json is not JSON"),
        ("echo '{}' > out.json", {"json": "out.json"}, "output", "out.json holds no number"),
        ("head -c 2000 /dev/zero > out.json", {"json": "out.json"}, "output", "2000 bytes; 1000"),
        ("head -c 2000 /dev/zero", NUMBERS, "output", "wrote more than 1000 bytes"),
        ("echo peak", {"stdout": "names"}, "output", "holds no outputs; it was 'peak"),
    ],
)  # fmt: skip
def test_a_failed_run_is_one_sentence(script: str, read: Any, kind: str, said: str) -> None:
    with pytest.raises(CommandError, match=said) as caught:
        shell(script, read=read, most=1000)([0, 0])
    assert caught.value.kind == kind
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.kind, again.stderr) == (
        str(caught.value), kind, caught.value.stderr
    )  # fmt: skip


def alive(pid: int) -> bool:
    """Whether a process is there and no mere zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")


@needs_proc
def test_the_time_out_ends_all_that_was_started(tmp_path: Path) -> None:
    noted = tmp_path / "pids"
    slow = shell(f"sleep 60 & echo $! > {noted}; echo $$ >> {noted}; sleep 60", timeout=0.5)
    with pytest.raises(CommandError, match=r"was stopped after 0.5 s") as caught:
        slow([0, 0])
    assert caught.value.kind == "timed out"
    assert not any(alive(int(pid)) for pid in noted.read_text().split())


@needs_proc
def test_what_a_program_leaves_running_ends_with_it(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    started = shell(f"sleep 60 & echo $! > {noted}; echo 5", read=NUMBERS, timeout=30)
    begun = time.monotonic()
    assert started([0, 0]).tolist() == [5]
    assert time.monotonic() - begun < 25
    assert not alive(int(noted.read_text()))


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_program(tmp_path: Path, here: Path, number: int) -> None:
    # A shell's background job is started with SIGINT ignored.
    before = signal.signal(number, signal.default_int_handler)
    noted = tmp_path / "pid"
    slow = shell(f"echo $$ > {noted}; sleep 60")

    def interrupt() -> None:
        while not (noted.exists() and noted.read_text().strip()):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            slow([0, 0])
    finally:
        watcher.join()
        signal.signal(number, before)
    assert not alive(int(noted.read_text()))
    assert not list(here.iterdir())


def test_failed_runs_are_kept_where_that_was_asked(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    for _ in range(2):
        with pytest.raises(CommandError):
            shell("echo out; echo err >&2; echo 1 > trace; exit 2", keep=keep)([0.5, 0])
    assert shell("echo y 1", keep=keep)([0, 0]) == {"y": 1}
    folders = list(keep.iterdir())
    assert len(folders) == 2
    names = {"stdout.txt": "out\n", "stderr.txt": "err\n", "trace": "1\n"}
    for folder in folders:
        assert folder.name.startswith("exit-")
        assert {n: (folder / n).read_text() for n in names} == names
        assert "return code 2" in (folder / "failure.txt").read_text()


# At the door ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arguments": "sh -c true"}, "a command is a list of texts"),
        ({"arguments": []}, "a command is a list of texts"),
        ({"arguments": ["sh", 3]}, "a command is a list of texts"),
        ({"arguments": ["sh", "\0"]}, "a character that no argument can have"),
        ({"arguments": ["no-such-program-here"]}, "there is no program 'no-such-program-here'"),
        ({"arguments": ["sh", "{c}"]}, r"a placeholder \{c\} that is no parameter \(a\)"),
        ({"names": ["a", "b"], "arguments": ["sh", "{a}"]}, "'b' never reaches the program"),
        ({"names": []}, "names must name each parameter once"),
        ({"names": ["a", "a"]}, "names must name each parameter once"),
        ({"names": ["seed"]}, "names must name each parameter once, and none here, seed"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0"),
        ({"template": {"../x": "x"}}, "template must be a file in the program's own"),
        ({"template": {"x": "lost.j2"}}, "there is no template"),
    ],
)
def test_what_is_wrong_with_a_command_is_one_sentence(change: Any, said: str) -> None:
    given = {"arguments": ["sh"], "names": ["a"]} | change
    with pytest.raises(InputError, match=said):
        Command(given.pop("arguments"), given.pop("names"), NUMBERS, **given)


def test_it_wants_one_vector_and_the_right_noise() -> None:
    echo = shell("echo y $1", "{a}")
    with pytest.raises(InputError, match=r"one parameter vector \(2,\).*vectorized=False"):
        echo(np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"give it the argument \{seed\}"):
        echo([0, 0], np.random.default_rng(0))
    seeded = shell("echo y $1", "{seed}")
    with pytest.raises(InputError, match="say stochastic=True"):
        seeded([0, 0])
    first = seeded([0, 0], np.random.default_rng(3))
    assert first == seeded([0, 0], np.random.default_rng(3))
    assert first != seeded([0, 0], np.random.default_rng(4))


def test_it_is_pickled_and_known_again(tmp_path: Path) -> None:
    (tmp_path / "in.j2").write_text("{{ a }}")
    (tmp_path / "model.sh").write_text("echo y 2\n")
    parts: dict[str, Any] = {"template": {"in": "in.j2"}, "here": tmp_path}
    model = shell(". {here}/model.sh", **parts)
    script = Command(["sh", "{here}/model.sh"], ["a"], **parts)
    again = pickle.loads(pickle.dumps(script))
    assert again([1.0]) == script([1.0]) == {"y": 2}
    assert identity(again) == identity(script) != identity(model)
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path, moved, ignore=shutil.ignore_patterns("moved", "temporary"))
    assert identity(Command(["sh", "{here}/model.sh"], ["a"], **parts | {"here": moved})) == (
        identity(script)
    )
    (tmp_path / "model.sh").write_text("echo y 3\n")
    assert identity(Command(["sh", "{here}/model.sh"], ["a"], **parts)) != identity(script)
    (moved / "in.j2").write_text("{{ a }} ")
    changed = Command(["sh", "{here}/model.sh"], ["a"], **parts | {"here": moved})
    assert identity(changed) != identity(script)


def test_a_problem_with_a_program_is_simulated() -> None:
    model = shell("echo first $1; echo second = $2", "{a}", "{b}")
    problem = Problem(
        model, Prior(a=stats.norm(), b=stats.norm()),
        {"second": stats.norm(), "first": stats.norm()}, vectorized=False,
    )  # fmt: skip
    found = simulate(problem, 20, seed=1)
    np.testing.assert_array_equal(found.y, found.x[:, ::-1])
    batched = Problem(model, problem.prior, problem.observations)
    with pytest.raises(ModelError, match="vectorized=False"):
        simulate(batched, 20)


@pytest.mark.parametrize("names", [("b", "a"), ("p", "q"), ("a",)])
def test_the_parameters_of_a_program_are_those_of_the_prior(names: tuple[str, ...]) -> None:
    model = shell("echo $1 $2", "{a}", "{b}", read=NUMBERS)
    prior = Prior(**{name: stats.norm() for name in names})
    with pytest.raises(InputError, match=r"takes parameters \['a', 'b'\] and the prior has"):
        Problem(model, prior, np.zeros((20, 2)), vectorized=False)


# Templates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ a", "line 1 is no template"),
        ("{% include 'x' %}", "no use for include"),
        ("{% set b = a %}", "no use for assign"),
        ("{% macro f() %}{% endmacro %}", "no use for macro"),
        ("{{ a ~ a }}", "no use for concat"),
        ("{{ a|tojson }}", "No filter named 'tojson'"),
        ("{% for i in a recursive %}{% endfor %}", "no use for a recursive loop"),
        ("{% for i in a %}" * 3 + "{% endfor %}" * 3, "loops within loops go 2 deep"),
        ("{{ '{:999999999}'.format(1) }}", "no use for call"),
        ("{{ parameters.items() }}", "no use for call"),
        ("x" * 2_000_000, "are read at most"),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", "is no template"),
    ],
)
def test_a_template_that_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_template(text, "in.j2")


@pytest.mark.parametrize(
    "text",
    [
        "{{ ().__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ '%*d'|format(999999999, 1) }}",
        "{{ 1|round(999999999) / 0 }}",
        "{% for i in range(1000000) %}{% endfor %}",
        "{% for i in range(9999) %}{% for j in [0] %}" + 9999 * "x" + "{% endfor %}{% endfor %}",
        "{{ lost }}",
    ],
)
def test_a_template_reaches_nothing_and_stays_small(text: str) -> None:
    check_template(text, "in.j2")
    with pytest.raises(InputError, match=r"in\.j2"):
        render(text, "in.j2", {"a": 1.0})


def test_a_placeholder_of_a_template_must_be_a_parameter(tmp_path: Path) -> None:
    (tmp_path / "in.j2").write_text("{{ beta }} {{ a }}")
    with pytest.raises(InputError, match="asks for 'beta'; the parameters are a, b"):
        shell("true", template={"in": "in.j2"}, here=tmp_path)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(allow_nan=False, allow_infinity=False))
def test_a_rendered_number_reads_back_to_the_same_double(x: float) -> None:
    assert float(render("{{ a }}", "in.j2", {"a": x})) == x
