"""NIR graphs beyond the reference engine: other engines, and chips."""
import os
import unittest

import h5py
import numpy as np

import nir_maker as make
import spikec_tool as t
from chip_model import Chip
from nir_graphs import (F4, GRAPHS, IMAGE, STEPS, Base, affine, chain, conv, counts, cuba, f4, full,
                        lif, recurrent)

I8 = "<i8"


class Engines(Base):
    """The other engines compute the same, or refuse by name."""

    def test_packed(self):
        for name, ((nodes, edges), shape) in GRAPHS.items():
            with self.subTest(name):
                path = self.write(nodes, edges)
                frames = counts(shape)
                want, logits = self.run_graph(path, frames)
                got, other = self.run_graph(path, frames, "--engine", "packed")
                for tensors in (got, want):  # means of real values may differ in the last bits
                    tensors.pop("features")
                    tensors.pop("logits")
                self.assert_same_tensors(got, want)
                np.testing.assert_allclose(other, logits, rtol=1e-6, atol=1e-7)

    def test_native(self):
        t.write_tensors(self.path("x.st"), {"input": counts((4,))})
        refused = 0
        for name, ((nodes, edges), shape) in GRAPHS.items():
            with self.subTest(name):
                path = self.write(nodes, edges)
                frames = counts(shape)
                t.write_tensors(self.path("x.st"), {"input": frames})
                result = t.spikec("run", path, "--engine", "native", "--set",
                                  f"timesteps={STEPS}", "--input", self.path("x.st"), "--spikes",
                                  self.path("n.st"), "--quiet")
                if "no native code: it was made without LLVM" in result.err:
                    self.skipTest("a build without LLVM")
                if result.code == t.DONE:
                    want, _ = self.run_graph(path, frames)
                    self.assert_same_tensors(
                        {k: v for k, v in t.read_tensors(self.path("n.st")).items() if k in want},
                        want)
                else:
                    self.assertEqual(result.code, t.BAD_INPUT, result)
                    self.assertIn("E0741", result.err)
                    refused += 1
        self.assertGreater(refused, 3)

    def test_quantised(self):
        """Decaying currents, feedback, sums: level Q in the packed engine."""
        for name in ("cuba", "recurrent", "recurrent_delay", "residual", "lif_channels"):
            with self.subTest(name):
                (nodes, edges), shape = GRAPHS[name]
                t.write_tensors(self.path("x.st"), {"input": counts(shape)})
                folder = self.path(name)
                self.run_tool("compile", self.write(nodes, edges), "--target", "loihi2", "-o",
                              folder, "--set", f"timesteps={STEPS}", "--quiet")
                results = []
                for engine in ("reference", "packed"):
                    self.run_tool("run", folder, "--level", "Q", "--engine", engine, "--input",
                                  self.path("x.st"), "--spikes", self.path("s.st"), "--quiet")
                    results.append(t.read_tensors(self.path("s.st")))
                self.assert_same_tensors(*results)


class Mapped(Base):
    """NIR graphs on chips: quantised, mapped, simulated, verified."""

    def verify(self, path, target, frames, folder, *more):
        t.write_tensors(self.path("x.st"), {"input": frames})
        self.run_tool("compile", path, "--target", target, "--set", f"timesteps={STEPS}", "-o",
                      folder, "--quiet", *more)
        self.run_tool("check", folder, "--quiet")
        report = self.run_tool("verify", folder, "--input", self.path("x.st"), "--json").json()
        self.assertEqual(report["mismatches"], 0)
        self.assertGreater(report["values_compared"], 0)
        self.assertGreater(report["spike_agreement"]["overall"]["teacher_forced"], 0.9)
        return report

    CHIP = {"loihi2": ("lif", "if_0", "cuba", "scale", "conv2d", "conv2d_odd", "conv2d_same",
                       "conv1d", "conv1d_point", "sum_pool", "avg_pool", "flatten", "nested",
                       "residual", "delay", "recurrent", "recurrent_delay", "lif_channels",
                       "cuba_channels"),
            "loihi1": ("lif", "lif_channels", "conv2d", "flatten", "nested")}

    def test_graphs_verify(self):
        for target, names in self.CHIP.items():
            for name in names:
                with self.subTest(f"{name} on {target}"):
                    (nodes, edges), shape = GRAPHS[name]
                    path = self.write(nodes, edges)
                    self.verify(path, target, counts(shape, images=4),
                                self.path(f"{target}.{name}"))

    def test_still_images(self):
        for name, target in (("lif", "loihi1"), ("lif_channels", "loihi2"), ("conv2d", "loihi2"),
                             ("cuba", "loihi2")):
            with self.subTest(f"{name} on {target}"):
                (nodes, edges), shape = GRAPHS[name]
                images = np.random.default_rng(6).normal(size=(4, *shape)).astype(F4)
                self.verify(self.write(nodes, edges), target, images,
                            self.path(f"{target}.{name}"), "--set", "static=true")

    def test_joined_maps(self):
        """Pool, flatten and matrix become one projection, a shortcut of a matrix its diagonal."""
        nodes, edges = chain(IMAGE, conv((3, 2, 3, 3)), lif((3, 6, 7)), ("SumPool2d", {
            "kernel_size": np.array([2, 2], I8), "stride": np.array([2, 2], I8),
            "padding": np.array([0, 0], I8)}), ("Flatten", {
                "input_type": np.array([3, 3, 3], I8), "start_dim": np.array(0, I8),
                "end_dim": np.array(-1, I8)}), affine(5, 27, scale=0.3), cuba((5,)),
            ("Linear", {"weight": f4(5, 5, seed=8)}), lif((5,), threshold=0.3), out=(5,))
        edges.append(("n5", "n7"))
        path = self.write(nodes, edges)
        frames = counts(IMAGE)
        self.assert_computes(path, nodes, edges, frames)
        out = self.run_tool("opt", path, "--passes=prepare", "--set", f"timesteps={STEPS}").out
        self.assertEqual(out.count("conv2d") + out.count("linear"), 3, out)
        # the joined float module fires what the graph fires
        self.verify(path, "loihi2", frames, self.path("c"))

    def test_long_delays_wait_in_relays(self):
        """20 and 15 steps, of a layer and of feedback; synapses on loihi2 have 7."""
        nodes, edges = recurrent(True)
        nodes["wait"] = ("Delay", {"delay": full((6,), 0.015)})
        nodes["late"] = ("Delay", {"delay": full((6,), 0.020)})
        edges = [e for e in edges if e != ("z", "out")] + [("z", "late"), ("late", "out")]
        path = self.write(nodes, edges)
        frames = np.random.default_rng(2).poisson(0.5, size=(3, 40, 4)).astype(F4)
        t.write_tensors(self.path("x.st"), {"input": frames})
        folder = self.path("c")
        self.run_tool("compile", path, "--target", "loihi2", "--set", "timesteps=40", "-o", folder,
                      "--quiet")
        self.run_tool("check", folder, "--quiet")
        report = self.run_tool("verify", folder, "--input", self.path("x.st"), "--json").json()
        self.assertEqual(report["mismatches"], 0)
        with h5py.File(os.path.join(folder, "image.h5")) as image:
            self.assertGreater(int((image["layers"]["kind"] == 2).sum()), 1)
            self.assertEqual(int(image["meta"][0]["interval"]), 60)

    def test_the_page_on_images_suffices(self):
        """docs/chip-image.md, as chip_model.py reads it: decaying currents, late spikes."""
        for name in ("cuba", "recurrent", "recurrent_delay", "delay"):
            with self.subTest(name):
                (nodes, edges), shape = GRAPHS[name]
                frames = counts(shape, images=3)
                self.verify(self.write(nodes, edges), "loihi2", frames, self.path(name))
                self.run_tool("simulate", self.path(name), "--input", self.path("x.st"), "--spikes",
                              self.path("s.st"), "--quiet")
                chip = Chip(self.path(name, "image.h5"))
                values, _ = chip.run(list(frames.reshape(*frames.shape, 1, 1)))
                self.assertEqual(chip.outside, 0)
                for value, got in t.read_tensors(self.path("s.st")).items():
                    if value in values:
                        np.testing.assert_array_equal(got.ravel(), values[value].ravel(), value)
                self.assertIn("n1" if "n1" in nodes else "z", values)

    def test_checker_sees_late_spikes(self):
        """An interval without the gap, and a connection a step later than its delay."""
        (nodes, edges), shape = GRAPHS["recurrent"]
        path = self.write(nodes, edges)
        for what, change, says in (("interval", ("meta", "interval", -1), "E0922"),
                                   ("delay", ("in_axons", "delay", 1), "E0947")):
            with self.subTest(what):
                folder = self.path(what)
                self.verify(path, "loihi2", counts(shape), folder)
                with h5py.File(os.path.join(folder, "image.h5"), "r+") as image:
                    table, field, add = change
                    rows = image[table][:]
                    rows[field] = rows[field].astype(int) + add
                    image[table][:] = rows
                self.run_tool("check", folder, expect=t.DIFFERENCE, says=says)

    def test_loops_on_chips(self):
        """Through two layers with a delay of two steps; with one step the loop is too long."""
        nodes = {"input": ("Input", make.port((4,))), "fc": affine(6, 4), "a": lif((6,)),
                 "mid": affine(5, 6, seed=5), "b": lif((5,)), "back": affine(6, 5, seed=6),
                 "out": affine(3, 5, seed=8), "last": lif((3,)),
                 "output": ("Output", make.port((3,)))}
        edges = [("input", "fc"), ("fc", "a"), ("a", "mid"), ("mid", "b"), ("b", "out"),
                 ("out", "last"), ("last", "output"), ("back", "a")]
        long = edges + [("b", "back")]
        path = self.write(nodes, long)
        self.run_tool("compile", path, "--target", "loihi2", "-o", self.path("c"), "--set",
                      f"timesteps={STEPS}", expect=t.NO_FIT, says=("E0645", "2 layers"))
        nodes["wait"] = ("Delay", {"delay": full((5,), 0.002)})
        path = self.write(nodes, edges + [("b", "wait"), ("wait", "back")])
        self.verify(path, "loihi2", counts((4,), images=4), self.path("c"))
        image = h5py.File(self.path("c", "image.h5"))
        self.assertEqual(int(image["meta"][0]["interval"]), STEPS + 2)

    def test_refused_on_chips(self):
        for name, target, says in (("li", "loihi2", ("E0627", "does not spike")),
                                   ("cuba", "loihi1", ("E0630", "programmable")),
                                   ("lif_parameters", "loihi2", ("E0630", "n1", "reset")),
                                   ("cuba_parameters", "loihi2", ("E0630", "n1")),
                                   ("lif_taus", "loihi2", ("E0630", "leak differs")),
                                   ("recurrent", "loihi1", ("E0639", "programmable")),
                                   ("delay", "loihi1", ("E0639", "programmable")),
                                   ("scale_map", "loihi2", ("E0626", "scale")),
                                   ("if", "loihi2", ("E0630", "start from the value"))):
            with self.subTest(name):
                (nodes, edges), _ = GRAPHS[name]
                self.run_tool("compile", self.write(nodes, edges), "--target", target, "-o",
                              self.path("c"), "--set", f"timesteps={STEPS}", expect=t.NO_FIT,
                              says=says)
        (nodes, edges), _ = GRAPHS["lif"]
        self.run_tool("compile", self.write(nodes, edges), "--target", "loihi2", "-o",
                      self.path("c"), "--set", "analog=true", expect=t.NO_FIT,
                      says=("E0629", "real values"))

if __name__ == "__main__":
    unittest.main()
