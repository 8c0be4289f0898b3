"""SASRec as a recommender, and on disk.

Shape letters in this file: B requests, L places of a history, N items.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrec.artifacts import ArtifactError, read_json, write_directory, write_json
from genrec.eval.sasrec.config import SASRecConfig
from genrec.eval.sasrec.network import SASRec
from genrec.eval.tasks import RANKING_TASKS
from genrec.eval.top_items import top_items
from genrec.recommender import Ranking, Request

_SCORES_AT_ONCE = 1 << 24
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


class SASRecRecommender:
    """Ranks items by the score that SASRec gives them after the last item of the history."""

    tasks = RANKING_TASKS

    def __init__(self, model: SASRec, catalogue: str, *, batch_size: int = 256) -> None:
        """Rank with a trained model.

        Args:
            model: The model; it is asked on the device where it is.
            catalogue: Fingerprint of the catalogue whose rows it knows.
            batch_size: Requests at a time; fewer where the catalogue is large.
        """
        self.model = model
        self.catalogue = catalogue
        self._batch_size = max(1, min(batch_size, _SCORES_AT_ONCE // model.start))

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank the likeliest next items of each history among those that it allows."""
        rankings = []
        for start in range(0, len(requests), self._batch_size):
            some = requests[start : start + self._batch_size]
            scores_BN = self._scores([request.history for request in some])
            rankings += top_items(scores_BN.double().cpu().numpy(), some, k)
        return rankings

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Refuse: SASRec has no words."""
        raise NotImplementedError("SASRec only ranks items; it answers no 'rate' or 'explain'")

    @torch.inference_mode()
    def _scores(self, histories: Sequence[Sequence[int]]) -> Tensor:
        """Give the log-probability of every item after each history, shape (B, N)."""
        self.model.eval()
        longest = self.model.config.max_items
        read = [([self.model.start, *history])[-longest:] for history in histories]
        width = max(map(len, read))
        padded = [history + [0] * (width - len(history)) for history in read]
        device = self.model.items.weight.device
        last_B = torch.tensor([len(history) - 1 for history in read], device=device)
        states_BLD = self.model(torch.tensor(padded, device=device))
        state_BD = states_BLD[torch.arange(len(read), device=device), last_B]
        return self.model.scores(state_BD).log_softmax(dim=1)

    def save_pretrained(self, path: Path | str) -> None:
        """Write the model into a directory that appears whole or not at all."""
        with write_directory(path) as folder:
            about = {"items": self.model.start, "catalogue": self.catalogue}
            write_json(folder / _CONFIG, {**about, "model": asdict(self.model.config)})
            save_file(self.model.state_dict(), folder / _WEIGHTS)

    @classmethod
    def from_pretrained(
        cls, path: Path | str, *, device: str | torch.device = "cpu"
    ) -> "SASRecRecommender":
        """Read what :meth:`save_pretrained` wrote.

        Raises:
            ArtifactError: When there is no such model, or its parts do not fit.
        """
        path = Path(path)
        saved = read_json(path / _CONFIG)
        try:
            model = SASRec(SASRecConfig(**saved["model"]), saved["items"])
            model.load_state_dict(load_file(path / _WEIGHTS))
            return cls(model.to(device), saved["catalogue"])
        except (KeyError, TypeError, ValueError, OSError, SafetensorError, RuntimeError) as error:
            raise ArtifactError(f"{path} does not hold a SASRec: {error}") from error
