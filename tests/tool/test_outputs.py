"""cli, second part: what the tool leaves behind. Files and folders are whole or as they were, whatever
goes wrong: a foreign folder in the way, a full disk, Ctrl-C."""
import os
import resource
import shutil
import signal
import time
import unittest

import numpy as np

import spikec_tool as t

CASE = "v2-tiny-exact"
INPUT = t.golden(CASE, "input.safetensors")


def listing(folder):
    out = {}
    for root, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(root, name)
            out[os.path.relpath(path, folder)] = t.read_bytes(path)
    return out


class Outputs(t.ToolTest):
    def test_foreign_folder(self):
        os.mkdir(self.path("thesis"))
        t.write_text(self.path("thesis", "chapter1.tex"), "years of work")
        before = listing(self.path("thesis"))
        self.compile(CASE, "loihi1", self.path("thesis"), expect=t.SYSTEM, says="thesis")
        self.assertEqual(listing(self.path("thesis")), before)
        t.write_text(self.path("file"), "a file")
        self.compile(CASE, "loihi1", self.path("file"), expect=t.SYSTEM, says="file")
        self.assertEqual(t.read_text(self.path("file")), "a file")
        self.compile(CASE, "loihi1", self.path("no", "such", "place"), expect=t.SYSTEM)
        self.assertEqual(sorted(os.listdir(self.dir)), ["file", "thesis"])

    def test_replaced_in_one_step(self):
        folder = self.path("d")
        self.compile(CASE, "loihi1", folder)
        first = listing(folder)
        t.write_text(self.path("d", "cost.json"), "{}")
        self.compile(CASE, "loihi1", folder + "/")
        self.assertEqual(listing(folder), first)
        self.compile(CASE, "loihi2", folder)
        self.assertNotEqual(listing(folder)["image.h5"], first["image.h5"])
        self.assertEqual(os.listdir(self.dir), ["d"])

    def test_failure_leaves_everything_as_it_was(self):
        folder = self.path("d")
        self.compile(CASE, "loihi1", folder)
        before = listing(folder)
        for arguments in (["--set", "dim=500"], ["--weights", INPUT], ["--attention", "product"],
                          ["--system", "none"], ["--calibrate", self.path("nothing")],
                          ["--rates", INPUT]):
            done = t.spikec("compile", *t.case_arguments(CASE), "--target", "loihi1", "-o", folder,
                            *arguments)
            self.assertNotEqual(done.code, t.DONE, done)
            self.assertEqual(listing(folder), before, arguments)
            self.assertEqual(os.listdir(self.dir), ["d"], arguments)

    def limited(self, size, *arguments):
        """The tool on a disk that takes no file of more than `size` bytes."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        done = t.subprocess.run([t.TOOL] + [str(a) for a in arguments], preexec_fn=limit,
                                restore_signals=False, stdout=t.subprocess.PIPE,
                                stderr=t.subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, t.SYSTEM, (size, done.stderr[-2000:]))
        self.assertIn(b"error", done.stderr)

    def test_a_disk_that_fills_up(self):
        folder, model = self.path("d"), t.case_arguments(CASE)
        compiling = ["compile", *model, "--target", "loihi1", "-o", folder]
        for size in (0, 5000, 30000, 200000, 540000):
            self.limited(size, *compiling)
            self.assertEqual(os.listdir(self.dir), [], size)
        self.compile(CASE, "loihi1", folder)
        before = listing(folder)
        for size in (0, 200000, 540000):
            self.limited(size, *compiling)
            self.assertEqual(listing(folder), before)
            self.assertEqual(os.listdir(self.dir), ["d"])
        self.limited(1000, "run", *model, "--input", INPUT, "--spikes", self.path("s"))
        self.limited(1000, "simulate", folder, "--input", INPUT)
        self.assertEqual(listing(folder), before)
        self.assertEqual(os.listdir(self.dir), ["d"])

    def test_interrupted(self):
        """Ctrl-C on long work: an end in good order, and nothing half-written."""
        image = t.read_tensors(INPUT)["input"]
        t.write_tensors(self.path("x"), {"input": np.concatenate([image] * 4000)})
        self.compile(CASE, "loihi1", self.path("d"))
        before = listing(self.path("d"))
        process = t.subprocess.Popen(
            [t.TOOL, "simulate", self.path("d"), "--input", self.path("x"), "--out",
             self.path("y")], stdout=t.subprocess.PIPE, stderr=t.subprocess.PIPE)
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, t.SYSTEM, err)
        self.assertIn(b"interrupted", err)
        if b"what was done is kept" in err:  # some images were finished
            logits = t.read_tensors(self.path("y"))["logits"]
            cost = t.json.loads(t.read_text(self.path("d", "cost.json")))
            self.assertEqual(len(logits), cost["images"])
            os.remove(self.path("y"))
            before["cost.json"] = t.read_bytes(self.path("d", "cost.json"))
        self.assertEqual(listing(self.path("d")), before)
        self.assertEqual(sorted(os.listdir(self.dir)), ["d", "x"])

    def test_interrupted_compile(self):
        """Ctrl-C at any time of a compile: what was there stays, and nothing else appears."""
        settings = ["--set", "dim=128", "--set", "heads=2", "--set", "depth=2"]
        weights = self.path("w")
        self.run_tool("synth", "spikformer_v2", *settings, "--rate", "0.1", "-o", weights, "--quiet")
        self.compile(CASE, "loihi1", self.path("d"))
        before, ended = listing(self.path("d")), 0
        command = [t.TOOL, "compile", "spikformer_v2", *settings, "--weights", weights, "--target",
                   "loihi2", "--attention", "embedded", "-o", self.path("d"), "--quiet"]
        start = time.monotonic()
        self.run_tool(*command[1:-2], self.path("whole"), "--quiet")
        duration = time.monotonic() - start
        shutil.rmtree(self.path("whole"))
        for part in range(2, 8):
            process = t.subprocess.Popen(command, stdout=t.subprocess.PIPE,
                                         stderr=t.subprocess.PIPE)
            time.sleep(duration * part / 8)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            self.assertEqual(sorted(os.listdir(self.dir)), ["d", "w"])
            if process.returncode == t.DONE:  # done before the signal could be seen
                break
            ended += 1
            self.assertEqual(process.returncode, t.SYSTEM, err)
            self.assertIn(b"interrupted", err)
            if b"what was done is kept" in err:  # while it placed: a legal mapping that says so
                self.run_tool("check", self.path("d"))
                self.assertIn('"ended_early": "cancelled"',
                              t.read_text(self.path("d", "mapping.json")))
                before = listing(self.path("d"))
            self.assertEqual(listing(self.path("d")), before)
        self.assertGreater(ended, 0)

    def test_results_are_whole_or_not_there(self):
        old = "what was here before"
        for name in ("s", "y"):
            t.write_text(self.path(name), old)
        arguments = ["--spikes", self.path("s"), "--out", self.path("y")]
        self.run_tool("run", *t.case_arguments(CASE), "--input", t.golden(CASE, "manifest.json"),
                      *arguments, expect=t.BAD_INPUT)
        for name in ("s", "y"):
            self.assertEqual(t.read_text(self.path(name)), old)
        self.run_tool("run", *t.case_arguments(CASE), "--input", INPUT, *arguments)
        self.assertEqual(sorted(os.listdir(self.dir)), ["s", "y"])
        self.assertIn("logits", t.read_tensors(self.path("y")))
        self.run_tool("run", *t.case_arguments(CASE), "--input", INPUT, "--out",
                      self.path("no", "y"), expect=t.SYSTEM)
        self.run_tool("run", *t.case_arguments(CASE), "--input", INPUT, "--out", "/dev/full",
                      expect=t.SYSTEM)

    def test_folder_is_no_model(self):
        self.compile(CASE, "loihi1", self.path("d"))
        self.run_tool("run", self.path("d"), "--set", "dim=32", "--input", INPUT, expect=t.USAGE,
                      says="--set")
        os.mkdir(self.path("empty"))
        for command in ("check", "verify", "simulate", "run", "cost"):
            more = ["--input", INPUT] if command in ("verify", "simulate", "run") else []
            done = self.run_tool(command, self.path("empty"), *more,
                                 expect=t.BAD_INPUT)
            self.assertIn("empty", done.err)
            self.run_tool(command, self.path("nowhere"), *more,
                          expect=t.SYSTEM)

    def test_quiet_and_time_report(self):
        done = self.compile(CASE, "loihi1", self.path("d"), "--quiet")
        self.assertEqual((done.out, done.err), ("", ""))
        done = self.run_tool("check", self.path("d"), "--quiet", "--time-report")
        self.assertEqual(done.out, "")
        self.assertRegex(done.err, r"^time: [\d.]+ s wall.*peak memory [\d.]+ MB\n$")

    def test_simulate_refreshes_the_cost(self):
        self.compile(CASE, "loihi1", self.path("d"))
        self.run_tool("simulate", self.path("d"), "--input", INPUT)
        cost = t.json.loads(t.read_text(self.path("d", "cost.json")))
        self.assertGreater(cost["totals"]["synaptic_events"], 0)
        table = self.run_tool("cost", self.path("d"), "--cores", 3).out
        self.assertIn("block.1.mlp.fc1_lif", table)
        self.assertEqual(sorted(n for n in os.listdir(self.path("d")) if "tmp" in n), [])

    def test_clipped_inputs_are_reported(self):
        self.compile(CASE, "loihi2", self.path("d"))
        image = t.read_tensors(INPUT)["input"].copy()
        for peak, clipped in ((7.0, 0), (100.0, 1)):
            image[0, 0, 0, 0] = peak
            t.write_tensors(self.path("x.safetensors"), {"input": image})
            done = self.run_tool("verify", self.path("d"), "--input", self.path("x.safetensors"))
            self.assertEqual("W0901" in done.err, clipped > 0, done.err)
            if clipped:
                self.assertIn("1 of 3072 input values lie beyond", done.err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
