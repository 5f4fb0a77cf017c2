"""Both ways of attending give the same answer."""

import torch
import torch.nn.functional as F

from talkhead.models.attention import attend


def test_attention_in_steps_equals_the_fused_kernel():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, n, 8) for n in (12, 20, 20))
    mask = torch.rand(2, 1, 1, 20) > 0.3
    expected = F.scaled_dot_product_attention(query, key, value, mask)
    in_half = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), mask)  # with gradients on
    torch.testing.assert_close(in_half.float(), expected, rtol=0.02, atol=0.02)
    assert torch.equal(attend(query, key, value, mask), expected)
