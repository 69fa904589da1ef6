"""nmt-lm generate: text drawn from a language model, from nothing or going on from given beginnings."""

from __future__ import annotations

import sys

import nmt
from bpe.command import Parser
from nmt.cli.lm_score import add_model_flags
from nmt.device import pick_device, set_threads
from nmt.folder.language import load_language_bundle
from nmt.language.generation import Draw, Generator
from nmt.text.lines import lines_of


def command(argv: list[str]) -> None:
    """Parse, load, draw, print."""
    parser = Parser(prog="nmt-lm generate", description="Draw text from a language model.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"nmt-lm {nmt.__version__}")
    add_model_flags(parser)
    parser.add_argument("--number", type=int, default=1, metavar="N", help="texts (default: 1)")
    parser.add_argument("--prompts", action="store_true", help="go on from each line of standard input")
    parser.add_argument("--words", type=int, default=Draw.words, metavar="N", help="words at most (default: 100)")
    parser.add_argument("--temperature", type=float, default=Draw.temperature, metavar="X", help="0: the likeliest")
    parser.add_argument("--top-k", type=int, default=Draw.top_k, metavar="N", help="draw from the N likeliest words")
    parser.add_argument("--unknown", action="store_true", help="write <unk>, too")
    parser.add_argument("--seed", type=int, default=Draw.seed, metavar="N", help="random seed")
    arguments = parser.parse_args(argv)
    if arguments.number < 1:
        parser.error("--number must be 1 or more")
    draw = Draw(
        words=arguments.words,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        unknown=arguments.unknown,
        seed=arguments.seed,
    )
    set_threads(arguments.threads)
    generator = Generator(load_language_bundle(arguments.model, pick_device(arguments.device)), draw)
    prompts = lines_of(sys.stdin.buffer, "standard input") if arguments.prompts else iter([""])
    for number, prompt in enumerate(prompts, 1):
        for _ in range(arguments.number):
            print(generator.line(prompt, f"standard input:{number}"), flush=True)
