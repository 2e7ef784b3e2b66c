"""The model pack and the one adapter that runs its networks."""
