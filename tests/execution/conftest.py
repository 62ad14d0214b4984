"""What tests of the user's own code share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def shared_directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that holds the file of a test module's SOURCE, which is loaded once for several tests."""
    directory = tmp_path_factory.mktemp("shared")
    (directory / request.module.SOURCE_FILE).write_text(request.module.SOURCE)
    return directory
