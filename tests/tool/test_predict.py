"""predict: the cost that `compile` expects from firing rates, held against what the simulator counts
on the images that the rates were measured on. The two share no code: one multiplies the emitted
tables by rates, the other executes them event by event."""
import json
import os
import unittest

import spikec_tool as t

IMAGES = 12
DATA = os.path.join(t.FASHION, "t10k-images-idx3-ubyte.gz")
# figure: how far the expectation may be off, as a fraction. Events, messages and hops follow from
# the rates (which know nothing of the correlation between neurons of a layer); active updates are
# estimated.
TOLERANCE = {"synaptic_events": 0.05, "spikes_out": 0.05, "messages": 0.06, "messages_in": 0.07,
             "hops": 0.05, "hops_x": 0.05, "hops_y": 0.05, "neuron_updates_active": 0.35}


@unittest.skipUnless(os.path.exists(DATA), "Fashion-MNIST is not installed")
class Predicted(t.ToolTest):
    def costs(self, target):
        folder, rates = self.path(target), self.path("rates.json")
        self.run_tool("run", "spikformer_v2_fashion", "--input", DATA, "--limit", str(IMAGES),
                 "--rates-out", rates, "--quiet", expect=t.DONE)
        self.run_tool("compile", "spikformer_v2_fashion", "--target", target, "--rates", rates, "-o",
                 folder, "--quiet", expect=t.DONE)
        with open(os.path.join(folder, "cost.json"), encoding="utf-8") as f:
            before = json.load(f)
        self.run_tool("simulate", folder, "--input", DATA, "--limit", str(IMAGES), "--quiet",
                 expect=t.DONE)
        with open(os.path.join(folder, "cost.json"), encoding="utf-8") as f:
            return before, json.load(f)

    def compare(self, target):
        before, after = self.costs(target)
        expected, counted = before["totals"]["predicted"], after["totals"]
        self.assertEqual(expected["rates"], "given")
        for key, tolerance in TOLERANCE.items():
            self.assertGreater(counted[key], 0, key)
            self.assertAlmostEqual(expected[key] / counted[key], 1, delta=tolerance, msg=key)
        self.assertAlmostEqual(
            expected["max_link_messages"] * IMAGES / counted["max_link_messages"], 1, delta=0.25)
        self.sums(before)
        return expected, counted

    def sums(self, cost):
        """Cores, layers and chips each sum to the totals; the fullest link is the first hot one."""
        total = cost["totals"]["predicted"]
        for part in ("cores", "layers", "chips"):
            for key in TOLERANCE:
                got = sum(row["predicted"][key] for row in cost[part])
                self.assertAlmostEqual(got, total[key], delta=1e-6 * total[key] + 1e-6,
                                       msg=(part, key))
        hot = [link["messages"] for link in total["hot_links"]]
        self.assertEqual(hot, sorted(hot, reverse=True))
        self.assertEqual(hot[0], total["max_link_messages"])
        self.assertGreaterEqual(hot[0], total["link_messages_mean"])

    def test_priced_target(self):
        expected, counted = self.compare("loihi1")
        self.assertAlmostEqual(
            expected["energy_priced_pj"] / counted["energy_pj"]["total_priced"], 1, delta=0.06)
        self.assertAlmostEqual(expected["busy_ns"] / counted["busy_ns"], 1, delta=0.1)

    def test_unpriced_target(self):
        expected, _ = self.compare("loihi2")
        self.assertIsNone(expected["energy_priced_pj"])
        self.assertIsNone(expected["busy_ns"])


if __name__ == "__main__":
    unittest.main()
