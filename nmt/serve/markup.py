"""HTML as sentences to translate, and back: every tag, attribute and comment stays, inline ones with their words.

A block is what stands between two tags that are not inline. White space in it, line ends too, is one space, as browsers
show it. Scripts, styles, preformatted text and what says translate="no" are left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

from nmt.explain.positions import solid
from nmt.serve.placing import Element, Placing, escaped
from nmt.text.pipeline import TextPipeline
from nmt.translate.lines import Translation


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


INLINE = _tags(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small span strike "
    "strong sub sup time tt u var wbr"
)
"Tags that do not end a sentence."
KEPT_INLINE = _tags("code kbd samp var")
KEPT = _tags("pre script style textarea svg math template")
"Elements whose content is left as it is; so is that of INLINE ones in KEPT_INLINE, which stay inside their sentence."
VOID = _tags("area base br col embed hr img input link meta param source track wbr")
MAX_DEPTH = 40
"Inline elements inside one another; further ones are taken for tags without content."
RAW = frozenset(("script", "style"))
"Elements whose content knows no entities."


@dataclass
class Block:
    """One sentence or several, with inline elements."""

    root: Element
    line: str
    before: str
    after: str
    "White space around it."


class Html:
    """A text with markup. attention: whether it has inline elements."""

    def __init__(self, text: str, pipeline: TextPipeline) -> None:
        """pipeline: of the model that will translate it."""
        reader = _Reader()
        reader.feed(text)
        reader.close()
        reader.end_block()
        self._pipeline, self._parts = pipeline, reader.parts
        self._blocks = [part for part in self._parts if isinstance(part, Block)]

    @property
    def lines(self) -> list[str]:
        """The text of each block."""
        return [block.line for block in self._blocks]

    @property
    def attention(self) -> bool:
        """Whether any block has inline elements."""
        return any(block.root.children for block in self._blocks)

    def text(self, translations: Sequence[Translation]) -> str:
        """The document with a translation of each block."""
        given = iter(translations)
        return "".join(part if isinstance(part, str) else self._block(part, next(given)) for part in self._parts)

    def _block(self, block: Block, translation: Translation) -> str:
        if not block.root.children:
            inside = escaped(translation.text)
        else:
            inside = Placing(translation, self._pipeline, block.root.end).html(block.root)
        return block.before + inside + block.after


class _Reader(HTMLParser):
    """Cuts HTML into strings that stay and blocks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str | Block] = []
        self._stack: list[Element] = []
        "Of the block that has begun: the elements that are open, the block itself first."
        self._text: list[str] = []
        self._raw: list[str] = []
        "All of it as it is, for a block with nothing to translate."
        self._size = self._free = 0
        "Its characters that are no white space, and those of them that are not left as they are."
        self._keeping: tuple[str, int] | None = None
        "The tag whose content is left as it is, and how many of it are open."
        self._kept: list[str] = []
        self._begin_block()

    def _begin_block(self) -> None:
        self._stack, self._text, self._raw = [Element("", 0)], [], []
        self._size = self._free = 0

    def end_block(self) -> None:
        """What has come since the last block is one, where there is anything to translate in it."""
        while self._keeping:
            self._end_kept("")
        for element in self._stack:
            element.end, element.close = self._size, ""
        root, text = self._stack[0], "".join(self._text)
        line = " ".join(text.split())
        if self._free:
            before, after = (text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :])
            self.parts.append(Block(root, line, before, after))
        else:
            self.parts.append("".join(self._raw))
        self._begin_block()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A start tag, or one that is both."""
        raw = self.get_starttag_text() or f"<{tag}>"
        if self._keeping:
            name, depth = self._keeping
            self._keeping = (name, depth + (tag == name and tag not in VOID and not raw.endswith("/>")))
            self._kept.append(raw)
            return
        values = dict(attrs)
        untouched = values.get("translate") == "no" or "notranslate" in (values.get("class") or "").split()
        closed = tag in VOID or raw.endswith("/>")
        if tag not in INLINE:
            self.end_block()
            self.parts.append(raw)
            if not closed and (untouched or tag in KEPT):
                self._keeping = (tag, 1)
            return
        element = self._point(raw)
        if not closed and len(self._stack) < MAX_DEPTH:
            element.name = tag
            element.close = f"</{raw[1 : 1 + len(tag)]}>"
            self._stack.append(element)
            if untouched or tag in KEPT_INLINE:
                self._keeping = (tag, 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that ends in />."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """An end tag; one without its start stays where it stands."""
        raw = f"</{tag}>"
        if self._keeping:
            name, depth = self._keeping
            if tag != name or depth > 1:
                self._kept.append(raw)
                self._keeping = (name, depth - (tag == name))
            else:
                self._end_kept(raw)
        elif tag not in INLINE:
            self.end_block()
            self.parts.append(raw)
        elif any(element.name == tag for element in self._stack):
            self._raw.append(raw)
            while self._close_last() != tag:
                pass
        else:
            self._point(raw)

    def _close_last(self) -> str:
        element = self._stack.pop()
        element.end = self._size
        return element.name

    def _end_kept(self, raw: str) -> None:
        assert self._keeping is not None
        name, _ = self._keeping
        content, self._kept, self._keeping = "".join(self._kept), [], None
        if len(self._stack) > 1 and self._stack[-1].name == name:
            self._stack[-1].kept = content
            self._raw += [content, raw]
            if not raw:
                self._stack[-1].close = ""
            self._close_last()
        else:
            self.parts += [content, raw]

    def _point(self, raw: str) -> Element:
        before = self._text[-1] if self._text else ""
        element = Element(raw, self._size, end=self._size, touches=not before[-1:].isspace() and before != "")
        self._stack[-1].children.append(element)
        self._raw.append(raw)
        return element

    def handle_data(self, data: str) -> None:
        """Text, its entities read."""
        if self._keeping:
            name, _ = self._keeping
            self._kept.append(data if name in RAW else escaped(data))
            if self._stack[-1].name != name:
                return
        else:
            self._free += solid(data)
            self._raw.append(escaped(data))
        self._text.append(data)
        self._size += solid(data)

    def _aside(self, raw: str) -> None:
        if self._keeping:
            self._kept.append(raw)
        else:
            self._point(raw)

    def handle_comment(self, data: str) -> None:
        """<!-- ... -->."""
        self._aside(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        """<!DOCTYPE ...>."""
        self._aside(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        """<? ... >."""
        self._aside(f"<?{data}>")

    def unknown_decl(self, data: str) -> None:
        """<![ ... ]>."""
        self._aside(f"<![{data}]>")
