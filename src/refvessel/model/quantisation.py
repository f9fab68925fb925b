"""The weights of the language model's linear layers in 8 bits; activations keep their precision.

Each output channel has a scale: its largest weight is 127 (int8) or 448 (float8_e4m3fn). Both kinds of number are
exact in bfloat16, so a matmul is that of the stored weights, and the scale is applied to its result. Embeddings
and the output layer stay as they are: one is looked up, not multiplied, and the other's logits decide which token
follows, where a small error can change a whole answer; together they are a small share of the weights.
"""

import re

import torch
from torch import nn
from torch.nn import functional

FLOAT8_PRODUCTS = "float8-products"  # of which also states are rounded, to be multiplied so
LANGUAGE_WEIGHTS = {
    "int8": torch.int8,
    "float8": torch.float8_e4m3fn,
    FLOAT8_PRODUCTS: torch.float8_e4m3fn,
}
LANGUAGE_LINEAR = re.compile(r"language_model\.model\.layers\.\d+\.\w+\.\w+_proj\.weight")
_LARGEST = {torch.int8: 127, torch.float8_e4m3fn: 448}


class QuantisedLinear(nn.Module):
    """A linear layer with 8-bit weights, in the place of a given one.

    weight: int8 or float8_e4m3fn (out, in).
    scale: float32 (out,), what 1 stands for in each row of `weight`.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        weight = torch.empty_like(linear.weight, dtype=dtype)
        scale = torch.empty(linear.out_features, dtype=torch.float32, device=weight.device)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.bias = linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out), in the precision of the input."""
        if inputs.dtype == torch.float16:  # whose range is too small for results without their scale
            weight = (self.weight.float() * self.scale[:, None]).half()
            return functional.linear(inputs, weight, self.bias)
        outputs = functional.linear(inputs, self.weight.to(inputs.dtype)) * self.scale  # float32
        return (outputs if self.bias is None else outputs + self.bias).to(inputs.dtype)


def quantise(weight: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest 8-bit weights and their scales.

    Args:
        weight: float32 (out, in); a row that is not finite has a scale that is not.
        dtype: torch.int8 or torch.float8_e4m3fn.

    Returns:
        `dtype` (out, in) and float32 (out,)
    """
    largest = _LARGEST[dtype]
    scale = weight.abs().amax(dim=1) / largest
    scale = torch.where(scale == 0, 1, scale)
    steps = weight / scale[:, None]
    if not dtype.is_floating_point:
        steps = steps.round()
    return steps.clamp(-largest, largest).to(dtype), scale


def quantise_linear_layers(layers: nn.ModuleList, dtype: torch.dtype) -> None:
    """Put a layer with 8-bit weights, as yet without values, in the place of each linear one."""
    for layer in layers:
        for name, module in list(layer.named_modules()):
            if isinstance(module, nn.Linear):
                layer.set_submodule(name, QuantisedLinear(module, dtype))
