"""mapped: compile, check, verify, simulate. Every tiny golden network on every target with every
attention lowering that can carry it; the cost report's sums and limits; several images back to back;
the trained Fashion-MNIST model on IDX images."""
import os
import re
import unittest

import numpy as np

import spikec_tool as t

CASES = ("v1-tiny-exact", "v1-tiny-cifar-exact", "v1-tiny-dvs-exact", "v2-tiny-exact",
         "v2-tiny-rect-exact", "v2-tiny-events-exact", "v2-tiny-batch3-exact", "v2-tiny-t1-exact")
STATIC_SUMS = ("neurons", "in_axons", "out_axons", "synapse_bits", "synapses")
DYNAMIC_SUMS = ("synaptic_events", "neuron_updates", "spikes_out", "messages", "hops")
RESOURCES = ("neurons", "in_axons", "out_axons", "synapse_bits")


def lowerings(case, target):
    """None: the compiler's choice."""
    out = [None]
    if t.tokens(case) <= 16:
        out.append("and_lif")
    if target not in ("loihi1", "sanafe-loihi"):
        out += ["embedded", "product", "serial", "plastic"]
    if target == "engine-mesh":
        out.append("engine")
    return out


def batch(case, n, seed):
    """The case's images, then others of the same kind: shuffled, empty, and as large as the case's
    largest value everywhere."""
    image = t.read_tensors(t.golden(case, "input.safetensors"))["input"]
    rng = np.random.default_rng(seed)
    more = [image[:1] * 0, np.full_like(image[:1], image.max())]
    while len(image) + len(more) < n:
        more.append(rng.permutation(image[:1].ravel()).reshape(image[:1].shape))
    return np.concatenate([image] + more)[:max(n, len(image))]


class MappedTest(t.ToolTest):
    def check_mapped(self, folder, source, images, exact=True):
        """check and verify: nothing found. Returns verify's report."""
        report = self.run_tool("check", folder, "--json").json()
        self.assertEqual(report["violations"], 0)
        self.assertGreater(report["synapses_checked"], 0)
        report = self.run_tool("verify", folder, "--input", source, "--json").json()
        self.assertEqual(report["images"], images)
        for key in ("mismatches", "sum_mismatches", "logit_mismatches", "spikes_outside_windows"):
            self.assertEqual(report[key], 0, key)
        self.assertIsNone(report["first_mismatch"])
        return report

    def check_cost(self, cost, simulated):
        totals, cores = cost["totals"], cost["cores"]
        self.assertEqual(totals["cores"], len(cores))
        self.assertEqual(len({(c["chip"], c["x"], c["y"]) for c in cores}), len(cores))
        layers = {layer["name"] for layer in cost["layers"]}
        for core in cores:
            self.assertTrue(core["layers"] and set(core["layers"]) <= layers)
            for r in RESOURCES:
                self.assertLessEqual(core[r], core[f"{r}_limit"], f"core {core['id']}: {r}")
        sums = STATIC_SUMS + (DYNAMIC_SUMS if simulated else ())
        for part in ("cores", "layers", "chips"):
            for key in sums:
                self.assert_close(sum(e[key] for e in cost[part]), totals[key],
                                  what=f"{part} {key}")
        self.assertEqual(sum(e["cores"] for e in cost["layers"]), len(cores))
        for key in ("latency_steps", "interval_steps", "unpriced"):
            self.assertIn(key, cost)
        if simulated:
            self.check_energy(cost)

    def check_energy(self, cost):
        names = [n for n in cost["totals"]["energy_pj"] if n != "total_priced"]
        for part in ("cores", "layers", "chips"):
            for name in names:
                values = [e["energy_pj"][name] for e in cost[part]]
                total = cost["totals"]["energy_pj"][name]
                if total is None:
                    self.assertEqual(set(values), {None}, name)
                else:
                    self.assert_close(sum(values), total, what=f"{part} {name}")
        for entry in [cost["totals"]] + cost["cores"] + cost["layers"] + cost["chips"]:
            split = entry["energy_pj"]
            priced = [split[n] for n in names if split[n] is not None]
            if priced:
                self.assert_close(split["total_priced"], sum(priced))
            else:
                self.assertIsNone(split["total_priced"])
        for name in cost["unpriced"]:
            self.assertIsNone(cost["totals"]["energy_pj"][name], name)

    def check_spikes(self, folder, source, tag="m"):
        """simulate == run --level Q in every tensor and in the logits."""
        files = [self.path(f"{tag}.{n}") for n in ("m", "my", "q", "qy")]
        report = self.run_tool("simulate", folder, "--input", source, "--spikes", files[0],
                               "--out", files[1], "--json").json()
        self.run_tool("run", folder, "--level", "Q", "--input", source, "--spikes", files[2],
                      "--out", files[3])
        self.assert_same_tensors(t.read_tensors(files[0]), t.read_tensors(files[2]), folder)
        mapped = t.read_tensors(files[1])["logits"]
        self.assertTrue((mapped == t.read_tensors(files[3])["logits"]).all())
        return report, t.read_tensors(files[0]), mapped


class Golden(MappedTest):
    def one(self, case, target, attention):
        folder = self.path(f"{case}.{target}.{attention}")
        more = ["--attention", attention] if attention else []
        self.compile(case, target, folder, "--json", *more)
        self.check_cost(t.json.loads(t.read_text(os.path.join(folder, "cost.json"))), False)
        source = t.golden(case, "input.safetensors")
        config, layers = t.manifest(case)["config"], t.manifest(case)["layers"]
        images = len(t.read_tensors(source)["input"])
        report = self.check_mapped(folder, source, images)
        want = sum(int(np.prod(v["shape"])) for n, v in layers.items()
                   if n.split(".")[-1].rstrip("0123456789").endswith("lif"))
        self.assertEqual(report["values_compared"], want)
        simulated, spikes, logits = self.check_spikes(folder, source)
        self.assertEqual(logits.shape, (images, config["classes"]))
        self.assertEqual(simulated["steps"], simulated["latency_steps"] +
                         (images - 1) * simulated["interval_steps"])
        self.check_cost(simulated, True)
        self.check_cost(t.json.loads(t.read_text(os.path.join(folder, "cost.json"))), True)
        named = {n: list(a.shape) for n, a in spikes.items() if n != "logits"}
        self.assertEqual(named, {n: v["shape"] for n, v in layers.items()})

    def every(self, target):
        for case in CASES:
            for attention in lowerings(case, target):
                with self.subTest(case=case, target=target, attention=attention):
                    self.one(case, target, attention)


class GoldenOnLoihi1(Golden):
    def test_every_case(self):
        self.every("loihi1")


class GoldenOnLoihi2(Golden):
    def test_every_case(self):
        self.every("loihi2")


class GoldenOnEngineMesh(Golden):
    def test_every_case(self):
        self.every("engine-mesh")


class GoldenOnSanafeLoihi(Golden):
    def test_every_case(self):
        self.every("sanafe-loihi")


class BackToBack(MappedTest):
    """Images do not touch each other: neither on the chip nor in the reference."""

    def one(self, case, target, more):
        images = batch(case, 6, 1)
        source, folder = self.path("input"), self.path("d")
        t.write_tensors(source, {"input": images})
        self.compile(case, target, folder, *more)
        self.check_mapped(folder, source, len(images))
        _, spikes, logits = self.check_spikes(folder, source)
        self.assertGreater(len({row.tobytes() for row in logits}), 1, "all images look the same")
        for i in (0, 3, 5):
            t.write_tensors(source, {"input": images[i:i + 1]})
            _, alone, alone_logits = self.check_spikes(folder, source, "alone")
            self.assertTrue((alone_logits[0] == logits[i]).all(), f"logits of image {i}")
            for name, array in alone.items():
                if name != "logits":
                    self.assertTrue((array[:, 0] == spikes[name][:, i]).all(), f"{name} image {i}")

    def test_every_kind(self):
        for case in ("v2-tiny-exact", "v1-tiny-dvs-exact", "v2-tiny-events-exact",
                     "v1-tiny-cifar-exact", "v2-tiny-t1-exact"):
            for target, more in (("loihi1", ()), ("loihi2", ()), ("engine-mesh", ()),
                                 ("loihi2", ("--attention", "serial"))):
                with self.subTest(case=case, target=target, more=more):
                    self.one(case, target, more)

    def test_limit(self):
        case, folder = "v2-tiny-batch3-exact", self.path("d")
        self.compile(case, "loihi2", folder)
        source = t.golden(case, "input.safetensors")
        for command in ("verify", "simulate", "run"):
            report = self.run_tool(command, folder, "--input", source, "--limit", 2,
                                   "--json").json()
            self.assertEqual(report["images"], 2, command)
        report = self.run_tool("verify", folder, "--input", source, "--levels", "R,Q",
                               "--json").json()
        self.assertEqual((report["images"], report["values_compared"]), (3, 0))


class SharedCores(MappedTest):
    def test_figures_of_layers(self):
        """What a layer does is its own affair: the same alone on its cores and as a guest."""
        case, source = "v2-tiny-rect-exact", t.golden("v2-tiny-rect-exact", "input.safetensors")
        # weighted tiles may need all 16 configurations of a core of loihi1; with more they share
        text = t.read_text(os.path.join(t.SOURCE, "backends", "targets", "loihi1.yaml"))
        roomy = self.path("loihi1-roomy.yaml")
        t.write_text(roomy, text.replace("configs: {value: 16,", "configs: {value: 64,"))
        for target, attention in (("loihi2", "serial"), ("loihi2", "plastic"),
                                  ("engine-mesh", "engine"), (roomy, "embedded")):
            with self.subTest(target=target, attention=attention):
                layers, totals = {}, {}
                for option in ([], ["--separate-cores"]):
                    folder = self.path(f"{os.path.basename(target)}.{attention}.{len(option)}")
                    self.compile(case, target, folder, "--attention", attention, *option)
                    self.check_mapped(folder, source, 1)
                    cost = self.run_tool("simulate", folder, "--input", source, "--json").json()
                    self.check_cost(cost, True)
                    layers[len(option)] = {x["name"]: x for x in cost["layers"]}
                    totals[len(option)] = cost["totals"]
                    guests = sum(x["guest_cores"] for x in cost["layers"])
                    self.assertEqual(guests > 0, not option)
                    self.assertEqual(any(len(c["layers"]) > 1 for c in cost["cores"]), not option)
                self.assertLess(totals[0]["cores"], totals[1]["cores"])
                for name, shared in layers[0].items():
                    alone = layers[1][name]
                    self.assertEqual(shared["spikes_out"], alone["spikes_out"], name)
                    if target != roomy:  # whose blocks may have synapses on padding
                        for key in ("synaptic_events", "neuron_updates_active"):
                            self.assertEqual(shared[key], alone[key], f"{name} {key}")
                        self.assert_close(shared["neuron_updates"], alone["neuron_updates"], 0.02,
                                          name)


class FanOut(MappedTest):
    """Chips whose memory holds a few channels and whose out-axons name a few cores: layers that are
    read by many cores send through relays, and spike as they would without."""

    def one(self, chip, bits, slots):
        text = t.read_text(os.path.join(t.SOURCE, "backends", "targets", f"{chip}.yaml"))
        for name, value in (("synapse_bits", bits), ("out_axons", slots)):
            text, n = re.subn(rf"(?m)^(  {name}: {{value: )\d+", rf"\g<1>{value}", text)
            self.assertEqual(n, 1, name)
        target, folder = self.path("small.yaml"), self.path("d")
        t.write_text(target, text)
        case = "v2-tiny-exact"
        self.compile(case, target, folder)
        cost = t.json.loads(t.read_text(os.path.join(folder, "cost.json")))
        relays = [layer for layer in cost["layers"] if layer["name"].startswith("fan_out.")]
        self.assertGreaterEqual(len(relays), 2)
        source = t.golden(case, "input.safetensors")
        self.check_mapped(folder, source, len(t.read_tensors(source)["input"]))
        self.check_spikes(folder, source)

    def test_loihi1(self):
        self.one("loihi1", 32768, 32)

    def test_loihi2(self):
        self.one("loihi2", 16384, 32)


class Calibrated(MappedTest):
    def test_calibration(self):
        case = "v2-tiny-batch3-exact"
        source = t.golden(case, "input.safetensors")
        for target in ("loihi1", "loihi2"):
            folder = self.path(target)
            self.compile(case, target, folder, "--calibrate", source, "--calibrate-limit", 2,
                         "--seed", 7)
            self.check_mapped(folder, source, 3)
            self.check_spikes(folder, source)


def synthetic_images(n):
    """Blocks, gradients and noise, 28 x 28."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[0:28, 0:28]
    out = [np.zeros((28, 28)), np.full((28, 28), 255), x * 9, (y + x) * 4,
           np.where((abs(x - 14) < 6) & (y > 3), 200, 0)]
    while len(out) < n:
        out.append(rng.integers(0, 256, (28, 28)) * (rng.random((28, 28)) < 0.6))
    return np.array(out[:n]).astype(np.uint8)


class Fashion(MappedTest):
    """The trained model, on images that the test draws, and on the real ones where they are."""

    def verify(self, target, attention="auto"):
        folder = self.path(f"{target}.{attention}")
        self.run_tool("compile", "spikformer_v2_fashion", "--target", target, "--attention",
                      attention, "-o", folder)
        images, labels = self.path("x-idx3-ubyte.gz"), self.path("y-idx1-ubyte")
        t.write_idx(images, synthetic_images(7))
        t.write_idx(labels, np.arange(7))
        self.check_mapped(folder, images, 7)
        report, _, _ = self.check_spikes(folder, images)
        self.check_cost(report, True)
        report = self.run_tool("verify", folder, "--input", images, "--labels", labels,
                               "--json").json()
        for level in ("reference", "quantised", "mapped"):
            self.assertTrue(0 <= report[f"top1_{level}"] <= 1)
        if not os.path.isdir(t.FASHION):
            return
        test = [os.path.join(t.FASHION, f"t10k-{n}-ubyte.gz")
                for n in ("images-idx3", "labels-idx1")]
        report = self.run_tool("verify", folder, "--input", test[0], "--labels", test[1],
                               "--limit", 40, "--json").json()
        for key in ("mismatches", "logit_mismatches", "spikes_outside_windows"):
            self.assertEqual(report[key], 0, key)
        self.assertEqual(report["top1_mapped"], report["top1_quantised"])
        for level in ("reference", "quantised", "mapped"):
            self.assertGreater(report[f"top1_{level}"], 0.7, level)

    def test_loihi1(self):
        self.verify("loihi1")

    def test_loihi2(self):
        self.verify("loihi2")

    def test_lowerings(self):
        for target, attention in (("loihi2", "serial"), ("loihi2", "plastic"),
                                  ("engine-mesh", "engine")):
            with self.subTest(target=target, attention=attention):
                self.verify(target, attention)


if __name__ == "__main__":
    unittest.main(verbosity=2)
