"""Low-rank updates of linear layers (arXiv 2106.09685), as parametrisations of their weights."""

import torch
from torch import nn
from torch.nn.utils import parametrize

_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LowRankUpdate(nn.Module):
    """W0 + (alpha / rank) * B @ A, with B zero at first."""

    def __init__(self, weight: torch.Tensor, rank: int, alpha: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.scale = alpha / rank
        self.a = nn.Parameter(weight.new_empty(rank, columns).normal_(std=columns**-0.5))
        self.b = nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The updated weight, (rows, columns)."""
        return weight + self.scale * (self.b @ self.a)


def add_updates(language_model: nn.Module, rank: int, alpha: int) -> list[nn.Parameter]:
    """Give each of the seven projections of every layer an update; returns the factors, to be trained."""
    factors = []
    for name, module in list(language_model.named_modules()):
        if name.endswith(_TARGETS):
            update = LowRankUpdate(module.weight, rank, alpha)
            parametrize.register_parametrization(module, "weight", update)
            factors += [update.a, update.b]
    return factors


def remove_updates(language_model: nn.Module) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Restore the weights W0; returns projection name -> (A, B), (rank, columns) and (rows, rank)."""
    updates = {}
    for name, module in list(language_model.named_modules()):
        if name.endswith(_TARGETS) and parametrize.is_parametrized(module, "weight"):
            update = module.parametrizations.weight[0]
            updates[name] = (update.a.detach(), update.b.detach())
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    return updates
