"""Configurations: every form, every refusal, and that nothing else ever comes out."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from invgan.config import (
    Config,
    Settings,
    build_problem,
    build_simulations,
    load_config,
    plain,
    relocated,
    to_yaml,
)
from invgan.errors import InputError, ModelError
from invgan.laws import LAWS, canonical_observations, canonical_prior, observations_from, prior_from
from invgan.noise import Noise
from invgan.observations import Law, Table
from invgan.priors import Dirichlet, MultivariateNormal
from invgan.settings import McmcConfig, Section, TrainConfig

VALID = """\
seed: 3
device: cpu
problem:
  model: model.py:rosenbrock
  prior:
    x1: {uniform: [-2, 2]}
    x2: {truncnorm: {mean: 0, sd: 1, low: -2, high: .inf}}
  observations: {truncnorm: {mean: 350, sd: 50, low: 200, high: 500}}
simulate: {n: 1e5}
train: {steps: 6000, head: flow}
sample: {n: 20000, correct: true}
mcmc: {walkers: 64, steps: 5000}
"""

MODEL = """\
import numpy as np

ALPHA = 3.0

def rosenbrock(x):
    return 100 * (x[:, 1:] - x[:, :1] ** 2) ** 2 + (1 - x[:, :1]) ** 2

def total(x):
    return x.sum(axis=1)
"""


def write(folder: Path, text: str, model: str = MODEL) -> Path:
    (folder / "model.py").write_text(model, encoding="utf-8")
    path = folder / "config.yml"
    path.write_text(text, encoding="utf-8")
    return path


def problem_text(**parts: str) -> str:
    lines = {
        "model": "model.py:rosenbrock",
        "prior": "{x1: {uniform: [-2, 2]}, x2: {uniform: [-2, 2]}}",
        "observations": "{normal: [350, 50]}",
    } | parts
    return "problem:\n" + "".join(f"  {key}: {value}\n" for key, value in lines.items())


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(write(folder, text))
    return str(caught.value)


# The whole file ---------------------------------------------------------------------------------


def test_a_valid_file_becomes_its_settings(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, VALID))
    assert (config.seed, config.device, config.simulate.n) == (3, "cpu", 100_000)
    assert config.train == TrainConfig(head="flow", steps=6000)
    assert config.mcmc == McmcConfig(walkers=64, steps=5000)
    assert config.problem.vectorized is True
    assert config.problem.question == "population"


def test_the_problem_of_a_file_is_the_one_written_in_python(tmp_path: Path) -> None:
    path = write(tmp_path, VALID)
    problem = build_problem(load_config(path), path.parent)
    x = np.array([[0.5, -1.0], [1.5, 1.0]])
    expected = stats.uniform(-2, 4).logpdf(x[:, 0]) + stats.truncnorm(-2, np.inf).logpdf(x[:, 1])
    assert problem.prior.names == ("x1", "x2")
    np.testing.assert_allclose(problem.prior.log_prob(x), expected)
    np.testing.assert_allclose(problem.model(x)[:, 0], [156.5, 156.5])
    assert isinstance(problem.observations, Law)
    law = stats.truncnorm(-3, 3, loc=350, scale=50)
    y = np.array([[250.0], [400.0], [501.0]])
    np.testing.assert_allclose(problem.observations.log_prob(y), law.logpdf(y[:, 0]))


@pytest.mark.parametrize(
    "text",
    [
        VALID,
        problem_text(),
        problem_text(observations="[[1, 2], [3, 4]]", outputs="[a, 1e5]".replace("1e5", "'1e5'")),
        problem_text(observations="'010.csv'", question="posterior", stochastic="true"),
        problem_text(noise="{normal: 1e-1}"),
        problem_text(noise="{student_t: {df: 4, sd: {y: 2}}}", question="posterior"),
        problem_text(log_likelihood="model.py:total", noise="{lognormal: [0.1]}"),
        problem_text(prior="{'on': {normal: [0, 1]}, '1': {beta: [1, 2]}, é: {gamma: [1, 2]}}"),
        problem_text(prior="{dirichlet: {alpha: [1, 1], names: ['no', '~']}}"),
        problem_text(prior="{x: {scipy: {name: gennorm, beta: 1.5, loc: 1e-7}}}"),
        "problem: {model: 'gallery:rosenbrock'}\ntrain:\nmcmc: {enabled: no}\n",
    ],
)
def test_the_resolved_file_loads_back_to_an_equal_one(tmp_path: Path, text: str) -> None:
    config = load_config(write(tmp_path, text))
    resolved = to_yaml(config)
    assert load_config(write(tmp_path, resolved)) == config
    assert to_yaml(plain(config)) == resolved
    assert all(f"  {key}:" in resolved for key in TrainConfig.model_fields)


def test_other_readers_of_yaml_read_the_resolved_file_alike(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, VALID))
    assert yaml.safe_load(to_yaml(config)) == plain(config)


def test_changed_settings_are_another_config(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, VALID))
    assert load_config(write(tmp_path, VALID.replace("seed: 3", "seed: 4"))) != config


def test_settings_alone_serve_python() -> None:
    chosen = Settings(train=TrainConfig(steps=10))
    assert chosen.train.steps == 10
    assert chosen.mcmc == McmcConfig()
    with pytest.raises(InputError, match=r"^problem is not a setting"):
        Settings(**{"problem": {}})


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e3", 1000), ("'1e3'", 1000), ("010", 10), ("+7", 7), ("1_000", 1000), ("1000.0", 1000)],
)
def test_numbers_are_read_as_a_scientist_writes_them(tmp_path: Path, text: str, value: int) -> None:
    config = load_config(write(tmp_path, problem_text() + f"train: {{steps: {text}}}\n"))
    assert config.train.steps == value


SENTENCES = {
    "": r"config.yml is empty; `invgan init` writes a file to start from",
    "# only this\n": r"config.yml is empty",
    "- seed\n": r"must hold settings by name, such as `problem:`; got a list",
    "seed\n": r"must hold settings by name, .* got 'seed'",
    "seed: 1\n": r"^problem is missing; .* needs this section, with model, prior",
    "problem:\n": r"^problem.model is missing$",
    "problem: [1]\n": r"^problem must be settings, one `name: value` a line; got \[1\]",
    "problem: {model: 'model.py:f'}\n": r"^problem.prior is missing; say what the parameters are",
    "problem: {model: ''}\n": r"^problem.model must not be empty",
    "problm: {}\n": r"^problm is not a setting; did you mean problem\?",
    "a: b: c\n": r"config.yml, line 1, column 5: mapping values are not allowed here",
    "seed: 1\nseed: 2\n": r"line 2, column 1: 'seed' stands here for the second time; keep one",
    "a: {b: 1, b: 2}\n": r"line 1, column 11: 'b' stands here for the second time",
    "a: &x [1]\nb: *x\n": r"line 2, column 4: aliases \(\*name\) are not used here",
    "? [1]\n: 2\n": r"line 1, column 3: a key must be plain text",
    "a: !!python/object/apply:os.getcwd []\n": r"could not determine a constructor for the tag",
    "a: !!timestamp soon\n": r"holds a value that does not fit its tag",
    "a: !!int ''\n": r"holds a value that does not fit its tag",
    f"a: {'9' * 5000}\n": r"too long a number",
    "[" * 5000: r"is nested too deeply",
    "a: \x07\n": r"holds a character that no text has",
    problem_text()
    + "train: {stepz: 3}": r"^train.stepz is not a setting; did you mean train.steps\?$",
    problem_text() + "train: {zzz: 3}": r"^train.zzz is not a setting; known are method, .*focus",
    problem_text() + "steps: 3": r"^steps is not a .*; did you mean train.steps or mcmc.steps\?$",
    problem_text() + "prior: 3": r"^prior is not a setting; did you mean problem.prior\?$",
    problem_text() + '"a\\nb": 3': r"^'a\\nb' is not a setting",
    problem_text() + "train: {steps: -3}": r"^train.steps must be 0 or more; got -3$",
    problem_text() + "train: {steps: 1.5}": r"^train.steps must be a whole number; got 1.5$",
    problem_text() + "train: {steps: true}": r"^train.steps must be a number; got true$",
    problem_text() + "train: {steps: many}": r"^train.steps must be a whole number; got 'many'$",
    problem_text() + "train: {steps: [3]}": r"^train.steps must be a whole number; got \[3\]$",
    problem_text() + "train: {gamma: .nan}": r"^train.gamma must be a finite number; got nan$",
    problem_text() + "train: {gamma: 1e999}": r"^train.gamma must be a finite number; got inf$",
    problem_text() + "train: {averaging: 1}": r"^train.averaging must be less than 1; got 1$",
    problem_text()
    + "train: {learning_rate: 0}": r"^train.learning_rate must be more than 0; got 0$",
    problem_text()
    + "train: {head: flo}": r"^train.head must be 'auto', 'flow', 'small', .* or 'none'; got",
    problem_text()
    + "train: fast": r"^train must be settings, one `name: value` a line; got 'fast'",
    problem_text()
    + "simulate: {max_failures: 2}": r"^simulate.max_failures must be 1 or less; got 2",
    problem_text() + "sample: {correct: 3}": r"^sample.correct must be true or false; got 3$",
    problem_text() + "seed: -1": r"^seed must be 0 or more; got -1$",
    problem_text() + "seed: false": r"^seed must be a number; got false$",
    problem_text()
    + "device: gpu": r"^device must be auto, cpu, cuda, cuda:0 .* or mps; got 'gpu'$",
    problem_text() + "device: 'cuda:'": r"^device must be auto",
    problem_text(
        question="why"
    ): r"^problem.question must be 'population' or 'posterior'; got 'why'",
    problem_text(model="3"): r"^problem.model must be text; got 3",
    problem_text(outputs="[1]"): r"^problem.outputs.0 must be text; got 1",
    problem_text(noise="0.1"): r"^problem.noise must be one law, such as \{normal: 0.1\}; got 0.1$",
    problem_text(noise="{}"): r"^problem.noise must be one law, .*; got \{\}$",
    problem_text(
        noise="{nromal: 1}"
    ): r"^problem.noise.nromal is not a law of noise; did you mean problem.noise.normal\?$",
    problem_text(noise="{normal: 0}"): r"^problem.noise.normal must be a number above 0; got 0$",
    problem_text(noise="{normal: {y: no}}"): r"^problem.noise.normal.y must be a number .*'no'$",
    problem_text(noise="{student_t: 1}"): r"^problem.noise.student_t must hold df and sd by name",
    problem_text(noise="{student_t: {df: 1}}"): r"^problem.noise.student_t.sd is missing$",
    problem_text(log_likelihood="3"): r"^problem.log_likelihood must be text; got 3",
    problem_text(log_likelihood="''"): r"^problem.log_likelihood must not be empty",
    problem_text(
        log_likelyhood="f"
    ): r"^problem.log_likelyhood is not a .*; did you mean problem.log_likelihood\?$",
    problem_text(vectorized="maybe"): r"^problem.vectorized must be true or false; got 'maybe'",
}


@pytest.mark.parametrize("text", SENTENCES)
def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    import re

    said = refusal(tmp_path, text)
    assert re.search(SENTENCES[text], said), said
    assert "\n" not in said


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no config file '.*absent.yml'"):
        load_config(tmp_path / "absent.yml")
    with pytest.raises(
        InputError, match=r"is a directory; name the file in it, as in .*config.yml"
    ):
        load_config(tmp_path)
    (tmp_path / "latin.yml").write_bytes("a: é".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin.yml is not UTF-8 text \(byte 3\)"):
        load_config(tmp_path / "latin.yml")
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path / "nul\0.yml")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    path.write_bytes(b"\xef\xbb\xbf" + VALID.encode())
    assert load_config(path).seed == 3


# Laws -------------------------------------------------------------------------------------------

FORMS: dict[str, tuple[list[Any], dict[str, Any], Any]] = {
    "uniform": ([-2, 3], {"low": -2, "high": 3}, stats.uniform(-2, 5)),
    "normal": ([1, 2], {"mean": 1, "sd": 2}, stats.norm(1, 2)),
    "truncnorm": (
        [1, 2, 0, 4],
        {"mean": 1, "sd": 2, "low": 0, "high": 4},
        stats.truncnorm(-0.5, 1.5, loc=1, scale=2),
    ),
    "lognormal": ([0.3, 0.5], {"mu": 0.3, "sigma": 0.5}, stats.lognorm(0.5, scale=np.exp(0.3))),
    "beta": ([2, 3, -1, 4], {"a": 2, "b": 3, "low": -1, "high": 4}, stats.beta(2, 3, -1, 5)),
    "gamma": ([2, 3], {"shape": 2, "scale": 3}, stats.gamma(2, scale=3)),
    "exponential": ([3], {"scale": 3}, stats.expon(scale=3)),
    "student_t": ([4, 1, 2], {"df": 4, "mean": 1, "sd": 2}, stats.t(4, 1, 2)),
    "scipy": (
        ["gennorm", 1.5, 1, 2],
        {"name": "gennorm", "beta": 1.5, "loc": 1, "scale": 2},
        stats.gennorm(1.5, 1, 2),
    ),
}
COV = [[1.0, 0.3], [0.3, 2.0]]


def test_every_law_of_one_variable_is_tested() -> None:
    assert set(FORMS) | {"multivariate_normal", "dirichlet", "gaussian_field"} == set(LAWS)


@pytest.mark.parametrize("kind", FORMS)
def test_a_law_by_list_and_by_name_is_the_law_of_scipy(kind: str) -> None:
    by_list, by_name, law = FORMS[kind]
    points = law.ppf([0.01, 0.3, 0.5, 0.99])[:, None]
    for arguments in (by_list, by_name):
        canonical = canonical_prior({"x": {kind: arguments}})
        assert canonical_prior(canonical) == canonical == {"x": {kind: by_name}}
        prior = prior_from(canonical)
        np.testing.assert_allclose(prior.log_prob(points), law.logpdf(points[:, 0]))
        seen = observations_from(canonical_observations({kind: arguments}), Path())
        assert isinstance(seen, Law)
        np.testing.assert_allclose(seen.log_prob(points), law.logpdf(points[:, 0]))


def test_a_beta_law_lives_between_zero_and_one_unless_told_otherwise() -> None:
    prior = prior_from(canonical_prior({"x": {"beta": [2, 3]}}))
    np.testing.assert_allclose(prior.log_prob(np.array([[0.4]])), stats.beta(2, 3).logpdf(0.4))


def test_a_truncated_normal_may_be_open_at_one_end() -> None:
    prior = prior_from(canonical_prior({"x": {"truncnorm": [0, 1, 2, float("inf")]}}))
    expected = stats.norm.logpdf(3.0) - stats.norm.logsf(2.0)
    np.testing.assert_allclose(prior.log_prob(np.array([[3.0], [1.9]])), [expected, -np.inf])


@pytest.mark.parametrize("arguments", [[[1, 2], COV, ["a", "b"]], {"mean": [1, 2], "cov": COV}])
def test_a_joint_normal_prior_and_observation(arguments: Any) -> None:
    law = stats.multivariate_normal([1, 2], COV)
    points = np.array([[0.0, 1.0], [2.0, 2.0]])
    prior = prior_from(canonical_prior({"multivariate_normal": arguments}))
    assert isinstance(prior, MultivariateNormal)
    assert prior.names == (("a", "b") if isinstance(arguments, list) else ("x1", "x2"))
    np.testing.assert_allclose(prior.log_prob(points), law.logpdf(points))
    seen = observations_from(canonical_observations({"multivariate_normal": arguments}), Path())
    assert seen.names == (("a", "b") if isinstance(arguments, list) else None)
    assert isinstance(seen, Law)
    assert seen.width == 2
    np.testing.assert_allclose(seen.log_prob(points), law.logpdf(points))


@pytest.mark.parametrize("arguments", [[1, 2, 3], [[1, 2, 3]], {"alpha": [1, 2, 3]}])
def test_proportions(arguments: Any) -> None:
    prior = prior_from(canonical_prior({"dirichlet": arguments}))
    assert isinstance(prior, Dirichlet)
    x = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(prior.log_prob(x), stats.dirichlet([1, 2, 3]).logpdf(x[0]))


def test_names_of_laws_can_name_parameters_and_outputs() -> None:
    prior = canonical_prior({"beta": {"uniform": [0, 1]}, "gamma": {"gamma": [1, 2]}})
    assert list(prior) == ["beta", "gamma"]
    assert canonical_observations({"gamma": {"gamma": [1, 2]}})["gamma"].keys() == {"gamma"}
    seen = observations_from(canonical_observations({"gamma": {"normal": [1, 2]}}), Path())
    assert seen.names == ("gamma",)


LAW_SENTENCES = {
    "{x: {unifrm: [0, 1]}}": r"prior.x.unifrm is not a law; did you mean problem.prior.x.uniform\?",
    "{x: {zzz: [0, 1]}}": r"prior.x.zzz is not a law; known are uniform, normal, truncnorm",
    "{x: {uniform: [1, 0]}}": r"prior.x.uniform must have low < high; got low=1, high=0$",
    "{x: {beta: [1, 1, 2, 2]}}": r"prior.x.beta must have low < high; got low=2, high=2$",
    "{x: {truncnorm: [0, 1, 2, 1]}}": r"prior.x.truncnorm must have low < high; got low=2, high=1$",
    "{x: {truncnorm: [0, 1, .nan, 1]}}": r"prior.x.truncnorm must have low < high; got low=nan",
    "{x: {uniform: [0, .inf]}}": r"prior.x.uniform.high must be a finite number; got inf$",
    "{x: {uniform: [0]}}": r"prior.x.uniform.high is missing$",
    "{x: {uniform: [0, 1, 2]}}": r"prior.x.uniform takes 2 values at most \(low, high\); got 3$",
    "{x: {uniform: {low: 0, hihg: 1}}}": r"uniform.hihg is not .* mean .*.uniform.high\?",
    "{x: {normal: [0, 0]}}": r"prior.x.normal.sd must be more than 0; got 0$",
    "{x: {normal: [0, true]}}": r"prior.x.normal.sd must be a number; got true$",
    "{x: {normal: [a, 1]}}": r"prior.x.normal.mean must be a number; got 'a'$",
    "{x: {gamma: [-1, 1]}}": r"prior.x.gamma.shape must be more than 0; got -1$",
    "{x: {student_t: [0, 0, 1]}}": r"prior.x.student_t.df must be more than 0; got 0$",
    "{x: {exponential: 3}}": r"exponential must hold its arguments \(scale\) by list or",
    "{x: {lognormal: [5000, 1]}}": r"prior.x.lognormal defines no law with \{'mu': 5000.0",
    "{x: uniform}": r"prior.x must be one law, such as \{normal: \[350, 50\]\}; got 'uniform'$",
    "{x: {normal: [0, 1], uniform: [0, 1]}}": r"prior.x must be one law, such as",
    "{x: {}}": r"prior.x must be one law, such as .*; got \{\}$",
    "{uniform: [0, 1]}": r"prior.uniform is a law without a name; .* x1: \{uniform: ...\}$",
    "{unifrm: [0, 1]}": r"prior.unifrm is not a law; did you mean problem.prior.uniform\?$",
    "{'': {uniform: [0, 1]}}": r"needs a name before its law",
    "[1]": r"prior must give each parameter a law, as in .*; got \[1\]$",
    "{}": r"prior must give each parameter a law, as in .*; got \{\}$",
    "{x: {scipy: {name: gama, a: 1}}}": r"name must be .*\(did you mean gamma\?\); got 'gama'$",
    "{x: {scipy: {name: poisson, mu: 1}}}": r"name must be a continuous law .*; got 'poisson'$",
    "{x: {scipy: {name: [1]}}}": r"prior.x.scipy.name must be text; got \[1\]$",
    "{x: {scipy: {a: 1}}}": r"prior.x.scipy.name is missing$",
    "{x: {scipy: []}}": r"prior.x.scipy.name is missing$",
    "{x: {scipy: [[1]]}}": r"prior.x.scipy.name must be a continuous law .*; got \[1\]$",
    "{x: {scipy: {name: gamma}}}": r"scipy.a is missing: gamma takes a, loc, scale$",
    "{x: {scipy: {name: gamma, b: 1}}}": r"scipy.b is not an argument of gamma; known are a, loc",
    "{x: {scipy: {name: gamma, a: -1}}}": r"scipy defines no law with \{'name': 'gamma', 'a': -1",
    "{x: {scipy: {name: gamma, a: true}}}": r"prior.x.scipy.a must be a number; got true$",
    "{x: {scipy: [gamma, 1, 0, 1, 7]}}": r"scipy takes 4 values at most \(name, a, loc, scale\)",
    "{x: {dirichlet: [1, 1]}}": r"prior.x is a joint law of several values; write dirichlet alone",
    "{dirichlet: [1]}": r"prior.dirichlet is not usable: Dirichlet needs two or more positive",
    "{dirichlet: {alpha: [1, 0]}}": r"prior.dirichlet is not usable: .* positive concentrations",
    "{dirichlet: [1, 1], y: {normal: [0, 1]}}": r"prior.y cannot stand beside dirichlet, which is",
    "{multivariate_normal: [[0], [[1]]], names: [a]}": r"prior.names cannot stand beside .* third",
    "{multivariate_normal: [[], []]}": r"multivariate_normal.mean must not be empty",
    "{multivariate_normal: [[0, 0], [[1, 0]]]}": r"cov must have 2 rows of 2 values; got rows",
    "{multivariate_normal: [[0, 0], [[1, 2], [2, 1]]]}": r"is not usable: .* no usable covariance",
    "{multivariate_normal: [[0, 0], [[1, 0], [1, 1]]]}": r"cov must be symmetric; got \[\[1.0",
    "{multivariate_normal: [[0], [[true]]]}": r"cov.0.0 must be a number; got true$",
    "{multivariate_normal: [[0], [[1]], [a, b]]}": r"is not usable: expected 1 different names",
}


@pytest.mark.parametrize("prior", LAW_SENTENCES)
def test_what_is_wrong_with_a_law_is_one_sentence(tmp_path: Path, prior: str) -> None:
    import re

    said = refusal(tmp_path, problem_text(prior=prior))
    assert said.startswith("problem.prior")
    assert re.search(LAW_SENTENCES[prior], said), said


# Observations -----------------------------------------------------------------------------------


def observed(folder: Path, text: str, **parts: str) -> Any:
    path = write(folder, problem_text(observations=text, model="model.py:total", **parts))
    return build_problem(load_config(path), folder).observations


def test_laws_by_output_name(tmp_path: Path) -> None:
    seen = observed(tmp_path, "{peak: {normal: [0, 1]}, day: {gamma: [2, 3]}}")
    assert seen.names == ("peak", "day")
    expected = stats.norm.logpdf(0.5) + stats.gamma(2, scale=3).logpdf(4.0)
    np.testing.assert_allclose(seen.log_prob(np.array([[0.5, 4.0]])), [expected])


def test_tables_in_files_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "seen.csv").write_text("peak,day\n1,2\n3,4\n", encoding="utf-8")
    np.save(tmp_path / "seen.npy", np.array([[1.0, 2.0], [3.0, 4.0]]))
    for name in ("seen.csv", "seen.npy"):
        seen = observed(tmp_path, name)
        assert isinstance(seen, Table)
        np.testing.assert_array_equal(seen.rows, [[1, 2], [3, 4]])
    chosen = observed(tmp_path, "seen.csv", outputs="[day]")
    np.testing.assert_array_equal(chosen.rows, [[2], [4]])
    with pytest.raises(InputError, match=r"there is no file '.*lost.csv'"):
        observed(tmp_path, "lost.csv")


def test_tables_in_the_configuration_itself(tmp_path: Path) -> None:
    np.testing.assert_array_equal(observed(tmp_path, "[1, '2e0', 3.5]").rows, [[1], [2], [3.5]])
    np.testing.assert_array_equal(observed(tmp_path, "[[1, 2], [3, 4]]").rows, [[1, 2], [3, 4]])
    one = observed(tmp_path, "[[1, 2]]", question="posterior", outputs="[a, b]")
    assert (one.rows.shape, one.names) == ((1, 2), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[1, 2], [3]]", r"must have 2 values in every row, as in the first; got \[3\] in row 2"),
        ("[1, [2]]", r"must be finite numbers or rows of them; got \[2\] in row 2"),
        ("[1, true]", r"must be finite numbers .*; got True in row 2"),
        ("[.nan]", r"must be finite numbers .*; got nan in row 1"),
        ("[[]]", r"must have some values in every row"),
        ("[]", r"must be a law, laws by output name, a .csv or .npy path, or a list of rows"),
        ("3", r"must be a law, .*; got 3"),
        ("''", r"must be a law, .*; got ''"),
        ("{peak: 3}", r"peak must be one law, such as .*; got 3"),
        ("{norml: [0, 1]}", r"norml is not a law; did you mean problem.observations.normal\?"),
    ],
)
def test_what_is_wrong_with_observations_is_one_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(InputError, match=rf"^problem\.observations.*{said}"):
        load_config(write(tmp_path, problem_text(observations=text)))


# Noise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "noise"),
    [
        ("{normal: 0.5}", Noise.normal(0.5)),
        ("{normal: [1, 2]}", Noise.normal([1, 2])),
        ("{lognormal: {day: 2, peak: 1}}", Noise.lognormal([1, 2])),
        ("{student_t: {df: 4, sd: '1e-1'}}", Noise.student_t(4, 0.1)),
    ],
)
def test_noise_in_the_configuration_is_that_of_python(
    tmp_path: Path, text: str, noise: Noise
) -> None:
    seen = "{peak: {normal: [0, 1]}, day: {gamma: [2, 3]}}"
    path = write(tmp_path, problem_text(observations=seen, noise=text))
    problem = build_problem(load_config(path), tmp_path)
    assert problem.noise == noise
    assert problem.random
    wrong = write(tmp_path, problem_text(observations=seen, noise="{normal: {peek: 1, day: 2}}"))
    with pytest.raises(InputError, match=r"noise.normal.peek is not .* mean noise.normal.peak\?$"):
        build_problem(load_config(wrong), tmp_path)


def test_a_likelihood_comes_from_a_file_as_the_model_does(tmp_path: Path) -> None:
    text = problem_text(
        model="model.py:total",
        observations="[[1], [2]]",
        question="posterior",
        noise="{normal: 1}",
        log_likelihood="model.py:known",
    )
    more = "def known(x, rows):\n    return x[:, 0] * len(rows)\n"
    config = load_config(write(tmp_path, text, MODEL + more))
    problem = build_problem(config, tmp_path)
    assert problem.log_likelihood is not None
    assert problem.log_likelihood(np.full((1, 2), 3.0), np.ones((2, 1))) == 6
    moved = relocated(config, tmp_path, tmp_path / "out")
    assert moved.problem.log_likelihood == "../model.py:known"
    (tmp_path / "out").mkdir()
    assert build_problem(moved, tmp_path / "out").log_likelihood is not None
    lost = load_config(write(tmp_path, text, MODEL))
    with pytest.raises(ModelError, match=r"^problem.log_likelihood: model.py has no function 'kn"):
        build_problem(lost, tmp_path)


# Models -----------------------------------------------------------------------------------------


def test_two_models_of_one_name_do_not_meet(tmp_path: Path) -> None:
    models = []
    for name, factor in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        text = f"import {name}_physics\nK = {factor}\ndef f(x):\n    return K * x[:, 0]\n"
        (tmp_path / name / f"{name}_physics.py").write_text("G = 9.81\n", encoding="utf-8")
        path = write(tmp_path / name, problem_text(model="model.py:f"), text)
        models.append(build_problem(load_config(path), path.parent).model)
    x = np.ones((1, 2))
    assert [float(model(x)[0]) for model in models] == [1.0, 2.0]
    assert len({model.__module__ for model in models}) == 2
    assert not [entry for entry in sys.path if entry.startswith(str(tmp_path))]


def test_an_edited_model_is_the_one_that_runs(tmp_path: Path) -> None:
    values = []
    for factor in (1, 2):
        path = write(
            tmp_path, problem_text(model="model.py:f"), f"f = lambda x: {factor} * x[:, 0]"
        )
        values.append(build_problem(load_config(path), tmp_path).model(np.ones((1, 2)))[0])
    assert values == [1, 2]


def test_an_installed_function_can_be_the_model(tmp_path: Path) -> None:
    path = write(tmp_path, problem_text(model="numpy.linalg:norm"))
    assert build_problem(load_config(path), tmp_path).model is np.linalg.norm


@pytest.mark.parametrize(
    ("model", "code", "kind", "said"),
    [
        (
            "model.py",
            "",
            InputError,
            r"must be file.py:function, .* or gallery:name; got 'model.py'",
        ),
        ("'model.py:'", "", InputError, r"must be file.py:function"),
        ("':f'", "", InputError, r"must be file.py:function"),
        ("lost.py:f", "", InputError, r"there is no file '.*lost.py'"),
        ("no_such_module:f", "", InputError, r"no module 'no_such_module' to import; install it"),
        ("numpy.nothing:f", "", InputError, r"there is no module 'numpy.nothing'"),
        ("'..:f'", "", InputError, r"neither a file ending in .py nor the name of a module"),
        (
            "model.py:rosenbrok",
            MODEL,
            ModelError,
            r"no function 'rosenbrok'; did you mean model.py:ro",
        ),
        ("model.py:zzz", MODEL, ModelError, r"no function 'zzz'; it has rosenbrock, total"),
        ("model.py:f", "", ModelError, r"no function 'f'; it has none"),
        ("model.py:ALPHA", MODEL, ModelError, r"ALPHA in model.py is no function; got float"),
        ("model.py:f", "def f(x:\n", ModelError, r"model.py, line 1: not valid Python"),
        ("model.py:f", "\n1 / 0\n", ModelError, r"raised ZeroDivisionError: .* \(line 2\)"),
        (
            "model.py:f",
            "import lost_friend\n",
            ModelError,
            r"raised ModuleNotFoundError: No module",
        ),
        ("model.py:f", "raise SystemExit(0)\n", ModelError, r"raised SystemExit: 0 \(line 1\)"),
        ("model.py:f", "a = '\0'\n", ModelError, r"importing .*model.py raised|not valid Python"),
    ],
)
def test_what_is_wrong_with_a_model_is_one_sentence(
    tmp_path: Path, model: str, code: str, kind: type[InputError], said: str
) -> None:
    config = load_config(write(tmp_path, problem_text(model=model), code))
    with pytest.raises(kind, match=rf"^problem\.model.*{said}"):
        build_problem(config, tmp_path)


DESCRIBED = {
    "command": "{command: [sh, -c, 'echo y $1', sh, '{x1}', '{x2}'], keep: true, timeout: '1e1'}",
    "template": "{command: [cat, in], template: {in: in.j2}, read: {stdout: {y: 'y=(.*)'}}}",
    "ode": "{ode: 'model.py:decay', initial: 'model.py:begin', times: [1], observe: [0]}",
    "summary": "{ode: 'model.py:decay', initial: [2], times: [1], summary: 'model.py:last'}",
    "torch": "{torch: 'model.py:f', batch: 2}",
}
DESCRIBED_CODE = """
import numpy as np
def decay(t, u, x):
    return -x[:1] * u
def begin(x):
    return [2.0]
def last(t, u):
    return {"y": u[:, -1, 0]}
def f(x):
    return x[:, 0]
"""


@pytest.mark.parametrize("kind", DESCRIBED)
def test_a_described_model_is_built_written_out_and_moved(tmp_path: Path, kind: str) -> None:
    (tmp_path / "in.j2").write_text("y={{ x1 }}\nother={{ x2 }}\n", encoding="utf-8")
    path = write(tmp_path, problem_text(model=DESCRIBED[kind]), DESCRIBED_CODE)
    config = load_config(path)
    assert config.problem.vectorized is (kind == "torch")
    out = tmp_path / "runs" / "one"
    out.mkdir(parents=True)
    (out / "config.yml").write_text(to_yaml(relocated(config, tmp_path, out)), encoding="utf-8")
    for at in (tmp_path, out):
        again = load_config(at / "config.yml")
        assert load_config(write(tmp_path / "runs", to_yaml(again), "")) == again
        model = build_problem(again, at, out=out).model
        x = np.array([0.5, 1.0])
        found = model(x[None] if kind == "torch" else x)
        y = found[0] if kind == "torch" else next(iter(found.values()))
        assert y == pytest.approx(2 * np.exp(-0.5) if kind in ("ode", "summary") else 0.5, rel=1e-5)
        if kind == "command":
            assert (model.keep, model.timeout) == (out / "failed-runs", 10)
            assert build_problem(again, at).model.keep is None


def test_a_summary_stands_between_the_model_and_what_was_observed(tmp_path: Path) -> None:
    text = problem_text(model="model.py:f", summary="model.py:mean")
    code = "def f(x):\n    return x\n\ndef mean(y):\n    return y.mean(axis=1)\n"
    config = load_config(write(tmp_path, text, code))
    model = build_problem(config, tmp_path).model
    np.testing.assert_array_equal(model(np.array([[1.0, 2.0]])), [1.5])
    assert relocated(config, tmp_path, tmp_path / "out").problem.summary == "../model.py:mean"
    single = problem_text(model="model.py:f", summary="model.py:mean", vectorized="false")
    alone = build_problem(load_config(write(tmp_path, single, code)), tmp_path).model
    assert alone(np.array([1.0, 2.0])) == 1.5


def test_simulations_of_a_table_that_the_configuration_names(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).uniform(-2, 2, size=(50, 2))
    text = "\n".join(["x1,x2,y", *(f"{a!r},{b!r},{a + b!r}" for a, b in rows.tolist())])
    (tmp_path / "runs.csv").write_text(text, encoding="utf-8")
    config = load_config(write(tmp_path, problem_text(model="model.py:total", table="runs.csv")))
    problem = build_problem(config, tmp_path)
    found = build_simulations(config, problem, tmp_path)
    assert found is not None
    assert (len(found), found.outputs) == (50, ("y",))
    moved = relocated(config, tmp_path, tmp_path / "out")
    assert moved.problem.table == "../runs.csv"
    plainly = load_config(write(tmp_path, problem_text()))
    assert build_simulations(plainly, problem, tmp_path) is None
    rounds = Config(**dict(config) | {"simulate": {"rounds": 2}})
    with pytest.raises(InputError, match=r"problem\.table cannot be made in rounds"):
        build_simulations(rounds, problem, tmp_path)


DESCRIBED_SENTENCES = {
    "{}": r"model must be file.py:function, or describe a model by one of command, ode, torch; got",
    "{comand: [a]}": r"model must be file.py:function, or describe a model by one of command",
    "{command: [a], ode: 'm.py:f'}": r"model must be file.py:function, or describe",
    "{command: a}": r"model.command must be a list; got 'a'",
    "{command: []}": r"model.command must not be empty",
    "{command: [3]}": r"model.command.0 must be text; got 3",
    "{command: [a], timout: 3}": r"model.timout is not .*; did you mean problem.model.timeout\?",
    "{command: [a], timeout: 0}": r"model.timeout must be more than 0; got 0",
    "{command: [a], read: {xml: b}}": r"model.read is not usable: read must be one of stdout",
    "{command: [a], read: {json: ../b}}": r"model.read .*in the program's own working directory",
    "{command: [a], template: {../b: c}}": r"model.template .*in the program's own working dir",
    "{command: [a], template: {b: ../c}}": r"model.template.b must be a file beside the configur",
    "{command: [a], template: {b: /c}}": r"model.template.b must be a file beside the configurat",
    "{ode: 'm.py:f', times: [1]}": r"model.initial is missing",
    "{ode: 'm.py:f', initial: [1], times: []}": r"model.times must not be empty",
    "{ode: 'm.py:f', initial: [1], times: [1], method: x}": r"model.method must be 'LSODA', 'RK45'",
    "{torch: 'm.py:f', batch: 0}": r"model.batch must be 1 or more; got 0",
}


@pytest.mark.parametrize("model", DESCRIBED_SENTENCES)
def test_what_is_wrong_with_a_description_is_one_sentence(tmp_path: Path, model: str) -> None:
    with pytest.raises(InputError, match=rf"^problem\.{DESCRIBED_SENTENCES[model]}"):
        load_config(write(tmp_path, problem_text(model=model)))


def test_a_description_that_cannot_be_built_says_where(tmp_path: Path) -> None:
    def built(model: str, **more: str) -> None:
        path = write(tmp_path, problem_text(model=model, **more), DESCRIBED_CODE)
        build_problem(load_config(path), tmp_path)

    with pytest.raises(InputError, match=r"^problem\.model: there is no program 'no-such-pro"):
        built("{command: [no-such-program]}")
    with pytest.raises(InputError, match=r"^problem\.model: the command has a placeholder \{x3\}"):
        built("{command: [sh, '{x3}']}")
    (tmp_path / "link.j2").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=r"^problem\.model: the template 'link.j2' is outside"):
        built("{command: [sh], template: {a: link.j2}}")
    with pytest.raises(InputError, match=r"^problem\.model: times must increase"):
        built("{ode: 'model.py:decay', initial: [1], times: [2, 1]}")
    with pytest.raises(ModelError, match=r"^problem\.model\.ode: model.py has no function 'dekay'"):
        built("{ode: 'model.py:dekay', initial: [1], times: [1]}")
    with pytest.raises(InputError, match=r"^problem\.vectorized must be false for a command"):
        built("{command: [sh]}", vectorized="true")
    with pytest.raises(InputError, match=r"^problem\.summary is for a model of your own"):
        built("gallery:rosenbrock", summary="model.py:f")


def test_laws_that_would_take_for_ever_are_refused(tmp_path: Path) -> None:
    for law in ("{scipy: [ksone, 1e6]}", "{scipy: {name: irwinhall, n: 1e9}}"):
        with pytest.raises(InputError, match=r"scipy\.n must be 1000 or less; got 1e\+0[69]"):
            load_config(write(tmp_path, problem_text(prior=f"{{x: {law}}}")))


def test_a_file_of_more_than_a_megabyte_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"more than 1048576 bytes; put tables into \.csv"):
        load_config(write(tmp_path, VALID + "#" * (1 << 20)))


def test_reading_a_configuration_runs_nothing(tmp_path: Path) -> None:
    load_config(write(tmp_path, problem_text(), "raise SystemExit(7)"))


def gallery(monkeypatch: pytest.MonkeyPatch, problem: Any) -> None:
    module = ModuleType("invgan.gallery")
    module.PROBLEMS = {"squares": None}  # type: ignore[attr-defined]
    module.get = lambda name: type("Ready", (), {"problem": problem})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "invgan.gallery", module)


def test_a_gallery_problem_brings_its_own_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from invgan.problem import Problem

    own = Problem(
        lambda x, rng: [x[0] ** 2 + rng.normal()],
        {"a": stats.norm()},
        [[4.0]],
        outputs=["square"],
        vectorized=False,
        stochastic=True,
        question="posterior",
        noise=Noise.normal({"square": 0.5}),
    )
    gallery(monkeypatch, own)
    ready = load_config(write(tmp_path, "problem: {model: 'gallery:squares'}"))
    built = build_problem(ready, tmp_path)
    assert built.prior is own.prior
    assert built.noise == own.noise == Noise.normal((0.5,))
    assert (built.stochastic, built.vectorized, built.question) == (True, False, "posterior")
    text = "problem: {model: 'gallery:squares', prior: {b: {uniform: [0, 9]}}, observations: [[9]]}"
    changed = build_problem(load_config(write(tmp_path, text)), tmp_path)
    assert (changed.prior.names, changed.outputs) == (("b",), ("square",))
    assert isinstance(changed.observations, Table)
    assert changed.observations.rows.item() == 9
    lost = load_config(write(tmp_path, "problem: {model: 'gallery:sqares'}"))
    with pytest.raises(InputError, match=r"sqares is not a problem .*; did you mean squares\?"):
        build_problem(lost, tmp_path)


def test_a_relocated_configuration_means_the_same(tmp_path: Path) -> None:
    (tmp_path / "seen.csv").write_text("y\n1\n2\n", encoding="utf-8")
    config = load_config(write(tmp_path, problem_text(observations="seen.csv")))
    out = tmp_path / "runs" / "first"
    moved = relocated(config, tmp_path, out)
    assert moved.problem.model == "../../model.py:rosenbrock"
    out.mkdir(parents=True)
    (out / "config.yml").write_text(to_yaml(moved), encoding="utf-8")
    again = build_problem(load_config(out / "config.yml"), out)
    assert isinstance(again.observations, Table)
    np.testing.assert_array_equal(again.observations.rows, [[1], [2]])
    absolute = Config(
        **plain(config) | {"problem": plain(config)["problem"] | {"model": "/m.py:f"}}
    )
    assert relocated(absolute, tmp_path, out).problem.model == "/m.py:f"


# Whatever comes ---------------------------------------------------------------------------------

PIECES = ["{", "}", "[", "]", ":", ": ", "- ", ", ", "\n", "\n  ", "'", '"', "&a ", "*a", "!!", "|"]
WORDS = ["1e5", "true", "null", "~", ".nan", "-.inf", "0", "-1", "1e999", "[1]", "{}", "[[1], 2]"]
KEYS = ["problem", "prior", "observations", "uniform", "scipy", "dirichlet", "names", "train", "n"]
yamlish = st.lists(st.sampled_from(PIECES + WORDS + KEYS) | st.text(max_size=3), max_size=25)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The valid file with a few tokens replaced."""
    import re

    tokens = re.split(r"(\W)", VALID)
    for _ in range(draw(st.integers(1, 4))):
        token = draw(st.sampled_from([*PIECES, *WORDS, *KEYS, ""]) | st.text(max_size=4))
        tokens[draw(st.integers(0, len(tokens) - 1))] = token
    return "".join(tokens)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "config.yml"


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(mutated(), mutated(), yamlish.map("".join)))
def test_any_text_is_a_configuration_or_an_input_error(scratch: Path, text: str) -> None:
    scratch.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        config = load_config(scratch)
    except InputError as error:
        assert "\n" not in str(error).strip()
        assert "validation error" not in str(error)
        return
    scratch.write_text(to_yaml(config), encoding="utf-8")
    assert load_config(scratch) == config


def test_the_reference_is_made_from_the_settings() -> None:
    docs = Path(__file__).parents[1] / "docs"
    spec = importlib.util.spec_from_file_location("make", docs / "make_configuration.py")
    assert spec is not None
    assert spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    page = (docs / "configuration.md").read_text(encoding="utf-8")
    assert page == make.configuration(), "run `python docs/make_configuration.py`"
    for key, field in Config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            assert all(f"| `{name}` |" in page for name in kind.model_fields), key
    assert all(f"| `{law}` |" in page for law in LAWS)
