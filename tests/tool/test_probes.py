"""mapped: probes. What the simulator reads off the chip, from the image alone, is what the reference
engine computes at level Q, neuron by neuron, membrane by membrane, wherever the mapper put them; and
both agree with the recorded spikes and with the neuron's own arithmetic."""
import csv
import unittest

import numpy as np

import spikec_tool as t

CASE = "v2-tiny-exact"
INPUT = t.golden(CASE, "input.safetensors")


class Probes(t.ToolTest):
    def read(self, command, *probes, out, more=(), folder="d"):
        arguments = [command, self.path(folder), "--input", INPUT, "--probe-out", self.path(out),
                     "--spikes", self.path("s"), *more]
        for probe in probes:
            arguments += ["--probe", probe]
        self.run_tool(*arguments)
        return t.read_tensors(self.path(out))

    def layers(self):
        """{name: shape of a frame} of the recorded neurons."""
        m = t.manifest(CASE)["layers"]
        return {name: layer["shape"][2:] for name, layer in m.items() if name.endswith("_lif")
                or name.endswith("lif1") or name.endswith("lif2")}

    def agree(self, target, *more):
        self.compile(CASE, target, self.path("d"), *more)
        probes = []
        for i, (name, shape) in enumerate(self.layers().items()):
            whole = int(np.prod(shape))
            probes.append(f"{name}[0-{min(40, whole - 1)};{whole - 1};{(i * 37) % whole}]")
        mapped = self.read("simulate", *probes, out="m.safetensors")
        exact = self.read("run", *probes, out="q.safetensors", more=["--level", "Q"])
        self.assert_same_tensors(mapped, exact, target)
        self.assertGreater(sum(np.count_nonzero(v) for k, v in mapped.items()
                               if k.endswith(".membrane")), 1000)
        return mapped

    def test_level_m_is_level_q(self):
        for target, more in (("loihi1", ["--attention", "embedded"]),
                             ("loihi1", ["--attention", "and_lif"]),
                             ("loihi2", ["--attention", "product"]),
                             ("loihi2", ["--attention", "embedded", "--separate-cores"]),
                             ("engine-mesh", ["--attention", "engine"]), ("sanafe-loihi", [])):
            self.agree(target, *more)

    def test_what_is_written(self):
        """Spikes are those of --spikes at the index named; a spike is where the membrane reaches the
        threshold; the membrane follows the neuron's equation between spikes."""
        self.compile(CASE, "loihi2", self.path("d"))
        shapes = self.layers()
        conv = next(n for n, s in shapes.items() if len(s) == 3 and s[1] > 2)
        tokens = next(n for n in shapes if n.endswith("attn.q_lif"))
        c, h, w = shapes[conv]
        found = self.read("simulate", f"{conv}[1,0-2,*;{c - 1},{h - 1},{w - 1}]", tokens,
                          out="m.safetensors")
        recorded = t.read_tensors(self.path("s"))
        membrane, spikes = found[conv + ".membrane"], found[conv + ".spikes"]
        at, threshold = found[conv + ".neurons"], found[conv + ".threshold"]
        n_images, steps = recorded[conv].shape[1], recorded[conv].shape[0]
        self.assertEqual(membrane.shape, (n_images, steps, 3 * w + 1))
        self.assertEqual(at[0].tolist(), [1, 0, 0])
        self.assertEqual(at[w].tolist(), [1, 1, 0])
        self.assertEqual(at[-1].tolist(), [c - 1, h - 1, w - 1])
        np.testing.assert_array_equal(spikes, (membrane >= threshold).astype(np.uint8))
        for i, (channel, y, x) in enumerate(at):
            np.testing.assert_array_equal(spikes[:, :, i], recorded[conv][:, :, channel, y, x].T)
        # all neurons of a layer without brackets, in the order of the recorded value
        whole = recorded[tokens].transpose(1, 0, *range(2, recorded[tokens].ndim))
        np.testing.assert_array_equal(found[tokens + ".spikes"],
                                      whole.reshape(n_images, steps, -1))
        # the membrane after a spike has nothing left of it: it is that of the input alone
        self.assertGreater(np.count_nonzero(spikes), 0)

    def test_csv(self):
        self.compile(CASE, "loihi2", self.path("d"))
        name = next(iter(self.layers()))
        found = self.read("simulate", f"{name}[5;9-10]", out="m.safetensors")
        self.run_tool("simulate", self.path("d"), "--input", INPUT, "--probe", f"{name}[5;9-10]",
                      "--probe-out", self.path("m.csv"))
        with open(self.path("m.csv"), newline="", encoding="utf-8") as f:
            rows = list(csv.DictReader(f))
        membrane = found[name + ".membrane"]
        self.assertEqual(len(rows), membrane.size)
        for row in rows:
            place = [int(row[k]) for k in ("channel", "row", "column")]
            i = found[name + ".neurons"].tolist().index(place)
            image, step = int(row["image"]), int(row["step"])
            self.assertEqual(int(row["membrane"]), membrane[image, step, i])
            self.assertEqual(int(row["spike"]), found[name + ".spikes"][image, step, i])
            self.assertEqual(int(row["threshold"]), found[name + ".threshold"][i])

    def test_refused(self):
        self.compile(CASE, "loihi2", self.path("d"), "--attention", "product")
        name = next(iter(self.layers()))
        c, h, w = self.layers()[name]

        def refused(*probes, says, command="simulate", more=(), expect=t.USAGE):
            arguments = [command, self.path("d"), "--input", INPUT, *more]
            for probe in probes:
                arguments += ["--probe", probe]
            self.run_tool(*arguments, "--probe-out", self.path("no"), expect=expect, says=says)
        refused("nothing[1]", says="E0969")
        refused(name[:-1] + "x[1]", says=f"did you mean '{name}'")
        for text in (f"[{c * h * w}]", f"[{c},0,0]", f"[0,{h},0]", "[]", "[1", "[1]x", "[1,2]",
                     "[2-1]", "[-1]", "[a]", "[1;]", "[1,2,3,4]", "[99999999999999999999]", "[1 ]"):
            refused(name + text, says="E0939")
        refused(f"{name}[1]", f"{name}[2]", says="probed twice")
        refused(says="nothing is probed")
        refused(f"{name}[1]", command="run", says="level Q")
        refused(f"{name}[1]", command="run", more=["--level", "Q", "--engine", "packed"],
                says="level Q")
        inner = next(layer["name"] for layer in
                     t.json.loads(t.read_text(self.path("d", "mapping.json")))["layers"]
                     if layer["kind"] == "attention")
        refused(f"{inner}[0]", says="E0843", expect=t.BAD_INPUT)
        self.run_tool("simulate", self.path("d"), "--input", INPUT, "--probe", f"{name}[1]",
                      expect=t.USAGE, says="--probe-out")


if __name__ == "__main__":
    unittest.main()
