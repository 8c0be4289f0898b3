"""What a call shows to a model: pictures, or the features of them, and which tokens see which.

Shape letters in this file: R rows, T tokens of a row, U distinct pictures, S features of each,
D width, H height, W width of pixels.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from genrec.models.flamingo.config import FlamingoConfig


class Shown(NamedTuple):
    """The pictures of a call, as its arguments give them."""

    owner_RT: Tensor | None
    """The picture that each token sees, or -1; ``None`` where no token sees any."""

    features_USD: Tensor | None
    """What the encoder makes of the pictures, or ..."""

    pixels_U3HW: Tensor | None
    """... the pictures themselves."""

    @classmethod
    def to_nobody(cls, config: FlamingoConfig, device: torch.device) -> "Shown":
        """Make one picture that no token sees: features, or pixels for an encoder that trains."""
        vision: Any = config.vision_config
        if config.freeze_vision:
            return cls(None, torch.zeros(1, 1, vision.hidden_size, device=device), None)
        size = vision.image_size
        height, width = (size, size) if isinstance(size, int) else size
        return cls(None, None, torch.zeros(1, vision.num_channels, height, width, device=device))

    def owner_of(self, tokens: Tensor) -> Tensor | None:
        """Return the picture that each token sees; ``None`` where there is nothing to see.

        Args:
            tokens: Tokens or their embeddings, of shape (R, T, ...).

        Raises:
            ValueError: When pictures came without owners, or these are not of the tokens.
        """
        given = self.pixels_U3HW if self.features_USD is None else self.features_USD
        if self.owner_RT is None:
            if given is not None:
                raise ValueError("pictures came, but no owner that tells which tokens see them")
            return None
        if given is not None and len(given) == 0:
            return None
        if self.owner_RT.shape != tokens.shape[:2]:
            raise ValueError(
                f"owner has the shape {tuple(self.owner_RT.shape)}, "
                f"but the tokens have {tuple(tokens.shape[:2])}; name one picture, or -1, a token"
            )
        return self.owner_RT

    def features(self, *, width: int) -> Tensor | None:
        """Return the features that were given; ``None`` where the pictures must be encoded first.

        Args:
            width: That of the encoder's features (D).

        Raises:
            ValueError: When neither came, or both, or the features are of another encoder.
        """
        if (self.features_USD is None) == (self.pixels_U3HW is None):
            raise ValueError(
                "owner names pictures: give picture_features or pixel_values, not both"
            )
        if self.features_USD is None:
            return None
        if self.features_USD.dim() != 3 or self.features_USD.shape[-1] != width:
            raise ValueError(
                f"picture_features have the shape {tuple(self.features_USD.shape)}, but this "
                f"encoder makes (pictures, features, {width}); were they made by another one?"
            )
        return self.features_USD
