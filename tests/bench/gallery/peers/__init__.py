"""Peers of the gallery search: each script runs in an environment of its own (its .txt)."""
