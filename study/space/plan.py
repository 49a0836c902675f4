"""The plan of a study: what a command makes once of its options, and everything below it takes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from study.records import Settings
from study.space.space import Space
from study.space.toml import space_of
from tasnet_core.corpora.registry import CORPORA, Corpus, open_corpus


@dataclass(frozen=True)
class StudyPlan:
    """A study and how it is trained.

    It goes to worker processes, so the corpus goes as a function that opens it.
    """

    name: str
    settings: Settings
    space: Space                        # of the settings, read once
    open_corpus: Callable[[], Corpus]   # in any process, printing nothing
    device: str = "cpu"
    workers: int | None = 1             # trainings at a time; None: as a cluster has room
    micro_batches: int = 1              # in which a batch is computed; 0: as few as memory allows
    gpus_per_trial: float = 0.0         # of a node's, for engines that share them out
    until_db: float | None = None       # no new trial when the front is known so well

    @classmethod
    def of(cls, name: str, settings: Settings, device: str = "cpu", workers: int | None = 1,
           micro_batches: int = 1, gpus_per_trial: float = 0.0) -> "StudyPlan":
        """The plan of a study with these settings.

        Raises:
            UserError: the space is none, or no preset any more.
        """
        space = space_of(settings)
        return cls(name, settings, space, corpus_opener(settings, space), device, workers,
                   micro_batches, gpus_per_trial)

    def of_study(self, name: str, settings: Settings) -> "StudyPlan":
        """The plan of a follow-up study, trained in the same way."""
        space = space_of(settings)
        return replace(self, name=name, settings=settings, space=space,
                       open_corpus=corpus_opener(settings, space))


def corpus_opener(settings: Settings, space: Space) -> Callable[[], Corpus]:
    """A function that opens the corpus.

    The kind is looked up here: a script may have added it, and workers can import its function.
    """
    kind = settings.corpus.partition(":")[0].partition("?")[0]
    reference = space.reference
    return partial(CORPORA.get(kind, open_corpus), settings.corpus, reference.C,
                   reference.sample_rate_hz, no_output)


def no_output(line: str) -> None:
    """For what the command has printed already."""
