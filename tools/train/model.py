"""Spikformer for small images, written out in plain PyTorch.

The parameter names are the ones the compiler's model zoo expects
(`patch_embed...`, `block.{l}...`, `head...`). Time is in the leading dimension (neuron.py).
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn

from neuron import BN_EPS, Lif
from stem import Mask, ScsStem, SpsStem

ATTENTION_SCALE = 0.125


@dataclasses.dataclass
class Config:
    """The shape of a network; the defaults are the released model's."""

    in_channels: int = 1
    height: int = 28
    width: int = 28
    dim: int = 64
    depth: int = 2
    heads: int = 4
    mlp_ratio: int = 4
    classes: int = 10
    timesteps: int = 4
    stem: str = "scs"  # or "sps"
    stem_stages: int = 2  # each halves the resolution
    stem_convs: int = 2  # convolutions in a block of the SCS stem: 1, 2 or 3
    stem_kernel: int = 3  # their size; 1 makes the blocks linear

    @property
    def patch(self):
        return 2 ** self.stem_stages


def pointwise(x, conv, bn, lif, steps):
    """A 1x1 convolution (whatever the rank of its weight), batch norm and LIF on [T*B, C, H, W]."""
    x = F.conv2d(x, conv.weight.view(*conv.weight.shape[:2], 1, 1), conv.bias)
    x = F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, bn.training, bn.momentum, bn.eps)
    return lif(x, steps)


class Attention(nn.Module):
    """Spiking self-attention 0.125 * q (k^T v) without softmax."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        for n in "qkv":
            self.add_module(f"{n}_conv", nn.Conv1d(dim, dim, 1, bias=False))
            self.add_module(f"{n}_bn", nn.BatchNorm1d(dim, eps=BN_EPS))
            self.add_module(f"{n}_lif", Lif())
        self.attn_lif = Lif(0.5)
        self.proj_conv = nn.Conv1d(dim, dim, 1)
        self.proj_bn = nn.BatchNorm1d(dim, eps=BN_EPS)
        self.proj_lif = Lif()

    def forward(self, x, steps):
        rows, c, height, width = x.shape

        def split(y):  # [T*B, C, H, W] -> [T*B, heads, N, d]
            return y.permute(0, 2, 3, 1).reshape(rows, height * width, self.heads, -1).transpose(1, 2)

        q = split(pointwise(x, self.q_conv, self.q_bn, self.q_lif, steps))
        k = split(pointwise(x, self.k_conv, self.k_bn, self.k_lif, steps))
        v = split(pointwise(x, self.v_conv, self.v_bn, self.v_lif, steps))
        y = (q @ (k.transpose(2, 3) @ v)) * ATTENTION_SCALE
        y = y.transpose(1, 2).reshape(rows, height, width, c).permute(0, 3, 1, 2)
        y = self.attn_lif(y, steps)
        return pointwise(y, self.proj_conv, self.proj_bn, self.proj_lif, steps)


class Mlp(nn.Module):
    """Two 1x1 convolutions, dim -> ratio*dim -> dim."""

    def __init__(self, dim, ratio):
        super().__init__()
        self.fc1_conv = nn.Conv2d(dim, ratio * dim, 1)
        self.fc1_bn = nn.BatchNorm2d(ratio * dim, eps=BN_EPS)
        self.fc1_lif = Lif()
        self.fc2_conv = nn.Conv2d(ratio * dim, dim, 1)
        self.fc2_bn = nn.BatchNorm2d(dim, eps=BN_EPS)
        self.fc2_lif = Lif()

    def forward(self, x, steps):
        x = pointwise(x, self.fc1_conv, self.fc1_bn, self.fc1_lif, steps)
        return pointwise(x, self.fc2_conv, self.fc2_bn, self.fc2_lif, steps)


class Block(nn.Module):
    """One encoder block; the residual stream holds small integers (sums of spikes)."""

    def __init__(self, dim, heads, ratio):
        super().__init__()
        self.attn = Attention(dim, heads)
        self.mlp = Mlp(dim, ratio)

    def forward(self, x, steps):
        x = x + self.attn(x, steps)
        return x + self.mlp(x, steps)


class Encoder(nn.Module):
    """Stem and encoder blocks: static image [B, C, H, W] -> spike sums [T*B, dim, h, w]."""

    def __init__(self, config):
        super().__init__()
        self.config, self.steps = config, config.timesteps
        if config.stem == "scs":
            self.patch_embed = ScsStem(config.in_channels, config.dim, config.stem_stages, config.stem_convs,
                                       config.stem_kernel)
        else:
            self.patch_embed = SpsStem(config.in_channels, config.dim, config.stem_stages)
        self.block = nn.ModuleList(Block(config.dim, config.heads, config.mlp_ratio) for _ in range(config.depth))

    def initialise(self):
        for m in self.modules():
            if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(m.weight, nonlinearity="linear")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def encode(self, x, visible=None):
        """`visible`, bool [B, h, w]: the patches that the stem sees (stem.py); all of them by default."""
        mask = None if visible is None else Mask(visible)
        x = self.patch_embed(x.contiguous(memory_format=torch.channels_last), self.steps, mask)
        for block in self.block:
            x = block(x, self.steps)
        return x

    def lif_layers(self):
        """(name, layer) of every LIF layer in the order of the data flow."""
        return [(n, m) for n, m in self.named_modules() if isinstance(m, Lif)]

    def linear_bn_pairs(self):
        """(name, conv, batch norm) of every convolution that a batch norm follows."""
        modules = dict(self.named_modules())
        for name, conv in modules.items():
            bn = modules.get(name.replace("conv", "bn"))
            if isinstance(conv, (nn.Conv1d, nn.Conv2d)) and bn is not None:
                yield name, conv, bn


class Spikformer(Encoder):
    """The classifier: static image [B, C, H, W] -> logits [B, classes]."""

    def __init__(self, config):
        super().__init__(config)
        self.head = nn.Linear(config.dim, config.classes)
        self.initialise()

    def forward(self, x):
        batch = x.shape[0]
        x = self.encode(x)
        return self.head(x.mean(dim=(2, 3)).view(self.steps, batch, -1).mean(dim=0))
