"""mapped, second part: the image means what its documentation says. tests/tool/chip_model.py, written
from docs/chip-image.md, executes what `compile` emitted; `simulate` must give the same spikes, sums
and logits, for every target and every lowering of attention."""
import os
import shutil
import unittest

import numpy as np

import spikec_tool as t
from chip_model import Chip

CASES = ("v2-tiny-exact", "v2-tiny-events-exact", "v2-tiny-t1-exact", "v1-tiny-exact")


class Documented(t.ToolTest):
    def lowerings(self, target):
        shown = self.run_tool("target", "show", target, "--json").json()["target"]
        words = shown["attention"]["lowerings"]["value"]
        return [w.strip() for w in (words if isinstance(words, list) else words.split())]

    def compare(self, case, target, lowering, model=None):
        folder = self.path(f"{case}-{target}-{lowering}{'-changed' if model else ''}")
        arguments = t.case_arguments(case)
        if model:
            arguments[0] = model
        images = t.read_tensors(t.golden(case, "input.safetensors"))["input"]
        given = self.path("input.safetensors")
        two = np.concatenate([images, images[:, ::-1]])[:2]  # back to back
        t.write_tensors(given, {"input": np.ascontiguousarray(two)})
        done = t.spikec("compile", *arguments, "--target", target, "--attention",
                        lowering, "-o", folder, "--quiet")
        if done.code == t.NO_FIT:
            return False
        self.assertEqual(done.code, t.DONE, done)
        self.run_tool("simulate", folder, "--input", given, "--spikes", self.path("s"), "--out",
                      self.path("y"))
        chip = Chip(self.path(folder, "image.h5"))
        values, logits = chip.run(list(two))
        spikes = {name: array for name, array in t.read_tensors(self.path("s")).items()
                  if name not in ("logits", "features")}
        self.assertEqual(chip.outside, 0)
        self.assertTrue(set(spikes) <= set(values), sorted(set(spikes) - set(values)))
        fired = 0
        for name, got in spikes.items():
            self.assertEqual(got.shape, values[name].shape, name)
            np.testing.assert_array_equal(got, values[name], err_msg=f"{folder} {name}")
            fired += int(np.count_nonzero(got))
        self.assertGreater(fired, 0)
        np.testing.assert_array_equal(t.read_tensors(self.path("y"))["logits"], logits)
        return True

    def test_every_target_and_lowering(self):
        targets = self.run_tool("target", "list", "--json").json()["targets"]
        for target in targets:
            ran = 0
            for lowering in self.lowerings(target):
                for case in CASES:
                    with self.subTest(target=target, lowering=lowering, case=case):
                        ran += self.compare(case, target, lowering)
            self.assertGreater(ran, 0, target)

    def test_other_neurons(self):
        """A leak that is no power of two, and soft reset: other paths of the update."""
        models = self.path("models")
        shutil.copytree(os.path.join(t.SOURCE, "models"), models)
        blocks = os.path.join(models, "blocks", "spikformer.spk")
        text = t.read_text(blocks)
        for old, new in (("tau = 2.0", "tau = 3.0"), ("reset v = 0.0;", "reset v = v - v_th;")):
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new)
            t.write_text(blocks, text)
            for target, lowering in (("loihi1", "embedded"), ("loihi2", "product")):
                with self.subTest(change=new, target=target):
                    self.assertTrue(self.compare("v2-tiny-exact", target, lowering,
                                                 os.path.join(models, "spikformer_v2.spk")))


if __name__ == "__main__":
    unittest.main()
