"""report in a browser: headless Chromium opens the page and clicks through it. What is on the canvas
is read back as pixels and compared with the colours that the data give."""
import json
import os
import re
import shutil
import unittest

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

import spikec_tool as t
import test_corrupt

CASE = "v2-tiny-batch3-exact"


def browser(width=1280, height=900):
    options = Options()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--force-prefers-reduced-motion", f"--window-size={width},{height}"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
    driver.set_page_load_timeout(120)
    return driver


class Browser(t.ToolTest):
    """One folder and one browser for all tests; every test opens the page anew."""
    target, simulated, verified = "loihi1", True, True
    constraints, probes = None, ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = os.path.join(cls.class_dir, "made")
        cls.page = os.path.join(cls.class_dir, "report.html")
        spikes = os.path.join(cls.class_dir, "spikes.safetensors")
        image = ["--input", t.golden(CASE, "input.safetensors")]
        steps = [["compile", *t.case_arguments(CASE), "--target", cls.target, "-o", cls.folder]]
        more = ["--spikes", spikes] if cls.simulated else []
        if cls.constraints:
            fixed = os.path.join(cls.class_dir, "constraints.yaml")
            t.write_text(fixed, json.dumps({"spikec_constraints": 1, **cls.constraints}))
            steps[0] += ["--constraints", fixed]
        if cls.simulated:
            steps.append(["simulate", cls.folder, *image, *more])
        if cls.probes:
            cls.probed = os.path.join(cls.class_dir, "probes.safetensors")
            steps[-1] += ["--probe-out", cls.probed]
            for probe in cls.probes:
                steps[-1] += ["--probe", probe]
            more += ["--probes", cls.probed]
        cls.break_image()
        if cls.verified:
            steps.append(["verify", cls.folder, *image])
        steps.append(["report", cls.folder, "-o", cls.page, *more])
        for arguments in steps:
            result = t.spikec(*arguments)
            if result.code not in (t.DONE, t.DIFFERENCE):
                raise AssertionError(str(result))
            if arguments[0] == "simulate":
                cls.break_image()
        with open(os.path.join(cls.folder, "cost.json"), encoding="utf-8") as f:
            cls.cost = json.load(f)
        cls.driver = browser()

    @classmethod
    def break_image(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        cls.driver.quit()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.driver.set_window_size(1280, 900)
        self.open()

    def tearDown(self):
        wrong = [e for e in self.driver.get_log("browser")
                 if e["source"] != "rendering"]  # that tells of pixels read back
        self.assertEqual(wrong, [])

    def open(self):
        self.driver.get("file://" + self.page)
        self.assertEqual(self.js("return document.documentElement.dataset.ready"), "1")

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def at(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, script):
        WebDriverWait(self.driver, 20).until(lambda d: d.execute_script(script))

    def settle(self):
        """Until the canvas has been drawn after what was done last."""
        count = "Number(document.getElementById('plan').dataset.drawn)"
        drawn = self.js(f"const n = {count}; Plan.draw(); return n")
        self.wait(f"return {count} > {drawn}")

    def pixel(self, core, dx=-0.33, dy=0.12):
        """Colour of the canvas in a core's square, beside its number, as #rrggbb."""
        return self.js("""
            const [x, y] = Plan.screen(arguments[0]), k = Plan.view.transform.k;
            const c = document.getElementById('plan'), r = c.width / c.clientWidth;
            const px = (x + arguments[1] * k) * r, py = (y + arguments[2] * k) * r;
            const p = [...c.getContext('2d').getImageData(px, py, 1, 1).data.slice(0, 3)];
            return '#' + p.map(v => v.toString(16).padStart(2, '0')).join('');""", core, dx, dy)

    def move_to(self, core):
        canvas = self.at("#plan")
        self.js("arguments[0].scrollIntoView({block: 'center'})", canvas)
        x, y = self.js("return Plan.screen(arguments[0])", core)
        w, h = self.js("return [arguments[0].clientWidth, arguments[0].clientHeight]", canvas)
        return ActionChains(self.driver).move_to_element_with_offset(
            canvas, round(x - w / 2), round(y - h / 2))

    def names(self, core):
        return self.cost["cores"][core]["layers"]


class Click(Browser):
    constraints = {"forbid": [{"x": "0-1", "y": 2}], "reserve": [{"y": 7}],
                   "pin": [{"layer": "block.0.mlp.*", "y": "3-6"}]}
    probes = ("block.0.mlp.fc1_lif[0-5]", "block.1.attn.q_lif[2]")

    def test_opens_with_every_section_filled(self):
        self.assertRegex(self.driver.title, "spikformer_v2 on loihi1")
        for section in self.all("main section"):
            self.assertGreater(len(section.text), 60, section.get_attribute("id"))
        self.assertNotIn("[object", self.at("main").text)
        self.assertNotIn("NaN", self.at("main").text)
        self.assertNotIn("undefined", self.at("main").text)
        self.assertIn(f"{len(self.cost['cores'])} cores", self.at("#subtitle").text)

    def test_asks_the_network_for_nothing(self):
        self.driver.get_log("performance")
        self.open()
        asked = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        urls = {m["params"]["request"]["url"] for m in asked
                if m["method"] == "Network.requestWillBeSent"}
        self.assertEqual({u for u in urls if not u.startswith(("file://", "data:"))}, set())

    def test_cores_are_drawn_in_the_colour_of_their_layer(self):
        self.settle()
        colours = dict(self.js("return R.D.layers.map(l => [l.name, l.colour])"))
        for core in range(len(self.cost["cores"])):
            self.assertEqual(self.pixel(core), colours[self.names(core)[0]], core)

    def test_every_figure_colours_the_cores(self):
        options = [o.get_attribute("value") for o in Select(self.at("#plan-by")).options]
        self.assertGreaterEqual(len(options), 14)
        pictures = set()
        for value in options:
            Select(self.at("#plan-by")).select_by_value(value)
            self.settle()
            pictures.add(tuple(self.pixel(c) for c in range(len(self.cost["cores"]))))
            self.assertTrue(self.at("#plan-scale").text)
        self.assertGreater(len(pictures), len(options) - 3)
        most = max(range(len(self.cost["cores"])), key=lambda c: self.cost["cores"][c]["messages"])
        Select(self.at("#plan-by")).select_by_value("messages")
        self.settle()
        red, green, blue = (int(self.pixel(most)[i:i + 2], 16) for i in (1, 3, 5))
        self.assertTrue(red > 230 and green > 210 and blue < 60)  # the yellow end of the scale

    def test_hover_and_click(self):
        corner = sorted(range(len(self.cost["cores"])),
                        key=lambda c: self.cost["cores"][c]["x"] + self.cost["cores"][c]["y"])
        for core in (corner[0], corner[-1]):
            self.move_to(core).perform()
            tip = self.at("#plan-tip")
            self.assertTrue(tip.is_displayed())
            self.assertIn(f"Core {core} ", tip.text)
            self.assertIn(self.names(core)[0], tip.text)
        self.move_to(core).click().perform()
        detail = self.at("#plan-detail").text
        self.assertIn(f"Core {core}\n", detail)
        self.assertIn(f"{self.cost['cores'][core]['neurons']:,} of", detail)
        ActionChains(self.driver).send_keys(Keys.ESCAPE).perform()
        self.assertEqual(self.at("#plan-detail").text, "")

    def test_keyboard(self):
        self.js("document.getElementById('plan').focus()")
        keys = ActionChains(self.driver)
        keys.send_keys(Keys.ARROW_RIGHT).perform()
        self.assertEqual(self.js("return R.state.core"), 0)
        seen = {0}
        for key in (Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_LEFT, Keys.ARROW_UP) * 2:
            ActionChains(self.driver).send_keys(key).perform()
            seen.add(self.js("return R.state.core"))
        self.assertGreater(len(seen), 3)
        before = self.js("return Plan.view.transform.k")
        ActionChains(self.driver).send_keys("+").perform()
        self.assertGreater(self.js("return Plan.view.transform.k"), before * 1.4)
        ActionChains(self.driver).send_keys("0").perform()
        self.wait(f"return Math.abs(Plan.view.transform.k - {before}) < 1e-6")

    def test_zoom_and_links(self):
        before = self.js("return Plan.view.transform.k")
        self.at("#plan-in").click()
        self.assertGreater(self.js("return Plan.view.transform.k"), before * 1.4)
        self.at("#plan-fit").click()
        self.wait(f"return Math.abs(Plan.view.transform.k - {before}) < 1e-6")
        self.settle()
        without = [self.pixel(c) for c in range(4)]
        self.at("#plan-links").click()
        self.settle()
        self.assertNotEqual([self.pixel(c) for c in range(4)], without)
        self.assertIn("over a link", self.at("#plan-scale").text)
        router = self.js("return R.D.mesh.router")
        core = next(i for i, c in enumerate(self.cost["cores"]) if c["hops"] > 0)
        place = [self.cost["cores"][core][k] // r for k, r in zip("xy", router)]
        row = next(r for r in self.cost["links"]["loads"] if r[:2] == place)
        self.move_to(core).perform()
        told = [float(v.replace(",", "")) for v in
                re.findall(r"(?:east|west|south|north) ([\d,.]+)", self.at("#plan-tip").text)]
        want = sorted((v for v in row[2:] if v > 0), reverse=True)
        self.assertEqual([round(v) for v in told], [round(v) for v in want])
        loads = [v for row in self.cost["links"]["loads"] for v in row[2:] if v > 0]
        self.assertEqual(self.js("return Plan.links.length"), len(loads))
        self.assert_close(self.js("return Plan.mostLoad"), max(loads), 1e-6)

    def test_layers_lead_to_their_cores(self):
        nodes = self.all("#graph-box .node")
        self.assertEqual(len(nodes), len(self.cost["layers"]))
        layer = next(i for i, l in enumerate(self.cost["layers"]) if l["cores"] > 0)
        self.js("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", nodes[layer])
        nodes[layer].click()
        self.assertEqual(self.js("return R.state.layer"), layer)
        self.settle()
        name = self.cost["layers"][layer]["name"]
        colour = self.js("return R.D.layers[arguments[0]].colour", layer)
        for core, c in enumerate(self.cost["cores"]):
            if c["layers"][0] == name:
                self.assertEqual(self.pixel(core), colour)
            elif name not in c["layers"]:
                other = self.js("return R.D.layers[R.mainLayer[arguments[0]]].colour", core)
                self.assertNotEqual(self.pixel(core), other, "others step back")
        self.assertIn(name, self.at("#plan-detail").text)

    def test_tables_sort_and_filter(self):
        heads = self.all("#cores-body th button")
        column = next(h for h in heads if h.text.startswith("Synaptic events"))
        self.js("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", column)
        column.click()
        want = sorted(range(len(self.cost["cores"])),
                      key=lambda c: (-self.cost["cores"][c]["synaptic_events"], c))
        shown = [int(r.get_attribute("data-row")) for r in self.all("#cores-body tr[data-row]")]
        self.assertEqual(shown, want[:len(shown)])
        self.assertGreater(len(shown), 10)
        column.click()
        first = int(self.all("#cores-body tr[data-row]")[0].get_attribute("data-row"))
        self.assertEqual(self.cost["cores"][first]["synaptic_events"],
                         min(c["synaptic_events"] for c in self.cost["cores"]))
        field = self.at("#cores-filter")
        field.send_keys("mlp neurons>100")
        want = sum(c["neurons"] > 100 and any("mlp" in l for l in c["layers"])
                   for c in self.cost["cores"])
        self.assertIn(f"{want} of {len(self.cost['cores'])} cores", self.at("#cores-body").text)
        field.clear()
        field.send_keys("block.0.attn.q_lif")
        self.js("arguments[0].scrollIntoView({block: 'center'})", field)
        row = self.all("#cores-body tr[data-row]")[0]
        core = int(row.get_attribute("data-row"))
        row.click()
        self.assertEqual(self.js("return R.state.core"), core)
        self.assertEqual(len(self.all("#layers-body tr[data-row]")), len(self.cost["layers"]))
        self.assertEqual(len(self.all("#chips-body tr[data-row]")), len(self.cost["chips"]))
        self.assertIn(f"{self.cost['chips'][0]['synapses']:,}", self.at("#chips-body").text)

    def move_to_place(self, x, y):
        """To a place of the first core's chip, also where no core is."""
        at, k = self.js("return Plan.screen(0)"), self.js("return Plan.view.transform.k")
        canvas = self.at("#plan")
        self.js("arguments[0].scrollIntoView({block: 'center'})", canvas)
        w, h = self.js("return [arguments[0].clientWidth, arguments[0].clientHeight]", canvas)
        core = self.cost["cores"][0]
        ActionChains(self.driver).move_to_element_with_offset(
            canvas, round(at[0] + (x - core["x"]) * k - w / 2),
            round(at[1] + (y - core["y"]) * k - h / 2)).click().perform()

    def test_constraints_on_the_floor_plan(self):
        self.settle()
        self.assertIn("forbidden (2)reserved (16)", self.at("#plan-scale").text.replace("\n", ""))
        first = self.cost["cores"][0]
        empty = next(x for x in range(16) if not any(
            (c["x"], c["y"]) == (x, 6) for c in self.cost["cores"]))
        for x, y, word, area in ((1, 2, "Forbidden", "x 0-1, y 2"), (empty, 7, "Reserved", "y 7")):
            self.move_to_place(x, y)
            tip = self.at("#plan-tip")
            self.assertTrue(tip.is_displayed())
            self.assertEqual(tip.text, f"{word} · chip 0 · x {x}, y {y}\n"
                                       f"By the constraints: {area}")
            self.assertEqual(self.js("return R.state.core"), -1)
            inside = {self.pixel(0, x - first["x"] + dx / 100, y - first["y"])
                      for dx in range(-35, 35)}
            self.assertGreater(len(inside), 1, "hatched")
        self.move_to_place(empty, 6)
        self.assertFalse(self.at("#plan-tip").is_displayed())
        inside = {self.pixel(0, empty - first["x"] + dx / 100, 6 - first["y"])
                  for dx in range(-35, 35)}
        self.assertEqual(len(inside), 1)

    def test_pinned_cores_are_marked(self):
        self.settle()
        pinned = {i for i in range(len(self.cost["cores"]))
                  if any(name.startswith("block.0.mlp.") for name in self.names(i))}
        self.assertEqual({i for i in range(len(self.cost["cores"]))
                          if self.pixel(i, 0.3, -0.3) == "#ffffff"}, pinned)
        self.assertIn(f"pinned ({len(pinned)})", self.at("#plan-scale").text)
        core = min(pinned)
        self.move_to(core).click().perform()
        for text in (self.at("#plan-tip").text, self.at("#plan-detail").text):
            self.assertIn("Pinned: block.0.mlp.* to y 3-6", text)
        self.assertIn("constraints.yaml", self.at("#origin").text)

    def traces(self):
        """{neuron: (membranes, spikes)} as drawn."""
        out = {}
        for trace in self.all("#traces .trace"):
            told = [c.get_attribute("textContent") for c in
                    trace.find_elements(By.CSS_SELECTOR, "circle title")]
            values = [[int(v) for v in re.findall(r"-?\d+", one)] for one in told]
            self.assertEqual([v[0] for v in values], list(range(len(values))))
            name = trace.find_element(By.CSS_SELECTOR, "text.strong").text
            fired = trace.find_element(By.CSS_SELECTOR, ".fired").get_attribute("d") or ""
            self.assertEqual(fired.count("M"), sum("a spike" in one for one in told))
            out[name] = ([v[1] for v in values], [int("a spike" in one) for one in told])
        return out

    def want_traces(self, layer, image, which):
        file = t.read_tensors(self.probed)
        place = file[layer + ".neurons"]
        return {"neuron " + ", ".join(str(v) for v in place[i]): (
            file[layer + ".membrane"][image, :, i].tolist(),
            file[layer + ".spikes"][image, :, i].tolist()) for i in which}

    def press(self, element):
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def test_probes(self):
        layers = [p.split("[")[0] for p in self.probes]
        self.wait("return document.querySelectorAll('#traces .trace').length === 4")
        self.assertEqual(self.traces(), self.want_traces(layers[0], 0, range(4)))
        buttons = self.all(".picks button")
        self.assertEqual(len(buttons), 6)
        self.press(buttons[5])
        self.press(buttons[0])
        Select(self.at("#probe-image")).select_by_visible_text("image 2")
        self.wait("return document.querySelectorAll('#traces .trace').length === 4")
        want = self.want_traces(layers[0], 2, (1, 2, 3, 5))
        self.assertEqual(self.traces(), want)
        self.assertNotEqual(want, self.want_traces(layers[0], 0, (1, 2, 3, 5)))
        self.assertIn("image 2", self.at("#traces").text)
        Select(self.at("#probe-layer")).select_by_visible_text(layers[1])
        self.wait("return document.querySelectorAll('#traces .trace').length === 1")
        self.assertEqual(self.traces(), self.want_traces(layers[1], 2, (0,)))
        threshold = t.read_tensors(self.probed)[layers[1] + ".threshold"][0]
        self.assertIn(f"threshold {threshold:,}", self.at("#traces").text)
        line = float(self.at("#traces .threshold").get_attribute("y1"))
        for circle in self.all("#traces circle"):
            fired = "a spike" in circle.get_attribute("textContent")
            self.assertEqual(float(circle.get_attribute("cy")) <= line, fired)
        self.press(self.at("#traces .to-core"))
        core = self.js("return R.state.core")
        self.assertIn(layers[1], self.names(core))
        self.assertIn(f"Core {core}\n", self.at("#plan-detail").text)
        self.assertLess(abs(self.js(
            "return document.getElementById('floorplan').getBoundingClientRect().top")), 200)

    def test_rasters(self):
        pick = Select(self.at("#raster-layer"))
        texts = set()
        for option in pick.options[:3]:
            pick.select_by_visible_text(option.text)
            texts.add(self.js("return document.querySelector('#raster canvas').toDataURL()"))
        self.assertGreater(len(texts), 1)
        self.assertIn("evenly spaced", self.at("#raster").text)

    def test_themes_and_widths(self):
        """In light and dark, at three widths: nothing sticks out, and no label lies on another."""
        for width in (900, 1280, 1920):
            self.driver.set_window_size(width, 1000)
            for _ in range(2):
                self.at("#theme").click()
                self.settle()
                self.assertLessEqual(self.js(TOO_WIDE), 0)
                overlaps = self.js(OVERLAPS)
                self.assertEqual(overlaps, [], f"width {width}")


TOO_WIDE = "return document.documentElement.scrollWidth - innerWidth"
# Pairs of texts of one drawing whose boxes meet, and texts that leave their drawing.
OVERLAPS = """
const out = [];
for (const svg of document.querySelectorAll('svg')) {
  const area = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll('text')].filter(e => e.textContent.trim() && !e.closest('.node'));
  const boxes = texts.map(e => [e.textContent, e.getBoundingClientRect()]);
  boxes.sort((a, b) => a[1].top - b[1].top);
  boxes.forEach(([text, r], i) => {
    if (r.left < area.left - 1.5 || r.right > area.right + 1.5) out.push('leaves: ' + text);
    for (let k = i + 1; k < boxes.length && boxes[k][1].top < r.bottom - 3; k++) {
      const q = boxes[k][1];
      const across = Math.min(r.right, q.right) - Math.max(r.left, q.left);
      const down = Math.min(r.bottom, q.bottom) - Math.max(r.top, q.top);
      if (across > 1.5 && down > 3) out.push(text + ' | ' + boxes[k][0]);
    }
  });
}
for (const node of document.querySelectorAll('.node')) {
  const box = node.querySelector('rect.box').getBoundingClientRect();
  for (const e of node.querySelectorAll('text'))
    if (e.getBoundingClientRect().right > box.right) out.push('leaves its node: ' + e.textContent);
}
return out;
"""


class Difference(Browser):
    """A wrong image: the first difference is shown on the floor plan."""

    @classmethod
    def break_image(cls):
        path = os.path.join(cls.folder, "image.h5")
        if os.path.exists(path):
            image = test_corrupt.Image(path)
            image.change("configs", slice(None), vth=lambda v: v * 0 + 65)
            image.file.close()

    def test_located(self):
        with open(os.path.join(self.folder, "verify.json"), encoding="utf-8") as f:
            first = json.load(f)["first_mismatch"]
        self.assertIn("differs", self.at("#stats").text)
        panel = self.at("#verification").text
        self.assertIn(first["layer"], panel)
        button = self.at("#show-difference")
        self.js("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
        self.assertEqual(self.js("return R.state.core"), first["core"])
        self.assertIn(f"Core {first['core']}", self.at("#plan-detail").text)
        self.settle()
        x, y = self.js("return Plan.screen(arguments[0])", first["core"])
        self.assertTrue(0 < x < 1280 and 0 < y < 900)
        k = self.js("return Plan.view.transform.k")
        ring = max(0.7, 9 / k)
        self.assertEqual(self.pixel(first["core"], ring * 0.7071, -ring * 0.7071), "#c2410c")


class Fresh(Browser):
    """Compiled and no more, for a chip without published prices: the page says what adds what."""
    target, simulated, verified = "loihi2", False, False

    def test_says_what_is_missing(self):
        text = self.at("main").text
        for command in ("spikec simulate DIR", "spikec verify DIR", "spikec report DIR", "--probe-out"):
            self.assertIn(command, text)
        for command in ("spikec simulate", "spikec verify"):
            self.assertIn(command, self.at("#hints").text)
        self.assertIn("Nobody has published an energy of loihi2", text)
        self.assertIn("Nobody has published how long loihi2", text)
        self.assertIn("not verified yet", self.at("#verification").text)
        self.assertIn("predicted from declared firing rates", text)
        self.assertEqual(len(re.findall("NaN|undefined|\\[object|Infinity", text)), 0)

    def test_widths(self):
        for width in (900, 1920):
            self.driver.set_window_size(width, 1000)
            self.settle()
            self.assertEqual(self.js(OVERLAPS), [])
            self.assertLessEqual(self.js(TOO_WIDE), 0)


class Large(Browser):
    """20,000 cores: the folder's own, again and again on other chips."""
    COPIES = 500
    verified = False

    @classmethod
    def break_image(cls):
        """Not the image but what the report reads, once it is there."""
        path = os.path.join(cls.folder, "cost.json")
        if not os.path.exists(path) or "verify.json" in os.listdir(cls.folder):
            return
        cost = json.loads(t.read_text(path))
        mapping = json.loads(t.read_text(os.path.join(cls.folder, "mapping.json")))
        if len({c["chip"] for c in cost["cores"]}) > 1:
            return
        tiles, cores, prices = [], [], []
        for copy in range(cls.COPIES):
            for core, price in zip(mapping["cores"], cost["cores"]):
                first = len(tiles)
                tiles += [dict(mapping["tiles"][k], id=first + i, core=len(cores))
                          for i, k in enumerate(core["tiles"])]
                cores.append(dict(core, id=len(cores), chip=copy,
                                  tiles=list(range(first, len(tiles)))))
                prices.append(dict(price, id=len(prices), chip=copy))
        mapping.update(tiles=tiles, cores=cores, mesh=dict(mapping["mesh"], chips=[25, 20]))
        cost.update(cores=prices, chips=[dict(cost["chips"][0], id=c) for c in range(cls.COPIES)])
        cost.pop("links")
        t.write_text(path, json.dumps(cost))
        t.write_text(os.path.join(cls.folder, "mapping.json"), json.dumps(mapping))

    def test_only_rows_in_sight_are_in_the_page(self):
        n = len(self.cost["cores"])
        self.assertGreater(n, 18000)
        self.assertIn(f"{n:,} of {n:,} cores", self.at("#cores-body").text)
        self.assertLess(len(self.all("#cores-body tr")), 80)
        box = self.at("#cores-body .table-box")
        self.js("arguments[0].scrollTop = 1e9", box)
        self.wait(f"return !!document.querySelector('#cores-body tr[data-row=\"{n - 1}\"]')")
        self.assertLess(len(self.all("#cores-body tr")), 80)

    def test_drawing_and_finding(self):
        self.settle()
        core = len(self.cost["cores"]) - 1
        self.js("R.select({core: arguments[0]}); Plan.focusCore(arguments[0], false)", core)
        self.settle()
        self.move_to(core).perform()
        self.assertIn(f"Core {core} ", self.at("#plan-tip").text)
        colour = self.js("return R.D.layers[R.mainLayer[arguments[0]]].colour", core)
        self.assertEqual(self.pixel(core), colour)
        self.assertIn("no loads of links", self.at("#network").text)


if __name__ == "__main__":
    unittest.main()
