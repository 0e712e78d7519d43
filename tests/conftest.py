"""What all tests share: a cache of their own, so that none reads or writes the user's."""

from __future__ import annotations

import pytest

from storybench.perception.cache import VARIABLE


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keep what networks saw in a folder of this session; commands that tests start inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
