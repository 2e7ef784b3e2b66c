"""The machine's clock."""

import time


class SystemClock:
    """Tells the system's time."""

    def now_us(self) -> int:
        """Return microseconds since 1970 UTC."""
        return time.time_ns() // 1000
