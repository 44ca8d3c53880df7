"""Published weights by their hub id: from a folder of ours, the hub's cache, or the network."""

import re
from collections.abc import Callable
from pathlib import Path

from fracture_core.errors import WeightsError
from fracture_core.models.hf_configs import CONFIG_FILE, PROCESSOR_FILE
from fracture_core.models.quiet_transformers import part
from fracture_core.settings import settings

WEIGHTS_FILE = "model.safetensors"
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
        return _from_hub(hub_id, only_local=True) or _from_hub(hub_id, only_local=False) or place
    except Exception as error:  # the hub's client raises whatever its transport raises
        url = f"https://huggingface.co/{hub_id}/resolve/main"
        files = f"{CONFIG_FILE}, {WEIGHTS_FILE} and {PROCESSOR_FILE}"
        raise WeightsError(
            hub_id,
            expected="a network, the hub's cache or a folder with the files",
            found=f"none of them ({type(error).__name__})",
            advice=f"Fetch {files} from {url}/ and put them into {place}.",
        ) from error


def _from_hub(hub_id: str, *, only_local: bool) -> Path | None:
    """None where files that are needed are not in the cache."""
    hub, errors = part("huggingface_hub"), part("huggingface_hub.errors")
    get: Callable[[str], str] = lambda file: hub.hf_hub_download(  # noqa: E731
        hub_id, file, local_files_only=only_local
    )
    try:
        folder = Path(get(CONFIG_FILE)).parent
        get(WEIGHTS_FILE)
    except errors.LocalEntryNotFoundError:
        if only_local:
            return None
        raise
    try:
        get(PROCESSOR_FILE)
    except (errors.EntryNotFoundError, errors.LocalEntryNotFoundError):
        # Where it is missing the architecture's usual input size holds.
        return folder
    return folder
