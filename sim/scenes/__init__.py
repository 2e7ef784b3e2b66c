"""Small scenes of people before one camera, with their truth: what contacts are judged by."""
