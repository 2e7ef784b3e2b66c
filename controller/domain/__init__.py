"""Pure thinking of the controller: match, trace, route, contacts. No I/O."""
