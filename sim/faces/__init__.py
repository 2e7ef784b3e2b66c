"""Invented people whose embeddings lie like those of real ones."""

from sim.faces.population import FacePopulation

__all__ = ["FacePopulation"]
