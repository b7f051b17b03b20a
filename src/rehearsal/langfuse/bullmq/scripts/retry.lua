-- Moves every failed job back to `wait`, newest last. KEYS: failed, wait, marker, events. ARGV: base key.
local ids = redis.call('ZRANGE', KEYS[1], 0, 999)
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', ARGV[1] .. id, 'finishedOn', 'processedOn', 'failedReason')
  redis.call('LPUSH', KEYS[2], id)
  redis.call('XADD', KEYS[4], '*', 'event', 'waiting', 'jobId', id, 'prev', 'failed')
end
if #ids > 0 then redis.call('ZADD', KEYS[3], 0, '0') end
return #ids
