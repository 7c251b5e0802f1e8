"""synth: weights of a wanted firing rate, as a user gets them: the rates told are those that `run`
measures, the tensors are those that the model wants, and what follows takes them: run, estimate and
compile with the measured rates, check and verify."""
import os
import re
import unittest

import numpy as np

import spikec_tool as t

TINY = ["--set", "height=32", "--set", "width=32", "--set", "dim=32", "--set", "depth=2", "--set",
        "heads=2", "--set", "classes=10"]
# 64 tokens and 16 channels a head: attention reaches the rate with q, k and v at it.
MIDDLE = ["--set", "height=128", "--set", "width=128", "--set", "dim=32", "--set", "depth=1", "--set",
          "heads=2", "--set", "classes=10"]


def spiking(rates):
    return {k: v for k, v in rates.items() if re.search(r"lif\d?$", k)}


class Synth(t.ToolTest):
    def synth(self, *arguments, **how):
        done = self.run_tool("synth", *arguments, "-o", self.path("w"), "--input-out",
                             self.path("x"), "--rates-out", self.path("r.json"), "--json", **how)
        return done.json(), done.err

    def measured(self, *model):
        """Rates that `run` measures on the images that synth used."""
        done = self.run_tool("run", *model, "--weights", self.path("w"), "--input", self.path("x"),
                             "--rates-out", self.path("measured.json"), "--json").json()
        self.assertEqual(done["ignored_tensors"], [])
        return done["rates"]

    def test_kinds_of_models(self):
        for model in (["spikformer_v2", *MIDDLE], ["spikformer_v2", *MIDDLE, "--set", "timesteps=1"],
                      ["spikformer_v1_imagenet", *MIDDLE],
                      ["spikformer_v2_events", *MIDDLE, "--set", "timesteps=5"],
                      ["spikformer_v1_cifar10", "--set", "dim=48", "--set", "depth=1", "--set",
                       "heads=3"],
                      ["spikformer_v1_cifar10dvs", *MIDDLE, "--set", "timesteps=4"],
                      ["spikformer_v2_fashion"]):
            with self.subTest(model=model):
                told, err = self.synth(*model, "--rate", "0.15", "--limit", "16")
                self.assertEqual(told["input"], "synthetic")
                self.assertEqual(told["images"], 16)
                rates = self.measured(*model)
                self.assertEqual([x["name"] for x in told["layers"]], list(spiking(rates)))
                for layer in told["layers"]:
                    name = layer["name"]
                    attention = name.endswith("attn_lif")
                    self.assertEqual(layer["set_by"], "attention" if attention else "batchnorm")
                    self.assert_close(layer["rate"], rates[name], 1e-9, name)
                    near = 0.1 if attention else 0.02
                    self.assertLess(abs(layer["rate"] - 0.15), near * 0.15, (name, layer))
                self.assertEqual(err, "")
                largest = max(abs(x["rate"] / 0.15 - 1) for x in told["layers"])
                self.assert_close(told["largest_deviation"], largest, 1e-9)

    def test_few_tokens(self):
        """4 tokens: q, k and v fire more than asked for, and a warning says so."""
        told, err = self.synth("spikformer_v2", *TINY, "--rate", "0.1")
        rates = {x["name"]: x["rate"] for x in told["layers"]}
        moved = {n for n, r in rates.items() if abs(r - 0.1) > 0.01}
        self.assertTrue(moved)
        self.assertLessEqual({n.rsplit(".", 1)[1] for n in moved}, {"q_lif", "k_lif", "v_lif"})
        self.assertIn("W0691", err)
        self.assertIn("block.0.attn.q_lif", err)
        for name in moved:
            self.assertLess(rates[name], 0.3)

    def test_tensors_are_those_of_the_model(self):
        case = "v2-tiny-exact"
        told, _ = self.synth(*t.model_arguments(case), "--rate", "0.2")
        want = t.read_tensors(t.golden(case, "weights.safetensors"))
        got = t.read_tensors(self.path("w"))
        wanted = {n: a.size for n, a in want.items() if not n.endswith("num_batches_tracked")}
        self.assertEqual({n: a.size for n, a in got.items()}, wanted)
        for name, array in got.items():
            self.assertTrue(np.isfinite(array).all(), name)
            if name.endswith("running_var"):
                self.assertGreater(array.min(), 0, name)
        self.assertEqual(told["parameters"], t.manifest(case)["params"])
        weight = got["block.0.mlp.fc2_conv.weight"]
        self.assertLess(abs(weight.std() * np.sqrt(weight.shape[1]) - 1), 0.05)

    def test_given_images(self):
        case = "v2-tiny-batch3-exact"
        model = t.model_arguments(case)
        source = t.golden(case, "input.safetensors")
        told, _ = self.synth(*model, "--rate", "0.2", "--input", source)
        self.assertEqual((told["input"], told["images"]), ("given", 3))
        self.assert_same_tensors(t.read_tensors(self.path("x")), t.read_tensors(source))
        told, _ = self.synth(*model, "--rate", "0.2", "--input", source, "--limit", "2")
        self.assertEqual(told["images"], 2)

    def test_same_bytes(self):
        files = ("w", "x", "r.json")
        first = None
        for how in (["--threads", "1"], ["--threads", "2"], ["--threads", "5"]):
            told, _ = self.synth("spikformer_v2", *TINY, "--rate", "0.1", "--seed", "7", *how)
            got = [t.read_bytes(self.path(n)) for n in files] + [told]
            first = first or got
            self.assertEqual(got, first, how)
        self.synth("spikformer_v2", *TINY, "--rate", "0.1", "--seed", "8")
        for i, name in enumerate(files):
            self.assertNotEqual(t.read_bytes(self.path(name)), first[i], name)

    def test_names_of_a_checkpoint(self):
        self.synth("spikformer_v2", *TINY, "--rate", "0.1", "--bind", "backbone.=")
        self.assertTrue(all(n.startswith("backbone.") for n in t.read_tensors(self.path("w"))))

    def test_refusals(self):
        model = ["spikformer_v2", *TINY]
        for rate in ("0", "1", "1.5", "-0.1", "nan", "often", ""):
            self.run_tool("synth", *model, f"--rate={rate}", "-o", self.path("w"), expect=t.USAGE,
                          says="--rate")
        self.run_tool("synth", *model, "-o", self.path("w"), expect=t.USAGE, says="--rate")
        self.run_tool("synth", *model, "--rate", "0.1", expect=t.USAGE, says="-o")
        self.run_tool("synth", "--rate", "0.1", "-o", self.path("w"), expect=t.USAGE)
        self.run_tool("synth", "spikformer_v2", "--set", "dim=500", "--rate", "0.1", "-o",
                      self.path("w"), expect=t.BAD_INPUT, says="504")
        self.run_tool("synth", *model, "--set", "tokens=3", "--rate", "0.1", "-o", self.path("w"),
                      expect=t.BAD_INPUT, says="tokens")
        self.run_tool("synth", *model, "--rate", "0.1", "--input",
                      t.golden("v2-tiny-events-exact", "input.safetensors"), "-o", self.path("w"),
                      expect=t.BAD_INPUT, says="input")
        self.assertEqual(os.listdir(self.dir), [])
        for place in (self.path("no", "w"), "/dev/full"):
            self.run_tool("synth", *model, "--rate", "0.1", "-o", place, expect=t.SYSTEM)
        self.assertEqual(os.listdir(self.dir), [])


class Chain(t.ToolTest):
    """synth -> run --rates-out -> estimate --rates -> compile --rates -> check, verify"""
    MODEL = ["spikformer_v2", *TINY]

    def setUp(self):
        super().setUp()
        self.run_tool("synth", *self.MODEL, "--rate", "0.12", "--seed", "5", "-o", self.path("w"),
                      "--input-out", self.path("x"))
        self.weights = ["--weights", self.path("w")]
        self.image = ["--input", self.path("x"), "--limit", "1"]
        self.rates = self.path("r.json")
        self.told = self.run_tool("run", *self.MODEL, *self.weights, "--input", self.path("x"),
                                  "--rates-out", self.rates, "--json").json()["rates"]

    def test_chain(self):
        estimate = self.run_tool("estimate", *self.MODEL, "--target", "loihi2", "--rates",
                                 self.rates, "--json")
        self.assertEqual((estimate.json()["rates"], estimate.err), ("given", ""))
        for target in ("loihi1", "loihi2"):
            folder = self.path(target)
            self.run_tool("compile", *self.MODEL, *self.weights, "--target", target, "--rates",
                          self.rates, "-o", folder)
            layers = {x["name"]: x for x in
                      t.json.loads(t.read_text(os.path.join(folder, "mapping.json")))["layers"]}
            for name, rate in spiking(self.told).items():
                self.assert_close(layers[name]["rate"], rate, 1e-6, name)
            self.run_tool("check", folder)
            done = self.run_tool("verify", folder, *self.image, "--json").json()
            self.assertEqual((done["mismatches"], done["logit_mismatches"]), (0, 0))
            self.assertGreater(done["values_compared"], 10000)

    def test_means_say_the_same_as_channels(self):
        """The scalar form, bare and in a manifest."""
        t.write_text(self.path("means.json"), t.json.dumps(self.told))
        t.write_text(self.path("manifest.json"), t.json.dumps({"name": "x", "rates": self.told}))
        energy = [self.run_tool("estimate", *self.MODEL, "--target", "loihi2", "--rates", path,
                                "--json").json()["paper_energy"]["SOPs"]
                  for path in (self.rates, self.path("means.json"), self.path("manifest.json"))]
        self.assert_close(energy[0], energy[1], 1e-9)
        self.assertEqual(energy[1], energy[2])

    def test_rates_of_channels_reach_their_cores(self):
        """A layer cut into channels, some of which never fire: its cores are expected to send what
        their own channels send."""
        name, T = "patch_embed.stage1.block0.lif1", 4
        channels = np.where(np.arange(256) < 50, 0.5, 0.0)
        sent = {}
        for form, rate in (("channels", channels.tolist()), ("mean", float(channels.mean()))):
            folder = self.path(form)
            t.write_text(self.path("r"), t.json.dumps({name: rate}))
            self.run_tool("compile", "spikformer_v2_fashion", "--target", "loihi1", "--rates",
                          self.path("r"), "-o", folder, says="W0435")
            mapping = t.json.loads(t.read_text(os.path.join(folder, "mapping.json")))
            cost = t.json.loads(t.read_text(os.path.join(folder, "cost.json")))
            cores, layers = cost["cores"], {x["name"]: x for x in cost["layers"]}
            mine = [t for t in mapping["tiles"] if t["layer"] == name]
            self.assertGreater(len({tuple(c["channels"]) for c in mine}), 4)
            sent[form] = layers[name]["predicted"]["messages"]
            alone = [c for c in mine if len(mapping["cores"][c["core"]]["tiles"]) == 1]
            self.assertGreater(len(alone), 2)
            for tile in alone:
                first, last = tile["channels"]
                rows, columns = tile["rows"], tile["columns"]
                share = (rows[1] - rows[0]) * (columns[1] - columns[0])
                expected = channels[first:last] if form == "channels" else [rate] * (last - first)
                self.assertAlmostEqual(cores[tile["core"]]["predicted"]["spikes_out"],
                                       T * share * sum(expected), 6)
        self.assert_close(sent["channels"], sent["mean"], 0.3)

    def test_bad_rates(self):
        """Exit code 3, with the file and the line and column, or the key."""
        name = "block.0.attn.q_lif"
        for text, says in (("{", ":1:"), ("[0.1]", "array"), ('{"a": 0.1}', ".a"),
                           (f'{{\n"{name}": NaN}}', ":2:"), (f'{{"{name}": 1.5}}', name),
                           (f'{{"{name}": -0.1}}', name), (f'{{"{name}": [0.1, 0.2]}}', name),
                           (f'{{"{name}": "often"}}', name), (f'{{"{name}": 1e999}}', ":1:"),
                           (f'{{"{name}": 0.1, "{name}": 0.1}}', ":1:"),
                           (f'{{"{name}": {t.json.dumps([0.1] * 31 + [2])}}}', "[31]"),
                           (f'{{"rates": {{"{name}": 7}}}}', name), ("", "bad.json")):
            t.write_text(self.path("bad.json"), text)
            for command in (["estimate"], ["compile", *self.weights, "-o", self.path("d")]):
                self.run_tool(command[0], *self.MODEL, *command[1:], "--target", "loihi2", "--rates",
                              self.path("bad.json"), expect=t.BAD_INPUT,
                              says=[self.path("bad.json"), says])
                self.assertFalse(os.path.exists(self.path("d")))
        self.run_tool("estimate", *self.MODEL, "--target", "loihi2", "--rates", self.path("none"),
                      expect=t.SYSTEM, says="none")


if __name__ == "__main__":
    unittest.main(verbosity=2)
