"""Root of the agent's errors."""


class AgentError(Exception):
    """Root of all errors the agent raises; the message names the field and the mend."""
