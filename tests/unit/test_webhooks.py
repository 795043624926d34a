"""Signatures of deliveries, and what each code host's body is read as."""

import base64
import hashlib
import hmac
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from multidict import CIMultiDict

from cidx_jobs.engine.webhooks import code_hosts, signatures, standard
from cidx_jobs.engine.webhooks.code_hosts import HostEvent, RefChange, RefKind
from cidx_jobs.engine.webhooks.signatures import Signed, is_signed
from cidx_jobs.wire.strict_json import MalformedBodyError
from tests import pushes
from tests.pushes import HOSTS, SECRET, Delivery

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
STAMP = int(NOW.timestamp())
BODY = b'{"ref": "refs/heads/main"}'
HEX = pushes.digest(SECRET, BODY)
WRONG = pushes.digest("another", BODY)
SIGNED = pushes.standard(body=BODY, timestamp=STAMP).headers


def fits(headers: Mapping[str, str], body: bytes = BODY, now: datetime = NOW) -> bool:
    """Return whether a body with these headers counts as signed."""
    return is_signed(SECRET, Signed(CIMultiDict(headers), body, now))


@pytest.mark.parametrize(
    "headers",
    [
        SIGNED,
        {"X-Gitea-Signature": HEX},
        {"x-hub-signature-256": f"sha256={HEX}"},
        {"X-Gitlab-Token": SECRET},
        {"X-Hub-Signature": f"sha256={HEX}"},
    ],
)
def test_each_way_to_sign_is_taken(headers: Mapping[str, str]) -> None:
    """By the secret's text, or, in the standard, by the bytes that it spells."""
    assert fits(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Gogs-Signature": HEX},
        {"X-Gitea-Signature": ""},
        {"X-Gitea-Signature": WRONG},
        {"X-Gitea-Signature": f"sha256={HEX}"},
        {"X-Hub-Signature-256": HEX},
        {"X-Hub-Signature-256": f"sha256={WRONG}"},
        {"X-Hub-Signature-256": f"sha512={HEX}"},
        {"X-Gitlab-Token": ""},
        {"X-Gitlab-Token": SECRET[:-1]},
        {"X-Gitlab-Token": "caf\udce9"},
        {"X-Hub-Signature": "sha1=" + hmac.new(SECRET.encode(), BODY, hashlib.sha1).hexdigest()},
        {"X-Hub-Signature": f"sha1={HEX}"},
        {**SIGNED, "webhook-signature": ""},
        {**SIGNED, "webhook-signature": SIGNED["webhook-signature"].replace("v1,", "v1a,")},
        {**SIGNED, "webhook-signature": f"v1,{HEX}"},
        {**SIGNED, "webhook-id": "another"},
        {**SIGNED, "webhook-id": ""},
        {**SIGNED, "webhook-timestamp": str(STAMP + 1)},
        {**SIGNED, "webhook-timestamp": f"{STAMP}.0"},
        {**SIGNED, "webhook-timestamp": "\u0661" * 10},
        {**SIGNED, "webhook-timestamp": "9" * 5_000},
        {**SIGNED, "webhook-timestamp": ""},
        {"webhook-signature": SIGNED["webhook-signature"]},
    ],
)
def test_what_is_no_signature_is_refused(headers: Mapping[str, str]) -> None:
    """Another's, none, one of a weaker kind, or one of something else."""
    assert not fits(headers)


@pytest.mark.parametrize("name", signatures.HEADERS)
def test_a_changed_body_is_not_signed(name: str) -> None:
    """Only a token says nothing of the body."""
    headers = {
        "webhook-signature": SIGNED,
        "X-Gitea-Signature": {name: HEX},
        "X-Gitlab-Token": {name: SECRET},
    }.get(name, {name: f"sha256={HEX}"})

    assert fits(headers, BODY + b" ") is (name == "X-Gitlab-Token")


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.combinations(range(len(signatures.HEADERS)), 2))
)
def test_the_first_header_that_is_there_decides(first: int, second: int) -> None:
    """A right one behind it helps nobody, and a wrong one behind it harms nobody."""
    right = [SIGNED["webhook-signature"], HEX, f"sha256={HEX}", SECRET, f"sha256={HEX}"]
    names = signatures.HEADERS
    base = {name: SIGNED[name] for name in ("webhook-id", "webhook-timestamp")}

    assert fits({**base, names[second]: "wrong", names[first]: right[first]})
    assert not fits({**base, names[second]: right[second], names[first]: "wrong"})


@pytest.mark.parametrize(("seconds", "is_taken"), [(300, True), (-300, True), (301, False),
                                                   (-301, False)])  # fmt: skip
def test_a_message_is_good_for_five_minutes(seconds: int, is_taken: bool) -> None:
    """Before and after its time: an old one cannot be sent again for ever."""
    assert fits(SIGNED, now=NOW + timedelta(seconds=seconds)) is is_taken


def test_one_of_several_signatures_will_do() -> None:
    """A sender that changes its secret signs with both; a list without end is not read."""
    own = SIGNED["webhook-signature"]

    assert fits({**SIGNED, "webhook-signature": f"v1,abc {own}"})
    assert not fits({**SIGNED, "webhook-signature": "v1,abc " * 1_000 + own})


def test_a_signature_is_that_of_the_standard() -> None:
    """The example of its documentation, and a secret that is none raises."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'

    mark = standard.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)

    assert mark == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert len(base64.b64decode(standard.make_secret().removeprefix("whsec_"))) == 32
    with pytest.raises(ValueError, match="no secret"):
        standard.sign("whsec_no secret", "1", "1", b"")


def read(delivery: Delivery) -> HostEvent:
    """Return what a delivery tells."""
    headers = CIMultiDict(delivery.headers)
    host = code_hosts.find_host(headers)
    return code_hosts.read_event(host, headers, code_hosts.unpack(headers, delivery.body))


@pytest.mark.parametrize("name", HOSTS)
def test_each_host_is_known_with_its_pushes(name: str) -> None:
    """A branch, one that was deleted, a tag."""
    make = HOSTS[name]

    branch, gone = read(make("refs/heads/x/y")), read(make("refs/heads/main", deleted=True))
    tag = read(make("refs/tags/v1", kind="tag_push") if name == "gitlab" else make("refs/tags/v1"))

    assert branch == HostEvent(name, "push", (RefChange(RefKind.BRANCH, "x/y"),))
    assert gone.changes == (RefChange(RefKind.BRANCH, "main", is_deleted=True),)
    assert tag.changes == (RefChange(RefKind.TAG, "v1"),)


@pytest.mark.parametrize("name", HOSTS)
def test_each_host_names_its_delivery(name: str) -> None:
    """A repeat has the same name; a standard signature's own goes before all."""
    headers = CIMultiDict(HOSTS[name](delivery="the-one").headers)
    host = code_hosts.find_host(headers)

    assert code_hosts.find_delivery_id(host, headers) == "the-one"
    headers.update({"webhook-signature": "x", "webhook-id": "signed"})
    assert code_hosts.find_delivery_id(host, headers) == "signed"
    assert code_hosts.find_delivery_id(host, CIMultiDict()) is None


@pytest.mark.parametrize(
    ("delivery", "kind"),
    [
        (pushes.github(event="ping"), "ping"),
        (pushes.github(event="issues"), "issues"),
        (pushes.github(event=""), "unnamed"),
        (pushes.github(event="caf\x1b[1m" + "e" * 100), "caf\\x1b[1m" + "e" * 54),
        (pushes.gitea(event="create"), "create"),
        (pushes.gitlab(event="Issue Hook", kind="issue"), "issue"),
        (pushes.gitlab(event="System Hook", kind="project_create"), "project_create"),
        (pushes.gitlab(event="System Hook"), "push"),
        (Delivery(pushes.gitlab().headers, b'{"ref": "refs/heads/main"}'), "push"),
        (Delivery(pushes.gitlab(event="Issue Hook").headers, b"{}"), "Issue Hook"),
        (pushes.bitbucket(event="repo:fork"), "repo:fork"),
        (pushes.data_center(event="diagnostics:ping"), "ping"),
        (pushes.data_center(event="pr:opened"), "pr:opened"),
    ],
)
def test_another_event_is_told_by_its_name(delivery: Delivery, kind: str) -> None:
    """Whatever the host calls it, without what a terminal would obey, and not for ever."""
    assert read(delivery).kind == kind


def test_a_form_holds_the_same() -> None:
    """As GitHub and Gitea send it where they are told to."""
    assert read(pushes.github(as_form=True)) == read(pushes.github())
    assert read(pushes.gitea(as_form=True)) == read(pushes.gitea())


def test_a_ref_of_another_kind_is_no_branch() -> None:
    """Such as those of notes, and a branch of Mercurial."""
    notes = read(pushes.standard("refs/notes/commits"))
    body = pushes.as_json({"push": {"changes": [{"new": {"type": "bookmark", "name": "x"}}, {}]}})
    others = read(Delivery(pushes.bitbucket().headers, body))

    assert [change.kind for change in notes.changes] == [RefKind.OTHER]
    assert [change.kind for change in others.changes] == [RefKind.OTHER, RefKind.OTHER]


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[1]", b"{", b"{}", b'{"ref": 1}', b'{"ref": "\\ud800"}', b"[" * 100_000,
     b'{"push": {"changes": 1}}', b'{"changes": [{"ref": {}}]}', b"null"],
)  # fmt: skip
@pytest.mark.parametrize("name", HOSTS)
def test_what_no_host_sends_is_malformed(name: str, body: bytes) -> None:
    """Each as a push of each host."""
    delivery = Delivery(HOSTS[name]().headers, body)

    with pytest.raises(MalformedBodyError):
        read(delivery)


@pytest.mark.parametrize("body", [b"", b"other=1", b"%ff", b"a=1&" * 200])
def test_a_form_without_a_payload_is_malformed(body: bytes) -> None:
    """Or one with more fields than anybody sends."""
    with pytest.raises(MalformedBodyError):
        read(Delivery(pushes.github(as_form=True).headers, body))
