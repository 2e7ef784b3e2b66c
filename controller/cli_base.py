"""What all command groups share: errors as one line, and the screen."""

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

import typer
from rich.console import Console

from controller.client import RequestFailed
from controller.errors import ControllerError

P = ParamSpec("P")
R = TypeVar("R")
OUT: Final = Console(highlight=False)
ERR: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def one_line_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command end with one line on stderr and status 1 instead of a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except RequestFailed as error:
            for row in error.rows:
                ERR.print(row, markup=False)
            ERR.print(f"error: {error}", markup=False)
        except ControllerError as error:
            ERR.print(f"error: {error}", markup=False)
        raise typer.Exit(1)

    return run
