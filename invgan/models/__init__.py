"""Ways to bring a model: what turns what a scientist has into the function that a Problem takes.

- `Command`: an external program, run once for each parameter vector.
- `ode_model`: a right-hand side, an initial state and times to look at.
- `torch_model`: a function written in torch, in batches on a device.
- `summarised`: any model with summary statistics of its outputs; `apply_summary` for raw outputs
  that are there already.
- `load_table`: simulations that were made elsewhere; `held_against` the model on a few rows.
- `FileFunction`: a function of a Python file that other processes can find.

Each model says what it is (`identity`), so that a run folder or a store knows it again.
"""

from invgan.models.batched import TorchModel, torch_model
from invgan.models.command import Command, CommandError
from invgan.models.identity import identity
from invgan.models.ode import OdeModel, ode_model
from invgan.models.source import FileFunction
from invgan.models.stored import held_against, load_table
from invgan.models.summary import RawOutputs, Summarised, apply_summary, summarised

__all__ = [
    "Command",
    "CommandError",
    "FileFunction",
    "OdeModel",
    "RawOutputs",
    "Summarised",
    "TorchModel",
    "apply_summary",
    "held_against",
    "identity",
    "load_table",
    "ode_model",
    "summarised",
    "torch_model",
]
