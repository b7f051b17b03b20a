-- Ends an active job badly: back to `delayed` while attempts are left, else to `failed`.
-- KEYS: active, stalled, events, delayed, failed, marker, meta.
-- ARGV: base key, id, lock token, now ms, reason, attempts allowed, first back-off ms, failed jobs to keep.
-- Returns the back-off in ms, 0 when the job rests in `failed`, or BullMQ's negative codes (see complete.lua).
local key, id, now = ARGV[1] .. ARGV[2], ARGV[2], tonumber(ARGV[4])
if redis.call('EXISTS', key) == 0 then return -1 end
local token = redis.call('GET', key .. ':lock')
if token ~= ARGV[3] then return token and -6 or -2 end
redis.call('DEL', key .. ':lock')
redis.call('SREM', KEYS[2], id)
if redis.call('LREM', KEYS[1], -1, id) < 1 then return -3 end
redis.call('XTRIM', KEYS[3], 'MAXLEN', '~', redis.call('HGET', KEYS[7], 'opts.maxLenEvents') or 10000)
local made = redis.call('HINCRBY', key, 'atm', 1)
redis.call('HSET', key, 'failedReason', ARGV[5], 'stacktrace', cjson.encode({ARGV[5]}))
if made < tonumber(ARGV[6]) then
  local pause = tonumber(ARGV[7]) * 2 ^ (made - 1)
  local due = now + pause
  redis.call('HSET', key, 'delay', string.format('%.0f', pause))
  redis.call('ZADD', KEYS[4], string.format('%.0f', due * 4096), id)
  redis.call('XADD', KEYS[3], '*', 'event', 'delayed', 'jobId', id, 'delay', string.format('%.0f', due))
  local first = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
  redis.call('ZADD', KEYS[6], string.format('%.0f', math.floor(tonumber(first[2]) / 4096)), '1')
  return pause
end
redis.call('ZADD', KEYS[5], ARGV[4], id)
redis.call('HSET', key, 'finishedOn', ARGV[4])
for _, old in ipairs(redis.call('ZREVRANGE', KEYS[5], tonumber(ARGV[8]), -1)) do
  redis.call('DEL', ARGV[1] .. old)
  redis.call('ZREM', KEYS[5], old)
end
redis.call('XADD', KEYS[3], '*', 'event', 'failed', 'jobId', id, 'failedReason', ARGV[5], 'prev', 'active')
redis.call('XADD', KEYS[3], '*', 'event', 'retries-exhausted', 'jobId', id, 'attemptsMade', made)
return 0
