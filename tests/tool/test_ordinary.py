"""Ops of masks and ordinary networks, at level R against formulas in NumPy, on both engines that have
them, in every layout and over several time steps; softmax attention, masks and the rest are refused by
the mapper, each by its name."""
import math
import os
import shutil
import unittest

import numpy as np

import spikec_tool as t

STEPS, CHANNELS, HEIGHT, WIDTH, GRID = 3, 6, 6, 4, (3, 2)

MODEL = """model ops(steps = 3, channels = 6, height = 6, width = 4) {
	input x : frames[channels, height, width] steps steps;
	input hidden : mask[3, 2];

	let cn = tokens(x);
	let nc = tokens(x, channels_last = true);
	let pooled = maxpool(x, kernel = 2, stride = 2);
	output gelu = mean(gelu(nc), time);
	output masked = mean(mask(x, hidden), time);
	output masked_tokens = mean(mask(tokens(pooled), hidden, token = true) as "token", time);
	output offset_image = mean(offset(x) as "image_table", time);
	output offset_nc = mean(offset(nc) as "nc_table", time);
	output offset_cn = mean(offset(cn) as "cn_table", time);
	output norm = mean(layernorm(nc, 1e-3) as "ln", time);
	output norm_plain = mean(layernorm(cn, 1e-6, affine = false), time);
	output norm_sample = mean(layernorm(nc, 1e-4, affine = false, sample = true), time);
	output sliced = mean(slice(x, 2, 3), time);
	output patched = mean(patches(x, 2), time);
	output attended = mean(softmax_attention(nc, offset(nc) as "k", nc, 2, 0.3), time);
	output attended_cn = mean(softmax_attention(cn, cn, slice(cn, 0, 6), 3, 0.05), time);
	output averaged = mean(cn, time);
	output error = mse(x, offset(x) as "error_table");
	output error_masked = mse(mean(x, time), mean(offset(x) as "table", time), hidden);
	output error_patches = mse(patches(x, 2), patches(offset(x) as "last_table", 2), hidden);
}
"""


def erf(x):
    return np.vectorize(math.erf)(x)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v, heads, scale):
    """[..., N, D], heads in front of each other."""
    out = []
    for c in np.split(np.arange(q.shape[-1]), heads):
        weights = softmax(scale * q[..., c] @ np.swapaxes(k[..., c], -1, -2))
        out.append(weights @ v[..., c])
    return np.concatenate(out, -1)


def norm(x, eps, ddof=0):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(x.var(-1, keepdims=True, ddof=ddof) + eps)


def patches(x, size):
    """[..., C, H, W] -> [..., N, size * size * C], channels fastest."""
    out = []
    for y in range(0, x.shape[-2], size):
        for column in range(0, x.shape[-1], size):
            patch = x[..., y:y + size, column:column + size]
            out.append(np.moveaxis(patch, -3, -1).reshape(*x.shape[:-3], -1))
    return np.stack(out, -2)


def tensors(seed):
    rng = np.random.default_rng(seed)
    image, nc = (CHANNELS, HEIGHT, WIDTH), (HEIGHT * WIDTH, CHANNELS)
    shapes = {"token": (1, 1, CHANNELS), "image_table": image, "nc_table": (1, *nc), "k": nc,
              "cn_table": (1, *nc[::-1]),
              "ln.weight": (CHANNELS,), "ln.bias": (CHANNELS,), "error_table": image,
              "table": image, "last_table": image}
    w = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    x = rng.poisson(1.5, (2, STEPS, *image)).astype(np.float32)
    hidden = rng.permuted(np.tile([0, 0, 1, 1, 1, 0], (2, 1)), axis=1).reshape(2, *GRID)
    return w, x, hidden


def expected(w, x, hidden):
    """All outputs [B, ...] in double precision."""
    w = {k: v.astype(float) for k, v in w.items()}
    x = x.astype(float)
    flat = x.reshape(*x.shape[:3], -1)
    cn, nc = flat, np.swapaxes(flat, -1, -2)
    large = hidden.repeat(HEIGHT // GRID[0], 1).repeat(WIDTH // GRID[1], 2)
    pooled = x.reshape(2, STEPS, CHANNELS, 3, 2, 2, 2).max((4, 6)).reshape(2, STEPS, CHANNELS, 6)
    rows = hidden.reshape(2, 6).astype(bool)
    where = rows[:, None, None]
    error = (x - (x + w["error_table"])) ** 2
    cells = [(w["table"] ** 2)[:, big].mean() for big in large.astype(bool)]
    last = patches(w["last_table"] ** 2, 2)
    out = {
        "gelu": 0.5 * nc * (1 + erf(nc / math.sqrt(2))),
        "masked": x * (1 - large)[:, None, None],
        "masked_tokens": np.where(where, w["token"].reshape(-1, 1), pooled),
        "offset_image": x + w["image_table"],
        "offset_nc": nc + w["nc_table"][0],
        "offset_cn": cn + w["cn_table"][0],
        "norm": norm(nc, 1e-3) * w["ln.weight"] + w["ln.bias"],
        "norm_plain": np.swapaxes(norm(nc, 1e-6), -1, -2),
        "norm_sample": norm(nc, 1e-4, 1),
        "sliced": x[:, :, 2:5],
        "patched": patches(x, 2),
        "attended": attention(nc, nc + w["k"], nc, 2, 0.3),
        "attended_cn": np.swapaxes(attention(nc, nc, nc, 3, 0.05), -1, -2),
        "averaged": cn,
    }
    out = {name: value.mean(1) for name, value in out.items()}
    out["error"] = error.reshape(2, -1).mean(1)[:, None]
    out["error_masked"] = np.array(cells)[:, None]
    out["error_patches"] = np.array([last[r].mean() for r in rows])[:, None]
    return out


class Ops(t.ToolTest):
    def run_ops(self, seed, engine, *more):
        w, x, hidden = tensors(seed)
        t.write_text(self.path("ops.spk"), MODEL)
        t.write_tensors(self.path("w.safetensors"), w)
        t.write_tensors(self.path("x.safetensors"), {"input": x})
        t.write_tensors(self.path("m.safetensors"), {"hidden": hidden.astype(np.uint8)})
        self.run_tool("run", self.path("ops.spk"), "--weights", self.path("w.safetensors"), "--input",
                      self.path("x.safetensors"), "--mask", self.path("m.safetensors"), "--out",
                      self.path("y.safetensors"), "--engine", engine, "--quiet", *more)
        return t.read_tensors(self.path("y.safetensors")), expected(w, x, hidden)

    def test_formulas(self):
        for seed, engine in ((1, "reference"), (2, "reference"), (3, "packed")):
            got, want = self.run_ops(seed, engine)
            self.assertEqual(sorted(got), sorted(want))
            for name, value in want.items():
                with self.subTest(op=name, engine=engine):
                    self.assertEqual(got[name].shape, value.shape)
                    self.assertGreater(np.abs(value).max(), 0.01)
                    np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5)

    def test_threads_do_not_matter(self):
        one, _ = self.run_ops(4, "reference", "--threads", "1")
        four, _ = self.run_ops(4, "reference", "--threads", "4")
        self.assert_same_tensors(four, one)

    def test_no_patch_hidden_is_no_error(self):
        """The mean over no position is 0, not 0 / 0."""
        w, x, _ = tensors(5)
        t.write_text(self.path("ops.spk"), MODEL)
        t.write_tensors(self.path("w.safetensors"), w)
        t.write_tensors(self.path("x.safetensors"), {"input": x})
        t.write_tensors(self.path("m.safetensors"), {"mask": np.zeros(6, "<f4")})
        self.run_tool("run", self.path("ops.spk"), "--weights", self.path("w.safetensors"), "--input",
                      self.path("x.safetensors"), "--mask", self.path("m.safetensors"), "--out",
                      self.path("y.safetensors"))
        y = t.read_tensors(self.path("y.safetensors"))
        self.assertEqual(y["error_masked"].tolist(), [[0.0], [0.0]])
        np.testing.assert_allclose(y["masked"], x.mean(1), rtol=1e-6)

    def test_native_code_says_what_it_lacks(self):
        w, x, hidden = tensors(6)
        t.write_text(self.path("ops.spk"), MODEL)
        t.write_tensors(self.path("w.safetensors"), w)
        result = t.spikec("build", self.path("ops.spk"), "--weights", self.path("w.safetensors"), "-o",
                          self.path("n.o"))
        if "E0936" in result.err:
            self.skipTest("this build has no native code")
        self.assertEqual(result.code, t.BAD_INPUT, result)
        self.assertIn("native code has one input and one output", result.err)


BLOCK = """import "blocks/spikformer.spk";

model one(dim = 8) {{
	input image : frame[2, 4, 4] repeat 2;
	{mask}
	let x = tokens(conv_sn(image, dim, kernel = 1) in "stem_*");
	{body}
	output logits = head(y, 3) as "head";
}}
"""


class Refused(t.ToolTest):
    """Each op by its own name, with the line of the model."""

    def setUp(self):
        super().setUp()
        shutil.copytree(os.path.join(t.SOURCE, "models", "blocks"), self.path("blocks"))

    def refused(self, body, *says, mask=""):
        t.write_text(self.path("one.spk"), BLOCK.format(body=body, mask=mask))
        result = self.run_tool("estimate", self.path("one.spk"), "--target", "loihi2",
                               expect=t.NO_FIT, says=says)
        self.assertIn("one.spk:7:" if "vsa" not in body else "softmax_attention(q, k, v", result.err)

    def test_softmax_attention(self):
        self.refused('let y = encoder(x, 2, 2, 0.25, vsa = true) in "block";', "E0712",
                     "'block.attn.softmax'", "softmax attention cannot be mapped", "exponentials")

    def test_mask(self):
        self.refused("let y = lif(linear(mask(x, hidden), dim));", "E0713", "a mask cannot be mapped",
                     mask="input hidden : mask[4, 4];")

    def test_others(self):
        for op, call in (("layernorm", "layernorm(x)"), ("gelu", "gelu(x)"),
                         ("slice", "slice(x, 0, 8)"), ("offset", "offset(x)")):
            with self.subTest(op=op):
                self.refused(f"let y = lif(linear({call}, dim));", "E0714", f"'{op}' is an op")

    def test_mean_over_time(self):
        t.write_text(self.path("two.spk"), """import "blocks/spikformer.spk";
model two() {
	input image : frame[2, 4, 4] repeat 2;
	let a = lif(conv2d(image, 4, 1) as "a") as "a_lif";
	let b = lif(conv2d(a, 4, 1) as "b") as "b_lif";
	output one = gelu(mean(a, time));
	output other = gelu(mean(b, time));
}
""")
        self.run_tool("estimate", self.path("two.spk"), "--target", "loihi2", expect=t.NO_FIT,
                      says=("E0715", "mean over time alone"))
        self.run_tool("opt", self.path("two.spk"), "--passes", "encoder", expect=t.BAD_INPUT,
                      says=("E0725", "or several"))

    def test_outputs_that_no_chip_gives(self):
        head = 'output y = head(x, 3) as "head";'
        for body, code, native in (('output y = linear(x, 3) as "head";', "E0734", False),
                                   (head + ' output z = head(x, 4) as "other";', "E0735", False),
                                   ("output y = mean(x, tokens, time);", "E0623", True)):
            with self.subTest(body=body):
                model = BLOCK.format(body="", mask="").replace("repeat 2", "repeat 1")
                t.write_text(self.path("m.spk"),
                             model.replace('output logits = head(y, 3) as "head";', body))
                self.run_tool("synth", self.path("m.spk"), "--rate", "0.2", "-o", self.path("w"),
                              "--input-out", self.path("x"))
                weights = ["--weights", self.path("w")]
                self.run_tool("estimate", self.path("m.spk"), "--target", "loihi2", expect=t.NO_FIT,
                              says=code)
                self.run_tool("compile", self.path("m.spk"), *weights, "--target", "loihi1", "-o",
                              self.path("d"), expect=t.NO_FIT, says=code)
                self.run_tool("run", self.path("m.spk"), *weights, "--input", self.path("x"))
                result = t.spikec("run", self.path("m.spk"), *weights, "--input", self.path("x"),
                                  "--engine", "native")
                if "E0936" not in result.err:
                    self.assertEqual(result.code, t.DONE if native else t.BAD_INPUT, result)

    def test_vsa_runs(self):
        """Softmax attention between spiking layers, against NumPy."""
        t.write_text(self.path("vsa.spk"), """import "blocks/spikformer.spk";
model vsa() {
	input image : frame[4, 3, 3] repeat 2;
	let x = tokens(lif(image) as "in");
	output y = mean(softmax_attention(linear(x, 4) as "q", linear(x, 4) as "k", linear(x, 4) as "v", 2, 0.7), time);
}
""")
        rng = np.random.default_rng(1)
        image = rng.normal(1, 2, (2, 4, 3, 3)).astype(np.float32)
        w = {f"{n}.{p}": rng.normal(size=(4, 4) if p == "weight" else 4).astype(np.float32)
             for n in "qkv" for p in ("weight", "bias")}
        v, want = np.zeros_like(image), 0
        for _ in range(2):
            v = v + (image - v) / 2
            s = (v >= 1).astype(float)
            v = v * (1 - s)
            x = s.reshape(2, 4, 9).swapaxes(1, 2)
            want = want + attention(*(x @ w[f"{n}.weight"].T + w[f"{n}.bias"] for n in "qkv"), 2, 0.7) / 2
        t.write_tensors(self.path("w"), w)
        t.write_tensors(self.path("x"), {"input": image})
        for engine in ("reference", "packed"):
            self.run_tool("run", self.path("vsa.spk"), "--weights", self.path("w"), "--input",
                          self.path("x"), "--out", self.path("y"), "--engine", engine)
            got = t.read_tensors(self.path("y"))["y"]
            np.testing.assert_allclose(got, want.swapaxes(1, 2), rtol=1e-5, atol=1e-5)


if __name__ == "__main__":
    unittest.main()
