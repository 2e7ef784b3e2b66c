"""Peers: each script runs in its own virtual environment, with the packages of its .txt."""
