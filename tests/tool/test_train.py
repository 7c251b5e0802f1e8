"""train: the room tools/train at toy size, with PyTorch and a made-up data set, down to what spikec
makes of the exported weights; and the committed runs of docs/experiments.md, which need no PyTorch."""
import contextlib
import importlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import unittest

import numpy as np

import spikec_tool as t

TRAIN = os.path.join(t.SOURCE, "tools", "train")
MODELS = os.path.join(t.SOURCE, "models", "experiments")
TORCH = importlib.util.find_spec("torch") is not None
IMAGES = 40
STEMS = ((1, 3), (2, 3), (3, 3), (2, 1))  # convolutions and kernels of the table of the page


def experiments():
    """The module tools/train/experiments.py; it needs no PyTorch."""
    path = os.path.join(TRAIN, "experiments.py")
    spec = importlib.util.spec_from_file_location("experiments", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["experiments"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def pictures(count, seed):
    """[count, 28, 28] bytes: a bright bar whose place depends on the label, in noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = random.integers(0, 60, (count, 28, 28))
    for image, label in zip(images, labels):
        image[2 * label + 3:2 * label + 7, 4:24] += 150
    return images.astype(np.uint8), labels.astype(np.uint8)


def program(name, *arguments):
    """Runs tools/train/NAME.py in this process; returns why it refused, or None."""
    if TRAIN not in sys.path:
        sys.path.insert(0, TRAIN)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            importlib.import_module(name).main([str(a) for a in arguments])
        except SystemExit as refused:
            return str(refused)
    return None


@unittest.skipUnless(TORCH, "python3-torch is not installed (tools/setup --train)")
class Recipes(t.ToolTest):
    SMALL = ("--dim", 16, "--heads", 2, "--depth", 1, "--threads", 1, "--batch", 8)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = os.path.join(cls.class_dir, "data")
        os.mkdir(cls.data)
        for split, seed in (("train", 0), ("t10k", 1)):
            images, labels = pictures(IMAGES, seed)
            t.write_idx(os.path.join(cls.data, f"{split}-images-idx3-ubyte.gz"), images)
            t.write_idx(os.path.join(cls.data, f"{split}-labels-idx1-ubyte.gz"), labels)

    def refused(self, script, name, *options):
        return program(script, *self.SMALL, "--data", self.data, "--out", self.path(name + ".pt"),
                       "--log", self.path(name + ".log"), *options)

    def recipe(self, script, name, *options):
        """Runs a recipe to NAME.pt and NAME.log."""
        self.assertIsNone(self.refused(script, name, *options))

    def log(self, name):
        lines = [json.loads(line) for line in t.read_text(self.path(name + ".log")).splitlines()]
        return [{k: v for k, v in line.items() if not k.startswith("seconds")} for line in lines]

    def export(self, name):
        weights = self.path(name + ".safetensors")
        self.assertIsNone(program("export", self.path(name + ".pt"), weights, "--data", self.data,
                                  "--threads", 1))
        return t.read_tensors(weights)

    def resumed(self, script, stages, *options):
        """A run that is interrupted after each epoch writes what an uninterrupted one does."""
        self.recipe(script, "whole", "--stages", stages, *options)
        for epoch in (1, 2, 3):
            self.recipe(script, "parts", "--stages", stages, "--resume", "--stop-after", epoch,
                        *options)
        self.assertEqual(len(self.log("whole")), 3)
        self.assertEqual(self.log("parts"), self.log("whole"))
        self.assert_same_tensors(self.export("parts"), self.export("whole"))

    def test_pretraining_resumes(self):
        self.resumed("pretrain", "1:2:2e-3,2:1:1e-3")

    def test_training_resumes(self):
        self.resumed("train", "1:2:2e-3,2:1:1e-3", "--labels", 20)

    def test_resume_refuses_other_settings(self):
        self.recipe("train", "a", "--stages", "1:2:2e-3", "--stop-after", 1)
        for options in (("--stages", "1:2:2e-3", "--seed", 2), ("--stages", "1:3:2e-3"),
                        ("--stages", "1:2:2e-3", "--stem-convs", 1)):
            said = self.refused("train", "a", "--resume", *options)
            self.assertIn("made with other settings", said)

    def test_from_masks_to_a_chip(self):
        """Pre-training, fine-tuning, export; spikec gives PyTorch's answers, and the mapped network
        those of the quantised one."""
        self.recipe("pretrain", "mae", "--stages", "1:2:2e-3")
        self.assertLess(self.log("mae")[1]["loss"], self.log("mae")[0]["loss"])
        parts = self.export("mae")
        answers = t.read_tensors(self.path("mae.reconstructions.safetensors"))
        self.assertEqual(answers["reconstruction"].shape, (8, 49, 16))
        self.assertEqual(answers["mask"].sum(1).tolist(), [29] * 8)
        self.assertEqual(parts["decoder_pos_embed"].shape, (1, 49, 64))
        self.recipe("train", "tuned", "--stages", "2:8:5e-3", "--init", self.path("mae.pt"))
        exported = self.export("tuned")
        self.assertEqual(exported["patch_embed.stage0.down_conv.weight"].dtype, np.float16)
        self.assertEqual(exported["head.weight"].dtype, np.float32)
        model = self.answers("scs.spk", "tuned", "dim=16", "heads=2", "depth=1", "timesteps=2")
        self.run_tool("compile", *model, "--target", "loihi2", "-o", self.path("out"))
        report = self.run_tool("verify", self.path("out"), "--input", self.images(), "--limit", 3,
                               "--json").json()
        self.assertEqual(report["mismatches"] + report["logit_mismatches"], 0)

    def test_other_checkpoints_are_refused(self):
        self.recipe("pretrain", "mae", "--stages", "1:1:2e-3")
        for options, name in ((("--stem-convs", 3), "stage0.block0.conv3"),
                              (("--dim", 32), "stage0.down_conv"), (("--stem", "sps"), "proj_conv")):
            said = self.refused("train", "a", "--stages", "1:1:2e-3", *options, "--init",
                                self.path("mae.pt"))
            self.assertIn(f"does not fit the network: patch_embed.{name}.weight", said)

    def test_stems(self):
        """Every kind of stem, trained for a moment, means the same in spikec."""
        for convs, kernel in ((1, 3), (3, 3), (1, 1), (2, 1), (3, 1)):
            with self.subTest(convs=convs, kernel=kernel):
                name = f"scs{convs}{kernel}"
                self.recipe("train", name, "--stages", "1:4:5e-3", "--stem-convs", convs,
                            "--stem-kernel", kernel)
                self.export(name)
                self.answers("scs.spk", name, "dim=16", "heads=2", "depth=1",
                             f"stem_convs={convs}", f"stem_kernel={kernel}")
        self.recipe("train", "sps", "--stages", "2:4:5e-3", "--stem", "sps")
        self.export("sps")
        self.answers("sps.spk", "sps", "dim=16", "heads=2", "depth=1", "timesteps=2")

    def images(self):
        return os.path.join(self.data, "t10k-images-idx3-ubyte.gz")

    def answers(self, file, name, *settings):
        """spikec's logits are PyTorch's. One image in 40 may differ: sums in another order can move
        a membrane across a threshold."""
        model = [os.path.join(MODELS, file), "--weights", self.path(name + ".safetensors")]
        for setting in settings:
            model += ["--set", setting]
        self.run_tool("run", *model, "--input", self.images(), "--out", self.path("y.safetensors"))
        got = t.read_tensors(self.path("y.safetensors"))["logits"]
        want = t.read_tensors(self.path(name + ".predictions.safetensors"))["logits"]
        self.assertGreater(np.ptp(want, axis=0).max(), 0.05, "all images have the same answer")
        same = np.abs(got - want).max(1) < 1e-4
        self.assertGreaterEqual(same.sum(), IMAGES - 1)
        return model


@unittest.skipUnless(TORCH, "python3-torch is not installed (tools/setup --train)")
class Network(unittest.TestCase):
    """The network in PyTorch against golden cases and its own rules."""

    def test_selftest(self):
        cases = ("v1-tiny-exact", "v2-tiny-exact", "v2-tiny-batch3-exact", "v2-tiny-t1-exact")
        done = subprocess.run([sys.executable, "-B", os.path.join(TRAIN, "selftest.py"),
                               *(os.path.join(t.GOLDEN, case) for case in cases)], check=False,
                              stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        passed = done.stdout.count(": ok\n") + done.stdout.count("  ok\n")
        self.assertEqual(passed, 8 + len(cases), done.stdout)

    def test_parameters_on_the_page(self):
        if TRAIN not in sys.path:
            sys.path.insert(0, TRAIN)
        model = importlib.import_module("model")
        page = t.read_text(os.path.join(t.SOURCE, "docs", "experiments.md"))
        sizes = [{"dim": 32, "stem_convs": c, "stem_kernel": k} for c, k in STEMS]
        for size in sizes + [{"dim": 56, "stem": "sps"}]:
            network = model.Spikformer(model.Config(**size))
            self.assertIn(f"| {sum(p.numel() for p in network.parameters()):,} |", page, size)


class Committed(t.ToolTest):
    """The weights beside docs/experiments.md: each is mapped and verified, and the tables are those
    of the results."""

    def test_verified(self):
        module = experiments()
        runs = [run for run in module.RUNS if run.recipe.model]
        self.assertGreaterEqual(len(runs), 12)
        images, _ = pictures(2, 3)
        t.write_idx(self.path("x.idx"), images)
        for run in runs:
            with self.subTest(run=run.name):
                model = [os.path.join(MODELS, run.recipe.model), "--weights", run.weights]
                for setting in run.recipe.set:
                    model += ["--set", setting]
                # Runs of a recipe have the same mapping: on the slower chip only the first one.
                for target in ("loihi2", "loihi1")[:2 if run.seed == run.recipe.seeds[0] else 1]:
                    out = self.path(f"{run.name}.{target}")
                    self.run_tool("compile", *model, "--target", target, "-o", out)
                    report = self.run_tool("verify", out, "--input", self.path("x.idx"),
                                           "--json").json()
                    self.assertGreater(report["values_compared"], 50000)
                    for kind in ("mismatches", "sum_mismatches", "logit_mismatches"):
                        self.assertEqual(report[kind], 0, kind)

    def test_tables(self):
        module = experiments()
        page = t.read_text(os.path.join(t.SOURCE, "docs", "experiments.md"))
        words = [sys.executable, "-B", os.path.join(TRAIN, "experiments.py"), "table"]
        tables = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
        for line in tables.splitlines():
            self.assertIn(line, page)
        rows = [line for line in page.splitlines() if line.startswith("| `")]
        for run in module.RUNS:
            self.assertTrue(os.path.exists(run.weights), run.name)
            if run.recipe.model:
                own = [row for row in rows if row.startswith(f"| `{run.name}` |")]
                self.assertEqual(len(own), 2, run.name)

    def test_sizes_of_stems(self):
        """The page's table of stems is what `estimate` tells."""
        page = t.read_text(os.path.join(t.SOURCE, "docs", "experiments.md"))
        for convs, kernel in STEMS:
            cells = []
            for target in ("loihi1", "loihi2"):
                report = self.run_tool("estimate", os.path.join(MODELS, "scs.spk"), "--target",
                                       target, "--set", f"stem_convs={convs}", "--set",
                                       f"stem_kernel={kernel}", "--json").json()
                cells.append((report["totals"]["cores"], report["latency_steps"]))
            self.assertIn(f" | {cells[0][0]} | {cells[1][0]} | {cells[0][1]} |", page, (convs, kernel))


if __name__ == "__main__":
    unittest.main(verbosity=2)
