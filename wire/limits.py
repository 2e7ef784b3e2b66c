"""Every limit of the wire contract in one place; exceeding one is an error, never a truncation."""

from typing import Final

MAX_MESSAGE_BYTES: Final = 256 * 1024
MAX_SIGHTINGS_PER_BATCH: Final = 64
MAX_SIGHTING_BYTES: Final = 450
MAX_ID_CHARS: Final = 64
MAX_TEXT_CHARS: Final = 256
MAX_REASON_CHARS: Final = 512
TEMPLATE_BYTES: Final = 192
MAX_PROBES_PER_QUERY: Final = 64
MAX_TRACKLETS_PER_PART: Final = 256
MAX_TRACKLET_IDS_PER_QUERY: Final = 1024
MAX_PATH_POINTS: Final = 4096
MAX_MASK_SPANS: Final = 256
MAX_EVIDENCE_ITEMS: Final = 64
MAX_REPLY_PARTS: Final = 256
MAX_EPOCH_KEYS: Final = 64
MAX_SEALED_BYTES: Final = MAX_MESSAGE_BYTES - 2048
"""A sealed body leaves room for its envelope inside `MAX_MESSAGE_BYTES`."""
