"""Train a SASRec until it validates no better; a run that was killed goes on where it was.

Shape letters in this file: N items, S drawn items, M places that are no padding.
"""

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from genrec.artifacts import read_json, write_directory, write_json
from genrec.data import Dataset, Split, sample_events
from genrec.eval.baselines import popularity
from genrec.eval.harness import evaluate
from genrec.eval.sasrec.batches import NOTHING, Batch, batches, cut
from genrec.eval.sasrec.config import SASRecConfig, SASRecTrainingConfig
from genrec.eval.sasrec.losses import full_cross_entropy, sampled_softmax
from genrec.eval.sasrec.network import SASRec
from genrec.eval.sasrec.recommender import SASRecRecommender

log = logging.getLogger(__name__)

_METRIC = "ndcg@10"


class DivergedError(RuntimeError):
    """The loss is no number any more; the message names the epoch and the remedy."""


class Epoch(NamedTuple):
    """What one pass over the train events gave."""

    loss: float
    """Mean over the steps."""

    score: float
    """NDCG@10 on the validation events."""

    seconds: float
    """How long it took, validation included."""


class Trained(NamedTuple):
    """The model that validated best, and how it got there."""

    recommender: SASRecRecommender
    epochs: list[Epoch]
    best: int
    """Number of the epoch that the model is from."""


def train_sasrec(
    dataset: Dataset,
    split: Split,
    config: SASRecConfig | None = None,
    training: SASRecTrainingConfig | None = None,
    *,
    folder: Path | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Trained:
    """Train on the train events, stop by full rankings of validation events.

    Args:
        dataset: The data.
        split: What to learn from and what to validate on; the test events are not touched.
        config: Shape of the model.
        training: Loss, steps and when to stop.
        folder: Where every epoch leaves what is needed to go on; a run that finds it there does.
        seed: Decides the first weights, the batches, what is dropped and what is drawn.
        device: Where the model is trained.
        progress: Show a bar for each epoch.

    Raises:
        ValueError: When nothing can be learned from, or nothing validated on.
        DivergedError: When the loss is not finite.
    """
    config, training = config or SASRecConfig(), training or SASRecTrainingConfig()
    if not split.train.any() or not len(split.validation):
        raise ValueError(
            f"{dataset.name} has {split.train.sum()} train events and {len(split.validation)} to "
            "validate on; both are needed"
        )
    model = SASRec(config, len(dataset.catalogue))
    model.initialise(generator=torch.Generator().manual_seed(seed))
    run = _Run(model.to(device), dataset, split, training, seed=seed)
    if folder is not None:
        run.restore(folder)
    while not run.is_done:
        run.train_epoch(progress=progress)
        if folder is not None:
            run.save(folder)
    return run.finish()


class _Run:
    """A model in training. All that is random in an epoch follows from the seed and its number."""

    def __init__(
        self,
        model: SASRec,
        dataset: Dataset,
        split: Split,
        training: SASRecTrainingConfig,
        *,
        seed: int,
    ) -> None:
        self._model, self._dataset, self._split = model, dataset, split
        self._training, self._seed = training, seed
        self._device = model.items.weight.device
        self._recommender = SASRecRecommender(model, dataset.catalogue.fingerprint)
        self._validation = sample_events(split.validation, training.validation_users, seed=seed)
        self._pieces = cut(
            dataset.interactions, split.train, max_items=model.config.max_items, start=model.start
        )
        weight_N = torch.from_numpy(popularity(dataset, split.train)) ** training.popularity_power
        self._share_N = (weight_N / weight_N.sum()).float()
        self._expected_N = (self._share_N * training.negatives).to(self._device)
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay,
            fused=True,
        )  # fmt: skip
        self._steps = 0
        self._epochs: list[Epoch] = []
        self._best_weights: dict[str, Tensor] = {}

    @property
    def is_done(self) -> bool:
        """Whether all epochs are over, or too many of them brought nothing."""
        waited = len(self._epochs) - 1 - self._best
        return len(self._epochs) >= self._training.epochs or waited >= self._training.patience

    @property
    def _best(self) -> int:
        """Number of the epoch that validated best; -1 before the first."""
        scores = [epoch.score for epoch in self._epochs]
        return int(np.argmax(scores)) if scores else -1

    def train_epoch(self, *, progress: bool) -> None:
        """Pass over all train events once, then validate."""
        number, started = len(self._epochs), time.perf_counter()
        order, weights = np.random.SeedSequence([self._seed, number]).spawn(2)
        with torch.random.fork_rng():
            torch.manual_seed(int(weights.generate_state(1, np.uint64)[0]))
            losses = [
                self._step(batch)
                for batch in self._batches(np.random.default_rng(order), progress=progress)
            ]
        loss = torch.stack(losses).mean().item()
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss is {loss} in epoch {number}; lower learning_rate "
                f"{self._training.learning_rate}"
            )
        results = evaluate(
            self._recommender, self._dataset, self._validation, train=self._split.train
        )
        score = results["recommend"].statistics.values[_METRIC]
        self._epochs.append(Epoch(loss, score, time.perf_counter() - started))
        if self._best == number:
            state = self._model.state_dict()
            self._best_weights = {name: value.clone() for name, value in state.items()}
        log.info("epoch %d: loss %.4f, validation %s %.4f", number, loss, _METRIC, score)

    def _batches(self, rng: np.random.Generator, *, progress: bool) -> Iterator[Batch]:
        with tqdm(
            total=len(self._pieces.target_T), desc=f"epoch {len(self._epochs)}", unit="event",
            unit_scale=True, disable=not progress, leave=False,
        ) as bar:  # fmt: skip
            for batch in batches(self._pieces, self._training.tokens, rng=rng):
                yield batch
                bar.update(int((batch.target_BL != NOTHING).sum()))

    def _step(self, batch: Batch) -> Tensor:
        """Learn from one batch; the loss stays on the device, so that nothing waits for it."""
        self._model.train()
        history_BL, target_BL = (part.to(self._device) for part in batch)
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=self._training.precision == "bfloat16"
        ):
            state_BLD = self._model(history_BL)
        real_BL = target_BL != NOTHING
        loss = self._loss(state_BLD[real_BL], target_BL[real_BL])
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._steps += 1
        for group in self._optimizer.param_groups:
            warmth = min(1.0, self._steps / max(self._training.warmup_steps, 1))
            group["lr"] = warmth * self._training.learning_rate
        self._optimizer.step()
        return loss.detach()

    def _loss(self, state_MD: Tensor, target_M: Tensor) -> Tensor:
        if self._training.loss == "cross_entropy":
            return full_cross_entropy(self._model, state_MD, target_M)
        drawn_S = torch.multinomial(self._share_N, self._training.negatives, replacement=True)
        expected_N = self._expected_N if self._training.logq else None
        return sampled_softmax(
            self._model, state_MD, target_M, drawn_S.to(self._device), expected_N
        )

    def save(self, folder: Path) -> None:
        """Leave all that a later run needs to go on."""
        optimizer = self._optimizer.state_dict()["state"]
        tensors = {
            **{f"model.{name}": value for name, value in self._model.state_dict().items()},
            **{f"best.{name}": value for name, value in self._best_weights.items()},
            **{
                f"optimizer.{row}.{name}": value
                for row, state in optimizer.items()
                for name, value in state.items()
            },
        }
        with write_directory(folder / "state") as written:
            save_file(tensors, written / "state.safetensors")
            write_json(written / "epochs.json", {"steps": self._steps, "epochs": self._epochs})

    def restore(self, folder: Path) -> None:
        """Go on from what an earlier run left, if it left anything."""
        saved = folder / "state"
        if not saved.is_dir():
            return
        record = read_json(saved / "epochs.json")
        tensors = load_file(saved / "state.safetensors", device=str(self._device))
        self._steps = record["steps"]
        self._epochs = [Epoch(*epoch) for epoch in record["epochs"]]
        self._model.load_state_dict(_under("model.", tensors))
        self._best_weights = _under("best.", tensors)
        state = self._optimizer.state_dict()
        for name, value in _under("optimizer.", tensors).items():
            row, _, key = name.partition(".")
            state["state"].setdefault(int(row), {})[key] = value
        self._optimizer.load_state_dict(state)
        log.info("going on after epoch %d of %s", len(self._epochs) - 1, saved)

    def finish(self) -> Trained:
        """Take the weights that validated best."""
        self._model.load_state_dict(self._best_weights)
        self._model.eval()
        return Trained(self._recommender, self._epochs, self._best)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
