"""docs: what the pages say against what the tool does. docs/commands.md must name every option of
every --help and no other; docs/files.md every member of every JSON result; links must lead somewhere."""
import json
import os
import re
import subprocess
import tempfile
import unittest

SOURCE = os.environ.get(
    "SPIKEC_SOURCE_DIR",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TOOL = os.environ.get("SPIKEC_TOOL", os.path.join(SOURCE, "build", "release", "spikec"))
GOLDEN = os.path.join(SOURCE, "tests", "data", "golden", "v2-tiny-exact")
SHARED = "Options that several commands share"
GRAPH = os.path.join(SOURCE, "tests", "data", "mapbench", "dnn-16.cg")
COMMON = "Every command"


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as f:
        return f.read()


def tool(*arguments):
    """stdout of a run that must succeed"""
    run = subprocess.run([TOOL, *arguments], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise AssertionError(f"spikec {' '.join(arguments)}: exit {run.returncode}\n{run.stderr}")
    return run.stdout


def has_native():
    """Whether this build makes machine code (backends/llvm)."""
    run = subprocess.run([TOOL, "run", "x", "--input", "x", "--engine", "native"],
                         capture_output=True, text=True, check=False)
    return "E0936" not in run.stderr


def commands():
    found = re.findall(r"^  ([a-z-]+) .* {2,}[A-Z]", tool("--help"), re.M)
    if len(found) < 5:
        raise AssertionError(f"cannot read the commands from --help: {found}")
    return found


def options(text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text))


def help_options(command):
    return options("\n".join(line for line in tool(command, "--help").splitlines()
                             if re.match(r" +-", line)))


def sections(text):
    """{title: body} of a page's ## sections, without listings"""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


class Options(unittest.TestCase):
    def setUp(self):
        self.page = sections(read("docs", "commands.md"))

    def test_every_command_has_a_section(self):
        for command in commands():
            self.assertIn(command, self.page)

    def test_sections_name_the_options_of_help(self):
        common = options(self.page[COMMON].split("A progress bar")[0])
        self.assertLessEqual({"threads", "json", "quiet", "time-report", "help"}, common)
        for command in commands():
            with self.subTest(command=command):
                self.assertEqual(options(self.page[command]), help_options(command) - common)
                self.assertLessEqual(common, help_options(command))

    def test_shared_table_names_the_commands(self):
        rows = re.findall(r"^\| `--([a-z-]+)[^|]*\| ([a-z, ]+) \|", self.page[SHARED], re.M)
        self.assertGreater(len(rows), 8)
        have = {c: help_options(c) for c in commands()}
        for option, names in rows:
            with self.subTest(option=option):
                self.assertEqual(set(names.split(", ")), {c for c in have if option in have[c]})

    def test_zoo(self):
        zoo = {f[:-4] for f in os.listdir(os.path.join(SOURCE, "models")) if f.endswith(".spk")}
        page = read("docs", "commands.md").split("## ")[0]
        self.assertEqual(set(re.findall(r"`(spikformer_\w+)`", page)), zoo)

    def test_passes(self):
        page = read("docs", "passes.md")
        for p in json.loads(tool("opt", "--list", "--json"))["passes"]:
            self.assertTrue(re.search(rf"^\| `{p['name']}[`{{]", page, re.M), p["name"])


class Members(unittest.TestCase):
    """One small network through all commands; every key of every result must be in files.md."""
    BY_NAME = ("rates", "energy_pj", "price_basis", "point")  # keyed by values, components, …

    def keys(self, value):
        found = set()
        if isinstance(value, dict):
            for key, inner in value.items():
                found.add(key)
                if key not in self.BY_NAME:
                    found |= self.keys(inner)
        elif isinstance(value, list):
            for inner in value:
                found |= self.keys(inner)
        return found

    def test_members(self):
        page = " ".join(re.findall(r"`([^`]+)`", read("docs", "files.md")))
        words = set(re.findall(r"\w+", page))
        model = ["spikformer_v2"]
        for pair in ("height=32", "width=32", "dim=32", "depth=2", "heads=2", "classes=10"):
            model += ["--set", pair]
        weights = ["--weights", os.path.join(GOLDEN, "weights.safetensors")]
        image = ["--input", os.path.join(GOLDEN, "input.safetensors")]
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out")
            rates = os.path.join(folder, "rates.json")
            mae = ["spikformer_v2_fashion_mae", "--set", "dim=8", "--set", "decoder_dim=8"]
            mae_weights, mae_images = os.path.join(folder, "w"), os.path.join(folder, "x")
            tool("synth", *mae, "--rate", "0.2", "--limit", "2", "-o", mae_weights, "--input-out",
                 mae_images)
            results = {
                "run": tool("run", *model, *weights, *image, "--json", "--rates-out", rates,
                            "--teacher", os.path.join(GOLDEN, "expected.safetensors")),
                "synth": tool("synth", *model, "--rate", "0.1", "-o",
                              os.path.join(folder, "synthetic"), "--json"),
                "estimate": tool("estimate", *model, "--target", "loihi2", "--rates", rates,
                                 "--json"),
                "reconstruct": tool("reconstruct", *mae, "--weights", mae_weights, "--input",
                                    mae_images, "--mask-ratio", "0.5", "-o",
                                    os.path.join(folder, "strip.png"), "--json"),
                "run of an autoencoder": tool("run", *mae, "--weights", mae_weights, "--input",
                                              mae_images, "--mask-ratio", "0.5", "--json"),
                "estimate of an autoencoder": tool("estimate", *mae, "--target", "loihi2", "--json"),
                "attention": tool("attention", "spikformer_v2", "--json"),
                "compile": tool("compile", *model, *weights, "--target", "loihi1", "-o", out,
                                "--json"),
                "check": tool("check", out, "--json"),
                "run Q": tool("run", out, "--level", "Q", *image, "--json"),
                "simulate": tool("simulate", out, *image, "--json"),
                "verify": tool("verify", out, *image, "--json"),
                "cost": tool("cost", out, "--json"),
                "report": tool("report", out, "-o", os.path.join(folder, "r.html"), "--json"),
                "floorplan": tool("floorplan", out, "-o", os.path.join(folder, "f.svg"), "--json"),
                "diff": tool("diff", out, out, "--json"),
                "explore": tool("explore", *model, "--target", "loihi1", "--vary", "weight_bits=8",
                                "-o", os.path.join(folder, "sweep"), "--json"),
                "weights": tool("weights", "convert", weights[1], os.path.join(folder, "w.pth"),
                                "--json"),
                "init": tool("init", os.path.join(folder, "new.spk"), "--json"),
                "target new": tool("target", "new", os.path.join(folder, "new.yaml"), "--from",
                                   "loihi2", "--json"),
                "doctor": tool("doctor", "--json"),
                "partition": tool("partition", GRAPH, "--neurons", "4", "-o",
                                  os.path.join(folder, "dnn.part"), "--json"),
                "place": tool("place", GRAPH, os.path.join(folder, "dnn.pl"), "--json"),
            }
            if has_native():
                results["build"] = tool("build", *model, *weights, "-o",
                                        os.path.join(folder, "net.o"), "--json")
            with open(os.path.join(out, "mapping.json"), encoding="utf-8") as f:
                results["mapping.json"] = f.read()
            for name in sorted(os.listdir(out)):
                self.assertIn(name.rsplit(".", 1)[0].lstrip("."), page, "a file of the folder")
        for name, text in results.items():
            with self.subTest(result=name):
                keys = {k if not k.endswith("_limit") else "_limit" for k in
                        self.keys(json.loads(text))}
                self.assertGreater(len(keys), 3)
                self.assertEqual(keys - words - {"_limit"}, set())


class Pages(unittest.TestCase):
    def pages(self):
        for folder in ("", "docs", os.path.join("tools", "train")):
            for name in sorted(os.listdir(os.path.join(SOURCE, folder))):
                if name.endswith(".md"):
                    yield os.path.join(folder, name)

    @staticmethod
    def anchors(text):
        titles = re.findall(r"^#+ (.*)$", text, re.M)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    def test_links(self):
        n = 0
        for page in self.pages():
            text = read(page)
            links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text)
            for link in (a or b for a, b in links):
                if re.match(r"[a-z]+:", link):
                    continue
                path, _, anchor = link.partition("#")
                target = os.path.normpath(os.path.join(SOURCE, os.path.dirname(page), path))
                with self.subTest(page=page, link=link):
                    self.assertTrue(os.path.exists(target) if path else True)
                    if anchor:
                        self.assertIn(anchor, self.anchors(
                            read(os.path.relpath(target, SOURCE)) if path else text))
                n += 1
        self.assertGreater(n, 20)

    def test_every_target_has_its_facts(self):
        for name in json.loads(tool("target", "list", "--json"))["targets"]:
            self.assertRegex(read("docs", "targets.md"), rf"(?m)^## \d+\. {name}$")

    def numbers(self, value):
        """Every number of a description."""
        if isinstance(value, dict):
            inner = value.values() if "basis" not in value else [value["value"]]
            return [n for v in inner for n in self.numbers(v)]
        if isinstance(value, list):
            return [n for v in value for n in self.numbers(v)]
        return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []

    def test_numbers_of_targets(self):
        for name in ("loihi1", "loihi2", "sanafe-loihi"):
            target = json.loads(tool("target", "show", name, "--json"))["target"]
            page = sections(read("docs", "targets.md"))
            text = "".join(body for title, body in page.items()
                           if title.split()[-1] in (name, "loihi1" if name == "sanafe-loihi" else name))
            written = {float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}
            found = self.numbers(target)
            self.assertGreater(len(found), 30)
            for number in found:
                with self.subTest(target=name, number=number):
                    self.assertTrue({abs(number), number / 1000} & written)

    def test_index_names_every_page(self):
        index = read("docs", "README.md")
        for name in os.listdir(os.path.join(SOURCE, "docs")):
            if name.endswith(".md") and name != "README.md":
                self.assertIn(f"({name})", index)

    def test_no_places_of_one_machine(self):
        for page in self.pages():
            for place in (f"/{top}/" for top in ("home", "work", "root")):
                self.assertNotIn(place, read(page), page)


if __name__ == "__main__":
    unittest.main()
