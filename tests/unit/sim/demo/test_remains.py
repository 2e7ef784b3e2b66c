"""After a case is closed, its rows and its bytes must be gone from every file."""

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from sim.demo.remains import files_holding, holdings


def records(tmp_path: Path, case_id: str, *, secure: bool) -> Path:
    path = tmp_path / "records.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA secure_delete={'ON' if secure else 'OFF'}")
        database.execute("CREATE TABLE photo (case_ref TEXT, body BLOB)")
        database.execute("CREATE TABLE audit (line TEXT)")
        database.execute("INSERT INTO photo VALUES (?, ?)", (case_id, b"\x5a" * 600))
        database.execute("INSERT INTO photo VALUES (?, ?)", (str(uuid4()), b"\x11" * 600))
        database.commit()
    return path


def test_rows_and_blobs_of_one_case_are_found_whatever_the_columns_are_called(
    tmp_path: Path,
) -> None:
    case_id = str(uuid4())
    held = holdings(records(tmp_path, case_id, secure=True), case_id)
    assert held.rows == {"photo": 1}
    assert held.secrets == {b"\x5a" * 64}


@pytest.mark.parametrize(("secure", "left"), [(True, 0), (False, 1)])
def test_a_row_that_was_deleted_but_not_wiped_is_still_found(
    tmp_path: Path, secure: bool, left: int
) -> None:
    case_id = str(uuid4())
    path = records(tmp_path, case_id, secure=secure)
    held = holdings(path, case_id)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA secure_delete={'ON' if secure else 'OFF'}")
        database.execute("DELETE FROM photo WHERE case_ref = ?", (case_id,))
        database.commit()
    assert holdings(path, case_id).rows == {}
    assert len(files_holding(tmp_path, held.secrets)) == left
