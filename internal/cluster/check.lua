-- Every step begins with this check, in the same script: nothing is read from or
-- written to a Redis that is not the one of the caller's epoch. A flush takes the
-- marker away, a restart and a failover change the process (run_id), whatever
-- data they bring along.
--   KEYS[1]  the bus: a hash of epoch (the marker), settled (1 if it is), seq (the
--            number of the last message), n:<node> (its last renewal, as renew.lua
--            writes it) and k:<name> (a message that is kept, publish.lua). They are one key, to be lost together only.
--   ARGV[1]  the caller's epoch
--   ARGV[2]  the run_id that it trusts
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if run ~= ARGV[2] or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return redis.error_reply('EPOCH this is not the history of the epoch')
end
