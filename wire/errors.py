"""Errors of the wire contract; every one is a `WireError`."""


class WireError(Exception):
    """Root of all errors raised by the wire contract."""


class DecodeError(WireError):
    """A payload is not a valid message of this contract."""


class LimitExceeded(WireError):
    """A message, field or batch is larger than the contract allows."""


class SignatureInvalid(WireError):
    """A signed envelope was not signed by the expected key for this purpose."""


class SealInvalid(WireError):
    """A sealed box was not sealed to this key, or was altered."""


class TopicInvalid(WireError):
    """A topic is not one of the contract's topics."""
