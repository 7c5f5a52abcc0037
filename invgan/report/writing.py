"""The report's files."""

from __future__ import annotations

import json
from pathlib import Path

from invgan.errors import InputError
from invgan.files import write_text
from invgan.plots import own_style
from invgan.report.figures import figures, save_figures
from invgan.report.findings import Findings
from invgan.report.page import page
from invgan.report.results import results

__all__ = ["write_report"]


def write_report(findings: Findings, out: str | Path) -> Path:
    """Write report.html, results.json and figures/*.png into a folder.

    Args:
        findings: what the run found.
        out: the folder; it is made where it does not exist.

    Returns:
        The path of report.html.

    Raises:
        InputError: out is a file.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the report goes into a folder; {str(out)!r} is a file, name another")
    with own_style():
        images = save_figures(figures(findings), folder / "figures")
    found = results(findings)
    write_text(folder / "results.json", json.dumps(found, indent=2, allow_nan=False) + "\n")
    write_text(folder / "report.html", page(findings, found, images))
    return folder / "report.html"
