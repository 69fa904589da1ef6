"""What is protected, how it is written, and that it comes out where and as it went in."""

import random
import re

import pytest

from bpe.errors import UserError
from nmt.text.protection import CLASSES, PROTECTED_WORD, Patterns, find_parts, is_protected, put_back, take_out
from nmt.text.tokenization import clean, make_tokenizer


def moses(language, *names, normalize="none"):
    pytest.importorskip("sacremoses")
    return make_tokenizer("moses", language, names, normalize=normalize)


def protected(line, *names):
    patterns = Patterns(names)
    return [line[start:end] for start, end in patterns.spans(line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Open {name}, {0} and {}.", ["{name}", "{0}", "{}"]),
        ("{{ name }} {{x}} { x } ${name} #{name}", ["{{ name }}", "{{x}}", "{ x }", "${name}", "#{name}"]),
        ("{user.name} {0:.2f} {when, date, short} {a!r}", ["{user.name}", "{0:.2f}", "{when, date, short}", "{a!r}"]),
        ("%s, %d: %5.2f %-10s %ld %@ %%", ["%s", "%d", "%5.2f", "%-10s", "%ld", "%@", "%%"]),
        ("%(name)s %(n)03d %1$s %2$d", ["%(name)s", "%(n)03d", "%1$s", "%2$d"]),
        ("%s%s %dpx %count% %1 of %2", ["%s", "%s", "%d", "%count%", "%1", "%2"]),
        ("$(ARG1) $[officename]", ["$(ARG1)", "$[officename]"]),
        ("100% sure, 50%discount, 20 % des, the %change, $5, $USD, {see # below}, f(x)", []),
    ],
)
def test_placeholders(line, expected):
    assert protected(line, "placeholders") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("See https://a.org/b?c=d&e=%20#f, or http://x.y.", ["https://a.org/b?c=d&e=%20#f", "http://x.y"]),
        ("(www.a.org/b_(c)) [t](https://a.b/{id}/c)", ["www.a.org/b_(c)", "https://a.b/{id}/c"]),
        ("\u8bf7\u8bbf\u95eehttps://a.b/c\u3002 \u00abhttp://a.b\u00bb", ["http://a.b"]),
        ("mail Me.too+x@sub.example.co.uk.", ["Me.too+x@sub.example.co.uk"]),
        ("a @ b, @name, x@y, 3@4.5, wwww.", []),
    ],
)
def test_urls(line, expected):
    assert protected(line, "urls") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("<b>Bold</b><br/> <1>x</1>", ["<b>", "</b>", "<br/>", "<1>", "</1>"]),
        ("<ph name=\"x y\"/> <a href='u' id=z>", ['<ph name="x y"/>', "<a href='u' id=z>"]),
        ("a&nbsp;b &#160; &#xA0; &amp;", ["&nbsp;", "&#160;", "&#xA0;", "&amp;"]),
        ("x < y > z, a <- b, <see below>, AT&T; & Co;", []),
    ],
)
def test_tags(line, expected):
    assert protected(line, "tags") == expected


def test_all_and_expressions_of_the_user():
    assert protected("<b>{x}</b> http://a.b", "all") == ["<b>", "{x}", "</b>", "http://a.b"]
    assert protected("Order AB-12 and (?i)", r"[A-Z]+-\d+") == ["AB-12"]
    assert protected("aBc ABC", "(?i)abc", "placeholders") == ["aBc", "ABC"]
    assert protected("xyz", "xy", "xyz", "yz") == ["xyz"]


def test_wrong_expressions_are_named():
    with pytest.raises(UserError, match=r"prep.protect: invalid regular expression '\(\[a'"):
        Patterns(["urls", "([a"])
    with pytest.raises(UserError, match="'x\\*' matches the empty string"):
        Patterns(["x*"])


LINES = [
    "Open {name}.",
    'Say "{name}" please',
    "{a}/{b}",
    "<b>Bold</b>",
    "({count})",
    "{a}{b} {c}",
    "{name}: {n}% ({x}...) {y} !",
    "a&nbsp;b",
    "{x}",
    " {x}\u00a0y ",
    '<ph name="x y"/>text',
    "\u8bf7\u6253\u5f00{name}\u3002",
    "{{ \uff05 }} \uff05 {x}@@",
    "a \uffed b \uff5fc\uff60 {x}\uffed",
    "QPROTECTEDQ {x} QPROTECTED",
    "Mr. {x} e.g. {y}. Then {z}",
]


@pytest.mark.parametrize("kind", ["moses", "none"])
@pytest.mark.parametrize("language", ["en", "de", "fr", "cs", "zh", "fi"])
def test_protected_strings_come_back_where_and_as_they_were(kind, language):
    tokenizer = moses(language, "all") if kind == "moses" else make_tokenizer(kind, language, ("all",))
    for line in LINES:
        words = tokenizer.words(line)
        assert not any(any(character.isspace() for character in word) for word in words)
        if "@@" not in line or kind == "none":  # Moses parts the two
            assert tokenizer.text(words) == clean(line)


@pytest.mark.parametrize(
    ("language", "line"), [("fr", "Ouvrir l'{item} et d\u2019{x}."), ("en", "{name}'s file"), ("it", "dell'{x} e")]
)
def test_an_apostrophe_stays_with_what_it_belongs_to(language, line):
    tokenizer = moses(language, "placeholders", normalize="moses")
    assert tokenizer.text(tokenizer.words(line)) == line.replace("\u2019", "'")


def test_how_protected_words_are_written():
    words = moses("en", "all").words('({n}) <a b="c"> {x}{y}')
    assert words == ["(", "￭", "｟{n}｠", "￭", ")", '｟<a％0020b="c">｠', "｟{x}｠", "￭", "｟{y}｠"]
    assert [is_protected(word) for word in words[:3]] == [False, False, True]
    assert not is_protected("｟｠")


def test_any_sequence_of_words_is_a_line():
    tokenizer = moses("en", "all")
    words = ["￭", "｟{x}｠", "￭", "￭", "a", "｟", "｠", "｟％0020％00｠", "b", ",", "QPROTECTEDQ", "<unk>"]
    draw = random.Random(3)
    for _ in range(300):
        assert "\n" not in tokenizer.text(draw.choices(words, k=draw.randint(0, 8)))
    assert tokenizer.text(["a", "￭", "b"]) == "a b"


def test_other_lines_are_the_tokenizer_s_alone():
    line = 'He said: "It\'s 3.5 %" (e.g. Mr. Smith).'
    assert moses("en", "all").words(line) == moses("en").words(line)


@pytest.mark.parametrize("line", ["%s’QPROTECTEDQ\x00Q", "%s QPROTECTEDQ\rQ", "QPROTECTED%sQ", "QPROTECTEDQQ {x}"])
def test_words_like_the_stand_in_stay_text(line):
    tokenizer = moses("cs", "all")
    parts = find_parts(tokenizer.words(line))[1]
    assert [part.text for part in parts] == protected(line, "all")


def test_line_ends_inside_become_spaces_and_controls_go():
    between, parts = take_out("a {{\x0bx\u2028}}\x00, b", Patterns(["placeholders"]))
    assert put_back(between, parts) == "a {{ x }}, b"
    assert find_parts([parts[0].word])[1][0].text == "{{ x }}"


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        ("ab", 0),
        ("{{", 0),
        ("<a b=", 0),
        ("http://", 1),
        ("%%", 100_000),
        ("a.@b", 0),
        ("&a", 0),
        ("{a:", 0),
        ("w.", 0),
    ],
)
def test_long_lines_are_no_trap(unit, found):
    assert len(protected(unit * 100_000, "all")) == found


def test_the_glossary_expression_matches_protected_words():
    assert CLASSES.keys() == {"placeholders", "urls", "tags"}
    for word in make_tokenizer("none", "en", ("all",)).words(" ".join(LINES)):
        assert bool(re.fullmatch(PROTECTED_WORD, word)) == is_protected(word)
