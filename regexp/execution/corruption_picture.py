"""The picture of a run's robustness: a test image under each corruption, with the accuracy on all such images."""

from PIL import Image, ImageDraw, ImageFont

from regexp.augmentation.corruptions import CORRUPTIONS, NUM_STRENGTHS
from regexp.execution.images import to_picture
from regexp.training.measures.robustness import Robustness

_TILE, _GAP, _LEFT, _TOP, _CAPTION = 84, 6, 86, 30, 20
_TEXT, _MUTED, _BACKGROUND = (20, 20, 20), (110, 110, 110), (255, 255, 255)


def draw_robustness(robustness: Robustness) -> Image.Image:
    """Draw the first test image under each corruption (a row) in each strength (a column).

    Below each is the accuracy on all test images that are corrupted like that.
    """
    pitch, line = _TILE + _GAP, _TILE + _CAPTION + _GAP
    size = _LEFT + NUM_STRENGTHS * pitch, _TOP + len(CORRUPTIONS) * line
    picture = Image.new("RGB", size, _BACKGROUND)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    for level in range(NUM_STRENGTHS):
        draw.text((_LEFT + level * pitch + _TILE / 2, _TOP / 2), f"level {level + 1}", _MUTED, font, anchor="mm")
    for i, (name, accuracies) in enumerate(robustness.by_corruption().items()):
        top = _TOP + i * line
        draw.text((_LEFT - 10, top + _TILE / 2), name, _TEXT, font, anchor="rm")
        for level, accuracy in enumerate(accuracies):
            left = _LEFT + level * pitch
            tile = to_picture(robustness.example[i, level]).resize((_TILE, _TILE), Image.Resampling.NEAREST)
            picture.paste(tile, (left, top))
            draw.text((left + _TILE / 2, top + _TILE + _CAPTION / 2), f"{accuracy:.2%}", _TEXT, font, anchor="mm")
    return picture
