-- Stores a job and puts it into `delayed`.
-- KEYS: marker, meta, id, delayed, events. ARGV: base key, name, data, options (JSON), now ms, delay ms.
-- The score is due time * 4096 plus a counter, so that jobs due in the same millisecond keep their order.
local base, now, delay = ARGV[1], tonumber(ARGV[5]), tonumber(ARGV[6])
redis.call('HSETNX', KEYS[2], 'opts.maxLenEvents', 10000)
redis.call('HSETNX', KEYS[2], 'version', 'bullmq:5.34.10')
local id = tostring(redis.call('INCR', KEYS[3]))
redis.call('HSET', base .. id, 'name', ARGV[2], 'data', ARGV[3], 'opts', ARGV[4],
  'timestamp', ARGV[5], 'delay', ARGV[6], 'priority', 0)
redis.call('XADD', KEYS[5], '*', 'event', 'added', 'jobId', id, 'name', ARGV[2])
local due = now + delay
local low, high = due * 4096, (due + 1) * 4096 - 1
local last = redis.call('ZREVRANGEBYSCORE', KEYS[4], high, low, 'WITHSCORES', 'LIMIT', 0, 1)
local score = low
if last[2] then score = math.min(tonumber(last[2]) + 1, high) end
redis.call('ZADD', KEYS[4], string.format('%.0f', score), id)
redis.call('XADD', KEYS[5], 'MAXLEN', '~', 10000, '*', 'event', 'delayed', 'jobId', id,
  'delay', string.format('%.0f', due))
local first = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
redis.call('ZADD', KEYS[1], string.format('%.0f', math.floor(tonumber(first[2]) / 4096)), '1')
return id
