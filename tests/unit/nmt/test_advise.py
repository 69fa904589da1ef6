"""The rule of nmt-reproduce advise on made-up measurements, and the way to its page at a tiny size."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from bpe.errors import UserError
from nmt.cli import reproduce
from nmt.config import Config, ModelConfig
from nmt.folder.weights import weight_tensors
from nmt.models.build import VocabularySizes, build_model
from nmt.reproduce.advise import trial
from nmt.reproduce.advise.measured import Measured, MergesCounted, ModeMeasured, disk_sizes
from nmt.reproduce.advise.rule import TOLERANCE, Advice, advise, ruled_out
from nmt.reproduce.advise.trial import short
from nmt.reproduce.intervals import Summary, summarize
from nmt.tying import Tying
from tests.at_once import work_here
from tests.in_process import call
from tests.tiny_corpus import make_corpus

PARAMETERS = {Tying.UNTIED: 3_000_000, Tying.DECODER: 2_000_000, Tying.THREE_WAY: 1_200_000}
WINS, LOSES, SLIGHTLY, OPEN = (0.5, 0.2), (-0.4, 0.2), (-0.4, 1.0), (-0.8, 2.0)
"Gains and their margins: shown; a loss that is shown; one within the tolerance, not shown; one beyond it, not shown."


def gain(mean: float, margin: float | None) -> Summary:
    return Summary(mean, None if margin is None else 1.0, margin, 1 if margin is None else 3)


def mode_of(tying: Tying, found: tuple[float, float | None] | None) -> ModeMeasured:
    return ModeMeasured(
        tying=tying,
        parameters=PARAMETERS[tying],
        float32_bytes=4 * PARAMETERS[tying],
        int8_bytes=PARAMETERS[tying],
        bleu=Summary(20.0, 1.0, 1.0, 3),
        gain=None if found is None else gain(*found),
        course=None if found is None else (found[0] - 1, found[0]),
        pieces_per_second=summarize([1000.0, 1100.0]),
        training_bytes=summarize([5e8, 5e8]),
        sentences_per_second=summarize([50.0, 52.0]),
    )


def row_of(merges: int, *, pays: bool) -> MergesCounted:
    sizes = {mode: 4 * number for mode, number in PARAMETERS.items()}
    return MergesCounted(
        merges=merges, source_shared=0.5, running_shared=0.6, parameters=PARAMETERS, float32_bytes=sizes,
        int8_bytes=PARAMETERS, pays=pays,
    )  # fmt: skip


def measured_of(
    three_way: tuple[float, float | None], decoder: tuple[float, float | None], *, pays: bool = True
) -> Measured:
    return Measured(
        source="en", target="de", num_pairs=1000, merges=4000, merges_why="They are asked for.",
        counted=(row_of(1000, pays=True), row_of(4000, pays=pays), row_of(8000, pays=False)),
        script_overlap=1.0, source_script="Latin", target_script="Latin", updates=100,
        modes=(mode_of(Tying.UNTIED, None), mode_of(Tying.DECODER, decoder), mode_of(Tying.THREE_WAY, three_way)),
    )  # fmt: skip


def advice_on(
    three_way: tuple[float, float | None], decoder: tuple[float, float | None], *, pays: bool = True
) -> Advice:
    return advise(measured_of(three_way, decoder, pays=pays))


@pytest.mark.parametrize(
    ("three_way", "decoder", "pays", "advised"),
    [
        (WINS, WINS, True, Tying.THREE_WAY),
        (SLIGHTLY, WINS, True, Tying.THREE_WAY),
        (WINS, WINS, False, Tying.DECODER),
        (WINS, LOSES, False, Tying.THREE_WAY),  # of untied it always saves more than it costs
        (LOSES, WINS, True, Tying.DECODER),
        (OPEN, SLIGHTLY, True, Tying.DECODER),
        (OPEN, LOSES, True, Tying.UNTIED),
        (LOSES, OPEN, False, Tying.UNTIED),
    ],
)
def test_the_smallest_model_that_is_not_ruled_out(
    three_way: tuple[float, float], decoder: tuple[float, float], pays: bool, advised: Tying
) -> None:
    assert advice_on(three_way, decoder, pays=pays).tying is advised


@pytest.mark.parametrize(
    ("mean", "margin", "out"),
    [
        (-0.1, 0.05, True),
        (-TOLERANCE, 1.0, False),
        (-TOLERANCE - 0.01, 1.0, True),
        (-0.3, None, False),
        (-0.6, None, True),
    ],
)
def test_what_rules_a_mode_out(mean: float, margin: float | None, out: bool) -> None:
    assert bool(ruled_out(mode_of(Tying.DECODER, (mean, margin)))) is out


def test_an_advice_is_firm_where_intervals_settle_it() -> None:
    assert advice_on(WINS, WINS).firm
    assert advice_on(LOSES, (-0.1, 0.3)).firm
    assert not advice_on(SLIGHTLY, WINS).firm
    assert not advice_on(WINS, (0.5, None)).firm
    assert advice_on(WINS, WINS).headline("en", "de") == "For en-de: three-way tying, 4,000 merges."
    assert "as far as so short a training tells" in advice_on(OPEN, WINS).headline("en", "de")


def test_what_speaks_for_it_and_what_would_change_it() -> None:
    found = advice_on(LOSES, SLIGHTLY)
    because, changes = "\n".join(found.because), "\n".join(found.changes)
    assert "decoder has 33% fewer parameters than untied (2.00M of 3.00M; 8.0 MB on disk, 2.0 MB in int8)" in because
    assert "three-way is shown to lose: -0.40 ± 0.20 BLEU against untied over 3 seeds." in because
    assert "50% of the source's pieces are the target's too, and 60% of the running pieces" in because
    assert "scripts differ" not in because
    assert "If size counts for more than 0.40 BLEU: three-way has 60% fewer parameters" in changes
    assert "More seeds or minutes: the interval of ± 1.00 is wide, and decoder may be on either side" in changes
    assert "A longer training: three-way's gain was -1.40 BLEU half way and -0.40 in the end, rising." in changes
    assert "with 8,000 three-way does not pay" in "\n".join(advice_on(WINS, WINS).changes)
    assert "three-way pays with 1,000." in "\n".join(advice_on(WINS, WINS, pays=False).changes)
    other = dataclasses.replace(measured_of(WINS, WINS), target_script="Cyrillic", script_overlap=0.02)
    assert "The scripts differ (Latin and Cyrillic); their letters have 2% in common." in advise(other).because


@pytest.mark.parametrize("architecture", ["rnn", "transformer"])
def test_sizes_on_disk_are_those_of_the_tensors(architecture: str) -> None:
    config, sizes = ModelConfig(architecture=architecture, embedding_size=8), VocabularySizes(30, 40, 50)
    for mode, (exact, rounded) in disk_sizes(config, sizes).items():
        tensors = weight_tensors(build_model(dataclasses.replace(config, tying=mode.value), sizes)).values()
        assert exact == sum(4 * tensor.numel() for tensor in tensors)
        assert rounded == sum(
            len(tensor.to(torch.int8).numpy().tobytes()) + 4 * tensor[..., 0].numel()
            if tensor.dim() > 1
            else 4 * tensor.numel()
            for tensor in tensors
        )


def test_a_short_training_warms_up_and_is_validated_twice() -> None:
    training = short(Config(), 101, 500).training
    assert (training.max_updates, training.validate_every, training.warmup_updates, training.patience) == (
        101,
        51,
        20,
        0,
    )
    assert short(Config(), 5000, 500).training.warmup_updates == Config().training.warmup_updates
    assert short(Config(), 101, 500).prep.joint_bpe == 500


RECIPE = """
prep: {tokenizer: none}
model: {embedding_size: 8, hidden_size: 10, dropout: 0.1}
training: {precision: float32, batch_tokens: 150, max_updates: 400, log_every: 10, ema: 0.9, tensorboard: false,
  validation_beam: 1, warmup_updates: 5, learning_rate: 0.02}
search: {beam: 2}
"""


@pytest.fixture(scope="module")
def advised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with corpus/, and advice/ from two seeds and 8 updates."""
    folder = tmp_path_factory.mktemp("advise")
    for path in make_corpus(folder / "corpus", pairs=120).iterdir():
        if path.stem == "test":
            path.unlink()
        elif path.stem == "valid":
            path.write_text("".join(path.read_text().splitlines(keepends=True)[:6]))
    (folder / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        patch.setattr(trial, "timed_update", lambda *_: 1.0)
        patch.setattr(trial, "LEAST_UPDATES", 8)
        found = call(reproduce.main, [*words(), "--minutes", "0.801"], folder)
    assert found.returncode == 0, found.stderr
    (folder / "printed.txt").write_bytes(found.stdout)
    return folder


def words() -> list[str]:
    return ["advise", "--config", "recipe.yaml", "--seeds", "2", "--merges", "20", "60", "--threads", "1", "--quiet"]


def test_the_way_from_a_corpus_to_a_page(advised: Path) -> None:
    body = json.loads((advised / "advice/advice.json").read_text())
    measured = body["measured"]
    assert measured["updates"] == 8  # in 48 seconds and a bit, an update a second, six models
    assert [row["merges"] for row in measured["counted"]] == [20, 60]
    assert [mode["tying"] for mode in measured["modes"]] == ["untied", "decoder", "three-way"]
    assert [mode["bleu"]["n"] for mode in measured["modes"]] == [2, 2, 2]
    untied, *tied = measured["modes"]
    assert untied["gain"] is None
    for mode in tied:
        assert mode["gain"]["mean"] == pytest.approx(mode["bleu"]["mean"] - untied["bleu"]["mean"], abs=1e-6)
        assert mode["parameters"] < untied["parameters"]
        assert mode["float32_bytes"] > 4 * mode["parameters"] > mode["int8_bytes"]
        assert len(mode["course"]) == 2
    page, text = ((advised / "advice/advice").with_suffix(end).read_text() for end in (".html", ".md"))
    headline = body["advice"]["headline"]
    assert headline.startswith(f"For en-de: {body['advice']['tying']} tying, {measured['merges']:,} merges")
    assert headline in page
    assert text.index("## The rule") < text.index("## The advice") < text.index(headline) < text.index("change it")
    assert headline in (advised / "printed.txt").read_text()
    assert page.count("<svg") == 3


def test_called_again_it_trains_nothing_whatever_the_clock_says(advised: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def untouched(*_: object) -> float:
        raise AssertionError("nothing is to be timed or trained")

    before = (advised / "advice/advice.json").read_text()
    monkeypatch.setattr(trial, "timed_update", untouched)
    found = call(reproduce.main, [*words(), "--minutes", "1"], advised)
    assert found.returncode == 0, found.stderr
    assert (advised / "advice/advice.json").read_text() == before


def test_mistakes_are_one_line(advised: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "timed_update", lambda *_: 1.0)
    cases = {
        "--minutes: 4 minutes are 40 updates of each model, and the least is 50; give 5 or more": ["--minutes", "4"],
        "--minutes: 0 is out of range": ["--minutes", "0"],
        "--seeds: 0 is out of range": ["--seeds", "0"],
        "prep.sentencepiece: the advice is about a joint BPE": ["--set", "prep.sentencepiece=100"],
    }
    for told, more in cases.items():
        found = call(reproduce.main, [*words(), "--out", "other", *more], advised)
        assert found.returncode == 2
        assert told in found.stderr.decode()
        assert found.stderr.count(b"\n") == 1
    with pytest.raises(UserError, match="out of range"):
        reproduce.command([*words(), "--minutes", "-1"])
