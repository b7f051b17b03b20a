-- Promotes due jobs from `delayed` to `wait`, then moves the oldest waiting job to `active` under a lock.
-- KEYS: wait, active, delayed, paused, meta, marker, events, prioritized.
-- ARGV: base key, now ms, lock token, lock ms.
-- Returns {id, fields...} or {false, next due ms or 0}.
local wait, active, delayed, paused, meta, marker, events, prioritized =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local base, now = ARGV[1], tonumber(ARGV[2])
local attributes = redis.call('HMGET', meta, 'paused', 'concurrency')
local target, held = wait, false
if attributes[1] then
  target, held = paused, true
elseif attributes[2] then
  held = redis.call('LLEN', active) >= tonumber(attributes[2])
end
local due = redis.call('ZRANGEBYSCORE', delayed, 0, string.format('%.0f', (now + 1) * 4096 - 1), 'LIMIT', 0, 1000)
if #due > 0 then
  redis.call('ZREM', delayed, unpack(due))
  for _, id in ipairs(due) do
    local key = base .. id
    local priority = tonumber(redis.call('HGET', key, 'priority')) or 0
    if priority == 0 then
      redis.call('LPUSH', target, id)
    else
      local counter = redis.call('INCR', base .. 'pc')
      redis.call('ZADD', prioritized, priority * 0x100000000 + counter % 0x100000000, id)
    end
    if not held then redis.call('ZADD', marker, 0, '0') end
    redis.call('XADD', events, '*', 'event', 'waiting', 'jobId', id, 'prev', 'delayed')
    redis.call('HSET', key, 'delay', 0)
  end
end
if held then return {false, 0} end
local id = redis.call('RPOPLPUSH', wait, active)
if not id then
  local popped = redis.call('ZPOPMIN', prioritized)
  if popped[1] then
    id = popped[1]
    redis.call('LPUSH', active, id)
  end
end
if not id then
  local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
  if first[2] then return {false, string.format('%.0f', math.floor(tonumber(first[2]) / 4096))} end
  return {false, 0}
end
local key = base .. id
redis.call('SET', key .. ':lock', ARGV[3], 'PX', ARGV[4])
redis.call('XADD', events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
redis.call('HSET', key, 'processedOn', ARGV[2])
redis.call('HINCRBY', key, 'ats', 1)
redis.call('ZADD', marker, 0, '0')
local fields = redis.call('HMGET', key, 'name', 'data', 'opts')
return {id, fields[1] or '', fields[2] or '', fields[3] or '{}'}
