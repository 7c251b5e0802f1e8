"""cli, third part: long jobs that are ended, by a time limit, by Ctrl-C or SIGTERM. What they leave is
legal and whole, says that it is not all, and of a batch of images is what a run of just those would
have been; where there is nothing to leave, nothing is touched."""
import os
import random
import shutil
import signal
import subprocess
import time
import unittest

import numpy as np

import spikec_tool as t

CASE = "v2-tiny-exact"
IMAGES = 4000
DYNAMIC = ("command_line", "ended_early", "seconds_per_image")


def write_graph(path, side):
    """A .cg file with a cluster for each cell, most edges between neighbours in a hidden order."""
    rng = random.Random(3)
    n = side * side
    order = list(range(n))
    rng.shuffle(order)
    lines = ["cg 1", "name hidden", f"mesh {side} {side}", f"clusters {n}", f"edges {n}"]
    for i in range(n):
        near = {(i + step) % n for step in (1, side, -1, -side)} | {rng.randrange(n)}
        to = sorted({order[k] for k in near} - {order[i]})
        lines.append(" ".join(map(str, [order[i], rng.randrange(1, 9), len(to), *to])))
    t.write_text(path, "\n".join(lines) + "\n")


class Ending(t.ToolTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = os.path.join(cls.class_dir, "compiled")
        cls.graph = os.path.join(cls.class_dir, "hidden.cg")
        cls.images = os.path.join(cls.class_dir, "images")
        cls.labels = os.path.join(cls.class_dir, "labels.txt")
        t.spikec("compile", *t.case_arguments(CASE), "--target", "loihi2", "-o", cls.folder)
        few = t.read_tensors(t.golden(CASE, "input.safetensors"))["input"]
        many = np.concatenate([few] * (IMAGES // len(few) + 1))[:IMAGES]
        many = np.ascontiguousarray(many * (1 + np.arange(IMAGES) % 7).reshape(-1, 1, 1, 1) / 4,
                                    dtype=few.dtype)
        t.write_tensors(cls.images, {"input": many})
        t.write_text(cls.labels, "".join(f"{i % 3}\n" for i in range(IMAGES)))
        write_graph(cls.graph, 60)

    def start(self, *arguments):
        return subprocess.Popen([t.TOOL, *map(str, arguments)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def ended(self, arguments, number, after):
        """The tool, sent a signal after so many seconds: exit code, stdout, stderr."""
        process = self.start(*arguments)
        time.sleep(after)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        return process.returncode, out.decode(), err.decode()

    def partly(self, *arguments):
        """The result under a time limit that leaves some images out and not all."""
        limit = 0.5
        for _ in range(12):
            done = t.spikec(*arguments, "--time-limit", limit, "--json")
            if done.code == t.SYSTEM:
                self.assertIn("time limit", done.err)
                self.assertIn("nothing was written", done.err)
                limit *= 2
                continue
            self.assertIn(done.code, (t.DONE, t.DIFFERENCE), done)
            answer = done.json()
            if answer["ended_early"] is not None:
                self.assertEqual(answer["ended_early"], "time-limit")
                self.assertGreater(answer["images"], 0)
                self.assertLess(answer["images"], IMAGES)
                return answer
            limit /= 3
        self.fail(f"no time limit ends '{arguments[0]}' in between")

    # ---- batches of images ----

    def test_simulate(self):
        def job(*more, out, spikes):
            return ["simulate", self.folder, "--input", self.images, "--labels", self.labels,
                    "--out", self.path(out), "--spikes", self.path(spikes), *more]
        part = self.partly(*job(out="y1", spikes="s1"))
        whole = self.run_tool(*job("--limit", part["images"], out="y2", spikes="s2"),
                              "--json").json()
        self.assertIsNone(whole["ended_early"])
        for member in DYNAMIC:
            part.pop(member, None), whole.pop(member, None)
        self.assertEqual(part, whole)
        for a, b in (("y1", "y2"), ("s1", "s2")):
            self.assertEqual(t.read_bytes(self.path(a)), t.read_bytes(self.path(b)), a)

    def test_run(self):
        for level in "RQ":
            def job(*more, out, level=level):
                return ["run", self.folder, "--level", level, "--input", self.images, "--labels",
                        self.labels, "--spikes", self.path(out), "--rates-out",
                        self.path(out + "r"), *more]
            part = self.partly(*job(out="s1"))
            whole = self.run_tool(*job("--limit", part["images"], out="s2"), "--json").json()
            for member in (*DYNAMIC, "load_seconds", "peak_bytes"):
                part.pop(member, None), whole.pop(member, None)
            self.assertEqual(part, whole, level)
            for end in ("", "r"):
                self.assertEqual(t.read_bytes(self.path("s1" + end)),
                                 t.read_bytes(self.path("s2" + end)), level)

    def test_verify(self):
        for levels in ("R,Q,M", "R,Q"):
            job = ["verify", self.folder, "--input", self.images, "--labels", self.labels,
                   "--levels", levels]
            part = self.partly(*job)
            whole = self.run_tool(*job, "--limit", part["images"], "--json").json()
            for member in DYNAMIC:
                part.pop(member, None), whole.pop(member, None)
            self.assertEqual(part, whole, levels)

    def test_signals_keep_finished_images(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            for after in (2, 1, 4, 8):
                code, out, err = self.ended(["run", self.folder, "--input", self.images], number,
                                            after)
                self.assertIn(code, (t.SYSTEM, t.DONE), err)
                if "what was done is kept" in err:
                    break
            self.assertEqual(code, t.SYSTEM, err)
            self.assertIn("interrupted: only so many images were run", out)

    def test_second_signal_ends_at_once(self):
        process = self.start("simulate", self.folder, "--input", self.images)
        time.sleep(1)
        process.send_signal(signal.SIGSTOP)  # so that both are there before it goes on
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)
        self.assertIn(-process.returncode, (signal.SIGINT, signal.SIGTERM))

    # ---- searches ----

    def test_place(self):
        placement = self.path("p.pl")
        for objective in ("unicast", "multicast"):
            answer = self.run_tool("place", self.graph, placement, "--time-limit", "0.4",
                                   "--objective", objective, "--json").json()
            self.assertEqual(answer["ended_early"], "time-limit")
            self.assert_placement(placement, 60)
            # as good as the line that needs no search
            line = self.run_tool("place", self.graph, placement, "--placer", "hilbert",
                                 "--json").json()
            self.assertIsNone(line["ended_early"])
            figure = f"{objective}_hops"
            self.assertLessEqual(answer[figure], line[figure])
        os.remove(placement)
        code, out, err = self.ended(["place", self.graph, placement, "--effort", "50"],
                                    signal.SIGTERM, 1.5)
        self.assertEqual(code, t.SYSTEM, err)
        self.assertIn("what was done is kept", err)
        self.assertIn("interrupted: the placement is the best so far", out)
        self.assert_placement(placement, 60)

    def assert_placement(self, path, side):
        places = [tuple(map(int, line.split())) for line in t.read_text(path).splitlines()]
        self.assertEqual(sorted(places), [(x, y) for x in range(side) for y in range(side)])

    def test_partition(self):
        parts = self.path("parts")
        for more in ([], ["--objective", "cores"]):
            answer = self.run_tool("partition", self.graph, "-o", parts, "--neurons", "40",
                                   "--axons", "150", "--effort", "100", "--time-limit", "0.5",
                                   "--json", *more).json()
            self.assertEqual(answer["ended_early"], "time-limit")
            self.assertEqual(answer["violations"], 0)
            self.assertLessEqual(answer["max_axons"], 150)
            core = list(map(int, t.read_text(parts).split()))
            self.assertEqual(len(core), 3600)
            self.assertEqual(max(core) + 1, answer["cores"])
        os.remove(parts)
        code, _, err = self.ended(["partition", self.graph, "-o", parts, "--neurons", "40",
                                   "--effort", "200"], signal.SIGINT, 1.5)
        self.assertEqual(code, t.SYSTEM, err)
        self.assertEqual(len(t.read_text(parts).split()), 3600)
        # fewer cores than anything found so far: then there is nothing to keep
        os.remove(parts)
        self.run_tool("partition", self.graph, "-o", parts, "--neurons", "40", "--axons", "60",
                      "--cores", "90", "--effort", "200", "--time-limit", "0.5", expect=t.SYSTEM,
                      says="nothing was written")
        self.assertEqual(os.listdir(self.dir), [])

    def test_compile(self):
        """Ended while placing, a folder is whole and legal, and tells; ended before, untouched."""
        settings = ["--set", "height=32", "--set", "width=32", "--set", "dim=128", "--set",
                    "depth=4", "--set", "heads=4", "--set", "classes=10"]
        self.run_tool("synth", "spikformer_v2", *settings, "--rate", "0.1", "--limit", "2", "-o",
                      self.path("w"))
        job = ["compile", "spikformer_v2", *settings, "--weights", self.path("w"), "--target",
               "loihi2", "--attention", "embedded"]
        limit, kept, lost = 0.2, None, False
        while kept is None and limit < 200:
            done = t.spikec(*job, "-o", self.path("d"), "--time-limit", limit, "--json")
            if done.code == t.SYSTEM:
                lost = True
                self.assertIn("nothing was written", done.err)
                self.assertEqual(os.listdir(self.dir), ["w"])
            else:
                self.assertEqual(done.code, t.DONE, done)
                if done.json()["ended_early"] is not None:
                    kept = done.json()
                    break
                shutil.rmtree(self.path("d"))
            limit *= 1.25 if done.code == t.SYSTEM else 0.9
        self.assertTrue(lost)
        self.assertEqual(kept["ended_early"], "time-limit")
        mapping = t.json.loads(t.read_text(self.path("d", "mapping.json")))
        self.assertEqual(mapping["placement"]["ended_early"], "time-limit")
        self.assertEqual(mapping["provenance"]["ended_early"], "time-limit")
        self.run_tool("check", self.path("d"))

    def test_bad_limits(self):
        for value in ("0", "-1", "x", "1e9", ""):
            self.run_tool("place", self.graph, self.path("p"), "--time-limit=" + value,
                          expect=t.USAGE, says="--time-limit takes")


if __name__ == "__main__":
    unittest.main()
