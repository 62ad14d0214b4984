"""Pictures of a run: its augmented images, its first layer, its confusions."""

import io
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from regexp.data import Dataset, scale
from regexp.randomness import stream
from regexp.streams import ImageStream

_TEXT, _MUTED, _PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)
EXAMPLES, DRAWS = 8, 4


def png(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def augmentation_grid(dataset: Dataset, images: ImageStream) -> Image.Image:
    """8 training images as they are, in the first row, and 4 draws of an image stream's augmentation of each.

    Drawn from a stream of its own, so that looking changes nothing.
    """
    generator = stream(images.seed, "preview")
    chosen = torch.randperm(len(dataset.train), generator=generator)[:EXAMPLES].to(dataset.train.labels.device)
    examples = dataset.train.at(chosen)
    plain = scale(examples.images, torch.float32)
    drawn = [images.pipeline.draw(len(plain), images.seed, i, plain.device, "preview") for i in range(DRAWS)]
    rows = [plain, *(images.pipeline(plain, draws) for draws in drawn)]
    names = [dataset.classes[label] for label in examples.labels.tolist()]
    tiles = [[_gray_or_color(image) for image in row.cpu()] for row in rows]
    return _grid(tiles, ["original", *(f"draw {i + 1}" for i in range(DRAWS))], names, tile=84)


def first_layer(weight: Tensor, shape: tuple[int, int, int]) -> Image.Image:
    """Weights [units, C*H*W] of up to 64 first-layer units as images: blue negative, white zero, red positive."""
    units = weight[:64].detach().float().cpu().view(-1, *shape).mean(1)  # [units, H, W]
    units = torch.nan_to_num(units)
    strength = units / units.abs().amax().clamp(min=1e-12)
    white, red, blue = (torch.tensor(color, dtype=torch.float32) for color in (_PAPER, (178, 24, 43), (33, 102, 172)))
    part = strength.abs().unsqueeze(-1)
    pixels = (white + part * (torch.where(strength.unsqueeze(-1) > 0, red, blue) - white)).byte().numpy()
    columns = min(16, len(pixels))
    tiles = [[Image.fromarray(pixel) for pixel in pixels[i : i + columns]] for i in range(0, len(pixels), columns)]
    return _grid(tiles, [""] * len(tiles), [""] * columns, tile=56)


def confusion_matrix(counts: Tensor, classes: Sequence[str]) -> Image.Image:
    """Counts [classes, classes]: rows are labels, columns predictions; darker is a larger share of the row."""
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    tile, left, top = 44, 110, 50
    right, bottom = left + tile * len(classes), top + tile * len(classes)
    picture = Image.new("RGB", (right + 12, bottom + 12), _PAPER)
    draw, font, small = ImageDraw.Draw(picture), _font(14), _font(12)
    draw.text(((left + right) / 2, 12), "predicted", _MUTED, small, anchor="mm")
    draw.text((left - 14, 34), "label", _MUTED, small, anchor="rm")
    for i, name in enumerate(classes):
        middle = tile * i + tile / 2
        draw.text((left + middle, 34), name[:6], _TEXT, font, anchor="mm")
        draw.text((left - 14, top + middle), name[:14], _TEXT, font, anchor="rm")
        for j in range(len(classes)):
            share, x, y = float(shares[i, j]), left + tile * j, top + tile * i
            shade = round(255 * (1 - share**0.5))  # the root makes rare confusions visible
            draw.rectangle((x, y, x + tile - 2, y + tile - 2), (shade, shade, shade))
            color = _PAPER if shade < 128 else _TEXT
            if counts[i, j]:
                draw.text((x + tile / 2 - 1, y + tile / 2 - 1), str(int(counts[i, j])), color, small, anchor="mm")
    for i in range(len(classes) + 1):
        x, y = left + tile * i - 1, top + tile * i - 1
        draw.line((left - 1, y, right - 1, y), (225, 225, 225))
        draw.line((x, top - 1, x, bottom - 1), (225, 225, 225))
    return picture


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


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
