"""place: cluster graphs on a mesh. Figures against a plain count, quality against the baselines,
the same bytes at any number of threads, and what is refused."""
import os
import unittest

import spikec_tool as t

PLACERS = ("scotch", "metis", "hilbert", "row", "snake")


def weights():
    """As the benchmark's generator draws them."""
    x = 1
    while True:
        x = (x * 1664525 + 1013904223) % 2**32
        yield 1 + (x >> 16) % 100


def graph_text(name, width, height, n, edges):
    rows = [" ".join(map(str, (s, w, len(d), *d))) for s, w, d in edges]
    return "\n".join(["cg 1", f"name {name}", f"mesh {width} {height}", f"clusters {n}",
                      f"edges {len(edges)}", *rows, ""])


def dense(layers, size):
    w = weights()
    return [(l * size + i, next(w), [(l + 1) * size + j for j in range(size)])
            for l in range(layers - 1) for i in range(size)]


def windows(layers, rows, columns):
    w = weights()
    edges = []
    for l in range(layers - 1):
        for y in range(rows):
            for x in range(columns):
                near = [(l + 1) * rows * columns + yy * columns + xx
                        for yy in range(max(0, y - 1), min(rows, y + 2))
                        for xx in range(max(0, x - 1), min(columns, x + 2))]
                edges.append((l * rows * columns + y * columns + x, next(w), near))
    return edges


def links(a, b):
    """Links of the route from a to b, x first."""
    (x, y), out = a, []
    while x != b[0]:
        step = 1 if b[0] > x else -1
        out.append((x, y, step, 0))
        x += step
    while y != b[1]:
        step = 1 if b[1] > y else -1
        out.append((x, y, 0, step))
        y += step
    return out


def figures(edges, place):
    """Messages, U, M and the longest hop of a placement."""
    messages = unicast = multicast = longest = 0
    for source, weight, dests in edges:
        routes = [links(place[source], place[d]) for d in dests if d != source]
        messages += weight * len(routes)
        unicast += weight * sum(map(len, routes))
        multicast += weight * len({link for route in routes for link in route})
        longest = max([longest, *map(len, routes)])
    return messages, unicast, multicast, longest


class Place(t.ToolTest):
    def graph(self, name, width, height, n, edges):
        path = self.path(f"{name}.cg")
        t.write_text(path, graph_text(name, width, height, n, edges))
        return path

    def place(self, graph, *options):
        out = self.path("p.pl")
        report = self.run_tool("place", graph, out, "--json", *options).json()
        return report, t.read_text(out)

    def places(self, text, width, height, n):
        place = [tuple(map(int, line.split())) for line in text.splitlines()]
        self.assertEqual(len(place), n)
        self.assertEqual(len(set(place)), n)
        self.assertTrue(all(0 <= x < width and 0 <= y < height for x, y in place))
        return place

    def test_figures(self):
        edges = windows(4, 5, 6) + [(0, 7, [0, 119, 3]), (5, 0, [6]), (9, 3, [])]
        path = self.graph("w", 13, 11, 120, edges)
        for objective in ("unicast", "multicast"):
            for placer in ("spikec", "hilbert", "row", "snake"):
                if objective == "multicast" and placer != "spikec":
                    continue
                report, text = self.place(path, "--placer", placer, "--objective", objective)
                place = self.places(text, 13, 11, 120)
                messages, unicast, multicast, longest = figures(edges, place)
                self.assertEqual(report["messages"], messages)
                self.assertEqual(report["unicast_hops"], unicast)
                self.assertEqual(report["multicast_hops"], multicast)
                self.assertEqual(report["max_hop"], longest)
                self.assert_close(report["average_hop"], unicast / messages, 1e-9)

    def test_better_than_baselines(self):
        for name, side, n, edges in (("d", 8, 64, dense(8, 8)), ("c", 16, 256, windows(4, 8, 8))):
            path = self.graph(name, side, side, n, edges)
            own = self.place(path)[0]["unicast_hops"]
            for placer in PLACERS:
                self.assertLess(own, self.place(path, "--placer", placer)[0]["unicast_hops"], placer)
            by_m = self.place(path, "--objective", "multicast")[0]
            self.assertLess(by_m["multicast_hops"], self.place(path)[0]["multicast_hops"])
            self.assertLess(self.place(path, "--effort", "8")[0]["unicast_hops"], own * 1.005)

    def test_same_bytes(self):
        path = self.graph("c", 24, 24, 560, windows(5, 8, 14))
        for options in ([], ["--objective", "multicast"], ["--seed", "5"]):
            texts = {self.place(path, "--threads", str(n), *options)[1] for n in (1, 2, 4)}
            self.assertEqual(len(texts), 1, options)
        self.assertNotEqual(self.place(path)[1], self.place(path, "--seed", "5")[1])

    def test_refused(self):
        good = graph_text("g", 3, 3, 4, [(0, 5, [1, 2]), (1, 2, [3])])
        for line, text, says in ((1, "", "cg"), (2, good.replace("name", "nom"), "name"),
                                 (3, good.replace("mesh 3 3", "mesh 3 x"), "mesh"),
                                 (3, good.replace("mesh 3 3", "mesh 70000 3"), "65535"),
                                 (3, good.replace("mesh 3 3", "mesh 65535 65535"), "cells"),
                                 (3, good.replace("mesh 3 3", "mesh 0 3"), "cells"),
                                 (6, good.replace("0 5 2 1 2", "0 1e200 2 1 2"), "1e100"),
                                 (4, good.replace("mesh 3 3", "mesh 1 3"), "cells"),
                                 (6, good.replace("edges 2", "edges 4000000000"), "edges"),
                                 (6, good.replace("0 5 2 1 2", "0 5 2 1 1"), "twice"),
                                 (6, good.replace("0 5 2 1 2", "0 5 2 1 4"), "4"),
                                 (6, good.replace("0 5 2 1 2", "0 -5 2 1 2"), "-5"),
                                 (6, good.replace("0 5 2 1 2", "0 nan 2 1 2"), "nan"),
                                 (7, good.replace("1 2 1 3", "1 2 9 3"), "9"),
                                 (7, good.rstrip("\n")[:-2], "")):
            t.write_text(self.path("bad.cg"), text)
            done = self.run_tool("place", self.path("bad.cg"), self.path("p.pl"),
                                 expect=t.BAD_INPUT)
            self.assertIn(f"bad.cg:{line}: error", done.err, text)
            self.assertIn(says, done.err, text)
            self.assertFalse(os.path.exists(self.path("p.pl")))
        t.write_text(self.path("g.cg"), good)
        self.run_tool("place", self.path("none.cg"), self.path("p.pl"), expect=t.SYSTEM)
        self.run_tool("place", self.path("g.cg"), self.path("no", "p.pl"), expect=t.SYSTEM)
        for options in (["--placer", "best"], ["--objective", "energy"], ["--effort", "0"],
                        ["--placer", "row", "--objective", "multicast", "--effort", "x"]):
            self.run_tool("place", self.path("g.cg"), self.path("p.pl"), *options, expect=t.USAGE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
