"""Small JSON files of the home folder that hold what readers told the app."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from fracture_core.errors import ConfigError, first_fault
from fracture_core.files import make_folder, write_text
from fracture_core.settings import settings

VERSION = 1


class HomeFile(BaseModel):
    """The content of one file; a subclass adds the fields, its `NAME`, and what messages say of it.

    `HOLDS` is what the file is expected to hold, `ADVICE` what to do where it does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    NAME: ClassVar[str]
    HOLDS: ClassVar[str]
    ADVICE: ClassVar[str]

    version: int = VERSION

    @classmethod
    def path(cls) -> Path:
        """Return where the file is, or would be."""
        return settings().home / cls.NAME

    @classmethod
    def read(cls) -> Self:
        """Return what is kept, by default nothing; raise ConfigError for other content."""
        path = cls.path()
        if not path.is_file():
            return cls()
        try:
            found = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            fault = first_fault(error)
            raise ConfigError(path, expected=cls.HOLDS, found=fault, advice=cls.ADVICE) from error
        if found.version != VERSION:
            raise ConfigError(path, expected=f"version {VERSION}", found=str(found.version))
        return found

    def write(self) -> None:
        """Replace the file; raise StorageError where that fails."""
        make_folder(settings().home)
        write_text(self.path(), self.model_dump_json(indent=1) + "\n")
