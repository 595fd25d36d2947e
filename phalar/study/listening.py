"""What a model chose, to be heard: the mix, the stem it ranked first, the true one, and what the two pieces share.

Book notebook *Retrieval*.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phalar.audio import SAMPLE_RATE
from phalar.datasets.pairs import Pair
from phalar.evaluate import retrieval
from phalar.study.experiments import Tested
from phalar.study.media import player, save_audio
from phalar.study.tables import NOT_GIVEN, markdown_table


@dataclass(frozen=True)
class Example:
    """One anchor of a test and what was ranked first for it among all test tracks."""

    corpus: str
    mix: Pair  # its anchor is the mix, its positive the true stem
    chosen: Pair  # whose positive was ranked first
    score: float  # of the chosen
    true_score: float

    @property
    def right(self) -> bool:
        return self.mix is self.chosen

    def text(self) -> str:
        """What is played, as Markdown: pieces, keys, tempi, stems and scores."""
        rows = [_row("mix and true stem", self.mix, self.true_score)]
        if not self.right:
            rows.append(_row("chosen stem", self.chosen, self.score))
        header = ["", "piece", "key", "beats a minute", "stems of the positive", "score"]
        title = f"**{'Right' if self.right else 'Wrong'}**, *{self.corpus}*"
        return f"{title}\n\n{markdown_table(header, rows)}"

    def players(self, folder: Path) -> str:
        """HTML that plays mix, choice and, where it is another, the true stem; the sounds are saved in a folder."""
        sounds = {"the mix": self.mix.audio()[0], "ranked first": self.chosen.audio()[1]}
        if not self.right:
            sounds["the true stem"] = self.mix.audio()[1]
        name = f"{self.corpus}-{'right' if self.right else 'wrong'}"
        paths = {
            label: save_audio(folder / f"{name}-{label.replace(' ', '-')}.ogg", sound, SAMPLE_RATE)
            for label, sound in sounds.items()
        }
        return "".join(player(path, label) for label, path in paths.items())


def _row(what: str, pair: Pair, score: float) -> list[str]:
    tags, stems = pair.track.tags, [pair.track.stems[s] for s in pair.positive]
    tempo = f"{tags['tempo']:.0f}" if tags.get("tempo") else NOT_GIVEN
    title = f"{tags.get('title', pair.track.id)} ({pair.track.id})"
    return [what, title, tags.get("key", NOT_GIVEN), tempo, ", ".join(stems), f"{score:.2f}"]


def examples(test: Tested, right: int = 1, wrong: int = 1) -> list[Example]:
    """The first anchors of a test's first draw that found their positive, and the first that did not."""
    pairs, scores = retrieval.fixed_pairs(test.tracks, draw=0), test.scores[0]
    choice = scores.argmax(axis=1)
    hits = choice == np.arange(len(choice))
    chosen = [*np.flatnonzero(hits)[:right], *np.flatnonzero(~hits)[:wrong]]
    return [
        Example(test.corpus, pairs[i], pairs[choice[i]], float(scores[i, choice[i]]), float(scores[i, i]))
        for i in chosen
    ]
