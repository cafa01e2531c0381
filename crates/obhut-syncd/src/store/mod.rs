//! The store: entries, sequences and lives of them, in SQLite.
