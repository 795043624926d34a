"""What is asked of jobs, as values that go from process to process."""

from typing import get_args

import msgspec
from typing_extensions import get_original_bases

from cidx_jobs.interfaces import door
from cidx_jobs.interfaces.door import Command, ReviseJob
from cidx_jobs.model.ids import JobId
from cidx_jobs.web.routes.owner.messages import Asked, encode_message

COMMANDS = [each for each in Command.__subclasses__() if each.__module__ == door.__name__]


def test_every_command_can_be_asked_of_another_process() -> None:
    """None is left out of what the owner of a directory reads."""
    assert set(COMMANDS) <= set(get_args(Asked))


def test_every_command_says_what_it_is_answered_with() -> None:
    """The answer can be read from JSON."""
    answers = [get_args(get_original_bases(each)[0])[0] for each in COMMANDS]

    decoders = [msgspec.json.Decoder(answer) for answer in answers]

    assert len(decoders) == len(COMMANDS) > 15


def test_a_command_arrives_as_it_was_sent() -> None:
    """With what it names, and no more."""
    command = ReviseJob(job_id=JobId("j"), labels={"a": "b"}, if_version=3)

    text = encode_message(command)

    assert msgspec.json.decode(text, type=Asked) == command
    assert b"priority" not in text
