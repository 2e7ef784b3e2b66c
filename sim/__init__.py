"""The simulated city: clips with ground truth, light agents, broker and demo."""
