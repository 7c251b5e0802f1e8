"""partition: graphs of neurons into cores. Every figure against a plain count of this file, goals on the
benchmark's net (and its own evaluator), fan-in splitting, formats there and back, the same bytes at
any number of threads, and what is refused."""
import os
import random
import shutil
import struct
import subprocess
import unittest

import spikec_tool as t

PART_C = os.path.join(t.SOURCE, "tests", "data", "mapbench", "part.c")
PARTITIONERS = ("spikec", "sequential", "overlap")
# a run under a sanitizer takes many times as long
EFFORT = "0.02" if t.INSTRUMENTED else "1"


# ---- graphs: (neurons, [(source, weight, [destinations])]) ----

def mapbench_weights():
    """As tests/data/mapbench/part.c draws them, one for every neuron."""
    x = 5
    while True:
        x = (x * 1664525 + 1013904223) % 2**32
        yield 1 + (x >> 16) % 100


def mapbench(scale):
    """The net of part.c: 32x32x2, four convolutions, two dense layers; neurons in HWC order."""
    layers = [(32, 32, 2, 0, 0), (32, 32, 8 * scale, 3, 1), (16, 16, 16 * scale, 3, 2),
              (16, 16, 32 * scale, 3, 1), (8, 8, 32 * scale, 3, 2), (1, 1, 256 * scale, 0, 1),
              (1, 1, 10, 0, 1)]
    weights, edges, base = mapbench_weights(), [], 0
    for (h, w, c, _, _), after in zip(layers, layers[1:] + [None]):
        nxt = base + h * w * c
        for y in range(h):
            for x in range(w):
                to = []
                if after is not None:
                    ah, aw, ac, k, s = after
                    near = [(yo, xo) for yo in range(ah) for xo in range(aw)
                            if k == 0 or (0 <= y - (yo * s - 1) < k and 0 <= x - (xo * s - 1) < k)]
                    to = [nxt + (yo * aw + xo) * ac + i for yo, xo in near for i in range(ac)]
                for i in range(c):
                    weight = next(weights)
                    if to:
                        edges.append((base + (y * w + x) * c + i, weight, to))
        base = nxt
    return base, edges


def recurrent(n, seed, near=6, far=3):
    """Neighbours and strangers, some to themselves, some with two axons, some silent."""
    draw, edges = random.Random(seed), []
    for v in range(n):
        for _ in range(2 if v % 9 == 0 else 1):
            to = {(v + i) % n for i in range(1, near + 1)} | {draw.randrange(n) for _ in range(far)}
            to = sorted(to | {v} if v % 7 == 0 else to - {v})
            edges.append((v, draw.choice((0, 1, 2.5, 7, 100)), [] if v % 13 == 5 else to))
    return n, edges


def dense(sizes):
    draw, edges, base = random.Random(4), [], 0
    for size, after in zip(sizes, sizes[1:]):
        edges += [(base + i, draw.randrange(1, 9), list(range(base + size, base + size + after)))
                  for i in range(size)]
        base += size
    return base + sizes[-1], edges


def shuffled(graph, seed):
    n, edges = graph
    draw, order = random.Random(seed), list(range(n))
    draw.shuffle(order)
    edges = [(order[s], w, [order[d] for d in to]) for s, w, to in edges]
    draw.shuffle(edges)
    return n, edges


# ---- files ----

def snn_bytes(graph):
    n, edges = graph
    return struct.pack("<II", n, len(edges)) + b"".join(
        struct.pack(f"<II{len(to)}If", len(to), s, *to, w) for s, w, to in edges)


def read_snn(path):
    data, at, edges = t.read_bytes(path), 8, []
    n, count = struct.unpack_from("<II", data)
    for _ in range(count):
        k, s = struct.unpack_from("<II", data, at)
        to = list(struct.unpack_from(f"<{k}I", data, at + 8))
        edges.append((s, struct.unpack_from("<f", data, at + 8 + 4 * k)[0], to))
        at += 12 + 4 * k
    assert at == len(data)
    return n, edges


def hgr_text(graph):
    n, edges = graph
    rows = [" ".join(str(x) for x in (w, s + 1, *(d + 1 for d in to))) for s, w, to in edges]
    return "\n".join([f"{len(edges)} {n} 1", *rows, ""])


def read_cg(path):
    lines = t.read_text(path).splitlines()
    n, count = int(lines[3].split()[1]), int(lines[4].split()[1])
    edges = []
    for line in lines[5:]:
        s, w, k, *to = line.split()
        assert int(k) == len(to)
        edges.append((int(s), float(w), [int(d) for d in to]))
    assert len(edges) == count
    return n, edges


# ---- what a partition costs ----

def figures(graph, part, size=None):
    n, edges = graph
    cores = max(part) + 1
    neurons, axons, synapses = [0] * cores, [0] * cores, [0] * cores
    connectivity = cut = remote = 0
    for v in range(n):
        neurons[part[v]] += size[v] if size else 1
    for s, w, to in edges:
        home, reached = part[s], {part[d] for d in to}
        for d in to:
            synapses[part[d]] += 1
            remote += w if part[d] != home else 0
        for p in reached:
            axons[p] += 1
        connectivity += w * len(reached - {home})
        cut += w if reached - {home} else 0
    reuse = [s / a for s, a in zip(synapses, axons) if a]
    return {"cores": cores, "connectivity": connectivity, "cut_net": cut,
            "remote_synapse_events": remote, "max_neurons": max(neurons),
            "max_axons": max(axons), "max_synapses": max(synapses), "axon_entries": sum(axons),
            "synaptic_reuse": sum(reuse) / len(reuse) if reuse else 0, "synapses": sum(synapses),
            "table": [dict(neurons=a, axons=b, synapses=c)
                      for a, b, c in zip(neurons, axons, synapses)]}


class PartitionTest(t.ToolTest):
    def graph(self, graph, name="g.snn"):
        path = self.path(name)
        if name.endswith(".hgr"):
            t.write_text(path, hgr_text(graph))
        else:
            t.write_bytes(path, snn_bytes(graph))
        return path

    def partition(self, path, *options, neurons=None, axons=None, synapses=None, **expect):
        out = self.path("out.part")
        for name, limit in (("neurons", neurons), ("axons", axons), ("synapses", synapses)):
            if limit is not None:
                options = (*options, f"--{name}", str(limit))
        report = self.run_tool("partition", path, "-o", out, "--json", *options, **expect).json()
        return report, [int(line) for line in t.read_text(out).splitlines()]

    def check(self, graph, report, part, neurons=None, axons=None, synapses=None, size=None):
        """Legal, and every figure of the report is what this file counts."""
        self.assertEqual(len(part), graph[0])
        have = figures(graph, part, size)
        for what, limit in (("neurons", neurons), ("axons", axons), ("synapses", synapses)):
            self.assertLessEqual(have["max_" + what], limit or have["max_" + what], what)
            self.assertEqual(report["limits"][what], limit)
        self.assertEqual(report["violations"], 0)
        self.assertEqual(report["core_table"], have.pop("table"))
        for name, value in have.items():
            self.assert_close(report[name], value, 1e-9)
        self.assertGreaterEqual(report["cores"], report["cores_bound"])
        firsts = [part.index(p) for p in range(max(part) + 1)]
        self.assertEqual(firsts, sorted(firsts))
        return have


class Partition(PartitionTest):
    def test_figures(self):
        for name, graph, limits in (
                ("recurrent", recurrent(500, 1), {"neurons": 60, "axons": 260}),
                ("shuffled", shuffled(recurrent(500, 2), 3), {"neurons": 70, "axons": 200}),
                ("random", recurrent(300, 5, near=0, far=8), {"axons": 90, "synapses": 300}),
                ("dense", dense([40, 90, 60, 10]), {"neurons": 30, "synapses": 2000})):
            path, found = self.graph(graph), {}
            for partitioner in PARTITIONERS:
                report, part = self.partition(path, "--partitioner", partitioner, "--effort",
                                              "0.05", **limits)
                found[partitioner] = self.check(graph, report, part, **limits)
                self.assertEqual(report["engine_used"], partitioner)
            for other in PARTITIONERS[1:]:
                self.assertLessEqual(found["spikec"]["cores"], found[other]["cores"], name)
                if found["spikec"]["cores"] == found[other]["cores"]:
                    self.assertLessEqual(found["spikec"]["connectivity"],
                                         found[other]["connectivity"], name)

    def test_cores(self):
        graph = shuffled(recurrent(600, 6, far=0), 1)
        limits = {"neurons": 100, "axons": 190}
        path = self.graph(graph)
        free, _ = self.partition(path, "--partitioner", "overlap", **limits)
        few, part = self.partition(path, "--objective", "cores", "--effort", "0.1", **limits)
        self.check(graph, few, part, **limits)
        self.assertLessEqual(few["cores"], free["cores"])
        many, part = self.partition(path, "--cores", str(few["cores"]), "--effort", "0.1", **limits)
        self.check(graph, many, part, **limits)
        self.assertLessEqual(many["cores"], few["cores"])
        done = self.run_tool("partition", path, "-o", self.path("no.part"), "--cores", "5",
                             "--neurons", "100", "--effort", "0.02", expect=t.NO_FIT)
        self.assertIn("fewer than 6 cores", done.err)
        self.assertFalse(os.path.exists(self.path("no.part")))

    def test_vertex_weights(self):
        draw = random.Random(8)
        n, edges = recurrent(200, 9)
        edges = [(s, int(w), [d for d in to if d != s]) for s, w, to in edges if to]
        size = [draw.randrange(5) for _ in range(n)]
        text = hgr_text((n, edges)).replace(f"{n} 1\n", f"{n} 11\n", 1)
        t.write_text(self.path("g.hgr"), text + "".join(f"{s}\n" for s in size))
        report, part = self.partition(self.path("g.hgr"), "--effort", "0.05", neurons=40)
        self.check((n, edges), report, part, neurons=40, size=size)

    def test_same_bytes(self):
        path = self.graph(recurrent(800, 2, far=1))
        outputs = ["--clusters", self.path("c.cg"), "--write", self.path("w.snn"), "--neurons",
                   "50", "--axons", "150", "-o", self.path("p")]
        for options in ([], ["--objective", "cores"], ["--seed", "4"]):
            texts = set()
            for threads in ("1", "2", "5"):
                self.run_tool("partition", path, *outputs, "--effort", "0.05", "--threads", threads,
                              *options)
                texts.add(tuple(t.read_bytes(self.path(f)) for f in ("c.cg", "w.snn", "p")))
            self.assertEqual(len(texts), 1, options)

    def test_chain(self):
        graph = recurrent(400, 3)
        clusters, mesh = self.path("c.cg"), self.path("p.pl")
        report, part = self.partition(self.graph(graph), "--clusters", clusters, "--effort", "0.05",
                                      neurons=40)
        n, edges = read_cg(clusters)
        self.assertEqual(n, report["cores"])
        self.assert_close(sum(w * len(to) for _, w, to in edges), report["connectivity"], 1e-9)
        want = {}
        for s, w, to in graph[1]:
            key = (part[s], tuple(sorted({part[d] for d in to} - {part[s]})))
            if key[1]:
                want[key] = want.get(key, 0) + w
        self.assertEqual({(s, tuple(to)): w for s, w, to in edges}, want)
        placed = self.run_tool("place", clusters, mesh, "--json").json()
        self.assert_close(placed["messages"], report["connectivity"], 1e-9)
        self.assertEqual(len(t.read_text(mesh).splitlines()), n)
        for name in ("c.hgr", "c.snn"):
            # fractional sums have no place in a .hgr file; whole ones do
            whole = [(s, 2 * w, to) for s, w, to in edges]
            path = self.graph((n, whole), name) if name == "c.snn" else self.path(name)
            if name == "c.hgr":
                t.write_text(path, hgr_text((n, [(s, int(w), to) for s, w, to in whole])))
            again = self.run_tool("place", path, mesh, "--mesh", f"{n}x2", "--json").json()
            self.assert_close(again["messages"], 2 * report["connectivity"], 1e-6)
            self.assertEqual((again["mesh_width"], again["mesh_height"]), (n, 2))


class Benchmark(PartitionTest):
    """The net of tests/data/mapbench/part.c."""

    def test_goals(self):
        for scale, cores, connectivity in ((1, 25, 1.42e6), (2, 50, 3.0e6)):
            graph = mapbench(scale)
            limits = {"neurons": 1024, "axons": 4096}
            report, part = self.partition(self.graph(graph), "--effort", EFFORT, **limits)
            self.check(graph, report, part, **limits)
            self.assertLessEqual(report["cores"], cores)
            self.assertLessEqual(report["connectivity"], connectivity)
            self.evaluate(scale, report)

    def evaluate(self, scale, report):
        """part.c's own evaluator says the same."""
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            return
        tool = self.path("part")
        subprocess.run([compiler, "-O2", "-w", "-o", tool, PART_C, "-lm"], check=True)
        done = subprocess.run([tool, "1024", "4096", str(scale), "/dev/null", "/dev/null",
                               self.path("out.part")], check=True, stdout=subprocess.PIPE)
        said = dict(word.split("=") for word in done.stdout.decode().splitlines()[-1].split()
                    if "=" in word)
        self.assertEqual(said["violations"], "0")
        for name, key in (("parts", "cores"), ("connectivity", "connectivity"),
                          ("cutnet", "cut_net"), ("maxaxon", "max_axons"), ("maxn", "max_neurons"),
                          ("remote-synapse-events", "remote_synapse_events")):
            self.assertEqual(int(said[name]), report[key], name)

    def test_split(self):
        """256 neurons and 1024 axons: the dense layer has 2048 inputs."""
        n, edges = mapbench(1)
        path, written = self.graph((n, edges)), self.path("w.snn")
        limits = {"neurons": 256, "axons": 1024}
        report, part = self.partition(path, "--write", written, "--effort", EFFORT, **limits,
                                      says="2048")
        self.assertEqual(report["split"], {"neurons": 256, "added_neurons": 512, "levels": 1,
                                           "max_fan_in": 2048})
        cut_n, cut = read_snn(written)
        self.assertEqual(cut_n, n + 512)
        self.check((cut_n, cut), report, part, **limits)
        # every neuron hears what it heard, once, directly or through a partial sum
        heard, through = {}, {}
        for s, _, to in edges:
            for d in to:
                heard.setdefault(d, []).append(s)
        for s, _, to in cut:
            for d in to:
                through.setdefault(d, []).append(s)
        for v, sources in heard.items():
            flat = []
            for s in through[v]:
                flat += through[s] if s >= n else [s]
            self.assertEqual(sorted(flat), sorted(sources))
        weight = {s: w for s, w, _ in cut}
        for s in range(n, cut_n):
            self.assertEqual(weight[s], max(weight[i] for i in through[s]))
        done = self.run_tool("partition", path, "-o", self.path("p"), "--no-split", "--neurons", "256",
                             "--axons", "1024", expect=t.NO_FIT)
        for word in ("2048", "1024", "axons"):
            self.assertIn(word, done.err)


class Formats(PartitionTest):
    def convert(self, source, target, *options, **expect):
        return self.run_tool("partition", source, "--write", target, *options, **expect)

    def test_there_and_back(self):
        n, edges = recurrent(90, 4)
        path = self.graph((n, edges))
        self.convert(path, self.path("a.cg"))
        self.convert(self.path("a.cg"), self.path("b.snn"))
        self.assertEqual(t.read_bytes(self.path("b.snn")), t.read_bytes(path))
        whole = n, [(s, int(2 * w), [d for d in to if d != s]) for s, w, to in edges]
        path = self.graph(whole)
        self.convert(path, self.path("a.hgr"))
        self.assertEqual(t.read_text(self.path("a.hgr")), hgr_text(whole))
        self.convert(self.path("a.hgr"), self.path("c.snn"))
        self.assertEqual(t.read_bytes(self.path("c.snn")), t.read_bytes(path))

    def test_hmetis(self):
        """Formats 0, 1, 10, 11, comments and blanks; which pin sends."""
        want = 4, [(0, 1, [1, 2]), (2, 1, [3])]
        for text in ("2 4\n1 2 3\n3 4\n", "2 4 0\n1 2 3\n3 4", "% c\n\n2 4 1\n1 1 2 3\r\n%\n1 3 4\n",
                     " 2\t4 10\n1  2 3 \n3 4\n1\n1\n%\n1\n1\n\n", "2 4 11\n1 1 2 3\n1 3 4\n1\n1\n1\n1\n",
                     "2 4 01\n1.0 1 2 3\n1e0 3 4\n"):
            t.write_text(self.path("g.hgr"), text)
            self.convert(self.path("g.hgr"), self.path("o.snn"))
            self.assertEqual(read_snn(self.path("o.snn")), want, text)
        t.write_text(self.path("g.hgr"), "2 4\n1 2 3\n3 4\n")
        for source, edges in (("last", [(2, 1, [0, 1]), (3, 1, [2])]), ("first", want[1]),
                              ("none", [(0, 1, [0, 1, 2]), (2, 1, [2, 3])])):
            self.convert(self.path("g.hgr"), self.path("o.snn"), "--source", source)
            self.assertEqual(read_snn(self.path("o.snn")), (4, edges))
        t.write_text(self.path("g.hgr"), "1 3 10\n1 2\n1\n2\n3\n")
        self.convert(self.path("g.hgr"), self.path("o.hgr"))
        self.assertEqual(t.read_text(self.path("o.hgr")), "1 3 10\n1 2\n1\n2\n3\n")

    def test_not_expressible(self):
        for name, graph, target, says in (
                ("half.snn", (2, [(0, 0.5, [1])]), "o.hgr", "0.5"),
                ("large.snn", (2, [(0, 2.0**40, [1])]), "o.hgr", "whole weights"),
                ("self.snn", (2, [(0, 1, [0, 1])]), "o.hgr", "among its destinations")):
            done = self.convert(self.graph(graph, name), self.path(target), expect=t.BAD_INPUT)
            self.assertIn(says, done.err)
            self.assertFalse(os.path.exists(self.path(target)))
        t.write_text(self.path("g.hgr"), "1 2 11\n16777217 1 2\n1\n1\n")
        self.convert(self.path("g.hgr"), self.path("o.snn"), expect=t.BAD_INPUT, says="16777217")
        t.write_text(self.path("g.hgr"), "1 2 10\n1 2\n1\n3\n")
        for target in ("o.snn", "o.cg"):
            self.convert(self.path("g.hgr"), self.path(target), expect=t.BAD_INPUT,
                         says="vertex weights")
            self.assertFalse(os.path.exists(self.path(target)))

    def test_hostile_hgr(self):
        for line, text, says in (
                (1, "", "hyperedges"), (1, "x 3\n1 2\n", "'x'"), (1, "1\n", "missing"),
                (1, "1 3 2\n1 2\n", "2"), (1, "1 3 1 4\n1 2\n", "more on the line"),
                (1, "4000000000 3\n1 2\n", "4000000000"), (1, "1 2000000000\n1 2\n", "2000000000"),
                (2, "1 3\n1 4\n", "'4'"), (2, "1 3\n0 1\n", "'0'"), (2, "1 3\n1 2 1\n", "twice"),
                (2, "1 3\n1 -2\n", "'-2'"), (2, "1 3\n1 2.5\n", "'2.5'"),
                (2, "1 3 1\n-1 2\n", "'-1'"), (2, "1 3 1\nnan 2\n", "'nan'"),
                (2, "1 3 1\n1e101 2\n", "'1e101'"), (2, "1 3 1\n5\n", "missing"),
                (3, "2 3\n1 2\n", "1 of 2"), (3, "1 3\n1 2\n2 3\n", "goes on"),
                (4, "1 3 10\n1 2\n1\n", "weights of 1 of 3"), (2, "1 3\n" + "9" * 500 + "\n", "999"),
                (3, "1 3 10\n1 2\n1 1\n1\n1\n", "more on the line")):
            t.write_text(self.path("bad.hgr"), text)
            done = self.convert(self.path("bad.hgr"), self.path("o.snn"), expect=t.BAD_INPUT)
            self.assertIn(f"bad.hgr:{line}: error", done.err, text)
            self.assertIn(says, done.err, text)
            self.assertFalse(os.path.exists(self.path("o.snn")))

    def test_hostile_snn(self):
        good = snn_bytes((3, [(0, 1, [1, 2]), (1, 2, [2])]))
        head = struct.pack("<II", 3, 1)
        for data, says in ((b"", "0 bytes"), (good[:7], "7 bytes"),
                           (good[:-1], "1 destinations"), (good[:-12], "1 of 2"), (good + b"x", "1 bytes behind"),
                           (struct.pack("<II", 3, 2**32 - 1) + good[8:], "4294967295 hyperedges"),
                           (struct.pack("<II", 2**31, 2) + good[8:], "2147483648 nodes"),
                           (struct.pack("<II", 10**6, 2) + good[8:], "1000000 nodes"),
                           (struct.pack("<II", 0, 2) + good[8:], "without nodes"),
                           (head + struct.pack("<IIIf", 2**30, 0, 1, 1), "1073741824 destinations"),
                           (head + struct.pack("<IIIf", 1, 3, 1, 1), "source is 3"),
                           (head + struct.pack("<IIIf", 1, 0, 3, 1), "destination is 3"),
                           (head + struct.pack("<IIIIf", 2, 0, 1, 1, 1), "twice"),
                           (head + struct.pack("<IIIf", 1, 0, 1, -1), "-1"),
                           (head + struct.pack("<IIIf", 1, 0, 1, float("nan")), "nan"),
                           (head + struct.pack("<IIIf", 1, 0, 1, float("inf")), "inf")):
            t.write_bytes(self.path("bad.snn"), data)
            done = self.convert(self.path("bad.snn"), self.path("o.hgr"), expect=t.BAD_INPUT)
            self.assertIn("bad.snn", done.err)
            self.assertIn(says, done.err)

    def test_usage(self):
        path = self.graph(recurrent(20, 1))
        for options, says in ((["--neurons", "5"], "-o"), (["-o", self.path("p")], "--neurons"),
                              (["-o", self.path("p"), "--neurons", "x"], "neurons"),
                              (["-o", self.path("p"), "--neurons", "5", "--objective", "hops"],
                               "hops"),
                              (["-o", self.path("p"), "--neurons", "5", "--partitioner", "best"],
                               "best"),
                              (["-o", self.path("p"), "--neurons", "5", "--source", "last"],
                               ".hgr"), (["--write", self.path("w.txt")], ".hgr")):
            self.run_tool("partition", path, *options, expect=t.USAGE, says=says)
        self.run_tool("partition", self.path("g.txt"), "--write", self.path("w.hgr"),
                      expect=t.USAGE, says=".snn")
        self.run_tool("partition", self.path("none.snn"), "--write", self.path("w.hgr"),
                      expect=t.SYSTEM)
        self.run_tool("partition", path, "--write", self.path("no", "w.snn"), expect=t.SYSTEM)
        self.run_tool("place", path, self.path("p.pl"), "--mesh", "5", expect=t.USAGE, says="WxH")
        self.run_tool("place", path, self.path("p.pl"), "--mesh", "3x3", expect=t.NO_FIT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
