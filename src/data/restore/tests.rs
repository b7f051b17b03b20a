//! Statements and facts, without a database.
