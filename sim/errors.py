"""Root of the simulation's errors."""


class SimError(Exception):
    """Root of all errors of the simulation; the message names the field and the mend."""
