"""The report: what was asked, what was found, and whether to believe it.

`write_report` turns the findings of a run into three things under one folder: `report.html`, a
page that needs no other file and no network; `results.json`, the same figures for programs; and
`figures/*.png`. The report computes no science of its own: summaries and pictures of what the
stages found, and no run of the model.
"""

from invgan.report.findings import Findings
from invgan.report.results import SCHEMA
from invgan.report.writing import write_report

__all__ = ["SCHEMA", "Findings", "write_report"]
