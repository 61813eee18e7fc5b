"""Fixtures to write tables into a folder, load them, and read the ledger."""

import pandas as pd
import pytest
import sqlalchemy as sa

from features.ingest.load_tables import load_folder


@pytest.fixture
def folder(tmp_path):
    """Writes tables into a folder: as csv, or as parquet with real times."""

    def write(frames, ending="csv"):
        path = tmp_path / "tables"
        path.mkdir(exist_ok=True)
        for name, frame in frames.items():
            if ending == "csv":
                frame.to_csv(path / f"{name}.csv", index=False)
                continue
            times = [column for column in frame if column.endswith("_at")]
            frame = frame.assign(**{time: pd.to_datetime(frame[time]) for time in times})
            frame.to_parquet(path / f"{name}.parquet", index=False)
        return path

    return write


@pytest.fixture
def load(ledger, toy_domain, toy_catalog, now):
    def loaded(path, domain=toy_domain, at=now, **more):
        return load_folder(path, ledger, domain, toy_catalog, at, **more)

    return loaded


@pytest.fixture
def rows(ledger):
    """Rows of a table of the ledger, some columns of each, in order."""

    def read(table, *names):
        query = sa.select(*(table.c[name] for name in names)).order_by(*table.primary_key.columns)
        return [tuple(row) for row in ledger.read(lambda c: c.execute(query).all())]

    return read


@pytest.fixture
def raw(tmp_path):
    """Writes a file as it is, byte by byte."""

    def write(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path

    return write
