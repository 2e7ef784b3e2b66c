"""The camera agent: everything that runs on the box beside a camera."""
