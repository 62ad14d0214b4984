r"""Write the pictures of TensorBoard in docs/pictures, as Chromium shows its pages on the runs of a directory.

Those pictures come from a sweep of 180 runs with its bands:

    uv run regexp -m data=mnist data.train_size=1000 epochs=8 normalization=none,batch,layer model.dropout=0,0.2,0.5 \\
        optimizer=adamw optimizer.weight_decay=0,1e-3,1e-2,1e-1 'seed=range(5)' name=paper
    uv run regexp-compare --tensorboard
    uv run scripts/tensorboard_pictures.py outputs/paper

Chromium must be installed (Debian: apt-get install chromium).
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from tests.helpers.browser import browser, serve_tensorboard  # noqa: E402  # needs the line above

# The pages by the name of their picture: the part of the address after the port, and the height of the window.
PAGES = {
    "time_series": ("", 900),
    "hparams": ("#hparams", 900),
    "bands": ("#custom_scalars&regexInput=^bands/", 820),
}
WIDTH = 1750
# The width of the pictures, in pixels. With this many colors each has less than 150 kB.
PICTURE_WIDTH, COLORS = 1312, 96


def main() -> None:
    """Write the pictures of all pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="the directory that TensorBoard shows")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "pictures", help="where the pictures are written"
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long a page may take to draw its curves")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    num_runs = len({file.parent for file in arguments.directory.rglob("events.out.tfevents.*")})
    with (
        tempfile.TemporaryDirectory() as profile,
        browser(Path(profile)) as page,
        serve_tensorboard(arguments.directory, num_runs) as address,
    ):
        for name, (fragment, height) in PAGES.items():
            page.open("about:blank")
            page.open(f"{address}/{fragment}", WIDTH, height)
            time.sleep(arguments.seconds)
            path = arguments.output / f"tensorboard_{name}.png"
            page.save_picture(path)
            picture = Image.open(path).convert("RGB")
            picture = picture.resize((PICTURE_WIDTH, height * PICTURE_WIDTH // WIDTH), Image.Resampling.LANCZOS)
            picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
            print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
