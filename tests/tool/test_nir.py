"""NIR graphs: every primitive computes what an independent integrator computes; files of all kinds
are read right, or refused with a reason; what is written reads back; graphs compile and verify."""
import json
import os
import unittest

import h5py
import numpy as np

import mini_model
import nir_maker as make
import spikec_tool as t
from nir_graphs import (F4, F8, GRAPHS, I8, IMAGE, SPIKING, STEPS, Base, affine, chain, conv, counts,
                        full, lif)


class Computed(Base):
    """Against the integrator of nir_maker.py."""

    def test_every_primitive(self):
        for name, ((nodes, edges), shape) in GRAPHS.items():
            with self.subTest(name):
                path = self.write(nodes, edges)
                self.assert_computes(path, nodes, edges, counts(shape))

    def test_real_frames_and_still_images(self):
        (nodes, edges), shape = GRAPHS["lif"]
        frames = np.random.default_rng(5).normal(size=(2, STEPS, *shape)).astype(F4)
        path = self.write(nodes, edges)
        self.assert_computes(path, nodes, edges, frames, "--set", "analog=true")
        still = frames[:, 0]
        t.write_tensors(self.path("x.st"), {"input": still})
        self.run_tool("run", path, "--set", f"timesteps={STEPS}", "--set", "static=true", "--input",
                      self.path("x.st"), "--spikes", self.path("s.st"), "--quiet")
        want = make.Simulation(nodes, edges, 0.001).run(np.repeat(still[1:2], STEPS, axis=0))
        got = t.read_tensors(self.path("s.st"))["n1"][:, 1].reshape(STEPS, -1)
        np.testing.assert_array_equal(got, want["n1"])


class Files(Base):
    """Ways in which a file may be written."""

    def test_strings_storage_and_widths(self):
        (nodes, edges), shape = GRAPHS["conv2d_same"]
        frames = counts(shape)
        want = self.assert_computes(self.write(nodes, edges), nodes, edges, frames)
        wide = {n: (k, {key: v.astype(F8) if getattr(v, "dtype", None) == F4 else v
                        for key, v in p.items()}) for n, (k, p) in nodes.items()}
        small = {n: (k, {key: v.astype("<i4") if getattr(v, "dtype", None) == I8 else v
                         for key, v in p.items()}) for n, (k, p) in nodes.items()}
        for what, table, how in (("ascii", nodes, {"texts": "ascii"}),
                                 ("spaces", nodes, {"texts": "space"}),
                                 ("gzip", nodes, {"gzip": True}), ("f64", wide, {}),
                                 ("i32", small, {}), ("no version", nodes, {"version": None})):
            with self.subTest(what):
                got, _ = self.run_graph(self.write(table, edges, **how), frames)
                self.assert_same_tensors(got, want, what)

    def test_old_files_have_no_v_reset(self):
        (nodes, edges), shape = GRAPHS["lif"]
        kind, p = nodes["n1"]
        old = dict(nodes, n1=(kind, {k: v for k, v in p.items() if k != "v_reset"}))
        self.assert_computes(self.write(old, edges), old, edges, counts(shape))

    def test_time_step(self):
        (nodes, edges), shape = GRAPHS["lif"]
        frames = counts(shape)
        t.write_tensors(self.path("x.st"), {"input": frames})
        path = self.write(nodes, edges, dt=None)
        self.run_tool("run", path, "--input", self.path("x.st"), "--set", f"timesteps={STEPS}",
                      expect=t.BAD_INPUT, says=("E0290", "LIF", "node/nodes/n1", "--dt"))
        self.assert_computes(path, nodes, edges, frames, "--dt", "0.001")
        other = self.write(nodes, edges, dt=0.5)  # the option wins
        self.assert_computes(other, nodes, edges, frames, "--dt", "0.001")
        self.run_tool("run", path, "--dt", "-1", expect=t.USAGE, says="--dt")
        self.run_tool("run", self.write(nodes, edges, dt=-1.0), "--input", self.path("x.st"),
                      expect=t.BAD_INPUT, says="above 0")

    def test_steps_are_told_or_assumed(self):
        (nodes, edges), shape = GRAPHS["lif"]
        path = make.write(self.path("g.nir"), nodes, edges, {"dt": 0.001, "timesteps": 5})
        self.assertIn("timesteps 5", self.run_tool("opt", path).out)
        path = self.write(nodes, edges)
        self.assertIn("timesteps 4", self.run_tool("opt", path, says="W0281").out)


def edit(change):
    """A variant of a good file: `change` gets the open file."""
    return change


def replace(key, value):
    def change(h):
        del h[key]
        if value is not None:
            h[key] = value
    return change


N = "node/nodes/"
HOSTILE = {
    "no graph": (replace("node", None), "neither a NIR graph"),
    "root of another type": (replace("node/type", "LIF"), ("E0280", "root must be a NIRGraph")),
    "unknown type": (replace(N + "n1/type", "Pump"), ("E0280", "'Pump'", N + "n1")),
    "no type": (replace(N + "n1/type", None), ("missing", N + "n1/type")),
    "type is a number": (replace(N + "n1/type", 7), N + "n1/type"),
    "unknown dataset": (lambda h: h.create_dataset(N + "n1/alpha", data=1.0), ("E0281", "'alpha'")),
    "edge to nowhere": (lambda h: h["node/edges"].write_direct(
        np.array([["input", "gone"], ["n0", "n1"], ["n1", "output"]], dtype=object)),
        ("E0282", "'gone'")),
    "edge from nowhere": (lambda h: h["node/edges"].write_direct(
        np.array([["input", "n0"], ["gone", "n1"], ["n1", "output"]], dtype=object)),
        ("E0282", "'gone'")),
    "edges of three": (replace("node/edges", np.zeros((2, 3), "S3")), ("E0282", "pairs")),
    "edges of numbers": (replace("node/edges", np.zeros((2, 2))), "node/edges"),
    "no edges": (replace("node/edges", None), "node/edges"),
    "empty edges": (replace("node/edges", np.zeros((0, 2), "S3")), ("E0282", "no edge leads")),
    "no input": (replace(N + "input", None), ("E0283", "0 Input")),
    "weight of rank 3": (replace(N + "n0/weight", np.zeros((2, 6, 4), F4)), ("E0284", "matrix")),
    "weight of other size": (replace(N + "n0/weight", np.zeros((6, 5), F4)),
                             ("E0284", "[6, 5]", "[4]")),
    "weight of text": (replace(N + "n0/weight", "abc"), N + "n0/weight"),
    "no weight": (replace(N + "n0/weight", None), N + "n0/weight"),
    "weight not finite": (lambda h: h[N + "n0/weight"].__setitem__((0, 0), np.nan),
                          ("E0284", "not finite")),
    "bias too short": (replace(N + "n0/bias", np.zeros(5, F4)), ("E0284", "bias")),
    "tau of other size": (replace(N + "n1/tau", np.full(5, 0.1, F4)), ("E0284", "tau", "6")),
    "tau zero": (lambda h: h[N + "n1/tau"].__setitem__(2, 0.0), ("E0287", "tau")),
    "no tau": (replace(N + "n1/tau", None), N + "n1/tau"),
    "tau infinite": (lambda h: h[N + "n1/tau"].__setitem__(2, np.inf), ("E0284", "tau")),
    "input of rank 5": (replace(N + "input/shape", np.ones(5, I8)), ("E0284", "axes")),
    "input of no size": (replace(N + "input/shape", np.array([0], I8)), ("E0284", "axes")),
    "input too large": (replace(N + "input/shape", np.array([1 << 40], I8)), ("E0284", "elements")),
    "negative input": (replace(N + "input/shape", np.array([-4], I8)), ("E0284", "axes")),
    "output of other shape": (replace(N + "output/shape", np.array([5], I8)), ("E0284", "[6]")),
    "soft link": (lambda h: h.__setitem__(N + "n2", h5py.SoftLink("/" + N + "n1")), "n2"),
    "link to another file": (lambda h: h.__setitem__(N + "n2", h5py.ExternalLink("x.h5", "/n")),
                             "n2"),
}


class Refused(Base):
    def good(self):
        (nodes, edges), shape = GRAPHS["lif"]
        t.write_tensors(self.path("x.st"), {"input": counts(shape)})
        return self.write(nodes, edges)

    def refuse(self, path, says):
        self.run_tool("run", path, "--input", self.path("x.st"), "--set", f"timesteps={STEPS}",
                      expect=t.BAD_INPUT, says=says)

    def test_hostile_files(self):
        for what, (change, says) in HOSTILE.items():
            with self.subTest(what):
                path = self.good()
                with h5py.File(path, "r+") as h:
                    change(h)
                self.refuse(path, says)

    def test_truncated_files(self):
        path = self.good()
        whole = t.read_bytes(path)
        for size in sorted({0, 1, 7, 8, 60, 96, 500, *range(1000, len(whole), 1500),
                            len(whole) - 1}):
            with self.subTest(size):
                t.write_bytes(path, whole[:size])
                self.refuse(path, ())

    def test_what_cannot_be_expressed(self):
        (nodes, edges), shape = GRAPHS["lif"]
        two = dict(nodes, second=("Input", make.port(shape)))
        loop = {"input": ("Input", make.port((4,))), "a": affine(4, 4), "b": affine(4, 4),
                "output": ("Output", make.port((4,)))}
        cycle = [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")]
        wait = dict(GRAPHS["delay"][0][0])
        deep = {"input": ("Input", make.port((4,))), "output": ("Output", make.port((4,)))}, \
            [("input", "output")]
        for _ in range(20):
            deep = {"input": ("Input", make.port((4,))), "g": deep,
                    "output": ("Output", make.port((4,)))}, [("input", "g"), ("g", "output")]
        shapes = dict(nodes, more=affine(5, 4))
        for what, (graph, links, says) in {
                "two inputs": (two, edges + [("second", "n0")], ("E0283", "2 Input")),
                "algebraic loop": (loop, cycle, ("E0286", "without a neuron")),
                "delays that differ": (dict(wait, n2=("Delay", {
                    "delay": np.linspace(0.001, 0.006, 6).astype(F4)})), GRAPHS["delay"][0][1],
                    ("E0288", "different delays", "n2")),
                "delay between steps": (dict(wait, n2=("Delay", {"delay": full((6,), 0.0025)})),
                                        GRAPHS["delay"][0][1], ("E0288", "whole number")),
                "too deep": (*deep, ("E0285", "nested deeper")),
                "sum of shapes": (shapes, edges + [("input", "more"), ("more", "n1")],
                                  ("E0284", "different shapes", "[5]")),
                "vector convolved": (dict(nodes, n0=conv((4, 2, 3, 3))), edges,
                                     ("E0284", "Conv2d", "[4]")),
                "map without flatten": (chain(IMAGE, affine(3, 84), lif((3,)), out=(3,))
                                        + (("E0284", "Flatten"),))}.items():
            with self.subTest(what):
                self.good()
                self.refuse(self.write(graph, links), says)

    def test_settings(self):
        path = self.good()
        for setting in ("timesteps=0", "timesteps=1.5", "timesteps=x", "depth=3", "static=7"):
            self.run_tool("run", path, "--input", self.path("x.st"), "--set", setting,
                          expect=t.BAD_INPUT, says="E0291")


class Exported(Base):
    def export(self, path, *more):
        out = self.path("out")
        return self.run_tool("export", path, "--to", "nir", "-o", out, *more), out

    def text(self, path, *more):
        """Of the IR, without the module's name."""
        out = self.run_tool("opt", path, "--passes=dce", *more).out
        return [line for line in out.splitlines() if not line.startswith("module")]

    def test_graphs_come_back(self):
        for name, ((nodes, edges), shape) in GRAPHS.items():
            with self.subTest(name):
                path = self.write(nodes, edges)
                frames = counts(shape)
                _, out = self.export(path, "--set", f"timesteps={STEPS}")
                back = os.path.join(out, "graph.nir")
                if name != "recurrent_delay":  # names of delays, and with them the order, are new
                    self.assertEqual(self.text(back),
                                     self.text(path, "--set", f"timesteps={STEPS}"))
                want = self.run_graph(path, frames)
                got = self.run_graph(back, frames)
                self.assert_same_tensors(got[0], want[0])
                np.testing.assert_array_equal(got[1], want[1])

    def test_written_graphs_mean_the_same(self):
        """Read by h5py, computed by the integrator: also with another step."""
        (nodes, edges), shape = GRAPHS["flatten"]
        frames = counts(shape)
        path = self.write(nodes, edges)
        want, _ = self.run_graph(path, frames)
        for dt in (1.0, 0.25):
            _, out = self.export(path, "--dt", "0.001") if dt == 1.0 else self.export(path)
            with h5py.File(os.path.join(out, "graph.nir")) as h:
                self.assertEqual(h["version"][()], b"1.0.7")
                self.assertEqual(h5py.check_string_dtype(h["node/edges"].dtype).length, None)
                step = float(h["node/metadata/dt"][()])
            s = make.Simulation(*make.read(os.path.join(out, "graph.nir")), step)
            got = s.run(frames[0])
            for name in ("n1", "n4"):
                np.testing.assert_array_equal(got[name].ravel(), want[name][:, 0].ravel())

    MODEL = """import "blocks/spikformer.spk";

model plain(timesteps = 4, dim = 6, classes = 3) {{
	input x : {input};

	let s = conv_sn(x, dim, kernel = 3, pad = 1) in "a_*";
	let y = conv_sn(s, dim, kernel = 3, pad = 1) in "b_*";
	let z = tokens(s + y);

	output logits = head(z, classes) as "head";
}}
"""

    def test_plain_models_come_back(self):
        """Batch norms folded, spikes bit for bit, also of still images."""
        for kind, declared in mini_model.INPUTS.items():
            with self.subTest(kind):
                model = mini_model.write(self.path(kind), kind)
                t.write_text(model, self.MODEL.format(input=declared.replace("timesteps", "4")))
                weights = self.path("w.st")
                self.run_tool("synth", model, "--rate", "0.2", "-o", weights, "--quiet")
                _, out = self.export(model, "--weights", weights)
                back = os.path.join(out, "graph.nir")
                self.assertIn("fire v >= 1", self.run_tool("opt", back).out)
                written = make.read(back)[0]["a_lif"][1]["v_threshold"]
                self.assertTrue(0.99 < written.max() < 1)  # NIR compares with >
                rng = np.random.default_rng(3)
                frames = (rng.poisson(0.6, size=(3, 4, 2, 4, 4)) if kind == "events"
                          else rng.normal(size=(3, 2, 4, 4))).astype(F4)
                t.write_tensors(self.path("x.st"), {"input": frames})
                results = []
                for source, more in ((model, ["--weights", weights]), (back, [])):
                    self.run_tool("run", source, *more, "--input", self.path("x.st"), "--spikes",
                                  self.path("s.st"), "--out", self.path("y.st"), "--quiet")
                    results.append((t.read_tensors(self.path("s.st")),
                                    next(iter(t.read_tensors(self.path("y.st")).values()))))
                fired = 0
                for name, spikes in results[1][0].items():
                    np.testing.assert_array_equal(spikes, results[0][0][name], name)
                    fired += spikes.sum()
                self.assertGreater(fired, 0)
                np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-5, atol=1e-6)

    def test_static_parts_of_a_spikformer(self):
        """Every part, driven by the recorded values before it, gives those behind it."""
        model = mini_model.write(self.path("m"), "events")
        weights = self.path("w.st")
        self.run_tool("synth", model, "--rate", "0.2", "-o", weights, "--quiet")
        done, out = self.export(model, "--weights", weights)
        self.assertIn("cut at 2 values", done.out)
        frames = mini_model.images("events", 1)
        t.write_tensors(self.path("x.st"), {"input": frames})
        self.run_tool("run", model, "--weights", weights, "--input", self.path("x.st"), "--spikes",
                      self.path("s.st"), "--quiet")
        spikes = t.read_tensors(self.path("s.st"))
        with open(os.path.join(out, "index.json"), encoding="utf-8") as f:
            index = json.load(f)
        self.assertEqual([c["op"] for c in index["cut"]], ["maxpool", "attention"])
        known = {"x": frames[0]}
        known.update((name, value[:, 0]) for name, value in spikes.items())
        pool, attention = (c["value"] for c in index["cut"])
        stem = known["stem_lif"]
        known[pool] = stem.reshape(3, 8, 2, 2, 2, 2).max(axis=(3, 5))
        q, k, v = (known[f"block.attn.{n}_lif"].reshape(3, 2, 4, 4).astype(float) for n in "qkv")
        known[attention] = 0.25 * np.einsum("thin,thim,thjm->thjn", q, k, v)
        self.assertEqual(len(index["graphs"]), 3)
        compared = set()
        for part in index["graphs"]:
            nodes, edges = make.read(os.path.join(out, part["file"]))
            inputs = {p["node"]: known[p["value"]].reshape(3, *nodes[p["node"]][1]["shape"])
                      for p in part["inputs"]}
            got = make.Simulation(nodes, edges, index["dt"]).run_all(inputs)
            for name, (kind, _) in nodes.items():
                if kind in SPIKING:
                    np.testing.assert_array_equal(got[name].ravel(), spikes[name][:, 0].ravel(),
                                                  name)
                    compared.add(name)
            for p in part["outputs"]:
                known.setdefault(p["value"], got[p["node"]])
        self.assertEqual(len(compared), 8)

    def test_refused(self):
        model = mini_model.write(self.path("m"), "events")
        text = self.MODEL.format(input="frames[2, 4, 4] steps 4")
        soft = "neuron soft { state v = 0; charge v = v + (input - v) / 2; fire v >= 1; " \
               "reset v = v - 1; }\n"
        t.write_text(model, soft + text.replace("let z = tokens(s + y);",
                                                "let z = tokens(soft(s + y));"))
        result = t.spikec("export", model, "--to", "nir", "-o", self.path("o"))
        self.assertNotEqual(result.code, t.DONE)
        self.assertFalse(os.path.exists(self.path("o")))
        (nodes, edges), _ = GRAPHS["lif"]
        path = self.write(nodes, edges)
        self.run_tool("export", path, "--to", "brian", "-o", self.path("o"), expect=t.BAD_INPUT)
        self.run_tool("export", path, "--to", "nir", expect=t.USAGE, says="-o")

if __name__ == "__main__":
    unittest.main()
