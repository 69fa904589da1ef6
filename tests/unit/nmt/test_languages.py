"""What tags mean, however people write them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from sacremoses.corpus import NonbreakingPrefixes

from bpe.errors import UserError
from nmt.text.languages import SCRIPTS, among, code_of, is_english, literal_code, read_tag
from nmt.text.reversible import ELIDING
from nmt.text.sentences import ORDINALS

SAME = [
    ("fr", "fra fre FR fr_Latn fra_Latn"),
    ("de", "deu ger deu_Latn"),
    ("zh", "zho chi cmn ZH"),
    ("zh-Hans", "zho_Hans zho-hans cmn_Hans"),
    ("zh-Hans-CN", "zh_Hans_CN zho-Hans-cn"),
    ("zh-Hant", "zho_Hant"),
    ("ja", "jpn jpn_Jpan JA"),
    ("th", "tha tha_Thai"),
    ("es-419", "spa_419 ES-419"),
    ("sr-Latn", "sr@latin srp_Latn sr_latn sh"),
    ("sr-Cyrl", "srp_Cyrl sr@cyrillic"),
    ("en", "EN eng en_Latn"),
    ("pt-BR", "pt_BR por_BR pt_br"),
    ("nb", "nob nob_Latn"),
    ("nn", "nno"),
    ("no", "nor"),
    ("ar", "ara arb arb_Arab"),
    ("arz", "ARZ"),
    ("arz-Arab", "arz_Arab"),
    ("et", "est ekk"),
    ("fa", "fas per pes"),
    ("ca-valencia", "ca@valencia"),
    ("de-DE", "de_DE@euro"),
    ("he", "iw heb"),
]


def test_shortest_tags_need_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = ("de", "en", "fr", *SCRIPTS)
    wanted = [read_tag(tag) for tag in tags]
    monkeypatch.setitem(sys.modules, "langcodes", None)
    read_tag.cache_clear()
    for tag, known in zip(tags, wanted, strict=True):
        found = read_tag(tag)
        assert found == (known if tag in SCRIPTS else replace(known, script=""))
    with pytest.raises(UserError, match=r"reading the names of languages needs the package langcodes .*pip install"):
        read_tag("deu")
    read_tag.cache_clear()


@pytest.mark.parametrize(("name", "tags"), SAME)
def test_names_of_one_language_mean_the_same(name: str, tags: str) -> None:
    for tag in (name, *tags.split()):
        found = read_tag(tag)
        assert (found.tag, found.name, found.known) == (tag, name, True)
        assert found.code == name.split("-")[0]
    assert str(read_tag(name)) == name
    assert str(read_tag(tags.split()[0])) == f"{tags.split()[0]} ({name})"


def test_scripts_are_those_of_the_tag_else_the_usual_ones() -> None:
    scripts = {"zh": "Hans", "zh-TW": "Hant", "yue": "Hant", "jpn": "Jpan", "tha": "Thai", "lo": "Laoo", "km": "Khmr"}
    scripts |= {"mya_Mymr": "Mymr", "shn_Mymr": "Mymr", "dzo": "Tibt", "ko": "Kore", "sr": "Cyrl", "sr@latin": "Latn"}
    scripts |= {"ja-Latn": "Latn", "arz": "Arab", "fra": "Latn", "xx": ""}
    assert {tag: read_tag(tag).script for tag in scripts} == scripts


@pytest.mark.parametrize(
    ("tag", "code", "script"), [("xx", "xx", ""), ("x", "x", ""), ("", "", ""), ("zh_classical", "zh", "Hans")]
)
def test_what_is_not_known_stays_as_it_is(tag: str, code: str, script: str) -> None:
    found = read_tag(tag)
    assert (found.name, found.code, found.script, found.known) == (tag, code, script, False)
    assert str(found) == tag


def test_rules_are_found_under_the_codes_they_are_listed_by() -> None:
    for code in {*NonbreakingPrefixes().available_langs.values(), *ELIDING, *ORDINALS}:
        assert code_of(code) == literal_code(code) == code


def test_the_tag_that_is_meant_is_found_among_others() -> None:
    assert among("fra", ["en", "fr"]) == "fr"
    assert among("fr", ["fra", "fr"]) == "fr"
    assert among("FR", ["fra", "fr"]) is None
    assert among("zho_Hans", ["zh-Hans", "zh-Hant"]) == "zh-Hans"
    assert among("zh", ["zh-Hans", "zh-Hant", "zh-CN"]) == "zh-Hans"
    assert among("arz_Arab", ["ar", "arz"]) == "arz"
    assert among("pt", ["pt-BR", "pt-PT"]) is None
    assert among("xx", ["xy"]) is None
    assert [tag for tag in ("EN", "eng", "en_GB", "enm", "de", "xx") if is_english(tag)] == ["EN", "eng", "en_GB"]


def test_importing_the_toolkit_loads_no_language_data() -> None:
    program = "import nmt, nmt.text.languages, sys; print('langcodes' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
