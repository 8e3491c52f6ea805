"""A linear layer that reads its weights at the memory's speed when there is a single token.

Generating one token at a time, a layer multiplies its matrix by *one* vector: every weight is
read once and used once, so the time is that of reading the weights. On many processors torch's
float32 product of a matrix and a vector runs on one core and takes twice as long as reading;
numpy's BLAS gets near the limit. The function computed is the same to float rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Below this many weights the matrix sits in the cache, and the call's own cost decides.
LARGE = 1 << 17


class Linear(nn.Linear):
    """``nn.Linear``, ``(..., C_in)`` to ``(..., C_out)``, with the right product for one vector."""

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() == self.in_features and self.weight.numel() >= LARGE and self._plain(x):
            product = self.weight.detach().numpy() @ x.detach().numpy().reshape(-1)
            y = torch.from_numpy(product).view(*x.shape[:-1], self.out_features)
            return y if self.bias is None else y.add_(self.bias)
        return F.linear(x, self.weight, self.bias)

    def _plain(self, x: Tensor) -> bool:
        """Whether x is float32 on the CPU and nobody else is watching: no gradient, no autocast."""
        return (
            torch.is_inference_mode_enabled()
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
        )
