import importlib.util
import os
import subprocess
import sys
import zipfile

import pytest
from sources import PACKAGE, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    # With the build backend at hand, nothing is downloaded.
    here = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", *here, "--outdir", str(folder), str(ROOT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert len(tops) == 2
    (info,) = tops - {"funreason_agents"}
    assert info.endswith(".dist-info")
    assert f"{info}/entry_points.txt" in names


def test_wheel_holds_the_type_marker_the_prompts_and_every_module(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = [PACKAGE / "py.typed", *PACKAGE.rglob("*.py"), *(PACKAGE / "prompts").glob("*.md")]
    assert {str(path.relative_to(ROOT)) for path in wanted} <= names


def test_package_runs_from_the_wheel_alone(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    script = (
        "import funreason_agents, funreason_agents.studio as s\n"
        "from funreason_agents.prompts import ROLES, prompt_hash\n"
        "print(funreason_agents.__file__, [prompt_hash(r) for r in ROLES], s.build_graph)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site"))
