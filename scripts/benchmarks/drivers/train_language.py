"""Updates of a language model, ours or one of torch.nn.LSTM as PyTorch's word language model example trains it.

Both: the same sizes, words and streams, the state carried and cut off, gradients clipped to a norm, plain SGD. Each has
its process. The argument is a JSON object; prints one: seconds and CPU seconds of every measured update, parameters.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Spec = dict[str, Any]
Update = Callable[[Tensor, Tensor], Tensor]
"(words, labels), [T, B] each -> the cost of a word, the update made."
RATE, CLIP_NORM = 1.0, 5.0
"Of the small model."


class Example(nn.Module):
    """Embedding, LSTM and linear decoder, dropout in between; tied or not."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.drop = nn.Dropout(spec["dropout"])
        self.encoder = nn.Embedding(spec["words"], spec["size"])
        self.rnn = nn.LSTM(spec["size"], spec["size"], spec["layers"], dropout=spec["dropout"])
        self.decoder = nn.Linear(spec["size"], spec["words"])
        if spec["tying"] == "tied":
            self.decoder.weight = self.encoder.weight
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.05, 0.05)

    def forward(self, words: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """[T, B] -> scores, [T, B, C], and the state."""
        rows, state = self.rnn(self.drop(self.encoder(words)), state)
        return self.decoder(self.drop(rows)), state


def theirs(spec: Spec) -> tuple[nn.Module, Update]:
    """As the example's `train` does it, with Zaremba's cost: the sum over the steps of the mean over the streams."""
    model = Example(spec)
    state = tuple(torch.zeros(spec["layers"], spec["streams"], spec["size"]) for _ in range(2))
    criterion = nn.CrossEntropyLoss()

    def update(words: Tensor, labels: Tensor) -> Tensor:
        nonlocal state
        model.zero_grad()
        state = tuple(part.detach() for part in state)
        scores, state = model(words, state)
        cost: Tensor = criterion(scores.view(-1, spec["words"]), labels.flatten())
        (cost * len(words)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.data.add_(parameter.grad, alpha=-RATE)
        return cost.detach()

    return model, update


def ours(spec: Spec) -> tuple[nn.Module, Update]:
    """What training does: our model and loss, the norm over all gradients, SGD over all parameters at once."""
    from nmt.config import LanguageConfig
    from nmt.device import keep_freed_memory
    from nmt.layers.tying import unique_parameters
    from nmt.layers.word_cross_entropy import word_cross_entropy
    from nmt.models.language import detached
    from nmt.models.language_build import build_language_model

    keep_freed_memory()
    sizes = {"embedding_size": spec["size"], "layers": spec["layers"], "two_biases": True}
    config = LanguageConfig(tying=spec["tying"], dropout=spec["dropout"], initialization=0.05, **sizes)
    model = build_language_model(config, spec["words"])
    model.fast = spec["fast"]
    parameters, state = list(unique_parameters(model).values()), model.initial_state(spec["streams"])

    def update(words: Tensor, labels: Tensor) -> Tensor:
        nonlocal state
        rows, after = model.features(words, state)
        state = detached(after)
        matrices = model.embeddings
        streams = words.shape[1]
        rows = rows.flatten(0, 1)
        cost = word_cross_entropy(rows, matrices.output, matrices.output_bias, labels.flatten(), scale=1 / streams)
        cost.backward()
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        factor = (CLIP_NORM / nn.utils.get_total_norm(gradients)).clamp(max=1)
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=-RATE * factor.item())
        for parameter in parameters:
            parameter.grad = None
        return cost.detach() / len(words)

    return model, update


def main() -> None:
    """Warm up, measure, print."""
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(1)
    model, update = (ours if spec["tool"] == "ours" else theirs)(spec)
    number = spec["warm_up"] + spec["updates"]
    text = torch.randint(spec["words"], (number * spec["steps"] + 1, spec["streams"]))
    model.train()
    seconds, cpu_seconds = [], []
    for start in range(0, number * spec["steps"], spec["steps"]):
        began, cpu = time.perf_counter(), time.process_time()
        cost = update(text[start : start + spec["steps"]], text[start + 1 : start + spec["steps"] + 1])
        assert bool(cost.isfinite())
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - cpu)
    measured = slice(spec["warm_up"], None)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(json.dumps({"seconds": seconds[measured], "cpu_seconds": cpu_seconds[measured], "parameters": parameters}))


if __name__ == "__main__":
    main()
