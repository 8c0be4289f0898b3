import io
import logging
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from genrec.data import DataError
from genrec.data.pictures import read_pictures


def encode(kind: str, size: int = 32) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((size, size), 50).convert("RGB").save(file, kind)
    return file.getvalue()


JPEG, PNG = encode("JPEG"), encode("PNG")


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (path / "pictures" / name).write_bytes(content)
    return path / "pictures"


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path / "pictures.zip", "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path / "pictures.zip"


@pytest.mark.parametrize("pack", [folder, archive])
def test_pictures_are_taken_as_they_are_and_counted(tmp_path, pack):
    files = {"a.jpg": JPEG, "deep/b.PNG": PNG, "z.jpeg": JPEG, "readme.txt": b"no picture"}
    found = read_pictures(pack(tmp_path, files), ["b", "c", "a"])
    assert found.column.to_list() == [PNG, None, JPEG]
    assert found.report == {
        "present": 2,
        "missing": 1,
        "broken": 0,
        "broken_items": [],
        "of_no_item": 1,
    }


@pytest.mark.parametrize("pack", [folder, archive])
@pytest.mark.parametrize(
    "broken", [b"", b"text", JPEG[: len(JPEG) // 2], PNG[: len(PNG) // 2], encode("GIF")]
)
def test_a_broken_picture_is_missing_counted_and_named(tmp_path, pack, broken, caplog):
    path = pack(tmp_path, {"a.jpg": JPEG, "b.png": broken})
    with caplog.at_level(logging.WARNING):
        found = read_pictures(path, ["a", "b", "c"])
    assert found.column.to_list() == [JPEG, None, None]
    assert (found.report["missing"], found.report["broken"]) == (1, 1)
    assert found.report["broken_items"] == ["b"]
    assert "1 pictures" in caplog.text


def test_a_picture_that_cannot_be_unpacked_is_broken(tmp_path):
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", PNG)
        file.writestr("b.png", PNG)
    content = bytearray(path.read_bytes())
    start = zipfile.sizeFileHeader + len("a.png")
    content[start : start + 20] = b"\xff" * 20  # no beginning of a deflated file
    path.write_bytes(content)
    found = read_pictures(path, ["a", "b"])
    assert found.column.to_list() == [None, PNG]
    assert found.report["broken_items"] == ["a"]


def test_a_truncated_zip_file_is_refused(tmp_path):
    path = archive(tmp_path, {"a.jpg": JPEG})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"pictures\.zip is no zip file, or breaks off.*copy"):
        read_pictures(path, ["a"])


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist; give a folder or a zip file"):
        read_pictures(tmp_path / "absent", ["a"])


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has no picture of an item.*or leave pictures out"):
        read_pictures(tmp_path, ["a"])


def test_pictures_of_no_item_at_all_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"has 1 pictures, but none of an item.*like a\.jpg"):
        read_pictures(folder(tmp_path, {"x.jpg": JPEG}), ["a", "b"])
