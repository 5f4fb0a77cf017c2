"""A training step: every family learns, every term teaches what it should and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from miniatures import FAMILIES
from torch import nn
from toys import CODEBOOK, MODELS, SIZE, toy_batch, toy_library

from talkhead.config import MeshConfig, preset
from talkhead.errors import TalkheadError
from talkhead.models import build
from talkhead.models.codebook import CodebookModel
from talkhead.structs import Keypoints
from talkhead.training.compute import Compute
from talkhead.training.data.landmark_teacher import fit_teacher
from talkhead.training.distributed import ProcessGroup
from talkhead.training.loop.trainer import Trainer, check_learned
from talkhead.training.loop.validation import Validation
from talkhead.training.losses.objective import Objective, keypoint_distance
from talkhead.training.modes import unfrozen
from talkhead.training.phases.codebooks import code_use, encoded, revive_codes, seed_codes
from talkhead.training.recipes.presets import RECIPES, recipe_for, with_landmarks
from talkhead.training.recipes.recipe import Adversarial, LossWeights, Recipe

CPU = torch.device("cpu")


def trainer(recipe: Recipe, family: str = "codebook") -> Trainer:
    torch.manual_seed(0)
    model = build(MODELS[family])
    return Trainer(model, recipe, Objective(recipe), Compute(CPU), ProcessGroup(), seed=0)


@pytest.fixture
def plain_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """On processors with AVX2 alone, gradients without oneDNN: with it, as torch 2.13 has it, these
    toys corrupt the memory of the process.
    """
    if torch.backends.cpu.get_cpu_capability() == "AVX2":
        monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("family", FAMILIES)
def test_every_published_recipe_takes_a_step_and_all_its_terms_are_finite(family: str) -> None:
    recipe = replace(RECIPES[family], batch_size=2)
    one = trainer(recipe, family)
    before = [p.clone() for p in one.model.parameters()]
    terms = one.train_step(toy_batch(recipe), step=0, progress=0.2)
    assert all(torch.isfinite(value) for value in terms.values()), terms
    wanted = {name for name, weight in vars(recipe.weights).items() if weight}
    assert wanted - {"perceptual"} <= terms.keys()
    changed = [not torch.equal(a, b) for a, b in zip(before, one.model.parameters(), strict=True)]
    assert sum(changed) > 0.8 * len(changed)


def test_only_what_shall_learn_does_and_the_rest_stays_to_the_last_number() -> None:
    recipe = replace(RECIPES["codebook"], batch_size=2, learned=("decoder.", "appearance."))
    recipe = replace(recipe, adversarial=None)
    one = trainer(recipe)
    before = {name: value.clone() for name, value in one.model.state_dict().items()}
    one.train_step(toy_batch(recipe), step=0, progress=0.2)
    after = one.model.state_dict()
    changed = {name.split(".")[0] for name, x in after.items() if not torch.equal(x, before[name])}
    assert changed == {"decoder", "appearance"}  # and no running mean of a batch norm


@pytest.mark.parametrize(
    ("learned", "reason"),
    [
        (("decodr.",), "begins with 'decodr.'; they begin with appearance, decoder, dense_motion"),
        (("mouth.",), "names nothing that the steps of this run teach"),
        (("encoder.",), "add decoder.out to recipe.learned"),
    ],
)
def test_names_of_what_learns_are_checked(learned: tuple[str, ...], reason: str) -> None:
    config = replace(CODEBOOK, mesh=MeshConfig(mouth=True))
    recipe = replace(RECIPES["codebook"], learned=learned)
    with pytest.raises(TalkheadError, match=reason):
        check_learned(build(config), recipe)
    check_learned(build(config), replace(recipe, learned=("decoder.out.", "encoder.")))
    check_learned(build(config), replace(recipe, learned=()))


def test_a_frozen_network_learns_for_a_while_and_is_frozen_again() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    network[0].requires_grad_(False)
    network[1].eval()
    with unfrozen(network):
        assert all(p.requires_grad for p in network.parameters())
        assert network[1].training
    assert [p.requires_grad for p in network.parameters()] == [False, False, True, True]
    assert not network[1].training


def test_what_does_not_learn_is_frozen_after_a_validation_too() -> None:
    recipe = replace(RECIPES["codebook"], adversarial=None, learned=("decoder.",), ema=0.0)
    one = trainer(recipe)
    before = [module.training for module in one.model.modules()]
    assert set(before) == {True, False}
    images, meshes = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8), torch.zeros(1, 478, 2)
    Validation(images, images + 9, meshes, meshes)(one.model, one.compute, recipe)
    assert [module.training for module in one.model.modules()] == before


@pytest.mark.parametrize(("ramp", "told"), [(0.0, [1.0, 1.0, 1.0]), (0.5, [0.0, 0.5, 1.0])])
def test_skips_of_detail_come_gradually_where_a_recipe_says_so(
    ramp: float, told: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPES["codebook"], batch_size=2, adversarial=None, detail_ramp=ramp)
    one = trainer(recipe)
    heard = []
    monkeypatch.setattr(
        one,
        "_reconstruct",
        lambda *images, detail=1.0, **rest: (
            heard.append(detail) or one.model.reconstruct(*images, detail=detail, **rest)
        ),
    )
    for progress in (0.0, 0.25, 0.75):
        one.train_step(toy_batch(recipe), step=0, progress=progress)
    assert heard == told


def test_one_batch_overfits() -> None:
    recipe = Recipe(
        "test",
        batch_size=2,
        learning_rate=4e-3,
        keypoint_rate=1e-3,
        betas=(0.9, 0.99),
        weights=LossWeights(pixel=1.0),
    )
    one = trainer(recipe)
    batch = toy_batch(recipe)
    losses = [one.train_step(batch, step, 0.0)["pixel"].item() for step in range(12)]
    assert losses[-1] < 0.35 * losses[0], (losses[0], losses[-1])


def gradients(model: CodebookModel, loss: torch.Tensor) -> set[str]:
    """Names of the parameters that a loss moves."""
    model.zero_grad()
    loss.backward(retain_graph=True)
    return {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def parts(names: set[str], depth: int = 2) -> set[str]:
    return {".".join(name.split(".")[:depth]) for name in names}


def test_code_losses_move_codebooks_and_their_encoders_only() -> None:
    torch.manual_seed(0)
    model = build(CODEBOOK)
    assert isinstance(model, CodebookModel)
    batch = toy_batch(Recipe("test", batch_size=2))
    losses = model.reconstruct(batch.source, batch.driving).losses
    assert parts(gradients(model, losses["motion_code"])) == {
        "motion.codebook",
        "motion.embedding",
    }
    # Straight through the codes into the encoder; the codes themselves get nothing, nor does the
    # flow that is to be reconstructed.
    assert parts(gradients(model, losses["motion_reconstruction"])) == {
        "motion.to_motion",
        "motion.embedding",
    }
    moved = gradients(model, losses["appearance_code"])
    assert "appearance.codebook.codes" in moved
    assert {name.split(".")[0] for name in moved} == {"appearance", "encoder"}
    assert not any("restore" in name or "layers" in name for name in moved)


def test_equivariance_and_keypoint_distance_move_the_detector_only() -> None:
    torch.manual_seed(0)
    model = build(CODEBOOK)
    assert isinstance(model, CodebookModel)
    weights = LossWeights(equivariance_value=1, equivariance_jacobian=1, keypoint_distance=1)
    recipe = Recipe("test", batch_size=2, weights=weights)
    batch = toy_batch(recipe)
    outputs = model.reconstruct(batch.source, batch.driving)
    terms = Objective(recipe)(model, batch, outputs, 0.0)
    assert terms.keys() == {
        "equivariance_value",
        "equivariance_jacobian",
        "keypoint_distance",
    }
    for term in terms.values():
        assert parts(gradients(model, term), 1) == {"keypoint_detector"}


def test_image_terms_do_not_move_the_quantiser() -> None:
    torch.manual_seed(0)
    model = build(CODEBOOK)
    assert isinstance(model, CodebookModel)
    recipe = Recipe("test", batch_size=2, weights=LossWeights(pixel=1.0))
    batch = toy_batch(recipe)
    outputs = model.reconstruct(batch.source, batch.driving)
    moved = gradients(model, Objective(recipe)(model, batch, outputs, 0.0)["pixel"])
    assert not any(name.startswith("motion.to_motion") for name in moved)
    assert "motion.codebook.codes" in moved  # through attention


def test_near_keypoints_are_driven_apart_by_the_hinge_and_ignored_by_the_sign() -> None:
    value = torch.tensor([[[0.0, 0.0], [0.1, 0.0], [0.9, 0.9]]], requires_grad=True)
    hinge = keypoint_distance(Keypoints(value), "hinge")
    (slope,) = torch.autograd.grad(hinge, value)
    assert slope[0, 0, 0] > 0 > slope[0, 1, 0]
    assert not slope[0, 2].any()
    sign = keypoint_distance(Keypoints(value), "sign")
    assert sign.item() == pytest.approx(2 * 2 / 9)
    assert hinge.item() == pytest.approx(2 * 1 / 9)


def test_adversary_enters_at_its_step_and_learns() -> None:
    recipe = Recipe(
        "test",
        batch_size=2,
        weights=LossWeights(pixel=1.0),
        adversarial=Adversarial(start=2, base_channels=4),
    )
    one = trainer(recipe)
    batch = toy_batch(recipe)
    assert one.adversarial is not None
    judge = one.adversarial.discriminator
    before = [p.clone() for p in judge.parameters()]
    assert "adversarial" not in one.train_step(batch, 0, 0.0)
    assert all(map(torch.equal, before, judge.parameters()))
    terms = one.train_step(batch, 1, 0.0)
    assert {"adversarial", "discriminator"} <= terms.keys()
    assert not all(map(torch.equal, before, judge.parameters()))


def test_the_adversarial_fomm_recipe_fools_matches_features_and_teaches_its_judge() -> None:
    recipe = RECIPES["fomm-adversarial"]
    assert recipe.adversarial is not None
    few = replace(recipe.adversarial, base_channels=4)
    one = trainer(replace(recipe, batch_size=2, adversarial=few), "fomm")
    batch = toy_batch(one.recipe)
    judge = [one.train_step(batch, step, 0.0) for step in range(12)]
    assert {"adversarial", "feature_matching", "discriminator"} <= judge[0].keys()
    assert judge[-1]["discriminator"] < judge[0]["discriminator"]
    # What the generator learns from the judge must not teach the judge.
    assert one.adversarial is not None
    before = [p.clone() for p in one.adversarial.discriminator.parameters()]
    one._backward(batch, 12, 0.0)
    grads = [p.grad for p in one.adversarial.discriminator.parameters()]
    one.adversarial.optimizer.zero_grad(set_to_none=True)
    one._backward(batch, 13, 0.0)
    assert all(p.grad is None for p in one.adversarial.discriminator.parameters())
    assert all(map(torch.equal, before, one.adversarial.discriminator.parameters()))
    assert any(g is not None for g in grads)  # left from its own step, so the check can fail


@pytest.mark.usefixtures("plain_convolutions")
def test_accumulated_pieces_learn_what_the_whole_batch_learns() -> None:
    recipe = Recipe("test", batch_size=4, weights=LossWeights(pixel=1.0, equivariance_value=1.0))
    batch = toy_batch(recipe)
    results = []
    for pieces in (1, 2):
        torch.manual_seed(0)
        model = build(MODELS["tpsmm"])  # instance norm: no statistics over the batch
        compute = Compute(CPU, parts=pieces)
        one = Trainer(model.eval(), recipe, Objective(recipe), compute, ProcessGroup(), seed=0)
        one.model.eval()
        one.train_step(batch, 0, 0.5)
        results.append(torch.cat([p.flatten() for p in one.model.parameters()]))
    assert torch.allclose(results[0], results[1], atol=1e-4)


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    recipe = Recipe("test", batch_size=2, weights=LossWeights(pixel=1.0))
    one = trainer(recipe)
    before = [p.clone() for p in one.model.parameters()]
    batch = toy_batch(recipe)
    one.train_step(replace(batch, driving=batch.driving * float("nan")), 0, 0.0)
    assert one.skipped == 1
    assert all(map(torch.equal, before, one.model.parameters()))


def test_a_batch_too_large_for_memory_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe("test", batch_size=2, weights=LossWeights(pixel=1.0))
    one = trainer(recipe)

    def no_room(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(one, "_forward", no_room)
    sentence = r"a batch of 2 does not fit .* --accumulate 2"
    with pytest.raises(TalkheadError, match=sentence), one.explain_memory():
        one.train_step(toy_batch(recipe), 0, 0.0)


def test_the_motion_stage_teaches_the_models_own_motion_and_leaves_its_decoder_alone() -> None:
    weights = LossWeights(pyramid=1.0, motion_code=1.0, motion_reconstruction=1.0)
    one = trainer(Recipe("test", batch_size=2, motion_only=True, weights=weights))
    before = {name: p.clone() for name, p in one.model.named_parameters()}
    one.train_step(toy_batch(one.recipe), 0, 0.0)
    after = dict(one.model.named_parameters())
    moved = {name.split(".")[0] for name, p in before.items() if not torch.equal(p, after[name])}
    assert moved == {"keypoint_detector", "dense_motion", "encoder", "motion"}


def test_the_disentangling_recipe_teaches_that_network_alone_to_undo_random_scales() -> None:
    recipe = replace(RECIPES["tpsmm-avd"], batch_size=4, learning_rate=3e-3)
    torch.manual_seed(0)
    model = build(replace(MODELS["tpsmm"], avd=True))
    one = Trainer(model, recipe, Objective(recipe), Compute(CPU), ProcessGroup(), seed=0)
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    batch = toy_batch(recipe)
    errors = [one.train_step(batch, step, 0.0)["disentangling"].item() for step in range(40)]
    assert sum(errors[-5:]) < 0.5 * sum(errors[:5]), errors
    after = one.model.state_dict()
    moved = {
        name.split(".")[0] for name, old in before.items() if not torch.equal(old, after[name])
    }
    assert moved == {"avd"}


def test_codes_are_made_of_the_motion_that_is_trained_on() -> None:
    """That of meshes, and of the optical flow, where a model follows them."""
    mesh = MeshConfig(keypoints=False, motion=True, maps=False)
    keypoints = replace(CODEBOOK.keypoints, num_keypoints=20, tracked=(0, 1, 15))
    dense = replace(CODEBOOK.dense_motion, prior_sigmas=(0.1,) * 20)
    torch.manual_seed(0)
    config = replace(CODEBOOK, mesh=mesh, keypoints=keypoints, dense_motion=dense)
    model = build(config).eval()
    assert isinstance(model, CodebookModel)
    recipe = Recipe("test", batch_size=2)
    batch = toy_batch(recipe, landmarks=True, flow=True)
    batch = replace(batch, driving_landmarks=batch.source_landmarks + 0.2)
    assert batch.flow is not None
    assert batch.confidence is not None
    with torch.no_grad():
        assert model.dense_motion.mask.bias is not None
        model.dense_motion.mask.bias[-1] = 9  # prefers the mesh's motion
        meshes, flow = (batch.source_landmarks, batch.driving_landmarks), batch.flow
        outputs = model.reconstruct(
            batch.source, batch.driving, meshes=meshes, flow=(flow, batch.confidence)
        )
        found = encoded(model, batch)["motion"]
        assert model.motion is not None
        (wanted, *_) = [
            step.embedding
            for step in model.compensate(
                model.encode_source(batch.source, meshes[0]), outputs.dense, outputs.driving
            )
        ]
    assert torch.allclose(found[0][1], wanted, atol=1e-5)


def test_seeded_codes_lie_among_the_data_and_more_of_them_live() -> None:
    torch.manual_seed(0)
    model = build(CODEBOOK)
    assert isinstance(model, CodebookModel)
    batch = toy_batch(Recipe("test", batch_size=4))
    before = code_use(model, [batch])
    seed_codes(model, [batch], torch.Generator().manual_seed(0))
    after = code_use(model, [batch])
    assert before.keys() == after.keys() == {"motion", "appearance"}
    assert after["motion"] > before["motion"]
    assert after["appearance"] > before["appearance"]
    assert model.motion is not None
    kept = model.motion.codebook.codes.clone()
    seed_codes(model, [batch], torch.Generator().manual_seed(1), ["appearance"])
    assert torch.equal(model.motion.codebook.codes, kept)


def test_codes_that_fell_out_of_use_are_set_to_data_little_by_little() -> None:
    torch.manual_seed(0)
    model = build(CODEBOOK)
    assert isinstance(model, CodebookModel)
    assert model.appearance is not None
    batch, codes = toy_batch(Recipe("test", batch_size=4)), model.appearance.codebook.codes
    seed_codes(model, [batch], torch.Generator().manual_seed(0))
    with torch.no_grad():
        codes[8:] = 100.0  # far from all data
    dead, before = code_use(model, [batch])["appearance"], codes.detach().clone()
    model.keypoint_detector.eval()  # as where it is not trained
    norms = {name: value.clone() for name, value in model.named_buffers()}
    revive_codes(model, batch, share=0.1)
    assert all(torch.equal(value, norms[name]) for name, value in model.named_buffers())
    assert model.training
    assert not model.keypoint_detector.training
    changed = (codes != before).any(1).nonzero()[:, 0]
    assert 0 < len(changed) <= 0.1 * len(codes) + len(model.config.appearance_codebook.scales)
    assert bool((codes[changed] < 50).all())
    for _ in range(4):
        revive_codes(model, batch, share=0.3)
    alive = code_use(model, [batch])["appearance"]
    assert alive > dead + 0.1


def test_help_for_the_motion_is_computed_and_taught() -> None:
    """Landmarks, optical flow and mask choice of the recipe for little data."""
    recipe = replace(with_landmarks(recipe_for(preset("codebook-lite"))), batch_size=2)
    torch.manual_seed(0)
    model = build(CODEBOOK)
    teacher = fit_teacher(toy_library(landmarks=True))
    one = Trainer(
        model, recipe, Objective(recipe, None, teacher), Compute(CPU), ProcessGroup(), seed=0
    )
    terms = one.train_step(toy_batch(recipe, landmarks=True, flow=True), 0, 0.0)
    helps = {"landmark_flow", "dense_flow", "mask_choice", "landmark_supervision", "warped_pyramid"}
    assert helps <= terms.keys()
    assert all(terms[name] > 0 for name in helps)


def test_what_the_source_hides_counts_more_in_the_picture_and_not_in_the_warped_source() -> None:
    recipe = replace(with_landmarks(recipe_for(preset("codebook-lite"))), batch_size=2)
    torch.manual_seed(0)
    model = build(CODEBOOK)
    teacher = fit_teacher(toy_library(landmarks=True))
    batch = toy_batch(recipe, landmarks=True, flow=True)
    folded = replace(batch, source_landmarks=batch.source_landmarks * torch.tensor([0.1, 1.0]))
    outputs = model.reconstruct(batch.source, batch.driving)
    found = {}
    for weight in (0.0, 5.0):
        objective = Objective(replace(recipe, disocclusion_weight=weight), None, teacher)
        found[weight] = objective(model, folded, outputs, 0.0)
    differing = {n for n in found[0.0] if not torch.equal(found[0.0][n], found[5.0][n])}
    assert differing == {"pyramid", "gradient", "coarse"}
    alone = Objective(replace(recipe, disocclusion_weight=5.0, motion_only=True), None, teacher)
    assert torch.equal(alone(model, folded, outputs, 0.0)["pyramid"], found[0.0]["pyramid"])


def test_landmark_supervision_ends() -> None:
    recipe = with_landmarks(recipe_for(preset("mcnet")))
    objective = Objective(recipe)
    assert objective.landmark_supervision_weight(0.0) == 1
    assert objective.landmark_supervision_weight(0.05) == pytest.approx(0.5)
    assert objective.landmark_supervision_weight(0.5) == 0
    assert Objective(RECIPES["mcnet"]).landmark_supervision_weight(0.0) == 0
