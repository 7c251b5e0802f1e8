"""Networks of sparse weights, cut neuron by neuron: partitioned, mapped, simulated, verified."""
import json
import os
import re
import unittest

import h5py
import numpy as np

import nir_maker as make
import spikec_tool as t
from chip_model import Chip
from nir_graphs import F4, STEPS, Base, affine, chain, conv, counts, cuba, lif

I8 = "<i8"


def near(out, size, fan_in, seed, spread=3, scale=1.0):
    """Neurons hear some of their neighbours on a ring; both sides are in an order of their own, so
    that nothing of it shows in the matrix."""
    rng = np.random.default_rng(seed)
    w = np.zeros((out, size), F4)
    rows, columns = rng.permutation(out), np.random.default_rng(1000 + size).permutation(size)
    for o in range(out):
        at = (o * size // out + rng.integers(-spread * fan_in, spread * fan_in, fan_in)) % size
        w[rows[o], columns[at]] = rng.normal(size=fan_in) * scale
    return ("Linear", {"weight": w})


def layers(sizes, fan_in=8, neuron=lif, seed=1):
    nodes = []
    for i, n in enumerate(sizes[1:]):
        nodes += [near(n, sizes[i], fan_in, seed + i), neuron((n,))]
    return chain((sizes[0],), *nodes, out=(sizes[-1],))


def looped():
    nodes, edges = layers((60, 200, 150, 20))
    nodes["back"] = near(200, 200, 4, 9, scale=0.4)
    return nodes, edges + [("n1", "back"), ("back", "n1")]


def shortcut():
    """The second layer is added to what the third one says: two summands of one projection."""
    nodes, edges = layers((60, 120, 120, 30))
    nodes["n4"] = near(30, 120, 12, 4)
    return nodes, edges + [("n1", "n4")]


def from_map():
    rng = np.random.default_rng(2)
    w = rng.normal(size=(90, 2 * 9 * 8)) * (rng.random((90, 2 * 9 * 8)) < 0.1)
    return chain((2, 9, 8), ("Flatten", {
        "input_type": np.array([2, 9, 8], I8), "start_dim": np.array(0, I8),
        "end_dim": np.array(-1, I8)}), ("Linear", {"weight": w.astype(F4)}), lif((90,)),
        near(40, 90, 8, 5), lif((40,)), out=(40,))


def wide():
    """More inputs than cores have axons; one path has to wait for the other."""
    nodes, edges = chain((400,), affine(30, 400, scale=0.2), lif((30,)), affine(20, 30), lif((20,)),
                         out=(20,))
    nodes["skip"] = affine(20, 400, seed=7, scale=0.2)
    return nodes, edges + [("input", "skip"), ("skip", "n3")]


NETS = {"chain": (layers((60, 200, 150, 20)), (60,)), "loop": (looped(), (60,)),
        "shortcut": (shortcut(), (60,)), "map": (from_map(), (2, 9, 8)),
        "current": (layers((60, 200, 50), neuron=cuba), (60,)), "wide": (wide(), (400,))}
ON = {"loihi2": NETS, "loihi1": ("chain", "shortcut", "map"),
      "sanafe-loihi": ("chain", "shortcut"), "small": NETS, "small-binary": ("chain", "map")}


def sparse_target(test, name):
    """A built-in one, or one of small cores with an axon for every neuron."""
    path = test.path(name + ".yaml")
    if not name.startswith("small"):
        return name
    if os.path.exists(path):
        return path
    test.run_tool("target", "new", path, "--from",
                  "loihi1" if name == "small-binary" else "loihi2")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for key, value in (("neurons", 48), ("in_axons", 150), ("out_axons", 110),
                       ("synapse_bits", 16000), ("population", "false"), ("sharing", "none"),
                       ("lowerings", "[and_lif]")):
        text, n = re.subn(rf"(\n  {key}: {{value: )(\[[^]]*\]|[^,]*)", rf"\g<1>{value}", text)
        test.assertEqual(n, 1, key)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


class Sparse(Base):
    def target(self, name):
        return sparse_target(self, name)

    @staticmethod
    def text(path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    def compile(self, path, target, folder, *more):
        self.run_tool("compile", path, "--target", self.target(target), "--set",
                      f"timesteps={STEPS}", "-o", folder, "--quiet", *more)
        self.run_tool("check", folder, "--quiet")
        with open(os.path.join(folder, "mapping.json"), encoding="utf-8") as f:
            return json.load(f)

    def verify(self, folder, frames):
        t.write_tensors(self.path("x.st"), {"input": frames})
        report = self.run_tool("verify", folder, "--input", self.path("x.st"), "--json").json()
        self.assertEqual(report["mismatches"], 0)
        self.assertGreater(report["values_compared"], 0)
        self.assertGreater(report["spike_agreement"]["overall"]["teacher_forced"], 0.9)

    def test_verify(self):
        for target, names in ON.items():
            for name in names:
                with self.subTest(f"{name} on {target}"):
                    (nodes, edges), shape = NETS[name]
                    folder = self.path(f"{target}.{name}")
                    m = self.compile(self.write(nodes, edges), target, folder, "--cut", "neurons")
                    self.assertEqual(m["cut"], "neurons")
                    for layer in m["layers"]:
                        if "tile" in layer:
                            self.assertEqual(sorted(layer["order"]), list(range(layer["channels"])))
                    self.verify(folder, counts(shape, images=3))
                    if target.startswith("small"):
                        self.assertGreater(len(m["cores"]), 2)

    def test_fewer_cores(self):
        """What is cut automatically takes a fraction of the cores and messages of tiles."""
        nodes, edges = layers((300, 800, 900, 20), fan_in=16)
        path = self.write(nodes, edges)
        for target in ("loihi2", "loihi1"):
            with self.subTest(target):
                tiles = self.compile(path, target, self.path("t"), "--cut", "tiles")
                auto = self.compile(path, target, self.path("a"))
                self.assertEqual((tiles["cut"], auto["cut"]), ("tiles", "neurons"))
                self.assertLess(1.5 * len(auto["cores"]), len(tiles["cores"]))
                self.assertLess(4 * auto["placement"]["messages"], tiles["placement"]["messages"])
                self.verify(self.path("a"), counts((300,), images=2))

    def test_dense_networks_keep_tiles(self):
        """Even where fewer messages would be sent: a dense graph is too much to partition."""
        nodes, edges = chain((40,), affine(60, 40), lif((60,)), affine(60, 60, seed=3), lif((60,)),
                             out=(60,))
        path, traffic = self.write(nodes, edges), ("--objective", "traffic")
        m = self.compile(path, "loihi2", self.path("d"), *traffic)
        self.assertEqual(m["cut"], "tiles")
        self.assertNotIn("order", m["layers"][-1])
        neurons = self.compile(path, "loihi2", self.path("n"), "--cut", "neurons", *traffic)
        self.assertLess(neurons["placement"]["messages"], m["placement"]["messages"])

    def test_same_zeros_same_places(self):
        """Other weights in the same places: the same cut, places and order, whatever the threads."""
        nodes, edges = layers((60, 200, 150, 20))
        mappings = []
        for change in (1.0, 0.9):
            for threads in ("1", "2"):
                for name, (kind, content) in nodes.items():
                    if kind == "Linear":
                        content["weight"] = np.sign(content["weight"]) * np.float32(change)
                m = self.compile(self.write(nodes, edges), "small", self.path("c"), "--cut",
                                 "neurons", "--threads", threads)
                mappings.append({k: m[k] for k in ("layers", "cores", "tiles")})
        for other in mappings[1:]:
            self.assertEqual(other, mappings[0])

    def test_the_page_on_images_suffices(self):
        for target, name in (("loihi2", "loop"), ("small", "map"), ("small-binary", "chain")):
            with self.subTest(name):
                (nodes, edges), shape = NETS[name]
                frames = counts(shape, images=2)
                folder = self.path(name)
                self.compile(self.write(nodes, edges), target, folder, "--cut", "neurons")
                self.verify(folder, frames)
                self.run_tool("simulate", folder, "--input", self.path("x.st"), "--spikes",
                              self.path("s.st"), "--out", self.path("y.st"), "--quiet")
                chip = Chip(os.path.join(folder, "image.h5"))
                if frames.ndim == 3:
                    frames = frames.reshape(*frames.shape, 1, 1)
                values, logits = chip.run(list(frames))
                self.assertEqual(chip.outside, 0)
                compared = 0
                for value, got in t.read_tensors(self.path("s.st")).items():
                    if value in values:
                        np.testing.assert_array_equal(got.ravel(), values[value].ravel(), value)
                        compared += 1
                self.assertGreater(compared, 1)
                np.testing.assert_array_equal(
                    next(iter(t.read_tensors(self.path("y.st")).values())), logits)

    def test_order_is_checked(self):
        (nodes, edges), _ = NETS["chain"]
        folder = self.path("o")
        self.compile(self.write(nodes, edges), "loihi2", folder, "--cut", "neurons")
        image = os.path.join(folder, "image.h5")
        with h5py.File(image, "r+") as f:
            orders = f["orders"][:]
            swapped = orders.copy()
            swapped[[0, 1]] = orders[[1, 0]]
            f["orders"][:] = swapped
        self.run_tool("check", folder, expect=t.DIFFERENCE, says="E0945")
        for wrong in (orders[1], 10 ** 6):
            with h5py.File(image, "r+") as f:
                twice = orders.copy()
                twice[0] = wrong
                f["orders"][:] = twice
            self.run_tool("check", folder, expect=t.BAD_INPUT, says=("layers", "order"))

    def test_fan_in_is_split(self):
        """400 and 60 dense inputs where a core has 150 in-axons: partial sums, a step later."""
        (nodes, edges), _ = NETS["wide"]
        path = self.write(nodes, edges)
        folder = self.path("f")
        frames = counts((400,), images=2)
        m = self.compile(path, "small", folder)
        self.assertEqual(m["cut"], "neurons")
        sums = [l["name"] for l in m["layers"] if ".sum" in l["name"]]
        self.assertEqual(sums, [f"n1.sum{i}" for i in range(3)] + [f"n3.sum{i}" for i in range(3)])
        self.verify(folder, frames)
        self.run_tool("simulate", folder, "--input", self.path("x.st"), "--spikes",
                      self.path("s.st"), "--quiet")
        chip = Chip(os.path.join(folder, "image.h5"))
        values, _ = chip.run(list(frames.reshape(*frames.shape, 1, 1)))
        self.assertEqual(chip.outside, 0)
        for value, got in t.read_tensors(self.path("s.st")).items():
            if value in values:
                np.testing.assert_array_equal(got.ravel(), values[value].ravel(), value)
        # the checker adds up what partial sums hear
        with h5py.File(os.path.join(folder, "image.h5"), "r+") as f:
            weights = f["weights"][:]
            weights[np.nonzero(np.abs(weights.astype(int)) > 2)[0][5]] += 1
            f["weights"][:] = weights
        self.run_tool("check", folder, expect=t.DIFFERENCE, says=("E0945", "partial sums"))

    def test_fan_in_is_not_split(self):
        """Spikes without payload carry no sums; a loop of one step has no time for them."""
        nodes, edges = chain((400,), affine(30, 400, scale=0.2), lif((30,)), out=(30,))
        path = self.write(nodes, edges)
        more = ("-o", self.path("c"), "--set", f"timesteps={STEPS}")
        self.run_tool("compile", path, "--target", self.target("small-binary"), *more, "--cut",
                      "neurons", expect=t.NO_FIT, says=("E0760", "graded"))
        self.run_tool("compile", path, "--target", self.target("small-binary"), *more,
                      expect=t.NO_FIT, says=("E0672", "n1"))
        nodes["back"] = affine(30, 30, seed=3)
        edges += [("n1", "back"), ("back", "n1")]
        self.run_tool("compile", self.write(nodes, edges), "--target", self.target("small"), *more,
                      "--cut", "neurons", expect=t.NO_FIT, says=("E0761", "loop"))
        self.assertFalse(os.path.exists(self.path("c")))

    def test_refused(self):
        nodes, edges = chain((2, 6, 7), conv((2, 2, 3, 3)), lif((2, 6, 7)), out=(2, 6, 7))
        path = self.write(nodes, edges)
        more = ("-o", self.path("c"), "--set", f"timesteps={STEPS}", "--cut")
        self.run_tool("compile", path, "--target", "loihi2", *more, "neurons", expect=t.NO_FIT,
                      says=("E0670", "n1"))
        self.run_tool("compile", path, "--target", "loihi2", *more, "diagonally", expect=t.USAGE,
                      says=("E0758", "tiles"))
        self.assertFalse(os.path.exists(self.path("c")))
        # nothing fits cores with next to no memory, and the reason is named
        text = self.text(self.target("small"))
        tiny = self.path("tiny.yaml")
        with open(tiny, "w", encoding="utf-8") as f:
            f.write(re.sub(r"(\n  synapse_bits: {value: )[^,]*", r"\g<1>128", text))
        (nodes, edges), _ = NETS["chain"]
        self.run_tool("compile", self.write(nodes, edges), "--target", tiny, *more, "neurons",
                      expect=t.NO_FIT, says=("E0759", "more than a core"))


if __name__ == "__main__":
    unittest.main()
