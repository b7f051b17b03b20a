-- Ends an active job well: Langfuse's jobs are removed on completion.
-- KEYS: active, stalled, events, wait, prioritized, meta. ARGV: base key, id, lock token.
-- Returns 0, or BullMQ's codes: -1 no such job, -2 lock missing, -3 not active, -6 lock of another worker.
local key = ARGV[1] .. ARGV[2]
if redis.call('EXISTS', key) == 0 then return -1 end
local token = redis.call('GET', key .. ':lock')
if token ~= ARGV[3] then return token and -6 or -2 end
redis.call('DEL', key .. ':lock')
redis.call('SREM', KEYS[2], ARGV[2])
if redis.call('LREM', KEYS[1], -1, ARGV[2]) < 1 then return -3 end
redis.call('XTRIM', KEYS[3], 'MAXLEN', '~', redis.call('HGET', KEYS[6], 'opts.maxLenEvents') or 10000)
redis.call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed')
redis.call('XADD', KEYS[3], '*', 'event', 'completed', 'jobId', ARGV[2], 'returnvalue', 'null')
if redis.call('LLEN', KEYS[4]) == 0 and redis.call('LLEN', KEYS[1]) == 0
  and redis.call('ZCARD', KEYS[5]) == 0 then
  redis.call('XADD', KEYS[3], '*', 'event', 'drained')
end
return 0
