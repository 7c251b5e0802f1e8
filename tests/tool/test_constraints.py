"""mapped and place: constraints. Forbidden places are not used, pinned layers and cores are where they
were pinned, on one chip and on many, with every placer; the folder tells, the checker finds what the
image does not keep; contradictions are told with their place. Without constraints nothing changes."""
import json
import os
import shutil
import unittest

import h5py

import spikec_tool as t

CASE = "v2-tiny-exact"


def constraints(**lists):
    return json.dumps({"spikec_constraints": 1, **lists})


class Constrained(t.ToolTest):
    def write(self, name="c.yaml", **lists):
        t.write_text(self.path(name), constraints(**lists))
        return self.path(name)

    def mapped(self, target, *more, folder="d", **lists):
        self.compile(CASE, target, self.path(folder), "--constraints", self.write(**lists), *more)
        self.run_tool("check", self.path(folder))
        return json.loads(t.read_text(self.path(folder, "mapping.json")))

    def places(self, mapping):
        """{layer: [(chip, x, y), ...]} in the order of the layer's first tiles."""
        core = {c["id"]: (c["chip"], c["x"], c["y"]) for c in mapping["cores"]}
        out = {}
        for tile in mapping["tiles"]:
            seats = out.setdefault(tile["layer"], [])
            if core[tile["core"]] not in seats:
                seats.append(core[tile["core"]])
        return out

    def test_forbidden_cores(self):
        for target, wide in (("loihi1", 16), ("loihi2", 8)):
            free = self.mapped(target)  # an empty list of constraints
            used = {(c["chip"], c["x"], c["y"]) for c in free["cores"]}
            self.compile(CASE, target, self.path("plain"))
            plain = json.loads(t.read_text(self.path("plain", "mapping.json")))
            self.assertEqual(free["cores"], plain["cores"], target)
            forbid = [{"chip": c, "x": x, "y": y} for c, x, y in sorted(used)]
            other = self.mapped(target, forbid=forbid)
            now = {(c["chip"], c["x"], c["y"]) for c in other["cores"]}
            self.assertEqual(used & now, set(), target)
            self.assertEqual(len(used), len(now))
            # the same places, as numbers of cores and as ranges; and reserved instead of forbidden
            numbers = [{"chip": c, "core": y * wide + x} for c, x, y in sorted(used)]
            self.assertEqual(self.mapped(target, reserve=numbers)["cores"], other["cores"])
            rows = self.mapped(target, forbid=[{"y": "0-1"}, {"x": 0}])
            self.assertTrue(all(c["y"] > 1 and c["x"] > 0 for c in rows["cores"]))

    def test_more_chips_where_cores_are_missing(self):
        self.compile(CASE, "loihi1", self.path("plain"))
        n = len(json.loads(t.read_text(self.path("plain", "mapping.json")))["cores"])
        keep = (n + 1) // 2  # cores that stay on each chip
        found = self.mapped("loihi1", forbid=[{"core": f"{keep}-127"}])
        self.assertEqual({c["chip"] for c in found["cores"]}, {0, 1})
        # chips that are broken are not in use at all: nahuku-8 has 4 x 2
        found = self.mapped("loihi1", forbid=[{"chip": "0-2"}, {"chip": 4}, {"chip": 7}])
        self.assertEqual(len({c["chip"] for c in found["cores"]}), 1)
        self.assertIn(found["cores"][0]["chip"], (3, 5, 6))
        self.assertEqual(found["system"], "nahuku-8")
        # also those with embedded processors
        with h5py.File(self.path("d", "image.h5"), "r") as f:
            self.assertTrue(set(f["embedded"]["chip"]) <= {3, 5, 6})
        self.compile(CASE, "loihi1", self.path("no"), "--constraints",
                     self.write(forbid=[{"chip": "0-1"}]), "--system", "kapoho-bay",
                     expect=t.NO_FIT, says=("E0676", "kapoho-bay", "leave 0"))

    def test_pins(self):
        for placer in ("spikec", "hilbert", "row", "metis"):
            found = self.places(self.mapped(
                "loihi2", "--placer", placer,
                pin=[{"layer": "block.0.*", "x": "4-7", "y": "3-9"},
                     {"layer": "block.1.mlp.fc1_lif", "core": 127 - 6 - 8},
                     {"layer": "patch_embed.*", "part": 0, "y": "10-12"}]))
            for layer, seats in found.items():
                if layer.startswith("block.0."):
                    self.assertTrue(all(4 <= x <= 7 and 3 <= y <= 9 for _, x, y in seats), layer)
                if layer.startswith("patch_embed."):
                    self.assertIn(seats[0][2], (10, 11, 12), layer)
            self.assertEqual(found["block.1.mlp.fc1_lif"], [(0, 1, 14)])

    def test_pins_to_chips(self):
        found = self.places(self.mapped(
            "loihi1", pin=[{"layer": "block.0.*", "chip": 2}, {"layer": "block.1.*", "chip": "5-6"}]))
        chips = {layer: {c for c, _, _ in seats} for layer, seats in found.items()}
        self.assertEqual(set().union(*(c for l, c in chips.items() if l.startswith("block.0"))), {2})
        self.assertTrue(set().union(*(c for l, c in chips.items() if l.startswith("block.1")))
                        <= {5, 6})
        self.run_tool("verify", self.path("d"), "--input", t.golden(CASE, "input.safetensors"))

    def test_part_of_a_layer(self):
        """Every core of a layer at a place of its own choice, in reverse order along a column."""
        cut = self.places(self.mapped("loihi1", "--separate-cores"))
        layer = max(cut, key=lambda name: len(cut[name]))
        n = len(cut[layer])
        self.assertGreater(n, 3)
        found = self.places(self.mapped("loihi1", "--separate-cores", pin=[
            {"layer": layer, "part": k, "chip": 1, "core": 100 - k} for k in range(n)]))
        self.assertEqual(found[layer], [(1, (100 - k) % 16, (100 - k) // 16) for k in range(n)])
        self.compile(CASE, "loihi1", self.path("no"), "--separate-cores", "--constraints",
                     self.write(pin=[{"layer": layer, "part": n, "x": 3}]), expect=t.BAD_INPUT,
                     says=("E0648", f"no part {n}"))

    def test_bits_of_weights(self):
        """Fewer bits: the integers fit them, cores have less memory in use, levels agree, the
        checker sees blocks that are wider."""
        layer = "block.0.mlp.fc1_lif"
        for target in ("loihi1", "loihi2"):
            self.mapped(target, folder="all")
            self.mapped(target, weight_bits=[{"layer": "block.*", "bits": 5},
                                             {"layer": layer, "bits": 3}])
            weights = t.read_tensors(self.path("d", "quantised.safetensors"))
            whole = t.read_tensors(self.path("all", "quantised.safetensors"))
            self.assertEqual(sorted(weights), sorted(whole))
            most = {}
            for name, w in weights.items():
                if w.dtype == "i1":
                    most[name] = int(abs(w.astype(int)).max())
            few = [v for n, v in most.items() if n.startswith("block.0.mlp.fc1")]
            self.assertEqual(few, [3], most)
            self.assertTrue(all(v <= 15 for n, v in most.items() if n.startswith("block.")), most)
            self.assertTrue(all(v > 15 for n, v in most.items()
                                if n.startswith("patch_embed") and "down" not in n), most)
            def bits(folder):
                cost = json.loads(t.read_text(self.path(folder, "cost.json")))
                return {x["name"]: x["synapse_bits"] for x in cost["layers"]}
            now, before = bits("d"), bits("all")
            self.assertLess(now[layer], 0.75 * before[layer])
            self.assertLess(now["block.1.mlp.fc1_lif"], before["block.1.mlp.fc1_lif"])
            self.assertEqual(now["patch_embed.stage0.down_lif"],
                             before["patch_embed.stage0.down_lif"])
            self.run_tool("verify", self.path("d"), "--input", t.golden(CASE, "input.safetensors"),
                          "--levels", "Q,M")
            with h5py.File(self.path("d", "image.h5"), "r+") as f:
                rows = f["blocks"][...]
                self.assertEqual(set(rows["weight_bits"]), {3, 5, 8})
                rows["weight_bits"][rows["weight_bits"] == 3] = 4
                f["blocks"][...] = rows
            self.run_tool("check", self.path("d"), expect=t.DIFFERENCE,
                          says=("E0926", layer, "weights of 4 bits, 3 are asked for"))

    def test_bits_refused(self):
        def refused(*says, **lists):
            self.run_tool("estimate", *t.model_arguments(CASE), "--target", "loihi2",
                          "--constraints", self.write(**lists), expect=t.BAD_INPUT, says=says)
        refused("E0552", "2 to 8", weight_bits=[{"layer": "block.*", "bits": 1}])
        refused("E0552", weight_bits=[{"layer": "block.*", "bits": 9}])
        refused("E0554", weight_bits=[{"layer": "block.*"}])
        refused("E0554", weight_bits=[{"bits": 4}])
        refused("E0646", "did you mean", weight_bits=[{"layer": "block.0.attn.q_li", "bits": 4}])
        refused("E0647", "no weights", weight_bits=[{"layer": "*.attn_lif", "bits": 4}])
        self.run_tool("target", "new", self.path("four.yaml"), "--from", "loihi2")
        text = t.read_text(self.path("four.yaml"))
        t.write_text(self.path("four.yaml"), text.replace("weight_bits: {value: 8", "weight_bits: {value: 4"))
        self.run_tool("estimate", *t.model_arguments(CASE), "--target", self.path("four.yaml"),
                      "--constraints", self.write(weight_bits=[{"layer": "block.*", "bits": 5}]),
                      expect=t.BAD_INPUT, says=("E0669", "2 to 4"))

    def test_checker(self):
        """The image is moved where it may not be; constraints are changed behind it."""
        self.mapped("loihi2", pin=[{"layer": "block.0.*", "y": "3-9"}], forbid=[{"y": 15}])
        def move(row):
            with h5py.File(self.path("d", "image.h5"), "r+") as f:
                rows, routes = f["cores"][...], f["routes"][...]
                there = (routes["dest"] == 0) & (routes["chip"] == rows["chip"][pinned]) & \
                    (routes["x"] == rows["x"][pinned]) & (routes["y"] == rows["y"][pinned])
                rows["y"][pinned] = row
                routes["y"][there] = row
                f["cores"][...], f["routes"][...] = rows, routes
        with h5py.File(self.path("d", "image.h5"), "r+") as f:
            groups = f["groups"]
            layer = [f["strings"][i].decode() if hasattr(f["strings"][i], "decode") else
                     f["strings"][i] for i in f["layers"]["name"]]
            pinned = next(int(g["core"]) for g in groups[...]
                          if layer[g["layer"]].startswith("block.0."))
        move(12)
        says = self.run_tool("check", self.path("d"), expect=t.DIFFERENCE).err
        self.assertIn("is not where it is pinned to", says)
        self.assertNotIn("forbidden", says)
        move(15)
        self.run_tool("check", self.path("d"), expect=t.DIFFERENCE, says="that is forbidden")
        for text in (constraints(), constraints(forbid=[{"y": 14}])):
            t.write_text(self.path("d", "constraints.yaml"), text)
            self.run_tool("check", self.path("d"), expect=t.BAD_INPUT, says="E0906")
        os.remove(self.path("d", "constraints.yaml"))
        self.run_tool("check", self.path("d"), expect=t.BAD_INPUT, says="E0906")

    def test_floor_plan(self):
        mapping = self.mapped("loihi2", forbid=[{"x": "0-1", "y": 2}], reserve=[{"y": 15}],
                              pin=[{"layer": "block.0.mlp.*", "y": "3-9"}])
        self.run_tool("floorplan", self.path("d"), "-o", self.path("f.svg"))
        drawing = t.read_text(self.path("f.svg"))
        marks = drawing.split('id="forbidden"')[1].split("</g>")[0]
        self.assertEqual((marks.count("<path"), marks.count("M")), (2 + 8, 2 * 2 + 8))
        cores = {tile["core"] for tile in mapping["tiles"]
                 if tile["layer"].startswith("block.0.mlp.")}
        self.assertEqual(drawing.count('class="pin"'), len(cores))
        self.assertIn("crossed out: forbidden", drawing)
        self.compile(CASE, "loihi2", self.path("plain"))
        self.run_tool("floorplan", self.path("plain"), "-o", self.path("f.svg"))
        drawing = t.read_text(self.path("f.svg"))
        self.assertNotIn('class="pin"', drawing)
        self.assertNotIn("forbidden", drawing)

    def test_same_bytes_at_any_number_of_threads(self):
        lists = {"pin": [{"layer": "block.0.*", "x": "4-7"}], "forbid": [{"y": 0}]}
        for n in (1, 2):
            self.mapped("loihi2", "--threads", str(n), folder=f"d{n}", **lists)
        for name in os.listdir(self.path("d1")):
            self.assertEqual(t.read_bytes(self.path("d1", name)),
                             t.read_bytes(self.path("d2", name)), name)

    def test_contradictions(self):
        def refused(expect, *says, **lists):
            for command in ("compile", "estimate"):
                more = ["-o", self.path("no")] if command == "compile" else []
                model = t.case_arguments(CASE) if command == "compile" else t.model_arguments(CASE)
                self.run_tool(command, *model, "--target", "loihi2", "--constraints",
                              self.write(**lists), *more, expect=expect, says=says)
            self.assertFalse(os.path.exists(self.path("no")))
        bad, nofit = t.BAD_INPUT, t.NO_FIT
        refused(bad, "E0646", "'blok.0.attn.q_lif'", "did you mean 'block.0.attn.q_lif'",
                pin=[{"layer": "blok.0.attn.q_lif", "x": 1}])
        refused(bad, "E0646", "'none.*'", pin=[{"layer": "none.*", "x": 1}])
        refused(bad, "E0646", "clusters", pin=[{"cluster": 0, "x": 1}])
        refused(bad, "E0677", "column 8", "0 to 7", forbid=[{"x": 8}])
        refused(bad, "E0677", "row 16", forbid=[{"y": "3-16"}])
        refused(bad, "E0677", "core 128", forbid=[{"core": 128}])
        refused(bad, "E0677", "chip 1152", pin=[{"layer": "head*", "chip": 1152},
                                                {"layer": "*", "chip": 1152}][1:])
        refused(bad, "E0649", "no place in common", "the other pin",
                pin=[{"layer": "block.0.*", "x": "0-2"}, {"layer": "block.0.attn.q*", "x": "3-4"}])
        refused(nofit, "E0679", "pinned to", "which has 2",
                pin=[{"layer": "*", "x": "0-1", "y": 0}])
        refused(nofit, "E0678", "no core may be used",
                pin=[{"layer": "block.0.attn.q_lif", "x": 1, "y": 1}], forbid=[{"x": 1}])
        refused(nofit, "E0678", "122", pin=[{"layer": "block.0.attn.q_lif", "x": 0, "y": 15}])
        refused(nofit, "E0679", "one place",
                pin=[{"layer": "block.0.mlp.fc2_lif", "x": 1, "y": 1},
                     {"layer": "block.1.mlp.fc2_lif", "core": 9}])
        # three layers for two places that no pair of pins tells
        self.compile(CASE, "loihi2", self.path("no"), "--constraints", self.write(
            pin=[{"layer": f"block.{b}.attn.{n}_lif", "y": 0, "x": "0-1" if n == "q" else x}
                 for b, n, x in ((0, "q", 0), (1, "q", 0), (0, "k", "0"))]),
            "--separate-cores", expect=nofit)

    def test_bad_files(self):
        def refused(text, *says):
            t.write_text(self.path("bad.yaml"), text)
            self.run_tool("estimate", *t.model_arguments(CASE), "--target", "loihi2",
                          "--constraints", self.path("bad.yaml"), expect=t.BAD_INPUT,
                          says=("bad.yaml", *says))
        refused("", "error")
        refused("forbid: []", "E0550", "spikec_constraints: 1")
        refused("spikec_constraints: 2", "E0550")
        head = "spikec_constraints: 1\n"
        refused(head + "forbit: []", "E0551", "did you mean 'forbid'", "2:1")
        refused(head + "forbid: {x: 1}", "E0555")
        refused(head + "forbid: [3]", "E0555")
        refused(head + "forbid: [{z: 3}]", "E0551", "E0554")
        refused(head + "forbid: [{x: -3}]", "E0552")
        refused(head + "forbid: [{x: 3-}]", "E0552")
        refused(head + "forbid: [{x: 7-3}]", "E0552", "3-7")
        refused(head + "forbid: [{x: 99999999999999999999}]", "E0552")
        refused(head + "forbid: [{x: [1, 2]}]", "E0552")
        refused(head + "forbid: [{x: 1, core: 2}]", "E0553")
        refused(head + "forbid: [{}]", "E0554")
        refused(head + "pin: [{x: 1}]", "E0554")
        refused(head + "pin: [{layer: a}]", "E0554")
        refused(head + "pin: [{layer: a, cluster: 1, x: 1}]", "E0554")
        refused(head + "pin: [{layer: [a], x: 1}]", "E0552")
        refused(head + "pin: [{layer: a, part: x, x: 1}]", "E0552")
        refused(head + "forbid: &a [{x: 1}]", "error")
        self.run_tool("estimate", *t.model_arguments(CASE), "--target", "loihi2", "--constraints",
                      self.path("none.yaml"), expect=t.SYSTEM, says="none.yaml")

    def test_explored(self):
        axes = ["--vary", "constraints=" + ",".join(
            self.write(f"{n}.yaml", forbid=[{"core": f"0-{n}"}]) for n in (50, 127))]
        out = self.run_tool("explore", *t.model_arguments(CASE), "--target", "loihi2", *axes, "-o",
                            self.path("out"), "--json").json()
        chips = [row["chips"] for row in out["rows"]]
        self.assertEqual(out["fitting"], 1)
        self.assertIn("E0676", out["rows"][1]["reason"])
        self.assertEqual(chips, [1, None])

    def test_diff(self):
        self.mapped("loihi2", folder="a")
        self.mapped("loihi2", folder="b", forbid=[{"y": "0-3"}])
        told = self.run_tool("diff", self.path("a"), self.path("b"), "--json",
                             expect=t.DIFFERENCE).json()
        self.assertEqual([i["name"] for i in told["inputs"]], ["constraints"])
        self.assertEqual(told["places"]["why"], ["constraints"])
        shutil.rmtree(self.path("a"))
        self.compile(CASE, "loihi2", self.path("a"))
        told = self.run_tool("diff", self.path("a"), self.path("b"), "--json",
                             expect=t.DIFFERENCE).json()
        self.assertEqual([i["name"] for i in told["inputs"]], ["--constraints", "constraints"])


class Placed(t.ToolTest):
    def graph(self, w, h, n):
        lines = ["cg 1", "name chain", f"mesh {w} {h}", f"clusters {n}", f"edges {n - 1}"]
        lines += [f"{i} 1 1 {i + 1}" for i in range(n - 1)]
        t.write_text(self.path("g.cg"), "\n".join(lines) + "\n")

    def place(self, *more, **lists):
        t.write_text(self.path("c.yaml"), constraints(**lists))
        self.run_tool("place", self.path("g.cg"), self.path("p.pl"), "--constraints",
                      self.path("c.yaml"), *more)
        return [tuple(map(int, line.split())) for line in t.read_text(self.path("p.pl")).splitlines()]

    def test_cells_and_clusters(self):
        self.graph(12, 10, 100)
        for more in ([], ["--objective", "multicast"], ["--placer", "snake"], ["--placer", "metis"]):
            at = self.place(*more, forbid=[{"x": 5}, {"core": "0-3"}],
                            pin=[{"cluster": "10-19", "y": "8-9"}, {"cluster": 12, "x": 11},
                                 {"cluster": 99, "x": 4, "y": 0}])
            self.assertEqual(len(set(at)), 100)
            self.assertTrue(all(x != 5 and (y > 0 or x > 3) for x, y in at), more)
            self.assertTrue(all(y >= 8 for _, y in at[10:20]))
            self.assertEqual((at[12][0], at[99]), (11, (4, 0)))

    def test_refused(self):
        def refused(expect, *says, **lists):
            t.write_text(self.path("c.yaml"), constraints(**lists))
            self.run_tool("place", self.path("g.cg"), self.path("p.pl"), "--constraints",
                          self.path("c.yaml"), expect=expect, says=says)
            self.assertFalse(os.path.exists(self.path("p.pl")))
        self.graph(12, 10, 100)
        refused(t.NO_FIT, "E0685", forbid=[{"x": "0-1"}, {"y": 0}])
        refused(t.NO_FIT, "E0683", pin=[{"cluster": "0-9", "x": "0-2", "y": "0-2"}])
        refused(t.NO_FIT, "E0683", pin=[{"cluster": "0-1", "core": 7}])
        refused(t.BAD_INPUT, "E0649", pin=[{"cluster": 3, "x": 1}, {"cluster": "2-4", "x": 2}])
        refused(t.BAD_INPUT, "E0646", pin=[{"layer": "a", "x": 1}])
        refused(t.BAD_INPUT, "E0677", "cluster 100", pin=[{"cluster": 100, "x": 1}])
        refused(t.BAD_INPUT, "E0677", "chip 1", pin=[{"cluster": 0, "chip": 1}])
        refused(t.BAD_INPUT, "E0677", "column 12", forbid=[{"x": "5-12"}])


if __name__ == "__main__":
    unittest.main()
