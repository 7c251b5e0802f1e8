"""The listings of the pages: what they are, by the words behind their opening ```, and what a listing
of each kind has to do. CONTRIBUTING.md, "Listings in the pages", is the manual of this.

    LANGUAGE [slow] [needs=THING] [file=NAME] [of=PATH] [exit=N]
"""
import difflib
import importlib.util
import json
import os
import re
import subprocess

from markdown_it import MarkdownIt

FASHION = "/usr/share/datasets/fashion-mnist"


def doctor(part):
    """Whether the tool that is tested finds a part."""
    tool = os.environ.get("SPIKEC_TOOL", "spikec")
    done = subprocess.run([tool, "doctor", "--json"], capture_output=True, text=True, check=True)
    return next(p["found"] for p in json.loads(done.stdout)["parts"] if p["name"] == part)


# Kinds in which nothing can run; COMMAND finds what would hide there.
SILENT = ("text", "formula", "grammar")
KINDS = ("console", "sh", "spk", "sir", "c", "python", "json", "yaml", *SILENT)
COMMAND = re.compile(r"^\s*(\$ |spikec |tools/|build/release/|cmake )", re.M)
# What a listing may need, whether it is there, and what to say where it is not.
NEEDS = {
    "fashion": (lambda: os.path.isdir(FASHION), "the package dataset-fashion-mnist is not installed"),
    "torch": (lambda: importlib.util.find_spec("torch"), "PyTorch is not installed"),
    "brian": (lambda: importlib.util.find_spec("brian2"), "Brian 2 is not installed"),
    "sanafe": (lambda: os.environ.get("SANAFE_SIM"), "SANA-FE is not installed (SANAFE_SIM)"),
    "native": (lambda: doctor("native code") and doctor("LLVM library"), "no native code without LLVM"),
    "root": (lambda: False, "changes the system"),
    "hours": (lambda: False, "takes an hour or more"),
    "itself": (lambda: False, "it is what runs this test"),
}
# Figures of the machine of the day: a number with one of these units, or after ≈, equals any other.
MEASURED = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?(?= (?:s|ms|KB|MB|GB)\b)|≈[\d.]+(?:e[+-]?\d+)?")
ANY = "…"


class Listing:
    def __init__(self, page, first, end, info, text):
        self.page, self.first, self.end, self.text = page, first, end, text  # [first, end) with its fences
        words = info.split()
        self.kind = words[0] if words else ""
        self.slow = "slow" in words[1:]
        self.options, self.wrong = {}, []
        for word in words[1:]:
            name, given, value = word.partition("=")
            if given and value and name in ("needs", "file", "of", "exit"):
                self.options[name] = value
            elif word != "slow":
                self.wrong.append(f"'{word}' is no mark of a listing")

    def problems(self):
        """What is wrong with it before anything runs."""
        out = list(self.wrong)
        if self.kind not in KINDS:
            out.append(f"a listing without a kind ('{self.kind}'); there are: {' '.join(KINDS)}")
        elif self.kind in SILENT and COMMAND.search(self.text):
            out.append(f"a command in a listing of kind '{self.kind}', which does not run")
        if self.options.get("needs", "root") not in NEEDS:
            out.append(f"needs={self.options['needs']} is not known; there are: {' '.join(NEEDS)}")
        return [f"{self.page}:{self.first + 1}: {text}" for text in out]

    def skipped(self, slow):
        """Why it does not run here, or None."""
        if self.slow and not slow:
            return "slow: tools/check --all"
        needs = self.options.get("needs")
        return None if needs is None or NEEDS[needs][0]() else NEEDS[needs][1]

    def commands(self):
        """[(command, line of it, lines of output expected or None)] of a console or sh listing."""
        out = []
        shell = self.kind == "console"
        number = self.first + 1  # that of the opening ```, from 1
        for line in self.text.splitlines():
            number += 1
            going_on = out and out[-1][0].endswith("\\") and not (shell and out[-1][2])
            if going_on:
                out[-1][0] += "\n" + line
            elif shell and line.startswith("$ "):
                out.append([line[2:], number, []])
            elif shell:
                if not out:
                    out.append([": # output without a command", number, []])
                out[-1][2].append(line)
            elif line.strip() and not line.lstrip().startswith("#"):
                out.append([line, number, None])
        for command in out:  # empty lines at the end only part commands
            while command[2] and not command[2][-1].strip():
                command[2].pop()
        return out


def listings(page, text):
    """All of a page, and what is wrong with them."""
    found, wrong = [], []
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        if token.type == "code_block":
            wrong.append(f"{page}:{token.map[0] + 1}: an indented listing: "
                         "write it between lines of ``` with its kind")
        elif token.type == "fence":
            found.append(Listing(page, *token.map, token.info, token.content))
            wrong += found[-1].problems()
    return found, wrong


# ---- expected output ----

def literal(text):
    return re.sub(r"(?:\\ )+", "[ ]+", re.escape(text)).replace(ANY, ".*")


def line_pattern(line):
    """A regular expression: … any text, measured figures any number, blanks any number of blanks."""
    parts, at = [], 0
    for hit in MEASURED.finditer(line):
        parts += [literal(line[at:hit.start()]), r"[\d.e+-]+"]
        at = hit.end()
    return "".join(parts) + literal(line[at:].rstrip()) + r"[ ]*\n"


def matches(expected, actual):
    """Whether the lines of a page stand for an output: … is any text, a line of it any lines."""
    pattern = "".join("(?:.*\n)*?" if line.strip() == ANY else line_pattern(line) for line in expected)
    return re.fullmatch(pattern, "".join(line + "\n" for line in actual)) is not None


def renewed(expected, actual):
    """The lines that a page should show instead (BLESS=1), cut where the old ones were: … stays, lines
    that are still right stay, the others become the line of the output that is most like them, and what
    is new between two lines is shown."""
    out, at, gap = [], 0, False
    for line in expected:
        if line.strip() == ANY:
            out.append(line)
            gap = True
            continue
        rest = actual[at:]
        hit = next((i for i, a in enumerate(rest) if re.fullmatch(line_pattern(line), a + "\n")), None)
        if hit is None:
            best = difflib.get_close_matches(line, rest, 1, 0.4)
            if not best:
                continue
            hit = rest.index(best[0])
            cut = len(line) - len(ANY) if line.endswith(ANY) else None
            line = best[0][:cut].rstrip() + " " + ANY if cut else best[0]
        out += [] if gap else rest[:hit]
        out.append(line.rstrip())
        at += hit + 1
        gap = False
    return out + ([] if gap else actual[at:])
