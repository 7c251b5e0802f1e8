"""NIR graphs: every primitive computes what an independent integrator computes; files of all kinds
are read right, or refused with a reason; what is written reads back; graphs compile and verify."""
import json
import os
import unittest

import h5py
import numpy as np

import mini_model
from chip_model import Chip
import nir_maker as make
import spikec_tool as t

F4, F8, I8 = "<f4", "<f8", "<i8"
STEPS = 12


def f4(*shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(F4)


def full(shape, value, dtype=F4):
    return np.full(shape, value, dtype)


def lif(shape, dtype=F4, tau=0.004, threshold=0.3, **more):
    return ("LIF", {"tau": full(shape, tau, dtype), "r": full(shape, 1.0, dtype),
                    "v_leak": full(shape, 0.0, dtype), "v_threshold": full(shape, threshold, dtype),
                    "v_reset": full(shape, 0.0, dtype), **more})


def cuba(shape, **more):
    return ("CubaLIF", {"tau_syn": full(shape, 0.003), "tau_mem": full(shape, 0.005),
                        "r": full(shape, 1.5), "v_leak": full(shape, 0.0),
                        "v_threshold": full(shape, 0.4), "v_reset": full(shape, 0.0),
                        "w_in": full(shape, 2.0), **more})


def affine(out, size, seed=1, scale=1.0):
    return ("Affine", {"weight": f4(out, size, seed=seed, scale=scale),
                       "bias": f4(out, seed=seed + 50, scale=0.3)})


def conv(shape, seed=2, **more):
    return ("Conv2d", {"weight": f4(*shape, seed=seed, scale=0.6), "bias": f4(shape[0], seed=3),
                       "stride": np.array([1, 1], I8), "padding": np.array([1, 1], I8),
                       "dilation": np.array([1, 1], I8), "groups": np.array(1, I8), **more})


def chain(shape, *nodes, out):
    """Nodes in a row between input and output: (nodes, edges)."""
    names = ["input"] + [f"n{i}" for i in range(len(nodes))] + ["output"]
    table = {"input": ("Input", make.port(shape)), "output": ("Output", make.port(out))}
    table.update(zip(names[1:-1], nodes))
    return table, list(zip(names, names[1:]))


# name: ((nodes, edges), input shape)
IMAGE = (2, 6, 7)
ROW = (3, 9)
GRAPHS = {
    "lif": (chain((4,), affine(6, 4), lif((6,)), out=(6,)), (4,)),
    "lif_parameters": (chain((4,), affine(6, 4), ("LIF", {
        "tau": np.linspace(0.002, 0.009, 6).astype(F4), "r": np.linspace(0.5, 2, 6).astype(F8),
        "v_leak": np.linspace(-0.2, 0.3, 6).astype(F4),
        "v_threshold": np.linspace(0.2, 0.6, 6).astype(F8),
        "v_reset": np.linspace(-0.3, 0.2, 6).astype(F4)}), out=(6,)), (4,)),
    "lif_channels": (chain((4,), affine(6, 4), ("LIF", {
        "tau": full((6,), 0.004), "r": np.linspace(0.5, 2, 6).astype(F8),
        "v_leak": np.linspace(-0.2, 0.3, 6).astype(F4),
        "v_threshold": np.linspace(0.2, 0.6, 6).astype(F8),
        "v_reset": full((6,), 0.0)}), out=(6,)), (4,)),
    "lif_taus": (chain((4,), affine(6, 4), lif((6,), **{
        "tau": np.linspace(0.002, 0.009, 6).astype(F4)}), out=(6,)), (4,)),
    "cuba_channels": (chain((4,), affine(5, 4), cuba(
        (5,), w_in=np.linspace(0.5, 3, 5).astype(F4),
        v_threshold=np.linspace(0.3, 0.6, 5).astype(F4)), out=(5,)), (4,)),
    "if": (chain((4,), ("Linear", {"weight": f4(6, 4)}), ("IF", {
        "r": full((6,), 300.0), "v_threshold": full((6,), 0.9),
        "v_reset": full((6,), 0.1)}), out=(6,)), (4,)),
    "if_0": (chain((4,), ("Linear", {"weight": f4(6, 4)}), ("IF", {
        "r": full((6,), 300.0), "v_threshold": full((6,), 0.9),
        "v_reset": full((6,), 0.0)}), out=(6,)), (4,)),
    "cuba": (chain((4,), affine(6, 4), cuba((6,)), out=(6,)), (4,)),
    "cuba_parameters": (chain((4,), affine(5, 4), cuba(
        (5,), tau_syn=np.linspace(0.002, 0.006, 5).astype(F4),
        w_in=np.linspace(0.5, 3, 5).astype(F4), v_leak=full((5,), 0.1),
        v_reset=full((5,), -0.2)), out=(5,)), (4,)),
    "li": (chain((4,), affine(6, 4), ("LI", {"tau": full((6,), 0.005), "r": full((6,), 2.0),
                                             "v_leak": full((6,), 0.25)}), out=(6,)), (4,)),
    "i": (chain((4,), affine(6, 4), ("I", {"r": full((6,), 100.0)}), out=(6,)), (4,)),
    "cuba_li": (chain((4,), affine(3, 4), ("CubaLI", {
        "tau_syn": full((3,), 0.004), "tau_mem": full((3,), 0.006), "r": full((3,), 1.0),
        "v_leak": full((3,), 0.0), "w_in": full((3,), 1.5)}), out=(3,)), (4,)),
    "threshold": (chain((4,), affine(6, 4), ("Threshold", {
        "threshold": np.linspace(-0.5, 1, 6).astype(F4)}), out=(6,)), (4,)),
    "scale": (chain((4,), ("Scale", {"scale": f4(4, seed=9)}), lif((4,), threshold=0.2), out=(4,)),
              (4,)),
    "scale_map": (chain(IMAGE, ("Scale", {"scale": f4(*IMAGE, seed=9)}), lif(IMAGE, threshold=0.1),
                        out=IMAGE), IMAGE),
    "conv2d": (chain(IMAGE, conv((4, 2, 3, 3)), lif((4, 6, 7)), out=(4, 6, 7)), IMAGE),
    "conv2d_odd": (chain(IMAGE, conv((4, 1, 3, 2), stride=np.array([2, 1], I8),
                                     padding=np.array([2, 1], I8), dilation=np.array([2, 3], I8),
                                     groups=np.array(2, I8), input_shape=np.array([6, 7], I8)),
                         lif((4, 3, 6)), out=(4, 3, 6)), IMAGE),
    "conv2d_same": (chain(IMAGE, conv((3, 2, 4, 3), padding="same"), lif((3, 6, 7)),
                          out=(3, 6, 7)), IMAGE),
    "conv2d_valid": (chain(IMAGE, conv((3, 2, 2, 3), padding="valid"), lif((3, 5, 5)),
                           out=(3, 5, 5)), IMAGE),
    "conv1d": (chain(ROW, ("Conv1d", {"weight": f4(4, 3, 3), "bias": f4(4, seed=3),
                                      "stride": np.array(2, I8), "padding": np.array(1, I8),
                                      "dilation": np.array(1, I8), "groups": np.array(1, I8),
                                      "input_shape": np.array(9, I8)}), lif((4, 5)), out=(4, 5)),
               ROW),
    "conv1d_point": (chain(ROW, ("Conv1d", {"weight": f4(4, 3, 1), "bias": f4(4, seed=3),
                                            "stride": np.array([1], I8), "padding": "valid"}),
                           lif((4, 9)), out=(4, 9)), ROW),
    "sum_pool": (chain(IMAGE, ("SumPool2d", {"kernel_size": np.array([2, 3], I8),
                                             "stride": np.array([2, 2], I8),
                                             "padding": np.array([0, 1], I8)}),
                       lif((2, 3, 4), threshold=0.7), out=(2, 3, 4)), IMAGE),
    "avg_pool": (chain(IMAGE, ("AvgPool2d", {"kernel_size": np.array([2, 2], I8),
                                             "stride": np.array([2, 2], I8),
                                             "padding": np.array([0, 0], I8)}),
                       lif((2, 3, 3), threshold=0.3), out=(2, 3, 3)), IMAGE),
    "flatten": (chain(IMAGE, conv((2, 2, 3, 3)), lif((2, 6, 7)), ("Flatten", {
        "input_type": np.array([2, 6, 7], I8), "start_dim": np.array(0, I8),
        "end_dim": np.array(-1, I8)}), affine(5, 84, scale=0.3), lif((5,)), out=(5,)), IMAGE),
    "delay": (chain((4,), affine(6, 4), lif((6,)), ("Delay", {"delay": full((6,), 0.003)}),
                    affine(5, 6, seed=4), lif((5,)), out=(5,)), (4,)),
}


def residual():
    nodes = {"input": ("Input", make.port((4,))), "a": affine(6, 4), "b": lif((6,)),
             "c": affine(6, 6, seed=5), "d": lif((6,)), "e": affine(3, 6, seed=6), "f": lif((3,)),
             "output": ("Output", make.port((3,)))}
    edges = [("input", "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("b", "e"), ("d", "e"),
             ("e", "f"), ("f", "output"), ("b", "d")]
    return nodes, edges


def recurrent(delayed=False):
    nodes = {"w_rec": affine(6, 6, seed=7), "input": ("Input", make.port((4,))), "fc": affine(6, 4),
             "z": cuba((6,)), "out": affine(3, 6, seed=8), "last": lif((3,)),
             "output": ("Output", make.port((3,)))}
    edges = [("w_rec", "z"), ("input", "fc"), ("fc", "z"), ("z", "out"), ("out", "last"),
             ("last", "output")]
    if not delayed:
        return nodes, edges + [("z", "w_rec")]
    nodes["wait"] = ("Delay", {"delay": full((6,), 0.004)})
    return nodes, edges + [("z", "wait"), ("wait", "w_rec")]


def nested():
    block, inside = chain((4,), affine(6, 4), lif((6,)), out=(6,))
    inner, within = chain((6,), affine(3, 6, seed=4), lif((3,)), out=(3,))
    deep = {"input": ("Input", make.port((6,))), "core": (inner, within),
            "output": ("Output", make.port((3,)))}
    nodes = {"input": ("Input", make.port((4,))), "block": (block, inside),
             "deep": (deep, [("input", "core"), ("core", "output")]),
             "output": ("Output", make.port((3,)))}
    return nodes, [("input", "block"), ("block", "deep"), ("deep", "output")]


GRAPHS["residual"] = (residual(), (4,))
GRAPHS["recurrent"] = (recurrent(), (4,))
GRAPHS["recurrent_delay"] = (recurrent(True), (4,))
GRAPHS["nested"] = (nested(), (4,))
SPIKING = ("LIF", "IF", "CubaLIF", "Threshold")


def counts(shape, seed=11, images=2):
    return np.random.default_rng(seed).poisson(0.5, size=(images, STEPS, *shape)).astype(F4)


class Base(t.ToolTest):
    def write(self, nodes, edges, name="g.nir", dt=0.001, **how):
        return make.write(self.path(name), nodes, edges, {} if dt is None else {"dt": dt}, **how)

    def run_graph(self, path, frames, *more):
        """(spikes, logits)"""
        t.write_tensors(self.path("x.st"), {"input": frames})
        self.run_tool("run", path, "--set", f"timesteps={frames.shape[1]}", "--input",
                      self.path("x.st"), "--spikes", self.path("s.st"), "--out",
                      self.path("y.st"), "--quiet", *more)
        logits = t.read_tensors(self.path("y.st"))
        return t.read_tensors(self.path("s.st")), next(iter(logits.values()))

    def assert_computes(self, path, nodes, edges, frames, *more):
        spikes, logits = self.run_graph(path, frames, *more)
        for image in range(len(frames)):
            s = make.Simulation(nodes, edges, 0.001)
            want = s.run(frames[image])
            self.assertGreater(s.margin, 1e-5, "a membrane near its threshold proves nothing")
            fired = 0
            for name, (kind, _) in s.nodes.items():
                if kind in SPIKING:
                    got = spikes[name][:, image].reshape(STEPS, -1)
                    np.testing.assert_array_equal(got, want[name].reshape(STEPS, -1), name)
                    fired += got.sum()
                    self.assertTrue(0 < got.sum() < got.size, f"{name} tells nothing")
            mean = want["output"].reshape(STEPS, want["output"].shape[1], -1).mean(axis=(0, 2))
            np.testing.assert_allclose(logits[image], mean, rtol=1e-4, atol=1e-5)
        return spikes


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
