"""The report: everything that was found is in it, nothing that it shows is loaded or executed."""

import base64
import dataclasses
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats

from invgan import plots
from invgan.calibration import calibrate
from invgan.errors import InputError
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.report import SCHEMA, Findings, decisions, words, write_report
from invgan.report.figures import figures
from invgan.report.page import _meanings
from invgan.samples import Samples, Simulations, failure_records
from invgan.validation import Measure, Validation

pytestmark = pytest.mark.usefixtures("road_alone")

HISTORY = [
    {"phase": "head", "step": 1, "train_nll": 2.0, "heldout": 2.1, "kept": True},
    {"phase": "head", "step": 2, "train_nll": 1.0, "heldout": 1.1, "kept": True},
    {"phase": "gan", "step": 1, "critic_loss": 0.7, "heldout": 0.1, "kept": True},
]
EVIL = "<script>alert(1)</script>"


class _Reader(HTMLParser):
    """What a browser would see: the elements with their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def tags(self, name):
        return [attrs for tag, attrs in self.elements if tag == name]


def _rosenbrock(x):
    return 100 * (x[:, 1:] - x[:, :1] ** 2) ** 2 + (1 - x[:, :1]) ** 2


def _draws(x, names=("x1", "x2"), outputs=("y",), **info):
    return Samples(x, _rosenbrock(x), np.ones(len(x)), names, outputs, info)


def _walked(x, names, **info):
    kept = len(x) // 10 * 10
    chain = x[:kept].reshape(-1, 10, len(names))
    return replace(_draws(x, names, **info), chain=chain, chain_log_prob=-(chain**2).sum(axis=2))


def _validation(verdict, shift, reason):
    measures = (
        Measure("KS", "y", 0.0123 + shift, 0.0345, shift == 0, "largest gap of the two"),
        Measure("C2ST", None, 0.5034 + shift, 0.5212, shift == 0),
        Measure("KL", None, 1.987, float("nan"), True, "nats from prior to answer"),
    )
    return Validation(verdict, (reason,), measures, {"seconds": 1.5, "model_evaluations": 7})


def _findings(names=("x1", "x2"), output="y", reason="All checks are below their floors."):
    """Rosenbrock: exact draws by rejection as the answer, blurred ones as the baseline."""
    rng = np.random.default_rng(0)
    prior = Prior({name: stats.uniform(-2, 4) for name in names})
    law = stats.truncnorm(-3, 3, loc=350, scale=50)
    problem = Problem(_rosenbrock, prior, law, outputs=[output])
    x = prior.sample(3000, rng)
    y = _rosenbrock(x)
    near = x[np.abs(y[:, 0] - 350) < 80]
    blurred = np.clip(near + rng.normal(0, 0.02, near.shape), -2, 2)
    info = {"seed": 1, "seconds": 2.0, "model_evaluations": 3003}
    return Findings(
        problem,
        Simulations(x, y, names, (output,), x[:3] + 0.01, info),
        _draws(
            near,
            names,
            seed=4,
            seconds=1.0,
            model_evaluations=50,
            mean_weight=0.9871,
            effective_share=0.9612,
            largest_weight=1.234,
            ratio="splines",
        ),
        _validation("consistent", 0, reason),
        raw=_draws(near * 0.99, names, seconds=0.5, model_evaluations=40, seed=3),
        raw_validation=_validation("not consistent", 0.2, "KS is too large."),
        baseline=_walked(
            blurred,
            names,
            seconds=4.0,
            model_evaluations=64000,
            effective_samples=2000.0,
            converged=False,
            message="the chain is 11 autocorrelation times long and 50 are needed",
            acceptance=0.314,
            burn_in=100,
            thin=2,
            autocorrelation_time=dict.fromkeys(names, 81.25),
            split_rhat=dict.fromkeys(names, float("nan")),
        ),
        baseline_validation=_validation("consistent", 0.1, "The chain passes."),
        comparison={
            "C2ST in x": 0.5077,
            "Wasserstein-1 in x": float("inf"),
            "effective draws a second (mcmc)": 123.4,
        },
        history=HISTORY,
        settings={"seed": 17, "train": {"steps": 6000, "head": "flow"}, "problem": {}},
        seconds={"simulate": 2.0, "train": 100.0, "sample": 0.5, "correct": 1.0, "mcmc": 4.0},
    )


def _without_draws(findings):
    samples = replace(findings.samples, x=np.empty((0, 2)), y=None, weights=np.empty(0))
    return replace(findings, samples=samples)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    findings = _findings()
    path = write_report(findings, tmp_path_factory.mktemp("run") / "rosenbrock")
    return findings, path, _Reader(path.read_text(encoding="utf-8"))


def _strict(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_it_opens_with_the_verdict_and_its_reasons(written):
    findings, _, page = written
    assert page.text.index("✓ Consistent") < page.text.index("The answer")
    assert all(reason in page.text for reason in findings.validation.reasons)


@pytest.mark.parametrize("verdict", ["consistent", "not consistent", "not answerable"])
def test_every_verdict_has_a_banner_of_its_own(tmp_path, verdict):
    findings = _without_draws(
        replace(_findings(), validation=Validation(verdict, ("Because.",), ()), history=())
    )
    page = _Reader(write_report(findings, tmp_path).read_text(encoding="utf-8"))
    classes = {"consistent": "good", "not consistent": "bad", "not answerable": "unknown"}
    assert page.tags("section")[0]["class"].split() == ["banner", classes[verdict]]
    assert f"{verdict.capitalize()} The" in page.text
    assert "Because." in page.text


def test_every_measure_stands_there_with_its_floor_for_every_road(written):
    _, _, page = written
    for figure in ("0.0123", "0.0345", "0.5034", "0.5212", "0.2123", "0.7034", "0.1123", "0.6034"):
        assert figure in page.text
    legend = 1
    assert page.text.count("✓ passed") == 2 + legend
    assert page.text.count("✗ failed") == 4 + legend
    assert page.text.count("largest gap of the two") == 1


def test_a_measure_of_one_output_and_of_all_means_both():
    measures = [
        dataclasses.asdict(Measure("depth", output, 0.5, 0.9, True, meaning))
        for output, meaning in (("u", "of one"), ("v", "of one"), (None, "of all"))
    ]
    assert _meanings({"cgan": measures}) == {"depth": "of one; of all"}


def test_a_figure_without_a_floor_shows_a_dash_and_no_mark(written):
    _, path, _ = written
    rows = re.findall(r"<tr>.*?</tr>", path.read_text(encoding="utf-8"), re.DOTALL)
    row = _Reader(next(row for row in rows if '<th scope="row">KL<' in row)).text
    assert row == "KL all" + 3 * " 1.987 \N{EN DASH}"


def test_marks_are_heard_as_words(written):
    _, path, page = written
    heard = [attrs for attrs in page.tags("span") if attrs.get("class") == "heard"]
    assert len(heard) == 6
    assert ".heard { position: absolute" in path.read_text(encoding="utf-8")


def test_the_other_findings_stand_there(written):
    _, _, page = written
    for figure in (
        "0.9612",
        "0.5077",
        "Wasserstein-1 in x",
        "the chain is 11 autocorrelation times long and 50 are needed",
        "Not converged",
        "0.314",
        "81.25",
        "3 of 3,003 simulations",
        "6000",
        "67,060",
        "64,000",
        "numpy",
    ):
        assert figure in page.text, figure


def test_nothing_is_loaded_from_elsewhere(written):
    _, path, page = written
    html = path.read_text(encoding="utf-8")
    assert "http://" not in html
    assert "https://" not in html
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert "url(" not in html
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.tags("img"))
    policy = next(
        m["content"] for m in page.tags("meta") if "content" in m and "default" in m["content"]
    )
    assert policy.startswith("default-src 'none'")


def test_figures_are_embedded_and_lie_beside_the_page(written):
    _, path, page = written
    names = ["chain", "corner", "figure6", "history"]
    assert sorted(file.stem for file in (path.parent / "figures").iterdir()) == names
    embedded = {base64.b64decode(i["src"].partition(",")[2]) for i in page.tags("img")}
    assert embedded == {(path.parent / "figures" / f"{name}.png").read_bytes() for name in names}
    assert all(image["alt"] for image in page.tags("img"))


def test_results_are_strict_json_with_the_same_figures(written):
    findings, path, _ = written
    results = _strict(path.parent / "results.json")
    assert results["schema"] == SCHEMA
    assert results["verdict"] == "consistent"
    assert results["reasons"] == list(findings.validation.reasons)
    assert results["measures"]["raw"][0]["value"] == pytest.approx(0.2123)
    assert results["comparison"] == {
        "C2ST in x": 0.5077,
        "Wasserstein-1 in x": None,
        "effective draws a second (mcmc)": 123.4,
    }
    assert results["no_baseline"] is None
    assert results["info"]["mcmc"]["split_rhat"] == {"x1": None, "x2": None}
    assert results["key"]["model_evaluations"] == 3003 + 50 + 64000 + 7
    assert results["costs"]["cgan"]["seconds"] == pytest.approx(101.5)
    assert results["stages"]["sample"]["model_evaluations"] == 40
    assert results["stages"]["correct"]["model_evaluations"] == 10
    assert results["costs"]["cgan"]["model_evaluations"] == 50
    draws = len(findings.samples)
    assert results["costs"]["cgan"]["effective_samples"] == pytest.approx(0.9612 * draws)
    assert results["costs"]["mcmc"]["effective_samples_per_second"] == pytest.approx(500)
    assert results["seeds"] == {"run": 17, "simulations": 1, "cgan": 4, "raw": 3}
    assert results["settings"]["train"]["steps"] == 6000
    assert {"invgan", "torch", "python", "platform"} <= set(results["versions"])


def test_quantiles_are_those_of_the_draws(written):
    findings, path, _ = written
    results = _strict(path.parent / "results.json")["quantiles"]
    x = findings.samples.x
    for j, name in enumerate(("x1", "x2")):
        found = results[name]["cgan"]
        assert found["mean"] == pytest.approx(x[:, j].mean())
        assert found["sd"] == pytest.approx(x[:, j].std())
        assert found["q95"] == pytest.approx(np.quantile(x[:, j], 0.95), abs=0.05)
    assert results["x1"]["prior"]["q05"] == pytest.approx(-1.8, abs=0.1)
    assert set(results["x1"]) == {"prior", "cgan", "mcmc"}


def test_weights_count(tmp_path):
    findings = _findings()
    weights = (findings.samples.x[:, 0] > 0) * 1.0
    samples = replace(findings.samples, weights=weights / weights.mean())
    write_report(replace(findings, samples=samples), tmp_path)
    found = _strict(tmp_path / "results.json")["quantiles"]["x1"]["cgan"]
    positive = findings.samples.x[weights > 0, 0]
    assert found["mean"] == pytest.approx(positive.mean())
    assert found["q05"] > 0


def test_what_users_wrote_is_text_and_never_markup(tmp_path):
    findings = _findings(names=(EVIL, "x2"), output='"><img src=x onerror=alert(2)>', reason=EVIL)
    findings = replace(
        findings, settings={EVIL: {"a": EVIL}}, comparison={EVIL: 0.1}, seconds={EVIL: 1.0}
    )
    page = _Reader(write_report(findings, tmp_path).read_text(encoding="utf-8"))
    assert not page.tags("script")
    assert len(page.tags("img")) == 4
    assert not [attrs for _, attrs in page.elements if any(k.startswith("on") for k in attrs)]
    assert page.text.count(EVIL) >= 5


def test_optional_parts_may_be_missing(tmp_path):
    full = _findings()
    bare = Findings(full.problem, full.simulations, replace(full.samples, info={}), full.validation)
    clean = replace(
        bare.simulations, failed=np.empty((0, 2)), failures=failure_records([]), info={}
    )
    bare = replace(bare, simulations=clean)
    page = _Reader(write_report(bare, tmp_path).read_text(encoding="utf-8"))
    assert "MCMC was not run." in page.text
    assert "Training" not in page.text
    assert "These are the generator's own draws, uncorrected." in page.text
    assert "None: all 3,000 simulations were finite." in page.text
    results = _strict(tmp_path / "results.json")
    assert set(results["measures"]) == {"cgan"}
    assert results["key"]["effective_share"] is None


def test_each_cost_stands_in_one_table(written, tmp_path):
    _, _, page = written
    assert "Wasserstein-1 in x" in page.text
    assert "effective draws a second (mcmc)" not in page.text
    costly = replace(_findings(), comparison={"seconds (mcmc)": 4.0}, history=())
    told = _Reader(write_report(costly, tmp_path).read_text(encoding="utf-8")).text
    assert "Distance between the two answers" not in told


def test_the_correction_is_told_in_words_and_figures(written):
    findings, _, page = written
    assert "The draws were corrected: a logistic regression on splines" in page.text
    draws = len(findings.samples)
    assert f"distinct draws 0.9871 0.9612 1.234 {draws} of {draws}" in page.text


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        ({"ratio": "none", "mean_weight": 1.0}, "observations. All draws count alike."),
        ({"ratio": "none", "mean_weight": 0.9}, "10 % of them, which the observed law excludes"),
    ],
)
def test_it_says_where_no_correction_was_needed(change, saying):
    findings = _findings()
    info = {**findings.samples.info, **change}
    told = words.correction(replace(findings, samples=replace(findings.samples, info=info)))
    assert "No correction was needed" in told
    assert saying in told


@pytest.mark.parametrize(
    ("info", "chosen", "saying"),
    [
        ({"converged": False, "message": "it rests on 4 %"}, True, "Refused, so these are"),
        ({}, False, "Switched off (sample.correct: false)"),
    ],
)
def test_it_says_why_there_is_no_correction(info, chosen, saying):
    findings = replace(_findings(), settings={"sample": {"correct": chosen}})
    told = words.correction(replace(findings, samples=replace(findings.samples, info=info)))
    assert saying in told
    assert info.get("message", "") in told


def test_it_says_why_there_is_no_baseline():
    without = replace(_findings(), baseline=None)
    assert words.no_baseline(_findings()) is None
    assert words.no_baseline(without) == "MCMC was not run."
    off = replace(without, settings={"mcmc": {"enabled": False}})
    assert words.no_baseline(off) == "Switched off (mcmc.enabled: false)."


def test_baseline_without_any_figure_of_its_own(tmp_path):
    full = _findings()
    write_report(replace(full, baseline=replace(full.baseline, info={}), comparison=None), tmp_path)
    assert _strict(tmp_path / "results.json")["costs"]["mcmc"]["effective_samples"] is None


@pytest.mark.parametrize("drop", ["outputs", "draws"])
def test_an_answer_may_lack_its_outputs_or_any_draw(tmp_path, drop):
    findings = replace(_findings(), samples=replace(_findings().samples, y=None))
    write_report(_without_draws(findings) if drop == "draws" else findings, tmp_path)
    left = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert left == ({"chain", "history"} | (set() if drop == "draws" else {"figure6", "corner"}))


def test_figures_of_an_earlier_run_do_not_stay(tmp_path):
    write_report(_findings(), tmp_path)
    before = _findings()
    unwalked = replace(before.baseline, chain=None, chain_log_prob=None)
    write_report(replace(before, history=(), baseline=unwalked), tmp_path)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"figure6", "corner"}


def test_figures_do_not_depend_on_the_style_that_a_model_sets(tmp_path, monkeypatch):
    seen, save = [], plots.save_png

    def noting(figure, path):
        seen.append((mpl.rcParams["font.size"], mpl.rcParams["text.usetex"]))
        save(figure, path)

    monkeypatch.setattr(plots, "save_png", noting)
    with mpl.rc_context({"font.size": 30, "text.usetex": True}):
        write_report(_findings(), tmp_path)
        assert mpl.rcParams["font.size"] == 30
    assert set(seen) == {(10.0, False)}


def test_the_same_findings_give_the_same_report(tmp_path):
    # The solver of constrained layout moves a pixel now and then: the pictures are left out.
    paths = [write_report(_findings(), tmp_path / name) for name in "ab"]
    pages = [re.sub(r'src="[^"]*"', "", path.read_text(encoding="utf-8")) for path in paths]
    assert pages[0] == pages[1]
    results = [(path.parent / "results.json").read_bytes() for path in paths]
    assert results[0] == results[1]


def _posterior(stochastic, rows, noise=None):
    rng = np.random.default_rng(1)
    names = tuple(f"p{j}" for j in range(12))
    prior = Prior({name: stats.norm() for name in names})
    model = (
        (lambda x, noise: x[:, :3] + noise.normal(size=(len(x), 3)))
        if stochastic
        else (lambda x: x[:, :3])
    )
    problem = Problem(
        model,
        prior,
        rng.normal(size=(rows, 3)),
        stochastic=stochastic,
        noise=noise,
        question="posterior",
    )

    def outputs(x):
        return np.repeat(x[:, None, :3], rows, axis=1).reshape(len(x), -1)

    x = prior.sample(500, rng)
    near = 0.3 * x[:200]
    near[:, 7] += 2
    return Findings(
        problem,
        Simulations(x, outputs(x), names, problem.outputs, x[:0]),
        Samples(near, outputs(near), np.ones(200), names, problem.outputs),
        _validation("not consistent", 0.1, "Too wide."),
    )


@pytest.mark.parametrize(("stochastic", "rows"), [(False, 1), (True, 4)])
def test_the_posterior_question(tmp_path, stochastic, rows):
    page = _Reader(write_report(_posterior(stochastic, rows), tmp_path).read_text(encoding="utf-8"))
    assert "Which parameters explain this experiment?" in page.text
    assert "No MCMC baseline: it needs the likelihood" in page.text
    assert "Correction" not in page.text
    assert "what was observed is the vertical lines" in page.text
    assert re.search(r"8 of 12 that the observations moved most", page.text)
    assert ("repeated 4 times" in page.text) is (rows == 4)


class _Narrow:
    """Draws for y = x + noise of half the right width, so that there is something to tell."""

    def draw(self, y, *, seed=0):
        return y / 2 + 0.5 * np.sqrt(0.5) * np.random.default_rng(seed).normal(size=y.shape)


def _calibrated(width):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(900, width))
    names = tuple(f"p{j}" for j in range(width))
    return calibrate(_Narrow(), x, x + rng.normal(size=x.shape), names=names, draws=20)


ROUNDS = [
    {"round": 1, "simulations": 1500, "prior_mass": 1.0, "inside": 123},
    {"round": 2, "simulations": 1503, "prior_mass": 0.0816, "inside": 1501, "stretch": 1.2,
     "heldout": float("inf")},
]  # fmt: skip
MEMBER = {
    "head": "flow",
    "heads": {"linear": 1.3125, "small": 1.2125, "flow": 1.1125},
    "steps": 6000,
    "kept_step": 4500,
    "divergence": 0.00312,
    "divergence_of_head": 0.0213,
    "judge": {"gain": 0.0412, "error": 0.0051, "effective_share": 0.8123, "used": True},
}


def _steps(kept, **more):
    """The rounds of an iterated solution, as `invgan.mixing` describes them."""
    return [
        {"round": k, "steps": 1 + 16 * k, "gain": 0.2, "ks": {"y": 0.2125 / (1 + k), "z": 0.01},
         "c2st": 0.7125 - 0.2 * k, "energy": 0.0625, "excess": 2.0 - k, "effective_share": 0.4321,
         "distinct": 0.75, "kept": k == kept, **more}
        for k in range(2)
    ]  # fmt: skip


def _iterated(kept=1, converged=True):
    """The noise of the model has nothing to do with what is shown."""
    findings = _findings()
    info = {"method": "cgan-iterated", "rounds": _steps(kept), "distinct": 0.75,
            "effective_share": 0.01, "converged": converged}  # fmt: skip
    return replace(findings, samples=replace(findings.samples, info=info))


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A posterior by rounds, beside MCMC, with its calibration and its training."""
    bare = _posterior(False, 2, {"normal": 0.1})
    info = {"rounds": ROUNDS, "regions": [{"low": [0.0], "high": [1.0]}]}
    validation = replace(bare.validation, info={"calibration": _calibrated(12).to_dict()})
    findings = replace(
        bare,
        simulations=replace(bare.simulations, info=info),
        validation=validation,
        baseline=replace(bare.samples, x=bare.samples.x + 0.01),
        comparison={"C2ST in x": 0.5321},
        training={**MEMBER, "members": [MEMBER], "device": "cpu"},
    )
    path = write_report(findings, tmp_path_factory.mktemp("deep"))
    return findings, path, _Reader(path.read_text(encoding="utf-8"))


def _rows(path):
    """The text of every row of every table."""
    rows = re.findall(r"<tr>.*?</tr>", path.read_text(encoding="utf-8"), re.DOTALL)
    return [_Reader(row).text for row in rows]


def test_calibration_stands_there_as_a_figure_and_in_words(deep):
    findings, path, page = deep
    sentences = findings.validation.info["calibration"]["sentences"]
    assert len(sentences) == 14, "the lie was found out in every parameter"
    assert all(sentence in page.text for sentence in sentences[:6])
    assert f"by the ranks of {len(sentences) - 6} others (results.json)" in page.text
    assert "the 12 of 13 that stray most" in page.text
    assert (path.parent / "figures" / "calibration.png").is_file()
    assert len(page.tags("img")) == 3


def test_rounds_of_simulation_stand_there(deep):
    _, path, page = deep
    assert "1 1,500 1 123" in _rows(path)
    assert "2 1,503 0.0816 1,501" in _rows(path)
    assert "What was learnt holds for these observations alone" in page.text
    assert "prior, cut" in page.text
    assert "which serves other observations too" not in page.text


def test_training_stands_there_without_any_history(deep):
    _, path, page = deep
    assert "flow head, which held-out pairs like better than linear and small" in page.text
    assert "from 0.021 nats to 0.0031 nats, and is kept as it was at step 4,500" in page.text
    assert "0.0412 ± 0.0051 nats a pair, so it is used" in page.text
    assert "flow 1.312 1.212 1.113 0.0213 0.00312 4,500 0.0412 0.0051 yes" in _rows(path)


def test_a_posterior_beside_mcmc_shows_both(deep):
    findings, _, page = deep
    assert "Distance between the two answers C2ST in x 0.5321" in page.text
    assert "No MCMC baseline" not in page.text
    assert "corner plot of the answer, over MCMC" in [i["alt"] for i in page.tags("img")]
    drawn = figures(findings)
    assert [t.get_text() for t in drawn["corner"].legends[0].texts] == ["cGAN", "MCMC"]
    beside = drawn["figure6"].subfigs[1].legends[0].texts
    assert "model at MCMC draws" in [t.get_text() for t in beside]


def test_results_hold_each_of_these_once(deep):
    findings, path, _ = deep
    found = _strict(path.parent / "results.json")
    assert found["calibration"] == findings.validation.info["calibration"]
    assert found["rounds"]["simulations"][1] == {**ROUNDS[1], "heldout": None}
    assert found["rounds"]["answer"] == []
    assert found["training"]["members"] == [MEMBER]
    assert found["simulations"]["info"] == found["verdicts"]["cgan"]["info"] == {}
    assert set(found["quantiles"]["p0"]) == {"cut_prior", "cgan", "mcmc"}


def test_rounds_of_the_iterated_solution_take_the_place_of_the_correction(tmp_path):
    path = write_report(_iterated(), tmp_path)
    page = _Reader(path.read_text(encoding="utf-8"))
    assert (
        "(round 0) is wider than the population by that noise, and is not the answer" in page.text
    )
    assert "round 1 cannot be told from the observations" in page.text
    assert "Correction" not in page.text
    assert "0 1 0.2125 0.7125 0.0625 0.4321" in _rows(path)
    assert "1 17 0.1062 0.5125 0.0625 0.4321 ✓ kept" in _rows(path)
    results = _strict(tmp_path / "results.json")
    assert results["rounds"]["answer"] == _steps(1)
    draws = results["costs"]["cgan"]["draws"]
    assert results["costs"]["cgan"]["effective_samples"] == pytest.approx(0.75 * draws)


@pytest.mark.parametrize(
    ("kept", "converged", "saying"),
    [
        (1, False, "None of them passed; round 1 comes nearest"),
        (0, True, "too small to matter: round 0 passed"),
    ],
)
def test_it_says_how_the_rounds_ended(kept, converged, saying):
    assert saying in words.iterated(_iterated(kept, converged))


def test_other_answers_have_no_rounds():
    assert words.iterated(_findings()) is None
    assert words.correction(_iterated()) is None
    findings = _findings()
    info = {"rounds": _steps(1), "method": "cgan"}
    other = replace(findings, samples=replace(findings.samples, info=info))
    assert other.rounds == {"simulations": [], "answer": []}


TRIED = {"head": 0.003, "game": 0.002, "weighed": 0.004}


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        ({"head": "none", "heads": {"none": 0.0}}, "There was no head start"),
        ({"heads": {"flow": 1.0}}, "The head start is the flow head."),
        (
            {"head": "faster flow", "heads": {"small": 3.0, "flow": 2.0, "faster flow": 1.0}},
            "The head start is the faster flow head, which held-out pairs like better than small "
            "and flow.",
        ),
        ({"kept_step": 0}, "bettered nothing on held-out pairs, so that the head alone is kept"),
        (
            {"kept_step": 0, "by_parameters": {"head": 0.001, "game": 0.0098}},
            "told from held-out ones by 0.0098 nats, those of the head by 0.001 nats",
        ),
        ({"judge": {**MEMBER["judge"], "used": False}}, "not beyond doubt: it is not used"),
        ({"members": [MEMBER] * 3}, "3 samplers were trained"),
        ({"likelihood": MEMBER["judge"]}, "so they are; 81 % of the draws count then"),
        ({"likelihood": {**MEMBER["judge"], "used": False}}, "they are not weighed"),
        ({"likelihood": MEMBER["judge"], "members": [MEMBER] * 3}, "by a learnt likelihood"),
        (
            {"likelihood": {**MEMBER["judge"], "used": False}, "by_parameters": TRIED},
            "yet they are not: the game is nearer. By the parameters themselves weighed draws are "
            "told from held-out ones by 0.004 nats, those of the game by 0.002 nats; to be kept, "
            "the game must be nearer by 0.001 nats.",
        ),
        (
            {"likelihood": MEMBER["judge"], "by_parameters": TRIED, "kept_step": 0},
            "The game gave way to the head alone, whose draws are weighed.",
        ),
        ({"divergence": None}, "to an unknown value"),
        ({"copies": 32}, "Each simulation was learnt from 32 times, under noise of its own."),
    ],
)
def test_training_is_told_as_it_went(change, saying):
    assert saying in " ".join(decisions.training({**MEMBER, **change}))


def test_what_is_not_known_of_training_is_not_told():
    assert decisions.training({}) == []
    assert decisions.training({"surrogate_error": 0.1}) == []
    assert len(decisions.training({**MEMBER, "judge": {"used": False}})) == 2


@pytest.mark.parametrize(
    ("train", "loss", "expected"),
    [
        ({"loss": "minimax"}, np.log(4), 0.0),
        ({"loss": "minimax"}, 0.0, np.log(2)),
        ({"loss": "nonsaturating"}, np.log(2), 0.0),
        ({"loss": "nonsaturating"}, 0.0, np.log(2)),
        ({"loss": "minimax", "real_label": 0.9}, 0.0, None),
        ({"loss": "hinge"}, 0.0, None),
        ({}, 0.7, None),
    ],
)
def test_the_divergence_is_read_from_the_critic_s_loss(tmp_path, train, loss, expected):
    """V = -loss, and twice that where the costs are halved; JSD = (V + log 4) / 2."""
    rows = [{"phase": "gan", "step": 20 * k, "critic_loss": 9.0} for k in range(90)]
    rows += [{"phase": "gan", "step": 2000 + k, "critic_loss": loss + 0.1 * (-1) ** k}
             for k in range(10)]  # fmt: skip
    findings = replace(_without_draws(_findings()), history=rows, settings={"train": train})
    page = write_report(findings, tmp_path).read_text(encoding="utf-8")
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert found["critic_divergence"] == (None if expected is None else pytest.approx(expected))
    assert ("finds a Jensen-Shannon divergence" in page) == (expected is not None)


def test_members_have_a_row_each(tmp_path):
    other = {**MEMBER, "head": "none", "heads": {"none": 0.0}, "judge": {"used": False}}
    findings = replace(_without_draws(_findings()), history=(), training={
        **MEMBER, "members": [MEMBER, other]})  # fmt: skip
    rows = _rows(write_report(findings, tmp_path))
    dash = "\N{EN DASH}"
    assert "1 flow 1.312 1.212 1.113 0.0213 0.00312 4,500 0.0412 0.0051 yes" in rows
    assert f"2 none {dash} {dash} {dash} 0.0213 0.00312 4,500 {dash} {dash} no" in rows


def test_a_file_in_the_way_is_an_error_that_says_so(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="is a file"):
        write_report(_findings(), tmp_path / "taken")
