"""conformance: every engine against the reference engine, on everything that a user can see: the files of
--spikes and --out byte for byte, and the report (rates, wraps, teacher, energy). Engines that make
machine code do it for several processors, so that the code of older ones is run, too. An engine that
adds floats in another order is held to that where sums are exact: integers and exact networks. On
others it is fed with the reference's spikes and may differ only at the threshold itself."""
import itertools
import os
import re
import unittest

import numpy as np

import mini_model
import spikec_tool as t

TARGETS = ("loihi1", "loihi2", "engine-mesh", "sanafe-loihi")
OWN = {"engine_used", "seconds_per_image", "load_seconds", "peak_bytes"}  # of an engine, in reports
REORDERS = {"packed"}  # engines that add floats in another order
DATA = os.path.join(t.SOURCE, "tests", "data", "engines")


def processors():
    """Values of --target-cpu that this processor can run."""
    out = ["native", "generic"]
    if os.uname().machine != "x86_64":
        return out
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        flags = set(re.search(r"^flags\s*:(.*)$", f.read(), re.M).group(1).split())
    if {"avx2", "bmi2"} <= flags:
        out.append("x86-64-v3")
    if {"avx512vl", "avx512bw"} <= flags:
        out.append("x86-64-v4")
    return out


def is_exact(case):
    return t.manifest(case)["mode"] == "exact"


def has_native():
    return "E0936" not in t.spikec("run", "x", "--input", "x", "--engine", "native").err


def variants():
    """Arguments of `run`, each with a number of threads of its own."""
    engines = [["--engine", "packed"]]
    if has_native():
        engines += [["--engine", "native", "--target-cpu", cpu] for cpu in processors()]
    return [e + ["--threads", n] for e, n in zip(engines, itertools.cycle((2, 1, 3)))]


class Engines(t.ToolTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.variants = variants()

    def outputs(self, arguments, engine):
        spikes, logits = self.path("spikes"), self.path("logits")
        report = self.run_tool("run", *arguments, "--spikes", spikes, "--out", logits, "--json",
                               *engine).json()
        self.assertEqual(report["engine_used"], engine[1] if engine else "reference")
        return spikes, logits, {k: v for k, v in report.items() if k not in OWN}

    def at_the_threshold_only(self, arguments, engine, spikes, logits):
        report = self.run_tool("run", *arguments, *engine, "--teacher", spikes, "--out",
                               self.path("y"), "--json").json()
        self.assertEqual(report["teacher"]["flips_outside"], 0, arguments)
        self.assertLessEqual(report["teacher"]["flips"], 1e-4 * report["teacher"]["values"])
        got, want = (t.read_tensors(p)["logits"] for p in (self.path("y"), logits))
        self.assertLess(np.abs(got - want).max(), 1e-4 * max(1.0, np.abs(want).max()))

    def same(self, *arguments, exact=False, variants=None, fires=True):
        """Every variant gives what the reference engine gives; its report. exact: whatever the
        order of additions."""
        spikes, logits, report = self.outputs(arguments, [])
        want, want_logits = t.read_bytes(spikes), t.read_bytes(logits)
        tensors = t.read_tensors(spikes)
        for path in (spikes, logits):
            os.rename(path, path + ".reference")
        if fires:  # else the comparison shows little
            rates = list(report["rates"].values())
            self.assertGreater(sum(0.001 < r for r in rates), len(rates) / 3, arguments)
        for engine in variants or self.variants:
            if engine[1] in REORDERS and not exact:
                if "--teacher" not in arguments:
                    self.at_the_threshold_only(arguments, engine, spikes + ".reference",
                                               logits + ".reference")
                continue
            got, got_logits, got_report = self.outputs(arguments, engine)
            what = " ".join(map(str, [*arguments, *engine]))
            self.assert_same_tensors(t.read_tensors(got), tensors, what)
            self.assertEqual(t.read_bytes(got), want, what)
            self.assertEqual(t.read_bytes(got_logits), want_logits, what)
            self.assertEqual(got_report, report, what)
        return report

    def images(self, array, name="input.safetensors"):
        t.write_tensors(self.path(name), {"input": array.astype(np.float32)})
        return self.path(name)


class Conformance(Engines):
    """The golden cases at level R."""

    def test_every_case(self):
        cases = t.golden_cases()
        self.assertGreaterEqual(len(cases), 10)
        for case in cases:
            self.same(*t.case_arguments(case), "--input", t.golden(case, "input.safetensors"),
                      exact=is_exact(case))

    def test_teacher(self):
        """Fed with values that are wrong here and there, each engine finds the same flips."""
        rng = np.random.default_rng(7)
        for case in t.golden_cases():
            wrong = dict(t.read_tensors(t.golden(case, "expected.safetensors")))
            for name in wrong:
                if name.rstrip("0123456789").endswith("lif"):
                    flip = rng.random(wrong[name].shape) < 0.02
                    wrong[name] = wrong[name] ^ flip.astype(np.uint8)
            t.write_tensors(self.path("teacher"), wrong)
            report = self.same(*t.case_arguments(case), "--input",
                               t.golden(case, "input.safetensors"), "--teacher",
                               self.path("teacher"), exact=is_exact(case))
            self.assertGreater(report["teacher"]["flips"], 0, case)
            self.assertGreater(report["teacher"]["flips_outside"], 0, case)

    def test_batches(self):
        """Several images, different ones, with fewer and more of them than threads."""
        rng = np.random.default_rng(3)
        for case in ("v2-tiny-exact", "v1-tiny-dvs-exact"):
            image = t.read_tensors(t.golden(case, "input.safetensors"))["input"][:1]
            for n in (2, 11):
                batch = np.concatenate([rng.permuted(image, axis=-1) for _ in range(n)])
                self.same(*t.case_arguments(case), "--input", self.images(batch), exact=True)


class ConformanceOfIntegers(Engines):
    """Level Q, for every target: always equal."""

    def check_target(self, target):
        """Each case on two of the engines, another two for the next."""
        done, engines = 0, itertools.cycle(self.variants)
        for case in t.golden_cases():
            folder = self.path(f"{case}-{target}")
            made = t.spikec("compile", *t.case_arguments(case), "--target", target, "-o", folder)
            self.assertIn(made.code, (t.DONE, t.NO_FIT), made)
            if made.code == t.DONE:
                self.same(folder, "--level", "Q", "--input", t.golden(case, "input.safetensors"),
                          exact=True, variants=[next(engines), next(engines)])
                done += 1
        self.assertGreaterEqual(done, 8)

    def test_loihi1(self):
        self.check_target("loihi1")

    def test_loihi2(self):
        self.check_target("loihi2")

    def test_engine_mesh(self):
        self.check_target("engine-mesh")

    def test_sanafe_loihi(self):
        self.check_target("sanafe-loihi")

    def test_teacher(self):
        """Level Q fed with the spikes of level R."""
        case = "v2-tiny-float"
        folder, teacher = self.path("net"), self.path("teacher")
        self.compile(case, "loihi2", folder)
        source = ["--input", t.golden(case, "input.safetensors")]
        self.run_tool("run", folder, "--level", "R", *source, "--spikes", teacher)
        report = self.same(folder, "--level", "Q", *source, "--teacher", teacher, exact=True)
        self.assertGreater(report["teacher"]["flips"], 0)

    def test_wraps(self):
        """Currents that leave the state are counted alike, and wrapped alike."""
        model = mini_model.write(self.dir, "events")
        folder = self.path("net")
        calm = self.images(mini_model.images("events", 4))
        self.run_tool("synth", model, "--rate", 0.2, "-o", self.path("w"), "--input", calm)
        self.run_tool("compile", model, "--weights", self.path("w"), "--target", "loihi2", "-o",
                      folder)
        loud = mini_model.images("events", 3, seed=2) * 2000
        report = self.same(folder, "--level", "Q", "--input", self.images(loud, "loud"),
                           exact=True)
        self.assertGreater(report["wraps"], 0)

    def check_wide(self, kind, body, weights, images):
        """A model whose batch norms do nothing, for both chips; its reports."""
        model = self.path("wide.spk")
        t.write_text(model, SHAPES.format(input=kind, body=body))
        weights |= {"head.weight": np.ones((3, 256)), "head.bias": np.zeros(3)}
        for name, w in list(weights.items()):
            if name.endswith("conv.weight") or name.endswith("linear.weight"):
                bn, n = name.rsplit(".", 2)[0] + ".bn", len(w)
                weights |= {f"{bn}.weight": np.ones(n), f"{bn}.bias": np.zeros(n),
                            f"{bn}.running_mean": np.zeros(n), f"{bn}.running_var": np.ones(n)}
        t.write_tensors(self.path("w"), {n: w.astype(np.float32) for n, w in weights.items()})
        for target in ("loihi1", "loihi2"):
            self.run_tool("compile", model, "--weights", self.path("w"), "--target", target, "-o",
                          self.path(target))
            yield self.same(self.path(target), "--level", "Q", "--input", self.images(images),
                            exact=True)

    def test_large_sums(self):
        """600 spikes times the largest weight: more than 16 bits hold."""
        weights = {"stem.conv.weight": np.ones((600, 1, 1, 1)),
                   "wide.linear.weight": np.full((256, 600), 0.01),
                   "wide.linear.bias": np.zeros(256)}
        weights["wide.linear.weight"][::2] *= -1
        body = 'let y = dense(tokens(conv(x, 600, 1, 1, 0) in "stem"), 256) in "wide";'
        for report in self.check_wide("frame[1, 2, 2] repeat timesteps", body, weights,
                                      np.full((1, 1, 2, 2), 3.0)):
            self.assertEqual(report["rates"]["stem.lif"], 1.0)
            self.assertEqual(report["rates"]["wide.lif"], 0.5)

    def test_large_sums_of_streams(self):
        """The same over five streams of spikes, added by the layer that reads them."""
        weights = {f"s{i}.conv.weight": np.ones((120, 1, 1, 1)) for i in range(5)}
        weights |= {"wide.linear.weight": np.full((256, 120), 0.01),
                    "wide.linear.bias": np.zeros(256)}
        weights["wide.linear.weight"][::2] *= -1
        stems = " + ".join(f'(conv(x, 120, 1, 1, 0) in "s{i}")' for i in range(5))
        body = f'let y = dense(tokens({stems}), 256) in "wide";'
        for report in self.check_wide("frame[1, 2, 2] repeat timesteps", body, weights,
                                      np.full((1, 1, 2, 2), 3.0)):
            self.assertEqual(report["rates"]["s4.lif"], 1.0)
            self.assertEqual(report["rates"]["wide.lif"], 0.5)

    def test_many_counts(self):
        """Events of 300 channels, several of them at once."""
        rng = np.random.default_rng(8)
        weights = {"stem.conv.weight": rng.normal(size=(256, 300, 3, 3)) * 0.05}
        body = 'let y = tokens(conv(x, 256, 3, 1, 1) in "stem");'
        for report in self.check_wide("frames[300, 3, 2] steps timesteps", body, weights,
                                      rng.poisson(0.3, size=(2, 4, 300, 3, 2))):
            self.assertGreater(report["rates"]["stem.lif"], 0.05)

    def test_verify(self):
        """`verify` takes its levels R and Q from the engine that it is told."""
        case = "v2-tiny-exact"
        self.compile(case, "loihi1", self.path("net"))
        arguments = ["verify", self.path("net"), "--input", t.golden(case, "input.safetensors"),
                     "--json"]
        want = self.run_tool(*arguments).json()
        self.assertEqual(want["mismatches"], 0)
        self.assertGreater(want["values_compared"], 0)
        for engine in [e[:2] for e in self.variants[:2]]:
            got = self.run_tool(*arguments, *engine).json()
            self.assertEqual(got["engine_used"], engine[1])
            drop = lambda r: {k: v for k, v in r.items() if k not in OWN and "seconds" not in k}
            self.assertEqual(drop(got), drop(want))


SHAPES = """neuron lif(v_th = 1.0) {{
	state v = 0.0;
	charge v = v + (input - v) / 2.0;
	fire v >= v_th;
	reset v = 0.0;
}}

block conv(x, out, kernel, stride, pad) {{
	lif(batchnorm(conv2d(x, out, kernel, stride, pad)))
}}

block dense(x, out) {{
	lif(batchnorm(linear(x, out)))
}}

block mix(x, heads) {{
	lif(attention(dense(x, x.channels) in "q", dense(x, x.channels) in "k", dense(x, x.channels) in "v", heads, 0.125), v_th = 0.5)
}}

model shapes(timesteps = 4, classes = 3) {{
	input x : {input};

	{body}
	output logits = linear(mean(y, tokens, time), classes) as "head";
}}
"""
TOKENS = "let y = tokens(conv(x, {dim}, 3, 1, 1) in \"stem\");\n\ty = y + mix(y, {heads}) in \"mix\" as \"sum\";"


class ConformanceOfShapes(Engines):
    """Sizes that fit no vector, and what the zoo's models do not do."""

    def check_model(self, shape, body, seed=0, events=False, images=None, **settings):
        steps = settings.get("timesteps", 4)
        kind = f"frames{shape} steps timesteps" if events else f"frame{shape} repeat timesteps"
        model = self.path("shapes.spk")
        t.write_text(model, SHAPES.format(input=kind, body=body))
        arguments = [model, *(f"--set={k}={v}" for k, v in settings.items())]
        self.write_weights(arguments, seed)
        if images is None:
            rng = np.random.default_rng(seed)
            images = rng.poisson(1.0, size=(2, steps, *shape)) if events \
                else rng.normal(size=(2, *shape))
        report = self.same(*arguments, "--weights", self.path("w"), "--input", self.images(images),
                           fires=False)
        if images.any():
            self.assertGreater(max(report["rates"].values()), 0.001, body)
        return report

    def write_weights(self, arguments, seed):
        """Random weights of every parameter of the model."""
        rng, tensors = np.random.default_rng(seed + 100), {}
        text = self.run_tool("opt", *arguments, "--passes", "dce").out
        for name, axes in re.findall(r"^param @(\S+) f32 \[([\d, ]+)\]", text, re.M):
            shape = [int(n) for n in axes.split(",")]
            array = rng.normal(size=shape)
            if len(shape) > 1:
                array *= 1.5 / np.sqrt(np.prod(shape[1:]))  # inexact sums: their order shows
            elif name.endswith(("running_var", "bn.weight")):
                array = rng.uniform(0.5, 1.5, size=shape)
            else:
                array *= 0.3
            tensors[name] = array.astype(np.float32)
        t.write_tensors(self.path("w"), tensors)

    def test_channels(self):
        for channels, dim, heads in ((1, 1, 1), (2, 6, 3), (3, 63, 7), (1, 64, 2), (5, 65, 5),
                                     (4, 130, 1)):
            report = self.check_model([channels, 3, 5], TOKENS.format(dim=dim, heads=heads), dim)
            self.assertGreater(len(report["rates"]), 4)

    def test_wide_layers(self):
        """Layers whose weights are cut into slices, read by spikes, by counts and by both."""
        self.check_model([3, 4, 3], """let s = conv(x, 192, 3, 1, 1) in "stem";
	let c = conv(s, 320, 3, 1, 1) in "c0";
	let d = conv(s + s + s, 320, 3, 1, 1) in "c1";
	let y = tokens(c + d);
	y = dense(y, 512) in "d0";
	y = dense(y + y, 128) in "d1";""")

    def test_windows(self):
        for size, windows in (((13, 4), ((5, 3, 2), (3, 1, 1))), ((9, 17), ((1, 2, 0), (2, 2, 1))),
                              ((1, 1), ((3, 1, 1), (1, 1, 0))), ((7, 7), ((7, 1, 0), (1, 1, 0)))):
            body = "let y = x;\n" + "".join(
                f"\ty = conv(y, {9 + 60 * i}, {k}, {s}, {p}) in \"c{i}\";\n"
                for i, (k, s, p) in enumerate(windows)) + \
                "\ty = tokens(maxpool(y, kernel = 3, stride = 2, pad = 1));"
            for events in (False, True):
                self.check_model([2, *size], body, events=events)

    def test_steps(self):
        for steps in (1, 2, 5, 33):
            for events in (False, True):
                self.check_model([2, 4, 3], TOKENS.format(dim=8, heads=2), events=events,
                                 timesteps=steps)

    def test_zeros_and_ones(self):
        for events, fill in itertools.product((False, True), (0.0, 1.0)):
            shape = (2, 4, 2, 5, 5) if events else (2, 2, 5, 5)
            self.check_model([2, 5, 5], TOKENS.format(dim=12, heads=3), events=events,
                             images=np.full(shape, fill))

    def test_large_counts(self):
        """Sums of up to 512 spikes, pooled, read by convolution, linear layer and attention."""
        doubled = "let y = conv(x, 10, 3, 1, 1) in \"stem\";\n" + "".join(
            f"\ty = y + y as \"sum{i}\";\n" for i in range(9))
        self.check_model([2, 4, 4], doubled + "\ty = tokens(maxpool(y, kernel = 2, stride = 1));")
        self.check_model([2, 4, 4], doubled + "\ty = tokens(conv(y, 7, 3, 1, 0) in \"c\");")
        self.check_model([2, 4, 4], doubled + "\ty = dense(tokens(y), 70) in \"d\";")
        self.check_model([2, 4, 4], doubled + "\ty = tokens(y);\n"
                         "\ty = lif(attention(y, y, y, 2, 0.001)) as \"a\";")

    def test_large_events(self):
        rng = np.random.default_rng(5)
        for most in (1, 255, 256, 70000):
            images = rng.integers(0, most + 1, size=(2, 4, 3, 6, 6)) * (rng.random((2, 4, 3, 6, 6)) < 0.3)
            self.check_model([3, 6, 6], TOKENS.format(dim=8, heads=2), events=True, images=images)

    def test_reals(self):
        """The head reads currents: every bit of them shows in the features."""
        body = """let s = lif(batchnorm(conv2d(x, 40, 3, 1, 1))) as "s";
	let y = tokens(batchnorm(conv2d(s, 21, 3, 1, 1) as "second") as "third");
	y = y + (batchnorm(linear(y, 21) as "fourth") as "fifth");"""
        for events in (False, True):
            self.check_model([2, 6, 5], body, events=events)

    def test_mixed_operands(self):
        """Sums whose operands are constant in time, spikes, and counts; sums of currents."""
        self.check_model([3, 5, 4], """let s = conv2d(x, 6, 3, 1, 1) as "first";
	let a = lif(s) as "a";
	let b = lif(batchnorm(s)) as "b";
	let c = lif(batchnorm((conv2d(a + b, 6, 3, 1, 1) as "second") + s) as "third") as "c";
	let d = batchnorm((conv2d(c, 6, 1) as "fourth") + (batchnorm(s) as "fifth")) as "sixth";
	let y = tokens((lif(d) as "d") + a + b + c as "all");""")


class ConformanceOfNeurons(Engines):
    """Neurons that a user wrote, from one description: tests/data/engines/neurons.spk."""
    KINDS = ("adaptive threshold", "soft reset", "synaptic current", "every operation")

    def prepare(self, kind):
        rng = np.random.default_rng(kind)
        source = ["--input", self.images(rng.normal(size=(3, 3, 7, 5)))]
        model = [os.path.join(DATA, "neurons.spk"), "--set", f"kind={kind}"]
        self.run_tool("synth", *model, "--rate", 0.2, "-o", self.path("w"), *source)
        return [*model, "--weights", self.path("w")], source

    def test_level_r(self):
        for kind, name in enumerate(self.KINDS):
            with self.subTest(neuron=name):
                model, source = self.prepare(kind)
                self.same(*model, *source)

    def test_teacher(self):
        for kind, name in enumerate(self.KINDS):
            with self.subTest(neuron=name):
                model, source = self.prepare(kind)
                self.run_tool("run", *model, *source, "--spikes", self.path("s"))
                wrong = dict(t.read_tensors(self.path("s")))
                rng = np.random.default_rng(kind)
                for layer in [n for n in wrong if n.endswith("lif")]:
                    wrong[layer] = wrong[layer] ^ (rng.random(wrong[layer].shape) < 0.05)
                t.write_tensors(self.path("teacher"), wrong)
                report = self.same(*model, *source, "--teacher", self.path("teacher"))
                self.assertGreater(report["teacher"]["flips_outside"], 0)

    def test_level_q(self):
        """A soft reset survives quantisation; the others do not fit the chips' neurons."""
        model, source = self.prepare(1)
        self.run_tool("compile", *model, "--target", "loihi2", "-o", self.path("net"))
        self.same(self.path("net"), "--level", "Q", *source, exact=True)


class ConformanceOfTheZoo(Engines):
    def test_trained_model(self):
        """The zoo's trained network, on images of bytes as in its data set."""
        rng = np.random.default_rng(11)
        images = rng.integers(0, 256, size=(3, 28, 28)).astype(np.uint8)
        images[0], images[1] = 0, 255
        t.write_idx(self.path("images.idx"), images)
        self.same("spikformer_v2_fashion", "--input", self.path("images.idx"))

    def test_other_engines(self):
        self.run_tool("run", "spikformer_v2_fashion", "--input", "x", "--engine", "quick",
                      expect=t.USAGE, says=["E0904", "reference, packed"])
        self.run_tool("run", "spikformer_v2_fashion", "--input", "x", "--engine", "packed",
                      "--target-cpu", "generic", expect=t.USAGE, says="E0937")


if __name__ == "__main__":
    unittest.main(verbosity=2)
