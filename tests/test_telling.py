"""Whatever changes outputs changes what is told of a model, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from invgan.models import FileFunction
from invgan.models.telling import told

START = """\
import argparse, array, collections, dataclasses, enum, functools, logging, math, operator, os
import pathlib, re, sys, threading, time, types
import numpy as np
import torch
from scipy.interpolate import CubicSpline, PchipInterpolator
"""
CHANGES = {
    "a method of an object": (
        "class H:\n def rate(s): return 2.0\nh = H()\ndef f(x): return h.rate() * x", "2.0", "3.0"),
    "of one in a list": (
        "class H:\n def r(s): return 2.0\nh = [H()]\ndef f(x): return h[0].r()", "2.0", "3.0"),
    "of a dictionary of one's own": (
        "class H(dict):\n def r(s): return 2.0\nh = H()\ndef f(x): return h.r()", "2.0", "3.0"),
    "a private constant of a class": (
        "class L:\n _k = 2.0\ndef f(x): return L._k * x", "2.0", "3.0"),
    "a tuple of a class": ("class L:\n K = (2.0, 1)\ndef f(x): return L.K[0] * x", "2.0", "3.0"),
    "an enumeration": (
        "class E(enum.Enum):\n A = 2.0\ndef f(x): return E.A.value * x", "2.0", "3.0"),
    "a nested class": (
        "class L:\n class M:\n  k = 2.0\ndef f(x): return L.M.k * x", "2.0", "3.0"),
    "a base class": (
        "class B:\n k = 2.0\nclass L(B): pass\ndef f(x): return L.k * x", "2.0", "3.0"),
    "a cached property": (
        "class L:\n @functools.cached_property\n def k(self): return 2.0\nl = L()\n"
        "def f(x): return l.k * x", "2.0", "3.0"),
    "a cached method": (
        "class L:\n @functools.lru_cache\n def k(self): return 2.0\nl = L()\n"
        "def f(x): return l.k() * x", "2.0", "3.0"),
    "a partial method": (
        "class L:\n def g(self, k): return k\n k = functools.partialmethod(g, 2.0)\nl = L()\n"
        "def f(x): return l.k() * x", "2.0", "3.0"),
    "weights of a deep network": (
        "torch.manual_seed(2)\nclass N(torch.nn.Module):\n def __init__(s):\n  super().__init__()\n"
        "  s.body = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Linear(2, 2)))\n"
        " def forward(s, x): return s.body(x)\nn = N()\ndef f(x): return n(x)",
        "seed(2)", "seed(3)"),
    "half precision": (
        "w = torch.full((2,), 2.0, dtype=torch.bfloat16)\ndef f(x): return x @ w", "2.0", "3.0"),
    "slots": (
        "@dataclasses.dataclass(slots=True)\nclass L:\n k: float\nl = L(2.0)\n"
        "def f(x): return l.k * x", "2.0", "3.0"),
    "a spline": ("s = CubicSpline([0, 1, 2], [0, 2.0, 1])\ndef f(x): return s(x)", "2.0", "3.0"),
    "another spline": (
        "s = PchipInterpolator([0, 1, 2], [0, 2.0, 1])\ndef f(x): return s(x)", "2.0", "3.0"),
    "a range": ("R = range(2)\ndef f(x): return sum(R) * x", "(2)", "(3)"),
    "a deque": ("D = collections.deque([2.0])\ndef f(x): return D[0] * x", "2.0", "3.0"),
    "a pattern": ("P = re.compile('ab')\ndef f(x): return P.match('a')", "'ab'", "'ac'"),
    "a getter": ("G = operator.itemgetter(2)\ndef f(x): return G(x)", "(2)", "(3)"),
    "an array of Python": (
        "A = array.array('d', [2.0])\ndef f(x): return A[0] * x", "2.0", "3.0"),
    "a path": ("P = pathlib.Path('a.csv')\ndef f(x): return np.loadtxt(P)", "a.csv", "b.csv"),
    "a bound function of numpy": (
        "g = np.array([2.0]).dot\ndef f(x): return g(x)", "2.0", "3.0"),
    "a built-in function": ("from math import sin as g\ndef f(x): return g(x)", "sin", "cos"),
    "a universal function": ("g = np.exp\ndef f(x): return g(x)", "np.exp", "np.log"),
    "an installed type": ("D = np.float32\ndef f(x): return D(x)", "np.float32", "np.float16"),
    "the order of arguments": (
        "def g(a, b): return a - b\ndef f(x): return g(a=x, b=1)", "g(a, b)", "g(b, a)"),
    "a star": ("def g(*a): return a\ndef f(x): return g(x)", "*a", "a"),
    "which cell is empty": (
        "def make(a, b):\n def f(x): return x if a is None else a if b is None else b\n return f\n"
        "f = make(None, 3.0)", "None, 3.0", "3.0, None"),
    "a mask": (
        "M = np.ma.masked_array([1.0, 2.0], [True, False])\ndef f(x): return M.sum() * x",
        "True, False", "False, True"),
    "an underscored global": ("__K = 2.0\ndef f(x): return __K * x", "2.0", "3.0"),
    "a keyword default": ("def g(x, *, k=2.0): return k * x\ndef f(x): return g(x)", "2.0", "3.0"),
    "a function of an exec": (
        "s = {}\nexec('def g(x): return 2.0 * x', s)\ng = s['g']\ndef f(x): return g(x)",
        "2.0", "3.0"),
    "an int of one's own": (
        "class I(int):\n def twice(self): return 2 * self\ni = I(2)\ndef f(x): return i.twice()",
        "I(2)", "I(3)"),
}  # fmt: skip


def identity_of(folder: Path, text: str) -> str:
    path = folder / "model.py"
    path.write_text(START + text + "\n")
    return FileFunction(path, "f").identity


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_what_a_model_uses_is_seen(what: str, tmp_path: Path) -> None:
    text, old, new = CHANGES[what]
    assert text.replace(old, new) != text
    first = identity_of(tmp_path, text)
    assert identity_of(tmp_path, text) == first
    assert identity_of(tmp_path, "\n" + text + "\nunused = 3") == first
    assert identity_of(tmp_path, text.replace(old, new)) != first


SAME = {
    "a logger": "L = logging.getLogger('model')\ndef f(x): L.info('x'); return x",
    "a file": "F = sys.__stderr__\ndef f(x): print('x', file=F); return x",
    "a lock": "L = threading.Lock()\ndef f(x):\n with L: return x",
    "the environment": "from os import environ\ndef f(x): return x if environ else x",
    "the arguments": "from sys import argv\ndef f(x): return x if argv else x",
    "a generator of random numbers": "r = np.random.default_rng()\ndef f(x): return r.normal() * x",
    "a set of functions": (
        "def a(x): return x\ndef b(x): return 2 * x\nS = {a, b}\nT = {'u', 'v', a}\n"
        "def f(x): return [g(x) for g in S if g in T]"
    ),
    "a dictionary from a set": "D = {k: 1 for k in {'u', 'v', 'w'}}\ndef f(x): return D['u'] * x",
    "an attribute named as a global": (
        "t = time.time()\ndef f(x): return types.SimpleNamespace(t=x).t"
    ),
    "a count": "n = 0\ndef f(x):\n global n\n n += int(time.time()); return x",
    "a dispatch": (
        "@functools.singledispatch\ndef f(x): return x\n@f.register\ndef _(x: int): return 2 * x\n"
        "f(1.0)"
    ),
    "a cache": "@functools.lru_cache\ndef f(x): return 2 * x\nf(2)",
    "an object that answers to every name": (
        "class D(dict):\n __getattr__ = dict.get\nd = D(a=1)\ndef f(x): return d.a * x"
    ),
    "types": "K = (torch.Tensor, np.ndarray)\ndef f(x): return isinstance(x, K)",
    "itself": "class L: pass\nl = L(); l.me = [l]\ndef f(x): return f(x - 1) if l else x",
    "a thread": "class T(threading.Thread): pass\ndef f(x): return T",
    "a long chain": (
        "g0 = lambda x: x\n"
        + "\n".join(f"def g{k}(x): return g{k - 1}(x)" for k in range(1, 400))
        + "\nN = []\nfor _ in range(5000): N = [N]\ndef f(x): return g399(x) if N else x"
    ),
}


TELL = """\
import sys
from pathlib import Path
from invgan.models import FileFunction
for path in sorted(Path(sys.argv[1]).glob("*.py")):
    print(FileFunction(path, "f").identity)
"""


def test_a_model_is_the_same_in_every_process(tmp_path: Path) -> None:
    """In another the order of sets is another, and so is whatever belongs to the process."""
    for place, text in enumerate(SAME.values()):
        (tmp_path / f"model_{place:02}.py").write_text(START + text + "\n")
    printed = [
        subprocess.run(
            [sys.executable, "-c", TELL, str(tmp_path), *more], capture_output=True, text=True,
            check=True, env=os.environ | {"PYTHONHASHSEED": seed, "OTHER": seed},
        ).stdout.split()
        for seed, more in (("1", []), ("2", ["more"]))
    ]  # fmt: skip
    here = [FileFunction(path, "f").identity for path in sorted(tmp_path.glob("*.py"))]
    for what, *told_there in zip(SAME, here, *printed, strict=True):
        assert len(set(told_there)) == 1, what


def test_what_cannot_be_looked_into_ends_no_run() -> None:
    class Shut:
        def __reduce_ex__(self, protocol: object) -> Any:
            raise RuntimeError("no copies")

        @property
        def identity(self) -> str:
            raise RuntimeError("no identity")

        to_numpy = columns = identity

    assert told([Shut()]) == "list"


def test_telling_of_a_thing_leaves_it_as_it_is() -> None:
    held: Any = {"file": sys.stderr, "rows": [1.0] * 100_000}
    assert told(held) == told(held)
    assert sys.stderr.buffer is not None
