"""Pictures of a run: its augmented images, its first layer and its confusion matrix."""

import io
import math
from collections.abc import Sequence
from typing import NamedTuple
from unicodedata import combining, normalize

import torch
from PIL import Image, ImageChops, ImageDraw, ImageFont
from torch import Tensor

from regexp.data.dataset import Dataset, scale
from regexp.training.streams import ImageStream
from regexp.utils.rng import random_stream

_TEXT, _MUTED, _BACKGROUND = (20, 20, 20), (110, 110, 110), (255, 255, 255)
# The numbers of images and of augmentation draws in an augmentation grid.
EXAMPLES, DRAWS = 8, 4
# The largest side of a cell of a confusion matrix, in pixels. Counts are shown only in cells of this size.
MAX_CELL = 44
# The largest side of all its cells together, in pixels: enough for the counts of 41 classes.
MAX_MATRIX_SIDE = 1840
# The smallest side of a cell beside which the name of its class can be read, in pixels.
MIN_NAMED_CELL = 16
# The most colors of a PNG with a palette.
_PALETTE_SIZE = 256

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Png(NamedTuple):
    """A picture encoded as a PNG file.

    Attributes:
        content: the bytes of the file.
        width: the width in pixels.
        height: the height in pixels.
        channels: 1 (gray) or 3 (RGB).
    """

    content: bytes
    width: int
    height: int
    channels: int


def encode_png(picture: Image.Image) -> Png:
    """Encode an RGB picture: gray if all its pixels are, or else with a palette if it has few colors.

    Either takes about a third of the time and the space.
    """
    red, green, blue = picture.split()
    is_gray = all(ImageChops.difference(red, other).getbbox() is None for other in (green, blue))
    buffer = io.BytesIO()
    # A higher level takes 3 times longer and saves 3 %.
    (red if is_gray else _use_palette(picture)).save(buffer, format="PNG", compress_level=3)
    return Png(buffer.getvalue(), picture.width, picture.height, 1 if is_gray else 3)


def _use_palette(picture: Image.Image) -> Image.Image:
    """Return an RGB picture with a palette of its colors, or as it is where these are more than a palette holds."""
    if (colors := picture.getcolors(_PALETTE_SIZE)) is None:
        return picture
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for _, color in colors for value in color])  # type: ignore[union-attr]
    indexed = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    is_exact = ImageChops.difference(indexed.convert("RGB"), picture).getbbox() is None
    return indexed if is_exact else picture


def draw_augmentation_grid(dataset: Dataset, stream: ImageStream) -> Image.Image:
    """Draw 8 training images, in the first row as they are, and below each 4 draws of a stream's augmentation.

    With mixing, a row below the first is a batch: each image is mixed with the one to its left.

    The draws come from a random stream used for nothing else, so that looking at them does not change the training.
    """
    generator = random_stream(stream.seed, "preview")
    rows = torch.randperm(len(dataset.train), generator=generator)[:EXAMPLES].to(dataset.train.labels.device)
    examples = dataset.train.select(rows)
    originals = scale(examples.images, torch.float32)
    draws = [stream.pipeline.draw(len(originals), stream.seed, i, "preview") for i in range(DRAWS)]
    image_rows = [originals, *(stream.pipeline(originals, draw.to(originals.device)) for draw in draws)]
    if stream.mixing is not None:
        mixing_draws = stream.draw_mixing(DRAWS, 0, "preview/mixing")
        for i, images in enumerate(image_rows[1:]):
            parameters = {name: values[i : i + 1].to(images.device) for name, values in mixing_draws.items()}
            image_rows[i + 1] = images.clone()  # without augmentation, these are the originals
            stream.mixing.mix(image_rows[i + 1].unsqueeze(0), images.roll(1, 0).unsqueeze(0), parameters)
    labels = examples.labels if stream.labels is None else stream.labels[rows]
    class_names = [_ascii_name(label, dataset.classes) for label in labels.tolist()]
    tiles = [[to_picture(image) for image in images.cpu()] for images in image_rows]
    return _draw_grid(tiles, ["original", *(f"draw {i + 1}" for i in range(DRAWS))], class_names, tile_size=84)


def draw_first_layer(weight: Tensor, shape: Sequence[int]) -> Image.Image:
    """Draw the weights of up to 64 first-layer units as images: blue is negative, white zero, red positive.

    Args:
        weight: the weights, [units, C*H*W].
        shape: the shape of an image, [C, H, W]. The mean over its channels is shown.
    """
    units = weight[:64].detach().float().cpu().view(-1, *shape).mean(1)  # [units, H, W]
    units = torch.nan_to_num(units)
    # The eye can tell 33 shades apart, and they take a third of the bytes of all possible shades.
    shades = (units / units.abs().amax().clamp(min=1e-12) * 16).round() / 16
    shades = shades.unsqueeze(-1)  # [units, H, W, 1]
    colors = (_BACKGROUND, (178, 24, 43), (33, 102, 172))
    white, red, blue = (torch.tensor(color, dtype=torch.float32) for color in colors)
    pixels = (white + shades.abs() * (torch.where(shades > 0, red, blue) - white)).byte().numpy()  # [units, H, W, 3]
    columns = min(16, len(pixels))
    tiles = [[Image.fromarray(unit) for unit in pixels[i : i + columns]] for i in range(0, len(pixels), columns)]
    return _draw_grid(tiles, [""] * len(tiles), [""] * columns, tile_size=28)


def draw_confusion_matrix(counts: Tensor, classes: Sequence[str]) -> Image.Image:
    """Draw a confusion matrix, in which a darker cell stands for a larger share of its row.

    Cells shrink as the number of classes grows: the counts disappear first, then the names, and in the end cells merge.

    Args:
        counts: the number of images, [classes, classes]; rows are labels, columns predictions.
        classes: the names of the classes.
    """
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    cell = max(1, min(MAX_CELL, MAX_MATRIX_SIDE // len(classes)))
    font, small_font = _load_font(14), _load_font(12)
    names = [_ascii_name(label, classes) for label in range(len(classes))] if cell >= MIN_NAMED_CELL else []
    name_width = max((_text_width(name, font) for name in names), default=0)
    vertical = name_width > cell - 2
    left = max(110, name_width + 28)
    top = 36 + (name_width if vertical else 14)
    side = min(MAX_MATRIX_SIDE, cell * len(classes))
    picture = Image.new("RGB", (left + side + 12, top + side + 12), _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((left + side / 2, 12), "predicted", _MUTED, small_font, anchor="mm")
    draw.text((left - 14, top - 16), "label", _MUTED, small_font, anchor="rm")
    shades = (255 * (1 - shares.double().sqrt())).round().byte()  # the square root makes rare confusions visible
    cells = Image.fromarray(shades.numpy())
    enlarged_cells = cells.resize((side, side), Image.Resampling.NEAREST if cell > 1 else Image.Resampling.BOX)
    picture.paste(enlarged_cells, (left, top))
    for i, name in enumerate(names):
        middle = cell * i + cell / 2
        if vertical:
            _draw_vertical_text(picture, (round(left + middle), top - 8), name, font)
        else:
            draw.text((left + middle, top - 16), name, _TEXT, font, anchor="mm")
        draw.text((left - 14, top + middle), name, _TEXT, font, anchor="rm")
    if cell == MAX_CELL:
        for i, j in counts.nonzero().tolist():
            color = _BACKGROUND if shades[i, j] < 128 else _TEXT
            center = (left + cell * j + cell / 2 - 1, top + cell * i + cell / 2 - 1)
            draw.text(center, str(int(counts[i, j])), color, small_font, anchor="mm")
    if names:
        for i in range(len(names) + 1):
            x, y = left + cell * i - 1, top + cell * i - 1
            draw.line((left - 1, y, left + side - 1, y), (225, 225, 225))
            draw.line((x, top - 1, x, top + side - 1), (225, 225, 225))
    return picture


def _ascii_name(label: int, classes: Sequence[str]) -> str:
    """Return the name of a class without accents, or "class LABEL" if it is not ASCII: Pillow's font has no more."""
    letters = "".join(letter for letter in normalize("NFKD", classes[label]) if not combining(letter))
    line = " ".join(letters.split()) if letters.isascii() else f"class {label}"
    return line if len(line) <= 20 else f"{line[:17]}..."


def _text_width(text: str, font: Font) -> int:
    return math.ceil(font.getlength(text))


def _draw_vertical_text(picture: Image.Image, bottom: tuple[int, int], text: str, font: Font) -> None:
    """Draw a text that reads upwards and starts at the point `bottom`, (x, y)."""
    mask = Image.new("L", (_text_width(text, font) + 2, 20))
    ImageDraw.Draw(mask).text((1, 10), text, 255, font, anchor="lm")
    rotated_mask = mask.rotate(90, expand=True)
    picture.paste(_TEXT, (bottom[0] - rotated_mask.width // 2, bottom[1] - rotated_mask.height), rotated_mask)


def to_picture(image: Tensor) -> Image.Image:
    """Return an image [C, H, W] of one or three channels, with values in [0, 1], as an RGB picture."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")


def _draw_grid(
    tiles: Sequence[Sequence[Image.Image]], row_names: Sequence[str], column_names: Sequence[str], tile_size: int
) -> Image.Image:
    """Draw pictures in a grid, enlarged without smoothing.

    Args:
        tiles: the rows of pictures.
        row_names: the names to the left of the rows; empty ones take no space.
        column_names: the names above the columns; empty ones take no space.
        tile_size: the side of an enlarged picture in pixels.
    """
    gap = 4
    left = 76 if any(row_names) else gap
    top = 24 if any(column_names) else gap
    pitch = tile_size + gap
    picture = Image.new("RGB", (left + len(column_names) * pitch, top + len(tiles) * pitch), _BACKGROUND)
    draw, font = ImageDraw.Draw(picture), _load_font(14)
    for j, name in enumerate(column_names):
        draw.text((left + j * pitch + tile_size / 2, top / 2), name[:12], _TEXT, font, anchor="mm")
    for i, (row, name) in enumerate(zip(tiles, row_names, strict=True)):
        draw.text((left - 10, top + i * pitch + tile_size / 2), name, _MUTED, font, anchor="rm")
        for j, tile in enumerate(row):
            enlarged_tile = tile.resize((tile_size, tile_size), Image.Resampling.NEAREST)
            picture.paste(enlarged_tile, (left + j * pitch, top + i * pitch))
    return picture


def _load_font(size: int) -> Font:
    return ImageFont.load_default(size)
