"""Layers rewritten for drawing give what the published layers give."""

from __future__ import annotations

import copy

import pytest
import torch
from miniatures import FAMILIES, TOY, mini_config
from torch import nn

from talkhead.config import ModelConfig
from talkhead.inference.cached_codes import CodeReader, token_linear
from talkhead.inference.fusion import doubling_convolution, fold
from talkhead.models import Network, build
from talkhead.models.autoencoder import Upsample
from talkhead.models.blocks import UpBlock
from talkhead.models.compensation import CodeAttentionLayer
from talkhead.models.grid import resize, resize_thinned, thin
from talkhead.structs import Keypoints

MODELS = {family: mini_config(family) for family in FAMILIES}


def trained(config: ModelConfig) -> Network:
    """A model whose norms have statistics that matter."""
    torch.manual_seed(0)
    model = build(config)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    for name, parameter in model.named_parameters():
        if name.endswith(("position", "codes")):  # which start where they do nothing
            nn.init.normal_(parameter, std=0.5)
    return model.eval().requires_grad_(False)


def test_transposed_convolution_equals_doubling_and_convolution() -> None:
    torch.manual_seed(0)
    plain = Upsample(5).requires_grad_(False)
    x = torch.randn(2, 5, 7, 4)  # borders count: the picture is small
    torch.testing.assert_close(doubling_convolution(plain.conv)(x), plain(x))


@pytest.mark.parametrize("family", FAMILIES)
def test_folded_model_finds_and_draws_the_same(family: str) -> None:
    plain = trained(MODELS[family])
    folded = copy.deepcopy(plain)
    fold(folded)
    source, driving = torch.rand(1, 3, 64, 64), torch.rand(2, 3, 64, 64)
    found, same = plain.detect(driving), folded.detect(driving)
    torch.testing.assert_close(same.value, found.value, rtol=1e-4, atol=1e-5)
    moved = Keypoints(found.value + 0.1, found.jacobian)
    drawn = plain.render(plain.encode_source(source), moved)
    again = folded.render(folded.encode_source(source), moved)
    assert drawn.std() > 0.01
    torch.testing.assert_close(again, drawn, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_token_linear_is_linear(threads: int) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(12, 7).requires_grad_(False)
    x = torch.randn(2, 9, 12)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)  # with several it is done by convolution
    try:
        own = token_linear(plain.weight, plain.bias)
        found = own(x)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, plain(x))
    assert found.is_contiguous()  # as attention wants it: four times slower otherwise


@pytest.mark.parametrize("masked", [False, True])
def test_reading_known_codes_equals_attending_to_them(masked: bool) -> None:
    torch.manual_seed(0)
    layer = CodeAttentionLayer(8, 2).requires_grad_(False)
    for name, parameter in layer.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    position, codes = torch.randn(16, 8), torch.randn(6, 8)
    x = torch.randn(3, 16, 8)
    mask = (torch.rand(3, 1, 1, 16) > 0.3) if masked else None
    reader = CodeReader(layer, position, codes)
    for number in (2, 6):
        arguments = (x, position, codes[:number], 4, mask)
        torch.testing.assert_close(reader(*arguments), layer(*arguments), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("whole", "size"), [(64, 16), (48, 16), (32, 16), (16, 16), (8, 16)])
def test_changing_only_the_pixels_that_are_looked_at_equals_changing_all(
    whole: int, size: int
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, whole, whole)
    narrow = thin(x, size)
    assert narrow.shape[-1] == min(whole, 2 * size)
    after = resize_thinned(narrow.relu(), whole, size)
    torch.testing.assert_close(after, resize(x.relu(), (size, size)))


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_left_to_fold(family: str) -> None:
    model = trained(MODELS[family])
    fold(model)
    assert not any(isinstance(module, UpBlock | Upsample) for module in model.modules())
    left = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    # Norms before an activation and a convolution cannot be folded into either.
    assert all(name.endswith("norm1") for name in left), left


def test_a_model_that_is_folded_already_stays_as_it_is() -> None:
    model = build(TOY).eval()
    fold(model)
    before = [type(module) for module in model.modules()]
    fold(model)
    assert [type(module) for module in model.modules()] == before
