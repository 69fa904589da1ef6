"""What training knows of a task: what a batch is, what its loss is, how it is validated, what the model folder holds.

Training sees this and nothing else of a task. An `Objective` needs no data: it is the loss of a model over batches. A
`Task` is the objective with the data it is learned from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

from torch import Tensor

from bpe.errors import UserError
from nmt.config import Config, TrainingConfig
from nmt.configfile import Values
from nmt.data.position import Position
from nmt.data.prefetch import Movable
from nmt.models.interface import TrainableModel

Carried = Mapping[str, Tensor]
"""Tensors that go from one update to the next, as a language model's state; part of the checkpoint. Empty for most.

They are passed and returned, and no module holds them."""

B = TypeVar("B", bound=Movable)


class Fillable(Movable, Protocol):
    """A batch that `Objective.filled` made: all that changes from one to the next of its shape is in tensors."""

    def of_tensors(self, tensors: Sequence[Tensor]) -> Self:
        """The same with other tensors in the place of `tensors`, of the same shapes."""


class Loss(NamedTuple):
    """What a batch costs."""

    loss: Tensor
    "What is minimised: the cost over `Objective.count`, with all that is added to it. Differentiable, []."
    smoothed: Tensor
    "The cost, summed over the batch's tokens, in nats. []."
    cross_entropy: Tensor
    "The same without label smoothing. Not differentiable, []."
    carried: Carried
    "What the next batch is given, outside the graph; zeros for all that belongs to other shares of the batch."


class Objective(ABC, Generic[B]):
    """The loss of a model over batches, and how a batch is divided among workers and parts."""

    weight_decay: float = 0.0
    "After each update every weight loses this share of itself, whatever the learning rate."

    @abstractmethod
    def loss(self, model: Any, batch: B, carried: Carried) -> Loss:
        """model: in training mode, on the batch's device. carried: what the batch before it left."""

    @abstractmethod
    def num_tokens(self, batch: B) -> int:
        """Tokens that are predicted, which costs are summed over."""

    @abstractmethod
    def count(self, batch: B) -> int:
        """What the cost of a batch is divided by."""

    @abstractmethod
    def share_of(self, batch: B, rank: int, size: int) -> B | None:
        """What one of `size` takes of the batch, about as much as the others; None where nothing is left for it."""

    def start(self, model: Any) -> Carried:
        """What is carried into the first update of a run, on the model's device."""
        return {}

    fills: ClassVar[bool] = False
    "Whether batches can be filled up to few shapes."

    def filled(self, batch: B) -> B:
        """The batch, in the processor's memory, filled up to one of few shapes, which is `Fillable`: the same cost but
        for rounding."""
        return batch

    @abstractmethod
    def describe(self, batches: Sequence[B]) -> str:
        """What the batches of an update hold, for people."""

    @abstractmethod
    def too_large(self, batch: B) -> UserError:
        """What is said where the batch does not fit in memory."""


class Validation(Protocol):
    """What came of a validation."""

    @property
    def finite(self) -> bool:
        """Whether everything is a number; otherwise there is no score to compare."""

    def score(self, metric: str) -> float:
        """What is compared, higher is better. metric: training.validation_metric."""

    def figures(self) -> Mapping[str, float | None]:
        """What metrics.jsonl keeps of it."""

    def metadata(self) -> Mapping[str, float | None]:
        """What stands beside the weights in their file."""

    def describe(self) -> str:
        """For people, in a line."""

    def examples(self) -> Sequence[str]:
        """Lines for people below it."""


class Validator(Protocol):
    """Validates a model on held-out data. All is computed in float32."""

    def run(self, model: Any, tick: Callable[[], None]) -> Validation:
        """The model is left in evaluation mode. tick: called between batches; may raise to break off."""

    def try_largest(self, model: Any) -> None:
        """Run what needs the most memory; a UserError where it is refused."""


class Change(Protocol):
    """A model that becomes another one while it is trained."""

    @property
    def model(self) -> TrainableModel:
        """The other one, in the processor's memory, its weights without values."""

    @property
    def told(self) -> str:
        """What is done, for people."""

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by name, or what is kept beside each, as their moving average -> the other model's."""

    def states(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """An optimizer's states, NAME.KEY each -> the other model's."""


class Watch(Protocol):
    """Looks at what training does to a model, now and then. No number of training changes by it."""

    kind: str
    "What its records are called in metrics.jsonl."

    def catching(self) -> AbstractContextManager[Sequence[Tensor]]:
        """Around the passes of an update that is looked at: what is seen of them, summed over batches and parts.

        Several workers sum theirs before `note`.
        """

    def note(self, caught: Sequence[Tensor]) -> None:
        """Keep the figures of an update; the device is not waited for."""

    def figures(self) -> Mapping[str, float]:
        """Of the update that was noted last and of the weights as they are."""

    def at_validation(self) -> Mapping[str, float | None]:
        """Of the weights that are validated, for the record of the validation."""


class Task(ABC):
    """Something to learn, and the data to learn it from. Made of a configuration, whose prepared folder it reads."""

    kind: ClassVar[str]
    "What manifest.json of a model folder calls it."
    reader: ClassVar[str]
    "The command that reads what was trained."
    config: Config
    "With all that the data decides about it."
    objective: Objective[Any]

    def __init__(self, config: Config, objective: Objective[Any]) -> None:
        self.config, self.objective = config, objective

    @property
    def settings(self) -> TrainingConfig:
        """The section `training`."""
        return self.config.training

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Two equal ones hold the same data."""

    @abstractmethod
    def check(self) -> None:
        """Raise a UserError unless the data can be trained on with these settings; touches nothing."""

    @property
    def starts_from_weights(self) -> bool:
        """Whether the weights of a new run, which `begin` has read, are not those of its seed alone."""
        return False

    def begin(self) -> None:  # noqa: B027
        """Called once for a new run, before all else: read what it starts from. Raises a UserError if that is wrong."""

    def check_continues(self, manifest: Mapping[str, Any], asked: Values) -> None:  # noqa: B027
        """Raise a UserError unless a run goes on with what it began with, beside its data.

        manifest: of its model folder. asked: the keys that the user set now.
        """

    def stand_in(self, mode: str) -> None:  # noqa: B027
        """Called before `build`: the run stands where its matrices are tied so (`VocabularyMatrices.tying`); '': at
        its start. What no run of this configuration is tied like changes nothing."""

    def changes(self, update: int) -> bool:
        """Whether the model becomes another one once this update has been made."""
        return False

    def change(self) -> Change:
        """Have all that the task gives from here on be for the model that it becomes, and say how it does."""
        raise AssertionError("called only once `changes` says so")

    @abstractmethod
    def build(self) -> TrainableModel:
        """A model with the weights that a new run starts with, in the processor's memory."""

    @abstractmethod
    def introduction(self, *, matrices: bool) -> list[str]:
        """What is told before training: the data, the model's sizes, with `matrices` each one's, the batches."""

    @abstractmethod
    def create_folder(self, folder: Path) -> None:
        """Write what a model folder holds beside weights."""

    @abstractmethod
    def stream(self, start: Position) -> Iterator[tuple[Position, Any]]:
        """Batches with their places from `start` on, for ever: a function of the configuration and the data."""

    def after(self, place: Position) -> Position:
        """The place after a batch. Only where a task gives an epoch's last the next one's first is an end known."""
        return Position(place.epoch, place.block, place.batch + 1)

    @abstractmethod
    def largest(self) -> Any:
        """The batch that needs the most memory."""

    @abstractmethod
    def validator(self, say: Callable[[str], None]) -> Validator:
        """say: tells people what is to be known of the validation."""

    def watch(self, model: Any) -> Watch | None:
        """What looks at the model while it is trained, where the configuration asks for something."""
        return None

    @abstractmethod
    def after_training(self, folder: Path, *, quiet: bool) -> None:
        """What else the finished model folder is to hold."""


class OpenTask(Protocol):
    """How a task is made of the configuration of a run: the task's class."""

    @property
    def kind(self) -> str:
        """See Task.kind."""

    def __call__(self, config: Config) -> Task:
        """Raises a UserError where the data cannot be opened."""


def check_foreign(settings: TrainingConfig, own: Mapping[str, object], of: str) -> None:
    """Raise a UserError where a key of the section `training` is set that the task does not have.

    own: such keys with the value that does nothing. of: whose keys they are, for people.
    """
    for name, value in own.items():
        if getattr(settings, name) != value:
            raise UserError(f"is of {of}", where=f"training.{name}", hint="leave it out")
