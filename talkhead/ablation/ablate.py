"""The papers' ablation tables at a small size: train each row, score all of them together.

What this can show: that every row trains and runs, and in which direction a component moves the
scores where the differences are larger than those between seeds. What it cannot: the papers'
numbers, which come from thousands of times as much training. At a few hundred steps it shows less
than that: see docs/benchmarks.md for what was measured.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from talkhead.ablation.options import AblationOptions
from talkhead.config import ModelConfig, preset, to_dict
from talkhead.errors import TalkheadError
from talkhead.evaluation.evaluate import score_methods
from talkhead.evaluation.methods import Method, WeightsMethod
from talkhead.evaluation.metrics.registry import METRICS
from talkhead.evaluation.metrics.suite import build_metrics
from talkhead.evaluation.protocols import plan_evaluation
from talkhead.evaluation.results import Evaluation
from talkhead.evaluation.scorer import Scorer
from talkhead.evaluation.shards import shard
from talkhead.inference.engine import Engine
from talkhead.progress import Preparing
from talkhead.synthetic.options import SynthOptions
from talkhead.synthetic.synth import synth
from talkhead.training.loop.state import WEIGHTS
from talkhead.training.options import TrainOptions
from talkhead.training.train import train
from talkhead.version import __version__

log = logging.getLogger(__name__)


# Rows in the order of the papers' tables, from the baseline to the full model.
TABLES = {
    "codebook": (
        "codebook-baseline",
        "codebook-smc",
        "codebook-mmc",
        "codebook-mmc-sac",
        "codebook",
    ),
    "mcnet": ("mcnet-baseline", "mcnet-mcm-nosplit", "mcnet-mcm", "mcnet"),
}
# The small size that every row is trained at. A part that a row lacks is passed over.
SMALL = {
    "image_size": "64",
    "channels": "[32, 32, 16, 16]",
    "norm_groups": "4",
    "keypoints.input_size": "32",
    "keypoints.base_channels": "8",
    "keypoints.max_channels": "64",
    "keypoints.num_blocks": "3",
    "dense_motion.size": "16",
    "dense_motion.base_channels": "16",
    "dense_motion.max_channels": "64",
    "dense_motion.num_blocks": "3",
    "motion_codebook.num_codes": "64",
    "motion_codebook.dim": "16",
    "motion_codebook.num_layers": "1",
    "motion_codebook.num_heads": "2",
    "motion_codebook.residual_channels": "16",
    "appearance_codebook.num_codes": "64",
    "appearance_codebook.dim": "32",
    "appearance_codebook.num_layers": "1",
    "appearance_codebook.num_heads": "2",
    "memory.channels": "32",
    "memory.size": "8",
}
# The published rates are for hundreds of thousands of steps; no discriminator for the same reason.
RECIPE = (
    "recipe.learning_rate=0.001",
    "recipe.keypoint_rate=0.001",
    "recipe.ema=0.0",
    "recipe.adversarial=null",
)
DONE = "done"  # the file in a finished folder that says what it was made with
SYNTHETIC: dict[str, Any] = {"identities": 16, "clips": 2, "seconds": 2.0, "size": 64}


def ablate(options: AblationOptions, preparing: Preparing = nullcontext) -> Evaluation:
    """Train what is not trained yet, then score all rows. Raises TalkheadError for bad data."""
    if shard()[1] > 1:
        raise TalkheadError("ablate runs in one process; start it without torchrun")
    if options.data is not None and not (options.data / "test").is_dir():
        raise TalkheadError(f"{options.data} has no test/ with clips of other people to score on")
    data = options.data or draw_heads(options.output, preparing)
    evaluation_set = plan_evaluation("reconstruction", data, every=options.every)
    methods: list[Method] = []
    engines: list[Engine] = []
    for name, row, seed in runs(options):
        weights = train_row(row, seed, data, options, preparing)
        engine = Engine.load(weights, options.device)
        engines.append(engine)
        methods.append(WeightsMethod(name, weights, engine))
    # Keypoints are left out: each row has a detector of its own, and none of them may be judge.
    metrics = [name for name in METRICS if name != "keypoints"]
    with preparing() as progress:
        scorer = Scorer(
            evaluation_set,
            build_metrics(metrics, engines[0]),
            options.output,
            engines[0].image_size,
            metrics=metrics,
            batch_size=engines[0].batch_size,
            progress=progress,
        )
        result = score_methods(scorer, methods, describe(options))
    assert result is not None  # one process
    return result


def runs(options: AblationOptions) -> Iterator[tuple[str, str, int]]:
    """Name, preset and seed of every run."""
    for row in TABLES[options.table]:
        for seed in range(options.seeds):
            yield (row if options.seeds == 1 else f"{row}, seed {seed}"), row, seed


def draw_heads(out: Path, preparing: Preparing) -> Path:
    """Synthetic clips in `out/data`; those of an earlier call are kept if it drew all of them."""
    data = out / "data"
    if not is_done(data, SYNTHETIC):
        with preparing() as progress:
            synth(SynthOptions(data, **SYNTHETIC, overwrite=True), progress=progress)
        mark_done(data, SYNTHETIC)
    return data


def train_row(
    row: str, seed: int, data: Path, options: AblationOptions, preparing: Preparing
) -> Path:
    """Weights of one row, trained unless an earlier call has done so with the same options."""
    folder = options.output / f"{row}-{options.steps}-{seed}"
    settings = (*small_settings(preset(row)), *RECIPE)
    facts = {
        "talkhead": __version__,
        "config": to_dict(preset(row)),
        "data": str(data.resolve()),
        "batch_size": options.batch_size,
        "settings": list(settings),
    }
    if not is_done(folder, facts):
        (folder / DONE).unlink(missing_ok=True)
        log.info("training %s, seed %d", row, seed)
        train(
            TrainOptions(
                data=(data,),
                output=folder,
                preset=row,
                steps=options.steps,
                batch_size=options.batch_size,
                settings=settings,
                device=options.device,
                seed=seed,
                validate_steps=options.steps,
                overwrite=True,
                quiet=options.quiet,
            ),
            preparing,
        )
        mark_done(folder, facts)
    return folder / WEIGHTS


def is_done(folder: Path, facts: dict[str, Any]) -> bool:
    """Whether a folder was finished, and with just these facts."""
    done = folder / DONE
    return done.is_file() and done.read_text() == json.dumps(facts)


def mark_done(folder: Path, facts: dict[str, Any]) -> None:
    """Say what a folder was finished with."""
    (folder / DONE).write_text(json.dumps(facts))


def small_settings(config: ModelConfig) -> tuple[str, ...]:
    """`SMALL` as settings, without the parts that this model has not."""
    return tuple(
        f"model.{name}={value}"
        for name, value in SMALL.items()
        if getattr(config, name.split(".")[0], None) is not None
    )


def describe(options: AblationOptions) -> dict[str, Any]:
    """What stands above the table."""
    small = ", ".join(f"{name} {value}" for name, value in SMALL.items() if "." not in name)
    return {
        "ablation": options.table,
        "data": options.data.name if options.data else f"synthetic heads {SYNTHETIC}",
        "steps": options.steps,
        "batch_size": options.batch_size,
        "seeds": options.seeds,
        "every": options.every,
        "model": f"small ({small}); not the papers' size",
        "read_with_care": "differences smaller than those between seeds mean nothing, and a row "
        "that is no better than doing nothing is not trained enough to say anything: raise --steps",
    }
