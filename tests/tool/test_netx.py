"""lava-dl networks (netx): computed as lava's integer rules say, read right or refused with a reason,
written, read back and mapped."""
import os
import unittest

import h5py
import numpy as np

import mini_model
import spikec_tool as t

STEPS = 10
VLEN = h5py.string_dtype("utf-8")


def layer(h, index, kind, shape, **data):
    g = h.create_group(f"layer/{index}")
    g.create_dataset("type", data=np.array([kind.encode()], dtype="S10"))
    g.create_dataset("shape", data=np.array(shape, dtype="<i8"))
    for key, value in data.items():
        g.create_dataset(key, data=value)
    return g


def neuron(g, i_decay=4096, v_decay=1024, threshold=2, **more):
    n = g.create_group("neuron")
    n.create_dataset("type", data=more.pop("type", "LOIHI"), dtype=VLEN)
    values = {"iDecay": i_decay, "vDecay": v_decay, "vThMant": threshold, "refDelay": 1}
    for key, value in {**values, **more}.items():
        n.create_dataset(key, data=value)


def even(*shape, seed=0, most=8):
    return (2 * np.random.default_rng(seed).integers(-most, most + 1, size=shape)).astype("<f4")


def pair(a, b=None):
    return np.array([a, a if b is None else b], dtype="<i8")


# lava_dl's own file has these; the tests' differ in one thing each.
def network(path, change=None):
    """conv 2x5x6 -> 4x3x3 (groups, dilation, stride), conv -> 3x3x3, flatten, dense 6, dense 1."""
    with h5py.File(path, "w") as h:
        layer(h, 0, "input", (2, 5, 6))
        g = layer(h, 1, "conv", (4, 3, 3), inChannels=2, outChannels=4, groups=2,
                  kernelSize=pair(3, 2), stride=pair(2), padding=pair(1), dilation=pair(1, 2),
                  weight=even(4, 1, 3, 2), bias=even(4, seed=1))
        neuron(g, v_decay=1500, scaleRho=1.0, gradedSpike=False)
        g = layer(h, 2, "conv", (3, 3, 3), inChannels=4, outChannels=3, groups=1,
                  kernelSize=pair(3), stride=pair(1), padding=pair(1), dilation=pair(1),
                  weight=even(3, 4, 3, 3, seed=2))
        neuron(g, i_decay=1000, type="CUBA")
        layer(h, 3, "flatten", (1, 1, 27))
        g = layer(h, 4, "dense", (6, 1, 1), inFeatures=27, outFeatures=6,
                  weight=np.abs(even(6, 27, seed=3)) // 4, bias=even(6, seed=4, most=2))
        neuron(g, v_decay=0, threshold=75)
        g = layer(h, 5, "dense", (1, 1, 1), inFeatures=6, outFeatures=1,
                  weight=np.abs(even(6, seed=5)))
        neuron(g, v_decay=4095, threshold=12)
        h["simulation/Ts"], h["simulation/tSample"] = 1, STEPS
        if change:
            change(h)
    return path


def shifted(v, keep):
    return np.sign(v) * ((np.abs(v) * keep) >> 12)


def wrapped(x):
    return (x + (1 << 23)) % (1 << 24) - (1 << 23)


class Lava:
    """PyLifModelBitAcc, layer by layer and step by step, each with its input of the same step."""

    def __init__(self, path):
        self.layers = []
        with h5py.File(path) as h:
            for i in range(len(h["layer"])):
                g = h[f"layer/{i}"]
                data = {k: v[()] for k, v in g.items() if not isinstance(v, h5py.Group)}
                data.update((k, v[()]) for k, v in g.get("neuron", {}).items())
                self.layers.append((g["type"][0].decode(), data))

    @staticmethod
    def project(kind, p, x):
        w = p["weight"].astype(np.int64)
        if kind == "dense":
            return np.atleast_2d(w) @ x.ravel()
        stride, pad, dilation = p["stride"], p["padding"], p["dilation"]
        x = np.pad(x, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1])))
        oh, ow = p["shape"][1:]
        out = np.zeros((w.shape[0], oh, ow), dtype=np.int64)
        for o in range(w.shape[0]):
            first = o // (w.shape[0] // int(p["groups"])) * w.shape[1]
            for i, ky, kx in np.ndindex(*w.shape[1:]):
                y, k = ky * dilation[0], kx * dilation[1]
                out[o] += w[o, i, ky, kx] * x[first + i, y:y + stride[0] * (oh - 1) + 1:stride[0],
                                              k:k + stride[1] * (ow - 1) + 1:stride[1]]
        return out

    def run(self, frames):
        """[T, C, H, W] -> {index: [T, ...]}"""
        state, spikes = {}, {}
        for frame in frames.astype(np.int64):
            x = frame
            for i, (kind, p) in enumerate(self.layers):
                if kind in ("input", "flatten"):
                    continue
                sum_ = self.project(kind, p, x)
                u, v = state.get(i, (np.zeros_like(sum_), np.zeros_like(sum_)))
                bias = np.asarray(p.get("bias", 0)).astype(np.int64)
                bias = bias.reshape(bias.shape + (1,) * (sum_.ndim - bias.ndim))
                u = wrapped(shifted(u, 4096 - p["iDecay"]) + (sum_ << 6))
                v = np.clip(shifted(v, 4096 - p["vDecay"]) + u + (bias << 6), -(2 ** 23 - 1),
                            2 ** 23 - 1)
                x = (v > p["vThMant"] << 6).astype(np.int64)
                state[i] = (u, np.where(x, 0, v))
                spikes.setdefault(i, []).append(x)
        return {i: np.array(v) for i, v in spikes.items()}


def events(images=3, seed=7):
    return np.random.default_rng(seed).poisson(0.6, size=(images, STEPS, 2, 5, 6)).astype("<f4")


class Base(t.ToolTest):
    def run_network(self, path, frames):
        t.write_tensors(self.path("x.st"), {"input": frames})
        self.run_tool("run", path, "--input", self.path("x.st"), "--spikes", self.path("s.st"),
                      "--quiet")
        return t.read_tensors(self.path("s.st"))


class Read(Base):
    def test_integers_are_lavas(self):
        path = network(self.path("n.net"))
        frames = events()
        spikes = self.run_network(path, frames)
        for image in range(len(frames)):
            want = Lava(path).run(frames[image])
            for index, value in want.items():
                got = spikes[f"layer.{index}"][:, image]
                np.testing.assert_array_equal(got.ravel(), value.ravel(), f"layer {index}")
                self.assertTrue(0 < value.sum() < value.size, f"layer {index} tells nothing")

    def test_networks_verify_on_chips(self):
        path = network(self.path("n.net"))
        t.write_tensors(self.path("x.st"), {"input": events()})
        folder = self.path("c")
        self.run_tool("compile", path, "--target", "loihi2", "-o", folder, "--quiet")
        self.run_tool("check", folder, "--quiet")
        report = self.run_tool("verify", folder, "--input", self.path("x.st"), "--json").json()
        self.assertEqual((report["mismatches"], report["logit_mismatches"]), (0, 0))
        self.assertGreater(report["values_compared"], 0)
        # hard-wired neurons: no decaying current, biases that are multiples of 2 << 6
        self.run_tool("compile", path, "--target", "loihi1", "-o", self.path("d"),
                      expect=t.NO_FIT, says=("E0674", "layer.2", "decaying"))

        def plain(h):
            h["layer/2/neuron/iDecay"][()] = 4096
        path = network(self.path("p.net"), plain)
        folder = self.path("e")
        result = t.spikec("compile", path, "--target", "loihi1", "-o", folder, "--quiet")
        self.assertEqual(result.code, t.NO_FIT, result)  # vDecay 0: it never forgets
        self.assertIn("layer.4", result.err)

        def forgets(h):
            plain(h)
            h["layer/4/neuron/vDecay"][()] = 2048
            h["layer/4/weight"][:] = 2 * h["layer/4/weight"][:]  # loihi1: even ones
        path = network(self.path("q.net"), forgets)
        self.run_tool("compile", path, "--target", "loihi1", "-o", folder, "--quiet")
        self.run_tool("check", folder, "--quiet")
        report = self.run_tool("verify", folder, "--input", self.path("x.st"), "--json").json()
        self.assertEqual((report["mismatches"], report["logit_mismatches"]), (0, 0))

    def test_steps(self):
        path = network(self.path("n.net"))
        self.assertIn(f"timesteps {STEPS}", self.run_tool("opt", path).out)
        self.assertIn("timesteps 3", self.run_tool("opt", path, "--set", "timesteps=3").out)
        path = network(self.path("n.net"), lambda h: h.__delitem__("simulation"))
        self.assertIn("timesteps 4", self.run_tool("opt", path, says="W0281").out)


def put(key, value):
    def change(h):
        if key in h:
            del h[key]
        if value is not None:
            h[key] = value
    return change


def name(text):
    return np.array([text.encode()], dtype="S10")


HOSTILE = {
    "no layers": (put("layer", None), "E0280"),
    "empty list": (lambda h: (h.__delitem__("layer"), h.create_group("layer")), "no layers"),
    "a number is missing": (lambda h: h.move("layer/4", "layer/9"), ("E0292", "layer/4")),
    "first is no input": (put("layer/0/type", name("dense")), ("E0292", "layer/0/type")),
    "unknown layer": (put("layer/2/type", name("pool")), ("E0292", "'pool'", "layer/2")),
    "recurrent": (put("layer/5/type", name("dense_rec")), ("E0292", "'dense_rec'")),
    "no type": (put("layer/2/type", None), "layer/2/type"),
    "type is a number": (put("layer/2/type", 3), "layer/2/type"),
    "unknown dataset": (put("layer/4/weightScale", 2.0), ("E0293", "weightScale")),
    "other neurons": (put("layer/1/neuron/type", "SDNN"), ("E0296", "'SDNN'")),
    "graded spikes": (put("layer/1/neuron/gradedSpike", True), ("E0296", "graded")),
    "refractory": (put("layer/1/neuron/refDelay", 4), ("E0296", "refractory")),
    "delays": (put("layer/4/delay", np.ones(27, "<f4")), "layer/4/delay"),
    "one delay": (put("layer/4/delay", 2), ("E0296", "delays")),
    "no neurons": (put("layer/4/neuron", None), ("E0292", "no neurons")),
    "no threshold": (put("layer/4/neuron/vThMant", None), "vThMant"),
    "decay too large": (put("layer/4/neuron/vDecay", 5000), ("E0294", "5000")),
    "decay is a fraction": (put("layer/4/neuron/vDecay", 0.5), ("E0294", "0.5")),
    "weights beyond": (put("layer/4/weight", np.full((6, 27), 300, "<f4")), ("E0294", "300")),
    "weights of half": (put("layer/4/weight", np.full((6, 27), 0.5, "<f4")), ("E0294", "0.5")),
    "weights not finite": (put("layer/4/weight", np.full((6, 27), np.nan, "<f4")), "E0294"),
    "odd weights of both signs": (put("layer/2/weight", even(3, 4, 3, 3, seed=2) + 1),
                                  ("E0295", "both signs")),
    "odd weights of 9 bits": (put("layer/5/weight", np.full(6, 201, "<f4")), ("E0295", "9 bits")),
    "weights of other size": (put("layer/4/weight", even(6, 26)), ("E0294", "layer/4/weight")),
    "no weights": (put("layer/4/weight", None), "layer/4/weight"),
    "rows told wrong": (put("layer/4/outFeatures", 7), ("E0294", "outFeatures")),
    "shape told wrong": (put("layer/2/shape", np.array([3, 4, 3], "<i8")), ("E0294", "[3, 4, 3]")),
    "groups that do not divide": (put("layer/2/groups", 3), ("E0294", "groups")),
    "kernel beyond the map": (put("layer/2/weight", even(3, 4, 9, 9)), "E0294"),
    "bias of other size": (put("layer/1/bias", even(3, seed=1)), ("E0294", "bias")),
    "bias beside decaying current": (put("layer/2/bias", np.full(3, 4.0)), ("E0296", "bias")),
    "flatten of other size": (put("layer/3/shape", np.array([1, 1, 26], "<i8")), "E0294"),
    "dense on a map": (lambda h: [h.__delitem__("layer/3"), h.move("layer/4", "layer/3"),
                                  h.move("layer/5", "layer/4")], ("E0294", "no flatten")),
    "input of real values": (put("layer/0/weight", 40.0), ("E0297", "real values")),
    "input of no size": (put("layer/0/shape", np.array([2, 0, 6], "<i8")), "E0294"),
    "input too large": (put("layer/0/shape", np.array([65535] * 3, "<i8")), "E0294"),
}


class Refused(Base):
    def refuse(self, path, says):
        self.run_tool("opt", path, expect=t.BAD_INPUT, says=says)

    def test_hostile_files(self):
        for what, (change, says) in HOSTILE.items():
            with self.subTest(what):
                self.refuse(network(self.path("n.net"), change), says)

    def test_truncated_files(self):
        path = network(self.path("n.net"))
        whole = t.read_bytes(path)
        for size in sorted({0, 8, 96, 700, *range(1000, len(whole), 2500), len(whole) - 1}):
            with self.subTest(size):
                t.write_bytes(path, whole[:size])
                self.refuse(path, ())

    def test_options(self):
        path = network(self.path("n.net"))
        for option in (["--set", "depth=3"], ["--set", "timesteps=0"], ["--dt", "0.1"],
                       ["--bind", "a=b"]):
            self.run_tool("opt", path, *option, expect=t.BAD_INPUT, says="E0291")
        self.run_tool("synth", path, "--rate", "0.1", "-o", self.path("w.st"), expect=t.USAGE,
                      says="E0967")
        self.run_tool("opt", path, "--weights", self.path("w.st"), expect=t.USAGE, says="E0967")


class Written(Base):
    TEXT = """import "blocks/spikformer.spk";

model plain(timesteps = 6, classes = 3) {
	input x : frames[2, 4, 4] steps timesteps;

	let s = conv_sn(x, 6, kernel = 3, pad = 1) in "a_*";
	let y = conv_sn(s, classes, kernel = 4) in "b_*";

	output logits = linear(mean(y, pixels, time), classes, bias = false) as "head";
}
"""

    def test_networks_come_back(self):
        path = network(self.path("n.net"))
        out = self.path("o")
        self.run_tool("export", path, "--to", "netx", "-o", out)
        back = os.path.join(out, "network.net")
        text = [self.run_tool("opt", p).out.split("\n", 2)[2] for p in (path, back)]
        # layers whose convolutions cover a map need no other words; groups are spelled out
        self.assertEqual(text[0], text[1])
        frames = events()
        self.assert_same_tensors(self.run_network(back, frames), self.run_network(path, frames))
        with h5py.File(back) as h:
            self.assertEqual(h["layer/1/type"].dtype, np.dtype("S10"))
            self.assertEqual(h["layer/1/neuron/type"][()], b"LOIHI")
            self.assertEqual(h["layer/3/type"][0], b"flatten")
            self.assertEqual(h["layer/4/weight"].dtype, np.dtype("<f4"))
        # and lava's rules on the written file
        want = Lava(back).run(frames[0])
        got = self.run_network(back, frames)
        for index, value in want.items():
            np.testing.assert_array_equal(got[f"layer.{index}"][:, 0].ravel(), value.ravel())

    def test_models_become_integers(self):
        model = mini_model.write(self.path("m"), "events")
        t.write_text(model, self.TEXT)
        weights, out = self.path("w.st"), self.path("o")
        self.run_tool("synth", model, "--rate", "0.2", "-o", weights, "--quiet")
        tensors = dict(t.read_tensors(weights))
        tensors["head.weight"] = np.eye(3, dtype="<f4")
        t.write_tensors(weights, tensors)
        self.run_tool("export", model, "--weights", weights, "--to", "netx", "-o", out)
        back = os.path.join(out, "network.net")
        frames = np.random.default_rng(1).poisson(0.6, size=(8, 6, 2, 4, 4)).astype("<f4")
        got = self.run_network(back, frames)
        want = Lava(back).run(frames[2])
        for index, value in want.items():
            np.testing.assert_array_equal(got[f"layer.{index}"][:, 2].ravel(), value.ravel())
        t.write_tensors(self.path("x.st"), {"input": frames})
        self.run_tool("run", model, "--weights", weights, "--input", self.path("x.st"), "--spikes",
                      self.path("r.st"), "--quiet")
        first = t.read_tensors(self.path("r.st"))["a_lif"]
        self.assertGreater((first == got["layer.1"]).mean(), 0.9)

    def test_refused(self):
        model = mini_model.write(self.path("m"), "events")
        weights = self.path("w.st")
        self.run_tool("synth", model, "--rate", "0.2", "-o", weights, "--quiet")
        self.run_tool("export", model, "--weights", weights, "--to", "netx", "-o", self.path("o"),
                      expect=t.BAD_INPUT, says=("E0775", "maxpool"))
        self.assertFalse(os.path.exists(self.path("o")))
        t.write_text(model, self.TEXT)
        self.run_tool("synth", model, "--rate", "0.2", "-o", weights, "--quiet")
        self.run_tool("export", model, "--weights", weights, "--to", "netx", "-o", self.path("o"),
                      expect=t.BAD_INPUT, says=("E0775", "read-out"))
        folder = self.path("c")
        self.run_tool("compile", model, "--weights", weights, "--target", "loihi2", "-o", folder,
                      "--quiet")
        self.run_tool("export", folder, "--to", "netx", "-o", self.path("o"), expect=t.BAD_INPUT,
                      says=("E0776", "threshold"))


if __name__ == "__main__":
    unittest.main()
