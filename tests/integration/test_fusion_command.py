"""A language model beside a translation model: its text, nmt-translate, nmt-score, and what each wrong use prints."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from nmt.cli import evaluate, lm, prep, score, serve, train, translate
from nmt.config import SearchConfig
from nmt.data.corpus import PreparedCorpus
from nmt.data.running_text import RunningText
from nmt.text.vocabulary import Vocabulary
from nmt.translate import Translator
from tests.in_process import call
from tests.prep_corpus import write
from tests.tiny_corpus import make_prepared
from tests.tiny_model import make_language_folder, make_model_folder, make_model_of

pytestmark = pytest.mark.numeric
LINES = ["the cat sat.", "", "dogs, dogs", "one two. three.", "a"]
CPU = ["--device", "cpu", "--threads", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model/ and decoder/, which share a vocabulary, lm/ and rhn/ of their targets, other/ of others, and input."""
    place = tmp_path_factory.mktemp("fusion")
    make_model_folder(place / "model")
    make_model_folder(place / "decoder", tying="decoder", seed=2, architecture="transformer")
    make_language_folder(place / "lm", place / "model")
    make_language_folder(place / "rhn", place / "decoder", architecture="rhn", seed=3)
    shutil.copytree(place / "model", place / "pattern")
    vocabulary = Vocabulary.load(place / "pattern/vocabulary.json")
    replace(vocabulary, target_only=vocabulary.target_only[:-1]).save(place / "pattern/vocabulary.json")
    make_language_folder(place / "other", place / "pattern")
    (place / "input").write_text("".join(f"{line}\n" for line in LINES))
    return place


def output(folder: Path, *words: object, main: object = translate.main) -> str:
    data = (folder / "input").read_bytes() if main is translate.main else b""
    found = call(main, [*words, *CPU], folder, data)  # type: ignore[arg-type]
    assert found.returncode == 0, found.stderr.decode()
    return found.stdout.decode()


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("model", ["model", "decoder"])
def test_a_weight_of_zero_is_no_language_model_to_the_bit(model: str, folder: Path) -> None:
    for more in (["--json", "--n-best", "3"], ["--sampling", "--n-best", "2"], ["--ensemble", "decoder"]):
        alone = output(folder, "--model", model, *more)
        assert output(folder, "--model", model, *more, "--language-model", "lm", "--language-model-weight", 0) == alone
        assert output(folder, "--model", model, *more, "--language-model", "lm", "--language-model-weight", 2) != alone


@pytest.mark.parametrize("language", ["lm", "rhn"])
@pytest.mark.parametrize(
    "more", [[], ["--ensemble", "decoder"], ["--split-sentences"], ["--repetition-penalty", "1.2"]]
)
def test_what_is_printed_is_what_each_model_says(language: str, more: list[str], folder: Path, tmp_path: Path) -> None:
    if "--split-sentences" in more:
        pytest.importorskip("sacremoses")
    weighted = ["--language-model", language, "--language-model-weight", 0.7]
    (tmp_path / "found").write_text(output(folder, "--json", "--n-best", 2, "--quiet", *more, *weighted))
    ensemble = more if "--ensemble" in more else []
    given = ["--translations", tmp_path / "found", "--json", *ensemble, *weighted]
    scored = iter(records(output(folder, *given, main=score.main)))
    for record in records((tmp_path / "found").read_text()):
        for one in record["translations"]:  # type: ignore[attr-defined]
            expected = next(scored)
            for name in ("log_prob", "language_log_prob"):
                assert one[name] == pytest.approx(expected[name], abs=1e-3)
            length = len(one["log_probs"])
            if one["log_probs"] and "--repetition-penalty" not in more:
                assert one["score"] == pytest.approx(expected["score"] / length, abs=1e-3)  # type: ignore[operator]
                assert one["log_probs"] == pytest.approx(expected["pieces"], abs=1e-3)
    assert next(scored, None) is None


def test_the_language_model_reads_each_line_alone(folder: Path) -> None:
    given = ["--source", "input", "--target", "input", "--language-model", "lm", "--json"]
    scored = records(output(folder, *given, main=score.main))
    said = output(folder, "score", "--model", "lm", "--lines", "--each-line-alone", "input", main=lm.main)
    expected = [float(line.split("\t")[0]) for line in said.splitlines()]
    assert [each["language_log_prob"] for each in scored] == pytest.approx(expected, abs=1e-3)


def test_from_python_it_is_a_setting(folder: Path) -> None:
    search = SearchConfig(beam=3, language_model=str(folder / "lm"), language_model_weight=0.3, max_length_ratio=0.5)
    found = Translator.load(folder / "model", device="cpu", search=search).translate_detailed(LINES)
    printed = records(output(folder, "--json", "--language-model", "lm", "--language-model-weight", 0.3))
    for [one], record in zip(found, printed, strict=True):
        [expected] = record["translations"]  # type: ignore[misc]
        assert (one.text, one.log_prob, one.language_log_prob) == tuple(
            expected[name] for name in ("text", "log_prob", "language_log_prob")
        )
    assert Translator.load(folder / "model", device="cpu").translate_detailed(["a"])[0][0].language_log_prob is None


def test_a_line_in_parts_is_ranked_by_the_sums_of_both(folder: Path) -> None:
    search = SearchConfig(beam=1, language_model=str(folder / "lm"), language_model_weight=0.7, length_penalty=1.0)
    translator = Translator.load(folder / "model", device="cpu", search=search)
    [[one]] = translator.translate_detailed(["abc d " * 90])
    assert len(one.parts) > 1
    both = [sum(getattr(part, name) for part in one.parts) for name in ("log_prob", "language_log_prob")]
    assert (one.log_prob, one.language_log_prob) == pytest.approx(tuple(both))
    length = sum(len(part.pieces) + part.finished for part in one.parts)
    assert one.score == pytest.approx((both[0] + 0.7 * both[1]) / length)


def test_options_of_search_hold_beside_it(folder: Path, tmp_path: Path) -> None:
    weighted = ["--language-model", "lm", "--language-model-weight", 1]
    write(tmp_path / "prefixes", ["abc d", "", "", "x", ""])
    begun = output(folder, *weighted, "--prefixes", tmp_path / "prefixes").splitlines()
    assert begun[0].startswith("abc d")
    assert begun[3].startswith("x")
    one = output(folder, *weighted, "--beam", 1).splitlines()
    for number, line in enumerate(LINES):  # company changes no result
        found = call(translate.main, [*weighted, "--beam", 1, *CPU], folder, f"{line}\n".encode())
        assert found.stdout.decode().rstrip("\n") == one[number]
    rounded = output(folder, *weighted, "--precision", "int8", "--quiet")
    assert len(rounded.splitlines()) == len(LINES)
    page = folder / "page.html"
    output(folder, *weighted, "--explain", page)
    assert page.stat().st_size > 1000


RERANK = r"""
awk -F ' \\|\\|\\| ' '!($1 in best) || $3 > best[$1] { best[$1] = $3; text[$1] = $2 }
    END { for (n = 0; n in best; n++) print text[n] }'
"""
"As the documentation has it."


def test_an_n_best_list_is_ranked_anew(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(output(folder, "--n-best", 3))
    given = ["--source", "input", "--n-best", tmp_path / "list"]
    alone = output(folder, *given, main=score.main).splitlines()
    both = output(folder, *given, "--language-model", "lm", "--language-model-weight", 0.5, main=score.main)
    best: dict[str, tuple[float, str]] = {}
    for plain, line in zip(alone, both.splitlines(), strict=True):
        number, text, combined, log_prob, language = line.split(" ||| ")
        assert plain == f"{number} ||| {text} ||| {log_prob}"
        assert float(combined) == pytest.approx(float(log_prob) + 0.5 * float(language), abs=1e-5)
        if number not in best or float(combined) > best[number][0]:
            best[number] = (float(combined), text)
    ranked = subprocess.run(RERANK, input=both, shell=True, capture_output=True, text=True, check=True).stdout
    assert ranked.splitlines() == [text for _, text in best.values()]
    json_lines = records(output(folder, *given, "--language-model", "lm", "--json", "--normalize", main=score.main))
    for line in json_lines:
        total = line["log_prob"] + 0.1 * line["language_log_prob"]  # type: ignore[operator]
        assert line["score"] == pytest.approx(total / len(line["pieces"]), abs=1e-5)  # type: ignore[arg-type]
        assert sum(line["language_pieces"]) == pytest.approx(line["language_log_prob"])  # type: ignore[arg-type]
    (tmp_path / "target").write_text((folder / "input").read_text())
    pairs = ["--source", "input", "--target", tmp_path / "target", "--language-model", "lm"]
    assert [len(line.split("\t")) for line in output(folder, *pairs, main=score.main).splitlines()] == [3] * len(LINES)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """corpus/ of two languages, prepared/ of it, model/ and text/, prepared like it."""
    place = tmp_path_factory.mktemp("like")
    make_model_of(make_prepared(place), place / "model")
    assert call(lm.main, ["prep", "--like", "model", "--prepared", "text", "--quiet"], place).returncode == 0
    return place


def test_text_is_prepared_as_the_targets_were(prepared: Path) -> None:
    """The corpus's own target side: the files of the language are taken by themselves."""
    corpus, text = PreparedCorpus.open(prepared / "prepared"), RunningText.open(prepared / "text")
    view, vocabulary = corpus.vocabulary.target_view(shared=False), corpus.vocabulary
    for split in ("train", "valid", "test"):
        ids = corpus.split(split)
        rows = [
            [*text.vocabulary.rows_of(view.from_union(ids.target(number))).tolist(), 0] for number in range(len(ids))
        ]
        assert [row for line in rows for row in line] == text.split(split).tolist()
        names = [vocabulary.decode(ids.target(number).tolist()) for number in range(3)]
        assert [[text.vocabulary.name(row) for row in line[:-1]] for line in rows[:3]] == names
    assert text.vocabulary.size == view.size - 1  # <pad>
    again = call(lm.main, ["prep", "--like", "prepared", "--prepared", "text"], prepared)
    assert (again.returncode, again.stderr) == (0, b"")
    assert "the training text has no <unk>" not in again.stdout.decode()


def test_what_has_no_piece_is_unknown(prepared: Path, tmp_path: Path) -> None:
    """Trained, scored and drawn from, the text of such a model is as any other."""
    write(tmp_path / "train.txt", ["die Katze sieht Anna.", "eine Hündin 7"] * 30)
    words = ["prep", "--like", prepared / "model", "--prepared", "text", "--train", "train.txt", "--valid", "train.txt"]
    assert call(lm.main, [*words, "--quiet"], tmp_path).returncode == 0
    small = ["--set", "lm.embedding_size=6", "--set", "lm.streams=2", "--set", "lm.unroll=5", "--quiet"]
    learned = ["train", "--prepared", "text", "--model", "lm", "--max-epochs", "1", *small, *CPU]
    assert call(lm.main, learned, tmp_path).returncode == 0
    found = call(lm.main, ["score", "--model", "lm", "train.txt", *CPU], tmp_path)
    assert b"pieces predicted" in found.stdout
    drawn = call(lm.main, ["generate", "--model", "lm", "--prompts", "--words", "3", *CPU], tmp_path, b"die Katze\n")
    assert drawn.stdout.decode().startswith("die Katze")
    joined = ["--model", prepared / "model", "--language-model", "lm", "--language-model-weight", "0.5", *CPU]
    found = call(translate.main, joined, tmp_path, b"the cat sees Anna.\n\n")
    assert (found.returncode, found.stdout.count(b"\n")) == (0, 2)
    weights = call(translate.main, [*joined, "--language-model", "lm/last/weights.safetensors"], tmp_path, b"the cat\n")
    assert weights.returncode == 0, weights.stderr


def test_numbered_strings_have_their_numbers(tmp_path: Path) -> None:
    pairs = [(f"open {{name}} in {number} <b>x</b>", f"öffne {{name}} in {number} <b>x</b>") for number in range(40)]
    for split in ("train", "valid"):
        for side, language in enumerate(("en", "de")):
            write(tmp_path / f"corpus/{split}.{language}", [pair[side] for pair in pairs])
    words = ["--joint-bpe", "30", "--protect", "all", "--quiet", "--set", "prep.check_sides=false"]
    assert call(prep.main, words, tmp_path).returncode == 0
    assert call(lm.main, ["prep", "--like", "prepared", "--quiet"], tmp_path).returncode == 0
    text = RunningText.open(tmp_path / "lm-prepared")
    names = [text.vocabulary.name(row) for row in text.split("valid").tolist()]
    assert names.count("｟placeholder:1｠") == names.count("｟tag:1｠") == names.count("｟end:1｠") == len(pairs)
    corpus = PreparedCorpus.open(tmp_path / "prepared")
    assert names[: names.index("<eos>")] == corpus.vocabulary.decode(corpus.split("valid").target(0).tolist())


WRONG = [
    (
        ["--language-model", "nothing"],
        "nothing: no such folder; name a model folder of nmt-lm train with --language",
    ),
    (["--language-model", "."], ".: not a model folder (no manifest.json in it); name a model folder of nmt-lm train"),
    (["--language-model", "decoder"], "decoder: holds a translation model, not a language model; name a model folder"),
    (["--model", "lm"], "lm: holds a language model, not a translation model; nmt-lm reads it"),
    (["--language-model", "lm", "--language-model-weight", "nan"], "search.language_model_weight: nan is out of range"),
    (["--language-model", "lm", "--language-model-weight", "-0.1"], "-0.1 is out of range: it must be 0 or more and"),
    (["--language-model", "lm", "--language-model-weight", "1e9"], "1000000000.0 is out of range: it must be at most"),
    (["--language-model", "lm", "--language-model-weight", "much"], "--language-model-weight: invalid float value"),
    (["--language-model", "lm", "--mc-dropout", "3"], "unrecognized arguments: --mc-dropout 3"),
    (["--language-model-weight", "0.1"], "search.language_model_weight: counts with a language model only; name one"),
    (["--set", "lm.dropout=0.5", "--language-model", "lm"], "lm.dropout is fixed once a model is trained"),
    (["--language-model", "lm/config.yaml"], "lm/config.yaml: truncated or not a safetensors file"),
    (
        ["--language-model", "decoder/best.safetensors"],
        "decoder: holds a translation model, not a language model; name",
    ),
    (
        ["--language-model", "other"],
        "other/vocabulary.json: its 60 rows are not the 61 of the targets of model: row 59 is '<unk>', not '",
    ),
]


@pytest.mark.parametrize(("words", "told"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_a_wrong_use_is_one_line(words: list[str], told: str, folder: Path, tmp_path: Path) -> None:
    found = call(translate.main, [*words, *CPU], folder, b"a\n")
    printed = found.stderr.decode()
    assert found.returncode == 2, printed
    assert told in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "one of --target, --n-best and --translations is needed"),
        (
            ["--source", "input", "--target", "input", "--summary", "perplexity"],
            "--summary is of the translation",
        ),
        (["--source", "input", "--target", "input", "--language-model-weight", "inf"], "inf is out of range"),
        (
            ["--source", "input", "--target", "input", "--language-model", "other"],
            "nmt-lm prep --like model, and",
        ),
    ],
)
def test_a_wrong_use_of_scores_is_one_line(words: list[str], told: str, folder: Path) -> None:
    found = call(score.main, ["--language-model", "lm", *words, *CPU], folder)
    printed = found.stderr.decode()
    assert (found.returncode, printed.count("\n")) == (2, 1), printed
    assert told in printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--like", "nothing"], "nothing: no such folder; name a model folder, or its prepared data, with --like"),
        (["--like", "corpus"], "corpus: holds no translation model (no text.json in it)"),
        (["--like", "text"], "text/vocabulary.json: not a vocabulary that nmt-prep wrote"),
        (["--like", "model", "--joint-bpe", "9"], "--joint-bpe is what --like takes from the model: leave it out"),
        (["--like", "model", "--tokenizer", "moses"], "--tokenizer is what --like takes from the model: leave it out"),
        (["--like", "model", "--vocabulary", "90"], "--vocabulary is what --like takes from the model: leave it out"),
        ([], "several files could be train (train.de, train.en)"),
    ],
)
def test_a_wrong_use_of_a_pattern_is_one_line(words: list[str], told: str, prepared: Path) -> None:
    found = call(lm.main, ["prep", "--prepared", "new", *words], prepared)
    printed = found.stderr.decode()
    assert (found.returncode, printed.count("\n")) == (2, 1), printed
    assert told in printed


def test_training_and_serving_know_no_language_model(prepared: Path) -> None:
    asked = ["--set", "search.language_model=lm", "--quiet", *CPU]
    found = call(train.main, [*asked, "--model", "new"], prepared)
    assert found.returncode == 2
    told = b"search.language_model: a language model joins in nmt-translate, not in training; leave it out\n"
    assert found.stderr.endswith(told)
    pytest.importorskip("uvicorn")
    found = call(serve.main, asked, prepared)
    assert found.returncode == 2
    assert b"search.language_model: a server translates without a language model; leave it out\n" in found.stderr


def test_evaluation_takes_it(folder: Path) -> None:
    given = ["--source", "input", "--reference", "input", "--tgt", "de", "--language-model", "lm", "--json", "--quiet"]
    origin = json.loads(output(folder, *given, main=evaluate.main))
    assert origin["search"]["language_model"] == "lm"
