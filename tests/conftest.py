"""What every test starts from."""

import signal

# Started in the background, as some runners do, the whole suite would ignore Ctrl-C, and so would
# every process that it starts and ends by that very signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
