"""report and floorplan: what they write is what the folder holds, loads nothing, is the same every
time, and no name and no damaged file does harm. test_report_browser clicks through the page."""
import base64
import json
import os
import re
import shutil
import unittest
import xml.etree.ElementTree as ET

import numpy as np

import spikec_tool as t

CASE = "v2-tiny-batch3-exact"
SVG = "{http://www.w3.org/2000/svg}"
FIGURES = ("neurons", "in_axons", "out_axons", "synapse_bits", "synapses", "synaptic_events",
           "neuron_updates", "neuron_updates_active", "spikes_out", "messages", "messages_in",
           "hops", "energy", "busy_ns")
HOSTILE = "</script><script>document.title='x'</script>&\"'<b>"


def data_of(page):
    """The page's data, as a browser would read the block."""
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(block.group(1))


class Folder(t.ToolTest):
    """A compiled folder, simulated and verified once for all tests; each test has a copy."""
    target, constraints = "loihi1", None
    probes = ("block.0.mlp.fc1_lif", "block.1.attn.q_lif[1,2;0,0-1]")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.made = os.path.join(cls.class_dir, "made")
        cls.spikes = os.path.join(cls.class_dir, "spikes.safetensors")
        cls.probed = os.path.join(cls.class_dir, "probes.safetensors")
        obey, probe = [], ["--probe-out", cls.probed]
        if cls.constraints:
            obey = ["--constraints", os.path.join(cls.class_dir, "constraints.yaml")]
            t.write_text(obey[1], json.dumps({"spikec_constraints": 1, **cls.constraints}))
        for one in cls.probes:
            probe += ["--probe", one]
        image = ["--input", t.golden(CASE, "input.safetensors")]
        model = t.case_arguments(CASE)
        for arguments in (["compile", *model, "--target", cls.target, "-o", cls.made, *obey],
                          ["simulate", cls.made, *image, "--spikes", cls.spikes, *probe],
                          ["verify", cls.made, *image]):
            result = t.spikec(*arguments)
            if result.code != 0:
                raise AssertionError(str(result))

    def copy(self, *without):
        folder = self.path("folder")
        os.makedirs(folder)
        for name in os.listdir(self.made):
            if name not in without and not name.startswith(("image", "model", "quantised")):
                t.write_bytes(os.path.join(folder, name),
                              t.read_bytes(os.path.join(self.made, name)))
        return folder

    def edit(self, folder, name, change):
        path = os.path.join(folder, name)
        value = json.loads(t.read_text(path))
        change(value)
        t.write_text(path, json.dumps(value))

    def report(self, folder, *more, **how):
        out = self.path("report.html")
        self.run_tool("report", folder, "-o", out, *more, **how)
        return t.read_text(out) if os.path.exists(out) else None

    def cost(self, folder):
        return json.loads(t.read_text(os.path.join(folder, "cost.json")))


class Page(Folder):
    def test_data_are_those_of_the_folder(self):
        folder = self.copy()
        data, cost = data_of(self.report(folder, "--spikes", self.spikes)), self.cost(folder)
        mapping = json.loads(t.read_text(os.path.join(folder, "mapping.json")))
        self.assertEqual([f["key"] for f in data["figures"]], list(FIGURES))
        self.assertEqual(data["cores"]["n"], len(cost["cores"]))
        for i, figure in enumerate(FIGURES):
            want = [c["energy_pj"]["total_priced"] if figure == "energy" else c[figure]
                    for c in cost["cores"]]
            np.testing.assert_allclose(data["cores"]["figures"][i], want, rtol=1e-6)
        for i, core in enumerate(mapping["cores"]):
            self.assertEqual([data["cores"][k][i] for k in ("chip", "x", "y")],
                             [core[k] for k in ("chip", "x", "y")])
        self.assertEqual([layer["name"] for layer in data["layers"]],
                         [layer["name"] for layer in mapping["layers"]])
        self.assertEqual(len(data["tiles"]), 7 * len(mapping["tiles"]))
        self.assertEqual(data["verify"]["mismatches"], 0)
        np.testing.assert_allclose(data["links"], np.ravel(cost["links"]["loads"]), rtol=1e-6)
        self.assertEqual([layer["energy"][0] for layer in data["layers"]],
                         [layer["energy_pj"]["synaptic_op"] for layer in cost["layers"]])
        for layer in data["layers"]:
            self.assertRegex(layer["colour"], r"^#[0-9a-f]{6}$")

    def test_links_carry_the_hops(self):
        cost = self.cost(self.made)
        loads = sum(sum(row[2:]) for row in cost["links"]["loads"])
        self.assert_close(loads, cost["totals"]["hops"], 1e-9, "hops over links")
        most = max(max(row[2:]) for row in cost["links"]["loads"]) * cost["images"]
        self.assert_close(most, cost["totals"]["max_link_messages"], 1e-9, "busiest link")

    def test_links_are_predicted_too(self):
        folder = self.path("fresh")
        self.compile(CASE, self.target, folder)
        cost = self.cost(folder)
        predicted, loads = cost["totals"]["predicted"], cost["links"]["loads"]
        self.assert_close(sum(sum(row[2:]) for row in loads), predicted["hops"], 1e-9, "hops")
        self.assert_close(max(max(row[2:]) for row in loads), predicted["max_link_messages"], 1e-9,
                          "busiest link")
        self.assert_close(sum(v for v in predicted["energy_pj"].values() if v is not None),
                          predicted["energy_priced_pj"], 1e-9, "energy")

    def test_activity_is_that_of_the_spikes(self):
        data = data_of(self.report(self.copy(), "--spikes", self.spikes))
        spikes = t.read_tensors(self.spikes)
        self.assertGreater(len(data["activity"]["layers"]), 5)
        for layer in data["activity"]["layers"]:
            name = data["layers"][layer["layer"]]["name"]
            np.testing.assert_allclose(layer["rate"], spikes[name].reshape(
                spikes[name].shape[0], -1).mean(axis=1), rtol=1e-12, err_msg=name)
            steps, images = spikes[name].shape[:2]
            flat = spikes[name].reshape(steps, images, -1).transpose(2, 1, 0)
            chosen = [i * flat.shape[0] // layer["sampled"] for i in range(layer["sampled"])]
            bits = np.unpackbits(np.frombuffer(base64.b64decode(layer["bits"]), np.uint8),
                                 bitorder="little")
            want = (flat[chosen][:, :data["activity"]["shown"]] != 0).ravel()
            np.testing.assert_array_equal(bits[:want.size], want, err_msg=name)

    def test_same_bytes(self):
        folder = self.copy()
        more = ("--spikes", self.spikes, "--probes", self.probed)
        self.assertEqual(self.report(folder, *more), self.report(folder, *more))

    def test_loads_nothing(self):
        page = self.report(self.copy(), "--spikes", self.spikes, "--probes", self.probed)
        self.assertIn("default-src 'none'", page)
        self.assertEqual(re.findall(r"<(?:link|img|iframe|script)[^>]*(?:src|href)=", page), [])
        self.assertEqual(re.findall(r"@import|url\(|XMLHttpRequest\(.http", page), [])
        self.assertIn("Redistributions of source code must retain", page)  # D3's licence
        self.assertNotIn(self.dir, page)

    def test_what_is_missing_is_missing(self):
        folder = self.path("fresh")
        self.compile(CASE, self.target, folder)
        data = data_of(self.report(folder))
        self.assertEqual(data["images"], 0)
        self.assertIsNone(data["verify"])
        self.assertIsNone(data["activity"])
        self.assertIsNone(data["probes"])
        self.assertEqual(data["marks"], {"forbid": [], "pins": [], "places": [], "pinned": []})
        self.assertEqual(data["mapping"]["provenance"]["command_line"].split()[:2],
                         ["spikec", "compile"])

    def test_hostile_names(self):
        folder = self.copy()

        def rename(value):
            for layer in value["layers"]:
                layer["name"] += HOSTILE
                for source in layer.get("sources", ()):
                    source["name"] += HOSTILE
            for tile in value.get("tiles", ()):
                tile["layer"] += HOSTILE
            value.get("provenance", {})["model"] = HOSTILE
        self.edit(folder, "mapping.json", rename)
        self.edit(folder, "cost.json", rename)
        page = self.report(folder)
        self.assertEqual(page.count("</script>"), 3)
        self.assertTrue(data_of(page)["layers"][0]["name"].endswith(HOSTILE))
        svg = self.path("plan.svg")
        self.run_tool("floorplan", folder, "-o", svg)
        self.assertIn(HOSTILE, [e.text[:len(HOSTILE)] for e in ET.parse(svg).iter(SVG + "text")])

    def test_refusals(self):
        self.run_tool("report", self.made, expect=t.USAGE, says="-o FILE")
        self.run_tool("report", self.path("none"), "-o", self.path("x"), expect=t.SYSTEM)
        self.run_tool("report", self.dir, "-o", self.path("x"), expect=t.BAD_INPUT)
        self.assertFalse(os.path.exists(self.path("x")))
        other = self.path("other.safetensors")
        t.write_tensors(other, {"somebody.else": np.zeros((3, 1, 4), np.uint8)})
        self.run_tool("report", self.made, "-o", self.path("x"), "--spikes", other,
                      expect=t.BAD_INPUT, says="no spikes of a layer")
        wrong = {n: a[:, :, :1] for n, a in t.read_tensors(self.spikes).items() if a.ndim > 2}
        t.write_tensors(other, wrong)
        self.run_tool("report", self.made, "-o", self.path("x"), "--spikes", other,
                      expect=t.BAD_INPUT, says="values; the folder has")

    def test_damaged_folders(self):
        def edits():
            yield "mapping.json", lambda v: v.pop("mesh"), "older version"
            yield "mapping.json", lambda v: v.update(schema=1), "schema"
            yield "mapping.json", lambda v: v["mesh"].update(cores=[0, 1]), "sides"
            yield "mapping.json", lambda v: v["cores"][0].update(x=4000), ".cores[0].x"
            yield "mapping.json", lambda v: v["cores"][0].update(chip=-1), ".cores[0].chip"
            yield "mapping.json", lambda v: v["cores"][0].update(tiles=[10 ** 6]), ".tiles[0]"
            yield "mapping.json", lambda v: v["cores"][0].update(tiles=[0] * 10 ** 4), "more tiles"
            yield "mapping.json", lambda v: v["tiles"][0].update(layer="nobody"), "nobody"
            yield "mapping.json", lambda v: v["layers"][1]["sources"][0].update(name="no"), "'no'"
            yield "mapping.json", lambda v: v["tiles"][0].update(core=10 ** 6), "core 1000000 of"
            yield "mapping.json", lambda v: v.update(constraints={"pin": []}), "forbid"
            yield ("mapping.json", lambda v: v.update(constraints={"pin": [], "forbid": [{
                "x": [1, -1], "reserved": False}]}), ".forbid[0].x[1]")
            yield ("mapping.json", lambda v: v.update(constraints={"forbid": [], "pin": [
                {"part": 0}]}), ".pin[0]")
            yield "cost.json", lambda v: v["cores"].pop(), "mapping.json"
            yield "cost.json", lambda v: v["layers"][0].update(name="nobody"), "nobody"
            yield "cost.json", lambda v: v["links"]["loads"][0].pop(), ".loads[0]"
            yield "cost.json", lambda v: v["chips"][0].update(id=10 ** 6), ".chips[0].id"
            yield "cost.json", lambda v: v.pop("totals"), "totals"
        for i, (name, change, says) in enumerate(edits()):
            with self.subTest(edit=i, says=says):
                folder = self.copy()
                self.edit(folder, name, change)
                for command in ("report", "floorplan"):
                    self.run_tool(command, folder, "-o", self.path("x"), expect=t.BAD_INPUT,
                                  says=says)
                self.assertFalse(os.path.exists(self.path("x")))
                for file in os.listdir(folder):
                    os.unlink(os.path.join(folder, file))
                os.rmdir(folder)


class Constraints(Folder):
    constraints = {"forbid": [{"x": "0-1", "y": 2}, {"chip": 0, "core": 7 * 16 + 5}],
                   "reserve": [{"y": 7}], "pin": [{"layer": "block.0.mlp.*", "y": "3-6"}, {
                       "layer": "block.0.mlp.fc2_lif", "part": 0, "chip": 0, "x": 4, "y": 4}]}

    def test_what_is_where(self):
        data = data_of(self.report(self.made))
        marks, fixed = data["marks"], data["mapping"]["constraints"]
        found = {}
        for chip, x, y, entry in np.reshape(marks["places"], (-1, 4)).tolist():
            self.assertEqual(chip, 0)
            self.assertNotIn((x, y), found)
            found[x, y] = fixed["forbid"][entry]["reserved"]
        want = {(x, 7): True for x in range(16) if x != 5}
        self.assertEqual(found, {**want, (0, 2): False, (1, 2): False, (5, 7): False})
        self.assertEqual(marks["forbid"], ["x 0-1, y 2", "chip 0, core 117", "y 7"])
        self.assertEqual(marks["pins"], ["y 3-6", "chip 0, x 4, y 4"])
        mapping = json.loads(t.read_text(os.path.join(self.made, "mapping.json")))
        want = [{tile["core"] for tile in mapping["tiles"] if tile["layer"].startswith(name)}
                for name in ("block.0.mlp.", "block.0.mlp.fc2_lif")]
        pinned = np.reshape(marks["pinned"], (-1, 2)).tolist()
        self.assertEqual({core for core, pin in pinned if pin == 0}, want[0])
        self.assertEqual(len(pinned), len(want[0]) + 1)
        core = next(core for core, pin in pinned if pin == 1)
        self.assertIn(core, want[1])
        self.assertEqual([data["cores"][k][core] for k in ("chip", "x", "y")], [0, 4, 4])

    def test_more_places_than_a_page_holds(self):
        folder = self.copy()
        self.edit(folder, "mapping.json", lambda v: v["mesh"].update(cores=[4096, 4096]))
        self.edit(folder, "cost.json", lambda v: v.update(chips=v["chips"] * 2))
        for command in ("report", "floorplan"):
            self.run_tool(command, folder, "-o", self.path("x"), expect=t.BAD_INPUT,
                          says="33554432 places are more than the 16777216")


class Probes(Folder):
    def test_data_are_those_of_the_file(self):
        data = data_of(self.report(self.made, "--probes", self.probed))
        file = t.read_tensors(self.probed)
        mapping = json.loads(t.read_text(os.path.join(self.made, "mapping.json")))
        probes = data["probes"]
        self.assertEqual((probes["file"], probes["level"], probes["images"], probes["shown"]),
                         ("probes.safetensors", "M", 3, 3))
        self.assertEqual([data["layers"][layer["layer"]]["name"] for layer in probes["layers"]],
                         [p.split("[")[0] for p in self.probes])
        for layer in probes["layers"]:
            name = data["layers"][layer["layer"]]["name"]
            membrane = file[name + ".membrane"]
            n, shown = membrane.shape[2], layer["shown"]
            self.assertEqual((layer["neurons"], shown), (n, min(n, 160)))
            chosen = [i * n // shown for i in range(shown)]
            np.testing.assert_array_equal(
                np.reshape(layer["membrane"], (shown, *membrane.shape[:2])),
                membrane[:, :, chosen].transpose(2, 0, 1))
            bits = np.unpackbits(np.frombuffer(base64.b64decode(layer["spikes"]), np.uint8),
                                 bitorder="little")[:len(layer["membrane"])]
            np.testing.assert_array_equal(
                bits, file[name + ".spikes"][:, :, chosen].transpose(2, 0, 1).ravel())
            at = np.reshape(layer["at"], (shown, 5))
            np.testing.assert_array_equal(at[:, :3], file[name + ".neurons"][chosen])
            np.testing.assert_array_equal(at[:, 4], file[name + ".threshold"][chosen])
            for channel, row, column, core, _ in at.tolist():
                holds = [tile["core"] for tile in mapping["tiles"] if tile["layer"] == name
                         and all(tile[k][0] <= v < tile[k][1] for k, v in (
                             ("channels", channel), ("rows", row), ("columns", column)))]
                self.assertEqual(core, holds[0] if holds else -1)
        self.assertGreater(probes["layers"][0]["neurons"], 160)  # a sample is taken

    def test_csv_tells_the_same(self):
        table = self.path("probes.csv")
        more = [a for p in self.probes for a in ("--probe", p)]
        self.run_tool("simulate", self.copy_with_image(), "--input",
                      t.golden(CASE, "input.safetensors"), "--probe-out", table, *more)
        want, got = (data_of(self.report(self.made, "--probes", p))["probes"]
                     for p in (self.probed, table))
        self.assertEqual((got.pop("file"), got.pop("level")), ("probes.csv", None))
        want.pop("file"), want.pop("level")
        self.assertEqual(got, want)

    def copy_with_image(self):
        folder = self.path("whole")
        shutil.copytree(self.made, folder)
        return folder

    def refused(self, file, code, says):
        self.run_tool("report", self.made, "-o", self.path("x"), "--probes", file,
                      expect=t.BAD_INPUT, says=[f"error[{code}]", says])
        self.assertFalse(os.path.exists(self.path("x")))

    def test_foreign_tensors(self):
        name = "block.1.attn.q_lif"
        good = {k: v for k, v in t.read_tensors(self.probed).items() if k.startswith(name)}
        m, s, at, v = (f"{name}.{k}" for k in ("membrane", "spikes", "neurons", "threshold"))

        def but(tensor, value):
            return {**good, tensor: value}
        other = self.path("other.safetensors")
        t.write_tensors(other, good)
        self.refused(other, "E1070", "holds no probes")
        self.refused(self.spikes, "E1070", "holds no probes")
        for tensors, code, says in (
                ({}, "E1070", "holds no probes"),
                ({HOSTILE + k: a for k, a in good.items()}, "E1071", "no layer of the folder"),
                (but(m, good[m][:, :2]), "E1072", "I32[N,4,N]"),
                (but(m, np.full(good[m].shape, np.nan, np.float32)), "E1072", "this is F32"),
                (but(m, good[m][:, :, 0]), "E1072", "I32[3,4]"),
                (but(m, good[m][:0]), "E1072", "I32[0,4,3]"),
                (but(s, good[s][:2]), "E1072", "this is U8[2,4,3]"),
                (but(at, good[at][:, :2]), "E1072", "I32[3,2]"),
                (but(v, good[v][:2]), "E1072", "I32[2]"),
                (but(s, good[s] + np.uint8(2)), "E1073", "0 or 1"),
                (but(at, good[at] + np.int32(1000)), "E1073", "has no neuron"),
                (but(at, good[at] - np.int32(1000)), "E1073", "has no neuron"),
                ({**t.read_tensors(self.probed), m: np.concatenate([good[m]] * 2),
                  s: np.concatenate([good[s]] * 2)}, "E1072", "I32[3,4,N]")):
            with self.subTest(says=says):
                t.write_tensors(other, tensors, spikec_probes="1", level="M")
                self.refused(other, code, says)
        del good[v]
        t.write_tensors(other, good, spikec_probes="1")
        self.run_tool("report", self.made, "-o", self.path("x"), "--probes", other,
                      expect=t.BAD_INPUT, says="threshold")

    def test_foreign_tables(self):
        head = "layer,channel,row,column,image,step,membrane,threshold,spike"
        rows = [f"block.1.attn.q_lif,1,0,{c},{i},{s},-7,64,0" for c in range(2) for i in range(2)
                for s in range(4)]
        file = self.path("p.csv")

        def but(k, old, new):
            return rows[:k] + [rows[k].replace(old, new)] + rows[k + 1:]
        t.write_text(file, "\r\n".join([head] + rows))
        probes = data_of(self.report(self.made, "--probes", file))["probes"]
        self.assertEqual((probes["images"], probes["layers"][0]["shown"]), (2, 2))
        os.remove(self.path("report.html"))
        for lines, code, says in (
                ([], "E1070", "holds no probes"), ([head], "E1070", "holds no probes"),
                (rows, "E1070", "holds no probes"),
                ([head] + but(3, "-7", "nan"), "E1074", "p.csv:5"),
                ([head] + but(3, "-7", "1e9"), "E1074", "eight 32-bit integers"),
                ([head] + but(3, "-7", str(2 ** 31)), "E1074", "eight 32-bit integers"),
                ([head] + but(3, ",0,3,-7", ",3,-7"), "E1074", "p.csv:5"),
                ([head, "", *rows], "E1074", "p.csv:2"),
                ([head] + but(3, "64,0", "64,2"), "E1074", "0 or 1"),
                ([head] + but(3, ",64,", ",65,"), "E1074", "begins at image 0, step 0"),
                ([head] + but(3, "lif,1,0,", "lif,0,0,"), "E1074", "begins at image 0, step 0"),
                ([head] + rows[1:], "E1074", "p.csv:2"),
                ([head] + rows[:3] + rows[4:], "E1074", "p.csv:5"),
                ([head] + rows[:-1], "E1074", "not all steps"),
                ([head] + rows[:4] + rows[8:], "E1074", "follow each other"),
                ([head] + rows[:10] + rows[8:], "E1074", "not all steps"),
                ([head] + [r.replace(",3,-7", ",4,-7") for r in rows], "E1074", "p.csv:5"),
                ([head] + [r.replace("1.attn", "9.attn") for r in rows], "E1071", "no layer"),
                ([head] + rows + [r.replace("q_lif", "k_lif") for r in rows] + rows, "E1071",
                 "twice"),
                ([head] + [r.replace("lif,1,0,", "lif,1,3,") for r in rows], "E1073", "no neuron")):
            with self.subTest(says=says, first=lines[:2]):
                t.write_text(file, "".join(line + "\n" for line in lines))
                self.refused(file, code, says)


class FloorPlan(Folder):
    def draw(self, *more):
        out = self.path("plan.svg")
        self.run_tool("floorplan", self.made, "-o", out, *more)
        return ET.parse(out).getroot()

    @staticmethod
    def squares(root):
        cores = next(g for g in root.iter(SVG + "g") if g.get("id") == "cores")
        return [(path.get("d"), g.get("fill")) for g in cores for path in g]

    def test_every_core_once(self):
        cost = self.cost(self.made)
        for name in ("layer",) + FIGURES:
            with self.subTest(by=name):
                root = self.draw("--colour-by", name)
                squares = self.squares(root)
                self.assertEqual(len(squares), len(cost["cores"]))
                self.assertEqual(len({d for d, _ in squares}), len(squares))
                width, height = (float(root.get(k)) for k in ("width", "height"))
                for d, _ in squares:
                    x, y = (float(v) for v in re.match(r"M([\d.]+) ([\d.]+)h", d).groups())
                    self.assertTrue(0 < x < width and 0 < y < height, d)

    def test_layers_have_the_colours_of_the_page(self):
        data = data_of(self.report(self.made))
        first = np.cumsum([0] + data["cores"]["tiles"])[:-1]
        want = sorted(data["layers"][data["tiles"][7 * k]]["colour"] for k in first)
        self.assertEqual(sorted(fill for _, fill in self.squares(self.draw())), want)

    def test_scale_orders_the_figures(self):
        """Cores are drawn by colour, from the scale's first to its last: as many of each as their
        figures tell; a figure with a limit is drawn up to that."""
        cores = self.cost(self.made)["cores"]
        for name in ("synaptic_events", "synapse_bits"):
            top = cores[0].get(name + "_limit") or max(c[name] for c in cores)
            bins = [min(63, int(c[name] / top * 64)) for c in cores]
            fills = [fill for _, fill in self.squares(self.draw("--colour-by", name))]
            runs = [fills.count(fill) for fill in dict.fromkeys(fills)]
            self.assertEqual(runs, [bins.count(b) for b in sorted(set(bins))], name)
        last = self.squares(self.draw("--colour-by", "synaptic_events"))[-1][1]
        for i, want in zip((1, 3, 5), (0xfd, 0xe7, 0x25)):  # viridis ends in this yellow
            self.assertLess(abs(int(last[i:i + 2], 16) - want), 10, last)

    def test_one_chip(self):
        folder = self.path("two")
        self.compile(CASE, "loihi1", folder, "--separate-cores")
        out = self.path("one.svg")
        cores = self.cost(folder)["cores"]
        chip = cores[-1]["chip"]
        self.run_tool("floorplan", folder, "-o", out, "--chip", chip)
        self.assertEqual(len(self.squares(ET.parse(out).getroot())),
                         sum(c["chip"] == chip for c in cores))
        self.run_tool("floorplan", folder, "-o", out, "--chip", 777, expect=t.USAGE,
                      says="chip 777")

    def test_refusals(self):
        self.run_tool("floorplan", self.made, expect=t.USAGE, says="-o FILE")
        self.run_tool("floorplan", self.made, "-o", self.path("x"), "--colour-by", "mood",
                      expect=t.USAGE, says="synaptic_events")
        folder = self.path("no-prices")
        self.compile(CASE, "loihi2", folder)
        self.run_tool("floorplan", folder, "-o", self.path("x"), "--colour-by", "energy",
                      expect=t.BAD_INPUT, says="no published constant")

    def test_same_bytes(self):
        self.draw()
        first = t.read_bytes(self.path("plan.svg"))
        self.draw()
        self.assertEqual(first, t.read_bytes(self.path("plan.svg")))


class Kept(Folder):
    """What verify leaves in the folder."""

    def test_result(self):
        kept = json.loads(t.read_text(os.path.join(self.made, "verify.json")))
        self.assertEqual((kept["command"], kept["mismatches"]), ("verify", 0))
        self.assertEqual(kept["command_line"], "spikec verify DIR --input input.safetensors")

    def test_levels_without_the_chip_are_not_kept(self):
        folder = self.path("folder")
        self.compile(CASE, self.target, folder)
        image = t.golden(CASE, "input.safetensors")
        self.run_tool("verify", folder, "--input", image, "--levels", "R,Q")
        self.assertFalse(os.path.exists(os.path.join(folder, "verify.json")))
        self.run_tool("verify", folder, "--input", image, "--levels", "Q,M")
        self.assertTrue(os.path.exists(os.path.join(folder, "verify.json")))
        self.compile(CASE, self.target, folder)  # a new image has not been verified
        self.assertFalse(os.path.exists(os.path.join(folder, "verify.json")))

    def test_folder_that_cannot_be_written(self):
        folder = self.path("folder")
        self.compile(CASE, self.target, folder)
        os.mkdir(os.path.join(folder, "verify.json"))  # nothing can take its place
        result = self.run_tool("verify", folder, "--input", t.golden(CASE, "input.safetensors"),
                               says="verify.json")
        self.assertIn("0 mismatches", result.out)


if __name__ == "__main__":
    unittest.main()
