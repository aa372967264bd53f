"""The rival of IQ-Learn's speed comparison, in PyTorch, which is in no lock."""

import sys

import pytest

from benchmarks.iq_learn_torch import UPDATES, updates_per_second


def test_pytorch_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        updates_per_second("discrete", 0.1)
    with pytest.raises(ValueError, match="which is 'both'"):
        updates_per_second("both", 0.1)


@pytest.mark.parametrize("which", sorted(UPDATES))
def test_an_update_lowers_the_loss(which):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (it is not in requirements.lock)")
    torch.manual_seed(0)
    update = UPDATES[which](torch)
    losses = [update().item() for _ in range(500)]
    assert sum(losses[-50:]) < sum(losses[:50])
