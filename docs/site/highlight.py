"""Highlighting of listings by Pygments. Its lexers for .spk and .sir are made from the grammars of
editors/vscode, so that the pages and the editors know the same words."""
import html
import json
import os
import re

from pygments import lex
from pygments.lexer import RegexLexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES, Comment, Keyword, Name, Number, Operator, String, Text

# Beginnings of TextMate scopes and what Pygments calls them.
SCOPES = (
    ("comment", Comment), ("string", String), ("constant.character", String.Escape),
    ("constant.numeric", Number), ("constant.language", Keyword.Constant),
    ("keyword.operator", Operator), ("keyword", Keyword), ("storage", Keyword.Declaration),
    ("entity.name.function", Name.Function), ("support.function", Name.Function),
    ("support.type", Keyword.Type), ("variable", Name.Variable),
)
# Languages of listings: what GitHub and this page call them; None is text without colours.
LANGUAGES = {
    "console": "console", "sh": "bash", "c": "c", "python": "python", "json": "json", "yaml": "yaml",
    "text": None, "formula": None, "grammar": "ebnf",
}
OWN = ("spk", "sir")


def _token(scope):
    for beginning, token in SCOPES:
        if scope.startswith(beginning):
            return token
    raise ValueError(f"no colour for the scope '{scope}'")


def _rules(patterns, states):
    """Rules of RegexLexer for TextMate patterns; a pattern with begin and end is a state."""
    rules = []
    for pattern in patterns:
        token = _token(pattern["name"])
        if "match" in pattern:
            rules.append((pattern["match"], token))
            continue
        state = f"s{len(states)}"
        states[state] = []
        states[state] = [*_rules(pattern.get("patterns", []), states), (pattern["end"], token, "#pop"),
                         (r"[^\n]", token), (r"\n", Text, "#pop")]
        rules.append((pattern["begin"], token, state))
    return rules


def _own_lexer(root, language):
    path = os.path.join(root, "editors", "vscode", "syntaxes", f"{language}.tmLanguage.json")
    with open(path, encoding="utf-8") as f:
        grammar = json.load(f)
    states = {"root": []}
    states["root"] = [*_rules(grammar["patterns"], states), (r"\w+", Text), (r"\s+", Text), (r".", Text)]
    return type(f"{language.title()}Lexer", (RegexLexer,),
                {"name": language, "flags": re.MULTILINE, "tokens": states})()


class Highlighter:
    def __init__(self, root):
        self.lexers = {language: _own_lexer(root, language) for language in OWN}
        for language, name in LANGUAGES.items():
            self.lexers[language] = get_lexer_by_name(name) if name else None
        for lexer in filter(None, self.lexers.values()):
            lexer.stripnl = False

    def known(self, language):
        return language in self.lexers

    def html(self, language, text):
        """The listing as <pre> with a <span class> for each token."""
        lexer = self.lexers[language]
        if lexer is None:
            body = html.escape(text)
        else:
            body = "".join(self._span(token, value) for token, value in lex(text, lexer))
        return f'<pre class="listing {language}" tabindex="0"><code>{body}</code></pre>\n'

    @staticmethod
    def _span(token, value):
        while token not in STANDARD_TYPES:
            token = token.parent
        name = STANDARD_TYPES[token]
        text = html.escape(value)
        return f'<span class="{name}">{text}</span>' if name and value.strip() else text
