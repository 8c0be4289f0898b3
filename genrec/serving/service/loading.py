"""From directories to a catalogue that is served."""

from pathlib import Path

from genrec.models.image_tokens import ImageTokenizer
from genrec.serving.api import GenRec
from genrec.serving.bundle import draws_pictures, load_image_tokenizer
from genrec.serving.service.changes import ChangeLog
from genrec.serving.service.newcomers import Newcomers
from genrec.serving.service.store import CatalogueStore
from genrec.serving.service.versions import Engine
from genrec.tokenization import SemanticTokenizer


def load_store(
    rec: GenRec,
    *,
    tokenizer: Path | str | None = None,
    state: Path | str | None = None,
    device: str = "cpu",
) -> CatalogueStore:
    """Serve a model's catalogue, with all that has happened to it.

    Args:
        rec: The model.
        tokenizer: The tokenizer that gave its items their IDs; without it none can be added.
        state: Where changes are kept, so that a restart serves the same version; processes that
            share it serve the same catalogue. Without it changes are lost with the process.
        device: Where features of new items are computed.

    Raises:
        ArtifactError: When the parts do not fit each other.
        TypeError: When the engine cannot follow a catalogue.
    """
    engine = rec.recommender
    if not isinstance(engine, Engine):
        raise TypeError(f"{type(engine).__name__} cannot follow a catalogue that changes")
    renderer = engine.renderer
    base = {
        "catalogue": renderer.catalogue.fingerprint, "semantic IDs": renderer.ids.fingerprint
    }  # fmt: skip
    newcomers = None
    if tokenizer is not None:
        newcomers = Newcomers(SemanticTokenizer.from_pretrained(tokenizer), device=device)
    return CatalogueStore(
        engine, ChangeLog(None if state is None else Path(state), base), newcomers
    )


def images_of(model: Path) -> ImageTokenizer | None:
    """Load what makes pictures of a model's image tokens; ``None`` for one that does not draw."""
    return load_image_tokenizer(model) if draws_pictures(model) else None
