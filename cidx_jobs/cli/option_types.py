"""Kinds of values that click does not have, or takes too much for."""

import math
from pathlib import Path
from typing import Any

import click


class Seconds(click.FloatRange):
    """A number of seconds: `nan` and `inf` are none, and no request could carry them."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Give the number; what is none is a wrong command line."""
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds


class Place(click.Path):
    """A file or folder, whether or not it can be read: that is told by who opens it."""

    def __init__(self) -> None:
        """Take any path."""
        super().__init__(readable=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give the path; an empty text would be the working directory, which nobody meant."""
        if value == "":
            self.fail("it is empty.", param, ctx)
        return super().convert(value, param, ctx)


SECONDS = Seconds(min=0, min_open=True)
