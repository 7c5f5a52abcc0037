"""Tables from files: what is read is what was written, and no file gets more memory than it has."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invgan.errors import InputError
from invgan.tables import read_csv, read_npy, read_npz

ROWS = np.random.default_rng(0).normal(size=(5, 3))


@pytest.mark.parametrize("kind", ["f8", "f4", "f2", "i8", "u1", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 3), (15,), (), (0, 3), (5, 3, 1)])
def test_arrays_come_back_as_doubles(tmp_path: Path, kind: str, order: Any, shape: Any) -> None:
    values = np.asarray(np.resize(100 * ROWS, shape), order=order).astype(kind, order=order)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", one=values, two=values.T)
    np.savez_compressed(tmp_path / "b.npz", one=values)
    found = [
        read_npy(tmp_path / "a.npy"),
        read_npz(tmp_path / "a.npz")["one"],
        read_npz(tmp_path / "a.npz", ["two"])["two"].T,
        read_npz(tmp_path / "b.npz")["one"],
    ]
    for array in found:
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, values.astype(float))


def test_text_and_records_of_an_archive(tmp_path: Path) -> None:
    records = np.array([("a", 1.5), ("bc", 2.5)], dtype=[("kind", "U2"), ("seconds", "f8")])
    np.savez(tmp_path / "a.npz", text=np.array(["x", "yz"]), one=np.array("{}"), none=records[:0],
             records=records, empty=np.array((), str))  # fmt: skip
    found = read_npz(tmp_path / "a.npz")
    assert found["text"].tolist() == ["x", "yz"]
    assert str(found["one"]) == "{}"
    assert found["records"].tolist() == records.tolist()
    assert (len(found["none"]), len(found["empty"])) == (0, 0)


def npy(shape: str, data: bytes = b"", kind: str = "<f8") -> bytes:
    """A .npy file that says of itself what it is told to say."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    padded = header + " " * (63 - (10 + len(header)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + data


LIES = {
    "more than there is": npy("(1000000000000,)"),
    "a negative length": npy("(-1,)", b"x" * 8),
    "two negative ones": npy("(-1, -1)", b"x" * 8),
    "no tuple": npy("'x'"),
    "code": npy("__import__('os').getcwd()"),
    "objects": npy("(1,)", b"x" * 8, "|O"),
    "text": npy("(1,)", b"x" * 8, "<U2"),
    "complex": npy("(1,)", b"x" * 16, "<c16"),
    "times": npy("(1,)", b"x" * 8, "<M8[s]"),
    "a deep header": npy("(" * 3000 + ")" * 3000),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_an_array_says_of_itself_is_held_against_the_file(tmp_path: Path, lie: str) -> None:
    (tmp_path / "a.npy").write_bytes(LIES[lie])
    with pytest.raises(InputError, match=r"a\.npy is not a \.npy file of numbers"):
        read_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", LIES[lie])
    if lie != "text":
        with pytest.raises(InputError, match=r"a in .*a\.npz is not a \.npy file of numbers"):
            read_npz(tmp_path / "a.npz")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match="it holds object"):
        read_npy(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", a=np.array([{"a": 1}], object))
    with pytest.raises(InputError, match="it holds object"):
        read_npz(tmp_path / "a.npz")


def test_an_archive_that_is_larger_inside_than_out(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, np.zeros(1 << 24))
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", file.getvalue())
    outer = (tmp_path / "bomb.npz").stat().st_size
    assert outer < 200_000
    with pytest.raises(InputError, match=rf"has {outer} bytes and says that it unpacks to 1342\d+"):
        read_npz(tmp_path / "bomb.npz")
    np.savez(tmp_path / "plain.npz", x=np.zeros(1 << 20))
    assert read_npz(tmp_path / "plain.npz")["x"].shape == (1 << 20,)
    for read in (read_npz, read_npy, read_csv):
        with pytest.raises(InputError, match="1000 are read at most"):
            read(tmp_path / "plain.npz", most=1000)


def test_an_archive_lacks_an_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=ROWS)
    with pytest.raises(InputError, match="has no array 'two'; it has 'one'"):
        read_npz(tmp_path / "a.npz", ["two"])


def test_empty_cells_are_for_whoever_says_what_they_mean(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1, \n,2\n")
    names, rows = read_csv(tmp_path / "a.csv", empty=float("nan"))
    assert names == ("a", "b")
    np.testing.assert_array_equal(rows, [[1, np.nan], [np.nan, 2]])
    with pytest.raises(InputError, match="line 2, column 'b': ' ' is not a number"):
        read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("read", [read_csv, read_npy, read_npz])
def test_what_is_no_file(tmp_path: Path, read: Any) -> None:
    for path in (tmp_path, tmp_path / "lost", tmp_path / "a\0b", Path("/dev/zero")):
        with pytest.raises(InputError, match="there is no file"):
            read(path)
