"""The contract between agents and controller: topics, messages, codec, signing, protection."""
