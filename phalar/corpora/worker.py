"""A process that builds pieces for another: reads ids on standard input, answers each with one line of JSON.

Started as ``python -m phalar.corpora.worker CORPUS FOLDER``. A plain program rather than ``multiprocessing``, which
would import the caller's main module again: that fails for scripts without a guard and for code typed at a prompt.
When the caller dies, standard input ends, and so does this after the piece in hand.
"""

import json
import sys
from pathlib import Path


def main(corpus: str, folder: str) -> None:
    """Build pieces until standard input ends."""
    from phalar.corpora import CORPORA
    from phalar.datasets import store

    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints must not be taken for an answer
    for line in sys.stdin:
        piece = line.strip()
        try:
            if store.incomplete(Path(folder), [piece]):  # else another process, doing the same, was quicker
                CORPORA[corpus].build(piece, Path(folder))
            answer = {"piece": piece}
        except Exception as error:  # reported by the caller, in one line
            answer = {"piece": piece, "error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
