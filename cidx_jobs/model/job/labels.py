"""Labels of a job: the marks of whoever submits it, and what they keep to."""

import re
from collections.abc import Iterator, Mapping

from cidx_jobs.model.errors import Fault, pointer_step
from cidx_jobs.model.limits import LABEL_KEY_PATTERN, MAX_LABEL_CHARACTERS, MAX_LABELS

_KEY = re.compile(LABEL_KEY_PATTERN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_labels(labels: Mapping[str, str]) -> Iterator[Fault]:
    """Yield what is wrong with labels: at most 32, short keys, values without control marks."""
    if len(labels) > MAX_LABELS:
        yield Fault("/labels", f"at most {MAX_LABELS} labels")
    for key, value in labels.items():
        pointer = f"/labels/{pointer_step(key)}"
        if not _KEY.fullmatch(key):
            yield Fault(pointer, "a label's key is 1 to 63 characters of [a-z0-9._-]")
        if len(value) > MAX_LABEL_CHARACTERS or _CONTROL.search(value):
            yield Fault(
                pointer,
                f"a label's value has at most {MAX_LABEL_CHARACTERS} characters, none a control",
            )
