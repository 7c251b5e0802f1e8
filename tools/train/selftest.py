#!/usr/bin/env python3
"""Check model.py: golden cases, the LIF gradient against step-by-step autograd, what a mask hides.

Usage: selftest.py [GOLDEN_CASE_FOLDER ...]   (static cases of Spikformer V2)
"""

import json
import math
import os
import sys

import torch

import tensorfile
from autoencoder import MaskedAutoencoder, patches, position_table, random_mask
from model import Config, Spikformer
from neuron import LifFunction
from stem import Mask


class Step(torch.autograd.Function):
    """Heaviside step with the arctangent surrogate gradient."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad / (1.0 + (math.pi * ctx.saved_tensors[0]) ** 2)


def check_gradient(steps, v_th):
    """Spikes and input gradients of LifFunction equal those of the plain recurrence."""
    x = (torch.randn(steps * 6, 7, dtype=torch.float64) * 2).requires_grad_()
    weight = torch.randn_like(x)
    fast = LifFunction.apply(x, steps, v_th)
    v, spikes = 0.0, []
    for x_t in x.chunk(steps):
        h = v + (x_t - v) * 0.5
        spikes.append(Step.apply(h - v_th))
        v = h * (1.0 - spikes[-1].detach())
    slow = torch.cat(spikes)
    (g1,), (g2,) = (torch.autograd.grad((s * weight).sum(), x) for s in (fast, slow))
    ok = torch.equal(fast, slow) and torch.allclose(g1, g2, rtol=1e-12, atol=1e-12)
    print(f"gradient T={steps} v_th={v_th}: {'ok' if ok else 'FAILED'}")
    return ok


@torch.no_grad()
def check_mask():
    """Hidden patches fire nothing in the stem, and what they show changes no prediction; what visible ones show does."""
    model = MaskedAutoencoder(Config(dim=16, heads=2, depth=1, timesteps=2)).eval()
    for bn in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        bn.bias.fill_(3.0)  # every current is near the threshold: an unmasked place would fire
    mask = random_mask(6, 49, 0.6, torch.Generator().manual_seed(0))
    hidden = mask.view(6, 1, 7, 7)
    image = torch.randn(6, 1, 28, 28)
    at = hidden.repeat_interleave(4, 2).repeat_interleave(4, 3)
    same = torch.equal(model(image, mask), model(torch.where(at, torch.randn_like(image), image), mask))
    other = not torch.allclose(model(image, mask), model(torch.where(at, image, -image), mask))
    spikes = model.patch_embed(image, 2, Mask(~hidden[:, 0]))
    at_hidden = spikes[hidden.expand_as(spikes[:6]).repeat(2, 1, 1, 1)]
    silent = float(at_hidden.sum()) == 0.0 and float(spikes.sum()) > 0.0
    everything = Mask(torch.ones(6, 7, 7, dtype=torch.bool))
    whole = torch.equal(model.patch_embed(image, 2, everything), model.patch_embed(image, 2))
    ok = same and other and silent and whole
    print(f"masks: {'ok' if ok else 'FAILED'} {'' if ok else (same, other, silent, whole)}".rstrip())
    return ok


def check_patches():
    """Patches and positions are laid out as the file of an autoencoder promises."""
    image = torch.arange(2 * 3 * 8 * 12).view(2, 3, 8, 12)
    want = [[[image[b, c, 4 * y + dy, 4 * x + dx] for dy in range(4) for dx in range(4) for c in range(3)]
             for y in range(2) for x in range(3)] for b in range(2)]
    table = position_table(8, 2, 3)[0]
    place = lambda y, x: [f(v * w) for v in (x, y) for f in (math.sin, math.cos) for w in (1.0, 0.01)]
    ok = torch.equal(patches(image, 4), torch.tensor(want))
    ok = ok and torch.allclose(table, torch.tensor([place(y, x) for y in range(2) for x in range(3)]))
    print(f"patches: {'ok' if ok else 'FAILED'}")
    return ok


@torch.no_grad()
def check_case(folder):
    """The logits of one golden case are reproduced within 1e-4."""
    with open(os.path.join(folder, "manifest.json")) as f:
        c = json.load(f)["config"]
    load = lambda name: {n: torch.from_numpy(a.copy()) for n, a in tensorfile.load(os.path.join(folder, name))[0].items()}
    config = Config(in_channels=c["in_ch"], dim=c["dim"], stem_stages=len(c["down"]), depth=c["depth"],
                    heads=c["heads"], mlp_ratio=c["mlp_ratio"], classes=c["classes"], timesteps=c["T"],
                    stem="scs" if c["variant"] == "v2" else "sps")
    model = Spikformer(config)
    missing, unexpected = model.load_state_dict(load("weights.safetensors"), strict=False)
    missing = [n for n in missing if not n.endswith("num_batches_tracked")]
    logits = model.eval()(load("input.safetensors")["input"].float())
    error = float((logits - load("expected.safetensors")["logits"]).abs().max())
    ok = error <= 1e-4 and not missing and not unexpected
    print(f"{folder}: largest logit error {error:.2g} {missing or ''}{unexpected or ''} {'ok' if ok else 'FAILED'}")
    return ok


def main():
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    torch.manual_seed(0)
    ok = [check_gradient(t, v) for t in (1, 2, 4) for v in (1.0, 0.5)]
    ok += [check_mask(), check_patches()] + [check_case(f) for f in sys.argv[1:]]
    return 0 if all(ok) else 1


if __name__ == "__main__":
    sys.exit(main())
