"""The wheel holds what an editable install shows: packages, RTL, harness, checkpoint, images."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]


def test_links_are_the_wheels_sources() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    sources = project["tool"]["hatch"]["build"]["targets"]["wheel"]["sources"]
    packages = {k: v for k, v in sources.items() if k != "src/hessbit"}
    links = {p.name for p in (ROOT / "src" / "hessbit").iterdir() if p.is_symlink()}
    assert links == set(packages)
    for folder, target in packages.items():
        assert target == f"hessbit/{folder}"
        assert (ROOT / "src" / "hessbit" / folder).resolve() == ROOT / folder


def test_wheel_runs_the_main_job(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    built = next(
        iter(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    )
    with zipfile.ZipFile(built) as wheel:
        names = wheel.namelist()
    assert len(names) == len(set(names))
    needed = [
        "py.typed", "cli/_commands/demo.py", "rtl/hb_pkg.sv", "rtl/hb_top.sv", "sim/harness.cpp",
        "hw/isa.py", "quant/zoo.py", "assets/resnet8-cifar10.safetensors",
        "assets/cifar10-test.npz", "assets/cifar10-calibration.npz",
    ]  # fmt: skip
    assert [n for n in needed if f"hessbit/{n}" not in names] == []
    assert [n for n in names if n.split("/")[0] not in ("hessbit", "hessbit-0.1.0.dist-info")] == []
    assert Path(built).stat().st_size < 10 << 20


def test_shipped_images() -> None:
    from hessbit.files import ASSETS, load_images

    test = load_images(ASSETS / "cifar10-test.npz")
    assert test.images.shape == (300, 32, 32, 3)
    assert test.labels is not None
    assert test.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]  # canonical order
    calibration = load_images(ASSETS / "cifar10-calibration.npz")
    assert calibration.images.shape == (256, 32, 32, 3)
