"""Operations on images of 256 levels, batched, with a parameter for each image.

Levels are whole numbers from 0 to 255, as float32: what torchvision computes for uint8 images, which it rounds or cuts
off after each operation. Arguments are images [n, C, H, W] and magnitudes [n, 1, 1, 1]; the results are new levels of
the same shape. Images of three channels are RGB; all others are gray.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_BRIGHTEST = 255


def to_levels(images: Tensor) -> Tensor:
    """Return images in [0, 1], of any type, as levels."""
    return (images.float() * _BRIGHTEST).round_()


def from_levels(levels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return levels as images in [0, 1] of a type: the bits that uint8 images have when they are scaled."""
    return levels.to(dtype) / _BRIGHTEST


def adjust_brightness(levels: Tensor, magnitude: Tensor) -> Tensor:
    """Return levels times 1 + magnitude."""
    return (levels * (1 + magnitude)).clamp_(0, _BRIGHTEST).floor_()


def adjust_color(levels: Tensor, magnitude: Tensor) -> Tensor:
    """Move the colours away from gray, or towards it where the magnitude is negative. Gray images stay as they are."""
    return _blend(levels, _to_gray(levels), magnitude) if levels.shape[1] == 3 else levels


def adjust_contrast(levels: Tensor, magnitude: Tensor) -> Tensor:
    """Move the levels of an image away from their mean, or towards it where the magnitude is negative."""
    gray = _to_gray(levels)
    # A sum of whole numbers is exact in any order, so that all devices get the same mean; `mean` rounds more on a GPU.
    mean = gray.sum((1, 2, 3), keepdim=True) / gray.shape[1:].numel()
    return _blend(levels, mean, magnitude)


def adjust_sharpness(levels: Tensor, magnitude: Tensor) -> Tensor:
    """Move the levels away from those of a slight blur, or towards these. The outermost pixels stay as they are."""
    if min(levels.shape[2:]) <= 2:
        return levels
    inner = levels[..., 1:-1, 1:-1]
    sums = 9 * F.avg_pool2d(levels, 3, stride=1)
    blurred = ((sums + 4 * inner) / 13).round_()  # no sum over 13 is near a half, so that all devices round alike
    sharpened = levels.clone()
    sharpened[..., 1:-1, 1:-1] = torch.addcmul(inner, blurred - inner, -magnitude).clamp_(0, _BRIGHTEST).floor_()
    return sharpened


def posterize(levels: Tensor, magnitude: Tensor) -> Tensor:
    """Keep as many of the 8 bits of a level as the magnitude says."""
    step = 2 ** (8 - magnitude)
    return (levels / step).floor_() * step


def solarize(levels: Tensor, magnitude: Tensor) -> Tensor:
    """Invert the levels from the magnitude, as a fraction of the brightest level, upwards."""
    return torch.where(levels >= _BRIGHTEST * magnitude, _BRIGHTEST - levels, levels)


def stretch_contrast(levels: Tensor, magnitude: Tensor) -> Tensor:
    """Stretch the levels of each channel from its darkest and brightest to 0 and 255. The magnitude has no effect."""
    darkest, brightest = levels.amin((2, 3), keepdim=True), levels.amax((2, 3), keepdim=True)
    is_flat = darkest == brightest
    scale = ((brightest - darkest) * (1 / _BRIGHTEST)).masked_fill_(is_flat, 1)
    return (levels - darkest.masked_fill(is_flat, 0)).div_(scale).clamp_(0, _BRIGHTEST).floor_()


def equalize(levels: Tensor, magnitude: Tensor) -> Tensor:
    """Make all levels of each channel about equally frequent, as Pillow does. The magnitude has no effect.

    A channel with fewer than 255 pixels below its brightest level stays as it is.
    """
    pixels = levels.flatten(2).long()  # [n, C, H * W]
    counts = torch.zeros(*pixels.shape[:2], _BRIGHTEST + 1, dtype=torch.long, device=levels.device)
    counts.scatter_add_(2, pixels, counts.new_ones(1).expand_as(pixels))
    num_brightest = counts.gather(2, pixels.amax(2, keepdim=True))
    step = (pixels.shape[2] - num_brightest).div(_BRIGHTEST, rounding_mode="floor")  # [n, C, 1]
    num_darker = F.pad(counts.cumsum(2)[..., :-1], (1, 0))
    tables = (num_darker + step // 2).div(step.clamp(min=1), rounding_mode="floor").clamp_(max=_BRIGHTEST)
    equalized = tables.gather(2, pixels).view(levels.shape)
    return torch.where(step.unsqueeze(3) == 0, levels, equalized.to(levels.dtype))


def _to_gray(levels: Tensor) -> Tensor:
    """Return the brightness of colours, [n, 1, H, W]; images of other than three channels as they are."""
    if levels.shape[1] != 3:
        return levels
    red, green, blue = levels.split(1, 1)
    gray = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)  # ITU-R BT.601, as torchvision rounds it
    return torch.floor_(gray)


def _blend(levels: Tensor, others: Tensor, magnitude: Tensor) -> Tensor:
    """Return (1 + magnitude) * levels - magnitude * others."""
    return torch.addcmul(levels * (1 + magnitude), others, -magnitude).clamp_(0, _BRIGHTEST).floor_()
