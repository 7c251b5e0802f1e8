"""The masked autoencoder of docs/language.md in PyTorch, written from its formulas: random weights, and
what the network gives. Nothing of it is read from the project's own files.

All currents of spiking neurons keep a distance from the threshold that rounding cannot bridge (`margin`),
so two correct float implementations fire the same spikes."""
import numpy as np
import torch
import torch.nn.functional as F

BN_EPS = 1e-5


def config(**changes):
    c = {"height": 16, "width": 16, "in_channels": 2, "dim": 16, "depth": 2, "heads": 2,
         "mlp_ratio": 2, "timesteps": 1, "attn_scale": 0.25, "stages": 2, "decoder_dim": 16,
         "decoder_depth": 2, "decoder_heads": 4, "decoder_mlp_ratio": 3, "normalise_patches": True}
    c.update(changes)
    return c


def settings(c):
    return [x for k, v in c.items()
            for x in ("--set", f"{k}={str(v).lower() if isinstance(v, bool) else v}")]


class Weights:
    """Random tensors by name, made when first asked for."""

    def __init__(self, seed):
        self.rng, self.tensors = np.random.default_rng(seed), {}

    def get(self, name, *shape, scale=1.0, mean=0.0, low=None):
        if name not in self.tensors:
            x = self.rng.normal(mean, scale, shape) if low is None else self.rng.uniform(low, mean, shape)
            self.tensors[name] = x.astype(np.float32)
        return torch.from_numpy(self.tensors[name])


def positions(dim, height, width):
    """Sines and cosines of the column, then of the row, with dim / 4 frequencies each."""
    w = 1.0 / 10000 ** (np.arange(dim // 4) / (dim // 4))
    y, x = np.mgrid[0:height, 0:width].reshape(2, -1, 1) * 1.0
    table = np.concatenate([np.sin(x * w), np.cos(x * w), np.sin(y * w), np.cos(y * w)], 1)
    return table[None].astype(np.float32)


class Autoencoder:
    def __init__(self, c, seed):
        self.c, self.w, self.margin = c, Weights(seed), np.inf
        self.grid = (c["height"] >> c["stages"], c["width"] >> c["stages"])
        self.w.tensors["decoder_pos_embed"] = positions(c["decoder_dim"], *self.grid)

    def lif(self, current, threshold=1.0, exact=False):
        """[T, ...] of currents to spikes; T in front. Exact currents need no margin."""
        v, out = torch.zeros_like(current[0]), []
        for x in current:
            v = v + (x - v) / 2.0
            if not exact:
                self.margin = min(self.margin, (v - threshold).abs().min().item())
            s = (v >= threshold).float()
            v = v * (1 - s)
            out.append(s)
        return torch.stack(out)

    def norm(self, x, name):
        n = x.shape[1]
        return F.batch_norm(x, self.w.get(f"{name}.running_mean", n, scale=0.3),
                            self.w.get(f"{name}.running_var", n, mean=1.5, low=0.5),
                            self.w.get(f"{name}.weight", n, mean=2.5, low=1.0),
                            self.w.get(f"{name}.bias", n, scale=0.5), False, 0.1, BN_EPS)

    def conv_sn(self, x, name, out, kernel, stride, visible):
        """x [T, B, C, H, W]; name has a place for conv, bn."""
        t, b, c = x.shape[:3]
        weight = self.w.get(name % "conv" + ".weight", out, c, kernel, kernel,
                            scale=1.5 / (c * kernel * kernel) ** 0.5)
        y = F.conv2d(x.flatten(0, 1), weight, None, stride, kernel // 2 if stride == 1 else 0)
        y = self.norm(y, name % "bn")
        scale = y.shape[-1] // visible.shape[-1]
        v = visible.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
        return self.lif(y.view(t, b, *y.shape[1:]) * v[None, :, None])

    def linear_sn(self, x, name, out, bias):
        """x [T, B, C, N]."""
        t, b, c, n = x.shape
        weight = self.w.get(name % "conv" + ".weight", out, c, 1, scale=1.5 / c ** 0.5)
        y = F.conv1d(x.flatten(0, 1), weight,
                     self.w.get(name % "conv" + ".bias", out, scale=0.2) if bias else None)
        return self.lif(self.norm(y, name % "bn").view(t, b, out, n))

    def encode(self, image, visible):
        c = self.c
        x = image[None].repeat(c["timesteps"], 1, 1, 1, 1)
        for i in range(c["stages"]):
            out, p = c["dim"] >> (c["stages"] - 1 - i), f"patch_embed.stage{i}."
            x = self.conv_sn(x, p + "down_%s", out, 2, 2, visible)
            h = self.conv_sn(x, p + "block0.%s1", 4 * out, 3, 1, visible)
            x = x + self.conv_sn(h, p + "block0.%s2", out, 3, 1, visible)
        x = x.flatten(3)
        for l in range(c["depth"]):
            p = f"block.{l}.attn."
            q, k, v = (self.linear_sn(x, p + n + "_%s", c["dim"], False) for n in "qkv")
            t, b, d, n = q.shape
            q, k, v = (y.view(t, b, c["heads"], d // c["heads"], n) for y in (q, k, v))
            y = torch.einsum("tbhin,tbhim,tbhjm->tbhjn", q, k, v) * c["attn_scale"]
            y = self.lif(y.reshape(t, b, d, n), 0.5, exact=True)
            x = x + self.linear_sn(y, p + "proj_%s", d, True)
            p = f"block.{l}.mlp."
            h = self.linear_sn(x, p + "fc1_%s", d * c["mlp_ratio"], True)
            x = x + self.linear_sn(h, p + "fc2_%s", d, True)
        return x

    def linear(self, x, name, out):
        return F.linear(x, self.w.get(name + ".weight", out, x.shape[-1], scale=x.shape[-1] ** -0.5),
                        self.w.get(name + ".bias", out, scale=0.1))

    def layernorm(self, x, name):
        n = x.shape[-1]
        return F.layer_norm(x, (n,), self.w.get(name + ".weight", n, mean=1.5, low=0.5),
                            self.w.get(name + ".bias", n, scale=0.1), 1e-6)

    def decode(self, x, mask):
        """x [B, N, D], mask bool [B, N]."""
        c = self.c
        x = self.linear(x, "decoder_embed", c["decoder_dim"])
        token = self.w.get("mask_token", 1, 1, c["decoder_dim"])
        x = torch.where(mask[..., None], token, x) + self.w.get("decoder_pos_embed")
        for l in range(c["decoder_depth"]):
            p = f"decoder_blocks.{l}."
            y = self.linear(self.layernorm(x, p + "norm1"), p + "attn.qkv", 3 * x.shape[-1])
            b, n, d = x.shape
            q, k, v = (z.view(b, n, c["decoder_heads"], -1).transpose(1, 2) for z in y.chunk(3, -1))
            weights = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)
            y = (weights @ v).transpose(1, 2).reshape(b, n, d)
            x = x + self.linear(y, p + "attn.proj", d)
            h = F.gelu(self.linear(self.layernorm(x, p + "norm2"), p + "mlp.fc1",
                                   d * c["decoder_mlp_ratio"]))
            x = x + self.linear(h, p + "mlp.fc2", d)
        size = 1 << c["stages"]
        return self.linear(self.layernorm(x, "decoder_norm"), "decoder_pred",
                           size * size * c["in_channels"])

    def run(self, image, mask):
        """image [B, C, H, W], mask bool [B, N] -> pixels [B, N, size * size * C], loss of each image."""
        image, mask = torch.from_numpy(image), torch.from_numpy(mask)
        x = self.encode(image, (~mask).view(-1, *self.grid).float())
        pixels = self.decode(x.mean(0).transpose(1, 2), mask)
        size, c = 1 << self.c["stages"], self.c["in_channels"]
        target = F.unfold(image, size, stride=size)  # [B, C * size * size, N], channels slowest
        target = target.view(len(image), c, size * size, -1).permute(0, 3, 2, 1).flatten(2)
        if self.c["normalise_patches"]:
            target = (target - target.mean(-1, keepdim=True)) / torch.sqrt(
                target.var(-1, keepdim=True) + 1e-6)
        loss = [F.mse_loss(p[m], t[m]).item() for p, t, m in zip(pixels, target, mask)]
        return pixels.numpy(), np.array(loss)
