"""Hydra's own test suite for launchers, run on the cohort launcher with programs other than regexp."""

import pytest
from hydra import version
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite

# The programs of the suite do not say whether a job changes into its directory, and Hydra warns of that.
pytestmark = pytest.mark.filterwarnings("ignore:Future Hydra versions will no longer change working directory")


@pytest.fixture(autouse=True)
def _version_base_of_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Hydra behave as the suite expects, whatever version regexp has asked for before."""
    monkeypatch.setattr(version.VersionBase.instance(), "version_base", version.Version("1.1"))


@pytest.mark.parametrize(("launcher_name", "overrides"), [("cohort", [])])
class TestCohortLauncher(LauncherTestSuite):  # type: ignore[misc]
    pass


@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=cohort"])])
class TestCohortLauncherIntegration(IntegrationTestSuite):  # type: ignore[misc]
    pass
