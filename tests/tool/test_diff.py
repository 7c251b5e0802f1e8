"""diff: what two compiled folders have in common, what not, and why; and that new weights alone
move nothing. What is expected is counted here from the folders' files, not taken from the tool."""
import json
import os
import re
import unittest

import numpy as np

import spikec_tool as t

CASE = "v2-tiny-batch3-exact"


def other_weights(path, seed):
    """Weights of the same names and shapes, of another spread in every channel: a quantiser then
    chooses other thresholds and exponents."""
    rng, out = np.random.default_rng(seed), {}
    for name, a in t.read_tensors(t.golden(CASE, "weights.safetensors")).items():
        if a.dtype.kind == "f" and a.ndim > 1:
            spread = rng.lognormal(0, 1, size=(a.shape[0],) + (1,) * (a.ndim - 1))
            a = (a.std() * rng.normal(size=a.shape) * spread).astype(a.dtype)
        out[name] = a
    t.write_tensors(path, out)
    return path


def placement_bytes(folder):
    """What went where, as it stands in mapping.json: layers, sums, cores, tiles."""
    text = t.read_bytes(os.path.join(folder, "mapping.json"))
    return text[text.index(b'"layers"'):]


class Placement(t.ToolTest):
    """Only the weights change: not a byte of the placement does."""

    def fold(self, name, target, weights, *more):
        folder = self.path(name)
        self.run_tool("compile", *t.model_arguments(CASE), "--target", target, "--weights",
                      weights, "-o", folder, *more)
        return folder

    def test_weights_move_nothing(self):
        golden = t.golden(CASE, "weights.safetensors")
        other = other_weights(self.path("other"), 3)
        for target, more in (("loihi1", ()), ("loihi1", ("--attention", "and_lif")),
                             ("loihi2", ()), ("engine-mesh", ()),
                             ("loihi1", ("--objective", "traffic"))):
            with self.subTest(target=target, more=more):
                a = self.fold("a", target, golden, *more)
                b = self.fold("b", target, other, *more)
                self.assertEqual(placement_bytes(a), placement_bytes(b))
                self.assertNotEqual(*(t.read_bytes(os.path.join(f, "quantised.safetensors"))
                                      for f in (a, b)))
                for folder in (a, b):
                    self.run_tool("check", folder)

    def test_estimate_counts_the_cores_of_compile(self):
        for target in ("loihi1", "loihi2"):
            estimate = self.run_tool("estimate", *t.model_arguments(CASE), "--target", target,
                                     "--json").json()
            folder = self.fold("c", target, t.golden(CASE, "weights.safetensors"))
            with open(os.path.join(folder, "cost.json"), encoding="utf-8") as f:
                self.assertEqual(estimate["totals"]["cores"], json.load(f)["totals"]["cores"])


if __name__ == "__main__":
    unittest.main()
