"""determinism: the same input, options and seed give the same bytes, whatever the number of threads,
the locale and environment, the working directory, the time and the address layout."""
import os
import shutil
import time
import unittest

import spikec_tool as t

CASES = (("v2-tiny-exact", "loihi1"), ("v2-tiny-exact", "loihi2"),
         ("v2-tiny-events-exact", "loihi2"), ("v1-tiny-cifar-exact", "loihi1"))
ENVIRONMENT = {"LC_ALL": "de_DE.UTF-8", "LANG": "tr_TR.UTF-8", "LC_NUMERIC": "fr_FR.UTF-8",
               "TZ": "Pacific/Auckland", "HOME": "/nonexistent", "COLUMNS": "20",
               "MALLOC_PERTURB_": "165", "SOURCE_DATE_EPOCH": "1", "PADDING": "x" * 5000}


def contents(folder):
    names = sorted(os.listdir(folder))
    return {n: t.read_bytes(os.path.join(folder, n)) for n in names}


class Compile(t.ToolTest):
    def variants(self, case, target, out):
        """(what is different, folder)"""
        base = ["compile", *t.case_arguments(case), "--target", target, "--seed", 3]
        os.mkdir(self.path("elsewhere"))
        os.mkdir(self.path("elsewhere", "deep"))
        runs = (("first run", {}, ["--threads", 1]), ("two threads", {}, ["--threads", 2]),
                ("five threads", {}, ["--threads", 5]),
                ("environment", {"env": ENVIRONMENT}, []),
                ("working directory", {"cwd": self.path("elsewhere", "deep")}, []))
        for i, (what, how, more) in enumerate(runs):
            folder = self.path(f"{out}{i}" if i else f"{out} with another name")
            self.run_tool(*base, *more, "-o", folder, **how)
            yield what, folder
            time.sleep(0.3 if i == 1 else 0)
        shutil.rmtree(self.path("elsewhere"))

    def test_every_file(self):
        for case, target in CASES:
            first = None
            for what, folder in self.variants(case, target, "d"):
                got = contents(folder)
                first = first or got
                self.assertIn("image.h5", got)
                self.assertEqual(sorted(got), sorted(first))
                for name, data in first.items():
                    self.assertTrue(got[name] == data, f"{case} on {target}: {name} ({what})")

    def test_relative_and_absolute_names(self):
        """How a file is named on the command line does not show in the result."""
        case = "v2-tiny-exact"
        shutil.copy(t.golden(case, "weights.safetensors"), self.path("w.safetensors"))
        model = t.model_arguments(case)
        for i, (weights, folder) in enumerate((("w.safetensors", "a"),
                                               (self.path("w.safetensors"), "b"))):
            self.run_tool("compile", *model, "--weights", weights, "--target", "loihi2", "-o",
                          folder, cwd=self.dir)
        self.assertEqual(contents(self.path("a")), contents(self.path("b")))

    def test_calibrated(self):
        case = "v2-tiny-batch3-exact"
        for i, threads in enumerate((1, 3)):
            self.compile(case, "loihi1", self.path(f"d{i}"), "--calibrate",
                         t.golden(case, "input.safetensors"), "--threads", threads)
        self.assertEqual(contents(self.path("d0")), contents(self.path("d1")))

    def test_a_weight_is_not_the_same_input(self):
        """The comparison can fail."""
        case = "v2-tiny-exact"
        weights = dict(t.read_tensors(t.golden(case, "weights.safetensors")))
        name = "block.0.mlp.fc1_conv.weight"
        weights[name] = -weights[name]
        t.write_tensors(self.path("w"), weights)
        self.compile(case, "loihi1", self.path("a"))
        self.run_tool("compile", *t.model_arguments(case), "--weights", self.path("w"), "--target",
                      "loihi1", "-o", self.path("b"))
        a, b = contents(self.path("a")), contents(self.path("b"))
        self.assertNotEqual(a["image.h5"], b["image.h5"])


class Results(t.ToolTest):
    def test_simulate_and_run(self):
        case = "v2-tiny-batch3-exact"
        source = t.golden(case, "input.safetensors")
        for target in ("loihi1", "loihi2"):
            folder = self.path(target)
            self.compile(case, target, folder)
            first = None
            for threads, how in ((1, {}), (2, {}), (5, {"env": ENVIRONMENT}),
                                 (2, {"cwd": self.dir})):
                out = [self.path(n) for n in ("s", "y", "qs", "qy", "rs", "ry")]
                self.run_tool("simulate", folder, "--input", source, "--spikes", out[0], "--out",
                              out[1], "--threads", threads, **how)
                self.run_tool("run", folder, "--level", "Q", "--input", source, "--spikes", out[2],
                              "--out", out[3], "--threads", threads, **how)
                self.run_tool("run", folder, "--input", source, "--spikes", out[4], "--out", out[5],
                              "--threads", threads, **how)
                got = [t.read_bytes(p) for p in out + [os.path.join(folder, "cost.json")]]
                first = first or got
                for i, name in enumerate(("spikes", "logits", "Q spikes", "Q logits", "R spikes",
                                          "R logits", "cost.json")):
                    self.assertTrue(got[i] == first[i], f"{target}, {threads} threads: {name}")

    def test_reports(self):
        """What says no times is the same text."""
        model = t.model_arguments("v2-tiny-exact")
        for arguments in (["estimate", *model, "--target", "loihi1", "--json"],
                          ["opt", *model], ["target", "list"], ["target", "show", "loihi2"]):
            outputs = {self.run_tool(*arguments, "--threads", n, env=env).out
                       for n, env in ((1, {}), (3, ENVIRONMENT))}
            self.assertEqual(len(outputs), 1, arguments)
        folder, source = self.path("d"), t.golden("v2-tiny-exact", "input.safetensors")
        self.compile("v2-tiny-exact", "loihi1", folder)
        outputs = {self.run_tool("verify", folder, "--input", source, "--json", "--threads", n).out
                   for n in (1, 2, 4)}
        self.assertEqual(len(outputs), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
