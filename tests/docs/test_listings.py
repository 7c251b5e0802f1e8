"""listings: every listing of the pages is run, parsed or compiled; outputs that a page shows are those
that the commands have. The listings of a page are one session in one empty folder, in their order:
variables, files and folders of one are there for the next. tests/docs/setup/PAGE.sh, where there is one,
runs first and makes the files that the page takes for granted.

    test_listings.py PAGE       one page (docs/commands.md); SPIKEC_DOCS=all runs the slow ones too
    test_listings.py Rules      the rules of listings.py
BLESS=1 writes the outputs into the page."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import yaml

try:
    import listings
except ImportError as missing:
    print(f"skipped: {missing}; tools/setup --check installs it")
    sys.exit(77)  # SKIP_RETURN_CODE

SOURCE = os.environ.get(
    "SPIKEC_SOURCE_DIR",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TOOL = os.environ.get("SPIKEC_TOOL", os.path.join(SOURCE, "build", "release", "spikec"))
os.environ.setdefault("SPIKEC_TOOL", TOOL)
SLOW = os.environ.get("SPIKEC_DOCS", "") == "all"
BLESS = os.environ.get("BLESS", "") == "1"
LIMIT_S = 1800 if SLOW else 240
INTERRUPTED = 124
WHOLE = 'import "{0}";\nmodel whole() {{\n\tinput x : frame[1, 2, 2] repeat 1;\n\toutput y = ' \
        'linear(mean(x, pixels, time), 2) as "head";\n}}\n'


class Session:
    """A shell in a folder of its own, in which commands run one by one."""

    def __init__(self, folder):
        self.folder = folder
        self.out = os.path.join(folder, ".out")
        tools = os.path.join(folder, ".bin")
        os.mkdir(tools)
        os.symlink(TOOL, os.path.join(tools, "spikec"))
        status, end = os.pipe()
        self.status = os.fdopen(status)
        environment = {**os.environ, "PATH": f"{tools}:/usr/bin:{os.environ['PATH']}", "HOME": folder,
                       "LC_ALL": "C.UTF-8", "SPIKEC_SOURCE_DIR": SOURCE,
                       "SPIKEC_BUILD_DIR": os.path.dirname(TOOL)}
        for name in ("SPIKEC_MODELS", "SPIKEC_TARGETS"):
            environment.pop(name, None)
        self.shell = subprocess.Popen(["bash"], cwd=folder, stdin=subprocess.PIPE, text=True,
                                      pass_fds=(end,), env=environment, start_new_session=True)
        os.close(end)
        self.end = end

    def run(self, command):
        """(exit code, lines of stdout and stderr as a terminal shows them)"""
        def late(*_):
            os.killpg(self.shell.pid, signal.SIGKILL)
        signal.signal(signal.SIGALRM, late)
        signal.alarm(LIMIT_S)
        self.shell.stdin.write(f"{{ {command}\n}} >'{self.out}' 2>&1 </dev/null {self.end}>&-\n"
                               f"echo $? >&{self.end}\n")
        self.shell.stdin.flush()
        status = self.status.readline().strip()
        signal.alarm(0)
        with open(self.out, encoding="utf-8", errors="replace") as f:
            text = f.read()
        for place in (self.folder, SOURCE):
            text = text.replace(place + "/", "").replace(place, ".")
        return int(status or INTERRUPTED), [line.rstrip() for line in text.rstrip().splitlines()]

    def close(self):
        self.shell.stdin.close()
        self.shell.wait()
        self.status.close()


class Page:
    """One page's session. What is wrong is collected, so that one run tells everything."""

    def __init__(self, path, text, folder):
        self.path, self.text, self.folder = path, text, folder
        self.found, self.wrong = listings.listings(path, text)
        self.skipped, self.ran, self.outputs, self.times = [], 0, [], []
        self.session = None

    def error(self, listing, text, line=None):
        self.wrong.append(f"{self.path}:{line or listing.first + 1}: {text}")

    def run(self):
        self.session = Session(self.folder)
        try:
            self.run_all()
        finally:
            self.session.close()

    def run_all(self):
        setup = os.path.join(SOURCE, "tests", "docs", "setup",
                             re.sub(r"\W", "_", os.path.splitext(self.path)[0]) + ".sh")
        if os.path.exists(setup):
            code, lines = self.session.run(f"set -e; . '{setup}'; set +e")
            if code != 0:
                self.wrong.append(f"{setup}: exit {code}\n" + "\n".join(lines[-20:]))
        for listing in self.found:
            why = listing.skipped(SLOW)
            if why is not None:
                self.skipped.append(f"{self.path}:{listing.first + 1}: {why}")
                self.unrun(listing)
            else:
                self.ran += 1
                kind = "text" if listing.kind in listings.SILENT else listing.kind
                getattr(self, f"do_{kind}")(listing)

    def unrun(self, listing):
        """A listing that does not run here still has to be shell, with commands and options that exist."""
        if listing.kind not in ("sh", "console"):
            return
        for command, line, _ in listing.commands():
            if subprocess.run(["bash", "-n"], input=command, text=True, check=False).returncode != 0:
                self.error(listing, f"no shell command: {command}", line)
            for name, arguments in re.findall(r"\bspikec ([a-z-]+)((?: .*|\\\n.*)*)", command):
                done = subprocess.run([TOOL, name, "--help"], capture_output=True, text=True, check=False)
                for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", arguments):
                    if not re.search(rf"{option}\b", done.stdout):
                        self.error(listing, f"'spikec {name}' has no option {option}", line)

    # ---- what each kind has to do ----

    def save(self, listing, name):
        path = os.path.join(self.folder, listing.options.get("file", name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(listing.text)
        self.same_as_source(listing)
        return path

    def same_as_source(self, listing):
        """of=PATH: the listing stands in that file of the tree, with … for what is left out."""
        if "of" not in listing.options:
            return
        with open(os.path.join(SOURCE, listing.options["of"]), encoding="utf-8") as f:
            lines = f.read().splitlines()
        if not listings.matches([listings.ANY, *listing.text.splitlines(), listings.ANY], lines):
            self.error(listing, f"this is not what {listing.options['of']} says")

    def need(self, listing, command, what):
        code, lines = self.session.run(command)
        if code != 0:
            self.error(listing, f"{what}: exit {code}\n" + "\n".join(lines[-20:]))

    def run_command(self, command):
        start = time.monotonic()
        result = self.session.run(command)
        self.times.append((time.monotonic() - start, command))
        return result

    def do_text(self, listing):
        if listing.options.keys() & {"file", "of"}:
            self.save(listing, "listing.txt")

    def do_sh(self, listing):
        for command, line, _ in listing.commands():
            code, lines = self.run_command(command)
            if code != 0:
                self.error(listing, f"{command}: exit {code}\n" + "\n".join(lines[-20:]), line)

    def do_console(self, listing):
        for command, line, expected in listing.commands():
            code, actual = self.run_command(command)
            fails = any(re.search(r"\berror(\[|:)", e) for e in expected)
            wanted = listing.options.get("exit")
            if str(code) != wanted if wanted and not fails else (code != 0) != fails:
                self.error(listing, f"{command}: exit {code}\n" + "\n".join(actual[-20:]), line)
            elif not listings.matches(expected, actual):
                shown = "".join([*(f"\n  page: {e}" for e in expected),
                                 *(f"\n  tool: {a}" for a in actual[:60])])
                self.error(listing, f"{command}: the page shows another output{shown}", line)
                first = line + command.count("\n")
                self.outputs.append((first, first + len(expected), listings.renewed(expected, actual)))

    def do_spk(self, listing):
        path = self.save(listing, f"listing_{listing.first}.spk")
        if "of" in listing.options:
            return
        self.need(listing, f"spikec fmt --check '{path}'", "no model description in canonical form")
        if not re.search(r"^model ", listing.text, re.M):  # only parts: a model around them
            path, part = os.path.join(self.folder, f"whole_{listing.first}.spk"), path
            with open(path, "w", encoding="utf-8") as f:
                f.write(WHOLE.format(os.path.relpath(part, self.folder)))
        self.need(listing, f"spikec opt '{path}' --passes=", "the tool refuses this model")

    def do_sir(self, listing):
        path = self.save(listing, f"listing_{listing.first}.sir")
        self.need(listing, f"spikec opt '{path}'", "the tool refuses this network")

    def do_c(self, listing):
        path = self.save(listing, f"listing_{listing.first}.c")
        if "of" not in listing.options:
            options = f"-Wall -Werror -Wno-unused-function -I'{SOURCE}/include' -I'{SOURCE}'"
            self.need(listing, f"cc -std=c11 -fsyntax-only {options} '{path}'", "no C")

    def do_python(self, listing):
        path = self.save(listing, f"listing_{listing.first}.py")
        command = "-m py_compile" if listing.options.keys() & {"file", "of"} else ""
        self.need(listing, f"/usr/bin/python3 -B {command} '{path}'", "no Python that runs")

    def do_json(self, listing):
        self.save(listing, "listing.json")
        try:
            json.loads(listing.text)
        except ValueError as error:
            self.error(listing, f"no JSON: {error}")

    def do_yaml(self, listing):
        self.save(listing, "listing.yaml")
        try:
            yaml.safe_load(listing.text)
        except yaml.YAMLError as error:
            self.error(listing, f"no YAML: {error}")

    def blessed(self):
        """The page with the outputs that the commands had."""
        lines = self.text.splitlines()
        for first, end, new in sorted(self.outputs, reverse=True):
            lines[first:end] = new
        return "\n".join(lines) + "\n"


def run_page(path, text=None):
    if text is None:
        with open(os.path.join(SOURCE, path), encoding="utf-8") as f:
            text = f.read()
    folder = os.path.realpath(tempfile.mkdtemp(prefix="spikec-docs-"))
    try:
        page = Page(path, text, folder)
        if not page.wrong:
            page.run()
        return page
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Rules(unittest.TestCase):
    """That listings are told apart, and that a wrong one is found."""

    def check(self, text, *says):
        page = run_page("page.md", text)
        self.assertEqual(len(page.wrong), len(says), page.wrong)
        for wrong, word in zip(page.wrong, says):
            self.assertIn(word, wrong)
        return page

    def test_every_listing_needs_a_kind(self):
        self.check("# t\n\n```\nx\n```\n", "without a kind")
        self.check("# t\n\n```perl\nx\n```\n", "without a kind")
        self.check("# t\n\n    spikec run\n", "an indented listing")
        self.check("# t\n\n```sh sometimes\ntrue\n```\n", "'sometimes'")
        self.check("# t\n\n```sh needs=moon\ntrue\n```\n", "needs=moon")

    def test_commands_do_not_hide(self):
        for text in ("spikec run x", "$ ls", "  tools/check"):
            self.check(f"```text\n{text}\n```\n", "does not run")

    def test_output_is_compared(self):
        good = "```console\n$ printf 'a 1\\nb 2\\nc 0.25 s\\n'\na 1\nb 2\nc 9.5 s\n```\n"
        self.check(good)
        self.check(good.replace("\nb 2", "\n…"))
        self.check(good.replace("\nb 2", "\nb …"))
        self.check(good.replace("\nb 2", "\nb 3"), "page: b 3")
        self.check("```console\n$ printf 'a\\n\\nb\\n\\n'\na\n\nb\n\n\n$ echo c\nc\n\n```\n")
        self.check("```console\n$ printf 'a\\n\\nb\\n'\na\nb\n```\n", "another output")
        self.check(good.replace("\nb 2", ""), "another output")
        self.check(good.replace("9.5 s", "9.5 steps"), "another output")
        self.check(good.replace("a 1\nb 2\nc 9", "a ≈7.5\nb 2\nc 9"))
        self.check(good.replace("a 1\nb 2\nc 9", "a ≈x\nb 2\nc 9"), "another output")
        self.check("```console\n$ echo a; false\na\n```\n", "exit 1")
        self.check("```console exit=1\n$ echo a; false\na\n```\n")
        self.check("```console exit=1\n$ echo a\na\n```\n", "exit 0")
        self.check("```console\n$ spikec run nothing_like_it --input x\nerror[E0120]: …\n…\n```\n")

    def test_a_page_is_one_session(self):
        self.check("```sh\nx=3\necho $x > f\n```\n\n```console\n$ echo $x; cat \\\nf\n3\n3\n```\n")
        self.check("```text file=a/b.txt\nhello\n```\n\n```console\n$ cat a/b.txt\nhello\n```\n")

    def test_every_kind_can_fail(self):
        self.check("```sh\nfalse\n```\n", "exit 1")
        self.check("```json\n{\n```\n", "no JSON")
        self.check("```yaml\na: [\n```\n", "no YAML")
        self.check("```python\n1 +\n```\n", "no Python")
        self.check("```python\nraise ValueError\n```\n", "ValueError")
        self.check("```c\nint f(void) { return x; }\n```\n", "no C")
        self.check("```sir\nsir 1\n```\n", "refuses")
        self.check("```spk\nneuron n() {\n\trate 0.1;\n}\n```\n", "refuses")
        self.check("```spk\nneuron\n```\n", "canonical", "refuses")
        self.check("```text of=LICENSE\nnot in it\n```\n", "not what LICENSE says")

    def test_skipped_listings_are_read(self):
        page = self.check("```sh needs=root\nspikec compile x --targt y\n```\n", "--targt")
        self.assertEqual(page.ran, 0)
        self.check("```sh needs=root\nspikec compile x --target y && \\\nif\n```\n", "no shell command")

    def test_bless(self):
        page = self.check("# t\n\n```console\n$ echo a; \\\necho b\nb\nc\n$ echo d\n$ echo e\ne\n```\n\nend\n",
                          "page: c", "tool: d")
        good = "# t\n\n```console\n$ echo a; \\\necho b\na\nb\n$ echo d\nd\n$ echo e\ne\n```\n\nend\n"
        self.assertEqual(page.blessed(), good)
        self.check(good)
        old, new = ["head 1", "…", "row b 2 …"], ["head 2", "row a 1 xyz", "row b 3 xyz", "row c 4 xyz"]
        self.assertEqual(listings.renewed(old + ["…"], new), ["head 2", "…", "row b 3 …", "…"])
        self.assertEqual(listings.renewed(["nothing like it"], new), new)
        self.assertEqual(listings.renewed(["head 2", "row c 4 xyz"], new), new)
        self.assertEqual(listings.renewed([], new), new)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].endswith(".md"):
        done = run_page(sys.argv[1])
        if BLESS:
            with open(os.path.join(SOURCE, done.path), "w", encoding="utf-8") as f:
                f.write(done.blessed())
        for seconds, line in sorted(done.times)[-5:]:
            print(f"{seconds:7.1f} s  {line[:80]}")
        for reason in done.skipped:
            print(f"skipped {reason}")
        print(f"{done.path}: {done.ran} listings ran, {len(done.skipped)} skipped, "
              f"{len(done.wrong)} wrong")
        for error in done.wrong:
            print(error)
        sys.exit(1 if done.wrong else 0)
    unittest.main()
