"""Validate and save during a run: scores, images, checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from talkhead.checkpoint import Provenance
from talkhead.io.image import write_image
from talkhead.training.data.batches import Batches
from talkhead.training.loop.logging import RunLog
from talkhead.training.loop.state import save, save_finished
from talkhead.training.loop.trainer import Trainer
from talkhead.training.loop.validation import Score, Validation
from talkhead.training.phases.codebooks import code_use

CODE_BATCHES = 2  # whose vectors say which codes live


@dataclass
class RunSaver:
    """Validates and saves; there is one in the leading process only.

    score: the last validation's. notes: what the screen shows beside the losses.
    """

    trainer: Trainer
    batches: Batches
    folder: Path
    run_log: RunLog
    validation: Validation | None
    provenance: Provenance
    score: Score | None = None
    notes: dict[str, str] = field(default_factory=dict)
    _validated: int = -1

    def validate(self, step: int, anew: bool = False) -> None:
        """Judge the averaged weights; draw what they draw; count living codes.

        anew: they have changed since the last validation, whatever step it was at.
        """
        if self.validation is None or (step == self._validated and not anew):
            return
        self._validated = step
        model = self.trainer.average.model
        self.score, drawn = self.validation(model, self.trainer.compute, self.trainer.recipe)
        pictures = self.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        sheet = self.validation.sheet(drawn)
        write_image(pictures / f"{step:07d}.png", sheet)
        self.run_log.add_picture(step, sheet)
        found = asdict(self.score)
        self.notes["validation"] = (
            f"L1 {self.score.l1:.4f} ({self.score.relative:.2f} of doing nothing), "
            f"PSNR {self.score.psnr:.2f} dB"
        )
        some = (self.batches.batch(n) for n in range(CODE_BATCHES))
        if use := code_use(model, some):
            found |= {f"{name}_codes_used": share for name, share in use.items()}
            shares = (f"{name} {share:.0%}" for name, share in use.items())
            self.notes["codes in use"] = ", ".join(shares)
        self.run_log.add_validation(step, found)

    def save(self, step: int, seconds: float) -> None:
        """Weights, state and `run.json`."""
        save(self.folder, self.trainer, step, seconds, self._provenance(step, seconds))
        self.run_log.write(step, seconds, skipped_steps=self.trainer.skipped)

    def save_finished(self, step: int, seconds: float) -> None:
        """The same after a run's end has changed the weights, which the state is not to know."""
        save_finished(self.folder, self.trainer, self._provenance(step, seconds))
        self.run_log.write(step, seconds, skipped_steps=self.trainer.skipped)

    def _provenance(self, step: int, seconds: float) -> Provenance:
        """Where the weights come from, with their length of training and last score."""
        notes: dict[str, Any] = {"steps": step, "minutes": round(seconds / 60, 1)}
        if self.score is not None:
            notes["validation"] = asdict(self.score)
        return Provenance(self.provenance.origin, self.provenance.licence, notes=notes)
