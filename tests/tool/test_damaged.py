"""corrupt, second part: files of a compiled folder that are cut, overwritten, gone, or another's."""
import os
import shutil
import unittest

import numpy as np

import spikec_tool as t
import test_corrupt as edits


class Damage(edits.CorruptTest):
    FILES = ("image.h5", "quantised.sir", "quantised.safetensors", "target.yaml")

    def commands(self, folder, source):
        return [["cost", folder], ["check", folder], ["verify", folder, "--input", source],
                ["run", folder, "--level", "Q", "--input", source],
                ["simulate", folder, "--input", source]]

    def test_missing_files(self):
        for name in self.FILES + ("model.sir", "model.safetensors", "cost.json"):
            folder, source = self.copy(edits.BINARY)
            os.remove(os.path.join(folder, name))
            codes = [t.spikec(*c).code for c in self.commands(folder, source)]
            self.assertTrue(any(codes), f"nobody misses {name}")
            self.assertTrue(set(codes) <= {t.DONE, t.BAD_INPUT, t.SYSTEM}, (name, codes))

    def test_cut_and_overwritten(self):
        rng = np.random.default_rng(5)
        for name in self.FILES + ("cost.json",):
            folder, source = self.copy(edits.EMBEDDED)
            path = os.path.join(folder, name)
            whole = t.read_bytes(path)
            damaged = [b"", whole[:7], whole[:len(whole) // 2], whole[:-1], whole[64:],
                       bytes(len(whole)), b"\x00" + whole]
            for _ in range(6):
                data = bytearray(whole)
                for at in rng.integers(0, len(whole), 8):
                    data[at] = rng.integers(0, 256)
                damaged.append(bytes(data))
            for i, data in enumerate(damaged):
                t.write_bytes(path, data)
                for command in self.commands(folder, source):
                    done = t.spikec(*command)
                    self.assertIn(done.code, (t.DONE, t.DIFFERENCE, t.BAD_INPUT, t.SYSTEM),
                                  f"{name}, damage {i}:\n{done}")
                    if done.code == t.BAD_INPUT:
                        self.assertRegex(done.err, "error")

    def test_scattered_image_bytes(self):
        """The head of the HDF5 file, where its own structures are, byte by byte."""
        folder, source = self.copy(edits.EVENTS)
        path = os.path.join(folder, "image.h5")
        whole = t.read_bytes(path)
        rng = np.random.default_rng(9)
        for at in rng.integers(0, min(len(whole), 8192), 40):
            data = bytearray(whole)
            data[at] ^= 1 << int(rng.integers(0, 8))
            t.write_bytes(path, bytes(data))
            t.spikec("check", folder)
            t.spikec("verify", folder, "--input", source)

    def test_another_compilations_image(self):
        """Same shapes, other weights: the image is legal, and not of this model."""
        folder, source = self.copy(edits.BINARY)
        other = self.path("other")
        weights = dict(t.read_tensors(t.golden("v2-tiny-exact", "weights.safetensors")))
        name = "block.1.mlp.fc1_conv.weight"
        weights[name] = np.ascontiguousarray(weights[name][::-1])
        t.write_tensors(self.path("w"), weights)
        self.run_tool("compile", *t.model_arguments("v2-tiny-exact"), "--weights", self.path("w"),
                      "--target", "loihi1", "-o", other)
        shutil.copy(os.path.join(other, "image.h5"), folder)
        self.run_tool("check", folder, expect=t.DIFFERENCE, says="block.1.mlp.fc1_lif")
        report = self.run_tool("verify", folder, "--input", source, "--json",
                               expect=t.DIFFERENCE).json()
        self.assertEqual(report["first_mismatch"]["layer"], "block.1.mlp.fc1_lif")

    def test_another_target(self):
        folder, source = self.copy(edits.GRADED)
        shutil.copy(os.path.join(self.folders[edits.BINARY][0], "target.yaml"), folder)
        self.run_tool("check", folder, expect=t.DIFFERENCE)
        self.run_tool("verify", folder, "--input", source)  # the image says what the chip does


if __name__ == "__main__":
    unittest.main(verbosity=2)
