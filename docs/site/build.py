"""Makes the documentation a site of static pages: one per document, with navigation, anchors, coloured
listings and a search that works offline, from file:// too. Markdown is read by markdown-it (CommonMark and
tables, as GitHub shows it). The same sources give the same bytes.

    build.py [--source FOLDER] [-o FOLDER]

The navigation is the tables of docs/README.md: a page that stands in a row there is in it. Besides these
the documents of EXTRA are pages. A link to another file of the tree gets a copy of it. A link or anchor that
leads nowhere, a page without a row, an indented listing and a listing in an unknown language are errors,
all reported in one run; nothing is written then."""
import argparse
import html
import json
import os
import posixpath
import re
import shutil
import sys

from markdown_it import MarkdownIt

from highlight import Highlighter

HERE = os.path.dirname(os.path.abspath(__file__))
INDEX = "docs/README.md"
EXTRA = (("README.md", "project"), ("CONTRIBUTING.md", "contributing"), ("CHANGELOG.md", "changelog"),
         ("tools/train/README.md", "training"))
ASSETS = ("site.css", "site.js")
SECTIONS = ("h1", "h2", "h3")


def slug(title, taken):
    """The anchor that GitHub gives a heading."""
    base = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    anchor, n = base, 0
    while anchor in taken:
        n += 1
        anchor = f"{base}-{n}"
    taken.add(anchor)
    return anchor


def plain(token):
    """The text of an inline token without its marks."""
    return "".join(t.content if t.type in ("text", "code_inline") else " " if "break" in t.type else ""
                   for t in token.children or [])


class Page:
    """One document: path in the tree, name in the site, and what rendering found out."""

    def __init__(self, path, name):
        self.path, self.name = path, name
        self.title = name
        self.anchors, self.headings, self.sections = set(), [], []
        self.body = ""


class Site:
    def __init__(self, source):
        self.source = source
        self.markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
        self.highlighter = Highlighter(source)
        self.errors, self.copies = [], {}
        self.links = []  # (page, line, target page, anchor)
        self.index = Page(INDEX, "index")
        self.groups = self.navigation()
        self.pages = {p.path: p for p in [self.index, *(p for _, rows in self.groups for p, _ in rows)]}

    def error(self, page, line, text):
        self.errors.append(f"{page.path}:{line}: {text}")

    def read(self, path):
        with open(os.path.join(self.source, path), encoding="utf-8") as f:
            return f.read()

    # ---- navigation ----

    def navigation(self):
        """[(group, [(page, description)])] of the tables of docs/README.md, and EXTRA."""
        groups, cells, row = [], [], []
        for token in self.markdown.parse(self.read(INDEX)):
            if token.type == "tr_open":
                row = []
            elif token.type == "inline" and token.level >= 4:
                row.append(token)
            elif token.type == "tr_close":
                cells.append(row)
            elif token.type == "table_close":
                rows = [(Page(f"docs/{link}", link[:-3]), plain(r[1])) for r in cells[1:]
                        if (link := self.first_link(r[0]))]
                groups.append((plain(cells[0][0]), rows))
                cells = []
        groups.append(("the project", [(Page(path, name), "") for path, name in EXTRA
                                       if os.path.exists(os.path.join(self.source, path))]))
        listed = {p.path for _, rows in groups for p, _ in rows}
        for name in sorted(os.listdir(os.path.join(self.source, "docs"))):
            if name.endswith(".md") and f"docs/{name}" not in listed | {INDEX}:
                self.error(self.index, 1, f"docs/{name} has no row in a table here")
        return groups

    @staticmethod
    def first_link(cell):
        for token in cell.children or []:
            if token.type == "link_open" and token.attrs["href"].endswith(".md"):
                return token.attrs["href"]
        return None

    # ---- one page ----

    def render(self, page):
        tokens = self.markdown.parse(self.read(page.path))
        out, line = [], 1
        for i, token in enumerate(tokens):
            line = token.map[0] + 1 if token.map else line
            if token.type == "heading_open":
                self.heading(page, token, tokens[i + 1])
            elif token.type == "inline":
                self.inline(page, token, line)
            elif token.type == "html_block":
                token.content = self.raw(page, line, token.content)
            if page.sections and token.type in ("inline", "fence") and tokens[i - 1].type != "heading_open":
                text = plain(token) if token.type == "inline" else token.content
                page.sections[-1][2].append(text)
            out.append(self.token(page, token, line))
        page.body = "".join(out)

    def token(self, page, token, line):
        """HTML of one token; those without a rule of their own are the library's."""
        if token.type == "fence":
            words = token.info.split()
            if not words or not self.highlighter.known(words[0]):
                self.error(page, line, f"a listing of unknown language '{token.info}'")
                return ""
            return self.highlighter.html(words[0], token.content)
        if token.type == "code_block":
            self.error(page, line, "an indented listing: write it between lines of ``` with its language")
            return ""
        if token.type == "table_open":
            return '<div class="wide" tabindex="0"><table>\n'
        if token.type == "table_close":
            return "</table></div>\n"
        rendered = self.markdown.renderer.render([token], self.markdown.options, {})
        if token.type == "heading_close" and token.tag != "h1":
            anchor = page.headings[-1][1]
            rendered = f' <a class="anchor" href="#{anchor}" aria-label="link to here">#</a>{rendered}'
        return rendered

    def heading(self, page, token, inline):
        title = plain(inline)
        anchor = slug(title, page.anchors)
        token.attrSet("id", anchor)
        page.headings.append((token.tag, anchor, title))
        if token.tag == "h1":
            page.title = title
        if token.tag in SECTIONS:
            page.sections.append((anchor, title, []))

    def inline(self, page, token, line):
        for child in token.children or []:
            if child.type == "link_open":
                child.attrSet("href", self.target(page, line, child.attrs["href"]))
            elif child.type == "image":
                child.attrSet("src", self.target(page, line, child.attrs["src"]))
            elif child.type == "html_inline":
                child.content = self.raw(page, line, child.content)

    def raw(self, page, line, text):
        return re.sub(r'(src|href)="([^"]*)"',
                      lambda m: f'{m[1]}="{html.escape(self.target(page, line, m[2]))}"', text)

    def target(self, page, line, link):
        """Where a link of the document leads in the site."""
        if re.match(r"[a-z]+:", link):
            return link
        path, _, anchor = link.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.path), path)) if path else page.path
        if path in self.pages:
            self.links.append((page, line, self.pages[path], anchor))
            return f"{self.pages[path].name}.html" + (f"#{anchor}" if anchor else "")
        full = os.path.join(self.source, path)
        if path.startswith("..") or not os.path.isfile(full):
            self.error(page, line, f"the link '{link}' leads nowhere")
            return ""
        self.copies[f"files/{path}"] = full
        return f"files/{path}"

    # ---- all of them ----

    def check_anchors(self):
        for page, line, target, anchor in self.links:
            if anchor and anchor not in target.anchors:
                self.error(page, line, f"{target.path} has no anchor '#{anchor}'")

    def navigation_html(self, current):
        out = []
        for group, rows in [("", [(self.index, "")]), *self.groups]:
            out.append(f"<h2>{html.escape(group)}</h2>\n" if group else "")
            out.append("<ul>\n")
            for page, about in rows:
                here = ' aria-current="page"' if page is current else ""
                hint = f' title="{html.escape(about)}"' if about else ""
                out.append(f'<li><a href="{page.name}.html"{here}{hint}>{html.escape(page.title)}</a>')
                inner = [(a, t) for tag, a, t in page.headings if tag == "h2"]
                if page is current and inner:
                    items = "".join(f'<li><a href="#{a}">{html.escape(t)}</a></li>\n' for a, t in inner)
                    out.append(f"\n<ul>\n{items}</ul>\n")
                out.append("</li>\n")
            out.append("</ul>\n")
        return "".join(out)

    def neighbours_html(self, current):
        pages = list(self.pages.values())
        at = pages.index(current)
        out = ""
        if at > 0:
            page = pages[at - 1]
            out += f'<a rel="prev" href="{page.name}.html">← {html.escape(page.title)}</a>'
        if at + 1 < len(pages):
            page = pages[at + 1]
            out += f'<a rel="next" href="{page.name}.html">{html.escape(page.title)} →</a>'
        return out

    def search_index(self):
        rows = [[f"{p.name}.html#{anchor}", p.title, title, re.sub(r"\s+", " ", " ".join(text))]
                for p in self.pages.values() for anchor, title, text in p.sections]
        return "const SECTIONS = " + json.dumps(rows, ensure_ascii=False, indent=0) + ";\n"

    def build(self, out):
        for page in self.pages.values():
            if os.path.exists(os.path.join(self.source, page.path)):
                self.render(page)
            else:
                self.error(self.index, 1, f"{page.path} is not there")
        self.check_anchors()
        if self.errors:
            return
        version = re.search(r"project\(spikec VERSION ([0-9.]+)", self.read("CMakeLists.txt"))[1]
        with open(os.path.join(HERE, "page.html"), encoding="utf-8") as f:
            frame = f.read()
        files = {"sections.js": self.search_index()}
        for page in self.pages.values():
            parts = {"title": html.escape(page.title), "navigation": self.navigation_html(page),
                     "body": page.body, "neighbours": self.neighbours_html(page), "version": version}
            files[f"{page.name}.html"] = re.sub(r"\{\{(\w+)\}\}", lambda m: parts[m[1]], frame)
        self.write(out, files)

    def write(self, out, files):
        """All anew, so that no page of an older build is left; only over a folder that is a site."""
        if os.path.isdir(out) and os.listdir(out) and not os.path.isfile(os.path.join(out, "sections.js")):
            self.errors.append(f"{out} is not empty and no site")
            return
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        for name, text in files.items():
            with open(os.path.join(out, name), "w", encoding="utf-8", newline="\n") as f:
                f.write(text)
        for name in ASSETS:
            shutil.copyfile(os.path.join(HERE, name), os.path.join(out, name))
        for name, path in self.copies.items():
            os.makedirs(os.path.dirname(os.path.join(out, name)), exist_ok=True)
            shutil.copyfile(path, os.path.join(out, name))


def main():
    tree = os.path.dirname(os.path.dirname(HERE))
    parser = argparse.ArgumentParser(description="documentation as a site of static pages")
    parser.add_argument("--source", default=tree, help="the source tree")
    parser.add_argument("-o", "--output", default=os.path.join(tree, "build", "site"), help="the folder")
    arguments = parser.parse_args()
    site = Site(arguments.source)
    site.build(arguments.output)
    for text in site.errors:
        print(text, file=sys.stderr)
    if site.errors:
        return 1
    print(f"{len(site.pages)} pages, {len(site.links)} links between them: "
          f"{os.path.join(arguments.output, 'index.html')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
