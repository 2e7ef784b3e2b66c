"""Everything of the controller that touches the outside world."""
