-- Makes the marker of an epoch. Only the node that began the epoch in SQL does
-- this, and only once, so a history is never made twice under one number; one
-- that comes late (held up on its way) is refused.
--   KEYS[1]  the bus
--   ARGV[1]  the epoch
--   ARGV[2]  the run_id that it trusts
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local marker = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if run ~= ARGV[2] or marker >= tonumber(ARGV[1]) then
  return redis.error_reply('EPOCH another epoch stands here')
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', '0')
return redis.status_reply('OK')
