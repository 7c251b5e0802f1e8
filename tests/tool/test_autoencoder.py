"""The masked autoencoder at level R against PyTorch: reconstruction and loss, masks from files and drawn,
what is refused."""
import unittest

import numpy as np

import spikec_tool as t

try:
    import torch
    import autoencoder_torch as reference
except ImportError:
    torch = None

MODEL = "spikformer_v2_mae"


@unittest.skipIf(torch is None, "needs PyTorch (python3-torch)")
class AgainstTorch(t.ToolTest):
    def compare(self, seed, ratio=0.6, batch=3, more=(), **changes):
        c = reference.config(**changes)
        net, rng = reference.Autoencoder(c, seed), np.random.default_rng(seed)
        image = rng.normal(size=(batch, c["in_channels"], c["height"], c["width"])).astype(np.float32)
        n = net.grid[0] * net.grid[1]
        mask = rng.permuted(np.arange(n) < round(ratio * n) + np.zeros((batch, 1)), axis=1)
        pixels, loss = net.run(image, mask)
        self.assertGreater(net.margin, 1e-6, "a neuron so near its threshold proves nothing")
        t.write_tensors(self.path("w.safetensors"), net.w.tensors)
        t.write_tensors(self.path("x.safetensors"), {"input": image})
        t.write_tensors(self.path("m.safetensors"), {"mask": mask})
        r = self.run_tool("run", MODEL, *reference.settings(c), "--weights", self.path("w.safetensors"),
                      "--input", self.path("x.safetensors"), "--mask", self.path("m.safetensors"),
                      "--out", self.path("y.safetensors"), "--json", *more)
        got = t.read_tensors(self.path("y.safetensors"))
        self.assertEqual(sorted(got), ["loss", "reconstruction"])
        self.assertGreater(pixels.std(), 0.1)
        np.testing.assert_allclose(got["reconstruction"], pixels, rtol=0, atol=1e-4)
        np.testing.assert_allclose(got["loss"][:, 0], loss, rtol=1e-5, atol=1e-5)
        return r

    def test_reconstruction(self):
        self.compare(1)
