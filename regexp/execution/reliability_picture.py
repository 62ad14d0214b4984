"""The reliability diagram of a run: how often it is right, by how sure it is."""

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_SIDE, _COUNTS, _LEFT, _TOP, _GAP, _BOTTOM = 300, 60, 62, 40, 12, 44
_TEXT, _MUTED, _LINE, _BACKGROUND = (20, 20, 20), (110, 110, 110), (200, 200, 200), (255, 255, 255)
_ACCURACY, _MISSING, _EXCESS = (33, 102, 172), (239, 138, 98), (146, 197, 222)


def draw_reliability(reliability: Tensor) -> Image.Image:
    """Draw the accuracy in each bin of the confidence, its distance to the mean confidence, and the share of images.

    A network that is as sure as it is right has its bars end at the diagonal. Orange reaches from the accuracy up to
    the confidence where the network is too sure; light blue is what the accuracy has above the confidence.

    Args:
        reliability: [bins, 3], the number of images, the sum of their confidences, and the correct ones.
    """
    counts, confidences, correct = reliability.double().nan_to_num(0).T.tolist()
    width = _SIDE / len(counts)
    total = max(1.0, sum(counts))
    error = sum(abs(right - sure) for sure, right in zip(confidences, correct, strict=True)) / total
    base = _TOP + _SIDE  # where an accuracy of 0 is
    foot = base + _GAP + _COUNTS  # where a share of 0 is
    picture = Image.new("RGB", (_LEFT + _SIDE + 20, foot + _BOTTOM), _BACKGROUND)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    title = f"expected calibration error {error:.2%}, {round(sum(counts))} images"
    draw.text((_LEFT + _SIDE / 2, _TOP / 2), title, _TEXT, font, anchor="mm")
    for m, (count, confidence, right) in enumerate(zip(counts, confidences, correct, strict=True)):
        left, end = round(_LEFT + m * width) + 1, round(_LEFT + (m + 1) * width) - 1
        if count:
            accuracy, mean_confidence = right / count, confidence / count
            low, high = sorted((accuracy, mean_confidence))
            draw.rectangle((left, round(base - low * _SIDE), end, base), _ACCURACY)
            if round(high * _SIDE) > round(low * _SIDE):
                color = _MISSING if mean_confidence > accuracy else _EXCESS
                draw.rectangle((left, round(base - high * _SIDE), end, round(base - low * _SIDE) - 1), color)
            draw.rectangle((left, round(foot - max(count / total * _COUNTS, 1)), end, foot), _MUTED)
    draw.line((_LEFT, base, _LEFT + _SIDE, _TOP), _TEXT)
    draw.rectangle((_LEFT, _TOP, _LEFT + _SIDE, base), outline=_LINE)
    draw.rectangle((_LEFT, base + _GAP, _LEFT + _SIDE, foot), outline=_LINE)
    for share in (0, 0.5, 1):
        draw.text((_LEFT - 6, base - share * _SIDE), f"{share:g}", _MUTED, font, anchor="rm")
        draw.text((_LEFT + share * _SIDE, foot + 12), f"{share:g}", _MUTED, font, anchor="mm")
    draw.text((_LEFT - 6, _TOP + _SIDE / 4), "accuracy", _MUTED, font, anchor="rm")
    draw.text((_LEFT - 6, foot - _COUNTS / 2), "images", _MUTED, font, anchor="rm")
    draw.text((_LEFT + _SIDE / 2, foot + 30), "confidence", _MUTED, font, anchor="mm")
    return picture
