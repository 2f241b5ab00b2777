"""One of the ports that the store fulfils."""

from dispatcher.adapters.postgres.engine import Engine


class Door:
    """One of the ports that a store fulfils."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
