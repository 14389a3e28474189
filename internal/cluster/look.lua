-- What stands here, whoever's epoch it is: run_id, marker, whether it is settled,
-- seq and the members. A process that cannot be written to (a replica, one that is cut off from its
-- replicas, one that is full) is no candidate for an epoch, so it fails.
--   KEYS[1]  the bus
--   KEYS[2]  a key to try a write on
if not string.find(redis.call('INFO', 'replication'), 'role:master', 1, true) then
  return redis.error_reply('READONLY this is a replica')
end
redis.call('SET', KEYS[2], '1', 'PX', 1000)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local out = standing()
table.insert(out, 1, redis.call('HGET', KEYS[1], 'settled') or '0')
table.insert(out, 1, redis.call('HGET', KEYS[1], 'epoch') or '0')
table.insert(out, 1, run or '')
return out
