-- Renews the lock of an active job. KEYS: lock, stalled. ARGV: token, lock ms, id. Returns 1 when still ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SREM', KEYS[2], ARGV[3])
return 1
