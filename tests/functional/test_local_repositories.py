"""Local roots: what lies at a path below one must not lead out of it, whatever it is."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import attrs
import pytest

from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.settings import Settings
from tests.sync_kit import Repository, Syncs, sync_settings, syncing

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

NEEDLE = "needle outside"


@attrs.frozen
class Places:
    """A root, and a repository that does not lie below it."""

    root: Path
    outside: Repository

    @property
    def secret(self) -> Path:
        """The git directory that must not be read."""
        return self.outside.path / ".git"

    def make(self, name: str) -> Repository:
        """Make a repository below the root that holds no object of the other."""
        return Repository(self.root / name)

    def point_at_secret(self, repository: Repository) -> Repository:
        """Let a branch name the other's commit."""
        commit = self.outside.git("rev-parse", "HEAD")
        (repository.path / ".git/refs/heads/main").write_text(f"{commit}\n")
        return repository


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Make a root, and a repository outside of it."""
    outside = Repository(tmp_path / "outside")
    outside.commit({"o.txt": f"{NEEDLE}\n"})
    (tmp_path / "remotes").mkdir()
    return Places(tmp_path / "remotes", outside)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Allow the root."""
    return sync_settings(tmp_path)


@pytest.fixture
async def syncs(settings: Settings) -> AsyncIterator[Syncs]:
    """Open a system."""
    async with syncing(settings) as opened:
        yield opened


def link_git_directory(places: Places) -> Path:
    """Let ``.git`` be a link."""
    place = places.root / "a"
    place.mkdir()
    (place / ".git").symlink_to(places.secret)
    return place


def write_git_file(places: Places) -> Path:
    """Let ``.git`` be a file that names the directory, from where it lies."""
    place = places.root / "a"
    place.mkdir()
    (place / ".git").write_text("gitdir: ../../outside/.git\n")
    return place


def write_common_directory(places: Places) -> Path:
    """Let tracked files be a git directory whose objects are another's."""
    place = places.root / "a"
    place.mkdir()
    (place / "HEAD").write_text("ref: refs/heads/main\n")
    (place / "commondir").write_text(f"{places.secret}\n")
    return place


def borrow_objects(places: Places) -> Path:
    """Borrow them by way of a repository below the root."""
    lender, borrower = places.make("lender"), places.make("a")
    (lender.path / ".git/objects/info").mkdir(exist_ok=True)
    (lender.path / ".git/objects/info/alternates").write_text(f"{places.secret}/objects\n")
    (borrower.path / ".git/objects/info").mkdir(exist_ok=True)
    (borrower.path / ".git/objects/info/alternates").write_text("../../../lender/.git/objects\n")
    return places.point_at_secret(borrower).path


def link_objects(places: Places) -> Path:
    """Let the directory of the objects be a link."""
    repository = places.point_at_secret(places.make("a"))
    objects = repository.path / ".git/objects"
    objects.rename(objects.with_name("unused"))
    objects.symlink_to(places.secret / "objects")
    return repository.path


def link_single_objects(places: Places) -> Path:
    """Let each object be a link, in a directory that is reached by a link below the root."""
    repository = places.point_at_secret(places.make("a"))
    for source in places.secret.glob("objects/??/*"):
        stash = places.root / "stash" / source.parent.name
        stash.mkdir(parents=True, exist_ok=True)
        (stash / source.name).symlink_to(source)
        target = repository.path / ".git/objects" / source.parent.name
        if not target.exists():
            target.symlink_to(stash)
    return repository.path


def link_refs(places: Places) -> Path:
    """Let the refs be another's."""
    repository = places.make("a")
    refs = repository.path / ".git/refs"
    refs.rename(refs.with_name("unused"))
    refs.symlink_to(places.secret / "refs")
    return repository.path


@pytest.mark.parametrize(
    "lay_trap",
    [
        link_git_directory,
        write_git_file,
        write_common_directory,
        borrow_objects,
        link_objects,
        link_single_objects,
        link_refs,
    ],
)
async def test_nothing_outside_of_a_root_is_read(
    syncs: Syncs, places: Places, lay_trap: Callable[[Places], Path]
) -> None:
    """Whatever leads out of the roots is refused, and nothing of it can be found."""
    job = await syncs.sync(str(lay_trap(places)))
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "GIT-007"
    assert "does not lie where the operator allows it" in job.error.message
    assert not (syncs.directory / "repo.git").exists()


async def test_another_name_is_not_tried(syncs: Syncs, places: Places) -> None:
    """A path means what lies at it, and not what git would also try."""
    (places.root / "b").mkdir()
    (places.root / "b.git").write_text(f"gitdir: {places.secret}\n")
    job = await syncs.sync(str(places.root / "b"))
    assert job.error is not None
    assert job.error.code == "GIT-003"


async def test_what_stays_below_the_roots_is_read(syncs: Syncs, places: Places) -> None:
    """A work tree of its own, a borrower and a link are read where they stay below the roots."""
    lender = places.make("lender")
    lender.commit({"a.txt": "needle inside\n"})
    lender.git("worktree", "add", "--quiet", "../tree", "-b", "side")
    lender.git("clone", "--quiet", "--shared", "--bare", ".", "../borrower.git")
    (places.root / "link").symlink_to("lender")
    for name in ("tree", "borrower.git", "link"):
        job = await syncs.sync(str(places.root / name))
        assert job.status is JobStatus.COMPLETED, (name, job.error)
        assert await syncs.search("needle inside") == [("a.txt", 1, "needle inside")]


@pytest.mark.parametrize(
    ("configuration", "cause"),
    [
        ("[core]\n\trepositoryformatversion = 7\n", "Expected git repo version <= 1, found 7"),
        (
            "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tunheard = 1\n",
            "unknown repository extension found: unheard",
        ),
        ("[[[broken\n", "bad config line 1"),
    ],
)
async def test_why_git_cannot_open_it_is_told(
    syncs: Syncs, places: Places, configuration: str, cause: str
) -> None:
    """The cause is told, not that something could not be read because of it."""
    repository = places.make("a")
    repository.commit({"a.txt": "a\n"})
    (repository.path / ".git/config").write_text(configuration)
    job = await syncs.sync(repository.url)
    assert job.error is not None
    assert cause in job.error.message


async def test_a_link_in_a_circle_is_refused(syncs: Syncs, places: Places) -> None:
    """It is no error of the server's code."""
    (places.root / "a").mkdir()
    (places.root / "a/.git").symlink_to(".git")
    job = await syncs.sync(str(places.root / "a"))
    assert job.error is not None
    assert job.error.code == "GIT-007"
