"""What comes from foreign code is kept from doing harm."""

import asyncio

import pytest

from cidx_jobs.model.foreign import attempt


def test_what_foreign_code_raises_is_handed_to_the_caller() -> None:
    """As a value beside the other, so that nothing is lost and nobody else is harmed."""
    value, nothing = attempt(int, "7", base=8)
    none, error = attempt(int, "seven")

    assert (value, nothing, none) == (7, None, None)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_a_cancellation_and_an_exit_go_on(kind: type[BaseException]) -> None:
    """They are no errors of the code that was called."""

    def end() -> None:
        raise kind

    with pytest.raises(kind):
        attempt(end)
