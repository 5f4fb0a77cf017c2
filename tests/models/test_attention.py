"""All ways of attending give the same answer."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.models import attention
from talkhead.models.attention import DrawingAttention, SoftmaxAttention


def inputs(heads: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query, key, value and mask of two items; tokens as they come out of a projection."""
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(2, n, heads, 8).transpose(1, 2) for n in (12, 20, 20)
    )  # fmt: skip
    return query, key, value, torch.rand(2, 1, 1, 20) > 0.3


def test_attention_in_steps_equals_the_fused_kernel() -> None:
    query, key, value, mask = inputs(heads=2)
    expected = F.scaled_dot_product_attention(query, key, value, mask)
    attend = SoftmaxAttention()
    in_half = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), mask)  # with gradients on
    torch.testing.assert_close(in_half.float(), expected, rtol=0.02, atol=0.02)
    assert torch.equal(attend(query, key, value, mask), expected)


@pytest.mark.parametrize("heads", [1, 2, 3, 8])
@pytest.mark.parametrize("strip", [64, attention.STRIP])
@pytest.mark.parametrize("scale", [None, 0.25])
def test_attention_for_drawing_equals_the_fused_kernel(
    monkeypatch: pytest.MonkeyPatch, heads: int, strip: int, scale: float | None
) -> None:
    monkeypatch.setattr(attention, "STRIP", strip)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    query, key, value, mask = inputs(heads)
    key = key[:1].expand(2, -1, -1, -1)  # what all items attend to, without copies
    attend = DrawingAttention(scale)
    with torch.inference_mode():
        assert attention.by_pixel(query)
        for given in (None, mask):
            expected = F.scaled_dot_product_attention(query, key, value, given, scale=scale)
            torch.testing.assert_close(attend(query, key, value, given), expected)


def test_attention_for_drawing_leaves_other_precisions_to_the_fused_kernel() -> None:
    query, key, value, _ = (x.to(torch.bfloat16) for x in inputs(heads=2))
    with torch.inference_mode():
        assert not attention.by_pixel(query)
        expected = F.scaled_dot_product_attention(query, key, value)
        assert torch.equal(DrawingAttention()(query, key, value), expected)
