"""The page in a real Chromium, where one is installed: what people see, by pointer, keyboard and screen reader."""

from __future__ import annotations

import json
import re
import signal
import urllib.request

import pytest

from nmt.cli.serve import main
from nmt.tying import Tying
from tests.chromium import Chromium, find_chromium, until
from tests.forked import Forked
from tests.tiny_model import make_model_folder

PATH = find_chromium()
SIZES = [(1200, False), (1200, True), (390, False), (390, True)]
NEW = "document.querySelector('#translation').classList.contains('old') === false"
TEXT = "document.querySelector('#text')"

pytestmark = pytest.mark.skipif(PATH is None, reason="needs Chromium; $CHROMIUM may name it")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a server with a model of each tying mode, and one that translates back."""
    folder = tmp_path_factory.mktemp("served")
    modes = [tying.value for tying in Tying]
    models = [f"{mode}={make_model_folder(folder / mode, tying=mode)}" for mode in modes]
    text = make_model_folder(folder / "back", seed=2) / "text.json"
    options = json.loads(text.read_text(encoding="utf-8"))
    text.write_text(json.dumps(options | {"source": "de", "target": "en"}), encoding="utf-8")
    server = Forked(main, ["--model", *models, f"back={text.parent}", "--port", "0"])
    said = server.stderr.readline()
    found = re.search(r"http://[\d.]+:\d+", said)
    assert found, said
    yield found[0]
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
    assert server.stderr.read() == ""


@pytest.fixture(scope="module")
def chromium():
    browser = Chromium(PATH)
    yield browser
    browser.close()


@pytest.fixture
def page(chromium, address):
    """The page, opened anew; it complains of nothing and asks nobody else."""
    chromium.events.clear()
    chromium.open(address)
    chromium.until("document.querySelector('#target').options.length === 1")
    yield chromium
    assert chromium.complaints() == []
    assert all(url.startswith((address, "blob:", "data:")) for url in chromium.requests())


def answered(address, path, **fields):
    body = json.dumps({"source": "en", "target": "de"} | fields).encode()
    request = urllib.request.Request(address + path, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def write(page, text):
    page.run(f"{TEXT}.focus()")
    page.write(text)
    page.until(f"{NEW} && {TEXT}.value === {json.dumps(text)} && document.querySelector('#state').textContent === ''")


def shown(page, selector="#translation"):
    return page.run(f"document.querySelector('{selector}').textContent")


def each(page, selector, what, condition="true"):
    """The value of an expression of `one` for each element that fulfils a condition."""
    return page.run(
        f"[...document.querySelectorAll({json.dumps(selector)})].filter((one) => {condition}).map((one) => {what})"
    )


def compared(page):
    """Until every card has its translation."""
    page.until("[...document.querySelectorAll('#cards .seconds')].every((one) => one.textContent)")


def open_part(page, name):
    page.run(f"document.querySelector('#{name} summary').focus()")
    page.press("Enter")
    page.until(f"document.querySelector('#{name}').open")


def test_it_translates_as_one_types(page, address):
    write(page, "ab cd.\n\nef")
    assert shown(page) == answered(address, "/translate", q="ab cd.\n\nef")["translatedText"]
    assert shown(page, "#count") == "10 of 20000 characters"
    page.run("document.querySelector('#clear').focus()")
    page.press("Enter")
    page.until(f"{NEW} && document.querySelector('#translation').textContent === ''")
    assert page.run("document.querySelector('#copy').disabled && document.activeElement.id === 'text'")


def test_later_requests_cancel_earlier_ones(page, address):
    hold = "window.asked = []; window.own = fetch; window.fetch = (path, options) => { asked.push(options.signal); "
    page.run(hold + "return asked.length === 1 ? new Promise((_, no) => options.signal.addEventListener('abort', "
             "() => no(options.signal.reason))) : own(path, options); }")  # fmt: skip
    page.run(f"{TEXT}.focus()")
    page.write("ab")
    page.until("asked.length === 1")
    page.write(" cd")
    page.until(f"{NEW} && asked.length === 2")
    assert page.run("asked.map((one) => one.aborted)") == [True, False]
    assert shown(page) == answered(address, "/translate", q="ab cd")["translatedText"]


@pytest.mark.parametrize("way", ["pointer", "keys"])
def test_a_word_shows_where_it_came_from(page, address, way):
    write(page, "ab 😀 cd.")
    found = answered(address, "/explain", q="ab 😀 cd.")
    if way == "pointer":
        page.point("#translation .word:nth-of-type(2)")
    else:
        page.run("document.querySelector('#translation').focus()")
        page.press("ArrowRight")
        page.press("ArrowRight")
    word = found["words"][1]
    page.until(f"document.querySelector('#word').textContent.startsWith({json.dumps('“' + word['text'] + '”: ')})")
    lit = each(page, "#marks mark", "[one.textContent, one.className]", "one.className")
    expected = {number: f"a{min(5, 1 + int(share * 5))}" for number, share in word["attention"]}
    assert lit == [[found["sourceWords"][number]["text"], expected[number]] for number in sorted(expected)]
    assert each(page, "#translation .here", "one.textContent") == [word["text"]]
    assert each(page, "#translation .word", "one.classList[1]") == [f"d{word['doubt']}" for word in found["words"]]
    if way == "keys":
        page.press("Escape")
        assert page.run("document.querySelectorAll('#marks mark[class^=a], #translation .here').length") == 0


@pytest.mark.parametrize("way", ["pointer", "keys"])
def test_a_source_word_shows_what_became_of_it(page, address, way):
    write(page, "ab cd.")
    found = answered(address, "/explain", q="ab cd.")
    if way == "pointer":
        page.point("#marks mark")
    else:
        page.press("Home")
    page.until("document.querySelector('#marks mark.a5') !== null")
    lit = each(page, "#translation .word", r"/\ba\d/.test(one.className)")
    assert lit == [0 in dict(word["attention"]) for word in found["words"]]
    assert shown(page, "#word").startswith("“ab”: ")


def test_the_marks_lie_under_their_words(page):
    """A textarea cannot be asked where its words stand, but one as large says where they may be at most."""
    write(page, "ab cd " * 300)
    same = "((one) => [one.clientWidth, one.scrollHeight, getComputedStyle(one).font])"
    assert page.run(f"{same}(document.querySelector('#marks'))") == page.run(f"{same}({TEXT})")
    page.run(f"{TEXT}.scrollTop = 100")
    page.until("document.querySelector('#marks').scrollTop === 100")


def test_shades_can_be_left_out(page):
    write(page, "ab cd")
    page.point("#shade", click=True)
    ground = "getComputedStyle(one).backgroundColor"
    until(
        lambda: set(each(page, "#translation .word", ground)) == {"rgba(0, 0, 0, 0)"},
        lambda: f"no shades: {each(page, '#translation .word', ground)}",
    )
    assert page.run("document.querySelector('#levels').hidden")


def test_alternatives(page, address):
    write(page, "ab cd")
    open_part(page, "more")
    page.until("document.querySelectorAll('#alternatives li').length")
    found = answered(address, "/translate", q="ab cd", alternatives=2)["alternatives"]
    assert each(page, "#alternatives li", "one.textContent") == found


def test_word_by_word_as_a_table(page, address):
    write(page, "ab cd")
    open_part(page, "by-word")
    page.until("document.querySelectorAll('#rows tr').length")
    found = answered(address, "/explain", q="ab cd")["words"]
    assert each(page, "#rows th", "one.textContent") == [word["text"] for word in found]


def test_models_side_by_side(page, address):
    write(page, "ab cd")
    open_part(page, "compare")
    compared(page)
    with urllib.request.urlopen(address + "/models", timeout=60) as answer:
        models = {model["name"]: model for model in json.loads(answer.read()) if model["source"] == "en"}
    texts = {name: answered(address, "/translate", q="ab cd", model=name)["translatedText"] for name in models}
    parts = "['h3', 'output', '.note'].map((name) => one.querySelector(name).innerText)"
    cards = each(page, "#cards article", parts)
    assert [(name, text) for name, text, _ in cards] == list(texts.items())
    assert len({model["parameters"] for model in models.values()}) == 3
    for name, _, note in cards:
        tying, sizes = note.split("\n")
        assert tying == f"{models[name]['tying']} tying"
        found = re.fullmatch(r"([\d.]+)K? parameters, ([\d.]+)\sMB, \d+\.\d\d\ss", sizes)
        assert found, sizes
        assert float(found[2]) == pytest.approx(models[name]["bytes"] / 1e6, rel=0.01)
        assert float(found[1]) * 1000 == pytest.approx(models[name]["parameters"], rel=0.01)
    page.run("document.querySelector('#model').value = 'untied'")
    page.run("document.querySelector('#model').dispatchEvent(new Event('change'))")
    page.until(f"{NEW} && document.querySelector('#translation').textContent === {json.dumps(texts['untied'])}")


def test_languages_are_swapped_with_their_texts(page, address):
    write(page, "ab cd")
    there = shown(page)
    page.point("#swap", click=True)
    page.until(f"{NEW} && {TEXT}.value === {json.dumps(there)} && document.querySelector('#source').value === 'de'")
    assert page.run("document.querySelector('#target').value") == "en"
    assert page.run("document.querySelector('#compare').hidden")
    assert shown(page) == answered(address, "/translate", q=there, source="de", target="en")["translatedText"]


def test_copying_and_saving(page, tmp_path):
    write(page, "ab cd")
    page.allow("clipboardReadWrite", "clipboardSanitizedWrite")
    page.point("#copy", click=True)
    page.until("document.querySelector('#state').textContent === 'Copied'")
    assert page.run("navigator.clipboard.readText()") == shown(page)
    page.download_to(tmp_path)
    page.point("#save", click=True)
    saved = tmp_path / "translation.de.txt"
    until(saved.exists, lambda: f"{saved} is there")
    assert saved.read_text(encoding="utf-8") == shown(page) + "\n"


def test_what_is_wrong_is_said(page):
    page.run(f"{TEXT}.focus()")
    page.write("a" * 20_001)
    page.until("document.querySelector('#state').className === 'wrong'")
    assert "exceeds text limit" in shown(page, "#state")
    assert all("400 (Bad Request)" in text for text in page.complaints())
    page.events.clear()


def test_the_keyboard_reaches_everything(page):
    write(page, "ab cd")
    reached = []
    for _ in range(14):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.parentElement.id"))
    order = ["clear", "translation", "copy", "save", "shade", "compare", "more", "by-word"]
    assert [name for name in dict.fromkeys(reached) if name in order] == order
    assert {"source", "target", "model"} <= set(reached)
    page.press("Tab")
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_a_screen_reader_is_told_names_and_changes(page):
    write(page, "ab cd")
    open_part(page, "compare")
    names = page.names()
    for role, name in (
        ("combobox", "From"),
        ("combobox", "To"),
        ("combobox", "Model"),
        ("button", "Swap languages"),
        ("textbox", "Text"),
        ("status", "Translation"),
        ("checkbox", "Shade words by probability"),
        ("button", "Copy"),
        ("button", "Download"),
        ("article", "untied"),
        ("heading", "Translate"),
    ):
        assert (role, name) in names
    live = each(page, "#translation, #state, #word", "one.getAttribute('aria-live') || one.getAttribute('role')")
    assert live == ["polite", "status", "status"]
    assert page.run(f"[{TEXT}.lang, document.querySelector('#translation').lang]") == ["en", "de"]


@pytest.mark.parametrize(("width", "dark"), SIZES)
def test_it_fits_and_can_be_read(chromium, address, width, dark):
    chromium.open(address, width=width, dark=dark)
    chromium.until("document.querySelector('#target').options.length === 1")
    write(chromium, "ab cd. " * 6 + "x" * 70)
    for name in ("compare", "more", "by-word"):
        open_part(chromium, name)
    chromium.until("document.querySelectorAll('#rows tr').length")
    compared(chromium)
    assert chromium.run("document.documentElement.scrollWidth") <= width
    assert chromium.run(CONTRAST) == []


CONTRAST = """(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, below) => [0, 1, 2].map((n) => top[n] * (top[3] ?? 1) + below[n] * (1 - (top[3] ?? 1)));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    if (!one) return [255, 255, 255];
    const own = parse(getComputedStyle(one).backgroundColor);
    return own.length === 4 && !own[3] ? ground(one.parentElement) : over(own, ground(one.parentElement));
  };
  const bad = [];
  for (const one of document.querySelectorAll('main *')) {
    const direct = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!direct || one.closest('#marks, :disabled, noscript, option') || !one.getClientRects().length) continue;
    const [first, second] = [light(ground(one)), light(over(parse(getComputedStyle(one).color), ground(one)))];
    const ratio = (Math.max(first, second) + 0.05) / (Math.min(first, second) + 0.05);
    if (ratio < 4.5) bad.push([one.className || one.tagName, one.textContent.slice(0, 20), ratio]);
  }
  return bad;
})()"""
"Texts whose contrast with their ground is below 4.5 (WCAG 2.2, 1.4.3)."
