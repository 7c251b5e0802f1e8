"""placer: `compile --placer`. The figures of a placement in mapping.json agree with those that
cost.json expects of the image, the default beats the orders, and the threads do not matter."""
import json
import os
import unittest

import spikec_tool as t

MODEL = "spikformer_v2_fashion"


class Placer(t.ToolTest):
    def folder(self, name, *options):
        self.out = self.run_tool("compile", MODEL, "--target", "loihi1", "-o", self.path(name),
                                 *options, expect=t.DONE).out
        return self.json(name, "mapping.json"), self.json(name, "cost.json")["totals"]["predicted"]

    def json(self, *path):
        with open(self.path(*path), encoding="utf-8") as f:
            return json.load(f)

    def test_figures(self):
        traffic = {}
        for placer in ("spikec", "snake", "hilbert"):
            mapping, predicted = self.folder(placer, "--placer", placer)
            self.assertIn(f"placed by {placer} on 2 chips", self.out)
            placed = mapping["placement"]
            traffic[placer] = placed["cost_placed"]
            self.assertEqual([placed["placer"], placed["routing"], placed["chips"]],
                             [placer, "unicast", 2])
            self.assertAlmostEqual(placed["average_hop"],
                                   mapping["traffic_placed"] / placed["messages"])
            # the image's hops also count those to embedded processors, which cross chips only
            inside = predicted["hops_x"] + predicted["hops_y"]
            borders = placed["messages_over_chips"]
            self.assertAlmostEqual(
                inside / (mapping["timesteps"] * (mapping["traffic_placed"] - borders)), 1,
                places=6)
            if placer == "spikec":  # cores that nearly fit one of two chips stay together
                self.assertLess(borders, 0.4 * placed["messages_over_chips_layer_order"])
            self.assertEqual(self.run_tool("check", self.path(placer)).code, t.DONE)
        self.assertLess(traffic["spikec"], 0.6 * min(traffic["snake"], traffic["hilbert"]))

    def test_threads(self):
        for threads in (1, 4):
            self.folder(str(threads), "--threads", threads, "--seed", 5)
        self.folder("another seed", "--seed", 6)
        images = [t.read_bytes(self.path(f, "image.h5")) for f in ("1", "4", "another seed")]
        self.assertTrue(images[0] == images[1])
        self.assertFalse(images[0] == images[2])

    def test_wrong_name(self):
        done = t.spikec("compile", MODEL, "--target", "loihi1", "-o", self.path("x"), "--placer",
                        "best")
        self.assertEqual(done.code, t.USAGE)
        self.assertIn("no placer 'best'; there are spikec, scotch", done.err)
        self.assertFalse(os.path.exists(self.path("x")))


if __name__ == "__main__":
    unittest.main()
