"""How a client is made: what both faces take, and what they refuse."""

import os
import random
from typing import TYPE_CHECKING, NoReturn

from typing_extensions import override

from gorilla.client.asking import Asker
from gorilla.client.endpoints import Endpoints
from gorilla.client.errands import Errands
from gorilla.client.owners import Owners, Registry
from gorilla.client.ports import Io
from gorilla.client.settings import ClientSettings

if TYPE_CHECKING:
    from gorilla.client.ending import Registered


class ClientBase:
    """What both faces of a client have."""

    def __init__(self, settings: ClientSettings, io: Io, errands: Errands) -> None:
        """Ask through ``io`` as ``settings`` say; ``errands`` clear up what is interrupted."""
        endpoints = Endpoints(settings.endpoints, random.Random(os.urandom(16)))  # noqa: S311
        self._settings = settings
        self._asker = Asker(io, endpoints, settings)
        self._owners = Owners(settings.name)
        self._registered: Registered = Registry(errands)

    @property
    def settings(self) -> ClientSettings:
        """How it reaches its cluster."""
        return self._settings

    @override
    def __repr__(self) -> str:
        """Show where it asks."""
        return f"<{type(self).__name__} of {', '.join(self._settings.endpoints)}>"

    @override
    def __reduce__(self) -> NoReturn:
        """Refuse to be copied: connections and locks belong to one process."""
        kind = type(self).__name__
        raise TypeError(
            f"a {kind} can't be pickled or copied: pass on its settings, and make "
            f"{kind}(settings=...) of them"
        )
