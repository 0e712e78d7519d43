"""Lists the packages: four found here, and ``configs`` as ``storybench_configs``. The rest is in pyproject.toml."""

from setuptools import find_packages, setup

OURS = ["storybench*", "baselines*", "storygptv*", "leaderboard*"]

setup(
    packages=[*find_packages(include=OURS), "storybench_configs"],
    package_dir={"storybench_configs": "configs"},
)
