"""Simulations and samples: saved and read back to the last bit, or refused."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from invgan.errors import InputError
from invgan.samples import Samples, Simulations, failure_records

INFO = {"seed": 3, "seconds": 0.25, "method": "mcmc", "nested": {"tau": [1.5, None]}}
NAMES, OUTPUTS = ("k₁", "a b"), ("peak",)


def simulations(n=40, seed=0):
    rng = np.random.default_rng(seed)
    failed = rng.normal(size=(3, 2))
    how = failure_records([("raised", "too cold", 0.5), ("timed out", "", 3), ("raised", "é", 0)])
    return Simulations(
        rng.normal(size=(n, 2)), rng.normal(size=(n, 1)), NAMES, OUTPUTS, failed, INFO, how
    )


def measured():
    """With the outputs before the noise of the measurement, of the rows beyond too."""
    made = simulations()
    beyond = replace(simulations(9, 2), failed=made.failed[:0], failures=failure_records([]))
    beyond = replace(beyond, info={}, own=beyond.y - 1)
    return replace(made, own=made.y + 1, beyond=beyond)


def samples(y=True):
    made = simulations()
    return Samples(made.x, made.y if y else None, np.full(40, 1.0), NAMES, OUTPUTS, INFO)


def chain():
    rng = np.random.default_rng(1)
    walked = {"chain": rng.normal(size=(7, 4, 2)), "chain_log_prob": rng.normal(size=(7, 4))}
    walked["chain_log_prob"][0, 0] = -np.inf
    return replace(samples(), **walked)


def assert_same(a, b):
    assert type(a) is type(b)
    assert vars(a).keys() == vars(b).keys()
    for key, value in vars(a).items():
        other = vars(b)[key]
        if isinstance(value, Simulations):
            assert_same(value, other)
            continue
        same = np.array_equal if isinstance(value, np.ndarray) else lambda u, v: u == v
        assert same(value, other), key


@pytest.mark.parametrize("noun", [simulations(), measured(), samples(), samples(y=False), chain()])
def test_saving_and_loading_changes_nothing(tmp_path, noun):
    path = tmp_path / "new" / "folder" / "noun.npz"
    noun.save(str(path))
    assert_same(type(noun).load(path), noun)
    assert list(path.parent.iterdir()) == [path]
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[key].dtype != object for key in archive.files)


@given(hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(width=64)))
@settings(max_examples=25, deadline=None)
def test_every_number_survives(tmp_path_factory, x):
    path = tmp_path_factory.mktemp("x") / "s.npz"
    Samples(x, None, np.ones(len(x)), ("a",) * x.shape[1], ("y",)).save(path)
    assert np.array_equal(Samples.load(path).x, x, equal_nan=True)


@given(st.integers(1, 3000))
@settings(max_examples=50, deadline=None)
def test_the_three_parts_are_disjoint_and_complete(n):
    x = np.arange(n, dtype=float)[:, None]
    whole = Simulations(x, -x, ("a",), ("y",), np.empty((0, 1)))
    parts = [whole.training, whole.selection, whole.heldout]
    assert np.array_equal(np.concatenate([part.x for part in parts]), x)
    assert all(np.array_equal(part.y, -part.x) for part in parts)
    assert np.array_equal(whole.unlearnt.x, np.concatenate([part.x for part in parts[1:]]))
    sizes = np.array(list(map(len, parts)))
    assert np.all(np.abs(sizes - [0.85 * n, 0.1 * n, 0.05 * n]) <= 1)
    assert n < 20 or sizes.min() >= 1


def test_own_outputs_stay_with_their_rows():
    whole = measured()
    parts = [whole.training, whole.selection, whole.heldout, whole.unlearnt]
    assert all(np.array_equal(part.own, part.y + 1) for part in parts)
    with pytest.raises(InputError, match="got 39 for 40 rows"):
        replace(whole, own=whole.own[1:])


@pytest.mark.parametrize("noun", [Samples, Simulations])
def test_a_missing_file_names_its_remedy(tmp_path, noun):
    for path in (tmp_path / "lost.npz", tmp_path):
        with pytest.raises(InputError, match=r"there is no file .*run the stage that writes it"):
            noun.load(path)


def test_one_noun_is_not_read_as_the_other(tmp_path):
    simulations().save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="not a file that invgan wrote"):
        Samples.load(tmp_path / "a.npz")


class Trap:
    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def foreign(how, path):
    arrays = {"x": np.ones((2, 1)), "y": np.ones((2, 1)), "weights": np.ones(2)}
    meta = {"names": np.array(["a"]), "outputs": np.array(["y"]), "info": np.array("{}")}
    lies = {"objects": {"x": np.array([Trap()])}, "words": {"x": np.array(["a"])}}
    lies["json"] = {"info": np.array("{")}
    lies["objects in names"] = {"names": np.array([Trap()])}
    with path.open("wb") as file:
        if how == "empty":
            return
        if how == "pickle":
            pickle.dump(Trap(), file)
        elif how == "npy":
            np.save(file, np.ones(3))
        elif how == "text":
            file.write(b"x,y\n1,2\n")
        else:
            np.savez(file, **{**arrays, **meta, **lies[how]})


@pytest.mark.parametrize(
    "how", ["empty", "pickle", "npy", "text", "objects", "words", "json", "objects in names"]
)
def test_foreign_files_are_refused_and_nothing_in_them_is_run(tmp_path, how):
    path = tmp_path / "foreign.npz"
    foreign(how, path)
    with pytest.raises(InputError, match="not a file that invgan wrote, or is damaged"):
        Samples.load(path)
    assert not Trap.sprung


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "s.npz"
    samples().save(path)
    return path.read_bytes()


def damaged(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("damaged") / "s.npz"
    path.write_bytes(content)
    return path


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_truncated_files_are_refused(tmp_path_factory, whole, share):
    path = damaged(tmp_path_factory, whole[: int(share * len(whole))])
    with pytest.raises(InputError):
        Samples.load(path)


@given(share=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_is_refused_or_harmless(tmp_path_factory, whole, share, bits):
    content = bytearray(whole)
    content[int(share * len(whole))] ^= bits
    try:
        read = Samples.load(damaged(tmp_path_factory, bytes(content)))
    except InputError:
        return
    assert_same(read, samples())


@pytest.mark.parametrize("broken", ["x_beyond", "y_beyond"])
def test_rows_beyond_survive_and_must_fit(tmp_path, broken):
    made, path = simulations(), tmp_path / "s.npz"
    more = np.arange(7.0)[:, None]
    others = Simulations(
        more.repeat(made.x.shape[1], axis=1), more.repeat(made.y.shape[1], axis=1), NAMES, OUTPUTS,
        made.failed[:0],
    )  # fmt: skip
    replace(made, beyond=others).save(path)
    back = Simulations.load(path).beyond
    assert np.array_equal(back.x, others.x)
    assert np.array_equal(back.y, others.y)
    with np.load(path) as archive:
        arrays = dict(archive)
    for damage in (arrays[broken][:-1], arrays[broken][:, :-1]):
        np.savez(path, **(arrays | {broken: damage}))
        with pytest.raises(InputError, match="do not fit"):
            Simulations.load(path)


def test_failures_without_records_were_not_finite():
    made = simulations()
    plain = Simulations(made.x, made.y, NAMES, OUTPUTS, made.failed)
    assert plain.failures["kind"].tolist() == ["not finite"] * 3
    with pytest.raises(InputError, match=r"3 failed rows need as many records .* got 1"):
        Simulations(made.x, made.y, NAMES, OUTPUTS, made.failed, {}, made.failures[:1])
    assert len(made.training.failures) == 0


def test_simulations_that_were_saved_before_there_were_records_can_be_read(tmp_path):
    made = simulations()
    old = tmp_path / "old.npz"
    made.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz", allow_pickle=False) as archive:
        np.savez(old, **{key: archive[key] for key in archive.files if key != "failures"})
    read = Simulations.load(old)
    assert np.array_equal(read.failed, made.failed)
    assert read.failures["kind"].tolist() == ["not finite"] * 3
