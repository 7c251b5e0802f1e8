"""The masked autoencoder that pre-trains the spiking encoder (He et al., arXiv 2111.06377, with a masked
convolutional stem).

Masked patches stay at zero in the stem (stem.py). All tokens of the grid pass the encoder blocks, then a small
ordinary decoder reconstructs the pixels of every patch; the loss is taken on the masked ones.

Names: the encoder's as in model.py; `mask_token`, `decoder_embed`, `decoder_pos_embed`, `decoder_blocks.{l}`,
`decoder_norm`, `decoder_pred`.
"""

import torch
import torch.nn.functional as F
from torch import nn

from model import Encoder

NORM_EPS = 1e-6  # of the layer norms, and of the variance where pixels are normalised per patch


def position_table(dim, height, width):
    """Sine-cosine positions [1, height*width, dim], tokens row by row.

    With n = dim/4 and w_k = 10000^(-k/n), k = 0..n-1, the token in row y and column x has
    [sin(x w_k)] [cos(x w_k)] [sin(y w_k)] [cos(y w_k)], computed in double precision.
    """
    omega = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    x, y = x.flatten()[:, None] * omega, y.flatten()[:, None] * omega
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], 1).float()[None]


def patches(images, p):
    """[B, C, H, W] -> [B, N, p*p*C]; tokens row by row, in a patch rows, columns, channels (channel fastest)."""
    b, c, height, width = images.shape
    x = images.view(b, c, height // p, p, width // p, p)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, p * p * c)


class DecoderAttention(nn.Module):
    """Softmax attention; the rows of qkv are q, k, v, each head-major."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * (d // self.heads) ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, d))


class DecoderMlp(nn.Module):
    def __init__(self, dim, ratio):
        super().__init__()
        self.fc1 = nn.Linear(dim, ratio * dim)
        self.fc2 = nn.Linear(ratio * dim, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class DecoderBlock(nn.Module):
    """Pre-norm transformer block with exact (erf) GELU."""

    def __init__(self, dim, heads, ratio):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = DecoderAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = DecoderMlp(dim, ratio)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class MaskedAutoencoder(Encoder):
    """image [B, C, H, W] and mask bool [B, N] (True: hidden) -> predicted pixels [B, N, p*p*C]."""

    def __init__(self, config, dim=64, depth=2, heads=4, ratio=4):
        super().__init__(config)
        self.initialise()
        self.grid = (config.height // config.patch, config.width // config.patch)
        self.decoder_embed = nn.Linear(config.dim, dim)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.register_buffer("decoder_pos_embed", position_table(dim, *self.grid))
        self.decoder_blocks = nn.ModuleList(DecoderBlock(dim, heads, ratio) for _ in range(depth))
        self.decoder_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.decoder_pred = nn.Linear(dim, config.patch**2 * config.in_channels)
        for m in [self.decoder_embed, self.decoder_pred, *self.decoder_blocks.modules()]:
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.zeros_(m.bias)

    def forward(self, image, mask):
        batch = len(image)
        x = self.encode(image, ~mask.view(batch, *self.grid))
        x = x.view(self.steps, batch, self.config.dim, -1).mean(0).transpose(1, 2)
        x = torch.where(mask[..., None], self.mask_token, self.decoder_embed(x))
        x = x + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x))

    def loss(self, image, mask, normalise_patches=False):
        """Mean squared error over the pixels of masked patches, and the prediction."""
        target = patches(image, self.config.patch)
        if normalise_patches:
            target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + NORM_EPS) ** 0.5
        prediction = self(image, mask)
        return F.mse_loss(prediction[mask], target[mask]), prediction


def random_mask(batch, tokens, ratio, generator):
    """bool [B, N] with round(ratio * N) True in every row."""
    order = torch.rand(batch, tokens, generator=generator).argsort(1)
    return torch.zeros(batch, tokens, dtype=torch.bool).scatter_(1, order[:, : round(ratio * tokens)], True)
