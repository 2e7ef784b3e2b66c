"""Cases, their photos, results, queries, grants and evidence rows on SQL."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from controller.adapters.records import schema
from controller.adapters.records.engine import Database
from controller.services.refusals import Gone
from controller.services.values import (
    Area,
    Case,
    CaseScope,
    CaseState,
    EvidenceRecord,
    LegalBasis,
    QueryState,
    SealedPhoto,
    SentQuery,
    Tombstone,
    UploadGrant,
)


class SqlCases:
    """`CaseStore` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_case(self, case: Case, photos: Sequence[SealedPhoto]) -> None:
        """Add a case with its photos, both or neither."""
        with self._database.write() as connection:
            connection.execute(insert(schema.cases), _case_row(case))
            connection.execute(insert(schema.case_photos), [asdict(photo) for photo in photos])

    def case(self, case_id: UUID) -> Case | None:
        """Return one live case."""
        query = select(schema.cases).where(schema.cases.c.case_id == case_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _case(row)

    def cases(self) -> Sequence[Case]:
        """Return all live cases, newest first."""
        query = select(schema.cases).order_by(schema.cases.c.opened_us.desc())
        with self._database.read() as connection:
            return [_case(row) for row in connection.execute(query)]

    def tombstone(self, case_id: UUID) -> Tombstone | None:
        """Return what is left of an ended case."""
        query = select(schema.tombstones).where(schema.tombstones.c.case_id == case_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        state = CaseState(row.state)
        return Tombstone(row.case_id, state, row.ended_us, json.loads(row.counts_json))

    def approve(self, case_id: UUID, by: str, now_us: int) -> bool:
        """Move an opened case to approved; false if it is in another state."""
        table = schema.cases
        query = (
            update(table)
            .where(table.c.case_id == case_id, table.c.state == CaseState.OPENED.value)
            .values(state=CaseState.APPROVED.value, approved_by=by, approved_us=now_us)
        )
        with self._database.write() as connection:
            return connection.execute(query).rowcount == 1

    def set_progress(self, case_id: UUID, state: CaseState, step: str, fault: str = "") -> None:
        """Note where the investigation stands."""
        table = schema.cases
        values = {"state": state.value, "step": step[:256], "fault": fault[:512]}
        with self._database.write() as connection:
            connection.execute(update(table).where(table.c.case_id == case_id).values(**values))

    def photos(self, case_id: UUID) -> Sequence[SealedPhoto]:
        """Return a case's sealed photos and probes."""
        table = schema.case_photos
        query = select(table).where(table.c.case_id == case_id).order_by(table.c.photo_id)
        with self._database.read() as connection:
            return [SealedPhoto(**row._mapping) for row in connection.execute(query)]

    def put_result(self, case_id: UUID, kind: str, sealed: bytes) -> None:
        """Keep or replace a sealed result."""
        table = schema.case_results
        with self._database.write() as connection:
            _require_live(connection, case_id)
            connection.execute(
                delete(table).where(table.c.case_id == case_id, table.c.kind == kind)
            )
            row = {"case_id": case_id, "kind": kind, "sealed": sealed}
            connection.execute(insert(table), row)

    def result(self, case_id: UUID, kind: str) -> bytes | None:
        """Return a sealed result."""
        table = schema.case_results
        query = select(table.c.sealed).where(table.c.case_id == case_id, table.c.kind == kind)
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def erase_case(self, tombstone: Tombstone) -> dict[str, int]:
        """Delete every row of the case, its key included, leave the tombstone; rows by table."""
        counts: dict[str, int] = dict(tombstone.counts)
        with self._database.write() as connection:
            for table in schema.CASE_TABLES:
                mine = table.c.case_id == tombstone.case_id
                counts[table.name] = connection.execute(delete(table).where(mine)).rowcount
            connection.execute(
                insert(schema.tombstones),
                {
                    "case_id": tombstone.case_id,
                    "state": tombstone.state.value,
                    "ended_us": tombstone.ended_us,
                    "counts_json": json.dumps(counts),
                },
            )
        self._database.scrub()
        return counts


class SqlQueries:
    """`QueryStore` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_query(self, query: SentQuery) -> None:
        """Remember a query before it is sent."""
        row = {**asdict(query), "state": query.state.value}
        with self._database.write() as connection:
            _require_live(connection, query.case_id)
            connection.execute(insert(schema.queries), row)

    def query(self, query_id: UUID) -> SentQuery | None:
        """Return one query of a live case."""
        query = select(schema.queries).where(schema.queries.c.query_id == query_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _query(row)

    def queries(self, case_id: UUID) -> Sequence[SentQuery]:
        """Return a case's queries in the order they were sent."""
        table = schema.queries
        query = (
            select(table)
            .where(table.c.case_id == case_id)
            .order_by(table.c.issued_us, table.c.query_id)
        )
        with self._database.read() as connection:
            return [_query(row) for row in connection.execute(query)]

    def end_query(self, query_id: UUID, state: QueryState, detail: str) -> None:
        """Note how a query ended."""
        table = schema.queries
        values = {"state": state.value, "detail": detail[:512]}
        with self._database.write() as connection:
            connection.execute(update(table).where(table.c.query_id == query_id).values(**values))

    def add_grant(self, grant: UploadGrant) -> None:
        """Keep an upload permission."""
        with self._database.write() as connection:
            _require_live(connection, grant.case_id)
            connection.execute(insert(schema.upload_grants), asdict(grant))

    def grant(self, token_sha256: bytes) -> UploadGrant | None:
        """Return the permission of a token."""
        table = schema.upload_grants
        query = select(table).where(table.c.token_sha256 == token_sha256)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else UploadGrant(**row._mapping)


class SqlEvidence:
    """`EvidenceStore` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_evidence(self, record: EvidenceRecord, *, at_most: int) -> bool:
        """Add a row unless the query already has `at_most`, or the id is taken; false if not."""
        table = schema.evidence
        mine = select(func.count()).select_from(table).where(table.c.query_id == record.query_id)
        try:
            with self._database.write() as connection:
                _require_live(connection, record.case_id)
                if connection.execute(mine).scalar_one() >= at_most:
                    return False
                connection.execute(insert(table), asdict(record))
        except IntegrityError:
            return False
        return True

    def evidence(self, case_id: UUID) -> Sequence[EvidenceRecord]:
        """Return a case's pictures in order of capture, unaccepted ones last."""
        table = schema.evidence
        query = select(table).where(table.c.case_id == case_id)
        with self._database.read() as connection:
            found = [EvidenceRecord(**row._mapping) for row in connection.execute(query)]
        return sorted(found, key=lambda one: (not one.accepted, one.captured_us or 0))

    def accept_evidence(self, record: EvidenceRecord) -> None:
        """Note what the signed reply said of a picture."""
        table = schema.evidence
        values = asdict(replace(record, accepted=True))
        change = update(table).where(table.c.evidence_id == record.evidence_id).values(**values)
        with self._database.write() as connection:
            connection.execute(change)

    def drop_evidence(self, evidence_id: UUID) -> None:
        """Delete a row."""
        table = schema.evidence
        with self._database.write() as connection:
            connection.execute(delete(table).where(table.c.evidence_id == evidence_id))


def _require_live(connection: Connection, case_id: UUID) -> None:
    # In the same transaction as the insert: nothing is ever written for a case just erased.
    found = select(schema.cases.c.state).where(schema.cases.c.case_id == case_id)
    if connection.execute(found).first() is None:
        raise Gone("state", "this case has ended and its data is gone; open a new one")


def _case_row(case: Case) -> dict[str, object]:
    row = {key: value for key, value in asdict(case).items() if key != "scope"}
    return {
        **row,
        "legal_basis": case.legal_basis.value,
        "state": case.state.value,
        "onset_date": None if case.onset_date is None else case.onset_date.isoformat(),
        "specimen_date": None if case.specimen_date is None else case.specimen_date.isoformat(),
        "scope_json": json.dumps(asdict(case.scope)),
    }


def _case(row: Row[Any]) -> Case:
    values = dict(row._mapping)
    scope = json.loads(values.pop("scope_json"))
    area = scope.pop("area")
    return Case(
        **{
            **values,
            "legal_basis": LegalBasis(row.legal_basis),
            "state": CaseState(row.state),
            "onset_date": _date(row.onset_date),
            "specimen_date": _date(row.specimen_date),
            "scope": CaseScope(
                start_us=scope["start_us"],
                end_us=scope["end_us"],
                camera_ids=tuple(scope["camera_ids"]),
                area=None if area is None else Area(**area),
            ),
        }
    )


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _query(row: Row[Any]) -> SentQuery:
    return SentQuery(**{**row._mapping, "state": QueryState(row.state)})
