"""Pictures of confusion matrices with any number of classes."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from regexp.execution.images import MAX_MATRIX_SIDE, draw_confusion_matrix


def draw_with_texts(
    monkeypatch: pytest.MonkeyPatch, counts: torch.Tensor, names: list[str]
) -> tuple[Image.Image, list[str]]:
    """Draw a confusion matrix, and return the picture and the texts in it."""
    texts, draw_text = [], ImageDraw.ImageDraw.text

    def record_text(self: ImageDraw.ImageDraw, point: object, text: str, *arguments: object, **options: object) -> None:
        texts.append(text)
        draw_text(self, point, text, *arguments, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record_text)
    return draw_confusion_matrix(counts, names), texts


@pytest.mark.parametrize("classes", [2, 3, 10, 40, 41, 42, 100, 115, 116, 1840, 1841, 2500])
def test_a_picture_of_any_number_of_classes_has_a_cell_for_each(monkeypatch: pytest.MonkeyPatch, classes: int) -> None:
    counts = torch.eye(classes, dtype=torch.int64) * 7
    picture, texts = draw_with_texts(monkeypatch, counts, [f"a class with number {i}" for i in range(classes)])
    assert max(picture.size) < MAX_MATRIX_SIDE + 220
    cell = max(1, min(44, MAX_MATRIX_SIDE // classes))
    side = min(MAX_MATRIX_SIDE, cell * classes)
    shades = np.asarray(picture.convert("L"))[-side - 12 : -12, -side - 12 : -12]
    cells = shades[cell // 4 :: cell, cell // 4 :: cell]  # a pixel of each cell, away from counts and lines
    if classes <= MAX_MATRIX_SIDE:
        assert (cells == 255 * (1 - np.eye(classes))).all()
    assert texts.count("7") == (classes if classes <= 41 else 0)
    assert (texts.count("a class with numb...") > 0) == (classes <= 115)


def test_the_darkness_of_a_cell_is_the_square_root_of_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, _ = draw_with_texts(monkeypatch, torch.tensor([[1, 3], [0, 0]]), ["a", "b"])
    left, top = picture.width - 12 - 88, picture.height - 12 - 88
    shades = [[picture.getpixel((left + 44 * j + 5, top + 44 * i + 5))[0] for j in (0, 1)] for i in (0, 1)]
    assert shades == [[round(255 * (1 - 0.25**0.5)), round(255 * (1 - 0.75**0.5))], [255, 255]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cat", "cat"),
        ("grüne Äpfel", "grune Apfel"),
        ("猫", "class 1"),
        ("two\nlines", "two lines"),
        ("a name of more than twenty letters", "a name of more th..."),
        ("\udcff", "class 1"),
    ],
)
def test_names_are_drawn_in_ascii(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    _, texts = draw_with_texts(monkeypatch, torch.eye(2, dtype=torch.int64), ["x", name])
    assert texts.count(text) == 2
