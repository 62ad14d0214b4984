"""Pictures of augmented images for notebooks: a test pattern, and several draws of it in a row."""

import io
from collections.abc import Iterable

import torch
from PIL import Image
from torch import Tensor

from regexp.utils.html.elements import make_picture

# The height of a picture on the page, and the gap between two, in pixels.
_HEIGHT, _GAP = 72, 6


def make_test_pattern(channels: int, height: int, width: int) -> Tensor:
    """Return an image of the letter F on a gradient, which shows turns, flips and changes of brightness.

    Args:
        channels: the number of its channels.
        height: its height, in pixels.
        width: its width, in pixels.

    Returns:
        [1, channels, height, width], in [0, 1].
    """
    y = (torch.arange(height) + 0.5).div(height)[:, None]
    x = (torch.arange(width) + 0.5).div(width)[None, :]
    stem = (x > 0.28) & (x < 0.42) & (y > 0.15) & (y < 0.85)
    arms = ((y > 0.15) & (y < 0.29) & (x > 0.28) & (x < 0.75)) | ((y > 0.44) & (y < 0.57) & (x > 0.28) & (x < 0.62))
    image = torch.where(stem | arms, 0.9, 0.1 + 0.3 * (x + y) / 2)
    return image.expand(1, channels, height, width).clone()


def show_images(images: Iterable[Tensor], caption: str) -> str:
    """Return images [C, H, W] with values in [0, 1] side by side, as a picture in HTML."""
    pictures = []
    for image in images:
        pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()  # [H, W, C]
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
        width = max(1, round(_HEIGHT * picture.width / picture.height))
        pictures.append(picture.resize((width, _HEIGHT), Image.Resampling.NEAREST))
    row = Image.new("RGB", (sum(picture.width + _GAP for picture in pictures), _HEIGHT), (255, 255, 255))
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + _GAP
    buffer = io.BytesIO()
    row.save(buffer, format="PNG")
    return make_picture(buffer.getvalue(), caption)
