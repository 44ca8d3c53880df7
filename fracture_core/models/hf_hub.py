"""Published weights by their hub id: from a folder of ours, the hub's cache, or the network."""

import contextlib
import re
from pathlib import Path

from fracture_core.errors import WeightsError
from fracture_core.models.hf_configs import CONFIG_FILE, PROCESSOR_FILE
from fracture_core.models.quiet_transformers import part
from fracture_core.settings import settings

WEIGHTS_FILE = "model.safetensors"
_TIMEOUT_SECONDS = 10
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}/[A-Za-z0-9][\w.\-]{0,95}", re.ASCII)


def is_hub_id(name: str) -> bool:
    """Whether a name has the form "owner/model"."""
    return bool(_HUB_ID.fullmatch(name))


def fetch(hub_id: str) -> Path:
    """The folder with config.json and model.safetensors of a hub id.

    Looks in the cache under the home folder, then in the hub's own, then on the network unless
    HF_HUB_OFFLINE is set. Raises WeightsError, which says what to fetch and where to put it.
    """
    place = settings().cache / "huggingface" / hub_id.replace("/", "--")
    if (place / CONFIG_FILE).is_file() and (place / WEIGHTS_FILE).is_file():
        return place
    try:
        return _from_cache(hub_id) or _from_network(hub_id)
    except Exception as error:  # the hub's client raises whatever its transport raises
        url = f"https://huggingface.co/{hub_id}/resolve/main"
        files = f"{CONFIG_FILE}, {WEIGHTS_FILE} and {PROCESSOR_FILE}"
        raise WeightsError(
            hub_id,
            expected="a network, the hub's cache or a folder with the files",
            found=f"none of them ({type(error).__name__})",
            advice=f"Fetch {files} from {url}/ and put them into {place}.",
        ) from error


def _from_cache(hub_id: str) -> Path | None:
    """None where a file that is needed is not there."""
    hub = part("huggingface_hub")
    found = [hub.try_to_load_from_cache(hub_id, file) for file in (CONFIG_FILE, WEIGHTS_FILE)]
    return Path(found[0]).parent if all(isinstance(file, str) for file in found) else None


def _from_network(hub_id: str) -> Path:
    hub, errors = part("huggingface_hub"), part("huggingface_hub.errors")
    # A single question fails at once without a network; a download would try for half a minute.
    hub.get_hf_file_metadata(hub.hf_hub_url(hub_id, CONFIG_FILE), timeout=_TIMEOUT_SECONDS)
    folder = Path(hub.hf_hub_download(hub_id, CONFIG_FILE)).parent
    # Where it is missing, the architecture's usual input size holds.
    with contextlib.suppress(errors.EntryNotFoundError):
        hub.hf_hub_download(hub_id, PROCESSOR_FILE)
    hub.hf_hub_download(hub_id, WEIGHTS_FILE)
    return folder
