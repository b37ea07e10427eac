"""The tables of the case log. A migration is never edited once released, not even its comments, since SQLite keeps the
text of a table and `check` compares it; a new one follows it.

Rules that hold whatever program opens the file are triggers: nothing is ever deleted, what a person stated or signed
is never changed, the audit trail only grows, each of its rows continuing the one before.
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

__all__ = ["APPEND_ONLY", "MIGRATIONS", "PATIENT_KEY", "TABLES"]

MIGRATIONS = Migrations("her2core.caselog")

# Every table of the first release whose rows are hashed into the audit trail, parents first.
_FIRST_TABLES = (
    "users",
    "cases",
    "regions",
    "analyses",
    "corrections",
    "statements",
    "recounts",
    "adjudications",
    "reports",
)
_FIRST_APPEND_ONLY = ("analyses", "corrections", "statements", "recounts", "adjudications", "reports", "audit")
_LEARNING_TABLES = ("training_consents", "promotions")
TABLES = (*_FIRST_TABLES, "first_signatures", *_LEARNING_TABLES)
"""Every table whose rows are hashed into the audit trail, parents first."""
APPEND_ONLY = (*_FIRST_APPEND_ONLY, "first_signatures", *_LEARNING_TABLES)

PATIENT_KEY = "substr(search, length(rtrim(search, replace(search, char(10), ''))) + 1)"
"""The key of the patient's ID: the last line of `cases.search`. As it is indexed, so as it has to stand in a query."""

_USERS = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- AUTOINCREMENT: an id is never given out again
    username TEXT NOT NULL,
    username_key TEXT NOT NULL UNIQUE,
    full_name TEXT NOT NULL,
    credentials TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('pathologist', 'lab manager', 'administrator')),
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    password_hash TEXT,  -- NULL: signs in through an external identity only
    password_changed_at TEXT,
    must_change_password INTEGER NOT NULL CHECK (must_change_password IN (0, 1)),
    external_issuer TEXT,
    external_subject TEXT,
    created_at TEXT NOT NULL,
    UNIQUE (external_issuer, external_subject)
) STRICT
"""

_CASES = """
CREATE TABLE cases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    accession TEXT NOT NULL,
    accession_key TEXT NOT NULL UNIQUE,
    patient_name TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    date_of_birth TEXT,
    sex TEXT NOT NULL,
    requester TEXT NOT NULL,
    specimen TEXT NOT NULL,
    site TEXT NOT NULL,
    laterality TEXT NOT NULL,
    block TEXT NOT NULL,
    fixative TEXT NOT NULL,
    fixation_hours REAL CHECK (fixation_hours >= 0),
    cold_ischaemia_min REAL CHECK (cold_ischaemia_min >= 0),
    collected_on TEXT,
    received_on TEXT,
    probe_kit TEXT NOT NULL,
    probe_lot TEXT NOT NULL,
    probe_expiry TEXT,
    controls_ok INTEGER CHECK (controls_ok IN (0, 1)),
    ihc TEXT CHECK (ihc IN ('0', '0+', '1+', '2+', '3+')),
    ihc_same_sample INTEGER CHECK (ihc_same_sample IN (0, 1)),
    search TEXT NOT NULL,       -- accession, name and id, case-folded, for find_cases
    populations TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('draft', 'analysed', 'reviewed', 'pending IHC', 'pending recount',
                                         'pending adjudication', 'ready', 'signed', 'amended')),
    version INTEGER NOT NULL CHECK (version > 0),
    result_group INTEGER CHECK (result_group BETWEEN 1 AND 5),
    outcome TEXT,
    amending TEXT,              -- why a signed case is open for change; NULL: it is not. Its state moves meanwhile
    amending_by INTEGER REFERENCES users (id),
    amending_since TEXT,
    amending_version INTEGER,
    created_by INTEGER NOT NULL REFERENCES users (id),
    created_at TEXT NOT NULL,
    updated_by INTEGER NOT NULL REFERENCES users (id),
    updated_at TEXT NOT NULL,
    CHECK ((amending IS NULL) = (amending_by IS NULL) AND (amending IS NULL) = (amending_since IS NULL)
           AND (amending IS NULL) = (amending_version IS NULL))
) STRICT
"""

_REGIONS = """
CREATE TABLE regions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    filename TEXT NOT NULL,
    image_sha256 TEXT NOT NULL CHECK (length(image_sha256) = 64),
    image_bytes INTEGER NOT NULL CHECK (image_bytes > 0),
    width_px INTEGER NOT NULL CHECK (width_px > 0),
    height_px INTEGER NOT NULL CHECK (height_px > 0),
    um_per_px REAL CHECK (um_per_px > 0),
    heterogeneous INTEGER CHECK (heterogeneous IN (0, 1)),
    population TEXT,
    clusters INTEGER CHECK (clusters IN (0, 1)),
    signal_intensity TEXT CHECK (signal_intensity IN ('good', 'weak', 'unscorable')),
    overlap TEXT CHECK (overlap IN ('little', 'moderate', 'severe')),
    suitable INTEGER CHECK (suitable IN (0, 1)),
    unsuitable_reason TEXT,
    added_by INTEGER NOT NULL REFERENCES users (id),
    added_at TEXT NOT NULL,
    removed_by INTEGER REFERENCES users (id),
    removed_at TEXT,
    removed_reason TEXT
) STRICT
"""

_ANALYSES = """
CREATE TABLE analyses (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    region_id INTEGER NOT NULL REFERENCES regions (id),
    width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL,
    nuclei TEXT NOT NULL,
    models TEXT NOT NULL,
    quality TEXT NOT NULL,
    device TEXT NOT NULL,
    seconds REAL NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
"""

_CORRECTIONS = """
CREATE TABLE corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    analysis_id INTEGER NOT NULL REFERENCES analyses (id),
    region_id INTEGER NOT NULL REFERENCES regions (id),
    nucleus_id INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('set counts', 'exclude', 'include', 'set cluster', 'add nucleus',
                                       'set signals', 'move box', 'undo')),
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    reason TEXT NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
"""

_STATEMENTS = """
CREATE TABLE statements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    value TEXT NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
"""

_RECOUNTS = """
CREATE TABLE recounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    population TEXT NOT NULL,
    blinded INTEGER NOT NULL CHECK (blinded IN (0, 1)),
    n INTEGER NOT NULL CHECK (n >= 0),
    her2 INTEGER NOT NULL CHECK (her2 >= 0),
    cep17 INTEGER NOT NULL CHECK (cep17 >= 0),
    nuclei TEXT NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
"""

_ADJUDICATIONS = """
CREATE TABLE adjudications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    population TEXT NOT NULL,
    category TEXT NOT NULL CHECK (category IN ('positive', 'negative')),
    result_group INTEGER NOT NULL CHECK (result_group BETWEEN 1 AND 5),
    reason TEXT NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
"""

_REPORTS = """
CREATE TABLE reports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    version INTEGER NOT NULL CHECK (version > 0),
    kind TEXT NOT NULL CHECK (kind IN ('preliminary', 'final', 'amended', 'addendum')),
    sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
    case_version INTEGER NOT NULL,  -- the version of the case that was signed: one report of a kind for each
    reason TEXT NOT NULL,
    replaces_id INTEGER REFERENCES reports (id),
    replaces_sha256 TEXT,
    summary TEXT NOT NULL,
    audit_head TEXT NOT NULL,
    signed_by INTEGER NOT NULL REFERENCES users (id),
    cosigned_by TEXT NOT NULL,
    signed_at TEXT NOT NULL,
    UNIQUE (case_id, version),
    UNIQUE (case_id, case_version, kind),
    CHECK ((replaces_id IS NULL) = (replaces_sha256 IS NULL))
) STRICT
"""

_AUDIT = """
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    by_user_id INTEGER REFERENCES users (id),
    by_username TEXT NOT NULL,
    action TEXT NOT NULL,
    case_id INTEGER REFERENCES cases (id),
    detail TEXT NOT NULL,
    records TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE
) STRICT
"""

# How often sign-in failed lately, by hashes of name and place. No record of anything: it may be lost and is not hashed.
_THROTTLE = """
CREATE TABLE throttle (
    key TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_failure_at TEXT,
    refused INTEGER NOT NULL DEFAULT 0,  -- attempts during the present pause
    trusted_at TEXT
) STRICT
"""

# Where each user stopped in each case, for the worklist. No record of anything: it may be lost and is not hashed.
_PLACES = """
CREATE TABLE places (
    user_id INTEGER NOT NULL REFERENCES users (id),
    case_id INTEGER NOT NULL REFERENCES cases (id),
    page TEXT NOT NULL,
    region_id INTEGER REFERENCES regions (id),
    state TEXT NOT NULL,  -- of the case then
    at TEXT NOT NULL,
    PRIMARY KEY (user_id, case_id)
) STRICT, WITHOUT ROWID
"""

# A report that the first of two people has signed. It counts while the case is at the version that was signed.
_FIRST_SIGNATURES = """
CREATE TABLE first_signatures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    case_version INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('final', 'amended', 'addendum')),
    sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
    reason TEXT NOT NULL,
    replaces_id INTEGER REFERENCES reports (id),
    summary TEXT NOT NULL,
    audit_head TEXT NOT NULL,
    signed_by INTEGER NOT NULL REFERENCES users (id),
    second_by INTEGER NOT NULL REFERENCES users (id),
    signed_at TEXT NOT NULL,
    UNIQUE (case_id, case_version),
    CHECK (signed_by <> second_by)
) STRICT
"""

# Whether a signed case may teach the models; the latest statement counts.
_TRAINING_CONSENTS = """
CREATE TABLE training_consents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    given INTEGER NOT NULL CHECK (given IN (0, 1)),
    reason TEXT NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
"""

# Which models count from then on; the latest row holds. An empty folder: the models of the settings.
_PROMOTIONS = """
CREATE TABLE promotions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('promotion', 'roll-back')),
    folder TEXT NOT NULL,
    models TEXT NOT NULL,
    comparison TEXT NOT NULL,
    forced INTEGER NOT NULL CHECK (forced IN (0, 1)),
    reason TEXT NOT NULL CHECK (length(reason) > 0),
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
"""

# Searches that a user gave a name. No record of anything: not hashed, and free to be lost.
_SAVED_FILTERS = """
CREATE TABLE saved_filters (
    user_id INTEGER NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    query TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (user_id, name)
) STRICT, WITHOUT ROWID
"""

_INDEXES = (
    "CREATE INDEX cases_state ON cases (state, updated_at)",
    "CREATE INDEX cases_created ON cases (created_at)",
    "CREATE INDEX regions_case ON regions (case_id)",
    "CREATE INDEX regions_by_image ON regions (image_sha256)",
    "CREATE UNIQUE INDEX regions_image ON regions (case_id, image_sha256) WHERE removed_at IS NULL",
    "CREATE INDEX analyses_region ON analyses (region_id)",
    "CREATE INDEX corrections_analysis ON corrections (analysis_id)",
    "CREATE UNIQUE INDEX corrections_added ON corrections (analysis_id, nucleus_id) WHERE kind = 'add nucleus'",
    "CREATE INDEX statements_case ON statements (case_id, kind)",
    "CREATE INDEX recounts_case ON recounts (case_id)",
    "CREATE INDEX adjudications_case ON adjudications (case_id)",
    "CREATE UNIQUE INDEX reports_one_final ON reports (case_id) WHERE kind = 'final'",
    "CREATE INDEX audit_case ON audit (case_id)",
)


def _no_delete(table: str) -> str:
    return f"""CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table}
        BEGIN SELECT RAISE(ABORT, 'her2core: {table} are never deleted'); END"""


def _no_update(table: str) -> str:
    return f"""CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table}
        BEGIN SELECT RAISE(ABORT, 'her2core: {table} are never changed'); END"""


def _no_replace(table: str) -> str:
    # INSERT OR REPLACE deletes without asking the DELETE triggers unless recursive_triggers is on.
    return f"""CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}
        WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: {table} are never replaced'); END"""  # noqa: S608 (names of ours)


_SIGNED = "state IN ('signed', 'amended') AND amending IS NULL"

# Where the case of a new or changed row is signed and closed.
_CASE_OF = {
    "regions": "SELECT 1 FROM cases WHERE id = NEW.case_id",
    "analyses": "SELECT 1 FROM cases WHERE id = (SELECT case_id FROM regions WHERE id = NEW.region_id)",
    "corrections": "SELECT 1 FROM cases WHERE id = (SELECT case_id FROM regions WHERE id = NEW.region_id)",
    "statements": "SELECT 1 FROM cases WHERE id = NEW.case_id",
    "recounts": "SELECT 1 FROM cases WHERE id = NEW.case_id",
    "adjudications": "SELECT 1 FROM cases WHERE id = NEW.case_id",
}
_FIRST_CASE_OF = tuple(_CASE_OF)
_CASE_OF["first_signatures"] = "SELECT 1 FROM cases WHERE id = NEW.case_id"


def _signed(table: str, event: str) -> str:
    return f"""CREATE TRIGGER {table}_signed_no_{event.lower()} BEFORE {event} ON {table}
        WHEN EXISTS ({_CASE_OF[table]} AND {_SIGNED})
        BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END"""


_CASE_DETAILS_SIGNED = """CREATE TRIGGER cases_signed_no_update BEFORE UPDATE OF
        accession, accession_key, patient_name, patient_id, date_of_birth, sex, requester, specimen, site, laterality,
        block, fixative, fixation_hours, cold_ischaemia_min, collected_on, received_on, probe_kit, probe_lot,
        probe_expiry, controls_ok, ihc, ihc_same_sample, search, populations, result_group, outcome ON cases
    WHEN OLD.state IN ('signed', 'amended') AND OLD.amending IS NULL
    BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END"""

_CASE_STAYS_SIGNED = """CREATE TRIGGER cases_stay_signed BEFORE UPDATE OF state ON cases
    WHEN OLD.amending IS NULL AND ((OLD.state = 'signed' AND NEW.state NOT IN ('signed', 'amended'))
                                   OR (OLD.state = 'amended' AND NEW.state <> 'amended'))
    BEGIN SELECT RAISE(ABORT, 'her2core: a signed case stays signed'); END"""

_FIXED_COLUMNS = {
    "users": "id, username, username_key, created_at",
    "cases": "id, created_by, created_at",
    "regions": "id, case_id, image_sha256, image_bytes, width_px, height_px, added_by, added_at",
}

_AUDIT_CONTINUES = """CREATE TRIGGER audit_continues BEFORE INSERT ON audit
    WHEN NEW.previous IS NOT coalesce((SELECT hash FROM audit ORDER BY id DESC LIMIT 1), 'her2core')
    BEGIN SELECT RAISE(ABORT, 'her2core: an audit row must continue the last one'); END"""


def _fixed(table: str) -> str:
    return f"""CREATE TRIGGER {table}_fixed BEFORE UPDATE OF {_FIXED_COLUMNS[table]} ON {table}
        BEGIN SELECT RAISE(ABORT, 'her2core: these columns of {table} are never changed'); END"""


@MIGRATIONS()
def m0001_case_log(db: Database) -> None:
    """Users, cases, regions, what is found, corrected and stated about them, reports, audit."""
    tables = (_USERS, _CASES, _REGIONS, _ANALYSES, _CORRECTIONS, _STATEMENTS, _RECOUNTS, _ADJUDICATIONS, _REPORTS)
    for statement in (*tables, _AUDIT, _THROTTLE, *_INDEXES):
        db.execute(statement)
    for table in (*_FIRST_TABLES, "audit"):
        db.execute(_no_delete(table))
        db.execute(_no_replace(table))
    for table in _FIRST_APPEND_ONLY:
        db.execute(_no_update(table))
    for table in _FIXED_COLUMNS:
        db.execute(_fixed(table))
    for table in _FIRST_CASE_OF:
        db.execute(_signed(table, "INSERT"))
    for statement in (_signed("regions", "UPDATE"), _CASE_DETAILS_SIGNED, _CASE_STAYS_SIGNED, _AUDIT_CONTINUES):
        db.execute(statement)


@MIGRATIONS()
def m0002_places(db: Database) -> None:
    """Where each user stopped in each case."""
    db.execute(_PLACES)
    db.execute("CREATE INDEX places_case ON places (case_id)")


@MIGRATIONS()
def m0003_first_signatures(db: Database) -> None:
    """Reports that wait for a second signature."""
    table = "first_signatures"
    db.execute(_FIRST_SIGNATURES)
    for statement in (_no_delete(table), _no_replace(table), _no_update(table), _signed(table, "INSERT")):
        db.execute(statement)


@MIGRATIONS()
def m0004_learning(db: Database) -> None:
    """Cases that may teach, models that were promoted, and searches that users keep."""
    for statement in (_TRAINING_CONSENTS, _PROMOTIONS, _SAVED_FILTERS):
        db.execute(statement)
    db.execute("CREATE INDEX training_consents_case ON training_consents (case_id)")
    for table in _LEARNING_TABLES:
        for statement in (_no_delete(table), _no_replace(table), _no_update(table)):
            db.execute(statement)


@MIGRATIONS()
def m0005_patients(db: Database) -> None:
    """Cases are found by their patient's ID."""
    db.execute(f"CREATE INDEX cases_patient ON cases ({PATIENT_KEY})")
