-- Every step on a tenant's part begins here. A part that another process wrote
-- (Redis was restarted, or a replica took over, which may lag), that stems from an
-- epoch before, or that the caller knows to be stale, is dropped. What remains has
-- missed no end.
--   KEYS[1]  the tenant's part: a hash of run, epoch, rev and, by token hash, the
--            sessions. They are one key, to be lost together only.
--   ARGV[1]  the caller's epoch
--   ARGV[2]  a new random rev
--   ARGV[3]  1 to drop the part in any case
-- What is sealed is not for versions that do not seal, nor theirs for this one.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') .. ' sealed'
local part = redis.call('HMGET', KEYS[1], 'run', 'epoch', 'rev')
if part[2] and tonumber(part[2]) > tonumber(ARGV[1]) then
  return redis.error_reply('EPOCH this part is of a later epoch')
end
local rev = part[3]
if ARGV[3] == '1' or part[1] ~= run or part[2] ~= ARGV[1] or not rev then
  rev = ARGV[2]
  redis.call('UNLINK', KEYS[1])
  redis.call('HSET', KEYS[1], 'run', run, 'epoch', ARGV[1], 'rev', rev)
end
redis.call('PEXPIRE', KEYS[1], 86400000)
