"""From what a request asks for to its answer, without holding up the event loop.

Long texts are cut and put together in a few threads of their own, searches run in the
workers'. A request that is
cancelled is given up wherever it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from nmt.config import ServeConfig
from nmt.serve.awaiting import Awaiting
from nmt.serve.detection import Detected, Detector
from nmt.serve.errors import Refused
from nmt.serve.explaining import explained
from nmt.serve.fields import AUTO, TranslationRequest
from nmt.serve.lane import Found
from nmt.serve.models import Models
from nmt.serve.pool import Pool
from nmt.serve.prepared import Prepared

TEXT_THREADS = 4
"So that a book does not hold up the words of others."
AT_ONCE = 500
"Characters of a request whose text is cut and put together in the event loop: a few tenths of a millisecond."
USUAL_SHARE = 0.1
"Of the last request in the mean of the seconds that one takes."
MAX_RETRY = 60

Result = TypeVar("Result")


class Service:
    """Translates and detects. `start` before, `close` after: that finishes what was begun."""

    def __init__(self, models: Models, config: ServeConfig) -> None:
        beam = min(one.reader.search.beam for one in models.served)
        limit = min(config.alternatives_limit, beam - 1)
        self.models, self.config = models, dataclasses.replace(config, alternatives_limit=limit)
        self.detector = Detector(models.codes)
        self.pool = Pool([one.lane for one in models.served], config.batch_wait / 1000, config.searches)
        self.num_requests = 0
        "In work or waiting."
        self._texts = ThreadPoolExecutor(TEXT_THREADS, thread_name_prefix="text")
        self._usual = 1.0

    def start(self) -> None:
        """Begin to work, in an event loop."""
        self._awaiting = Awaiting(asyncio.get_running_loop())
        self.pool.start()

    def close(self) -> None:
        """Finish, and end the threads."""
        self.pool.close()
        self._texts.shutdown()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place among the requests that may be in work or waiting. Raises Refused where there is none."""
        limit = self.config.queue_limit
        if limit and self.num_requests >= limit:
            wait = str(min(MAX_RETRY, max(1, math.ceil(self._usual))))
            raise Refused(429, f"Too many requests: {limit} are waiting", {"Retry-After": wait})
        self.num_requests += 1
        begun = time.monotonic()
        try:
            yield
        finally:
            self.num_requests -= 1
            self._usual += USUAL_SHARE * (time.monotonic() - begun - self._usual)

    async def detect(self, texts: Sequence[str]) -> list[list[Detected]]:
        """For each text the languages it may be in, the likeliest first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._texts, lambda: [self.detector.detect(text) for text in texts])

    async def translate(self, asked: TranslationRequest) -> dict[str, Any]:
        """The answer to /translate. Raises Refused where there is no model for it."""
        numbers, detected = await self._numbers(asked)
        found: dict[int, list[str]] = {place: [text] for place, text in enumerate(asked.texts)}
        for number in dict.fromkeys(number for number in numbers if number is not None):
            places = [place for place, own in enumerate(numbers) if own == number]
            prepared = await self._prepared(number, asked, [asked.texts[place] for place in places])
            found |= zip(
                places, await self._in_texts(asked, prepared.texts, await self._searched(prepared)), strict=True
            )
        return _answer(asked, [found[place] for place in range(len(numbers))], detected)

    async def explain(self, asked: TranslationRequest) -> dict[str, Any]:
        """The answer to /explain: that to /translate for its one text, and how the model came to it."""
        [number], detected = await self._numbers(asked)
        if number is None:
            return _answer(asked, [asked.texts], detected) | explained(asked.texts[0], asked.texts[0], [])
        prepared = await self._prepared(number, asked, asked.texts, words=True)
        begun = time.monotonic()
        found = await self._searched(prepared)
        seconds = time.monotonic() - begun
        [texts] = await self._in_texts(asked, prepared.texts, found)
        [lines] = await self._in_texts(asked, prepared.words, found)
        about = {"model": self.models.served[number].name, "seconds": round(seconds, 4)}
        return _answer(asked, [texts], detected) | about | explained(asked.texts[0], texts[0], lines)

    async def _numbers(self, asked: TranslationRequest) -> tuple[list[int | None], list[Detected]]:
        """For each text the number of its model, None where it is in the target language, and, with auto, its language.

        Raises Refused where there is none.
        """
        target = self.models.known(asked.target, "a target")
        detected: list[Detected] = []
        if asked.source == AUTO:
            detected = [self._source(found, target) for found in await self.detect(asked.texts)]
            sources = [found.language for found in detected]
        else:
            sources = [self.models.known(asked.source, "a source")] * len(asked.texts)
        numbers = [None if source == target else self.models.number(source, target, asked.model) for source in sources]
        return numbers, detected

    def _source(self, ranked: Sequence[Detected], target: str) -> Detected:
        """The likeliest language that can be translated into the target, or is it."""
        pairs = {(one.source, one.target) for one in self.models.served}
        for found in ranked:
            if found.language == target or (found.language, target) in pairs:
                return found
        raise Refused(400, f"{target} is not available as a target language from any language that was detected")

    async def _prepared(
        self, number: int, asked: TranslationRequest, texts: Sequence[str], *, words: bool = False
    ) -> Prepared:
        """Texts cut for one model."""
        reader, num_best = self.models.served[number].reader, asked.alternatives + 1
        return await self._in_texts(
            asked, lambda: Prepared(reader, number, texts, html=asked.html, num_best=num_best, words=words)
        )

    async def _searched(self, prepared: Prepared) -> list[Found]:
        """What is found of its tasks."""
        try:
            for task in prepared.tasks:
                self.pool.submit(task)
            return [await awaited for awaited in [self._awaiting(task.future) for task in prepared.tasks]]
        finally:
            for task in prepared.tasks:
                task.future.cancel()  # without effect on what is done

    async def _in_texts(self, asked: TranslationRequest, work: Callable[..., Result], *given: Any) -> Result:
        """work(*given), in a thread for texts, or at once where that takes no longer than to have a thread do it."""
        if asked.characters <= AT_ONCE:
            return work(*given)
        return await asyncio.get_running_loop().run_in_executor(self._texts, work, *given)


def _answer(
    asked: TranslationRequest, translations: Sequence[Sequence[str]], detected: Sequence[Detected]
) -> dict[str, Any]:
    """One text's fields, or those of a list."""
    columns: dict[str, list[Any]] = {"translatedText": [each[0] for each in translations]}
    if asked.alternatives:
        columns["alternatives"] = [list(each[1:]) for each in translations]
    if detected:
        columns["detectedLanguage"] = [one.fields() for one in detected]
    return {name: column if asked.batch else column[0] for name, column in columns.items()}
