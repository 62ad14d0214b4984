"""Pictures of a run: its augmented images, its first layer, its confusions."""

import io
import math
from collections.abc import Sequence
from typing import NamedTuple
from unicodedata import combining, normalize

import torch
from PIL import Image, ImageChops, ImageDraw, ImageFont
from torch import Tensor

from regexp.data.dataset import Dataset, scale
from regexp.training.batches import ImageStream
from regexp.utils.rng import random_stream

_TEXT, _MUTED, _PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)
EXAMPLES, DRAWS = 8, 4
WIDEST = 1840  # pixels of a confusion matrix; 41 classes have room for their counts

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Png(NamedTuple):
    """A picture as the bytes of a PNG file; `channels`: 1 (gray) or 3."""

    content: bytes
    width: int
    height: int
    channels: int


def png(picture: Image.Image) -> Png:
    """Encode a picture in RGB; gray where it is gray all over, which takes a third of the time and the space."""
    red, green, blue = picture.split()
    gray = all(ImageChops.difference(red, other).getbbox() is None for other in (green, blue))
    buffer = io.BytesIO()
    (red if gray else picture).save(buffer, format="PNG", compress_level=3)  # more of it takes 3 times longer for 3 %
    return Png(buffer.getvalue(), picture.width, picture.height, 1 if gray else 3)


def augmentation_grid(dataset: Dataset, images: ImageStream) -> Image.Image:
    """8 training images as they are, in the first row, and 4 draws of an image stream's augmentation of each.

    Drawn from a stream of its own, so that looking changes nothing.
    """
    generator = random_stream(images.seed, "preview")
    chosen = torch.randperm(len(dataset.train), generator=generator)[:EXAMPLES].to(dataset.train.labels.device)
    examples = dataset.train.select(chosen)
    plain = scale(examples.images, torch.float32)
    drawn = [images.pipeline.draw(len(plain), images.seed, i, plain.device, "preview") for i in range(DRAWS)]
    rows = [plain, *(images.pipeline(plain, draws) for draws in drawn)]
    labels = examples.labels if images.labels is None else images.labels[chosen]
    names = [_drawn(label, dataset.classes) for label in labels.tolist()]
    tiles = [[_gray_or_color(image) for image in row.cpu()] for row in rows]
    return _grid(tiles, ["original", *(f"draw {i + 1}" for i in range(DRAWS))], names, tile=84)


def first_layer(weight: Tensor, shape: tuple[int, int, int]) -> Image.Image:
    """Weights [units, C*H*W] of up to 64 first-layer units as images: blue negative, white zero, red positive."""
    units = weight[:64].detach().float().cpu().view(-1, *shape).mean(1)  # [units, H, W]
    units = torch.nan_to_num(units)
    # In 33 shades, which the eye tells apart and which take a third of the bytes of all that there could be.
    strength = (units / units.abs().amax().clamp(min=1e-12) * 16).round() / 16
    white, red, blue = (torch.tensor(color, dtype=torch.float32) for color in (_PAPER, (178, 24, 43), (33, 102, 172)))
    part = strength.abs().unsqueeze(-1)
    pixels = (white + part * (torch.where(strength.unsqueeze(-1) > 0, red, blue) - white)).byte().numpy()
    columns = min(16, len(pixels))
    tiles = [[Image.fromarray(pixel) for pixel in pixels[i : i + columns]] for i in range(0, len(pixels), columns)]
    return _grid(tiles, [""] * len(tiles), [""] * columns, tile=28)


def confusion_matrix(counts: Tensor, classes: Sequence[str]) -> Image.Image:
    """Counts [classes, classes]: rows are labels, columns predictions; darker is a larger share of the row.

    Cells shrink with the number of classes: first the counts go, then the names, at last cells merge.
    """
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    tile = max(1, min(44, WIDEST // len(classes)))
    font, small = _font(14), _font(12)
    names = [_drawn(label, classes) for label in range(len(classes))] if tile >= 16 else []
    longest = max((_width(name, font) for name in names), default=0)
    upright = longest > tile - 2
    left, top = max(110, longest + 28), 36 + (longest if upright else 14)
    side = min(WIDEST, tile * len(classes))
    picture = Image.new("RGB", (left + side + 12, top + side + 12), _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((left + side / 2, 12), "predicted", _MUTED, small, anchor="mm")
    draw.text((left - 14, top - 16), "label", _MUTED, small, anchor="rm")
    shades = (255 * (1 - shares.double().sqrt())).round().byte()  # the root makes rare confusions visible
    cells = Image.fromarray(shades.numpy())
    enlarged = cells.resize((side, side), Image.Resampling.NEAREST if tile > 1 else Image.Resampling.BOX)
    picture.paste(enlarged, (left, top))
    for i, name in enumerate(names):
        middle = tile * i + tile / 2
        if upright:
            _draw_upright(picture, (round(left + middle), top - 8), name, font)
        else:
            draw.text((left + middle, top - 16), name, _TEXT, font, anchor="mm")
        draw.text((left - 14, top + middle), name, _TEXT, font, anchor="rm")
    if tile == 44:
        for i, j in counts.nonzero().tolist():
            color = _PAPER if shades[i, j] < 128 else _TEXT
            place = (left + tile * j + tile / 2 - 1, top + tile * i + tile / 2 - 1)
            draw.text(place, str(int(counts[i, j])), color, small, anchor="mm")
    for i in range(len(names) + 1 if names else 0):
        x, y = left + tile * i - 1, top + tile * i - 1
        draw.line((left - 1, y, left + side - 1, y), (225, 225, 225))
        draw.line((x, top - 1, x, top + side - 1), (225, 225, 225))
    return picture


def _drawn(label: int, classes: Sequence[str]) -> str:
    """A class's name as Pillow's own font can draw it, which knows ASCII: without accents, else by its label."""
    letters = "".join(letter for letter in normalize("NFKD", classes[label]) if not combining(letter))
    line = " ".join(letters.split()) if letters.isascii() else f"class {label}"
    return line if len(line) <= 20 else f"{line[:17]}..."


def _width(text: str, font: Font) -> int:
    return math.ceil(font.getlength(text))


def _draw_upright(picture: Image.Image, foot: tuple[int, int], text: str, font: Font) -> None:
    """Text that reads upwards from a point."""
    ink = Image.new("L", (_width(text, font) + 2, 20))
    ImageDraw.Draw(ink).text((1, 10), text, 255, font, anchor="lm")
    turned = ink.rotate(90, expand=True)
    picture.paste(_TEXT, (foot[0] - turned.width // 2, foot[1] - turned.height), turned)


def _gray_or_color(image: Tensor) -> Image.Image:
    """[C, H, W] in [0, 1]; one channel or three."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")


def _grid(
    tiles: Sequence[Sequence[Image.Image]], row_names: Sequence[str], column_names: Sequence[str], tile: int
) -> Image.Image:
    """Tiles enlarged to `tile` pixels without smoothing, with names left and above where there are any."""
    gap, left, top = 4, 76 if any(row_names) else 4, 24 if any(column_names) else 4
    width, height = left + len(column_names) * (tile + gap), top + len(tiles) * (tile + gap)
    picture = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(picture), _font(14)
    for j, name in enumerate(column_names):
        draw.text((left + j * (tile + gap) + tile / 2, top / 2), name[:12], _TEXT, font, anchor="mm")
    for i, (row, name) in enumerate(zip(tiles, row_names, strict=True)):
        draw.text((left - 10, top + i * (tile + gap) + tile / 2), name, _MUTED, font, anchor="rm")
        for j, image in enumerate(row):
            enlarged = image.resize((tile, tile), Image.Resampling.NEAREST)
            picture.paste(enlarged, (left + j * (tile + gap), top + i * (tile + gap)))
    return picture


def _font(size: int) -> Font:
    return ImageFont.load_default(size)
