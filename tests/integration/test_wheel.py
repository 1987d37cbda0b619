"""The wheel carries everything that an installed head-end needs, and no generic package name."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"hes", "hes_protocol", "hes_collectors", "hes_firmware", "hes_simulators"}


def test_console_models_and_migrations_travel_in_the_wheel(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "hes/console/static/index.html" in names
    assert any(name.startswith("hes/console/static/assets/") for name in names)
    for model in (ROOT / "config" / "models").glob("*.toml"):
        assert f"hes/_config/models/{model.name}" in names
    for migration in (ROOT / "hes" / "storage" / "migrations").glob("*.sql"):
        assert f"hes/storage/migrations/{migration.name}" in names
    assert not [name for name in names if "node_modules" in name or "/web/" in name]
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
