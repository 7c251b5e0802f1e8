"""The leaky integrate-and-fire neuron with its surrogate gradient.

Activations carry time in the leading dimension: T time steps of B images are T*B rows, step-major,
so convolutions and batch norms treat time as more batch.
"""

import math

import torch
from torch import nn

BN_EPS = 1e-5


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
