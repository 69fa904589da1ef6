"""What every command does with what goes wrong: one line on standard error, and an exit code."""

from __future__ import annotations

import signal
import sys

import pytest

from bpe.errors import UserError
from nmt.cli.common import make_parser, run


@pytest.mark.parametrize(
    ("raised", "code", "printed"),
    [
        (UserError("2 lines\nare 1", where="file:3", hint="look"), 2, "nmt-x: error: file:3: 2 lines are 1; look\n"),
        (KeyboardInterrupt(), 128 + signal.SIGINT, "nmt-x: interrupted\n"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    raised: BaseException, code: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(_: list[str]) -> None:
        raise raised

    assert run("nmt-x", main, []) == code
    assert capsys.readouterr() == ("", printed)


def test_without_standard_error_nothing_goes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python has None for a closed standard error, and print(file=None) would write into the translations."""

    def main(_: list[str]) -> None:
        print("progress", file=sys.stderr)
        raise UserError("no such thing")

    monkeypatch.setattr(sys, "stderr", None)
    assert run("nmt-x", main, []) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--see", "3"], ["--seed", "x"], ["more"]])
def test_a_flag_that_is_not_there_is_a_user_error_and_no_flag_is_guessed(arguments: list[str]) -> None:
    with pytest.raises(UserError, match="see nmt-x --help"):
        make_parser("nmt-x", "", ("training.seed",)).parse_args(arguments)
