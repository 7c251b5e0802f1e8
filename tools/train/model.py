"""Spikformer V2 for small grey images, written out in plain PyTorch.

The parameter names are the ones the compiler's model zoo expects
(`patch_embed.stage{i}...`, `block.{l}...`, `head...`).

All activations carry time in the leading dimension: a tensor of T time steps and B images
has T*B rows, step-major, so convolutions and batch norms treat time as more batch.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

BN_EPS = 1e-5
ATTENTION_SCALE = 0.125


class LifFunction(torch.autograd.Function):
    """Leaky integrate-and-fire over T steps, tau 2, decayed input, hard reset to 0.

        H[t] = V[t-1] + (X[t] - V[t-1]) * 0.5
        S[t] = H[t] >= v_th
        V[t] = 0 where S[t], else H[t]

    Backward uses the arctangent surrogate 1 / (1 + (pi * (H - v_th))^2) for dS/dH and does not
    differentiate through the reset.
    """

    @staticmethod
    def forward(ctx, x, steps, v_th):
        ctx.steps, ctx.v_th = steps, v_th
        if steps == 1:
            h = x * 0.5
            ctx.save_for_backward(h)
            return (h >= v_th).to(x.dtype)
        h, spikes = torch.empty_like(x), torch.empty_like(x)
        v = None
        for x_t, h_t, s_t in zip(x.chunk(steps), h.chunk(steps), spikes.chunk(steps)):
            if v is None:
                torch.mul(x_t, 0.5, out=h_t)
            else:
                torch.sub(x_t, v, out=h_t)
                h_t.mul_(0.5).add_(v)
            torch.ge(h_t, v_th, out=s_t)
            v = h_t * (1.0 - s_t)
        ctx.save_for_backward(h)
        return spikes

    @staticmethod
    def backward(ctx, grad_spikes):
        (h,) = ctx.saved_tensors
        u = (h - ctx.v_th).mul_(math.pi)
        grad = grad_spikes / u.mul_(u).add_(1.0)
        if ctx.steps > 1:
            carried = None  # gradient that step t+1 sends into V[t]
            for g_t, h_t in zip(reversed(grad.chunk(ctx.steps)), reversed(h.chunk(ctx.steps))):
                if carried is not None:
                    g_t.add_(carried.mul_(h_t < ctx.v_th))
                carried = g_t * 0.5
        return grad.mul_(0.5), None, None


class Lif(nn.Module):
    """A LIF layer. `rate` collects mean spikes when `count` is set."""

    def __init__(self, v_th=1.0):
        super().__init__()
        self.v_th, self.count, self.spikes, self.neurons = v_th, False, 0.0, 0

    def forward(self, x, steps):
        s = LifFunction.apply(x, steps, self.v_th)
        if self.count:
            self.spikes += float(s.sum(dtype=torch.float64))
            self.neurons += s.numel()
        return s

    @property
    def rate(self):
        return self.spikes / max(self.neurons, 1)


class StemBlock(nn.Module):
    """conv3x3 C->4C, conv3x3 4C->C, each with batch norm and LIF; the spikes are added to x."""

    def __init__(self, channels, ratio=4):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, ratio * channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(ratio * channels, eps=BN_EPS)
        self.lif1 = Lif()
        self.conv2 = nn.Conv2d(ratio * channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels, eps=BN_EPS)
        self.lif2 = Lif()

    def forward(self, x, steps):
        h = self.lif1(self.bn1(self.conv1(x)), steps)
        return x + self.lif2(self.bn2(self.conv2(h)), steps)


class Stage(nn.Module):
    """Halves the resolution (conv k2 s2), then one StemBlock."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.down_conv = nn.Conv2d(c_in, c_out, 2, stride=2, bias=False)
        self.down_bn = nn.BatchNorm2d(c_out, eps=BN_EPS)
        self.down_lif = Lif()
        self.block0 = StemBlock(c_out)

    def forward(self, x, steps, static=False):
        x = self.down_bn(self.down_conv(x))
        if static:  # the same image at every step: convolve once, repeat the result
            x = x.repeat(steps, 1, 1, 1) if steps > 1 else x
        return self.block0(self.down_lif(x, steps), steps)


class PatchEmbed(nn.Module):
    """The convolutional stem: channels dim/2 then dim for two stages (dim/2^(n-1) .. dim)."""

    def __init__(self, in_channels, dim, stages):
        super().__init__()
        self.names = []
        c = in_channels
        for i in range(stages):
            c_out = dim >> (stages - 1 - i)
            self.names.append(f"stage{i}")
            self.add_module(f"stage{i}", Stage(c, c_out))
            c = c_out

    def forward(self, x, steps):
        for i, name in enumerate(self.names):
            x = getattr(self, name)(x, steps, static=i == 0)
        return x


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


class SpikformerV2(nn.Module):
    """The whole network: static image [B, C, H, W] -> logits [B, classes]."""

    def __init__(self, in_channels=1, dim=64, stem_stages=2, depth=2, heads=4, mlp_ratio=4, classes=10, steps=4):
        super().__init__()
        self.steps = steps
        self.patch_embed = PatchEmbed(in_channels, dim, stem_stages)
        self.block = nn.ModuleList(Block(dim, heads, mlp_ratio) for _ in range(depth))
        self.head = nn.Linear(dim, classes)
        for m in self.modules():
            if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(m.weight, nonlinearity="linear")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def forward(self, x):
        batch, steps = x.shape[0], self.steps
        x = self.patch_embed(x.contiguous(memory_format=torch.channels_last), steps)
        for block in self.block:
            x = block(x, steps)
        return self.head(x.mean(dim=(2, 3)).view(steps, batch, -1).mean(dim=0))

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
