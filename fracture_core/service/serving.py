"""Starts the service: `python -m fracture_core serve`."""

import uvicorn

from fracture_core.errors import ConfigError
from fracture_core.hosts import is_loopback
from fracture_core.service.app import create_app
from fracture_core.service.limits import Limits
from fracture_core.settings import settings

_OPEN_ADVICE = (
    "Leave it at 127.0.0.1, or set FRACTURE_API_KEY; without a key, put a proxy with a login "
    "before it and set FRACTURE_ALLOW_REMOTE=1. FRACTURE_ALLOWED_HOSTS names the hosts it is "
    "reached by."
)


def check_address(host: str) -> None:
    """Raise ConfigError where others could reach a service that nobody allowed to be open."""
    if not (is_loopback(host) or settings().api_key or settings().allow_remote):
        raise ConfigError(
            "host",
            expected="an address of this machine alone, as there is no key",
            found=f"{host or 'every address'}, where others can reach the service",
            advice=_OPEN_ADVICE,
        )


def serve(host: str, port: int, limits: Limits) -> None:
    """Serve until the process is asked to end; raises ConfigError before it listens."""
    check_address(host)
    app = create_app(limits, address=host)
    uvicorn.run(app, host=host, port=port, server_header=False, proxy_headers=False)
