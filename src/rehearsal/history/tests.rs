//! The generator without a database; `stores::tests` loads it for real.
