"""What pyproject.toml cannot say: `examples/` of the checkout is installed as `app/examples/`."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages(include=["app", "app.*", "phone_agent", "phone_agent.*"]),
        "app.examples",
    ],
    package_dir={"app.examples": "examples"},
)
