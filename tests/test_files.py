"""Files appear whole or not at all."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invgan.files import digest, replacing, write_text

PLAIN = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]))


@given(PLAIN, PLAIN)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_text_comes_back_and_the_last_one_wins(tmp_path, first, second):
    path = tmp_path / "deep" / "er" / "notes.txt"
    for text in (first, second):
        write_text(str(path), text)
        assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_two_that_write_the_same_file_do_not_meet(tmp_path):
    path = tmp_path / "notes.txt"
    with replacing(path) as one, replacing(path) as other:
        one.write_text("one", encoding="utf-8")
        other.write_text("other", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_half_way_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "notes.txt"
    write_text(path, "old")

    def interrupted():
        with replacing(path) as temporary:
            temporary.write_text("new, but only ha", encoding="utf-8")
            assert path.read_text(encoding="utf-8") == "old"
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_first_file_that_fails_does_not_appear(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "notes.txt", "half a pair: \ud800")
    assert not list(tmp_path.iterdir())


def test_a_digest_tells_texts_and_arrays_apart_and_does_not_see_their_layout():
    x = np.arange(12.0).reshape(3, 4)
    assert digest("a", x) == digest("a", np.asfortranarray(x))
    others = [("a", x + 1), ("b", x), (x, "a"), ("a", x, x), ("a",)]
    assert len({digest("a", x), *(digest(*other) for other in others)}) == 6
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(np.empty(0)) == digest()
