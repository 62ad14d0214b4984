"""Hydra's own contract of launchers, held by ours for programs that are not regexp."""

import pytest
from hydra import version
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite

# The suite's programs leave it open whether a job changes into its directory, and Hydra warns of that.
pytestmark = pytest.mark.filterwarnings("ignore:Future Hydra versions will no longer change working directory")


@pytest.fixture(autouse=True)
def _hydras_own_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra's behaviour as the suite expects it, whatever regexp has asked for before."""
    monkeypatch.setattr(version.VersionBase.instance(), "version_base", version.Version("1.1"))


@pytest.mark.parametrize(("launcher_name", "overrides"), [("cohort", [])])
class TestCohortLauncher(LauncherTestSuite):  # type: ignore[misc]
    pass


@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=cohort"])])
class TestCohortLauncherIntegration(IntegrationTestSuite):  # type: ignore[misc]
    pass
