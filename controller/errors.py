"""Root of the controller's errors."""


class ControllerError(Exception):
    """Root of all errors the controller raises; the message names the field and the mend."""
