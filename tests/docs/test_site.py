"""site: what tools/site makes of the pages. Every page is built and clicked through in headless Chromium;
links that lead nowhere, pages that stand in no table and listings without a language are refused."""
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.environ.get(
    "SPIKEC_SOURCE_DIR",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
NEEDED = ("markdown_it", "pygments")
lacking = [m for m in NEEDED if not importlib.util.find_spec(m)]
if lacking:
    print(f"skipped: no {', '.join(lacking)}; tools/setup --check installs it")
    sys.exit(77)
COPIED = ("docs", "editors", "examples", "tools/train/README.md", "README.md", "CONTRIBUTING.md",
          "CHANGELOG.md", "LICENSE", "CMakeLists.txt")


def build(out, source=SOURCE):
    return subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "docs", "site", "build.py"),
                           "--source", source, "-o", out], capture_output=True, text=True, check=False)


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


class Scratch(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="spikec-site-")
        self.addCleanup(shutil.rmtree, self.dir)


class Build(Scratch):
    def tree(self):
        """A copy of the documents that a test may break."""
        tree = os.path.join(self.dir, "tree")
        for name in COPIED:
            to = os.path.join(tree, name)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            (shutil.copytree if os.path.isdir(os.path.join(SOURCE, name)) else shutil.copy)(
                os.path.join(SOURCE, name), to)
        return tree

    def test_every_page(self):
        out = os.path.join(self.dir, "site")
        done = build(out)
        self.assertEqual(done.returncode, 0, done.stderr)
        documents = [n for n in os.listdir(os.path.join(SOURCE, "docs")) if n.endswith(".md")]
        for name in documents:
            page = read(out, "index.html" if name == "README.md" else name[:-3] + ".html")
            self.assertEqual(page.count("<h1"), 1, name)
            self.assertEqual(page.count('aria-current="page"'), 1, name)
            self.assertNotIn("{{", re.sub(r"<pre.*?</pre>|<code>.*?</code>", "", page, flags=re.S), name)
            self.assertNotRegex(page, r'(?:src|href)="(?:https?:)?//[^"]*\.(?:js|css|png|svg)"', name)

    def test_the_same_bytes(self):
        sums = []
        for name in ("a", "b"):
            out = os.path.join(self.dir, name)
            build(out)
            files = sorted(os.path.join(d, f) for d, _, names in os.walk(out) for f in names)
            digest = hashlib.sha256()
            for path in files:
                with open(path, "rb") as f:
                    digest.update(os.path.relpath(path, out).encode() + b"\0" + f.read())
            sums.append((len(files), digest.hexdigest()))
        self.assertGreater(sums[0][0], 25)
        self.assertEqual(sums[0], sums[1])

    def test_refusals(self):
        """Each change is refused with its place, all in one run, and nothing is written."""
        tree, out = self.tree(), os.path.join(self.dir, "site")
        self.assertEqual(build(out, tree).returncode, 0)
        changes = {
            "files.md": ("\n[x](nowhere.md)\n", "the link 'nowhere.md' leads nowhere"),
            "cost.md": ("\n[x](files.md#no-such-place)\n", "docs/files.md has no anchor '#no-such-place'"),
            "nir.md": ("\n[x](#no-such-place)\n", "docs/nir.md has no anchor '#no-such-place'"),
            "native.md": ("\n<img src=\"pictures/none.png\">\n",
                          "the link 'pictures/none.png' leads nowhere"),
            "netx.md": ("\n```klingon\nx\n```\n", "a listing of unknown language 'klingon'"),
            "engines.md": ("\n    spikec run\n", "an indented listing"),
            "passes.md": ("\n[x](../../outside.md)\n", "the link '../../outside.md' leads nowhere"),
        }
        for name, (text, _) in changes.items():
            with open(os.path.join(tree, "docs", name), "a", encoding="utf-8") as f:
                f.write(text)
        with open(os.path.join(tree, "docs", "new.md"), "w", encoding="utf-8") as f:
            f.write("# New\n")
        shutil.rmtree(out)
        done = build(out, tree)
        self.assertEqual(done.returncode, 1)
        for name, (_, says) in changes.items():
            self.assertRegex(done.stderr, rf"docs/{name}:\d+: {re.escape(says)}")
        self.assertIn("docs/new.md has no row", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), len(changes) + 1, done.stderr)
        self.assertFalse(os.path.exists(out))

    def test_a_row_adds_a_page(self):
        tree, out = self.tree(), os.path.join(self.dir, "site")
        with open(os.path.join(tree, "docs", "new.md"), "w", encoding="utf-8") as f:
            f.write("# Quite new\n\nxylophone\n")
        index = os.path.join(tree, "docs", "README.md")
        text = read(index).replace("| [files.md]", "| [new.md](new.md) | what is new |\n| [files.md]")
        with open(index, "w", encoding="utf-8") as f:
            f.write(text)
        self.assertEqual(build(out, tree).returncode, 0)
        self.assertIn('<a href="new.html" title="what is new">Quite new</a>', read(out, "commands.html"))
        self.assertIn("xylophone", read(out, "sections.js"))

    def test_only_a_site_is_replaced(self):
        with open(os.path.join(self.dir, "mine.txt"), "w", encoding="utf-8") as f:
            f.write("x")
        done = build(self.dir)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no site", done.stderr)
        self.assertEqual(os.listdir(self.dir), ["mine.txt"])

    def test_colours_of_listings(self):
        """Words of the lexers of spikec are coloured, by the grammars of the editors."""
        sys.path.insert(0, os.path.join(SOURCE, "docs", "site"))
        import highlight
        html = highlight.Highlighter(SOURCE).html
        spk = html("spk", 'neuron lif() { fire v >= 1.5; } // x\nlet a = "b.{l}"; y = conv2d(x);\n')
        for piece in ('<span class="kd">neuron</span>', '<span class="k">fire</span>',
                      '<span class="m">1.5</span>', '<span class="c">// x</span>',
                      '<span class="nv">{l}</span>', '<span class="nf">conv2d</span>'):
            self.assertIn(piece, spk)
        sir = html("sir", '%2 = neuron %1 {program=0} : spike f32 name "lif" recorded\n')
        for piece in ('<span class="nv">%2</span>', '<span class="nf">neuron</span>',
                      '<span class="kt">spike</span>', '<span class="k">recorded</span>'):
            self.assertIn(piece, sir)
        self.assertIn("&lt;b&gt;", html("text", "<b>"))
        self.assertIn("&lt;", html("spk", "a < b"))


@unittest.skipUnless(importlib.util.find_spec("selenium") and shutil.which("chromium")
                     and shutil.which("chromedriver"), "Chromium or selenium is not installed")
class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sys.path.insert(0, os.path.join(SOURCE, "tests", "tool"))
        import test_report_browser
        from selenium.webdriver.common.keys import Keys
        cls.keys = Keys
        cls.dir = tempfile.mkdtemp(prefix="spikec-site-")
        done = build(os.path.join(cls.dir, "site"))
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        cls.driver = test_report_browser.browser()

    @classmethod
    def tearDownClass(cls):
        cls.driver.quit()
        shutil.rmtree(cls.dir)

    def setUp(self):
        self.driver.set_window_size(1280, 900)
        self.open("index.html")

    def tearDown(self):
        self.assertEqual([e for e in self.driver.get_log("browser")], [])

    def open(self, page):
        self.driver.get("about:blank")
        self.driver.get(f"file://{self.dir}/site/{page}")

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def at(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def search(self, text):
        box = self.at("#query")
        box.clear()
        box.send_keys(text)
        return self.all("#results a")

    def place(self):
        return self.js("return location.pathname.split('/').pop() + location.hash")

    def test_search_and_follow(self):
        marked = self.search("--vary")[0].find_elements("css selector", "mark")
        self.assertIn("--vary", [m.text for m in marked])
        found = self.search("doctor")  # a whole heading comes first
        self.assertEqual(found[0].find_element("css selector", "b").text, "doctor")
        found[0].click()
        self.assertEqual(self.place(), "commands.html#doctor")
        top = self.js("return document.getElementById('doctor').getBoundingClientRect().top")
        self.assertLess(abs(top), 120)

    def test_search_by_keys(self):
        self.at("body").send_keys("/")
        box = self.driver.switch_to.active_element
        self.assertEqual(box.get_attribute("id"), "query")
        box.send_keys("own ch")  # beginnings of words, all of them
        first, second = (a.get_attribute("href") for a in self.all("#results a")[:2])
        self.assertIn("own-chip.html", first)
        box.send_keys(self.keys.ARROW_DOWN, self.keys.ARROW_DOWN, self.keys.ENTER)
        self.assertEqual(self.place(), second.split("/")[-1])
        self.at("body").send_keys("/")
        self.search("limits")
        self.assertTrue(self.at("#results").is_displayed())
        self.at("#query").send_keys(self.keys.ESCAPE)
        self.assertFalse(self.at("#results").is_displayed())

    def test_search_finds_words_of_every_page(self):
        """Addresses, constants, options, codes: each from the page that has it alone or first."""
        for word, page in (("E0710", "export.html"), ("pop16_slots", "targets.html"),
                           ("Kapoho", "targets.html"), ("hypergraph", "files.html"), ("xyzzy", None), ("ntegers", None)):
            pages = [a.get_attribute("href").split("/")[-1].split("#")[0] for a in self.search(word)]
            if page is None:
                self.assertEqual(pages, [], word)
                self.assertEqual(self.at("#results").text, "nothing found")
            else:
                self.assertIn(page, pages, word)
        text = '<img src=x onerror="document.title=1">'
        self.search(text)
        self.assertNotEqual(self.driver.title, "1")

    def test_every_page_opens_and_every_link_leads_somewhere(self):
        pages = sorted({a.get_attribute("href") for a in self.all("nav a")})
        self.assertGreater(len(pages), 25)
        anchors, links = {}, []
        for url in pages:
            self.driver.get(url)
            name = url.split("/")[-1]
            self.assertNotEqual(self.at("h1").text, "")
            lacking = self.js("return [...document.images].filter(i => !i.naturalWidth).length")
            self.assertEqual(lacking, 0, name)
            anchors[name] = set(self.js("return [...document.querySelectorAll('[id]')].map(e => e.id)"))
            links += [(name, h) for h in self.js(
                "return [...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")]
        self.assertGreater(len(links), 1000)
        for page, link in links:
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            target = target or page
            self.assertTrue(os.path.isfile(os.path.join(self.dir, "site", target)), (page, link))
            if anchor:
                self.assertIn(anchor, anchors[target], (page, link))

    def test_next_and_back(self):
        self.open("tutorial.html")
        self.at('footer a[rel="next"]').click()
        self.assertEqual(self.place(), "install.html")
        self.at('footer a[rel="prev"]').click()
        self.assertEqual(self.place(), "tutorial.html")
        self.at("nav a[aria-current] + ul a").click()
        self.assertEqual(self.place(), "tutorial.html#1-weights")

    def test_light_and_dark(self):
        colour = "return getComputedStyle(document.body).backgroundColor"
        self.js("localStorage.clear()")
        before = self.js(colour)
        self.at("#theme").click()
        after = self.js(colour)
        self.assertNotEqual(before, after)
        self.open("cost.html")
        self.assertEqual(self.js(colour), after)  # it is kept
        for _ in range(2):  # both can be read: contrast 4.5 as WCAG 2 defines it
            for selector in ("main p", "nav h2", "pre .m, pre .mf, pre .mi", "pre .k, pre .kn",
                             "pre .nb, pre .nf, pre .s2"):
                self.assertGreater(self.contrast(selector), 4.5, selector)
            self.at("#theme").click()

    def contrast(self, selector):
        return self.js("""
            const rgb = s => s.match(/[\\d.]+/g).map(Number);
            const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 :
                ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
            const e = document.querySelector(arguments[0]);
            const clear = e => /, 0\\)$|transparent/.test(getComputedStyle(e).backgroundColor);
            let back = e;
            while (back && clear(back)) back = back.parentElement;
            const a = light(rgb(getComputedStyle(e).color)),
                  b = light(rgb(getComputedStyle(back).backgroundColor));
            return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);""", selector)

    def test_on_a_phone(self):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": 390, "height": 840, "deviceScaleFactor": 2, "mobile": True})
        try:
            for page in ("index.html", "targets.html", "commands.html", "project.html", "tutorial.html"):
                self.open(page)
                self.assertLessEqual(self.js("return document.documentElement.scrollWidth"), 390, page)
            self.assertFalse(self.at("nav").is_displayed())
            self.at("#menu").click()
            self.assertTrue(self.at("nav").is_displayed())
            self.at('nav a[href="cost.html"]').click()
            self.assertEqual(self.place(), "cost.html")
            self.assertFalse(self.at("nav").is_displayed())
            self.search("what is left out")[0].click()
            self.assertEqual(self.place(), "cost.html#7-what-is-left-out")
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def test_asks_the_network_for_nothing(self):
        self.driver.get_log("performance")
        self.open("project.html")
        self.search("core")
        asked = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        urls = {m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"}
        self.assertGreater(len(urls), 3)
        self.assertEqual({u for u in urls if not u.startswith(("file://", "data:", "about:"))}, set())


if __name__ == "__main__":
    unittest.main()
