"""Clips made from real photographs, with a script that is their ground truth."""

from sim.clips.make import ClipSet, make_clips

__all__ = ["ClipSet", "make_clips"]
