"""Pictures as answers of the service."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from genrec.decoding.drawing import Drawing
from genrec.models.image_tokens import ImageTokenizer
from genrec.recommender import Request
from genrec.serving.painting import Drawer, Painter, Painting


@dataclass(frozen=True)
class Canvas:
    """A model that draws in one way: callers who want the same way share a batch."""

    engine: Drawer
    images: ImageTokenizer
    guides: int
    how: Drawing

    def paint(self, requests: Sequence[Request]) -> list[Painting]:
        """Search for what guides each picture, and draw it."""
        painter = Painter(self.engine, self.images)
        return painter.imagine(requests, guides=self.guides, how=self.how)


def as_base64(picture: Image.Image) -> str:
    """Write a picture as a PNG file in base64."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
