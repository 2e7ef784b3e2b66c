"""Light agents: real identities, keys and protocol on the wire, with strangers instead of video."""
