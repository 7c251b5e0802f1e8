"""The masked autoencoder at level R against PyTorch: reconstruction and loss, masks from files and drawn,
what is refused."""
import os
import shutil
import struct
import unittest
import zlib

import numpy as np

import spikec_tool as t

try:
    import torch
    import autoencoder_torch as reference
except ImportError:
    torch = None

MODEL = "spikformer_v2_mae"


@unittest.skipIf(torch is None, "needs PyTorch (python3-torch)")
class AgainstTorch(t.ToolTest):
    def compare(self, seed, ratio=0.6, batch=3, more=(), **changes):
        c = reference.config(**changes)
        net, rng = reference.Autoencoder(c, seed), np.random.default_rng(seed)
        image = rng.normal(size=(batch, c["in_channels"], c["height"], c["width"])).astype(np.float32)
        n = net.grid[0] * net.grid[1]
        mask = rng.permuted(np.arange(n) < round(ratio * n) + np.zeros((batch, 1)), axis=1)
        pixels, loss = net.run(image, mask)
        self.assertGreater(net.margin, 1e-6, "a neuron so near its threshold proves nothing")
        t.write_tensors(self.path("w.safetensors"), net.w.tensors)
        t.write_tensors(self.path("x.safetensors"), {"input": image})
        t.write_tensors(self.path("m.safetensors"), {"mask": mask})
        r = self.run_tool("run", MODEL, *reference.settings(c), "--weights", self.path("w.safetensors"),
                      "--input", self.path("x.safetensors"), "--mask", self.path("m.safetensors"),
                      "--out", self.path("y.safetensors"), "--json", *more)
        got = t.read_tensors(self.path("y.safetensors"))
        self.assertEqual(sorted(got), ["loss", "reconstruction"])
        self.assertGreater(pixels.std(), 0.1)
        np.testing.assert_allclose(got["reconstruction"], pixels, rtol=0, atol=1e-4)
        np.testing.assert_allclose(got["loss"][:, 0], loss, rtol=1e-5, atol=1e-5)
        return r

    def test_reconstruction(self):
        self.compare(1)

    def test_time_steps(self):
        self.compare(2, timesteps=3, dim=8, batch=1)

    def test_plain_pixels_of_colour(self):
        self.compare(3, in_channels=3, normalise_patches=False, height=8, width=16, stages=1, dim=8)

    def test_everything_and_nothing_but_one_patch_hidden(self):
        self.compare(4, ratio=1.0)
        self.compare(5, ratio=1 / 16)

    def test_engines_agree(self):
        self.compare(6, more=("--engine", "packed"))


class Trained(t.ToolTest):
    """The trained autoencoder of models/experiments: what PyTorch reconstructed with it is stored
    beside its weights (tools/train)."""
    FILES = os.path.join(t.SOURCE, "models", "experiments")
    WEIGHTS = os.path.join(FILES, "mae_s1.safetensors")
    STORED = os.path.join(FILES, "mae_s1.reconstructions.safetensors")

    def setUp(self):
        super().setUp()
        self.stored = t.read_tensors(self.STORED)
        t.write_tensors(self.path("x"), {"input": self.stored["input"][:, None]})
        self.run_it = ["spikformer_v2_fashion_mae", "--weights", self.WEIGHTS, "--input",
                       self.path("x")]

    def test_reconstruction(self):
        want = self.stored["reconstruction"]
        self.assertGreater(want.std(), 0.5)
        for command in (["run"], ["reconstruct", "-o", self.path("strip.png")],
                        ["run", "--engine", "packed"]):
            self.run_tool(*command, *self.run_it, "--mask", self.STORED, "--out", self.path("y"))
            got = t.read_tensors(self.path("y"))
            np.testing.assert_allclose(got["reconstruction"], want, rtol=0, atol=1e-4)
        pixels = (self.stored["input"] / 255 - 0.2860) / 0.3530
        target = pixels.reshape(8, 7, 4, 7, 4).swapaxes(2, 3).reshape(8, 49, 16)
        hidden = self.stored["mask"].astype(bool)
        loss = [((w - x)[h] ** 2).mean() for w, x, h in zip(want, target, hidden)]
        np.testing.assert_allclose(got["loss"][:, 0], loss, rtol=1e-4)
        self.assertLess(np.mean(loss), 0.3)  # it has learned: hiding all costs about 1
        blank = np.mean([((x - x.mean()) ** 2).mean() for x in target])
        self.assertLess(np.mean(loss), blank / 2)

    def test_strip(self):
        self.run_tool("reconstruct", *self.run_it, "--mask", self.STORED, "-o", self.path("s.png"),
                      "--limit", "1")
        strip = read_png(self.path("s.png"))[GAP + 2::4, GAP + 2::4, 0]
        np.testing.assert_array_equal(strip[:28, :28], self.stored["input"][0])
        want = self.stored["reconstruction"][0].reshape(7, 7, 4, 4).swapaxes(1, 2).reshape(28, 28)
        want = np.clip(np.rint((want * 0.3530 + 0.2860) * 255), 0, 255)
        hidden = self.stored["mask"][0].reshape(7, 7).astype(bool).repeat(4, 0).repeat(4, 1)
        want = np.where(hidden, want, self.stored["input"][0])
        self.assertLessEqual(np.abs(strip[:28, 58:86] - want).max(), 1)

    def test_on_chips(self):
        for target in ("loihi1", "loihi2"):
            self.run_tool("compile", "spikformer_v2_fashion_mae", "--weights", self.WEIGHTS,
                          "--calibrate", self.path("x"), "--target", target, "-o", self.path(target))
            self.run_tool("check", self.path(target))
            got = self.run_tool("verify", self.path(target), "--input", self.path("x"), "--json").json()
            self.assertEqual((got["mismatches"], got["logit_mismatches"]), (0, 0))
            self.assertGreater(got["values_compared"], 100000)


class Small(t.ToolTest):
    """A small autoencoder with synthetic weights, and eight images for it."""
    SMALL = ("height=16", "width=16", "dim=16", "depth=1", "heads=2", "decoder_dim=16",
             "decoder_depth=1", "decoder_heads=2", "in_channels=1", "stages=2")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = [MODEL] + [x for s in cls.SMALL for x in ("--set", s)]
        cls.weights = os.path.join(cls.class_dir, "w.safetensors")
        cls.input = os.path.join(cls.class_dir, "x.safetensors")
        made = t.spikec("synth", *cls.model, "--rate", "0.2", "--limit", "8", "-o", cls.weights,
                        "--input-out", cls.input)
        assert made.code == t.DONE, made

    def run_masked(self, *more, **how):
        return self.run_tool("run", *self.model, "--weights", self.weights, "--input", self.input,
                             "--out", self.path("y"), *more, **how)


class Masks(Small):
    """Where a mask comes from, and what is no mask."""

    def outputs(self, *more):
        self.run_masked(*more)
        return t.read_tensors(self.path("y"))

    def test_forms_of_one_mask(self):
        mask = np.zeros((8, 16), bool)
        mask[:, [0, 3, 5, 6, 7, 12]] = True
        t.write_tensors(self.path("m.safetensors"), {"mask": mask})
        want = self.outputs("--mask", self.path("m.safetensors"))
        forms = {"named": {"hidden": mask.astype("<f4")}, "grid": {"mask": mask.reshape(8, 4, 4)},
                 "one": {"mask": mask[0]}, "one grid": {"mask": mask[0].reshape(4, 4).astype("<i8")},
                 "more": {"mask": np.concatenate([mask, ~mask])}}
        for name, tensors in forms.items():
            with self.subTest(form=name):
                t.write_tensors(self.path("m"), tensors)
                self.assert_same_tensors(self.outputs("--mask", self.path("m")), want)
        for name, array in {"b1": mask, "u1": mask.astype("u1"), "f8": mask.reshape(8, 4, 4) * 1.0,
                            "i8": mask[0].astype("<i8"), "f4": mask[:1].reshape(4, 4) * np.float32(1)}.items():
            with self.subTest(npy=name):
                np.save(self.path("m.npy"), array)
                self.assert_same_tensors(self.outputs("--mask", self.path("m.npy")), want)

    def test_nothing_and_everything(self):
        t.write_tensors(self.path("m"), {"mask": np.zeros(16, "u1")})
        self.assert_same_tensors(self.outputs("--mask-ratio", "0"), self.outputs("--mask", self.path("m")))
        t.write_tensors(self.path("m"), {"mask": np.ones(16, "u1")})
        self.assert_same_tensors(self.outputs("--mask-ratio", "1"), self.outputs("--mask", self.path("m")))

    def test_drawn(self):
        """Seeded, a share of the patches in every image, the same image whatever the others are."""
        a = self.outputs("--mask-ratio", "0.5")
        self.assert_same_tensors(self.outputs("--mask-ratio", "0.5", "--mask-seed", "0"), a)
        b = self.outputs("--mask-ratio", "0.5", "--mask-seed", "1")
        self.assertFalse(np.array_equal(a["loss"], b["loss"]))
        drawn = self.run_tool("reconstruct", *self.model, "--weights", self.weights, "--input",
                              self.input, "--mask-ratio", "0.6", "-o", self.path("s.png"), "--json")
        self.assertEqual(drawn.json()["hidden"], 10 / 16)  # 9.6 of 16 patches
        few = self.outputs("--mask-ratio", "0.5", "--limit", "3")
        np.testing.assert_array_equal(few["loss"], a["loss"][:3])

    def test_errors(self):
        self.run_masked(expect=t.USAGE, says=("E0716", "--mask-ratio"))
        self.run_masked("--mask", self.path("nothing"), expect=t.SYSTEM)
        self.run_tool("run", "spikformer_v2_fashion", "--input", self.input, "--mask-ratio", "0.5",
                      expect=t.BAD_INPUT)
        t.write_tensors(self.path("x28"), {"input": np.zeros((1, 1, 28, 28), "<f4")})
        self.run_tool("run", "spikformer_v2_fashion", "--input", self.path("x28"), "--mask-ratio",
                      "0.5", expect=t.USAGE, says="E0719")
        for ratio in ("1.01", "half", "-0.5", "nan", ""):
            self.run_masked("--mask-ratio", ratio, expect=t.USAGE)
        bad = {"E0717": {"mask": np.full((8, 16), 0.5, "<f4")},
               "E0718": {"mask": np.zeros((8, 15), "<f4")}, "E0033": {"other": np.zeros(16, "<f4")}}
        for says, tensors in bad.items():
            t.write_tensors(self.path("m"), tensors)
            self.run_masked("--mask", self.path("m"), expect=t.BAD_INPUT, says=says)
        for array in (np.zeros((7, 16), bool), np.zeros((2, 2, 2, 2, 2), bool), np.zeros(16, "<c8"),
                      np.array([(0, 1)] * 16, dtype=[("a", "<i4"), ("b", "<i4")]), np.full(16, np.nan),
                      np.zeros((0, 16), bool), np.zeros((4, 4), ">f4")):
            np.save(self.path("m.npy"), array)
            self.run_masked("--mask", self.path("m.npy"), expect=t.BAD_INPUT, says="m.npy")
        np.save(self.path("m.npy"), np.zeros((8, 16)))
        data = t.read_bytes(self.path("m.npy"))
        for length in (0, 5, 11, 40, len(data) - 1):
            t.write_bytes(self.path("m.npy"), data[:length])
            self.run_masked("--mask", self.path("m.npy"), expect=t.BAD_INPUT, says="m.npy")

    def test_labels_are_refused(self):
        t.write_tensors(self.path("l"), {"labels": np.zeros(8, "<i4")})
        self.run_masked("--mask-ratio", "0.5", "--labels", self.path("l"), expect=t.USAGE, says="E0724")

    def test_pretraining_keys_in_a_classifier(self):
        """decoder_*, mask_token and *pos_embed of a fine-tuned checkpoint are listed, not asked for."""
        settings = ["--set", "height=16", "--set", "width=16", "--set", "in_channels=1", "--set",
                    "dim=32", "--set", "depth=1", "--set", "heads=2", "--set", "classes=3"]
        self.run_tool("synth", "spikformer_v2", *settings, "--rate", "0.2", "-o", self.path("w"),
                      "--input-out", self.path("x"))
        w = t.read_tensors(self.path("w"))
        extra = {n: a for n, a in t.read_tensors(self.weights).items()
                 if n.startswith("decoder_") or n == "mask_token"}
        extra["pos_embed"] = np.zeros((1, 1, 32), "<f4")
        self.assertGreater(len(extra), 10)
        t.write_tensors(self.path("both"), {**w, **extra})
        result = self.run_tool("run", "spikformer_v2", *settings, "--weights", self.path("both"),
                               "--input", self.path("x"), "--json").json()
        self.assertEqual(set(result["ignored_tensors"]), set(extra))


class Encoder(Small):
    """The encoder on chips: what leads to the mean over time, with nothing hidden."""

    def test_compiled(self):
        for target in ("loihi1", "loihi2"):
            result = self.run_tool("compile", *self.model, "--weights", self.weights, "--calibrate",
                                   self.input, "--target", target, "-o", self.path(target), "--json")
            self.assertGreater(result.json()["host_ops"], 10)
            self.run_tool("check", self.path(target))
            verified = self.run_tool("verify", self.path(target), "--input", self.input,
                                     "--json").json()
            self.assertEqual(verified["mismatches"], 0)
            self.assertEqual(verified["logit_mismatches"], 0)
            self.assertGreater(verified["values_compared"], 10000)
        estimated = self.run_tool("estimate", *self.model, "--target", "loihi2", "--json").json()
        self.assertGreater(estimated["host_ops"], 10)

    def test_it_is_the_encoder(self):
        """Level R of the folder fires what the autoencoder does where nothing is hidden."""
        self.run_tool("compile", *self.model, "--weights", self.weights, "--target", "loihi2", "-o",
                      self.path("d"))
        t.write_tensors(self.path("m"), {"mask": np.zeros(16, "u1")})
        self.run_masked("--mask", self.path("m"), "--spikes", self.path("s"))
        self.run_tool("run", self.path("d"), "--input", self.input, "--spikes", self.path("e"))
        want, got = t.read_tensors(self.path("s")), t.read_tensors(self.path("e"))
        got.pop("features")
        logits = got.pop("logits")
        self.assert_same_tensors(got, {k: v for k, v in want.items() if k in got})
        self.assertEqual(set(want) - set(got), {"reconstruction", "loss"})
        self.assertGreater(len(got), 10)
        last = want["block.0.out"].astype(float).mean((0, 3))
        np.testing.assert_allclose(logits, last, rtol=1e-6, atol=1e-6)


def read_png(path):
    """Pixels [H, W, C] of an 8-bit file without interlace."""
    data, at, body = t.read_bytes(path)[8:], 0, b""
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        chunk = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", chunk)
        if kind == b"IDAT":
            body += chunk
        at += 12 + length
    assert depth == 8 and colour in (0, 2)
    c = 3 if colour == 2 else 1
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + width * c)
    out = np.zeros((height, width * c), int)
    for y in range(height):
        kind, line = rows[y, 0], rows[y, 1:].astype(int)
        up = out[y - 1] if y else np.zeros(width * c, int)
        for i in range(width * c):
            left, corner = (out[y, i - c], up[i - c]) if i >= c else (0, 0)
            p = left + up[i] - corner
            near = sorted((abs(p - v), order, v) for order, v in enumerate((left, up[i], corner)))[0][2]
            out[y, i] = (line[i] + (0, left, up[i], (left + up[i]) // 2, near)[kind]) % 256
    return out.reshape(height, width, c)


GAP = 4
AE = """import "blocks/spikformer.spk";
import "blocks/autoencoder.spk";
model ae(normalise = false) {{
	input image : frame[{c}, 8, 12] repeat 1{norm};
	input hidden : mask[2, 3];
	let x = tokens(conv_sn(image, 8, kernel = 4, stride = 4) in "*");
	let y = linear(tokens(mean(x, time), channels_last = true), {c} * 16) as "pred";
	output pixels = y;
	output loss = mse(y, patch_pixels(image, 4, normalise), hidden);
}}
"""


class Pictures(t.ToolTest):
    """The strip, pixel by pixel, made again from the outputs that the tool wrote."""

    def strip(self, channels, norm, normalise, limit=3):
        shutil.copytree(os.path.join(t.SOURCE, "models", "blocks"), self.path("blocks"),
                        dirs_exist_ok=True)
        text = f" normalise mean {[0.4] * channels} std {[0.25] * channels}" if norm else ""
        t.write_text(self.path("ae.spk"), AE.format(c=channels, norm=text))
        model = [self.path("ae.spk"), "--set", f"normalise={str(normalise).lower()}"]
        self.run_tool("synth", *model, "--rate", "0.3", "-o", self.path("w"), "--limit", "8")
        rng = np.random.default_rng(channels)
        x = rng.normal(0, 1.2, (5, channels, 8, 12)).astype(np.float32)
        mask = rng.random((5, 6)) < 0.5
        t.write_tensors(self.path("x"), {"input": x})
        t.write_tensors(self.path("m"), {"hidden": mask})
        result = self.run_tool("reconstruct", *model, "--weights", self.path("w"), "--input",
                               self.path("x"), "--mask", self.path("m"), "--limit", str(limit), "-o",
                               self.path("s.png"), "--out", self.path("y"), "--json").json()
        pred = t.read_tensors(self.path("y"))["pixels"]
        x, mask = x[:limit].astype(float), mask[:limit]
        patch = np.moveaxis(x.reshape(limit, channels, 2, 4, 3, 4), 1, -1)  # b, gy, y, gx, x, c
        patch = patch.transpose(0, 1, 3, 2, 4, 5).reshape(limit, 6, -1)
        if normalise:
            std = np.sqrt(patch.var(-1, keepdims=True, ddof=1) + 1e-6)
            pred = pred * std + patch.mean(-1, keepdims=True)
        made = np.where(mask[..., None], pred, patch)

        def image(p):
            p = p.reshape(limit, 2, 3, 4, 4, channels).transpose(0, 1, 3, 2, 4, 5)
            low, high = (0, 1) if norm else (x.min(), x.max())
            p = p * 0.25 + 0.4 if norm else (p - low) / (high - low)
            return np.clip(np.rint(p * 255), 0, 255).reshape(limit, 8, 12, channels)

        grey = np.where(mask[..., None], np.nan, patch)
        columns = [image(patch), np.nan_to_num(image(grey), nan=128), image(made)]
        zoom = result["zoom"]
        self.assertEqual(zoom, 12)
        want = np.full((GAP + limit * (8 * zoom + GAP), GAP + 3 * (12 * zoom + GAP), channels), 255)
        for i, column in enumerate(columns):
            for k in range(limit):
                y0, x0 = GAP + k * (8 * zoom + GAP), GAP + i * (12 * zoom + GAP)
                want[y0:y0 + 8 * zoom, x0:x0 + 12 * zoom] = column[k].repeat(zoom, 0).repeat(zoom, 1)
        got = read_png(self.path("s.png"))
        self.assertEqual(got.shape, want.shape)
        self.assertEqual([result["height"], result["width"]], list(got.shape[:2]))
        self.assertLessEqual(np.abs(got - want).max(), 1)  # rounding of a half
        self.assertLess((got != want).mean(), 0.01)
        self.assertAlmostEqual(result["hidden"], mask.mean())

    def test_grey(self):
        self.strip(1, True, False)

    def test_colour(self):
        self.strip(3, True, True)

    def test_without_normalisation(self):
        self.strip(1, False, False, limit=1)

    def test_same_bytes(self):
        self.strip(1, True, True)
        first = t.read_bytes(self.path("s.png"))
        self.strip(1, True, True)
        self.assertEqual(t.read_bytes(self.path("s.png")), first)

    def test_errors(self):
        self.run_tool("reconstruct", "spikformer_v2_fashion", "--input", "x", "-o", self.path("p.png"),
                      expect=t.USAGE, says=("E0728", "reconstructs no pictures"))
        self.run_tool("reconstruct", MODEL, "--input", "x", expect=t.USAGE, says="E0733")
        self.strip(1, True, False)
        before = t.read_bytes(self.path("s.png"))
        self.run_tool("reconstruct", self.path("ae.spk"), "--weights", self.path("w"), "--input",
                      self.path("x"), "--mask", self.path("w"), "-o", self.path("s.png"),
                      expect=t.BAD_INPUT)
        self.assertEqual(t.read_bytes(self.path("s.png")), before)
        self.run_tool("reconstruct", self.path("ae.spk"), "--weights", self.path("w"), "--input",
                      self.path("x"), "--mask", self.path("m"), "-o", self.path("no", "s.png"),
                      expect=t.SYSTEM)


if __name__ == "__main__":
    unittest.main()
