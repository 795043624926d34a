"""The built package, installed where nothing else is."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import cidx_jobs

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cidx_jobs"

# Building and installing reach the package index, which takes its time.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(*command: str | Path, cwd: Path) -> str:
    """Run *command* to its end and give its output; a failure shows what it said."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, from a copy: setuptools would leave and later reuse a `build/` here."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(PACKAGE, source / "cidx_jobs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", source / "dist", cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bin_of_installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, without extras, into an empty environment; give its `bin`."""
    home = tmp_path_factory.mktemp("empty")
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=home)
    return home / "bin"


def test_the_wheel_holds_all_that_the_package_reads(wheel: Path) -> None:
    """Every module, stub, schema file and the typing marker is in, and nothing else of ours."""
    wanted = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.pyi", "store/sqlite/schema/*.sql", "py.typed")
        for path in PACKAGE.rglob(pattern)
    }

    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert held == wanted


def test_the_package_imports_without_extras(bin_of_installed: Path, tmp_path: Path) -> None:
    """`import cidx_jobs` works in the empty environment and tells its version."""
    code = "import cidx_jobs; print(cidx_jobs.__version__)"

    assert run(bin_of_installed / "python", "-W", "error", "-c", code, cwd=tmp_path) == (
        f"{cidx_jobs.__version__}\n"
    )


def test_the_command_runs_without_extras(bin_of_installed: Path, tmp_path: Path) -> None:
    """`cidx-jobs version` names the version that was built."""
    assert cidx_jobs.__version__ in run(bin_of_installed / "cidx-jobs", "version", cwd=tmp_path)


def test_every_public_name_resolves_without_extras(bin_of_installed: Path, tmp_path: Path) -> None:
    """Each name in `cidx_jobs.__all__` can be had with the core dependencies alone."""
    code = "import cidx_jobs; [getattr(cidx_jobs, name) for name in cidx_jobs.__all__]"

    run(bin_of_installed / "python", "-W", "error", "-c", code, cwd=tmp_path)
