"""The quick gradient of group norm is the library's gradient."""

import torch
from torch import nn

from talkhead.models.group_norm import GroupNorm


def gradients(norm, x, dy):
    x = x.clone().requires_grad_()
    norm.zero_grad()
    norm(x).backward(dy.to(x.dtype))
    return x.grad, norm.weight.grad.clone(), norm.bias.grad.clone()


def test_half_precision_gradients_are_the_true_ones_to_a_hundredth():
    torch.manual_seed(0)
    own = GroupNorm(4, 16)
    nn.init.uniform_(own.weight, 0.5, 2.0)
    nn.init.normal_(own.bias)
    x, dy = torch.randn(3, 16, 20, 24) * 2 + 1, torch.randn(3, 16, 20, 24)
    found = gradients(own, x.bfloat16(), dy)
    true = gradients(own.double(), x.double(), dy)
    for ours, exact in zip(found, true, strict=True):
        assert (ours - exact).abs().mean() < 0.01 * exact.abs().mean()


def test_in_float32_it_is_the_librarys_own():
    norm = GroupNorm(2, 4)
    x, dy = torch.randn(2, 4, 6, 6), torch.randn(2, 4, 6, 6)
    library = nn.GroupNorm(2, 4)
    for ours, theirs in zip(gradients(norm, x, dy), gradients(library, x, dy), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_it_learns_from_what_needs_no_gradient_also_with_the_channels_last():
    norm = GroupNorm(2, 4)
    x, dy = torch.randn(2, 4, 6, 6), torch.randn(2, 4, 6, 6)
    _, *expected = gradients(nn.GroupNorm(2, 4), x, dy)
    norm(x.contiguous(memory_format=torch.channels_last)).backward(dy)
    for ours, theirs in zip((norm.weight.grad, norm.bias.grad), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
