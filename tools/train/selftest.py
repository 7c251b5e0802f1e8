#!/usr/bin/env python3
"""Check model.py: golden cases bit for bit, and the LIF gradient against step-by-step autograd.

Usage: selftest.py [GOLDEN_CASE_FOLDER ...]   (static cases of Spikformer V2)
"""

import json
import math
import os
import sys

import torch

import tensorfile
from model import Config, Spikformer
from neuron import LifFunction


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
def check_case(folder):
    """The logits of one golden case are reproduced within 1e-4."""
    with open(os.path.join(folder, "manifest.json")) as f:
        c = json.load(f)["config"]
    load = lambda name: {n: torch.from_numpy(a.copy()) for n, a in tensorfile.load(os.path.join(folder, name))[0].items()}
    model = Spikformer(Config(in_channels=c["in_ch"], dim=c["dim"], stem_stages=len(c["down"]), depth=c["depth"], heads=c["heads"],
                              mlp_ratio=c["mlp_ratio"], classes=c["classes"], timesteps=c["T"], stem="scs" if c["variant"] == "v2" else "sps"))
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
    ok = [check_gradient(t, v) for t in (1, 2, 4) for v in (1.0, 0.5)] + [check_case(f) for f in sys.argv[1:]]
    return 0 if all(ok) else 1


if __name__ == "__main__":
    sys.exit(main())
