"""Muon: momentum whose update is made orthogonal, for matrices and convolutions.

After Keller Jordan, https://kellerjordan.github.io/posts/muon/ ; the scale is that of Liu et al., arXiv:2502.16982,
which gives its updates the size of AdamW's, so that one learning rate serves both.
"""

import torch
from torch import Tensor, nn


def orthogonal(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Return the matrices (n x rows x columns) with all singular values brought near 1, by Newton-Schulz."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT.contiguous()
    x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).bfloat16()
    for _ in range(iterations):
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """The optimizer of matrices and convolutions; the first dimension is the rows, the rest the columns."""

    def __init__(
        self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            # Matrices of one shape go together: fewer, larger products.
            shapes: dict[tuple[int, int], list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                shapes.setdefault((len(parameter), parameter[0].numel()), []).append(parameter)
            for (rows, columns), parameters in shapes.items():
                moved = []
                for parameter in parameters:
                    momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                    momentum.lerp_(parameter.grad, 1 - group["momentum"])
                    moved.append(parameter.grad.lerp(momentum, group["momentum"]).view(rows, columns))
                scale = 0.2 * max(rows, columns) ** 0.5
                for parameter, update in zip(parameters, orthogonal(torch.stack(moved)), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)
