"""The one exception for mistakes a user can mend. It stands below everything else, so both packages share it."""

from __future__ import annotations


class UserError(Exception):
    """Bad input, a bad option or a full disk: printed as one line by the commands, which then exit with code 2.

    problem: what is wrong, with the value and the limit. where: file, file:line or configuration key.
    hint: what to do next.
    """

    def __init__(self, problem: str, *, where: object = "", hint: str = "") -> None:
        self.problem, self.where, self.hint = problem, str(where), hint
        text = f"{self.where}: {problem}" if self.where else problem
        super().__init__(" ".join(f"{text}; {hint}".split()) if hint else " ".join(text.split()))
