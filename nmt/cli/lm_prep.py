"""nmt-lm prep: running text -> the rows of its words or subwords."""

from __future__ import annotations

import json
from pathlib import Path

import nmt
from bpe.command import Parser
from nmt.prepare.running_text import TextPreparation, find_text, prepare_text, text_summary
from nmt.prepare.target_text import TargetText

PREPARED = "lm-prepared"
"Where nmt-lm puts prepared text, and looks for it."
OPTIONS = ("vocabulary", "min_count", "joint_bpe", "language", "tokenizer")
"What says how text is cut."


def command(argv: list[str]) -> None:
    """Parse, prepare, print."""
    parser = Parser(prog="nmt-lm prep", description="Prepare a running text for a language model.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"nmt-lm {nmt.__version__}")
    parser.add_argument("--corpus", default="corpus", metavar="DIR", help="folder with train.txt, valid.txt, test.txt")
    for split in ("train", "valid", "test"):
        parser.add_argument(f"--{split}", metavar="FILE", help=f"the {split} text")
    parser.add_argument("--prepared", default=PREPARED, metavar="DIR", help=f"where it goes (default: {PREPARED})")
    size = "rows at most: the most frequent words, <eos> and <unk>; 0 (the default): every word of the training text"
    parser.add_argument("--vocabulary", type=int, default=0, metavar="N", help=size)
    rare = "words that occur less often in the training text are <unk> (default: 1)"
    parser.add_argument("--min-count", type=int, metavar="N", help=rare)
    parser.add_argument("--joint-bpe", type=int, default=0, metavar="N", help="cut words by a BPE of N merges")
    parser.add_argument("--language", metavar="LANG", help="of the text, for --tokenizer moses (default: en)")
    parser.add_argument("--tokenizer", help="before the BPE: reversible (the default), moses or none")
    pattern = "a translation model, or its prepared data: its targets' pieces and vocabulary, to translate with both"
    parser.add_argument("--like", metavar="MODEL", help=pattern)
    parser.add_argument("--force", action="store_true", help="replace what is prepared there already")
    parser.add_argument("--json", action="store_true", help="print the manifest, not the summary")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    arguments = parser.parse_args(argv)
    for flag, least in (("vocabulary", 3), ("joint_bpe", 1), ("min_count", 1)):
        value = getattr(arguments, flag) or 0
        if (value and value < least) or value < 0:
            parser.error(f"--{flag.replace('_', '-')} {value} is out of range: it must be {least} or more")
    if arguments.joint_bpe and (arguments.vocabulary or arguments.min_count):
        flag = "--vocabulary" if arguments.vocabulary else "--min-count"
        parser.error(f"{flag} is of words, and --joint-bpe makes its own vocabulary: use one of them")
    asked = {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name)}
    if arguments.like and asked:
        parser.error(f"--{next(iter(asked)).replace('_', '-')} is what --like takes from the model: leave it out")
    like = TargetText.read(arguments.like) if arguments.like else None
    named = {split: getattr(arguments, split) for split in ("train", "valid", "test")}
    manifest = prepare_text(
        TextPreparation(
            files=find_text(arguments.corpus, named, like.language if like else ""),
            folder=Path(arguments.prepared).resolve(),
            **asked,
            like=like,
            force=arguments.force,
            quiet=arguments.quiet,
        )
    )
    if arguments.json:
        print(json.dumps(manifest, ensure_ascii=False, indent=1))
    elif not arguments.quiet:
        print(text_summary(manifest, arguments.prepared))
