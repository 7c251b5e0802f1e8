"""diff: what two compiled folders have in common, what not, and why; and that new weights alone
move nothing. What is expected is counted here from the folders' files, not taken from the tool."""
import json
import os
import re
import unittest

import numpy as np

import spikec_tool as t

CASE = "v2-tiny-batch3-exact"


def other_weights(path, seed, small=1):
    """Weights of the same names and shapes, of another spread in every channel: a quantiser then
    chooses other thresholds and exponents."""
    rng, out = np.random.default_rng(seed), {}
    for name, a in t.read_tensors(t.golden(CASE, "weights.safetensors")).items():
        if a.dtype.kind == "f" and a.ndim > 1:
            spread = rng.lognormal(0, 1, size=(a.shape[0],) + (1,) * (a.ndim - 1))
            a = (a.std() * rng.normal(size=a.shape) * spread).astype(a.dtype)
        elif a.dtype.kind == "f" and (name.endswith(".bias") or name.endswith(".running_mean")):
            a = a * np.float32(small)  # biases that one weight could hold, or none
        out[name] = a
    t.write_tensors(path, out)
    return path


def placement_bytes(folder):
    """What went where, as it stands in mapping.json: layers, sums, cores, tiles."""
    text = t.read_bytes(os.path.join(folder, "mapping.json"))
    return text[text.index(b'"layers"'):]


class Placement(t.ToolTest):
    """Only the weights change: not a byte of the placement does."""

    def fold(self, name, target, weights, *more):
        folder = self.path(name)
        self.run_tool("compile", *t.model_arguments(CASE), "--target", target, "--weights",
                      weights, "-o", folder, *more)
        return folder

    def test_weights_move_nothing(self):
        golden = t.golden(CASE, "weights.safetensors")
        other = other_weights(self.path("other"), 3)
        quiet = other_weights(self.path("quiet"), 4, small=0)
        # cores that are full: a weight of a bias more or less, and tiles are others
        text, n = re.subn(r"(?m)^(  synapse_bits: {value: )\d+", r"\g<1>65536", t.read_text(
            os.path.join(t.SOURCE, "backends", "targets", "loihi1.yaml")))
        self.assertEqual(n, 1)
        small = self.path("small.yaml")
        t.write_text(small, text)
        for target, more in (("loihi1", ()), ("loihi1", ("--attention", "and_lif")), (small, ()),
                             ("loihi2", ()), ("engine-mesh", ()),
                             ("loihi1", ("--objective", "traffic"))):
            with self.subTest(target=target, more=more):
                a = self.fold("a", target, golden, *more)
                b = self.fold("b", target, other, *more)
                self.assertEqual(placement_bytes(a), placement_bytes(b))
                c = self.fold("c", target, quiet, *more)
                self.assertEqual(placement_bytes(a), placement_bytes(c))
                self.assertNotEqual(*(t.read_bytes(os.path.join(f, "quantised.safetensors"))
                                      for f in (a, b)))
                for folder in (a, b):
                    self.run_tool("check", folder)

    def test_estimate_counts_the_cores_of_compile(self):
        for target in ("loihi1", "loihi2"):
            estimate = self.run_tool("estimate", *t.model_arguments(CASE), "--target", target,
                                     "--json").json()
            folder = self.fold("c", target, t.golden(CASE, "weights.safetensors"))
            with open(os.path.join(folder, "cost.json"), encoding="utf-8") as f:
                self.assertEqual(estimate["totals"]["cores"], json.load(f)["totals"]["cores"])


# ---- what the files of two folders tell, counted here ----

def load(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        return json.load(f)


def tile_places(folder):
    """{(layer, rows, columns, channels): (chip, x, y)}"""
    m = load(folder, "mapping.json")
    core = {c["id"]: (c["chip"], c["x"], c["y"]) for c in m["cores"]}
    return {(k["layer"], *k["rows"], *k["columns"], *k["channels"]): core[k["core"]]
            for k in m["tiles"]}


def numbers(value, prefix=""):
    """{"outer.inner": number} of an object; lists, texts and null are no figures."""
    out = {}
    for key, v in value.items():
        if isinstance(v, dict):
            out.update(numbers(v, f"{prefix}{key}."))
        elif isinstance(v, (int, float)) and not isinstance(v, bool):
            out[prefix + key] = v
    return out


def unlike(a, b):
    """{name: (first, second)} of figures that are not the same."""
    return {k: (a.get(k), b.get(k)) for k in {*a, *b} if a.get(k) != b.get(k)}


class Diff(t.ToolTest):
    target = "loihi1"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.made = os.path.join(cls.class_dir, "made")
        done = t.spikec("compile", *t.case_arguments(CASE), "--target", cls.target, "-o", cls.made)
        assert done.code == t.DONE, done

    def other(self, *more, weights=None, target=None, model=()):
        folder = self.path("other")
        self.run_tool("compile", *t.model_arguments(CASE), *model, "--weights",
                      weights or t.golden(CASE, "weights.safetensors"),
                      "--target", target or self.target, "-o", folder, *more)
        return folder

    def diff(self, second, expect=t.DIFFERENCE, first=None):
        return self.run_tool("diff", first or self.made, second, "--json", expect=expect).json()

    def same(self, answer, *parts):
        for part in parts:
            self.assertTrue(answer[part]["same"], answer[part])
            self.assertEqual(answer[part]["changes"], [])

    def check_cost(self, answer, second, simulated=False):
        """Every figure of the totals and of every layer that differs, and no other."""
        a, b = load(self.made, "cost.json"), load(second, "cost.json")
        want = {(None, k): v for k, v in unlike(numbers(a["totals"]), numbers(b["totals"])).items()}
        steps = ("latency_steps", "interval_steps", "ticks_per_step", "latency_ticks",
                 "interval_ticks")
        want.update({(None, k): (a[k], b[k]) for k in steps if a[k] != b[k]})
        layers = {x["name"]: x for x in b["layers"]}
        for layer in a["layers"]:
            if layer["name"] in layers:
                both = unlike(numbers(layer), numbers(layers[layer["name"]]))
                # a layer's start is told with the mapping, and here
                want.update({(layer["name"], k): v for k, v in both.items()})
        got = {(c.get("layer"), c["name"]): (c["first"], c["second"])
               for c in answer["cost"]["changes"]}
        self.assertEqual(got, want)
        self.assertTrue(want)
        for c in answer["cost"]["changes"]:
            if c["first"]:
                self.assert_close(c["relative"], c["second"] / c["first"] - 1, 1e-6, c["name"])

    def check_places(self, answer, second):
        a, b = tile_places(self.made), tile_places(second)
        both = a.keys() & b.keys()
        moved = [k for k in both if a[k] != b[k]]
        self.assertEqual((answer["places"]["tiles"], answer["places"]["moved"]),
                         (len(both), len(moved)))
        per_layer = {c["layer"]: c["moved"] for c in answer["places"]["changes"]
                     if c["name"] == "moved"}
        self.assertEqual(per_layer, {layer: sum(k[0] == layer for k in moved)
                                     for layer in {k[0] for k in moved}})

    def test_equal(self):
        answer = self.diff(self.other(), expect=t.DONE)
        self.assertTrue(answer["equal"])
        self.assertEqual(answer["inputs"], [])
        self.same(answer, "model", "weights", "integers", "cut", "places", "cost")
        self.assertIn("equal", self.run_tool("diff", self.made, self.made).out)

    def test_option_without_effect(self):
        answer = self.diff(self.other("--objective", "cores"), expect=t.DONE)
        self.assertTrue(answer["equal"])
        self.assertEqual(answer["inputs"], [{"kind": "option", "name": "--objective",
                                             "first": None, "second": "cores"}])

    def test_weights(self):
        weights = other_weights(self.path("w"), 5)
        answer = self.diff(self.other(weights=weights))
        self.same(answer, "model", "cut", "places")
        for part, stem in (("weights", "model"), ("integers", "quantised")):
            a, b = (t.read_tensors(os.path.join(f, stem + ".safetensors"))
                    for f in (self.made, self.path("other")))
            want = {n: (a[n].size, int(np.sum(a[n] != b[n]))) for n in a if np.any(a[n] != b[n])}
            got = {c["name"]: (c["values"], c["changed"]) for c in answer[part]["changes"]}
            self.assertEqual(got, want)
            self.assertEqual(answer[part]["tensors"], len(a))
            largest = max(np.max(np.abs(a[n].astype(float) - b[n].astype(float))) for n in a)
            self.assert_close(answer[part]["largest_difference"], largest)
            self.assertEqual(answer[part]["why"], ["weights"])
        file = [c for c in answer["inputs"] if c["kind"] == "file"]
        self.assertEqual([c["name"] for c in file], ["weights"])
        self.assertEqual([len(file[0][k]) for k in ("first", "second")], [64, 64])

    def test_option(self):
        second = self.other("--objective", "traffic")
        answer = self.diff(second)
        self.same(answer, "model", "weights", "integers")
        self.assertEqual(answer["cut"]["why"], ["--objective"])
        self.check_cost(answer, second)
        self.check_places(answer, second)
        a, b = ({x["name"]: x for x in load(f, "mapping.json")["layers"]}
                for f in (self.made, second))
        cut = {n for n in a if a[n].get("grid") != b[n].get("grid")}
        self.assertEqual({c["layer"] for c in answer["cut"]["changes"] if c["name"] == "grid"},
                         cut)
        self.assertTrue(cut)

    def test_places_only(self):
        second = self.other("--placer", "snake")
        answer = self.diff(second)
        self.same(answer, "model", "weights", "integers", "cut")
        self.assertEqual(answer["places"]["why"], ["--placer"])
        self.check_places(answer, second)
        self.assertGreater(answer["places"]["moved"], 0)
        self.check_cost(answer, second)

    def test_several_causes(self):
        answer = self.diff(self.other("--placer", "snake", "--objective", "traffic"))
        self.assertEqual(sorted(answer["places"]["why"]), ["--objective", "--placer"])
        self.assertEqual(answer["cut"]["why"], ["--objective"])

    def chip(self, section, key, value):
        """A copy of the target with another value of a constant."""
        text = t.read_text(os.path.join(self.made, "target.yaml"))
        text, n = re.subn(rf"(\n{section}:\n(?:  .*\n)*?  {key}: {{value: )[^,]+",
                          rf"\g<1>{value}", text)
        self.assertEqual(n, 1)
        t.write_text(self.path("chip.yaml"), text)
        return self.path("chip.yaml")

    def test_constant(self):
        second = self.other(target=self.chip("limits", "synapse_bits", 524288))
        answer = self.diff(second)
        self.same(answer, "model", "weights", "integers")
        constant = [c for c in answer["inputs"] if c["kind"] == "constant"]
        self.assertEqual(constant, [{"kind": "constant", "name": "limits.synapse_bits",
                                     "unit": "bits", "first": "1048576", "second": "524288"}])
        for part in ("cut", "cost"):
            if not answer[part]["same"]:
                self.assertEqual(answer[part]["why"], ["limits.synapse_bits"])
        answer = self.diff(self.other(target=self.chip("arithmetic", "weight_bits", 6)))
        self.assertEqual(answer["integers"]["why"], ["arithmetic.weight_bits"])
        self.assertTrue(answer["weights"]["same"])

    def test_price(self):
        answer = self.diff(self.other(target=self.chip("energy", "synaptic_op", 47.2)))
        self.same(answer, "model", "weights", "integers", "cut", "places")
        self.assertEqual(answer["cost"]["why"], ["energy.synaptic_op"])
        names = {c["name"] for c in answer["cost"]["changes"] if "layer" not in c}
        self.assertEqual(names, {"predicted.energy_pj.synaptic_op", "predicted.energy_priced_pj"})
        for c in answer["cost"]["changes"]:
            if c["name"] == "predicted.energy_pj.synaptic_op":
                self.assert_close(c["second"] / c["first"], 2, 1e-6)

    def test_model(self):
        """Another number of blocks: layers come, named as the model names them."""
        deeper = self.path("deeper")
        depth = t.manifest(CASE)["config"]["depth"] + 1
        weights = self.path("synth")
        model = [*t.model_arguments(CASE), "--set", f"depth={depth}"]
        self.run_tool("synth", *model, "--rate", 0.2, "--limit", 2, "-o", weights)
        self.run_tool("compile", *model, "--weights", weights, "--target", self.target,
                      "-o", deeper)
        answer = self.diff(deeper)
        a, b = ({x["name"]: x["kind"] for x in load(f, "mapping.json")["layers"]}
                for f in (self.made, deeper))
        new = {n for n in b if n not in a and b[n] not in ("relay", "attention", "embedded")}
        self.assertTrue(new)
        self.assertEqual({c["layer"] for c in answer["model"]["changes"]
                          if (c["name"], c["first"]) == ("layer", None)}, new)
        self.assertIn("--set", answer["model"]["why"])
        missing = {c["name"] for c in answer["weights"]["changes"] if c.get("first", 0) is None}
        self.assertTrue(any(f"block.{depth - 1}." in n for n in missing), missing)

    def test_simulated(self):
        image = t.golden(CASE, "input.safetensors")
        second = self.other()
        self.run_tool("simulate", second, "--input", image)
        answer = self.diff(second, expect=t.DONE)  # figures that both have are the same
        self.assertEqual(answer["cost"]["compared"], "static")
        first = self.path("first")
        os.rename(second, first)
        second = self.other()
        self.run_tool("simulate", second, "--input", image, "--limit", 1)
        answer = self.diff(second, first=first)
        self.assertEqual(answer["cost"]["compared"], "simulated")
        self.same(answer, "model", "weights", "integers", "cut", "places")
        self.assertEqual(answer["cost"]["why"], ["--limit"])
        # another file of the same name: seen by what it did
        os.mkdir(self.path("elsewhere"))
        other = self.path("elsewhere", "input.safetensors")
        t.write_tensors(other, {"input": t.read_tensors(image)["input"][::-1] * 2})
        self.run_tool("simulate", second, "--input", other)
        answer = self.diff(second, first=first)
        self.assertEqual(answer["cost"]["why"], ["content of --input"])

    def test_edited_by_hand(self):
        """A figure that no input explains is told as such."""
        second = self.other()
        path = os.path.join(second, "cost.json")
        cost = load(second, "cost.json")
        cost["totals"]["cores"] += 1
        t.write_text(path, json.dumps(cost))
        answer = self.diff(second)
        self.assertEqual(answer["cost"]["why"], [])
        self.assertEqual([c["name"] for c in answer["cost"]["changes"]], ["cores"])
        self.assertIn("no input", self.run_tool("diff", self.made, second,
                                                expect=t.DIFFERENCE).out)

    def test_refusals(self):
        self.run_tool("diff", self.made, self.path("nothing"), expect=t.SYSTEM, says="no folder")
        os.mkdir(self.path("empty"))
        self.run_tool("diff", self.path("empty"), self.made, expect=t.BAD_INPUT,
                      says="spikec compile")
        self.run_tool("diff", self.made, expect=t.USAGE)
        second = self.other()
        for name, change in (("mapping.json", lambda v: v["tiles"][0].update(core=10 ** 6)),
                             ("mapping.json", lambda v: v["cores"][0].pop("chip")),
                             ("mapping.json", lambda v: v.pop("provenance")),
                             ("cost.json", lambda v: v.pop("totals"))):
            keep = t.read_bytes(os.path.join(second, name))
            value = json.loads(keep)
            change(value)
            t.write_text(os.path.join(second, name), json.dumps(value))
            self.run_tool("diff", self.made, second, expect=t.BAD_INPUT, says=name)
            t.write_bytes(os.path.join(second, name), keep)


if __name__ == "__main__":
    unittest.main()
