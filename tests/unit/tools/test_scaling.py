"""The scaling figures: proportions that must hold, and rates taken from benches."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tools.scaling import (
    CITIES,
    MEASURED,
    BenchUnreadable,
    Rates,
    default_rates,
    measured_rates,
    need,
    table,
)

ROOT = Path(__file__).parents[3]
GALLERY = {
    "ours": {
        "threads": 2,
        "disk": {"table_bytes_per_row": 210.0, "search_bytes_per_row": 220.0},
        "sizes": [
            {"rows": 3_000_000, "at_0.45": {"warm_rows_per_s": 20_000_000}},
            {"rows": 30_000_000, "at_0.45": {"warm_rows_per_s": 40_000_000}},
        ],
    }
}
INGEST = {
    "on": {"cores": 2},
    "runs": [
        {"load": "as fast as it goes, 64 a batch", "workers": 0, "sustained_per_s": 20_000},
        {"load": "as fast as it goes, 64 a batch", "workers": 2, "sustained_per_s": 30_000},
        {"load": "5,000/s, 4 to 16 a batch", "workers": 2, "sustained_per_s": 5_000},
    ],
}


def test_ten_times_the_cameras_need_ten_times_of_everything_but_whole_machines() -> None:
    small, large = need(10_000, default_rates()), need(100_000, default_rates())
    for name in ("sightings_kept", "network_in_bits_s", "ingest_cores", "table_bytes"):
        assert getattr(large, name) == pytest.approx(10 * getattr(small, name))
    assert small.machines == 1 < large.machines <= 10


def test_what_ten_thousand_cameras_keep_can_be_worked_out_by_hand() -> None:
    one = need(10_000, default_rates())
    assert one.sightings_kept == 10_000 * 2_000 * 14
    assert one.first_look_bytes == one.sightings_kept * 48
    assert one.sightings_per_s == pytest.approx(10_000 * 2_000 / 86_400 * 2.5)
    assert one.network_in_bits_s == pytest.approx(one.messages_per_s * (625 + 120) * 8)


@pytest.mark.parametrize(
    ("short", "value"),
    [("cameras_per_broker", 1_000), ("search_per_core_s", 1e5), ("first_look_bytes", 4_800),
     ("table_bytes", 50_000), ("message_core_s", 0.2)],
)  # fmt: skip
def test_whatever_runs_short_first_decides_the_machines(short: str, value: float) -> None:
    rates = default_rates()
    assert need(10_000, replace(rates, **{short: value})).machines > need(10_000, rates).machines


def test_benches_replace_the_stored_rates_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "gallery.json").write_text(json.dumps(GALLERY))
    (tmp_path / "ingest.json").write_text(json.dumps(INGEST))
    rates, sources = measured_rates(tmp_path)
    assert (rates.search_per_core_s, rates.table_bytes) == (20_000_000, 210.0)
    assert rates.ingest_per_core_s == 15_000
    assert sources["search_per_core_s"].endswith("gallery.json")
    assert sources["search_s"] == MEASURED["search_s"][1]


def test_no_bench_leaves_the_stored_rates(tmp_path: Path) -> None:
    rates, sources = measured_rates(tmp_path)
    assert rates == default_rates()
    assert set(sources) == set(Rates.__dataclass_fields__)


@pytest.mark.parametrize("text", ["{}", "not json", '{"sizes": []}'])
def test_a_bench_without_its_figures_is_not_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "gallery.json").write_text(text)
    with pytest.raises(BenchUnreadable, match=r"gallery\.json.*make bench"):
        measured_rates(tmp_path)


def test_the_document_shows_what_the_program_prints(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert table([need(cameras, default_rates()) for cameras in CITIES]) in text
    printed = subprocess.run(
        [sys.executable, "-m", "tools.scaling", "--bench", str(tmp_path), "--cameras", "500"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "| 500 cameras |" in printed
    for line in printed.split("\n\n")[1].splitlines():
        assert line in text
