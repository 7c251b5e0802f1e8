"""attention: operations and energy of spiking and softmax attention, from the formulas by hand; rates
given and declared; the paper's figures beside those of its size."""
import json
import os
import shutil
import unittest

import spikec_tool as t

SMALL = ("height=32", "width=32", "dim=32", "depth=2", "heads=2", "timesteps=3")
SETTINGS = [x for s in SMALL for x in ("--set", s)]
N, D, HEADS = 4, 32, 2


class Attention(t.ToolTest):
    def attention(self, model, *more):
        return self.run_tool("attention", model, *more, "--json").json()

    def test_formulas(self):
        rates = {f"block.{l}.attn.{n}_lif": rate for l in (0, 1)
                 for n, rate in zip("qkv", (0.25 + l / 8, 0.5, 0.125))}
        t.write_text(self.path("r.json"), json.dumps({"rates": rates}))
        got = self.attention("spikformer_v2", *SETTINGS, "--rates", self.path("r.json"))
        self.assertEqual((got["rates"], got["timesteps"], len(got["layers"])), ("given", 3, 2))
        total = 0
        for l, layer in enumerate(got["layers"]):
            q = 0.25 + l / 8
            sops = N * D * (D // HEADS) * (min(0.5, 0.125) + q)
            total += sops
            self.assertEqual((layer["tokens"], layer["channels"], layer["heads"]), (N, D, HEADS))
            self.assertEqual((layer["rate_q"], layer["rate_k"], layer["rate_v"]), (q, 0.5, 0.125))
            self.assert_close(layer["ssa"]["accumulations"], sops)
            self.assert_close(layer["ssa"]["energy_uJ"], sops * 0.9e-6)
            self.assertEqual(layer["ssa"]["accumulations_if_all_spiked"], 2 * N * D * (D // HEADS))
            self.assertEqual(layer["vsa"]["macs"], 2 * N * N * D)
            self.assertEqual(layer["vsa"]["operations"], 4 * N * N * D)
            self.assert_close(layer["vsa"]["energy_uJ"], 4 * N * N * D * 4.6e-6)
            self.assert_close(layer["vsa"]["energy_of_macs_uJ"], 2 * N * N * D * 4.6e-6)
        self.assert_close(got["total"]["ssa"]["accumulations"], total)
        self.assertEqual(got["total"]["vsa"]["macs"], 4 * N * N * D)
        self.assertNotIn("published", got)

    def test_declared_rate(self):
        got = self.attention("spikformer_v2", *SETTINGS)
        self.assertEqual(got["rates"], "declared")
        self.assert_close(got["layers"][0]["ssa"]["accumulations"], N * D * 16 * 0.2, 1e-6)

    def test_missing_rates_are_left_out(self):
        t.write_text(self.path("r.json"), json.dumps({"block.0.attn.q_lif": 0.5}))
        result = self.run_tool("attention", "spikformer_v2", *SETTINGS, "--rates", self.path("r.json"),
                               "--json")
        got = result.json()
        self.assertNotIn("accumulations", got["total"]["ssa"])
        self.assertNotIn("rate_k", got["layers"][0])
        self.assertIn("vsa", got["total"])
        self.assertIn(" - ", self.run_tool("attention", "spikformer_v2", *SETTINGS, "--rates",
                                           self.path("r.json")).out)

    def test_published(self):
        rates = t.golden("v2-8-512-exact", "manifest.json")
        got = self.attention("spikformer_v2", "--rates", rates)
        self.assertEqual(len(got["layers"]), 8)
        self.assertEqual(got["layers"][0]["vsa"]["operations"], 4 * 196 * 196 * 512)
        published = got["published"]
        self.assertEqual((published["vsa_operations"], published["vsa_energy_uJ"]), (77e6, 354.2))
        self.assertEqual((published["ssa_accumulations"], published["ssa_energy_uJ"]), (5.5e6, 4.95))
        self.assert_close(published["vsa_operations_ours_to_published"], 78675968 / 77e6)
        mean = got["total"]["ssa"]["accumulations"] / 8
        self.assert_close(published["ssa_accumulations_ours_to_published"], mean / 5.5e6)
        self.assert_close(published["ssa_rate_implied_by_one_layer"], 5.5e6 / (2 * 196 * 512 * 64))
        self.assert_close(published["ssa_rate_implied_by_all_layers"], 5.5e6 / (16 * 196 * 512 * 64))
        # The same accumulations as in the paper's figure for the whole network.
        with open(rates, encoding="utf-8") as f:
            measured = json.load(f)["rates"]
        want = sum(196 * 512 * 64 * (measured[f"block.{l}.attn.q_lif"] + min(
            measured[f"block.{l}.attn.{n}_lif"] for n in "kv")) for l in range(8))
        self.assert_close(got["total"]["ssa"]["accumulations"], want)
        text = self.run_tool("attention", "spikformer_v2", "--rates", rates).out
        for figure in ("7.7e+07", "354.2", "5.5e+06", "4.95", "7.868e+07", "361.9"):
            self.assertIn(figure, text)

    def test_errors(self):
        shutil.copytree(os.path.join(t.SOURCE, "models", "blocks"), self.path("blocks"))
        t.write_text(self.path("none.spk"), """import "blocks/spikformer.spk";
model none() {
	input image : frame[1, 4, 4] repeat 2;
	output y = head(conv_sn(image, 4, 1), 3) as "head";
}
""")
        self.run_tool("attention", self.path("none.spk"), expect=t.BAD_INPUT, says="E0727")
        self.run_tool("attention", "spikformer_v2", "--rates", self.path("no.json"), expect=t.SYSTEM)


if __name__ == "__main__":
    unittest.main()
