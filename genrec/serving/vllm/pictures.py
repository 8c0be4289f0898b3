"""The pictures of prompts, as vLLM takes them.

Shape letters in this file: U pictures, S features of each, D their width, P tokens of a prompt.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from genrec.models.picture_inputs import Owners, PictureSource
from genrec.prompts import Example
from genrec.serving.vllm.engine import Prompt, PromptPicture

_KEYS_KEPT = 1 << 18


class PromptPictures:
    """Puts pictures into prompts."""

    def __init__(self, source: PictureSource | None) -> None:
        """Take pictures from a source; without one no prompt shows any."""
        self.source = source
        self._key_of: dict[int, str] = {}

    def prompts(self, examples: Sequence[Example]) -> list[Prompt]:
        """Write what was rendered as vLLM takes it.

        Raises:
            ValueError: When the source gives pixels and not what the encoder makes of them.
        """
        rows = sorted({row for example in examples for row in example.pictures})
        if self.source is None or not rows:
            return [Prompt(example.prompt.tolist()) for example in examples]
        features = self.source.inputs(rows).get("picture_features")
        if features is None:
            raise ValueError(
                "vLLM takes what the picture encoder makes of pictures, but this source gives "
                "pixels; use PictureStore.for_model(model, catalogue)"
            )
        features_of = dict(zip(rows, features, strict=True))
        return [
            Prompt(example.prompt.tolist(), tuple(self._pictures(example, features_of)))
            for example in examples
        ]

    def _pictures(
        self, example: Example, features_of: dict[int, Tensor]
    ) -> Iterator[PromptPicture]:
        for number, start, end in runs(example.owner):
            row = example.pictures[number]
            features_SD = features_of[row]
            if row not in self._key_of:
                if len(self._key_of) >= _KEYS_KEPT:  # items that requests bring along come and go
                    self._key_of.clear()
                content = features_SD.contiguous().numpy().tobytes()
                self._key_of[row] = hashlib.sha256(content).hexdigest()
            yield PromptPicture(self._key_of[row], features_SD, start, end - start)


def runs(owner_P: Owners) -> Iterator[tuple[int, int, int]]:
    """List the neighbours with one owner: the owner, where they begin and where they end."""
    bounds = [0, *(np.flatnonzero(np.diff(owner_P)) + 1).tolist(), len(owner_P)]
    for start, end in itertools.pairwise(bounds):
        if end > start and owner_P[start] >= 0:
            yield int(owner_P[start]), start, end
