"""The HTTP service: models over uploaded images, for programs instead of readers.

`app` takes requests and turns bad ones away, `pool` gathers what waits for the same model into
batches, and `worker` processes read the files and ask the models (`answering`), so that a file
that ends its reader ends a worker and not the service. `schemas` is what answers look like.
"""

from importlib.util import find_spec

from fracture_core.errors import ConfigError

_PACKAGES = ("fastapi", "multipart", "prometheus_client", "uvicorn")


def require_packages() -> None:
    """Raise ConfigError where the packages of the extra `service` are not installed."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            "serve",
            expected="the packages of the extra 'service'",
            found=f"no {', '.join(missing)}",
            advice="Install them with: pip install '.[service]'",
        )
