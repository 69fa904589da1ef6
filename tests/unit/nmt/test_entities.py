import pytest

from nmt.prepare.entities import has_entity, unescaped


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("it &apos;s &quot; 5 &lt; 6 &amp; more", "it 's \" 5 < 6 & more"),
        ("&#124; &#91; &#93; &bar; &bra; &ket;", "| [ ] | [ ]"),
        ("caf&eacute;&nbsp;&#x201E;x&#8220;", "café\u00a0„x“"),
        ("&amp;lt;", "&lt;"),
        ("a&#10;b&#13;c", "a b c"),
        ("&#0;&#xD800;", "\ufffd\ufffd"),
    ],
)
def test_entities_become_characters_once(line, text):
    assert has_entity(line)
    assert unescaped(line) == text


@pytest.mark.parametrize("line", ["", "AT&T", "a & b;", "?x=1&copy=2", "&nothing;", "&;", "&#;", "&lt"])
def test_what_is_no_entity_stays(line):
    assert not has_entity(line)
    assert unescaped(line) == line
