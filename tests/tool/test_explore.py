"""explore: all combinations are there once, each with the figures of `estimate` or of its own folder;
the Pareto front is that of the definition; what was done is not done again; what does not fit is a
row. Expectations are computed here or by other commands."""
import csv
import io
import itertools
import json
import os
import re
import signal
import subprocess
import time
import unittest

import numpy as np

import nir_maker as make
import spikec_tool as t
from nir_graphs import affine, chain, full

CASE = "v2-tiny-batch3-exact"
VARY = {"depth": ["1", "2"], "timesteps": ["1", "2", "4"], "weight_bits": ["4", "8"],
        "objective": ["cores", "traffic"]}
BETTER = {"cores": 1, "energy_pj": 1, "latency_ticks": 1, "top1": -1}


def load(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return json.load(f)


def vary(axes):
    return [word for name, values in axes.items() for word in
            ("--vary", f"{name}={','.join(values)}")]


def front_of(rows):
    """Indices of rows that no other one dominates, by the definition."""
    fits = [r for r in rows if r["fits"]]
    judges = [k for k in BETTER if fits and all(r[k] is not None for r in fits)]

    def beats(a, b):
        gain = [BETTER[k] * (b[k] - a[k]) for k in judges]
        return min(gain) >= 0 and max(gain) > 0
    return judges, [i for i, r in enumerate(rows)
                    if r["fits"] and not any(beats(o, r) for o in fits)]


class Explore(t.ToolTest):
    def explore(self, *more, axes=None, target="loihi1", out="out", expect=t.DONE):
        done = self.run_tool("explore", *t.model_arguments(CASE), "--target", target, "-o",
                             self.path(out), "--json", *vary(VARY if axes is None else axes),
                             *more, expect=expect)
        return done.json()

    def lines(self, out="out"):
        return t.read_text(self.path(out, "points.jsonl")).splitlines()

    def test_every_combination_once(self):
        answer = self.explore()
        want = [dict(zip(VARY, values)) for values in itertools.product(*VARY.values())]
        self.assertEqual([r["point"] for r in answer["rows"]], want)
        self.assertEqual((answer["points"], answer["done"], answer["done_before"]),
                         (len(want), len(want), 0))
        self.assertEqual({v["name"]: v["kind"] for v in answer["varied"]},
                         {"depth": "parameter", "timesteps": "parameter",
                          "weight_bits": "constant", "objective": "option"})
        judges, front = front_of(answer["rows"])
        self.assertEqual(answer["judged_by"], judges)
        self.assertIn("energy_pj", judges)
        self.assertEqual(answer["front"], front)
        self.assertLess(0, len(front))
        self.assertLess(len(front), len(want))
        written = load(self.path("out", "explore.json"))
        self.assertEqual(written["rows"], answer["rows"])
        kept = {r["key"]: r for r in map(json.loads, self.lines())}
        self.assertEqual([kept[r["key"]] for r in answer["rows"]], answer["rows"])
        self.assertEqual(len(kept), len(want))
        table = list(csv.DictReader(io.StringIO(t.read_text(self.path("out", "points.csv")))))
        self.assertEqual([[r[k] for k in VARY] for r in table], [list(p.values()) for p in want])
        self.assertEqual([i for i, r in enumerate(table) if r["front"] == "1"], front)
        self.assertEqual([float(r["energy_pj"]) for r in table],
                         [r["energy_pj"] for r in answer["rows"]])

    def test_figures_are_those_of_estimate_and_compile(self):
        axes = {"timesteps": ["2", "4"], "weight_bits": ["4", "8"]}
        for row in self.explore(axes=axes)["rows"]:
            chip = self.path("out", "targets",
                             f"loihi1+weight_bits={row['point']['weight_bits']}.yaml")
            model = [*t.model_arguments(CASE), "--set", f"timesteps={row['point']['timesteps']}"]
            want = self.run_tool("estimate", *model, "--target", chip, "--json").json()
            for key in ("cores", "chips", "neurons", "synapse_bits"):
                self.assertEqual(row[key], want["totals"][key], key)
            self.assertEqual(row["latency_steps"], want["latency_steps"])
            self.assertEqual(row["basis"], "predicted")
            made = self.run_tool("compile", *model, "--weights",
                                 t.golden(CASE, "weights.safetensors"), "--target", chip, "-o",
                                 self.path("made"), "--json").json()["totals"]["predicted"]
            for key in ("messages", "hops"):  # do not depend on weights
                self.assert_close(row[key], made[key], 1e-12, key)
            # estimates know no biases, which keep neurons active that nothing reaches
            share = row["energy_pj"] / made["energy_priced_pj"]
            self.assertTrue(0.85 < share <= 1, share)

    def test_varied_target_says_so(self):
        self.explore(axes={"weight_bits": ["4", "8"], "energy.synaptic_op": ["23.6", "10"]})
        name = "loihi1+weight_bits=4+synaptic_op=10.yaml"
        shown = self.run_tool("target", "show", self.path("out", "targets", name),
                              "--json").json()["target"]
        base = self.run_tool("target", "show", "loihi1", "--json").json()["target"]
        for section, key, value in (("arithmetic", "weight_bits", 4), ("energy", "synaptic_op", 10)):
            constant, old = shown[section][key], base[section][key]
            self.assertEqual((constant["value"], constant["basis"], constant["unit"]),
                             (value, "assumed", old["unit"]))
            self.assertIn("varied", constant["source"])
            self.assertIn(f"{old['value']:g}", constant["source"])
            shown[section].pop(key)
            base[section].pop(key)
        for key in ("name", "sha256"):
            self.assertNotEqual(shown.pop(key), base.pop(key))
        self.assertEqual(shown, base)
        same = "loihi1+weight_bits=8+synaptic_op=23.6.yaml"  # nothing varied: the same bytes
        self.assertEqual(t.read_text(self.path("out", "targets", same)),
                         t.read_text(os.path.join(t.SOURCE, "backends", "targets", "loihi1.yaml")))

    def test_resumes(self):
        axes = {"depth": ["1"], "timesteps": ["1", "2"]}
        self.explore(axes=axes)
        first = t.read_text(self.path("out", "points.jsonl"))
        axes["depth"].append("2")
        answer = self.explore(axes=axes)
        self.assertEqual((answer["done"], answer["done_before"]), (4, 2))
        whole = t.read_text(self.path("out", "points.jsonl"))
        self.assertTrue(whole.startswith(first))
        self.assertEqual(len(whole.splitlines()), 4)
        # a row that a crash cut off, and one that is gone: done again, the others are not
        lines = whole.splitlines(True)
        t.write_text(self.path("out", "points.jsonl"), "".join(lines[:2]) + lines[2][:100])
        again = self.explore(axes=axes)
        self.assertEqual((again["done"], again["done_before"]), (4, 2))
        self.assertEqual(again["rows"], answer["rows"])
        self.assertEqual(self.lines()[2], lines[2][:100])
        # a mark in a row shows that it was read and not made anew
        t.write_text(self.path("out", "points.jsonl"),
                     re.sub(r'"cores":\d+', '"cores":77', "".join(lines)))
        self.assertEqual([r["cores"] for r in self.explore(axes=axes)["rows"]], [77] * 4)
        # another option or another target is another point
        self.assertEqual(self.explore("--separate-cores", axes=axes)["done_before"], 0)
        self.assertEqual(self.explore(axes=axes, target="loihi2")["done_before"], 0)

    def test_threads_do_not_matter(self):
        for threads in ("1", "3"):
            self.explore("--threads", threads, out=threads)
        for name in ("explore.json", "points.csv"):
            self.assertEqual(*(t.read_bytes(self.path(n, name)) for n in ("1", "3")))
        self.assertEqual(sorted(self.lines("1")), sorted(self.lines("3")))

    def test_what_does_not_fit_is_a_row(self):
        answer = self.explore(axes={"dim": ["32", "33"], "synapse_bits": ["1048576", "256"],
                                    "attention": ["embedded", "nonsense"]})
        rows = {tuple(r["point"].values()): r for r in answer["rows"]}
        self.assertEqual(len(rows), 8)
        self.assertTrue(rows["32", "1048576", "embedded"]["fits"])
        self.assertEqual(sum(r["fits"] for r in rows.values()), 1)
        self.assertEqual(answer["fitting"], 1)
        self.assertIn("33", rows["33", "1048576", "embedded"]["reason"])
        self.assertIn("256", rows["32", "256", "embedded"]["reason"])
        for r in rows.values():
            self.assertEqual(r["fits"], r["reason"] is None)
            self.assertEqual(r["fits"], r["cores"] is not None)
        self.assertEqual(self.explore(axes={"dim": ["33"]}, out="none")["front"], [])

    def test_compiled_with_accuracy(self):
        weights = ["--weights", t.golden(CASE, "weights.safetensors")]
        image = t.golden(CASE, "input.safetensors")
        n = t.read_tensors(image)["input"].shape[0]
        labels = self.path("labels.txt")
        self.run_tool("run", *t.case_arguments(CASE), "--input", image, "--out", self.path("y"))
        best = t.read_tensors(self.path("y"))["logits"].argmax(axis=1)
        t.write_text(labels, "".join(f"{v}\n" for v in best))
        answer = self.explore("--compile", *weights, "--input", image, "--labels", labels,
                              axes={"attention": ["embedded", "and_lif"],
                                    "weight_bits": ["3", "8"]})
        for row in answer["rows"]:
            self.assertTrue(row["fits"], row)
            self.assertEqual(row["basis"], "simulated")
            folder = self.path("out", row["folder"])
            cost = load(folder, "cost.json")
            self.assertEqual((row["cores"], row["energy_pj"], row["messages"]),
                             (cost["totals"]["cores"], cost["totals"]["energy_pj"]["total_priced"],
                              cost["totals"]["messages"]))
            self.run_tool("check", folder)
            again = self.run_tool("simulate", folder, "--input", image, "--labels", labels,
                                  "--json").json()
            self.assertEqual(row["top1"], again["top1"])
            self.assertAlmostEqual(row["top1"] * n, round(row["top1"] * n))
        self.assertIn("top1", answer["judged_by"])
        self.assertEqual(answer["front"], front_of(answer["rows"])[1])
        # a row whose folder is gone is made again
        gone = self.path("out", answer["rows"][0]["folder"])
        os.rename(gone, self.path("elsewhere"))
        again = self.explore("--compile", *weights, "--input", image, "--labels", labels,
                             axes={"attention": ["embedded", "and_lif"],
                                   "weight_bits": ["3", "8"]})
        self.assertEqual(again["done_before"], 3)
        self.assertTrue(os.path.isdir(gone))

    def test_graph(self):
        """A NIR graph has its weights, its step and its number of steps, and no text that tells them."""
        def neurons(n):  # r differs: the text of the module does not tell the step either
            return "IF", {"r": np.linspace(100, 300, n, dtype="<f4"), "v_threshold": full((n,), 0.9),
                          "v_reset": full((n,), 0.0)}

        def explore(*more, scale=0.5):
            nodes, edges = chain((6,), affine(8, 6, scale=scale), neurons(8), affine(4, 8),
                                 neurons(4), out=(4,))
            make.write(self.path("g.nir"), nodes, edges, {"dt": 0.001})
            return self.run_tool("explore", self.path("g.nir"), "--target", "loihi2", "-o",
                                 self.path("out"), "--json", *vary({"timesteps": ["4", "8"]}),
                                 *more).json()
        first = explore()
        self.assertEqual(first["fitting"], 2, first["rows"])
        self.assertEqual(first["varied"][0]["kind"], "parameter")
        self.assertNotEqual(*(r["messages"] for r in first["rows"]))
        self.assertEqual(explore()["done_before"], 2)
        for more, scale in ((["--dt", "5e-4"], 0.5), (["--compile"], 0.5), ([], 0.6)):
            self.assertEqual(explore(*more, scale=scale)["done_before"], 0, more)
        self.assertEqual(explore("--compile", "--dt", "5e-4")["fitting"], 2)
        folders = [self.path("out", r["folder"]) for r in
                   explore("--compile")["rows"] + explore("--compile", "--dt", "5e-4")["rows"]]
        told = self.run_tool("diff", folders[0], folders[2], "--json", expect=t.DIFFERENCE).json()
        self.assertEqual([(i["name"], i["first"], i["second"]) for i in told["inputs"]],
                         [("--dt", None, "0.0005")])

    def test_interrupted(self):
        axes = {"depth": [str(d) for d in range(1, 41)], "timesteps": ["2", "4"]}
        arguments = ["explore", *t.model_arguments(CASE), "--target", "loihi1", "-o",
                     self.path("out"), "--threads", "2", *vary(axes)]
        process = subprocess.Popen([t.TOOL, *arguments], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        rows = self.path("out", "points.jsonl")
        until = time.monotonic() + 120
        while not (os.path.exists(rows) and os.path.getsize(rows)) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, t.SYSTEM, err)
        self.assertIn("what was done is kept", err.decode())
        self.assertIn("the same command goes on", out.decode())
        kept = self.lines()
        self.assertGreater(len(kept), 0)
        self.assertLess(len(kept), 80)
        self.assertEqual(load(self.path("out", "explore.json"))["done"], len(kept))
        less = {"depth": axes["depth"][:3], "timesteps": axes["timesteps"]}
        before = sum(int(json.loads(line)["point"]["depth"]) <= 3 for line in kept)
        answer = self.explore(axes=less)
        self.assertEqual((answer["done"], answer["done_before"]), (6, before))

    def test_page(self):
        self.explore(axes={"timesteps": ["1", "2"]})
        path = self.path("out", "explore.html")
        if not os.path.exists(path):
            self.skipTest("built without D3")
        page = t.read_text(path)
        block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
        self.assertEqual(json.loads(block.group(1)), load(self.path("out", "explore.json")))
        self.assertNotRegex(page, r'(?:src|href)="http')

    def test_refusals(self):
        def refused(*more, axes=None, says, expect=t.USAGE, out="out"):
            self.run_tool("explore", *t.model_arguments(CASE), "--target", "loihi1", "-o",
                          self.path(out), *vary(axes or {}), *more, expect=expect, says=says)
        refused(says="--vary")
        refused(axes={"mood": ["1"]}, says="mood")
        refused(axes={"dim": [""]}, says="empty value")
        refused(axes={"dim": ["32", "32"]}, says="twice")
        refused("--vary", "dim", says="NAME=VALUE")
        refused("--vary", "dim=1", "--vary", "dim=2", says="another one")
        refused("--input", "x", axes={"dim": ["32"]}, says="--compile")
        refused(axes={"weights": ["x"]}, says="--compile")
        refused(axes={"seed": ["x"]}, says="seed")
        refused(axes={"weight_bits": ["4, basis: measured"]}, says="no value of a constant")
        os.mkdir(self.path("mine"))
        t.write_text(self.path("mine", "thesis.txt"), "x")
        refused(axes={"dim": ["32"]}, says="not empty", expect=t.SYSTEM, out="mine")
        self.assertEqual(os.listdir(self.path("mine")), ["thesis.txt"])


if __name__ == "__main__":
    unittest.main()
