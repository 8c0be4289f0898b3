"""The methods that can stand beside a model, by name: where recipes take their baselines from.

A method joins by one entry in ``METHODS``. What it needs beyond numpy is imported when it is made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from genrec.artifacts import check_same
from genrec.config import from_dict
from genrec.data import Dataset, Split
from genrec.data.errors import did_you_mean
from genrec.eval.baselines import (
    GlobalMeanRecommender,
    MeanRatingConfig,
    MeanRatingRecommender,
    PopularityRecommender,
    popularity,
    tune_mean_rating,
)
from genrec.eval.content_knn import (
    ContentKNNRecommender,
    ContentKNNSettings,
    tune_content_knn,
)
from genrec.eval.dense import DenseRecommender
from genrec.eval.encoded_texts import EncodedTexts
from genrec.eval.factorization import ALSConfig, ALSRecommender, tune_als
from genrec.eval.hybrid import Scale
from genrec.eval.item_knn import ItemKNNConfig, ItemKNNRecommender, tune_item_knn
from genrec.eval.lexical import BM25Config, BM25Recommender
from genrec.eval.sasrec.config import SASRecSettings
from genrec.eval.tasks import QUERY_TASKS, RANKING_TASKS, RATING_TASKS
from genrec.eval.templates import TemplateConfig, TemplateRecommender, tune_templates
from genrec.recommender import Recommender


@dataclass(frozen=True)
class Method:
    """How a method is made, and what it can be asked."""

    tasks: tuple[str, ...]
    """The tasks that it answers."""

    make: Callable[[Dataset, Split, Any, int], Recommender]
    """Makes it from the data, what may be learned from, its settings, and a seed. Settings that are
    ``None`` are the method's to choose: by default, or tuned on the validation events."""

    settings: type | None = None
    """The dataclass of its settings; ``None`` for a method that has none."""

    scale: Scale = "scores"
    """What the numbers of its rankings are, for mixtures."""


def _popularity(dataset: Dataset, split: Split, settings: None, seed: int) -> Recommender:
    return PopularityRecommender(dataset, split.train, seed=seed)


def _item_knn(
    dataset: Dataset, split: Split, settings: ItemKNNConfig | None, seed: int
) -> Recommender:
    tuned = settings or tune_item_knn(dataset, split, seed=seed)
    return ItemKNNRecommender(dataset, split.train, tuned, seed=seed)


def _content_knn(
    dataset: Dataset, split: Split, settings: ContentKNNSettings | None, seed: int
) -> Recommender:
    settings = settings or ContentKNNSettings()
    features_NF = settings.texts.features(dataset.catalogue)
    tuned = settings.neighbours or tune_content_knn(features_NF, dataset, split, seed=seed)
    return ContentKNNRecommender(features_NF, tuned, seed=seed)


def _als(dataset: Dataset, split: Split, settings: ALSConfig | None, seed: int) -> Recommender:
    tuned = settings or tune_als(dataset, split, seed=seed)
    return ALSRecommender(dataset, split.train, tuned, seed=seed)


def _sasrec(
    dataset: Dataset, split: Split, settings: SASRecSettings | None, seed: int
) -> Recommender:
    from genrec.eval.sasrec import SASRecRecommender, train_sasrec

    settings = settings or SASRecSettings()
    if settings.path is None:
        trained = train_sasrec(dataset, split, settings.model, settings.training, seed=seed)
        return trained.recommender
    recommender = SASRecRecommender.from_pretrained(settings.path)
    check_same(
        "catalogue", recommender.catalogue, dataset.catalogue.fingerprint,
        ours_from=str(settings.path), theirs_from=dataset.name,
    )  # fmt: skip
    return recommender


def _bm25(dataset: Dataset, split: Split, settings: BM25Config | None, seed: int) -> Recommender:
    from genrec.tokenization import item_texts

    count_N = popularity(dataset, split.train)
    return BM25Recommender(item_texts(dataset.catalogue), settings, popularity_N=count_N, seed=seed)


def _dense(dataset: Dataset, split: Split, settings: EncodedTexts | None, seed: int) -> Recommender:
    from genrec.tokenization.encoders import load_text_encoder

    settings = settings or EncodedTexts()
    features_NF = settings.features(dataset.catalogue)
    return DenseRecommender(features_NF, load_text_encoder(settings.encoder), seed=seed)


def _templates(
    dataset: Dataset, split: Split, settings: TemplateConfig | None, seed: int
) -> Recommender:
    tuned = settings or tune_templates(dataset, split, seed=seed)
    return TemplateRecommender(dataset, split.train, tuned)


def _global_mean(dataset: Dataset, split: Split, settings: None, seed: int) -> Recommender:
    return GlobalMeanRecommender(dataset, split.train)


def _mean_rating(
    dataset: Dataset, split: Split, settings: MeanRatingConfig | None, seed: int
) -> Recommender:
    tuned = settings or tune_mean_rating(dataset, split, seed=seed)
    return MeanRatingRecommender(dataset, split.train, tuned)


METHODS: Final[dict[str, Method]] = {
    "popularity": Method(RANKING_TASKS, _popularity),
    "item_knn": Method(RANKING_TASKS, _item_knn, ItemKNNConfig),
    "content_knn": Method(RANKING_TASKS, _content_knn, ContentKNNSettings, "cosines"),
    "als": Method(RANKING_TASKS, _als, ALSConfig),
    "sasrec": Method(RANKING_TASKS, _sasrec, SASRecSettings, "log-probabilities"),
    "bm25": Method(QUERY_TASKS, _bm25, BM25Config),
    "dense": Method(QUERY_TASKS, _dense, EncodedTexts, "cosines"),
    "templates": Method(TemplateRecommender.tasks, _templates, TemplateConfig),
    "global_mean": Method(RATING_TASKS, _global_mean),
    "mean_rating": Method(("rate",), _mean_rating, MeanRatingConfig),
}
"""All methods that can be made from the data alone."""


def check_methods(names: tuple[str, ...], settings: Mapping[str, Any]) -> None:
    """Refuse names that no method has, and settings of methods that are not asked for.

    Raises:
        ValueError: The message suggests the nearest name.
    """
    for name in names:
        if name not in METHODS:
            raise ValueError(f"there is no baseline {name!r}; {did_you_mean(name, list(METHODS))}")
    for name in settings:
        if name not in names:
            raise ValueError(
                f"there are settings for {name!r}, which is not among the baselines "
                f"{', '.join(names) or '(none)'}"
            )


def make_method(
    name: str,
    dataset: Dataset,
    split: Split,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Recommender:
    """Make a method by its name.

    Args:
        name: One of ``METHODS``.
        dataset: The data.
        split: What it may learn from, and validate on.
        settings: Fields of its settings, as a YAML file has them; left out, it chooses them itself.
        seed: Decides whatever it draws.

    Raises:
        ConfigError: When it has no such settings.
        ValueError: When there is no such method.
    """
    check_methods((name,), {})
    method = METHODS[name]
    if settings is None:
        return method.make(dataset, split, None, seed)
    if method.settings is None:
        raise ValueError(f"{name!r} has no settings; leave {', '.join(settings)} out")
    chosen: Any = from_dict(method.settings, settings, source=f"the settings of {name}")
    return method.make(dataset, split, chosen, seed)
