-- The stalled check: a job that was active at the last check and has no lock now goes back to `wait`; one that
-- stalled too often goes to `failed`. Then every active job is marked for the next check.
-- KEYS: stalled, wait, active, failed, stalled-check, meta, paused, marker, events.
-- ARGV: base key, now ms, check interval ms, how often a job may stall. Returns {failed ids, recovered ids}.
if redis.call('EXISTS', KEYS[5]) == 1 then return {{}, {}} end
redis.call('SET', KEYS[5], ARGV[2], 'PX', ARGV[3])
redis.call('XTRIM', KEYS[9], 'MAXLEN', '~', redis.call('HGET', KEYS[6], 'opts.maxLenEvents') or 10000)
local failed, recovered = {}, {}
local marked = redis.call('SMEMBERS', KEYS[1])
if #marked > 0 then
  redis.call('DEL', KEYS[1])
  for _, id in ipairs(marked) do
    local key = ARGV[1] .. id
    if redis.call('EXISTS', key .. ':lock') == 0 and redis.call('LREM', KEYS[3], 1, id) > 0 then
      if redis.call('HINCRBY', key, 'stalledCounter', 1) > tonumber(ARGV[4]) then
        local reason = 'job stalled more than allowable limit'
        redis.call('ZADD', KEYS[4], ARGV[2], id)
        redis.call('HSET', key, 'failedReason', reason, 'finishedOn', ARGV[2])
        redis.call('XADD', KEYS[9], '*', 'event', 'failed', 'jobId', id, 'prev', 'active', 'failedReason', reason)
        table.insert(failed, id)
      else
        local paused = redis.call('HGET', KEYS[6], 'paused')
        redis.call('RPUSH', paused and KEYS[7] or KEYS[2], id)
        if not paused then redis.call('ZADD', KEYS[8], 0, '0') end
        redis.call('XADD', KEYS[9], '*', 'event', 'waiting', 'jobId', id, 'prev', 'active')
        redis.call('XADD', KEYS[9], '*', 'event', 'stalled', 'jobId', id)
        table.insert(recovered, id)
      end
    end
  end
end
local active = redis.call('LRANGE', KEYS[3], 0, -1)
for from = 1, #active, 5000 do
  redis.call('SADD', KEYS[1], unpack(active, from, math.min(from + 4999, #active)))
end
return {failed, recovered}
