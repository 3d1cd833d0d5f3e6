"""What the self-test's models need of torch, so that 32 bits and 16 are the same function."""

import pytest
import torch

from wan2gp_svi.selftest import tiny


def test_floats_are_copies(monkeypatch):
    """As WanGP's norms count on: they square what `float` gives them."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.float)  # and back afterwards
    x = torch.full((2,), 3.0)
    assert x.float() is x
    tiny.floats_are_copies()
    assert torch.equal(x.float().pow_(2), torch.full((2,), 9.0))
    assert torch.equal(x, torch.full((2,), 3.0))
    assert x.bfloat16().float().dtype == torch.float32


@pytest.mark.parametrize("locked", [torch.float32, None])
def test_a_layer_has_the_precision_that_it_is_locked_to(locked):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)).bfloat16()
    if locked is not None:
        model[0]._lock_dtype = locked
    tiny.locked_as_told(model)
    assert [layer.weight.dtype for layer in model] == [locked or torch.bfloat16, torch.bfloat16]
