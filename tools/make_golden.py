"""Write the golden payloads of the current schema; run once per schema version, never to mend."""

from pathlib import Path

from tests.unit.wire.samples import MESSAGES
from wire import codec
from wire.messages import SCHEMA

GOLDEN = Path("tests/unit/wire/golden")

for name, message in MESSAGES.items():
    target = GOLDEN / f"{name}.v{SCHEMA}.cbor"
    if target.exists():
        print(f"{target} is kept: a golden payload never changes")
        continue
    target.write_bytes(codec.encode(message))
