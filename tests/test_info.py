"""`python -m fracture_core info`, and the command line as a whole."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fracture_core import cli
from fracture_core.errors import ConfigError


def write_image(path: Path, bits: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype = np.uint8 if bits == 8 else np.uint16
    Image.fromarray(np.arange(40, dtype=dtype).reshape(5, 8)).save(path)
    return path


def write_coco(root: Path) -> Path:
    write_image(root / "images" / "1.png")
    images = [{"id": 1, "file_name": "1.png", "height": 5, "width": 8}]
    objects = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 9]}]
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "a"}]}
    (root / "train.json").write_text(json.dumps(content))
    return root


def info(*paths: Path) -> tuple[list[dict[str, Any]], int]:
    result = CliRunner().invoke(cli.app, ["info", *map(str, paths)])
    return [json.loads(line) for line in result.stdout.splitlines()], result.exit_code


def test_a_image_is_one_line(tmp_path: Path) -> None:
    lines, code = info(write_image(tmp_path / "a.png"), write_image(tmp_path / "b.png", 16))
    assert code == 0
    assert [line["bits"] for line in lines] == [8, 16]
    first = lines[0]
    assert first["path"] == str(tmp_path / "a.png")
    assert first["kind"] == "image"
    assert first["size"] == {"width": 8, "height": 5}
    assert first["frames"] == 1
    assert first["photometric"] == "L"
    assert first["spacing_mm"] is None
    assert len(first["sha256"]) == 64
    assert first["warnings"] == []


def test_the_hash_is_of_the_pixels_and_not_of_the_file(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    Image.open(path).save(tmp_path / "a.tif")
    Image.fromarray(np.ones((5, 8), dtype=np.uint8)).save(tmp_path / "b.png")
    lines, _ = info(path, tmp_path / "a.tif", tmp_path / "b.png")
    assert lines[0]["sha256"] == lines[1]["sha256"] != lines[2]["sha256"]


def test_a_data_set_is_one_line(tmp_path: Path) -> None:
    [line], code = info(write_coco(tmp_path))
    assert code == 0
    assert line["kind"] == "dataset"
    assert line["format"] == "coco"
    assert line["classes"] == ["a"]
    assert line["counts"] == {
        "train": {
            "images": 1,
            "with_findings": 1,
            "empty": 0,
            "unknown": 0,
            "boxes": {"a": 1},
        }
    }
    assert line["found"] == "COCO JSON (train.json): 1 image, 1 class, 1 finding, 0 outlined."
    assert line["warnings"] == [
        "Boxes cut at the edge of their image: 1 "
        "(train.json annotation 1, found x 1 to 4, y 1 to 10)."
    ]


def test_what_cannot_be_read_is_a_line_and_the_others_follow(tmp_path: Path) -> None:
    html = tmp_path / "<img src=x onerror=alert(1)>.png"
    html.write_bytes(b"no picture")
    (tmp_path / "bad.h5").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    good = write_image(tmp_path / "good.png")
    lines, code = info(tmp_path / "gone", html, tmp_path / "bad.h5", tmp_path / "empty", good)
    assert code == 1
    assert ["error" in line for line in lines] == [True, True, True, True, False]
    for line in lines[:4]:
        assert line["error"].startswith(f"{Path(line['path']).name}: expected ")


def test_a_folder_of_images_is_a_line_each(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("hello")
    lines, code = info(tmp_path)
    assert [Path(line["path"]).name for line in lines] == ["a.png", "b.png", "notes.txt"]
    assert code == 1


def test_the_module_runs(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    command = [sys.executable, "-m", "fracture_core", "info", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["kind"] == "image"
    assert done.stderr == ""


def test_bad_input_is_one_sentence_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ConfigError("--model", expected="a model's name", found="'x'")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == "--model: expected a model's name, found 'x'.\n"


def test_dicom_of_one_image_has_one_hash_in_every_encoding(shared_data: Path) -> None:
    folder = shared_data / "dicom"
    names = [f"RG2_{code}.dcm" for code in ("UNC", "RLE", "JPLL", "JLSL", "J2KR")]
    lines, code = info(*(folder / name for name in names), folder / "RG2_JPLY.dcm")
    assert code == 0
    assert len({line["sha256"] for line in lines[:5]}) == 1
    # JPEG with 12 bits loses some of it.
    assert lines[5]["sha256"] != lines[0]["sha256"]
