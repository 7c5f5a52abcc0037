"""The run folder: what each stage leaves there, and whose it is.

Every artefact carries a fingerprint of all that it came from: the problem, the settings and the
seed of its stage and of every stage before. Whoever asks with the same fingerprint gets it back;
one made from anything else is refused and never silently replaced.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invgan.config import differences, to_yaml
from invgan.errors import InputError
from invgan.files import write_text
from invgan.gan import Inverse, PopulationGenerator
from invgan.samples import Samples, Simulations
from invgan.store import Stored, remove_store
from invgan.validation import Measure, Validation

__all__ = ["Folder", "Verdicts"]

Verdicts = tuple[dict[str, Validation], dict[str, float] | None]
"""Validations by road ("answer", "raw", "mcmc"), and the comparison of the roads."""

_RESTING_ON = {
    "simulate": ("train", "sample", "mcmc", "validate"),
    "train": ("sample", "validate"),
    "sample": ("validate",),
    "mcmc": ("validate",),
    "validate": (),
}


class Folder:
    """A run folder, or none (path None), in which case nothing is found and nothing written.

    Args:
        path: the folder; it is made when first written to.
        keys: the fingerprint of each stage, from `invgan.fingerprints`.
        device: where a loaded inverse goes.
        resolved: the whole configuration as plain data, which the folder keeps as config.yml.

    Raises:
        InputError: the path is a file.
    """

    def __init__(
        self,
        path: Path | None,
        keys: Mapping[str, str],
        device: str,
        resolved: Mapping[str, Any] | None = None,
    ) -> None:
        if path is not None and path.exists() and not path.is_dir():
            raise InputError(f"a run needs a folder; {str(path)!r} is a file, name another")
        self.path, self._keys, self._device = path, dict(keys), device
        self._resolved = dict(resolved or {})

    @property
    def checkpoint(self) -> Path | None:
        """The stem of training's checkpoint files."""
        return None if self.path is None else self.path / "checkpoint"

    def forget_checkpoints(self) -> None:
        """Remove training's checkpoint files."""
        if self.path is not None:
            for file in self.path.glob("checkpoint-*.safetensors"):
                file.unlink()

    @property
    def chain(self) -> Path | None:
        """The stem of the files that hold an unfinished chain."""
        return None if self.path is None else self.path / "chain"

    def forget_chain(self) -> None:
        """Remove the files of an unfinished chain."""
        if self.path is not None:
            for file in self.path.glob("chain-*.npz"):
                file.unlink()

    @property
    def draws(self) -> Path | None:
        """Where the model's outputs for draws are kept while they are made."""
        return None if self.path is None else self.path / "draws"

    def forget_draws(self) -> None:
        """Remove the model's outputs for draws that were begun."""
        if self.draws is not None and self.draws.is_dir():
            shutil.rmtree(self.draws)

    @property
    def store(self) -> Path | None:
        """Where simulations go as they come."""
        return None if self.path is None else self.path / "simulations"

    @property
    def mapped(self) -> Path | None:
        """Where simulations larger than memory are read from; it can be made again."""
        return None if self.path is None else self.path / "simulations-mapped"

    def holds(self, n: int) -> bool:
        """Whether n simulations are finished in the store."""
        if self.store is None or not self.store.is_dir():
            return False
        status = Stored(self.store).status[:n]
        return len(status) == n and bool(status.all())

    def account(self, made: Simulations) -> None:
        """Let the figures of simulations tell of all runs that filled the store, not the last."""
        if self.store is None:
            return
        file = self.store.with_suffix(".json")
        before = _figures(file)
        spent = dict.fromkeys(("seconds", "model_seconds"), 0.0) | before
        if made.info["new_evaluations"] or not before:
            spent = {name: spent[name] + made.info[name] for name in spent}
            write_text(file, json.dumps(spent))
        made.info.update(spent)

    @property
    def rounds(self) -> Path | None:
        """Where the rounds of simulations go."""
        return None if self.path is None else self.path / "rounds"

    def forget_simulations(self) -> None:
        """Remove the store, what is mapped of it, and the rounds of simulations."""
        if self.store is not None:
            remove_store(self.store)
        for folder in (self.mapped, self.rounds):
            if folder is not None and folder.is_dir():
                shutil.rmtree(folder)
        if self.store is not None:
            for end in (".json", ".npz"):
                self.store.with_suffix(end).unlink(missing_ok=True)

    def key(self, stage: str) -> str:
        """The fingerprint of a stage."""
        return self._keys[stage]

    def open(self) -> None:
        """Write the configuration where there is none, so that a run that is stopped can go on."""
        if self.path is not None and not (self.path / "config.yml").exists():
            self._save_config()

    def _save_config(self) -> None:
        if self.path is not None:
            write_text(self.path / "config.yml", to_yaml(self._resolved))

    def has(self, stage: str) -> bool:
        """Whether the stage has left its files here."""
        files = self._files(stage)
        return bool(files) and all(file.is_file() for file in files)

    def load(self, stage: str) -> Any:
        """What the stage left here, or None.

        Raises:
            InputError: it is damaged, or was made from something else.
        """
        if not self.has(stage):
            return None
        files = self._files(stage)
        if stage == "simulate":
            simulations = Simulations.load(files[0])
            return self._own(stage, simulations, simulations.info)
        if stage == "train":
            kind = PopulationGenerator if self._rgan(files[0]) else Inverse
            inverse = kind.load(files[0].with_suffix(""), device=self._device)
            return self._own(stage, inverse, inverse.info)
        if stage == "validate":
            return self._load_verdicts(files[0])
        found = tuple(Samples.load(file) for file in files)
        return self._own(stage, found if len(found) > 1 else found[0], found[0].info)

    def save(self, stage: str, result: Any) -> None:
        """Leave the result of a stage here, and the configuration that it was made with."""
        self._save_config()
        if self.path is None or (stage == "simulate" and "new_evaluations" in result.info):
            return
        files = self._files(stage)
        if stage == "validate":
            self._save_verdicts(files[0], result)
            return
        parts = result if isinstance(result, tuple) else (result,)
        for part in parts:
            part.info["fingerprint"] = self._keys[stage]
        if stage == "train":
            rows = "".join(json.dumps(row) + "\n" for row in result.history)
            write_text(self.path / "history.jsonl", rows)
            result.save(files[0].with_suffix(""))
            self.forget_checkpoints()
            return
        for part, file in zip(parts, files, strict=True):
            part.save(file)
        if stage == "sample":
            self.forget_draws()
        if stage == "mcmc":
            self.forget_chain()

    def _files(self, stage: str) -> list[Path]:
        names = {
            "simulate": ["simulations.npz"],
            "train": ["inverse.json", "inverse.safetensors"],
            "sample": ["samples.npz", "samples-raw.npz"],
            "mcmc": ["samples-mcmc.npz"],
            "validate": ["validation.json"],
        }[stage]
        return [] if self.path is None else [self.path / name for name in names]

    @staticmethod
    def _rgan(file: Path) -> bool:
        """Whether a trained artefact is a generator of the population itself."""
        try:
            return bool(json.loads(file.read_text(encoding="utf-8")).get("method") == "rgan")
        except (AttributeError, ValueError):
            return False

    def _own(self, stage: str, found: Any, info: Mapping[str, Any]) -> Any:
        if info.get("fingerprint") != self._keys[stage]:
            file = self._files(stage)[0]
            changed = "; ".join(differences(file.parent / "config.yml", self._resolved))
            raise InputError(
                f"{file} was made from another problem, seed or setting"
                f"{f' ({changed})' if changed else ''}: name another folder (--out), or redo that "
                f"stage alone (`invgan {stage}` with --overwrite), or all (`invgan solve` with it)"
            )
        return found

    def forget_from(self, stage: str) -> None:
        """Remove the result of a stage that is made anew, finished or not, and what rests on it.

        What an interruption leaves is then of one configuration, and is taken up as such.
        """
        begun = {
            "simulate": self.forget_simulations,
            "train": self.forget_checkpoints,
            "sample": self.forget_draws,
            "mcmc": self.forget_chain,
        }
        if stage in begun:
            begun[stage]()
        for each in (stage, *_RESTING_ON[stage]):
            for file in self._files(each):
                file.unlink(missing_ok=True)

    def _save_verdicts(self, file: Path, result: Verdicts) -> None:
        validations, comparison = result
        content = {
            "fingerprint": self._keys["validate"],
            "validations": {road: v.to_dict() for road, v in validations.items()},
            "comparison": comparison,
        }
        write_text(file, json.dumps(content, indent=1))

    def _load_verdicts(self, file: Path) -> Verdicts:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            self._own("validate", None, content)
            validations = {road: _validation(v) for road, v in content["validations"].items()}
            return validations, content["comparison"]
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{file} is damaged ({error}); run validate again") from None


def _figures(file: Path) -> dict[str, float]:
    """Named figures of a file; none where it is missing or damaged."""
    try:
        return {name: float(v) for name, v in json.loads(file.read_text(encoding="utf-8")).items()}
    except (AttributeError, OSError, TypeError, ValueError):
        return {}


def _validation(data: Mapping[str, Any]) -> Validation:
    measures = tuple(Measure(**m) for m in data["measures"])
    return Validation(data["verdict"], tuple(data["reasons"]), measures, data["info"])
