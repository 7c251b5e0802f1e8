"""export: what `export --to brian` writes runs in Brian 2, a simulator that nobody here wrote, and
fires the spikes of `simulate` step by step; what Brian cannot carry is refused by name."""
import importlib.util
import os
import subprocess
import sys

import numpy as np

import nir_maker as make
import spikec_tool as t
from nir_graphs import counts
from test_sparse import NETS, sparse_target

# One case per kind of neuron, input and lowering.
CASES = (("v1-tiny-exact", "loihi1", "and_lif"), ("v2-tiny-events-exact", "loihi1", "embedded"),
         ("v2-tiny-exact", "loihi2", "product"), ("v1-tiny-exact", "engine-mesh", "engine"))
FASHION = ["spikformer_v2_fashion", "--set", "dim=32", "--set", "depth=1", "--set", "heads=2",
           "--set", "timesteps=2"]


class Brian(t.ToolTest):
    def setUp(self):
        super().setUp()
        if importlib.util.find_spec("brian2") is None:
            self.skipTest("needs Debian's python3-brian (tools/setup installs it)")

    def run_script(self, folder, source, spikes):
        done = subprocess.run([sys.executable, os.path.join(folder, "run.py"), "--input", source,
                               "--spikes", spikes], capture_output=True, text=True, timeout=600,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        return t.read_tensors(spikes)

    def same_spikes(self, folder, source):
        out = self.path("exported")
        report = self.run_tool("export", folder, "--to", "brian", "-o", out, "--json").json()
        self.assertGreater(report["synapses"], 0)
        self.run_tool("simulate", folder, "--input", source, "--spikes", self.path("s"), "--out",
                      self.path("y"))
        got, fired = self.run_script(out, source, self.path("b")), 0
        want = {n: a for n, a in t.read_tensors(self.path("s")).items()
                if n not in ("logits", "features")}
        self.assertEqual(set(got) - {"logits"}, set(want))
        for name, array in want.items():
            np.testing.assert_array_equal(got[name], array, err_msg=f"{folder} {name}")
            fired += int(np.count_nonzero(array))
        self.assertGreater(fired, 100)
        np.testing.assert_array_equal(got["logits"], t.read_tensors(self.path("y"))["logits"])

    def test_golden_cases(self):
        for case, target, attention in CASES:
            with self.subTest(case=case, target=target, attention=attention):
                folder, source = self.path(f"{case}.{target}"), self.path("input")
                images = t.read_tensors(t.golden(case, "input.safetensors"))["input"]
                two = np.concatenate([images, images[:, ::-1]])[:2]  # back to back
                t.write_tensors(source, {"input": np.ascontiguousarray(two)})
                self.compile(case, target, folder, "--attention", attention)
                self.same_spikes(folder, source)

    def test_fashion(self):
        """The Fashion-MNIST model, cut down, on images like those."""
        weights, source, folder = self.path("w"), self.path("input"), self.path("d")
        self.run_tool("synth", *FASHION, "--rate", "0.15", "-o", weights, "--input-out", source,
                      "--limit", "2")
        self.run_tool("compile", *FASHION, "--weights", weights, "--calibrate", source, "--target",
                      "loihi2", "--attention", "product", "-o", folder)
        self.same_spikes(folder, source)


    def test_neuron_by_neuron(self):
        """Orders of layers, lists of synapses, partial sums of fan-in."""
        source, folder = self.path("input"), self.path("d")
        target = sparse_target(self, "small")
        for name, chip in (("chain", "loihi1"), ("loop", target), ("wide", target)):
            with self.subTest(name):
                (nodes, edges), shape = NETS[name]
                t.write_tensors(source, {"input": counts(shape)})
                path = make.write(self.path("g.nir"), nodes, edges, {"dt": 0.001})
                self.run_tool("compile", path, "--target", chip, "--set", "timesteps=12", "--cut",
                              "neurons", "-o", folder)
                self.same_spikes(folder, source)


class Refused(t.ToolTest):
    def test_ticks(self):
        for attention in ("serial", "plastic"):
            folder = self.path(attention)
            self.compile("v2-tiny-exact", "loihi2", folder, "--attention", attention)
            self.run_tool("export", folder, "--to", "brian", "-o", self.path("o"),
                          expect=t.BAD_INPUT, says=("E0710", "attn_lif", "--attention=product"))
            self.assertFalse(os.path.exists(self.path("o")))

    def test_options(self):
        folder = self.path("d")
        self.compile("v2-tiny-t1-exact", "loihi2", folder)
        source = t.golden("v2-tiny-t1-exact", "input.safetensors")
        for more, says in ((("--to", "nest", "-o", "o"), "'nest'"), (("-o", "o"), "--to"),
                           (("--to", "brian"), "-o OUT"),
                           (("--to", "brian", "-o", "o", "--input", source), "--input"),
                           (("--to", "brian", "-o", "o", "--segment", "1/2"), "--segment")):
            self.run_tool("export", folder, *more, expect=t.USAGE, says=says, cwd=self.dir)
        self.run_tool("export", self.path("none"), "--to", "brian", "-o", self.path("o"),
                      expect=t.SYSTEM)


if __name__ == "__main__":
    t.unittest.main()
