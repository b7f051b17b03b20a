-- Moves jobs that failed up to a moment back to where jobs wait, newest last.
-- KEYS: failed, wait, marker, events, meta, paused. ARGV: base key, moment ms. Returns how many.
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], 0, ARGV[2], 'LIMIT', 0, 1000)
local paused = redis.call('HEXISTS', KEYS[5], 'paused') == 1
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', ARGV[1] .. id, 'finishedOn', 'processedOn', 'failedReason')
  redis.call('LPUSH', paused and KEYS[6] or KEYS[2], id)
  redis.call('XADD', KEYS[4], '*', 'event', 'waiting', 'jobId', id, 'prev', 'failed')
end
if #ids > 0 and not paused then redis.call('ZADD', KEYS[3], 0, '0') end
return #ids
