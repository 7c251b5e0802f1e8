"""The convolutional stems: SCS of Spikformer V2 with its variants, SPS of Spikformer V1.

Both turn [T*B, C, H, W] into [T*B, dim, h, w]. Names of parameters are the zoo's
(`patch_embed.stage{i}...` and `patch_embed.proj_conv{i}...`).

A mask hides patches: `visible` is a [B, h, w] bool tensor on the token grid. Where it is False, the current
into every neuron of the stem is zero in every step, so nothing is fired there, and convolutions of the visible
places see zeros. Batch norm in training takes its statistics from visible places alone, so that they stay
those of whole images.
"""

import torch
import torch.nn.functional as F
from torch import nn

from neuron import BN_EPS, Lif


class Mask:
    """Where places are visible, as row indices into the NHWC view, for every resolution that is asked for."""

    def __init__(self, visible):
        self.visible, self.found = visible, {}

    def rows(self, images, height):
        """Indices of visible places of [images, height, *] maps; `images` is a multiple of the batch (time first)."""
        if (images, height) not in self.found:
            scale = height // self.visible.shape[1]
            v = self.visible.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
            v = v.repeat(images // len(v), 1, 1)
            self.found[images, height] = v.flatten().nonzero().flatten()
        return self.found[images, height]


def conv_sn(x, conv, bn, lif, steps, mask=None, repeat=1):
    """Convolution, batch norm, LIF; `repeat` copies of the current, one per step, where x is the same in all."""
    x = conv(x)
    if mask is None:
        x = bn(x)
        return lif(x.repeat(repeat, 1, 1, 1) if repeat > 1 else x, steps)
    images, channels, height, width = x.shape
    places = x.permute(0, 2, 3, 1).reshape(-1, channels)[mask.rows(images, height)]
    places = F.batch_norm(places, bn.running_mean, bn.running_var, bn.weight, bn.bias, bn.training,
                          bn.momentum, bn.eps)
    spikes = lif(places.repeat(repeat, 1) if repeat > 1 else places, steps)
    out = x.new_zeros(images * repeat * height * width, channels)
    out = out.index_copy(0, mask.rows(images * repeat, height), spikes)
    return out.view(images * repeat, height, width, channels).permute(0, 3, 1, 2)


class StemBlock(nn.Module):
    """`convs` convolutions C -> ratio C -> ... -> C, each with batch norm and LIF; the spikes are added to x.

    Spikformer V2 has two of them with 3x3 kernels and ratio 4. Kernel 1 makes it a linear (MLP) block.
    """

    def __init__(self, channels, convs=2, kernel=3, ratio=4):
        super().__init__()
        self.convs = convs
        for i in range(1, convs + 1):
            c_in, c_out = channels * (ratio if i > 1 else 1), channels * (ratio if i < convs else 1)
            self.add_module(f"conv{i}", nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(c_out, eps=BN_EPS))
            self.add_module(f"lif{i}", Lif())

    def forward(self, x, steps, mask=None):
        h = x
        for i in range(1, self.convs + 1):
            h = conv_sn(h, *(getattr(self, f"{layer}{i}") for layer in ("conv", "bn", "lif")), steps, mask)
        return x + h


class Stage(nn.Module):
    """Halves the resolution (conv k2 s2), then one StemBlock."""

    def __init__(self, c_in, c_out, convs, kernel):
        super().__init__()
        self.down_conv = nn.Conv2d(c_in, c_out, 2, stride=2, bias=False)
        self.down_bn = nn.BatchNorm2d(c_out, eps=BN_EPS)
        self.down_lif = Lif()
        self.block0 = StemBlock(c_out, convs, kernel)

    def forward(self, x, steps, mask=None, repeat=1):
        x = conv_sn(x, self.down_conv, self.down_bn, self.down_lif, steps, mask, repeat)
        return self.block0(x, steps, mask)


class ScsStem(nn.Module):
    """Spikformer V2: channels dim/2 then dim for two stages (dim/2^(n-1) .. dim)."""

    def __init__(self, in_channels, dim, stages=2, convs=2, kernel=3):
        super().__init__()
        self.names = [f"stage{i}" for i in range(stages)]
        for i, name in enumerate(self.names):
            c_out = dim >> (stages - 1 - i)
            self.add_module(name, Stage(in_channels, c_out, convs, kernel))
            in_channels = c_out

    def forward(self, x, steps, mask=None):
        for i, name in enumerate(self.names):  # the same image at every step: convolved once, repeated after
            x = getattr(self, name)(x, steps, mask, repeat=steps if i == 0 else 1)
        return x


class SpsStem(nn.Module):
    """Spikformer V1: four stages conv k3, batch norm, LIF of dim/8 .. dim channels, the last `stages` of them
    followed by a max pooling 3x3 s2; then a convolution with a shortcut (relative position embedding)."""

    def __init__(self, in_channels, dim, stages=2):
        super().__init__()
        self.pools = stages
        for i, suffix in enumerate(("", "1", "2", "3")):
            c_out = dim >> (3 - i)
            self.add_module(f"proj_conv{suffix}", nn.Conv2d(in_channels, c_out, 3, padding=1, bias=False))
            self.add_module(f"proj_bn{suffix}", nn.BatchNorm2d(c_out, eps=BN_EPS))
            self.add_module(f"proj_lif{suffix}", Lif())
            in_channels = c_out
        self.rpe_conv = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.rpe_bn = nn.BatchNorm2d(dim, eps=BN_EPS)
        self.rpe_lif = Lif()

    def forward(self, x, steps, mask=None):
        if mask is not None:
            raise ValueError("patches are masked in the SCS stem only")
        for i, suffix in enumerate(("", "1", "2", "3")):
            layers = (getattr(self, f"proj_{layer}{suffix}") for layer in ("conv", "bn", "lif"))
            x = conv_sn(x, *layers, steps, repeat=steps if i == 0 else 1)
            if i >= 4 - self.pools:
                x = F.max_pool2d(x, 3, 2, 1)
        return x + conv_sn(x, self.rpe_conv, self.rpe_bn, self.rpe_lif, steps)
