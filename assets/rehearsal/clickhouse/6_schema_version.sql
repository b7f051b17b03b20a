-- Version 8 is v3.29.0's last migration (the environment columns), applied and clean.
INSERT INTO schema_migrations
SELECT 8, 0, toUInt64(toUnixTimestamp64Nano(now64(9)))
WHERE (SELECT count() FROM schema_migrations) = 0
