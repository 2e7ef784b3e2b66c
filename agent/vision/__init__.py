"""What the agent sees: detect, track, align, embed, classify masks, place, redact."""
