"""The pages of docs/methods, as they are: their title, their text as HTML, their assumptions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Beside the packages, in a checkout as in the image: these pages exist once.
FOLDER = Path(__file__).parents[2] / "docs" / "methods"
RATINGS = ("red", "amber", "green")

_ASSUMPTION = re.compile(r"^\| (.+?) \| (red|amber|green) \|$", re.MULTILINE)
_SIBLING = re.compile(r"([a-z0-9-]+)\.md")


@dataclass(frozen=True)
class MethodPage:
    """`html` is the text below the title; `assumptions` are (text, rating) in the page's order."""

    name: str
    title: str
    html: str
    assumptions: tuple[tuple[str, str], ...]


@cache
def sources() -> Mapping[str, str]:
    """The pages as they were written, by name; read once. An installation without them is broken."""
    found = {path.stem: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.md"))}
    assert found, f"the method pages belong in {FOLDER}"
    return found


@cache
def method_page(name: str, language: str) -> MethodPage:
    """One of `sources`, with links that keep the reader's language. Raises KeyError for another name: no path is ever opened."""
    text = sources()[name]
    title, html = rendered(text, language)
    return MethodPage(name, title, html, tuple(_ASSUMPTION.findall(text)))


def rendered(text: str, language: str) -> tuple[str, str]:
    """(title, HTML of what is below it) of a page that begins with its title. HTML in the page itself is shown, not used."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    title, tokens = tokens[1].content.replace("`", ""), tokens[3:]
    for token in tokens:
        if token.type in ("th_open", "td_open"):
            _cell(token)
        if token.children:
            token.children = _links(token.children, language)
            if token.content in RATINGS:
                token.children = [Token("html_inline", "", 0, content=f'<span class="{token.content}">{token.content}</span>')]
    return title, parser.renderer.render(_scrolling(tokens), parser.options, {})


def _cell(token: Token) -> None:
    """What an alignment is written as, a style, the page's policy forbids: a class says the same."""
    right = "right" in str(token.attrs.pop("style", ""))
    if right:
        token.attrSet("class", "num")
    if token.type == "th_open":
        token.attrSet("scope", "col")


def _links(children: Sequence[Token], language: str) -> list[Token]:
    """Links to other method pages lead there; links to what is not served become their text."""
    kept: list[Token] = []
    open_links: list[bool] = []
    for child in children:
        if child.type == "link_open":
            sibling = _SIBLING.fullmatch(str(child.attrs.get("href", "")))
            open_links.append(sibling is not None)
            if sibling is not None:
                child.attrSet("href", f"/methods/{sibling[1]}?lang={language}")
                kept.append(child)
        elif child.type == "link_close":
            if open_links.pop():
                kept.append(child)
        else:
            kept.append(child)
    return kept


def _scrolling(tokens: Sequence[Token]) -> list[Token]:
    """A wide table scrolls by itself, not the page with it."""
    made: list[Token] = []
    for token in tokens:
        if token.type == "table_open":
            made.append(Token("html_block", "", 0, content='<div class="scroll">\n'))
        made.append(token)
        if token.type == "table_close":
            made.append(Token("html_block", "", 0, content="</div>\n"))
    return made
