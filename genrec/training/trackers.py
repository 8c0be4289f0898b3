"""Which trackers can be logged to."""

from collections.abc import Sequence

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from genrec.data.errors import did_you_mean


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that accelerate does not know, and those that it would leave out silently.

    Raises:
        ValueError: When there is no such tracker, or its package is not installed.
    """
    installed = {tracker.value for tracker in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            told = did_you_mean(name, list(LOGGER_TYPE_TO_CLASS), shown=20)
            raise ValueError(f"there is no tracker {name!r}; {told}")
        if name not in installed:
            raise ValueError(f"the tracker {name!r} is not installed; pip install its package")
